import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { appendFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask } from "../../src/services/http/ask.js";
import { type DatabaseServer, missingServer, type ServerType, startServer } from "../support/database-servers.js";
import { makeFakeCore } from "../support/fake-core.js";
import { FakeHub, treeDifference } from "../support/fake-hub.js";
import { counted, drawn, EXHAUSTIVE } from "../support/kill-walk.js";
import { type Machine, missingMachines } from "../support/namespaces.js";
import { freePort } from "../support/php-server.js";
import { accounts } from "../support/pools.js";
import { missingSpoke, type SpokeHub, spokeHub, type TestSpoke } from "../support/spokes.js";
import { type Sshd, startSshd } from "../support/sshd.js";
import { type Fpm, startFpm, WEB_DAEMONS, type WebServer } from "../support/web-servers.js";
import { WIDE } from "../support/wide.js";

/** A page of the site that keeps what it is given, and says which user its PHP runs as. */
const POST = `<?php
define('DRUPAL_ROOT', getcwd());
require_once DRUPAL_ROOT . '/includes/bootstrap.inc';
drupal_bootstrap(DRUPAL_BOOTSTRAP_FULL);
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
  db_query('CREATE TABLE IF NOT EXISTS {visits} (id INT PRIMARY KEY)');
  db_query('INSERT INTO {visits} (id) VALUES (:id)', array(':id' => (int) $_POST['id']));
}
$user = posix_getpwuid(posix_geteuid());
echo $user['name'];
`;

/** Who may log in, and what databases there are, but what a server has from the beginning. */
const STANDS = {
  mysql:
    "SELECT CONCAT(User, '@', Host) FROM mysql.user WHERE User LIKE '%\\_test\\_%' UNION SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '%\\_test\\_%' ORDER BY 1",
  pgsql:
    "SELECT rolname::text FROM pg_roles WHERE rolname LIKE '%\\_test\\_%' UNION SELECT datname::text FROM pg_database WHERE datname LIKE '%\\_test\\_%' ORDER BY 1",
};

const places = ["hub", "web1", "web2"] as const;
type Place = (typeof places)[number];
const platforms = { hub: "@platform_p", web1: "@platform_w1", web2: "@platform_w2" } as const;

const unmade = missingMachines();
const absent =
  (unmade === undefined ? undefined : `SKIPPED: on loopback all machines have the same users: ${unmade}`) ??
  missingSpoke("nginx") ??
  missingSpoke("apache") ??
  missingServer("mysql") ??
  missingServer("pgsql");

