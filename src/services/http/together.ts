import type { Run, Step } from "../../core/step.js";
import type { Exchange, Placed } from "./service.js";

/** One of several web servers, with its files. */
export interface Taking {
  /** Context name with its `@`. */
  readonly server: string;
  readonly exchange: Exchange;
}

/**
 * HttpService.activate on several web servers, as one step: tested on all, put in place on all, then served by one after the other. When one of them fails,
 * none has changed: those that serve the new files already go back. Undone as one server is, each by itself.
 */
export function activateTogether(id: string, title: string, all: readonly Taking[], more: Pick<Step, "phase"> = {}): Step {
  return {
    id,
    title,
    ...more,
    async check() {
      const decisions = [];
      for (const { server, exchange } of all) decisions.push({ server, ...(await exchange.decide()) });
      const changes = decisions.flatMap(({ server, changes }) => changes.map((change) => `${server}: ${change}`));
      if (changes.length === 0 || (more.phase !== undefined && more.phase !== "undoable")) return { changes };
      return { changes, undo: decisions.flatMap(({ undo = [] }) => undo) };
    },
    async apply(run) {
      // By name, so that two runs never wait for each other.
      const inOrder = all.toSorted((a, b) => (a.server < b.server ? -1 : 1));
      const locked = inOrder.reduceRight(
        (work, { exchange }) =>
          () =>
            exchange.locked(work),
        () => switchAll(all, run),
      );
      await locked();
      return null;
    },
  };
}

async function switchAll(all: readonly Taking[], run: Pick<Run, "warn">): Promise<void> {
  for (const { exchange } of all) await exchange.prepare();
  const placed: Placed[] = [];
  try {
    for (const { exchange } of all) placed.push(await exchange.put(run));
    for (const { take } of placed) await take();
  } catch (error) {
    for (const { back } of placed.toReversed())
      await back().catch(() => {
        // What failed first is told; the undo of the step tries again.
      });
    throw error;
  }
}
