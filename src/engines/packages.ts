import type { Core, Extension } from "./engine.js";

/** One module, theme, profile or library as its files tell of it: what is known without PHP and a database. */
export interface Package {
  readonly type: Extension["type"] | "library";
  readonly name: string;
  /** Relative to the docroot. */
  readonly path: string;
  /** As its info file says it, else as Composer installed it. */
  readonly version?: string;
  /** Project of drupal.org (backdropcms.org) that it came with. */
  readonly project?: string;
  /** The core that it says it works with: `7.x`, `^10 || ^11`, `1.x`. */
  readonly core?: string;
  /** Least PHP, where it names one. */
  readonly php?: string;
  /** Highest database update in its code: the schema version of a site that has run all; undefined for what has none. */
  readonly schema?: number;
  /** Updates up to this one were taken out of its code. */
  readonly removedUpTo?: number;
  /** Names of its post updates, without the extension in front. */
  readonly postUpdates?: readonly string[];
  /** Machine names of what it needs; of a theme its base themes, too. */
  readonly dependencies?: readonly string[];
  /** Not offered to people: tests, parts of others. */
  readonly hidden?: true;
  /** Of a profile: the name it had before. */
  readonly oldShortName?: string;
  /** The Composer package that put it there. */
  readonly composer?: { readonly name: string; readonly version: string };
  /** URLs or file names of patches that were applied to its directory. */
  readonly patches?: readonly string[];
}

/** What a core and the code beside it need of the machine. */
export interface Requirements {
  /** Least versions of PHP, and who asks for them. */
  readonly php: readonly { readonly by: string; readonly least: string }[];
  /** PHP's extensions, lower case, and who asks for them. */
  readonly extensions: readonly { readonly by: string; readonly name: string }[];
  /** By driver (`mysql`), by product (`MariaDB`): least version that the core says; a driver that is not there cannot be used. */
  readonly databases: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** All that was found in the code of a platform. Sorted by path: the same code gives the same inventory. */
export interface PlatformInventory extends Core {
  readonly requires: Requirements;
  /** Patches of the core itself. */
  readonly patches: readonly string[];
  readonly packages: readonly Package[];
}

/** Whose code counts: that of a site with this profile in this directory below sites/. */
export interface Standpoint {
  readonly profile: string | undefined;
  readonly directory: string | undefined;
}

/** `module views`: modules and themes may share a name. */
export function packageKey({ type, name }: Pick<Package, "type" | "name">): string {
  return `${type} ${name}`;
}

/** In which of the core's search places a path is, later ones win; undefined for other profiles and other sites. */
function rankOf(engine: string, path: string, { profile, directory }: Standpoint): number | undefined {
  const profileDirectory = /^(?:core\/)?profiles\/([^/]+)(?:\/|$)/.exec(path)?.[1];
  if (profileDirectory !== undefined) return profileDirectory === profile ? (path.startsWith("core/") ? 1 : 2) : undefined;
  const site = /^sites\/([^/]+)\//.exec(path)?.[1];
  if (site === "all") return 3;
  if (site !== undefined) return site === directory ? 5 : undefined;
  return path.startsWith("core/") || engine === "drupal7" ? 0 : 4;
}

/** What a core at this standpoint takes, by packageKey, and what stands there for nothing: the same name in a place that counts less. */
export function effective(
  inventory: Pick<PlatformInventory, "engine" | "version" | "packages">,
  standpoint: Standpoint,
): { readonly packages: ReadonlyMap<string, Package>; readonly shadowed: readonly Package[] } {
  const found = new Map<string, { readonly rank: number; readonly package: Package }>();
  const shadowed: Package[] = [];
  for (const each of inventory.packages) {
    // Other profiles can be named, and so chosen; what is inside them does not count.
    const rank = each.type === "profile" ? 0 : rankOf(inventory.engine, each.path, standpoint);
    if (rank === undefined) continue;
    const key = packageKey(each);
    const other = found.get(key);
    const wins = other === undefined || (isBefore(other, rank, each) && !(other.rank < rank && isForeign(inventory, each)));
    if (!wins) shadowed.push(each);
    else {
      if (other) shadowed.push(other.package);
      found.set(key, { rank, package: each });
    }
  }
  return { packages: new Map([...found].map(([key, { package: of }]) => [key, of])), shadowed };
}

/** In one place what lies less deep wins, as the cores' directory scans have it. */
function isBefore(other: { readonly rank: number; readonly package: Package }, rank: number, { path }: Package): boolean {
  const depth = (of: string) => of.split("/").length;
  return other.rank < rank || (other.rank === rank && depth(path) < depth(other.package.path));
}

/** Drupal 7 and Backdrop leave out what says another core, when there is something else of that name. */
function isForeign({ engine, version }: Pick<PlatformInventory, "engine" | "version">, { core }: Package): boolean {
  return engine !== "drupal" && core !== undefined && core !== compatibilityOf(version);
}

/** What extensions of Drupal 7 and Backdrop call their core: `7.x`, `1.x`. */
export function compatibilityOf(version: string): string {
  return `${Number.parseInt(version, 10)}.x`;
}
