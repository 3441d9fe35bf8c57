import { basename, join } from "node:path";
import { Layout } from "../../context/layout.js";
import { parseMasterDb } from "../../context/master-db.js";
import { contextNameProblem, pathProblem, quoted, siteDirectory, siteName, uriProblem } from "../../context/names.js";
import { assignedIn, type PhpArray, type PhpValue } from "../../context/php-values.js";
import { type Context, type Platform, properties, type Server, type Site } from "../../context/schema.js";
import { secretsIn } from "../../context/secrets.js";
import { check, contextOf } from "../../context/validate.js";
import { parseYaml } from "../../context/yaml-file.js";
import { messageOf, ProvisionError } from "../../core/errors.js";
import type { Json } from "../../core/json.js";
import { Secret } from "../../core/secret.js";
import type { Core } from "../../engines/engine.js";
import { detectCore } from "../../engines/index.js";
import type { Host } from "../../host/host.js";
import { passwordKey } from "../../services/db/password.js";
import { databaseNameProblem, type SourceDatabase, sourceSize } from "../../services/db/source.js";

/** What keeps a hub on another machine. */
export type HubKind = "provision" | "aegir";

/** Where a hub is. JSON. */
export interface HubPlace {
  readonly kind: HubKind;
  /** Its directory there, absolute. */
  readonly root: string;
}

/**
 * A site of another hub, as that hub tells of it. Everything in it was checked as if it had been typed here; nothing of it is believed beyond that. JSON,
 * without secrets.
 */
export interface ForeignSite {
  /** With its `@`. */
  readonly name: string;
  readonly uri: string;
  /** Its platform there, with its `@`. */
  readonly platform: string;
  readonly docroot: string;
  /** Below sites/. */
  readonly directory: string;
  /** Where its files, private files and configuration are: of one of our hubs its generation, else the site's own directory. */
  readonly data: string;
  readonly engine: string | null;
  readonly core: string | null;
  readonly database: "mysql" | "pgsql" | "sqlite" | null;
  readonly state: "enabled" | "disabled" | "not installed";
  /** Why it cannot be imported; null: nothing is known against it. */
  readonly problem: string | null;
  /** Properties of its context that it keeps here, in our words. */
  readonly context: { readonly [key: string]: Json };
  /** What it is there and has no counterpart here, or is not taken over, each with what to do. */
  readonly left: readonly string[];
}

/** What a site's context keeps; the rest belongs to the place where it was. */
const KEPT: readonly string[] = [
  ...["uri", "profile", "language", "client_name", "site_name", "site_mail", "aliases", "redirection", "site_enabled", "quarantine"],
  ...["http_allow", "http_basic_auth_username", "http_basic_auth_message", "http_basic_auth_whitelist", "http_headers"],
  ...["php_paths", "write_paths"],
];
/** What every site has of its own here. */
const OURS: readonly string[] = ["context_type", "platform", "db_server", "generation", "directory", "db_name", "db_user", "imported_from"];
const FROM_ROOT = "/var/aegir";
/** Of a context, and of what Aegir writes, which has a list of every module in it. */
const MAX_TEXT = 1024 * 1024;
const MAX_AEGIR = 16 * 1024 * 1024;
const ALIAS = ".alias.drushrc.php";

/**
 * The hub at `path`, or, when that is not said, in the home directory of the account or at /var/aegir; of that kind, when one is said. Rejects with
 * HUB_NOT_FOUND, or PERMISSION_DENIED when there is one and it may not be read.
 */
