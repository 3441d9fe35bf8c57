import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clearTraps, setTrap } from "../support/fake-core.js";
import { type Said, TestHub } from "../support/hub.js";

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.withPlatform();
  await hub.saveSite("site.localhost");
});
afterAll(() => hub.remove());

/** Processes whose working directory, command line or environment is of this hub, but for us. */
function processesOf(place: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) return false;
        return ["cmdline", "environ"].some((file) => readFileSync(`/proc/${pid}/${file}`, "utf8").includes(place));
      } catch {
        return false;
      }
    });
}

async function until(so: () => boolean, what: string, within = 20_000): Promise<void> {
  for (const deadline = Date.now() + within; !so(); await sleep(25))
    if (Date.now() > deadline) throw new Error(`not within ${within} ms: ${what}`);
}

/** Starts a command that the core holds up, and waits until PHP has come so far. */
async function heldUp(line: string): Promise<ReturnType<TestHub["start"]>> {
  await setTrap(hub.docroot, "waiting-in-install");
  const started = hub.start(line);
  await until(() => existsSync(join(hub.docroot, "traps/reached")) || started.child.exitCode !== null, `${line} reaches the trap`);
  return started;
}

describe("install, stopped in the middle of core's installer", () => {
  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("%s: exit %i, all taken back, and the message says so", async (signal, exit) => {
    const before = hub.tree({ times: false });
    const { child, said } = await heldUp("install @site.localhost --json");
    child.kill(signal);
    const { code, json, stderr } = await said;
    await clearTraps(hub.docroot);
    expect([code, stderr]).toEqual([exit, ""]);
    expect(json).toMatchObject({
      exit,
      outcome: "rolled_back",
      error: {
        code: "STOPPED",
        message: `install was stopped by ${signal}`,
        state: "as before: @site.localhost is not installed; its context is kept",
      },
    });
    expect(hub.tree({ times: false })).toEqual(before);
    expect(readdirSync(hub.path("state/open"))).toEqual([]);
    expect(processesOf(hub.root)).toEqual([]);
  });

  test("--timeout: exit 124, the same", async () => {
    const before = hub.tree({ times: false });
    await setTrap(hub.docroot, "waiting-in-install");
    const { code, json } = await hub.provision("install @site.localhost --json --timeout=3s");
    await clearTraps(hub.docroot);
    expect([code, json.error?.code, json.outcome]).toEqual([124, "TIMED_OUT", "rolled_back"]);
    expect(json.error?.message).toContain("time-out");
    expect(hub.tree({ times: false })).toEqual(before);
  });

  test("people read the same: what stopped it, that it was rolled back, and the state now", async () => {
    const { child, ended } = await heldUp("install @site.localhost");
    child.kill("SIGINT");
    const { stderr } = await ended;
    await clearTraps(hub.docroot);
    expect(stderr).toMatch(/✖ install @site\.localhost: install was stopped by SIGINT/);
    expect(stderr).toMatch(/Now {3}as before: @site\.localhost is not installed; its context is kept/);
    expect(stderr).toMatch(/Next {2}provision operations log \S+/);
  });

  test("it can be installed after that as if nothing had been", async () => {
    await hub.ok("install @site.localhost");
    await hub.ok("delete @site.localhost --no-backup --yes");
    await hub.saveSite("site.localhost");
  });

  test("with several targets, those not begun are told, and the exit code is no success", async () => {
    await hub.saveSite("other.localhost");
    const { child, said } = await heldUp("install @site.localhost @other.localhost --json");
    child.kill("SIGTERM");
    const { code, all } = await said;
    await clearTraps(hub.docroot);
    expect(code).toBe(3);
    expect(all.results.map(({ target, exit, outcome }) => [target, exit, outcome])).toEqual([
      ["@site.localhost", 143, "rolled_back"],
      ["@other.localhost", 143, "failed"],
    ]);
    await hub.ok("save @other.localhost --delete");
  });
});

