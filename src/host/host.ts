import { basename, dirname, join } from "node:path";
import type { Duplex, Readable, Writable } from "node:stream";
import { type ErrorCode, type ErrorDetails, ProvisionError } from "../core/errors.js";
import type { Secret } from "../core/secret.js";

/** One program and its arguments; never a shell string. */
export type Argv = readonly [program: string, ...args: string[]];

export interface RunOptions {
  /** Working directory, absolute. */
  readonly cwd?: string;
  /** Added to the inherited environment; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | Secret | undefined>>;
  /** Given on standard input, which is otherwise empty. */
  readonly input?: string | Buffer | Secret;
  /** Milliseconds after which the program's process group is ended. */
  readonly timeout?: number;
  /** Also collect what the program writes to descriptor 3 (the PHP bridge's document). */
  readonly document?: true;
  /** What the program finds in the file SECRET_FILE, which nobody else can open: passwords of database clients. Not with `document`. */
  readonly secretFile?: Secret;
  /** Return any exit code in the result instead of rejecting with COMMAND_FAILED. A signal still rejects. */
  readonly anyExit?: true;
  /** Called with each chunk of standard error as it comes. */
  readonly onStderr?: (text: string) => void;
}

/** Where a daemon takes connections: a TCP port (of 127.0.0.1 without `address`), or the path of a Unix socket. */
export type Listener = { readonly port: number; readonly address?: string } | { readonly socket: string };

/** The path by which a program opens its `secretFile`, as often as it likes. */
export const SECRET_FILE = "/dev/fd/3";

export interface PipeOptions extends Omit<RunOptions, "input" | "document" | "secretFile" | "anyExit"> {
  /** Programs between the two ends, in order. */
  readonly through?: readonly Argv[];
  /** Exit codes of the first program that are no failure beside 0: tar ends with 1 when a file changed while it was read. */
  readonly fromExits?: readonly number[];
  /** Called with each chunk of the first program's standard error as it comes. */
  readonly onStderr?: (text: string) => void;
  /** Called with each chunk of the last program's standard output, which goes nowhere without it. */
  readonly onOutput?: (text: string) => void;
  /** The `secretFile` of each end. */
  readonly secretFiles?: { readonly from?: Secret | undefined; readonly to?: Secret | undefined };
}

/** Programs that run one into the next, whose outer ends somebody else has. */
export interface ChainOptions extends Pick<PipeOptions, "cwd" | "env" | "timeout" | "onStderr" | "onOutput" | "secretFiles"> {
  /** The first reads what is written to `Chain.input`; it finds nothing otherwise. */
  readonly input?: true;
  /** What the last writes comes from `Chain.output`; else it goes to `onOutput`, or nowhere. */
  readonly output?: true;
}

export interface Chain {
  readonly input: Writable | undefined;
  readonly output: Readable | undefined;
  /** Of each program, in order, when all are over. Never rejects. */
  readonly ended: Promise<readonly Outcome[]>;
  /** Ends all of them in order: TERM, KILL ten seconds later. */
  end(): void;
}

/** How one program of a chain ended. */
export interface Outcome {
  readonly host: string;
  readonly argv: Argv;
  readonly code: number | null;
  readonly signal: string | null;
  readonly stderr: string;
  /** When it ended, beside the others of any host: milliseconds of this process's clock. */
  readonly order: number;
  readonly timedOut: boolean;
  /** It never began, or nobody knows how it ended. */
  readonly failure?: HostError;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What came on descriptor 3; empty when not asked for. */
  readonly document: string;
}

export interface FileStat {
  readonly type: "file" | "directory" | "link" | "other";
  /** Bytes. */
  readonly size: number;
  /** Permission bits, at most 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Milliseconds since the epoch. */
  readonly mtime: number;
}

