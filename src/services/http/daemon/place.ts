import { join } from "node:path";
import type { Layout } from "../../../context/layout.js";
import type { Server } from "../../../context/schema.js";
import { type Limits, limitsOf, type Setting, settingsOf } from "../../php-limits.js";

/** Where nginx or Apache of one server context keeps its files, as in Aegir, and the ports it listens on. */
export interface Place {
  /** What the system's own configuration includes. */
  readonly top: string;
  /** Of all below. */
  readonly root: string;
  readonly before: string;
  readonly platforms: string;
  readonly vhosts: string;
  readonly subdirs: string;
  readonly after: string;
  /** What all vhosts share; written by verify @server. */
  readonly include: string;
  readonly logs: string;
  /** Answers of ACME's http-01, at `.well-known/acme-challenge/` below it. */
  readonly acme: string;
  readonly passwords: string;
  /** What PHP is given and nobody else may read. */
  readonly environments: string;
  /** A new configuration while it is tested. */
  readonly candidate: string;
  /** The file that names the generation. */
  readonly generation: string;
  readonly phpMarker: string;
  readonly port: number;
  /** Undefined: no https on this server. */
  readonly tlsPort: number | undefined;
  /** Settings that the PHP of every site is told; a site's own come after them. */
  readonly phpSettings: readonly Setting[];
}

/** What its files hang on of a server. */
type PlaceServer = Pick<Server, "name" | "http_port" | "http_ssl_port"> & Partial<Pick<Server, "php_pool" | keyof Limits>>;

export function placeOf(layout: Layout, type: string, server: PlaceServer): Place {
  const root = layout.httpConfig(server.name, type);
  const include = join(root, "include");
  return {
    top: `${root}.conf`,
    root,
    before: join(root, "pre.d"),
    platforms: join(root, "platform.d"),
    vhosts: join(root, "vhost.d"),
    subdirs: join(root, "subdir.d"),
    after: join(root, "post.d"),
    include,
    logs: join(root, "log"),
    acme: join(root, "acme"),
    passwords: join(root, "passwords.d"),
    environments: join(root, "environment.d"),
    candidate: join(root, "candidate"),
    generation: join(include, "generation.conf"),
    phpMarker: join(include, "marker.php"),
    port: server.http_port,
    tlsPort: server.http_ssl_port,
    // A pool with one site has them in its file, and what a request says would go before that.
    phpSettings: server.php_pool === "site" ? [] : settingsOf(limitsOf(server)),
  };
}
