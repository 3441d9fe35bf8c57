// Ratios in one run against plain tools on the same machine: never a timed test, since machines differ.
// Prints a table and ends with exit 1 when a ratio of the issue is missed by far (twice its limit), which is a regression.
// PROVISION_BENCH_ONLY=install,moves,fleet,make,inventory,ssh: these parts alone.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { benchFleet } from "./fleet.mjs";
import { benchInventory } from "./inventory.mjs";
import { benchMake } from "./make.mjs";
import { startMariadb } from "./mariadb.mjs";
import { benchMoves, canMove } from "./moves.mjs";
import { benchSsh } from "./ssh.mjs";

const PARTS = ["install", "moves", "fleet", "make", "inventory", "ssh"];
const only = process.env["PROVISION_BENCH_ONLY"]?.split(",") ?? PARTS;
const unknown = only.filter((part) => !PARTS.includes(part));
if (unknown.length > 0) throw new Error(`PROVISION_BENCH_ONLY: ${unknown.join(", ")} is not one of ${PARTS.join(", ")}`);
const wanted = (part) => only.includes(part);
const project = fileURLToPath(new URL("../..", import.meta.url));
const provision = join(project, "bin/provision.js");
const work = mkdtempSync(join(tmpdir(), "provision-bench-"));
const hub = join(work, "hub");
const core = process.env["PROVISION_TEST_DRUPAL7"] ?? join(project, "src/demo/sample");
const newer = process.env["PROVISION_TEST_DRUPAL7_NEXT"] ?? core;

function run(program, args, options = {}) {
  const begun = performance.now();
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", maxBuffer: 1 << 26, ...options });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${stderr || stdout}`);
  return { ms: performance.now() - begun, stdout, stderr };
}
const cli = (...args) => run(process.execPath, [provision, ...args, "--hub", hub]);
const SAY_MEMORY = `data:text/javascript,process.on("exit",()=>process.stderr.write("\\nHWM "+(process.resourceUsage().maxRSS)))`;
/** The most that the Node process of a command had resident, in MiB. */
function resident(...args) {
  const { stderr } = run(process.execPath, ["--import", SAY_MEMORY, provision, ...args, "--hub", hub]);
  return Number(/HWM (\d+)/.exec(stderr)?.[1] ?? Number.NaN) / 1024;
}

/** Interleaved, so that a busy moment hits all alike. */
function times(rounds, subjects) {
  const found = Object.fromEntries(Object.keys(subjects).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) for (const [name, action] of Object.entries(subjects)) found[name].push(action().ms);
  return Object.fromEntries(Object.entries(found).map(([name, all]) => [name, all.sort((a, b) => a - b)]));
}
const median = (sorted) => sorted[Math.floor(sorted.length / 2)];
const rows = [];
let mariadb;
let missed = 0;
let made = 0;
const bare = join(work, "bare.php");
function verdict(what, value, limit, unit, detail) {
  const far = value > 2 * limit;
  if (far) missed++;
  rows.push(
    `${what.padEnd(44)} ${value.toFixed(2).padStart(9)} ${unit.padEnd(4)} limit ${String(limit).padEnd(5)} ${value <= limit ? "within" : far ? "MISSED BY FAR" : "missed"}   ${detail}`,
  );
}

try {
  if (wanted("install")) benchStart();
  if (wanted("install") || wanted("moves")) {
    preparePlatform();
    if (wanted("install")) benchSqlite();
    mariadb = await startMariadb();
    if (mariadb) {
      cli("save", "@server_db", "--context_type=server", "--db_service_type=mysql", `--master_db=mysql://root@127.0.0.1:${mariadb.port}`);
      if (wanted("install")) benchOnMariadb(mariadb.port);
      if (wanted("moves")) verdictsOnMoves(mariadb.port);
    } else rows.push("install minimal on MariaDB: SKIPPED, mariadb-server is not installed");
  }
  if (wanted("fleet")) await verdictsOnFleets();
  if (wanted("make")) verdictsOnMake();
  if (wanted("inventory")) verdictOnInventory();
  if (wanted("ssh")) await verdictsOnSsh();
  if (wanted("install"))
    verdict("memory of the Node process in a verify", resident("verify", "@b0.localhost"), 120, "MiB", "maximum resident");
} finally {
  mariadb?.remove();
  rmSync(work, { recursive: true, force: true });
}
console.log(rows.join("\n"));
console.log(`core: ${core}`);
process.exitCode = missed === 0 ? 0 : 1;

function benchStart() {
  const start = times(15, {
    version: () => run(process.execPath, [provision, "--version"]),
    node: () => run(process.execPath, ["-e", "0"]),
  });
  verdict(
    "provision --version against node -e 0",
    median(start.version) / median(start.node),
    1.5,
    "x",
    `${median(start.version).toFixed(0)} / ${median(start.node).toFixed(0)} ms`,
  );
}

