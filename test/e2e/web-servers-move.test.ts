import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask } from "../../src/services/http/ask.js";
import { clearTraps, setTrap } from "../support/fake-core.js";
import { freePort } from "../support/php-server.js";
import { type WebHub, webHub } from "../support/web-hub.js";
import { missing, WEB_DAEMONS, type WebServer } from "../support/web-servers.js";

const SITE = "site.test";
const skipped = missing("nginx") ?? missing("apache");

describe.skipIf(skipped !== undefined)(
  `a site moves from nginx to Apache and back, on one machine${skipped === undefined ? "" : ` (${skipped})`}`,
  () => {
    let web: WebHub;
    let apache: WebServer;
    let port: number;

    beforeAll(async () => {
      web = await webHub("nginx");
      const { hub } = web;
      port = await freePort();
      const base = join(hub.base, "daemons-apache");
      const commands = WEB_DAEMONS.apache.commands(base);
      await hub.ok([
        ...["save", "@server_apache", "--context_type=server", "--http_service_type=apache", `--http_port=${port}`],
        ...[`--php_fpm_listen=${web.fpm.listen}`, `--php_fpm_restart_cmd=${web.fpm.command}`, `--php_fpm_test_cmd=${web.fpm.test}`],
        ...[`--http_test_cmd=${commands.http_test_cmd}`, `--http_restart_cmd=${commands.http_restart_cmd}`, "--db_service_type=none"],
        ...(process.getuid?.() === 0 ? ["--web_group=www-data"] : []),
      ]);
      await hub.ok("verify @server_apache");
      apache = await WEB_DAEMONS.apache.start(base, hub.path("config/server_apache/apache.conf"), port);
      await hub.savePlatform("q");
      await hub.ok("save @platform_q --web_server=@server_apache");
      await hub.ok("verify @platform_q");
      await hub.saveSite(SITE, "--aliases=www.site.test");
      await hub.ok(`install @${SITE}`);
      const [generation = ""] = readdirSync(hub.path(`sites/${SITE}`));
      writeFileSync(hub.path(`sites/${SITE}/${generation}/files/picture.txt`), "of a cat");
      await hub.ok(`verify @${SITE}`);
    }, 180_000);
    afterAll(async () => {
      await apache?.stop();
      await web?.remove();
    });

    const fromApache = async (path: string, host = SITE) =>
      (await ask({ port, path, headers: { host: `${host}:${port}` }, timeout: 20_000 })).status;
    const fromNginx = async (path: string, host = SITE) => (await web.get(host, path)).status;
    const vhosts = () =>
      ["server_master/nginx", "server_apache/apache"].map((server) =>
        readdirSync(web.hub.path(`config/${server}/vhost.d`)).filter((name) => name.includes(SITE)),
      );
    const generation = () => /^generation: (\S+)$/m.exec(readFileSync(web.hub.path(`aliases/${SITE}.yml`), "utf8"))?.[1] ?? "";

    it("a rehearsal comes through the password of its quarantine, and hears what PHP says after the page", async () => {
      const { hub } = web;
      const before = vhosts();
      const good = await hub.document(`rehearse @${SITE} @platform_q`);
      expect([good.exit, good.data?.["verdict"], good.data?.["reasons"]]).toEqual([0, "good", []]);
      expect(good.data?.["urls"]).toEqual(
        expect.arrayContaining([expect.objectContaining({ path: "/", status: 200, rehearsed_status: 200 })]),
      );
      await setTrap(hub.path("platforms/q"), "fatal-after-page");
      const bad = await hub.document(`rehearse @${SITE} @platform_q`);
      await clearTraps(hub.path("platforms/q"));
      expect(bad.exit).toBe(6);
      expect(bad.error?.why).toEqual([expect.stringMatching(/^new in the log: Fatal error: .*trap_no_such_function/)]);
      expect(vhosts()).toEqual(before);
      expect(hub.tree({ times: false }).filter((line) => line.includes("rehearse-"))).toEqual([]);
    }, 120_000);

    it("one that fails leaves the old server as it was, and nothing on the new one", async () => {
      const before = vhosts();
      await setTrap(web.hub.path("platforms/q"), "broken-page");
      const failed = await web.hub.document(`migrate @${SITE} @platform_q --no-backup`);
      await clearTraps(web.hub.path("platforms/q"));
      expect([failed.exit, failed.error?.code]).toEqual([4, "PROBE_FAILED"]);
      expect(vhosts()).toEqual(before);
      expect([await fromNginx("/"), await fromApache("/")]).toEqual([200, 404]);
    }, 60_000);

    it("the new one serves it, the old one has forgotten it; files are linked when that is asked for; rollback goes back", async () => {
      const { hub } = web;
      writeFileSync(hub.path("provision.yml"), "files_copy: link\n");
      const first = generation();
      const moved = await hub.document(`migrate @${SITE} @platform_q --no-backup`);
      expect(moved.error).toBeUndefined();
      expect(moved.data?.["url"]).toBe(`http://${SITE}:${port}`);
      expect([
        await fromNginx("/"),
        await fromNginx("/", "www.site.test"),
        await fromApache("/"),
        await fromApache("/", "www.site.test"),
      ]).toEqual([404, 404, 200, 200]);
      expect(vhosts().map(({ length }) => length > 0)).toEqual([false, true]);
      const inode = (of: string) => statSync(hub.path(`sites/${SITE}/${of}/files/picture.txt`)).ino;
      expect(inode(generation())).toBe(inode(first));
      expect(await fromApache(`/sites/${SITE}/files/picture.txt`)).toBe(200);
      expect((await hub.document(`verify @${SITE}`)).counts["changed"]).toBe(0);
      const back = await hub.document(`rollback @${SITE} --yes`);
      expect(back.error).toBeUndefined();
      expect([await fromNginx("/"), await fromNginx("/", "www.site.test"), await fromApache("/")]).toEqual([200, 200, 404]);
      expect(vhosts().map(({ length }) => length > 0)).toEqual([true, false]);
      expect((await hub.document(`verify @${SITE}`)).counts["changed"]).toBe(0);
      expect(existsSync(hub.path("state/open")) ? readdirSync(hub.path("state/open")) : []).toEqual([]);
    }, 120_000);
  },
);
