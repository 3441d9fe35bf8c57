import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isSystemError, messageOf, ProvisionError } from "../../core/errors.js";

/** What is read of a composer.json. */
export interface ComposerJson {
  readonly name?: string;
  readonly repositories?: Readonly<Record<string, unknown>> | readonly unknown[];
  readonly config?: {
    readonly lock?: boolean;
    readonly "vendor-dir"?: string;
    readonly "autoloader-suffix"?: string;
    readonly "allow-plugins"?: boolean | Readonly<Record<string, boolean>>;
  };
  readonly extra?: {
    readonly patches?: Patches;
    readonly "patches-file"?: string;
    readonly "drupal-scaffold"?: { readonly locations?: { readonly "web-root"?: string } };
  };
}

type Patches = Readonly<
  Record<string, Readonly<Record<string, string | { readonly url?: string }>> | readonly (string | { readonly url?: string })[]>
>;

export interface ComposerLock {
  readonly "content-hash"?: string;
  readonly packages: readonly {
    readonly name: string;
    readonly version: string;
    readonly type?: string;
    readonly source?: { readonly url?: string; readonly reference?: string };
    readonly dist?: { readonly url?: string; readonly reference?: string | null; readonly shasum?: string };
  }[];
}

export type LockPolicy = "require" | "allow-missing";

/** `undefined` when there is no such file. Rejects with INVALID_FILE when it is not JSON. */
export async function readJson<T>(path: string): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new ProvisionError("INVALID_FILE", `${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** composer.json of a project. Rejects with FILE_NOT_FOUND or INVALID_FILE. */
export async function projectOf(directory: string, where: string): Promise<ComposerJson> {
  const json = await readJson<ComposerJson>(join(directory, "composer.json"));
  if (json === undefined) throw new ProvisionError("FILE_NOT_FOUND", `${where} has no composer.json`);
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new ProvisionError("INVALID_FILE", `${where}: composer.json is no object`);
  return json;
}

/** Why versions would be chosen anew; `undefined` when the lock file decides. */
export function lockProblem(directory: string, json: ComposerJson): string | undefined {
  if (!existsSync(join(directory, "composer.lock"))) return "there is no composer.lock";
  return json.config?.lock === false ? "config.lock is false in composer.json, so composer.lock is not used" : undefined;
}

/** What goes wrong without a word when one of these does not run. */
const NEEDED: Readonly<Record<string, string>> = {
  "composer/installers": "core, modules and themes would all land in vendor/",
  "cweagans/composer-patches": "no patch would be applied",
  "drupal/core-composer-scaffold": "there would be no index.php",
  "drupal-composer/drupal-scaffold": "there would be no index.php",
};

/**
 * Compares the plug-ins of the lock file with `allow-plugins`. Composer, asked nothing, leaves out those that are not
 * listed and those that are false.
 */
export function pluginProblems(
  json: ComposerJson,
  lock: ComposerLock,
): { readonly refused: readonly string[]; readonly names: readonly string[]; readonly warnings: readonly string[] } {
  const refused: string[] = [];
  const names: string[] = [];
  const warnings: string[] = [];
  for (const { name, type } of lock.packages) {
    if (type !== "composer-plugin") continue;
    const allowed = allows(json.config?.["allow-plugins"], name);
    if (allowed === true) continue;
    const harm = NEEDED[name];
    const said = allowed === undefined ? "is not listed in allow-plugins" : "is false in allow-plugins";
    if (harm || allowed === undefined) {
      refused.push(`${name} ${said}${harm ? `: ${harm}` : ""}`);
      names.push(name);
    } else warnings.push(`the plug-in ${name} ${said} and did not run`);
  }
  const patched = json.extra?.patches !== undefined || json.extra?.["patches-file"] !== undefined;
  if (patched && !lock.packages.some(({ name, type }) => type === "composer-plugin" && name.includes("patches")))
    refused.push("extra.patches names patches, and no package in composer.lock applies them (cweagans/composer-patches)");
  return { refused, names, warnings };
}

/** The first entry that fits, as Composer reads it: `vendor/*` is a pattern. */
function allows(rules: boolean | Readonly<Record<string, boolean>> | undefined, name: string): boolean | undefined {
  if (typeof rules !== "object" || rules === null) return rules;
  for (const [pattern, allowed] of Object.entries(rules)) {
    const expression = pattern.replace(/[.+?^$()|[\]{}\\]/g, "\\$&").replaceAll("*", ".*");
    if (new RegExp(`^${expression}$`, "i").test(name)) return allowed;
  }
  return undefined;
}

/** Package → addresses of the patches that the project or its patches file names. */
export async function patchesOf(directory: string, json: ComposerJson): Promise<ReadonlyMap<string, readonly string[]>> {
  const { extra = {} } = json;
  const file =
    extra["patches-file"] === undefined
      ? undefined
      : await readJson<{ readonly patches?: Patches }>(join(directory, extra["patches-file"]));
  const found = new Map<string, string[]>();
  for (const patches of [extra.patches, file?.patches])
    for (const [name, list] of Object.entries(patches ?? {})) {
      const urls = (Object.values(list) as (string | { readonly url?: string })[]).flatMap((one) => {
        const url = typeof one === "string" ? one : one.url;
        return url === undefined ? [] : [url];
      });
      found.set(name, [...(found.get(name) ?? []), ...urls]);
    }
  return found;
}
