import { X509Certificate } from "node:crypto";
import { appendFileSync, existsSync, lstatSync, readdirSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DatabaseServer, missingServer, type ServerType, startServer } from "../support/database-servers.js";
import { missingMachines, whereSpokesAre } from "../support/namespaces.js";
import { type Pebble, pebbleMissing, startPebble } from "../support/pebble.js";
import { freePort } from "../support/php-server.js";
import { accounts } from "../support/pools.js";
import { missingSpoke, type SpokeHub, spokeHub, type TestSpoke } from "../support/spokes.js";
import { WIDE } from "../support/wide.js";

/** Who may log in, and what databases there are, but what a server has from the beginning. */
const STANDS = {
  mysql:
    "SELECT CONCAT(User, '@', Host) FROM mysql.user WHERE User LIKE '%\\_%' UNION SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '%\\_test\\_%' ORDER BY 1",
  pgsql:
    "SELECT rolname::text FROM pg_roles WHERE rolname LIKE '%\\_test\\_%' UNION SELECT datname::text FROM pg_database WHERE datname LIKE '%\\_test\\_%' ORDER BY 1",
};

const apart = missingMachines() === undefined;
const absent = missingSpoke("nginx") ?? missingSpoke("apache") ?? missingServer("mysql") ?? missingServer("pgsql") ?? pebbleMissing();

