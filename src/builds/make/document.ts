import { didYouMean } from "../../core/errors.js";
import type { Diagnostics } from "./diagnostic.js";
import { isNumeric, isTruthy, type Mark, PhpArray, PhpFloat, type PhpKey, type PhpValue, phpText } from "./php-value.js";

/**
 * What drush does after each merge (`make_normalize_info`): `projects[] = views` becomes `views` with an empty
 * version, at the end; `views: 3.0` becomes `{version: 3.0}`. Changes `info`.
 */
export function normalizeProjects(info: PhpArray): void {
  const projects = info.get("projects");
  if (!(projects instanceof PhpArray)) return;
  for (const [key, value] of projects.entries()) {
    const mark = projects.mark(key);
    if (isNumeric(key) && typeof value === "string") {
      projects.delete(key);
      projects.set(value, new PhpArray().set("version", "", mark), mark);
    } else if (typeof key === "string" && isNumeric(value)) {
      projects.set(key, new PhpArray().set("version", value, mark), mark);
    }
  }
}

/** Keys whose text is a name or number of something outside: `3.10` is not the number 3.1. */
const TEXT_KEYS: ReadonlySet<PhpKey> = new Set([
  "version",
  "revision",
  "tag",
  "branch",
  "refspec",
  "core",
  "api",
  "md5",
  "sha1",
  "sha256",
  "sha512",
  "commit",
]);

/**
 * A copy in which versions, revisions, tags, branches and checksums are as the file writes them, where drush's
 * YAML reader had made numbers or dates of them; each with a warning that names what drush would have fetched.
 */
export function bySourceText(info: PhpArray, diagnostics: Diagnostics): PhpArray {
  const copied = new PhpArray();
  for (const [key, value] of info.entries()) {
    const mark = info.mark(key);
    copied.set(key, value instanceof PhpArray ? bySourceText(value, diagnostics) : sourceText(key, value, mark, diagnostics), mark);
  }
  return copied;
}

function sourceText(key: PhpKey, value: PhpValue, mark: Mark | undefined, diagnostics: Diagnostics): PhpValue {
  const isNumber = typeof value === "number" || value instanceof PhpFloat;
  if (!TEXT_KEYS.has(key) || !isNumber || mark?.source === undefined) return value;
  if (phpText(value) !== mark.source) {
    diagnostics.warn(
      "yaml/number",
      mark,
      `${key} ${mark.source} is built as written; drush would have fetched ${phpText(value)}: put it in quotes`,
    );
  }
  return mark.source;
}

/**
 * Drush's validation (`make_validate_info_file`), then shorthands and `defaults`. Changes and returns `info`, or
 * `undefined` after errors, all of which are in `diagnostics`.
 */
export function validate(info: PhpArray, file: string, diagnostics: Diagnostics, reading: "drush" | "ours" = "ours"): PhpArray | undefined {
  const before = diagnostics.errors.length;
  const at = (key: PhpKey, of = info): Mark | string => of.mark(key) ?? file;
  validateCore(info, at("core"), diagnostics, reading);
  if ((info.get("api") ?? null) === null) {
    diagnostics.warn("file/no-api", file, "`api` is missing; it is taken to be 2");
    info.set("api", 2);
  } else if (Number(phpText(info.get("api"))) !== 2) {
    diagnostics.error(
      "file/wrong-api",
      at("api"),
      `api ${phpText(info.get("api"))} is not supported: The specified API attribute is incompatible with this version of Drush Make. Write api: 2`,
    );
  }
  validateProjects(info, file, diagnostics, reading);
  validateLibraries(info, file, diagnostics, reading);
  if (reading === "ours") warnOfUnknownKeys(info, TOP_KEYS, "file", "", file, diagnostics);
  if (diagnostics.errors.length > before) return undefined;
  expandDownloads(info);
  applyDefaults(info, at("defaults"), diagnostics);
  return info;
}

