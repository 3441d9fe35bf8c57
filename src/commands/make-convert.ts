import { ProvisionError } from "../core/errors.js";
import type { Emit } from "../core/events.js";
import type { Json } from "../core/json.js";
import type { Action, CommandDefinition, Invocation } from "./definition.js";

const MAKE_FORMATS = { make: "ini", ini: "ini", yml: "yaml", yaml: "yaml", composer: "composer" } as const;

export const makeConvert: CommandDefinition = {
  name: "make-convert",
  group: "platform",
  summary: "say a make file in INI, YAML or as composer.json",
  description:
    "Converts between INI and YAML make files and Composer. INI and YAML say the same afterwards, comments stay; what cannot be said is a warning. To Composer: versions, patches for cweagans/composer-patches, installer-paths as drush make places things. From composer.lock (and the composer.json beside it): the Drupal packages. Prints to standard output, or writes --result-file.",
  arguments: [{ name: "<file>", description: "make file, composer.json or composer.lock; - for standard input" }],
  options: [
    { flags: "--format <format>", description: "make (INI), yml, or composer; default: the other of make and yml" },
    { flags: "--result-file <path>", description: "write there; one that stands there needs --yes" },
  ],
  examples: [
    { line: "provision make-convert d7.make --format=yml --result-file=d7.make.yml", says: "INI to YAML" },
    { line: "provision make-convert d10.make.yml --format=composer > composer.json", says: "to Composer" },
    { line: "provision make-convert composer.lock --format=yml", says: "what Composer pinned, as a make file" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const [file = ""] = invocation.arguments;
  const format = makeFormat(invocation.options["format"], ["make", "yml", "composer"]);
  const { convertMake } = await import("../operations/make-convert.js");
  await madeText(invocation, { command: "make-convert", target: file }, () => convertMake(file, format));
};

/** A format of make files as typed. Rejects with USAGE. */
export function makeFormat(given: unknown, known: readonly (keyof typeof MAKE_FORMATS)[]) {
  if (given === undefined) return undefined;
  const format = Object.entries(MAKE_FORMATS).find(([word]) => word === given)?.[1];
  if (format !== undefined && known.some((word) => MAKE_FORMATS[word] === format)) return format;
  throw new ProvisionError("USAGE", `--format=${String(given)} is not one of ${known.join(", ")}`, {
    next: given === "json" || given === "table" ? ["--json for one JSON document about the command"] : [],
  });
}

/** Text that was made for the user: into --result-file, else to standard output. */
export async function madeText(
  { options, session }: Invocation,
  subject: { readonly command: string; readonly target: string },
  make: (emit: Emit) => Promise<{
    readonly format: string;
    readonly text: string;
    readonly warnings: readonly string[];
    /** More for `data` of the result. */
    readonly data?: { readonly [key: string]: Json };
  }>,
): Promise<void> {
  const { writeResultFile } = await import("../operations/result-file.js");
  const path = options["resultFile"] as string | undefined;
  const begun = Date.now();
  await session.subject(subject, async (emit) => {
    const { format, text, warnings, data } = await make(emit);
    for (const message of warnings) emit({ type: "warning", message });
    emit({ type: "data", data: { format, ...(path === undefined ? { text } : { path }), ...data } });
    if (path === undefined || path === "-") emit({ type: "text", lines: text.replace(/\n$/, "").split("\n") });
    else await writeResultFile({ path, text, dryRun: session.common.dryRun, replace: session.common.yes }, emit);
    emit({ type: "ended", ms: Date.now() - begun });
  });
}
