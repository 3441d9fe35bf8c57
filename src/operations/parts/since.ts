import type { Counts } from "../../services/db/service.js";
import type { Services } from "../services.js";
import { matching } from "./copy.js";
import { databaseOf, type SiteInputs } from "./site.js";

/** What was written to a generation since it took the place of another that is kept. */
export type Since = {
  /** By table: how many rows more (or fewer) than there were then; those that only reads write are left out. */
  readonly rows: Readonly<Record<string, number>>;
  /** Names of accounts that the kept one does not have. */
  readonly accounts: readonly string[];
  /** Names of accounts that have another password there. */
  readonly passwords: readonly string[];
};

/** How many rows the tables of a generation have, those left out that only reads write: data of the journal and of records. */
export type Rows = Pick<Counts, "rows" | "marks">;

/** Rows of a generation that is about to serve, so that what updates wrote is not taken for what visitors wrote. */
export async function rowsOf(inputs: SiteInputs, use: Services): Promise<Rows> {
  const db = use.db(inputs.dbServer);
  const database = databaseOf(inputs, use, inputs.dbServer);
  return db.counts(database, countedTables(await db.tables(database), inputs, use));
}

function countedTables(tables: readonly string[], { core }: SiteInputs, use: Services): readonly string[] {
  const patterns = use.engine(core.engine).tables.writtenByReads.filter((table) => table !== "users");
  const reads = new Set(matching(tables, patterns));
  return tables.filter((table) => !reads.has(table));
}

/**
 * Holds the tables of what serves against what they were when it began to serve (`then`; undefined: nobody counted, and the kept one has to do), and its
 * accounts against those of what is kept, which nobody has written to meanwhile (`own`: its rows, where they were counted). `now`, `kept`: rows of both.
 */
export async function since(
  now: SiteInputs,
  kept: SiteInputs,
  use: Services,
  then?: Rows,
  own?: Rows,
): Promise<{ readonly since: Since; readonly now: Rows; readonly kept: Rows }> {
  const [here, there] = [now, kept].map((inputs) => {
    const db = use.db(inputs.dbServer);
    const database = databaseOf(inputs, use, inputs.dbServer);
    return {
      tables: () => db.tables(database),
      counts: (tables: readonly string[], known: Rows | undefined) => db.counts(database, tables, known),
      select: (sql: string) => db.select(database, sql),
    };
  }) as [Reader, Reader];
  const [mine, theirs] = await Promise.all([here.tables(), there.tables()]);
  const tables = countedTables(mine, now, use);
  const [counts, rowsKept] = await Promise.all([here.counts(tables, then), there.counts(countedTables(theirs, kept, use), own)]);
  const before = (then ?? rowsKept).rows;
  const rows = Object.fromEntries(
    tables.map((table) => [table, (counts.rows[table] ?? 0) - (before[table] ?? 0)] as const).filter(([, difference]) => difference !== 0),
  );
  const table = mine.includes("users_field_data") ? "users_field_data" : "users";
  if (!mine.includes(table) || !theirs.includes(table))
    return { since: { rows, accounts: [], passwords: [] }, now: counts, kept: rowsKept };
  const sql = `SELECT uid, name, pass FROM ${table} WHERE uid > 0;`;
  const [now_, former] = await Promise.all([here.select(sql), there.select(sql)]);
  const known = new Map(former.map(([uid = "", , pass = ""]) => [uid, pass]));
  return {
    since: {
      rows,
      accounts: now_.filter(([uid = ""]) => !known.has(uid)).map(([, name = ""]) => name),
      passwords: now_.filter(([uid = "", , pass = ""]) => known.has(uid) && known.get(uid) !== pass).map(([, name = ""]) => name),
    },
    now: counts,
    kept: rowsKept,
  };
}

interface Reader {
  tables(): Promise<readonly string[]>;
  counts(tables: readonly string[], known: Rows | undefined): Promise<Rows>;
  select(sql: string): Promise<readonly (readonly string[])[]>;
}
