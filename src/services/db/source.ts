import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { MasterDb } from "../../context/master-db.js";
import { ProvisionError } from "../../core/errors.js";
import { Secret } from "../../core/secret.js";
import type { Argv, Host } from "../../host/host.js";
import { examine, received, unpackTar, type Written } from "../../steps/archive.js";
import type { DbSetup } from "./index.js";
import { DUMP, ENVIRONMENT, optionFile } from "./mysql/client.js";
import { portable } from "./mysql/dump.js";
import { connection, conninfo, DUMP as PGSQL_DUMP, QUIET as PGSQL_QUIET, where } from "./pgsql/client.js";
import { PORTABLE } from "./pgsql/dump.js";
import { tablePattern } from "./pgsql/sql.js";
import type { DatabaseOf } from "./service.js";
import { sqlite } from "./sqlite/index.js";
import { writeDump } from "./transfer.js";

/**
 * A database on a machine that is only read: with the account of its site, by the client programs of that machine. Nothing is written there, not
 * even for a moment: the account goes by standard input to the program, which has no file for it.
 */
export type SourceDatabase =
  | { readonly driver: "mysql" | "pgsql"; readonly login: SourceLogin; readonly database: string }
  | { readonly driver: "sqlite"; readonly path: string };

/** The account of a site. */
type SourceLogin = Pick<MasterDb, "user" | "password" | "host" | "port" | "socket" | "tls" | "tlsCa">;

/** Into which rows of some tables need not come; `*` at the end stands for any characters. */
type Patterns = readonly string[];

const MINUTE = 60_000;
const PROGRAMS = [
  { flavour: "mariadb", client: "mariadb", dump: "mariadb-dump" },
  { flavour: "mysql", client: "mysql", dump: "mysqldump" },
] as const;

/** Names come from the other machine; these mean nothing to a client program's command line. */
export function databaseNameProblem(name: string): string | undefined {
  return /^[A-Za-z0-9_][A-Za-z0-9_$-]{0,63}$/.test(name) ? undefined : "is no name of a database that provision asks for";
}

/** Bytes of the database. Rejects with DATABASE_LOGIN_REFUSED or SERVICE_UNAVAILABLE. */
export async function sourceSize(host: Host, from: SourceDatabase): Promise<number> {
  if (from.driver !== "sqlite") {
    const tables = await (from.driver === "mysql" ? mysqlTables : pgsqlTables)(host, from as Server);
    return tables.reduce((sum, { bytes }) => sum + bytes, 0);
  }
  const stats = await Promise.all(["", "-wal", "-journal"].map((end) => host.stat(`${from.path}${end}`)));
  return stats.reduce((sum, stat) => sum + (stat?.size ?? 0), 0);
}

/**
 * One snapshot of the database as the compressed file `to` of the machine `setup.hub`, as a dump of a service of the same type. `structureOnly`: whose rows are
 * left out. `most`: bytes that are taken over at most. Rejects as `sourceSize`, with REFUSED for more, with COMMAND_FAILED.
 */
export function fetchDatabase(
  host: Host,
  from: SourceDatabase,
  to: string,
  options: { readonly structureOnly: Patterns; readonly most: number },
  setup: DbSetup,
): Promise<Written> {
  if (from.driver === "sqlite") return fetchSqlite(host, from.path, to, options, setup);
  return (from.driver === "mysql" ? fetchMysql : fetchPgsql)(host, from as Server, to, options, setup.hub);
}

function matches(table: string, patterns: Patterns): boolean {
  return patterns.some((pattern) => (pattern.endsWith("*") ? table.startsWith(pattern.slice(0, -1)) : table === pattern));
}

type Server = Pick<Extract<SourceDatabase, { login: SourceLogin }>, "login" | "database">;
type Table = { readonly name: string; readonly bytes: number };

const TABLES =
  "SELECT TABLE_NAME, COALESCE(DATA_LENGTH + INDEX_LENGTH, 0) FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA = DATABASE()";

async function mysqlTables(host: Host, { login, database }: Server): Promise<readonly Table[]> {
  const { client, flavour } = await mysqlPrograms(host);
  const { code, stdout, stderr } = await host.run(
    fed([client, ...FROM_INPUT, "--batch", "--skip-column-names", "--raw", "-e", TABLES, database]),
    {
      input: optionFile({ ...login, master: false }, flavour),
      env: ENVIRONMENT,
      anyExit: true,
      timeout: MINUTE,
    },
  );
  if (code !== 0) throw refusal(host, database, stderr, /ERROR 10(44|45) /);
  return tablesIn(stdout);
}

