import type { ProvisionError } from "../../core/errors.js";
import type { Event } from "../../core/events.js";
import type { Json } from "../../core/json.js";
import type { OperationSummary } from "../../core/operations.js";
import { Scope } from "../../core/scope.js";
import type { Operation, Parent } from "../../core/step.js";
import { STOP_REASONS, Stop } from "../../core/stop.js";
import { type Circumstances, goOn, run } from "../run.js";
import type { Services } from "../services.js";

/** What the whole is told of a part while it runs. */
export interface Watch {
  /** Ends the part, which takes back what it did. */
  readonly signal?: AbortSignal;
  progress?(message: string): void;
}

export interface Part {
  readonly operation: string | undefined;
  readonly data: { readonly [key: string]: Json };
  readonly warnings: readonly string[];
  readonly ms: number;
  /** It failed; what it did is undone unless `exit` says otherwise. */
  readonly failure?: { readonly error: ProvisionError; readonly exit: number };
}

/**
 * Runs an operation as a part of another (DESIGN 6, Composition): with a journal of its own that names the whole, under the locks of the whole. `of`: id of the
 * whole, whose journal is open. What the part has to say comes back; it rejects only with what is a bug.
 */
export function runPart<Args, Inputs>(
  use: Services,
  of: string,
  operation: Operation<Args, Inputs, Services>,
  args: Args,
  target: string,
  watch: Watch = {},
): Promise<Part> {
  return watched(use, of, target, watch, (circumstances) => run(operation, args, circumstances));
}

/** Ends a part that was interrupted: finishes one that is committed, takes back any other. */
export function endPart(use: Services, of: string, part: OperationSummary, watch: Watch = {}): Promise<Part> {
  const direction = part.committed ? "resume" : "abort";
  return watched(use, of, part.open?.target ?? "", watch, (circumstances) => goOn(direction, part, circumstances));
}

async function watched(
  use: Services,
  of: string,
  target: string,
  { signal, progress }: Watch,
  action: (circumstances: Circumstances) => Promise<void>,
): Promise<Part> {
  const { open } = use.operations.read(of);
  if (!open) throw new Error(`operation ${of} has no journal, and cannot have parts`);
  const parent: Parent = { operation: of, locks: open.locks, descriptors: use.scope.descriptors };
  const stop = new Stop();
  const { kill } = use.scope;
  const soft = () => stop.ask(STOP_REASONS.SIGTERM);
  const hard = () => {
    soft();
    soft();
  };
  if (signal?.aborted) soft();
  signal?.addEventListener("abort", soft, { once: true });
  kill?.addEventListener("abort", hard, { once: true });
  const warnings: string[] = [];
  let operation: string | undefined;
  let data: Part["data"] = {};
  let failure: Part["failure"];
  let ms = 0;
  const emit = (event: Event) => {
    if (event.type === "opened") operation = event.operation;
    else if (event.type === "started") progress?.(event.title);
    else if (event.type === "warning") warnings.push(event.message);
    else if (event.type === "data") data = { ...data, ...event.data };
    else if (event.type === "failed") failure = { error: event.error, exit: event.exit };
    else if (event.type === "ended") ms = event.ms;
  };
  try {
    await action({
      use: use.beside(new Scope(use.scope)),
      stop,
      version: open.provision,
      emit,
      target,
      dryRun: false,
      keepFailed: false,
      lockWait: 0,
      parent,
    });
  } finally {
    signal?.removeEventListener("abort", soft);
    kill?.removeEventListener("abort", hard);
  }
  return { operation, data, warnings, ms, ...(failure === undefined ? {} : { failure }) };
}
