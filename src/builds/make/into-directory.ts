import { closeSync, existsSync, openSync } from "node:fs";
import { cp, mkdir, readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { ProvisionError } from "../../core/errors.js";
import { lockDescriptor } from "../../core/lock.js";
import type { Host } from "../../host/host.js";
import { entryTree, RECORD } from "./lock.js";

/** What was put into a directory that was there: path → hashes that its tree may have and still be ours. */
interface PutRecord {
  readonly format: 1;
  readonly entries: Readonly<Record<string, readonly string[]>>;
}

/** All that is needed to put places back, or to see that all are done; written beside what was built before the first is moved. */
interface Moves {
  readonly format: 1;
  readonly places: readonly Place[];
  readonly before: PutRecord["entries"];
  readonly after: PutRecord["entries"];
}

interface Place {
  /** Relative to the directory. */
  readonly path: string;
  /** Something stood there: it is moved to `former/<number>` beside what was built. */
  readonly former: boolean;
}

const MOVES = "moves.json";
const POLL = 100;
const BUILT = "platform";

/** Nothing that was moved out of the way is in there any more: it may be removed. */
export function mayBeRemoved(staging: string): boolean {
  return !existsSync(join(staging, MOVES));
}

/**
 * Moves what was built (`staging/platform`, without core) into a directory that stands. What an earlier build put there is
 * replaced as a whole, everything beside it stays. What someone else put there, or changed since, is not touched: all such
 * places are told and nothing is moved, unless `overwrite`. What stood in a place is kept until all are done, and a kill in
 * between is seen by the next build (`putBackInterrupted`). What stands there already, as it was built, is left alone.
 *
 * Out: the places that were changed.
 * @throws ProvisionError NAME_TAKEN; the directory is then as it was
 */
export async function mergeInto(
  host: Host,
  staging: string,
  into: string,
  paths: readonly string[],
  overwrite: boolean,
): Promise<readonly string[]> {
  const from = join(staging, BUILT);
  const record = await readRecord(into);
  const own = new Map(await Promise.all(paths.map(async (path) => [path, (await entryTree(from, path, paths)) ?? ""] as const)));
  const old = [...new Set([...Object.keys(record), ...paths])];
  if (!overwrite) await refuseForeign(into, paths, record, own, old);
  const unlock = await lockPlaces(into);
  try {
    const changed = await Promise.all(tops(paths).map((path) => differs(from, into, path, own, old)));
    const places = tops(paths)
      .filter((_, index) => changed[index])
      .map((path) => ({ path, former: existsSync(join(into, path)) }));
    for (const { path } of places) await carryInner(from, into, path, old, paths);
    const after = { ...record, ...Object.fromEntries(paths.map((path) => [path, [own.get(path) ?? ""]])) };
    const moves: Moves = { format: 1, places, before: record, after };
    if (places.length === 0 && isDeepStrictEqual(after, record)) return [];
    await host.mkdir(join(staging, "former"));
    await host.writeFile(join(staging, MOVES), JSON.stringify(moves));
    try {
      for (const [number, { path, former }] of places.entries()) {
        const target = join(into, path);
        await mkdir(dirname(target), { recursive: true, mode: 0o755 });
        if (former) await host.rename(target, formerOf(staging, number));
        await host.rename(join(from, path), target);
      }
      await writeRecord(host, into, after);
    } catch (error) {
      await putBack(host, staging, into, moves);
      throw error;
    }
    await host.remove(join(staging, MOVES));
    return places.map(({ path }) => path);
  } finally {
    unlock();
  }
}

function isWorkingCopy(directory: string): boolean {
  return [".git", ".svn", ".bzr"].some((name) => existsSync(join(directory, name)));
}

/** Whether a place, or an entry inside it, stands otherwise than it was built. A working copy at the same tree stays, with what was committed in it. */
async function differs(
  from: string,
  into: string,
  path: string,
  own: ReadonlyMap<string, string>,
  old: readonly string[],
): Promise<boolean> {
  for (const [inner, built] of own) {
    if (inner !== path && !inner.startsWith(`${path}/`)) continue;
    if (isWorkingCopy(join(from, inner)) && !isWorkingCopy(join(into, inner))) return true;
    if ((await entryTree(into, inner, old)) !== built) return true;
  }
  return false;
}

/** What a killed build left half done in a directory, and what was done about it. */
export interface Interrupted {
  /** All was in place, and only the record was missing; else everything stands where it stood before that build. */
  readonly finished: boolean;
  readonly places: readonly string[];
}

/**
 * Finds what a build left that was killed while it put things into this directory, and finishes it when all was in place, else
 * puts everything back where it stood. Waits for a build that is putting things there now. With `dryRun` it only looks.
 */
export async function putBackInterrupted(host: Host, into: string, dryRun = false): Promise<readonly Interrupted[]> {
  if (!existsSync(into)) return [];
  const candidates = async () =>
    (await Promise.all([into, dirname(into)].map((directory) => stagingsOf(directory, basename(into)))))
      .flat()
      .filter((staging) => !mayBeRemoved(staging));
  if ((await candidates()).length === 0) return [];
  const unlock = await lockPlaces(into);
  try {
    const found: Interrupted[] = [];
    for (const staging of await candidates()) {
      const moves = await readMoves(join(staging, MOVES));
      const finished = moves.places.every(({ path }) => !existsSync(join(staging, BUILT, path)) && existsSync(join(into, path)));
      found.push({ finished, places: moves.places.map(({ path }) => path) });
      if (dryRun) continue;
      if (finished) {
        await writeRecord(host, into, moves.after);
        await host.remove(join(staging, MOVES));
      } else await putBack(host, staging, into, moves);
      await host.remove(staging);
    }
    return found;
  } finally {
    unlock();
  }
}

/** Can be killed and repeated at any place: only what is still beside takes its place again. */
async function putBack(host: Host, staging: string, into: string, { places, before, after }: Moves): Promise<void> {
  for (const [number, { path, former }] of [...places.entries()].reverse()) {
    const target = join(into, path);
    const aside = formerOf(staging, number);
    const now = existsSync(aside) ? await entryTree(into, path, Object.keys(after)) : undefined;
    if (now !== undefined && !after[path]?.includes(now))
      throw new ProvisionError("REFUSED", `${target} was changed since a build that was killed put it there`, {
        why: [`what stood there before is in ${aside}`],
        state: "it was left as it is",
        next: [`move ${target} away, and build again`],
      });
    if (existsSync(aside)) {
      await host.remove(target);
      await host.rename(aside, target);
    } else if (!former && !existsSync(join(staging, BUILT, path))) await host.remove(target);
  }
  await writeRecord(host, into, before);
  await host.remove(join(staging, MOVES));
}

function formerOf(staging: string, number: number): string {
  return join(staging, "former", String(number));
}

/** Only one at a time moves things in a directory, which is soon done; a kill frees it. */
async function lockPlaces(into: string): Promise<() => void> {
  const descriptor = openSync(into, "r");
  try {
    while (!lockDescriptor(descriptor, "exclusive")) await sleep(POLL);
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  return () => closeSync(descriptor);
}

async function stagingsOf(directory: string, name: string): Promise<readonly string[]> {
  const names = await readdir(directory).catch(() => []);
  return names.filter((each) => each.startsWith(`.${name}.building-`)).map((each) => join(directory, each));
}

async function readMoves(path: string): Promise<Moves> {
  try {
    const moves = JSON.parse(await readFile(path, "utf8")) as Moves;
    if (moves.format === 1) return moves;
  } catch {
    // said below
  }
  throw new ProvisionError("INVALID_FILE", `${path} cannot be read: it says what a build that was killed had moved`, {
    why: [`what it moved out of the way is in ${join(dirname(path), "former")}`],
    state: "nothing was changed",
  });
}

async function refuseForeign(
  into: string,
  paths: readonly string[],
  record: PutRecord["entries"],
  own: ReadonlyMap<string, string>,
  old: readonly string[],
): Promise<void> {
  const foreign: string[] = [];
  for (const path of paths) {
    const target = join(into, path);
    if (!existsSync(target) || (await readdir(target).catch(() => [""])).length === 0) continue;
    const now = (await entryTree(into, path, old)) ?? "";
    if (now === own.get(path)) continue;
    if (isWorkingCopy(target)) {
      foreign.push(`${path}: it is a working copy, and what was committed in it would be lost; bring it up to date in place`);
      continue;
    }
    if (record[path]?.includes(now)) continue;
    foreign.push(
      `${path}: ${record[path] === undefined ? "it was not put there by provision" : "it was changed since provision put it there"}`,
    );
  }
  if (foreign.length === 0) return;
  throw new ProvisionError(
    "NAME_TAKEN",
    `Directory not empty: ${foreign.length === 1 ? "one place" : `${foreign.length} places`} in ${into}`,
    {
      why: foreign,
      state: `${into} is as it was`,
      next: ["Move them away, or replace them with --overwrite"],
    },
  );
}

/** The places that lie in no other. */
function tops(paths: readonly string[]): string[] {
  return paths.filter((path) => !paths.some((other) => other !== path && path.startsWith(`${other}/`)));
}

/** Earlier entries inside the old tree that this build does not bring are carried over. */
async function carryInner(from: string, into: string, path: string, old: readonly string[], paths: readonly string[]): Promise<void> {
  for (const inner of tops(old.filter((other) => other.startsWith(`${path}/`) && !paths.includes(other)))) {
    const place = join(from, inner);
    if (!existsSync(join(into, inner)) || existsSync(place)) continue;
    await mkdir(dirname(place), { recursive: true, mode: 0o755 });
    await cp(join(into, inner), place, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  }
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
