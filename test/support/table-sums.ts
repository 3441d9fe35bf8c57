import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

/** Tables that a page may write to at any time. */
const PASSING = ["semaphore", "flood", "watchdog"];

const SUMS = `
foreach (array_slice($argv, 1) as $file) {
  $db = new SQLite3($file, SQLITE3_OPEN_READWRITE);
  $db->enableExceptions(true);
  $db->busyTimeout(10000);
  $tables = $db->query("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'cache%' ORDER BY name");
  while ($table = $tables->fetchArray(SQLITE3_NUM)) {
    $lines = [];
    $rows = $db->query('SELECT * FROM "' . $table[0] . '"');
    while ($row = $rows->fetchArray(SQLITE3_NUM)) $lines[] = serialize($row);
    sort($lines);
    echo "$file\\t$table[0]\\t", count($lines), "\\t", md5(implode("\\n", $lines)), "\\n";
  }
}
`;

/** Every table of every SQLite database below a directory, but for caches: where it is, how many rows it has, and a sum of them; one line each. */
export function tablesOf(directory: string): readonly string[] {
  const files = readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".sqlite"))
    .sort();
  if (files.length === 0) return [];
  const { status, stdout, stderr } = spawnSync(
    "php",
    ["-d", "display_errors=stderr", "-r", SUMS, "--", ...files.map((name) => join(directory, name))],
    {
      encoding: "utf8",
    },
  );
  if (status !== 0) throw new Error(`PHP: ${stderr || stdout}`);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.replace(`${directory}/`, "").split("\t"))
    .filter(([, table = ""]) => !PASSING.includes(table))
    .map(([file, table, rows, sum]) => `table ${file} ${table} ${rows} ${sum}`);
}
