import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Layout } from "../../src/context/layout.js";
import { Scope } from "../../src/core/scope.js";
import type { Undo } from "../../src/core/step.js";
import type { Argv, RunOptions } from "../../src/host/host.js";
import { LocalHost } from "../../src/host/local.js";
import { fpmService } from "../../src/services/fpm/index.js";
import type { FpmOf, FpmService, Member, PoolEdit, PoolOf } from "../../src/services/fpm/service.js";
import { findPool, needUser, poolUser, removeUser, userStep } from "../../src/services/fpm/users.js";
import { drive, wouldChange } from "../support/step-driver.js";
import { type Fpm, missing, startFpm } from "../support/web-servers.js";

const absent = missing("nginx");
const ROOT = process.getuid?.() === 0;
const host = new LocalHost(new Scope());

describe.skipIf(absent !== undefined)(`pools of PHP-FPM${absent === undefined ? "" : ` (${absent})`}`, () => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "provision-fpm-")));
  const layout = new Layout(root);
  const me = userInfo().username;
  /** A user that is on every Debian, so that none has to be made; PHP-FPM without root ignores it. */
  const pool: PoolOf = { user: "daemon", uid: 1, gid: 1 };
  const member = (more: Partial<Member> = {}): Member => ({ open: [root], children: null, limits: {}, ...more });
  const edit = (uri: string, to: Member | undefined): PoolEdit => ({ pool, uri, member: to });
  const path = join(root, "config/server_master/php-fpm/default");
  let fpm: Fpm;
  let of: FpmOf;
  let service: FpmService;
  const make = (more: Partial<FpmOf> = {}, patience = 20_000) =>
    fpmService({
      layout,
      server: {
        name: "@server_master",
        script_user: me,
        web_user: ROOT ? "www-data" : me,
        web_group: ROOT ? "www-data" : me,
        http_service_type: "nginx",
      },
      of: { ...of, ...more },
      host,
      patience,
    });
  const activate = (edits: readonly PoolEdit[], with_: FpmService = service) => drive([with_.activate("php/pool", "Pool", edits)]);
  const text = (user = pool.user) => {
    const file = join(path, "pool.d", `${user}.conf`);
    return existsSync(file) ? readFileSync(file, "utf8") : undefined;
  };
  const restore = (undo: readonly Undo[]) =>
    service.restore(((undo[0]?.["edits"] ?? []) as unknown as PoolEdit[]).map((one) => ({ ...one, member: one.member ?? undefined })));

  beforeAll(async () => {
    chmodSync(root, 0o755);
    fpm = await startFpm(join(root, "daemons"));
    of = { php: null, test: fpm.test, reload: fpm.command };
    service = make();
  });
  afterAll(async () => {
    await fpm?.stop();
    rmSync(root, { recursive: true });
  });

  test("before root has included the file nothing is made, and it is said what to type", async () => {
    await expect(activate([edit("a.test", member())])).rejects.toMatchObject({
      code: "SERVICE_UNAVAILABLE",
      next: ["provision verify @server_master"],
    });
    await drive(service.serverSteps());
    await expect(activate([edit("a.test", member())])).rejects.toMatchObject({
      code: "SERVICE_UNAVAILABLE",
      next: [expect.stringContaining(`echo 'include=${path}.conf' > `)],
    });
    expect(text()).toBeUndefined();
    expect(await service.problems()).toHaveLength(1);
    fpm.includes(`${path}.conf`);
    for (let turn = 0; (await service.problems()).length > 0 && turn < 200; turn++) await sleep(50);
    expect(await service.problems()).toEqual([]);
    expect(await wouldChange(service.serverSteps())).toEqual([]);
  });

  test("a pool runs what its file says; the same again changes nothing; two sites are edited by entry", async () => {
    await activate([edit("a.test", member())]);
    expect(await wouldChange([service.activate("a", "A", [edit("a.test", member())])])).toEqual([]);
    const alone = text();
    const { undo } = await activate([edit("b.test", member({ open: ["/srv/b"], children: 9 }))]);
    expect(text()).toMatch(/open_basedir\] = "[^"\n]*\/srv\/b:/);
    expect(text()).toMatch(/^pm.max_children = 9$/m);
    // While it was undone, another site had come.
    await activate([edit("c.test", member({ open: ["/srv/c"] }))]);
    await restore(undo);
    await restore(undo);
    expect(text()).toContain("/srv/c");
    expect(text()).not.toContain("/srv/b");
    await activate([edit("c.test", undefined)]);
    expect(text()).toBe(alone);
  });

  test("a file that was changed by hand and a pool that does not run its file are seen", async () => {
    const file = join(path, "pool.d", "daemon.conf");
    const right = readFileSync(file, "utf8");
    writeFileSync(file, right.replace(/^pm.max_children = .*$/m, "pm.max_children = 77"));
    expect(await wouldChange([service.activate("a", "A", [edit("a.test", member())])])).toEqual([`update ${file}`]);
    await activate([edit("a.test", member())]);
    expect(readFileSync(file, "utf8")).toBe(right);
    writeFileSync(file, "[daemon]\n");
    await expect(activate([edit("a.test", member())])).rejects.toMatchObject({
      code: "CONFIGURATION",
      message: expect.stringContaining("is not as provision wrote it"),
    });
    writeFileSync(file, right);
  });

  test.runIf(ROOT)("a pool that PHP-FPM refuses never stands where it looks", async () => {
    const before = text();
    const stranger: PoolOf = { user: "pvs-nobody-has-this-00000000", uid: 1, gid: 1 };
    await expect(activate([{ pool: stranger, uri: "x.test", member: member() }])).rejects.toMatchObject({
      code: "CONFIGURATION",
      state: "nothing was replaced",
      why: [expect.stringContaining(stranger.user)],
    });
    expect([text(), text(stranger.user), existsSync(join(path, "candidate"))]).toEqual([before, undefined, false]);
  });

  test("what an operator broke elsewhere stops an activation, and what was there comes back", async () => {
    const own = join(root, "daemons/fpm/pool.d/own.conf");
    const before = text();
    writeFileSync(own, "[own]\nno_such = 1\n");
    await expect(activate([edit("a.test", member({ children: 3 }))])).rejects.toMatchObject({
      code: "CONFIGURATION",
      why: [expect.stringContaining("no_such")],
    });
    rmSync(own);
    expect(text()).toBe(before);
    expect(await wouldChange([service.activate("a", "A", [edit("a.test", member())])])).toEqual([]);
  });

  test("a reload that does nothing, or fails, is found out, and the old file is back and runs", async () => {
    const before = text();
    await expect(activate([edit("a.test", member({ children: 4 }))], make({ reload: "/bin/true" }, 600))).rejects.toMatchObject({
      code: "SERVICE_UNAVAILABLE",
      why: ["it goes on with what it had; its error log says why"],
    });
    expect(text()).toBe(before);
    await expect(activate([edit("a.test", member({ children: 4 }))], make({ reload: "/bin/false" }, 600))).rejects.toMatchObject({
      code: "SERVICE_UNAVAILABLE",
    });
    expect(text()).toBe(before);
    await activate([edit("a.test", member({ children: 4 }))]);
    await activate([edit("a.test", member())]);
    expect(text()).toBe(before);
  });

  test("a socket whose path is too long would end PHP-FPM: it is refused before", async () => {
    const deep = new Layout(join(root, "x".repeat(90)));
    const { placeOf, socketPath } = await import("../../src/services/fpm/place.js");
    expect(socketPath(placeOf(deep, "@server_master", of), "daemon").length).toBeGreaterThan(107);
    const far = fpmService({
      layout: deep,
      server: { name: "@server_master", script_user: me, web_user: me, web_group: me, http_service_type: "nginx" },
      of,
      host,
    });
    await expect(activate([edit("a.test", member())], far)).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE" });
    expect((await service.problems()).length).toBe(0);
  });

  test("the last site takes the pool along, and its socket", async () => {
    await activate([edit("a.test", undefined)]);
    expect([text(), readdirSync(join(path, "run"))]).toEqual([undefined, ["marker.sock"]]);
  });

  test("PHP-FPM that has ended: an activation is refused, an undo puts the file back all the same", async () => {
    const { undo } = await activate([edit("a.test", member())]);
    await fpm.stop();
    await expect(activate([edit("b.test", member())])).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE" });
    await restore(undo);
    expect(text()).toBeUndefined();
  });
});

