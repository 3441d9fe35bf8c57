import type { DatabaseAccess } from "../context/database-access.js";
import { siteName, uriProblem } from "../context/names.js";
import { ProvisionError } from "../core/errors.js";
import { accountValue, withAccount } from "./cloaked-account.js";
import type { SettingsInput } from "./engine.js";
import { phpString } from "./php-literal.js";
import { writeGate } from "./write-gate.js";

/** What the settings.php of all engines have in common, as text. Nothing here has a date or is random: the same input gives the same bytes. */

/** Beside settings.php; for one site (Aegir's name). */
const LOCAL_SETTINGS = "/local.settings.php";
/** Below the docroot; for all sites of a platform (Aegir's name). */
const PLATFORM_SETTINGS = "/sites/all/platform.settings.php";

/** `<?php` and whose file it is. Rejects a uri or generation that would leave the comment. */
export function settingsHead({ uri, generation }: Pick<SettingsInput, "uri" | "generation">): string {
  // Both stand in a comment, which no quoting protects.
  if (uriProblem(uri) !== undefined || !/^[A-Za-z0-9-]+$/.test(generation)) {
    throw new ProvisionError(
      "INVALID_VALUE",
      `No settings.php can be written for the site ${JSON.stringify(uri)}, generation ${JSON.stringify(generation)}`,
    );
  }
  return `<?php

/**
 * Written by provision for ${uri}, generation ${generation}. Changes made here are lost at the next verify.
 *
 * Own settings belong in local.settings.php beside this file, or for all sites of
 * this platform in sites/all/platform.settings.php; both may overrule what is here.
 */
`;
}

/** `$databases`, and what a driver's library reads from the environment. `more`: lines for the array of the connection. */
export function databasesText({ database, accountFile }: Pick<SettingsInput, "database" | "accountFile">, more = ""): string {
  const cloaked = accountFile !== undefined && database.driver !== "sqlite";
  const lines = `$databases = array(
  'default' => array(
    'default' => array(
${databaseLines(database, cloaked)
  .map(([key, value]) => `      ${phpString(key)} => ${value},\n`)
  .join("")}${pdoLines(database)}${more}    ),
  ),
);
`;
  return `${cloaked ? withAccount(accountFile, lines) : lines}${environmentLines(database)}`;
}

/** Prefix of everything that one generation keeps in a cache it shares with others: generations of one site never share one. */
export function cachePrefix({ uri, generation }: Pick<SettingsInput, "uri" | "generation">): string {
  return `${siteName(uri)}:${generation}`;
}

/** Modes and sessions: what PHP itself is told. */
export const PROCESS_LINES = `// Files are shared by the web server's user and the one that provision runs as, through their group.
umask(0002);

ini_set('session.gc_probability', 1);
ini_set('session.gc_divisor', 100);
ini_set('session.gc_maxlifetime', 200000);
ini_set('session.cookie_lifetime', 2000000);
`;

/** Who is asked for the visitor's address; nothing where there is no proxy. `variable`: of the core's settings, `$conf`. */
export function proxyLines(variable: string, { reverseProxies = [] }: Pick<SettingsInput, "reverseProxies">): string {
  if (reverseProxies.length === 0) return "";
  return `${variable}['reverse_proxy'] = TRUE;
${variable}['reverse_proxy_addresses'] = array(
${reverseProxies.map((address) => `  ${phpString(address)},\n`).join("")});

`;
}

/** The operator's own files, last, so that they win. `docroot` is a PHP expression. */
export function ownSettings(docroot: string): string {
  return `if (is_readable(${docroot} . ${phpString(PLATFORM_SETTINGS)})) {
  include ${docroot} . ${phpString(PLATFORM_SETTINGS)};
}
if (is_readable(__DIR__ . ${phpString(LOCAL_SETTINGS)})) {
  include __DIR__ . ${phpString(LOCAL_SETTINGS)};
}
`;
}

/** What not even the operator's own files overrule: quarantine (text of the core's own), and the write gate. */
export function lastLines({ paths, writePaths, quarantine }: SettingsInput, quarantined: string): string {
  const gate = writeGate({ gate: paths.gate, closed: paths.gateClosed, ...(writePaths === undefined ? {} : { writePaths }) });
  return `${quarantine === true ? quarantined : ""}${gate}`;
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
    // Drupal 7 understands it from 7.50 on, and ignored it before. A collation would break the older ones.
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

/** The same for PostgreSQL, whose drivers pass on no options: its library reads the environment. */
function environmentLines(database: DatabaseAccess): string {
  if (database.driver !== "pgsql" || database.tls === undefined) return "";
  const { ca, verify } = database.tls;
  return `putenv(${phpString(`PGSSLMODE=${verify ? "verify-full" : "require"}`)});\n${verify ? `putenv(${phpString(`PGSSLROOTCERT=${ca}`)});\n` : ""}`;
}