describe("stopped twice", () => {
  let id: string;
  let first: Said;

  beforeAll(async () => {
    // PHP has ten seconds to end by itself; the second signal does not wait for it.
    await setTrap(hub.docroot, "deaf");
    const { child, said } = await heldUp("install @site.localhost --json");
    child.kill("SIGINT");
    await sleep(300);
    expect(child.exitCode).toBeNull();
    const asked = Date.now();
    child.kill("SIGINT");
    first = await said;
    expect(Date.now() - asked).toBeLessThan(3000);
    await until(() => processesOf(hub.root).length === 0, "PHP is gone", 3000);
    await clearTraps(hub.docroot);
    [id = ""] = readdirSync(hub.path("state/open"));
  });

  test("exit 5 at once, the journal stays, no PHP goes on", async () => {
    expect(first.code, first.stderr).toBe(5);
    expect(first.json).toMatchObject({
      ok: false,
      exit: 5,
      outcome: "needs_attention",
      error: { next: [`provision abort ${id}`, `provision resume ${id}`] },
    });
    expect(id).not.toBe("");
  });

  test("the next changing command is refused with 75 and names resume and abort", async () => {
    for (const command of ["install", "delete"]) {
      const { code, json } = await hub.provision(
        `${command} @site.localhost --no-backup --yes --json`.replace(command === "install" ? " --no-backup" : "\0", ""),
      );
      expect(code, JSON.stringify(json.error)).toBe(75);
      expect(json.error).toMatchObject({
        code: "INTERRUPTED",
        next: [expect.stringContaining(`provision resume ${id}`), expect.stringContaining(`provision abort ${id}`)],
      });
    }
  });

  test.each(["show @site.localhost", "status @site.localhost"])("%s warns, and goes on", async (line) => {
    const { code, stderr } = await hub.provision(line);
    expect(code).toBe(0);
    expect(stderr).toMatch(
      new RegExp(`! install @site\\.localhost was interrupted \\(operation ${id}\\): provision resume ${id}, or provision abort ${id}`),
    );
  });

  test("status of the hub, doctor and operations show name it", async () => {
    expect((await hub.provision("status")).stdout).toContain(`interrupted: install @site.localhost (provision operations show ${id})`);
    expect(await hub.document("doctor")).toMatchObject({
      exit: 6,
      error: { next: [expect.stringContaining(`provision operations show ${id}`)] },
    });
    const { stdout } = await hub.ok(`operations show ${id.slice(-4)}`);
    expect(stdout).toMatch(/engine\/install +unfinished/);
    expect(stdout).toContain(`Next  provision resume ${id}`);
  });

  test("abort takes it back, and a second abort says that it has ended", async () => {
    const { code, stderr } = await hub.provision(`abort ${id.slice(-4)}`);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain("@site.localhost is not installed");
    expect(existsSync(join(hub.docroot, "sites/site.localhost"))).toBe(false);
    expect(existsSync(hub.path("sites/site.localhost"))).toBe(false);
    expect(await hub.document(`abort ${id}`)).toMatchObject({ exit: 1, error: { code: "NOT_OPEN" } });
  });
});

describe("killed, and gone on with", () => {
  test("resume ends the install complete: nothing is left for a verify", async () => {
    const { child, ended } = await heldUp("install @site.localhost");
    child.kill("SIGKILL");
    await ended;
    // PHP still runs and holds the locks: the operation is not interrupted yet.
    await clearTraps(hub.docroot);
    await until(() => processesOf(hub.root).length === 0, "PHP ends");
    const [id = ""] = readdirSync(hub.path("state/open"));
    await hub.ok(`resume ${id}`);
    expect((await hub.provision("verify @site.localhost")).stderr).toContain(" 0 changed");
    expect((await hub.provision("status @site.localhost")).stdout).toContain("status 200");
    await hub.ok("delete @site.localhost --no-backup --yes");
    await hub.saveSite("site.localhost");
  });

  test("while a program of a killed install still runs, the site is locked, not free", async () => {
    const { child, ended } = await heldUp("install @site.localhost");
    child.kill("SIGKILL");
    await ended;
    expect(await hub.document("install @site.localhost")).toMatchObject({ exit: 75, error: { code: "LOCKED" } });
    await clearTraps(hub.docroot);
    await until(() => processesOf(hub.root).length === 0, "PHP ends");
    const [id = ""] = readdirSync(hub.path("state/open"));
    await hub.ok(`abort ${id}`);
  });
});

describe("commands without a journal", () => {
  test("cron stopped by SIGTERM ends with 143 and leaves no PHP", async () => {
    await hub.ok("install @site.localhost");
    await setTrap(hub.docroot, "slow");
    const { child, said } = hub.start("cron @site.localhost --json");
    await until(() => processesOf(hub.root).some((pid) => pid !== String(child.pid)) || child.exitCode !== null, "PHP runs");
    await sleep(500);
    child.kill("SIGTERM");
    const { code, json } = await said;
    await clearTraps(hub.docroot);
    expect([code, json.error?.code], JSON.stringify(json.error)).toEqual([143, "STOPPED"]);
    expect(processesOf(hub.root)).toEqual([]);
  });

  test("serve ends its children on SIGTERM, says nothing ill of it, and frees the port", async () => {
    const serving = await hub.serve();
    expect((await serving.get("site.localhost", "/")).status).toBe(200);
    expect(processesOf(hub.root).length).toBeGreaterThan(1);
    const { code, stderr } = await serving.stop();
    expect([code, stderr.includes("✖")]).toEqual([0, false]);
    expect(processesOf(hub.root)).toEqual([]);
    const again = await hub.serve();
    expect((await again.stop()).code).toBe(0);
  });
});
