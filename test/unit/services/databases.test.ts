import { describe, expect, it, test } from "vitest";
import { Layout } from "../../../src/context/layout.js";
import { masterDbProblem, parseMasterDb, withoutPassword } from "../../../src/context/master-db.js";
import type { SecretStore } from "../../../src/context/secrets.js";
import { reveal, Secret } from "../../../src/core/secret.js";
import { type Argv, type Host, HostError, type RunOptions } from "../../../src/host/host.js";
import { type DbSetup, dbServices } from "../../../src/services/db/index.js";
import { optionFile } from "../../../src/services/db/mysql/client.js";
import { mysqlFailure } from "../../../src/services/db/mysql/failure.js";
import * as mysqlSql from "../../../src/services/db/mysql/sql.js";
import { databaseNames, nextUser, sameFamily } from "../../../src/services/db/names.js";
import { pgsqlFailure } from "../../../src/services/db/pgsql/failure.js";
import * as pgsqlSql from "../../../src/services/db/pgsql/sql.js";
import type { ServerLogin } from "../../../src/services/db/server-database.js";
import type { DatabaseOf, DbService } from "../../../src/services/db/service.js";
import { failure } from "../../support/failure.js";
import { drive } from "../../support/step-driver.js";

const GENERATION = "20261123T091500-7f3a";
const HOSTILE = ["it's", 'a "word"', "back\\slash", "`tick`", "$(id)", "; DROP DATABASE x; --", "line\nend\r", "%_", "\u0000"];

describe("names of databases and accounts", () => {
  const long = "a-very-long-name-of-an-agency.and-its-client.with-many-words.example";
  const uris = [
    long,
    `${long}s`,
    `www.${long}`,
    "a.b",
    "a-b",
    "a.b/c",
    "a.b.c",
    "1.example.com",
    "xn--bcher-kva.example",
    "e.test",
    `${"a".repeat(60)}.test`,
  ];

  it("are of what the servers take, within their limits, and never those of another uri or generation", () => {
    const generations = [GENERATION, "20261123T091500-7f3b", "20261123T091501-7f3a"];
    const names = uris.flatMap((uri) => generations.map((generation) => databaseNames(uri, generation)));
    for (const { database, user } of names) {
      expect(database).toMatch(/^[a-z][a-z0-9_]{1,62}$/);
      expect(user).toMatch(/^[a-z][a-z0-9_]{1,31}$/);
      expect(nextUser(nextUser(user, "one"), "two").length).toBeLessThanOrEqual(32);
    }
    expect(new Set(names.map(({ database }) => database)).size).toBe(names.length);
    expect(new Set(names.map(({ user }) => user)).size).toBe(names.length);
  });

  it("tell which account replaced which, and take no other for it", () => {
    // A pattern in a grant: each _ is two of the 64 characters that MariaDB allows.
    for (const uri of ["a", "e.test", "a-b.c-d.e-f.g-h.i-j.example.com", "www.a.very.long.name.of.a.site.with.many.labels.example.com"]) {
      const { database } = databaseNames(uri, GENERATION);
      expect(database.replaceAll("_", "\\_").length, database).toBeLessThanOrEqual(64);
    }
    const { user } = databaseNames("e.test", GENERATION);
    const second = nextUser(user, "operation");
    expect([sameFamily(user, second), sameFamily(second, user), sameFamily(second, nextUser(second, "other"))]).toEqual([true, true, true]);
    expect(second).toMatch(new RegExp(`^${user}_r[0-9a-f]{7}$`));
    // A uri that reads like the name of an account.
    const alike = databaseNames("e.test.deadbeef", GENERATION).user;
    expect(sameFamily(alike, databaseNames("e.test.deadbeef", "20261123T091500-7f3b").user)).toBe(false);
    expect(sameFamily(user, databaseNames("e.test", "20261123T091500-7f3b").user)).toBe(false);
  });
});

describe("text for MySQL", () => {
  it.each(HOSTILE)("keeps %j inside a string", (word) => {
    // What stands between the outer quotes has no quote that ends it and no backslash that is not a pair's first.
    expect(mysqlSql.literal(word)).toMatch(/^'(?:[^'\\\n\r\0]|\\['\\nrZ0])*'$/);
  });
  it("doubles what would end a name, and refuses what no name can be", () => {
    expect(mysqlSql.identifier("a`b\\c")).toBe("`a``b\\c`");
    for (const name of ["", "a\0b"]) expect(() => mysqlSql.identifier(name)).toThrow();
  });
  it("grants on one database alone: its _ and % match nothing else", () => {
    expect(mysqlSql.grantPattern("a_b%c\\d")).toBe("`a\\_b\\%c\\\\d`.*");
  });
  it("writes option files that give a value back as it was", () => {
    expect(mysqlSql.optionValue('#a "b" \\ \n')).toBe('"#a \\"b\\" \\\\ \\n"');
  });
});

