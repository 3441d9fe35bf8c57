import { cp, mkdtemp, readdir, rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scope } from "../../src/core/scope.js";
import { backdrop } from "../../src/engines/backdrop/index.js";
import type { SiteCode } from "../../src/engines/engine.js";
import { detectCore } from "../../src/engines/index.js";
import { LocalHost } from "../../src/host/local.js";
import { type DatabaseServer, missingServer, startServer } from "../support/database-servers.js";
import { installInput } from "../support/engine-site.js";
import { engineUpdateSuite } from "../support/engine-update-suite.js";
import { failure } from "../support/failure.js";
import { TestHub } from "../support/hub.js";
import { onMysql } from "../support/mysql-sites.js";
import { PhpServer, sessionCookie } from "../support/php-server.js";
import { plantBackdropOnMysql } from "../support/plant.js";

/** An unpacked Backdrop, and an earlier one to update from; they are copied, and never changed. */
const { PROVISION_TEST_BACKDROP: tree, PROVISION_TEST_BACKDROP_OLD: old } = process.env;
const missing = tree ? missingServer("mysql") : "SKIPPED: PROVISION_TEST_BACKDROP names no unpacked Backdrop tree";

if (tree === undefined || missing !== undefined) {
  describe("Backdrop engine on a real Backdrop", () => {
    it.skip(missing ?? "SKIPPED", () => {});
  });
} else {
  const host = new LocalHost(new Scope());
  let server: DatabaseServer;
  const place = onMysql(() => server);

  beforeAll(async () => {
    server = await startServer("mysql");
  }, 60_000);
  afterAll(() => server?.remove());

  describe(`a site of the real Backdrop in ${tree}`, () => {
    let hub: string;
    let docroot: string;
    let web: PhpServer;
    let site: SiteCode & { readonly sitePath: string; readonly database: string };

    beforeAll(async () => {
      hub = await mkdtemp(join(tmpdir(), "provision-backdrop-"));
      docroot = join(hub, "platform");
      await cp(tree, docroot, { recursive: true });
      web = await PhpServer.start(docroot);
      site = { ...(await place.make(backdrop, host, hub, docroot, "a.test")), url: `http://a.test:${web.port}` };
    });
    afterAll(async () => {
      await web?.stop();
      await host.remove(hub);
    });

    it("is recognised, with the profiles of core", async () => {
      const core = await detectCore(host, docroot);
      expect(core).toMatchObject({ engine: "backdrop", docroot, profiles: expect.arrayContaining(["minimal", "standard"]) });
      expect(core.version).toMatch(/^1\.\d+\.\d+/);
    });

    it("is not installed at first, refuses a profile that is not there and a bad address, and nothing is left of it", async () => {
      expect((await backdrop.status(site)).result).toMatchObject({ installed: false, profile: undefined, database: site.database });
      expect((await failure(backdrop.cron(site))).code).toBe("NOT_INSTALLED");
      const profile = await failure(backdrop.install(site, installInput({ profile: "no_such_profile" })));
      expect(profile.why.join("\n")).toMatch(/no_such_profile.*minimal/);
      const mail = await failure(backdrop.install(site, installInput({ siteMail: "not an address" })));
      expect(mail.why[0]).toContain("not an address");
      expect(await place.sql(host, site, "SHOW TABLES")).toEqual([]);
    });

    it("installs standard with the settings it finds, and without a warning; its configuration lies outside the docroot", async () => {
      const before = await host.readFile(join(site.sitePath, "settings.php"));
      const { result, warnings } = await backdrop.install(site, installInput({ profile: "standard" }));
      expect(warnings).toEqual([]);
      expect(result).toEqual({ profile: "standard", login: expect.stringMatching(/^http:\/\/a\.test:\d+\/user\/reset\/1\/.*\/login$/) });
      expect(await host.readFile(join(site.sitePath, "settings.php"))).toBe(before);
      const active = /\['active'\] = '([^']+)'/.exec(before ?? "")?.[1] ?? "";
      expect(active.startsWith(`${docroot}/`)).toBe(false);
      expect(await readdir(active)).toContain("system.core.json");
      expect((await backdrop.status(site)).result).toMatchObject({
        installed: true,
        profile: "standard",
        siteName: "O'Neil & <Söhne>",
        maintenance: false,
        database: site.database,
      });
      expect((await failure(backdrop.install(site, installInput()))).code).toBe("ALREADY_INSTALLED");
    }, 60_000);

    it("lists its extensions as they were counted by hand", async () => {
      const { result } = await backdrop.inventory(site);
      expect(result.missing).toEqual([]);
      const of = (name: string) => result.extensions.find((extension) => extension.name === name);
      expect(of("system")).toMatchObject({ type: "module", path: "core/modules/system", enabled: true, schema: expect.any(Number) });
      expect(of("standard")).toMatchObject({ type: "profile", path: "core/profiles/standard", enabled: true });
      expect(of("minimal")).toMatchObject({ type: "profile", path: "core/profiles/minimal", enabled: false, schema: undefined });
      expect(of("basis")).toMatchObject({ type: "theme", path: "core/themes/basis", enabled: true });
      // By hand: modules of core that standard.info, or one that it names, asks for; and some that nobody does.
      for (const name of ["node", "views", "layout", "ckeditor5", "path", "dblog", "user", "image"])
        expect(of(name)?.enabled, name).toBe(true);
      for (const name of ["book", "language", "translation", "syslog"]) expect(of(name)?.enabled, name).toBe(false);
    });

    it("shows the site's name; a login link logs in, once", async () => {
      const page = await web.get("a.test", "/");
      expect(page.status).toBe(200);
      expect(page.body).toMatch(/<title>.*O&#039;Neil &amp; &lt;Söhne&gt;/);
      const path = PhpServer.path((await backdrop.login(site, 1)).result.url);
      const answer = await web.get("a.test", path);
      expect(answer.status).toBe(302);
      const cookie = sessionCookie(answer) ?? "";
      expect((await web.get("a.test", "/user/1/edit", { Cookie: cookie })).status).toBe(200);
      expect((await web.get("a.test", path)).headers.location ?? "").not.toContain("/user/1/edit");
      expect((await failure(backdrop.login(site, 4711))).why[0]).toContain("4711");
    });

    it("answers 503 to visitors in maintenance mode; cron runs and says when", async () => {
      await backdrop.maintenance(site, true);
      expect((await backdrop.status(site)).result.maintenance).toBe(true);
      expect((await web.get("a.test", "/user/login")).status).toBe(200);
      expect((await web.get("a.test", "/")).status).toBe(503);
      await backdrop.maintenance(site, false);
      expect((await web.get("a.test", "/")).status).toBe(200);
      const { lastCron } = (await backdrop.cron(site)).result;
      expect((await backdrop.status(site)).result.lastCron).toBe(lastCron);
      expect((await backdrop.cacheClear(site)).result).toEqual({});
    });

    it("touches no other site: neither the docroot's own settings.php, nor a parent domain's", async () => {
      const sites = join(docroot, "sites/sites.php");
      const names = await host.readFile(sites);
      await host.writeFile(sites, backdrop.sitesPhp(new Map()));
      const alone = await failure(backdrop.status(site));
      expect(alone.code).toBe("WRONG_SITE");
      await host.writeFile(sites, names ?? "");
      const below = { ...site, uri: "b.a.test", directory: "b.a.test" };
      expect((await failure(backdrop.status(below))).why[0]).toContain("sites/a.test instead of sites/b.a.test");
    });

    it("rewrites active configuration, and all of it or nothing", async () => {
      await backdrop.cacheClear(site);
      const active = /\['active'\] = '([^']+)'/.exec((await host.readFile(join(site.sitePath, "settings.php"))) ?? "")?.[1] ?? "";
      const file = join(active, "system.core.json");
      const config = JSON.parse((await host.readFile(file)) ?? "") as Record<string, unknown>;
      await host.writeFile(file, JSON.stringify({ ...config, site_logo_path: "/sites/a.test/files/logo.png" }), { mode: 0o664 });
      const pairs = [{ from: "sites/a.test/files", to: "sites/b.test/files" }];
      const { result } = await backdrop.rewritePaths(site, { pairs });
      expect(result.changed).toContainEqual({ where: "config system.core", count: 1 });
      const now = JSON.parse((await host.readFile(file)) ?? "") as Record<string, unknown>;
      expect(now).toMatchObject({ _config_name: "system.core", site_logo_path: "/sites/b.test/files/logo.png" });
      expect((await backdrop.rewritePaths(site, { pairs })).result.changed).toEqual([]);
      expect((await web.get("a.test", "/")).status).toBe(200);
    });
  });

  engineUpdateSuite(
    backdrop,
    `the real Backdrop in ${tree}`,
    async (docroot) => {
      await cp(tree, docroot, { recursive: true });
      return docroot;
    },
    plantBackdropOnMysql,
    place,
  );

  describe.runIf(old)(`Backdrop of ${old}, updated to that of ${tree}`, () => {
    let hub: string;
    afterAll(() => host.remove(hub));

    it("runs core's updates, and pages are served", async () => {
      hub = await mkdtemp(join(tmpdir(), "provision-backdrop-old-"));
      const docroot = join(hub, "platform");
      await cp(old ?? "", docroot, { recursive: true });
      const site = await place.make(backdrop, host, hub, docroot, "a.test");
      await backdrop.install(site, installInput({ profile: "standard" }));
      await rename(docroot, join(hub, "old"));
      await cp(tree, docroot, { recursive: true });
      await host.run(["cp", "-a", `${hub}/old/sites/.`, `${docroot}/sites`]);
      expect((await backdrop.rebuild(site)).warnings).toEqual([]);
      const { updates } = (await backdrop.pendingUpdates(site)).result;
      expect(updates.map(({ extension }) => extension)).toContain("system");
      expect((await backdrop.update(site)).result.ran).toEqual(updates);
      expect((await backdrop.pendingUpdates(site)).result.updates).toEqual([]);
      const web = await PhpServer.start(docroot);
      try {
        expect((await web.get("a.test", "/")).status).toBe(200);
      } finally {
        await web.stop();
      }
    }, 120_000);
  });

  describe("Backdrop, by the command line", () => {
    let hub: TestHub;
    beforeAll(async () => {
      hub = await TestHub.empty();
      await cp(tree, hub.path("platforms/b"), { recursive: true });
      await hub.ok("save @platform_b --root=platforms/b");
      await hub.ok("save @a.localhost --context_type=site --platform=@platform_b");
      await hub.ok("verify @platform_b");
    });
    afterAll(() => hub?.remove());

    it("a site with SQLite is refused before anything is made", async () => {
      const before = await readdir(hub.path("platforms/b/sites"));
      const refused = await hub.document("install @a.localhost");
      expect(refused).toMatchObject({ ok: false, exit: 1, error: { code: "REFUSED" } });
      expect(JSON.stringify(refused.error)).toMatch(/sqlite/i);
      expect(await readdir(hub.path("platforms/b/sites"))).toEqual(before);
    });

    it("install leaves nothing for a verify, a page and a login answer, delete leaves nothing", async () => {
      await hub.ok(["save", "@server_master", "--db_service_type=mysql", `--master_db=${server.url}`]);
      await hub.ok("install @a.localhost");
      for (let time = 0; time < 2; time++) expect((await hub.document("verify @a.localhost")).counts).toMatchObject({ changed: 0 });
      const serving = await hub.serve();
      try {
        expect((await serving.get("a.localhost", "/")).status).toBe(200);
        expect((await serving.get("a.localhost", "/core/misc/backdrop.js")).status).toBe(200);
        for (const path of ["/core/install.php", "/core/modules/node/node.info", "/settings.php", "/core/includes/bootstrap.inc"])
          expect([403, 404], path).toContain((await serving.get("a.localhost", path)).status);
        const { pathname, search } = new URL((await hub.ok("login @a.localhost")).stdout.trim());
        expect((await serving.get("a.localhost", pathname + search)).status).toBe(302);
        await hub.ok("cron @a.localhost");
      } finally {
        await serving.stop();
      }
      expect((await hub.document("verify @a.localhost")).counts).toMatchObject({ changed: 0 });
      await hub.ok("delete @a.localhost --no-backup --yes");
      expect(server.sql("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'alocalhost%'")).toEqual([]);
    }, 180_000);
  });
}
