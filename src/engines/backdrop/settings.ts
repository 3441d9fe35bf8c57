import type { SettingsInput } from "../engine.js";
import { phpString } from "../php-literal.js";
import { cachePrefix, databasesText, lastLines, ownSettings, PROCESS_LINES, proxyLines, settingsHead } from "../settings-text.js";

/**
 * Text of `sites/<name>/settings.php` for Backdrop. The same input gives the same bytes.
 *
 * The configuration directories are absolute: what begins with neither `/` nor `.` core takes for a place below the
 * directory of this file. They hold all that an administrator decides, with secrets among it, and lie outside the docroot.
 */
export function settings(input: SettingsInput): string {
  const head = settingsHead(input);
  return `${head}
${databasesText(input)}
$config_directories['active'] = ${phpString(`${input.paths.config}/active`)};
$config_directories['staging'] = ${phpString(`${input.paths.config}/staging`)};

// Never empty: the installer would write one of its own into this file.
$settings['hash_salt'] = ${phpString(input.hashSalt.reveal())};
$settings['update_free_access'] = FALSE;
// Core would take databases and settings out of the environment, the same for every site of the server, and after this file.
unset($_SERVER['BACKDROP_SETTINGS']);
// Functions by their names in Drupal 7, which modules that came from there still call.
$settings['backdrop_drupal_compatibility'] = TRUE;

// Names that visitors may use. Core looks at the port too, and at nothing on the command line.
$settings['trusted_host_patterns'] = array(
${trustedHosts(input)
  .map((pattern) => `  ${phpString(pattern)},\n`)
  .join("")});

// A generation beside the one that serves stands in a directory of another name until it takes its place.
$config['system.core']['file_public_path'] = 'sites/' . basename(__DIR__) . '/files';
$config['system.core']['file_private_path'] = ${phpString(input.paths.private)};
$config['system.core']['file_temporary_path'] = ${phpString(input.paths.tmp)};

// Code on a platform is changed by provision, not by a web page.
$settings['allow_authorize_operations'] = FALSE;

// Generations of one site never share a cache: Memcache, and Redis.
$settings['memcache_key_prefix'] = ${phpString(cachePrefix(input))};
$settings['cache_prefix'] = ${phpString(cachePrefix(input))};

${proxyLines("$settings", input)}${PROCESS_LINES}
${ownSettings("BACKDROP_ROOT")}${lastLines(input, QUARANTINE)}`;
}

/** Regular expressions without delimiters; core matches them in any case, against a host name with its port. */
function trustedHosts({ uri, aliases }: SettingsInput): readonly string[] {
  const hosts = [uri, ...aliases].map((name) => name.split("/")[0] ?? "");
  return [...new Set(hosts)].sort().map((host) => {
    const below = host.startsWith("*.");
    const name = (below ? host.slice(2) : host).replaceAll(".", "\\.");
    return `^${below ? ".+\\." : ""}${name}(:\\d+)?$`;
  });
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
$config['system.mail'] = array('default-system' => 'ProvisionDiscardedMail');
$config['system.core']['cron_safe_threshold'] = 0;
if (PHP_SAPI !== 'cli') {
  header('X-Robots-Tag: noindex, nofollow');
  if (basename($_SERVER['SCRIPT_NAME']) === 'cron.php') {
    http_response_code(403);
    exit("This site is in quarantine: its cron does not run.\\n");
  }
}
`;
