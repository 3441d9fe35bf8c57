import { ProvisionError } from "../core/errors.js";
import type { Host } from "../host/host.js";
import { backdrop } from "./backdrop/index.js";
import { drupal } from "./drupal/index.js";
import { drupal7 } from "./drupal7/index.js";
import type { Core, Engine } from "./engine.js";

/** Every engine, by the name that Core.engine gives. */
export const ENGINES: ReadonlyMap<string, Engine> = new Map([drupal7, drupal, backdrop].map((engine) => [engine.name, engine]));

/** The core at `root` (absolute), whichever engine drives it. Rejects with FILE_NOT_FOUND, or NOT_A_PLATFORM when there is none or half of one. */
export async function detectCore(host: Host, root: string): Promise<Core> {
  for (const engine of ENGINES.values()) {
    const core = await engine.detect(host, root);
    if (core !== undefined) return core;
  }
  const names = await host.list(root);
  if (names === undefined) throw new ProvisionError("FILE_NOT_FOUND", `${host.name}:${root} does not exist`);
  throw new ProvisionError("NOT_A_PLATFORM", `${host.name}:${root} holds no core that provision can drive`, {
    why: [
      `looked for: ${[...ENGINES.values()].map((engine) => engine.label).join(", ")}`,
      names.length === 0 ? "the directory is empty" : `it holds: ${names.slice(0, 10).join(", ")}${names.length > 10 ? " …" : ""}`,
    ],
  });
}

/** The engine of a name that detectCore gave. */
export function engineNamed(name: string): Engine {
  const engine = ENGINES.get(name);
  if (engine === undefined) {
    throw new ProvisionError("CONFIGURATION", `There is no engine ${name}`, { why: [`there is: ${[...ENGINES.keys()].join(", ")}`] });
  }
  return engine;
}
