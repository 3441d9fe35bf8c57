import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { commands } from "../../../src/commands/index.js";
import { provision, TestHub } from "../../support/hub.js";

/** Read them as a stranger would: what can I type, what will it do, what is wrong, what do I type next? */
const golden = (name: string) => join(import.meta.dirname, "expected", `${name}.txt`);

describe("help", () => {
  test("provision --help, with the table of exit codes", async () => {
    const { code, stdout, stderr } = await provision("--help");
    expect([code, stderr]).toEqual([0, ""]);
    await expect(stdout).toMatchFileSnapshot(golden("help"));
  });

  test("provision alone says the same", async () => {
    expect((await provision("")).stdout).toBe((await provision("--help")).stdout);
  });

  test.each(commands.map(({ name }) => name))("provision %s --help", async (name) => {
    const { code, stdout } = await provision(`${name} --help`);
    expect(code).toBe(0);
    await expect(stdout).toMatchFileSnapshot(golden(`help-${name}`));
  });

  test("no line of any help is lost at the right edge of a terminal", async () => {
    const { stdout } = await provision("install --help");
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  });
});

describe("errors, as people read them", () => {
  let hub: TestHub;
  beforeAll(async () => {
    hub = await TestHub.withPlatform();
    await hub.saveSite("site.localhost");
  });
  afterAll(() => hub.remove());

  /** What differs from run to run is blotted out. */
  function plain(text: string): string {
    return text
      .replaceAll(hub.base, "/tmp/x")
      .replaceAll(String(hub.port), "8080")
      .replace(/\d{8}T\d{6}-[0-9a-f]{4,8}/g, "20261123T091500-7f3a")
      .replace(/trap\.module:\d+/g, "trap.module:96")
      .replace(/\b\d+ ms\b/g, "12 ms")
      .replace(/\(\d+\.\d s/g, "(0.5 s");
  }

  test.each([
    ["unknown-command", "verfy @site.localhost"],
    ["unknown-context", "verify @site.localhots"],
    ["hostile-uri", "save @site.localhost --uri=../etc"],
    ["not-installed", "login @site.localhost"],
    ["needs-yes", "delete @site.localhost"],
    ["in-use", "delete @platform_p --yes"],
  ])("%s: provision %s", async (name, line) => {
    const { stdout, stderr } = await hub.provision(line);
    expect(stdout).toBe("");
    await expect(plain(stderr)).toMatchFileSnapshot(golden(`error-${name}`));
  });

  test("rolled-back: an install that core refuses", async () => {
    const { stdout, stderr } = await hub.trapped(["error-in-install"], () => hub.provision("install @site.localhost"));
    expect(stdout).toBe("");
    await expect(plain(stderr)).toMatchFileSnapshot(golden("error-rolled-back"));
  });

  test("no-hub: outside of any hub", async () => {
    const { stderr } = await provision("list", { cwd: hub.base });
    await expect(plain(stderr)).toMatchFileSnapshot(golden("error-no-hub"));
  });
});
