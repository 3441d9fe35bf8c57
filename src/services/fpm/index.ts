import { join } from "node:path";
import type { Layout } from "../../context/layout.js";
import type { Server } from "../../context/schema.js";
import { messageOf } from "../../core/errors.js";
import { withInnerLock } from "../../core/lock.js";
import type { Before, Step, Undo } from "../../core/step.js";
import type { Argv, Host } from "../../host/host.js";
import { directories } from "../../steps/files.js";
import { argvOf } from "../php.js";
import { activateStep, generationServed, needIncluded, newGeneration, reloadAndProve, restoreMembers, type Served } from "./activate.js";
import { fpmKey, fpmRoot, placeOf, socketPath } from "./place.js";
import { MARKER_SCRIPT, readPool, topText } from "./pool.js";
import { findFpm, type Program } from "./program.js";
import type { FpmOf, FpmService, Membership } from "./service.js";

const PROOF_TIMEOUT = 30_000;

export interface FpmSetup {
  /** Of the machine that it runs on. */
  readonly layout: Layout;
  /** Directory of the hub's locks; default: that of `layout`. */
  readonly locks?: string;
  readonly server: Pick<Server, "name" | "script_user" | "web_user" | "web_group" | "http_service_type">;
  readonly of: FpmOf;
  /** The machine it runs on. */
  readonly host: Host;
  /** Milliseconds within which a reload has to be proven. Default: 30 s. */
  readonly patience?: number;
}

export function fpmService({ layout, locks, server, of, host, patience = PROOF_TIMEOUT }: FpmSetup): FpmService {
  const place = placeOf(layout, server.name, of);
  let found: Promise<Program> | undefined;
  const program = () => {
    found ??= findFpm(host, of.php);
    return found;
  };
  const asRoot = (argv: Argv): Argv => (server.script_user === "root" ? argv : ["sudo", "-n", ...argv]);
  const webGroup = server.web_group ?? server.script_user;
  const served: Served = {
    host,
    place,
    of,
    server: server.name,
    webUser: server.web_user ?? webGroup,
    webGroup,
    markers: [place.markerScript, join(layout.httpConfig(server.name, server.http_service_type), "include", "marker.php")],
    locks: locks ?? `${layout.state}/locks`,
    patience,
    program,
    test: async () => (of.test === null ? asRoot([(await program()).program, "-t"]) : argvOf(of.test)),
    reload: async () => (of.reload === null ? asRoot(["systemctl", "reload", (await program()).unit]) : argvOf(of.reload)),
    include: async () => {
      const { poolDirectory, program: found } = await program();
      const test =
        of.test === null
          ? `${found} -t`
          : argvOf(of.test)
              .filter((word) => !["sudo", "-n"].includes(word))
              .join(" ");
      const reload = of.reload === null ? ["systemctl", "reload", (await program()).unit] : argvOf(of.reload);
      const name = `provision-${server.name.slice(1)}-${fpmKey(of.php)}.conf`;
      return `as root: echo 'include=${place.top}' > ${poolDirectory}/${name}; ${test} && ${reload.filter((word) => !["sudo", "-n"].includes(word)).join(" ")}`;
    },
  };
  return {
    of,
    serverSteps: () => serverSteps(served),
    socket: ({ user }) => socketPath(place, user),
    directories: ({ user }) => ({
      root: join(place.data, user),
      sessions: join(place.data, user, "sessions"),
      temporary: join(place.data, user, "tmp"),
    }),
    activate: (id, title, edits, more = {}) => activateStep(served, id, title, edits, more),
    restore: (edits) => restoreMembers(served, edits),
    needIncluded: () => needIncluded(served),
    problems: () => problems(served),
    commands: async () => ({ test: await served.test(), reload: await served.reload() }),
  };
}

function serverSteps(served: Served): readonly Step[] {
  const { host, place } = served;
  const at = (path: string, mode: number) => ({ path, ownership: { mode } });
  const key = place.root.slice(place.root.lastIndexOf("/") + 1);
  return [
    directories(host, [at(place.root, 0o711), at(place.pools, 0o711), at(place.sockets, 0o711), at(place.data, 0o711)], {
      id: `php-fpm/${key}/directories`,
      title: "Directories of PHP-FPM's pools",
    }),
    {
      id: `php-fpm/${key}/files`,
      title: "What PHP-FPM includes",
      async check() {
        await served.program();
        const changes: string[] = [];
        const undo: Undo[] = [];
        const before: Before[] = [];
        for (const [index, { path, content }] of serverFiles(served).entries()) {
          const present = await host.readFile(path);
          const stat = await host.stat(path);
          if (present === content || (content === undefined && present !== undefined)) continue;
          changes.push(`${stat ? "update" : "create"} ${path}`);
          const name = `php-fpm-${key}-${index}`;
          if (stat) before.push({ name, host: host.name, path });
          undo.push(
            stat
              ? { do: "restore_file", host: host.name, path, before: name, mode: stat.mode, uid: stat.uid, gid: stat.gid }
              : { do: "restore_file", host: host.name, path, before: null },
          );
        }
        return { changes, undo, before };
      },
      async apply() {
        await withInnerLock(served.locks, `php-fpm.${served.server.slice(1)}.${key}`, async () => {
          const reads = (await generationServed(served)) !== undefined;
          for (const { path, content } of serverFiles(served)) {
            if (content !== undefined) await host.writeFile(path, content, { mode: 0o644 });
            else if (!(await host.stat(path))) await newGeneration(served);
          }
          // Root has not included it yet, or there is nothing new in it.
          if (reads) await reloadAndProve(served, []);
        });
        return null;
      },
    },
  ];
}

/** The marker has a new text at each reload; here it only has to be there. */
function serverFiles({ place }: Served): readonly { readonly path: string; readonly content: string | undefined }[] {
  return [
    { path: place.markerScript, content: MARKER_SCRIPT },
    { path: place.marker, content: undefined },
    { path: place.top, content: topText(place) },
  ];
}

async function problems(served: Served): Promise<readonly string[]> {
  try {
    await served.program();
    await needIncluded(served);
    return [];
  } catch (error) {
    const next = (error as { next?: readonly string[] }).next ?? [];
    return [[messageOf(error), ...next].join(": ")];
  }
}

/** Every pool of a server in which the site is a member, whatever contexts say now. */
export async function membershipsOf(host: Host, layout: Layout, server: string, uri: string, own: string): Promise<readonly Membership[]> {
  const root = fpmRoot(layout, server);
  const found: Membership[] = [];
  for (const key of (await host.list(root)) ?? []) {
    const directory = join(root, key, "pool.d");
    for (const name of (await host.list(directory)) ?? []) {
      // A site's own pool has its name; only those of clients have to be read.
      if (name !== `${own}.conf` && !name.startsWith("pvc-")) continue;
      const pool = readPool((await host.readFile(join(directory, name))) ?? "");
      if (pool && Object.hasOwn(pool.members, uri)) found.push({ fpm: pool.fpm, pool: pool.pool });
    }
  }
  return found;
}

/** Whether a PHP-FPM of the server has a pool of this user; `of`: that one, else any. */
export async function hasPool(host: Host, layout: Layout, server: string, user: string, of?: FpmOf): Promise<boolean> {
  const root = fpmRoot(layout, server);
  const keys = of === undefined ? ((await host.list(root)) ?? []) : [fpmKey(of.php)];
  for (const key of keys) if (await host.stat(join(root, key, "pool.d", `${user}.conf`))) return true;
  return false;
}
