import type { Action, CommandDefinition } from "./definition.js";

export const importCommand: CommandDefinition = {
  name: "import",
  aliases: ["hosting-import"],
  group: "site",
  summary: "take over a site that stands on a platform and was made by somebody else",
  description:
    "A site made by hand, by a core's installer, by Aegir or by another hub: its settings.php is run by PHP, its database asked, and the server of this hub found that has it (MariaDB, MySQL, SQLite). Nothing is changed where it stands: the hub gets a context, its hash salt, an account of its own for the database, and links to its files, which stay where they are until its first migrate, restore or new name. It serves on by its own settings until `provision verify`, which keeps the settings.php that stood there (settings.before.php, beside the site's data), writes its own, and names what of the old one belongs into local.settings.php. Table prefixes and PostgreSQL are refused, each with another way. A platform: all of its sites, each with a result; those that are known are ok.",
  arguments: [
    { name: "<context>", description: "@site, a new name (then also the uri); or @platform, for all of its sites" },
    { name: "[platform]", description: "@platform of the site; default: the one that has it" },
  ],
  options: [
    { flags: "--uri <uri>", description: "what visitors call it; default: its name" },
    { flags: "--directory <name>", description: "its directory below sites/, where that is not its uri: default" },
    { flags: "--db-server <server>", description: "the server of its database; default: the one that has it" },
  ],
  examples: [
    { line: "provision import @platform_d7", says: "every site that is found there" },
    { line: "provision import @example.com @platform_d7", says: "sites/example.com" },
    { line: "provision import @example.com @platform_d7 --directory=default", says: "a site that has the platform for itself" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { contextName, oneOfMany, openHub, operate } = await import("./hub.js");
  const { reference } = await import("./selection.js");
  const { importSite } = await import("../operations/import.js");
  const { ProvisionError } = await import("../core/errors.js");
  const { arguments: words, options, session } = invocation;
  const [word = "", second] = words;
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
