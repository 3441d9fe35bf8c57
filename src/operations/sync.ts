import { resolveSite, type SiteAndAll } from "../context/references.js";
import type { Site } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Lock, Operation, Step } from "../core/step.js";
import type { SanitizeRules } from "../engines/engine.js";
import { detectCore } from "../engines/index.js";
import { renewed, sanitized } from "./clone.js";
import { takenBack } from "./migrate.js";
import { type BackupInputs, backupInputs, backupSteps, refuseNoRoom } from "./parts/backup.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { codeMoved, type Pair, pathPairs, paths, refuseCore, updates } from "./parts/code-moved.js";
import { comparison, refuseIncompatible } from "./parts/compatible.js";
import { copyDatabase, copyFiles, filesSize, filesUpToDate } from "./parts/copy.js";
import {
  blocked,
  closeGate,
  countRows,
  finishSwitch,
  makeGeneration,
  resolveAs,
  type Succession,
  smokeTest,
  stagedCode,
  succession,
  switchSteps,
} from "./parts/generation.js";
import { siteLocks } from "./parts/locks.js";
import { refusePool } from "./parts/pool.js";
import { generationOf, refuseFullDisk, siteState } from "./parts/preflight.js";
import { databaseOf, modesAgain, type SiteInputs, siteBaseline, siteCode, siteInputs } from "./parts/site.js";
import { refuseOtherUser, type Services } from "./services.js";

export interface SyncArgs {
  /** Whose database and files are taken, with its `@`. */
  readonly from: string;
  /** Whose are replaced. */
  readonly to: string;
  readonly database: boolean;
  readonly files: boolean;
  /** Of the target, first. */
  readonly backup: boolean;
  /** Run when the target's code is newer. */
  readonly updates: boolean;
  readonly sanitize?: SanitizeRules;
}

interface Inputs {
  readonly from: SiteInputs;
  readonly succession: Succession;
  /** The target, for messages. */
  readonly site: Site;
  readonly webServer: SiteInputs["webServer"];
  readonly database: boolean;
  readonly files: boolean;
  readonly sizes: { readonly files: number; readonly database: number };
  readonly pairs: readonly Pair[];
  readonly updates: boolean;
  readonly sanitize: SanitizeRules | null;
  readonly backup: BackupInputs | null;
  readonly baseline: Baseline;
}

const FILES = { names: ["files", "private"], id: "files" } as const;
/** What is decided in files belongs to the database that was exported, or that it stands beside (Backdrop). */
const CONFIGURATION = { names: ["config"], id: "configuration" } as const;

/** Room beside what is copied: for what updates and caches write. */
const SLACK = 32 * 1024 * 1024;

/**
 * Database, files or both of one site in another, which keeps its names, code, account and salt. They come into a new generation of the target beside the one
 * that serves: all of it, or nothing. What served before is kept for `rollback`. The first site is only read.
 */
