import type { Action, CommandDefinition } from "./definition.js";

export const migrate: CommandDefinition = {
  name: "migrate",
  group: "site",
  summary: "move a site to another platform, name or database server",
  description:
    "Makes a new generation of the site beside the one that serves: files are copied while visitors go on, then nobody can write for as long as the database is copied and updated; pages are served all the time. The new one has to answer before a visitor sees it. What served before is kept for keep_old days (provision rollback). When anything fails all is as before. Another name alone takes database and files along as they are. A new name that is not saved is also the uri. Same platform, name and server: nothing to do.",
  arguments: [
    { name: "<site>", description: "@site" },
    { name: "[platform]", description: "@platform to move to" },
    { name: "[new_name]", description: "@name that it gets" },
  ],
  options: [
    { flags: "--db-server <server>", description: "database server that it gets" },
    { flags: "--no-backup", description: "without a backup first: what served before is kept all the same" },
    { flags: "--redirect-old", description: "the old name goes on as an alias, redirected to the new one" },
    { flags: "--max-write-block <time>", description: "give up when nobody could write for longer than this: 10s, 2m" },
    { flags: "--accept-late-writes", description: "go on although something was written past the closed gate, which is then lost" },
    { flags: "--rehearsed <id>", description: "only when site and platform are what they were in that rehearsal, and it went well" },
    { flags: "--keep-failed", description: "leave a failed move for a look (provision abort ID takes it back)" },
  ],
  examples: [
    { line: "provision migrate @example.com @platform_d7_new", says: "onto newer code, with its updates" },
    { line: "provision migrate @old.example.com @new.example.com --redirect-old", says: "another name, where it is" },
    { line: "provision migrate @example.com --db_server=@server_db2", says: "its database on another server" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { contextName, contextOfType, openHub, operate } = await import("./hub.js");
  const { ProvisionError } = await import("../core/errors.js");
  const { migrate: operation } = await import("../operations/migrate.js");
  const { options } = invocation;
  const [word = "", ...targets] = invocation.arguments;
  const use = await openHub(invocation.session);
  const { name } = await contextOfType(use, word, ["site"], "migrate");
  let platform: string | undefined;
  let newName: string | undefined;
  for (const target of targets) {
    const known = await use.store.read(contextName(target));
    if (known?.context_type === "platform" && platform === undefined) platform = target;
    else if ((known === undefined || known.context_type === "site") && newName === undefined) newName = target;
    else
      throw new ProvisionError("USAGE", `migrate takes one platform and one new name; ${target} is ${known?.context_type ?? "not saved"}`, {
        next: ["provision migrate --help"],
      });
  }
  if (platform === undefined && targets.length === 2) await use.store.need(targets[0] as string, "platform");
  if (targets[0]?.startsWith("@platform") && platform === undefined) await use.store.need(targets[0], "platform");
  const dbServer = options["dbServer"];
  await operate(invocation, use, "migrate", name, operation, {
    name,
    ...(platform === undefined ? {} : { platform }),
    ...(newName === undefined ? {} : { newName }),
    ...(dbServer === undefined ? {} : { dbServer: contextName(`@${String(dbServer).replace(/^@/, "")}`) }),
    backup: options["backup"] !== false,
    redirectOld: options["redirectOld"] === true,
    ...(options["rehearsed"] === undefined ? {} : { rehearsed: String(options["rehearsed"]) }),
    acceptLateWrites: options["acceptLateWrites"] === true,
    ...(options["maxWriteBlock"] === undefined ? {} : { maxWriteBlock: duration(String(options["maxWriteBlock"])) }),
  });

  /** Milliseconds of 10, 10s, 2m. */
  function duration(text: string): number {
    const [, amount, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? [];
    if (amount === undefined) throw new ProvisionError("USAGE", `--max-write-block=${text} is not a time: 10s, 2m`);
    return Number(amount) * { ms: 1, s: 1000, m: 60_000 }[unit as "ms" | "s" | "m"];
  }
};
