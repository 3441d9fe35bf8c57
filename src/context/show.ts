import { join } from "node:path";
import type { Json } from "../core/json.js";
import type { Hub } from "./hub.js";
import type { Layout } from "./layout.js";
import { parseMasterDb } from "./master-db.js";
import { clientWord, siteDirectory, siteName } from "./names.js";
import { clientOf } from "./references.js";
import { type Context, type HubSettings, type Platform, properties, type Server } from "./schema.js";
import type { YamlFile } from "./yaml-file.js";

/** `data` of `show` (DESIGN 4). */
export interface Shown {
  /** Every property that has a value, and `name`. */
  readonly context: Readonly<Record<string, Json>>;
  /** What follows from it: absolute paths and names. */
  readonly derived: Readonly<Record<string, Json>>;
  /** By property: `file aliases/x.yml:3`, `default`, `provision.yml:2`, `derived`, or where the value really stands. */
  readonly origin: Readonly<Record<string, string>>;
}

/** What `show` knows beside the context; what is not there is left out. */
export interface Around {
  readonly hub: Hub;
  /** The alias file. */
  readonly file: YamlFile | undefined;
  /** provision.yml. */
  readonly settings?: YamlFile | undefined;
  /** Of a site. */
  readonly platform?: Platform | undefined;
  /** That serves a platform or a site. */
  readonly webServer?: Server | undefined;
  /** Paths on the machine where code, sites and configuration of the context stand; default: the hub's. */
  readonly place?: Layout | undefined;
  /** Where the core is, absolute, of a platform that has it below its root. */
  readonly docroot?: string | undefined;
}

/** A context with all its values and where each comes from. Pure. */
export function show(context: Context, around: Around): Shown {
  const { layout } = around.hub;
  const { file } = around;
  const values: Record<string, Json> = { name: context.name };
  const origin: Record<string, string> = {};
  for (const key of properties(context.context_type).keys()) {
    const value = (context as unknown as Readonly<Record<string, Json | undefined>>)[key];
    if (value === undefined) continue;
    values[key] = value;
    origin[key] =
      file && Object.hasOwn(file.values, key) ? `file ${layout.relative(file.path)}:${file.position([key], "key").line}` : "default";
  }
  const derived: Record<string, Json> = {};
  for (const [key, value, from] of derivedOf(context, around)) {
    if (value === undefined) continue;
    derived[key] = value;
    origin[key] = from ?? "derived";
  }
  return { context: values, derived, origin };
}

type Derived = readonly [key: string, value: string | undefined, origin?: string | undefined];

function derivedOf(
  context: Context,
  { hub: { layout, settings }, platform, webServer, settings: hubFile, place = layout, docroot }: Around,
): readonly Derived[] {
  const own: Derived[] = [
    ["alias_file", layout.contextFile(context.name)],
    ["secrets_file", layout.secretsFile(context.name)],
  ];
  switch (context.context_type) {
    case "server":
      return [
        ...(context.aegir_root === undefined ? ([["aegir_root", place.root]] as const) : []),
        ["config_path", join(place.config, context.name.slice(1))],
        ["http_config_path", httpConfig(context, place)],
        ["backup_path", layout.backups],
        ["clients_path", layout.clients],
        ...databaseAddress(context),
        ...own,
      ];
    case "platform":
      return [
        ["root_path", place.resolve(context.root)],
        ["makefile_path", placeOf(context.makefile, layout)],
        ["composer_path", context.composer_version === undefined ? placeOf(context.composer, layout) : undefined],
        ["archive_path", placeOf(context.archive, layout)],
        ["sites_path", join(docroot ?? place.resolve(context.root), "sites")],
        ["http_config_path", webServer && httpConfig(webServer, place)],
        ["php_used", context.php ?? webServer?.php, phpOrigin(context, webServer)],
        ...own,
      ];
    case "site": {
      const root = platform && place.resolve(platform.root);
      const generation = context.generation === undefined ? undefined : place.generation(context.uri, context.generation);
      const client = clientOf(context, settings);
      return [
        ...(context.directory === undefined ? ([["directory", siteName(context.uri)]] as const) : []),
        ["client", client, context.client_name === undefined ? defaultClient(settings, hubFile) : undefined],
        ["web_server", platform?.web_server, platform && `of ${platform.name}`],
        ["root", root, platform && `of ${platform.name}`],
        ["site_path", root && join(docroot ?? root, "sites", siteDirectory(context))],
        ["http_config_path", webServer && httpConfig(webServer, place)],
        ["php_used", platform?.php ?? webServer?.php, phpOrigin(platform, webServer)],
        ["generations_path", place.siteGenerations(context.uri)],
        ["generation_path", generation?.root],
        ["files_path", generation?.files],
        ["private_path", generation?.private],
        ["tmp_path", generation?.tmp],
        ["config_sync_path", generation?.configSync],
        ["backup_path", layout.siteBackups(context.uri)],
        ["client_link", place.clientSite(clientWord(client), context.uri)],
        ...own,
      ];
    }
    case "client":
      return [["client_path", join(layout.clients, clientWord(context.name))], ...own];
  }
}

/** As Aegir calls them. */
function databaseAddress({ master_db }: Server): readonly Derived[] {
  if (master_db === undefined) return [];
  const { host, port, socket } = parseMasterDb(master_db);
  return [
    ["db_host", socket ?? host, "of master_db"],
    ["db_port", socket === undefined ? String(port) : undefined, "of master_db"],
  ];
}

function httpConfig(server: Server, layout: Hub["layout"]): string | undefined {
  return server.http_service_type === "none" || server.http_service_type === "cluster"
    ? undefined
    : layout.httpConfig(server.name, server.http_service_type);
}

/** A path of a source; undefined for a URL. */
function placeOf(source: string | undefined, layout: Hub["layout"]): string | undefined {
  return source === undefined || source.includes("://") ? undefined : layout.resolve(source);
}

function phpOrigin(platform: Platform | undefined, server: Server | undefined): string | undefined {
  return platform?.php !== undefined ? `of ${platform.name}` : server?.php !== undefined ? `of ${server.name}` : undefined;
}

function defaultClient(settings: HubSettings, file: YamlFile | undefined): string {
  return file && Object.hasOwn(file.values, "client")
    ? `provision.yml:${file.position(["client"], "key").line}`
    : `default (${settings.client})`;
}
