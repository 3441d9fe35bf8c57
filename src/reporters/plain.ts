import type { Emit, Event, Reporter, Subject } from "../core/events.js";
import { resultOf } from "../core/result.js";
import { countLine, errorLines, type Look, stepLines, subjectText } from "./text.js";

export interface Streams {
  /** Data. */
  out(text: string): void;
  /** Everything else. */
  err(text: string): void;
}

/** For pipes, logs and cron: one line per outcome, no cursor codes. */
export class PlainReporter implements Reporter {
  readonly #streams: Streams;
  readonly #look: Look;

  constructor(streams: Streams, look: Look) {
    this.#streams = streams;
    this.#look = look;
  }

  begin(subject: Subject): Emit {
    const events: Event[] = [];
    return (event) => {
      events.push(event);
      for (const line of this.#lines(subject, event, events)) this.#streams.err(`${line}\n`);
      if (event.type === "text") for (const line of event.lines) this.#streams.out(`${line}\n`);
    };
  }

  async end(): Promise<void> {}

  #lines(subject: Subject, event: Event, events: readonly Event[]): readonly string[] {
    const look = this.#look;
    switch (event.type) {
      case "finished":
        return stepLines(event, look);
      case "progress":
        return look.verbosity >= 1 ? [`  … ${event.message}`] : [];
      case "note":
        return look.verbosity < 0 ? [] : [event.message];
      case "warning":
        return look.verbosity < 0 ? [] : [`! ${event.message}`];
      case "undoing":
        return look.verbosity < 0 ? [] : [`↶ ${subjectText(subject)} failed (${event.cause.message}); rolling back`];
      case "failed":
        return errorLines(subject, event.error, events, look);
      case "ended": {
        const planned = events.some(({ type }) => type === "planned" || type === "finished");
        return planned && look.verbosity >= 0 ? [countLine(subject, resultOf(subject, events), event.ms)] : [];
      }
      default:
        return [];
    }
  }
}
