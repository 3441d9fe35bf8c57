import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeFakeCore, setTrap } from "../support/fake-core.js";
import { type Answered, type FakeHub, newHub, saveSite, treeDifference } from "../support/fake-hub.js";
import { counted, drawn, EXHAUSTIVE } from "../support/kill-walk.js";
import { PhpServer } from "../support/php-server.js";
import { inParallel } from "../support/processes.js";

const WIDTH = 3;

let base: string;
let core: string;
/** Platform saved, not built. */
let bare: FakeHub;
/** Platform built, a neighbour installed, @a.test saved. */
let built: FakeHub;
/** And @a.test installed. */
let installed: FakeHub;
let worlds = 0;

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), "provision-kill-"));
  core = await makeFakeCore(join(base, "core"));
  bare = await newHub(join(base, "hub-00000"), core);
  built = bare.copy(nextRoot());
  await built.do("verify", "@platform_d7");
  await saveSite(built, "n.test");
  await saveSite(built, "a.test", "--aliases=www.a.test");
  await built.do("install", "@n.test");
  installed = built.copy(nextRoot());
  await installed.do("install", "@a.test");
});

afterAll(() => rmSync(base, { recursive: true, force: true }));

function nextRoot(): string {
  return join(base, `hub-${String(++worlds).padStart(5, "0")}`);
}

/** One operation to be killed. */
interface Subject {
  readonly args: readonly string[];
  readonly origin: () => FakeHub;
  /** What a reader is asked about. */
  readonly context: string;
  readonly recovery: "automatic" | "ask";
  before: string;
  complete: string;
  /** Kill points of a whole run. */
  points: number;
  /** Those that tear a journal record; the one before comes before it is written, the second after it when it is on the disk. */
  torn: readonly number[];
}

const INSTALL: Subject = subject(["install", "@a.test"], () => built, "@a.test", "ask");
const BUILD: Subject = subject(["verify", "@platform_d7"], () => bare, "@platform_d7", "automatic");
const DELETE: Subject = subject(["delete", "@a.test", "--no-backup", "--yes"], () => installed, "@a.test", "ask");
const SUBJECTS = { install: INSTALL, "verify of a platform": BUILD, delete: DELETE };

function subject(args: readonly string[], origin: () => FakeHub, context: string, recovery: Subject["recovery"]): Subject {
  return { args, origin, context, recovery, before: "", complete: "", points: 0, torn: [] };
}

beforeAll(async () => {
  for (const each of Object.values(SUBJECTS)) {
    const hub = each.origin().copy(nextRoot());
    const count = join(base, "count");
    const { code } = await hub.run(each.args, { env: { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: count } });
    expect(code).toBe(0);
    each.before = each.origin().tree();
    each.complete = hub.tree();
    Object.assign(each, JSON.parse(readFileSync(count, "utf8")));
    hub.remove();
  }
});

type Verb = "resume" | "abort" | "next";
const VERBS: readonly Verb[] = ["resume", "abort", "next"];

/** Where an interrupted operation stands, by its journal. */
interface Stands {
  readonly id: string;
  readonly begun: boolean;
  readonly committed: boolean;
  readonly ended: boolean;
  /** A roll-back of everything was begun, or has ended. */
  readonly back: boolean;
}

function stands(hub: FakeHub, known: readonly string[]): Stands | undefined {
  const id = hub.operations.find((one) => !known.includes(one));
  if (id === undefined) return undefined;
  const records = hub.journal(id);
  return {
    id,
    begun: records[0]?.t === "open",
    committed: records.some(({ t }) => t === "commit"),
    ended: records.at(-1)?.t === "end",
    back: records.some(({ t, until, outcome }) => (t === "undoing" && until === null) || outcome === "rolled_back"),
  };
}

class Wrong extends Error {}

function must(right: boolean, what: string): void {
  if (!right) throw new Wrong(what);
}

function brief({ code, said, stderr }: Answered): string {
  return `exit ${code} ${said?.error?.code ?? said?.outcome ?? ""} ${said?.error?.message ?? stderr.slice(0, 300)} ${said?.error?.why.join("; ") ?? ""} ${said?.error?.state ?? ""}`;
}

