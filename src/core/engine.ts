import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EXIT, messageOf, ProvisionError, systemFailure } from "./errors.js";
import type { Emit } from "./events.js";
import { appendLine, Journal, type OpenRecord } from "./journal.js";
import type { Json } from "./json.js";
import { killPoint } from "./kill-point.js";
import { type HeldLocks, takeLocks } from "./lock.js";
import type { OperationsDirectory } from "./operations.js";
import type { Scope } from "./scope.js";
import type { Lock, Operation, Parent, Run, Step, World } from "./step.js";
import { heardByMany, type Stop } from "./stop.js";

/** What an operation runs in: one process, one hub. */
export interface Surroundings {
  /** Version of provision, written into the journal. */
  readonly version: string;
  readonly operations: OperationsDirectory;
  readonly world: World;
  readonly scope: Scope;
  readonly stop: Stop;
}

export interface RunOptions {
  readonly command: string;
  readonly target: string | undefined;
  readonly emit: Emit;
  readonly dryRun: boolean;
  /** Leave a failed operation as it is, journal open, for a look; `abort` undoes it. */
  readonly keepFailed: boolean;
  /** Milliseconds to wait for busy locks. */
  readonly lockWait: number;
  /** Deals with interrupted operations on these contexts: finishes or aborts them, or rejects with INTERRUPTED. */
  settle(names: readonly string[]): Promise<void>;
  /** The operation that this one is part of, whose locks are held. */
  readonly parent?: Parent;
}

/** In a dry run, and there only: a decision hangs on a step that did not run. */
class KnownAfter extends Error {
  readonly step: Step;
  constructor(step: Step) {
    super(`known after "${step.title}"`);
    this.step = step;
  }
}

/** A step whose intent is written. */
interface Begun {
  readonly step: Step;
  readonly run: Run;
  readonly began: number;
  readonly changes: readonly string[];
  readonly journal: Journal;
}

/** A stop was asked for and reached the next place where an operation can stop. */
class Stopped extends Error {}

function stackLines(error: unknown): readonly string[] {
  return error instanceof Error
    ? (error.stack ?? "")
        .split("\n")
        .slice(1, 5)
        .map((line) => line.trim())
    : [];
}

/** A link was lost while a program ran: what it has done there cannot be known, so nothing may be undone. */
function linkLost(error: unknown): boolean {
  return error instanceof ProvisionError && "reached" in error && error.reached === "unknown";
}

/** Name of the machine that no connection could be made to; undefined: it failed otherwise. */
function unreached(error: unknown): string | undefined {
  return error instanceof ProvisionError && error.code === "HOST_UNAVAILABLE" && "machine" in error ? (error.machine as string) : undefined;
}

/** A machine that is not reached says that nothing was done there, which is not what can be said of an operation that had begun. */
function withoutState(error: ProvisionError): ProvisionError {
  if (!("reached" in error) || error.reached !== "no") return error;
  return new ProvisionError(error.code, error.message, { why: error.reasons, failures: error.failures, next: error.next, cause: error });
}

/**
 * Runs one operation from preflight to end (DESIGN 6, Life). All it has to say goes to `emit`; it
 * rejects only with what is a bug.
 */
