import { type MasterDb, parseMasterDb } from "../../context/master-db.js";
import { ProvisionError } from "../../core/errors.js";
import type { Secret } from "../../core/secret.js";
import type { Step, Undo } from "../../core/step.js";
import { HostError } from "../../host/host.js";
import { proofNames, untilNobody } from "./common.js";
import type { DbSetup } from "./index.js";
import { masterPassword } from "./master-password.js";
import { databaseNames, nextUser } from "./names.js";
import { forgetPasswords, formerUsers, keptUsers, passwordOf, passwordStep, randomPassword } from "./password.js";
import type { Counts, DatabaseNames, DatabaseOf, DbService, DumpOptions, Flow, TableMarks } from "./service.js";

/** Where Debian keeps the authorities that everybody trusts; PHP's drivers have no default of their own. */
const ACCESS_CA = "/etc/ssl/certs/ca-certificates.crt";

/** Who logs in where. */
export interface ServerLogin extends Omit<MasterDb, "driver" | "database"> {
  /** The account of master_db, not one of a site. */
  readonly master: boolean;
}

/** A database and its account. */
export type ServerNames = {
  readonly database: string;
  readonly user: string;
};

/** What a statement gave. */
export type Rows = readonly (readonly string[])[];

/** What it is asked for, for messages: `making the database x`; and in which database. */
export interface Asking {
  readonly doing: string;
  readonly database?: string;
  /** Milliseconds; default: five minutes. */
  readonly timeout?: number;
}

/**
 * A database and an account for each generation of a site, on a server that the client programs reach. What MySQL and PostgreSQL have in
 * common: names, passwords, steps and what they refuse. Their folders have what they say to a server.
 */
export abstract class ServerDatabase implements DbService {
  abstract readonly type: "mysql" | "pgsql";
  readonly dumpName = "database.sql";
  protected readonly setup: DbSetup;
  #password: Promise<Secret | undefined> | undefined;
  /** Whether names are free, of databases that will be made soon. */
  readonly #free = new Map<string, Promise<void>>();

  constructor(setup: DbSetup) {
    this.setup = setup;
  }

  // What a dialect says.

  abstract reach(): Promise<void>;
  abstract version(): Promise<{ readonly product: string; readonly version: string }>;
  abstract remove(names: DatabaseNames): Promise<void>;
  abstract size(database: DatabaseOf): Promise<number>;
  abstract tables(database: DatabaseOf): Promise<readonly string[]>;
  abstract counts(database: DatabaseOf, tables: readonly string[], known?: Counts): Promise<Counts>;
  abstract marks(database: DatabaseOf, since?: TableMarks): Promise<TableMarks>;
  abstract select(database: DatabaseOf, sql: string): Promise<Rows>;
  abstract out(database: DatabaseOf, options?: DumpOptions): Promise<Flow>;

  /** Runs statements by the client program. */
  protected abstract run(login: ServerLogin, statements: readonly string[], asking: Asking): Promise<Rows>;
  /** What the client program said, as an error with what to do. */
  protected abstract failure(lines: readonly string[], login: ServerLogin, doing: string): ProvisionError;
  /** Makes the empty database and its account. */
  protected abstract make(names: ServerNames, password: Secret, from: Pick<DatabaseOf, "webHosts">): Promise<void>;
  /** The account has this password and these rights, whether it was there or not. */
  protected abstract giveAccount(names: ServerNames, password: Secret, from: Pick<DatabaseOf, "webHosts">): Promise<void>;
  /** Addresses of other machines that the account is to log in from and cannot, or can and is not to. */
  protected async wrongHosts(_names: ServerNames, _from: Pick<DatabaseOf, "webHosts">): Promise<readonly string[]> {
    return [];
  }
  /** Whether the account, logged in, has its rights over its database. */
  protected abstract hasRights(login: ServerLogin, names: ServerNames): Promise<boolean>;
  protected abstract hasDatabase(database: string): Promise<boolean>;
  /** Of the generation: those that one replaced, too, and what else can log in or owns. */
  protected abstract accountsOf(names: ServerNames): Promise<readonly string[]>;
  protected abstract dropAccount(names: ServerNames): Promise<void>;
  /** Connections of these accounts. */
  protected abstract sessions(users: readonly string[]): Promise<readonly string[]>;
  /** What there is of these names already, with its article. */
  protected abstract taken(names: ServerNames): Promise<string | undefined>;
  /** Loads SQL as the account that logs in. */
  protected abstract loading(login: ServerLogin, database: string, foreign: boolean): Promise<Omit<Flow, "failure">>;
  /** In a new database and as its account: text is kept as it is given, and belongs to whom it should. */
  protected abstract keepsText(login: ServerLogin, database: string): Promise<boolean>;
  /** The account of a proof. */
  protected proofUser(user: string): string {
    return user;
  }

