/**
 * Exit codes are an interface: scripts and cron jobs branch on them. Add, never renumber.
 * The table is printed by `--help` and in the README.
 */
export const EXIT = {
  DONE: 0,
  FAILED: 1,
  DIFFERENCES: 2,
  SOME_FAILED: 3,
  ROLLED_BACK: 4,
  NEEDS_ATTENTION: 5,
  PROBLEMS: 6,
  USAGE: 64,
  BAD_INPUT: 65,
  NOT_FOUND: 66,
  UNAVAILABLE: 69,
  BUG: 70,
  LOCKED: 75,
  PERMISSION: 77,
  CONFIGURATION: 78,
  TIMED_OUT: 124,
  SIGHUP: 129,
  SIGINT: 130,
  SIGTERM: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/**
 * Every failure a user can meet has a code of its own; the number is the exit code it ends with
 * when nothing was applied. After an operation has begun to change things the outcome of the
 * roll-back decides (core/result.ts), and the code still says what went wrong.
 */
const ERROR_EXIT = {
  // the operation could not do its work
  FAILED: EXIT.FAILED,
  REFUSED: EXIT.FAILED,
  COMMAND_FAILED: EXIT.FAILED,
  BUILD_FAILED: EXIT.FAILED,
  DOWNLOAD_FAILED: EXIT.FAILED,
  CHECKSUM_MISMATCH: EXIT.FAILED,
  PATCH_FAILED: EXIT.FAILED,
  LOCK_MISMATCH: EXIT.FAILED,
  INSTALL_FAILED: EXIT.FAILED,
  ENGINE_FAILED: EXIT.FAILED,
  WRONG_SITE: EXIT.FAILED,
  UPDATEDB_FAILED: EXIT.FAILED,
  PROBE_FAILED: EXIT.FAILED,
  CERTIFICATE_FAILED: EXIT.FAILED,
  DISK_FULL: EXIT.FAILED,
  NAME_TAKEN: EXIT.FAILED,
  ALREADY_INSTALLED: EXIT.FAILED,
  NOT_INSTALLED: EXIT.FAILED,
  IN_USE: EXIT.FAILED,
  PLATFORM_LOCKED: EXIT.FAILED,
  NOT_A_PLATFORM: EXIT.FAILED,
  PLAN_CHANGED: EXIT.FAILED,
  COMMITTED: EXIT.FAILED,
  UNDOING: EXIT.FAILED,
  NOT_OPEN: EXIT.FAILED,
  BUG: EXIT.BUG,
  // verdicts
  PROBLEMS_FOUND: EXIT.PROBLEMS,
  NEEDS_ATTENTION: EXIT.NEEDS_ATTENTION,
  // what the user gave
  USAGE: EXIT.USAGE,
  CONFIRMATION_NEEDED: EXIT.USAGE,
  INVALID_VALUE: EXIT.USAGE,
  INVALID_FILE: EXIT.BAD_INPUT,
  INVALID_REFERENCE: EXIT.BAD_INPUT,
  CONTEXT_NOT_FOUND: EXIT.NOT_FOUND,
  FILE_NOT_FOUND: EXIT.NOT_FOUND,
  OPERATION_NOT_FOUND: EXIT.NOT_FOUND,
  // the world around
  HOST_UNAVAILABLE: EXIT.UNAVAILABLE,
  SERVICE_UNAVAILABLE: EXIT.UNAVAILABLE,
  PORT_TAKEN: EXIT.UNAVAILABLE,
  HOST_KEY_UNKNOWN: EXIT.CONFIGURATION,
  HOST_KEY_CHANGED: EXIT.PERMISSION,
  LOCKED: EXIT.LOCKED,
  INTERRUPTED: EXIT.LOCKED,
  PERMISSION_DENIED: EXIT.PERMISSION,
  DATABASE_LOGIN_REFUSED: EXIT.PERMISSION,
  DATABASE_RIGHT_MISSING: EXIT.PERMISSION,
  HUB_NOT_FOUND: EXIT.CONFIGURATION,
  PROGRAM_MISSING: EXIT.CONFIGURATION,
  DATABASE_TOO_OLD: EXIT.CONFIGURATION,
  CONFIGURATION: EXIT.CONFIGURATION,
  TIMED_OUT: EXIT.TIMED_OUT,
  STOPPED: EXIT.SIGINT,
} as const satisfies Record<string, ExitCode>;

export type ErrorCode = keyof typeof ERROR_EXIT;

/** One of several things that failed in one piece of work: a row of the table behind «Why», an object of `error.failures` with --json. */
export interface FailedEntry {
  readonly entry: string;
  /** Of what kind it is: `module`, `library`; empty when that is not known yet. */
  readonly type: string;
  /** Where it comes from, or else where it is asked for; without credentials. */
  readonly source: string;
  readonly reason: string;
}

export interface ErrorDetails {
  /** Reasons, most telling first: the lines behind «Why». */
  readonly why?: readonly string[];
  /** Shown as a table, before the reasons; `why` has a line for each, too. */
  readonly failures?: readonly FailedEntry[];
  /** What the target is now: the line behind «Now». */
  readonly state?: string;
  /** What to type or change next: the lines behind «Next». */
  readonly next?: readonly string[];
  readonly cause?: unknown;
}

/**
 * The one error a user can meet. Its message says what failed, on which host, with which file;
 * anything else that reaches `main` is a bug (stack, exit 70).
 */
export class ProvisionError extends Error {
  readonly code: ErrorCode;
  /** Everything that can be said of it in lines: failures first, then reasons. */
  readonly why: readonly string[];
  readonly failures: readonly FailedEntry[];
  /** What is not said by failures. */
  readonly reasons: readonly string[];
  readonly state: string | undefined;
  readonly next: readonly string[];

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? {} : { cause: details.cause });
    this.name = "ProvisionError";
    this.code = code;
    this.failures = details.failures ?? [];
    this.reasons = details.why ?? [];
    this.why = [...this.failures.map(({ entry, reason }) => `${entry}: ${reason}`), ...this.reasons];
    this.state = details.state;
    this.next = details.next ?? [];
  }

  get exit(): ExitCode {
    return ERROR_EXIT[this.code];
  }

  /** The same error with more said about it; what it already says comes first. */
  with(details: ErrorDetails): ProvisionError {
    const state = this.state ?? details.state;
    return new ProvisionError(this.code, this.message, {
      why: [...this.reasons, ...(details.why ?? [])],
      failures: [...this.failures, ...(details.failures ?? [])],
      ...(state === undefined ? {} : { state }),
      next: [...this.next, ...(details.next ?? [])],
      cause: this.cause ?? details.cause,
    });
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** True for a Node.js system error with this code (`ENOENT`, `ENOSPC`, …). */
export function isSystemError(error: unknown, code?: string): error is NodeJS.ErrnoException {
  return error instanceof Error && "code" in error && "syscall" in error && (code === undefined || error.code === code);
}

/** What the operating system refused, as an error a user can act on; undefined for anything else. */
export function systemFailure(error: unknown): ProvisionError | undefined {
  if (!isSystemError(error)) return undefined;
  const path = error.path ?? "a file";
  switch (error.code) {
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new ProvisionError(
        "PERMISSION_DENIED",
        `${path}: ${error.code === "EROFS" ? "the file system is read-only" : "permission denied"}`,
        {
          next: ["run provision as the account that owns the hub (script_user of @server_master)"],
          cause: error,
        },
      );
    case "ENOSPC":
    case "EDQUOT":
      return new ProvisionError("DISK_FULL", `${path}: no space left`, { cause: error });
    default:
      return undefined;
  }
}

/** The nearest of `known` to `word`, when near enough to be meant (two edits, or a third of its length). */
export function didYouMean(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word, candidate, bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = (previous[column - 1] as number) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min((previous[column] as number) + 1, (current[column - 1] as number) + 1, substitution));
    }
    previous = current;
  }
  return previous[b.length] as number;
}
