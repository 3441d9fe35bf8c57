import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { composerSource } from "../../src/builds/composer/index.js";
import { composerJson } from "../../src/builds/make/composer-json.js";
import { type FoundCode, generatedComposerJson } from "../../src/builds/make/generate.js";
import { readMakeFile } from "../../src/builds/make/index.js";
import { ProvisionError } from "../../src/core/errors.js";
import { Scope } from "../../src/core/scope.js";
import { LocalHost } from "../../src/host/local.js";
import { composer, fakePackages } from "../support/composer-project.js";
import { archive, type Files, temporaryDirectory, treeOf, writeFiles } from "../support/make-fixtures.js";
import { MakeRig, said } from "../support/make-rig.js";

const rig = new MakeRig();
beforeAll(() => rig.start());
afterAll(() => rig.stop());
beforeEach(() => rig.reset());

async function converted(text: string, file: string) {
  const { document } = await readMakeFile(file, new LocalHost(new Scope()), { text });
  if (!document) throw new Error(`${file} cannot be built`);
  return JSON.parse(composerJson(document, file).text);
}

/** What Composer says of a composer.json, and the code it ends with. */
function validated(json: unknown): { readonly code: number | null; readonly lines: readonly string[] } {
  const directory = writeFiles(temporaryDirectory(), { "composer.json": JSON.stringify(json) });
  try {
    const { status, stdout, stderr } = spawnSync("composer", ["validate", "--no-check-publish", "--no-interaction", "--no-ansi"], {
      cwd: directory,
      encoding: "utf8",
      env: { ...process.env, COMPOSER_HOME: directory, COMPOSER_ALLOW_SUPERUSER: "1", COMPOSER_DISABLE_NETWORK: "1" },
    });
    return { code: status, lines: `${stdout}\n${stderr}`.split("\n") };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const SEVEN = `core = 7.x
api = 2
projects[drupal][version] = 7.103
projects[drupal][patch][] = https://www.drupal.org/files/issues/core-fix-1234567-8.patch
projects[views][version] = 3.29
projects[views][subdir] = contrib
projects[ctools][version] = 1.x-dev
projects[my_theme][type] = theme
projects[my_theme][download][url] = https://git.example/my_theme.git
projects[my_theme][download][tag] = 1.0
libraries[jQuery.Cycle][download][type] = get
libraries[jQuery.Cycle][download][url] = https://code.example/cycle-2.9.zip
libraries[jQuery.Cycle][directory_name] = Cycle
`;
const TEN = `core: 10.x
api: 2
projects:
  drupal: {version: 10.4.9}
  token: {version: "1.15"}
  devel: {version: 5.x-dev, subdir: dev}
  own: {type: profile, download: {type: git, url: "https://git.example/own.git", branch: main}}
libraries:
  dropzone: {download: {type: file, url: "https://code.example/dropzone.tar.gz"}}
`;
const corpus = process.env["PROVISION_TEST_MAKE_CORPUS"];

const FOUND: FoundCode = {
  docroot: "/hub/platforms/d10/web",
  coreVersion: "10.4.9",
  corePatches: ["https://www.drupal.org/files/issues/core-fix-1234567-8.patch"],
  projects: [
    {
      kind: "module",
      name: "token",
      path: "modules/contrib/token",
      project: "token",
      version: "8.x-1.15",
      composer: { name: "drupal/token", version: "1.15.0" },
      patches: [],
    },
    {
      kind: "module",
      name: "webform",
      path: "modules/contrib/webform",
      project: "webform",
      version: "6.2.9",
      patches: ["https://www.drupal.org/files/issues/w-2.patch"],
    },
    {
      kind: "module",
      name: "private",
      path: "modules/contrib/private",
      project: undefined,
      version: "1.2.0",
      composer: { name: "acme/private", version: "1.2.0" },
      patches: [],
    },
    {
      kind: "module",
      name: "branch",
      path: "modules/contrib/branch",
      project: undefined,
      version: undefined,
      composer: { name: "acme/branch", version: "dev-main" },
      patches: [],
    },
    {
      kind: "library",
      name: "select2",
      path: "libraries/select2",
      project: undefined,
      version: "4.0.13",
      composer: { name: "npm-asset/select2", version: "4.0.13" },
      patches: [],
    },
    { kind: "module", name: "ours", path: "modules/custom/ours", project: undefined, version: undefined, patches: [] },
  ],
};

describe("composer.json of make-generate", () => {
  const platform = {
    repositories: {
      drupal: { type: "composer", url: "https://packages.drupal.org/8" },
      assets: { type: "composer", url: "https://assets.example" },
      own: { type: "path", url: "packages/*" },
      "packagist.org": false,
    },
    require: {
      "drupal/core-recommended": "^10.4",
      "drupal/token": "^1.5",
      "drupal/unused": "^1",
      "drush/drush": "^13",
      "oomph/extender": "^2",
      php: ">=8.2",
      "npm-asset/select2": "^4",
      "npm-asset/gone": "^1",
    },
    config: { "allow-plugins": { "oomph/extender": true, "composer/installers": false } },
  };
  const made = generatedComposerJson(FOUND, "@shop.example.com", platform);
  const json = JSON.parse(made.text);

  it("has exactly the versions that are there, and what else the platform requires, without extensions that are not used", () => {
    expect(json.require).toEqual({
      "acme/branch": "dev-main",
      "acme/private": "1.2.0",
      "composer/installers": "^1.9 || ^2.0",
      "cweagans/composer-patches": "^1.7",
      "drupal/core-composer-scaffold": "10.4.9",
      "drupal/core-recommended": "10.4.9",
      "drupal/token": "1.15",
      "drupal/webform": "6.2.9",
      "drush/drush": "^13",
      "npm-asset/select2": "4.0.13",
      "oomph/extender": "^2",
      php: ">=8.2",
    });
    expect(json.name).toBe("provision/shop-example-com");
    expect(json.repositories).toEqual([
      { type: "composer", url: "https://packages.drupal.org/8" },
      { type: "composer", url: "https://assets.example" },
    ]);
    expect(json.config["allow-plugins"]).toMatchObject({ "oomph/extender": true, "composer/installers": true });
    expect(json.extra.patches).toEqual({
      "drupal/core": { "Issue #1234567: core fix": "https://www.drupal.org/files/issues/core-fix-1234567-8.patch" },
      "drupal/webform": { w: "https://www.drupal.org/files/issues/w-2.patch" },
    });
  });

  it("lists own code, and warns of it and of what only this platform has", () => {
    expect(json.extra["own-code"]).toEqual({ ours: "modules/custom/ours" });
    expect(made.own).toEqual([{ name: "ours", type: "module", path: "modules/custom/ours" }]);
    expect(made.warnings).toEqual([
      "1 repositories of the platform's composer.json are directories, and were left out",
      expect.stringContaining("ours is not known to be a release"),
    ]);
  });

  it("is valid to Composer, which remarks on nothing but that versions are exact", () => {
    const { code, lines } = validated(json);
    expect(code).toBe(0);
    expect(lines.filter((line) => line.startsWith("- ") && !/exact version constraints/.test(line))).toEqual([]);
  });
});

describe("composer.json of make-convert, by Composer itself", () => {
  it.each([
    ["Drupal 7", "a.make", SEVEN],
    ["Drupal 10", "b.make.yml", TEN],
  ])("is valid: %s", async (_, file, text) => {
    const { code, lines } = validated(await converted(text, `/m/${file}`));
    expect(code).toBe(0);
    expect(lines).toContainEqual(expect.stringMatching(/^\.\/composer\.json is valid/));
    // A development version that the make file names is one; there is nothing else to remark.
    expect(lines.filter((line) => line.startsWith("- ") && !/exact version constraints \(\d+\.x-dev\)/.test(line))).toEqual([]);
  });

  it("with versions that make files of the corpus have and Composer does not know: any is taken, and a tag by its name", async () => {
    const text = `core = 7.x\napi = 2\nprojects[drupal][version] = 7.103\nprojects[a][version] = 3.181-devshop\nprojects[b][version] = 7.x-\nprojects[c][version] = "\\"2.x-dev"\nprojects[d][download][tag] = 7.x-1.0-unstable4\n`;
    const json = await converted(text, "/m/odd.make");
    expect(json.require).toMatchObject({ "drupal/a": "*", "drupal/b": "*", "drupal/c": "*", "make-project/d": "dev-make" });
    expect(json.repositories.at(-1).package.source.reference).toBe("7.x-1.0-unstable4");
    expect(validated(json).code).toBe(0);
  });

  it("and one that is broken is not called valid", async () => {
    const json = await converted(TEN, "/m/b.make.yml");
    const { code, lines } = validated({ ...json, require: { "Drupal/Core Recommended": "^10" } });
    expect(code).not.toBe(0);
    expect(lines.join(" ")).toContain("is invalid");
  });

  it.skipIf(corpus === undefined)("of a sample of the corpus is valid", async () => {
    const names = readdirSync(join(corpus ?? "", "files")).sort();
    for (const name of names.filter((_, index) => index % 60 === 7)) {
      const text = readFileSync(join(corpus ?? "", "files", name), "utf8");
      const json = await converted(text, `/m/${name}`).catch(() => undefined);
      if (json !== undefined) expect(validated(json), name).toMatchObject({ code: 0 });
    }
  });
});

describe("a platform that Composer builds from it", () => {
  const release = (name: string, version: string, more: Files = {}) => ({ "v.txt": `${name} ${version}\n`, ...more });
  /** Offered by path instead of packages.drupal.org; projects there require core, too. */
  const around = (name: string, type: string, version: string): Files => ({
    "composer.json": JSON.stringify({ name, type, version, require: { "drupal/drupal": "*" } }),
  });
  const packages = (): Parameters<typeof fakePackages>[1] => [
    ["drupal/drupal", "drupal-core", "7.103.0", release("drupal", "7.103", { "index.php": "<?php", "sites/all/modules/README.txt": "x" })],
    ["drupal/views", "drupal-module", "3.29.0", release("views", "7.x-3.29", around("drupal/views", "drupal-module", "3.29.0"))],
    ["drupal/zen", "drupal-theme", "5.6.0", release("zen", "7.x-5.6", around("drupal/zen", "drupal-theme", "5.6.0"))],
  ];
  const text = () => `core = 7.x
api = 2
projects[drupal][version] = 7.103
projects[views][version] = 3.29
projects[views][subdir] = contrib
projects[zen][type] = theme
projects[zen][version] = 5.6
projects[aa][type] = module
projects[aa][download][type] = get
projects[aa][download][url] = ${join(rig.work, "aa.tar.gz")}
libraries[jQuery.Cycle][download][type] = get
libraries[jQuery.Cycle][download][url] = ${join(rig.work, "cycle.tar.gz")}
libraries[jQuery.Cycle][directory_name] = Cycle
`;
  const project = async (change: (json: { repositories: unknown[] }) => void = () => undefined) => {
    const directory = join(rig.work, "project");
    fakePackages(directory, packages());
    const json = await converted(text(), join(rig.work, "site.make"));
    const own = (json.repositories as { type: string }[]).filter(({ type }) => type === "package");
    const found = { ...json, repositories: [{ type: "path", url: "packages/*" }, { "packagist.org": false }, ...own] };
    change(found);
    writeFileSync(join(directory, "composer.json"), JSON.stringify(found));
    composer(directory, "update", "--no-install");
    return composerSource({ directory }).build({
      host: new LocalHost(new Scope()),
      destination: join(rig.work, "composed"),
      cache: join(rig.work, "cache"),
      mirrors: {},
      offline: true,
      jobs: 1,
    });
  };
  beforeEach(() => {
    writeFileSync(join(rig.work, "aa.tar.gz"), archive("tar.gz", "aa", { "aa.info": "name = aa\n" }));
    writeFileSync(join(rig.work, "cycle.tar.gz"), archive("tar.gz", "cycle", { "cycle.js": "1" }));
  });

  it("is the tree that make builds, below its docroot", async () => {
    rig.project("drupal", "7.x", ["7.103"], "core", { "index.php": "<?php", "sites/all/modules/README.txt": "x" });
    rig.project("views", "7.x", ["7.x-3.29"]);
    rig.project("zen", "7.x", ["7.x-5.6"], "theme");
    const made = await rig.build(text());
    await project();
    const files = (root: string) =>
      treeOf(root)
        .map((line) => line.replace(/ \d+(?= |$)/, ""))
        .filter((line) => !/composer\.json/.test(line));
    expect(files(join(rig.work, "composed/web"))).toEqual(files(made.root));
  });

  it("whose packages were installed over each other is refused, though Composer is content", async () => {
    const careless = (json: { repositories: unknown[] }) => {
      const own = json.repositories.find((one) => (one as { package?: { name: string } }).package?.name === "make-project/aa") as {
        package: { name: string; require: unknown };
      };
      own.package.require = { "composer/installers": "*" };
      // Named so that Composer comes to it before core.
      own.package.name = "aa/aa";
      const all = json as unknown as { require: Record<string, string>; extra: { "installer-paths": Record<string, string[]> } };
      delete all.require["make-project/aa"];
      all.require["aa/aa"] = "dev-make";
      all.extra["installer-paths"] = { "web/sites/all/modules/aa": ["aa/aa"], ...all.extra["installer-paths"] };
    };
    const error = await project(careless).catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(ProvisionError);
    expect(said(error as ProvisionError)).toMatch(/aa\/aa is not at web\/sites\/all\/modules\/aa: drupal\/drupal was installed over it/);
  });
});
