import { messageOf, ProvisionError } from "../../core/errors.js";
import { shown } from "./address.js";
import { patchesOf } from "./patch.js";
import { isTruthy, PhpArray, phpText } from "./php-value.js";
import { type PlanEntry, planOf } from "./plan.js";

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
type Fields = Record<string, Json>;

export interface ComposerJson {
  readonly text: string;
  /** What Composer cannot be told, or what should be looked at. */
  readonly warnings: readonly string[];
}

/**
 * composer.json for what a validated make file builds: releases of drupal.org as requirements, everything else as package
 * repositories, the tree of drush make by `installer-paths`, patches for cweagans/composer-patches. A version becomes
 * `^version`, as drush make-convert wrote it; composer.lock then pins it.
 */
export function composerJson(document: PhpArray, file: string): ComposerJson {
  const core = Number.parseInt(phpText(document.get("core")), 10);
  const warnings: string[] = [];
  const require: Record<string, string> = { "composer/installers": "^1.9 || ^2.0" };
  const repositories: Fields[] = [{ type: "composer", url: `https://packages.drupal.org/${core < 8 ? 7 : 8}` }];
  const patches: Record<string, Record<string, string>> = {};
  const planned = planOf(document);
  const { entries } = planned.problem?.code === "MAKE_NO_CORE" ? planOf(document, { noCore: true }) : planned;
  const subdir = usualSubdir(entries);
  const defaults = defaultPlaces(core, subdir);
  const places = new Map<string, string[]>(Object.entries(defaults));
  if (entries.every(({ kind }) => kind !== "core")) warnings.push("there is no core in the make file: add one to `require`");

  const own = entries.find(({ kind }) => kind === "core");
  // Its directory holds all others: what comes before it would be gone when it is installed.
  const around = own && core < 8 ? packageOf(own, core, []).name : undefined;
  for (const entry of entries) {
    const { name, constraint, repository } = packageOf(entry, core, warnings, entry === own ? undefined : around);
    require[name] = constraint;
    if (repository) repositories.push(repository);
    if (core >= 8 && entry.kind === "core" && name === "drupal/core-recommended") require["drupal/core-composer-scaffold"] = constraint;
    const rule = Object.entries(defaults).find(([, [type]]) => type === `type:drupal-${entry.type.toLowerCase()}`)?.[0];
    const place = `web/${entry.path}`;
    if (entry.kind !== "core" && rule?.replace("{$name}", shortName(name)) !== place) putAt(places, name, place);
    const described = describedPatches(entry, file, warnings);
    if (Object.keys(described).length > 0) patches[entry.kind === "core" && core >= 8 ? "drupal/core" : name] = described;
  }
  if (Object.keys(patches).length > 0) require["cweagans/composer-patches"] = "^1.7";
  const plugins = ["composer/installers", "drupal/core-composer-scaffold", "cweagans/composer-patches"];
  const composer = {
    name: "provision/converted",
    description: "Converted from a make file by provision make-convert",
    type: "project",
    license: "GPL-2.0-or-later",
    repositories,
    require,
    "minimum-stability": "dev",
    "prefer-stable": true,
    config: {
      "sort-packages": true,
      "allow-plugins": Object.fromEntries(plugins.filter((name) => name in require).map((name) => [name, true])),
    },
    extra: {
      ...(core >= 8 ? { "drupal-scaffold": { locations: { "web-root": "web/" } } } : {}),
      "installer-paths": Object.fromEntries(places),
      ...(Object.keys(patches).length > 0 ? { "composer-exit-on-patch-failure": true, patches } : {}),
    },
  };
  return { text: `${JSON.stringify(composer, undefined, 4)}\n`, warnings };
}

/** Most projects say no type (drupal.org does), so the subdirectory that most of them share becomes the rule for modules and themes. */
function usualSubdir(entries: readonly PlanEntry[]): string {
  const counts = new Map<string, number>();
  for (const { kind, type, attributes } of entries) {
    const subdir = phpText(attributes.get("subdir")).replace(/^\/+|\/+$/g, "");
    if (kind === "contrib" && type.toLowerCase() !== "profile") counts.set(subdir, (counts.get(subdir) ?? 0) + 1);
  }
  const [first] = [...counts].sort(([, a], [, b]) => b - a);
  return first === undefined || first[0] === "" ? "" : `${first[0]}/`;
}

function shortName(name: string): string {
  return name.slice(name.indexOf("/") + 1);
}

function defaultPlaces(core: number, contrib: string): Record<string, string[]> {
  const base = core < 8 ? "web/sites/all" : "web";
  return {
    [core < 8 ? "web/" : "web/core"]: ["type:drupal-core"],
    [`${base}/modules/${contrib}{$name}`]: ["type:drupal-module"],
    [`${base}/themes/${contrib}{$name}`]: ["type:drupal-theme"],
    [`${base}/libraries/{$name}`]: ["type:drupal-library"],
    ["web/profiles/{$name}"]: ["type:drupal-profile"],
    [core < 8 ? "web/sites/all/drush/{$name}" : "drush/Commands/{$name}"]: ["type:drupal-drush"],
  };
}

