import type { ProvisionError } from "../core/errors.js";
import { type HeldLocks, lockName } from "../core/lock.js";
import type { Scope } from "../core/scope.js";
import { HostError } from "./host.js";
import { quoted } from "./quoting.js";
import { Marked } from "./remote-program.js";
import { type Link, shellRefuses } from "./ssh-connection.js";

/**
 * The locks of an operation, on a machine that it works on. There they are kernel locks too, of files in the account's
 * home directory, named as on the hub: two hubs that work with one account do not work on one site, and a run that was
 * killed keeps its site for as long as a program that it started there is at work.
 *
 * One process holds them, at the other end of one channel. It gives them back when the channel has ended and the last
 * program is gone, each of which has the file of the run locked, shared. When the hub was not heard for a minute, the
 * link is cut: it ends the connection on that side, so that nothing waits for what never comes.
 */
export interface SpokeLock {
  /** What every program locks, shared; for the shell there. */
  readonly file: string;
  /** Gives it back; resolves when nobody holds it any more, or the link was lost. */
  release(): Promise<void>;
}

const DIRECTORY = "$HOME/.provision/locks";
const HEARTBEAT = 15_000;
const BUSY = 101;

/** Arguments: who holds it, its run, the locks that are its alone. */
const HOLD = `who=$1; run=$2; shift 2
turn=0
until exec 8>"run.$run" && flock -s 8 && [ -e "run.$run" ]; do turn=$((turn + 1)); [ $turn -lt 9 ] || exit 1; done
for file; do printf '%s sshd=%s' "$who" "$PPID" >"$file"; done
for old in run.*; do flock -x -n "$old" rm -f "$old"; done 2>/dev/null
printf 'held\\n'
while timeout 60 sh -c 'IFS= read -r beat'; end=$?; [ $end = 0 ]; do :; done
[ $end = 124 ] && kill "$PPID"
exec 8>&-
flock -x "run.$run" rm -f "run.$run"`;

/**
 * Rejects with LOCKED, saying who holds it. The lock of the server context that stands for the machine has one name there,
 * whatever a hub calls it. `aside`: how to wait for other operations of this run, of which only a few can hold locks there at a time.
 */
export async function takeSpokeLock(link: Link, held: HeldLocks, aside: Scope["aside"]): Promise<SpokeLock> {
  const given = link.locks.taken ? await aside(() => link.locks.take(1)) : await link.locks.take(1);
  try {
    const { holder } = held;
    const files = held.locks.map((lock) => ({ mode: lock.mode, file: lock.name === link.target.name ? "server" : lockName(lock) }));
    const run = `${holder.operation}-${holder.pid}-${link.mark.slice(0, 8)}`.replace(/[^A-Za-z0-9-]/g, "");
    const who = `${holder.command} (operation ${holder.operation}) of the hub ${link.target.hub} since ${holder.since}`;
    for (let turn = 0; ; turn++) {
      const outcome = await hold(link, files, who, run);
      if (typeof outcome !== "number") {
        return {
          file: `${DIRECTORY}/run.${run}`,
          async release() {
            await outcome();
            given();
          },
        };
      }
      const { file } = files[outcome] as { file: string };
      const said = await holderOf(link, file);
      // Runs of one hub exclude each other there: one that still holds it here was killed, or its link was cut.
      if (turn === 0 && said.includes(` of the hub ${link.target.hub} since `)) {
        await endLeftover(link, said);
        continue;
      }
      throw busy(link, file, said);
    }
  } catch (error) {
    given();
    throw error;
  }
}

