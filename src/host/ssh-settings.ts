import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { join } from "node:path";
import { isSystemError, messageOf, ProvisionError } from "../core/errors.js";

/** A machine as a server context describes it; what is not said here comes from ~/.ssh/config. */
export interface SshTarget {
  /** Name of the server context, with its `@`. */
  readonly name: string;
  /** `remote_host`: a host name, an address or a `Host` of ~/.ssh/config. */
  readonly host: string;
  /** `script_user`; undefined: whom ~/.ssh/config names. */
  readonly user: string | undefined;
  /** `ssh_port`. */
  readonly port?: number | undefined;
  /** `ssh_identity`: path of a private key, absolute. One with a passphrase is used by the agent alone. */
  readonly identity?: string | undefined;
  /** `ssh_jump`, as ssh's -J takes it: `user@host:port`, several with commas, nearest first. */
  readonly jump?: string | undefined;
  /** `ssh_host_key`: fingerprint of its key, `SHA256:…`; the known_hosts files are then asked only whether it is revoked. */
  readonly hostKey?: string | undefined;
  /** `ssh_keepalive`: seconds between two questions whether it is still there. */
  readonly keepalive?: number | undefined;
  /** Further known_hosts files, asked before the user's own. */
  readonly knownHosts: readonly string[];
  /** The beginning of the command line that accepts its key, before the fingerprint; default: that of a server context. */
  readonly accept?: string | undefined;
  /** What the spoke's locks are held for, in people's words: this machine and the path of the hub. Runs of one hub know each other by it. */
  readonly hub: string;
  /** Instead of ~/.ssh/config and the system's. */
  readonly config?: string | undefined;
}

/** What OpenSSH would do for this target, as `ssh -G` tells it. */
export interface SshSettings {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Private keys, in the order in which they are tried; those of its defaults need not exist. */
  readonly identities: readonly string[];
  /** Nothing else of the agent's is offered. */
  readonly identitiesOnly: boolean;
  /** Socket of the agent. */
  readonly agent: string | undefined;
  readonly jumps: readonly string[];
  readonly proxyCommand: string | undefined;
  readonly knownHosts: readonly string[];
  /** The name its key is known by. */
  readonly keyName: string;
  /** Seconds between two questions whether the machine is still there (ServerAliveInterval); undefined: nobody said. */
  readonly keepalive: number | undefined;
}

/** Asks OpenSSH itself, which knows Include, Match and every token; nothing is connected. Rejects with CONFIGURATION or PROGRAM_MISSING. */
export async function sshSettings(target: SshTarget): Promise<SshSettings> {
  const args = [
    "-G",
    ...(target.config === undefined ? [] : ["-F", target.config]),
    ...(target.user === undefined ? [] : ["-l", target.user]),
    ...(target.port === undefined ? [] : ["-p", String(target.port)]),
    ...(target.identity === undefined ? [] : ["-i", target.identity, "-o", "IdentitiesOnly=yes"]),
    ...(target.jump === undefined ? [] : ["-J", target.jump]),
    ...(target.keepalive === undefined ? [] : ["-o", `ServerAliveInterval=${target.keepalive}`]),
    "--",
    target.host,
  ];
  const { code, stdout, stderr } = await openssh("ssh", args);
  if (code !== 0)
    throw new ProvisionError("CONFIGURATION", `${target.name}: ssh does not understand its configuration for ${target.host}`, {
      why: stderr.split("\n").filter((line) => line !== ""),
      next: [`ssh -G ${target.host}`],
    });
  const said = new Map<string, string[]>();
  for (const line of stdout.split("\n")) {
    const at = line.indexOf(" ");
    if (at > 0) said.set(line.slice(0, at), [...(said.get(line.slice(0, at)) ?? []), line.slice(at + 1)]);
  }
  const one = (name: string) => {
    const value = said.get(name)?.[0];
    return value === undefined || value === "none" ? undefined : value;
  };
  const host = one("hostname") ?? target.host;
  const port = Number(one("port") ?? 22);
  const agent = one("identityagent");
  const files = ["userknownhostsfile", "globalknownhostsfile"].flatMap((name) => one(name)?.split(" ") ?? []);
  return {
    host,
    port,
    user: one("user") ?? target.user ?? userInfo().username,
    identities: (said.get("identityfile") ?? []).map(atHome),
    identitiesOnly: one("identitiesonly") === "yes",
    agent: agent === undefined && said.get("identityagent")?.[0] !== "none" ? process.env["SSH_AUTH_SOCK"] : agentSocket(agent),
    jumps: one("proxyjump")?.split(",") ?? [],
    proxyCommand: one("proxycommand"),
    knownHosts: [...target.knownHosts, ...files.map(atHome)],
    keepalive: Number(one("serveraliveinterval") ?? 0) || undefined,
    keyName: one("hostkeyalias") ?? (port === 22 ? host : `[${host}]:${port}`),
  };
}

function agentSocket(said: string | undefined): string | undefined {
  if (said === undefined) return undefined;
  if (said === "SSH_AUTH_SOCK") return process.env["SSH_AUTH_SOCK"];
  return said.startsWith("$") ? process.env[said.slice(1)] : atHome(said);
}

function atHome(path: string): string {
  return path.startsWith("~/") ? join(homedir(), path.slice(2)) : path;
}

/** The keys that known_hosts files have for a machine: whole public keys in base64. */
export interface KnownKeys {
  readonly good: readonly { readonly type: string; readonly key: string; readonly file: string }[];
  readonly revoked: ReadonlySet<string>;
}

/** ssh-keygen finds hashed names, patterns and ports. Certificates of authorities are not among what it finds. */
export async function knownKeys(name: string, files: readonly string[]): Promise<KnownKeys> {
  const good: { type: string; key: string; file: string }[] = [];
  const revoked = new Set<string>();
  for (const file of files) {
    if (!existsSync(file)) continue;
    const { stdout } = await openssh("ssh-keygen", ["-F", name, "-f", file]);
    for (const line of stdout.split("\n")) {
      if (line === "" || line.startsWith("#")) continue;
      const words = line.split(/\s+/);
      if (words[0] === "@revoked") revoked.add(words[3] ?? "");
      else if (!line.startsWith("@")) good.push({ type: words[1] ?? "", key: words[2] ?? "", file });
    }
  }
  return { good, revoked };
}

/** As ssh shows it. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`;
}

function openssh(program: string, args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error && typeof error.code !== "number")
        reject(
          isSystemError(error, "ENOENT")
            ? new ProvisionError("PROGRAM_MISSING", `the program ${program} (Debian package openssh-client) is not installed`, {
                next: ["provision doctor    # names what is missing"],
                cause: error,
              })
            : new ProvisionError("FAILED", `${program}: ${messageOf(error)}`, { cause: error }),
        );
      else resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}