describe("text for PostgreSQL", () => {
  it.each(HOSTILE.filter((word) => word !== "\u0000"))("keeps %j inside a string", (word) => {
    expect(pgsqlSql.literal(word)).toMatch(/^(?:'(?:[^'\\]|'')*'|E'(?:[^'\\]|''|\\\\)*')$/);
  });
  it("doubles what would end a name, and refuses what no name can be", () => {
    expect(pgsqlSql.identifier('a"b\\c')).toBe('"a""b\\c"');
    for (const name of ["", "a\0b", "ä".repeat(32)]) expect(() => pgsqlSql.identifier(name)).toThrow();
    expect(() => pgsqlSql.literal("a\0b")).toThrow();
    expect(pgsqlSql.tablePattern('a"b.*')).toBe('public."a""b.*"');
    expect(pgsqlSql.passwordFileValue("a:b\\c")).toBe("a\\:b\\\\c");
  });
  it("gives the server what it keeps of a password, and never the password", () => {
    const verifier = pgsqlSql.scramVerifier(new Secret("correct horse"));
    expect(verifier).toMatch(/^SCRAM-SHA-256\$4096:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$/);
    expect(verifier).not.toBe(pgsqlSql.scramVerifier(new Secret("correct horse")));
  });
});

describe("master_db", () => {
  it.each([
    ["mysql://root@127.0.0.1:3306", { driver: "mysql", user: "root", host: "127.0.0.1", port: 3306 }],
    ["mariadb://root@db", { driver: "mysql", host: "db", port: 3306 }],
    ["mysql://root@localhost?socket=/run/my%20sqld.sock", { socket: "/run/my sqld.sock" }],
    [
      "postgresql://a%40b@[::1]:5433/template1?tls=verify&tls_ca=/ca.pem",
      { driver: "pgsql", user: "a@b", host: "::1", port: 5433, database: "template1", tls: "verify", tlsCa: "/ca.pem" },
    ],
  ] as const)("%s is read", (url, parts) => {
    expect(masterDbProblem(url)).toBeUndefined();
    expect(parseMasterDb(url)).toMatchObject(parts);
  });

  it("gives its password up, whatever signs are in it", () => {
    const password = "p:a/s?s#w@o%r d'\"\\é";
    const { url, password: taken } = withoutPassword(`mysql://root:${encodeURIComponent(password)}@db:3307?tls=on`);
    expect([url, taken?.reveal()]).toEqual(["mysql://root@db:3307?tls=on", password]);
    expect(withoutPassword("mysql://root@db")).toEqual({ url: "mysql://root@db", password: undefined });
  });

  it.each([
    "root@localhost",
    "http://root@db",
    "mysql:root@db",
    "mysql://db",
    "mysql://root@",
    "mysql://root:pa@ss/word@db",
    "mysql://root:50%@db",
    "mysql://root@db/one",
    "mysql://root@db#x",
    "mysql://root@db?sockt=/a",
    "mysql://root@db?socket=a",
    "mysql://root@db?socket=/a&socket=/b",
    "mysql://root@db?socket=/a&tls=on",
    "mysql://root@db?tls=maybe",
    "mysql://root@db?tls_ca=/a",
    "mysql://root@db:99999",
    "mysql://root @db",
    "mysql://root@db\n",
    "mysql://ro%00ot@db",
    "pgsql://root:a%0Ab@db",
    "mysql://root@d;b",
    "mysql://root@db?socket=/a/../b",
    "pgsql://root@db/a/b",
  ])("%j is refused, without being repeated", (url) => {
    const problem = masterDbProblem(url);
    expect(problem).toBeDefined();
    expect(problem).not.toContain("ss/word");
  });
});

