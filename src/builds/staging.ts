import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { isSystemError, ProvisionError } from "../core/errors.js";
import { stopIfAborted } from "./make/slots.js";
import type { BuildReport, BuildRequest } from "./source.js";

/** A tree that is ready to be put in place, inside the staging directory, and what to say of it. */
export interface Staged {
  readonly tree: string;
  readonly report: BuildReport;
}

/**
 * The frame of every build but make's: `action` puts a tree together in an empty directory beside the destination, and
 * one rename puts it in place. Whatever fails, the destination does not exist, and the directory is taken away.
 * `what` names the build in messages: `the archive https://…`.
 *
 * Rejects with NAME_TAKEN, STOPPED, DISK_FULL, or what `action` rejects with.
 */
export async function staged(request: BuildRequest, what: string, action: (staging: string) => Promise<Staged>): Promise<BuildReport> {
  const { destination, host, signal } = request;
  const state = `nothing was put in place: ${destination} does not exist`;
  if (existsSync(destination)) throw new ProvisionError("NAME_TAKEN", `${destination} already exists`, { state: "it was not touched" });
  const staging = request.staging ?? join(dirname(destination), `.${basename(destination)}.building-${randomBytes(6).toString("hex")}`);
  try {
    await host.mkdir(staging);
    const { tree, report } = await action(staging);
    stopIfAborted(signal);
    await host.rename(tree, destination);
    return report;
  } catch (error) {
    if (signal?.aborted) throw new ProvisionError("STOPPED", `the build of ${what} was stopped`, { state, cause: error });
    if (isSystemError(error, "ENOSPC") || isSystemError(error, "EDQUOT"))
      throw new ProvisionError("DISK_FULL", `no space left to build ${destination}`, { state: "nothing was put in place", cause: error });
    throw error instanceof ProvisionError ? error.with({ state }) : error;
  } finally {
    await host.remove(staging);
  }
}
