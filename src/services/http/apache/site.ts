import { join } from "node:path";
import { configName } from "../config-name.js";
import type { Place } from "../daemon/place.js";
import {
  CACHED,
  controllersPattern,
  DENIED_AT_TOP,
  DISABLED_PAGE,
  KEPT_LONG,
  literal,
  PHP_MARKER_PATH,
  portSuffix,
  RETRY_AFTER,
  splitUri,
} from "../routing.js";
import type { ConfigFile, Vhost } from "../service.js";
import { headerValue, phpSettings, rewriteWord, substitution, word } from "./quote.js";

/**
 * Files of one site, as for nginx. Apache takes the first vhost that fits, so each wildcard alias stands in a file of its own
 * that is read after all exact names, the ones with more labels first. Pure.
 */
export function siteFiles(place: Place, vhost: Vhost): readonly ConfigFile[] {
  const { host, prefix } = splitUri(vhost.uri);
  const pair = vhost.tls === undefined ? {} : { pair: { certificate: vhost.tls.certificate, key: vhost.tls.key } };
  const file = (path: string, content: string | undefined): ConfigFile => ({ path, content, ...(content === undefined ? {} : pair) });
  const aliases = [...new Set(vhost.aliases)].filter((alias) => alias !== vhost.uri).sort();
  const exact = aliases.filter((alias) => !alias.startsWith("*."));
  const wild = aliases.filter((alias) => alias.startsWith("*."));
  const wildcards = wild.map((alias) => file(wildcardPath(place, alias), server(place, vhost, [alias], "site")));
  if (prefix === "") return [file(vhostPath(place, vhost.uri), server(place, vhost, [vhost.uri, ...exact], "site")), ...wildcards];
  return [
    file(subdirPath(place, vhost.uri), subdirectory(place, vhost, prefix)),
    file(vhostPath(place, vhost.uri), exact.length === 0 ? undefined : server(place, vhost, exact, "site")),
    file(hostPath(place, host), vhost.alone ? server(place, vhost, [host], "host") : undefined),
    ...wildcards,
  ];
}

export function noSiteFiles(place: Place, aliases: readonly string[], uri: string | undefined): readonly ConfigFile[] {
  const own = uri === undefined ? [] : uri.includes("/") ? [subdirPath(place, uri), vhostPath(place, uri)] : [vhostPath(place, uri)];
  const wild = aliases.filter((alias) => alias.startsWith("*.")).map((alias) => wildcardPath(place, alias));
  return [...new Set([...own, ...wild])].map((path) => ({ path, content: undefined }));
}

function vhostPath(place: Place, uri: string): string {
  return join(place.vhosts, `${configName(uri)}.conf`);
}

/** After all sites, before all wildcards. */
function hostPath(place: Place, host: string): string {
  return join(place.vhosts, `~${configName(host)}.conf`);
}

function wildcardPath(place: Place, alias: string): string {
  const labels = String(999 - alias.split(".").length);
  return join(place.vhosts, `~~${labels}~${configName(alias)}.conf`);
}

function subdirPath(place: Place, uri: string): string {
  const { host, prefix } = splitUri(uri);
  return join(place.subdirs, configName(host), `${configName(prefix.slice(1))}.conf`);
}

type Part = "site" | "host";

function server(place: Place, vhost: Vhost, names: readonly string[], part: Part): string {
  const blocks = [block(place, vhost, names, part, "http")];
  if (vhost.tls !== undefined) blocks.push(block(place, vhost, names, part, "https"));
  return `${[header(vhost.uri), ...blocks.flat()].join("\n")}\n`;
}

