import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Layout } from "../../src/context/layout.js";
import { Scope } from "../../src/core/scope.js";
import type { Undo } from "../../src/core/step.js";
import { LocalHost } from "../../src/host/local.js";
import { fileUndoKinds } from "../../src/operations/undo.js";
import { type DbSetup, dbServices } from "../../src/services/db/index.js";
import type { DatabaseOf, DbService } from "../../src/services/db/service.js";
import { drive, wouldChange } from "../support/step-driver.js";

const host = new LocalHost(new Scope());

/** Everything below a directory, relative, sorted. */
function tree(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" }).sort();
}

async function undoAll(undo: readonly Undo[]): Promise<void> {
  const kinds = fileUndoKinds({ host: () => host });
  for (const one of [...undo].reverse()) await kinds[one.do]?.(one, "");
}

for (const [type, make] of Object.entries(dbServices)) {
  describe(`db: ${type}`, () => {
    const root = realpathSync(mkdtempSync(join(tmpdir(), "provision-db-")));
    const layout = new Layout(root);
    const service = (more: Partial<DbSetup["server"]> = {}): DbService =>
      make({ layout, host, server: { name: "@server_master", php: undefined, web_group: undefined, ...more } });
    const db = service();
    const database = (uri: string, generation = "20261123T091500-7f3a"): DatabaseOf => ({
      uri,
      generation,
      paths: layout.generation(uri, generation),
      names: db.names(uri, generation),
    });

    beforeAll(() => mkdirSync(layout.sites));
    afterAll(() => rmSync(root, { recursive: true }));

    test("the server's steps prove that databases can be made, and leave nothing", async () => {
      const before = tree(root);
      expect(await wouldChange(db.serverSteps())).toEqual([]);
      expect(tree(root)).toEqual(before);
    });

    test("what is missing is named, with its package", async () => {
      await expect(service({ php: "0.0" }).reach()).rejects.toMatchObject({ code: "PROGRAM_MISSING" });
      await expect(db.reach()).resolves.toBeUndefined();
    });

    test("names are the same for the same generation, and differ between generations or are not needed", () => {
      expect(db.names("a.test", "g1")).toEqual(db.names("a.test", "g1"));
      if (Object.keys(db.names("a.test", "g1")).length > 0) expect(db.names("a.test", "g1")).not.toEqual(db.names("a.test", "g2"));
    });

    test("a database is created, found, measured and dropped; dropping it again changes nothing", async () => {
      const one = database("one.test");
      expect([await db.exists(one), await db.size(one)]).toEqual([false, 0]);
      expect((await drive(db.create(one))).changes).toHaveLength(1);
      expect(await db.exists(one)).toBe(true);
      expect(await db.size(one)).toBeGreaterThan(0);
      expect((await drive(db.drop(one))).changes).toHaveLength(1);
      expect(await db.exists(one)).toBe(false);
      expect(await wouldChange(db.drop(one))).toEqual([]);
    });

    test("creating a database that is there is refused, and it stays as it was", async () => {
      const two = database("two.test");
      await drive(db.create(two));
      const size = await db.size(two);
      await expect(drive(db.create(two))).rejects.toMatchObject({ code: "NAME_TAKEN" });
      expect(await db.size(two)).toBe(size);
    });

    test("the undo of creating leaves nothing of it, can be repeated, and bears a create that never began", async () => {
      const before = tree(root);
      const three = database("three.test");
      const { undo } = await drive(db.create(three));
      for (let time = 0; time < 2; time++) {
        await undoAll(undo);
        expect(tree(root)).toEqual(before);
      }
    });

    test("the undo of creating spares another generation and what stood beside the database", async () => {
      const first = database("four.test", "20261123T091500-0001");
      const second = database("four.test", "20261123T091500-0002");
      await drive(db.create(first));
      mkdirSync(second.paths.files, { recursive: true });
      writeFileSync(join(second.paths.files, "kept.txt"), "kept");
      const before = tree(root);
      await undoAll((await drive(db.create(second))).undo);
      expect(tree(root)).toEqual(before);
      expect(await db.exists(first)).toBe(true);
    });
  });
}

describe("sqlite", () => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "provision-sqlite-")));
  const layout = new Layout(root);
  const paths = layout.generation("one.test", "20261123T091500-7f3a");
  const database: DatabaseOf = { uri: "one.test", generation: "20261123T091500-7f3a", paths, names: {} };
  const sqlite = (web_group?: string) =>
    dbServices["sqlite"]?.({ layout, host, server: { name: "@server_master", php: undefined, web_group } }) as DbService;
  afterAll(() => rmSync(root, { recursive: true }));

  test("file and directory are the web group's, whatever the umask; PHP finds an empty database in WAL mode", async () => {
    const before = process.umask(0o077);
    try {
      await drive(sqlite(process.getuid?.() === 0 ? "www-data" : undefined).create(database));
    } finally {
      process.umask(before);
    }
    const group =
      process.getuid?.() === 0 ? Number(execFileSync("getent", ["group", "www-data"]).toString().split(":")[2]) : process.getgid?.();
    const directory = statSync(dirname(paths.database));
    const file = statSync(paths.database);
    expect([directory.mode & 0o7777, directory.gid]).toEqual([0o2770, group]);
    expect([file.mode & 0o7777, file.gid]).toEqual([0o660, group]);
    const code = `$pdo = new PDO('sqlite:' . $argv[1]); echo $pdo->query('PRAGMA journal_mode')->fetchColumn(), ' ', $pdo->query('PRAGMA integrity_check')->fetchColumn(), ' ', $pdo->query('SELECT count(*) FROM sqlite_master')->fetchColumn();`;
    expect(execFileSync("php", ["-r", code, "--", paths.database]).toString()).toBe("wal ok 0");
    expect(await sqlite().access(database)).toEqual({ driver: "sqlite", database: paths.database });
    expect(existsSync(`${paths.database}-journal`)).toBe(false);
  });

  test("a web_group that does not exist is named, before a database is left half made", async () => {
    const other = { ...database, paths: layout.generation("two.test", database.generation) };
    await expect(drive(sqlite("no-such-group").create(other))).rejects.toMatchObject({
      code: "CONFIGURATION",
      message: expect.stringContaining("no-such-group"),
    });
    expect(existsSync(other.paths.root)).toBe(false);
  });
});
