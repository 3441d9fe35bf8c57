import { execFileSync } from "node:child_process";
import { appendFileSync, closeSync, constants, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answered, treeDifference } from "../support/fake-hub.js";
import { counted, drawn, EXHAUSTIVE } from "../support/kill-walk.js";
import { missingMachines, whereSpokesAre } from "../support/namespaces.js";
import { brief, type Place, type SpokeWorld, spokeWorld } from "../support/spoke-world.js";
import { missingSpoke } from "../support/spokes.js";

const absent = missingSpoke("nginx");

/** A site that has to be in one place and no other. */
type Stand = readonly [context: string, place: Place];

interface Subject {
  readonly args: readonly string[];
  /** State in which it begins. */
  readonly from: "base" | "moved" | "by hand";
  readonly before?: Stand;
  readonly after?: Stand;
  /** Host name whose writes have to be taken by one place at most, whatever happens. */
  readonly uri: string;
  /** Walks of a sample: where in the journal, from 0 to 1, and what is done then. None: it is walked only as a whole. */
  readonly sample?: { readonly kill: readonly number[]; readonly cut: readonly number[] };
}

/** Stands for the id of the one of @a.test. */
const BACKUP = "its backup";
const A: Stand = ["@a.test", 0];
const MOVED: Stand = ["@a.test", 1];

const SUBJECTS: Readonly<Record<string, Subject>> = {
  "migrate from spoke to spoke": {
    args: ["migrate", "@a.test", "@platform_w2", "--db_server=@web2", "--no-backup"],
    from: "base",
    before: A,
    after: MOVED,
    uri: "a.test",
    sample: { kill: [0.35, 0.8], cut: [0.5] },
  },
  "migrate from the hub to a spoke": {
    args: ["migrate", "@h.test", "@platform_w1", "--db_server=@web1", "--no-backup"],
    from: "base",
    before: ["@h.test", "hub"],
    after: ["@h.test", 0],
    uri: "h.test",
  },
  "migrate to newer code on a spoke": {
    args: ["migrate", "@a.test", "@platform_n1", "--no-backup"],
    from: "base",
    before: A,
    after: A,
    uri: "a.test",
  },
  rollback: { args: ["rollback", "@a.test", "--yes"], from: "moved", before: MOVED, after: A, uri: "a.test" },
  delete: { args: ["delete", "@a.test", "--no-backup", "--yes"], from: "moved", before: MOVED, uri: "a.test" },
  clone: {
    args: ["clone", "@a.test", "@c.test", "@platform_w2", "--db_server=@web2"],
    from: "base",
    before: A,
    after: ["@c.test", 1],
    uri: "c.test",
  },
  restore: { args: ["restore", "@a.test", BACKUP, "--yes"], from: "base", before: A, after: A, uri: "a.test" },
  install: { args: ["install", "@b.test"], from: "base", before: A, after: ["@b.test", 0], uri: "b.test" },
  backup: { args: ["backup", "@a.test"], from: "base", before: A, after: A, uri: "a.test" },
  "verify of a site": { args: ["verify", "@a.test"], from: "by hand", after: A, uri: "a.test" },
  "verify of a platform": { args: ["verify", "@platform_w1"], from: "by hand", uri: "a.test" },
};

/** What no two runs have in common: databases after updates and new keys. */
function shape(of: string): string {
  return of
    .split("\n")
    .map((line) => (/^\S+ table /.test(line) ? line.replace(/ \S+$/, "") : line))
    .join("\n");
}

