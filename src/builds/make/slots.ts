import { setImmediate } from "node:timers/promises";
import { ProvisionError } from "../../core/errors.js";

/** At most `count` pieces of work at a time; the others wait in order. */
export class Slots {
  readonly #waiting: (() => void)[] = [];
  readonly #signal: AbortSignal | undefined;
  #free: number;

  constructor(count: number, signal?: AbortSignal) {
    this.#free = Math.max(1, Math.floor(count));
    this.#signal = signal;
  }

  /** Work inside must not ask for another slot of the same queue: it could wait for itself. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      stopIfAborted(this.#signal);
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

/** Milliseconds that one piece of work may keep all others of this process waiting. */
const TURN = 10;

/**
 * For work on many small files: each system call through Node's pool of threads takes several times longer than the call
 * itself, so it is done in place, and between two files `if (turn.over) await turn.pass()` lets others have theirs.
 */
export class Turn {
  readonly #signal: AbortSignal | undefined;
  #begun = Date.now();

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  get over(): boolean {
    return Date.now() - this.#begun >= TURN;
  }

  /** @throws ProvisionError STOPPED */
  async pass(): Promise<void> {
    await setImmediate();
    stopIfAborted(this.#signal);
    this.#begun = Date.now();
  }
}

/** @throws ProvisionError STOPPED */
export function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new ProvisionError("STOPPED", "the build was stopped");
}
