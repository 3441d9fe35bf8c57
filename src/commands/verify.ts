import type { Action, CommandDefinition } from "./definition.js";

export const verify: CommandDefinition = {
  name: "verify",
  group: "site",
  summary: "make a server, platform or site as its context says",
  description:
    "A server: directories, and a proof that each of its services works. A platform: built when its root is missing (beside it, then put in place by one rename), its core recognised. A site: directories, modes, settings.php, names and vhost. A second run changes nothing and says so.",
  arguments: [{ name: "<contexts...>", description: "@server, @platform or @site" }],
  options: [{ flags: "--offline", description: "build from caches, mirrors on disk and local files only" }],
  examples: [
    { line: "provision verify @platform_d7", says: "build it, or look whether it is in order" },
    { line: "provision @example.com verify --dry-run", says: "what would change" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { contextName, eachTarget, openHub, operate } = await import("./hub.js");
  const { ProvisionError } = await import("../core/errors.js");
  const use = await openHub(invocation.session);
  await eachTarget(invocation, "verify", async (word) => {
    const name = contextName(word);
    const context = await use.store.need(name);
    switch (context.context_type) {
      case "server": {
        const { verifyServer } = await import("../operations/verify-server.js");
        await operate(invocation, use, "verify", name, verifyServer, { name });
        return;
      }
      case "platform": {
        const { verifyPlatform } = await import("../operations/verify-platform.js");
        await operate(invocation, use, "verify", name, verifyPlatform, { name, offline: invocation.options["offline"] === true });
        return;
      }
      case "site": {
        const { verifySite } = await import("../operations/verify-site.js");
        await operate(invocation, use, "verify", name, verifySite, { name });
        return;
      }
      default:
        throw new ProvisionError("USAGE", `${name} is a client: there is nothing to verify`);
    }
  });
};
