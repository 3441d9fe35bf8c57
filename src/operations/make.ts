import { readFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { diagnosticLine, type MakeOptions, makeSource, readLock } from "../builds/make/index.js";
import { insideTree, unsafePath } from "../builds/make/safe-path.js";
import type { BuildRequest } from "../builds/source.js";
import { findHub } from "../context/find-hub.js";
import { ProvisionError } from "../core/errors.js";
import type { Emit } from "../core/events.js";
import type { Json } from "../core/json.js";
import { Scope } from "../core/scope.js";
import type { Stop } from "../core/stop.js";
import type { Host } from "../host/host.js";
import { LocalHost } from "../host/local.js";

export interface MakeArgs {
  /** Everything the build itself is asked for; `makefile` is an absolute path, URL, or `-`. */
  readonly options: MakeOptions;
  /** Absolute. */
  readonly destination: string;
  readonly jobs: number;
  readonly offline: boolean;
  readonly dryRun: boolean;
  readonly hub: string | undefined;
  /** Remarks on the make file refuse it. */
  readonly strict: boolean;
  /** Nothing is taken from, or left in, the cache. */
  readonly noCache: boolean;
  /** Built and thrown away. */
  readonly test: boolean;
  /** Nothing is fetched either: only whether all of it can be had. */
  readonly lookOnly: boolean;
  /** Where the lock of what was built is written, absolute. */
  readonly writeLock: string | undefined;
  /** A lock to build from, absolute. */
  readonly readLock: string | undefined;
}

/** Builds a tree outside of any platform. Whole or not at all by itself (beside, then renamed), so there is no journal. */
export async function makeTree(args: MakeArgs, stop: Stop, emit: Emit): Promise<void> {
  const begun = Date.now();
  const scope = new Scope();
  scope.signal = stop.signal;
  scope.kill = stop.now;
  const host = new LocalHost(scope);
  const options = await completed(args, host);
  if (!args.test) await healed(args, host, emit);
  if ((await host.stat(args.destination)) && !options.noCore && !options.tar && !args.test)
    throw new ProvisionError("NAME_TAKEN", `${args.destination} is there already`, { next: ["name a path that does not exist"] });
  if (args.strict) await refuseRemarks(options, host);
  const { cache, mirrors } = await surroundings(args.hub);
  if (args.lookOnly) return look(args, options, { host, cache, mirrors }, stop, emit);
  const step = { step: "make", title: `Build ${args.destination} from ${options.makefile}` };
  if (args.dryRun) {
    emit({ type: "finished", ...step, outcome: "would_change", changes: [`build ${args.destination}`], ms: 0 });
    emit({ type: "ended", ms: Date.now() - begun });
    return;
  }
  emit({ type: "planned", steps: [{ id: "make", title: step.title }] });
  emit({ type: "started", ...step });
  const scratch = args.noCache || args.test ? await mkdtemp(join(tmpdir(), "provision-make-")) : undefined;
  const destination = scratch !== undefined && args.test ? join(scratch, "tree") : args.destination;
  try {
    const report = await makeSource(options).build({
      host,
      destination,
      cache: scratch !== undefined && args.noCache ? join(scratch, "cache") : cache,
      mirrors,
      offline: args.offline,
      jobs: args.jobs,
      signal: stop.signal,
      progress: (message) => emit({ type: "progress", message }),
    });
    for (const message of report.warnings) emit({ type: "warning", message });
    const relock = args.writeLock !== undefined && report.lock !== undefined && (await host.readFile(args.writeLock)) !== report.lock;
    if (args.writeLock !== undefined && report.lock !== undefined && relock) await host.writeFile(args.writeLock, report.lock);
    const same = args.test || (report.unchanged === true && !relock);
    const built = report.entries.map(({ name, source: from, path }) => `${name} (${from}) → ${path === "" ? "." : path}`);
    emit({ type: "finished", ...step, outcome: same ? "ok" : "changed", changes: same ? [] : built, ms: Date.now() - begun });
    if (args.test) emit({ type: "note", message: `${report.entries.length} entries were built and thrown away` });
    if (report.md5 !== undefined) emit({ type: "text", lines: [report.md5] });
    emit({
      type: "data",
      data: {
        ...(args.test ? {} : { path: report.path ?? args.destination }),
        entries: report.entries as unknown as Json,
        ...(report.md5 === undefined ? {} : { md5: report.md5 }),
        ...(args.writeLock === undefined ? {} : { lock: args.writeLock }),
      },
    });
    emit({ type: "ended", ms: Date.now() - begun });
  } catch (error) {
    if (!(error instanceof ProvisionError)) throw error;
    emit({ type: "finished", ...step, outcome: "failed", changes: [error.message], ms: Date.now() - begun });
    const exit = stop.reason?.exit ?? error.exit;
    emit({ type: "failed", error: error.with({ state: `nothing was put at ${args.destination}` }), outcome: "failed", exit });
    emit({ type: "ended", ms: Date.now() - begun });
  } finally {
    if (scratch !== undefined) await host.remove(scratch);
  }
}

/** What a build left that was killed between two places comes first, also when this one fails. */
async function healed({ destination, dryRun }: MakeArgs, host: Host, emit: Emit): Promise<void> {
  const { putBackInterrupted } = await import("../builds/make/into-directory.js");
  for (const { finished, places } of await putBackInterrupted(host, destination, dryRun)) {
    const done = finished
      ? `all was in place, and that ${dryRun ? "would be" : "was"} recorded`
      : `${places.join(", ")} ${dryRun ? "would be" : "was"} put back as before it`;
    emit({ type: "warning", message: `an earlier build was killed while it put things into ${destination}: ${done}` });
  }
}

async function completed({ options, readLock: path, writeLock }: MakeArgs, host: Host): Promise<MakeOptions> {
  const text = path === undefined ? undefined : await host.readFile(path);
  if (path !== undefined && text === undefined)
    throw new ProvisionError("FILE_NOT_FOUND", `there is no lock ${path}`, { next: [`the same command with --lock=${path} writes it`] });
  const { bundleLockfile: bundle } = options;
  const inside = bundle === undefined ? undefined : insideTree(bundle);
  const why = bundle?.startsWith("/") ? "it is absolute" : inside === "" ? "it names no file" : inside && unsafePath(inside);
  if (bundle !== undefined && (inside === undefined || why))
    throw new ProvisionError("USAGE", `--bundle-lockfile=${bundle} is refused: ${why || "it leads out of the build"}`);
  return {
    ...options,
    ...(inside === undefined ? {} : { bundleLockfile: inside }),
    ...(options.makefile === "-" ? { text: readFileSync(0, "utf8") } : {}),
    ...(path !== undefined && text !== undefined ? { lock: await readLock(text, path) } : {}),
    ...(writeLock === undefined ? {} : { withLock: true }),
  };
}

/** What a build would begin with: releases and repositories are asked, and all that cannot be had is told. */
async function look(
  args: MakeArgs,
  options: MakeOptions,
  tools: Pick<BuildRequest, "host" | "cache" | "mirrors">,
  stop: Stop,
  emit: Emit,
): Promise<void> {
  const begun = Date.now();
  const { resolveMakeFile } = await import("../builds/make/resolved.js");
  const staging = await mkdtemp(join(tmpdir(), "provision-make-"));
  const { entries, warnings } = await resolveMakeFile(options, {
    ...tools,
    staging,
    offline: args.offline,
    jobs: args.jobs,
    signal: stop.signal,
    progress: (message) => emit({ type: "progress", message }),
  });
  for (const message of warnings) emit({ type: "warning", message });
  emit({ type: "note", message: `${entries} entries are to be had; nothing was built (--no-build)` });
  emit({ type: "data", data: { entries } });
  emit({ type: "ended", ms: Date.now() - begun });
}

async function refuseRemarks({ makefile, text, noCore }: MakeOptions, host: Host): Promise<void> {
  if (/^https?:/i.test(makefile))
    throw new ProvisionError("USAGE", "--strict reads a make file before it is built: fetch it first, and name the local file");
  const { checkMakeFile } = await import("../builds/make/check.js");
  const { diagnostics } = await checkMakeFile(makefile, makefile, host, {
    ...(text === undefined ? {} : { text }),
    noCore: noCore === true,
  });
  const remarks = diagnostics.filter(({ code }) => code !== "include/not-read");
  if (remarks.length === 0) return;
  throw new ProvisionError(
    "INVALID_FILE",
    `${makefile} is refused by --strict: ${remarks.length} remark${remarks.length === 1 ? "" : "s"}`,
    {
      why: remarks.map(diagnosticLine),
      state: "nothing was built",
    },
  );
}

/** A hub's cache and mirrors when there is one, else the user's own cache. */
export async function surroundings(
  hub: string | undefined,
): Promise<{ readonly cache: string; readonly mirrors: Readonly<Record<string, string>> }> {
  try {
    const root = await findHub({ hub, env: process.env, cwd: process.cwd() });
    // with the schemas of all settings: a third of the time that a build outside of a hub takes to start
    const { loadHub, mirrorPlaces } = await import("../context/hub.js");
    const { layout, settings } = await loadHub(root);
    return { cache: layout.cache, mirrors: mirrorPlaces(layout, settings.mirrors) };
  } catch (error) {
    if (!(error instanceof ProvisionError) || error.code !== "HUB_NOT_FOUND" || hub !== undefined) throw error;
    return { cache: join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "provision"), mirrors: {} };
  }
}
