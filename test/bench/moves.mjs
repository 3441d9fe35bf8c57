// Copies, names and ways back of a site with 50 MB of files and as much in its database, against plain tools.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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

  cli("save", "@platform_c", "--root=platforms/c", "--makefile=core.make");
  cli("verify", "@platform_c");
  writeFileSync(join(hub, "newer.make"), readFileSync(join(hub, "core.make"), "utf8").replace(/(url\] = ").*"/, `$1${newer}"`));
  cli("save", "@platform_newer", "--root=platforms/newer", "--makefile=newer.make");
  cli("verify", "@platform_newer");

  // A fresh site that moves to newer code: what it cannot do without is a backup, the copy of the database, and the updates.
  const standard = readdirSync(join(hub, "platforms/b/profiles")).includes("standard") ? "standard" : "minimal";
  site("fresh.localhost", standard);
  const parts = { backup: best(() => cli("backup", "@fresh.localhost").ms), pipe: pipeOf("fresh.localhost") };
  const moved = cli("migrate", "@fresh.localhost", "@platform_newer", "--json");
  const updates = JSON.parse(moved.stdout).steps.find(({ id }) => id === "engine/update").ms;

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
  return { backup, plain, clone, pipe, rename, rollback, fresh: { ...parts, updates, migrate: moved.ms }, memory, grown: GROWN };
}

/** Whether rsync is there, without which nothing moves. */
export function canMove() {
  return spawnSync("rsync", ["--version"]).status === 0;
}
