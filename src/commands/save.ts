import type { Action, CommandDefinition } from "./definition.js";

export const save: CommandDefinition = {
  name: "save",
  group: "hub",
  summary: "write a context's alias file, or delete it",
  description:
    "Checks the properties given against the schema and the whole hub (references, names used twice, quotas) and writes them into aliases/<name>.yml; comments and order there stay. Properties are Aegir's: --key=value, with _ or -. The values null and NONE, or --unset=key, take a property out. --delete removes the alias file when nothing refers to it.",
  arguments: [{ name: "<context>", description: "@name" }],
  options: [{ flags: "--delete", description: "remove the alias file (never what it is about)" }],
  anyOption: true,
  examples: [
    {
      line: "provision save @platform_d7 --context_type=platform --root=platforms/d7 --makefile=makes/d7.make",
      says: "a platform to be built from a make file",
    },
    {
      line: "provision save @example.com --uri=example.com --context_type=site --platform=@platform_d7 --aliases=www.example.com",
      says: "a site",
    },
    { line: "provision save @example.com --redirection=null", says: "take a property out" },
    { line: "provision save @example.com --delete", says: "remove the alias file" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { contextName, openHub, operate } = await import("./hub.js");
  const { saveRequest } = await import("../context/save.js");
  const operations = await import("../operations/save.js");
  const use = await openHub(invocation.session);
  const name = contextName(invocation.arguments[0] ?? "");
  if (invocation.options["delete"] === true) {
    await operate(invocation, use, "save", name, operations.deleteContext, { name });
    return;
  }
  const { type, changes, secrets, warnings } = await saveRequest(use.store, name, invocation.rest);
  await operate(invocation, use, "save", name, operations.saveWith(secrets), { name, type, changes }, async (emit) => {
    for (const message of warnings) emit({ type: "warning", message });
  });
};
