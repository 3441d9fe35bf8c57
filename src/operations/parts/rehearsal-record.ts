import { ProvisionError } from "../../core/errors.js";
import type { Run, Step } from "../../core/step.js";
import type { Services } from "../services.js";
import { changedSince, type Fingerprint, fingerprintOf } from "./fingerprint.js";
import type { SiteInputs } from "./site.js";
import { ERROR, type LogLine, type LogMark } from "./site-pages.js";

/** One page on both. */
export type ComparedPage = {
  readonly path: string;
  readonly status: number;
  readonly rehearsed_status: number;
  readonly title: string;
  readonly ms: number;
  readonly rehearsed_ms: number;
  readonly differences: readonly string[];
};

export type Copied = {
  readonly fingerprint: Fingerprint;
  readonly ms: number;
  readonly login: string;
  readonly url: string;
  readonly mark: LogMark;
};

export type Moved = {
  readonly ms: number;
  readonly writes_blocked_ms: number | null;
  readonly updates: readonly string[];
  /** Why it could not be moved; the copy is then where it was. */
  readonly failure: { readonly code: string; readonly message: string; readonly why: readonly string[] } | null;
};

export type Looked = { readonly ms: number; readonly urls: readonly ComparedPage[]; readonly log: readonly LogLine[] };

/** Steps of a rehearsal that have something to tell, by what they tell; journals of every version name them. */
export const STEPS = { copied: "rehearse/clone", moved: "rehearse/migrate", looked: "rehearse/pages" } as const;

/** What the steps of a rehearsal have found so far. */
export function foundBy(run: Pick<Run, "out">): { readonly copied?: Copied; readonly moved?: Moved; readonly looked?: Looked } {
  const out = (id: string) => run.out({ id } as Step) as never;
  return { copied: out(STEPS.copied), moved: out(STEPS.moved), looked: out(STEPS.looked) };
}

/** Pure: what the findings come to. */
export function judged(
  moved: Moved | undefined,
  looked: Looked | undefined,
): { readonly verdict: "good" | "bad"; readonly reasons: readonly string[] } {
  if (moved?.failure) return { verdict: "bad", reasons: [moved.failure.message, ...moved.failure.why] };
  const urls = looked?.urls ?? [];
  const pages = urls.flatMap(({ path, differences }) => differences.map((what) => `GET ${path}: ${what}`));
  const errors = (looked?.log ?? [])
    .filter(({ severity }) => severity <= ERROR)
    .map(({ type, message }) => `new in the log: ${type}: ${message}`);
  const told = urls.some(({ status }) => status >= 200 && status < 300);
  const blind = told ? [] : ["no page of the site answers with something that could be compared; name some with --urls"];
  const reasons = [...pages, ...errors, ...blind];
  return { verdict: reasons.length === 0 ? "good" : "bad", reasons };
}

/** A rehearsal that a migrate is to rely on. JSON. */
export type Rehearsed = { readonly id: string; readonly fingerprint: Fingerprint };

/** The rehearsal of this id (or its end). Rejects with OPERATION_NOT_FOUND; with REFUSED when it is of something else, was not finished or ended badly. */
export function rehearsed(use: Services, word: string, site: string, platform: string): Rehearsed {
  const id = use.operations.resolve(word);
  const { open, records, outcome } = use.operations.read(id);
  const next = [`provision rehearse ${site} ${platform}`];
  const refuse = (what: string, why: readonly string[] = []) =>
    new ProvisionError("REFUSED", `operation ${id} ${what}`, { why, state: "nothing was changed", next });
  if (open?.command !== "rehearse") throw refuse(`is no rehearsal, but ${open?.command ?? "nothing"} ${open?.target ?? ""}`.trim());
  if (outcome !== "changed") throw refuse("is a rehearsal that was not finished");
  const outs = new Map(records.flatMap((record) => (record.t === "done" ? [[record.step, record.out] as const] : [])));
  const { copied, moved, looked } = foundBy({ out: ({ id: step }: { readonly id: string }) => outs.get(step) as never });
  const { site: of, next: there } = open.inputs as unknown as { readonly site: { readonly name: string }; readonly next: SiteInputs };
  if (of.name !== site || there.site.platform !== platform)
    throw refuse(`rehearsed the move of ${of.name} to ${there.site.platform}, and this is one of ${site} to ${platform}`);
  const { verdict, reasons } = judged(moved, looked);
  if (verdict !== "good") throw refuse("is a rehearsal that ended badly", reasons);
  return { id, fingerprint: copied?.fingerprint ?? {} };
}

/** Rejects with REFUSED when site or platform are no longer what was rehearsed, and says what is different. */
export async function refuseChanged(use: Services, { id, fingerprint }: Rehearsed, now: SiteInputs, next: SiteInputs): Promise<void> {
  const changed = changedSince(fingerprint, await fingerprintOf(use, now, next));
  if (changed.length === 0) return;
  const { name, platform } = now.site;
  throw new ProvisionError("REFUSED", `${name} or ${next.site.platform} has changed since rehearsal ${id}`, {
    why: changed.length > 20 ? [...changed.slice(0, 20), `and ${changed.length - 20} more`] : changed,
    state: `nothing was changed; ${name} serves from ${platform}`,
    next: [`provision rehearse ${name} ${next.site.platform}`],
  });
}
