import type { Action, CommandDefinition } from "./definition.js";
import { READING_OPTIONS } from "./make.js";

const options = [
  ...READING_OPTIONS,
  { flags: "--format <format>", description: "yml (default) or make (INI)" },
  { flags: "--result-file <path>", description: "write there; another file that stands there needs --yes" },
];

export const makeLock: CommandDefinition = {
  name: "make-lock",
  group: "platform",
  summary: "write a make file with every version and commit named",
  description:
    "Asks release servers and repositories what a make file stands for now, and prints a make file that names each version and commit; includes and defaults are worked in. Nothing is built. A lock with checksums of everything comes from a build: provision make FILE PATH --lock.",
  arguments: [{ name: "<file>", description: "make file: a path, a URL, or - for standard input" }],
  options,
  examples: [{ line: "provision make-lock d7.make --result-file=d7.lock.yml", says: "what is built today, for good" }],
  load: async () => ({ run: resolving("make-lock") }),
};

export const makeUpdate: CommandDefinition = {
  name: "make-update",
  group: "platform",
  summary: "write a make file with the newest releases",
  description:
    "As make-lock, but with the newest release of every project, within its core: never one for another core. With --security-only a project keeps its version, unless that is insecure or a security update came since: then the newest of its major.",
  arguments: [{ name: "<file>", description: "make file: a path, a URL, or - for standard input" }],
  options: [...options, { flags: "--security-only", description: "only where the version named is insecure" }],
  examples: [{ line: "provision make-update d7.make --format=make --result-file=d7-new.make", says: "compare, then take it" }],
  load: async () => ({ run: resolving("make-update") }),
};

function resolving(command: "make-lock" | "make-update"): Action {
  return async (invocation) => {
    const [file = ""] = invocation.arguments;
    const { options: given, session } = invocation;
    const { makeFormat, madeText } = await import("./make-convert.js");
    const { concurrency, readingOptions } = await import("./make.js");
    const { resolvedMakeText } = await import("../operations/make-lock.js");
    const format = makeFormat(given["format"], ["yml", "make"]) === "ini" ? "ini" : "yaml";
    await madeText(invocation, { command, target: file }, (emit) =>
      resolvedMakeText(
        {
          options: readingOptions(file, given),
          jobs: concurrency(given["concurrency"]),
          offline: given["offline"] === true,
          hub: session.common.hub,
          format,
          ...(command === "make-lock" ? {} : { update: given["securityOnly"] === true ? "security" : "newest" }),
        },
        session.stop,
        emit,
      ).then((made) => ({ format, ...made })),
    );
  };
}
