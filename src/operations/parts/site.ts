import { createHash, randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import { accountVariables, type DatabaseAccess } from "../../context/database-access.js";
import type { Changes } from "../../context/edit.js";
import type { GenerationPaths, Layout } from "../../context/layout.js";
import { clientWord, siteDirectory, siteName } from "../../context/names.js";
import type { SiteAndAll } from "../../context/references.js";
import { isThisMachine, type Server, type Site } from "../../context/schema.js";
import { ProvisionError } from "../../core/errors.js";
import { Secret } from "../../core/secret.js";
import type { Run, Step } from "../../core/step.js";
import { accountFile } from "../../engines/cloaked-account.js";
import type { Core, SiteCode } from "../../engines/engine.js";
import { detectCore } from "../../engines/index.js";
import type { Host } from "../../host/host.js";
import type { DatabaseNames, DatabaseOf } from "../../services/db/service.js";
import type { BasicAuth, ConfigFile, Tls, Vhost } from "../../services/http/service.js";
import { phpProgram } from "../../services/php.js";
import { directories, file, gone, type StepPlace, symlink, undoParents } from "../../steps/files.js";
import { groupAccess } from "../../steps/group-access.js";
import type { Services } from "../services.js";
import { type Baseline, baselineOf } from "./baseline.js";
import { type CertificatePlan, certificateFiles, certificatePlan, withCertificate } from "./certificate.js";
import { activateOnAll, refuseDown, refuseUnfitForCluster } from "./cluster.js";
import { type DatabaseWay, wayToDatabase } from "./database-way.js";
import { type InPlace, inPlace, realPlace } from "./in-place.js";
import { listenOf, type PoolInputs, poolInputs, requestLimits, sharesPool } from "./pool.js";
import { type Entries, namesOfDirectory, sitesPhpEntries } from "./sites-php.js";

/** Everything decided of one site before its steps: JSON, so that a resumed run has the same. */
export interface SiteInputs extends SiteAndAll, PoolInputs {
  readonly core: Core;
  readonly generation: string;
  readonly paths: GenerationPaths;
  /** Name below the platform's sites/. */
  readonly directory: string;
  /** That directory, absolute. */
  readonly siteDirectory: string;
  /** What visitors called the site until now and shall no longer: aliases that were taken out of the context. */
  readonly formerNames: readonly string[];
  /** Group through which PHP reads and writes: the web server's, or the pool's; undefined: left as it comes. */
  readonly gid?: number;
  /** Group of the web server; undefined: left as it comes. */
  readonly webGid?: number;
  /** User id of script_user on another machine; undefined: this process's own. */
  readonly owner?: number;
  /** How the site reaches its database on another machine than its own. */
  readonly databaseWay?: DatabaseWay;
  /** Of the build that the platform is; undefined for a directory that provision did not build. */
  readonly codeCache?: string;
  /** Names of the database account that the site is to have; empty where it has none. */
  readonly account: DatabaseNames;
  /** Of a sub-directory site: no site of the hub has its host. */
  readonly alone: boolean;
  /** Of a site with https. */
  readonly certificate?: CertificatePlan;
  /** Data of an imported site that is still where it was. */
  readonly inPlace: readonly InPlace[];
  /** The same site on the other members of a cluster. */
  readonly others?: readonly SiteInputs[];
}

/** Group id by name; undefined for no name. Rejects with CONFIGURATION when there is no such group. */
async function groupId(host: Host, name: string | undefined, server: Server): Promise<number | undefined> {
  if (name === undefined) return undefined;
  const { code, stdout } = await host.run(["getent", "group", name], { anyExit: true });
  const id = Number(stdout.split(":")[2]);
  if (code === 0 && Number.isInteger(id)) return id;
  throw new ProvisionError("CONFIGURATION", `${host.name}: there is no group ${name}`, {
    next: [`provision save ${server.name} --web_group=…`],
  });
}

/**
 * What is decided of a site; `core`: that of the platform on its server, the first of a cluster; `from`: where the site is served until now, when it
 * moves. Rejects with HOST_UNAVAILABLE where a member is down.
 */
export async function siteInputs(
  use: Services,
  all: SiteAndAll,
  core: Core,
  generation: string,
  from?: Pick<SiteAndAll, "site" | "webServer">,
): Promise<SiteInputs> {
  const { cluster, ...alone } = all;
  if (cluster === undefined) return placeInputs(use, all, core, generation, from);
  refuseUnfitForCluster(all);
  await refuseDown(all, use);
  const first = await placeInputs(use, alone, core, generation);
  const others: SiteInputs[] = [];
  for (const server of cluster.others) {
    const at = { ...alone, server, webServer: server };
    others.push(await placeInputs(use, at, await sameCore(use, at, core), generation));
  }
  const addresses = [...new Set([first, ...others].flatMap(({ databaseWay }) => databaseWay?.from ?? []))];
  // One account of the database lets all members in, and one certificate is shown by all.
  const shared = (place: SiteInputs): SiteInputs => ({
    ...place,
    ...(addresses.length === 0 ? {} : { databaseWay: { ...place.databaseWay, from: addresses } }),
    ...(first.certificate && place.certificate ? { certificate: { ...first.certificate, directory: place.certificate.directory } } : {}),
  });
  return { ...shared(first), cluster, others: others.map(shared) };
}

/** The platform as another member has it. Rejects with FILE_NOT_FOUND and CONFIGURATION where it is not what the first has. */
async function sameCore(use: Services, at: SiteAndAll, first: Core): Promise<Core> {
  const host = use.host(at.server);
  const root = use.rootOf(at);
  const next = [`provision verify ${at.platform.name}`];
  if (!(await host.stat(root)))
    throw new ProvisionError("FILE_NOT_FOUND", `the root of ${at.platform.name} does not exist: ${host.name}:${root}`, { next });
  const core = await detectCore(host, root);
  if (core.engine === first.engine && core.version === first.version) return core;
  throw new ProvisionError(
    "CONFIGURATION",
    `${at.platform.name} is ${core.engine} ${core.version} on ${at.server.name}, and ${first.engine} ${first.version} on the first of its cluster`,
    {
      state: "nothing was changed",
      next,
    },
  );
}

async function placeInputs(
  use: Services,
  all: SiteAndAll,
  core: Core,
  generation: string,
  from?: Pick<SiteAndAll, "site" | "webServer">,
): Promise<SiteInputs> {
  const directory = siteDirectory(all.site);
  refuseTlsWithoutPort(all);
  const webGid = await groupId(use.host(all.webServer), all.webServer.web_group, all.webServer);
  const pools = await poolInputs(use, all);
  const paths = use.layoutOf(all.server).generation(all.site.uri, generation);
  const { names: account } =
    all.dbServer.db_service_type === "none" ? { names: {} } : databaseOf({ site: all.site, generation, paths }, use, all.dbServer);
  const gid = pools.pool?.gid ?? webGid;
  const entered = await namesOfDirectory({ host: use.host(all.server), engine: use.engine(core.engine), docroot: core.docroot }, directory);
  const names = namesOf({ site: all.site, directory });
  const codeCache = await codeCacheOf(use.layoutOf(all.server), use.host(all.server), core);
  const certificate = await certificatePlan(use, all, from === undefined ? {} : { from });
  const databaseWay = await wayToDatabase(use, all, account);
  const owner = isThisMachine(all.server.remote_host) ? undefined : await ownId(use.host(all.server));
  return {
    ...all,
    ...pools,
    core,
    generation,
    paths,
    account,
    directory,
    siteDirectory: join(core.docroot, "sites", directory),
    formerNames: entered.filter((name) => !(name in names)),
    ...(gid === undefined ? {} : { gid }),
    ...(webGid === undefined ? {} : { webGid }),
    alone: await hasHostAlone(use, all.site.uri),
    inPlace: await inPlace(use.host(all.server), paths, use.engine(core.engine).configDirectories),
    ...(codeCache === undefined ? {} : { codeCache }),
    ...(certificate === undefined ? {} : { certificate }),
    ...(databaseWay === undefined ? {} : { databaseWay }),
    ...(owner === undefined ? {} : { owner }),
  };
}

async function ownId(host: Host): Promise<number> {
  return Number((await host.run(["id", "-u"], { timeout: 30_000 })).stdout);
}

async function codeCacheOf(layout: Layout, host: Host, core: Core): Promise<string | undefined> {
  const builds = await host.realPath(layout.builds);
  const docroot = await host.realPath(core.docroot);
  if (builds === undefined || !docroot?.startsWith(`${builds}/`)) return undefined;
  return layout.codeCache(docroot.slice(builds.length + 1).split("/")[0] as string);
}

function refuseTlsWithoutPort({ site, webServer }: SiteAndAll): void {
  if (site.ssl === "off") return;
  const php = webServer.http_service_type === "php";
  if (!php && webServer.http_ssl_port !== undefined) return;
  throw new ProvisionError("CONFIGURATION", `${site.name} wants https (ssl: ${site.ssl}), which ${webServer.name} does not have`, {
    why: [php ? "PHP's own web server knows no https" : `${webServer.name} has no http_ssl_port`],
    next: php
      ? [`provision save ${site.name} --ssl=off`]
      : [`provision save ${webServer.name} --http_ssl_port=443`, `provision verify ${webServer.name}`],
  });
}

async function hasHostAlone(use: Services, uri: string): Promise<boolean> {
  const [host, segment] = uri.split("/");
  if (segment === undefined) return false;
  const { contexts } = await use.store.load();
  return !contexts.some(
    (site) => site.context_type === "site" && site.generation !== undefined && (site.uri === host || site.aliases.includes(host ?? "")),
  );
}

export function databaseOf(
  { site, generation, paths, pool, databaseWay }: Pick<SiteInputs, "site" | "generation" | "paths" | "pool" | "databaseWay">,
  use: Services,
  dbServer: Server,
): DatabaseOf {
  const { db_name: database, db_user: user } = site;
  const names = database !== undefined && user !== undefined ? { database, user } : use.db(dbServer).names(site.uri, generation);
  const way =
    databaseWay === undefined ? {} : { ...(databaseWay.host === undefined ? {} : { host: databaseWay.host }), webHosts: databaseWay.from };
  return { site: site.name, uri: site.uri, generation, paths, names, ...way, ...(pool ? { gid: pool.gid } : {}) };
}

/** What a site's context keeps of its database: the names that were once made. */
export function databaseProperties({ names: { database, user } }: DatabaseOf): Changes {
  return new Map([
    ...(database === undefined ? [] : [["db_name", database] as const]),
    ...(user === undefined ? [] : [["db_user", user] as const]),
  ]);
}

/** The site as the engine meets it. */
export function siteCode(inputs: SiteInputs, use: Services): SiteCode {
  return {
    host: use.host(inputs.server),
    php: phpProgram(inputs.platform.php ?? inputs.webServer.php),
    docroot: inputs.core.docroot,
    uri: inputs.site.uri,
    directory: inputs.directory,
    url: use.http(inputs.webServer).url(inputs.site.uri, inputs.site.ssl !== "off"),
    ...(inputs.codeCache === undefined ? {} : { codeCache: inputs.codeCache }),
    ...(isThisMachine(inputs.server.remote_host) ? {} : { scripts: () => use.scripts(inputs.server) }),
  };
}

/** The site as its web server is told of it. `version`: of its certificate, another than the plan's. */
export function vhostOf(inputs: SiteInputs, use: Services, enabled: boolean, version?: string): Vhost {
  const { site, platform, webServer, core, paths } = inputs;
  return {
    uri: site.uri,
    aliases: site.aliases,
    redirection: site.redirection,
    enabled,
    docroot: core.docroot,
    directory: inputs.directory,
    generation: inputs.generation,
    files: realPlace(inputs, paths.files),
    private: realPlace(inputs, paths.private),
    frontControllers: [...use.engine(core.engine).frontControllers, ...site.php_paths],
    php: phpProgram(platform.php ?? webServer.php),
    fpm: listenOf(inputs, use),
    limits: requestLimits(inputs),
    alone: inputs.alone,
    tls: tlsOf(inputs, use, version),
    basicAuth: basicAuthOf(inputs, use),
    allow: site.http_allow,
    headers: {
      ...Object.fromEntries(site.http_headers.map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)])),
      ...(site.quarantine ? { "X-Robots-Tag": "noindex, nofollow" } : {}),
    },
    environment: environmentOf(inputs, use)?.path,
    snippets: {
      ...(site.nginx_snippet === undefined ? {} : { nginx: site.nginx_snippet }),
      ...(site.apache_snippet === undefined ? {} : { apache: site.apache_snippet }),
    },
  };
}

