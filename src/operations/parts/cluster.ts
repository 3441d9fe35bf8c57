import { join } from "node:path";
import type { PlatformAndServers, SiteAndAll } from "../../context/references.js";
import type { Server } from "../../context/schema.js";
import { messageOf, ProvisionError } from "../../core/errors.js";
import type { Json } from "../../core/json.js";
import type { Run, Step } from "../../core/step.js";
import { syncTree, type TreeChanges } from "../../host/sync-tree.js";
import type { ConfigFile } from "../../services/http/service.js";
import { activateTogether } from "../../services/http/together.js";
import { file } from "../../steps/files.js";
import type { Services } from "../services.js";
import { isSameMachine } from "./database-way.js";
import { realPlace } from "./in-place.js";
import type { SiteInputs } from "./site.js";

/*
 * A cluster: what a platform or site is on its first member it is on the others, each a place of its own. An operation is told of the first, and goes
 * to the others with those of its parts that make something on a web server.
 */

/** A platform with its servers as each member of the cluster has it, the first before the others. */
export function membersOf<T extends PlatformAndServers>(all: T): readonly T[] {
  const { cluster, ...first } = all;
  return [all, ...(cluster?.others ?? []).map((server) => ({ ...first, server, webServer: server }) as unknown as T)];
}

/** A part of an operation on every member. `part` is asked once for each; on the others its steps have the member's name in id and title. */
export function onEach<T extends { readonly webServer: Server; readonly others?: readonly T[] }>(
  inputs: T,
  part: (place: T) => readonly Step[],
): readonly Step[] {
  return [...part(inputs), ...(inputs.others ?? []).flatMap((place) => onMember(place.webServer, part(place)))];
}

/** A site and what it is on the other members. */
export function placesOf<T extends { readonly others?: readonly T[] }>(inputs: T): readonly T[] {
  return [inputs, ...(inputs.others ?? [])];
}

/** Steps that a cluster has one of. */
const ONCE = /^(?:database|http\/activate)/;

/** Steps that are one operation's twice, once for each machine. They find each other's results, and know the results of all others. */
export function onMember({ name }: Pick<Server, "name">, steps: readonly Step[]): readonly Step[] {
  const own = new Set(steps.map(({ id }) => id));
  const idOf = (id: string) => `${name.slice(1)}/${id}`;
  const before = (file: string) => `${name.slice(1)}-${file}`;
  const seen = (run: Run): Run => {
    const found = <Out extends Json>(of: Step<Out>): Step<Out> => (own.has(of.id) ? { ...of, id: idOf(of.id) } : of);
    return { ...run, out: (of) => run.out(found(of)), need: (of) => run.need(found(of)) };
  };
  return steps.map((step) => ({
    ...step,
    id: idOf(step.id),
    title: `${name}: ${step.title}`,
    // What is done once for all is undone by its own step.
    ...(step.undoneBy === undefined || ONCE.test(step.undoneBy) ? {} : { undoneBy: idOf(step.undoneBy) }),
    ...(step.alongside === undefined ? {} : { alongside: idOf(step.alongside) }),
    async check(run) {
      const decision = await step.check(seen(run));
      return {
        ...decision,
        ...(decision.undo
          ? { undo: decision.undo.map((undo) => (typeof undo["before"] === "string" ? { ...undo, before: before(undo["before"]) } : undo)) }
          : {}),
        ...(decision.before ? { before: decision.before.map((kept) => ({ ...kept, name: before(kept.name) })) } : {}),
      };
    },
    apply: (run) => step.apply(seen(run)),
  }));
}

/** The web servers of a site take their files together; one that fails: none. Of one server that server's own activation. */
export function activateOnAll(
  inputs: SiteInputs,
  use: Services,
  id: string,
  title: string,
  files: (place: SiteInputs) => readonly ConfigFile[],
): Step {
  const { others = [] } = inputs;
  if (others.length === 0) return use.http(inputs.webServer).activate(id, title, files(inputs));
  return activateTogether(
    id,
    title,
    [inputs, ...others].map((place) => ({ server: place.webServer.name, exchange: exchangeOf(place.webServer, use, files(place)) })),
  );
}

/** Rejects with CONFIGURATION for a server that cannot be one of several. */
export function exchangeOf(server: Server, use: Services, files: readonly ConfigFile[]) {
  const exchange = use.http(server).exchange?.(files);
  if (exchange) return exchange;
  throw new ProvisionError("CONFIGURATION", `${server.name} (http_service_type: ${server.http_service_type}) cannot be one of a cluster`);
}

