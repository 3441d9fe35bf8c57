import type { Action, CommandDefinition } from "./definition.js";

export const deploy: CommandDefinition = {
  name: "deploy",
  group: "site",
  summary: "make a new site of a backup from anywhere",
  description:
    "The source is a backup of this hub (its id or directory), a file that `backups export` wrote, a tarball of an Aegir 3 hub, or a dump (.sql or SQLite, also .gz, .bz2 or .zst) with --files DIRECTORY. Every part is checked against its sha256, and archives with paths or links that lead elsewhere, devices, or more than the disk holds are refused before anything is written. The site gets a database, an account, a password and a hash salt of its own; what names its old paths and its old name says the new ones; updates run when the platform's code is newer. It goes onto the platform that is named, else the one of a saved @new, else the one that the backup was made on. When anything fails, all of it is taken back.",
  arguments: [
    { name: "<context>", description: "@new: its name is its uri, unless it is saved" },
    { name: "<source>", description: "a backup, an exported file, an Aegir tarball or a dump" },
    { name: "[platform]", description: "@platform" },
  ],
  options: [
    { flags: "--platform <name>", description: "the same as the third argument" },
    { flags: "--db-server <name>", description: "server for its database (default: the one it was on, else @server_master)" },
    { flags: "--files <directory>", description: "with a dump: the site's public files" },
    { flags: "--old-uri <uri>", description: "what the site was called, where the source does not say it" },
    { flags: "--keep-failed", description: "leave what failed for a look (provision abort ID takes it back)" },
  ],
  examples: [
    { line: "provision deploy @copy.example.com 7f3a", says: "from a backup of this hub, onto the same platform" },
    { line: "provision deploy @example.com example.com-20261123.084758.tar.gz @platform_d7", says: "from another hub, also Aegir's" },
    { line: "provision deploy @example.com site.sql.gz --files ./files --platform d7", says: "from a dump" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { contextName, openHub, operate } = await import("./hub.js");
  const { reference } = await import("./selection.js");
  const { deploy: operation } = await import("../operations/deploy.js");
  const { arguments: words, options, session } = invocation;
  const [word = "", source = "", third] = words;
  const use = await openHub(session);
  const name = contextName(word);
  const platform = await reference(use, "platform", third ?? options["platform"]);
  const dbServer = await reference(use, "server", options["dbServer"]);
  await operate(invocation, use, "deploy", name, operation, {
    name,
    source,
    platform,
    dbServer,
    files: options["files"] === undefined ? undefined : String(options["files"]),
    oldUri: options["oldUri"] === undefined ? undefined : String(options["oldUri"]),
  });
};
