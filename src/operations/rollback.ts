import { basename, join } from "node:path";
import { resolveSite, type SiteAndAll } from "../context/references.js";
import type { Site } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Operation, Step } from "../core/step.js";
import { together } from "../core/together.js";
import { detectCore } from "../engines/index.js";
import { locksOf } from "./migrate.js";
import { type Baseline, differences } from "./parts/baseline.js";
import { refuseUnfitPair } from "./parts/certificate.js";
import { membersOf, placesOf, refuseDown } from "./parts/cluster.js";
import {
  besideBaseline,
  blocked,
  closeGates,
  finishSwitch,
  makeRoom,
  onSides,
  refuseOtherMembers,
  resolveAs,
  type Succession,
  smokeTests,
  succession,
  switchSteps,
} from "./parts/generation.js";
import { type Kept, keptGenerations } from "./parts/kept.js";
import { poolSteps, refusePool } from "./parts/pool.js";
import { generationOf, siteState } from "./parts/preflight.js";
import { type Rows, type Since, since } from "./parts/since.js";
import { databaseOf, type SiteInputs, siteBaseline, siteInputs } from "./parts/site.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Inputs {
  readonly site: Site;
  readonly webServer: SiteAndAll["webServer"];
  readonly succession: Succession;
  /** Rows of what serves when it began to serve; null: nobody counted them. */
  readonly rows: Rows | null;
  /** Of the kept one, counted when nobody wrote to it any more. */
  readonly own: Rows | null;
  readonly baseline: Baseline;
}

/**
 * Back to the generation that served before: its code, its database, its files, as they were left. What serves now is kept in its place, so that a second
 * rollback returns to it; nothing of it is lost, and what was written to it since is counted.
 */
