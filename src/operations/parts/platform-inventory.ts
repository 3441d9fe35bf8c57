import { join } from "node:path";
import { lockBeside } from "../../builds/make/lock.js";
import type { Platform } from "../../context/schema.js";
import { ProvisionError } from "../../core/errors.js";
import type { Core } from "../../engines/engine.js";
import type { Package, PlatformInventory } from "../../engines/packages.js";
import { scanPlatform } from "../../engines/scan.js";
import type { Host } from "../../host/host.js";
import type { Services } from "../services.js";

/** What verify found out of a platform's code, for commands that need no PHP to know it. */
export function inventoryFile(use: Services, name: string): string {
  return join(use.layout.state, "platforms", `${name.slice(1)}.json`);
}

/** The bytes of that file: the same code gives the same. */
export async function inventoryText(use: Services, host: Host, platform: Platform, core: Core): Promise<string> {
  return `${JSON.stringify(await takeInventory(use, host, platform, core), null, 1)}\n`;
}

/** What the last verify has recorded; undefined before the first, and of a version that recorded less. */
export async function recordedInventory(use: Services, name: string): Promise<PlatformInventory | undefined> {
  const text = await use.local.readFile(inventoryFile(use, name));
  if (text === undefined) return undefined;
  try {
    const found = JSON.parse(text) as PlatformInventory;
    return Array.isArray(found.packages) ? found : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Looks at the code now. Beside what the scan finds: patches that the lock of its make file names. */
export async function takeInventory(use: Services, host: Host, { makefile }: Platform, core: Core): Promise<PlatformInventory> {
  const inventory = await scanPlatform(host, core);
  const locked = makefile === undefined ? new Map<string, readonly string[]>() : await lockedPatches(use, host, makefile);
  if (locked.size === 0) return inventory;
  const added = (path: string, known: readonly string[]) => {
    const base = (patch: string) => patch.split("/").pop();
    const names = new Set(known.map(base));
    return [...known, ...(locked.get(path) ?? []).filter((patch) => !names.has(base(patch)))];
  };
  const main = mainPackages(inventory.packages, [...locked.keys()]);
  return {
    ...inventory,
    patches: added("", inventory.patches),
    packages: inventory.packages.map((each) => {
      const place = main.get(each);
      return place === undefined ? each : { ...each, patches: added(place, each.patches ?? []) };
    }),
  };
}

/** By the path of what was patched; none of them when the lock cannot be read, of which a build tells. */
async function lockedPatches(use: Services, host: Host, makefile: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const lock = await lockBeside(/^https?:/i.test(makefile) ? makefile : use.layout.resolve(makefile), host).catch((error: unknown) => {
    if (error instanceof ProvisionError && error.code === "INVALID_FILE") return undefined;
    throw error;
  });
  const patched = (lock?.lock.entries ?? []).filter(({ patches = [] }) => patches.length > 0);
  return new Map(patched.map(({ path, patches = [] }) => [path, patches.map(({ name }) => name)]));
}

/** The extension that stands for a project's directory: the one that lies least deep in it. */
function mainPackages(packages: readonly Package[], places: readonly string[]): ReadonlyMap<Package, string> {
  const found = new Map<Package, string>();
  for (const place of places) {
    if (place === "") continue;
    const inside = packages.filter(({ path }) => `${path}/`.startsWith(`${place}/`));
    const main = inside.toSorted((a, b) => a.path.length - b.path.length)[0];
    if (main) found.set(main, place);
  }
  return found;
}
