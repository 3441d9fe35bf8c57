import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { PACKAGE_ROOT } from "../core/package-root.js";
import type { Host } from "../host/host.js";

/** Where the PHP scripts of the engines stand on the hub. */
export const SCRIPTS = join(PACKAGE_ROOT, "src/engines");

/** Written last: what has it is whole. */
const COMPLETE = "complete";

let found: { readonly hash: string; readonly files: ReadonlyMap<string, string> } | undefined;

/** All of them, for they include each other; the hash is that of their names and texts. */
function packed() {
  if (found) return found;
  const files = new Map<string, string>();
  for (const entry of readdirSync(SCRIPTS, { recursive: true, encoding: "utf8" }).sort())
    if (entry.endsWith(".php")) files.set(entry, readFileSync(join(SCRIPTS, entry), "utf8"));
  const hash = createHash("sha256");
  for (const [name, text] of files) hash.update(`${name}\0${text}\0`);
  found = { hash: hash.digest("hex").slice(0, 16), files };
  return found;
}

/** The directory below `state` (of another machine) that holds the scripts of this version; nobody else writes there. */
export function scriptsDirectory(state: string): string {
  return join(state, "scripts", packed().hash);
}

export async function haveScripts(host: Host, state: string): Promise<boolean> {
  return (await host.stat(join(scriptsDirectory(state), COMPLETE))) !== undefined;
}

/** Brings the scripts to another machine, where PHP runs them. By content: two versions of provision do not meet. Out: their directory. */
export async function bringScripts(host: Host, state: string): Promise<string> {
  const directory = scriptsDirectory(state);
  if (await haveScripts(host, state)) return directory;
  const made = new Set<string>();
  for (const [name, text] of packed().files) {
    const path = join(directory, name);
    if (!made.has(dirname(path))) await host.mkdir(dirname(path));
    made.add(dirname(path));
    await host.writeFile(path, text, { mode: 0o644 });
  }
  await host.writeFile(join(directory, COMPLETE), "");
  return directory;
}
