import { chmodSync, existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Layout } from "../../src/context/layout.js";
import { Scope } from "../../src/core/scope.js";
import type { Undo } from "../../src/core/step.js";
import { LocalHost } from "../../src/host/local.js";
import { ask } from "../../src/services/http/ask.js";
import { type HttpSetup, httpServices } from "../../src/services/http/index.js";
import { serve } from "../../src/services/http/php/serve.js";
import type { ConfigFile, HttpAnswer, HttpRequest, HttpService, Vhost } from "../../src/services/http/service.js";
import { type Facts, FORBIDDEN, makeDocroot, makeGeneration, SECRET } from "../support/docroot.js";
import { freePort } from "../support/php-server.js";
import { drive, wouldChange } from "../support/step-driver.js";
import { missing, startFpm, WEB_DAEMONS } from "../support/web-servers.js";

const NO_SERVER = {
  http_ssl_port: undefined,
  http_test_cmd: undefined,
  http_restart_cmd: undefined,
  php: undefined,
  php_fpm_listen: undefined,
  php_fpm_restart_cmd: undefined,
};

/** One type of web server, and what its daemon makes different. */
interface Rig {
  readonly server: Partial<HttpSetup["server"]>;
  /** Where its PHP listens. */
  readonly fpm: string;
  /** The real daemon of the type, until the returned function is called. */
  start(): Promise<() => Promise<void>>;
  /** Whatever else was started. */
  end(): Promise<void>;
}

const RIGS: Record<string, (root: string, layout: Layout, port: number) => Promise<Rig>> = {
  async php(_root, layout, port) {
    return { server: {}, fpm: "", start: () => startServe(layout, port), end: async () => {} };
  },
  nginx: (root, layout, port) => daemonRig("nginx", root, layout, port),
  apache: (root, layout, port) => daemonRig("apache", root, layout, port),
};

async function daemonRig(type: "nginx" | "apache", root: string, layout: Layout, port: number): Promise<Rig> {
  const base = join(root, "daemons");
  const fpm = await startFpm(base);
  const daemon = WEB_DAEMONS[type];
  return {
    server: { ...daemon.commands(base), php_fpm_listen: fpm.listen, php_fpm_restart_cmd: fpm.command },
    fpm: fpm.listen,
    async start() {
      const running = await daemon.start(base, `${layout.httpConfig("@server_master", type)}.conf`, port);
      return () => running.stop();
    },
    end: () => fpm.stop(),
  };
}

async function startServe(layout: Layout, port: number): Promise<() => Promise<void>> {
  const stop = new AbortController();
  const events: string[] = [];
  let listening = () => {};
  const up = new Promise<void>((resolve) => {
    listening = resolve;
  });
  const running = serve({
    layout,
    server: "@server_master",
    port,
    address: "127.0.0.1",
    signal: stop.signal,
    onEvent: (event) => {
      events.push(event.type);
      if (event.type === "listening") listening();
    },
  });
  await Promise.race([up, running]);
  return async () => {
    stop.abort();
    await running;
    expect(events.at(-1)).toBe("stopped");
  };
}

