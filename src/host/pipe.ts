import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ProvisionError } from "../core/errors.js";
import type { Secret } from "../core/secret.js";
import { judge } from "./ending.js";
import type { Argv, Chain, Host, PipeOptions } from "./host.js";

export interface PipeBetweenOptions extends Omit<PipeOptions, "through"> {
  /** Programs after the first, on its machine, in order: what they make of it goes over the link. */
  readonly fromThrough?: readonly Argv[];
  /** Programs before the last, on its machine, in order. */
  readonly toThrough?: readonly Argv[];
  /** What the first program finds on its standard input, which is otherwise empty; between two machines only. */
  readonly input?: Secret | undefined;
  /** Most bytes that are taken over the link; between two machines only. Of one more nothing is read: REFUSED. */
  readonly most?: number | undefined;
}

/**
 * The standard output of a program on one machine into the standard input of one on another. Between two machines that are
 * both remote the bytes go through this one, never more of them than the slower end takes. All programs must end with 0;
 * rejects as `Host.pipe` does, with `reached: "unknown"` when a link was lost. Within one machine the bytes stay there.
 */
export async function pipeBetween(from: Host, source: Argv, to: Host, sink: Argv, options: PipeBetweenOptions = {}): Promise<void> {
  const { fromThrough = [], toThrough = [], fromExits, secretFiles, onOutput, onStderr, input, most, ...both } = options;
  if (from.name === to.name) return from.pipe(source, sink, { ...pipeOptions(options), through: [...fromThrough, ...toThrough] });
  // The reader first: what cannot be read is not begun.
  const right = await to.chain([...toThrough, sink], {
    ...both,
    ...(onOutput ? { onOutput } : {}),
    input: true,
    secretFiles: toThrough.length === 0 ? { from: secretFiles?.to } : { to: secretFiles?.to },
  });
  let left: Chain;
  try {
    left = await from.chain([source, ...fromThrough], {
      ...both,
      ...(onStderr ? { onStderr } : {}),
      output: true,
      ...(input === undefined ? {} : { input: true }),
      secretFiles: { from: secretFiles?.from },
    });
  } catch (error) {
    right.end();
    await right.ended;
    throw error;
  }
  // A program that ends without having read it says itself why.
  left.input?.on("error", () => undefined).end(input?.reveal());
  const limit = most === undefined ? undefined : new Limit(most);
  await connected(left, right, limit);
  const [before, after] = await Promise.all([left.ended, right.ended]);
  if (limit?.exceeded)
    throw new ProvisionError(
      "REFUSED",
      `${from.name}: ${source[0]} wrote more than the ${Math.floor(limit.most / 1024 ** 2)} MiB that were let through`,
    );
  judge([...before, ...after], fromExits);
}

/** Milliseconds for a writer to end by itself when its reader has. */
const PATIENCE = 10_000;

/** Until nothing more comes, or nobody reads any more; then the other end is ended, too, unless it ends by itself. */
async function connected(left: Chain, right: Chain, limit: Limit | undefined): Promise<void> {
  let whole = false;
  const [output, input] = [left.output as NonNullable<Chain["output"]>, right.input as NonNullable<Chain["input"]>];
  const flow = (limit === undefined ? pipeline(output, input) : pipeline(output, limit, input)).then(
    () => {
      whole = true;
    },
    () => undefined,
  );
  const broken = left.ended.then((outcomes) => {
    // What came is not all: the reader shall not take it for that.
    if (outcomes.some(({ failure }) => failure)) right.end();
  });
  const unread = right.ended.then((outcomes) => {
    if (whole) return;
    if (outcomes.some(({ code }) => code !== 0)) left.end();
    else {
      // It has read all that it wants: tar does not wait for more than the end of an archive. A writer that has written all is about to end, and one that
      // goes on is told that nobody reads, as within one machine.
      const timer = setTimeout(() => left.end(), PATIENCE);
      void left.ended.then(() => clearTimeout(timer));
    }
    // A reader that was over before the two were connected is none that breaks: what is written for it would wait for ever, and its writer with it.
    output.destroy();
  });
  await Promise.race([flow, Promise.all([broken, unread])]);
}

/** Lets so many bytes through, and breaks the pipe at the next. */
class Limit extends Transform {
  readonly most: number;
  exceeded = false;
  #bytes = 0;

  constructor(most: number) {
    super();
    this.most = most;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: (error: Error | null, chunk?: Buffer) => void): void {
    this.#bytes += chunk.length;
    this.exceeded = this.#bytes > this.most;
    if (this.exceeded) done(new Error("too much"));
    else done(null, chunk);
  }
}

function pipeOptions({ fromThrough: _from, toThrough: _to, input: _input, most: _most, ...rest }: PipeBetweenOptions): PipeOptions {
  return rest;
}
