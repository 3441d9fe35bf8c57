import { cp, mkdtemp, readFile, rename, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scope } from "../../src/core/scope.js";
import { drupal7 } from "../../src/engines/drupal7/index.js";
import type { SiteCode } from "../../src/engines/engine.js";
import { LocalHost } from "../../src/host/local.js";
import { installInput, makeSite } from "../support/engine-site.js";
import { engineSuite } from "../support/engine-suite.js";
import { engineUpdateSuite } from "../support/engine-update-suite.js";
import { failure } from "../support/failure.js";
import { PhpServer, sessionCookie } from "../support/php-server.js";
import { plant7 } from "../support/plant.js";
import { sqlite } from "../support/sqlite.js";

/** An unpacked Drupal 7, and a later one; they are copied, and never changed. */
const { PROVISION_TEST_DRUPAL7: tree, PROVISION_TEST_DRUPAL7_NEXT: next } = process.env;

if (tree === undefined || tree === "") {
  describe("Drupal 7 engine on a real Drupal 7", () => {
    it.skip("SKIPPED: PROVISION_TEST_DRUPAL7 names no unpacked Drupal 7 tree", () => {});
  });
} else {
  describe.runIf(next)(`Drupal 7 of ${tree}, updated to that of ${next} with a renamed profile and a moved module`, () => {
    const host = new LocalHost(new Scope());
    let hub: string;
    let docroot: string;
    let site: SiteCode;

    beforeAll(async () => {
      hub = await mkdtemp(join(tmpdir(), "provision-upgrade-"));
      docroot = join(hub, "platform");
      await cp(tree, docroot, { recursive: true });
      await plant7.lay(docroot);
      site = await makeSite(drupal7, host, hub, docroot, "a.test");
      await drupal7.install(site, installInput({ profile: "acme" }));
      // As a platform is rebuilt: new code, the same sites/.
      await rename(docroot, join(hub, "old"));
      await cp(next ?? "", docroot, { recursive: true });
      await host.run(["cp", "-a", `${hub}/old/sites/.`, `${docroot}/sites`]);
      await cp(join(hub, "old/profiles/acme"), join(docroot, "profiles/acme"), { recursive: true });
      await plant7.renew(docroot, "exception");
      await plant7.move(docroot);
    });
    afterAll(() => host.remove(hub));

    it("runs core's updates and the module's, stops at the one that fails, and then comes to the end; pages are served", async () => {
      expect((await drupal7.renameProfile(site, { from: "acme", to: "acme2" })).result.renamed).toBe(true);
      expect((await drupal7.rebuild(site)).warnings).toEqual([]);
      const { updates } = (await drupal7.pendingUpdates(site)).result;
      expect(updates.map(({ extension }) => extension)).toEqual(expect.arrayContaining(["system", "plant", "acme2"]));
      const system = updates.find(({ extension }) => extension === "system");
      expect(system?.name).toMatch(/^system_update_70\d\d$/);
      await drupal7.maintenance(site, true);
      const error = await failure(drupal7.update(site));
      expect(error.code).toBe("UPDATEDB_FAILED");
      expect(error.message).toContain("plant_update_7003 of plant failed");
      expect(error.why.join("\n")).toMatch(/ran before it: .*plant_update_7002/);
      expect((await drupal7.status(site)).result.maintenance).toBe(true);
      expect((await drupal7.inventory(site)).result.extensions.find(({ name }) => name === "plant")).toMatchObject({ schema: 7002 });

      const install = join(docroot, "profiles/acme2/modules/plant/plant.install");
      await writeFile(install, (await readFile(install, "utf8")).replace("throw new Exception('the planted update failed');", ""));
      expect((await drupal7.update(site)).result.ran.length).toBeGreaterThan(0);
      await drupal7.maintenance(site, false);
      expect((await drupal7.pendingUpdates(site)).result.updates).toEqual([]);
      expect((await drupal7.inventory(site)).result.missing).toEqual([]);
      const server = await PhpServer.start(docroot);
      try {
        expect((await server.get("a.test", "/user/login")).status).toBe(200);
      } finally {
        await server.stop();
      }
    });
  });

  const copied = async (docroot: string) => {
    await cp(tree, docroot, { recursive: true });
    return docroot;
  };

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

    it("text fields name files by their new paths after a rewrite, in revisions too", async () => {
      const sql = (statement: string) => sqlite(host, site.database, statement);
      const body = '<img src="/sites/a.test/files/x.png"> <a href="/sites/a.test.example/files/y">y</a>';
      for (const table of ["field_data_body", "field_revision_body"]) {
        await sql(
          `INSERT INTO ${table} (entity_type, bundle, deleted, entity_id, revision_id, language, delta, body_value, body_summary, body_format)
           VALUES ('node', 'page', 0, 1, 1, 'und', 0, '${body}', '', 'full_html')`,
        );
      }
      await sql("INSERT INTO variable (name, value) VALUES ('x_nested', 'a:1:{s:4:\"path\";s:24:\"sites/a.test/files/a.css\";}')");
      const pairs = [{ from: "sites/a.test/files", to: "sites/b.test/files" }];
      const { result, warnings } = await drupal7.rewritePaths(site, { pairs });
      expect(warnings).toEqual([]);
      expect(result).toEqual({
        changed: [
          { where: "field_data_body.body_value", count: 1 },
          { where: "field_revision_body.body_value", count: 1 },
          { where: "variable x_nested", count: 1 },
        ],
        left: [],
      });
      const changed = body.replace("sites/a.test/files", "sites/b.test/files");
      expect(await sql("SELECT body_value FROM field_revision_body")).toEqual([[changed]]);
      expect((await drupal7.rewritePaths(site, { pairs })).result).toEqual({ changed: [], left: [] });
      expect((await server.get("a.test", "/")).status).toBe(200);
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
      await drupal7.maintenance(site, true);
      expect((await server.get("a.test", "/")).status).toBe(503);
      await drupal7.maintenance(site, false);
      expect((await server.get("a.test", "/")).status).toBe(200);
      expect((await drupal7.cron(site)).result.lastCron).toBeGreaterThan(0);
    });
  });

  engineSuite(drupal7, `the real Drupal 7 in ${tree}`, copied, /^7\.\d+$/);
  engineUpdateSuite(drupal7, `the real Drupal 7 in ${tree}`, copied, plant7);
}
