import type { Host } from "../host/host.js";

/** What a build may use and where it goes. Every path is absolute. */
export interface BuildRequest {
  /** Where the programs run and the tree is made (the hub itself). */
  readonly host: Host;
  /** Does not exist yet. Made whole or not at all: a failed build leaves nothing there. */
  readonly destination: string;
  /** Where it is put together, on the same file system; a kill leaves it there. Default: beside the destination, under a random name. */
  readonly staging?: string;
  /** Content-addressed cache shared by all builds of the hub (`state/cache`); made when missing. */
  readonly cache: string;
  /** URL prefix → local directory or other URL, tried longest prefix first (`mirrors:` of provision.yml). */
  readonly mirrors: Readonly<Record<string, string>>;
  /** Nothing but the cache, mirrors on disk and local files. */
  readonly offline: boolean;
  /** Downloads, clones and unpackings at a time. */
  readonly jobs: number;
  /** Ends the build; programs end by the host's own scope. */
  readonly signal?: AbortSignal;
  /** One line per thing that happened, or of bytes so far. */
  readonly progress?: (message: string) => void;
}

export interface BuildReport {
  /** One line per entry built: `views 7.x-3.29`, `jquery 2c4…`. */
  readonly entries: readonly { readonly name: string; readonly type: string; readonly path: string; readonly source: string }[];
  readonly warnings: readonly string[];
  /** When it is not the destination: the archive that was asked for. */
  readonly path?: string;
  /** All of it stood there already, as it was built. */
  readonly unchanged?: true;
  /** Drush's hash of the build, when asked for. */
  readonly md5?: string;
  /** A lock of what was built, to be written beside its make file, when asked for. */
  readonly lock?: string;
  /** What was chosen while building, for the record: commits, checksums, versions. The same build gives the same words; no dates. */
  readonly resolved?: Readonly<Record<string, string>>;
}

/** Where a platform's code comes from: one folder under builds/ for each kind (DESIGN 9). */
export interface BuildSource {
  /** `make`, `composer`, `git`, `archive`, `directory`. */
  readonly type: string;
  /** Builds into `request.destination`, all or nothing. Rejects with BUILD_FAILED and one line per entry that failed, with its cause. */
  build(request: BuildRequest): Promise<BuildReport>;
}
