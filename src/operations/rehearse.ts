import { siteName, uriProblem } from "../context/names.js";
import { resolveSite, type SiteAndAll } from "../context/references.js";
import type { Site } from "../context/schema.js";
import { EXIT, ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import type { Operation, Run, Step } from "../core/step.js";
import { detectCore } from "../engines/index.js";
import { clone } from "./clone.js";
import { locksOf, migrate } from "./migrate.js";
import { type Baseline, differences } from "./parts/baseline.js";
import { placesOf, refuseDown } from "./parts/cluster.js";
import { refuseCore } from "./parts/code-moved.js";
import { comparison, refuseIncompatible, warningsOf } from "./parts/compatible.js";
import { filesSize } from "./parts/copy.js";
import { fingerprintOf } from "./parts/fingerprint.js";
import { refuseOtherMembers, resolveAs, succession } from "./parts/generation.js";
import { pageDifferences, pageText } from "./parts/page-text.js";
import { type Part, runPart } from "./parts/part-operation.js";
import { generationOf, refuseFullDisk, refuseLocked, siteState } from "./parts/preflight.js";
import { removeRehearsal } from "./parts/rehearsal.js";
import { type ComparedPage, type Copied, foundBy, judged, type Looked, type Moved, STEPS } from "./parts/rehearsal-record.js";
import { databaseOf, type SiteInputs, siteBaseline, siteInputs } from "./parts/site.js";
import { ERROR, type LogLine, logMark, namesIn, newInLog, sameEntry, usualPaths, visiting } from "./parts/site-pages.js";
import { refuseOtherUser, type Services } from "./services.js";

export interface RehearseArgs {
  readonly name: string;
  readonly platform: string;
  /** Of the site, each with its `/`; undefined: some that its front page leads to. */
  readonly paths?: readonly string[];
  /** The copy stays. */
  readonly keep: boolean;
}

interface Inputs {
  readonly site: Site;
  readonly webServer: SiteAndAll["webServer"];
  /** The site, and as it would be on the platform. */
  readonly now: SiteInputs;
  readonly next: SiteInputs;
  /** Context of the copy, with its `@`. */
  readonly copy: string;
  readonly paths: readonly string[] | null;
  readonly keep: boolean;
  /** Bytes. */
  readonly sizes: { readonly files: number; readonly database: number };
  readonly baseline: Baseline;
}

/** Failures of a move that are the code's or the site's: they are what a rehearsal is for. All others are those of the machine, and say nothing. */
const FOUND = ["UPDATEDB_FAILED", "ENGINE_FAILED", "PROBE_FAILED", "WRONG_SITE", "REFUSED"];

const SLACK = 64 * 1024 * 1024;

/**
 * What would become of a site on a platform, without touching it: a quarantined copy under a temporary name is moved there, pages of both are held against each
 * other, and the copy is taken away again. Clone, migrate and delete are operations of their own, under the locks of this one; the site itself is locked against
 * changes and only read. Until the copy goes, an abort takes it away; after that its removal is finished.
 */
export const rehearse: Operation<RehearseArgs, Inputs, Services> = {
  name: "rehearse",
  recovery: "automatic",

  async prepare({ name, platform, paths, keep }, use, id) {
    const all = await resolveSite(use.store, use.settings, name, "all");
    refuseOtherUser(all.server);
    await refuseDown(all, use);
    const generation = generationOf(all.site);
    if (platform === all.site.platform)
      throw new ProvisionError("REFUSED", `${name} is on ${platform} already: there is nothing to rehearse`, {
        state: "nothing was changed",
        next: ["provision list platforms"],
      });
    const host = use.host(all.server);
    const now = await siteInputs(use, all, await detectCore(host, use.rootOf(all)), generation);
    const wanted = await resolveAs(use, all, { platform }, "all");
    refuseOtherMembers(all, wanted);
    refuseLocked(wanted.platform);
    const target = await detectCore(use.host(wanted.server), use.rootOf(wanted));
    const profile = await refuseCore(now, { core: target, name: platform, host: use.host(wanted.server) }, use);
    const there = await resolveAs(use, wanted, { profile, generation: id, db_name: undefined, db_user: undefined });
    const { next } = await succession(use, now, there, { generation: id, command: "rehearse", operation: id });
    const sizes = { files: await filesSize(now, use), database: await use.db(all.dbServer).size(databaseOf(now, use, all.dbServer)) };
    const onDisk = sizes.files + (use.db(all.dbServer).type === "sqlite" ? sizes.database : 0);
    for (const { server } of placesOf(next)) await refuseFullDisk(use.host(server), use.layoutOf(server).sites, 2 * onDisk + SLACK);
    const copy = await temporaryName(use, all.site, id);
    return {
      inputs: {
        site: all.site,
        webServer: all.webServer,
        now,
        next,
        copy,
        paths: paths ?? null,
        keep,
        sizes,
        baseline: await siteBaseline(now, use),
      },
      locks: [
        // Visitors, cron and whoever asks go on; what would change the site waits.
        ...locksOf(all, wanted).map((lock) => (lock.name === name ? ({ ...lock, mode: "shared" } as const) : lock)),
        { kind: "site", name: copy, mode: "exclusive" },
      ],
    };
  },

  preflight: (inputs, use) => refuseIncompatible(inputs, inputs.now, inputs.next, use),

  steps(inputs, use) {
    const { copied, moved, looked } = stepsOf(inputs, use);
    return [comparison(inputs, inputs.next), copied, moved, looked, ...(inputs.keep ? [] : [removed(inputs, use)])];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  state: (inputs, use) => siteState(inputs, use),

  async data(inputs, run) {
    const { copied, moved, looked } = foundBy(run);
    const { verdict, reasons } = judged(moved, looked);
    return {
      id: run.operation,
      site: inputs.site.name,
      platform: inputs.next.site.platform,
      verdict,
      reasons,
      writes_blocked_ms: moved?.writes_blocked_ms ?? null,
      updates: moved?.updates ?? [],
      urls: (looked?.urls ?? []) as unknown as Json,
      log: (looked?.log ?? []) as unknown as Json,
      blockers: [],
      warnings: warningsOf(inputs) as unknown as Json,
      durations: { clone_ms: copied?.ms ?? null, migrate_ms: moved?.ms ?? null, pages_ms: looked?.ms ?? null },
      kept: inputs.keep ? { name: inputs.copy, url: copied?.url ?? "", login: copied?.login ?? "" } : null,
    };
  },

  lines(data) {
    const urls = data["urls"] as unknown as readonly ComparedPage[];
    const log = data["log"] as unknown as readonly LogLine[];
    const kept = data["kept"] as unknown as { readonly name: string; readonly url: string; readonly login: string } | null;
    const reasons = data["reasons"] as readonly string[];
    const blocked = data["writes_blocked_ms"];
    return [
      `Verdict  ${data["verdict"] === "good" ? `good: ${counted(urls.length, "page")} as before, no new errors in the log` : `bad: ${reasons[0]}`}`,
      ...reasons.slice(1).map((reason) => `         ${reason}`),
      ...(typeof blocked === "number" ? [`Blocked  nobody could write for about ${seconds(blocked)} in a migrate`] : []),
      ...urls.map(({ path, status, rehearsed_status, differences: found }) =>
        found.length === 0 ? `Page     ${path}  ${status}` : `Page     ${path}  ${status} → ${rehearsed_status}: differs`,
      ),
      ...log.filter(({ severity }) => severity > ERROR).map(({ type, message }) => `Log      ${type}: ${message}`),
      ...(kept === null
        ? []
        : [`Kept     ${kept.name}, at ${kept.url}`, `Login    ${kept.login}`, `Delete   provision delete ${kept.name} --no-backup --yes`]),
      ...(data["verdict"] === "good"
        ? [`Next     provision migrate ${String(data["site"])} ${String(data["platform"])} --rehearsed ${String(data["id"])}`]
        : []),
    ];
  },

  verdict({ site, next, keep }, run) {
    const { moved, looked } = foundBy(run);
    const { verdict, reasons } = judged(moved, looked);
    if (verdict === "good") return undefined;
    const { platform } = next.site;
    return new ProvisionError("PROBLEMS_FOUND", `${site.name} would not be on ${platform} what it is now`, {
      why: reasons,
      state: `${site.name} was only read, and serves from ${site.platform}`,
      next: [
        ...(keep ? [] : [`provision rehearse ${site.name} ${platform} --keep    # leaves the copy for a look`]),
        `provision operations log ${run.operation}`,
      ],
    });
  },

  figures({ site, sizes }, run) {
    const moved = foundBy(run).moved;
    if (!moved || moved.failure) return {};
    return { as: "migrate", site: site.name, ...sizes, backup: false, ms: moved.ms, writes_blocked_ms: moved.writes_blocked_ms };
  },
};

/** A name that nobody has, and that can be told to belong to the site. */
async function temporaryName(use: Services, site: Site, id: string): Promise<string> {
  for (const word of [id.split("-")[1] ?? id, id.toLowerCase()]) {
    const uri = `rehearse-${word}.${siteName(site.uri)}`;
    const name = `@${uriProblem(uri) === undefined ? uri : `rehearse-${word}.localhost`}`;
    if ((await use.store.read(name)) === undefined) return name;
  }
  throw new ProvisionError("NAME_TAKEN", `there is a site for every temporary name of ${site.name}`);
}

function stepsOf(inputs: Inputs, use: Services) {
  const { now, next, copy, paths } = inputs;
  const { platform } = next.site;
  const copied: Step<Copied> = {
    id: STEPS.copied,
    title: `Copy ${now.site.name} to ${copy}, in quarantine`,
    async check(run) {
      const undo = { do: "rehearsal_remove", host: use.local.name, operation: run.operation, site: copy };
      return { changes: [`make ${copy} for the time of the rehearsal`], undo: [undo] };
    },
    async apply(run) {
      const fingerprint = await fingerprintOf(use, now, next);
      const part = await runPart(use, run.operation, clone, { name: now.site.name, newName: copy, quarantine: true }, now.site.name, run);
      refuseFailed(part);
      const { last, bytes } = await logMark(await inputsOf(use, copy), use);
      return { fingerprint, ms: part.ms, login: String(part.data["login"]), url: String(part.data["url"]), mark: { last, bytes } };
    },
  };
  const moved: Step<Moved> = {
    id: STEPS.moved,
    title: `Move ${copy} to ${platform}`,
    undoneBy: STEPS.copied,
    check: async () => ({ changes: [`migrate ${copy} to ${platform}`] }),
    async apply(run) {
      const part = await runPart(use, run.operation, migrate, { name: copy, platform, backup: false }, copy, run);
      const { error } = part.failure ?? {};
      if (error === undefined || !FOUND.includes(error.code) || part.failure?.exit === EXIT.NEEDS_ATTENTION) refuseFailed(part);
      const said = new Set(warningsOf(inputs).map(({ message }) => message));
      for (const warning of part.warnings.map((each) => each.replaceAll(copy, now.site.name))) if (!said.has(warning)) run.warn(warning);
      return {
        ms: part.ms,
        writes_blocked_ms: (part.data["writes_blocked_ms"] as number | undefined) ?? null,
        updates: (part.data["updates"] as readonly string[] | undefined) ?? [],
        failure: error === undefined ? null : { code: error.code, message: error.message, why: error.why },
      };
    },
  };
  const looked: Step = {
    id: STEPS.looked,
    title: "Hold pages and logs of both against each other",
    undoneBy: STEPS.copied,
    check: async () => ({
      changes: [paths === null ? "fetch the front page and what it leads to, on both" : `fetch ${counted(paths.length, "page")} on both`],
    }),
    async apply(run) {
      const move = run.need(moved);
      const at = Date.now();
      const none: Looked = { ms: 0, urls: [], log: [] };
      return (move.failure
        ? none
        : { ...(await look(now, await inputsOf(use, copy), use, paths, run.need(copied), run)), ms: Date.now() - at }) as unknown as Json;
    },
  };
  return { copied, moved, looked };
}

/** What fails of the machine ends the rehearsal; what it says of a state is one of the copy, which goes. */
function refuseFailed({ failure }: Part): void {
  if (!failure) return;
  const { error } = failure;
  // A link that was lost keeps its own words, by which it is known.
  if ("reached" in error && error.reached === "unknown") throw error;
  throw new ProvisionError(error.code, error.message, { why: error.reasons, failures: error.failures, cause: error });
}

/** A site as it is saved now. */
async function inputsOf(use: Services, name: string): Promise<SiteInputs> {
  const all = await resolveSite(use.store, use.settings, name, "first");
  const core = await detectCore(use.host(all.server), use.rootOf(all));
  return siteInputs(use, all, core, all.site.generation ?? "");
}

async function look(
  now: SiteInputs,
  there: SiteInputs,
  use: Services,
  asked: readonly string[] | null,
  { mark }: Pick<Copied, "mark">,
  run: Pick<Run, "signal" | "progress">,
): Promise<Omit<Looked, "ms">> {
  const before = await logMark(now, use);
  const [mine, theirs] = [namesIn(now), namesIn(there, now)];
  const urls = await visiting(now, use, (get) =>
    visiting(there, use, async (rehearsed) => {
      const pages: ComparedPage[] = [];
      for (const path of asked ?? (await usualPaths(now, get))) {
        if (run.signal.aborted) throw new ProvisionError("STOPPED", "stopped between two pages");
        run.progress(`GET ${path}`);
        const [one, other] = [await get(path), await rehearsed(path)];
        const [page, again, copy] = [pageText(one, mine), pageText(await get(path), mine), pageText(other, theirs)];
        const { status, title } = page;
        const found = pageDifferences(page, again, copy);
        pages.push({ path, status, rehearsed_status: other.status, title, ms: one.ms, rehearsed_ms: other.ms, differences: found });
      }
      return pages;
    }),
  );
  // What the site logs where it is says nothing of the platform.
  const usual = new Set([...before.entries, ...(await newInLog(now, use, before))].map((entry) => sameEntry(entry, mine)));
  const log = new Map<string, LogLine>();
  for (const entry of await newInLog(there, use, mark)) {
    const same = sameEntry(entry, theirs);
    if (!usual.has(same) && !log.has(same)) log.set(same, entry);
  }
  return { urls, log: [...log.values()] };
}

/** The copy goes; can be repeated. */
function removed({ copy }: Inputs, use: Services): Step {
  return {
    id: "rehearse/remove",
    title: `Take ${copy} away`,
    phase: "finish",
    check: async () => ({ changes: [`delete ${copy}`] }),
    async apply(run) {
      await removeRehearsal(use, run.operation, copy, { signal: run.signal, progress: (message) => run.progress(message) });
      return null;
    },
  };
}

function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
