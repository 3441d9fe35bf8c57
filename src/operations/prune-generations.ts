import { join } from "node:path";
import { siteDirectory } from "../context/names.js";
import { type PlatformAndServers, resolvePlatform } from "../context/references.js";
import type { Server, Site } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Lock, Operation, Step } from "../core/step.js";
import type { Host } from "../host/host.js";
import { gone } from "../steps/files.js";
import { certificatesToForget } from "./parts/certificate.js";
import { onMember } from "./parts/cluster.js";
import { due, type Kept, keptGenerations, keptRecord } from "./parts/kept.js";
import { databaseOf } from "./parts/site.js";
import { namesOfDirectory, type SitesPhp, sitesPhpEntries } from "./parts/sites-php.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Going {
  readonly kept: Kept;
  /** Of its platform; null: that is known no more. */
  readonly server: Server | null;
  /** Of its database; null as above. */
  readonly dbServer: Server | null;
  /** Where its web server has certificates and keys for it alone. */
  readonly certificates: { readonly webServer: Server; readonly directory: string } | null;
  /** What visitors called it on its platform, when no other generation of the site is left there, which needs those names too. */
  readonly names: readonly string[];
  /** The other members of a cluster, which may have had it, too. */
  readonly others: readonly Server[];
}

interface Inputs {
  readonly name: string;
  readonly going: readonly Going[];
}

export interface PruneArgs {
  readonly name: string;
  /** Those whose time is over, as they were then; or, whatever their time, these. */
  readonly now: string;
  readonly generations?: readonly string[];
}

/**
 * Takes kept generations of a site away: database, files, directory below sites/, names there, and last what was known of them. Nothing to undo;
 * what was cut short is finished by the next run.
 */
export const pruneGenerations: Operation<PruneArgs, Inputs, Services> = {
  name: "prune-generations",
  recovery: "automatic",

  async prepare({ name, now, generations }, use) {
    // A record that outlived a switch would take away what serves.
    const serving = await servingSite(name, use);
    const kept = (await keptGenerations(use, name)).filter(({ generation }) => generation !== serving?.generation);
    const chosen = generations === undefined ? due(kept, new Date(now)) : kept.filter(({ generation }) => generations.includes(generation));
    const going: Going[] = [];
    const locks: Lock[] = [
      { kind: "hub", name: "hub", mode: "shared" },
      { kind: "site", name, mode: "exclusive" },
    ];
    const staying = kept.filter((one) => !chosen.includes(one));
    for (const one of chosen) {
      const found = await whereabouts(one, { serving, staying }, use);
      if (found.server) refuseOtherUser(found.server);
      going.push({ kept: one, ...found });
      for (const server of [found.server, found.dbServer, ...found.others])
        if (server) locks.push({ kind: "server", name: server.name, mode: "shared" });
      if (found.server) locks.push({ kind: "platform", name: String(one.properties.platform), mode: "shared" });
    }
    return {
      inputs: { name, going },
      locks: locks.filter((lock, index) => locks.findIndex(({ name: other }) => other === lock.name) === index),
    };
  },

  steps: ({ name, going }, use) => going.flatMap((one) => pruneSteps(name, one, use)),
  confirm: async () => [],
  async state({ name }) {
    return `${name} serves as before; what was kept of it is partly gone`;
  },
  async data({ going }) {
    return { generations: going.map(({ kept }) => kept.generation) };
  },
};

async function servingSite(name: string, use: Services): Promise<Site | undefined> {
  const site = await use.store.read(name);
  return site?.context_type === "site" && site.generation !== undefined ? site : undefined;
}

/** What is left of a site when some of what is kept of it goes. */
interface Left {
  readonly serving: Site | undefined;
  readonly staying: readonly Kept[];
}

/** What of a kept generation can still be reached by the contexts of the hub. A database whose server is known no more is left, and said. */
async function whereabouts(kept: Kept, { serving, staying }: Left, use: Services): Promise<Omit<Going, "kept">> {
  const { platform, db_server } = kept.properties;
  const all = await resolvePlatform(use.store, use.settings, String(platform), "all").catch(unlessKnown);
  const dbServer = await use.store.need(String(db_server ?? "@server_master"), "server").catch(unlessKnown);
  // One that stands aside is found by the same names, and has them for itself when it serves again.
  const needed =
    (serving !== undefined && serving.platform === platform && siteDirectory(serving) === kept.directory) ||
    staying.some(({ docroot, directory }) => docroot === kept.docroot && directory === kept.directory);
  const host = all && use.host(all.server);
  const at = host && { host, engine: use.engine(kept.engine), docroot: kept.docroot };
  const names = at && !needed && (await host.stat(kept.docroot)) ? await namesOfDirectory(at, kept.directory) : [];
  return {
    server: all?.server ?? null,
    dbServer: dbServer ?? null,
    // Of a cluster they are those of the site that serves, and go with it.
    certificates: all && !all.cluster ? await certificatesOf(kept, all, staying, use) : null,
    names,
    others: all?.cluster?.others ?? [],
  };
}