export const sync: Operation<SyncArgs, Inputs, Services> = {
  name: "sync",
  recovery: "ask",

  async prepare(args, use, id) {
    if (args.from === args.to)
      throw new ProvisionError("USAGE", "a site is not synchronised with itself", { next: ["provision sync @from @to"] });
    const [source, target] = [await installed(args.from, use), await installed(args.to, use)];
    if (source.server.name !== target.server.name)
      throw new ProvisionError("REFUSED", `${args.from} is on ${source.server.name}, and ${args.to} on ${target.server.name}`, {
        why: ["files are copied from one directory of a machine to another of the same"],
        state: "nothing was changed",
        next: [`provision backup ${args.from}`, `provision deploy @new BACKUP ${target.site.platform}`],
      });
    const host = use.host(target.server);
    const from = await inputsOf(source, use);
    const now = await inputsOf(target, use);
    if (args.database) refuseOtherDatabase(source, target, use);
    const profile = args.database ? await refuseCore(from, { core: now.core, name: target.site.platform, host }, use) : target.site.profile;
    const next = await resolveAs(use, target, { profile, generation: id, db_name: undefined, db_user: undefined });
    const s = await succession(use, now, next, { generation: id, command: "sync", operation: id });
    const [filesOf, databaseFrom] = [args.files ? from : now, args.database ? from : now];
    const sizes = {
      files: await filesSize(filesOf, use),
      database: await use.db(databaseFrom.dbServer).size(databaseOf(databaseFrom, use, databaseFrom.dbServer)),
    };
    await refuseFullDisk(
      host,
      use.layoutOf(target.server).sites,
      sizes.files + (use.db(next.dbServer).type === "sqlite" ? sizes.database : 0) + SLACK,
    );
    return {
      inputs: {
        from,
        succession: s,
        site: target.site,
        webServer: target.webServer,
        database: args.database,
        files: args.files,
        sizes,
        pairs: args.database ? pathPairs(from, s.next, use) : pathPairs(now, s.next, use),
        updates: args.updates && from.core.docroot !== now.core.docroot,
        sanitize: args.sanitize ?? null,
        backup: args.backup ? backupInputs(use, target.site.uri, id, "sync") : null,
        baseline: {
          ...(await siteBaseline(now, use)),
          ...(await siteBaseline(s.next, use)),
          ...(await baselineOf(host, [s.staged.siteDirectory])),
        },
      },
      locks: locksOf(source, target),
    };
  },

  async preflight(inputs, use) {
    const { from, succession: s, backup, database } = inputs;
    if (backup !== null) await refuseNoRoom(s.now, use);
    const problems = (await use.http(s.next.webServer).problems()).filter(({ blocks }) => blocks).map(({ message }) => message);
    if (problems.length > 0)
      throw new ProvisionError("SERVICE_UNAVAILABLE", `the web server of ${s.next.webServer.name} is not well`, {
        why: problems,
        state: "nothing was changed",
      });
    await refusePool(s.next, use);
    for (const server of [from.dbServer, s.next.dbServer]) await use.db(server).reach();
    if (database) await refuseIncompatible(inputs, from, s.next, use);
  },

  steps(inputs, use) {
    const { from, succession: s, database, files, sizes, pairs, sanitize, backup } = inputs;
    const { now, next, staged } = s;
    const engine = use.engine(next.core.engine);
    const code = stagedCode(s, use);
    const [databaseFrom, filesFrom] = [database ? from : now, files ? from : now];
    const beside = staged.siteDirectory !== next.siteDirectory;
    const rows = takenBack(countRows(next, use));
    return [
      comparison(inputs, next),
      ...(backup === null ? [] : backupSteps(now, backup, use)),
      ...makeGeneration(s, use),
      copyFiles(filesFrom, next, use, sizes.files, FILES),
      copyFiles(databaseFrom, next, use, 0, CONFIGURATION),
      // What the target keeps is taken over exactly as it is from here on.
      closeGate(now, use),
      ...[
        // The database as it is at one moment, then the files, of which it may name none that came later.
        copyDatabase(databaseFrom, next, use, sizes.database),
        filesUpToDate(filesFrom, next, use, FILES),
        filesUpToDate(databaseFrom, next, use, CONFIGURATION),
        modesAgain(next, use),
        ...(database ? codeMoved(engine, code, use, { from: from.site.profile, to: next.site.profile }) : []),
        ...(inputs.updates ? [updates(engine, code)] : []),
        ...paths(engine, code, pairs),
        ...(database ? [renewed(staged, use)] : []),
        ...(sanitize === null ? [] : [sanitized(staged, sanitize, use)]),
        smokeTest(s, use),
        ...switchSteps(s, use),
        // What was listed while it stood beside is listed under its name.
        ...(database && beside
          ? codeMoved(engine, siteCode(next, use), use, { from: next.site.profile, to: next.site.profile }).map((step) => ({
              ...step,
              id: `${step.id}-again`,
            }))
          : []),
      ].map((step: Step) => takenBack(step)),
      rows,
      ...finishSwitch(s, use, (run) => run.need(rows)),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  state: (inputs, use) => siteState(inputs, use),
  async data({ from, succession: { next, kept }, backup, database, files }, run, use) {
    const ran = run.out({ id: "engine/update" } as Step<{ readonly ran: readonly string[] }>)?.ran ?? [];
    return {
      url: use.http(next.webServer).url(next.site.uri, next.site.ssl !== "off"),
      from: from.site.name,
      database,
      files,
      updates: ran,
      writes_blocked_ms: blocked(run) ?? null,
      backup: backup?.id ?? null,
      kept_until: kept.until.slice(0, 10),
    };
  },
  lines: ({ url, from, database, files, backup, kept_until }) => [
    `URL     ${String(url)}/`,
    `Taken   ${[...(database === true ? ["the database"] : []), ...(files === true ? ["the files"] : [])].join(" and ")} of ${String(from)}`,
    ...(typeof backup === "string" ? [`Backup  of what served before: ${backup}`] : []),
    `Kept    what served before, until ${String(kept_until)} (provision rollback)`,
  ],
};

async function installed(name: string, use: Services): Promise<SiteAndAll> {
  const all = await resolveSite(use.store, use.settings, name);
  refuseOtherUser(all.server);
  generationOf(all.site);
  return all;
}

async function inputsOf(all: SiteAndAll, use: Services): Promise<SiteInputs> {
  const core = await detectCore(use.host(all.server), use.rootOf(all));
  return siteInputs(use, all, core, all.site.generation ?? "");
}

function refuseOtherDatabase(from: SiteAndAll, to: SiteAndAll, use: Services): void {
  const [source, target] = [use.db(from.dbServer).type, use.db(to.dbServer).type];
  if (source === target) return;
  throw new ProvisionError("REFUSED", `${from.site.name} is in ${source}, and ${to.site.name} in ${target}`, {
    why: ["a dump of one kind of database cannot be loaded by another"],
    state: "nothing was changed",
    next: [`provision sync ${from.site.name} ${to.site.name} --files --yes    # the files alone`],
  });
}

/** Exclusive on the target; the other site is read, and must not be moved meanwhile. */
function locksOf(from: SiteAndAll, to: SiteAndAll): readonly Lock[] {
  const all = [...siteLocks(to), ...siteLocks(from).map((lock) => ({ ...lock, mode: "shared" as const }))];
  return all.filter((lock, index) => all.findIndex(({ kind, name }) => kind === lock.kind && name === lock.name) === index);
}
