import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Scope } from "../../../src/core/scope.js";
import type { Core } from "../../../src/engines/engine.js";
import { effective, type Package, type PlatformInventory } from "../../../src/engines/packages.js";
import { scanPlatform } from "../../../src/engines/scan.js";
import { LocalHost } from "../../../src/host/local.js";
import { module8, oldInfo, oldModule, plant, updates } from "../../support/code-trees.js";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "provision-scan-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function scan(engine: string, version: string, docroot = root): Promise<PlatformInventory> {
  const core: Core = { engine, version, docroot, profiles: [] };
  return scanPlatform(new LocalHost(new Scope()), core);
}
const named = ({ packages }: PlatformInventory, name: string) => packages.filter((each) => each.name === name);
const paths = ({ packages }: PlatformInventory) => packages.map(({ type, path, name }) => `${type} ${path} ${name}`);

const DRUPAL7 = {
  "includes/bootstrap.inc": "<?php\ndefine('VERSION', '7.99');\ndefine('DRUPAL_MINIMUM_PHP', '5.3.3');\n",
  "includes/database/mysql/install.inc":
    "<?php\nclass DatabaseTasks_mysql {\n  public function minimumVersion() {\n    return '5.0.15';\n  }\n}\n",
  "includes/database/sqlite/install.inc": "<?php\n  public function minimumVersion() {\n    return '3.3.7';\n  }\n",
  ...oldModule(
    "modules/system",
    "system",
    { name: "System", version: "VERSION", core: "7.x", required: "TRUE" },
    `${updates("system", 7000, 7086)}function system_update_last_removed() {\n  return 6055;\n}\n$required_extensions = array(\n'gd',\n'SimpleXML',\n);\n`,
  ),
  ...oldModule("modules/node/tests", "node_test", { name: '"Node module tests"', version: "VERSION", core: "7.x", hidden: "TRUE" }),
  "themes/bartik/bartik.info": oldInfo({ name: "Bartik", version: "VERSION", core: "7.x" }),
  "profiles/standard/standard.info": oldInfo({ name: "Standard", version: "VERSION", core: "7.x" }),
  "profiles/standard/standard.profile": "<?php\n",
};

