import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isSystemError, messageOf, ProvisionError } from "../../../core/errors.js";
import { PACKAGE_ROOT } from "../../../core/package-root.js";
import type { OnServeEvent } from "./events.js";
import { ask, MARKER, TOKEN } from "./protocol.js";

const ROUTER = join(PACKAGE_ROOT, "src/services/http/php/router.php");

const START_TIMEOUT = 15_000;
const TERMINATE_GRACE = 2_000;
/** From a connection that breaks to the end of the process that had it. */
const END_GRACE = 2_000;

/** A laptop's php.ini is anybody's guess; these are what the vhosts of a real web server give. */
const SETTINGS = [
  "display_errors=0",
  "log_errors=1",
  "html_errors=0",
  "expose_php=0",
  "upload_max_filesize=64M",
  "post_max_size=64M",
  // A changed file is seen by the next request.
  "opcache.revalidate_freq=0",
  // Not the switch of a directory: that is what generations are for (reference: engine.md i).
  "opcache.validate_timestamps=1",
  "auto_prepend_file=",
  "auto_append_file=",
];

export interface PoolOptions {
  /** PHP command line program. */
  readonly php: string;
  /** Directory of the vhost files. */
  readonly vhosts: string;
  readonly generation: string;
  /** Most processes at a time; each answers one request at a time. */
  readonly size: number;
  /** More settings of PHP, `name=value`. */
  readonly settings: readonly string[];
  /** More of the environment. */
  readonly environment: Readonly<Record<string, string>>;
  readonly onEvent: OnServeEvent;
}

/** One `php -S`, which answers one request at a time. */
export interface PhpChild {
  readonly port: number;
  /** What its router wants to see. */
  readonly token: string;
  readonly process: ChildProcess;
  alive: boolean;
}

interface Waiter {
  readonly resolve: (child: PhpChild) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The processes of one PHP program, started when they are needed. They are single processes, not PHP's own workers:
 * PHP_CLI_SERVER_WORKERS outlive their master (reference: engine.md i) and are unknown before PHP 7.4, while
 * setpriv's death signal reaches a single process even when provision is killed with -9.
 */
export class PhpPool {
  readonly #options: PoolOptions;
  readonly #children = new Set<PhpChild>();
  readonly #idle: PhpChild[] = [];
  readonly #waiting: Waiter[] = [];
  #starting = 0;
  #retired = false;
  #closed = false;
  #drained: (() => void) | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Starts one process when there is none; resolves when it answers. Rejects as `acquire` does. */
  async warm(): Promise<void> {
    this.release(await this.acquire());
  }

  /**
   * A process for one request; give it back with `release`. Rejects when none can be started: PROGRAM_MISSING, SERVICE_UNAVAILABLE.
   */
  acquire(): Promise<PhpChild> {
    if (this.#closed) return Promise.reject(new ProvisionError("SERVICE_UNAVAILABLE", "provision serve is stopping"));
    const idle = this.#idle.pop();
    if (idle) return Promise.resolve(idle);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#startForWaiting();
    });
  }

