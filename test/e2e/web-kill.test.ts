import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXHAUSTIVE } from "../support/kill-walk.js";
import { type WebHub, webHub } from "../support/web-hub.js";
import { missing } from "../support/web-servers.js";

const SAMPLE = 7;

for (const type of ["nginx", "apache"] as const) {
  const absent = missing(type);
  describe.skipIf(absent !== undefined)(`an activation of ${type} that is killed${absent === undefined ? "" : ` (${absent})`}`, () => {
    let web: WebHub;
    let points = 0;

    beforeAll(async () => {
      web = await webHub(type);
      for (const uri of ["a.test", "n.test"]) {
        await web.hub.saveSite(uri);
        await web.hub.ok(`install @${uri}`);
      }
      const count = join(web.hub.base, "count");
      await web.hub.ok("disable @a.test", { env: { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: count } });
      points = JSON.parse(readFileSync(count, "utf8")).points;
      await web.hub.ok("enable @a.test");
    }, 120_000);
    afterAll(() => web?.remove());

    /** Between two whole states nothing is served; what the disk says can be started. */
    async function serves(): Promise<readonly number[]> {
      return [(await web.get("a.test", "/")).status, (await web.get("n.test", "/")).status];
    }

    test("at each point: one of the two states is served, the neighbour always, also by a daemon that starts then; the next command ends it", async () => {
      expect(points).toBeGreaterThan(10);
      const step = EXHAUSTIVE ? 1 : points / SAMPLE;
      for (let at = 1; at <= points; at = Math.floor(at + step)) {
        const what = `${type}: killed at point ${at} of ${points}`;
        const killed = await web.hub.provision("disable @a.test", { env: { PROVISION_TEST_KILL_AT: String(at) } });
        expect(killed.signal, what).toBe("SIGKILL");
        expect(
          [
            [200, 200],
            [503, 200],
          ],
          what,
        ).toContainEqual(await serves());
        await web.daemon.stop();
        await web.startAgain();
        expect(
          [
            [200, 200],
            [503, 200],
          ],
          `${what}, daemon started again`,
        ).toContainEqual(await serves());
        // disable is automatic: what was not committed is taken back, what was is finished.
        const next = await web.hub.document("verify @a.test");
        expect([what, next.exit]).toEqual([what, 0]);
        const enabled = !readFileSync(web.hub.path("aliases/a.test.yml"), "utf8").includes("site_enabled: false");
        expect(await serves(), what).toEqual([enabled ? 200 : 503, 200]);
        expect(existsSync(web.hub.path(`config/server_master/${type}/candidate`)), what).toBe(false);
        expect((await web.hub.document("verify @a.test")).counts.changed, what).toBe(0);
        if (!enabled) await web.hub.ok("enable @a.test");
      }
    }, 600_000);
  });
}
