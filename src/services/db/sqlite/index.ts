import { dirname } from "node:path";
import type { Layout } from "../../../context/layout.js";
import { ProvisionError } from "../../../core/errors.js";
import type { Step, Undo } from "../../../core/step.js";
import { type Host, HostError } from "../../../host/host.js";
import { phpProgram } from "../../php.js";
import type { DbSetup } from "../index.js";
import type { DatabaseOf, DbService, Flow, TableMarks } from "../service.js";

/** The database of a site is writable by the web server's group, and so is its directory, for the journals beside it (DESIGN 2). */
const DIRECTORY_MODE = 0o2770;
const FILE_MODE = 0o660;

/**
 * Makes a database, writes to it, and leaves nothing. PHP, not the sqlite3 program, asks SQLite: it is there anyway, and knows the
 * collations of Drupal (reference: engine.md e).
 */
const PROVE = `
register_shutdown_function(function () use ($argv) { foreach (['', '-wal', '-shm', '-journal'] as $end) @unlink($argv[1] . $end); });
umask(0007);
$pdo = new PDO('sqlite:' . $argv[1], null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$mode = $pdo->query('PRAGMA journal_mode = WAL')->fetchColumn();
if ($mode !== 'wal') { fwrite(STDERR, "This file system gives SQLite no write-ahead log (journal mode $mode).\\n"); exit(1); }
$pdo->exec('CREATE TABLE provision_proof (id INTEGER PRIMARY KEY)');
$pdo->exec('INSERT INTO provision_proof VALUES (1)');
$pdo = null;
`;

const PAGE = 4096;

/**
 * A database without a table (SQLite's file format: a header of 100 bytes, then an empty leaf page), in WAL mode: that is kept in
 * the file, so that readers never wait for a writer, and Drupal's installers are content with it.
 */
function emptyDatabase(): Buffer {
  const page = Buffer.alloc(PAGE);
  page.write("SQLite format 3\0", "latin1");
  page.writeUInt16BE(PAGE, 16);
  // Write and read version 2 are WAL; the three fractions are fixed.
  page.set([2, 2, 0, 64, 32, 32], 18);
  // Change counter, pages; schema format, UTF-8; the counter again, with the oldest SQLite that has all of this.
  for (const [at, value] of Object.entries({ 24: 1, 28: 1, 44: 4, 56: 1, 92: 1, 96: 3_007_000 })) page.writeUInt32BE(value, Number(at));
  page[100] = 0x0d;
  page.writeUInt16BE(PAGE, 105);
  return page;
}

/** Drupal 8's own collation has to be known to whoever looks at its tables. */
const COLLATION = `
$collate = function ($db) { $db->enableExceptions(true); $db->createCollation('NOCASE_UTF8', fn($a, $b) => strcmp(mb_strtolower($a), mb_strtolower($b))); return $db; };
umask(0077);
`;

/**
 * A copy that SQLite makes while others write, as it is at one moment; a file copied by itself may miss what stands in the log beside it. It is
 * taken away as soon as it is open; what a kill leaves of it the next one replaces.
 */
const OUT = `${COLLATION}
$copy = $argv[1] . '.provision-dump';
@unlink($copy);
register_shutdown_function(fn() => @unlink($copy));
$from = $collate(new SQLite3($argv[1], SQLITE3_OPEN_READONLY));
$from->busyTimeout(60000);
$to = $collate(new SQLite3($copy));
$from->backup($to);
$to->exec('PRAGMA journal_mode = DELETE');
foreach (array_slice($argv, 2) as $table) {
  $quoted = '"' . str_replace('"', '""', $table) . '"';
  if ($to->querySingle("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '" . SQLite3::escapeString($table) . "'")) $to->exec("DELETE FROM $quoted");
}
if ($argc > 2) $to->exec('VACUUM');
$to->close();
$file = fopen($copy, 'rb');
if (stream_copy_to_stream($file, STDOUT) !== filesize($copy)) { fwrite(STDERR, "The copy was not taken whole.\n"); exit(1); }
`;

/** The file that stands there keeps its mode, and whoever has it open sees the new content. */
const INTO = `${COLLATION}
$copy = $argv[1] . '.provision-load';
@unlink($copy);
register_shutdown_function(function () use ($copy) { foreach (['', '-wal', '-shm', '-journal'] as $end) @unlink($copy . $end); });
$file = fopen($copy, 'xb');
if (stream_copy_to_stream(STDIN, $file) === 0) { fwrite(STDERR, "There was nothing to load.\n"); exit(1); }
fclose($file);
$from = $collate(new SQLite3($copy));
$found = $from->querySingle('PRAGMA integrity_check');
if ($found !== 'ok') { fwrite(STDERR, "What was given is damaged: $found\n"); exit(1); }
$from->exec('PRAGMA journal_mode = WAL');
if (!is_file($argv[1])) { fwrite(STDERR, "There is no database to load into.\n"); exit(1); }
$to = new SQLite3($argv[1], SQLITE3_OPEN_READWRITE);
$to->enableExceptions(true);
$to->busyTimeout(60000);
$from->backup($to);
`;

