import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { clearTraps, makeFakeCore, setTrap, type Trap } from "../support/fake-core.js";
import { type Answered, type FakeHub, makeFileOf, newHub, saveSite, treeDifference } from "../support/fake-hub.js";

let base: string;
let core: string;
let big: string;
let bare: FakeHub;
/** Platform built, @a.test and @b.test saved. */
let built: FakeHub;
let worlds = 0;

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), "provision-faults-"));
  core = await makeFakeCore(join(base, "core"));
  big = await makeFakeCore(join(base, "core-big"));
  writeFileSync(join(big, "misc/big.bin"), Buffer.alloc(3 << 20));
  bare = await newHub(join(base, "hub-000"), core);
  built = bare.copy(nextRoot());
  await built.do("verify", "@platform_d7");
  await saveSite(built, "a.test");
  await saveSite(built, "b.test");
});

afterAll(() => rmSync(base, { recursive: true, force: true }));

function nextRoot(): string {
  return join(base, `hub-${String(++worlds).padStart(3, "0")}`);
}

function world(origin: FakeHub): FakeHub {
  const hub = origin.copy(nextRoot());
  onTestFinished(() => hub.remove());
  return hub;
}

const docroot = (hub: FakeHub) => hub.path("platforms/d7");

/** What was said of a failure, as one text. */
function told({ said }: Answered): string {
  return [said?.error?.message, ...(said?.error?.why ?? []), said?.error?.state].join("\n");
}

function asBefore(hub: FakeHub, before: string): void {
  const now = hub.tree();
  if (now !== before) expect.fail(`not as before: ${treeDifference(now, before)}`);
  expect(hub.open).toEqual([]);
}

describe("install that fails late", () => {
  const late: readonly [trap: Trap, why: RegExp][] = [
    ["fatal-in-install", /trap_no_such_function/],
    ["exit-in-install", /no answer|ended/],
    ["error-in-install", /Database gone & nothing to do about it/],
    ["out-of-memory-in-install", /memory/i],
  ];
  it.each(late)("M1, %s: exit 4, why, nothing left, the saved context stays, and the next try works", async (trap, why) => {
    const hub = world(built);
    await setTrap(docroot(hub), trap);
    const before = hub.tree();
    const failed = await hub.run(["install", "@a.test"]);
    expect(failed.code, failed.stderr).toBe(4);
    expect(failed.said).toMatchObject({ ok: false, outcome: "rolled_back", error: { code: "INSTALL_FAILED" } });
    expect(told(failed)).toMatch(why);
    expect(failed.said?.error?.state).toContain("as before");
    asBefore(hub, before);
    await clearTraps(docroot(hub));
    await hub.do("install", "@a.test");
    expect((await hub.do("verify", "@a.test")).counts["changed"]).toBe(0);
  });

  it("a file that is put back has its bytes, also when they are no text", async () => {
    const hub = world(built);
    await hub.do("install", "@a.test");
    const settings = hub.path("platforms/d7/sites/a.test/settings.php");
    chmodSync(settings, 0o600);
    writeFileSync(settings, Buffer.from([0x3c, 0x3f, 0x70, 0x68, 0x70, 0x20, 0x23, 0xe9, 0xff, 0x0a]), { flag: "w" });
    // The vhost is the last step: what stands in its way has settings.php put back.
    const vhost = hub.path("config/server_master/php/vhost.d/a.test.json");
    rmSync(vhost);
    mkdirSync(join(vhost, "obstacle"), { recursive: true });
    const failed = await hub.run(["verify", "@a.test"]);
    expect(failed.code, told(failed)).not.toBe(0);
    expect([...readFileSync(settings)]).toEqual([0x3c, 0x3f, 0x70, 0x68, 0x70, 0x20, 0x23, 0xe9, 0xff, 0x0a]);
  });

  it("M12, a profile that is not there: refused with those there are, nothing done, the context stays", async () => {
    const hub = world(built);
    await hub.do("save", "@a.test", "--profile=no_such_profile");
    const before = hub.tree();
    const refused = await hub.run(["install", "@a.test"]);
    expect(refused.code).toBe(1);
    expect(told(refused)).toMatch(/no_such_profile[\s\S]*minimal/);
    asBefore(hub, before);
    expect(existsSync(hub.path("aliases/a.test.yml"))).toBe(true);
  });

  it("M12, a profile that cannot be installed: rolled back, the context stays", async () => {
    const hub = world(built);
    await hub.do("save", "@a.test", "--profile=broken");
    const before = hub.tree();
    const failed = await hub.run(["install", "@a.test"]);
    expect(failed.code).toBe(4);
    expect(told(failed)).toContain("no_such_module");
    asBefore(hub, before);
  });

  it("a front page that answers 500: PROBE_FAILED, rolled back", async () => {
    const hub = world(built);
    await setTrap(docroot(hub), "broken-page");
    const before = hub.tree();
    const failed = await hub.run(["install", "@a.test"]);
    expect(failed.code).toBe(4);
    expect(failed.said?.error?.code).toBe("PROBE_FAILED");
    expect(told(failed)).toMatch(/answered 500[\s\S]*unexpected error/);
    asBefore(hub, before);
  });
});