export async function runOperation<Args, Inputs, Use>(
  operation: Operation<Args, Inputs, Use>,
  args: Args,
  use: Use,
  around: Surroundings,
  options: RunOptions,
): Promise<void> {
  const begun = Date.now();
  const id = around.operations.newId(new Date(), randomBytes(4).toString("hex"));
  let held: HeldLocks | undefined;
  try {
    if (options.parent) {
      await runPart(operation, args, use, id, around, options, options.parent, begun);
      return;
    }
    let prepared = options.dryRun ? await operation.prepare(args, use, id) : await firstLook(operation, args, use, id, around, options);
    if (options.dryRun) {
      await operation.preflight?.(prepared.inputs, use);
      await dryRun(operation.steps(prepared.inputs, use), id, around, options.emit);
      const forecast = await operation.forecast?.(prepared.inputs, use);
      if (forecast) {
        options.emit({ type: "data", data: forecast.data });
        options.emit({ type: "text", lines: forecast.lines });
      }
      options.emit({ type: "ended", ms: Date.now() - begun });
      return;
    }
    for (;;) {
      await options.settle(names(prepared.locks));
      held = await takeLocks(
        around.operations.locks,
        prepared.locks,
        { command: options.command, operation: id },
        options.lockWait,
        around.stop.signal,
      );
      around.scope.hold(held);
      // Between the look and the locks another operation may have changed, or been killed in, what we looked at.
      const again = await operation.prepare(args, use, id);
      const interrupted = around.operations.interrupted(names(again.locks)).length > 0;
      if (!interrupted && sameLocks(again.locks, prepared.locks)) {
        prepared = again;
        break;
      }
      held.release();
      held = undefined;
      around.scope.hold(undefined);
      prepared = again;
    }
    await operation.preflight?.(prepared.inputs, use);
    await new Execution(operation, prepared.inputs, use, around, options, begun).start(id, prepared.locks);
  } catch (thrown) {
    const error = systemFailure(thrown) ?? thrown;
    if (!(error instanceof ProvisionError)) throw error;
    const exit = around.stop.reason && error.code === "STOPPED" ? around.stop.reason.exit : error.exit;
    options.emit({ type: "failed", error, outcome: "failed", exit });
    options.emit({ type: "ended", ms: Date.now() - begun });
  } finally {
    around.scope.hold(undefined);
    held?.release();
  }
}

/** A run under the locks of another operation, to which the world has to be as this one needs it. */
async function runPart<Args, Inputs, Use>(
  operation: Operation<Args, Inputs, Use>,
  args: Args,
  use: Use,
  id: string,
  around: Surroundings,
  options: RunOptions,
  parent: Parent,
  begun: number,
): Promise<void> {
  around.scope.descriptors = parent.descriptors;
  const { inputs, locks } = await operation.prepare(args, use, id);
  await operation.preflight?.(inputs, use);
  await new Execution(operation, inputs, use, around, options, begun).start(id, lent(locks, parent));
}

/** The parent's locks on what a part would have locked itself: who looks for the part finds it by what is really held. */
function lent(locks: readonly Lock[], parent: Parent): readonly Lock[] {
  return locks.map((lock) => {
    const held = parent.locks.filter(({ kind, name }) => kind === lock.kind && name === lock.name);
    if (held.length === 0) throw new Error(`operation ${parent.operation} does not hold ${lock.kind} ${lock.name}, which its part needs`);
    return held.find(({ mode }) => mode === "exclusive") ?? (held[0] as Lock);
  });
}

/**
 * prepare, before there are locks. What it refuses may be the doing of an operation on the same target that was
 * killed (a directory half made), or that is under way: the first is settled before, the second waited for.
 */
async function firstLook<Args, Inputs, Use>(
  operation: Operation<Args, Inputs, Use>,
  args: Args,
  use: Use,
  id: string,
  { operations, stop }: Surroundings,
  { target, settle, lockWait }: RunOptions,
) {
  const targets = target === undefined ? [] : [target];
  const deadline = Date.now() + lockWait;
  let alone = false;
  for (;;) {
    await settle(targets);
    try {
      return await operation.prepare(args, use, id);
    } catch (error) {
      if (!(error instanceof ProvisionError)) throw error;
      const [other] = operations.running(targets);
      if (other === undefined) {
        // The other may have ended since: a refusal counts when nobody was there from the first look to the last.
        if (alone || targets.length === 0) throw error;
        alone = true;
        continue;
      }
      alone = false;
      if (Date.now() >= deadline) {
        throw new ProvisionError("LOCKED", `${target} is locked by another operation`, {
          why: [`${other.open?.command} (operation ${other.id}) since ${other.open?.at}`],
          state: "nothing was changed",
          next: ["wait for it, or use --lock-wait=5m", `provision operations show ${other.id}`],
        });
      }
      await sleep(Math.min(200, Math.max(1, deadline - Date.now())), undefined, { signal: stop.signal }).catch(() => {
        throw new ProvisionError("STOPPED", "stopped while waiting for another operation");
      });
    }
  }
}

