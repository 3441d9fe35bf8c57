import { existsSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { whereSpokesAre } from "../support/namespaces.js";
import { missingSpoke, type SpokeHub, spokeHub, type TestSpoke } from "../support/spokes.js";

const absent = missingSpoke("nginx");

describe.skipIf(absent !== undefined)(`sites that move between machines (${absent ?? whereSpokesAre()})`, () => {
  let rig: SpokeHub;
  let hub: SpokeHub["hub"];
  let web1: TestSpoke;
  let web2: TestSpoke;

  /** Of a command that succeeds. */
  const document = async (line: string) => {
    const result = await hub.document(line);
    expect(result.error, line).toBeUndefined();
    return result;
  };
  const contextOf = (name: string) => readFileSync(hub.path(`aliases/${name}.yml`), "utf8");
  const filesOf = (root: string) => realpathSync(join(root, "sites/m.test/files"));

  beforeAll(async () => {
    rig = await spokeHub(["nginx", "nginx"]);
    ({ hub } = rig);
    [web1, web2] = rig.spokes as readonly [TestSpoke, TestSpoke];
    await hub.savePlatform("p");
    await hub.ok("verify @platform_p");
    for (const number of [1, 2]) {
      await hub.savePlatform(`w${number}`);
      await hub.ok(`save @platform_w${number} --web_server=@web${number}`);
      await hub.ok(`verify @platform_w${number}`);
    }
    await hub.saveSite("m.test");
    await hub.ok("install @m.test");
    writeFileSync(join(filesOf(hub.docroot), "first.txt"), "from the hub\n");
  }, 180_000);
  afterAll(() => rig?.remove());

  test("a database that the other machine does not have is refused before anything is made", async () => {
    const { exit, error } = await hub.document("migrate @m.test @platform_w1");
    expect([exit, error?.code]).toEqual([78, "CONFIGURATION"]);
    expect(error?.message).toContain("SQLite of @server_master is a file on its machine");
    expect(existsSync(web1.path("sites/m.test"))).toBe(false);
  });

  test("hub → spoke: database, files and code of its own go along; what served before is kept, and closed", async () => {
    const { data } = await document("migrate @m.test @platform_w1 --db_server=@web1 --no-backup");
    expect(data?.["url"]).toBe(`http://m.test:${web1.port}`);
    expect((await web1.get("m.test", "/")).body).toContain("<title>");
    expect(readFileSync(join(filesOf(web1.path("platforms/w1")), "first.txt"), "utf8")).toBe("from the hub\n");
    expect(contextOf("m.test")).toContain('platform: "@platform_w1"');
    expect(existsSync(join(filesOf(hub.docroot), "../gate.closed"))).toBe(true);
    expect(existsSync(join(filesOf(web1.path("platforms/w1")), "../gate.closed"))).toBe(false);
    expect((await document("verify @m.test")).counts.changed).toBe(0);
  });

  test("spoke → spoke", async () => {
    writeFileSync(join(filesOf(web1.path("platforms/w1")), "second.txt"), "from web1\n");
    await document("migrate @m.test @platform_w2 --db_server=@web2 --no-backup");
    expect((await web2.get("m.test", "/")).body).toContain("<title>");
    expect((await web1.get("m.test", "/")).status).toBe(404);
    expect(readFileSync(join(filesOf(web2.path("platforms/w2")), "second.txt"), "utf8")).toBe("from web1\n");
    expect((await document("verify @m.test")).counts.changed).toBe(0);
  });

  test("rollback leads back to the machine before, while it stands", async () => {
    await document("rollback @m.test --yes");
    expect((await web1.get("m.test", "/")).body).toContain("<title>");
    expect((await web2.get("m.test", "/")).status).toBe(404);
    expect(contextOf("m.test")).toContain('db_server: "@web1"');
    expect((await document("verify @m.test")).counts.changed).toBe(0);
  });

  test("a clone on another machine", async () => {
    await document("clone @m.test @c.test @platform_w2 --db_server=@web2");
    expect((await web2.get("c.test", "/")).body).toContain("<title>");
    expect((await web1.get("m.test", "/")).status).toBe(200);
    expect((await document("verify @c.test")).counts.changed).toBe(0);
  });

  test("delete takes what is kept on every machine along", async () => {
    await document("delete @m.test --no-backup --yes");
    for (const root of [hub.root, web1.root, web2.root]) expect(existsSync(join(root, "sites/m.test"))).toBe(false);
    for (const docroot of [hub.docroot, web1.path("platforms/w1"), web2.path("platforms/w2")])
      expect(existsSync(join(docroot, "sites/m.test"))).toBe(false);
  });

  test("all that a machine lacks is told at once, with what mends it; nothing is changed", async () => {
    await hub.ok([
      ...["save", "@web3", "--context_type=server", `--remote_host=${web1.address}`, `--ssh_port=${web1.sshd.port}`],
      ...[`--ssh_identity=${web1.sshd.identity}`, "--aegir_root=/proc/nowhere", "--web_group=nogroupofthis", "--php=/nowhere/php8.3"],
      ...["--http_service_type=nginx", "--php_fpm_listen=/nowhere/fpm.sock", "--http_test_cmd=true", "--http_restart_cmd=true"],
      ...["--db_service_type=mysql", "--master_db=mysql://root@127.0.0.1:1"],
    ]);
    const { exit, error } = await hub.document("verify @web3");
    expect([exit, error?.code]).toEqual([78, "CONFIGURATION"]);
    const told = [...(error?.why ?? []), ...(error?.next ?? [])].join("\n");
    for (const part of ["no group nogroupofthis", "groupadd", "/nowhere/php8.3 is missing", "/proc/nowhere", "/nowhere/fpm.sock"])
      expect(told).toContain(part);
    expect(told).toContain("provision verify @web3");
  });

  test("a machine that is not reached is one finding of doctor; a site there is not touched", async () => {
    await web2.sshd.stop();
    const { exit, data } = await hub.document("doctor");
    const findings = data?.["findings"] as { check: string; ok: boolean }[];
    expect(exit).toBe(6);
    expect(findings.filter(({ check }) => check.includes("@web2"))).toMatchObject([{ check: "machine of @web2", ok: false }]);
    const refused = await hub.document("verify @c.test");
    expect([refused.exit, refused.error?.code]).toEqual([69, "HOST_UNAVAILABLE"]);
    expect((await web2.get("c.test", "/")).status).toBe(200);
  });
});
