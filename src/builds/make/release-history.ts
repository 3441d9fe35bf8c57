import type { ProjectType } from "./plan.js";
import { child, childText, parseXml, type XmlElement } from "./xml.js";

/** One release, as an update server (`/release-history/<project>/<core>`) names it. */
export interface Release {
  readonly version: string;
  readonly major: string | undefined;
  /** `dev`, `beta2`, …; absent for a stable release. */
  readonly extra: string | undefined;
  readonly download: string | undefined;
  readonly md5: string | undefined;
  /** Composer-like range of core versions; absent on servers that keep one list for each core. */
  readonly coreCompatibility: string | undefined;
  /** Known to be insecure. */
  readonly insecure: boolean;
  /** Repairs what others should not run with. */
  readonly security: boolean;
  readonly files: readonly {
    readonly variant: string | undefined;
    readonly archive: string | undefined;
    readonly url: string;
    readonly md5: string | undefined;
  }[];
}

export interface ReleaseHistory {
  readonly project: string;
  /** What the server says instead of a history. */
  readonly error?: string;
  readonly type: ProjectType | undefined;
  /** Majors in the order in which they are preferred when no version is asked for. */
  readonly majors: readonly string[];
  /** Published releases, newest first as the server lists them. */
  readonly releases: readonly Release[];
}

const TYPES: ReadonlyMap<string, ProjectType> = new Map<string, ProjectType>([
  ["project_core", "core"],
  ["project_module", "module"],
  ["project_theme", "theme"],
  ["project_distribution", "profile"],
  ["project_profile", "profile"],
  ["project_translation", "translation"],
]);

export function parseReleaseHistory(xml: string, project: string): ReleaseHistory {
  const root = parseXml(xml);
  const nothing = { project, type: undefined, majors: [], releases: [] };
  if (!root) return { ...nothing, error: "the update server's answer is not a release history" };
  if (root.name === "error") return { ...nothing, error: root.text };
  const releases = (child(root, "releases")?.children ?? [])
    .filter((release) => childText(release, "status") === "published")
    .map(parseRelease);
  return { project, type: TYPES.get(childText(root, "type") ?? ""), majors: majorsOf(root, releases), releases };
}

function parseRelease(release: XmlElement): Release {
  const terms = child(release, "terms")?.children ?? [];
  return {
    version: childText(release, "version") ?? "",
    major: childText(release, "version_major"),
    extra: childText(release, "version_extra"),
    download: childText(release, "download_link"),
    md5: childText(release, "mdhash"),
    coreCompatibility: childText(release, "core_compatibility"),
    insecure: terms.some((term) => childText(term, "value") === "Insecure"),
    security: terms.some((term) => childText(term, "value") === "Security update"),
    files: (child(release, "files")?.children ?? []).flatMap((file) => {
      const url = childText(file, "url");
      return url === undefined
        ? []
        : [{ variant: childText(file, "variant"), archive: childText(file, "archive_type"), url, md5: childText(file, "md5") }];
    }),
  };
}

/** recommended_major, then supported_majors; newer servers list branches, of which the first release's comes first. */
function majorsOf(root: XmlElement, releases: readonly Release[]): string[] {
  const listed = [childText(root, "recommended_major"), ...(childText(root, "supported_majors") ?? "").split(",")].map((major) =>
    major?.trim(),
  );
  const majors = listed.filter((major): major is string => major !== undefined && major !== "");
  if (majors.length > 0) return [...new Set(majors)];
  const branches = (childText(root, "supported_branches") ?? "").split(",").filter((branch) => branch.trim() !== "");
  const supported = releases.filter((release) => branches.some((branch) => release.version.startsWith(branch.trim())));
  return [...new Set(supported.flatMap((release) => (release.major === undefined ? [] : [release.major])))];
}

/**
 * The release that drush takes. `request` is a full version (`7.x-3.29`, `7.42`), a bare major (`7.x-3`), a branch
 * (`7.x-3.x`: its development snapshot), or nothing: the newest stable release of the first major that has any,
 * else the first listed of that major, whatever it is.
 */
