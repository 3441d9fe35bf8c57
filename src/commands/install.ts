import { resolve } from "node:path";
import type { Action, CommandDefinition } from "./definition.js";

export const install: CommandDefinition = {
  name: "install",
  group: "site",
  summary: "install a saved site",
  description:
    "Makes the site of a saved context: database, directories, settings.php, core's installer, vhost; then its front page has to answer. When anything fails, all of it is taken back and the context stays. Prints the URL and a one-time login link. An installed site is refused; with --force-reinstall a backup of it is taken, which has to succeed, and it is installed anew.",
  arguments: [{ name: "<contexts...>", description: "@site" }],
  options: [
    { flags: "--keep-failed", description: "leave a failed installation for a look (provision abort ID takes it back)" },
    {
      flags: "--existing-config <dir>",
      description: "Drupal 8 and later: install from the configuration that was exported to this directory",
    },
    { flags: "--force-reinstall", description: "an installed site too, after a backup; needs --yes" },
  ],
  examples: [{ line: "provision install @example.com", says: "after provision save @example.com --platform=…" }],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { confirmed, contextOfType, eachTarget, openHub, operate } = await import("./hub.js");
  const { install: operation } = await import("../operations/install.js");
  const use = await openHub(invocation.session);
  await eachTarget(invocation, "install", async (word) => {
    const { name } = await contextOfType(use, word, ["site"], "install");
    const force = invocation.options["forceReinstall"] === true;
    const directory = invocation.options["existingConfig"];
    const configuration = typeof directory === "string" ? { configuration: resolve(directory) } : {};
    if (force) await confirmed(invocation.session, `Install ${name} anew, and lose its database and its files but for a backup?`);
    await operate(invocation, use, "install", name, operation, { name, force, ...configuration });
  });
};
