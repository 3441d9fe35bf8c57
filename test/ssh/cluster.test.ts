import { cpSync, existsSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DatabaseServer, missingServer, startServer } from "../support/database-servers.js";
import { missingMachines, whereSpokesAre } from "../support/namespaces.js";
import { freePort } from "../support/php-server.js";
import { missingSpoke, type SpokeHub, spokeHub, type TestSpoke } from "../support/spokes.js";

const absent = missingSpoke("nginx") ?? missingSpoke("apache") ?? missingServer("mysql");

describe.skipIf(absent !== undefined)(`a cluster: one platform on several web servers (${absent ?? whereSpokesAre()})`, () => {
  let rig: SpokeHub;
  let hub: SpokeHub["hub"];
  let database: DatabaseServer;
  let web1: TestSpoke;
  let web2: TestSpoke;
  let web3: TestSpoke;

  /** Of a command that succeeds. */
  const document = async (line: string) => {
    const result = await hub.document(line);
    expect(result.error, line).toBeUndefined();
    return result;
  };
  const filesOf = (spoke: TestSpoke, uri = "c.test") =>
    realpathSync(spoke.path(`platforms/${existsSync(spoke.path(`platforms/q/sites/${uri}`)) ? "q" : "p"}/sites/${uri}/files`));
  const vhostOf = (spoke: TestSpoke, uri = "c.test") => spoke.path(`config/${spoke.name.slice(1)}/${spoke.type}/vhost.d/${uri}.conf`);
  /** With their keys. */
  const certificatesOf = (spoke: TestSpoke) => {
    const directory = spoke.path(`config/${spoke.name.slice(1)}/ssl.d/c.test`);
    return readdirSync(directory).flatMap((version) =>
      readdirSync(join(directory, version)).map((file) => [version, file, readFileSync(join(directory, version, file), "utf8")]),
    );
  };
  const reloadOf = async (name: string) => {
    const { context } = (await document(`show ${name}`)).data as { context: { http_restart_cmd: string } };
    return context.http_restart_cmd;
  };
  const page = async (spoke: TestSpoke, uri = "c.test") => {
    const { status, body } = await spoke.get(uri, "/");
    return [status, /<title>([^<]*)/.exec(body)?.[1]];
  };

  beforeAll(async () => {
    [rig, database] = await Promise.all([
      spokeHub(["nginx", "apache", "nginx"], []),
      // Reached from each address of loopback, as from other machines.
      startServer("mysql", { args: ["--bind-address=0.0.0.0"] }),
    ]);
    ({ hub } = rig);
    [web1, web2, web3] = rig.spokes as readonly [TestSpoke, TestSpoke, TestSpoke];
    // A machine that all of them reach: the hub, as they see it; on loopback it shares one with the first of them, and they come from 127.0.0.1.
    const apart = missingMachines() === undefined;
    database.sql("CREATE USER root@'%' IDENTIFIED BY ''; GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;");
    const at = apart
      ? [`--master_db=mysql://root@${web1.machine.hub}:${database.port}`]
      : [
          ...[`--remote_host=${web1.address}`, `--ssh_port=${web1.sshd.port}`, `--ssh_identity=${web1.sshd.identity}`],
          ...[`--aegir_root=${web1.root}`, `--master_db=mysql://root@127.0.0.1:${database.port}`],
        ];
    await hub.ok(["save", "@db", "--context_type=server", "--db_service_type=mysql", ...at]);
    for (const name of ["web1", "web2", "web3"]) await hub.ok(`save @${name} --http_ssl_port=${await freePort()}`);
    await hub.savePlatform();
  }, 180_000);
  afterAll(async () => {
    await rig?.remove();
    await database?.remove();
  });

  test("its members are servers with nginx or Apache, one at least, none twice, and no cluster", async () => {
    const save = async (...options: string[]) => {
      const { exit, error } = await hub.document(["save", "@web", "--context_type=server", ...options]);
      return [exit, [error?.message, ...(error?.why ?? [])].join(" ")];
    };
    expect(await save("--http_service_type=cluster")).toEqual([64, expect.stringContaining("cluster_web_servers")]);
    expect(await save("--http_service_type=cluster", "--cluster_web_servers=@web1,@web1")).toEqual([64, expect.stringContaining("twice")]);
    expect(await save("--http_service_type=cluster", "--cluster_web_servers=@server_master")).toEqual([
      64,
      expect.stringContaining("http_service_type php"),
    ]);
    expect(await save("--http_service_type=nginx", "--cluster_web_servers=@web1")).toEqual([64, expect.stringContaining("is for cluster")]);
    expect(await save("--http_service_type=cluster", "--cluster_web_servers=@web1,@nowhere")).toEqual([
      64,
      expect.stringContaining("@nowhere"),
    ]);
    await hub.ok("save @web --context_type=server --http_service_type=cluster --cluster_web_servers=@web1,@web2");
    await hub.ok("save @platform_p --web_server=@web");
    const { exit, error } = await hub.document("delete @web2 --yes");
    expect([exit, error?.code]).toEqual([1, "IN_USE"]);
  });

  test("verify @cluster verifies each member, and tells what all of them lack in one list", async () => {
    expect((await document("verify @web")).counts.changed).toBeGreaterThan(0);
    expect((await document("verify @web")).counts.changed).toBe(0);
    await hub.ok("save @web2 --web_group=nogroupofthis");
    await hub.ok("save @web1 --php=/nowhere/php8.3");
    const { exit, error } = await hub.document("verify @web");
    expect([exit, error?.code]).toEqual([78, "CONFIGURATION"]);
    expect(error?.why?.join("\n")).toMatch(/@web1: \/nowhere\/php8\.3 is missing[\s\S]*@web2: there is no group nogroupofthis/);
    await hub.ok("save @web1 --unset=php");
    await hub.ok(process.getuid?.() === 0 ? "save @web2 --web_group=www-data" : "save @web2 --unset=web_group");
  });

  test("the platform is brought to all", async () => {
    await document("verify @platform_p");
    for (const spoke of [web1, web2]) expect(existsSync(spoke.path("platforms/p/index.php"))).toBe(true);
    expect((await document("verify @platform_p")).counts.changed).toBe(0);
  });

  test("a site is installed once and served by all: one database, the same files", async () => {
    await hub.saveSite("c.test", "--db_server=@db", "--ssl=on");
    await document("install @c.test");
    expect(await page(web1)).toEqual([200, expect.any(String)]);
    expect(await page(web2)).toEqual(await page(web1));
    expect((await document("verify @c.test")).counts.changed).toBe(0);
    // One password of one account, for the addresses that the members come from.
    const hosts = database.sql("SELECT Host FROM mysql.user WHERE User LIKE 'c\\_test%'").flat();
    if (missingMachines() === undefined) expect(hosts).toEqual(expect.arrayContaining([web1.address, web2.address]));
    expect(certificatesOf(web1).length).toBeGreaterThan(0);
    expect(certificatesOf(web2)).toEqual(certificatesOf(web1));
    const { data } = await document("status @c.test");
    expect(data?.["members"]).toMatchObject([
      { server: "@web1", front_page: { status: 200 } },
      { server: "@web2", front_page: { status: 200 } },
    ]);
  });

  test("files of the first member come to the others at verify; what another has alone is told and kept", async () => {
    writeFileSync(join(filesOf(web1), "first.txt"), "of the first\n");
    writeFileSync(join(filesOf(web2), "second.txt"), "of the second\n");
    const { counts, warnings } = await document("verify @c.test");
    expect(counts.changed).toBeGreaterThan(0);
    expect(readFileSync(join(filesOf(web2), "first.txt"), "utf8")).toBe("of the first\n");
    expect(readFileSync(join(filesOf(web2), "second.txt"), "utf8")).toBe("of the second\n");
    expect(JSON.stringify(warnings)).toContain("on @web2 alone, and in no backup (files/second.txt)");
    expect((await document("verify @c.test")).counts.changed).toBe(0);
    const { error } = await hub.document("delete @c.test --yes");
    expect([error?.code, error?.why?.[0]]).toEqual(["REFUSED", expect.stringContaining("second.txt")]);
    rmSync(join(filesOf(web2), "second.txt"));
  });

  test("SQLite is refused, with the reason", async () => {
    await hub.ok("save @web2 --db_service_type=sqlite");
    await hub.saveSite("s.test", "--db_server=@web2");
    const { exit, error } = await hub.document("install @s.test");
    expect([exit, error?.code]).toEqual([78, "CONFIGURATION"]);
    expect(error?.message).toContain("SQLite of @web2 is a file on one machine, and @web has several");
    await hub.ok("delete @s.test --no-backup --yes");
  });

  test("disable and enable on all; a backup is that of the first", async () => {
    await document("disable @c.test");
    expect([(await web1.get("c.test", "/")).status, (await web2.get("c.test", "/")).status]).toEqual([503, 503]);
    await document("enable @c.test");
    expect([(await web1.get("c.test", "/")).status, (await web2.get("c.test", "/")).status]).toEqual([200, 200]);
    const { data } = await document("backup @c.test");
    expect(existsSync(join(String(data?.["path"]), "manifest.json"))).toBe(true);
  });

  test("one member refuses its configuration: none is switched", async () => {
    const before = [web1, web2].map((spoke) => readFileSync(vhostOf(spoke), "utf8"));
    // Apache alone has no such directive; nginx would go first.
    await hub.ok(["save", "@c.test", "--apache_snippet=NoDirectiveOfApache on", "--aliases=www.c.test"]);
    const { exit, error } = await hub.document("verify @c.test");
    expect([exit, error?.code]).toEqual([4, "CONFIGURATION"]);
    expect(error?.message).toContain("@web2");
    expect([web1, web2].map((spoke) => readFileSync(vhostOf(spoke), "utf8"))).toEqual(before);
    expect([(await web1.get("www.c.test", "/")).status, (await web2.get("www.c.test", "/")).status]).toEqual([404, 404]);
    await hub.ok("save @c.test --unset=apache_snippet --aliases=");
    expect((await document("verify @c.test")).counts.changed).toBe(0);
  });

  test("one member reloads badly after another has switched: that one goes back", async () => {
    const real = await reloadOf("@web2");
    await hub.ok("save @web2 --http_restart_cmd=false");
    await hub.ok("save @c.test --aliases=www.c.test");
    const { exit, error } = await hub.document("verify @c.test");
    expect([exit, error?.code]).toEqual([4, "SERVICE_UNAVAILABLE"]);
    expect(error?.message).toContain("@web2");
    expect((await web1.get("www.c.test", "/")).status).toBe(404);
    await hub.ok(["save", "@web2", `--http_restart_cmd=${real}`]);
    await document("verify @c.test");
    expect([(await web1.get("www.c.test", "/")).status, (await web2.get("www.c.test", "/")).status]).toEqual([200, 200]);
  });

  test("killed while members switch: the next command puts it right on all", async () => {
    await hub.ok("save @c.test --aliases=www.c.test,two.c.test");
    // The second one is asked to reload, and provision is gone.
    const killer = web2.path("killer");
    // It lets go of its lock when it ends.
    writeFileSync(killer, `#!/bin/sh\ntouch ${killer}.called\nwhile [ -e ${killer}.called ]; do sleep 0.1; done\n`, { mode: 0o755 });
    const real = await reloadOf("@web2");
    await hub.ok(["save", "@web2", `--http_restart_cmd=${killer}`]);
    const started = hub.start("verify @c.test");
    await expect.poll(() => existsSync(`${killer}.called`), { timeout: 60_000 }).toBe(true);
    expect((await web1.get("two.c.test", "/")).status).toBe(200);
    started.child.kill("SIGKILL");
    await started.ended;
    rmSync(`${killer}.called`);
    await hub.ok(["save", "@web2", `--http_restart_cmd=${real}`]);
    await document("verify @c.test");
    expect([(await web1.get("two.c.test", "/")).status, (await web2.get("two.c.test", "/")).status]).toEqual([200, 200]);
    expect((await document("verify @c.test")).counts.changed).toBe(0);
  });

  test("migrate to another platform of the cluster; to a server alone it is refused", async () => {
    await hub.savePlatform("q");
    await hub.ok("save @platform_q --web_server=@web1");
    const { exit, error } = await hub.document("migrate @c.test @platform_q --no-backup");
    expect([exit, error?.code, error?.why?.[0]]).toEqual([
      1,
      "REFUSED",
      "@platform_p is served by @web1, @web2; @platform_q is served by @web1",
    ]);
    await hub.ok("save @platform_q --web_server=@web");
    await document("verify @platform_q");
    await document("migrate @c.test @platform_q --no-backup");
    expect(await page(web2)).toEqual(await page(web1));
    expect(readFileSync(vhostOf(web2), "utf8")).toContain(web2.path("platforms/q"));
    expect((await document("verify @c.test")).counts.changed).toBe(0);
  });

  test("a member more is brought up by verify of platform and site", async () => {
    await hub.ok("save @web --cluster_web_servers=@web1,@web2,@web3");
    const early = await hub.document("verify @c.test");
    expect([early.error?.code, early.error?.message]).toEqual(["FILE_NOT_FOUND", expect.stringContaining("@web3")]);
    await document("verify @web");
    await document("verify @platform_q");
    await document("verify @c.test");
    expect(await page(web3)).toEqual(await page(web1));
    // What is shown; the first has former ones, too.
    expect(certificatesOf(web1)).toEqual(expect.arrayContaining(certificatesOf(web3)));
    expect(readFileSync(join(filesOf(web3), "first.txt"), "utf8")).toBe("of the first\n");
    expect((await document("verify @c.test")).counts.changed).toBe(0);
  });

  test("files on a mount that all share are not copied", async () => {
    // What one member writes there another sees: so it does the first one's mark.
    const mark = ".provision-first";
    cpSync(join(filesOf(web1), mark), join(filesOf(web3), mark));
    writeFileSync(join(filesOf(web1), "later.txt"), "of the first\n");
    await hub.ok("verify @c.test");
    expect([web2, web3].map((spoke) => existsSync(join(filesOf(spoke), "later.txt")))).toEqual([true, false]);
    rmSync(join(filesOf(web3), mark));
    await hub.ok("verify @c.test");
    expect(existsSync(join(filesOf(web3), "later.txt"))).toBe(true);
  });

  test("a member that is down: nothing is begun, and it is named", async () => {
    await web3.sshd.stop();
    for (const command of ["verify @c.test", "verify @platform_p", "disable @c.test", "delete @c.test --no-backup --yes", "verify @web"]) {
      const { exit, error } = await hub.document(command);
      expect([exit, error?.code], command).toEqual([69, "HOST_UNAVAILABLE"]);
      expect(`${error?.message} ${error?.why?.join(" ")}`, command).toContain("@web3");
    }
    expect(await page(web1)).toEqual([200, expect.any(String)]);
    await hub.ok("save @web --cluster_web_servers=@web1,@web2");
    expect((await document("verify @c.test")).counts.changed).toBeGreaterThanOrEqual(0);
  });

  test("delete takes it away on all members, and the platform, too", async () => {
    await document("delete @c.test --no-backup --yes");
    for (const spoke of [web1, web2]) {
      expect((await spoke.get("c.test", "/")).status).toBe(404);
      for (const path of ["sites/c.test", "platforms/p/sites/c.test", "platforms/q/sites/c.test"])
        expect(existsSync(spoke.path(path)), path).toBe(false);
    }
    await document("delete @platform_p --yes");
    for (const spoke of [web1, web2]) expect(existsSync(spoke.path("platforms/p"))).toBe(false);
  });
});