function mustBe(hub: FakeHub, wanted: string, name: string): void {
  const found = hub.tree();
  must(found === wanted, `it is not ${name}: ${found === wanted ? "" : treeDifference(found, wanted)}`);
}

/** Brings what was killed to an end by one verb, and looks at everything. */
async function finish(hub: FakeHub, subject: Subject, known: readonly string[], verb: Verb, thorough: boolean): Promise<void> {
  const at = stands(hub, known);
  let wanted: "before" | "complete";
  if (verb === "next") wanted = await next(hub, subject, at);
  else if (!at?.begun) wanted = "before";
  else if (at.ended) {
    wanted = at.back ? "before" : "complete";
    const refused = await hub.run([verb, at.id]);
    must(refused.said?.error?.code === "NOT_OPEN", `${verb} of one that has ended: ${brief(refused)}`);
  } else {
    const answer = await hub.run([verb, at.id]);
    if (verb === "abort" && at.committed) {
      must(answer.code === 1 && answer.said?.error?.code === "COMMITTED", `abort after the commit: ${brief(answer)}`);
      must(answer.said?.error?.next.includes(`provision resume ${at.id}`) === true, "abort after the commit does not name resume");
      wanted = "complete";
    } else if (verb === "resume" && at.back && !at.committed) {
      // Only after a double kill: an abort that was cut short.
      const undoing = answer.said?.error?.code === "UNDOING";
      wanted = undoing ? "before" : "complete";
      must(undoing || answer.code === 0, `resume: ${brief(answer)}`);
    } else {
      must(answer.code === 0, `${verb}: ${brief(answer)}`);
      wanted = verb === "resume" ? "complete" : "before";
    }
    if (answer.code !== 0) {
      const last = await hub.run([wanted === "complete" ? "resume" : "abort", at.id]);
      must(last.code === 0, `the verb it named: ${brief(last)}`);
    }
  }
  mustBe(hub, subject[wanted], wanted === "before" ? "as before" : "complete");
  // What a kill left after the end is taken away by the next command, whichever it is.
  if (hub.open.length > 0) await hub.run(["verify", "@server_master"]);
  must(hub.open.length === 0, `still open: ${hub.open.join(" ")}`);
  if (thorough) await works(hub, subject, wanted);
  mustBe(hub, subject[wanted], "unchanged by what was asked of it");
}

/** The next plain command, and what has to become of it (DESIGN 6, Interrupted). */
async function next(hub: FakeHub, subject: Subject, at: Stands | undefined): Promise<"before" | "complete"> {
  const interrupted = at?.begun === true && !at.ended;
  const gone = subject === DELETE && !hub.tree().includes("aliases/a.test.yml");
  if (!gone) {
    const shown = await hub.run(["show", subject.context]);
    must(shown.code === 0, `show: ${brief(shown)}`);
    must(
      (shown.said?.warnings ?? []).some((text) => text.includes(at?.id ?? "?")) === interrupted,
      `show warns: ${JSON.stringify(shown.said?.warnings)}`,
    );
  }
  const answer = await hub.run(subject.args);
  if (interrupted && !at.committed && subject.recovery === "ask") {
    must(answer.code === 75 && answer.said?.error?.code === "INTERRUPTED", `the next command: ${brief(answer)}`);
    for (const named of [`provision resume ${at.id}`, `provision abort ${at.id}`])
      must(answer.said?.error?.next.some((line) => line.startsWith(named)) === true, `it does not name ${named}`);
    const ended = await hub.run(["abort", at.id]);
    must(ended.code === 0, `abort: ${brief(ended)}`);
    return "before";
  }
  // It was finished first, and an installed site is refused.
  if (subject === INSTALL && at?.begun && (at.committed || at.ended))
    must(answer.code === 1 && answer.said?.error?.code === "ALREADY_INSTALLED", `the next command: ${brief(answer)}`);
  else if (subject === DELETE && at?.ended === true)
    must(answer.code === 66 && answer.said?.error?.code === "CONTEXT_NOT_FOUND", `the next command: ${brief(answer)}`);
  else must(answer.code === 0, `the next command: ${brief(answer)}`);
  return "complete";
}

