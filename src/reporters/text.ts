import { Chalk, type ChalkInstance } from "chalk";
import type { ProvisionError } from "../core/errors.js";
import type { Event, StepOutcome, Subject } from "../core/events.js";
import type { Result } from "../core/result.js";

export interface Look {
  readonly color: boolean;
  /** 0: changes and failures; 1: every step; 2: reasons and times too. -1: errors only. */
  readonly verbosity: number;
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
  block("Why", error.why);
  block("Now", error.state === undefined ? ["nothing was changed"] : [error.state]);
  block("Next", error.next);
  if (look.verbosity >= 2 && error.cause instanceof Error) lines.push(chalk.dim(error.cause.stack ?? error.cause.message));
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
