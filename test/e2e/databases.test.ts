import { lstatSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
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

/** Files of the hub, journals too, in which a secret stands, as it is or as a program may have written it. */
function holding(hub: TestHub, ...secrets: readonly string[]): readonly string[] {
  const forms = secrets.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]).map((form) => Buffer.from(form));
  const files = readdirSync(hub.root, { recursive: true, encoding: "utf8" })
    .filter((path) => lstatSync(hub.path(path)).isFile())
    .map((path) => realpathSync(hub.path(path)));
  return [...new Set(files)]
    .filter((path) => forms.some((form) => readFileSync(path).includes(form)))
    .map((path) => path.slice(hub.root.length + 1))
    .sort();
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
      expect(holding(hub, password, encoded)).toEqual(["secrets/server_master.yml"]);
      const { stdout } = await hub.ok("verify @server_master --json");
      expect(stdout).not.toContain(encoded);
      expect((await hub.ok("doctor --json")).stdout).toContain(`${type} can be used`);
    });

    test("a password that was written into the file goes to secrets/ by save, comments stay; password_command gives it in its place", async () => {
      const url = new URL(server.url);
      const password = decodeURIComponent(url.password);
      const alias = hub.path("aliases/server_db.yml");
      writeFileSync(alias, `# The big one\ncontext_type: server\ndb_service_type: ${type}\nmaster_db: "${server.url}" # by hand\n`);
      const refused = await hub.provision("verify @server_db --json");
      expect([refused.code, refused.stdout + refused.stderr]).toEqual([65, expect.stringContaining("moves it to secrets/")]);
      expect(refused.stdout + refused.stderr).not.toContain(url.password);
      await hub.ok("save @server_db");
      const clean = `${type}://${url.username}@127.0.0.1:${url.port}`;
      expect(readFileSync(alias, "utf8")).toBe(
        `# The big one\ncontext_type: server\ndb_service_type: ${type}\nmaster_db: "${clean}" # by hand\n`,
      );
      expect(holding(hub, password, url.password)).toEqual(["secrets/server_db.yml", "secrets/server_master.yml"]);
      await hub.ok("verify @server_db");

      const [program, vault] = [join(hub.base, "say-it"), join(hub.base, "vault")];
      writeFileSync(vault, `${password}\nnot this line\n`);
      writeFileSync(program, '#!/bin/sh\ncat "$1"\n', { mode: 0o755 });
      rmSync(hub.path("secrets/server_db.yml"));
      await hub.ok(["save", "@server_db", `--password_command=${program} ${vault}`]);
      await hub.ok("verify @server_db");
      expect(holding(hub, password, url.password)).toEqual(["secrets/server_master.yml"]);
      const both = await hub.document(["save", "@server_db", `--master_db=${server.url}`]);
      expect([both.exit, both.error?.code]).toEqual([64, "USAGE"]);
      for (const [text, what] of [
        [`cat "$1"; echo cried >&2; exit 3`, "exit code 3"],
        ["echo; echo said", "printed no password"],
        [`cat "$1"; kill -9 $$`, "ended by a signal"],
      ] as const) {
        writeFileSync(program, `#!/bin/sh\n${text}\n`);
        const failed = await hub.provision("verify @server_db --json");
        expect([failed.code, failed.json.error?.message]).toEqual([78, expect.stringContaining(what)]);
        expect(failed.stdout + failed.stderr).not.toMatch(/cried|said\b|not this line/);
        expect(failed.stdout + failed.stderr).not.toContain(JSON.stringify(password).slice(1, -1));
      }
      expect(holding(hub, password, url.password)).toEqual(["secrets/server_master.yml"]);
      rmSync(program);
      expect((await hub.document("verify @server_db")).error?.message).toContain("is not there");
      await hub.ok("save @server_db --delete");
    });

    test("install leaves nothing for a verify to change, and verify changes nothing to the byte", async () => {
      await hub.ok("verify @server_master");
      before = stands(hub, server);
      await hub.saveSite("a.localhost");
      await hub.ok("install @a.localhost");
      const context = readFileSync(hub.path("aliases/a.localhost.yml"), "utf8");
      expect(context).toMatch(/^db_name: a_localhost_[0-9a-f]{8}_\d{8}t\d{6}_[0-9a-f]+$/m);
      const [, own = ""] = /db_password_\w+: "(.*)"/.exec(readFileSync(hub.path("secrets/a.localhost.yml"), "utf8")) ?? [];
      expect(own).toMatch(/^[\w-]{43}$/);
      expect(holding(hub, own)).toEqual([
        expect.stringMatching(/^platforms\/\.builds\/.*\/sites\/a\.localhost\/settings\.php$/),
        "secrets/a.localhost.yml",
      ]);
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
