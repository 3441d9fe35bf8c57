import type { Step } from "../../core/step.js";
import type { Argv } from "../../host/host.js";
import type { Limits } from "../php-limits.js";

/** One PHP-FPM as contexts describe it. JSON: pool files and undo data say to which they belong. */
export interface FpmOf {
  /** `php` property of platform or server; null: the PHP in the PATH. */
  readonly php: string | null;
  /** Commands as contexts have them; null: the usual ones. */
  readonly test: string | null;
  readonly reload: string | null;
}

/** A pool and the Unix user that its PHP runs as: both have this name. */
export interface PoolOf {
  readonly user: string;
  /** Of the user, and of its group of the same name. */
  readonly uid: number;
  readonly gid: number;
}

/** What one site brings into its pool. JSON. */
export interface Member {
  /** Files and directories that PHP may open, absolute. */
  readonly open: readonly string[];
  /** Most processes; null: the usual number. */
  readonly children: number | null;
  /** Of a pool with one site; with several, the web server says each site's. */
  readonly limits: Limits;
}

/** One site's place in a pool; no member: it leaves. */
export interface PoolEdit {
  readonly pool: PoolOf;
  readonly uri: string;
  readonly member: Member | undefined;
}

/** A pool in which a site is a member. */
export interface Membership {
  readonly fpm: FpmOf;
  readonly pool: PoolOf;
}

/** One PHP-FPM with pools of ours: a file per pool below `config/<server>/php-fpm/<key>/`, read by the daemon's own configuration. */
export interface FpmService {
  readonly of: FpmOf;
  /** Directories, and the file that root has PHP-FPM include; part of verify @server. */
  serverSteps(): readonly Step[];
  /** Where the pool listens; only the web server may open it. */
  socket(pool: Pick<PoolOf, "user">): string;
  /** Directories that only the pool's PHP writes in, made with the pool: sessions, and everything temporary. */
  directories(pool: Pick<PoolOf, "user">): { readonly root: string; readonly sessions: string; readonly temporary: string };
  /**
   * The sites' places in their pools are so and PHP-FPM runs it, as one step: candidate, test, swap, reload, prove by asking each pool;
   * anything wrong puts the old files back. Its undo edits by entry, for sites of one client share a file. A pool without members is gone.
   */
  activate(id: string, title: string, edits: readonly PoolEdit[], more?: Pick<Step, "phase">): Step;
  /** The undo kind `fpm_restore`: the members as they were (`member: null` is none). */
  restore(edits: readonly PoolEdit[]): Promise<void>;
  /** Rejects with SERVICE_UNAVAILABLE, and what root has to do, while PHP-FPM does not read our pools. */
  needIncluded(): Promise<void>;
  /** What is wrong, for `status`, `doctor` and verify @server; empty when all is well. */
  problems(): Promise<readonly string[]>;
  /** Commands of this PHP-FPM, for lines of sudoers and for whoever reloads it. */
  commands(): Promise<{ readonly test: Argv; readonly reload: Argv }>;
}
