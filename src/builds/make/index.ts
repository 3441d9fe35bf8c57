import type { BuildSource } from "../source.js";
import type { AssembleOptions } from "./assemble-options.js";

export { diagnosticLine } from "./diagnostic.js";
export { driftOf, lockBeside, readLock } from "./lock.js";
export { readMakeFile } from "./read.js";

export type MakeOptions = AssembleOptions;

/**
 * A platform from a drush make file (`makefile:` of a platform, `provision make`). The file is read when the build starts.
 *
 * build() rejects with INVALID_FILE (file:line:column of every problem), FILE_NOT_FOUND, NAME_TAKEN (the destination
 * exists), BUILD_FAILED (every entry that failed, with its cause) or STOPPED; the destination then does not exist.
 */
export function makeSource(options: MakeOptions): BuildSource {
  return {
    type: "make",
    async build(request) {
      const { Assembly } = await import("./assemble.js");
      return new Assembly(options, request).run();
    },
  };
}
