import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DatabaseAccess } from "../../src/context/database-access.js";
import { Layout } from "../../src/context/layout.js";
import { MASTER_PASSWORD, parseMasterDb, withoutPassword } from "../../src/context/master-db.js";
import { SecretStore } from "../../src/context/secrets.js";
import { Scope } from "../../src/core/scope.js";
import type { Undo } from "../../src/core/step.js";
import { HostError } from "../../src/host/host.js";
import { LocalHost } from "../../src/host/local.js";
import { databaseUndoKinds, fileUndoKinds } from "../../src/operations/undo.js";
import { type DbSetup, dbServices } from "../../src/services/db/index.js";
import { MysqlClient } from "../../src/services/db/mysql/client.js";
import { portable } from "../../src/services/db/mysql/dump.js";
import * as mysqlSql from "../../src/services/db/mysql/sql.js";
import * as pgsqlSql from "../../src/services/db/pgsql/sql.js";
import type { DatabaseOf, DbService } from "../../src/services/db/service.js";
import { copyStep, dumpStep, loadStep, tablesStep } from "../../src/services/db/transfer.js";
import { askAsSite, writeOn } from "../support/database-client.js";
import { type DatabaseServer, missingServer, type ServerType, startServer } from "../support/database-servers.js";
import { failure } from "../support/failure.js";
import { freePort } from "../support/php-server.js";
import { drive, wouldChange } from "../support/step-driver.js";

const host = new LocalHost(new Scope());

/** Everything below a directory, relative, sorted. */
function tree(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" }).sort();
}

