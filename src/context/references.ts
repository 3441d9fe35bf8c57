import { resolve } from "node:path";
import { ProvisionError } from "../core/errors.js";
import type { Hub } from "./hub.js";
import type { Layout } from "./layout.js";
import { meantContext, siteName } from "./names.js";
import {
  type Client,
  type Context,
  type ContextOf,
  type ContextType,
  type HubSettings,
  isThisMachine,
  type Platform,
  type Server,
  type Site,
} from "./schema.js";
import type { ContextStore } from "./store.js";
import { nameOf } from "./validate.js";
import type { YamlPath } from "./yaml-file.js";

/**
 * What contexts are to each other. References lead from site to platform, client and servers, from platform to
 * servers, and from a cluster to servers that are none; nothing refers back, so there are no cycles to look for.
 */
export interface Reference {
  readonly path: YamlPath;
  /** With its `@`. */
  readonly name: string;
  readonly type: ContextType;
}

/** One thing wrong between contexts. */
export interface Conflict {
  /** The context to change, with its `@`. */
  readonly context: string;
  readonly path: YamlPath;
  readonly what: string;
}

/** Every context that `context` refers to; defaults count. */
export function referencesOf(context: Context, settings: HubSettings): readonly Reference[] {
  switch (context.context_type) {
    case "site":
      return [
        { path: ["platform"], name: context.platform, type: "platform" },
        { path: ["db_server"], name: context.db_server, type: "server" },
        { path: ["client_name"], name: clientOf(context, settings), type: "client" },
      ];
    case "platform":
      return [
        { path: ["server"], name: context.server, type: "server" },
        { path: ["web_server"], name: context.web_server, type: "server" },
      ];
    case "server":
      return (context.cluster_web_servers ?? []).map((name, index) => ({ path: ["cluster_web_servers", index], name, type: "server" }));
    default:
      return [];
  }
}

/** Name of the client a site belongs to, with its `@`: its own, else the hub's default. */
export function clientOf(site: Site, settings: HubSettings): string {
  return `@client_${site.client_name ?? settings.client}`;
}

/** Who refers to a context, in the order given; `--delete` refuses while there is one. */
function referrersOf(name: string, contexts: Iterable<Context>, settings: HubSettings): readonly string[] {
  return [...contexts]
    .filter((context) => referencesOf(context, settings).some((reference) => reference.name === name))
    .map(({ name }) => name);
}

/** IN_USE when `name` cannot be deleted, else undefined. `contexts`: all of the hub. */
export function inUse(name: string, contexts: Iterable<Context>, settings: HubSettings): ProvisionError | undefined {
  const referrers = referrersOf(name, contexts, settings);
  if (referrers.length > 0) {
    const shown = referrers.length > 5 ? `${referrers.slice(0, 5).join(", ")} and ${referrers.length - 5} more` : referrers.join(", ");
    return new ProvisionError("IN_USE", `${name} is in use by ${shown}`, {
      state: "nothing was changed",
      next: [`change or delete ${referrers.length > 1 ? "them" : referrers[0]} first`],
    });
  }
  return name === `@client_${settings.client}`
    ? new ProvisionError("IN_USE", `${name} is the client of sites that name none (client: in provision.yml)`, {
        state: "nothing was changed",
      })
    : undefined;
}

/** What a context takes for itself, that no other may have. */
class Claims {
  readonly #names = new Map<string, { readonly context: string; readonly text: string; readonly path: YamlPath }[]>();
  readonly #roots: { readonly context: string; readonly root: string }[] = [];
  readonly #sites = new Map<string, Set<string>>();

  constructor(contexts: Iterable<Context>, { layout, settings }: Hub) {
    for (const context of contexts) {
      if (context.context_type === "platform") this.#roots.push({ context: context.name, root: rootOf(context, layout) });
      if (context.context_type !== "site") continue;
      for (const { text, path } of namesOf(context)) {
        const key = siteName(text);
        const owners = this.#names.get(key);
        if (owners) owners.push({ context: context.name, text, path });
        else this.#names.set(key, [{ context: context.name, text, path }]);
      }
      const client = clientOf(context, settings);
      this.#sites.set(client, (this.#sites.get(client) ?? new Set()).add(context.name));
    }
  }

