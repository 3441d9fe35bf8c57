import { isSystemError, messageOf, ProvisionError } from "../../core/errors.js";

export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly why: readonly string[];
}

/** What went wrong with single entries, while the others go on, so that all that is wrong is told at once. */
export class Failures {
  readonly list: Failure[] = [];
  readonly #why: (error: ProvisionError) => Promise<readonly string[]>;

  /** `why` adds reasons that the error itself cannot know. */
  constructor(why: (error: ProvisionError) => Promise<readonly string[]>) {
    this.#why = why;
  }

  get any(): boolean {
    return this.list.length > 0;
  }

  /** A failure goes into the list; only bugs and verdicts over the whole build pass. */
  async guarded<T>(name: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ProvisionError)
        this.list.push({ name, message: error.message, why: [...(await this.#why(error)), ...error.why] });
      else if (isSystemError(error)) this.list.push({ name, message: systemMessage(error), why: [] });
      else throw error;
      return undefined;
    }
  }
}

function systemMessage(error: NodeJS.ErrnoException): string {
  return error.code === "ENOSPC" || error.code === "EDQUOT" ? "no space left on the disk" : messageOf(error);
}

export function failureLine({ name, message, why }: Failure): string {
  return `${name}: ${message}${why.length > 0 ? ` (${why.join("; ")})` : ""}`;
}
