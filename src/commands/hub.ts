import { findHub } from "../context/find-hub.js";
import { contextNameProblem, quoted } from "../context/names.js";
import type { Context, ContextType } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Emit } from "../core/events.js";
import { Scope } from "../core/scope.js";
import type { Operation } from "../core/step.js";
import type { Services } from "../operations/services.js";
import type { Invocation } from "./definition.js";
import type { Session } from "./session.js";

/** The hub this command line is about, and all that works on it. */
export async function openHub(session: Session): Promise<Services> {
  const root = await findHub({ hub: session.common.hub, env: process.env, cwd: process.cwd() });
  const { Services } = await import("../operations/services.js");
  return Services.of(root, new Scope());
}

/** A context's name as typed, with its `@`. Rejects with USAGE. */
export function contextName(word: string): string {
  const problem = word.startsWith("@") ? contextNameProblem(word.slice(1)) : "does not begin with @";
  if (!problem) return word;
  throw new ProvisionError("USAGE", `${quoted(word)} is not the name of a context: it ${problem}`, {
    next: ["provision list", "names look like @example.com"],
  });
}

/** The context, when it is of one of these types. Rejects with CONTEXT_NOT_FOUND or USAGE. */
export async function contextOfType(use: Services, word: string, types: readonly ContextType[], command: string): Promise<Context> {
  const name = contextName(word);
  const context = await use.store.need(name);
  if (types.includes(context.context_type)) return context;
  throw new ProvisionError("USAGE", `${command} works on a ${types.join(" or ")}; ${name} is a ${context.context_type}`, {
    next: types.map((type) => `provision list ${type}s`),
  });
}

/** Runs one operation on one target and draws it. */
export async function operate<Args, Inputs>(
  invocation: Invocation,
  use: Services,
  command: string,
  target: string | undefined,
  operation: Operation<Args, Inputs, Services>,
  args: Args,
  after?: (emit: Emit) => Promise<void>,
) {
  const { session, options } = invocation;
  const { run } = await import("../operations/run.js");
  return session.subject({ command, target }, async (emit) => {
    await run(operation, args, {
      use,
      stop: session.stop,
      version: session.version,
      emit,
      target,
      dryRun: session.common.dryRun,
      keepFailed: options["keepFailed"] === true,
      lockWait: session.common.lockWait,
    });
    await after?.(emit);
  });
}

/** Does one thing for every context named, each with a result of its own; what one is refused does not stop the others. */
export async function eachTarget(invocation: Invocation, command: string, action: (target: string) => Promise<void>): Promise<void> {
  const targets = [...new Set(invocation.arguments)];
  if (targets.length > 1) invocation.session.severalTargets();
  for (const target of targets) await oneOfMany(invocation.session, command, target, () => action(target));
}

/** One of several targets: what it is refused is its own result. */
export async function oneOfMany(session: Session, command: string, target: string, action: () => Promise<void>): Promise<void> {
  try {
    const { reason } = session.stop;
    if (reason) throw new ProvisionError("STOPPED", `not begun: stopped by ${reason.label}`);
    await action();
  } catch (error) {
    if (!(error instanceof ProvisionError)) throw error;
    await session.subject({ command, target }, async (emit) =>
      emit({ type: "failed", error, outcome: "failed", exit: session.exitOf(error) }),
    );
  }
}

/** Readers say what is unfinished; they do not touch it. */
export function warnOfInterrupted(use: Services, names: readonly string[], emit: Emit): void {
  for (const { id, open, committed } of use.operations.interrupted(names)) {
    emit({
      type: "warning",
      message: `${open?.command ?? "an operation"} ${open?.target ?? ""} was interrupted (operation ${id}): provision resume ${id}${committed ? "" : `, or provision abort ${id}`}`,
    });
  }
}

/** Destroying something needs --yes, or a yes typed on a terminal. Rejects with CONFIRMATION_NEEDED. */
export async function confirmed(session: Session, question: string): Promise<void> {
  if (session.common.yes || session.common.dryRun) return;
  if (session.common.interactive && process.stdin.isTTY && process.stderr.isTTY) {
    const { createInterface } = await import("node:readline/promises");
    const prompt = createInterface({ input: process.stdin, output: process.stderr });
    const answer = await prompt.question(`${question} [y/N] `);
    prompt.close();
    if (/^y(es)?$/i.test(answer.trim())) return;
    throw new ProvisionError("CONFIRMATION_NEEDED", "not confirmed");
  }
  throw new ProvisionError("CONFIRMATION_NEEDED", `${question} That needs --yes.`, { next: ["the same command with --yes"] });
}

/** Columns as wide as their widest cell. */
export function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = rows.reduce<number[]>((widest, row) => row.map((cell, index) => Math.max(widest[index] ?? 0, cell.length)), []);
  return rows.map((row) =>
    row
      .map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}
