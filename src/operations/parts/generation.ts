import { basename, dirname, join } from "node:path";
import { accountVariables } from "../../context/database-access.js";
import { rewrite } from "../../context/edit.js";
import { type OfCluster, resolvePlatform, type SiteAndAll } from "../../context/references.js";
import { isThisMachine, type Server, type Site } from "../../context/schema.js";
import { messageOf, ProvisionError } from "../../core/errors.js";
import type { Run, Step, UndoKinds } from "../../core/step.js";
import type { SiteCode } from "../../engines/engine.js";
import { detectCore } from "../../engines/index.js";
import { besidePath, type Host, isAway } from "../../host/host.js";
import { syncTree } from "../../host/sync-tree.js";
import { fpmPage } from "../../services/fpm/page.js";
import { onLoopback } from "../../services/http/loopback.js";
import type { ConfigFile, HttpAnswer } from "../../services/http/service.js";
import { file, gone, moved } from "../../steps/files.js";
import type { Services } from "../services.js";
import { type Baseline, baselineOf } from "./baseline.js";
import { certificateSteps } from "./certificate.js";
import { filesMarker, isShared, onMember, placesOf, spreadFiles } from "./cluster.js";
import { ALL_TREES, copyFiles, filesUpToDate } from "./copy.js";
import { isSameMachine } from "./database-way.js";
import { inSiteDirectory, realPlace, settle } from "./in-place.js";
import { type Kept, keptGenerations, keptRecord, keptRows, switchedChanges, switchedProperties } from "./kept.js";
import { dropPoolUser, leavePool, listenOf, poolSteps, reloadPhp, reloadPhpUndo } from "./pool.js";
import { refuseTaken } from "./preflight.js";
import { type Rows, rowsOf } from "./since.js";
import {
  accountForCommands,
  accountForRequests,
  basicAuthSteps,
  clientLink,
  clientPath,
  databaseOf,
  databaseProperties,
  filesLink,
  formerAccounts,
  gateFile,
  generationDirectories,
  grouped,
  groupOfAll,
  hashSalt,
  isCloaked,
  modesAgain,
  publish,
  publishCertificate,
  type SiteInputs,
  settingsFile,
  siteCode,
  siteConfig,
  siteDirectories,
  siteEntries,
  siteInputs,
  vhostOf,
} from "./site.js";

/**
 * A generation that is made beside the one that serves, and takes its place: what migrate, restore and rollback have in common
 * (DESIGN 2 and 5). JSON, so that a resumed run has the same.
 *
 * In the order of an operation: `makeGeneration`, then database and files by whoever has them, `closeGate(now)` in time,
 * `smokeTest`, `switchSteps`; all of these can be undone. After the commit `finishSwitch`.
 */
export interface Succession {
  /** What serves until the switch. */
  readonly now: SiteInputs;
  /** What serves after it, as it is then. */
  readonly next: SiteInputs;
  /** The same while it is being made: where its name below sites/ is taken, it stands beside as <name>~<generation>. */
  readonly staged: SiteInputs;
  /** Where `now` stands after the switch, when it has the name that `next` takes; null: it stays where it is. */
  readonly aside: string | null;
  /** A kept generation that has that name; it makes room before anything else, for it serves nobody. `without`: members of a cluster that do not have it. */
  readonly inTheWay: (Kept & { readonly aside: string; readonly without: readonly string[] }) | null;
  /** What will be known of `now` once it no longer serves. */
  readonly kept: Kept;
  /** Members of a cluster, by name, that see the files of the first: they stand on storage that is shared. */
  readonly shared: readonly string[];
}

/** The same on every member of a cluster, the first before the others. Both sides have the same members (`refuseOtherMembers`). */
export function sidesOf(s: Succession): readonly Succession[] {
  const { inTheWay } = s;
  return [
    s,
    ...(s.next.others ?? []).map((next, index): Succession => {
      const name = next.siteDirectory;
      const beside = (path: string) => join(dirname(name), basename(path));
      return {
        ...s,
        now: s.now.others?.[index] as SiteInputs,
        next,
        staged: { ...next, directory: s.staged.directory, siteDirectory: beside(s.staged.siteDirectory) },
        aside: s.aside === null ? null : beside(s.aside),
        inTheWay:
          inTheWay === null || inTheWay.without.includes(next.server.name)
            ? null
            : { ...inTheWay, siteDirectory: beside(inTheWay.siteDirectory), aside: beside(inTheWay.aside) },
      };
    }),
  ];
}

/** A part of a succession on every member, as onEach of a site. */
export function onSides(s: Succession, part: (side: Succession) => readonly Step[]): readonly Step[] {
  return sidesOf(s).flatMap((side, index) => (index === 0 ? part(side) : onMember(side.next.webServer, part(side))));
}

