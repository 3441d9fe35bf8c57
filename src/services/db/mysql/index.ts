import { MASTER_PASSWORD, type MasterDb, parseMasterDb } from "../../../context/master-db.js";
import { ProvisionError } from "../../../core/errors.js";
import type { Secret } from "../../../core/secret.js";
import type { Step, Undo } from "../../../core/step.js";
import { HostError } from "../../../host/host.js";
import { ACCESS_CA, masterAccount, proofNames, requirePhpDriver, untilNobody } from "../common.js";
import type { DbSetup } from "../index.js";
import { databaseNames, firstUser, nextUser, sameFamily } from "../names.js";
import { forgetPasswords, formerUsers, passwordOf, passwordStep, randomPassword } from "../password.js";
import type { DatabaseNames, DatabaseOf, DbService, DumpOptions, Flow, TableMarks } from "../service.js";
import { MysqlClient, type MysqlLogin } from "./client.js";
import { portable } from "./dump.js";
import { account, grantPattern, identifier, literal } from "./sql.js";

/** The collation that every MariaDB and MySQL has: a dump of one loads on the other. */
const CHARSET = "CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";
const LOCAL = ["localhost", "127.0.0.1", "::1"];
/** Oldest versions: MariaDB 10.5, MySQL 8.0. */
const OLDEST = { MariaDB: [10, 5], MySQL: [8, 0] } as const;

/** MariaDB 10.5+ and MySQL 8+: a database and an account for each generation of a site, all work done by the client programs. */
export function mysql(setup: DbSetup): DbService {
  return new Mysql(setup);
}

type Names = {
  readonly database: string;
  readonly user: string;
};

function namesIn(names: DatabaseNames): Names {
  const { database, user } = names;
  if (database === undefined || user === undefined) throw new Error("a database of MySQL has a name and an account");
  return { database, user };
}

class Mysql implements DbService {
  readonly type = "mysql";
  readonly dumpName = "database.sql";
  readonly #setup: DbSetup;
  readonly #client: MysqlClient;
  #reached: Promise<{ readonly product: string; readonly version: string }> | undefined;
  #seenAs: string | undefined;

  constructor(setup: DbSetup) {
    this.#setup = setup;
    this.#client = new MysqlClient(setup.host, setup.server.name);
  }

  get #master(): MasterDb {
    return parseMasterDb(this.#setup.server.master_db ?? "");
  }