export function chooseRelease(history: ReleaseHistory, request: string | undefined): Release | undefined {
  const { releases, majors } = history;
  if (request === undefined) {
    const major = majors.find((candidate) => releases.some((release) => release.major === candidate));
    return major === undefined ? undefined : bestOf(releases, major);
  }
  const exact = releases.find((release) => release.version === request);
  if (exact) return exact;
  const bareMajor = /^\d+\.x-(\d+)$/.exec(request)?.[1];
  if (bareMajor !== undefined) return bestOf(releases, bareMajor);
  return /^\d+\.x(?:-\d+\.x)?$/.test(request) ? releases.find((release) => release.version === `${request}-dev`) : undefined;
}

function bestOf(releases: readonly Release[], major: string): Release | undefined {
  const candidates = releases.filter((release) => release.major === major);
  return candidates.find((release) => release.extra === undefined) ?? candidates[0];
}

/**
 * The release for what a make file says: `version` of a contributed project comes without its core (`3.29`), of core
 * with all (`7.42`). Beyond drush: `7` for core is the newest stable 7, and from Drupal 8 on releases are found under
 * `8.x-`, the own core and semantic versions, as far as they are compatible with `core`.
 */
export function releaseFor(history: ReleaseHistory, core: string, version: string, isCore: boolean): Release | undefined {
  const major = Number.parseInt(core, 10);
  const fitting =
    major < 8 || isCore
      ? history
      : { ...history, releases: history.releases.filter((release) => isCompatible(release.coreCompatibility, major)) };
  if (version === "") return chooseRelease(isCore ? ofCoreMajor(fitting, core) : fitting, undefined);
  if (isCore) {
    const bare = /^\d+$/.test(version) ? bestOf(fitting.releases, version) : undefined;
    return chooseRelease(fitting, version) ?? bare;
  }
  const prefixes = version.startsWith(`${core}-`) ? [""] : major < 8 ? [`${core}-`, ""] : [`${core}-`, "8.x-", ""];
  for (const prefix of prefixes) {
    const found = chooseRelease(fitting, `${prefix}${version}`);
    if (found) return found;
  }
  return major >= 8 && /^\d+$/.test(version) ? bestOf(fitting.releases, version) : undefined;
}

/** The newest stable release of the same major, when this one is insecure or a security update came since; `undefined` when it may stay. */
export function securityUpdateOf(history: ReleaseHistory, release: Release): Release | undefined {
  const newer = history.releases.slice(0, history.releases.indexOf(release)).filter(({ major }) => major === release.major);
  return release.insecure || newer.some(({ security }) => security) ? newer.find(({ extra }) => extra === undefined) : undefined;
}

/** One list serves several cores from Drupal 8 on (`current`); a make file asks for its own. */
function ofCoreMajor(history: ReleaseHistory, core: string): ReleaseHistory {
  const major = String(Number.parseInt(core, 10));
  return history.releases.some((release) => release.major === major) ? { ...history, majors: [major] } : history;
}

/** Whether a range such as `^8.8 || ^9` or `>=9` leaves room for any release of this core major. */
export function isCompatible(range: string | undefined, major: number): boolean {
  if (range === undefined) return true;
  return range.split("||").some((alternative) =>
    [...alternative.matchAll(/(>=|<=|>|<|\^|~|=|)\s*v?(\d+)(?:\.(\d+|x|\*))?/g)].every(([, operator, number, minor]) => {
      const bound = Number(number);
      if (operator === ">=" || operator === ">") return major >= bound;
      if (operator === "<=") return major <= bound;
      if (operator === "<") return Number(minor ?? 0) > 0 ? major <= bound : major < bound;
      return major === bound;
    }),
  );
}

/** The file to fetch: a distribution's tarball comes in variants, of which core takes all and a profile itself alone. */
export function fileOf(
  release: Release,
  variant: "full" | "projects" | "profile-only" | undefined,
): { url: string; md5: string | undefined } | undefined {
  const chosen =
    variant === undefined ? undefined : release.files.find((file) => file.variant === variant && (file.archive ?? "tar.gz") === "tar.gz");
  if (chosen) return { url: chosen.url, md5: chosen.md5 };
  return release.download === undefined ? undefined : { url: release.download, md5: release.md5 };
}
