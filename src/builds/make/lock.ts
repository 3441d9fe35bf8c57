import { createHash } from "node:crypto";
import { join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import { treeHash } from "../tree-hash.js";
import type { AssembleOptions } from "./assemble-options.js";
import { isHttp } from "./includes.js";
import { encodeOrdered, isTruthy, PhpArray } from "./php-value.js";
import type { PlanEntry } from "./plan.js";

/** Where the bytes of an entry came from, so that the same can be had again. URLs are without credentials. */
export type LockedSource =
  | { readonly type: "file"; readonly url: string; readonly sha256: string }
  | { readonly type: "git"; readonly url: string; readonly ref?: string; readonly commit: string }
  | { readonly type: "copy"; readonly path: string; readonly tree: string }
  | { readonly type: "svn" | "bzr"; readonly url: string; readonly revision: string };

export interface LockedEntry {
  readonly name: string;
  readonly kind: "core" | "contrib" | "library";
  readonly type: string;
  /** Relative to the tree; empty for core. */
  readonly path: string;
  /** Path of the project whose make file asks for it; absent for the make file itself. */
  readonly of?: string;
  /** Full version of a release; absent for other downloads. */
  readonly version?: string;
  /** Hash of what the make file says of it. */
  readonly asked: string;
  readonly source: LockedSource;
  readonly patches?: readonly { readonly name: string; readonly sha256: string }[];
  readonly translations?: readonly { readonly language: string; readonly url: string; readonly sha256: string }[];
  /** treeHash of its directory without the entries inside it. */
  readonly tree: string;
}

/** All that a build took from outside, and the hash of what it made of it. Written as YAML, meant to be kept with the make file. */
export interface MakeLock {
  readonly lock: 1;
  readonly makefile: string;
  /** Hash of the make file with its includes, and of the options below. */
  readonly inputs: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Includes from elsewhere: sha256 of a text, commit of a repository. */
  readonly includes?: readonly { readonly source: string; readonly sha256?: string; readonly commit?: string }[];
  readonly entries: readonly LockedEntry[];
  readonly tree: string;
}

/** Options that change what is built. */
export function lockedOptions(options: AssembleOptions): Record<string, unknown> {
  const { noCore, contribDestination, projects, libraries, noRecursion, noPatchTxt, noGitInfoFile, forceGitInfoFile, translations } =
    options;
  const all = {
    no_core: noCore,
    contrib_destination: contribDestination,
    projects,
    libraries,
    no_recursion: noRecursion,
    no_patch_txt: noPatchTxt,
    no_gitinfofile: noGitInfoFile,
    force_gitinfofile: forceGitInfoFile,
    prepare_install: options.prepareInstall,
    bundle_lockfile: options.bundleLockfile,
    translations: translations && translations.length > 0 ? [...translations].sort() : undefined,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== false));
}

/** What the make file says of an entry, as a hash that does not depend on the file's formatting or place. */
export function askedOf(entry: PlanEntry): string {
  const { attributes, kind, path, version, name } = entry;
  return sha256(JSON.stringify([kind, name, path, version, encodeOrdered(attributes), encodeOrdered(ownDownload(entry))]));
}

function ownDownload(entry: PlanEntry): PhpArray {
  return isTruthy(entry.attributes.get("download")) ? new PhpArray() : entry.download;
}