/** A site changes its place within its cluster. Rejects with REFUSED where what it comes from and goes to are not the same web servers. */
export function refuseOtherMembers(now: SiteAndAll, next: SiteAndAll): void {
  const members = ({ webServer, cluster }: SiteAndAll) => [webServer, ...(cluster?.others ?? [])].map(({ name }) => name);
  const [from, to] = [members(now), members(next)];
  if ((from.length === 1 && to.length === 1) || from.join() === to.join()) return;
  const served = (all: SiteAndAll, names: readonly string[]) => `${all.platform.name} is served by ${names.join(", ")}`;
  throw new ProvisionError("REFUSED", `${now.site.name} does not move to other members of a cluster in this version`, {
    why: [`${served(now, from)}; ${served(next, to)}`],
    state: "nothing was changed",
    next: [
      ...new Set([now, next].flatMap(({ cluster }) => (cluster ? [`provision show ${cluster.name}`] : []))),
      "what to do instead is in the README's part on clusters",
    ],
  });
}

const DAY = 86_400_000;

/**
 * Decides where the next generation of a site stands. `next`: the site as its context will be (generation and database names are made here), with all it refers
 * to; `how.staged`: absolute, where a kept generation stands, which is not free to choose. Rejects with NAME_TAKEN.
 */
export async function succession(
  use: Services,
  now: SiteInputs,
  next: SiteAndAll,
  how: { readonly generation: string; readonly command: string; readonly operation: string; readonly staged?: string },
): Promise<Succession> {
  const host = use.host(next.server);
  const core = await detectCore(host, use.rootOf(next));
  const inputs = await siteInputs(use, next, core, how.generation, now);
  const kept = await keptGenerations(use, now.site.name);
  const place = inputs.siteDirectory;
  const isNow = place === now.siteDirectory && isSameMachine(now.server, next.server);
  const others = inputs.others ?? [];
  const inPlace = kept.filter(({ siteDirectory, generation }) => siteDirectory === place && generation !== how.generation);
  const here = await Promise.all(inPlace.map((one) => standsOn(one, next.server, use)));
  const record = inPlace.find((_, index) => here[index]);
  if (how.staged !== place && !isNow && !record)
    for (const at of placesOf(inputs)) await refuseTaken(use.host(at.server), at.siteDirectory);
  const stagedDirectory = how.staged ?? (isNow ? `${place}~${how.generation}` : place);
  const beside = (at: SiteInputs, path: string) => join(dirname(at.siteDirectory), basename(path));
  const stagedAt = (at: SiteInputs) => ({ ...at, directory: basename(stagedDirectory), siteDirectory: beside(at, stagedDirectory) });
  const without: string[] = [];
  if (record)
    for (const at of others) if (!(await use.host(at.server).stat(beside(at, record.siteDirectory)))) without.push(at.server.name);
  const until = new Date(Date.now() + use.settings.keep_old * DAY).toISOString();
  return {
    now,
    next: inputs,
    staged: {
      ...inputs,
      directory: basename(stagedDirectory),
      siteDirectory: stagedDirectory,
      ...(others.length === 0 ? {} : { others: others.map(stagedAt) }),
    },
    aside: isNow ? `${place}~${now.generation}` : null,
    inTheWay: record ? { ...record, aside: `${place}~${record.generation}`, without } : null,
    shared: await sharedBy(now, use),
    kept: {
      generation: now.generation,
      command: how.command,
      operation: how.operation,
      at: new Date().toISOString(),
      until,
      properties: switchedProperties(now.site),
      name: now.site.name,
      engine: now.core.engine,
      version: now.core.version,
      docroot: now.core.docroot,
      directory: now.directory,
      siteDirectory: isNow ? `${place}~${now.generation}` : now.siteDirectory,
    },
  };
}

/**
 * Members that see the files of the first. Rejects with REFUSED where these are a mount of one generation, which the next one would not be on: each member
 * would have files of its own from then on.
 */
async function sharedBy(now: SiteInputs, use: Services): Promise<readonly string[]> {
  const shared: string[] = [];
  for (const place of now.others ?? []) {
    if (!(await isShared(now, place, use))) continue;
    for (const at of [now, place]) {
      const above = use.layoutOf(at.server).siteGenerations(at.site.uri);
      const files = realPlace(at, at.paths.files);
      const { stdout } = await use.host(at.server).run(["stat", "-L", "-c", "%d", "--", files, above]);
      if (new Set(stdout.trim().split("\n")).size === 1) continue;
      throw new ProvisionError("REFUSED", `${at.server.name}:${files} is storage of this generation alone`, {
        why: [`the next generation of ${at.site.name} would have its files on the disk of each member of the cluster`],
        state: "nothing was changed",
        next: [`mount what the members share at ${above} or above it, with ${files} in it`],
      });
    }
    shared.push(place.server.name);
  }
  return shared;
}

