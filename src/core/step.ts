import type { ProvisionError } from "./errors.js";
import type { Json } from "./json.js";

/** One effect to put back, as data: it outlives the process that made it. `do` names an entry of operations/undo.ts. */
export type Undo = { readonly do: string; readonly host: string; readonly [arg: string]: Json };

/** A file whose present bytes the engine keeps beside the journal, under `name`, before the step is applied. */
export interface Before {
  readonly name: string;
  readonly host: string;
  readonly path: string;
}

/** What a step would do. No changes: it is already so. */
export interface Decision {
  /** One line per change, imperative: `create …`, `update …`. */
  readonly changes: readonly string[];
  readonly undo?: readonly Undo[];
  readonly before?: readonly Before[];
}

type Phase = "undoable" | "finish" | "cleanup";

/** One named effect of an operation (DESIGN 6). The same `check` serves dry run, run and report. */
export interface Step<Out extends Json = Json> {
  /** Stable and unique in its operation: `database/create`. */
  readonly id: string;
  /** For people, imperative: `Create the database …`. */
  readonly title: string;
  /** Default: undoable. finish steps come after the commit and must succeed; cleanup steps may fail with a warning. */
  readonly phase?: Phase;
  /** An earlier step whose undo takes this one's effects too. */
  readonly undoneBy?: string;
  /** Once done it survives a roll-back (a backup's manifest). */
  readonly keep?: true;
  /** Ends by itself before a stop takes effect. */
  readonly uninterruptible?: true;
  /**
   * The step before it, or the one that is alongside of: they are applied at the same time, and neither needs what the other gives. Both come before the
   * commit. Only the first of them may run a core's code.
   */
  readonly alongside?: string;
  /** Only reads, and bears that earlier steps have not happened yet. */
  check(run: Run): Promise<Decision>;
  apply(run: Run): Promise<Out>;
}

export interface Run {
  /** Id of the operation; every name it makes carries it. */
  readonly operation: string;
  /** What an earlier step returned; undefined in a dry run. */
  out<T extends Json>(of: Step<T>): T | undefined;
  /** The same, for a check that cannot decide without it: a dry run reports `known after "…"`. */
  need<T extends Json>(of: Step<T>): T;
  /** Aborted when the operation has to stop. */
  readonly signal: AbortSignal;
  /** Says how far a long step is. */
  progress(message: string): void;
  /** Said to the user with the result; not a failure. */
  warn(message: string): void;
}

/** A context or the hub itself, as something to lock. */
export interface Lock {
  readonly kind: LockKind;
  /** Context name with its `@`; `hub` for the hub. */
  readonly name: string;
  readonly mode: "exclusive" | "shared";
}

/** In the order in which locks are taken. */
export const LOCK_KINDS = ["hub", "client", "server", "platform", "site"] as const;
type LockKind = (typeof LOCK_KINDS)[number];

/** The operation that another one is part of, as the part needs to know it. */
export interface Parent {
  readonly operation: string;
  /** What it holds; a part takes no locks of its own, and needs no others. */
  readonly locks: readonly Lock[];
  /** Open lock files, which programs of the part inherit too. */
  readonly descriptors: readonly number[];
}

/**
 * A command as a list of steps. `Use` is what it works with (hosts, services, contexts), made anew
 * in each process; `Inputs` is everything decided beforehand: what survives JSON unchanged, without secrets.
 */
export interface Operation<Args, Inputs, Use> {
  readonly name: string;
  /** What the next command does when this one was killed: finish it by itself, or ask for resume/abort. */
  readonly recovery: "automatic" | "ask";
  /** Reads the world, refuses, and makes every name, random and time. Called again once the locks are held. */
  prepare(args: Args, use: Use, id: string): Promise<{ readonly inputs: Inputs; readonly locks: readonly Lock[] }>;
  /**
   * Refuses what programs have to be asked about: once, under the locks, while nothing is applied. prepare may begin to ask. A resumed run is not asked
   * again: what was begun stands in its own way here, nobody could change a context of it since (INTERRUPTED), and a full disk or a server that is
   * down is told by the step that meets it.
   */
  preflight?(inputs: Inputs, use: Use): Promise<void>;
  /** Pure: the same inputs give the same step ids. */
  steps(inputs: Inputs, use: Use): readonly Step[];
  /** After a full roll-back: what differs from the baseline in the inputs. */
  confirm(inputs: Inputs, use: Use): Promise<readonly string[]>;
  /** One line on what the target is now, for messages; the world may be in any state. */
  state?(inputs: Inputs, use: Use): Promise<string>;
  /** The command's own `data` of the result document. */
  data?(inputs: Inputs, run: Pick<Run, "out" | "operation">, use: Use): Promise<{ readonly [key: string]: Json }>;
  /** The same for people, for standard output. */
  lines?(data: { readonly [key: string]: Json }): readonly string[];
  /** All was done, and what was found is bad: the error that the command ends with; nothing is undone for it. */
  verdict?(inputs: Inputs, run: Pick<Run, "out" | "operation">): ProvisionError | undefined;
  /** What later forecasts want to know of this run beside its time; kept in the history. */
  figures?(inputs: Inputs, run: Pick<Run, "out" | "operation">): { readonly [key: string]: Json };
  /** What a dry run can say of the run beside its steps. */
  forecast?(inputs: Inputs, use: Use): Promise<{ readonly data: { readonly [key: string]: Json }; readonly lines: readonly string[] }>;
}

/**
 * Puts one kind of effect back. Idempotent; bears an apply that was half done or never begun; never
 * removed or changed in meaning between versions. `directory` is the operation's, with `before/` in it.
 */
export type UndoKinds = Readonly<Record<string, (undo: Undo, directory: string) => Promise<void>>>;

/** What the engine needs of the world it changes. */
export interface World {
  readonly undo: UndoKinds;
  /** Copies a file to the local path `to` (0600); false when there is no file. */
  copyBefore(before: Before, to: string): Promise<boolean>;
}
