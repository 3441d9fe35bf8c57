import { join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import { withInnerLock } from "../../core/lock.js";
import type { Step, UndoKinds } from "../../core/step.js";
import type { Engine } from "../../engines/engine.js";
import { besidePath, type Host } from "../../host/host.js";
import type { StepPlace } from "../../steps/files.js";

/**
 * sites/sites.php of a platform is shared by all its sites: it is changed and put back entry by entry,
 * under a lock of its own, never as a whole file. It has to exist, also when empty: Drupal 8 and later look
 * at sites/<name> only then (reference: engine.md, site selection).
 */
export interface SitesPhp {
  readonly host: Host;
  readonly engine: Engine;
  readonly docroot: string;
  /** Directory of the hub's locks. */
  readonly locks: string;
}

/** Host name → directory below sites/; null: no such entry. */
export type Entries = Readonly<Record<string, string | null>>;

const MODE = 0o644;

function pathOf(docroot: string): string {
  return join(docroot, "sites", "sites.php");
}

function lockName(docroot: string): string {
  return `sites-php.${docroot.replace(/[^a-zA-Z0-9]+/g, "-")}`.slice(0, 200);
}

/** What the file says; undefined when there is none. An operator's own file is never overwritten. */
async function read(at: Pick<SitesPhp, "host" | "engine" | "docroot">): Promise<ReadonlyMap<string, string> | undefined> {
  const text = await at.host.readFile(pathOf(at.docroot));
  if (text === undefined) return undefined;
  const names = at.engine.readSitesPhp(text);
  if (names) return names;
  throw new ProvisionError("REFUSED", `${at.host.name}:${pathOf(at.docroot)} was not written by provision`, {
    why: ["provision keeps the names of all sites there, and would lose what it says"],
    next: ["move its entries to the aliases of the sites (provision save @site --aliases=…), rename the file, and verify again"],
  });
}

/** Every name that leads to this directory; none when the file is not ours to change. */
export async function namesOfDirectory(at: Pick<SitesPhp, "host" | "engine" | "docroot">, directory: string): Promise<readonly string[]> {
  const text = await at.host.readFile(pathOf(at.docroot));
  const names = text === undefined ? undefined : at.engine.readSitesPhp(text);
  return [...(names ?? [])].filter(([, to]) => to === directory).map(([name]) => name);
}

async function edit(at: SitesPhp, entries: Entries): Promise<void> {
  await withInnerLock(at.locks, lockName(at.docroot), async () => {
    const names = new Map((await read(at)) ?? []);
    for (const [name, directory] of Object.entries(entries)) {
      if (directory === null) names.delete(name);
      else names.set(name, directory);
    }
    await at.host.writeFile(pathOf(at.docroot), at.engine.sitesPhp(names), { mode: MODE });
  });
}

/** The entries are so, and the file is there. */
export function sitesPhpEntries(at: SitesPhp, entries: () => Promise<Entries>, place: StepPlace): Step<null> {
  return {
    ...place,
    async check() {
      const wanted = await entries();
      const names = (await at.host.stat(join(at.docroot, "sites"))) ? await read(at) : undefined;
      const path = pathOf(at.docroot);
      const changes = Object.entries(wanted)
        .filter(([name, directory]) => (names?.get(name) ?? null) !== directory)
        .map(([name, directory]) => (directory === null ? `remove ${name} from ${path}` : `enter ${name} → ${directory} in ${path}`));
      if (names === undefined) changes.unshift(`create ${path}`);
      if ((place.phase ?? "undoable") !== "undoable") return { changes };
      const before = Object.fromEntries(Object.keys(wanted).map((name) => [name, names?.get(name) ?? null]));
      return {
        changes,
        undo: [
          {
            do: "sites_php_entries",
            host: at.host.name,
            engine: at.engine.name,
            docroot: at.docroot,
            entries: before,
            created: names === undefined,
          },
        ],
      };
    },
    async apply() {
      await edit(at, await entries());
      return null;
    },
  };
}

export function sitesPhpUndo(reach: { host(name: string): Host; engine(name: string): Engine; readonly locks: string }): UndoKinds {
  return {
    /** Only our entries go back; a file that we made goes when nobody else has entered anything since. */
    async sites_php_entries(undo) {
      const at: SitesPhp = {
        host: reach.host(undo.host),
        engine: reach.engine(String(undo["engine"])),
        docroot: String(undo["docroot"]),
        locks: reach.locks,
      };
      if ((await at.host.stat(pathOf(at.docroot))) === undefined) {
        // A kill may have left the one that was to become the first.
        if (undo["created"] === true) await at.host.remove(besidePath(pathOf(at.docroot)));
        return;
      }
      await edit(at, undo["entries"] as Entries);
      if (undo["created"] === true && (await read(at))?.size === 0) await at.host.remove(pathOf(at.docroot));
    },
  };
}