/** A generation that is kept of another machine may have the same path there. */
async function standsOn({ properties }: Kept, server: Server, use: Services): Promise<boolean> {
  const of = await resolvePlatform(use.store, use.settings, String(properties.platform), "first");
  return isSameMachine(of.server, server);
}

/** A site's context with other properties, and all that it then refers to. Undefined takes a property out. */
export async function resolveAs(
  use: Services,
  all: SiteAndAll,
  properties: { readonly [K in keyof Site]?: Site[K] | undefined },
  ofCluster: OfCluster = "refused",
): Promise<SiteAndAll> {
  const site = Object.fromEntries(
    Object.entries({ ...all.site, ...properties }).filter(([, value]) => value !== undefined),
  ) as unknown as Site;
  const dbServer = site.db_server === all.dbServer.name ? all.dbServer : await use.store.need(site.db_server, "server");
  const platform =
    site.platform === all.platform.name
      ? { platform: all.platform, server: all.server, webServer: all.webServer, ...(all.cluster ? { cluster: all.cluster } : {}) }
      : await resolvePlatform(use.store, use.settings, site.platform, ofCluster);
  return { ...platform, client: all.client, dbServer, site };
}

/** Directories, empty database and settings of the next generation, its gate closed; nobody is led there yet. All of it goes when it is undone. */
export function makeGeneration(s: Succession, use: Services): readonly Step[] {
  const { now, next, staged } = s;
  const db = use.db(next.dbServer);
  const salt = hashSalt(next, use);
  const access = (at: SiteInputs) => () => db.access(databaseOf(at, use, at.dbServer));
  return [
    ...onSides(s, (side) => [
      ...settle(side.now, use.host(side.now.server)),
      ...makeRoom(side, use),
      ...poolSteps(side.next, use),
      ownDirectories(side.staged, use),
    ]),
    ...(now.site.name === next.site.name ? [] : [secretsOf(now, next, use)]),
    ...db.create(databaseOf(next, use, next.dbServer)),
    ...onSides(s, (side) => [
      gateFile(side.next, use),
      closedFile(side.next, use, { id: "gate/next", title: "The gate of the new generation is closed" }),
      siteTree(side.staged, use),
    ]),
    ownCode(now, staged, use),
    salt,
    ...onSides(s, (side) => [
      ...accountForCommands(side.staged, use, access(side.next)),
      settingsFile(side.staged, use, access(side.next), salt),
      filesLink(side.staged, use),
      siteEntries(side.next, use),
    ]),
  ];
}

/** A tree of our own, that was refused when there. */
export function siteTree(inputs: SiteInputs, use: Services): Step {
  const step = siteDirectories(inputs, use);
  return {
    ...step,
    async check(run) {
      const { changes, undo = [] } = await step.check(run);
      return { changes, undo: [...undo, { do: "remove_tree", host: use.host(inputs.server).name, path: inputs.siteDirectory }] };
    },
  };
}

/** The files of each member's own generation in those of its next one, while visitors go on; on shared storage those of the first are all. */
export function copyFilesOnAll(s: Succession, use: Services, bytes: number, linked: boolean): readonly Step[] {
  return onSides(s, ({ now, next }) =>
    s.shared.includes(next.server.name) ? [] : [copyFiles(now, next, use, bytes, { ...ALL_TREES, linked })],
  );
}

/** The same on the other members, exactly as they are now. What one has got alone it goes on to have. */
export function filesUpToDateOnOthers(s: Succession, use: Services): readonly Step[] {
  return sidesOf(s)
    .slice(1)
    .flatMap(({ now, next }) =>
      onMember(next.webServer, [
        ...(s.shared.includes(next.server.name) ? [] : [filesUpToDate(now, next, use), compiledAway(next, use)]),
        modesAgain(next, use),
      ]),
    );
}

/** What the former code was compiled to on this member; the core takes away that of the first only. */
function compiledAway({ paths, server }: SiteInputs, use: Services): Step {
  const path = join(paths.files, "php");
  return {
    id: "files/compiled",
    title: "Compiled templates are made anew",
    undoneBy: "site/directories",
    check: async () => ({ changes: [`remove ${path}`] }),
    async apply() {
      await use.host(server).remove(path);
      return null;
    },
  };
}

/** What the first member has got of the next generation by now, on the others; in the end they have what they need to answer. */
export function spreadGeneration(staged: SiteInputs, use: Services): readonly Step[] {
  const undoneBy = "site/directories";
  return [
    ...filesMarker(staged, use),
    ...spreadFiles(staged, use),
    ...(staged.others ?? []).flatMap((place) =>
      onMember(place.webServer, [
        { ...siteDirectories(place, use, "site/code-modes"), title: "Modes of the site's own code", undoneBy },
        { ...groupOfAll(place, use, { undoneBy }), id: "site/arrived", title: "Owners and groups of this machine" },
      ]),
    ),
  ];
}