/** The site answers, and there is nothing for a verify to do. */
async function works(hub: FakeHub, subject: Subject, wanted: "before" | "complete"): Promise<void> {
  if (wanted === "complete" && subject !== DELETE) {
    const verified = await hub.run(["verify", subject.context]);
    must(
      verified.code === 0 && verified.said?.counts["changed"] === 0,
      `verify: ${brief(verified)} ${JSON.stringify(verified.said?.counts)}`,
    );
  }
  const alive = subject === INSTALL ? wanted === "complete" : subject === DELETE && wanted === "before";
  if (!alive) return;
  const server = await PhpServer.start(hub.path("platforms/d7"));
  try {
    const page = await server.get("a.test", "/");
    must(page.status === 200, `GET / answers ${page.status}`);
  } finally {
    await server.stop();
  }
}

const SIGKILLED = (answer: Answered) => answer.signal === "SIGKILL";

async function walk(subject: Subject, point: number, verb: Verb, thorough: boolean, again?: { verb: Verb; at: number }): Promise<string> {
  const hub = subject.origin().copy(nextRoot());
  const known = hub.operations;
  try {
    const killed = await hub.run(subject.args, { env: { PROVISION_TEST_KILL_AT: String(point) } });
    must(SIGKILLED(killed), `it was not killed: ${brief(killed)}`);
    const id = stands(hub, known)?.id;
    if (again && id !== undefined) await hub.run([again.verb, id], { env: { PROVISION_TEST_KILL_AT: String(again.at) } });
    await finish(hub, subject, known, verb, thorough);
    hub.remove();
    return "right";
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    return `${subject.args[0]} killed at ${point}${again ? `, ${again.verb} killed at ${again.at}` : ""}, ${verb}: ${error.message}`;
  }
}

async function allRight(of: string, walks: readonly (() => Promise<string>)[]): Promise<void> {
  expect(walks.length).toBeGreaterThan(0);
  const verdicts = await inParallel(walks, WIDTH, (one) => one());
  counted(of, verdicts);
  expect(verdicts.filter((verdict) => verdict !== "right")).toEqual([]);
}

describe.each(Object.entries(SUBJECTS))("kill -9 of %s", (name, subject) => {
  it("at every point: resume ends complete, abort as before or naming resume, the next command as it should (M8)", async () => {
    expect(subject.points).toBeGreaterThan(50);
    expect(subject.torn.length).toBeGreaterThanOrEqual(10);
    const every = Array.from({ length: subject.points }, (_, index) => index + 1);
    // Each journal record at one of its points. Kinds of points take turns more slowly than verbs do, or each kind would meet one verb only.
    const records = new Set(subject.torn.map((torn, index) => torn + ([-1, 0, 2][Math.floor(index / 3) % 3] as number)));
    const points = every.filter((point) => EXHAUSTIVE || records.has(point) || point % 12 === 0);
    await allRight(
      name,
      points.flatMap((point, index) =>
        (EXHAUSTIVE ? VERBS : [VERBS[index % VERBS.length] as Verb]).map(
          (verb) => () => walk(subject, point, verb, EXHAUSTIVE || index % 10 === 0),
        ),
      ),
    );
  }, 3_600_000);

  it("twice: what is killed while it resumes or aborts is brought to an end all the same", async () => {
    const doubles: (() => Promise<string>)[] = [];
    for (let point = 9; point < subject.points; point += EXHAUSTIVE ? 5 : Math.ceil(subject.points / 3)) {
      for (let at = 3; at < 90; at += EXHAUSTIVE ? 4 : 29) {
        doubles.push(() => walk(subject, point, "resume", false, { verb: "resume", at }));
        doubles.push(() => walk(subject, point, "abort", false, { verb: "abort", at: at + 1 }));
        if (EXHAUSTIVE) doubles.push(() => walk(subject, point, "abort", false, { verb: "resume", at }));
      }
    }
    await allRight(`${name}, twice`, drawn(doubles));
  }, 3_600_000);

  it("from outside, its whole process group, at some moment", async () => {
    const random = seeded(20261123);
    const moments = Array.from({ length: EXHAUSTIVE ? 60 : 6 }, (_, index) => ({ ms: 50 + Math.floor(random() * 750), index }));
    await allRight(
      `${name}, from outside`,
      moments.map(
        ({ ms, index }) =>
          () =>
            killedAfter(subject, ms, VERBS[index % VERBS.length] as Verb),
      ),
    );
  }, 3_600_000);
});

