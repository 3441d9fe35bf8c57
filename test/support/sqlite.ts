import type { Host } from "../../src/host/host.js";

const QUERY = `
  $db = new PDO('sqlite:' . $argv[1], NULL, NULL, array(PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION));
  // Columns of Drupal 8 and later are compared by it; no program but core knows it.
  $db->sqliteCreateCollation('NOCASE_UTF8', 'strcasecmp');
  echo json_encode(array_map(function ($row) { return array_map('strval', $row); }, $db->query($argv[2])->fetchAll(PDO::FETCH_NUM)));
`;

/** Runs one statement on a SQLite database; rows as lists of texts. */
export async function sqlite(host: Host, database: string, statement: string): Promise<readonly (readonly string[])[]> {
  return JSON.parse((await host.run(["php", "-r", QUERY, database, statement])).stdout) as readonly (readonly string[])[];
}
