import { pipeline } from "node:stream/promises";
import { judge } from "./ending.js";
import type { Argv, Chain, Host, PipeOptions } from "./host.js";

export interface PipeBetweenOptions extends Omit<PipeOptions, "through"> {
  /** Programs after the first, on its machine, in order: what they make of it goes over the link. */
  readonly fromThrough?: readonly Argv[];
  /** Programs before the last, on its machine, in order. */
  readonly toThrough?: readonly Argv[];
}

/**
 * The standard output of a program on one machine into the standard input of one on another. Between two machines that are
 * both remote the bytes go through this one, never more of them than the slower end takes. All programs must end with 0;
 * rejects as `Host.pipe` does, with `reached: "unknown"` when a link was lost. Within one machine the bytes stay there.
 */
export async function pipeBetween(from: Host, source: Argv, to: Host, sink: Argv, options: PipeBetweenOptions = {}): Promise<void> {
  const { fromThrough = [], toThrough = [], fromExits, secretFiles, onOutput, onStderr, ...both } = options;
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
      secretFiles: { from: secretFiles?.from },
    });
  } catch (error) {
    right.end();
    await right.ended;
    throw error;
  }
  await connected(left, right);
  const [before, after] = await Promise.all([left.ended, right.ended]);
  judge([...before, ...after], fromExits);
}

/** Until nothing more comes, or nobody reads any more; then the other end is ended, too, unless it ends by itself. */
async function connected(left: Chain, right: Chain): Promise<void> {
  let whole = false;
  const flow = pipeline(left.output as NonNullable<Chain["output"]>, right.input as NonNullable<Chain["input"]>).then(
    () => {
      whole = true;
    },
    () => undefined,
  );
  const broken = left.ended.then((outcomes) => {
    // What came is not all: the reader shall not take it for that.
    if (outcomes.some(({ failure }) => failure)) right.end();
  });
  const unread = right.ended.then(() => {
    if (!whole) left.end();
  });
  await Promise.race([flow, Promise.all([broken, unread])]);
}

function pipeOptions({ fromThrough: _from, toThrough: _to, ...rest }: PipeBetweenOptions): PipeOptions {
  return rest;
}
