import type { Session } from "./session.js";

export interface OptionDefinition {
  /** As commander reads it: `--profile <name>`. */
  readonly flags: string;
  readonly description: string;
}

interface ArgumentDefinition {
  /** `<name>` required, `[name]` optional, `<name...>` several. */
  readonly name: string;
  readonly description: string;
}

interface Example {
  readonly line: string;
  readonly says: string;
}

type CommandGroup = "hub" | "platform" | "local" | "site" | "backups" | "operations";

/** One command as data: command line, help and README come from it; its code is loaded when it runs. */
export interface CommandDefinition {
  readonly name: string;
  /** Other names it answers to, beside `provision-<name>`. */
  readonly aliases?: readonly string[];
  readonly group: CommandGroup;
  readonly summary: string;
  /** What it does, changes and refuses; shown by `--help`. */
  readonly description: string;
  readonly arguments?: readonly ArgumentDefinition[];
  readonly options?: readonly OptionDefinition[];
  readonly examples: readonly Example[];
  /** Options beyond `options` are taken as they are (`save`: any property of a context). */
  readonly anyOption?: true;
  load(): Promise<{ readonly run: Action }>;
}

export interface Invocation {
  /** Arguments in their order, a missing optional one left out. */
  readonly arguments: readonly string[];
  /** Options by their name in camelCase, the common ones too. */
  readonly options: Readonly<Record<string, unknown>>;
  /** With `anyOption`: what was not an option of ours, as typed. */
  readonly rest: readonly string[];
  readonly session: Session;
}

/** Says everything through the session's reporter; rejects with a ProvisionError for what it refuses. */
export type Action = (invocation: Invocation) => Promise<void>;