/**
 * Where the web server tells PHP the site's database account; undefined when settings.php holds it. A new account has a new file, so that the
 * old one stays good until the vhost names the new one, and in an undo.
 */
function environmentOf({ site, dbServer, webServer, generation, account }: SiteInputs, use: Services) {
  const { environment } = use.http(webServer);
  if (!environment || !isCloaked({ webServer, dbServer })) return undefined;
  const tag = createHash("sha256")
    .update(JSON.stringify([generation, account]))
    .digest("hex")
    .slice(0, 12);
  return { environment, tag, path: environment.file(site.uri, tag) };
}

/** PHP of other sites runs as the same user and could read settings.php, so that holds no account. A file of SQLite has none. */
export function isCloaked({ webServer, dbServer }: Pick<SiteAndAll, "webServer" | "dbServer">): boolean {
  return sharesPool(webServer) && (dbServer.db_service_type === "mysql" || dbServer.db_service_type === "pgsql");
}

/** The account for the command line, when settings.php does not hold it: in a file of our user's. Before settings.php. */
export function accountForCommands(inputs: SiteInputs, use: Services, access: (run: Run) => Promise<DatabaseAccess>): readonly Step[] {
  if (!isCloaked(inputs)) return [];
  return [
    file(
      use.host(inputs.server),
      inputs.paths.account,
      async (run) => accountFile(await access(run)),
      { mode: 0o400 },
      { id: "site/account", title: "Database account for the command line" },
    ),
  ];
}

