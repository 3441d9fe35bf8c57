import { mkdtemp, rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scope } from "../../src/core/scope.js";
import { type Engine, SANITIZE, type SiteCode } from "../../src/engines/engine.js";
import type { Host } from "../../src/host/host.js";
import { LocalHost } from "../../src/host/local.js";
import { installInput, makeSite } from "./engine-site.js";
import { failure } from "./failure.js";
import type { Failing, Plant } from "./plant.js";
import { sqlite } from "./sqlite.js";

type TestSite = SiteCode & { readonly sitePath: string; readonly database: string };

/** Where a suite's sites are: directories and settings of one, and a statement on its database (rows as lists of texts). */
export interface SitePlace {
  make(engine: Engine, host: Host, hub: string, docroot: string, uri: string): Promise<TestSite>;
  sql(host: Host, site: TestSite, statement: string): Promise<readonly (readonly string[])[]>;
}

const onSqlite: SitePlace = {
  make: makeSite,
  sql: (host, site, statement) => sqlite(host, site.database, statement),
};

/** What every engine does when code has changed, moved or gone, and with the contents of a site. */
export function engineUpdateSuite(
  engine: Engine,
  core: string,
  makeCore: (root: string) => Promise<string | undefined>,
  plant: Plant,
  place: SitePlace = onSqlite,
): void {
  describe(`${engine.label} engine on ${core}, when code changes`, () => {
    const host = new LocalHost(new Scope());
    let hub: string;
    let docroot: string;
    let site: TestSite;
    let module = plant.module;

    /** Name of the planted module's update so many after its first. */
    const nth = (count: number) => `plant_update_${plant.first + count}`;
    const sql = (statement: string) => place.sql(host, site, statement);
    const enabled = async (name: string) => {
      const { result } = await engine.inventory(site);
      return result.extensions.find((extension) => extension.name === name && extension.enabled);
    };
    const names = (updates: readonly { readonly name: string }[]) => updates.map(({ name }) => name);

    beforeAll(async () => {
      hub = await mkdtemp(join(tmpdir(), "provision-updates-"));
      const root = join(hub, "platform");
      docroot = (await makeCore(root)) ?? root;
      // As verify @platform leaves it.
      await host.writeFile(join(docroot, "sites/sites.php"), engine.sitesPhp(new Map([["old.example", "old.example"]])));
      await plant.lay(docroot);
      site = await place.make(engine, host, hub, docroot, "old.example");
      await engine.install(site, installInput({ profile: "acme" }));
    });
    afterAll(() => host.remove(hub));

    it("has nothing to update on a fresh site, and does nothing", async () => {
      expect((await engine.pendingUpdates(site)).result.updates).toEqual([]);
      expect(await engine.update(site)).toEqual({ result: { ran: [], imported: [] }, warnings: [] });
    });

    it("lists what waits in the order to run it, with what its author says", async () => {
      await plant.renew(docroot, "exception");
      const { result, warnings } = await engine.pendingUpdates(site);
      expect(result.updates).toEqual([
        { extension: "plant", name: nth(1), description: "Goes through all pages a few at a time." },
        { extension: "plant", name: nth(2), description: "Implements hook_update_N(): the one that can fail." },
        { extension: "plant", name: nth(3), description: undefined },
      ]);
      expect(warnings).toEqual([]);
      expect(await enabled("plant")).toMatchObject({ schema: plant.first });
    });

    it("names the update that fails and what ran before it, and the schema stays at the last good one", async () => {
      const error = await failure(engine.update(site));
      expect(error.code).toBe("UPDATEDB_FAILED");
      expect(error.message).toContain("did not update the database of old.example ");
      expect(error.message).toMatch(new RegExp(`: ${nth(2)} of plant failed$`));
      expect(error.why[0]).toContain("the planted update failed");
      expect(error.why).toContain(`ran before it: ${nth(1)}`);
      expect(await enabled("plant")).toMatchObject({ schema: plant.first + 1 });
      expect((await engine.status(site)).result).toMatchObject({ installed: true, maintenance: false });
    });

    it.each<[Exclude<Failing, undefined>, RegExp]>([
      ["type-error", /TypeError: strlen\(\)/],
      ["exit", /ended PHP before the work was done/],
      ["killed", /SIGKILL[\s\S]*running plant_update_[178]003 of plant/],
    ])("goes on from there, and tells an update that ends with %s", async (failing, why) => {
      await plant.renew(docroot, failing);
      const error = await failure(engine.update(site));
      expect(error.code).toBe("UPDATEDB_FAILED");
      expect(error.why.join("\n")).toMatch(why);
      if (failing !== "killed") {
        expect(error.message).toContain(`${nth(2)} of plant failed`);
        expect(error.why).toContain("no update ran before it");
      }
      expect(await enabled("plant")).toMatchObject({ schema: plant.first + 1 });
      expect(names((await engine.pendingUpdates(site)).result.updates)).toEqual([nth(2), nth(3)]);
    });

    it("a renamed profile whose directory has a moved module: nothing is missing afterwards, and its updates run", async () => {
      await plant.renew(docroot, undefined);
      module = await plant.move(docroot);
      expect((await engine.renameProfile(site, { from: "acme", to: "acme2" })).result).toEqual({ renamed: true });
      expect((await engine.renameProfile(site, { from: "acme", to: "acme2" })).result).toEqual({ renamed: false });
      if (plant.stale !== undefined) expect((await failure(engine.cron(site))).why.join("\n")).toMatch(plant.stale);
      expect((await engine.rebuild(site)).warnings).toEqual([]);
      expect((await engine.rebuild(site)).warnings).toEqual([]);
      expect((await engine.status(site)).result.profile).toBe("acme2");
      expect(await enabled("acme")).toBeUndefined();
      expect(await enabled("plant")).toMatchObject({ path: module, schema: plant.first + 1 });
      const pending = names((await engine.pendingUpdates(site)).result.updates);
      expect(pending).toEqual(expect.arrayContaining([nth(2), nth(3)]));
      expect(names((await engine.update(site)).result.ran)).toEqual(pending);
      expect((await engine.inventory(site)).result.missing).toEqual([]);
      expect(await enabled("acme2")).toMatchObject({ type: "profile", path: "profiles/acme2" });
      expect((await engine.cron(site)).result.lastCron).toBeGreaterThan(0);
      expect((await engine.update(site)).result.ran).toEqual([]);
    });

    it("refuses to rename to a profile that is not there, or from one that the site does not have", async () => {
      const absent = await failure(engine.renameProfile(site, { from: "acme2", to: "no_such_profile" }));
      expect(absent.why[0]).toContain("no_such_profile");
      const other = await failure(engine.renameProfile(site, { from: "acme", to: "minimal" }));
      expect(other.why[0]).toMatch(/acme2.*acme.*minimal/);
      expect((await engine.status(site)).result.profile).toBe("acme2");
    });

    it("tells the cron hook that throws", async () => {
      await plant.breakCron(docroot, module);
      const { result, warnings } = await engine.cron(site);
      expect(result.lastCron).toBeGreaterThan(0);
      expect(warnings.join("\n")).toContain("the planted cron failed");
    });

    it("bears a module that is gone, and names it; it is still enabled when it is back", async () => {
      const away = join(hub, "away");
      await rename(join(docroot, module), away);
      const { warnings } = await engine.rebuild(site);
      expect(warnings.join("\n")).toContain("plant");
      const pending = await engine.pendingUpdates(site);
      expect(pending.result.updates).toEqual([]);
      expect(pending.warnings.join("\n")).toContain("plant");
      expect((await engine.inventory(site)).result.missing).toEqual(["plant"]);
      await rename(away, join(docroot, module));
      expect((await engine.rebuild(site)).warnings).toEqual([]);
      expect(await enabled("plant")).toMatchObject({ path: module, schema: plant.first + 3 });
    });

    const page = (name: string, title: string, body: string) => plant.pages.write(sql, name, title, body);
    const body = (name: string) => plant.pages.bodyOf(sql, name);
    const PAIRS = [
      { from: "sites/old.example/files", to: "sites/new.example/files" },
      { from: "http://old.example", to: "https://new.example" },
    ];

    it("rewrites paths and addresses as wholes, and in what serialized values hold; what it cannot is told", async () => {
      const file = `a:2:{s:3:"src";s:32:"/sites/old.example/files/a/b.png";s:4:"list";a:1:{i:0;s:25:"http://old.example/node/1";}}`;
      const object = `O:5:"Thing":1:{s:3:"src";s:31:"sites/old.example/files/own.png";}`;
      await page("text", "t", '<img src="/sites/old.example/files/x.png"> see http://old.example. Or http://old.example:8080/');
      await page("longer", "t", "sites/old.example.org/files/x my-sites/old.example/files http://old.example.org http://old.example-2/");
      await page("json", "t", String.raw`{"src":"\/sites\/old.example\/files\/x.png"}`);
      await page("serialized", "t", file);
      await page("object", "t", object);
      await page("broken", "t", `a:1:{i:0;s:99:"sites/old.example/files/x"}`);
      await page("room", `${"x".repeat(plant.pages.room - 23)} http://old.example/abc`, "nothing");
      await plant.pages.extra(sql);

      const { result } = await engine.rewritePaths(site, { pairs: PAIRS });
      expect(result.changed).toContainEqual({ where: plant.pages.body, count: 3 });
      expect(result.left).toEqual(
        expect.arrayContaining([{ where: plant.pages.body, count: 2 }, { where: plant.pages.title, count: 1 }, ...plant.pages.left]),
      );
      expect(await body("text")).toBe('<img src="/sites/new.example/files/x.png"> see https://new.example. Or http://old.example:8080/');
      expect(await body("longer")).toContain("sites/old.example.org/files/x my-sites/old.example/files http://old.example.org");
      expect(await body("json")).toBe(String.raw`{"src":"\/sites\/new.example\/files\/x.png"}`);
      expect(await body("serialized")).toBe(file.replaceAll("old.example", "new.example").replace('s:25:"http:', 's:26:"https:'));
      expect(await body("object")).toBe(object);
      if (plant.pages.body === "plant_page.body") expect(await sql("SELECT COUNT(*) FROM cache_plant")).toEqual([["0"]]);

      const again = await engine.rewritePaths(site, { pairs: PAIRS });
      expect(again.result).toEqual({ changed: [], left: result.left });
    });

    it("swaps two names in one pass", async () => {
      await page("swap", "t", "sites/a.example/files/1 sites/b.example/files/2");
      const pairs = [
        { from: "sites/a.example/", to: "sites/b.example/" },
        { from: "sites/b.example/", to: "sites/a.example/" },
      ];
      expect((await engine.rewritePaths(site, { pairs })).result.changed).toContainEqual({ where: plant.pages.body, count: 1 });
      expect(await body("swap")).toBe("sites/b.example/files/1 sites/a.example/files/2");
    });

    it("of a site that has another name empties caches also when no page named the old one; a copy has keys of its own, another site keeps them", async () => {
      const drupal8 = plant.accounts === "users_field_data";
      const table = drupal8 ? "key_value WHERE collection = 'state' AND" : `${engine.name === "backdrop" ? "state" : "variable"} WHERE`;
      const keys = () => sql(`SELECT name, value FROM ${table} (name LIKE '%private_key' OR name LIKE '%cron_key') ORDER BY name`);
      // Core's own are many, and are filled by its start.
      const stale = () => (drupal8 ? Promise.resolve([]) : sql("SELECT cid FROM cache_plant"));
      if (!drupal8) await sql("INSERT INTO cache_plant (cid, data, expire) VALUES ('stale', 'a', 0)");
      const planted = await stale();
      const pairs = [{ from: "sites/nowhere.example", to: "sites/new.example" }];
      await engine.renewKeys(site);
      const before = await keys();
      expect(before).toHaveLength(2);
      expect((await engine.rewritePaths(site, { pairs })).result.changed).toEqual([]);
      expect([await stale(), await keys()]).toEqual([planted, before]);
      expect((await engine.rewritePaths(site, { pairs, fresh: true })).result.changed).toEqual([]);
      expect([await stale(), await keys()]).toEqual([[], before]);
      await engine.rewritePaths(site, { pairs, fresh: true, newKeys: true });
      const after = await keys();
      expect(after.map(([name]) => name)).toEqual(before.map(([name]) => name));
      for (const [index, row] of after.entries()) expect(row[1]).not.toBe(before[index]?.[1]);
      expect((await engine.status(site)).result).toMatchObject({ installed: true, maintenance: false });
    });

    it("sanitizes accounts, sessions and stored keys, once; the first account keeps its name, and no password fits", async () => {
      const columns = "name, mail, init, pass";
      const [first] = await sql(`SELECT ${columns} FROM ${plant.accounts} WHERE uid = 1`);
      await plant.people(sql);
      const link = (await engine.login(site, 1)).result.url;
      const { result } = await engine.sanitize(site, SANITIZE);
      expect(result.accounts).toBe(3);
      expect(result.values).toBeGreaterThanOrEqual(1);
      const rows = await sql(`SELECT uid, ${columns} FROM ${plant.accounts} WHERE uid > 0 ORDER BY uid`);
      expect(rows.map((row) => row.slice(0, 4))).toEqual([
        ["1", first?.[0], "user1@example.invalid", "user1@example.invalid"],
        ["7", "user7", "user7@example.invalid", "user7@example.invalid"],
        ["8", "user8", "user8@example.invalid", "user8@example.invalid"],
      ]);
      expect(rows.map((row) => row[4]).some((pass) => pass === first?.[3] || pass === "secret")).toBe(false);
      expect(await sql("SELECT COUNT(*) FROM sessions")).toEqual([["0"]]);
      expect((await engine.sanitize(site, SANITIZE)).result).toEqual({ accounts: 0, values: 0 });
      expect((await engine.login(site, 1)).result.url).not.toBe(link);
      expect((await engine.cron(site)).result.lastCron).toBeGreaterThan(0);
    });

    it("tells tables and generated files by name", async () => {
      expect(engine.tables.structureOnly).toEqual(expect.arrayContaining(["sessions"]));
      expect(engine.tables.writtenByReads).toEqual(expect.arrayContaining(["sessions", plant.accounts]));
      expect(engine.generatedFiles).toEqual(expect.arrayContaining(["css", "js"]));
    });
  });
}
