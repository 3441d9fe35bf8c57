import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isSystemError } from "../../../core/errors.js";
import type { Vhost } from "../service.js";
import { type AliasFile, vhostFile } from "./vhost-files.js";

/**
 * Finds the site of a request, for the one thing that must be known before PHP is asked: which PHP.
 * router.php finds it again by the same rules and decides everything else.
 */

type SiteFile = Pick<Vhost, "uri" | "php">;

/** Host name without port and trailing dot, lower case; undefined when it is none. */
export function hostName(header: string | undefined): string | undefined {
  const found = /^((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.?(?::\d{1,5})?$/.exec(
    (header ?? "").toLowerCase(),
  );
  return found?.[1] !== undefined && found[1].length <= 253 ? found[1] : undefined;
}

/** PHP of the site that answers for host and path (encoded, with query); undefined when none does. Rejects when a vhost file cannot be read. */
export async function phpOf(directory: string, host: string, path: string): Promise<string | undefined> {
  const ofHost = await find(directory, host);
  const segment = /^\/([a-z0-9][a-z0-9._-]*)(?:[/?]|$)/.exec(path)?.[1];
  if (segment !== undefined) {
    for (const parent of new Set([host, ...(ofHost && !ofHost.uri.includes("/") ? [ofHost.uri] : [])])) {
      const below = await read(directory, `${parent}.${segment}`);
      if (below?.uri === `${parent}/${segment}`) return below.php;
    }
  }
  return ofHost?.php;
}

/** PHP of the site whose vhost file (its own or an alias's) has this name in `vhost.d/`. */
export async function phpOfFile(directory: string, file: string): Promise<string | undefined> {
  return (await readSite(join(directory, file), directory))?.php;
}

async function find(directory: string, host: string): Promise<SiteFile | undefined> {
  const labels = host.split(".");
  const names = [host, ...labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join(".")}`)];
  for (const name of names) {
    const site = await read(directory, name);
    // example.com.foo as a host name is not example.com/foo
    if (site && !(site.uri.includes("/") && site.uri.replace("/", ".") === name)) return site;
  }
  return undefined;
}

function read(directory: string, name: string): Promise<SiteFile | undefined> {
  return readSite(join(directory, vhostFile(name)), directory);
}

async function readSite(path: string, directory: string): Promise<SiteFile | undefined> {
  const data = await readJson(path);
  if (data === undefined || "uri" in data) return data;
  const target = await readJson(join(directory, vhostFile(data.alias_of)));
  return target !== undefined && "uri" in target ? target : undefined;
}

async function readJson(path: string): Promise<SiteFile | AliasFile | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as SiteFile | AliasFile;
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return undefined;
    throw error;
  }
}
