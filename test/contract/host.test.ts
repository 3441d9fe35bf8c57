import { spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { lockDescriptor, takeLocks } from "../../src/core/lock.js";
import { Scope } from "../../src/core/scope.js";
import { Secret } from "../../src/core/secret.js";
import { type Argv, besidePath, type Host, HostError, SECRET_FILE } from "../../src/host/host.js";
import { LocalHost } from "../../src/host/local.js";
import { SshHost } from "../../src/host/ssh.js";
import { SshConnections } from "../../src/host/ssh-connection.js";
import { failure } from "../support/failure.js";
import { run as runProcess } from "../support/processes.js";
import { PROJECT } from "../support/project.js";
import { missingSshd, type Sshd, startSshd } from "../support/sshd.js";

let sshd: Sshd;
const connections = new SshConnections({ locks: 1 });

/** Every implementation. The machine that each works on has the files of this one below the directory for temporary ones, and its processes. */
const HOSTS: readonly { readonly name: string; readonly remote: boolean; make(scope: Scope, hub?: string): Host }[] = [
  { name: "local", remote: false, make: (scope) => new LocalHost(scope) },
  ...(missingSshd() === undefined
    ? [
        {
          name: "ssh (sshd on loopback)",
          remote: true,
          make: (scope: Scope, hub = "one") => new SshHost(scope, sshd.target({ hub }), connections),
        },
      ]
    : []),
];

beforeAll(async () => {
  if (missingSshd() === undefined) sshd = await startSshd();
});
afterAll(async () => {
  await connections.close();
  await sshd?.remove();
});
const absent = missingSshd();
if (absent !== undefined) it.skip(absent, () => undefined);

const ROOT = process.getuid?.() === 0;
const HOSTILE = [
  "it's",
  'say "hi"',
  "a\nb",
  "$(touch pwned)",
  "`touch pwned`",
  "; touch pwned",
  "*",
  "",
  "-n",
  "\\",
  "%s",
  "ü€😀",
  "$HOME",
  "a  b",
  "\t",
];

describe.each(HOSTS)("host: $name", ({ make, remote }) => {
  let scope: Scope;
  let host: Host;
  let dir: string;
  const releases = new Set<() => void>();
  const at = (...parts: readonly string[]) => join(dir, ...parts);
  const sh = (script: string, ...args: readonly string[]): Argv => ["sh", "-c", script, "sh", ...args];

  beforeEach(() => {
    scope = new Scope();
    host = make(scope);
    dir = mkdtempSync(join(tmpdir(), "provision-host-"));
  });
  afterEach(() => {
    for (const release of releases) release();
    spawnSync("chmod", ["-R", "u+rwX", dir]);
    rmSync(dir, { recursive: true, force: true });
  });

  const isHostError = async (promise: Promise<unknown>) => {
    const error = await failure(promise);
    expect(error).toBeInstanceOf(HostError);
    return error as HostError;
  };

  describe("absent is a value", () => {
    it("for files, links, directories and everything below a file", async () => {
      writeFileSync(at("file"), "x");
      for (const path of [at("none"), at("none/below"), at("file/below")]) {
        expect(await host.readFile(path)).toBeUndefined();
        expect(await host.readBytes(path)).toBeUndefined();
        expect(await host.stat(path)).toBeUndefined();
        expect(await host.list(path)).toBeUndefined();
        expect(await host.readLink(path)).toBeUndefined();
        expect(await host.realPath(path)).toBeUndefined();
      }
    });

    it("a link to nothing is there, and what it points to is not", async () => {
      symlinkSync("nowhere", at("link"));
      expect((await host.stat(at("link")))?.type).toBe("link");
      expect(await host.readLink(at("link"))).toBe("nowhere");
      expect(await host.readFile(at("link"))).toBeUndefined();
      expect(await host.realPath(at("link"))).toBeUndefined();
    });

    it("removing what is not there is no failure", async () => {
      await host.remove(at("none"));
      await host.remove(at("none/below"));
      expect(await host.removeEmpty(at("none"))).toBe(false);
    });
  });

  describe("broken rejects", () => {
    it("reading a directory as a file, listing a file as a directory", async () => {
      mkdirSync(at("d"));
      writeFileSync(at("f"), "");
      expect((await isHostError(host.readFile(at("d")))).message).toContain(at("d"));
      // a file has nothing in it: as absent as what is below it
      expect(await host.list(at("f"))).toBeUndefined();
    });

    it("renaming what is not there names both paths", async () => {
      const error = await isHostError(host.rename(at("a"), at("b")));
      expect(error.code).toBe("FAILED");
      expect(error.message).toContain(at("a"));
      expect(error.message).toContain(at("b"));
      expect(error.reached).toBe("yes");
    });

    it("writing where there is no directory", async () => {
      expect((await isHostError(host.writeFile(at("none/f"), "x"))).message).toContain(at("none/f"));
      expect(existsSync(at("none"))).toBe(false);
    });

    it("a directory over a file", async () => {
      writeFileSync(at("f"), "kept");
      await isHostError(host.mkdir(at("f")));
      expect(readFileSync(at("f"), "utf8")).toBe("kept");
    });

    it.skipIf(!existsSync("/sys/kernel") || !ROOT)("a file system that cannot be written", async () => {
      const error = await isHostError(host.writeFile("/sys/kernel/provision-test", "x"));
      expect(error.code).toBe("PERMISSION_DENIED");
    });

    it.skipIf(!existsSync("/dev/full"))("a full disk is DISK_FULL", async () => {
      const small = at("small");
      mkdirSync(small);
      const mounted = ROOT && spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", small]).status === 0;
      if (!mounted) return;
      try {
        await host.writeFile(join(small, "f"), "before");
        const error = await isHostError(host.writeFile(join(small, "f"), Buffer.alloc(256 * 1024)));
        expect(error.code).toBe("DISK_FULL");
        expect(readFileSync(join(small, "f"), "utf8")).toBe("before");
        expect(readdirSync(small)).toEqual(["f"]);
      } finally {
        spawnSync("umount", [small]);
      }
    });
  });

  describe("files", () => {
    it("come back as they were written: text, bytes and secrets, with mode 0644 unless said", async () => {
      await host.writeFile(at("text"), "a\nü€\n");
      await host.writeFile(at("bytes"), Buffer.from([0, 255, 10, 128]));
      await host.writeFile(at("secret"), new Secret("s3cret"), { mode: 0o600 });
      await host.writeFile(at("empty"), "");
      expect(await host.readFile(at("text"))).toBe("a\nü€\n");
      expect([...readFileSync(at("bytes"))]).toEqual([0, 255, 10, 128]);
      expect([...((await host.readBytes(at("bytes"))) ?? [])]).toEqual([0, 255, 10, 128]);
      expect(await host.readFile(at("secret"))).toBe("s3cret");
      expect(await host.readFile(at("empty"))).toBe("");
      expect(await host.stat(at("text"))).toMatchObject({ type: "file", mode: 0o644, size: 8 });
      expect((await host.stat(at("secret")))?.mode).toBe(0o600);
    });

    it("have their mode whatever the umask, and before they have their name", async () => {
      const seen: number[] = [];
      const old = process.umask(0o077);
      const watch = setInterval(() => {
        const stat = statSync(at("f"), { throwIfNoEntry: false }); // between two looks it may be gone
        if (stat !== undefined) seen.push(stat.mode & 0o777);
      }, 0);
      try {
        for (let n = 0; n < 20; n++) {
          await host.remove(at("f"));
          await host.writeFile(at("f"), `${n}`, { mode: 0o640 });
          await sleep(1);
        }
      } finally {
        clearInterval(watch);
        process.umask(old);
      }
      expect(seen.length).toBeGreaterThan(5);
      expect(new Set(seen)).toEqual(new Set([0o640]));
    });

    it("are never seen half written: a reader finds the old or the new whole", async () => {
      const [a, b] = ["a".repeat(300_000), "b".repeat(300_000)];
      await host.writeFile(at("f"), a);
      let reading = true;
      const reader = (async () => {
        const kinds = new Set<string>();
        while (reading) {
          const text = await host.readFile(at("f"));
          kinds.add(text === a ? "a" : text === b ? "b" : `${text?.length} bytes`);
        }
        return kinds;
      })();
      for (let n = 0; n < 30; n++) await host.writeFile(at("f"), n % 2 === 0 ? b : a);
      reading = false;
      for (const kind of await reader) expect(["a", "b"]).toContain(kind);
    });

    it("one that a kill left beside is replaced, and nothing stays beside", async () => {
      writeFileSync(besidePath(at("f")), "half", { mode: 0o400 });
      await host.writeFile(at("f"), "whole");
      expect(readdirSync(dir)).toEqual(["f"]);
    });

    it("a file over a directory is refused, and the directory is as it was", async () => {
      mkdirSync(at("d"));
      writeFileSync(at("d/inside"), "");
      await isHostError(host.writeFile(at("d"), "x"));
      expect(readdirSync(dir)).toEqual(["d"]);
      expect(readdirSync(at("d"))).toEqual(["inside"]);
    });

    it("a file over a link replaces the link, not what it points to", async () => {
      writeFileSync(at("target"), "kept");
      symlinkSync("target", at("link"));
      await host.writeFile(at("link"), "new");
      expect(readFileSync(at("target"), "utf8")).toBe("kept");
      expect(lstatSync(at("link")).isFile()).toBe(true);
    });

    it.skipIf(!ROOT)("get the owner and group that were asked for", async () => {
      await host.writeFile(at("f"), "", { uid: 12345, gid: 23456, mode: 0o2640 });
      expect(await host.stat(at("f"))).toMatchObject({ uid: 12345, gid: 23456, mode: 0o2640 });
    });
  });

  describe("directories", () => {
    it("are made with their parents; the mode is theirs, 0755 the parents'", async () => {
      await host.mkdir(at("a/b/c"), { mode: 0o2770 });
      expect((await host.stat(at("a/b/c")))?.mode).toBe(0o2770);
      expect((await host.stat(at("a/b")))?.mode).toBe(0o755);
    });

    it("one that stands is kept, with the mode now asked for", async () => {
      await host.mkdir(at("a"), { mode: 0o700 });
      writeFileSync(at("a/f"), "");
      await host.mkdir(at("a"), { mode: 0o711 });
      expect((await host.stat(at("a")))?.mode).toBe(0o711);
      expect(await host.list(at("a"))).toEqual(["f"]);
    });

    it("are listed sorted, dot files too", async () => {
      for (const name of ["b", ".a", "c", "B"]) writeFileSync(at(name), "");
      expect(await host.list(dir)).toEqual([".a", "B", "b", "c"]);
    });

    it("are removed with everything in them, also what has no write bit, and links are not followed", async () => {
      mkdirSync(at("outside"));
      writeFileSync(at("outside/kept"), "");
      mkdirSync(at("tree/a/b"), { recursive: true });
      writeFileSync(at("tree/a/b/f"), "");
      symlinkSync(at("outside"), at("tree/a/link"));
      for (const path of ["tree/a/b", "tree/a", "tree"]) chmodSync(at(path), 0o555);
      await host.remove(at("tree"));
      expect(readdirSync(dir)).toEqual(["outside"]);
      expect(readdirSync(at("outside"))).toEqual(["kept"]);
    });

    it.skipIf(!ROOT)("without a write bit also by their owner, who is not root", async () => {
      mkdirSync(at("tree/a"), { recursive: true });
      writeFileSync(at("tree/a/f"), "");
      chmodSync(at("tree/a"), 0o555);
      spawnSync("chown", ["-R", "12345:12345", dir]);
      chmodSync(dir, 0o755);
      const script = `const { LocalHost } = await import(${JSON.stringify(join(PROJECT, "dist/host/local.js"))}); const { Scope } = await import(${JSON.stringify(join(PROJECT, "dist/core/scope.js"))}); process.setgid(12345); process.setuid(12345); await new LocalHost(new Scope()).remove(${JSON.stringify(at("tree"))});`;
      const { code, stderr } = await runProcess(process.execPath, ["--input-type=module", "-e", script]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(existsSync(at("tree"))).toBe(false);
    });

    it("removeEmpty takes an empty one only", async () => {
      mkdirSync(at("empty"));
      mkdirSync(at("full"));
      writeFileSync(at("full/f"), "");
      writeFileSync(at("file"), "");
      expect(await host.removeEmpty(at("empty"))).toBe(true);
      expect(await host.removeEmpty(at("full"))).toBe(false);
      expect(await host.removeEmpty(at("file"))).toBe(false);
      expect(readdirSync(dir)).toEqual(["file", "full"]);
    });

    it("chmod sets what is given and leaves the rest", async () => {
      mkdirSync(at("d"), { mode: 0o700 });
      await host.chmod(at("d"), {});
      expect((await host.stat(at("d")))?.mode).toBe(0o700);
      await host.chmod(at("d"), { mode: 0o2750 });
      expect((await host.stat(at("d")))?.mode).toBe(0o2750);
      await isHostError(host.chmod(at("none"), { mode: 0o700 }));
    });
  });

  describe("names", () => {
    it("rename replaces a file, a link and an empty directory, and refuses a full one", async () => {
      writeFileSync(at("a"), "a");
      writeFileSync(at("b"), "b");
      await host.rename(at("a"), at("b"));
      expect(readFileSync(at("b"), "utf8")).toBe("a");
      mkdirSync(at("from"));
      mkdirSync(at("to"));
      await host.rename(at("from"), at("to"));
      mkdirSync(at("from"));
      writeFileSync(at("to/f"), "");
      await isHostError(host.rename(at("from"), at("to")));
      expect(readdirSync(at("to"))).toEqual(["f"]);
    });

    it("exchange gives two full directories each other's name, with no moment in which one is not there", async () => {
      for (const name of ["a", "b"]) {
        mkdirSync(at(name));
        writeFileSync(at(name, "who"), name);
      }
      const watching = runProcess("sh", ["-c", 'while [ ! -e "$1/end" ]; do cat "$1/a/who" || echo gone; done', "sh", dir]);
      for (let turn = 0; turn < 11; turn++) await host.exchange(at("a"), at("b"));
      writeFileSync(at("end"), "");
      expect((await watching).stdout).not.toContain("gone");
      expect([readFileSync(at("a/who"), "utf8"), readFileSync(at("b/who"), "utf8")]).toEqual(["b", "a"]);
      const error = await failure(host.exchange(at("a"), at("absent")));
      expect([error.code, error.why.join()]).toEqual(["COMMAND_FAILED", "No such file or directory"]);
      expect(readFileSync(at("a/who"), "utf8")).toBe("b");
    });

    it("symlink makes, and replaces a link or file at once", async () => {
      await host.symlink("one", at("link"));
      await host.symlink("two", at("link"));
      expect(readlinkSync(at("link"))).toBe("two");
      writeFileSync(at("file"), "");
      await host.symlink("three", at("file"));
      expect(readlinkSync(at("file"))).toBe("three");
      expect(readdirSync(dir)).toEqual(["file", "link"]);
    });

    it("symlink refuses a directory in its place", async () => {
      mkdirSync(at("d"));
      await isHostError(host.symlink("x", at("d")));
      expect(readdirSync(dir)).toEqual(["d"]);
    });

    it("realPath resolves every link", async () => {
      mkdirSync(at("real/sub"), { recursive: true });
      symlinkSync("real", at("link"));
      expect(await host.realPath(at("link/sub"))).toBe(await host.realPath(at("real/sub")));
    });

    it("uploadTree copies modes, links and times, to a new directory", async () => {
      mkdirSync(at("tree/sub"), { recursive: true, mode: 0o750 });
      writeFileSync(at("tree/sub/f"), "x", { mode: 0o640 });
      symlinkSync("sub/f", at("tree/link"));
      utimesSync(at("tree/sub/f"), 1_000_000, 1_000_000);
      await host.uploadTree(at("tree"), at("copy"));
      expect((await host.stat(at("copy/sub/f")))?.mtime).toBe(1_000_000_000);
      expect((await host.stat(at("copy/sub/f")))?.mode).toBe(0o640);
      expect(readlinkSync(at("copy/link"))).toBe("sub/f");
    });
  });

  describe("run", () => {
    it("gives what a program wrote, and its input", async () => {
      const result = await host.run(sh("cat; echo err >&2"), { input: "in\n" });
      expect(result).toEqual({ code: 0, stdout: "in\n", stderr: "err\n", document: "" });
      expect((await host.run(["cat"])).stdout).toBe("");
      expect((await host.run(["cat"], { input: new Secret("s") })).stdout).toBe("s");
      expect((await host.run(["wc", "-c"], { input: Buffer.alloc(200_000) })).stdout.trim()).toBe("200000");
    });

    it("hands hostile arguments over unchanged", async () => {
      const { stdout } = await host.run(["printf", "%s\\0", ...HOSTILE], { cwd: dir });
      expect(stdout.split("\0").slice(0, -1)).toEqual(HOSTILE);
      expect(readdirSync(dir)).toEqual([]);
    });

    it("runs in the directory given, with variables added and taken away", async () => {
      process.env["PROVISION_TEST_INHERITED"] = "yes";
      try {
        const env = { ADDED: "a b", HIDDEN: new Secret("shh"), PROVISION_TEST_INHERITED: undefined };
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell of the test expands it
        const { stdout } = await host.run(sh('pwd -P; echo "$ADDED $HIDDEN ${PROVISION_TEST_INHERITED-gone} ${HOME:+home}"'), {
          cwd: dir,
          env,
        });
        expect(stdout).toBe(`${await host.realPath(dir)}\na b shh gone home\n`);
      } finally {
        delete process.env["PROVISION_TEST_INHERITED"];
      }
    });

    it("any exit code but 0 is COMMAND_FAILED with the last lines, unless any is welcome", async () => {
      const error = await isHostError(host.run(sh("echo out; for n in 1 2 3 4 5 6 7; do echo line $n >&2; done; exit 3")));
      expect(error).toMatchObject({ code: "COMMAND_FAILED", exitCode: 3, why: ["line 3", "line 4", "line 5", "line 6", "line 7"] });
      expect(await host.run(sh("exit 3"), { anyExit: true })).toMatchObject({ code: 3 });
    });

    it("what was said on standard output is the reason when standard error is silent", async () => {
      expect((await isHostError(host.run(sh("echo only here; exit 1")))).why).toEqual(["only here"]);
    });

    it("an end by a signal is a failure, also when any exit is welcome", async () => {
      for (const options of [{}, { anyExit: true as const }]) {
        const error = await isHostError(host.run(sh("kill -SEGV $$"), options));
        expect(error).toMatchObject({ code: "COMMAND_FAILED", exitCode: undefined });
        expect(error.message).toContain("SIGSEGV");
      }
    });

    it("a program that is not there is PROGRAM_MISSING; a working directory that is not there is said", async () => {
      expect((await isHostError(host.run(["no-such-program-4711"]))).code).toBe("PROGRAM_MISSING");
      expect((await isHostError(host.run(["true"], { cwd: at("none") }))).code).toBe("COMMAND_FAILED");
      writeFileSync(at("not-executable"), "");
      expect((await isHostError(host.run([at("not-executable")]))).code).toBe("COMMAND_FAILED");
    });

    it("a document on descriptor 3 comes apart from the noise", async () => {
      const result = await host.run(sh("echo noise; echo '{\"ok\":true}' >&3; echo more >&2"), { document: true });
      expect(result).toMatchObject(
        // Over SSH there are two ways out, and one of them is the document's.
        remote
          ? { stdout: "", stderr: "noise\nmore\n", document: '{"ok":true}\n' }
          : { stdout: "noise\n", stderr: "more\n", document: '{"ok":true}\n' },
      );
    });

    it("megabytes on every descriptor at once do not block", async () => {
      const flood = "head -c 3000000 /dev/zero | tr '\\0'";
      const result = await host.run(sh(`(${flood} a >&1) & (${flood} b >&2) & (${flood} c >&3) & wait`), { document: true });
      expect([result.stdout.length, result.stderr.length, result.document.length]).toEqual(
        remote ? [0, 6_000_000, 3_000_000] : [3_000_000, 3_000_000, 3_000_000],
      );
    });

    it("standard error can be followed as it comes", async () => {
      const chunks: string[] = [];
      await host.run(sh("echo one >&2; sleep 0.1; echo two >&2"), { onStderr: (text) => chunks.push(text) });
      expect(chunks.join("")).toBe("one\ntwo\n");
      expect(chunks.length).toBeGreaterThan(1);
    });

    it("a program that does not read its input is no failure", async () => {
      await host.run(["true"], { input: "x".repeat(1_000_000) });
    });
  });

  describe("ending programs", () => {
    const grandchild = (file: string) => sh('sh -c \'echo $$ > "$1"; exec sleep 300\' sh "$1" & wait', file);
    const pidIn = async (file: string) => {
      for (let n = 0; n < 200; n++) {
        const text = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
        if (text !== "") return Number(text);
        await sleep(20);
      }
      throw new Error(`nothing in ${file}`);
    };
    const gone = async (pid: number) => {
      for (let n = 0; n < 100; n++) {
        try {
          process.kill(pid, 0);
          // A zombie that nobody waits for is gone too.
          if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) return true;
        } catch {
          return true;
        }
        await sleep(20);
      }
      return false;
    };

    it("a time-out ends the whole group, grandchildren too", async () => {
      const error = await isHostError(host.run(grandchild(at("pid")), { timeout: 500 }));
      expect(error.code).toBe("TIMED_OUT");
      expect(await gone(await pidIn(at("pid")))).toBe(true);
    });

    it("the scope's signal ends it in order: it may clean up", async () => {
      const stop = new AbortController();
      scope.signal = stop.signal;
      const running = isHostError(
        host.run(sh('trap \'echo cleaned > "$1"; exit 7\' TERM; echo $$ > "$2"; while :; do sleep 0.05; done', at("cleaned"), at("pid"))),
      );
      await pidIn(at("pid"));
      stop.abort();
      const error = await running;
      expect(error.exitCode).toBe(7);
      expect(readFileSync(at("cleaned"), "utf8")).toBe("cleaned\n");
    });

    it("the scope's kill ends at once what does not listen", async () => {
      const kill = new AbortController();
      scope.kill = kill.signal;
      const running = isHostError(host.run(sh('trap "" TERM; echo $$ > "$1"; while :; do sleep 0.05; done', at("pid"))));
      const pid = await pidIn(at("pid"));
      const begun = Date.now();
      kill.abort();
      expect((await running).message).toContain("SIGKILL");
      expect(Date.now() - begun).toBeLessThan(5000);
      expect(await gone(pid)).toBe(true);
    });

    it("what is started after the signal is ended too", async () => {
      const stop = new AbortController();
      stop.abort();
      scope.signal = stop.signal;
      await isHostError(host.run(["sleep", "300"]));
    });
  });

  describe("a secret file", () => {
    it("is a plain file of its owner alone, readable twice, and nowhere on the disk", async () => {
      const before = readdirSync(tmpdir()).filter((name) => name.startsWith("provision-secret-"));
      const look = sh(
        `cat ${SECRET_FILE} ${SECRET_FILE}; stat -L -c %F-%a-%h ${SECRET_FILE}; ls -d "$1"/provision-secret-* 2>/dev/null | wc -l`,
        tmpdir(),
      );
      const { stdout } = await host.run(look, { secretFile: new Secret("word\n") });
      expect(stdout.split("\n").slice(0, 3)).toEqual(["word", "word", "regular file-600-0"]);
      expect(readdirSync(tmpdir()).filter((name) => name.startsWith("provision-secret-") && !before.includes(name))).toEqual([]);
    });
  });

  describe("pipe", () => {
    it("brings all bytes of one program into the other", async () => {
      await host.pipe(["head", "-c", "3000000", "/dev/zero"], sh('wc -c > "$1"', at("count")));
      expect(readFileSync(at("count"), "utf8").trim()).toBe("3000000");
    });

    it("fails when the first fails, whatever the second makes of it", async () => {
      const error = await isHostError(host.pipe(sh("echo part; echo broken >&2; exit 4"), ["cat"]));
      expect(error).toMatchObject({ code: "COMMAND_FAILED", exitCode: 4, why: ["broken"] });
    });

    it("fails when the second fails; a first that only lost its reader is not the cause", async () => {
      const error = await isHostError(host.pipe(["yes"], sh("echo no room >&2; exit 5")));
      expect(error).toMatchObject({ code: "COMMAND_FAILED", exitCode: 5 });
      expect(error.why[0]).toBe("no room");
    });

    it("a missing program on either side is PROGRAM_MISSING, and the other does not stay", async () => {
      expect((await isHostError(host.pipe(["no-such-program-4711"], ["cat"]))).code).toBe("PROGRAM_MISSING");
      const begun = Date.now();
      expect((await isHostError(host.pipe(["sleep", "300"], ["no-such-program-4711"]))).code).toBe("PROGRAM_MISSING");
      expect(Date.now() - begun).toBeLessThan(15_000);
    });

    it("goes through the programs between, and fails when one of them does", async () => {
      const through = [sh("tr a b"), sh("tr b c")];
      await host.pipe(sh("printf aaa"), sh('cat > "$1"', at("through")), { through });
      expect(readFileSync(at("through"), "utf8")).toBe("ccc");
      const error = await isHostError(host.pipe(["yes"], ["cat"], { through: [["head", "-c", "10"], sh("cat; echo lost >&2; exit 3")] }));
      expect(error).toMatchObject({ code: "COMMAND_FAILED", exitCode: 3, why: ["lost"] });
      expect((await isHostError(host.pipe(["sleep", "300"], ["cat"], { through: [["no-such-program-4711"]] }))).code).toBe(
        "PROGRAM_MISSING",
      );
    });

    it("gives each end a secret file of its own, and those between none", async () => {
      const secretFiles = { from: new Secret("one"), to: new Secret("two") };
      const through = [sh(`cat; test ! -e ${SECRET_FILE} || echo seen`)];
      await host.pipe(sh(`cat ${SECRET_FILE}`), sh(`cat - ${SECRET_FILE} > "$1"`, at("secrets")), { secretFiles, through });
      expect(readFileSync(at("secrets"), "utf8")).toBe("onetwo");
    });

    it("a time-out ends both", async () => {
      const error = await isHostError(host.pipe(["sleep", "300"], ["cat"], { timeout: 300 }));
      expect(error.code).toBe("TIMED_OUT");
    });
  });

  describe("locks", () => {
    it.skipIf(remote)("descriptors of the scope are inherited: a child that outlives us keeps the lock", async () => {
      const descriptor = openSync(at("lock"), "a+");
      expect(lockDescriptor(descriptor, "exclusive")).toBe(true);
      scope.descriptors = [descriptor];
      // The grandchild goes on when the program itself is over; its output goes nowhere.
      await host.run(sh("sleep 1.5 >/dev/null 2>&1 </dev/null &"));
      await host.pipe(["true"], sh("test -e /proc/self/fd/4"));
      closeSync(descriptor);
      const busy = () => spawnSync("flock", ["-n", at("lock"), "true"]).status !== 0;
      expect(busy()).toBe(true);
      await sleep(1800);
      expect(busy()).toBe(false);
    });

    it.skipIf(remote)("begin at 4; 3 is the document's", async () => {
      const descriptor = openSync(at("lock"), "a+");
      scope.descriptors = [descriptor];
      const { stdout } = await host.run(sh("readlink /proc/self/fd/4; readlink /proc/$$/fd/3"), { document: true });
      closeSync(descriptor);
      expect(stdout.split("\n")[0]).toBe(await host.realPath(at("lock")));
      expect(stdout.split("\n")[1]).not.toContain("lock");
    });
  });

  describe.skipIf(!remote)("locks on the machine", () => {
    const NAME = "@locked.example.com";
    const hold = async (on: Scope, directory: string, operation: string, mode: "exclusive" | "shared" = "exclusive") => {
      const held = await takeLocks(at(directory), [{ kind: "site", name: NAME, mode }], { command: "migrate", operation }, 0, STOP.signal);
      on.hold(held);
      const release = () => {
        releases.delete(release);
        on.hold(undefined);
        held.release();
      };
      releases.add(release);
      return release;
    };
    const STOP = new AbortController();

    it("are the operation's, for as long as it has them on the hub", async () => {
      // Of another hub, which knows nothing of the first.
      const other = new Scope();
      const release = await hold(scope, "a", "1");
      expect((await host.run(["echo", "held"])).stdout).toBe("held\n");
      await hold(other, "b", "2");
      const error = await isHostError(make(other, "another").run(["true"]));
      expect(error).toMatchObject({ code: "LOCKED", reached: "no" });
      expect(error.message).toContain("the site locked.example.com");
      expect(error.why[0]).toMatch(/^migrate \(operation 1\) of the hub one since /);
      release();
      await make(other, "another").run(["true"]);
    });

    it("are shared by operations that share them", async () => {
      const other = new Scope();
      await hold(scope, "a", "1", "shared");
      await hold(other, "b", "2", "shared");
      await Promise.all([host.run(["true"]), make(other, "another").stat(dir)]);
    });

    it("stay while a program of an operation that is over is at work", async () => {
      const release = await hold(scope, "a", "1");
      await host.run(sh('while [ -d "$1" ] && [ ! -e "$1/end" ]; do sleep 0.05; done >/dev/null 2>&1 </dev/null &', dir));
      release();
      const other = new Scope();
      await hold(other, "b", "2");
      expect((await isHostError(make(other, "another").run(["true"]))).code).toBe("LOCKED");
      writeFileSync(at("end"), "");
      await make(other, "another").run(["true"]);
    });

    it("are those of its parts, too, which neither take nor give back any", async () => {
      const release = await hold(scope, "a", "1");
      const part = new Scope(scope);
      await Promise.all([make(part).run(["true"]), host.run(["true"])]);
      part.hold(undefined);
      const other = new Scope();
      await hold(other, "b", "2");
      expect((await isHostError(make(other, "another").run(["true"]))).code).toBe("LOCKED");
      await host.run(["true"]);
      release();
      await make(other, "another").run(["true"]);
    });

    it("of a run whose end nobody there heard of are taken over by its own hub, and by no other", async () => {
      const deaf = new SshConnections({ locks: 1 });
      const before = new Scope();
      await hold(before, "a", "1");
      const killed = new SshHost(before, sshd.target({ hub: "one" }), deaf);
      await killed.run(["true"]);
      const [other, again] = [new Scope(), new Scope()];
      await hold(other, "b", "2");
      expect((await isHostError(make(other, "another").run(["true"]))).code).toBe("LOCKED");
      // On the hub its locks went with it.
      await hold(again, "c", "3");
      expect((await make(again).run(["echo", "taken over"])).stdout).toBe("taken over\n");
      await deaf.close();
    });

    it("nobody who only looks needs them", async () => {
      await hold(scope, "a", "1");
      await host.run(["true"]);
      expect((await make(new Scope()).stat(dir))?.type).toBe("directory");
    });
  });

  describe("the machine", () => {
    it("free space is told for a path that is still to be made", async () => {
      const free = await host.freeSpace(at("not/yet/there"));
      expect(free).toBeGreaterThan(0);
      expect(Math.abs(free - (await host.freeSpace(dir)))).toBeLessThan(1024 ** 3);
    });

    it("dials ports and Unix sockets, and rejects where nobody listens", async () => {
      const server = createServer((socket) => socket.pipe(socket));
      for (const where of [at("socket"), 0]) {
        await new Promise<void>((resolve) => (where === 0 ? server.listen(0, "127.0.0.1", resolve) : server.listen(where, resolve)));
        const address = server.address();
        const to = typeof address === "object" && address !== null ? { port: address.port } : { socket: address ?? "" };
        const dialled = await host.dial(to);
        dialled.end("said back");
        let text = "";
        for await (const chunk of dialled) text += chunk;
        expect(text).toBe("said back");
        await new Promise((resolve) => server.close(resolve));
        await expect(host.dial(to)).rejects.toThrow();
      }
    });

    it("connect tells whether somebody listens", async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      expect(await host.connect(port)).toBe(true);
      await new Promise((resolve) => server.close(resolve));
      expect(await host.connect(port)).toBe(false);
    });
  });
});
