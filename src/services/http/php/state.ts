import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Layout } from "../../../context/layout.js";
import { isSystemError } from "../../../core/errors.js";
import { lockDescriptor } from "../../../core/lock.js";
import type { Host } from "../../../host/host.js";

/** What a running `serve` says of itself in `state/serve.<server>.json`. */
export interface ServeState {
  readonly pid: number;
  readonly address: string;
  readonly port: number;
  /** ISO time. */
  readonly started: string;
  /** For the marker; the file is 0600. */
  readonly token: string;
}

/** Where PHP's server of one server context keeps its files. `server` is the context's name with its `@`. */
export interface ServePaths {
  readonly config: string;
  readonly vhosts: string;
  /** What runs must have been started for what this file says; changed by every activation. */
  readonly generation: string;
  readonly state: string;
  readonly lock: string;
  /** Directory of the inner locks. */
  readonly locks: string;
}

export function servePaths(layout: Layout, server: string): ServePaths {
  const config = layout.httpConfig(server, "php");
  const name = server.slice(1);
  return {
    config,
    vhosts: join(config, "vhost.d"),
    generation: join(config, "generation"),
    state: join(layout.state, `serve.${name}.json`),
    lock: join(layout.state, `serve.${name}.lock`),
    locks: join(layout.state, "locks"),
  };
}

/** The generation on disk; a server that was never activated has the first. */
export async function readGeneration(host: Host, paths: ServePaths): Promise<string> {
  return (await host.readFile(paths.generation))?.trim() || "0";
}

/** The running `serve`, or undefined: a state file without the lock being held was left by one that was killed. */
export async function runningServe(host: Host, paths: ServePaths): Promise<ServeState | undefined> {
  // Between lock and state file there is a moment.
  for (let attempt = 0; attempt < 20; attempt++) {
    if (!isLocked(paths.lock)) return undefined;
    const text = await host.readFile(paths.state);
    if (text !== undefined) return JSON.parse(text) as ServeState;
    await sleep(50);
  }
  return undefined;
}

function isLocked(path: string): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return false;
    throw error;
  }
  try {
    return !lockDescriptor(descriptor, "shared");
  } finally {
    closeSync(descriptor);
  }
}