const GENERATION = "20261123T091500-7f3a";
const WORD = "Ärger 😀 \\ ' \" ; -- \n\t";
const HOSTILE = [
  "it's",
  'a "word"',
  "back\\slash\\",
  "`tick`",
  "$(id) %d :name :'name'",
  "; DROP DATABASE x; --",
  "/* # */ \\! id",
  "line\nend\rx",
  "%_Ä😀",
  "a\u0000b\u001a",
];
const FILL = ["CREATE TABLE words (id INTEGER PRIMARY KEY, word VARCHAR(190))", `INSERT INTO words VALUES (1, :word)`];
const ENCRYPTED = {
  mysql: ["SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_version'"],
  // What the account is seen as only as itself, not as the role that it becomes.
  pgsql: ["SET ROLE NONE", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"],
};

/** A service of its own: hub, server context and, where the type needs one, a running database server. */
class Rig {
  readonly type: string;
  readonly root = realpathSync(mkdtempSync(join(tmpdir(), "provision-db-")));
  readonly layout = new Layout(this.root);
  readonly secrets = new SecretStore(this.layout);
  server: DatabaseServer | undefined;
  #url = "";

  constructor(type: string) {
    this.type = type;
    mkdirSync(this.layout.sites);
    mkdirSync(this.layout.secrets, { mode: 0o700 });
  }

  async start(args: readonly string[] = []): Promise<void> {
    if (this.type === "sqlite") return;
    this.server = await startServer(this.type as ServerType, { tls: true, args });
    this.#url = await this.keep(this.server.url);
  }

  /** The password of a master_db goes to the secrets of @server_master; what an alias file would hold comes back. */
  async keep(master: string): Promise<string> {
    const { url, password } = withoutPassword(master);
    const text = await this.secrets.changed("@server_master", new Map([[MASTER_PASSWORD, password]]));
    if (text) await host.writeFile(this.layout.secretsFile("@server_master"), text, { mode: 0o600 });
    return url;
  }

  service(more: Partial<DbSetup["server"]> = {}): DbService {
    const server = {
      name: "@server_master",
      php: undefined,
      web_group: undefined,
      master_db: this.#url,
      db_grant_all_hosts: false,
      ...more,
    };
    const make = dbServices[this.type];
    if (!make) throw new Error(`there is no type ${this.type}`);
    return make({ layout: this.layout, host, hub: host, secrets: this.secrets, server });
  }

  database(uri: string, generation = GENERATION): DatabaseOf {
    const names = this.service().names(uri, generation);
    return { site: `@${uri.replaceAll("/", ".")}`, uri, generation, paths: this.layout.generation(uri, generation), names };
  }

  /** Runs SQL as the site does, by PHP and what settings.php is given; rows as lists of text. */
  asSite(database: DatabaseOf, ...statements: readonly string[]): Promise<readonly (readonly (string | null)[])[]> {
    return this.service()
      .access(database)
      .then((access) => askAsSite(access, statements));
  }

  /** Everything that stands on the server and in the hub. */
  stands(): readonly string[] {
    const accounts = {
      mysql:
        "SELECT CONCAT(User, '@', Host) FROM mysql.user UNION SELECT SCHEMA_NAME FROM information_schema.SCHEMATA UNION SELECT CONCAT(Db, ' of ', User) FROM mysql.db",
      pgsql: "SELECT rolname FROM pg_roles UNION SELECT datname FROM pg_database",
    };
    const found = this.server?.sql(`${accounts[this.server.type]};`).map(([name = ""]) => name) ?? [];
    return [
      ...found.sort(),
      ...tree(this.root).map((path) => (path.startsWith("secrets/") ? `${path} ${readFileSync(join(this.root, path), "utf8")}` : path)),
    ];
  }

  async undoAll(undo: readonly Undo[]): Promise<void> {
    const kinds = { ...fileUndoKinds({ host: () => host }), ...databaseUndoKinds(async () => this.service()) };
    const directory = mkdtempSync(join(tmpdir(), "provision-undo-"));
    try {
      for (const one of [...undo].reverse()) await kinds[one.do]?.(one, directory);
    } finally {
      rmSync(directory, { recursive: true });
    }
  }

  async remove(): Promise<void> {
    await this.server?.remove();
    rmSync(this.root, { recursive: true });
  }
}

for (const type of Object.keys(dbServices)) {
  const missing = type === "sqlite" ? undefined : missingServer(type as ServerType);
  describe.skipIf(missing !== undefined)(`db: ${type}${missing === undefined ? "" : ` (${missing})`}`, () => {
    const rig = new Rig(type);
    const accounts = type !== "sqlite";
    const database = (uri: string, generation?: string) => rig.database(uri, generation);
    let db: DbService;

    beforeAll(async () => {
      await rig.start();
      db = rig.service();
    });
    afterAll(() => rig.remove());

    test("the server's steps prove that databases can be made, and leave nothing", async () => {
      const before = rig.stands();
      expect(await wouldChange(db.serverSteps())).toEqual([]);
      expect(rig.stands()).toEqual(before);
    });

    test("what is missing is named, with its package", async () => {
      await expect(rig.service({ php: "0.0" }).reach()).rejects.toMatchObject({ code: "PROGRAM_MISSING" });
      await expect(db.reach()).resolves.toBeUndefined();
    });

    test("the server tells what it is, and its version", async () => {
      const { product, version } = await db.version();
      const products = { mysql: ["MariaDB", "MySQL"], pgsql: ["PostgreSQL"], sqlite: ["SQLite"] }[db.type];
      expect(products).toContain(product);
      expect(version).toMatch(/^\d+\.\d+/);
      if (db.type === "sqlite")
        expect(version).toBe(execFileSync("php", ["-r", "echo SQLite3::version()['versionString'];"], { encoding: "utf8" }));
    });

    test("names are the same for the same generation, and differ between generations or are not needed", () => {
      expect(db.names("a.test", "g1")).toEqual(db.names("a.test", "g1"));
      if (Object.keys(db.names("a.test", "g1")).length > 0) expect(db.names("a.test", "g1")).not.toEqual(db.names("a.test", "g2"));
    });

    test("a database is created, found, measured and dropped; dropping it again changes nothing", async () => {
      const one = database("one.test");
      expect([await db.exists(one), await db.size(one)]).toEqual([false, 0]);
      expect((await drive(db.create(one))).changes.at(-1)).toMatch(/^create /);
      expect(await db.exists(one)).toBe(true);
      expect(await rig.asSite(one, ...FILL, "SELECT word FROM words")).toEqual([[WORD]]);
      expect(await db.size(one)).toBeGreaterThan(0);
      expect((await drive(db.drop(one))).changes.length).toBeGreaterThan(0);
      expect(await db.exists(one)).toBe(false);
      expect(await wouldChange(db.drop(one))).toEqual([]);
    });

    test("rows are counted; those of a table that has not changed since may be taken from before, those of others not", async () => {
      const one = database("counted.test");
      await drive(db.create(one));
      await rig.asSite(one, ...FILL, "SELECT word FROM words");
      const counted = await db.counts(one, ["words"]);
      expect(counted.rows).toEqual({ words: 1 });
      expect((await db.counts(one, ["words"], counted)).rows).toEqual({ words: 1 });
      // Of the same second, and of what nobody has noted, nothing is believed.
      await rig.asSite(one, "INSERT INTO words VALUES (2, 'more')", "SELECT word FROM words");
      expect((await db.counts(one, ["words"], counted)).rows).toEqual({ words: 2 });
      expect((await db.counts(one, ["words"], { rows: { words: 7 }, marks: {} })).rows).toEqual({ words: 2 });
      await drive(db.drop(one));
    });

    test("creating a database that is there is refused, and it stays as it was", async () => {
      const two = database("two.test");
      await drive(db.create(two));
      await rig.asSite(two, ...FILL);
      await expect(drive(db.create(two))).rejects.toMatchObject({ code: "NAME_TAKEN", state: "it was not touched" });
      expect(await rig.asSite(two, "SELECT word FROM words")).toEqual([[WORD]]);
    });

    test("the undo of creating leaves nothing of it, can be repeated, and bears a create that never began", async () => {
      const before = rig.stands();
      const three = database("three.test");
      const { undo } = await drive(db.create(three));
      for (let time = 0; time < 2; time++) {
        await rig.undoAll(undo);
        expect(rig.stands()).toEqual(before);
      }
    });

    test("the undo of creating spares another generation and what stood beside the database", async () => {
      const first = database("four.test", "20261123T091500-0001");
      const second = database("four.test", "20261123T091500-0002");
      await drive(db.create(first));
      await rig.asSite(first, ...FILL);
      mkdirSync(second.paths.files, { recursive: true });
      writeFileSync(join(second.paths.files, "kept.txt"), "kept");
      const before = tree(rig.layout.sites);
      const { undo } = await drive(db.create(second));
      // The secrets file is put back from the copy that the engine keeps, which this test has not.
      await rig.undoAll(undo.filter((one) => one.do !== "restore_file"));
      expect(tree(rig.layout.sites)).toEqual(before);
      expect(await db.exists(second)).toBe(false);
      expect(await rig.asSite(first, "SELECT word FROM words")).toEqual([[WORD]]);
    });

    test("a dump is one compressed file for the owner alone; loaded it is the same, but for rows that were not asked for", async () => {
      const [from, to] = [database("from.test"), database("to.test")];
      for (const each of [from, to]) await drive(db.create(each));
      await rig.asSite(from, ...FILL, "CREATE TABLE cache_x (id INTEGER PRIMARY KEY)", "INSERT INTO cache_x VALUES (1)");
      const file = join(rig.root, `${db.dumpName}.zst`);
      const { undo } = await drive([dumpStep(host, db, from, file, { structureOnly: ["cache_x", "no_such_table"] })]);
      expect([statSync(file).mode & 0o777, readFileSync(file).subarray(0, 4).toString("hex")]).toEqual([0o600, "28b52ffd"]);
      await drive([loadStep(host, db, to, file)]);
      expect(await rig.asSite(to, "SELECT word FROM words")).toEqual([[WORD]]);
      expect(await rig.asSite(to, "SELECT COUNT(*) FROM cache_x")).toEqual([["0"]]);
      expect(await rig.asSite(from, "SELECT COUNT(*) FROM cache_x")).toEqual([["1"]]);
      await rig.undoAll(undo);
      expect(existsSync(file)).toBe(false);
    });

    test("a copy has the rows of one moment, while others go on writing", async () => {
      const [from, to] = [database("live.test"), database("copy.test")];
      for (const each of [from, to]) await drive(db.create(each));
      // Each write moves one from one table to the other: at any moment the sum is the same.
      await rig.asSite(
        from,
        "CREATE TABLE a (n INTEGER)",
        "CREATE TABLE b (n INTEGER)",
        "INSERT INTO a VALUES (0)",
        "INSERT INTO b VALUES (0)",
      );
      const writing = writeOn(await db.access(from));
      try {
        await writing.begun;
        await drive([copyStep(host, db, from, rig.service(), to)]);
      } finally {
        await writing.stop();
      }
      expect(await rig.asSite(to, "SELECT a.n + b.n FROM a, b")).toEqual([["0"]]);
      expect(Number((await rig.asSite(from, "SELECT b.n FROM b"))[0]?.[0])).toBeGreaterThan(0);
    });

    test("a source that is not there, and a target that is not, fail a copy; so does a dump that is cut short", async () => {
      const [there, gone] = [database("there.test"), database("gone.test")];
      await drive(db.create(there));
      await rig.asSite(there, ...FILL);
      const file = join(rig.root, "whole.zst");
      await drive([dumpStep(host, db, there, file)]);
      if (accounts) await drive(db.create(gone).slice(0, 1));
      expect((await failure(drive([copyStep(host, db, gone, db, there)]))).code).toMatch(/COMMAND_FAILED|DATABASE_LOGIN_REFUSED/);
      expect((await failure(drive([loadStep(host, db, gone, file)]))).code).toMatch(
        /COMMAND_FAILED|DATABASE_LOGIN_REFUSED|DATABASE_RIGHT_MISSING/,
      );
      const empty = database("empty.test");
      await drive(db.create(empty));
      writeFileSync(file, readFileSync(file).subarray(0, -20));
      expect((await failure(drive([loadStep(host, db, empty, file)]))).code).toBe("COMMAND_FAILED");
    });

    test("a database is dropped while others are connected to it", async () => {
      const busy = database("busy.test");
      await drive(db.create(busy));
      await rig.asSite(
        busy,
        "CREATE TABLE a (n INTEGER)",
        "CREATE TABLE b (n INTEGER)",
        "INSERT INTO a VALUES (0)",
        "INSERT INTO b VALUES (0)",
      );
      const writing = writeOn(await db.access(busy), "stay");
      try {
        await writing.begun;
        await drive(db.drop(busy));
      } finally {
        await writing.stop();
      }
      expect(await db.exists(busy)).toBe(false);
    });

    test.runIf(accounts)("an account reaches its own database and no other, and no other reaches its", async () => {
      // Their names differ by what is a wildcard in a grant.
      const [mine, theirs] = [database("a-b.test"), database("a.b.test")];
      const near = { ...theirs, names: { database: (mine.names["database"] ?? "").replace(/_/g, "x"), user: theirs.names["user"] ?? "" } };
      await drive(db.create(mine));
      await drive(db.create(near));
      await rig.asSite(mine, ...FILL);
      const { database: name = "" } = mine.names;
      const access = { ...(await db.access(near)), database: name } as DatabaseAccess;
      await expect(askAsSite(access, ["SELECT word FROM words"])).rejects.toThrow(/denied|refused/i);
    });

    test.runIf(accounts)(
      "another account for the same database: both work, then the former one is dropped, with what it made staying",
      async () => {
        const first = database("rotate.test");
        await drive(db.create(first));
        await rig.asSite(first, ...FILL);
        const second = { ...first, names: db.nextNames(first.names, "20261123T101500-0001") ?? {} };
        const { undo } = await drive(db.createAccount(second));
        expect(await rig.asSite(second, "INSERT INTO words VALUES (2, 'two')", "SELECT COUNT(*) FROM words")).toEqual([["2"]]);
        expect(await rig.asSite(first, "SELECT COUNT(*) FROM words")).toEqual([["2"]]);
        await rig.undoAll(undo.filter((one) => one.do !== "restore_file"));
        await expect(rig.asSite(second, "SELECT 1")).rejects.toThrow();
        await drive(db.account(second));
        expect(await wouldChange(db.account(second))).toEqual([]);
        const old = await db.access(first);
        expect((await drive(db.dropFormer(second))).changes).toEqual([`drop the account ${first.names["user"]}`]);
        await expect(askAsSite(old, ["SELECT 1"])).rejects.toThrow();
        expect(
          await rig.asSite(second, "CREATE TABLE more (id INTEGER)", "ALTER TABLE words ADD extra INTEGER", "SELECT COUNT(*) FROM words"),
        ).toEqual([["2"]]);
        expect(await wouldChange(db.dropFormer(second))).toEqual([]);
        const before = [...(await rig.secrets.all(first.site)).keys()];
        expect(before).toHaveLength(1);
        await drive(db.drop(second));
        expect(await wouldChange(db.drop(first))).toEqual([]);
      },
    );

    test.runIf(accounts)("an account that lost its password or its rights gets them again", async () => {
      const lost = database("lost.test");
      await drive(db.create(lost));
      expect(await wouldChange(db.account(lost))).toEqual([]);
      const { user = "" } = lost.names;
      rig.server?.sql(
        rig.type === "mysql"
          ? `SET PASSWORD FOR '${user}'@'127.0.0.1' = PASSWORD('other'); SET PASSWORD FOR '${user}'@'localhost' = PASSWORD('other');`
          : `ALTER ROLE ${user} PASSWORD 'other'`,
      );
      expect(await wouldChange(db.account(lost))).toHaveLength(1);
      await drive(db.account(lost));
      rig.server?.sql(
        rig.type === "mysql"
          ? `REVOKE ALL, GRANT OPTION FROM '${user}'@'127.0.0.1', '${user}'@'localhost'`
          : `REVOKE ${lost.names["database"]} FROM ${user}`,
      );
      expect(await wouldChange(db.account(lost))).toHaveLength(1);
      await drive(db.account(lost));
      expect(await wouldChange(db.account(lost))).toEqual([]);
      rig.server?.sql(rig.type === "mysql" ? `DROP USER '${user}'@'127.0.0.1', '${user}'@'localhost'` : `DROP ROLE ${user}`);
      await drive(db.account(lost));
      expect(await wouldChange(db.account(lost))).toEqual([]);
    });

    test.runIf(accounts)("by its socket, and encrypted with the server's name proven", async () => {
      const { server } = rig;
      if (!server) throw new Error("no server");
      const socket = database("socket.test");
      const bySocket = rig.service({ master_db: withoutPassword(server.socketUrl).url });
      await drive(bySocket.serverSteps());
      await drive(bySocket.create(socket));
      expect(await askAsSite(await bySocket.access(socket), ["SELECT 1"])).toEqual([["1"]]);
      const tls = withoutPassword(`${server.url}?tls=verify&tls_ca=${server.base}/ca.pem`).url;
      await drive(rig.service({ master_db: tls }).serverSteps());
      expect(await askAsSite(await rig.service({ master_db: tls }).access(socket), ENCRYPTED[server.type])).toEqual([
        [expect.stringMatching(/^(TLS|t|1)/)],
      ]);
      const other = rig.service({ master_db: withoutPassword(`${server.url}?tls=verify`).url });
      expect(await failure(other.reach())).toMatchObject({ code: "SERVICE_UNAVAILABLE", message: expect.stringContaining("encrypt") });
    });

    test.runIf(accounts)(
      "what can be wrong with the server has a code of its own, a state and what to do; no message has a password",
      async () => {
        const { server } = rig;
        if (!server) throw new Error("no server");
        const at = `${server.type}://USER@127.0.0.1:${server.port}`;
        const known = withoutPassword(server.url);
        const code = async (url: string, ask: (service: DbService) => Promise<unknown> = (service) => service.reach()) => {
          const error = await failure(ask(rig.service({ master_db: url })));
          expect(error.state).toBeDefined();
          expect(error.next.length).toBeGreaterThan(0);
          expect(JSON.stringify([error.message, error.why, error.state, error.next])).not.toContain(known.password?.reveal());
          return error.code;
        };
        expect(await code(at.replace("USER", "nobody"))).toBe("DATABASE_LOGIN_REFUSED");
        expect(await code(`${server.type}://root@127.0.0.1:${await freePort()}`)).toBe("SERVICE_UNAVAILABLE");
        expect(await code(`${server.type}://root@no-such-host.invalid`)).toBe("SERVICE_UNAVAILABLE");
        expect(await code(`${server.type}://root@localhost?socket=/no/such/socket`)).toBe("SERVICE_UNAVAILABLE");
        const password = (known.password?.reveal() ?? "").replace(/['\\]/g, (sign) =>
          sign === "'" ? "''" : server.type === "mysql" ? "\\\\" : sign,
        );
        server.sql(
          server.type === "mysql"
            ? `CREATE USER weak@'127.0.0.1' IDENTIFIED BY '${password}'; GRANT SELECT ON mysql.* TO weak@'127.0.0.1'`
            : `CREATE ROLE weak LOGIN PASSWORD '${password}'`,
        );
        expect(await code(at.replace("USER", "weak"), (service) => drive(service.serverSteps()))).toBe("DATABASE_RIGHT_MISSING");
      },
    );

    test("an account that has a full database says DISK_FULL", async () => {
      const flow = await db.out(database("from.test"));
      const said = {
        mysql: ["ERROR 1114 (HY000) at line 7: The table 'words' is full"],
        pgsql: ['ERROR:  53100: could not extend file "base/1/2": No space left on device'],
        sqlite: ["Warning: SQLite3::backup(): database or disk is full"],
      }[type as "mysql"];
      const told = flow.failure(new HostError("COMMAND_FAILED", "local: it ended with exit code 1", { why: said, exitCode: 1 }));
      expect(told).toMatchObject({ code: "DISK_FULL", why: expect.arrayContaining(said) });
    });
  });
}

describe.skipIf(missingServer("mysql") !== undefined)("mysql", () => {
  const rig = new Rig("mysql");
  let db: DbService;
  beforeAll(async () => {
    await rig.start();
    db = rig.service();
  });
  afterAll(() => rig.remove());

  test("strings, names and passwords with every sign come through as they are", async () => {
    const client = new MysqlClient(host, "@server_master");
    const { user, password, port } = parseMasterDb(rig.server?.url ?? "");
    const login = { user, password, host: "127.0.0.1", port, socket: undefined, tls: undefined, tlsCa: undefined, master: true };
    for (const word of HOSTILE) {
      const [row] = await client.run(login, [`SELECT HEX(${mysqlSql.literal(word)});`], { doing: "asking" });
      expect(Buffer.from(row?.[0] ?? "", "hex").toString()).toBe(word);
      if (word.includes("\0")) continue;
      // The server's own names have no line ends that are kept and no signs beyond the first plane.
      const name = word.replaceAll(/[\n\r]|[^\0-\uFFFF]/gu, "").slice(0, 40);
      const statements = [
        `CREATE DATABASE ${mysqlSql.identifier(name)};`,
        `SELECT HEX(SCHEMA_NAME) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ${mysqlSql.literal(name)};`,
      ];
      const [found] = await client.run(login, [...statements, `DROP DATABASE ${mysqlSql.identifier(name)};`], { doing: "asking" });
      expect(Buffer.from(found?.[0] ?? "", "hex").toString()).toBe(name);
    }
  });

  test("everything is utf8mb4, and accounts are of this machine alone, or of any when that is said", async () => {
    const one = rig.database("one.test");
    await drive(db.create(one));
    const { database = "", user = "" } = one.names;
    const sql = (text: string) => rig.server?.sql(text).map((row) => row.join(" "));
    expect(
      sql(`SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '${database}'`),
    ).toEqual(["utf8mb4 utf8mb4_general_ci"]);
    expect(sql(`SELECT Host FROM mysql.user WHERE User = '${user}' ORDER BY Host`)).toEqual(["127.0.0.1", "localhost"]);
    const two = { ...rig.database("two.test"), webHosts: ["10.1.2.3"] };
    await drive(db.create(two));
    expect(sql(`SELECT Host FROM mysql.user WHERE User = '${two.names["user"]}' ORDER BY Host`)).toEqual([
      "10.1.2.3",
      "127.0.0.1",
      "localhost",
    ]);
    const three = rig.database("three.test");
    const open = rig.service({ db_grant_all_hosts: true, master_db: withoutPassword(rig.server?.url ?? "").url });
    await drive(open.create(three));
    expect(sql(`SELECT Host FROM mysql.user WHERE User = '${three.names["user"]}' ORDER BY Host`)).toEqual(["%", "localhost"]);
    await drive(open.drop(three));
    await drive(db.drop(two));
    expect(sql(`SELECT COUNT(*) FROM mysql.user WHERE User IN ('${two.names["user"]}', '${three.names["user"]}')`)).toEqual(["0"]);
  });

  test("a table whose last change is past has a mark: what it was counted by then is not counted again until it changes", async () => {
    const one = rig.database("marked.test");
    await drive(db.create(one));
    rig.server?.sql(
      "CREATE TABLE a (n INT); CREATE TABLE b (n INT); INSERT INTO a VALUES (1); INSERT INTO b VALUES (1);",
      one.names["database"],
    );
    let counted = await db.counts(one, ["a", "b"]);
    const deadline = Date.now() + 30_000;
    while (Object.keys(counted.marks).length < 2 && Date.now() < deadline) counted = await db.counts(one, ["a", "b"]);
    expect(Object.keys(counted.marks).sort()).toEqual(["a", "b"]);
    // No table has as many: whoever says so has not counted.
    const said = { ...counted, rows: { a: 41, b: 41 } };
    expect((await db.counts(one, ["a", "b"], said)).rows).toEqual({ a: 41, b: 41 });
    rig.server?.sql("INSERT INTO b VALUES (2);", one.names["database"]);
    const after = await db.counts(one, ["a", "b"], said);
    expect([after.rows, after.marks["a"], after.marks["b"]]).toEqual([{ a: 41, b: 2 }, counted.marks["a"], undefined]);
  });

  test("a dump says when its moment has come, while it still writes: what is changed from then on is not in it", async () => {
    const one = rig.database("moment.test");
    await drive(db.create(one));
    const name = one.names["database"];
    rig.server?.sql("CREATE TABLE a (body LONGTEXT); CREATE TABLE b (n INT); INSERT INTO a VALUES (REPEAT('x', 4000000));", name);
    const [file, go] = [join(rig.root, "moment.sql"), join(rig.root, "go")];
    let times = 0;
    const flow = await db.out(one, {
      onSnapshot() {
        times++;
        rig.server?.sql("INSERT INTO b VALUES (1);", name);
        writeFileSync(go, "");
      },
    });
    // Whoever reads it begins only then: more than pipes hold is still to come.
    await host.pipe(flow.argv, ["sh", "-c", 'until [ -e "$2" ]; do sleep 0.02; done; cat > "$1"', "sh", file, go], {
      ...(flow.through ? { through: flow.through } : {}),
      ...(flow.onStderr ? { onStderr: flow.onStderr } : {}),
      secretFiles: { from: flow.secretFile },
      timeout: 60_000,
    });
    const dump = readFileSync(file, "utf8");
    expect([times, dump.includes("CREATE TABLE `b`"), dump.includes("INSERT INTO `b`")]).toEqual([1, true, false]);
  });

  test("a dump made by root's views, triggers, routines and events loads under the site's account, and they work", async () => {
    const [from, to] = [rig.database("from.test"), rig.database("to.test")];
    for (const each of [from, to]) await drive(db.create(each));
    rig.server?.sql(
      `SET SESSION sql_mode = 'NO_AUTO_CREATE_USER,NO_AUTO_VALUE_ON_ZERO,NO_BACKSLASH_ESCAPES';
CREATE TABLE users (uid INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(60), picture BLOB);
INSERT INTO users VALUES (0, '', X'00FF27'), (1, 'CREATE DEFINER=\`root\`@\`localhost\`\n/*!50013 DEFINER=', NULL);
CREATE TABLE log (n INT);
CREATE TABLE cache_x (id INT); INSERT INTO cache_x VALUES (1), (2);
CREATE VIEW names AS SELECT name FROM users;
DELIMITER ;;
CREATE TRIGGER counted AFTER INSERT ON users FOR EACH ROW INSERT INTO log VALUES (NEW.uid);;
CREATE PROCEDURE both_of_them() BEGIN
SELECT COUNT(*) FROM users;
END;;
CREATE FUNCTION four() RETURNS INT DETERMINISTIC RETURN 4;;
CREATE EVENT often ON SCHEDULE EVERY 1 DAY DO DELETE FROM log;;
DELIMITER ;
`,
      from.names["database"],
    );
    const before = await rig.asSite(from, "SELECT uid, name, HEX(picture) FROM users ORDER BY uid");
    // As by MySQL's own program, which leaves rows out by this filter alone.
    const flow = await db.out(from);
    const file = join(rig.root, "mysql.sql");
    await host.pipe(flow.argv, ["sh", "-c", 'cat > "$1"', "sh", file], {
      through: [portable(["cache_x"])],
      secretFiles: { from: flow.secretFile },
    });
    const dump = readFileSync(file, "utf8");
    expect(dump).not.toMatch(/NO_AUTO_CREATE_USER|sandbox/);
    expect(dump.split("\n").filter((line) => line.includes("DEFINER=") && !/^(INSERT|[(])/.test(line))).toEqual([]);
    const into = await db.into(to);
    await host.pipe(["cat", file], into.argv, { secretFiles: { to: into.secretFile } });
    expect(await rig.asSite(to, "SELECT uid, name, HEX(picture) FROM users ORDER BY uid")).toEqual(before);
    expect(await rig.asSite(to, "SELECT COUNT(*) FROM cache_x")).toEqual([["0"]]);
    expect(await rig.asSite(to, "INSERT INTO users (name) VALUES ('x')", "SELECT COUNT(*), four() FROM log, names")).toEqual([["3", "4"]]);
    const definers = `SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '${to.names["database"]}' UNION SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '${to.names["database"]}'`;
    expect(rig.server?.sql(definers)).toEqual([[expect.stringContaining(to.names["user"] ?? "")]]);
    // A copy goes the same way.
    const again = rig.database("again.test");
    await drive(db.create(again));
    await drive([copyStep(host, db, from, db, again, { structureOnly: ["cache_x"] })]);
    expect(await rig.asSite(again, "SELECT COUNT(*) FROM users, names")).toEqual([["4"]]);
  });

  /** All that is in it, as text. */
  const dumped = async (database: DatabaseOf) => {
    const { argv, secretFile } = await db.out(database);
    const { stdout } = await host.run(argv, secretFile ? { secretFile } : {});
    return stdout.replaceAll(database.names["database"] ?? "", "DATABASE");
  };
  const nextTo = async (uri: string) => {
    const [from, to] = [rig.database(uri), rig.database(uri, "20261124T091500-7f3b")];
    for (const each of [from, to]) await drive(db.create(each));
    return { from, to, done: async () => void (await drive([from, to].flatMap((each) => db.drop(each)))) };
  };

  test("the server itself fills tables that were made before, and the two databases are the same to the next number", async () => {
    const { from, to, done } = await nextTo("filled.test");
    rig.server?.sql(
      `SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE users (uid INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(60) NOT NULL DEFAULT 'NULL', born DATETIME, picture LONGBLOB, UNIQUE (name), KEY part (name(4)));
INSERT INTO users VALUES (0, '', '0000-00-00', X'00FF27'), (1, '😀 \\ '' \n', NULL, NULL), (2, 'gone', '2026-00-00', '');
DELETE FROM users WHERE uid = 2;
CREATE TABLE \`a \`\`b\` (\`select\` DOUBLE, \`x y\` ENUM('a', 'b'), t TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) COMMENT 'odd' ROW_FORMAT=COMPRESSED;
INSERT INTO \`a \`\`b\` VALUES (0.1, 'b', '2026-11-24 01:02:03'), (1e300, '', '2026-11-24 01:02:04');
CREATE TABLE old (word VARCHAR(10)) CHARACTER SET latin1; INSERT INTO old VALUES ('Ä');
CREATE TABLE cache_x (id INT AUTO_INCREMENT PRIMARY KEY); INSERT INTO cache_x VALUES (1), (2);`,
      from.names["database"],
    );
    expect(await db.fits?.(from)).toBe(true);
    await drive([tablesStep(db, from, to)]);
    expect(await rig.asSite(to, "SELECT COUNT(*) FROM users")).toEqual([["0"]]);
    rig.server?.sql(
      "INSERT INTO users (name) VALUES ('since'), ('gone too'); DELETE FROM users WHERE name = 'gone too';",
      from.names["database"],
    );
    expect(await db.fill?.(from, to, ["cache_x"])).toBe(true);
    expect(await rig.asSite(to, "SELECT COUNT(*) FROM cache_x")).toEqual([["0"]]);
    rig.server?.sql("DELETE FROM cache_x", from.names["database"]);
    expect((await dumped(to)).split("\n")).toEqual((await dumped(from)).split("\n"));
    await done();
  });

  test.each([
    ["a view", "CREATE VIEW v AS SELECT id FROM a"],
    ["a trigger", "CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW SET @n = 1"],
    ["a routine", "CREATE FUNCTION four() RETURNS INT DETERMINISTIC RETURN 4"],
    ["an event", "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM a"],
    ["a reference", "CREATE TABLE b (id INT, FOREIGN KEY (id) REFERENCES a (id))"],
    ["a condition", "CREATE TABLE b (id INT CHECK (id > 0))"],
    ["a computed column", "CREATE TABLE b (id INT, twice INT AS (id * 2) STORED)"],
    ["partitions", "CREATE TABLE b (id INT) PARTITION BY HASH (id) PARTITIONS 2"],
    ["another storage engine", "CREATE TABLE b (id INT) ENGINE=MyISAM"],
  ])("a database with %s goes by a dump", async (_what, statement) => {
    const { from, to, done } = await nextTo("odd.test");
    rig.server?.sql(`CREATE TABLE a (id INT PRIMARY KEY); INSERT INTO a VALUES (1); ${statement};`, from.names["database"]);
    expect(await db.fits?.(from)).toBe(false);
    expect(await wouldChange([tablesStep(db, from, to)])).toEqual([]);
    expect(await db.fill?.(from, to, [])).toBe(false);
    await drive([copyStep(host, db, from, db, to, { still: true })]);
    expect(await rig.asSite(to, "SELECT COUNT(*) FROM a")).toEqual([["1"]]);
    await done();
  });

  test.each([
    ["with another column", "ALTER TABLE a ADD word VARCHAR(9)", "from"],
    ["with another default", "ALTER TABLE a ALTER n SET DEFAULT 7", "from"],
    ["with another index", "CREATE INDEX more ON a (n)", "from"],
    ["that are more", "CREATE TABLE b (id INT); INSERT INTO b VALUES (1)", "from"],
    ["that a run which was killed has filled in part", "INSERT INTO a VALUES (1, 1)", "to"],
  ] as const)("tables %s than those that were made are not filled, but made again", async (_what, statement, where) => {
    const { from, to, done } = await nextTo("changed.test");
    rig.server?.sql("CREATE TABLE a (id INT PRIMARY KEY, n INT); INSERT INTO a VALUES (1, 1), (2, 2);", from.names["database"]);
    await drive([tablesStep(db, from, to)]);
    rig.server?.sql(statement, (where === "from" ? from : to).names["database"]);
    const before = await dumped(to);
    expect(await db.fill?.(from, to, [])).toBe(false);
    expect(await dumped(to)).toBe(before);
    await drive([copyStep(host, db, from, db, to, { still: true })]);
    expect(await dumped(to)).toBe(await dumped(from));
    await done();
  });

  test("a server that keeps a log of statements fills tables too", async () => {
    const logging = new Rig("mysql");
    try {
      await logging.start(["--log-bin", "--binlog-format=STATEMENT"]);
      const logged = logging.service();
      const [from, to] = [logging.database("logged.test"), logging.database("logged.test", "20261124T091500-7f3b")];
      for (const each of [from, to]) await drive(logged.create(each));
      logging.server?.sql("CREATE TABLE a (id INT PRIMARY KEY); INSERT INTO a VALUES (1);", from.names["database"]);
      await drive([tablesStep(logged, from, to)]);
      expect(await logged.fill?.(from, to, [])).toBe(true);
      expect(await logging.asSite(to, "SELECT COUNT(*) FROM a")).toEqual([["1"]]);
    } finally {
      await logging.remove();
    }
  });

  test("what a run that was killed still does in a database is ended before that is filled, and before it is dropped", async () => {
    const { from, to, done } = await nextTo("still.test");
    rig.server?.sql("CREATE TABLE a (id INT PRIMARY KEY); INSERT INTO a VALUES (1);", from.names["database"]);
    await drive([tablesStep(db, from, to)]);
    const { argv, secretFile } = await db.into(to);
    const left = () =>
      host
        .run(argv, { ...(secretFile ? { secretFile } : {}), input: "INSERT INTO a SELECT 1 + SLEEP(300);\n", anyExit: true })
        .then(({ code }) => code);
    const running = async () => {
      for (let turn = 0; turn < 200; turn++) {
        if (Number(rig.server?.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO a%'")[0]?.[0]) > 0)
          return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new Error("it does not run");
    };
    const first = left();
    await running();
    expect(await db.fill?.(from, to, [])).toBe(true);
    expect([await first, await rig.asSite(to, "SELECT COUNT(*) FROM a")]).toEqual([1, [["1"]]]);
    const second = left();
    await running();
    await done();
    expect(await second).toBe(1);
  });

  test("the account of master_db is never dropped, whatever a site's context says", async () => {
    const own = { ...rig.database("own.test"), names: { database: "own", user: "master" } };
    expect(await failure(drive(db.drop(own)))).toMatchObject({ code: "REFUSED", state: "nothing was dropped" });
    await db.reach();
    expect(rig.server?.sql("SELECT COUNT(*) FROM mysql.user WHERE User = 'master'")).toEqual([["2"]]);
  });
});

describe.skipIf(missingServer("pgsql") !== undefined)("pgsql", () => {
  const rig = new Rig("pgsql");
  let db: DbService;
  beforeAll(async () => {
    await rig.start();
    // An account that may do no more than it has to.
    rig.server?.sql("CREATE ROLE maker LOGIN CREATEDB CREATEROLE PASSWORD 'maker'");
    const url = await rig.keep(`pgsql://maker:maker@127.0.0.1:${rig.server?.port}`);
    db = rig.service({ master_db: url });
  });
  afterAll(() => rig.remove());

  test("strings and names with every sign come through as they are", async () => {
    const sql = (text: string) => rig.server?.sql(text).map((row) => row.join(" "));
    for (const word of HOSTILE.filter((one) => !one.includes("\0"))) {
      expect(sql(`SELECT encode(convert_to(${pgsqlSql.literal(word)}, 'UTF8'), 'hex')`)).toEqual([Buffer.from(word).toString("hex")]);
      expect(sql(`SET standard_conforming_strings = off; SELECT encode(convert_to(${pgsqlSql.literal(word)}, 'UTF8'), 'hex')`)).toEqual([
        Buffer.from(word).toString("hex"),
      ]);
      const role = word.slice(0, 40);
      expect(
        sql(
          `CREATE ROLE ${pgsqlSql.identifier(role)}; SELECT encode(convert_to(rolname, 'UTF8'), 'hex') FROM pg_roles WHERE rolname = ${pgsqlSql.literal(role)}; DROP ROLE ${pgsqlSql.identifier(role)}`,
        ),
      ).toEqual([Buffer.from(role).toString("hex")]);
    }
  });

  test("an account without all rights makes, copies, hands over and drops databases", async () => {
    const before = rig.stands();
    await drive(db.serverSteps());
    expect(rig.stands()).toEqual(before);
    const [from, to] = [rig.database("from.test"), rig.database("to.test")];
    for (const each of [from, to]) await drive(db.create(each));
    const statements = [
      "CREATE TABLE users (uid SERIAL PRIMARY KEY, name TEXT)",
      "COMMENT ON TABLE users IS 'people'",
      "INSERT INTO users (name) VALUES ('COMMENT ON EXTENSION x'), (E'\\\\.')",
      "CREATE EXTENSION pg_trgm",
      "CREATE FUNCTION four() RETURNS int LANGUAGE sql AS 'SELECT 4'",
      "CREATE VIEW names AS SELECT name FROM users",
    ];
    await rig.asSite(from, ...statements);
    await drive([copyStep(host, db, from, db, to)]);
    const rows =
      "SELECT uid, name, four(), obj_description('users'::regclass), similarity(name, name) FROM users JOIN names USING (name) ORDER BY 1";
    expect(await rig.asSite(to, rows)).toEqual(await rig.asSite(from, rows));
    const owners =
      "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public' UNION SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE proname = 'four'";
    expect(await rig.asSite(to, owners)).toEqual([[to.names["database"]]]);
    expect(await rig.asSite(to, "SHOW server_encoding")).toEqual([["UTF8"]]);
    const second = { ...to, names: db.nextNames(to.names, "20261123T101500-0001") ?? {} };
    await drive(db.createAccount(second));
    await drive(db.dropFormer(second));
    expect(await rig.asSite(second, "DROP VIEW names", "ALTER TABLE users ADD more INTEGER", "SELECT count(*) FROM users")).toEqual([
      ["2"],
    ]);
    await drive(db.drop(second));
    await drive(db.drop(from));
    expect(rig.stands().filter((line) => !line.startsWith("secrets/"))).toEqual(before.filter((line) => !line.startsWith("secrets/")));
  });

  test("the account of master_db is never dropped, whatever a site's context says", async () => {
    const own = { ...rig.database("own.test"), names: { database: "own", user: "maker" } };
    expect(await failure(drive(db.drop(own)))).toMatchObject({ code: "REFUSED", state: "nothing was dropped" });
  });
});

describe("sqlite", () => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "provision-sqlite-")));
  const layout = new Layout(root);
  const paths = layout.generation("one.test", "20261123T091500-7f3a");
  const database: DatabaseOf = { site: "@one.test", uri: "one.test", generation: GENERATION, paths, names: {} };
  const sqlite = (web_group?: string) =>
    dbServices["sqlite"]?.({
      layout,
      host,
      hub: host,
      secrets: new SecretStore(layout),
      server: { name: "@server_master", php: undefined, web_group, master_db: undefined, db_grant_all_hosts: false },
    }) as DbService;
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
