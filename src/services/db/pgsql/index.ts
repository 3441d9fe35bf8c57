import { randomBytes } from "node:crypto";
import type { ProvisionError } from "../../../core/errors.js";
import type { Secret } from "../../../core/secret.js";
import { requirePhpDriver } from "../common.js";
import type { DbSetup } from "../index.js";
import { familyPattern, sameFamily } from "../names.js";
import { type Asking, type Rows, ServerDatabase, type ServerLogin, type ServerNames } from "../server-database.js";
import type { Counts, DatabaseNames, DatabaseOf, DbService, DumpOptions, Flow, TableMarks } from "../service.js";
import { PgsqlClient } from "./client.js";
import { PORTABLE, restricted } from "./dump.js";
import { identifier, literal, scramVerifier, tablePattern } from "./sql.js";

const OLDEST = 12;
/** From this version on a database is dropped with those who are connected to it. */
const FORCE = 13;

/**
 * PostgreSQL 12+: a database and an account for each generation of a site, all work done by the client programs.
 *
 * The database and everything in it belong to a role that has the database's name and cannot log in. Accounts are its members and
 * become it as they log in, so that one account can take another's place without anything changing hands.
 */
export function pgsql(setup: DbSetup): DbService {
  return new Pgsql(setup);
}

/** What is to be known of the server before it is given statements. */
interface Server {
  readonly version: string;
  readonly major: number;
  /** The account of master_db may do everything. */
  readonly superuser: boolean;
  /** The server's own encoding is UTF-8; else only the locale C goes with it. */
  readonly utf8: boolean;
}

class Pgsql extends ServerDatabase {
  readonly type = "pgsql";
  readonly #client: PgsqlClient;
  #found: Promise<Server> | undefined;

  constructor(setup: DbSetup) {
    super(setup);
    this.#client = new PgsqlClient(setup.host, setup.server.name);
  }

  protected run(login: ServerLogin, statements: readonly string[], { doing, database }: Asking): Promise<Rows> {
    return this.#client.run(login, statements, { doing, database: database ?? this.master.database ?? "postgres" });
  }

  protected failure(lines: readonly string[], login: ServerLogin, doing: string): ProvisionError {
    return this.#client.failure(lines, login, doing);
  }

