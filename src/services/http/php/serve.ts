import { randomBytes } from "node:crypto";
import { closeSync, openSync, watch } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Layout } from "../../../context/layout.js";
import { isSystemError, messageOf, ProvisionError } from "../../../core/errors.js";
import { lockDescriptor } from "../../../core/lock.js";
import { Scope } from "../../../core/scope.js";
import type { Host } from "../../../host/host.js";
import { LocalHost } from "../../../host/local.js";
import type { OnServeEvent } from "./events.js";
import { Front } from "./front.js";
import { readGeneration, type ServePaths, type ServeState, servePaths } from "./state.js";

/** Processes for each PHP program, as PHP_CLI_SERVER_WORKERS would have. */
const PROCESSES = 4;
const LOOK_EVERY = 200;

export interface ServeOptions {
  readonly layout: Layout;
  /** Name of the server context, with its `@`. */
  readonly server: string;
  /** Default: this machine; it has to be. */
  readonly host?: Host;
  /** 0: any free one. */
  readonly port: number;
  /** Where to listen, `127.0.0.1`. */
  readonly address: string;
  readonly onEvent: OnServeEvent;
  /** Aborted: stop. */
  readonly signal: AbortSignal;
}

/**
 * Serves all sites of a server context until the signal is aborted; then every process it started is gone.
 * Follows the generation file: each activation gets new PHP processes, while the old ones finish what they do.
 *
 * Errors: LOCKED when another `serve` runs for this server, PORT_TAKEN, PERMISSION_DENIED (a port below 1024),
 * CONFIGURATION (an address that is not ours), PROGRAM_MISSING (flock).
 */
export async function serve(options: ServeOptions): Promise<void> {
  const { layout, server, port, address, onEvent, signal } = options;
  const host = options.host ?? new LocalHost(new Scope());
  const paths = servePaths(layout, server);
  await host.mkdir(layout.state);
  const lock = await takeLock(host, paths, server);
  try {
    const token = randomBytes(24).toString("hex");
    const front = new Front({ vhosts: paths.vhosts, generation: await readGeneration(host, paths), token, size: PROCESSES, onEvent });
    const listening = await front.listen(port, address);
    try {
      const state: ServeState = { pid: process.pid, address, port: listening, started: new Date().toISOString(), token };
      await host.writeFile(paths.state, `${JSON.stringify(state)}\n`, { mode: 0o600 });
      onEvent({ type: "listening", address, port: listening, pid: process.pid });
      await follow(host, paths, front, onEvent, signal);
    } finally {
      await front.close();
      await host.remove(paths.state);
    }
    onEvent({ type: "stopped" });
  } finally {
    closeSync(lock);
  }
}

/** Until the signal: the generation on disk is the one that is served. */
async function follow(host: Host, paths: ServePaths, front: Front, onEvent: OnServeEvent, signal: AbortSignal): Promise<void> {
  let wake = () => {};
  const stop = () => wake();
  const watcher = watchDirectory(paths.config, stop);
  signal.addEventListener("abort", stop);
  try {
    while (!signal.aborted) {
      try {
        await front.reload(await readGeneration(host, paths));
      } catch (error) {
        onEvent({ type: "problem", message: messageOf(error) });
      }
      if (signal.aborted) break;
      // Watching is quick, looking is certain: network file systems tell nobody.
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, LOOK_EVERY);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  } finally {
    signal.removeEventListener("abort", stop);
    watcher?.close();
  }
}

function watchDirectory(path: string, onChange: () => void) {
  try {
    const watcher = watch(path, { persistent: false }, onChange);
    watcher.on("error", () => watcher.close());
    return watcher;
  } catch {
    // It is not there yet, or there are no watches left.
    return undefined;
  }
}

async function takeLock(host: Host, paths: ServePaths, server: string): Promise<number> {
  const descriptor = openSync(paths.lock, "a", 0o640);
  try {
    // Whoever asks whether we run holds it for a moment.
    for (let attempt = 0; attempt < 10; attempt++) {
      if (lockDescriptor(descriptor, "exclusive")) return descriptor;
      await sleep(100);
    }
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  closeSync(descriptor);
  const text = await host.readFile(paths.state).catch((error) => {
    if (isSystemError(error)) return undefined;
    throw error;
  });
  const other = text === undefined ? undefined : (JSON.parse(text) as ServeState);
  throw new ProvisionError("LOCKED", `provision serve runs already for ${server}`, {
    why: other ? [`process ${other.pid}, http://${other.address}:${other.port}, since ${other.started}`] : [],
    state: "the other one serves on",
    next: other ? [`kill ${other.pid}    # to stop it`] : [],
  });
}
