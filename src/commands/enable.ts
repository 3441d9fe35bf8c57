import type { CommandDefinition } from "./definition.js";

function definition(enabled: boolean): CommandDefinition {
  const name = enabled ? "enable" : "disable";
  const summary = enabled ? "serve a disabled site again" : "answer 503 for a site";
  return {
    name,
    group: "site",
    summary,
    description: `${enabled ? "Publishes the site's vhost again." : "Visitors get 503 with Retry-After; database and files stay as they are."} A second run changes nothing.`,
    arguments: [{ name: "<contexts...>", description: "@site" }],
    examples: [{ line: `provision ${name} @example.com`, says: summary }],
    load: async () => ({
      async run(invocation) {
        const { contextOfType, eachTarget, openHub, operate } = await import("./hub.js");
        const { setEnabled } = await import("../operations/enable.js");
        const use = await openHub(invocation.session);
        await eachTarget(invocation, name, async (word) => {
          const context = await contextOfType(use, word, ["site"], name);
          await operate(invocation, use, name, context.name, setEnabled(enabled), { name: context.name });
        });
      },
    }),
  };
}

export const enable = definition(true);
export const disable = definition(false);