/** Named packages come before the rule for their type: Composer takes the first place that fits. */
function putAt(places: Map<string, string[]>, name: string, path: string): void {
  const short = shortName(name);
  const place = path.endsWith(`/${short}`) ? `${path.slice(0, -short.length)}{$name}` : path;
  const there = places.get(place) ?? [];
  const before = there.findIndex((rule) => rule.startsWith("type:"));
  const named = before === -1 ? [...there, name] : [...there.slice(0, before), name, ...there.slice(before)];
  const others = [...places].filter(([other]) => other !== place);
  const isNamed = ([, rules]: [string, string[]]) => rules.some((rule) => !rule.startsWith("type:"));
  const all: [string, string[]][] = [...others.filter(isNamed), [place, named], ...others.filter((each) => !isNamed(each))];
  places.clear();
  for (const [key, rules] of all) places.set(key, rules);
}

interface Package {
  readonly name: string;
  readonly constraint: string;
  readonly repository?: Fields;
}

function packageOf(entry: PlanEntry, core: number, warnings: string[], around?: string): Package {
  const isLibrary = entry.kind === "library" || entry.type.toLowerCase() === "library";
  const own = isLibrary || phpText(entry.download.get("type")) !== "pm";
  const git = own ? gitConstraint(entry, core) : undefined;
  if (!isLibrary && (!own || git !== undefined)) {
    const name = entry.kind === "core" && entry.name === "drupal" ? corePackage(core, entry.version) : `drupal/${composerName(entry.name)}`;
    if (git !== undefined) return { name, constraint: git };
    if (entry.version === "") {
      warnings.push(`${entry.name} names no version: any is taken ("*")`);
      return { name, constraint: "*" };
    }
    const constraint = constraintOf(entry.version);
    if (constraint === undefined)
      warnings.push(`${entry.name}: its version ${JSON.stringify(entry.version)} is none to Composer: any is taken ("*")`);
    return { name, constraint: constraint ?? "*" };
  }
  return ownPackage(entry, isLibrary, warnings, around);
}

function corePackage(core: number, version: string): string {
  if (core < 8) return "drupal/drupal";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return version === "" || major > 8 || minor >= 8 ? "drupal/core-recommended" : "drupal/core";
}

/** Composer takes lower case only, and one sign between words. */
function composerName(name: string): string {
  return (
    name
      .toLowerCase()
      .replace(/[^a-z0-9]*([._-])[^a-z0-9]*/g, "$1")
      .replace(/[^a-z0-9._-]+/g, "-")
      .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "") || "unnamed"
  );
}

/** What Composer takes for a version (composer/semver). */
const VERSION = /^v?\d{1,5}(?:\.\d+){0,3}(?:[._-]?(?:stable|beta|b|rc|alpha|a|patch|pl|p)(?:[.-]?\d+)*)?(?:[.-]?dev)?$/i;

/** `3.29` → `^3.29`, `7.x-3.29` too, `1.x-dev` → `1.x-dev`, `3` and `3.x` → the branch or `^3`; `undefined` when it is none to Composer. */
function constraintOf(version: string): string | undefined {
  const bare = version.replace(/^\d+\.x-(?=\d)/, "");
  if (/^\d+(?:\.\d+)*\.x(?:-dev)?$/.test(bare)) return `${bare.replace(/-dev$/, "")}-dev`;
  return VERSION.test(bare) ? `^${bare}` : undefined;
}

/** Of a repository at drupal.org, what the package of the same name is called; `undefined` for one elsewhere. */
function gitConstraint(entry: PlanEntry, core: number): string | undefined {
  const { download } = entry;
  if (phpText(download.get("type")) !== "git") return undefined;
  const url = phpText(download.get("url"));
  const home =
    url === "" ||
    new RegExp(`^(?:https?|git|ssh)://(?:[^/@]*@)?git\\.drupal(?:code)?\\.org/project/${escaped(entry.name)}(?:\\.git)?/?$`).test(url);
  const tag = phpText(download.get("tag"));
  const branch = phpText(download.get("branch"));
  const revision = phpText(download.get("revision"));
  if (!home || isTruthy(download.get("refspec"))) return undefined;
  const prefix = new RegExp(`^${core}\\.x-`);
  if (tag !== "") return constraintOf(tag.replace(prefix, ""));
  if (branch === "") return revision === "" ? "*" : undefined;
  const line = branch.replace(prefix, "");
  const dev = /^\d+(?:\.\d+)*\.x$/.test(line) ? `${line}-dev` : `dev-${branch}`;
  return revision === "" ? dev : `${dev}#${revision}`;
}

