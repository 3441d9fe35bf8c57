import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Scope } from "../../src/core/scope.js";
import { Secret } from "../../src/core/secret.js";
import { type Argv, type ChainOptions, type Host, HostError, SECRET_FILE } from "../../src/host/host.js";
import { LocalHost } from "../../src/host/local.js";
import { pipeBetween } from "../../src/host/pipe.js";
import { SshHost } from "../../src/host/ssh.js";
import { SshConnections } from "../../src/host/ssh-connection.js";
import type { SshTarget } from "../../src/host/ssh-settings.js";
import { syncTree } from "../../src/host/sync-tree.js";
import { askFpm } from "../../src/services/fpm/fastcgi.js";
import { ask } from "../../src/services/http/ask.js";
import { failure } from "../support/failure.js";
import { missingSshd, type Sshd, startSshd } from "../support/sshd.js";

const absent = missingSshd();
const sh = (script: string, ...args: readonly string[]): Argv => ["sh", "-c", script, "sh", ...args];

if (absent !== undefined) it.skip(absent, () => undefined);

describe.skipIf(absent !== undefined)("over SSH (sshd on loopback)", () => {
  let sshd: Sshd;
  let other: Sshd;
  let dir: string;
  let connections: SshConnections;
  const at = (...parts: readonly string[]) => join(dir, ...parts);
  const hostOf = (target: SshTarget) => new SshHost(new Scope(), target, connections);
  const local: Host = new LocalHost(new Scope());
  const refused = async (promise: Promise<unknown>) => {
    const error = await failure(promise);
    expect(error).toBeInstanceOf(HostError);
    return error as HostError;
  };

  beforeAll(async () => {
    [sshd, other] = await Promise.all([startSshd(), startSshd()]);
  });
  afterAll(async () => {
    await sshd?.remove();
    await other?.remove();
  });
  beforeEach(() => {
    connections = new SshConnections({ locks: 1 });
    dir = mkdtempSync(join(tmpdir(), "provision-ssh-"));
  });
  afterEach(async () => {
    await connections.close();
    rmSync(dir, { recursive: true, force: true });
  });

  describe("host keys", () => {
    it("one that is not known is refused with its fingerprint, before any login, and the command that accepts it", async () => {
      const error = await refused(hostOf(sshd.target({ knownHosts: [at("none")] })).run(["true"]));
      expect(error).toMatchObject({ code: "HOST_KEY_UNKNOWN", reached: "no" });
      expect(error.why[0]).toBe(`it shows ${sshd.hostKey} (ssh-ed25519)`);
      expect(error.next.join("\n")).toContain(`provision save @server_spoke --ssh_host_key=${sshd.hostKey}`);
      expect(sshd.log()).not.toMatch(/Accepted publickey/);
      // What that command stores is enough.
      const accepted = hostOf(sshd.target({ knownHosts: [at("none")], hostKey: sshd.hostKey }));
      expect((await accepted.run(["echo", "in"])).stdout).toBe("in\n");
    });

    it("another one than is known is refused loudly, by known_hosts and by fingerprint", async () => {
      const other_ = other.target({ host: sshd.address, port: sshd.port, identity: sshd.identity });
      execFileSync("sh", ["-c", `sed "s/:${other.port}/:${sshd.port}/" "${other.knownHosts}" > "${at("known")}"`]);
      const error = await refused(hostOf({ ...other_, knownHosts: [at("known")] }).run(["true"]));
      expect(error).toMatchObject({ code: "HOST_KEY_CHANGED", reached: "no" });
      expect(error.message).toContain("HAS CHANGED");
      expect(error.why).toEqual([`it shows ${sshd.hostKey} (ssh-ed25519)`, `${at("known")} has ${other.hostKey} (ssh-ed25519)`]);
      const pinned = await refused(hostOf(sshd.target({ hostKey: other.hostKey })).run(["true"]));
      expect(pinned).toMatchObject({
        code: "HOST_KEY_CHANGED",
        why: [`it shows ${sshd.hostKey} (ssh-ed25519)`, expect.stringContaining(other.hostKey)],
      });
    });

    it("one of another type than the known one is no new machine to be trusted", async () => {
      execFileSync("ssh-keygen", ["-q", "-t", "ecdsa", "-N", "", "-f", at("key")]);
      const [type, key] = readFileSync(at("key.pub"), "utf8").split(" ");
      writeFileSync(at("known"), `[${sshd.address}]:${sshd.port} ${type} ${key}\n`);
      expect((await refused(hostOf(sshd.target({ knownHosts: [at("known")] })).run(["true"]))).code).toBe("HOST_KEY_CHANGED");
    });

    it("a revoked one is refused, whoever else vouches for it", async () => {
      writeFileSync(at("known"), `@revoked * ${readFileSync(sshd.knownHosts, "utf8").split(" ").slice(1).join(" ")}`);
      const error = await refused(hostOf(sshd.target({ knownHosts: [sshd.knownHosts, at("known")], hostKey: sshd.hostKey })).run(["true"]));
      expect(error.message).toContain("is revoked");
    });
  });

  describe("ways in", () => {
    it("a key that is not let in is PERMISSION_DENIED, and says what was offered", async () => {
      const error = await refused(hostOf(sshd.target({ identity: other.identity })).run(["true"]));
      expect(error).toMatchObject({ code: "PERMISSION_DENIED", reached: "no" });
      expect(error.why).toContain(`${other.identity} was offered`);
      expect(error.next[0]).toContain("ssh-copy-id -p ");
    });

    it("a key with a passphrase is used by the agent, and named when there is none", async () => {
      writeFileSync(at("key"), readFileSync(sshd.identity), { mode: 0o600 });
      writeFileSync(at("key.pub"), readFileSync(`${sshd.identity}.pub`));
      const said = execFileSync("ssh-agent", ["-a", at("agent"), "-s"], { encoding: "utf8" });
      try {
        execFileSync("ssh-add", ["-q", at("key")], { env: { ...process.env, SSH_AUTH_SOCK: at("agent") }, stdio: "pipe" });
        execFileSync("ssh-keygen", ["-q", "-p", "-P", "", "-N", "a passphrase", "-f", at("key")], { stdio: "pipe" });
        writeFileSync(at("config"), `Host *\n  IdentityAgent ${at("agent")}\n`);
        const target = sshd.target({ identity: at("key") });
        expect((await hostOf({ ...target, config: at("config") }).run(["echo", "in"])).stdout).toBe("in\n");
        await connections.close();
        writeFileSync(at("config"), "Host *\n  IdentityAgent none\n");
        const error = await refused(hostOf({ ...target, config: at("config") }).run(["true"]));
        expect(error.why[0]).toContain("has a passphrase: only an agent can use it");
      } finally {
        process.kill(Number(/SSH_AGENT_PID=(\d+)/.exec(said)?.[1]));
      }
    });

    it("names of ~/.ssh/config, its users, ports and jumps hold", async () => {
      writeFileSync(
        at("config"),
        `Host web1\n  HostName ${sshd.address}\n  Port ${sshd.port}\n  ProxyJump gate\nHost gate\n  HostName ${other.address}\n  Port ${other.port}\n  IdentityFile ${other.identity}\n`,
      );
      const before = other.connections();
      const host = hostOf({
        ...{ name: "@server_spoke", host: "web1", user: sshd.target().user, identity: sshd.identity },
        ...{ knownHosts: [sshd.knownHosts, other.knownHosts], hub: "one", config: at("config") },
      });
      expect((await host.run(sh('echo "$SSH_CONNECTION"'))).stdout.trim().split(" ").at(-1)).toBe(String(sshd.port));
      expect(other.connections()).toBe(before + 1);
    });

    it("a ProxyCommand is the way there, and ends with the connection", async () => {
      const through = `ssh -F none -i ${other.identity} -p ${other.port} -oUserKnownHostsFile=${other.knownHosts} -W %h:%p ${other.address}`;
      writeFileSync(at("config"), `Host *\n  ProxyCommand sh -c 'echo $$ > ${at("pid")}; exec ${through}'\n`);
      const before = other.connections();
      const host = hostOf(sshd.target({ config: at("config") }));
      expect((await host.run(["echo", "through"])).stdout).toBe("through\n");
      expect(other.connections()).toBe(before + 1);
      const pid = Number(readFileSync(at("pid"), "utf8"));
      await connections.close();
      await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 20_000 }).toBe(false);
    });

    it("where nobody listens is HOST_UNAVAILABLE, and nothing was done", async () => {
      const gone = await startSshd();
      await gone.stop();
      const error = await refused(hostOf(gone.target()).run(["true"]));
      expect(error).toMatchObject({ code: "HOST_UNAVAILABLE", reached: "no", exit: 69 });
      expect(error.message).toContain("connection refused");
      await gone.remove();
    });
  });

  it("one connection serves everything of a run", async () => {
    const before = sshd.connections();
    const hosts = [hostOf(sshd.target()), hostOf(sshd.target())];
    mkdirSync(at("tree"));
    writeFileSync(at("tree/f"), "");
    await Promise.all(hosts.flatMap((host) => [host.run(["true"]), host.readFile(at("tree/f")), host.pipe(["true"], ["cat"])]));
    await syncTree(local, at("tree"), hosts[0] as Host, at("copy"));
    await Promise.all(Array.from({ length: 20 }, () => hosts[0]?.run(["true"])));
    expect(sshd.connections()).toBe(before + 1);
  });

  it("no secret is among the arguments of anything, there or here", async () => {
    const host = hostOf(sshd.target());
    const look = sh(`cat ${SECRET_FILE}; printf %s "$WORD"; cat; ps -eo args | grep -c '[q]uite-secret'; true`);
    const secret = (n: number) => new Secret(`quite-secret-${n}\n`);
    const { stdout } = await host.run(look, { secretFile: secret(1), env: { WORD: secret(2) }, input: secret(3) });
    expect(stdout).toBe("quite-secret-1\nquite-secret-2\nquite-secret-3\n0\n");
  });

  it("arguments of a hundred kilobytes and more come whole", async () => {
    const words = Array.from({ length: 40 }, (_, n) => `${n}'`.repeat(2000));
    const { stdout } = await hostOf(sshd.target()).run(["printf", "%s\n", ...words]);
    expect(stdout).toBe(words.map((word) => `${word}\n`).join(""));
  });

  describe("what gets in the way", () => {
    let odd: Sshd;
    const oddly = async (lines: readonly string[]) => {
      odd = await startSshd({ lines });
      return hostOf(odd.target());
    };
    afterEach(() => odd.remove());

    it("a banner, and a login shell that prints on both outputs, are nobody's output", async () => {
      writeFileSync(at("banner"), '\u001b[2J{"ok":false}\n'.repeat(500));
      writeFileSync(at("noise"), "echo '{\"noise\":1}'; echo 'more noise' >&2; printf 'no end of line'\n");
      const host = await oddly([`Banner ${at("banner")}`, `SetEnv BASH_ENV=${at("noise")}`]);
      expect(await host.run(sh("echo out; echo err >&2; exit 3"), { anyExit: true })).toMatchObject({
        code: 3,
        stdout: "out\n",
        stderr: "err\n",
      });
      await host.writeFile(at("f"), "written");
      expect(await host.readFile(at("f"))).toBe("written");
      mkdirSync(at("tree"));
      expect((await syncTree(local, at("tree"), host, at("copy"))).created).toBe(1);
      await pipeBetween(local, ["printf", "piped"], host, sh('cat > "$1"', at("piped")));
      expect(readFileSync(at("piped"), "utf8")).toBe("piped");
    });

    it("an account that runs no commands is told from a program that fails", async () => {
      const host = await oddly(["ForceCommand echo This account is not available.; exit 1"]);
      const error = await refused(host.run(["true"]));
      expect(error).toMatchObject({ code: "CONFIGURATION", why: ["This account is not available."] });
      expect((await refused(host.stat("/"))).code).toBe("CONFIGURATION");
    });

    it("an sshd that opens one session at a time is told how many are needed", async () => {
      const host = await oddly(["MaxSessions 1"]);
      await host.stat("/");
      const error = await refused(host.run(["true"]));
      expect(error).toMatchObject({ code: "CONFIGURATION", reached: "no" });
      expect(error.next[0]).toContain("MaxSessions 10");
    });

    it("one that closes in the middle leaves nobody to say how far it came: reached is unknown", async () => {
      const host = await oddly([]);
      // The parent of what sshd starts is the process of this connection.
      const error = await refused(host.run(sh("kill -KILL $PPID; sleep 300")));
      expect(error).toMatchObject({ code: "HOST_UNAVAILABLE", reached: "unknown" });
      // It is a new machine to the next who asks.
      expect((await host.run(["echo", "again"])).stdout).toBe("again\n");
    });

    it("daemons that are asked while it is lost are not said to be down: by http, by https and by FastCGI", async () => {
      const silent = createServer((socket) => {
        socket.on("error", () => undefined);
        void odd.cut();
      });
      await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
      const { port } = silent.address() as AddressInfo;
      const question = { port, path: "/", headers: { host: "a.test" }, timeout: 60_000 };
      const ways: readonly ((host: Host) => Promise<unknown>)[] = [
        (from) => ask({ ...question, from }),
        (from) => ask({ ...question, from, tls: "a.test" }),
        (from) => askFpm(from, `127.0.0.1:${port}`, "/index.php", 60_000),
      ];
      try {
        for (const way of ways) {
          await odd?.remove();
          expect(await refused(way(await oddly([])))).toMatchObject({ code: "HOST_UNAVAILABLE", reached: "unknown" });
        }
      } finally {
        silent.close();
      }
    });

    it("one that never says anything is given up once for all of a run", async () => {
      await oddly([]);
      let asked = 0;
      const silent = createServer(() => {
        asked++;
      });
      await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
      await connections.close();
      connections = new SshConnections({ connect: 500 });
      const host = hostOf(odd.target({ port: (silent.address() as AddressInfo).port, hostKey: odd.hostKey }));
      for (const _ of [1, 2]) expect(await refused(host.run(["true"]))).toMatchObject({ code: "HOST_UNAVAILABLE", reached: "no" });
      expect(asked).toBe(1);
      silent.close();
    });

    it("one that says nothing any more is given up", async () => {
      await connections.close();
      connections = new SshConnections({ keepalive: 3_600_000 });
      await oddly([]);
      writeFileSync(at("config"), "Host *\n  ServerAliveInterval 1\n");
      const host = hostOf(odd.target({ config: at("config") }));
      const pid = at("pid");
      const error = await refused(host.run(sh('echo "$PPID $$" > "$1"; kill -STOP $PPID; sleep 300', pid)));
      expect(error).toMatchObject({ code: "HOST_UNAVAILABLE", reached: "unknown" });
      expect(error.why[0]).toMatch(/^nothing came for /);
      // A run with many sites there does not wait for it each time, though somebody else may get through.
      const again = await refused(host.run(["true"]));
      expect([again.code, again.reached, again.message]).toEqual([
        "HOST_UNAVAILABLE",
        "no",
        expect.stringContaining(": nothing came for "),
      ]);
      const [connection, program] = readFileSync(pid, "utf8").trim().split(" ").map(Number);
      process.kill(connection as number, "SIGKILL");
      process.kill(-(program as number), "SIGKILL");
    });
  });

  describe("pipes between machines", () => {
    const machines = (): readonly (readonly [string, Host, Host])[] => [
      ["here to there", local, hostOf(sshd.target())],
      ["there to here", hostOf(sshd.target()), local],
      ["there to another", hostOf(sshd.target()), hostOf(other.target({ name: "@server_other" }))],
      ["within there", hostOf(sshd.target()), hostOf(sshd.target())],
    ];

    it("bring all bytes, through programs of either side", async () => {
      for (const [way, from, to] of machines()) {
        const options = { fromThrough: [["gzip", "-1"]], toThrough: [["gunzip"]] } as const;
        await pipeBetween(from, ["head", "-c", "6000000", "/dev/zero"], to, sh('wc -c > "$1"', at(way)), options);
        expect([way, readFileSync(at(way), "utf8").trim()]).toEqual([way, "6000000"]);
      }
    });

    it("fail when either end fails, and name it", async () => {
      for (const [way, from, to] of machines()) {
        const first = await refused(pipeBetween(from, sh("echo part; echo broken >&2; exit 4"), to, ["cat"]));
        expect([way, first.exitCode, first.why]).toEqual([way, 4, ["broken"]]);
        expect(first.message).toContain(`${from.name}: sh`);
        const second = await refused(pipeBetween(from, ["yes"], to, sh("echo no room >&2; exit 5")));
        expect([way, second.exitCode, second.why[0]]).toEqual([way, 5, "no room"]);
        expect(second.message).toContain(`${to.name}: sh`);
        expect((await refused(pipeBetween(from, ["sleep", "300"], to, ["no-such-program-4711"]))).code).toBe("PROGRAM_MISSING");
        expect((await refused(pipeBetween(from, ["no-such-program-4711"], to, ["cat"]))).code).toBe("PROGRAM_MISSING");
      }
    });

    it("let a writer that has written all end in its own time, when its reader has what it wants: tar does not wait for more than the end of an archive", async () => {
      mkdirSync(at("packed"), { recursive: true });
      writeFileSync(join(at("packed"), "a"), "a");
      for (const [way, from, to] of machines()) {
        mkdirSync(at(`unpacked ${way}`));
        const late = sh(
          'tar --create --directory="$1" a; until [ -e "$2/a" ]; do sleep 0.05; done; sleep 0.5',
          at("packed"),
          at(`unpacked ${way}`),
        );
        await pipeBetween(from, late, to, ["tar", "--extract", "--file=-", `--directory=${at(`unpacked ${way}`)}`]);
        expect([way, readFileSync(join(at(`unpacked ${way}`), "a"), "utf8")]).toEqual([way, "a"]);
      }
    });

    it("are told as they are, and at once, when the reader was over before anything was written", async () => {
      for (const [way, from, to] of machines().slice(0, 3)) {
        const early = {
          name: to.name,
          chain: async (programs: readonly Argv[], options: ChainOptions) => {
            const chain = await to.chain(programs, options);
            await chain.ended;
            return chain;
          },
        } as Host;
        const error = await refused(pipeBetween(from, ["yes"], early, sh("echo no room >&2; exit 5")));
        expect([way, error.exitCode, error.why[0]]).toEqual([way, 5, "no room"]);
        // On this machine rsync is the one that begins.
        if (to.name === "local") continue;
        const ended = { ...early, chain: (_: unknown, options: ChainOptions) => early.chain([sh("exit 5")], options) } as Host;
        writeFileSync(at("large"), Buffer.alloc(4_000_000, way));
        expect([way, (await refused(syncTree(from, dir, ended, at("copy")))).code]).toEqual([way, "COMMAND_FAILED"]);
      }
    });

    it("give each end a secret file of its own, and bear an exit code that is welcome", async () => {
      for (const [way, from, to] of machines()) {
        const options = { secretFiles: { from: new Secret("one"), to: new Secret("two") }, fromExits: [1] };
        await pipeBetween(from, sh(`cat ${SECRET_FILE}; exit 1`), to, sh(`cat - ${SECRET_FILE} > "$1"`, at(way)), options);
        expect([way, readFileSync(at(way), "utf8")]).toEqual([way, "onetwo"]);
      }
    });

    it("take no more than the slower end takes", async () => {
      const before = process.memoryUsage().rss;
      const to = hostOf(sshd.target());
      await pipeBetween(local, ["head", "-c", "300000000", "/dev/zero"], to, sh("sleep 1; wc -c >&2"));
      expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000);
    });

    it("a link that is lost is unknown at either end, and the other does not take what came for all", async () => {
      const lost = sh("head -c 100000 /dev/zero; kill -KILL $PPID; sleep 300");
      const error = await refused(pipeBetween(hostOf(sshd.target()), lost, local, sh('cat > "$1"; echo whole > "$1"', at("f"))));
      expect(error).toMatchObject({ code: "HOST_UNAVAILABLE", reached: "unknown" });
      const sink = sh("head -c 10 >&2; kill -KILL $PPID; cat");
      const late = await refused(pipeBetween(local, ["yes"], hostOf(sshd.target()), sink));
      expect(late).toMatchObject({ code: "HOST_UNAVAILABLE", reached: "unknown" });
    });
  });

  describe("trees", () => {
    const ways = (): readonly (readonly [string, Host, Host])[] => [
      ["here", local, local],
      ["here to there", local, hostOf(sshd.target())],
      ["there to here", hostOf(sshd.target()), local],
      ["there to another", hostOf(sshd.target()), hostOf(other.target({ name: "@server_other" }))],
    ];

    it("come to be the same, and what changes is counted once, also by a dry run", async () => {
      for (const [way, from, to] of ways()) {
        const [source, target] = [at(way, "it's a source"), at(way, "target")];
        mkdirSync(join(source, "a/b"), { recursive: true });
        mkdirSync(join(source, "sites/kept"), { recursive: true });
        writeFileSync(join(source, "a/b/f ü"), "one");
        writeFileSync(join(source, "a/run"), "#!/bin/sh\n", { mode: 0o755 });
        symlinkSync("b/f ü", join(source, "a/link"));
        const options = { delete: true, exclude: ["/sites/*"] };
        const planned = await syncTree(from, source, to, target, { ...options, dryRun: true });
        expect([way, planned.created, existsSync(target)]).toEqual([way, 7, false]);
        expect(await syncTree(from, source, to, target, options)).toMatchObject({ created: 7, updated: 0, deleted: 0 });
        expect(spawnSync("diff", ["-r", join(source, "a"), join(target, "a")]).status).toBe(0);
        expect(await syncTree(from, source, to, target, options)).toEqual({ created: 0, updated: 0, deleted: 0, sample: [] });
        mkdirSync(join(target, "sites/site"), { recursive: true });
        writeFileSync(join(target, "a/old"), "");
        writeFileSync(join(source, "a/b/f ü"), "another");
        chmodSync(join(source, "a/run"), 0o750);
        const changes = await syncTree(from, source, to, target, options);
        expect(changes).toMatchObject({ created: 0, updated: 2, deleted: 1 });
        expect(changes.sample).toContain("delete a/old");
        expect(readdirSync(join(target, "sites"))).toEqual(["site"]);
      }
    });

    it("that cannot be written or is not there is a failure with rsync's reasons", async () => {
      for (const [, from, to] of ways()) {
        const error = await refused(syncTree(from, at("none"), to, at("target")));
        expect(error.code).toBe("COMMAND_FAILED");
        expect(error.why.join("\n")).toContain(at("none"));
      }
    });
  });
});
