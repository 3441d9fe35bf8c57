import { cpSync, existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeFakeCore } from "../support/fake-core.js";
import { treeOf } from "../support/hub.js";
import { whereSpokesAre } from "../support/namespaces.js";
import { missingSpoke, type SpokeHub, spokeHub, type TestSpoke } from "../support/spokes.js";

const absent = missingSpoke("nginx");

describe.skipIf(absent !== undefined)(`the life of a site on another machine (${absent ?? whereSpokesAre()})`, () => {
  let rig: SpokeHub;
  let hub: SpokeHub["hub"];
  let web1: TestSpoke;

  /** Of a command that succeeds. */
  const document = async (line: string) => {
    const result = await hub.document(line);
    expect(result.error, line).toBeUndefined();
    return result;
  };

  beforeAll(async () => {
    rig = await spokeHub(["nginx"]);
    ({ hub } = rig);
    web1 = rig.spokes[0] as TestSpoke;
  }, 120_000);
  afterAll(() => rig?.remove());

  test("a server verified again changes nothing; one connection for all of a run", async () => {
    await hub.ok("verify @web1");
    const before = web1.sshd.connections();
    const tree = treeOf(web1.root, { times: false });
    expect((await document("verify @web1")).counts.changed).toBe(0);
    expect(web1.sshd.connections() - before).toBe(1);
    expect(treeOf(web1.root, { times: false })).toEqual(tree);
  });

  test("a platform is built on the hub and brought there, without what belongs to sites; again nothing changes", async () => {
    await hub.savePlatform("p");
    await hub.ok("save @platform_p --web_server=@web1");
    const dry = await document("verify @platform_p --dry-run");
    expect(dry.outcome).toBe("would_change");
    expect(readdirSync(web1.path("platforms"))).toEqual([".builds"]);
    await hub.ok("verify @platform_p");
    const [here, there] = [realpathSync(hub.path("platforms/p")), realpathSync(web1.path("platforms/p"))];
    expect(there).toBe(web1.path(`platforms/.builds/${here.split("/").at(-1)}`));
    const plain = (root: string) => treeOf(root).filter((line) => !line.startsWith("sites"));
    expect(plain(there)).toEqual(plain(here));
    expect(readFileSync(join(there, "sites/sites.php"), "utf8")).toContain("Written by provision");
    expect(existsSync(join(here, "sites/sites.php"))).toBe(false);
    expect((await document("verify @platform_p")).counts.changed).toBe(0);
  });

  test("install: everything of the site is there, nothing of it on the hub but context and secrets; it answers", async () => {
    await hub.saveSite("a.test", "--aliases=www.a.test", "--db_server=@web1");
    const { data } = await document("install @a.test");
    expect(data?.["url"]).toBe(`http://a.test:${web1.port}`);
    expect((await web1.get("a.test", "/")).body).toContain("<title>");
    expect((await web1.get("www.a.test", "/")).status).toBe(200);
    expect((await web1.get("b.test", "/")).status).toBe(404);
    const { pathname, search } = new URL(String(data?.["login"]));
    expect((await web1.get("a.test", pathname + search)).status).toBe(302);
    expect([existsSync(hub.path("sites/a.test")), existsSync(hub.path("clients/admin"))]).toEqual([false, false]);
    expect(existsSync(hub.path("platforms/p/sites/a.test"))).toBe(false);
    expect(lstatSync(web1.path("platforms/p/sites/a.test/settings.php")).mode & 0o777).toBe(0o440);
    expect(readlinkSync(web1.path("platforms/p/sites/a.test/files"))).toContain(web1.path("sites/a.test/"));
  });

  test("verify, status, cron, login and lists say the same as on the hub; a second verify changes nothing", async () => {
    expect((await document("verify @a.test")).counts.changed).toBe(0);
    const status = await document("status @a.test");
    expect(status.data).toMatchObject({ installed: true, enabled: true, front_page: { status: 200 } });
    expect((await document("cron @a.test")).exit).toBe(0);
    const { data } = await document("login @a.test");
    const { pathname, search } = new URL(String(data?.["url"]));
    expect((await web1.get("a.test", pathname + search)).status).toBe(302);
    expect((await document("doctor")).exit).toBe(0);
  });

  test("what was changed by hand there is put right", async () => {
    const vhost = web1.path("config/web1/nginx/vhost.d/a.test.conf");
    const text = readFileSync(vhost, "utf8");
    writeFileSync(vhost, `${text}# by hand\n`);
    expect((await document("verify @a.test")).counts.changed).toBe(1);
    expect(readFileSync(vhost, "utf8")).toBe(text);
  });

  test("code that differs from the hub's is brought anew beside it, with its sites, and they answer", async () => {
    const before = realpathSync(web1.path("platforms/p"));
    writeFileSync(join(before, "index.php"), "<?php\nexit('changed by hand');\n");
    expect((await document("verify @platform_p")).outcome).toBe("changed");
    const after = realpathSync(web1.path("platforms/p"));
    expect([after === before, existsSync(before)]).toEqual([false, false]);
    expect((await web1.get("a.test", "/")).body).toContain("<title>");
    expect((await document("verify @platform_p")).counts.changed).toBe(0);
    expect((await document("verify @a.test")).counts.changed).toBe(0);
  });

  test("disable and enable", async () => {
    await hub.ok("disable @a.test");
    expect((await web1.get("a.test", "/")).status).toBe(503);
    await hub.ok("enable @a.test");
    expect((await web1.get("a.test", "/")).status).toBe(200);
  });

  test("a backup comes to the hub, is whole, and brings the site back", async () => {
    writeFileSync(web1.path("platforms/p/sites/a.test/files/kept.txt"), "kept\n");
    const { data } = await document("backup @a.test");
    expect(readdirSync(String(data?.["path"])).sort()).toEqual(["database.sqlite.zst", "files.tar.zst", "manifest.json", "site.tar.zst"]);
    expect((await document(`backups verify ${String(data?.["backup"])}`)).exit).toBe(0);
    writeFileSync(web1.path("platforms/p/sites/a.test/files/kept.txt"), "lost\n");
    const restored = await document(`restore @a.test ${String(data?.["backup"])} --yes`);
    expect([restored.exit, restored.error]).toEqual([0, undefined]);
    expect(readFileSync(web1.path("platforms/p/sites/a.test/files/kept.txt"), "utf8")).toBe("kept\n");
    expect((await web1.get("a.test", "/")).status).toBe(200);
    expect((await document("verify @a.test")).counts.changed).toBe(0);
  });

  test("more sites than can hold locks there at a time are verified by one command, on one connection; again nothing changes", async () => {
    const alias = readFileSync(hub.path("aliases/a.test.yml"), "utf8");
    const names = Array.from({ length: 5 }, (_, n) => `s${n}.test`);
    for (const name of names) {
      writeFileSync(hub.path(`aliases/${name}.yml`), alias.replace(/^aliases:.*\n(?: +- .*\n)*/m, "").replaceAll("a.test", name));
      cpSync(hub.path("secrets/a.test.yml"), hub.path(`secrets/${name}.yml`));
      cpSync(web1.path("sites/a.test"), web1.path(`sites/${name}`), { recursive: true });
    }
    const before = web1.sshd.connections();
    await hub.ok(`verify ${names.map((name) => `@${name}`).join(" ")}`);
    expect(web1.sshd.connections() - before).toBe(1);
    for (const name of names) expect((await web1.get(name, "/")).status).toBe(200);
    const { all } = await hub.ok(`verify ${names.map((name) => `@${name}`).join(" ")} --json`);
    expect(all.results.map(({ counts }) => counts.changed)).toEqual(names.map(() => 0));
    for (const name of names) await hub.ok(`delete @${name} --no-backup --yes`);
  });

  test("a rehearsal tells there what a migrate would do, by one connection, and leaves nothing; of a disabled site, too", async () => {
    await makeFakeCore(join(hub.base, "newer"), { traps: ["pending-updates"] });
    await hub.savePlatform("next", join(hub.base, "newer"));
    await hub.ok("save @platform_next --web_server=@web1");
    await hub.ok("verify @platform_next");
    for (const word of ["enable", "disable"]) {
      await hub.ok(`${word} @a.test`);
      const there = () =>
        ["config", "sites", "platforms/next/sites"].map((path) => readdirSync(web1.path(path), { recursive: true }).toSorted());
      const before = there();
      const connections = web1.sshd.connections();
      const { data } = await document("rehearse @a.test @platform_next");
      expect([data?.["verdict"], data?.["updates"]]).toEqual(["good", ["trap_update_7002", "trap_update_7003", "trap_update_7004"]]);
      expect(data?.["urls"]).toContainEqual(expect.objectContaining({ path: "/", status: 200, differences: [] }));
      expect(web1.sshd.connections() - connections).toBe(1);
      expect(there()).toEqual(before);
    }
    await hub.ok("enable @a.test");
    expect((await document("delete @platform_next --yes")).exit).toBe(0);
  }, 120_000);

  test("delete takes a last backup and leaves nothing there", async () => {
    const { exit, data } = await document("delete @a.test --yes");
    expect(exit).toBe(0);
    expect(existsSync(String(data?.["path"]))).toBe(true);
    expect([readdirSync(web1.path("sites")), existsSync(web1.path("platforms/p/sites/a.test"))]).toEqual([[], false]);
    expect((await web1.get("a.test", "/")).status).toBe(404);
    expect((await document("delete @platform_p --yes")).exit).toBe(0);
    expect(readdirSync(web1.path("platforms"))).toEqual([".builds"]);
    expect(readdirSync(web1.path("platforms/.builds"))).toEqual([]);
  });
});
