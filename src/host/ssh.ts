import { dirname } from "node:path";
import { type Duplex, PassThrough, type Readable, type Writable } from "node:stream";
import type { ClientChannel } from "ssh2";
import { killPoint } from "../core/kill-point.js";
import type { Scope } from "../core/scope.js";
import { Secret } from "../core/secret.js";
import { judge, KEPT_STDERR, lastLines, MAX_OUTPUT, secretOf, type Watch, watch } from "./ending.js";
import type {
  Argv,
  Chain,
  ChainOptions,
  FileStat,
  Host,
  Listener,
  Outcome,
  Ownership,
  PipeOptions,
  RunOptions,
  RunResult,
} from "./host.js";
import { besidePath, EXCHANGE, HostError } from "./host.js";
import { quoted } from "./quoting.js";
import { Marked, type NotBegun, type RemoteProgram, remoteCommand } from "./remote-program.js";
import { SFTP_STATUS, type Sftp, SftpError } from "./sftp.js";
import { type Link, type SshConnections, shellRefuses } from "./ssh-connection.js";
import { type SpokeLock, takeSpokeLock } from "./ssh-lock.js";
import type { SshTarget } from "./ssh-settings.js";

/** A program that was told to end and is not heard of: the link is as good as lost. Milliseconds after KILL. */
const GIVEN_UP = 15_000;
const FILE_TYPE = 0o170000;
const DIRECTORY = 0o040000;
const TYPES: ReadonlyMap<number, FileStat["type"]> = new Map([
  [0o100000, "file"],
  [DIRECTORY, "directory"],
  [0o120000, "link"],
]);

/** A program under way on the machine. */
interface Running {
  readonly channel: ClientChannel;
  readonly argv: Argv;
  /** What it writes on standard output, from its first byte. */
  readonly output: Readable;
  readonly watched: Watch;
  /** Rejects never. */
  readonly ended: Promise<Outcome & { readonly document: string }>;
}

interface StartOptions extends Pick<RunOptions, "cwd" | "env" | "timeout" | "document" | "secretFile" | "onStderr"> {
  readonly input?: string | Buffer | Secret | undefined;
  /** Standard input stays open: somebody writes to the channel. */
  readonly open?: boolean;
  readonly stdin?: string | undefined;
  readonly stdout?: string | undefined;
}

/** A machine that is reached over SSH, as the account `script_user`: one connection for all of a run, made when it is first needed. */
export class SshHost implements Host {
  readonly name: string;
  readonly target: SshTarget;
  readonly #scope: Scope;
  readonly #connections: SshConnections;
  #released: Promise<void> | undefined;

  constructor(scope: Scope, target: SshTarget, connections: SshConnections) {
    this.name = target.name;
    this.target = target;
    this.#scope = scope;
    this.#connections = connections;
  }

