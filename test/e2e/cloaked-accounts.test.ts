import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DatabaseServer, missingServer, startServer } from "../support/database-servers.js";
import { probe, putProbe } from "../support/pools.js";
import { type WebHub, webHub } from "../support/web-hub.js";
import { missing } from "../support/web-servers.js";

const ROOT = process.getuid?.() === 0;

for (const type of ["nginx", "apache"] as const) {
  const absent = missing(type) ?? missingServer("mysql") ?? (ROOT ? undefined : "PHP runs as the user of the tests where that is not root");
  describe.skipIf(absent !== undefined)(
    `database accounts of sites that share a pool on ${type}${absent === undefined ? "" : ` (${absent})`}`,
    () => {
      let web: WebHub;
      let server: DatabaseServer;
      const password = (uri: string) =>
        [...readFileSync(web.hub.path(`secrets/${uri}.yml`), "utf8").matchAll(/^db_password_\w+: "?([\w-]+)"?$/gm)].map(
          (match) => match[1] as string,
        );
      const settings = (uri: string) => web.hub.path(`platforms/p/sites/${uri}/settings.php`);
      const environments = () => readdirSync(web.hub.path(`config/server_master/${type}/environment.d`)).sort();
      const generation = (uri: string) =>
        web.hub.path(`sites/${uri}/${readdirSync(web.hub.path(`sites/${uri}`)).find((name) => /^\d{8}T/.test(name))}`);

      beforeAll(async () => {
        [server, web] = await Promise.all([startServer("mysql"), webHub(type)]);
        putProbe(web);
        await web.hub.ok(["save", "@server_master", "--db_service_type=mysql", `--master_db=${server.url}`]);
        for (const uri of ["a.test", "b.test"]) {
          await web.hub.saveSite(uri, "--php_paths=probe.php");
          await web.hub.ok(`install @${uri}`);
        }
      }, 120_000);
      afterAll(async () => {
        await server?.remove();
        await web?.remove();
      });

      test("both are served, cron and login have it too; a second verify changes nothing", async () => {
        for (const uri of ["a.test", "b.test"]) {
          expect((await web.get(uri, "/")).status).toBe(200);
          expect((await web.hub.document(`verify @${uri}`)).counts).toMatchObject({ changed: 0 });
        }
        await web.hub.ok("cron @a.test");
        const { data } = await web.hub.document("login @a.test");
        const { pathname, search } = new URL(String(data?.["url"]));
        expect((await web.get("a.test", pathname + search)).status).toBe(302);
      });

      test("PHP of one site finds the other's password nowhere on the disk, and its own not in $_SERVER after settings.php", async () => {
        const [own = ""] = password("b.test");
        expect(own).toHaveLength(43);
        expect(readFileSync(settings("b.test"), "utf8")).not.toContain(own);
        const find = (needle: string) => probe(web, "a.test", "find", web.hub.root, { needle: Buffer.from(needle).toString("base64") });
        expect((await find(own)).answer).toEqual([]);
        // It does look: the salt, which settings.php holds, is found.
        const salt = /hash_salt = '([^']+)'/.exec(readFileSync(settings("b.test"), "utf8"))?.[1] as string;
        expect((await find(salt)).answer).toEqual([expect.stringMatching(/sites\/b\.test\/settings\.php$/)]);
        expect((await probe(web, "b.test", "settings", settings("b.test"))).answer).toEqual({ password: own, left: [] });
        // b's settings.php, read by the PHP of a, gives a's account.
        expect((await probe(web, "a.test", "settings", settings("b.test"))).answer).toEqual({ password: password("a.test")[0], left: [] });
        for (const path of [
          `${generation("b.test")}/account.settings.php`,
          web.hub.path(`config/server_master/${type}/environment.d/${environments()[1]}`),
        ]) {
          expect([path, statSync(path).mode & 0o077]).toEqual([path, 0]);
          expect((await probe(web, "a.test", "read", path)).answer).toBe(false);
        }
      });

      test("the password is rotated while visitors come, and not one of them meets a closed door; the old one is gone", async () => {
        const [before = ""] = password("a.test");
        let going = true;
        const statuses: number[] = [];
        const visitors = [1, 2].map(async () => {
          while (going) {
            statuses.push((await web.get("a.test", "/")).status);
            await sleep(5);
          }
        });
        const rotated = await web.hub.document("verify @a.test --rotate-password");
        const count = statuses.length;
        while (statuses.length < count + 4) await sleep(10);
        going = false;
        await Promise.all(visitors);
        expect([rotated.exit, rotated.outcome]).toEqual([0, "changed"]);
        expect([...new Set(statuses)]).toEqual([200]);
        expect(environments()).toHaveLength(2);
        const now = password("a.test");
        expect(now.some((one) => one !== before)).toBe(true);
        await web.hub.ok("cron @a.test");
        expect((await web.hub.document("verify @a.test")).counts).toMatchObject({ changed: 0 });
        expect((await web.get("a.test", "/")).status).toBe(200);
      }, 120_000);

      test("no journal holds it", () => {
        const secrets = ["a.test", "b.test"].flatMap(password);
        const files = readdirSync(web.hub.path("state"), { recursive: true, encoding: "utf8" })
          .map((name) => web.hub.path(`state/${name}`))
          .filter((path) => statSync(path).isFile());
        expect(files.length).toBeGreaterThan(5);
        expect(files.filter((path) => secrets.some((secret) => readFileSync(path).includes(secret)))).toEqual([]);
      });

      test("an account file that was changed or is gone is put right, and served", async () => {
        const [name = ""] = environments().filter((one) => one.startsWith("a.test"));
        const path = web.hub.path(`config/server_master/${type}/environment.d/${name}`);
        const right = readFileSync(path, "utf8");
        writeFileSync(path, right.replace(/(db_passwd"? ")[^"]+/, "$1wrong"), { mode: 0o600 });
        expect(await web.hub.document("verify @a.test")).toMatchObject({ exit: 0, outcome: "changed" });
        expect(readFileSync(path, "utf8")).toBe(right);
        expect((await web.get("a.test", "/")).status).toBe(200);
        expect((await web.hub.document("verify @a.test")).counts).toMatchObject({ changed: 0 });
      });

      test("limits: a site's own reach its PHP alone, in a pool whose processes would keep them; first the server has to say its own", async () => {
        const refused = await web.hub.document("save @a.test --php_memory_limit=77M --php_post_max_size=99M");
        expect(refused.exit).toBe(0);
        const verify = await web.hub.document("verify @a.test");
        expect([verify.exit, verify.error?.code, verify.error?.next[0]]).toEqual([
          78,
          "CONFIGURATION",
          expect.stringContaining("provision save @server_master --php_memory_limit="),
        ]);
        await web.hub.ok("save @server_master --php_memory_limit=66M --php_post_max_size=11M");
        await web.hub.ok("verify @server_master");
        await web.hub.ok("verify @a.test");
        // More than the processes of the pool.
        for (let turn = 0; turn < 5; turn++)
          for (const [uri, limit, post] of [
            ["a.test", "77M", "99M"],
            ["b.test", "66M", "11M"],
          ] as const)
            expect([
              uri,
              (await probe(web, uri, "ini", "memory_limit")).answer,
              (await probe(web, uri, "ini", "post_max_size")).answer,
            ]).toEqual([uri, limit, post]);
        expect((await web.hub.document("verify @a.test")).counts).toMatchObject({ changed: 0 });
      });

      test("delete leaves no file with an account", async () => {
        await web.hub.ok("delete @a.test @b.test --no-backup --yes");
        expect(environments()).toEqual([]);
        expect(existsSync(web.hub.path("sites/a.test"))).toBe(false);
      });
    },
  );
}
