import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { ask } from "../../src/services/http/ask.js";
import type { HttpAnswer } from "../../src/services/http/service.js";
import { freePort } from "./php-server.js";
import { type WebHub, webHub } from "./web-hub.js";
import { type DaemonType, missing } from "./web-servers.js";

/** What no visitor may ever read. */
const SECRET = "TOP-SECRET";

interface Probe {
  readonly what: string;
  /** `https://a.test/x`; ports are put in. */
  readonly url: string;
  readonly status: readonly number[];
  /** Core says so itself, or must not have been asked. */
  readonly core?: boolean;
  readonly location?: string;
  readonly headers?: Readonly<Record<string, string | RegExp>>;
  readonly body?: RegExp;
  readonly auth?: true;
  readonly post?: string;
}

const A = "https://a.test";
const refused = [403, 404];

/** Probes that mean nothing for a site without https. */
const OF_HTTPS = ["HSTS", "http goes to https"];

/** The same for nginx and Apache, with sites that the command line installed: core, PHP-FPM and web server together. */
const PROBES: readonly Probe[] = [
  { what: "the front page", url: `${A}/`, status: [200], core: true, body: /<title>/ },
  { what: "a clean URL", url: `${A}/user/login`, status: [200, 403, 404], core: true },
  { what: "a page that core does not have", url: `${A}/no-such-page`, status: [404], core: true },
  { what: "a page with dots", url: `${A}/a.b/c.d`, status: [404], core: true },
  { what: "a page called as a script", url: `${A}/search/node/node.js`, status: [404], core: true },
  { what: "HSTS", url: `${A}/`, status: [200], headers: { "strict-transport-security": "max-age=3600" } },
  {
    what: "a static file of core",
    url: `${A}/misc/sample.css`,
    status: [200],
    core: false,
    headers: { "cache-control": "max-age=1209600", "content-type": /^text\/css/, "x-content-type-options": "nosniff" },
  },
  { what: "a file of the site", url: `${A}/sites/a.test/files/one.png`, status: [200], core: false, body: /png/ },
  { what: "a file of the site by its short path", url: `${A}/files/one.png`, status: [200], core: false, body: /png/ },
  { what: "a file of the site by another site's path", url: `${A}/sites/b.test/files/one.png`, status: [200], core: false, body: /png/ },
  {
    what: "an image style that is there",
    url: `${A}/sites/a.test/files/styles/thumb/public/one.png`,
    status: [200],
    core: false,
    headers: { "cache-control": "max-age=31536000" },
  },
  { what: "an image style that core has to make", url: `${A}/sites/a.test/files/styles/thumb/public/two.png`, status: [404], core: true },
  { what: "an aggregate that core has to make", url: `${A}/sites/a.test/files/css/css_x.css`, status: [404], core: true },
  { what: "a private download, which core decides", url: `${A}/system/files/x.txt`, status: [403, 404], core: true },
  { what: "a static file that is missing", url: `${A}/misc/none.css`, status: [404], core: true },
  { what: "a directory", url: `${A}/misc/`, status: [404], core: true },
  { what: "PHP among the files", url: `${A}/sites/a.test/files/evil.php`, status: refused },
  { what: "PHP among the files with more path", url: `${A}/sites/a.test/files/evil.php/x.png`, status: refused },
  { what: "a file with a PHP path behind it", url: `${A}/sites/a.test/files/one.png/x.php`, status: refused },
  { what: "PHP among the files by the short path", url: `${A}/files/evil.php`, status: refused },
  { what: "PHP in vendor", url: `${A}/vendor/x.php`, status: refused },
  { what: "PHP of a module", url: `${A}/sites/all/modules/x.php`, status: refused },
  { what: ".env", url: `${A}/.env`, status: refused },
  { what: ".git/config", url: `${A}/.git/config`, status: refused },
  { what: ".htaccess", url: `${A}/.htaccess`, status: refused },
  { what: "settings.php", url: `${A}/sites/a.test/settings.php`, status: refused },
  { what: "sites.php", url: `${A}/sites/sites.php`, status: refused },
  { what: "the private directory", url: `${A}/sites/a.test/private/x.txt`, status: refused },
  { what: "a private directory among the files", url: `${A}/sites/a.test/files/private/x.txt`, status: refused },
  { what: "a dump among the files", url: `${A}/sites/a.test/files/dump.sql`, status: refused },
  { what: "a compressed dump", url: `${A}/sites/a.test/files/dump.sql.gz`, status: refused },
  { what: "an .info file", url: `${A}/modules/system/system.info`, status: refused },
  { what: "a .module file", url: `${A}/modules/system/system.module`, status: refused },
  { what: "an .inc file", url: `${A}/includes/bootstrap.inc`, status: refused },
  { what: "an .install file", url: `${A}/modules/system/system.install`, status: refused },
  { what: "CHANGELOG.txt", url: `${A}/CHANGELOG.txt`, status: refused },
  { what: "web.config", url: `${A}/web.config`, status: refused },
  { what: "composer.lock", url: `${A}/composer.lock`, status: refused },
  { what: "an editor's copy", url: `${A}/index.php~`, status: refused },
  { what: "the installer", url: `${A}/install.php`, status: refused },
  { what: "the installer with more path", url: `${A}/install.php/x`, status: refused },
  { what: "a path that climbs, encoded", url: `${A}/sites/a.test/files/..%2f..%2f..%2f.env`, status: [400, 403, 404] },
  { what: "a path that climbs, encoded twice", url: `${A}/misc/%252e%252e%252f.env`, status: [400, 403, 404] },
  { what: "robots.txt", url: `${A}/robots.txt`, status: [200], core: false },
  { what: "favicon.ico", url: `${A}/favicon.ico`, status: [200, 204], core: false },
  { what: "update.php is for the first account", url: `${A}/update.php`, status: [403], core: true },
  { what: "update.php with more path", url: `${A}/update.php/selection`, status: [403], core: true },
  { what: "cron.php wants its key", url: `${A}/cron.php`, status: [403], body: /key/ },
  { what: "xmlrpc.php is core's to answer", url: `${A}/xmlrpc.php`, status: [404], post: "x", body: /XML-RPC/ },
  { what: "http goes to https", url: "http://a.test/x?y=1", status: [301], location: "https://a.test/x?y=1" },
  { what: "an alias goes to the one name", url: "https://www.a.test/x", status: [301], location: "https://a.test/x" },
  { what: "ACME at a site that sends on", url: "http://a.test/.well-known/acme-challenge/token", status: [200], body: /^answer$/ },
  { what: "ACME without such a token", url: "http://a.test/.well-known/acme-challenge/none", status: [404] },
  { what: "a site with a password", url: "http://b.test/", status: [401], headers: { "www-authenticate": /Basic realm="b\.test"/ } },
  { what: "the same with it", url: "http://b.test/", status: [200], core: true, auth: true },
  { what: "its alias with it", url: "http://alias.b.test/", status: [200], core: true, auth: true },
  { what: "its files without it", url: "http://b.test/misc/sample.css", status: [401] },
  { what: "ACME at a site with a password", url: "http://b.test/.well-known/acme-challenge/token", status: [200], body: /^answer$/ },
  {
    what: "a disabled site",
    url: "http://off.test/any",
    status: [503],
    core: false,
    headers: { "retry-after": "3600", "cache-control": "no-store" },
  },
  { what: "ACME at a disabled site", url: "http://off.test/.well-known/acme-challenge/token", status: [200], body: /^answer$/ },
  { what: "an unknown name", url: "http://zzz.test/", status: [404], core: false },
  { what: "the installer at an unknown name", url: "http://zzz.test/install.php", status: [404], core: false },
  { what: "ACME at an unknown name", url: "http://zzz.test/.well-known/acme-challenge/token", status: [200], body: /^answer$/ },
  { what: "a sub-directory site without its slash", url: `${A}/foo`, status: [301], location: "https://a.test/foo/" },
  {
    what: "the front page of a sub-directory site",
    url: `${A}/foo/`,
    status: [200],
    core: true,
    body: /a\.test\/foo[\s\S]*href="\/foo\/misc\/sample\.css/,
  },
  { what: "a page of a sub-directory site", url: `${A}/foo/no-such-page`, status: [404], core: true },
  { what: "a static file of a sub-directory site", url: `${A}/foo/misc/sample.css`, status: [200], core: false },
  { what: "a file of a sub-directory site", url: `${A}/foo/sites/a.test.foo/files/foo.txt`, status: [200], core: false, body: /^foo$/ },
  { what: "settings.php of a sub-directory site", url: `${A}/foo/sites/a.test.foo/settings.php`, status: refused },
  { what: "PHP among its files", url: `${A}/foo/sites/a.test.foo/files/evil.php`, status: refused },
  { what: "an .inc file below it", url: `${A}/foo/includes/bootstrap.inc`, status: refused },
  { what: "the installer below it", url: `${A}/foo/install.php`, status: refused },
  { what: "what begins with its name is the other site's", url: `${A}/foobar`, status: [404], core: true },
];

