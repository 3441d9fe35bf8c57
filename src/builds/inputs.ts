import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Host } from "../host/host.js";
import type { PlatformCode } from "./index.js";
import { shown } from "./make/address.js";

/** What a build is made from, by name: addresses as they are given, and hashes of the files that say what is in it. */
export type Inputs = Readonly<Record<string, string>>;

/**
 * Read without a network and without the tree, so that every verify can compare it with what a platform was built from. A
 * lock file beside a make file (`<name>.lock`) counts; what a URL or a branch gives today is not asked.
 */
export async function buildInputs(code: PlatformCode, host: Pick<Host, "readFile">): Promise<Inputs> {
  const found: Record<string, string> = {};
  const file = async (name: string, path: string) => {
    const text = await host.readFile(path);
    if (text !== undefined) found[name] = `sha256 ${createHash("sha256").update(text).digest("hex")}`;
  };
  const { makefile, composer, git, archive } = code;
  if (makefile !== undefined) {
    found["makefile"] = shown(makefile);
    if (!isUrl(makefile)) {
      await file("text of the make file", makefile);
      await file("lock file of the make file", `${makefile}.lock`);
    }
  }
  if (composer !== undefined) {
    if ("directory" in composer) {
      found["composer"] = composer.directory;
      await file("composer.json", join(composer.directory, "composer.json"));
      await file("composer.lock", join(composer.directory, "composer.lock"));
    } else {
      found["composer"] = composer.package;
      found["composer_version"] = composer.version;
    }
  }
  if (git !== undefined) {
    found["git"] = shown(git.git);
    if (git.ref !== undefined) found["git_ref"] = git.ref;
    if (git.path !== undefined) found["git_path"] = git.path;
    if (git.workingCopy) found["working_copy"] = "true";
  }
  if (archive !== undefined) {
    found["archive"] = shown(archive.archive);
    if (archive.sha256 !== undefined) found["archive_sha256"] = archive.sha256;
  }
  return found;
}

function isUrl(text: string): boolean {
  return /^https?:/i.test(text);
}