export function inputsOf(core: string, options: AssembleOptions, asked: readonly string[]): string {
  return sha256(JSON.stringify([core, lockedOptions(options), asked]));
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

export function lockKey(of: string | undefined, kind: string, name: string): string {
  return `${of ?? ""}\0${kind === "library" ? "library" : "project"}\0${name}`;
}

/** @throws ProvisionError INVALID_FILE naming the file */
export async function readLock(text: string, file: string): Promise<MakeLock> {
  const { parse } = await import("yaml");
  const broken = (why: string) =>
    new ProvisionError("INVALID_FILE", `${file} is no lock of a make file: ${why}`, {
      next: ["provision make FILE PATH --lock    # builds, and writes a new one"],
    });
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw broken(error instanceof Error ? (error.message.split("\n")[0] ?? "") : "it cannot be read");
  }
  if (!isRecord(value) || !("lock" in value)) throw broken("it has no `lock: 1`");
  if (value["lock"] !== 1) throw broken(`it is of version ${String(value["lock"])}, this provision reads version 1`);
  const { entries } = value;
  if (!Array.isArray(entries) || typeof value["inputs"] !== "string" || typeof value["tree"] !== "string")
    throw broken("it needs entries, inputs and tree");
  for (const entry of entries) {
    const why = brokenEntry(entry);
    if (why !== undefined) throw broken(why);
  }
  return value as unknown as MakeLock;
}

/** Path and content of the lock that stands beside a make file, as `provision make FILE --lock` writes it; none for a URL. */
export async function lockBeside(
  makefile: string,
  host: Pick<Host, "readFile">,
): Promise<{ readonly path: string; readonly lock: MakeLock } | undefined> {
  if (isHttp(makefile) || makefile === "-") return undefined;
  const path = `${makefile}.lock`;
  const text = await host.readFile(path);
  return text === undefined ? undefined : { path, lock: await readLock(text, path) };
}

function brokenEntry(entry: unknown): string | undefined {
  if (!isRecord(entry) || typeof entry["name"] !== "string") return "an entry has no name";
  const { name, source } = entry as { name: string; source: unknown };
  if (typeof entry["path"] !== "string" || typeof entry["asked"] !== "string" || typeof entry["tree"] !== "string")
    return `its entry ${name} needs path, asked and tree`;
  if (!isRecord(source)) return `its entry ${name} has no source`;
  const hex = (value: unknown, length: RegExp) => typeof value === "string" && length.test(value);
  if (source["type"] === "file") return hex(source["sha256"], /^[0-9a-f]{64}$/) ? undefined : `the sha256 of ${name} is none`;
  if (source["type"] === "git") return hex(source["commit"], /^[0-9a-f]{40,64}$/) ? undefined : `the commit of ${name} is none`;
  return ["copy", "svn", "bzr"].includes(String(source["type"])) ? undefined : `the source of ${name} is unknown`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A lock as it is written beside its make file. */
export async function lockText(lock: MakeLock): Promise<string> {
  const { stringify } = await import("yaml");
  return `# What provision built from ${lock.makefile}. Keep it with the make file; a build with it gives the same tree or fails.\n${stringify(lock, { lineWidth: 0 })}`;
}

/** Everything below `sites` but `sites/all` belongs to the sites, not to the code. */
function isOfSites(path: string): boolean {
  return /^sites\/(?!all(?:\/|$))/.test(path);
}

/** Hash of an entry's own files: without the entries inside it, and for core without what belongs to sites. */
export async function entryTree(root: string, path: string, paths: readonly string[]): Promise<string | undefined> {
  const inner = new Set(paths.filter((other) => other !== path && other.startsWith(path === "" ? "" : `${path}/`)));
  const prefix = path === "" ? "" : `${path}/`;
  return treeHash(join(root, path), (below) => inner.has(prefix + below) || (path === "" && (isOfSites(below) || below === RECORD)));
}

/** The record of what was put into a directory that was there (place.ts). */
export const RECORD = ".provision-make.json";

export interface Drift {
  readonly name: string;
  readonly path: string;
  readonly what: "changed" | "missing";
}

/** Which entries of a built tree are no longer what their lock says; files that sites own do not count. */
export async function driftOf(root: string, lock: MakeLock): Promise<readonly Drift[]> {
  const paths = lock.entries.map(({ path }) => path);
  const found = await Promise.all(
    lock.entries.map(async ({ name, path, tree }): Promise<Drift[]> => {
      const now = await entryTree(root, path, paths);
      if (now === tree) return [];
      return [{ name, path, what: now === undefined ? "missing" : "changed" }];
    }),
  );
  return found.flat();
}
