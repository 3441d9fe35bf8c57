import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeFakeCore } from "../support/fake-core.js";
import { type Answered, type FakeHub, makeFileOf, newHub, saveSite, treeDifference } from "../support/fake-hub.js";
import { counted, drawn, EXHAUSTIVE } from "../support/kill-walk.js";
import { PhpServer } from "../support/php-server.js";
import { inParallel } from "../support/processes.js";
import { tablesOf } from "../support/table-sums.js";

/** Else as many around journal records, by turns. */
const SAMPLE = 4;

let base: string;
/** @a.test installed on @platform_d7; @platform_next is newer code with updates that wait; @server_two has databases too. */
let installed: FakeHub;
let migrated: FakeHub;
/** And the time of what is kept is over. */
let due: FakeHub;
let worlds = 0;
const nextRoot = () => join(base, `hub-${String(++worlds).padStart(5, "0")}`);

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), "provision-migrate-kill-"));
  const core = await makeFakeCore(join(base, "core"));
  const newer = await makeFakeCore(join(base, "newer"), { traps: ["pending-updates"] });
  installed = await newHub(join(base, "hub-00000"), core);
  writeFileSync(installed.path("next.make"), makeFileOf(newer));
  await installed.do("save", "@platform_next", "--context_type=platform", "--root=platforms/next", "--makefile=next.make");
  await installed.do("save", "@server_two", "--context_type=server", "--http_service_type=none", "--db_service_type=sqlite");
  for (const platform of ["@platform_d7", "@platform_next"]) await installed.do("verify", platform);
  await saveSite(installed, "a.test", "--aliases=www.a.test");
  await installed.do("install", "@a.test");
  const [generation = ""] = readdirSync(installed.path("sites/a.test"));
  writeFileSync(installed.path("sites/a.test", generation, "files/a picture.txt"), "of a cat");
  writeFileSync(installed.path("platforms/d7/sites/a.test/local.settings.php"), "<?php\n// the operator's own\n");
  // Modes of what was put there are as verify leaves them.
  await installed.do("verify", "@a.test");
  migrated = installed.copy(nextRoot());
  await migrated.do("migrate", "@a.test", "@platform_next", "--no-backup");
  due = migrated.copy(nextRoot());
  const [kept = ""] = readdirSync(due.path("state/generations/a.test"));
  const record = due.path("state/generations/a.test", kept);
  writeFileSync(record, readFileSync(record, "utf8").replace(/("until": ?")[^"]*/, "$12020-01-01T00:00:00.000Z"));
}, 120_000);
afterAll(() => rmSync(base, { recursive: true, force: true }));

interface Subject {
  readonly args: readonly string[];
  readonly origin: () => FakeHub;
  /** Context and host name, before and when it is complete; the directories of the docroots that serve then. */
  readonly before: readonly [context: string, host: string, docroot: string];
  readonly after: readonly [context: string, host: string, docroot: string] | "nothing";
  /** Fewer than most have. */
  readonly points?: number;
}

const D7 = "platforms/d7";
const NEXT = "platforms/next";
const A = ["@a.test", "a.test", D7] as const;
const MOVED = ["@a.test", "a.test", NEXT] as const;

const SUBJECTS: Readonly<Record<string, Subject>> = {
  "migrate to another platform": {
    args: ["migrate", "@a.test", "@platform_next", "--no-backup"],
    origin: () => installed,
    before: A,
    after: ["@a.test", "a.test", NEXT],
  },
  "migrate to another platform and name": {
    args: ["migrate", "@a.test", "@platform_next", "@b.test", "--no-backup"],
    origin: () => installed,
    before: A,
    after: ["@b.test", "b.test", NEXT],
  },
  "migrate to another database server": {
    args: ["migrate", "@a.test", "--db_server=@server_two", "--no-backup"],
    origin: () => installed,
    before: A,
    after: A,
  },
  "rename on one platform": {
    args: ["migrate", "@a.test", "@b.test", "--redirect-old"],
    origin: () => installed,
    before: A,
    after: ["@b.test", "b.test", D7],
  },
  rollback: {
    args: ["rollback", "@a.test", "--yes"],
    origin: () => migrated,
    before: MOVED,
    after: A,
  },
  "delete of a site with a kept generation": {
    args: ["delete", "@a.test", "--no-backup", "--yes"],
    origin: () => migrated,
    before: MOVED,
    after: "nothing",
  },
  "backups prune, of a kept generation": {
    args: ["backups", "prune", "@a.test", "--yes"],
    origin: () => due,
    before: MOVED,
    after: MOVED,
    points: 15,
  },
  clone: {
    args: ["clone", "@a.test", "@c.test", "@platform_next", "--sanitize"],
    origin: () => installed,
    before: A,
    after: ["@c.test", "c.test", NEXT],
  },
};

/** All that a site is made of: every file with its mode and content, what is kept, and the rows of every table of every database. */
function world(hub: FakeHub): string {
  const kept = existsSync(hub.path("state/generations"))
    ? readdirSync(hub.path("state/generations"), { recursive: true, encoding: "utf8" })
    : [];
  const tables = tablesOf(hub.path("sites"));
  return [hub.tree(), ...kept.map((name) => `kept ${name}`), ...tables]
    .join("\n")
    .replace(/[0-9]{8}T[0-9]{6}-[0-9a-f]{4,8}/g, "ID")
    .split("\n")
    .sort()
    .join("\n");
}

/** What no two runs have in common: databases after updates and new keys. */
function shape(of: string): string {
  return of
    .split("\n")
    .map((line) => (line.startsWith("table ") ? line.replace(/ \S+$/, "") : line))
    .join("\n");
}

