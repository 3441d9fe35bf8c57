import type { Action, CommandDefinition } from "./definition.js";

export const rehearse: CommandDefinition = {
  name: "rehearse",
  group: "site",
  summary: "try on a copy what a migrate to a platform would do",
  description:
    "Makes a copy of the site under a temporary name, in quarantine, moves it to the platform with all updates, fetches pages of both and holds status, title and text against each other, and looks for new errors in the logs. Then the copy is taken away. The site is only read. Names, times, tokens and what differs between two visits of one page do not count. Says how long nobody could write in a migrate. What stands against the move (provision compare) is refused as by migrate. Exit 0: good; 6: the updates fail, pages differ or errors are logged.",
  arguments: [
    { name: "<site>", description: "@site" },
    { name: "<platform>", description: "@platform to try" },
  ],
  options: [
    {
      flags: "--urls <file>",
      description: "paths or URLs of the site, one a line; default: the front page, what it links to, /user/login, sitemap.xml",
    },
    { flags: "--keep", description: "leave the copy for a look" },
  ],
  examples: [
    { line: "provision rehearse @example.com @platform_d7_new", says: "before a migrate" },
    {
      line: "provision rehearse @example.com @platform_d7_new --urls pages.txt --json",
      says: "in a CI pipeline: exit 6 when it would go wrong",
    },
    { line: "provision migrate @example.com @platform_d7_new --rehearsed 7f3a", says: "the move itself, when nothing has changed since" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { contextOfType, openHub, operate } = await import("./hub.js");
  const { rehearse: operation } = await import("../operations/rehearse.js");
  const { settleRehearsals } = await import("../operations/run.js");
  const { options, session } = invocation;
  const [word = "", target = ""] = invocation.arguments;
  const use = await openHub(session);
  const site = await contextOfType(use, word, ["site"], "rehearse");
  const platform = await contextOfType(use, target, ["platform"], "rehearse");
  const file = options["urls"];
  const { urlsFile } = await import("../operations/urls-file.js");
  const paths = file === undefined ? undefined : await urlsFile(String(file), site);
  const { stop, version, common } = session;
  const circumstances = { use, stop, version, target: site.name, dryRun: false, keepFailed: false, lockWait: common.lockWait };
  if (!common.dryRun) await settleRehearsals(site.name, { ...circumstances, emit: () => {} });
  await operate(invocation, use, "rehearse", site.name, operation, {
    name: site.name,
    platform: platform.name,
    keep: options["keep"] === true,
    ...(paths === undefined ? {} : { paths }),
  });
};
