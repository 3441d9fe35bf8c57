import type { Action, CommandDefinition } from "./definition.js";

export const clone: CommandDefinition = {
  name: "clone",
  group: "site",
  summary: "make a copy of a site under another name",
  description:
    "Database and files of the site as they are now, in a new site of its own: another name, database, account, hash salt and keys. The site itself is only read. A name that is not saved is also the uri; aliases, redirection and certificate stay with the site. On another platform the updates are run. Names that are taken are refused. When anything fails nothing of the copy stays.",
  arguments: [
    { name: "<site>", description: "@site" },
    { name: "<new_name>", description: "@name of the copy" },
    { name: "[platform]", description: "@platform of the copy; default: the site's" },
  ],
  options: [
    { flags: "--sanitize", description: "replace mails, names and passwords of all accounts, end all sessions, empty keys of services" },
    {
      flags: "--sanitize-rules <file>",
      description: "YAML with mail, name, values and emptied, in the place of the usual ones; with --sanitize",
    },
    {
      flags: "--quarantine",
      description: "no mail leaves the copy, its cron does not run, search engines are turned away, visitors are asked for a password",
    },
    { flags: "--db-server <server>", description: "database server of the copy" },
    { flags: "--keep-failed", description: "leave a failed copy for a look (provision abort ID takes it back)" },
  ],
  examples: [
    { line: "provision clone @example.com @test.example.com --sanitize --quarantine", says: "for a try" },
    { line: "provision clone @example.com @next.example.com @platform_d7_new", says: "on newer code" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { contextName, contextOfType, openHub, operate } = await import("./hub.js");
  const { clone: operation } = await import("../operations/clone.js");
  const { options } = invocation;
  const [word = "", target = "", platform] = invocation.arguments;
  const use = await openHub(invocation.session);
  const { name } = await contextOfType(use, word, ["site"], "clone");
  if (platform !== undefined) await use.store.need(contextName(platform), "platform");
  const dbServer = options["dbServer"];
  const rules = options["sanitizeRules"];
  const sanitize = options["sanitize"] === true || rules !== undefined;
  const { sanitizeRules } = await import("../operations/sanitize-rules.js");
  await operate(invocation, use, "clone", name, operation, {
    name,
    newName: contextName(target),
    ...(platform === undefined ? {} : { platform }),
    ...(dbServer === undefined ? {} : { dbServer: contextName(`@${String(dbServer).replace(/^@/, "")}`) }),
    ...(sanitize ? { sanitize: await sanitizeRules(rules === undefined ? undefined : String(rules)) } : {}),
    quarantine: options["quarantine"] === true,
  });
};
