import { ProvisionError } from "../core/errors.js";
import type { Action, CommandDefinition } from "./definition.js";

export const serve: CommandDefinition = {
  name: "serve",
  group: "local",
  summary: "serve every site of a server with PHP's own web server",
  description:
    "Runs in the foreground until SIGTERM or Ctrl-C and ends its children then. Serves every site whose web server is PHP's own, by host name; sees sites come, move and go. For laptops, demos and CI.",
  arguments: [{ name: "[server]", description: "@server (default @server_master)" }],
  options: [
    { flags: "--port <port>", description: "port (default: the server's http_port)" },
    { flags: "--address <address>", description: "address to listen on (default 127.0.0.1)" },
  ],
  examples: [{ line: "provision serve --port 8080", says: "then open http://<uri>:8080/ (names below .localhost need no DNS)" }],
  load: async () => ({ run }),
};

const run: Action = async ({ arguments: [word = "@server_master"], options, session }) => {
  const { contextName, openHub } = await import("./hub.js");
  const { serveSites } = await import("../operations/serve.js");
  const use = await openHub(session);
  const name = contextName(word);
  const port = options["port"] === undefined ? undefined : Number(options["port"]);
  if (port !== undefined && (!Number.isInteger(port) || port < 0 || port > 65535))
    throw new ProvisionError("USAGE", `--port=${String(options["port"])} is not a port`);
  await session.subject({ command: "serve", target: name }, async (emit) => {
    await serveSites(use, name, { port, address: String(options["address"] ?? "127.0.0.1"), emit, stop: session.stop });
  });
};
