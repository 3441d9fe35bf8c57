import type { SettingsInput } from "../engine.js";
import { phpString } from "../php-literal.js";
import { cachePrefix, databasesText, lastLines, ownSettings, PROCESS_LINES, proxyLines, settingsHead } from "../settings-text.js";

/**
 * Text of `sites/<name>/settings.php` for Drupal 7. No date and nothing random is in it: the same input gives the
 * same bytes, so that a second verify finds nothing to do.
 */
export function settings(input: SettingsInput): string {
  const head = settingsHead(input);
  return `${head}
${databasesText(input)}
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
$conf['memcache_key_prefix'] = ${phpString(cachePrefix(input))};
$conf['cache_prefix'] = ${phpString(cachePrefix(input))};

${proxyLines("$conf", input)}${PROCESS_LINES}
${ownSettings("DRUPAL_ROOT")}${lastLines(input, QUARANTINE)}`;
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