function tablesIn(stdout: string): readonly Table[] {
  return stdout
    .split("\n")
    .map((line) => line.split("\t"))
    .filter(([, bytes]) => bytes !== undefined)
    .map(([name = "", bytes]) => ({ name, bytes: Number(bytes) || 0 }));
}

async function fetchMysql(
  host: Host,
  from: Server,
  to: string,
  { structureOnly, most }: { readonly structureOnly: Patterns; readonly most: number },
  at: Host,
): Promise<Written> {
  const { login, database } = from;
  const { dump, flavour } = await mysqlPrograms(host);
  const empty = (await mysqlTables(host, from)).map(({ name }) => name).filter((name) => matches(name, structureOnly));
  const own =
    flavour === "mysql"
      ? ["--set-gtid-purged=OFF", "--column-statistics=0"]
      : empty.map((table) => `--ignore-table-data=${database}.${table}`);
  return received(
    host,
    fed([dump, ...FROM_INPUT, ...DUMP, ...own, database]),
    to,
    {
      env: ENVIRONMENT,
      input: optionFile({ ...login, master: false }, flavour),
      most,
      // MySQL's program cannot leave rows out by itself.
      toThrough: [portable(flavour === "mysql" ? empty : [])],
    },
    at,
  );
}

/** The client programs open what they are given as a file of options; a socket, as sshd may have for standard input, cannot be opened, a pipe can. */
const FROM_INPUT = ["--defaults-file=/dev/stdin"];

function fed(argv: Argv): Argv {
  return ["sh", "-c", 'cat | "$@"', "sh", ...argv];
}

const KNOWN = new WeakMap<Host, Promise<(typeof PROGRAMS)[number]>>();

function mysqlPrograms(host: Host): Promise<(typeof PROGRAMS)[number]> {
  const found = KNOWN.get(host) ?? findPrograms(host);
  KNOWN.set(host, found);
  return found;
}

async function findPrograms(host: Host): Promise<(typeof PROGRAMS)[number]> {
  for (const programs of PROGRAMS) {
    const { code, stdout } = await host.run(
      ["sh", "-c", 'command -v "$1" >/dev/null && "$2" --version', "sh", programs.dump, programs.client],
      {
        anyExit: true,
        timeout: MINUTE,
      },
    );
    // MariaDB's programs have MySQL's names, too.
    if (code === 0) return { ...programs, flavour: /mariadb/i.test(stdout) ? "mariadb" : "mysql" } as (typeof PROGRAMS)[number];
  }
  throw new ProvisionError("PROGRAM_MISSING", `${host.name}: neither mariadb-dump nor mysqldump is installed`, {
    state: "nothing was changed",
    next: ["apt-get install mariadb-client    # there"],
  });
}

function refusal(host: Host, database: string, stderr: string, login: RegExp): ProvisionError {
  const why = stderr.split("\n").filter((line) => line.trim() !== "");
  const denied = why.some((line) => login.test(line));
  return new ProvisionError(
    denied ? "DATABASE_LOGIN_REFUSED" : "SERVICE_UNAVAILABLE",
    `${host.name}: the database ${database} cannot be read with the account of its site`,
    { why: why.slice(-5), state: "nothing was changed" },
  );
}

const PGSQL_TABLES =
  "SELECT tablename, pg_total_relation_size(format('%I.%I', schemaname, tablename)::regclass) FROM pg_tables WHERE schemaname = 'public'";
const PGSQL_DENIED = /authentication failed|no password supplied|role ".*" does not exist|permission denied|pg_hba\.conf/;

/** The client programs take a password from a plain file or from their environment: the shell reads it for them, and no command line has it. */
const WITH_PASSWORD = 'IFS= read -r PGPASSWORD || :; [ -n "$PGPASSWORD" ] && export PGPASSWORD; exec "$@" </dev/null';

function pgsqlProgram({ login }: Server, argv: Argv) {
  const password = login.password?.reveal() ?? "";
  return {
    argv: ["sh", "-c", WITH_PASSWORD, "sh", ...argv] as Argv,
    input: new Secret(`${password}\n`),
    env: { ...connection(login), PGPASSWORD: undefined, PGPASSFILE: "/dev/null" },
  };
}