/** Names of tables, a line of JSON for each; with names given, how many rows each has. */
const TABLES = `${COLLATION}
$db = $collate(new SQLite3($argv[1], SQLITE3_OPEN_READONLY));
$db->busyTimeout(60000);
if ($argc > 2) foreach (array_slice($argv, 2) as $table) echo json_encode($db->querySingle('SELECT COUNT(*) FROM "' . str_replace('"', '""', $table) . '"')), "\n";
else {
  $rows = $db->query("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'");
  while ($row = $rows->fetchArray(SQLITE3_NUM)) echo json_encode($row[0]), "\n";
}
`;

/** By table a hash of its rows, as JSON; or the rows of a statement. */
const MARKS = `${COLLATION}
$db = $collate(new SQLite3($argv[1], SQLITE3_OPEN_READONLY));
$db->busyTimeout(60000);
$rows = function ($sql) use ($db) { $found = $db->query($sql); while ($row = $found->fetchArray(SQLITE3_NUM)) yield $row; };
if ($argc > 2) { echo json_encode(array_map(fn($row) => array_map('strval', $row), iterator_to_array($rows($argv[2]), false))); exit; }
$marks = [];
$db->exec('BEGIN');
foreach ($rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'") as [$table]) {
  $hash = hash_init('md5');
  foreach ($rows('SELECT * FROM "' . str_replace('"', '""', $table) . '"') as $row) hash_update($hash, serialize($row));
  $marks[$table] = hash_final($hash);
}
echo json_encode((object) $marks);
`;

/** One SQLite file per generation of a site, in a directory of its own: `sites/<uri>/<generation>/db/site.sqlite`. */
export function sqlite({ layout, server, host }: DbSetup): DbService {
  const php = phpProgram(server.php);
  let reached: Promise<void> | undefined;
  return {
    type: "sqlite",
    dumpName: "database.sqlite",
    serverSteps: () => [proofStep(host, php, layout)],
    names: () => ({}),
    nextNames: () => undefined,
    reach: () => {
      reached ??= reach(host, php);
      return reached;
    },
    async version() {
      await this.reach();
      return {
        product: "SQLite",
        version: await runPhp(host, php, "echo (new PDO('sqlite::memory:'))->query('SELECT sqlite_version()')->fetchColumn();"),
      };
    },
    access: async ({ paths }) => ({ driver: "sqlite", database: paths.database }),
    create: (database) => [createStep(host, server.web_group, database)],
    createAccount: () => [],
    account: () => [],
    dropFormer: () => [],
    drop: (database) => [dropStep(host, database)],
    exists: async ({ paths }) => (await host.stat(paths.database)) !== undefined,
    size: ({ paths }) => sizeOf(host, paths.database),
    tables: async ({ paths }) => (await asked<string>(host, php, paths.database)).toSorted(),
    counts: async ({ paths }, tables) => {
      const rows = tables.length === 0 ? [] : await asked<number>(host, php, paths.database, ...tables);
      return { rows: Object.fromEntries(tables.map((table, index) => [table, rows[index] ?? 0])), marks: {} };
    },
    marks: async ({ paths }) => JSON.parse(await runPhp(host, php, MARKS, paths.database)) as TableMarks,
    select: async ({ paths }, sql) => JSON.parse(await runPhp(host, php, MARKS, paths.database, sql)) as readonly (readonly string[])[],
    out: async ({ paths }, { structureOnly = [] } = {}) => flow(host, php, OUT, paths.database, ...structureOnly),
    into: async ({ paths }) => flow(host, php, INTO, paths.database),
  };
}

async function asked<T extends string | number>(host: Host, php: string, ...args: readonly string[]): Promise<readonly T[]> {
  const answer = await runPhp(host, php, TABLES, ...args);
  return answer
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}

