export { ask, reachable } from "../ask.js";

/** Headers between front and router, and between provision and a running `serve`; the front takes them from nobody else. */
export const TOKEN = "x-provision-token";
export const MARKER = "x-provision-marker";
export const CLIENT = "x-provision-client";

/** Where a running `serve` says, to who knows its token, what PHP reads in one vhost file. */
export const MARKER_PATH = "/.well-known/provision";

/** The answer there. */
export interface Marker {
  /** Content of the generation file for which the processes that answer were started. */
  readonly generation: string;
  /** Hash of the vhost file as PHP read it; null when there is none. */
  readonly hash: string | null;
}
