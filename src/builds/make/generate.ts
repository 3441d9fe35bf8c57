import { basename, dirname, join } from "node:path";
import type { Host } from "../../host/host.js";
import { composerJson } from "./composer-json.js";
import { PhpArray } from "./php-value.js";

/** One project or library as it stands in a code tree. */
interface FoundProject {
  readonly kind: "module" | "theme" | "profile" | "library";
  /** Of its directory. */
  readonly name: string;
  /** Relative to the docroot. */
  readonly path: string;
  /** As drupal.org wrote it into the .info file; undefined for what is not from there. */
  readonly project: string | undefined;
  readonly version: string | undefined;
  /** The Composer package that put it there, and its version. */
  readonly composer?: { readonly name: string; readonly version: string };
  /** URLs or absolute paths, in the order in which they were applied. */
  readonly patches: readonly string[];
}

export interface FoundCode {
  readonly docroot: string;
  readonly coreVersion: string;
  readonly corePatches: readonly string[];
  readonly projects: readonly FoundProject[];
}

/** Directories below `sites/` whose code is wanted, beside `all`. */
type Sites = readonly string[];

/** Every project of a platform that is not core's own: one directory with .info files is one project. Reads files only. */
export async function findProjects(host: Host, docroot: string, coreVersion: string, sites: Sites): Promise<FoundCode> {
  const old = Number.parseInt(coreVersion, 10) < 8;
  const bases = [...(old ? ["sites/all"] : [""]), ...sites.map((site) => `sites/${site}`)];
  const projects: FoundProject[] = [];
  for (const base of bases) {
    for (const kind of ["module", "theme"] as const) projects.push(...(await projectsBelow(host, docroot, join(base, `${kind}s`), kind)));
    for (const name of (await host.list(join(docroot, base, "libraries"))) ?? []) {
      const path = join(base, "libraries", name);
      if ((await host.stat(join(docroot, path)))?.type !== "directory") continue;
      projects.push({ kind: "library", name, path, project: undefined, version: undefined, patches: await patchesIn(host, docroot, path) });
    }
  }
  for (const profile of await projectsBelow(host, docroot, "profiles", "profile")) {
    const ofCore = profile.project === "drupal" || profile.version === undefined || ["VERSION", coreVersion].includes(profile.version);
    if (!(ofCore && CORE_PROFILES.has(profile.name))) projects.push(profile);
  }
  return { docroot, coreVersion, corePatches: await patchesIn(host, docroot, ""), projects };
}

const CORE_PROFILES: ReadonlySet<string> = new Set(["default", "minimal", "standard", "testing", "demo_umami"]);

async function projectsBelow(host: Host, docroot: string, path: string, kind: FoundProject["kind"], depth = 0): Promise<FoundProject[]> {
  if ((await host.stat(join(docroot, path)))?.type !== "directory") return [];
  const names = (await host.list(join(docroot, path))) ?? [];
  const infos = depth === 0 ? [] : names.filter((name) => /\.info(?:\.yml)?$/.test(name));
  if (infos.length === 0) {
    if (depth > 3) return [];
    const below = names.filter((name) => !name.startsWith("."));
    return (await Promise.all(below.map((name) => projectsBelow(host, docroot, join(path, name), kind, depth + 1)))).flat();
  }
  const name = basename(path);
  const info = infos.find((each) => each === `${name}.info` || each === `${name}.info.yml`) ?? infos[0] ?? "";
  const text = (await host.readFile(join(docroot, path, info))) ?? "";
  const value = (key: string) =>
    [...text.matchAll(new RegExp(`^[ \\t]*${key}[ \\t]*[=:][ \\t]*["']?([^"'\\r\\n]+?)["']?[ \\t]*$`, "gm"))].at(-1)?.[1];
  return [{ kind, name, path, project: value("project"), version: value("version"), patches: await patchesIn(host, docroot, path) }];
}