function block(place: Place, vhost: Vhost, names: readonly string[], part: Part, scheme: "http" | "https"): readonly string[] {
  const [first = "", ...more] = names;
  // A vhost needs a name without a star.
  const [name, also] = first.startsWith("*.") ? [first.replace("*", "wildcard"), names] : [first, more];
  const log = join(place.logs, configName(part === "host" ? first : vhost.uri));
  return [
    `<VirtualHost *:${scheme === "http" ? place.port : (place.tlsPort ?? 443)}>`,
    ...[
      `ServerName ${word(name)}`,
      ...also.map((alias) => `ServerAlias ${word(alias)}`),
      `DocumentRoot ${word(vhost.docroot)}`,
      `ErrorLog ${word(`${log}.error.log`)}`,
      `CustomLog ${word(`${log}.access.log`)} provision`,
      ...(scheme === "https" && vhost.tls !== undefined
        ? [
            `Include ${word(join(place.include, "tls.conf"))}`,
            `SSLCertificateFile ${word(vhost.tls.certificate)}`,
            `SSLCertificateKeyFile ${word(vhost.tls.key)}`,
            ...(vhost.tls.hsts === undefined ? [] : [`Header always set Strict-Transport-Security "max-age=${vhost.tls.hsts}"`]),
          ]
        : []),
      ...(vhost.limits?.patience === undefined ? [] : [`ProxyTimeout ${vhost.limits.patience}`]),
      ...access(vhost, "/"),
      ...headers(vhost),
      `Include ${word(join(place.include, "server.conf"))}`,
      ...(part === "host" ? onlyBelow(first) : site(place, vhost, scheme)),
    ].map((line) => `  ${line}`),
    "</VirtualHost>",
  ];
}

function site(place: Place, vhost: Vhost, scheme: "http" | "https"): readonly string[] {
  const { host, prefix } = splitUri(vhost.uri);
  const below = prefix === "" ? [`IncludeOptional "\${PROVISION_TREE}/subdir.d/${configName(host)}/*.conf"`] : [];
  if (!vhost.enabled) return [...below, ...DISABLED_RULES];
  return [
    ...moved(place, vhost, scheme),
    ...below,
    ...snippet(vhost),
    ...proof(place, vhost),
    ...directory(vhost),
    ...php(vhost, ""),
    ...rules(place, vhost, ""),
    `AliasMatch "^/sites/[^/]+/files(/.*)$" ${word(`${vhost.files}$1`)}`,
  ];
}

/** Where one name stands for all, and where https is required, the others are sent on. */
function moved(place: Place, vhost: Vhost, scheme: "http" | "https"): readonly string[] {
  const { redirection, tls } = vhost;
  const to = scheme === "http" && tls?.required === true ? "https" : scheme;
  const suffix = portSuffix(to, to === "https" ? (place.tlsPort ?? 443) : place.port);
  const lines: string[] = [];
  if (redirection !== undefined) {
    const { host, prefix } = splitUri(redirection);
    lines.push(
      `RewriteCond "%{HTTP_HOST}" ${rewriteWord(`!^${literal(host)}\\.?(?::\\d*)?$`)} [NC]`,
      ...away(`${to}://${host}${suffix}${prefix}`),
    );
    if (to !== scheme) lines.push(...away(`${to}://${host}${suffix}${prefix}`));
  } else if (to !== scheme) lines.push(...away(`${to}://%{SERVER_NAME}${suffix}`));
  return lines;
}

/** Path and query as they were asked for (Apache adds the query); ACME's path has left the rules before. */
function away(to: string): readonly string[] {
  return [`RewriteCond "%{THE_REQUEST}" "^\\S+\\s+(?:[a-z]+://[^/]*)?([^\\s?]*)"`, `RewriteRule "^" "${to}%1" [R=301,L,NE]`];
}

/** Rules of one site below `prefix`, in the vhost: they are read before Apache has looked at the disk. */
function rules(place: Place, vhost: Vhost, prefix: string): readonly string[] {
  const at = literal(prefix);
  const [root, files] = [vhost.docroot, vhost.files].map((path) => rewriteWord(path).slice(1, -1));
  const own = `${prefix}/sites/${vhost.directory}/files`;
  const isFile = (path: string) => `RewriteCond "${path}" -f`;
  const noFile = (path: string) => `RewriteCond "${path}" !-f`;
  const rule = (pattern: string, to: string, flags: string) => `RewriteRule ${rewriteWord(`^${at}${pattern}`)} ${to} [${flags}]`;
  const same = '"-"';
  const front = rewriteWord(`${substitution(prefix)}/index.php`);
  const onlyRead = `RewriteCond "%{REQUEST_METHOD}" "!^(?:GET|HEAD)$"`;
  return [
    rule("/files/(.*)$", rewriteWord(`${substitution(own)}/$1`), "NE"),
    `Include ${word(join(place.include, "deny.conf"))}`,
    rule(`/${DENIED_AT_TOP}`, same, "NC,R=404,L"),
    // Named PHP files, when they are there; no other file of PHP, under whatever name.
    isFile(`${root}/$1`),
    rule(`/(${controllersPattern(vhost.frontControllers)})(?:/.*)?$`, same, "PT,L"),
    rule("/(?:.*)\\.php(?:/|$)", same, "NC,R=404,L"),
    isFile(`${files}/favicon.ico`),
    rule("/favicon\\.ico$", rewriteWord(`${substitution(own)}/favicon.ico`), "PT,L"),
    noFile(`${root}/favicon.ico`),
    rule("/favicon\\.ico$", same, "R=204,L"),
    isFile(`${files}/robots.txt`),
    rule("/robots\\.txt$", rewriteWord(`${substitution(own)}/robots.txt`), "PT,L"),
    rule("/system/files/", front, "PT,L"),
    // What is there is served to who only reads; all else is the front controller's.
    noFile(`${files}$1`),
    rule("/sites/[^/]+/files(/.*)$", front, "PT,L"),
    onlyRead,
    rule("/sites/[^/]+/files/", same, "R=405,L"),
    rule("/sites/[^/]+/files/", same, "PT,L"),
    noFile(`${root}$1`),
    rule("(/.*)$", front, "PT,L"),
    onlyRead,
    rule("/", same, "R=405,L"),
    rule("/", same, "PT,L"),
  ];
}

