import { resolve } from "node:path";
import { ProvisionError } from "../core/errors.js";
import type { Action, CommandDefinition } from "./definition.js";

export const make: CommandDefinition = {
  name: "make",
  group: "platform",
  summary: "build a code tree from a make file",
  description:
    "Builds what a drush make file (INI or YAML) describes at PATH, which must not exist: all of it or nothing. Needs no hub; inside one, its cache and mirrors are used. A platform of a hub is built by provision verify @platform.",
  arguments: [
    { name: "<file>", description: "make file: a path, a URL, or - for standard input" },
    { name: "<path>", description: "where the tree goes" },
  ],
  options: [
    { flags: "--no-core", description: "build without a core" },
    { flags: "--contrib-destination <path>", description: "where modules, themes and libraries go (default sites/all for Drupal 7)" },
    { flags: "--projects <names>", description: "only these projects (comma-separated)" },
    { flags: "--libraries <names>", description: "only these libraries (comma-separated)" },
    { flags: "--no-recursion", description: "do not follow make files inside projects" },
    { flags: "--no-patch-txt", description: "write no PATCHES.txt" },
    { flags: "--concurrency <number>", description: "downloads at a time (default 4)" },
    { flags: "--offline", description: "caches, mirrors on disk and local files only" },
  ],
  examples: [{ line: "provision make makes/d7.make /tmp/d7", says: "a Drupal tree" }],
  load: async () => ({ run }),
};

const run: Action = async ({ arguments: [file = "", path = ""], options, session }) => {
  const { makeTree } = await import("../operations/make.js");
  const words = (value: unknown) =>
    value === undefined
      ? undefined
      : String(value)
          .split(",")
          .map((word) => word.trim());
  const jobs = Number(options["concurrency"] ?? 4);
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > 64)
    throw new ProvisionError("USAGE", `--concurrency=${String(options["concurrency"])} is not a number from 1 to 64`);
  const destination = resolve(path);
  await session.subject({ command: "make", target: file }, (emit) =>
    makeTree(
      {
        makefile: file === "-" || /^https?:/.test(file) ? file : resolve(file),
        destination,
        jobs,
        offline: options["offline"] === true,
        dryRun: session.common.dryRun,
        hub: session.common.hub,
        noCore: options["core"] === false,
        contribDestination: options["contribDestination"] as string | undefined,
        projects: words(options["projects"]),
        libraries: words(options["libraries"]),
        noRecursion: options["recursion"] === false,
        noPatchTxt: options["patchTxt"] === false,
      },
      session.stop,
      emit,
    ),
  );
};
