import { basename, dirname } from "node:path";
import type { Layout } from "../../context/layout.js";
import type { Platform } from "../../context/schema.js";

/** Where a platform stands. Absolute paths. */
export interface CodePlace {
  /** As the context says it: where the core is looked for. */
  readonly root: string;
  /** What a build takes the place of: root itself, or the directory above it when root names the docroot of a build. */
  readonly project: string;
  /** From project to root; empty when they are the same. */
  readonly docroot: string;
}

/** Names that docroots have; as the last part of `root` they stand inside the build. Make files put the core at their top. */
export const DOCROOT_NAMES = ["web", "docroot", "html", "public"];

export function codePlace(platform: Platform, layout: Layout): CodePlace {
  const root = layout.resolve(platform.root).replace(/\/+$/, "");
  const docroot = basename(root);
  const inside =
    platform.makefile === undefined &&
    sourceName(platform) !== undefined &&
    DOCROOT_NAMES.includes(docroot) &&
    dirname(root) !== layout.platforms &&
    dirname(root) !== layout.root;
  return inside ? { root, project: dirname(root), docroot } : { root, project: root, docroot: "" };
}

/** The source as people name it; undefined for a platform that is not built. */
export function sourceName({ makefile, composer, composer_version, git, git_ref, archive }: Platform): string | undefined {
  if (composer !== undefined) return composer_version === undefined ? composer : `${composer} ${composer_version}`;
  if (git !== undefined) return git_ref === undefined ? git : `${git} ${git_ref}`;
  return makefile ?? archive;
}
