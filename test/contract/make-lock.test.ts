import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { driftOf, readLock } from "../../src/builds/make/index.js";
import { encodeOrdered } from "../../src/builds/make/php-value.js";
import { resolveMakeFile } from "../../src/builds/make/resolved.js";
import { treeHash } from "../../src/builds/tree-hash.js";
import { ProvisionError } from "../../src/core/errors.js";
import { Scope } from "../../src/core/scope.js";
import { LocalHost } from "../../src/host/local.js";
import { archive, releaseHistory, repository, treeOf } from "../support/make-fixtures.js";
import { MakeRig, type Platform, read, said } from "../support/make-rig.js";

const rig = new MakeRig();
let repo: string;
let commits: string[];
beforeAll(() => rig.start());
afterAll(() => rig.stop());
beforeEach(() => {
  rig.reset();
  rig.project("drupal", "7.x", ["7.42", "7.41"], "core", { "index.php": "<?php", "sites/default/default.settings.php": "<?php" });
  rig.project("atom", "7.x", ["7.x-1.1", "7.x-1.0"]);
  rig.project("panopoly", "7.x", ["7.x-2.0"], "distribution", {
    "panopoly.make": `core = 7.x\napi = 2\nprojects[inner][location] = ${rig.location}\n`,
  });
  rig.project("inner", "7.x", ["7.x-4.1", "7.x-4.0"]);
  repo = join(rig.work, "repo");
  commits = repository(repo, [{ files: { v: "one" }, tag: "7.x-1.0" }, { files: { v: "two" } }]);
  rig.write({ "fix.patch": "--- a/v.txt\n+++ b/v.txt\n@@ -1 +1 @@\n-atom 7.x-1.1\n+patched\n", "lib/a.js": "a" });
  rig.server.serve("/more.make", `projects[] = panopoly\n`);
  rig.server.serve("/z.zip", archive("zip", "z", { "z.js": "z" }));
});

const text = () => `core = 7.x
api = 2
includes[] = ${rig.server.url}/more.make
projects[] = drupal
projects[atom][patch][] = fix.patch
projects[g][download][url] = ${repo}
libraries[l][download][type] = copy
libraries[l][download][url] = lib
libraries[z][download][type] = file
libraries[z][download][url] = ${rig.server.url}/z.zip
`;

/** Everything that the sources have changes, as it does in a year. */
function ayearLater(): void {
  rig.project("atom", "7.x", ["7.x-1.2", "7.x-1.1", "7.x-1.0"]);
  rig.project("inner", "7.x", ["7.x-5.0", "7.x-4.1"]);
  repository(join(rig.work, "other"), [{ files: { v: "new" } }]);
  rig.server.serve("/more.make", "projects[] = panopoly\nprojects[] = newcomer\n");
}

