import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Machine, type Machines, missingMachines, startMachines, whereSpokesAre } from "../support/namespaces.js";
import { PROJECT } from "../support/project.js";
import { startSshd } from "../support/sshd.js";

const absent = missingMachines();

/** Until it is so; the kernel takes namespaces apart when it comes to it. */
async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    if (turn > 600) throw new Error("it does not come to be so");
    await sleep(50);
  }
}

const ours = () => Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
/** Of this machine's mounts. */
const mounted = (word: string) => readFileSync("/proc/self/mounts", "utf8").includes(word);

describe.skipIf(absent !== undefined)(`the other machines of the tests (${whereSpokesAre()})`, () => {
  let dir: string;
  let machines: Machines;
  let one: Machine;
  let two: Machine;
  const at = (name: string) => join(dir, name);

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "provision-machines-"));
    machines = await startMachines();
    one = await machines.add("one", [dir]);
    two = await machines.add("two");
  });
  afterAll(async () => {
    await machines?.remove();
    rmSync(dir, { recursive: true, force: true });
  });

  const answers = (port: number) =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ host: one.address, port, timeout: 1000 });
      const say = (open: boolean) => {
        socket.destroy();
        resolve(open);
      };
      socket.once("connect", () => say(true));
      socket.once("timeout", () => say(false));
      socket.once("error", () => say(false));
    });

  test("each has a name, an address, processes and files of its own; only what is shared is there and here", () => {
    expect([one.run(["hostname"]), two.run(["hostname"])]).toEqual(["one\n", "two\n"]);
    expect(two.run(["ps", "-e", "-o", "comm="]).trim().split("\n")).toEqual(["cat", "ps"]);
    const name = basename(dir);
    const paths = [`/etc/${name}`, `/tmp/${name}.own`, `/run/${name}`, at("shared")];
    one.run(["touch", ...paths]);
    for (const path of paths)
      expect([path, existsSync(one.seen(path)), existsSync(two.seen(path)), existsSync(path)]).toEqual([
        path,
        true,
        false,
        path === at("shared"),
      ]);
    expect(mounted(dir)).toBe(false);
  });

  test("they reach each other and the hub, and nobody else", () => {
    const dial =
      "use IO::Socket::INET; $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => 9, Timeout => 5); print $s ? 'open' : $!";
    const said = (address: string) => one.run(["perl", "-e", dial, address]);
    for (const address of [two.address, one.hub]) expect(said(address)).toBe("Connection refused");
    expect(said("192.0.2.1")).toBe("Network is unreachable");
  });

  test("a cable that is drawn and put back; a machine that crashes comes up with its disk, and nothing else", async () => {
    const sshd = await startSshd({ machine: one });
    try {
      expect(await answers(sshd.port)).toBe(true);
      one.cut();
      expect(await answers(sshd.port)).toBe(false);
      one.mend();
      await expect.poll(() => answers(sshd.port), { timeout: 20_000 }).toBe(true);
      for (const path of ["/tmp/old", "/srv/kept"]) one.run(["touch", path]);
      one.crash();
      expect(await answers(sshd.port)).toBe(false);
      expect(["/tmp/old", "/srv/kept", at("shared")].map((path) => existsSync(one.seen(path)))).toEqual([false, true, true]);
      await sshd.restart({});
      expect(await answers(sshd.port)).toBe(true);
    } finally {
      await sshd.remove();
    }
  });

  test("a disk that is full, and what is on it when it is not any more; a clock that is off", () => {
    writeFileSync(at("before"), "before");
    one.fill(dir, 64 * 1024);
    const write = (name: string, size: number) => one.run(["sh", "-c", 'head -c "$1" /dev/zero >"$2"', "sh", String(size), at(name)]);
    write("little", 1000);
    expect(() => write("much", 1_000_000)).toThrow(/No space left on device/);
    expect(one.run(["cat", at("before")])).toBe("before");
    one.run(["rm", at("before")]);
    one.empty(dir);
    expect([existsSync(at("before")), readFileSync(at("little")).length]).toEqual([false, 1000]);
    write("much", 1_000_000);
    expect(readFileSync(at("much")).length).toBe(1_000_000);
    const off = () => Math.abs(Math.round((Number(one.run(["date", "+%s"])) - Date.now() / 1000) / 60));
    one.clock(-3600);
    expect(off()).toBe(60);
    one.clock(0);
    expect(off()).toBe(0);
  });

  test("of machines whose maker is killed nothing is left: no process, no interface, no mount", async () => {
    const { rolldown } = await import("rolldown");
    const bundle = await rolldown({ input: join(PROJECT, "test/support/namespaces.ts"), platform: "node", external: /^node:/ });
    await bundle.write({ file: at("machines.mjs"), format: "esm" });
    await bundle.close();
    const make = `const { startMachines } = await import(process.argv[1]);
      const one = await (await startMachines()).add("killed");
      console.log(JSON.stringify({ hub: one.hub, pid: Number(one.within[2]) }));
      setInterval(() => one.run(["sh", "-c", "sleep 300 & sleep 300 &"]), 100);`;
    const maker = spawn(process.execPath, ["--input-type=module", "-e", make, at("machines.mjs")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(maker.stdout, "data");
    const { hub, pid } = JSON.parse(String(line)) as { hub: string; pid: number };
    const sleepers = () => execFileSync("nsenter", ["-t", String(pid), "-m", "-p", "--", "ps", "-e", "-o", "comm="], { encoding: "utf8" });
    await until(() => sleepers().includes("sleep"));
    const namespace = execFileSync("readlink", [`/proc/${pid}/ns/pid`], { encoding: "utf8" }).trim();
    const within = () => execFileSync("sh", ["-c", "readlink /proc/[0-9]*/ns/pid || true"], { encoding: "utf8" }).split("\n");
    expect([within().filter((name) => name === namespace).length > 2, ours().includes(hub)]).toEqual([true, true]);
    maker.kill("SIGKILL");
    await until(() => !within().includes(namespace) && !ours().includes(hub));
  });
});
