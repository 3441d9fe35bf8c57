import { pipeline } from "node:stream/promises";
import { lastLines } from "./ending.js";
import type { Argv, Host, Outcome } from "./host.js";
import { HostError } from "./host.js";

export interface SyncOptions {
  /** What is not in the first tree goes from the second, at the end; what is excluded stays. */
  readonly delete?: boolean;
  /** Patterns of rsync, `/sites/*` from the tree's top. */
  readonly exclude?: readonly string[];
  /** Nothing is changed; the answer says what would be. */
  readonly dryRun?: boolean;
  /** Compares contents, not only size and time. */
  readonly checksum?: boolean;
  /** What is there stays as it is: all of it, or what is newer than what would be copied. */
  readonly keep?: "existing" | "newer";
  /** Owners, groups and modes are those that new files get there, and stay what they are. */
  readonly plain?: boolean;
  /** Files may go while they are read: the site is live. */
  readonly live?: boolean;
  /** Milliseconds. */
  readonly timeout?: number;
}

/** Entries that differ: files, links and directories. One whose directory alone has another time is none. */
export interface TreeChanges {
  readonly created: number;
  readonly updated: number;
  readonly deleted: number;
  /** The first of them, each with what happens to it: `create a/b`. */
  readonly sample: readonly string[];
}

const SAMPLE = 20;
/** In front of what changes, among what rsync complains of. */
const CHANGE = "provision-change ";

/**
 * What rsync starts instead of ssh: it hands over what shall run on the other side, NUL-separated and ended by an empty
 * word, and is a pipe from then on. Its own input is descriptor 6 since the shell gives none to what runs beside it.
 */
const BRIDGE = 'shift; exec 6<&0; { printf "%s\\0" "$@"; printf "\\0"; exec cat <&6; } >&5 & exec cat <&4';

/**
 * Makes the tree `to` as `from` is, with modes, links and times, by the programs rsync of both machines. To, from and
 * between remote machines it goes through the connections that are there already: one login, one host key policy. Files
 * appear together at the end. Both paths are directories; `to` is made when it is not there, its parent is.
 */
export async function syncTree(from: Host, source: string, to: Host, target: string, options: SyncOptions = {}): Promise<TreeChanges> {
  const rsync = [
    ...["rsync", "-a", "-s", "--delay-updates", `--out-format=${CHANGE}%i %n`],
    ...(options.delete ? ["--delete-delay"] : []),
    ...(options.dryRun ? ["-n"] : []),
    ...(options.checksum ? ["--checksum"] : []),
    ...(options.keep === undefined ? [] : [options.keep === "newer" ? "--update" : "--ignore-existing"]),
    ...(options.plain ? ["--no-perms", "--no-owner", "--no-group", "--omit-dir-times"] : []),
    ...(options.exclude ?? []).map((pattern) => `--exclude=${pattern}`),
  ];
  const time = options.timeout === undefined ? {} : { timeout: options.timeout };
  const said =
    from.name === to.name
      ? await within(from, [...rsync, "--", inside(source), target], time)
      : await across(from, to, rsync, source, target, time);
  const { stderr, outcomes } = said;
  const vanished = options.live === true && outcomes.some(({ code }) => code === 24);
  for (const outcome of outcomes) if (outcome.failure?.reached === "unknown") throw outcome.failure;
  for (const outcome of outcomes) if (outcome.failure) throw outcome.failure;
  const bad = outcomes.find(({ code }) => code !== 0);
  if (bad && !vanished) throw failed(from, to, target, stderr, outcomes);
  return changesIn(stderr);
}

interface Said {
  readonly stderr: string;
  readonly outcomes: readonly Outcome[];
}

async function within(host: Host, argv: readonly string[], time: { timeout?: number }): Promise<Said> {
  let stderr = "";
  const { ended } = await host.chain([["sh", "-c", 'exec "$@" >&2', "sh", ...argv]], {
    ...time,
    onStderr: (text) => {
      stderr += text;
    },
  });
  const outcomes = await ended;
  return { stderr, outcomes };
}

