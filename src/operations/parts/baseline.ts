import { createHash } from "node:crypto";
import type { Host } from "../../host/host.js";

/** What stood at some paths before an operation: type, mode and content, or null for nothing. */
export type Baseline = Readonly<Record<string, string | null>>;

/** Looks at each path itself: a directory's own mode, not what is in it. */
export async function baselineOf(host: Host, paths: readonly string[]): Promise<Baseline> {
  const found: Record<string, string | null> = {};
  for (const path of paths) {
    const stat = await host.stat(path);
    if (!stat) found[path] = null;
    else if (stat.type === "link") found[path] = `link to ${await host.readLink(path)}`;
    else if (stat.type === "file")
      found[path] = `file ${stat.mode.toString(8)} ${createHash("sha256")
        .update((await host.readBytes(path)) ?? "")
        .digest("hex")
        .slice(0, 16)}`;
    else found[path] = `${stat.type} ${stat.mode.toString(8)}`;
  }
  return found;
}

/** What is not as it was, one line each. */
export async function differences(host: Host, baseline: Baseline): Promise<readonly string[]> {
  const now = await baselineOf(host, Object.keys(baseline));
  return Object.entries(baseline)
    .filter(([path, was]) => now[path] !== was)
    .map(([path, was]) => `${path} is ${now[path] ?? "absent"}, was ${was ?? "absent"}`);
}
