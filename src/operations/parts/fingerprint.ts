import { createHash } from "node:crypto";
import { lockBeside } from "../../builds/make/lock.js";
import { treeHash } from "../../builds/tree-hash.js";
import { ProvisionError } from "../../core/errors.js";
import type { PlatformInventory } from "../../engines/packages.js";
import type { Services } from "../services.js";
import { gatherComparison } from "./compare-facts.js";
import type { SiteInputs } from "./site.js";

/** What a site and a platform are, by names that can be told: `extension module views` → `7.x-3.29, schema 7301, enabled`. */
export type Fingerprint = Readonly<Record<string, string>>;

/** Properties that say nothing of how a site would fare on a platform. */
const ASIDE = ["name", "context_type"];

/**
 * What has to be as it was for a rehearsal to tell anything of the move: the site's context, extensions, code and schema; the platform's context, build, lock and
 * code, and its PHP. Not what is in the site. `next`: the site as it would be there. Changes nothing.
 */
export async function fingerprintOf(use: Services, now: SiteInputs, next: SiteInputs): Promise<Fingerprint> {
  const { site, target, facts } = await gatherComparison(use, now, next);
  const { makefile } = next.platform;
  const lock = makefile === undefined || /^https?:/i.test(makefile) ? undefined : await lockOf(use, now, use.layout.resolve(makefile));
  const build = await use.host(next.server).realPath(next.core.docroot);
  return {
    ...properties("site", now.site),
    ...properties("platform", next.platform),
    [`core of ${site.platform}`]: site.inventory.version,
    ...Object.fromEntries(
      site.inventory.extensions.map(({ type, name, version, schema, enabled, path }) => [
        `${type} ${name} of the site`,
        [version ?? "no version", ...(schema === undefined ? [] : [`schema ${schema}`]), enabled ? "enabled" : "disabled", path].join(", "),
      ]),
    ),
    ...packages(site.platform, site.code),
    ...packages(target.name, target.code),
    [`core of ${target.name}`]: target.code.version,
    [`directory of ${target.name}`]: build ?? "",
    // Of code that somebody changed in its place the inventory says nothing.
    ...(use.host(next.server).name === use.local.name
      ? { [`files of ${target.name}`]: (await treeHash(build ?? next.core.docroot, (path) => /^sites\/(?!all(?:\/|$))/.test(path))) ?? "" }
      : {}),
    ...(lock === undefined ? {} : { [`lock of ${makefile}`]: lock }),
    ...(facts.php === undefined ? {} : { [`PHP of ${target.name}`]: facts.php.version }),
  };
}

function properties(what: string, context: object): Fingerprint {
  return Object.fromEntries(
    Object.entries(context)
      .filter(([key, value]) => !ASIDE.includes(key) && value !== undefined)
      .map(([key, value]) => [`${key} of the ${what}`, typeof value === "string" ? value : JSON.stringify(value)]),
  );
}

/** Sites' own directories are left out: what is in this one's, its inventory says. */
function packages(platform: string, { packages: all }: PlatformInventory): Fingerprint {
  return Object.fromEntries(
    all
      .filter(({ path }) => !/^sites\/(?!all\/)/.test(path))
      .map(({ type, path, version, schema, patches = [] }) => [
        `${type} ${path} of ${platform}`,
        [version ?? "no version", ...(schema === undefined ? [] : [`schema ${schema}`]), ...patches].join(", "),
      ]),
  );
}

async function lockOf(use: Services, now: SiteInputs, makefile: string): Promise<string | undefined> {
  const found = await lockBeside(makefile, use.host(now.server)).catch((error: unknown) => {
    if (error instanceof ProvisionError && error.code === "INVALID_FILE") return undefined;
    throw error;
  });
  return found && createHash("sha256").update(JSON.stringify(found.lock)).digest("hex");
}

/** One line for everything that is not as it was. Pure. */
export function changedSince(before: Fingerprint, now: Fingerprint): readonly string[] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])].sort();
  return keys
    .filter((key) => before[key] !== now[key])
    .map((key) => {
      if (/^(?:files|lock) of /.test(key) && before[key] !== undefined && now[key] !== undefined) return `${key}: changed`;
      return `${key}: ${before[key] ?? "was not there"} → ${now[key] ?? "is gone"}`;
    });
}
