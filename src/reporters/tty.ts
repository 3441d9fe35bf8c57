import type { Listr, ListrTask } from "listr2";
import type { Emit, Event, Reporter, Subject } from "../core/events.js";
import { resultOf } from "../core/result.js";
import type { Streams } from "./plain.js";
import { chalkFor, countLine, errorLines, type Look, stepLines, subjectText } from "./text.js";

interface Deferred {
  readonly promise: Promise<void>;
  settle(error?: Error): void;
}

function deferred(): Deferred {
  let settle: Deferred["settle"] = () => {};
  const promise = new Promise<void>((resolve, reject) => {
    settle = (error) => (error ? reject(error) : resolve());
  });
  promise.catch(() => {});
  return { promise, settle };
}

/**
 * For a terminal: a live list of the steps (listr2 draws, the engine runs). Each drawn task waits for what the
 * engine says of its step. What was said beside the steps is written when the list stands still, since
 * listr2 would draw over it.
 */
export class TtyReporter implements Reporter {
  readonly #streams: Streams;
  readonly #look: Look;
  #drawing: Promise<void> = Promise.resolve();

  constructor(streams: Streams, look: Look) {
    this.#streams = streams;
    this.#look = look;
  }

  begin(subject: Subject): Emit {
    const events: Event[] = [];
    const later: string[] = [];
    let list: LiveList | undefined;
    return (event) => {
      events.push(event);
      switch (event.type) {
        case "planned":
          if (this.#look.verbosity >= 0) {
            list = new LiveList(event.steps, this.#look);
            const drawn = list.draw();
            this.#drawing = this.#drawing.then(() => drawn);
          }
          return;
        case "started":
          list?.started(event.step);
          return;
        case "progress":
          list?.progress(event.message);
          return;
        case "finished":
          if (event.outcome === "undone") later.push(...stepLines(event, this.#look));
          else list?.finished(event);
          return;
        case "note":
          if (this.#look.verbosity >= 0) later.push(event.message);
          return;
        case "warning":
          if (this.#look.verbosity >= 0) later.push(chalkFor(this.#look).yellow(`! ${event.message}`));
          return;
        case "undoing":
          later.push(`↶ ${subjectText(subject)} failed; rolling back`);
          return;
        case "failed":
          later.push(...errorLines(subject, event.error, events, this.#look));
          return;
        case "text":
          this.#after(() => this.#streams.out(event.lines.map((line) => `${line}\n`).join("")));
          return;
        case "ended":
          list?.close();
          if (list && this.#look.verbosity >= 0) later.push(countLine(subject, resultOf(subject, events), event.ms));
          this.#after(() => this.#streams.err(later.map((line) => `${line}\n`).join("")));
          return;
        default:
          return;
      }
    };
  }

  end(): Promise<void> {
    return this.#drawing;
  }

  #after(write: () => void): void {
    this.#drawing = this.#drawing.then(write);
  }
}

/** The steps of one operation as a listr2 list whose tasks wait for what the engine says. */
class LiveList {
  readonly #steps: readonly { readonly id: string; readonly title: string }[];
  readonly #look: Look;
  readonly #ends = new Map<string, Deferred>();
  readonly #outcomes = new Map<string, Extract<Event, { type: "finished" }>>();
  #running: { output: string } | undefined;
  #current: string | undefined;

  constructor(steps: readonly { readonly id: string; readonly title: string }[], look: Look) {
    this.#steps = steps;
    this.#look = look;
    for (const { id } of steps) this.#ends.set(id, deferred());
  }

  async draw(): Promise<void> {
    const { Listr, ListrLogger, ProcessOutput } = await import("listr2");
    const tasks: ListrTask[] = this.#steps.map(({ id, title }) => ({
      title,
      task: async (_context, task) => {
        if (this.#current === id) this.#running = task;
        const end = this.#ends.get(id);
        await end?.promise;
        const outcome = this.#outcomes.get(id);
        if (outcome === undefined) task.skip(title);
        else if (outcome.outcome === "ok") task.title = chalkFor(this.#look).dim(`${title} (already so)`);
        else task.title = [title, ...outcome.changes.map((change) => chalkFor(this.#look).dim(`  ${change}`))].join("\n");
      },
    }));
    const list: Listr = new Listr(tasks, {
      concurrent: false,
      exitOnError: true,
      collectErrors: false,
      // Drawn on standard error: standard output is for data.
      rendererOptions: {
        collapseErrors: false,
        collapseSkips: false,
        suffixSkips: false,
        logger: new ListrLogger({ useIcons: false, processOutput: new ProcessOutput(process.stderr, process.stderr) }),
      },
      forceTTY: true,
      // Signals are ours: the engine decides what ends when.
      registerSignalListeners: false,
    });
    await list.run().catch(() => {});
  }

  started(step: string): void {
    this.#current = step;
  }

  progress(message: string): void {
    if (this.#running) this.#running.output = message;
  }

  finished(event: Extract<Event, { type: "finished" }>): void {
    this.#outcomes.set(event.step, event);
    const end = this.#ends.get(event.step);
    if (event.outcome === "failed") end?.settle(new Error(`${event.title}: ${event.changes[0] ?? "failed"}`));
    else end?.settle();
  }

  /** What was not reached is drawn as skipped. */
  close(): void {
    for (const end of this.#ends.values()) end.settle();
  }
}