/** The same for requests, in a file of the web server's. Before its vhost. */
export function accountForRequests(inputs: SiteInputs, use: Services, access: (run: Run) => Promise<DatabaseAccess>): readonly Step[] {
  const told = environmentOf(inputs, use);
  return told ? [told.environment.write(inputs.site.uri, told.tag, async (run) => accountVariables(await access(run)) ?? {})] : [];
}

/** What was made of these for an account that is no more goes; with no account to hide, all of it. */
export function formerAccounts(inputs: SiteInputs, use: Services): readonly Step[] {
  const { environment } = use.http(inputs.webServer);
  const told = environmentOf(inputs, use);
  return [
    ...(environment ? [environment.removeFormer(inputs.site.uri, told?.tag)] : []),
    ...(told
      ? []
      : [
          gone(use.host(inputs.server), [inputs.paths.account], {
            id: "site/account-remove",
            title: "No database account beside settings.php",
            phase: "finish",
          }),
        ]),
  ];
}

/** Nobody comes into a quarantined site without a password. */
function visitorName({ http_basic_auth_username: name, quarantine }: Site): string | undefined {
  return name ?? (quarantine ? "preview" : undefined);
}

function basicAuthOf({ site, webServer }: SiteInputs, use: Services): BasicAuth | undefined {
  const { http_basic_auth_message: message, http_basic_auth_whitelist: whitelist } = site;
  const name = visitorName(site);
  if (name === undefined) return undefined;
  return { message: message ?? site.uri, file: use.http(webServer).passwordFile(site.uri), whitelist };
}

