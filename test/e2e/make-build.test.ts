import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { type DrupalMirror, drupalMirror } from "../support/drupal-mirror.js";
import { archive } from "../support/make-fixtures.js";
import { run } from "../support/processes.js";
import { PROJECT } from "../support/project.js";

let work: string;
let mirror: DrupalMirror;

beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "provision-make-"));
  mirror = drupalMirror(join(PROJECT, "src/demo/sample"));
  writeFileSync(join(work, "provision.yml"), stringify({ mirrors: mirror.mirrors }));
  writeFileSync(join(work, "site.make"), "core = 7.x\napi = 2\nprojects[drupal][version] = 7.103\nprojects[views][version] = 3.29\n");
  writeFileSync(join(work, "lib.tar.gz"), archive("tar.gz", "lib", { "lib.js": "1\n" }));
  writeFileSync(
    join(work, "part.make"),
    "core = 7.x\napi = 2\nprojects[views][version] = 3.29\nlibraries[lib][download][type] = get\nlibraries[lib][download][url] = lib.tar.gz\n",
  );
});
afterAll(() => {
  mirror.remove();
  rmSync(work, { recursive: true, force: true });
});

const provision = (...args: readonly string[]) =>
  run(process.execPath, [join(PROJECT, "bin/provision.js"), ...args, "--hub", work], { cwd: work });
const there = (path: string) => existsSync(join(work, path));

describe("make FILE PATH", () => {
  it("every option of drush make is taken, those that drush itself ignored with a note", async () => {
    const ended = await provision(
      ...["make", "part.make", "one", "--no-core", "--contrib-destination=.", "--projects=views", "--libraries=lib", "--concurrency=2"],
      ...["--no-recursion", "--no-patch-txt", "--no-gitinfofile", "--shallow-clone", "--ignore-checksums", "--download-mechanism=wget"],
      ...["--no-clean", "--no-gitprojectinfo", "--allow-override=none"],
    );
    expect(ended.stderr).toContain("--download-mechanism does nothing");
    expect(ended.code, ended.stderr).toBe(0);
    expect(there("one/modules/views/views.info")).toBe(true);
    expect(there("one/libraries/lib/lib.js")).toBe(true);
  });

  it("--projects leaves the libraries out, --libraries the projects", async () => {
    expect((await provision("make", "part.make", "two", "--no-core", "--projects=views")).code).toBe(0);
    expect(readdirSync(join(work, "two/sites/all"))).toEqual(["modules"]);
    expect((await provision("make", "part.make", "three", "--no-core", "--libraries=*")).code).toBe(0);
    expect(readdirSync(join(work, "three/sites/all"))).toEqual(["libraries"]);
  });

  it("what fails is told at once, entry by entry; nothing is put in place; exit 1", async () => {
    writeFileSync(
      join(work, "bad.make"),
      "core = 7.x\napi = 2\nprojects[drupal][version] = 7.1\nprojects[views][version] = 9.9\nprojects[nosuch] = 1\n",
    );
    const ended = await provision("make", "bad.make", "bad", "--offline");
    expect(ended.code).toBe(1);
    for (const expected of [
      /3 of 3 entries could not be built/,
      /Why {3}entry {3}type {4}source {2,}reason\n/,
      /\n {8}drupal {2}core {4}https:\S+\/drupal {2,}Could not locate drupal version 7\.1\./,
      /\n {8}nosuch {2}module {2}https:\S+\/nosuch {2,}\S/,
      /\n {8}views {3}module {2}https:\S+\/views {3,}Could not locate views version 7\.x-9\.9\./,
      /Now +nothing was put in place/,
    ])
      expect(ended.stderr).toMatch(expected);
    const { error } = JSON.parse((await provision("make", "bad.make", "bad", "--offline", "--json")).stdout);
    expect(error.failures.map(({ entry, type }: { entry: string; type: string }) => `${entry} ${type}`)).toEqual([
      "drupal core",
      "nosuch module",
      "views module",
    ]);
    expect(error.failures[2]).toMatchObject({
      source: expect.stringMatching(/\/views$/),
      reason: expect.stringMatching(/^Could not locate/),
    });
    expect(error.why).toHaveLength(3);
    expect(there("bad")).toBe(false);
    expect(readdirSync(work).filter((name) => name.startsWith(".bad"))).toEqual([]);
  });

  it("--strict refuses a make file with remarks before anything is fetched: exit 65", async () => {
    writeFileSync(join(work, "odd.make"), `${readFileSync(join(work, "site.make"), "utf8")}# x\nprojects[a][version] = 1\n`);
    const ended = await provision("make", "odd.make", "odd", "--strict");
    expect(ended.code).toBe(65);
    expect(ended.stderr).toMatch(/odd\.make:5:1: "# x" is no comment to drush/);
    expect((await provision("make", "site.make", "strict", "--strict")).code).toBe(0);
  });

  it("--lock writes a lock, --locked builds the same tree from it without a network, and refuses another make file", async () => {
    const first = await provision("make", "site.make", "first", "--lock", "--md5", "--json");
    const { data } = JSON.parse(first.stdout);
    expect(data).toMatchObject({ path: join(work, "first"), lock: join(work, "site.make.lock") });
    const again = await provision("make", "--locked", "site.make", "again", "--offline", "--md5=print", "--json");
    expect(JSON.parse(again.stdout)).toMatchObject({ ok: true, data: { md5: data.md5 } });
    writeFileSync(join(work, "other.make"), `${readFileSync(join(work, "site.make"), "utf8")}projects[ctools][version] = 1\n`);
    const other = await provision("make", "other.make", "other", "--locked=site.make.lock");
    expect(other.code).toBe(1);
    expect(there("other")).toBe(false);
  });

  it("--lock hashes a tree of more files than a process may open", async () => {
    for (let at = 0; at < 1500; at++) {
      if (at % 100 === 0) mkdirSync(join(work, `many/${at}`), { recursive: true });
      writeFileSync(join(work, `many/${at - (at % 100)}/${at}`), String(at));
    }
    writeFileSync(
      join(work, "many.make"),
      "core = 7.x\napi = 2\nlibraries[many][download][type] = copy\nlibraries[many][download][url] = many\n",
    );
    const command = `ulimit -n 160; exec "$0" "$@"`;
    const argv = [
      process.execPath,
      join(PROJECT, "bin/provision.js"),
      "make",
      "many.make",
      "built-many",
      "--no-core",
      "--lock",
      "--hub",
      work,
    ];
    const ended = await run("sh", ["-c", command, ...argv], { cwd: work });
    expect(ended.code, ended.stderr).toBe(0);
    expect(readFileSync(join(work, "many.make.lock"), "utf8")).toContain("name: many");
  });

  it("--tar gives an archive, --test nothing at all", async () => {
    expect((await provision("make", "part.make", "packed", "--no-core", "--tar")).code).toBe(0);
    expect(there("packed.tar.gz") && !there("packed")).toBe(true);
    expect((await provision("make", "part.make", "tested", "--no-core", "--test")).code).toBe(0);
    expect(there("tested")).toBe(false);
  });

  it("--bundle-lockfile puts the resolved make file where drush does, or where it is told to", async () => {
    expect((await provision("make", "--bundle-lockfile", "site.make", "bundled")).code).toBe(0);
    expect(readFileSync(join(work, "bundled/sites/all/drush/platform.make"), "utf8")).toContain('projects[views][version] = "3.29"');
    expect((await provision("make", "site.make", "bundled2", "--bundle-lockfile=made/lock.yml")).code).toBe(0);
    expect(readFileSync(join(work, "bundled2/made/lock.yml"), "utf8")).toContain("version: '3.29'");
  });

  it("--no-build looks whether all can be had, or writes only the lock; a path is not needed, and nothing is put there", async () => {
    const looked = await provision("make", "site.make", "--no-build", "--json");
    expect(JSON.parse(looked.stdout)).toMatchObject({ ok: true, outcome: "ok", data: { entries: 2 } });
    const failed = await provision("make", "bad.make", "--no-build", "--offline", "--json");
    expect(JSON.parse(failed.stdout)).toMatchObject({ exit: 1, error: { failures: [{ entry: "drupal" }, { entry: "nosuch" }, {}] } });
    const locked = await provision("make", "site.make", "nothing", "--no-build", "--lock=only.lock");
    expect(locked.code, locked.stderr).toBe(0);
    expect(there("nothing")).toBe(false);
    expect((await provision("make", "site.make", "from-only", "--locked=only.lock", "--offline")).code).toBe(0);
    const wrong = await provision("make", "only.lock", "wrong");
    expect([wrong.code, wrong.stderr]).toEqual([65, expect.stringContaining("this is a lock that provision wrote, and no make file")]);
  });

  it("without a path it says what is missing", async () => {
    const ended = await provision("make", "site.make");
    expect([ended.code, ended.stderr]).toEqual([64, expect.stringContaining("missing required argument 'path'")]);
  });

  it.each([
    [["--core-quick-drupal"], "provision demo"],
    [["--bundle-lockfile=../x"], "--bundle-lockfile=../x is refused: it leads out of the build"],
    [["--bundle-lockfile=.git/config"], "it leads into a .git directory"],
    [["--bundle-lockfile", "--no-build"], "--no-build makes none"],
    [["--working-copy", "--shallow-clone"], "exclude each other"],
    [["--concurrency=0"], "not a number from 1 to 64"],
    [["--md5=sum"], "is not --md5=print"],
    [["--no-such-option"], "unknown option"],
  ])("%j is a usage error", async (args, expected) => {
    const ended = await provision("make", "site.make", "usage", ...args);
    expect(ended.code).toBe(64);
    expect(ended.stderr).toContain(expected);
  });
});

