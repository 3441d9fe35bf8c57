import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { connect as connectSocket, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { AnyAuthMethod, Client, ClientChannel, ConnectConfig, IdentityCallback, ParsedKey } from "ssh2";
import { isSystemError, messageOf, ProvisionError } from "../core/errors.js";
import type { HeldLocks } from "../core/lock.js";
import { HostError, type Listener } from "./host.js";
import { quoted } from "./quoting.js";
import { Marked } from "./remote-program.js";
import { Sftp } from "./sftp.js";
import type { SpokeLock } from "./ssh-lock.js";
import { fingerprint, type KnownKeys, knownKeys, type SshSettings, type SshTarget, sshSettings } from "./ssh-settings.js";

/** sshd allows ten sessions on a connection unless it is told otherwise; the others are for files, locks and for ending programs. */
const PROGRAMS_AT_ONCE = 4;
const LOCKS_AT_ONCE = 4;
const CONNECT = 15_000;
/** A machine that does not answer is not asked again for so long by the same run, which may have many sites there. Milliseconds. */
const AWAY = 60_000;
/** What takes longer than this to be refused is not tried for each site. Milliseconds. */
const SLOW = 2000;
const KEEPALIVE = 15_000;
const SILENT_KEEPALIVES = 3;
/** For the locks of a run that has just ended, or was just killed. Seconds. */
const LOCK_PATIENCE = 10;
/** Refused sessions are asked for again: sshd counts one until it has buried its program. Milliseconds in all. */
const SESSION_PATIENCE = 5000;

/** Key types as known_hosts names them, and the algorithms by which such a key signs. */
const SIGNING: Readonly<Record<string, readonly string[]>> = {
  "ssh-ed25519": ["ssh-ed25519"],
  "ecdsa-sha2-nistp256": ["ecdsa-sha2-nistp256"],
  "ecdsa-sha2-nistp384": ["ecdsa-sha2-nistp384"],
  "ecdsa-sha2-nistp521": ["ecdsa-sha2-nistp521"],
  "ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256"],
};

/** Where sftp-server is kept by those who package it. */
const SFTP_SERVERS = [
  ...["/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server", "/usr/libexec/sftp-server"],
  ...["/usr/libexec/ssh/sftp-server", "/usr/local/libexec/sftp-server"],
];

/** Lets so many through at a time, in the order in which they came. */
class Places {
  readonly #all: number;
  #free: number;
  readonly #waiting: { readonly places: number; readonly go: () => void }[] = [];

  constructor(all: number) {
    this.#all = all;
    this.#free = all;
  }

  /** Who takes one has to wait. */
  get taken(): boolean {
    return this.#free === 0;
  }

