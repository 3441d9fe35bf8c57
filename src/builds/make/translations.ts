import { copyFile, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { isSystemError, ProvisionError } from "../../core/errors.js";
import { shown } from "./address.js";
import { type DownloadOptions, download, NotFound, readStream } from "./download.js";
import { isTruthy, PhpArray, phpText } from "./php-value.js";
import type { PlanEntry } from "./plan.js";
import { childText, parseXml } from "./xml.js";

/** One `.po` file for an entry. */
export interface Translation {
  readonly language: string;
  readonly url: string;
  /** Only to be read. */
  readonly file: string;
}

const SERVER = "https://ftp.drupal.org/files/translations/l10n_server.xml";
const LIMIT = 1024 ** 2;
const TRANSLATED: ReadonlySet<string> = new Set(["core", "module", "profile", "theme"]);

/** The languages of a list in a make file, each checked: they become names of files. */
export function languagesOf(...lists: readonly (PhpArray | readonly string[] | undefined)[]): string[] {
  const names = lists.flatMap((list) => (list instanceof PhpArray ? list.entries().map(([, value]) => phpText(value)) : (list ?? [])));
  for (const name of names) {
    if (!/^[A-Za-z0-9]+(?:[-_@][A-Za-z0-9]+)*$/.test(name))
      throw new ProvisionError("BUILD_FAILED", `the language ${JSON.stringify(name)} is refused: write codes such as es or pt-br`);
  }
  return [...new Set(names)];
}

/**
 * Fetches what the translation server has for a version (`7.x-1.0`, core `7.10`). A language that it does not have is
 * no failure: `missing` is told.
 *
 * @throws ProvisionError DOWNLOAD_FAILED when the server's description cannot be had
 */
export async function fetchTranslations(
  entry: PlanEntry,
  core: string,
  version: string,
  languages: readonly string[],
  downloads: DownloadOptions,
  missing: (languages: readonly string[]) => void,
): Promise<Translation[]> {
  if (languages.length === 0 || entry.kind === "library" || !TRANSLATED.has(entry.type.toLowerCase())) return [];
  const absent: string[] = [];
  const found: Translation[] = [];
  const template = version === "" ? undefined : await templateOf(entry, downloads);
  for (const language of languages) {
    if (template === undefined) {
      absent.push(language);
      continue;
    }
    const url = filled(template, {
      project: entry.name,
      release: version,
      version,
      core,
      language,
      filename: `${entry.name}-${version}.${language}.po`,
    });
    try {
      found.push({ language, url, file: await download({ url }, {}, downloads) });
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
      absent.push(language);
    }
  }
  if (absent.length > 0) missing(absent);
  return found;
}

async function templateOf(entry: PlanEntry, downloads: DownloadOptions): Promise<string | undefined> {
  const { attributes } = entry;
  if (isTruthy(attributes.get("l10n_path"))) return phpText(attributes.get("l10n_path"));
  const given = isTruthy(attributes.get("l10n_url")) ? phpText(attributes.get("l10n_url")) : undefined;
  // a release server of its own has no translations on drupal.org's
  if (given === undefined && isTruthy(attributes.get("location"))) return undefined;
  const server = given ?? SERVER;
  if (!/^https?:\/\//i.test(server))
    throw new ProvisionError("BUILD_FAILED", `the translation server ${JSON.stringify(shown(server))} is refused: use http or https`);
  const root = parseXml(await readStream(await download({ url: server }, {}, downloads), LIMIT));
  const template = root && childText(root, "update_url");
  if (template === undefined) throw new ProvisionError("DOWNLOAD_FAILED", `${shown(server)} describes no translation server`);
  return template;
}

function filled(template: string, values: Readonly<Record<string, string>>): string {
  const text = template.replace(/%(project|release|version|core|language|filename)/g, (_, name: string) =>
    encodeURIComponent(values[name] ?? ""),
  );
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text))
    throw new ProvisionError("BUILD_FAILED", `the translation address ${JSON.stringify(shown(text))} is refused: use http or https`);
  return new URL(text).href;
}

/** Core's go to its profiles and its system module, any other's beside its code, as drush puts them. */
export async function placeTranslations(tree: string, isCore: boolean, translations: readonly Translation[]): Promise<void> {
  if (translations.length === 0) return;
  const directories = isCore
    ? [...(await directoriesIn(join(tree, "profiles"))).map((name) => `profiles/${name}`), "modules/system"]
    : ["."];
  for (const directory of directories) {
    const into = join(tree, directory, "translations");
    await mkdir(into, { recursive: true, mode: 0o755 });
    for (const { language, file } of translations) await copyFile(file, join(into, `${language}.po`));
  }
}

async function directoriesIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path, { withFileTypes: true })).filter((child) => child.isDirectory()).map((child) => child.name);
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return [];
    throw error;
  }
}