/** One side is asked to be the client, whose words for the other come on its standard input and output. */
async function across(
  from: Host,
  to: Host,
  rsync: readonly string[],
  source: string,
  target: string,
  time: { timeout?: number },
): Promise<Said> {
  // The one that is here; else the one that has the tree.
  const push = to.name !== "local";
  const [client, server] = push ? [from, to] : [to, from];
  const paths = push ? [inside(source), `other:${target}`] : [`other:${inside(source)}`, target];
  const argv: Argv = [
    "sh",
    "-c",
    'exec 4<&0 5>&1 </dev/null >&2; exec "$@"',
    "sh",
    ...rsync,
    // The bridge's programs cannot be asked to come again.
    "--blocking-io",
    // Double quotes are kept together by rsync, and a doubled one is one.
    `--rsh=sh -c "${BRIDGE.replaceAll('"', '""')}" sh`,
    "--",
    ...paths,
  ];
  let said = "";
  const onStderr = (text: string) => {
    said += text;
  };
  const near = await client.chain([argv], { ...time, input: true, output: true, onStderr });
  const output = near.output as NonNullable<typeof near.output>;
  const words = await firstWords(output);
  if (words === undefined) {
    output.resume();
    return { stderr: said, outcomes: await near.ended };
  }
  let far: Awaited<ReturnType<Host["chain"]>>;
  try {
    far = await server.chain([words.argv as unknown as Argv], { ...time, input: true, output: true });
  } catch (error) {
    near.end();
    await near.ended;
    throw error;
  }
  if (words.rest.length > 0) output.unshift(words.rest);
  const flows = [
    pipeline(output, far.input as NonNullable<typeof far.input>).catch(() => undefined),
    pipeline(far.output as NonNullable<typeof far.output>, near.input as NonNullable<typeof near.input>).catch(() => undefined),
  ];
  // The other side cannot go on alone.
  void near.ended.then(([outcome]) => outcome?.failure && far.end());
  void far.ended.then(([outcome]) => {
    if (outcome?.failure) near.end();
    // What still comes for it goes nowhere: it may have ended before the two were connected.
    output.resume();
  });
  const [[nearEnd], [farEnd]] = await Promise.all([near.ended, far.ended]);
  for (const stream of [output, far.output]) stream?.destroy();
  await Promise.all(flows);
  const outcomes = [nearEnd, farEnd].filter((outcome): outcome is Outcome => outcome !== undefined);
  return { stderr: said, outcomes };
}

/** What the bridge says shall run, and the bytes after it; undefined when rsync ended before. */
async function firstWords(output: NodeJS.ReadableStream): Promise<{ argv: readonly string[]; rest: Buffer } | undefined> {
  let bytes = Buffer.alloc(0);
  return new Promise((resolve) => {
    const stop = (found: { argv: readonly string[]; rest: Buffer } | undefined) => {
      output.off("data", hear);
      output.off("end", none);
      output.off("close", none);
      output.pause();
      resolve(found);
    };
    const none = () => stop(undefined);
    const hear = (chunk: Buffer | string) => {
      bytes = Buffer.concat([bytes, Buffer.from(chunk)]);
      const end = bytes.indexOf("\0\0");
      if (end >= 0) stop({ argv: bytes.subarray(0, end).toString().split("\0"), rest: bytes.subarray(end + 2) });
    };
    output.on("data", hear);
    output.once("end", none);
    output.once("close", none);
  });
}

/** Its contents, not the directory itself. */
function inside(path: string): string {
  return path.endsWith("/") ? path : `${path}/`;
}

function changesIn(text: string): TreeChanges {
  const counts = { created: 0, updated: 0, deleted: 0 };
  const sample: string[] = [];
  for (const line of text.split("\n")) {
    if (!line.startsWith(CHANGE)) continue;
    const at = line.indexOf(" ", CHANGE.length);
    const [what, name] = [line.slice(CHANGE.length, at), line.slice(at + 1).trimStart()];
    const kind = what.startsWith("*deleting")
      ? "deleted"
      : what.includes("+++")
        ? "created"
        : /^\.d\.\.t\.+$/.test(what)
          ? undefined
          : "updated";
    if (kind === undefined) continue;
    counts[kind]++;
    if (sample.length < SAMPLE) sample.push(`${kind.slice(0, -1)} ${name}`);
  }
  return { ...counts, sample };
}

function failed(from: Host, to: Host, target: string, stderr: string, outcomes: readonly Outcome[]): HostError {
  const words = stderr
    .split("\n")
    .filter((line) => !line.startsWith(CHANGE))
    .concat(...outcomes.slice(1).map((outcome) => outcome.stderr.split("\n")))
    .join("\n");
  const timedOut = outcomes.some((outcome) => outcome.timedOut);
  const code = timedOut ? "TIMED_OUT" : /no space left on device|disk quota exceeded/i.test(words) ? "DISK_FULL" : "COMMAND_FAILED";
  const exitCode = outcomes.find((outcome) => outcome.code !== 0)?.code;
  const where = from.name === to.name ? `${to.name}: ` : `${from.name} → ${to.name}: `;
  return new HostError(code, `${where}rsync could not make ${target} as it shall be`, {
    why: lastLines(words),
    ...(typeof exitCode === "number" ? { exitCode } : {}),
  });
}
