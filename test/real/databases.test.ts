import { mkdirSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadHub } from "../../src/context/hub.js";
import { Layout } from "../../src/context/layout.js";
import { Scope } from "../../src/core/scope.js";
import { drupal7 } from "../../src/engines/drupal7/index.js";
import { SANITIZE } from "../../src/engines/engine.js";
import { databaseOf } from "../../src/operations/parts/site.js";
import { Services } from "../../src/operations/services.js";
import { copyStep } from "../../src/services/db/transfer.js";
import { askAsSite } from "../support/database-client.js";
import { type DatabaseServer, missingServer, type ServerType, startServer } from "../support/database-servers.js";
import { TestHub } from "../support/hub.js";
import { drive } from "../support/step-driver.js";

const core = process.env["PROVISION_TEST_DRUPAL7"] || undefined;

for (const type of ["mysql", "pgsql"] as const satisfies readonly ServerType[]) {
  const missing = core === undefined ? "SKIPPED: PROVISION_TEST_DRUPAL7 names no unpacked Drupal 7" : missingServer(type);
  describe.skipIf(missing !== undefined)(`Drupal 7 on ${type}${missing === undefined ? "" : ` (${missing})`}`, () => {
    let hub: TestHub;
    let server: DatabaseServer;

    beforeAll(async () => {
      [server, hub] = await Promise.all([startServer(type), TestHub.empty()]);
      mkdirSync(hub.path("makes"));
      writeFileSync(
        hub.path("makes/d7.make.yml"),
        `core: 7.x\napi: 2\nprojects:\n  drupal:\n    type: core\n    download:\n      type: copy\n      url: ${core}\n`,
      );
      await hub.ok(["save", "@server_master", `--db_service_type=${type}`, `--master_db=${server.url}`]);
      await hub.ok("save @platform_p --root=platforms/p --makefile=makes/d7.make.yml");
      await hub.ok("verify @platform_p");
    }, 120_000);
    afterAll(async () => {
      await server?.remove();
      hub?.remove();
    });

    it("install of standard leaves nothing for a verify, a page and a login answer, a new password changes nothing for visitors", async () => {
      await hub.ok("save @real.localhost --context_type=site --platform=@platform_p");
      await hub.ok("install @real.localhost");
      for (let time = 0; time < 2; time++) expect((await hub.document("verify @real.localhost")).counts).toMatchObject({ changed: 0 });
      const serving = await hub.serve();
      try {
        expect((await serving.get("real.localhost", "/")).body).toContain("No front page content has been created yet");
        const { pathname, search } = new URL((await hub.ok("login @real.localhost")).stdout.trim());
        expect((await serving.get("real.localhost", pathname + search)).status).toBe(302);
        await hub.ok("verify @real.localhost --rotate-password");
        expect((await serving.get("real.localhost", "/")).status).toBe(200);
        await hub.ok("cron @real.localhost");
      } finally {
        await serving.stop();
      }
    }, 180_000);

    it("its database is copied whole, uid 0 too, and belongs to the copy", async () => {
      const use = new Services(await loadHub(hub.root), new Scope());
      const site = await use.store.need("@real.localhost", "site");
      const dbServer = await use.store.need("@server_master", "server");
      const db = use.db(dbServer);
      const generation = site.generation ?? "";
      const from = databaseOf({ site, generation, paths: use.layout.generation(site.uri, generation) }, use, dbServer);
      const to = {
        ...from,
        site: "@copy.localhost",
        uri: "copy.localhost",
        names: db.names("copy.localhost", generation),
        paths: new Layout(hub.root).generation("copy.localhost", generation),
      };
      await drive(db.create(to));
      await drive([copyStep(use.local, db, from, db, to, { structureOnly: ["cache", "cache_bootstrap", "sessions"] })]);
      const count = async (of: typeof from) => {
        const rows = await askAsSite(await db.access(of), [
          "SELECT COUNT(*), MIN(uid) FROM users UNION ALL SELECT COUNT(*), 0 FROM variable UNION ALL SELECT COUNT(*), 0 FROM menu_router",
        ]);
        return rows;
      };
      expect(await count(to)).toEqual(await count(from));
      expect(await askAsSite(await db.access(to), ["SELECT COUNT(*) FROM sessions"])).toEqual([["0"]]);
      await drive(db.drop(to));
    }, 120_000);

    it("paths are rewritten, in bytes too, and accounts sanitized", async () => {
      const use = new Services(await loadHub(hub.root), new Scope());
      const context = await use.store.need("@real.localhost", "site");
      const dbServer = await use.store.need("@server_master", "server");
      const generation = context.generation ?? "";
      const of = databaseOf({ site: context, generation, paths: use.layout.generation(context.uri, generation) }, use, dbServer);
      const access = await use.db(dbServer).access(of);
      const ask = (statement: string) => askAsSite(access, [statement]);
      const uri = "real.localhost";
      const site = { host: use.local, php: "php", docroot: hub.path("platforms/p"), uri, directory: uri, url: `http://${uri}` };
      await ask("INSERT INTO block_custom (body, info, format) VALUES ('see sites/real.localhost/files/x', 'i', 'full_html')");
      const value = (name: string) => `a:1:{s:4:"path";s:30:"sites/${name}.localhost/files/a/b";}`;
      await ask(`INSERT INTO variable (name, value) VALUES ('x_nested', '${value("real")}')`);
      const pairs = [{ from: "sites/real.localhost/files", to: "sites/copy.localhost/files" }];
      expect((await drupal7.rewritePaths(site, { pairs })).result).toEqual({
        changed: [
          { where: "block_custom.body", count: 1 },
          { where: "variable x_nested", count: 1 },
        ],
        left: [],
      });
      expect(await ask("SELECT body FROM block_custom")).toEqual([["see sites/copy.localhost/files/x"]]);
      const text = type === "pgsql" ? "ENCODE(value, 'escape')" : "value";
      expect(await ask(`SELECT ${text} FROM variable WHERE name = 'x_nested'`)).toEqual([[value("copy")]]);
      expect((await drupal7.rewritePaths(site, { pairs })).result.changed).toEqual([]);

      await ask("INSERT INTO users (uid, name, pass, mail, init) VALUES (7, 'Jane', 'x', 'jane@example.com', 'jane@example.com')");
      expect((await drupal7.sanitize(site, SANITIZE)).result).toMatchObject({ accounts: 2 });
      expect(await ask("SELECT name, mail, pass FROM users WHERE uid = 7")).toEqual([["user7", "user7@example.invalid", "!"]]);
      expect((await drupal7.sanitize(site, SANITIZE)).result).toEqual({ accounts: 0, values: 0 });
      expect((await drupal7.pendingUpdates(site)).result.updates).toEqual([]);
      expect((await drupal7.rebuild(site)).warnings).toEqual([]);
    }, 120_000);

    it("delete leaves no database and no account", async () => {
      await hub.ok("delete @real.localhost --no-backup --yes");
      const left =
        type === "mysql"
          ? "SELECT User FROM mysql.user WHERE User LIKE 'real%' UNION SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'real%'"
          : "SELECT rolname FROM pg_roles WHERE rolname LIKE 'real%' UNION SELECT datname FROM pg_database WHERE datname LIKE 'real%'";
      expect(server.sql(left)).toEqual([]);
    });
  });
}
