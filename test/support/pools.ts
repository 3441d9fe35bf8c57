import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { WebHub } from "./web-hub.js";

/** Run by the PHP of a site, as its tenant could: what it can read, open and see. */
const PROBE = `<?php
error_reporting(0);
$path = isset($_GET['path']) ? $_GET['path'] : '';
function found($path, $needle) {
  $all = array();
  foreach (is_dir($path) ? (scandir($path) ?: array()) : array() as $name) {
    if ($name === '.' || $name === '..') continue;
    $below = "$path/$name";
    if (is_dir($below) && !is_link($below)) $all = array_merge($all, found($below, $needle));
    elseif (strpos((string) file_get_contents($below), $needle) !== false) $all[] = $below;
  }
  return $all;
}
function ask($path) {
  switch ($_GET['do']) {
    case 'read': return file_get_contents($path);
    case 'list': return scandir($path);
    case 'write': return file_put_contents($path, 'by ' . posix_geteuid());
    case 'include': define('DRUPAL_ROOT', getcwd()); $databases = null; include $path; return $databases;
    case 'sqlite': $pdo = new PDO("sqlite:$path"); return $pdo->query('SELECT count(*) FROM sqlite_master')->fetchColumn();
    case 'connect': return (bool) stream_socket_client("unix://$path");
    case 'find': return found($path, base64_decode($_GET['needle']));
    case 'ini': return ini_get($path);
    case 'server': return array_values(array_filter(array_keys($_SERVER + $_ENV + getenv()), function ($name) { return strpos($name, 'db_') === 0; }));
    case 'settings': define('DRUPAL_ROOT', getcwd()); include $path;
      return array('password' => $databases['default']['default']['password'], 'left' => array_values(array_filter(array_keys($_SERVER + $_ENV), function ($name) { return strpos($name, 'db_') === 0; })));
    case 'sleep': usleep(1000 * (int) $path); return true;
  }
}
try { $answer = ask($path); } catch (Throwable $error) { $answer = false; }
$user = posix_getpwuid(posix_geteuid());
echo json_encode(array('user' => $user ? $user['name'] : posix_geteuid(), 'temp' => sys_get_temp_dir(), 'answer' => $answer), JSON_PARTIAL_OUTPUT_ON_ERROR);
`;

export interface Probed {
  readonly user: string;
  readonly temp: string;
  /** false or null: it could not. */
  readonly answer: unknown;
}

/** probe.php on the platform; sites that are saved with `--php_paths=probe.php` run it. */
export function putProbe({ hub }: WebHub): void {
  writeFileSync(hub.path("platforms/p/probe.php"), PROBE, { mode: 0o644 });
}

export async function probe(
  web: WebHub,
  host: string,
  what: string,
  path = "",
  more: Readonly<Record<string, string>> = {},
): Promise<Probed> {
  const answer = await web.get(host, `/probe.php?${new URLSearchParams({ do: what, path, ...more })}`);
  expect([host, what, path, answer.status], answer.body).toEqual([host, what, path, 200]);
  return JSON.parse(answer.body) as Probed;
}

/** PHP-FPM has pools of ours: what root does once, when verify @server says so. */
export async function withPools(web: WebHub, kind: "client" | "site"): Promise<void> {
  await web.hub.ok(`save @server_master --php_pool=${kind}`);
  await web.hub.ok("verify @server_master");
  web.fpm.includes(web.hub.path("config/server_master/php-fpm/default.conf"));
  for (let turn = 0; ; turn++) {
    const { data } = await web.hub.document("verify @server_master");
    if (JSON.stringify(data?.["problems"]) === "[]") return;
    if (turn > 100) throw new Error(`PHP-FPM does not read its pools: ${JSON.stringify(data)}\n${web.fpm.errors()}`);
    await sleep(200);
  }
}

/** Unix users and groups of pools that a hub's tests have left; none may be. They are told by the ids' owners in its pool files. */
export function accounts(database: "passwd" | "group", name: string): boolean {
  return spawnSync("getent", [database, name]).status === 0;
}

export function poolUserOf(web: WebHub, host: string): string {
  const out = execFileSync("sh", ["-c", `grep -lF '"${host}"' ${web.hub.path("config/server_master/php-fpm")}/*/pool.d/*.conf`]).toString();
  return (out.trim().split("\n")[0] ?? "").replace(/^.*\/|\.conf$/g, "");
}