export interface Ownership {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * A machine we can look at and change. Every implementation passes test/contract/host.test.ts.
 *
 * Paths are absolute. Absent is a value (`undefined`), broken rejects. Rejections are
 * `ProvisionError`s whose message names host, path or program; `HostError.reached` tells a link
 * that was lost from a machine that answered.
 */
export interface Host {
  /** `local`, or the name of the server context it stands for. */
  readonly name: string;
  /** Ends with COMMAND_FAILED on any exit but 0 (unless `anyExit`), on a signal, and when there is no status at all. */
  run(argv: Argv, options?: RunOptions): Promise<RunResult>;
  /** Bytes as UTF-8; `undefined` when absent. */
  readFile(path: string): Promise<string | undefined>;
  /** The bytes as they are; `undefined` when absent. */
  readBytes(path: string): Promise<Buffer | undefined>;
  /** Atomic: written beside, mode and owner set, fsynced, renamed. The directory must exist. Mode defaults to 0644. */
  writeFile(path: string, content: string | Buffer | Secret, ownership?: Ownership): Promise<void>;
  /** Of the entry itself: a link is not followed. */
  stat(path: string): Promise<FileStat | undefined>;
  /** Names in a directory, sorted; `undefined` when absent. */
  list(path: string): Promise<readonly string[] | undefined>;
  readLink(path: string): Promise<string | undefined>;
  /** The path with every link resolved; `undefined` when absent. */
  realPath(path: string): Promise<string | undefined>;
  /** Makes the directory (its parents too, at 0755) and sets the ownership given; one that stands is kept. */
  mkdir(path: string, ownership?: Ownership): Promise<void>;
  chmod(path: string, ownership: Ownership): Promise<void>;
  /** With everything below it, also when directories below lack the write bit; absent is fine. */
  remove(path: string): Promise<void>;
  /** Removes a directory that is empty; false, and untouched, when there is none or something is in it. */
  removeEmpty(path: string): Promise<boolean>;
  /** Replaces what stands at `to` when that is a file, a link or an empty directory. Same file system. */
  rename(from: string, to: string): Promise<void>;
  /** Two entries of one file system take each other's place, so that there is no moment without either. */
  exchange(a: string, b: string): Promise<void>;
  /** Atomic: made beside, renamed over a link or file that stands there. */
  symlink(target: string, path: string): Promise<void>;
  /** Copies a local tree (modes, links and times kept) to a directory that does not exist yet. */
  uploadTree(from: string, to: string): Promise<void>;
  /** The standard output of one program into the standard input of another (and of those between); all must end with 0. */
  pipe(from: Argv, to: Argv, options?: PipeOptions): Promise<void>;
  /** Starts programs that run one into the next, whose outer ends are connected to something else (`pipeBetween`, `syncTree`). */
  chain(programs: readonly Argv[], options?: ChainOptions): Promise<Chain>;
  /** Keeps what a program printed with the operation that is under way, for `operations log`; nothing when there is none. No secrets. */
  keepOutput(text: string): void;
  /** Bytes free to this user on the file system of the path or its nearest existing parent. */
  freeSpace(path: string): Promise<number>;
  /** Whether something accepts TCP connections there, seen from this host. */
  connect(port: number, address?: string): Promise<boolean>;
  /**
   * A connection from this host to a port or a Unix socket of it; rejects when nobody listens there. Whoever asked for it ends it. It breaks with a
   * HostError (`errored` of the stream, too) when the host is lost meanwhile.
   */
  dial(to: Listener): Promise<Duplex>;
}

/**
 * Where a file or link is made before it is renamed into place. Always the same for a path, so that what a kill
 * leaves there is replaced by the next write and found by an undo. One writer at a time, by the locks.
 */
export function besidePath(path: string): string {
  return join(dirname(path), `.${basename(path)}.provision-new`);
}

/** renameat2(2) with RENAME_EXCHANGE, for which Node has no call: its number on this machine, and both paths as they are (AT_FDCWD). */
export const EXCHANGE = `
my %numbers = ("x86_64" => 316, "aarch64" => 276, "riscv64" => 276, "ppc64le" => 357, "s390x" => 347, "i686" => 353, "armv7l" => 382);
require POSIX;
my $number = $numbers{(POSIX::uname())[4]} or die "this machine's renameat2 is not known\\n";
my ($from, $to) = @ARGV;
syscall($number, -100, $from, -100, $to, 2) == 0 or die "$!\\n";
`;

/** Whether a machine was reached: after `unknown` nobody can tell what the program has done there. */
export type Reached = "no" | "yes" | "unknown";

export class HostError extends ProvisionError {
  readonly reached: Reached;
  /** Exit code of the program; undefined when it never started, was ended by a signal or left no status. */
  readonly exitCode: number | undefined;
  /** The machine to which there is no connection, when that is what failed. */
  readonly machine: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails & { reached?: Reached; exitCode?: number; machine?: string } = {}) {
    super(code, message, details);
    this.name = "HostError";
    this.reached = details.reached ?? "yes";
    this.exitCode = details.exitCode;
    this.machine = details.machine;
  }
}

/**
 * The machine was not reached, or lets nobody in, or was lost meanwhile: what is there is not known now, which is not that it is down or gone, and
 * nothing can be put back there.
 */
export function isAway(error: unknown): error is HostError {
  return error instanceof HostError && error.reached !== "yes";
}
