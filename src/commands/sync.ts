import type { Action, CommandDefinition } from "./definition.js";

export const sync: CommandDefinition = {
  name: "sync",
  group: "site",
  summary: "replace the database and files of a site by those of another",
  description:
    "For a test site that is to be as the live one is. The target is backed up; database, files or both of the other site (default: both) come into a new generation beside what serves, while nobody can write to the target; its front page is fetched before any visitor sees it, and the two change places. The target keeps its names, code, platform, own modules, database account and hash salt; paths and addresses in the database become its own, its private key and key of cron are made anew, and updates run when its code is newer. The other site is only read. A target that lacks an enabled extension, is older, or has another kind of database is refused. What served before is kept (provision rollback). When anything fails before the exchange, the target goes on as it was. Needs --yes.",
  arguments: [
    { name: "<from>", description: "@site that is read" },
    { name: "<to>", description: "@site that is replaced" },
  ],
  options: [
    { flags: "--database", description: "the database alone, with configuration that stands in files (with --files: both)" },
    { flags: "--files", description: "the files alone, public and private" },
    { flags: "--no-updates", description: "leave the updates of newer code to be run later" },
    { flags: "--no-backup", description: "without a backup of the target; what served before is kept all the same" },
    { flags: "--sanitize", description: "replace mails, names and passwords of all accounts, end all sessions, empty keys of services" },
    {
      flags: "--sanitize-rules <file>",
      description: "YAML with mail, name, values and emptied, in the place of the usual ones; with --sanitize",
    },
    { flags: "--keep-failed", description: "leave what failed for a look (provision abort ID takes it back)" },
  ],
  examples: [
    { line: "provision sync @example.com @test.example.com --sanitize --yes", says: "both, without what is private" },
    { line: "provision sync @example.com @test.example.com --database --yes", says: "the database alone" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { confirmed, contextOfType, openHub, operate } = await import("./hub.js");
  const { ProvisionError } = await import("../core/errors.js");
  const { sync: operation } = await import("../operations/sync.js");
  const { sanitizeRules } = await import("../operations/sanitize-rules.js");
  const { arguments: words, options, session } = invocation;
  const [source = "", target = ""] = words;
  const use = await openHub(session);
  const { name: from } = await contextOfType(use, source, ["site"], "sync");
  const { name: to } = await contextOfType(use, target, ["site"], "sync");
  const [database, files] = [options["database"] === true, options["files"] === true];
  const both = database === files;
  const rules = options["sanitizeRules"];
  const sanitize = options["sanitize"] === true || rules !== undefined;
  if (sanitize && !both && !database)
    throw new ProvisionError("USAGE", "--sanitize is about the database, which --files alone leaves as it is");
  const backup = options["backup"] !== false;
  const what = both ? "the database and files" : database ? "the database" : "the files";
  await confirmed(session, `Replace ${what} of ${to} by those of ${from}${backup ? "" : ", without a backup"}?`);
  await operate(invocation, use, "sync", to, operation, {
    from,
    to,
    database: both || database,
    files: both || files,
    backup,
    updates: options["updates"] !== false,
    ...(sanitize ? { sanitize: await sanitizeRules(rules === undefined ? undefined : String(rules)) } : {}),
  });
};
