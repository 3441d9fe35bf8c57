import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Machines on this one: each with a network, processes, mounts and a host name of its own, and with a root of its own laid over ours, which
 * takes what is written and forgets it in the end. This machine is the hub; a switch in a network namespace of its own joins them all.
 *
 * Nothing has to be put away. The first process of a machine reads from a pipe that we hold, and ends with it, however we end; the
 * kernel then kills what else runs there, and takes mounts, interfaces and files along.
 */
export interface Machine {
  readonly name: string;
  readonly address: string;
  /** Of the hub, as the machines see it. */
  readonly hub: string;
  /** Words before a program that is to run there. */
  readonly within: readonly string[];
  /** One of its files as it is seen from here; a link that begins with `/` leads astray. */
  seen(path: string): string;
  /** Runs a program there, as root; its standard output. Throws unless it ends with 0. */
  run(argv: readonly string[], input?: string): string;
  /** Its network cable is drawn: what is under way hangs, without a word. */
  cut(): void;
  mend(): void;
  /**
   * From now on `directory` is a disk with so many bytes free; only the machine sees what is written there, until `empty`. Nobody may have
   * a file of it open.
   */
  fill(directory: string, free: number): void;
  /** Ends `fill`: what was written is kept. */
  empty(directory: string): void;
  /** `date` is off by so many seconds (0: no more). */
  clock(seconds: number): void;
  /**
   * The next run of a program that is found in the path stands still after so many bytes of its input or its output, or before it begins, until
   * it is let go; or until the connection is gone by which it was started. Later runs are not touched.
   */
  hold(program: string, after: { readonly input: number } | { readonly output: number } | "before"): Held;
  /** All processes are killed without a word on the network, /run and /tmp are emptied; nothing is started. */
  crash(): void;
}

/** A program that stands still in the middle. */
interface Held {
  /** Resolves when it does. Rejects when `whole`, of which it is part, ends before. */
  begun(whole: Promise<unknown>): Promise<void>;
  go(): void;
}

export interface Machines {
  /** Directories in `shared` are the same there as here, at the same path. */
  add(name: string, shared?: readonly string[]): Promise<Machine>;
  remove(): Promise<void>;
}

/** Makes a machine's root and mounts, and becomes its first process. Arguments: name, directory for temporary files, those that are shared. */
const MACHINE = `set -e
name=$1 tmp=$2; shift 2
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/upper /run/work /run/root
mount -t overlay overlay -o lowerdir=/,upperdir=/run/upper,workdir=/run/work /run/root
cd /run/root
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mkdir -m 1777 run/lock
for at in tmp ".$tmp"; do mountpoint -q "$at" || mount -t tmpfs -o mode=1777 tmpfs "$at"; done
for at; do mkdir -p ".$at"; mount --bind "$at" ".$at"; done
mkdir run/old
pivot_root . run/old
umount -l /run/old
rmdir /run/old
hostname "$name"
ip link set lo up
# Numbers of its processes that are few of ours: a signal that was meant for one of them, and is sent from here, hits nobody as a rule.
echo $(($(cat /proc/sys/kernel/pid_max) / 2)) >/proc/sys/kernel/ns_last_pid 2>/dev/null || true
echo up
# Orphans of a process that ignores the end of its children are buried by the kernel.
exec env --ignore-signal=CHLD cat >/dev/null`;

const SWITCH = "ip link add switch type bridge && ip link set switch up && echo up && exec cat >/dev/null";

/** All that a machine needs, without making one. */
const PROBE = `set -e
mount -t tmpfs tmpfs /run
mkdir /run/upper /run/work /run/root
mount -t overlay overlay -o lowerdir=/,upperdir=/run/upper,workdir=/run/work /run/root
mount -t proc proc /run/root/proc
ip link add switch type bridge
ip link add hub type veth peer name machine
for program in php sshd; do PATH=$PATH:/usr/sbin chroot /run/root sh -c 'command -v "$1"' sh $program >/dev/null || { echo "its own / has no $program" >&2; exit 1; }; done`;

const NAMESPACES = ["--mount", "--net", "--pid", "--uts", "--ipc"];

let looked: { readonly missing: string | undefined } | undefined;

/** Why no machines can be made here; undefined when they can. PROVISION_TEST_SPOKES=loopback: they are not wanted. */
export function missingMachines(): string | undefined {
  looked ??= { missing: lookForMachines() };
  return looked.missing;
}

