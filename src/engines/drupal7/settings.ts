import { siteName } from "../../context/names.js";
import type { SettingsInput } from "../engine.js";
import { phpString } from "../php-literal.js";
import { cachePrefix, databasesText, ownSettings, PROCESS_LINES, settingsHead } from "../settings-text.js";

/**
 * Text of `sites/<name>/settings.php` for Drupal 7. No date and nothing random is in it: the same input gives the
 * same bytes, so that a second verify finds nothing to do.
 */
export function settings(input: SettingsInput): string {
  const head = settingsHead(input);
  return `${head}
${databasesText(input.database)}
// Never empty: core would then take a hash of the lines above, and end all sessions when a password changes.
$drupal_hash_salt = ${phpString(input.hashSalt.reveal())};
$update_free_access = FALSE;

$conf['file_public_path'] = ${phpString(`sites/${siteName(input.uri)}/files`)};
$conf['file_private_path'] = ${phpString(input.paths.private)};
$conf['file_temporary_path'] = ${phpString(input.paths.tmp)};

// Code on a platform is changed by provision, not by a web page.
$conf['allow_authorize_operations'] = FALSE;

// Generations of one site never share a cache: Memcache, and Redis.
$conf['memcache_key_prefix'] = ${phpString(cachePrefix(input))};
$conf['cache_prefix'] = ${phpString(cachePrefix(input))};

${PROCESS_LINES}
${ownSettings("DRUPAL_ROOT")}`;
}
