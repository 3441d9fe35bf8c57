import type { ProvisionError } from "../core/errors.js";
import type { Emit, Event, Reporter, Subject } from "../core/events.js";
import { type Result, resultOf, resultsOf } from "../core/result.js";
import type { Stop } from "../core/stop.js";

export type Format = "table" | "json" | "yaml";

/** Options that every command takes, as parsed. */
export interface CommonOptions {
  readonly hub: string | undefined;
  readonly dryRun: boolean;
  readonly exitCode: boolean;
  readonly yes: boolean;
  readonly interactive: boolean;
  /** Milliseconds to wait for a busy lock. */
  readonly lockWait: number;
}

/** One run of the command line: what it says, to whom, and what it ends with. */
export class Session {
  readonly common: CommonOptions;
  readonly stop: Stop;
  readonly version: string;
  readonly #reporter: Reporter;
  readonly #results: Result[] = [];
  #several = false;
  #order: readonly string[] | undefined;

  constructor(common: CommonOptions, reporter: Reporter, stop: Stop, version: string) {
    this.common = common;
    this.#reporter = reporter;
    this.stop = stop;
    this.version = version;
  }

  /** From here on the document is `provision/results@1`, whatever the number of targets. */
  severalTargets(): void {
    this.#several = true;
  }

  /** From here on several targets are worked on at a time: what is said of one is drawn in one piece, when it is done. */
  atOnce(targets: readonly string[]): void {
    this.#order = targets;
  }

  /** Runs one command on one target; every event is drawn and becomes part of the result. */
  async subject(subject: Subject, action: (emit: Emit) => Promise<void>): Promise<Result> {
    const events: Event[] = [];
    const draw = this.#order ? undefined : this.#reporter.begin(subject);
    const emit: Emit = (event) => {
      events.push(event);
      draw?.(event);
    };
    await action(emit);
    if (this.#order) events.forEach(this.#reporter.begin(subject));
    const result = resultOf(subject, events);
    this.#results.push(result);
    if (this.#order) this.#results.sort((a, b) => this.#place(a) - this.#place(b));
    return result;
  }

  #place({ target }: Result): number {
    return this.#order?.indexOf(target ?? "") ?? 0;
  }

  /** What an error ends with: what was stopped ends as the signal or time-out that stopped it says. */
  exitOf(error: ProvisionError): number {
    return error.code === "STOPPED" && this.stop.reason ? this.stop.reason.exit : error.exit;
  }

  /** Answers a question: data for machines, lines for people. */
  async answer(subject: Subject, data: Extract<Event, { type: "data" }>["data"], lines: readonly string[], exit?: number): Promise<void> {
    const begun = Date.now();
    await this.subject(subject, async (emit) => {
      emit({ type: "data", data });
      emit({ type: "text", lines });
      emit({ type: "ended", ms: Date.now() - begun, ...(exit === undefined ? {} : { exit }) });
    });
  }

  /** The document of everything that was done; undefined when nothing was. */
  get document(): Result | ReturnType<typeof resultsOf> | undefined {
    if (this.#several || this.#results.length > 1) return resultsOf(this.#results);
    return this.#results[0];
  }

  get exit(): number {
    const document = this.document;
    if (document === undefined) return 0;
    const changes = this.#results.some((result) => result.outcome === "would_change");
    return document.exit === 0 && this.common.dryRun && this.common.exitCode && changes ? 2 : document.exit;
  }
}
