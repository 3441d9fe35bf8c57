import type { MakeLock } from "./lock.js";
import { isTruthy, PhpArray, phpText } from "./php-value.js";
import type { PlanOptions } from "./plan.js";
import type { ReadOptions } from "./read.js";

/** What `provision make` and a platform may ask of a build; drush's options by drush's names. */
export interface AssembleOptions
  extends Pick<PlanOptions, "noCore" | "contribDestination" | "projects" | "libraries">,
    Pick<ReadOptions, "text" | "includes" | "overrides"> {
  /** Absolute path, http(s) URL, or `-` with `text`. */
  readonly makefile: string;
  /** Make files inside projects are not followed. */
  readonly noRecursion?: boolean;
  readonly noPatchTxt?: boolean;
  /** Checksums of the make file and of release history are not looked at; those of a lock are. */
  readonly ignoreChecksums?: boolean;
  /** What fails is left out with a warning, and the rest is put in place. */
  readonly forceComplete?: boolean;
  /** Projects by git or svn keep their version control. */
  readonly workingCopy?: boolean;
  /** Git brings one commit instead of the whole history. */
  readonly shallowClone?: boolean;
  /** Version, project and date are not written into the .info files of projects by git (make.md 2.11). */
  readonly noGitInfoFile?: boolean;
  /** They are written also for repositories outside drupal.org. */
  readonly forceGitInfoFile?: boolean;
  /** Languages, beside those of the make file. */
  readonly translations?: readonly string[];
  /** sites/default/settings.php and files, for core's own web installer. */
  readonly prepareInstall?: boolean;
  /** The result is one archive, `DESTINATION.tar.gz`. */
  readonly tar?: boolean;
  /** Where in the build the make file is put with everything named by version or commit, as make-lock prints it; relative. */
  readonly bundleLockfile?: string;
  /** drush's hash of the build, in the report. */
  readonly md5?: boolean;
  /** With `noCore` into a directory that is there: also what provision did not put in, or what was changed since, is replaced. */
  readonly overwrite?: boolean;
  /** Which options a make file may set (`options[…]`): names, `all` (that are known to be harmless, the default) or `none`. */
  readonly allowOverride?: readonly string[];
  /** Release server of projects that name none (`--make-update-default-url`). */
  readonly updateUrl?: string;
  /** Builds exactly what this lock names, or refuses. */
  readonly lock?: MakeLock;
  /** The report gets a lock of what was built. */
  readonly withLock?: boolean;
}

type Flag = "noCore" | "noRecursion" | "noPatchTxt" | "workingCopy" | "shallowClone" | "noGitInfoFile" | "forceGitInfoFile";

/** drush lets a make file set any option of its own; these change no more than the tree, and weaken no check. */
const FLAGS: ReadonlyMap<string, Flag> = new Map<string, Flag>([
  ["no-core", "noCore"],
  ["no-recursion", "noRecursion"],
  ["no-patch-txt", "noPatchTxt"],
  ["working-copy", "workingCopy"],
  ["shallow-clone", "shallowClone"],
  ["no-gitinfofile", "noGitInfoFile"],
  ["force-gitinfofile", "forceGitInfoFile"],
]);

/** The options of a build with those that its make file sets; the command line wins. */
export function withOptionsOfFile(options: AssembleOptions, document: PhpArray, warn: (message: string) => void): AssembleOptions {
  const given = document.get("options");
  if (!(given instanceof PhpArray)) return options;
  const allowed = options.allowOverride ?? ["all"];
  let merged = options;
  for (const [key, value] of given.entries()) {
    const name = String(key);
    const flag = FLAGS.get(name);
    const known = flag !== undefined || name === "contrib-destination" || name === "translations";
    if (!known || !(allowed.includes("all") || allowed.includes(name))) {
      warn(
        `the option ${name} of the make file is not followed: ${known ? "--allow-override does not name it" : "a make file may not set it"}`,
      );
    } else if (flag !== undefined) merged = { ...merged, [flag]: options[flag] ?? isTruthy(value) };
    else if (name === "contrib-destination") merged = { ...merged, contribDestination: options.contribDestination ?? phpText(value) };
    else merged = { ...merged, translations: [...(options.translations ?? []), ...words(phpText(value))] };
  }
  return merged;
}

function words(list: string): string[] {
  return list
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}
