import type { HeldLocks } from "./lock.js";

/**
 * What every program started for one operation shares: the lock descriptors it inherits (so that a
 * lock is free only when the last program that changes something is gone) and the signals that end it.
 * The engine sets `signal` step by step; hosts read it when they start a program.
 */
export class Scope {
  /** Open lock files; children get them from descriptor 4 on (3 is the PHP bridge's). */
  descriptors: readonly number[] = [];
  /** Ends running programs in order: TERM to the group, KILL ten seconds later. */
  signal: AbortSignal | undefined;
  /** Ends them at once with KILL; set when the user asked a second time. */
  kill: AbortSignal | undefined;
  /** Keeps what programs of the running step print; only while an operation has a journal. */
  keepOutput: ((text: string) => void) | undefined;
  readonly #released = new Set<() => void>();
  readonly #whole: Scope | undefined;
  #held: HeldLocks | undefined;

  /** `whole`: of the operation that this one is part of. Its locks are this one's too, and are given back with its own. */
  constructor(whole?: Scope) {
    this.#whole = whole;
  }

  /** The locks that are held: a machine reached over SSH holds the same ones for as long. */
  get held(): HeldLocks | undefined {
    return this.#whole?.held ?? this.#held;
  }

  /** The locks of the operation, from now on; undefined: none any more. */
  hold(held: HeldLocks | undefined): void {
    this.descriptors = held?.descriptors ?? [];
    this.#held = held;
    if (held !== undefined) return;
    for (const action of this.#released) action();
    this.#released.clear();
  }

  /** `action` is called once, when the locks are not held any more. */
  whenReleased(action: () => void): void {
    if (this.#whole?.held !== undefined) this.#whole.whenReleased(action);
    else this.#released.add(action);
  }
}
