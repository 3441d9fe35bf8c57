import type { DatabaseAccess } from "../../context/database-access.js";
import type { GenerationPaths } from "../../context/layout.js";
import type { Secret } from "../../core/secret.js";
import type { Step } from "../../core/step.js";
import type { Argv } from "../../host/host.js";

/** Which database: that of one generation of one site. Secrets of its account are in the site's secrets file. */
export interface DatabaseOf {
  /** Name of the site's context, with its `@`. */
  readonly site: string;
  readonly uri: string;
  readonly generation: string;
  readonly paths: GenerationPaths;
  /** `database` and `user`, for the servers that need them; empty for sqlite. */
  readonly names: DatabaseNames;
  /** Name or address by which the site's machine reaches the server, where that is another; default: as master_db says. */
  readonly host?: string;
  /** mysql: hosts beside this one from which the site's account logs in (remote web servers), as the server sees them. */
  readonly webHosts?: readonly string[];
  /** sqlite: group of the file, where that is not the web server's. */
  readonly gid?: number;
}

export type DatabaseNames = Readonly<Record<string, string>>;

export type TableMarks = Readonly<Record<string, string>>;

/** How many rows tables have. */
export interface Counts {
  readonly rows: Readonly<Record<string, number>>;
  /** Of some of them a mark: while a table has the same, it has as many rows. */
  readonly marks: Readonly<Record<string, string>>;
}

export interface DumpOptions {
  /** Tables that are dumped without their rows (caches, sessions); those that do not exist are passed over. */
  readonly structureOnly?: readonly string[];
  /** Called once when it is certain which moment the dump tells of; where a kind of database does not say, never. */
  readonly onSnapshot?: () => void;
}

/** A program that writes a whole database to its standard output, or reads one from its standard input. */
export interface Flow {
  readonly argv: Argv;
  /** Programs that what it writes, or reads, goes through. */
  readonly through?: readonly Argv[];
  readonly secretFile?: Secret;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What the program that writes says on its standard error. */
  readonly onStderr?: (text: string) => void;
  /** What a person is to know when it fails, made of what the programs said. */
  failure(error: unknown): unknown;
}

/** One kind of database server; one contract suite runs over every type. */
export interface DbService {
  readonly type: string;
  /** File name of a dump before compression: `database.sql`. Dumps of one type are loaded by the same type. */
  readonly dumpName: string;
  /** Proves that databases can be made and dropped here; changes nothing that stays. Part of verify @server. */
  serverSteps(): readonly Step[];
  /** Full, collision-free names for a new generation; pure. */
  names(uri: string, generation: string): DatabaseNames;
  /** The same with another account, which takes the old one's place; undefined where databases have no accounts. Pure. */
  nextNames(names: DatabaseNames, operation: string): DatabaseNames | undefined;
  /**
   * Rejects when it cannot be used now, each with what to do: SERVICE_UNAVAILABLE (down, full of connections, PHP lacks its driver),
   * DATABASE_LOGIN_REFUSED, DATABASE_TOO_OLD, PROGRAM_MISSING. The answer install's preflight wants.
   */
  reach(): Promise<void>;
  /** What answers: `MariaDB`, `MySQL`, `PostgreSQL` or `SQLite` (that of the server's PHP), and its version. Rejects as reach does. */
  version(): Promise<{ readonly product: string; readonly version: string }>;
  /** Rejects with CONFIGURATION when the password of the account is not in the site's secrets. */
  access(database: DatabaseOf): Promise<DatabaseAccess>;
  /** The locks are held, and create() follows: looks meanwhile whether the names are free. Nothing is told before create() asks. */
  beforehand?(database: DatabaseOf): void;
  /** The empty database and its account, refused when there (NAME_TAKEN); undone by dropping both. */
  create(database: DatabaseOf): readonly Step[];
  /** One more account for a database that is there, with the same rights; undone by dropping it. */
  createAccount(database: DatabaseOf): readonly Step[];
  /** The account logs in and has its rights; else it is given password and rights anew. A finish step. */
  account(database: DatabaseOf): readonly Step[];
  /** Rejects with REFUSED when a database that somebody else made cannot be used by an account of ours, or not be dropped with its site. */
  refuseForeign?(database: DatabaseOf): Promise<void>;
  /** Drops accounts that this one replaced, once nobody is logged in by them. A cleanup step. */
  dropFormer(database: DatabaseOf): readonly Step[];
  /** Removes database and accounts, also while others are connected to it; a finish step of delete. */
  drop(database: DatabaseOf): readonly Step[];
  /** Where databases have accounts: what undo kinds call, by data of the journal. Database and accounts are gone; can be repeated. */
  remove?(names: DatabaseNames): Promise<void>;
  /** The same for one account. */
  removeAccount?(names: DatabaseNames): Promise<void>;
  exists(database: DatabaseOf): Promise<boolean>;
  /** Bytes; 0 when there is none. */
  size(database: DatabaseOf): Promise<number>;
  /** Names of its tables, sorted. */
  tables(database: DatabaseOf): Promise<readonly string[]>;
  /** How many rows these tables have, each counted at some moment of the call. `known`: counted before; what has not changed since is not counted again. */
  counts(database: DatabaseOf, tables: readonly string[], known?: Counts): Promise<Counts>;
  /**
   * By table a mark that is another one when the table has changed; it says nothing to anybody else. `since`: marks that were
   * taken before, against which these are to be held.
   */
  marks(database: DatabaseOf, since?: TableMarks): Promise<TableMarks>;
  /** Rows of a statement that only reads; null is an empty text. */
  select(database: DatabaseOf, sql: string): Promise<readonly (readonly string[])[]>;
  /** Whether `fill` would do for this database; undefined where a server does not copy by itself. */
  fits?(database: DatabaseOf): Promise<boolean>;
  /** The tables of a database that fits, without rows, in another one of this server; those that are there stay as they are. */
  outline?(from: DatabaseOf, to: DatabaseOf): Promise<void>;
  /**
   * The rows of a database into the tables of another one of this server, which are the same and empty: by the server itself, in a fraction of the time that
   * a dump takes to be loaded, but each table as it is at its turn: for when nobody writes. False, and nothing done: they are not the same, or not empty,
   * or hold more than such a copy takes along. `without`: tables that stay empty.
   */
  fill?(from: DatabaseOf, to: DatabaseOf, without: readonly string[]): Promise<boolean>;
  /** Writes all of it, in one snapshot. */
  out(database: DatabaseOf, options?: DumpOptions): Promise<Flow>;
  /**
   * Fills an empty database, as the site's own account. `foreign`: what comes was not written by this service; it must name no account, and reach
   * nothing but the database.
   */
  into(database: DatabaseOf, foreign?: "foreign"): Promise<Flow>;
}
