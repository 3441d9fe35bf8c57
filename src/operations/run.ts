import { continueOperation, type RunOptions, runOperation, type Surroundings } from "../core/engine.js";
import { ProvisionError } from "../core/errors.js";
import type { Emit, Event } from "../core/events.js";
import type { OperationSummary } from "../core/operations.js";
import type { Operation, Parent } from "../core/step.js";
import type { Stop } from "../core/stop.js";
import { operationNamed } from "./index.js";
import type { Services } from "./services.js";

export interface Circumstances {
  readonly use: Services;
  readonly stop: Stop;
  readonly version: string;
  readonly emit: Emit;
  readonly target: string | undefined;
  readonly dryRun: boolean;
  readonly keepFailed: boolean;
  readonly lockWait: number;
  /** The operation that this one is part of. */
  readonly parent?: Parent;
}

function surroundings({ use, stop, version }: Circumstances): Surroundings {
  return { version, operations: use.operations, world: use.world, scope: use.scope, stop };
}

function options(operation: { readonly name: string }, circumstances: Circumstances): RunOptions {
  const { emit, target, dryRun, keepFailed, lockWait, parent } = circumstances;
  const settled = (names: readonly string[]) => settle(names, circumstances);
  return { command: operation.name, target, emit, dryRun, keepFailed, lockWait, settle: settled, ...(parent ? { parent } : {}) };
}

/** Runs one operation; everything it has to say goes to `emit`. */
export async function run<Args, Inputs>(
  operation: Operation<Args, Inputs, Services>,
  args: Args,
  circumstances: Circumstances,
): Promise<void> {
  await runOperation(operation, args, circumstances.use, surroundings(circumstances), options(operation, circumstances));
}

/** `resume` and `abort` of one interrupted operation. */
export async function goOn(direction: "resume" | "abort", summary: OperationSummary, circumstances: Circumstances): Promise<void> {
  const { open } = summary;
  if (summary.state !== "interrupted" || !open) {
    // One that was killed after its end, or before its beginning, is put away.
    circumstances.use.operations.interrupted([]);
    throw new ProvisionError(
      summary.state === "running" ? "LOCKED" : "NOT_OPEN",
      `operation ${summary.id} ${summary.state === "running" ? "is still running" : open ? "has ended" : "never began"}`,
      {
        next: [`provision operations show ${summary.id}`],
      },
    );
  }
  const whole = open.parent !== undefined && !circumstances.parent ? circumstances.use.operations.read(open.parent) : undefined;
  if (whole?.state === "interrupted")
    throw new ProvisionError("NOT_OPEN", `operation ${summary.id} is part of ${whole.open?.command} (operation ${whole.id})`, {
      next: [`provision ${whole.committed ? "resume" : "abort"} ${whole.id}`],
    });
  const operation = await operationNamed(open.command);
  await continueOperation(direction, operation, open, circumstances.use, surroundings(circumstances), options(operation, circumstances));
}

/**
 * Before a changing command: operations on the same contexts that were killed (DESIGN 6, Interrupted). A committed one
 * is finished first; one that may be undone by itself is; any other is left to a person, exit 75.
 */
export async function settle(names: readonly string[], circumstances: Circumstances): Promise<void> {
  if (circumstances.parent) return;
  for (const summary of circumstances.use.operations.interrupted(names)) {
    const { open } = summary;
    if (!open) continue;
    const operation = await operationNamed(open.command);
    const direction = summary.committed ? "resume" : operation.recovery === "automatic" ? "abort" : undefined;
    if (!direction) throw interrupted(summary);
    circumstances.emit({
      type: "note",
      message: `${open.command} ${open.target ?? ""} (operation ${summary.id}) was interrupted; ${direction === "resume" ? "finishing it, since it was committed" : "undoing it"}`,
    });
    let failure: Extract<Event, { type: "failed" }> | undefined;
    await goOn(direction, summary, {
      ...circumstances,
      // Its steps are not ours: only what goes wrong is told.
      emit: (event) => {
        if (event.type === "failed") failure = event;
      },
    });
    if (failure) throw failure.error;
  }
}

/** Rehearsals of this site that were killed: their copies go. They hold nothing of the site that others would wait for. */
export async function settleRehearsals(site: string, circumstances: Circumstances): Promise<void> {
  for (const id of circumstances.use.operations.open()) {
    const { open, state } = circumstances.use.operations.read(id);
    if (open?.command !== "rehearse" || open.target !== site || state !== "interrupted") continue;
    const copies = open.locks.filter(({ mode }) => mode === "exclusive").map(({ name }) => name);
    await settle(copies, circumstances);
  }
}

/** What an interrupted operation asks of a person. */
export function interrupted(summary: OperationSummary): ProvisionError {
  const command = `${summary.open?.command ?? "an operation"} ${summary.open?.target ?? ""}`.trim();
  return new ProvisionError("INTERRUPTED", `${command} was interrupted (operation ${summary.id})`, {
    state: summary.committed
      ? "committed, not finished"
      : summary.undoing
        ? "partly rolled back"
        : `stopped in the middle (provision operations show ${summary.id})`,
    next: summary.committed
      ? [`provision resume ${summary.id}`]
      : summary.undoing
        ? [`provision abort ${summary.id}`]
        : [`provision resume ${summary.id}    # go on`, `provision abort ${summary.id}     # put everything back`],
  });
}
