import { ProvisionError } from "../../../core/errors.js";
import type { Secret } from "../../../core/secret.js";
import { requirePhpDriver } from "../common.js";
import type { DbSetup } from "../index.js";
import { familyPattern, sameFamily } from "../names.js";
import { type Asking, type Rows, ServerDatabase, type ServerLogin, type ServerNames } from "../server-database.js";
import type { Counts, DatabaseNames, DatabaseOf, DbService, DumpOptions, Flow, TableMarks } from "../service.js";
import { MysqlClient } from "./client.js";
import { portable } from "./dump.js";
import { type Ask, fill, fits, outline, sessionsIn } from "./inside.js";
import { account, grantPattern, identifier, literal } from "./sql.js";

/** The collation that every MariaDB and MySQL has: a dump of one loads on the other. */
const CHARSET = "CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";
const DAY = 24 * 60 * 60_000;
const LOCAL = ["localhost", "127.0.0.1", "::1"];
/** Oldest versions: MariaDB 10.5, MySQL 8.0. */
const OLDEST = { MariaDB: [10, 5], MySQL: [8, 0] } as const;

/** MariaDB 10.5+ and MySQL 8+: a database and an account for each generation of a site, all work done by the client programs. */
export function mysql(setup: DbSetup): DbService {
  return new Mysql(setup);
}

class Mysql extends ServerDatabase {
  readonly type = "mysql";
  readonly #client: MysqlClient;
  #reached: Promise<{ readonly product: string; readonly version: string }> | undefined;
  #seenAs: string | undefined;

  constructor(setup: DbSetup) {
    super(setup);
    this.#client = new MysqlClient(setup.host, setup.server.name);
  }

  protected run(login: ServerLogin, statements: readonly string[], asking: Asking): Promise<Rows> {
    return this.#client.run(login, statements, asking);
  }

