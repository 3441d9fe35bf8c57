import { join } from "node:path";
import type { Facts } from "../daemon/daemon.js";
import type { Place } from "../daemon/place.js";
import { PHP_MARKER } from "../php-marker.js";
import { DENIED_ANYWHERE, MARKER_HEADER, MARKER_HOST, PHP_MARKER_PATH } from "../routing.js";
import type { ConfigFile } from "../service.js";
import { phpSettings, rewriteWord, word } from "./quote.js";
import { DISABLED_DIRECTIVES } from "./site.js";

const HEADER = "# Written by provision. Changes made here are lost at the next verify of the server.";

/** What all vhosts of a server share. Vhosts are included by a name that stands for another tree while a candidate is tested. */
export function serverFiles(place: Place, _facts: Facts): readonly ConfigFile[] {
  const file = (path: string, ...lines: readonly string[]): ConfigFile => ({ path, content: `${[HEADER, ...lines].join("\n")}\n` });
  const within = (name: string) => join(place.include, name);
  const all = (directory: string) => `IncludeOptional ${word(join(directory, "*.conf"))}`;
  return [
    file(
      place.top,
      "<IfDefine !PROVISION_CANDIDATE>",
      `  Define PROVISION_TREE ${word(place.root)}`,
      "</IfDefine>",
      "<IfDefine PROVISION_CANDIDATE>",
      `  Define PROVISION_TREE ${word(place.candidate)}`,
      "</IfDefine>",
      `Include ${word(within("default.conf"))}`,
      all(place.before),
      all(place.platforms),
      `IncludeOptional "\${PROVISION_TREE}/vhost.d/*.conf"`,
      all(place.after),
      "UnDefine PROVISION_TREE",
    ),
    file(within("default.conf"), ...unknown(place)),
    file(within("server.conf"), ...SERVER, ...phpSettings(place.phpSettings)),
    file(within("deny.conf"), ...DENY),
    file(within("tls.conf"), ...TLS),
    { path: place.phpMarker, content: PHP_MARKER },
  ];
}

export function generationFile(place: Place, generation: string): ConfigFile {
  return { path: place.generation, content: `${HEADER}\nHeader always set ${MARKER_HEADER} ${word(generation)}\n` };
}

/** What unknown names are shown before they are refused: Apache has no vhost for https without a certificate. */
export function defaultPair(place: Place): { readonly certificate: string; readonly key: string } {
  return { certificate: join(place.include, "default.pem"), key: join(place.include, "default.key") };
}

/** The first vhost of a port answers for unknown names: nobody gets a site by sending one. ACME is answered. */
function unknown(place: Place): readonly string[] {
  const acme = join(place.acme, ".well-known/acme-challenge");
  return [
    // The ports that Debian's ports.conf has are left to it.
    ...(place.port === 80 ? [] : [`Listen ${place.port}`]),
    ...(place.tlsPort === undefined || place.tlsPort === 443 ? [] : [`Listen ${place.tlsPort} https`]),
    "ServerTokens Prod",
    "TraceEnable Off",
    'LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{Referer}i\\" \\"%{User-Agent}i\\"" provision',
    `Alias "/.well-known/acme-challenge/" ${word(`${acme}/`)}`,
    `<Directory ${word(acme)}>`,
    "  AllowOverride None",
    "  Options None",
    "  ForceType text/plain",
    "  Require all granted",
    "</Directory>",
    `<Directory ${word(place.include)}>`,
    "  AllowOverride None",
    "  Options None",
    "  Require all denied",
    "</Directory>",
    `<VirtualHost *:${place.port}>`,
    '  ServerName "default.invalid"',
    `  Include ${word(join(place.include, "server.conf"))}`,
    '  RewriteRule "^" "-" [R=404,L]',
    "</VirtualHost>",
    `<VirtualHost *:${place.port}>`,
    `  ServerName ${word(MARKER_HOST)}`,
    "  <Location />",
    "    Require local",
    "  </Location>",
    `  Include ${word(place.generation)}`,
    "  RewriteEngine On",
    '  RewriteRule "^" "-" [R=204,L]',
    "</VirtualHost>",
    ...(place.tlsPort === undefined
      ? []
      : [
          `<VirtualHost *:${place.tlsPort}>`,
          '  ServerName "default.invalid"',
          `  Include ${word(join(place.include, "tls.conf"))}`,
          `  SSLCertificateFile ${word(defaultPair(place).certificate)}`,
          `  SSLCertificateKeyFile ${word(defaultPair(place).key)}`,
          `  Include ${word(join(place.include, "server.conf"))}`,
          '  RewriteRule "^" "-" [R=404,L]',
          "</VirtualHost>",
        ]),
  ];
}

const SERVER: readonly string[] = [
  "ServerSignature Off",
  "FileETag MTime Size",
  "MaxRanges 1",
  "AddCharset utf-8 .css .csv .ics .js .mjs .txt .xml",
  "RequestHeader unset Proxy early",
  ...DISABLED_DIRECTIVES,
  '<Location "/.well-known/acme-challenge/">',
  "  AuthType None",
  "  AuthMerging Off",
  "  Require all granted",
  "</Location>",
  "RewriteEngine On",
  `RewriteRule "^/\\.well-known/acme-challenge/" "-" [END]`,
  `RewriteRule "^${PHP_MARKER_PATH.replaceAll(".", "\\.")}$" "-" [END]`,
  'SetEnvIf Authorization "(.+)" HTTP_AUTHORIZATION=$1',
];

const DENY: readonly string[] = DENIED_ANYWHERE.map(
  ({ pattern, anyCase }) => `RewriteRule ${rewriteWord(pattern)} "-" [${anyCase ? "NC," : ""}R=404,L]`,
);

const TLS: readonly string[] = [
  "SSLEngine on",
  "SSLProtocol -all +TLSv1.2 +TLSv1.3",
  "SSLCipherSuite ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305",
  "SSLHonorCipherOrder off",
  "SSLSessionTickets off",
  "SSLStrictSNIVHostCheck on",
  "<IfModule http2_module>",
  "  Protocols h2 http/1.1",
  "</IfModule>",
];
