import type { CommandDefinition } from "./definition.js";
import { SELECTORS } from "./selectors.js";

function definition(enabled: boolean): CommandDefinition {
  const name = enabled ? "enable" : "disable";
  const summary = enabled ? "serve a disabled site again" : "answer 503 for a site";
  return {
    name,
    group: "site",
    summary,
    description: `${enabled ? "Publishes the site's vhost again." : "Visitors get 503 with Retry-After; database and files stay as they are."} A second run changes nothing.`,
    arguments: [{ name: "[contexts...]", description: "@site, or a glob" }],
    options: SELECTORS,
    examples: [{ line: `provision ${name} @example.com`, says: summary }],
    load: async () => ({
      async run(invocation) {
        const { openHub, operate } = await import("./hub.js");
        const { eachSelected } = await import("./selection.js");
        const { setEnabled } = await import("../operations/enable.js");
        await eachSelected(invocation, await openHub(invocation.session), name, ["site"], async (site, use) => {
          await operate(invocation, use, name, site, setEnabled(enabled), { name: site });
        });
      },
    }),
  };
}

export const enable = definition(true);
export const disable = definition(false);
