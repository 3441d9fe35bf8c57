import { join } from "node:path";
import { siteName } from "../../context/names.js";
import { checkContext, type PlatformAndServers } from "../../context/references.js";
import type { Platform, Server } from "../../context/schema.js";
import { messageOf, ProvisionError } from "../../core/errors.js";
import { together } from "../../core/together.js";
import type { Core, Inventory } from "../../engines/engine.js";
import { detectCore } from "../../engines/index.js";
import type { Host } from "../../host/host.js";
import { phpProgram } from "../../services/php.js";
import type { Services } from "../services.js";
import type { Facts, PhpFacts, PlatformSide, SiteSide } from "./findings.js";
import { takeInventory } from "./platform-inventory.js";
import { databaseOf, type SiteInputs, siteCode } from "./site.js";

/** Everything that compareSite asks for. */
export interface Gathered {
  readonly site: SiteSide;
  readonly target: PlatformSide;
  readonly facts: Facts;
  /** What could not be found out, and why: one line each. */
  readonly unknown: readonly string[];
}

export interface GatherOptions {
  /** Of the site there. Default: as it is. */
  readonly uri?: string;
  /** Server of its database there. Default: as it is. */
  readonly dbServer?: Server;
}

/**
 * Looks at an installed site, its platform and another one, and at the machine: two scans of code, three PHP processes, no lock,
 * no change. Rejects with what detectCore and Engine.inventory reject with; what else cannot be told is in `unknown`.
 */
export async function gatherComparison(
  use: Services,
  inputs: SiteInputs,
  target: PlatformAndServers,
  { uri = inputs.site.uri, dbServer = inputs.dbServer }: GatherOptions = {},
): Promise<Gathered> {
  const { site, platform } = inputs;
  const host = use.host(inputs.server);
  const there = use.host(target.server);
  const core = await detectCore(there, use.rootOf(target));
  const unknown: string[] = [];
  const known = async <T>(what: string, ask: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ProvisionError)) throw error;
      unknown.push(`${what}: ${[messageOf(error), ...error.why.slice(0, 1)].join("; ")}`);
      return undefined;
    }
  };
  const sameServer = dbServer.name === inputs.dbServer.name;
  const samePhp = host.name === there.name && programOf(inputs) === programOf(target);
  const phpThere = phpFacts(there, programOf(target));
  // Programs first: while they run, this process looks at the code.
  const [{ result: inventory }, php, phpNow, database, room, here, code, ...found] = await together(
    use.engine(inputs.core.engine).inventory(siteCode(inputs, use)),
    known(`PHP of ${target.platform.name}`, () => phpThere),
    known(`PHP of ${platform.name}`, () => (samePhp ? phpThere : phpFacts(host, programOf(inputs)))),
    known(`the database server of ${dbServer.name}`, () => databaseFacts(use, dbServer)),
    known("room on the disk", () => space(use, host, inputs, target, sameServer)),
    takeInventory(use, host, platform, inputs.core),
    takeInventory(use, there, target.platform, core),
    taken(use, inputs, target.platform, core, there, uri),
    overrides(host, inputs, there, core),
    outside(host, inputs),
  );
  const facts: Facts = { php, phpNow, database, taken: found[0], overrides: found[1], outside: found[2], space: room };
  return {
    site: {
      name: site.name,
      directory: inputs.directory,
      profile: profileOf(inventory, site.profile, inputs.core),
      platform: platform.name,
      inventory,
      code: here,
    },
    target: {
      name: target.platform.name,
      code,
      locked: target.platform.locked && target.platform.name !== platform.name,
      source: sourceOf(target.platform),
    },
    facts,
    unknown,
  };
}

/** The profile that the site runs on. Drupal 8 and later may have none any more; where its code is gone the context knows it. */
function profileOf({ extensions, missing }: Inventory, context: string, { engine }: Core): string | undefined {
  const enabled = extensions.find(({ type, enabled: on }) => type === "profile" && on)?.name;
  return enabled ?? (engine !== "drupal" || missing.includes(context) ? context : undefined);
}

function sourceOf({ makefile, composer, git, archive }: Platform): PlatformSide["source"] {
  if (makefile !== undefined) return { kind: "makefile", name: makefile };
  if (composer !== undefined) return { kind: "composer", name: composer };
  if (git !== undefined) return { kind: "git", name: git };
  return archive === undefined ? undefined : { kind: "archive", name: archive };
}

function programOf({ platform, webServer }: PlatformAndServers): string {
  return phpProgram(platform.php ?? webServer.php);
}

const PHP = "echo json_encode(['version' => PHP_VERSION, 'extensions' => array_map('strtolower', get_loaded_extensions())]);";

