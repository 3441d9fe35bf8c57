import { inspect } from "node:util";

/** A value that must never reach argv, a log, a journal, a message or an alias file: every printing of it shows `***`. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself. Call it only where it is handed to the program, file or request that needs it. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return "***";
  }

  toJSON(): string {
    return "***";
  }

  [inspect.custom](): string {
    return "***";
  }
}

export function reveal(value: string | Secret): string {
  return typeof value === "string" ? value : value.reveal();
}
