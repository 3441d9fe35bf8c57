import { messageOf, ProvisionError } from "../core/errors.js";
import { Secret } from "../core/secret.js";
import type { Action, CommandDefinition } from "./definition.js";

export const save: CommandDefinition = {
  name: "save",
  group: "hub",
  summary: "write a context's alias file, or delete it",
  description:
    "Checks the properties given against the schema and the whole hub (references, names used twice, quotas) and writes them into aliases/<name>.yml; comments and order there stay. Properties are Aegir's: --key=value, with _ or -. The values null and NONE, or --unset=key, take a property out. --delete removes the alias file when nothing refers to it.",
  arguments: [{ name: "<context>", description: "@name" }],
  options: [
    { flags: "--delete", description: "remove the alias file (never what it is about)" },
    { flags: "--password-file <file>", description: "a server: password of the account in master_db, from this file; - is standard input" },
  ],
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
    {
      line: "pass show mariadb | provision save @server_master --master_db=mysql://root@127.0.0.1 --password-file=-",
      says: "a database server; its password goes to secrets/",
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
  const given = new Map(secrets);
  const file = invocation.options["passwordFile"];
  if (typeof file === "string") {
    const { MASTER_PASSWORD } = await import("../context/master-db.js");
    if (type !== "server" || given.has(MASTER_PASSWORD))
      throw new ProvisionError(
        "USAGE",
        type === "server" ? "--password-file and --master_db both give a password" : `--password-file is for servers; ${name} is a ${type}`,
      );
    given.set(MASTER_PASSWORD, await passwordIn(file));
  }
  await operate(invocation, use, "save", name, operations.saveWith(given), { name, type, changes }, async (emit) => {
    for (const message of warnings) emit({ type: "warning", message });
  });
};

/** The first line; what stands after it is not looked at. Rejects with USAGE. */
async function passwordIn(file: string): Promise<Secret> {
  const { readFileSync } = await import("node:fs");
  const where = file === "-" ? "standard input" : file;
  let text: string;
  try {
    text = readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw new ProvisionError("USAGE", `--password-file: ${where} cannot be read`, { why: [messageOf(error)], cause: error });
  }
  const [password = ""] = text.split(/\r?\n/);
  if (password === "") throw new ProvisionError("USAGE", `--password-file: the first line of ${where} is empty`);
  return new Secret(password);
}
