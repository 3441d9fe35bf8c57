import { EXIT, type FailedEntry, type ProvisionError } from "./errors.js";
import type { Event, Outcome, StepOutcome, Subject } from "./events.js";
import type { Json } from "./json.js";

interface StepResult {
  readonly id: string;
  readonly title: string;
  readonly outcome: StepOutcome;
  readonly changes: readonly string[];
  readonly ms: number;
}

type Counts = Readonly<Record<StepOutcome, number>>;

/** The document of DESIGN 4, printed by every command with `--json`. */
export interface Result {
  readonly schema: "provision/result@1";
  readonly ok: boolean;
  readonly exit: number;
  readonly command: string;
  readonly target?: string;
  readonly operation?: string;
  readonly outcome: Outcome;
  readonly counts: Counts;
  readonly steps: readonly StepResult[];
  readonly warnings?: readonly string[];
  readonly data?: { readonly [key: string]: Json };
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly why: readonly string[];
    /** When several things failed in one piece of work. */
    readonly failures?: readonly FailedEntry[];
    readonly state: string;
    readonly next: readonly string[];
  };
  readonly duration_ms: number;
}

export interface Results {
  readonly schema: "provision/results@1";
  readonly ok: boolean;
  readonly exit: number;
  readonly results: readonly Result[];
}

/** Pure: the events of one command on one target, as one document. */
export function resultOf(subject: Subject, events: readonly Event[]): Result {
  const steps = new Map<string, StepResult>();
  const warnings: string[] = [];
  let operation: string | undefined;
  let data: { readonly [key: string]: Json } | undefined;
  let failure: Extract<Event, { type: "failed" }> | undefined;
  let exit: number | undefined;
  let ms = 0;
  for (const event of events) {
    if (event.type === "opened") operation = event.operation;
    // A step that was undone appears once, with what became of it last.
    else if (event.type === "finished")
      steps.set(event.step, { id: event.step, title: event.title, outcome: event.outcome, changes: event.changes, ms: event.ms });
    else if (event.type === "warning") warnings.push(event.message);
    else if (event.type === "data") data = { ...data, ...event.data };
    else if (event.type === "failed") failure = event;
    else if (event.type === "ended") {
      ms = event.ms;
      exit = event.exit;
    }
  }
  const list = [...steps.values()];
  const counts: Record<StepOutcome, number> = { ok: 0, changed: 0, would_change: 0, failed: 0, undone: 0, skipped: 0 };
  for (const step of list) counts[step.outcome]++;
  const outcome = failure?.outcome ?? (counts.changed > 0 ? "changed" : counts.would_change > 0 ? "would_change" : "ok");
  return {
    schema: "provision/result@1",
    ok: failure === undefined,
    exit: failure?.exit ?? exit ?? EXIT.DONE,
    command: subject.command,
    ...(subject.target === undefined ? {} : { target: subject.target }),
    ...(operation === undefined ? {} : { operation }),
    outcome,
    counts,
    steps: list,
    ...(warnings.length === 0 ? {} : { warnings }),
    ...(data === undefined ? {} : { data }),
    ...(failure === undefined ? {} : { error: errorDocument(failure.error) }),
    duration_ms: ms,
  };
}

function errorDocument({ code, message, why, failures, state = "nothing was changed", next }: ProvisionError) {
  return { code, message, why, ...(failures.length === 0 ? {} : { failures }), state, next };
}

/** Pure: the documents of several targets as one; 3 when some failed, 5 when one of them needs a person, 2 when one found differences. */
export function resultsOf(results: readonly Result[]): Results {
  const failed = results.filter((result) => !result.ok);
  const exit =
    failed.length === 0
      ? results.some((result) => result.exit === EXIT.DIFFERENCES)
        ? EXIT.DIFFERENCES
        : EXIT.DONE
      : failed.some((result) => result.exit === EXIT.NEEDS_ATTENTION)
        ? EXIT.NEEDS_ATTENTION
        : EXIT.SOME_FAILED;
  return { schema: "provision/results@1", ok: failed.length === 0, exit, results };
}