describe("Drupal 7", () => {
  it("core: modules, themes, profiles, hidden tests, what it needs of PHP and databases", async () => {
    plant(root, DRUPAL7);
    const found = await scan("drupal7", "7.99");
    expect(found).toEqual({
      engine: "drupal7",
      version: "7.99",
      docroot: root,
      profiles: [],
      requires: {
        php: [{ by: "Drupal 7.99", least: "5.3.3" }],
        extensions: [
          { by: "Drupal 7.99", name: "gd" },
          { by: "Drupal 7.99", name: "simplexml" },
        ],
        databases: { mysql: { MySQL: "5.0.15", MariaDB: "5.0.15" }, sqlite: { SQLite: "3.3.7" } },
      },
      patches: [],
      packages: [
        { type: "module", name: "node_test", path: "modules/node/tests", version: "7.99", core: "7.x", hidden: true },
        { type: "module", name: "system", path: "modules/system", version: "7.99", core: "7.x", schema: 7086, removedUpTo: 6055 },
        { type: "profile", name: "standard", path: "profiles/standard", version: "7.99", core: "7.x" },
        { type: "theme", name: "bartik", path: "themes/bartik", version: "7.99", core: "7.x" },
      ],
    });
  });

  it("sites/all, sites/<site>, profiles with modules inside, libraries: version, project, dependencies, base theme, PHP, old name", async () => {
    plant(root, {
      ...oldModule(
        "sites/all/modules/contrib/views",
        "views",
        {
          name: "Views",
          version: '"7.x-3.29"',
          core: '"7.x"',
          project: '"views"',
          php: "5.2",
          dependencies: ["ctools (>=1.5)", "drupal:node"],
        },
        updates("views", 7300, 7301),
      ),
      ...oldModule("sites/all/modules/contrib/views", "views_ui", {
        name: "Views UI",
        version: '"7.x-3.29"',
        core: "7.x",
        project: "views",
      }),
      ...oldModule("sites/shop.test/modules/local", "local", { name: "Local", core: "7.x" }),
      ...oldModule("sites/all/modules/own", "own", { core: "7.x", description: '"a\n; not a comment, but text\nversion = 9"' }),
      "sites/all/themes/mine/mine.info": oldInfo({ name: "Mine", core: "7.x", "base theme": "zen" }),
      "sites/all/libraries/jquery/package.json": '{\n  "name": "jquery",\n  "version": "3.7.1"\n}\n',
      "sites/all/libraries/plain/plain.js": "",
      "profiles/acme/acme.profile": "<?php\n",
      "profiles/acme/acme.info": oldInfo({
        name: "Acme",
        core: "7.x",
        version: "7.x-2.0",
        old_short_name: "acme_old",
        dependencies: ["inner"],
      }),
      ...oldModule("profiles/acme/modules/inner", "inner", { name: "Inner", core: "7.x" }),
      "profiles/acme/libraries/spectrum/spectrum.js": "",
    });
    expect((await scan("drupal7", "7.99")).packages).toEqual([
      {
        type: "profile",
        name: "acme",
        path: "profiles/acme",
        version: "7.x-2.0",
        core: "7.x",
        dependencies: ["inner"],
        oldShortName: "acme_old",
      },
      { type: "library", name: "spectrum", path: "profiles/acme/libraries/spectrum" },
      { type: "module", name: "inner", path: "profiles/acme/modules/inner", core: "7.x" },
      { type: "library", name: "jquery", path: "sites/all/libraries/jquery", version: "3.7.1" },
      { type: "library", name: "plain", path: "sites/all/libraries/plain" },
      {
        type: "module",
        name: "views",
        path: "sites/all/modules/contrib/views",
        version: "7.x-3.29",
        project: "views",
        core: "7.x",
        php: "5.2",
        schema: 7301,
        dependencies: ["ctools", "node"],
      },
      { type: "module", name: "views_ui", path: "sites/all/modules/contrib/views", version: "7.x-3.29", project: "views", core: "7.x" },
      { type: "module", name: "own", path: "sites/all/modules/own", core: "7.x" },
      { type: "theme", name: "mine", path: "sites/all/themes/mine", core: "7.x", dependencies: ["zen"] },
      { type: "module", name: "local", path: "sites/shop.test/modules/local", core: "7.x" },
    ] satisfies Package[]);
  });

  it("what core passes over: no .info, no .module, hidden directories, CVS; generations that are being made", async () => {
    plant(root, {
      "sites/all/modules/noinfo/noinfo.module": "<?php\n",
      "sites/all/modules/nomodule/nomodule.info": "name = No module\ncore = 7.x\n",
      "sites/all/modules/empty/empty.info": "\n",
      "sites/all/modules/empty/empty.module": "<?php\n",
      ...oldModule("sites/all/modules/.git/hidden", "hidden", { core: "7.x" }),
      ...oldModule("sites/all/modules/CVS", "cvs", { core: "7.x" }),
      ...oldModule("sites/a.test~20261124T101010-abcd/modules/copy", "copy", { core: "7.x" }),
      "sites/all/themes/loose.info": "name = Not in a directory of its own\n",
    });
    expect(paths(await scan("drupal7", "7.99"))).toEqual([]);
  });

  it("directories that are links, also several to one, and not those that lead back", async () => {
    plant(root, oldModule("elsewhere/linked", "linked", { core: "7.x", version: "7.x-1.0" }));
    mkdirSync(join(root, "sites/all/modules"), { recursive: true });
    symlinkSync(join(root, "elsewhere/linked"), join(root, "sites/all/modules/linked"));
    symlinkSync(root, join(root, "sites/all/modules/loop"));
    symlinkSync("gone", join(root, "sites/all/modules/broken"));
    mkdirSync(join(root, "sites/a.test"));
    symlinkSync(join(root, "elsewhere"), join(root, "sites/a.test/modules"));
    // Each leads to the other.
    symlinkSync(join(root, "other"), join(root, "elsewhere/linked/to"));
    mkdirSync(join(root, "other"));
    symlinkSync(join(root, "elsewhere/linked"), join(root, "other/back"));
    expect(paths(await scan("drupal7", "7.99"))).toEqual([
      "module sites/a.test/modules/linked linked",
      "module sites/a.test/modules/linked/to/back linked",
      "module sites/all/modules/linked linked",
    ]);
  });

  it("updates in files beside .install, by their names alone; comments and other modules' functions are none", async () => {
    plant(root, {
      ...oldModule(
        "sites/all/modules/a",
        "a",
        { core: "7.x" },
        `// function a_update_7999() {}\n * function a_update_7998()\n${updates("a", 7001)}${updates("ab", 7500)}function a_update_dependencies() {}\n`,
      ),
      "sites/all/modules/a/a.install.inc": `<?php\n${updates("a", 7002)}`,
      ...oldModule("sites/all/modules/b", "b", { core: "7.x" }, "function b_schema() {}\n"),
    });
    const found = await scan("drupal7", "7.99");
    expect(named(found, "a")[0]?.schema).toBe(7002);
    expect(named(found, "b")[0]).not.toHaveProperty("schema");
  });

  it("patches: those of core, and a project's in the extension that lies least deep in its directory", async () => {
    const patches =
      "The following patches have been applied to this project:\n- https://www.drupal.org/files/a-1.patch\n- local.patch\n\nThis file was automatically generated\n";
    plant(root, {
      "PATCHES.txt": "- https://www.drupal.org/files/core.patch\n",
      "sites/all/modules/suite/PATCHES.txt": patches,
      ...oldModule("sites/all/modules/suite/sub", "sub", { core: "7.x" }),
      ...oldModule("sites/all/modules/suite", "suite", { core: "7.x" }),
      "profiles/acme/acme.profile": "<?php\n",
      "profiles/acme/acme.info": "name = Acme\n",
      "profiles/acme/PATCHES.txt": "- acme.patch\n",
      "sites/all/libraries/lib/PATCHES.txt": "- lib.patch\n",
    });
    const found = await scan("drupal7", "7.99");
    expect(found.patches).toEqual(["https://www.drupal.org/files/core.patch"]);
    expect(found.packages.filter((each) => each.patches).map(({ name, patches: of }) => [name, of])).toEqual([
      ["acme", ["acme.patch"]],
      ["lib", ["lib.patch"]],
      ["suite", ["https://www.drupal.org/files/a-1.patch", "local.patch"]],
    ]);
  });

  it("the same code gives the same inventory", async () => {
    plant(root, DRUPAL7);
    expect(JSON.stringify(await scan("drupal7", "7.99"))).toBe(JSON.stringify(await scan("drupal7", "7.99")));
  });
});

