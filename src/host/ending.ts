import type { Scope } from "../core/scope.js";
import type { Argv, ChainOptions, Outcome } from "./host.js";
import { HostError } from "./host.js";

const TERMINATE_GRACE = 10_000;
/** More than this nobody wants as text: the program is ended. */
export const MAX_OUTPUT = 256 * 1024 * 1024;
/** Of a standard error that is only kept for a message. */
export const KEPT_STDERR = 100_000;

export interface Watch {
  timedOut(): boolean;
  /** Ends it as the scope's signal would: TERM, KILL ten seconds later. Nothing when it is over. */
  terminate(): void;
  /** It is over. */
  done(): void;
}

/** Ends a program's process group, by `send`, when the scope says so or its time is over. */
export function watch({ signal, kill }: Scope, send: (signal: "SIGTERM" | "SIGKILL") => void, timeout: number | undefined): Watch {
  let timedOut = false;
  let over = false;
  const timers: NodeJS.Timeout[] = [];
  const terminate = () => {
    // Its number may be another's by now, and nobody would stop the timer.
    if (over) return;
    send("SIGTERM");
    timers.push(setTimeout(() => send("SIGKILL"), TERMINATE_GRACE));
  };
  const killNow = () => send("SIGKILL");
  if (signal?.aborted) terminate();
  else signal?.addEventListener("abort", terminate, { once: true });
  kill?.addEventListener("abort", killNow, { once: true });
  if (timeout !== undefined) {
    timers.push(
      setTimeout(() => {
        timedOut = true;
        terminate();
      }, timeout),
    );
  }
  return {
    timedOut: () => timedOut,
    terminate,
    done: () => {
      over = true;
      for (const timer of timers) clearTimeout(timer);
      signal?.removeEventListener("abort", terminate);
      kill?.removeEventListener("abort", killNow);
    },
  };
}

export function lastLines(text: string): readonly string[] {
  return text
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "")
    .slice(-5);
}

function endedHow({ code, signal }: Outcome): string {
  return code === null ? `was ended by ${signal ?? "an unknown cause"}` : `ended with exit code ${code}`;
}

/**
 * Rejects when one of the programs that ran one into the next failed. Who ended badly first is the cause; a writer that
 * only lost its reader is not. `fromExits`: exit codes of the first that are no failure beside 0.
 */
export function judge(outcomes: readonly Outcome[], fromExits: readonly number[] = []): void {
  // A link that was lost, or a program that is not there, says more than what became of the others.
  const broken = outcomes.map(({ failure }) => failure).filter((failure) => failure !== undefined);
  const first = broken.find(({ reached }) => reached === "unknown") ?? broken[0];
  if (first) throw first;
  const lost = ({ signal }: Outcome) => (signal === "SIGPIPE" ? 1 : 0);
  const bad = ({ code }: Outcome, index: number) => code !== 0 && !(index === 0 && code !== null && fromExits.includes(code));
  const [failed, other] = outcomes.filter(bad).sort((a, b) => lost(a) - lost(b) || a.order - b.order);
  if (failed === undefined) return;
  const also = other && other.signal !== "SIGPIPE" ? lastLines(other.stderr).map((line) => `${other.argv[0]}: ${line}`) : [];
  throw new HostError(failed.timedOut ? "TIMED_OUT" : "COMMAND_FAILED", `${failed.host}: ${failed.argv[0]} ${endedHow(failed)}`, {
    why: [...lastLines(failed.stderr), ...also],
    ...(failed.code === null ? {} : { exitCode: failed.code }),
  });
}

/** What a program of a chain has of its own. */
export function secretOf(options: ChainOptions, index: number, programs: readonly Argv[]) {
  const { secretFiles = {} } = options;
  return index === 0 && secretFiles.from ? secretFiles.from : index === programs.length - 1 ? secretFiles.to : undefined;
}
