import { siteName } from "../context/names.js";
import { resolvePlatform, resolveSite } from "../context/references.js";
import type { Site } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Operation, Step } from "../core/step.js";
import { detectCore } from "../engines/index.js";
import { loadStep } from "../services/db/transfer.js";
import { type BackupInputs, backupData, backupInputs, backupSteps, refuseNoRoom } from "./parts/backup.js";
import { type Baseline, differences } from "./parts/baseline.js";
import { refuseDown } from "./parts/cluster.js";
import { codeMoved, type Pair, paths, refuseCore, updates } from "./parts/code-moved.js";
import { codePlace } from "./parts/code-place.js";
import {
  besideBaseline,
  closeGates,
  countRows,
  finishSwitch,
  makeGeneration,
  refuseOtherMembers,
  resolveAs,
  type Succession,
  smokeTests,
  spreadGeneration,
  stagedCode,
  succession,
  switchSteps,
} from "./parts/generation.js";
import { siteLocks } from "./parts/locks.js";
import { type Origin, originOf } from "./parts/origin.js";
import { currentBuild, readRecord } from "./parts/platform-code.js";
import { refusePool } from "./parts/pool.js";
import { generationOf, refuseForeignDatabase, refuseLocked, refuseUnwell, siteState } from "./parts/preflight.js";
import { databaseOf, type SiteInputs, siteBaseline, siteCode, siteInputs } from "./parts/site.js";
import { backupNamed } from "./parts/stored-backups.js";
import { allExtensions, dumpOf, filesStep, ownCodeStep, pairsOf, refuseUnfit } from "./parts/unpack.js";
import { refuseOtherUser, type Services } from "./services.js";

export interface RestoreArgs {
  readonly name: string;
  /** Id of a backup or its end, or the directory of one. */
  readonly backup: string;
  readonly platform?: string | undefined;
}

interface Inputs {
  readonly succession: Succession;
  readonly site: Site;
  readonly webServer: SiteInputs["webServer"];
  readonly origin: Origin;
  readonly pairs: readonly Pair[];
  readonly formerProfile: string;
  /** The code is another than the one that the backup was made on. */
  readonly otherCode: boolean;
  /** Of the present state. */
  readonly backup: BackupInputs;
  readonly baseline: Baseline;
}

/**
 * A site as it was when a backup of it was made. The present state is backed up first; the other is made beside it as a generation of its own, takes its place
 * once it answers, and what served until then is kept for `rollback`.
 */
