import { setMaxListeners } from "node:events";
import { EXIT } from "./errors.js";

export interface StopReason {
  readonly label: string;
  readonly exit: number;
}

export const STOP_REASONS = {
  SIGHUP: { label: "SIGHUP", exit: EXIT.SIGHUP },
  SIGINT: { label: "SIGINT", exit: EXIT.SIGINT },
  SIGTERM: { label: "SIGTERM", exit: EXIT.SIGTERM },
  TIMEOUT: { label: "the time-out", exit: EXIT.TIMED_OUT },
} as const satisfies Record<string, StopReason>;

/** Asked once: end the running program, undo, stop. Asked again: stop now, the journal stays. */
export class Stop {
  readonly #soft = new AbortController();
  readonly #hard = new AbortController();
  #reason: StopReason | undefined;

  constructor() {
    heardByMany(this.signal);
    heardByMany(this.now);
  }

  ask(reason: StopReason): void {
    if (this.#reason === undefined) {
      this.#reason = reason;
      this.#soft.abort();
    } else this.#hard.abort();
  }

  get reason(): StopReason | undefined {
    return this.#reason;
  }
  get signal(): AbortSignal {
    return this.#soft.signal;
  }
  /** Aborted when it was asked a second time. */
  get now(): AbortSignal {
    return this.#hard.signal;
  }
}

/** All programs of steps that are applied at the same time listen to it: of more than ten Node would warn the operator. */
export function heardByMany(signal: AbortSignal): AbortSignal {
  setMaxListeners(0, signal);
  return signal;
}
