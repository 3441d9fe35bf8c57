import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { type DrupalMirror, drupalMirror } from "../support/drupal-mirror.js";
import { treeOf } from "../support/make-fixtures.js";
import { run } from "../support/processes.js";
import { PROJECT } from "../support/project.js";

const PATCH = "--- a/views.module\n+++ b/views.module\n@@ -1 +1,2 @@\n <?php\n+// patched\n";

describe("make-generate", () => {
  let hub: string;
  let root: string;
  let mirror: DrupalMirror;
  const provision = (...args: readonly string[]) =>
    run(process.execPath, [join(PROJECT, "bin/provision.js"), ...args, "--hub", hub], { cwd: hub });

  beforeAll(async () => {
    hub = mkdtempSync(join(tmpdir(), "provision-generate-"));
    // The version that the sample says of itself, so that the mirror has what is found.
    mirror = drupalMirror(join(PROJECT, "src/demo/sample"), "7.0-sample");
    expect((await provision("init", "--local")).code).toBe(0);
    writeFileSync(join(hub, "provision.yml"), stringify({ mirrors: mirror.mirrors }));
    writeFileSync(join(hub, "fix.patch"), PATCH);
    writeFileSync(
      join(hub, "d7.make"),
      "core = 7.x\napi = 2\nprojects[drupal][version] = 7.0-sample\nprojects[views][version] = 3.29\nprojects[views][subdir] = contrib\nprojects[views][patch][] = fix.patch\n",
    );
    for (const args of [
      ["save", "@platform_d7", "--root=platforms/d7", "--makefile=d7.make"],
      ["verify", "@platform_d7"],
      ["save", "@a.localhost", "--context_type=site", "--platform=@platform_d7"],
      ["install", "@a.localhost"],
    ]) {
      const ended = await provision(...args);
      expect(ended.code, `${args.join(" ")}\n${ended.stderr}`).toBe(0);
    }
    root = join(hub, "platforms/d7");
    // drupal.org's packaging writes this.
    const info = join(root, "sites/all/modules/contrib/views/views.info");
    writeFileSync(info, `${readFileSync(info, "utf8")}project = "views"\n`);
    mkdirSync(join(root, "sites/all/modules/custom/own"), { recursive: true });
    writeFileSync(join(root, "sites/all/modules/custom/own/own.info"), "name = Own\ncore = 7.x\n");
    writeFileSync(join(root, "sites/all/modules/custom/own/own.module"), "<?php\n");
    mkdirSync(join(root, "sites/all/libraries/lib"), { recursive: true });
    writeFileSync(join(root, "sites/all/libraries/lib/lib.js"), "1\n");
  }, 120_000);
  afterAll(() => {
    mirror.remove();
    rmSync(hub, { recursive: true, force: true });
  });

  it("of a platform: core, projects with version, subdirectory and patches; what is not of drupal.org is copied, with a warning", async () => {
    const ended = await provision("make-generate", "@platform_d7", "all.make.yml");
    expect(ended.code, ended.stderr).toBe(0);
    expect(readFileSync(join(hub, "all.make.yml"), "utf8").replaceAll(/(\/\S+)?\/(?=sites\/all)/g, "ROOT/")).toBe(`core: 7.x
api: 2
projects:
  drupal:
    type: core
    version: '7.0-sample'
  views:
    version: '3.29'
    subdir: contrib
    patch:
      - ROOT/sites/all/modules/contrib/views/fix.patch
  own:
    download:
      type: copy
      url: ROOT/sites/all/modules/custom/own
    subdir: custom
libraries:
  lib:
    download:
      type: copy
      url: ROOT/sites/all/libraries/lib
`);
    expect(ended.stderr).toContain("! own is not known to be a release of drupal.org: it is copied from sites/all/modules/custom/own");
    expect(ended.stderr).toContain("Some of the properties in your makefile will have to be manually edited.");
  });

  it("what it writes builds the same projects", async () => {
    for (const name of ["again.make", "again.make.yml"]) {
      expect((await provision("make-generate", "@platform_d7", name)).code).toBe(0);
      const built = await provision("make", name, name.replace(".make", "-tree"));
      expect(built.code, built.stderr).toBe(0);
      const tree = join(hub, name.replace(".make", "-tree"));
      const files = (of: string) => treeOf(of).filter((line) => !/^modules\/contrib\/views\/(?:PATCHES\.txt|views\.info)/.test(line));
      expect(files(join(tree, "sites/all"))).toEqual(files(join(root, "sites/all")));
    }
  });

  it("what it writes is clean to make-check --strict, in either notation, of platform and site", async () => {
    for (const name of ["again.make", "again.make.yml"]) {
      for (const context of ["@platform_d7", "@a.localhost"]) {
        expect((await provision("make-generate", context, name, "--yes")).code).toBe(0);
        const checked = await provision("make-check", "--strict", name);
        expect(checked.code, checked.stdout + checked.stderr).toBe(0);
        expect(checked.stderr).toContain("1 file: 0 errors, 0 warnings");
      }
    }
  });

  it("as composer.json: exactly the versions that are there, patches, own code listed; the result names own code too", async () => {
    const ended = await provision("make-generate", "@platform_d7", "composer.json", "--json");
    expect(ended.code, ended.stderr).toBe(0);
    expect(JSON.parse(ended.stdout).data).toEqual({
      format: "composer",
      path: "composer.json",
      own: [
        { name: "lib", type: "library", path: "sites/all/libraries/lib" },
        { name: "own", type: "module", path: "sites/all/modules/custom/own" },
      ],
    });
    const json = JSON.parse(readFileSync(join(hub, "composer.json"), "utf8"));
    expect(json).toMatchObject({
      name: "provision/platform-d7",
      require: { "drupal/views": "3.29", "cweagans/composer-patches": "^1.7" },
      extra: {
        "own-code": { lib: "sites/all/libraries/lib", own: "sites/all/modules/custom/own" },
        patches: { "drupal/views": { fix: join(root, "sites/all/modules/contrib/views/fix.patch") } },
      },
    });
    expect(json.require).not.toHaveProperty("drupal/own");
    expect(JSON.parse(ended.stdout).warnings).toContain(
      "own is not known to be a release of drupal.org or a package: take it along from sites/all/modules/custom/own, or name its repository",
    );
  });

  it("of a site: only what is enabled", async () => {
    const projects = async () => {
      const ended = await provision("make-generate", "@a.localhost");
      expect(ended.code, ended.stderr).toBe(0);
      return [...(ended.stdout.split("libraries:")[0] ?? "").matchAll(/^ {2}(\w+):/gm)].map(([, name]) => name);
    };
    expect(await projects()).toEqual(["drupal"]);
    const database = readdirSync(join(hub, "sites/a.localhost")).map((each) => join(hub, "sites/a.localhost", each, "db/site.sqlite"))[0];
    execFileSync("php", [
      "-r",
      "$d = new PDO('sqlite:' . $argv[1]); $d->exec(\"INSERT INTO system (filename, name, type, status, weight, schema_version) VALUES ('views.module', 'views', 'module', 1, 0, 0)\");",
      database ?? "",
    ]);
    expect(await projects()).toEqual(["drupal", "views"]);
  });

  it("--exclude-versions leaves versions out, of all or of some; --include-versions keeps those named", async () => {
    const versions = async (...args: readonly string[]) =>
      [
        ...(await provision("make-generate", "@platform_d7", "--format=make", ...args)).stdout.matchAll(/\[(\w+)\]\[version\] = "(.*)"/g),
      ].map(([, name, version]) => `${name} ${version}`);
    expect(await versions()).toEqual(["drupal 7.0-sample", "views 3.29"]);
    expect(await versions("--exclude-versions")).toEqual(["drupal ", "views "]);
    expect(await versions("--exclude-versions=views")).toEqual(["drupal 7.0-sample", "views "]);
    expect(await versions("--include-versions=views")).toEqual(["drupal ", "views 3.29"]);
  });

  it("a server has no code: usage error", async () => {
    expect((await provision("make-generate", "@server_master")).code).toBe(64);
  });
});
