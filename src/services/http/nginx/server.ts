import { join } from "node:path";
import type { Facts } from "../daemon/daemon.js";
import type { Place } from "../daemon/place.js";
import { PHP_MARKER } from "../php-marker.js";
import {
  CACHE_SECONDS,
  CACHED,
  DENIED_ANYWHERE,
  DENIED_AT_TOP,
  KEPT_LONG,
  LONG_CACHE_SECONDS,
  MARKER_HEADER,
  MARKER_HOST,
  PROCESS_HEADER,
  portSuffix,
} from "../routing.js";
import type { ConfigFile } from "../service.js";
import { phpSettings, regex, word } from "./quote.js";

const HEADER = "# Written by provision. Changes made here are lost at the next verify of the server.";

/** What all vhosts of a server share; the directives that depend on nginx's version stand only here. */
export function serverFiles(place: Place, facts: Facts): readonly ConfigFile[] {
  const file = (path: string, ...lines: readonly string[]): ConfigFile => ({ path, content: `${[HEADER, ...lines].join("\n")}\n` });
  const within = (name: string) => join(place.include, name);
  return [
    file(
      place.top,
      `include ${word(within("http.conf"))};`,
      `include ${word(within("default.conf"))};`,
      ...[place.before, place.platforms, place.vhosts, place.after].map((directory) => `include ${word(join(directory, "*.conf"))};`),
    ),
    file(within("http.conf"), ...http(place)),
    file(within("default.conf"), ...unknown(place, facts)),
    file(within("listen.conf"), ...listen(facts, place.port, "")),
    file(within("listen-tls.conf"), ...(place.tlsPort === undefined ? [] : [...listen(facts, place.tlsPort, ssl(facts)), ...tls(facts)])),
    file(within("server.conf"), ...server(place)),
    file(within("fastcgi.conf"), ...FASTCGI, ...phpSettings(place.phpSettings)),
    { path: place.phpMarker, content: PHP_MARKER },
  ];
}

export function generationFile(place: Place, generation: string): ConfigFile {
  return {
    path: place.generation,
    content: [HEADER, `add_header ${MARKER_HEADER} ${word(generation)} always;`, `add_header ${PROCESS_HEADER} $pid always;`, ""].join(
      "\n",
    ),
  };
}

function listen(facts: Facts, port: number, more: string): readonly string[] {
  return [`listen ${port}${more};`, ...(facts.ipv6 ? [`listen [::]:${port}${more};`] : [])];
}

function atLeast({ version }: Facts, ...wanted: readonly number[]): boolean {
  for (const [index, number] of wanted.entries()) {
    const have = version[index] ?? 0;
    if (have !== number) return have > number;
  }
  return true;
}

/** From 1.25.1 on HTTP/2 is a directive of its own. */
function ssl(facts: Facts): string {
  return atLeast(facts, 1, 25, 1) ? " ssl" : " ssl http2";
}

function tls(facts: Facts): readonly string[] {
  return [
    ...(atLeast(facts, 1, 25, 1) ? ["http2 on;"] : []),
    "ssl_protocols TLSv1.2 TLSv1.3;",
    "ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305;",
    "ssl_prefer_server_ciphers off;",
    "ssl_session_cache shared:provision:20m;",
    "ssl_session_timeout 1d;",
    "ssl_session_tickets off;",
  ];
}

