import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FakeAuthority } from "../support/fake-authority.js";
import { EXHAUSTIVE } from "../support/kill-walk.js";
import { type Pebble, pebbleMissing, startPebble } from "../support/pebble.js";
import { freePort } from "../support/php-server.js";
import { type WebHub, webHub } from "../support/web-hub.js";
import { missing } from "../support/web-servers.js";

/** What a visitor's browser sees of a site: who vouches for it, and whether it is right for the name. */
interface Seen {
  readonly authorized: boolean;
  readonly error: string | undefined;
  readonly certificate: X509Certificate;
}

/** Shakes hands as a browser would: by this name, believing only `ca`. */
function shakeHands(port: number, name: string, ca: string): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, servername: name, ca, rejectUnauthorized: false }, () => {
      const peer = socket.getPeerX509Certificate();
      const { authorized } = socket;
      const error = socket.authorizationError ? String(socket.authorizationError) : undefined;
      socket.end();
      if (peer) resolve({ authorized, error, certificate: peer });
      else reject(new Error(`${name}: no certificate was shown`));
    });
    socket.setTimeout(10_000, () => socket.destroy(new Error(`${name}: no handshake`)));
    socket.on("error", reject);
  });
}

/** Points of a kill walk, but for a whole one. */
const SAMPLE = 4;

interface Listed {
  readonly site: string;
  readonly wanted: string;
  readonly issuer: string;
  readonly self_signed: boolean;
  readonly names: readonly string[];
  readonly days_left: number;
  readonly due: boolean;
  readonly problem: string | null;
  readonly urgent: boolean;
  readonly next_try: string | null;
}