describe("Drupal 8 and later", () => {
  const docroot = () => join(root, "web");
  const CORE = {
    "web/core/lib/Drupal.php":
      "<?php\nclass Drupal {\n  const VERSION = '10.4.9';\n  const MINIMUM_PHP = '8.1.0';\n  const MINIMUM_PHP_MEMORY_LIMIT = '64M';\n}\n",
    "web/core/composer.json":
      '{\n  "name": "drupal/core",\n  "require": {\n    "ext-gd": "*",\n    "ext-SimpleXML": "*",\n    "php": ">=8.1.0"\n  },\n  "require-dev": { "ext-xdebug": "*" }\n}\n',
    "web/core/modules/mysql/src/Driver/Database/mysql/Install/Tasks.php":
      "<?php\nclass Tasks {\n  const MYSQL_MINIMUM_VERSION = '5.7.8';\n  const MARIADB_MINIMUM_VERSION = '10.3.7';\n  public function minimumVersion() {\n    if ($this->getConnection()->isMariaDb()) {\n      return static::MARIADB_MINIMUM_VERSION;\n    }\n    return static::MYSQL_MINIMUM_VERSION;\n  }\n}\n",
    "web/core/modules/pgsql/src/Driver/Database/pgsql/Install/Tasks.php":
      "<?php\nclass Tasks {\n  const PGSQL_MINIMUM_VERSION = '12';\n}\n",
    ...module8(
      "web/core/modules/system",
      "system",
      { name: "System", type: "module", version: "VERSION" },
      `${updates("system", 10201, 10400)}function system_update_last_removed(): int {\n  return 8901;\n}\n`,
    ),
    "web/core/modules/system/system.post_update.php":
      "<?php\nfunction system_post_update_zeta() {}\nfunction system_post_update_alpha(&$sandbox = []) {}\nfunction system_removed_post_updates() {}\n",
    ...module8("web/core/modules/system/tests/modules/system_test", "system_test", { type: "module" }),
    ...module8("web/core/modules/config", "config", { name: "Config", type: "module", version: "VERSION" }),
    ...module8("web/core/modules/system/config/odd", "odd", { type: "module" }),
    ...module8("web/core/modules/help/src/inner", "notthere", { type: "module" }),
    ...module8("web/core/themes/olivero", "olivero", { name: "Olivero", type: "theme", "base theme": "false", version: "VERSION" }),
    ...module8("web/core/themes/engines/twig", "twig", { type: "theme_engine", version: "VERSION" }),
    ...module8("web/core/profiles/standard", "standard", { type: "profile", version: "VERSION" }),
  };

  it("core: what discovery finds, without tests, sources and configuration; post updates; what it needs", async () => {
    plant(root, CORE);
    const found = await scan("drupal", "10.4.9", docroot());
    expect(found.requires).toEqual({
      php: [{ by: "Drupal 10.4.9", least: "8.1.0" }],
      extensions: [
        { by: "Drupal 10.4.9", name: "gd" },
        { by: "Drupal 10.4.9", name: "simplexml" },
      ],
      databases: { mysql: { MySQL: "5.7.8", MariaDB: "10.3.7" }, pgsql: { PostgreSQL: "12" } },
    });
    expect(found.packages).toEqual([
      { type: "module", name: "config", path: "core/modules/config", version: "10.4.9" },
      {
        type: "module",
        name: "system",
        path: "core/modules/system",
        version: "10.4.9",
        schema: 10400,
        removedUpTo: 8901,
        postUpdates: ["alpha", "zeta"],
      },
      { type: "profile", name: "standard", path: "core/profiles/standard", version: "10.4.9" },
      { type: "theme", name: "olivero", path: "core/themes/olivero", version: "10.4.9" },
    ]);
  });

  it("what is written by hand and what Composer installed: project and version from its package where the info file is silent; patches; PHP and its extensions", async () => {
    const packages = [
      {
        name: "drupal/core",
        version: "10.4.9",
        type: "drupal-core",
        "install-path": "../../web/core",
        require: { php: ">=8.1.0", "ext-pdo": "*" },
      },
      { name: "drupal/token", version: "1.15.0", type: "drupal-module", "install-path": "../../web/modules/contrib/token" },
      {
        name: "drupal/webform",
        version: "6.2.9",
        type: "drupal-module",
        "install-path": "../../web/modules/contrib/webform",
        require: { "ext-intl": "*", "ext-mbstring": "*" },
      },
      { name: "acme/select2", version: "v4.0.13", type: "drupal-library", "install-path": "../../web/libraries/select2" },
      {
        name: "symfony/polyfill-mbstring",
        version: "v1.31.0",
        "install-path": "../symfony/polyfill-mbstring",
        provide: { "ext-mbstring": "*" },
      },
      { name: "cweagans/composer-patches", version: "1.7.3", type: "composer-plugin", "install-path": "../cweagans/composer-patches" },
    ];
    plant(root, {
      "composer.json": JSON.stringify({
        extra: {
          patches: {
            "drupal/webform": { "Fix it": "https://www.drupal.org/files/w.patch" },
            "drupal/core": { Core: "patches/core.patch" },
          },
        },
      }),
      "vendor/composer/installed.json": JSON.stringify({ packages }),
      "vendor/composer/platform_check.php": "<?php\nif (!(PHP_VERSION_ID >= 80200)) {\n",
      ...module8("web/modules/contrib/token", "token", {
        name: "Token",
        type: "module",
        core_version_requirement: "'^9.2 || ^10'  # both",
        version: "'8.x-1.15'",
        project: "'token'",
        php: "7.4",
        datestamp: "1699",
      }),
      ...module8("web/modules/contrib/webform", "webform", {
        type: "module",
        core_version_requirement: "^10.3",
        dependencies: ["drupal:field", "'webform:webform_other (>=8.x-5)'"],
      }),
      ...module8("web/modules/contrib/webform/modules/webform_ui", "webform_ui", {
        type: "'module'",
        core_version_requirement: "^10.3",
        hidden: "true",
        dependencies: '[webform:webform, "drupal:user"]',
      }),
      ...module8("web/modules/custom/ours", "ours", { type: "module", core: "8.x" }),
      ...module8("web/sites/shop.test/modules/local", "local", { type: "module", core_version_requirement: "^10" }),
      ...module8("web/sites/all/modules/legacy", "legacy", { type: "module", core_version_requirement: "^10" }),
      ...module8("web/profiles/acme", "acme", { type: "profile", core_version_requirement: "^10", old_short_name: "acme1" }),
      ...module8("web/profiles/acme/modules/inner", "inner", { type: "module", core_version_requirement: "^10" }),
      "web/libraries/select2/select2.js": "",
      "web/modules/contrib/notype/notype.info.yml": "name: No type\n",
    });
    const found = await scan("drupal", "10.4.9", docroot());
    expect(found.packages).toEqual([
      {
        type: "library",
        name: "select2",
        path: "libraries/select2",
        version: "4.0.13",
        composer: { name: "acme/select2", version: "4.0.13" },
      },
      {
        type: "module",
        name: "token",
        path: "modules/contrib/token",
        version: "8.x-1.15",
        project: "token",
        core: "^9.2 || ^10",
        php: "7.4",
        composer: { name: "drupal/token", version: "1.15.0" },
      },
      {
        type: "module",
        name: "webform",
        path: "modules/contrib/webform",
        version: "6.2.9",
        project: "webform",
        core: "^10.3",
        dependencies: ["field", "webform_other"],
        composer: { name: "drupal/webform", version: "6.2.9" },
        patches: ["https://www.drupal.org/files/w.patch"],
      },
      {
        type: "module",
        name: "webform_ui",
        path: "modules/contrib/webform/modules/webform_ui",
        version: "6.2.9",
        project: "webform",
        core: "^10.3",
        dependencies: ["webform", "user"],
        hidden: true,
      },
      { type: "module", name: "ours", path: "modules/custom/ours", core: "8.x" },
      { type: "profile", name: "acme", path: "profiles/acme", core: "^10", oldShortName: "acme1" },
      { type: "module", name: "inner", path: "profiles/acme/modules/inner", core: "^10" },
      { type: "module", name: "legacy", path: "sites/all/modules/legacy", core: "^10" },
      { type: "module", name: "local", path: "sites/shop.test/modules/local", core: "^10" },
    ] satisfies Package[]);
    expect(found.patches).toEqual(["patches/core.patch"]);
    expect(found.requires.php).toEqual([{ by: "what Composer installed", least: "8.2.0" }]);
    expect(found.requires.extensions).toEqual([
      { by: "drupal/webform", name: "intl" },
      { by: "drupal/core", name: "pdo" },
    ]);
  });

  it("patches of the plug-in's second version, from its lock; none without the plug-in", async () => {
    const packages = [{ name: "drupal/token", version: "1.15.0", "install-path": "../../web/modules/token" }];
    const plugin = { name: "cweagans/composer-patches", version: "2.0.0", "install-path": "../cweagans/composer-patches" };
    plant(root, {
      "composer.json": JSON.stringify({ extra: { patches: { "drupal/token": { old: "not-used.patch" } } } }),
      "patches.lock.json": JSON.stringify({ patches: { "drupal/token": [{ description: "x", url: "https://example.com/x.patch" }] } }),
      "vendor/composer/installed.json": JSON.stringify({ packages: [...packages, plugin] }),
      ...module8("web/modules/token", "token", { type: "module" }),
    });
    expect(named(await scan("drupal", "10.4.9", docroot()), "token")[0]?.patches).toEqual(["https://example.com/x.patch"]);
    plant(root, { "vendor/composer/installed.json": JSON.stringify({ packages }) });
    expect(named(await scan("drupal", "10.4.9", docroot()), "token")[0]?.patches).toBeUndefined();
  });

  it("a broken installed.json hides nothing but what it would tell", async () => {
    plant(root, {
      "vendor/composer/installed.json": "{",
      ...module8("web/modules/token", "token", { type: "module", core_version_requirement: "^10" }),
    });
    expect((await scan("drupal", "10.4.9", docroot())).packages).toEqual([
      { type: "module", name: "token", path: "modules/token", core: "^10" },
    ]);
  });
});

