import { identifier, literal } from "./sql.js";

/** Rows of the statements, asked in the database where they say so. */
export type Ask = (statements: readonly string[], doing: string) => Promise<readonly (readonly string[])[]>;

const SCHEMA = "information_schema";
/** MySQL 8 would answer with what it remembers of a day. */
const FRESH = "/*!80000 SET SESSION information_schema_stats_expiry = 0 */;";
/** MariaDB's only; the rows of one table may take longer than a page should. */
const UNHURRIED = "/*M!100101 SET SESSION max_statement_time = 0 */;";
const SETTINGS = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_bin', 'binlog_format', 'wsrep_on', 'group_replication_group_name');";

/** Galera and MySQL's group replication bring each transaction to all members whole, and refuse large ones. */
function isOneOfSeveral(settings: ReadonlyMap<string, string>): boolean {
  return settings.get("wsrep_on") === "ON" || (settings.get("group_replication_group_name") ?? "") !== "";
}

/** What `SETTINGS` answered, among rows of other statements, which begin otherwise. */
function settingsIn(rows: Awaited<ReturnType<Ask>>): ReadonlyMap<string, string> {
  return new Map(rows.map(([name = "", value = ""]) => [name, value] as const));
}

/**
 * Counts what is more than plain tables with plain columns: views, sequences, other storage engines, partitions; columns that are computed or not in `*`;
 * references between tables and conditions on rows; triggers, routines, events. 0: rows that are inserted as they are read make the same database.
 */
function othersIn(database: string): string {
  const name = literal(database);
  const counted = [
    `${SCHEMA}.TABLES WHERE TABLE_SCHEMA = ${name} AND (TABLE_TYPE <> 'BASE TABLE' OR COALESCE(ENGINE, '') <> 'InnoDB' OR CREATE_OPTIONS LIKE '%partitioned%')`,
    `${SCHEMA}.COLUMNS WHERE TABLE_SCHEMA = ${name} AND (EXTRA LIKE '%VIRTUAL%' OR EXTRA LIKE '%STORED%' OR EXTRA LIKE '%PERSISTENT%' OR EXTRA LIKE '%INVISIBLE%')`,
    `${SCHEMA}.TABLE_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = ${name} AND CONSTRAINT_TYPE NOT IN ('PRIMARY KEY', 'UNIQUE')`,
    `${SCHEMA}.TRIGGERS WHERE TRIGGER_SCHEMA = ${name}`,
    `${SCHEMA}.ROUTINES WHERE ROUTINE_SCHEMA = ${name}`,
    `${SCHEMA}.EVENTS WHERE EVENT_SCHEMA = ${name}`,
  ];
  return `SELECT ${counted.map((from) => `(SELECT COUNT(*) FROM ${from})`).join(" + ")};`;
}

/** All that makes two tables alike but their rows and their next numbers; a line for each table, column and part of an index. */
function shapeOf(database: string): string {
  const name = literal(database);
  const hex = (...columns: readonly string[]) => `HEX(CONCAT_WS('|', ${columns.map((column) => `QUOTE(${column})`).join(", ")}))`;
  return [
    `SELECT TABLE_NAME, 0, ${hex("ENGINE", "ROW_FORMAT", "TABLE_COLLATION", "CREATE_OPTIONS", "TABLE_COMMENT")} FROM ${SCHEMA}.TABLES WHERE TABLE_SCHEMA = ${name}`,
    `SELECT TABLE_NAME, ORDINAL_POSITION, ${hex("COLUMN_NAME", "COLUMN_TYPE", "IS_NULLABLE", "COLUMN_DEFAULT", "EXTRA", "COLLATION_NAME", "COLUMN_COMMENT")} FROM ${SCHEMA}.COLUMNS WHERE TABLE_SCHEMA = ${name}`,
    `SELECT TABLE_NAME, SEQ_IN_INDEX, ${hex("INDEX_NAME", "NON_UNIQUE", "COLUMN_NAME", "SUB_PART", "COLLATION", "INDEX_TYPE")} FROM ${SCHEMA}.STATISTICS WHERE TABLE_SCHEMA = ${name}`,
  ].join(" UNION ALL ");
}

