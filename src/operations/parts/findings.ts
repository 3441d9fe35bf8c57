import type { Extension, Inventory } from "../../engines/engine.js";
import { compatibilityOf, effective, type Package, type PlatformInventory, packageKey } from "../../engines/packages.js";
import { compareVersions, isBelow, satisfies } from "../../engines/versions.js";

/** Every kind of finding: what it means, and whether a migrate is refused for it. The README's table is made of this. */
export const FINDINGS = {
  "core-family": ["blocker", "the platform has another core: Drupal 7, Drupal 8 and later, Backdrop"],
  "core-downgrade": ["blocker", "the platform's core is older than the site's"],
  "profile-missing": ["blocker", "the platform lacks the site's install profile, and none names it by `old_short_name`"],
  "extension-missing": ["blocker", "the platform lacks an extension that is enabled"],
  "extension-incompatible": ["blocker", "the code of an enabled extension is for another core"],
  "dependency-missing": ["blocker", "the platform lacks what its version of an enabled extension depends on"],
  "schema-downgrade": ["blocker", "the database has run updates that the platform's code does not have"],
  "updates-removed": ["blocker", "updates that the database still needs were taken out of the platform's code"],
  "php-too-old": ["blocker", "the platform's PHP is older than its core or its Composer packages want"],
  "php-extension-missing": ["blocker", "the platform's PHP lacks an extension that core, Composer packages or the database want"],
  "extension-php": ["blocker", "an enabled extension wants a newer PHP"],
  "database-driver": ["blocker", "the platform's core cannot work with the site's kind of database"],
  "database-too-old": ["blocker", "the database server is older than the platform's core wants"],
  "platform-locked": ["blocker", "the platform is locked"],
  "name-taken": ["blocker", "the name that the site would have is taken"],
  "disk-full": ["blocker", "not even the database has room once more"],
  "core-newer": ["warning", "the platform's core is newer: its updates run"],
  "version-newer": ["warning", "an enabled project is newer on the platform: its updates run"],
  "version-older": ["warning", "an enabled project is older on the platform"],
  "version-unknown": ["warning", "two versions of an enabled project cannot be compared"],
  "schema-unknown": ["warning", "the database has run updates that are not found in the code that it runs on now"],
  "updates-pending": ["warning", "updates of the code that the site is on now have not run yet"],
  "own-code": ["warning", "extensions in the site's own directory move along"],
  "own-code-shadows": ["warning", "an extension in the site's own directory hides the platform's"],
  "extension-moved": ["warning", "an enabled extension stands elsewhere on the platform"],
  "extension-twice": ["warning", "an enabled extension is on the platform twice, in different versions"],
  "extension-returns": ["warning", "the code of an enabled extension is gone now, and the platform has it"],
  "disabled-installed": ["warning", "an extension is disabled, and its tables are still there"],
  "dependency-disabled": ["warning", "an enabled extension depends, on the platform, on one that is not enabled"],
  "profile-renamed": ["warning", "the install profile has another name on the platform"],
  "library-missing": ["warning", "the platform lacks a library that the present one has"],
  "patch-missing": ["warning", "a project is patched now, and not on the platform"],
  "php-differs": ["warning", "the platform runs on another minor version of PHP"],
  "settings-override": ["warning", "settings of your own go along, or stay behind"],
  "files-outside": ["warning", "files of the site are outside its directory"],
  space: ["warning", "the disk has little room for a copy of files and database"],
} as const satisfies Record<string, readonly ["blocker" | "warning", string]>;

type FindingKind = keyof typeof FINDINGS;

/** One thing that stands against a site's move to a platform, or that is to be known before it. */
export interface Finding {
  readonly kind: FindingKind;
  /** What it is about: an extension, a project, `core`, `php`, a path. */
  readonly subject: string;
  readonly message: string;
  /** What to do or type. */
  readonly remedy: string;
}

/** The site as it is now. */
export interface SiteSide {
  /** With its `@`. */
  readonly name: string;
  /** Name below sites/, of an extension's path. */
  readonly directory: string;
  readonly profile: string | undefined;
  /** With its `@`. */
  readonly platform: string;
  /** By the site's own database. */
  readonly inventory: Inventory;
  /** By scanning the platform that it is on. */
  readonly code: PlatformInventory;
}

