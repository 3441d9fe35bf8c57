import { messageOf, ProvisionError } from "../../core/errors.js";
import { PhpArray } from "./php-value.js";

type Fields = Readonly<Record<string, unknown>>;

export interface FromComposer {
  readonly document: PhpArray;
  readonly warnings: readonly string[];
}

const TYPES: Readonly<Record<string, string>> = {
  "drupal-core": "core",
  "drupal-module": "module",
  "drupal-theme": "theme",
  "drupal-profile": "profile",
  "drupal-library": "library",
};

interface Required {
  readonly name: string;
  /** Of Composer; absent when only composer.json is there. */
  readonly type: string | undefined;
  readonly version: string;
  /** Branch, tag or commit of the source. */
  readonly reference: string | undefined;
  readonly source: string | undefined;
  readonly dist: string | undefined;
}

/**
 * A make file for the Drupal packages of composer.lock, or, without one, of the requirements of composer.json (their lowest
 * version). Packages of PHP have no place in a make file: they are counted in a warning. Patches come from composer.json.
 *
 * @throws ProvisionError INVALID_FILE
 */
export function makeFromComposer(json: string | undefined, lock: string | undefined, file: string): FromComposer {
  const root = json === undefined ? {} : parsed(json, file);
  const warnings: string[] = [];
  const all = lock === undefined ? required(root, warnings) : locked(parsed(lock, file));
  const cores = all.filter(isCore);
  const core = cores.find(({ name }) => name !== "drupal/core-recommended") ?? cores[0];
  const major = /\d+/.exec(core?.version ?? "")?.[0];
  if (core === undefined || major === undefined)
    throw new ProvisionError("INVALID_FILE", `${file} names no Drupal core`, {
      why: ["looked for drupal/core, drupal/core-recommended and drupal/drupal"],
    });
  const document = new PhpArray().set("core", `${major}.x`).set("api", 2);
  const projects = new PhpArray().set("drupal", new PhpArray().set("type", "core").set("version", core.version));
  const libraries = new PhpArray();
  const patches = patchesOf(root);
  addPatches(projects.get("drupal") as PhpArray, patches.get(core.name) ?? patches.get("drupal/core"));
  let others = 0;
  for (const each of all.filter((one) => !isCore(one))) {
    const type = TYPES[each.type ?? ""] ?? (each.type === undefined && each.name.startsWith("drupal/") ? "module" : undefined);
    const short = each.name.slice(each.name.indexOf("/") + 1);
    if (type === undefined || NOT_OF_MAKE.test(each.name)) {
      if (!each.name.startsWith("php") && !each.name.startsWith("ext-")) others++;
      continue;
    }
    const entry = new PhpArray();
    if (type === "library") {
      download(entry, each, warnings);
      libraries.set(short, entry);
    } else {
      if (type !== "module" && each.type !== undefined) entry.set("type", type);
      const version = each.name.startsWith("drupal/") ? release(each, major) : undefined;
      if (version === undefined) download(entry, each, warnings);
      else entry.set("version", version);
      projects.set(short, entry);
    }
    addPatches(entry, patches.get(each.name));
  }
  document.set("projects", projects);
  if (libraries.size > 0) document.set("libraries", libraries);
  if (others > 0)
    warnings.push(
      `${others} ${others === 1 ? "package that is no part of Drupal is" : "packages that are no part of Drupal are"} left out: a make file builds no vendor directory`,
    );
  return { document, warnings };
}

/** Parts of core that are packages to Composer alone: its scaffolding, its requirements. */
const NOT_OF_MAKE = /^drupal\/core-(?:composer-scaffold|project-message|vendor-hardening|dev|dev-pinned)$/;

function isCore({ name, type }: Required): boolean {
  return type === "drupal-core" || name === "drupal/core" || name === "drupal/drupal" || name === "drupal/core-recommended";
}

