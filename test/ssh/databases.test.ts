import { appendFileSync, existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DatabaseServer, missingServer, type ServerType, startServer } from "../support/database-servers.js";
import { missingMachines } from "../support/namespaces.js";
import { missingSpoke, type SpokeHub, spokeHub, type TestSpoke } from "../support/spokes.js";
import { WIDE } from "../support/wide.js";

/** Who may log in, and what databases there are, but what a server has from the beginning. */
const STANDS = {
  mysql:
    "SELECT CONCAT(User, '@', Host) FROM mysql.user WHERE User LIKE '%\\_%' UNION SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '%\\_test\\_%' ORDER BY 1",
  pgsql:
    "SELECT rolname::text FROM pg_roles WHERE rolname LIKE '%\\_test\\_%' UNION SELECT datname::text FROM pg_database WHERE datname LIKE '%\\_test\\_%' ORDER BY 1",
};

const unreachable = missingMachines();

for (const type of ["mysql", "pgsql"] as const satisfies readonly ServerType[]) {
  const absent = missingSpoke("nginx") ?? missingSpoke("apache") ?? missingServer(type);
  const where = unreachable === undefined ? "each machine with its own address" : `on loopback: ${unreachable}`;
  describe.skipIf(absent !== undefined)(`${type} of sites on other machines (${absent ?? where})`, () => {
    const apart = test.skipIf(unreachable !== undefined);
    const wide = test.runIf(WIDE);
    /** The hub's address, as the spokes see it. */
    let here: string | undefined;
    let rig: SpokeHub;
    let hub: SpokeHub["hub"];
    let web1: TestSpoke;
    let web2: TestSpoke;
    /** On web1's machine, on web2's, and on the hub. */
    let own: DatabaseServer;
    let other: DatabaseServer;
    let central: DatabaseServer;

    /** Of a command that succeeds. */
    const document = async (line: string) => {
      const result = await hub.document(line);
      expect(result.error, line).toBeUndefined();
      return result;
    };
    const unchanged = async (name: string) => expect((await document(`verify ${name}`)).counts.changed, name).toBe(0);
    const stands = (server: DatabaseServer) => server.sql(STANDS[type]).map(([name = ""]) => name);
    /** Addresses from which the account of a site, as its context says, may log in. */
    const hosts = (site: string, server: DatabaseServer) => {
      const [, user = ""] = /^db_user: (.*)$/m.exec(readFileSync(hub.path(`aliases/${site}.yml`), "utf8")) ?? [];
      return server.sql(`SELECT Host FROM mysql.user WHERE User = '${user}' ORDER BY 1`).map(([host = ""]) => host);
    };
    const settings = (web: TestSpoke, platform: string, site: string) =>
      readFileSync(web.path(`platforms/${platform}/sites/${site}/settings.php`), "utf8");
    const title = async (web: TestSpoke, site: string) => (await web.get(site, "/")).body;

    beforeAll(async () => {
      rig = await spokeHub(["nginx", "apache"], ["--db_service_type=none"]);
      ({ hub } = rig);
      [web1, web2] = rig.spokes as readonly [TestSpoke, TestSpoke];
      const there = (web: TestSpoke) => (unreachable === undefined ? { at: web.machine, below: web.base } : {});
      here = unreachable === undefined ? web1.machine.hub : undefined;
      [own, other, central] = await Promise.all([
        startServer(type, there(web1)),
        startServer(type, there(web2)),
        startServer(type, here === undefined ? {} : { listen: here }),
      ]);
      for (const [web, server] of [
        [web1, own],
        [web2, other],
      ] as const)
        await hub.ok(["save", web.name, `--db_service_type=${type}`, `--master_db=${server.url}`]);
      await hub.ok([
        "save",
        "@db",
        "--context_type=server",
        "--http_service_type=none",
        `--db_service_type=${type}`,
        `--master_db=${central.url}`,
      ]);
      await hub.ok("verify @db");
      for (const [word, web] of [
        ["p", web1],
        ["w2", web2],
      ] as const) {
        await hub.savePlatform(word);
        await hub.ok(`save @platform_${word} --web_server=${web.name}`);
        await hub.ok(`verify @platform_${word}`);
      }
    }, 180_000);
    afterAll(async () => {
      for (const server of [own, other, central]) await server?.remove();
      await rig?.remove();
    });

    test("a server of the spoke is proven there; a password that is wrong and a server that is down are told before anything is made", async () => {
      for (const name of ["@web1", "@web2", "@db"]) await unchanged(name);
      await hub.saveSite("a.test", "--db_server=@web1");
      await hub.ok(["save", "@web1", `--master_db=${own.url.replace(/:[^:@]*@/, ":wrong@")}`]);
      const wrong = await hub.document("install @a.test");
      expect([wrong.exit, wrong.error?.code, wrong.error?.message]).toEqual([
        77,
        "DATABASE_LOGIN_REFUSED",
        expect.stringContaining(`the database server of @web1 (127.0.0.1:${own.port}) refuses the login`),
      ]);
      await hub.ok(["save", "@web1", `--master_db=${own.url}`]);
      await own.stop();
      const down = await hub.document("install @a.test");
      expect([down.exit, down.error?.code]).toEqual([69, "SERVICE_UNAVAILABLE"]);
      const preflight = await hub.document("verify @web1");
      expect([preflight.exit, preflight.error?.code, JSON.stringify(preflight.error?.why)]).toEqual([
        78,
        "CONFIGURATION",
        expect.stringContaining("the database server of @web1"),
      ]);
      await own.start();
      expect([stands(own), readdirSync(web1.path("sites"))]).toEqual([[], []]);
    });

    test("install on a spoke with its own server: its settings.php holds no account; a second verify changes nothing", async () => {
      await document("install @a.test");
      expect(await title(web1, "a.test")).toContain("<title>");
      expect(settings(web1, "p", "a.test")).not.toMatch(/'password' => '[^']/);
      await unchanged("@a.test");
      if (type === "mysql") expect(hosts("a.test", own)).toEqual(["127.0.0.1", "localhost"]);
      expect((await document("cron @a.test")).exit).toBe(0);
    });

    wide("a backup of it is streamed to the hub and loaded there again", async () => {
      const { data } = await document("backup @a.test");
      expect(readdirSync(String(data?.["path"]))).toContain("database.sql.zst");
      const before = stands(own);
      await document(`restore @a.test ${String(data?.["backup"])} --yes`);
      expect(await title(web1, "a.test")).toContain("<title>");
      expect(stands(own).length).toBeGreaterThan(before.length);
      await unchanged("@a.test");
    });

    test("clone to another machine, web server and database server", async () => {
      await document("clone @a.test @c.test @platform_w2 --db_server=@web2");
      expect(await title(web2, "c.test")).toContain("<title>");
      await unchanged("@c.test");
      await document("delete @c.test --no-backup --yes");
      expect(stands(other)).toEqual([]);
    });

    apart("a server that lets nobody in from that machine is told before anything is made", async () => {
      if (type === "mysql") return;
      const { exit, error } = await hub.document("migrate @a.test @platform_w2 --db_server=@db --no-backup");
      expect([exit, error?.code, error?.next[0]]).toEqual([
        77,
        "DATABASE_LOGIN_REFUSED",
        expect.stringContaining(`host all all ${web2.address}/32 scram-sha-256`),
      ]);
      expect(stands(central)).toEqual([]);
      appendFileSync(join(central.base, "data/pg_hba.conf"), `host all all ${here}/24 scram-sha-256\n`);
      central.sql("SELECT pg_reload_conf()");
    });

    apart(
      "migrate to another machine and a server on a third: the account is for that machine alone, what is kept keeps its own",
      async () => {
        writeFileSync(join(realpathSync(web1.path("platforms/p/sites/a.test/files")), "one.txt"), "one\n");
        await document("migrate @a.test @platform_w2 --db_server=@db --no-backup");
        expect(await title(web2, "a.test")).toContain("<title>");
        expect(readFileSync(web2.path("platforms/w2/sites/a.test/files/one.txt"), "utf8")).toBe("one\n");
        if (type === "mysql") expect(hosts("a.test", central)).toEqual([here, web2.address]);
        expect(settings(web2, "w2", "a.test")).toContain(`'host' => '${here}'`);
        expect(stands(own).length).toBeGreaterThan(0);
        await unchanged("@a.test");
      },
    );

    apart(
      "back to the first machine, the server stays: an account for it is made before the switch; pruned, the other is withdrawn",
      async () => {
        const former = stands(central);
        appendFileSync(hub.path("provision.yml"), "keep_old: 0\n");
        await document("migrate @a.test @platform_p --no-backup");
        expect(await title(web1, "a.test")).toContain("<title>");
        if (type === "mysql") expect(hosts("a.test", central)).toEqual([here, web1.address]);
        expect(stands(central)).toEqual(expect.arrayContaining([...former]));
        await document("backups prune @a.test --yes");
        for (const one of former) expect(stands(central)).not.toContain(one);
        expect(await title(web1, "a.test")).toContain("<title>");
        await unchanged("@a.test");
      },
    );

    apart("the machine has another address, as far as the server knows: verify lets it in, and the old address no longer", async () => {
      if (type === "pgsql") return;
      const [, user = ""] = /^db_user: (.*)$/m.exec(readFileSync(hub.path("aliases/a.test.yml"), "utf8")) ?? [];
      central.sql(`RENAME USER '${user}'@'${web1.address}' TO '${user}'@'192.0.2.9'; FLUSH PRIVILEGES`);
      expect((await web1.get("a.test", "/")).status).toBe(500);
      const { steps } = await document("verify @a.test --dry-run");
      expect(JSON.stringify(steps)).toContain(`not yet from ${web1.address}, no longer from 192.0.2.9`);
      expect((await document("verify @a.test")).counts.changed).toBe(1);
      expect(hosts("a.test", central)).toEqual([here, web1.address]);
      expect(await title(web1, "a.test")).toContain("<title>");
      await unchanged("@a.test");
    });

    test("migrate to another database server, the machine stays; rollback returns to it", async () => {
      const [, now = ""] = /^db_server: "(.*)"$/m.exec(readFileSync(hub.path("aliases/a.test.yml"), "utf8")) ?? [];
      const next = now === "@web1" ? "@db" : "@web1";
      if (unreachable !== undefined) {
        const { exit, error } = await hub.document(`migrate @a.test --db_server=${next}`);
        expect([exit, error?.code]).toEqual([78, "CONFIGURATION"]);
        return;
      }
      await document(`migrate @a.test --db_server=${next} --no-backup`);
      expect(await title(web1, "a.test")).toContain("<title>");
      await unchanged("@a.test");
      await document("rollback @a.test --yes");
      expect(await title(web1, "a.test")).toContain("<title>");
      expect(readFileSync(hub.path("aliases/a.test.yml"), "utf8")).toContain(now);
      await unchanged("@a.test");
    });

    apart("a server on another spoke is reached by that machine's name, also when its own programs reach it on loopback", async () => {
      await hub.saveSite("far.test", "--db_server=@web2");
      const { exit, error } = await hub.document("install @far.test");
      // It listens on loopback alone.
      expect([exit, error?.code, error?.message]).toEqual([
        69,
        "SERVICE_UNAVAILABLE",
        `@web1 does not reach the database server of @web2 at ${web2.address}:${other.port}`,
      ]);
      expect(stands(other)).toEqual([]);
      await hub.ok("delete @far.test --no-backup --yes");
    });

    test("delete leaves nothing on any machine or server", async () => {
      await document("delete @a.test --no-backup --yes");
      for (const server of [own, other, central]) expect(stands(server)).toEqual([]);
      for (const web of [web1, web2]) expect(existsSync(web.path("sites/a.test"))).toBe(false);
    });
  });
}