describe("what goes wrong", () => {
  const login = {
    user: "root",
    password: new Secret("geheim"),
    host: "db",
    port: 3306,
    socket: undefined,
    tls: undefined,
    tlsCa: undefined,
    master: true,
  };

  it.each([
    ["ERROR 2002 (HY000): Can't connect to local server through socket '/run/x' (2)", "SERVICE_UNAVAILABLE", 69],
    ["ERROR 2003 (HY000): Can't connect to MySQL server on '127.0.0.1:3306' (111)", "SERVICE_UNAVAILABLE", 69],
    ["ERROR 1040 (HY000): Too many connections", "SERVICE_UNAVAILABLE", 69],
    ["ERROR 1290 (HY000) at line 2: The MySQL server is running with the --read-only option", "SERVICE_UNAVAILABLE", 69],
    ["ERROR 2026 (HY000): TLS/SSL error: self-signed certificate in certificate chain", "SERVICE_UNAVAILABLE", 69],
    ["ERREUR 1045 (28000): Accès refusé", "COMMAND_FAILED", 1],
    ["ERROR 1045 (28000): Access denied for user 'root'@'localhost' (using password: YES)", "DATABASE_LOGIN_REFUSED", 77],
    ["ERROR 1698 (28000): Access denied for user 'root'@'localhost'", "DATABASE_LOGIN_REFUSED", 77],
    ["mysqldump: Got error: 1045: \"Access denied for user 'a'@'b'\" when trying to connect", "DATABASE_LOGIN_REFUSED", 77],
    ["ERROR 1044 (42000) at line 2: Access denied for user 'a'@'b' to database 'c'", "DATABASE_RIGHT_MISSING", 77],
    ["mysqldump: Couldn't execute 'SHOW CREATE EVENT': Access denied (1227)", "DATABASE_RIGHT_MISSING", 77],
    ["ERROR 1419 (HY000) at line 9: You do not have the SUPER privilege and binary logging is enabled", "DATABASE_RIGHT_MISSING", 77],
    ["ERROR 1114 (HY000) at line 9: The table 'x' is full", "DISK_FULL", 1],
    ['ERROR 1030 (HY000) at line 9: Got error 28 "No space left on device" from storage engine Aria', "DISK_FULL", 1],
    ["ERROR 1064 (42000) at line 9: You have an error near 'geheim'", "COMMAND_FAILED", 1],
  ])("MySQL: %s → %s, exit %i", (line, code, exit) => {
    const error = mysqlFailure([line], login, "@server_db", "making a database");
    expect([error.code, error.exit]).toEqual([code, exit]);
    expect(error.message).toContain("@server_db (db:3306)");
    expect(JSON.stringify(error.why)).not.toContain("geheim");
    if (code !== "COMMAND_FAILED") expect([error.state, error.next.length > 0]).toEqual([expect.any(String), true]);
  });

  it.each([
    ['psql: error: connection to server at "db" (1.2.3.4), port 5432 failed: Connection refused', "SERVICE_UNAVAILABLE", 69],
    ['psql: error: could not translate host name "db" to address: Name or service not known', "SERVICE_UNAVAILABLE", 69],
    ['psql: error: connection to server on socket "/x" failed: FATAL:  sorry, too many clients already', "SERVICE_UNAVAILABLE", 69],
    ['psql: error: connection to server at "db" failed: FATAL:  the database system is starting up', "SERVICE_UNAVAILABLE", 69],
    ["psql:<stdin>:2: ERROR:  57P01: terminating connection due to administrator command", "SERVICE_UNAVAILABLE", 69],
    [
      'psql: error: connection to server at "db" failed: FATAL:  password authentication failed for user "root"',
      "DATABASE_LOGIN_REFUSED",
      77,
    ],
    ['psql: error: connection to server at "db" failed: fe_sendauth: no password supplied', "DATABASE_LOGIN_REFUSED", 77],
    [
      'psql: error: connection to server on socket "/x" failed: FATAL:  Peer authentication failed for user "root"',
      "DATABASE_LOGIN_REFUSED",
      77,
    ],
    ["psql:<stdin>:2: ERROR:  42501: permission denied to create role", "DATABASE_RIGHT_MISSING", 77],
    ['psql:<stdin>:2: ERROR:  53100: could not extend file "base/1/2": No space left on device', "DISK_FULL", 1],
    ["pg_dump: error: aborting because of server version mismatch", "CONFIGURATION", 78],
    ["psql:<stdin>:2: ERROR:  42601: syntax error", "COMMAND_FAILED", 1],
  ])("PostgreSQL: %s → %s, exit %i", (line, code, exit) => {
    const error = pgsqlFailure(
      [line, "LINE 1: CREATE ROLE x PASSWORD 'geh", "                ^"],
      { ...login, port: 5432 },
      "@server_db",
      "making a database",
    );
    expect([error.code, error.exit]).toEqual([code, exit]);
    expect(error.why).toEqual([line]);
    if (code !== "COMMAND_FAILED") expect([error.state, error.next.length > 0]).toEqual([expect.any(String), true]);
  });
});

