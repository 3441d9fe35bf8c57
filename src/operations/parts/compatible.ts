import { ProvisionError } from "../../core/errors.js";
import type { Step } from "../../core/step.js";
import type { Services } from "../services.js";
import { gatherComparison } from "./compare-facts.js";
import { compareSite, type Finding } from "./findings.js";
import type { SiteInputs } from "./site.js";
import { rememberInventory } from "./told-inventory.js";

/** What was found before the steps began, by the inputs that it is about: a resumed run has asked nobody. */
const WARNINGS = new WeakMap<object, readonly Finding[]>();

/**
 * Site and platform are compared as `provision compare` does. Rejects with REFUSED when something stands against the move; what is only to be known is
 * said by `comparison`. A name that is taken is the business of whoever makes the directory.
 */
export async function refuseIncompatible(inputs: object, now: SiteInputs, next: SiteInputs, use: Services): Promise<void> {
  if (now.core.docroot === next.core.docroot) return;
  const found = await gatherComparison(use, now, next, { uri: next.site.uri, dbServer: next.dbServer });
  rememberInventory(now, found.site.inventory);
  const { blockers, warnings } = compareSite(found.site, found.target, found.facts);
  WARNINGS.set(inputs, warnings);
  const against = blockers.filter(({ kind }) => kind !== "name-taken" && kind !== "platform-locked");
  if (against.length === 0) return;
  throw new ProvisionError("REFUSED", `${now.site.name} cannot go to ${next.site.platform}: ${against.length} things stand against it`, {
    why: against.map(({ message }) => message),
    state: "nothing was changed",
    next: [...new Set(against.map(({ remedy }) => remedy)), `provision compare ${now.site.name} ${next.site.platform}`],
  });
}

/** What is to be known of the move that these inputs are about; nothing when it was not asked for. */
export function warningsOf(inputs: object): readonly Finding[] {
  return WARNINGS.get(inputs) ?? [];
}

/** Says what is to be known of the move; changes nothing. */
export function comparison(inputs: object, next: SiteInputs): Step {
  return {
    id: "compare",
    title: `Compare with ${next.site.platform}`,
    async check(run) {
      for (const { message } of warningsOf(inputs)) run.warn(message);
      return { changes: [] };
    },
    apply: async () => null,
  };
}
