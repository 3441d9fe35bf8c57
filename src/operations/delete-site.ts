import { join, relative } from "node:path";
import { siteDirectory, siteName } from "../context/names.js";
import { resolveSite, type SiteAndAll } from "../context/references.js";
import { ProvisionError } from "../core/errors.js";
import type { Operation, Step } from "../core/step.js";
import type { Core } from "../engines/engine.js";
import { detectCore } from "../engines/index.js";
import { isAway } from "../host/host.js";
import { activateTogether } from "../services/http/together.js";
import { gone, moved } from "../steps/files.js";
import { type BackupInputs, backupData, backupInputs, backupSteps, refuseNoRoom } from "./parts/backup.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { certificateDirectory } from "./parts/certificate.js";
import { exchangeOf, membersOf, onEach, refuseAlone, refuseDown } from "./parts/cluster.js";
import { inPlace, leftElsewhere } from "./parts/in-place.js";
import { siteLocks } from "./parts/locks.js";
import { recordedInventory } from "./parts/platform-inventory.js";
import { dropPoolUsers, leavePools, type PoolInputs, poolsOf } from "./parts/pool.js";
import { siteState } from "./parts/preflight.js";
import { clientPath, databaseOf, type SiteInputs, siteInputs } from "./parts/site.js";
import { namesOfDirectory, sitesPhpEntries } from "./parts/sites-php.js";
import { allGoing, pruneSteps } from "./prune-generations.js";
import { refuseOtherUser, type Services } from "./services.js";

/** What a machine has of the site. */
interface Place extends SiteAndAll, Pick<PoolInputs, "formerPools"> {
  /** Engine of the platform; undefined when its code is gone. */
  readonly engine?: string;
  readonly docroot: string;
  readonly siteDirectory: string;
  /** All that visitors may call it: uri and aliases, also those taken out of the context since the last verify. */
  readonly names: readonly string[];
  readonly generations: string;
  readonly aside: readonly [string, string];
  /** What an imported site has outside its own directories: it stays. */
  readonly left: readonly string[];
  /** Where its certificates stand, when no other site has them too. */
  readonly certificates?: string;
  readonly baseline: Baseline;
}

interface Inputs extends Place {
  /** Generations that are kept of it go with it. */
  readonly kept: Awaited<ReturnType<typeof allGoing>>;
  /** The final backup, and the site as that meets it; none: as asked, or it was never installed. */
  readonly last?: { readonly site: SiteInputs; readonly backup: BackupInputs };
  /** The other members of a cluster. */
  readonly others: readonly Place[];
}

export interface DeleteSiteArgs {
  readonly name: string;
  /** Take a backup first, without which nothing is deleted. */
  readonly backup: boolean;
}

/**
 * Takes a site away, after a backup of it that has to succeed: vhost first, directories renamed aside (all of that can be undone), and after the commit
 * database, files, names, links, secrets and, last, the context, so that a run that was cut short can be repeated.
 * Every step bears that its part is gone already: delete works on the rest of whatever failed.
 */