function lookForMachines(): string | undefined {
  if (process.env["PROVISION_TEST_SPOKES"] === "loopback") return "PROVISION_TEST_SPOKES says so";
  if (process.getuid?.() !== 0) return "only root makes network namespaces";
  const absent = ["unshare", "nsenter", "ip", "pivot_root"].filter(
    (program) => spawnSync("sh", ["-c", `PATH=$PATH:/usr/sbin:/sbin command -v ${program}`]).status !== 0,
  );
  if (absent.length > 0) return `${absent.join(" and ")} not installed`;
  const { status, stderr } = spawnSync("unshare", [...NAMESPACES, "--fork", "sh", "-c", PROBE], { encoding: "utf8", timeout: 20_000 });
  return status === 0 ? undefined : (stderr.trim().split("\n").at(-1) ?? "") || `unshare ended with ${status}`;
}

/** What the other machines of the tests are, for their titles. */
export function whereSpokesAre(): string {
  const missing = missingMachines();
  return missing === undefined ? "hosts in network namespaces" : `addresses of loopback, because ${missing}`;
}

/** Networks for tests of networks (RFC 2544): nobody's; 4096 of 30 machines each. */
const FIRST = (198 << 24) + (18 << 16);
const NETWORKS = 4096;
const SIZE = 32;

function addressOf(network: number, place: number): string {
  const at = FIRST + network * SIZE + place;
  return [24, 16, 8, 0].map((bits) => (at >>> bits) & 255).join(".");
}

