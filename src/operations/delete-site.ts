import { join } from "node:path";
import { clientWord, siteName } from "../context/names.js";
import { resolveSite, type SiteAndAll } from "../context/references.js";
import { ProvisionError } from "../core/errors.js";
import type { Operation, Step } from "../core/step.js";
import type { Core } from "../engines/engine.js";
import { detectCore } from "../engines/index.js";
import { gone, moved } from "../steps/files.js";
import { type BackupInputs, backupData, backupInputs, backupSteps, refuseNoRoom } from "./parts/backup.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { certificateDirectory } from "./parts/certificate.js";
import { siteLocks } from "./parts/locks.js";
import { dropPoolUsers, leavePools, type PoolInputs, poolsOf } from "./parts/pool.js";
import { siteState } from "./parts/preflight.js";
import { databaseOf, type SiteInputs, siteInputs } from "./parts/site.js";
import { namesOfDirectory, sitesPhpEntries } from "./parts/sites-php.js";
import { allGoing, pruneSteps } from "./prune-generations.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Inputs extends SiteAndAll, Pick<PoolInputs, "formerPools"> {
  /** Engine of the platform; undefined when its code is gone. */
  readonly engine?: string;
  readonly docroot: string;
  readonly siteDirectory: string;
  /** All that visitors may call it: uri and aliases, also those taken out of the context since the last verify. */
  readonly names: readonly string[];
  readonly generations: string;
  /** Generations that are kept of it go with it. */
  readonly kept: Awaited<ReturnType<typeof allGoing>>;
  readonly aside: readonly [string, string];
  /** The final backup, and the site as that meets it; none: as asked, or it was never installed. */
  readonly last?: { readonly site: SiteInputs; readonly backup: BackupInputs };
  /** Where its certificates stand, when no other site has them too. */
  readonly certificates?: string;
  readonly baseline: Baseline;
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
    const all = await resolveSite(use.store, use.settings, name);
    refuseOtherUser(all.server);
    await refuseUnreachable(all, use);
    const host = use.host(all.server);
    const docroot = use.rootOf(all);
    const core = (await host.stat(docroot)) ? await detectCore(host, docroot).catch(() => undefined) : undefined;
    const siteDirectory = join(docroot, "sites", siteName(all.site.uri));
    const generations = use.layoutOf(all.server).siteGenerations(all.site.uri);
    const entered = core
      ? await namesOfDirectory({ host, engine: use.engine(core.engine), docroot: core.docroot }, siteName(all.site.uri))
      : [];
    const last = backup && all.site.generation !== undefined ? await lastBackup(all, core, all.site.generation, use, id) : undefined;
    const certificates = await ownCertificates(all, use);
    const inputs: Inputs = {
      ...all,
      ...(last ? { last } : {}),
      ...(certificates === undefined ? {} : { certificates }),
      names: [...new Set([siteName(all.site.uri), ...all.site.aliases, ...entered])],
      ...(core ? { engine: core.engine } : {}),
      docroot: core?.docroot ?? docroot,
      siteDirectory,
      generations,
      kept: await allGoing(name, use),
      aside: [aside(siteDirectory, id), aside(generations, id)],
      formerPools: await poolsOf(use, all),
      baseline: {
        ...(await baselineOf(host, [siteDirectory, generations])),
        ...(await baselineOf(use.local, [use.layout.contextFile(name), use.layout.secretsFile(name)])),
      },
    };
    return { inputs, locks: siteLocks(all) };
  },

  async preflight({ last }, use) {
    if (last) await refuseNoRoom(last.site, use);
  },

  steps(inputs, use) {
    const { site, webServer, dbServer, server, client, last } = inputs;
    const host = use.host(server);
    const http = webServer.http_service_type === "none" ? undefined : use.http(webServer);
    const installed = site.generation !== undefined;
    const db = dbServer.db_service_type === "none" || site.generation === undefined ? undefined : use.db(dbServer);
    const [code, generations] = inputs.aside;
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
      ...(http ? [http.activate("http/withdraw", `Withdraw ${site.uri}`, http.noSiteFiles(inputs.names, site.uri))] : []),
      ...leavePools(inputs, use),
      // A site that was never installed has no directories here; one that stands at its name is somebody else's.
      ...(installed
        ? [
            moved(host, inputs.siteDirectory, code, { id: "code/aside", title: `Set ${inputs.siteDirectory} aside` }),
            moved(host, inputs.generations, generations, { id: "files/aside", title: `Set ${inputs.generations} aside` }),
          ]
        : []),
      ...(db && database ? db.drop(database) : []),
      ...inputs.kept.flatMap((one) => pruneSteps(site.name, one, use)),
      gone(host, [code, generations], { id: "files/remove", title: "Remove what was set aside", phase: "finish" }),
      ...names(inputs, use),
      ...dropPoolUsers(inputs, use),
      ...(http?.environment ? [http.environment.removeFormer(site.uri, undefined)] : []),
      ...(http
        ? [
            gone(use.host(webServer), [http.passwordFile(site.uri), ...(inputs.certificates === undefined ? [] : [inputs.certificates])], {
              id: "http/password-file",
              title: "Remove password file and certificates",
              phase: "finish",
            }),
          ]
        : []),
      gone(use.local, [use.layout.clientSite(clientWord(client.name), site.uri), use.layout.secretsFile(site.name)], {
        id: "rest/remove",
        title: "Remove link and secrets",
        phase: "finish",
      }),
      gone(use.local, [use.layout.contextFile(site.name)], { id: "context/remove", title: `Remove ${site.name}`, phase: "finish" }),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  state: (inputs, use) => siteState(inputs, use),
  data: async ({ last }, run, use) => (last ? backupData(backupSteps(last.site, last.backup, use), run.out) : {}),
  lines: ({ backup, path }) => (backup === undefined ? [] : [`Backup ${String(backup)}`, `In     ${String(path)}`]),
};

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

function names(inputs: Inputs, use: Services): readonly Step[] {
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
