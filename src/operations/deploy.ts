import { type Changes, rewrite, type Value } from "../context/edit.js";
import { uriProblem } from "../context/names.js";
import { clientOf, type OfCluster, resolvePlatform, type SiteAndAll } from "../context/references.js";
import type { Site } from "../context/schema.js";
import { contextOf } from "../context/validate.js";
import { parseYaml } from "../context/yaml-file.js";
import { ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import type { Lock, Operation, Step } from "../core/step.js";
import { detectCore } from "../engines/index.js";
import { loadStep } from "../services/db/transfer.js";
import { file, gone } from "../steps/files.js";
import { type Baseline, differences } from "./parts/baseline.js";
import { certificateSteps, refuseUnprovable } from "./parts/certificate.js";
import { onEach, placesOf, refuseDown } from "./parts/cluster.js";
import { codeMoved, type Pair, paths, refuseCore, updates } from "./parts/code-moved.js";
import { contextFile } from "./parts/contexts.js";
import { answers, ownDirectories, reloaded, siteTree, spreadGeneration } from "./parts/generation.js";
import { siteLocks } from "./parts/locks.js";
import { type Origin, originOf } from "./parts/origin.js";
import { poolSteps, refusePool } from "./parts/pool.js";
import { refuseConflicts, refuseForeignDatabase, refuseLocked, refuseTaken, refuseUnwell, siteState } from "./parts/preflight.js";
import {
  accountForCommands,
  accountForRequests,
  basicAuthSteps,
  clientLink,
  databaseOf,
  databaseProperties,
  filesLink,
  gateFile,
  groupOfAll,
  hashSalt,
  modesAgain,
  publish,
  publishCertificate,
  type SiteInputs,
  settingsFile,
  siteBaseline,
  siteCode,
  siteDirectories,
  siteEntries,
  siteInputs,
} from "./parts/site.js";
import {
  allExtensions,
  dumpOf,
  filesStep,
  heldOn,
  ownCodeStep,
  pairsOf,
  refuseUnfit,
  stagingOf,
  type Unpacking,
  unpackStep,
} from "./parts/unpack.js";
import { refuseOtherUser, type Services } from "./services.js";

export interface DeployArgs {
  /** Context of the new site, with its `@`: a new one, or one that is saved and not installed. */
  readonly name: string;
  /** A backup, its export, a tarball of Aegir, a dump. */
  readonly source: string;
  readonly platform?: string | undefined;
  readonly dbServer?: string | undefined;
  /** With a dump: directory of the site's files. */
  readonly files?: string | undefined;
  /** What the site was called, where the source does not say it. */
  readonly oldUri?: string | undefined;
  /** Of a site that is not saved; default: its name. */
  readonly uri?: string | undefined;
  /** The command line to be typed again, where it is not deploy's. */
  readonly again?: string | undefined;
}

export interface DeployInputs extends Unpacking {
  readonly pairs: readonly Pair[];
  readonly formerProfile: string;
  /** Text of a context that is ours to make; null: it is saved already. */
  readonly claimed: string | null;
  readonly baseline: Baseline;
}

/** What a new site takes over of the context that its backup was made of; names only when it has the same uri. */
const TAKEN_OVER = ["client_name", "language", "site_name", "site_mail", "php_paths", "write_paths", "http_headers"] as const;
const WITH_THE_NAME = ["aliases", "redirection"] as const;

/** A new site out of a backup from anywhere: credentials and salt of its own, paths under its name, updates when the code is newer. */
export const deploy: Operation<DeployArgs, DeployInputs, Services> = {
  name: "deploy",
  recovery: "ask",

  async prepare(args, use, id) {
    return prepareDeploy(args, await originOf(use, args.source, { files: args.files, uri: args.oldUri }), use, id);
  },

  async preflight(inputs, use) {
    for (const at of inputs.others ?? []) await refuseUnwell(at, use);
    await refuseUnfit(inputs, use);
  },
  steps: (inputs, use) => deploySteps(inputs, use),
  confirm: ({ baseline }, use) => differences(use, baseline),
  state: (inputs, use) => siteState(inputs, use),
  data: (inputs, _run, use) => deployData(inputs, use),
  lines: (data) => deployLines(data),
};

/** Everything that is decided of a site that is made out of `origin`, which need not be here yet. `taken`: keys of its context that the new one keeps. */
export async function prepareDeploy(
  args: DeployArgs,
  origin: Origin,
  use: Services,
  id: string,
  taken: readonly string[] = keysTaken(args.name, origin),
): Promise<{ readonly inputs: DeployInputs; readonly locks: readonly Lock[] }> {
  const { name } = args;
  const saved = await savedSite(name, use);
  const text = saved ? null : await newContext(args, origin, taken, use);
  const path = use.layout.contextFile(name);
  const site = (saved ?? contextOf(parseYaml(path, text ?? ""), name)) as Site;
  const all = await allOf(
    { ...site, ...(await placeOf(args, saved, site, origin, use)), generation: id },
    use,
    args.again === undefined ? "all" : "refused",
  );
  refuseOtherUser(all.server);
  await refuseDown(all, use);
  refuseLocked(all.platform);
  await refuseConflicts(use, all.site);
  const host = use.host(all.server);
  const root = use.rootOf(all);
  if (!(await host.stat(root)))
    throw new ProvisionError("FILE_NOT_FOUND", `the root of ${all.platform.name} does not exist: ${root}`, {
      next: [`provision verify ${all.platform.name}`],
    });
  const core = await detectCore(host, root);
  refuseForeignDatabase(use.engine(core.engine), all);
  refuseOtherDatabase(args, origin, all, use);
  const formerProfile = origin.profile ?? all.site.profile;
  const running = {
    site: { name: origin.word, profile: formerProfile },
    core: "engine" in origin ? { engine: origin.engine, version: origin.core } : core,
  };
  const profile = await refuseCore(running, { core, name: all.platform.name, host }, use);
  const inputs = await siteInputs(use, { ...all, site: { ...all.site, profile } }, core, id);
  refuseUnprovable(inputs);
  for (const at of placesOf<SiteInputs>(inputs)) {
    await refusePool(at, use);
    await refuseTaken(use.host(at.server), at.siteDirectory);
  }
  return {
    inputs: {
      ...inputs,
      origin,
      pairs: pairsOf(origin, inputs, use),
      formerProfile,
      claimed:
        text === null
          ? null
          : rewrite(
              text,
              "site",
              new Map([
                ["platform", all.site.platform],
                ["db_server", all.site.db_server],
              ]),
              path,
            ),
      baseline: await siteBaseline(inputs, use),
    },
    locks: siteLocks(all),
  };
}

/** All of it, once the source is here. `more`: what its context says beside. */
export function deploySteps(inputs: DeployInputs, use: Services, more: readonly (readonly [string, Value])[] = []): readonly Step[] {
  const { site, origin, core, pairs, formerProfile, dbServer, generation, claimed } = inputs;
  const host = use.host(inputs.server);
  const engine = use.engine(core.engine);
  const code = siteCode(inputs, use);
  const db = use.db(dbServer);
  const database = databaseOf(inputs, use, dbServer);
  const access = (at: SiteInputs) => () => db.access(databaseOf(at, use, at.dbServer));
  const each = (part: (at: SiteInputs) => readonly Step[]) => onEach<SiteInputs>(inputs, part);
  const salt = hashSalt(inputs, use);
  const staging = stagingOf(inputs);
  return [
    // The name is ours from now on: nobody else can save it.
    ...(claimed === null ? [] : [claim(site.name, claimed, use)]),
    ...each((at) => [...poolSteps(at, use), ownDirectories(at, use), gateFile(at, use)]),
    ...db.create(database),
    ...each((at) => [siteTree(at, use)]),
    ...(origin.kind === "export" || origin.kind === "aegir" ? [unpackStep(inputs, use)] : []),
    ownCodeStep(inputs, use),
    salt,
    ...each((at) => [
      settingsFile(at, use, access(at), salt),
      ...accountForCommands(at, use, access(at)),
      filesLink(at, use),
      siteEntries(at, use),
    ]),
    loadStep(use.host(dbServer), db, database, dumpOf(inputs), origin.own ? undefined : "foreign", heldOn(inputs, use)),
    filesStep(inputs, use),
    { ...siteDirectories(inputs, use, "site/code-modes"), title: "Modes of the site's own code", undoneBy: "site/directories" },
    modesAgain(inputs, use),
    ...codeMoved(engine, code, use, { from: formerProfile, to: site.profile }),
    allExtensions(inputs, use),
    updates(engine, code),
    ...paths(engine, code, pairs),
    ...spreadGeneration(inputs, use),
    ...each((at) => accountForRequests(at, use, access(at))),
    groupOfAll(inputs, use, { undoneBy: "site/directories" }),
    ...each((at) => [clientLink(at, use), ...basicAuthSteps(at, use, at === inputs)]),
    publish(inputs, use, site.site_enabled),
    ...each((at) => [
      ...(at.webServer.http_service_type === "php" ? [] : [reloaded(at, use)]),
      ...(site.site_enabled ? [answers(at, use)] : []),
    ]),
    ...certificateSteps(inputs, use, true, (version) => publishCertificate(inputs, use, version)),
    contextFile(
      use,
      site.name,
      "site",
      new Map<string, Value>([
        ["generation", generation],
        ["platform", site.platform],
        ["db_server", site.db_server],
        ["profile", site.profile],
        ...databaseProperties(database),
        ...more,
      ]),
      { id: "context", title: `Save ${site.name}`, phase: "finish" },
      claimed ?? undefined,
    ),
    gone(host, [staging], { id: "source/remove", title: "Remove what was unpacked", phase: "cleanup" }),
  ];
}

export async function deployData(inputs: DeployInputs, use: Services): Promise<{ readonly [key: string]: Json }> {
  const login = (await use.engine(inputs.core.engine).login(siteCode(inputs, use), 1)).result.url;
  return {
    url: use.http(inputs.webServer).url(inputs.site.uri, inputs.site.ssl !== "off"),
    login,
    platform: inputs.site.platform,
    from: inputs.origin.word,
  };
}

export function deployLines({ url, login }: { readonly [key: string]: Json }): readonly string[] {
  return [`URL    ${String(url)}/`, `Login  ${String(login)}`];
}

async function savedSite(name: string, use: Services): Promise<Site | undefined> {
  const saved = await use.store.read(name);
  if (saved === undefined) return undefined;
  if (saved.context_type === "site" && saved.generation === undefined) return saved;
  const what = saved.context_type === "site" ? "an installed site" : `a ${saved.context_type}`;
  throw new ProvisionError("NAME_TAKEN", `${name} is ${what} already`, {
    state: "nothing was changed",
    next:
      saved.context_type === "site"
        ? [`provision restore ${name} BACKUP    # into this site`, "choose another name"]
        : ["choose another name"],
  });
}

function keysTaken(name: string, origin: Origin): readonly string[] {
  const was = "context" in origin ? origin.context["uri"] : undefined;
  return [...TAKEN_OVER, ...(was === name.slice(1) ? WITH_THE_NAME : [])];
}

/** Text of a context for a site that has none yet. */
async function newContext(
  { name, uri = name.slice(1) }: DeployArgs,
  origin: Origin,
  keys: readonly string[],
  use: Services,
): Promise<string> {
  const problem = uriProblem(uri);
  if (problem !== undefined)
    throw new ProvisionError("INVALID_VALUE", `${name} is not saved, so that its name would be its uri, which ${problem}`, {
      next: [`provision save ${name} --context_type=site --uri=… --platform=…`],
    });
  const was = "context" in origin ? origin.context : {};
  const changes: Changes = new Map<string, Value>([
    ["uri", uri],
    // Said again when it is known for sure.
    ["platform", "@platform_unknown"],
    ...(origin.profile === null ? [] : [["profile", origin.profile] as const]),
    ...keys.flatMap((key) => (was[key] === undefined ? [] : [[key, was[key] as Value] as const])),
  ]);
  const client = was["client_name"];
  const known = typeof client === "string" && (await use.store.read(`@client_${client}`)) !== undefined;
  const path = use.layout.contextFile(name);
  return rewrite(undefined, "site", known ? changes : new Map([...changes].filter(([key]) => key !== "client_name")), path);
}

/** Platform and database server: as asked, as saved, as they were, or the hub's own. */
async function placeOf(
  args: DeployArgs,
  saved: Site | undefined,
  site: Site,
  origin: Origin,
  use: Services,
): Promise<Pick<Site, "platform" | "db_server">> {
  const was = "context" in origin ? origin.context["db_server"] : undefined;
  const platform = args.platform ?? saved?.platform ?? ("platform" in origin ? (origin.platform ?? undefined) : undefined);
  const names = await use.store.names();
  if (platform === undefined || (args.platform === undefined && saved === undefined && !names.includes(platform)))
    throw new ProvisionError(
      "CONTEXT_NOT_FOUND",
      platform === undefined
        ? `${args.source} does not say which platform its site was on`
        : `the platform of ${args.source}, ${platform}, is not in this hub`,
      { state: "nothing was changed", next: [`provision deploy ${args.name} ${args.source} @platform_…`, "provision list platforms"] },
    );
  const usable = typeof was === "string" && names.includes(was) && (await use.store.need(was)).context_type === "server";
  return { platform, db_server: args.dbServer ?? saved?.db_server ?? (usable ? (was as string) : site.db_server) };
}

async function allOf(site: Site, use: Services, ofCluster: OfCluster): Promise<SiteAndAll> {
  const { db_name: _name, db_user: _user, ...rest } = site;
  return {
    site: rest as Site,
    ...(await resolvePlatform(use.store, use.settings, site.platform, ofCluster)),
    dbServer: await use.store.need(site.db_server, "server"),
    client: await use.store.need(clientOf(site, use.settings), "client"),
  };
}

function refuseOtherDatabase({ again }: DeployArgs, origin: Origin, { dbServer, site }: SiteAndAll, use: Services): void {
  const { type } = use.db(dbServer);
  if (type === origin.database) return;
  throw new ProvisionError("REFUSED", `${origin.word} has a database of ${origin.database}, and ${dbServer.name} has ${type}`, {
    why: ["a dump of one kind of database cannot be loaded by another"],
    state: "nothing was changed",
    next: [`${again ?? `provision deploy ${site.name} ${origin.word}`} --db-server=@server_…`, "provision list servers"],
  });
}

/** The site's own context, without a generation as long as it is being made. */
function claim(name: string, text: string, use: Services): Step {
  return file(
    use.local,
    use.layout.contextFile(name),
    async () => text,
    { mode: 0o644 },
    { id: "context/claim", title: `Context ${name}` },
  );
}
