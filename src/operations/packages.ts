import { resolvePlatform } from "../context/references.js";
import type { Stop } from "../core/stop.js";
import { detectCore } from "../engines/index.js";
import type { Package, PlatformInventory } from "../engines/packages.js";
import { packageKey } from "../engines/packages.js";
import { askSite } from "./ask-site.js";
import { recordedInventory, takeInventory } from "./parts/platform-inventory.js";
import type { Services } from "./services.js";

/** `data` of `show --packages`. */
export interface ShownPackages extends Pick<PlatformInventory, "engine" | "version"> {
  /** Of a platform: what core and code need of PHP and databases, and the core's own patches. */
  readonly requires?: PlatformInventory["requires"];
  readonly patches?: readonly string[];
  /** Of a platform as scanned, schema: what its code ends with. Of a site with `enabled`, schema: what its database has run. */
  readonly packages: readonly (Package & { readonly enabled?: boolean })[];
  /** Enabled, and its code is not there. */
  readonly missing: readonly string[];
  /** Whether this was recorded by verify, or looked up now since there is no record. */
  readonly recorded?: boolean;
}

/** What verify has recorded; without a record the code is looked at, and nothing written. */
export async function packagesOfPlatform(use: Services, name: string): Promise<ShownPackages> {
  const { platform } = await resolvePlatform(use.store, use.settings, name, "first");
  const recorded = await recordedInventory(use, name);
  const host = use.local;
  const found = recorded ?? (await takeInventory(use, host, platform, await detectCore(host, use.layout.resolve(platform.root))));
  const { engine, version, requires, patches, packages } = found;
  return { engine, version, requires, patches, packages, missing: [], recorded: recorded !== undefined };
}

/** By the site's own core, through PHP; what only the files tell (patches, dependencies, hidden) comes from them. */
export async function packagesOfSite(use: Services, name: string, wait: number, stop: Stop): Promise<ShownPackages> {
  return askSite(use, name, "show", wait, stop, async ({ engine, code, core, platform, server }) => {
    const { result } = await engine.inventory(code);
    const scanned = await takeInventory(use, use.host(server), platform, core);
    const files = new Map(scanned.packages.map((each) => [`${packageKey(each)} ${each.path}`, each]));
    const packages = result.extensions.map(({ version, project, schema, enabled, ...extension }) => {
      // The schema of a site is what its database has run.
      const { schema: _, ...known }: Package = files.get(`${packageKey(extension)} ${extension.path}`) ?? extension;
      return {
        ...known,
        ...extension,
        ...(version === undefined ? {} : { version }),
        ...(project === undefined ? {} : { project }),
        ...(schema === undefined ? {} : { schema }),
        enabled,
      };
    });
    return { engine: core.engine, version: result.version, packages: packages.toSorted(byPath), missing: result.missing };
  });
}

function byPath(a: { readonly path: string; readonly name: string }, b: { readonly path: string; readonly name: string }): number {
  return a.path === b.path ? (a.name < b.name ? -1 : 1) : a.path < b.path ? -1 : 1;
}