/** The hub, and its platform @platform_b. */
function preparePlatform() {
  run(process.execPath, [provision, "init", "--local", hub]);
  writeFileSync(
    join(hub, "core.make"),
    `core = 7.x\napi = 2\nprojects[drupal][type] = core\nprojects[drupal][download][type] = copy\nprojects[drupal][download][url] = "${core}"\n`,
  );
  cli("save", "@platform_b", "--root=platforms/b", "--makefile=core.make");
  cli("verify", "@platform_b");
  writeFileSync(bare, BARE());
}

/** By core's own installer alone; `port`: of a MariaDB, else SQLite. */
function bareInstall(...port) {
  return run("php", [bare, join(hub, "platforms/b"), join(work, `bare${made++}`), ...port]);
}

function benchSqlite() {
  const install = () => {
    const name = `@b${made++}.localhost`;
    cli("save", name, "--context_type=site", "--platform=@platform_b", "--profile=minimal");
    return cli("install", name);
  };
  const installs = times(5, { install, bare: () => bareInstall() });
  verdict(
    "install minimal on SQLite against bare PHP",
    median(installs.install) / median(installs.bare),
    1.5,
    "x",
    `${median(installs.install).toFixed(0)} / ${median(installs.bare).toFixed(0)} ms`,
  );

  cli("verify", "@b0.localhost");
  const verify = times(9, { verify: () => cli("verify", "@b0.localhost"), platform: () => cli("verify", "@platform_b") });
  verdict(
    "a verify @site that changes nothing",
    median(verify.verify) / 1000,
    0.4,
    "s",
    `${verify.verify.map((ms) => ms.toFixed(0)).join(" ")} ms`,
  );
  verdict(
    "a verify @platform that changes nothing",
    median(verify.platform) / 1000,
    0.4,
    "s",
    `${verify.platform.map((ms) => ms.toFixed(0)).join(" ")} ms`,
  );
}

/** On @server_db, at `port` of this machine. */
function benchOnMariadb(port) {
  const onMariadb = () => {
    const name = `@m${made++}.localhost`;
    cli("save", name, "--context_type=site", "--platform=@platform_b", "--profile=minimal", "--db_server=@server_db");
    return cli("install", name);
  };
  const both = times(5, { install: onMariadb, bare: () => bareInstall(String(port)) });
  verdict(
    "install minimal on MariaDB against bare PHP",
    median(both.install) / median(both.bare),
    1.3,
    "x",
    `${median(both.install).toFixed(0)} / ${median(both.bare).toFixed(0)} ms`,
  );
  cli("save", "@v.localhost", "--context_type=site", "--platform=@platform_b", "--profile=minimal", "--db_server=@server_db");
  cli("install", "@v.localhost");
  const noop = times(9, { verify: () => cli("verify", "@v.localhost") });
  verdict(
    "a verify @site on MariaDB that changes nothing",
    median(noop.verify) / 1000,
    0.4,
    "s",
    `${noop.verify.map((ms) => ms.toFixed(0)).join(" ")} ms`,
  );
}

/** On @server_db, as above. */
function verdictsOnMoves(port) {
  if (canMove()) {
    const moves = benchMoves({ hub, cli, run, resident, port, newer });
    const against = (what, value, plain, limit) => verdict(what, value / plain, limit, "x", `${value.toFixed(0)} / ${plain.toFixed(0)} ms`);
    against("backup of 50 MB files and 47 MB SQL, against dump and tar", moves.backup, moves.plain, 1.4);
    against("clone of the same, against a pipe", moves.clone, moves.pipe, 1.3);
    const { fresh, memory, grown } = moves;
    against("migrate of a fresh site, against its parts", fresh.migrate, fresh.backup + fresh.pipe + fresh.updates, 1.5);
    rows.push(
      `    backup ${fresh.backup.toFixed(0)}, pipe ${fresh.pipe.toFixed(0)}, updates ${fresh.updates.toFixed(0)} ms; from ${core} to ${newer}`,
    );
    verdict("rename on one platform", moves.rename / 1000, 0.6, "s", "the best of three");
    verdict(`rollback with ${grown} MB of database`, moves.rollback / 1000, 1, "s", "the best of three");
    verdict(
      `memory of the Node process, ${grown} MB against 47`,
      memory.big / memory.small,
      1.2,
      "x",
      `${memory.big.toFixed(0)} / ${memory.small.toFixed(0)} MiB in a backup, ${memory.migrate.toFixed(0)} in a migrate`,
    );
  } else rows.push("backup, clone, migrate, rename, rollback: SKIPPED, rsync is not installed");
}

