import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import { entryTree, RECORD } from "./lock.js";

/** A finished entry, still in a directory of its own. */
export interface Piece {
  readonly name: string;
  /** Relative to the platform; empty for core. */
  readonly path: string;
  readonly tree: string;
  /** `overwrite = FALSE`: it may not take another's place. */
  readonly keepOther: boolean;
}

/**
 * Moves the pieces into one tree: in the order of the file, but what holds another's place comes before it; of two at
 * one place the later stays. `each` runs one piece and may swallow its failure.
 */
export async function putTogether(
  pieces: readonly Piece[],
  platform: string,
  each: (piece: Piece, work: () => Promise<void>) => Promise<void>,
  warn: (message: string) => void,
): Promise<void> {
  const depth = ({ path }: Piece) => (path === "" ? 0 : path.split("/").length);
  const ordered = [...pieces].sort((a, b) => depth(a) - depth(b));
  if (!ordered.some(({ path }) => path === "")) await mkdir(platform, { mode: 0o755 });
  const places = new Map<string, string>();
  for (const piece of ordered) {
    const { name, path, tree, keepOther } = piece;
    await each(piece, async () => {
      const target = join(platform, path);
      const holder = places.get(path);
      if (path !== "" && existsSync(target)) {
        if (keepOther) throw new ProvisionError("BUILD_FAILED", `Directory not empty: ${path}, and overwrite is off`);
        if (holder !== undefined) warn(`${name} replaces ${holder} at ${path}`);
        await rm(target, { recursive: true, force: true });
      }
      await mkdir(dirname(target), { recursive: true, mode: 0o755 });
      await rename(tree, target);
      places.set(path, name);
    });
  }
}

/** For core's own web installer: settings.php and files that the group of the web server may write (drush: everyone). */
export async function prepareInstall(platform: string): Promise<void> {
  const site = join(platform, "sites/default");
  const template = join(site, "default.settings.php");
  if (!existsSync(template)) return;
  const settings = join(site, "settings.php");
  if (!existsSync(settings)) await copyFile(template, settings);
  await chmod(settings, 0o664);
  await mkdir(join(site, "files"), { recursive: true });
  await chmod(join(site, "files"), 0o2775);
}

/** What was put into a directory that was there: path → hashes that its tree may have and still be ours. */
interface PutRecord {
  readonly format: 1;
  readonly entries: Readonly<Record<string, readonly string[]>>;
}

/**
 * Moves what was built (`from`, without core) into a directory that stands. What an earlier build put there is replaced as
 * a whole, everything beside it stays. What someone else put there, or changed since, is not touched: all such places
 * are told and nothing is moved, unless `overwrite`.
 *
 * @throws ProvisionError NAME_TAKEN; the directory is then as it was
 */
export async function mergeInto(
  host: Host,
  from: string,
  into: string,
  paths: readonly string[],
  options: { readonly overwrite: boolean; readonly aside: string },
): Promise<void> {
  const record = await readRecord(into);
  const own = new Map(await Promise.all(paths.map(async (path) => [path, (await entryTree(from, path, paths)) ?? ""] as const)));
  const old = [...new Set([...Object.keys(record), ...paths])];
  const foreign: string[] = [];
  for (const path of options.overwrite ? [] : paths) {
    const target = join(into, path);
    if (!existsSync(target) || (await readdir(target).catch(() => [""])).length === 0) continue;
    const now = (await entryTree(into, path, old)) ?? "";
    if (now === own.get(path) || record[path]?.includes(now)) continue;
    foreign.push(
      `${path}: ${record[path] === undefined ? "it was not put there by provision" : "it was changed since provision put it there"}`,
    );
  }
  if (foreign.length > 0)
    throw new ProvisionError(
      "NAME_TAKEN",
      `Directory not empty: ${foreign.length === 1 ? "one place" : `${foreign.length} places`} in ${into}`,
      {
        why: foreign,
        state: `${into} is as it was`,
        next: ["Move them away, or replace them with --overwrite"],
      },
    );
  // Before the first move: a kill in between leaves each place either old or new, and both are known as ours.
  const both = (path: string) => [...new Set([...(record[path] ?? []), own.get(path) ?? ""])];
  await writeRecord(host, into, { ...record, ...Object.fromEntries(paths.map((path) => [path, both(path)])) });
  const moved: { path: string; former: string | undefined }[] = [];
  try {
    for (const path of tops(paths)) moved.push(await swap(from, into, path, join(options.aside, String(moved.length)), old, paths));
  } catch (error) {
    for (const { path, former } of moved.reverse()) {
      await rm(join(into, path), { recursive: true, force: true });
      if (former !== undefined) await rename(former, join(into, path));
    }
    await writeRecord(host, into, record);
    throw error;
  }
  await writeRecord(host, into, { ...record, ...Object.fromEntries(paths.map((path) => [path, [own.get(path) ?? ""]])) });
}

