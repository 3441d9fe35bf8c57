import type { Services } from "../operations/services.js";
import type { Invocation } from "./definition.js";

/** Sites of which something is kept whose time is over, with their `@`; `names`: of these only. */
export async function duePruned(use: Services, names?: readonly string[]): Promise<readonly string[]> {
  const { allKept, due } = await import("../operations/parts/kept.js");
  const over = [...(await allKept(use))].filter(([, kept]) => due(kept, new Date()).length > 0).map(([name]) => name);
  return over.filter((name) => names === undefined || names.includes(name));
}

/** Takes away what is kept of these sites and whose time is over, each with a result of its own. */
export async function pruneDue(invocation: Invocation, use: Services, names: readonly string[]): Promise<void> {
  const { oneOfMany, operate } = await import("./hub.js");
  const { pruneGenerations } = await import("../operations/prune-generations.js");
  for (const name of names)
    await oneOfMany(invocation.session, "prune-generations", name, async () => {
      await operate(invocation, use, "prune-generations", name, pruneGenerations, { name, now: new Date().toISOString() });
    });
}