function tlsOf(inputs: SiteInputs, use: Services, version: string | undefined): Tls | undefined {
  const { site } = inputs;
  const files = certificateFiles(inputs, use, version);
  return files && { required: site.ssl === "required", ...files, hsts: site.ssl_hsts };
}

/** What visitors may call the site, in sites.php. */
function namesOf({ site, directory }: Pick<SiteInputs, "site" | "directory">): Entries {
  return Object.fromEntries([siteName(site.uri), ...site.aliases].map((name) => [name, directory]));
}

export function grouped(inputs: SiteInputs, mode: number): { mode: number; gid?: number } {
  return inputs.gid === undefined ? { mode } : { mode, gid: inputs.gid };
}

/** Those of a member that a cluster was given since, which all go in an undo. */
export function memberDirectories(inputs: SiteInputs, use: Services): Step {
  const step = generationDirectories(inputs, use);
  const host = use.host(inputs.server);
  return {
    ...step,
    async check(run) {
      const { changes, undo = [] } = await step.check(run);
      const trees: string[] = [];
      for (const path of [inputs.paths.root, inputs.siteDirectory]) if (!(await host.stat(path))) trees.push(path);
      return { changes, undo: [...undo, ...trees.map((path) => ({ do: "remove_tree", host: host.name, path }))] };
    },
  };
}