describe("Unix users of pools", () => {
  const locks = mkdtempSync(join(tmpdir(), "provision-users-"));
  afterAll(() => rmSync(locks, { recursive: true }));
  const name = poolUser(locks, "site", "users.test");

  test("who may not make them is told the lines of sudoers and the commands, before anything is made", async () => {
    const pool = await findPool(host, name);
    // Tests may be root's, whom sudo lets do everything.
    const refusing = Object.create(host, {
      run: { value: (argv: Argv, options?: RunOptions) => host.run(argv[0] === "sudo" ? ["false"] : argv, options) },
    });
    const setup = { host: refusing, server: "@server_master", scriptUser: "nobody", webUser: "www-data", locks };
    await expect(needUser(setup, pool)).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
      state: "nothing was changed",
      next: expect.arrayContaining([
        expect.stringContaining("/etc/sudoers.d/provision: nobody ALL=(root) NOPASSWD: /usr/sbin/groupadd ^"),
        expect.stringMatching(/^or as root: \/usr\/sbin\/useradd --system --uid \d+ /),
        expect.stringContaining("--php_pool=shared"),
      ]),
    });
  });

  test("a user that somebody else made is not taken", async () => {
    await expect(findPool(host, "nobody")).rejects.toMatchObject({ code: "NAME_TAKEN" });
  });

  test.runIf(ROOT)("made once, with the ids that were foreseen; removed with its group, twice", async () => {
    const setup = { host, server: "@server_master", scriptUser: "root", webUser: "www-data", locks };
    const pool = await findPool(host, name);
    try {
      const { undo } = await drive([userStep(setup, "@server_master", pool)]);
      expect(undo).toEqual([{ do: "unix_user_remove", host: "local", server: "@server_master", user: name }]);
      expect(await findPool(host, name)).toEqual(pool);
      expect(await wouldChange([userStep(setup, "@server_master", pool)])).toEqual([]);
    } finally {
      await removeUser(setup, name);
      await removeUser(setup, name);
    }
    for (const database of ["passwd", "group"]) expect((await host.run(["getent", database, name], { anyExit: true })).code).toBe(2);
    await removeUser(setup, "nobody");
    expect((await host.run(["getent", "passwd", "nobody"], { anyExit: true })).code).toBe(0);
  });
});