export const restore: Operation<RestoreArgs, Inputs, Services> = {
  name: "restore",
  recovery: "ask",

  async prepare(args, use, id) {
    const { name } = args;
    const all = await resolveSite(use.store, use.settings, name, "all");
    refuseOtherUser(all.server);
    await refuseDown(all, use);
    const generation = generationOf(all.site, `provision deploy ${name} ${args.backup}    # makes a new site of the backup`);
    const stored = await backupNamed(use, args.backup, args.backup.includes("/") ? undefined : siteName(all.site.uri));
    if (stored.manifest.uri !== all.site.uri && stored.manifest.site !== name)
      throw new ProvisionError("REFUSED", `the backup ${stored.id} is one of ${stored.manifest.site}, not of ${name}`, {
        state: "nothing was changed",
        next: [`provision backups list ${name}`, `provision deploy @new ${stored.id}    # a new site of it`],
      });
    const origin = await originOf(use, stored.directory, {});
    const now = await siteInputs(use, all, await detectCore(use.host(all.server), use.rootOf(all)), generation);
    const platform = args.platform ?? (await recordedPlatform(origin, name, args.backup, use));
    const properties = {
      platform,
      ...(platform === all.site.platform ? {} : { directory: undefined }),
      generation: id,
      db_name: undefined,
      db_user: undefined,
    };
    const wanted = await resolveAs(use, all, properties, "all");
    refuseOtherMembers(all, wanted);
    if (platform !== all.site.platform) refuseLocked(wanted.platform);
    const host = use.host(wanted.server);
    const core = await detectCore(host, use.rootOf(wanted));
    refuseForeignDatabase(use.engine(core.engine), wanted);
    const { type } = use.db(wanted.dbServer);
    if (type !== origin.database)
      throw new ProvisionError(
        "REFUSED",
        `the backup ${stored.id} has a database of ${origin.database}, and ${wanted.dbServer.name} has ${type}`,
        {
          why: ["a dump of one kind of database cannot be loaded by another"],
          state: "nothing was changed",
        },
      );
    const { manifest } = stored;
    const running = {
      site: { name: `the backup ${stored.id}`, profile: manifest.profile },
      core: { engine: manifest.engine, version: manifest.core },
    };
    const profile = await refuseCore(running, { core, name: platform, host }, use);
    const next = await resolveAs(use, wanted, { profile });
    const s = await succession(use, now, next, { generation: id, command: "restore", operation: id });
    return {
      inputs: {
        succession: s,
        site: all.site,
        webServer: all.webServer,
        origin,
        pairs: pairsOf(origin, s.next, use),
        formerProfile: manifest.profile,
        otherCode:
          core.version !== manifest.core ||
          platform !== manifest.platform["name"] ||
          profile !== manifest.profile ||
          (await rebuilt(stored.manifest, s.next, use)),
        backup: backupInputs(use, all.site.uri, id, "restore"),
        baseline: {
          ...(await siteBaseline(now, use)),
          ...(await siteBaseline(s.next, use)),
          ...(await besideBaseline(s, use)),
        },
      },
      locks: [
        ...siteLocks(all),
        ...siteLocks({ ...next, site: all.site }).filter(
          (lock) => !siteLocks(all).some(({ kind, name: other }) => kind === lock.kind && other === lock.name),
        ),
      ],
    };
  },

  async preflight({ succession: s, origin }, use) {
    await refuseNoRoom(s.now, use);
    for (const at of s.next.others ?? []) {
      await refuseUnwell(at, use);
      await refusePool(at, use);
    }
    await refuseUnfit({ ...s.next, origin }, use);
  },

  steps({ succession: s, origin, pairs, formerProfile, otherCode, backup }, use) {
    const { now, next, staged } = s;
    const engine = use.engine(next.core.engine);
    const code = stagedCode(s, use);
    const unpacking = { ...staged, origin };
    const rows = countRows(next, use);
    const beside = staged.siteDirectory !== next.siteDirectory;
    return [
      ...backupSteps(now, backup, use),
      ...makeGeneration(s, use).map((step) => (step.id === "site/own-code" ? ownCodeStep(unpacking, use) : step)),
      loadStep(
        use.host(next.dbServer),
        use.db(next.dbServer),
        databaseOf(next, use, next.dbServer),
        dumpOf(unpacking),
        origin.own ? undefined : "foreign",
        use.local,
      ),
      filesStep(unpacking, use),
      ...(otherCode ? codeMoved(engine, code, use, { from: formerProfile, to: next.site.profile }) : []),
      allExtensions(unpacking, use),
      ...(otherCode ? [updates(engine, code)] : []),
      ...paths(engine, code, pairs),
      ...spreadGeneration(s.staged, use),
      ...smokeTests(s, use),
      ...closeGates(now, use),
      ...switchSteps(s, use),
      // What was listed while it stood beside is listed under its name.
      ...(otherCode && beside
        ? codeMoved(engine, siteCode(next, use), use, { from: next.site.profile, to: next.site.profile }).map(again)
        : []),
      rows,
      ...finishSwitch(s, use, (run) => run.need(rows)),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  state: (inputs, use) => siteState(inputs, use),
  async data({ succession: s, backup, origin }, run, use) {
    const made = backupData(backupSteps(s.now, backup, use), run.out);
    return {
      url: use.http(s.next.webServer).url(s.next.site.uri, s.next.site.ssl !== "off"),
      restored: "id" in origin ? origin.id : origin.word,
      platform: s.next.site.platform,
      backup: made["backup"] ?? backup.id,
      kept_until: s.kept.until.slice(0, 10),
    };
  },
  lines: ({ url, restored, backup, kept_until }) => [
    `URL     ${String(url)}/`,
    `As of   ${String(restored)}`,
    `Backup  of what served before: ${String(backup)}; it is also kept until ${String(kept_until)} (provision rollback)`,
  ],
};

function again(step: Step): Step {
  return { ...step, id: `${step.id}-again` };
}

/** The platform that the manifest names, if it still stands. */
async function recordedPlatform(origin: Origin, name: string, word: string, use: Services): Promise<string> {
  const platform = "platform" in origin ? origin.platform : null;
  const found = platform === null ? undefined : await use.store.read(platform);
  if (platform !== null && found?.context_type === "platform" && (await standsFor(found.name, use))) return platform;
  throw new ProvisionError(
    "CONTEXT_NOT_FOUND",
    `the platform that ${word} was made on${platform === null ? "" : `, ${platform},`} does not stand any more`,
    {
      state: "nothing was changed",
      next: [`provision restore ${name} ${word} --platform=@platform_…`, "provision list platforms"],
    },
  );
}

/** Whether the code of a platform is where its sites run. */
async function standsFor(name: string, use: Services): Promise<boolean> {
  const all = await resolvePlatform(use.store, use.settings, name, "first");
  return (await use.host(all.server).stat(use.rootOf(all))) !== undefined;
}

/** The platform was built anew since. */
async function rebuilt(
  { build }: { readonly build: { readonly [key: string]: unknown } | null },
  { platform, server }: SiteInputs,
  use: Services,
): Promise<boolean> {
  const host = use.host(server);
  const present = await currentBuild(host, use.layoutOf(server), codePlace(platform, use.layoutOf(server)));
  const record = present === undefined ? undefined : await readRecord(use, present);
  return (record?.tree ?? null) !== (build?.["tree"] ?? null);
}