/** What PATCHES.txt of drush make names; a local patch lies beside it. */
async function patchesIn(host: Host, docroot: string, path: string): Promise<readonly string[]> {
  const text = (await host.readFile(join(docroot, path, "PATCHES.txt"))) ?? "";
  return [...text.matchAll(/^- (\S+)/gm)].map(([, name = ""]) => (/^[a-z]+:\/\//i.test(name) ? name : join(docroot, path, name)));
}

export interface GenerateOptions {
  /** Projects without their version: these, or all of them. */
  readonly excludeVersions?: readonly string[] | true;
  /** Only these with their version. */
  readonly includeVersions?: readonly string[];
}

/** Code that is no release of anybody: it has to be kept somewhere. */
interface OwnCode {
  readonly name: string;
  readonly type: FoundProject["kind"];
  /** Relative to the docroot. */
  readonly path: string;
}

/**
 * A make file that builds what was found. What drupal.org does not offer is copied from where it stands, with a warning: a
 * place holder that works on this machine until someone names its repository.
 */
export function generatedMakeFile(
  found: FoundCode,
  options: GenerateOptions = {},
): { document: PhpArray; warnings: readonly string[]; own: readonly OwnCode[] } {
  const core = `${Number.parseInt(found.coreVersion, 10)}.x`;
  const base = Number.parseInt(core, 10) < 8 ? "sites/all" : "";
  const warnings: string[] = [];
  const own: OwnCode[] = [];
  const versioned = (name: string) =>
    options.includeVersions
      ? options.includeVersions.includes(name)
      : !(options.excludeVersions === true || options.excludeVersions?.includes(name));
  const drupal = new PhpArray().set("type", "core").set("version", versioned("drupal") ? found.coreVersion : "");
  addPatches(drupal, found.corePatches);
  const projects = new PhpArray().set("drupal", drupal);
  const libraries = new PhpArray();
  const sorted = [...found.projects].sort((a, b) => (a.path < b.path ? -1 : 1));
  for (const each of sorted) {
    const { kind, path, version } = each;
    const entry = new PhpArray();
    const known = isRelease(each);
    const name = known && each.project !== undefined ? each.project : each.name;
    const section = kind === "library" ? libraries : projects;
    if (section.has(name)) {
      warnings.push(`${path} is left out: there is another ${name} already`);
      continue;
    }
    if (kind !== "module" && kind !== "library") entry.set("type", kind);
    if (known && version !== undefined) entry.set("version", versioned(name) ? makeVersion(version, core) : "");
    else {
      entry.set("download", new PhpArray().set("type", "copy").set("url", join(found.docroot, path)));
      own.push({ name, type: kind, path });
      warnings.push(`${name} is not known to be a release of drupal.org: it is copied from ${path}; name its repository or archive`);
    }
    const subdir = placeIn(entry, kind, path, base);
    if (subdir !== "") entry.set("subdir", subdir);
    if (each.name !== name) entry.set("directory_name", each.name);
    // A copy has them in it.
    if (known) addPatches(entry, each.patches);
    section.set(name, entry);
  }
  if (warnings.length > 0) warnings.push("Some of the properties in your makefile will have to be manually edited.");
  const document = new PhpArray().set("core", core).set("api", 2).set("projects", projects);
  return { document: libraries.size > 0 ? document.set("libraries", libraries) : document, warnings, own };
}

/** drupal.org offers it by project and version. */
function isRelease({ kind, project, version }: FoundProject): boolean {
  return kind !== "library" && project !== undefined && version !== undefined && RELEASE.test(version);
}

/** What is taken from the composer.json of the platform that the code stands on. */
export interface PlatformComposer {
  readonly repositories?: unknown;
  readonly require?: Readonly<Record<string, string>>;
  readonly config?: { readonly "allow-plugins"?: unknown };
}

type Fields = Record<string, unknown>;

/**
 * composer.json for what was found: releases of drupal.org and Composer's own packages with exactly their versions, patches, and
 * of the platform's own composer.json its repositories and whatever else it requires. Own code cannot be required from
 * nowhere: it is listed (`extra.own-code`), with a warning.
 */
export function generatedComposerJson(
  found: FoundCode,
  name: string,
  platform: PlatformComposer = {},
  options: GenerateOptions = {},
): { readonly text: string; readonly warnings: readonly string[]; readonly own: readonly OwnCode[] } {
  const packaged = (each: FoundProject) => !isRelease(each) && each.composer !== undefined;
  const made = generatedMakeFile({ ...found, projects: found.projects.filter(isRelease) }, options);
  const converted = composerJson(made.document, "composer.json");
  const json = JSON.parse(converted.text) as Fields & {
    require: Record<string, string>;
    repositories: unknown[];
    config: Fields;
    extra: Fields;
  };
  const require = Object.fromEntries(
    Object.entries(json.require).map(([of, constraint]) => [
      of,
      of.startsWith("drupal/") ? constraint.replace(/^\^(?=\d)/, "") : constraint,
    ]),
  );
  for (const { composer } of found.projects.filter(packaged)) if (composer) require[composer.name] = composer.version;
  // Composer's name for a project may be another than drupal.org's.
  for (const { composer, project } of found.projects)
    if (composer && project !== undefined && composer.name !== `drupal/${project}` && `drupal/${project}` in require) {
      require[composer.name] = require[`drupal/${project}`] ?? "*";
      delete require[`drupal/${project}`];
    }
  const warnings = [...made.warnings, ...converted.warnings];
  const [ofCode, beside] = [new Set(Object.keys(require)), Object.entries(platform.require ?? {})];
  // What else the platform has: Drush, libraries of PHP. Its extensions are there when the site uses them.
  for (const [of, constraint] of beside) if (!ofCode.has(of) && !/^(?:drupal|npm-asset|bower-asset)\//.test(of)) require[of] = constraint;
  const repositories = repositoriesOf(platform.repositories);
  const local = repositories.filter((one) => one["type"] === "path");
  if (local.length > 0) warnings.push(`${local.length} repositories of the platform's composer.json are directories, and were left out`);
  const known = new Set(json.repositories.map((one) => JSON.stringify(one)));
  const own = found.projects
    .filter((each) => !isRelease(each) && !packaged(each))
    .map(({ name: of, kind, path }) => ({ name: of, type: kind, path }))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1));
  for (const { name: of, path } of own)
    warnings.push(`${of} is not known to be a release of drupal.org or a package: take it along from ${path}, or name its repository`);
  const written = {
    ...json,
    name: `provision/${
      name
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, "-")
        .replace(/^-|-$/g, "") || "site"
    }`,
    description: `What ${name} uses, by provision make-generate`,
    repositories: [...json.repositories, ...repositories.filter((one) => one["type"] !== "path" && !known.has(JSON.stringify(one)))],
    require: Object.fromEntries(Object.entries(require).toSorted(([a], [b]) => (a < b ? -1 : 1))),
    config: { ...json.config, "allow-plugins": allowed(platform.config?.["allow-plugins"], json.config["allow-plugins"]) },
    extra: { ...json.extra, ...(own.length === 0 ? {} : { "own-code": Object.fromEntries(own.map((each) => [each.name, each.path])) }) },
  };
  return { text: `${JSON.stringify(written, undefined, 4)}\n`, warnings, own };
}

/** What either allows; a plug-in that the platform runs is one that its other requirements may be. */
function allowed(here: unknown, ours: unknown): unknown {
  const fields = (value: unknown) => (typeof value === "object" && value !== null && !Array.isArray(value) ? value : {});
  return { ...fields(here), ...fields(ours) };
}

/** A list, or an object of them by name. `packagist.org: false` is none. */
function repositoriesOf(given: unknown): readonly Fields[] {
  const all = Array.isArray(given) ? given : typeof given === "object" && given !== null ? Object.values(given) : [];
  return all.filter((one): one is Fields => typeof one === "object" && one !== null && "type" in one);
}

/** `7.x-3.29`, `8.x-1.0-rc1`, `2.0.1`, `7.x-1.2+3-dev`, `7.x-1.x-dev`. */
const RELEASE = /^(?:\d+\.x-)?\d+\.(?:\d+|x)(?:\.\d+)?(?:-[a-z0-9]+)?(?:\+\d+-dev)?$/;

/** Without the core in front; a snapshot between two releases is its branch. */
function makeVersion(version: string, core: string): string {
  const bare = version.startsWith(`${core}-`) ? version.slice(core.length + 1) : version;
  return bare.replace(/^((?:\d+\.x-)?\d+)\..*\+\d+-dev$/, "$1.x-dev");
}

/** Its subdirectory; what stands in a site's own directory gets that as its base. */
function placeIn(entry: PhpArray, kind: FoundProject["kind"], path: string, base: string): string {
  const kinds = kind === "library" ? "libraries" : `${kind}s`;
  const root = /^sites\/[^/]+/.exec(path)?.[0] ?? "";
  if (kind !== "profile" && root !== base)
    entry.set(kind === "library" ? "destination" : "contrib_destination", kind === "library" ? join("..", "..", root, kinds) : root);
  const inside = dirname(path)
    .slice(join(kind === "profile" ? "" : root, kinds).length)
    .replace(/^\//, "");
  return inside;
}

function addPatches(entry: PhpArray, patches: readonly string[]): void {
  const list = new PhpArray();
  for (const patch of patches) list.set(list.size, patch);
  if (list.size > 0) entry.set("patch", list);
}