/** Goes on with an interrupted operation, forward (`resume`) or backward (`abort`). */
export async function continueOperation<Args, Inputs, Use>(
  direction: "resume" | "abort",
  operation: Operation<Args, Inputs, Use>,
  open: OpenRecord,
  use: Use,
  around: Surroundings,
  options: RunOptions,
): Promise<void> {
  const begun = Date.now();
  let held: HeldLocks | undefined;
  try {
    if (options.parent === undefined) {
      held = await takeLocks(
        around.operations.locks,
        open.locks,
        { command: `${direction} ${open.command}`, operation: open.id },
        options.lockWait,
        around.stop.signal,
      );
      around.scope.hold(held);
    } else around.scope.descriptors = options.parent.descriptors;
    const execution = new Execution(operation, open.inputs as unknown as Inputs, use, around, options, begun);
    await execution.continue(direction, open.id);
  } catch (thrown) {
    const error = systemFailure(thrown) ?? thrown;
    if (!(error instanceof ProvisionError)) throw error;
    options.emit({ type: "failed", error, outcome: "failed", exit: error.exit });
    options.emit({ type: "ended", ms: Date.now() - begun });
  } finally {
    around.scope.hold(undefined);
    held?.release();
  }
}

function names(locks: readonly Lock[]): readonly string[] {
  return locks.map((lock) => lock.name);
}

function sameLocks(a: readonly Lock[], b: readonly Lock[]): boolean {
  const keys = (locks: readonly Lock[]) => locks.map((lock) => `${lock.kind} ${lock.name} ${lock.mode}`).sort();
  return JSON.stringify(keys(a)) === JSON.stringify(keys(b));
}

function phaseOf(step: Step): NonNullable<Step["phase"]> {
  return step.phase ?? "undoable";
}

/** Steps that are applied at the same time, the others alone. */
function groupsOf(steps: readonly Step[]): readonly (readonly Step[])[] {
  const groups: Step[][] = [];
  for (const step of steps) {
    const last = groups.at(-1);
    if (step.alongside !== undefined && last) last.push(step);
    else groups.push([step]);
  }
  return groups;
}

/** A plan that breaks the rules is a bug in provision, found before anything is done. */
function checkPlan(steps: readonly Step[]): void {
  const seen = new Map<string, Step>();
  let last = 0;
  for (const group of groupsOf(steps)) {
    const first = group[0] as Step;
    for (const step of group) {
      if (step.alongside !== undefined && (step === first || step.alongside !== first.id))
        throw new Error(`step ${step.id} is alongside ${step.alongside}, which is not just before it`);
      if (group.length > 1 && (phaseOf(step) !== "undoable" || step.uninterruptible || step.keep))
        throw new Error(`step ${step.id} cannot be applied at the same time as others`);
    }
  }
  for (const step of steps) {
    if (seen.has(step.id)) throw new Error(`step id ${step.id} occurs twice`);
    const order = ["undoable", "finish", "cleanup"].indexOf(phaseOf(step));
    if (order < last) throw new Error(`step ${step.id} (${phaseOf(step)}) stands after a later phase`);
    last = order;
    if (step.undoneBy !== undefined && !seen.has(step.undoneBy))
      throw new Error(`step ${step.id} is undone by ${step.undoneBy}, which is not before it`);
    seen.set(step.id, step);
  }
}

async function dryRun(steps: readonly Step[], id: string, around: Surroundings, emit: Emit): Promise<void> {
  checkPlan(steps);
  emit({ type: "planned", steps: steps.map(({ id: step, title }) => ({ id: step, title })) });
  const run: Run = {
    operation: id,
    out: () => undefined,
    need: (step) => {
      throw new KnownAfter(step as unknown as Step);
    },
    signal: around.stop.signal,
    progress: () => {},
    warn: (message) => emit({ type: "warning", message }),
  };
  for (const step of steps) {
    const begun = Date.now();
    emit({ type: "started", step: step.id, title: step.title });
    let changes: readonly string[];
    try {
      ({ changes } = await step.check(run));
    } catch (error) {
      if (!(error instanceof KnownAfter)) throw error;
      changes = [`known after "${error.step.title}"`];
    }
    emit({
      type: "finished",
      step: step.id,
      title: step.title,
      outcome: changes.length === 0 ? "ok" : "would_change",
      changes,
      ms: Date.now() - begun,
    });
  }
}

