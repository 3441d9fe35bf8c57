import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeFakeCore } from "../support/fake-core.js";
import { type Answered, type FakeHub, makeFileOf, newHub, saveSite, treeDifference } from "../support/fake-hub.js";
import { counted, EXHAUSTIVE } from "../support/kill-walk.js";
import { inParallel } from "../support/processes.js";
import { tablesOf } from "../support/table-sums.js";

/** Points near records of its own journal and of those of its parts. */
const SAMPLE = 6;

let base: string;
let installed: FakeHub;
let worlds = 0;
const nextRoot = () => join(base, `hub-${String(++worlds).padStart(4, "0")}`);
const REHEARSE = ["rehearse", "@a.test", "@platform_next"];

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), "provision-rehearse-kill-"));
  const core = await makeFakeCore(join(base, "core"));
  const newer = await makeFakeCore(join(base, "newer"), { traps: ["pending-updates"] });
  installed = await newHub(join(base, "hub-0000"), core);
  writeFileSync(installed.path("next.make"), makeFileOf(newer));
  await installed.do("save", "@platform_next", "--context_type=platform", "--root=platforms/next", "--makefile=next.make");
  for (const platform of ["@platform_d7", "@platform_next"]) await installed.do("verify", platform);
  await saveSite(installed, "a.test");
  await installed.do("install", "@a.test");
}, 120_000);
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** All that a site is made of, and what is kept of any. */
function world(hub: FakeHub): string {
  const kept = existsSync(hub.path("state/generations"))
    ? readdirSync(hub.path("state/generations"), { recursive: true, encoding: "utf8" })
    : [];
  return [hub.tree(), ...kept.map((name) => `kept ${name}`), ...tablesOf(hub.path("sites"))]
    .join("\n")
    .replace(/[0-9]{8}T[0-9]{6}-[0-9a-f]{4,8}/g, "ID");
}

function brief({ code, said, stderr }: Answered): string {
  return `exit ${code} ${said?.error?.code ?? ""} ${said?.error?.message ?? stderr.slice(0, 300)} ${said?.error?.why.join("; ") ?? ""}`;
}

async function walked(before: string, point: number, way: "abort" | "again"): Promise<string> {
  const hub = installed.copy(nextRoot());
  const at = `killed at ${point}, ${way}:`;
  try {
    const killed = await hub.run(REHEARSE, { env: { PROVISION_TEST_KILL_AT: String(point) } });
    if (killed.signal !== "SIGKILL") return `${at} it was not killed: ${brief(killed)}`;
    // The site is what it was, and nobody who changes it is held up.
    const verified = await hub.run(["verify", "@a.test"]);
    if (verified.code !== 0 || verified.said?.counts["changed"] !== 0) return `${at} verify: ${brief(verified)}`;
    const whole = hub.open.find((id) => JSON.stringify(hub.journal(id)[0] ?? {}).includes('"command":"rehearse"'));
    if (way === "again") {
      const again = await hub.run(REHEARSE);
      if (again.code !== 0) return `${at} ${brief(again)}`;
    } else if (whole !== undefined && hub.journal(whole).at(-1)?.t !== "end") {
      const part = hub.open.find((id) => id !== whole && hub.journal(id).length > 0);
      const refused = part === undefined ? undefined : await hub.run(["abort", part]);
      if (refused && !refused.said?.error?.message.includes(`part of rehearse (operation ${whole})`))
        return `${at} abort of a part: ${brief(refused)}`;
      const committed = hub.journal(whole).some(({ t }) => t === "commit");
      const ended = await hub.run([committed ? "resume" : "abort", whole]);
      // What is resumed tells its verdict.
      if (ended.code !== 0) return `${at} ${brief(ended)}`;
    }
    if (hub.open.length > 0) await hub.run(["verify", "@server_master"]);
    const now = world(hub);
    if (now !== before) return `${at} it is not as before: ${treeDifference(now, before)}`;
    if (hub.open.length > 0) return `${at} still open: ${hub.open.join(", ")}`;
    hub.remove();
    return "right";
  } catch (error) {
    return `${at} ${String(error)}`;
  }
}

describe("kill -9 of rehearse", () => {
  it(
    "anywhere in it and in its parts: the site is as it was; abort or the next rehearsal takes the copy away",
    async () => {
      const hub = installed.copy(nextRoot());
      const count = join(base, "count");
      const before = world(hub);
      const { code, said } = await hub.run(REHEARSE, { env: { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: count } });
      expect(said?.error).toBeUndefined();
      expect(code).toBe(0);
      expect(world(hub)).toBe(before);
      hub.remove();
      const { points, torn } = JSON.parse(readFileSync(count, "utf8")) as { readonly points: number; readonly torn: readonly number[] };
      expect(points).toBeGreaterThan(300);
      const near = torn.flatMap((point) => [point, point + 2]).filter((point) => point <= points);
      const step = near.length / SAMPLE;
      const sample = Array.from({ length: SAMPLE }, (_, index) => near[Math.floor((index + 0.5) * step)] as number);
      const chosen = EXHAUSTIVE ? Array.from({ length: points }, (_, index) => index + 1) : sample;
      const walks = chosen.map((point, index) => () => walked(before, point, index % 3 === 2 ? "again" : "abort"));
      const verdicts = await inParallel(walks, 3, (one) => one());
      counted("rehearse", verdicts);
      expect(verdicts.filter((verdict) => verdict !== "right")).toEqual([]);
    },
    EXHAUSTIVE ? 7_200_000 : 240_000,
  );
});
