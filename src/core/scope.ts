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
  /** Waits for what other operations of this run have to give back, and lets them go on meanwhile. */
  aside: <T>(waited: () => Promise<T>) => Promise<T> = (waited) => waited();
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

  /** The same for a machine that is only read: signals reach its programs, and no lock is kept there. */
  reading(): Scope {
    return Object.create(this, { held: { value: undefined }, descriptors: { value: [] } }) as Scope;
  }

  /** `action` is called once, when the locks are not held any more. */
  whenReleased(action: () => void): void {
    if (this.#whole?.held !== undefined) this.#whole.whenReleased(action);
    else this.#released.add(action);
  }
}
