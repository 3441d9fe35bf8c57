import { execFileSync } from "node:child_process";

/** Content of a real site, made and counted by its own core. */
export interface RealContent {
  readonly engine: "drupal7" | "drupal" | "backdrop";
  readonly label: string;
  /** Environment variables that name its tree, and a later one. */
  readonly tree: string;
  readonly next: string;
  /** Docroot below either. */
  readonly docroot: string;
  /** PHP that has booted the site `$uri`, and what makes an account `jane`, and a node with a picture and a link to a file. Prints the path of the node. */
  readonly boot: string;
  readonly plant: string;
  /** Another node, called `$title`. */
  readonly more: string;
  /** PHP that sets `$tables`, and counts rows of `$table` into `$count`. */
  readonly tables: string;
  readonly count: string;
  /** Whether the later one has database updates for a standard site. */
  readonly updates: boolean;
  /** Of the form for logging in. */
  readonly loginForm: string;
}

export const JANE = { name: "jane", password: "tomcat 7" } as const;

const COMMON = `
$uri = $argv[1];
$title = $argv[2] ?? '';
umask(0002);
$body = '<p>Purrs.</p><p><a href="/sites/' . $uri . '/files/notes/cat.txt">notes</a></p>';
$drawn = imagecreatetruecolor(640, 480);
ob_start();
imagepng($drawn);
$picture = ob_get_clean();
$_SERVER = array_merge($_SERVER, array('HTTP_HOST' => $uri, 'SERVER_NAME' => $uri, 'SCRIPT_NAME' => '/index.php', 'PHP_SELF' => '/index.php',
  'REQUEST_URI' => '/', 'REQUEST_METHOD' => 'GET', 'REMOTE_ADDR' => '127.0.0.1', 'SERVER_SOFTWARE' => NULL, 'QUERY_STRING' => '', 'HTTP_USER_AGENT' => 'test'));
`;

const procedural = (constant: string, includes: string) => `${COMMON}
define('${constant}_ROOT', getcwd());
require_once '${includes}/bootstrap.inc';
${constant.toLowerCase()}_bootstrap(${constant}_BOOTSTRAP_FULL);
`;

const PROCEDURAL_FILES = `
$directory = 'public://notes';
file_prepare_directory($directory, FILE_CREATE_DIRECTORY);
file_save_data("of the cat\\n", 'public://notes/cat.txt');
$image = file_save_data($picture, 'public://cat.png');
`;