  async #login(): Promise<MysqlLogin> {
    const { user, host, port, socket, tls, tlsCa } = this.#master;
    const password = await this.#setup.secrets.get(this.#setup.server.name, MASTER_PASSWORD);
    return { user, password, host, port, socket, tls, tlsCa, master: true };
  }

  async #siteLogin(user: string, password: Secret): Promise<MysqlLogin> {
    return { ...(await this.#login()), user, password, master: false };
  }

  async #asMaster(statements: readonly string[], doing: string): Promise<readonly (readonly string[])[]> {
    return this.#client.run(await this.#login(), statements, { doing });
  }

  names(uri: string, generation: string): DatabaseNames {
    return databaseNames(uri, generation);
  }

  nextNames(names: DatabaseNames, operation: string): DatabaseNames {
    const { database, user } = namesIn(names);
    return { database, user: nextUser(user, operation) };
  }

  async reach(): Promise<void> {
    await this.version();
  }

  version() {
    this.#reached ??= this.#reach();
    return this.#reached;
  }

  async #reach() {
    const [rows] = await Promise.all([
      this.#asMaster(["SELECT VERSION(), USER();"], "asking for its version"),
      requirePhpDriver(this.#setup, "pdo_mysql", "mysql"),
    ]);
    const [version = "", as = ""] = rows[0] ?? [];
    const kind = /mariadb/i.test(version) ? "MariaDB" : "MySQL";
    const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
    const [wantedMajor, wantedMinor] = OLDEST[kind];
    if (major < wantedMajor || (major === wantedMajor && minor < wantedMinor)) {
      throw new ProvisionError("DATABASE_TOO_OLD", `the database server of ${this.#setup.server.name} is ${kind} ${version}`, {
        why: [`provision works with MariaDB ${OLDEST.MariaDB.join(".")} and MySQL ${OLDEST.MySQL.join(".")}, or later`],
        state: "nothing was asked of it",
        next: ["update the server", "or name another one in master_db"],
      });
    }
    this.#seenAs = as.slice(as.lastIndexOf("@") + 1);
    return { product: kind, version };
  }

  /** From where the sites' accounts log in. */
  async #hosts({ webHosts = [] }: Pick<DatabaseOf, "webHosts">): Promise<readonly string[]> {
    const { host, socket } = this.#master;
    const local = socket !== undefined || LOCAL.includes(host);
    // Anonymous accounts of localhost would win over %.
    if (this.#setup.server.db_grant_all_hosts) return local ? ["%", "localhost"] : ["%"];
    if (local) return [...new Set(["localhost", "127.0.0.1", ...(host === "::1" ? [host] : []), ...webHosts])];
    await this.reach();
    return [...new Set([this.#seenAs ?? "%", ...webHosts])];
  }

  async access({ site, names, host: elsewhere }: DatabaseOf) {
    const { database, user } = namesIn(names);
    const { host, port, socket, tls, tlsCa } = this.#master;
    return {
      driver: "mysql" as const,
      host: elsewhere ?? host,
      port,
      database,
      username: user,
      password: await passwordOf(this.#setup.secrets, site, user),
      ...(socket === undefined || elsewhere !== undefined ? {} : { socket }),
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
          const password = await passwordOf(secrets, database.site, names.user);
          await this.#asMaster(
            [
              `CREATE DATABASE ${identifier(names.database)} ${CHARSET};`,
              ...accountStatements(names, password, await this.#hosts(database), "CREATE USER"),
            ],
            `making the database ${names.database}`,
          );
          return null;
        },
      },
    ];
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
  async #giveAccount(database: DatabaseOf): Promise<void> {
    const names = namesIn(database.names);
    const password = await passwordOf(this.#setup.secrets, database.site, names.user);
    const hosts = await this.#hosts(database);
    await this.#asMaster(accountStatements(names, password, hosts, "CREATE USER IF NOT EXISTS"), `making the account ${names.user}`);
  }

  async #accountWorks({ site, names: all }: DatabaseOf): Promise<boolean> {
    const names = namesIn(all);
    try {
      const password = await passwordOf(this.#setup.secrets, site, names.user);
      const login = await this.#siteLogin(names.user, password);
      const grants = await this.#client.run(login, ["SHOW GRANTS;"], { doing: "logging in as the site", database: names.database });
      return grants.some(([grant = ""]) => grant.startsWith(`GRANT ALL PRIVILEGES ON ${grantPattern(names.database)} TO `));
    } catch (error) {
      if (error instanceof ProvisionError && (error.code === "DATABASE_LOGIN_REFUSED" || error.code === "DATABASE_RIGHT_MISSING"))
        return false;
      throw error;
    }
  }

  dropFormer({ site, uri, names }: DatabaseOf): readonly Step[] {
    const { secrets, hub, server } = this.#setup;
    const { user } = namesIn(names);
    return [
      {
        id: "database/former-accounts",
        title: `Drop former accounts of the database of ${uri}`,
        phase: "cleanup",
        check: async () => ({ changes: (await formerUsers(secrets, site, user)).map((former) => `drop the account ${former}`) }),
        apply: async (run) => {
          const former = await formerUsers(secrets, site, user);
          await untilNobody(() => this.#sessions(former), run.signal, server.name);
          for (const one of former) await this.#dropUsers([one]);
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
          const users = new Set((await this.#accounts(names.user)).map(([user]) => user));
          return { changes: [...changes, ...[...users].map((user) => `drop the account ${user}`)] };
        },
        apply: async () => {
          await this.remove(names);
          return null;
        },
      },
    ];
  }

  /** Accounts first, so that nobody comes in again; then those who are in, who would hold the tables. */
  async remove(all: DatabaseNames): Promise<void> {
    const names = namesIn(all);
    const users = [...new Set((await this.#accounts(names.user)).map(([user = ""]) => user))];
    await this.#dropUsers(users);
    for (const session of await this.#sessions([names.user, ...users])) {
      // One that is gone by itself is no failure.
      await this.#asMaster([`KILL ${Number(session)};`], "ending a connection").catch((error: unknown) => {
        if (!(error instanceof ProvisionError) || error.code !== "COMMAND_FAILED") throw error;
      });
    }
    // An account that may not make one may not drop one either, not even one that is not there.
    if (!(await this.#hasDatabase(names.database))) return;
    await this.#asMaster(
      ["SET SESSION lock_wait_timeout = 60;", `DROP DATABASE IF EXISTS ${identifier(names.database)};`],
      `dropping the database ${names.database}`,
    );
  }

  async removeAccount(names: DatabaseNames): Promise<void> {
    await this.#dropUsers([namesIn(names).user]);
  }

  /** Every account of the same family, as user and host. */
  async #accounts(user: string): Promise<readonly (readonly string[])[]> {
    const like = literal(`${firstUser(user).replace(/[\\_%]/g, "\\$&")}%`);
    const rows = await this.#asMaster([`SELECT User, Host FROM mysql.user WHERE User LIKE ${like};`], "looking for accounts");
    return rows.filter(([found = ""]) => sameFamily(user, found));
  }

  async #dropUsers(users: readonly string[]): Promise<void> {
    if (users.length === 0) return;
    // A site may have been told to use it; without it nothing could be done here any more.
    if (users.includes(this.#master.user)) throw masterAccount(this.#setup.server.name, this.#master.user);
    const list = users.map(literal).join(", ");
    const rows = await this.#asMaster([`SELECT User, Host FROM mysql.user WHERE User IN (${list});`], "looking for accounts");
    if (rows.length === 0) return;
    const accounts = rows.map(([user = "", host = ""]) => account(user, host));
    await this.#asMaster([`DROP USER IF EXISTS ${accounts.join(", ")};`], `dropping the account ${users.join(", ")}`);
  }

  async #sessions(users: readonly string[]): Promise<readonly string[]> {
    if (users.length === 0) return [];
    const list = users.map(literal).join(", ");
    const rows = await this.#asMaster(
      [`SELECT ID FROM information_schema.PROCESSLIST WHERE USER IN (${list});`],
      "looking for connections",
    );
    return rows.map(([id = ""]) => id);
  }

  async #hasDatabase(database: string): Promise<boolean> {
    const rows = await this.#asMaster(
      [`SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ${literal(database)};`],
      "looking for a database",
    );
    return rows.length > 0;
  }

  async #refuseTaken(names: Names): Promise<void> {
    const [database, user] = [literal(names.database), literal(names.user)];
    const [found] = await this.#asMaster(
      [
        `SELECT (SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ${database}), (SELECT COUNT(*) FROM mysql.user WHERE User = ${user});`,
      ],
      "looking whether its names are free",
    );
    const [databases, accounts] = (found ?? []).map(Number);
    if (databases === 0 && accounts === 0) return;
    const what = databases === 0 ? `an account ${names.user}` : `a database ${names.database}`;
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
      [
        // MySQL 8 would answer with what it remembers of a day.
        "/*!80000 SET SESSION information_schema_stats_expiry = 0 */;",
        `SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${literal(namesIn(names).database)};`,
      ],
      "measuring a database",
    );
    return Number(rows.at(-1)?.[0] ?? 0);
  }

  async tables({ names }: DatabaseOf): Promise<readonly string[]> {
    const { database } = namesIn(names);
    const rows = await this.#asMaster(
      [`SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA = ${literal(database)};`],
      `listing the tables of ${database}`,
    );
    return rows.map(([table = ""]) => table).sort();
  }

  async counts({ names }: DatabaseOf, tables: readonly string[]): Promise<Readonly<Record<string, number>>> {
    if (tables.length === 0) return {};
    const { database } = namesIn(names);
    const rows = await this.#asMaster(
      tables.map((table) => `SELECT COUNT(*) FROM ${identifier(database)}.${identifier(table)};`),
      `counting the rows of ${database}`,
    );
    return Object.fromEntries(tables.map((table, index) => [table, Number(rows[index]?.[0] ?? 0)]));
  }

  /** The time of the last change, which the server knows in whole seconds; of what changed just now, or is not InnoDB's, a checksum of its rows. */
  async marks({ names }: DatabaseOf, since?: TableMarks): Promise<TableMarks> {
    const { database } = namesIn(names);
    const rows = await this.#asMaster(
      [
        "/*!80000 SET SESSION information_schema_stats_expiry = 0 */;",
        `SELECT TABLE_NAME, COALESCE(UPDATE_TIME, 'never'), COALESCE(UPDATE_TIME >= NOW() - INTERVAL 2 SECOND, ENGINE <> 'InnoDB') FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA = ${literal(database)};`,
      ],
      `looking when the tables of ${database} were changed`,
    );
    const exactly = rows.filter(([table = "", , recent]) => (since === undefined ? recent === "1" : since[table]?.startsWith("#")));
    const sums = new Map<string, string>();
    if (exactly.length > 0) {
      const list = exactly.map(([table = ""]) => `${identifier(database)}.${identifier(table)}`).join(", ");
      for (const [table = "", sum = ""] of await this.#asMaster([`CHECKSUM TABLE ${list};`], `reading the tables of ${database}`))
        sums.set(table.slice(database.length + 1), `#${sum}`);
    }
    return Object.fromEntries(rows.map(([table = "", changed = ""]) => [table, sums.get(table) ?? changed]));
  }

  async select({ names }: DatabaseOf, sql: string): Promise<readonly (readonly string[])[]> {
    const { database } = namesIn(names);
    const rows = await this.#client.run(await this.#login(), [sql], { doing: `reading ${database}`, database });
    return rows.map((row) => row.map((cell) => (cell === "NULL" ? "" : cell)));
  }

  async out({ names }: DatabaseOf, { structureOnly = [] }: DumpOptions = {}): Promise<Flow> {
    const { database } = namesIn(names);
    // Not as the site: the text of routines is shown to their makers and to those who may see all.
    const login = await this.#login();
    const flow = await this.#client.dumping(login, database, structureOnly);
    return { ...flow, failure: this.#flowFailure(login, `dumping ${database}`) };
  }

  async into({ site, names }: DatabaseOf, foreign?: "foreign"): Promise<Flow> {
    const { database, user } = namesIn(names);
    const login = await this.#siteLogin(user, await passwordOf(this.#setup.secrets, site, user));
    // The client takes no commands of its own from its input (--binary-mode), and the account reaches no other database.
    const through = foreign === undefined ? {} : { through: [portable([])] };
    return { ...(await this.#client.loading(login, database)), ...through, failure: this.#flowFailure(login, `loading ${database}`) };
  }

  #flowFailure(login: MysqlLogin, doing: string) {
    return (error: unknown) => {
      if (!(error instanceof HostError) || error.code !== "COMMAND_FAILED") return error;
      return this.#client.failure([...error.why, error.message], login, doing);
    };
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
    const names = proofNames(this.#setup);
    // What a proof left that was killed.
    await this.remove(names);
    try {
      const password = randomPassword();
      await this.#asMaster(
        [
          `CREATE DATABASE ${identifier(names.database)} ${CHARSET};`,
          ...accountStatements(names, password, await this.#hosts({}), "CREATE USER"),
        ],
        "making a database, as a proof",
      );
      const rows = await this.#client.run(
        await this.#siteLogin(names.user, password),
        ["CREATE TABLE proof (word VARCHAR(190) PRIMARY KEY);", "INSERT INTO proof VALUES ('\u{1F600}');", "SELECT HEX(word) FROM proof;"],
        { doing: "using that database, as a proof", database: names.database },
      );
      if (rows[0]?.[0] !== "F09F9880")
        throw new ProvisionError("CONFIGURATION", `the database server of ${this.#setup.server.name} does not keep text as it is given`);
    } finally {
      await this.remove(names);
    }
  }
}

/** For each host the account with its password, and all rights over its database alone. */
function accountStatements(
  { database, user }: Names,
  password: Secret,
  hosts: readonly string[],
  create: "CREATE USER" | "CREATE USER IF NOT EXISTS",
): readonly string[] {
  const by = `IDENTIFIED BY ${literal(password.reveal())}`;
  return hosts.flatMap((host) => {
    const who = account(user, host);
    return [
      `${create} ${who} ${by};`,
      ...(create === "CREATE USER" ? [] : [`ALTER USER ${who} ${by};`]),
      `GRANT ALL PRIVILEGES ON ${grantPattern(database)} TO ${who};`,
    ];
  });
}
