import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeFakeCore } from "../support/fake-core.js";
import { type FakeHub, newHub, saveSite, treeDifference } from "../support/fake-hub.js";
import { counted, EXHAUSTIVE } from "../support/kill-walk.js";
import { PhpServer } from "../support/php-server.js";
import { inParallel } from "../support/processes.js";

const REBUILD = ["verify", "@platform_d7", "--rebuild"];

let base: string;
let origin: FakeHub;
let before: string;
let complete: string;
let points = 0;
let torn: readonly number[] = [];
let worlds = 0;

const nextRoot = () => join(base, `hub-${String(++worlds).padStart(5, "0")}`);

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), "provision-rebuild-"));
  const core = await makeFakeCore(join(base, "core"));
  origin = await newHub(join(base, "hub-00000"), core);
  await origin.do("verify", "@platform_d7");
  await saveSite(origin, "a.test");
  await origin.do("install", "@a.test");
  const index = join(core, "index.php");
  writeFileSync(index, readFileSync(index, "utf8").replace("<?php\n", "<?php\nheader('X-Code: new');\n"));
  before = origin.tree();
  const count = join(base, "count");
  const whole = origin.copy(nextRoot());
  expect((await whole.run(REBUILD, { env: { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: count } })).code).toBe(0);
  complete = whole.tree();
  ({ points, torn } = JSON.parse(readFileSync(count, "utf8")));
  whole.remove();
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** Kills a rebuild at a point, ends it by one verb, and looks whether all is old or all is new. */
async function walk(point: number, verb: "resume" | "abort" | "next"): Promise<string> {
  const hub = origin.copy(nextRoot());
  const at = `killed at ${point}, ${verb}:`;
  try {
    const killed = await hub.run(REBUILD, { env: { PROVISION_TEST_KILL_AT: String(point) } });
    if (killed.signal !== "SIGKILL") return `${at} it was not killed, exit ${killed.code}`;
    const [open] = hub.open;
    const committed = open !== undefined && hub.journal(open).some(({ t }) => t === "commit");
    const begun = open !== undefined && hub.journal(open)[0]?.t === "open" && hub.journal(open).at(-1)?.t !== "end";
    if (verb === "next" || !begun) {
      const next = await hub.run(["verify", "@platform_d7"]);
      if (next.code !== 0) return `${at} the next verify ended with ${next.code}: ${next.said?.error?.message}`;
    } else {
      const answer = await hub.run([committed ? "resume" : verb, open]);
      if (answer.code !== 0) return `${at} ended with ${answer.code}: ${answer.said?.error?.message} ${answer.said?.error?.why.join("; ")}`;
    }
    const tree = hub.tree();
    if (tree !== before && tree !== complete)
      return `${at} neither old nor new: ${treeDifference(tree, complete)} / ${treeDifference(tree, before)}`;
    const [builds, records] = [readdirSync(hub.path("platforms/.builds")), readdirSync(hub.path("state/builds"))];
    if (records.join() !== builds.map((build) => `${build}.json`).join())
      return `${at} records ${records.join()} of builds ${builds.join()}`;
    if (hub.open.length > 0) await hub.run(["verify", "@server_master"]);
    if (hub.open.length > 0) return `${at} still open`;
    if (verb === "abort" && !committed && tree !== before) return `${at} abort did not put everything back`;
    if (verb === "resume" && begun && tree !== complete) return `${at} resume did not finish`;
    const server = await PhpServer.start(hub.path("platforms/d7"));
    try {
      const { status } = await server.get("a.test", "/");
      if (status !== 200) return `${at} the site answers ${status}`;
    } finally {
      await server.stop();
    }
    hub.remove();
    return "right";
  } catch (error) {
    return `${at} ${String(error)}`;
  }
}

it("kill -9 of a rebuild, at the points of the journal and between: the platform is the old or the new one, whole, and its site answers", async () => {
  expect(points).toBeGreaterThan(30);
  const records = new Set(torn.flatMap((one) => [one - 1, one + 2]));
  const every = Array.from({ length: points }, (_, index) => index + 1);
  const chosen = every.filter((point) => EXHAUSTIVE || records.has(point) || point % 7 === 0);
  const verbs = ["abort", "resume", "next"] as const;
  const walks = chosen.flatMap((point, index) =>
    (EXHAUSTIVE ? verbs : [verbs[index % verbs.length] ?? "next"]).map((verb) => () => walk(point, verb)),
  );
  const verdicts = await inParallel(walks, 3, (one) => one());
  counted("rebuild", verdicts);
  expect(verdicts.filter((verdict) => verdict !== "right")).toEqual([]);
}, 1_800_000);