  protected failure(lines: readonly string[], login: ServerLogin, doing: string): ProvisionError {
    return this.#client.failure(lines, login, doing);
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
      this.asMaster(["SELECT VERSION(), USER();"], "asking for its version"),
      requirePhpDriver(this.setup, "pdo_mysql", "mysql"),
    ]);
    const [version = "", as = ""] = rows[0] ?? [];
    const kind = /mariadb/i.test(version) ? "MariaDB" : "MySQL";
    const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
    const [wantedMajor, wantedMinor] = OLDEST[kind];
    if (major < wantedMajor || (major === wantedMajor && minor < wantedMinor)) {
      throw this.tooOld(`${kind} ${version}`, `MariaDB ${OLDEST.MariaDB.join(".")} and MySQL ${OLDEST.MySQL.join(".")}, or later`);
    }
    this.#seenAs = as.slice(as.lastIndexOf("@") + 1);
    return { product: kind, version };
  }

  /** From where the sites' accounts log in. */
  async #hosts({ webHosts = [] }: Pick<DatabaseOf, "webHosts">): Promise<readonly string[]> {
    const { host, socket } = this.master;
    const local = socket !== undefined || LOCAL.includes(host);
    // Anonymous accounts of localhost would win over %.
    if (this.setup.server.db_grant_all_hosts) return local ? ["%", "localhost"] : ["%"];
    if (local) return [...new Set(["localhost", "127.0.0.1", ...(host === "::1" ? [host] : []), ...webHosts])];
    await this.reach();
    return [...new Set([this.#seenAs ?? "%", ...webHosts])];
  }

  protected async make(names: ServerNames, password: Secret, from: Pick<DatabaseOf, "webHosts">): Promise<void> {
    await this.asMaster(
      [
        `CREATE DATABASE ${identifier(names.database)} ${CHARSET};`,
        ...accountStatements(names, password, await this.#hosts(from), "CREATE USER"),
      ],
      `making the database ${names.database}`,
    );
  }

  protected async giveAccount(names: ServerNames, password: Secret, from: Pick<DatabaseOf, "webHosts">): Promise<void> {
    const hosts = await this.#hosts(from);
    await this.asMaster(accountStatements(names, password, hosts, "CREATE USER IF NOT EXISTS"), `making the account ${names.user}`);
    if (from.webHosts === undefined) return;
    // The site's machine has another address than it had: from the old one nobody is to come.
    const former = (await this.#accountHosts(names)).filter((host) => !hosts.includes(host));
    if (former.length > 0)
      await this.asMaster(
        [`DROP USER IF EXISTS ${former.map((host) => account(names.user, host)).join(", ")};`],
        `withdrawing ${names.user} from other addresses`,
      );
  }

  async #accountHosts({ user }: ServerNames): Promise<readonly string[]> {
    const rows = await this.asMaster([`SELECT Host FROM mysql.user WHERE User = ${literal(user)};`], "looking for accounts");
    return rows.map(([host = ""]) => host);
  }

  protected override async wrongHosts(names: ServerNames, from: Pick<DatabaseOf, "webHosts">): Promise<readonly string[]> {
    if (from.webHosts === undefined) return [];
    const [wanted, present] = [await this.#hosts(from), await this.#accountHosts(names)];
    return [
      ...wanted.filter((host) => !present.includes(host)).map((host) => `not yet from ${host}`),
      ...present.filter((host) => !wanted.includes(host)).map((host) => `no longer from ${host}`),
    ];
  }

  protected async hasRights(login: ServerLogin, { database }: ServerNames): Promise<boolean> {
    const grants = await this.run(login, ["SHOW GRANTS;"], { doing: "logging in as the site", database });
    return grants.some(([grant = ""]) => grant.startsWith(`GRANT ALL PRIVILEGES ON ${grantPattern(database)} TO `));
  }

  /** Accounts first, so that nobody comes in again; then those who are in, who would hold the tables. */
  async remove(all: DatabaseNames): Promise<void> {
    const names = this.namesIn(all);
    const users = await this.accountsOf(names);
    await this.#dropUsers(users);
    await this.#end(await sessionsIn(this.#ask, names.database, [names.user, ...users]));
    // An account that may not make one may not drop one either, not even one that is not there.
    if (!(await this.hasDatabase(names.database))) return;
    await this.asMaster(
      ["SET SESSION lock_wait_timeout = 60;", `DROP DATABASE IF EXISTS ${identifier(names.database)};`],
      `dropping the database ${names.database}`,
    );
  }

  async #end(sessions: readonly string[]): Promise<void> {
    for (const session of sessions) {
      // One that is gone by itself is no failure.
      await this.asMaster([`KILL ${Number(session)};`], "ending a connection").catch((error: unknown) => {
        if (!(error instanceof ProvisionError) || error.code !== "COMMAND_FAILED") throw error;
      });
    }
  }

  protected async accountsOf({ user }: ServerNames): Promise<readonly string[]> {
    const like = literal(familyPattern(user));
    const rows = await this.asMaster([`SELECT User, Host FROM mysql.user WHERE User LIKE ${like};`], "looking for accounts");
    return [...new Set(rows.map(([found = ""]) => found))].filter((found) => sameFamily(user, found));
  }

  protected dropAccount({ user }: ServerNames): Promise<void> {
    return this.#dropUsers([user]);
  }

  async #dropUsers(users: readonly string[]): Promise<void> {
    if (users.length === 0) return;
    this.refuseMaster(users);
    const list = users.map(literal).join(", ");
    const rows = await this.asMaster([`SELECT User, Host FROM mysql.user WHERE User IN (${list});`], "looking for accounts");
    if (rows.length === 0) return;
    const accounts = rows.map(([user = "", host = ""]) => account(user, host));
    await this.asMaster([`DROP USER IF EXISTS ${accounts.join(", ")};`], `dropping the account ${users.join(", ")}`);
  }

  protected async sessions(users: readonly string[]): Promise<readonly string[]> {
    if (users.length === 0) return [];
    const list = users.map(literal).join(", ");
    const rows = await this.asMaster([`SELECT ID FROM information_schema.PROCESSLIST WHERE USER IN (${list});`], "looking for connections");
    return rows.map(([id = ""]) => id);
  }

  protected async hasDatabase(database: string): Promise<boolean> {
    const rows = await this.asMaster(
      [`SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ${literal(database)};`],
      "looking for a database",
    );
    return rows.length > 0;
  }

  protected async taken(names: ServerNames): Promise<string | undefined> {
    const [database, user] = [literal(names.database), literal(names.user)];
    const [found] = await this.asMaster(
      [
        `SELECT (SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ${database}), (SELECT COUNT(*) FROM mysql.user WHERE User = ${user});`,
      ],
      "looking whether its names are free",
    );
    const [databases, accounts] = (found ?? []).map(Number);
    if (databases === 0 && accounts === 0) return undefined;
    return databases === 0 ? `an account ${names.user}` : `a database ${names.database}`;
  }

  async size({ names }: DatabaseOf): Promise<number> {
    const rows = await this.asMaster(
      [
        // MySQL 8 would answer with what it remembers of a day.
        "/*!80000 SET SESSION information_schema_stats_expiry = 0 */;",
        `SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${literal(this.namesIn(names).database)};`,
      ],
      "measuring a database",
    );
    return Number(rows.at(-1)?.[0] ?? 0);
  }

  async tables({ names }: DatabaseOf): Promise<readonly string[]> {
    const { database } = this.namesIn(names);
    const rows = await this.asMaster(
      [`SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA = ${literal(database)};`],
      `listing the tables of ${database}`,
    );
    return rows.map(([table = ""]) => table).sort();
  }

  /**
   * A mark is the time of the last change: when that second was over before anybody looked, every later change gives another one. The server forgets
   * it when it starts, or forgets the table, until the next change: then there is none, and the rows are counted.
   */
  async counts({ names }: DatabaseOf, tables: readonly string[], known: Counts = { rows: {}, marks: {} }): Promise<Counts> {
    if (tables.length === 0) return { rows: {}, marks: {} };
    const { database } = this.namesIn(names);
    const doing = `counting the rows of ${database}`;
    const look = [
      "/*!80000 SET SESSION information_schema_stats_expiry = 0 */;",
      "SET SESSION time_zone = '+00:00';",
      `SELECT TABLE_NAME, COALESCE(UPDATE_TIME, ''), COALESCE(ENGINE = 'InnoDB' AND UPDATE_TIME < NOW() - INTERVAL 1 SECOND, 0) FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA = ${literal(database)};`,
    ];
    const counting = (which: readonly string[]) =>
      which.map((table) => `SELECT COUNT(*) FROM ${identifier(database)}.${identifier(table)};`);
    // Those that are counted anyway, by the same program.
    const first = tables.filter((table) => known.marks[table] === undefined);
    const answer = await this.asMaster([...look, ...counting(first)], doing);
    const times = new Map<string, string>();
    for (const [table = "", time = "", over] of answer.slice(0, answer.length - first.length)) if (over === "1") times.set(table, time);
    const then = tables.filter((table) => known.marks[table] !== undefined && known.marks[table] !== times.get(table));
    const more = then.length === 0 ? [] : await this.asMaster(counting(then), doing);
    const counted = [...answer.slice(answer.length - first.length), ...more].map(([count]) => Number(count));
    const fresh = new Map([...first, ...then].map((table, index) => [table, counted[index] ?? 0]));
    return {
      rows: Object.fromEntries(tables.map((table) => [table, fresh.get(table) ?? known.rows[table] ?? 0])),
      marks: Object.fromEntries([...times].filter(([table]) => tables.includes(table))),
    };
  }

  /** The time of the last change, which the server knows in whole seconds; of what changed just now, or is not InnoDB's, a checksum of its rows. */
  async marks({ names }: DatabaseOf, since?: TableMarks): Promise<TableMarks> {
    const { database } = this.namesIn(names);
    const rows = await this.asMaster(
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
      for (const [table = "", sum = ""] of await this.asMaster([`CHECKSUM TABLE ${list};`], `reading the tables of ${database}`))
        sums.set(table.slice(database.length + 1), `#${sum}`);
    }
    return Object.fromEntries(rows.map(([table = "", changed = ""]) => [table, sums.get(table) ?? changed]));
  }

  async select({ names }: DatabaseOf, sql: string): Promise<readonly (readonly string[])[]> {
    const { database } = this.namesIn(names);
    const rows = await this.run(await this.login(), [sql], { doing: `reading ${database}`, database });
    return rows.map((row) => row.map((cell) => (cell === "NULL" ? "" : cell)));
  }

  readonly #ask: Ask = (statements, doing) => this.asMaster(statements, doing);

  /** For as long as it takes, and so that `sessionsIn` finds it. */
  #inside(database: string): Ask {
    return (statements, doing) => this.asMaster(statements, doing, database, DAY);
  }

  fits({ names }: DatabaseOf): Promise<boolean> {
    return fits(this.#ask, this.namesIn(names).database);
  }

  async outline({ names: source }: DatabaseOf, { names: target }: DatabaseOf): Promise<void> {
    const [{ database: from }, { database: to }] = [this.namesIn(source), this.namesIn(target)];
    await outline(this.#ask, this.#inside(to), from);
  }

  async fill({ names: source }: DatabaseOf, { names: target }: DatabaseOf, without: readonly string[]): Promise<boolean> {
    const [{ database: from }, { database: to }] = [this.namesIn(source), this.namesIn(target)];
    await this.#end(await sessionsIn(this.#ask, to));
    return fill(this.#ask, this.#inside(to), from, to, without);
  }

  async out({ names }: DatabaseOf, { structureOnly = [], onSnapshot }: DumpOptions = {}): Promise<Flow> {
    const { database } = this.namesIn(names);
    // Not as the site: the text of routines is shown to their makers and to those who may see all.
    const login = await this.login();
    const flow = await this.#client.dumping(login, database, structureOnly, onSnapshot);
    return { ...flow, failure: this.flowFailure(login, `dumping ${database}`) };
  }

  protected async loading(login: ServerLogin, database: string, foreign: boolean) {
    // The client takes no commands of its own from its input (--binary-mode), and the account reaches no other database.
    return { ...(await this.#client.loading(login, database)), ...(foreign ? { through: [portable([])] } : {}) };
  }

  protected async keepsText(login: ServerLogin, database: string): Promise<boolean> {
    const rows = await this.run(
      login,
      ["CREATE TABLE proof (word VARCHAR(190) PRIMARY KEY);", "INSERT INTO proof VALUES ('\u{1F600}');", "SELECT HEX(word) FROM proof;"],
      { doing: "using that database, as a proof", database },
    );
    return rows[0]?.[0] === "F09F9880";
  }
}

/** For each host the account with its password, and all rights over its database alone. In as few statements as do: the server waits for the disk after each. */
function accountStatements(
  { database, user }: ServerNames,
  password: Secret,
  hosts: readonly string[],
  create: "CREATE USER" | "CREATE USER IF NOT EXISTS",
): readonly string[] {
  const by = `IDENTIFIED BY ${literal(password.reveal())}`;
  const all = hosts.map((host) => account(user, host));
  const given = all.map((who) => `${who} ${by}`).join(", ");
  return [
    `${create} ${given};`,
    ...(create === "CREATE USER" ? [] : [`ALTER USER ${given};`]),
    `GRANT ALL PRIVILEGES ON ${grantPattern(database)} TO ${all.join(", ")};`,
  ];
}
