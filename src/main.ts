import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Manner } from "./cli.js";
import type { ProvisionError } from "./core/errors.js";
import type { Reporter, Subject } from "./core/events.js";
import { PACKAGE_ROOT } from "./core/package-root.js";

const version = (JSON.parse(readFileSync(join(PACKAGE_ROOT, "package.json"), "utf8")) as { version: string }).version;

// A reader that goes away (`| head`) is no bug of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

const streams = {
  out: (text: string) => void process.stdout.write(text),
  err: (text: string) => void process.stderr.write(text),
};

async function reporterFor(manner: Manner): Promise<Reporter> {
  if (manner.format !== "table") {
    const { DocumentReporter } = await import("./reporters/document.js");
    return new DocumentReporter();
  }
  // A terminal that says it has 0 columns would get one character per line.
  const live =
    process.stderr.isTTY === true && (process.stderr.columns ?? 0) > 0 && process.env["CI"] === undefined && manner.verbosity >= 0;
  const terminal = process.stderr.isTTY === true;
  const width = terminal && (process.stderr.columns ?? 0) > 0 ? { width: process.stderr.columns } : {};
  const look = { color: manner.color && terminal, verbosity: manner.verbosity, ...width };
  if (live) {
    const { TtyReporter } = await import("./reporters/tty.js");
    return new TtyReporter(streams, look);
  }
  const { PlainReporter } = await import("./reporters/plain.js");
  return new PlainReporter(streams, look);
}

async function printDocument(document: unknown, manner: Manner): Promise<void> {
  if (manner.format === "json") streams.out(`${JSON.stringify(document)}\n`);
  else if (manner.format === "yaml") {
    const { stringify } = await import("yaml");
    streams.out(stringify(document));
  }
}

function stackOf(error: unknown): readonly string[] {
  return error instanceof Error && error.stack
    ? error.stack
        .split("\n")
        .slice(1, 6)
        .map((line) => line.trim())
    : [];
}

/** A command that could not be run at all: the same document and the same lines as for one that failed. */
async function refuse(subject: Subject, error: ProvisionError, reporter: Reporter, manner: Manner): Promise<number> {
  const { resultOf } = await import("./core/result.js");
  const failed = { type: "failed", error, outcome: "failed", exit: error.exit } as const;
  reporter.begin(subject)(failed);
  await reporter.end();
  await printDocument(resultOf(subject, [failed]), manner);
  return error.exit;
}

/** Asked to stop a second time: nothing is waited for, not even a drawn list. */
async function stoppedAtOnce(subject: Subject, manner: Manner): Promise<void> {
  const { ProvisionError } = await import("./core/errors.js");
  const { resultOf } = await import("./core/result.js");
  const { errorLines } = await import("./reporters/text.js");
  const error = new ProvisionError("NEEDS_ATTENTION", "stopped at once", {
    state: "what was under way stays as it is, and in its journal",
    next: ["provision operations list"],
  });
  if (manner.format === "table")
    streams.err(`\n${errorLines(subject, error, [], { color: manner.color && process.stderr.isTTY === true, verbosity: 0 }).join("\n")}\n`);
  else await printDocument(resultOf(subject, [{ type: "failed", error, outcome: "needs_attention", exit: error.exit }]), manner);
}

async function main(argv: readonly string[]): Promise<number> {
  const { mannerOf, runCommandLine, subjectOf } = await import("./cli.js");
  const { Stop, STOP_REASONS } = await import("./core/stop.js");
  const { EXIT, messageOf, ProvisionError, systemFailure } = await import("./core/errors.js");
  const manner = mannerOf(argv, process.env);
  // What draws for us (listr2) looks at the environment only.
  if (!manner.color) process.env["NO_COLOR"] = "1";
  const reporter = await reporterFor(manner);
  const stop = new Stop();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => stop.ask(STOP_REASONS[name]));
  stop.now.addEventListener("abort", () => {
    // Hosts listen to the same signal and end running programs with SIGKILL; the operation then ends with its journal open
    // and says so. What does not end by itself (a drawn list, a wait) is not waited for.
    setTimeout(() => void stoppedAtOnce(subjectOf(argv), manner).finally(() => process.exit(EXIT.NEEDS_ATTENTION)), 1000).unref();
  });
  try {
    const session = await runCommandLine(argv, { version, env: process.env, stop, reporter: () => reporter, print: streams.out });
    await reporter.end();
    if (!session) return 0;
    if (session.document) await printDocument(session.document, manner);
    return session.exit;
  } catch (error) {
    const known = error instanceof ProvisionError ? error : systemFailure(error);
    if (known) {
      return refuse(subjectOf(argv), known, reporter, manner);
    }
    const bug = new ProvisionError("BUG", `a bug in provision ${version}: ${messageOf(error)}`, {
      why: stackOf(error),
      state: "not known",
      cause: error,
    });
    if (manner.format !== "table") {
      const { resultOf } = await import("./core/result.js");
      await printDocument(resultOf(subjectOf(argv), [{ type: "failed", error: bug, outcome: "failed", exit: 70 }]), manner);
    }
    streams.err(
      `This is a bug in provision ${version}; please report it with the lines below.\n${error instanceof Error ? error.stack : String(error)}\n`,
    );
    return 70;
  }
}

const argv = process.argv.slice(2);
// Scripts ask for the version all the time: nothing else is loaded for it.
if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-V")) streams.out(`${version}\n`);
else
  void main(argv).then((code) => {
    process.exitCode = code;
  });
