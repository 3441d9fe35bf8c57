import type { Json } from "../core/json.js";
import type { Action, CommandDefinition } from "./definition.js";

export const show: CommandDefinition = {
  name: "show",
  group: "hub",
  summary: "show a context with the origin of each value, or its packages",
  description:
    "Prints every property of a context, what is derived from it (paths), and where each value comes from: a line of a file, a default, or derived. With --packages what code there is: of a platform as its last verify has found it by looking at its files, of a site as its database knows it, with what is enabled.",
  arguments: [{ name: "<context>", description: "@name" }],
  options: [{ flags: "--packages", description: "of a platform or site: modules, themes, profiles, libraries; with -v hidden ones too" }],
  examples: [
    { line: "provision show @example.com", says: "all that is known of a site" },
    { line: "provision show @platform_d7 --packages", says: "its modules, themes, profiles and libraries, with versions" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { columns, contextName, contextOfType, openHub, warnOfInterrupted } = await import("./hub.js");
  const { options, session } = invocation;
  const [word = ""] = invocation.arguments;
  const use = await openHub(session);
  if (options["packages"] === true) {
    const { packagesOfPlatform, packagesOfSite } = await import("../operations/packages.js");
    const { name, context_type } = await contextOfType(use, word, ["platform", "site"], "show --packages");
    const found = await (context_type === "platform"
      ? packagesOfPlatform(use, name)
      : packagesOfSite(use, name, session.common.lockWait, session.stop));
    const shown = found.packages.filter(({ hidden }) => hidden !== true || Number(options["verbose"] ?? 0) > 0);
    const left = found.packages.length - shown.length;
    const rows = shown.map((each) => [
      `  ${each.type}`,
      each.name,
      each.version ?? "-",
      ...(each.enabled === undefined ? [] : [each.enabled ? "enabled" : each.schema === undefined ? "" : "disabled"]),
      each.schema === undefined ? "" : String(each.schema),
      each.path,
    ]);
    await session.subject({ command: "show", target: name }, async (emit) => {
      warnOfInterrupted(use, [name], emit);
      emit({ type: "data", data: found as unknown as { readonly [key: string]: Json } });
      emit({
        type: "text",
        lines: [
          `${name}: ${found.engine} ${found.version}`,
          ...columns(rows),
          ...found.missing.map((each) => `✖ ${each} is enabled, and its code is not there`),
          ...(left === 0 ? [] : [`${left} hidden ones are left out: -v`]),
        ],
      });
    });
    return;
  }
  const { showContext } = await import("../operations/show.js");
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
