import { rewrite } from "../context/edit.js";
import { uriProblem } from "../context/names.js";
import { resolveSite, type SiteAndAll } from "../context/references.js";
import type { Site } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import type { Lock, Operation, Run, Step } from "../core/step.js";
import { heardByMany } from "../core/stop.js";
import { meanwhile, together } from "../core/together.js";
import { detectCore } from "../engines/index.js";
import { file, gone } from "../steps/files.js";
import { type BackupInputs, backupInputs, backupSteps, refuseNoRoom } from "./parts/backup.js";
import { type Baseline, differences } from "./parts/baseline.js";
import { certificateSteps, certificatesToForget, refuseUnfitPair } from "./parts/certificate.js";
import { placesOf, refuseDown } from "./parts/cluster.js";
import { codeMoved, codeStays, type Pair, pathPairs, paths, refuseCore, renamed, updates } from "./parts/code-moved.js";
import { comparison, refuseIncompatible, warningsOf } from "./parts/compatible.js";
import { copyDatabase, filesUpToDate, makeTables, sizesOf } from "./parts/copy.js";
import { isSameMachine } from "./parts/database-way.js";
import { forecastOf } from "./parts/forecast.js";
import {
  answers,
  arrived,
  besideBaseline,
  blocked,
  closeGates,
  copyFilesOnAll,
  countRows,
  filesUpToDateOnOthers,
  finishSwitch,
  formerName,
  formerUri,
  makeGeneration,
  ownCode,
  refuseOtherMembers,
  reloaded,
  resolveAs,
  type Succession,
  secretsOf,
  sidesOf,
  siteTree,
  smokeTests,
  spreadGeneration,
  stagedCode,
  succession,
  switchSteps,
} from "./parts/generation.js";
import { settle } from "./parts/in-place.js";
import { switchedChanges, switchedProperties } from "./parts/kept.js";
import { lateWrites, marksOf } from "./parts/late-writes.js";
import { siteLocks } from "./parts/locks.js";
import { dropPoolUser, leavePool, poolSteps, refusePool } from "./parts/pool.js";
import {
  generationOf,
  refuseConflicts,
  refuseForeignDatabase,
  refuseFullDisk,
  refuseLocked,
  refuseUnwell,
  siteState,
} from "./parts/preflight.js";
import { type Rehearsed, refuseChanged, rehearsed } from "./parts/rehearsal-record.js";
import {
  accountForCommands,
  accountForRequests,
  basicAuthSteps,
  clientLink,
  databaseOf,
  filesLink,
  formerAccounts,
  gateFile,
  generationDirectories,
  groupOfAll,
  hashSalt,
  modesAgain,
  publish,
  publishCertificate,
  type SiteInputs,
  settingsFile,
  siteBaseline,
  siteCode,
  siteConfig,
  siteEntries,
  siteInputs,
} from "./parts/site.js";
import { refuseOtherUser, type Services } from "./services.js";

export interface MigrateArgs {
  readonly name: string;
  /** Where to; undefined: the platform that it is on. */
  readonly platform?: string;
  /** Context, with its `@`; undefined: its own. */
  readonly newName?: string;
  readonly dbServer?: string;
  /** A backup is made first. */
  readonly backup?: boolean;
  readonly acceptLateWrites?: boolean;
  /** Milliseconds; undefined: no limit. */
  readonly maxWriteBlock?: number;
  /** The old name becomes an alias that is redirected to the new one. */
  readonly redirectOld?: boolean;
  /** Id of a rehearsal: site and platform have to be what they were then. */
  readonly rehearsed?: string;
}

interface Sizes {
  /** Bytes. */
  readonly files: number;
  readonly database: number;
}

type Inputs = {
  readonly name: string;
  readonly site: Site;
  readonly webServer: SiteAndAll["webServer"];
  readonly baseline: Baseline;
} & (
  | { readonly kind: "nothing" }
  | {
      readonly kind: "move";
      readonly succession: Succession;
      readonly sizes: Sizes;
      /** Files of the two generations are one and the same until one of them is replaced. */
      readonly linked: boolean;
      readonly backup: BackupInputs | null;
      readonly pairs: readonly Pair[];
      readonly acceptLateWrites: boolean;
      readonly maxWriteBlock: number | null;
      readonly rehearsed: Rehearsed | null;
    }
  | {
      readonly kind: "rename";
      readonly now: SiteInputs;
      readonly next: SiteInputs;
      readonly pairs: readonly Pair[];
      /** Its code does. */
      readonly stays: boolean;
      /** Directory of the old name's certificates, which nobody else has. */
      readonly certificates?: string;
    }
);

