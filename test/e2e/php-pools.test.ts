import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXHAUSTIVE } from "../support/kill-walk.js";
import { accounts, poolUserOf, probe, putProbe, withPools } from "../support/pools.js";
import { type WebHub, webHub } from "../support/web-hub.js";
import { missing } from "../support/web-servers.js";

/** Users are made for real, which root alone may; in CI the tests are root's. */
const NOT_ROOT = process.getuid?.() === 0 ? undefined : "only root makes Unix users";
const COULD_NOT = [false, null];

for (const type of ["nginx", "apache"] as const) {
  const absent = missing(type) ?? NOT_ROOT;
  describe.skipIf(absent !== undefined)(
    `sites with PHP-FPM pools of their own on ${type}${absent === undefined ? "" : ` (${absent})`}`,
    () => {
      let web: WebHub;
      const generation = (uri: string) => {
        const name = readdirSync(web.hub.path(`sites/${uri}`)).find((one) => /^\d{8}T/.test(one)) as string;
        return web.hub.path(`sites/${uri}/${name}`);
      };
      const code = (uri: string, name: string) => web.hub.path(`platforms/p/sites/${uri}/${name}`);

      beforeAll(async () => {
        web = await webHub(type);
        putProbe(web);
        await withPools(web, "site");
        for (const uri of ["a.test", "b.test"]) {
          await web.hub.saveSite(uri, "--php_paths=probe.php");
          await web.hub.ok(`install @${uri}`);
        }
      }, 120_000);
      afterAll(async () => {
        const left = web
          ? ["a.test", "b.test", "c.test", "d.test", "copy.test", "name.test"].filter((uri) =>
              existsSync(web.hub.path(`aliases/${uri}.yml`)),
            )
          : [];
        // Users outlive a hub that is only removed.
        for (const uri of left) await web.hub.provision(`delete @${uri} --no-backup --yes`);
        await web?.remove();
      });

      test("each answers by PHP of its own user; a second verify changes nothing and reloads nothing", async () => {
        const [a, b] = [await probe(web, "a.test", "ini", "open_basedir"), await probe(web, "b.test", "ini", "open_basedir")];
        expect([a.user, b.user]).toEqual([poolUserOf(web, "a.test"), poolUserOf(web, "b.test")]);
        expect(a.user).not.toBe(b.user);
        expect([(await web.get("a.test", "/")).status, (await web.get("b.test", "/")).status]).toEqual([200, 200]);
        const marker = readFileSync(web.hub.path("config/server_master/php-fpm/default/marker.conf"), "utf8");
        for (const uri of ["a.test", "b.test"]) expect((await web.hub.document(`verify @${uri}`)).counts).toMatchObject({ changed: 0 });
        expect((await web.hub.document("verify @server_master")).counts).toMatchObject({ changed: 0 });
        expect(readFileSync(web.hub.path("config/server_master/php-fpm/default/marker.conf"), "utf8")).toBe(marker);
      });

      test("PHP of one site cannot read the other's settings.php, private files or database, nor open its socket", async () => {
        const [own, other] = [generation("a.test"), generation("b.test")];
        writeFileSync(join(other, "private/secret.txt"), "private of b", { mode: 0o664 });
        chownSync(join(other, "private/secret.txt"), -1, statSync(join(other, "private")).gid);
        const user = poolUserOf(web, "b.test");
        const socket =
          /^listen = "(.*)"$/m.exec(readFileSync(web.hub.path(`config/server_master/php-fpm/default/pool.d/${user}.conf`), "utf8"))?.[1] ??
          "";
        const attempts: readonly (readonly [string, string])[] = [
          ["read", code("b.test", "settings.php")],
          // What b's own requests have compiled is in the memory that all pools share.
          ["include", code("b.test", "settings.php")],
          ["list", code("b.test", "")],
          ["read", join(other, "private/secret.txt")],
          ["list", join(other, "private")],
          ["read", join(other, "db/site.sqlite")],
          ["sqlite", join(other, "db/site.sqlite")],
          ["list", join(other, "files")],
          ["connect", socket],
          ["list", web.hub.path("sites")],
          ["read", web.hub.path("secrets/b.test.yml")],
          ["read", "/etc/passwd"],
          ["write", code("a.test", "modules/own.php")],
          ["write", code("a.test", "settings.php")],
        ];
        for (const [what, path] of attempts) {
          await web.get("b.test", "/");
          const { answer } = await probe(web, "a.test", what, path);
          expect(COULD_NOT, `${what} ${path}: ${JSON.stringify(answer)}`).toContain(answer);
        }
        // The same, where it may: the attempts are real ones.
        expect((await probe(web, "b.test", "read", code("b.test", "settings.php"))).answer).toContain("$databases");
        expect((await probe(web, "b.test", "include", code("b.test", "settings.php"))).answer).toHaveProperty("default");
        expect((await probe(web, "b.test", "read", join(other, "private/secret.txt"))).answer).toBe("private of b");
        expect(Number((await probe(web, "b.test", "sqlite", join(other, "db/site.sqlite"))).answer)).toBeGreaterThan(0);
        expect((await probe(web, "b.test", "connect", socket)).answer).toBe(false);
        expect((await probe(web, "a.test", "write", join(own, "files/made.txt"))).answer).toBeGreaterThan(0);
        expect((await web.get("a.test", "/files/made.txt")).body).toContain("by ");
        const { temp } = await probe(web, "a.test", "ini", "");
        expect((await probe(web, "a.test", "write", join(temp, "t"))).answer).toBeGreaterThan(0);
        expect(COULD_NOT).toContain((await probe(web, "b.test", "read", join(temp, "t"))).answer);
      });

      test("limits of a site are its own, and its pool's", async () => {
        await web.hub.ok([
          "save",
          "@a.test",
          "--php_memory_limit=77M",
          "--php_post_max_size=99M",
          "--php_max_execution_time=200",
          "--php_max_children=2",
        ]);
        expect(await web.hub.document("verify @a.test")).toMatchObject({ outcome: "changed" });
        const ini = async (uri: string, name: string) => (await probe(web, uri, "ini", name)).answer;
        expect([
          await ini("a.test", "memory_limit"),
          await ini("a.test", "post_max_size"),
          await ini("a.test", "max_execution_time"),
        ]).toEqual(["77M", "99M", "200"]);
        expect(await ini("b.test", "memory_limit")).not.toBe("77M");
        const file = web.hub.path(`config/server_master/php-fpm/default/pool.d/${poolUserOf(web, "a.test")}.conf`);
        expect(readFileSync(file, "utf8")).toMatch(/^pm.max_children = 2$/m);
        expect((await web.hub.document("verify @a.test")).counts).toMatchObject({ changed: 0 });
        await web.hub.ok(["save", "@a.test", "--unset", "php_memory_limit,php_post_max_size,php_max_execution_time,php_max_children"]);
        await web.hub.ok("verify @a.test");
        expect(await ini("a.test", "memory_limit")).not.toBe("77M");
      });

      test("verify repairs owners, groups and modes, also of what PHP made; a second one finds nothing", async () => {
        const own = generation("a.test");
        const module = code("a.test", "modules/mine");
        mkdirSync(join(own, "files/deep"), { recursive: true });
        writeFileSync(join(own, "files/deep/x y.txt"), "x");
        chownSync(join(own, "files/deep"), 33, 33);
        chmodSync(join(own, "files/deep"), 0o777);
        chmodSync(join(own, "files/deep/x y.txt"), 0o600);
        mkdirSync(module);
        writeFileSync(join(module, "mine.module"), "<?php");
        chownSync(join(module, "mine.module"), 33, 33);
        chmodSync(join(module, "mine.module"), 0o666);
        chmodSync(code("a.test", "settings.php"), 0o644);
        chmodSync(join(own, "private"), 0o777);
        const dry = await web.hub.document("verify @a.test --dry-run");
        expect(dry.counts.would_change).toBeGreaterThan(2);
        await web.hub.ok("verify @a.test");
        const user = poolUserOf(web, "a.test");
        const { uid, gid } = statSync(join(own, "files/made.txt"));
        const is = (path: string) => {
          const stat = statSync(path);
          return [stat.uid, stat.gid, (stat.mode & 0o7777).toString(8)];
        };
        expect(is(join(own, "files/deep"))).toEqual([uid, gid, "2775"]);
        expect(is(join(own, "files/deep/x y.txt"))).toEqual([0, gid, "660"]);
        expect(is(join(module, "mine.module"))).toEqual([0, gid, "644"]);
        expect(is(code("a.test", "settings.php"))).toEqual([0, gid, "440"]);
        expect(is(join(own, "private"))).toEqual([0, gid, "2770"]);
        expect((await probe(web, "a.test", "write", join(own, "files/deep/x y.txt"))).user).toBe(user);
        expect((await web.hub.document("verify @a.test")).counts).toMatchObject({ changed: 0 });
      });

      // What follows is PHP-FPM's, whichever server asks it.
      test.runIf(type === "nginx")(
        "a pool that is killed half-way: each end has one of the two states, the neighbour is served, and the next command ends it",
        async () => {
          const count = join(web.hub.base, "count");
          await web.hub.ok("save @a.test --php_memory_limit=64M");
          await web.hub.ok("verify @a.test", { env: { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: count } });
          const { points } = JSON.parse(readFileSync(count, "utf8")) as { points: number };
          expect(points).toBeGreaterThan(8);
          const step = EXHAUSTIVE ? 1 : points / 3;
          let limit = 64;
          for (let at = 1; at <= points; at = Math.floor(at + step)) {
            const before = `${limit}M`;
            limit++;
            await web.hub.ok(`save @a.test --php_memory_limit=${limit}M`);
            const what = `${type}: killed at point ${at} of ${points}`;
            const killed = await web.hub.provision("verify @a.test", { env: { PROVISION_TEST_KILL_AT: String(at) } });
            expect(killed.signal, what).toBe("SIGKILL");
            expect([before, `${limit}M`], what).toContain((await probe(web, "a.test", "ini", "memory_limit")).answer);
            expect((await web.get("b.test", "/")).status, what).toBe(200);
            expect([what, (await web.hub.document("verify @a.test")).exit]).toEqual([what, 0]);
            expect((await probe(web, "a.test", "ini", "memory_limit")).answer, what).toBe(`${limit}M`);
            expect((await web.hub.document("verify @a.test")).counts.changed, what).toBe(0);
            expect(existsSync(web.hub.path("config/server_master/php-fpm/default/candidate")), what).toBe(false);
          }
        },
        300_000,
      );

      test.runIf(type === "nginx")(
        "a copy has a pool of its own; another name takes the site into another pool, and the old user goes",
        async () => {
          await web.hub.ok("clone @a.test @copy.test");
          const copy = (await probe(web, "copy.test", "ini", "x")).user;
          expect(copy).toBe(poolUserOf(web, "copy.test"));
          expect(COULD_NOT).toContain((await probe(web, "copy.test", "read", code("a.test", "settings.php"))).answer);
          expect((await web.hub.document("verify @copy.test")).steps.filter(({ outcome }) => outcome !== "ok")).toEqual([]);
          expect((await probe(web, "copy.test", "write", join(generation("copy.test"), "files/made.txt"))).answer).toBeGreaterThan(0);
          await web.hub.ok("migrate @copy.test @platform_p @name.test");
          const named = (await probe(web, "name.test", "ini", "x")).user;
          expect([named === copy, accounts("passwd", copy), accounts("group", copy)]).toEqual([false, false, false]);
          expect((await web.get("name.test", "/")).status).toBe(200);
          expect((await web.hub.document("verify @name.test")).steps.filter(({ outcome }) => outcome !== "ok")).toEqual([]);
          expect((await probe(web, "name.test", "write", join(generation("name.test"), "files/made.txt"))).answer).toBeGreaterThan(0);
          await web.hub.ok("delete @name.test --no-backup --yes");
          expect(accounts("passwd", named)).toBe(false);
        },
        120_000,
      );

      test.runIf(type === "nginx")(
        "client: sites of a client share a pool, others not; a pool goes with its last site, and its user with it",
        async () => {
          await web.hub.ok("save @client_acme --context_type=client");
          await withPools(web, "client");
          await web.hub.ok("save @a.test --client_name=acme --unset php_memory_limit");
          await web.hub.ok("save @b.test --client_name=acme");
          const former = [poolUserOf(web, "a.test"), poolUserOf(web, "b.test")];
          for (const uri of ["a.test", "b.test"]) await web.hub.ok(`verify @${uri}`);
          expect(former.filter((user) => accounts("passwd", user) || accounts("group", user))).toEqual([]);
          await web.hub.saveSite("c.test", "--php_paths=probe.php");
          await web.hub.ok("install @c.test");
          const users = [];
          for (const uri of ["a.test", "b.test", "c.test"]) users.push((await probe(web, uri, "ini", "x")).user);
          expect([users[0] === users[1], users[0] === users[2]]).toEqual([true, false]);
          expect((await probe(web, "a.test", "read", code("b.test", "settings.php"))).answer).toContain("$databases");
          expect(COULD_NOT).toContain((await probe(web, "c.test", "read", code("b.test", "settings.php"))).answer);
          for (const uri of ["a.test", "b.test", "c.test"])
            expect((await web.hub.document(`verify @${uri}`)).counts).toMatchObject({ changed: 0 });
          await web.hub.ok("delete @a.test --no-backup --yes");
          expect(accounts("passwd", users[1] as string)).toBe(true);
          expect((await web.get("b.test", "/")).status).toBe(200);
          await web.hub.ok("delete @b.test @c.test --no-backup --yes");
          expect([...new Set(users)].filter((user) => accounts("passwd", user) || accounts("group", user))).toEqual([]);
          expect(readdirSync(web.hub.path("config/server_master/php-fpm/default/pool.d"))).toEqual([]);
          expect(readdirSync(web.hub.path("config/server_master/php-fpm/default/data"))).toEqual([]);
        },
      );

      test.runIf(type === "nginx")(
        "an install that fails leaves neither pool nor user; a pool that is no more shared goes back to the one of all",
        async () => {
          await withPools(web, "site");
          await web.hub.saveSite("d.test", "--php_paths=probe.php");
          await web.hub.ok("save @d.test --profile=broken");
          const failed = await web.hub.document("install @d.test");
          expect([failed.exit, failed.outcome]).toEqual([4, "rolled_back"]);
          expect(readdirSync(web.hub.path("config/server_master/php-fpm/default/pool.d"))).toEqual([]);
          await web.hub.ok("save @d.test --profile=minimal");
          await web.hub.ok("install @d.test");
          const user = (await probe(web, "d.test", "ini", "x")).user;
          expect(accounts("passwd", user)).toBe(true);
          await web.hub.ok("save @server_master --php_pool=shared");
          await web.hub.ok("verify @server_master @d.test");
          expect((await probe(web, "d.test", "ini", "x")).user).toBe("www-data");
          expect((await web.get("d.test", "/")).status).toBe(200);
          expect([accounts("passwd", user), accounts("group", user)]).toEqual([false, false]);
          expect((await web.hub.document("verify @d.test")).counts).toMatchObject({ changed: 0 });
        },
      );

      test.runIf(type === "nginx")(
        "PHP-FPM that does not run, or does not read the pools: refused before anything is made, with what root has to do",
        async () => {
          await web.hub.ok("save @server_master --php_pool=site");
          await web.fpm.stop();
          await web.hub.saveSite("c.test");
          const refused = await web.hub.document("install @c.test");
          expect([refused.exit, refused.error?.code]).toEqual([69, "SERVICE_UNAVAILABLE"]);
          expect(refused.error?.next.join()).toMatch(/as root: echo 'include=.*php-fpm\/default\.conf' >/);
          expect(JSON.stringify((await web.hub.document("doctor")).data)).toContain("PHP-FPM of @server_master does not read");
        },
      );
    },
  );
}