/** How to let go, or the place of the file that another holds. */
async function hold(
  link: Link,
  files: readonly { readonly file: string; readonly mode: "shared" | "exclusive" }[],
  who: string,
  run: string,
): Promise<number | (() => Promise<void>)> {
  const own = files.filter(({ mode }) => mode === "exclusive").map(({ file }) => file);
  const holding = ["sh", "-c", HOLD, "sh", who, run, ...own].map(quoted).join(" ");
  const locking = files.map(
    ({ file, mode }, index) =>
      `flock --no-fork -${mode === "shared" ? "s" : "x"} -w ${link.patience.locks} -E ${BUSY + index} ${quoted(file)}`,
  );
  const script = [
    `say() { printf '\\n%s %s\\n' ${link.mark} "$1"; }`,
    "umask 077",
    `mkdir -p "${DIRECTORY}" && cd "${DIRECTORY}" || { say directory; exit 255; }`,
    "command -v flock >/dev/null 2>&1 && command -v timeout >/dev/null 2>&1 || { say flock; exit 255; }",
    "say locking",
    `exec ${[...locking, holding].join(" ")}`,
  ].join("\n");
  const channel = await link.exec(`exec /bin/sh -c ${quoted(script)}`);
  const marked = new Marked(link.mark);
  let said = "";
  let complained = "";
  channel.stderr.on("data", (chunk: Buffer) => {
    complained = (complained + chunk.toString()).slice(-4000);
  });
  const closed = new Promise<number | null>((resolve) => {
    channel.once("close", (code?: number | null) => resolve(code ?? null));
    link.whenLost(() => resolve(null));
  });
  const answered = new Promise<boolean>((resolve) => {
    channel.on("data", (chunk: Buffer) => {
      said += marked.take(chunk).toString();
      if (said.includes("held\n")) resolve(true);
    });
    void closed.then(() => resolve(false));
  });
  if (await answered) {
    const heart = setInterval(() => void (link.open && channel.write("\n")), HEARTBEAT);
    heart.unref();
    void closed.then(() => clearInterval(heart));
    return async () => {
      clearInterval(heart);
      channel.end();
      await closed;
    };
  }
  const code = await closed;
  if (!link.open) throw link.lostError("before its locks were taken");
  if (code !== null && code >= BUSY && code < BUSY + files.length) return code - BUSY;
  if (marked.said === undefined) throw shellRefuses(link, marked.noise);
  const { host, user } = { host: link.settings.host, user: link.settings.user };
  if (marked.said === "flock")
    throw new HostError("PROGRAM_MISSING", `${link.target.name}: flock and timeout are needed on ${host}`, {
      next: [`apt-get install util-linux coreutils    # on ${host}`],
      reached: "no",
    });
  throw new HostError(
    /no space/i.test(complained) ? "DISK_FULL" : "PERMISSION_DENIED",
    `${link.target.name}: ${user} cannot keep its locks on ${host}`,
    {
      why: complained.split("\n").filter((line) => line !== ""),
      next: [`ls -ld ~${user} ~${user}/.provision    # on ${host}: ${user} has to be able to write there`],
      reached: "no",
    },
  );
}

/** What its holder wrote into a lock file. */
async function holderOf(link: Link, file: string): Promise<string> {
  return await shell(link, `cat "${DIRECTORY}/"${quoted(file)} 2>/dev/null`);
}

/** Ends the connection of a run that is over on the hub: what it left waits for nobody. */
async function endLeftover(link: Link, said: string): Promise<void> {
  const [, pid] = / sshd=(\d+)$/.exec(said) ?? [];
  if (pid !== undefined)
    await shell(link, `[ ${pid} = "$PPID" ] || case $(cat /proc/${pid}/comm 2>/dev/null) in sshd*) kill ${pid} ;; esac`);
}

async function shell(link: Link, script: string): Promise<string> {
  const channel = await link.exec(`exec /bin/sh -c ${quoted(`printf '\\n%s -\\n' ${link.mark}; ${script}`)}`);
  const marked = new Marked(link.mark);
  let said = "";
  channel.on("data", (chunk: Buffer) => {
    said += marked.take(chunk).toString();
  });
  channel.stderr.resume();
  channel.end();
  await new Promise<void>((resolve) => {
    channel.once("close", () => resolve());
    link.whenLost(resolve);
  });
  return said.trim();
}

function busy(link: Link, file: string, said: string): ProvisionError {
  const [kind = "", ...name] = file.split(".");
  const what = name.length === 0 ? (kind === "server" ? link.target.name : `the ${kind}`) : `the ${kind} ${name.join(".")}`;
  return new HostError("LOCKED", `${what} is locked on ${link.settings.host} by another run, or by a program that one left there`, {
    why: said === "" ? [] : [said.replace(/ sshd=\d+$/, "")],
    state: "nothing was changed",
    next: ["wait for it", `ssh ${link.settings.user}@${link.settings.host} ps -fu ${link.settings.user}    # shows what is at work there`],
    reached: "no",
  });
}