/** What stands beside the site's directory while another generation takes its place, on every member. */
export async function besideBaseline(s: Succession, use: Services): Promise<Baseline> {
  const all: Baseline[] = [];
  for (const { next, staged, aside } of sidesOf(s))
    all.push(await baselineOf(use.host(next.server), [staged.siteDirectory, ...(aside === null ? [] : [aside])]));
  return Object.assign({}, ...all);
}

/** What is kept at the name that is wanted stands aside from now on, also when all else is undone after the commit: it serves nobody. */
export function makeRoom({ next, inTheWay }: Succession, use: Services): readonly Step[] {
  if (inTheWay === null) return [];
  const { generation, siteDirectory, aside } = inTheWay;
  return [
    moved(use.host(next.server), siteDirectory, aside, { id: "kept/aside", title: `Generation ${generation}, which is kept, makes room` }),
  ];
}

/** The generation carries the operation's id, and the site's directory too or it was refused when there: undo may take away all of both. */
export function ownDirectories(inputs: SiteInputs, use: Services): Step {
  const step = generationDirectories(inputs, use);
  const host = use.host(inputs.server).name;
  return {
    ...step,
    async check(run) {
      const { changes, undo = [] } = await step.check(run);
      return {
        changes,
        undo: [
          ...undo,
          { do: "remove_directory", host, path: use.layoutOf(inputs.server).siteGenerations(inputs.site.uri) },
          { do: "remove_tree", host, path: inputs.paths.root },
          { do: "remove_tree", host, path: inputs.siteDirectory },
        ],
      };
    },
  };
}

/** A site that is given another name takes its secrets along. */
export function secretsOf(now: SiteInputs, next: SiteInputs, use: Services): Step {
  return file(
    use.local,
    use.layout.secretsFile(next.site.name),
    async () => use.secrets.changed(next.site.name, new Map(await use.secrets.all(now.site.name))),
    { mode: 0o600 },
    { id: "site/secrets", title: `Secrets of ${next.site.name}` },
  );
}

/** Whether a site has more in its directory below sites/ than what provision makes there: code or settings of its own, or data that it was imported with. */
export async function hasOwnCode({ siteDirectory, inPlace, server }: SiteInputs, use: Services): Promise<boolean> {
  if (inPlace.length > 0) return true;
  const host = use.host(server);
  const names = ((await host.list(siteDirectory)) ?? []).filter((name) => name !== "settings.php" && name !== "files");
  const inside = await Promise.all(names.map((name) => host.list(join(siteDirectory, name))));
  return !names.every((name, index) => ["modules", "themes", "libraries"].includes(name) && inside[index]?.length === 0);
}

/** The site's own modules, themes and libraries, and local.settings.php: all but what provision writes itself. */
export function ownCode(now: SiteInputs, staged: SiteInputs, use: Services): Step {
  const host = use.host(staged.server);
  const from = use.host(now.server);
  return {
    id: "site/own-code",
    title: "The site's own modules, themes and libraries",
    undoneBy: "site/directories",
    check: async () => ({ changes: (await hasOwnCode(now, use)) ? [`copy what is in ${now.siteDirectory}`] : [] }),
    async apply() {
      if (from.name !== host.name) {
        const exclude = [
          "/settings.php",
          "/files",
          "/.*.provision-new",
          ...["drushrc.php", ...inSiteDirectory(now)].map((path) => `/${path}`),
        ];
        await syncTree(from, now.siteDirectory, host, staged.siteDirectory, { exclude });
        return null;
      }
      await host.run([
        ...(["rsync", "-a", "--exclude=/settings.php", "--exclude=/files", "--exclude=/.*.provision-new"] as const),
        // Aegir's, with the database's password; and data, which is in the generation.
        ...["drushrc.php", ...inSiteDirectory(now)].map((path) => `--exclude=/${path}`),
        // Directories that were made for the group of another pool keep it; what comes into them gets it with the rest.
        ...(now.gid === staged.gid ? [] : ["--no-group"]),
        "--",
        `${now.siteDirectory}/`,
        `${staged.siteDirectory}/`,
      ]);
      return null;
    },
  };
}

/** What came from another machine has owners, groups and modes of that one; PHP there is to read it before the switch. */
export function arrived(from: SiteInputs, to: SiteInputs, use: Services): readonly Step[] {
  if (isSameMachine(from.server, to.server)) return [];
  const undoneBy = "site/directories";
  return [
    { ...siteDirectories(to, use, "site/code-modes"), title: "Modes of the site's own code", undoneBy },
    { ...groupOfAll(to, use, { undoneBy }), id: "site/arrived", title: "Owners and groups of this machine" },
  ];
}

