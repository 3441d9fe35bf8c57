import { basename, dirname, join } from "node:path";
import type { PlatformAndServers, SiteAndAll } from "../../context/references.js";
import { type Platform, phpBytes, type Server } from "../../context/schema.js";
import { ProvisionError } from "../../core/errors.js";
import type { Json } from "../../core/json.js";
import type { Step } from "../../core/step.js";
import type { Core } from "../../engines/engine.js";
import { hasPool, membershipsOf } from "../../services/fpm/index.js";
import type { FpmOf, Member, Membership, PoolOf } from "../../services/fpm/service.js";
import {
  findPool,
  mayMakeUsers,
  needUser,
  poolUser,
  removeUser,
  type UserSetup,
  userSetupOf,
  userStep,
  userSudoersLine,
} from "../../services/fpm/users.js";
import type { RequestLimits } from "../../services/http/service.js";
import { fpmSocket } from "../../services/php.js";
import { LIMIT_KEYS, type Limits, limitsOf, settingsOf } from "../../services/php-limits.js";
import { sudoersLine, sudoGrants } from "../../services/sudo.js";
import { directories } from "../../steps/files.js";
import type { Services } from "../services.js";
import { codePlace, DOCROOT_NAMES } from "./code-place.js";
import { isSameMachine } from "./database-way.js";

/** Where the PHP of a site runs; JSON. */
export interface PoolInputs {
  readonly fpm: FpmOf;
  /** Its own pool, or its client's; undefined: the one that all share. */
  readonly pool?: PoolOf;
  /** Pools that it is a member of and is to leave. */
  readonly formerPools: readonly Membership[];
  /** It runs there already. */
  readonly settled: boolean;
}

type Of = SiteAndAll & PoolInputs & { readonly core: Core };

function runsFpm({ http_service_type }: Server): boolean {
  return http_service_type === "nginx" || http_service_type === "apache";
}

/** Whether sites of this server share a PHP-FPM pool, whose user may read what the web server's group may. */
export function sharesPool(webServer: Server): boolean {
  return runsFpm(webServer) && webServer.php_pool === "shared";
}

/** A platform with a PHP of its own has its own PHP-FPM, too. */
function hasOwnPhp(platform: Platform, webServer: Server): boolean {
  return platform.php !== undefined && platform.php !== webServer.php;
}

/** The PHP-FPM of a platform. */
function fpmOf(platform: Platform, webServer: Server): FpmOf {
  const server: Partial<Server> = hasOwnPhp(platform, webServer) ? {} : webServer;
  return {
    php: platform.php ?? webServer.php ?? null,
    test: platform.php_fpm_test_cmd ?? server.php_fpm_test_cmd ?? null,
    reload: platform.php_fpm_restart_cmd ?? server.php_fpm_restart_cmd ?? null,
  };
}

/** Every PHP-FPM in which a server has pools, or is to have some: that of its own PHP and those of its platforms. */
export async function fpmsWithPools(server: Server, use: Services): Promise<readonly FpmOf[]> {
  if (!runsFpm(server) || server.php_pool === "shared") return [];
  const { php = null, php_fpm_test_cmd: test = null, php_fpm_restart_cmd: reload = null } = server;
  const { contexts } = await use.store.load();
  const all = new Map<string, FpmOf>([[php ?? "", { php, test, reload }]]);
  const serving = new Set([server.name]);
  for (const cluster of contexts)
    if (cluster.context_type === "server" && cluster.cluster_web_servers?.includes(server.name)) serving.add(cluster.name);
  for (const platform of contexts) {
    if (platform.context_type !== "platform" || !serving.has(platform.web_server)) continue;
    const of = fpmOf(platform, server);
    if (!all.has(of.php ?? "")) all.set(of.php ?? "", of);
  }
  return [...all.values()];
}

/** What keeps sites from having pools of their own, for `verify @server` and `doctor`. */
export async function poolProblems(server: Server, fpms: readonly FpmOf[], use: Services): Promise<readonly string[]> {
  const found: string[] = [];
  for (const fpm of fpms) {
    found.push(...(await use.fpm(server, fpm).problems()));
    if (server.script_user === "root") continue;
    const { test, reload } = await use.fpm(server, fpm).commands();
    if (!(await sudoGrants(use.host(server), [test, reload])))
      found.push(`for PHP-FPM, in /etc/sudoers.d/provision: ${sudoersLine(server.script_user, [test, reload])}`);
  }
  const setup = userSetup(server, use);
  if (fpms.length > 0 && !(await mayMakeUsers(setup)))
    found.push(`${server.script_user} may not make Unix users for pools; in /etc/sudoers.d/provision: ${userSudoersLine(setup)}`);
  return found;
}

function sharedListen(platform: Platform, webServer: Server): string {
  if (platform.php_fpm_listen !== undefined) return platform.php_fpm_listen;
  return hasOwnPhp(platform, webServer) ? fpmSocket(platform.php) : (webServer.php_fpm_listen ?? fpmSocket(webServer.php));
}