  /** A directory below sites/ and a line of sites.php belong to one site: `example.com/foo` and `example.com.foo` are the same there. */
  names(site: Site): readonly Conflict[] {
    return namesOf(site).flatMap(({ text, path }) => {
      const other = this.#names.get(siteName(text))?.find(({ context }) => context !== site.name);
      if (!other) return [];
      const whose = `the ${other.path[0] === "uri" ? "uri" : "alias"}${other.text === text ? "" : ` ${other.text}`} of ${other.context}`;
      return [
        {
          context: site.name,
          path,
          what: other.text === text ? `${text} is ${whose} already` : `${text} has the same directory name as ${whose}`,
        },
      ];
    });
  }

  roots(platform: Platform, layout: Layout): readonly Conflict[] {
    const root = rootOf(platform, layout);
    const conflict = (what: string) => [{ context: platform.name, path: ["root"], what: `${root} ${what}; for example platforms/d7` }];
    if (within(layout.root, root)) return conflict("holds the hub itself, which deleting the platform would take along");
    for (const own of [layout.aliases, layout.secrets, layout.sites, layout.config, layout.backups, layout.clients, layout.state])
      if (within(root, own)) return conflict(`is in ${layout.relative(own)}/ of the hub, which holds other things`);
    if (root === layout.platforms || within(root, layout.builds)) return conflict("is where provision keeps platforms of any name");
    const other = this.#roots.find(
      ({ context, root: theirs }) => context !== platform.name && (within(root, theirs) || within(theirs, root)),
    );
    return other
      ? conflict(`${other.root === root ? "is" : within(root, other.root) ? "is inside" : "holds"} the root of ${other.context}`)
      : [];
  }

  /** Sites of a client but `site`. */
  count(client: string, site?: string): number {
    const sites = this.#sites.get(client);
    return (sites?.size ?? 0) - (site !== undefined && sites?.has(site) ? 1 : 0);
  }
}

function namesOf(site: Site): readonly { readonly text: string; readonly path: YamlPath }[] {
  return [{ text: site.uri, path: ["uri"] }, ...site.aliases.map((text, index) => ({ text, path: ["aliases", index] }))];
}

function rootOf(platform: Platform, layout: Layout): string {
  return resolve(layout.resolve(platform.root));
}

function within(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith("/") ? directory : `${directory}/`);
}

function ofReferences(context: Context, contexts: ReadonlyMap<string, Context>, settings: HubSettings): readonly Conflict[] {
  return referencesOf(context, settings).flatMap((reference) => {
    const found = contexts.get(reference.name);
    const what =
      wrong(reference, found, () =>
        [...contexts.values()].filter(({ context_type }) => context_type === reference.type).map(({ name }) => name),
      ) ?? (context.context_type === "server" && found?.context_type === "server" ? noMember(found) : undefined);
    return what ? [{ context: context.name, path: reference.path, what }] : [];
  });
}

/** Why a server cannot be one of a cluster. */
function noMember({ name, http_service_type: type }: Server): string | undefined {
  if (type === "nginx" || type === "apache") return undefined;
  return `${name} has http_service_type ${type}; a member of a cluster has nginx or apache`;
}

function wrong({ name, type }: Reference, found: Context | undefined, known: () => readonly string[]): string | undefined {
  if (found) return found.context_type === type ? undefined : `${name} is a ${found.context_type}; a ${type} is wanted here`;
  const names = known();
  const meant = meantContext(name, names);
  const shown = names.length > 5 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", ");
  return `there is no ${type} ${name}; ${meant ? `did you mean ${meant}?` : names.length > 0 ? `there is ${shown}` : `make it first: provision save ${name} --context_type=${type}`}`;
}

function ofItself(context: Context): readonly Conflict[] {
  return context.context_type === "client" && !context.name.startsWith("@client_")
    ? [
        {
          context: context.name,
          path: ["context_type"],
          what: `client is in ${context.name}, which no site can name; for example @client_${context.name.slice(1)}`,
        },
      ]
    : [];
}

