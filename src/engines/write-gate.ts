import { phpString } from "./php-literal.js";

/** Where the gate of one generation stands, and what beside the usual counts as writing. */
export interface WriteGate {
  /** File that every writer holds a shared lock on; absolute. It has to be there: a gate that cannot be opened is closed. */
  readonly gate: string;
  /** The gate is closed as long as this file is there. */
  readonly closed: string;
  /** Paths of the site that write also when they are only fetched, without a leading `/`; `*` stands for anything. */
  readonly writePaths?: readonly string[];
}

/** PHP files that write by any method. */
const SCRIPTS = ["cron.php", "update.php", "install.php", "authorize.php", "rebuild.php"];

/** Pages of the cores that write by any method: cron by its key or by hand, and update.php where it is a path. A language may stand before them. */
const PAGES = "(?:[a-z]{2,3}(?:-[a-z0-9]+)?/)?(?:cron/[^/]+|update\\.php(?:/.*)?|(?:admin/reports/status|system)/run-cron)";

/**
 * Text for the end of a settings.php (DESIGN 5, the write gate): in PHP, so that it holds for every web server, for the command line
 * and for cron. No opening tag; the same input gives the same bytes.
 *
 * A writer takes a shared lock on `gate`, then looks for `gate.closed`. Whoever closes writes that file, then takes and gives back
 * the exclusive lock: after that no accepted write is still under way. A lock alone starves under many writers, and a file alone
 * says nothing of writers that looked before it came (reference: engine.md i). The handle lives as long as PHP's globals, which is until
 * shutdown functions have run. A core may read its settings several times: the lock is taken once, and the file looked for only then.
 *
 * While it is closed, pages are served, and what runs cron in passing (Drupal 7's cron_safe_threshold, Drupal 8's automated_cron) is off.
 */
export function writeGate({ gate, closed, writePaths = [] }: WriteGate): string {
  const own = writePaths.map((path) =>
    path
      .split("*")
      .map((part) => part.replace(/[.\\+?[^\]$(){}=!<>|:\-#~/]/g, "\\$&"))
      .join(".*"),
  );
  const pattern = `~^(?:${[PAGES, ...own].join("|")})$~Di`;
  return `
// While provision moves this site, it is read as ever and written by nobody.
call_user_func(function () {
  $cli = PHP_SAPI === 'cli';
  // provision's own PHP passes; only a command line is believed.
  if (isset($GLOBALS['provision_gate']) || ($cli && getenv('PROVISION_OPERATION'))) {
    return;
  }
  $method = isset($_SERVER['REQUEST_METHOD']) ? $_SERVER['REQUEST_METHOD'] : 'GET';
  $script = isset($_SERVER['SCRIPT_NAME']) ? $_SERVER['SCRIPT_NAME'] : '';
  $page = isset($_SERVER['REQUEST_URI']) ? rawurldecode((string) strtok($_SERVER['REQUEST_URI'], '?')) : '';
  $base = rtrim(dirname($script), '/\\\\');
  if ($base !== '' && strncmp($page, "$base/", strlen($base) + 1) === 0) {
    $page = substr($page, strlen($base));
  }
  $page = trim(preg_replace('~^/+index\\.php(?=/|$)~', '', $page), '/');
  $query = isset($_GET['q']) && is_string($_GET['q']) ? trim($_GET['q'], '/') : '';
  $pages = ${phpString(pattern)};
  $writes = $cli || !in_array($method, array('GET', 'HEAD', 'OPTIONS'), TRUE)
    || in_array(basename($script), array(${SCRIPTS.map(phpString).join(", ")}), TRUE)
    || preg_match($pages, $page) || preg_match($pages, $query);
  $GLOBALS['provision_gate'] = $writes ? @fopen(${phpString(gate)}, 're') : NULL;
  $open = !$writes || ($GLOBALS['provision_gate'] && flock($GLOBALS['provision_gate'], LOCK_SH | LOCK_NB));
  clearstatcache(TRUE, ${phpString(closed)});
  if ($open && !is_file(${phpString(closed)})) {
    return;
  }
  $GLOBALS['provision_gate_closed'] = TRUE;
  if (!$writes) {
    $GLOBALS['provision_gate'] = FALSE;
    return;
  }
  if ($GLOBALS['provision_gate']) {
    fclose($GLOBALS['provision_gate']);
  }
  if ($cli) {
    file_put_contents('php://stderr', "This site is being moved, and takes no changes now. Try again in a moment.\\n");
    exit(75);
  }
  http_response_code(503);
  header('Retry-After: 5');
  header('Cache-Control: no-store');
  header('Content-Type: text/html; charset=utf-8');
  exit("<!DOCTYPE html>\\n<html lang=\\"en\\"><head><meta charset=\\"utf-8\\"><title>Try again in a moment</title></head>"
    . "<body><h1>Nothing can be changed here just now</h1><p>Please try again in a moment.</p></body></html>\\n");
});
if (!empty($GLOBALS['provision_gate_closed'])) {
  $conf['cron_safe_threshold'] = 0;
  $config['automated_cron.settings']['interval'] = 0;
}
`;
}
