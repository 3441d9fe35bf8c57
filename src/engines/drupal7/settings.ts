import type { DatabaseAccess } from "../../context/database-access.js";
import { siteName, uriProblem } from "../../context/names.js";
import { ProvisionError } from "../../core/errors.js";
import { accountValue, withAccount } from "../cloaked-account.js";
import type { SettingsInput } from "../engine.js";
import { phpString } from "../php-literal.js";
import { writeGate } from "../write-gate.js";

/** Below the docroot; for all sites of a platform (Aegir's name). */
const PLATFORM_SETTINGS = "/sites/all/platform.settings.php";
/** Beside settings.php; for one site (Aegir's name). */
const LOCAL_SETTINGS = "/local.settings.php";

/**
 * Text of `sites/<name>/settings.php` for Drupal 7. No date and nothing random is in it: the same input gives the
 * same bytes, so that a second verify finds nothing to do.
 */
export function settings(input: SettingsInput): string {
  // Both stand in a comment, which no quoting protects.
  if (uriProblem(input.uri) !== undefined || !/^[A-Za-z0-9-]+$/.test(input.generation)) {
    throw new ProvisionError(
      "INVALID_VALUE",
      `No settings.php can be written for the site ${JSON.stringify(input.uri)}, generation ${JSON.stringify(input.generation)}`,
    );
  }
  const name = siteName(input.uri);
  return `<?php

/**
 * Written by provision for ${input.uri}, generation ${input.generation}. Changes made here are lost at the next verify.
 *
 * Own settings belong in local.settings.php beside this file, or for all sites of
 * this platform in sites/all/platform.settings.php; both may overrule what is here.
 */

${databases(input)}${environmentLines(input.database)}
// Never empty: core would then take a hash of the lines above, and end all sessions when a password changes.
$drupal_hash_salt = ${phpString(input.hashSalt.reveal())};
$update_free_access = FALSE;

// A generation beside the one that serves stands in a directory of another name until it takes its place.
$conf['file_public_path'] = 'sites/' . basename(__DIR__) . '/files';
$conf['file_private_path'] = ${phpString(input.paths.private)};
$conf['file_temporary_path'] = ${phpString(input.paths.tmp)};

// Code on a platform is changed by provision, not by a web page.
$conf['allow_authorize_operations'] = FALSE;

// Generations of one site never share a cache: Memcache, and Redis.
$conf['memcache_key_prefix'] = ${phpString(`${name}:${input.generation}`)};
$conf['cache_prefix'] = ${phpString(`${name}:${input.generation}`)};

// Files are shared by the web server's user and the one that provision runs as, through their group.
umask(0002);

ini_set('session.gc_probability', 1);
ini_set('session.gc_divisor', 100);
ini_set('session.gc_maxlifetime', 200000);
ini_set('session.cookie_lifetime', 2000000);

if (is_readable(DRUPAL_ROOT . ${phpString(PLATFORM_SETTINGS)})) {
  include DRUPAL_ROOT . ${phpString(PLATFORM_SETTINGS)};
}
if (is_readable(__DIR__ . ${phpString(LOCAL_SETTINGS)})) {
  include __DIR__ . ${phpString(LOCAL_SETTINGS)};
}
${input.quarantine === true ? QUARANTINE : ""}${writeGate({
  gate: input.paths.gate,
  closed: input.paths.gateClosed,
  ...(input.writePaths === undefined ? {} : { writePaths: input.writePaths }),
})}`;
}

/** The last word: no mail leaves, by whatever module; cron is run by nobody; a search engine that comes along goes away again. */
const QUARANTINE = `
// In quarantine: a copy of a site, which its visitors and the people in its database must not notice.
spl_autoload_register(function ($class) {
  if ($class === 'ProvisionDiscardedMail') {
    class ProvisionDiscardedMail implements MailSystemInterface {
      public function format(array $message) {
        return $message;
      }
      public function mail(array $message) {
        return TRUE;
      }
    }
  }
});
$conf['mail_system'] = array('default-system' => 'ProvisionDiscardedMail');
$conf['cron_safe_threshold'] = 0;
if (PHP_SAPI !== 'cli') {
  header('X-Robots-Tag: noindex, nofollow');
  if (basename($_SERVER['SCRIPT_NAME']) === 'cron.php') {
    http_response_code(403);
    exit("This site is in quarantine: its cron does not run.\\n");
  }
}
`;

function databases({ database, accountFile }: SettingsInput): string {
  const cloaked = accountFile !== undefined && database.driver !== "sqlite";
  const lines = `$databases = array(
  'default' => array(
    'default' => array(
${databaseLines(database, cloaked)
  .map(([key, value]) => `      ${phpString(key)} => ${value},\n`)
  .join("")}${pdoLines(database)}    ),
  ),
);
`;
  return cloaked ? withAccount(accountFile, lines) : lines;
}

/** Keys and PHP expressions. */
function databaseLines(database: DatabaseAccess, cloaked: boolean): readonly (readonly [string, string])[] {
  if (database.driver === "sqlite") {
    return [
      ["driver", phpString("sqlite")],
      ["database", phpString(database.database)],
    ];
  }
  return [
    ["driver", phpString(database.driver)],
    ["host", phpString(database.host)],
    ["port", phpString(String(database.port))],
    ["database", cloaked ? accountValue("db_name") : phpString(database.database)],
    ["username", cloaked ? accountValue("db_user") : phpString(database.username)],
    ["password", cloaked ? accountValue("db_passwd") : phpString(database.password.reveal())],
    // Goes before host and port, which stay for modules that ask for them.
    ...(database.socket === undefined ? [] : ([["unix_socket", phpString(database.socket)]] as const)),
    // Understood from 7.50 on, and ignored before. A collation would break the older ones.
    ...(database.driver === "mysql" ? ([["charset", phpString("utf8mb4")]] as const) : []),
  ];
}

/** Encryption for PDO's MySQL; its names exist only where the driver is loaded, and without it there is no site anyway. */
function pdoLines(database: DatabaseAccess): string {
  if (database.driver !== "mysql" || database.tls === undefined) return "";
  const { ca, verify } = database.tls;
  return `      'pdo' => array(
        PDO::MYSQL_ATTR_SSL_CA => ${phpString(ca)},
        PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => ${verify ? "TRUE" : "FALSE"},
      ),
`;
}

/** The same for PostgreSQL, whose driver in Drupal 7 passes on no options: its library reads the environment. */
function environmentLines(database: DatabaseAccess): string {
  if (database.driver !== "pgsql" || database.tls === undefined) return "";
  const { ca, verify } = database.tls;
  return `putenv(${phpString(`PGSSLMODE=${verify ? "verify-full" : "require"}`)});\n${verify ? `putenv(${phpString(`PGSSLROOTCERT=${ca}`)});\n` : ""}`;
}
