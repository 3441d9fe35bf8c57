import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask } from "../../src/services/http/ask.js";
import { type DatabaseServer, missingServer, startServer } from "../support/database-servers.js";
import { type WebHub, webHub } from "../support/web-hub.js";
import { missing } from "../support/web-servers.js";

const SITE = "site.localhost";
/**
 * A page of the site that keeps what it is given. Told to wait, it says that it has begun, by a file of its number, and goes on three seconds after the gate was
 * closed: settings.php, which takes the lock of the gate, has run by then.
 */
const POST = `<?php
define('DRUPAL_ROOT', getcwd());
require_once DRUPAL_ROOT . '/includes/bootstrap.inc';
drupal_bootstrap(DRUPAL_BOOTSTRAP_FULL);
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
  if (!empty($_POST['waits'])) {
    touch(variable_get('file_private_path') . '/begun-' . (int) $_POST['id']);
    $closed = dirname(variable_get('file_private_path')) . '/gate.closed';
    for ($n = 0; $n < 1200 && !is_file($closed); $n++) {
      usleep(50000);
      clearstatcache();
    }
    sleep(3);
  }
  db_query('INSERT INTO {visits} (id) VALUES (:id)', array(':id' => (int) $_POST['id']));
}
echo 'kept';
`;
const skipped = missing("nginx") ?? missingServer("mysql");