  // What all have.

  protected get master(): MasterDb {
    return parseMasterDb(this.setup.server.master_db ?? "");
  }

  protected async login(): Promise<ServerLogin> {
    const { user, host, port, socket, tls, tlsCa } = this.master;
    // A program that gives it is asked once.
    this.#password ??= masterPassword(this.setup);
    const password = await this.#password;
    return { user, password, host, port, socket, tls, tlsCa, master: true };
  }

  async #siteLogin(user: string, password: Secret): Promise<ServerLogin> {
    return { ...(await this.login()), user, password, master: false };
  }

  protected async asMaster(statements: readonly string[], doing: string, database?: string, timeout?: number): Promise<Rows> {
    const where = { ...(database === undefined ? {} : { database }), ...(timeout === undefined ? {} : { timeout }) };
    return this.run(await this.login(), statements, { doing, ...where });
  }

  protected namesIn(names: DatabaseNames): ServerNames {
    const { database, user } = names;
    if (database === undefined || user === undefined) throw new Error(`a database of ${this.type} has a name and an account`);
    return { database, user };
  }

  /** A site may have been told to use the account of master_db; without it nothing could be done here any more. */
  protected refuseMaster(users: readonly string[]): void {
    const { user } = this.master;
    if (!users.includes(user)) return;
    throw new ProvisionError("REFUSED", `${user} is the account of ${this.setup.server.name}'s master_db: it is not dropped`, {
      state: "nothing was dropped",
      next: ["take db_name and db_user out of the site's context, and drop its database by hand"],
    });
  }

  /** `found`: product and version; `oldest`: those that would do. */
  protected tooOld(found: string, oldest: string): ProvisionError {
    return new ProvisionError("DATABASE_TOO_OLD", `the database server of ${this.setup.server.name} is ${found}`, {
      why: [`provision works with ${oldest}`],
      state: "nothing was asked of it",
      next: ["update the server", "or name another one in master_db"],
    });
  }

  protected flowFailure(login: ServerLogin, doing: string) {
    return (error: unknown) =>
      error instanceof HostError && error.code === "COMMAND_FAILED" ? this.failure([...error.why, error.message], login, doing) : error;
  }

  names(uri: string, generation: string): DatabaseNames {
    return databaseNames(uri, generation);
  }

  nextNames(names: DatabaseNames, operation: string): DatabaseNames {
    const { database, user } = this.namesIn(names);
    return { database, user: nextUser(user, operation) };
  }

  async access({ site, names, host: elsewhere }: DatabaseOf) {
    const { database, user } = this.namesIn(names);
    const { host, port, socket, tls, tlsCa } = this.master;
    return {
      driver: this.type,
      // PHP's driver of PostgreSQL takes the directory of the socket as a host.
      host: elsewhere ?? (this.type === "pgsql" ? (socket ?? host) : host),
      port,
      database,
      username: user,
      password: await passwordOf(this.setup.secrets, site, user),
      ...(this.type === "pgsql" || socket === undefined || elsewhere !== undefined ? {} : { socket }),
      ...(tls === undefined ? {} : { tls: { verify: tls === "verify", ca: tlsCa ?? ACCESS_CA } }),
    };
  }

  beforehand({ names: all }: DatabaseOf): void {
    const names = this.namesIn(all);
    const free = this.#refuseTaken(names);
    // create() hears of it.
    free.catch(() => {});
    this.#free.set(names.database, free);
  }

  create(database: DatabaseOf): readonly Step[] {
    const { secrets, hub, host, server } = this.setup;
    const names = this.namesIn(database.names);
    return [
      passwordStep(secrets, hub, database.site, names.user),
      {
        id: "database/create",
        title: `Create the database of ${database.uri}`,
        check: async () => {
          const begun = this.#free.get(names.database);
          this.#free.delete(names.database);
          await (begun ?? this.#refuseTaken(names));
          const undo: Undo = { do: "database_drop", host: host.name, server: server.name, names: { ...names } };
          return { changes: [`create the database ${names.database} and its account ${names.user}`], undo: [undo] };
        },
        apply: async () => {
          await this.make(names, await passwordOf(secrets, database.site, names.user), database);
          return null;
        },
      },
    ];
  }

  createAccount(database: DatabaseOf): readonly Step[] {
    const { secrets, hub, host, server } = this.setup;
    const names = this.namesIn(database.names);
    return [
      passwordStep(secrets, hub, database.site, names.user),
      {
        id: "database/account",
        title: `Make a new account for the database of ${database.uri}`,
        check: async () => ({
          changes: [`create the account ${names.user}`],
          undo: [{ do: "database_drop_account", host: host.name, server: server.name, names: { ...names } }],
        }),
        apply: () => this.#giveAccount(database),
      },
    ];
  }

  account(database: DatabaseOf): readonly Step[] {
    const { user } = this.namesIn(database.names);
    return [
      {
        id: "database/rights",
        title: `The account of the database of ${database.uri} logs in`,
        phase: "finish",
        check: async () => {
          if (!(await this.#accountWorks(database))) return { changes: [`give ${user} its password and rights again`] };
          const wrong = await this.wrongHosts(this.namesIn(database.names), database);
          return {
            changes: wrong.length === 0 ? [] : [`let ${user} log in from ${(database.webHosts ?? []).join(" and ")} (${wrong.join(", ")})`],
          };
        },
        apply: () => this.#giveAccount(database),
      },
    ];
  }

  async #giveAccount(database: DatabaseOf): Promise<null> {
    const names = this.namesIn(database.names);
    await this.giveAccount(names, await passwordOf(this.setup.secrets, database.site, names.user), database);
    return null;
  }

  async #accountWorks({ site, names: all }: DatabaseOf): Promise<boolean> {
    const names = this.namesIn(all);
    try {
      const password = await passwordOf(this.setup.secrets, site, names.user);
      return await this.hasRights(await this.#siteLogin(names.user, password), names);
    } catch (error) {
      if (error instanceof ProvisionError && (error.code === "DATABASE_LOGIN_REFUSED" || error.code === "DATABASE_RIGHT_MISSING"))
        return false;
      throw error;
    }
  }

  dropFormer({ site, uri, names: all }: DatabaseOf): readonly Step[] {
    const { secrets, hub, server } = this.setup;
    const names = this.namesIn(all);
    return [
      {
        id: "database/former-accounts",
        title: `Drop former accounts of the database of ${uri}`,
        phase: "cleanup",
        check: async () => ({ changes: (await formerUsers(secrets, site, names.user)).map((former) => `drop the account ${former}`) }),
        apply: async (run) => {
          const former = await formerUsers(secrets, site, names.user);
          await untilNobody(() => this.sessions(former), run.signal, server.name);
          for (const user of former) await this.dropAccount({ ...names, user });
          await forgetPasswords(secrets, hub, site, former);
          return null;
        },
      },
    ];
  }

  drop(database: DatabaseOf): readonly Step[] {
    const { secrets, hub } = this.setup;
    const names = this.namesIn(database.names);
    const kept = () => keptUsers(secrets, database.site, names.user);
    return [
      {
        id: "database/drop",
        title: `Remove the database of ${database.uri}`,
        phase: "finish",
        check: async () => {
          const changes = (await this.hasDatabase(names.database)) ? [`drop the database ${names.database}`] : [];
          const forgotten = (await kept()).map((user) => `forget the password of ${user}`);
          return { changes: [...changes, ...(await this.accountsOf(names)).map((user) => `drop the account ${user}`), ...forgotten] };
        },
        apply: async () => {
          await this.remove(names);
          await forgetPasswords(secrets, hub, database.site, await kept());
          return null;
        },
      },
    ];
  }

  async removeAccount(names: DatabaseNames): Promise<void> {
    await this.dropAccount(this.namesIn(names));
  }

  async #refuseTaken(names: ServerNames): Promise<void> {
    const what = await this.taken(names);
    if (what === undefined) return;
    throw new ProvisionError("NAME_TAKEN", `the database server of ${this.setup.server.name} has ${what} already`, {
      state: "it was not touched",
      next: [`look what is in it, as the account of ${this.setup.server.name}'s master_db`],
    });
  }

  exists({ names }: DatabaseOf): Promise<boolean> {
    return this.hasDatabase(this.namesIn(names).database);
  }

  async into({ site, names }: DatabaseOf, foreign?: "foreign"): Promise<Flow> {
    const { database, user } = this.namesIn(names);
    const login = await this.#siteLogin(user, await passwordOf(this.setup.secrets, site, user));
    return {
      ...(await this.loading(login, database, foreign !== undefined)),
      failure: this.flowFailure(login, `loading ${database}`),
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
    const { database, user: plain } = proofNames(this.setup);
    const names = { database, user: this.proofUser(plain) };
    // What a proof left that was killed.
    await this.remove(names);
    try {
      const password = randomPassword();
      await this.make(names, password, {});
      if (!(await this.keepsText(await this.#siteLogin(names.user, password), database)))
        throw new ProvisionError("CONFIGURATION", `the database server of ${this.setup.server.name} does not keep text as it is given`);
    } finally {
      await this.remove(names);
    }
  }
}
