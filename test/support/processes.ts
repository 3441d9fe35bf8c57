import { type ChildProcess, spawn } from "node:child_process";

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string;
  /** In a process group of its own. */
  readonly detached?: true;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** Starts a program; the environment given is added to ours, undefined removes. */
export function start(program: string, args: readonly string[], options: StartOptions = {}): Started {
  const env = { ...process.env, ...options.env };
  for (const [name, value] of Object.entries(env)) if (value === undefined) delete env[name];
  const child = spawn(program, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env,
    detached: options.detached === true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  // A program may end without having read it.
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input ?? "");
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      // Node's own complaints are for whoever wrote the program, and operators read them.
      const complaint = /^\(node:\d+\) .*/m.exec(stderr)?.[0];
      if (complaint === undefined) resolve({ code, signal, stdout, stderr });
      else reject(new Error(`${[program, ...args].join(" ")}: ${complaint}`));
    });
  });
  return { child, ended };
}

export function run(program: string, args: readonly string[], options: StartOptions = {}): Promise<Ended> {
  return start(program, args, options).ended;
}

/** Runs `action` over all items, `width` at a time; results in order. */
export async function inParallel<T, R>(items: readonly T[], width: number, action: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < items.length) {
        const index = next++;
        results[index] = await action(items[index] as T);
      }
    }),
  );
  return results;
}