function parsed(text: string, file: string): Fields {
  try {
    const value: unknown = JSON.parse(text);
    if (isFields(value)) return value;
  } catch (error) {
    throw new ProvisionError("INVALID_FILE", `${file} is no JSON: ${messageOf(error)}`);
  }
  throw new ProvisionError("INVALID_FILE", `${file} is no JSON object`);
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(of: unknown, key: string): string | undefined {
  const value = isFields(of) ? of[key] : undefined;
  return typeof value === "string" && value !== "" ? value : undefined;
}

function locked(lock: Fields): Required[] {
  const packages: unknown = lock["packages"];
  return (Array.isArray(packages) ? packages : []).filter(isFields).map((each) => ({
    name: text(each, "name") ?? "",
    type: text(each, "type"),
    version: (text(each, "version") ?? "").replace(/^v(?=\d)/, ""),
    reference: text(each["source"], "reference") ?? text(each["dist"], "reference"),
    source: text(each["source"], "type") === "git" ? text(each["source"], "url") : undefined,
    dist: text(each["dist"], "url"),
  }));
}

/** The lowest version that a constraint allows stands for it; Composer itself would take the highest. */
function required(root: Fields, warnings: string[]): Required[] {
  const wanted = isFields(root["require"]) ? root["require"] : {};
  return Object.entries(wanted).flatMap(([name, constraint]): Required[] => {
    if (typeof constraint !== "string" || !name.includes("/")) return [];
    const version = /\d[\w.+-]*/.exec(constraint)?.[0] ?? "";
    if (name.startsWith("drupal/") && !/^\d[\w.-]*$/.test(constraint))
      warnings.push(
        `${name}: ${constraint} is taken as ${version === "" ? "any version" : version}: there is no composer.lock to say which it is`,
      );
    return [{ name, type: undefined, version, reference: undefined, source: undefined, dist: undefined }];
  });
}

/** As make files name releases: `1.5` of `8.x-1.5`, `2.0.1`; `undefined` for what must be cloned. */
function release({ version, reference }: Required, core: string): string | undefined {
  const old = /^\d+\.x-(\d.*)$/.exec(reference ?? "");
  if (old !== null && !(reference ?? "").endsWith(".x")) return reference?.startsWith(`${core}.x-`) ? old[1] : reference;
  const bare = version.replace(/#.*$/, "");
  if (/^dev-|\.x-dev$|^$/.test(bare)) return undefined;
  // Composer writes 3.29 as 3.29.0; drupal.org's releases before semantic versions had two numbers.
  return Number(core) < 8 ? bare.replace(/^(\d+\.\d+)\.0(?=$|-)/, "$1") : bare;
}

function download(entry: PhpArray, { name, version, reference, source, dist }: Required, warnings: string[]): void {
  const branch = /^dev-(.+)$/.exec(version)?.[1] ?? /^(.*\.x)-dev$/.exec(version)?.[1];
  if (source !== undefined) {
    const of = new PhpArray().set("type", "git").set("url", source);
    if (branch !== undefined && !name.startsWith("make-")) of.set("branch", branch);
    if (reference !== undefined) of.set("revision", reference);
    entry.set("download", of);
  } else if (dist !== undefined) entry.set("download", new PhpArray().set("type", "file").set("url", dist));
  else {
    if (branch !== undefined && name.startsWith("drupal/")) entry.set("version", `${branch}-dev`);
    else if (version === "") entry.set("version", "");
    warnings.push(`${name}: nothing says where ${version === "" ? "it" : version} comes from: look at its entry`);
  }
}

function patchesOf(root: Fields): ReadonlyMap<string, unknown> {
  const extra = isFields(root["extra"]) ? root["extra"] : {};
  return new Map(isFields(extra["patches"]) ? Object.entries(extra["patches"]) : []);
}

function addPatches(entry: PhpArray, patches: unknown): void {
  const found = isFields(patches) ? Object.entries(patches) : [];
  const list = new PhpArray();
  for (const [description, url] of found) {
    const address = typeof url === "string" ? url : text(url, "url");
    // Brackets would end the key of an INI file.
    if (address !== undefined) list.set(description.replace(/[[\]]/g, ""), address);
  }
  if (list.size > 0) entry.set("patch", list);
}
