import { dirname } from "node:path";
import { ProvisionError } from "../core/errors.js";
import type { Secret } from "../core/secret.js";
import { reveal } from "../core/secret.js";
import type { Before, Decision, Run, Step, Undo } from "../core/step.js";
import type { Host, Ownership } from "../host/host.js";

/** What the steps of this folder share: where they stand in their operation. */
export type StepPlace = Pick<Step, "id" | "title"> & Partial<Pick<Step, "phase">>;

export type Text = string | Secret;

/** How the undo of a step names the copy of a file that the engine keeps: one per step, from its id. */
function beforeName(id: string, part: string | number): string {
  return `${id.replace(/[^a-zA-Z0-9]+/g, "-")}-${part}`;
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

function undoable(place: StepPlace): boolean {
  return (place.phase ?? "undoable") === "undoable";
}

/** A decision without undo and before-images, for steps after the commit. */
function inPhase(place: StepPlace, decision: Decision): Decision {
  return undoable(place) ? decision : { changes: decision.changes };
}

/**
 * The file has exactly this content and mode; no content: it is absent. The text is asked for when the
 * step is checked, so that it can use what earlier steps have made.
 */
export function file(
  host: Host,
  path: string,
  text: (run: Run) => Promise<Text | undefined>,
  ownership: Ownership,
  place: StepPlace,
): Step<null> {
  return {
    ...place,
    async check(run) {
      const content = await text(run);
      const stat = await host.stat(path);
      const present = stat?.type === "file" ? await host.readFile(path) : undefined;
      const changes: string[] = [];
      if (content === undefined) {
        if (stat) changes.push(`remove ${path}`);
      } else if (!stat) changes.push(`create ${path}`);
      else if (stat.type !== "file") changes.push(`replace ${path}, which is a ${stat.type}`);
      else if (present !== reveal(content)) changes.push(`update ${path}`);
      else changes.push(...ownershipChanges(path, stat, ownership));
      const before = beforeName(place.id, 0);
      if (stat && stat.type !== "file" && stat.type !== "link")
        throw new ProvisionError("REFUSED", `${path} is a ${stat.type}; a file belongs there`);
      const undo: Undo =
        stat?.type === "link"
          ? { do: "restore_link", host: host.name, path, target: (await host.readLink(path)) ?? null }
          : stat
            ? { do: "restore_file", host: host.name, path, before, mode: stat.mode, uid: stat.uid, gid: stat.gid }
            : { do: "restore_file", host: host.name, path, before: null };
      const keep: Before[] = stat?.type === "file" ? [{ name: before, host: host.name, path }] : [];
      return inPhase(place, { changes, undo: [undo], before: keep });
    },
    async apply(run) {
      const content = await text(run);
      if (content === undefined) await host.remove(path);
      else await host.writeFile(path, content, ownership);
      return null;
    },
  };
}

function ownershipChanges(path: string, stat: { mode: number; uid: number; gid: number }, ownership: Ownership): string[] {
  const changes: string[] = [];
  if (ownership.mode !== undefined && stat.mode !== ownership.mode)
    changes.push(`set mode of ${path} to ${octal(ownership.mode)} (is ${octal(stat.mode)})`);
  if (ownership.uid !== undefined && stat.uid !== ownership.uid) changes.push(`set owner of ${path} to ${ownership.uid} (is ${stat.uid})`);
  if (ownership.gid !== undefined && stat.gid !== ownership.gid) changes.push(`set group of ${path} to ${ownership.gid} (is ${stat.gid})`);
  return changes;
}

export interface DirectoryEntry {
  readonly path: string;
  readonly ownership: Ownership;
}

/** Undo for directories that have to be made above `path`: those that were made go when they are empty again. */
export async function undoParents(host: Host, path: string): Promise<readonly Undo[]> {
  const undo: Undo[] = [];
  for (let parent = dirname(path); !(await host.stat(parent)); parent = dirname(parent))
    undo.unshift({ do: "remove_directory", host: host.name, path: parent });
  return undo;
}

/** The directories exist with these modes. Undone: those that were made go when they are empty, modes are put back. */
export function directories(host: Host, entries: readonly DirectoryEntry[], place: StepPlace): Step<null> {
  return {
    ...place,
    async check() {
      const changes: string[] = [];
      const undo: Undo[] = [];
      for (const { path, ownership } of entries) {
        const stat = await host.stat(path);
        if (!stat) {
          changes.push(`create ${path}/`);
          undo.push({ do: "remove_directory", host: host.name, path });
        } else if (stat.type !== "directory") {
          changes.push(`${path} is a ${stat.type}, not a directory`);
        } else {
          const wrong = ownershipChanges(path, stat, ownership);
          if (wrong.length > 0)
            undo.push({ do: "restore_ownership", host: host.name, path, mode: stat.mode, uid: stat.uid, gid: stat.gid });
          changes.push(...wrong);
        }
      }
      return inPhase(place, { changes, undo });
    },
    async apply() {
      for (const { path, ownership } of entries) await host.mkdir(path, ownership);
      return null;
    },
  };
}

/** The link points there; no target: it is absent. A directory or file in its place is refused by the host's rename. */
export function symlink(host: Host, path: string, target: string | undefined, place: StepPlace): Step<null> {
  return {
    ...place,
    async check() {
      const stat = await host.stat(path);
      const present = await host.readLink(path);
      const changes =
        target === undefined
          ? stat
            ? [`remove ${path}`]
            : []
          : present === target
            ? []
            : [stat ? `point ${path} to ${target} (is ${present ?? `a ${stat.type}`})` : `link ${path} to ${target}`];
      return inPhase(place, { changes, undo: [{ do: "restore_link", host: host.name, path, target: present ?? null }] });
    },
    async apply() {
      if (target === undefined) await host.remove(path);
      else await host.symlink(target, path);
      return null;
    },
  };
}

/** What stands at `from` is at `to` instead; nothing at `from`: already so. Undone by renaming it back. */
export function moved(host: Host, from: string, to: string, place: StepPlace): Step<null> {
  return {
    ...place,
    async check() {
      const there = await host.stat(from);
      return inPhase(place, {
        changes: there ? [`rename ${from} to ${to}`] : [],
        undo: [{ do: "rename_back", host: host.name, from, to }],
      });
    },
    async apply() {
      // A resumed step may have renamed already.
      if (await host.stat(from)) await host.rename(from, to);
      return null;
    },
  };
}

/** The trees are gone; after the commit only, since nothing brings them back. */
export function gone(host: Host, paths: readonly string[], place: StepPlace & { readonly phase: "finish" | "cleanup" }): Step<null> {
  return {
    ...place,
    async check() {
      const changes: string[] = [];
      for (const path of paths) if (await host.stat(path)) changes.push(`remove ${path}`);
      return { changes };
    },
    async apply() {
      for (const path of paths) await host.remove(path);
      return null;
    },
  };
}
