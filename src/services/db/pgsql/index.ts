import { randomBytes } from "node:crypto";
import { ProvisionError } from "../../../core/errors.js";
import type { Secret } from "../../../core/secret.js";
import { proofNames, requirePhpDriver } from "../common.js";
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
 * become it as they log in, so that one account can take another's place without anything changing hands. A database that somebody
 * else made belongs to a role of theirs, which may log in, and is left when the database goes: our accounts become that one.
 */
export function pgsql(setup: DbSetup): DbService {
  return new Pgsql(setup);
}

/** Tables, views and sequences, but for those that came with an extension and belong to who made that. */
const RELATIONS = `SELECT nspname, pg_get_userbyid(relowner) AS relowner FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND nspname <> 'information_schema' AND nspname !~ '^pg_' AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')`;
/** The role to which the database that is logged in to belongs: our own, else that of its tables. */
const OWNER = `(SELECT CASE WHEN rolname = datname AND NOT rolcanlogin THEN rolname::text ELSE COALESCE((SELECT MIN(relowner::text) FROM (${RELATIONS}) all_of_it WHERE nspname = 'public'), rolname::text) END FROM pg_database JOIN pg_roles ON pg_roles.oid = datdba WHERE datname = current_database())`;

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
        ...accountStatements(names.user, names.database, password, superuser),
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
    const owner = await this.#owner(names.database);
    await this.asMaster(
      [
        ...accountStatements(names.user, owner, password, superuser, there),
        ...(superuser ? [] : [`GRANT ${identifier(names.user)} TO CURRENT_USER;`]),
      ],
      `making the account ${names.user}`,
    );
  }

  async #owner(database: string): Promise<string> {
    const rows = await this.asMaster([`SELECT ${OWNER};`], `asking whose ${database} is`, database);
    return rows[0]?.[0] ?? database;
  }

  protected async hasRights(login: ServerLogin, { database }: ServerNames): Promise<boolean> {
    const rows = await this.run(
      login,
      [
        `SELECT current_user::text = ${OWNER} AND CASE WHEN current_user::text = current_database()::text THEN has_database_privilege(current_database(), 'CREATE') ELSE has_schema_privilege('public', 'CREATE') END;`,
      ],
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
        [`REASSIGN OWNED BY ${role} TO ${identifier(await this.#owner(database))};`, `DROP OWNED BY ${role};`],
        `taking over from ${user}`,
        database,
      );
    await this.asMaster([`DROP ROLE IF EXISTS ${role};`], `dropping the account ${user}`);
  }

  /** A role with the database's name is ours when it cannot log in and we chose that name, or nobody who can is its member but our accounts. */
  protected async accountsOf(names: ServerNames): Promise<readonly string[]> {
    const like = literal(familyPattern(names.user));
    const owner = literal(names.database);
    const rows = await this.asMaster(
      [
        `SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname LIKE ${like} OR rolname = ${owner};`,
        `SELECT rolname, 'member' FROM pg_roles WHERE rolcanlogin AND rolname <> current_user AND oid IN (SELECT member FROM pg_auth_members WHERE roleid = (SELECT oid FROM pg_roles WHERE rolname = ${owner}));`,
      ],
      "looking for accounts",
    );
    const chosen = /_[0-9a-f]{8}_[0-9]{8}t[0-9a-z_]+$/.test(names.database) || names.database === proofNames(this.setup).database;
    const others = !chosen && rows.some(([role = "", what]) => what === "member" && !sameFamily(names.user, role));
    return rows
      .filter(([role = "", what]) => what !== "member" && (sameFamily(names.user, role) || (what === "f" && !others)))
      .map(([role = ""]) => role);
  }

  async refuseForeign({ names, site }: DatabaseOf): Promise<void> {
    const { database } = this.namesIn(names);
    const server = this.setup.server.name;
    const { user: master } = this.master;
    const asking = `asking whose ${database} is`;
    const relations = await this.asMaster([`SELECT DISTINCT nspname, relowner FROM (${RELATIONS}) all_of_it;`], asking, database);
    const schemas = [...new Set(relations.map(([schema = ""]) => schema))].filter((schema) => schema !== "public");
    const owners = [...new Set(relations.map(([, owner = ""]) => owner))].sort();
    const otherwise = [`pg_dump --no-owner ${database} > site.sql`, `provision deploy ${site} site.sql --files DIRECTORY`];
    const refusal = (message: string, why: string, next: readonly string[]) =>
      new ProvisionError("REFUSED", message, { why: [why], state: "nothing was changed", next });
    if (schemas.length > 0)
      throw refusal(
        `${database} has tables in other schemas than public: ${schemas.join(", ")}`,
        "provision looks into public alone",
        otherwise,
      );
    if (owners.length > 1)
      throw refusal(
        `the tables of ${database} belong to several roles: ${owners.join(", ")}`,
        "the site's own account would be a member of one, and log in as that",
        [`REASSIGN OWNED BY ${owners[1]} TO ${owners[0]}    # in that database, as a superuser`, "then the same command again"],
      );
    const [all = [], mayDrop] = await this.asMaster(
      [
        `SELECT rolsuper OR rolcreaterole OR rolname = current_user, pg_has_role(oid, 'USAGE') AND pg_has_role(oid, 'MEMBER WITH ADMIN OPTION') FROM pg_roles WHERE rolname::text = ${OWNER};`,
        "SELECT pg_get_userbyid(datdba), pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database();",
      ],
      asking,
      database,
    );
    const [owner = ""] = owners;
    if (all[0] === "t")
      throw refusal(
        `the tables of ${database} belong to ${owner}, which may make accounts, or do everything`,
        "so could the site's own account, which would be a member of it and log in as that",
        otherwise,
      );
    const lacking = [...new Set([...(all[1] === "t" ? [] : [owner]), ...(mayDrop?.[1] === "t" ? [] : [mayDrop?.[0] ?? ""])])];
    if (lacking.length > 0)
      throw refusal(
        `${master}, the account of ${server}'s master_db, is no superuser and no member of ${lacking.join(" and ")}`,
        `${database} is theirs; who takes it over makes its account a member, reads it, and drops it with the site`,
        [...lacking.map((role) => `GRANT ${role} TO ${master} WITH ADMIN OPTION    # as a superuser`), "then the same command again"],
      );
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
function accountStatements(user: string, of: string, password: Secret, superuser: boolean, there = false): readonly string[] {
  const [owner, role] = [identifier(of), identifier(user)];
  return [
    `${there ? "ALTER" : "CREATE"} ROLE ${role} LOGIN${superuser ? " NOSUPERUSER" : ""} NOCREATEDB NOCREATEROLE PASSWORD ${literal(scramVerifier(password))};`,
    `GRANT ${owner} TO ${role};`,
    `ALTER ROLE ${role} SET role = ${literal(of)};`,
  ];
}