export const REAL: readonly RealContent[] = [
  {
    engine: "drupal7",
    label: "Drupal 7",
    tree: "PROVISION_TEST_DRUPAL7",
    next: "PROVISION_TEST_DRUPAL7_NEXT",
    updates: true,
    docroot: "",
    boot: procedural("DRUPAL", "includes"),
    plant: `${PROCEDURAL_FILES}
user_save(drupal_anonymous_user(), array('name' => '${JANE.name}', 'pass' => '${JANE.password}', 'mail' => 'jane@example.com', 'status' => 1));
$node = (object) array('type' => 'article', 'title' => 'A cat', 'uid' => 1, 'language' => 'und');
node_object_prepare($node);
$node->status = $node->promote = $node->uid = 1;
$node->body['und'][0] = array('value' => $body, 'format' => 'full_html');
$node->field_image['und'][0] = array('fid' => $image->fid, 'alt' => 'the cat', 'title' => '');
node_save($node);
echo "/node/$node->nid";
`,
    more: `
$node = (object) array('type' => 'article', 'title' => $title, 'uid' => 1, 'language' => 'und');
node_object_prepare($node);
$node->status = $node->promote = $node->uid = 1;
node_save($node);
echo "/node/$node->nid";
`,
    tables: "$tables = db_find_tables('%');",
    count: '$count = db_query("SELECT COUNT(*) FROM {" . $table . "}")->fetchField();',
    loginForm: "user_login",
  },
  {
    engine: "drupal",
    label: "Drupal 10",
    tree: "PROVISION_TEST_DRUPAL10",
    next: "PROVISION_TEST_DRUPAL10_NEXT",
    updates: false,
    docroot: "web",
    boot: `${COMMON}
$loader = require 'autoload.php';
$request = Symfony\\Component\\HttpFoundation\\Request::createFromGlobals();
$kernel = Drupal\\Core\\DrupalKernel::createFromRequest($request, $loader, 'prod');
$kernel->boot();
$kernel->preHandle($request);
`,
    plant: `
$files = Drupal::service('file.repository');
mkdir('public://notes');
$files->writeData("of the cat\\n", 'public://notes/cat.txt');
$image = $files->writeData($picture, 'public://cat.png');
Drupal\\user\\Entity\\User::create(['name' => '${JANE.name}', 'pass' => '${JANE.password}', 'mail' => 'jane@example.com', 'status' => 1])->save();
$node = Drupal\\node\\Entity\\Node::create(['type' => 'article', 'title' => 'A cat', 'uid' => 1, 'status' => 1, 'promote' => 1,
  'body' => ['value' => $body, 'format' => 'full_html'], 'field_image' => ['target_id' => $image->id(), 'alt' => 'the cat']]);
$node->save();
echo '/node/' . $node->id();
`,
    more: `
$node = Drupal\\node\\Entity\\Node::create(['type' => 'article', 'title' => $title, 'uid' => 1, 'status' => 1, 'promote' => 1]);
$node->save();
echo '/node/' . $node->id();
`,
    tables: "$tables = Drupal::database()->schema()->findTables('%');",
    count: '$count = Drupal::database()->query("SELECT COUNT(*) FROM {" . $table . "}")->fetchField();',
    loginForm: "user_login_form",
  },
  {
    engine: "backdrop",
    label: "Backdrop",
    tree: "PROVISION_TEST_BACKDROP_OLD",
    next: "PROVISION_TEST_BACKDROP",
    updates: true,
    docroot: "",
    boot: procedural("BACKDROP", "core/includes"),
    plant: `${PROCEDURAL_FILES}
entity_create('user', array('name' => '${JANE.name}', 'pass' => '${JANE.password}', 'mail' => 'jane@example.com', 'status' => 1))->save();
$node = entity_create('node', array('type' => 'post', 'title' => 'A cat', 'uid' => 1, 'status' => 1, 'promote' => 1, 'langcode' => 'und'));
$node->body['und'][0] = array('value' => $body, 'format' => 'full_html');
$node->field_image['und'][0] = array('fid' => $image->fid, 'alt' => 'the cat', 'title' => '');
$node->save();
// Front pages are kept for minutes, whatever is written.
cache('page')->flush();
echo "/node/$node->nid";
`,
    more: `
$node = entity_create('node', array('type' => 'post', 'title' => $title, 'uid' => 1, 'status' => 1, 'promote' => 1, 'langcode' => 'und'));
$node->save();
echo "/node/$node->nid";
`,
    tables: "$tables = db_find_tables('%');",
    count: '$count = db_query("SELECT COUNT(*) FROM {" . $table . "}")->fetchField();',
    loginForm: "user_login",
  },
];

/** Written by any page at any time, or made anew when they are missing. */
const PASSING = /^(cache|semaphore|flood|watchdog|queue|batch|history|sessions|key_value|menu_router|router|tempcache|search_|state$)/;

function php(docroot: string, code: string, args: readonly string[]): string {
  return execFileSync("php", ["-d", "display_errors=stderr", "-d", "error_reporting=1", "-r", code, "--", ...args], {
    cwd: docroot,
    encoding: "utf8",
    stdio: "pipe",
  });
}

/** Makes account, files and node; the path of the node. `docroot` of the platform that the site serves from. */
export function plantContent(of: RealContent, docroot: string, uri: string): string {
  return php(docroot, of.boot + of.plant, [uri]);
}

/** Another node; its path. */
export function moreContent(of: RealContent, docroot: string, uri: string, title: string): string {
  return php(docroot, of.boot + of.more, [uri, title]);
}

/** Rows of every table that holds what people made. */
export function rowsOf(of: RealContent, docroot: string, uri: string): Readonly<Record<string, number>> {
  const code = `${of.boot}${of.tables}\n$rows = array();\nforeach ($tables as $table) {\n${of.count}\n$rows[$table] = (int) $count;\n}\necho json_encode($rows);`;
  const all = Object.entries(JSON.parse(php(docroot, code, [uri])) as Record<string, number>);
  return Object.fromEntries(all.filter(([table]) => !PASSING.test(table)).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