function closedFile(inputs: SiteInputs, use: Services, place: { readonly id: string; readonly title: string }): Step {
  return file(use.host(inputs.server), inputs.paths.gateClosed, async () => "", grouped(inputs, 0o640), place);
}

/** Milliseconds for which writers that are under way may take to end. */
const DRAIN = 60_000;

/**
 * From here on nobody writes to this generation, and when it is done nobody is writing any more (DESIGN 5, the write gate). Undone: open again.
 * Its result: when it was closed, in milliseconds since the epoch. Rejects with TIMED_OUT when writers take longer than `patience` milliseconds.
 */
export function closeGate(inputs: SiteInputs, use: Services, patience = DRAIN): Step<{ readonly at: number }> {
  const host = use.host(inputs.server);
  const { gate, gateClosed } = inputs.paths;
  return {
    id: "gate/close",
    title: `Nobody writes to ${inputs.site.uri} from now on`,
    async check() {
      // A kill may have come before the file had its name.
      const undo = [gateClosed, besidePath(gateClosed)].map((path) => ({ do: "remove_tree", host: host.name, path }));
      return { changes: ["close the write gate"], undo };
    },
    async apply() {
      // A site that was last verified by a version without a gate has none, and its settings.php does not ask for it.
      if (!(await host.stat(gate)))
        throw new ProvisionError("REFUSED", `${inputs.site.name} has no write gate yet`, {
          next: [`provision verify ${inputs.site.name}`],
        });
      const at = Date.now();
      await host.writeFile(gateClosed, "", grouped(inputs, 0o640));
      const seconds = String(Math.max(1, Math.ceil(patience / 1000)));
      const { code } = await host.run(["flock", "-x", "-w", seconds, gate, "true"], { anyExit: true, timeout: patience + 10_000 });
      if (code !== 0)
        throw new ProvisionError("TIMED_OUT", `a request that writes to ${inputs.site.uri} has not ended in ${seconds} s`, {
          why: ["it began before the gate was closed, and may still change the database"],
          next: ["try again when it has ended (a long import, a cron run)"],
        });
      return { at };
    },
  };
}

/** On every member of a cluster, one after the other: when the last is done nobody writes any more. */
export function closeGates(inputs: SiteInputs, use: Services, patience?: number): readonly [GateStep, ...GateStep[]] {
  const others = (inputs.others ?? []).flatMap((at) => onMember(at.webServer, [closeGate(at, use, patience)]) as readonly GateStep[]);
  return [closeGate(inputs, use, patience), ...others];
}

type GateStep = Step<{ readonly at: number }>;

/** Visitors may write; after the commit. Its result: when, as that of closeGate. */
function openGate(inputs: SiteInputs, use: Services): Step {
  const host = use.host(inputs.server);
  const step = gone(host, [inputs.paths.gateClosed], { id: "gate/open", title: `${inputs.site.uri} is open to writers`, phase: "finish" });
  return {
    ...step,
    async apply(run) {
      await step.apply(run);
      return { at: Date.now() };
    },
  };
}

/** How long writers waited, in milliseconds; undefined while it is not known. */
export function blocked(run: { out(step: Step): unknown }): number | undefined {
  const at = (id: string) => (run.out({ id } as Step) as { readonly at: number } | undefined)?.at;
  const [closed, opened] = [at("gate/close"), at("gate/open")];
  return closed === undefined || opened === undefined ? undefined : opened - closed;
}

/** The next generation as the engine meets it before the switch. */
export function stagedCode({ staged }: Succession, use: Services): SiteCode {
  return siteCode(staged, use);
}

/** The next generation answers on every member. */
export function smokeTests(s: Succession, use: Services, undoneBy?: string): readonly Step[] {
  return onSides(s, (side) => [smokeTest(side, use, undoneBy)]);
}

/** The front page of the next generation is fetched on loopback: it answers, or as the one that serves does. Rejects with PROBE_FAILED. */
export function smokeTest({ now, next, staged }: Succession, use: Services, undoneBy = "site/directories"): Step {
  const generation = staged.directory === next.directory ? undefined : next.generation;
  return {
    id: "smoke-test",
    title: `GET / of the new ${next.site.uri}, seen by nobody else`,
    undoneBy,
    check: async () => ({ changes: ["fetch the front page on loopback"] }),
    async apply() {
      const answer = await unseenPage(staged, use, generation);
      if (!right(answer) && answer.status !== (await frontPage(now, use))) throw probeFailed(`the new ${next.site.uri}`, answer);
      return { status: answer.status, ms: answer.ms };
    },
  };
}