/** Rejects with PROGRAM_MISSING or SERVICE_UNAVAILABLE, naming the Debian package. */
async function reach(host: Host, php: string): Promise<void> {
  const answer = await runPhp(host, php, "echo PHP_MAJOR_VERSION, '.', PHP_MINOR_VERSION, ' ', (int) extension_loaded('pdo_sqlite');");
  const [version, loaded] = answer.split(" ");
  if (loaded === "1") return;
  throw new ProvisionError("SERVICE_UNAVAILABLE", `${host.name}: ${php} (PHP ${version}) has no pdo_sqlite, so SQLite cannot be used`, {
    next: [`apt-get install php${version}-sqlite3`],
  });
}

function proofStep(host: Host, php: string, layout: Layout): Step {
  return {
    id: "database/prove",
    title: "Prove that SQLite databases can be made and removed",
    async check(run) {
      await reach(host, php);
      // On the file system that databases will stand on, when it is there already; nothing of it stays.
      const directory = (await host.stat(layout.sites)) ? layout.sites : layout.root;
      await runPhp(host, php, PROVE, `${directory}/.provision-proof-${run.operation}-${process.pid}.sqlite`);
      return { changes: [] };
    },
    apply: async () => null,
  };
}

function createStep(host: Host, group: string | undefined, { uri, paths, gid }: DatabaseOf): Step {
  const directory = dirname(paths.database);
  return {
    id: "database/create",
    title: `Create the SQLite database of ${uri}`,
    async check() {
      const inside = await host.list(directory);
      if (inside !== undefined && inside.length > 0) {
        throw new ProvisionError("NAME_TAKEN", `${host.name}: ${directory} has a database in it already`, {
          state: "it was not touched",
          next: [`ls -l ${directory}`],
        });
      }
      if (gid === undefined && group !== undefined) await groupId(host, group);
      // The generation's id is in the path, so all of it is ours; what stood above it stays. Undone last to first.
      const undo: Undo[] = [];
      for (const parent of [dirname(paths.root), paths.root]) {
        if ((await host.stat(parent)) === undefined) undo.push({ do: "remove_directory", host: host.name, path: parent });
      }
      undo.push({ do: "remove_tree", host: host.name, path: directory });
      return { changes: [`create ${paths.database}`], undo };
    },
    async apply() {
      const owner = gid !== undefined ? { gid } : group === undefined ? {} : { gid: await groupId(host, group) };
      await host.mkdir(directory, { ...owner, mode: DIRECTORY_MODE });
      await host.writeFile(paths.database, emptyDatabase(), { ...owner, mode: FILE_MODE });
      return null;
    },
  };
}

function dropStep(host: Host, { uri, paths }: DatabaseOf): Step {
  const directory = dirname(paths.database);
  return {
    id: "database/drop",
    title: `Remove the SQLite database of ${uri}`,
    phase: "finish",
    check: async () => ({ changes: (await host.stat(directory)) === undefined ? [] : [`remove ${directory}`] }),
    async apply() {
      await host.remove(directory);
      return null;
    },
  };
}

/** The file and the log and index beside it. */
async function sizeOf(host: Host, database: string): Promise<number> {
  const stats = await Promise.all(["", "-wal", "-journal"].map((end) => host.stat(`${database}${end}`)));
  return stats.reduce((sum, stat) => sum + (stat?.size ?? 0), 0);
}

async function groupId(host: Host, group: string): Promise<number> {
  const { stdout, code } = await host.run(["getent", "group", group], { anyExit: true });
  const id = Number(stdout.split(":")[2]);
  if (code === 0 && Number.isInteger(id)) return id;
  throw new ProvisionError("CONFIGURATION", `${host.name}: there is no group ${group}, the web_group of the server`, {
    next: [`addgroup --system ${group}`, "provision save @server_master --unset web_group"],
  });
}

function flow(host: Host, php: string, code: string, ...args: readonly string[]): Flow {
  return {
    argv: [php, "-d", "display_errors=stderr", "-d", "log_errors=0", "-r", code, "--", ...args],
    failure: (error) =>
      error instanceof HostError && error.code === "COMMAND_FAILED"
        ? new ProvisionError(
            /disk is full|No space left/.test(error.why.join("\n")) ? "DISK_FULL" : "COMMAND_FAILED",
            `${host.name}: SQLite failed`,
            {
              why: error.why,
              cause: error,
            },
          )
        : error,
  };
}

async function runPhp(host: Host, php: string, code: string, ...args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await host.run([php, "-d", "display_errors=stderr", "-d", "log_errors=0", "-r", code, "--", ...args], {
      timeout: 60_000,
    });
    return stdout;
  } catch (error) {
    if (!(error instanceof HostError) || error.code !== "COMMAND_FAILED") throw error;
    throw new ProvisionError("SERVICE_UNAVAILABLE", `${host.name}: SQLite failed`, { why: error.why, cause: error });
  }
}
