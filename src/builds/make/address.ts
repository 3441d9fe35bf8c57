import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import { isHttp } from "./includes.js";
import type { Mark } from "./php-value.js";

/** Where a download, patch or repository is: on this machine or behind a URL. */
export type Address = { readonly path: string } | { readonly url: string };

/** A URL as it may be shown: without user and password (ssh: without password), and without the tokens of a query. */
export function shown(address: string): string {
  const bare = address.replace(/^(ssh:\/\/[^/@:\s]*):[^/@\s]*@/i, "$1@").replace(/^((?!ssh:)[a-z][a-z0-9+.-]*:\/\/)[^/\s]*@/i, "$1");
  return bare.replace(/([?&][^=&#]*(?:token|key|secret|password|signature|auth)[^=&#]*=)[^&#]*/gi, "$1***");
}

/**
 * A path in a make file is relative to the file that says it; for an included file also to the one that included it
 * (drush knows only the latter, make.md 2.7).
 *
 * @throws ProvisionError INVALID_FILE for schemes that are not fetched
 */
export function addressOf(text: string, mark: Mark | undefined, mainFile: string): Address {
  if (isHttp(text)) return { url: new URL(text).href };
  if (text.startsWith("-") || text.includes("\0") || text.includes("\n"))
    throw refused(text, "it could be taken for an option or breaks off");
  if (/^file:\/\//i.test(text)) return { path: fromFileUrl(text) };
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1];
  if (scheme !== undefined) throw refused(text, `${scheme}: is not fetched; use http, https, file or a path`);
  const bases = [mark?.file, mainFile].filter((file): file is string => file !== undefined);
  const remote = bases.find(isHttp);
  if (remote !== undefined && !text.startsWith("/")) return { url: new URL(text, remote).href };
  const paths = bases.map((file) => resolve(dirname(file), text));
  return { path: paths.find((path) => existsSync(path)) ?? paths[0] ?? resolve(text) };
}

function fromFileUrl(text: string): string {
  const path = text.replace(/^file:\/\/(?:localhost(?=\/))?/i, "");
  if (!path.startsWith("/")) throw refused(text, "a file URL needs an absolute path: file:///srv/code");
  try {
    return resolve(decodeURIComponent(path));
  } catch {
    return resolve(path);
  }
}

function refused(text: string, why: string): ProvisionError {
  return new ProvisionError("INVALID_FILE", `the address ${JSON.stringify(shown(text))} is refused: ${why}`);
}

/** The origin and every mirror that stands for it, in the order in which they are tried: the longest prefix first. */
export function withMirrors(url: string, mirrors: Readonly<Record<string, string>>): Address[] {
  const found: Address[] = [];
  const prefixes = Object.keys(mirrors).filter((prefix) => covers(prefix, url));
  for (const prefix of prefixes.sort((a, b) => b.length - a.length)) {
    const target = mirrors[prefix] as string;
    const rest = url.slice(prefix.length).replace(/^\/+/, "");
    if (isHttp(target)) return [...found, { url: rest === "" ? target : `${target.replace(/\/+$/, "")}/${rest}` }];
    const directory = resolve(target.replace(/^file:\/\//, ""));
    const path = join(directory, decoded(rest.split(/[?#]/, 1)[0] ?? ""));
    if (path === directory || path.startsWith(`${directory}/`)) found.push({ path });
  }
  return [...found, { url }];
}

/** A prefix ends at a border of the URL: `https://a.org/x` is none of `https://a.org/xy`. */
function covers(prefix: string, url: string): boolean {
  if (!url.startsWith(prefix)) return false;
  const next = url[prefix.length];
  return next === undefined || prefix.endsWith("/") || prefix.endsWith(":") || /[/?#]/.test(next);
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