/** Everything wrong between the contexts of a hub, for `doctor` and `status`. */
export function checkHub(contexts: readonly Context[], hub: Hub): readonly Conflict[] {
  const known = new Map(contexts.map((context) => [context.name, context]));
  const claims = new Claims(contexts, hub);
  return contexts.flatMap((context) => [
    ...ofItself(context),
    ...ofReferences(context, known, hub.settings),
    ...(context.context_type === "site" ? claims.names(context) : []),
    ...(context.context_type === "platform" ? claims.roots(context, hub.layout) : []),
    ...(context.context_type === "client" && context.max_sites !== undefined && claims.count(context.name) > context.max_sites
      ? [
          {
            context: context.name,
            path: ["max_sites"],
            what: `is ${context.max_sites}, but the client has ${claims.count(context.name)} sites`,
          },
        ]
      : []),
  ]);
}

/**
 * Everything that stands against a context among the others. `contexts`: all of the hub, with or without
 * this one as it was. `occasion`: a site that is saved again stays where it is; one that is installed is
 * held against platform locks and quotas as a new one is.
 */
export function checkContext(
  context: Context,
  contexts: readonly Context[],
  hub: Hub,
  occasion: "save" | "install" = "save",
): readonly Conflict[] {
  const known = new Map(contexts.map((other) => [other.name, other]));
  const before = occasion === "save" ? known.get(context.name) : undefined;
  known.set(context.name, context);
  const claims = new Claims(known.values(), hub);
  const conflicts = [...ofItself(context), ...ofReferences(context, known, hub.settings)];
  if (context.context_type === "platform") conflicts.push(...claims.roots(context, hub.layout));
  if (context.context_type === "site") {
    conflicts.push(...claims.names(context));
    const former = before?.context_type === "site" ? before : undefined;
    const platform = known.get(context.platform);
    if (platform?.context_type === "platform" && platform.locked && former?.platform !== context.platform)
      conflicts.push({
        context: context.name,
        path: ["platform"],
        what: `${context.platform} is locked and takes no new sites; provision unlock ${context.platform}`,
      });
    const client = known.get(clientOf(context, hub.settings));
    const moved = !former || clientOf(former, hub.settings) !== client?.name;
    if (
      client?.context_type === "client" &&
      client.max_sites !== undefined &&
      moved &&
      claims.count(client.name, context.name) >= client.max_sites
    )
      conflicts.push({
        context: context.name,
        path: ["client_name"],
        what: `${client.name} has ${claims.count(client.name, context.name)} of at most ${client.max_sites} sites (max_sites)`,
      });
  }
  return conflicts;
}

/**
 * The conflicts as one error. INVALID_REFERENCE with file:line:column; INVALID_VALUE when all are about
 * properties in `given`, which came from the command line.
 */
export async function refusal(
  conflicts: readonly Conflict[],
  store: ContextStore,
  given: ReadonlySet<string> = new Set(),
): Promise<ProvisionError> {
  const lines: string[] = [];
  for (const { context, path, what } of conflicts) {
    if (given.has(String(path[0]))) {
      lines.push(`--${path[0]}: ${what}`);
      continue;
    }
    const file = await store.file(context);
    const place = file ? file.position(path) : undefined;
    lines.push(place ? `${file?.path}:${place.line}:${place.column} ${nameOf(path)}: ${what}` : `${context} ${nameOf(path)}: ${what}`);
  }
  const code = conflicts.every(({ path }) => given.has(String(path[0]))) ? "INVALID_VALUE" : "INVALID_REFERENCE";
  const [first = ""] = lines;
  return lines.length === 1
    ? new ProvisionError(code, first)
    : new ProvisionError(code, `${conflicts[0]?.context} has ${lines.length} problems`, { why: lines });
}

/** A platform with what it refers to. */
export interface PlatformAndServers {
  readonly platform: Platform;
  /** Where the code runs: that of the web server when it is another machine. */
  readonly server: Server;
  /** Of a cluster: its first member. */
  readonly webServer: Server;
  /** Of a cluster, where all of it is asked for. */
  readonly cluster?: Cluster;
}

/** Several web servers that serve the same. */
export interface Cluster {
  /** Context name with its `@`. */
  readonly name: string;
  /** The members beside the first. */
  readonly others: readonly Server[];
}

/** What is wanted of a platform that a cluster of several serves: nothing (REFUSED), what its first member has, or all of it. */
export type OfCluster = "refused" | "first" | "all";

/** A site with everything it refers to, all of the right types. */
export interface SiteAndAll extends PlatformAndServers {
  readonly site: Site;
  readonly dbServer: Server;
  readonly client: Client;
}