describe("--keep-failed, and undo that fails", () => {
  it("keeps what failed with exit 5; the next install names both ways; abort puts all back", async () => {
    const hub = world(built);
    await setTrap(docroot(hub), "error-in-install");
    const before = hub.tree();
    const kept = await hub.run(["install", "@a.test", "--keep-failed"]);
    expect(kept.code).toBe(5);
    const id = String(kept.said?.operation);
    expect(kept.said).toMatchObject({ outcome: "needs_attention", error: { code: "INSTALL_FAILED" } });
    expect(kept.said?.error?.next).toContain(`provision abort ${id}`);
    expect(existsSync(hub.path("platforms/d7/sites/a.test/settings.php"))).toBe(true);
    const again = await hub.run(["install", "@a.test"]);
    expect(again.code).toBe(75);
    expect(again.said?.error?.code).toBe("INTERRUPTED");
    expect(again.said?.error?.next.join("\n")).toMatch(new RegExp(`resume ${id}[\\s\\S]*abort ${id}`));
    await hub.do("abort", id);
    asBefore(hub, before);
  });

  it("an undo that cannot be done: exit 5, what stands is shown, only abort goes on, and it ends when the obstacle is gone", async () => {
    const hub = world(built);
    await setTrap(docroot(hub), "error-in-install");
    const before = hub.tree();
    const kept = await hub.run(["install", "@a.test", "--keep-failed"]);
    const id = String(kept.said?.operation);
    // Somebody put a file of his own in the place of ours: it is not overwritten.
    const names = hub.path("platforms/d7/sites/sites.php");
    const ours = readFileSync(names);
    writeFileSync(names, "<?php include 'mine.php';\n");
    const stuck = await hub.run(["abort", id]);
    expect(stuck.code).toBe(5);
    expect(told(stuck)).toMatch(/the roll-back stopped: [\s\S]*sites\.php was not written by provision[\s\S]*partly rolled back/);
    expect(stuck.said?.error?.next).toContain(`provision abort ${id}`);
    expect(readFileSync(names, "utf8")).toContain("mine.php");
    const shown = await hub.do("operations", "show", id);
    expect(shown.data).toMatchObject({ state: "interrupted", next: [`provision abort ${id}`] });
    const steps = shown.data?.["steps"] as readonly { step: string; state: string }[];
    expect(steps.find(({ step }) => step === "engine/install")?.state).toBe("undone");
    expect(steps.find(({ step }) => step === "database/create")?.state).toBe("done");
    const resumed = await hub.run(["resume", id]);
    expect(resumed.said?.error?.code).toBe("UNDOING");
    writeFileSync(names, ours);
    await hub.do("abort", id);
    asBefore(hub, before);
  });

  it("a roll-back that meets the obstacle at once ends with 5 too, and abort goes on from there", async () => {
    const hub = world(built);
    await setTrap(docroot(hub), "waiting-in-install");
    await setTrap(docroot(hub), "error-in-install");
    const before = hub.tree();
    const running = hub.start(["install", "@a.test"]);
    await reached(hub);
    const names = hub.path("platforms/d7/sites/sites.php");
    const ours = readFileSync(names);
    rmSync(names);
    mkdirSync(names);
    rmSync(join(docroot(hub), "traps/waiting-in-install"));
    const failed = await running.ended;
    expect(failed.code).toBe(5);
    expect(failed.said).toMatchObject({ outcome: "needs_attention", error: { code: "INSTALL_FAILED" } });
    expect(hub.open).toEqual([failed.said?.operation]);
    rmSync(names, { recursive: true });
    writeFileSync(names, ours);
    await hub.do("abort", String(failed.said?.operation));
    rmSync(join(docroot(hub), "traps/reached"));
    await setTrap(docroot(hub), "waiting-in-install");
    asBefore(hub, before);
  });
});

async function reached(hub: FakeHub): Promise<void> {
  for (let n = 0; n < 2000; n++) {
    if (existsSync(join(docroot(hub), "traps/reached"))) return;
    await sleep(25);
  }
  throw new Error("the installer did not come that far");
}

