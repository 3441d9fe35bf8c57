import { createHash } from "node:crypto";
import type { Host } from "../../host/host.js";
import type { Services } from "../services.js";

/** What stood at some paths before an operation: type, mode and content, or null for nothing. A path of another machine has its name before it. */
export type Baseline = Readonly<Record<string, string | null>>;

/** Looks at each path itself: a directory's own mode, not what is in it. */
export async function baselineOf(host: Host, paths: readonly string[]): Promise<Baseline> {
  const found: Record<string, string | null> = {};
  for (const path of paths) found[host.name === HUB ? path : `${host.name}:${path}`] = await stateOf(host, path);
  return found;
}

/** Name of the host that the hub is. */
const HUB = "local";

async function stateOf(host: Host, path: string): Promise<string | null> {
  const stat = await host.stat(path);
  if (!stat) return null;
  if (stat.type === "link") return `link to ${await host.readLink(path)}`;
  if (stat.type !== "file") return `${stat.type} ${stat.mode.toString(8)}`;
  const hash = createHash("sha256").update((await host.readBytes(path)) ?? "");
  return `file ${stat.mode.toString(8)} ${hash.digest("hex").slice(0, 16)}`;
}

/** What is not as it was, one line each. */
export async function differences(use: Pick<Services, "reach">, baseline: Baseline): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const [key, was] of Object.entries(baseline)) {
    const at = key.indexOf("/");
    const now = await stateOf(use.reach(key.slice(0, at).replace(/:$/, "") || HUB), key.slice(at));
    if (now !== was) lines.push(`${key} is ${now ?? "absent"}, was ${was ?? "absent"}`);
  }
  return lines;
}