/** Park and Miller: the same moments in every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

async function killedAfter(subject: Subject, ms: number, verb: Verb): Promise<string> {
  const hub = subject.origin().copy(nextRoot());
  const known = hub.operations;
  const running = hub.start(subject.args, { detached: true });
  await sleep(ms);
  try {
    process.kill(-(running.child.pid as number), "SIGKILL");
  } catch {
    // It had ended.
  }
  const ended = await running.ended;
  try {
    // Programs it had started may go on for a moment, and hold its locks.
    await quiet(hub);
    if (ended.code === 0) mustBe(hub, subject.complete, "complete");
    else await finish(hub, subject, known, verb, false);
    hub.remove();
    return "right";
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    return `${subject.args[0]} killed after ${ms} ms, ${verb}: ${error.message}`;
  }
}

/** Waits until no program that was started for an operation of this hub is left. */
async function quiet(hub: FakeHub): Promise<void> {
  for (let n = 0; n < 400; n++) {
    const busy = hub.open.some((id) => spawnSync("flock", ["-n", hub.path("state/open", id), "true"]).status !== 0);
    if (!busy) return;
    await sleep(25);
  }
  throw new Error("a program of the killed operation does not end");
}

describe("kill -9 while PHP installs", () => {
  it("its PHP keeps the operation running; when that is gone too it is interrupted, and abort ends as before (M8)", async () => {
    const hub = built.copy(nextRoot());
    const known = hub.operations;
    const traps = hub.path("platforms/d7/traps");
    await setTrap(hub.path("platforms/d7"), "waiting-in-install");
    const before = hub.tree();
    const running = hub.start(["install", "@a.test"], { detached: true });
    for (let n = 0; n < 2000 && !existsSync(join(traps, "reached")); n++) await sleep(25);
    process.kill(-(running.child.pid as number), "SIGKILL");
    expect((await running.ended).signal).toBe("SIGKILL");
    const id = String(stands(hub, known)?.id);

    expect((await hub.do("operations", "show", id)).data).toMatchObject({ state: "running" });
    for (const args of [
      ["install", "@a.test"],
      ["resume", id],
      ["abort", id],
      ["verify", "@platform_d7"],
    ]) {
      const busy = await hub.run(args);
      expect([busy.code, busy.said?.error?.code], args.join(" ")).toEqual([75, "LOCKED"]);
    }
    expect((await hub.run(["show", "@a.test"])).said?.warnings).toBeUndefined();

    rmSync(join(traps, "waiting-in-install"));
    await quiet(hub);
    expect((await hub.do("operations", "show", id)).data).toMatchObject({ state: "interrupted" });
    const refused = await hub.run(["install", "@a.test"]);
    expect([refused.code, refused.said?.error?.code]).toEqual([75, "INTERRUPTED"]);
    await hub.do("abort", id);
    rmSync(join(traps, "reached"));
    await setTrap(hub.path("platforms/d7"), "waiting-in-install");
    expect(hub.tree()).toBe(before);
    expect(hub.open).toEqual([]);
    hub.remove();
  }, 240_000);
});

describe("kill -9 of the first install of a hub", () => {
  it("leaves no directory behind that an abort does not take away", async () => {
    const hub = bare.copy(nextRoot());
    await hub.do("verify", "@platform_d7");
    await saveSite(hub, "a.test");
    const before = hub.tree();
    for (const point of [60, 110, 140]) {
      const known = hub.operations;
      await hub.run(INSTALL.args, { env: { PROVISION_TEST_KILL_AT: String(point) } });
      const at = stands(hub, known);
      expect(at?.begun && !at.committed, `point ${point}`).toBe(true);
      await hub.do("abort", String(at?.id));
      expect(hub.tree()).toBe(before);
    }
    hub.remove();
  });
});