describe.skipIf(absent !== undefined)(`between machines (${absent ?? whereSpokesAre()})`, () => {
  let base: string;
  let all: SpokeWorld;
  let fifo: string;
  /** State that the machines are in; undefined: they have to be put back. */
  let state: string | undefined;

  const inState = async (wanted: string) => {
    if (state !== wanted) await all.putBack(wanted);
    state = wanted;
  };

  beforeAll(async () => {
    base = mkdtempSync(join(tmpdir(), "provision-spoke-kill-"));
    fifo = join(base, "fifo");
    execFileSync("mkfifo", [fifo]);
    all = await spokeWorld(EXHAUSTIVE);
    const { hub, spokes } = all;
    state = "base";
    if (!EXHAUSTIVE) return;
    await hub.do(
      ...["save", "@b.test", "--context_type=site", "--uri=b.test", "--platform=@platform_w1", "--db_server=@web1", "--profile=minimal"],
    );
    all.keep("base");
    await hub.do("migrate", "@a.test", "@platform_w2", "--db_server=@web2", "--no-backup");
    all.keep("moved");
    await all.putBack("base");
    appendFileSync(spokes[0].path("config/web1/nginx/vhost.d/a.test.conf"), "# by hand\n");
    appendFileSync(spokes[0].path("platforms/w1/index.php"), "// by hand\n");
    all.keep("by hand");
    state = undefined;
  }, 300_000);
  afterAll(async () => {
    await all?.remove();
    if (base !== undefined) rmSync(base, { recursive: true, force: true });
  });

  const wordsOf = ({ args }: Subject) =>
    args.map((word) => (word === BACKUP ? (readdirSync(all.hub.path("backups/a.test"))[0] as string) : word));

  interface Walk {
    readonly before: string;
    readonly complete: string;
    readonly torn: readonly number[];
  }

  /** The whole run, to be held against. */
  async function whole(subject: Subject): Promise<Walk> {
    await inState(subject.from);
    const before = all.world();
    state = undefined;
    const count = join(base, "count");
    const answer = await all.hub.run(wordsOf(subject), { env: { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: count } });
    if (answer.code !== 0) throw new Error(brief(answer));
    const { torn } = JSON.parse(readFileSync(count, "utf8"));
    return { before, complete: shape(all.world()), torn };
  }

  /** What became of an operation that was interrupted, after the verb that ends it: `right`, or what is wrong. */
  async function ended(subject: Subject, { before, complete }: Walk, verb: "resume" | "abort"): Promise<string> {
    const { hub } = all;
    const [id] = hub.open;
    const records = id === undefined ? [] : hub.journal(id);
    const begun = records[0]?.t === "open" && records.at(-1)?.t !== "end";
    const committed = records.some(({ t }) => t === "commit");
    const back = records.some(({ t, until }) => t === "undoing" && until === null);
    let wanted: "before" | "complete" = records[0]?.t === "open" && !begun && !back ? "complete" : "before";
    if (begun) {
      const way = committed ? "resume" : back ? "abort" : verb;
      const answer = await hub.run([way, id as string]);
      if (answer.code !== 0) return `${way}: ${brief(answer)}`;
      wanted = way === "resume" ? "complete" : "before";
    } else if (records.length === 0 && shape(all.world()) === complete) wanted = "complete";
    const now = all.world();
    if (wanted === "before" && now !== before) return `it is not as before: ${treeDifference(now, before)}`;
    if (wanted === "complete" && shape(now) !== complete) return `it is not complete: ${treeDifference(shape(now), complete)}`;
    if (hub.open.length > 0) await hub.run(["verify", "@web1"]);
    if (hub.open.length > 0) return "still open";
    const stand = wanted === "before" ? subject.before : subject.after;
    const wrong = stand && (await all.wrong(...stand));
    if (wrong !== undefined) return wrong;
    if (wanted === "before") state = subject.from;
    return "right";
  }

  /** Two runs need not pass the same number of points, when one of them waits for a daemon: the last may be past the end of another. */
  const isPast = ({ code }: Answered, { torn }: Walk, point: number) => code === 0 && point >= (torn.at(-1) as number);

  async function killed(subject: Subject, walk: Walk, point: number, verb: "resume" | "abort"): Promise<string> {
    const at = `${subject.args.join(" ")} killed at ${point}, ${verb}:`;
    try {
      await inState(subject.from);
      state = undefined;
      const answer = await all.hub.run(wordsOf(subject), { env: { PROVISION_TEST_KILL_AT: String(point) } });
      if (answer.signal !== "SIGKILL" && !isPast(answer, walk, point)) return `${at} it was not killed: ${brief(answer)}`;
      const verdict = await ended(subject, walk, verb);
      return verdict === "right" ? verdict : `${at} ${verdict}`;
    } catch (error) {
      return `${at} ${String(error)}`;
    }
  }

  /** The command, whose link to a spoke is cut at the point; `wasCut`: it came there. */
  async function run(args: readonly string[], point: number, cutting: () => Promise<void> | void): Promise<Answered & { wasCut: boolean }> {
    const reached = open(fifo, "w");
    const running = all.hub.run(args, { env: { PROVISION_TEST_KILL_AT: String(point), PROVISION_TEST_PAUSE_BY: fifo } });
    const pipe = await Promise.race([reached, running.then(() => undefined)]);
    if (pipe === undefined) {
      closeSync(openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK));
      await (await reached).close();
      return { ...(await running), wasCut: false };
    }
    await cutting();
    await pipe.close();
    return { ...(await running), wasCut: true };
  }

  /** `cable`: nothing says that the link is gone. */
  async function cut(subject: Subject, walk: Walk, point: number, spoke: 0 | 1, verb: "resume" | "abort", cable = false): Promise<string> {
    const at = `${subject.args.join(" ")} cut off from ${all.spokes[spoke].name} ${cable ? "without a word " : ""}at ${point}, ${verb}:`;
    try {
      await inState(subject.from);
      state = undefined;
      const { sshd } = all.spokes[spoke];
      const answer = await run(wordsOf(subject), point, () => (cable ? all.spokes[spoke].machine.cut() : sshd.cut()));
      const [id] = all.hub.open;
      if (cable) all.spokes[spoke].machine.mend();
      const taking = await all.taking(subject.uri);
      if (!cable) await sshd.restart({});
      if (!answer.wasCut && !isPast(answer, walk, point)) return `${at} it never came there: ${brief(answer)}`;
      if (taking.length > 1) return `${at} ${subject.uri} is written to in ${taking.join(" and ")}: ${brief(answer)}`;
      const left = answer.said?.warnings?.some((warning) => warning.includes("cleaned up by the next run"));
      if (left && answer.code === 0)
        await all.hub.run(["verify", subject.args[0] === "verify" ? (subject.args[1] as string) : (subject.after?.[0] ?? "@web1")]);
      const said = misleading(answer, id);
      if (said !== undefined) return `${at} ${said}: ${brief(answer)}`;
      const verdict = await ended(subject, walk, verb);
      return verdict === "right" ? verdict : `${at} ${brief(answer)}; then ${verdict}`;
    } catch (error) {
      return `${at} ${String(error)}`;
    }
  }

  /** What is wrong with what a command said that lost its link. */
  function misleading({ code, said }: Answered, open: string | undefined): string | undefined {
    const records = open === undefined ? [] : all.hub.journal(open);
    if (open === undefined || records[0]?.t !== "open" || records.at(-1)?.t === "end") {
      if (code === 0 || code === 4) return undefined;
      return code === 69 && /nothing was (changed|done)/.test(said?.error?.state ?? "")
        ? undefined
        : "exit code or state of what is not open";
    }
    const committed = records.some(({ t }) => t === "commit");
    const back = records.some(({ t, until }) => t === "undoing" && until === null);
    const next = said?.error?.next.join("\n") ?? "";
    if (code !== 69 && code !== 5) return "exit code";
    if ((said?.error?.state ?? "") === "") return "no state";
    if (next.includes(`resume ${open}`) === back) return back ? "resume is named, and refused" : "resume is not named";
    if (next.includes(`abort ${open}`) === committed) return committed ? "abort is named, and refused" : "abort is not named";
    return undefined;
  }

  describe.each(Object.entries(SUBJECTS).filter(([, { sample }]) => EXHAUSTIVE || sample !== undefined))("%s", (name, subject) => {
    let walk: Walk;
    beforeAll(async () => {
      walk = await whole(subject);
    }, 60_000);
    /** Each record: torn, or when it stands. */
    const near = (index: number) => (walk.torn[index] as number) + (index % 2 === 0 ? 0 : 2);
    const sampled = (places: readonly number[] = []) => places.map((place) => Math.floor(place * walk.torn.length));

    it("kill -9 at journal records: abort leaves every file and every table on all machines as it was, resume completes", async () => {
      const indices = EXHAUSTIVE ? walk.torn.map((_, index) => index) : sampled(subject.sample?.kill);
      const walks = indices.flatMap((index) =>
        (EXHAUSTIVE ? (["abort", "resume"] as const) : ([index % 2 === 0 ? "abort" : "resume"] as const)).map(
          (verb) => () => killed(subject, walk, near(index), verb),
        ),
      );
      const verdicts: string[] = [];
      for (const one of drawn(walks)) verdicts.push(await one());
      counted(`${name}, killed: of ${walks.length} at ${indices.length} records`, verdicts);
      expect(verdicts.filter((verdict) => verdict !== "right")).toEqual([]);
    }, 7_200_000);

    it("a link that is cut at journal records: it is said what stands and what to type, nobody writes in two places, and resume and abort work when it is back", async () => {
      const indices = EXHAUSTIVE ? walk.torn.map((_, index) => index) : sampled(subject.sample?.cut);
      const two = subject.args.some((word) => word.includes("w2")) || subject.from === "moved";
      const walks = indices.flatMap((index) =>
        (EXHAUSTIVE ? (["abort", "resume"] as const) : ([index % 2 === 0 ? "abort" : "resume"] as const)).map((verb, turn) => () => {
          const spoke = two ? (((index + turn) % 2) as 0 | 1) : 0;
          // After a record: a write that is torn is nobody's who goes on.
          return cut(subject, walk, (walk.torn[index] as number) + 2, spoke, verb);
        }),
      );
      // It takes a minute to find out.
      const silent =
        EXHAUSTIVE && missingMachines() === undefined && subject.args[0] === "migrate"
          ? [0.4, 0.7].map(
              (place, turn) => () =>
                cut(subject, walk, walk.torn[Math.floor(place * walk.torn.length)] as number, 0, turn ? "abort" : "resume", true),
            )
          : [];
      const verdicts: string[] = [];
      for (const one of [...drawn(walks), ...silent]) verdicts.push(await one());
      counted(`${name}, cut off: of ${walks.length} at ${indices.length} records`, verdicts);
      expect(verdicts.filter((verdict) => verdict !== "right")).toEqual([]);
    }, 7_200_000);
  });
});
