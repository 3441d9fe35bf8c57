import type { Inventory } from "../../engines/engine.js";
import type { SiteInputs } from "./site.js";

/** By the inputs that they were asked with. */
const TOLD = new WeakMap<SiteInputs, Inventory>();

/** What a site has just told of its extensions, under the locks of this operation: the next that wants to know need not start its core again. */
export function rememberInventory(inputs: SiteInputs, inventory: Inventory): void {
  TOLD.set(inputs, inventory);
}

/** Undefined: it was not asked, or in another run. */
export function toldInventory(inputs: SiteInputs): Inventory | undefined {
  return TOLD.get(inputs);
}
