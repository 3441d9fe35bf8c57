import { basename, dirname, join } from "node:path";
import type { Host } from "../host/host.js";
import { type ComposerPackages, composerPackages } from "./composer-packages.js";
import type { Core } from "./engine.js";
import { type Info, iniInfo, yamlInfo } from "./info-text.js";
import type { Package, PlatformInventory } from "./packages.js";
import { requirementsOf } from "./requirements.js";

/** How a family of cores finds its extensions; taken from the discovery of each core. */
interface Family {
  /** Directories below which modules and themes are looked for, each with what it may hold; `*` is any one directory. */
  readonly roots: readonly string[];
  /** Directories that hold one directory for each install profile, where a search does not find them. */
  readonly profiles: readonly string[];
  /** Whether a directory is looked into. `path` is relative to the docroot. */
  enters(name: string, path: string): boolean;
  /** The extensions of a directory that has these names in it. `under`: the root's last part, `modules` or `themes`. */
  extensions(
    names: ReadonlySet<string>,
    under: string,
    depth: number,
  ): readonly { readonly name: string; readonly type: Package["type"] | undefined }[];
  readonly suffix: ".info" | ".info.yml";
  read(text: string): Info;
  /** Keys of the info file that name the core. */
  readonly core: readonly string[];
  /** What stands for the core's own version. */
  readonly versionWords: readonly string[];
}

const FUNCTION_NAME = "[a-zA-Z_\\x7f-\\uffff][a-zA-Z0-9_\\x7f-\\uffff]*";
/** What no core of today looks into, and what has thousands of files. */
const NEVER = new Set(["node_modules", "bower_components", "CVS"]);
/** Drupal 8 and later, as RecursiveExtensionFilterCallback of its core has them; `tests` is one of them unless a site's settings say otherwise. */
const NOT_IN_DRUPAL = new Set([
  ...["src", "lib", "vendor", "assets", "css", "files", "images", "js", "misc", "templates", "includes", "fixtures", "Drupal", "tests"],
  "node_modules",
]);
/** Backdrop, as backdrop_system_listing() has them. */
const NOT_IN_BACKDROP = new Set(["assets", "css", "scss", "less", "js", "images", "templates", "node_modules", "bower_components"]);

/** Modules are what has a .module file, themes have an info file alone; neither says its type in Drupal 7. */
function oldExtensions(names: ReadonlySet<string>, under: string, depth: number): ReturnType<Family["extensions"]> {
  const file = new RegExp(`^(${FUNCTION_NAME})\\.${under === "modules" ? "module" : "info"}$`);
  if (under === "themes" && depth === 0) return [];
  return [...names].flatMap((each) => {
    const name = file.exec(each)?.[1];
    return name !== undefined && names.has(`${name}.info`)
      ? [{ name, type: under === "modules" ? ("module" as const) : ("theme" as const) }]
      : [];
  });
}

const FAMILIES: Readonly<Record<string, Family>> = {
  drupal7: {
    roots: ["modules", "themes", "profiles/*/modules", "profiles/*/themes", "sites/*/modules", "sites/*/themes"],
    profiles: ["profiles"],
    enters: (name) => !NEVER.has(name),
    extensions: oldExtensions,
    suffix: ".info",
    read: iniInfo,
    core: ["core"],
    versionWords: ["VERSION"],
  },
  drupal: {
    roots: [
      "core/modules",
      "core/themes",
      "core/profiles",
      "modules",
      "themes",
      "profiles",
      "sites/*/modules",
      "sites/*/themes",
      "sites/*/profiles",
    ],
    profiles: [],
    enters: (name, path) => !NOT_IN_DRUPAL.has(name) && (name !== "config" || path.endsWith("modules/config")),
    extensions: (names) =>
      [...names].flatMap((each) => {
        const name = new RegExp(`^(${FUNCTION_NAME})\\.info\\.yml$`).exec(each)?.[1];
        return name === undefined ? [] : [{ name, type: undefined }];
      }),
    suffix: ".info.yml",
    read: yamlInfo,
    core: ["core_version_requirement", "core"],
    versionWords: ["VERSION"],
  },
  backdrop: {
    roots: [
      ...["core/modules", "core/themes", "core/profiles/*/modules", "core/profiles/*/themes", "profiles/*/modules", "profiles/*/themes"],
      ...["modules", "themes", "sites/*/modules", "sites/*/themes"],
    ],
    profiles: ["core/profiles", "profiles"],
    enters: (name) => !NOT_IN_BACKDROP.has(name),
    extensions: oldExtensions,
    suffix: ".info",
    read: iniInfo,
    core: ["backdrop"],
    versionWords: ["VERSION", "BACKDROP_VERSION"],
  },
};

