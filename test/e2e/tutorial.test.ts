import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { stringify } from "yaml";
import { type DrupalMirror, drupalMirror } from "../support/drupal-mirror.js";
import { run, start } from "../support/processes.js";
import { PROJECT } from "../support/project.js";

/** Blocks of shell of one section of the README, in order. */
function shellBlocks(title: string): readonly string[] {
  const readme = readFileSync(join(PROJECT, "README.md"), "utf8");
  const section = readme.split(`\n## ${title}\n`)[1]?.split("\n## ")[0] ?? "";
  return [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");
}

let home: string;
let mirror: DrupalMirror;

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "provision-tutorial-"));
  mirror = drupalMirror(process.env["PROVISION_TEST_DRUPAL7"] ?? join(PROJECT, "src/demo/sample"));
  // What `npm link` gives.
  mkdirSync(join(home, "bin"));
  writeFileSync(join(home, "bin/provision"), `#!/bin/sh\nexec ${process.execPath} ${join(PROJECT, "bin/provision.js")} "$@"\n`);
  chmodSync(join(home, "bin/provision"), 0o755);
});

afterAll(() => {
  mirror.remove();
  rmSync(home, { recursive: true, force: true });
});

it("the README's first hour works word for word (drupal.org is a directory here, entered as a mirror after init)", async () => {
  const env = { HOME: home, PATH: `${join(home, "bin")}:${process.env["PATH"]}`, PROVISION_HUB: undefined };
  const blocks = shellBlocks("A first hour");
  expect(blocks.length).toBeGreaterThan(10);
  let cwd = home;
  let said = "";
  for (const block of blocks) {
    const lines = block.replace(/^npm (ci|link)\n/gm, "");
    if (lines.trim() === "provision serve") {
      // Any free port: the one of the tutorial may be in use where the tests run.
      const serve = start("provision", ["serve", "--port", "0"], { cwd, env: { ...process.env, ...env } });
      await new Promise((resolve) => serve.child.stderr?.once("data", resolve));
      serve.child.kill("SIGINT");
      expect((await serve.ended).code, "provision serve ended by Ctrl-C").toBe(0);
      continue;
    }
    const ended = await run("sh", ["-euc", `${lines}\npwd > "$HOME/cwd"`], { cwd, env });
    expect(ended.code, `${lines}\n${ended.stdout}${ended.stderr}`).toBe(0);
    said += `${ended.stdout}${ended.stderr}`;
    cwd = readFileSync(join(home, "cwd"), "utf8").trim();
    if (lines.includes("provision init")) writeFileSync(join(home, "hub/provision.yml"), stringify({ mirrors: mirror.mirrors }));
  }
  expect(said).toMatch(/Login {2}http:\/\/first\.localhost:8080\/user\/reset\/1\//);
  expect(said).toMatch(/verify @platform_d7: \d+ ok, 0 changed/);
  expect(readdirSync(join(home, "hub/aliases"))).toEqual(["client_admin.yml", "server_master.yml"]);
  expect(readdirSync(join(home, "hub/platforms/.builds"))).toEqual([]);
  expect(readdirSync(join(home, "hub/sites"))).toEqual([]);
}, 180_000);