describe.skipIf(absent !== undefined)(
  `what serves sites on other machines: nginx on @web1, Apache on @web2 (${absent ?? whereSpokesAre()})`,
  () => {
    /** On loopback all have one address. */
    const apartIf = (wanted: boolean) => test.runIf(wanted && apart);
    const wide = test.runIf(WIDE);
    let rig: SpokeHub;
    let hub: SpokeHub["hub"];
    let web1: TestSpoke;
    let web2: TestSpoke;
    let pebble: Pebble;

    /** Of a command that succeeds. */
    const document = async (line: string | readonly string[]) => {
      const result = await hub.document(line);
      expect(result.error, String(line)).toBeUndefined();
      return result;
    };
    const unchanged = async (name: string) => expect((await document(`verify ${name}`)).counts.changed, name).toBe(0);
    const title = async (web: TestSpoke, site: string) => (await web.get(site, "/")).body;
    const said = (site: string, key: string) =>
      new RegExp(`^${key}: "?(.*?)"?$`, "m").exec(readFileSync(hub.path(`aliases/${site}.yml`), "utf8"))?.[1] ?? "";
    /** Of the hub, as those see it. */
    const here = () => (apart ? web1.machine.hub : "127.0.0.1");
    const code = (web: TestSpoke, site: string, name: string) => web.path(`platforms/${web === web1 ? "p" : "w2"}/sites/${site}/${name}`);

    beforeAll(async () => {
      rig = await spokeHub(["nginx", "apache"], ["--db_service_type=none"]);
      ({ hub } = rig);
      [web1, web2] = rig.spokes as readonly [TestSpoke, TestSpoke];
      pebble = await startPebble(hub.base, { httpPort: web1.port, address: apart ? web1.address : "127.0.0.1" });
      for (const web of [web1, web2]) {
        await hub.ok([
          ...["save", web.name, `--http_ssl_port=${await freePort()}`, "--admin_email=webmaster@example.com"],
          ...["--ssl_issuer=acme", `--acme_directory=${pebble.directory}`, `--acme_ca_file=${pebble.caFile}`],
        ]);
        await hub.ok(`verify ${web.name}`);
      }
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
      await pebble?.stop();
      await rig?.remove();
    });

    for (const type of ["mysql", "pgsql"] as const satisfies readonly ServerType[]) {
      describe(type, () => {
        const site = `${type}.test`;
        const at = `@${site}`;
        /** On web1's machine, on web2's, and on the hub. */
        let own: DatabaseServer;
        let other: DatabaseServer;
        let central: DatabaseServer;
        /** Contexts of those. With mysql the web servers say it themselves. */
        const [at1, at2, hubDb] = type === "mysql" ? ["@web1", "@web2", "@db_mysql"] : ["@db_one", "@db_two", "@db_pgsql"];
        const mysql = test.runIf(type === "mysql");

        const stands = (server: DatabaseServer) => server.sql(STANDS[type]).map(([name = ""]) => name);
        /** Addresses from which the account of the site may log in. */
        const hosts = (server: DatabaseServer) =>
          server.sql(`SELECT Host FROM mysql.user WHERE User = '${said(site, "db_user")}' ORDER BY 1`).map(([host = ""]) => host);

        beforeAll(async () => {
          const on = (web: TestSpoke) => (apart ? { at: web.machine, below: web.base } : {});
          own = await startServer(type, on(web1));
          other = await startServer(type, on(web2));
          central = await startServer(type, apart ? { listen: here() } : {});
          for (const [name, server, web] of [
            [at1, own, web1],
            [at2, other, web2],
          ] as const) {
            const { sshd, root } = web;
            const reached = [
              ...["--context_type=server", "--http_service_type=none", `--remote_host=${web.address}`, "--script_user=root"],
              ...[`--ssh_port=${sshd.port}`, `--ssh_identity=${sshd.identity}`, `--aegir_root=${root}`],
            ];
            await hub.ok(["save", name, ...(type === "mysql" ? [] : reached), `--db_service_type=${type}`, `--master_db=${server.url}`]);
          }
          await hub.ok([
            ...["save", hubDb, "--context_type=server", "--http_service_type=none", `--db_service_type=${type}`],
            `--master_db=${central.url}`,
          ]);
          for (const name of [at1, hubDb]) await hub.ok(`verify ${name}`);
          await hub.saveSite(site, `--db_server=${at1}`, ...(type === "mysql" ? ["--ssl=on", `--aliases=www.${site}`] : []));
        }, 120_000);
        afterAll(async () => {
          for (const server of [own, other, central]) await server?.remove();
        });

        wide(
          "a server verified again changes nothing; a password that is wrong and a server that is down are told before anything is made",
          async () => {
            for (const name of [at1, hubDb]) await unchanged(name);
            await hub.ok(["save", at1, `--master_db=${own.url.replace(/:[^:@]*@/, ":wrong@")}`]);
            const wrong = await hub.document(`install ${at}`);
            expect([wrong.exit, wrong.error?.code, wrong.error?.message]).toEqual([
              77,
              "DATABASE_LOGIN_REFUSED",
              expect.stringContaining(`the database server of ${at1} (127.0.0.1:${own.port}) refuses the login`),
            ]);
            await hub.ok(["save", at1, `--master_db=${own.url}`]);
            await own.stop();
            const down = await hub.document(`install ${at}`);
            expect([down.exit, down.error?.code]).toEqual([69, "SERVICE_UNAVAILABLE"]);
            const preflight = await hub.document(`verify ${at1}`);
            expect([preflight.exit, preflight.error?.code, JSON.stringify(preflight.error?.why)]).toEqual([
              78,
              "CONFIGURATION",
              expect.stringContaining(`the database server of ${at1}`),
            ]);
            await own.start();
            expect(stands(own)).toEqual([]);
            expect(existsSync(web1.path(`sites/${site}`))).toBe(false);
          },
        );

        test("install with a server on the same machine: settings.php holds no account; a second verify changes nothing", async () => {
          await document(`install ${at}`);
          expect(await title(web1, site)).toContain("<title>");
          const settings = readFileSync(code(web1, site, "settings.php"), "utf8");
          expect([settings.includes(said(site, "db_user")), settings.includes("account.settings.php")]).toEqual([false, true]);
          expect(statSync(join(web1.path(`sites/${site}`), said(site, "generation"), "account.settings.php")).mode & 0o777).toBe(0o400);
          await unchanged(at);
          if (type === "mysql") expect(hosts(own)).toEqual(["127.0.0.1", "localhost"]);
        });

        mysql("its certificate is of the authority, which found the answers on that machine; its key is there alone", async () => {
          const seen = await handshake(web1, site);
          expect(seen).toMatchObject({ authorized: true, names: `DNS:${site}, DNS:www.${site}` });
          const { data } = await document(`certificates list ${at}`);
          expect(data?.["certificates"]).toMatchObject([{ site: at, wanted: "acme", self_signed: false, problem: null }]);
          expect(keys(web1)).toEqual([`config/web1/ssl.d/${site}`]);
          expect(keys(web2)).toEqual([]);
          expect(existsSync(hub.path("config/web1"))).toBe(false);
          expect(readdirSync(web1.path("config/web1/nginx/acme/.well-known/acme-challenge"))).toEqual([]);
          await document(`certificates renew ${at} --force`);
          expect((await handshake(web1, site)).print).not.toBe(seen.print);
        });

        test.runIf(WIDE || type === "pgsql")("a backup of it comes to the hub and is loaded there again", async () => {
          const { data } = await document(`backup ${at}`);
          expect(readdirSync(String(data?.["path"]))).toContain("database.sql.zst");
          const before = stands(own);
          await document(`restore ${at} ${String(data?.["backup"])} --yes`);
          expect(await title(web1, site)).toContain("<title>");
          expect(stands(own).length).toBeGreaterThan(before.length);
        });

        wide("clone to another machine, web server and database server", async () => {
          await document(`clone ${at} @copy.test @platform_w2 --db_server=${at2}`);
          expect(await title(web2, "copy.test")).toContain("<title>");
          await unchanged("@copy.test");
          await document("delete @copy.test --no-backup --yes");
          expect(stands(other)).toEqual([]);
        });

        apartIf(type === "pgsql")("a server that lets nobody in from that machine is told before anything is made", async () => {
          const { exit, error } = await hub.document(`migrate ${at} @platform_w2 --db_server=${hubDb} --no-backup`);
          expect([exit, error?.code, error?.next[0]]).toEqual([
            77,
            "DATABASE_LOGIN_REFUSED",
            expect.stringContaining(`host all all ${web2.address}/32 scram-sha-256`),
          ]);
          expect(stands(central)).toEqual([]);
          appendFileSync(join(central.base, "data/pg_hba.conf"), `host all all ${web1.address}/27 scram-sha-256\n`);
          central.sql("SELECT pg_reload_conf()");
        });

        apartIf(true)(
          "migrate to another machine, its database to the hub's: the account is for that machine, what is kept keeps its own",
          async () => {
            writeFileSync(join(realpathSync(code(web1, site, "files")), "one.txt"), "one\n");
            const before = type === "mysql" ? await handshake(web1, site) : undefined;
            const asked = pebble.requests();
            await document(`migrate ${at} @platform_w2 --db_server=${hubDb} --no-backup`);
            expect(await title(web2, site)).toContain("<title>");
            expect(readFileSync(code(web2, site, "files/one.txt"), "utf8")).toBe("one\n");
            if (type === "mysql") expect(hosts(central)).toEqual([here(), web2.address]);
            expect(readFileSync(code(web2, site, "settings.php"), "utf8")).toContain(`'host' => '${here()}'`);
            expect(stands(own).length).toBeGreaterThan(0);
            await unchanged(at);
            // The certificate came along, for the name leads to the old machine still.
            if (before) expect(await handshake(web2, site)).toEqual(before);
            expect(pebble.requests()).toBe(asked);
          },
        );

        apartIf(WIDE || type === "mysql")(
          "back to the first machine, the server stays: an account for it is made; pruned, the other is withdrawn, and keys go",
          async () => {
            const former = stands(central);
            appendFileSync(hub.path("provision.yml"), "keep_old: 0\n");
            await document(`migrate ${at} @platform_p --no-backup`);
            expect(await title(web1, site)).toContain("<title>");
            if (type === "mysql") {
              expect(hosts(central)).toEqual([here(), web1.address]);
              expect([keys(web1), keys(web2)]).toEqual([[`config/web1/ssl.d/${site}`], [`config/web2/ssl.d/${site}`]]);
            }
            expect(stands(central)).toEqual(expect.arrayContaining([...former]));
            await document(`backups prune ${at} --yes`);
            writeFileSync(hub.path("provision.yml"), readFileSync(hub.path("provision.yml"), "utf8").replace("keep_old: 0\n", ""));
            for (const one of former) expect(stands(central)).not.toContain(one);
            if (type === "mysql") expect([keys(web1), keys(web2)]).toEqual([[`config/web1/ssl.d/${site}`], []]);
            await unchanged(at);
          },
        );

        apartIf(type === "mysql")(
          "the machine has another address than the account: verify lets it in, and the old address no longer",
          async () => {
            const user = said(site, "db_user");
            central.sql(`RENAME USER '${user}'@'${web1.address}' TO '${user}'@'192.0.2.9'; FLUSH PRIVILEGES`);
            expect((await web1.get(site, "/")).status).toBe(500);
            const { counts, steps } = await document(`verify ${at}`);
            expect(counts.changed).toBe(1);
            expect(JSON.stringify(steps)).toContain(`not yet from ${web1.address}, no longer from 192.0.2.9`);
            expect(hosts(central)).toEqual([here(), web1.address]);
            expect(await title(web1, site)).toContain("<title>");
            await unchanged(at);
          },
        );

        wide("migrate to another database server, the machine stays; rollback returns to it", async () => {
          const now = said(site, "db_server");
          const next = now === hubDb ? (said(site, "platform") === "@platform_p" ? at1 : at2) : hubDb;
          if (!apart) {
            const { exit, error } = await hub.document(`migrate ${at} --db_server=${next}`);
            expect([exit, error?.code]).toEqual([78, "CONFIGURATION"]);
            return;
          }
          const web = said(site, "platform") === "@platform_p" ? web1 : web2;
          await document(`migrate ${at} --db_server=${next} --no-backup`);
          expect(await title(web, site)).toContain("<title>");
          await unchanged(at);
          await document(`rollback ${at} --yes`);
          expect(await title(web, site)).toContain("<title>");
          expect(said(site, "db_server")).toBe(now);
          await unchanged(at);
        });

        apartIf(WIDE)(
          "a server of another spoke is reached by that machine's name, also when its own programs reach it on loopback",
          async () => {
            await hub.saveSite("far.test", `--db_server=${at2}`);
            const { exit, error } = await hub.document("install @far.test");
            // It listens on loopback alone.
            expect([exit, error?.code, error?.message]).toEqual([
              69,
              "SERVICE_UNAVAILABLE",
              `@web1 does not reach the database server of ${at2} at ${web2.address}:${other.port}`,
            ]);
            expect(stands(other)).toEqual([]);
            await hub.ok("delete @far.test --no-backup --yes");
          },
        );

        test("the link of its client is on the machine that it is on, and leads there", () => {
          const link = (root: string) => join(root, "clients/admin", site);
          const on = [hub.root, web1.root, web2.root].filter((root) => lstatSync(link(root), { throwIfNoEntry: false }));
          const web = said(site, "platform") === "@platform_p" ? web1 : web2;
          expect([on, realpathSync(link(web.root))]).toEqual([[web.root], realpathSync(code(web, site, ""))]);
        });

        test("delete leaves nothing on any machine or server", async () => {
          await document(`delete ${at} --no-backup --yes`);
          for (const server of [own, other, central]) expect(stands(server)).toEqual([]);
          for (const web of [web1, web2]) expect([existsSync(web.path(`sites/${site}`)), keys(web)]).toEqual([false, []]);
        });
      });
    }

    test.runIf(process.getuid?.() === 0)(
      "php_pool: site: the user of a pool is made on that machine, what the site has is its group's; both go with it",
      async () => {
        for (const web of [web1, web2]) await hub.ok(`save ${web.name} --php_pool=site --db_service_type=sqlite`);
        await hub.ok("verify @web1");
        web1.fpm.includes(web1.path("config/web1/php-fpm/default.conf"));
        await expect.poll(async () => (await document("verify @web1")).data?.["problems"], { timeout: 30_000 }).toEqual([]);
        await hub.saveSite("pool.test", "--db_server=@web1");
        await document("install @pool.test");
        const [file = ""] = readdirSync(web1.path("config/web1/php-fpm/default/pool.d"));
        const user = file.replace(/\.conf$/, "");
        expect([there("passwd", user), existsSync(hub.path("config/web1"))]).toEqual([true, false]);
        if (apart) expect(accounts("passwd", user)).toBe(false);
        expect(await title(web1, "pool.test")).toContain("<title>");
        const settings = statSync(code(web1, "pool.test", "settings.php"));
        expect([settings.uid, settings.gid > 1000, settings.mode & 0o777]).toEqual([0, true, 0o440]);
        await unchanged("@pool.test");
        await document("delete @pool.test --no-backup --yes");
        expect([there("passwd", user), there("group", user), readdirSync(web1.path("config/web1/php-fpm/default/pool.d"))]).toEqual([
          false,
          false,
          [],
        ]);
      },
    );

    /** Whether @web1 has this account, or group. */
    function there(database: "passwd" | "group", name: string): boolean {
      return apart ? web1.machine.run(["sh", "-c", 'getent "$1" "$2" || true', "sh", database, name]) !== "" : accounts(database, name);
    }

    /** Directories of certificates of sites that stand on a machine with a key in them. */
    function keys(web: TestSpoke): readonly string[] {
      const above = `config/${web.name.slice(1)}/ssl.d`;
      if (!existsSync(web.path(above))) return [];
      const found = readdirSync(web.path(above), { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith("privkey.pem"));
      return [...new Set(found.map((path) => `${above}/${path.split("/")[0]}`))];
    }

    /** What a browser sees that believes the authority alone. */
    async function handshake(web: TestSpoke, name: string) {
      const ca = await pebble.root();
      const port = Number(said(web.name.slice(1), "http_ssl_port"));
      return new Promise<{ readonly authorized: boolean; readonly names: string | undefined; readonly print: string }>(
        (resolve, reject) => {
          const host = apart ? web.address : "127.0.0.1";
          const socket = connect({ host, port, servername: name, ca, rejectUnauthorized: false }, () => {
            const raw = socket.getPeerCertificate().raw;
            const certificate = new X509Certificate(raw);
            resolve({ authorized: socket.authorized, names: certificate.subjectAltName, print: certificate.fingerprint256 });
            socket.end();
          });
          socket.setTimeout(10_000, () => socket.destroy(new Error(`${name}: no handshake`)));
          socket.on("error", reject);
        },
      );
    }
  },
);
