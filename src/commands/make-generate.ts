import type { Action, CommandDefinition } from "./definition.js";

export const makeGenerate: CommandDefinition = {
  name: "make-generate",
  aliases: ["generate-makefile"],
  group: "platform",
  summary: "write a make file or composer.json for what a site uses or a platform holds",
  description:
    "Of a site: core with its version, its profile, and every project with an enabled module or theme; of a platform: everything in it. With subdirectories, and the patches that PATCHES.txt names. What is no release of drupal.org, and every library, is copied from where it stands, with a warning: name its repository. As composer.json: packages with exactly the versions that are there, with the repositories and other requirements of the platform's own composer.json; own code is listed in it (extra.own-code), with a warning. Changes nothing.",
  arguments: [
    { name: "<context>", description: "@site or @platform" },
    { name: "[file]", description: "write there; another file that stands there needs --yes (default: standard output)" },
  ],
  options: [
    { flags: "--exclude-versions [names]", description: "no versions, or none for these: the newest is built" },
    { flags: "--include-versions <names>", description: "versions for these only" },
    {
      flags: "--format <format>",
      description: "yml, make (INI) or composer (default: by FILE; composer for Drupal 8 and later that Composer built, else yml)",
    },
    { flags: "--result-file <path>", description: "as FILE" },
  ],
  examples: [
    { line: "provision make-generate @example.com makes/example.make.yml", says: "to build its platform anew" },
    { line: "provision make-generate @example.com composer.json", says: "the same for Composer" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const [word = "", file] = invocation.arguments;
  const { options, session } = invocation;
  const { contextOfType, openHub } = await import("./hub.js");
  const { makeFormat, madeText } = await import("./make-convert.js");
  const { words } = await import("./make.js");
  const { makeFileOfPlatform, makeFileOfSite } = await import("../operations/make-generate.js");
  const ending = /\.(make|ya?ml|json)$/.exec(file ?? "")?.[1];
  const format = makeFormat(options["format"] ?? (ending === "json" ? "composer" : ending), ["yml", "make", "composer"]);
  const excluded: true | readonly string[] | undefined = options["excludeVersions"] === "" ? true : words(options["excludeVersions"]);
  const included = words(options["includeVersions"]);
  const versions = { ...(excluded ? { excludeVersions: excluded } : {}), ...(included ? { includeVersions: included } : {}) };
  const use = await openHub(session);
  const context = await contextOfType(use, word, ["site", "platform"], "make-generate");
  await madeText(
    file === undefined ? invocation : { ...invocation, options: { ...options, resultFile: file } },
    { command: "make-generate", target: context.name },
    () =>
      context.context_type === "platform"
        ? makeFileOfPlatform(use, context, format, versions)
        : makeFileOfSite(use, context.name, format, versions, session.common.lockWait, session.stop),
  );
};
