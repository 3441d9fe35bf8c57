import { resolvePlatform } from "../context/references.js";
import type { Operation } from "../core/step.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { contextFile } from "./parts/contexts.js";
import { platformLocks } from "./parts/locks.js";
import type { Services } from "./services.js";

interface Inputs {
  readonly name: string;
  readonly baseline: Baseline;
}

/** `lock` and `unlock`: whether a platform takes new sites (Aegir kept this in its front end only). */
export function setLocked(locked: boolean): Operation<{ readonly name: string }, Inputs, Services> {
  return {
    name: locked ? "lock" : "unlock",
    recovery: "automatic",
    async prepare({ name }, use) {
      const all = await resolvePlatform(use.store, use.settings, name, "first");
      return { inputs: { name, baseline: await baselineOf(use.local, [use.layout.contextFile(name)]) }, locks: platformLocks(all) };
    },
    steps: ({ name }, use) => [
      contextFile(use, name, "platform", new Map([["locked", locked ? true : undefined]]), {
        id: "context",
        title: `${locked ? "Lock" : "Unlock"} ${name}`,
      }),
    ],
    confirm: ({ baseline }, use) => differences(use, baseline),
  };
}