describe("a lock of a build", () => {
  it("gives the same tree a year later, and offline from the cache", async () => {
    const first = await rig.build(text(), { withLock: true });
    const lock = await readLock(first.report.lock ?? "", "site.lock");
    expect(lock.tree).toBe(await treeHash(first.root));
    expect(lock.entries.map(({ name, version, source }) => [name, version ?? source.type])).toEqual([
      ["drupal", "7.42"],
      ["panopoly", "7.x-2.0"],
      ["atom", "7.x-1.1"],
      ["g", "git"],
      ["l", "copy"],
      ["z", "file"],
      ["inner", "7.x-4.1"],
    ]);
    ayearLater();
    const asked = rig.server.requests.length;
    const offline = await rig.build(text(), { lock, withLock: true }, { offline: true });
    expect(treeOf(offline.root)).toEqual(treeOf(first.root));
    expect(rig.server.requests.length).toBe(asked);
    expect(offline.report.lock).toBe(first.report.lock);
    rmSync(join(rig.work, "cache"), { recursive: true });
    const fresh = await rig.build(text(), { lock }).catch((error: unknown) => error as ProvisionError);
    // without a cache the include is not what it was: refused, not built otherwise
    expect(fresh).toBeInstanceOf(ProvisionError);
    rig.server.serve("/more.make", "projects[] = panopoly\n");
    const again = await rig.build(text(), { lock });
    expect(await treeHash(again.root)).toBe(lock.tree);
    expect(read(again, "profiles/panopoly/modules/inner/v.txt")).toBe("inner 7.x-4.1\n");
  });

  it("holds a branch at its commit, and names the one that is gone", async () => {
    const first = await rig.build(text(), { withLock: true });
    const lock = await readLock(first.report.lock ?? "", "site.lock");
    expect(lock.entries.find(({ name }) => name === "g")?.source).toMatchObject({ commit: commits[1] });
    writeFileSync(join(repo, "v"), "three");
    execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-a", "-m", "c"], { cwd: repo });
    expect(read(await rig.build(text(), { lock }), "sites/all/modules/g/v")).toBe("two");
    rmSync(repo, { recursive: true });
    repository(repo, [{ files: { v: "rewritten" } }]);
    expect(read(await rig.build(text(), { lock }), "sites/all/modules/g/v")).toBe("two");
    rmSync(join(rig.work, "cache"), { recursive: true });
    expect(said(await rig.refused(text(), { lock }))).toContain(`g: Unable to check out revision ${commits[1]}`);
  });

  it("refuses a make file that says something else, naming every entry", async () => {
    const { report } = await rig.build(text(), { withLock: true });
    const lock = await readLock(report.lock ?? "", "site.lock");
    const changed = text()
      .replace("projects[g][download][url]", "projects[h][download][url]")
      .replace("[patch][] = fix.patch", "[version] = 1.0");
    const error = await rig.refused(changed, { lock });
    expect(error.code).toBe("LOCK_MISMATCH");
    expect([...error.why].sort()).toEqual([
      "atom: what the make file says of it was changed",
      "g: it is in the lock, and no longer in the make file",
      "h: it is in the make file, and not in the lock",
    ]);
    expect(said(await rig.refused(text(), { lock, noPatchTxt: true }))).toContain("the options are not those of the lock");
  });

  it("refuses a local patch or directory that was changed since", async () => {
    const { report } = await rig.build(text(), { withLock: true });
    const lock = await readLock(report.lock ?? "", "site.lock");
    rig.write({ "fix.patch": "--- a/v.txt\n+++ b/v.txt\n@@ -1 +1 @@\n-atom 7.x-1.1\n+otherwise\n", "lib/a.js": "b" });
    const error = said(await rig.refused(text(), { lock, ignoreChecksums: true }));
    expect(error).toMatch(/atom: Checksum sha256 verification failed for \S+fix\.patch/);
    expect(error).toMatch(/l: \S+lib was changed since the lock was written/);
  });

  it("names the entries of a built tree that were changed or taken away; what belongs to sites does not count", async () => {
    const built = await rig.build(text(), { withLock: true });
    const lock = await readLock(built.report.lock ?? "", "site.lock");
    rig.write({ "platform0/sites/sites.php": "<?php", "platform0/sites/example.com/settings.php": "<?php" });
    expect(await driftOf(built.root, lock)).toEqual([]);
    writeFileSync(join(built.root, "profiles/panopoly/modules/inner/v.txt"), "edited");
    rmSync(join(built.root, "sites/all/modules/atom"), { recursive: true });
    writeFileSync(join(built.root, "index.php"), "<?php // hacked");
    expect((await driftOf(built.root, lock)).map(({ name, what }) => `${name} ${what}`).sort()).toEqual([
      "atom missing",
      "drupal changed",
      "inner changed",
    ]);
  });

  it.each([
    ["lock: [", /site\.lock is no lock of a make file/],
    ["a: 1", /it has no `lock: 1`/],
    ["lock: 2", /it is of version 2, this provision reads version 1/],
    [
      "lock: 1\ninputs: x\ntree: y\nentries: [{name: a, path: a, asked: a, tree: a, source: {type: git, commit: --upload-pack=x}}]",
      /the commit of a is none/,
    ],
  ])("that is broken is refused: %j", async (broken, expected) => {
    await expect(readLock(broken, "site.lock")).rejects.toThrow(expected);
  });
});

