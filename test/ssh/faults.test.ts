import { appendFileSync, existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Result } from "../../src/core/result.js";
import { makeFakeCore } from "../support/fake-core.js";
import { treeOf } from "../support/hub.js";
import { missingMachines, whereSpokesAre } from "../support/namespaces.js";
import { freePort } from "../support/php-server.js";
import { missingSpoke, type SpokeHub, spokeHub, type TestSpoke } from "../support/spokes.js";
import { type Sshd, startSshd } from "../support/sshd.js";
import { WEB_DAEMONS } from "../support/web-servers.js";

const absent = missingSpoke("nginx") ?? missingMachines();

/** Every command that fails says what, where, in which state things are and what to type; each of these wants one of them in words. */
describe.skipIf(absent !== undefined)(`faults of other machines (${absent ?? whereSpokesAre()})`, () => {
  let rig: SpokeHub;
  let hub: SpokeHub["hub"];
  let web1: TestSpoke;
  let web2: TestSpoke;
  let sshd: Sshd | undefined;

  /** Of a command that succeeds. */
  const document = async (line: string | readonly string[]) => {
    const result = await hub.document(line);
    expect([line, result.exit, result.error]).toEqual([line, 0, undefined]);
    return result;
  };
  const told = ({ error }: Result) => [error?.message, ...(error?.why ?? []), error?.state, ...(error?.next ?? [])].join("\n");
  const shown = ({ exit, outcome, error }: Result) => JSON.stringify({ exit, outcome, error });
  const save = (uri: string, number: number) =>
    hub.ok(
      `save @${uri} --context_type=site --uri=${uri} --platform=@platform_w${number} --db_server=@web${number} --profile=minimal --ssl=on`,
    );
  /** Files of the site there, as they are told apart from those of its other generations. */
  const filesOf = (spoke: TestSpoke, uri: string) => realpathSync(spoke.path(`platforms/w${spoke === web1 ? 1 : 2}/sites/${uri}/files`));
  const answers = async (spoke: TestSpoke, uri: string) => (await spoke.get(uri, "/")).status;
  /** What goes on or is put back, as the command said. */
  const resuming = (result: Result) => {
    expect(result.error?.next[0]).toMatch(/^provision resume \S+$/);
    return String(result.error?.next[0]).slice("provision ".length);
  };
  const lost = (result: Result, machine: string) => {
    expect([result.exit, result.error?.code, result.outcome]).toEqual([69, "HOST_UNAVAILABLE", "needs_attention"]);
    expect(told(result)).toContain(`${machine}: the connection to `);
    expect(told(result)).toContain("what the lost machine has done is not known");
  };

  beforeAll(async () => {
    // The same port on each: they are machines.
    rig = await spokeHub(
      ["nginx", "nginx"],
      ["--db_service_type=sqlite", `--http_ssl_port=${await freePort()}`, "--ssl_issuer=self-signed"],
    );
    ({ hub } = rig);
    [web1, web2] = rig.spokes as readonly [TestSpoke, TestSpoke];
    const core = await makeFakeCore(join(hub.base, "core"));
    writeFileSync(join(core, "misc-large.js"), Buffer.alloc(300_000, "Drupal.behaviors;\n"));
    for (const number of [1, 2]) {
      await hub.savePlatform(`w${number}`);
      await hub.ok(`save @platform_w${number} --web_server=@web${number}`);
    }
    await Promise.all([1, 2].map((number) => hub.ok(`verify @platform_w${number}`)));
    await save("a.test", 1);
    await hub.ok("install @a.test");
    writeFileSync(join(filesOf(web1, "a.test"), "large.bin"), Buffer.alloc(300_000, "a picture\n"));
  }, 180_000);
  afterAll(async () => {
    await sshd?.remove();
    await rig?.remove();
  });

  test("a clock that is off is told with the server; a disk without room is told before anything is made", async () => {
    web1.machine.clock(-3600);
    const late = await hub.document("verify @web1");
    expect([late.exit, late.error?.code, late.error?.why], shown(late)).toEqual([
      78,
      "CONFIGURATION",
      [expect.stringMatching(/^its clock is 3[56]\d\d s behind that of the hub$/)],
    ]);
    web1.machine.clock(0);
    web2.machine.fill(web2.root, 200 * 1024);
    await save("f.test", 2);
    const small = await hub.document("verify @web2");
    expect(small.error?.why, shown(small)).toEqual([expect.stringContaining("0 MiB free; at least 200 MiB are needed")]);
    for (const line of ["install @f.test", "migrate @a.test @platform_w2 --db_server=@web2 --no-backup"]) {
      const refused = await hub.document(line);
      expect([refused.exit, refused.error?.code, refused.error?.state], shown(refused)).toEqual([1, "DISK_FULL", "nothing was changed"]);
      expect(told(refused)).toMatch(/@web2: .* has 0 MiB free; this needs \d+ MiB\n.*\ndf -h .* on @web2: make room/);
    }
    web2.machine.empty(web2.root);
    expect([readdirSync(web2.path("sites")), await answers(web1, "a.test")]).toEqual([[], 200]);
  }, 120_000);

  test("a disk that gets full in the middle: all is put back, and it goes when there is room", async () => {
    web2.machine.fill(web2.root, 80 * 1024 * 1024);
    const filler = web2.path("filler");
    // There is room for what a roll-back writes, and not for the files.
    const fill = () => web2.machine.run(["sh", "-c", 'cat /dev/zero >"$1" 2>/dev/null; truncate -s -128K "$1"', "sh", filler]);
    const held = web2.machine.hold("rsync", { input: 20 });
    const running = hub.document("migrate @a.test @platform_w2 --db_server=@web2 --no-backup");
    await held.begun(running);
    fill();
    held.go();
    const failed = await running;
    web2.machine.run(["rm", filler]);
    expect([failed.exit, failed.outcome, failed.error?.code], shown(failed)).toEqual([4, "rolled_back", "DISK_FULL"]);
    expect([web2.machine.run(["ls", web2.path("sites")]), await answers(web1, "a.test")]).toEqual(["", 200]);
    web2.machine.empty(web2.root);
    await document("install @f.test");
    expect(await answers(web2, "f.test")).toBe(200);
  }, 120_000);

  test("sudo that is missing, wants a password or grants too little is told with the line; by that line all goes, behind a shell, a banner and a motd that print", async () => {
    const { machine } = web1;
    const shell = "/usr/local/bin/noisy";
    machine.run(
      ["sh", "-c", 'cat >"$1"; chmod 755 "$1"', "sh", shell],
      '#!/bin/sh\necho \'{"ok":false}\'\necho noise >&2\nexec /bin/sh "$@"\n',
    );
    machine.run(["sh", "-c", "cat >/etc/motd"], '{"ok":false}\n');
    machine.run(["useradd", "--password", "*", "--create-home", "--groups", "www-data", "--shell", shell, "deploy"]);
    machine.run(["install", "-d", "-o", "deploy", "-g", "deploy", "-m", "0711", "/srv/deploy"]);
    sshd = await startSshd({ machine, user: "deploy", lines: ["Banner /etc/motd", "PrintMotd yes"] });
    appendFileSync(hub.path("known_hosts"), readFileSync(sshd.knownHosts));
    const commands = WEB_DAEMONS.nginx.commands(`${web1.root}-daemons`);
    await hub.ok([
      ...["save", "@user1", "--context_type=server", `--remote_host=${web1.address}`, "--script_user=deploy", "--web_group=www-data"],
      ...[`--ssh_port=${sshd.port}`, `--ssh_identity=${sshd.identity}`, "--aegir_root=/srv/deploy", `--http_port=${await freePort()}`],
      ...["--http_service_type=nginx", `--php_fpm_listen=${web1.fpm.listen}`, "--db_service_type=sqlite"],
      ...[`--http_test_cmd=sudo -n ${commands.http_test_cmd}`, `--http_restart_cmd=sudo -n ${commands.http_restart_cmd}`],
    ]);
    const sudoers = (text: string) => machine.run(["sh", "-c", "cat >/etc/sudoers.d/provision; chmod 440 /etc/sudoers.d/provision"], text);
    const line = async (...why: readonly string[]) => {
      const refused = await hub.document("verify @user1");
      expect([refused.exit, refused.error?.code, refused.error?.why], shown(refused)).toEqual([78, "CONFIGURATION", why]);
      return /deploy ALL=\(root\) NOPASSWD: .*/.exec(told(refused))?.[0];
    };
    const wanted = await line("deploy may not test and reload nginx");
    sudoers("deploy ALL=(root) /usr/sbin/nginx\n");
    expect(await line("deploy may not test and reload nginx")).toBe(wanted);
    machine.run(["mv", "/usr/bin/sudo", "/usr/bin/no-sudo"]);
    expect(await line("sudo is missing", "deploy may not test and reload nginx")).toBe(wanted);
    machine.run(["mv", "/usr/bin/no-sudo", "/usr/bin/sudo"]);
    sudoers(`${wanted}\n`);
    await document("verify @user1");
    await hub.savePlatform("u");
    await hub.ok("save @platform_u --web_server=@user1");
    await document("verify @platform_u");
    expect((await document("verify @platform_u")).counts.changed).toBe(0);
    expect(machine.run(["stat", "-c", "%U", "/srv/deploy/platforms/u/index.php"])).toBe("deploy\n");
  }, 120_000);

  test("a key that is not let in, and a host key that has changed: nothing is done, and what is typed for it helps", async () => {
    await hub.ok(`save @web2 --ssh_identity=${web1.sshd.identity}`);
    const wrong = await hub.document("verify @f.test");
    expect([wrong.exit, wrong.error?.code, wrong.error?.state], shown(wrong)).toEqual([77, "PERMISSION_DENIED", "nothing was done there"]);
    expect(wrong.error?.next[0]).toBe(`ssh-copy-id -p ${web2.sshd.port} -i ${web1.sshd.identity} root@${web2.address}`);
    await hub.ok(`save @web2 --ssh_identity=${web2.sshd.identity}`);
    await web2.sshd.restart({ newKey: true });
    const changed = await hub.document("verify @f.test");
    expect([changed.exit, changed.error?.code], shown(changed)).toEqual([77, "HOST_KEY_CHANGED"]);
    expect(told(changed)).toContain("HAS CHANGED");
    const accepting = `provision save @web2 --ssh_host_key=${web2.sshd.hostKey}`;
    expect(changed.error?.next.at(-1)).toBe(accepting);
    await hub.ok(accepting.slice("provision ".length));
    expect((await document("verify @f.test")).counts.changed).toBe(0);
  }, 120_000);

  test("one machine of two that is away: the other is worked on, each command names the one, and its exit code says that it failed in part", async () => {
    await web2.sshd.stop();
    const gone = `@web2: no connection to ${web2.address}:${web2.sshd.port}: connection refused`;
    const each = async (line: string) => {
      const { code, all } = await hub.provision(`${line} --json`);
      return [code, ...all.results.map(({ target, exit, error }) => [target, exit, error?.message])];
    };
    const parts = [3, ["@a.test", 0, undefined], ["@f.test", 69, gone]];
    const asked = ["status", "list", "doctor", "certificates list", "backups list", "backups verify --all"] as const;
    const [status, list, doctor, certificates, ...backups] = await Promise.all(asked.map((line) => hub.document(line)));
    expect([status?.exit, status?.data?.["sites"], status?.error?.why], shown(status as Result)).toEqual([3, 2, [`${gone} (@f.test)`]]);
    expect([list, ...backups].map((result) => result?.exit)).toEqual([0, 0, 0]);
    expect([doctor?.exit, doctor?.error?.why]).toEqual([6, expect.arrayContaining([gone])]);
    expect(JSON.stringify(doctor?.data)).toContain('"http of @web1","ok":true');
    expect([certificates?.exit, certificates?.data], shown(certificates as Result)).toEqual([
      3,
      { certificates: [expect.objectContaining({ site: "@a.test", problem: null })], unseen: [{ site: "@f.test", server: "@web2" }] },
    ]);
    for (const line of ["status @a.test @f.test", "verify --all", "cron-all", "certificates renew"])
      expect([line, ...(await each(line)).slice(0, 3)]).toEqual([line, ...parts]);
    await web2.sshd.restart({});
  }, 120_000);

  test("the link cut in the middle of a dump, of a tree and of a command: all say so, and go on when it is back", async () => {
    for (const spoke of [web1, web2]) await hub.ok(`save ${spoke.name} --ssh_keepalive=1`);
    await hub.savePlatform("t");
    await hub.ok("save @platform_t --web_server=@web1");
    const dump = web1.machine.hold("zstd", { output: 100 });
    const tree = web1.machine.hold("rsync", { input: 20_000 });
    const command = web2.machine.hold("php", "before");
    const [backup, verify, cron] = ["backup @a.test", "verify @platform_t", "cron @f.test"].map((line) => hub.document(line)) as [
      Promise<Result>,
      Promise<Result>,
      Promise<Result>,
    ];
    await Promise.all([dump.begun(backup), tree.begun(verify), command.begun(cron)]);
    for (const { machine } of [web1, web2]) machine.cut();
    for (const held of [dump, tree, command]) held.go();
    const [dumped, brought, ran] = await Promise.all([backup, verify, cron]);
    for (const { machine } of [web1, web2]) machine.mend();
    for (const cut of [dumped, brought]) lost(cut, "@web1");
    expect([ran.exit, ran.error?.code, ran.error?.state], shown(ran)).toEqual([
      69,
      "HOST_UNAVAILABLE",
      "how far cron came there is not known; provision has changed nothing of @f.test",
    ]);
    expect(existsSync(web1.path("platforms/t"))).toBe(false);
    expect(await answers(web1, "a.test")).toBe(200);
    const again = await Promise.all([resuming(dumped), resuming(brought), "cron @f.test"].map((line) => hub.document(line)));
    for (const result of again) expect(result.exit, shown(result)).toBe(0);
    const plain = (root: string) => treeOf(realpathSync(root)).filter((line) => !line.startsWith("sites"));
    expect(plain(web1.path("platforms/t"))).toEqual(plain(hub.path("platforms/t")));
    const { data } = await document("backups list");
    expect(data?.["backups"], JSON.stringify(data)).toHaveLength(1);
    await document("backups verify --all --restore");
  }, 120_000);

  test("the link cut while a migrate has the web server reloaded: it serves where it was, and is on the other machine when it was resumed", async () => {
    const reload = WEB_DAEMONS.nginx.commands(`${web2.root}-daemons`).http_restart_cmd;
    web2.machine.run(["sh", "-c", "cat >/usr/bin/reload-web; chmod 755 /usr/bin/reload-web"], `#!/bin/sh\nexec ${reload}\n`);
    await hub.ok("save @web2 --http_restart_cmd=reload-web");
    const held = web2.machine.hold("reload-web", "before");
    const migrate = hub.document("migrate @a.test @platform_w2 --db_server=@web2 --no-backup");
    await held.begun(migrate);
    web2.machine.cut();
    held.go();
    const cut = await migrate;
    lost(cut, "@web2");
    expect(await answers(web1, "a.test")).toBe(200);
    web2.machine.mend();
    await document(resuming(cut));
    expect([await answers(web1, "a.test"), await answers(web2, "a.test")]).toEqual([404, 200]);
    expect(readFileSync(join(filesOf(web2, "a.test"), "large.bin")).length).toBe(300_000);
    expect((await document("verify @a.test")).counts.changed).toBe(0);
  }, 120_000);

  test("a machine that is rebooted in the middle of a migrate to it: resume ends it", async () => {
    const held = web1.machine.hold("rsync", { input: 20 });
    const migrate = hub.document("migrate @a.test @platform_w1 --db_server=@web1 --no-backup");
    await held.begun(migrate);
    await web1.reboot();
    const cut = await migrate;
    lost(cut, "@web1");
    expect(await answers(web2, "a.test")).toBe(200);
    held.go();
    await document(resuming(cut));
    expect([await answers(web1, "a.test"), await answers(web2, "a.test")]).toEqual([200, 404]);
    expect((await document("verify @a.test")).counts.changed).toBe(0);
  }, 120_000);
});
