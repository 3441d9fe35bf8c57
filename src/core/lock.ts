import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isSystemError, ProvisionError } from "./errors.js";
import { LOCK_KINDS, type Lock } from "./step.js";

/**
 * Kernel locks (flock). This process opens the file and lets `flock` lock the descriptor it inherits: the lock
 * belongs to the open file, so it stays with this process and every program that inherits the
 * descriptor, and is free when the last of them is gone, however they went.
 */

/** Written into a lock file by who holds it. */
export interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly command: string;
  readonly operation: string;
  readonly since: string;
}

export interface HeldLocks {
  readonly descriptors: readonly number[];
  /** What they lock, each once, in the order in which locks are taken. */
  readonly locks: readonly Lock[];
  readonly holder: Holder;
  /** Unlocks, also for programs that inherited the locks and still run. */
  release(): void;
}

const POLL = 200;

/** One shell for several descriptors: to start a program costs this process more than it costs a shell. Prints how many it locked. */
const LOCK_EACH = 'n=0; for how; do flock "$how" -E 75 $((n + 3)) || { status=$?; echo $n; exit $status; }; n=$((n + 1)); done';

/** Locks an open file; false when another holds it, which it waits out with `wait`. */
export function lockDescriptor(descriptor: number, mode: Lock["mode"], wait = false): boolean {
  return firstBusy([{ descriptor, mode }], wait) === undefined;
}

/** Locks open files in their order up to the first that another holds; answers with its place, or undefined: all are locked. */
function firstBusy(wanted: readonly { readonly descriptor: number; readonly mode: Lock["mode"] }[], wait = false): number | undefined {
  const how = wanted.map(({ mode }) => `-${wait ? "" : "n"}${mode === "shared" ? "s" : "x"}`);
  const [program, ...words] = how.length === 1 ? ["flock", ...how, "-E", "75", "3"] : ["/bin/sh", "-c", LOCK_EACH, "sh", ...how];
  const { status, error, stdout, stderr } = spawnSync(program as string, words, {
    stdio: ["ignore", "pipe", "pipe", ...wanted.map(({ descriptor }) => descriptor)],
    encoding: "utf8",
  });
  if (status === 127 || (error && isSystemError(error, "ENOENT")))
    throw new ProvisionError("PROGRAM_MISSING", "the program flock (Debian package util-linux) could not be started", { cause: error });
  if (error || (status !== 0 && status !== 75)) throw new ProvisionError("FAILED", `flock failed: ${error?.message ?? stderr.trim()}`);
  return status === 0 ? undefined : Number(stdout);
}

function unlockAndClose(descriptors: readonly number[]): void {
  spawnSync("/bin/sh", ["-c", "n=3; for each; do flock -u $n & n=$((n + 1)); done; wait", "sh", ...descriptors.map(String)], {
    stdio: ["ignore", "ignore", "ignore", ...descriptors],
  });
  for (const descriptor of descriptors) closeSync(descriptor);
}

function lockFile(directory: string, lock: Pick<Lock, "kind" | "name">): string {
  return join(directory, lockName(lock));
}

/** What its file is called: `site.example.com`. */
export function lockName({ kind, name }: Pick<Lock, "kind" | "name">): string {
  return name === kind ? kind : `${kind}.${name.replace(/^@/, "")}`;
}

function inLockOrder(locks: readonly Lock[]): readonly Lock[] {
  const strongest = new Map<string, Lock>();
  for (const lock of locks) {
    const key = `${lock.kind} ${lock.name}`;
    if (strongest.get(key)?.mode !== "exclusive") strongest.set(key, lock);
  }
  return [...strongest.values()].sort((a, b) => LOCK_KINDS.indexOf(a.kind) - LOCK_KINDS.indexOf(b.kind) || (a.name < b.name ? -1 : 1));
}

/**
 * Takes all locks or none: one that is busy gives up the others, waits and tries again until `wait`
 * milliseconds are over. Rejects with LOCKED, saying who holds it since when.
 */
export async function takeLocks(
  directory: string,
  locks: readonly Lock[],
  holder: Pick<Holder, "command" | "operation">,
  wait: number,
  signal: AbortSignal,
): Promise<HeldLocks> {
  mkdirSync(directory, { recursive: true });
  const ordered = inLockOrder(locks);
  const deadline = Date.now() + wait;
  for (;;) {
    const taken: number[] = [];
    let busy: Lock;
    try {
      for (const lock of ordered) taken.push(openSync(lockFile(directory, lock), "a+", 0o640));
      const first = firstBusy(ordered.map(({ mode }, n) => ({ descriptor: taken[n] as number, mode })));
      if (first === undefined) {
        const said: Holder = { pid: process.pid, host: hostname(), ...holder, since: new Date().toISOString() };
        const text = JSON.stringify(said);
        for (const descriptor of taken) {
          ftruncateSync(descriptor, 0);
          writeSync(descriptor, text);
        }
        return { descriptors: taken, locks: ordered, holder: said, release: () => unlockAndClose(taken.reverse()) };
      }
      busy = ordered[first] as Lock;
    } catch (error) {
      for (const descriptor of taken) closeSync(descriptor);
      throw error;
    }
    for (const descriptor of taken) closeSync(descriptor);
    if (Date.now() >= deadline) throw busyError(directory, busy, wait);
    await sleep(Math.min(POLL, Math.max(1, deadline - Date.now())), undefined, { signal }).catch(() => {
      throw new ProvisionError("STOPPED", "stopped while waiting for a lock");
    });
  }
}

function busyError(directory: string, lock: Lock, waited: number): ProvisionError {
  const subject = lock.kind === "hub" ? "the hub" : lock.name;
  const holder = readHolder(lockFile(directory, lock));
  return new ProvisionError(
    "LOCKED",
    `${subject} is locked by another operation${waited > 0 ? ` (waited ${Math.round(waited / 1000)} s)` : ""}`,
    {
      why: holder
        ? [`${holder.command} (operation ${holder.operation}, process ${holder.pid} on ${holder.host}) since ${holder.since}`]
        : [],
      state: "nothing was changed",
      next: ["wait for it, or use --lock-wait=5m", ...(holder ? [`provision operations show ${holder.operation}`] : [])],
    },
  );
}

function readHolder(file: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Holder;
  } catch {
    // Between lock and text there is a moment without a name.
    return undefined;
  }
}

/**
 * A short lock inside a step (sites.php, the names of the hub, the http files of a server): one at a time, taken last,
 * waited for. Not inherited by programs.
 */
export async function withInnerLock<T>(directory: string, name: string, action: () => Promise<T>): Promise<T> {
  mkdirSync(directory, { recursive: true });
  const descriptor = openSync(join(directory, `inner.${name}`), "a", 0o640);
  try {
    const deadline = Date.now() + 60_000;
    while (!lockDescriptor(descriptor, "exclusive")) {
      if (Date.now() > deadline) throw new ProvisionError("LOCKED", `the lock ${name} was not free within a minute`);
      await sleep(50);
    }
    return await action();
  } finally {
    closeSync(descriptor);
  }
}