function validateCore(info: PhpArray, at: Mark | string, diagnostics: Diagnostics, reading: "drush" | "ours"): void {
  const core = info.get("core");
  if (!isTruthy(core)) {
    const lock = info.has("lock") && info.has("inputs") && info.has("entries");
    diagnostics.error(
      "file/no-core",
      at,
      lock
        ? "this is a lock that provision wrote, and no make file: build with provision make MAKEFILE PATH --locked=LOCK"
        : "The 'core' attribute is required: write core: 7.x",
    );
    return;
  }
  const match = /^(\d+)(?:\.(x|(\d+)(-[a-z0-9]+)?))?$/.exec(phpText(core));
  if (match) {
    if (match[3] !== undefined) info.set("core_release", core as PhpValue);
    info.set("core", `${match[1]}.x`, info.mark("core"));
    return;
  }
  const newer = reading === "ours" ? /^(\d+)\.(?:\d+|x)\.(?:\d+|x)(?:-[a-z0-9]+)?$/.exec(phpText(core)) : null;
  if (newer) {
    diagnostics.warn(
      "file/core-minor",
      at,
      `core ${phpText(core)} stands for the family ${newer[1]}.x; the version of core itself is given by its project`,
    );
    info.set("core", `${newer[1]}.x`, info.mark("core"));
  } else diagnostics.error("file/bad-core", at, `The 'core' attribute ${phpText(core)} has an incorrect format: write 7, 7.x or 7.34`);
}

function validateProjects(info: PhpArray, file: string, diagnostics: Diagnostics, reading: "drush" | "ours"): void {
  const all = info.get("projects");
  if ((all ?? null) === null) return;
  if (!(all instanceof PhpArray)) {
    diagnostics.error("file/projects", info.mark("projects") ?? file, "'projects' attribute must be an array.");
    return;
  }
  const projects = withoutRemoved(all, reading);
  info.set("projects", projects, info.mark("projects"));
  const names = new Set<PhpKey>();
  for (const [key, value] of projects.entries()) {
    const at = projects.mark(key) ?? file;
    const name = typeof key === "number" && typeof value === "string" ? value : key;
    if (names.has(name)) diagnostics.error("project/twice", at, `Project ${name} defined twice (remove the first projects[] = ${name}).`);
    names.add(name);
    if (typeof key === "string" && value instanceof PhpArray) {
      for (const attribute of ["subdir", "directory_name", "contrib_destination"]) {
        checkPath(value, attribute, key, file, diagnostics);
      }
      if (reading === "ours") warnOfUnknownKeys(value, PROJECT_KEYS, "project", ` of ${key}`, file, diagnostics);
    } else if (typeof key === "number" && typeof value === "string") {
      projects.delete(key);
      projects.set(value, new PhpArray(), projects.mark(key));
    } else if (typeof value === "string") {
      projects.set(key, new PhpArray().set("version", value, projects.mark(key)), projects.mark(key));
    } else diagnostics.error("project/form", at, `Project ${key} incorrectly specified.`);
  }
}

/** `projects[x] = FALSE` takes out what an include brought in. Drush also drops `{}`; to us that is a project of any version. */
function withoutRemoved(entries: PhpArray, reading: "drush" | "ours"): PhpArray {
  const kept = new PhpArray();
  for (const [key, value] of entries.entries()) {
    if (isTruthy(value) || (reading === "ours" && value instanceof PhpArray)) kept.set(key, value, entries.mark(key));
  }
  return kept;
}

function validateLibraries(info: PhpArray, file: string, diagnostics: Diagnostics, reading: "drush" | "ours"): void {
  const all = info.get("libraries");
  if ((all ?? null) === null) return;
  if (!(all instanceof PhpArray)) {
    diagnostics.error("file/libraries", info.mark("libraries") ?? file, "'libraries' attribute must be an array.");
    return;
  }
  const libraries = withoutRemoved(all, "drush");
  info.set("libraries", libraries, info.mark("libraries"));
  for (const [key, value] of libraries.entries()) {
    if (!(value instanceof PhpArray)) continue;
    value.delete("contrib_destination");
    checkPath(value, "directory_name", key, file, diagnostics);
    if (reading === "ours") warnOfUnknownKeys(value, LIBRARY_KEYS, "library", ` of ${key}`, file, diagnostics);
  }
}

