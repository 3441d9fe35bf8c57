import { setTimeout as sleep } from "node:timers/promises";
import { type Host, isAway } from "../../../host/host.js";
import { ask } from "../ask.js";
import { MARKER_HEADER, MARKER_HOST, PROCESS_HEADER } from "../routing.js";

/** What answers on the port of the web server. */
export interface Marker {
  /** nobody; somebody that is not ours or does not include our file; the daemon, with the generation that it serves. */
  readonly state: "down" | "foreign" | "serving";
  readonly generation?: string;
  /** Process id of who answered, where the daemon tells it. */
  readonly process?: string;
}

/** Rejects with HOST_UNAVAILABLE where the machine is away: its web server may well be up. */
export async function readMarker(host: Host, port: number): Promise<Marker> {
  try {
    const { headers } = await ask({ from: host, port, path: "/", headers: { host: MARKER_HOST }, timeout: 10_000 });
    const generation = headers[MARKER_HEADER];
    if (generation === undefined) return { state: "foreign" };
    const process = headers[PROCESS_HEADER];
    return { state: "serving", generation, ...(process === undefined ? {} : { process }) };
  } catch (error) {
    if (isAway(error)) throw error;
    return { state: "down" };
  }
}

/**
 * Process ids of nginx's workers that take connections, found from one of them. For a moment after a reload the
 * old ones do so beside the new ones. Empty when /proc does not tell.
 */
export async function workers(host: Host, worker: string | undefined): Promise<readonly string[]> {
  if (worker === undefined || !/^\d+$/.test(worker)) return [];
  const stat = await host.readFile(`/proc/${worker}/stat`).catch(() => undefined);
  const parent = stat && /\) \S+ (\d+)/.exec(stat)?.[1];
  if (parent === undefined) return [];
  const children = (await host.readFile(`/proc/${parent}/task/${parent}/children`).catch(() => undefined))?.split(" ") ?? [];
  const taking: string[] = [];
  for (const child of children) if (child !== "" && (await takesConnections(host, child))) taking.push(child);
  return taking;
}

async function takesConnections(host: Host, process: string): Promise<boolean> {
  const title = await host.readFile(`/proc/${process}/cmdline`).catch(() => undefined);
  return title?.includes("worker process") === true && !title.includes("shutting down");
}

/** Waits until none of these workers takes connections any more; false when `deadline` (ms since the epoch) came first. */
export async function retired(host: Host, old: readonly string[], deadline: number): Promise<boolean> {
  for (const process of old) {
    while (await takesConnections(host, process)) {
      if (Date.now() >= deadline) return false;
      await sleep(10);
    }
  }
  return true;
}
