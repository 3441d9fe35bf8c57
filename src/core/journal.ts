import { closeSync, existsSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { isSystemError } from "./errors.js";
import type { Json } from "./json.js";
import { killPoint } from "./kill-point.js";
import type { Lock, Undo } from "./step.js";

/** Everything that is known of an operation, one line each, fsynced before what it announces is done. */
export type JournalRecord = { readonly at: string } & (
  | {
      readonly t: "open";
      readonly format: 1;
      readonly provision: string;
      readonly id: string;
      /** The operation that this one is part of, under whose locks it runs. */
      readonly parent?: string;
      readonly command: string;
      readonly target: string | null;
      readonly user: string;
      readonly locks: readonly Lock[];
      readonly inputs: Json;
      readonly steps: readonly string[];
    }
  | { readonly t: "ok"; readonly step: string }
  | { readonly t: "intent"; readonly step: string; readonly title: string; readonly undo: readonly Undo[]; readonly keep?: true }
  | { readonly t: "done"; readonly step: string; readonly out: Json; readonly changes: readonly string[] }
  | { readonly t: "commit" }
  | { readonly t: "undoing"; readonly until: string | null }
  | { readonly t: "undone"; readonly step: string }
  | { readonly t: "failed"; readonly step: string; readonly code: string; readonly message: string }
  | { readonly t: "end"; readonly outcome: string }
);

export type OpenRecord = Extract<JournalRecord, { t: "open" }>;
type WithoutTime<R> = R extends unknown ? Omit<R, "at"> : never;
type StepRecord = Extract<JournalRecord, { t: "ok" | "intent" | "done" }>;

/** Reads the records of a journal; a torn last line never happened. */
export function readJournal(directory: string): { readonly records: readonly JournalRecord[]; readonly bytes: number } {
  const file = join(directory, "journal.jsonl");
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  const records = whole
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as JournalRecord);
  return { records, bytes: Buffer.byteLength(whole) };
}

/** The journal of one operation, open for adding. `directory` is `state/operations/<id>`. */
export class Journal {
  readonly directory: string;
  readonly #records: JournalRecord[];
  readonly #descriptor: number;
  readonly #reserve: string;

  /** `reserve`: a file that is given up when the disk is full, so that a roll-back can still be written down. */
  constructor(directory: string, reserve: string) {
    this.directory = directory;
    this.#reserve = reserve;
    mkdirSync(join(directory, "before"), { recursive: true, mode: 0o700 });
    const { records, bytes } = readJournal(directory);
    this.#records = [...records];
    this.#descriptor = openSync(join(directory, "journal.jsonl"), "a", 0o600);
    ftruncateSync(this.#descriptor, bytes);
    if (bytes === 0) syncDirectory(directory);
  }

  get records(): readonly JournalRecord[] {
    return this.#records;
  }

  add(...records: readonly WithoutTime<JournalRecord>[]): void {
    const dated = records.map((record) => ({ at: new Date().toISOString(), ...record }) as JournalRecord);
    const text = dated.map((record) => `${JSON.stringify(record)}\n`).join("");
    killPoint();
    killPoint(() => writeSync(this.#descriptor, text.slice(0, Math.floor(text.length / 2))));
    this.#write(text);
    killPoint();
    fsyncSync(this.#descriptor);
    this.#records.push(...dated);
    killPoint();
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  get open(): OpenRecord | undefined {
    const first = this.#records[0];
    return first?.t === "open" ? first : undefined;
  }

  get committed(): boolean {
    return isCommitted(this.#records);
  }

  /** The roll-back that was begun and has not ended: its last step, null for everything; else undefined. */
  get undoing(): string | null | undefined {
    return undoingOf(this.#records);
  }

  /** Steps that stand, oldest first, with the last thing known of each. */
  get standing(): ReadonlyMap<string, StepRecord> {
    const steps = new Map<string, StepRecord>();
    for (const record of this.#records) {
      if (record.t === "ok" || record.t === "intent" || record.t === "done") {
        steps.delete(record.step);
        steps.set(record.step, record);
      } else if (record.t === "undone") steps.delete(record.step);
    }
    return steps;
  }

  /** The undo and the title that the latest intent of a step was given. */
  intent(step: string): Extract<JournalRecord, { t: "intent" }> | undefined {
    return this.#records.findLast(
      (record): record is Extract<JournalRecord, { t: "intent" }> => record.t === "intent" && record.step === step,
    );
  }

  outs(): Map<string, Json> {
    const outs = new Map<string, Json>();
    for (const record of this.#records) if (record.t === "done") outs.set(record.step, record.out);
    return outs;
  }

  #write(text: string): void {
    try {
      writeAll(this.#descriptor, text);
    } catch (error) {
      if (!isSystemError(error, "ENOSPC") && !isSystemError(error, "EDQUOT")) throw error;
      rmSync(this.#reserve, { force: true });
      // What was written of the line before the disk was full must not stay before it.
      ftruncateSync(this.#descriptor, readJournal(this.directory).bytes);
      writeAll(this.#descriptor, text);
    }
  }
}

export function isCommitted(records: readonly JournalRecord[]): boolean {
  return records.some((record) => record.t === "commit");
}

export function undoingOf(records: readonly JournalRecord[]): string | null | undefined {
  let until: string | null | undefined;
  for (const record of records) {
    if (record.t === "undoing") until = record.until;
    else if (record.t === "undone" && record.step === until) until = undefined;
  }
  return until;
}

function writeAll(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length; ) written += writeSync(descriptor, bytes, written);
}

export function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Appends one line and fsyncs it. */
export function appendLine(file: string, line: string): void {
  mkdirSync(dirname(file), { recursive: true });
  const descriptor = openSync(file, "a", 0o600);
  try {
    writeAll(descriptor, `${line}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
