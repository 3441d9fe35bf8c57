import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeFakeCore } from "../support/fake-core.js";
import { type Answered, type FakeHub, newHub, saveSite, treeDifference } from "../support/fake-hub.js";
import { PhpServer } from "../support/php-server.js";
import { inParallel } from "../support/processes.js";

/** Every point with every verb, and a dense walk of double kills; else every point of a journal record with one verb, a sample of the rest. */
const EXHAUSTIVE = process.env["PROVISION_TEST_KILL_ALL"] === "1";
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
  bare = await newHub(join(base, "hub-000"), core);
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
  return join(base, `hub-${String(++worlds).padStart(3, "0")}`);
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
  /** Kill points of a whole run, and those of its journal records. */
  points: number;
}

const INSTALL: Subject = subject(["install", "@a.test"], () => built, "@a.test", "ask");
const BUILD: Subject = subject(["verify", "@platform_d7"], () => bare, "@platform_d7", "automatic");
const DELETE: Subject = subject(["delete", "@a.test", "--no-backup", "--yes"], () => installed, "@a.test", "ask");
const SUBJECTS = { install: INSTALL, "verify of a platform": BUILD, delete: DELETE };

function subject(args: readonly string[], origin: () => FakeHub, context: string, recovery: Subject["recovery"]): Subject {
  return { args, origin, context, recovery, before: "", complete: "", points: 0 };
}

beforeAll(async () => {
  for (const each of Object.values(SUBJECTS)) {
    const hub = each.origin().copy(nextRoot());
    const count = join(base, "count");
    const { code } = await hub.run(each.args, { env: { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: count } });
    expect(code).toBe(0);
    each.before = each.origin().tree();
    each.complete = hub.tree();
    each.points = Number(readFileSync(count, "utf8"));
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
  readonly undoing: boolean;
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
    undoing: records.some(({ t }) => t === "undoing"),
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
    wanted = at.undoing ? "before" : "complete";
    const refused = await hub.run([verb, at.id]);
    must(refused.said?.error?.code === "NOT_OPEN", `${verb} of one that has ended: ${brief(refused)}`);
  } else {
    const answer = await hub.run([verb, at.id]);
    if (verb === "abort" && at.committed) {
      must(answer.code === 1 && answer.said?.error?.code === "COMMITTED", `abort after the commit: ${brief(answer)}`);
      must(answer.said?.error?.next.includes(`provision resume ${at.id}`) === true, "abort after the commit does not name resume");
      wanted = "complete";
    } else if (verb === "resume" && at.undoing && !at.committed) {
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

async function allRight(walks: readonly (() => Promise<string>)[]): Promise<void> {
  expect(walks.length).toBeGreaterThan(0);
  const verdicts = await inParallel(walks, WIDTH, (one) => one());
  expect(verdicts.filter((verdict) => verdict !== "right")).toEqual([]);
}

describe.each(Object.entries(SUBJECTS))("kill -9 of %s", (_name, subject) => {
  it("at every point: resume ends complete, abort as before or naming resume, the next command as it should (M8)", async () => {
    expect(subject.points).toBeGreaterThan(50);
    const points = Array.from({ length: subject.points }, (_, index) => index + 1);
    await allRight(
      points.flatMap((point) =>
        (EXHAUSTIVE ? VERBS : [VERBS[point % VERBS.length] as Verb]).map(
          (verb) => () => walk(subject, point, verb, EXHAUSTIVE || point % 12 === 0),
        ),
      ),
    );
  }, 3_600_000);
});
