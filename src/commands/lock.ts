import type { CommandDefinition } from "./definition.js";

function definition(locked: boolean): CommandDefinition {
  const name = locked ? "lock" : "unlock";
  const summary = locked ? "let a platform take no new sites" : "let a locked platform take new sites again";
  return {
    name,
    group: "platform",
    summary,
    description: `${locked ? "Sites that are there stay, can be verified and deleted; new ones are refused." : "Takes away what provision lock said."} A second run changes nothing.`,
    arguments: [{ name: "<contexts...>", description: "@platform" }],
    examples: [{ line: `provision ${name} @platform_d7`, says: summary }],
    load: async () => ({
      async run(invocation) {
        const { contextOfType, eachTarget, openHub, operate } = await import("./hub.js");
        const { setLocked } = await import("../operations/lock-platform.js");
        const use = await openHub(invocation.session);
        await eachTarget(invocation, name, async (word) => {
          const context = await contextOfType(use, word, ["platform"], name);
          await operate(invocation, use, name, context.name, setLocked(locked), { name: context.name });
        });
      },
    }),
  };
}

export const lock = definition(true);
export const unlock = definition(false);