/** The front page of a site that no web server knows yet: by PHP's own server on this machine, on another by the PHP-FPM that is to run it. */
export async function unseenPage(staged: SiteInputs, use: Services, generation: string | undefined): Promise<HttpAnswer> {
  const { server, webServer } = staged;
  if (isThisMachine(server.remote_host))
    return onLoopback(
      {
        vhost: vhostOf(staged, use, true),
        generation,
        port: webServer.http_port,
        signal: use.scope.signal,
        codeCache: staged.codeCache === undefined ? undefined : { host: use.host(server), directory: staged.codeCache },
      },
      (get) => get("/"),
    );
  return pageByFpm(staged, use, generation, "/");
}

/** A page as PHP-FPM of a site gives it, whatever its web server does. Rejects with SERVICE_UNAVAILABLE when there is no answer. */
export async function pageByFpm(inputs: SiteInputs, use: Services, generation: string | undefined, path: string): Promise<HttpAnswer> {
  const { site, server, webServer, dbServer, core } = inputs;
  const cloaked = isCloaked(inputs);
  const access = cloaked ? await use.db(dbServer).access(databaseOf(inputs, use, dbServer)) : undefined;
  try {
    return await fpmPage({
      host: use.host(server),
      listen: listenOf(inputs, use),
      docroot: core.docroot,
      uri: site.uri,
      port: webServer.http_port,
      generation,
      path,
      variables: (access && accountVariables(access)) ?? {},
    });
  } catch (error) {
    if (error instanceof ProvisionError) throw error;
    throw new ProvisionError("SERVICE_UNAVAILABLE", `PHP-FPM of ${webServer.name} gave no answer for ${site.uri}`, {
      why: [messageOf(error)],
      cause: error,
    });
  }
}

/** A page, or that one has to log in for it. */
function right({ status, headers }: HttpAnswer): boolean {
  return (status < 400 || status === 401 || status === 403) && !headers["location"]?.includes("install.php");
}

async function frontPage({ site, webServer }: SiteInputs, use: Services): Promise<number | null> {
  try {
    return (await use.http(webServer).request({ uri: site.uri, path: "/", tls: site.ssl === "required" })).status;
  } catch (error) {
    if (!(error instanceof ProvisionError) || isAway(error)) throw error;
    return null;
  }
}

function probeFailed(what: string, { status, body, headers }: HttpAnswer): ProvisionError {
  const text = body.replace(/<(script|style)[\s\S]*?<\/\1>/g, "").replace(/<[^>]*>/g, " ");
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const where = headers["location"];
  return new ProvisionError("PROBE_FAILED", `GET / of ${what} answered ${status}${where === undefined ? "" : ` (to ${where})`}`, {
    why: lines.slice(0, 3),
  });
}

/** What visitors will have written is told by what was there before them. Last before `finishSwitch`. */
export function countRows(next: SiteInputs, use: Services): Step<Rows> {
  return {
    id: "switch/rows",
    title: `Rows of the new ${next.site.uri}`,
    undoneBy: "site/directories",
    check: async () => ({ changes: ["count the rows of its tables"] }),
    apply: () => rowsOf(next, use),
  };
}

/** Visitors are led to the next generation, which stays closed to writers, and it answers. Undone: all as it was, and PHP begun anew. */
export function switchSteps(s: Succession, use: Services): readonly Step[] {
  const { next, staged } = s;
  const moved = staged.siteDirectory !== next.siteDirectory;
  const enabled = next.site.site_enabled;
  const withdrawn = (at: SiteInputs) => {
    const side = sidesOf(s).find((one) => one.next.webServer.name === at.webServer.name);
    return side ? formerNames(side, use) : [];
  };
  return [
    ...(moved ? onSides(s, (side) => [takeName(side, use)]) : []),
    ...onSides(s, (side) => [
      clientLink(side.next, use),
      ...basicAuthSteps(side.next, use, side === s),
      ...accountForRequests(side.next, use, () => use.db(next.dbServer).access(databaseOf(side.next, use, next.dbServer))),
    ]),
    publish(next, use, enabled, withdrawn),
    ...onSides(s, (side) => [
      // PHP's own server starts new processes by the activation; PHP-FPM has to be told.
      ...(side.next.webServer.http_service_type === "php" ? [] : [reloaded(side.next, use)]),
      ...(enabled ? [answers(side.next, use)] : []),
    ]),
    // Of a new name, or on another web server.
    ...certificateSteps(next, use, true, (version) => publishCertificate(next, use, version)),
    ...onSides(s, (side) => leavePool(side.now, side.next, use)),
  ];
}

/** Files of names that the site no longer has on this web server. */
function formerNames({ now, next }: Succession, use: Services): readonly ConfigFile[] {
  if (now.webServer.name !== next.webServer.name) return [];
  const others = [now.site.uri, ...now.site.aliases].filter((name) => name !== next.site.uri && !next.site.aliases.includes(name));
  const paths = new Set(siteConfig(next, use, next.site.site_enabled).map(({ path }) => path));
  const uri = now.site.uri === next.site.uri ? undefined : now.site.uri;
  return use
    .http(next.webServer)
    .noSiteFiles(others, uri)
    .filter(({ path }) => !paths.has(path));
}

