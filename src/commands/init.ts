import { resolve } from "node:path";
import { ProvisionError } from "../core/errors.js";
import { Scope } from "../core/scope.js";
import type { Action, CommandDefinition } from "./definition.js";

export const init: CommandDefinition = {
  name: "init",
  group: "hub",
  summary: "make a hub: settings, directories, @server_master",
  description:
    "Makes DIR (default: the current directory) a hub: provision.yml, the directories, @server_master and @client_admin. What is there already is kept. With --local the server is PHP's own web server and SQLite, so that nothing needs to be installed and root is not needed.",
  arguments: [{ name: "[dir]", description: "directory of the hub" }],
  options: [
    { flags: "--local", description: "PHP's own server and SQLite" },
    { flags: "--port <port>", description: "with --local: port of PHP's own server (default 8080)" },
  ],
  examples: [
    { line: "provision init --local ~/hub", says: "a hub on a laptop" },
    { line: "provision init /var/aegir", says: "a hub where Aegir had it" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { operate } = await import("./hub.js");
  const { futureHub, init: operation } = await import("../operations/init.js");
  const { options, session } = invocation;
  const port = Number(options["port"] ?? 8080);
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new ProvisionError("USAGE", `--port=${String(options["port"])} is not a port`);
  const root = resolve(invocation.arguments[0] ?? session.common.hub ?? process.env["PROVISION_HUB"] ?? ".");
  if (session.common.dryRun)
    throw new ProvisionError("USAGE", "init has no dry run: it only makes what is missing", { next: [`provision init ${root}`] });
  await operate(invocation, futureHub(root, new Scope()), "init", root, operation, { local: options["local"] === true, port });
};