/** Names of 253 characters, and the maps that the vhosts read. A map is compiled once; a location in each vhost is not. */
function http(place: Place): readonly string[] {
  return [
    "server_names_hash_max_size 8192;",
    "server_names_hash_bucket_size 512;",
    "variables_hash_max_size 2048;",
    "map $scheme $provision_port {",
    `  http ${word(portSuffix("http", place.port))};`,
    `  https ${word(portSuffix("https", place.tlsPort ?? 443))};`,
    "}",
    "map $uri $provision_denied {",
    `  default "";`,
    ...DENIED_ANYWHERE.map(({ pattern, anyCase }) => `  ${regex(`~${anyCase ? "*" : ""}${pattern}`)} 1;`),
    "}",
    "map $uri $provision_denied_top {",
    `  default "";`,
    `  ${regex(`~*^/${DENIED_AT_TOP}`)} 1;`,
    "}",
    // dev.example.com is for people who change things: nothing is kept.
    'map $host $provision_dev { default 0; "~^dev\\\\." 1; }',
    "map $provision_dev$uri $provision_expires {",
    "  default off;",
    '  "~^1" epoch;',
    `  ${regex(`~*^0.*${CACHED}`)} ${CACHE_SECONDS};`,
    "}",
    "map $provision_dev$uri $provision_files_expires {",
    "  default off;",
    '  "~^1" epoch;',
    `  ${regex(`~^0${KEPT_LONG.slice(1)}.*${CACHED}`)} ${LONG_CACHE_SECONDS};`,
    `  ${regex(`~*^0.*${CACHED}`)} ${CACHE_SECONDS};`,
    "}",
  ];
}

/** Nobody gets a site by sending an unknown name. ACME is answered, so that a name can be validated before its site is there. */
function unknown(place: Place, facts: Facts): readonly string[] {
  return [
    "server {",
    ...listen(facts, place.port, " default_server").map((line) => `  ${line}`),
    "  server_name _;",
    "  access_log off;",
    `  include ${word(join(place.include, "server.conf"))};`,
    "  location / { return 404; }",
    "}",
    "server {",
    `  include ${word(join(place.include, "listen.conf"))};`,
    `  server_name ${MARKER_HOST};`,
    "  access_log off;",
    "  allow 127.0.0.1;",
    "  allow ::1;",
    "  deny all;",
    "  location / {",
    `    include ${word(place.generation)};`,
    "    try_files /.provision-none =204;",
    "  }",
    "}",
    ...(place.tlsPort !== undefined && atLeast(facts, 1, 19, 4)
      ? [
          "server {",
          ...listen(facts, place.tlsPort, `${ssl(facts)} default_server`).map((line) => `  ${line}`),
          "  server_name _;",
          "  ssl_reject_handshake on;",
          "}",
        ]
      : []),
  ];
}

function server(place: Place): readonly string[] {
  return [
    "server_tokens off;",
    "index index.php;",
    "charset utf-8;",
    "charset_types text/css text/plain text/javascript text/xml text/csv text/calendar application/javascript;",
    "max_ranges 1;",
    "location ^~ /.well-known/acme-challenge/ {",
    `  root ${word(place.acme)};`,
    "  default_type text/plain;",
    "  auth_basic off;",
    "  satisfy any;",
    "  allow all;",
    "  try_files $uri =404;",
    "}",
  ];
}

const FASTCGI: readonly string[] = [
  "fastcgi_param GATEWAY_INTERFACE CGI/1.1;",
  "fastcgi_param SERVER_SOFTWARE nginx;",
  "fastcgi_param QUERY_STRING $query_string;",
  "fastcgi_param REQUEST_METHOD $request_method;",
  "fastcgi_param CONTENT_TYPE $content_type;",
  "fastcgi_param CONTENT_LENGTH $content_length;",
  "fastcgi_param REQUEST_URI $request_uri;",
  "fastcgi_param DOCUMENT_URI $document_uri;",
  "fastcgi_param DOCUMENT_ROOT $realpath_root;",
  "fastcgi_param SERVER_PROTOCOL $server_protocol;",
  "fastcgi_param REQUEST_SCHEME $scheme;",
  "fastcgi_param HTTPS $https if_not_empty;",
  "fastcgi_param REMOTE_ADDR $remote_addr;",
  "fastcgi_param REMOTE_PORT $remote_port;",
  "fastcgi_param REMOTE_USER $remote_user if_not_empty;",
  "fastcgi_param SERVER_ADDR $server_addr;",
  "fastcgi_param SERVER_PORT $server_port;",
  "fastcgi_param SERVER_NAME $host;",
  "fastcgi_param REDIRECT_STATUS 200;",
  // A header Proxy: of a visitor would become this variable, which programs believe.
  'fastcgi_param HTTP_PROXY "" if_not_empty;',
  "fastcgi_buffers 16 16k;",
  "fastcgi_buffer_size 32k;",
];
