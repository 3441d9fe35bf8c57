import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Result } from "../../src/core/result.js";
import { type DatabaseServer, missingServer, startServer } from "../support/database-servers.js";
import { clearTraps, setTrap, type Trap } from "../support/fake-core.js";
import type { TestHub } from "../support/hub.js";
import { type WebHub, webHub } from "../support/web-hub.js";
import { missing } from "../support/web-servers.js";

const SITE = "site.test";

/** What goes wrong with real daemons while a site moves: visitors are served all the time, and nothing of the try is left. */
for (const [type, database] of [
  ["nginx", "mysql"],
  ["apache", "pgsql"],
] as const) {
  const absent = missing(type) ?? missingServer(database);
  describe.skipIf(absent !== undefined)(
    `a migrate that fails on ${type} and ${database}${absent === undefined ? "" : ` (${absent})`}`,
    () => {
      let web: WebHub;
      let hub: TestHub;
      /** Of the site; and the one that it is to go to. */
      let server: DatabaseServer;
      let other: DatabaseServer;
      let bin: string;

      beforeAll(async () => {
        [web, server, other] = await Promise.all([webHub(type), startServer(database), startServer(database)]);
        hub = web.hub;
        for (const [name, one] of [
          ["@server_db", server],
          ["@server_other", other],
        ] as const)
          await hub.ok([
            ...["save", name, "--context_type=server", "--http_service_type=none", `--db_service_type=${database}`],
            `--master_db=${one.url}`,
          ]);
        await hub.savePlatform("next");
        await hub.ok("verify @platform_next");
        await hub.saveSite(SITE, "--db_server=@server_db");
        await hub.ok(`install @${SITE}`);
        bin = join(hub.base, "bin");
      }, 180_000);
      afterAll(async () => {
        await web?.remove();
        await server?.remove();
        await other?.remove();
      });

      /** All that is there: databases and accounts, files, directories, vhosts, entries of sites.php. */
      function everything(): readonly string[] {
        const text =
          database === "mysql"
            ? "SELECT CONCAT(User, '@', Host) FROM mysql.user UNION SELECT SCHEMA_NAME FROM information_schema.SCHEMATA UNION SELECT CONCAT(Db, ' of ', User) FROM mysql.db"
            : "SELECT rolname FROM pg_roles UNION SELECT datname FROM pg_database";
        const rows = [server, other].flatMap((one, index) =>
          one
            .sql(text)
            .map(([name]) => `database ${index} ${name}`)
            .sort(),
        );
        return [
          ...rows,
          ...hub
            .tree({ times: false })
            .filter((line) => !/^config\/server_master\/\w+\/(include|log)\/|traps|^backups|^state\/generations /.test(line)),
        ];
      }

      /** A program that stands in PATH before the real one; `script` knows that as `$real`. */
      function shim(program: string, script: string): Readonly<Record<string, string>> {
        rmSync(bin, { recursive: true, force: true });
        mkdirSync(bin);
        writeFileSync(join(bin, program), `#!/bin/sh\nPATH=\${PATH#*:}\nreal=$(command -v ${program})\n${script}\n`);
        chmodSync(join(bin, program), 0o755);
        return { PATH: `${bin}:${process.env["PATH"] ?? ""}` };
      }

      /** Runs a command while a visitor comes all the time; what he was answered when, each kind of answer once. */
      async function visited(
        line: string,
        env: Readonly<Record<string, string>> = {},
        meanwhile?: () => Promise<void>,
      ): Promise<Result & { seen: readonly number[] }> {
        const seen: number[] = [];
        let going = true;
        const visitor = (async () => {
          while (going) {
            const { status, body } = await web.get(SITE, "/");
            const one = status === 200 && !body.includes("<h1>") ? -1 : status;
            if (seen.at(-1) !== one) seen.push(one);
            await sleep(30);
          }
        })();
        const running = hub.document(line, { env });
        try {
          await meanwhile?.();
          const result = await running;
          await sleep(100);
          return { ...result, seen };
        } finally {
          await running;
          going = false;
          await visitor;
        }
      }

      async function takenBack(before: readonly string[]): Promise<void> {
        expect(everything()).toEqual(before);
        expect((await hub.document(`verify @${SITE}`)).counts.changed, "the gate is open, and all as it was").toBe(0);
      }

      test.each<readonly [readonly Trap[], string, RegExp]>([
        [["pending-updates", "failing-update"], "UPDATEDB_FAILED", /trap_update_7003/],
        [["fatal"], "ENGINE_FAILED", /trap_no_such_function/],
        [["out-of-memory"], "ENGINE_FAILED", /memory/i],
        [["broken-page"], "PROBE_FAILED", /500/],
      ])("new code with %s: %s, exit 4", async (traps, code, why) => {
        const before = everything();
        for (const trap of traps) await setTrap(hub.path("platforms/next"), trap);
        const failed = await visited(`migrate @${SITE} @platform_next --no-backup`);
        await clearTraps(hub.path("platforms/next"));
        expect([failed.exit, failed.outcome, failed.error?.code, failed.seen]).toEqual([4, "rolled_back", code, [200]]);
        expect([failed.error?.message, ...(failed.error?.why ?? [])].join("\n")).toMatch(why);
        expect(failed.error?.state).toContain(`as before: @${SITE} serves from @platform_p (GET / 200`);
        await takenBack(before);
      });

      test.each([
        ["backup", "tee", "cat >/dev/null; echo 'tee: x: No space left on device' >&2; exit 1"],
        [
          "files",
          "rsync",
          'case "$*" in *--delete*) echo "rsync: write failed: No space left on device (28)" >&2; exit 11;; esac; exec $real "$@"',
        ],
      ])("no room for the %s: DISK_FULL, exit 4", async (_what, program, script) => {
        const before = everything();
        const failed = await visited(`migrate @${SITE} @platform_next`, shim(program, script));
        expect([failed.exit, failed.outcome, failed.error?.code, failed.seen]).toEqual([4, "rolled_back", "DISK_FULL", [200]]);
        expect(failed.error?.state).toContain(`as before: @${SITE} serves from @platform_p (GET / 200`);
        await takenBack(before);
      });

      test.each(["before", "meanwhile"])(
        "a neighbour's configuration is broken %s: exit 4 with the daemon's words, and it is left to him (M7)",
        async (when) => {
          const theirs = hub.path(`config/server_master/${type}/post.d/neighbour.conf`);
          const before = everything();
          if (when === "before") writeFileSync(theirs, "no_such_directive on;\n");
          const breaks = `case "$*" in *--delete*) echo 'no_such_directive on;' >${theirs};; esac; exec $real "$@"`;
          const failed = await visited(`migrate @${SITE} @platform_next --no-backup`, shim("rsync", breaks));
          expect(readFileSync(theirs, "utf8")).toContain("no_such_directive");
          rmSync(theirs);
          expect([failed.exit, failed.outcome, failed.error?.code, failed.seen]).toEqual([4, "rolled_back", "CONFIGURATION", [200]]);
          expect(JSON.stringify(failed.error)).toMatch(/no_such_directive/);
          expect(failed.error?.state).toContain(`as before: @${SITE} serves from @platform_p (GET / 200`);
          await takenBack(before);
        },
      );

      /** What else makes a site anew, and an install: the same faults. */
      const OTHERS = ["clone", "restore", "deploy", "rename", "install"] as const;
      async function lineOf(what: (typeof OTHERS)[number]): Promise<string> {
        const { data } = what === "restore" || what === "deploy" ? await hub.document(`backup @${SITE}`) : {};
        const id = String(data?.["backup"]);
        return {
          clone: `clone @${SITE} @new.test @platform_next`,
          restore: `restore @${SITE} ${id} --yes`,
          deploy: `deploy @new.test ${id} @platform_next`,
          rename: `migrate @${SITE} @new.test`,
          install: "install @fresh.test",
        }[what];
      }

      test.skipIf(database !== "mysql").each(OTHERS)(
        "%s beside a neighbour's broken configuration: exit 4, and it is left to him (M7)",
        async (what) => {
          if (what === "install") await hub.saveSite("fresh.test", "--db_server=@server_db");
          const line = await lineOf(what);
          const theirs = hub.path(`config/server_master/${type}/post.d/neighbour.conf`);
          const before = everything();
          writeFileSync(theirs, "no_such_directive on;\n");
          const failed = await visited(line);
          rmSync(theirs);
          expect([failed.exit, failed.outcome, failed.error?.code, failed.seen]).toEqual([4, "rolled_back", "CONFIGURATION", [200]]);
          expect(JSON.stringify(failed.error)).toMatch(/no_such_directive/);
          await takenBack(before);
          if (what === "install") await hub.ok("save @fresh.test --delete");
        },
      );

      test.skipIf(database !== "mysql").each(["clone", "restore", "deploy"] as const)(
        "the database server stops in the middle of a %s: visitors are served again with it, and abort takes back what is left",
        async (what) => {
          const line = await lineOf(what);
          const before = everything();
          const failed = await (what === "clone"
            ? stoppedMeanwhile(line, server)
            : stoppedMeanwhile(line, server, "zstd", 'case "$*" in *-dc*database*) ;; *) exec $real "$@";; esac'));
          await server.start();
          expect([failed.exit, failed.outcome, failed.error?.code]).toEqual([5, "needs_attention", "SERVICE_UNAVAILABLE"]);
          expect((await web.get(SITE, "/")).status).toBe(200);
          await hub.ok(`abort ${failed.operation}`);
          await takenBack(before);
        },
      );

      /** Stops a database server when a program, its dump's unless said, is asked for. */
      const dump = database === "mysql" ? "mariadb-dump" : "pg_dump";
      async function stoppedMeanwhile(line: string, one: DatabaseServer, program = dump, unless = "") {
        const asked = join(hub.base, "asked");
        const env = shim(program, `${unless}\ntouch ${asked}\nwhile [ -e ${asked} ]; do sleep 0.05; done\nexec $real "$@"`);
        return visited(line, env, async () => {
          while (!existsSync(asked)) await sleep(20);
          await one.stop();
          rmSync(asked);
        });
      }

      test("the database server it goes to stops in the middle: visitors notice nothing; what is left there goes with abort", async () => {
        const before = everything();
        const failed = await stoppedMeanwhile(`migrate @${SITE} --db_server=@server_other --no-backup`, other);
        await other.start();
        expect([failed.exit, failed.outcome, failed.error?.code, failed.seen]).toEqual([
          5,
          "needs_attention",
          "SERVICE_UNAVAILABLE",
          [200],
        ]);
        expect(failed.error?.next).toContain(`provision abort ${failed.operation}`);
        await hub.ok(`abort ${failed.operation}`);
        await takenBack(before);
      });

      test("its own database server stops in the middle: back when the server is, and all as before after abort", async () => {
        const before = everything();
        // MariaDB itself copies the rows, when its client is in the new database for the second time: first it makes the tables.
        const tables = join(hub.base, "tables");
        const later = `case "$*" in *site_test*) ;; *) exec $real "$@";; esac; [ -e ${tables} ] || { touch ${tables}; exec $real "$@"; }`;
        const failed = await (database === "mysql"
          ? stoppedMeanwhile(`migrate @${SITE} @platform_next --no-backup`, server, "mariadb", later)
          : stoppedMeanwhile(`migrate @${SITE} @platform_next --no-backup`, server));
        await server.start();
        expect([failed.exit, failed.outcome, failed.error?.code, failed.seen[0]]).toEqual([
          5,
          "needs_attention",
          "SERVICE_UNAVAILABLE",
          200,
        ]);
        expect((await web.get(SITE, "/")).status).toBe(200);
        await hub.ok(`abort ${failed.operation}`);
        await takenBack(before);
      });

      test("and then it moves, with all of that out of the way, and back; a database of its name there is somebody else's (W2)", async () => {
        const name = /^db_name: (\S+)$/m.exec(readFileSync(hub.path(`aliases/${SITE}.yml`), "utf8"))?.[1] ?? "";
        other.sql(`CREATE DATABASE ${name}`);
        other.sql("CREATE TABLE theirs (word INT)", name);
        other.sql("INSERT INTO theirs VALUES (7)", name);
        const moved = await visited(`migrate @${SITE} @platform_next --db_server=@server_other`);
        expect([moved.error, moved.seen]).toEqual([undefined, [200]]);
        expect((await hub.document(`verify @${SITE}`)).counts.changed).toBe(0);
        const back = await visited(`rollback @${SITE} --yes`);
        expect([back.error, back.seen]).toEqual([undefined, [200]]);
        expect((await hub.document(`verify @${SITE}`)).counts.changed).toBe(0);
        await hub.ok(`delete @${SITE} --no-backup --yes`);
        expect(other.sql("SELECT word FROM theirs", name)).toEqual([["7"]]);
        expect(everything().filter((line) => line.includes("site_test"))).toEqual([`database 1 ${name}`]);
      });
    },
  );
}
