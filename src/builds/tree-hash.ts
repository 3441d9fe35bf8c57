import { createHash, type Hash } from "node:crypto";
import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { isSystemError } from "../core/errors.js";
import { hashFile } from "./make/checksum.js";
import { Turn } from "./make/slots.js";

/**
 * What a platform's code hashes to, by its parts: the first two directories of a path, or three below a `sites/`. So that
 * two trees can be compared, and what differs has a name.
 */
export type TreeHashes = Readonly<Record<string, string>>;

/**
 * sha256 over every path below a directory with its kind, content or target, and whether a file may be run; owners, times and
 * other mode bits do not count, so that two machines come to the same. `.git` is left out, since git writes in there when it
 * only looks; so is what `except` names (paths relative to `root`), with all below it.
 *
 * Out: hexadecimal; `undefined` when there is no such directory.
 */
export async function treeHash(root: string, except: (path: string) => boolean = () => false): Promise<string | undefined> {
  try {
    const hash = createHash("sha256");
    for (const { record } of await recordsOf(root, except)) hash.update(record);
    return hash.digest("hex");
  } catch (error) {
    if (isSystemError(error, "ENOENT") || isSystemError(error, "ENOTDIR")) return undefined;
    throw error;
  }
}

/** treeHash() of a directory that is there, and the hash of each of its parts. */
export async function treeHashes(root: string): Promise<{ readonly tree: string; readonly parts: TreeHashes }> {
  const whole = createHash("sha256");
  const parts = new Map<string, Hash>();
  for (const { path, record } of await recordsOf(root, () => false)) {
    whole.update(record);
    const part = parts.get(partOf(path)) ?? createHash("sha256");
    parts.set(partOf(path), part.update(record));
  }
  const sorted = [...parts].sort(([a], [b]) => (a < b ? -1 : 1));
  return { tree: whole.digest("hex"), parts: Object.fromEntries(sorted.map(([part, hash]) => [part, hash.digest("hex")])) };
}

/**
 * Parts that are not as they were built. Below `sites/` new directories and sites.php belong to sites, and are no change
 * of the platform.
 */
export function changedParts(built: TreeHashes, now: TreeHashes, ignored: (part: string) => boolean): readonly string[] {
  return [...new Set([...Object.keys(built), ...Object.keys(now)])]
    .filter((part) => built[part] !== now[part] && !(built[part] === undefined && ignored(part)))
    .sort();
}

function partOf(path: string): string {
  const names = path.split("/");
  const sites = names.slice(0, 2).indexOf("sites");
  return names.slice(0, sites === -1 ? 2 : sites + 2).join("/");
}

/** One record an entry, sorted by path; its fields end with a zero byte, which no name and no target can hold. */
async function recordsOf(root: string, except: (path: string) => boolean): Promise<{ path: string; record: string }[]> {
  const records: { path: string; record: string }[] = [];
  const turn = new Turn(undefined);
  const visit = async (directory: string): Promise<void> => {
    for (const name of readdirSync(join(root, directory))) {
      const path = directory === "" ? name : `${directory}/${name}`;
      if (name === ".git" || except(path)) continue;
      const full = join(root, path);
      const stat = lstatSync(full);
      const add = (kind: string, what: string) => void records.push({ path, record: `${kind} ${path}\0${what}\0` });
      if (stat.isDirectory()) {
        add("directory", "");
        await visit(path);
      } else if (stat.isSymbolicLink()) add("link", readlinkSync(full));
      else if (!stat.isFile()) add("other", "");
      else add((stat.mode & 0o100) === 0 ? "file" : "program", await hashFile(full, "sha256"));
      if (turn.over) await turn.pass();
    }
  };
  await visit("");
  return records.sort((a, b) => (a.path < b.path ? -1 : 1));
}
