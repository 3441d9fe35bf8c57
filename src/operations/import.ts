import { join } from "node:path";
import { rewrite, type Value } from "../context/edit.js";
import {
  aliasProblem,
  contextNameProblem,
  machineNameProblem,
  quoted,
  siteDirectoryProblem,
  siteName,
  uriProblem,
} from "../context/names.js";
import { clientOf, resolvePlatform, type SiteAndAll } from "../context/references.js";
import type { Site } from "../context/schema.js";
import { contextOf } from "../context/validate.js";
import { parseYaml } from "../context/yaml-file.js";
import { ProvisionError } from "../core/errors.js";
import type { Operation, Step, Undo } from "../core/step.js";
import type { Core, Found, SiteCode } from "../engines/engine.js";
import { detectCore } from "../engines/index.js";
import { phpProgram } from "../services/php.js";
import { directories, file, symlink } from "../steps/files.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { serverOf } from "./parts/found-server.js";
import type { InPlace } from "./parts/in-place.js";
import { siteLocks } from "./parts/locks.js";
import { refuseConflicts, refuseForeignDatabase } from "./parts/preflight.js";
import { databaseOf, grouped, type SiteInputs, siteInputs } from "./parts/site.js";
import { refuseOtherUser, type Services } from "./services.js";

export interface ImportArgs {
  /** Context of the site, with its `@`: a new one, or one that is saved and not installed. */
  readonly name: string;
  /** Default: what is saved, else the one that has such a directory. */
  readonly platform?: string | undefined;
  /** Default: what is saved, else the name. */
  readonly uri?: string | undefined;
  /** Below sites/; default: that of the uri. */
  readonly directory?: string | undefined;
  readonly dbServer?: string | undefined;
}

type Inputs = { readonly name: string; readonly baseline: Baseline } & (
  | { readonly kind: "known" }
  | {
      readonly kind: "found";
      readonly site: SiteInputs;
      /** How to ask again what must not stand in a journal. */
      readonly code: Omit<SiteCode, "host">;
      readonly links: readonly InPlace[];
      readonly text: string;
      readonly account: string;
      readonly own: readonly string[];
      readonly said: readonly string[];
    }
);

/**
 * Takes a site over that stands on a platform and was made by somebody else. Where it stands nothing is changed: the hub gets a context, its secrets, a generation
 * whose links lead to the data, and an account of its own for the database. What serves the site goes on with its own settings until `verify`.
 */
