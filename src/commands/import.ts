import type { Action, CommandDefinition } from "./definition.js";

export const importCommand: CommandDefinition = {
  name: "import",
  aliases: ["hosting-import"],
  group: "site",
  summary: "take over a site that was made by somebody else: on a platform of this hub, or on another hub",
  description:
    "Without --from: a site made by hand, by a core's installer, by Aegir or by another hub: its settings.php is run by PHP, its database asked, and the server of this hub found that has it (MariaDB, MySQL, PostgreSQL, SQLite). Nothing is changed where it stands: the hub gets a context, its hash salt, an account of its own for the database, and links to its files, which stay where they are until its first migrate, restore or new name. It serves on by its own settings until `provision verify`, which keeps the settings.php that stood there (settings.before.php, beside the site's data), writes its own, and names what of the old one belongs into local.settings.php. A table prefix, and a database that other sites are in, too, are refused with another way. A platform: all of its sites, each with a result; those that are known are ok. With --from: sites of a hub on another machine, of provision or of Aegir 3, which is reached over SSH and only read. Without a site they are listed. A site that is named (or all, with --all) is copied: its database in one snapshot, by the account of the site and with the programs that are there, its files, private files, configuration and own code; nothing is written there, and it serves on. Here it is made as deploy makes a site of a foreign archive: a database, an account and a salt of its own, on the platform that is named, else on the one whose core and packages are those of its platform there, with the names, the client, the language and the settings of the web server that it had. What has no counterpart here is told. A site that was imported from there already is ok.",
  arguments: [
    {
      name: "[contexts...]",
      description: "@site [@platform]: a new name (then also the uri); @platform: all of its sites; with --from: @site… there",
    },
  ],
  options: [
    { flags: "--uri <uri>", description: "what visitors call it; default: its name" },
    { flags: "--directory <name>", description: "its directory below sites/, where that is not its uri: default" },
    { flags: "--db-server <server>", description: "the server of its database; default: the one that has it, or can have it" },
    { flags: "--from <place>", description: "the other hub's machine, [user@]host[:port]" },
    { flags: "--aegir", description: "with --from: it is a hub of Aegir 3; default: what is found there" },
    { flags: "--hub-path <directory>", description: "with --from: where the hub is there; default: the account's home, or /var/aegir" },
    { flags: "--list", description: "with --from: only list its sites" },
    { flags: "--all", description: "with --from: every site that can be imported" },
    { flags: "--platform <name>", description: "with --from: @platform of this hub; default: the one that fits" },
    { flags: "--ssh-identity <file>", description: "with --from: private key; default: as ~/.ssh/config says" },
    { flags: "--ssh-host-key <fingerprint>", description: "with --from: accepts the machine's key, SHA256:…" },
    { flags: "--keep-failed", description: "with --from: leave what failed for a look (provision abort ID takes it back)" },
  ],
  examples: [
    { line: "provision import @platform_d7", says: "every site that is found there" },
    { line: "provision import @example.com @platform_d7", says: "sites/example.com" },
    { line: "provision import @example.com @platform_d7 --directory=default", says: "a site that has the platform for itself" },
    { line: "provision import --from aegir@old.example.com", says: "lists the sites of another hub" },
    { line: "provision import --from aegir@old.example.com @example.com --platform @platform_d7", says: "copies one of them" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { contextName, oneOfMany, openHub, operate } = await import("./hub.js");
  const { reference } = await import("./selection.js");
  const { ProvisionError } = await import("../core/errors.js");
  const { arguments: words, options, session } = invocation;
  if (options["from"] !== undefined) {
    const { importFrom } = await import("./import-from.js");
    await importFrom(invocation);
    return;
  }
  const alone = Object.entries(WITH_FROM).find(([key]) => options[key] !== undefined && options[key] !== false);
  if (alone !== undefined)
    throw new ProvisionError("USAGE", `${alone[1]} goes with --from`, { next: ["provision import --from aegir@old.example.com"] });
  const { importSite } = await import("../operations/import.js");
  const [word, second, third] = words;
  if (word === undefined || third !== undefined)
    throw new ProvisionError("USAGE", "import needs a site that stands on a platform, or a platform, or --from", {
      next: ["provision import @example.com @platform_d7", "provision import --from aegir@old.example.com"],
    });
  const use = await openHub(session);
  const name = contextName(word);
  const option = (key: string) => (options[key] === undefined ? undefined : String(options[key]));
  const dbServer = await reference(use, "server", options["dbServer"]);
  const context = await use.store.read(name);
  if (context?.context_type !== "platform") {
    const platform = await reference(use, "platform", second);
    const args = { name, platform, uri: option("uri"), directory: option("directory"), dbServer };
    await operate(invocation, use, "import", name, importSite, args);
    return;
  }
  if (second !== undefined || option("uri") !== undefined || option("directory") !== undefined)
    throw new ProvisionError("USAGE", `${name} is a platform: all of its sites are imported, under their own names`, {
      next: [`provision import @example.com ${name}`],
    });
  const { sitesFound } = await import("../operations/import.js");
  session.severalTargets();
  for (const { site, directory } of await sitesFound(name, use))
    await oneOfMany(session, "import", site, async () => {
      await operate(invocation, use, "import", site, importSite, { name: site, platform: name, directory, dbServer });
    });
};

/** Options that say something of another hub only, by their key. */
const WITH_FROM: Readonly<Record<string, string>> = {
  aegir: "--aegir",
  hubPath: "--hub-path",
  list: "--list",
  all: "--all",
  platform: "--platform",
  sshIdentity: "--ssh-identity",
  sshHostKey: "--ssh-host-key",
};