/** Whether `fill` would do for this database. */
export async function fits(ask: Ask, database: string): Promise<boolean> {
  const rows = await ask([othersIn(database), SETTINGS], `looking what ${database} holds`);
  return Number(rows[0]?.[0]) === 0 && !isOneOfSeveral(settingsIn(rows));
}

/** Connections that have `database` as theirs (of a run that was killed, whose statement the server goes on with), and those of the accounts. */
export async function sessionsIn(ask: Ask, database: string, users: readonly string[] = []): Promise<readonly string[]> {
  const theirs = users.length === 0 ? "" : ` OR USER IN (${users.map(literal).join(", ")})`;
  const rows = await ask([`SELECT ID FROM ${SCHEMA}.PROCESSLIST WHERE DB = ${literal(database)}${theirs};`], "looking for connections");
  return rows.map(([id = ""]) => id);
}

/** The tables of `from`, without rows, in the database that `inside` asks in. */
export async function outline(ask: Ask, inside: Ask, from: string): Promise<void> {
  const rows = await ask(
    [`SELECT TABLE_NAME FROM ${SCHEMA}.TABLES WHERE TABLE_SCHEMA = ${literal(from)};`],
    `listing the tables of ${from}`,
  );
  const made = rows.map(([table = ""]) => `CREATE TABLE IF NOT EXISTS ${identifier(table)} LIKE ${identifier(from)}.${identifier(table)};`);
  if (made.length > 0) await inside(made, `making the tables of ${from} once more`);
}

/**
 * The rows of one database into the tables of another, which are the same and empty, by the server itself; each table as it is at its turn. False, and nothing
 * done: they are not the same, or not empty, or it takes more than rows to make them the same. `inside`: asks in the database `to`.
 */
export async function fill(ask: Ask, inside: Ask, from: string, to: string, without: readonly string[]): Promise<boolean> {
  const doing = `copying ${from} to ${to}`;
  const marked = (mark: string, statement: string) => `SELECT '${mark}', found.* FROM (${statement}) AS found;`;
  const rows = await ask([FRESH, othersIn(from), SETTINGS, marked("from", shapeOf(from)), marked("to", shapeOf(to))], doing);
  const settings = settingsIn(rows);
  const shape = (mark: string) =>
    rows
      .filter(([first]) => first === mark)
      .map(([, ...rest]) => rest.join("\t"))
      .sort();
  const [wanted, there] = [shape("from"), shape("to")];
  if (Number(rows[0]?.[0]) !== 0 || isOneOfSeveral(settings)) return false;
  if (wanted.length !== there.length || wanted.some((line, index) => line !== there[index])) return false;
  const tables = [...new Set(rows.filter(([mark]) => mark === "from").map(([, table = ""]) => table))].sort();
  const full = tables.map((table) => `EXISTS(SELECT 1 FROM ${identifier(to)}.${identifier(table)})`);
  if (full.length > 0 && Number((await ask([`SELECT ${full.join(" + ")};`], doing)).at(-1)?.[0]) !== 0) return false;
  const copied = tables.filter((table) => !without.includes(table));
  const behind = await inside(
    [
      UNHURRIED,
      // What is read is not locked then. A server that writes statements into its log would not let it be so.
      ...(settings.get("log_bin") === "ON" && settings.get("binlog_format") === "STATEMENT"
        ? []
        : ["SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;"]),
      ...copied.map((table) => `INSERT INTO ${identifier(table)} SELECT * FROM ${identifier(from)}.${identifier(table)};`),
      FRESH,
      `SELECT a.TABLE_NAME, a.AUTO_INCREMENT FROM ${SCHEMA}.TABLES a JOIN ${SCHEMA}.TABLES b ON b.TABLE_SCHEMA = ${literal(to)} AND b.TABLE_NAME = a.TABLE_NAME WHERE a.TABLE_SCHEMA = ${literal(from)} AND a.AUTO_INCREMENT <> COALESCE(b.AUTO_INCREMENT, 0);`,
    ],
    doing,
  );
  // A row that was the last and is gone leaves a gap that no other row may fill.
  const numbered = behind.map(([table = "", next = ""]) => `ALTER TABLE ${identifier(table)} AUTO_INCREMENT = ${BigInt(next)};`);
  if (numbered.length > 0) await inside(numbered, doing);
  return true;
}
