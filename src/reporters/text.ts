import { Chalk, type ChalkInstance } from "chalk";
import type { FailedEntry, ProvisionError } from "../core/errors.js";
import type { Event, StepOutcome, Subject } from "../core/events.js";
import type { Result } from "../core/result.js";

export interface Look {
  readonly color: boolean;
  /** 0: changes and failures; 1: every step; 2: reasons and times too. -1: errors only. */
  readonly verbosity: number;
  /** Characters in a line of the terminal; absent when what is written is no terminal: lines are then as long as they are. */
  readonly width?: number;
}

export function chalkFor(look: Look): ChalkInstance {
  return new Chalk({ level: look.color ? 1 : 0 });
}

const GLYPH: Readonly<Record<StepOutcome, string>> = { ok: "·", changed: "✔", would_change: "±", failed: "✖", undone: "↶", skipped: "-" };

function outcomeWord(outcome: StepOutcome): string {
  return outcome.replace("_", " ");
}

export function subjectText({ command, target }: Subject): string {
  return target === undefined ? command : `${command} ${target}`;
}

/** One line per step, and one per change below it when there are several. */
export function stepLines(event: Extract<Event, { type: "finished" }>, look: Look): readonly string[] {
  const quiet = event.outcome === "ok" && look.verbosity < 1;
  if (quiet || look.verbosity < 0) return [];
  const chalk = chalkFor(look);
  const paint = {
    ok: chalk.dim,
    changed: chalk.green,
    would_change: chalk.yellow,
    failed: chalk.red,
    undone: chalk.magenta,
    skipped: chalk.dim,
  }[event.outcome];
  const time = look.verbosity >= 2 ? ` (${event.ms} ms)` : "";
  const head = paint(`${GLYPH[event.outcome]} ${outcomeWord(event.outcome).padEnd(12)} ${event.title}${time}`);
  return [head, ...event.changes.map((change) => `${" ".repeat(15)}${change.split("\n").join(`\n${" ".repeat(15)}`)}`)];
}

/** ` (step 3 of 9)`, when a step of a plan failed. */
function whichStep(events: readonly Event[]): string {
  const steps = events.findLast((event) => event.type === "planned")?.steps ?? [];
  const failed = events.find((event) => event.type === "finished" && event.outcome === "failed");
  const at = failed?.type === "finished" ? steps.findIndex(({ id }) => id === failed.step) : -1;
  return at === -1 || steps.length < 2 ? "" : ` (step ${at + 1} of ${steps.length})`;
}

/** What failed, why, what the state is now, and the next command to type. `events`: all of the command so far. */
export function errorLines(subject: Subject, error: ProvisionError, events: readonly Event[], look: Look): readonly string[] {
  const chalk = chalkFor(look);
  const lines = [chalk.red(`✖ ${subjectText(subject)}: ${error.message}${whichStep(events)}`)];
  const block = (label: string, texts: readonly string[]) => {
    texts.forEach((text, index) => {
      lines.push(`  ${(index === 0 ? label : "").padEnd(5)} ${text}`);
    });
  };
  block("Why", [...failureTable(error.failures, look.width === undefined ? undefined : look.width - INDENT), ...error.reasons]);
  block("Now", error.state === undefined ? ["nothing was changed"] : [error.state]);
  block("Next", error.next);
  if (look.verbosity >= 2 && error.cause instanceof Error) lines.push(chalk.dim(error.cause.stack ?? error.cause.message));
  return lines;
}

/** Before what stands behind «Why». */
const INDENT = 8;
/** A reason in less than this is a column of single words. */
const NARROW = 32;

/**
 * Entry, type, source and reason in columns, a row for each. In a terminal the reason is broken into lines inside its column, or,
 * when the others leave it no room, stands below them.
 */
function failureTable(failures: readonly FailedEntry[], width: number | undefined): readonly string[] {
  if (failures.length === 0) return [];
  // The source stands in its own column; for messages on their own it is said in the reason, too.
  const own = failures.map((failure) => ({ ...failure, reason: failure.reason.replace(` from ${failure.source}: `, ": ") }));
  const rows = [{ entry: "entry", type: "type", source: "source", reason: "reason" }, ...own];
  const widest = (key: keyof FailedEntry) => Math.max(...rows.map((row) => row[key].length));
  const [first, second, third] = [widest("entry"), widest("type"), widest("source")];
  const before = first + second + third + 6;
  const room = width === undefined ? Number.POSITIVE_INFINITY : width - before;
  const below = room < NARROW && rows.some(({ reason }) => reason.length > room);
  return rows.flatMap(({ entry, type, source, reason }) => {
    const start = `${entry.padEnd(first)}  ${type.padEnd(second)}  ${source.padEnd(third)}`;
    if (below) return [start.trimEnd(), ...broken(reason, (width ?? 0) - 4).map((line) => `    ${line}`)];
    return broken(reason, room).map((line, index) => `${index === 0 ? start : " ".repeat(before - 2)}  ${line}`);
  });
}

/** At spaces; a word that is longer than the line stays whole, so that it can be copied. */
function broken(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** The counts that end every run. */
export function countLine(subject: Subject, result: Pick<Result, "counts" | "outcome" | "operation">, ms: number): string {
  const counts = Object.entries(result.counts)
    .filter(([outcome, count]) => count > 0 || outcome === "ok" || (outcome === "changed" && result.counts.would_change === 0))
    .map(([outcome, count]) => `${count} ${outcomeWord(outcome as StepOutcome)}`)
    .join(", ");
  return `${subjectText(subject)}: ${counts} (${(ms / 1000).toFixed(1)} s${result.operation === undefined ? "" : `, operation ${result.operation}`})`;
}
