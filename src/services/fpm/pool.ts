import { createHash } from "node:crypto";
import { join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import { settingsOf } from "../php-limits.js";
import { type Place, socketPath } from "./place.js";
import type { Sharing } from "./program.js";
import type { FpmOf, Member, PoolOf } from "./service.js";

const HEADER = "; Written by provision. Changes made here are lost at the next verify of a site.";
const DATA = "; provision ";

/** Processes of a pool that says nothing: hundreds of pools share a machine, and most have nothing to do at any time. */
const CHILDREN = 5;
/** Seconds after which a request is ended that does not end itself; time spent waiting for others counts. */
const LONGEST_REQUEST = 300;

/** All that a pool file says, and is made of. JSON. */
export interface Pool {
  readonly fpm: FpmOf;
  readonly pool: PoolOf;
  readonly members: Readonly<Record<string, Member>>;
}

export interface Around {
  readonly place: Place;
  /** Group of the web server. */
  readonly webGroup: string;
  /** Run by the web server to see which PHP answers. */
  readonly markers: readonly string[];
  readonly sharing: readonly Sharing[];
}

/** Text of a pool file; undefined for a pool without members, which has none. The same pool gives the same bytes. */
export function poolText(of: Pool, { place, webGroup, markers, sharing }: Around): string | undefined {
  const uris = Object.keys(of.members).sort();
  if (uris.length === 0) return undefined;
  const members = uris.map((uri) => of.members[uri] as Member);
  const { user } = of.pool;
  const data = join(place.data, user);
  const [sessions, temporary] = [join(data, "sessions"), join(data, "tmp")];
  const open = [...new Set([...members.flatMap(({ open }) => open), data, ...markers])].sort();
  for (const path of open) if (path.includes(":")) throw unsayable(path, "a colon, which ends a path in open_basedir");
  const children = Math.max(...members.map(({ children }) => children ?? CHILDREN));
  const limits = members.length === 1 ? settingsOf((members[0] as Member).limits) : [];
  const time = Number(limits.find(({ name }) => name === "max_execution_time")?.value ?? 0);
  const lines = [
    `[${name(user)}]`,
    `user = ${name(user)}`,
    `group = ${name(user)}`,
    `listen = ${word(socketPath(place, user))}`,
    `listen.group = ${name(webGroup)}`,
    "listen.mode = 0660",
    "pm = ondemand",
    `pm.max_children = ${children}`,
    "pm.process_idle_timeout = 20s",
    "pm.max_requests = 500",
    `request_terminate_timeout = ${Math.max(LONGEST_REQUEST, time + 60)}s`,
    "catch_workers_output = yes",
    "security.limit_extensions = .php",
    `env[TMPDIR] = ${word(temporary)}`,
    `php_admin_value[open_basedir] = ${word(open.join(":"))}`,
    `php_admin_value[session.save_path] = ${word(sessions)}`,
    `php_admin_value[upload_tmp_dir] = ${word(temporary)}`,
    `php_admin_value[sys_temp_dir] = ${word(temporary)}`,
    "php_value[session.gc_probability] = 1",
    // Pools of one PHP-FPM share the memory of opcache and APCu: without these, PHP of one runs what another compiled, its settings.php too.
    ...(sharing.includes("opcache") ? ["php_admin_flag[opcache.validate_permission] = on"] : []),
    ...(sharing.includes("apcu") ? ["php_admin_flag[apc.enabled] = off"] : []),
    ...limits.map(({ name, value, changeable }) => `${changeable ? "php_value" : "php_admin_value"}[${name}] = ${value}`),
  ];
  const said = `${DATA}${JSON.stringify({ fpm: of.fpm, pool: of.pool, members: Object.fromEntries(uris.map((uri) => [uri, of.members[uri]])) })}`;
  const text = [HEADER, said, ...lines].join("\n");
  if (/[^\P{Cc}\n]/u.test(text)) throw unsayable(user, "a control character");
  return `${text}\nenv[PROVISION_POOL] = ${hashOf(text)}\n`;
}

/** What the file was made of; undefined for a file that is not ours. */
export function readPool(text: string): Pool | undefined {
  const line = text.split("\n").find((one) => one.startsWith(DATA));
  if (!text.startsWith(HEADER) || line === undefined) return undefined;
  try {
    return JSON.parse(line.slice(DATA.length)) as Pool;
  } catch {
    return undefined;
  }
}

/** What the pool says when it is asked which text it runs; undefined for no text. */
export function poolHash(text: string | undefined): string | undefined {
  return text === undefined ? undefined : /^env\[PROVISION_POOL\] = (\w+)$/m.exec(text)?.[1];
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** What root has PHP-FPM include. Requests under way get their time to end when it is reloaded, which by itself it does not give them. */
export function topText({ pools, marker }: Place): string {
  return [
    "; Written by provision, included by PHP-FPM. Changes made here are lost at the next verify of the server.",
    "[global]",
    "process_control_timeout = 20s",
    `include=${plain(marker)}`,
    `include=${plain(join(pools, "*.conf"))}`,
    "",
  ].join("\n");
}

/** A pool of no site, asked for the generation that PHP-FPM has read. */
export function markerText(place: Place, webUser: string, webGroup: string, generation: string): string {
  return [
    "; Written by provision: proves what PHP-FPM has read.",
    "[provision-marker]",
    `user = ${name(webUser)}`,
    `group = ${name(webGroup)}`,
    `listen = ${word(place.markerSocket)}`,
    `listen.group = ${name(webGroup)}`,
    "listen.mode = 0660",
    "pm = ondemand",
    "pm.max_children = 4",
    "pm.process_idle_timeout = 5s",
    `php_admin_value[open_basedir] = ${word(place.markerScript)}`,
    `env[PROVISION_POOL] = ${name(generation)}`,
    "",
  ].join("\n");
}

export const MARKER_SCRIPT = `<?php
header('Content-Type: application/json');
echo json_encode(['pool' => getenv('PROVISION_POOL')]), "\\n";
`;

/** Names of users and groups, and what is made like them. */
function name(value: string): string {
  if (!/^[a-z_][a-z0-9_-]{0,63}$/.test(value)) throw unsayable(value, "a sign that no name has");
  return value;
}

/** One value in double quotes. PHP's ini files know `$` and backslashes in them, and have no way to write a quotation mark that all versions read. */
function word(value: string): string {
  if (/[\p{Cc}"\\$]/u.test(value)) throw unsayable(value, "a quotation mark, a backslash, a $ or a control character");
  return `"${value}"`;
}

/** A pattern of include, which takes no quotes. */
function plain(value: string): string {
  if (/[\s\p{Cc}"'\\$;=[\](){}|&~!^]/u.test(value)) throw unsayable(value, "white space or a sign with a meaning in ini files");
  return value;
}

function unsayable(value: string, what: string): ProvisionError {
  return new ProvisionError("INVALID_VALUE", `${JSON.stringify(value)} cannot stand in PHP-FPM's configuration: it holds ${what}`);
}
