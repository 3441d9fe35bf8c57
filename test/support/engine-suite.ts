import { mkdtemp, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scope } from "../../src/core/scope.js";
import { Secret } from "../../src/core/secret.js";
import type { Engine, SiteCode } from "../../src/engines/engine.js";
import { detectCore } from "../../src/engines/index.js";
import { makeCodeCache } from "../../src/host/code-cache.js";
import { LocalHost } from "../../src/host/local.js";
import { installInput, makeSite } from "./engine-site.js";
import { failure } from "./failure.js";

/** In what cores differ as the suite meets them. */
export interface CoreTraits {
  /** The module system and the profile standard, relative to the docroot. */
  readonly system: string;
  readonly standard: string;
  /** Tables that an interrupted installation leaves: SQL. */
  readonly half: string;
  /** PHP that makes the module `gone` an enabled one (`$on`) or none, with a PDO `$db` on the site's SQLite database. */
  readonly gone: string;
  /** What fixes maintenance mode in the site's own settings; undefined: nothing can. */
  readonly fixedMaintenance: string | undefined;
  /** Names that sites.php has before any site is made. */
  readonly names: ReadonlyMap<string, string>;
  /** What the core takes for a host that no site has. */
  readonly fallback: string;
}

export const DRUPAL7: CoreTraits = {
  system: "modules/system",
  standard: "profiles/standard",
  half: "CREATE TABLE variable (name TEXT, value TEXT)",
  gone: `$db->exec($on
    ? "INSERT INTO system (filename, name, type, status, weight, schema_version) VALUES ('sites/all/modules/gone/gone.module', 'gone', 'module', 1, 0, 7000)"
    : "DELETE FROM system WHERE name = 'gone'");`,
  fixedMaintenance: "$conf['maintenance_mode'] = 1;",
  names: new Map(),
  fallback: "sites/default",
};

export const BACKDROP: CoreTraits = {
  ...DRUPAL7,
  system: "core/modules/system",
  standard: "core/profiles/standard",
  half: "CREATE TABLE state (name TEXT, value TEXT)",
  fixedMaintenance: undefined,
  // Without one it does not look below sites/ at all.
  names: new Map([["nobody.invalid", "nobody.invalid"]]),
  fallback: "to . instead",
};

export const DRUPAL8: CoreTraits = {
  system: "core/modules/system",
  standard: "core/profiles/standard",
  half: "CREATE TABLE config (collection TEXT, name TEXT, data BLOB)",
  gone: `$of = "FROM config WHERE collection = '' AND name = 'core.extension'";
    $data = unserialize($db->query("SELECT data $of")->fetchColumn());
    unset($data['module']['gone']);
    $data['module'] += $on ? array('gone' => 0) : array();
    $db->prepare("UPDATE config SET data = ? WHERE collection = '' AND name = 'core.extension'")->execute(array(serialize($data)));
    $db->exec("DELETE FROM cache_config");`,
  fixedMaintenance: undefined,
  names: new Map(),
  fallback: "sites/default",
};

const LOGIN = /^http:\/\/shop\.example\.com\/(\?q=)?user\/reset\/1\/\d+\/[\w-]+\/login$/;