describe("a platform that cannot be built", () => {
  it("a missing source, a wrong checksum and a failing patch are told in one table; nothing is in place", async () => {
    const hub = world(bare);
    const parts = hub.path("parts");
    mkdirSync(join(parts, "lib"), { recursive: true });
    writeFileSync(join(parts, "lib/a.txt"), "one\n");
    spawnSync("tar", ["-czf", join(parts, "lib.tar.gz"), "-C", parts, "lib"]);
    writeFileSync(join(parts, "bad.patch"), "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-two\n+three\n");
    const from = (type: string, name: string) => `libraries[${name}][download][type] = ${type}\nlibraries[${name}][download][url] = `;
    writeFileSync(
      hub.path("d7.make"),
      makeFileOf(
        core,
        `${from("copy", "nothing")}"${parts}/none"\n${from("get", "wrong")}"file://${parts}/lib.tar.gz"\nlibraries[wrong][download][md5] = 00000000000000000000000000000000\n${from("get", "patched")}"file://${parts}/lib.tar.gz"\nlibraries[patched][patch][] = "file://${parts}/bad.patch"\n`,
      ),
    );
    const before = hub.tree();
    const failed = await hub.run(["verify", "@platform_d7"]);
    expect(failed.code, failed.stderr).toBe(4);
    expect(failed.said).toMatchObject({ outcome: "rolled_back", error: { code: "BUILD_FAILED" } });
    const why = failed.said?.error?.why ?? [];
    for (const name of ["nothing", "wrong", "patched"]) expect(why.filter((line) => line.startsWith(`${name}: `))).toHaveLength(1);
    asBefore(hub, before);
    const { code } = await hub.run(["verify", "@platform_d7"]);
    expect(code).toBe(4);
    asBefore(hub, before);
    writeFileSync(hub.path("d7.make"), makeFileOf(core));
    await hub.do("verify", "@platform_d7");
    expect((await hub.do("verify", "@platform_d7")).counts["changed"]).toBe(0);
  });
});

/** Mounts need root, and not every container lets root do it. */
const canMount = (() => {
  if (process.getuid?.() !== 0) return false;
  const place = mkdtempSync(join(tmpdir(), "provision-mount-"));
  const can = spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", place]).status === 0;
  if (can) spawnSync("umount", [place]);
  rmSync(place, { recursive: true, force: true });
  return can;
})();

