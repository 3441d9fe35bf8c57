// Copies, names and ways back of a site with 50 MB of files and as much in its database, against the plain pipe of a dump.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const MEGABYTE = 1 << 20;

/**
 * `cli`: runs provision on the hub, which has @platform_b and @server_db on `port`.
 * @returns {{ clone: number, pipe: number, rename: number, rollback: number }} milliseconds, of each the best of three
 */
export function benchMoves({ hub, cli, run, port }) {
  const client = ["--no-defaults", "-uroot", "-h127.0.0.1", `-P${port}`, "--protocol=tcp"];
  const sql = (text, ...more) => run("mariadb", [...client, ...more], { input: text });
  cli("save", "@big.localhost", "--context_type=site", "--platform=@platform_b", "--profile=minimal", "--db_server=@server_db");
  cli("install", "@big.localhost");
  cli("save", "@platform_c", "--root=platforms/c", "--makefile=core.make");
  cli("verify", "@platform_c");
  const context = (name) => readFileSync(join(hub, `aliases/${name}.yml`), "utf8");
  const database = (name) => /^db_name: (\S+)$/m.exec(context(name))[1];
  const [generation] = readdirSync(join(hub, "sites/big.localhost"));
  const files = join(hub, "sites/big.localhost", generation, "files/big");
  mkdirSync(files);
  for (let n = 0; n < 500; n++) writeFileSync(join(files, `${n}.bin`), randomBytes(MEGABYTE / 10));
  const row = randomBytes(500).toString("hex");
  sql("CREATE TABLE big (id INT PRIMARY KEY, body TEXT) ENGINE=InnoDB;", database("big.localhost"));
  for (let at = 0; at < 47_000; at += 1000) {
    const rows = Array.from({ length: 1000 }, (_, n) => `(${at + n}, '${n}${row}')`);
    sql(`INSERT INTO big VALUES ${rows.join(",")};`, database("big.localhost"));
  }
  const best = (action) => Math.min(...[0, 1, 2].map(action));
  const pipe = best((n) => {
    sql(`CREATE DATABASE plain${n};`);
    const dump = `mariadb-dump ${client.join(" ")} --single-transaction --quick --hex-blob ${database("big.localhost")} | mariadb ${client.join(" ")} plain${n}`;
    const { ms } = run("bash", ["-o", "pipefail", "-c", dump]);
    sql(`DROP DATABASE plain${n};`);
    return ms;
  });
  const clone = best((n) => {
    const { ms } = cli("clone", "@big.localhost", `@copy${n}.localhost`);
    cli("delete", `@copy${n}.localhost`, "--no-backup", "--yes");
    return ms;
  });
  const names = ["big", "bigger", "biggest", "big"].map((name) => `@${name}.localhost`);
  const rename = best((n) => cli("migrate", names[n], names[n + 1]).ms);
  cli("migrate", "@big.localhost", "@platform_c", "--no-backup");
  const rollback = best(() => cli("rollback", "@big.localhost", "--yes").ms);
  return { clone, pipe, rename, rollback };
}

/** Whether rsync is there, without which nothing moves. */
export function canMove() {
  return spawnSync("rsync", ["--version"]).status === 0;
}