export const rollback: Operation<{ readonly name: string; readonly generation?: string }, Inputs, Services> = {
  name: "rollback",
  recovery: "ask",

  async prepare({ name, generation }, use, id) {
    const all = await resolveSite(use.store, use.settings, name, "all");
    refuseOtherUser(all.server);
    await refuseDown(all, use);
    const serving = generationOf(all.site);
    const kept = await keptGenerations(use, name);
    const back =
      generation === undefined ? kept[0] : kept.find((one) => one.generation === generation || one.generation.endsWith(`-${generation}`));
    if (back === undefined) {
      throw new ProvisionError(
        "REFUSED",
        generation === undefined ? `nothing is kept of ${name} that it could go back to` : `${name} has no kept generation ${generation}`,
        {
          state: await siteState(all, use),
          next: [kept.length > 0 ? `provision rollback ${name} --list` : `provision backups list ${name}`],
        },
      );
    }
    const host = use.host(all.server);
    const now = await siteInputs(use, all, await detectCore(host, use.rootOf(all)), serving);
    const next = await resolveAs(use, all, former(back, name), "all");
    refuseOtherMembers(all, next);
    await refuseIncomplete(back, next, use);
    const s = await succession(use, now, next, {
      generation: back.generation,
      command: "rollback",
      operation: id,
      staged: back.siteDirectory,
    });
    const baseline = {
      ...(await siteBaseline(now, use)),
      ...(await siteBaseline(s.next, use)),
      ...(await besideBaseline(s, use)),
    };
    return {
      inputs: { site: all.site, webServer: all.webServer, succession: s, rows: rowsThen(back, serving), own: back.own ?? null, baseline },
      locks: locksOf(all, next),
    };
  },

  async preflight({ succession: { next } }, use) {
    await together(...placesOf(next).flatMap((at) => [refusePool(at, use), refuseUnfitPair(at, use)]));
  },

  steps({ succession: s, rows, own }, use) {
    const count = counted(s.now, s.next, use, rows, own);
    return [
      ...onSides(s, (side) => [...makeRoom(side, use), ...poolSteps(side.next, use)]),
      ...closeGates(s.now, use),
      count,
      ...smokeTests(s, use, "gate/close"),
      ...switchSteps(s, use),
      // Nobody has written to it since it served.
      ...finishSwitch(
        s,
        use,
        (run) => run.need(count).kept,
        (run) => run.need(count).now,
      ),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  state: (inputs, use) => siteState(inputs, use),

  async data({ succession: { now, next, kept } }, run) {
    const taken = run.out({ id: "rollback/since" } as Step<Counted>)?.since;
    return {
      from: now.generation,
      to: next.generation,
      platform: next.site.platform,
      since: taken === undefined ? null : { ...taken },
      writes_blocked_ms: blocked(run) ?? null,
      kept_until: kept.until.slice(0, 10),
    };
  },
  lines: (data) => [
    `Back on  ${String(data["platform"])} (generation ${String(data["to"])})`,
    ...sinceLines(data["since"] as unknown as Since | null),
    `Kept     what served until now, until ${String(data["kept_until"])}: provision rollback again returns to it`,
  ],
};

/** What a kept generation says of the context, and what it does not have. The name of the context stays. */
function former({ properties }: Kept, name: string): Partial<Site> {
  return {
    db_name: undefined,
    db_user: undefined,
    aliases: [],
    redirection: undefined,
    directory: undefined,
    ...properties,
    name,
  } as Partial<Site>;
}

/** All of it has to be there before anything is closed. */
async function refuseIncomplete({ siteDirectory, generation }: Kept, next: SiteAndAll, use: Services): Promise<void> {
  const paths = use.layoutOf(next.server).generation(next.site.uri, generation);
  const missing: string[] = [];
  for (const all of membersOf(next)) {
    const host = use.host(all.server);
    const directory = all.server === next.server ? siteDirectory : await besideOn(siteDirectory, all, use);
    for (const path of [directory, use.layoutOf(all.server).generation(next.site.uri, generation).files])
      if (!(await host.stat(path))) missing.push(`${all.server === next.server ? "" : `${host.name}:`}${path}`);
  }
  if (!(await use.db(next.dbServer).exists(databaseOf({ site: next.site, generation, paths }, use, next.dbServer))))
    missing.push("its database");
  if (missing.length > 0)
    throw new ProvisionError("REFUSED", `the generation ${generation} of ${next.site.name} is not whole any more`, {
      why: missing.map((what) => `${what} is gone`),
      state: "nothing was changed",
    });
}

/** Where a generation stands on another member of the cluster. */
async function besideOn(siteDirectory: string, all: SiteAndAll, use: Services): Promise<string> {
  const { docroot } = await detectCore(use.host(all.server), use.rootOf(all));
  return join(docroot, "sites", basename(siteDirectory));
}

/** Of the generation that serves now, if it is the one that took that place. */
function rowsThen({ successor }: Kept, serving: string): Rows | null {
  return successor?.generation === serving ? { rows: successor.rows, marks: successor.marks ?? {} } : null;
}

type Counted = { readonly since: Since; readonly now: Rows; readonly kept: Rows };

function counted(now: SiteInputs, next: SiteInputs, use: Services, rows: Rows | null, own: Rows | null): Step<Counted> {
  return {
    id: "rollback/since",
    title: "Count what was written since",
    undoneBy: "gate/close",
    check: async () => ({ changes: ["compare the two databases"] }),
    apply: () => since(now, next, use, rows ?? undefined, own ?? undefined),
  };
}

function sinceLines(taken: Since | null): readonly string[] {
  if (taken === null) return [];
  const rows = Object.entries(taken.rows);
  return [
    ...(rows.length === 0
      ? ["Since    no rows were added or taken away"]
      : rows.map(([table, count]) => `Since    ${table}: ${count > 0 ? "+" : ""}${count} rows`)),
    ...(taken.accounts.length > 0 ? [`Taken back  accounts: ${taken.accounts.join(", ")}`] : []),
    ...(taken.passwords.length > 0 ? [`Taken back  passwords of: ${taken.passwords.join(", ")}`] : []),
  ];
}