/** The platform that it is to come to. */
export interface PlatformSide {
  /** With its `@`. */
  readonly name: string;
  readonly code: PlatformInventory;
  /** It takes no new sites, and this would be one. */
  readonly locked: boolean;
  /** How code comes to it; none: it is a directory that provision did not build. */
  readonly source: { readonly kind: "makefile" | "composer" | "git" | "archive"; readonly name: string } | undefined;
}

/** A PHP, as its command line program tells of itself. */
export interface PhpFacts {
  readonly version: string;
  /** Lower case. */
  readonly extensions: readonly string[];
}

/** What neither code nor the site's database tells. What could not be found out is undefined. */
export interface Facts {
  /** PHP of the platform that it is to come to, and of the one that it is on. */
  readonly php: PhpFacts | undefined;
  readonly phpNow: PhpFacts | undefined;
  /** The server that will have its database. */
  readonly database:
    | { readonly server: string; readonly driver: "mysql" | "pgsql" | "sqlite"; readonly product: string; readonly version: string }
    | undefined;
  /** What has the name that the site would have there, one line each. */
  readonly taken: readonly string[];
  /** Files of the operator's own that change settings; `here`: on the platform that it is on, for all sites. */
  readonly overrides: readonly { readonly path: string; readonly of: "site" | "here" | "there" }[];
  /** Files that are not inside what belongs to the site's generation; `at`: where they really are. */
  readonly outside: readonly { readonly path: string; readonly at: string }[];
  /** Bytes. */
  readonly space: { readonly free: number; readonly files: number; readonly database: number } | undefined;
}

/** One enabled or installed extension on both sides. */
interface ComparedPackage {
  readonly name: string;
  readonly type: Extension["type"];
  readonly enabled: boolean;
  readonly site: { readonly version: string | null; readonly schema: number | null; readonly path: string | null };
  /** Null: it is not there. */
  readonly platform: { readonly version: string | null; readonly schema: number | null; readonly path: string } | null;
  readonly state: "same" | "newer" | "older" | "unknown" | "missing" | "own";
}

export interface Comparison {
  readonly blockers: readonly Finding[];
  readonly warnings: readonly Finding[];
  readonly packages: readonly ComparedPackage[];
  /** The profile that the site has there; another than before: it is to be renamed. */
  readonly profile: string | undefined;
}

/** Schema version of an extension without updates, once it is installed. */
function firstSchema(engine: string): number {
  return engine === "drupal" ? 8000 : 0;
}

/** Where an update stands among those of its module: Backdrop takes 7000 off what it has of Drupal 7, which comes before its own (core's update.inc). */
function order(engine: string, update: number): number {
  return engine === "backdrop" && update >= 7000 && update < 9000 ? update - 7000 : update;
}

/** Whether a database at update `a` of a module is to run update `b` yet. */
export function isSchemaBefore(engine: string, a: number, b: number): boolean {
  return order(engine, a) < order(engine, b);
}

/**
 * Everything that stands against moving the site to the platform, or is to be known before. Pure: the caller has gathered all
 * (gatherComparison in compare-facts.ts). Findings come in the order of FINDINGS.
 */
export function compareSite(site: SiteSide, target: PlatformSide, facts: Facts): Comparison {
  const profile = profileThere(site, target);
  const found = new Found();
  surroundings(site, target, facts, found);
  const sameFamily = site.code.engine === target.code.engine;
  if (!sameFamily) {
    found.add(
      "core-family",
      "core",
      `${site.name} runs on ${site.code.engine} ${site.code.version}, ${target.name} is ${target.code.engine} ${target.code.version}`,
      {
        remedy: "content comes from one family to another by a migration of its own; name a platform of the same core",
      },
    );
    return { ...found.sorted(), packages: [], profile: undefined };
  }
  const view = viewOf(site, target, profile.name);
  coreVersions(site, target, found);
  profileFinding(site, target, profile, found);
  const packages = extensions(site, target, view, found, facts);
  code(site, target, view, found);
  return { ...found.sorted(), packages, profile: profile.name };
}