/**
 * Reads a platform and its servers, and nothing else. Rejects with CONTEXT_NOT_FOUND, INVALID_REFERENCE, INVALID_FILE or CONFIGURATION; of a cluster
 * with REFUSED for whoever does not ask for it.
 */
export async function resolvePlatform(
  store: ContextStore,
  settings: HubSettings,
  name: string,
  ofCluster: OfCluster = "refused",
): Promise<PlatformAndServers> {
  const platform = await store.need(name, "platform");
  const found = await targets(store, settings, platform);
  const server = target(found, platform.server, "server");
  const webServer = target(found, platform.web_server, "server");
  if (webServer.http_service_type === "cluster") return resolveCluster(store, settings, platform, webServer, ofCluster);
  if (isThisMachine(webServer.remote_host) && isThisMachine(server.remote_host)) return { platform, server, webServer };
  if (!isThisMachine(server.remote_host) && server.name !== webServer.name)
    throw new ProvisionError("CONFIGURATION", `${name} has its code on ${server.name} and its web server on ${webServer.name}`, {
      why: ["code stands where it runs; it is built on the hub and brought there"],
      next: [`provision save ${name} --server=${webServer.name}`],
    });
  // As in Aegir `server` may name the hub: the code is built there, and runs where the web server is.
  return { platform, server: webServer, webServer };
}

/** The members of a cluster, in their order. Rejects with INVALID_REFERENCE. */
export async function resolveMembers(store: ContextStore, settings: HubSettings, cluster: Server): Promise<readonly [Server, ...Server[]]> {
  const found = await targets(store, settings, cluster);
  const wrong = ofReferences(cluster, found, settings);
  if (wrong.length > 0) throw await refusal(wrong, store);
  // The schema wants one at least.
  return (cluster.cluster_web_servers ?? []).map((name) => target(found, name, "server")) as unknown as [Server, ...Server[]];
}

async function resolveCluster(
  store: ContextStore,
  settings: HubSettings,
  platform: Platform,
  cluster: Server,
  ofCluster: OfCluster,
): Promise<PlatformAndServers> {
  // With one member it is what that is.
  if (ofCluster === "refused" && (cluster.cluster_web_servers ?? []).length > 1)
    throw new ProvisionError(
      "REFUSED",
      `${platform.name} is served by the cluster ${cluster.name}, where this is not done in this version`,
      {
        state: "nothing was changed",
        next: [`provision show ${cluster.name}`, "what is done on clusters, and what to do instead, is in the README's part on them"],
      },
    );
  const [first, ...others] = await resolveMembers(store, settings, cluster);
  const all = { platform, server: first, webServer: first };
  return ofCluster !== "all" ? all : { ...all, cluster: { name: cluster.name, others } };
}

/** Reads a site and all it refers to, and nothing else: five files, however many the hub has. Errors as resolvePlatform. */
export async function resolveSite(
  store: ContextStore,
  settings: HubSettings,
  name: string,
  ofCluster: OfCluster = "refused",
): Promise<SiteAndAll> {
  const site = await store.need(name, "site");
  const found = await targets(store, settings, site);
  return {
    site,
    ...(await resolvePlatform(store, settings, site.platform, ofCluster)),
    dbServer: target(found, site.db_server, "server"),
    client: target(found, clientOf(site, settings), "client"),
  };
}

async function targets(store: ContextStore, settings: HubSettings, context: Context): Promise<ReadonlyMap<string, Context>> {
  const references = referencesOf(context, settings);
  const found = new Map<string, Context>();
  for (const { name } of references) {
    const target = found.get(name) ?? (await store.read(name));
    if (target) found.set(name, target);
  }
  const complete = references.every(({ name, type }) => found.get(name)?.context_type === type);
  if (complete) return found;
  // Only now that something is wrong, the others are worth reading: for their names.
  for (const other of (await store.load()).contexts) found.set(other.name, other);
  throw await refusal(ofReferences(context, found, settings), store);
}

function target<T extends ContextType>(found: ReadonlyMap<string, Context>, name: string, type: T): ContextOf<T> {
  const context = found.get(name);
  if (context?.context_type !== type) throw new Error(`${name} was checked to be a ${type}`);
  return context as ContextOf<T>;
}
