import { randomBytes } from "node:crypto";
import { MASTER_PASSWORD, type MasterDb, parseMasterDb } from "../../../context/master-db.js";
import { ProvisionError } from "../../../core/errors.js";
import type { Secret } from "../../../core/secret.js";
import type { Step, Undo } from "../../../core/step.js";
import { ACCESS_CA, masterAccount, proofNames, requirePhpDriver, untilNobody } from "../common.js";
import type { DbSetup } from "../index.js";
import { databaseNames, firstUser, nextUser, sameFamily } from "../names.js";
import { forgetPasswords, formerUsers, passwordOf, passwordStep, randomPassword } from "../password.js";
import type { DatabaseNames, DatabaseOf, DbService, DumpOptions, Flow, TableMarks } from "../service.js";
import { PgsqlClient, type PgsqlLogin } from "./client.js";
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

type Names = {
  /** Of the role that owns it, too. */
  readonly database: string;
  readonly user: string;
};

function namesIn(names: DatabaseNames): Names {
  const { database, user } = names;
  if (database === undefined || user === undefined) throw new Error("a database of PostgreSQL has a name and an account");
  return { database, user };
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

class Pgsql implements DbService {
  readonly type = "pgsql";
  readonly dumpName = "database.sql";
  readonly #setup: DbSetup;
  readonly #client: PgsqlClient;
  #found: Promise<Server> | undefined;

  constructor(setup: DbSetup) {
    this.#setup = setup;
    this.#client = new PgsqlClient(setup.host, setup.server.name);
  }

  get #master(): MasterDb {
    return parseMasterDb(this.#setup.server.master_db ?? "");
  }

  async #login(): Promise<PgsqlLogin> {
    const { user, host, port, socket, tls, tlsCa } = this.#master;
    const password = await this.#setup.secrets.get(this.#setup.server.name, MASTER_PASSWORD);
    return { user, password, host, port, socket, tls, tlsCa, master: true };
  }

  async #siteLogin(user: string, password: Secret): Promise<PgsqlLogin> {
    return { ...(await this.#login()), user, password, master: false };
  }

  async #asMaster(statements: readonly string[], doing: string, database = this.#master.database ?? "postgres") {
    return this.#client.run(await this.#login(), statements, { doing, database });
  }

  names(uri: string, generation: string): DatabaseNames {
    return databaseNames(uri, generation);
  }

  nextNames(names: DatabaseNames, operation: string): DatabaseNames {
    const { database, user } = namesIn(names);
    return { database, user: nextUser(user, operation) };
  }

  async reach(): Promise<void> {
    await Promise.all([this.#server(), requirePhpDriver(this.#setup, "pdo_pgsql", "pgsql")]);
  }

  async version() {
    return { product: "PostgreSQL", version: (await this.#server()).version };
  }

  #server(): Promise<Server> {
    this.#found ??= this.#find();
    return this.#found;
  }

  async #find(): Promise<Server> {
    const [row = []] = await this.#asMaster(
      [
        "SELECT current_setting('server_version_num'), rolsuper, pg_encoding_to_char(encoding), current_setting('server_version')",
        "FROM pg_roles, pg_database WHERE rolname = current_user AND datname = 'template0';",
      ],
      "asking for its version",
    );
    const major = Math.floor(Number(row[0]) / 10_000);
    if (!(major >= OLDEST))
      throw new ProvisionError(
        "DATABASE_TOO_OLD",
        `the database server of ${this.#setup.server.name} is PostgreSQL ${row[3] ?? "of an unknown version"}`,
        {
          why: [`provision works with PostgreSQL ${OLDEST} or later`],
          state: "nothing was asked of it",
          next: ["update the server", "or name another one in master_db"],
        },
      );
    return { version: row[3] ?? String(major), major, superuser: row[1] === "t", utf8: row[2] === "UTF8" };
  }

  async access({ site, names, host: elsewhere }: DatabaseOf) {
    const { database, user } = namesIn(names);
    const { host, port, socket, tls, tlsCa } = this.#master;
    return {
      driver: "pgsql" as const,
      host: elsewhere ?? socket ?? host,
      port,
      database,
      username: user,
      password: await passwordOf(this.#setup.secrets, site, user),
      ...(tls === undefined ? {} : { tls: { verify: tls === "verify", ca: tlsCa ?? ACCESS_CA } }),
    };
  }

  create(database: DatabaseOf): readonly Step[] {
    const { secrets, hub, host, server } = this.#setup;
    const names = namesIn(database.names);
    return [
      passwordStep(secrets, hub, database.site, names.user),
      {
        id: "database/create",
        title: `Create the database of ${database.uri}`,
        check: async () => {
          await this.#refuseTaken(names);
          const undo: Undo = { do: "database_drop", host: host.name, server: server.name, names: { ...names } };
          return { changes: [`create the database ${names.database} and its account ${names.user}`], undo: [undo] };
        },
        apply: async () => {
          await this.#create(names, await passwordOf(secrets, database.site, names.user));
          return null;
        },
      },
    ];
  }

  async #create(names: Names, password: Secret): Promise<void> {
    const { superuser, utf8 } = await this.#server();
    const [owner, user] = [identifier(names.database), identifier(names.user)];
    await this.#asMaster(
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

  createAccount(database: DatabaseOf): readonly Step[] {
    const { secrets, hub, host, server } = this.#setup;
    const names = namesIn(database.names);
    return [
      passwordStep(secrets, hub, database.site, names.user),
      {
        id: "database/account",
        title: `Make a new account for the database of ${database.uri}`,
        check: async () => ({
          changes: [`create the account ${names.user}`],
          undo: [{ do: "database_drop_account", host: host.name, server: server.name, names: { ...names } }],
        }),
        apply: async () => {
          await this.#giveAccount(database);
          return null;
        },
      },
    ];
  }

  account(database: DatabaseOf): readonly Step[] {
    const { user } = namesIn(database.names);
    return [
      {
        id: "database/rights",
        title: `The account of the database of ${database.uri} logs in`,
        phase: "finish",
        check: async () => ({ changes: (await this.#accountWorks(database)) ? [] : [`give ${user} its password and rights again`] }),
        apply: async () => {
          await this.#giveAccount(database);
          return null;
        },
      },
    ];
  }

  /** The account has this password and these rights, whether it was there or not. */
  async #giveAccount({ site, names: all }: DatabaseOf): Promise<void> {
    const names = namesIn(all);
    const password = await passwordOf(this.#setup.secrets, site, names.user);
    const { superuser } = await this.#server();
    const there = (await this.#roles([names.user])).length > 0;
    await this.#asMaster(
      [...accountStatements(names, password, superuser, there), ...(superuser ? [] : [`GRANT ${identifier(names.user)} TO CURRENT_USER;`])],
      `making the account ${names.user}`,
    );
  }

  async #accountWorks({ site, names: all }: DatabaseOf): Promise<boolean> {
    const names = namesIn(all);
    try {
      const password = await passwordOf(this.#setup.secrets, site, names.user);
      const rows = await this.#client.run(
        await this.#siteLogin(names.user, password),
        [`SELECT current_user = ${literal(names.database)} AND has_database_privilege(current_database(), 'CREATE');`],
        { doing: "logging in as the site", database: names.database },
      );
      return rows[0]?.[0] === "t";
    } catch (error) {
      if (error instanceof ProvisionError && (error.code === "DATABASE_LOGIN_REFUSED" || error.code === "DATABASE_RIGHT_MISSING"))
        return false;
      throw error;
    }
  }

  dropFormer({ site, uri, names: all }: DatabaseOf): readonly Step[] {
    const { secrets, hub, server } = this.#setup;
    const names = namesIn(all);
    return [
      {
        id: "database/former-accounts",
        title: `Drop former accounts of the database of ${uri}`,
        phase: "cleanup",
        check: async () => ({ changes: (await formerUsers(secrets, site, names.user)).map((former) => `drop the account ${former}`) }),
        apply: async (run) => {
          const former = await formerUsers(secrets, site, names.user);
          await untilNobody(() => this.#sessions(former), run.signal, server.name);
          for (const user of former) await this.#dropAccount({ ...names, user });
          await forgetPasswords(secrets, hub, site, former);
          return null;
        },
      },
    ];
  }

  drop(database: DatabaseOf): readonly Step[] {
    const names = namesIn(database.names);
    return [
      {
        id: "database/drop",
        title: `Remove the database of ${database.uri}`,
        phase: "finish",
        check: async () => {
          const changes = (await this.#hasDatabase(names.database)) ? [`drop the database ${names.database}`] : [];
          return { changes: [...changes, ...(await this.#allRoles(names)).map((role) => `drop the account ${role}`)] };
        },
        apply: async () => {
          await this.remove(names);
          return null;
        },
      },
    ];
  }

  async remove(all: DatabaseNames): Promise<void> {
    const names = namesIn(all);
    const database = identifier(names.database);
    // A site may have been told to use it; without it nothing could be done here any more.
    if ([names.database, names.user].includes(this.#master.user)) throw masterAccount(this.#setup.server.name, this.#master.user);
    if (await this.#hasDatabase(names.database)) {
      const { major } = await this.#server();
      const doing = `dropping the database ${names.database}`;
      if (major >= FORCE) await this.#asMaster([`DROP DATABASE IF EXISTS ${database} WITH (FORCE);`], doing);
      else
        await this.#asMaster(
          [
            // Nobody comes in again, then those who are in go.
            `ALTER DATABASE ${database} WITH ALLOW_CONNECTIONS false;`,
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ${literal(names.database)};`,
            `DROP DATABASE IF EXISTS ${database};`,
          ],
          doing,
        );
    }
    const roles = await this.#allRoles(names);
    // The owner last: the others are its members.
    const ordered = [...roles.filter((role) => role !== names.database), ...roles.filter((role) => role === names.database)];
    await this.#asMaster(
      ordered.map((role) => `DROP ROLE IF EXISTS ${identifier(role)};`),
      `dropping the accounts of ${names.database}`,
    );
  }

  async removeAccount(names: DatabaseNames): Promise<void> {
    await this.#dropAccount(namesIn(names));
  }

  /** What it made as itself and not as the owner, if anything, goes to the owner. */
  async #dropAccount({ database, user }: Names): Promise<void> {
    if ((await this.#roles([user])).length === 0) return;
    const role = identifier(user);
    if (await this.#hasDatabase(database))
      await this.#asMaster(
        [`REASSIGN OWNED BY ${role} TO ${identifier(database)};`, `DROP OWNED BY ${role};`],
        `taking over from ${user}`,
        database,
      );
    await this.#asMaster([`DROP ROLE IF EXISTS ${role};`], `dropping the account ${user}`);
  }

  async #allRoles(names: Names): Promise<readonly string[]> {
    const like = literal(`${firstUser(names.user).replace(/[\\_%]/g, "\\$&")}%`);
    const rows = await this.#asMaster(
      [`SELECT rolname FROM pg_roles WHERE rolname LIKE ${like} OR rolname = ${literal(names.database)};`],
      "looking for accounts",
    );
    return rows.map(([role = ""]) => role).filter((role) => role === names.database || sameFamily(names.user, role));
  }

  async #roles(users: readonly string[]): Promise<readonly string[]> {
    const rows = await this.#asMaster(
      [`SELECT rolname FROM pg_roles WHERE rolname IN (${users.map(literal).join(", ")});`],
      "looking for accounts",
    );
    return rows.map(([role = ""]) => role);
  }

  async #sessions(users: readonly string[]): Promise<readonly string[]> {
    if (users.length === 0) return [];
    const rows = await this.#asMaster(
      [`SELECT pid FROM pg_stat_activity WHERE usename IN (${users.map(literal).join(", ")});`],
      "looking for connections",
    );
    return rows.map(([pid = ""]) => pid);
  }

  async #hasDatabase(database: string): Promise<boolean> {
    return (await this.#asMaster([`SELECT 1 FROM pg_database WHERE datname = ${literal(database)};`], "looking for a database")).length > 0;
  }

  async #refuseTaken(names: Names): Promise<void> {
    const database = await this.#hasDatabase(names.database);
    const [role] = await this.#roles([names.database, names.user]);
    if (!database && role === undefined) return;
    const what = database ? `a database ${names.database}` : `a role ${role}`;
    throw new ProvisionError("NAME_TAKEN", `the database server of ${this.#setup.server.name} has ${what} already`, {
      state: "it was not touched",
      next: [`look what is in it, as the account of ${this.#setup.server.name}'s master_db`],
    });
  }

  exists({ names }: DatabaseOf): Promise<boolean> {
    return this.#hasDatabase(namesIn(names).database);
  }

  async size({ names }: DatabaseOf): Promise<number> {
    const rows = await this.#asMaster(
      [`SELECT pg_database_size(oid) FROM pg_database WHERE datname = ${literal(namesIn(names).database)};`],
      "measuring a database",
    );
    return Number(rows[0]?.[0] ?? 0);
  }

  async tables({ names }: DatabaseOf): Promise<readonly string[]> {
    const { database } = namesIn(names);
    const rows = await this.#asMaster(
      ["SELECT tablename FROM pg_tables WHERE schemaname = 'public';"],
      `listing the tables of ${database}`,
      database,
    );
    return rows.map(([table = ""]) => table).sort();
  }

  async counts({ names }: DatabaseOf, tables: readonly string[]): Promise<Readonly<Record<string, number>>> {
    if (tables.length === 0) return {};
    const { database } = namesIn(names);
    const rows = await this.#asMaster(
      tables.map((table) => `SELECT COUNT(*) FROM public.${identifier(table)};`),
      `counting the rows of ${database}`,
      database,
    );
    return Object.fromEntries(tables.map((table, index) => [table, Number(rows[index]?.[0] ?? 0)]));
  }

  /** Number and hash of its rows: counters of changes come late, and a time of the last one is not kept. */
  async marks({ names }: DatabaseOf): Promise<TableMarks> {
    const { database } = namesIn(names);
    const tables = await this.#asMaster(
      ["SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1;"],
      `listing the tables of ${database}`,
      database,
    );
    if (tables.length === 0) return {};
    const rows = await this.#asMaster(
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
    const { database } = namesIn(names);
    return this.#asMaster([sql], `reading ${database}`, database);
  }

  async out({ names }: DatabaseOf, { structureOnly = [] }: DumpOptions = {}): Promise<Flow> {
    const { database } = namesIn(names);
    const without = structureOnly.map((table) => `--exclude-table-data=${tablePattern(table)}`);
    return { ...this.#client.dumping(await this.#login(), database, without, `dumping ${database}`), through: [PORTABLE] };
  }

  async into({ site, names }: DatabaseOf, foreign?: "foreign"): Promise<Flow> {
    const { database, user } = namesIn(names);
    const login = await this.#siteLogin(user, await passwordOf(this.#setup.secrets, site, user));
    const flow = this.#client.loading(login, database, `loading ${database}`);
    return foreign === undefined ? flow : { ...flow, through: [restricted(randomBytes(16).toString("hex"))] };
  }

  serverSteps(): readonly Step[] {
    return [
      {
        id: "database/prove",
        title: "Prove that databases can be made, used by their accounts and dropped",
        check: async () => {
          await this.reach();
          await this.#prove();
          return { changes: [] };
        },
        apply: async () => null,
      },
    ];
  }

  async #prove(): Promise<void> {
    const { database, user } = proofNames(this.#setup);
    const names = { database, user: `${user}_login` };
    // What a proof left that was killed.
    await this.remove(names);
    try {
      const password = randomPassword();
      await this.#create(names, password);
      const rows = await this.#client.run(
        await this.#siteLogin(names.user, password),
        [
          "CREATE TABLE proof (word VARCHAR(190) PRIMARY KEY);",
          "INSERT INTO proof VALUES (U&'\\+01F600');",
          "SELECT encode(convert_to(word, 'UTF8'), 'hex'), tableowner FROM proof, pg_tables WHERE tablename = 'proof';",
        ],
        { doing: "using that database, as a proof", database },
      );
      if (rows[0]?.[0] !== "f09f9880" || rows[0]?.[1] !== database)
        throw new ProvisionError("CONFIGURATION", `the database server of ${this.#setup.server.name} does not keep text as it is given`);
    } finally {
      await this.remove(names);
    }
  }
}

/** The account with its password, a member of the owner, which it becomes as it logs in. */
function accountStatements({ database, user }: Names, password: Secret, superuser: boolean, there = false): readonly string[] {
  const [owner, role] = [identifier(database), identifier(user)];
  return [
    `${there ? "ALTER" : "CREATE"} ROLE ${role} LOGIN${superuser ? " NOSUPERUSER" : ""} NOCREATEDB NOCREATEROLE PASSWORD ${literal(scramVerifier(password))};`,
    `GRANT ${owner} TO ${role};`,
    `ALTER ROLE ${role} SET role = ${literal(database)};`,
  ];
}