export async function startMachines(): Promise<Machines> {
  const all: First[] = [];
  const remove = async () => {
    for (const first of all.toReversed()) await first.end();
  };
  try {
    const wire = await First.start(["--net", "sh", "-c", SWITCH]);
    all.push(wire);
    const network = joinHub(wire.pid);
    let place = 1;
    return {
      remove,
      async add(name, shared = []) {
        const address = addressOf(network, ++place);
        const first = await First.start([...NAMESPACES, "--fork", "--kill-child", "sh", "-c", MACHINE, "sh", name, tmpdir(), ...shared]);
        all.push(first);
        const script = [
          'nsenter -t "$1" -n ip link add "port$4" type veth peer name eth0 netns "$2"',
          'nsenter -t "$1" -n ip link set "port$4" master switch up',
          'exec nsenter -t "$2" -n sh -c \'ip addr add "$1/27" dev eth0 && ip link set eth0 up\' sh "$3"',
        ].join(" && ");
        sh(script, String(wire.pid), String(first.inner), address, String(place));
        return machineOf(name, address, addressOf(network, 1), first.inner);
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** The hub's end of the cable is named after the network: two that draw the same one cannot both have it. */
function joinHub(wire: number): number {
  for (let turn = 0; ; turn++) {
    const network = Math.floor(Math.random() * NETWORKS);
    const cable = `pvtest${network}`;
    const made = spawnSync("ip", ["link", "add", cable, "type", "veth", "peer", "name", "hub", "netns", String(wire)], {
      encoding: "utf8",
    });
    if (made.status === 0) {
      sh(
        'ip addr add "$2/27" dev "$1" && ip link set "$1" up && exec nsenter -t "$3" -n ip link set hub master switch up',
        ...[cable, addressOf(network, 1), String(wire)],
      );
      return network;
    }
    if (!made.stderr.includes("exists") || turn === 100) throw new Error(`no cable to the other machines: ${made.stderr}`);
  }
}

function sh(script: string, ...args: readonly string[]): string {
  return execFileSync("sh", ["-c", script, "sh", ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** The first process of some namespaces. */
class First {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(words: readonly string[]): Promise<First> {
    const child = spawn("unshare", words, { stdio: ["pipe", "pipe", "pipe"] });
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    const up = await Promise.race([once(child.stdout as NodeJS.ReadableStream, "data"), once(child, "close")]);
    if (!String(up[0]).startsWith("up")) throw new Error(`no machine: ${said}`);
    // Nobody waits for it.
    for (const one of [child, child.stdin, child.stdout, child.stderr] as readonly { unref?: () => void }[]) one?.unref?.();
    return new First(child);
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Of what unshare started in its place, by our numbers. */
  get inner(): number {
    return childrenOf(this.pid)[0] as number;
  }

  async end(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.stdin?.end();
    await ended;
  }
}

/** Numbers of the processes that a process has started and that run. */
export function childrenOf(pid: number): readonly number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
    return text.split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** The program behind the words `within` that `child` was started by, by our numbers: nsenter waits for it. */
export function behind(child: ChildProcess, machine: Machine | undefined): number {
  const pid = child.pid as number;
  return machine === undefined ? pid : (childrenOf(pid)[0] ?? pid);
}

/** A directory on the machine for what the rig keeps of its disks. */
const DISKS = "/srv/disks";
/** The kernel has one clock for all: `date` tells the time of another one, all other programs the right one. */
const OWN_DATE = "/usr/local/bin/date";
const DATE = '#!/bin/sh\nexec /bin/date -d "OFFSET seconds" "$@"\n';

/** Stands in the path before the program. AT is a directory, BYTES a number; the parent is the connection's sshd. */
const HOLD = `#!/bin/sh
mkdir AT/first 2>/dev/null || exec REAL "$@"
wait() { touch AT/begun; while [ ! -e AT/go ] && kill -0 $PPID 2>/dev/null; do sleep 0.05; done; }
# Byte by byte: what is kept in a buffer would hold up the program at the other end before its time.
held() { dd bs=1 count=BYTES status=none; wait; exec cat; }
`;
const HOW: Readonly<Record<"before" | "input" | "output", string>> = {
  before: 'wait\nexec REAL "$@"\n',
  // In a pipe the shell would wait for `cat`, and that for more, when the program has ended without having read all.
  input: 'mkfifo AT/in; exec 3<&0; held <&3 >AT/in 2>/dev/null 3<&- & REAL "$@" <AT/in 3<&-; end=$?; kill $! 2>/dev/null; exit $end\n',
  output: '{ REAL "$@"; echo $? >AT/status; } | held\nread -r status <AT/status\nexit "$status"\n',
};

function machineOf(name: string, address: string, hub: string, pid: number): Machine {
  const within = ["nsenter", "-t", String(pid), "-m", "-n", "-p", "-u", "-i", "--"];
  const run = (argv: readonly string[], input = "") => {
    const [program = "", ...args] = [...within, ...argv];
    return execFileSync(program, args, { encoding: "utf8", input, stdio: "pipe" });
  };
  const script = (text: string, ...args: readonly string[]) => void run(["sh", "-ec", text, "sh", ...args]);
  const disk = (directory: string) => `${DISKS}/${directory.replaceAll("/", "-")}`;
  const cut = () => void run(["ip", "link", "set", "eth0", "down"]);
  const mend = () => void run(["ip", "link", "set", "eth0", "up"]);
  return {
    ...{ name, address, hub, within, run, cut, mend },
    seen: (path) => join(`/proc/${pid}/root`, path),
    fill(directory, free) {
      const copy =
        'mkdir -p "$2.full" "$2.real"; mount --bind "$1" "$2.real"; mount -t tmpfs tmpfs "$2.full"; cp -a "$1/." "$2.full/"; ' +
        'used=$(df --output=used -B1 "$2.full" | tail -1); mount -o remount,size=$((used + $3)) "$2.full"; mount --bind "$2.full" "$1"';
      script(copy, directory, disk(directory), String(free));
    },
    empty(directory) {
      script(
        'umount -l "$1"; rsync -aH --delete "$2.full/" "$2.real/"; umount -l "$2.full" "$2.real"; rmdir "$2.full" "$2.real"',
        ...[directory, disk(directory)],
      );
    },
    clock(seconds) {
      if (seconds === 0) run(["rm", "-f", OWN_DATE]);
      else run(["sh", "-ec", 'cat >"$1"; chmod 755 "$1"', "sh", OWN_DATE], DATE.replace("OFFSET", String(seconds)));
    },
    hold(program, after) {
      const at = `/srv/held-${program}-${randomBytes(4).toString("hex")}`;
      const how = after === "before" ? "before" : "input" in after ? "input" : "output";
      const bytes = after === "before" ? 0 : "input" in after ? after.input : after.output;
      const own = `/usr/local/bin/${program}`;
      const real = run(["sh", "-c", 'PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v "$1"', "sh", program]).trim();
      const text = (HOLD + HOW[how]).replaceAll("REAL", real).replaceAll("AT", at).replaceAll("BYTES", String(bytes));
      run(["sh", "-ec", 'mkdir -m 777 "$1"; cat >"$2"; chmod 755 "$2"', "sh", at, own], text);
      return {
        async begun(whole) {
          let ended = false;
          const end = () => {
            ended = true;
          };
          whole.then(end, end);
          for (let turn = 0; !existsSync(join(`/proc/${pid}/root`, at, "begun")); turn++) {
            if (ended || turn > 1200) throw new Error(`${program} is not begun on ${name}`);
            await sleep(50);
          }
        },
        go() {
          run(["sh", "-c", 'rm -f "$2"; touch "$1/go"', "sh", at, own]);
        },
      };
    },
    crash() {
      cut();
      // All but the first process and the one that asks for it.
      script("kill -s KILL -- -1 || true; find /run /tmp -xdev -mindepth 1 -delete 2>/dev/null || true; mkdir -m 1777 /run/lock");
      mend();
    },
  };
}