for (const type of ["nginx", "apache"] as const) {
  const absent = missing(type) ?? pebbleMissing();
  describe.skipIf(absent !== undefined)(`certificates on ${type}${absent === undefined ? "" : ` (${absent})`}`, () => {
    /** What does not hang on the web server is looked at with one of them. */
    const whole = test.runIf(type === "nginx" || EXHAUSTIVE);
    let web: WebHub;
    let pebble: Pebble;
    let root: string;
    let tlsPort: number;

    beforeAll(async () => {
      web = await webHub(type);
      pebble = await startPebble(web.hub.base, { httpPort: web.hub.port });
      root = await pebble.root();
      tlsPort = await freePort();
      await web.hub.ok([
        ...["save", "@server_master", `--http_ssl_port=${tlsPort}`, "--admin_email=webmaster@example.com"],
        ...[`--acme_directory=${pebble.directory}`, `--acme_ca_file=${pebble.caFile}`],
      ]);
      await web.hub.ok("verify @server_master");
    }, 120_000);
    afterAll(async () => {
      await pebble?.stop();
      await web?.remove();
    });

    const directory = (key: string) => web.hub.path(`config/server_master/ssl.d/${key}`);
    const versions = (key: string) => readdirSync(directory(key)).filter((name) => /^\d{8}T/.test(name));
    const seen = (name: string, ca: string) => shakeHands(tlsPort, name, ca);
    const listed = async (site: string) => {
      const { data } = await web.hub.document(`certificates list ${site}`);
      return (data?.["certificates"] as unknown as readonly [Listed] | undefined)?.[0];
    };

    test("self-signed, where nothing else is said: for all names and wildcards; the key is nobody else's; a second verify changes nothing", async () => {
      await web.hub.saveSite("self.test", "--ssl=required", "--aliases=www.self.test,*.w.self.test");
      await web.hub.ok("install @self.test");
      const [version] = versions("self.test");
      const own = readFileSync(join(directory("self.test"), version as string, "fullchain.pem"), "utf8");
      for (const name of ["self.test", "www.self.test", "any.w.self.test"])
        expect(await seen(name, own), name).toMatchObject({ authorized: true });
      expect(new X509Certificate(own).ca).toBe(false);
      expect(statSync(join(directory("self.test"), version as string, "privkey.pem")).mode & 0o777).toBe(0o600);
      expect(statSync(directory("self.test")).mode & 0o777).toBe(0o700);
      expect((await web.hub.document("verify @self.test")).counts.changed).toBe(0);
      expect(pebble.requests()).toBe(0);
      expect(await listed("@self.test")).toMatchObject({ wanted: "self-signed", self_signed: true, due: false, problem: null });
    });

    test("self-signed: a new alias gets a new certificate by verify, and one that is due by renew", async () => {
      await web.hub.ok(["save", "@self.test", "--aliases=www.self.test,*.w.self.test,new.self.test"]);
      const { steps } = await web.hub.document("verify @self.test --dry-run");
      expect(JSON.stringify(steps)).toContain("make a self-signed certificate for self.test, www.self.test, *.w.self.test, new.self.test");
      await web.hub.ok("verify @self.test");
      const newest = versions("self.test").at(-1) as string;
      const own = readFileSync(join(directory("self.test"), newest, "fullchain.pem"), "utf8");
      expect(await seen("new.self.test", own)).toMatchObject({ authorized: true });
      const renewed = await web.hub.document("certificates renew @self.test --force");
      expect([renewed.exit, renewed.outcome]).toEqual([0, "changed"]);
      expect((await seen("self.test", own)).certificate.fingerprint256).not.toBe(new X509Certificate(own).fingerprint256);
      expect((await web.hub.document("certificates renew @self.test")).counts.changed).toBe(0);
    });

    test("of an authority: install gets one for all names; http goes to https; a second verify changes nothing and asks nobody", async () => {
      await web.hub.ok("save @server_master --ssl_issuer=acme");
      await web.hub.saveSite("b.test", "--ssl=required", "--aliases=www.b.test", "--redirection=b.test");
      await web.hub.ok("install @b.test");
      for (const name of ["b.test", "www.b.test"]) {
        const { authorized, error, certificate } = await seen(name, root);
        expect([name, authorized, error]).toEqual([name, true, undefined]);
        expect(certificate.subjectAltName).toBe("DNS:b.test, DNS:www.b.test");
      }
      expect((await web.get("b.test", "/")).headers["location"]).toBe(`https://b.test:${tlsPort}/`);
      expect(readdirSync(web.hub.path(`config/server_master/${type}/acme/.well-known/acme-challenge`))).toEqual([]);
      expect(existsSync(join(directory("b.test"), "order.json"))).toBe(false);
      expect(readFileSync(web.hub.path("secrets/server_master.yml"), "utf8")).toContain("acme_account_key: ");
      const before = [pebble.requests(), pebble.issued()];
      expect((await web.hub.document("verify @b.test")).counts.changed).toBe(0);
      expect((await web.hub.document("certificates renew @b.test")).counts.changed).toBe(0);
      expect([pebble.requests(), pebble.issued()]).toEqual(before);
      const status = await web.hub.document("status @b.test");
      expect(status.data?.["certificate"]).toMatchObject({
        wanted: "acme",
        self_signed: false,
        names: ["b.test", "www.b.test"],
        problem: null,
      });
      expect(JSON.stringify((await web.hub.document("doctor")).data)).toContain("the certificate of @b.test is well");
    });

    test("a new alias: verify orders a certificate that has it too; a dry run says so and asks nobody", async () => {
      await web.hub.ok(["save", "@b.test", "--aliases=www.b.test,new.b.test"]);
      const requests = pebble.requests();
      const dry = await web.hub.document("verify @b.test --dry-run");
      expect(JSON.stringify(dry.steps)).toContain("the present one is not for new.b.test");
      expect(pebble.requests()).toBe(requests);
      await web.hub.ok("verify @b.test");
      expect(await seen("new.b.test", root)).toMatchObject({ authorized: true });
    });

    whole(
      "a name that the authority does not find: verify does the rest, says why, keeps what is served and leaves the authority alone; renew fails",
      async () => {
        const before = (await seen("b.test", root)).certificate.fingerprint256;
        await pebble.lose("lost.b.test");
        await web.hub.ok(["save", "@b.test", "--aliases=www.b.test,new.b.test,lost.b.test"]);
        const verified = await web.hub.document("verify @b.test");
        expect([verified.exit, verified.outcome]).toEqual([0, "changed"]);
        expect(verified.warnings?.join()).toMatch(
          /has no new certificate: the authority did not find its challenge at http:\/\/lost\.b\.test\/.*certificates renew @b\.test --force/s,
        );
        expect((await seen("b.test", root)).certificate.fingerprint256).toBe(before);
        expect((await web.get("lost.b.test", "/")).status).toBe(301);
        const requests = pebble.requests();
        const again = await web.hub.document("verify @b.test");
        expect([again.exit, again.counts.changed]).toEqual([0, 0]);
        expect(again.warnings?.join()).toContain("the next try is not before");
        const waiting = await web.hub.document("certificates renew @b.test");
        expect([waiting.exit, waiting.error?.code]).toEqual([1, "CERTIFICATE_FAILED"]);
        expect(waiting.error?.state).toContain("@b.test keeps what it has: Pebble");
        expect((await web.hub.provision("cron-all")).code).toBe(0);
        expect(pebble.requests()).toBe(requests);
        expect(await listed("@b.test")).toMatchObject({
          due: true,
          urgent: true,
          problem: expect.stringContaining("it is not for lost.b.test"),
        });
        const doctor = await web.hub.document("doctor");
        expect(doctor.exit).toBe(6);
        expect(doctor.error?.next).toContain("provision certificates renew @b.test --force");
        expect((await web.hub.provision("status")).stdout).toContain("! the certificate of @b.test: it is not for lost.b.test");
        const refused = await web.hub.document("certificates renew @b.test --force");
        expect([refused.exit, refused.outcome, refused.error?.code]).toEqual([4, "rolled_back", "CERTIFICATE_FAILED"]);
        expect(refused.error?.why.join()).toContain("lost.b.test: ");
        const { failures } = JSON.parse(readFileSync(join(directory("b.test"), "order.json"), "utf8"));
        expect(failures).toBe(2);
        await pebble.find("lost.b.test");
        const renewed = await web.hub.document("certificates renew @b.test --force");
        expect([renewed.exit, renewed.outcome]).toEqual([0, "changed"]);
        expect(await seen("lost.b.test", root)).toMatchObject({ authorized: true });
      },
      60_000,
    );

    whole("a name that the authority refuses to issue for; it says which", async () => {
      await web.hub.ok(["save", "@b.test", "--aliases=www.b.test,new.b.test,lost.b.test,blocked.test"]);
      const { exit, error } = await web.hub.document("certificates renew @b.test");
      expect([exit, error?.message]).toEqual([4, expect.stringContaining("refuses the order")]);
      expect(error?.why.join()).toContain("blocked.test");
      await web.hub.ok(["save", "@b.test", "--aliases=www.b.test,new.b.test,lost.b.test"]);
      // The names are what they were: so is the certificate, and nothing is remembered against them.
      expect((await web.hub.document("verify @b.test")).warnings).toBeUndefined();
    });

    whole(
      "an authority that is down, is not what it says it is, or is none: nothing is changed",
      async () => {
        const gone = `https://127.0.0.1:${await freePort()}/dir`;
        const before = web.hub.tree();
        const during = async (options: readonly string[]) => {
          await web.hub.ok(["save", "@server_master", ...options]);
          const { exit, error } = await web.hub.document("certificates renew @b.test --force");
          await web.hub.ok(["save", "@server_master", `--acme_directory=${pebble.directory}`, `--acme_ca_file=${pebble.caFile}`]);
          return [exit, error?.code, [error?.message, ...(error?.why ?? []), ...(error?.next ?? [])].join("; ")];
        };
        expect(await during([`--acme_directory=${gone}`])).toEqual([
          69,
          "SERVICE_UNAVAILABLE",
          expect.stringMatching(/gives no answer of use.*ECONNREFUSED/),
        ]);
        expect(await during(["--acme_ca_file=null"])).toEqual([
          69,
          "SERVICE_UNAVAILABLE",
          expect.stringMatching(/not believed to be itself.*self-signed certificate.*acme_ca_file/),
        ]);
        expect(await during(["--acme_ca_file=nowhere.pem"])).toEqual([78, "CONFIGURATION", expect.stringContaining("nowhere.pem")]);
        expect(await during([`--acme_directory=${pebble.directory.replace("/dir", "/nowhere")}`])).toEqual([
          69,
          "SERVICE_UNAVAILABLE",
          expect.stringMatching(/no answer of use|not the directory/),
        ]);
        // But for the file of the server that was saved back.
        const but = (lines: readonly string[]) =>
          lines.filter((line) => !line.startsWith("aliases/server_master") && !line.startsWith("aliases "));
        expect(but(web.hub.tree())).toEqual(but(before));
        expect(await seen("b.test", root)).toMatchObject({ authorized: true });
      },
      60_000,
    );

    test("one that ends soon is renewed by cron-all; the key that was replaced goes later", async () => {
      age(
        directory("b.test"),
        versions("b.test"),
        ["b.test", "www.b.test", "new.b.test", "lost.b.test"],
        { began: 80, ends: 9 },
        web.hub.base,
      );
      await web.hub.ok("verify @platform_p");
      expect(await listed("@b.test")).toMatchObject({
        due: true,
        days_left: 8,
        urgent: true,
        problem: expect.stringMatching(/^it ends .*, in 8 days$/),
      });
      const { stdout } = await web.hub.provision("cron-all --json");
      const { exit, results } = JSON.parse(stdout);
      expect([exit, results.map(({ command, target }: { command: string; target: string }) => [command, target])]).toEqual([
        0,
        [
          ["cron-all", "@b.test"],
          ["certificates", "@b.test"],
          ["cron-all", "@self.test"],
        ],
      ]);
      expect(await listed("@b.test")).toMatchObject({ due: false, problem: null });
      expect(await seen("new.b.test", root)).toMatchObject({ authorized: true });
      expect(versions("b.test").length).toBe(2);
      expect((await web.hub.document("verify @b.test")).counts.changed).toBe(0);
    });

    whole("several sites at a time: each gets its own, and one that can have none stops nobody", async () => {
      await web.hub.saveSite("c.test", "--ssl=on");
      await web.hub.ok("install @c.test");
      const before = pebble.issued();
      const { exit, results } = JSON.parse(
        (await web.hub.provision("certificates renew @b.test @c.test @self.test --force --jobs=3 --json")).stdout,
      );
      expect([exit, results.map(({ target, outcome }: { target: string; outcome: string }) => [target, outcome])]).toEqual([
        3,
        [
          ["@b.test", "changed"],
          ["@c.test", "changed"],
          ["@self.test", "failed"],
        ],
      ]);
      expect(pebble.issued() - before).toBe(2);
      for (const name of ["b.test", "c.test"]) expect(await seen(name, root), name).toMatchObject({ authorized: true });
      await web.hub.ok("delete @c.test --no-backup --yes");
    });

    whole(
      "what an authority sends is looked at before it is kept; one that says nothing can be stopped, and that is no failure",
      async () => {
        const fake = await FakeAuthority.start(web.hub.base);
        const before = (await seen("b.test", root)).certificate.fingerprint256;
        const kept = versions("b.test");
        try {
          await web.hub.ok(["save", "@server_master", `--acme_directory=${fake.directory}`, `--acme_ca_file=${fake.caFile}`]);
          const pem = readFileSync(join(directory("b.test"), kept.at(-1) as string, "fullchain.pem"), "utf8");
          for (const [body, what] of [
            ["hello", "no certificate"],
            [pem, "not for our key"],
          ]) {
            fake.answers = { certificate: { body } };
            const { exit, error } = await web.hub.document("certificates renew @b.test --force");
            expect([exit, error?.message]).toEqual([4, `what the authority sent is ${what}`]);
          }
          fake.answers = { "new-order": { how: "hang" } };
          fake.asked.length = 0;
          const { child, said } = web.hub.start("certificates renew @b.test --force --json");
          await expect.poll(() => fake.asked.includes("new-order"), { timeout: 20_000 }).toBe(true);
          child.kill("SIGTERM");
          expect((await said).json).toMatchObject({ exit: 143, outcome: "rolled_back" });
          expect(JSON.parse(readFileSync(join(directory("b.test"), "order.json"), "utf8"))).toMatchObject({ failures: 2 });
          expect(versions("b.test")).toEqual(kept);
          expect((await seen("b.test", root)).certificate.fingerprint256).toBe(before);
        } finally {
          await web.hub.ok(["save", "@server_master", `--acme_directory=${pebble.directory}`, `--acme_ca_file=${pebble.caFile}`]);
          await fake.stop();
        }
        expect((await web.hub.document("verify @b.test")).counts.changed).toBe(0);
      },
    );

    whole("past already, with the authority down: what is served stays, and all who are asked say so", async () => {
      age(
        directory("b.test"),
        versions("b.test"),
        ["b.test", "www.b.test", "new.b.test", "lost.b.test"],
        { began: 90, ends: -1 },
        web.hub.base,
      );
      await web.hub.ok(["save", "@server_master", `--acme_ca_file=null`]);
      const verified = await web.hub.document("verify @b.test");
      expect([verified.exit, verified.warnings?.join()]).toEqual([0, expect.stringContaining("is not believed to be itself")]);
      expect(await listed("@b.test")).toMatchObject({
        urgent: true,
        problem: expect.stringMatching(/^it is past since .*not believed/),
        next_try: expect.any(String),
      });
      expect((await web.hub.document("doctor")).exit).toBe(6);
      await web.hub.ok(["save", "@server_master", `--acme_ca_file=${pebble.caFile}`]);
      await web.hub.ok("certificates renew @b.test --force");
      expect(await seen("b.test", root)).toMatchObject({ authorized: true });
    });

    whole("a wildcard, and an address, cannot be had of an authority: that is said before anything is done, with what can", async () => {
      await web.hub.ok(["save", "@self.test", "--ssl_issuer=null"]);
      const { exit, error } = await web.hub.document("verify @self.test");
      expect([exit, error?.code, error?.message]).toEqual([
        78,
        "CONFIGURATION",
        expect.stringContaining("no authority proves *.w.self.test by http-01"),
      ]);
      expect(error?.next.join()).toContain("--ssl_issuer=self-signed");
      // The site goes on, and so does its cron.
      await web.hub.ok("cron @self.test");
      const said = await web.hub.document(["save", "@self.test", "--ssl_issuer=acme"]);
      expect([said.exit, said.error?.message]).toEqual([64, expect.stringContaining("no authority proves *.w.self.test by http-01")]);
      await web.hub.ok(["save", "@self.test", "--ssl_issuer=self-signed"]);
      expect((await web.hub.document("verify @self.test")).exit).toBe(0);
    });

    whole("a certificate of one's own is listed with its end, and never renewed", async () => {
      const [version] = versions("self.test");
      const own = ["fullchain.pem", "privkey.pem"].map((name) => join(directory("self.test"), version as string, name));
      const copies = own.map((path, index) => {
        const to = join(web.hub.base, `own-${index}.pem`);
        writeFileSync(to, readFileSync(path), { mode: 0o600 });
        return to;
      });
      await web.hub.saveSite("own.test", "--ssl=on", `--ssl_certificate=${copies[0]}`, `--ssl_certificate_key=${copies[1]}`);
      await web.hub.ok("install @own.test");
      expect(await listed("@own.test")).toMatchObject({ wanted: "own", urgent: true, problem: "it is not for own.test" });
      const { exit, error } = await web.hub.document("certificates renew @own.test");
      expect([exit, error?.code]).toEqual([1, "REFUSED"]);
      expect((await web.hub.provision("certificates renew")).code).toBe(0);
      await web.hub.ok("delete @own.test --no-backup --yes");
      expect(existsSync(copies[1] as string)).toBe(true);
    });

    whole(
      "killed at any point of a renewal: a certificate that vouches is served all the time, and none that was issued is lost",
      async () => {
        const count = join(web.hub.base, "count");
        await web.hub.ok("certificates renew @b.test --force", { env: { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: count } });
        const { points } = JSON.parse(readFileSync(count, "utf8"));
        expect(points).toBeGreaterThan(20);
        const step = EXHAUSTIVE ? 1 : points / SAMPLE;
        for (let at = 1; at <= points; at = Math.floor(at + step)) {
          const what = `${type}: killed at point ${at} of ${points}`;
          const newest = versions("b.test").at(-1) as string;
          const before = pebble.issued();
          const killed = await web.hub.provision("certificates renew @b.test --force", { env: { PROVISION_TEST_KILL_AT: String(at) } });
          // How often the authority has to be asked differs from run to run: the last points may not come.
          if (killed.signal === null && at > points / 2) {
            expect([what, killed.code]).toEqual([what, 0]);
            break;
          }
          expect([what, killed.signal]).toEqual([what, "SIGKILL"]);
          expect(await seen("b.test", root), what).toMatchObject({ authorized: true });
          const next = await web.hub.document("certificates renew @b.test --force");
          expect([what, next.exit, next.error?.message]).toEqual([what, 0, undefined]);
          const added = versions("b.test").filter((name) => name > newest);
          expect([what, pebble.issued() - before]).toEqual([what, added.length]);
          expect(await seen("www.b.test", root), what).toMatchObject({ authorized: true });
          expect((await web.hub.document("verify @b.test")).counts.changed, what).toBe(0);
          expect(readdirSync(web.hub.path(`config/server_master/${type}/acme/.well-known/acme-challenge`)), what).toEqual([]);
        }
      },
      600_000,
    );

    whole("a site under another name has a certificate for that at once, and none by the old one", async () => {
      await web.hub.ok("migrate @self.test @renamed.test");
      const [version] = versions("renamed.test");
      const own = readFileSync(join(directory("renamed.test"), version as string, "fullchain.pem"), "utf8");
      expect(await seen("renamed.test", own)).toMatchObject({ authorized: true });
      expect(existsSync(directory("self.test"))).toBe(false);
      expect((await web.hub.document("verify @renamed.test")).counts.changed).toBe(0);
    });

    test("delete takes certificates and keys along", async () => {
      await web.hub.ok("delete @b.test --no-backup --yes");
      expect(existsSync(directory("b.test"))).toBe(false);
    });
  });
}

