import type { ChildProcess, StdioOptions } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import fs from "node:fs/promises";
import { connect as connectSocket, Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { isSystemError, messageOf } from "../core/errors.js";
import { killPoint } from "../core/kill-point.js";
import type { Scope } from "../core/scope.js";
import { reveal, Secret } from "../core/secret.js";
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

/** Characters that a pipe of Linux (64 KiB) takes at once, whatever they are. */
const IN_A_PIPE = 16_000;

/** The machine provision itself runs on. */
export class LocalHost implements Host {
  readonly name = "local";
  readonly #scope: Scope;

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  async run(argv: Argv, options: RunOptions = {}): Promise<RunResult> {
    const program = await this.#start(argv, options);
    const { code, signal, stdout, stderr, document } = await program.ended;
    killPoint();
    if (code === undefined) {
      throw new HostError(
        program.timedOut() ? "TIMED_OUT" : "COMMAND_FAILED",
        `${this.name}: ${argv[0]} was ended by ${signal ?? "an unknown cause"}`,
        {
          why: lastLines(stderr),
          reached: "yes",
        },
      );
    }
    if (code !== 0 && options.anyExit !== true) {
      throw new HostError("COMMAND_FAILED", `${this.name}: ${argv[0]} ended with exit code ${code}`, {
        why: lastLines(stderr.trim() === "" ? stdout : stderr),
        exitCode: code,
      });
    }
    return { code, stdout, stderr, document };
  }

  async pipe(from: Argv, to: Argv, options: PipeOptions = {}): Promise<void> {
    const { through = [], fromExits, ...rest } = options;
    const { ended } = await this.chain([from, ...through, to], rest);
    const outcomes = await ended;
    killPoint();
    judge(outcomes, fromExits);
  }

  async chain(programs: readonly Argv[], options: ChainOptions = {}): Promise<Chain> {
    const { spawn } = await import("node:child_process");
    const last = programs.length - 1;
    const children: ChildProcess[] = [];
    const joints: { readonly read: number; readonly write: number }[] = [];
    const inherited: number[] = [];
    let output: Readable | undefined;
    try {
      // Bytes between two programs never pass through this process.
      joints.push(...(await this.#kernelPipes(options.output ? programs.length : last)));
      const end = options.output ? joints.pop() : undefined;
      if (end) {
        inherited.push(end.write);
        output = new Socket({ fd: end.read, readable: true, writable: false });
      }
      for (const [index, argv] of programs.entries()) {
        const secret = secretOf(options, index, programs);
        const file = secret && secretDescriptor(secret);
        if (file !== undefined) inherited.push(file);
        const stdin = joints[index - 1]?.read ?? (options.input ? "pipe" : "ignore");
        const stdout = joints[index]?.write ?? end?.write ?? (options.onOutput ? "pipe" : "ignore");
        const child: ChildProcess = spawn(argv[0], argv.slice(1), {
          ...this.#spawnOptions(options),
          stdio: [stdin, stdout, "pipe", file ?? "ignore", ...this.#scope.descriptors],
        });
        if (index === 0 && options.onStderr) child.stderr?.setEncoding("utf8").on("data", options.onStderr);
        if (index === last && options.onOutput && !options.output) child.stdout?.setEncoding("utf8").on("data", options.onOutput);
        children.push(child);
      }
    } finally {
      for (const descriptor of [...joints.flatMap(({ read, write }) => [read, write]), ...inherited]) closeSync(descriptor);
    }
    const watches = children.map(({ pid }) => watch(this.#scope, (signal) => this.#send(pid, signal), options.timeout));
    const ended = children.map((child, index) => this.#outcome(child, programs[index] as Argv, watches[index] as Watch, options.cwd));
    // Nobody would read what the others write, and one that writes nothing would stay.
    if (children.some(({ pid }) => pid === undefined)) for (const { pid } of children) this.#send(pid, "SIGTERM");
    return {
      input: (options.input && children[0]?.stdin) || undefined,
      output,
      ended: Promise.all(ended),
      end: () => {
        for (const one of watches) one.terminate();
      },
    };
  }

  /** Node's own pipes are pairs of sockets: a writer that loses its reader gets no SIGPIPE there, and /dev/stdout cannot be opened. */
  async #kernelPipes(count: number): Promise<readonly { readonly read: number; readonly write: number }[]> {
    if (count === 0) return [];
    const directory = mkdtempSync(join(tmpdir(), "provision-pipe-"));
    const paths = Array.from({ length: count }, (_, index) => join(directory, String(index)));
    const ends: { readonly read: number; readonly write: number }[] = [];
    try {
      await this.run(["mkfifo", "-m", "0600", ...paths]);
      for (const path of paths) {
        // Linux opens both ways without waiting for the other side, and with that the two ends do not wait either.
        const both = openSync(path, constants.O_RDWR);
        try {
          ends.push({ read: openSync(path, constants.O_RDONLY), write: openSync(path, constants.O_WRONLY) });
        } finally {
          closeSync(both);
        }
      }
      return ends;
    } catch (error) {
      for (const { read, write } of ends) for (const descriptor of [read, write]) closeSync(descriptor);
      throw error;
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  readFile(path: string): Promise<string | undefined> {
    return this.#absent(path, "read", () => fs.readFile(path, "utf8"));
  }

  readBytes(path: string): Promise<Buffer | undefined> {
    return this.#absent(path, "read", () => fs.readFile(path));
  }

  async writeFile(path: string, content: string | Buffer | Secret, ownership: Ownership = {}): Promise<void> {
    const beside = besidePath(path);
    await this.#translated(path, "write", async () => {
      try {
        await fs.rm(beside, { force: true });
        const handle = await fs.open(beside, "wx", 0o600);
        try {
          await handle.writeFile(content instanceof Secret ? content.reveal() : content);
          if (ownership.uid !== undefined || ownership.gid !== undefined) await handle.chown(ownership.uid ?? -1, ownership.gid ?? -1);
          await handle.chmod(ownership.mode ?? 0o644);
          await handle.sync();
        } finally {
          await handle.close();
        }
        killPoint();
        await fs.rename(beside, path);
        killPoint();
      } catch (error) {
        await fs.rm(beside, { force: true });
        throw error;
      }
      await syncDirectory(dirname(path));
    });
  }

  stat(path: string): Promise<FileStat | undefined> {
    return this.#absent(path, "look at", async () => {
      // Not by promises: there are many looks, and each trip to the thread pool takes longer than one.
      const stat = lstatSync(path);
      const type = stat.isSymbolicLink() ? "link" : stat.isDirectory() ? "directory" : stat.isFile() ? "file" : "other";
      return { type, size: stat.size, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, mtime: stat.mtimeMs };
    });
  }

  list(path: string): Promise<readonly string[] | undefined> {
    return this.#absent(path, "list", async () => readdirSync(path).sort());
  }

  async readLink(path: string): Promise<string | undefined> {
    const stat = await this.stat(path);
    return stat?.type === "link" ? this.#absent(path, "read", async () => readlinkSync(path)) : undefined;
  }

  realPath(path: string): Promise<string | undefined> {
    return this.#absent(path, "resolve", async () => realpathSync.native(path));
  }

  async mkdir(path: string, ownership: Ownership = {}): Promise<void> {
    await this.#translated(path, "make directory", async () => {
      try {
        if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) await fs.mkdir(path, 0o755);
      } catch {
        // Not all above it are there. Loaded only then: that takes longer than all directories of a site.
        const { ensureDir } = (await import("fs-extra")).default;
        await ensureDir(path, 0o755);
      }
      killPoint();
      await syncDirectory(dirname(path));
    });
    await this.chmod(path, ownership);
  }

  async chmod(path: string, ownership: Ownership): Promise<void> {
    await this.#translated(path, "set owner or mode of", async () => {
      if (ownership.uid !== undefined || ownership.gid !== undefined) await fs.chown(path, ownership.uid ?? -1, ownership.gid ?? -1);
      // After chown, which clears setuid and setgid.
      if (ownership.mode !== undefined) await fs.chmod(path, ownership.mode);
    });
  }

  async remove(path: string): Promise<void> {
    await this.#translated(path, "remove", async () => {
      try {
        await fs.rm(path, { recursive: true, force: true });
      } catch (error) {
        if (!isSystemError(error, "EACCES") && !isSystemError(error, "EPERM")) throw error;
        await makeDeletable(path);
        await fs.rm(path, { recursive: true, force: true });
      }
      killPoint();
    });
  }

  async removeEmpty(path: string): Promise<boolean> {
    let removed = false;
    await this.#translated(path, "remove", async () => {
      try {
        await fs.rmdir(path);
        removed = true;
      } catch (error) {
        if (!["ENOENT", "ENOTDIR", "ENOTEMPTY", "EEXIST"].some((code) => isSystemError(error, code))) throw error;
      }
      killPoint();
    });
    return removed;
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#translated(`${from} → ${to}`, "rename", async () => {
      await fs.rename(from, to);
      killPoint();
      await syncDirectory(dirname(to));
      if (dirname(from) !== dirname(to)) await syncDirectory(dirname(from));
    });
  }

  async exchange(a: string, b: string): Promise<void> {
    const { code, stderr } = await this.run(["perl", "-e", EXCHANGE, a, b], { anyExit: true });
    if (code !== 0)
      throw new HostError("COMMAND_FAILED", `${this.name}: ${a} and ${b} could not be exchanged`, {
        why: lastLines(stderr),
        exitCode: code,
      });
    await syncDirectory(dirname(a));
    if (dirname(a) !== dirname(b)) await syncDirectory(dirname(b));
  }

  async symlink(target: string, path: string): Promise<void> {
    const beside = besidePath(path);
    await this.#translated(path, "link", async () => {
      await fs.rm(beside, { force: true });
      await fs.symlink(target, beside);
      try {
        killPoint();
        await fs.rename(beside, path);
      } catch (error) {
        await fs.rm(beside, { force: true });
        throw error;
      }
      await syncDirectory(dirname(path));
    });
  }

  async uploadTree(from: string, to: string): Promise<void> {
    await this.run(["cp", "-a", "--reflink=auto", "--", from, to]);
  }

  keepOutput(text: string): void {
    if (text.trim() !== "") this.#scope.keepOutput?.(text);
  }

  async freeSpace(path: string): Promise<number> {
    for (let at = path; ; at = dirname(at)) {
      const found = await this.#absent(at, "look at", () => fs.statfs(at));
      if (found) return found.bavail * found.bsize;
      if (at === dirname(at)) return 0;
    }
  }

  connect(port: number, address = "127.0.0.1"): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connectSocket({ port, host: address, timeout: 3000 });
      const answer = (open: boolean) => {
        socket.destroy();
        resolve(open);
      };
      socket.once("connect", () => answer(true));
      socket.once("error", () => answer(false));
      socket.once("timeout", () => answer(false));
    });
  }

  dial(to: Listener): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = "socket" in to ? connectSocket(to.socket) : connectSocket({ port: to.port, host: to.address ?? "127.0.0.1" });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(socket);
      });
    });
  }

  #environment(options: Pick<RunOptions, "env">): NodeJS.ProcessEnv {
    const environment = { ...process.env };
    for (const [name, value] of Object.entries(options.env ?? {})) {
      if (value === undefined) delete environment[name];
      else environment[name] = reveal(value);
    }
    return environment;
  }

  #spawnOptions(options: Pick<RunOptions, "env" | "cwd">) {
    // A group of its own: a Ctrl-C on the terminal reaches provision alone, which then decides what ends when.
    return { ...(options.cwd === undefined ? {} : { cwd: options.cwd }), env: this.#environment(options), detached: true };
  }

  /** What is fed more than a pipe holds goes through execa; for all else its hundred modules would take longer to load than most programs run. */
  async #start(argv: Argv, options: RunOptions) {
    const input = options.input instanceof Secret ? options.input.reveal() : options.input;
    if (input === undefined || input.length <= IN_A_PIPE) return this.#startPlain(argv, options, input);
    const { execa } = await import("execa");
    const secret = options.secretFile && secretDescriptor(options.secretFile);
    const child = execa(argv[0], argv.slice(1), {
      ...this.#spawnOptions(options),
      extendEnv: false,
      input,
      // execa passes descriptor numbers on, but its types allow them for 0-2 only
      stdio: [
        "pipe",
        "pipe",
        "pipe",
        options.document === true ? "pipe" : ((secret ?? "ignore") as "ignore"),
        ...(this.#scope.descriptors as readonly unknown[] as "ignore"[]),
      ],
      reject: false,
      stripFinalNewline: false,
      maxBuffer: MAX_OUTPUT,
      cleanup: false,
    });
    if (secret !== undefined) closeSync(secret);
    if (options.onStderr) child.stderr?.on("data", (chunk: Buffer | string) => options.onStderr?.(String(chunk)));
    const watch = this.#watch(child.pid, options.timeout);
    const ended = child.then((result) => {
      watch.done();
      const cause = result.cause;
      if (result.exitCode === undefined && result.signal === undefined) throw this.#notStarted(argv, cause, options.cwd);
      return {
        code: result.exitCode,
        signal: result.signal,
        stdout: String(result.stdout ?? ""),
        stderr: String(result.stderr ?? ""),
        document: options.document === true ? String((result.stdio as readonly unknown[])[3] ?? "") : "",
      };
    });
    return { ended, timedOut: watch.timedOut };
  }

  async #startPlain(argv: Argv, options: RunOptions, input: string | Buffer | undefined) {
    const { spawn } = await import("node:child_process");
    const secret = options.secretFile && secretDescriptor(options.secretFile);
    const stdin = input === undefined ? "ignore" : "pipe";
    const third = options.document === true ? "pipe" : (secret ?? "ignore");
    let child: ChildProcess;
    try {
      const stdio: StdioOptions = [stdin, "pipe", "pipe", third, ...this.#scope.descriptors];
      child = spawn(argv[0], argv.slice(1), { ...this.#spawnOptions(options), stdio });
    } catch (error) {
      throw this.#notStarted(argv, error, options.cwd);
    } finally {
      if (secret !== undefined) closeSync(secret);
    }
    // One that reads nothing, or not all of it, says in its own way why.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
    const watch = this.#watch(child.pid, options.timeout);
    const ended = new Promise<{ code: number | undefined; signal: string | undefined; stdout: string; stderr: string; document: string }>(
      (resolve, reject) => {
        const written = { stdout: [] as Buffer[], stderr: [] as Buffer[], document: [] as Buffer[] };
        let size = 0;
        for (const [name, stream] of [
          ["stdout", child.stdout],
          ["stderr", child.stderr],
          ["document", options.document === true ? (child.stdio[3] as Readable | null) : null],
        ] as const)
          stream?.on("data", (chunk: Buffer) => {
            size += chunk.length;
            if (size > MAX_OUTPUT) return void child.kill("SIGKILL");
            written[name].push(chunk);
            if (name === "stderr") options.onStderr?.(chunk.toString());
          });
        child.once("error", (error) => {
          watch.done();
          if (child.pid === undefined) reject(this.#notStarted(argv, error, options.cwd));
        });
        child.once("close", (code, signal) => {
          watch.done();
          const text = (chunks: readonly Buffer[]) => Buffer.concat(chunks).toString();
          resolve({
            code: code ?? undefined,
            signal: signal ?? undefined,
            stdout: text(written.stdout),
            stderr: text(written.stderr),
            document: text(written.document),
          });
        });
      },
    );
    return { ended, timedOut: watch.timedOut };
  }

  #outcome(child: ChildProcess, argv: Argv, watched: Watch, cwd: string | undefined) {
    let stderr = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-KEPT_STDERR);
    });
    let order = Number.POSITIVE_INFINITY;
    child.once("exit", () => {
      order = performance.now();
    });
    return new Promise<Outcome>((resolve) => {
      const end = (how: Pick<Outcome, "code" | "signal" | "failure">) => {
        watched.done();
        resolve({ host: this.name, argv, stderr, order, timedOut: watched.timedOut(), ...how });
      };
      child.once("error", (error) => end({ code: null, signal: null, failure: this.#notStarted(argv, error, cwd) }));
      child.once("close", (code, signal) => end({ code, signal }));
    });
  }

  #send(pid: number | undefined, signal: NodeJS.Signals): void {
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch (error) {
      if (!isSystemError(error, "ESRCH")) throw error;
    }
  }

  #watch(pid: number | undefined, timeout: number | undefined): Watch {
    return watch(this.#scope, (signal) => this.#send(pid, signal), timeout);
  }

  #notStarted(argv: Argv, cause: unknown, cwd: string | undefined): HostError {
    const error = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause;
    if (isSystemError(error, "ENOENT") && (cwd === undefined || existsSync(cwd))) {
      return new HostError("PROGRAM_MISSING", `${this.name}: the program ${argv[0]} is not installed`, {
        next: ["provision doctor    # names the package that has it"],
        reached: "yes",
        cause: error,
      });
    }
    return new HostError("COMMAND_FAILED", `${this.name}: ${argv[0]} could not be started: ${messageOf(error)}`, { cause: error });
  }

  async #absent<T>(path: string, doing: string, action: () => Promise<T>): Promise<T | undefined> {
    try {
      return await action();
    } catch (error) {
      if (isSystemError(error, "ENOENT") || isSystemError(error, "ENOTDIR")) return undefined;
      throw this.#broken(path, doing, error);
    }
  }

  async #translated(path: string, doing: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      throw this.#broken(path, doing, error);
    }
  }

  #broken(path: string, doing: string, error: unknown): unknown {
    if (!isSystemError(error)) return error;
    const code = error.code;
    if (code === "ENOSPC" || code === "EDQUOT")
      return new HostError("DISK_FULL", `${this.name}: cannot ${doing} ${path}: no space left`, { cause: error });
    if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
      return new HostError("PERMISSION_DENIED", `${this.name}: cannot ${doing} ${path}: permission denied`, {
        why: [error.message],
        cause: error,
      });
    }
    return new HostError("FAILED", `${this.name}: cannot ${doing} ${path}: ${error.message}`, { cause: error });
  }
}

/** A file without a name, open in this process and readable through /dev/fd by a program that inherits it: a kill leaves nothing of it. */
function secretDescriptor(secret: Secret): number {
  const directory = mkdtempSync(join(tmpdir(), "provision-secret-"));
  try {
    const descriptor = openSync(join(directory, "secret"), "wx+", 0o600);
    rmSync(join(directory, "secret"));
    writeSync(descriptor, secret.reveal());
    return descriptor;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await fs.open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Directories without the write bit (Drupal's installer makes `sites/<uri>` 0555) cannot be emptied by their owner. */
async function makeDeletable(path: string): Promise<void> {
  const stat = await fs.lstat(path);
  if (!stat.isDirectory()) return;
  await fs.chmod(path, stat.mode | 0o700);
  for (const name of await fs.readdir(path)) await makeDeletable(join(path, name));
}
