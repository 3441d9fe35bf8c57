import type { Services } from "../operations/services.js";
import type { Action, CommandDefinition } from "./definition.js";
import { SELECTORS } from "./selectors.js";

export const verify: CommandDefinition = {
  name: "verify",
  group: "site",
  summary: "make a server, platform or site as its context says",
  description:
    "A server: directories, and a proof that each of its services works. A platform: built when its root is missing (beside it, then put in place by one rename), its core recognised; one that stands is compared with what it was built from and never built again by itself. --rebuild builds it anew beside the old build, carries its sites' directories over, exchanges the two by one rename and reloads PHP, while its sites go on; database updates are not run. A site: directories, modes, settings.php, names, vhost and the account of its database. A second run changes nothing and says so.",
  arguments: [{ name: "[contexts...]", description: "@server, @platform or @site, or a glob" }],
  options: [
    ...SELECTORS,
    { flags: "--offline", description: "build from caches, mirrors on disk and local files only" },
    { flags: "--full", description: "a platform: look at every file and ask its git repository, too, whether it is as it was built" },
    { flags: "--rebuild", description: "a platform: build it anew and exchange the builds" },
    { flags: "--keep-old", description: "with --rebuild: leave the old build in platforms/.builds" },
    { flags: "--update", description: "a platform that is a working copy: git fetch and checkout in place" },
    { flags: "--rotate-password", description: "a site: give its database a new account with a new password, while it goes on serving" },
  ],
  examples: [
    { line: "provision verify @platform_d7", says: "build it, or look whether it is in order" },
    { line: "provision @example.com verify --dry-run", says: "what would change" },
    { line: "provision verify @platform_d7 --rebuild", says: "build it anew, sites staying up" },
    { line: "provision verify @example.com --rotate-password", says: "a new password for its database" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { openHub, operate } = await import("./hub.js");
  const { eachSelected } = await import("./selection.js");
  const { ProvisionError } = await import("../core/errors.js");
  const { options } = invocation;
  const chosen = (key: string) => options[key] === true;
  const offline = chosen("offline");
  if (chosen("rebuild") && chosen("update")) throw new ProvisionError("USAGE", "--rebuild and --update are two things; name one of them");
  if (chosen("keepOld") && !chosen("rebuild")) throw new ProvisionError("USAGE", "--keep-old goes with --rebuild");
  const forPlatforms = ["full", "rebuild", "update"].find(chosen);
  const verifyOrExchange = async (name: string, use: Services) => {
    if (chosen("rebuild")) {
      const { rebuildPlatform } = await import("../operations/rebuild-platform.js");
      return operate(invocation, use, "verify", name, rebuildPlatform, { name, offline, keepOld: chosen("keepOld") });
    }
    if (chosen("update")) {
      const { updatePlatform } = await import("../operations/update-platform.js");
      return operate(invocation, use, "verify", name, updatePlatform, { name });
    }
    const { verifyPlatform } = await import("../operations/verify-platform.js");
    return operate(invocation, use, "verify", name, verifyPlatform, { name, offline, full: chosen("full") });
  };
  await eachSelected(invocation, await openHub(invocation.session), "verify", ["server", "platform", "site"], async (name, use) => {
    const context = await use.store.need(name);
    if (chosen("rotatePassword") && context.context_type !== "site")
      throw new ProvisionError("USAGE", `--rotate-password is for sites; ${name} is a ${context.context_type}`);
    if (forPlatforms !== undefined && context.context_type !== "platform")
      throw new ProvisionError("USAGE", `--${forPlatforms} is for platforms; ${name} is a ${context.context_type}`);
    switch (context.context_type) {
      case "server": {
        const { verifyServer } = await import("../operations/verify-server.js");
        await operate(invocation, use, "verify", name, verifyServer, { name });
        return;
      }
      case "platform": {
        await verifyOrExchange(name, use);
        return;
      }
      default: {
        const { verifySite } = await import("../operations/verify-site.js");
        await operate(invocation, use, "verify", name, verifySite, { name, rotatePassword: chosen("rotatePassword") });
        return;
      }
    }
  });
};