async function phpFacts(host: Host, program: string): Promise<PhpFacts> {
  const { stdout } = await host.run([program, "-d", "display_errors=stderr", "-d", "log_errors=0", "-r", PHP], { timeout: 60_000 });
  return JSON.parse(stdout) as PhpFacts;
}

async function databaseFacts(use: Services, server: Server): Promise<Facts["database"]> {
  const driver = server.db_service_type;
  if (driver === "none") return undefined;
  return { server: server.name, driver, ...(await use.db(server).version()) };
}

/** Who has the name already: another context, or a directory of the platform that is not of this site. */
async function taken(
  use: Services,
  { site, platform }: SiteInputs,
  target: Platform,
  core: Core,
  host: Host,
  uri: string,
): Promise<readonly string[]> {
  if (uri === site.uri && target.name === platform.name) return [];
  const { contexts } = await use.store.load();
  const others = contexts.filter(({ name }) => uri !== site.uri || name !== site.name);
  const wanted = { ...site, name: uri === site.uri ? site.name : `@${siteName(uri)}`, uri, aliases: [], redirection: undefined };
  const lines = checkContext({ ...wanted, platform: target.name }, others, use.hub)
    .filter(({ path }) => path[0] === "uri")
    .map(({ what }) => what);
  const path = join("sites", siteName(uri));
  const settings = await host.readFile(join(core.docroot, path, "settings.php")).catch((error: unknown) => {
    if (error instanceof ProvisionError) return "";
    throw error;
  });
  // A generation of this site that was kept there is no stranger.
  const own = uri === site.uri && settings?.includes(`Written by provision for ${uri}, generation `) === true;
  if (settings !== undefined && !own) lines.push(`${path} on ${target.name} is a site already`);
  return lines;
}

/** Beside settings.php, and for all sites of a platform: what the settings that provision writes include, and what core reads by itself. */
const OF_SITE = ["local.settings.php", "settings.local.php", "services.yml"];
const OF_PLATFORM = ["sites/all/platform.settings.php", "sites/platform.settings.php"];

async function overrides(host: Host, { core: now, directory }: SiteInputs, there: Host, core: Core): Promise<Facts["overrides"]> {
  const found: { path: string; of: "site" | "here" | "there" }[] = [];
  for (const name of OF_SITE) {
    const path = join("sites", directory, name);
    if (await host.stat(join(now.docroot, path))) found.push({ path, of: "site" });
  }
  if (now.docroot === core.docroot) return found;
  for (const path of OF_PLATFORM) {
    const [here, other] = [await host.readFile(join(now.docroot, path)), await there.readFile(join(core.docroot, path))];
    if (here !== undefined && here !== other) found.push({ path, of: "here" });
    else if (here === undefined && other !== undefined) found.push({ path, of: "there" });
  }
  return found;
}

/** Links that lead out of the site's generation: its files directory itself, and what lies in it and in private. */
async function outside(host: Host, { paths, siteDirectory }: SiteInputs): Promise<Facts["outside"]> {
  const root = (await host.realPath(paths.root)) ?? paths.root;
  const found: { path: string; at: string }[] = [];
  const look = async (path: string) => {
    const at = await host.realPath(path);
    if (at !== undefined && !`${at}/`.startsWith(`${root}/`)) found.push({ path, at });
  };
  await look(join(siteDirectory, "files"));
  for (const directory of [paths.files, paths.private])
    for (const name of (await host.list(directory)) ?? [])
      if ((await host.stat(join(directory, name)))?.type === "link") await look(join(directory, name));
  return found;
}

const MINUTES = 60_000;

/** What a copy needs; the database counts where it stands on this disk. */
async function space(
  use: Services,
  host: Host,
  inputs: SiteInputs,
  target: PlatformAndServers,
  sameServer: boolean,
): Promise<Facts["space"]> {
  const { paths, dbServer } = inputs;
  const directories: string[] = [];
  for (const path of [paths.files, paths.private]) if (await host.stat(path)) directories.push(path);
  const argv = ["du", "-sk", "--", ...directories] as const;
  const { stdout } = directories.length === 0 ? { stdout: "" } : await host.run(argv, { anyExit: true, timeout: 10 * MINUTES });
  const files = stdout
    .split("\n")
    .map((line) => Number.parseInt(line, 10) || 0)
    .reduce((sum, kibibytes) => sum + kibibytes * 1024, 0);
  const database = sameServer ? await use.db(dbServer).size(databaseOf(inputs, use, dbServer)) : 0;
  return { free: await use.host(target.server).freeSpace(use.layoutOf(target.server).sites), files, database };
}
