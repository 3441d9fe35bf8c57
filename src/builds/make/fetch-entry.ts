import { readdirSync, renameSync } from "node:fs";
import { copyFile, lstat, mkdir, open, readdir, realpath, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { didYouMean, isSystemError, ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import { treeHash } from "../tree-hash.js";
import { type Address, addressOf, shown } from "./address.js";
import { archiveKind, unpack } from "./archive.js";
import { type Checksums, checksumsOf, hashFile } from "./checksum.js";
import { type DownloadOptions, download } from "./download.js";
import { type CheckedOut, type GitMirrors, type GitRequest, gitRequest } from "./git.js";
import type { LockedSource } from "./lock.js";
import { exportVcs, type VcsRequest, vcsRequest } from "./other-vcs.js";
import { isTruthy, type PhpArray, phpText } from "./php-value.js";
import type { PlanEntry } from "./plan.js";
import { unsafePath } from "./safe-path.js";
import { TREE_LIMITS, tameTree } from "./tree.js";

export interface FetchTools {
  readonly host: Host;
  readonly git: GitMirrors;
  readonly downloads: DownloadOptions;
  /** Whether a lock will be written: then hashes are worth their time. */
  readonly withLock: boolean;
}

/** How one entry is fetched. */
export interface FetchOrder {
  readonly fetch: Fetch;
  readonly entry: PlanEntry;
  readonly workingCopy: boolean;
  /** What tags say of the commit will be asked for. */
  readonly describe: boolean;
  readonly locked?: LockedSource;
}

export interface Fetched {
  readonly tree: string;
  /** Where it came from, for people. */
  readonly source: string;
  readonly locked?: LockedSource;
  readonly git?: { readonly request: GitRequest; readonly found: CheckedOut };
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
      /** What is sent with a POST. */
      readonly body?: string;
    }
  | { readonly kind: "git"; readonly download: PhpArray; readonly subtree?: string }
  | { readonly kind: "vcs"; readonly request: VcsRequest; readonly subtree?: string }
  | { readonly kind: "copy"; readonly path: string };

const GONE: Readonly<Record<string, string>> = {
  cvs: "drupal.org left CVS in 2011: use a release (version) or git",
  hg: "Mercurial is not supported: use git, or the download of an archive",
};
const TYPES = ["git", "file", "get", "post", "copy", "local", "svn", "bzr"];

/** For an entry with a download of its own; a release is asked for first (release-history.ts). */
export function fetchOf(entry: PlanEntry, mainFile: string, warn: (message: string) => void): Fetch {
  const { download: given } = entry;
  const text = (key: string) => (isTruthy(given.get(key)) ? phpText(given.get(key)).trim() : undefined);
  const url = text("url") ?? text("source");
  const type = text("type")?.toLowerCase() ?? inferred(url, warn);
  const subtree = checkedPath("subtree", text("subtree"));
  if (type === "git") return { kind: "git", download: given, ...(subtree === undefined ? {} : { subtree }) };
  if (type === "svn" || type === "bzr")
    return { kind: "vcs", request: vcsRequest(type, given), ...(subtree === undefined ? {} : { subtree }) };
  if (type === "copy" || type === "local") return copyOf(url, given, mainFile);
  if (type !== "file" && type !== "get" && type !== "post") throw new ProvisionError("BUILD_FAILED", unknownType(type));
  if (url === undefined) throw new ProvisionError("BUILD_FAILED", "its download has no url");
  const filename = checkedPath("filename", text("filename"));
  const address = addressOf(url, given.mark("url"), mainFile);
  const body = bodyOf(type, given);
  if (body !== undefined && "path" in address) throw new ProvisionError("BUILD_FAILED", "only a server takes a post: its url is a file");
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
    ...(body === undefined ? {} : { body }),
    ...(filename === undefined ? {} : { filename }),
    ...(subtree === undefined ? {} : { subtree }),
  };
}

/** `type: post` with `post_data` (drush_make 6), or `request_type: post` with `data` (drush's documentation). */
function bodyOf(type: string, given: PhpArray): string | undefined {
  const asked = phpText(given.get("request_type")).toLowerCase();
  if (asked !== "" && asked !== "get" && asked !== "post")
    throw new ProvisionError("BUILD_FAILED", `its request_type ${JSON.stringify(asked)} is unknown; there are get and post`);
  if (type !== "post" && asked !== "post") return undefined;
  const data = given.get("post_data") ?? given.get("data");
  return phpText(data);
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

/** Brings an entry's tree to `directory/tree`, tamed. `directory` is empty and the entry's own. */
export async function fetchTree(order: FetchOrder, directory: string, tools: FetchTools): Promise<Fetched> {
  const { fetch } = order;
  const tree = join(directory, "tree");
  const { tame = false, ...fetched } = await fetchUntamed(order, directory, tree, tools);
  if (!tame) await tameTree(tree, TREE_LIMITS, order.workingCopy && fetch.kind === "git", tools.downloads.signal);
  if (fetch.kind !== "copy" || !(tools.withLock || order.locked)) return fetched;
  const hash = (await treeHash(tree)) ?? "";
  if (order.locked?.type === "copy" && order.locked.tree !== hash)
    throw new ProvisionError("BUILD_FAILED", `${fetch.path} was changed since the lock was written`);
  return { ...fetched, locked: { type: "copy", path: fetch.path, tree: hash } };
}

/** `tame`: it is known already that tameTree() has nothing to do. */
type Untamed = Fetched & { readonly tame?: boolean };

async function fetchUntamed(order: FetchOrder, directory: string, tree: string, tools: FetchTools): Promise<Untamed> {
  const { fetch } = order;
  if (fetch.kind === "git") return fetchGit(fetch, order, directory, tree, tools);
  if (fetch.kind === "vcs") return fetchVcs(fetch, order, directory, tree, tools);
  if (fetch.kind === "copy") return { tree, source: await copyTree(fetch.path, directory, tree, tools.host) };
  return fetchFile(fetch, directory, tree, tools);
}

async function fetchGit(
  fetch: Fetch & { kind: "git" },
  { entry, workingCopy, describe, locked }: FetchOrder,
  directory: string,
  tree: string,
  tools: FetchTools,
): Promise<Untamed> {
  const request = gitRequest(fetch.download, entry.kind === "library" ? undefined : entry.name);
  const out = fetch.subtree === undefined ? tree : join(directory, "repository");
  const own = phpText(fetch.download.get("wc_url"));
  const found = await tools.git.checkOut(request, out, fetch.download.mark("url") ?? entry.mark, {
    submodules: isTruthy(fetch.download.get("submodule")),
    describe,
    ...(workingCopy ? { workingCopy: own === "" ? request.url : gitRequest(fetch.download.copy().set("url", own), undefined).url } : {}),
    ...(locked?.type === "git" ? { commit: locked.commit } : {}),
  });
  if (fetch.subtree !== undefined) await takeSubtree(out, fetch.subtree, tree);
  const name = request.kind === "head" ? "" : request.ref;
  return {
    tree,
    source: `${shown(request.url)} ${name === "" ? "" : `${name} `}${found.commit.slice(0, 12)}`,
    locked: { type: "git", url: shown(request.url), ...(name === "" ? {} : { ref: name }), commit: found.commit },
    git: { request, found },
    ...(found.tame === undefined ? {} : { tame: found.tame }),
  };
}

async function fetchVcs(
  fetch: Fetch & { kind: "vcs" },
  { workingCopy, locked }: FetchOrder,
  directory: string,
  tree: string,
  tools: FetchTools,
): Promise<Fetched> {
  const { mirrors, offline } = tools.downloads;
  const { program } = fetch.request;
  const out = fetch.subtree === undefined ? tree : join(directory, "repository");
  const request = locked?.type === program ? { ...fetch.request, revision: locked.revision } : fetch.request;
  const revision = await exportVcs(tools.host, request, out, { mirrors, offline, workingCopy });
  if (fetch.subtree !== undefined) await takeSubtree(out, fetch.subtree, tree);
  const url = shown(request.url);
  return { tree, source: `${url} ${revision}`, locked: { type: program, url, revision } };
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

async function fetchFile(fetch: Fetch & { kind: "file" }, directory: string, tree: string, tools: FetchTools): Promise<Untamed> {
  const file = await download(fetch.address, fetch.checksums, tools.downloads, fetch.body);
  const kind = archiveKind(file);
  let tame = false;
  if (kind !== undefined) {
    const unpacked = join(directory, "unpacked");
    tame = await unpack(tools.host, file, kind, unpacked, TREE_LIMITS, tools.downloads.signal);
    if (fetch.subtree === undefined) renameSync(onlyDirectory(unpacked), tree);
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
  const source = "path" in fetch.address ? fetch.address.path : shown(fetch.address.url);
  return { tree, source, tame, ...(tools.withLock ? { locked: { type: "file", url: source, sha256: await contentHash(file) } } : {}) };
}

/** A file of the cache has its hash for a name, and was just held against it. */
export async function contentHash(file: string): Promise<string> {
  return /\/sha256\/[0-9a-f]{2}\/([0-9a-f]{64})$/.exec(file)?.[1] ?? hashFile(file, "sha256");
}

/** Exactly one entry at the top, a directory: that is the content; hidden files count. */
function onlyDirectory(unpacked: string): string {
  const [first, ...others] = readdirSync(unpacked, { withFileTypes: true });
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