  async reach(): Promise<void> {
    await Promise.all([this.#server(), requirePhpDriver(this.setup, "pdo_pgsql", "pgsql")]);
  }

  async version() {
    return { product: "PostgreSQL", version: (await this.#server()).version };
  }

  #server(): Promise<Server> {
    this.#found ??= this.#find();
    return this.#found;
  }

  async #find(): Promise<Server> {
    const [row = []] = await this.asMaster(
      [
        "SELECT current_setting('server_version_num'), rolsuper, pg_encoding_to_char(encoding), current_setting('server_version')",
        "FROM pg_roles, pg_database WHERE rolname = current_user AND datname = 'template0';",
      ],
      "asking for its version",
    );
    const major = Math.floor(Number(row[0]) / 10_000);
    if (!(major >= OLDEST)) throw this.tooOld(`PostgreSQL ${row[3] ?? "of an unknown version"}`, `PostgreSQL ${OLDEST} or later`);
    return { version: row[3] ?? String(major), major, superuser: row[1] === "t", utf8: row[2] === "UTF8" };
  }

  protected async make(names: ServerNames, password: Secret): Promise<void> {
    const { superuser, utf8 } = await this.#server();
    const [owner, user] = [identifier(names.database), identifier(names.user)];
    await this.asMaster(
      [
        `CREATE ROLE ${owner} NOLOGIN;`,
        ...accountStatements(names, password, superuser),
        // Who is no superuser makes a database for a role only as its member, and drops it as such.
        ...(superuser ? [] : [`GRANT ${owner} TO CURRENT_USER;`, `GRANT ${user} TO CURRENT_USER;`]),
        `CREATE DATABASE ${identifier(names.database)} OWNER ${owner} TEMPLATE template0 ENCODING 'UTF8'${utf8 ? "" : " LC_COLLATE 'C' LC_CTYPE 'C'"};`,
        // Other sites' accounts could log in otherwise.
        `REVOKE ALL ON DATABASE ${identifier(names.database)} FROM PUBLIC;`,
      ],
      `making the database ${names.database}`,
    );
  }

  protected async giveAccount(names: ServerNames, password: Secret): Promise<void> {
    const { superuser } = await this.#server();
    const there = (await this.#roles([names.user])).length > 0;
    await this.asMaster(
      [...accountStatements(names, password, superuser, there), ...(superuser ? [] : [`GRANT ${identifier(names.user)} TO CURRENT_USER;`])],
      `making the account ${names.user}`,
    );
  }

  protected async hasRights(login: ServerLogin, { database }: ServerNames): Promise<boolean> {
    const rows = await this.run(
      login,
      [`SELECT current_user = ${literal(database)} AND has_database_privilege(current_database(), 'CREATE');`],
      { doing: "logging in as the site", database },
    );
    return rows[0]?.[0] === "t";
  }

  async remove(all: DatabaseNames): Promise<void> {
    const names = this.namesIn(all);
    const database = identifier(names.database);
    this.refuseMaster([names.database, names.user]);
    if (await this.hasDatabase(names.database)) {
      const { major } = await this.#server();
      const doing = `dropping the database ${names.database}`;
      if (major >= FORCE) await this.asMaster([`DROP DATABASE IF EXISTS ${database} WITH (FORCE);`], doing);
      else
        await this.asMaster(
          [
            // Nobody comes in again, then those who are in go.
            `ALTER DATABASE ${database} WITH ALLOW_CONNECTIONS false;`,
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ${literal(names.database)};`,
            `DROP DATABASE IF EXISTS ${database};`,
          ],
          doing,
        );
    }
    const roles = await this.accountsOf(names);
    // The owner last: the others are its members.
    const ordered = [...roles.filter((role) => role !== names.database), ...roles.filter((role) => role === names.database)];
    await this.asMaster(
      ordered.map((role) => `DROP ROLE IF EXISTS ${identifier(role)};`),
      `dropping the accounts of ${names.database}`,
    );
  }

  /** What it made as itself and not as the owner, if anything, goes to the owner. */
  protected async dropAccount({ database, user }: ServerNames): Promise<void> {
    if ((await this.#roles([user])).length === 0) return;
    const role = identifier(user);
    if (await this.hasDatabase(database))
      await this.asMaster(
        [`REASSIGN OWNED BY ${role} TO ${identifier(database)};`, `DROP OWNED BY ${role};`],
        `taking over from ${user}`,
        database,
      );
    await this.asMaster([`DROP ROLE IF EXISTS ${role};`], `dropping the account ${user}`);
  }

  protected async accountsOf(names: ServerNames): Promise<readonly string[]> {
    const like = literal(familyPattern(names.user));
    const rows = await this.asMaster(
      [`SELECT rolname FROM pg_roles WHERE rolname LIKE ${like} OR rolname = ${literal(names.database)};`],
      "looking for accounts",
    );
    return rows.map(([role = ""]) => role).filter((role) => role === names.database || sameFamily(names.user, role));
  }

  async #roles(users: readonly string[]): Promise<readonly string[]> {
    const rows = await this.asMaster(
      [`SELECT rolname FROM pg_roles WHERE rolname IN (${users.map(literal).join(", ")});`],
      "looking for accounts",
    );
    return rows.map(([role = ""]) => role);
  }

  protected async sessions(users: readonly string[]): Promise<readonly string[]> {
    if (users.length === 0) return [];
    const rows = await this.asMaster(
      [`SELECT pid FROM pg_stat_activity WHERE usename IN (${users.map(literal).join(", ")});`],
      "looking for connections",
    );
    return rows.map(([pid = ""]) => pid);
  }

  protected async hasDatabase(database: string): Promise<boolean> {
    return (await this.asMaster([`SELECT 1 FROM pg_database WHERE datname = ${literal(database)};`], "looking for a database")).length > 0;
  }

  protected async taken(names: ServerNames): Promise<string | undefined> {
    if (await this.hasDatabase(names.database)) return `a database ${names.database}`;
    const [role] = await this.#roles([names.database, names.user]);
    return role === undefined ? undefined : `a role ${role}`;
  }

  async size({ names }: DatabaseOf): Promise<number> {
    const rows = await this.asMaster(
      [`SELECT pg_database_size(oid) FROM pg_database WHERE datname = ${literal(this.namesIn(names).database)};`],
      "measuring a database",
    );
    return Number(rows[0]?.[0] ?? 0);
  }

  async tables({ names }: DatabaseOf): Promise<readonly string[]> {
    const { database } = this.namesIn(names);
    const rows = await this.asMaster(
      ["SELECT tablename FROM pg_tables WHERE schemaname = 'public';"],
      `listing the tables of ${database}`,
      database,
    );
    return rows.map(([table = ""]) => table).sort();
  }

  async counts({ names }: DatabaseOf, tables: readonly string[]): Promise<Counts> {
    if (tables.length === 0) return { rows: {}, marks: {} };
    const { database } = this.namesIn(names);
    const rows = await this.asMaster(
      tables.map((table) => `SELECT COUNT(*) FROM public.${identifier(table)};`),
      `counting the rows of ${database}`,
      database,
    );
    return { rows: Object.fromEntries(tables.map((table, index) => [table, Number(rows[index]?.[0] ?? 0)])), marks: {} };
  }

  /** Number and hash of its rows: counters of changes come late, and a time of the last one is not kept. */
  async marks({ names }: DatabaseOf): Promise<TableMarks> {
    const { database } = this.namesIn(names);
    const tables = await this.asMaster(
      ["SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1;"],
      `listing the tables of ${database}`,
      database,
    );
    if (tables.length === 0) return {};
    const rows = await this.asMaster(
      tables.map(
        ([table = ""]) =>
          `SELECT COUNT(*) || ' ' || COALESCE(SUM(hashtextextended(t::text, 0))::text, '') FROM public.${identifier(table)} t;`,
      ),
      `reading the tables of ${database}`,
      database,
    );
    return Object.fromEntries(tables.map(([table = ""], index) => [table, rows[index]?.[0] ?? ""]));
  }

  select({ names }: DatabaseOf, sql: string): Promise<readonly (readonly string[])[]> {
    const { database } = this.namesIn(names);
    return this.asMaster([sql], `reading ${database}`, database);
  }

  async out({ names }: DatabaseOf, { structureOnly = [] }: DumpOptions = {}): Promise<Flow> {
    const { database } = this.namesIn(names);
    const login = await this.login();
    const without = structureOnly.map((table) => `--exclude-table-data=${tablePattern(table)}`);
    return {
      ...this.#client.dumping(login, database, without),
      through: [PORTABLE],
      failure: this.flowFailure(login, `dumping ${database}`),
    };
  }

  protected async loading(login: ServerLogin, database: string, foreign: boolean) {
    const flow = this.#client.loading(login, database);
    return foreign ? { ...flow, through: [restricted(randomBytes(16).toString("hex"))] } : flow;
  }

  /** The owner has the name that the account would have. */
  protected override proofUser(user: string): string {
    return `${user}_login`;
  }

  protected async keepsText(login: ServerLogin, database: string): Promise<boolean> {
    const rows = await this.run(
      login,
      [
        "CREATE TABLE proof (word VARCHAR(190) PRIMARY KEY);",
        "INSERT INTO proof VALUES (U&'\\+01F600');",
        "SELECT encode(convert_to(word, 'UTF8'), 'hex'), tableowner FROM proof, pg_tables WHERE tablename = 'proof';",
      ],
      { doing: "using that database, as a proof", database },
    );
    return rows[0]?.[0] === "f09f9880" && rows[0]?.[1] === database;
  }
}

/** The account with its password, a member of the owner, which it becomes as it logs in. */
function accountStatements({ database, user }: ServerNames, password: Secret, superuser: boolean, there = false): readonly string[] {
  const [owner, role] = [identifier(database), identifier(user)];
  return [
    `${there ? "ALTER" : "CREATE"} ROLE ${role} LOGIN${superuser ? " NOSUPERUSER" : ""} NOCREATEDB NOCREATEROLE PASSWORD ${literal(scramVerifier(password))};`,
    `GRANT ${owner} TO ${role};`,
    `ALTER ROLE ${role} SET role = ${literal(database)};`,
  ];
}