describe("Backdrop", () => {
  it("core below core/, contributed code beside it; its own words for version and core; other types in a place are passed over", async () => {
    plant(root, {
      "core/includes/bootstrap.inc": "<?php\ndefine('BACKDROP_VERSION', '1.28.1');\ndefine('BACKDROP_MINIMUM_PHP', '5.6.0');\n",
      "core/includes/database/mysql/install.inc": "<?php\n  public function minimumVersion() {\n    return '5.0.15';\n  }\n",
      ...oldModule(
        "core/modules/system",
        "system",
        { type: "module", name: "System", version: "BACKDROP_VERSION", backdrop: "1.x" },
        updates("system", 1000, 1099),
      ),
      "core/themes/basis/basis.info": oldInfo({ type: "theme", name: "Basis", version: "BACKDROP_VERSION", backdrop: "1.x" }),
      "core/profiles/standard/standard.info": oldInfo({ type: "profile", version: "BACKDROP_VERSION", backdrop: "1.x" }),
      "core/profiles/standard/standard.profile": "<?php\n",
      ...oldModule("core/modules/system/css/no", "no", { type: "module" }),
      ...oldModule("modules/paragraphs", "paragraphs", { type: "module", backdrop: "1.x", version: "1.x-1.2.0", project: "paragraphs" }),
      "modules/panel/panel.info": oldInfo({ type: "layout", backdrop: "1.x" }),
      "modules/panel/panel.module": "<?php\n",
      "themes/odd/odd.info": oldInfo({ type: "module", backdrop: "1.x" }),
      "profiles/acme/acme.info": oldInfo({ type: "profile", backdrop: "1.x" }),
      "profiles/acme/acme.profile": "<?php\n",
      "libraries/d3/bower.json": '{\n  "version": "7.9.0"\n}',
    });
    const found = await scan("backdrop", "1.28.1");
    expect(found.requires).toMatchObject({ php: [{ by: "Backdrop 1.28.1", least: "5.6.0" }], databases: { mysql: { MariaDB: "5.0.15" } } });
    expect(found.packages).toEqual([
      { type: "module", name: "system", path: "core/modules/system", version: "1.28.1", core: "1.x", schema: 1099 },
      { type: "profile", name: "standard", path: "core/profiles/standard", version: "1.28.1", core: "1.x" },
      { type: "theme", name: "basis", path: "core/themes/basis", version: "1.28.1", core: "1.x" },
      { type: "library", name: "d3", path: "libraries/d3", version: "7.9.0" },
      { type: "module", name: "paragraphs", path: "modules/paragraphs", version: "1.x-1.2.0", project: "paragraphs", core: "1.x" },
      { type: "profile", name: "acme", path: "profiles/acme", core: "1.x" },
    ]);
  });
});