export async function foreignHub(host: Host, { path, kind }: { readonly path?: string; readonly kind?: HubKind }): Promise<HubPlace> {
  const home = (await host.run(["printenv", "HOME"], { anyExit: true })).stdout.trim();
  const places = path === undefined ? [...new Set([home, FROM_ROOT])].filter((place) => place.startsWith("/")) : [path];
  for (const root of places) {
    if (kind !== "aegir" && (await host.stat(join(root, "provision.yml"))) !== undefined) return { kind: "provision", root };
    if (kind !== "provision" && ((await host.list(join(root, ".drush"))) ?? []).some((name) => name.endsWith(ALIAS)))
      return { kind: "aegir", root };
  }
  throw new ProvisionError("HUB_NOT_FOUND", `${host.name}: there is no hub in ${places.join(" or ")}`, {
    why: [
      ...(kind === "aegir" ? [] : ["one of provision has a provision.yml"]),
      ...(kind === "provision" ? [] : [`one of Aegir 3 has .drush/*${ALIAS}`]),
    ],
    state: "nothing was changed",
    next: ["--hub-path DIRECTORY    # where it is there", "log in as the account that owns it: --from aegir@host"],
  });
}

/** Every site of it, sorted by name. */
export async function foreignSites(host: Host, hub: HubPlace): Promise<readonly ForeignSite[]> {
  const reading = hub.kind === "aegir" ? await readAegir(host, hub.root) : await readOurs(host, hub.root);
  const cores = new Map<string, Promise<Core | string>>();
  const sites = reading.sites.map(async (site) => {
    if (site.docroot === "") return site;
    const core = cores.get(site.docroot) ?? detectCore(host, site.docroot).catch((error: unknown) => reasonOf(error));
    cores.set(site.docroot, core);
    const found = await core;
    if (typeof found === "string") return { ...site, problem: site.problem ?? found };
    return { ...site, docroot: found.docroot, engine: found.engine, core: found.version };
  });
  return (await Promise.all(sites)).toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

interface Reading {
  readonly sites: readonly ForeignSite[];
}

/** A failure of one site is that site's; a link that is lost is everybody's. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof ProvisionError) || error.code === "HOST_UNAVAILABLE" || error.code === "STOPPED") throw error;
  return messageOf(error);
}

/** Text of a file there, at most so much of it; undefined when there is none. Rejects with PERMISSION_DENIED, INVALID_FILE. */
async function textOf(host: Host, path: string, most = MAX_TEXT): Promise<string | undefined> {
  const { code, stdout, stderr } = await host.run(["head", "-c", String(most + 1), "--", path], { anyExit: true, env: { LC_ALL: "C" } });
  if (code === 0 && stdout.length > most) throw new ProvisionError("INVALID_FILE", `${host.name}: ${path} is larger than ${most} bytes`);
  if (code === 0) return stdout;
  if (/No such file|Not a directory/.test(stderr)) return undefined;
  throw new ProvisionError("PERMISSION_DENIED", `${host.name}: ${path} cannot be read`, {
    why: stderr.split("\n").filter((line) => line !== ""),
    state: "nothing was changed",
    next: ["log in as the account that owns the hub: --from aegir@host"],
  });
}

/** Names by which the machine knows itself, for servers that a hub has on its own machine. */
async function ownNames(host: Host): Promise<ReadonlySet<string>> {
  const { stdout } = await host.run(["sh", "-c", "uname -n; hostname -f"], { anyExit: true });
  return new Set(["localhost", "127.0.0.1", "::1", ...stdout.split("\n").filter((name) => name !== "")]);
}

const NOWHERE = { platform: "", docroot: "", directory: "", data: "", engine: null, core: null, database: null } as const;

function unreadable(name: string, problem: string): ForeignSite {
  return { ...NOWHERE, name, uri: name.slice(1), state: "not installed", problem, context: {}, left: [] };
}

// A hub of ours.

async function readOurs(host: Host, root: string): Promise<Reading> {
  const layout = new Layout(root);
  const own = await ownNames(host);
  const contexts = new Map<string, Context | string>();
  const names = ((await host.list(layout.aliases)) ?? [])
    .filter((name) => name.endsWith(".yml"))
    .map((name) => `@${name.slice(0, -".yml".length)}`)
    .filter((name) => contextNameProblem(name.slice(1)) === undefined);
  await Promise.all(names.map(async (name) => contexts.set(name, await ourContext(host, layout, name))));
  const sites: ForeignSite[] = [];
  for (const name of names) {
    const context = contexts.get(name);
    if (typeof context === "string") {
      // What it would have been nobody can tell, but a site may not be passed over in silence.
      if (!/^@(server|platform|client)_/.test(name)) sites.push(unreadable(name, context));
    } else if (context?.context_type === "site") sites.push(ourSite(context, contexts, layout, own));
  }
  return { sites };
}

async function ourContext(host: Host, layout: Layout, name: string): Promise<Context | string> {
  const path = layout.contextFile(name);
  try {
    const text = await textOf(host, path);
    return text === undefined ? "it is gone" : contextOf(parseYaml(path, text), name);
  } catch (error) {
    if (error instanceof ProvisionError && error.code === "PERMISSION_DENIED") throw error;
    return reasonOf(error);
  }
}

function ourSite(site: Site, contexts: ReadonlyMap<string, Context | string>, layout: Layout, own: ReadonlySet<string>): ForeignSite {
  const of = <T extends Context>(name: string, type: T["context_type"]): T | undefined => {
    const found = contexts.get(name);
    return typeof found === "object" && found.context_type === type ? (found as T) : undefined;
  };
  const platform = of<Platform>(site.platform, "platform");
  const server = platform && of<Server>(platform.web_server, "server");
  const dbServer = of<Server>(site.db_server, "server");
  const type = dbServer?.db_service_type;
  const kept: Record<string, Json> = {};
  const left: string[] = [];
  for (const [key, value] of Object.entries(site) as [string, Json][]) {
    if (key === "name" || OURS.includes(key) || value === undefined || isDefault("site", key, value)) continue;
    if (KEPT.includes(key)) kept[key] = value;
    else left.push(leftOver(key, String(value)));
  }
  const problem =
    platform === undefined || server === undefined
      ? `its platform ${site.platform} is not in that hub`
      : !own.has(server.remote_host)
        ? `it serves on another machine than its hub's: ${server.name} (${server.remote_host})`
        : site.generation === undefined
          ? "it is not installed"
          : dbServer === undefined
            ? `its database server ${site.db_server} is not in that hub`
            : null;
  return {
    name: site.name,
    uri: site.uri,
    platform: site.platform,
    docroot: platform === undefined ? "" : layout.resolve(platform.root),
    directory: siteDirectory(site),
    data: layout.generation(site.uri, site.generation ?? "none").root,
    engine: null,
    core: null,
    database: type === "mysql" || type === "pgsql" || type === "sqlite" ? type : null,
    state: site.generation === undefined ? "not installed" : site.site_enabled ? "enabled" : "disabled",
    problem,
    context: kept,
    left,
  };
}

function isDefault(type: "site", key: string, value: unknown): boolean {
  const { value: whole } = check(type, { context_type: "site", uri: "a.example", platform: "@platform_a", profile: "standard" });
  return key !== "profile" && JSON.stringify((whole as Readonly<Record<string, unknown>> | undefined)?.[key]) === JSON.stringify(value);
}

function leftOver(key: string, value: string): string {
  // Whoever wrote them there could have this machine's web server do anything.
  if (key.endsWith("_snippet"))
    return `${key}: lines for the web server are not taken over unread; provision save --${key}=… once you have read them`;
  if (key.startsWith("ssl")) return `${key}: ${value}; provision save --${key}=… once its name leads here`;
  return `${key}: ${quoted(value)} is not taken over`;
}

// A hub of Aegir 3.

async function readAegir(host: Host, root: string): Promise<Reading> {
  const drush = join(root, ".drush");
  const own = await ownNames(host);
  const files = ((await host.list(drush)) ?? []).filter((name) => name.endsWith(ALIAS));
  const aliases = new Map<string, PhpArray | string>();
  await Promise.all(
    files.map(async (file) => {
      const name = file.slice(0, -ALIAS.length);
      const found = assignedIn((await textOf(host, join(drush, file))) ?? "", "aliases").get(name);
      aliases.set(name, found instanceof Map ? found : "its alias file is not as Aegir writes one");
    }),
  );
  const sites: ForeignSite[] = [];
  const master = text(mapOf(aliases.get("server_master")), "remote_host");
  if (master !== undefined) (own as Set<string>).add(master);
  for (const [name, alias] of aliases) {
    if (typeof alias === "string") {
      if (!/^(server|platform)_/.test(name)) sites.push(unreadable(`@${safe(name)}`, alias));
      continue;
    }
    // Further names of a site are whole copies of its file.
    if (alias.get("context_type") !== "site" || (name !== alias.get("uri") && aliases.has(String(alias.get("uri"))))) continue;
    sites.push(await aegirSite(host, name, alias, aliases, own));
  }
  return { sites };
}

/** For a message only. */
function safe(name: string): string {
  return name.replace(/[^A-Za-z0-9._-]/g, "?").slice(0, 100);
}

function mapOf(value: PhpValue | undefined): PhpArray | undefined {
  return value instanceof Map ? value : undefined;
}

/** A text that says something. */
function text(values: PhpArray | undefined, key: string): string | undefined {
  const value = values?.get(key);
  return (typeof value === "string" && value !== "" && value !== "null" && value !== "NONE") || typeof value === "number"
    ? String(value)
    : undefined;
}

async function aegirSite(
  host: Host,
  name: string,
  alias: PhpArray,
  aliases: ReadonlyMap<string, PhpArray | string>,
  own: ReadonlySet<string>,
): Promise<ForeignSite> {
  const uri = text(alias, "uri") ?? "";
  const wrong = uriProblem(uri) ?? contextNameProblem(siteName(uri));
  const docroot = text(alias, "root") ?? "";
  const path = text(alias, "site_path") ?? join(docroot, "sites", siteName(uri));
  const directory = basename(path);
  if (wrong !== undefined) return unreadable(`@${safe(name)}`, `its uri ${quoted(uri)} ${wrong}`);
  for (const [key, value] of [
    ["root", docroot],
    ["site_path", path],
  ] as const)
    if (!value.startsWith("/") || pathProblem(value) !== undefined)
      return unreadable(`@${siteName(uri)}`, `its ${key} ${quoted(value)} ${pathProblem(value) ?? "is not absolute"}`);
  const platformName = text(alias, "platform") ?? "";
  const platform = mapOf(aliases.get(platformName.slice(1)));
  const webServer = mapOf(aliases.get((text(platform, "web_server") ?? "@server_master").slice(1)));
  const machine = text(webServer, "remote_host");
  const options = await drushrc(host, path);
  const installed = typeof options !== "string" && options.get("installed") === true;
  const type = typeof options === "string" ? undefined : text(options, "db_type");
  const problem =
    typeof options === "string"
      ? options
      : !installed
        ? "it is not installed"
        : machine !== undefined && !own.has(machine)
          ? `it serves on another machine than its hub's: ${machine}`
          : type !== "mysql" && type !== "mysqli" && type !== "pgsql"
            ? `its database is of a kind that Aegir does not have: ${quoted(type ?? "")}`
            : null;
  const { context, left } = inOurWords(alias, uri);
  return {
    name: `@${siteName(uri)}`,
    uri,
    platform: platformName,
    docroot,
    directory,
    data: path,
    engine: null,
    core: null,
    database: type === "pgsql" ? "pgsql" : type === undefined ? null : "mysql",
    state: !installed ? "not installed" : alias.get("site_enabled") === false ? "disabled" : "enabled",
    problem,
    context,
    left,
  };
}

/** drushrc.php of a site, which has its database in clear; why not, when it has none. */
async function drushrc(host: Host, path: string): Promise<PhpArray | string> {
  try {
    const found = await textOf(host, join(path, "drushrc.php"), MAX_AEGIR);
    return found === undefined ? "it is not installed: it has no drushrc.php" : assignedIn(found, "options");
  } catch (error) {
    return reasonOf(error);
  }
}

/** Properties that Aegir and its extensions give a site; those that every site has without a meaning of its own are not named. */
const SILENT = [
  ...["context_type", "platform", "server", "db_server", "root", "site_path", "uri", "drush_aliases", "install_method", "cron_key"],
  ...["http_basic_auth_password"],
];

function inOurWords(alias: PhpArray, uri: string): { readonly context: Record<string, Json>; readonly left: readonly string[] } {
  const left: string[] = [];
  const wanted: [string, Json][] = [["uri", uri]];
  const list = (value: PhpValue | undefined) =>
    typeof value === "string"
      ? value.split(/[\s,]+/).filter((one) => one !== "")
      : [...(mapOf(value)?.values() ?? [])].filter((one): one is string => typeof one === "string" && one !== "");
  for (const [key, value] of alias) {
    if (SILENT.includes(key) || value === null || value === "" || value === "NONE" || value === "null") continue;
    if (value instanceof Map && value.size === 0) continue;
    if (key === "aliases" || key === "http_basic_auth_whitelist") wanted.push([key, list(value)]);
    else if (key === "redirection") {
      if (typeof value === "string" && value !== "0") wanted.push([key, value]);
    } else if (key === "site_enabled") {
      if (value === false) wanted.push([key, false]);
    } else if (key === "ssl_enabled") {
      if (Number(value) > 0)
        left.push(`ssl_enabled: provision save --ssl=${Number(value) === 2 ? "required" : "on"} once its name leads here`);
    } else if (KEPT.includes(key) && (typeof value === "string" || typeof value === "number")) wanted.push([key, String(value)]);
    else if (value !== false && value !== 0 && value !== "0")
      left.push(leftOver(safe(key), value instanceof Map ? "a list" : String(value)));
  }
  return { ...acceptable(wanted, left), left };
}

/** What our schema takes, key by key: one value that is wrong does not take the others along. */
function acceptable(wanted: readonly (readonly [string, Json])[], left: string[]): { readonly context: Record<string, Json> } {
  const context: Record<string, Json> = {};
  const known = properties("site");
  // What needs another one comes after it.
  for (const [key, value] of wanted.toSorted(([a], [b]) => KEPT.indexOf(a) - KEPT.indexOf(b))) {
    if (!known.has(key)) continue;
    const good = Array.isArray(value) ? value.filter((one) => fits({ ...context, [key]: [one] })) : value;
    if (Array.isArray(value) && Array.isArray(good))
      for (const one of value) if (!good.includes(one)) left.push(`${key}: ${quoted(String(one))} is nothing that it can be here`);
    if (Array.isArray(good) && good.length === 0) continue;
    if (fits({ ...context, [key]: good })) context[key] = good;
    else left.push(`${key}: ${quoted(String(value))} is nothing that it can be here`);
  }
  return { context };
}

function fits(values: Readonly<Record<string, Json>>): boolean {
  return check("site", { context_type: "site", platform: "@platform_a", profile: "standard", ...values }).problems === undefined;
}

// What both are asked for later, with secrets.

/** How the site reaches its database there. Rejects with CONFIGURATION, PERMISSION_DENIED. */
export async function foreignDatabase(host: Host, hub: HubPlace, site: Pick<ForeignSite, "name" | "data">): Promise<SourceDatabase> {
  const found = hub.kind === "aegir" ? await aegirDatabase(host, site) : await ourDatabase(host, hub.root, site.name);
  const problem = found.driver === "sqlite" ? undefined : databaseNameProblem(found.database);
  if (problem !== undefined && found.driver !== "sqlite")
    throw new ProvisionError("REFUSED", `${host.name}: ${quoted(found.database)} ${problem}`, { state: "nothing was changed" });
  return found;
}

async function aegirDatabase(host: Host, { name, data }: Pick<ForeignSite, "name" | "data">): Promise<SourceDatabase> {
  const options = await drushrc(host, data);
  if (typeof options === "string") throw unknownDatabase(host, name, options);
  const [user, database] = [text(options, "db_user"), text(options, "db_name")];
  if (user === undefined || database === undefined) throw unknownDatabase(host, name, `${data}/drushrc.php does not say them`);
  const password = text(options, "db_passwd");
  const pgsql = text(options, "db_type") === "pgsql";
  return {
    driver: pgsql ? "pgsql" : "mysql",
    database,
    login: {
      user,
      password: password === undefined ? undefined : new Secret(password),
      host: text(options, "db_host") ?? "localhost",
      port: Number(text(options, "db_port") ?? (pgsql ? 5432 : 3306)),
      socket: undefined,
      tls: undefined,
      tlsCa: undefined,
    },
  };
}

async function ourDatabase(host: Host, root: string, name: string): Promise<SourceDatabase> {
  const layout = new Layout(root);
  const site = await ourContext(host, layout, name);
  if (typeof site === "string" || site.context_type !== "site") throw unknownDatabase(host, name, String(site));
  const server = await ourContext(host, layout, site.db_server);
  if (typeof server === "string" || server.context_type !== "server")
    throw unknownDatabase(host, name, `${site.db_server}: ${String(server)}`);
  if (server.db_service_type === "sqlite")
    return { driver: "sqlite", path: layout.generation(site.uri, site.generation ?? "none").database };
  if (server.master_db === undefined || site.db_name === undefined || site.db_user === undefined)
    throw unknownDatabase(host, name, `${site.db_server} or ${name} does not name it`);
  const password = (await ourSecrets(host, layout, name)).get(passwordKey(site.db_user));
  const { driver, host: address, port, socket, tls, tlsCa } = parseMasterDb(server.master_db);
  return { driver, database: site.db_name, login: { user: site.db_user, password, host: address, port, socket, tls, tlsCa } };
}

async function ourSecrets(host: Host, layout: Layout, name: string): Promise<ReadonlyMap<string, Secret>> {
  const path = layout.secretsFile(name);
  const found = await textOf(host, path);
  return found === undefined ? new Map() : secretsIn(path, found);
}

function unknownDatabase(host: Host, name: string, why: string): ProvisionError {
  return new ProvisionError("CONFIGURATION", `${host.name}: how ${name} reaches its database is not known`, {
    why: [why],
    state: "nothing was changed",
  });
}

/** The password that visitors of the site are asked for; undefined when they are not. */
export async function visitorPassword(host: Host, hub: HubPlace, name: string): Promise<Secret | undefined> {
  if (hub.kind === "provision") return (await ourSecrets(host, new Layout(hub.root), name)).get("http_basic_auth_password");
  const file = `${name.slice(1)}${ALIAS}`;
  const password = text(
    mapOf(assignedIn((await textOf(host, join(hub.root, ".drush", file))) ?? "", "aliases").get(name.slice(1))),
    "http_basic_auth_password",
  );
  return password === undefined ? undefined : new Secret(password);
}

/** Bytes of a site there: of its files and code, and of its database. Rejects when its database does not answer. */
export async function measured(
  host: Host,
  hub: HubPlace,
  site: ForeignSite,
): Promise<{ readonly files: number; readonly database: number }> {
  const trees = [...new Set([site.data, join(site.docroot, "sites", site.directory)])].map((path) => `${path}/.`);
  const { stdout } = await host.run(["du", "-s", "-c", "--block-size=1", "--apparent-size", "--", ...trees], { anyExit: true });
  const files = Number(stdout.trim().split("\n").at(-1)?.split("\t")[0] ?? 0);
  return { files: Number.isSafeInteger(files) ? files : 0, database: await sourceSize(host, await foreignDatabase(host, hub, site)) };
}
