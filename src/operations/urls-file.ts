import { readFile } from "node:fs/promises";
import type { Context } from "../context/schema.js";
import { isSystemError, ProvisionError } from "../core/errors.js";
import { splitUri } from "../services/http/routing.js";
import { pathOf } from "./parts/page-text.js";
import { hostsOf } from "./parts/site-pages.js";

/** Paths below the site of a file that has one a line, or a URL of the site; empty lines and those with a `#` at their beginning say nothing. Rejects with FILE_NOT_FOUND, INVALID_FILE. */
export async function urlsFile(path: string, context: Context): Promise<readonly string[]> {
  if (context.context_type !== "site") throw new Error(`${context.name} is no site`);
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (!isSystemError(error, "ENOENT") && !isSystemError(error, "EISDIR")) throw error;
    throw new ProvisionError("FILE_NOT_FOUND", `there is no file ${path}`, { next: ["--urls=pages.txt, with lines like /node/1"] });
  });
  const hosts = hostsOf(context);
  const { prefix } = splitUri(context.uri);
  const wrong: string[] = [];
  const paths = text.split("\n").flatMap((line, index) => {
    const word = line.trim();
    if (word === "" || word.startsWith("#")) return [];
    const own = /[\p{Cc} ]/u.test(word) ? undefined : word.startsWith("/") && !word.startsWith("//") ? word : pathOf(word, hosts, prefix);
    if (own === undefined) wrong.push(`${path}:${index + 1}: ${word.slice(0, 200)} is neither a path nor a URL of ${context.uri}`);
    return own === undefined ? [] : [own];
  });
  if (wrong.length > 0)
    throw new ProvisionError("INVALID_FILE", wrong[0] as string, { why: wrong.slice(1, 10), next: ["lines like /node/1"] });
  if (paths.length === 0) throw new ProvisionError("INVALID_FILE", `${path}: no line has a path`, { next: ["lines like /node/1"] });
  return [...new Set(paths)];
}
