import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { makeFakeCore, setTrap } from "../support/fake-core.js";
import { type Serving, TestHub } from "../support/hub.js";
import { saltOf } from "../support/made-by-hand.js";
import { tablesOf } from "../support/table-sums.js";

const LIVE = "live.localhost";
const TEST = "test.localhost";
let hub: TestHub;
let serving: Serving;

const generation = (uri: string) =>
  hub.path(
    `sites/${uri}/${String((parse(readFileSync(hub.path(`aliases/${uri}.yml`), "utf8")) as Record<string, unknown>)["generation"])}`,
  );
const table = (uri: string, name: string) =>
  tablesOf(generation(uri))
    .find((line) => line.includes(` ${name} `))
    ?.split(" ")
    .slice(-2)
    .join(" ");
const file = (uri: string, name: string) => join(generation(uri), "files", name);
const get = async (path: string) => (await serving.get(TEST, path)).status;
/** All of a site, but its database's own files. */
const all = (uri: string) => [
  ...tablesOf(generation(uri)),
  ...hub.tree({ times: false }).filter((line) => line.includes(uri) && !/\.sqlite|^backups/.test(line)),
];

beforeAll(async () => {
  hub = await TestHub.withSite(LIVE);
  const newer = join(hub.base, "newer");
  await makeFakeCore(newer, { traps: ["pending-updates"] });
  const bootstrap = join(newer, "includes/bootstrap.inc");
  writeFileSync(bootstrap, readFileSync(bootstrap, "utf8").replace("'7.0-fixture'", "'7.1-fixture'"));
  writeFileSync(
    hub.path("makes/newer.make.yml"),
    `core: 7.x\napi: 2\nprojects:\n  drupal:\n    type: core\n    download:\n      type: copy\n      url: ${newer}\n`,
  );
  await hub.ok("save @platform_newer --context_type=platform --root=platforms/newer --makefile=makes/newer.make.yml");
  await hub.ok("verify @platform_newer");
  await hub.ok(["save", `@${TEST}`, "--context_type=site", `--uri=${TEST}`, "--platform=@platform_newer", "--profile=minimal"]);
  await hub.ok(`install @${TEST}`);
  writeFileSync(file(LIVE, "picture.txt"), "of a cat");
  writeFileSync(file(TEST, "own.txt"), "of the test site");
  serving = await hub.serve();
}, 120_000);
afterAll(async () => {
  await serving?.stop();
  hub?.remove();
});

describe("sync", () => {
  it("needs --yes, two sites that are there, and says so; a dry run changes nothing", async () => {
    // SQLite itself touches the directory of a database that is read.
    const unchanged = hub.tree({ times: false });
    const unasked = await hub.document(`sync @${LIVE} @${TEST}`);
    expect([unasked.exit, unasked.error?.code]).toEqual([64, "CONFIRMATION_NEEDED"]);
    expect((await hub.document(`sync @${LIVE} @${LIVE} --yes`)).exit).toBe(64);
    expect((await hub.document(`sync @nobody.localhost @${TEST} --yes`)).exit).toBe(66);
    expect((await hub.document(`sync @${LIVE} @${TEST} --files --sanitize --yes`)).exit).toBe(64);
    expect((await hub.document(`sync @${LIVE} @${TEST} --dry-run`)).outcome).toBe("would_change");
    expect(hub.tree({ times: false })).toEqual(unchanged);
  });

  it("the files alone: the database, names and salt of the target stay; the other site is only read", async () => {
    const [live, salt, users] = [all(LIVE), saltOf(hub, TEST), table(TEST, "users")];
    const { data, error } = await hub.document(`sync @${LIVE} @${TEST} --files --no-backup --yes`);
    expect(error).toBeUndefined();
    expect(data).toMatchObject({ database: false, files: true, backup: null, updates: [] });
    expect([existsSync(file(TEST, "picture.txt")), existsSync(file(TEST, "own.txt"))]).toEqual([true, false]);
    expect([saltOf(hub, TEST), table(TEST, "users")]).toEqual([salt, users]);
    expect(all(LIVE)).toEqual(live);
    await hub.ok(`rollback @${TEST} --yes`);
    expect(existsSync(file(TEST, "own.txt"))).toBe(true);
  });

  it("both, onto newer code: a backup first, updates run, own keys, and rollback returns to what was", async () => {
    const [live, was, salt] = [all(LIVE), table(TEST, "users"), saltOf(hub, TEST)];
    const { data, error } = await hub.document(`sync @${LIVE} @${TEST} --sanitize --yes`);
    expect(error).toBeUndefined();
    expect(data).toMatchObject({ database: true, files: true });
    expect(String(data?.["updates"])).toContain("trap_update_");
    expect(readdirSync(hub.path(`backups/${TEST}`))).toEqual([data?.["backup"]]);
    expect([await get("/"), await get(`/sites/${TEST}/files/picture.txt`)]).toEqual([200, 200]);
    expect(saltOf(hub, TEST)).toBe(salt);
    expect(readFileSync(join(generation(TEST), "db/site.sqlite"), "latin1")).toContain("user1@example.invalid");
    expect(all(LIVE)).toEqual(live);
    expect((await hub.document(`verify @${TEST}`)).counts).toMatchObject({ changed: 0 });
    await hub.ok(`rollback @${TEST} --yes`);
    expect([table(TEST, "users"), existsSync(file(TEST, "own.txt")), await get("/")]).toEqual([was, true, 200]);
  });

  it("a failing update, or a target with older code, leaves the target as it was", async () => {
    const before = all(TEST);
    const older = await hub.document(`sync @${TEST} @${LIVE} --yes`);
    expect([older.exit, older.error?.code]).toEqual([1, "REFUSED"]);
    await setTrap(hub.path("platforms/newer"), "failing-update");
    const failed = await hub.document(`sync @${LIVE} @${TEST} --yes`);
    rmSync(hub.path("platforms/newer/traps/failing-update"));
    expect([failed.exit, failed.error?.code]).toEqual([4, "UPDATEDB_FAILED"]);
    expect(all(TEST)).toEqual(before);
    expect(await get("/")).toBe(200);
  });
});