describe.skipIf(!canMount)(`a full disk${canMount ? "" : " (SKIPPED: a small tmpfs cannot be mounted here)"}`, () => {
  async function smallHub(size: string): Promise<FakeHub> {
    const place = mkdtempSync(join(tmpdir(), "provision-small-"));
    expect(spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", place]).status).toBe(0);
    onTestFinished(() => {
      spawnSync("umount", ["-l", place]);
      rmSync(place, { recursive: true, force: true });
    });
    return newHub(join(place, "hub"), core);
  }

  const free = (hub: FakeHub) => Number(spawnSync("stat", ["-f", "-c", "%a", hub.root]).stdout.toString()) * 4096;

  it("while a platform is built: rolled back with the reserve's help, and built when there is room", async () => {
    const hub = await smallHub("8m");
    expect(statSync(hub.path("state/reserve")).size).toBe(1 << 20);
    const before = hub.tree();
    const filler = hub.path("state/filler");
    writeFileSync(filler, Buffer.alloc(free(hub) - 40_960));
    const failed = await hub.run(["verify", "@platform_d7"]);
    expect([1, 4], told(failed)).toContain(failed.code);
    expect(told(failed)).toMatch(/no space left/i);
    asBefore(hub, before);
    rmSync(filler);
    await hub.do("verify", "@platform_d7");
    await hub.do("verify", "@server_master");
  });

  it("without a single free block: nothing is done, and that is said", async () => {
    const hub = await smallHub("8m");
    // More than the reserve that is given up has room for.
    writeFileSync(hub.path("d7.make"), makeFileOf(big));
    const before = hub.tree();
    const filler = hub.path("state/filler");
    writeFileSync(filler, Buffer.alloc(free(hub)));
    const failed = await hub.run(["verify", "@platform_d7"]);
    expect([1, 4], `${told(failed)} ${failed.stderr}`).toContain(failed.code);
    expect(told(failed)).toMatch(/no space left/i);
    asBefore(hub, before);
  });

  it("before an install: refused with what it needs", async () => {
    const hub = await smallHub("8m");
    await hub.do("verify", "@platform_d7");
    await saveSite(hub, "a.test");
    const before = hub.tree();
    const refused = await hub.run(["install", "@a.test"]);
    expect(refused.code).toBe(1);
    expect(refused.said?.error?.code).toBe("DISK_FULL");
    asBefore(hub, before);
  });

  it("in the middle of an install: rolled back, and installed when there is room", async () => {
    const hub = await smallHub("70m");
    await hub.do("verify", "@platform_d7");
    await saveSite(hub, "a.test");
    await setTrap(docroot(hub), "full-disk-in-install");
    const before = hub.tree();
    const failed = await hub.run(["install", "@a.test"]);
    expect(failed.code, `${told(failed)} ${failed.stderr}`).toBe(4);
    expect(failed.said?.error?.code).toBe("INSTALL_FAILED");
    asBefore(hub, before);
    await clearTraps(docroot(hub));
    await hub.do("install", "@a.test");
    expect(statSync(hub.path("state/reserve")).size).toBe(1 << 20);
  });
});

describe("at the same time", () => {
  it("M16: two sites are installed on one platform at once, and both are in sites.php", async () => {
    const hub = world(built);
    const both = await Promise.all([hub.run(["install", "@a.test"]), hub.run(["install", "@b.test"])]);
    expect(
      both.map(({ code }) => code),
      both.map(told).join("; "),
    ).toEqual([0, 0]);
    const names = readFileSync(hub.path("platforms/d7/sites/sites.php"), "utf8");
    for (const uri of ["a.test", "b.test"]) {
      expect(names).toContain(`'${uri}'`);
      expect((await hub.do("verify", `@${uri}`)).counts["changed"]).toBe(0);
    }
  });

  it("M11-like: two installs of one site: one does it, the other is told so and touches nothing", async () => {
    const hub = world(built);
    const both = await Promise.all([hub.run(["install", "@a.test"]), hub.run(["install", "@a.test"])]);
    const [good, bad] = both.sort((a, b) => Number(a.code) - Number(b.code));
    expect(good?.code).toBe(0);
    // The second may come so late that the first is done.
    expect(["75 LOCKED", "1 ALREADY_INSTALLED"], bad && told(bad)).toContain(`${bad?.code} ${bad?.said?.error?.code}`);
    expect((await hub.do("verify", "@a.test")).counts["changed"]).toBe(0);
  });

  it("M17: two verifies of one site: each is right or told 75; then nothing is left to change, to the byte and the mtime", async () => {
    const hub = world(built);
    await hub.do("install", "@a.test");
    const both = await Promise.all([hub.run(["verify", "@a.test"]), hub.run(["verify", "@a.test"])]);
    for (const each of both) expect([0, 75]).toContain(each.code);
    expect(both.some(({ code }) => code === 0)).toBe(true);
    const times = () => ["settings.php", "files", "."].map((name) => statSync(hub.path("platforms/d7/sites/a.test", name)).mtimeMs);
    const [tree, mtimes] = [hub.tree(), times()];
    expect((await hub.do("verify", "@a.test")).counts["changed"]).toBe(0);
    expect(hub.tree()).toBe(tree);
    expect(times()).toEqual(mtimes);
  });

  it("while an install runs its contexts are busy: 75 and who; readers are not; --lock-wait waits for it", async () => {
    const hub = world(built);
    await setTrap(docroot(hub), "waiting-in-install");
    const running = hub.start(["install", "@a.test"]);
    await reached(hub);
    for (const args of [
      ["verify", "@a.test"],
      ["verify", "@platform_d7"],
      ["install", "@a.test"],
      ["delete", "@a.test", "--yes"],
      ["install", "@a.test", "--lock-wait=1s"],
    ]) {
      const busy = await hub.run(args);
      expect([busy.code, busy.said?.error?.code], `${args.join(" ")}: ${told(busy)}`).toEqual([75, "LOCKED"]);
      expect(told(busy)).toMatch(/install \(operation /);
    }
    const shown = await hub.run(["show", "@a.test"]);
    expect([shown.code, shown.said?.warnings]).toEqual([0, undefined]);
    const waiting = hub.start(["verify", "@a.test", "--lock-wait=50s"]);
    await sleep(300);
    expect(waiting.child.exitCode).toBeNull();
    await clearTraps(docroot(hub));
    expect((await running.ended).code).toBe(0);
    const waited = await waiting.ended;
    expect(waited.code, told(waited)).toBe(0);
    expect(readdirSync(hub.path("state/open"))).toEqual([]);
  }, 240_000);
});

describe("hostile input", () => {
  it("M18: a newline in a uri is refused with 64, and nothing is saved", async () => {
    const hub = world(built);
    const before = hub.tree();
    const refused = await hub.run(["save", "@c.test", "--context_type=site", "--uri=c.test\nevil: 1", "--platform=@platform_d7"]);
    expect(refused.code).toBe(64);
    asBefore(hub, before);
  });
});