/** The site's own directories of this generation, outside the code: PHP writes in them through the group (reference: engine.md d). */
export function generationDirectories(inputs: SiteInputs, use: Services): Step {
  const { paths, site } = inputs;
  const { root } = paths;
  const { configDirectories } = use.engine(inputs.core.engine);
  return directories(
    use.host(inputs.server),
    [
      { path: use.layoutOf(inputs.server).siteGenerations(site.uri), ownership: { mode: 0o711 } },
      { path: root, ownership: grouped(inputs, 0o750) },
      { path: paths.files, ownership: grouped(inputs, 0o2770) },
      { path: paths.private, ownership: grouped(inputs, 0o2770) },
      { path: paths.tmp, ownership: grouped(inputs, 0o2770) },
      { path: paths.config, ownership: grouped(inputs, 0o750) },
      ...configDirectories.map((name) => ({ path: join(paths.config, name), ownership: grouped(inputs, 0o2770) })),
      // What is elsewhere gets its group and modes with all below it.
    ].filter(({ path }) => realPlace(inputs, path) === path),
    { id: "site/directories", title: `Directories of ${site.uri}` },
  );
}

/** The same after trees were laid into them, whose own groups and modes came along; taken back with `site/directories`. */
export function modesAgain(inputs: SiteInputs, use: Services): Step {
  return { ...generationDirectories(inputs, use), id: "site/modes", title: "Modes of directories", undoneBy: "site/directories" };
}

/** What the writers of this generation hold a lock on; before settings.php, for a gate that is not there is closed. */
export function gateFile(inputs: SiteInputs, use: Services): Step {
  return file(use.host(inputs.server), inputs.paths.gate, async () => "", grouped(inputs, 0o640), {
    id: "site/gate",
    title: "Write gate",
  });
}

/** `sites/<uri>` on the platform: settings.php, the site's own code, a link to its files. */
export function siteDirectories(inputs: SiteInputs, use: Services, id = "site/code"): Step {
  const { siteDirectory } = inputs;
  return directories(
    use.host(inputs.server),
    [
      { path: siteDirectory, ownership: grouped(inputs, 0o750) },
      ...["modules", "themes", "libraries"].map((name) => ({ path: join(siteDirectory, name), ownership: grouped(inputs, 0o750) })),
    ],
    { id, title: `Directory ${siteDirectory}` },
  );
}

/** The hash salt, made once and kept in secrets/: a verify never changes it, so that no session or login link is lost. */
export function hashSalt(inputs: SiteInputs, use: Services): Step {
  return madeSecret(
    inputs,
    use,
    { key: "hash_salt", what: "a hash salt", bytes: 48 },
    { id: "site/hash-salt", title: "Hash salt in secrets" },
  );
}

/** settings.php, never readable by others than the web server's group; the same inputs give the same bytes. */
export function settingsFile(inputs: SiteInputs, use: Services, access: (run: Run) => Promise<DatabaseAccess>, salt: Step): Step {
  const { site, core, generation, paths } = inputs;
  return file(
    use.host(inputs.server),
    join(inputs.siteDirectory, "settings.php"),
    async (run) => {
      const hashSalt = await use.secrets.get(site.name, "hash_salt");
      if (!hashSalt) {
        run.need(salt);
        throw new ProvisionError("FAILED", `the hash salt of ${site.name} is not in ${use.layout.secretsFile(site.name)}`);
      }
      return use.engine(core.engine).settings({
        uri: site.uri,
        aliases: site.aliases,
        generation,
        paths,
        database: await access(run),
        hashSalt,
        ...(environmentOf(inputs, use) ? { accountFile: paths.account } : {}),
        writePaths: site.write_paths,
        quarantine: site.quarantine,
        reverseProxies: inputs.webServer.reverse_proxies,
      });
    },
    grouped(inputs, 0o440),
    { id: "site/settings", title: "settings.php" },
  );
}

/**
 * What is below the site's directories has the owner, group and modes that they have (reference: engine.md d). `former`: whose group it was before,
 * for an undo; `undoneBy`: an earlier step whose undo takes all of it away.
 */
