import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Result } from "../../src/core/result.js";
import type { PlatformInventory } from "../../src/engines/packages.js";
import type { Comparison } from "../../src/operations/parts/findings.js";
import { oldInfo, oldModule, plant, updates } from "../support/code-trees.js";
import { TestHub } from "../support/hub.js";

const SITE = "a.localhost";

/** @a.localhost on @platform_p; @platform_q has the same code until something is planted. */
describe("what is on a platform, and whether a site may move there", () => {
  let hub: TestHub;
  const q = () => hub.path("platforms/q");
  const recorded = () => readFileSync(hub.path("state/platforms/platform_p.json"), "utf8");
  const data = (result: Result) => result.data as unknown as Comparison;
  const compare = async (...more: readonly string[]) => hub.document(["compare", `@${SITE}`, "@platform_q", ...more]);
  const kinds = ({ blockers, warnings }: Comparison) => [...blockers, ...warnings].map(({ kind }) => kind);
  /** Rows of {system}, as core makes them when it enables a module. */
  const sql = (statement: string, ...values: readonly string[]) => {
    const [generation = ""] = readdirSync(hub.path(`sites/${SITE}`));
    const code = "(new PDO('sqlite:' . $argv[1]))->prepare($argv[2])->execute(array_slice($argv, 3));";
    execFileSync("php", ["-r", code, hub.path(`sites/${SITE}/${generation}/db/site.sqlite`), statement, ...values]);
  };
  const enable = (name: string, status: 0 | 1, schema: number) =>
    sql(
      "INSERT INTO system (filename, name, type, status, weight, schema_version) VALUES (?, ?, 'module', ?, 0, ?)",
      ...[`${name}.module`, name, String(status), String(schema)],
    );
  const foo = (version: string, ...numbers: readonly number[]) =>
    oldModule("sites/all/modules/foo", "foo", { name: "Foo", core: "7.x", version, project: "foo" }, updates("foo", ...numbers));

  beforeAll(async () => {
    hub = await TestHub.withSite(SITE);
    await hub.savePlatform("q");
    await hub.ok("verify @platform_q");
    // The fake core leaves updates to do when it is installed.
    sql("UPDATE system SET schema_version = 7004 WHERE name = 'trap'");
  }, 120_000);
  afterAll(() => hub.remove());

  test("verify records what code a platform has, and writes nothing the second time", async () => {
    const before = recorded();
    const found = JSON.parse(before) as PlatformInventory;
    expect(found).toMatchObject({ engine: "drupal7", version: "7.0-fixture" });
    expect(found.packages.find(({ name }) => name === "trap")).toEqual({
      type: "module",
      name: "trap",
      path: "modules/trap",
      project: "trap",
      version: "7.0-fixture",
      core: "7.x",
      schema: 7004,
    });
    const tree = hub.everything();
    expect(await hub.document("verify @platform_p")).toMatchObject({ outcome: "ok", counts: { changed: 0 } });
    expect(hub.everything()).toEqual(tree);
    expect(recorded()).toBe(before);
  });

  test("show @platform --packages prints it, hidden ones left out and counted; as JSON all of it", async () => {
    plant(hub.docroot, {
      ...foo("7.x-1.2", 7001),
      ...oldModule("sites/all/modules/foo/tests", "foo_test", { core: "7.x", hidden: "TRUE" }),
    });
    expect((await hub.ok("show @platform_p --packages")).stdout).not.toContain("foo");
    expect(await hub.document("verify @platform_p")).toMatchObject({ counts: { changed: 1 } });
    const said = (await hub.ok("show @platform_p --packages")).stdout;
    expect(said).toMatch(/^@platform_p: drupal7 7\.0-fixture$/m);
    expect(said).toMatch(/^ {2}module +foo +7\.x-1\.2 +7001 +sites\/all\/modules\/foo$/m);
    expect(said).not.toContain("foo_test");
    expect(said).toMatch(/^1 hidden ones are left out: -v$/m);
    expect((await hub.ok("show @platform_p --packages -v")).stdout).toContain("foo_test");
    const { data: all } = await hub.document("show @platform_p --packages");
    expect(all).toMatchObject({ engine: "drupal7", recorded: true, requires: { php: expect.any(Array) } });
    expect((all as unknown as PlatformInventory).packages.filter(({ name }) => name.startsWith("foo")).map(({ hidden }) => hidden)).toEqual(
      [undefined, true],
    );
  });

  test("show @site --packages asks the site: what is enabled, and which updates have run", async () => {
    enable("foo", 1, 7001);
    const said = (await hub.ok(`show @${SITE} --packages`)).stdout;
    expect(said).toMatch(/^ {2}module +foo +7\.x-1\.2 +enabled +7001 +sites\/all\/modules\/foo$/m);
    const { data: all } = await hub.document(`show @${SITE} --packages`);
    expect((all as unknown as PlatformInventory).packages.find(({ name }) => name === "foo")).toMatchObject({
      enabled: true,
      schema: 7001,
      project: "foo",
    });
  });

  test("a clean pair: nothing found, nothing changed, exit 0", async () => {
    plant(q(), foo("7.x-1.2", 7001));
    // SQLite makes files beside its database while it is read, and takes them away.
    const still = () => hub.everything().filter((line) => !/\/db \d+ /.test(line));
    const before = still();
    const result = await compare();
    expect(result).toMatchObject({ ok: true, exit: 0, outcome: "ok", data: { platform: "@platform_q", blockers: [], warnings: [] } });
    expect(result.warnings).toBeUndefined();
    expect(data(result).packages.find(({ name }) => name === "foo")).toEqual({
      name: "foo",
      type: "module",
      enabled: true,
      site: { version: "7.x-1.2", schema: 7001, path: "sites/all/modules/foo" },
      platform: { version: "7.x-1.2", schema: 7001, path: "sites/all/modules/foo" },
      state: "same",
    });
    expect(still()).toEqual(before);
    expect((await hub.ok(`compare @${SITE} @platform_q --strict`)).stdout).toMatch(/^0 blockers, 0 warnings; \d+ extensions compared$/m);
  });

  test("warnings alone: exit 2, with --strict 6", async () => {
    plant(q(), foo("7.x-1.4", 7001, 7002));
    const said = await hub.provision(`compare @${SITE} @platform_q`);
    expect(said.code).toBe(2);
    expect(said.stdout).toMatch(/^! foo 7\.x-1\.2 → 7\.x-1\.4\n {4}its database updates run during migrate/m);
    expect(said.stdout).toMatch(/^ {2}foo +module +7\.x-1\.2 +→ +7\.x-1\.4 +newer$/m);
    expect(kinds(data(await compare()))).toEqual(["version-newer"]);
    expect(await compare("--strict")).toMatchObject({ ok: false, exit: 6, error: { code: "PROBLEMS_FOUND" } });
  });

  test("each of these, planted on the disk or in the database, is found, with what to do", async () => {
    const [generation = ""] = readdirSync(hub.path(`sites/${SITE}`));
    // The code of the site's own platform, and the site.
    plant(hub.docroot, {
      ...oldModule("sites/all/modules/bar", "bar", { name: "Bar", core: "7.x", version: "7.x-2.0", project: "bar" }, updates("bar", 7005)),
      ...oldModule("sites/all/modules/old", "old", { name: "Old", core: "7.x" }),
      ...oldModule(`sites/${SITE}/modules/own`, "own", { name: "Own", core: "7.x" }),
      "sites/all/modules/foo/PATCHES.txt": "- https://www.drupal.org/files/issues/foo-fix-12.patch\n",
      "sites/all/libraries/lib/lib.js": "",
      "sites/all/platform.settings.php": "<?php\n",
      [`sites/${SITE}/local.settings.php`]: "<?php\n",
    });
    enable("bar", 1, 7005);
    enable("own", 1, 0);
    enable("old", 0, 0);
    mkdirSync(join(hub.base, "nas"));
    symlinkSync(join(hub.base, "nas"), hub.path(`sites/${SITE}/${generation}/files/nas`));
    // The other platform.
    plant(q(), {
      ...oldModule(
        "sites/all/modules/contrib/foo",
        "foo",
        { name: "Foo", core: "7.x", version: "7.x-1.4", project: "foo", php: "99.1", dependencies: ["needed"] },
        `${updates("foo", 7005)}function foo_update_last_removed() {\n  return 7003;\n}\n`,
      ),
      ...oldModule("sites/all/modules/bar", "bar", { name: "Bar", core: "7.x", version: "7.x-2.0", project: "bar" }, updates("bar", 7004)),
      "profiles/small/small.profile": "<?php\n",
      "profiles/small/small.info": oldInfo({ name: "Small", core: "7.x", version: "VERSION", old_short_name: "minimal" }),
      [`sites/${SITE}/settings.php`]: "<?php\n",
    });
    rmSync(join(q(), "sites/all/modules/foo"), { recursive: true });
    rmSync(join(q(), "profiles/minimal"), { recursive: true });
    appendFileSync(join(q(), "includes/bootstrap.inc"), "\ndefine('DRUPAL_MINIMUM_PHP', '99.0');\n");
    await hub.ok("lock @platform_q");
    const result = await compare();
    expect(result).toMatchObject({
      ok: false,
      exit: 6,
      outcome: "failed",
      error: { code: "PROBLEMS_FOUND", state: "nothing was changed" },
    });
    expect(kinds(data(result))).toEqual([
      "dependency-missing",
      "schema-downgrade",
      "updates-removed",
      "php-too-old",
      "extension-php",
      "platform-locked",
      "name-taken",
      "version-newer",
      "own-code",
      "extension-moved",
      "disabled-installed",
      "profile-renamed",
      "library-missing",
      "patch-missing",
      "settings-override",
      "settings-override",
      "files-outside",
    ]);
    const remedies = [...data(result).blockers, ...data(result).warnings].map(({ remedy }) => remedy);
    expect(remedies.filter((remedy) => remedy.trim() === "")).toEqual([]);
    expect(remedies[0]).toBe("add projects[needed] to makes/core.make.yml, then provision verify @platform_q --rebuild");
    expect(result.error?.next).toContain("provision unlock @platform_q");
    // Under another name nothing is in the way.
    expect(kinds(data(await compare("--uri=b.localhost")))).not.toContain("name-taken");
    await hub.ok("unlock @platform_q");
  });

  test("a core of another version, an extension that is gone, a profile that nobody knows, a database server that is too old", async () => {
    rmSync(join(q(), "profiles/small"), { recursive: true });
    rmSync(join(q(), "sites/all/modules/contrib"), { recursive: true });
    const bootstrap = join(q(), "includes/bootstrap.inc");
    const text = readFileSync(bootstrap, "utf8");
    plant(q(), { "includes/database/sqlite/install.inc": "<?php\n  public function minimumVersion() {\n    return '99.1';\n  }\n" });
    writeFileSync(bootstrap, text.replace("'7.0-fixture'", "'7.103'").replace("99.0", "5.3"));
    expect(kinds(data(await compare()))).toEqual(
      expect.arrayContaining(["profile-missing", "extension-missing", "database-too-old", "version-unknown"]),
    );
  });

  test("several sites: each has its own result; one that is not installed does not stop the others", async () => {
    await hub.saveSite("c.localhost");
    const { all } = await hub.provision(["compare", "--platform", "p", "@platform_q", "--json"]);
    expect([all.exit, all.results.map(({ target, exit, error }) => [target, exit, error?.code])]).toEqual([
      3,
      [
        [`@${SITE}`, 6, "PROBLEMS_FOUND"],
        ["@c.localhost", 1, "NOT_INSTALLED"],
      ],
    ]);
  });

  test.each([
    [`compare @${SITE}`, 64],
    ["compare @platform_p @platform_q", 64],
    [`compare @${SITE} @platform_nowhere`, 66],
    [`compare @${SITE} @platform_q --uri=Bad_Name/..`, 64],
    ["show @server_master --packages", 64],
  ])("%s: exit %i", async (line, exit) => {
    expect((await hub.provision(line)).code).toBe(exit);
  });
});
