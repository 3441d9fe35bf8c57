import { createHash } from "node:crypto";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { isSystemError } from "../../core/errors.js";
import { hashFile } from "./checksum.js";
import { Slots } from "./slots.js";

const LARGE = 16 * 1024 ** 2;
/** Files and directories open at a time: a Drupal has 30,000 files, and a process may open 1,024. */
const OPEN = 64;

/**
 * sha256 over every path below a directory with its kind, content and whether it may be run; owners, times and other
 * mode bits do not count, so that two machines come to the same. `.git` directories and what `except` names (paths
 * relative to `root`) are left out with all below them.
 *
 * Out: hexadecimal; `undefined` when there is no such directory.
 */
export async function treeHash(root: string, except: (path: string) => boolean = () => false): Promise<string | undefined> {
  const hash = createHash("sha256");
  const slots = new Slots(OPEN);
  const visit = async (directory: string, path: string): Promise<string[]> => {
    const children = await slots.run(() => readdir(directory, { withFileTypes: true }));
    const lines = await Promise.all(
      children.map(async (child) => {
        const name = path === "" ? child.name : `${path}/${child.name}`;
        if (child.name === ".git" || except(name)) return [];
        const full = join(directory, child.name);
        if (child.isDirectory()) return [`d ${name}`, ...(await visit(full, name))];
        if (child.isSymbolicLink()) return [`l ${name}\0${await readlink(full)}`];
        if (!child.isFile()) return [`? ${name}`];
        const { mode, size } = await lstat(full);
        return [`${(mode & 0o100) === 0 ? "f" : "x"} ${name}\0${await slots.run(() => contentHash(full, size))}`];
      }),
    );
    return lines.flat();
  };
  try {
    for (const line of (await visit(root, "")).sort()) hash.update(`${line}\n`);
  } catch (error) {
    if (isSystemError(error, "ENOENT") || isSystemError(error, "ENOTDIR")) return undefined;
    throw error;
  }
  return hash.digest("hex");
}

async function contentHash(path: string, size: number): Promise<string> {
  if (size > LARGE) return hashFile(path, "sha256");
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}
