import { type Argument, Command, CommanderError, Option } from "commander";
import type { CommandDefinition, Invocation } from "./commands/definition.js";
import { commands } from "./commands/index.js";
import { type CommonOptions, type Format, Session } from "./commands/session.js";
import { didYouMean, ProvisionError } from "./core/errors.js";
import type { Reporter, Subject } from "./core/events.js";
import type { Stop } from "./core/stop.js";

/** How the outcome is told; needed before, and also without, a command line that can be understood. */
export interface Manner {
  readonly format: Format;
  readonly color: boolean;
  /** -1 quiet … 2 debug, as in reporters/text.ts. */
  readonly verbosity: number;
}

export interface CommandLine {
  readonly version: string;
  readonly env: NodeJS.ProcessEnv;
  readonly stop: Stop;
  reporter(manner: Manner): Reporter;
  /** Help and version: data for standard output. */
  print(text: string): void;
}

const DEFAULT_WAIT = "5m";

export const EXIT_TABLE = `Exit codes:
  0                    done, or already so
  1                    failed; nothing was applied, the target is as it was
  2                    with --dry-run --exit-code, and of compare: changes or differences exist
  3                    several targets: some failed (5 if any of them is 5)
  4                    failed, rolled back, and confirmed to be as it was
  5                    failed and not restored, or committed and not finished: a person is needed
  6                    a check found problems
  64 65 66 69 70       usage, bad input file, no such context or file, host or service unavailable, a bug in provision
  75 77 78             locked or interrupted, permission, configuration
  124 129 130 143      time-out, SIGHUP, SIGINT, SIGTERM: stopped, rolled back and confirmed`;

/** Options of every command; each also as PROVISION_… in the environment. */
function commonOptions(): readonly Option[] {
  const option = (flags: string, description: string, variable: string) => new Option(flags, description).env(`PROVISION_${variable}`);
  return [
    option("--hub <dir>", "directory of the hub (default: the nearest with a provision.yml, else /var/aegir)", "HUB"),
    option("--dry-run", "say what would change; write nothing, take no lock", "DRY_RUN"),
    option("--simulate", "the same as --dry-run", "SIMULATE"),
    option("--exit-code", "with --dry-run: exit 2 when something would change", "EXIT_CODE"),
    option("--format <format>", "table, json or yaml", "FORMAT").choices(["table", "json", "yaml"]),
    option("--json", "the same as --format=json: one document on standard output, whatever happens", "JSON"),
    option("-y, --yes", "answer yes to what is asked before something is destroyed", "YES"),
    option("-n, --no-interaction", "never ask", "NO_INTERACTION"),
    option("-q, --quiet", "errors only; data is still printed", "QUIET"),
    new Option("-v, --verbose", "say more; twice: reasons and times"),
    option("--debug", "as -vv", "DEBUG"),
    option("--no-color", "no colours (also NO_COLOR)", "NO_COLOR"),
    option("--lock-wait [time]", `wait for a busy lock, for ${DEFAULT_WAIT} or =TIME: 30s, 10m (default: do not wait)`, "LOCK_WAIT"),
    option("--timeout <time>", "stop and roll back after this time: 90s, 10m", "TIMEOUT"),
  ];
}

/** `30s`, `5m`, `1h` or seconds, in milliseconds. */
function duration(text: string, option: string): number {
  const match = /^(\d+)(ms|s|m|h)?$/.exec(text);
  if (!match) throw new ProvisionError("USAGE", `${option}=${text} is not a time; for example ${option}=30s or ${option}=5m`);
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[(match[2] ?? "s") as "ms" | "s" | "m" | "h"];
  return Number(match[1]) * unit;
}

function isFormat(flags: string): boolean {
  return flags.startsWith("--format ");
}

function namedCommand(argv: readonly string[]): CommandDefinition | undefined {
  const names = new Map(commands.flatMap((definition) => namesOf(definition).map((name) => [name, definition] as const)));
  const word = argv.find((each) => names.has(each));
  return word === undefined ? undefined : names.get(word);
}

function namesOf(definition: CommandDefinition): readonly string[] {
  return [definition.name, ...(definition.aliases ?? []), `provision-${definition.name}`];
}

/**
 * Puts a command line into the one order that is parsed: `@context command` becomes `command @context`
 * (as Drush takes it), `--lock_wait` becomes `--lock-wait` (Aegir's spelling), `--lock-wait` alone gets its
 * default (a value only after `=`, so that a context after it is not taken for one; a command's own `--lock [file]` too).
 */
