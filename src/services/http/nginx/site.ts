import { join } from "node:path";
import { siteName } from "../../../context/names.js";
import { configName } from "../config-name.js";
import type { Place } from "../daemon/place.js";
import {
  controllersPattern,
  DENIED_AT_TOP,
  DISABLED_PAGE,
  literal,
  PHP_MARKER_PATH,
  portSuffix,
  RETRY_AFTER,
  splitUri,
} from "../routing.js";
import type { ConfigFile, Vhost } from "../service.js";
import { phpSettings, regex, word } from "./quote.js";

/**
 * Files of one site. The vhost of a host includes `subdir.d/<host>/`, where its sub-directory sites stand; those have a vhost for
 * their aliases beside it, and one for their host when no other site has it. Pure: the same vhost gives the same bytes.
 */
export function siteFiles(place: Place, vhost: Vhost): readonly ConfigFile[] {
  const { host, prefix } = splitUri(vhost.uri);
  const pair = vhost.tls === undefined ? {} : { pair: { certificate: vhost.tls.certificate, key: vhost.tls.key } };
  const file = (path: string, content: string | undefined): ConfigFile => ({ path, content, ...(content === undefined ? {} : pair) });
  const aliases = [...new Set(vhost.aliases)].filter((alias) => alias !== vhost.uri).sort();
  if (prefix === "") return [file(vhostPath(place, vhost.uri), server(place, vhost, [vhost.uri, ...aliases], "site"))];
  return [
    file(subdirPath(place, vhost.uri), subdirectory(place, vhost, prefix)),
    file(vhostPath(place, vhost.uri), aliases.length === 0 ? undefined : server(place, vhost, aliases, "site")),
    file(hostPath(place, host), vhost.alone ? server(place, vhost, [host], "host") : undefined),
  ];
}

/** An alias has no file of its own. */
export function noSiteFiles(place: Place, uri: string | undefined): readonly ConfigFile[] {
  if (uri === undefined) return [];
  const paths = uri.includes("/") ? [subdirPath(place, uri), vhostPath(place, uri)] : [vhostPath(place, uri)];
  return paths.map((path) => ({ path, content: undefined }));
}

function vhostPath(place: Place, uri: string): string {
  return join(place.vhosts, `${configName(uri)}.conf`);
}

/** Comes after all others, so that the host's own site goes first once there is one. */
function hostPath(place: Place, host: string): string {
  return join(place.vhosts, `~${configName(host)}.conf`);
}

function subdirPath(place: Place, uri: string): string {
  const { host, prefix } = splitUri(uri);
  return join(place.subdirs, configName(host), `${configName(prefix.slice(1))}.conf`);
}

/** How the sites of a sub-directory share the names of their host: nothing but them is served there, or a site of its own. */
type Part = "site" | "host";

function server(place: Place, vhost: Vhost, names: readonly string[], part: Part): string {
  const [first = ""] = names;
  const log = join(place.logs, configName(part === "host" ? first : vhost.uri));
  return lines([
    header(vhost.uri),
    "server {",
    `  include ${word(join(place.include, "listen.conf"))};`,
    ...(vhost.tls === undefined
      ? []
      : [
          `  include ${word(join(place.include, "listen-tls.conf"))};`,
          `  ssl_certificate ${word(vhost.tls.certificate)};`,
          `  ssl_certificate_key ${word(vhost.tls.key)};`,
        ]),
    `  server_name ${names.map(word).join(" ")};`,
    `  root ${word(vhost.docroot)};`,
    `  access_log ${word(`${log}.access.log`)};`,
    `  error_log ${word(`${log}.error.log`)};`,
    `  include ${word(join(place.include, "server.conf"))};`,
    `  ${largestBody(vhost)}`,
    ...[...access(vhost), ...secure(vhost), ...headers(vhost)].map((line) => `  ${line}`),
    ...(part === "host" ? onlyBelow(place, first) : site(place, vhost)),
    "}",
  ]);
}