export const deleteSite: Operation<DeleteSiteArgs, Inputs, Services> = {
  name: "delete-site",
  recovery: "ask",

  async prepare({ name, backup }, use, id) {
    const all = await resolveSite(use.store, use.settings, name, "all");
    refuseOtherUser(all.server);
    await refuseDown(all, use);
    await refuseUnreachable(all, use);
    const core = await coreOf(all, use);
    const last = backup && all.site.generation !== undefined ? await lastBackup(all, core, all.site.generation, use, id) : undefined;
    const [first, ...others] = membersOf(all);
    const place = await placeOf(first ?? all, use, id);
    const inputs: Inputs = {
      ...place,
      ...(last ? { last } : {}),
      kept: await allGoing(name, use),
      others: await Promise.all(others.map((other) => placeOf(other, use, id))),
      baseline: {
        ...place.baseline,
        ...(await baselineOf(use.local, [use.layout.contextFile(name), use.layout.secretsFile(name)])),
      },
    };
    return { inputs, locks: siteLocks(all) };
  },

  async preflight({ last }, use) {
    if (!last) return;
    await refuseNoRoom(last.site, use);
    await refuseAlone(last.site, use);
  },

  steps(inputs, use) {
    const { site, dbServer, server, last } = inputs;
    const installed = site.generation !== undefined;
    const db = dbServer.db_service_type === "none" || site.generation === undefined ? undefined : use.db(dbServer);
    const each = (part: (at: Place) => readonly Step[]) => onEach<Place>(inputs, part);
    const database =
      db && site.generation !== undefined
        ? databaseOf(
            { site, generation: site.generation, paths: use.layoutOf(server).generation(site.uri, site.generation) },
            use,
            dbServer,
          )
        : undefined;
    return [
      ...(last ? backupSteps(last.site, last.backup, use) : []),
      ...withdraw(inputs, use),
      ...each((at) => leavePools(at, use)),
      // A site that was never installed has no directories here; one that stands at its name is somebody else's.
      ...(installed ? each((at) => setAside(at, use)) : []),
      ...(db && database ? db.drop(database) : []),
      ...inputs.kept.flatMap((one) => pruneSteps(site.name, one, use)),
      ...each((at) => [
        gone(use.host(at.server), at.aside, { id: "files/remove", title: "Remove what was set aside", phase: "finish" }),
        ...names(at, use),
        ...dropPoolUsers(at, use),
        ...ofWebServer(at, use),
        gone(use.host(at.server), [clientPath(at, use)], { id: "link/remove", title: "Remove link", phase: "finish" }),
      ]),
      gone(use.local, [use.layout.secretsFile(site.name)], { id: "rest/remove", title: "Remove secrets", phase: "finish" }),
      gone(use.local, [use.layout.contextFile(site.name)], { id: "context/remove", title: `Remove ${site.name}`, phase: "finish" }),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  state: (inputs, use) => siteState(inputs, use),
  data: async ({ last, left }, run, use) => ({
    ...(last ? backupData(backupSteps(last.site, last.backup, use), run.out) : {}),
    ...(left.length > 0 ? { left: [...left] } : {}),
  }),
  lines: ({ backup, path, left }) => [
    ...(backup === undefined ? [] : [`Backup ${String(backup)}`, `In     ${String(path)}`]),
    ...((left ?? []) as readonly string[]).map((one) => `Left   ${one}, which is not provision's: remove it yourself when nobody needs it`),
  ],
};

async function coreOf(all: SiteAndAll, use: Services): Promise<Core | undefined> {
  const host = use.host(all.server);
  const root = use.rootOf(all);
  if (!(await host.stat(root))) return undefined;
  return detectCore(host, root).catch((error: unknown) => {
    if (isAway(error)) throw error;
    return undefined;
  });
}

async function placeOf(all: SiteAndAll, use: Services, id: string): Promise<Place> {
  const host = use.host(all.server);
  const core = await coreOf(all, use);
  const root = use.rootOf(all);
  // A directory below the root, with Composer; where the code is gone the last verify knew it, as the hub has it.
  const recorded = (await recordedInventory(use, all.platform.name))?.docroot;
  const docroot = core?.docroot ?? (recorded === undefined ? root : join(root, relative(use.layout.resolve(all.platform.root), recorded)));
  const directory = siteDirectory(all.site);
  const place = join(docroot, "sites", directory);
  const generations = use.layoutOf(all.server).siteGenerations(all.site.uri);
  const entered = core ? await namesOfDirectory({ host, engine: use.engine(core.engine), docroot: core.docroot }, directory) : [];
  const certificates = await ownCertificates(all, use);
  return {
    ...all,
    ...(certificates === undefined ? {} : { certificates }),
    names: [...new Set([siteName(all.site.uri), ...all.site.aliases, ...entered])],
    ...(core ? { engine: core.engine } : {}),
    docroot,
    siteDirectory: place,
    generations,
    left: await leftBehind(all, place, core, use),
    aside: [aside(place, id), aside(generations, id)],
    formerPools: await poolsOf(use, all),
    baseline: await baselineOf(host, [place, generations]),
  };
}

/** The vhost is gone, on all members of a cluster or on none. */
function withdraw(inputs: Inputs, use: Services): readonly Step[] {
  const { site, webServer, others } = inputs;
  const title = `Withdraw ${site.uri}`;
  if (webServer.http_service_type === "none") return [];
  const files = (at: Place) => use.http(at.webServer).noSiteFiles(at.names, site.uri);
  if (others.length === 0) return [use.http(webServer).activate("http/withdraw", title, files(inputs))];
  const all = [inputs, ...others].map((at) => ({ server: at.webServer.name, exchange: exchangeOf(at.webServer, use, files(at)) }));
  return [activateTogether("http/withdraw", title, all)];
}

function setAside({ server, siteDirectory: directory, generations, aside: [code, files] }: Place, use: Services): readonly Step[] {
  const host = use.host(server);
  return [
    moved(host, directory, code, { id: "code/aside", title: `Set ${directory} aside` }),
    moved(host, generations, files, { id: "files/aside", title: `Set ${generations} aside` }),
  ];
}

/** What the web server has of the site beside its vhost. */
function ofWebServer({ site, webServer, certificates }: Place, use: Services): readonly Step[] {
  if (webServer.http_service_type === "none") return [];
  const http = use.http(webServer);
  return [
    ...(http.environment ? [http.environment.removeFormer(site.uri, undefined)] : []),
    gone(use.host(webServer), [http.passwordFile(site.uri), ...(certificates === undefined ? [] : [certificates])], {
      id: "http/password-file",
      title: "Remove password file and certificates",
      phase: "finish",
    }),
  ];
}

/** Of an imported site: its data elsewhere. */
async function leftBehind(
  { site, server }: SiteAndAll,
  directory: string,
  core: Core | undefined,
  use: Services,
): Promise<readonly string[]> {
  if (site.generation === undefined || core === undefined) return [];
  const paths = use.layoutOf(server).generation(site.uri, site.generation);
  return leftElsewhere(await inPlace(use.host(server), paths, use.engine(core.engine).configDirectories), directory, use.layoutOf(server));
}

async function lastBackup(
  all: SiteAndAll,
  core: Core | undefined,
  generation: string,
  use: Services,
  id: string,
): Promise<NonNullable<Inputs["last"]>> {
  if (!core)
    throw new ProvisionError("REFUSED", `the code of ${all.platform.name} is gone, so that no backup of ${all.site.name} can be made`, {
      state: "nothing was changed",
      next: [`provision verify ${all.platform.name}`, `provision delete ${all.site.name} --no-backup --yes    # without a backup`],
    });
  return { site: await siteInputs(use, all, core, generation), backup: backupInputs(use, all.site.uri, id, "delete") };
}

/** A database that is on a server can be dropped by it alone: before anything is taken away it has to answer. */
async function refuseUnreachable({ site, server, dbServer }: SiteAndAll, use: Services): Promise<void> {
  const { generation } = site;
  if (generation === undefined || dbServer.db_service_type === "none") return;
  const paths = use.layoutOf(server).generation(site.uri, generation);
  await use.db(dbServer).exists(databaseOf({ site, generation, paths }, use, dbServer));
}

/** Sub-directory sites of one host may share a certificate, with each other and with the host's own site. */
async function ownCertificates(all: SiteAndAll, use: Services): Promise<string | undefined> {
  const directory = certificateDirectory(use, all);
  const { contexts } = await use.store.load();
  const shared = contexts.some(
    (site) => site.context_type === "site" && site.name !== all.site.name && certificateDirectory(use, { ...all, site }) === directory,
  );
  return shared ? undefined : directory;
}

function aside(path: string, operation: string): string {
  const at = path.lastIndexOf("/");
  return `${path.slice(0, at)}/.${path.slice(at + 1)}.deleted-${operation}`;
}

function names(inputs: Place, use: Services): readonly Step[] {
  const { engine, docroot, server } = inputs;
  if (engine === undefined) return [];
  const step = sitesPhpEntries(
    { host: use.host(server), engine: use.engine(engine), docroot, locks: use.operations.locks },
    async () => Object.fromEntries(inputs.names.map((name) => [name, null])),
    { id: "names/remove", title: "Names out of sites.php", phase: "finish" },
  );
  return [
    {
      ...step,
      async check(run) {
        // Nothing to take out of a file that was never written.
        return (await use.host(server).stat(join(docroot, "sites", "sites.php"))) ? step.check(run) : { changes: [] };
      },
    },
  ];
}
