import { resolve } from "node:path";
import { ProvisionError } from "../core/errors.js";
import type { Action, CommandDefinition, OptionDefinition } from "./definition.js";

/** What a make file is read with, in every command that resolves or builds one. */
export const READING_OPTIONS: readonly OptionDefinition[] = [
  { flags: "--no-core", description: "without a core; the path may then be a directory that exists" },
  { flags: "--contrib-destination <path>", description: "where modules, themes and libraries go (default sites/all for Drupal 7)" },
  { flags: "--projects <names>", description: "only these projects (comma-separated)" },
  { flags: "--libraries <names>", description: "only these libraries (comma-separated)" },
  { flags: "--includes <files>", description: "as if the make file included these, after its own" },
  { flags: "--overrides <files>", description: "make files that win over everything the file says" },
  { flags: "--make-update-default-url <url>", description: "release server of projects that name none" },
  { flags: "--concurrency <number>", description: "downloads at a time (default 4)" },
  { flags: "--offline", description: "caches, mirrors on disk and local files only" },
];

export const make: CommandDefinition = {
  name: "make",
  group: "platform",
  summary: "build a code tree from a make file",
  description:
    "Builds what a drush make file (INI or YAML) describes at PATH, which must not exist (but with --no-core it may): all of it or nothing. When entries fail, each is named with its reason, nothing is put in place, and the exit code is 1. Needs no hub; inside one, its cache and mirrors are used. A platform of a hub is built by provision verify @platform.",
  arguments: [
    { name: "<file>", description: "make file: a path, a URL, or - for standard input" },
    { name: "[path]", description: "where the tree goes; only --no-build does without" },
  ],
  options: [
    ...READING_OPTIONS,
    { flags: "--strict", description: "refuse the make file for anything odd that make-check says of it" },
    { flags: "--lock [file]", description: "write a lock of all that was built (default: beside the make file, with .lock)" },
    { flags: "--locked [file]", description: "build exactly what a lock names, or refuse (default: as above)" },
    {
      flags: "--bundle-lockfile [path]",
      description:
        "put the make file, everything named by version or commit, into the tree (default sites/all/drush/platform.make; INI for .make, else YAML)",
    },
    { flags: "--no-build", description: "put nothing in place: with --lock only write that, else only look whether all can be had" },
    { flags: "--translations <languages>", description: "fetch translations: es,fr" },
    { flags: "--working-copy", description: "projects by git or svn keep their version control" },
    { flags: "--shallow-clone", description: "one commit instead of the whole history" },
    { flags: "--no-recursion", description: "do not follow make files inside projects" },
    { flags: "--no-patch-txt", description: "write no PATCHES.txt" },
    { flags: "--no-gitinfofile", description: "write no version into .info files of projects by git" },
    { flags: "--force-gitinfofile", description: "write it for repositories outside drupal.org too" },
    { flags: "--allow-override <names>", description: "options that the make file itself may set: names, all or none" },
    { flags: "--overwrite", description: "with --no-core: replace what stands in the way" },
    { flags: "--prepare-install", description: "make sites/default/settings.php and files for the web installer" },
    { flags: "--tar", description: "PATH.tar.gz instead of a directory" },
    { flags: "--md5 [print]", description: "print drush's hash of the build" },
    { flags: "--test", description: "build, put nothing in place" },
    { flags: "--no-cache", description: "fetch everything anew, keep nothing" },
    { flags: "--ignore-checksums", description: "do not look at the checksums of the make file" },
    { flags: "--force-complete", description: "leave out what fails, with a warning, and put the rest in place" },
    { flags: "--download-mechanism <name>", description: "of drush; does nothing, as there" },
    { flags: "--no-clean", description: "of drush; does nothing: nothing is left behind" },
    { flags: "--no-gitprojectinfo", description: "of drush; does nothing" },
    { flags: "--core-quick-drupal", description: "of drush's own command of that name; refused" },
  ],
  examples: [
    { line: "provision make makes/d7.make /tmp/d7", says: "a Drupal tree" },
    { line: "provision make drupal-org.make . --no-core --contrib-destination=.", says: "what a profile needs, into its directory" },
    { line: "provision make d7.make /tmp/d7 --lock && provision make d7.make /tmp/same --locked --offline", says: "the same again" },
  ],
  load: async () => ({ run }),
};

/** Options that scripts for drush may hold, and why they change nothing here. */
function idle(options: Readonly<Record<string, unknown>>): readonly string[] {
  return [
    ...(options["downloadMechanism"] === undefined ? [] : ["--download-mechanism does nothing; drush did not use it either"]),
    ...(options["clean"] === false ? ["--no-clean does nothing: a build keeps no directories of its own"] : []),
    ...(options["gitprojectinfo"] === false ? ["--no-gitprojectinfo does nothing: say --no-gitinfofile to leave .info files alone"] : []),
  ];
}

