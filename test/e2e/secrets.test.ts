import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { type Said, TestHub } from "../support/hub.js";
import { PROJECT } from "../support/project.js";

/** Every file below a directory, with its content. */
function contents(directory: string): readonly (readonly [string, string])[] {
  return (
    readdirSync(directory, { recursive: true, encoding: "utf8" })
      .map((name) => join(directory, name))
      // Through a link a file would be seen twice.
      .filter((path) => statSync(path).isFile() && realpathSync(path) === path)
      .map((path) => [path, readFileSync(path, "latin1")] as const)
  );
}

describe("secrets stay where they belong", () => {
  let hub: TestHub;
  let salt: string;
  const said: Said[] = [];
  /** Argument lists and environments of all programs seen while a site was installed. */
  const seen = new Set<string>();
  let programs = 0;

  beforeAll(async () => {
    hub = await TestHub.withPlatform();
    await hub.saveSite("site.localhost");
    let over = false;
    const sampling = (async () => {
      while (!over) {
        for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
          try {
            if (!readFileSync(`/proc/${pid}/environ`, "latin1").includes(hub.root)) continue;
            const line = readFileSync(`/proc/${pid}/cmdline`, "latin1");
            if (line.includes("bridge.php")) programs++;
            seen.add(line);
            seen.add(readFileSync(`/proc/${pid}/environ`, "latin1"));
          } catch {
            // Gone meanwhile.
          }
        }
        await sleep(5);
      }
    })();
    said.push(await hub.ok("install @site.localhost -vv"));
    over = true;
    await sampling;
    salt = /hash_salt: "?([^"\s]+)/.exec(readFileSync(hub.path("secrets/site.localhost.yml"), "utf8"))?.[1] ?? "";
    for (const line of [
      "show @site.localhost --json",
      "show @site.localhost",
      "verify @site.localhost -vv",
      "status @site.localhost --json",
      "disable @site.localhost --debug",
      "enable @site.localhost --debug",
      "cron @site.localhost -vv",
      "operations list --json",
    ])
      said.push(await hub.ok(line));
    for (const id of readdirSync(hub.path("state/operations"))) said.push(await hub.ok(`operations log ${id}`));
  });
  afterAll(() => hub.remove());

  test("the canary is one: a salt, in secrets/ and in settings.php", () => {
    expect(salt.length).toBeGreaterThan(40);
    expect(readFileSync(join(hub.docroot, "sites/site.localhost/settings.php"), "utf8")).toContain(salt);
  });

  test("the hash salt is in no output, whatever the verbosity", () => {
    for (const { stdout, stderr } of said) expect(stdout + stderr).not.toContain(salt);
    expect(said.length).toBeGreaterThan(12);
  });

  test("the hash salt is in no argument list and no environment of a program", () => {
    expect(programs, "no PHP was seen: the sampling is too slow").toBeGreaterThan(0);
    for (const line of seen) expect(line).not.toContain(salt);
  });

  test("the hash salt is in no file of the hub but the two it is for: no journal, history, alias file or vhost", () => {
    const holders = contents(hub.root)
      .filter(([, text]) => text.includes(salt))
      .map(([path]) => path.slice(hub.root.length + 1).replace(/^platforms\/\.builds\/[^/]+/, "platforms/p"));
    expect(holders.sort()).toEqual(["platforms/p/sites/site.localhost/settings.php", "secrets/site.localhost.yml"]);
  });

  test("a core that prints the administrator's password in its error does not bring it to anybody's eyes", async () => {
    await hub.saveSite("leak.localhost");
    for (const more of ["--json", "--debug"]) {
      const failed = await hub.trapped(["password-in-error"], () => hub.provision(`install @leak.localhost ${more}`));
      expect(failed.code).toBe(4);
      const all = failed.stdout + failed.stderr;
      expect(all).toContain("could not save ***");
    }
    const [journal] = contents(hub.path("state/operations")).filter(([, text]) => text.includes("could not save"));
    expect(journal?.[1] ?? "could not save ***").toContain("could not save ***");
    await hub.ok("save @leak.localhost --delete");
  });

  test("modes: secrets/ 0700 with files 0600, settings.php 0440, journals 0700, the database not for all", () => {
    const mode = (path: string) => (statSync(hub.path(path)).mode & 0o7777).toString(8);
    expect(mode("secrets")).toBe("700");
    for (const name of readdirSync(hub.path("secrets"))) expect([name, mode(`secrets/${name}`)]).toEqual([name, "600"]);
    expect(mode("platforms/p/sites/site.localhost/settings.php")).toBe("440");
    expect(mode("platforms/p/sites/site.localhost")).toBe("750");
    expect(mode("state/operations")).toBe("700");
    for (const id of readdirSync(hub.path("state/operations"))) {
      expect(mode(`state/operations/${id}`)).toBe("700");
      expect(Number.parseInt(mode(`state/operations/${id}/journal.jsonl`), 8) & 0o077).toBe(0);
    }
    for (const [path] of contents(hub.path("sites")).filter(([name]) => name.endsWith(".sqlite")))
      expect(statSync(path).mode & 0o007).toBe(0);
  });

  test("a login link is written nowhere but on standard output", async () => {
    const { stdout, stderr } = await hub.ok("login @site.localhost -vv");
    const link = stdout.trim();
    expect(stderr).not.toContain(link);
    const holders = contents(hub.path("state")).filter(([, text]) => text.includes(link));
    expect(holders).toEqual([]);
  });
});

describe("a password that is given by a file", () => {
  let hub: TestHub;
  beforeAll(async () => {
    hub = await TestHub.empty();
  });
  afterAll(() => hub.remove());
  const PASSWORD = "pa ss'\"wörd";
  const kept = () => readFileSync(hub.path("secrets/server_db.yml"), "utf8");
  const save = ["save", "@server_db", "--context_type=server", "--db_service_type=mysql", "--master_db=mysql://root@127.0.0.1:3399"];

  test("or by standard input goes to secrets/, and the same again changes nothing", async () => {
    const file = join(hub.base, "password");
    writeFileSync(file, `${PASSWORD}\nnot this\n`);
    await hub.ok([...save, `--password-file=${file}`]);
    expect(parse(kept()).master_db_password).toBe(PASSWORD);
    expect((await hub.document(["save", "@server_db", `--password-file=${file}`])).counts.changed).toBe(0);
    const { code } = spawnedWith(["save", "@server_db", "--password-file=-"], "another\n");
    expect([code, parse(kept()).master_db_password]).toEqual([0, "another"]);
    for (const [path, text] of contents(hub.path("aliases")).concat(contents(hub.path("state"))))
      for (const word of [PASSWORD, "another"]) expect(text.includes(word), path).toBe(false);
  });

  test.each([
    [["--password-file=/nowhere/at/all"], "cannot be read"],
    [["--password-file=/dev/null"], "the first line of /dev/null is empty"],
    [["--master_db=mysql://root:two@127.0.0.1:3399", "--password-file=/dev/null"], "both give a password"],
  ])("is refused: %s", async (options, words) => {
    const before = kept();
    const { exit, error } = await hub.document(["save", "@server_db", ...options]);
    expect([exit, `${error?.message} ${error?.why.join()}`]).toEqual([64, expect.stringContaining(words)]);
    expect(kept()).toBe(before);
  });

  function spawnedWith(args: readonly string[], input: string) {
    const { status } = spawnSync(process.execPath, [join(PROJECT, "bin/provision.js"), ...args, "--hub", hub.root], { input });
    return { code: status };
  }
});
