import { basename, dirname, join } from "node:path";
import type { Host } from "../../host/host.js";
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

/**
 * A make file that builds what was found. What drupal.org does not offer is copied from where it stands, with a warning: a
 * place holder that works on this machine until someone names its repository.
 */
export function generatedMakeFile(found: FoundCode, options: GenerateOptions = {}): { document: PhpArray; warnings: readonly string[] } {
  const core = `${Number.parseInt(found.coreVersion, 10)}.x`;
  const base = Number.parseInt(core, 10) < 8 ? "sites/all" : "";
  const warnings: string[] = [];
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
    const known = each.project !== undefined && version !== undefined && RELEASE.test(version) && kind !== "library";
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
  return { document: libraries.size > 0 ? document.set("libraries", libraries) : document, warnings };
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
