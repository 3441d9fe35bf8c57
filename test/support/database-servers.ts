import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { behind, type Machine } from "./namespaces.js";
import { freePort } from "./php-server.js";

export type ServerType = "mysql" | "pgsql";

/** Every sign that could end a string, a name, an option or a URL. */
const MASTER_PASSWORD = "p'a\"s\\s :w/o?r#d%40@`$(id);--é";
const ROOT = process.getuid?.() === 0;

/** A database server of a test's own: own data, own port, own socket; ended by its process id. */
export interface DatabaseServer {
  readonly type: ServerType;
  readonly base: string;
  readonly port: number;
  /** What `provision save --master_db` is given: an account that may make databases, with its password. */
  readonly url: string;
  /** The same by its socket. */
  readonly socketUrl: string;
  /** Runs SQL as the first account of all; rows of columns. */
  sql(text: string, database?: string): readonly (readonly string[])[];
  /** Without its data going; `start` brings it back. */
  stop(): Promise<void>;
  start(): Promise<void>;
  remove(): Promise<void>;
}

export interface ServerOptions {
  /** More arguments for the server. */
  readonly args?: readonly string[];
  /** Directory to work below, on a file system of the test's choice. */
  readonly below?: string;
  /** Where it runs, if not here; `below` is then a directory that is the same there. */
  readonly at?: Machine;
  /** One more address that it listens on, which `url` has. pgsql: from there alone accounts are let in. */
  readonly listen?: string;
  /** With a certificate that the authority in `<base>/ca.pem` has signed for 127.0.0.1. */
  readonly tls?: true;
}

/** Why no server of this type can be started here; undefined when it can. In CI that is a failure of the first test that wants one. */
export function missingServer(type: ServerType): string | undefined {
  const missing =
    type === "mysql"
      ? inPath("mariadbd") && inPath("mariadb-install-db")
        ? undefined
        : "mariadb-server"
      : postgresPrograms()
        ? undefined
        : "postgresql";
  return missing === undefined || process.env["CI"] === "true" ? undefined : `SKIPPED: the Debian package ${missing} is not installed`;
}

export function startServer(type: ServerType, options: ServerOptions = {}): Promise<DatabaseServer> {
  return type === "mysql" ? startMariadb(options) : startPostgres(options);
}

