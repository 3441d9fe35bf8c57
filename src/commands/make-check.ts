import type { Json } from "../core/json.js";
import type { Action, CommandDefinition } from "./definition.js";

export const makeCheck: CommandDefinition = {
  name: "make-check",
  group: "platform",
  summary: "say what is odd or wrong in make files",
  description:
    "Reads make files as drush make does and says, with file, line and column, what cannot be built and what drush would have misread without a word. Asks no network and needs no hub: releases are not looked up, and includes from elsewhere are left out with a warning. Exit 6 when a file cannot be built. With --json: the parse and the plan of each file.",
  arguments: [{ name: "<files...>", description: "make files; - for standard input" }],
  options: [
    { flags: "--strict", description: "warnings are refused too" },
    { flags: "--no-core", description: "the files are parts without a core of their own" },
  ],
  examples: [
    { line: "provision make-check makes/d7.make", says: "before it is built" },
    { line: "provision make-check --strict makes/*.make", says: "in a CI pipeline" },
  ],
  load: async () => ({ run }),
};

const run: Action = async ({ arguments: names, options, session }) => {
  const { ProvisionError } = await import("../core/errors.js");
  const { checkMakeFiles } = await import("../operations/make-check.js");
  const strict = options["strict"] === true;
  const { files, refused } = await checkMakeFiles([...new Set(names)], { strict, noCore: options["core"] === false }, session.stop);
  const all = files.flatMap(({ diagnostics }) => diagnostics);
  const lines = all.map(
    ({ file, line, column, severity, message }) => `${file}${line === undefined ? "" : `:${line}:${column ?? 1}`} ${severity} ${message}`,
  );
  const count = (severity: string) => all.filter((diagnostic) => diagnostic.severity === severity).length;
  const counted = (number: number, word: string) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const summary = `${counted(files.length, "file")}: ${counted(count("error"), "error")}, ${counted(count("warning"), "warning")}`;
  await session.subject({ command: "make-check", target: names.length === 1 ? names[0] : undefined }, async (emit) => {
    emit({ type: "data", data: { files: files as unknown as Json } });
    emit({ type: "text", lines });
    if (refused.length === 0) {
      emit({ type: "note", message: summary });
      return;
    }
    const error = new ProvisionError(
      "PROBLEMS_FOUND",
      `${summary}; ${refused.length === 1 ? `${refused[0]} ${count("error") > 0 ? "cannot be built" : "has warnings (--strict)"}` : `${refused.length} files are refused`}`,
      { state: "nothing was changed" },
    );
    emit({ type: "failed", error, outcome: "failed", exit: error.exit });
  });
};