/** Room beside what is copied: for what updates and caches write. */
const SLACK = 32 * 1024 * 1024;

/**
 * A site on another platform, under another name, on another database server (DESIGN 5). A new generation is made beside the one that
 * serves, while visitors go on; only while the database is copied and updated they cannot write. What served before is kept.
 *
 * Another name on the same platform and server takes database and files along as they are.
 */
export const migrate: Operation<MigrateArgs, Inputs, Services> = {
  name: "migrate",
  recovery: "ask",

  async prepare(args, use, id) {
    const { name } = args;
    const all = await resolveSite(use.store, use.settings, name, "all");
    refuseOtherUser(all.server);
    await refuseDown(all, use);
    const generation = generationOf(all.site);
    const host = use.host(all.server);
    const now = await siteInputs(use, all, await detectCore(host, use.rootOf(all)), generation);
    const newName = args.newName ?? name;
    const uri = newName === name ? all.site.uri : await newUri(newName, use);
    const platform = args.platform ?? all.site.platform;
    const dbServer = args.dbServer ?? all.site.db_server;
    const common = { name, site: all.site, webServer: all.webServer };
    const renamed = newName !== name;
    const moves = platform !== all.site.platform || dbServer !== all.site.db_server;
    if (args.rehearsed !== undefined && (renamed || platform === all.site.platform || dbServer !== all.site.db_server))
      throw new ProvisionError("USAGE", "--rehearsed is for a move to another platform, and for nothing else at once", {
        why: ["a rehearsal tells nothing of another name or database server"],
        next: [`provision migrate ${name} @platform --rehearsed ${args.rehearsed}`],
      });
    if (!renamed && !moves) return { inputs: { ...common, kind: "nothing", baseline: {} }, locks: siteLocks(all) };

    const properties = {
      name: newName,
      uri,
      platform,
      db_server: dbServer,
      // Where it was imported it stands on its own platform only.
      ...(renamed || platform !== all.site.platform ? { directory: undefined } : {}),
      ...(renamed ? namesAfter(all.site, uri, args.redirectOld === true) : {}),
    } as Partial<Site>;
    const wanted = await resolveAs(use, all, properties, "all");
    refuseOtherMembers(all, wanted);
    const target = await detectCore(use.host(wanted.server), use.rootOf(wanted));
    if (platform !== all.site.platform) refuseLocked(wanted.platform);
    await refuseConflictsBut(use, wanted.site, name);
    const locks = [...locksOf(all, wanted), ...(renamed ? [{ kind: "site", name: newName, mode: "exclusive" } as const] : [])];
    if (!moves) {
      if (now.others?.length) refuseRename(all);
      const next = await siteInputs(use, wanted, target, generation);
      if (await host.stat(next.siteDirectory))
        throw new ProvisionError("NAME_TAKEN", `${host.name}:${next.siteDirectory} is there already`, {
          state: "nothing was changed",
          next: ["move it away, or choose another name"],
        });
      const pairs = pathPairs(now, next, use);
      const baseline = { ...(await siteBaseline(now, use)), ...(await siteBaseline(next, use)) };
      const certificates = await certificatesToForget(use, all, [{ site: wanted.site, webServer: wanted.platform.web_server }], name);
      const stays = await codeStays(now, next, use);
      return {
        inputs: { ...common, kind: "rename", now, next, pairs, stays, baseline, ...(certificates === undefined ? {} : { certificates }) },
        locks,
      };
    }
    refuseForeignDatabase(use.engine(target.engine), wanted);
    const profile = await refuseCore(now, { core: target, name: platform, host: use.host(wanted.server) }, use);
    if (use.db(all.dbServer).type !== use.db(wanted.dbServer).type)
      throw new ProvisionError(
        "REFUSED",
        `${dbServer} has ${use.db(wanted.dbServer).type}, and ${name} is in ${use.db(all.dbServer).type}`,
        {
          why: ["a dump of one kind of database cannot be loaded by another"],
          state: "nothing was changed",
        },
      );
    const measured = meanwhile(sizesOf(now, use));
    const next = await resolveAs(use, wanted, { profile, generation: id, db_name: undefined, db_user: undefined });
    const s = await succession(use, now, next, { generation: id, command: "migrate", operation: id });
    const sizes = await measured;
    // Another group would be one for both.
    const linked =
      use.settings.files_copy === "link" &&
      sidesOf(s).every((side) => side.now.gid === side.next.gid && side.now.pool?.uid === side.next.pool?.uid);
    const copied = linked ? 0 : sizes.files;
    for (const { server } of placesOf(s.next))
      await refuseFullDisk(
        use.host(server),
        use.layoutOf(server).sites,
        copied + (use.db(next.dbServer).type === "sqlite" ? sizes.database : 0) + SLACK,
      );
    const baseline = {
      ...(await siteBaseline(now, use)),
      ...(await siteBaseline(s.next, use)),
      ...(await besideBaseline(s, use)),
    };
    return {
      inputs: {
        ...common,
        kind: "move",
        succession: s,
        sizes,
        linked,
        backup: args.backup === false ? null : backupInputs(use, all.site.uri, id, "migrate"),
        pairs: pathPairs(now, s.next, use),
        acceptLateWrites: args.acceptLateWrites === true,
        maxWriteBlock: args.maxWriteBlock ?? null,
        rehearsed: args.rehearsed === undefined ? null : rehearsed(use, args.rehearsed, name, platform),
        baseline,
      },
      locks,
    };
  },

  async preflight(inputs, use) {
    if (inputs.kind === "nothing") return;
    const { next, now } = inputs.kind === "move" ? inputs.succession : inputs;
    const db = use.db(next.dbServer);
    if (inputs.kind === "move") db.beforehand?.(databaseOf(next, use, next.dbServer));
    await together(
      inputs.kind === "move" && inputs.backup !== null ? refuseNoRoom(now, use) : Promise.resolve(),
      ...placesOf(next).flatMap((at) => [refuseUnwell(at, use), refusePool(at, use), refuseUnfitPair(at, use)]),
      db.reach(),
      use.db(now.dbServer).reach(),
      inputs.kind === "move" ? refuseIncompatible(inputs, now, next, use) : Promise.resolve(),
    );
    if (inputs.kind !== "move") return;
    if (inputs.rehearsed !== null) await refuseChanged(use, inputs.rehearsed, now, next);
  },

  steps(inputs, use) {
    switch (inputs.kind) {
      case "nothing":
        return [];
      case "rename":
        return [
          ...renameSteps(inputs, use),
          ...(inputs.certificates === undefined
            ? []
            : [
                gone(use.host(inputs.now.webServer), [inputs.certificates], {
                  id: "certificate/former-name",
                  title: `Remove certificates of ${inputs.now.site.uri}`,
                  phase: "cleanup",
                }),
              ]),
        ];
      case "move":
        return moveSteps(inputs, use);
    }
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  state: (inputs, use) => siteState(inputs, use),

  async data(inputs, run, use) {
    if (inputs.kind === "nothing") return { writes_blocked_ms: 0 };
    const { next } = inputs.kind === "move" ? inputs.succession : inputs;
    const ran = run.out({ id: "engine/update" } as Step<{ readonly ran: readonly string[] }>)?.ran ?? [];
    return {
      url: use.http(next.webServer).url(next.site.uri, next.site.ssl !== "off"),
      writes_blocked_ms: inputs.kind === "move" ? (blocked(run) ?? null) : 0,
      updates: ran,
      backup: inputs.kind === "move" ? (inputs.backup?.id ?? null) : null,
      kept_until: inputs.kind === "move" ? inputs.succession.kept.until.slice(0, 10) : null,
    };
  },
  figures(inputs, run) {
    if (inputs.kind === "nothing") return {};
    const { name: site } = inputs;
    if (inputs.kind === "rename") return { as: "rename", site, files: 0, database: 0, writes_blocked_ms: 0 };
    return { as: "migrate", site, ...inputs.sizes, backup: inputs.backup !== null, writes_blocked_ms: blocked(run) ?? null };
  },
  async forecast(inputs, use) {
    if (inputs.kind === "nothing") return { data: {}, lines: ["Nothing to do: the site is there already"] };
    const { name: site } = inputs;
    const { server } = (inputs.kind === "move" ? inputs.succession : inputs).next;
    const where = { host: use.host(server), sites: use.layoutOf(server).sites, warnings: warningsOf(inputs) };
    if (inputs.kind === "rename") return forecastOf(use, { as: "rename", site, files: 0, database: 0, ...where });
    return forecastOf(use, { as: "migrate", site, ...inputs.sizes, backup: inputs.backup !== null, ...where });
  },
  lines: (data) => [
    ...(data["url"] === undefined ? ["Nothing to do: the site is there already"] : [`URL      ${String(data["url"])}/`]),
    ...(typeof data["writes_blocked_ms"] === "number" && data["writes_blocked_ms"] > 0
      ? [`Blocked  nobody could write for ${(data["writes_blocked_ms"] / 1000).toFixed(1)} s`]
      : []),
    ...(typeof data["backup"] === "string" ? [`Backup   ${data["backup"]}`] : []),
    ...(typeof data["kept_until"] === "string" ? [`Kept     what served before, until ${data["kept_until"]} (provision rollback)`] : []),
  ],
};

/** The uri of a context that is still to be: its own, when it is saved, else its name. Rejects with NAME_TAKEN when it is a site already. */
export async function newUri(name: string, use: Services): Promise<string> {
  const saved = await use.store.read(name);
  if (saved === undefined) {
    const uri = name.slice(1);
    const problem = uriProblem(uri);
    if (problem === undefined) return uri;
    throw new ProvisionError("INVALID_VALUE", `${name} is not saved, so that its name would be its uri, which ${problem}`, {
      next: [`provision save ${name} --uri=… --platform=…`],
    });
  }
  if (saved.context_type === "site" && saved.generation === undefined) return saved.uri;
  throw new ProvisionError(
    "NAME_TAKEN",
    `${name} is ${saved.context_type === "site" ? "an installed site" : `a ${saved.context_type}`} already`,
    {
      state: "nothing was changed",
      next: ["choose another name"],
    },
  );
}

function refuseRename({ site, cluster }: SiteAndAll): never {
  throw new ProvisionError("REFUSED", `${site.name} gets no other name in its place on a cluster (${cluster?.name}) in this version`, {
    why: ["its files are taken along as they are, which is done on one machine"],
    state: "nothing was changed",
    next: ["migrate it to another platform of the cluster under the other name"],
  });
}

/** What the hub has against the context, the one that it is renamed from (or saved over) left aside. */
async function refuseConflictsBut(use: Services, wanted: Site, former: string): Promise<void> {
  const { contexts } = await use.store.load();
  await refuseConflicts(use, wanted, wanted.name === former ? contexts : contexts.filter(({ name }) => name !== former));
}

/** Other names of a site that is called `uri` from now on. */
function namesAfter(
  site: Site,
  uri: string,
  redirectOld: boolean,
): { readonly aliases: readonly string[]; readonly redirection: string | undefined } {
  const aliases = site.aliases.filter((alias) => alias !== uri);
  return {
    aliases: redirectOld && !site.uri.includes("/") ? [...aliases, site.uri] : aliases,
    redirection: redirectOld || site.redirection === site.uri ? uri : site.redirection,
  };
}

/** As siteLocks, for both ends. */
export function locksOf(now: SiteAndAll, next: SiteAndAll): readonly Lock[] {
  const all = [...siteLocks(now), ...siteLocks({ ...next, site: now.site })];
  return all.filter((lock, index) => all.findIndex(({ kind, name }) => kind === lock.kind && name === lock.name) === index);
}

function moveSteps(inputs: Extract<Inputs, { kind: "move" }>, use: Services): readonly Step[] {
  const { succession: s, sizes, linked, backup, pairs, acceptLateWrites, maxWriteBlock } = inputs;
  const { now, next } = s;
  const engine = use.engine(next.core.engine);
  const code = stagedCode(s, use);
  const otherMachine = !isSameMachine(now.server, next.server);
  const otherCode = otherMachine || now.core.docroot !== next.core.docroot || now.directory !== next.directory;
  const [close, ...closeOthers] = closeGates(now, use, maxWriteBlock ?? undefined);
  const marks = marksOf(now, use);
  const copy = copyDatabase(now, next, use, sizes.database, "still");
  const rows = countRows(next, use);
  const limited = withinLimit(close, maxWriteBlock, use);
  const within = <T extends Json>(step: Step<T>) => limited(takenBack(step));
  return [
    comparison(inputs, next),
    ...makeGeneration(s, use),
    ...(backup === null ? makeTables(now, next, use) : backupSteps(now, backup, use, makeTables(now, next, use))),
    ...copyFilesOnAll(s, use, sizes.files, linked),
    close,
    ...[
      ...closeOthers,
      marks,
      copy,
      { ...filesUpToDate(now, next, use), alongside: copy.id },
      modesAgain(next, use),
      ...filesUpToDateOnOthers(s, use),
      ...arrived(now, s.staged, use),
      // On the same code the lists of files are right as they are, and would be wrong under the name of a generation beside.
      ...(otherCode ? [...codeMoved(engine, code, use, { from: now.site.profile, to: next.site.profile }), updates(engine, code)] : []),
      ...paths(engine, code, pairs),
      ...spreadGeneration(s.staged, use),
      ...smokeTests(s, use),
      ...switchSteps(s, use),
      rows,
      { ...lateWrites(now, use, marks, acceptLateWrites), alongside: rows.id },
    ].map(within),
    ...finishSwitch(s, use, (run) => run.need(rows)),
  ];
}

/** Whatever state a step that fails tells of is one of the new side, which is taken back whole; what counts is said when that is done. */
export function takenBack<T extends Json>(step: Step<T>): Step<T> {
  return {
    ...step,
    async apply(run) {
      try {
        return await step.apply(run);
      } catch (error) {
        // A link that was lost keeps its own words, by which it is known.
        if (!(error instanceof ProvisionError) || error.state === undefined || "reached" in error) throw error;
        const { reasons: why, failures, next } = error;
        throw new ProvisionError(error.code, error.message, { why, failures, next, cause: error });
      }
    },
  };
}

/** Before the commit nobody need wait longer than was allowed: a program that still runs then is ended, and the move is taken back. */
function withinLimit(
  close: Step<{ readonly at: number }>,
  limit: number | null,
  { scope }: Services,
): <T extends Json>(step: Step<T>) => Step<T> {
  if (limit === null) return (step) => step;
  const left = (run: Run) => limit - (Date.now() - (run.out(close)?.at ?? Date.now()));
  const tooLong = ({ title }: Pick<Step, "title">, cause?: unknown) =>
    new ProvisionError(
      "TIMED_OUT",
      `writes have been blocked for longer than the ${limit / 1000} s that were allowed (--max-write-block)`,
      {
        why: [`it was at the step "${title}"`],
        next: ["try again with more time, or when there is less to do"],
        cause,
      },
    );
  // Of steps that are applied at the same time, which are ended together.
  let running = 0;
  let over = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let signal: AbortSignal | undefined;
  const begin = (run: Run) => {
    if (running++ > 0) return;
    over = new AbortController();
    const mine = over;
    timer = setTimeout(() => mine.abort(), Math.max(0, left(run)));
    ({ signal } = scope);
    // What ends by itself before a stop takes effect ends so before this one, too.
    if (signal) scope.signal = heardByMany(AbortSignal.any([signal, over.signal]));
  };
  const end = () => {
    if (--running > 0) return;
    clearTimeout(timer);
    scope.signal = signal;
  };
  return (step) => ({
    ...step,
    check: (run) => {
      if (left(run) < 0) throw tooLong(step);
      return step.check(run);
    },
    async apply(run) {
      begin(run);
      try {
        const out = await step.apply(run);
        if (left(run) < 0) throw tooLong(step);
        return out;
      } catch (error) {
        // A link that was lost keeps its own words, by which it is known.
        if (
          !over.signal.aborted ||
          signal?.aborted ||
          (error instanceof ProvisionError && "reached" in error && error.reached === "unknown")
        )
          throw error;
        throw tooLong(step, error);
      } finally {
        end();
      }
    },
  });
}

/**
 * The same database and files under another name. Until the commit the site answers by both names; what the database says of the old one is changed after
 * it, and can be repeated: an abort has nothing there to put back.
 */
function renameSteps({ now, next, pairs, stays }: Extract<Inputs, { kind: "rename" }>, use: Services): readonly Step[] {
  const { name } = next.site;
  const engine = use.engine(next.core.engine);
  const db = use.db(next.dbServer);
  const http = use.http(next.webServer);
  const salt = hashSalt(next, use);
  const path = use.layout.contextFile(name);
  const config = siteConfig(next, use, next.site.site_enabled);
  const written = new Set(config.map((one) => one.path));
  const others = [now.site.uri, ...now.site.aliases].filter((other) => other !== next.site.uri && !next.site.aliases.includes(other));
  const withdrawn = http.noSiteFiles(others, now.site.uri).filter((one) => !written.has(one.path));
  const finish = { phase: "finish" } as const;
  const access = () => db.access(databaseOf(next, use, next.dbServer));
  return [
    ...settle(now, use.host(now.server)),
    ...poolSteps(next, use),
    moveData(now, next, use),
    { ...generationDirectories(next, use), id: "site/directories-modes", title: `Directories of ${next.site.uri}` },
    gateFile(next, use),
    secretsOf(now, next, use),
    siteTree(next, use),
    { ...ownCode(now, next, use), undoneBy: "site/code" },
    ...accountForCommands(next, use, access),
    settingsFile(next, use, access, salt),
    filesLink(next, use),
    siteEntries(next, use),
    clientLink(next, use),
    ...basicAuthSteps(next, use),
    ...accountForRequests(next, use, access),
    groupOfAll(next, use, { former: now }),
    publish(next, use, next.site.site_enabled, () => withdrawn),
    ...(next.webServer.http_service_type === "php" ? [] : [reloaded(next, use)]),
    ...(next.site.site_enabled ? [answers(next, use)] : []),
    ...certificateSteps(next, use, true, (version) => publishCertificate(next, use, version)),
    ...leavePool(now, next, use),
    file(
      use.local,
      path,
      async () => {
        const text = (await use.store.source(name)) ?? (await use.store.source(now.site.name));
        return rewrite(text, "site", switchedChanges(switchedProperties(now.site), switchedProperties(next.site)), path);
      },
      { mode: 0o644 },
      { id: "context", title: `Save ${name}`, ...finish },
    ),
    ...renamed(engine, siteCode(next, use), use, { stays, profile: { from: next.site.profile, to: next.site.profile }, pairs }, finish),
    ...formerAccounts(next, use),
    ...dropPoolUser(now, next, use),
    formerPlaces(now, use),
    formerEntries(now, next, use),
    ...formerUri(now, use),
    ...formerName(now, next, use),
  ];
}

/** The generation stands below the new name, and can be reached by the old one until that goes. */
function moveData(now: SiteInputs, next: SiteInputs, use: Services): Step {
  const host = use.host(next.server);
  const [from, to] = [now.paths.root, next.paths.root];
  const above = use.layoutOf(next.server).siteGenerations(next.site.uri);
  return {
    id: "site/directories",
    title: `Files of ${now.site.uri} under their new name`,
    async check() {
      return {
        changes: [`rename ${from} to ${to}`],
        undo: [
          { do: "remove_directory", host: host.name, path: above },
          { do: "data_back", host: host.name, from, to },
        ],
      };
    },
    async apply() {
      await host.mkdir(above, { mode: 0o711 });
      // A link that leads to itself is right once the two have changed places.
      await host.symlink(to, to);
      await host.exchange(from, to);
      return null;
    },
  };
}

/** The old directory below sites/, and the link by which the files were still reached there. */
function formerPlaces(now: SiteInputs, use: Services): Step {
  const host = use.host(now.server);
  const step = gone(host, [now.siteDirectory, now.paths.root], {
    id: "site/former",
    title: `Remove ${now.siteDirectory}`,
    phase: "finish",
  });
  return {
    ...step,
    async apply(run) {
      await step.apply(run);
      // Generations that are kept stay where they are.
      await host.removeEmpty(use.layoutOf(now.server).siteGenerations(now.site.uri));
      return null;
    },
  };
}

/** Names that led to the old directory lead nowhere. */
function formerEntries(now: SiteInputs, next: SiteInputs, use: Services): Step {
  return siteEntries(
    {
      ...next,
      formerNames: [now.directory, ...now.site.aliases].filter((name) => name !== next.directory && !next.site.aliases.includes(name)),
    },
    use,
    {
      id: "site/former-names",
      title: "Former names out of sites.php",
      phase: "finish",
    },
  );
}
