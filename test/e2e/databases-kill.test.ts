import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DatabaseServer, missingServer, startServer } from "../support/database-servers.js";
import { makeFakeCore } from "../support/fake-core.js";
import { type FakeHub, newHub, saveSite, treeDifference } from "../support/fake-hub.js";
import { EXHAUSTIVE } from "../support/kill-walk.js";
import { run } from "../support/processes.js";

const missing = missingServer("mysql");

describe.skipIf(missing !== undefined)(`kill -9 with a database server${missing === undefined ? "" : ` (${missing})`}`, () => {
  let base: string;
  let server: DatabaseServer;
  let hub: FakeHub;
  /** What stands on the server and in the hub, before the site and with it. */
  let before: readonly [string, string];

  beforeAll(async () => {
    base = mkdtempSync(join(tmpdir(), "provision-dbkill-"));
    const [started, made] = await Promise.all([
      startServer("mysql"),
      makeFakeCore(join(base, "core")).then((core) => newHub(join(base, "hub"), core)),
    ]);
    [server, hub] = [started, made];
    await hub.do("save", "@server_master", "--db_service_type=mysql", `--master_db=${server.url}`);
    await hub.do("verify", "@platform_d7");
    await saveSite(hub, "a.test");
    before = stands();
  }, 120_000);
  afterAll(async () => {
    await server?.remove();
    rmSync(base, { recursive: true, force: true });
  });

  /** Names carry the operation's id, and passwords are random: both are blotted out, as is what the first site of a client makes for all. */
  function stands(): [string, string] {
    const found = server.sql(
      "SELECT CONCAT(User, '@', Host) FROM mysql.user UNION SELECT SCHEMA_NAME FROM information_schema.SCHEMATA UNION SELECT CONCAT(Db, ' of ', User) FROM mysql.db ORDER BY 1",
    );
    return [
      found
        .map(([name = ""]) => name.replaceAll("\\", "").replace(/([ab]_test)_\w+/g, "$1_ID"))
        .sort()
        .join("\n"),
      hub
        .tree()
        .split("\n")
        .filter((line) => !line.startsWith("clients/admin/ "))
        .join("\n")
        .replace(/([ab]_test)_\w+/g, "$1_ID")
        .replace(/('password' => ')[^']*/g, "$1…"),
    ];
  }

  function mustBe(wanted: readonly [string, string], what: string): void {
    const now = stands();
    expect(now[0], what).toBe(wanted[0]);
    if (now[1] !== wanted[1]) expect.fail(`${what}: ${treeDifference(now[1], wanted[1])}`);
    expect(hub.open, what).toEqual([]);
  }

  /** How many points a command passes, and which of them stand beside a journal record. */
  async function points(args: readonly string[]): Promise<{ readonly points: number; readonly torn: readonly number[] }> {
    const count = join(base, "count");
    const { code } = await hub.run(args, { env: { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: count } });
    expect(code).toBe(0);
    return JSON.parse(readFileSync(count, "utf8"));
  }

  function sample({ points: all, torn }: { readonly points: number; readonly torn: readonly number[] }, most: number): readonly number[] {
    const every = Array.from({ length: all }, (_, index) => index + 1);
    if (EXHAUSTIVE) return every;
    // Those around journal records of the database's steps and some of the others.
    const chosen = [...new Set([...torn, ...torn.map((point) => point + 2), ...every])].filter((point) => point <= all);
    const step = Math.ceil(chosen.length / most);
    return chosen.filter((_, index) => index % step === 0);
  }

  async function killed(
    args: readonly string[],
    point: number,
  ): Promise<{ readonly id: string; readonly committed: boolean; readonly ended: boolean } | undefined> {
    const known = hub.operations;
    const { signal } = await hub.run(args, { env: { PROVISION_TEST_KILL_AT: String(point) } });
    expect(signal, `point ${point}`).toBe("SIGKILL");
    const id = hub.operations.find((one) => !known.includes(one));
    const records = id === undefined ? [] : hub.journal(id);
    if (id === undefined || records[0]?.t !== "open") return undefined;
    return { id, committed: records.some(({ t }) => t === "commit"), ended: records.at(-1)?.t === "end" };
  }

  test(
    "of an install: abort leaves neither database nor account nor secret, resume a site that a verify does not change",
    async () => {
      // The first of all makes what the later ones find, and passes more points.
      await hub.do("install", "@a.test");
      await hub.do("delete", "@a.test", "--no-backup", "--yes");
      await saveSite(hub, "a.test");
      const at = await points(["install", "@a.test"]);
      expect((await hub.do("verify", "@a.test")).counts["changed"]).toBe(0);
      const complete = stands();
      await hub.do("delete", "@a.test", "--no-backup", "--yes");
      await saveSite(hub, "a.test");
      let resumed = 0;
      for (const [index, point] of sample(at, 10).entries()) {
        const operation = await killed(["install", "@a.test"], point);
        const what = `install killed at ${point} of ${at.points}`;
        if (operation && !operation.ended) {
          const forward = operation.committed || index % 2 === 0;
          const { code, said } = await hub.run([forward ? "resume" : "abort", operation.id]);
          expect([code, said?.error?.message], what).toEqual([0, undefined]);
          if (forward) resumed++;
        } else await hub.run(["verify", "@server_master"]);
        if (!readFileSync(hub.path("aliases/a.test.yml"), "utf8").includes("db_user")) {
          mustBe(before, what);
          continue;
        }
        mustBe(complete, what);
        expect((await hub.do("verify", "@a.test")).counts["changed"], what).toBe(0);
        await hub.do("delete", "@a.test", "--no-backup", "--yes");
        await saveSite(hub, "a.test");
        mustBe(before, `delete after ${what}`);
      }
      expect(resumed).toBeGreaterThan(0);
    },
    EXHAUSTIVE ? 3_600_000 : 240_000,
  );

  test(
    "of a migrate whose rows the server copies: abort leaves all as it was, resume a site with all its rows",
    async () => {
      await hub.do("save", "@platform_next", "--context_type=platform", "--root=platforms/next", "--makefile=d7.make");
      await hub.do("verify", "@platform_next");
      const database = () => /^db_name: (\S+)$/m.exec(readFileSync(hub.path("aliases/a.test.yml"), "utf8"))?.[1] ?? "";
      const all = () => server.sql("SELECT COUNT(*), SUM(id), SUM(CRC32(word)) FROM words", database());
      const migrate = ["migrate", "@a.test", "@platform_next"];
      const fresh = async () => {
        await hub.run(["delete", "@a.test", "--no-backup", "--yes"]);
        rmSync(hub.path("backups/a.test"), { recursive: true, force: true });
        await saveSite(hub, "a.test");
        await hub.do("install", "@a.test");
        server.sql(
          "CREATE TABLE words (id INT AUTO_INCREMENT PRIMARY KEY, word TEXT); INSERT INTO words (word) SELECT REPEAT(seq, 200) FROM seq_1_to_5000;",
          database(),
        );
      };
      await fresh();
      const rows = all();
      // As above: the first passes more points.
      await hub.do(...migrate);
      await fresh();
      const at = await points(migrate);
      expect(all()).toEqual(rows);
      await fresh();
      const installed = stands();
      const ends = { resumed: 0, aborted: 0 };
      for (const [index, point] of sample(at, 8).entries()) {
        const operation = await killed(migrate, point);
        const what = `migrate killed at ${point} of ${at.points}`;
        if (operation && !operation.ended) {
          const forward = operation.committed || index % 2 === 0;
          const { code, said } = await hub.run([forward ? "resume" : "abort", operation.id]);
          expect([code, said?.error?.message], what).toEqual([0, undefined]);
          ends[forward ? "resumed" : "aborted"]++;
        }
        expect(all(), what).toEqual(rows);
        expect((await hub.do("verify", "@a.test")).counts["changed"], what).toBe(0);
        const moved = readFileSync(hub.path("aliases/a.test.yml"), "utf8").includes("@platform_next");
        expect(server.sql("SHOW DATABASES LIKE 'a\\_test%'").length, what).toBe(moved ? 2 : 1);
        // Whatever became of it, its backup may be complete.
        rmSync(hub.path("backups/a.test"), { recursive: true, force: true });
        if (moved) await fresh();
        mustBe(installed, what);
      }
      expect(Math.min(ends.resumed, ends.aborted)).toBeGreaterThan(0);
      await hub.do("delete", "@a.test", "--no-backup", "--yes");
      await saveSite(hub, "a.test");
    },
    EXHAUSTIVE ? 3_600_000 : 240_000,
  );

  test(
    "of a new password: the site has one account that works, the old or the new",
    async () => {
      await hub.do("install", "@a.test");
      const rotate = ["verify", "@a.test", "--rotate-password"];
      const at = await points(rotate);
      for (const point of sample(at, 6)) {
        const operation = await killed(rotate, point);
        const what = `rotation killed at ${point} of ${at.points}`;
        // The next verify ends what was begun, and leaves nothing to do.
        const next = await hub.run(["verify", "@a.test"]);
        expect([next.code, next.said?.error?.message], what).toEqual([0, undefined]);
        expect((await hub.do("verify", "@a.test")).counts["changed"], what).toBe(0);
        expect(hub.open, what).toEqual([]);
        const users = server.sql("SELECT DISTINCT User FROM mysql.user WHERE User LIKE 'a\\\\_test%'");
        const secrets = readFileSync(hub.path("secrets/@a.test.yml".replace("@", "")), "utf8").match(/db_password_\w+/g);
        expect([users.length, secrets], `${what} ${operation?.id ?? ""}`).toEqual([1, [`db_password_${users[0]?.[0]}`]]);
      }
      await hub.do("delete", "@a.test", "--no-backup", "--yes");
    },
    EXHAUSTIVE ? 3_600_000 : 240_000,
  );

  test("a server that is down: install and verify are refused with 69 before anything is begun; delete too, and goes on when it is up", async () => {
    await saveSite(hub, "a.test");
    await hub.do("install", "@a.test");
    await saveSite(hub, "b.test");
    const complete = stands();
    await server.stop();
    try {
      for (const args of [
        ["install", "@b.test"],
        ["verify", "@a.test"],
        ["verify", "@a.test", "--rotate-password"],
        ["verify", "@server_master"],
        ["delete", "@a.test", "--no-backup", "--yes"],
      ]) {
        const { code, said } = await hub.run(args);
        expect([code, said?.error?.code], args.join(" ")).toEqual([69, "SERVICE_UNAVAILABLE"]);
        expect(said?.error?.next).toContain("provision verify @server_master");
        expect(JSON.stringify(said)).not.toContain(decodeURIComponent(new URL(server.url).password).slice(0, 12));
      }
      const { said } = await hub.run(["doctor"]);
      expect(JSON.stringify(said?.data)).toContain("cannot be reached");
    } finally {
      await server.start();
    }
    mustBe(complete, "after a time without the server");
    await hub.do("delete", "@a.test", "--no-backup", "--yes");
  });

  test("M13, a wrong password and a missing right: 77, and what to do", async () => {
    await hub.do("save", "@server_master", `--master_db=mysql://master:wrong@127.0.0.1:${server.port}`);
    const refused = await hub.run(["install", "@b.test"]);
    expect([refused.code, refused.said?.error?.code]).toEqual([77, "DATABASE_LOGIN_REFUSED"]);
    expect(refused.said?.error?.next[0]).toContain("provision save @server_master --master_db=");
    server.sql("CREATE USER weak@'127.0.0.1' IDENTIFIED BY 'weak'; GRANT SELECT, PROCESS ON *.* TO weak@'127.0.0.1'");
    await hub.do("save", "@server_master", `--master_db=mysql://weak:weak@127.0.0.1:${server.port}`);
    const was = stands();
    const weak = await hub.run(["install", "@b.test"]);
    expect(weak.said?.error).toMatchObject({
      code: "DATABASE_RIGHT_MISSING",
      next: expect.arrayContaining([expect.stringContaining("WITH GRANT OPTION")]),
    });
    mustBe(was, "after an install without the right");
    await hub.do("save", "@server_master", `--master_db=${server.url}`);
  });

  test("db_service_type is not changed under installed sites", async () => {
    await hub.do("install", "@b.test");
    const { code, said } = await hub.run(["save", "@server_master", "--db_service_type=sqlite", "--unset=master_db"]);
    expect([code, said?.error?.code]).toEqual([1, "REFUSED"]);
    await hub.do("delete", "@b.test", "--no-backup", "--yes");
  });
});

