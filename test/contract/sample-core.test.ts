import { cp, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scope } from "../../src/core/scope.js";
import { drupal7 } from "../../src/engines/drupal7/index.js";
import type { SiteCode } from "../../src/engines/engine.js";
import { LocalHost } from "../../src/host/local.js";
import { installInput, makeSite } from "../support/engine-site.js";
import { PhpServer, sessionCookie } from "../support/php-server.js";

const SAMPLE = fileURLToPath(new URL("../../src/demo/sample", import.meta.url));

describe("the bundled sample core, in a browser", () => {
  const host = new LocalHost(new Scope());
  let hub: string;
  let server: PhpServer;
  let site: SiteCode & { readonly database: string };

  const query = async (statement: string) =>
    (await host.run(["php", "-r", "echo (new PDO('sqlite:' . $argv[1]))->query($argv[2])->fetchColumn();", site.database, statement]))
      .stdout;
  const link = async () => PhpServer.path((await drupal7.login(site, 1)).result.url);

  beforeAll(async () => {
    hub = await mkdtemp(join(tmpdir(), "provision-sample-"));
    const docroot = join(hub, "platform");
    await cp(SAMPLE, docroot, { recursive: true });
    server = await PhpServer.start(docroot);
    site = await makeSite(drupal7, host, hub, docroot, "a.test", { url: `http://a.test:${server.port}` });
    await drupal7.install(site, installInput());
    const other = await makeSite(drupal7, host, hub, docroot, "b.test");
    await drupal7.install(other, installInput({ siteName: "B" }));
  });
  afterAll(async () => {
    await server.stop();
    await host.remove(hub);
  });

  it("shows the site's name, escaped, and says that it is not Drupal", async () => {
    const page = await server.get("a.test", "/");
    expect(page.status).toBe(200);
    expect(page.body).toContain("<title>O&#039;Neil &amp; &lt;Söhne&gt;</title>");
    expect(page.body).toContain("This is not Drupal.");
    expect(page.body).not.toContain("<Söhne>");
  });

  it("gives each host name its own site", async () => {
    expect((await server.get("b.test", "/")).body).toContain("<title>B</title>");
  });

  it("has a public file in the site's files", async () => {
    expect(await server.get("a.test", "/sites/a.test/files/sample.txt")).toMatchObject({
      status: 200,
      body: "A public file of O'Neil & <Söhne>.\n",
    });
  });

  it("a login link logs in, once", async () => {
    const path = await link();
    const answer = await server.get("a.test", path);
    expect(answer.status).toBe(302);
    expect(answer.headers.location).toBe(`http://a.test:${server.port}/user/1`);
    const cookie = sessionCookie(answer) ?? "";
    expect(await server.get("a.test", "/user/1", { Cookie: cookie })).toMatchObject({ status: 200 });
    expect((await server.get("a.test", path)).status).toBe(403);

    expect((await server.get("a.test", "/user/logout", { Cookie: cookie })).status).toBe(302);
    expect((await server.get("a.test", "/user/1", { Cookie: cookie })).status).toBe(403);
  });

  it("two links made and used within one second work once each", async () => {
    for (let round = 0; round < 2; round++) {
      const path = await link();
      expect((await server.get("a.test", path)).status).toBe(302);
      expect((await server.get("a.test", path)).status).toBe(403);
    }
  });

  it("refuses a link of another site, one that was changed, and one that has expired", async () => {
    const path = await link();
    expect((await server.get("b.test", path)).status).toBe(403);
    expect(
      (
        await server.get(
          "a.test",
          path.replace(/\/(\d+)\/([\w-]+)\/login$/, (_, time, hash) => `/${Number(time) - 1}/${hash}/login`),
        )
      ).status,
    ).toBe(403);
    const script = `define('DRUPAL_ROOT', $argv[1]); chdir(DRUPAL_ROOT); $_SERVER['HTTP_HOST'] = 'a.test'; $_SERVER['SCRIPT_NAME'] = '/index.php'; require 'includes/bootstrap.inc'; drupal_bootstrap(DRUPAL_BOOTSTRAP_FULL); $t = time() - 90000; echo "/user/reset/1/$t/" . user_pass_rehash(user_load(1), $t) . '/login';`;
    const expired = await host.run(["php", "-r", script, site.docroot]);
    expect(expired.stdout).toMatch(/^\/user\/reset\/1\/\d+\/[\w-]+\/login$/);
    expect((await server.get("a.test", expired.stdout)).status).toBe(403);
    expect((await server.get("a.test", path)).status).toBe(302);
  });

  it("keeps a link's first half from logging in, so that a mail scanner does not use it up", async () => {
    const path = await link();
    const asking = await server.get("a.test", path.replace(/\/login$/, ""));
    expect(asking.status).toBe(200);
    expect(sessionCookie(asking)).toBeUndefined();
    expect((await server.get("a.test", path)).status).toBe(302);
  });

  it("keeps only a hash of the session in the database", async () => {
    const cookie = sessionCookie(await server.get("a.test", await link())) ?? "";
    expect(await query("SELECT sid FROM sessions ORDER BY created DESC LIMIT 1")).not.toBe(cookie.split("=")[1]);
  });

  it("runs cron for whoever knows the key, and for nobody else", async () => {
    expect((await server.get("a.test", "/cron.php")).status).toBe(403);
    expect((await server.get("a.test", "/cron.php?cron_key[]=x")).status).toBe(403);
    expect((await drupal7.status(site)).result.lastCron).toBe(0);
    const key = /"(.*)"/.exec(await query("SELECT value FROM variable WHERE name = 'cron_key'"))?.[1];
    expect((await server.get("a.test", `/cron.php?cron_key=${key}`)).status).toBe(200);
    expect((await drupal7.status(site)).result.lastCron).toBeGreaterThan(0);
  });

  it("answers 503 to visitors in maintenance mode, and still lets the administrator in", async () => {
    await drupal7.maintenance(site, true);
    const page = await server.get("a.test", "/");
    expect(page).toMatchObject({ status: 503, headers: { "retry-after": "60" } });
    const cookie = sessionCookie(await server.get("a.test", await link())) ?? "";
    expect((await server.get("a.test", "/", { Cookie: cookie })).status).toBe(200);
    await drupal7.maintenance(site, false);
    expect((await server.get("a.test", "/")).status).toBe(200);
  });

  it.each([
    ["a page that is not there", "/no/such/page", 404],
    ["an account without a login", "/user/1", 403],
    ["the updates without a login", "/update.php", 403],
    ["the installer", "/install.php", 403],
    ["remote calls", "/xmlrpc.php", 404],
    ["a broken path", "/user/reset/1/x", 404],
  ])("refuses %s", async (_, path, status) => {
    expect((await server.get("a.test", path)).status).toBe(status);
  });

  it("sends a host name that no site has to the installer, which installs nothing", async () => {
    expect(await server.get("stranger.test", "/")).toMatchObject({
      status: 302,
      headers: { location: `http://stranger.test:${server.port}/install.php` },
    });
  });
});
