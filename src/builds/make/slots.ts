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

/** @throws ProvisionError STOPPED */
export function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new ProvisionError("STOPPED", "the build was stopped");
}