describe.skipIf(missing !== undefined || process.getuid?.() !== 0)("a database server whose disk is full", () => {
  test("install says DISK_FULL or the core's own words, leaves nothing, and works when there is room again", async () => {
    const base = mkdtempSync(join(tmpdir(), "provision-dbfull-"));
    const disk = join(base, "disk");
    mkdirSync(disk);
    expect((await run("mount", ["-t", "tmpfs", "-o", "size=220m,mode=0755", "tmpfs", disk])).code).toBe(0);
    let server: DatabaseServer | undefined;
    try {
      const core = await makeFakeCore(join(base, "core"));
      const hub = await newHub(join(base, "hub"), core);
      server = await startServer("mysql", { below: disk });
      await hub.do("save", "@server_master", "--db_service_type=mysql", `--master_db=${server.url}`);
      await hub.do("verify", "@platform_d7");
      await saveSite(hub, "a.test");
      const tree = hub.tree();
      const databases = server.sql("SHOW DATABASES");
      const full = join(disk, "full");
      // All but nothing.
      for (let size = 1 << 20; size >= 4096; size >>= 1)
        for (;;) {
          try {
            writeFileSync(full, Buffer.alloc(size), { flag: "a" });
          } catch {
            break;
          }
        }
      const failed = await hub.run(["install", "@a.test"]);
      expect(failed.code, JSON.stringify(failed.said?.error)).toBe(4);
      expect(failed.said?.error?.code).toMatch(/DISK_FULL|INSTALL_FAILED/);
      expect(JSON.stringify(failed.said?.error)).toMatch(/full|No space left/i);
      expect(hub.tree()).toBe(tree);
      expect(server.sql("SHOW DATABASES")).toEqual(databases);
      rmSync(full);
      await hub.do("install", "@a.test");
    } finally {
      await server?.remove();
      await run("umount", [disk]);
      rmSync(base, { recursive: true, force: true });
    }
  }, 180_000);
});
