import { resolvePlatform } from "../context/references.js";
import type { Stop } from "../core/stop.js";
import { askSite } from "./ask-site.js";
import { gatherComparison } from "./parts/compare-facts.js";
import { type Comparison, compareSite } from "./parts/findings.js";
import type { Services } from "./services.js";

export interface Compared extends Comparison {
  readonly unknown: readonly string[];
}

/** What stands against moving a site to a platform, by what both are now. Changes nothing; the site is locked against changes meanwhile. */
export async function compareWithPlatform(
  use: Services,
  name: string,
  platform: string,
  uri: string | undefined,
  wait: number,
  stop: Stop,
): Promise<Compared> {
  const target = await resolvePlatform(use.store, use.settings, platform, "first");
  return askSite(use, name, "compare", wait, stop, async (asked) => {
    const { site, target: there, facts, unknown } = await gatherComparison(use, asked, target, uri === undefined ? {} : { uri });
    return { ...compareSite(site, there, facts), unknown };
  });
}