describe("make-lock and make-update", () => {
  it("make-lock names every version; the outcome is a make file that builds", async () => {
    writeFileSync(join(work, "open.make"), "core = 7.x\napi = 2\nprojects[] = drupal\nprojects[] = views\n");
    const ended = await provision("make-lock", "open.make", "--result-file=open.lock.yml");
    expect(ended.code, ended.stderr).toBe(0);
    expect(readFileSync(join(work, "open.lock.yml"), "utf8")).toBe(
      "core: 7.x\napi: 2\nprojects:\n  drupal:\n    version: '7.103'\n    type: core\n  views:\n    version: '3.29'\n",
    );
    expect((await provision("make", "open.lock.yml", "locked", "--strict")).code).toBe(0);
  });

  it("make-update takes the newest releases, and prints INI with --format=make", async () => {
    writeFileSync(join(work, "old.make"), "core = 7.x\napi = 2\nprojects[drupal][version] = 7.103\nprojects[views][version] = 3.0\n");
    const ended = await provision("make-update", "old.make", "--format=make");
    expect(ended.stdout).toContain('projects[views][version] = "3.29"');
    expect(ended.code, ended.stderr).toBe(0);
  });

  it("what cannot be resolved is named, and nothing is written: exit 1", async () => {
    writeFileSync(join(work, "gone.make"), "core = 7.x\napi = 2\nprojects[drupal][version] = 7.103\nprojects[nosuch] = 1\n");
    const ended = await provision("make-lock", "gone.make", "--offline", "--result-file=gone.yml");
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain("nosuch");
    expect(there("gone.yml")).toBe(false);
  });
});
