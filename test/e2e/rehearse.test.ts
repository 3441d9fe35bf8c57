import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Result } from "../../src/core/result.js";
import { clearTraps, setTrap } from "../support/fake-core.js";
import { type Serving, TestHub } from "../support/hub.js";
import { tablesOf } from "../support/table-sums.js";

const SITE = "site.localhost";
let hub: TestHub;
let serving: Serving;
const next = () => hub.path("platforms/next");

interface Page {
  readonly path: string;
  readonly status: number;
  readonly rehearsed_status: number;
  readonly differences: readonly string[];
}
const pages = ({ data }: Result) => data?.["urls"] as unknown as readonly Page[];

beforeAll(async () => {
  hub = await TestHub.withSite(SITE);
  await hub.savePlatform("next");
  await hub.ok("verify @platform_next");
  serving = await hub.serve();
}, 120_000);
afterAll(async () => {
  await serving?.stop();
  hub?.remove();
});

/** All that is there: files, directories, vhosts, entries of sites.php, and every row. */
function everything(): readonly string[] {
  const files = hub.tree({ times: false }).filter((line) => !/\.sqlite|\/php\/generation |\/traps|^state\/generations /.test(line));
  return [...files, ...tablesOf(hub.path("sites"))];
}

describe("rehearse", () => {
  it("a good one: exit 0, what a migrate would do, and nothing left; migrate --rehearsed takes it, and refuses when something has changed since", async () => {
    await setTrap(next(), "pending-updates");
    writeFileSync(hub.path("pages.txt"), `# what matters\n/\n\nhttp://${SITE}/user/login\n/no/such/page\n`);
    const before = everything();
    const good = await hub.document(`rehearse @${SITE} @platform_next --urls ${hub.path("pages.txt")}`);
    expect(good.error).toBeUndefined();
    expect([good.exit, good.data?.["verdict"], good.data?.["reasons"]]).toEqual([0, "good", []]);
    expect(pages(good)).toEqual([
      expect.objectContaining({ path: "/", status: 200, rehearsed_status: 200, differences: [] }),
      expect.objectContaining({ path: "/user/login", differences: [] }),
      expect.objectContaining({ path: "/no/such/page", status: 404, rehearsed_status: 404, differences: [] }),
    ]);
    expect(good.data?.["updates"]).toEqual(["trap_update_7002", "trap_update_7003", "trap_update_7004"]);
    expect(good.data?.["writes_blocked_ms"]).toBeGreaterThan(0);
    expect(good.data?.["warnings"]).toEqual([expect.objectContaining({ kind: "updates-pending" })]);
    expect(everything()).toEqual(before);
    // Each part has a journal of its own, that names the whole.
    const parents = readdirSync(hub.path("state/operations")).map((id) => [
      id,
      JSON.parse(readFileSync(hub.path(`state/operations/${id}/journal.jsonl`), "utf8").split("\n", 1)[0] as string),
    ]);
    const parts = parents.filter(([, open]) => open.parent === good.operation).map(([, open]) => open.command);
    expect(parts).toEqual(["clone", "migrate", "delete-site"]);

    const id = String(good.operation).split("-")[1];
    const dry = await hub.document(`migrate @${SITE} @platform_next --rehearsed ${id} --dry-run`);
    expect([dry.exit, dry.outcome]).toEqual([0, "would_change"]);
    // The rehearsal is the only one of its kind so far.
    expect(dry.data?.["predicted"]).toEqual({
      duration_ms: expect.any(Number),
      writes_blocked_ms: good.data?.["writes_blocked_ms"],
      from: "site",
      runs: 1,
    });

    writeFileSync(join(next(), "modules/user/added.inc"), "<?php\n");
    const stale = await hub.document(`migrate @${SITE} @platform_next --rehearsed ${id}`);
    expect([stale.exit, stale.error?.code, stale.operation]).toEqual([1, "REFUSED", undefined]);
    expect(stale.error?.why).toContain("files of @platform_next: changed");
    expect(stale.error?.next).toEqual([`provision rehearse @${SITE} @platform_next`]);
    for (const [words, code] of [
      [`@platform_next @new.localhost --rehearsed ${id}`, "USAGE"],
      ["@platform_next --rehearsed 0000", "OPERATION_NOT_FOUND"],
      [`@platform_next --rehearsed ${parents[0]?.[0]}`, "REFUSED"],
    ])
      expect((await hub.document(`migrate @${SITE} ${words}`)).error?.code, words).toBe(code);
  }, 120_000);

  it("a bad one: exit 6, what differs and what is newly logged; --keep leaves the copy, in quarantine; migrate does not take it", async () => {
    for (const trap of ["changed-page", "logged-error"] as const) await setTrap(next(), trap);
    const bad = await hub.document(`rehearse @${SITE} @platform_next --keep`);
    await clearTraps(next());
    expect([bad.exit, bad.error?.code, bad.data?.["verdict"]]).toEqual([6, "PROBLEMS_FOUND", "bad"]);
    expect(pages(bad)[0]).toMatchObject({ path: "/", differences: ['gone: "SITE"', 'new: "Another SITE"'] });
    expect(bad.data?.["log"]).toEqual([
      expect.objectContaining({ from: "site", type: "trap", severity: 3, message: expect.stringContaining("The toy of") }),
      expect.objectContaining({ severity: 4, message: "The toy is old" }),
    ]);
    expect(bad.error?.why.at(-1)).toMatch(/^new in the log: trap: The toy of/);
    expect(bad.error?.state).toContain(`@${SITE} was only read, and serves from @platform_p`);
    const { name = "", login = "" } = (bad.data?.["kept"] ?? {}) as { readonly name?: string; readonly login?: string };
    expect((await serving.get(name.slice(1), new URL(login).pathname)).status).toBe(302);
    expect(readFileSync(hub.path(`aliases/${name.slice(1)}.yml`), "utf8")).toMatch(
      /quarantine: true[\s\S]*@platform_next|@platform_next[\s\S]*quarantine: true/,
    );
    expect((await hub.document(`migrate @${SITE} @platform_next --rehearsed ${bad.operation}`)).error?.message).toContain("ended badly");
    await hub.ok(`delete ${name} --no-backup --yes`);
    expect(readdirSync(hub.path("sites"))).toEqual([SITE]);
  }, 120_000);

  it("updates that fail: exit 6, and nothing left; what stands against the move is refused as by migrate", async () => {
    for (const trap of ["pending-updates", "failing-update"] as const) await setTrap(next(), trap);
    writeFileSync(hub.path("wrong.txt"), "/\nnode/1\n");
    const before = everything();
    const failed = await hub.document(`rehearse @${SITE} @platform_next`);
    await clearTraps(next());
    expect([failed.exit, failed.data?.["verdict"]]).toEqual([6, "bad"]);
    expect(failed.error?.why.join("\n")).toContain("trap_update_7003");
    expect(everything()).toEqual(before);
    const bootstrap = hub.path("platforms/p/includes/bootstrap.inc");
    const text = readFileSync(bootstrap, "utf8");
    writeFileSync(bootstrap, text.replace("'7.0-fixture'", "'7.5'"));
    const older = await hub.document(`rehearse @${SITE} @platform_next`);
    writeFileSync(bootstrap, text);
    const wrong = await hub.document(`rehearse @${SITE} @platform_next --urls ${hub.path("wrong.txt")}`);
    const same = await hub.document(`rehearse @${SITE} @platform_p`);
    expect([older, wrong, same].map(({ exit, operation, error }) => [exit, operation, error?.code])).toEqual([
      [1, undefined, "REFUSED"],
      [65, undefined, "INVALID_FILE"],
      [1, undefined, "REFUSED"],
    ]);
    expect(wrong.error?.message).toContain("wrong.txt:2: node/1");
    expect(everything()).toEqual(before);
    expect(existsSync(hub.path("state/open")) ? readdirSync(hub.path("state/open")) : []).toEqual([]);
  }, 120_000);
});