/** Where drush puts it; its help names another file. */
const BUNDLED = "sites/all/drush/platform.make";

const run: Action = async ({ arguments: [file = "", path = ""], options, session }) => {
  const { makeTree } = await import("../operations/make.js");
  const flag = (name: string) => options[name] === true;
  const lock = (value: unknown) => {
    if (value === undefined || value === false) return undefined;
    if (typeof value === "string" && value !== "") return resolve(value);
    if (file === "-" || /^https?:/i.test(file))
      throw new ProvisionError("USAGE", "a make file that is no local file has no lock beside it: name one, --lock=FILE");
    return `${resolve(file)}.lock`;
  };
  if (flag("coreQuickDrupal"))
    throw new ProvisionError("USAGE", "--core-quick-drupal is what drush's command core-quick-drupal asks of drush make", {
      why: ["it makes no build for anyone else, and that command is no part of provision"],
      next: ["provision demo    # a platform, a site and a server at once"],
    });
  const build = options["build"] !== false;
  if (path === "" && build)
    throw new ProvisionError("USAGE", "missing required argument 'path': where the tree goes", { next: [`provision make ${file} PATH`] });
  const bundle = options["bundleLockfile"];
  if (bundle !== undefined && !build) throw new ProvisionError("USAGE", "--bundle-lockfile goes into a build, and --no-build makes none");
  if (flag("workingCopy") && flag("shallowClone"))
    throw new ProvisionError("USAGE", "--working-copy and --shallow-clone exclude each other: a working copy has its history");
  const [translations, allowOverride] = [words(options["translations"]), words(options["allowOverride"])];
  const print = options["md5"];
  if (typeof print === "string" && !["", "print"].includes(print)) throw new ProvisionError("USAGE", `--md5=${print} is not --md5=print`);
  await session.subject({ command: "make", target: file }, async (emit) => {
    for (const message of idle(options)) emit({ type: "note", message });
    await makeTree(
      {
        options: {
          ...readingOptions(file, options),
          // Only what was typed: a make file may set some of these itself.
          ...(options["recursion"] === false ? { noRecursion: true } : {}),
          ...(options["patchTxt"] === false ? { noPatchTxt: true } : {}),
          ...(options["gitinfofile"] === false ? { noGitInfoFile: true } : {}),
          ...(flag("forceGitinfofile") ? { forceGitInfoFile: true } : {}),
          ...(flag("workingCopy") ? { workingCopy: true } : {}),
          ...(flag("shallowClone") ? { shallowClone: true } : {}),
          prepareInstall: flag("prepareInstall"),
          tar: flag("tar"),
          md5: print !== undefined,
          overwrite: flag("overwrite"),
          ignoreChecksums: flag("ignoreChecksums"),
          forceComplete: flag("forceComplete"),
          ...(bundle === undefined ? {} : { bundleLockfile: typeof bundle === "string" && bundle !== "" ? bundle : BUNDLED }),
          ...(translations ? { translations } : {}),
          ...(allowOverride ? { allowOverride } : {}),
        },
        destination: resolve(path === "" ? "build" : path),
        jobs: concurrency(options["concurrency"]),
        offline: flag("offline"),
        dryRun: session.common.dryRun,
        hub: session.common.hub,
        strict: flag("strict"),
        noCache: options["cache"] === false,
        test: flag("test") || !build,
        lookOnly: !build && lock(options["lock"]) === undefined && print === undefined,
        writeLock: lock(options["lock"]),
        readLock: lock(options["locked"]),
      },
      session.stop,
      emit,
    );
  });
};

export function concurrency(given: unknown): number {
  const jobs = Number(given ?? 4);
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > 64)
    throw new ProvisionError("USAGE", `--concurrency=${String(given)} is not a number from 1 to 64`);
  return jobs;
}

/** A comma-separated list as typed. */
export function words(given: unknown): readonly string[] | undefined {
  if (given === undefined) return undefined;
  return String(given)
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}

/** The part of a build's options that READING_OPTIONS stand for. */
export function readingOptions(file: string, options: Readonly<Record<string, unknown>>) {
  const contribDestination = options["contribDestination"];
  const updateUrl = options["makeUpdateDefaultUrl"];
  const [projects, libraries] = [words(options["projects"]), words(options["libraries"])];
  const [includes, overrides] = [words(options["includes"]), words(options["overrides"])];
  return {
    makefile: file === "-" || /^https?:/i.test(file) ? file : resolve(file),
    ...(options["core"] === false ? { noCore: true } : {}),
    ...(contribDestination === undefined ? {} : { contribDestination: String(contribDestination) }),
    ...(updateUrl === undefined ? {} : { updateUrl: String(updateUrl) }),
    ...(projects ? { projects } : {}),
    ...(libraries ? { libraries } : {}),
    ...(includes ? { includes } : {}),
    ...(overrides ? { overrides } : {}),
  };
}
