import { dirname, resolve } from "node:path";
import { messageOf, ProvisionError } from "../../core/errors.js";
import type { Diagnostics } from "./diagnostic.js";
import { normalizeProjects } from "./document.js";
import { type MakeFormat, parseMakeFile } from "./make-file.js";
import { isTruthy, type Mark, PhpArray, type PhpValue, phpText, replaceRecursive } from "./php-value.js";

/** How the text of make files is reached. Without `fetch` and `checkout` includes from elsewhere are left out and reported. */
export interface MakeFileAccess {
  /** `undefined` when absent. */
  readText(path: string): Promise<string | undefined>;
  /** Text behind an http or https URL. */
  fetch?(url: string): Promise<string>;
  /** A directory with the tree of a git repository at the version that `download` names. */
  checkout?(download: PhpArray, mark: Mark | undefined): Promise<string>;
}

export interface MergeOptions {
  /** As if the file named these too, after its own. */
  readonly includes?: readonly string[];
  readonly overrides?: readonly string[];
}

export interface MergedMakeFile {
  readonly format: MakeFormat;
  /** The file alone, as drush reads it. */
  readonly parsed: PhpArray;
  /** With includes and overrides, before validation. */
  readonly merged: PhpArray;
}

/**
 * Reads a make file with its includes: what the file says wins over what it includes, an earlier include over a
 * later one, an override over all (drush: `make_parse_info_file`). Arrays are merged key by key, lists by index.
 *
 * @throws ProvisionError INVALID_FILE for text that cannot be read
 */
export async function readMerged(
  source: { readonly file: string; readonly text: string },
  access: MakeFileAccess,
  diagnostics: Diagnostics,
  options: MergeOptions = {},
  stack: readonly string[] = [],
): Promise<MergedMakeFile> {
  const { file, text } = source;
  const { format, parsed } = parseMakeFile(text, file, diagnostics);
  let info = parsed.copy();
  const read = async (reference: Reference) => {
    const found = await locate(reference, file, access, diagnostics);
    if (!found) return undefined;
    if (stack.includes(found.file) || found.file === file) {
      diagnostics.error(
        "include/cycle",
        reference.mark ?? file,
        `${found.file} includes itself: ${[...stack, file, found.file].join(" → ")}`,
      );
      return undefined;
    }
    return (await readMerged(found, access, diagnostics, {}, [...stack, file])).merged;
  };
  const includes = takeList(info, "includes", options.includes);
  normalizeProjects(info);
  for (const reference of includes) {
    const included = await read(reference);
    if (!included) continue;
    info = replaceRecursive(included, info);
    normalizeProjects(info);
  }
  for (const reference of takeList(info, "overrides", options.overrides)) {
    const override = await read(reference);
    if (!override) continue;
    info = replaceRecursive(info, override);
    normalizeProjects(info);
  }
  return { format, parsed, merged: info };
}

interface Reference {
  readonly value: PhpValue;
  readonly mark: Mark | undefined;
}

/** The list is left empty in its place, as drush leaves it. */
function takeList(info: PhpArray, key: "includes" | "overrides", given: readonly string[] = []): Reference[] {
  const list = info.get(key);
  const own = list instanceof PhpArray ? list.entries().map(([name, value]): Reference => ({ value, mark: list.mark(name) })) : [];
  if (list !== undefined || given.length > 0) info.set(key, new PhpArray(), info.mark(key));
  const texts = new Set(own.map((reference) => reference.value));
  return [...own, ...given.filter((path) => !texts.has(path)).map((path): Reference => ({ value: path, mark: undefined }))];
}

async function locate({ value, mark }: Reference, from: string, access: MakeFileAccess, diagnostics: Diagnostics) {
  if (!isTruthy(value)) return undefined;
  try {
    if (value instanceof PhpArray) return await locateInGit(value, mark, access, diagnostics, from);
    const name = phpText(value);
    if (isHttp(name)) return await fetched(name, mark, access, diagnostics, from);
    for (const path of candidates(name, from)) {
      const text = isHttp(path) ? await access.fetch?.(path) : await access.readText(path);
      if (text !== undefined) return { file: path, text };
    }
    diagnostics.error("include/missing", mark ?? from, `Include file missing: ${name}`);
  } catch (error) {
    const why = error instanceof ProvisionError && error.why.length > 0 ? ` (${error.why.join("; ")})` : "";
    diagnostics.error("include/unreachable", mark ?? from, `an include cannot be read: ${messageOf(error)}${why}`);
  }
  return undefined;
}

async function fetched(url: string, mark: Mark | undefined, access: MakeFileAccess, diagnostics: Diagnostics, from: string) {
  if (access.fetch) return { file: url, text: await access.fetch(url) };
  diagnostics.warn("include/not-read", mark ?? from, `${url} is elsewhere and was not read: what it says is not looked at`);
  return undefined;
}

/** `includes[x][makefile]` names a file in the repository of `includes[x][download]`; always git, whatever type it says. */
async function locateInGit(include: PhpArray, mark: Mark | undefined, access: MakeFileAccess, diagnostics: Diagnostics, from: string) {
  const makefile = phpText(include.get("makefile"));
  const download = include.get("download");
  if (makefile === "" || !(download instanceof PhpArray)) {
    diagnostics.error("include/form", mark ?? from, "an include is a path, a URL, or a map of `makefile` and `download`");
    return undefined;
  }
  if (!access.checkout) {
    diagnostics.warn(
      "include/not-read",
      mark ?? from,
      `${makefile} of ${phpText(download.get("url"))} is elsewhere and was not read: what it says is not looked at`,
    );
    return undefined;
  }
  const directory = await access.checkout(download, mark);
  const file = resolve(directory, makefile);
  const text = file.startsWith(`${directory}/`) ? await access.readText(file) : undefined;
  if (text !== undefined) return { file, text };
  diagnostics.error("include/missing", mark ?? from, `Include file missing: ${makefile} in ${phpText(download.get("url"))}`);
  return undefined;
}

export function isHttp(reference: string): boolean {
  return /^https?:\/\//i.test(reference);
}

/** Relative to the file that says it, and then, as drush has it, to the working directory. */
function candidates(name: string, from: string): string[] {
  if (isHttp(from)) return [new URL(name, from).href];
  const local = name.replace(/^file:\/\//, "");
  return [...new Set([resolve(dirname(from), local), resolve(local)])];
}
