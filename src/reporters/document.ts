import type { Emit, Reporter } from "../core/events.js";

/**
 * For machines: says nothing while it runs; the one document is written at the end by main, from the
 * same events, whatever became of the command.
 */
export class DocumentReporter implements Reporter {
  begin(): Emit {
    return () => {};
  }

  async end(): Promise<void> {}
}