/** The code and the files of one site as directories; what is not named here stays closed. */
function directory(vhost: Vhost): readonly string[] {
  return [
    `<Directory ${word(vhost.docroot)}>`,
    "  AllowOverride None",
    "  Options SymLinksIfOwnerMatch",
    "  DirectoryIndex disabled",
    "  DirectorySlash Off",
    "  AcceptPathInfo On",
    "  Require all granted",
    `  <FilesMatch ${word(`(?i)${CACHED}`)}>`,
    `    Header set Cache-Control "max-age=1209600" "expr=!(%{HTTP_HOST} =~ m#^dev\\\\.#i)"`,
    `    Header set Cache-Control "no-cache" "expr=%{HTTP_HOST} =~ m#^dev\\\\.#i"`,
    "    Header set X-Content-Type-Options nosniff",
    "  </FilesMatch>",
    "</Directory>",
    // No link that PHP could make there is followed.
    `<Directory ${word(vhost.files)}>`,
    "  AllowOverride None",
    "  Options None",
    "  DirectoryIndex disabled",
    "  DirectorySlash Off",
    "  Require all granted",
    "  SetHandler None",
    "  Header set X-Content-Type-Options nosniff",
    `  <FilesMatch "(?i)\\\\.(?:php\\\\d?|pht|phtml|phar)$">`,
    "    Require all denied",
    "  </FilesMatch>",
    `  <FilesMatch ${word(`(?i)${CACHED}`)}>`,
    `    Header set Cache-Control "max-age=1209600" "expr=!(%{HTTP_HOST} =~ m#^dev\\\\.#i)"`,
    `    Header set Cache-Control "no-cache" "expr=%{HTTP_HOST} =~ m#^dev\\\\.#i"`,
    "  </FilesMatch>",
    "</Directory>",
    `<DirectoryMatch ${word(`^${literal(vhost.files)}${KEPT_LONG.slice(1)}`)}>`,
    `  <FilesMatch ${word(`(?i)${CACHED}`)}>`,
    `    Header set Cache-Control "max-age=31536000" "expr=!(%{HTTP_HOST} =~ m#^dev\\\\.#i)"`,
    "  </FilesMatch>",
    "</DirectoryMatch>",
  ];
}

