import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { SshTarget } from "../../src/host/ssh-settings.js";
import { behind, childrenOf, type Machine } from "./namespaces.js";
import { freePort } from "./php-server.js";

/** Why no sshd can be started here; undefined when it can. In CI that is a failure of the first test that wants one. */
export function missingSshd(): string | undefined {
  const missing = ["/usr/sbin/sshd", "/usr/bin/ssh-keygen"].filter((path) => !existsSync(path));
  return missing.length === 0 || process.env["CI"] === "true"
    ? undefined
    : "SKIPPED: the Debian packages openssh-server and openssh-client are not installed";
}

/** An sshd of a test's own, with keys, port and log of its own. */
export interface Sshd {
  readonly base: string;
  readonly address: string;
  readonly port: number;
  /** Private key that it lets in, without a passphrase. */
  readonly identity: string;
  /** Holds its host key. */
  readonly knownHosts: string;
  /** `SHA256:…` of its host key. */
  readonly hostKey: string;
  /** Connections that were made to it so far. */
  connections(): number;
  log(): string;
  /** What a host object needs to reach it. */
  target(more?: Partial<SshTarget>): SshTarget;
  /** Again with other lines in its configuration, or another host key. */
  restart(change: { readonly lines?: readonly string[]; readonly newKey?: true }): Promise<void>;
  /** Connections that are open stay. */
  stop(): Promise<void>;
  /** The link is cut: connections that are open are gone, and there are no others before `restart`. What runs there goes on as long as it can. */
  cut(): Promise<void>;
  remove(): Promise<void>;
}

export interface SshdOptions {
  readonly lines?: readonly string[];
  /** Where it runs; default: here. */
  readonly machine?: Machine | undefined;
  /** Default: the machine's, or 127.0.0.1. */
  readonly address?: string;
  readonly user?: string;
}

export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  const base = mkdtempSync(join(tmpdir(), "provision-sshd-"));
  const { machine } = options;
  const there = machine === undefined ? base : `/srv/${basename(base)}`;
  const seen = machine?.seen(there) ?? base;
  mkdirSync(seen, { recursive: true, mode: 0o755 });
  const address = options.address ?? machine?.address ?? "127.0.0.1";
  const port = await freePort();
  const user = options.user ?? userInfo().username;
  const key = (path: string) => execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path]);
  const identity = join(base, "identity");
  key(identity);
  writeFileSync(join(seen, "authorized_keys"), readFileSync(`${identity}.pub`));
  const hostKey = join(seen, "host_key");
  key(hostKey);
  const knownHosts = join(base, "known_hosts");
  const log = join(seen, "log");
  const print = () => readFileSync(`${hostKey}.pub`, "utf8").split(" ").slice(0, 2).join(" ");
  writeFileSync(knownHosts, `[${address}]:${port} ${print()}\n`);
  let daemon: ChildProcess | undefined;

  mkdirSync(join(seen, "home"), { mode: 0o777 });
  chmodSync(join(seen, "home"), 0o777);

  const start = async (lines: readonly string[]) => {
    if (process.getuid?.() === 0) mkdirSync(machine?.seen("/run/sshd") ?? "/run/sshd", { recursive: true });
    const configuration = [
      ...lines,
      `Port ${port}`,
      `ListenAddress ${address}`,
      `HostKey ${there}/host_key`,
      `AuthorizedKeysFile ${there}/authorized_keys`,
      `PidFile ${there}/pid`,
      "StrictModes no",
      "UsePAM no",
      "LogLevel VERBOSE",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "PermitRootLogin yes",
      "PrintMotd no",
      "MaxStartups 100",
      "Subsystem sftp internal-sftp",
      // Debian's bash reads the account's .bashrc for sshd, unless it seems to be inside another; whose that is here is not known.
      // What is kept in a home directory is not kept in that of who runs the tests.
      `SetEnv SHLVL=2 HOME=${there}/home`,
    ];
    writeFileSync(join(seen, "sshd_config"), `${configuration.join("\n")}\n`);
    const [program = "", ...args] = [
      ...(machine?.within ?? []),
      "/usr/sbin/sshd",
      "-D",
      "-f",
      `${there}/sshd_config`,
      "-E",
      `${there}/log`,
    ];
    // Before it is started: it may be listening at once.
    const before = (readOrNothing(log).match(/Server listening/g) ?? []).length;
    const child = spawn(program, args, { stdio: "ignore" });
    daemon = child;
    const end = () => child.kill("SIGKILL");
    process.once("exit", end);
    child.once("exit", () => process.off("exit", end));
    for (let turn = 0; (readOrNothing(log).match(/Server listening/g) ?? []).length <= before; turn++) {
      if (child.exitCode !== null || turn > 600) throw new Error(`sshd does not come up: ${readOrNothing(log)}`);
      await sleep(20);
    }
  };
  const stop = async () => {
    const child = daemon;
    daemon = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    process.kill(behind(child, machine), "SIGTERM");
    await ended;
  };
  try {
    await start(options.lines ?? []);
  } catch (error) {
    await stop();
    rmSync(base, { recursive: true, force: true });
    rmSync(seen, { recursive: true, force: true });
    throw error;
  }
  const fingerprint = () => (/SHA256:\S+/.exec(spawnSync("ssh-keygen", ["-lf", `${hostKey}.pub`], { encoding: "utf8" }).stdout) ?? [""])[0];
  return {
    base,
    address,
    port,
    identity,
    knownHosts,
    get hostKey() {
      return fingerprint();
    },
    connections: () => (readOrNothing(log).match(/^Connection from /gm) ?? []).length,
    log: () => readOrNothing(log),
    target: (more = {}) => ({
      name: "@server_spoke",
      host: address,
      user,
      port,
      identity,
      knownHosts: [knownHosts],
      hub: `test:${base}`,
      config: "/dev/null",
      ...more,
    }),
    async restart({ lines = options.lines ?? [], newKey }) {
      await stop();
      if (newKey) {
        rmSync(hostKey);
        key(hostKey);
      }
      await start(lines);
    },
    stop,
    async cut() {
      const open = daemon === undefined ? [] : childrenOf(behind(daemon, machine));
      await stop();
      for (const pid of open) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          // It has ended by itself.
        }
      }
    },
    async remove() {
      await stop();
      rmSync(base, { recursive: true, force: true });
      rmSync(seen, { recursive: true, force: true });
    },
  };
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