function site(place: Place, vhost: Vhost): readonly string[] {
  const { host, prefix } = splitUri(vhost.uri);
  // A sub-directory site's aliases are a vhost of their own, below which nothing stands.
  const below =
    prefix === "" ? [`  set $provision_below "";`, `  include ${word(`${join(place.subdirs, configName(host))}/*.conf`)};`] : [];
  if (!vhost.enabled) return [...below, ...disabled("/", "  ")];
  const denied = prefix === "" ? `"$provision_below$provision_denied_top"` : "$provision_denied_top";
  return [
    ...moved(place, vhost),
    ...below,
    `  rewrite "^/files/(.*)$" ${regex(`/sites/${vhost.directory}/files/$1`)};`,
    "  if ($provision_denied) { return 404; }",
    `  set $provision_top ${denied};`,
    `  if ($provision_top = "1") { return 404; }`,
    ...snippet(vhost, "  "),
    ...proof(place, vhost),
    ...php(place, vhost, ""),
    `  location = /favicon.ico { root ${word(vhost.files)}; ${links(vhost.files)}${fixed(vhost)} expires 14d; try_files /favicon.ico @provision_favicon; }`,
    `  location @provision_favicon {${fixed(vhost)} expires 14d; try_files /favicon.ico =204; }`,
    `  location = /robots.txt { root ${word(vhost.files)}; ${links(vhost.files)}${fixed(vhost)} try_files /robots.txt @provision_static; }`,
    "  location /system/files/ { rewrite ^ /index.php last; }",
    `  location ~ "^/sites/[^/]+/files(?<provision_file>/.*)$" {`,
    `    root ${word(vhost.files)};`,
    `    ${links(vhost.files)}`,
    `   ${fixed(vhost)}`,
    "    expires $provision_files_expires;",
    "    rewrite ^ $provision_file break;",
    "    try_files $uri @provision_front;",
    "  }",
    "  location / { try_files /.provision-none @provision_static; }",
    "  location @provision_static {",
    `    disable_symlinks if_not_owner from=${word(vhost.docroot)};`,
    `   ${fixed(vhost)}`,
    "    expires $provision_expires;",
    "    try_files $uri @provision_front;",
    "  }",
    ...front(place, vhost, "", "provision_front"),
  ];
}

/** Where one name stands for all, and where https is required, the others are sent on; ACME's path is not. */
function moved(place: Place, vhost: Vhost): readonly string[] {
  const { redirection, tls } = vhost;
  const required = tls?.required === true;
  if (redirection === undefined && !required) return [];
  const https = portSuffix("https", place.tlsPort ?? 443);
  const { host, prefix } = splitUri(redirection ?? "");
  return [
    `  set $provision_to "";`,
    ...(redirection === undefined
      ? []
      : [
          `  if ($host != ${word(host)}) { set $provision_to "${required ? "https" : "$scheme"}://${plain(host)}${required ? https : "$provision_port"}${plain(prefix)}"; }`,
        ]),
    ...(required
      ? [
          `  if ($scheme = http) { set $provision_to "https://${redirection === undefined ? "$host" : plain(host)}${https}${redirection === undefined ? "" : plain(prefix)}"; }`,
        ]
      : []),
    `  if ($uri ~ "^/\\\\.well-known/acme-challenge/") { set $provision_to ""; }`,
    "  if ($provision_to) { return 301 $provision_to$request_uri; }",
  ];
}

/** Inside a word that holds variables of ours. */
function plain(text: string): string {
  return word(text).slice(1, -1);
}

function subdirectory(place: Place, vhost: Vhost, prefix: string): string {
  const at = literal(prefix);
  const location = `provision_${siteName(vhost.uri)}`;
  const elsewhere = vhost.redirection !== undefined && vhost.redirection !== vhost.uri ? splitUri(vhost.redirection) : undefined;
  return lines([
    header(vhost.uri),
    `if ($uri ~ ${regex(`^${at}(?:/|$)`)}) { set $provision_below s; }`,
    ...(!vhost.enabled
      ? [`location = ${prefix} { ${unavailable} }`, ...disabled(`^~ ${prefix}/`, "")]
      : elsewhere
        ? [
            `location = ${prefix} { return 301 "$scheme://${plain(elsewhere.host)}$provision_port${plain(elsewhere.prefix)}/$is_args$args"; }`,
            `location ^~ ${prefix}/ {`,
            `  if ($request_uri ~ ${regex(`^${at}(/.*)$`)}) { return 301 "$scheme://${plain(elsewhere.host)}$provision_port${plain(elsewhere.prefix)}$1"; }`,
            "  return 404;",
            "}",
          ]
        : [
            `location = ${prefix} { return 301 "${plain(prefix)}/$is_args$args"; }`,
            `location ^~ ${prefix}/ {`,
            `  root ${word(vhost.docroot)};`,
            `  ${largestBody(vhost)}`,
            ...[...access(vhost), ...secure(vhost), ...headers(vhost)].map((line) => `  ${line}`),
            "  if ($provision_denied) { return 404; }",
            `  if ($uri ~* ${regex(`^${at}/${DENIED_AT_TOP}`)}) { return 404; }`,
            `  if ($uri ~* ${regex(`^${at}/files/(?:private|config_[^/]+|backup_migrate|php|translations)(?:/|$)`)}) { return 404; }`,
            ...snippet(vhost, "  "),
            ...php(place, vhost, prefix),
            `  location ~ ${regex(`^${at}/system/files/`)} { try_files /.provision-none @${location}; }`,
            `  location ~ ${regex(`^${at}(?:/sites/[^/]+)?/files(?<provision_file>/.*)$`)} {`,
            `    root ${word(vhost.files)};`,
            `    ${links(vhost.files)}`,
            `   ${fixed(vhost)}`,
            "    expires $provision_files_expires;",
            "    rewrite ^ $provision_file break;",
            `    try_files $uri @${location};`,
            "  }",
            `  location ~ ${regex(`^${at}(?<provision_file>/.*)$`)} {`,
            `    disable_symlinks if_not_owner from=${word(vhost.docroot)};`,
            `   ${fixed(vhost)}`,
            "    expires $provision_expires;",
            "    rewrite ^ $provision_file break;",
            `    try_files $uri @${location};`,
            "  }",
            "}",
            ...front(place, vhost, prefix, location).map((line) => line.slice(2)),
          ]),
  ]);
}

/** A host of which only sub-directories are sites. */
function onlyBelow(place: Place, host: string): readonly string[] {
  return [
    `  set $provision_below "";`,
    `  include ${word(`${join(place.subdirs, configName(host))}/*.conf`)};`,
    "  location / { return 404; }",
  ];
}

const unavailable = `default_type text/html; charset utf-8; add_header Retry-After ${RETRY_AFTER} always; add_header Cache-Control no-store always; return 503 ${word(DISABLED_PAGE)};`;

function disabled(location: string, indent: string): readonly string[] {
  return [`${indent}location ${location} { ${unavailable} }`];
}

function php(place: Place, vhost: Vhost, prefix: string): readonly string[] {
  const at = literal(prefix);
  return [
    `  location ~ ${regex(`^${at}/${controllersPattern(vhost.frontControllers)}(?:/|$)`)} {`,
    `    fastcgi_split_path_info ${regex(`^${at}(/.+?\\.php)(/.*)?$`)};`,
    "    set $provision_path_info $fastcgi_path_info;",
    "    try_files $fastcgi_script_name =404;",
    ...fastcgi(place, vhost, `"${plain(prefix)}$fastcgi_script_name"`, "$realpath_root$fastcgi_script_name").map((line) => `    ${line}`),
    "    fastcgi_param PATH_INFO $provision_path_info if_not_empty;",
    "  }",
    `  location ~* "\\\\.php(?:/|$)" { return 404; }`,
  ];
}

function front(place: Place, vhost: Vhost, prefix: string, name: string): readonly string[] {
  return [
    `  location @${name} {`,
    ...(prefix === ""
      ? []
      : [
          `    root ${word(vhost.docroot)};`,
          `    ${largestBody(vhost)}`,
          ...access(vhost).map((line) => `    ${line}`),
          ...headers(vhost).map((line) => `    ${line}`),
        ]),
    ...fastcgi(place, vhost, word(`${prefix}/index.php`), "$realpath_root/index.php").map((line) => `    ${line}`),
    "  }",
  ];
}

function fastcgi(place: Place, vhost: Vhost, script: string, file: string): readonly string[] {
  return [
    `include ${word(join(place.include, "fastcgi.conf"))};`,
    ...phpSettings(vhost.limits?.settings ?? []),
    `fastcgi_read_timeout ${vhost.limits?.patience ?? 120}s;`,
    ...(vhost.environment === undefined ? [] : [`include ${word(vhost.environment)};`]),
    `fastcgi_param SCRIPT_NAME ${script};`,
    `fastcgi_param SCRIPT_FILENAME ${file};`,
    `fastcgi_pass ${listen(vhost.fpm)};`,
  ];
}

function largestBody({ limits }: Vhost): string {
  return `client_max_body_size ${limits?.largestBody ?? "64m"};`;
}

/** Told to this machine only: when the PHP of this site was started. */
function proof(place: Place, vhost: Vhost): readonly string[] {
  return [
    `  location = ${PHP_MARKER_PATH} {`,
    "    satisfy all; allow 127.0.0.1; allow ::1; deny all; auth_basic off;",
    `    include ${word(join(place.include, "fastcgi.conf"))};`,
    `    fastcgi_param SCRIPT_FILENAME ${word(place.phpMarker)};`,
    `    fastcgi_pass ${listen(vhost.fpm)};`,
    "  }",
  ];
}

function listen(fpm: string): string {
  return fpm.startsWith("/") ? word(`unix:${fpm}`) : word(fpm);
}

function access(vhost: Vhost): readonly string[] {
  const { allow, basicAuth } = vhost;
  const open = basicAuth === undefined ? allow : [...allow, ...basicAuth.whitelist];
  return [
    ...(basicAuth === undefined
      ? []
      : [
          `auth_basic ${word(basicAuth.message)};`,
          `auth_basic_user_file ${word(basicAuth.file)};`,
          ...(basicAuth.whitelist.length > 0 ? ["satisfy any;"] : []),
        ]),
    ...(open.length === 0 ? [] : [...open.map((address) => `allow ${word(address)};`), "deny all;"]),
  ];
}

/** Sent with every answer; nginx forgets them where a location has its own, so they are said again there. */
function headers(vhost: Vhost): readonly string[] {
  return [
    ...Object.entries(vhost.headers).map(([name, value]) => `add_header ${word(name)} ${word(value)} always;`),
    ...(vhost.tls?.hsts === undefined ? [] : ["add_header Strict-Transport-Security $provision_hsts always;"]),
  ];
}

/** By http the header would be empty, and is not sent. */
function secure({ tls }: Vhost): readonly string[] {
  return tls?.hsts === undefined ? [] : [`set $provision_hsts "";`, `if ($https) { set $provision_hsts "max-age=${tls.hsts}"; }`];
}

/** Headers of what is served from disk; begins with a space. */
function fixed(vhost: Vhost): string {
  return ` ${["add_header X-Content-Type-Options nosniff always;", ...headers(vhost)].join(" ")}`;
}

/** No link that PHP could make there is followed. */
function links(files: string): string {
  return `disable_symlinks on from=${word(files)};`;
}

function snippet(vhost: Vhost, indent: string): readonly string[] {
  const text = vhost.snippets["nginx"];
  if (text === undefined || text.trim() === "") return [];
  return [
    `${indent}# nginx_snippet of the site`,
    ...text
      .trimEnd()
      .split("\n")
      .map((line) => `${indent}${line}`.trimEnd()),
  ];
}

function header(uri: string): string {
  return `# Written by provision for ${uri}. Changes made here are lost at the next verify.`;
}

function lines(all: readonly string[]): string {
  return `${all.join("\n")}\n`;
}
