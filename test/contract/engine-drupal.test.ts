import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Layout } from "../../src/context/layout.js";
import { Scope } from "../../src/core/scope.js";
import { Secret } from "../../src/core/secret.js";
import { drupal } from "../../src/engines/drupal/index.js";
import { drupal7 } from "../../src/engines/drupal7/index.js";
import { LocalHost } from "../../src/host/local.js";
import { installInput, makeSite } from "../support/engine-site.js";
import { failure } from "../support/failure.js";
import { makeFakeDrupal, type Trap, trapped } from "../support/fake-core.js";
import { sqlite } from "../support/sqlite.js";

describe("Drupal 8+ engine and a core that misbehaves (fake core)", () => {
  const host = new LocalHost(new Scope());
  let hub: string;
  let docroot: string;
  let site: Awaited<ReturnType<typeof makeSite>>;
  let count = 0;

  const freshSite = () => makeSite(drupal, host, hub, docroot, `site${++count}.example.com`);
  const configSync = (uri: string) => new Layout(hub).generation(uri, "20261123T091500-7f3a").configSync;

  beforeAll(async () => {
    hub = await mkdtemp(join(tmpdir(), "provision-drupal-"));
    docroot = join(hub, "platform");
    await makeFakeDrupal(docroot);
    await host.writeFile(join(docroot, "sites/sites.php"), drupal.sitesPhp(new Map()));
    site = await freshSite();
    await drupal.install(site, installInput());
  });
  afterAll(() => host.remove(hub));

  it("touches no site while there is no sites.php, without which core knows sites/default alone", async () => {
    await rename(join(docroot, "sites/sites.php"), join(hub, "away"));
    const error = await failure(drupal.status(site));
    await rename(join(hub, "away"), join(docroot, "sites/sites.php"));
    expect([error.code, error.why[0]]).toEqual(["WRONG_SITE", expect.stringMatching(/sites\/default.*no sites\/sites\.php/)]);
  });

  it("lists what is there now, and leaves the database as it is: a backup may be dumping it", async () => {
    const place = "FROM key_value WHERE collection = 'state' AND name = 'system.module.files'";
    const rows = (statement: string) => sqlite(host, site.database, statement);
    await rows(`DELETE ${place}`);
    const stale = 'a:1:{s:4:"away";s:12:"modules/away";}';
    await rows(`INSERT INTO key_value (collection, name, value) VALUES ('state', 'system.module.files', '${stale}')`);
    const { extensions } = (await drupal.inventory(site)).result;
    expect(extensions.filter(({ name }) => name === "system" || name === "away").map(({ path }) => path)).toEqual(["core/modules/system"]);
    expect(await rows(`SELECT value ${place}`)).toEqual([[stale]]);
    await rows(`DELETE ${place}`);
  });

  it("refuses a core that its PHP cannot run, before any of it is loaded", async () => {
    const file = join(docroot, "core/lib/Drupal.php");
    const text = await readFile(file, "utf8");
    await writeFile(file, `${text.replace("MINIMUM_PHP = '7.4.0'", "MINIMUM_PHP = '98.3.0'")}\nthis is no PHP of today`);
    const error = await failure(drupal.status(site));
    await writeFile(file, text);
    expect([error.code, error.why[0]]).toEqual([
      "CONFIGURATION",
      expect.stringMatching(/Drupal 10\.0-fixture needs PHP 98\.3\.0, and .* is \d/),
    ]);
  });

  it("refuses to install without a configuration directory: core would write settings of its own", async () => {
    const bare = await freshSite();
    await rm(configSync(bare.uri), { recursive: true });
    const before = await readFile(join(bare.sitePath, "settings.php"), "utf8");
    expect((await failure(drupal.install(bare, installInput()))).why[0]).toContain("config_sync_directory is no directory");
    expect(await readFile(join(bare.sitePath, "settings.php"), "utf8")).toBe(before);
  });

  it.each<[Trap, RegExp]>([
    ["exit", /ended PHP before the work was done[\s\S]*You are being redirected/],
    ["exception", /trap_start\(\) failed/],
    ["fatal", /undefined function trap_no_such_function/],
    ["out-of-memory", /Allowed memory size/],
    ["killed", /SIGKILL/],
  ])("takes it as a failure when the core meets: %s", async (trap, why) => {
    const error = await trapped(docroot, [trap], () => failure(drupal.cacheClear(site)));
    expect(error.code).toBe("ENGINE_FAILED");
    expect(error.why.join("\n")).toMatch(why);
  });

  it("tells the state of a site whose modules break it", async () => {
    const { result } = await trapped(docroot, ["fatal"], () => drupal.status(site));
    expect(result).toMatchObject({ installed: true, profile: "minimal" });
  });

  it("answers as ever when PHP prints, and collects warnings although the core has put its own handlers in place", async () => {
    const { warnings } = await trapped(docroot, ["noise", "warning"], () => drupal.cacheClear(site));
    expect(warnings.join("\n")).toMatch(/^a warning while caches are cleared \(.*trap\.module:\d+\)$/);
  });

  it("says so when another cron run is under way, and passes on what failed within one", async () => {
    expect((await trapped(docroot, ["cron-locked"], () => failure(drupal.cron(site)))).why[0]).toContain("another run holds its lock");
    const { warnings } = await trapped(docroot, ["cron-exception"], () => drupal.cron(site));
    expect(warnings).toEqual(["cron: Exception : trap_cron() failed"]);
  });

  it.each<[Trap, RegExp]>([
    ["fatal-in-install", /undefined function trap_no_such_function/],
    ["exit-in-install", /ended PHP before the work was done/],
    ["error-in-install", /Exception: Database gone & nothing to do about it/],
  ])("takes an installation that ends with %s for failed, and refuses to go on with it", async (trap, why) => {
    const broken = await freshSite();
    const error = await trapped(docroot, [trap], () => failure(drupal.install(broken, installInput())));
    expect(error.code).toBe("INSTALL_FAILED");
    expect(error.why.join("\n")).toMatch(why);
    expect((await drupal.status(broken)).result.installed).toBe(false);
    expect((await failure(drupal.install(broken, installInput()))).why[0]).toContain("not empty");
  });

  it("takes a password out of the core's own error text", async () => {
    const account = { name: "admin", mail: "admin@example.com", password: new Secret("s3cret-of-account-1") };
    const broken = await freshSite();
    const error = await trapped(docroot, ["password-in-error"], () => failure(drupal.install(broken, installInput({ account }))));
    expect(error.why[0]).toContain("could not save ***");
  });

  describe("deploys", () => {
    const posts = (body: string) =>
      writeFile(
        join(docroot, "modules/trap/trap.post_update.php"),
        `<?php\n/** Goes through all pages. */\nfunction trap_post_update_pages(&$sandbox) {\n  $sandbox['n'] = ($sandbox['n'] ?? 0) + 1;\n  $sandbox['#finished'] = $sandbox['n'] / 3;\n  \\Drupal::state()->set('trap_passes', $sandbox['n']);\n}\nfunction trap_post_update_second() {\n  ${body}\n}\n`,
      );
    const names = (ran: readonly { readonly name: string }[]) => ran.map(({ name }) => name);

    it("post updates run in passes after the numbered ones; one that fails is named, and the next run goes on from there", async () => {
      await writeFile(join(docroot, "modules/trap/trap.install"), "<?php\nfunction trap_update_8002() {\n}\n");
      await posts("throw new Exception('the second failed');");
      expect((await drupal.pendingUpdates(site)).result.updates).toEqual([
        { extension: "trap", name: "trap_update_8002", description: undefined },
        { extension: "trap", name: "trap_post_update_pages", description: "Goes through all pages." },
        { extension: "trap", name: "trap_post_update_second", description: undefined },
      ]);
      const error = await failure(drupal.update(site));
      expect(error.code).toBe("UPDATEDB_FAILED");
      expect(error.message).toMatch(/trap_post_update_second of trap failed$/);
      expect(error.why.slice(0, 2)).toEqual(["Exception : the second failed", "ran before it: trap_update_8002, trap_post_update_pages"]);
      await posts("");
      expect(names((await drupal.update(site)).result.ran)).toEqual(["trap_post_update_second"]);
    });

    it("deploy hooks run when they are asked for, each once", async () => {
      const file = join(docroot, "modules/trap/trap.deploy.php");
      await writeFile(
        file,
        "<?php\n/** Puts the shop up. */\nfunction trap_deploy_Shop() {\n}\nfunction trap_deploy_second() {\n  throw new Exception('no shop');\n}\n",
      );
      expect((await drupal.update(site)).result.ran).toEqual([]);
      const error = await failure(drupal.update(site, { deployHooks: true }));
      expect(error.message).toMatch(/did not run the deploy hooks of .*: trap_deploy_second of trap failed$/);
      expect(error.why).toContain("ran before it: trap_deploy_Shop");
      await writeFile(
        file,
        "<?php\nfunction trap_deploy_Shop() {\n  throw new Exception('twice');\n}\nfunction trap_deploy_second() {\n}\n",
      );
      expect(names((await drupal.update(site, { deployHooks: true })).result.ran)).toEqual(["trap_deploy_second"]);
      expect((await drupal.update(site, { deployHooks: true })).result.ran).toEqual([]);
    });

    it("configuration is imported when it is asked for, and another profile's is refused in core's words", async () => {
      const sync = configSync(site.uri);
      await writeFile(join(sync, "system.site.yml"), "name: 'Imported'\nmail: 'site@example.com'\n");
      expect((await drupal.update(site)).result.imported).toEqual([]);
      expect((await drupal.update(site, { configImport: true })).result.imported).toEqual(["system.site"]);
      expect((await drupal.status(site)).result.siteName).toBe("Imported");
      expect((await drupal.update(site, { configImport: true })).result.imported).toEqual([]);
      await writeFile(join(sync, "core.extension.yml"), "module:\n  standard: 1000\nprofile: standard\n");
      const error = await failure(drupal.update(site, { configImport: true }));
      expect(error.message).toContain("did not import the configuration of");
      expect(error.why[0]).toContain("Cannot change the install profile from minimal to standard");
      await rm(join(sync, "core.extension.yml"));
    });

    it("a renamed profile is renamed in what was exported, too", async () => {
      const other = await freshSite();
      await drupal.install(other, installInput());
      const file = join(configSync(other.uri), "core.extension.yml");
      await writeFile(file, "module:\n  node: 0\n  minimal_menu: 0\n  minimal: 1000\nprofile: minimal\n");
      expect((await drupal.renameProfile(other, { from: "minimal", to: "standard" })).result).toEqual({ renamed: true });
      expect(await readFile(file, "utf8")).toBe("module:\n  node: 0\n  minimal_menu: 0\n  standard: 1000\nprofile: standard\n");
    });

    it("installs what was exported, with its own profile and names", async () => {
      const other = await freshSite();
      await mkdir(configSync(other.uri), { recursive: true });
      await writeFile(join(configSync(other.uri), "system.site.yml"), "name: 'Exported'\n");
      const missing = await failure(drupal.install(other, installInput({ existingConfig: true })));
      expect(missing.why[0]).toContain("no configuration to install from");
      await writeFile(
        join(configSync(other.uri), "core.extension.yml"),
        "module:\n  system: 0\n  user: 0\n  trap: 0\n  standard: 1000\ntheme:\n  plain: 0\nprofile: standard\n",
      );
      expect((await drupal.install(other, installInput({ existingConfig: true }))).result.profile).toBe("standard");
      expect((await drupal.status(other)).result.siteName).toBe("Exported");
    });

    it("updates nothing while an enabled module is not there, and says which", async () => {
      await writeFile(join(docroot, "modules/trap/trap.install"), "<?php\nfunction trap_update_8003() {\n}\n");
      await host.run([
        "php",
        "-r",
        "$db = new PDO('sqlite:' . $argv[1]); $x = unserialize($db->query(\"SELECT data FROM config WHERE name = 'core.extension'\")->fetchColumn()); $x['module']['gone'] = 0; $db->prepare(\"UPDATE config SET data = ? WHERE name = 'core.extension'\")->execute([serialize($x)]); $db->exec('DELETE FROM cache_config');",
        site.database,
      ]);
      const error = await failure(drupal.update(site));
      expect(error.code).toBe("UPDATEDB_FAILED");
      expect(error.why[0]).toMatch(/does not meet what its code requires: Missing or invalid module: .*gone/);
    });

    it("an engine that knows no deployment refuses it", async () => {
      expect((await failure(drupal7.update(site, { deployHooks: true }))).code).toBe("REFUSED");
    });
  });
});
