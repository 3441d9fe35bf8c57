import type { Json } from "../core/json.js";
import type { Action, CommandDefinition } from "./definition.js";

export const list: CommandDefinition = {
  name: "list",
  group: "hub",
  summary: "list contexts",
  description: "Lists the contexts of the hub, all or of one type.",
  arguments: [{ name: "[type]", description: "servers, platforms, sites or clients" }],
  examples: [
    { line: "provision list", says: "everything" },
    { line: "provision list sites --json", says: "sites, for a script" },
  ],
  load: async () => ({ run }),
};

const run: Action = async ({ arguments: [type], session }) => {
  const { listedType } = await import("../context/save.js");
  const { columns, openHub } = await import("./hub.js");
  const wanted = listedType(type);
  const use = await openHub(session);
  const contexts = await use.store.all(wanted);
  const rows = contexts.map((context) => {
    const words =
      context.context_type === "site"
        ? [
            context.uri,
            context.platform,
            context.generation === undefined ? "not installed" : context.site_enabled ? "enabled" : "disabled",
          ]
        : context.context_type === "platform"
          ? [context.root, context.makefile ?? context.composer ?? context.git ?? context.archive ?? "", context.locked ? "locked" : ""]
          : context.context_type === "server"
            ? [context.remote_host, `http: ${context.http_service_type}`, `db: ${context.db_service_type}`]
            : [context.email ?? "", "", ""];
    return [context.name, context.context_type, ...words];
  });
  await session.answer({ command: "list", target: undefined }, { contexts: contexts as unknown as Json }, columns(rows));
};
