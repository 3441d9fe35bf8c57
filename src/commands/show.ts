import type { Json } from "../core/json.js";
import type { Action, CommandDefinition } from "./definition.js";

export const show: CommandDefinition = {
  name: "show",
  group: "hub",
  summary: "show a context with the origin of each value",
  description:
    "Prints every property of a context, what is derived from it (paths), and where each value comes from: a line of a file, a default, or derived.",
  arguments: [{ name: "<context>", description: "@name" }],
  examples: [{ line: "provision show @example.com", says: "all that is known of a site" }],
  load: async () => ({ run }),
};

const run: Action = async ({ arguments: [word = ""], session }) => {
  const { columns, contextName, openHub, warnOfInterrupted } = await import("./hub.js");
  const { showContext } = await import("../operations/show.js");
  const use = await openHub(session);
  const name = contextName(word);
  const shown = await showContext(use, name);
  const text = (value: Json | undefined) => (typeof value === "string" ? value : JSON.stringify(value));
  const rows = [...Object.entries(shown.context), ...Object.entries(shown.derived)]
    .filter(([key]) => key !== "name")
    .map(([key, value]) => [key, text(value) ?? "", `(${shown.origin[key] ?? ""})`]);
  await session.subject({ command: "show", target: name }, async (emit) => {
    warnOfInterrupted(use, [name], emit);
    emit({ type: "data", data: shown as unknown as { readonly [key: string]: Json } });
    emit({ type: "text", lines: [name, ...columns(rows).map((row) => `  ${row}`)] });
  });
};
