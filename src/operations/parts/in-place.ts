import { dirname, join, relative, resolve } from "node:path";
import type { GenerationPaths, Layout } from "../../context/layout.js";
import { ProvisionError } from "../../core/errors.js";
import type { Step } from "../../core/step.js";
import type { Host } from "../../host/host.js";
import { symlink } from "../../steps/files.js";

/**
 * A site that was imported keeps its data where it was: its generation has links to it. Its first migrate, restore or sync, and a new name, take it into
 * the generation, for the directory below sites/ is another one afterwards.
 */
export interface InPlace {
  /** The link, a path of the generation. */
  readonly path: string;
  /** Where it leads, absolute. */
  readonly real: string;
}

/** What of a generation is a link. `configuration`: names of the engine's directories of configuration. */
export async function inPlace(host: Host, paths: GenerationPaths, configuration: readonly string[]): Promise<readonly InPlace[]> {
  const found: InPlace[] = [];
  for (const path of [paths.files, paths.private, ...configuration.map((name) => join(paths.config, name)), paths.database]) {
    const real = await host.readLink(path);
    if (real !== undefined) found.push({ path, real: resolve(dirname(path), real) });
  }
  return found;
}

/** Where a path of a generation really is. */
export function realPlace({ inPlace: links }: { readonly inPlace: readonly InPlace[] }, path: string): string {
  return links.find((one) => one.path === path)?.real ?? path;
}

/** Those that stand in the site's directory on the platform, as paths relative to it. */
export function inSiteDirectory(of: { readonly inPlace: readonly InPlace[]; readonly siteDirectory: string }): readonly string[] {
  return of.inPlace
    .filter(({ real }) => real.startsWith(`${of.siteDirectory}/`))
    .map(({ real }) => real.slice(of.siteDirectory.length + 1));
}

/** A SQLite database among the files: its file and those beside it, relative to the files. It is copied as a database, never as a file. */
export function databaseAmongFiles({
  inPlace: links,
  paths,
}: {
  readonly inPlace: readonly InPlace[];
  readonly paths: GenerationPaths;
}): readonly string[] {
  const files = links.find(({ path }) => path === paths.files)?.real ?? paths.files;
  const real = links.find(({ path }) => path === paths.database)?.real;
  const places = [files, paths.files].map((place) => `${place}/`);
  const place = places.find((one) => real?.startsWith(one));
  if (real === undefined || place === undefined) return [];
  return ["", "-wal", "-shm", "-journal"].map((end) => `${real.slice(place.length)}${end}`);
}

/**
 * What stands in the site's directory changes places with its link, at once: from then on it is in the generation, and the old path leads there. What stands
 * elsewhere stays. Undone: as it was.
 */
export function settle(
  now: {
    readonly inPlace: readonly InPlace[];
    readonly siteDirectory: string;
    readonly paths: GenerationPaths;
    readonly site: { readonly name: string };
  },
  host: Host,
): readonly Step[] {
  const inside = now.inPlace.filter(({ real }) => real.startsWith(`${now.siteDirectory}/`));
  const trees = inside.filter(({ path }) => path !== now.paths.database).toSorted((a, b) => b.real.length - a.real.length);
  const files = trees.find(({ path }) => path === now.paths.files);
  const database = inside.find(({ path, real }) => path === now.paths.database && files && real.startsWith(`${files.real}/`));
  return [
    ...trees.map(({ path, real }, index) => exchanged(host, path, real, `in-place/${index}`, now.site.name)),
    ...(database && files
      ? [
          // Relative, for the generation may be renamed.
          symlink(host, database.path, relative(dirname(database.path), `${files.path}${database.real.slice(files.real.length)}`), {
            id: "in-place/database",
            title: "The database went along with the files",
          }),
        ]
      : []),
  ];
}

function exchanged(host: Host, path: string, real: string, id: string, name: string): Step {
  return {
    id,
    title: `${real} into its generation`,
    async check() {
      const devices = await Promise.all(
        [dirname(path), real].map(async (one) => (await host.run(["stat", "-L", "-c", "%d", "--", one])).stdout.trim()),
      );
      if (devices[0] !== devices[1])
        throw new ProvisionError("REFUSED", `${real} is on another file system than ${dirname(path)}, where it belongs from now on`, {
          why: [`${name} was imported with its data in place; that cannot be moved in an instant from one file system to another`],
          next: [`copy it to ${path}.new, and while nobody writes rename that to ${path} and put a link to it at ${real}`],
        });
      // From the end: the directory goes back, then the link that led to it.
      return {
        changes: [`move ${real} to ${path}, and leave a link`],
        undo: [
          { do: "restore_link", host: host.name, path, target: real },
          { do: "data_back", host: host.name, from: real, to: path },
        ],
      };
    },
    async apply() {
      // A link that leads to itself is right once the two have changed places.
      await host.symlink(path, path);
      await host.exchange(real, path);
      return null;
    },
  };
}

/** What an imported site has outside its own directory and generation, which nobody takes away with it. */
export function leftElsewhere(links: readonly InPlace[], directory: string, layout: Layout): readonly string[] {
  return links.filter(({ real }) => ![directory, layout.sites].some((own) => real.startsWith(`${own}/`))).map(({ real }) => real);
}
