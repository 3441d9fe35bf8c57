/**
 * What visitors may see of a Drupal site, as regular expressions that nginx and Apache (both PCRE) read alike; php/router.php
 * has the same list in PHP. In none of them is a `/` or a quote special.
 */
export interface Pattern {
  readonly pattern: string;
  readonly anyCase: boolean;
}

const anyCase = (pattern: string): Pattern => ({ pattern, anyCase: true });
const exactCase = (pattern: string): Pattern => ({ pattern, anyCase: false });

/** Refused wherever they stand in a decoded path. */
export const DENIED_ANYWHERE: readonly Pattern[] = [
  // No name of ours can hold these, plainly or encoded twice.
  anyCase("[\\x00-\\x1f\\x7f]|\\x5c|%(?:25)*(?:0[0-9a-d]|2e|2f|5c)"),
  exactCase("(?:^|/)\\.(?!well-known(?:/|$))"),
  anyCase("(?:~|\\.(?:bak|orig|save|sw[op]|dist|log|old|rej|svn-base)|(?:^|/)#[^/]*#)$"),
  anyCase(
    "\\.(?:engine|inc|info|install|make|module|profile|test|po|mo|sh|sql(?:\\.(?:gz|zst|bz2|xz|zip))?|sqlite3?(?:-\\w+)?|theme|twig|tpl\\.php|xtmpl|ya?ml|phps|phtml|pht|phar|php\\d)$",
  ),
  anyCase(
    "(?:^|/)(?:composer\\.(?:json|lock)|package(?:-lock)?\\.json|yarn\\.lock|phpunit\\.xml(?:\\.dist)?|web\\.config|code-style\\.pl)$",
  ),
  // Version control; by their exact letters: /tag and /template are pages.
  exactCase("(?:^|/)(?:Entries[^/]*|Repository|Root|Tag|Template|CVS|all-wcprops)$"),
];

/** Refused at the top of a site: what follows its first `/`. */
export const DENIED_AT_TOP =
  "(?:" +
  [
    "(?:core/)?(?:CHANGELOG|COPYRIGHT|INSTALL(?:\\.\\w+)?|LICENSE|MAINTAINERS|UPGRADE|UPDATE|README)\\.(?:txt|md)$",
    "(?:(?:core/)?(?:vendor|node_modules|scripts)|drush|config|core/tests)/",
    "(?:sites/[^/]+/)?(?:private|files/(?:private|config_[^/]+|backup_migrate|php|translations))(?:/|$)",
    // With an extension only at the top: /services and /settings are pages.
    "(?:[^/]*\\.)?(?:settings|services|drushrc|sites)\\.[^/]+$",
    "sites/(?:[^/]+/)?[^/]*(?:settings|services|drushrc|sites\\.)[^/]*$",
  ].join("|") +
  ")";

/** Files that browsers may keep; aggregates and image styles have names that change with what is in them. */
export const CACHED =
  "\\.(?:css|js|mjs|map|jpe?g|gif|png|webp|avif|ico|svgz?|woff2?|ttf|otf|eot|mp[34]|m4[av]|webm|og[gv]|wav|pdf|zip|docx?|xlsx?|pptx?|odt|ods|csv|txt|xml|json)$";
/** Below the files of a site. */
export const KEPT_LONG = "^/(?:css|js|styles)/";
/** Seconds. */
export const CACHE_SECONDS = 1_209_600;
export const LONG_CACHE_SECONDS = 31_536_000;

/** Where the daemon proves what it serves; loopback only. */
export const MARKER_HOST = "provision.invalid";
export const MARKER_HEADER = "x-provision-generation";
export const PROCESS_HEADER = "x-provision-process";

/** Where a site's PHP proves that it was started anew; loopback only. */
export const PHP_MARKER_PATH = "/.well-known/provision";

/** What a disabled site answers. */
export const DISABLED_PAGE =
  '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Not available</title></head><body><h1>This site is not available now</h1><p>Please come back later.</p></body></html>';
export const RETRY_AFTER = 3600;

/** Text that stands for itself in a regular expression; names, never text with a `/` in need of care. */
export function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

/** The PHP files of the list as one expression, relative to the docroot; install.php is not among them, whatever the list says. */
export function controllersPattern(frontControllers: readonly string[]): string {
  const named = [...new Set(frontControllers)].filter((file) => !/(?:^|\/)install\.php$/i.test(file)).sort();
  return `(?:${named.map(literal).join("|")})`;
}

/** `:8080`, or nothing for the scheme's own port. */
export function portSuffix(scheme: "http" | "https", port: number): string {
  return port === (scheme === "http" ? 80 : 443) ? "" : `:${port}`;
}

/** `example.com/foo` → host and `/foo`; without a segment the prefix is empty. */
export function splitUri(uri: string): { readonly host: string; readonly prefix: string } {
  const [host = "", segment] = uri.split("/");
  return { host, prefix: segment === undefined ? "" : `/${segment}` };
}