describe.skipIf(absent !== undefined)(
  `databases, pools and certificates of sites that move between machines (${absent ?? "hosts in network namespaces"})`,
  () => {
    let rig: SpokeHub;
    let hub: SpokeHub["hub"];
    let spokes: { readonly web1: TestSpoke; readonly web2: TestSpoke };
    let nginx: WebServer;
    let fpm: Fpm;
    /** For databases alone. */
    let third: { readonly machine: Machine; readonly sshd: Sshd; readonly base: string; readonly root: string };
    const tlsPorts: Partial<Record<Place, number>> = {};

    /** Of a command that succeeds. */
    const document = async (line: string | readonly string[]) => {
      const result = await hub.document(line);
      expect(result.error, String(line)).toBeUndefined();
      return result;
    };
    const unchanged = async (name: string) => expect((await document(`verify ${name}`)).counts.changed, name).toBe(0);
    const rootOf = (place: Place) => (place === "hub" ? hub.root : spokes[place].root);
    const addressOf = (place: Place) => (place === "hub" ? "127.0.0.1" : spokes[place].address);
    const serverOf = (place: Place) => (place === "hub" ? "server_master" : place);
    const said = (site: string, key: string) =>
      new RegExp(`^${key}: "?(.*?)"?$`, "m").exec(readFileSync(hub.path(`aliases/${site}.yml`), "utf8"))?.[1] ?? "";
    /** What is asked of a site on one of the machines. */
    const asked = (place: Place, site: string, path: string, more: { readonly method?: string; readonly body?: string } = {}) => {
      const port = place === "hub" ? hub.port : spokes[place].port;
      const headers = {
        host: `${site}:${port}`,
        ...(more.body === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" }),
      };
      return ask({ address: addressOf(place), port, path, headers, timeout: 20_000, ...more });
    };
    const post = async (place: Place, site: string, id: number) => {
      const { status, body } = await asked(place, site, "/post.php", { method: "POST", body: `id=${id}` });
      expect([status, body]).toEqual([200, expect.stringMatching(place === "web2" ? /^pvc-/ : /^pvs-/)]);
    };
    /** Users of pools on a machine, by the files of its pools. */
    const poolUsers = (place: Place) => {
      const directory = join(rootOf(place), `config/${serverOf(place)}/php-fpm/default/pool.d`);
      return readdirSync(directory).map((name) => name.replace(/\.conf$/, ""));
    };
    const hasUser = (place: Place, name: string) =>
      place === "hub" ? accounts("passwd", name) : spokes[place].machine.run(["sh", "-c", 'getent passwd "$1" || true', "sh", name]) !== "";
    /** Directories of certificates of a site with a key in them. */
    const keys = (place: Place, site: string) => {
      const directory = join(rootOf(place), `config/${serverOf(place)}/ssl.d/${site}`);
      if (!existsSync(directory)) return [];
      return readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith("privkey.pem"));
    };
    /** Fingerprint of the certificate that a browser is shown. */
    const shown = (place: Place, site: string) =>
      new Promise<string>((resolve, reject) => {
        const socket = connect(
          { host: addressOf(place), port: tlsPorts[place] as number, servername: site, rejectUnauthorized: false },
          () => {
            resolve(new X509Certificate(socket.getPeerCertificate().raw).fingerprint256);
            socket.end();
          },
        );
        socket.setTimeout(10_000, () => socket.destroy(new Error(`${site}: no handshake`)));
        socket.on("error", reject);
      });
    /** It is served there and nowhere else, by PHP of its pool. */
    const servedOn = async (place: Place, site: string) => {
      for (const one of places) expect([one, (await asked(one, site, "/")).status]).toEqual([one, one === place ? 200 : 404]);
      const { body: user } = await asked(place, site, "/post.php");
      for (const one of places)
        expect([one, poolUsers(one).includes(user), hasUser(one, user)]).toEqual([one, one === place, one === place]);
    };

    beforeAll(async () => {
      rig = await spokeHub(["nginx", "apache"], ["--db_service_type=none"]);
      ({ hub } = rig);
      const [web1, web2] = rig.spokes as readonly [TestSpoke, TestSpoke];
      spokes = { web1, web2 };
      const [base, root] = [join(hub.base, "db-daemons"), join(hub.base, "db")];
      for (const directory of [base, root]) mkdirSync(directory, { mode: 0o755 });
      const machine = await rig.add("db", [base, root]);
      const sshd = await startSshd({ machine });
      third = { machine, sshd, base, root };
      appendFileSync(hub.path("known_hosts"), readFileSync(sshd.knownHosts));

      const daemons = join(hub.base, "daemons");
      fpm = await startFpm(daemons);
      const commands = WEB_DAEMONS.nginx.commands(daemons);
      await hub.ok([
        ...["save", "@server_master", "--http_service_type=nginx", `--php_fpm_listen=${fpm.listen}`, "--web_group=www-data"],
        ...[`--http_test_cmd=${commands.http_test_cmd}`, `--http_restart_cmd=${commands.http_restart_cmd}`],
        ...[`--php_fpm_restart_cmd=${fpm.command}`, `--php_fpm_test_cmd=${fpm.test}`],
      ]);
      await hub.ok("verify @server_master");
      nginx = await WEB_DAEMONS.nginx.start(daemons, hub.path("config/server_master/nginx.conf"), hub.port);
      for (const place of places) {
        tlsPorts[place] = await freePort();
        await hub.ok(`save @${serverOf(place)} --http_ssl_port=${tlsPorts[place]} --php_pool=${place === "web2" ? "client" : "site"}`);
      }
      const servers = places.map((place) => `@${serverOf(place)}`);
      await hub.ok(["verify", ...servers]);
      for (const place of places)
        (place === "hub" ? fpm : spokes[place].fpm).includes(join(rootOf(place), `config/${serverOf(place)}/php-fpm/default.conf`));
      const problems = async () => (await hub.ok(["verify", ...servers, "--json"])).all.results.flatMap(({ data }) => data?.["problems"]);
      for (let turn = 0; (await problems()).length > 0; turn++) {
        if (turn > 50) throw new Error(`PHP-FPM does not read its pools: ${JSON.stringify(await problems())}`);
        await sleep(200);
      }

      const core = await makeFakeCore(join(hub.base, "core"));
      writeFileSync(join(core, "post.php"), POST);
      for (const place of places) {
        await hub.savePlatform(platforms[place].slice("@platform_".length), core);
        if (place !== "hub") await hub.ok(`save ${platforms[place]} --web_server=@${place}`);
      }
      await hub.ok(["verify", ...Object.values(platforms)]);
    }, 240_000);
    afterAll(async () => {
      await third?.sshd.remove();
      await nginx?.stop();
      await fpm?.stop();
      await rig?.remove();
    });

    for (const type of ["mysql", "pgsql"] as const satisfies readonly ServerType[]) {
      describe(`${type}, ${type === "mysql" ? "a self-signed certificate" : "a certificate of one's own"}`, () => {
        const site = `${type}.test`;
        const at = `@${site}`;
        const [ownName, farName] = [`@db_own_${type}`, `@db_far_${type}`];
        /** On @web1, for that machine alone; and on a machine that all reach. */
        let own: DatabaseServer;
        let far: DatabaseServer;
        /** Of what was shown first. */
        let print: string;

        const stands = (server: DatabaseServer) => server.sql(STANDS[type]).map(([name = ""]) => name);
        const visits = () => {
          const server = said(site, "db_server") === ownName ? own : far;
          return server.sql("SELECT id FROM visits ORDER BY id", said(site, "db_name")).map(([id]) => Number(id));
        };

        beforeAll(async () => {
          const { web1 } = spokes;
          [own, far] = await Promise.all([
            startServer(type, { at: web1.machine, below: web1.base }),
            startServer(type, { at: third.machine, below: third.base, listen: third.machine.address }),
          ]);
          if (type === "pgsql") {
            appendFileSync(join(far.base, "data/pg_hba.conf"), `host all all ${third.machine.address}/27 scram-sha-256\n`);
            far.sql("SELECT pg_reload_conf()");
          }
          for (const [name, server, address, sshd, root] of [
            [ownName, own, web1.address, web1.sshd, web1.root],
            [farName, far, third.machine.address, third.sshd, third.root],
          ] as const)
            await hub.ok([
              ...["save", name, "--context_type=server", "--http_service_type=none", `--remote_host=${address}`, "--script_user=root"],
              ...[`--ssh_port=${sshd.port}`, `--ssh_identity=${sshd.identity}`, `--aegir_root=${root}`],
              ...[`--db_service_type=${type}`, `--master_db=${server.url}`],
            ]);
          await hub.ok(`verify ${ownName} ${farName}`);
          mkdirSync(hub.path("certs"), { recursive: true });
          const pair = ["key", "pem"].map((ending) => `certs/${site}.${ending}`) as [string, string];
          const made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
          const named = ["-subj", `/CN=${site}`, "-addext", `subjectAltName=DNS:${site}`];
          execFileSync("openssl", [...made, ...named, "-keyout", hub.path(pair[0]), "-out", hub.path(pair[1])], { stdio: "pipe" });
          const certificate = type === "pgsql" ? [`--ssl_certificate_key=${pair[0]}`, `--ssl_certificate=${pair[1]}`] : [];
          await hub.saveSite(site, `--db_server=${farName}`, "--ssl=on", "--php_paths=post.php", ...certificate);
        }, 120_000);
        afterAll(async () => {
          for (const server of [own, far]) await server?.remove();
        });

        test("on the hub, its database on a third machine", async () => {
          await document(`install ${at}`);
          await servedOn("hub", site);
          await unchanged(at);
          await post("hub", site, 1);
          print = await shown("hub", site);
          writeFileSync(join(realpathSync(hub.path(`platforms/p/sites/${site}/files`)), "one.txt"), "one\n");
        });

        test.runIf(type === "pgsql")(
          "a certificate of one's own that is not on the other machine is told before anything is made",
          async () => {
            const { exit, error } = await hub.document(`migrate ${at} @platform_w1 --db_server=${ownName} --no-backup`);
            expect([exit, error?.code, error?.message]).toEqual([
              78,
              "CONFIGURATION",
              expect.stringContaining(`: there is no ${spokes.web1.path(`certs/${site}.pem`)}`),
            ]);
            expect(error?.state).toContain("nothing was changed");
            expect([stands(own), existsSync(spokes.web1.path(`sites/${site}`))]).toEqual([[], false]);
            for (const { root } of Object.values(spokes)) cpSync(hub.path("certs"), join(root, "certs"), { recursive: true });
          },
        );

        test("hub → @web1, its database there: user and certificate are there and not here, the account is for that machine", async () => {
          await document(`migrate ${at} @platform_w1 --db_server=${ownName} --no-backup`);
          await servedOn("web1", site);
          expect(await shown("web1", site)).toBe(print);
          await post("web1", site, 2);
          expect(visits()).toEqual([1, 2]);
          expect((await asked("web1", site, `/sites/${site}/files/one.txt`)).body).toBe("one\n");
          await unchanged(at);
        });

        test.runIf(WIDE || type === "mysql")("@web1 → @web2, its database on the third machine: into a pool of the client", async () => {
          await document(`migrate ${at} @platform_w2 --db_server=${farName} --no-backup`);
          await servedOn("web2", site);
          expect(await shown("web2", site)).toBe(print);
          expect((await asked("web2", site, `/sites/${site}/files/one.txt`)).body).toBe("one\n");
          await unchanged(at);
        });

        test.runIf(WIDE || type === "mysql")(
          "rollback to the other machine: what visitors wrote since is counted and kept, and comes again with the next",
          async () => {
            for (const id of [3, 4, 5]) await post("web2", site, id);
            far.sql(`UPDATE users SET pass = 'another' WHERE uid = 1`, said(site, "db_name"));
            const { data } = await document(`rollback ${at} --yes`);
            expect(data?.["since"]).toMatchObject({ rows: { visits: 3 }, accounts: [], passwords: ["admin"] });
            await servedOn("web1", site);
            expect([visits(), await shown("web1", site)]).toEqual([[1, 2], print]);
            await post("web1", site, 6);
            const again = await document(`rollback ${at} --yes`);
            expect(again.data?.["since"]).toMatchObject({ rows: { visits: 1 } });
            await servedOn("web2", site);
            expect([visits(), await shown("web2", site)]).toEqual([[1, 2, 3, 4, 5], print]);
            await unchanged(at);
          },
          120_000,
        );

        test.runIf(WIDE)(
          "back to the hub, the database server stays; pruned, nothing is left on the others",
          async () => {
            await document(`migrate ${at} @platform_p --no-backup`);
            await servedOn("hub", site);
            expect([visits(), await shown("hub", site)]).toEqual([[1, 2, 3, 4, 5], print]);
            await unchanged(at);
            await pruned(at);
            expect([stands(own), stands(far).length]).toEqual([[], type === "mysql" ? 3 : 2]);
            for (const place of ["web1", "web2"] as const)
              expect([keys(place, site), existsSync(join(rootOf(place), `sites/${site}`))]).toEqual([[], false]);
            await document(`migrate ${at} @platform_w1 --db_server=${ownName} --no-backup`);
          },
          120_000,
        );

        test.runIf(WIDE || EXHAUSTIVE || type === "pgsql")(
          "kill -9 at journal records of a move with a pool and a certificate: abort leaves all as it was, resume completes",
          async () => {
            const ways = {
              web1: { to: "web2", args: ["migrate", at, "@platform_w2", `--db_server=${farName}`, "--no-backup"] },
              web2: { to: "web1", args: ["migrate", at, "@platform_w1", `--db_server=${ownName}`, "--no-backup"] },
            } as const;
            const world = new FakeHub(hub.root);
            const standing = () => (said(site, "platform") === "@platform_w2" ? "web2" : "web1");
            const counting = join(hub.base, "count");
            const environment = { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: counting };
            await hub.ok(ways[standing()].args, { env: environment });
            await pruned(at);
            const { torn } = JSON.parse(readFileSync(counting, "utf8")) as { torn: readonly number[] };
            /** Files, users, databases and what visitors wrote. */
            const all = () =>
              [
                ...places.flatMap((place) => [
                  // By a number that is another each time a reload of PHP-FPM is proven.
                  ...new FakeHub(rootOf(place))
                    .tree()
                    .replace(/(PROVISION_POOL\] = )g\w+-\w+/g, "$1…")
                    .split("\n")
                    .map((line) => `${place} ${line}`),
                  ...poolUsers(place).map((user) => `${place} user ${user} ${hasUser(place, user)}`),
                ]),
                ...[own, far].flatMap((server) => stands(server).map((name) => `database ${name}`)),
                ...visits().map((id) => `visit ${id}`),
              ].join("\n");
            const killed = async (point: number, verb: "abort" | "resume") => {
              const from = standing();
              const { to, args } = ways[from];
              const what = `${args.join(" ")} killed at ${point}, ${verb}:`;
              const before = all();
              const { signal } = await world.run(args, { env: { PROVISION_TEST_KILL_AT: String(point) } });
              if (signal !== "SIGKILL") return `${what} it was not killed`;
              const [id] = world.open;
              const records = id === undefined ? [] : world.journal(id);
              const open = records[0]?.t === "open" && records.at(-1)?.t !== "end";
              const way = records.some(({ t }) => t === "commit") ? "resume" : verb;
              if (open) {
                const answer = await world.run([way, id as string]);
                if (answer.code !== 0) return `${what} ${way}: ${JSON.stringify(answer.said?.error)}`;
              }
              const place = standing();
              if (open && place !== (way === "resume" ? to : from)) return `${what} it stands on ${place}`;
              if (place === from && all() !== before) return `${what} ${treeDifference(all(), before)}`;
              try {
                await servedOn(place, site);
                expect(await shown(place, site)).toBe(print);
                await unchanged(at);
              } catch (error) {
                return `${what} ${String(error)}`;
              }
              if (place === to) await pruned(at);
              return "right";
            };
            const walks = EXHAUSTIVE
              ? torn.flatMap((point) => (["abort", "resume"] as const).map((verb) => () => killed(point, verb)))
              : (
                  [
                    [0.75, "abort"],
                    [0.85, "resume"],
                  ] as const
                ).map(
                  ([part, verb]) =>
                    () =>
                      killed(torn[Math.floor(part * torn.length)] as number, verb),
                );
            const verdicts: string[] = [];
            for (const one of EXHAUSTIVE ? drawn(walks) : walks) verdicts.push(await one());
            counted(`${type}: a move with a pool and a certificate, killed: of ${walks.length} at ${torn.length} records`, verdicts);
            expect(verdicts.filter((verdict) => verdict !== "right")).toEqual([]);
          },
          7_200_000,
        );

        test("delete leaves nothing on any machine or server", async () => {
          const users = places.flatMap((place) => poolUsers(place));
          await document(`delete ${at} --no-backup --yes`);
          for (const server of [own, far]) expect(stands(server)).toEqual([]);
          for (const place of places)
            expect([place, keys(place, site), poolUsers(place), users.filter((user) => hasUser(place, user))]).toEqual([place, [], [], []]);
        });
      });
    }

    /** What is kept of the site goes, as when its time is over. */
    async function pruned(name: string): Promise<void> {
      const directory = hub.path(`state/generations/${name.slice(1)}`);
      for (const file of existsSync(directory) ? readdirSync(directory) : []) {
        const path = join(directory, file);
        writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), until: new Date(0).toISOString() }));
      }
      await document(`backups prune ${name} --yes`);
      expect(existsSync(directory) ? readdirSync(directory) : []).toEqual([]);
    }
  },
);