function subdirectory(place: Place, vhost: Vhost, prefix: string): string {
  const at = literal(prefix);
  const elsewhere = vhost.redirection !== undefined && vhost.redirection !== vhost.uri ? splitUri(vhost.redirection) : undefined;
  const body = !vhost.enabled
    ? [`RewriteRule ${rewriteWord(`^${at}(?:/|$)`)} "-" [R=503,L]`]
    : elsewhere
      ? [
          `RewriteCond "%{THE_REQUEST}" ${rewriteWord(`^\\S+\\s+(?:[a-z]+://[^/]*)?${at}([^\\s?]*)`)}`,
          `RewriteRule ${rewriteWord(`^${at}(?:/|$)`)} "%{REQUEST_SCHEME}://${elsewhere.host}${portSuffix("http", place.port)}${elsewhere.prefix}%1" [R=301,L,NE]`,
        ]
      : [
          `RewriteRule ${rewriteWord(`^${at}$`)} ${rewriteWord(`${substitution(prefix)}/`)} [R=301,L]`,
          ...access(vhost, `${prefix}/`),
          ...(Object.keys(vhost.headers).length === 0
            ? []
            : [`<Location ${word(`${prefix}/`)}>`, ...headers(vhost).map((line) => `  ${line}`), "</Location>"]),
          ...snippet(vhost),
          ...directory(vhost),
          ...php(vhost, prefix),
          ...rules(place, vhost, prefix),
          `AliasMatch ${word(`^${at}/sites/[^/]+/files(/.*)$`)} ${word(`${vhost.files}$1`)}`,
          `Alias ${word(`${prefix}/`)} ${word(`${vhost.docroot}/`)}`,
        ];
  return `${[header(vhost.uri), ...body].join("\n")}\n`;
}

function onlyBelow(host: string): readonly string[] {
  return [`IncludeOptional "\${PROVISION_TREE}/subdir.d/${configName(host)}/*.conf"`, `RewriteRule "^" "-" [R=404,L]`];
}

/** The page and its headers are in server.conf. */
const DISABLED_RULES: readonly string[] = [`RewriteRule "^" "-" [R=503,L]`];

export const DISABLED_DIRECTIVES: readonly string[] = [
  `ErrorDocument 503 ${word(DISABLED_PAGE)}`,
  `Header always set Retry-After "${RETRY_AFTER}" "expr=%{REQUEST_STATUS} -eq 503"`,
  `Header always set Cache-Control "no-store" "expr=%{REQUEST_STATUS} -eq 503"`,
];

function handler(fpm: string): string {
  return fpm.startsWith("/") ? `proxy:unix:${fpm}|fcgi://localhost` : `proxy:fcgi://${fpm}`;
}

/** By location, for two sites of one platform may have two pools. */
function php(vhost: Vhost, prefix: string): readonly string[] {
  return [
    `<LocationMatch ${word(`^${literal(prefix)}/${controllersPattern(vhost.frontControllers)}(?:/|$)`)}>`,
    `  SetHandler ${word(handler(vhost.fpm))}`,
    ...[...phpSettings(vhost.limits?.settings ?? []), ...environment(vhost)].map((line) => `  ${line}`),
    "</LocationMatch>",
  ];
}

function environment(vhost: Vhost): readonly string[] {
  return vhost.environment === undefined ? [] : [`Include ${word(vhost.environment)}`];
}

/** Told to this machine only: when the PHP of this site was started. */
function proof(place: Place, vhost: Vhost): readonly string[] {
  return [
    `Alias "${PHP_MARKER_PATH}" ${word(place.phpMarker)}`,
    `<Location "${PHP_MARKER_PATH}">`,
    `  SetHandler ${word(handler(vhost.fpm))}`,
    "  AuthType None",
    "  AuthMerging Off",
    "  Require local",
    "</Location>",
  ];
}

function access(vhost: Vhost, path: string): readonly string[] {
  const { allow, basicAuth } = vhost;
  if (basicAuth === undefined && allow.length === 0) return [];
  const require = (addresses: readonly string[]) => `  Require ip ${addresses.map(word).join(" ")}`;
  return [
    `<Location ${word(path)}>`,
    ...(basicAuth === undefined
      ? [require(allow)]
      : [
          "  AuthType Basic",
          `  AuthName ${word(basicAuth.message)}`,
          "  AuthBasicProvider file",
          `  AuthUserFile ${word(basicAuth.file)}`,
          ...(allow.length > 0
            ? ["  <RequireAll>", `  ${require(allow)}`, "    Require valid-user", "  </RequireAll>"]
            : [
                "  <RequireAny>",
                ...(basicAuth.whitelist.length > 0 ? [`  ${require(basicAuth.whitelist)}`] : []),
                "    Require valid-user",
                "  </RequireAny>",
              ]),
        ]),
    "</Location>",
  ];
}

function headers(vhost: Vhost): readonly string[] {
  return Object.entries(vhost.headers).map(([name, value]) => `Header always set ${word(name)} ${headerValue(value)}`);
}

function snippet(vhost: Vhost): readonly string[] {
  const text = vhost.snippets["apache"];
  return text === undefined || text.trim() === "" ? [] : ["# apache_snippet of the site", ...text.trimEnd().split("\n")];
}

function header(uri: string): string {
  return `# Written by provision for ${uri}. Changes made here are lost at the next verify.`;
}
