import { encodeOrdered, isTruthy, type Mark, type Ordered, PhpArray, type PhpValue, phpText } from "./php-value.js";

const RELEASE_HISTORY = "https://updates.drupal.org/release-history";

export interface PlanOptions {
  /** No core is needed, and one that is named is left out. */
  readonly noCore?: boolean;
  /** Base of modules, themes and libraries; `sites/all` below Drupal 8, else the root. */
  readonly contribDestination?: string;
  /** Only these projects or libraries; naming one kind leaves the other out. `*` is all. */
  readonly projects?: readonly string[];
  readonly libraries?: readonly string[];
  /** This file was found inside a project: no core, no complaint about an empty list. */
  readonly recursed?: boolean;
  /** Release server of projects that name none. */
  readonly location?: string;
  /** Project name → type, where release history has already been asked. */
  readonly types?: ReadonlyMap<string, ProjectType>;
}

export type ProjectType = "core" | "module" | "profile" | "theme" | "library" | "translation";
type EntryKind = "core" | "contrib" | "library";

/** One thing to fetch and where it goes. */
export interface PlanEntry {
  readonly kind: EntryKind;
  readonly name: string;
  /** As the file says it; for a project one of ProjectType in any case. */
  readonly type: string;
  /** Relative to the platform; empty is the platform itself. Not yet checked: see safe-path.ts. */
  readonly path: string;
  /** Base of what a make file inside this project asks for; `undefined` for a library. */
  readonly recurseBase: string | undefined;
  readonly version: string;
  /** `type` is `pm` for a release of drupal.org, else the file's own keys. */
  readonly download: PhpArray;
  readonly attributes: PhpArray;
  readonly mark: Mark | undefined;
  /** Where drush's own plan puts a core that the file does not call one; such a platform could not run. */
  readonly drushPath?: string;
  /** Drush knows no such type and leaves the entry out. */
  readonly unknownType?: true;
}

export interface Plan {
  readonly contribDestination: string;
  readonly entries: readonly PlanEntry[];
  readonly problem?: { readonly code: "MAKE_NO_CORE" | "MAKE_MULTIPLE_CORES" | "ALL_EXCLUDED"; readonly message: string };
  /** There was no project at all and none was needed. */
  readonly nothing?: true;
  readonly translations?: PhpArray;
}

const TYPES: ReadonlySet<string> = new Set(["core", "module", "profile", "theme", "library", "translation"]);

/** Where every entry of a validated document goes; pure, asks nothing of the network. */
export function planOf(document: PhpArray, options: PlanOptions = {}): Plan {
  const core = phpText(document.get("core"));
  const contribDestination = contribBase(core, options.contribDestination);
  const { projects, libraries, excluded } = selected(document, options);
  const translations = document.get("translations");
  const plan = {
    contribDestination,
    ...(translations instanceof PhpArray && translations.size > 0 ? { translations } : {}),
  };
  if (excluded)
    return {
      ...plan,
      entries: [],
      problem: {
        code: "ALL_EXCLUDED",
        message: "All projects and libraries have been excluded. Review the 'projects' and 'libraries' options.",
      },
    };
  const libraryEntries = libraries.map(([name, attributes, mark]) => libraryEntry(name, attributes, mark, contribDestination));
  const needsCore = options.noCore !== true && options.recursed !== true && !asksForNoCore(document);
  if (projects.length === 0) {
    return needsCore ? { ...plan, entries: [], problem: noCore } : { ...plan, entries: libraryEntries, nothing: true };
  }
  const entries = projects.map(([name, attributes, mark]) => projectEntry(name, attributes, mark, core, contribDestination, options));
  const cores = entries.filter((entry) => entry.kind === "core");
  if (needsCore && cores.length === 0) return { ...plan, entries: [], problem: noCore };
  if (needsCore && cores.length > 1) {
    const names = cores.map((entry) => entry.name).join(", ");
    return { ...plan, entries: [], problem: { code: "MAKE_MULTIPLE_CORES", message: `More than one core project specified: ${names}.` } };
  }
  return { ...plan, entries: [...(needsCore ? cores : []), ...entries.filter((entry) => entry.kind !== "core"), ...libraryEntries] };
}