function escaped(text: string): string {
  return text.replace(/[.*+?^$()|[\]{}\\]/g, "\\$&");
}

/** A package that no repository offers: said in full. */
function ownPackage(entry: PlanEntry, isLibrary: boolean, warnings: string[], around: string | undefined): Package {
  const { download } = entry;
  const name = `${isLibrary ? "make-library" : "make-project"}/${composerName(entry.path.split("/").pop() || entry.name)}`;
  const text = (key: string) => phpText(download.get(key));
  const type = text("type").toLowerCase() || (/\.git\/?$/.test(text("url")) ? "git" : "file");
  const kind = entry.kind === "core" ? "drupal-core" : `drupal-${isLibrary ? "library" : entry.type.toLowerCase()}`;
  const base = {
    name,
    version: "dev-make",
    type: kind,
    require: { "composer/installers": "*", ...(around === undefined ? {} : { [around]: "*" }) },
  };
  if (type === "git") {
    const reference = text("tag") || text("revision") || text("branch") || "HEAD";
    if (reference === "HEAD") warnings.push(`${entry.name} names no tag, branch or revision: whatever HEAD is will be built`);
    const url = text("url") || `https://git.drupalcode.org/project/${entry.name}.git`;
    return { name, constraint: "dev-make", repository: { type: "package", package: { ...base, source: { type: "git", url, reference } } } };
  }
  if (type === "file" || type === "get") {
    const url = text("url");
    const shasum = text("sha1");
    const dist = { url, type: archiveType(url), ...(shasum === "" ? {} : { shasum }) };
    if (dist.type === "file" || isTruthy(download.get("subtree")) || isTruthy(download.get("filename")))
      warnings.push(
        `${entry.name}: look at ${shown(url)}: Composer unpacks archives whole and keeps the names of files (subtree and filename are lost)`,
      );
    return { name, constraint: "dev-make", repository: { type: "package", package: { ...base, dist } } };
  }
  warnings.push(`${entry.name} (download type ${type}) cannot be said to Composer: it is required by its name only`);
  return { name, constraint: "*" };
}

function archiveType(url: string): string {
  const path = url.split(/[?#]/, 1)[0] ?? "";
  if (/\.zip$|\/zipball\//i.test(path)) return "zip";
  return /\.(?:tar|tgz|tar\.(?:gz|bz2|xz))$|\/tarball\//i.test(path) ? "tar" : "file";
}

/** The text that a person will look for: the key that names it, else the issue and the words of its file name. */
function describedPatches(entry: PlanEntry, file: string, warnings: string[]): Record<string, string> {
  const given = entry.attributes.get("patch");
  const keys = given instanceof PhpArray && !given.has("url") ? given.keys() : [];
  const described: Record<string, string> = {};
  try {
    patchesOf(entry.attributes, file).forEach((patch, index) => {
      const item = given instanceof PhpArray ? given.get(keys[index] ?? "") : given;
      const url = "url" in patch.address ? patch.address.url : phpText(item instanceof PhpArray ? item.get("url") : (item ?? ""));
      const words = description(keys[index], url);
      const unique = words in described ? `${words} (${Object.keys(described).length + 1})` : words;
      described[unique] = url;
      if (Object.keys(patch.checksums).length > 0) warnings.push(`${entry.name}: the checksum of ${patch.name} is not carried over`);
    });
  } catch (error) {
    if (!(error instanceof ProvisionError)) throw error;
    warnings.push(`${entry.name}: its patches are left out: ${messageOf(error)}`);
  }
  return described;
}

function description(key: string | number | undefined, url: string): string {
  const name = decodeURIComponent(
    (url.split(/[?#]/, 1)[0] ?? "")
      .split("/")
      .pop()
      ?.replaceAll(/%(?![0-9a-f]{2})/gi, "%25") ?? "",
  );
  const bare = name.replace(/\.(?:patch|diff|txt)$/i, "");
  const given = typeof key === "string" && !/^\d+$/.test(key) ? key : undefined;
  const hash = /^[0-9a-f]{12,40}$/.exec(bare)?.[0];
  if (given === undefined && hash !== undefined) return `Commit ${hash.slice(0, 12)}`;
  const issue = typeof key === "number" && key > 9999 ? String(key) : /(?<![0-9a-f])\d{5,8}(?![0-9a-f])/.exec(bare)?.[0];
  const spaced = bare.replaceAll(/[-_\s]+/g, " ").replace(issue ?? /$^/, "");
  const words =
    given ??
    spaced
      .replace(/ \d{1,3} *$/, "")
      .replaceAll(/ {2,}/g, " ")
      .trim();
  return issue === undefined || words.includes(issue) ? words || name || "patch" : `Issue #${issue}${words === "" ? "" : `: ${words}`}`;
}
