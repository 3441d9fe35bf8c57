import { createHash } from "node:crypto";
import { dirname, join, relative } from "node:path";
import { ProvisionError } from "../core/errors.js";
import type { Host } from "../host/host.js";
import { commitAtOrigin } from "./git/working-copy.js";
import type { PlatformCode } from "./index.js";
import { shown } from "./make/address.js";
import type { BuildRequest } from "./source.js";

/** What a build is made from, by name: addresses as they are given, and hashes of the files that say what is in it. */
export type Inputs = Readonly<Record<string, string>>;

/**
 * Read without a network and without the tree, so that every verify can compare it with what a platform was built from. A
 * lock file beside a make file (`<name>.lock`) counts, and so do the files it includes and the patches it names; what a URL
 * or a branch gives today is asked by `changedElsewhere`.
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
      for (const [name, path] of await filesOf(makefile, host)) await file(name, path);
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

/** Local files that a make file is made of, beside itself: includes and patches, by a name that does not depend on the hub's place. */
async function filesOf(makefile: string, host: Pick<Host, "readFile">): Promise<readonly (readonly [string, string])[]> {
  const [{ patchesOf }, { planOf }, { readMakeFile }] = await Promise.all([
    import("./make/patch.js"),
    import("./make/plan.js"),
    import("./make/read.js"),
  ]);
  const included: string[] = [];
  const { document } = await readMakeFile(makefile, {
    readFile: async (path) => {
      const text = await host.readFile(path);
      if (text !== undefined && path !== makefile) included.push(path);
      return text;
    },
  });
  const patches = new Set<string>();
  const { entries } = document ? planOf(document, { recursed: true }) : { entries: [] };
  for (const { attributes } of entries) {
    try {
      for (const { address } of patchesOf(attributes, makefile)) if ("path" in address) patches.add(address.path);
    } catch (error) {
      // A build says what is wrong with it.
      if (!(error instanceof ProvisionError)) throw error;
    }
  }
  const name = (path: string) => relative(dirname(makefile), path);
  return [
    ...included.map((path) => [`include ${name(path)}`, path] as const),
    ...[...patches].map((path) => [`patch ${name(path)}`, path] as const),
  ];
}

/**
 * What a make file behind a URL, and includes from elsewhere, say otherwise than when they were built from (`resolved` of the
 * build). Asks the network.
 */
export async function changedElsewhere(
  resolved: Readonly<Record<string, string>>,
  tools: Pick<BuildRequest, "host" | "cache" | "mirrors">,
): Promise<{ readonly changed: readonly string[]; readonly unknown: readonly string[] }> {
  const changed: string[] = [];
  const unknown: string[] = [];
  const { DownloadCache } = await import("./make/cache.js");
  const { download } = await import("./make/download.js");
  const { contentHash } = await import("./make/fetch-entry.js");
  for (const [name, was] of Object.entries(resolved)) {
    const [, url, ref] = /^(?:make file|include) (\S+)(?: (\S+))?$/.exec(name) ?? [];
    if (url === undefined) continue;
    try {
      const now = was.startsWith("commit ")
        ? `commit ${await commitAtOrigin(tools.host, url, ref === "HEAD" ? undefined : ref, tools.mirrors)}`
        : `sha256 ${await contentHash(await download({ url }, {}, { ...tools, cache: new DownloadCache(tools.cache), offline: false }))}`;
      const isCommit = ref !== undefined && was.startsWith(`commit ${ref}`);
      if (now !== was && !isCommit) changed.push(`${name} has changed`);
    } catch (error) {
      if (!(error instanceof ProvisionError)) throw error;
      unknown.push(`whether ${name} has changed: ${error.message}`);
    }
  }
  return { changed, unknown };
}

function isUrl(text: string): boolean {
  return /^https?:/i.test(text);
}