async function startMariadb(options: ServerOptions): Promise<DatabaseServer> {
  const base = realpathSync(mkdtempSync(join(options.below ?? tmpdir(), "provision-mariadb-")));
  const port = await freePort();
  const socket = join(base, "socket");
  const data = join(base, "data");
  const common = ["--no-defaults", `--datadir=${data}`, ...(ROOT ? ["--user=root"] : [])];
  const small = [
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
  ];
  execFileSync(
    "mariadb-install-db",
    [...common, ...small, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"],
    {
      stdio: "pipe",
    },
  );
  const tls = options.tls ? certificate(base) : undefined;
  const sql = (text: string, database?: string) =>
    rows(
      execFileSync("mariadb", ["--no-defaults", `--socket=${socket}`, "-uroot", "-N", "-B", ...(database ? [database] : [])], {
        input: text,
        stdio: "pipe",
      }),
    );
  const daemon = new Daemon(
    [
      "mariadbd",
      ...common,
      ...small,
      `--socket=${socket}`,
      `--port=${port}`,
      `--bind-address=${["127.0.0.1", ...(options.listen === undefined ? [] : [options.listen])].join(",")}`,
      // No names are known of such addresses, and looking for one may take long.
      ...(options.at || options.listen !== undefined ? ["--skip-name-resolve"] : []),
      `--pid-file=${join(base, "pid")}`,
      "--log-warnings=1",
      "--event-scheduler=OFF",
      ...(tls ? [`--ssl-cert=${tls.certificate}`, `--ssl-key=${tls.key}`, `--ssl-ca=${tls.authority}`] : []),
      ...(options.args ?? []),
    ],
    options.at,
    join(base, "log"),
    // Its ways out of being asked: all data is thrown away with the rig, and a clean end takes seconds.
    "SIGKILL",
    () => sql("SELECT 1"),
  );
  await daemon.start();
  const password = MASTER_PASSWORD.replace(/[\\']/g, "\\$&");
  sql(
    ["localhost", "127.0.0.1", ...(options.listen === undefined ? [] : [options.listen.replace(/\d+$/, "%")])]
      .map((host) => `CREATE USER master@'${host}' IDENTIFIED BY '${password}'; GRANT ALL ON *.* TO master@'${host}' WITH GRANT OPTION;`)
      .join("\n"),
  );
  return server("mysql", base, port, daemon, sql, `master:${encodeURIComponent(MASTER_PASSWORD)}`, socket, options.listen);
}

async function startPostgres(options: ServerOptions): Promise<DatabaseServer> {
  const programs = postgresPrograms();
  if (programs === undefined) throw new Error("the Debian package postgresql is not installed");
  const base = realpathSync(mkdtempSync(join(options.below ?? tmpdir(), "provision-postgres-")));
  const port = await freePort();
  const data = join(base, "data");
  mkdirSync(data, { mode: 0o700 });
  writeFileSync(join(base, "password"), `${MASTER_PASSWORD}\n`);
  const tls = options.tls ? certificate(base) : undefined;
  // It refuses to work as root.
  const as = ROOT ? account() : undefined;
  if (as) {
    chmodSync(base, 0o755);
    for (const path of [base, data, join(base, "password"), ...(tls ? Object.values(tls) : [])]) chownSync(path, as.uid, as.gid);
  }
  const prefix = as ? ["setpriv", `--reuid=${as.uid}`, `--regid=${as.gid}`, "--clear-groups", "--"] : [];
  const [initdb = "", ...rest] = [
    ...prefix,
    join(programs, "initdb"),
    `--pgdata=${data}`,
    "--username=postgres",
    "--auth=scram-sha-256",
    `--pwfile=${join(base, "password")}`,
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--no-sync",
  ];
  execFileSync(initdb, rest, { stdio: "pipe", cwd: base });
  if (options.listen !== undefined) appendFileSync(join(data, "pg_hba.conf"), `host all all ${options.listen}/32 scram-sha-256\n`);
  const sql = (text: string, database = "postgres") =>
    rows(
      execFileSync(
        "psql",
        ["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-h", base, "-p", String(port), "-U", "postgres", "-d", database],
        {
          input: text,
          stdio: "pipe",
          env: { ...process.env, PGPASSWORD: MASTER_PASSWORD },
        },
      ),
    );
  const argv = [
    ...prefix,
    join(programs, "postgres"),
    "-D",
    data,
    ...[
      `port=${port}`,
      `listen_addresses=${["127.0.0.1", ...(options.listen === undefined ? [] : [options.listen])].join(",")}`,
      `unix_socket_directories=${base}`,
      "fsync=off",
      "full_page_writes=off",
      "shared_buffers=16MB",
      "autovacuum=off",
      ...(tls ? ["ssl=on", `ssl_cert_file=${tls.certificate}`, `ssl_key_file=${tls.key}`] : []),
    ].flatMap((setting) => ["-c", setting]),
    ...(options.args ?? []),
  ];
  // SIGQUIT: at once, its children too.
  const daemon = new Daemon(argv, options.at, join(base, "log"), "SIGQUIT", () => sql("SELECT 1"));
  await daemon.start();
  return server("pgsql", base, port, daemon, sql, `postgres:${encodeURIComponent(MASTER_PASSWORD)}`, base, options.listen);
}

function server(
  type: ServerType,
  base: string,
  port: number,
  daemon: Daemon,
  sql: DatabaseServer["sql"],
  who: string,
  socket: string,
  address = "127.0.0.1",
): DatabaseServer {
  return {
    type,
    base,
    port,
    url: `${type}://${who}@${address}:${port}`,
    socketUrl: `${type}://${who}@localhost:${port}?socket=${encodeURIComponent(socket)}`,
    sql,
    stop: () => daemon.stop(),
    start: () => daemon.start(),
    async remove() {
      await daemon.stop();
      rmSync(base, { recursive: true, force: true });
    },
  };
}

class Daemon {
  readonly #argv: readonly string[];
  readonly #machine: Machine | undefined;
  readonly #log: string;
  readonly #end: NodeJS.Signals;
  readonly #answers: () => unknown;
  #child: ReturnType<typeof spawn> | undefined;

  constructor(argv: readonly string[], machine: Machine | undefined, log: string, end: NodeJS.Signals, answers: () => unknown) {
    this.#argv = [...(machine?.within ?? []), ...argv];
    this.#machine = machine;
    this.#log = log;
    this.#end = end;
    this.#answers = answers;
  }

  async start(): Promise<void> {
    const [program = "", ...args] = this.#argv;
    // Its words go to a file: a full pipe would stop it.
    const child = spawn("sh", ["-c", 'log=$1; shift; exec "$@" >>"$log" 2>&1', "sh", this.#log, program, ...args], {
      stdio: "ignore",
      cwd: "/",
    });
    this.#child = child;
    // A run that is ended takes it along.
    process.once("exit", () => child.kill("SIGKILL"));
    for (let turn = 0; ; turn++) {
      if (child.exitCode !== null || child.signalCode !== null || turn > 1200)
        throw new Error(`${program} does not come up:\n${existsSync(this.#log) ? readFileSync(this.#log, "utf8").slice(-3000) : ""}`);
      try {
        this.#answers();
        return;
      } catch {
        await sleep(50);
      }
    }
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    process.kill(behind(child, this.#machine), this.#end);
    await ended;
    this.#child = undefined;
  }
}

function inPath(program: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
}

/** Debian keeps the server's programs out of the PATH, a directory for each version. */
function postgresPrograms(): string | undefined {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const found = [process.env["PROVISION_TEST_POSTGRES"] ?? "", ...versions.map((version) => join(debian, version, "bin"))];
  return found.find((directory) => directory !== "" && existsSync(join(directory, "initdb")));
}

function account(): { readonly uid: number; readonly gid: number } {
  const line = (name: string) => spawnSync("getent", ["passwd", name], { encoding: "utf8" }).stdout;
  const [, , uid, gid] = (line("postgres") || line("nobody")).split(":");
  return { uid: Number(uid), gid: Number(gid) };
}

function rows(output: Buffer): readonly (readonly string[])[] {
  return output
    .toString()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t"));
}

/** An authority, and a certificate of it for 127.0.0.1. */
function certificate(base: string) {
  const path = (name: string) => join(base, name);
  const openssl = (...args: readonly string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", path("ca.key"), "-out", path("ca.pem"), "-days", "2", "-subj", "/CN=test authority");
  openssl("req", ...key, "-keyout", path("server.key"), "-out", path("server.csr"), "-subj", "/CN=127.0.0.1");
  writeFileSync(path("names"), "subjectAltName=IP:127.0.0.1\n");
  openssl(
    ...["x509", "-req", "-in", path("server.csr"), "-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial"],
    ...["-days", "2", "-extfile", path("names"), "-out", path("server.pem")],
  );
  chmodSync(path("server.key"), 0o600);
  return { certificate: path("server.pem"), key: path("server.key"), authority: path("ca.pem") };
}