export function groupOfAll(
  inputs: SiteInputs,
  use: Services,
  how: { readonly phase: "finish" } | { readonly undoneBy: string } | { readonly former: Pick<SiteInputs, "gid" | "pool"> },
): Step {
  const { paths, siteDirectory } = inputs;
  const configuration = use.engine(inputs.core.engine).configDirectories.map((name) => join(paths.config, name));
  const writable = [paths.files, paths.private, paths.tmp, ...configuration, dirname(paths.database)].map((path) => ({
    path: realPlace(inputs, path),
    writable: true,
  }));
  const code = ["modules", "themes", "libraries"].map((name) => ({ path: join(siteDirectory, name), writable: false }));
  const access = ({ gid, pool }: Pick<SiteInputs, "gid" | "pool">) => ({
    gid,
    uid: inputs.owner ?? process.getuid?.() ?? 0,
    writer: pool?.uid,
  });
  const place = { id: "site/access", title: "Owners, groups and modes below" };
  const trees = [...writable, ...code];
  const host = use.host(inputs.server);
  if ("former" in how) return groupAccess(host, trees, access(inputs), place, access(how.former));
  return groupAccess(host, trees, access(inputs), { ...place, ...how });
}

/** Whose group the files of a site have that has perhaps not moved into its pool yet. */
export function formerGroup(inputs: SiteInputs): Pick<SiteInputs, "gid" | "pool"> {
  const { formerPools, settled, webGid } = inputs;
  if (settled) return inputs;
  const [former] = formerPools;
  return former ? { gid: former.pool.gid, pool: former.pool } : webGid === undefined ? {} : { gid: webGid };
}

export function filesLink(inputs: SiteInputs, use: Services): Step {
  const path = join(inputs.siteDirectory, "files");
  const step = symlink(use.host(inputs.server), path, inputs.paths.files, {
    id: "site/files",
    title: "Link to the files of this generation",
  });
  // Of an imported site it is the generation that has the link.
  return realPlace(inputs, inputs.paths.files) === path ? { ...step, check: async () => ({ changes: [] }) } : step;
}

export function siteEntries(inputs: SiteInputs, use: Services, place: StepPlace = { id: "site/names", title: "Names in sites.php" }): Step {
  const { core, server } = inputs;
  return sitesPhpEntries(
    { host: use.host(server), engine: use.engine(core.engine), docroot: core.docroot, locks: use.operations.locks },
    async () => ({ ...Object.fromEntries(inputs.formerNames.map((name) => [name, null])), ...namesOf(inputs) }),
    place,
  );
}

/** `clients/<client>/<uri>`, on the machine that the site is on. */
export function clientPath({ client, server, site }: Pick<SiteAndAll, "client" | "server" | "site">, use: Services): string {
  return use.layoutOf(server).clientSite(clientWord(client.name), site.uri);
}

/** That path → the site's directory, as in Aegir. */
export function clientLink(inputs: SiteInputs, use: Services): Step {
  const link = clientPath(inputs, use);
  const host = use.host(inputs.server);
  const step = symlink(host, link, inputs.siteDirectory, { id: "site/client", title: `Link for ${inputs.client.name}` });
  return {
    ...step,
    async check(run) {
      const { changes, undo = [] } = await step.check(run);
      return { changes, undo: [...(await undoParents(host, link)), ...undo] };
    },
    async apply() {
      // Of a spoke no verify makes it; whoever may pass finds nothing but links.
      await host.mkdir(dirname(dirname(link)), { mode: 0o711 });
      await host.mkdir(dirname(link), { mode: 0o750 });
      await host.symlink(inputs.siteDirectory, link);
      return null;
    },
  };
}

/** A secret of the site that is made once and kept in secrets/. */
function madeSecret(
  { site }: SiteInputs,
  use: Services,
  { key, what, bytes }: { readonly key: string; readonly what: string; readonly bytes: number },
  place: { readonly id: string; readonly title: string },
): Step {
  const path = use.layout.secretsFile(site.name);
  const before = place.id.replaceAll("/", "-");
  return {
    ...place,
    async check() {
      if (await use.secrets.get(site.name, key)) return { changes: [] };
      const stat = await use.local.stat(path);
      return {
        changes: [`make ${what}`],
        undo: [
          stat
            ? { do: "restore_file", host: use.local.name, path, before, mode: stat.mode, uid: stat.uid, gid: stat.gid }
            : { do: "restore_file", host: use.local.name, path, before: null },
        ],
        before: stat ? [{ name: before, host: use.local.name, path }] : [],
      };
    },
    async apply() {
      // An apply that a kill cut short may have written it.
      if (await use.secrets.get(site.name, key)) return null;
      const secret = new Secret(randomBytes(bytes).toString("base64url"));
      const text = await use.secrets.changed(site.name, new Map([[key, secret]]));
      if (text) await use.local.writeFile(path, text, { mode: 0o600 });
      return null;
    },
  };
}

