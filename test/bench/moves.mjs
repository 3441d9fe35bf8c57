// Copies, names and ways back of a site with 50 MB of files and as much in its database, against plain tools.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const MEGABYTE = 1 << 20;
/** What the database is grown to for the way back and for memory; less only to see whether this runs. */
const GROWN = Number(process.env["PROVISION_BENCH_MEGABYTES"] ?? 1024);

/**
 * `cli`: runs provision on the hub, which has @platform_b and @server_db on `port`; `resident`: the same, its result the most memory that its Node
 * process had, in MiB. `newer`: a core to update to.
 * @returns milliseconds, of each the best of three; MiB
 */
export function benchMoves({ hub, cli, run, resident, port, newer }) {
  const client = ["--no-defaults", "-uroot", "-h127.0.0.1", `-P${port}`, "--protocol=tcp"];
  const sql = (text, ...more) => run("mariadb", [...client, ...more], { input: text });
  const bash = (line) => run("bash", ["-o", "pipefail", "-c", line]).ms;
  const context = (name) => readFileSync(join(hub, `aliases/${name}.yml`), "utf8");
  const database = (name) => /^db_name: (\S+)$/m.exec(context(name))[1];
  const generation = (name) => join(hub, "sites", name, /^generation: (\S+)$/m.exec(context(name))[1]);
  const best = (action) => Math.min(...[0, 1, 2].map(action));
  const site = (name, profile) => {
    cli("save", `@${name}`, "--context_type=site", "--platform=@platform_b", `--profile=${profile}`, "--db_server=@server_db");
    cli("install", `@${name}`);
  };
  const dumpOf = (name) => `mariadb-dump ${client.join(" ")} --single-transaction --quick --hex-blob ${database(name)}`;
  const pipeOf = (name) =>
    best((n) => {
      sql(`CREATE DATABASE plain${n};`);
      const ms = bash(`${dumpOf(name)} | mariadb ${client.join(" ")} plain${n}`);
      sql(`DROP DATABASE plain${n};`);
      return ms;
    });
  /** Updates of a copy of the site's database on the newer core, by that core's own functions in a PHP of its own. */
  const bareUpdate = (name) => {
    const root = realpathSync(join(hub, "platforms/newer"));
    const site = join(root, "sites/bare.localhost");
    mkdirSync(join(site, "files"), { recursive: true });
    const account = { driver: "mysql", host: "127.0.0.1", port, database: "bare", username: "root", password: "", prefix: "" };
    const php = Object.entries(account).map(([key, value]) => `'${key}' => '${value}'`);
    writeFileSync(join(site, "settings.php"), `<?php\n$databases['default']['default'] = [${php.join(", ")}];\n$drupal_hash_salt = 'x';\n`);
    writeFileSync(join(hub, "update.php"), BARE_UPDATE);
    sql("CREATE DATABASE bare;");
    bash(`${dumpOf(name)} | mariadb ${client.join(" ")} bare`);
    const { ms } = run("php", [join(hub, "update.php"), root]);
    sql("DROP DATABASE bare;");
    rmSync(site, { recursive: true });
    return ms;
  };

  cli("save", "@platform_c", "--root=platforms/c", "--makefile=core.make");
  cli("verify", "@platform_c");
  writeFileSync(join(hub, "newer.make"), readFileSync(join(hub, "core.make"), "utf8").replace(/(url\] = ").*"/, `$1${newer}"`));
  cli("save", "@platform_newer", "--root=platforms/newer", "--makefile=newer.make");
  cli("verify", "@platform_newer");

  // A fresh site that moves to newer code: what it cannot do without is a backup, the copy of the database, and the updates.
  const standard = readdirSync(join(hub, "platforms/b/profiles")).includes("standard") ? "standard" : "minimal";
  site("fresh.localhost", standard);
  const parts = { backup: best(() => cli("backup", "@fresh.localhost").ms), pipe: pipeOf("fresh.localhost") };
  const updates = best(() => bareUpdate("fresh.localhost"));
  const migrated = best((n) => {
    if (n > 0) cli("rollback", "@fresh.localhost", "--yes");
    return cli("migrate", "@fresh.localhost", "@platform_newer").ms;
  });

  site("big.localhost", "minimal");
  const files = join(generation("big.localhost"), "files/big");
  mkdirSync(files);
  for (let n = 0; n < 500; n++) writeFileSync(join(files, `${n}.bin`), randomBytes(MEGABYTE / 10));
  const row = randomBytes(500).toString("hex");
  sql("CREATE TABLE big (id INT AUTO_INCREMENT PRIMARY KEY, body TEXT) ENGINE=InnoDB;", database("big.localhost"));
  for (let at = 0; at < 47_000; at += 1000) {
    const rows = Array.from({ length: 1000 }, (_, n) => `('${n}${row}')`);
    sql(`INSERT INTO big (body) VALUES ${rows.join(",")};`, database("big.localhost"));
  }
  const plain = best(() => {
    const to = join(hub, "state/plain");
    mkdirSync(to);
    const ms =
      bash(`${dumpOf("big.localhost")} | zstd -q >${to}/sql.zst`) + bash(`tar --zstd -cf ${to}/files.tar.zst -C ${join(files, "..")} .`);
    rmSync(to, { recursive: true });
    return ms;
  });
  const backup = best(() => cli("backup", "@big.localhost").ms);
  const pipe = pipeOf("big.localhost");
  const clone = best((n) => {
    const { ms } = cli("clone", "@big.localhost", `@copy${n}.localhost`);
    cli("delete", `@copy${n}.localhost`, "--no-backup", "--yes");
    return ms;
  });
  const names = ["big", "bigger", "biggest", "big"].map((name) => `@${name}.localhost`);
  const rename = best((n) => cli("migrate", names[n], names[n + 1]).ms);

  const memory = { small: resident("backup", "@big.localhost") };
  for (let size = 47; size < GROWN; size *= 2) {
    const rows = size * 2 > GROWN ? ` LIMIT ${Math.ceil((GROWN - size) * 1000)}` : "";
    sql(`INSERT INTO big (body) SELECT body FROM big${rows};`, database("big.localhost"));
  }
  memory.big = resident("backup", "@big.localhost");
  memory.migrate = resident("migrate", "@big.localhost", "@platform_c", "--no-backup");
  const rollback = best(() => cli("rollback", "@big.localhost", "--yes").ms);
  return { backup, plain, clone, pipe, rename, rollback, fresh: { ...parts, updates, migrate: migrated }, memory, grown: GROWN };
}

