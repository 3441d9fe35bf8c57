import type { Json } from "../../core/json.js";
import type { Host } from "../../host/host.js";
import type { Services } from "../services.js";
import type { Finding } from "./findings.js";

/** What the history keeps of a run that later ones are like. `as`: the command; bytes and milliseconds. */
type Figures = {
  readonly as: string;
  readonly site: string;
  readonly files: number;
  readonly database: number;
  readonly backup?: boolean;
  readonly writes_blocked_ms?: number | null;
  /** Of the run itself, when it was part of another. */
  readonly ms?: number;
};

export interface Planned {
  readonly as: "migrate" | "rename" | "clone";
  readonly site: string;
  /** Bytes that are copied. */
  readonly files: number;
  readonly database: number;
  readonly backup?: boolean;
  /** Where they are copied to. */
  readonly host: Host;
  readonly sites: string;
  /** What is to be known before. */
  readonly warnings: readonly Finding[];
}

interface Past {
  readonly ms: number;
  readonly blocked: number | undefined;
  readonly figures: Figures;
}

/** Runs of one site that count: older ones were of another site. */
const LAST = 5;
/** Sites with up to three times as many bytes, or a third of them, are of similar size. */
const SIMILAR = 3;
/** Below this, bytes say nothing of the time. */
const SMALL = 20_000_000;

/** How long a run will take, and what it needs, by what such runs took before: of this site, else of sites of its size; else nothing is known, and that is said. */
export async function forecastOf(
  use: Services,
  planned: Planned,
): Promise<{ readonly data: { readonly [key: string]: Json }; readonly lines: readonly string[] }> {
  const all = await pastRuns(use, planned.as);
  const own = all.filter(({ figures }) => figures.site === planned.site);
  const alike = all.filter(({ figures }) => similar(sizeOf(figures), sizeOf(planned)));
  const from = own.length > 0 ? "site" : alike.length > 0 ? "similar sites" : null;
  const known = own.length > 0 ? own : alike;
  const same = known.filter(({ figures }) => figures.backup === planned.backup);
  const runs = (same.length > 0 ? same : known).slice(-LAST);
  const duration = median(runs.map(({ ms }) => ms));
  const blocked = median(runs.flatMap(({ blocked: ms }) => (ms === undefined ? [] : [ms])));
  const free = await planned.host.freeSpace(planned.sites);
  const { as, files, database, backup, warnings } = planned;
  const word = `${runs.length} ${as}${runs.length === 1 ? "" : "s"} ${from === "site" ? "of this site" : "of sites of similar size"}`;
  const held = blocked === null || as !== "migrate" ? "" : `, in which nobody can write for about ${seconds(blocked)}`;
  return {
    data: {
      blockers: [],
      warnings: warnings as unknown as Json,
      predicted: { duration_ms: duration, writes_blocked_ms: as === "clone" ? 0 : blocked, from, runs: runs.length },
      space: { files, database, free },
    },
    lines: [
      duration === null
        ? `Takes    not known: no ${as} of this site, nor of one of its size, was made here before (provision rehearse tells)`
        : `Takes    about ${seconds(duration)}${held} (by ${word})`,
      ...(as === "rename"
        ? []
        : [
            `Space    ${amount(files)} of files and ${amount(database)} of database are copied${backup ? ", and compressed into a backup" : ""}; ${amount(free)} are free`,
          ]),
    ],
  };
}

async function pastRuns(use: Services, as: string): Promise<readonly Past[]> {
  const text = (await use.local.readFile(use.operations.history)) ?? "";
  return text.split("\n").flatMap((line) => {
    if (!line.includes('"figures"')) return [];
    const { figures, ms, parent } = JSON.parse(line) as { readonly figures: Figures; readonly ms: number; readonly parent?: string };
    // A part is told of by the whole, which knows whose copy it was.
    if (figures.as !== as || parent !== undefined) return [];
    return [{ ms: figures.ms ?? ms, blocked: figures.writes_blocked_ms ?? undefined, figures }];
  });
}

function sizeOf({ files, database }: Pick<Figures, "files" | "database">): number {
  return Math.max(files + database, SMALL);
}

function similar(a: number, b: number): boolean {
  return a <= b * SIMILAR && b <= a * SIMILAR;
}

function median(numbers: readonly number[]): number | null {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? null;
}

function seconds(ms: number): string {
  return ms < 100_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`;
}

function amount(bytes: number): string {
  if (bytes >= 1_000_000_000) return `${(bytes / 1_000_000_000).toFixed(1)} GB`;
  return bytes < 1_000_000 ? `${Math.ceil(bytes / 1000)} kB` : `${Math.round(bytes / 1_000_000)} MB`;
}
