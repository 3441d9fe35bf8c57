import { type ArchiveOptions, archiveSource } from "./archive/index.js";
import { type ComposerOptions, composerSource } from "./composer/index.js";
import { directorySource } from "./directory/index.js";
import { type GitSourceOptions, gitSource } from "./git/index.js";
import { type MakeOptions, makeSource } from "./make/index.js";
import type { BuildSource } from "./source.js";

/** What a platform says about where its code comes from; at most one of the kinds. */
export interface PlatformCode {
  /** Absolute path or http(s) URL of a make file; `-` together with `make.text`. */
  readonly makefile?: string;
  readonly composer?: ComposerOptions;
  readonly git?: GitSourceOptions;
  readonly archive?: ArchiveOptions;
  /** An existing directory, absolute. */
  readonly directory?: string;
  /** Further options of `provision make`. */
  readonly make?: Omit<MakeOptions, "makefile">;
  /** Copy the directory instead of using it where it is. */
  readonly copy?: boolean;
}

/** The build source of a platform; `undefined` when it names none. A new kind of source is one folder and one line here. */
export function buildSource(code: PlatformCode): BuildSource | undefined {
  if (code.makefile !== undefined) return makeSource({ ...code.make, makefile: code.makefile });
  if (code.composer !== undefined) return composerSource(code.composer);
  if (code.git !== undefined) return gitSource(code.git);
  if (code.archive !== undefined) return archiveSource(code.archive);
  if (code.directory !== undefined)
    return directorySource({ path: code.directory, ...(code.copy === undefined ? {} : { copy: code.copy }) });
  return undefined;
}
