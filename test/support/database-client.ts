import { spawn, spawnSync } from "node:child_process";
import type { DatabaseAccess } from "../../src/context/database-access.js";

/** Connects as a site's PHP does by what settings.php is given, and as Drupal's drivers do. */
const CONNECT = `
$access = json_decode(stream_get_contents(STDIN), true);
function connect(array $a) {
  $options = [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_TIMEOUT => 10];
  if ($a['driver'] === 'sqlite') return new PDO("sqlite:$a[database]", null, null, $options);
  if ($a['driver'] === 'mysql') {
    if (isset($a['tls'])) $options += [PDO::MYSQL_ATTR_SSL_CA => $a['tls']['ca'], PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => $a['tls']['verify']];
    $where = isset($a['socket']) ? "unix_socket=$a[socket]" : "host=$a[host];port=$a[port]";
    return new PDO("mysql:$where;dbname=$a[database];charset=utf8mb4", $a['username'], $a['password'], $options);
  }
  if (isset($a['tls'])) { putenv('PGSSLMODE=' . ($a['tls']['verify'] ? 'verify-full' : 'require')); putenv('PGSSLROOTCERT=' . $a['tls']['ca']); }
  return new PDO("pgsql:host=$a[host] dbname=$a[database] port=$a[port]", $a['username'], $a['password'], $options);
}
`;

const ASK = `${CONNECT}
$pdo = connect($access);
$rows = [];
foreach ($access['statements'] as $statement) {
  $prepared = $pdo->prepare($statement);
  $prepared->execute(str_contains($statement, ':word') ? [':word' => $access['word']] : []);
  $rows = $prepared->columnCount() > 0 ? $prepared->fetchAll(PDO::FETCH_NUM) : [];
}
echo json_encode(array_map(fn($row) => array_map(fn($value) => $value === null ? null : ($value === true ? 't' : (string) $value), $row), $rows));
`;

/** Moves one from table a to table b, over and over, each time in a transaction; "stay" begins one and does not end it. */
const WRITE = `${CONNECT}
$pdo = connect($access);
if ($access['driver'] === 'sqlite') $pdo->exec('PRAGMA busy_timeout = 10000');
for ($turn = 0; $turn < 100000; $turn++) {
  $pdo->beginTransaction();
  $pdo->exec('UPDATE a SET n = n - 1');
  $pdo->exec('UPDATE b SET n = n + 1');
  if ($turn === 20) echo "begun\\n";
  if ($turn === 20 && $access['stay']) sleep(60);
  $pdo->commit();
  usleep(500);
}
`;

const WORD = "Ärger 😀 \\ ' \" ; -- \n\t";

function plain(access: DatabaseAccess, more: object): string {
  return JSON.stringify({ ...access, ...(access.driver === "sqlite" ? {} : { password: access.password.reveal() }), ...more });
}

/** Runs statements by PHP as the site would; the rows of the last. `:word` is a text with every sign that could hurt. */
export function askAsSite(access: DatabaseAccess, statements: readonly string[]): Promise<readonly (readonly (string | null)[])[]> {
  const { status, stdout, stderr } = spawnSync("php", ["-d", "display_errors=stderr", "-r", ASK], {
    input: plain(access, { statements, word: WORD }),
    encoding: "utf8",
  });
  return status === 0 ? Promise.resolve(JSON.parse(stdout)) : Promise.reject(new Error(`PHP: ${stderr || stdout}`));
}

/** A site that writes all the time; `begun` once it has. */
export function writeOn(access: DatabaseAccess, stay?: "stay") {
  const child = spawn("php", ["-d", "display_errors=stderr", "-r", WRITE], { stdio: ["pipe", "pipe", "ignore"] });
  child.stdin.end(plain(access, { stay: stay === "stay" }));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const begun = new Promise<void>((resolve, reject) => {
    child.stdout.once("data", () => resolve());
    void ended.then(() => reject(new Error("the writer ended before it began")));
  });
  begun.catch(() => undefined);
  return {
    begun,
    stop: () => {
      child.kill("SIGKILL");
      return ended;
    },
  };
}