function checkPath(entry: PhpArray, attribute: string, name: PhpKey, file: string, diagnostics: Diagnostics): void {
  const path = entry.get(attribute);
  if (path === undefined || !/^\/|^\.\.|\/\.\.\//.test(phpText(path))) return;
  diagnostics.error(
    "entry/path",
    entry.mark(attribute) ?? file,
    `Illegal path ${phpText(path)} for '${attribute}' attribute in project ${name}.`,
  );
}

const TOP_KEYS = [
  "format",
  "core",
  "api",
  "projects",
  "libraries",
  "includes",
  "overrides",
  "defaults",
  "translations",
  "options",
  "core_release",
];
/** What drush (and we) know of a project; every other key is passed over. */
const PROJECT_KEYS = [
  ...["version", "subdir", "type", "download", "patch", "directory_name", "location", "overwrite", "destination", "contrib_destination"],
  ...["options", "do_recursion", "variant", "translations", "l10n_path", "l10n_url", "md5", "lock", "name", "working-copy", "core"],
];
/** A type says nothing of a library, nor does a version; tens of thousands have them all the same. */
const LIBRARY_KEYS = [
  ...["download", "patch", "subdir", "directory_name", "destination", "overwrite", "contrib_destination"],
  ...["type", "version", "options", "lock", "name", "working-copy"],
];
const DOWNLOAD_KEYS = [
  ...["type", "url", "source", "branch", "tag", "revision", "commit", "refspec", "submodule", "subtree", "filename", "file_type"],
  ...["md5", "sha1", "sha256", "sha512", "request_type", "data", "post_data", "wc_url", "version", "full_version", "working-copy"],
  ...["username", "password", "force", "interactive", "variant", "status url", "project", "download_link", "date"],
];
/** Of these it is known what was meant. */
const MEANT: ReadonlyMap<string, string> = new Map([
  ...["revision", "commit", "branch", "tag", "url", "filename", "subtree"].map((key): [string, string] => [
    key,
    `it belongs under download: download: {${key}: …}`,
  ]),
  ["file_name", "it belongs under download: download: {filename: …}"],
  ["directory", "did you mean directory_name?"],
  ["install_path", "did you mean destination?"],
]);

function warnOfUnknownKeys(
  entry: PhpArray,
  known: readonly string[],
  code: string,
  of: string,
  file: string,
  diagnostics: Diagnostics,
): void {
  for (const key of entry.keys()) {
    // A key with a space or a quote is told of where it is read.
    if (typeof key !== "string" || known.includes(key) || /[\s"']/.test(key)) continue;
    const near = didYouMean(key, known);
    const meant = key.includes("][")
      ? "a bracket is missing before it"
      : ((known === DOWNLOAD_KEYS ? undefined : MEANT.get(key)) ?? (near === undefined ? undefined : `did you mean ${near}?`));
    const suffix = meant === undefined ? "" : `; ${meant}`;
    diagnostics.warn(`${code}/unknown-key`, entry.mark(key) ?? file, `drush passes over ${JSON.stringify(key)}${of}${suffix}`);
  }
  const download = known === DOWNLOAD_KEYS ? undefined : entry.get("download");
  if (download instanceof PhpArray && known !== TOP_KEYS)
    warnOfUnknownKeys(download, DOWNLOAD_KEYS, code, ` in the download${of}`, file, diagnostics);
}

/** `download: https://…` is short for `download: {url: https://…}`. */
function expandDownloads(info: PhpArray): void {
  for (const section of ["projects", "libraries"]) {
    const entries = info.get(section);
    if (!(entries instanceof PhpArray)) continue;
    for (const [, entry] of entries.entries()) {
      const download = entry instanceof PhpArray ? entry.get("download") : undefined;
      if (entry instanceof PhpArray && typeof download === "string" && isTruthy(download)) {
        entry.set("download", new PhpArray().set("url", download, entry.mark("download")), entry.mark("download"));
      }
    }
  }
}

/** `defaults[projects][subdir] = contrib`: after includes, so that one file's defaults reach all projects; a project's own value wins. */
function applyDefaults(info: PhpArray, at: Mark | string, diagnostics: Diagnostics): void {
  const defaults = info.get("defaults");
  if (!(defaults instanceof PhpArray)) return;
  for (const [section, values] of defaults.entries()) {
    const entries = info.get(section);
    if (!(entries instanceof PhpArray)) {
      diagnostics.warn("defaults/unknown", defaults.mark(section) ?? at, `Unknown attribute '${section}' in defaults array`);
      continue;
    }
    if (!(values instanceof PhpArray)) continue;
    for (const [name, entry] of entries.entries()) {
      if (entry instanceof PhpArray) entries.set(name, overlay(values, entry), entries.mark(name));
    }
  }
}

/** Default keys first; on both sides arrays are merged, else the own value wins. */
function overlay(defaults: PhpArray, own: PhpArray): PhpArray {
  const merged = defaults.copy();
  for (const [key, value] of own.entries()) {
    const below = merged.get(key);
    merged.set(key, value instanceof PhpArray && below instanceof PhpArray ? overlay(below, value) : value, own.mark(key));
  }
  return merged;
}
