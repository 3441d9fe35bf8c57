import type { Services } from "../operations/services.js";
import type { Invocation } from "./definition.js";

/** Takes away what is kept of sites and whose time is over, each site with a result of its own; nothing is said when there is nothing. */
export async function pruneDue(invocation: Invocation, use: Services, names?: readonly string[]): Promise<void> {
  const { allKept, due } = await import("../operations/parts/kept.js");
  const now = new Date();
  const over = [...(await allKept(use))].filter(
    ([name, kept]) => (names === undefined || names.includes(name)) && due(kept, now).length > 0,
  );
  if (over.length === 0) return;
  const { oneOfMany, operate } = await import("./hub.js");
  const { pruneGenerations } = await import("../operations/prune-generations.js");
  for (const [name] of over)
    await oneOfMany(invocation.session, "prune-generations", name, async () => {
      await operate(invocation, use, "prune-generations", name, pruneGenerations, { name, now: now.toISOString() });
    });
}
