import type { CommandDefinition } from "./definition.js";

function definition(direction: "resume" | "abort"): CommandDefinition {
  const resume = direction === "resume";
  return {
    name: direction,
    group: "operations",
    summary: resume ? "go on with an interrupted operation" : "take an interrupted operation back",
    description: resume
      ? "Goes on with an operation whose process was killed: what was half done is undone and done again, what was done stays."
      : "Undoes an operation whose process was killed, newest step first, and checks that all is as it was. One that is committed cannot be taken back, only finished.",
    arguments: [{ name: "<id>", description: "id of an operation, or its last four digits" }],
    examples: [{ line: `provision ${direction} 7f3a`, says: "the id stands in every message about it" }],
    load: async () => ({
      async run({ arguments: [word = ""], session }) {
        const { openHub } = await import("./hub.js");
        const { goOn } = await import("../operations/run.js");
        const use = await openHub(session);
        const id = use.operations.resolve(word);
        const summary = use.operations.read(id);
        const target = summary.open?.target ?? undefined;
        await session.subject({ command: direction, target: target ?? id }, (emit) =>
          goOn(direction, summary, {
            use,
            stop: session.stop,
            version: session.version,
            emit,
            target,
            dryRun: false,
            keepFailed: false,
            lockWait: session.common.lockWait,
          }),
        );
      },
    }),
  };
}

export const resume = definition("resume");
export const abort = definition("abort");