/** What a real Drupal 7 has or says where the fake core has or says another thing. */
const OF_DRUPAL_7: Readonly<Record<string, Partial<Probe>>> = {
  "cron.php wants its key": { body: /Access denied/ },
  "xmlrpc.php is core's to answer": { status: [200], body: /faultCode/ },
  "the front page of a sub-directory site": { body: /a\.test\/foo/ },
};

/**
 * The sites of these probes on one web server, installed by the command line, and every probe of them. `core`: directory of a real Drupal 7;
 * undefined: the fake core. `plain`: the first site has no https.
 */
export function probeSuite(type: DaemonType, { core, plain = false }: { readonly core?: string; readonly plain?: boolean } = {}): void {
  const absent = missing(type);
  const title = `probes of ${type}${core === undefined ? "" : `, Drupal 7, ${plain ? "plain" : "TLS"}`}`;
  const probes = PROBES.filter(({ what }) => !plain || !OF_HTTPS.includes(what)).map((probe) => {
    const own = core === undefined ? probe : { ...probe, ...OF_DRUPAL_7[probe.what] };
    const url = core === undefined ? own.url : own.url.replace("misc/sample.css", "misc/vertical-tabs.css");
    return plain ? { ...own, url: url.replace(/^https:/, "http:") } : { ...own, url };
  });
  describe.skipIf(absent !== undefined)(`${title}${absent === undefined ? "" : ` (${absent})`}`, () => {
    let web: WebHub;
    let tlsPort: number;
    let password = "";

    beforeAll(async () => {
      web = await webHub(type, core);
      const { hub } = web;
      tlsPort = await freePort();
      const [certificate, key] = [join(hub.base, "a.pem"), join(hub.base, "a.key")];
      spawnSync("openssl", [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=a.test"],
        ...[
          "-addext",
          "basicConstraints=critical,CA:FALSE",
          "-addext",
          "subjectAltName=DNS:a.test,DNS:www.a.test",
          "-keyout",
          key,
          "-out",
          certificate,
        ],
      ]);
      await hub.ok(`save @server_master --http_ssl_port=${tlsPort}`);
      await hub.ok("verify @server_master");
      await hub.saveSite(
        "a.test",
        "--aliases=www.a.test",
        "--redirection=a.test",
        ...(plain ? [] : ["--ssl=required", `--ssl_certificate=${certificate}`, `--ssl_certificate_key=${key}`, "--ssl_hsts=3600"]),
      );
      await hub.saveSite("b.test", "--aliases=alias.b.test", "--http_basic_auth_username=visitor");
      await hub.saveSite("off.test", "--no-site_enabled");
      await hub.saveSite("a.test/foo");
      for (const name of ["a.test", "b.test", "off.test", "a.test.foo"]) await hub.ok(`install @${name}`);
      password = String(parse(readFileSync(hub.path("secrets/b.test.yml"), "utf8")).http_basic_auth_password);
      const files = (uri: string) => hub.path(join("sites", uri, readdirSync(hub.path(`sites/${uri}`))[0] ?? "", "files"));
      const put = (path: string, text: string) => {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, text);
      };
      for (const name of ["one.png", "styles/thumb/public/one.png"]) put(join(files("a.test"), name), "png");
      for (const name of ["evil.php", "dump.sql", "dump.sql.gz", "private/x.txt"])
        put(join(files("a.test"), name), `<?php echo "${SECRET}";`);
      put(join(files("a.test.foo"), "foo.txt"), "foo");
      put(join(files("a.test.foo"), "evil.php"), `<?php echo "${SECRET}";`);
      for (const name of [
        ".env",
        ".git/config",
        "vendor/x.php",
        "sites/all/modules/x.php",
        "CHANGELOG.txt",
        "web.config",
        "composer.lock",
        "index.php~",
        "sites/a.test/private/x.txt",
      ])
        put(join(hub.docroot, name), `<?php echo "${SECRET}";`);
      // Modes of what was put there are as verify leaves them.
      for (const name of ["a.test", "a.test.foo"]) await hub.ok(`verify @${name}`);
      put(hub.path(`config/server_master/${type}/acme/.well-known/acme-challenge/token`), "answer");
    }, 180_000);
    afterAll(() => web?.remove());

    function fetch({ url, auth, post }: Probe): Promise<HttpAnswer> {
      const [, scheme, host = "", path = ""] = /^(https?):\/\/([^/]+)(.*)$/.exec(url) ?? [];
      const tls = scheme === "https";
      const port = tls ? tlsPort : web.hub.port;
      const authorization = `Basic ${Buffer.from(`visitor:${password}`).toString("base64")}`;
      return ask({
        port,
        path,
        headers: { host: `${host}:${port}`, ...(auth ? { authorization } : {}) },
        ...(post === undefined ? {} : { method: "POST", body: post }),
        ...(tls ? { tls: host } : {}),
        timeout: 30_000,
      });
    }

    test.each(probes.map((probe) => [probe.what, probe] as const))("%s", async (_what, probe) => {
      const answer = await fetch(probe);
      expect(probe.status, answer.body.slice(0, 400)).toContain(answer.status);
      expect(answer.body).not.toContain(SECRET);
      expect(answer.headers["server"] ?? "").not.toMatch(/\d/);
      if (probe.core !== undefined) expect("x-generator" in answer.headers).toBe(probe.core);
      if (probe.location !== undefined)
        expect(answer.headers["location"]).toBe(
          probe.location.replace(/^(https?):\/\/a\.test/, plain ? `http://a.test:${web.hub.port}` : `https://a.test:${tlsPort}`),
        );
      if (probe.body) expect(answer.body).toMatch(probe.body);
      for (const [name, value] of Object.entries(probe.headers ?? {}))
        expect(answer.headers[name]).toEqual(typeof value === "string" ? value : expect.stringMatching(value));
    });

    test("all of it verified again changes nothing and reloads nothing", async () => {
      const generation = web.hub.path(`config/server_master/${type}/include/generation.conf`);
      const before = readFileSync(generation, "utf8");
      const { results } = (
        await web.hub.provision(["verify", "@server_master", "@a.test", "@b.test", "@off.test", "@a.test.foo", "--json"])
      ).all;
      expect(results.map(({ counts }) => counts.changed)).toEqual([0, 0, 0, 0, 0]);
      expect(readFileSync(generation, "utf8")).toBe(before);
    });

    test("the password of a site reaches no log and no journal", () => {
      const state = spawnSync("grep", ["-rlF", password, web.hub.path("state"), web.hub.path("config")]);
      expect(String(state.stdout)).toBe("");
    });
  });
}
