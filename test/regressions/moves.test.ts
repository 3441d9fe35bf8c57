import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clearTraps, setTrap } from "../support/fake-core.js";
import { TestHub } from "../support/hub.js";

/** Faults of Aegir 3 in clone and migrate, by the numbers under which they were found; each must not be ours. */
const SITE = "site.localhost";
let hub: TestHub;
const next = () => hub.path("platforms/next");
const standing = () => hub.tree({ times: false }).filter((line) => !/^backups|traps|\.sqlite|\/php\/generation /.test(line));

beforeAll(async () => {
  hub = await TestHub.withSite(SITE);
  await hub.savePlatform("next");
  await hub.ok("verify @platform_next");
}, 120_000);
afterAll(() => hub?.remove());

/** Mounts need root, and not every container lets root do it. */
const canMount = (() => {
  if (process.getuid?.() !== 0) return false;
  const place = mkdtempSync(join(tmpdir(), "provision-mount-"));
  const can = spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", place]).status === 0;
  if (can) spawnSync("umount", [place]);
  rmSync(place, { recursive: true, force: true });
  return can;
})();

describe("Aegir's faults", () => {
  it("M2: clone and migrate need nothing but the command line, and what PHP complains of takes nothing back; a failure leaves nothing there", async () => {
    await setTrap(next(), "warning");
    for (const [line, site] of [
      [`clone @${SITE} @copy.localhost @platform_next`, "copy.localhost"],
      [`migrate @${SITE} @platform_next --no-backup`, SITE],
    ] as const) {
      const { exit, outcome, error } = await hub.document(line);
      expect([exit, outcome, error]).toEqual([0, "changed", undefined]);
      expect(existsSync(join(next(), "sites", site, "settings.php"))).toBe(true);
    }
    await hub.ok(`rollback @${SITE} --yes`);
    await hub.ok("delete @copy.localhost --no-backup --yes");
    const before = standing();
    await setTrap(next(), "broken-page");
    for (const line of [`clone @${SITE} @copy.localhost @platform_next`, `migrate @${SITE} @copy.localhost @platform_next --no-backup`]) {
      expect((await hub.document(line)).exit).toBe(4);
      expect(standing()).toEqual(before);
    }
    await clearTraps(next());
  });

  it.skipIf(!canMount)(
    "M19: files that cannot be deleted are told with their path, stop what would stumble over them, and go when they can; the site serves on",
    async () => {
      const uri = "stuck.localhost";
      await hub.saveSite(uri);
      await hub.ok(`install @${uri}`);
      const [generation = ""] = readdirSync(hub.path(`sites/${uri}`));
      const place = hub.path(`sites/${uri}/${generation}/files/theirs`);
      mkdirSync(place);
      await hub.ok(`migrate @${uri} @platform_next --no-backup`);
      let open: string;
      expect(spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", place]).status).toBe(0);
      try {
        writeFileSync(join(place, "kept.txt"), "");
        const [record = ""] = readdirSync(hub.path(`state/generations/${uri}`));
        const path = hub.path(`state/generations/${uri}/${record}`);
        writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), until: "2020-01-01T00:00:00.000Z" }));
        const pruned = (await hub.provision(`backups prune @${uri} --yes --json`)).all;
        const { operation, error } = pruned.results.at(-1) ?? {};
        expect([pruned.exit, error?.next]).toEqual([5, [`provision resume ${operation}`]]);
        expect(JSON.stringify(error)).toContain(`cannot remove ${hub.path(`sites/${uri}/${generation}`)}`);
        // Nothing is put beside what is half gone, and the site is as it was.
        const refused = await hub.document(`migrate @${uri} @platform_p`);
        expect([refused.exit, refused.error?.next]).toEqual([1, [`provision resume ${operation}`]]);
        expect(refused.error?.message).toContain(`cannot remove ${hub.path(`sites/${uri}/${generation}`)}`);
        expect((await hub.document(`status @${uri}`)).data).toMatchObject({ platform: "@platform_next" });
        open = String(operation);
      } finally {
        spawnSync("umount", ["-l", place]);
      }
      await hub.ok(`resume ${open}`);
      expect(existsSync(hub.path(`sites/${uri}/${generation}`))).toBe(false);
      const { data } = await hub.document(`backup @${uri}`);
      expect((await hub.document(`restore @${uri} ${String(data?.["backup"])} --yes`)).error).toBeUndefined();
      await hub.ok(`delete @${uri} --no-backup --yes`);
    },
  );
});
