import { appendFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FileServer } from "../support/file-server.js";
import { TestHub } from "../support/hub.js";
import { archive } from "../support/make-fixtures.js";

const server = new FileServer();
let hub: TestHub;
const makefile = () => hub.path("makes/core.make.yml");
const lock = () => `${makefile()}.lock`;
const module = (file = "v") => readFileSync(join(hub.docroot, `sites/all/modules/m/${file}`), "utf8");
const serve = (version: string) => server.serve("/m.tar.gz", archive("tar.gz", "m", { v: version, "m.info": "name = m\ncore = 7.x\n" }));

beforeAll(async () => {
  await server.start();
  hub = await TestHub.empty();
  await hub.savePlatform();
  const url = serve("1");
  server.serve("/elsewhere.make", "projects[m][download][type] = get\n");
  writeFileSync(hub.path("makes/more.make"), `projects[m][download][url] = ${url}\nprojects[m][patch][] = fix.patch\n`);
  writeFileSync(hub.path("makes/fix.patch"), "--- /dev/null\n+++ b/patched\n@@ -0,0 +1 @@\n+1\n");
  appendFileSync(makefile(), `includes:\n  - more.make\n  - ${server.url}/elsewhere.make\n`);
});
afterAll(async () => {
  hub.remove();
  await server.stop();
});

describe("a platform whose make file has a lock beside it", () => {
  it("is built exactly as the lock says, and this is said, before it is done too", async () => {
    await hub.ok(["make", makefile(), "--no-build", "--lock"]);
    // The server has something else today, which the lock's checksum does not allow; the cache still has what was locked.
    serve("2");
    expect((await hub.document("verify @platform_p --dry-run")).steps.find(({ id }) => id === "platform/build")?.changes).toEqual([
      `build ${hub.path("platforms/p")}, exactly what makes/core.make.yml.lock names`,
    ]);
    const said = await hub.document("verify @platform_p");
    expect(said).toMatchObject({ ok: true, outcome: "changed" });
    expect(said.steps.find(({ id }) => id === "platform/build")?.changes.join()).toContain("exactly what makes/core.make.yml.lock names");
    expect([module(), module("patched")]).toEqual(["1", "1\n"]);
    const again = await hub.document("verify @platform_p --full");
    expect([again.outcome, again.warnings]).toEqual(["ok", undefined]);
  });

  it("is told when the lock changed, and a rebuild refuses a lock that does not fit the make file, naming entry and command", async () => {
    appendFileSync(
      hub.path("makes/more.make"),
      `libraries[l][download][type] = get\nlibraries[l][download][url] = ${server.url}/m.tar.gz\n`,
    );
    const before = hub.tree();
    const refused = await hub.document("verify @platform_p --rebuild");
    expect(refused).toMatchObject({ ok: false, outcome: "rolled_back", error: { code: "LOCK_MISMATCH" } });
    expect(refused.error?.why).toEqual(["l: it is in the make file, and not in the lock"]);
    expect(refused.error?.next.join()).toContain(`provision make ${makefile()} --no-build --lock`);
    expect(module()).toBe("1");
    const platforms = (tree: readonly string[]) => tree.filter((line) => /^platforms\/(?:p|\.builds\/)/.test(line));
    expect(platforms(hub.tree())).toEqual(platforms(before));
    await hub.ok(["make", makefile(), "--no-build", "--lock"]);
    expect((await hub.document("verify @platform_p")).warnings?.join()).toMatch(/lock file of the make file has changed/);
    await hub.ok("verify @platform_p --rebuild");
    expect(module()).toBe("2");
  });

  it("a lock that is broken is refused with its name; without one the platform is built from the make file", async () => {
    writeFileSync(lock(), "lock: 7\n");
    expect(await hub.document("verify @platform_p --rebuild")).toMatchObject({
      ok: false,
      error: { message: expect.stringContaining("core.make.yml.lock is no lock of a make file: it is of version 7") },
    });
    rmSync(lock());
    serve("3");
    expect((await hub.document("verify @platform_p")).warnings?.join()).toMatch(/lock file of the make file is absent \(was there\)/);
    await hub.ok("verify @platform_p --rebuild");
    expect(module()).toBe("3");
    expect((await hub.document("verify @platform_p --full")).warnings).toBeUndefined();
  });
});

describe("what a make file is made of beside itself", () => {
  const warnings = async (line: string) => (await hub.document(line)).warnings?.join() ?? "";

  it("an include and a patch that changed are told by every verify, without a network", async () => {
    for (const name of ["more.make", "fix.patch"]) {
      const before = readFileSync(hub.path(`makes/${name}`), "utf8");
      appendFileSync(hub.path(`makes/${name}`), "\n");
      expect(await warnings("verify @platform_p --offline")).toMatch(
        new RegExp(`from something else: ${name === "more.make" ? "include" : "patch"} ${name} has changed`),
      );
      writeFileSync(hub.path(`makes/${name}`), before);
      expect(await warnings("verify @platform_p --offline")).toBe("");
    }
  });

  it("an include from elsewhere is asked by --full alone; one that does not answer is told as not known", async () => {
    server.serve("/elsewhere.make", "projects[m][download][type] = get\n; later\n");
    const asked = server.requests.length;
    expect(await warnings("verify @platform_p")).toBe("");
    expect(server.requests.length).toBe(asked);
    expect(await warnings("verify @platform_p --full")).toMatch(/include http:\S+\/elsewhere\.make has changed/);
    server.serve("/elsewhere.make", (_, response) => void response.writeHead(404).end());
    expect(await warnings("verify @platform_p --full")).toMatch(/not known: whether include http:\S+ has changed: .*404/);
  });

  it("a make file behind a URL, too", async () => {
    const url = server.serve(
      "/whole.make.yml",
      `core: 7.x\napi: 2\nprojects:\n  drupal: {type: core, download: {type: copy, url: ${join(hub.base, "core")}}}\n`,
    );
    await hub.ok(["save", "@platform_u", "--context_type=platform", "--root=platforms/u", `--makefile=${url}`]);
    await hub.ok("verify @platform_u");
    expect(await warnings("verify @platform_u --full")).toBe("");
    server.serve("/whole.make.yml", "core: 7.x\napi: 2\n");
    expect(await warnings("verify @platform_u --full")).toMatch(/make file http:\S+\/whole\.make\.yml has changed/);
    expect(await warnings("verify @platform_u")).toBe("");
  });
});