export function ordered(argv: readonly string[], known: readonly CommandDefinition[]): readonly string[] {
  const names = new Set(known.flatMap(namesOf));
  const words = argv.filter((word) => word !== "@none");
  const end = words.indexOf("--");
  const options = end === -1 ? words : words.slice(0, end);
  const commandAt = options.findIndex((word) => names.has(word));
  const contextAt = options.findIndex((word) => word.startsWith("@"));
  const anyOption = known.some((definition) => definition.anyOption && namesOf(definition).includes(options[commandAt] ?? ""));
  const moved = commandAt !== -1 && contextAt !== -1 && contextAt < commandAt;
  const sorted = moved
    ? [
        ...options.slice(0, contextAt),
        ...options.slice(contextAt + 1, commandAt + 1),
        options[contextAt] as string,
        ...options.slice(commandAt + 1),
      ]
    : options;
  const named = known.find((definition) => namesOf(definition).includes(options[commandAt] ?? ""));
  const valueMayFollow = new Set(named?.options?.flatMap(({ flags }) => (flags.endsWith("]") ? [flags.split(" ", 1)[0]] : [])));
  const common = new Set(["dry-run", "exit-code", "no-interaction", "no-color", "lock-wait"]);
  const spelled = sorted.map((word) => {
    if (word === "--lock-wait" || word === "--lock_wait") return `--lock-wait=${DEFAULT_WAIT}`;
    if (valueMayFollow.has(word)) return `${word}=`;
    const match = /^--([a-z][a-z0-9_-]*)(=.*)?$/s.exec(word);
    if (!match?.[1]?.includes("_")) return word;
    const kebab = match[1].replaceAll("_", "-");
    return anyOption && !common.has(kebab) ? word : `--${kebab}${match[2] ?? ""}`;
  });
  return end === -1 ? spelled : [...spelled, ...words.slice(end)];
}

/** Options whose value may stand in a word of its own. */
const VALUED = new Set(["--hub", "--format", "--timeout"]);

/** Command and target of a command line that may not be understood otherwise. */
export function subjectOf(argv: readonly string[]): Subject {
  const end = argv.indexOf("--");
  const words = (end === -1 ? argv : argv.slice(0, end)).filter(
    (word, index, all) => !word.startsWith("-") && !VALUED.has(all[index - 1] ?? "") && word !== "@none",
  );
  const name = words.find((word) => !word.startsWith("@"));
  const definition = commands.find((candidate) => name !== undefined && namesOf(candidate).includes(name));
  return { command: definition?.name ?? name ?? "provision", target: words.find((word) => word.startsWith("@")) };
}

/** How to tell the outcome, from a command line that may not be understood otherwise. */
export function mannerOf(argv: readonly string[], env: NodeJS.ProcessEnv): Manner {
  const has = (...flags: readonly string[]) => argv.some((word) => flags.includes(word));
  // Where --format is a command's own (make-convert), only --json and the environment say how to tell the outcome.
  const value =
    (namedCommand(argv)?.options?.some(({ flags }) => isFormat(flags))
      ? undefined
      : (argv.findLast((word) => word.startsWith("--format="))?.slice("--format=".length) ??
        argv[argv.indexOf("--format") + 1 || argv.length])) ?? env["PROVISION_FORMAT"];
  const format: Format =
    has("--json") || env["PROVISION_JSON"] !== undefined ? "json" : value === "json" || value === "yaml" ? value : "table";
  const verbose =
    argv.filter((word) => word === "-v" || word === "--verbose").length + 2 * argv.filter((word) => /^-vv+$/.test(word)).length;
  const verbosity =
    has("-q", "--quiet") || env["PROVISION_QUIET"] !== undefined
      ? -1
      : has("--debug") || env["PROVISION_DEBUG"] !== undefined
        ? 2
        : verbose;
  return {
    format,
    verbosity,
    color: env["NO_COLOR"] === undefined && env["PROVISION_NO_COLOR"] === undefined && !has("--no-color") && env["TERM"] !== "dumb",
  };
}

/**
 * Runs one command line. Returns its session (what was said, and the exit code); rejects with a
 * ProvisionError for what cannot be run, `undefined` when only help was printed.
 */
