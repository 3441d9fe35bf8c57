import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

/**
 * What a platform's code hashes to, by its parts: the first two directories of a path, or three below a `sites/`. So that
 * two trees can be compared, and what differs has a name.
 */
export type TreeHashes = Readonly<Record<string, string>>;

/**
 * Names, contents, links and whether a file may be run; neither times nor owners. `.git` is left out: git writes in there when
 * it only looks. The same tree gives the same hashes on every machine.
 */
export async function treeHashes(root: string): Promise<TreeHashes> {
  const lines = new Map<string, string[]>();
  const visit = async (path: string): Promise<void> => {
    for (const name of (await readdir(join(root, path))).sort()) {
      if (name === ".git") continue;
      const child = path === "" ? name : `${path}/${name}`;
      const stat = await lstat(join(root, child));
      const part = partOf(child);
      const own = lines.get(part) ?? [];
      lines.set(part, own);
      if (stat.isDirectory()) {
        own.push(`directory ${child}`);
        await visit(child);
      } else if (stat.isSymbolicLink()) own.push(`link ${child} ${await readlink(join(root, child))}`);
      else own.push(`file ${child} ${(stat.mode & 0o100) === 0 ? "-" : "x"} ${await contentHash(join(root, child))}`);
    }
  };
  await visit("");
  return Object.fromEntries([...lines].map(([part, of]) => [part, hash(of.join("\n"))]).sort(([a = ""], [b = ""]) => (a < b ? -1 : 1)));
}

/** One hash of the whole tree. */
export function treeHash(parts: TreeHashes): string {
  return hash(
    Object.entries(parts)
      .map(([part, of]) => `${part} ${of}`)
      .join("\n"),
  );
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

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

async function contentHash(path: string): Promise<string> {
  const found = createHash("sha256");
  await pipeline(createReadStream(path), found);
  return found.digest("hex");
}
