import { join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { Step } from "../../core/step.js";
import { together } from "../../core/together.js";
import { type Host, HostError } from "../../host/host.js";
import { syncTree } from "../../host/sync-tree.js";
import { copyStep, tablesStep } from "../../services/db/transfer.js";
import type { Services } from "../services.js";
import { databaseAmongFiles } from "./in-place.js";
import { databaseOf, type SiteInputs } from "./site.js";

/** What of a generation is the site's own data; tmp/ is nobody's. */
const TREES = ["files", "private", "config"] as const;

/** Which of them; in a step of its own by `id`. */
export interface Trees {
  readonly names: readonly (typeof TREES)[number][];
  readonly id: string;
}

export const ALL_TREES: Trees = { names: TREES, id: "files" };
/** rsync's word for files that were gone when their turn came. */
const VANISHED = 24;

/** Bytes that the data of a generation takes, without its database. */
export async function filesSize({ paths, server }: SiteInputs, use: Services): Promise<number> {
  const trees = TREES.map((name) => join(paths.root, name));
  const { stdout } = await use
    .host(server)
    .run(["du", "-s", "-c", "-D", "--block-size=1", "--apparent-size", "--", ...trees], { anyExit: true });
  return Number(stdout.trim().split("\n").at(-1)?.split("\t")[0] ?? 0);
}

/** Bytes of both parts of a generation. */
export async function sizesOf(inputs: SiteInputs, use: Services): Promise<{ readonly files: number; readonly database: number }> {
  const { dbServer } = inputs;
  const [files, database] = await together(filesSize(inputs, use), use.db(dbServer).size(databaseOf(inputs, use, dbServer)));
  return { files, database };
}

/** `12 MB`, as people say it. */
function megabytes(bytes: number): string {
  return bytes < 1_000_000 ? `${Math.ceil(bytes / 1000)} kB` : `${Math.round(bytes / 1_000_000)} MB`;
}

/**
 * The files of one generation in the directories of another, while visitors go on: by sharing blocks where the file system can.
 * What is changed, added or taken away meanwhile is for `filesUpToDate`. `linked`: by hard links, when somebody asked for them.
 */
export function copyFiles(
  from: SiteInputs,
  to: SiteInputs,
  use: Services,
  bytes: number,
  { names, id, linked = false }: Trees & { readonly linked?: boolean } = ALL_TREES,
): Step {
  const here = use.host(from.server);
  const host = use.host(to.server);
  return emptiedWhenFull(host, to, {
    id: `${id}/copy`,
    title: `Copy the files of ${from.site.uri}`,
    undoneBy: "site/directories",
    check: async () => ({ changes: [`${linked ? "link" : "copy"} ${megabytes(bytes)} of files to ${to.paths.root}`] }),
    async apply() {
      for (const name of names) {
        const [source, target] = [join(from.paths.root, name), join(to.paths.root, name)];
        if (!(await here.stat(source))) continue;
        if (here.name !== host.name) {
          await syncTree(here, source, host, target, { exclude: ownDatabase(from, name), live: true });
          continue;
        }
        // What cannot be read now, or is gone, is told by the pass that has to be exact.
        const { code, stderr } = await host.run(["cp", "-a", linked ? "--link" : "--reflink=auto", "--", `${source}/.`, target], {
          anyExit: true,
        });
        if (code !== 0 && /No space left|quota exceeded/i.test(stderr)) throw full(host.name, target, stderr);
      }
      return null;
    },
  });
}

/** A step that fills the trees of a generation that nobody has yet: when the disk is full they are emptied at once, for the roll-back has files to write. */
export function emptiedWhenFull(host: Host, { paths }: Pick<SiteInputs, "paths">, step: Step): Step {
  return {
    ...step,
    async apply(run) {
      try {
        return await step.apply(run);
      } catch (error) {
        if (error instanceof ProvisionError && error.code === "DISK_FULL") {
          const trees = TREES.map((name) => join(paths.root, name));
          await host.run(["find", ...trees, "-mindepth", "1", "-delete"], { anyExit: true });
        }
        throw error;
      }
    },
  };
}

/** The same, exactly as they are now: what changed since `copyFiles` is copied again, what is gone goes. */
export function filesUpToDate(from: SiteInputs, to: SiteInputs, use: Services, { names, id }: Trees = ALL_TREES): Step {
  const here = use.host(from.server);
  const host = use.host(to.server);
  return emptiedWhenFull(host, to, {
    id: `${id}/up-to-date`,
    title: "Bring the files up to date",
    undoneBy: "site/directories",
    check: async () => ({ changes: ["copy what changed meanwhile"] }),
    async apply() {
      const plain: string[] = [];
      for (const name of names) {
        const [source, target] = [join(from.paths.root, name), join(to.paths.root, name)];
        const stat = await here.stat(source);
        if (!stat) continue;
        if (here.name !== host.name) {
          await syncTree(here, source, host, target, { delete: true, exclude: ownDatabase(from, name), live: true });
          continue;
        }
        const without = name === "files" ? databaseAmongFiles(from).map((path) => `--exclude=/${path}`) : [];
        // Of an imported site it may be a link.
        if (without.length === 0 && stat.type === "directory") plain.push(name);
        else await sync(host, ["--delete-excluded", ...without], [`${source}/`], `${target}/`);
      }
      // One program for all of them: while nobody can write, its start takes longer than what is left to copy. What is before /./ is not theirs.
      const sources = plain.map((name) => `${from.paths.root}/./${name}`);
      if (sources.length > 0) await sync(host, ["--relative"], sources, `${to.paths.root}/`);
      return null;
    },
  });
}

/** The target becomes what the sources are. Nanoseconds count: two changes of one second may leave the same size. */
async function sync(host: Host, options: readonly string[], sources: readonly string[], target: string): Promise<void> {
  const argv = ["rsync", "-a", "-H", "--delete", "--modify-window=-1", ...options, "--", ...sources, target] as const;
  const { code, stderr } = await host.run(argv, { anyExit: true });
  if (code === 0 || code === VANISHED) return;
  if (/No space left|quota exceeded/i.test(stderr)) throw full(host.name, target, stderr);
  throw new HostError("COMMAND_FAILED", `${host.name}: the files in ${sources.join(", ")} could not all be copied`, {
    why: stderr
      .split("\n")
      .filter((line) => line.trim() !== "")
      .slice(0, 5),
    exitCode: code,
  });
}

/** A site that was taken over may have its database among its files: that is copied by itself. */
function ownDatabase(from: SiteInputs, tree: string): readonly string[] {
  return tree === "files" ? databaseAmongFiles(from).map((path) => `/${path}`) : [];
}

function full(host: string, path: string, stderr: string): ProvisionError {
  return new ProvisionError("DISK_FULL", `${host}: no space left below ${path}`, { why: stderr.split("\n").slice(-3, -1) });
}

/** Its tables, while visitors go on: then less is left to do while nobody writes. Nothing where the database is to be on another server, or the kind of it has no use for that. */
export function makeTables(from: SiteInputs, to: SiteInputs, use: Services): readonly Step[] {
  const db = use.db(from.dbServer);
  if (from.dbServer.name !== to.dbServer.name || db.fill === undefined) return [];
  return [tablesStep(db, databaseOf(from, use, from.dbServer), databaseOf(to, use, to.dbServer))];
}

/**
 * The database of one generation in the empty one of another, in one snapshot; caches come without what is in them. `still`: nobody writes to it
 * meanwhile, and `makeTables` may have come before.
 */
export function copyDatabase(from: SiteInputs, to: SiteInputs, use: Services, bytes: number, still?: "still"): Step {
  const { engine } = from.core;
  // Sessions come along: nobody is logged out by a move.
  const caches = use.engine(engine).tables.structureOnly.filter((table) => /^cache/.test(table));
  const source = use.db(from.dbServer);
  const database = databaseOf(from, use, from.dbServer);
  const step = copyStep(use.host(from.dbServer), source, database, use.db(to.dbServer), databaseOf(to, use, to.dbServer));
  return {
    ...step,
    check: async () => ({ changes: [`copy the database of ${from.site.uri} (${megabytes(bytes)})`] }),
    async apply(run) {
      const structureOnly = matching(await source.tables(database), caches);
      const target = databaseOf(to, use, to.dbServer);
      const there = use.host(to.dbServer);
      const how = { structureOnly, still: still !== undefined };
      return copyStep(use.host(from.dbServer), source, database, use.db(to.dbServer), target, how, there).apply(run);
    },
  };
}

/** Names that fit one of the patterns, in which a `*` stands at the end if anywhere. */
export function matching(names: readonly string[], patterns: readonly string[]): readonly string[] {
  return names.filter((name) =>
    patterns.some((pattern) => (pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern)),
  );
}
