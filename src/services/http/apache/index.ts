import { join } from "node:path";
import type { Argv } from "../../../host/host.js";
import type { Daemon } from "../daemon/daemon.js";
import type { Place } from "../daemon/place.js";
import type { ConfigFile } from "../service.js";
import { word } from "./quote.js";
import { defaultPair, generationFile, serverFiles } from "./server.js";
import { noSiteFiles, siteFiles } from "./site.js";

export const apache: Daemon = {
  type: "apache",
  label: "Apache",
  package: "apache2",
  programs: ["apache2ctl", "apachectl"],
  versionArgument: "-v",
  leavesWorkers: false,
  test: (program) => [program, "-t"],
  reload: (program) => [program, "graceful"],
  include: (place) =>
    `as root: a2enmod rewrite headers proxy_fcgi alias mime authz_host auth_basic authn_file ssl http2; echo 'Include ${word(place.top)}' > /etc/apache2/conf-enabled/provision.conf; apache2ctl restart`,
  defaultCertificate: (place) => (place.tlsPort === undefined ? undefined : defaultPair(place)),
  serverFiles,
  generationFile,
  environmentLine: (name, value) => `SetEnv ${word(name)} ${word(value)}`,
  siteFiles,
  noSiteFiles,
  candidate,
  unavailable,
  advice,
};

/** The server's own configuration with other vhosts: the top file includes those of the candidate when that is defined. */
function candidate(place: Place, _facts: unknown, files: readonly ConfigFile[], test: Argv): { files: readonly ConfigFile[]; test: Argv } {
  return {
    files: [
      { path: join(place.candidate, "vhost.d", "none"), content: "" },
      ...files.map(({ path, content }) => ({ path: path.replace(place.root, place.candidate), content })),
    ],
    test: [...test, "-D", "PROVISION_CANDIDATE"],
  };
}

function unavailable(place: Place, text: string): string | undefined {
  const [header = ""] = text.split("\n");
  const names = [...new Set([...text.matchAll(/^ {2}Server(?:Name|Alias) .+$/gm)].map(([line]) => line))];
  if (!header.startsWith("# Written by provision for ") || names.length === 0) return undefined;
  return [
    header,
    "# Its own configuration did not pass Apache's test and stands beside this file.",
    `<VirtualHost *:${place.port}>`,
    ...names,
    `  Include ${word(join(place.include, "server.conf"))}`,
    '  RewriteRule "^" "-" [R=503,L]',
    "</VirtualHost>",
    "",
  ].join("\n");
}

function advice(output: string): readonly string[] {
  const module: Readonly<Record<string, string>> = {
    RewriteEngine: "rewrite",
    RewriteRule: "rewrite",
    Header: "headers",
    RequestHeader: "headers",
    SSLEngine: "ssl",
    AuthUserFile: "authn_file",
    AuthType: "authn_core",
    AddCharset: "mime",
    SetEnvIf: "setenvif",
    Alias: "alias",
  };
  const missing = /Invalid command '(\w+)'/.exec(output)?.[1];
  const name = missing === undefined ? undefined : module[missing];
  return name === undefined ? [] : [`as root: a2enmod ${name}`];
}