/** Link and directories change places at once, so that there is no moment in which the site has no directory. */
function takeName({ now, next, staged, aside }: Succession, use: Services): Step {
  const host = use.host(next.server);
  const name = next.siteDirectory;
  const reload = reloadPhpUndo(use, next, [next.site.uri]);
  return {
    id: "site/take-name",
    title: `${staged.directory} becomes ${next.directory}`,
    async check() {
      const change =
        aside === null
          ? `rename ${staged.siteDirectory} to ${name}`
          : `${staged.siteDirectory} takes the place of ${name}, which becomes ${basename(aside)}`;
      const undo =
        aside === null
          ? { do: "rename_back", host: host.name, from: staged.siteDirectory, to: name }
          : { do: "exchange_back", host: host.name, name, staged: staged.siteDirectory, aside, files: now.paths.files };
      // Undone from the end: first the directories, then PHP.
      return { changes: [change], undo: [reload, undo] };
    },
    async apply() {
      if (aside === null) {
        await host.rename(staged.siteDirectory, name);
        return null;
      }
      await host.exchange(name, staged.siteDirectory);
      await host.rename(staged.siteDirectory, aside);
      return null;
    },
  };
}

export function generationUndo(reach: { host(name: string): Host }): UndoKinds {
  return {
    /** The directory that had a name has it again, and the one that took it is where it was made. `files`: the link by which the first is told from the other. */
    async exchange_back(undo) {
      const host = reach.host(undo.host);
      const [name, staged, aside] = [String(undo["name"]), String(undo["staged"]), String(undo["aside"])];
      const former = async (path: string) => (await host.readLink(join(path, "files"))) === undo["files"];
      if ((await former(aside)) && !(await host.stat(staged))) await host.rename(aside, staged);
      if (!(await former(name)) && (await former(staged))) await host.exchange(name, staged);
    },
    /** A generation that took another place, and left a link to it, is where it was; the link is gone. */
    async data_back(undo) {
      const host = reach.host(undo.host);
      const [from, to] = [String(undo["from"]), String(undo["to"])];
      const link = async (path: string) => (await host.stat(path))?.type === "link";
      if (await link(from)) await host.exchange(from, to);
      if (await link(to)) await host.remove(to);
      await host.remove(besidePath(to));
    },
  };
}

export function reloaded({ site, webServer, platform }: SiteInputs, use: Services): Step {
  return {
    id: "http/reload",
    title: "PHP begins anew",
    undoneBy: "http/activate",
    check: async () => ({ changes: [`reload PHP of ${webServer.name}`] }),
    async apply() {
      await reloadPhp(use, { platform, webServer }, [site.uri]);
      return null;
    },
  };
}

export function answers(next: SiteInputs, use: Services): Step {
  const { site, webServer } = next;
  return {
    id: "http/probe",
    title: `GET ${use.http(webServer).url(site.uri, site.ssl !== "off")}/`,
    undoneBy: "http/activate",
    check: async () => ({ changes: ["fetch the front page"] }),
    async apply(run) {
      const answer = await use
        .http(webServer)
        .request({ uri: site.redirection ?? site.uri, path: "/", tls: site.ssl === "required", codeCache: next.codeCache });
      const smoke = run.out({ id: "smoke-test" } as Step<{ readonly status: number }>);
      if (!right(answer) && answer.status !== smoke?.status) throw probeFailed(site.uri, answer);
      return { status: answer.status, ms: answer.ms };
    },
  };
}

/**
 * After the commit: `now` is kept, the context says what serves, and writers are let in. The gate of `now` stays closed.
 * A kept generation that serves again is no longer kept. `rows`: how many each table of `next` has before anybody writes to it; `own`: those
 * of `now`, where they are known already.
 */
