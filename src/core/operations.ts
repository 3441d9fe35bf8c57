import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ProvisionError } from "./errors.js";
import { isCommitted, type JournalRecord, type OpenRecord, readJournal, syncDirectory, undoingOf } from "./journal.js";
import { killPoint } from "./kill-point.js";
import { lockDescriptor } from "./lock.js";

/** Markers that this process holds: a fleet has many, and to ask the kernel of each costs the start of a program. */
const OURS = new Set<string>();

const ID = /^[0-9]{8}T[0-9]{6}-[0-9a-f]{4,8}$/;

/** The operations of a hub, below its state directory: `operations/<id>/`, and `open/<id>` while unfinished. */
export class OperationsDirectory {
  readonly state: string;

  constructor(state: string) {
    this.state = state;
  }

  directory(id: string): string {
    return join(this.state, "operations", id);
  }

  get locks(): string {
    return join(this.state, "locks");
  }

  get reserve(): string {
    return join(this.state, "reserve");
  }

  get history(): string {
    return join(this.state, "history.jsonl");
  }

  #marker(id: string): string {
    return join(this.state, "open", id);
  }

  /** A new id, as it stands in every name the operation makes: UTC time and four random hex digits. */
  newId(now: Date, random: string): string {
    const id = `${now.toISOString().slice(0, 19).replace(/[-:]/g, "")}-${random.slice(0, 4)}`;
    return existsSync(this.directory(id)) ? `${id}${random.slice(4, 8)}` : id;
  }

  /**
   * Marks an operation as under way. The marker is locked by this process and every program it starts
   * (`descriptor`): an open operation whose marker is free was interrupted.
   */
  begin(id: string): { readonly descriptor: number; end(): void } {
    mkdirSync(this.directory(id), { recursive: true, mode: 0o700 });
    mkdirSync(join(this.state, "open"), { recursive: true });
    const marker = this.#marker(id);
    const again = existsSync(marker);
    // A new marker is seen by others only when it is locked: one that is free belongs to an operation that was killed.
    const path = again ? marker : join(this.directory(id), "marker");
    const descriptor = openSync(path, "a", 0o600);
    if (!lockedSoon(descriptor)) {
      closeSync(descriptor);
      throw new ProvisionError("LOCKED", `operation ${id} is being worked on by another process`);
    }
    killPoint();
    if (!again) renameSync(path, marker);
    killPoint();
    syncDirectory(join(this.state, "open"));
    OURS.add(marker);
    const end = () => {
      OURS.delete(marker);
      closeSync(descriptor);
    };
    return { descriptor, end };
  }

  /** The operation is over: its before-images go, then the marker. */
  finish(id: string): void {
    rmSync(join(this.directory(id), "before"), { recursive: true, force: true });
    killPoint();
    rmSync(this.#marker(id), { force: true });
    if (!existsSync(this.reserve)) this.refillReserve();
  }

  /** Gives the reserve up; false when it was gone already. */
  freeReserve(): boolean {
    const there = existsSync(this.reserve);
    rmSync(this.reserve, { force: true });
    return there;
  }

  /** A megabyte that is given up when the disk is full, so that roll-backs can be written down. */
  refillReserve(): void {
    try {
      writeFileSync(this.reserve, Buffer.alloc(1 << 20), { mode: 0o600 });
    } catch {
      // A disk that is full now gets its reserve after another operation.
      rmSync(this.reserve, { force: true });
    }
  }

  /** Ids of operations that have begun and not ended, oldest first. */
  open(): readonly string[] {
    return listDirectory(join(this.state, "open")).filter((id) => ID.test(id));
  }

  /** Ids of all operations that changed something, oldest first. */
  all(): readonly string[] {
    // A directory with neither belongs to one that is just beginning, or was killed there.
    const known = (id: string) => existsSync(join(this.directory(id), "journal.jsonl")) || existsSync(this.#marker(id));
    return listDirectory(join(this.state, "operations")).filter((id) => ID.test(id) && known(id));
  }

  /** The full id of one, from the id or its unique end (`7f3a`). Errors: OPERATION_NOT_FOUND. */
  resolve(id: string): string {
    const found = this.all().filter((known) => known === id || known.endsWith(`-${id}`));
    if (found.length === 1) return found[0] as string;
    throw new ProvisionError(
      "OPERATION_NOT_FOUND",
      found.length === 0 ? `no operation ${id}` : `${id} is the end of ${found.length} operations: ${found.join(", ")}`,
      {
        next: ["provision operations list"],
      },
    );
  }

  /** Ended operations that began before this time, as their ids say it; those that are open never. */
  endedBefore(time: Date): readonly string[] {
    const until = time.toISOString().slice(0, 19).replace(/[-:]/g, "");
    return this.all().filter((id) => id.slice(0, until.length) < until && this.read(id).state === "ended");
  }

  /** Takes away the journal of one that has ended, and what its programs printed; what history.jsonl says of it stays. */
  forget(id: string): void {
    rmSync(this.directory(id), { recursive: true, force: true });
  }

  /** What is known of operations whose journals are gone, oldest first. */
  forgotten(): readonly Forgotten[] {
    const known = new Set(this.all());
    const lines = existsSync(this.history) ? readFileSync(this.history, "utf8").split("\n") : [];
    return lines.flatMap((line) => {
      try {
        const { at, operation, user, command, contexts, outcome } = JSON.parse(line);
        const told = [at, operation, user, command, outcome].every((value) => typeof value === "string");
        return told && !known.has(operation) ? [{ at, id: operation, user, command, target: contexts?.at?.(-1) ?? null, outcome }] : [];
      } catch {
        // Empty, or cut off by a kill.
        return [];
      }
    });
  }

  read(id: string): OperationSummary {
    const { records } = readJournal(this.directory(id));
    const open = records[0]?.t === "open" ? records[0] : undefined;
    const end = records.findLast((record) => record.t === "end");
    const marked = existsSync(this.#marker(id));
    const state: OperationState = end || !marked ? "ended" : this.#alive(id) ? "running" : "interrupted";
    return {
      id,
      state,
      open,
      records,
      committed: isCommitted(records),
      undoing: undoingOf(records) === null,
      outcome: end?.outcome,
    };
  }

  /** Operations that were killed and hold one of these contexts. One without a journal never began: its marker goes. */
  interrupted(names: readonly string[]): readonly OperationSummary[] {
    const found: OperationSummary[] = [];
    for (const id of this.open()) {
      if (OURS.has(this.#marker(id))) continue;
      const summary = this.read(id);
      if (summary.state === "running") continue;
      // A part of an operation that was interrupted too is the business of whoever ends that.
      const { parent } = summary.open ?? {};
      if (parent !== undefined && existsSync(this.#marker(parent)) && summary.state === "interrupted") continue;
      if (summary.state === "ended" || !summary.open) {
        if (this.#alive(id)) continue;
        this.finish(id);
        if (!summary.open) rmSync(this.directory(id), { recursive: true, force: true });
      } else if (summary.open.locks.some((lock) => lock.mode === "exclusive" && names.includes(lock.name))) found.push(summary);
    }
    return found;
  }

  /** Operations under way that hold one of these contexts for themselves. */
  running(names: readonly string[]): readonly OperationSummary[] {
    if (names.length === 0) return [];
    return this.open()
      .map((id) => this.read(id))
      .filter(
        ({ state, open }) => state === "running" && open?.locks.some((lock) => lock.mode === "exclusive" && names.includes(lock.name)),
      );
  }

  #alive(id: string): boolean {
    if (OURS.has(this.#marker(id))) return true;
    let descriptor: number;
    try {
      descriptor = openSync(this.#marker(id), "r");
    } catch {
      return false;
    }
    try {
      // Shared, so that two who ask at the same time do not take each other for the operation.
      return !lockDescriptor(descriptor, "shared");
    } finally {
      closeSync(descriptor);
    }
  }

  /** Keeps what programs of a step print, beside the journal. */
  keepOutput(id: string, step: string, text: string): void {
    const directory = join(this.directory(id), "output");
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    appendFileSync(join(directory, encodeURIComponent(step)), text.endsWith("\n") ? text : `${text}\n`, { mode: 0o600 });
  }

  /** What programs printed, by step, for `operations log`. */
  output(id: string): readonly { readonly step: string; readonly text: string }[] {
    const directory = join(this.directory(id), "output");
    const names = existsSync(directory) ? readdirSync(directory).sort() : [];
    return names.map((name) => ({ step: decodeURIComponent(name), text: readFileSync(join(directory, name), "utf8") }));
  }
}

export interface Forgotten {
  readonly id: string;
  /** ISO time of its end. */
  readonly at: string;
  readonly user: string;
  readonly command: string;
  readonly target: string | null;
  readonly outcome: string;
}

/** Who only asks whether the operation lives holds the marker for a moment. */
function lockedSoon(descriptor: number): boolean {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (lockDescriptor(descriptor, "exclusive")) return true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5 + Math.random() * 10);
  }
  return false;
}

type OperationState = "running" | "interrupted" | "ended";

export interface OperationSummary {
  readonly id: string;
  readonly state: OperationState;
  readonly open: OpenRecord | undefined;
  readonly records: readonly JournalRecord[];
  readonly committed: boolean;
  /** A roll-back of everything was begun: only abort is left. */
  readonly undoing: boolean;
  readonly outcome: string | undefined;
}

function listDirectory(path: string): readonly string[] {
  return existsSync(path) ? readdirSync(path).sort() : [];
}