describe("a resolved make file, as drush make-lock writes one", () => {
  const resolve = async (content: string, update?: "newest" | "security") => {
    rig.write({ "site.make": content });
    const request = {
      host: new LocalHost(new Scope()),
      cache: join(rig.work, "cache"),
      mirrors: {},
      offline: false,
      jobs: 4,
      staging: join(rig.work, "staging"),
    };
    const { document } = await resolveMakeFile({ makefile: join(rig.work, "site.make"), updateUrl: rig.location }, request, update);
    return encodeOrdered(document);
  };
  const map = (entries: readonly (readonly [string, unknown])[]) => ({ a: entries });

  it("names the version of every project, core first", async () => {
    expect(await resolve("api: 2\ncore: 7\n\nprojects:\n  atom:\n    version: ~\n  drupal:\n    version: 7.42\n")).toEqual(
      map([
        ["core", "7.x"],
        ["api", { i: 2 }],
        [
          "projects",
          map([
            [
              "drupal",
              map([
                ["version", "7.42"],
                ["type", "core"],
              ]),
            ],
            ["atom", map([["version", "1.1"]])],
          ]),
        ],
      ]),
    );
  });

  it("names branch and commit of a repository; a tag stays a tag", async () => {
    const found = await resolve(
      `api: 2\ncore: 7\nprojects:\n  drupal: {version: 7.42}\n  a: {download: {url: ${repo}}}\n  t: {download: {url: ${repo}, tag: 7.x-1.0}}\n`,
    );
    const text = JSON.stringify(found);
    expect(text).toContain(
      JSON.stringify([
        ["url", repo],
        ["type", "git"],
        ["branch", "main"],
        ["revision", commits[1]],
      ]).slice(1, -1),
    );
    expect(text).toContain(
      JSON.stringify([
        ["url", repo],
        ["tag", "7.x-1.0"],
        ["type", "git"],
      ]).slice(1, -1),
    );
  });

  it("takes the newest release within the core when it is to be updated", async () => {
    const text = JSON.stringify(await resolve("api: 2\ncore: 7\nprojects:\n  drupal: {version: 7.41}\n  atom: {version: 1.0}\n", "newest"));
    expect(text).toContain('["version","7.42"]');
    expect(text).toContain('["version","1.1"]');
  });

  it("with security alone in mind moves only what is insecure, or was repaired since, within its major", async () => {
    const url = `${rig.server.url}/none`;
    const releases = (list: readonly (readonly [string, (string | undefined)?, string?])[]) =>
      list.map(([version, term, extra]) => ({ version, url, ...(term ? { term } : {}), ...(extra ? { extra } : {}) }));
    const names = ["repaired", "insecure", "fine", "early"];
    for (const name of names)
      rig.server.serve(
        `/rh/${name}/7.x`,
        releaseHistory(
          "module",
          releases(
            name === "repaired"
              ? [["7.x-2.0"], ["7.x-1.4-beta1", undefined, "beta1"], ["7.x-1.3"], ["7.x-1.2", "Security update"], ["7.x-1.0"]]
              : name === "insecure"
                ? [["7.x-1.1"], ["7.x-1.0", "Insecure"]]
                : name === "fine"
                  ? [
                      ["7.x-1.1", "Bug fixes"],
                      ["7.x-1.0", "Security update"],
                    ]
                  : [["7.x-2.0", "Security update"], ["7.x-1.0"]],
          ),
        ),
      );
    const text = `api: 2\ncore: 7\nprojects:\n${names.map((name) => `  ${name}: {version: 1.0}\n`).join("")}  drupal: {version: 7.41}\n`;
    const found = JSON.stringify(await resolve(text, "security"));
    const versions = [...found.matchAll(/\["(\w+)",\{"a":\[\["version","([\d.]+)"/g)].map(([, name, version]) => `${name} ${version}`);
    expect(versions.sort()).toEqual(["drupal 7.41", "early 1.0", "fine 1.0", "insecure 1.1", "repaired 1.3"]);
  });
});

describe("the make file as it was resolved, inside the build", () => {
  it("is one that builds the same, without credentials; the lock knows of it", async () => {
    const text = `core = 7.x\napi = 2\nprojects[] = drupal\nprojects[] = panopoly\nprojects[g][download][url] = ${repo}\nlibraries[z][download][type] = file\nlibraries[z][download][url] = ${rig.server.url.replace("//", "//me:hunter2@")}/z.zip\n`;
    const options = { bundleLockfile: "sites/all/drush/platform.make" };
    const first = await rig.build(text, { ...options, withLock: true });
    const bundled = read(first, options.bundleLockfile);
    expect(bundled).toContain('projects[drupal][version] = "7.42"');
    expect(bundled).toContain(`projects[g][download][revision] = "${commits[1]}"`);
    // what a project's own make file brings is not the make file's
    expect(bundled).not.toMatch(/hunter2|inner/);
    const again = await rig.build(bundled, options);
    expect(treeOf(again.root)).toEqual(treeOf(first.root));
    const lock = await readLock(first.report.lock ?? "", "site.lock");
    expect(treeOf((await rig.build(text, { ...options, lock })).root)).toEqual(treeOf(first.root));
    expect(said(await rig.refused(text, { lock }))).toContain("the options are not those of the lock");
  });

  it("comes into a directory that was there, too; what stands in its way is not touched", async () => {
    const options = { noCore: true, bundleLockfile: "lock.make.yml" };
    rig.write({ "into/mine": "1" });
    const text = "core = 7.x\napi = 2\nprojects[] = atom\n";
    await rig.build(text, options, { destination: join(rig.work, "into") });
    expect(read({ root: join(rig.work, "into") } as Platform, "lock.make.yml")).toContain("atom:\n    version: '1.1'\n");
    const error = await rig.refused(text, { noCore: true, bundleLockfile: "sites/all/modules/atom/v.txt" });
    expect(said(error)).toContain("something that was built stands at sites/all/modules/atom/v.txt");
  });
});
