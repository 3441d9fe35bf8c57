import { join } from "node:path";
import type { Changes, Value } from "../../context/edit.js";
import type { Site } from "../../context/schema.js";
import { ProvisionError } from "../../core/errors.js";
import type { Json } from "../../core/json.js";
import type { Run, Step } from "../../core/step.js";
import type { Counts } from "../../services/db/service.js";
import { type StepPlace, undoParents } from "../../steps/files.js";
import type { Services } from "../services.js";

/** What a change of generation changes in a site's context, and a way back puts back. */
const SWITCHED = [
  "uri",
  "platform",
  "db_server",
  "profile",
  "aliases",
  "redirection",
  "directory",
  "generation",
  "db_name",
  "db_user",
] as const satisfies readonly (keyof Site)[];

export type SwitchedProperties = Readonly<Partial<Record<(typeof SWITCHED)[number], Json>>>;

/** A generation that served and was kept, with its code's settings, database and files: one file below state/generations/<site>/. */
export interface Kept {
  readonly generation: string;
  /** The command that took its place, and its operation. */
  readonly command: string;
  readonly operation: string;
  /** ISO times: when that was, and from when on `backups prune` and `cron-all` take it away. */
  readonly at: string;
  readonly until: string;
  /** What the context said of it. */
  readonly properties: SwitchedProperties;
  /** Name of the context then, with its `@`. */
  readonly name: string;
  readonly engine: string;
  /** Of the core that it ran on. */
  readonly version: string;
  readonly docroot: string;
  /** Its name below sites/ when it serves, and where it stands now, absolute. */
  readonly directory: string;
  readonly siteDirectory: string;
  /** What took its place, and how many rows each table of that had then; absent in records of versions that did not count. */
  readonly successor?: { readonly generation: string } & Pick<Counts, "rows"> & Partial<Counts>;
  /** Its own rows, when nobody wrote to it any more; absent where they were not counted. */
  readonly own?: Counts;
}

export function switchedProperties(site: Site): SwitchedProperties {
  return Object.fromEntries(SWITCHED.flatMap((key) => (site[key] === undefined ? [] : [[key, site[key] as Json]])));
}

/** What has to be changed in the context of `now` so that it says what `next` says. */
export function switchedChanges(now: SwitchedProperties, next: SwitchedProperties): Changes {
  const different = SWITCHED.filter((key) => JSON.stringify(now[key]) !== JSON.stringify(next[key]));
  return new Map(different.map((key) => [key, emptied(next[key])]));
}

/** An empty list is the default, and not written. */
function emptied(value: Json | undefined): Value {
  return Array.isArray(value) && value.length === 0 ? undefined : (value as Value);
}

function keptFile(use: Services, name: string, generation: string): string {
  return join(use.layout.keptGenerations(name), `${generation}.json`);
}

/** Kept generations of a site, that which served last first. `name` with its `@`. Rejects with INVALID_FILE. */
export async function keptGenerations(use: Services, name: string): Promise<readonly Kept[]> {
  const directory = use.layout.keptGenerations(name);
  const found: Kept[] = [];
  for (const file of (await use.local.list(directory)) ?? []) {
    if (!file.endsWith(".json") || file.startsWith(".")) continue;
    const path = join(directory, file);
    try {
      found.push(JSON.parse((await use.local.readFile(path)) ?? "") as Kept);
    } catch (error) {
      throw new ProvisionError("INVALID_FILE", `${path} cannot be read`, { cause: error });
    }
  }
  return found.toSorted((a, b) => (a.at < b.at ? 1 : -1));
}

/** Of all sites of the hub, by the name of the context. */
export async function allKept(use: Services): Promise<ReadonlyMap<string, readonly Kept[]>> {
  const names = (await use.local.list(join(use.layout.state, "generations"))) ?? [];
  const all = new Map<string, readonly Kept[]>();
  for (const word of names) {
    const kept = await keptGenerations(use, `@${word}`);
    if (kept.length > 0) all.set(`@${word}`, kept);
  }
  return all;
}

/** Those whose time is over. */
export function due(kept: readonly Kept[], now: Date): readonly Kept[] {
  return kept.filter(({ until }) => Date.parse(until) <= now.getTime());
}

/** Rows of a generation that was kept just now: its way back need not count what nobody has changed by then. Without them it does. */
export function keptRows(use: Services, name: string, generation: string, count: () => Promise<Counts>): Step {
  const path = keptFile(use, name, generation);
  const read = async () => (await keptGenerations(use, name)).find((kept) => kept.generation === generation);
  return {
    id: "kept/rows",
    title: `Rows of generation ${generation}`,
    phase: "cleanup",
    async check() {
      const kept = await read();
      return { changes: kept === undefined || kept.own !== undefined ? [] : ["count the rows of its tables"] };
    },
    async apply() {
      const kept = await read();
      if (kept !== undefined)
        await use.local.writeFile(path, `${JSON.stringify({ ...kept, own: await count() }, null, 2)}\n`, { mode: 0o640 });
      return null;
    },
  };
}

/** The record says this, which may hang on an earlier step; null: there is none. */
export function keptRecord(use: Services, name: string, generation: string, kept: ((run: Run) => Kept) | null, place: StepPlace): Step {
  const path = keptFile(use, name, generation);
  const textOf = (run: Run) => (kept === null ? undefined : `${JSON.stringify(kept(run), null, 2)}\n`);
  return {
    ...place,
    async check(run) {
      const present = await use.local.readFile(path);
      const text = textOf(run);
      if (present === text) return { changes: [] };
      const changes = [
        kept === null ? `forget the generation ${generation}` : `keep the generation ${generation} until ${kept(run).until}`,
      ];
      if (place.phase !== undefined && place.phase !== "undoable") return { changes };
      const before = `${place.id.replaceAll("/", "-")}-0`;
      const stat = await use.local.stat(path);
      return {
        changes,
        undo: [
          ...(await undoParents(use.local, path)),
          stat
            ? { do: "restore_file", host: use.local.name, path, before, mode: stat.mode, uid: stat.uid, gid: stat.gid }
            : { do: "restore_file", host: use.local.name, path, before: null },
        ],
        before: stat ? [{ name: before, host: use.local.name, path }] : [],
      };
    },
    async apply(run) {
      const text = textOf(run);
      if (text === undefined) {
        await use.local.remove(path);
        await use.local.removeEmpty(use.layout.keptGenerations(name));
        return null;
      }
      await use.local.mkdir(use.layout.keptGenerations(name), { mode: 0o750 });
      await use.local.writeFile(path, text, { mode: 0o640 });
      return null;
    },
  };
}