/** What every engine does on every core that it drives; `makeCore` makes the code at a path that is not there yet, and may answer with a docroot below it. */
export function engineSuite(
  engine: Engine,
  core: string,
  makeCore: (root: string) => Promise<string | undefined>,
  version: RegExp,
  traits: CoreTraits = DRUPAL7,
): void {
  describe(`${engine.label} engine on ${core}`, () => {
    const host = new LocalHost(new Scope());
    let hub: string;
    let docroot: string;
    let site: SiteCode & { readonly sitePath: string; readonly database: string };

    const gone = (on: boolean) =>
      host.run([
        "php",
        "-r",
        `$db = new PDO('sqlite:' . $argv[1]); $on = $argv[2] === 'on'; ${traits.gone}`,
        site.database,
        on ? "on" : "off",
      ]);
    const siteOf = (uri: string, more: Parameters<typeof makeSite>[5] = {}) => makeSite(engine, host, hub, docroot, uri, more);

    beforeAll(async () => {
      hub = await mkdtemp(join(tmpdir(), "provision-engine-"));
      const root = join(hub, "platform");
      docroot = (await makeCore(root)) ?? root;
      // As verify @platform leaves it.
      await host.writeFile(join(docroot, "sites/sites.php"), engine.sitesPhp(traits.names));
    });
    afterAll(() => host.remove(hub));

    it("recognises the core, its version and its install profiles", async () => {
      const found = await detectCore(host, docroot);
      expect(found).toMatchObject({ engine: engine.name, docroot });
      expect(found.version).toMatch(version);
      expect(found.profiles).toEqual(expect.arrayContaining(["minimal", "standard"]));
    });

    it("says of a site whose database is not there that it is not installed, and does not make the database", async () => {
      site = await siteOf("shop.example.com");
      const { result } = await engine.status(site);
      expect(result).toMatchObject({ installed: false, profile: undefined, siteName: undefined, lastCron: 0, database: site.database });
      expect(await host.stat(site.database)).toBeUndefined();
      expect((await failure(engine.cron(site))).code).toBe("NOT_INSTALLED");
      expect(await host.stat(site.database)).toBeUndefined();
    });

    it("says of a site with an empty database that it is not installed", async () => {
      await writeFile(site.database, "");
      expect((await engine.status(site)).result.installed).toBe(false);
      expect((await failure(engine.login(site, 1))).code).toBe("NOT_INSTALLED");
      await rm(site.database);
    });

    it("refuses a profile that the platform lacks, names those it has, and leaves no table behind", async () => {
      const error = await failure(engine.install(site, installInput({ profile: "no_such_profile" })));
      expect(error.code).toBe("INSTALL_FAILED");
      expect(error.why.join("\n")).toMatch(/no_such_profile.*minimal/);
      expect(await host.stat(site.database)).toBeUndefined();
    });

    it("gives the installer's own words when it refuses an e-mail address", async () => {
      const bad = await siteOf("bad-mail.example.com");
      const error = await failure(engine.install(bad, installInput({ siteMail: "not an address" })));
      expect(error.code).toBe("INSTALL_FAILED");
      expect(error.why[0]).toMatch(/e-?mail address.*not an address.*not valid/);
    });

    it("installs with the settings it finds, and without a warning", async () => {
      const before = await readFile(join(site.sitePath, "settings.php"), "utf8");
      const { result, warnings } = await engine.install(site, installInput({ profile: "standard" }));
      expect(result).toEqual({ profile: "standard", login: expect.stringMatching(LOGIN) });
      expect(result.login?.replace(/\/\d+\/[\w-]+\/login$/, "")).toBe(
        (await engine.login(site, 1)).result.url.replace(/\/\d+\/[\w-]+\/login$/, ""),
      );
      expect(warnings).toEqual([]);
      expect(await readFile(join(site.sitePath, "settings.php"), "utf8")).toBe(before);
    });

    it("installs into a site directory that cannot be written", async () => {
      const closed = await siteOf("closed.example.com");
      await host.chmod(join(closed.sitePath, "settings.php"), { mode: 0o440 });
      await host.chmod(closed.sitePath, { mode: 0o550 });
      await engine.install(closed, installInput());
      expect((await engine.status(closed)).result).toMatchObject({ installed: true, profile: "minimal" });
    });

    it("runs code as it is now, with and without a directory of compiled code, and with one that is gone", async () => {
      const codeCache = join(hub, "compiled");
      const cached = await siteOf("cached.example.com", { codeCache });
      await engine.install(cached, installInput());
      expect(await host.stat(codeCache)).toBeUndefined();
      await makeCodeCache(host, codeCache, join(hub, "locks"));
      // PHP does not keep what is younger than two seconds.
      await host.run(["find", docroot, "-type", "f", "-exec", "touch", "-d", "1 hour ago", "{}", "+"]);
      await engine.cron(cached);
      const kept = (await host.run(["find", codeCache, "-name", "*.php.bin", "-o", "-name", "*.inc.bin"])).stdout.split("\n");
      expect(kept.length).toBeGreaterThan(5);
      expect(kept.filter((path) => /settings\.php|sites\.php/.test(path))).toEqual([]);
      // Settings are read anew however alike the times of old and new are.
      const settings = join(cached.sitePath, "settings.php");
      const { atime, mtime } = await stat(settings);
      await writeFile(settings, "<?php throw new Exception('the new settings');");
      await utimes(settings, atime, mtime);
      expect((await failure(engine.cron(cached))).why.join()).toContain("the new settings");
    });

    it.runIf(engine.databases.includes("sqlite"))("makes a database file that the web server's group can write", async () => {
      expect((await stat(site.database)).mode & 0o060).toBe(0o060);
    });

    it("tells version, profile, name, maintenance mode and database of an installed site", async () => {
      const { result, warnings } = await engine.status(site);
      expect(result).toMatchObject({
        installed: true,
        profile: "standard",
        siteName: "O'Neil & <Söhne>",
        maintenance: false,
        database: site.database,
      });
      expect(result.version).toMatch(version);
      expect(warnings).toEqual([]);
    });

    it("refuses to install twice, and the site is as it was", async () => {
      const error = await failure(engine.install(site, installInput({ siteName: "Another" })));
      expect(error.code).toBe("ALREADY_INSTALLED");
      expect((await engine.status(site)).result.siteName).toBe("O'Neil & <Söhne>");
    });

    it("lists extensions with path, version, state and schema, and misses none", async () => {
      const { result } = await engine.inventory(site);
      const system = result.extensions.find((extension) => extension.name === "system");
      expect(system).toMatchObject({ type: "module", path: traits.system, enabled: true, schema: expect.any(Number) });
      expect(result.extensions.find((extension) => extension.name === "standard")).toMatchObject({
        type: "profile",
        path: traits.standard,
        enabled: true,
      });
      expect(result.extensions.find((extension) => extension.name === "minimal")).toMatchObject({
        type: "profile",
        enabled: false,
        schema: undefined,
      });
      expect(result.extensions.some((extension) => extension.type === "theme" && extension.enabled)).toBe(true);
      expect(result.missing).toEqual([]);
      expect(result.version).toMatch(version);
    });

    it("names an enabled module that is gone from disk", async () => {
      await gone(true);
      expect((await engine.inventory(site)).result.missing).toEqual(["gone"]);
      await gone(false);
      expect((await engine.inventory(site)).result.missing).toEqual([]);
    });

    it("gives a login link below the URL that visitors use", async () => {
      const there = { ...site, url: "https://www.shop.example.com:8443" };
      expect((await engine.login(site, 1)).result.url).toMatch(LOGIN);
      expect((await engine.login(there, 1)).result.url).toMatch(/^https:\/\/www\.shop\.example\.com:8443\/(\?q=)?user\/reset\/1\//);
    });

    it("gives no link for an account that is not there", async () => {
      const error = await failure(engine.login(site, 4711));
      expect(error.code).toBe("ENGINE_FAILED");
      expect(error.why[0]).toContain("4711");
      expect((await failure(engine.login(site, 0))).code).toBe("ENGINE_FAILED");
    });

    it("runs cron, and tells when it ran", async () => {
      const before = Math.floor(Date.now() / 1000);
      const { result } = await engine.cron(site);
      expect(result.lastCron).toBeGreaterThanOrEqual(before);
      expect((await engine.status(site)).result.lastCron).toBe(result.lastCron);
    });

    it("clears caches, twice", async () => {
      expect((await engine.cacheClear(site)).result).toEqual({});
      expect((await engine.cacheClear(site)).warnings).toEqual([]);
    });

    it("turns maintenance mode on and off", async () => {
      expect((await engine.maintenance(site, true)).result).toEqual({ maintenance: true });
      expect((await engine.status(site)).result.maintenance).toBe(true);
      expect((await engine.maintenance(site, false)).result).toEqual({ maintenance: false });
      expect((await engine.status(site)).result.maintenance).toBe(false);
    });

    it.runIf(traits.fixedMaintenance !== undefined)("refuses to change a maintenance mode that the site's own settings fix", async () => {
      await host.writeFile(join(site.sitePath, "local.settings.php"), `<?php\n${traits.fixedMaintenance}\n`);
      try {
        expect((await engine.status(site)).result.maintenance).toBe(true);
        const error = await failure(engine.maintenance(site, false));
        expect(error.why[0]).toContain("settings");
      } finally {
        await host.remove(join(site.sitePath, "local.settings.php"));
      }
    });

    it("touches no other site when settings.php is absent and the core would fall back to a parent domain's", async () => {
      await siteOf("example.com").then((parent) => engine.install(parent, installInput()));
      await host.chmod(site.sitePath, { mode: 0o755 });
      await rename(join(site.sitePath, "settings.php"), join(site.sitePath, "settings.away"));
      try {
        for (const act of [
          () => engine.status(site),
          () => engine.cron(site),
          () => engine.install(site, installInput()),
          () => engine.maintenance(site, true),
        ]) {
          const error = await failure(act());
          expect(error.code).toBe("WRONG_SITE");
          expect(error.why[0]).toContain("sites/example.com instead of sites/shop.example.com");
        }
      } finally {
        await rename(join(site.sitePath, "settings.away"), join(site.sitePath, "settings.php"));
      }
    });

    it("does not take a site whose settings.php cannot be read for one that is not installed", async () => {
      const unreadable = await siteOf("unreadable.example.com");
      await host.remove(join(unreadable.sitePath, "settings.php"));
      // A directory of that name: root reads every file.
      await host.mkdir(join(unreadable.sitePath, "settings.php"));
      const error = await failure(engine.status(unreadable));
      expect(error.code).toBe("ENGINE_FAILED");
      expect(error.why[0]).toContain("cannot be read");
    });

    it("touches no sites/default", async () => {
      const stranger = await siteOf("nowhere.test");
      await host.chmod(stranger.sitePath, { mode: 0o755 });
      await host.remove(join(stranger.sitePath, "settings.php"));
      const error = await failure(engine.status(stranger));
      expect(error.code).toBe("WRONG_SITE");
      expect(error.why[0]).toContain(traits.fallback);
    });

    it("finds a sub-directory site by its path", async () => {
      const sub = await siteOf("example.com/foo", { url: "http://example.com:8080/foo" });
      await engine.install(sub, installInput({ siteName: "Foo" }));
      expect((await engine.status(sub)).result.siteName).toBe("Foo");
      expect((await engine.login(sub, 1)).result.url).toMatch(/^http:\/\/example\.com:8080\/foo\/(\?q=)?user\/reset/);
    });

    it("finds another generation of a site by the environment, and visitors' code does not", async () => {
      const generation = "20261124T101010-abcd";
      const next = await siteOf("shop.example.com", { generation, directory: `shop.example.com~${generation}` });
      expect((await failure(engine.status(next))).code).toBe("WRONG_SITE");
      const names = new Map([
        ["shop.example.com", "shop.example.com"],
        ["www.shop.example.com", "shop.example.com"],
      ]);
      await host.writeFile(join(docroot, "sites/sites.php"), engine.sitesPhp(names));
      expect((await engine.status(next)).result.installed).toBe(false);
      await engine.install(next, installInput({ siteName: "Next" }));
      expect((await engine.status(next)).result.siteName).toBe("Next");
      expect((await engine.status(site)).result.siteName).toBe("O'Neil & <Söhne>");
    });

    it("says why when the database cannot be reached", async () => {
      const broken = await siteOf("broken.example.com");
      await writeFile(broken.database, "this is no database, but a text of some length");
      const error = await failure(engine.status(broken));
      expect(error.code).toBe("ENGINE_FAILED");
      expect(error.why[0]).toMatch(/not a database/);
      const install = await failure(engine.install(broken, installInput()));
      expect(install.code).toBe("INSTALL_FAILED");
      expect(install.why[0]).toMatch(/not a database/);
    });

    it("refuses to go on with a half-made installation", async () => {
      const half = await siteOf("half.example.com");
      await host.run(["php", "-r", "(new PDO('sqlite:' . $argv[1]))->exec($argv[2]);", half.database, traits.half]);
      expect((await engine.status(half)).result.installed).toBe(false);
      const error = await failure(engine.install(half, installInput()));
      expect(error.code).toBe("INSTALL_FAILED");
      expect(error.why[0]).toContain("not empty");
    });

    it("says which program is missing when there is no such PHP", async () => {
      expect((await failure(engine.status({ ...site, php: "php-of-no-version" }))).code).toBe("PROGRAM_MISSING");
    });

    it("keeps passwords out of what it reports", async () => {
      const secret = await siteOf("secret.example.com");
      const password = "not-to-be-seen-4711";
      const error = await failure(
        engine.install(secret, installInput({ siteName: "", account: { name: password, mail: "a", password: new Secret(password) } })),
      );
      expect(JSON.stringify([error.message, error.why])).not.toContain(password);
    });
  });
}