/** Puts a certificate with other dates, of an authority of the test, into every version. */
function age(
  directory: string,
  versions: readonly string[],
  names: readonly string[],
  { began, ends }: { began: number; ends: number },
  base: string,
): void {
  const work = join(base, `aged-${Date.now()}`);
  mkdirSync(work);
  const path = (name: string) => join(work, name);
  const openssl = (...args: readonly string[]) => execFileSync("openssl", args, { stdio: "pipe", cwd: work });
  const stamp = (days: number) => `${new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 19).replace(/[-:T]/g, "")}Z`;
  openssl(
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    path("ca.key"),
    "-out",
    path("ca.pem"),
    "-days",
    "2",
    "-subj",
    "/CN=aged authority",
  );
  writeFileSync(
    path("ca.conf"),
    "[ca]\ndefault_ca = one\n[one]\ndatabase = index.txt\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\npolicy = any\nunique_subject = no\n[any]\ncommonName = optional\n" +
      `[names]\nsubjectAltName = ${names.map((name) => `DNS:${name}`).join(",")}\n`,
  );
  writeFileSync(path("index.txt"), "");
  writeFileSync(path("serial"), "01");
  for (const version of versions) {
    const key = join(directory, version, "privkey.pem");
    openssl("req", "-new", "-key", key, "-subj", "/CN=aged", "-out", path("request.pem"));
    openssl(
      ...[
        "ca",
        "-batch",
        "-config",
        path("ca.conf"),
        "-cert",
        path("ca.pem"),
        "-keyfile",
        path("ca.key"),
        "-in",
        path("request.pem"),
        "-notext",
      ],
      ...["-startdate", stamp(-began), "-enddate", stamp(ends), "-extensions", "names", "-out", join(directory, version, "fullchain.pem")],
    );
  }
}
