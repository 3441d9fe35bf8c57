import type { Services } from "../services.js";
import { matching } from "./copy.js";
import { databaseOf, type SiteInputs } from "./site.js";

/** What was written to a generation since it took the place of another that is kept. */
export type Since = {
  /** By table: how many rows more (or fewer) than in the kept one; those that only reads write are left out. */
  readonly rows: Readonly<Record<string, number>>;
  /** Names of accounts that the kept one does not have. */
  readonly accounts: readonly string[];
  /** Names of accounts that have another password there. */
  readonly passwords: readonly string[];
};

/** Holds the tables of what serves against those of what is kept, which nobody has written to meanwhile. */
export async function since(now: SiteInputs, kept: SiteInputs, use: Services): Promise<Since> {
  const [here, there] = [now, kept].map((inputs) => {
    const db = use.db(inputs.dbServer);
    const database = databaseOf(inputs, use, inputs.dbServer);
    return {
      tables: () => db.tables(database),
      counts: (tables: readonly string[]) => db.counts(database, tables),
      select: (sql: string) => db.select(database, sql),
    };
  }) as [Reader, Reader];
  const [mine, theirs] = await Promise.all([here.tables(), there.tables()]);
  const reads = new Set(
    matching(
      mine,
      use.engine(now.core.engine).tables.writtenByReads.filter((table) => table !== "users"),
    ),
  );
  const tables = mine.filter((table) => !reads.has(table));
  const common = tables.filter((table) => theirs.includes(table));
  const [counts, before] = await Promise.all([here.counts(tables), there.counts(common)]);
  const rows = Object.fromEntries(
    tables.map((table) => [table, (counts[table] ?? 0) - (before[table] ?? 0)] as const).filter(([, difference]) => difference !== 0),
  );
  const table = mine.includes("users_field_data") ? "users_field_data" : "users";
  if (!common.includes(table)) return { rows, accounts: [], passwords: [] };
  const sql = `SELECT uid, name, pass FROM ${table} WHERE uid > 0;`;
  const [now_, then] = await Promise.all([here.select(sql), there.select(sql)]);
  const known = new Map(then.map(([uid = "", , pass = ""]) => [uid, pass]));
  return {
    rows,
    accounts: now_.filter(([uid = ""]) => !known.has(uid)).map(([, name = ""]) => name),
    passwords: now_.filter(([uid = "", , pass = ""]) => known.has(uid) && known.get(uid) !== pass).map(([, name = ""]) => name),
  };
}

interface Reader {
  tables(): Promise<readonly string[]>;
  counts(tables: readonly string[]): Promise<Readonly<Record<string, number>>>;
  select(sql: string): Promise<readonly (readonly string[])[]>;
}
