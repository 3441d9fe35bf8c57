import type { Json } from "../../src/core/json.js";
import type { Run, Step, Undo } from "../../src/core/step.js";

/** What became of the steps: their changes and undo data, in order. */
export interface Driven {
  readonly changes: readonly string[];
  readonly undo: readonly Undo[];
}

/** Checks and applies steps one after the other, without engine, journal or undo. */
export async function drive(steps: readonly Step[]): Promise<Driven> {
  const outs = new Map<unknown, Json>();
  const run: Run = {
    operation: "20261123T091500-7f3a",
    out: <T extends Json>(of: Step<T>) => outs.get(of) as T | undefined,
    need: <T extends Json>(of: Step<T>) => outs.get(of) as T,
    signal: new AbortController().signal,
    progress: () => {},
    warn: () => {},
  };
  const changes: string[] = [];
  const undo: Undo[] = [];
  for (const step of steps) {
    const decision = await step.check(run);
    if (decision.changes.length === 0) continue;
    changes.push(...decision.changes);
    undo.push(...(decision.undo ?? []));
    outs.set(step, await step.apply(run));
  }
  return { changes, undo };
}

/** What the steps would change; nothing is applied. */
export async function wouldChange(steps: readonly Step[]): Promise<readonly string[]> {
  const run = { operation: "20261123T091500-7f3a" } as Run;
  return (await Promise.all(steps.map((step) => step.check(run)))).flatMap((decision) => decision.changes);
}