export function finishSwitch(s: Succession, use: Services, rows: (run: Run) => Rows, own?: (run: Run) => Rows): readonly Step[] {
  const { now, next, inTheWay, kept } = s;
  const { name } = next.site;
  const renamed = now.site.name !== name;
  const database = databaseOf(next, use, next.dbServer);
  const wanted = { ...switchedProperties(next.site), ...Object.fromEntries(databaseProperties(database)), generation: next.generation };
  const path = use.layout.contextFile(name);
  const place = { phase: "finish" } as const;
  const recordOf = (run: Run): Kept => ({
    ...kept,
    successor: { generation: next.generation, ...rows(run) },
    ...(own === undefined ? {} : { own: own(run) }),
  });
  return [
    ...[
      { generation: kept.generation, record: recordOf },
      ...(inTheWay ? [{ generation: inTheWay.generation, record: () => movedRecord(inTheWay) }] : []),
    ].map((one) =>
      keptRecord(use, name, one.generation, one.record, {
        id: `kept/${one.generation}`,
        title: `Keep generation ${one.generation}`,
        ...place,
      }),
    ),
    keptRecord(use, name, next.generation, null, { id: "kept/serves", title: `Generation ${next.generation} serves`, ...place }),
    file(
      use.local,
      path,
      async () => {
        const text = (await use.store.source(name)) ?? (await use.store.source(now.site.name));
        return rewrite(text, "site", switchedChanges(switchedProperties(now.site), wanted), path);
      },
      { mode: 0o644 },
      { id: "context", title: `Save ${name}`, ...place },
    ),
    // The first as the last: by it is told how long writers waited.
    ...(next.others ?? []).flatMap((place) => onMember(place.webServer, [openGate(place, use)])),
    openGate(next, use),
    ...leaveWebServer(now, next, use),
    ...onSides(s, (side) => [
      groupOfAll(side.next, use, { phase: "finish" }),
      ...formerAccounts(side.next, use),
      ...dropPoolUser(side.now, side.next, use),
      ...(now.site.uri === next.site.uri ? leaveMachine(side.now, side.next, use) : formerUri(side.now, use)),
    ]),
    ...(renamed ? formerName(now, next, use) : []),
    ...(own === undefined ? [keptRows(use, name, kept.generation, () => rowsOf(now, use))] : []),
  ];
}

/** Another web server serves the site: the one that did until now forgets it. Who still comes there is answered until then, and writes nothing. */
function leaveWebServer(now: SiteInputs, next: SiteInputs, use: Services): readonly Step[] {
  const { site, webServer } = now;
  if (webServer.name === next.webServer.name || webServer.http_service_type === "none") return [];
  const http = use.http(webServer);
  const place = { phase: "finish" } as const;
  const title = `Withdraw ${site.uri} from ${webServer.name}`;
  return [
    http.activate("http/withdraw", title, http.noSiteFiles([...site.aliases, ...now.formerNames], site.uri), place),
    ...(http.environment ? [{ ...http.environment.removeFormer(site.uri, undefined), id: "http/environment-former-server" }] : []),
    ...(site.uri === next.site.uri && webServer.http_service_type !== "php"
      ? [
          gone(use.host(webServer), [http.passwordFile(site.uri)], {
            id: "http/former-password-file",
            title: `Remove the password file of ${webServer.name}`,
            ...place,
          }),
        ]
      : []),
  ];
}

/** The link of its client is where the site is. */
function leaveMachine(now: SiteInputs, next: SiteInputs, use: Services): readonly Step[] {
  if (isSameMachine(now.server, next.server)) return [];
  const place = { id: "site/former-link", title: `Link of ${now.site.uri} on ${now.server.name}`, phase: "finish" } as const;
  return [gone(use.host(now.server), [clientPath(now, use)], place)];
}

function movedRecord({ aside, without: _without, ...kept }: NonNullable<Succession["inTheWay"]>): Kept {
  return { ...kept, siteDirectory: aside };
}

/** Link and password file of a uri that the site no longer has. */
export function formerUri(now: SiteInputs, use: Services): readonly Step[] {
  return [
    ...(now.webServer.http_service_type === "php"
      ? []
      : [
          ...[use.http(now.webServer).environment].flatMap((one) =>
            one ? [{ ...one.removeFormer(now.site.uri, undefined), id: "http/environment-former-name" }] : [],
          ),
          gone(use.host(now.webServer), [use.http(now.webServer).passwordFile(now.site.uri)], {
            id: "http/former-password-file",
            title: "Remove the password file",
            phase: "finish",
          }),
        ]),
    gone(use.host(now.server), [clientPath(now, use)], { id: "site/former-link", title: `Link of ${now.site.uri}`, phase: "finish" }),
  ];
}

/** Context and secrets of a name that the site no longer has; records of generations that are kept go along to the new one. */
export function formerName(now: SiteInputs, next: SiteInputs, use: Services): readonly Step[] {
  return [
    {
      id: "kept/renamed",
      title: `What was kept of ${now.site.name}`,
      phase: "finish",
      async check() {
        const kept = await keptGenerations(use, now.site.name);
        return { changes: kept.map(({ generation }) => `keep ${generation} as one of ${next.site.name}`) };
      },
      async apply() {
        const [from, to] = [use.layout.keptGenerations(now.site.name), use.layout.keptGenerations(next.site.name)];
        await use.local.mkdir(to, { mode: 0o750 });
        for (const name of (await use.local.list(from)) ?? []) await use.local.rename(join(from, name), join(to, name));
        await use.local.removeEmpty(from);
        return null;
      },
    },
    gone(use.local, [use.layout.secretsFile(now.site.name), use.layout.contextFile(now.site.name)], {
      id: "context/former",
      title: `Remove ${now.site.name}`,
      phase: "finish",
    }),
  ];
}