async function certificatesOf(
  kept: Kept,
  { webServer }: PlatformAndServers,
  staying: readonly Kept[],
  use: Services,
): Promise<Going["certificates"]> {
  const others: { site: Site; webServer: string }[] = [];
  for (const other of staying) {
    const platform = await use.store.read(String(other.properties.platform));
    if (platform?.context_type === "platform") others.push({ site: siteOf(other), webServer: platform.web_server });
  }
  const directory = await certificatesToForget(use, { site: siteOf(kept), webServer }, others);
  return directory === undefined ? null : { webServer, directory };
}

/** As far as its context is known. */
function siteOf({ properties, name }: Kept): Site {
  return { aliases: [], ...properties, name } as unknown as Site;
}

function unlessKnown(error: unknown): undefined {
  if (error instanceof ProvisionError) return undefined;
  throw error;
}

/** Steps that take one kept generation away, for delete too. */
export function pruneSteps(name: string, { kept, server, dbServer, certificates, names, others }: Going, use: Services): readonly Step[] {
  const { generation, siteDirectory } = kept;
  const uri = String(kept.properties.uri);
  const layout = server === null ? use.layout : use.layoutOf(server);
  const paths = layout.generation(uri, generation);
  const host = server === null ? use.local : use.host(server);
  const id = (word: string) => `kept/${generation}/${word}`;
  const site = { ...kept.properties, name } as unknown as Site;
  const at = { host, engine: use.engine(kept.engine), docroot: kept.docroot, locks: use.operations.locks };
  const db = dbServer === null || dbServer.db_service_type === "none" ? undefined : use.db(dbServer);
  return [
    ...(db && dbServer
      ? db.drop(databaseOf({ site, generation, paths }, use, dbServer)).map((step) => ({
          ...step,
          id: id("database"),
          title: `Remove the database of generation ${generation}`,
        }))
      : []),
    ...namesGone(at, names, id("names")),
    files(host, [siteDirectory, paths.root], layout.siteGenerations(uri), {
      id: id("files"),
      title: `Remove the files of generation ${generation}`,
      phase: "finish",
    }),
    ...others.flatMap((other) => {
      // The same places below its own root.
      const there = use.layoutOf(other);
      const inside = (path: string) => (path.startsWith(`${layout.root}/`) ? join(there.root, path.slice(layout.root.length + 1)) : path);
      return onMember(other, [
        ...namesGone({ ...at, host: use.host(other), docroot: inside(kept.docroot) }, names, id("names")),
        files(use.host(other), [inside(siteDirectory), there.generation(uri, generation).root], there.siteGenerations(uri), {
          id: id("files"),
          title: `Remove the files of generation ${generation}`,
          phase: "finish",
        }),
      ]);
    }),
    ...(certificates === null
      ? []
      : [
          gone(use.host(certificates.webServer), [certificates.directory], {
            id: id("certificates"),
            title: `Remove the certificates and keys of generation ${generation}`,
            phase: "finish" as const,
          }),
        ]),
    keptRecord(use, name, generation, null, { id: id("record"), title: `Forget generation ${generation}`, phase: "finish" }),
  ];
}

/** A member that came later may not have the platform. */
function namesGone(at: SitesPhp, names: readonly string[], id: string): readonly Step[] {
  if (names.length === 0) return [];
  const entries = async () => Object.fromEntries(names.map((one) => [one, null]));
  const step = sitesPhpEntries(at, entries, { id, title: "Its names out of sites.php", phase: "finish" });
  const stands = async () => (await at.host.stat(join(at.docroot, "sites"))) !== undefined;
  return [
    {
      ...step,
      check: async (run) => ((await stands()) ? step.check(run) : { changes: [] }),
      apply: async (run) => ((await stands()) ? step.apply(run) : null),
    },
  ];
}

function files(host: Host, trees: readonly string[], above: string, place: Parameters<typeof gone>[2]): Step {
  const step = gone(host, trees, place);
  return {
    ...step,
    async apply(run) {
      await step.apply(run);
      // Of a name that the site no longer has it may have been the last.
      await host.removeEmpty(above);
      return null;
    },
  };
}

/** All that is kept of a site, for who takes it away whole. */
export async function allGoing(name: string, use: Services): Promise<readonly Going[]> {
  const going: Going[] = [];
  const left: Left = { serving: await servingSite(name, use), staying: [] };
  for (const kept of await keptGenerations(use, name)) going.push({ kept, ...(await whereabouts(kept, left, use)) });
  return going;
}
