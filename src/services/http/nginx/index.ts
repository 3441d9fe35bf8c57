import { join } from "node:path";
import type { Argv } from "../../../host/host.js";
import type { Daemon, Facts } from "../daemon/daemon.js";
import type { Place } from "../daemon/place.js";
import { DISABLED_PAGE, RETRY_AFTER } from "../routing.js";
import type { ConfigFile } from "../service.js";
import { word } from "./quote.js";
import { generationFile, serverFiles } from "./server.js";
import { noSiteFiles, siteFiles } from "./site.js";

export const nginx: Daemon = {
  type: "nginx",
  label: "nginx",
  package: "nginx",
  programs: ["nginx"],
  versionArgument: "-v",
  leavesWorkers: true,
  test: (program) => [program, "-t"],
  reload: (program) => [program, "-s", "reload"],
  include: (place) =>
    `as root: echo 'include ${word(place.top)};' > /etc/nginx/conf.d/provision.conf; rm -f /etc/nginx/sites-enabled/default`,
  // It refuses the handshake.
  defaultCertificate: () => undefined,
  serverFiles,
  generationFile,
  environmentLine: (name, value) => `fastcgi_param ${word(name)} ${word(value)};`,
  siteFiles,
  noSiteFiles: (place, _aliases, uri) => noSiteFiles(place, uri),
  candidate,
  unavailable,
  advice,
};

/**
 * A main file of its own, read by nginx as the user that provision is: its ports are replaced by ones that anybody may open, and what it
 * would write stands beside it.
 */
function candidate(place: Place, facts: Facts, files: readonly ConfigFile[]): { files: readonly ConfigFile[]; test: Argv } {
  const within = (...parts: readonly string[]) => join(place.candidate, ...parts);
  const moved = (text: string) =>
    text
      .replaceAll(join(place.include, "listen"), within("listen"))
      .replaceAll(`${place.subdirs}/`, `${within("subdir.d")}/`)
      .replaceAll(`${place.logs}/`, `${within("log")}/`);
  const main = [
    `pid ${word(within("nginx.pid"))};`,
    "error_log stderr;",
    "include /etc/nginx/modules-enabled/*.conf;",
    "events { }",
    "http {",
    ...["client_body", "fastcgi", "proxy", "scgi", "uwsgi"].map((kind) => `  ${kind}_temp_path ${word(within(kind))};`),
    "  access_log off;",
    `  include ${word(join(place.include, "http.conf"))};`,
    ...[place.before, place.platforms].map((directory) => `  include ${word(join(directory, "*.conf"))};`),
    `  include ${word(within("vhost.d", "*.conf"))};`,
    "}",
    "",
  ].join("\n");
  return {
    files: [
      { path: within("nginx.conf"), content: main },
      { path: within("listen.conf"), content: "listen 127.0.0.1:20080;\n" },
      { path: within("listen-tls.conf"), content: "listen 127.0.0.1:20443 ssl;\n" },
      { path: within("log", "none"), content: "" },
      ...files.map(({ path, content }) => ({
        path: path.replace(place.root, place.candidate),
        content: content === undefined ? undefined : moved(content),
      })),
    ],
    test: [facts.program, "-t", "-q", "-c", within("nginx.conf")],
  };
}

function unavailable(place: Place, text: string): string | undefined {
  const [header = ""] = text.split("\n");
  const names = /^ {2}server_name (.+);$/m.exec(text)?.[1];
  if (!header.startsWith("# Written by provision for ") || names === undefined) return undefined;
  return [
    header,
    "# Its own configuration did not pass nginx's test and stands beside this file.",
    "server {",
    `  include ${word(join(place.include, "listen.conf"))};`,
    `  server_name ${names};`,
    `  include ${word(join(place.include, "server.conf"))};`,
    `  location / { default_type text/html; add_header Retry-After ${RETRY_AFTER} always; add_header Cache-Control no-store always; return 503 ${word(DISABLED_PAGE)}; }`,
    "}",
    "",
  ].join("\n");
}

function advice(output: string, place: Place): readonly string[] {
  if (/duplicate default server/.test(output))
    return ["another file has a default_server on this port; Debian's is /etc/nginx/sites-enabled/default: remove it"];
  const twice = /"(server_names_hash_\w+|variables_hash_\w+)" directive is duplicate/.exec(output)?.[1];
  if (twice !== undefined) return [`take ${twice} out of nginx.conf: ${join(place.include, "http.conf")} sets it`];
  return [];
}
