import type { ProvisionError } from "./errors.js";
import type { Json } from "./json.js";

/** What became of one step. */
export type StepOutcome = "ok" | "changed" | "would_change" | "failed" | "undone" | "skipped";

/** What became of a whole command on one target. */
export type Outcome = "ok" | "changed" | "would_change" | "failed" | "rolled_back" | "needs_attention";

/**
 * Everything a command says, in the order it happens. Reporters draw it; core/result.ts folds it into
 * the result document and the exit code.
 */
export type Event =
  | { readonly type: "planned"; readonly steps: readonly { readonly id: string; readonly title: string }[] }
  /** The first change is about to be made: from here there is a journal with this id. */
  | { readonly type: "opened"; readonly operation: string }
  | { readonly type: "started"; readonly step: string; readonly title: string }
  | { readonly type: "progress"; readonly message: string }
  | {
      readonly type: "finished";
      readonly step: string;
      readonly title: string;
      readonly outcome: StepOutcome;
      readonly changes: readonly string[];
      readonly ms: number;
    }
  /** Said for information. */
  | { readonly type: "note"; readonly message: string }
  /** Something the user should know; not a failure. */
  | { readonly type: "warning"; readonly message: string }
  /** The roll-back begins. */
  | { readonly type: "undoing"; readonly cause: ProvisionError }
  | { readonly type: "data"; readonly data: { readonly [key: string]: Json } }
  /** Data as people read it: lines for standard output. */
  | { readonly type: "text"; readonly lines: readonly string[] }
  | {
      readonly type: "failed";
      readonly error: ProvisionError;
      readonly outcome: "failed" | "rolled_back" | "needs_attention";
      readonly exit: number;
    }
  /** The command is over and did not fail, or `failed` came before. */
  | { readonly type: "ended"; readonly ms: number; readonly exit?: number };

export type Emit = (event: Event) => void;

/** One command on one target, as reporters and the result document name it. */
export interface Subject {
  readonly command: string;
  /** Context with its `@`, a file, or undefined for a command without a target. */
  readonly target: string | undefined;
}

/** Draws events for one kind of reader. It writes nothing else and decides nothing. */
export interface Reporter {
  /** Begins one command on one target; the returned function takes its events. */
  begin(subject: Subject): Emit;
  /** All is said; resolves when it is drawn. */
  end(): Promise<void>;
}
