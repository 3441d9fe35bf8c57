import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeFakeCore } from "../support/fake-core.js";
import { type Answered, type FakeHub, newHub, saveSite, treeDifference } from "../support/fake-hub.js";
import { counted, drawn, EXHAUSTIVE } from "../support/kill-walk.js";
import { inParallel } from "../support/processes.js";

/** Else as many points beside journal records, with one verb each. */
const MOST = 5;

let base: string;
/** @a.test installed and backed up once, then changed. */
let origin: FakeHub;
let backup: string;
let worlds = 0;

interface Subject {
  readonly args: () => readonly string[];
  readonly recovery: "automatic" | "ask";
  /** Backups of a.test before and after; `kept`: also when all else is taken back, once it is complete. */
  readonly backups: readonly [before: number, after: number];
  /** The site that is there when all is done; or, for `delete`, until then. */
  readonly site: string;
  before: string;
  complete: string;
  points: number;
  torn: readonly number[];
}

function subject(args: () => readonly string[], recovery: Subject["recovery"], backups: Subject["backups"], site = "@a.test"): Subject {
  return { args, recovery, backups, site, before: "", complete: "", points: 0, torn: [] };
}

const SUBJECTS: Readonly<Record<string, Subject>> = {
  backup: subject(() => ["backup", "@a.test"], "automatic", [1, 2]),
  restore: subject(() => ["restore", "@a.test", backup, "--yes"], "ask", [1, 2]),
  deploy: subject(() => ["deploy", "@c.test", backup], "ask", [1, 1], "@c.test"),
  delete: subject(() => ["delete", "@a.test", "--yes"], "ask", [1, 2]),
  "install --force-reinstall": subject(() => ["install", "@a.test", "--force-reinstall", "--yes"], "ask", [1, 2]),
};

/** The tree but for its backups, which are looked at by themselves: one that is complete stays. */
function treeOf(hub: FakeHub): string {
  return hub
    .tree()
    .split("\n")
    .filter((line) => !line.startsWith("backups/"))
    .join("\n");
}

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), "provision-bkill-"));
  origin = await newHub(join(base, "hub-00000"), await makeFakeCore(join(base, "core")));
  await origin.do("verify", "@platform_d7");
  await saveSite(origin, "a.test", "--aliases=www.a.test");
  await origin.do("install", "@a.test");
  const file = origin.path("platforms/d7/sites/a.test/files/kept.txt");
  writeFileSync(file, "kept");
  // Modes of what was put there are as verify leaves them.
  await origin.do("verify", "@a.test");
  backup = String((await origin.do("backup", "@a.test")).data?.["backup"]);
  writeFileSync(file, "changed");
  for (const each of Object.values(SUBJECTS)) {
    const hub = next();
    const count = join(base, "count");
    const { code, said } = await hub.run(each.args(), { env: { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: count } });
    expect([code, said?.error]).toEqual([0, undefined]);
    each.before = treeOf(origin);
    each.complete = treeOf(hub);
    Object.assign(each, JSON.parse(readFileSync(count, "utf8")));
    hub.remove();
  }
}, 180_000);
afterAll(() => rmSync(base, { recursive: true, force: true }));

function next(): FakeHub {
  const hub = origin.copy(join(base, `hub-${String(++worlds).padStart(5, "0")}`));
  // A copy says its own paths everywhere; the manifest has a sum.
  const manifest = `backups/a.test/${backup}/manifest.json`;
  cpSync(origin.path(manifest), hub.path(manifest));
  return hub;
}

function brief({ code, said, stderr }: Answered): string {
  return `exit ${code} ${said?.error?.code ?? said?.outcome ?? ""} ${said?.error?.message ?? stderr.slice(0, 300)} ${said?.error?.why.join("; ") ?? ""} ${said?.error?.state ?? ""}`;
}

type Verb = "resume" | "abort" | "next";
const VERBS: readonly Verb[] = ["abort", "resume", "next"];