const LIBRARIES = ["libraries", "profiles/*/libraries", "core/profiles/*/libraries", "sites/*/libraries"];

/** One directory that was looked into. */
interface Looked {
  /** Relative to the docroot. */
  readonly path: string;
  readonly names: ReadonlySet<string>;
  readonly under: string;
  /** Below the root that it was found under. */
  readonly depth: number;
}

/**
 * Everything in the code of a platform, by its files alone: no PHP, no database, nothing is run. Finds what the core itself would find,
 * whichever profile and site is asked about (`effective` in packages.ts chooses); Drupal 8 and later leaves out directories called tests,
 * as core does. The directories of generations that are being made (`sites/<name>~…`) belong to nobody yet and are left out.
 *
 * Errors: those of the host; CONFIGURATION is none of them: a core of another family has no packages.
 */
export async function scanPlatform(host: Host, core: Core): Promise<PlatformInventory> {
  const { docroot } = core;
  const family = FAMILIES[core.engine];
  const composer = await composerPackages(host, docroot);
  const requires = await requirementsOf(host, core, composer);
  if (family === undefined) return { ...core, requires, patches: [], packages: [] };
  const scan = new Scan(host, core, family, composer);
  const looked: Looked[] = [];
  for (const root of family.roots) for (const place of await scan.places(root)) looked.push(...(await scan.walk(place, basename(root))));
  const packages = await Promise.all([
    ...looked.flatMap((each) =>
      family.extensions(each.names, each.under, each.depth).map(({ name, type }) => scan.extension(each, name, type)),
    ),
    ...(await scan.profiles()),
    ...(await scan.libraries(looked)),
  ]);
  const found = scan.patched(
    packages.filter((each) => each !== undefined),
    looked,
  );
  return {
    ...core,
    requires,
    patches: await scan.corePatches(),
    packages: (await found).toSorted((a, b) => (a.path === b.path ? (a.name < b.name ? -1 : 1) : a.path < b.path ? -1 : 1)),
  };
}

class Scan {
  readonly #host: Host;
  readonly #core: Core;
  readonly #family: Family;
  readonly #composer: ComposerPackages | undefined;

  constructor(host: Host, core: Core, family: Family, composer: ComposerPackages | undefined) {
    this.#host = host;
    this.#core = core;
    this.#family = family;
    this.#composer = composer;
  }

  #at(path: string): string {
    return join(this.#core.docroot, path);
  }