/** Where the PHP of the site listens. */
export function listenOf({ platform, webServer, fpm, pool }: SiteAndAll & PoolInputs, use: Services): string {
  return pool ? use.fpm(webServer, fpm).socket(pool) : sharedListen(platform, webServer);
}

function userSetup(server: Server, use: Services): UserSetup {
  return userSetupOf(server, use.host(server), use.operations.locks);
}

function siteUser({ site }: Pick<SiteAndAll, "site">, use: Services): string {
  return poolUser(use.layout.root, "site", site.uri);
}

/** Where the PHP of a site runs, and where it ran. Rejects with NAME_TAKEN, and CONFIGURATION for limits that could reach other sites. */
export async function poolInputs(use: Services, all: SiteAndAll): Promise<PoolInputs> {
  const { platform, webServer, client } = all;
  const fpm = fpmOf(platform, webServer);
  if (!runsFpm(webServer)) return { fpm, formerPools: [], settled: true };
  refuseLeakingLimits(all);
  const host = use.host(webServer);
  const own = siteUser(all, use);
  const user = { shared: undefined, client: poolUser(use.layout.root, "client", client.name), site: own }[webServer.php_pool];
  const pool = user === undefined ? undefined : await findPool(host, user);
  const memberships = await poolsOf(use, all);
  const formerPools = memberships.filter((one) => one.pool.user !== user || one.fpm.php !== fpm.php);
  const settled = formerPools.length === 0 && (pool === undefined || memberships.length > 0);
  return { fpm, ...(pool ? { pool } : {}), formerPools, settled };
}

/** Every pool of the web server that the site is a member of. */
export async function poolsOf(use: Services, all: SiteAndAll): Promise<readonly Membership[]> {
  return membershipsOf(use.host(all.webServer), use.layoutOf(all.webServer), all.webServer.name, all.site.uri, siteUser(all, use));
}

/** A process of PHP-FPM keeps what a request has set: a limit of one site would be that of the next, which says none. */
function refuseLeakingLimits({ site, webServer }: SiteAndAll): void {
  if (webServer.php_pool === "site") return;
  const missing = LIMIT_KEYS.filter((key) => site[key] !== undefined && webServer[key] === undefined);
  if (missing.length === 0) return;
  throw new ProvisionError(
    "CONFIGURATION",
    `${site.name} says ${missing.join(", ")}, and ${webServer.name} does not say what other sites have`,
    {
      why: [`its PHP runs in a pool with others (php_pool: ${webServer.php_pool}), whose processes keep what the last request has set`],
      state: "nothing was changed",
      next: [
        ...missing.map((key) => `provision save ${webServer.name} --${key}=…    # for all sites that say nothing, as php.ini has it`),
        `provision verify ${webServer.name}`,
      ],
    },
  );
}

/** What the web server tells PHP of one site with each request, and grants it. */
export function requestLimits({ site, webServer }: SiteAndAll): RequestLimits {
  const all = limitsOf(webServer, site);
  const own = limitsOf(site);
  const body = all.php_post_max_size === undefined ? 0 : phpBytes(all.php_post_max_size);
  const time = all.php_max_execution_time ?? 0;
  return {
    settings: Object.keys(own).length === 0 || webServer.php_pool === "site" ? [] : settingsOf(all),
    largestBody: body > 64 * 1024 * 1024 ? body : undefined,
    patience: time > 60 ? time + 60 : undefined,
  };
}

function memberOf({ site, platform, server, webServer, core }: Of, use: Services): Member {
  const { project } = codePlace(platform, use.layoutOf(server));
  // A Composer project keeps its packages beside the docroot.
  const code = core.docroot === project || core.docroot.startsWith(`${project}/`) ? project : core.docroot;
  const limits: Limits = webServer.php_pool === "site" ? limitsOf(webServer, site) : {};
  return {
    open: [
      ...new Set([
        code,
        ...(code === core.docroot && DOCROOT_NAMES.includes(basename(code)) ? [join(dirname(code), "vendor")] : []),
        use.layoutOf(server).siteGenerations(site.uri),
      ]),
    ],
    children: site.php_max_children ?? null,
    limits,
  };
}

/** Refuses what would fail half-way: users that cannot be made, a PHP-FPM that does not read our files. */
export async function refusePool({ webServer, fpm, pool }: SiteAndAll & PoolInputs, use: Services): Promise<void> {
  if (!pool) return;
  await needUser(userSetup(webServer, use), pool);
  await use.fpm(webServer, fpm).needIncluded();
}