/** What is wrong after a kill at `point` and `verb`; undefined: nothing. */
async function walk(
  subject: Subject,
  point: number,
  verb: Verb,
  again?: { readonly verb: "resume" | "abort"; readonly at: number },
): Promise<string | undefined> {
  const hub = next();
  const what = `${subject.args()[0]} killed at ${point} of ${subject.points}${again ? `, ${again.verb} killed at ${again.at}` : ""}, ${verb}`;
  try {
    const known = hub.operations;
    const killed = await hub.run(subject.args(), { env: { PROVISION_TEST_KILL_AT: String(point) } });
    if (killed.signal !== "SIGKILL") return `${what}: it was not killed: ${brief(killed)}`;
    const id = hub.operations.find((one) => !known.includes(one));
    if (again && id !== undefined) await hub.run([again.verb, id], { env: { PROVISION_TEST_KILL_AT: String(again.at) } });
    const records = id === undefined ? [] : hub.journal(id);
    const committed = records.some(({ t }) => t === "commit");
    const interrupted = records[0]?.t === "open" && records.at(-1)?.t !== "end";
    const back = records.some(({ t, until }) => t === "undoing" && until === null);
    // What was killed between the last step and the end of a journal without a commit is complete, too.
    const wanted = new Set<"before" | "complete">();
    if (verb === "next" && subject.recovery === "automatic") {
      const { code } = await hub.run(subject.args());
      if (code !== 0) return `${what}: the next one ended with ${code}`;
      wanted.add("complete");
    } else if (interrupted && id !== undefined) {
      const direction = committed || (verb === "resume" && !back) ? "resume" : "abort";
      if (verb === "next") {
        const refused = await hub.run([
          "verify",
          subject.site === "@c.test" && !hub.tree().includes("aliases/c.test.yml") ? "@server_master" : subject.site,
        ]);
        if (!committed && refused.said?.error?.code !== "INTERRUPTED" && subject.site === "@a.test")
          return `${what}: the next command: ${brief(refused)}`;
      }
      const answer = await hub.run([direction, id]);
      if (answer.code !== 0 && answer.said?.error?.code !== "NOT_OPEN") return `${what}: ${direction}: ${brief(answer)}`;
      wanted.add(direction === "resume" ? "complete" : "before");
    } else {
      wanted.add("before").add("complete");
      await hub.run(["verify", "@server_master"]);
    }
    const now = treeOf(hub);
    const found = [...wanted].find((name) => subject[name] === now);
    if (found === undefined) return `${what}: ${[...wanted].map((name) => `not ${name}: ${treeDifference(now, subject[name])}`).join(" ")}`;
    // Complete or absent: every directory there is a backup, and each is what its manifest says.
    const directories = readdirSync(hub.path("backups/a.test"));
    if (directories.some((name) => name.startsWith("."))) return `${what}: ${directories.join(" ")}`;
    const most = verb === "next" && subject.recovery === "automatic" ? subject.backups[1] + 1 : subject.backups[1];
    const made = records.some(({ t, step }) => t === "done" && step === "backup/complete");
    if (directories.length < subject.backups[made || found === "complete" ? 1 : 0] && (made || subject.args()[0] !== "backup"))
      return `${what}: ${directories.length} backups`;
    if (directories.length > most) return `${what}: ${directories.length} backups`;
    const verified = await hub.run(["backups", "verify", "--all"]);
    if (verified.code !== 0) return `${what}: ${brief(verified)}`;
    if (hub.open.length > 0) return `${what}: still open: ${hub.open.join(" ")}`;
    const deleted = found === "complete" && subject.args()[0] === "delete";
    if (!deleted && (found === "complete" || subject.site === "@a.test")) {
      const after = await hub.run(["verify", found === "complete" ? subject.site : "@a.test"]);
      if (after.code !== 0 || after.said?.counts["changed"] !== 0)
        return `${what}: verify: ${brief(after)} ${JSON.stringify(after.said?.counts)}`;
    }
    return undefined;
  } finally {
    hub.remove();
  }
}

describe.each(Object.entries(SUBJECTS))("kill -9 of %s", (name, subject) => {
  it("at every journal record: abort ends as before, resume complete, and every backup there is is whole (M5, M9, M10)", async () => {
    expect(subject.torn.length).toBeGreaterThanOrEqual(10);
    const every = Array.from({ length: subject.points }, (_, index) => index + 1);
    const records = [...new Set(subject.torn.flatMap((torn) => [torn - 1, torn, torn + 2]))].filter(
      (point) => point >= 1 && point <= subject.points,
    );
    const step = Math.ceil(records.length / MOST);
    const points = EXHAUSTIVE ? every : records.filter((_, index) => index % step === 0);
    const walks = points.flatMap((point, index) =>
      (EXHAUSTIVE ? VERBS : [VERBS[index % VERBS.length] as Verb]).map((verb) => () => walk(subject, point, verb)),
    );
    const verdicts = await inParallel(walks, 2, (one) => one());
    counted(name, verdicts);
    expect(verdicts.filter((verdict) => verdict !== undefined)).toEqual([]);
  }, 3_600_000);

  it("twice: what is killed while it resumes or aborts is brought to an end all the same", async () => {
    const doubles: (() => Promise<string | undefined>)[] = [];
    for (let point = Math.ceil(subject.points / 2); point < subject.points; point += EXHAUSTIVE ? 9 : subject.points) {
      for (let at = 25; at < 80; at += EXHAUSTIVE ? 7 : 80) {
        doubles.push(() => walk(subject, point, "resume", { verb: "resume", at }));
        doubles.push(() => walk(subject, point, "abort", { verb: "abort", at }));
      }
    }
    const verdicts = await inParallel(drawn(doubles), 2, (one) => one());
    counted(`${name}, twice`, verdicts);
    expect(verdicts.filter((verdict) => verdict !== undefined)).toEqual([]);
  }, 3_600_000);
});
