import { createHash } from "node:crypto";
import { join } from "node:path";
import { siteName } from "../../../context/names.js";
import type { ConfigFile, Vhost } from "../service.js";

/**
 * The files that router.php reads: one per host name below `vhost.d/`, so that a request finds its site by
 * opening one file and never by reading a directory. The name of a site holds its vhost, that of an alias
 * only points to the site.
 */

/** Longest name that is also a file name: 255 bytes, less what is put beside it while it is written. */
const LONGEST = 200;

/** What the file of an alias holds. */
export interface AliasFile {
  readonly alias_of: string;
}

/**
 * `example.com` → `example.com.json`, `example.com/foo` → `example.com.foo.json`, `*.example.com` → `_.example.com.json`
 * (`_` is no host label, so this is nobody else's). router.php makes the same names.
 */
export function vhostFile(name: string): string {
  const plain = siteName(name).replace(/^\*\./, "_.");
  if (plain.length <= LONGEST) return `${plain}.json`;
  return `${plain.slice(0, 150)}~${createHash("sha256").update(plain).digest("hex").slice(0, 16)}.json`;
}

/** Files of one site; the same vhost gives the same bytes. */
export function siteFiles(directory: string, vhost: Vhost): readonly ConfigFile[] {
  const site = {
    uri: vhost.uri,
    aliases: vhost.aliases,
    redirection: vhost.redirection ?? null,
    enabled: vhost.enabled,
    docroot: vhost.docroot,
    directory: vhost.directory,
    generation: vhost.generation,
    files: vhost.files,
    private: vhost.private,
    frontControllers: vhost.frontControllers,
    php: vhost.php,
  };
  const aliases = [...new Set(vhost.aliases)].filter((alias) => alias !== vhost.uri).sort();
  return [
    { path: join(directory, vhostFile(vhost.uri)), content: text(site) },
    ...aliases.map((alias) => ({
      path: join(directory, vhostFile(alias)),
      content: text({ alias_of: vhost.uri } satisfies AliasFile),
    })),
  ];
}

/** The same paths without content. */
export function noSiteFiles(directory: string, names: readonly string[]): readonly ConfigFile[] {
  return [...new Set(names)].map((name) => ({ path: join(directory, vhostFile(name)), content: undefined }));
}

/** The hash by which the daemon proves what it read. */
export function hashOf(content: string): string {
  return createHash("sha256").update(content).digest("hex");
}

function text(data: object): string {
  return `${JSON.stringify(data, undefined, 2)}\n`;
}