for (const type of Object.keys(httpServices)) {
  const absent = missing(type);
  if (absent !== undefined) {
    test.skip(`http: ${type} (${absent})`, () => {});
    continue;
  }
  /** PHP's own server runs without a daemon, and is stricter than the others, or laxer. */
  const own = type === "php";
  describe(`http: ${type}`, () => {
    const root = realpathSync(mkdtempSync(join(tmpdir(), "provision-http-")));
    const layout = new Layout(root);
    const docroot = join(root, "platforms/p");
    let rig: Rig;
    let service: HttpService;
    let port = 0;
    let stop: (() => Promise<void>) | undefined;
    let one: Vhost;

    function vhost(uri: string, more: Partial<Vhost> = {}): Vhost {
      return { ...one, uri, directory: uri.replace("/", "."), aliases: [], redirection: undefined, ...more };
    }
    function make(on: number): HttpService {
      const script_user = userInfo().username;
      const server: HttpSetup["server"] = { ...NO_SERVER, ...rig.server, name: "@server_master", script_user, http_port: on };
      return (httpServices[type] as (setup: HttpSetup) => HttpService)({ layout, server, host: new LocalHost(new Scope()) });
    }
    const activate = (files: readonly ConfigFile[]) => drive([service.activate("vhost/activate", "Activate", files)]);
    const publish = (site: Vhost) => activate(service.siteFiles(site));
    const withdraw = (uri: string, ...aliases: string[]) => activate(service.noSiteFiles(aliases, uri));
    const get = (uri: string, path = "/", more: Partial<HttpRequest> = {}) => service.request({ uri, path, ...more });
    const facts = (answer: HttpAnswer): Facts => {
      expect(answer.status, answer.body).toBe(200);
      return JSON.parse(answer.body) as Facts;
    };

    beforeAll(async () => {
      port = await freePort();
      // The daemons' own users have to come through.
      chmodSync(root, 0o755);
      rig = await (RIGS[type] as NonNullable<(typeof RIGS)[string]>)(root, layout, port);
      makeDocroot(docroot);
      const generation = makeGeneration(layout.generation("one.test", "g1").root);
      one = {
        uri: "one.test",
        aliases: [],
        redirection: undefined,
        enabled: true,
        docroot,
        directory: "one.test",
        generation: "g1",
        ...generation,
        frontControllers: ["index.php", "update.php", "core/cron.php", "install.php", "core/install.php"],
        php: "php",
        fpm: rig.fpm,
        alone: false,
        tls: undefined,
        basicAuth: undefined,
        allow: [],
        headers: {},
        environment: undefined,
        snippets: {},
      };
      service = make(port);
      await drive(service.serverSteps());
    });
    afterAll(async () => {
      await stop?.();
      await rig.end();
      rmSync(root, { recursive: true });
    });

    test("the server's steps change nothing the second time", async () => {
      expect(await wouldChange(service.serverSteps())).toEqual([]);
    });

    test("a base URL is what a visitor types, port 80 left out", () => {
      expect(service.url("one.test/foo")).toBe(`http://one.test:${port}/foo`);
      expect(make(80).url("one.test")).toBe("http://one.test");
    });

    test.runIf(own)("a site is published, asked and withdrawn without a running daemon", async () => {
      expect((await publish(one)).changes).toHaveLength(1);
      expect(facts(await get("one.test", "/node/1")).controller).toBe("index.php");
      expect(await service.problems()).toEqual([{ message: expect.stringContaining("provision serve"), blocks: false }]);
      await withdraw("one.test");
      expect((await get("one.test")).status).toBe(404);
    });

    test.skipIf(own)("without a running daemon nothing is published, nothing asked, and it is said", async () => {
      await expect(publish(one)).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE", state: "nothing was replaced" });
      for (const { path } of service.siteFiles(one)) expect(existsSync(path)).toBe(false);
      await expect(get("one.test")).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE" });
      expect(await service.problems()).toEqual([{ message: expect.stringContaining("does not answer"), blocks: true }]);
    });

    describe("with its daemon", () => {
      beforeAll(async () => {
        stop = await rig.start();
        await publish(one);
        await publish(vhost("two.test"));
      });

      test("a running daemon has no problems", async () => {
        expect(await service.problems()).toEqual([]);
      });

      test("a second activation changes nothing", async () => {
        expect(await wouldChange([service.activate("a", "A", service.siteFiles(one))])).toEqual([]);
        expect((await publish(one)).changes).toEqual([]);
      });

      test("publish, request, withdraw: each is served at once", async () => {
        const site = vhost("come.test", { aliases: ["go.test"] });
        expect((await get("come.test")).status).toBe(404);
        expect((await publish(site)).changes).toHaveLength(own ? 2 : 1);
        expect(facts(await get("come.test")).server["HTTP_HOST"]).toBe(`come.test:${port}`);
        expect((await get("go.test")).status).toBe(200);
        expect((await withdraw("come.test", "go.test")).changes).toHaveLength(own ? 2 : 1);
        expect((await get("come.test")).status).toBe(404);
        expect((await get("go.test")).status).toBe(404);
      });

      test("the undo of an activation serves the old files again, and can be repeated", async () => {
        const { undo } = await publish(vhost("two.test", { enabled: false, aliases: ["new.two.test"] }));
        expect(undo).toHaveLength(1);
        expect(undo[0]).toMatchObject({ do: "http_restore", host: "local", server: "@server_master" });
        expect((await get("two.test")).status).toBe(503);
        // As the journal gives them: null for no content.
        const files = (undo[0] as Undo)["files"] as unknown as ConfigFile[];
        for (let time = 0; time < 2; time++) {
          await service.restore(files);
          expect((await get("two.test")).status).toBe(200);
          expect((await get("new.two.test")).status).toBe(404);
        }
        expect(await wouldChange([service.activate("a", "A", service.siteFiles(vhost("two.test")))])).toEqual([]);
      });

      test("a broken candidate is refused and what is served stays", async () => {
        const [file] = service.siteFiles(one);
        for (const content of own ? ["{", "{}", "null"] : ["no_such_directive on;\n", "server {\n", "<VirtualHost>\n"]) {
          await expect(activate([{ path: file?.path ?? "", content }])).rejects.toMatchObject({ code: "CONFIGURATION" });
        }
        expect((await get("one.test")).status).toBe(200);
        expect(await wouldChange([service.activate("a", "A", service.siteFiles(one))])).toEqual([]);
      });

      test("a disabled site answers 503 with Retry-After on every path and is not cached", async () => {
        await publish(vhost("off.test", { enabled: false, aliases: ["www.off.test"], redirection: "off.test" }));
        for (const uri of ["off.test", "www.off.test"]) {
          for (const path of ["/", "/misc/style.css", "/files/hello.txt", "/update.php"]) {
            const answer = await get(uri, path);
            expect(answer.status).toBe(503);
            expect(answer.headers["retry-after"]).toMatch(/^\d+$/);
            expect(answer.headers["cache-control"]).toBe("no-store");
          }
        }
      });

      test("all names but one are redirected to it, path and query kept", async () => {
        await publish(vhost("red.test", { aliases: ["www.red.test", "*.red.test"], redirection: "www.red.test" }));
        for (const uri of ["red.test", "deep.er.red.test"]) {
          const answer = await get(uri, "/node/1%20x?a=b&c=%2F");
          expect(answer.status).toBe(301);
          expect(answer.headers["location"]).toBe(`http://www.red.test:${port}/node/1%20x?a=b&c=%2F`);
        }
        expect((await get("www.red.test")).status).toBe(200);
      });

      test("aliases and wildcard aliases serve the site; an exact name goes before a wildcard", async () => {
        await publish(vhost("wild.test", { aliases: ["other.test", "*.wild.test"] }));
        await publish(vhost("exact.wild.test"));
        expect(facts(await get("other.test")).server["SERVER_NAME"]).toBe("other.test");
        expect(facts(await get("a.b.wild.test")).server["SERVER_NAME"]).toBe("a.b.wild.test");
        expect((await get("wild.test.evil.test")).status).toBe(404);
        await publish(vhost("exact.wild.test", { enabled: false }));
        expect((await get("exact.wild.test")).status).toBe(503);
        expect((await get("inexact.wild.test")).status).toBe(200);
      });

      test("a name of 253 characters is served", async () => {
        const label = "a".repeat(60);
        const uri = `${label}.${label}.${label}.${label}.${"b".repeat(9)}`;
        expect(uri).toHaveLength(253);
        await publish(vhost(uri, { directory: "one.test" }));
        expect((await get(uri)).status).toBe(200);
        expect((await get(`c${uri.slice(1)}`)).status).toBe(404);
      });

      test("a sub-directory site is found before the site of its host, with its own base path", async () => {
        await publish(vhost("one.test/foo", { aliases: ["foo.test"] }));
        const foo = facts(await get("one.test/foo", "/node/1?x=y"));
        expect(foo.server).toMatchObject({
          SCRIPT_NAME: "/foo/index.php",
          PHP_SELF: "/foo/index.php",
          SCRIPT_FILENAME: join(docroot, "index.php"),
          REQUEST_URI: "/foo/node/1?x=y",
        });
        const bare = await get("one.test", "/foo?x=y");
        expect([bare.status, bare.headers["location"]]).toEqual([301, `http://one.test:${port}/foo/?x=y`]);
        expect(facts(await get("one.test", "/foobar")).server["SCRIPT_NAME"]).toBe("/index.php");
        expect((await get("one.test/foo", "/misc/style.css")).body).toContain("body");
        expect((await get("one.test/foo", "/files/hello.txt")).body).toContain("hello");
        expect((await get("one.test/foo", "/sites/one.test/settings.php")).status).toBe(404);
        expect(facts(await get("foo.test", "/x")).server["SCRIPT_NAME"]).toBe("/index.php");
        // its file's name is no host name
        expect((await get("one.test.foo")).status).toBe(404);
        await withdraw("one.test/foo", "foo.test");
        expect(facts(await get("one.test", "/foo")).server["SCRIPT_NAME"]).toBe("/index.php");
      });

      test("a sub-directory site is found below an alias of its host, and redirected with it", async () => {
        await publish(vhost("up.test", { aliases: ["www.up.test"] }));
        await publish(vhost("up.test/low"));
        expect(facts(await get("www.up.test", "/low/x")).server["SCRIPT_NAME"]).toBe("/low/index.php");
        await publish(vhost("up.test", { aliases: ["www.up.test"], redirection: "up.test" }));
        const answer = await get("www.up.test", "/low/x?y");
        expect([answer.status, answer.headers["location"]]).toEqual([301, `http://up.test:${port}/low/x?y`]);
      });

      test("an unknown host gets no site, in whatever spelling", async () => {
        for (const host of ["unknown.test", "127.0.0.1", "localhost", `localhost:${port}`, "test"]) {
          const answer = await get("one.test", "/install.php", { headers: { host } });
          expect([host, answer.status]).toEqual([host, 404]);
        }
      });

      test("a host name is taken without port, trailing dot and letter case; garbage is refused", async () => {
        for (const host of ["ONE.test", "one.test.", "One.Test.:99", "one.test:1"]) {
          expect(facts(await get("one.test", "/", { headers: { host } })).server["SERVER_NAME"]).toBe("one.test");
        }
        for (const host of [
          "one..test",
          "../one.test",
          "one.test/../two.test",
          "one_test",
          "a b",
          "-a.test",
          "one.test:x",
          `${"a.".repeat(130)}test`,
          "[::1]",
        ]) {
          const answer = await get("one.test", "/", { headers: { host } });
          // A port that is none is not looked at by every daemon.
          if (own) expect([host, answer.status]).toEqual([host, 400]);
          else if (host !== "one.test:x") expect([host, [400, 404].includes(answer.status)]).toEqual([host, true]);
        }
      });

      test("Drupal finds in $_SERVER what a real web server gives", async () => {
        const { server, cwd, get: query, env } = facts(await get("one.test", "/node/1/a%20b?x=1&y[]=2"));
        expect(server).toMatchObject({
          HTTP_HOST: `one.test:${port}`,
          SERVER_NAME: "one.test",
          SERVER_PORT: String(port),
          DOCUMENT_ROOT: docroot,
          SCRIPT_NAME: "/index.php",
          PHP_SELF: "/index.php",
          SCRIPT_FILENAME: join(docroot, "index.php"),
          REQUEST_URI: "/node/1/a%20b?x=1&y[]=2",
          QUERY_STRING: "x=1&y[]=2",
          REQUEST_METHOD: "GET",
          REMOTE_ADDR: "127.0.0.1",
        });
        for (const absent of ["HTTPS", "PATH_INFO", "HTTP_PROXY"]) expect(server).not.toHaveProperty(absent);
        expect(Object.keys(server).filter((name) => name.includes("PROVISION"))).toEqual([]);
        expect(env).toEqual([]);
        expect(cwd).toBe(docroot);
        expect(query).toEqual({ x: "1", y: ["2"] });
      });

      test("front controllers of the list run, with path info; Proxy is not believed", async () => {
        const update = facts(await get("one.test", "/update.php/selection?op=x", { headers: { proxy: "http://evil.test" } }));
        expect(update.controller).toBe("update.php");
        expect(update.server).toMatchObject({ SCRIPT_NAME: "/update.php", PATH_INFO: "/selection", PHP_SELF: "/update.php/selection" });
        expect(update.server).not.toHaveProperty("HTTP_PROXY");
        expect(facts(await get("one.test", "/core/cron.php")).controller).toBe("cron.php");
        expect(facts(await get("one.test", "/index.php/node/1")).server["PATH_INFO"]).toBe("/node/1");
      });

      test.runIf(own)("a visitor cannot pose as the front", async () => {
        const { server } = facts(
          await get("one.test", "/", {
            headers: { "x-provision-client": "9.9.9.9", x_provision_client: "9.9.9.8", "x-forwarded-for": "8.8.8.8" },
          }),
        );
        expect(server["REMOTE_ADDR"]).toBe("127.0.0.1");
        expect(server["HTTP_X_FORWARDED_FOR"]).toBe("8.8.8.8, 127.0.0.1");
      });

      test("a posted body arrives whole, cookies come back separately", async () => {
        const body = `a=${"x".repeat(300_000)}`;
        const answer = await get("one.test", "/user", { method: "POST", body, headers: { "content-type": "text/plain" } });
        expect(facts(answer).post).toBe(body);
        expect(answer.headers["set-cookie"]).toBe("a=1\nb=2");
      });

      test.each(FORBIDDEN.map((path) => [path]))("refuses /%s", async (path) => {
        for (const spelled of [
          `/${path}`,
          `//${path}`,
          `/${path.replace(/[a-z]/, (letter) => `%${letter.charCodeAt(0).toString(16)}`)}`,
          `/${path}?a=b.css`,
        ]) {
          const answer = await get("one.test", spelled);
          expect(answer.body).not.toContain(SECRET);
          expect([spelled, answer.status]).toEqual([spelled, 404]);
        }
      });

      test.each([
        "/modules/evil.php/x.css",
        "/modules/evil.PHP",
        "/modules/evil.php/",
        "/modules/evil.php%00.css",
        "/modules/evil.php%2500.css",
        "/modules/evil%2ephp",
        "/modules/evil%252ephp",
        "/modules%5cevil.php",
        "/modules\\evil.php",
        "/misc/../install.php",
        "/misc/%2e%2e/install.php",
        "/misc/%2e%2e%2finstall.php",
        "/misc/%252e%252e%252finstall.php",
        "/misc/..%5c..%5cinstall.php",
        "/%c0%ae%c0%ae/install.php",
        "/../../../../etc/passwd",
        "/files/../private/key.txt",
        "/files/%2e%2e/private/key.txt",
        "/files/evil.php",
        "/files/evil.php/x.jpg",
        "/files/evil-link.txt",
        "/files/link.txt",
        "/files/linked/key.txt",
        "/files/.htaccess",
        "/files/private/key.txt",
        "/files/config_abc/active.txt",
        "/files/php/twig/x.txt",
        "/sites/one.test/files/link.txt",
        "/sites/one.test/files/evil.php",
        "/sites/other/files/.htaccess",
        "/sites/one.test/files//private/key.txt",
        "/sites/one.test//settings.php",
        "/SITES/one.test/settings.php",
        "/update.php/../settings.php",
        "/index.php/.git/config",
        "/INSTALL.PHP",
        "/install.php/",
        "/install.php/x",
        "/core/install.php/x",
        "/.well-known/../.env",
      ])("shows nothing at %s", async (path) => {
        const answer = await get("one.test", path);
        expect(answer.body).not.toContain(SECRET);
        expect(answer.body).not.toContain("root:x:");
        if (/evil(?!-link)|install|settings|private/i.test(path)) expect([400, 403, 404]).toContain(answer.status);
        else expect([200, 400, 403, 404]).toContain(answer.status);
      });

      test.each([
        "/services",
        "/settings",
        "/tag",
        "/template",
        "/license",
        "/update",
        "/readme",
        "/node/1.5",
        "/a.b/c",
        "/user/reset/1/2/a-_b",
      ])("the page %s is Drupal's, not refused", async (path) => {
        expect(facts(await get("one.test", path)).controller).toBe("index.php");
      });

      test("static files have type, length, validators and a life-time; dev.* hosts are not cached", async () => {
        await publish(vhost("dev.test-site.test"));
        const css = await get("one.test", "/misc/style.css");
        expect(css).toMatchObject({ status: 200, body: "body { color: black }\n" });
        expect(css.headers).toMatchObject({
          "content-type": "text/css; charset=utf-8",
          "content-length": "22",
          "cache-control": "max-age=1209600",
          "x-content-type-options": "nosniff",
        });
        expect((await get("one.test", "/files/styles/thumb/a.jpg")).headers).toMatchObject({
          "content-type": "image/jpeg",
          "cache-control": "max-age=31536000",
        });
        expect((await get("dev.test-site.test", "/misc/style.css")).headers["cache-control"]).toBe("no-cache");
        const head = await get("one.test", "/misc/style.css", { method: "HEAD" });
        expect([head.status, head.body, head.headers["content-length"]]).toEqual([200, "", "22"]);
        const { etag = "", "last-modified": modified = "" } = css.headers;
        for (const headers of [{ "if-none-match": etag }, { "if-none-match": `"x", W/${etag}` }, { "if-modified-since": modified }]) {
          const unchanged = await get("one.test", "/misc/style.css", { headers });
          expect([unchanged.status, unchanged.body]).toEqual([304, ""]);
        }
        expect(
          (await get("one.test", "/misc/style.css", { headers: { "if-none-match": '"x"', "if-modified-since": modified } })).status,
        ).toBe(200);
        expect((await get("one.test", "/misc/style.css", { method: "POST", body: "" })).status).toBe(405);
      });

      test("a part of a file can be asked for", async () => {
        const part = (range: string) => get("one.test", "/misc/digits.txt", { headers: { range } });
        const cases: [string, number, string, string | undefined][] = [
          ["bytes=2-4", 206, "234", "bytes 2-4/10"],
          ["bytes=7-", 206, "789", "bytes 7-9/10"],
          ["bytes=-2", 206, "89", "bytes 8-9/10"],
          ["bytes=8-99", 206, "89", "bytes 8-9/10"],
          ["bytes=0-1,3-4", 200, "0123456789", undefined],
        ];
        for (const [range, status, body, content] of cases) {
          const answer = await part(range);
          expect([range, answer.status, answer.body, answer.headers["content-range"]]).toEqual([range, status, body, content]);
        }
        expect((await part("bytes=10-")).status).toBe(416);
      });

      test("files come from the site's generation, whichever site the path names", async () => {
        for (const path of [
          "/files/hello.txt",
          "/sites/one.test/files/hello.txt",
          "/sites/default/files/hello.txt",
          // nginx and Apache cannot tell where a link leads, and follow none there.
          ...(own ? ["/files/inner-link.txt"] : []),
        ]) {
          expect([path, (await get("one.test", path)).body]).toEqual([path, "hello of the generation\n"]);
        }
      });

      test("what is not there is Drupal's to make or to miss", async () => {
        for (const path of [
          "/sites/one.test/files/styles/new/a.jpg",
          "/sites/one.test/files/css/css_x.css",
          "/files/js/js_x.js",
          "/system/files/x.pdf",
          "/misc/",
          "/no.css",
        ]) {
          expect([path, facts(await get("one.test", path)).controller]).toEqual([path, "index.php"]);
        }
      });

      test("robots.txt and favicon.ico: the site's own, the platform's, nothing", async () => {
        expect((await get("one.test", "/robots.txt")).body).toBe("User-agent: docroot\n");
        expect((await get("one.test", "/favicon.ico")).status).toBe(204);
        writeFileSync(join(one.files, "robots.txt"), "User-agent: site\n");
        writeFileSync(join(one.files, "favicon.ico"), "icon");
        expect((await get("one.test", "/robots.txt")).body).toBe("User-agent: site\n");
        expect((await get("one.test", "/favicon.ico")).body).toBe("icon");
      });

      test("a site whose platform is gone says so and disturbs no other", async () => {
        await publish(vhost("gone.test", { docroot: join(root, "nowhere") }));
        expect((await get("gone.test")).status).toBeGreaterThanOrEqual(own ? 500 : 403);
        expect((await get("one.test")).status).toBe(200);
      });

      test.runIf(own)("the marker is told to nobody without the token", async () => {
        const answer = await ask({
          port,
          path: "/.well-known/provision?file=one.test.json",
          headers: { host: `one.test:${port}`, "x-provision-token": "x", "x-provision-marker": "one.test.json" },
          timeout: 10_000,
        });
        expect(facts(answer).controller).toBe("index.php");
      });
    });
  });
}
