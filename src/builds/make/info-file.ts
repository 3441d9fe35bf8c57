import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { CheckedOut, GitRequest } from "./git.js";
import { isTruthy, type PhpArray, phpText } from "./php-value.js";
import type { PlanEntry } from "./plan.js";

/** What drupal.org's packaging script would have written into the .info files. */
export interface InfoLines {
  readonly version: string;
  readonly project: string;
  /** Seconds since the epoch. */
  readonly date: number;
}

/** Drush looks for "drupal.org" in the URL, which today's own addresses do not hold (make.md 2.11). */
export function isOfDrupal(download: PhpArray): boolean {
  const url = phpText(download.get("url"));
  return url === "" || /(?:^|[@/.])(?:drupal\.org|drupalcode\.org)(?:[/:]|$)/i.test(url);
}

/**
 * The version of a project by git: what the make file says, else the tag, else the branch as a development version,
 * else the revision. A development version is told from the tags below it: `7.x-1.2+7-dev`.
 */
export function gitVersion(entry: PlanEntry, core: string, request: GitRequest, found: CheckedOut): string {
  const version = statedVersion(entry, core);
  if (version === undefined) return request.kind === "head" ? "unknown" : request.ref;
  return isDevelopment(version) ? (described(version, found.described) ?? version) : version;
}

/** Whether gitVersion() needs to know the tags: then all history has to be had. */
export function isToldByTags(entry: PlanEntry, core: string): boolean {
  return isDevelopment(statedVersion(entry, core) ?? "");
}

function isDevelopment(version: string): boolean {
  return version.endsWith(".x-dev");
}

function statedVersion(entry: PlanEntry, core: string): string | undefined {
  const text = (key: string) => (isTruthy(entry.download.get(key)) ? phpText(entry.download.get(key)) : undefined);
  const branch = text("branch");
  return (
    fullVersion(entry, core) ?? text("tag") ?? (branch === undefined ? undefined : `${branch}-dev`) ?? text("revision") ?? text("commit")
  );
}

function fullVersion(entry: PlanEntry, core: string): string | undefined {
  const given = isTruthy(entry.download.get("full_version")) ? phpText(entry.download.get("full_version")) : entry.version;
  if (given === "") return undefined;
  const full = given.startsWith(`${core}-`) || entry.kind === "core" ? given : `${core}-${given}`;
  return /^\d+\.x-\d+$/.test(full) ? `${full}.x-dev` : full;
}

/** `git describe --tags --long` of a commit on the branch of this development version. */
function described(version: string, tag: string | undefined): string | undefined {
  const line = version.slice(0, -"x-dev".length);
  const match = /^(.+)-(\d+)-g[0-9a-f]+$/.exec(tag ?? "");
  const [, name = "", commits = ""] = match ?? [];
  return name.startsWith(line) && /^\d+(?:-[a-z]+\d*)?$/.test(name.slice(line.length)) ? `${name}+${commits}-dev` : undefined;
}

/**
 * Writes them into every .info and .info.yml of a tree; lines that say the same already are taken out first, since a
 * second key would be an error in YAML. The date is the commit's, so that two builds are the same.
 */
export async function writeInfoFiles(directory: string, given: InfoLines): Promise<void> {
  // whatever the make file says, it stays one value on one line
  const lines = { ...given, version: plain(given.version), project: plain(given.project) };
  for (const child of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, child.name);
    if (child.isDirectory() && child.name !== ".git") await writeInfoFiles(path, lines);
    else if (child.isFile() && child.name.endsWith(".info.yml")) await writeFile(path, yamlInfo(await readFile(path, "utf8"), lines));
    else if (child.isFile() && child.name.endsWith(".info")) await writeFile(path, iniInfo(await readFile(path, "utf8"), lines));
  }
}

function iniInfo(text: string, { version, project, date }: InfoLines): string {
  const kept = text.replace(/^[ \t]*(?:version|project|datestamp)[ \t]*=.*(?:\r?\n|$)/gm, "");
  return `${kept}\n; Information added by drush on ${day(date)}\nversion = "${version}"\nproject = "${project}"\ndatestamp = "${date}"\n`;
}

function yamlInfo(text: string, { version, project, date }: InfoLines): string {
  const kept = text.replace(/^(?:version|project|datestamp)[ \t]*:.*(?:\r?\n|$)/gm, "");
  return `${kept}\n# Information added by drush on ${day(date)}\nversion: '${version}'\nproject: '${project}'\ndatestamp: ${date}\n`;
}

function day(date: number): string {
  return new Date(date * 1000).toISOString().slice(0, 10);
}

function plain(text: string): string {
  return text.replace(/[^\w.+@/-]/g, "");
}
