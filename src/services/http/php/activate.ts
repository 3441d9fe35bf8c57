import { randomBytes } from "node:crypto";
import { basename, dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf, ProvisionError } from "../../../core/errors.js";
import type { Json } from "../../../core/json.js";
import { withInnerLock } from "../../../core/lock.js";
import type { Decision, Step, Undo } from "../../../core/step.js";
import { besidePath, type Host } from "../../../host/host.js";
import type { ConfigFile } from "../service.js";
import { ask, MARKER_PATH, type Marker, reachable, TOKEN } from "./protocol.js";
import { readGeneration, runningServe, type ServePaths, type ServeState } from "./state.js";
import { hashOf } from "./vhost-files.js";

/** Within this time a running `serve` has to have taken over what was written. */
const PROOF_TIMEOUT = 10_000;
/** How the front says that a site's PHP does not start. */
const NOT_STARTED = "PHP does not start: ";

/** One server's configuration, as files and as what a running `serve` makes of it. */
export interface Served {
  readonly host: Host;
  readonly paths: ServePaths;
  /** Context name with its `@`. */
  readonly server: string;
}

/** Makes the files so, has new PHP processes started and lets them prove what they read; see HttpService.activate. */
export function activateStep(served: Served, id: string, title: string, files: readonly ConfigFile[], more: Pick<Step, "phase">): Step {
  return {
    id,
    title,
    ...more,
    async check() {
      const decision = await decide(served, files);
      return more.phase === undefined || more.phase === "undoable" ? decision : { changes: decision.changes };
    },
    async apply() {
      for (const file of files) checkCandidate(file);
      await bringAbout(served, files, true);
      return null;
    },
  };
}

/** The undo kind `http_restore`: the old files, served again. Writes and reloads only what is not yet so. */
export async function restoreFiles(served: Served, files: readonly ConfigFile[]): Promise<void> {
  for (const { path } of files) await served.host.remove(besidePath(path));
  await withInnerLock(served.paths.locks, `http.${served.server.slice(1)}`, () => served.host.remove(besidePath(served.paths.generation)));
  // The journal knows null, not undefined.
  await bringAbout(
    served,
    files.map(({ path, content }) => ({ path, content: content ?? undefined })),
    false,
  );
}

/** New PHP processes for files that stay as they are. */
export async function reloadFiles(served: Served, paths: readonly string[]): Promise<void> {
  const files = await Promise.all(paths.map(async (path) => ({ path, content: await served.host.readFile(path) })));
  await bringAbout(served, files, true);
}

async function decide(served: Served, files: readonly ConfigFile[]): Promise<Decision> {
  const changes: string[] = [];
  const before: { path: string; content: string | null }[] = [];
  for (const file of files) {
    const content = await served.host.readFile(file.path);
    if (content === file.content) continue;
    changes.push(`${content === undefined ? "create" : file.content === undefined ? "remove" : "update"} ${file.path}`);
    before.push({ path: file.path, content: content ?? null });
  }
  if (changes.length === 0) {
    const running = await runningServe(served.host, served.paths);
    const wrong = running && (await firstUnproven(served, running, files));
    if (wrong !== undefined) changes.push(`reload provision serve of ${served.server}: ${wrong}`);
  }
  if (changes.length === 0) return { changes };
  const undo: Undo = { do: "http_restore", host: served.host.name, server: served.server, files: before satisfies Json };
  return { changes, undo: [undo] };
}

async function bringAbout(served: Served, files: readonly ConfigFile[], always: boolean): Promise<void> {
  const { host, paths } = served;
  await withInnerLock(paths.locks, `http.${served.server.slice(1)}`, async () => {
    let changed = always;
    for (const file of files) {
      if ((await host.readFile(file.path)) === file.content) continue;
      changed = true;
      if (file.content === undefined) await host.remove(file.path);
      else {
        await host.mkdir(dirname(file.path));
        await host.writeFile(file.path, file.content);
      }
    }
    let running = await runningServe(host, paths);
    if (!changed && (running === undefined || (await firstUnproven(served, running, files)) === undefined)) return;
    await host.mkdir(paths.config);
    await host.writeFile(paths.generation, `${Date.now().toString(36)}-${randomBytes(4).toString("hex")}\n`);
    const deadline = Date.now() + PROOF_TIMEOUT;
    for (let refused = 0; ; ) {
      // It may have been stopped meanwhile, and then there is nobody to prove it.
      running = await runningServe(host, paths);
      if (running === undefined) return;
      const wrong = await firstUnproven(served, running, files);
      if (wrong === undefined) return;
      // A PHP that could not be started three times will not be by waiting.
      if (wrong.startsWith(NOT_STARTED)) refused++;
      if (refused === 3 || Date.now() >= deadline) {
        throw new ProvisionError("SERVICE_UNAVAILABLE", `provision serve of ${served.server} did not take over its new configuration`, {
          why: [wrong],
          next: ["look at the output of provision serve, or stop it and start it again"],
        });
      }
      await sleep(50);
    }
  });
}

/** What the daemon does not serve as it should; undefined when all is proven. */
async function firstUnproven(served: Served, running: ServeState, files: readonly ConfigFile[]): Promise<string | undefined> {
  const generation = await readGeneration(served.host, served.paths);
  for (const file of files) {
    const name = basename(file.path);
    let marker: Marker;
    try {
      const answer = await ask({
        address: reachable(running.address),
        port: running.port,
        path: `${MARKER_PATH}?file=${encodeURIComponent(name)}`,
        headers: { host: "provision", [TOKEN]: running.token },
        timeout: PROOF_TIMEOUT,
      });
      if (answer.status === 503) return `${NOT_STARTED}${answer.body.trim()}`;
      if (answer.status !== 200) return `it answers ${answer.status} when asked about ${name}: ${answer.body.trim()}`;
      marker = JSON.parse(answer.body) as Marker;
    } catch (error) {
      return `it does not answer: ${messageOf(error)}`;
    }
    if (marker.generation !== generation) return `its PHP was started for generation ${marker.generation}, not ${generation}`;
    if (marker.hash !== (file.content === undefined ? null : hashOf(file.content))) return `PHP does not see ${name} as it was written`;
  }
  return undefined;
}

/** PHP's server has no configuration test; what its router needs is looked at here, before anything is replaced. */
function checkCandidate(file: ConfigFile): void {
  if (file.content === undefined) return;
  let data: unknown;
  try {
    data = JSON.parse(file.content);
  } catch (error) {
    throw new ProvisionError("CONFIGURATION", `the new ${file.path} is not JSON: ${messageOf(error)}`, { state: "nothing was replaced" });
  }
  const has = (name: string, type: string) => typeof (data as Record<string, unknown>)[name] === type;
  const complete =
    typeof data === "object" &&
    data !== null &&
    (has("alias_of", "string") ||
      (["uri", "docroot", "directory", "files", "php"].every((name) => has(name, "string")) &&
        has("enabled", "boolean") &&
        Array.isArray((data as Record<string, unknown>)["frontControllers"])));
  if (!complete) throw new ProvisionError("CONFIGURATION", `the new ${file.path} is not a vhost`, { state: "nothing was replaced" });
}
