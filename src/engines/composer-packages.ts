import { dirname, join, relative, resolve } from "node:path";
import type { Host } from "../host/host.js";

/** What Composer has installed in and around a docroot. */
export interface ComposerPackages {
  /** By path relative to the docroot, of packages inside it. */
  readonly places: ReadonlyMap<string, { readonly name: string; readonly version: string }>;
  /** By package: patches that its patches plug-in was told to apply. */
  readonly patches: ReadonlyMap<string, readonly string[]>;
  /** `ext-…` without that, lower case, and who asks for them; what a package provides instead of PHP left out. */
  readonly extensions: readonly { readonly by: string; readonly name: string }[];
  /** Least PHP of all packages together, as Composer's own check at run time has it. */
  readonly php: string | undefined;
}

/** Reads installed.json of a platform that Composer built; undefined for one that it did not. */
export async function composerPackages(host: Host, docroot: string): Promise<ComposerPackages | undefined> {
  for (const project of [docroot, dirname(docroot)]) {
    const json = await jsonFile(host, join(project, "composer.json"));
    const vendor = resolve(project, text(record(json?.["config"])["vendor-dir"]) ?? "vendor");
    const installed = await jsonFile(host, join(vendor, "composer/installed.json"));
    if (installed === undefined) continue;
    const packages = (Array.isArray(installed["packages"]) ? installed["packages"] : []).filter(isRecord);
    const places = new Map<string, { readonly name: string; readonly version: string }>();
    for (const each of packages) {
      const [name, version, path] = [text(each["name"]), text(each["version"]), text(each["install-path"])];
      if (name === undefined || version === undefined || path === undefined) continue;
      const place = relative(docroot, resolve(vendor, "composer", path));
      if (!place.startsWith("..")) places.set(place, { name, version: version.replace(/^v(?=\d)/, "") });
    }
    const check = (await host.readFile(join(vendor, "composer/platform_check.php"))) ?? "";
    const id = Number(/PHP_VERSION_ID >= (\d+)/.exec(check)?.[1] ?? 0);
    return {
      places,
      patches: await patchesOf(host, project, json ?? {}, packages),
      extensions: extensionsOf(packages),
      php: id === 0 ? undefined : [Math.floor(id / 10000), Math.floor(id / 100) % 100, id % 100].join("."),
    };
  }
  return undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** A broken file is no reason to know nothing of the rest: Composer itself will tell. */
async function jsonFile(host: Host, path: string): Promise<Fields | undefined> {
  const content = await host.readFile(path);
  if (content === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(content);
    return isRecord(value) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isRecord(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function record(value: unknown): Fields {
  return isRecord(value) ? value : {};
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function extensionsOf(packages: readonly Fields[]): ComposerPackages["extensions"] {
  const provided = new Set(packages.flatMap((each) => [...Object.keys(record(each["provide"])), ...Object.keys(record(each["replace"]))]));
  const wanted = new Map<string, string>();
  for (const each of packages)
    for (const name of Object.keys(record(each["require"])))
      if (name.startsWith("ext-") && !provided.has(name) && !wanted.has(name)) wanted.set(name, text(each["name"]) ?? "a package");
  return [...wanted].map(([name, by]) => ({ by, name: name.slice("ext-".length).toLowerCase() }));
}

/** Of the plug-in's second version its lock says it; of the first the project. Without the plug-in nothing is applied. */
async function patchesOf(host: Host, project: string, json: Fields, packages: readonly Fields[]): Promise<ComposerPackages["patches"]> {
  const found = new Map<string, readonly string[]>();
  if (!packages.some(({ name }) => name === "cweagans/composer-patches")) return found;
  const add = (all: unknown) => {
    for (const [name, list] of Object.entries(record(all))) {
      const urls = Object.values(typeof list === "object" && list !== null ? list : {}).flatMap(
        (one: unknown) => text(one) ?? text(record(one)["url"]) ?? [],
      );
      found.set(name, [...new Set([...(found.get(name) ?? []), ...urls])]);
    }
  };
  const lock = await jsonFile(host, join(project, "patches.lock.json"));
  if (lock !== undefined) add(lock["patches"]);
  else {
    const extra = record(json["extra"]);
    add(extra["patches"]);
    const file = text(extra["patches-file"]);
    if (file !== undefined) add((await jsonFile(host, join(project, file)))?.["patches"]);
  }
  return found;
}