interface Walk {
  readonly before: string;
  readonly complete: string;
  readonly points: number;
  readonly torn: readonly number[];
}

async function whole(subject: Subject): Promise<Walk> {
  const hub = subject.origin().copy(nextRoot());
  const count = join(base, `count-${worlds}`);
  const before = world(hub);
  const { code, said } = await hub.run(subject.args, { env: { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: count } });
  expect(said?.error).toBeUndefined();
  expect(code).toBe(0);
  const { points, torn } = JSON.parse(readFileSync(count, "utf8"));
  const complete = shape(world(hub));
  hub.remove();
  return { before, complete, points, torn };
}

function brief({ code, said, stderr }: Answered): string {
  return `exit ${code} ${said?.error?.code ?? said?.outcome ?? ""} ${said?.error?.message ?? stderr.slice(0, 300)} ${said?.error?.why.join("; ") ?? ""} ${said?.error?.state ?? ""}`;
}

async function serves(hub: FakeHub, site: Subject["after"]): Promise<string | undefined> {
  if (site === "nothing") return undefined;
  const [context, host, docroot] = site;
  const verified = await hub.run(["verify", context]);
  if (verified.code !== 0 || verified.said?.counts["changed"] !== 0)
    return `verify: ${brief(verified)} ${JSON.stringify(verified.said?.steps.filter(({ outcome }) => outcome === "changed"))}`;
  const server = await PhpServer.start(hub.path(docroot));
  try {
    const { status } = await server.get(host, "/");
    return status === 200 ? undefined : `GET / of ${host} answers ${status}`;
  } finally {
    await server.stop();
  }
}

async function walked(
  subject: Subject,
  { before, complete }: Walk,
  point: number,
  verb: "resume" | "abort",
  again?: { readonly verb: "resume" | "abort"; readonly at: number },
): Promise<string> {
  const hub = subject.origin().copy(nextRoot());
  const at = `${subject.args.join(" ")} killed at ${point}${again ? `, ${again.verb} killed at ${again.at}` : ""}, ${verb}:`;
  try {
    const killed = await hub.run(subject.args, { env: { PROVISION_TEST_KILL_AT: String(point) } });
    if (killed.signal !== "SIGKILL") return `${at} it was not killed: ${brief(killed)}`;
    const [id] = hub.open;
    const records = () => (id === undefined ? [] : hub.journal(id));
    const begun = records()[0]?.t === "open" && records().at(-1)?.t !== "end";
    if (again && begun) await hub.run([again.verb, id as string], { env: { PROVISION_TEST_KILL_AT: String(again.at) } });
    const committed = records().some(({ t }) => t === "commit");
    const ended = records().at(-1)?.t === "end";
    const back = records().some(({ t, until }) => t === "undoing" && until === null);
    let wanted: "before" | "complete" = records()[0]?.t === "open" && ended && !back ? "complete" : "before";
    if (begun && !ended) {
      const way = committed ? "resume" : back ? "abort" : verb;
      const answer = await hub.run([way, id as string]);
      if (answer.code !== 0) return `${at} ${way}: ${brief(answer)}`;
      wanted = way === "resume" ? "complete" : "before";
    }
    const now = world(hub);
    if (wanted === "before" && now !== before) return `${at} it is not as before: ${treeDifference(now, before)}`;
    if (wanted === "complete" && shape(now) !== complete) return `${at} it is not complete: ${treeDifference(shape(now), complete)}`;
    if (hub.open.length > 0) await hub.run(["verify", "@server_master"]);
    if (hub.open.length > 0) return `${at} still open`;
    const wrong = await serves(hub, wanted === "before" ? subject.before : subject.after);
    if (wrong !== undefined) return `${at} ${wrong}`;
    hub.remove();
    return "right";
  } catch (error) {
    return `${at} ${String(error)}`;
  }
}

describe.each(Object.entries(SUBJECTS))("kill -9 of %s", (name, subject) => {
  it(
    "at journal records and between: abort leaves every file and every table as it was, resume completes (M8, M9)",
    async () => {
      const walk = await whole(subject);
      expect(walk.points).toBeGreaterThan(subject.points ?? 40);
      const every = Array.from({ length: walk.points }, (_, index) => index + 1);
      const near = walk.torn.flatMap((torn) => [torn, torn + 2]).filter((point) => point <= walk.points);
      const step = near.length / SAMPLE;
      const points = EXHAUSTIVE ? every : Array.from({ length: SAMPLE }, (_, index) => near[Math.floor((index + 0.5) * step)] as number);
      const walks = points.flatMap((point, index) =>
        (EXHAUSTIVE ? (["resume", "abort"] as const) : ([index % 2 === 0 ? "abort" : "resume"] as const)).map(
          (verb) => () => walked(subject, walk, point, verb),
        ),
      );
      const doubles: typeof walks = [];
      if (EXHAUSTIVE)
        for (let point = 9; point < walk.points; point += 7)
          for (let at = 3; at < 120; at += 13)
            for (const [verb, again] of [
              ["resume", "resume"],
              ["abort", "abort"],
              ["abort", "resume"],
            ] as const)
              doubles.push(() => walked(subject, walk, point, verb, { verb: again, at }));
      const verdicts = await inParallel([...walks, ...drawn(doubles)], 3, (one) => one());
      counted(`${name}, ${walks.length} points and verbs`, verdicts);
      expect(verdicts.filter((verdict) => verdict !== "right")).toEqual([]);
    },
    EXHAUSTIVE ? 7_200_000 : 240_000,
  );
});