/** Every member answers, or nothing is begun. Rejects with HOST_UNAVAILABLE, naming all that do not. */
export async function refuseDown({ server, cluster }: PlatformAndServers, use: Services): Promise<void> {
  if (cluster === undefined) return;
  const down: { readonly name: string; readonly error: unknown }[] = [];
  for (const { name, ...member } of [server, ...cluster.others])
    await use
      .host({ name, ...member })
      .stat("/")
      .catch((error: unknown) => {
        if (!(error instanceof ProvisionError)) throw error;
        down.push({ name, error });
      });
  const [first] = down;
  if (first === undefined) return;
  const names = down.map(({ name }) => name).join(", ");
  throw new ProvisionError("HOST_UNAVAILABLE", `${names} of the cluster ${cluster.name} ${down.length === 1 ? "is" : "are"} not reached`, {
    why: down.map(({ name, error }) => `${name}: ${messageOf(error)}`),
    state: "nothing was changed on any member",
    next: [
      ...down.map(({ name }) => `provision verify ${name}`),
      `provision save ${cluster.name} --cluster_web_servers=…    # without it, when it does not come back`,
    ],
    cause: first.error,
  });
}

/** The web servers of all members can take a change, or none is begun. Rejects with SERVICE_UNAVAILABLE, naming all that cannot. */
export async function refuseUnwell(inputs: SiteInputs, use: Services): Promise<void> {
  const { cluster, others = [] } = inputs;
  if (others.length === 0) return;
  const why: string[] = [];
  for (const { webServer } of [inputs, ...others])
    for (const { message, blocks } of await use.http(webServer).problems()) if (blocks) why.push(`${webServer.name}: ${message}`);
  if (why.length > 0)
    throw new ProvisionError("SERVICE_UNAVAILABLE", `not all web servers of ${cluster?.name} are well`, {
      why,
      state: "nothing was changed on any member",
    });
}

/** What a cluster cannot be told to do in this version. Rejects with CONFIGURATION. */
export function refuseUnfitForCluster({ site, webServer, dbServer, cluster }: SiteAndAll): void {
  if (cluster === undefined || cluster.others.length === 0) return;
  if (dbServer.db_service_type === "sqlite" && cluster.others.some((other) => !isSameMachine(webServer, other)))
    throw new ProvisionError("CONFIGURATION", `SQLite of ${dbServer.name} is a file on one machine, and ${cluster.name} has several`, {
      why: ["all members write to one database, and only a database server lets them"],
      state: "nothing was changed",
      next: [`provision save ${site.name} --db_server=@…    # one with mysql or pgsql that all members reach`],
    });
  const issuer = site.ssl === "off" || site.ssl_certificate !== undefined ? undefined : (site.ssl_issuer ?? webServer.ssl_issuer);
  if (issuer === "acme")
    throw new ProvisionError("REFUSED", `certificates of an authority are not ordered for a cluster (${cluster.name}) in this version`, {
      why: ["the authority would ask any of its members"],
      state: "nothing was changed",
      next: [
        `provision save ${site.name} --ssl_certificate=… --ssl_certificate_key=…    # files at the same place on every member`,
        `provision save ${site.name} --ssl_issuer=self-signed    # where a load balancer has the real one`,
      ],
    });
}

const COPY_TIMEOUT = 3_600_000;
/** In the files of the first member, and never copied: whoever sees it there has the same files. */
const MARKER = ".provision-first";

/** Files that say on whose disk they are; a cluster's only. */
export function filesMarker(inputs: SiteInputs, use: Services): readonly Step[] {
  const { others = [], server, paths, generation, gid } = inputs;
  if (others.length === 0) return [];
  const path = join(realPlace(inputs, paths.files), MARKER);
  return [
    file(
      use.host(server),
      path,
      async () => markerText(server, generation),
      { mode: 0o660, ...(gid === undefined ? {} : { gid }) },
      { id: "site/files-marker", title: "Whose files these are" },
    ),
  ];
}

function markerText({ name }: Server, generation: string): string {
  return `${name} ${generation}\n`;
}

/** All members see one directory: a shared mount. */
export async function isShared(first: SiteInputs, place: SiteInputs, use: Services): Promise<boolean> {
  const text = await use.host(place.server).readFile(join(realPlace(place, place.paths.files), MARKER));
  return text === markerText(first.server, first.generation);
}

/** What is each machine's own, or is made anew there. */
const NOT_COPIED = [
  "/gate",
  "/gate.closed",
  "/tmp",
  "/db",
  "/account.settings.php",
  "/settings.before.php",
  `/files/${MARKER}`,
  "/files/php",
];

