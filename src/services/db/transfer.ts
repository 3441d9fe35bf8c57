import { messageOf } from "../../core/errors.js";
import type { Step } from "../../core/step.js";
import type { Host } from "../../host/host.js";
import { pipeBetween } from "../../host/pipe.js";
import { compressed, decompress, type Written } from "../../steps/archive.js";
import type { DatabaseOf, DbService, DumpOptions, Flow } from "./service.js";

/**
 * The whole database in one snapshot, compressed, as the file `to`; its directory exists and lets nobody else in. Bytes go from
 * program to program; any of them that fails fails the step.
 */
export function dumpStep(host: Host, db: DbService, database: DatabaseOf, to: string, options: DumpOptions = {}): Step {
  return {
    id: "database/dump",
    title: `Dump the database of ${database.uri}`,
    async check() {
      return { changes: [`write ${to}`], undo: [{ do: "remove_tree", host: host.name, path: to }] };
    },
    async apply() {
      return { ...(await writeDump(host, db, database, to, options)) };
    },
  };
}

/** What dumpStep does. `host`: the machine of the database's programs; `at`: that of the file, where it is another. */
export async function writeDump(
  host: Host,
  db: DbService,
  database: DatabaseOf,
  to: string,
  options: DumpOptions = {},
  at: Host = host,
): Promise<Written> {
  const { argv, through, secretFile, env, onStderr, failure } = await db.out(database, options);
  try {
    return await compressed(
      host,
      argv,
      to,
      {
        ...(through === undefined ? {} : { through }),
        ...(env === undefined ? {} : { env }),
        ...(onStderr === undefined ? {} : { onStderr }),
        secretFiles: { from: secretFile },
      },
      at,
    );
  } catch (error) {
    // Another program of the pipe says by itself what it has.
    const ours = [argv, ...(through ?? [])].some(([program]) => messageOf(error).startsWith(`${host.name}: ${program} `));
    throw ours ? failure(error) : error;
  }
}

/**
 * Loads a dump, compressed or not, into the empty database that an earlier step made. `host`: the machine of the database's programs; `at`: that of the
 * dump, where it is another.
 */
export function loadStep(host: Host, db: DbService, database: DatabaseOf, from: string, foreign?: "foreign", at: Host = host): Step {
  return {
    id: "database/load",
    title: `Load the database of ${database.uri}`,
    undoneBy: "database/create",
    check: async () => ({ changes: [`load ${from}`] }),
    async apply() {
      await piped(at, { argv: decompress(from) }, host, await db.into(database, foreign));
      return null;
    },
  };
}

/** The tables of one database in another empty one of the same server, without rows, for `copyStep` to fill; nothing where it would not. */
export function tablesStep(db: DbService, from: DatabaseOf, to: DatabaseOf): Step {
  return {
    id: "database/tables",
    title: `Tables for the database of ${to.uri}`,
    undoneBy: "database/create",
    check: async () => ({ changes: (await db.fits?.(from)) ? [`make the tables of the database of ${from.uri}, without rows`] : [] }),
    async apply() {
      await db.outline?.(from, to);
      return null;
    },
  };
}

/**
 * One database into another empty one of the same type, maybe on another server, without a file between. Hosts: those of the databases' programs. `still`:
 * nobody writes to it meanwhile, and where `tablesStep` has made the tables the server itself may copy what is in them.
 */
export function copyStep(
  here: Host,
  source: DbService,
  from: DatabaseOf,
  target: DbService,
  to: DatabaseOf,
  { still = false, ...options }: DumpOptions & { readonly still?: boolean } = {},
  there: Host = here,
): Step {
  if (source.type !== target.type) throw new Error(`a ${source.type} database cannot be copied to ${target.type}`);
  return {
    id: "database/copy",
    title: `Copy the database of ${from.uri} to ${to.uri}`,
    undoneBy: "database/create",
    check: async () => ({ changes: [`copy the database of ${from.uri}`] }),
    async apply() {
      if (still && source === target && (await source.fill?.(from, to, options.structureOnly ?? []))) return null;
      await piped(here, await source.out(from, options), there, await target.into(to));
      return null;
    },
  };
}

type Part = Partial<Flow> & Pick<Flow, "argv">;

async function piped(here: Host, from: Part, there: Host, to: Part): Promise<void> {
  try {
    await pipeBetween(here, from.argv, there, to.argv, {
      fromThrough: from.through ?? [],
      toThrough: to.through ?? [],
      secretFiles: { from: from.secretFile, to: to.secretFile },
      env: { ...from.env, ...to.env },
    });
  } catch (error) {
    const told = from.failure?.(error) ?? error;
    throw told === error ? (to.failure?.(error) ?? error) : told;
  }
}