/** Whether rsync is there, without which nothing moves. */
export function canMove() {
  return spawnSync("rsync", ["--version"]).status === 0;
}

/** What update.php does, without its pages. */
const BARE_UPDATE = `<?php
define('DRUPAL_ROOT', $argv[1]); define('MAINTENANCE_MODE', 'update'); chdir(DRUPAL_ROOT);
foreach (['HTTP_HOST' => 'bare.localhost', 'SERVER_NAME' => 'bare.localhost', 'SERVER_PORT' => 80, 'SCRIPT_NAME' => '/update.php', 'PHP_SELF' => '/update.php', 'REQUEST_URI' => '/update.php', 'REQUEST_METHOD' => 'GET', 'REMOTE_ADDR' => '127.0.0.1', 'SERVER_PROTOCOL' => 'HTTP/1.1', 'HTTP_USER_AGENT' => 'bench', 'QUERY_STRING' => '', 'SERVER_SOFTWARE' => NULL, 'SCRIPT_FILENAME' => DRUPAL_ROOT . '/update.php'] as $key => $value) $_SERVER[$key] = $value;
error_reporting(0);
require_once 'includes/bootstrap.inc';
drupal_bootstrap(DRUPAL_BOOTSTRAP_FULL);
require_once 'includes/install.inc'; require_once 'includes/update.inc';
drupal_load_updates();
$start = array_filter(array_map(function ($update) { return $update['start'] ?? NULL; }, update_get_update_list()));
$context = ['results' => [], 'sandbox' => [], 'finished' => 1, 'message' => ''];
foreach (update_resolve_dependencies($start) as $update) {
  if (!$update['allowed']) continue;
  $context['sandbox'] = [];
  do { $context['finished'] = 1; update_do_one($update['module'], $update['number'], [], $context); } while ($context['finished'] < 1);
}
drupal_flush_all_caches();
exit(isset($context['results']['#abort']) ? 1 : 0);
`;