/** Findings as they come. */
class Found {
  readonly #all: Finding[] = [];

  add(kind: FindingKind, subject: string, message: string, { remedy }: { readonly remedy: string }): void {
    this.#all.push({ kind, subject, message, remedy });
  }

  sorted(): Pick<Comparison, "blockers" | "warnings"> {
    const order = Object.keys(FINDINGS);
    const all = this.#all.toSorted((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
    const of = (severity: "blocker" | "warning") => all.filter(({ kind }) => FINDINGS[kind][0] === severity);
    return { blockers: of("blocker"), warnings: of("warning") };
  }
}

/** What the core takes on either side. */
interface View {
  readonly now: ReadonlyMap<string, Package>;
  /** With the site's own code, which moves along. */
  readonly there: ReadonlyMap<string, Package>;
  readonly shadowedThere: readonly Package[];
  /** Key of an extension of the site, there: the profile may have another name. */
  key(extension: Extension): string;
}

function viewOf(site: SiteSide, target: PlatformSide, profile: string | undefined): View {
  const own = site.code.packages.filter(({ path }) => isOwn(site, path));
  const others = target.code.packages.filter(({ path }) => !isOwn(site, path));
  const there = effective({ ...target.code, packages: [...others, ...own] }, { profile, directory: site.directory });
  return {
    now: effective(site.code, { profile: site.profile, directory: site.directory }).packages,
    there: there.packages,
    shadowedThere: there.shadowed,
    key: ({ type, name }) =>
      packageKey({ type, name: type === "profile" && name === site.profile && profile !== undefined ? profile : name }),
  };
}

function isOwn({ directory }: SiteSide, path: string): boolean {
  return path.startsWith(`sites/${directory}/`);
}

function coreVersions(site: SiteSide, target: PlatformSide, found: Found): void {
  const now = site.code.version;
  const there = target.code.version;
  const compared = compareVersions(there, now);
  if (compared === -1)
    found.add("core-downgrade", "core", `the core of ${target.name} is ${there}; ${site.name} has run on ${now}`, {
      remedy: supply(target, "core", now),
    });
  else if (compared === 1) found.add("core-newer", "core", `core ${now} → ${there}`, { remedy: tryIt(site, target) });
  else if (compared === undefined)
    found.add("version-unknown", "core", `core ${now} → ${there}`, {
      remedy: "look which is newer: a site never goes back to an older core",
    });
}

interface ProfileThere {
  readonly name: string | undefined;
  readonly how: "same" | "renamed" | "missing" | "none";
}

function profileThere({ profile }: SiteSide, target: PlatformSide): ProfileThere {
  if (profile === undefined) return { name: undefined, how: "none" };
  const profiles = target.code.packages.filter(({ type }) => type === "profile");
  if (profiles.some(({ name }) => name === profile)) return { name: profile, how: "same" };
  const renamed = profiles.find(({ oldShortName }) => oldShortName === profile);
  return renamed ? { name: renamed.name, how: "renamed" } : { name: profile, how: "missing" };
}

function profileFinding(site: SiteSide, target: PlatformSide, { name = "", how }: ProfileThere, found: Found): void {
  if (how === "renamed")
    found.add("profile-renamed", name, `the profile ${site.profile} is called ${name} on ${target.name} (its old_short_name says so)`, {
      remedy: "nothing to do: the database is told by migrate",
    });
  if (how !== "missing") return;
  const there = target.code.packages.filter(({ type, hidden }) => type === "profile" && !hidden).map((each) => each.name);
  found.add("profile-missing", name, `${target.name} has no install profile ${name}; it has ${listed(there)}`, {
    remedy: `${supply(target, name, undefined)}; or, when one of those took its place, add the line old_short_name${target.code.engine === "drupal" ? ": " : " = "}${name} to its info file`,
  });
}