const noCore = { code: "MAKE_NO_CORE", message: "No core project specified." } as const;

function contribBase(core: string, given: string | undefined): string {
  if (given !== undefined) return given === "." ? "" : given;
  return Number.parseInt(core, 10) < 8 ? "sites/all" : "";
}

/** The one drush option that a make file may set here. */
function asksForNoCore(document: PhpArray): boolean {
  const options = document.get("options");
  return options instanceof PhpArray && isTruthy(options.get("no-core"));
}

type Named = [name: string, attributes: PhpArray, mark: Mark | undefined];

function selected(document: PhpArray, options: PlanOptions): { projects: Named[]; libraries: Named[]; excluded: boolean } {
  let projects = named(document.get("projects"));
  let libraries = named(document.get("libraries"));
  if (options.projects === undefined && options.libraries === undefined) return { projects, libraries, excluded: false };
  projects = projects.filter(([name]) => options.projects?.some((wanted) => wanted === "*" || wanted === name) ?? false);
  libraries = libraries.filter(([name]) => options.libraries?.some((wanted) => wanted === "*" || wanted === name) ?? false);
  return { projects, libraries, excluded: projects.length + libraries.length === 0 };
}

function named(section: unknown): Named[] {
  if (!(section instanceof PhpArray)) return [];
  return section
    .entries()
    .flatMap(([name, value]): Named[] => (value instanceof PhpArray ? [[String(name), value, section.mark(name)]] : []));
}

function projectEntry(key: string, given: PhpArray, mark: Mark | undefined, core: string, base: string, options: PlanOptions): PlanEntry {
  const attributes = given;
  const name = isTruthy(given.get("name")) ? phpText(given.get("name")) : key;
  const version = phpText(given.get("version"));
  const standard = options.location ?? RELEASE_HISTORY;
  const location = isTruthy(given.get("location")) ? phpText(given.get("location")) : standard;
  const own = given.get("download");
  const lookedUp = options.types?.get(name) ?? (name === "drupal" ? "core" : "module");
  const type = isTruthy(given.get("type")) ? phpText(given.get("type")) : own instanceof PhpArray ? "module" : lookedUp;
  const isCore =
    type.toLowerCase() === "core" ||
    (!given.has("type") && lookedUp === "core" && !(own instanceof PhpArray)) ||
    (own instanceof PhpArray && location === standard && name === "drupal");
  const download = own instanceof PhpArray ? withDefaultType(own) : release(given.get("version") ?? "", core, isCore, location);
  const unknown = TYPES.has(type.toLowerCase()) ? {} : ({ unknownType: true } as const);
  const path = isCore ? "" : projectPath(type.toLowerCase(), name, attributes, contribOf(attributes, base));
  const drushPath =
    isCore && type.toLowerCase() !== "core"
      ? { drushPath: projectPath(type.toLowerCase(), name, attributes, contribOf(attributes, base)) }
      : {};
  const recurseBase = type.toLowerCase() === "profile" ? profileBase(attributes, name) : contribOf(attributes, base);
  return {
    kind: isCore ? "core" : "contrib",
    name,
    type,
    path,
    recurseBase: isCore ? base : type.toLowerCase() === "library" ? undefined : recurseBase,
    version,
    download,
    attributes,
    mark,
    ...drushPath,
    ...unknown,
  };
}

/** Drush clones projects whose download names no type. */
function withDefaultType(download: PhpArray): PhpArray {
  return download.has("type") ? download : download.copy().set("type", "git");
}

/** Drush puts the core in front of every version, also of one that has it already; release-history.ts does not. */
function release(version: PhpValue, core: string, isCore: boolean, location: string): PhpArray {
  const full = phpText(version) === "" ? "<recommended>" : isCore ? version : `${core}-${phpText(version)}`;
  return new PhpArray().set("type", "pm").set("full_version", full).set("download_link", "").set("status url", location);
}

