import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Layout } from "../../context/layout.js";
import type { FpmOf } from "./service.js";

/** Where the files of one PHP-FPM stand. */
export interface Place {
  /** What PHP-FPM's own configuration includes. */
  readonly top: string;
  readonly root: string;
  readonly pools: string;
  /** Sockets: short, for their paths may have 107 bytes. */
  readonly sockets: string;
  /** What pools write: sessions, temporary files. */
  readonly data: string;
  readonly candidate: string;
  /** The pool that proves what PHP-FPM has read: it is of no site. */
  readonly marker: string;
  readonly markerSocket: string;
  readonly markerScript: string;
}

export function fpmRoot(layout: Layout, server: string): string {
  return layout.httpConfig(server, "php-fpm");
}

/** `8.2`, `default` for the PHP in the PATH, and a hash for a program whose name holds no version. */
export function fpmKey(php: string | null): string {
  if (php === null) return "default";
  return /(?:^|php)(\d+\.\d+)$/.exec(php)?.[1] ?? createHash("sha256").update(php).digest("hex").slice(0, 8);
}

export function placeOf(layout: Layout, server: string, { php }: Pick<FpmOf, "php">): Place {
  const key = fpmKey(php);
  const root = join(fpmRoot(layout, server), key);
  return {
    top: `${root}.conf`,
    root,
    pools: join(root, "pool.d"),
    sockets: join(root, "run"),
    data: join(root, "data"),
    candidate: join(root, "candidate"),
    marker: join(root, "marker.conf"),
    markerSocket: join(root, "run", "marker.sock"),
    markerScript: join(root, "marker.php"),
  };
}

export function socketPath({ sockets }: Pick<Place, "sockets">, user: string): string {
  return join(sockets, `${createHash("sha256").update(user).digest("hex").slice(0, 8)}.sock`);
}
