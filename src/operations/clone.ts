import { type Changes, rewrite, type Value } from "../context/edit.js";
import { resolveSite } from "../context/references.js";
import type { Site } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Operation, Step } from "../core/step.js";
import { meanwhile, together } from "../core/together.js";
import type { SanitizeRules } from "../engines/engine.js";
import { detectCore } from "../engines/index.js";
import { file } from "../steps/files.js";
import { locksOf, newUri, takenBack } from "./migrate.js";
import { type Baseline, differences } from "./parts/baseline.js";
import { onEach, placesOf, refuseDown } from "./parts/cluster.js";
import { codeStays, type Pair, pathPairs, refuseCore, renamed, told, updates } from "./parts/code-moved.js";
import { comparison, refuseIncompatible, warningsOf } from "./parts/compatible.js";
import { copyDatabase, copyFiles, filesUpToDate, sizesOf } from "./parts/copy.js";
import { forecastOf } from "./parts/forecast.js";
import { answers, arrived, ownCode, ownDirectories, reloaded, resolveAs, siteTree, spreadGeneration } from "./parts/generation.js";
import { poolSteps, refusePool } from "./parts/pool.js";
import {
  generationOf,
  refuseConflicts,
  refuseForeignDatabase,
  refuseFullDisk,
  refuseLocked,
  refuseTaken,
  refuseUnwell,
  siteState,
} from "./parts/preflight.js";
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
  type SiteInputs,
  settingsFile,
  siteBaseline,
  siteCode,
  siteEntries,
  siteInputs,
} from "./parts/site.js";
import { refuseOtherUser, type Services } from "./services.js";

export interface CloneArgs {
  readonly name: string;
  /** Context of the copy, with its `@`: a new one, or one that is saved and not installed. */
  readonly newName: string;
  readonly platform?: string;
  readonly dbServer?: string;
  readonly sanitize?: SanitizeRules;
  readonly quarantine?: boolean;
}

interface Inputs {
  readonly from: SiteInputs;
  readonly to: SiteInputs;
  readonly site: Site;
  readonly webServer: SiteInputs["webServer"];
  readonly sizes: { readonly files: number; readonly database: number };
  readonly pairs: readonly Pair[];
  readonly stays: boolean;
  readonly sanitize: SanitizeRules | null;
  /** The context is ours to make. */
  readonly made: boolean;
  readonly baseline: Baseline;
}

const SLACK = 32 * 1024 * 1024;

