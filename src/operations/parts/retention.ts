import type { HubSettings } from "../../context/schema.js";

/** What retention has to know of a backup. */
export interface Dated {
  readonly id: string;
  /** ISO 8601. */
  readonly begun: string;
}

/**
 * Which backups of one site are kept, and why; those that are not in the answer may go. Of each of the last days, weeks and months that have a backup,
 * as many as the policy says, the newest stays; and the newest of all always. Days are those of UTC. Pure.
 */
export function retained(backups: readonly Dated[], retention: HubSettings["retention"]): ReadonlyMap<string, readonly string[]> {
  const newestFirst = backups.toSorted((a, b) => (a.begun < b.begun ? 1 : a.begun > b.begun ? -1 : a.id < b.id ? 1 : -1));
  const kept = new Map<string, string[]>();
  const keep = (id: string, why: string) => kept.set(id, [...(kept.get(id) ?? []), why]);
  const [newest] = newestFirst;
  if (newest) keep(newest.id, "the newest");
  for (const [rule, most, period] of [
    ["daily", retention.daily, day],
    ["weekly", retention.weekly, week],
    ["monthly", retention.monthly, month],
  ] as const) {
    const seen = new Set<string>();
    for (const { id, begun } of newestFirst) {
      const of = period(new Date(begun));
      if (seen.has(of) || seen.size >= most) continue;
      seen.add(of);
      keep(id, `${rule} (${of})`);
    }
  }
  return kept;
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}

function month(date: Date): string {
  return date.toISOString().slice(0, 7);
}

/** ISO 8601: a week belongs to the year that has its Thursday. */
function week(date: Date): string {
  const thursday = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate() + 4 - (date.getUTCDay() || 7)));
  const first = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  const number = Math.ceil(((thursday.getTime() - first) / 86_400_000 + 1) / 7);
  return `${thursday.getUTCFullYear()}-W${String(number).padStart(2, "0")}`;
}