export async function runCommandLine(argv: readonly string[], line: CommandLine): Promise<Session | undefined> {
  let session: Session | undefined;
  const program = new Command("provision")
    .usage("<command> [@context] [options]   or   @context <command> [options]")
    .description("Hosts Drupal: servers, platforms, sites and clients as YAML, idempotent commands, nothing lost.")
    .version(line.version)
    .exitOverride()
    .configureOutput({ writeOut: line.print, writeErr: () => {}, outputError: () => {} })
    .addHelpText("after", `\n${EXIT_TABLE}`)
    .showSuggestionAfterError(false)
    // Old names work, but whoever reads the list wants to see what there is, once.
    .configureHelp({
      subcommandTerm: (command) => [command.name(), ...command.registeredArguments.map(argumentTerm)].join(" "),
    });
  const own = namedCommand(argv)?.options?.map(({ flags }) => new Option(flags).long) ?? [];
  for (const option of commonOptions()) if (!own.includes(option.long)) program.addOption(option);
  for (const definition of commands) {
    const command = program
      .command(definition.name)
      .summary(definition.summary)
      .description(definition.description)
      .aliases(namesOf(definition).slice(1))
      .exitOverride()
      .configureHelp({ showGlobalOptions: true })
      .helpGroup(GROUP_TITLES[definition.group]);
    for (const argument of definition.arguments ?? []) command.argument(argument.name, argument.description);
    for (const option of definition.options ?? []) command.addOption(new Option(option.flags, option.description));
    command.addHelpText(
      "after",
      `\nExamples:\n${definition.examples.map(({ line: example, says }) => `  ${example}\n      ${says}`).join("\n")}`,
    );
    if (definition.anyOption) command.allowUnknownOption().allowExcessArguments();
    else command.allowExcessArguments(false);
    command.action(async () => {
      const options = command.optsWithGlobals<Record<string, unknown>>();
      session = sessionOf(options, argv, line);
      const declared = definition.arguments?.length ?? 0;
      const given = command.args;
      const invocation: Invocation = {
        arguments: definition.anyOption ? given.slice(0, declared) : given,
        rest: definition.anyOption ? given.slice(declared) : [],
        options,
        session,
      };
      const { run } = await definition.load();
      await withTimeout(options["timeout"], line.stop, () => run(invocation));
    });
  }
  program.action(() => {
    const [word] = program.args;
    if (word === undefined) {
      if (mannerOf(argv, line.env).format !== "table")
        throw new ProvisionError("USAGE", "no command is given", { next: ["provision --help"] });
      line.print(program.helpInformation());
      line.print(`\n${EXIT_TABLE}\n`);
      return;
    }
    const near = didYouMean(word, commands.flatMap(namesOf));
    throw new ProvisionError("USAGE", `there is no command ${JSON.stringify(word)}`, {
      next: [near ? `provision ${near}    # did you mean this?` : "provision --help"],
    });
  });
  program.argument("[words...]");
  program.allowExcessArguments();
  try {
    await program.parseAsync([...ordered(argv, commands)], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    const text = error.message.replace(/^error: /, "");
    const option = /unknown option '(--?[^']+)'/.exec(text)?.[1];
    const flags = [
      ...commonOptions(),
      ...commands.flatMap(({ options }) => (options ?? []).map(({ flags: known }) => new Option(known))),
    ].map(({ long }) => long ?? "");
    const near = option && didYouMean(option, flags);
    throw new ProvisionError("USAGE", text, { next: near ? [`did you mean ${near}?`] : ["provision --help"] });
  }
  return session;
}

function argumentTerm(argument: Argument): string {
  const word = `${argument.name()}${argument.variadic ? "..." : ""}`;
  return argument.required ? `<${word}>` : `[${word}]`;
}

const GROUP_TITLES: Readonly<Record<CommandDefinition["group"], string>> = {
  hub: "Hub:",
  platform: "Platforms:",
  local: "Local:",
  site: "Sites:",
  backups: "Backups:",
  operations: "Operations:",
};

function sessionOf(options: Readonly<Record<string, unknown>>, argv: readonly string[], line: CommandLine): Session {
  const manner = mannerOf(argv, line.env);
  const wait = options["lockWait"];
  const common: CommonOptions = {
    hub: options["hub"] as string | undefined,
    dryRun: options["dryRun"] === true || options["simulate"] === true,
    exitCode: Boolean(options["exitCode"]),
    yes: Boolean(options["yes"]),
    interactive: options["interaction"] !== false && manner.format === "table",
    lockWait: wait === undefined ? 0 : duration(wait === true ? DEFAULT_WAIT : String(wait), "--lock-wait"),
  };
  return new Session(common, line.reporter(manner), line.stop, line.version);
}

async function withTimeout(value: unknown, stop: Stop, action: () => Promise<void>): Promise<void> {
  if (value === undefined) return action();
  const { STOP_REASONS } = await import("./core/stop.js");
  const timer = setTimeout(() => stop.ask(STOP_REASONS.TIMEOUT), duration(String(value), "--timeout"));
  try {
    await action();
  } finally {
    clearTimeout(timer);
  }
}
