import type { SettingsInput } from "../engine.js";
import { phpString } from "../php-literal.js";
import { cachePrefix, databasesText, lastLines, ownSettings, PROCESS_LINES, proxyLines, settingsHead } from "../settings-text.js";

/** What core recommends since 10.0, and complains of else; the level of the server would lock more than it needs. */
const ISOLATION = `      'init_commands' => array(
        'isolation_level' => 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
      ),
`;

/**
 * Text of `sites/<name>/settings.php` for Drupal 8 and later. The same input gives the same bytes.
 *
 * Core reads it more than once in one process, so that nothing here may count on being first. The directory of
 * `config_sync_directory` has to exist before an installation: core would else write settings of its own into this file.
 */
export function settings(input: SettingsInput): string {
  const head = settingsHead(input);
  const patterns = trustedHosts(input);
  return `${head}
${databasesText(input, input.database.driver === "mysql" ? ISOLATION : "")}
$settings['hash_salt'] = ${phpString(input.hashSalt.reveal())};
$settings['update_free_access'] = FALSE;

// Every generation has compiled code and caches of its own: the container of core, Redis, and Memcache.
$settings['deployment_identifier'] = ${phpString(input.generation)};
$settings['cache_prefix'] = ${phpString(cachePrefix(input))};
$settings['memcache']['key_prefix'] = ${phpString(cachePrefix(input))};

// Names that visitors may use. Core does not look at them on the command line.
$settings['trusted_host_patterns'] = array(
${patterns.map((pattern) => `  ${phpString(pattern)},\n`).join("")});

$settings['config_sync_directory'] = ${phpString(input.paths.configSync)};
// A generation beside the one that serves stands in a directory of another name until it takes its place.
$settings['file_public_path'] = 'sites/' . basename(__DIR__) . '/files';
$settings['file_private_path'] = ${phpString(input.paths.private)};
$settings['file_temp_path'] = ${phpString(input.paths.tmp)};
// Core sets modes itself, and would take away the bit by which what is made below belongs to the group.
$settings['file_chmod_directory'] = 02775;

// Code, modes of this directory and of this file are provision's, not a web page's.
$settings['allow_authorize_operations'] = FALSE;
$settings['skip_permissions_hardening'] = TRUE;

$settings['file_scan_ignore_directories'] = array('node_modules', 'bower_components');
$settings['entity_update_batch_size'] = 50;
$settings['container_yamls'][] = __DIR__ . '/services.yml';

${proxyLines("$settings", input)}${PROCESS_LINES}
${ownSettings("$app_root")}${lastLines(input, QUARANTINE)}`;
}

/** No mail leaves by core's own ways; cron is run by nobody; a search engine that comes along goes away again. */
const QUARANTINE = `
// In quarantine: a copy of a site, which its visitors and the people in its database must not notice.
$config['system.mail']['interface'] = array('default' => 'test_mail_collector');
$config['system.mail']['mailer_dsn'] = array('scheme' => 'null', 'host' => 'null', 'user' => NULL, 'password' => NULL, 'port' => NULL, 'options' => array());
$config['automated_cron.settings']['interval'] = 0;
if (PHP_SAPI !== 'cli') {
  header('X-Robots-Tag: noindex, nofollow');
  if (preg_match('~/cron/[^/]+$~D', rawurldecode((string) strtok($_SERVER['REQUEST_URI'], '?')))) {
    http_response_code(403);
    exit("This site is in quarantine: its cron does not run.\\n");
  }
}
`;

/** Regular expressions without delimiters, of host names without a port; core matches them in any case. */
function trustedHosts({ uri, aliases }: SettingsInput): readonly string[] {
  const hosts = [uri, ...aliases].map((name) => name.split("/")[0] ?? "");
  return [...new Set(hosts)].sort().map((host) => {
    const below = host.startsWith("*.");
    const name = (below ? host.slice(2) : host).replaceAll(".", "\\.");
    return below ? `^.+\\.${name}$` : `^${name}$`;
  });
}
