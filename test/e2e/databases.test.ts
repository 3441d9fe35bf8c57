import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { type DatabaseServer, missingServer, type ServerType, startServer } from "../support/database-servers.js";
import { type Serving, TestHub } from "../support/hub.js";

/** What a server had before a site. */
const STANDS = {
  mysql:
    "SELECT CONCAT(User, '@', Host) FROM mysql.user UNION SELECT SCHEMA_NAME FROM information_schema.SCHEMATA UNION SELECT CONCAT(Db, User) FROM mysql.db ORDER BY 1",
  pgsql: "SELECT rolname::text FROM pg_roles UNION SELECT datname::text FROM pg_database ORDER BY 1",
};

/** Everything that a hub and its server hold, but times, and what the first site of a client makes for all. */
function stands(hub: TestHub, server: DatabaseServer): readonly string[] {
  const kept = /^(clients\/admin |config\/server_master\/php\/generation )/;
  const tree = hub.tree({ times: false }).filter((line) => !kept.test(line));
  return [...server.sql(STANDS[server.type]).map(([name = ""]) => name), ...tree];
}

for (const type of ["mysql", "pgsql"] as const satisfies readonly ServerType[]) {
  const missing = missingServer(type);
  describe.skipIf(missing !== undefined)(`fake core on ${type}${missing === undefined ? "" : ` (${missing})`}`, () => {
    let hub: TestHub;
    let server: DatabaseServer;
    let serving: Serving;
    let before: readonly string[];

    beforeAll(async () => {
      [server, hub] = await Promise.all([startServer(type), TestHub.withPlatform()]);
    });
    afterAll(async () => {
      await serving?.stop();
      await server?.remove();
      hub?.remove();
    });

    test("save takes a master_db with its password, which goes to secrets/ and nowhere else", async () => {
      await hub.ok(["save", "@server_master", `--db_service_type=${type}`, `--master_db=${server.url}`]);
      const password = decodeURIComponent(new URL(server.url).password);
      const encoded = new URL(server.url).password;
      const alias = readFileSync(hub.path("aliases/server_master.yml"), "utf8");
      expect(alias).toContain(`master_db: ${type}://${new URL(server.url).username}@127.0.0.1:${server.port}\n`);
      expect(readFileSync(hub.path("secrets/server_master.yml"), "utf8")).toContain(`master_db_password: ${JSON.stringify(password)}`);
      for (const line of hub.everything()) expect(line).not.toContain(encoded);
      const { stdout } = await hub.ok("verify @server_master --json");
      expect(stdout).not.toContain(encoded);
      expect((await hub.ok("doctor --json")).stdout).toContain(`${type} can be used`);
    });

    test("install leaves nothing for a verify to change, and verify changes nothing to the byte", async () => {
      await hub.ok("verify @server_master");
      before = stands(hub, server);
      await hub.saveSite("a.localhost");
      await hub.ok("install @a.localhost");
      const context = readFileSync(hub.path("aliases/a.localhost.yml"), "utf8");
      expect(context).toMatch(/^db_name: a_localhost_[0-9a-f]{8}_\d{8}t\d{6}_[0-9a-f]+$/m);
      const all = hub.everything();
      for (let time = 0; time < 2; time++) expect((await hub.document("verify @a.localhost")).counts).toMatchObject({ changed: 0 });
      expect(hub.everything()).toEqual(all);
    });

    test("disable, enable, cron and login are the same as on any database", async () => {
      serving = await hub.serve();
      await hub.ok("disable @a.localhost");
      expect((await serving.get("a.localhost", "/")).status).toBe(503);
      await hub.ok("enable @a.localhost");
      await hub.ok("cron @a.localhost");
      const { pathname, search } = new URL((await hub.ok("login @a.localhost")).stdout.trim());
      expect((await serving.get("a.localhost", pathname + search)).status).toBe(302);
    });

    test("a new password while visitors come: no request fails, the old account is gone, a dry run changes nothing", async () => {
      const unchanged = hub.everything();
      const dry = await hub.document("verify @a.localhost --rotate-password --dry-run");
      expect(dry).toMatchObject({ ok: true, outcome: "would_change" });
      expect(hub.everything()).toEqual(unchanged);
      const { db_user: old } = parse(readFileSync(hub.path("aliases/a.localhost.yml"), "utf8"));
      const statuses: number[] = [];
      let going = true;
      const visitor = async () => {
        while (going) statuses.push((await serving.get("a.localhost", "/").catch(() => ({ status: 0 }))).status);
      };
      const visitors = [visitor(), visitor()];
      const rotated = await hub.document("verify @a.localhost --rotate-password");
      const seen = statuses.length;
      // Some more, with the old account gone.
      for (let turn = 0; statuses.length < seen + 20 && turn < 600; turn++) await sleep(50);
      going = false;
      await Promise.all(visitors);
      expect(rotated).toMatchObject({ ok: true, outcome: "changed" });
      expect(statuses.length).toBeGreaterThan(20);
      expect([...new Set(statuses)]).toEqual([200]);
      expect(stands(hub, server).filter((line) => line.includes(`${old}@`) || line === old)).toEqual([]);
      const secrets = readFileSync(hub.path("secrets/a.localhost.yml"), "utf8");
      expect(secrets.match(/db_password_\w+/g)).toEqual([expect.stringMatching(new RegExp(`^db_password_${old}_r`))]);
      expect((await hub.document("verify @a.localhost")).counts).toMatchObject({ changed: 0 });
    });

    test("a new password that does not work for the site is taken back", async () => {
      const was = stands(hub, server);
      const local = join(hub.docroot, "sites/a.localhost/local.settings.php");
      const { db_user: user } = parse(readFileSync(hub.path("aliases/a.localhost.yml"), "utf8"));
      const only = `if ($databases['default']['default']['username'] !== '${user}') $databases['default']['default']['password'] = 'wrong';`;
      writeFileSync(local, `<?php\n${only}\n`);
      const failed = await hub.document("verify @a.localhost --rotate-password");
      rmSync(local);
      expect(failed).toMatchObject({ exit: 4, outcome: "rolled_back", error: { code: "PROBE_FAILED", why: ["GET / 500 (was 200)"] } });
      expect(stands(hub, server)).toEqual(was);
      expect((await serving.get("a.localhost", "/")).status).toBe(200);
    });

    test("delete leaves nothing, on the server and in the hub", async () => {
      await serving.stop();
      await hub.ok("delete @a.localhost --no-backup --yes");
      expect(stands(hub, server)).toEqual(before);
    });
  });
}