/** The site's own pool, before anything of the site belongs to its user's group. */
export function poolSteps(inputs: Of, use: Services): readonly Step[] {
  const { site, webServer, fpm, pool } = inputs;
  if (!pool) return [];
  const service = use.fpm(webServer, fpm);
  const { root, sessions, temporary } = service.directories(pool);
  const at = (path: string, mode: number) => ({ path, ownership: { mode, gid: pool.gid } });
  return [
    userStep(userSetup(webServer, use), webServer.name, pool),
    directories(use.host(webServer), [at(root, 0o750), at(sessions, 0o2770), at(temporary, 0o2770)], {
      id: "php/directories",
      title: `Directories of the pool ${pool.user}`,
    }),
    service.activate("php/pool", `PHP-FPM pool ${pool.user}`, [{ pool, uri: site.uri, member: memberOf(inputs, use) }]),
  ];
}

/** Out of the pools that it ran in before; after the vhost that leads elsewhere. */
export function leavePools({ site, webServer, formerPools }: SiteAndAll & Pick<PoolInputs, "formerPools">, use: Services): readonly Step[] {
  return formerPools.map(({ fpm, pool }, index) =>
    use
      .fpm(webServer, fpm)
      .activate(`php/leave${index === 0 ? "" : `-${index}`}`, `Leave the PHP-FPM pool ${pool.user}`, [
        { pool, uri: site.uri, member: undefined },
      ]),
  );
}

/** What the PHP of pools that have no site any more kept, and their users. */
export function dropPoolUsers({ webServer, formerPools }: SiteAndAll & Pick<PoolInputs, "formerPools">, use: Services): readonly Step[] {
  const host = use.host(webServer);
  const gone = async () => {
    const empty: { user?: string; directory: string }[] = [];
    for (const { fpm, pool } of formerPools) {
      if (await hasPool(host, use.layoutOf(webServer), webServer.name, pool.user, fpm)) continue;
      const { root: directory } = use.fpm(webServer, fpm).directories(pool);
      if (!(await isUsed(webServer, pool, use))) empty.push({ user: pool.user, directory });
      else if (await host.stat(directory)) empty.push({ directory });
    }
    return empty;
  };
  if (formerPools.length === 0) return [];
  return [
    {
      id: "php/user-remove",
      title: "Remove the Unix users of pools without sites",
      phase: "finish",
      check: async () => ({
        changes: (await gone()).map(({ user, directory }) => (user === undefined ? `remove ${directory}` : `remove the user ${user}`)),
      }),
      async apply() {
        for (const { user, directory } of await gone()) {
          await host.remove(directory);
          if (user !== undefined) await removeUser(userSetup(webServer, use), user);
        }
        return null;
      },
    },
  ];
}

/** Any PHP-FPM of the machine has a pool of the user: a site may have moved to another web server there. */
async function isUsed(webServer: Server, { user }: PoolOf, use: Services): Promise<boolean> {
  const { contexts } = await use.store.load();
  for (const server of contexts) {
    if (server.context_type !== "server" || !isSameMachine(server, webServer)) continue;
    if (await hasPool(use.host(server), use.layoutOf(server), server.name, user)) return true;
  }
  return false;
}

/** Has the PHP of these sites start anew. */
export async function reloadPhp(
  use: Services,
  { platform, webServer }: Pick<PlatformAndServers, "platform" | "webServer">,
  uris: readonly string[],
) {
  await use.reloadPhp(webServer, runsFpm(webServer) ? fpmOf(platform, webServer) : undefined, uris);
}

/** The same as an undo; it comes after what is undone before it in the list, which runs from its end. */
export function reloadPhpUndo(
  use: Services,
  { platform, webServer }: Pick<PlatformAndServers, "platform" | "webServer">,
  uris: readonly string[],
) {
  const fpm = runsFpm(webServer) ? { fpm: { ...fpmOf(platform, webServer) } satisfies Json } : {};
  return { do: "http_reload", host: use.host(webServer).name, server: webServer.name, uris, ...fpm };
}

/** Where `now` runs and `next` does not: the pool of another name, client or PHP. */
function poolLeft(now: SiteAndAll & PoolInputs, next: SiteAndAll & PoolInputs): (SiteAndAll & Pick<PoolInputs, "formerPools">) | undefined {
  const { fpm, pool } = now;
  const same = now.site.uri === next.site.uri && now.webServer.name === next.webServer.name && fpm.php === next.fpm.php;
  if (!pool || (same && pool.user === next.pool?.user)) return undefined;
  return { ...now, formerPools: [{ fpm, pool }] };
}

/** A site that moved, or has another name, leaves the pool that it had; after the vhost that leads elsewhere. */
export function leavePool(now: SiteAndAll & PoolInputs, next: SiteAndAll & PoolInputs, use: Services): readonly Step[] {
  const left = poolLeft(now, next);
  return left ? leavePools(left, use) : [];
}

export function dropPoolUser(now: SiteAndAll & PoolInputs, next: SiteAndAll & PoolInputs, use: Services): readonly Step[] {
  const left = poolLeft(now, next);
  return left ? dropPoolUsers(left, use) : [];
}
