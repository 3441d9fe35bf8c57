import { basename, join, resolve } from "node:path";
import { siteName } from "../../context/names.js";
import { ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import { sha256Of } from "../../steps/archive.js";
import type { Services } from "../services.js";
import { MANIFEST, type Manifest, readManifest } from "./manifest.js";

const ID = /^[0-9]{8}T[0-9]{6}-[0-9a-f]{4,8}$/;

/** A complete backup as it stands in a directory. */
export interface StoredBackup {
  readonly id: string;
  readonly directory: string;
  /** Name of the directory that it is in below backups/: the site's name there. */
  readonly of: string;
  readonly manifest: Manifest;
  /** Of all parts. */
  readonly bytes: number;
}

/** A directory that has a manifest which cannot be relied on. */
export interface DamagedBackup extends Pick<StoredBackup, "id" | "directory" | "of"> {
  readonly manifest?: undefined;
  readonly problem: ProvisionError;
}

/** The backup in a directory; undefined when there is none. Rejects with REFUSED when its manifest is damaged. */
export async function backupIn(host: Host, directory: string): Promise<StoredBackup | undefined> {
  const path = join(directory, MANIFEST);
  const text = await host.readFile(path);
  if (text === undefined) return undefined;
  const manifest = readManifest(text, path);
  return {
    id: manifest.id,
    directory,
    of: siteName(manifest.uri),
    manifest,
    bytes: manifest.parts.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** All backups of one site, by the name of its directory below backups/, newest first. */
export async function backupsOf(use: Services, of: string): Promise<readonly (StoredBackup | DamagedBackup)[]> {
  const all = join(use.layout.backups, of);
  const found: (StoredBackup | DamagedBackup)[] = [];
  for (const id of ((await use.local.list(all)) ?? []).filter((name) => ID.test(name))) {
    const directory = join(all, id);
    try {
      const one = await backupIn(use.local, directory);
      found.push(
        one ? { ...one, id, of } : { id, directory, of, problem: new ProvisionError("REFUSED", `${directory} has no ${MANIFEST}`) },
      );
    } catch (problem) {
      if (!(problem instanceof ProvisionError)) throw problem;
      found.push({ id, directory, of, problem });
    }
  }
  const begun = ({ id, manifest }: StoredBackup | DamagedBackup) => manifest?.begun.replace(/[-:]/g, "") ?? id;
  return found.sort((a, b) => (begun(a) < begun(b) ? 1 : -1));
}

/** Every site that has a directory below backups/, also those that were deleted. */
export async function sitesWithBackups(use: Services): Promise<readonly string[]> {
  return ((await use.local.list(use.layout.backups)) ?? []).filter((name) => !name.startsWith("."));
}

/** Where the backups of a site are: of a context, or of one that was deleted, by the name that it had. Rejects with CONTEXT_NOT_FOUND. */
export async function directoryOf(use: Services, name: string): Promise<string> {
  const context = await use.store.read(name);
  if (context?.context_type === "site") return siteName(context.uri);
  const names = await sitesWithBackups(use);
  if (names.includes(name.slice(1))) return name.slice(1);
  // Its name may have been another than its uri.
  for (const of of names) if ((await backupsOf(use, of)).some(({ manifest }) => manifest?.site === name)) return of;
  throw new ProvisionError("CONTEXT_NOT_FOUND", `there is no site ${name}, and there are no backups of one`, {
    next: ["provision backups list", "provision list sites"],
  });
}

/**
 * The backup that is meant by a word: an id or its unique end, or the path of a directory. Rejects with FILE_NOT_FOUND, USAGE (several), REFUSED.
 */
export async function backupNamed(use: Services, word: string, of?: string): Promise<StoredBackup> {
  if (word.includes("/")) {
    const directory = resolve(word);
    const found = await backupIn(use.local, directory);
    if (found) return found;
    throw new ProvisionError("FILE_NOT_FOUND", `${directory} is not the directory of a backup: it has no ${MANIFEST}`);
  }
  const found: { readonly of: string; readonly id: string }[] = [];
  for (const site of of === undefined ? await sitesWithBackups(use) : [of])
    for (const id of (await use.local.list(join(use.layout.backups, site))) ?? [])
      if (ID.test(id) && (id === word || id.endsWith(`-${word}`))) found.push({ of: site, id });
  const [one, other] = found;
  if (one && other)
    throw new ProvisionError("USAGE", `${word} is the end of ${found.length} backups`, {
      why: found.map(({ of: site, id }) => `${id} of ${site}`),
    });
  const stored = one && (await backupIn(use.local, join(use.layout.backups, one.of, one.id)));
  if (one && stored) return { ...stored, ...one };
  // A site that has another name now: its backups are under the one that they were made by.
  const elsewhere = of === undefined ? undefined : await backupNamed(use, word).catch(() => undefined);
  if (elsewhere?.manifest)
    throw new ProvisionError("FILE_NOT_FOUND", `${elsewhere.id} is a backup of ${elsewhere.manifest.site}, not of ${of}`, {
      state: "nothing was changed",
      next: [`provision backups list ${of === undefined ? "" : `@${of}`}`, `provision deploy @new ${elsewhere.id}    # a new site of it`],
    });
  throw new ProvisionError("FILE_NOT_FOUND", `there is no backup ${word}${of === undefined ? "" : ` of ${of}`}`, {
    next: ["provision backups list"],
  });
}

/** Everything wrong with the parts of a backup, by size and hash; empty: it is as it was written. */
export async function partProblems(host: Host, { directory, manifest }: StoredBackup): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const { name, bytes, sha256 } of manifest.parts) {
    const path = join(directory, name);
    const stat = await host.stat(path);
    if (!stat) problems.push(`${name} is missing`);
    else if (stat.type !== "file") problems.push(`${name} is a ${stat.type}`);
    else if (stat.size !== bytes) problems.push(`${name} has ${stat.size} bytes, and had ${bytes}`);
    else if ((await sha256Of(host, path)) !== sha256) problems.push(`${name} has another sha256 than when it was written`);
  }
  return problems;
}

/** Rejects with REFUSED when any part is not as it was written. */
export async function refuseDamaged(host: Host, backup: StoredBackup): Promise<void> {
  const problems = await partProblems(host, backup);
  if (problems.length === 0) return;
  throw new ProvisionError("REFUSED", `the backup ${basename(backup.directory)} is damaged`, {
    why: problems,
    next: [`provision backups list`, `provision backups verify ${backup.id}`],
  });
}
