import { cp, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scope } from "../../src/core/scope.js";
import { drupal7 } from "../../src/engines/drupal7/index.js";
import type { SiteCode } from "../../src/engines/engine.js";
import { LocalHost } from "../../src/host/local.js";
import { installInput, makeSite } from "../support/engine-site.js";
import { engineSuite } from "../support/engine-suite.js";
import { PhpServer, sessionCookie } from "../support/php-server.js";

/** An unpacked Drupal 7; it is copied, and never changed. */
const { PROVISION_TEST_DRUPAL7: tree } = process.env;

if (tree === undefined || tree === "") {
  describe("Drupal 7 engine on a real Drupal 7", () => {
    it.skip("SKIPPED: PROVISION_TEST_DRUPAL7 names no unpacked Drupal 7 tree", () => {});
  });
} else {
  describe(`a site of the real Drupal 7 in ${tree}, in a browser`, () => {
    const host = new LocalHost(new Scope());
    let hub: string;
    let server: PhpServer;
    let site: SiteCode & { readonly database: string };

    beforeAll(async () => {
      hub = await mkdtemp(join(tmpdir(), "provision-real-"));
      const docroot = join(hub, "platform");
      await cp(tree, docroot, { recursive: true });
      server = await PhpServer.start(docroot);
      site = await makeSite(drupal7, host, hub, docroot, "a.test", { url: `http://a.test:${server.port}` });
      await drupal7.install(site, installInput({ profile: "standard" }));
    });
    afterAll(async () => {
      await server.stop();
      await host.remove(hub);
    });

    it("shows the site's name", async () => {
      const page = await server.get("a.test", "/");
      expect(page.status).toBe(200);
      expect(page.body).toMatch(/<title>.*O&#039;Neil &amp; &lt;Söhne&gt;<\/title>/);
    });

    it("a login link logs in, once", async () => {
      const path = PhpServer.path((await drupal7.login(site, 1)).result.url);
      const answer = await server.get("a.test", path);
      expect(answer).toMatchObject({ status: 302, headers: { location: expect.stringContaining("/user/1/edit") } });
      const cookie = sessionCookie(answer) ?? "";
      expect((await server.get("a.test", "/user/1/edit", { Cookie: cookie })).status).toBe(200);
      expect((await server.get("a.test", path)).headers.location).not.toContain("/user/1/edit");
    });

    it("answers 503 to visitors in maintenance mode", async () => {
      await drupal7.maintenance(site, true);
      expect((await server.get("a.test", "/")).status).toBe(503);
      await drupal7.maintenance(site, false);
      expect((await server.get("a.test", "/")).status).toBe(200);
    });

    it("still answers the bridge when it caches pages for visitors", async ({ skip }) => {
      await host.run([
        "php",
        "-r",
        "(new PDO('sqlite:' . $argv[1]))->exec(\"INSERT OR REPLACE INTO variable (name, value) VALUES ('cache', 'i:1;')\");",
        site.database,
      ]);
      await drupal7.cacheClear(site);
      await server.get("a.test", "/");
      const cached = (await server.get("a.test", "/")).headers["x-drupal-cache"];
      const { version } = (await drupal7.status(site)).result;
      skip(
        cached !== "HIT" && Number(version.split(".")[1]) < 90,
        "a core older than its PHP queues messages for deprecations, and caches no page",
      );
      expect(cached).toBe("HIT");
      expect((await drupal7.cron(site)).result.lastCron).toBeGreaterThan(0);
    });
  });

  engineSuite(drupal7, `the real Drupal 7 in ${tree}`, (docroot) => cp(tree, docroot, { recursive: true }), /^7\.\d+$/);
}
