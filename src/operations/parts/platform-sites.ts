import { siteDirectory } from "../../context/names.js";
import { type PlatformAndServers, resolveSite } from "../../context/references.js";
import type { Server } from "../../context/schema.js";
import { ProvisionError } from "../../core/errors.js";
import type { Run, Step } from "../../core/step.js";
import { isAway } from "../../host/host.js";
import type { Services } from "../services.js";
import { platformLocks, siteLocks } from "./locks.js";
import { reloadPhp, reloadPhpUndo } from "./pool.js";

/** A site that serves from a platform, as an operation on the platform meets it. */
export interface PlatformSite {
  readonly name: string;
  readonly uri: string;
  /** Name below sites/. */
  readonly directory: string;
  readonly profile: string;
}

/** Every installed site of a platform, and the locks to exchange the code below all of them. */
export async function sitesOf(all: PlatformAndServers, use: Services) {
  const { contexts } = await use.store.load();
  const sites: PlatformSite[] = [];
  const locks = [...platformLocks(all)];
  for (const site of contexts) {
    if (site.context_type !== "site" || site.platform !== all.platform.name || site.generation === undefined) continue;
    locks.push(...siteLocks(await resolveSite(use.store, use.settings, site.name, "all")).filter(({ kind }) => kind !== "platform"));
    sites.push({ name: site.name, uri: site.uri, directory: siteDirectory(site), profile: site.profile });
  }
  return { sites, locks };
}

/** Has new PHP started for the code that now stands there; nothing to do without sites. */
export async function reloadSites(use: Services, of: PlatformAndServers, sites: readonly PlatformSite[]): Promise<void> {
  if (sites.length > 0)
    await reloadPhp(
      use,
      of,
      sites.map(({ uri }) => uri),
    );
}

/** The same as an undo; it comes after what is undone before it in the list, which runs from its end. */
export function reloadUndo(use: Services, of: PlatformAndServers, sites: readonly PlatformSite[]) {
  return sites.length === 0
    ? []
    : [
        reloadPhpUndo(
          use,
          of,
          sites.map(({ uri }) => uri),
        ),
      ];
}

/** By uri: status of GET /; null when there was no answer. What a step that exchanges code returns, asked before it does. */
export type Answers = Readonly<Record<string, number | null>>;

export async function answersOf(use: Services, webServer: Server, sites: readonly PlatformSite[]): Promise<Answers> {
  const answers: Record<string, number | null> = {};
  for (const { uri } of sites) {
    try {
      answers[uri] = (await use.http(webServer).request({ uri, path: "/" })).status;
    } catch (error) {
      if (!(error instanceof ProvisionError) || isAway(error)) throw error;
      answers[uri] = null;
    }
  }
  return answers;
}

/** Every site that answered before the code was exchanged does so after it; one that does not fails the operation. */
export function answersStep(use: Services, webServer: Server, sites: readonly PlatformSite[], exchanged: Step): Step {
  return {
    id: "platform/answers",
    title: "Every site answers",
    async check(run: Run) {
      if (sites.length === 0) return { changes: [] };
      const before = run.need(exchanged) as Answers;
      // What did not answer before is no measure of the new code.
      const asked = sites.filter(({ uri }) => (before[uri] ?? 999) < 400);
      const now = await answersOf(use, webServer, asked);
      const wrong = Object.entries(now).filter(([, status]) => status === null || status >= 400);
      if (wrong.length > 0)
        throw new ProvisionError("PROBE_FAILED", "sites do not answer with the new code as they did with the old", {
          why: wrong.map(([uri, status]) => `${uri}: GET / ${status ?? "without an answer"} (was ${before[uri]})`),
        });
      return { changes: [] };
    },
    apply: async () => null,
  };
}
