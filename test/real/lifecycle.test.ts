import { createHash } from "node:crypto";
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { type DrupalMirror, drupalMirror } from "../support/drupal-mirror.js";
import { run, start } from "../support/processes.js";
import { PROJECT } from "../support/project.js";

const core = process.env["PROVISION_TEST_DRUPAL7"] || undefined;
const cli = join(PROJECT, "bin/provision.js");

/** Every path of the hub with mode, mtime and content; what locks and journals say of themselves left out. */
function treeOf(root: string, times = true): readonly string[] {
  const lines: string[] = [];
  const walk = (path: string) => {
    const stat = lstatSync(path);
    const head = `${path.slice(root.length)} ${(stat.mode & 0o7777).toString(8)}${times ? ` ${stat.mtimeMs}` : ""}`;
    if (stat.isSymbolicLink()) lines.push(`${head} -> ${readlinkSync(path)}`);
    else if (stat.isDirectory()) {
      lines.push(head);
      for (const name of readdirSync(path).sort()) if (join(path, name) !== join(root, "state")) walk(join(path, name));
    } else lines.push(`${head} ${createHash("sha256").update(readFileSync(path)).digest("hex")}`);
  };
  walk(root);
  return lines;
}

describe.runIf(core !== undefined)("Drupal 7, from a make file to nothing left", () => {
  let work: string;
  let hub: string;
  let mirror: DrupalMirror;
  const table: string[] = [];

  async function provision(...args: readonly string[]) {
    const begun = Date.now();
    const ended = await run(process.execPath, [cli, ...args, "--json", "--hub", hub]);
    const result = JSON.parse(ended.stdout);
    table.push(
      `${args.slice(0, 2).join(" ").padEnd(32)} exit ${ended.code}  ${String(result.counts?.changed ?? "").padStart(3)} changed  ${String(Date.now() - begun).padStart(6)} ms`,
    );
    return { code: ended.code, result, stderr: ended.stderr };
  }

  beforeAll(() => {
    work = mkdtempSync(join(tmpdir(), "provision-real-"));
    hub = join(work, "hub");
    mirror = drupalMirror(core ?? "", "7.103");
  });
  afterAll(() => {
    console.log(table.join("\n"));
    mirror.remove();
    rmSync(work, { recursive: true, force: true });
  });

  it("make → install → page and login over HTTP → verify twice changes nothing → delete leaves nothing", async () => {
    expect((await run(process.execPath, [cli, "init", "--local", hub])).code).toBe(0);
    writeFileSync(join(hub, "provision.yml"), stringify({ mirrors: mirror.mirrors }));
    writeFileSync(
      join(hub, "d7.make"),
      "core = 7.x\napi = 2\nprojects[drupal][version] = 7.103\nprojects[views][version] = 3.29\nprojects[views][subdir] = contrib\n",
    );
    expect((await provision("save", "@platform_d7", "--root=platforms/d7", "--makefile=d7.make")).code).toBe(0);
    const built = await provision("verify", "@platform_d7");
    expect(built.result).toMatchObject({ ok: true, outcome: "changed", data: { core: { engine: "drupal7" } } });
    expect(readdirSync(join(hub, "platforms/d7/sites/all/modules/contrib"))).toEqual(["views"]);
    const empty = treeOf(hub, false);

    expect((await provision("save", "@real.localhost", "--context_type=site", "--platform=@platform_d7")).code).toBe(0);
    const installed = await provision("install", "@real.localhost");
    expect(installed.result).toMatchObject({ ok: true, outcome: "changed", data: { url: "http://real.localhost:8080" } });

    const serve = start(process.execPath, [cli, "serve", "--hub", hub, "--port", "0"]);
    const port = await new Promise<string>((resolve) =>
      serve.child.stderr?.on("data", (chunk: Buffer) => resolve(/127\.0\.0\.1:(\d+)/.exec(chunk.toString())?.[1] ?? "")),
    );
    const curl = (path: string) =>
      run("curl", [
        "-sS",
        "-L",
        "-c",
        join(work, "cookies"),
        "-w",
        "\n%{http_code}",
        "--connect-to",
        `::127.0.0.1:${port}`,
        `http://real.localhost:8080${path}`,
      ]);
    const front = await curl("/");
    expect(front.stdout).toMatch(/<title>Welcome to real\.localhost[\s\S]*\n200$/);
    const first = await curl(new URL(installed.result.data.login).pathname);
    expect(first.stdout).toMatch(/<title>admin \| real\.localhost<\/title>[\s\S]*\n200$/);
    const { data } = (await provision("login", "@real.localhost")).result;
    const login = await curl(new URL(data.url).pathname);
    expect(login.stdout).toMatch(/<title>admin \| real\.localhost<\/title>[\s\S]*\n200$/);

    expect((await provision("cron", "@real.localhost")).code).toBe(0);
    await provision("verify", "@real.localhost");
    const before = treeOf(hub);
    const again = await provision("verify", "@real.localhost");
    expect(again.result).toMatchObject({ outcome: "ok", counts: { changed: 0 } });
    expect(treeOf(hub)).toEqual(before);

    expect((await provision("disable", "@real.localhost")).code).toBe(0);
    expect((await curl("/")).stdout).toMatch(/\n503$/);
    expect((await provision("enable", "@real.localhost")).code).toBe(0);
    expect((await curl("/")).stdout).toMatch(/\n200$/);
    serve.child.kill("SIGTERM");
    expect((await serve.ended).code).toBe(0);

    expect((await provision("delete", "@real.localhost", "--no-backup", "--yes")).code).toBe(0);
    // The directories of the web server's configuration and of the client stay.
    const kept = (line: string) => !/^\/(clients|config)(\/| )/.test(line);
    expect(treeOf(hub, false).filter(kept)).toEqual(empty.filter(kept));
    expect((await provision("delete", "@platform_d7", "--yes")).code).toBe(0);
    expect(readdirSync(join(hub, "platforms"))).toEqual([".builds"]);
    expect(readdirSync(join(hub, "platforms/.builds"))).toEqual([]);
  }, 180_000);

  it("the demo builds Drupal from a mirror, says so, and changes nothing the second time", async () => {
    const dir = join(work, "demo");
    const pairs = Object.entries(mirror.mirrors).map(([prefix, place]) => `${prefix}=${place}`);
    const first = await run(join(PROJECT, "bin/demo"), [dir, "--check", `--mirror=${pairs.join(",")}`]);
    expect(first.stderr + first.stdout).toMatch(/has Drupal 7\.\d+, and a site/);
    expect(first.stdout).toMatch(/GET http:\/\/demo\.localhost:8080\/ {2}200 {2}Welcome to demo\.localhost/);
    expect(first.code).toBe(0);
    const second = await run(join(PROJECT, "bin/demo"), [dir, "--check"]);
    expect(second.stdout).toMatch(/\n0 changed\n/);
    expect(second.code).toBe(0);
  }, 180_000);
});

describe.runIf(core === undefined)("Drupal 7, from a make file to nothing left", () => {
  it.skip("SKIPPED: PROVISION_TEST_DRUPAL7 names no Drupal 7 tree", () => {});
});