export const importSite: Operation<ImportArgs, Inputs, Services> = {
  name: "import",
  recovery: "automatic",

  async prepare(args, use, id) {
    const { name } = args;
    const saved = await savedSite(name, use);
    if (saved?.generation !== undefined) return { inputs: { kind: "known", name, baseline: {} }, locks: knownLocks(name) };
    const { uri, platform, directory } = await whereabouts(args, saved, use);
    const base = await resolvePlatform(use.store, use.settings, platform);
    refuseOtherUser(base.server);
    const host = use.host(base.server);
    const core = await detectCore(host, use.rootOf(base));
    await refuseNoSite(join(core.docroot, "sites", directory), directory, base, use);
    await refuseDirectoryTaken(name, platform, directory, use);
    const code: SiteCode = {
      host,
      php: phpProgram(base.platform.php ?? base.webServer.php),
      docroot: core.docroot,
      uri,
      directory,
      url: `http://${uri}`,
    };
    const answer = await use.engine(core.engine).found(code);
    const found = await named(answer.result, join(core.docroot, "sites", directory), host);
    await refuseUnusable(found, code, core, name);
    const { text, site, said } = await contextFor(args, { saved, found, uri, platform, directory, id }, use);
    const dbServer = await serverOf(
      found,
      { site, generation: id, paths: use.layoutOf(base.server).generation(uri, id) },
      args.dbServer ?? (saved?.db_server === undefined || saved.db_server === "@server_master" ? undefined : saved.db_server),
      use,
    );
    const { database } = found;
    const names = database?.driver === "sqlite" ? {} : { db_name: database?.database, db_user: use.db(dbServer).names(uri, id)["user"] };
    const path = use.layout.contextFile(name);
    const whole = rewrite(
      text,
      "site",
      new Map<string, Value>([["db_server", dbServer.name], ...Object.entries(names), ["generation", id]]),
      path,
    );
    const imported = contextOf(parseYaml(path, whole), name) as Site;
    await refuseConflicts(use, imported);
    const all: SiteAndAll = { ...base, site: imported, dbServer, client: await use.store.need(clientOf(imported, use.settings), "client") };
    refuseForeignDatabase(use.engine(core.engine), all);
    await refuseDatabaseTaken(all, use);
    const inputs = await siteInputs(use, all, core, id);
    await refuseNotAlone(inputs, use);
    const { host: _host, ...rest } = code;
    return {
      inputs: {
        kind: "found",
        name,
        site: inputs,
        code: rest,
        links: linksTo(found, inputs),
        text: whole,
        account: database?.username ?? "",
        own: [...found.own, ...found.others.map((other) => `$databases: ${other}`)],
        said: [...said, ...answer.warnings.map((warning) => `core: ${warning}`), ...(await sitesPhpWarning(inputs, use))],
        baseline: {
          ...(await baselineOf(use.local, [path, use.layout.secretsFile(name)])),
          ...(await baselineOf(host, [
            use.layoutOf(base.server).siteGenerations(uri),
            inputs.siteDirectory,
            join(inputs.siteDirectory, "settings.php"),
          ])),
        },
      },
      locks: siteLocks(all),
    };
  },

  steps(inputs, use) {
    if (inputs.kind === "known") return [];
    const { site, links, name, text, said } = inputs;
    const host = use.host(site.server);
    const db = use.db(site.dbServer);
    return [
      generation(inputs, use),
      ...links.map(({ path, real }, index) => symlink(host, path, real, { id: `in-place/${index}`, title: `${real} stays where it is` })),
      salt(inputs, use),
      ...db.createAccount(databaseOf(site, use, site.dbServer)),
      {
        id: "import/said",
        title: "What is to be known of it",
        async check(run) {
          for (const line of said) run.warn(line);
          return { changes: [] };
        },
        apply: async () => null,
      },
      file(use.local, use.layout.contextFile(name), async () => text, { mode: 0o644 }, { id: "context", title: `Save ${name}` }),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  async state({ name }, use) {
    const saved = await use.store.read(name);
    return saved === undefined ? `${name} does not exist; what stands on the platform was not touched` : `${name} is saved`;
  },
  async data(inputs) {
    if (inputs.kind === "known") return { known: true };
    const { site, own, account } = inputs;
    const { site: context, dbServer } = site;
    return {
      known: false,
      uri: context.uri,
      platform: context.platform,
      directory: site.directory,
      db_server: dbServer.name,
      ...(context.db_name === undefined ? {} : { database: context.db_name, former_account: account }),
      own_settings: [...own],
    };
  },
  lines: (data) =>
    data["known"] === true
      ? ["It is known already"]
      : [
          `Site      ${String(data["uri"])} in sites/${String(data["directory"])} of ${String(data["platform"])}`,
          ...(data["database"] === undefined
            ? [`Database  on ${String(data["db_server"])}`]
            : [
                `Database  ${String(data["database"])} on ${String(data["db_server"])}; the account ${String(data["former_account"])} stays as it is, verify uses one of the site's own`,
              ]),
          ...((data["own_settings"] ?? []) as readonly string[]).map(
            (setting) => `Setting   ${setting}: put it into local.settings.php if it is still wanted, verify writes settings.php anew`,
          ),
          "Next      provision verify, which takes it over and keeps the present settings.php beside the site's data",
        ],
};

/** A line that names a database, and not none. */
const FILLED_IN = /^\s*\$databases?\b(?!\s*=\s*(?:array\s*\(\s*\)|\[\s*\])\s*;)/m;

/** Sites of a platform by their directories, with the name of the context that each has or would have; `default` only when its settings.php was filled in. */
export async function sitesFound(
  platform: string,
  use: Services,
): Promise<readonly { readonly site: string; readonly directory: string }[]> {
  const all = await resolvePlatform(use.store, use.settings, platform);
  const host = use.host(all.server);
  const core = await detectCore(host, use.rootOf(all));
  const { contexts } = await use.store.load();
  const found: { site: string; directory: string }[] = [];
  for (const directory of ((await host.list(join(core.docroot, "sites"))) ?? []).toSorted()) {
    const place = join(core.docroot, "sites", directory);
    // A generation that makes room, or is being made, has a ~ in its name.
    if (siteDirectoryProblem(directory) !== undefined || (await host.stat(place))?.type !== "directory") continue;
    if (!(await host.stat(join(place, "settings.php")))) continue;
    if (directory === "default" && !FILLED_IN.test((await host.readFile(join(place, "settings.php"))) ?? "")) continue;
    const saved = contexts.find(
      (site) => site.context_type === "site" && site.platform === platform && (site.directory ?? siteName(site.uri)) === directory,
    );
    found.push({ site: saved?.name ?? `@${directory.toLowerCase()}`, directory });
  }
  return found;
}

function knownLocks(name: string) {
  return [
    { kind: "hub", name: "hub", mode: "shared" },
    { kind: "site", name, mode: "shared" },
  ] as const;
}

async function savedSite(name: string, use: Services): Promise<Site | undefined> {
  const saved = await use.store.read(name);
  if (saved === undefined || saved.context_type === "site") return saved;
  throw new ProvisionError("NAME_TAKEN", `${name} is a ${saved.context_type} already`, {
    state: "nothing was changed",
    next: ["choose another name"],
  });
}

/** By which name, on which platform, in which directory. */
async function whereabouts(
  { name, ...args }: ImportArgs,
  saved: Site | undefined,
  use: Services,
): Promise<{ readonly uri: string; readonly platform: string; readonly directory: string }> {
  const uri = args.uri ?? saved?.uri ?? name.slice(1);
  const problem = uriProblem(uri);
  if (problem !== undefined)
    throw new ProvisionError("INVALID_VALUE", `${quoted(uri)} cannot be the uri of a site: it ${problem}`, {
      state: "nothing was changed",
      next: [
        `provision import @example.com ${args.platform ?? "@platform_…"}${siteDirectoryProblem(uri) === undefined ? ` --directory=${uri}` : ""}    # under the name that visitors use`,
      ],
    });
  const directory = args.directory ?? saved?.directory ?? siteName(uri);
  const wrong = siteDirectoryProblem(directory);
  if (wrong !== undefined) throw new ProvisionError("INVALID_VALUE", `--directory=${quoted(directory)} ${wrong}`);
  const platform = args.platform ?? saved?.platform ?? (await platformWith(directory, name, use));
  return { uri, platform, directory };
}

async function platformWith(directory: string, name: string, use: Services): Promise<string> {
  const { contexts } = await use.store.load();
  const found: string[] = [];
  for (const platform of contexts) {
    if (platform.context_type !== "platform") continue;
    const all = await resolvePlatform(use.store, use.settings, platform.name).catch(unlessKnown);
    const core = all && (await detectCore(use.host(all.server), use.rootOf(all)).catch(unlessKnown));
    if (all && core && (await use.host(all.server).stat(join(core.docroot, "sites", directory, "settings.php")))) found.push(platform.name);
  }
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  throw new ProvisionError(
    "USAGE",
    found.length === 0
      ? `no platform of this hub has a site in sites/${directory}`
      : `${found.join(" and ")} have a site in sites/${directory}; say which`,
    {
      state: "nothing was changed",
      next: [`provision import ${name} ${only ?? "@platform_…"}`, "provision list platforms"],
    },
  );
}

function unlessKnown(error: unknown): undefined {
  if (error instanceof ProvisionError) return undefined;
  throw error;
}

async function refuseNoSite(
  place: string,
  directory: string,
  { platform, server }: Pick<SiteAndAll, "platform" | "server">,
  use: Services,
) {
  const host = use.host(server);
  const link = await host.readLink(place);
  if (link !== undefined)
    throw new ProvisionError("REFUSED", `${host.name}:${place} is a link to ${link}`, {
      why: ["Drupal 6 and Aegir made such links for other names of a site"],
      state: "nothing was changed",
      next: [`import the site that it leads to; save ${directory} as one of its aliases`],
    });
  const settings = await host.stat(join(place, "settings.php"));
  if (settings === undefined)
    throw new ProvisionError(
      "FILE_NOT_FOUND",
      `there is no site in sites/${directory} of ${platform.name}: ${place}/settings.php is not there`,
      {
        state: "nothing was changed",
        next: [`ls ${join(place, "..")}`],
      },
    );
}

async function refuseDirectoryTaken(name: string, platform: string, directory: string, use: Services): Promise<void> {
  const { contexts } = await use.store.load();
  const other = contexts.find(
    (site) =>
      site.context_type === "site" &&
      site.name !== name &&
      site.generation !== undefined &&
      site.platform === platform &&
      (site.directory ?? siteName(site.uri)) === directory,
  );
  if (other)
    throw new ProvisionError("NAME_TAKEN", `sites/${directory} of ${platform} is ${other.name} already`, {
      state: "nothing was changed",
      next: [`provision show ${other.name}`],
    });
}

/** What cannot be taken over as it is, each with what to do instead. */
async function refuseUnusable(found: Found, { host, docroot, directory }: SiteCode, core: Core, name: string): Promise<void> {
  const settings = join(docroot, "sites", directory, "settings.php");
  const state = "nothing was changed";
  const { database } = found;
  if (database === undefined)
    throw new ProvisionError("REFUSED", `${settings} names no database`, {
      why: ["a site that is not installed; or its web server says it with each request (Aegir: $_SERVER['db_name'])"],
      state,
      next: [`db_type=mysql db_host=… db_port=3306 db_name=… db_user=… db_passwd=… provision import ${name}    # as its vhost has them`],
    });
  if (!TAKEN_OVER.includes(database.driver))
    throw new ProvisionError("REFUSED", `the database of ${name} is of a kind that provision does not have: ${quoted(database.driver)}`, {
      why: [`there is ${TAKEN_OVER.join(", ")}`],
      state,
    });
  if (found.problem !== undefined)
    throw new ProvisionError("SERVICE_UNAVAILABLE", `the database that ${settings} names cannot be reached`, {
      why: [found.problem],
      state,
    });
  if (database.prefix !== "") throw prefixed(database, name, join(docroot, "sites", directory));
  if (!found.installed)
    throw new ProvisionError("NOT_INSTALLED", `the database that ${settings} names holds no complete installation`, { state });
  if (found.storedConfiguration)
    throw new ProvisionError("REFUSED", `${name} keeps its configuration in the database (config_active_class)`, {
      why: ["provision keeps the configuration of Backdrop in files"],
      state,
    });
  if (core.engine === "backdrop" && found.configuration["active"] === undefined)
    throw new ProvisionError("REFUSED", `the active configuration of ${name} is not there`, { state });
  refuseMisplaced(found, join(docroot, "sites", directory));
  const usual = join(docroot, "sites", directory, "files");
  if (found.files !== undefined && found.files !== usual && (await host.stat(usual))?.type === "directory")
    throw new ProvisionError("REFUSED", `the files of ${name} are in ${found.files}, and ${usual} is a directory, too`, {
      why: ["its public files are looked for in the second"],
      state,
      next: [`move one of them away, or say ${usual} in file_public_path`],
    });
}

const TAKEN_OVER = ["mysql", "pgsql", "sqlite"];

/**
 * Sites share a database by prefixes, and a database is what is dumped, moved and dropped with its site: none is taken over whole for the sake of some of
 * its tables. These go without their prefix into one of its own by a dump, of which deploy makes a site.
 */
function prefixed({ driver, database, prefix }: NonNullable<Found["database"]>, name: string, place: string): ProvisionError {
  const plain = /^[A-Za-z0-9_]+$/.test(prefix) && /^[A-Za-z0-9_-]+$/.test(database);
  const renamed = `sed -E '/^(DROP TABLE|CREATE TABLE|LOCK TABLES|INSERT INTO|..!40000 ALTER TABLE) /s/\`${prefix}/\`/'`;
  const like = prefix.replaceAll("_", "\\_");
  return new ProvisionError("REFUSED", `the tables of ${name} have a prefix (${prefix})`, {
    why: ["provision gives every site a database of its own, in which nothing else is: it is dumped, moved and dropped whole"],
    state: "nothing was changed",
    next:
      driver === "mysql" && plain
        ? [
            `mysqldump --single-transaction ${database} $(mysql -N -e "SHOW TABLES LIKE '${like}%'" ${database}) | ${renamed} > site.sql`,
            `provision deploy ${name} site.sql --files ${join(place, "files")}    # a copy in a database of its own, without the prefix`,
          ]
        : ["rename its tables in a database of their own, and take the prefix out of settings.php"],
  });
}

/** What each site has, whatever its core: another one is in the same database when it has them, too, by another name. */
const OF_A_SITE = [
  ["users", "sessions", "system"],
  ["users", "sessions", "key_value"],
  ["users", "sessions", "state"],
] as const;

/** Delete drops the database, and every other operation takes it whole. */
async function refuseNotAlone(inputs: SiteInputs, use: Services): Promise<void> {
  const { site, dbServer } = inputs;
  if (site.db_name === undefined) return;
  const db = use.db(dbServer);
  const database = databaseOf(inputs, use, dbServer);
  const tables = new Set(await db.tables(database));
  const prefixes = [...tables]
    .filter((table) => table.endsWith("users") && table !== "users")
    .map((table) => table.slice(0, -"users".length))
    .filter((prefix) => OF_A_SITE.some((names) => names.every((table) => tables.has(prefix + table))));
  if (prefixes.length > 0)
    throw new ProvisionError("REFUSED", `the database ${site.db_name} of ${site.name} has the tables of other sites, too`, {
      why: [`their prefixes are ${prefixes.slice(0, 5).join(", ")}; delete would drop them, and a backup would have their data`],
      state: "nothing was changed",
      next: ["move the others into databases of their own, then the same command again"],
    });
  await db.refuseForeign?.(database);
}

/** The directory below sites/ is another one after the first migrate; what is not among the files would be left in the old one. */
function refuseMisplaced({ database, files }: Found, place: string): void {
  if (database?.driver !== "sqlite" || !database.database.startsWith(`${place}/`)) return;
  if (files !== undefined && database.database.startsWith(`${files}/`)) return;
  throw new ProvisionError("REFUSED", `the SQLite database stands in the site's directory, beside its files: ${database.database}`, {
    state: "nothing was changed",
    next: ["move it below the files, or out of the platform, and say so in settings.php"],
  });
}

/** Text of the context, but for what is known of its database. */
async function contextFor(
  { name }: ImportArgs,
  of: {
    readonly saved: Site | undefined;
    readonly found: Found;
    readonly uri: string;
    readonly platform: string;
    readonly directory: string;
    readonly id: string;
  },
  use: Services,
): Promise<{ readonly text: string; readonly site: Site; readonly said: readonly string[] }> {
  const { saved, found, uri, platform, directory } = of;
  const said: string[] = [];
  const wrongName = contextNameProblem(name.slice(1));
  if (wrongName !== undefined) throw new ProvisionError("INVALID_VALUE", `${quoted(name)} ${wrongName}`);
  const { profile, language } = found;
  const known = profile !== undefined && machineNameProblem(profile) === undefined ? profile : undefined;
  if (known === undefined) said.push("the site does not say its install profile; standard is assumed (provision save --profile=…)");
  const names = found.names.filter((one) => one !== siteName(uri) && one !== uri);
  const aliases = names.filter((one) => aliasProblem(one) === undefined);
  for (const other of names) if (!aliases.includes(other)) said.push(`sites.php calls it ${quoted(other)}, too, which cannot be an alias`);
  const path = use.layout.contextFile(name);
  const text = rewrite(
    await use.store.source(name),
    "site",
    new Map<string, Value>([
      ["uri", uri],
      ["platform", platform],
      ["profile", known ?? saved?.profile ?? "standard"],
      ...(language === undefined || language === "en" || !/^[a-z]{2,8}(-[a-z0-9]{1,8})*$/.test(language)
        ? []
        : [["language", language] as const]),
      ...(saved === undefined && aliases.length > 0 ? [["aliases", aliases] as const] : []),
      ["directory", directory === siteName(uri) ? undefined : directory],
    ]),
    path,
  );
  return { text, site: contextOf(parseYaml(path, text), name) as Site, said };
}

async function refuseDatabaseTaken({ site, dbServer }: SiteAndAll, use: Services): Promise<void> {
  if (site.db_name === undefined) return;
  const { contexts } = await use.store.load();
  const other = contexts.find(
    (one) => one.context_type === "site" && one.name !== site.name && one.db_server === dbServer.name && one.db_name === site.db_name,
  );
  if (other)
    throw new ProvisionError("NAME_TAKEN", `the database ${site.db_name} is that of ${other.name} already`, {
      why: ["deleting one of them would take the other's away"],
      state: "nothing was changed",
    });
}

/** What of the generation is elsewhere. */
function linksTo(found: Found, { paths }: SiteInputs): readonly InPlace[] {
  const { database } = found;
  return [
    ...(found.files === undefined ? [] : [{ path: paths.files, real: found.files }]),
    ...(found.private === undefined ? [] : [{ path: paths.private, real: found.private }]),
    ...Object.entries(found.configuration).map(([name, real]) => ({ path: join(paths.config, name), real })),
    ...(database?.driver === "sqlite" ? [{ path: paths.database, real: database.database }] : []),
  ];
}

/** The docroot may be a link to a build: what is in the site's directory is called by that directory's name, so that it is known as such. */
async function named(found: Found, siteDirectory: string, host: SiteCode["host"]): Promise<Found> {
  const real = await host.realPath(siteDirectory);
  const by = (path: string) => (real !== undefined && path.startsWith(`${real}/`) ? `${siteDirectory}${path.slice(real.length)}` : path);
  const { database, files, private: hidden, configuration } = found;
  return {
    ...found,
    database: database?.driver === "sqlite" ? { ...database, database: by(database.database) } : database,
    files: files === undefined ? undefined : by(files),
    private: hidden === undefined ? undefined : by(hidden),
    configuration: Object.fromEntries(Object.entries(configuration).map(([name, path]) => [name, by(path)])),
  };
}

/** verify refuses to write the names of sites into a file that is somebody else's. */
async function sitesPhpWarning({ core, server }: SiteInputs, use: Services): Promise<readonly string[]> {
  const path = join(core.docroot, "sites", "sites.php");
  const text = await use.host(server).readFile(path);
  if (text === undefined || use.engine(core.engine).readSitesPhp(text) !== undefined) return [];
  return [
    `${path} was not written by provision: rename it before the first verify; the names that it has for this site are its aliases now`,
  ];
}

/** What no link leads to, of its own and empty; the gate comes with settings.php that asks for it. */
function generation(inputs: Extract<Inputs, { kind: "found" }>, use: Services): Step {
  const { site, links } = inputs;
  const { paths } = site;
  const host = use.host(site.server);
  const linked = new Set(links.map(({ path }) => path));
  const own = [
    paths.files,
    paths.private,
    paths.tmp,
    ...use.engine(site.core.engine).configDirectories.map((name) => join(paths.config, name)),
  ].filter((path) => !linked.has(path));
  const step = directories(
    host,
    [
      { path: use.layoutOf(site.server).siteGenerations(site.site.uri), ownership: { mode: 0o711 } },
      { path: paths.root, ownership: grouped(site, 0o750) },
      { path: paths.config, ownership: grouped(site, 0o750) },
      ...own.map((path) => ({ path, ownership: grouped(site, 0o2770) })),
      ...(linked.has(paths.database) ? [{ path: join(paths.database, ".."), ownership: grouped(site, 0o2770) }] : []),
    ],
    { id: "site/directories", title: `Generation of ${site.site.uri}` },
  );
  return {
    ...step,
    async check(run) {
      const { changes, undo = [] } = await step.check(run);
      const ours: readonly Undo[] = [
        { do: "remove_directory", host: host.name, path: use.layoutOf(site.server).siteGenerations(site.site.uri) },
        { do: "remove_tree", host: host.name, path: paths.root },
      ];
      return { changes, undo: [...undo, ...ours] };
    },
  };
}

/** Sessions and login links go on, for they are made with it. */
function salt({ name, code, site }: Extract<Inputs, { kind: "found" }>, use: Services): Step {
  const path = use.layout.secretsFile(name);
  return file(
    use.local,
    path,
    async () => {
      const known = await use.secrets.get(name, "hash_salt");
      const { hashSalt } = known
        ? { hashSalt: known }
        : (await use.engine(site.core.engine).found({ ...code, host: use.host(site.server) })).result;
      // Verify makes one for a site that has none.
      return use.secrets.changed(name, new Map(hashSalt.reveal() === "" ? [] : [["hash_salt", hashSalt]]));
    },
    { mode: 0o600 },
    { id: "site/hash-salt", title: "Its hash salt in secrets" },
  );
}
