import { execFileSync } from "node:child_process";
import { appendFileSync, chmodSync, mkdirSync, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { ask } from "../../src/services/http/ask.js";
import type { HttpAnswer } from "../../src/services/http/service.js";
import { TestHub } from "./hub.js";
import { type Machine, type Machines, missingMachines, startMachines } from "./namespaces.js";
import { freePort } from "./php-server.js";
import { missingSshd, type Sshd, startSshd } from "./sshd.js";
import { type Fpm, missing, startFpm, WEB_DAEMONS, type WebServer } from "./web-servers.js";

/**
 * Another machine, with an sshd of its own, and nginx or Apache, PHP-FPM and SQLite below a root of its own: in namespaces of its own where they
 * can be had, else, as far as a hub can tell, an address of loopback.
 */
export interface TestSpoke {
  /** With its `@`. */
  readonly name: string;
  /** `remote_host`. */
  readonly address: string;
  /** `aegir_root`: the same directory here and there. */
  readonly root: string;
  readonly sshd: Sshd;
  readonly fpm: Fpm;
  readonly type: "nginx" | "apache";
  readonly daemon: WebServer;
  readonly port: number;
  /** For files of its daemons; the same directory here and there. */
  readonly base: string;
  /** What it is in, for cables that are drawn and the like; without namespaces it throws. */
  readonly machine: Machine;
  path(relative: string): string;
  get(host: string, path: string): Promise<HttpAnswer>;
  /** What provision calls to have its web server and PHP-FPM read their configuration again; a number of a process there is none here. */
  reload(): void;
  /** It goes down without a word, and comes up again with all its daemons. Not without namespaces. */
  reboot(): Promise<void>;
}

export interface SpokeHub {
  readonly hub: TestHub;
  readonly spokes: readonly TestSpoke[];
  /** A directory that all spokes have, as of a file server. */
  readonly storage: string;
  /** One machine more beside the spokes, with nothing on it. Not without namespaces. */
  add(name: string, shared: readonly string[]): Promise<Machine>;
  remove(): Promise<void>;
}

/** Why there can be no spoke here; undefined when there can. */
export function missingSpoke(type: "nginx" | "apache"): string | undefined {
  return missingSshd() ?? missing(type);
}

/**
 * A hub with spokes @web1, @web2 …, verified. `context`: what is saved of the server beside how it is reached and what serves there.
 */
export async function spokeHub(
  types: readonly ("nginx" | "apache")[],
  context: readonly string[] = ["--db_service_type=sqlite"],
): Promise<SpokeHub> {
  const hub = await TestHub.empty();
  // The daemons' own users have to come through.
  chmodSync(hub.base, 0o755);
  const ends: (() => unknown)[] = [() => hub.remove()];
  const remove = async () => {
    for (const end of ends.toReversed()) await end();
  };
  try {
    let machines: Machines | undefined;
    if (missingMachines() === undefined) {
      machines = await startMachines();
      ends.push(() => machines?.remove());
    }
    const storage = join(hub.base, "storage");
    mkdirSync(storage, { mode: 0o755 });
    const spokes: TestSpoke[] = [];
    for (const [index, type] of types.entries()) {
      const name = `web${index + 1}`;
      const root = join(hub.base, name);
      const base = join(hub.base, `${name}-daemons`);
      for (const directory of [root, base]) mkdirSync(directory, { mode: 0o755 });
      const machine = await machines?.add(name, [root, base, storage]);
      const address = machine?.address ?? `127.0.0.${index + 2}`;
      const sshd = await startSshd({ address, machine });
      ends.push(() => sshd.remove());
      appendFileSync(hub.path("known_hosts"), readFileSync(sshd.knownHosts));
      let fpm: Fpm = await startFpm(base, machine);
      ends.push(() => fpm.stop());
      const port = await freePort();
      const commands = WEB_DAEMONS[type].commands(base);
      await hub.ok([
        ...["save", `@${name}`, "--context_type=server", `--remote_host=${address}`, `--script_user=${userInfo().username}`],
        ...[`--ssh_port=${sshd.port}`, `--ssh_identity=${sshd.identity}`, `--aegir_root=${root}`, `--http_port=${port}`],
        ...[`--http_service_type=${type}`, `--php_fpm_listen=${fpm.listen}`],
        ...[`--http_test_cmd=${commands.http_test_cmd}`, `--http_restart_cmd=${commands.http_restart_cmd}`],
        ...[`--php_fpm_restart_cmd=${fpm.command}`, `--php_fpm_test_cmd=${fpm.test}`, ...context],
        ...(process.getuid?.() === 0 ? ["--web_group=www-data"] : []),
      ]);
      await hub.ok(`verify @${name}`);
      const serve = () => WEB_DAEMONS[type].start(base, join(root, `config/${name}/${type}.conf`), port, machine);
      let daemon = await serve();
      ends.push(() => daemon.stop());
      const within = () => {
        if (machine === undefined) throw new Error(`${name} is an address of loopback: ${missingMachines()}`);
        return machine;
      };
      spokes.push({
        ...{ name: `@${name}`, address, root, base, sshd, type, port },
        get fpm() {
          return fpm;
        },
        get daemon() {
          return daemon;
        },
        get machine() {
          return within();
        },
        path: (relative) => join(root, relative),
        get: (host, path) => ask({ ...(machine ? { address } : {}), port, path, headers: { host: `${host}:${port}` }, timeout: 20_000 }),
        reload() {
          for (const command of [fpm.command, String(commands.http_restart_cmd)]) {
            const [program = "", ...args] = [...(machine?.within ?? []), ...command.split(" ")];
            execFileSync(program, args, { stdio: "pipe" });
          }
        },
        async reboot() {
          within().crash();
          await sshd.restart({});
          fpm = await startFpm(base, machine);
          daemon = await serve();
        },
      });
    }
    const add = (name: string, shared: readonly string[]) => {
      if (machines === undefined) throw new Error(`there is no machine for ${name}: ${missingMachines()}`);
      return machines.add(name, shared);
    };
    return { hub, spokes, storage, add, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