function contribOf(attributes: PhpArray, base: string): string {
  const own = attributes.get("contrib_destination");
  if (own === undefined || own === null) return base;
  return phpText(own) === "." ? "" : phpText(own);
}

function projectPath(type: string, name: string, attributes: PhpArray, base: string): string {
  const directory = directoryOf(attributes, name);
  const subdir = phpText(attributes.get("subdir"));
  if (type === "profile") return joined(destinationOf(attributes, "profiles"), subdir, directory);
  if (type === "library") return joined(base, destinationOf(attributes, "libraries"), subdir, directory);
  if (type === "translation") return "";
  return joined(base, `${type}s`, subdir, directory);
}

/** Drush takes the name here also when `directory_name` puts the profile elsewhere; we recurse where it really is. */
function profileBase(attributes: PhpArray, name: string): string {
  return joined(destinationOf(attributes, "profiles"), phpText(attributes.get("subdir")), directoryOf(attributes, name));
}

function libraryEntry(name: string, attributes: PhpArray, mark: Mark | undefined, base: string): PlanEntry {
  const path = joined(base, destinationOf(attributes, "libraries"), phpText(attributes.get("subdir")), directoryOf(attributes, name));
  const download = attributes.get("download");
  return {
    kind: "library",
    name,
    type: orElse(attributes.get("type"), "library"),
    path,
    recurseBase: undefined,
    version: "",
    download: download instanceof PhpArray ? download : new PhpArray(),
    attributes,
    mark,
  };
}

/** An empty destination is the base itself. */
function destinationOf(attributes: PhpArray, otherwise: string): string {
  return attributes.has("destination") ? phpText(attributes.get("destination")) : otherwise;
}

function directoryOf(attributes: PhpArray, name: string): string {
  return orElse(attributes.get("directory_name"), name);
}

function orElse(value: Parameters<typeof phpText>[0], otherwise: string): string {
  return isTruthy(value) ? phpText(value) : otherwise;
}

function joined(...parts: string[]): string {
  return parts
    .map((part) => part.replace(/\/+$/, ""))
    .filter((part) => part !== "")
    .join("/");
}

/** The plan as `make-check --json` prints it (make.md 6). */
export function encodePlan(plan: Plan): Record<string, unknown> {
  const { problem, translations } = plan;
  return {
    contribDestination: plan.contribDestination,
    entries: plan.entries.map((entry) => encodeEntry(entry, translations)),
    ...(problem ? { result: false } : plan.nothing ? { result: true } : {}),
    log: problem ? [{ level: "error", code: problem.code, message: problem.message }] : [],
  };
}

const DOWNLOAD_TYPES: ReadonlySet<string> = new Set(["pm", "git", "get", "file", "copy", "bzr", "svn"]);

function encodeEntry(entry: PlanEntry, translations: PhpArray | undefined): Record<string, unknown> {
  if (entry.unknownType) return { kind: entry.kind, name: entry.name, type: entry.type, error: "PROJECT-TYPE" };
  const type = entry.download.get("type");
  const patches = entry.attributes.get("patch");
  return {
    kind: entry.kind,
    name: entry.name,
    type: entry.type,
    path: entry.drushPath ?? entry.path,
    recurseDestination: entry.recurseBase ?? null,
    download: encodeOrdered(entry.download) satisfies Ordered,
    version:
      entry.kind === "library" ? null : encodeOrdered(entry.attributes.has("version") ? (entry.attributes.get("version") as PhpValue) : ""),
    patches: patches === undefined ? null : encodeOrdered(patches),
    ...encodeTranslations(entry, translations),
    downloaderExists: type === undefined ? null : DOWNLOAD_TYPES.has(phpText(type)),
  };
}

function encodeTranslations(entry: PlanEntry, ofFile: PhpArray | undefined): { translations?: Ordered } {
  if (entry.kind === "library") return {};
  const own = entry.attributes.get("translations");
  const translations = own instanceof PhpArray ? own : ofFile;
  return translations ? { translations: encodeOrdered(translations) } : {};
}