/** A copy of a site under another name, with salt, keys and credentials of its own; the site itself is only read. */
export const clone: Operation<CloneArgs, Inputs, Services> = {
  name: "clone",
  recovery: "ask",

  async prepare(args, use, id) {
    const { name, newName } = args;
    const all = await resolveSite(use.store, use.settings, name, "all");
    refuseOtherUser(all.server);
    await refuseDown(all, use);
    const generation = generationOf(all.site);
    if (newName === name)
      throw new ProvisionError("USAGE", "a copy needs another name", {
        next: [`provision clone ${name} @copy.${all.site.uri.replace("/", ".")}`],
      });
    const uri = await newUri(newName, use);
    const saved = (await use.store.read(newName)) as Site | undefined;
    // Of a cluster it is what the first member has.
    const { cluster: _cluster, ...first } = all;
    const from = await siteInputs(use, first, await detectCore(use.host(all.server), use.rootOf(all)), generation);
    const measured = meanwhile(sizesOf(from, use));
    const platform = args.platform ?? saved?.platform ?? all.site.platform;
    const base = saved ?? withoutNames(all.site);
    const properties = {
      ...base,
      name: newName,
      uri,
      platform,
      db_server: args.dbServer ?? saved?.db_server ?? all.site.db_server,
      profile: all.site.profile,
      language: all.site.language,
      generation: id,
      db_name: undefined,
      db_user: undefined,
      ...(args.quarantine === true ? { quarantine: true } : {}),
    } as Partial<Site>;
    const wanted = await resolveAs(use, all, properties, "all");
    await refuseDown(wanted, use);
    const core = await detectCore(use.host(wanted.server), use.rootOf(wanted));
    refuseLocked(wanted.platform);
    refuseForeignDatabase(use.engine(core.engine), wanted);
    const profile = await refuseCore(from, { core, name: platform, host: use.host(wanted.server) }, use);
    const client = await use.store.need(`@client_${wanted.site.client_name ?? use.settings.client}`, "client");
    const next = { ...(await resolveAs(use, wanted, { profile })), client };
    await refuseConflicts(use, next.site);
    if (use.db(all.dbServer).type !== use.db(next.dbServer).type)
      throw new ProvisionError(
        "REFUSED",
        `${next.dbServer.name} has ${use.db(next.dbServer).type}, and ${name} is in ${use.db(all.dbServer).type}`,
        {
          why: ["a dump of one kind of database cannot be loaded by another"],
          state: "nothing was changed",
        },
      );
    const to = await siteInputs(use, next, core, id);
    const sizes = await measured;
    for (const { server, siteDirectory } of placesOf(to)) {
      await refuseTaken(use.host(server), siteDirectory);
      await refuseFullDisk(
        use.host(server),
        use.layoutOf(server).sites,
        sizes.files + (use.db(to.dbServer).type === "sqlite" ? sizes.database : 0) + SLACK,
      );
    }
    return {
      inputs: {
        from,
        to,
        site: to.site,
        webServer: to.webServer,
        sizes,
        pairs: pathPairs(from, to, use),
        stays: await codeStays(from, to, use),
        sanitize: args.sanitize ?? null,
        made: saved === undefined,
        baseline: await siteBaseline(to, use),
      },
      locks: [...locksOf(all, { ...next, site: all.site }), { kind: "site", name: newName, mode: "exclusive" }],
    };
  },

  async preflight(inputs, use) {
    const { from, to } = inputs;
    const db = use.db(to.dbServer);
    db.beforehand?.(databaseOf(to, use, to.dbServer));
    await together(
      ...placesOf(to).flatMap((at) => [refuseUnwell(at, use), refusePool(at, use)]),
      db.reach(),
      use.db(from.dbServer).reach(),
      refuseIncompatible(inputs, from, to, use),
    );
  },

  steps(inputs, use) {
    const { from, to, sizes, pairs, stays, sanitize, made } = inputs;
    const { name } = to.site;
    const engine = use.engine(to.core.engine);
    const code = siteCode(to, use);
    const db = use.db(to.dbServer);
    const database = databaseOf(to, use, to.dbServer);
    const access = (at: SiteInputs) => () => db.access(databaseOf(at, use, at.dbServer));
    const each = (part: (at: SiteInputs) => readonly Step[]) => onEach<SiteInputs>(to, part);
    const salt = hashSalt(to, use);
    const copy = copyDatabase(from, to, use, sizes.database);
    const otherCode = from.core.docroot !== to.core.docroot;
    const installed: Changes = new Map<string, Value>([
      ["generation", to.generation],
      ["platform", to.site.platform],
      ...(to.site.db_server === from.site.db_server && made ? [] : [["db_server", to.site.db_server] as const]),
      ...(to.site.profile === from.site.profile && made ? [] : [["profile", to.site.profile] as const]),
      ...(to.site.quarantine ? [["quarantine", true] as const] : []),
      ...databaseProperties(database),
    ]);
    return [
      comparison(inputs, to),
      // The name is ours from now on: nobody else can save it.
      ...(made ? [claim(from, to, use)] : []),
      ...each((at) => [...poolSteps(at, use), ownDirectories(at, use), gateFile(at, use)]),
      ...db.create(database),
      ...each((at) => [siteTree(at, use)]),
      salt,
      ...each((at) => [
        ...accountForCommands(at, use, access(at)),
        settingsFile(at, use, access(at), salt),
        filesLink(at, use),
        siteEntries(at, use),
      ]),
      // As in a backup: the database as it is at one moment, then the files, of which it may name none that came later: those that did are brought over
      // when the database is there, and the others meanwhile.
      ...[
        copy,
        { ...copyFiles(from, to, use, sizes.files), alongside: copy.id },
        { ...ownCode(from, to, use), alongside: copy.id },
        filesUpToDate(from, to, use),
        modesAgain(to, use),
        ...renamed(engine, code, use, {
          stays,
          profile: { from: from.site.profile, to: to.site.profile },
          pairs,
          between: otherCode ? [updates(engine, code)] : [],
          newKeys: true,
        }),
        ...(sanitize === null ? [] : [sanitized(to, sanitize, use)]),
      ].map((step: Step) => takenBack(step)),
      ...spreadGeneration(to, use),
      ...each((at) => [clientLink(at, use), ...basicAuthSteps(at, use, at === to), ...accountForRequests(at, use, access(at))]),
      ...arrived(from, to, use),
      // What was copied has the group of what it was copied from.
      groupOfAll(to, use, { undoneBy: "site/directories" }),
      publish(to, use, to.site.site_enabled),
      ...each((at) => [
        ...(at.webServer.http_service_type === "php" ? [] : [reloaded(at, use)]),
        ...(at.site.site_enabled ? [answers(at, use)] : []),
      ]),
      file(
        use.local,
        use.layout.contextFile(name),
        async () => rewrite(await contextText(from, to, use), "site", installed, use.layout.contextFile(name)),
        { mode: 0o644 },
        { id: "context/installed", title: `Save ${name}`, phase: "finish" },
      ),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  async state({ from, to }, use) {
    const saved = await use.store.read(to.site.name);
    const source = await siteState(from, use);
    return saved === undefined ? `${source}; ${to.site.name} does not exist` : source;
  },
  async data({ to }, _run, use) {
    const login = (await use.engine(to.core.engine).login(siteCode(to, use), 1)).result.url;
    return { url: use.http(to.webServer).url(to.site.uri, to.site.ssl !== "off"), login, platform: to.site.platform };
  },
  figures: ({ from, sizes }) => ({ as: "clone", site: from.site.name, ...sizes }),
  forecast(inputs, use) {
    const { server } = inputs.to;
    const where = { host: use.host(server), sites: use.layoutOf(server).sites, warnings: warningsOf(inputs) };
    return forecastOf(use, { as: "clone", site: inputs.from.site.name, ...inputs.sizes, ...where });
  },
  lines: ({ url, login }) => [`URL    ${String(url)}/`, `Login  ${String(login)}`],
};

/** What a copy takes over of its site's context: not its names, and no certificate, which is for another name. */
function withoutNames(site: Site): { readonly [K in keyof Site]?: Site[K] | undefined } {
  const none = {
    directory: undefined,
    imported_from: undefined,
    redirection: undefined,
    ssl_certificate: undefined,
    ssl_certificate_key: undefined,
    ssl_hsts: undefined,
  };
  return { ...site, ...none, aliases: [], ssl: "off", site_enabled: true };
}

/** The copy's own context, without a generation as long as it is being made. */
function claim(from: SiteInputs, to: SiteInputs, use: Services): Step {
  const path = use.layout.contextFile(to.site.name);
  return file(
    use.local,
    path,
    () => contextText(from, to, use),
    { mode: 0o644 },
    { id: "context/claim", title: `Context ${to.site.name}` },
  );
}

async function contextText(from: SiteInputs, to: SiteInputs, use: Services): Promise<string> {
  const saved = await use.store.source(to.site.name);
  if (saved !== undefined) return saved;
  const without = [
    ...["aliases", "redirection", "ssl", "ssl_certificate", "ssl_certificate_key", "ssl_hsts", "generation", "db_name", "db_user"],
    ...["directory", "imported_from", "site_enabled"],
  ].map((key) => [key, undefined] as const);
  const own: Changes = new Map<string, Value>([...without, ["uri", to.site.uri], ["platform", to.site.platform]]);
  return rewrite(await use.store.source(from.site.name), "site", own, use.layout.contextFile(to.site.name));
}

export function renewed(to: SiteInputs, use: Services): Step {
  const engine = use.engine(to.core.engine);
  return {
    id: "engine/keys",
    title: "Private key and key of cron",
    undoneBy: "database/create",
    check: async () => ({ changes: ["make new keys"] }),
    async apply(run) {
      told(run, await engine.renewKeys(siteCode(to, use)));
      return null;
    },
  };
}

export function sanitized(to: SiteInputs, rules: SanitizeRules, use: Services): Step {
  return {
    id: "engine/sanitize",
    title: "Mails, names, passwords and keys replaced",
    undoneBy: "database/create",
    check: async () => ({ changes: ["replace what is private in the copy"] }),
    async apply(run) {
      return told(run, await use.engine(to.core.engine).sanitize(siteCode(to, use), rules));
    },
  };
}
