import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lostIn } from "../builds/make/convert.js";
import type { MakeOptions } from "../builds/make/index.js";
import { iniText, yamlText } from "../builds/make/make-text.js";
import { resolveMakeFile } from "../builds/make/resolved.js";
import type { Emit } from "../core/events.js";
import { Scope } from "../core/scope.js";
import type { Stop } from "../core/stop.js";
import { LocalHost } from "../host/local.js";
import { surroundings } from "./make.js";

export interface ResolveArgs {
  readonly options: MakeOptions;
  readonly jobs: number;
  readonly offline: boolean;
  readonly hub: string | undefined;
  readonly format: "ini" | "yaml";
  /** Other releases within the core than the versions named: the newest, or those that repair security. */
  readonly update?: "newest" | "security";
}

/** A make file as a make file in which everything has a version or a commit. Asks, builds nothing. */
export async function resolvedMakeText(args: ResolveArgs, stop: Stop, emit: Emit): Promise<{ text: string; warnings: readonly string[] }> {
  const scope = new Scope();
  scope.signal = stop.signal;
  scope.kill = stop.now;
  const { cache, mirrors } = await surroundings(args.hub);
  const options = args.options.makefile === "-" ? { ...args.options, text: readFileSync(0, "utf8") } : args.options;
  const { document, warnings } = await resolveMakeFile(
    options,
    {
      host: new LocalHost(scope),
      staging: join(tmpdir(), `provision-make-${randomBytes(6).toString("hex")}`),
      cache,
      mirrors,
      offline: args.offline,
      jobs: args.jobs,
      signal: stop.signal,
      progress: (message) => emit({ type: "progress", message }),
    },
    args.update,
  );
  const text = args.format === "ini" ? iniText(document) : yamlText(document);
  return { text, warnings: [...warnings, ...lostIn(document, text, args.format)] };
}
