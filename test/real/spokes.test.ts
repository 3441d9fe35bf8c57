import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { whereSpokesAre } from "../support/namespaces.js";
import { missingSpoke, type SpokeHub, spokeHub, type TestSpoke } from "../support/spokes.js";
import { tablesOf } from "../support/table-sums.js";

/** An unpacked Drupal 7, and a later one; they are copied, and never changed. */
const { PROVISION_TEST_DRUPAL7: tree = "", PROVISION_TEST_DRUPAL7_NEXT: next = "" } = process.env;
const skipped =
  tree !== "" && next !== ""
    ? missingSpoke("nginx")
    : "SKIPPED: PROVISION_TEST_DRUPAL7 and PROVISION_TEST_DRUPAL7_NEXT name no two trees";

describe.skipIf(skipped !== undefined)(`real Drupal 7 on other machines (${skipped ?? whereSpokesAre()})`, () => {
  let rig: SpokeHub;
  let hub: SpokeHub["hub"];
  let web1: TestSpoke;
  let web2: TestSpoke;

  const document = async (line: string) => {
    const result = await hub.document(line);
    expect(result.error, line).toBeUndefined();
    return result;
  };
  const unchanged = async (name: string) => {
    const { counts, steps } = await document(`verify ${name}`);
    expect([counts.changed, steps.filter(({ outcome }) => outcome === "changed")]).toEqual([0, []]);
  };
  /** What visitors see of it, and where; the others know nothing of it. */
  const served = async (uri: string, by: TestSpoke) => {
    const [front, login] = [await by.get(uri, "/"), await by.get(uri, "/user/login")];
    expect([front.status, login.status]).toEqual([200, 200]);
    expect(login.body).toContain('name="form_id" value="user_login"');
    for (const other of rig.spokes) if (other !== by) expect((await other.get(uri, "/")).status).toBe(404);
  };
  const users = (root: string) => tablesOf(join(root, "sites")).filter((line) => / users /.test(line)).length;

  beforeAll(async () => {
    rig = await spokeHub(["nginx", "nginx"]);
    ({ hub } = rig);
    [web1, web2] = rig.spokes as readonly [TestSpoke, TestSpoke];
    mkdirSync(hub.path("makes"));
    for (const [word, core, server] of [
      ["p", tree, "@server_master"],
      ["one", tree, "@web1"],
      ["two", next, "@web2"],
    ]) {
      const download = `    type: core\n    download:\n      type: copy\n      url: ${core}\n`;
      writeFileSync(hub.path(`makes/${word}.make.yml`), `core: 7.x\napi: 2\nprojects:\n  drupal:\n${download}`);
      await hub.ok(`save @platform_${word} --root=platforms/${word} --makefile=makes/${word}.make.yml --web_server=${server}`);
      await hub.ok(`verify @platform_${word}`);
      await unchanged(`@platform_${word}`);
    }
  }, 300_000);
  afterAll(() => rig?.remove());

  it("is installed there; verify changes nothing; a backup comes to the hub", async () => {
    await hub.ok("save @there.test --context_type=site --uri=there.test --platform=@platform_one --db_server=@web1 --profile=standard");
    const { data } = await document("install @there.test");
    await served("there.test", web1);
    const { pathname, search } = new URL(String(data?.["login"]));
    expect((await web1.get("there.test", pathname + search)).status).toBe(302);
    await unchanged("@there.test");
    await unchanged("@there.test");
    expect((await document("cron @there.test")).exit).toBe(0);
    const backup = await document("backup @there.test");
    expect((await document(`backups verify ${String(backup.data?.["backup"])}`)).exit).toBe(0);
  }, 300_000);

  it("is cloned to newer code on another machine, with its updates", async () => {
    await document("clone @there.test @copy.test @platform_two --db_server=@web2");
    await served("copy.test", web2);
    await served("there.test", web1);
    await unchanged("@copy.test");
    expect((await document("status @copy.test")).data?.["core"]).not.toBe((await document("status @there.test")).data?.["core"]);
  }, 300_000);

  it("goes from the hub to a spoke and from there to another with newer code, and back", async () => {
    await hub.ok("save @moving.test --context_type=site --uri=moving.test --platform=@platform_p --profile=minimal");
    await document("install @moving.test");
    await document("migrate @moving.test @platform_one --db_server=@web1 --no-backup");
    await served("moving.test", web1);
    await unchanged("@moving.test");
    const before = (await document("status @moving.test")).data?.["core"];
    await document("migrate @moving.test @platform_two --db_server=@web2 --no-backup");
    await served("moving.test", web2);
    await unchanged("@moving.test");
    expect((await document("status @moving.test")).data?.["core"]).not.toBe(before);
    await document("rollback @moving.test --yes");
    await served("moving.test", web1);
    await unchanged("@moving.test");
    expect((await document("status @moving.test")).data?.["core"]).toBe(before);
  }, 300_000);

  it("leaves nothing on any machine when it is deleted", async () => {
    for (const site of ["@there.test", "@copy.test", "@moving.test"]) await document(`delete ${site} --no-backup --yes`);
    expect([web1, web2].map(({ root }) => users(root))).toEqual([0, 0]);
    for (const root of [hub.root, web1.root, web2.root]) {
      expect(readdirSync(join(root, "sites"))).toEqual([]);
      for (const platform of ["p", "one", "two"].map((word) => join(root, "platforms", word)).filter((path) => existsSync(path)))
        expect(readdirSync(join(platform, "sites")).filter((name) => name.includes(".test"))).toEqual([]);
    }
  }, 300_000);
});