  /**
   * A directory, or a link to one: the real paths of all links on the way to it, `above` those of the ways so far. Undefined for anything
   * else, and for a link that leads back to where the way has come from.
   */
  async #entered(path: string, above: readonly string[]): Promise<readonly string[] | undefined> {
    const stat = await this.#host.stat(this.#at(path));
    if (stat?.type !== "link") return stat?.type === "directory" ? above : undefined;
    const real = await this.#host.realPath(this.#at(path));
    if (real === undefined || above.includes(real) || (await this.#host.stat(real))?.type !== "directory") return undefined;
    const parent = await this.#host.realPath(dirname(this.#at(path)));
    return `${parent}/`.startsWith(`${real}/`) ? undefined : [...above, real];
  }

  async #isDirectory(path: string): Promise<boolean> {
    return (await this.#entered(path, [])) !== undefined;
  }

  async #list(path: string): Promise<readonly string[]> {
    return (await this.#isDirectory(path)) ? ((await this.#host.list(this.#at(path))) ?? []) : [];
  }

  /** The directories that a root with `*` stands for. */
  async places(root: string): Promise<readonly string[]> {
    const star = root.indexOf("*");
    if (star === -1) return [root];
    const above = root.slice(0, star - 1);
    const names = (await this.#list(above)).filter((name) => !name.startsWith(".") && !name.includes("~"));
    return names.map((name) => root.replace("*", name));
  }

  async walk(path: string, under: string, depth = 0, above: readonly string[] = []): Promise<Looked[]> {
    const entered = await this.#entered(path, above);
    const names = entered === undefined ? [] : ((await this.#host.list(this.#at(path))) ?? []).filter((name) => !name.startsWith("."));
    if (entered === undefined || names.length === 0) return [];
    const found: Looked[] = [{ path, names: new Set(names), under, depth }];
    for (const name of names) {
      const below = `${path}/${name}`;
      // Most are files: a look at each would take longer than all else.
      if (FILE.test(name) || !this.#family.enters(name, below)) continue;
      found.push(...(await this.walk(below, under, depth + 1, entered)));
    }
    return found;
  }

  async extension(
    { path, names }: Pick<Looked, "path" | "names">,
    name: string,
    given: Package["type"] | undefined,
  ): Promise<Package | undefined> {
    const text = await this.#host.readFile(this.#at(`${path}/${name}${this.#family.suffix}`));
    const info = this.#family.read(text ?? "");
    const { values } = info;
    const value = (key: string) => {
      const found = values.get(key);
      return found === undefined || found === "" || found === "~" || found === "null" ? undefined : found;
    };
    const said = value("type");
    const type = given ?? TYPES.find((each) => each === said);
    // Layouts, theme engines and what says another type than its place: nothing of ours.
    if (text === undefined || type === undefined || values.size === 0 || (said !== undefined && said !== type)) return undefined;
    const composer = this.#composerOf(path);
    const own = value("version");
    const version = own !== undefined && this.#family.versionWords.includes(own) ? this.#core.version : (own ?? composer?.version);
    const project = value("project") ?? /^drupal\/(.+)$/.exec(composer?.name ?? "")?.[1];
    const core = this.#family.core.map(value).find((each) => each !== undefined);
    const php = value("php");
    const dependencies = dependenciesOf(info);
    const oldShortName = value("old_short_name");
    const hidden = /^(?:true|1|yes|on)$/i.test(value("hidden") ?? "");
    const atTop = composer !== undefined && composer.place === path;
    return {
      type,
      name,
      path,
      ...(version === undefined ? {} : { version }),
      ...(project === undefined ? {} : { project }),
      ...(core === undefined ? {} : { core }),
      ...(php === undefined || !/^\d/.test(php) ? {} : { php }),
      ...(await this.#updates(path, name, names)),
      ...(dependencies.length === 0 ? {} : { dependencies }),
      ...(hidden ? { hidden: true as const } : {}),
      ...(oldShortName === undefined ? {} : { oldShortName }),
      ...(atTop ? { composer: { name: composer.name, version: composer.version } } : {}),
    };
  }

  /** The Composer package whose directory this is in. */
  #composerOf(path: string) {
    for (let place = path; place !== "." && place !== "core"; place = dirname(place)) {
      const found = this.#composer?.places.get(place);
      if (found) return { ...found, place };
    }
    return undefined;
  }

  /** Database updates by the names of their functions, in the files that core loads for them and those that they are often moved to. */
  async #updates(path: string, name: string, names: ReadonlySet<string>): Promise<Pick<Package, "schema" | "removedUpTo" | "postUpdates">> {
    const files = [`${name}.install`, `${name}.install.inc`, `${name}.install.update.inc`, `${name}.updates.inc`, `${name}.update.inc`];
    const read = (file: string) => this.#host.readFile(this.#at(`${path}/${file}`));
    const text = (await Promise.all(files.filter((file) => names.has(file)).map(read))).join("\n");
    const post = names.has(`${name}.post_update.php`) ? ((await read(`${name}.post_update.php`)) ?? "") : "";
    const numbers = [...text.matchAll(new RegExp(`^[ \\t]*function\\s+&?${name}_update_(\\d+)\\s*\\(`, "gim"))].map(([, number]) =>
      Number(number),
    );
    const removed = Number(
      new RegExp(`^[ \\t]*function\\s+${name}_update_last_removed\\s*\\([^{]*\\{\\s*return\\s+(\\d+)`, "im").exec(text)?.[1] ?? Number.NaN,
    );
    if (!Number.isNaN(removed)) numbers.push(removed);
    const postUpdates = [...post.matchAll(new RegExp(`^function\\s+${name}_post_update_(\\w+)\\s*\\(`, "gim"))].map(
      ([, update = ""]) => update,
    );
    return {
      ...(numbers.length === 0 ? {} : { schema: this.#latest(numbers) }),
      ...(Number.isNaN(removed) ? {} : { removedUpTo: removed }),
      ...(postUpdates.length === 0 ? {} : { postUpdates: postUpdates.toSorted() }),
    };
  }

  /** Backdrop runs what came from Drupal 7 (7000 to 8999) before its own, whose numbers are lower. */
  #latest(numbers: readonly number[]): number {
    const own = this.#family === FAMILIES["backdrop"] ? numbers.filter((number) => number < 7000 || number >= 9000) : numbers;
    return Math.max(...(own.length > 0 ? own : numbers));
  }

  /** Of Drupal 7 and Backdrop: core looks for them in these directories alone, and for no name but the directory's. */
  async profiles(): Promise<readonly Promise<Package | undefined>[]> {
    const found: Promise<Package | undefined>[] = [];
    for (const place of this.#family.profiles)
      for (const name of await this.#list(place)) {
        const names = new Set(await this.#list(`${place}/${name}`));
        if (names.has(`${name}.profile`)) found.push(this.extension({ path: `${place}/${name}`, names }, name, "profile"));
      }
    return found;
  }

  async libraries(looked: readonly Looked[]): Promise<readonly Promise<Package>[]> {
    const found: Promise<Package>[] = [];
    const extensions = new Set(looked.map(({ path }) => path));
    for (const root of LIBRARIES)
      for (const place of await this.places(root))
        for (const name of await this.#list(place)) {
          const path = `${place}/${name}`;
          if (!name.startsWith(".") && !extensions.has(path) && (await this.#isDirectory(path))) found.push(this.#library(path, name));
        }
    return found;
  }

  async #library(path: string, name: string): Promise<Package> {
    const composer = this.#composer?.places.get(path);
    const version = composer?.version ?? (await this.#statedVersion(path));
    return {
      type: "library",
      name,
      path,
      ...(version === undefined ? {} : { version }),
      ...(composer === undefined ? {} : { composer }),
    };
  }

  /** Libraries have no info file; most of today's have one of these. */
  async #statedVersion(path: string): Promise<string | undefined> {
    for (const file of ["package.json", "bower.json", "composer.json"]) {
      const version = /^\s*"version"\s*:\s*"([^"\s]+)"/m.exec((await this.#host.readFile(this.#at(`${path}/${file}`))) ?? "")?.[1];
      if (version !== undefined) return version;
    }
    return undefined;
  }

  /** Gives each project its patches: they belong to the extension that lies least deep in the directory. */
  async patched(packages: readonly Package[], looked: readonly Looked[]): Promise<readonly Package[]> {
    const places = new Set([
      ...looked.filter(({ names }) => names.has("PATCHES.txt")).map(({ path }) => path),
      ...packages.filter(({ type }) => type === "profile" || type === "library").map(({ path }) => path),
      ...(this.#composer
        ? [...this.#composer.places].filter(([, { name }]) => this.#composer?.patches.has(name)).map(([place]) => place)
        : []),
    ]);
    const patches = new Map<Package, readonly string[]>();
    for (const place of places) {
      if (place === "core" || place === "") continue;
      const found = await this.#patchesIn(place);
      const inside = packages.filter(({ path }) => `${path}/`.startsWith(`${place}/`));
      const main = inside.toSorted((a, b) => depthOf(a, place) - depthOf(b, place))[0];
      if (main && found.length > 0) patches.set(main, found);
    }
    return packages.map((each) => (patches.has(each) ? { ...each, patches: patches.get(each) ?? [] } : each));
  }

  async corePatches(): Promise<readonly string[]> {
    const all = [...(await this.#patchesIn("")), ...(await this.#patchesIn("core"))];
    return [...new Set(all)];
  }

  /** What drush make (`- name`) and Composer's patches plug-in (`Source: url`) write into PATCHES.txt, and what the plug-in was told. */
  async #patchesIn(path: string): Promise<readonly string[]> {
    const text = (await this.#host.readFile(this.#at(join(path, "PATCHES.txt")))) ?? "";
    const listed = [...text.matchAll(/^(?:- |Source: )(\S+)/gm)].map(([, name = ""]) => name);
    const composer = this.#composer?.places.get(path);
    return [...new Set([...listed, ...(composer ? (this.#composer?.patches.get(composer.name) ?? []) : [])])];
  }
}

const TYPES = ["module", "theme", "profile"] as const;
/** Endings of names that no directory has in which an extension could be. */
const FILE =
  /\.(?:module|install|info|inc|php|profile|theme|engine|test|js|css|scss|less|txt|md|yml|twig|json|lock|xml|html?|png|gif|jpe?g|svg|ico|po|pot|sql|sh|map|woff2?|ttf|eot|patch|gz)$/i;

function depthOf({ path, name }: Package, place: string): number {
  // Of several in one directory the one of its name.
  return path.split("/").length + (name === basename(place) ? 0 : 0.5);
}

/** `views (>=3.0)`, `drupal:node`; a theme's base theme, unless it says that it has none. */
function dependenciesOf({ values, lists }: Info): readonly string[] {
  const base = values.get("base theme");
  const themes = base === undefined || base === "" || base === "false" ? [] : [base];
  const named = (lists.get("dependencies") ?? []).map((each) => each.replace(/^[^:]*:/, "").replace(/[\s(].*$/s, ""));
  return [...new Set([...named, ...themes])].filter((name) => name !== "");
}