async function verdictsOnFleets() {
  for (const type of ["nginx", "apache"]) {
    const fleet = await benchFleet(type, 100, 500);
    if (fleet === undefined) {
      rows.push(`100 sites on ${type}: SKIPPED, it is not installed`);
      continue;
    }
    const { changing, noop, one, test } = fleet;
    verdict(`100 sites on ${type}, all changed, by one verify`, changing.ms / 1000, 10, "s", `${changing.reloads} reloads`);
    verdict(`100 sites on ${type}, nothing changed`, noop.ms / 1000, 10, "s", `${noop.reloads} reloads`);
    verdict(
      `one of 500 sites on ${type} changed, in plain tests of it`,
      one.ms / test,
      10,
      "x",
      `${one.ms.toFixed(0)} / ${test.toFixed(0)} ms, ${one.reloads} reloads`,
    );
  }
}

function verdictsOnMake() {
  const built = benchMake();
  for (const [name, limit] of [
    ["cold", 0.8],
    ["warm", 0.5],
  ])
    verdict(
      `31 local projects, ${name} cache, against tar and git`,
      built[name] / built.serial,
      limit,
      "x",
      `${built[name].toFixed(0)} / ${built.serial.toFixed(0)} ms`,
    );
}

function verdictOnInventory() {
  const scanned = benchInventory(core);
  verdict(
    `inventory of ${scanned.packages} extensions by scanning`,
    median(scanned.ms) / 1000,
    0.2,
    "s",
    `${scanned.ms.map((ms) => ms.toFixed(0)).join(" ")} ms`,
  );
}

async function verdictsOnSsh() {
  const ssh = await benchSsh(core, 20);
  if (ssh === undefined) {
    rows.push("over SSH: SKIPPED, openssh-server, rsync, nginx or PHP-FPM is not installed");
    return;
  }
  const [command, master] = [median(ssh.commands), median(ssh.master)];
  verdict("a command on a kept connection", command, 5, "ms", `${master.toFixed(1)} ms by ssh with a kept master`);
  const [sync, plain] = [median(ssh.syncs), median(ssh.plains)];
  verdict("a tree that is there, against plain rsync", sync / plain, 1.3, "x", `${sync.toFixed(0)} / ${plain.toFixed(0)} ms`);
  verdict(
    "20 sites on a spoke, nothing changed",
    median(ssh.verifies) / 1000,
    5,
    "s",
    `${ssh.verifies.map((ms) => ms.toFixed(0)).join(" ")} ms`,
  );
  verdict("connections of such a run, at sshd", ssh.connections, 1, "", "");
}

/** The same installation by core's own installer alone, in one PHP process. */
function BARE() {
  return `<?php
[$_, $root, $site, $port] = $argv + [3 => ''];
$name = 'bare' . getmypid() . '.localhost';
mkdir("$root/sites/$name"); mkdir($site); mkdir("$site/files"); symlink("$site/files", "$root/sites/$name/files");
$database = ['driver' => 'sqlite', 'database' => "$site/db.sqlite", 'prefix' => ''];
if ($port !== '') {
  $database = ['driver' => 'mysql', 'host' => '127.0.0.1', 'port' => $port, 'database' => 'bare' . getmypid(), 'username' => 'root', 'password' => '', 'charset' => 'utf8mb4', 'prefix' => ''];
  (new PDO("mysql:host=127.0.0.1;port=$port", 'root', ''))->exec("CREATE DATABASE $database[database] CHARACTER SET utf8mb4");
}
file_put_contents("$root/sites/$name/settings.php", "<?php\\n\\$databases['default']['default'] = " . var_export($database, TRUE) . ";\\n\\$drupal_hash_salt = 'x';\\n");
define('DRUPAL_ROOT', $root); define('MAINTENANCE_MODE', 'install'); chdir($root);
foreach (['HTTP_HOST' => $name, 'SERVER_NAME' => $name, 'SERVER_PORT' => 80, 'SCRIPT_NAME' => '/index.php', 'PHP_SELF' => '/index.php', 'REQUEST_URI' => '/', 'REQUEST_METHOD' => 'GET', 'REMOTE_ADDR' => '127.0.0.1', 'SERVER_PROTOCOL' => 'HTTP/1.1', 'HTTP_USER_AGENT' => 'bench', 'QUERY_STRING' => '', 'SERVER_SOFTWARE' => NULL, 'SCRIPT_FILENAME' => "$root/index.php"] as $key => $value) $_SERVER[$key] = $value;
error_reporting(0); ob_start();
require_once "$root/includes/bootstrap.inc"; require_once "$root/includes/install.core.inc";
install_drupal(['parameters' => ['profile' => 'minimal', 'locale' => 'en'], 'server' => $_SERVER, 'forms' => ['install_configure_form' => ['site_name' => 'bench', 'site_mail' => 'a@example.com', 'account' => ['name' => 'admin', 'mail' => 'a@example.com', 'pass' => ['pass1' => 'x', 'pass2' => 'x']], 'site_default_country' => '', 'date_default_timezone' => 'UTC', 'update_status_module' => [1 => NULL, 2 => NULL], 'clean_url' => TRUE, 'op' => 'Save']]]);
exit(variable_get('install_task') === 'done' ? 0 : 1);
`;
}