const HASH = `[$password, $salt] = explode("\\n", stream_get_contents(STDIN), 2); echo crypt($password, '$6$' . $salt . '$');`;

/** The password that the web server asks for, as a hash that both of them read; made in secrets/ when there is none, once for all of a cluster. */
export function basicAuthSteps(inputs: SiteInputs, use: Services, first = true): readonly Step[] {
  const { site, webServer } = inputs;
  const name = visitorName(site);
  const host = use.host(webServer);
  if (webServer.http_service_type === "php") return [];
  const path = use.http(webServer).passwordFile(site.uri);
  const place = { id: "http/password-file", title: "Password file of the web server" };
  if (name === undefined) return [file(host, path, async () => undefined, {}, place)];
  const key = "http_basic_auth_password";
  const made = madeSecret(
    inputs,
    use,
    { key, what: "a password", bytes: 12 },
    { id: "http/password", title: "Password of visitors in secrets" },
  );
  return [
    ...(first ? [made] : []),
    file(
      host,
      path,
      async (run) => {
        const password = await use.secrets.get(site.name, key);
        const salt = await use.secrets.get(site.name, "hash_salt");
        if (!password || !salt) {
          run.need(made);
          throw new ProvisionError("FAILED", `${key} of ${site.name} is not in ${use.layout.secretsFile(site.name)}`);
        }
        // The same password gives the same hash: a verify finds nothing to do.
        const own = createHash("sha256").update(`${salt.reveal()}\n${password.reveal()}`).digest("hex").slice(0, 16);
        const { stdout } = await host.run([phpProgram(webServer.php), "-n", "-r", HASH], {
          input: new Secret(`${password.reveal()}\n${own}`),
          timeout: 30_000,
        });
        return `${name}:${stdout}\n`;
      },
      inputs.webGid === undefined ? { mode: 0o640 } : { mode: 0o640, gid: inputs.webGid },
      place,
    ),
  ];
}

/** The site's vhost, with a certificate to name where it needs one. `withdrawn`: files of its former names that go with it, on each web server. */
export function publish(
  inputs: SiteInputs,
  use: Services,
  enabled: boolean,
  withdrawn: (place: SiteInputs) => readonly ConfigFile[] = () => [],
): Step {
  const title = `Vhost of ${inputs.site.uri}${enabled ? "" : " (disabled)"}`;
  const files = (place: SiteInputs) => [...siteConfig(place, use, enabled), ...withdrawn(place)];
  return withCertificate(inputs, use, activateOnAll(inputs, use, "http/activate", title, files));
}

/** The same vhost with another version of the site's certificate. */
export function publishCertificate(inputs: SiteInputs, use: Services, version: string): Step {
  const title = `Certificate of ${inputs.site.uri}`;
  return activateOnAll(inputs, use, "certificate/activate", title, (place) => siteConfig(place, use, inputs.site.site_enabled, version));
}

/** The site's files of the web server; those of names it no longer has are absent. */
export function siteConfig(inputs: SiteInputs, use: Services, enabled: boolean, version?: string): readonly ConfigFile[] {
  const http = use.http(inputs.webServer);
  return [...http.siteFiles(vhostOf(inputs, use, enabled, version)), ...http.noSiteFiles(inputs.formerNames)];
}

/** Files and links a verify or install may write, as they are now. */
export async function siteBaseline(inputs: SiteInputs, use: Services): Promise<Baseline> {
  const { siteDirectory, paths, site, others = [] } = inputs;
  const elsewhere: Baseline[] = [];
  for (const place of others) elsewhere.push(await siteBaseline(place, use));
  return {
    ...Object.assign({}, ...elsewhere),
    ...(await baselineOf(use.host(inputs.server), [
      siteDirectory,
      join(siteDirectory, "settings.php"),
      join(siteDirectory, "files"),
      paths.root,
      paths.files,
      paths.gate,
      paths.gateClosed,
      clientPath(inputs, use),
    ])),
    ...(await baselineOf(use.local, [use.layout.contextFile(site.name), use.layout.secretsFile(site.name)])),
    ...(await baselineOf(
      use.host(inputs.webServer),
      siteConfig(inputs, use, true).map(({ path }) => path),
    )),
  };
}
