import { existsSync } from "node:fs";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import { type Address, addressOf, shown } from "./address.js";
import { type Checksums, checksumsOf } from "./checksum.js";
import { isTruthy, type Mark, PhpArray, type PhpValue, phpText } from "./php-value.js";

/** One patch as a make file names it. */
export interface PatchRequest {
  /** As it goes into PATCHES.txt: the URL, or the name of a local file. */
  readonly name: string;
  readonly address: Address;
  readonly checksums: Checksums;
}

/** A list or map of texts, of `{url, md5…}`, or one text (which drush passes over). */
export function patchesOf(attributes: PhpArray, mainFile: string): PatchRequest[] {
  const value = attributes.get("patch");
  if (!isTruthy(value)) return [];
  const items: [PhpValue, Mark | undefined][] =
    value instanceof PhpArray && !value.has("url")
      ? value.entries().map(([key, item]) => [item, value.mark(key)])
      : [[value as PhpValue, attributes.mark("patch")]];
  return items.filter(([item]) => isTruthy(item)).map(([item, mark]) => patchRequest(item, mark, mainFile));
}

function patchRequest(item: PhpValue, mark: Mark | undefined, mainFile: string): PatchRequest {
  const text = phpText(item instanceof PhpArray ? item.get("url") : item).trim();
  if (text === "") throw new ProvisionError("PATCH_FAILED", "a patch has no url");
  const address = addressOf(text, item instanceof PhpArray ? (item.mark("url") ?? mark) : mark, mainFile);
  return { name: "path" in address ? basename(address.path) : shown(text), address, checksums: checksumsOf(item) };
}

/**
 * Applies one patch to the tree in `directory`: `git apply -p1`, `-p0`, then patch(1) with both, never with fuzz. Each is
 * tried without changing anything first, so that a patch that fails leaves the tree as it was.
 *
 * @throws ProvisionError PATCH_FAILED with what each said
 */
export async function applyPatch(host: Host, directory: string, file: string, name: string): Promise<void> {
  const said: string[] = [];
  for (const level of ["-p1", "-p0"]) {
    const argv = ["git", "--git-dir=/dev/null", "apply", "--whitespace=nowarn"] as const;
    const check = await host.run([...argv, "--check", level, "--", file], { cwd: directory, anyExit: true, env: GIT });
    if (check.code === 0) {
      await host.run([...argv, level, "--", file], { cwd: directory, env: GIT });
      return;
    }
    said.push(...firstLines(`git apply ${level}`, check.stderr));
  }
  const form = await formOf(file);
  if (form === undefined) throw failed(name, [...said, "it is neither a unified nor a context diff, so patch(1) is not asked"]);
  for (const level of ["-p1", "-p0"]) {
    const argv = [
      "patch",
      level,
      form,
      "--force",
      "--forward",
      "--fuzz=0",
      "--no-backup-if-mismatch",
      "--reject-file=-",
      "-d",
      directory,
      "-i",
      file,
    ] as const;
    const check = await host.run([...argv, "--dry-run"], { anyExit: true });
    if (check.code === 0) {
      await host.run([...argv]);
      return;
    }
    said.push(...firstLines(`patch ${level}`, check.stdout));
  }
  const reverse = await host.run(["git", "--git-dir=/dev/null", "apply", "--reverse", "--check", "-p1", "--", file], {
    cwd: directory,
    anyExit: true,
    env: GIT,
  });
  throw failed(name, reverse.code === 0 ? ["it is already applied: take it out of the make file"] : tellingOf(said));
}

/** A level at which a hunk does not fit is the right one; at the other no file is found, which helps nobody. */
function tellingOf(said: readonly string[]): readonly string[] {
  const fitting = ["-p1", "-p0"].find((level) => said.some((line) => line.startsWith(`git apply ${level}: error: patch failed`)));
  if (fitting !== undefined) return said.filter((line) => line.includes(` ${fitting}: `));
  const missing = said.filter((line) => line.startsWith("git apply"));
  return missing.length > 0 && missing.every((line) => line.endsWith("No such file or directory"))
    ? [...missing, "the files that it changes are not there: it is for another version, or for another directory"]
    : said;
}

/** No repository and no configuration: one that lies in the tree could name programs as filters for its files. */
const GIT = {
  GIT_DIR: undefined,
  GIT_WORK_TREE: undefined,
  GIT_INDEX_FILE: undefined,
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
  LC_ALL: "C",
};

function failed(name: string, why: readonly string[]): ProvisionError {
  return new ProvisionError("PATCH_FAILED", `Unable to patch with ${name}.`, { why });
}

function firstLines(program: string, output: string): string[] {
  const telling = output.split("\n").filter((line) => line.trim() !== "" && !/^(?:checking file|patching file)/.test(line));
  return telling.slice(0, 3).map((line) => `${program}: ${line.trim()}`);
}

/** patch(1) would run the commands of an ed script: it is told what it reads. */
async function formOf(file: string): Promise<"--unified" | "--context" | undefined> {
  const text = await readFile(file, "utf8");
  if (/^--- [^\n]*\n\+\+\+ /m.test(text)) return "--unified";
  return /^\*\*\* [^\n]*\n--- /m.test(text) ? "--context" : undefined;
}

/** What drush leaves in a patched project: PATCHES.txt, unless there is one, and the local patch files. */
export async function recordPatches(
  directory: string,
  applied: readonly { readonly request: PatchRequest; readonly file: string }[],
): Promise<void> {
  const list = join(directory, "PATCHES.txt");
  if (applied.length === 0 || existsSync(list)) return;
  for (const { request, file } of applied) {
    if ("path" in request.address && !existsSync(join(directory, request.name))) await copyFile(file, join(directory, request.name));
  }
  const lines = applied.map(({ request }) => `- ${request.name}\n`).join("");
  await writeFile(
    list,
    `The following patches have been applied to this project:\n${lines}\nThis file was automatically generated by Drush Make (http://drupal.org/project/drush).\n`,
  );
}
