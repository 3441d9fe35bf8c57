import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:http2";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask } from "../../src/services/http/ask.js";
import type { ConfigFile, Tls, Vhost } from "../../src/services/http/service.js";
import { drive, wouldChange } from "../support/step-driver.js";
import { type WebRig, webRig } from "../support/web-rig.js";
import { missing } from "../support/web-servers.js";

/** A certificate for these names and its key, as files. */
function certificate(directory: string, name: string, ...names: readonly string[]): { certificate: string; key: string } {
  mkdirSync(directory, { recursive: true });
  const [path, key] = [join(directory, `${name}.pem`), join(directory, `${name}.key`)];
  const { status, stderr } = spawnSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", `/CN=${name}`],
    ...["-addext", "basicConstraints=critical,CA:FALSE", "-addext", `subjectAltName=${names.map((one) => `DNS:${one}`).join(",")}`],
    ...["-keyout", key, "-out", path],
  ]);
  if (status !== 0) throw new Error(String(stderr));
  return { certificate: path, key };
}

for (const type of ["nginx", "apache"] as const) {
  const absent = missing(type);
  describe.skipIf(absent !== undefined)(`${type} itself${absent === undefined ? "" : ` (${absent})`}`, () => {
    let rig: WebRig;
    const broken = (site: Vhost): Vhost => ({ ...site, snippets: { nginx: "no_such_directive on;\n", apache: "NoSuchDirective on\n" } });
    const tls = (name: string, more: Partial<Tls> = {}): Tls => ({
      required: false,
      hsts: undefined,
      ...certificate(join(rig.root, "ssl"), name, name, `www.${name}`),
      ...more,
    });
    /** Bytes of everything that the daemon reads. */
    const configuration = () => {
      const files: Record<string, string> = {};
      const walk = (directory: string) => {
        for (const entry of readdirSync(directory, { withFileTypes: true })) {
          const path = join(directory, entry.name);
          if (entry.isDirectory() && entry.name !== "log") walk(path);
          else if (entry.isFile() && entry.name !== "generation.conf") files[path] = readFileSync(path, "utf8");
        }
      };
      walk(rig.config);
      return files;
    };

    beforeAll(async () => {
      rig = await webRig(type);
      await rig.publish(rig.vhost("one.test"));
    });
    afterAll(() => rig?.remove());

    describe("faults", () => {
      test("a bad snippet is refused with the daemon's words; nothing is written, and the site serves what it had", async () => {
        const before = configuration();
        await expect(rig.publish(broken(rig.vhost("one.test")))).rejects.toMatchObject({
          code: "CONFIGURATION",
          state: "nothing was replaced",
          why: expect.arrayContaining([expect.stringMatching(/no_such_directive|NoSuchDirective/)]),
        });
        expect(configuration()).toEqual(before);
        expect((await rig.get("one.test")).status).toBe(200);
        await rig.publish(rig.vhost("other.test"));
        expect((await rig.get("other.test")).status).toBe(200);
      });

      test("a site whose certificate is gone answers 503 and is named; the others go on, after a restart too; back, it serves again", async () => {
        const lost = rig.vhost("lost.test", { tls: tls("lost.test") });
        await rig.publish(lost);
        expect((await rig.get("lost.test")).status).toBe(200);
        renameSync(`${rig.root}/ssl/lost.test.pem`, `${rig.root}/ssl/aside.pem`);
        await rig.publish(rig.vhost("next.test"));
        expect((await rig.get("next.test")).status).toBe(200);
        const answer = await rig.get("lost.test");
        expect([answer.status, answer.headers["retry-after"]]).toEqual([503, "3600"]);
        expect(await rig.service.problems()).toEqual([{ message: expect.stringContaining("lost.test answers 503"), blocks: false }]);
        await rig.daemon.stop();
        await rig.startDaemon();
        expect((await rig.get("one.test")).status).toBe(200);
        await expect(rig.publish(lost)).rejects.toMatchObject({ code: "CONFIGURATION", message: expect.stringContaining("lost.test.pem") });
        renameSync(`${rig.root}/ssl/aside.pem`, `${rig.root}/ssl/lost.test.pem`);
        await rig.publish(lost);
        expect((await rig.get("lost.test")).status).toBe(200);
        expect(await rig.service.problems()).toEqual([]);
      });

      test("a file of the operator that is broken is no site's fault: refused, and what was served is served on", async () => {
        const own = join(rig.config, "post.d/own.conf");
        writeFileSync(own, type === "nginx" ? "no_such_directive on;\n" : "NoSuchDirective on\n");
        const before = configuration();
        await expect(rig.publish(rig.vhost("late.test"))).rejects.toMatchObject({
          code: "CONFIGURATION",
          why: expect.arrayContaining([expect.stringMatching(/no_such_directive|NoSuchDirective/)]),
        });
        expect(configuration()).toEqual(before);
        expect((await rig.get("one.test")).status).toBe(200);
        expect((await rig.get("late.test")).status).toBe(404);
        rmSync(own);
        await rig.publish(rig.vhost("late.test"));
        expect((await rig.get("late.test")).status).toBe(200);
      });

      test.each([
        [
          "of another key",
          (pair: { certificate: string; key: string }) => ({ ...pair, key: tls("foreign.test").key }),
          /is not the key of/,
        ],
        [
          "that is no certificate",
          (pair: { certificate: string; key: string }) => ({ ...pair, certificate: pair.key }),
          /is not a certificate/,
        ],
        [
          "with a key that is no key",
          (pair: { certificate: string; key: string }) => ({ ...pair, key: pair.certificate }),
          /is not a private key/,
        ],
        ["that is not there", (pair: { certificate: string; key: string }) => ({ ...pair, certificate: "/nowhere/a.pem" }), /there is no/],
      ])("a certificate %s is refused before anything is replaced, and the daemon lives", async (_what, spoil, message) => {
        const own = tls("pair.test");
        const site = rig.vhost("pair.test", { tls: { ...own, ...spoil(own) } });
        await expect(rig.publish(site)).rejects.toMatchObject({ code: "CONFIGURATION", message: expect.stringMatching(message) });
        expect(existsSync(join(rig.config, "vhost.d/pair.test.conf"))).toBe(false);
        expect((await rig.get("one.test")).status).toBe(200);
      });

      test("a port that another program has is found out by the proof, and all is as it was", async () => {
        const taken = createServer((socket) => socket.end()).listen(0, "127.0.0.1");
        await new Promise((resolve) => taken.once("listening", resolve));
        const address = taken.address();
        const port = typeof address === "object" && address ? address.port : 0;
        const own = join(rig.config, "pre.d/port.conf");
        writeFileSync(own, type === "nginx" ? `server { listen 127.0.0.1:${port}; }\n` : `Listen 127.0.0.1:${port}\n`);
        // nginx goes on with what it has; Apache ends, which its configuration test does not foresee.
        if (type === "nginx") {
          const before = configuration();
          const step = rig.impatient.activate("a", "A", rig.service.siteFiles(rig.vhost("port.test")));
          await expect(drive([step])).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE" });
          expect(configuration()).toEqual(before);
          expect((await rig.get("one.test")).status).toBe(200);
        }
        rmSync(own);
        taken.close();
        await rig.publish(rig.vhost("port.test"));
        expect((await rig.get("port.test")).status).toBe(200);
      });

      test("a daemon that was killed is not served for; started again, it serves all that stands", async () => {
        const { undo } = await rig.publish(rig.vhost("undo.test"));
        await rig.daemon.kill();
        await expect(rig.publish(rig.vhost("dead.test"))).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE" });
        // The undo of what came before does not need it.
        await rig.service.restore(undo[0]?.["files"] as unknown as ConfigFile[]);
        await rig.startDaemon();
        expect((await rig.get("undo.test")).status).toBe(404);
        expect((await rig.get("one.test")).status).toBe(200);
        expect(await wouldChange([rig.service.activate("a", "A", rig.service.siteFiles(rig.vhost("one.test")))])).toEqual([]);
      });

      test("a configuration that was written and not taken over is seen, and reloaded", async () => {
        const site = rig.vhost("kept.test");
        await rig.publish(site);
        const generation = join(rig.config, "include/generation.conf");
        writeFileSync(generation, readFileSync(generation, "utf8").replace(/"[^"]+"/, '"killed-here"'));
        const step = rig.service.activate("a", "A", rig.service.siteFiles(site));
        expect(await wouldChange([step])).toEqual([expect.stringContaining("reload")]);
        await rig.publish(site);
        expect(await wouldChange([step])).toEqual([]);
      });
    });

    describe("https", () => {
      beforeAll(async () => {
        await rig.publish(rig.vhost("tls.test", { tls: tls("tls.test") }));
        await rig.publish(
          rig.vhost("must.test", {
            tls: tls("must.test", { required: true, hsts: 31_536_000 }),
            aliases: ["www.must.test"],
            redirection: "must.test",
          }),
        );
      });

      test("a site is served by both, and PHP is told", async () => {
        expect((await rig.get("tls.test")).status).toBe(200);
        const { body } = await rig.get("tls.test", "/", { tls: true });
        expect(JSON.parse(body).server).toMatchObject({ HTTPS: "on", REQUEST_SCHEME: "https", SERVER_PORT: String(rig.tlsPort) });
      });

      test("required: http goes to https at the one name; HSTS by https only", async () => {
        for (const host of ["must.test", "www.must.test"]) {
          const answer = await rig.get(host, "/a%20b?c=d");
          expect([answer.status, answer.headers["location"]]).toEqual([301, `https://must.test:${rig.tlsPort}/a%20b?c=d`]);
          expect(answer.headers["strict-transport-security"]).toBeUndefined();
        }
        const www = await rig.get("www.must.test", "/x", { tls: true });
        expect([www.status, www.headers["location"]]).toEqual([301, `https://must.test:${rig.tlsPort}/x`]);
        for (const path of ["/", "/misc/style.css"])
          expect((await rig.get("must.test", path, { tls: true })).headers["strict-transport-security"]).toBe("max-age=31536000");
      });

      test("HTTP/2 is spoken", async () => {
        const session = connect(`https://127.0.0.1:${rig.tlsPort}`, { servername: "tls.test", rejectUnauthorized: false });
        const status = await new Promise((resolve, reject) => {
          session.once("error", reject);
          const stream = session.request({ ":path": "/", ":authority": `tls.test:${rig.tlsPort}` });
          stream.once("error", reject);
          stream.once("response", (headers) => resolve(headers[":status"]));
          stream.resume();
          stream.end();
        });
        session.close();
        expect(status).toBe(200);
      });

      test("an unknown name gets no site and no certificate of one", async () => {
        const question = { port: rig.tlsPort, path: "/", headers: { host: "unknown.test" }, tls: "unknown.test", timeout: 10_000 };
        const status = await ask(question).then(
          (answer) => answer.status,
          () => "handshake refused",
        );
        expect(status).toSatisfy((one: unknown) =>
          type === "nginx" ? one === "handshake refused" : [403, 404, 421].includes(Number(one)),
        );
      });
    });

    test("five hundred sites, one broken: it is found, and the others go on; one more site is one test and one reload", async () => {
      const pair = tls("many.test");
      const many = Array.from({ length: 500 }, (_, index) => rig.vhost(`s${index}.many.test`, index === 333 ? { tls: pair } : {}));
      await rig.activate(many.flatMap((site) => rig.service.siteFiles(site)));
      expect([(await rig.get("s0.many.test")).status, (await rig.get("s499.many.test")).status]).toEqual([200, 200]);
      rmSync(pair.certificate);
      await rig.publish(rig.vhost("more.many.test"));
      expect((await rig.get("more.many.test")).status).toBe(200);
      expect([(await rig.get("s332.many.test")).status, (await rig.get("s333.many.test")).status]).toEqual([200, 503]);
      await rig.activate([...many, rig.vhost("more.many.test")].flatMap(({ uri }) => rig.service.noSiteFiles([], uri)));
      expect((await rig.get("s0.many.test")).status).toBe(404);
      expect(readdirSync(join(rig.config, "vhost.d")).filter((name) => name.includes("many.test"))).toEqual([]);
    }, 300_000);

    test("IPv6 is listened to", async () => {
      if (!existsSync("/proc/net/if_inet6") || readFileSync("/proc/net/if_inet6", "utf8") === "") return;
      const answer = await ask({ address: "::1", port: rig.port, path: "/", headers: { host: "one.test" }, timeout: 10_000 });
      expect(answer.status).toBe(200);
    });

    test("ACME's path is answered for every name: redirected, closed, disabled, unknown", async () => {
      writeFileSync(join(rig.config, "acme/.well-known/acme-challenge/token"), "answer");
      await rig.publish(
        rig.vhost("acme.test", { aliases: ["www.acme.test"], redirection: "acme.test", tls: tls("acme.test", { required: true }) }),
      );
      await rig.publish(rig.vhost("closed.test", { allow: ["192.0.2.1"] }));
      await rig.publish(rig.vhost("off.test", { enabled: false }));
      for (const host of ["one.test", "acme.test", "www.acme.test", "closed.test", "off.test", "unknown.test"]) {
        const answer = await rig.get(host, "/.well-known/acme-challenge/token");
        expect([host, answer.status, answer.body]).toEqual([host, 200, "answer"]);
        expect((await rig.get(host, "/.well-known/acme-challenge/none")).status).toBe(404);
      }
      expect((await rig.get("closed.test")).status).toBe(403);
    });

    test("basic auth and its exceptions; no password in PHP's way", async () => {
      const file = join(rig.config, "passwords.d/auth.test");
      const hash = spawnSync("php", ["-r", "echo crypt(\"pass word\", '$6$abcdefgh$');"]).stdout.toString();
      writeFileSync(file, `u:${hash}\n`);
      const basicAuth = { message: "Preview", file, whitelist: [] };
      const authorization = `Basic ${Buffer.from("u:pass word").toString("base64")}`;
      await rig.publish(rig.vhost("auth.test", { basicAuth }));
      for (const path of ["/", "/misc/style.css", "/update.php", "/files/hello.txt"]) {
        const asked = await rig.get("auth.test", path);
        expect([path, asked.status, asked.headers["www-authenticate"]]).toEqual([path, 401, 'Basic realm="Preview"']);
        expect([path, (await rig.get("auth.test", path, { headers: { authorization } })).status]).toEqual([path, 200]);
      }
      expect((await rig.get("auth.test", "/", { headers: { authorization: "Basic eDp5" } })).status).toBe(401);
      await rig.publish(rig.vhost("auth.test", { basicAuth: { ...basicAuth, whitelist: ["127.0.0.0/8"] } }));
      expect((await rig.get("auth.test")).status).toBe(200);
      await rig.publish(rig.vhost("auth.test", { allow: ["127.0.0.1", "::1"] }));
      expect((await rig.get("auth.test")).status).toBe(200);
    });

    test("headers and snippets of a site are its own, on pages, files and redirects", async () => {
      const headers = { "X-Robots-Tag": 'noindex, "100% so"', "X-Two": "a;b}c{" };
      const snippets = { nginx: "location = /ping {\n  return 204;\n}\n", apache: "RewriteRule ^/ping$ - [R=204,L]\n" };
      await rig.publish(rig.vhost("own.test", { headers, snippets }));
      for (const path of ["/", "/misc/style.css", "/files/hello.txt"]) {
        const answer = await rig.get("own.test", path);
        expect([path, answer.headers["x-robots-tag"], answer.headers["x-two"]]).toEqual([path, 'noindex, "100% so"', "a;b}c{"]);
      }
      expect((await rig.get("own.test", "/ping")).status).toBe(204);
      expect((await rig.get("one.test", "/ping")).status).toBe(200);
      expect((await rig.get("one.test")).headers["x-two"]).toBeUndefined();
    });

    test("a sub-directory site without a site at its host is served, and nothing beside it", async () => {
      await rig.publish(rig.vhost("lone.test/below", { alone: true }));
      expect(JSON.parse((await rig.get("lone.test", "/below/x")).body).server["SCRIPT_NAME"]).toBe("/below/index.php");
      expect((await rig.get("lone.test")).status).toBe(404);
      await rig.publish(rig.vhost("lone.test"));
      await rig.publish(rig.vhost("lone.test/below"));
      expect((await rig.get("lone.test")).status).toBe(200);
      expect((await rig.get("lone.test", "/below/x")).status).toBe(200);
      await rig.publish(rig.vhost("lone.test/below", { enabled: false }));
      expect([(await rig.get("lone.test", "/below/x")).status, (await rig.get("lone.test")).status]).toEqual([503, 200]);
    });

    test("what the environment file of a site says reaches its PHP alone; PHP's user cannot read the file", async () => {
      const environment = join(rig.config, "environment.d/told.test");
      const line = type === "nginx" ? 'fastcgi_param db_passwd "p;}\\"w d";\n' : 'SetEnv db_passwd "p;}\\"w d"\n';
      writeFileSync(environment, line, { mode: 0o600 });
      await rig.publish(rig.vhost("told.test", { environment }));
      for (const path of ["/", "/node/1", "/update.php/x"])
        expect(JSON.parse((await rig.get("told.test", path)).body).server["db_passwd"]).toBe('p;}"w d');
      expect(JSON.parse((await rig.get("one.test")).body).server).not.toHaveProperty("db_passwd");
      if (process.getuid?.() !== 0) return;
      const read = spawnSync("setpriv", ["--reuid=www-data", "--regid=www-data", "--clear-groups", "cat", environment]);
      expect([read.status === 0, String(read.stdout)]).toEqual([false, ""]);
    });

    test("each site has its own access and error log", async () => {
      await rig.get("own.test", "/in-the-log");
      // Written when the answer is gone.
      await expect
        .poll(() => readFileSync(join(rig.config, "log/own.test.access.log"), "utf8"), { timeout: 20_000 })
        .toContain("GET /in-the-log");
      expect(readFileSync(join(rig.config, "log/one.test.access.log"), "utf8")).not.toContain("/in-the-log");
      expect(existsSync(join(rig.config, "log/own.test.error.log"))).toBe(true);
    });

    test("the daemon's own marker is told to this machine only, and gives no site", async () => {
      const answer = await rig.get("provision.invalid", "/update.php");
      expect([answer.status, answer.body]).toEqual([204, ""]);
    });

    test("PHP is started anew, and proves it", async () => {
      const pid = async () => JSON.parse((await rig.get("one.test")).body).pid as number;
      const before = await pid();
      await rig.service.reload(["one.test", "off.test"]);
      expect(await pid()).not.toBe(before);
    });
  });
}