/**
 * The files of the site, and code of its own, as the first member has them, on the others: nothing is taken away there, and what is newer there
 * stays. What only another member has is told, for nobody else has it. Files on a shared mount are left alone. `undoneBy`: step that made the
 * directories of a member, whose undo takes them away.
 */
export function spreadFiles(inputs: SiteInputs, use: Services): readonly Step[] {
  return (inputs.others ?? []).flatMap((place) =>
    onMember(place.webServer, [
      {
        id: "site/copied",
        title: `Files of ${inputs.server.name}`,
        undoneBy: "site/directories",
        async check(run) {
          const changes: string[] = [];
          const shared = await isShared(inputs, place, use);
          for (const tree of treesOf(inputs, place, shared)) {
            const { created, updated, sample } = await copied(inputs, place, use, tree, true);
            const count = created + updated;
            if (count > 0) changes.push(`copy ${count} to ${tree.to} (${sample.slice(0, 3).join(", ")}${count > 3 ? ", …" : ""})`);
          }
          if (!shared) await tellAlone(inputs, place, use, run);
          return { changes };
        },
        async apply() {
          for (const tree of treesOf(inputs, place, await isShared(inputs, place, use))) await copied(inputs, place, use, tree, false);
          return null;
        },
      },
    ]),
  );
}

interface Tree {
  readonly from: string;
  readonly to: string;
  readonly exclude: readonly string[];
}

function treesOf(first: SiteInputs, place: SiteInputs, shared: boolean): readonly Tree[] {
  return [
    { from: first.paths.root, to: place.paths.root, exclude: [...NOT_COPIED, ...(shared ? ["/files"] : [])] },
    { from: first.siteDirectory, to: place.siteDirectory, exclude: ["/settings.php", "/files", "/private"] },
  ];
}

/** Where nothing is yet, all of it would be copied. */
async function copied(
  first: SiteInputs,
  place: SiteInputs,
  use: Services,
  { from, to, exclude }: Tree,
  dryRun: boolean,
): Promise<TreeChanges> {
  const [source, target] = [use.host(first.server), use.host(place.server)];
  const none = { created: 0, updated: 0, deleted: 0, sample: [] };
  if ((await source.stat(from)) === undefined) return none;
  if (dryRun && (await target.stat(to)) === undefined) return { ...none, created: 1, sample: ["create all"] };
  return syncTree(source, from, target, to, { keep: "newer", plain: true, live: true, exclude, dryRun, timeout: COPY_TIMEOUT });
}

/** Files that one member has and the first has not, in words; undefined for none. What a core makes anew of itself does not count. */
async function alone(first: SiteInputs, place: SiteInputs, use: Services): Promise<string | undefined> {
  const [source, target] = [use.host(place.server), use.host(first.server)];
  const found: string[] = [];
  let count = 0;
  for (const tree of ["files", "private"]) {
    const [from, to] = [join(place.paths.root, tree), join(first.paths.root, tree)];
    if ((await source.stat(from)) === undefined || (await target.stat(to)) === undefined) continue;
    const exclude = ["/css", "/js", "/php", "/styles", `/${MARKER}`];
    const { created, sample } = await syncTree(source, from, target, to, {
      ...{ keep: "existing", plain: true, live: true, exclude, dryRun: true, timeout: COPY_TIMEOUT },
    });
    count += created;
    found.push(...sample.map((line) => `${tree}/${line.replace(/^create /, "")}`));
  }
  if (count === 0) return undefined;
  return `${count === 1 ? "one file is" : `${count} files are`} on ${place.server.name} alone, and in no backup (${found.slice(0, 3).join(", ")}${count > 3 ? ", …" : ""})`;
}

async function tellAlone(first: SiteInputs, place: SiteInputs, use: Services, run: Run): Promise<void> {
  const told = await alone(first, place, use);
  if (told !== undefined)
    run.warn(`${told}: copy them to ${first.server.name}:${first.paths.root}, or put files on storage that all members share`);
}

/** A backup holds what the first member has: nothing is taken away of which it would be no copy. Rejects with REFUSED. */
export async function refuseAlone(inputs: SiteInputs, use: Services): Promise<void> {
  const told: string[] = [];
  for (const place of inputs.others ?? []) {
    if (await isShared(inputs, place, use)) continue;
    const one = await alone(inputs, place, use);
    if (one !== undefined) told.push(one);
  }
  if (told.length === 0) return;
  throw new ProvisionError("REFUSED", `the backup of ${inputs.site.name} would not hold all of its files`, {
    why: told,
    state: "nothing was changed",
    next: [
      `copy them to ${inputs.server.name}:${inputs.paths.root}`,
      `provision delete ${inputs.site.name} --no-backup --yes    # without them`,
    ],
  });
}