/** The places that lie in no other. */
function tops(paths: readonly string[]): string[] {
  return paths.filter((path) => !paths.some((other) => other !== path && path.startsWith(`${other}/`)));
}

/** Earlier entries inside the old tree that this build does not bring are carried over. */
async function swap(from: string, into: string, path: string, aside: string, old: readonly string[], paths: readonly string[]) {
  const target = join(into, path);
  const former = existsSync(target) ? aside : undefined;
  for (const inner of tops(old.filter((other) => other.startsWith(`${path}/`) && !paths.includes(other)))) {
    const place = join(from, inner);
    if (!existsSync(join(into, inner)) || existsSync(place)) continue;
    await mkdir(dirname(place), { recursive: true, mode: 0o755 });
    const { cp } = await import("node:fs/promises");
    await cp(join(into, inner), place, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  }
  await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  if (former !== undefined) {
    await mkdir(dirname(aside), { recursive: true });
    await rename(target, aside);
  }
  try {
    await rename(join(from, path), target);
  } catch (error) {
    if (former !== undefined) await rename(aside, target);
    throw error;
  }
  return { path, former };
}

async function readRecord(directory: string): Promise<PutRecord["entries"]> {
  const path = join(directory, RECORD);
  if (!existsSync(path)) return {};
  try {
    const record = JSON.parse(await readFile(path, "utf8")) as PutRecord;
    if (record.format === 1) return record.entries;
  } catch {
    // said below
  }
  throw new ProvisionError("INVALID_FILE", `${path} cannot be read: it says what earlier builds put there`, {
    next: [`Remove ${path}, and build with --overwrite`],
  });
}

async function writeRecord(host: Host, directory: string, entries: PutRecord["entries"]): Promise<void> {
  const path = join(directory, RECORD);
  if (Object.keys(entries).length === 0) await host.remove(path);
  else await host.writeFile(path, `${JSON.stringify({ format: 1, entries } satisfies PutRecord)}\n`);
}

export function archivePath(destination: string): string {
  return /\.(?:tar\.gz|tgz)$/.test(destination) ? destination : `${destination}.tar.gz`;
}

/** One archive with one directory at its top, named as the archive; the same tree gives the same bytes. */
export async function tarOf(host: Host, tree: string, destination: string, staging: string): Promise<string> {
  const path = archivePath(destination);
  const top = basename(path).replace(/\.(?:tar\.gz|tgz)$/, "");
  await mkdir(join(staging, "tar"));
  await rename(tree, join(staging, "tar", top));
  const made = join(staging, "made.tar.gz");
  const argv = ["tar", "--create", "--use-compress-program=gzip -n", "--sort=name", "--mtime=@0", "--owner=0", "--group=0"] as const;
  await host.run([...argv, "--numeric-owner", "--format=gnu", "--force-local", "-f", made, "-C", join(staging, "tar"), "--", top], {
    timeout: 30 * 60_000,
  });
  await rename(made, path);
  return path;
}

/** Drush's hash of a build: md5 over the sorted lines of `cksum` of every file. */
export async function md5Of(host: Host, tree: string): Promise<string> {
  const { createHash } = await import("node:crypto");
  const files: string[] = [];
  const visit = async (path: string): Promise<void> => {
    for (const child of await readdir(join(tree, path), { withFileTypes: true })) {
      const name = path === "" ? child.name : `${path}/${child.name}`;
      if (child.isDirectory()) await visit(name);
      else if (child.isFile()) files.push(name);
    }
  };
  await visit("");
  const lines: string[] = [];
  for (let at = 0; at < files.length; at += 500) {
    const { stdout } = await host.run(["cksum", "--", ...files.slice(at, at + 500)], { cwd: tree, env: { LC_ALL: "C" } });
    lines.push(...stdout.split("\n").filter((line) => line !== ""));
  }
  return createHash("md5").update(lines.sort().join("\n")).digest("hex");
}

/** The tree and what is above it in the file system reach the disk before it gets its name. */
export async function syncTree(host: Host, tree: string): Promise<void> {
  await host.run(["sync", "--file-system", tree], { anyExit: true, timeout: 5 * 60_000 });
}