/** One comparison per extension that the site has enabled or installed. */
function extensions(site: SiteSide, target: PlatformSide, view: View, found: Found, facts: Facts): readonly ComparedPackage[] {
  const compared: ComparedPackage[] = [];
  const versions = new Grouped();
  const used = site.inventory.extensions.filter(({ enabled, schema }) => enabled || schema !== undefined);
  const usedKeys = new Set(used.filter(({ enabled }) => enabled).map(view.key));
  const pending: string[] = [];
  const disabled: string[] = [];
  for (const extension of used) {
    const { name, type, enabled } = extension;
    const there = view.there.get(view.key(extension));
    const own = isOwn(site, extension.path);
    const ofProfile = type === "profile" && name === site.profile;
    if (!enabled) disabled.push(there ? name : `${name} (not on ${target.name}: it can never be uninstalled there)`);
    if (there === undefined && enabled && !ofProfile) missing(site, target, extension, found);
    const state = own ? "own" : there === undefined ? "missing" : versionState(site, target, extension, there);
    compared.push({
      name,
      type,
      enabled,
      site: { version: extension.version ?? null, schema: extension.schema ?? null, path: extension.path },
      platform: there ? { version: there.version ?? null, schema: there.schema ?? null, path: there.path } : null,
      state,
    });
    if (!there || !enabled) continue;
    if (state !== "same" && state !== "own" && state !== "missing") versions.add(state, extension, there);
    schemas(site, target, extension, there, view, found, pending);
    fitness(target, extension, there, facts, found);
    dependencies(site, target, extension, there, view, usedKeys, found);
  }
  returning(site, target, view, found, compared);
  versions.tell(site, target, found);
  if (pending.length > 0)
    found.add("updates-pending", site.name, `${site.name} has not run all updates of ${site.platform}: ${listed(pending)}`, {
      remedy: "they run during migrate, with those that the new code brings; run them first to tell the two apart",
    });
  if (disabled.length > 0)
    found.add("disabled-installed", disabled[0]?.split(" ")[0] ?? "", `disabled, but not uninstalled: ${listed(disabled)}`, {
      remedy: "uninstall them on the site now, while their code is there, or leave them as they are",
    });
  return compared;
}