describe("which of several counts", () => {
  const at = (engine: string, version: string, ...all: readonly (readonly [path: string, core?: string])[]) => {
    const packages = all.map(([path, core]): Package => ({ type: "module", name: "m", path, ...(core === undefined ? {} : { core }) }));
    const { packages: found, shadowed } = effective({ engine, version, packages }, { profile: "acme", directory: "a.test" });
    return [found.get("module m")?.path, shadowed.map(({ path }) => path).toSorted()];
  };

  it("Drupal 7: core, the profile, sites/all, the site; other profiles and sites never", () => {
    const all = [
      ["modules/m"],
      ["profiles/acme/modules/m"],
      ["sites/all/modules/m"],
      ["sites/a.test/modules/m"],
      ["profiles/other/modules/m"],
      ["sites/b.test/modules/m"],
    ] as const;
    expect(at("drupal7", "7.99", ...all)).toEqual([
      "sites/a.test/modules/m",
      ["modules/m", "profiles/acme/modules/m", "sites/all/modules/m"],
    ]);
    expect(at("drupal7", "7.99", all[2], all[1])).toEqual(["sites/all/modules/m", ["profiles/acme/modules/m"]]);
  });

  it("Drupal 7 keeps what is for its core, wherever the other is", () => {
    expect(at("drupal7", "7.99", ["modules/m", "7.x"], ["sites/all/modules/m", "6.x"])[0]).toBe("modules/m");
    expect(at("drupal7", "7.99", ["sites/all/modules/m", "6.x"])[0]).toBe("sites/all/modules/m");
  });

  it("Drupal 8 and later: core, the profile, sites/all, the top, the site", () => {
    expect(at("drupal", "10.4.9", ["modules/m"], ["sites/all/modules/m"], ["core/modules/m"], ["profiles/acme/modules/m"])[0]).toBe(
      "modules/m",
    );
    expect(at("drupal", "10.4.9", ["core/profiles/acme/modules/m"], ["core/modules/m"])[0]).toBe("core/profiles/acme/modules/m");
  });

  it("in one place the one that lies less deep", () => {
    expect(at("drupal7", "7.99", ["sites/all/modules/a/b/m"], ["sites/all/modules/m"], ["sites/all/modules/a/m"])[0]).toBe(
      "sites/all/modules/m",
    );
  });
});
