import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask } from "../../src/services/http/ask.js";
import { TestHub } from "../support/hub.js";
import { freePort } from "../support/php-server.js";
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

    test("verify says which line root has to add, and which line sudo needs; until then nothing is installed", async () => {
      const fresh = await TestHub.empty();
      try {
        await fresh.ok(`save @server_master --http_service_type=${type}`);
        const { stdout } = await fresh.ok("verify @server_master");
        expect(stdout).toContain(`as root: ${type === "nginx" ? "echo 'include" : "a2enmod"}`);
        expect(stdout).toContain(fresh.path(`config/server_master/${type}.conf`));
        await fresh.ok(["save", "@server_master", "--http_test_cmd=sudo -n /usr/sbin/x -t"]);
        expect((await fresh.ok("verify @server_master")).stdout).toContain("NOPASSWD: /usr/sbin/x -t");
        await fresh.savePlatform();
        await fresh.ok("verify @platform_p");
        await fresh.saveSite("a.test");
        const refused = await fresh.document("install @a.test");
        expect([refused.exit, refused.error?.code]).toEqual([69, "SERVICE_UNAVAILABLE"]);
      } finally {
        fresh.remove();
      }
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

    test("another port: the daemon is found at the old one, and proven at the new one; one that is taken changes nothing", async () => {
      const port = await freePort();
      await web.hub.ok(`save @server_master --http_port=${port}`);
      const doctor = await web.hub.document("doctor");
      expect(JSON.stringify(doctor.data)).toContain(`http_port is ${port}`);
      await web.hub.ok("verify @server_master");
      const served = (on: number) =>
        ask({ port: on, path: "/", headers: { host: "unknown.test" }, timeout: 10_000 }).then(({ status }) => status);
      expect(await served(port)).toBe(404);
      const taken = createServer((socket) => socket.end()).listen(0);
      await new Promise((resolve) => taken.once("listening", resolve));
      const other = (taken.address() as { port: number }).port;
      await web.hub.ok(`save @server_master --http_port=${other}`);
      if (type === "apache") {
        const refused = await web.hub.document("verify @server_master");
        expect([refused.exit, refused.outcome]).toEqual([4, "rolled_back"]);
        expect(await served(port)).toBe(404);
      }
      taken.close();
      await web.hub.ok(`save @server_master --http_port=${web.hub.port}`);
      await web.hub.ok("verify @server_master");
      expect(await served(web.hub.port)).toBe(404);
    }, 120_000);

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
