import type { Json } from "../core/json.js";
import type { Action, CommandDefinition } from "./definition.js";
import { SELECTORS } from "./selectors.js";

export const compare: CommandDefinition = {
  name: "compare",
  group: "site",
  summary: "say what stands against moving a site to a platform",
  description:
    "Holds what a site uses (extensions with version, schema and place, PHP, database, files, settings) against the code and the machine of a platform. Blockers, for which migrate refuses; warnings, which are to be known before; each with what to do. Changes nothing. Exit 0: nothing found; 2: warnings; 6: blockers, with --strict warnings too.",
  arguments: [{ name: "<contexts...>", description: "@site (or several, or a glob, or a selector), then @platform" }],
  options: [
    ...SELECTORS,
    { flags: "--strict", description: "warnings end with exit 6 too" },
    { flags: "--uri <name>", description: "the site is to have this name there" },
  ],
  examples: [
    { line: "provision compare @example.com @platform_d7next", says: "before a migrate" },
    { line: "provision compare --platform d7 @platform_d7next --strict", says: "all sites of a platform, in a CI pipeline" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { contextOfType, openHub, columns } = await import("./hub.js");
  const { eachSelected } = await import("./selection.js");
  const { ProvisionError } = await import("../core/errors.js");
  const { uriProblem } = await import("../context/names.js");
  const { compareWithPlatform } = await import("../operations/compare.js");
  const { arguments: words, options, session } = invocation;
  const uri = options["uri"] as string | undefined;
  const problem = uri === undefined ? undefined : uriProblem(uri);
  if (problem !== undefined) throw new ProvisionError("USAGE", `--uri=${uri}: it ${problem}`, { next: ["--uri=new.example.com"] });
  const use = await openHub(session);
  const platform = await contextOfType(use, words.at(-1) ?? "", ["platform"], "compare");
  const strict = options["strict"] === true;
  await eachSelected({ ...invocation, arguments: words.slice(0, -1) }, use, "compare", ["site"], async (name, own) => {
    const begun = Date.now();
    const found = await compareWithPlatform(own, name, platform.name, uri, session.common.lockWait, session.stop);
    const { blockers, warnings, packages, unknown } = found;
    const counted = (count: number, word: string) => `${count} ${word}${count === 1 ? "" : "s"}`;
    const summary = `${counted(blockers.length, "blocker")}, ${counted(warnings.length, "warning")}; ${counted(packages.length, "extension")} compared`;
    const differing = packages.filter(({ state }) => state !== "same");
    const version = (side: { readonly version: string | null } | null) => (side === null ? "not there" : (side.version ?? "no version"));
    const table = differing.map((each) => [`  ${each.name}`, each.type, version(each.site), "→", version(each.platform), each.state]);
    const lines = [
      `${name} → ${platform.name}`,
      ...columns(table),
      ...blockers.flatMap(({ message, remedy }) => [`✖ ${message}`, `    ${remedy}`]),
      ...warnings.flatMap(({ message, remedy }) => [`! ${message}`, `    ${remedy}`]),
      summary,
    ];
    await session.subject({ command: "compare", target: name }, async (emit) => {
      for (const what of unknown) emit({ type: "warning", message: `not known: ${what}` });
      emit({
        type: "data",
        data: { platform: platform.name, blockers, warnings, packages } as unknown as { readonly [key: string]: Json },
      });
      emit({ type: "text", lines });
      const against = strict ? [...blockers, ...warnings] : blockers;
      if (against.length === 0) {
        emit({ type: "ended", ms: Date.now() - begun, exit: warnings.length === 0 ? 0 : 2 });
        return;
      }
      const error = new ProvisionError(
        "PROBLEMS_FOUND",
        `${name} cannot move to ${platform.name}${blockers.length === 0 ? " (--strict)" : ""}: ${summary}`,
        {
          why: against.map(({ message }) => message),
          state: "nothing was changed",
          next: [...new Set(against.map(({ remedy }) => remedy))],
        },
      );
      emit({ type: "failed", error, outcome: "failed", exit: error.exit });
    });
  });
};
