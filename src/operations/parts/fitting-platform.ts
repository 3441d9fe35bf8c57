import { join } from "node:path";
import { resolvePlatform } from "../../context/references.js";
import { ProvisionError } from "../../core/errors.js";
import { detectCore, engineNamed } from "../../engines/index.js";
import type { PlatformInventory } from "../../engines/packages.js";
import { scanPlatform } from "../../engines/scan.js";
import type { Host } from "../../host/host.js";
import type { Services } from "../services.js";
import type { ForeignSite, HubPlace } from "./foreign-hub.js";
import { recordedInventory, takeInventory } from "./platform-inventory.js";

/** What identifies the code of a platform: `module views 7.x-3.28`. A site's own code goes along with it. */
type Codes = ReadonlySet<string>;

const MAX_INVENTORY = 32 * 1024 * 1024;

/**
 * The platform of this hub whose code a site can run on as it is: the same version of the core, and everything that the platform has there in the
 * same version. One that has nothing else comes first. Rejects with CONTEXT_NOT_FOUND when there is none, USAGE when there are several, each time with
 * what to type (`again`).
 */
export async function fittingPlatform(use: Services, source: Host, hub: HubPlace, site: ForeignSite, again: string): Promise<string> {
  const wanted = await codesThere(source, hub, site);
  const fitting: { readonly name: string; readonly more: number }[] = [];
  const why: string[] = [];
  for (const context of (await use.store.load()).contexts) {
    if (context.context_type !== "platform") continue;
    const { name, locked } = context;
    const found = await inventoryHere(use, name);
    if (found === undefined) why.push(`${name} is not built or not verified yet`);
    else if (found.engine !== site.engine || found.version !== site.core)
      why.push(`${name} has ${engineNamed(found.engine).label} ${found.version}`);
    else if (locked) why.push(`${name} is locked`);
    else {
      const has = codesOf(found);
      const lacking = [...wanted].filter((code) => !has.has(code));
      if (lacking.length === 0) fitting.push({ name, more: has.size - wanted.size });
      else why.push(`${name} lacks ${lacking.slice(0, 3).join(", ")}${lacking.length > 3 ? ` and ${lacking.length - 3} more` : ""}`);
    }
  }
  const least = Math.min(...fitting.map(({ more }) => more));
  const [only, other] = fitting.filter(({ more }) => more === least);
  if (only && !other) return only.name;
  const what = `the ${site.engine === null ? "core" : engineNamed(site.engine).label} ${site.core} of ${site.name} with all that its platform has`;
  if (only)
    throw new ProvisionError("USAGE", `${fitting.map(({ name }) => name).join(" and ")} have ${what}; say which`, {
      state: "nothing was changed",
      next: [`${again} --platform ${only.name}`],
    });
  throw new ProvisionError("CONTEXT_NOT_FOUND", `no platform of this hub has ${what}`, {
    why: why.slice(0, 10),
    state: "nothing was changed",
    next: [`${again} --platform @platform_…    # its updates run when the code is newer`, "provision list platforms"],
  });
}

/** What verify has recorded, else what the code says; undefined for what is not there. */
async function inventoryHere(use: Services, name: string): Promise<PlatformInventory | undefined> {
  const recorded = await recordedInventory(use, name);
  if (recorded) return recorded;
  try {
    const all = await resolvePlatform(use.store, use.settings, name);
    const host = use.host(all.server);
    return await takeInventory(use, host, all.platform, await detectCore(host, use.rootOf(all)));
  } catch (error) {
    if (error instanceof ProvisionError) return undefined;
    throw error;
  }
}

function codesOf({ packages }: Pick<PlatformInventory, "packages">): Codes {
  return new Set(
    packages
      .filter(({ path }) => !/^sites\/(?!all\/)/.test(path))
      .map(({ type, name, version }) => [type, name, version].filter(Boolean).join(" ")),
  );
}

/** A hub of ours has it in a file; of Aegir's the code is looked at, by its files alone. */
async function codesThere(source: Host, hub: HubPlace, site: ForeignSite): Promise<Codes> {
  if (hub.kind === "provision") {
    const path = join(hub.root, "state/platforms", `${site.platform.slice(1)}.json`);
    const { code, stdout } = await source.run(["head", "-c", String(MAX_INVENTORY), "--", path], { anyExit: true });
    const found = code === 0 ? inventoryIn(stdout) : undefined;
    if (found) return codesOf(found);
  }
  return codesOf(await scanPlatform(source, await detectCore(source, site.docroot)));
}

/** Nothing of it is used but as words to compare. */
function inventoryIn(text: string): Pick<PlatformInventory, "packages"> | undefined {
  try {
    const { packages } = JSON.parse(text) as { packages?: unknown };
    if (!Array.isArray(packages)) return undefined;
    const fit = packages.filter((each) => typeof each?.path === "string" && typeof each.name === "string" && typeof each.type === "string");
    return { packages: fit };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