  async run(argv: Argv, options: RunOptions = {}): Promise<RunResult> {
    const link = await this.#link();
    const free = await link.programs.take(1);
    try {
      const program = await this.#start(link, argv, { ...options, input: options.input });
      const chunks: Buffer[] = [];
      let size = 0;
      program.output.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_OUTPUT) program.watched.terminate();
        else chunks.push(chunk);
      });
      const outcome = await program.ended;
      killPoint();
      if (outcome.failure) throw outcome.failure;
      const stdout = Buffer.concat(chunks).toString();
      const { code, stderr, signal } = outcome;
      if (code === null)
        throw new HostError(
          outcome.timedOut ? "TIMED_OUT" : "COMMAND_FAILED",
          `${this.name}: ${argv[0]} was ended by ${signal ?? "an unknown cause"}`,
          { why: lastLines(stderr), reached: "yes" },
        );
      if (code !== 0 && options.anyExit !== true)
        throw new HostError("COMMAND_FAILED", `${this.name}: ${argv[0]} ended with exit code ${code}`, {
          why: lastLines(stderr.trim() === "" ? stdout : stderr),
          exitCode: code,
        });
      // What the program wrote on standard output came with standard error then.
      return options.document ? { code, stdout: "", stderr, document: stdout } : { code, stdout, stderr, document: "" };
    } finally {
      free();
    }
  }

  async pipe(from: Argv, to: Argv, options: PipeOptions = {}): Promise<void> {
    const { through = [], fromExits, ...rest } = options;
    const { ended } = await this.chain([from, ...through, to], rest);
    const outcomes = await ended;
    killPoint();
    judge(outcomes, fromExits);
  }

  async chain(programs: readonly Argv[], options: ChainOptions = {}): Promise<Chain> {
    const link = await this.#link();
    const free = await link.programs.take(programs.length);
    const last = programs.length - 1;
    const { cwd, env, timeout } = options;
    const running: Running[] = [];
    let pipes: string | undefined;
    try {
      // Bytes between two programs never leave the machine.
      pipes = last === 0 ? undefined : await this.#makePipes(link, last);
      for (const [index, argv] of programs.entries()) {
        const secretFile = secretOf(options, index, programs);
        running.push(
          await this.#start(link, argv, {
            ...{ cwd, env, timeout },
            ...(secretFile === undefined ? {} : { secretFile }),
            ...(index === 0 && options.onStderr ? { onStderr: options.onStderr } : {}),
            open: index === 0 && options.input === true,
            stdin: index === 0 ? undefined : `${pipes}/${index - 1}`,
            stdout: index === last ? undefined : `${pipes}/${index}`,
          } as StartOptions),
        );
      }
    } catch (error) {
      for (const { watched } of running) watched.terminate();
      await Promise.all(running.map(({ ended }) => ended));
      if (pipes !== undefined) await this.#removePipes(link, pipes);
      free();
      throw error;
    }
    const terminate = () => {
      for (const { watched } of running) watched.terminate();
    };
    const [first, final] = [running[0] as Running, running[last] as Running];
    for (const program of running) {
      if (program !== final || (!options.output && !options.onOutput)) program.output.resume();
      // Nobody would read what the others write, and one that writes nothing would stay.
      void program.ended.then(({ failure }) => failure && terminate());
    }
    if (!options.output && options.onOutput) {
      final.output.setEncoding("utf8");
      final.output.on("data", options.onOutput);
    }
    const ended = (async () => {
      const outcomes = await Promise.all(running.map((program) => program.ended));
      if (pipes !== undefined) await this.#removePipes(link, pipes);
      free();
      return outcomes;
    })();
    return {
      input: options.input ? (first.channel as Writable) : undefined,
      output: options.output ? final.output : undefined,
      ended,
      end: terminate,
    };
  }

  async readFile(path: string): Promise<string | undefined> {
    return (await this.readBytes(path))?.toString();
  }

  readBytes(path: string): Promise<Buffer | undefined> {
    return this.#absent(path, "read", (sftp) => sftp.readFile(path));
  }

  async writeFile(path: string, content: string | Buffer | Secret, ownership: Ownership = {}): Promise<void> {
    const beside = besidePath(path);
    const bytes = Buffer.from(content instanceof Secret ? content.reveal() : content);
    await this.#translated(path, "write", async (sftp) => {
      await unlessAbsent(sftp.remove(beside));
      const owner = await this.#owner(sftp, dirname(path), ownership);
      try {
        await sftp.createFile(beside, bytes, { mode: ownership.mode ?? 0o644, ...(owner === undefined ? {} : { owner }) });
        killPoint();
        await sftp.rename(beside, path);
        killPoint();
      } catch (error) {
        const full = await this.#full(sftp, error, dirname(path), bytes.length);
        await sftp.remove(beside).catch(() => undefined);
        throw full ?? error;
      }
      await sftp.syncDirectory(dirname(path));
    });
  }

  stat(path: string): Promise<FileStat | undefined> {
    return this.#absent(path, "look at", async (sftp) => {
      const { size, mode, uid, gid, mtime } = await sftp.lstat(path);
      return { type: TYPES.get(mode & FILE_TYPE) ?? "other", size, mode: mode & 0o7777, uid, gid, mtime: mtime * 1000 };
    });
  }

  list(path: string): Promise<readonly string[] | undefined> {
    return this.#absent(path, "list", async (sftp) => [...(await sftp.list(path))].sort());
  }

  async readLink(path: string): Promise<string | undefined> {
    const stat = await this.stat(path);
    return stat?.type === "link" ? this.#absent(path, "read", (sftp) => sftp.readLink(path)) : undefined;
  }

  realPath(path: string): Promise<string | undefined> {
    return this.#absent(path, "resolve", async (sftp) => {
      // It resolves a last part that is not there, too.
      await sftp.stat(path);
      return sftp.realPath(path);
    });
  }

  async mkdir(path: string, ownership: Ownership = {}): Promise<void> {
    await this.#translated(path, "make directory", async (sftp) => {
      await makeDirectory(sftp, path);
      killPoint();
      await sftp.syncDirectory(dirname(path));
    });
    await this.chmod(path, ownership);
  }

  async chmod(path: string, ownership: Ownership): Promise<void> {
    await this.#translated(path, "set owner or mode of", async (sftp) => {
      const owner = await this.#owner(sftp, path, ownership);
      if (owner) await sftp.chown(path, owner);
      // After chown, which clears setuid and setgid.
      if (ownership.mode !== undefined) await sftp.chmod(path, ownership.mode);
      else if (!owner) await sftp.stat(path);
    });
  }

  async remove(path: string): Promise<void> {
    const stat = await this.stat(path);
    if (stat === undefined) return;
    if (stat.type === "directory") {
      // Directories without the write bit cannot be emptied by their owner.
      const script = 'rm -rf -- "$1" 2>/dev/null || { find "$1" -type d ! -perm -u=rwx -exec chmod u+rwx {} \\; ; rm -rf -- "$1"; }';
      const { code, stderr } = await this.run(["sh", "-c", script, "sh", path], { anyExit: true });
      if (code !== 0)
        throw new HostError("PERMISSION_DENIED", `${this.name}: cannot remove ${path}: permission denied`, { why: lastLines(stderr) });
      return;
    }
    await this.#translated(path, "remove", async (sftp) => {
      await unlessAbsent(sftp.remove(path));
      killPoint();
    });
  }

  async removeEmpty(path: string): Promise<boolean> {
    let removed = false;
    await this.#translated(path, "remove", async (sftp) => {
      try {
        await sftp.removeDirectory(path);
        removed = true;
      } catch (error) {
        if (!(error instanceof SftpError) || error.status === SFTP_STATUS.denied) throw error;
        // There is one answer for not there, no directory and not empty, and for all that is wrong.
        const stat = await this.stat(path);
        if (stat?.type === "directory" && (await sftp.list(path)).length === 0) throw error;
      }
      killPoint();
    });
    return removed;
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#translated(`${from} → ${to}`, "rename", async (sftp) => {
      await sftp.rename(from, to);
      killPoint();
      await sftp.syncDirectory(dirname(to));
      if (dirname(from) !== dirname(to)) await sftp.syncDirectory(dirname(from));
    });
  }

  async exchange(a: string, b: string): Promise<void> {
    const { code, stderr } = await this.run(["perl", "-e", EXCHANGE, a, b], { anyExit: true });
    if (code !== 0)
      throw new HostError("COMMAND_FAILED", `${this.name}: ${a} and ${b} could not be exchanged`, {
        why: lastLines(stderr),
        exitCode: code,
      });
    await this.#translated(`${a} and ${b}`, "exchange", async (sftp) => {
      await sftp.syncDirectory(dirname(a));
      if (dirname(a) !== dirname(b)) await sftp.syncDirectory(dirname(b));
    });
  }

  async symlink(target: string, path: string): Promise<void> {
    const beside = besidePath(path);
    await this.#translated(path, "link", async (sftp) => {
      await unlessAbsent(sftp.remove(beside));
      await sftp.symlink(target, beside);
      try {
        killPoint();
        await sftp.rename(beside, path);
      } catch (error) {
        await sftp.remove(beside).catch(() => undefined);
        throw error;
      }
      await sftp.syncDirectory(dirname(path));
    });
  }

  async uploadTree(from: string, to: string): Promise<void> {
    const [{ LocalHost }, { syncTree }] = await Promise.all([import("./local.js"), import("./sync-tree.js")]);
    if ((await this.stat(to)) !== undefined) throw new HostError("FAILED", `${this.name}: cannot copy to ${to}: it is there already`);
    await syncTree(new LocalHost(this.#scope), from, this, to);
  }

  keepOutput(text: string): void {
    if (text.trim() !== "") this.#scope.keepOutput?.(text);
  }

  async freeSpace(path: string): Promise<number> {
    for (let at = path; ; at = dirname(at)) {
      const found = await this.#absent(at, "look at", (sftp) => sftp.space(at));
      if (found) return Number(found.available) * found.blockSize;
      if (at === dirname(at)) return 0;
    }
  }

  async connect(port: number, address = "127.0.0.1"): Promise<boolean> {
    const link = await this.#link();
    const open = await link.reaches(address, port);
    if (open !== undefined) return open;
    const script = "use IO::Socket::INET; exit(IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1], Timeout => 3) ? 0 : 1)";
    return (await this.run(["perl", "-e", script, address, String(port)], { anyExit: true })).code === 0;
  }

  async dial(to: Listener): Promise<Duplex> {
    return (await this.#link()).dial(to);
  }

  /** The connection, and the locks of the operation on that machine, which are the first thing that it is asked for. */
  async #link(): Promise<Link> {
    const link = await this.#connections.to(this.target);
    await this.#locked(link);
    return link;
  }

  async #locked(link: Link): Promise<SpokeLock | undefined> {
    const { held } = this.#scope;
    if (held === undefined || held.locks.length === 0) return undefined;
    const known = link.held.get(held);
    if (known !== undefined) return known;
    const before = this.#released;
    const taken = (async () => {
      await before;
      return takeSpokeLock(link, held);
    })();
    link.held.set(held, taken);
    taken.catch(() => link.held.delete(held));
    this.#scope.whenReleased(() => {
      link.held.delete(held);
      this.#released = taken.then(
        (lock) => lock.release(),
        () => undefined,
      );
    });
    return taken;
  }

  async #start(link: Link, argv: Argv, options: StartOptions): Promise<Running> {
    const lock = await this.#locked(link);
    const mark = link.mark;
    const program: RemoteProgram = {
      ...{ argv, mark, cwd: options.cwd, env: options.env, document: options.document, secretFile: options.secretFile },
      ...{ stdin: options.stdin, stdout: options.stdout, lock: lock?.file },
    };
    const { line, before } = remoteCommand(program);
    const channel = await link.exec(line);
    const [out, err] = [new Marked(mark), new Marked(mark)];
    const output = new PassThrough({ highWaterMark: 1024 * 1024 });
    let pid: string | undefined;
    let waiting: "SIGTERM" | "SIGKILL" | undefined;
    let abandoned: NodeJS.Timeout | undefined;
    let giveUp: () => void = () => undefined;
    const send = (signal: "SIGTERM" | "SIGKILL") => {
      if (signal === "SIGKILL") abandoned ??= setTimeout(() => giveUp(), GIVEN_UP);
      if (pid === undefined) waiting = signal;
      else void this.#signal(link, pid, signal);
    };
    const watched = watch(this.#scope, send, options.timeout);
    let stderr = "";
    let order = Number.POSITIVE_INFINITY;
    let exit: { code: number | null; signal: string | null } | undefined;
    channel.stderr.on("data", (chunk: Buffer) => {
      const known = err.said !== undefined;
      const own = err.take(chunk).toString();
      if (!known && err.said !== undefined && /^\d+$/.test(err.said)) {
        pid = err.said;
        if (waiting) send(waiting);
      }
      if (own === "") return;
      stderr += own;
      if (stderr.length > MAX_OUTPUT) stderr = stderr.slice(-KEPT_STDERR);
      options.onStderr?.(own);
    });
    channel.on("data", (chunk: Buffer) => {
      const own = out.take(chunk);
      // Whoever read it does not any more: what still comes goes nowhere, for the channel ends only when it was read.
      if (output.destroyed) return;
      if (own.length > 0 && !output.write(own)) {
        channel.pause();
        output.once("drain", () => channel.resume());
      }
    });
    output.once("close", () => channel.resume());
    channel.once("end", () => output.end());
    channel.once("exit", () => {
      order = performance.now();
    });
    // A program may end without having read what it was given.
    channel.on("error", () => undefined);
    const ended = new Promise<Outcome & { document: string }>((resolve) => {
      let over = false;
      const end = (lost: boolean) => {
        if (over) return;
        over = true;
        forget();
        clearTimeout(abandoned);
        watched.done();
        const failure =
          lost || exit === undefined ? this.#unknown(link, argv, err, out) : this.#notBegun(link, argv, options.cwd, err, out);
        if (lost && !output.writableEnded) output.destroy(failure);
        resolve({
          ...{ host: this.name, argv, code: exit?.code ?? null, signal: exit?.signal ?? null, stderr, order, document: "" },
          ...{ timedOut: watched.timedOut(), ...(failure === undefined ? {} : { failure }) },
        });
      };
      const forget = link.whenLost(() => end(exit === undefined));
      giveUp = () => {
        channel.close();
        end(true);
      };
      // What it wrote last on standard error may come after the word that it is over.
      let left = 2;
      const closed = () => {
        if (--left === 0) end(false);
      };
      // The event `exit` may have gone by before anybody listened; without a code nobody knows how it ended.
      channel.once("close", (code?: number | null, signal?: string) => {
        if (code !== undefined) exit = { code, signal: code === null ? (signal ?? null) : null };
        order = Math.min(order, performance.now());
        closed();
      });
      channel.stderr.once("close", closed);
    });
    output.on("error", () => undefined);
    if (before.length > 0) channel.write(before);
    if (options.open !== true) channel.end(options.input instanceof Secret ? options.input.reveal() : (options.input ?? ""));
    return { channel, argv, output, watched, ended };
  }

  #unknown(link: Link, argv: Argv, err: Marked, out: Marked): HostError {
    if (link.open && err.said === undefined) return shellRefuses(link, `${out.noise}\n${err.noise}`);
    return link.lostError(`while ${argv[0]} ran`);
  }

  /** Why it never began; undefined when it did. */
  #notBegun(link: Link, argv: Argv, cwd: string | undefined, { said, noise }: Marked, out: Marked): HostError | undefined {
    if (said === undefined) return shellRefuses(link, `${out.noise}\n${noise}`);
    if (/^\d+$/.test(said)) return undefined;
    const failed = (why: string) => new HostError("COMMAND_FAILED", `${this.name}: ${argv[0]} could not be started: ${why}`);
    const errors: Readonly<Record<NotBegun, () => HostError>> = {
      missing: () =>
        new HostError("PROGRAM_MISSING", `${this.name}: the program ${argv[0]} is not installed`, {
          next: [`provision verify ${this.name}    # names all that is missing there`],
          reached: "yes",
        }),
      denied: () => failed("it cannot be executed"),
      cwd: () => failed(`there is no directory ${cwd}, or it cannot be entered`),
      secret: () => failed("what it needs to know could not be kept there (no space left?)"),
      lock: () => failed("the lock of this operation is not held there any more"),
    };
    return errors[said as NotBegun]();
  }

  /** To the program's group, by a session of its own: closing the program's would leave it running. */
  async #signal(link: Link, pid: string, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const name = signal.slice(3);
    try {
      const channel = await link.exec(`exec /bin/sh -c ${quoted(`kill -${name} -${pid} 2>/dev/null || kill -${name} ${pid} 2>/dev/null`)}`);
      channel.resume();
      channel.stderr.resume();
      channel.end();
    } catch {
      // A link that is gone says so to the program's own channel.
    }
  }

  async #makePipes(link: Link, count: number): Promise<string> {
    const made = await this.#start(
      link,
      [
        "sh",
        "-c",
        'd=$(mktemp -d -t provision-pipe-XXXXXXXXXX) && for n in "$@"; do mkfifo -m 600 "$d/$n" || exit 1; done && printf %s "$d"',
        "sh",
        ...Array.from({ length: count }, (_, index) => String(index)),
      ],
      {},
    );
    const chunks: Buffer[] = [];
    made.output.on("data", (chunk: Buffer) => chunks.push(chunk));
    const outcome = await made.ended;
    judge([outcome]);
    return Buffer.concat(chunks).toString();
  }

  async #removePipes(link: Link, directory: string): Promise<void> {
    if (!link.open) return;
    const removed = await this.#start(link, ["rm", "-rf", "--", directory], {}).catch(() => undefined);
    removed?.output.resume();
    await removed?.ended;
  }

  /** The protocol knows both or none. */
  async #owner(sftp: Sftp, path: string, { uid, gid }: Ownership): Promise<{ uid: number; gid: number } | undefined> {
    if (uid === undefined && gid === undefined) return undefined;
    const of = uid === undefined || gid === undefined ? await sftp.stat(path) : undefined;
    return { uid: uid ?? (of?.uid as number), gid: gid ?? (of?.gid as number) };
  }

  /** Its only word for a full disk is «failure»; told from what is free while the half file is still there. */
  async #full(sftp: Sftp, error: unknown, directory: string, wanted: number): Promise<HostError | undefined> {
    if (!(error instanceof SftpError) || error.status !== SFTP_STATUS.failure) return undefined;
    const space = await sftp.space(directory).catch(() => undefined);
    if (space === undefined || Number(space.available) * space.blockSize > wanted) return undefined;
    return new HostError("DISK_FULL", `${this.name}: cannot write in ${directory}: no space left`, { cause: error });
  }

  async #files<T>(path: string, doing: string, action: (sftp: Sftp) => Promise<T>): Promise<T> {
    const link = await this.#link();
    const done = link.use();
    try {
      return await action(await link.sftp());
    } catch (error) {
      if (error instanceof SftpError || error instanceof HostError) throw error;
      throw link.open ? error : link.lostError(`while provision did ${doing} ${path}`);
    } finally {
      done();
    }
  }

  async #absent<T>(path: string, doing: string, action: (sftp: Sftp) => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#files(path, doing, action);
    } catch (error) {
      if (error instanceof SftpError && error.status === SFTP_STATUS.absent) return undefined;
      throw this.#broken(path, doing, error);
    }
  }

  async #translated(path: string, doing: string, action: (sftp: Sftp) => Promise<void>): Promise<void> {
    try {
      await this.#files(path, doing, action);
    } catch (error) {
      throw this.#broken(path, doing, error);
    }
  }

  #broken(path: string, doing: string, error: unknown): unknown {
    if (!(error instanceof SftpError)) return error;
    if (error.status === SFTP_STATUS.denied)
      return new HostError("PERMISSION_DENIED", `${this.name}: cannot ${doing} ${path}: permission denied`, { cause: error });
    const said = error.status === SFTP_STATUS.absent ? "there is no such file or directory" : error.message;
    return new HostError("FAILED", `${this.name}: cannot ${doing} ${path}: ${said}`, { cause: error });
  }
}

async function unlessAbsent(done: Promise<void>): Promise<void> {
  try {
    await done;
  } catch (error) {
    if (!(error instanceof SftpError) || error.status !== SFTP_STATUS.absent) throw error;
  }
}

async function makeDirectory(sftp: Sftp, path: string): Promise<void> {
  try {
    const { mode } = await sftp.stat(path);
    if ((mode & FILE_TYPE) === DIRECTORY) return;
    throw new SftpError(SFTP_STATUS.failure, "something else is there");
  } catch (error) {
    if (!(error instanceof SftpError) || error.status !== SFTP_STATUS.absent) throw error;
  }
  if (dirname(path) !== path) await makeDirectory(sftp, dirname(path));
  try {
    await sftp.makeDirectory(path, 0o755);
  } catch (error) {
    // Somebody else was faster.
    const stat = await sftp.stat(path).catch(() => undefined);
    if (stat === undefined || (stat.mode & FILE_TYPE) !== DIRECTORY) throw error;
  }
}