  release(child: PhpChild): void {
    if (child.alive) {
      const waiter = this.#waiting.shift();
      if (waiter) waiter.resolve(child);
      else if (this.#retired) this.discard(child);
      else this.#idle.push(child);
    }
    this.#noteDrained();
  }

  /** Instead of `release`, when the process broke the connection: it is given out again only when it does not end now. */
  async releaseBroken(child: PhpChild): Promise<void> {
    const { process: program } = child;
    if (child.alive && program.exitCode === null && program.signalCode === null)
      await once(program, "exit", { signal: AbortSignal.timeout(END_GRACE) }).catch(() => {});
    this.release(child);
  }

  /** Instead of `release`, when the process has hung; it is ended and never given out again. */
  discard(child: PhpChild): void {
    if (child.alive) {
      this.#forget(child);
      void end(child);
    }
    this.#noteDrained();
    this.#startForWaiting();
  }

  /** Takes no new request, lets those under way finish for `grace` milliseconds, then ends all processes. */
  async retire(grace: number): Promise<void> {
    this.#retired = true;
    for (const child of this.#idle.splice(0)) {
      this.#forget(child);
      void end(child);
    }
    if (this.#busy()) {
      const timer = new AbortController();
      await Promise.race([
        new Promise<void>((resolve) => {
          this.#drained = resolve;
        }),
        sleep(grace, undefined, { signal: timer.signal }).catch(() => {}),
      ]);
      timer.abort();
    }
    await this.close();
  }

  /** Ends all processes now. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#retired = true;
    const children = [...this.#children];
    for (const child of children) this.#forget(child);
    this.#refuseWaiting(new ProvisionError("SERVICE_UNAVAILABLE", "provision serve is stopping"));
    await Promise.all(children.map(end));
    while (this.#starting > 0) await sleep(10);
  }

  #busy(): boolean {
    return this.#children.size > this.#idle.length || this.#starting > 0 || this.#waiting.length > 0;
  }

  #noteDrained(): void {
    if (this.#retired && !this.#busy()) this.#drained?.();
  }

  #startForWaiting(): void {
    if (this.#closed || this.#starting >= this.#waiting.length || this.#children.size + this.#starting >= this.#options.size) return;
    this.#starting++;
    startChild(this.#options).then(
      (child) => {
        this.#starting--;
        if (this.#closed) return void end(child);
        this.#children.add(child);
        this.#options.onEvent({ type: "started", php: this.#options.php, pid: child.process.pid ?? 0 });
        child.process.once("exit", (code, signal) => this.#ended(child, code, signal));
        // It may have ended before anyone listened.
        if (child.process.exitCode !== null || child.process.signalCode !== null) this.#ended(child, child.process.exitCode, null);
        this.release(child);
        this.#startForWaiting();
      },
      (error) => {
        this.#starting--;
        // With another process alive the waiting ones have only to wait longer.
        if (this.#children.size === 0) this.#refuseWaiting(error);
        this.#options.onEvent({ type: "problem", message: messageOf(error) });
        this.#noteDrained();
      },
    );
  }

  #ended(child: PhpChild, code: number | null, signal: NodeJS.Signals | null): void {
    if (!child.alive) return;
    this.#forget(child);
    this.#options.onEvent({
      type: "crashed",
      php: this.#options.php,
      pid: child.process.pid ?? 0,
      how: code === null ? `ended by ${signal ?? "an unknown cause"}` : `exit code ${code}`,
    });
    this.#noteDrained();
    this.#startForWaiting();
  }

  #forget(child: PhpChild): void {
    child.alive = false;
    this.#children.delete(child);
    const at = this.#idle.indexOf(child);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  #refuseWaiting(error: unknown): void {
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
  }
}

async function startChild(options: PoolOptions): Promise<PhpChild> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const token = randomBytes(24).toString("hex");
    const lines: string[] = [];
    const child = spawn(
      "setpriv",
      [
        "--pdeathsig",
        "KILL",
        "--",
        options.php,
        ...[...SETTINGS, ...options.settings].flatMap((setting) => ["-d", setting]),
        "-S",
        `127.0.0.1:${port}`,
        // Never served from: the router answers everything.
        "-t",
        dirname(ROUTER),
        ROUTER,
      ],
      {
        detached: true,
        stdio: ["ignore", "pipe", "pipe"],
        cwd: "/",
        env: {
          ...environment(),
          ...options.environment,
          PROVISION_SERVE_VHOSTS: options.vhosts,
          PROVISION_SERVE_TOKEN: token,
          PROVISION_SERVE_GENERATION: options.generation,
        },
      },
    );
    // The front's own server decides how long this process lives; the death signal ends PHP with it.
    child.unref();
    for (const stream of [child.stdout, child.stderr]) (stream as Socket).unref();
    const say = (line: string) => {
      if (lines.length < 20) lines.push(line);
      if (!isChatter(line)) options.onEvent({ type: "output", php: options.php, line });
    };
    eachLine(child.stdout, say);
    eachLine(child.stderr, say);
    const failed = new Promise<unknown>((resolve) => {
      child.once("error", resolve);
      child.once("exit", (code, signal) => resolve({ code, signal }));
    });
    const result: PhpChild = { port, token, process: child, alive: true };
    const up = await Promise.race([answers(result, options.generation), failed]);
    if (up === true) return result;
    result.alive = false;
    await end(result);
    if (isSystemError(up, "ENOENT")) {
      throw new ProvisionError("PROGRAM_MISSING", "local: the program setpriv is not installed", {
        next: ["apt-get install util-linux"],
        cause: up,
      });
    }
    const why = lines.filter((line) => line.trim() !== "").slice(-5);
    // Somebody else took the port between the look and the start.
    if (attempt < 5 && why.some((line) => line.includes("Address already in use"))) continue;
    if (why.some((line) => line.includes("failed to execute"))) {
      throw new ProvisionError("PROGRAM_MISSING", `local: the program ${options.php} is not installed`, {
        why,
        next: ["provision doctor    # names the package that has it"],
      });
    }
    throw new ProvisionError("SERVICE_UNAVAILABLE", `local: PHP's server (${options.php}) could not be started`, { why });
  }
}

/** True when the router of this very process answers; false when it does not in time. */
async function answers(child: PhpChild, generation: string): Promise<boolean> {
  const deadline = Date.now() + START_TIMEOUT;
  for (let pause = 5; Date.now() < deadline && child.process.exitCode === null; pause = Math.min(pause * 1.2, 200)) {
    try {
      const answer = await ask({
        port: child.port,
        path: "/",
        headers: { host: "provision", [TOKEN]: child.token, [MARKER]: "ready.json" },
        timeout: 2000,
      });
      if (answer.status === 200 && (JSON.parse(answer.body) as { generation: string }).generation === generation) return true;
    } catch {
      // not yet
    }
    await sleep(pause);
  }
  return false;
}

/** TERM to the process group, KILL when that does not end it: programs that PHP started go with it. */
async function end(child: PhpChild): Promise<void> {
  const { process: program } = child;
  child.alive = false;
  if (program.pid === undefined) return;
  const gone = new Promise<void>((resolve) => {
    if (program.exitCode !== null || program.signalCode !== null) resolve();
    else program.once("exit", () => resolve());
  });
  sendToGroup(program.pid, "SIGTERM");
  const timer = setTimeout(() => sendToGroup(program.pid, "SIGKILL"), TERMINATE_GRACE);
  await gone;
  clearTimeout(timer);
  sendToGroup(program.pid, "SIGKILL");
}

function sendToGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch (error) {
    if (!isSystemError(error, "ESRCH")) throw error;
  }
}

/** Sites may read their settings from the environment, but not provision's own. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith("PROVISION_") && name !== "PHP_CLI_SERVER_WORKERS"),
  );
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

/** What PHP's server says about connections, and its greeting. */
function isChatter(line: string): boolean {
  return (
    /^\[[^\]]*\] (?:\S+:\d+ (?:Accepted|Closing|Closed without sending a request|\[\d{3}\])|PHP \S+ Development Server )|^(?:Listening on|Document root is|Press Ctrl-C)|^PHP \S+ Development Server/.test(
      line,
    ) || line.trim() === ""
  );
}

function eachLine(stream: NodeJS.ReadableStream | null, say: (line: string) => void): void {
  let rest = "";
  stream?.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split("\n");
    rest = (lines.pop() ?? "").slice(-10_000);
    for (const line of lines) say(line);
  });
  stream?.on("end", () => {
    if (rest !== "") say(rest);
  });
}
