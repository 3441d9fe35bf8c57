import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { accessSync, chmodSync, constants, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Server } from "../../src/context/schema.js";
import { ask } from "../../src/services/http/ask.js";
import { behind, type Machine } from "./namespaces.js";

/**
 * nginx, Apache and PHP-FPM as real programs with configuration, logs and sockets of their own below a directory of the test; what the
 * system may run of them is never touched. Their workers are www-data where the test is root, as they would be on a server.
 */

const ROOT = process.getuid?.() === 0;

function find(...names: readonly string[]): string | undefined {
  for (const name of names) {
    for (const directory of [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"]) {
      try {
        accessSync(join(directory, name), constants.X_OK);
        return join(directory, name);
      } catch {
        // the next one
      }
    }
  }
  return undefined;
}

function fpmProgram(): string | undefined {
  const versions = readdirSync("/usr/sbin").filter((name) => /^php-fpm[\d.]+$/.test(name));
  return find(...versions, "php-fpm");
}

const PROGRAMS: Readonly<Record<string, () => string | undefined>> = {
  nginx: () => find("nginx"),
  apache: () => find("apache2"),
  "php-fpm": fpmProgram,
};

/** Why tests of this web server cannot run here; undefined when they can. In CI that is a failure. */
export function missing(type: string): string | undefined {
  if (type === "php") return undefined;
  const absent = [type, "php-fpm"].filter((program) => PROGRAMS[program]?.() === undefined);
  if (absent.length === 0) return undefined;
  if (process.env["CI"]) throw new Error(`${absent.join(" and ")} missing: bin/test installs them`);
  return `${absent.join(" and ")} not installed`;
}

class Program {
  readonly child: ChildProcess;
  readonly #name: string;
  readonly #machine: Machine | undefined;
  #said = "";

  constructor(program: string, args: readonly string[], machine: Machine | undefined) {
    this.#name = program;
    this.#machine = machine;
    const [first = "", ...words] = [...(machine?.within ?? []), program, ...args];
    this.child = spawn(first, words, { stdio: ["ignore", "pipe", "pipe"] });
    const hear = (chunk: Buffer) => {
      this.#said += chunk.toString();
    };
    this.child.stdout?.on("data", hear);
    this.child.stderr?.on("data", hear);
  }

  get pid(): number {
    return behind(this.child, this.#machine);
  }

  async until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    for (let turn = 0; !(await condition()); turn++) {
      if (this.child.exitCode !== null || turn > 600) throw new Error(`${this.#name}: not ${what}: ${this.#said}`);
      await sleep(50);
    }
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    process.kill(this.pid, signal);
    await ended;
  }
}

export interface Fpm {
  readonly listen: string;
  /** For php_fpm_restart_cmd. */
  readonly command: string;
  /** For php_fpm_test_cmd. */
  readonly test: string;
  readonly pid: number;
  /** What root does when verify @server says so: has it read a file of ours. */
  includes(path: string): void;
  errors(): string;
  stop(): Promise<void>;
}

/** PHP-FPM with one pool; on a machine where `base` is the same as here. */
export async function startFpm(base: string, machine?: Machine): Promise<Fpm> {
  const directory = join(base, "fpm");
  mkdirSync(join(directory, "pool.d"), { recursive: true });
  chmodSync(directory, 0o755);
  const listen = join(directory, "php.sock");
  const pid = join(directory, "php-fpm.pid");
  const user = ROOT ? "user = www-data\ngroup = www-data\nlisten.owner = www-data\nlisten.group = www-data\n" : "";
  writeFileSync(
    join(directory, "php-fpm.conf"),
    `[global]\npid = ${pid}\nerror_log = ${directory}/error.log\ndaemonize = no\nprocess_control_timeout = 5s\n` +
      `[www]\n${user}listen = ${listen}\nlisten.mode = 0660\npm = static\npm.max_children = 3\ncatch_workers_output = yes\ninclude=${directory}/pool.d/*.conf\n`,
  );
  const command = join(directory, "reload");
  writeFileSync(command, `#!/bin/sh\nkill -USR2 "$(cat ${pid})"\n`, { mode: 0o755 });
  const main = join(directory, "php-fpm.conf");
  const ready = () => (readOrNothing(join(directory, "error.log")).match(/ready to handle connections/g) ?? []).length;
  const before = ready();
  const program = new Program(fpmProgram() as string, ["--nodaemonize", "--fpm-config", main], machine);
  await program.until("listening", () => ready() > before);
  const test = `${fpmProgram()} -t --fpm-config ${main}`;
  return {
    listen,
    command,
    test,
    pid: program.pid,
    includes(path) {
      writeFileSync(join(directory, "pool.d/provision.conf"), `include=${path}\n`);
      if (machine) machine.run([command]);
      else execFileSync(command);
    },
    errors: () => readOrNothing(join(directory, "error.log")),
    stop: () => program.end("SIGTERM"),
  };
}

export interface WebServer {
  readonly pid: number;
  /** Of the daemon's own log. */
  errors(): string;
  /** Kills the daemon and all its processes, as a crash would. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** What a server context has to say for this daemon. */
type Commands = Pick<Server, "http_test_cmd" | "http_restart_cmd">;

interface WebDaemon {
  commands(base: string): Commands;
  /** `top` is the file that the daemon's configuration includes; on a machine both are the same as here. */
  start(base: string, top: string, port: number, machine?: Machine): Promise<WebServer>;
}

export type DaemonType = "nginx" | "apache";

export const WEB_DAEMONS: Readonly<Record<DaemonType, WebDaemon>> = {
  nginx: {
    commands: (base) => ({
      http_test_cmd: `${find("nginx")} -t -c ${base}/nginx/nginx.conf`,
      http_restart_cmd: `${find("nginx")} -c ${base}/nginx/nginx.conf -s reload`,
    }),
    start(base, top, port, machine) {
      const directory = join(base, "nginx");
      mkdirSync(directory, { recursive: true });
      const temporary = ["client_body", "fastcgi", "proxy", "scgi", "uwsgi"].map((kind) => `${kind}_temp_path ${directory}/${kind};`);
      writeFileSync(
        join(directory, "nginx.conf"),
        `${ROOT ? "user www-data;\n" : ""}worker_processes 2;\npid ${directory}/nginx.pid;\nerror_log ${directory}/error.log;\ndaemon off;\n` +
          `events { worker_connections 256; }\nhttp {\n  include /etc/nginx/mime.types;\n  default_type application/octet-stream;\n` +
          `  access_log off;\n  ${temporary.join(" ")}\n  include "${top}";\n}\n`,
      );
      return run(find("nginx") as string, ["-c", join(directory, "nginx.conf")], directory, port, machine);
    },
  },
  apache: {
    commands: (base) => ({
      http_test_cmd: `${find("apache2")} -t -f ${base}/apache/apache2.conf`,
      http_restart_cmd: `${find("apache2")} -f ${base}/apache/apache2.conf -k graceful`,
    }),
    start(base, top, port, machine) {
      const directory = join(base, "apache");
      mkdirSync(directory, { recursive: true });
      const modules = [
        ...["mpm_event", "authn_core", "authn_file", "authz_core", "authz_host", "authz_user", "auth_basic", "alias", "dir", "headers"],
        ...["mime", "rewrite", "setenvif", "env", "proxy", "proxy_fcgi", "ssl", "socache_shmcb", "http2"],
      ];
      writeFileSync(
        join(directory, "apache2.conf"),
        `ServerRoot ${directory}\nServerName localhost\nPidFile ${directory}/apache2.pid\nDefaultRuntimeDir ${directory}\nErrorLog ${directory}/error.log\n` +
          `${ROOT ? "User www-data\nGroup www-data\n" : ""}${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so\n`).join("")}` +
          `TypesConfig /etc/mime.types\nStartServers 2\nServerLimit 4\nThreadsPerChild 16\nMaxRequestWorkers 64\n` +
          `<Directory />\n  AllowOverride None\n  Require all denied\n</Directory>\nInclude "${top}"\n`,
      );
      return run(find("apache2") as string, ["-f", join(directory, "apache2.conf"), "-DFOREGROUND"], directory, port, machine);
    },
  },
};

async function run(
  program: string,
  args: readonly string[],
  directory: string,
  port: number,
  machine: Machine | undefined,
): Promise<WebServer> {
  const started = new Program(program, args, machine);
  const address = machine?.address ?? "127.0.0.1";
  await started.until("answering", async () => {
    try {
      await ask({ address, port, path: "/", headers: { host: "ready.invalid" }, timeout: 2000 });
      return true;
    } catch {
      return false;
    }
  });
  return {
    pid: started.pid,
    errors: () => readOrNothing(join(directory, "error.log")),
    async kill() {
      const children = readOrNothing(`/proc/${started.pid}/task/${started.pid}/children`).trim().split(" ");
      await started.end("SIGKILL");
      for (const child of children) {
        try {
          if (child !== "") process.kill(Number(child), "SIGKILL");
        } catch {
          // it went with its parent
        }
      }
    },
    async stop() {
      await started.end("SIGTERM");
      // What is left there goes with the machine.
      if (machine) return;
      // Apache, when its configuration ended it, is started again by the command that reloads it.
      const again = Number(readOrNothing(join(directory, "apache2.pid")));
      if (again > 1 && alive(again)) {
        process.kill(again, "SIGTERM");
        while (alive(again)) await sleep(20);
      }
    },
  };
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readOrNothing(`/proc/${pid}/stat`).includes(") Z ");
  } catch {
    return false;
  }
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