/** A host on which only some programs are installed, and a server that answers a question as `answers` says; it keeps all it was asked. */
class Recorder {
  readonly said: string[] = [];
  readonly #programs: readonly string[];
  readonly #answers: readonly (readonly [RegExp, string])[];

  constructor(programs: readonly string[], answers: readonly (readonly [RegExp, string])[]) {
    this.#programs = programs;
    this.#answers = answers;
  }

  service(type: "mysql" | "pgsql", master_db: string, more: Partial<DbSetup["server"]> = {}): DbService {
    const secrets = {
      get: async () => new Secret("PASSWORD"),
      all: async () => new Map(),
      layout: new Layout("/hub"),
    } as unknown as SecretStore;
    const host = { name: "local", run: this.run } as unknown as Host;
    const server = { name: "@server_db", php: undefined, web_group: undefined, master_db, db_grant_all_hosts: false, ...more };
    const made = dbServices[type]?.({ layout: new Layout("/hub"), host, hub: host, secrets, server });
    if (!made) throw new Error(type);
    return made;
  }

  run = async (argv: Argv, options: RunOptions = {}) => {
    const [program] = argv;
    if (!this.#programs.includes(program)) throw new HostError("PROGRAM_MISSING", `local: the program ${program} is not installed`);
    const input = options.input instanceof Secret ? options.input.reveal() : String(options.input ?? "");
    const asked = program === "php" || argv.includes("--version") ? "" : input;
    if (asked !== "") this.said.push(`$ ${argv.join(" ")}\n${asked.replace(/SCRAM-SHA-256\$[^']*/g, "SCRAM").trimEnd()}`);
    // It has the database as soon as it was told to make it.
    const made = /^SELECT 1 FROM .*(SCHEMA_NAME|datname) = /m.test(input) && this.said.some((one) => one.includes("\nCREATE DATABASE"));
    const [, stdout = made ? "1\n" : ""] = this.#answers.find(([question]) => question.test(`${argv.join(" ")}\n${input}`)) ?? [];
    return { code: 0, stdout, stderr: "", document: "" };
  };
}

const DATABASE: DatabaseOf = {
  site: "@e.test",
  uri: "e.test",
  generation: GENERATION,
  paths: new Layout("/hub").generation("e.test", GENERATION),
  names: databaseNames("e.test", GENERATION),
};
const PHP = [/^php/, "8.2 1"] as const;

describe("servers that no test can start here are told what they understand", () => {
  async function everything(recorder: Recorder, db: DbService): Promise<string> {
    await db.reach();
    await drive(db.create(DATABASE));
    await drive(db.account(DATABASE));
    await db.size(DATABASE);
    expect(await db.fill?.(DATABASE, { ...DATABASE, names: databaseNames("e.test", "next") }, ["cache"])).toBe(db.fill && true);
    await db.removeAccount?.(DATABASE.names);
    await db.remove?.(DATABASE.names);
    const [out, into] = [await db.out(DATABASE, { structureOnly: ["cache", "a`b"] }), await db.into(DATABASE)];
    return [...recorder.said, ...[out.argv, ...(out.through ?? []), into.argv].map((argv) => `$ ${argv.join(" ")}`), ""].join("\n\n");
  }

  test("MySQL 8, by its own client programs", async () => {
    const recorder = new Recorder(
      ["mysql", "php"],
      [
        PHP,
        [/VERSION\(\)/, "8.0.40\troot@10.0.0.9\n"],
        [
          /^SELECT 'from'/m,
          ["0", "binlog_format\tROW", "log_bin\tON", "from\tcache\t0\tA", "from\tusers\t0\tA", "to\tcache\t0\tA", "to\tusers\t0\tA\n"].join(
            "\n",
          ),
        ],
        [/^INSERT INTO `users`/m, "users\t9\n"],
        [/^SELECT EXISTS/m, "0\n"],
        [/^SELECT \(SELECT COUNT/m, "0\t0\n"],
        [/SELECT User, Host/, "e_test_00000000\tlocalhost\n"],
        [/PROCESSLIST/, "7\n"],
      ],
    );
    await expect(everything(recorder, recorder.service("mysql", "mysql://root@db:3306?tls=verify"))).resolves.toMatchFileSnapshot(
      "../../golden/services/mysql-8.txt",
    );
  });

  test("PostgreSQL 12, as an account that is no superuser", async () => {
    const recorder = new Recorder(["psql", "php"], [PHP, [/server_version_num/, "120022\tf\tSQL_ASCII\t12.22\n"]]);
    const db = recorder.service("pgsql", "pgsql://admin@db:5432");
    await expect(everything(recorder, db)).resolves.toMatchFileSnapshot("../../golden/services/pgsql-12.txt");
  });

  test.each([
    ["mysql", "10.4.34-MariaDB-log", 78],
    ["mysql", "5.7.44", 78],
    ["mysql", "10.5.0-MariaDB", 0],
    ["mysql", "8.4.3", 0],
    ["mysql", "11.8.2-MariaDB", 0],
    ["pgsql", "110022", 78],
    ["pgsql", "120000", 0],
    ["pgsql", "170004", 0],
  ] as const)("%s %s: exit %i", async (type, version, exit) => {
    const answer =
      type === "mysql"
        ? ([/VERSION\(\)/, `${version}\troot@localhost\n`] as const)
        : ([/server_version_num/, `${version}\tt\tUTF8\tx\n`] as const);
    const db = new Recorder(["mysql", "psql", "php"], [PHP, answer]).service(type, `${type}://root@127.0.0.1`);
    if (exit === 0) await db.reach();
    else expect(await failure(db.reach())).toMatchObject({ code: "DATABASE_TOO_OLD", exit, state: "nothing was asked of it" });
  });

  test("PHP without the driver is named with its package, and so are client programs that are missing", async () => {
    const answers = [
      [/^php/, "8.3 0"],
      [/VERSION\(\)/, "8.4.3\tr@l\n"],
      [/server_version_num/, "170004\tt\tUTF8\tx\n"],
    ] as const;
    for (const [type, debian] of [
      ["mysql", "php8.3-mysql"],
      ["pgsql", "php8.3-pgsql"],
    ] as const)
      expect(
        await failure(new Recorder(["mysql", "psql", "php"], answers).service(type, `${type}://root@127.0.0.1`).reach()),
      ).toMatchObject({
        code: "SERVICE_UNAVAILABLE",
        next: [`apt-get install ${debian}`],
      });
    const without = (type: "mysql" | "pgsql") => failure(new Recorder(["php"], [PHP]).service(type, `${type}://root@127.0.0.1`).reach());
    expect(await without("mysql")).toMatchObject({ code: "PROGRAM_MISSING", next: ["apt-get install mariadb-client"] });
    expect(await without("pgsql")).toMatchObject({ code: "PROGRAM_MISSING" });
  });

  test("a machine of databases alone needs no PHP", async () => {
    const db = new Recorder(["mysql"], [[/VERSION\(\)/, "8.4.3\tr@l\n"]]).service("mysql", "mysql://root@127.0.0.1", {
      remote_host: "db1.example.com",
      http_service_type: "none",
    });
    await db.reach();
  });

  test("a line that pg_hba.conf lacks is a refused login, whatever it says of encryption", () => {
    const login = {
      user: "a",
      password: undefined,
      host: "db",
      port: 5432,
      socket: undefined,
      tls: undefined,
      tlsCa: undefined,
      master: false,
    };
    const said =
      'psql: error: connection to server at "db", port 5432 failed: FATAL:  no pg_hba.conf entry for host "192.0.2.7", no encryption';
    expect(pgsqlFailure([said], login, "@db", "loading")).toMatchObject({ code: "DATABASE_LOGIN_REFUSED", exit: 77 });
  });

  test("option files of both kinds of clients", () => {
    const login: ServerLogin = {
      user: "root",
      password: new Secret('a"b'),
      host: "127.0.0.1",
      port: 3306,
      socket: undefined,
      tls: "verify",
      tlsCa: "/ca.pem",
      master: true,
    };
    expect(reveal(optionFile(login, "mariadb")).split("\n")).toEqual(
      expect.arrayContaining(['password="a\\"b"', "protocol=tcp", "ssl-verify-server-cert", 'ssl-ca="/ca.pem"']),
    );
    expect(reveal(optionFile(login, "mysql")).split("\n")).toEqual(
      expect.arrayContaining(["ssl-mode=VERIFY_IDENTITY", 'ssl-ca="/ca.pem"']),
    );
    expect(reveal(optionFile({ ...login, socket: "/s", password: undefined, tls: undefined }, "mysql"))).not.toMatch(
      /password|host|port|ssl/,
    );
  });
});
