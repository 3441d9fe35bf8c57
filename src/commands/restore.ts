import type { Action, CommandDefinition } from "./definition.js";

export const restore: CommandDefinition = {
  name: "restore",
  group: "site",
  summary: "a site as it was when a backup was made",
  description:
    "The backup is checked against its sha256 sums, and the present state is backed up. Then database and files are loaded into a new generation beside the one that serves, onto the platform that the backup was made on, or --platform; updates run when that has newer code. Its front page is fetched before any visitor sees it; only then the two change places, for which writers wait a moment. What served before is kept (provision rollback). When anything fails before that, the site goes on as it was.",
  arguments: [
    { name: "<context>", description: "@site" },
    { name: "<backup>", description: "id of one of its backups, or the directory of one" },
  ],
  options: [
    { flags: "--platform <name>", description: "onto this platform (default: the one it was made on)" },
    { flags: "--keep-failed", description: "leave what failed for a look (provision abort ID takes it back)" },
  ],
  examples: [
    { line: "provision restore @example.com 7f3a --yes", says: "database, files and own modules as in that backup" },
    { line: "provision backups list @example.com", says: "which there are" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { confirmed, contextOfType, openHub, operate } = await import("./hub.js");
  const { reference } = await import("./selection.js");
  const { restore: operation } = await import("../operations/restore.js");
  const { arguments: words, options, session } = invocation;
  const [word = "", backup = ""] = words;
  const use = await openHub(session);
  const { name } = await contextOfType(use, word, ["site"], "restore");
  const platform = await reference(use, "platform", options["platform"]);
  await confirmed(session, `Put ${name} back to what it was in the backup ${backup}?`);
  await operate(invocation, use, "restore", name, operation, { name, backup, platform });
};
