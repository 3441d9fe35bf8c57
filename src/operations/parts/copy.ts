import { join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { Step } from "../../core/step.js";
import { HostError } from "../../host/host.js";
import { copyStep } from "../../services/db/transfer.js";
import type { Services } from "../services.js";
import { databaseOf, type SiteInputs } from "./site.js";

/** What of a generation is the site's own data; tmp/ is nobody's. */
const TREES = ["files", "private", "config"];
/** rsync's word for files that were gone when their turn came. */
const VANISHED = 24;

/** Bytes that the data of a generation takes, without its database. */
export async function filesSize({ paths, server }: SiteInputs, use: Services): Promise<number> {
  const trees = TREES.map((name) => join(paths.root, name));
  const { stdout } = await use.host(server).run(["du", "-s", "-c", "--block-size=1", "--apparent-size", "--", ...trees], { anyExit: true });
  return Number(stdout.trim().split("\n").at(-1)?.split("\t")[0] ?? 0);
}

/** `12 MB`, as people say it. */
function megabytes(bytes: number): string {
  return bytes < 1_000_000 ? `${Math.ceil(bytes / 1000)} kB` : `${Math.round(bytes / 1_000_000)} MB`;
}

/**
 * The files of one generation in the directories of another, while visitors go on: by sharing blocks where the file system can.
 * What is changed, added or taken away meanwhile is for `filesUpToDate`. `linked`: by hard links, when somebody asked for them.
 */
export function copyFiles(from: SiteInputs, to: SiteInputs, use: Services, bytes: number, linked = false): Step {
  const host = use.host(to.server);
  return {
    id: "files/copy",
    title: `Copy the files of ${from.site.uri}`,
    undoneBy: "site/directories",
    check: async () => ({ changes: [`${linked ? "link" : "copy"} ${megabytes(bytes)} of files to ${to.paths.root}`] }),
    async apply() {
      for (const name of TREES) {
        const [source, target] = [join(from.paths.root, name), join(to.paths.root, name)];
        if (!(await host.stat(source))) continue;
        // What cannot be read now, or is gone, is told by the pass that has to be exact.
        const { code, stderr } = await host.run(["cp", "-a", linked ? "--link" : "--reflink=auto", "--", `${source}/.`, target], {
          anyExit: true,
        });
        if (code !== 0 && /No space left|quota exceeded/i.test(stderr)) throw full(host.name, target, stderr);
      }
      return null;
    },
  };
}

/** The same, exactly as they are now: what changed since `copyFiles` is copied again, what is gone goes. */
export function filesUpToDate(from: SiteInputs, to: SiteInputs, use: Services): Step {
  const host = use.host(to.server);
  return {
    id: "files/up-to-date",
    title: "Bring the files up to date",
    undoneBy: "site/directories",
    check: async () => ({ changes: ["copy what changed meanwhile"] }),
    async apply() {
      for (const name of TREES) {
        const [source, target] = [join(from.paths.root, name), join(to.paths.root, name)];
        if (!(await host.stat(source))) continue;
        // Nanoseconds count: two changes of one second may leave the same size.
        const argv = ["rsync", "-a", "-H", "--delete", "--modify-window=-1", "--", `${source}/`, `${target}/`] as const;
        const { code, stderr } = await host.run(argv, { anyExit: true });
        if (code === 0 || code === VANISHED) continue;
        if (/No space left|quota exceeded/i.test(stderr)) throw full(host.name, target, stderr);
        throw new HostError("COMMAND_FAILED", `${host.name}: the files in ${source} could not all be copied`, {
          why: stderr
            .split("\n")
            .filter((line) => line.trim() !== "")
            .slice(0, 5),
          exitCode: code,
        });
      }
      return null;
    },
  };
}

function full(host: string, path: string, stderr: string): ProvisionError {
  return new ProvisionError("DISK_FULL", `${host}: no space left below ${path}`, { why: stderr.split("\n").slice(-3, -1) });
}

/** The database of one generation in the empty one of another, in one snapshot; caches come without what is in them. */
export function copyDatabase(from: SiteInputs, to: SiteInputs, use: Services, bytes: number): Step {
  const { engine } = from.core;
  // Sessions come along: nobody is logged out by a move.
  const caches = use.engine(engine).tables.structureOnly.filter((table) => /^cache/.test(table));
  const source = use.db(from.dbServer);
  const database = databaseOf(from, use, from.dbServer);
  const step = copyStep(use.host(to.dbServer), source, database, use.db(to.dbServer), databaseOf(to, use, to.dbServer));
  return {
    ...step,
    check: async () => ({ changes: [`copy the database of ${from.site.uri} (${megabytes(bytes)})`] }),
    async apply(run) {
      const structureOnly = matching(await source.tables(database), caches);
      const target = databaseOf(to, use, to.dbServer);
      return copyStep(use.host(to.dbServer), source, database, use.db(to.dbServer), target, { structureOnly }).apply(run);
    },
  };
}

/** Names that fit one of the patterns, in which a `*` stands at the end if anywhere. */
export function matching(names: readonly string[], patterns: readonly string[]): readonly string[] {
  return names.filter((name) =>
    patterns.some((pattern) => (pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern)),
  );
}
