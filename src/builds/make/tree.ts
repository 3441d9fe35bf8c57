import { chmodSync, lstatSync, readdirSync, realpathSync } from "node:fs";
import { readlink, realpath, rm } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { isSystemError, ProvisionError } from "../../core/errors.js";
import { Turn } from "./slots.js";

export interface TreeLimits {
  readonly entries: number;
  /** Of all files together. */
  readonly bytes: number;
}

export const TREE_LIMITS: TreeLimits = { entries: 500_000, bytes: 8 * 1024 ** 3 };

/**
 * Goes over a tree that came from outside and makes it fit for a platform: directories 0755, files 0644 or (when the
 * owner may run them) 0755, nothing setuid or writable by others. Refuses devices, pipes and sockets, links that
 * leave the tree, and more than the limits. A `.git` is taken away, since its configuration may name programs to run;
 * with `keepGit` it is a working copy that we made ourselves.
 *
 * @throws ProvisionError BUILD_FAILED naming the entry, STOPPED
 */
export async function tameTree(root: string, limits: TreeLimits = TREE_LIMITS, keepGit = false, signal?: AbortSignal): Promise<void> {
  const real = realpathSync(root);
  const seen = { entries: 0, bytes: 0 };
  const links: string[] = [];
  const turn = new Turn(signal);
  const visit = async (directory: string): Promise<void> => {
    chmodIfOther(directory, lstatSync(directory).mode, 0o755);
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      const stat = lstatSync(path);
      if (++seen.entries > limits.entries) throw refused(`it holds more than ${limits.entries} entries`);
      if (name === ".git") {
        if (!keepGit) await rm(path, { recursive: true, force: true });
      } else if (stat.isDirectory()) await visit(path);
      else if (stat.isSymbolicLink()) links.push(path);
      else if (!stat.isFile()) throw refused(`${relative(real, path)} is no file, directory or link (a device, pipe or socket)`);
      else {
        seen.bytes += stat.size;
        if (seen.bytes > limits.bytes) throw refused(`its files are larger than ${Math.round(limits.bytes / 1024 ** 2)} MiB together`);
        chmodIfOther(path, stat.mode, (stat.mode & 0o100) === 0 ? 0o644 : 0o755);
      }
      if (turn.over) await turn.pass();
    }
  };
  await visit(real);
  for (const link of links) await checkLink(real, link);
}

function chmodIfOther(path: string, mode: number, wanted: number): void {
  if ((mode & 0o7777) !== wanted) chmodSync(path, wanted);
}

/**
 * Only `..` at the start can leave: links are not followed on the way down, so the directory that holds one is where
 * it seems to be, and every further link on the way is checked itself.
 */
async function checkLink(root: string, link: string): Promise<void> {
  const target = await readlink(link);
  const name = relative(root, link);
  if (target.startsWith("/")) throw refused(`the link ${name} points to the absolute path ${target}`);
  const parts = target.split("/").filter((part) => part !== "" && part !== ".");
  const up = parts.findIndex((part) => part !== "..");
  const climbs = up === -1 ? parts.length : up;
  const depth = relative(root, dirname(link))
    .split("/")
    .filter((part) => part !== "").length;
  if (climbs > depth || parts.slice(climbs).includes("..")) throw refused(`the link ${name} points out of its tree: ${target}`);
  const resolved = await realOrUndefined(link);
  if (resolved !== undefined && resolved !== root && !resolved.startsWith(`${root}/`))
    throw refused(`the link ${name} points out of its tree: ${target}`);
}

/** A link to nothing is harmless, and in some real archives. */
async function realOrUndefined(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (isSystemError(error, "ENOENT") || isSystemError(error, "ENOTDIR")) return undefined;
    if (isSystemError(error, "ELOOP")) throw refused(`the link ${path} leads round in a circle`);
    throw error;
  }
}

function refused(why: string): ProvisionError {
  return new ProvisionError("BUILD_FAILED", `what was fetched is refused: ${why}`);
}
