import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { makeSource } from "../builds/make/index.js";
import { findHub, loadHub, mirrorPlaces } from "../context/hub.js";
import { ProvisionError } from "../core/errors.js";
import type { Emit } from "../core/events.js";
import type { Json } from "../core/json.js";
import { Scope } from "../core/scope.js";
import type { Stop } from "../core/stop.js";
import { LocalHost } from "../host/local.js";

export interface MakeArgs {
  /** Absolute path, URL, or `-`. */
  readonly makefile: string;
  /** Absolute. */
  readonly destination: string;
  readonly jobs: number;
  readonly offline: boolean;
  readonly dryRun: boolean;
  readonly hub: string | undefined;
  readonly noCore: boolean;
  readonly contribDestination: string | undefined;
  readonly projects: readonly string[] | undefined;
  readonly libraries: readonly string[] | undefined;
  readonly noRecursion: boolean;
  readonly noPatchTxt: boolean;
}

/** Builds a tree outside of any platform. Whole or not at all by itself (beside, then renamed), so there is no journal. */
export async function makeTree(args: MakeArgs, stop: Stop, emit: Emit): Promise<void> {
  const begun = Date.now();
  const scope = new Scope();
  scope.signal = stop.signal;
  scope.kill = stop.now;
  const host = new LocalHost(scope);
  if (await host.stat(args.destination))
    throw new ProvisionError("NAME_TAKEN", `${args.destination} is there already`, { next: ["name a path that does not exist"] });
  const { cache, mirrors } = await surroundings(args.hub);
  const step = { step: "make", title: `Build ${args.destination} from ${args.makefile}` };
  if (args.dryRun) {
    emit({ type: "finished", ...step, outcome: "would_change", changes: [`build ${args.destination}`], ms: 0 });
    emit({ type: "ended", ms: Date.now() - begun });
    return;
  }
  emit({ type: "planned", steps: [{ id: "make", title: step.title }] });
  emit({ type: "started", ...step });
  const source = makeSource({
    makefile: args.makefile,
    ...(args.makefile === "-" ? { text: readFileSync(0, "utf8") } : {}),
    noCore: args.noCore,
    noRecursion: args.noRecursion,
    noPatchTxt: args.noPatchTxt,
    ...(args.contribDestination === undefined ? {} : { contribDestination: args.contribDestination }),
    ...(args.projects === undefined ? {} : { projects: args.projects }),
    ...(args.libraries === undefined ? {} : { libraries: args.libraries }),
  });
  try {
    const report = await source.build({
      host,
      destination: args.destination,
      cache,
      mirrors,
      offline: args.offline,
      jobs: args.jobs,
      signal: stop.signal,
      progress: (message) => emit({ type: "progress", message }),
    });
    for (const message of report.warnings) emit({ type: "warning", message });
    emit({
      type: "finished",
      ...step,
      outcome: "changed",
      changes: report.entries.map(({ name, source: from, path }) => `${name} (${from}) → ${path === "" ? "." : path}`),
      ms: Date.now() - begun,
    });
    emit({ type: "data", data: { path: args.destination, entries: report.entries as unknown as Json } });
    emit({ type: "ended", ms: Date.now() - begun });
  } catch (error) {
    if (!(error instanceof ProvisionError)) throw error;
    emit({ type: "finished", ...step, outcome: "failed", changes: [error.message], ms: Date.now() - begun });
    const exit = stop.reason?.exit ?? error.exit;
    emit({ type: "failed", error: error.with({ state: `nothing was put at ${args.destination}` }), outcome: "failed", exit });
    emit({ type: "ended", ms: Date.now() - begun });
  }
}

/** A hub's cache and mirrors when there is one, else the user's own cache. */
async function surroundings(
  hub: string | undefined,
): Promise<{ readonly cache: string; readonly mirrors: Readonly<Record<string, string>> }> {
  try {
    const { layout, settings } = await loadHub(await findHub({ hub, env: process.env, cwd: process.cwd() }));
    return { cache: layout.cache, mirrors: mirrorPlaces(layout, settings.mirrors) };
  } catch (error) {
    if (!(error instanceof ProvisionError) || error.code !== "HUB_NOT_FOUND" || hub !== undefined) throw error;
    return { cache: join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "provision"), mirrors: {} };
  }
}
