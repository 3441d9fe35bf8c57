import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Serving, TestHub } from "../support/hub.js";

/** An unpacked Drupal 7, and a later one; they are copied, and never changed. */
const { PROVISION_TEST_DRUPAL7: tree = "", PROVISION_TEST_DRUPAL7_NEXT: next = "" } = process.env;
const skipped =
  tree !== "" && next !== "" ? undefined : "SKIPPED: PROVISION_TEST_DRUPAL7 and PROVISION_TEST_DRUPAL7_NEXT name no two trees";

describe.skipIf(skipped !== undefined)(`rehearsal of a real Drupal 7${skipped === undefined ? "" : ` (${skipped})`}`, () => {
  const SITE = "real.localhost";
  let hub: TestHub;
  let serving: Serving;

  beforeAll(async () => {
    hub = await TestHub.empty();
    mkdirSync(hub.path("makes"));
    for (const [word, core] of [
      ["p", tree],
      ["q", next],
    ]) {
      const download = `    type: core\n    download:\n      type: copy\n      url: ${core}\n`;
      writeFileSync(hub.path(`makes/${word}.make.yml`), `core: 7.x\napi: 2\nprojects:\n  drupal:\n${download}`);
      await hub.ok(`save @platform_${word} --root=platforms/${word} --makefile=makes/${word}.make.yml`);
      await hub.ok(`verify @platform_${word}`);
    }
    await hub.ok(`save @${SITE} --context_type=site --platform=@platform_p`);
    await hub.ok(`install @${SITE}`);
    serving = await hub.serve();
  }, 240_000);
  afterAll(async () => {
    await serving?.stop();
    hub?.remove();
  });

  it("newer code is good, and is migrated to by that; code that breaks a page, and logs it, is bad", async () => {
    const good = await hub.document(`rehearse @${SITE} @platform_q`);
    expect([good.exit, good.data?.["verdict"], good.data?.["reasons"]]).toEqual([0, "good", []]);
    expect(good.data?.["urls"]).toEqual(
      expect.arrayContaining(["/", "/user/login", "/user/register"].map((path) => expect.objectContaining({ path, status: 200 }))),
    );
    // A module that goes wrong on one page only, as visitors see and the log tells.
    writeFileSync(
      join(hub.path("platforms/q"), "modules/user/user.pages.inc"),
      "<?php\nfunction user_pass() { trigger_error('broken by the update', E_USER_ERROR); return array(); }\n",
    );
    const bad = await hub.document(`rehearse @${SITE} @platform_q`);
    expect([bad.exit, bad.data?.["verdict"]]).toEqual([6, "bad"]);
    expect(bad.error?.why.join("\n")).toMatch(/GET \/user\/password: [\s\S]*new in the log: php: .*broken by the update/);
    const stale = await hub.document(`migrate @${SITE} @platform_q --rehearsed ${good.operation}`);
    expect(stale.error?.why).toContain("files of @platform_q: changed");
    await hub.ok("verify @platform_q --rebuild");
    const again = await hub.document(`rehearse @${SITE} @platform_q`);
    expect(again.exit).toBe(0);
    const moved = await hub.document(`migrate @${SITE} @platform_q --rehearsed ${again.operation} --no-backup`);
    expect(moved.error).toBeUndefined();
    expect((await serving.get(SITE, "/")).status).toBe(200);
    expect((await hub.document(`rollback @${SITE} --yes`)).data?.["since"]).toMatchObject({ rows: {} });
  }, 300_000);
});