describe("what is told of a migrate", () => {
  it("a dry run says how long it takes by those that were, and a rollback counts nothing that the updates wrote", async () => {
    const predicted = async () => (await hub.document(`migrate @${SITE} @platform_next --no-backup --dry-run`)).data ?? {};
    const kinds = { blockers: [], space: { files: expect.any(Number), database: expect.any(Number), free: expect.any(Number) } };
    // A move that was taken back says nothing of one that is not.
    const runs = Number(((await predicted())["predicted"] as { readonly runs: number }).runs);
    for (const trap of ["pending-updates", "rows-in-update"] as const) await setTrap(next(), trap);
    const moved = await hub.document(`migrate @${SITE} @platform_next --no-backup`);
    expect(moved.error).toBeUndefined();
    const back = await hub.document(`rollback @${SITE} --yes`);
    await clearTraps(next());
    expect(back.data?.["since"]).toEqual({ rows: {}, accounts: [], passwords: [] });
    const again = await predicted();
    expect(again).toMatchObject(kinds);
    expect(again["predicted"]).toMatchObject({
      from: "site",
      runs: runs + 1,
      duration_ms: expect.any(Number),
      writes_blocked_ms: expect.any(Number),
    });
    const text = await hub.ok(`clone @${SITE} @copy.localhost --dry-run`);
    expect(text.stdout).toMatch(/^Takes {4}not known: no clone/m);
    expect(text.stdout).toMatch(/^Space {4}\d+ kB of files and \d+ kB of database are copied; /m);
  }, 120_000);
});