class Execution<Inputs, Use> {
  readonly #operation: Operation<never, Inputs, Use>;
  readonly #inputs: Inputs;
  readonly #use: Use;
  readonly #around: Surroundings;
  readonly #options: RunOptions;
  readonly #emit: Emit;
  readonly #steps: readonly Step[];
  readonly #begun: number;
  readonly #outs = new Map<string, Json>();
  readonly #changes: string[] = [];
  #journal: Journal | undefined;
  #marker: { readonly descriptor: number; end(): void } | undefined;
  #locks: readonly Lock[] = [];

  constructor(
    operation: Operation<never, Inputs, Use>,
    inputs: Inputs,
    use: Use,
    around: Surroundings,
    options: RunOptions,
    begun: number,
  ) {
    this.#operation = operation;
    this.#inputs = inputs;
    this.#use = use;
    this.#around = around;
    this.#options = options;
    this.#emit = options.emit;
    this.#begun = begun;
    this.#steps = operation.steps(inputs, use);
    checkPlan(this.#steps);
  }

  async start(id: string, locks: readonly Lock[]): Promise<void> {
    this.#locks = locks;
    await this.#closing(id, () => this.#run(id, () => this.#forward(id)));
  }

  async continue(direction: "resume" | "abort", id: string): Promise<void> {
    await this.#closing(id, async () => {
      const journal = this.#openJournal(id);
      this.#emit({ type: "opened", operation: id });
      if (journal.records.at(-1)?.t === "end")
        throw new ProvisionError("NOT_OPEN", `operation ${id} has ended`, { next: [`provision operations show ${id}`] });
      if (direction === "abort" && journal.committed) {
        throw new ProvisionError("COMMITTED", `operation ${id} is committed: it can only be finished`, {
          state: "what it switched to is in use",
          next: [`provision resume ${id}`],
        });
      }
      if (direction === "resume" && journal.undoing === null) {
        throw new ProvisionError("UNDOING", `operation ${id} is being rolled back: that can only be ended`, {
          next: [`provision abort ${id}`],
        });
      }
      for (const [step, out] of journal.outs()) this.#outs.set(step, out);
      if (direction === "abort")
        return this.#rollBack(id, new ProvisionError("INTERRUPTED", `${this.#options.command} was interrupted`), "aborted");
      const planned = this.#steps.map((step) => step.id);
      if (JSON.stringify(planned) !== JSON.stringify(journal.open?.steps)) {
        throw new ProvisionError("PLAN_CHANGED", `operation ${id} was begun by another version of provision, with other steps`, {
          next: [journal.committed ? `finish it with provision ${journal.open?.provision}` : `provision abort ${id}`],
        });
      }
      await this.#run(id, async () => {
        const until = journal.undoing;
        if (until !== undefined) await this.#undo(until);
        const unfinished = this.#steps.filter((step) => phaseOf(step) === "undoable" && journal.standing.get(step.id)?.t === "intent");
        // Of several that ran at the same time, down to where all of them are undone.
        const places = unfinished.map((step) => planned.indexOf(step.undoneBy ?? step.id));
        if (places.length > 0) await this.#undo(planned[Math.min(...places)] as string);
        await this.#forward(id);
      });
      return undefined;
    });
  }

  /** Closes what `action` opened; an operation whose journal says `end` is over. */
  async #closing(id: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } finally {
      this.#journal?.close();
      if (this.#journal?.records.at(-1)?.t === "end") this.#around.operations.finish(id);
      this.#marker?.end();
    }
  }

  /** From here on the operation is open; programs inherit the lock on its marker. */
  #openJournal(id: string): Journal {
    this.#marker = this.#around.operations.begin(id);
    this.#around.scope.descriptors = [...this.#around.scope.descriptors, this.#marker.descriptor];
    this.#journal = new Journal(this.#around.operations.directory(id), this.#around.operations.reserve);
    return this.#journal;
  }

  /** The forward run with what follows it: end, roll-back, or an open journal. */
  async #run(id: string, forward: () => Promise<void>): Promise<void> {
    try {
      await forward();
    } catch (error) {
      return this.#failed(id, error);
    }
    if (this.#journal) this.#end("changed");
    await this.#tell(id);
    const verdict = this.#operation.verdict?.(this.#inputs, this.#told(id));
    if (verdict) return this.#fail(verdict, "failed", verdict.exit);
    this.#emit({ type: "ended", ms: Date.now() - this.#begun });
    return undefined;
  }

  /** What the command has to say of itself. All is done by now: that it cannot be said is no failure of what was done. */
  async #tell(id: string): Promise<void> {
    try {
      const data = await this.#operation.data?.(this.#inputs, this.#told(id), this.#use);
      if (!data) return;
      this.#emit({ type: "data", data });
      const lines = this.#operation.lines?.(data);
      if (lines) this.#emit({ type: "text", lines });
    } catch (error) {
      if (!(error instanceof ProvisionError)) throw error;
      this.#emit({ type: "warning", message: `${this.#options.command} is done, but could not tell all of it: ${error.message}` });
    }
  }

  #told(id: string): Pick<Run, "out" | "operation"> {
    return { operation: id, out: (step) => this.#outs.get(step.id) as never };
  }

  async #forward(id: string): Promise<void> {
    const { scope, stop } = this.#around;
    // Written with the first intent: a run that changes nothing has no journal.
    const early: string[] = [];
    this.#emit({ type: "planned", steps: this.#steps.map(({ id: step, title }) => ({ id: step, title })) });
    for (const group of groupsOf(this.#steps)) {
      const todo = group.filter(({ id: step }) => {
        const known = this.#journal?.standing.get(step);
        return known === undefined || known.t === "intent";
      });
      const [first] = todo;
      if (first === undefined) continue;
      if (stop.signal.aborted) throw new Stopped();
      const phase = phaseOf(first);
      if (phase !== "undoable" && this.#journal && !this.#journal.committed) this.#journal.add({ t: "commit" });
      // One of several that fails ends the programs of the others.
      const over = todo.length > 1 ? new AbortController() : undefined;
      // A stop ends the running program before the commit; after it, programs end by themselves.
      const signal = first.uninterruptible || phase !== "undoable" ? undefined : stop.signal;
      scope.signal = over && signal ? heardByMany(AbortSignal.any([signal, over.signal])) : signal;
      scope.kill = stop.now;
      scope.keepOutput = (text) => {
        if (this.#journal) this.#around.operations.keepOutput(id, first.id, text);
      };
      try {
        const begun: Begun[] = [];
        for (const step of todo) {
          const one = await this.#begin(id, step, early);
          if (one) begun.push(one);
        }
        if (over) await this.#applyAll(begun, over);
        else for (const one of begun) await this.#apply(one);
      } finally {
        scope.signal = undefined;
        scope.keepOutput = undefined;
      }
    }
    if (stop.signal.aborted) this.#emit({ type: "note", message: `${stop.reason?.label} came when everything was done` });
  }

  /** Check and intent; undefined when there is nothing to do. */
  async #begin(id: string, step: Step, early: string[]): Promise<Begun | undefined> {
    const phase = phaseOf(step);
    const run = this.#runOf(id, step);
    const began = Date.now();
    this.#emit({ type: "started", step: step.id, title: step.title });
    return this.#attempt(step, began, async () => {
      const known = this.#journal?.standing.get(step.id);
      const decision = await step.check(run);
      // A step with an intent and no done is applied even if it looks right: its reload may be missing.
      const changes = decision.changes.length === 0 && known ? ["finish what was interrupted"] : decision.changes;
      if (changes.length === 0) {
        if (this.#journal) this.#journal.add({ t: "ok", step: step.id });
        else early.push(step.id);
        this.#emit({ type: "finished", step: step.id, title: step.title, outcome: "ok", changes, ms: Date.now() - began });
        return undefined;
      }
      const undo = decision.undo ?? [];
      if (phase === "undoable" && undo.length === 0 && step.undoneBy === undefined && !step.keep)
        throw new Error(`step ${step.id} would change something and says no undo`);
      if (phase !== "undoable" && (undo.length > 0 || step.undoneBy !== undefined))
        throw new Error(`step ${step.id} comes after the commit and says an undo`);
      const journal = this.#journal ?? this.#firstIntent(id, early);
      if (phase !== "undoable" && !journal.committed) journal.add({ t: "commit" });
      for (const before of decision.before ?? [])
        await this.#around.world.copyBefore(before, join(journal.directory, "before", before.name));
      journal.add({ t: "intent", step: step.id, title: step.title, undo, ...(step.keep ? { keep: true as const } : {}) });
      return { step, run, began, changes, journal };
    });
  }

  async #apply({ step, run, began, changes, journal }: Begun): Promise<void> {
    await this.#attempt(step, began, async () => {
      const out = await step.apply(run);
      killPoint();
      journal.add({ t: "done", step: step.id, out, changes });
      this.#outs.set(step.id, out);
      this.#changes.push(...changes);
      this.#emit({ type: "finished", step: step.id, title: step.title, outcome: "changed", changes, ms: Date.now() - began });
    });
  }

  /** All at once. When one fails the others are ended, and nothing runs any more when this rejects with why that one failed. */
  async #applyAll(begun: readonly Begun[], over: AbortController): Promise<void> {
    const failures: unknown[] = [];
    await Promise.all(
      begun.map(async (one) => {
        try {
          await this.#apply(one);
        } catch (error) {
          failures.push(error);
          over.abort();
        }
      }),
    );
    // What a lost machine has done is not known, whoever failed before.
    if (failures.length > 0) throw failures.find(linkLost) ?? failures[0];
  }

  /** What goes wrong is told and written down; of a cleanup step it is no failure. */
  async #attempt<T>(step: Step, began: number, action: () => Promise<T>): Promise<T | undefined> {
    const { stop } = this.#around;
    const phase = phaseOf(step);
    const failed = (why: string) =>
      this.#emit({ type: "finished", step: step.id, title: step.title, outcome: "failed", changes: [why], ms: Date.now() - began });
    try {
      return await action();
    } catch (error) {
      if (stop.signal.aborted && phase === "undoable") {
        failed(`ended by ${stop.reason?.label}`);
        throw new Stopped();
      }
      failed(messageOf(error));
      if (phase === "cleanup" && error instanceof ProvisionError) {
        this.#emit({ type: "warning", message: `${step.title}: ${error.message} (what is left is cleaned up by the next run)` });
        return undefined;
      }
      this.#journal?.add({
        t: "failed",
        step: step.id,
        code: error instanceof ProvisionError ? error.code : "BUG",
        message: messageOf(error),
      });
      throw error;
    }
  }

  #firstIntent(id: string, early: readonly string[]): Journal {
    const journal = this.#openJournal(id);
    journal.add(
      {
        t: "open",
        format: 1,
        provision: this.#around.version,
        id,
        ...(this.#options.parent === undefined ? {} : { parent: this.#options.parent.operation }),
        command: this.#options.command,
        target: this.#options.target ?? null,
        user: process.env["SUDO_USER"] ?? userInfo().username,
        locks: this.#locks,
        inputs: this.#inputs as Json,
        steps: this.#steps.map((step) => step.id),
      },
      ...early.map((step) => ({ t: "ok" as const, step })),
    );
    this.#emit({ type: "opened", operation: id });
    return journal;
  }

  #runOf(id: string, step: Step): Run {
    return {
      operation: id,
      out: (of) => this.#outs.get(of.id) as never,
      need: (of) => {
        if (!this.#outs.has(of.id)) throw new Error(`step ${step.id} needs the result of ${of.id}, which has none`);
        return this.#outs.get(of.id) as never;
      },
      signal: step.uninterruptible || phaseOf(step) !== "undoable" ? this.#around.stop.now : this.#around.stop.signal,
      progress: (message) => this.#emit({ type: "progress", message }),
      warn: (message) => this.#emit({ type: "warning", message }),
    };
  }

  async #failed(id: string, thrown: unknown): Promise<void> {
    const error = systemFailure(thrown) ?? thrown;
    const journal = this.#journal;
    const stopped = error instanceof Stopped ? this.#around.stop.reason : undefined;
    const cause =
      error instanceof ProvisionError
        ? error
        : stopped
          ? new ProvisionError(
              stopped.exit === EXIT.TIMED_OUT ? "TIMED_OUT" : "STOPPED",
              `${this.#options.command} was stopped by ${stopped.label}`,
            )
          : undefined;
    if (!journal) {
      if (!cause) throw error;
      return this.#fail(cause.with({ state: "nothing was changed" }), "failed", stopped?.exit ?? cause.exit);
    }
    const shown =
      (cause && withoutState(cause)) ??
      new ProvisionError("FAILED", `a bug in provision: ${messageOf(error)}`, { why: stackLines(error), cause: error });
    if (this.#around.stop.now.aborted) {
      return this.#fail(
        shown.with({
          state: "stopped at once, in the middle: what was done stands, and is in the journal",
          next: [...(journal.committed ? [] : [`provision abort ${id}`]), `provision resume ${id}`],
        }),
        "needs_attention",
        EXIT.NEEDS_ATTENTION,
      );
    }
    const away = unreached(error);
    // What was done on a machine that is away cannot be undone now, and may be gone on with when it is back.
    if (linkLost(error) || (away !== undefined && (journal.committed || this.#standsOn(away)))) {
      const stands = journal.committed ? "committed, not finished" : "nothing was undone";
      const doubt = linkLost(error) ? "what the lost machine has done is not known" : undefined;
      const state = [doubt, stands, await this.#state()].filter((part) => part !== undefined).join("; ");
      return this.#fail(
        shown.with({ state, next: [`provision resume ${id}`, ...(journal.committed ? [] : [`provision abort ${id}`])] }),
        "needs_attention",
        EXIT.UNAVAILABLE,
      );
    }
    if (journal.committed) {
      return this.#fail(
        shown.with({
          state: `committed, not finished: ${(await this.#state()) ?? "what was switched to is in use"}`,
          next: [`provision resume ${id}`],
        }),
        "needs_attention",
        EXIT.NEEDS_ATTENTION,
      );
    }
    if (this.#options.keepFailed && !stopped) {
      return this.#fail(
        shown.with({ state: "kept as it failed (--keep-failed)", next: [`provision operations show ${id}`, `provision abort ${id}`] }),
        "needs_attention",
        EXIT.NEEDS_ATTENTION,
      );
    }
    return this.#rollBack(id, shown, "failed", stopped?.exit);
  }

  /** Whether something of what was done would have to be undone on that machine. */
  #standsOn(machine: string): boolean {
    const journal = this.#journal as Journal;
    return [...journal.standing.values()].some(
      ({ t, step }) => t !== "ok" && journal.intent(step)?.undo.some(({ host }) => host === machine) === true,
    );
  }

  /** Undoes everything, then asks the operation whether all is as it was. */
  async #rollBack(id: string, cause: ProvisionError, why: "failed" | "aborted", stopExit?: number): Promise<void> {
    this.#emit({ type: "undoing", cause });
    let differences: readonly string[];
    try {
      await this.#undo(null);
      differences = await this.#operation.confirm(this.#inputs, this.#use);
    } catch (thrown) {
      const error = systemFailure(thrown) ?? thrown;
      if (!(error instanceof ProvisionError)) throw error;
      return this.#fail(
        cause.with({
          why: [`the roll-back stopped: ${error.message}`, ...error.why],
          state: "partly rolled back; nothing below the failed undo was touched",
          next: [`provision operations show ${id}`, `provision abort ${id}`],
        }),
        "needs_attention",
        EXIT.NEEDS_ATTENTION,
      );
    }
    this.#end("rolled_back");
    if (differences.length > 0) {
      return this.#fail(
        cause.with({ state: `rolled back, but not as before: ${differences.join("; ")}`, next: [`provision operations show ${id}`] }),
        "needs_attention",
        EXIT.NEEDS_ATTENTION,
      );
    }
    const state = `as before: ${(await this.#state()) ?? "rolled back, and checked"}`;
    if (why === "aborted") {
      this.#emit({ type: "note", message: `${this.#options.command} was rolled back; the state is ${state}` });
      this.#emit({ type: "ended", ms: Date.now() - this.#begun });
      return undefined;
    }
    return this.#fail(cause.with({ state, next: [`provision operations log ${id}`] }), "rolled_back", stopExit ?? EXIT.ROLLED_BACK);
  }

  /** Newest first, down to and including `until`; stops at the first that fails, since what lies below may still be in use. */
  async #undo(until: string | null): Promise<void> {
    const journal = this.#journal as Journal;
    this.#around.scope.signal = undefined;
    this.#around.scope.kill = this.#around.stop.now;
    if (journal.undoing !== until) journal.add({ t: "undoing", until });
    for (const record of [...journal.standing.values()].reverse()) {
      const intent = journal.intent(record.step);
      const kept = intent?.keep === true && record.t === "done";
      if (kept && record.step !== until) continue;
      if (record.t !== "ok" && intent && !kept) {
        const began = Date.now();
        for (const undo of [...intent.undo].reverse()) {
          const kind = this.#around.world.undo[undo.do];
          if (!kind)
            throw new ProvisionError("PLAN_CHANGED", `this version of provision cannot undo "${undo.do}" of step ${record.step}`, {
              next: ["use the version that wrote the journal"],
            });
          killPoint();
          await this.#withReserve(() => kind(undo, journal.directory));
          killPoint();
        }
        this.#emit({ type: "finished", step: record.step, title: intent.title, outcome: "undone", changes: [], ms: Date.now() - began });
      }
      journal.add({ t: "undone", step: record.step });
      this.#outs.delete(record.step);
      if (record.step === until) return;
    }
  }

  /** On a full disk an undo gets the room that was kept for it. */
  async #withReserve(undo: () => Promise<void>): Promise<void> {
    try {
      await undo();
    } catch (error) {
      if (!(error instanceof ProvisionError) || error.code !== "DISK_FULL" || !this.#around.operations.freeReserve()) throw error;
      await undo();
    }
  }

  #end(outcome: "changed" | "rolled_back"): void {
    const journal = this.#journal as Journal;
    journal.add({ t: "end", outcome });
    const open = journal.open;
    if (!open) return;
    const figures = outcome === "changed" ? this.#operation.figures?.(this.#inputs, this.#told(open.id)) : undefined;
    appendLine(
      this.#around.operations.history,
      JSON.stringify({
        at: new Date().toISOString(),
        operation: open.id,
        ...(open.parent === undefined ? {} : { parent: open.parent }),
        user: open.user,
        command: open.command,
        contexts: open.locks.filter((lock) => lock.mode === "exclusive").map((lock) => lock.name),
        outcome,
        ms: Date.now() - this.#begun,
        changes: outcome === "changed" ? this.#changes : [],
        ...(figures === undefined ? {} : { figures }),
      }),
    );
  }

  async #state(): Promise<string | undefined> {
    try {
      return await this.#operation.state?.(this.#inputs, this.#use);
    } catch (error) {
      if (!(error instanceof ProvisionError)) throw error;
      return undefined;
    }
  }

  #fail(error: ProvisionError, outcome: "failed" | "rolled_back" | "needs_attention", exit: number): void {
    this.#emit({ type: "failed", error, outcome, exit });
    this.#emit({ type: "ended", ms: Date.now() - this.#begun });
  }
}

/** The directories an engine needs below a hub's state directory. */
export function makeStateDirectories(state: string): void {
  for (const name of ["operations", "open", "locks", "cache", "queue", "platforms", "builds"])
    mkdirSync(join(state, name), { recursive: true, mode: name === "operations" ? 0o700 : 0o750 });
}