  /** Several at once or none, so that two who need two each do not wait for each other. */
  async take(wanted: number): Promise<() => void> {
    const places = Math.min(wanted, this.#all);
    if (this.#waiting.length > 0 || this.#free < places) await new Promise<void>((go) => this.#waiting.push({ places, go }));
    else this.#free -= places;
    let given = false;
    return () => {
      if (given) return;
      given = true;
      this.#free += places;
      for (let next = this.#waiting[0]; next && next.places <= this.#free; next = this.#waiting[0]) {
        this.#waiting.shift();
        this.#free -= next.places;
        next.go();
      }
    };
  }
}

export interface Patience {
  /** Milliseconds between two questions whether the machine is still there, unless ~/.ssh/config or its context says; after three without an answer it is not. */
  readonly keepalive: number;
  /** Seconds for which locks of a run that is over are waited for. */
  readonly locks: number;
  /** Milliseconds within which a machine has to answer, and again to let one in. */
  readonly connect: number;
}

/** An open connection. Everything on it ends with it. */
export class Link {
  readonly target: SshTarget;
  readonly settings: SshSettings;
  readonly patience: Patience;
  /** In front of what a program writes; nobody else on that machine knows it. */
  readonly mark = randomBytes(12).toString("hex");
  readonly programs = new Places(PROGRAMS_AT_ONCE);
  readonly locks = new Places(LOCKS_AT_ONCE);
  /** Locks of operations that are held on the machine, or are being taken there: parts of an operation have those of the whole. */
  readonly held = new Map<HeldLocks, Promise<SpokeLock>>();
  readonly #client: Client;
  readonly #wire: Wire;
  readonly #lost = new Set<() => void>();
  #open = true;
  #why: string | undefined;
  #silence: string | undefined;
  #sftp: Promise<Sftp> | undefined;
  /** Somebody waits for something: this process stays for it. */
  #uses = 0;

  constructor(target: SshTarget, settings: SshSettings, client: Client, wire: Wire, patience: Patience) {
    this.target = target;
    this.settings = settings;
    this.patience = patience;
    this.#client = client;
    this.#wire = wire;
    client.setNoDelay(true);
    client.on("error", (error: Error) => {
      this.#why ??= error.message;
    });
    client.on("close", () => this.#close());
    wire.keep(false);
    this.#watchOver(settings.keepalive === undefined ? patience.keepalive : settings.keepalive * 1000);
  }

  get open(): boolean {
    return this.#open;
  }

  /** For how long nothing had come when it was given up; undefined: it was not. */
  get silence(): string | undefined {
    return this.#silence;
  }

  /** For the machine and its port in messages. */
  get where(): string {
    return whereOf(this.settings);
  }

  /** What was under way when the link was lost: nobody knows how far it came. */
  lostError(doing: string): HostError {
    return new HostError("HOST_UNAVAILABLE", `${this.target.name}: the connection to ${this.where} was lost ${doing}`, {
      why: this.#why === undefined ? [] : [this.#why],
      reached: "unknown",
    });
  }

  /** `action` is called once, when the connection is lost or closed, or at once when it is; answers with how to forget it. */
  whenLost(action: () => void): () => void {
    if (!this.#open) {
      action();
      return () => undefined;
    }
    this.#lost.add(action);
    return () => this.#lost.delete(action);
  }

  /** This process does not end before `done`. */
  use(): () => void {
    if (this.#uses++ === 0) this.#wire.keep(true);
    let done = false;
    return () => {
      if (done) return;
      done = true;
      if (--this.#uses === 0) this.#wire.keep(false);
    };
  }

  /** Runs a line in the login shell; `waited`: this process stays until it has ended. */
  async exec(line: string, waited = true): Promise<ClientChannel> {
    const done = this.use();
    try {
      const begun = performance.now();
      for (let turn = 0; ; turn++) {
        const channel = await this.#tryExec(line);
        if (!(channel instanceof Error)) {
          keepUntilClosed(channel);
          if (waited) {
            const forget = this.whenLost(done);
            channel.once("close", () => {
              forget();
              done();
            });
          } else done();
          return channel;
        }
        if (!this.#open) throw this.lostError("before a program was started");
        if (!/open failed/i.test(channel.message) || performance.now() - begun > SESSION_PATIENCE)
          throw new HostError("CONFIGURATION", `${this.target.name}: sshd of ${this.where} opens no further session`, {
            why: [
              channel.message,
              "provision needs a few sessions on one connection at a time (MaxSessions in sshd_config; its default is 10)",
            ],
            next: [`MaxSessions 10    # in /etc/ssh/sshd_config of ${this.settings.host}, then reload its sshd`],
            reached: "no",
          });
        await sleep(Math.min(10 << turn, 500));
      }
    } catch (error) {
      done();
      throw error;
    }
  }

  /** Whether something accepts connections there, seen from that machine; undefined: its sshd does not forward. */
  async reaches(address: string, port: number): Promise<boolean | undefined> {
    const done = this.use();
    try {
      return await new Promise<boolean | undefined>((resolve, reject) => {
        this.#client.forwardOut("127.0.0.1", 0, address, port, (error, channel) => {
          if (!error) {
            channel.destroy();
            resolve(true);
          } else if (!this.#open) reject(this.lostError(`while port ${port} was looked at`));
          else resolve((error as { reason?: unknown }).reason === 1 ? undefined : false);
        });
      });
    } finally {
      done();
    }
  }

  /** A connection from that machine to one of its ports or sockets; this process stays for it. Rejects with its words when there is none. */
  async dial(to: Listener): Promise<Duplex> {
    const done = this.use();
    try {
      const channel = await new Promise<ClientChannel>((resolve, reject) => {
        const answer = (error: Error | undefined, open: ClientChannel) => {
          if (!error) resolve(open);
          else if (!this.#open) reject(this.lostError("while it was asked to connect"));
          else if ((error as { reason?: unknown }).reason === 1) reject(this.#forwardsNot());
          else reject(error);
        };
        if ("socket" in to) this.#client.openssh_forwardOutStreamLocal(to.socket, answer);
        else this.#client.forwardOut("127.0.0.1", 0, to.address ?? "127.0.0.1", to.port, answer);
      });
      // Whoever listens for errors hears of it; to others it is the end of the connection.
      channel.on("error", () => undefined);
      const forget = this.whenLost(() => {
        // Its own destroy() tells no error.
        Duplex.prototype.destroy.call(channel, this.lostError("while one of its daemons was asked"));
        done();
      });
      channel.once("close", () => {
        forget();
        done();
      });
      return channel;
    } catch (error) {
      done();
      throw error;
    }
  }

  #forwardsNot(): HostError {
    return new HostError("CONFIGURATION", `${this.target.name}: sshd of ${this.where} forwards nothing, so its daemons cannot be asked`, {
      next: [`AllowTcpForwarding local    # and AllowStreamLocalForwarding local, in /etc/ssh/sshd_config of ${this.settings.host}`],
    });
  }

  /** A connection through this one. */
  forward(host: string, port: number): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      this.#client.forwardOut("127.0.0.1", 0, host, port, (error, channel) => {
        if (error) reject(new Error(`${this.where} does not connect to ${host}:${port}: ${error.message}`));
        else resolve(channel);
      });
    });
  }

  /** One for all files of this connection. */
  async sftp(): Promise<Sftp> {
    this.#sftp ??= this.#startSftp();
    return this.#sftp;
  }

  /** After what was written has gone; nothing is waited for. */
  end(): void {
    this.#client.end();
    this.#wire.end();
  }

  async #startSftp(): Promise<Sftp> {
    // Of the account's own program and not the subsystem: what a login shell prints before it can be told apart.
    const look = `for file in ${SFTP_SERVERS.join(" ")}; do [ -x "$file" ] && { printf '\\n%s %s\\n' ${this.mark} "$$"; exec "$file"; }; done; printf '\\n%s %s\\n' ${this.mark} missing`;
    const channel = await this.exec(`exec /bin/sh -c ${quoted(look)}`, false);
    const marked = new Marked(this.mark);
    const server = new Duplex({
      read: () => channel.resume(),
      write: (chunk: Buffer, _encoding, done) => {
        channel.write(chunk, () => done());
      },
      destroy: (error, done) => {
        channel.close();
        done(error);
      },
    });
    channel.stderr.resume();
    channel.on("data", (chunk: Buffer) => {
      const own = marked.take(chunk);
      if (marked.said === "missing") server.destroy(new Error("missing"));
      else if (own.length > 0 && !server.push(own)) channel.pause();
    });
    const gone = () => server.destroy();
    channel.once("close", gone);
    this.whenLost(gone);
    try {
      return await Sftp.over(server);
    } catch (error) {
      this.#sftp = undefined;
      if (!this.#open) throw this.lostError("while files were looked at");
      if (messageOf(error) === "missing")
        throw new HostError("PROGRAM_MISSING", `${this.target.name}: ${this.settings.host} has no sftp-server`, {
          why: [`looked for ${SFTP_SERVERS.join(", ")}`],
          next: [`apt-get install openssh-sftp-server    # on ${this.settings.host}`],
        });
      throw shellRefuses(this, marked.noise);
    }
  }

  #tryExec(line: string): Promise<ClientChannel | Error> {
    return new Promise((resolve) => {
      if (!this.#open) return resolve(new Error("the connection is gone"));
      const forget = this.whenLost(() => resolve(new Error("the connection is gone")));
      try {
        this.#client.exec(line, (error, channel) => {
          forget();
          resolve(error ?? channel);
        });
      } catch (error) {
        forget();
        resolve(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }

  /** A link that is cut says nothing: it is asked, and given up when no byte came for a while. */
  #watchOver(every: number): void {
    let seen = this.#wire.received();
    let silent = 0;
    const timer = setInterval(() => {
      const received = this.#wire.received();
      silent = received === seen ? silent + 1 : 0;
      seen = received;
      if (silent > SILENT_KEEPALIVES) {
        this.#silence = `nothing came for ${Math.round((silent * every) / 1000)} s`;
        this.#why ??= this.#silence;
        this.#wire.end();
        return this.#close();
      }
      try {
        // Asks for something that is not there; the answer is no, and it is an answer.
        this.#client.unforwardIn("127.0.0.1", 1, () => undefined);
      } catch {
        // The end of the connection says so itself.
      }
    }, every);
    timer.unref();
    this.whenLost(() => clearInterval(timer));
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    const told = [...this.#lost];
    this.#lost.clear();
    for (const action of told) action();
  }
}

/**
 * Node destroys a stream that has ended both ways, and ssh2 then closes the channel. A program ends its output before it
 * ends itself: sshd, asked to close in between, says no exit code.
 */
function keepUntilClosed(channel: ClientChannel): void {
  const destroy = channel.destroy.bind(channel) as (error?: Error) => ClientChannel;
  channel.destroy = ((error?: Error) => (error === undefined ? channel : destroy(error))) as typeof channel.destroy;
}

export function shellRefuses(link: Link, noise: string): HostError {
  const said = noise
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  return new HostError(
    "CONFIGURATION",
    `${link.target.name}: the account ${link.settings.user} on ${link.settings.host} runs no commands`,
    {
      why: said.length > 0 ? said.slice(-5) : ["its login shell ended without starting one"],
      next: [
        `getent passwd ${link.settings.user}    # on ${link.settings.host}: its login shell has to be one for commands, such as /bin/sh`,
      ],
      reached: "yes",
    },
  );
}

function whereOf({ host, port }: Pick<SshSettings, "host" | "port">): string {
  return port === 22 ? host : `${host}:${port}`;
}

/** What a connection is made over. */
interface Wire {
  readonly stream: Duplex;
  received(): number;
  /** Whether this process stays for it. */
  keep(stay: boolean): void;
  end(): void;
}

function socketWire(socket: Socket): Wire {
  return {
    stream: socket,
    received: () => socket.bytesRead,
    keep: (stay) => void (stay ? socket.ref() : socket.unref()),
    end: () => void socket.destroy(),
  };
}

/** Bytes through another connection. */
function jumpWire(stream: Duplex, over: Link): Wire {
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  stream.pause();
  let done: (() => void) | undefined;
  return {
    stream,
    received: () => bytes,
    keep(stay) {
      if (stay) done ??= over.use();
      else {
        done?.();
        done = undefined;
      }
    },
    end() {
      stream.destroy();
      over.end();
    },
  };
}

function commandWire(child: ChildProcess): Wire {
  const { stdin, stdout } = child as unknown as { stdin: Socket; stdout: Socket };
  const stream = Duplex.from({ readable: stdout, writable: stdin });
  return {
    stream,
    received: () => stdout.bytesRead,
    keep(stay) {
      for (const one of [stdin, stdout, child]) stay ? one.ref() : one.unref();
    },
    end() {
      stream.destroy();
      child.kill();
    },
  };
}

/** One connection for each machine that a run works on, opened when it is first needed and shared by all its operations. */
export class SshConnections {
  readonly #links = new Map<string, Promise<Link>>();
  /** What was said of machines that did not answer, and until when it holds. */
  readonly #away = new Map<string, { readonly error: unknown; readonly until: number }>();
  readonly #patience: Patience;

  constructor(patience: Partial<Patience> = {}) {
    this.#patience = { keepalive: KEEPALIVE, locks: LOCK_PATIENCE, connect: CONNECT, ...patience };
  }

  /** Rejects with HostError, `reached: "no"`: nothing was done there. */
  async to(target: SshTarget): Promise<Link> {
    const key = JSON.stringify(target);
    const known = this.#links.get(key);
    if (known) return known;
    const away = this.#away.get(key);
    if (away !== undefined && performance.now() < away.until) throw away.error;
    const remember = (error: unknown) => this.#away.set(key, { error, until: performance.now() + AWAY });
    const forget = () => {
      if (this.#links.get(key) === opening) this.#links.delete(key);
    };
    const begun = performance.now();
    const opening = openLink(target, this.#patience).then(
      (link) => {
        link.whenLost(() => {
          forget();
          if (link.silence !== undefined) remember(connectionError(target, link.settings, new Error(link.silence), []));
        });
        return link;
      },
      (error: unknown) => {
        forget();
        // Who says no at once may say yes a moment later, and costs no time.
        const slow = performance.now() - begun >= Math.min(SLOW, this.#patience.connect);
        if (slow && error instanceof HostError && error.code === "HOST_UNAVAILABLE") remember(error);
        throw error;
      },
    );
    this.#links.set(key, opening);
    return opening;
  }

  /** Ends them all; a machine that is needed again is connected anew. */
  async close(): Promise<void> {
    const links = [...this.#links.values()];
    this.#links.clear();
    for (const link of links) (await link.catch(() => undefined))?.end();
  }
}

async function openLink(target: SshTarget, patience: Patience): Promise<Link> {
  const settings = await sshSettings(target);
  const known = await knownKeys(settings.keyName, settings.knownHosts);
  const all = Object.keys(SIGNING);
  const types = all.filter((type) => known.good.some((one) => one.type === type));
  const wanted = target.hostKey === undefined && types.length > 0 ? types : all;
  let shown: SeenKey | undefined;
  for (let left = wanted; left.length > 0; ) {
    const seen = await connectOnce(target, settings, known, left, patience);
    if (seen instanceof Link) return seen;
    if (seen?.refused === "revoked") throw revokedKey(target, settings, seen);
    shown ??= seen;
    if (seen === undefined || target.hostKey === undefined) break;
    // It has keys of several types, and the fingerprint may be that of another.
    left = left.filter((type) => type !== seen.type);
  }
  if (shown === undefined) {
    // Not one key of the types that are known: what it shows instead is for the message.
    const seen = await connectOnce(
      { ...target, hostKey: "none" },
      settings,
      known,
      all.filter((type) => !wanted.includes(type)),
      patience,
    );
    if (seen === undefined || seen instanceof Link)
      throw connectionError(target, settings, new Error("it has no host key of a type that provision knows"), []);
    shown = seen;
  }
  throw target.hostKey === undefined && known.good.length === 0
    ? unknownKey(target, settings, shown)
    : changedKey(target, settings, known, shown);
}

interface SeenKey {
  readonly refused: "unknown" | "revoked";
  readonly type: string;
  readonly fingerprint: string;
}

/** A connection, or the key that was refused; undefined: it has none of these types. */
async function connectOnce(
  target: SshTarget,
  settings: SshSettings,
  known: KnownKeys,
  types: readonly string[],
  patience: Patience,
): Promise<Link | SeenKey | undefined> {
  if (types.length === 0) return undefined;
  const { default: ssh2 } = await import("ssh2");
  const wire = await openWire(target, settings, patience);
  const client = new ssh2.Client();
  let seen: SeenKey | undefined;
  let offered: ReturnType<typeof signIn> | undefined;
  try {
    offered = signIn(ssh2, settings);
    const config: ConnectConfig = {
      sock: wire.stream as Socket,
      username: settings.user,
      authHandler: offered.methods as never,
      readyTimeout: patience.connect,
      keepaliveInterval: 0,
      algorithms: { serverHostKey: types.flatMap((type) => SIGNING[type] ?? []) as never },
      hostVerifier: (key: Buffer) => {
        const blob = key.toString("base64");
        const print = fingerprint(key);
        const type = key.subarray(4, 4 + key.readUInt32BE(0)).toString();
        if (known.revoked.has(blob)) seen = { refused: "revoked", type, fingerprint: print };
        else if (target.hostKey !== undefined ? print !== target.hostKey : !known.good.some((one) => one.key === blob))
          seen = { refused: "unknown", type, fingerprint: print };
        return seen === undefined;
      },
    };
    await new Promise<void>((resolve, reject) => {
      client.once("ready", resolve);
      client.on("error", reject);
      client.once("close", () => reject(new Error("the connection was closed")));
      client.connect(config);
    });
    return new Link(target, settings, client, wire, patience);
  } catch (error) {
    client.on("error", () => undefined);
    wire.end();
    if (seen !== undefined) return seen;
    if (/no matching host key/i.test(messageOf(error))) return undefined;
    throw connectionError(target, settings, error, offered?.tried ?? []);
  }
}

async function openWire(target: SshTarget, settings: SshSettings, patience: Patience): Promise<Wire> {
  const { host, port } = settings;
  try {
    if (settings.jumps.length > 0) {
      const [link, ...nearer] = settings.jumps.toReversed();
      const jump = { ...parseJump(link as string), config: target.config, knownHosts: target.knownHosts, hub: target.hub };
      const over = await openLink(
        { ...jump, name: `${target.name} (by ${jump.host})`, ...(nearer.length === 0 ? {} : { jump: nearer.toReversed().join(",") }) },
        patience,
      );
      // It is nobody's but this connection's, and goes with it.
      const stream = await over.forward(host, port);
      return jumpWire(stream, over);
    }
    if (settings.proxyCommand !== undefined) {
      const tokens: Readonly<Record<string, string>> = { h: host, p: String(port), r: settings.user, n: target.host, "%": "%" };
      const command = settings.proxyCommand.replace(/%([a-z%])/g, (whole, token: string) => tokens[token] ?? whole);
      return commandWire(spawn("sh", ["-c", `exec ${command}`], { stdio: ["pipe", "pipe", "inherit"], detached: true }));
    }
    const socket = connectSocket({ host, port, timeout: patience.connect });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
      socket.once("timeout", () => reject(new Error(`no answer within ${patience.connect / 1000} s`)));
    }).catch((error: unknown) => {
      socket.destroy();
      throw error;
    });
    socket.removeAllListeners("timeout").setTimeout(0);
    return socketWire(socket);
  } catch (error) {
    throw connectionError(target, settings, error, []);
  }
}

function parseJump(text: string): { host: string; user: string | undefined; port?: number } {
  const plain = text.replace(/^ssh:\/\//, "").replace(/\/$/, "");
  const at = plain.lastIndexOf("@");
  const [, host = plain, port] = /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(plain.slice(at + 1)) ?? [];
  return {
    host: host.replace(/^\[(.*)\]$/, "$1"),
    user: at < 0 ? undefined : plain.slice(0, at),
    ...(port === undefined ? {} : { port: Number(port) }),
  };
}

/** Keys in OpenSSH's order: those of files, which need no passphrase, then the agent's. */
function signIn(ssh2: typeof import("ssh2"), settings: SshSettings) {
  const tried: string[] = [];
  const methods: AnyAuthMethod[] = [];
  const wanted: Buffer[] = [];
  const username = settings.user;
  for (const file of settings.identities) {
    if (!existsSync(file)) {
      if (settings.identitiesOnly) tried.push(`${file} is not there`);
      continue;
    }
    const read = (path: string): ParsedKey | Error => {
      try {
        const key = ssh2.utils.parseKey(readFileSync(path));
        return Array.isArray(key) ? (key[0] as ParsedKey) : key;
      } catch (error) {
        return error instanceof Error ? error : new Error(String(error));
      }
    };
    const key = read(file);
    const open = existsSync(`${file}.pub`) ? read(`${file}.pub`) : key;
    if (!(open instanceof Error)) wanted.push(open.getPublicSSH());
    if (key instanceof Error)
      tried.push(
        /encrypted|passphrase/i.test(key.message) ? `${file} has a passphrase: only an agent can use it` : `${file}: ${key.message}`,
      );
    else {
      tried.push(`${file} was offered`);
      methods.push({ type: "publickey", username, key });
    }
  }
  if (settings.agent === undefined) tried.push("there is no agent (SSH_AUTH_SOCK)");
  else {
    class Agent extends ssh2.OpenSSHAgent {
      override getIdentities(done: IdentityCallback<ParsedKey>): void {
        super.getIdentities((error, keys) => {
          if (error) {
            tried.push(`the agent does not answer: ${messageOf(error)}`);
            return done(undefined as never, []);
          }
          const all = (keys ?? []).flatMap((key) => {
            const parsed = ssh2.utils.parseKey(key as never);
            return parsed instanceof Error ? [] : [parsed].flat();
          });
          const ours = settings.identitiesOnly ? all.filter((key) => wanted.some((one) => one.equals(key.getPublicSSH()))) : all;
          tried.push(
            `the agent offered ${ours.length === 1 ? "a key" : `${ours.length} keys`}${settings.identitiesOnly ? " of those files" : ""}`,
          );
          done(undefined as never, ours);
        });
      }
    }
    methods.push({ type: "agent", username, agent: new Agent(settings.agent) as never });
  }
  return { methods, tried };
}

function connectionError(target: SshTarget, settings: SshSettings, error: unknown, tried: readonly string[]): ProvisionError {
  if (error instanceof ProvisionError) return error;
  const by = `ssh${target.config === undefined ? "" : ` -F ${target.config}`}${settings.port === 22 ? "" : ` -p ${settings.port}`} ${settings.user}@${settings.host}`;
  if ((error as { level?: unknown }).level === "client-authentication")
    return new HostError("PERMISSION_DENIED", `${target.name}: ${whereOf(settings)} lets ${settings.user} not in`, {
      why: tried,
      state: "nothing was done there",
      next: [
        `ssh-copy-id${settings.port === 22 ? "" : ` -p ${settings.port}`}${target.identity === undefined ? "" : ` -i ${target.identity}`} ${settings.user}@${settings.host}`,
      ],
      reached: "no",
      cause: error,
    });
  const said = isSystemError(error) || error instanceof AggregateError ? systemWords(error) : messageOf(error);
  return new HostError("HOST_UNAVAILABLE", `${target.name}: no connection to ${whereOf(settings)}: ${said}`, {
    state: "nothing was done there",
    next: [`${by} true    # shows whether it answers`],
    reached: "no",
    machine: target.name,
    cause: error,
  });
}

function systemWords(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  const words: Readonly<Record<string, string>> = {
    ...{ ECONNREFUSED: "connection refused", ETIMEDOUT: "no answer", EHOSTUNREACH: "no route to it", ENETUNREACH: "no route to it" },
    ...{ ENOTFOUND: "its name is not known", EAI_AGAIN: "its name could not be looked up", ECONNRESET: "it closed the connection" },
  };
  return words[code ?? ""] ?? error.message;
}

function unknownKey(target: SshTarget, settings: SshSettings, seen: SeenKey): HostError {
  return new HostError("HOST_KEY_UNKNOWN", `${target.name}: the host key of ${whereOf(settings)} is not known`, {
    why: [`it shows ${seen.fingerprint} (${seen.type})`, `looked for ${settings.keyName} in ${settings.knownHosts.join(", ")}`],
    state: "nothing was done there",
    next: [
      "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub    # on that machine: compare",
      `${accepting(target)}${seen.fingerprint}    # accepts it`,
    ],
    reached: "no",
  });
}

function accepting({ name, accept }: SshTarget): string {
  return accept ?? `provision save ${name} --ssh_host_key=`;
}

function changedKey(target: SshTarget, settings: SshSettings, known: KnownKeys, seen: SeenKey): HostError {
  const expected =
    target.hostKey === undefined
      ? known.good.map(({ type, key, file }) => `${file} has ${fingerprint(Buffer.from(key, "base64"))} (${type})`)
      : [`ssh_host_key of ${target.name} is ${target.hostKey}`];
  return new HostError(
    "HOST_KEY_CHANGED",
    `${target.name}: THE HOST KEY OF ${whereOf(settings)} HAS CHANGED, or somebody else answers there`,
    {
      why: [`it shows ${seen.fingerprint} (${seen.type})`, ...expected],
      state: "nothing was done there",
      next: [
        "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub    # on that machine: compare; only when it is the same and you know why it changed:",
        `${accepting(target)}${seen.fingerprint}`,
      ],
      reached: "no",
    },
  );
}

function revokedKey(target: SshTarget, settings: SshSettings, seen: SeenKey): HostError {
  return new HostError("HOST_KEY_CHANGED", `${target.name}: the host key that ${whereOf(settings)} shows is revoked`, {
    why: [`${seen.fingerprint} (${seen.type}) is @revoked in a known_hosts file`],
    state: "nothing was done there",
    next: [`give ${settings.host} a new host key`],
    reached: "no",
  });
}