describe.skipIf(skipped !== undefined)(
  `visitors of a site that moves, on nginx, PHP-FPM and MariaDB${skipped === undefined ? "" : ` (${skipped})`}`,
  () => {
    let web: WebHub;
    let server: DatabaseServer;

    beforeAll(async () => {
      [server, web] = await Promise.all([startServer("mysql"), webHub("nginx")]);
      const { hub } = web;
      await hub.ok(["save", "@server_master", "--db_service_type=mysql", `--master_db=${server.url}`]);
      await hub.savePlatform("q");
      await hub.ok("verify @platform_q");
      for (const platform of ["p", "q"]) writeFileSync(hub.path(`platforms/${platform}/post.php`), POST);
      await hub.saveSite(SITE, "--php_paths=post.php");
      await hub.ok(`install @${SITE}`);
      server.sql("CREATE TABLE visits (id INT PRIMARY KEY)", database());
    }, 180_000);
    afterAll(async () => {
      await web?.remove();
      await server?.remove();
    });

    const database = () => /^db_name: (\S+)$/m.exec(readFileSync(web.hub.path(`aliases/${SITE}.yml`), "utf8"))?.[1] ?? "";
    const serving = () => /^generation: (\S+)$/m.exec(readFileSync(web.hub.path(`aliases/${SITE}.yml`), "utf8"))?.[1] ?? "";
    const visits = (name: string) => server.sql("SELECT id FROM visits ORDER BY id", name).map(([id]) => Number(id));

    /** Fifty posts a second and a page every 40 ms, until it is told to stop. */
    class Visitors {
      readonly accepted: number[] = [];
      readonly refused: number[] = [];
      readonly wrong: string[] = [];
      reads = 0;
      #next: number;
      #stopped = false;
      readonly #under: Promise<void>[] = [];

      constructor(first: number) {
        this.#next = first;
      }

      begin(): void {
        const every = async (ms: number, action: () => void) => {
          for (let turn = Date.now(); !this.#stopped; turn += ms) {
            action();
            await sleep(Math.max(0, turn + ms - Date.now()));
          }
        };
        this.#under.push(
          every(20, () => this.post()),
          every(40, () => this.#read()),
        );
      }

      get posts(): number {
        return this.accepted.length + this.refused.length;
      }

      /** `waits`: on the server, from before the gate is closed until three seconds after. */
      post(waits = false): number {
        const id = this.#next++;
        const headers = { host: `${SITE}:${web.hub.port}`, "content-type": "application/x-www-form-urlencoded" };
        const asked = ask({
          port: web.hub.port,
          path: "/post.php",
          method: "POST",
          headers,
          body: `id=${id}${waits ? "&waits=1" : ""}`,
          timeout: 60_000,
        });
        this.#under.push(
          asked.then(
            ({ status, headers: said, body }) => {
              if (status === 200 && body === "kept") this.accepted.push(id);
              else if (status === 503 && said["retry-after"] !== undefined) this.refused.push(id);
              else this.wrong.push(`post ${id}: ${status} ${body.slice(0, 200)}`);
            },
            (error: unknown) => void this.wrong.push(`post ${id}: ${String(error)}`),
          ),
        );
        return id;
      }

      #read(): void {
        this.#under.push(
          web.get(SITE, "/").then(
            ({ status, body }) => {
              this.reads++;
              if (status !== 200 || !body.includes("<h1>")) this.wrong.push(`GET /: ${status} ${body.slice(0, 200)}`);
            },
            (error: unknown) => void this.wrong.push(`GET /: ${String(error)}`),
          ),
        );
      }

      async stop(): Promise<void> {
        this.#stopped = true;
        for (let seen = 0; seen < this.#under.length; seen++) await this.#under[seen];
      }
    }

    async function until(visitors: Visitors, condition: () => boolean): Promise<void> {
      for (let turn = 0; !condition(); turn++) {
        if (turn > 2000 || visitors.wrong.length > 0) throw new Error(`it does not come about: ${visitors.wrong.slice(0, 3).join("; ")}`);
        await sleep(20);
      }
    }

    it("migrate: every accepted write is in the new database, every refused one got a 503, no page failed (M3)", async () => {
      const { hub } = web;
      const old = database();
      const visitors = new Visitors(1);
      visitors.begin();
      await until(visitors, () => visitors.posts >= 20);
      // Three seconds of work when the gate closes, whenever that is: it has begun before.
      const slow = visitors.post(true);
      const begun = web.hub.path(`sites/${SITE}/${serving()}/private/begun-${slow}`);
      await until(visitors, () => existsSync(begun));
      const copies = () => Number(server.sql("SHOW GLOBAL STATUS LIKE 'Com_insert_select'")[0]?.[1]);
      const copied = copies();
      const moved = await hub.document(`migrate @${SITE} @platform_q --no-backup`);
      expect(moved.error).toBeUndefined();
      // The server itself has: no dump is loaded while nobody can write.
      expect(copies()).toBeGreaterThan(copied);
      const before = visitors.posts;
      await until(visitors, () => visitors.posts >= Math.max(200, before + 30));
      await visitors.stop();
      expect(visitors.wrong).toEqual([]);
      expect(visitors.accepted).toContain(slow);
      expect(visitors.refused.length).toBeGreaterThan(0);
      expect(visitors.posts).toBeGreaterThanOrEqual(200);
      expect(visitors.reads).toBeGreaterThan(50);
      expect(database()).not.toBe(old);
      expect(visits(database())).toEqual(visitors.accepted.toSorted((a, b) => a - b));
      // What was accepted before the switch is in both, and nothing came to the old one after it.
      expect(visits(old).every((id) => visitors.accepted.includes(id))).toBe(true);
      expect(Number(moved.data?.["writes_blocked_ms"])).toBeGreaterThan(0);
    }, 120_000);

    it("rollback: every write accepted since the switch is in what is kept, and counted; no page failed", async () => {
      const { hub } = web;
      const listed = (await hub.document(`rollback @${SITE} --list`)).data ?? {};
      const [kept] = listed["kept"] as unknown as readonly { readonly generation: string }[];
      const left = database();
      const visitors = new Visitors(1_000_000);
      visitors.begin();
      await until(visitors, () => visitors.posts >= 20);
      const back = await hub.document(`rollback @${SITE} --yes`);
      expect(back.error).toBeUndefined();
      expect(back.data?.["to"]).toBe(kept?.generation);
      const before = visitors.posts;
      await until(visitors, () => visitors.posts >= before + 30);
      await visitors.stop();
      expect(visitors.wrong).toEqual([]);
      const [inLeft, inServing] = [visits(left), visits(database())];
      const serves = new Set(inServing);
      expect(visitors.accepted.every((id) => inLeft.includes(id) !== serves.has(id))).toBe(true);
      const since = back.data?.["since"] as { readonly rows: Readonly<Record<string, number>> };
      expect(since.rows["visits"]).toBe(inLeft.length - inServing.filter((id) => id < 1_000_000).length);
      expect(inLeft.filter((id) => id >= 1_000_000).length).toBeGreaterThan(0);
      expect(inServing.filter((id) => id >= 1_000_000).length).toBeGreaterThan(0);
    }, 120_000);

    it("a write past the gate stops the migrate, and all is as before, unless it is let go", async () => {
      const { hub } = web;
      const name = database();
      // Of a program that has the password and does not ask settings.php, all the time.
      let going = true;
      const writer = (async () => {
        for (let id = 2_000_000; going; id++) {
          server.sql(`INSERT INTO visits VALUES (${id})`, name);
          await sleep(30);
        }
      })();
      try {
        const stopped = await hub.document(`migrate @${SITE} @platform_q --no-backup`);
        expect([stopped.exit, stopped.error?.code]).toEqual([4, "REFUSED"]);
        expect(stopped.error?.message).toContain("visits");
        expect(database()).toBe(name);
        expect((await web.get(SITE, "/")).status).toBe(200);
        const let_go = await hub.document(`migrate @${SITE} @platform_q --no-backup --accept-late-writes`);
        expect(let_go.error).toBeUndefined();
        expect(let_go.warnings?.join()).toContain("visits");
      } finally {
        going = false;
        await writer;
      }
      expect((await hub.document(`verify @${SITE}`)).steps.filter(({ outcome }) => outcome !== "ok")).toEqual([]);
    }, 120_000);

    it("the database server ends in the middle: nothing is undone by half, and when it is back abort leaves all as before", async () => {
      const { hub } = web;
      const name = database();
      const generation = serving();
      const before = [...server.sql("SHOW DATABASES"), ...server.sql("SELECT User, Host FROM mysql.user ORDER BY 1, 2")];
      const rows = visits(name);
      const moving = hub.start(`migrate @${SITE} @platform_p --no-backup --json`);
      const closed = hub.path(`sites/${SITE}/${generation}/gate.closed`);
      for (let turn = 0; !existsSync(closed); turn++) {
        if (turn > 3000) throw new Error("the gate is not closed");
        await sleep(10);
      }
      await server.stop();
      const { json: failed } = await moving.said;
      expect([failed.exit, failed.outcome]).toEqual([5, "needs_attention"]);
      expect(failed.error?.next).toContain(`provision abort ${failed.operation}`);
      await server.start();
      // Who asks next is told of it.
      expect((await hub.document(`verify @${SITE}`)).error?.code).toBe("INTERRUPTED");
      await hub.ok(`abort ${failed.operation}`);
      expect(database()).toBe(name);
      expect([...server.sql("SHOW DATABASES"), ...server.sql("SELECT User, Host FROM mysql.user ORDER BY 1, 2")]).toEqual(before);
      expect(visits(name)).toEqual(rows);
      expect((await web.get(SITE, "/")).status).toBe(200);
      expect((await hub.document(`verify @${SITE}`)).counts["changed"]).toBe(0);
    }, 120_000);

    it("--max-write-block gives up before the commit", async () => {
      const { hub } = web;
      const before = server.sql("SHOW DATABASES");
      const name = database();
      const stopped = await hub.document(`migrate @${SITE} @platform_p --no-backup --max-write-block=1ms`);
      expect([stopped.exit, stopped.error?.code]).toEqual([4, "TIMED_OUT"]);
      expect(database()).toBe(name);
      expect(server.sql("SHOW DATABASES")).toEqual(before);
      expect((await hub.document(`verify @${SITE}`)).counts["changed"]).toBe(0);
    }, 60_000);
  },
);
