import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type WebHub, webHub } from "../support/web-hub.js";
import { missing } from "../support/web-servers.js";

for (const type of ["nginx", "apache"] as const) {
  const absent = missing(type);
  describe.skipIf(absent !== undefined)(`the life of a site on ${type}${absent === undefined ? "" : ` (${absent})`}`, () => {
    let web: WebHub;

    beforeAll(async () => {
      web = await webHub(type);
    }, 120_000);
    afterAll(() => web?.remove());

    test("a server verified again changes nothing", async () => {
      await web.hub.ok("verify @server_master");
      expect((await web.hub.document("verify @server_master")).counts.changed).toBe(0);
    });

    test("doctor finds the web server well", async () => {
      const { data } = await web.hub.document("doctor");
      const findings = data?.["findings"] as { check: string; ok: boolean; message: string }[];
      expect(findings.filter(({ check }) => check === "http of @server_master")).toEqual([
        { check: "http of @server_master", ok: true, message: `${type} is well` },
      ]);
    });

    test("install: the site answers through PHP-FPM, and its login link works", async () => {
      await web.hub.saveSite("site.test", "--aliases=www.site.test");
      const { data } = await web.hub.document("install @site.test");
      expect((await web.get("site.test", "/")).body).toContain("<title>");
      expect((await web.get("www.site.test", "/")).status).toBe(200);
      const { pathname, search } = new URL(String(data?.["login"]));
      expect((await web.get("site.test", pathname + search)).status).toBe(302);
    });

    test("a second verify changes nothing and reloads nothing", async () => {
      const generation = web.hub.path(`config/server_master/${type}/include/generation.conf`);
      const before = readFileSync(generation, "utf8");
      expect((await web.hub.document("verify @site.test")).counts.changed).toBe(0);
      expect(readFileSync(generation, "utf8")).toBe(before);
    });

    test("disable answers 503 with Retry-After, enable serves again", async () => {
      await web.hub.ok("disable @site.test");
      const closed = await web.get("site.test", "/");
      expect([closed.status, closed.headers["retry-after"]]).toEqual([503, "3600"]);
      await web.hub.ok("enable @site.test");
      expect((await web.get("site.test", "/")).status).toBe(200);
    });

    test("a daemon that was killed and started again serves the same", async () => {
      await web.daemon.kill();
      const down = await web.hub.document("disable @site.test");
      expect([down.exit, down.error?.code]).toEqual([69, "SERVICE_UNAVAILABLE"]);
      await web.startAgain();
      expect((await web.get("site.test", "/")).status).toBe(200);
      expect((await web.hub.document("verify @site.test")).counts.changed).toBe(0);
    });

    test("a rebuilt platform: PHP is started anew", async () => {
      await web.hub.ok("verify @platform_p --rebuild");
      expect((await web.get("site.test", "/")).status).toBe(200);
    });

    test("delete leaves no file of the site behind, and nobody answers", async () => {
      await web.hub.ok("delete @site.test --no-backup --yes");
      expect((await web.get("site.test", "/")).status).toBe(404);
      expect(existsSync(web.hub.path(`config/server_master/${type}/vhost.d/site.test.conf`))).toBe(false);
    });

    test("files of the operator stay as they are", async () => {
      const own = ["pre.d/own.conf", "post.d/own.conf", "vhost.d/own.conf"].map((name) =>
        web.hub.path(`config/server_master/${type}/${name}`),
      );
      for (const path of own) writeFileSync(path, "# the operator's\n");
      await web.hub.saveSite("two.test");
      await web.hub.ok("install @two.test");
      await web.hub.ok("verify @server_master @two.test");
      await web.hub.ok("delete @two.test --no-backup --yes");
      for (const path of own) expect(readFileSync(path, "utf8")).toBe("# the operator's\n");
    });
  });
}