function missing(site: SiteSide, target: PlatformSide, { name, type, path, version, project }: Extension, found: Found): void {
  const wasCore =
    project === "drupal" || path.startsWith("core/") || (site.code.engine === "drupal7" && /^(?:modules|themes)\//.test(path));
  const why = wasCore ? ", which was a part of core" : "";
  found.add(
    "extension-missing",
    name,
    `${target.name} lacks the ${type} ${name}${version === undefined || wasCore ? "" : ` ${version}`}${why}`,
    {
      remedy: `${supply(target, wasCore ? name : (project ?? name), wasCore ? undefined : version)}; or uninstall ${name} on the site first`,
    },
  );
}

/** What the database calls enabled and the core does not find. */
function returning(site: SiteSide, target: PlatformSide, view: View, found: Found, compared: ComparedPackage[]): void {
  for (const name of site.inventory.missing) {
    const there = view.there.get(`module ${name}`) ?? view.there.get(`theme ${name}`) ?? view.there.get(`profile ${name}`);
    compared.push({
      name,
      type: there && there.type !== "library" ? there.type : "module",
      enabled: true,
      site: { version: null, schema: null, path: null },
      platform: there ? { version: there.version ?? null, schema: there.schema ?? null, path: there.path } : null,
      state: there ? "unknown" : "missing",
    });
    if (there)
      found.add("extension-returns", name, `${name} is enabled, and its code is gone from ${site.platform}; ${target.name} has it`, {
        remedy: "its code and updates run again after migrate; uninstall it there when it is not wanted",
      });
    else
      found.add(
        "extension-missing",
        name,
        `${name} is enabled, and its code is missing on ${target.name} as it is on ${site.platform} now`,
        {
          remedy: `${supply(target, name, undefined)}; or take it out of the site's list of enabled extensions`,
        },
      );
  }
}

function versionState(
  site: SiteSide,
  target: PlatformSide,
  { version }: Extension,
  there: Package,
): "same" | "newer" | "older" | "unknown" {
  // Parts of core have its version, of which core-newer tells.
  if (version === there.version || (version === site.inventory.version && there.version === target.code.version)) return "same";
  const compared = version === undefined || there.version === undefined ? undefined : compareVersions(there.version, version);
  return compared === undefined ? "unknown" : compared === 0 ? "same" : compared > 0 ? "newer" : "older";
}

/** Extensions of one project are one finding. */
class Grouped {
  readonly #groups = new Map<string, { state: "newer" | "older" | "unknown"; extension: Extension; there: Package; names: string[] }>();

  add(state: "newer" | "older" | "unknown", extension: Extension, there: Package): void {
    const key = `${extension.project ?? there.project ?? extension.name} ${extension.version} ${there.version}`;
    const group = this.#groups.get(key);
    if (group) group.names.push(extension.name);
    else this.#groups.set(key, { state, extension, there, names: [extension.name] });
  }

  tell(site: SiteSide, target: PlatformSide, found: Found): void {
    for (const { state, extension, there, names } of this.#groups.values()) {
      const project = extension.project ?? there.project ?? extension.name;
      const others = names.filter((name) => name !== project);
      const which = others.length === 0 ? "" : ` (${listed(others)})`;
      const change = `${project} ${extension.version ?? "without a version"} → ${there.version ?? "without a version"}${which}`;
      if (state === "newer") found.add("version-newer", project, change, { remedy: tryIt(site, target) });
      else if (state === "older")
        found.add("version-older", project, change, { remedy: `${supply(target, project, extension.version)}, unless it is meant` });
      else
        found.add("version-unknown", project, change, {
          remedy: `look which is newer; ${supply(target, project, "…")} with a release, and the two can be compared`,
        });
    }
  }
}

function schemas(
  site: SiteSide,
  target: PlatformSide,
  { name, type, schema }: Extension,
  there: Package,
  view: View,
  found: Found,
  pending: string[],
): void {
  if (schema === undefined) return;
  const first = firstSchema(site.code.engine);
  const codeNow = view.now.get(packageKey({ type, name }))?.schema ?? first;
  const codeThere = there.schema ?? first;
  const before = (a: number, b: number) => isSchemaBefore(site.code.engine, a, b);
  if (before(schema, codeNow)) pending.push(`${name} is at ${schema} of ${codeNow}`);
  if (before(codeThere, schema)) {
    // Updates that the scan does not see in the present code either may stand in files that it does not read.
    if (!before(codeNow, schema))
      found.add("schema-downgrade", name, `${name} has run update ${schema}; the code on ${target.name} ends with ${codeThere}`, {
        remedy: supply(target, there.project ?? name, undefined, "as new as the site's, or newer"),
      });
    else
      found.add(
        "schema-unknown",
        name,
        `${name} has run update ${schema}, which the code on ${site.platform} does not show, nor that on ${target.name} (${codeThere})`,
        {
          remedy: `look whether the ${name} of ${target.name} is as new as the one that made this database`,
        },
      );
  }
  if (there.removedUpTo !== undefined && before(schema, there.removedUpTo) && before(codeNow, there.removedUpTo))
    found.add(
      "updates-removed",
      name,
      `${name} is at ${schema}; the code on ${target.name} no longer has updates up to ${there.removedUpTo}`,
      {
        remedy: `migrate first to a platform whose ${name} still has them (${name} of the major version before), then from there`,
      },
    );
}

/** Whether the code can run there at all. */
function fitness(target: PlatformSide, { name }: Extension, there: Package, { php }: Facts, found: Found): void {
  const { engine, version } = target.code;
  const fits =
    there.core === undefined ? true : engine === "drupal" ? satisfies(version, there.core) : there.core === compatibilityOf(version);
  if (fits === false)
    found.add(
      "extension-incompatible",
      name,
      `${name} ${there.version ?? ""} says it works with core ${there.core}; ${target.name} has ${version}`.replace("  ", " "),
      {
        remedy: `${supply(target, there.project ?? name, undefined, "in a release for this core")}; or uninstall ${name} on the site first`,
      },
    );
  if (php && there.php !== undefined && isBelow(php.version, there.php))
    found.add("extension-php", name, `${name} needs PHP ${there.php}; that of ${target.name} is ${php.version}`, {
      remedy: `provision save ${target.name} --php=${there.php}, once that is installed`,
    });
}

function dependencies(
  site: SiteSide,
  target: PlatformSide,
  extension: Extension,
  there: Package,
  view: View,
  used: ReadonlySet<string>,
  found: Found,
): void {
  const { name, type } = extension;
  const before = new Set(view.now.get(packageKey(extension))?.dependencies ?? []);
  for (const needed of there.dependencies ?? []) {
    const keys = [`${type} ${needed}`, `module ${needed}`, `theme ${needed}`, `profile ${needed}`];
    // What was so before is nothing that the move brings.
    const hadNotBefore = before.has(needed) && !keys.some((key) => view.now.has(key));
    if (hadNotBefore) continue;
    if (!keys.some((key) => view.there.has(key))) {
      // Enabled and missing: told already.
      if (keys.some((key) => used.has(key)) || site.inventory.missing.includes(needed)) continue;
      found.add("dependency-missing", needed, `${name} on ${target.name} needs ${needed}, which is not there`, {
        remedy: supply(target, needed, undefined),
      });
    } else if (!keys.some((key) => used.has(key)) && !before.has(needed) && type === "module")
      found.add("dependency-disabled", needed, `${name} on ${target.name} needs ${needed}, which ${site.name} has not enabled`, {
        remedy: `enable ${needed} on the site after migrate, unless an update of ${name} does`,
      });
  }
}

/** Where code stands, and what else stands with it. */
function code(site: SiteSide, target: PlatformSide, view: View, found: Found): void {
  const enabled = site.inventory.extensions.filter((extension) => extension.enabled);
  const own = enabled.filter(({ path }) => isOwn(site, path));
  if (own.length > 0)
    found.add(
      "own-code",
      `sites/${site.directory}`,
      `in the site's own directory, and moved along: ${listed(own.map(({ name }) => name))}`,
      {
        remedy: `see that they work with core ${target.code.version}; what several sites share belongs on the platform`,
      },
    );
  for (const extension of enabled) {
    const key = view.key(extension);
    const there = view.there.get(key);
    const hidden = view.shadowedThere.filter((each) => packageKey(each) === key);
    for (const other of hidden) {
      if (isOwn(site, extension.path))
        found.add(
          "own-code-shadows",
          extension.name,
          `sites/${site.directory} has its own ${extension.name} ${extension.version ?? ""}, and ${target.name} has ${other.version ?? "one"} in ${other.path}`.replace(
            "  ",
            " ",
          ),
          {
            remedy: `the site's own one is used; remove ${extension.path} when the platform's is meant`,
          },
        );
      else if (there && other.version !== there.version && !nowTwice(site, other))
        found.add(
          "extension-twice",
          extension.name,
          `${target.name} has ${there.name} ${there.version ?? ""} in ${there.path}, and ${other.version ?? "another"} in ${other.path}`.replace(
            "  ",
            " ",
          ),
          {
            remedy: `the first is used; remove the other one from the platform's source`,
          },
        );
    }
  }
  const moved = enabled.flatMap((extension) => {
    const there = view.there.get(view.key(extension));
    const expected = extension.type === "profile" ? undefined : extension.path;
    return there && expected !== undefined && there.path !== expected ? [`${extension.name} (${expected} → ${there.path})`] : [];
  });
  if (moved.length > 0)
    found.add("extension-moved", moved[0]?.split(" ")[0] ?? "", `stands elsewhere on ${target.name}: ${listed(moved)}`, {
      remedy: "nothing to do: migrate has the core look for its files anew; see to paths written into your own code",
    });
  libraries(site, target, found);
  patches(site, target, view, found);
}

function nowTwice({ code: now }: SiteSide, other: Package): boolean {
  return now.packages.some(({ path, version }) => path === other.path && version === other.version);
}

function libraries(site: SiteSide, target: PlatformSide, found: Found): void {
  const names = ({ packages }: PlatformInventory) =>
    packages.filter(({ type, path }) => type === "library" && !/^sites\/(?!all\/)/.test(path)).map(({ name }) => name);
  const there = new Set(names(target.code));
  const lost = [...new Set(names(site.code))].filter((name) => !there.has(name));
  for (const name of lost)
    found.add("library-missing", name, `${site.platform} has the library ${name}, ${target.name} has not`, {
      remedy: `${supply(target, name, undefined)}, when an extension of the site uses it`,
    });
}

/** By the names of the patch files: one project may have them from other places. */
function patches(site: SiteSide, target: PlatformSide, view: View, found: Found): void {
  const base = (patch: string) => (patch.split(/[?#]/, 1)[0] ?? "").replace(/\/+$/, "").split("/").pop() ?? patch;
  const tell = (subject: string, version: string | undefined, now: readonly string[], there: readonly string[]) => {
    const known = new Set(there.map(base));
    const lost = now.filter((patch) => !known.has(base(patch)));
    if (lost.length > 0)
      found.add(
        "patch-missing",
        subject,
        `${subject} is patched on ${site.platform} and not on ${target.name}: ${listed(lost.map(base))}`,
        {
          remedy: `look whether ${version === undefined ? "the code there" : version} has it; else name the patch in ${sourceOf(target)}, then ${rebuild(target)}`,
        },
      );
  };
  tell("core", target.code.version, site.code.patches, target.code.patches);
  const projects = site.code.packages.filter(({ patches: applied = [], path }) => applied.length > 0 && !isOwn(site, path));
  for (const each of projects) {
    const inside = site.inventory.extensions.some(({ enabled, path }) => enabled && `${path}/`.startsWith(`${each.path}/`));
    if (!inside && each.type !== "library") continue;
    const there = view.there.get(packageKey(each)) ?? target.code.packages.find((other) => packageKey(other) === packageKey(each));
    if (there) tell(each.project ?? each.name, there.version, each.patches ?? [], there.patches ?? []);
  }
}

/** Everything but code. */
function surroundings(site: SiteSide, target: PlatformSide, facts: Facts, found: Found): void {
  const { php, phpNow, database, space } = facts;
  const { requires } = target.code;
  if (php) {
    for (const { by, least } of strictest(requires.php.filter((each) => isBelow(php.version, each.least))))
      found.add("php-too-old", "php", `${by} needs PHP ${least}; that of ${target.name} is ${php.version}`, {
        remedy: `provision save ${target.name} --php=${least.split(".").slice(0, 2).join(".")}, once that is installed`,
      });
    const wanted = [
      ...requires.extensions,
      ...(database ? [{ by: `the database (${database.product})`, name: `pdo_${database.driver}` }] : []),
    ];
    const lacking = wanted.filter(({ name }) => !php.extensions.includes(name));
    for (const name of new Set(lacking.map((each) => each.name)))
      found.add(
        "php-extension-missing",
        name,
        `${listed(lacking.filter((each) => each.name === name).map(({ by }) => by))} needs PHP's ${name}; PHP ${php.version} of ${target.name} lacks it`,
        {
          remedy: `install it for PHP ${minor(php.version)} (provision doctor names the package), then ask again`,
        },
      );
    if (phpNow && minor(phpNow.version) !== minor(php.version))
      found.add("php-differs", "php", `PHP ${phpNow.version} → ${php.version}`, { remedy: tryIt(site, target) });
  }
  if (database) {
    const driver = requires.databases[database.driver];
    const least = driver?.[database.product];
    // A core whose drivers stand where nobody looked is no reason to refuse.
    if (driver === undefined && Object.keys(requires.databases).length > 0)
      found.add("database-driver", database.driver, `the core of ${target.name} has no driver for ${database.product}`, {
        remedy: `it has: ${Object.keys(requires.databases).join(", ")}; name a platform whose core has one`,
      });
    else if (least !== undefined && isBelow(database.version, least))
      found.add(
        "database-too-old",
        database.product,
        `${database.server} has ${database.product} ${database.version}; core ${target.code.version} wants ${least}`,
        {
          remedy: `update that server, or provision save ${site.name} --db_server=… for one that is new enough`,
        },
      );
  }
  if (target.locked)
    found.add("platform-locked", target.name, `${target.name} is locked and takes no new sites`, {
      remedy: `provision unlock ${target.name}`,
    });
  for (const what of facts.taken)
    found.add("name-taken", what.split(" ")[0] ?? "", what, {
      remedy: `move what is there away, or name another: provision migrate ${site.name} ${target.name} @new.example.com`,
    });
  for (const { path, of } of facts.overrides) {
    const said = {
      site: ["goes along, and may say what is not true there", "read it before"],
      here: [`holds for all sites of ${site.platform}, and ${target.name} has no such file or another`, "copy what the site needs of it"],
      there: [`holds for all sites of ${target.name}, and will for this one`, "read it before"],
    }[of] as [string, string];
    found.add("settings-override", path, `${path} ${said[0]}`, { remedy: said[1] });
  }
  for (const { path, at } of facts.outside)
    found.add("files-outside", path, `${path} is at ${at}, outside what belongs to the site`, {
      remedy: "it is neither copied nor removed; see that the platform can reach it, or move it into the site's files",
    });
  if (!space) return;
  const { free, files, database: bytes } = space;
  const has = `${inMebibytes(free)} free; the files have ${inMebibytes(files)}, the database ${inMebibytes(bytes)}`;
  if (free < bytes) found.add("disk-full", "disk", has, { remedy: "free some: provision status and provision list name what is there" });
  // A file system that shares blocks between copies needs less.
  else if (free < (files + bytes) * 1.2)
    found.add("space", "disk", has, { remedy: "free some, unless the file system shares the blocks of copies (btrfs, xfs)" });
}

/** Of several who want a newer PHP the one that wants the newest. */
function strictest(all: readonly { readonly by: string; readonly least: string }[]) {
  const [first] = all.toSorted((a, b) => (isBelow(a.least, b.least) ? 1 : isBelow(b.least, a.least) ? -1 : 0));
  return first === undefined ? [] : [first];
}

function minor(version: string): string {
  return version.split(".").slice(0, 2).join(".");
}

function inMebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 / 1024)} MiB`;
}

function listed(names: readonly string[]): string {
  return names.length > 6 ? `${names.slice(0, 6).join(", ")} and ${names.length - 6} more` : names.join(", ");
}

function tryIt({ name }: SiteSide, target: PlatformSide): string {
  return `its database updates run during migrate; provision clone ${name} @try.example.com ${target.name} tries them on a copy`;
}

function sourceOf({ source, name }: PlatformSide): string {
  return source === undefined ? `the source of ${name}` : source.name;
}

function rebuild({ name, source }: PlatformSide): string {
  return source === undefined ? `provision verify ${name}` : `provision verify ${name} --rebuild`;
}

/** How a project comes to the platform, in the words of its source. */
function supply(target: PlatformSide, project: string, version: string | undefined, how = ""): string {
  const { source, code: there } = target;
  const bare = version?.replace(/^\d+\.x-(?=\d)/, "");
  const as = how === "" ? "" : ` ${how}`;
  const named = project === "core" ? "drupal" : project;
  switch (source?.kind) {
    case "makefile":
      return `add projects[${named}]${bare === undefined ? "" : `[version] = ${bare}`}${as} to ${source.name}, then ${rebuild(target)}`;
    case "composer":
      return `composer require ${project === "core" ? "drupal/core-recommended" : `drupal/${named}`}${bare === undefined ? "" : `:${bare}`}${as} in ${source.name}, then ${rebuild(target)}`;
    case "git":
    case "archive":
      return `add ${named}${bare === undefined ? "" : ` ${bare}`}${as} to ${source.name}, then ${rebuild(target)}`;
    default:
      return `put ${project === "core" ? "core" : named}${bare === undefined ? "" : ` ${bare}`}${as} into ${there.docroot}, then ${rebuild(target)}`;
  }
}
