import { copyFile, lstat, mkdir, open, readdir, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { didYouMean, isSystemError, ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import { type Address, addressOf, shown } from "./address.js";
import { archiveKind, unpack } from "./archive.js";
import { type Checksums, checksumsOf } from "./checksum.js";
import { type DownloadOptions, download } from "./download.js";
import { type GitMirrors, gitRequest } from "./git.js";
import { isTruthy, type PhpArray, phpText } from "./php-value.js";
import type { PlanEntry } from "./plan.js";
import { unsafePath } from "./safe-path.js";
import { tameTree } from "./tree.js";

export interface FetchTools {
  readonly host: Host;
  readonly git: GitMirrors;
  readonly downloads: DownloadOptions;
  /** The make file that the entry comes from, at its top level. */
  readonly mainFile: string;
}

/** What to fetch for an entry, all its addresses and names checked; made before anything is fetched. */
export type Fetch =
  | {
      readonly kind: "file";
      readonly address: Address;
      readonly checksums: Checksums;
      readonly name: string;
      readonly filename?: string;
      readonly subtree?: string;
    }
  | { readonly kind: "git"; readonly download: PhpArray; readonly subtree?: string }
  | { readonly kind: "copy"; readonly path: string };

const GONE: Readonly<Record<string, string>> = {
  cvs: "drupal.org left CVS in 2011: use a release (version) or git",
  hg: "Mercurial is not supported: use git, or the download of an archive",
  svn: "svn is not supported yet: use git, or the download of an archive",
  bzr: "bzr is not supported yet: use git, or the download of an archive",
  post: "post is not supported yet: use file with a plain URL",
};
const TYPES = ["git", "file", "get", "copy", "local"];

/** For an entry with a download of its own; a release is asked for first (release-history.ts). */
export function fetchOf(entry: PlanEntry, mainFile: string, warn: (message: string) => void): Fetch {
  const { download: given } = entry;
  const text = (key: string) => (isTruthy(given.get(key)) ? phpText(given.get(key)).trim() : undefined);
  const url = text("url") ?? text("source");
  const type = text("type")?.toLowerCase() ?? inferred(url, warn);
  const subtree = checkedPath("subtree", text("subtree"));
  if (type === "git") return { kind: "git", download: given, ...(subtree === undefined ? {} : { subtree }) };
  if (type === "copy" || type === "local") return copyOf(url, given, mainFile);
  if (type !== "file" && type !== "get") throw new ProvisionError("BUILD_FAILED", unknownType(type));
  if (url === undefined) throw new ProvisionError("BUILD_FAILED", "its download has no url");
  const filename = checkedPath("filename", text("filename"));
  const address = addressOf(url, given.mark("url"), mainFile);
  const checksums = {
    ...checksumsOf(given),
    ...(isTruthy(entry.attributes.get("md5")) && entry.kind !== "library"
      ? { md5: phpText(entry.attributes.get("md5")).toLowerCase() }
      : {}),
  };
  return {
    kind: "file",
    address,
    checksums,
    name: nameOf(address),
    ...(filename === undefined ? {} : { filename }),
    ...(subtree === undefined ? {} : { subtree }),
  };
}

function copyOf(url: string | undefined, given: PhpArray, mainFile: string): Fetch {
  if (url === undefined) throw new ProvisionError("BUILD_FAILED", "its download names no directory (url)");
  const address = addressOf(url, given.mark("url") ?? given.mark("source"), mainFile);
  if ("path" in address) return { kind: "copy", path: address.path };
  throw new ProvisionError("BUILD_FAILED", `copy takes a directory of this machine, not ${shown(url)}`);
}

/** Drush does nothing at all, without a word, for a library without a download type. */
function inferred(url: string | undefined, warn: (message: string) => void): string {
  if (url === undefined) throw new ProvisionError("BUILD_FAILED", "its download has neither type nor url");
  const type = /\.git\/?$|^git@|^git:|^ssh:/i.test(url) ? "git" : "file";
  warn(`its download has no type, ${type} is taken for ${shown(url)}; drush would have built nothing: write download type ${type}`);
  return type;
}

function unknownType(type: string): string {
  const reason = GONE[type];
  if (reason !== undefined) return reason;
  const near = didYouMean(type.replace(/[^a-z]/g, ""), TYPES);
  return `its download type ${JSON.stringify(type)} is unknown${near === undefined ? "" : ` (did you mean ${near}?)`}; there are ${TYPES.join(", ")}`;
}

function checkedPath(key: string, path: string | undefined): string | undefined {
  const why = path === undefined ? undefined : unsafePath(path.replace(/\/+$/, ""));
  if (why !== undefined) throw new ProvisionError("BUILD_FAILED", `its ${key} ${JSON.stringify(path)} is refused: ${why}`);
  return path?.replace(/\/+$/, "");
}

function nameOf(address: Address): string {
  if ("path" in address) return basename(address.path);
  const name = basename(new URL(address.url).pathname);
  try {
    const decoded = decodeURIComponent(name);
    return unsafePath(decoded) === undefined && !decoded.includes("/") ? decoded : name;
  } catch {
    return name;
  }
}

/**
 * Brings an entry's tree to `directory/tree`, tamed. `directory` is empty and the entry's own.
 * Out: where it came from, for people.
 */
export async function fetchTree(
  fetch: Fetch,
  entry: PlanEntry,
  directory: string,
  tools: FetchTools,
): Promise<{ tree: string; source: string }> {
  const tree = join(directory, "tree");
  let source: string;
  if (fetch.kind === "git") source = await fetchGit(fetch, entry, directory, tree, tools);
  else if (fetch.kind === "copy") source = await copyTree(fetch.path, directory, tree, tools.host);
  else source = await fetchFile(fetch, directory, tree, tools);
  await tameTree(tree);
  return { tree, source };
}

async function fetchGit(
  fetch: Fetch & { kind: "git" },
  entry: PlanEntry,
  directory: string,
  tree: string,
  tools: FetchTools,
): Promise<string> {
  const request = gitRequest(fetch.download, entry.kind === "library" ? undefined : entry.name);
  const out = fetch.subtree === undefined ? tree : join(directory, "repository");
  const commit = await tools.git.export(request, out, fetch.download.mark("url") ?? entry.mark, isTruthy(fetch.download.get("submodule")));
  if (fetch.subtree !== undefined) await takeSubtree(out, fetch.subtree, tree);
  await removeGitDirectories(tree);
  return `${shown(request.url)} ${request.kind === "head" ? "" : `${request.ref} `}${commit.slice(0, 12)}`;
}

/** Only clones for submodules have them; a repository of files cannot hold a `.git`. */
async function removeGitDirectories(directory: string): Promise<void> {
  for (const child of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, child.name);
    if (child.name === ".git") await rm(path, { recursive: true, force: true });
    else if (child.isDirectory()) await removeGitDirectories(path);
  }
}

async function copyTree(path: string, directory: string, tree: string, host: Host): Promise<string> {
  const real = await realpath(path).catch((error: unknown) => {
    if (isSystemError(error, "ENOENT") || isSystemError(error, "ENOTDIR"))
      throw new ProvisionError("BUILD_FAILED", `there is no directory ${path} to copy`);
    throw error;
  });
  if (`${await realpath(directory)}/`.startsWith(`${real}/`))
    throw new ProvisionError("BUILD_FAILED", `${path} cannot be copied: the platform is being built inside it`);
  if ((await lstat(real)).isDirectory()) await host.uploadTree(real, tree);
  else {
    await mkdir(tree, { mode: 0o755 });
    await copyFile(real, join(tree, basename(path)));
  }
  return path;
}

async function fetchFile(fetch: Fetch & { kind: "file" }, directory: string, tree: string, tools: FetchTools): Promise<string> {
  const file = await download(fetch.address, fetch.checksums, tools.downloads);
  const kind = await archiveKind(file);
  if (kind !== undefined) {
    const unpacked = join(directory, "unpacked");
    await unpack(tools.host, file, kind, unpacked);
    if (fetch.subtree === undefined) await rename(await onlyDirectory(unpacked), tree);
    else await takeSubtree(unpacked, fetch.subtree, tree);
  } else {
    if (fetch.subtree !== undefined)
      throw new ProvisionError(
        "BUILD_FAILED",
        `there is no subtree ${fetch.subtree} in ${fetch.name}: it is no archive (${await firstBytes(file)})`,
      );
    const path = join(tree, fetch.filename ?? fetch.name);
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await copyFile(file, path);
  }
  return "path" in fetch.address ? fetch.address.path : shown(fetch.address.url);
}

/** Exactly one entry at the top, a directory: that is the content; hidden files count. */
async function onlyDirectory(unpacked: string): Promise<string> {
  const [first, ...others] = await readdir(unpacked, { withFileTypes: true });
  return first?.isDirectory() && others.length === 0 ? join(unpacked, first.name) : unpacked;
}

async function takeSubtree(from: string, subtree: string, to: string): Promise<void> {
  const path = join(from, subtree);
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined || !real.startsWith(`${await realpath(from)}/`)) {
    const names = (await readdir(from)).slice(0, 8).join(", ");
    throw new ProvisionError("BUILD_FAILED", `there is no subtree ${subtree} in what was fetched; at its top there is: ${names}`);
  }
  if ((await lstat(real)).isDirectory()) await rename(real, to);
  else {
    await mkdir(to, { mode: 0o755 });
    await rename(real, join(to, basename(real)));
  }
}

async function firstBytes(file: string): Promise<string> {
  const handle = await open(file, "r");
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(24), 0, 24, 0);
    return `it begins with ${JSON.stringify(buffer.toString("latin1", 0, bytesRead))}`;
  } finally {
    await handle.close();
  }
}