async function pgsqlTables(host: Host, from: Server): Promise<readonly Table[]> {
  const { argv, ...how } = pgsqlProgram(from, [
    "psql",
    ...PGSQL_QUIET,
    ...["--no-align", "--tuples-only", "--field-separator=\t", "--command", PGSQL_TABLES],
    ...where({ ...from.login, master: false }),
    "--dbname",
    conninfo(from.database),
  ]);
  await requirePgsql(host);
  const { code, stdout, stderr } = await host.run(argv, { ...how, anyExit: true, timeout: MINUTE });
  if (code !== 0) throw refusal(host, from.database, stderr, PGSQL_DENIED);
  return tablesIn(stdout);
}

async function requirePgsql(host: Host): Promise<void> {
  const { code } = await host.run(["sh", "-c", "command -v psql >/dev/null && command -v pg_dump >/dev/null"], {
    anyExit: true,
    timeout: MINUTE,
  });
  if (code === 0) return;
  throw new ProvisionError("PROGRAM_MISSING", `${host.name}: psql or pg_dump is not installed`, {
    state: "nothing was changed",
    next: ["apt-get install postgresql-client    # there"],
  });
}

async function fetchPgsql(
  host: Host,
  from: Server,
  to: string,
  { structureOnly, most }: { readonly structureOnly: Patterns; readonly most: number },
  at: Host,
): Promise<Written> {
  const empty = (await pgsqlTables(host, from)).map(({ name }) => name).filter((name) => matches(name, structureOnly));
  const { argv, ...how } = pgsqlProgram(from, [
    ...PGSQL_DUMP,
    ...empty.map((table) => `--exclude-table-data=${tablePattern(table)}`),
    ...where({ ...from.login, master: false }),
    "--dbname",
    conninfo(from.database),
  ]);
  return received(host, argv, to, { ...how, most, toThrough: [PORTABLE] }, at);
}

/**
 * The files of a database as they are at one moment, to standard output: they were not written to for a while before, and not until they were read.
 * What they were is said on standard error each time.
 */
const QUIET = `cd -- "$1" || exit 3
look() { printf 'looked\\n' >&2; stat --printf='%n %s %i %y\\n' -- "$@" >&2; }
for end in '' -wal -journal; do [ -e "$2$end" ] && set -- "$@" "$2$end"; done
shift 2
look "$@"; sleep 0.1; look "$@"
tar --create --numeric-owner --dereference --file=- -- "$@"; code=$?
look "$@"
exit $code`;
const TURNS = 20;

async function fetchSqlite(
  host: Host,
  path: string,
  to: string,
  { structureOnly, most }: { readonly structureOnly: Patterns; readonly most: number },
  setup: DbSetup,
): Promise<Written> {
  const { hub } = setup;
  const place = join(dirname(to), "sqlite");
  const archive = join(dirname(to), "sqlite.tar.zst");
  const [directory, name] = [dirname(path), path.slice(dirname(path).length + 1)];
  if ((await host.stat(path)) === undefined) throw new ProvisionError("FILE_NOT_FOUND", `${host.name}: ${path} is not there`);
  for (let turn = 0; ; turn++) {
    let said = "";
    const onStderr = (text: string) => {
      said += text.length + said.length > 100_000 ? "" : text;
    };
    await received(
      host,
      ["sh", "-c", QUIET, "sh", directory, name],
      archive,
      { most, fromExits: [1], onStderr, env: { LC_ALL: "C" } },
      hub,
    );
    const [first, ...others] = said
      .split("looked\n")
      .slice(1)
      .map((look) => look.replace(/^tar: .*\n/gm, ""));
    if (first !== undefined && others.length === 2 && others.every((look) => look === first)) break;
    if (turn === TURNS)
      throw new ProvisionError(
        "REFUSED",
        `${host.name}: ${path} is written to all the time, so it cannot be copied as it is at one moment`,
        {
          state: "nothing was changed",
          next: ["import it at a quieter time", "provision disable @site    # there, for as long as it takes"],
        },
      );
    await sleep(250);
  }
  await examine(hub, archive, { entries: 3, bytes: most, links: "inside" });
  await hub.remove(place);
  await hub.mkdir(place, { mode: 0o700 });
  await unpackTar(hub, archive, place);
  await hub.remove(archive);
  for (const each of (await hub.list(place)) ?? [])
    if ((await hub.stat(join(place, each)))?.type !== "file")
      throw new ProvisionError("REFUSED", `${host.name}: ${path} came as something else than a file`);
  const here = sqlite({ ...setup, host: hub });
  const database = { paths: { database: join(place, name) } } as DatabaseOf;
  const empty = (await here.tables(database)).filter((table) => matches(table, structureOnly));
  const written = await writeDump(hub, here, database, to, { structureOnly: empty });
  await hub.remove(place);
  return written;
}
