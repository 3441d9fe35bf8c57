import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isSystemError } from "../../core/errors.js";

/** Where a repository on this machine keeps objects and refs; `undefined` when it keeps them otherwise than most do (a worktree's `.git` file). */
export function gitDirectory(path: string): string | undefined {
  return [join(path, ".git"), path, `${path}.git`].find(
    (directory) =>
      existsSync(join(directory, "objects")) && existsSync(join(directory, "HEAD")) && !existsSync(join(directory, "commondir")),
  );
}

/** By SHA-1, or by SHA-256. */
const OBJECT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/**
 * The object that a full name of a ref (`refs/tags/1.0`, `HEAD`) stands for, read from its files without starting git; an
 * annotated tag is not followed. `undefined` for one that is not there, or kept in another way: then git has to be asked.
 */
export function refIn(repository: string, name: string): string | undefined {
  for (let ref = name, hop = 0; hop < 5; hop++) {
    const text = textOf(join(repository, ref))?.trim();
    const next = /^ref: (refs\/\S+)$/.exec(text ?? "")?.[1];
    if (next !== undefined && !next.split("/").includes("..")) {
      ref = next;
      continue;
    }
    if (text !== undefined) return OBJECT.test(text) ? text : undefined;
    const packed = textOf(join(repository, "packed-refs"))?.split("\n") ?? [];
    const [id] = packed.find((line) => line.endsWith(` ${ref}`))?.split(" ") ?? [];
    return id !== undefined && OBJECT.test(id) ? id : undefined;
  }
  return undefined;
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isSystemError(error)) return undefined;
    throw error;
  }
}
