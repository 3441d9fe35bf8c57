import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeFakeDrupal } from "../support/fake-core.js";
import { TestHub } from "../support/hub.js";

/** What Composer is told instead of its registry: one package, whose files are the fake core of Drupal 8 and later. */
async function composerHome(base: string, version: string): Promise<string> {
  const project = join(base, "packages/recommended-project");
  await makeFakeDrupal(join(project, "web"));
  writeFileSync(join(project, "composer.json"), JSON.stringify({ name: "drupal/recommended-project", type: "project", version }));
  const home = join(base, "composer-home");
  mkdirSync(home);
  const repositories = { fake: { type: "path", url: project }, "packagist.org": false };
  writeFileSync(join(home, "config.json"), JSON.stringify({ repositories }));
  return home;
}

describe("demo", () => {
  let hub: TestHub;
  let env: Readonly<Record<string, string>>;

  beforeAll(async () => {
    hub = await TestHub.nowhere();
    env = { COMPOSER_HOME: await composerHome(hub.base, "10.4.2") };
  });
  afterAll(() => hub.remove());

  const demo = (...more: readonly string[]) =>
    hub.provision(["demo", hub.root, "--check", "--port", String(hub.port), ...more], { cwd: hub.base, env });

  test("builds the Drupal that was asked for with Composer, and its site answers (fake core)", async () => {
    const { code, stdout, stderr } = await demo("--drupal=10");
    expect(stderr + stdout).toContain("has Drupal 10.0-fixture, and a site");
    expect(stdout).toMatch(/GET http:\/\/demo\.localhost:\d+\/ {2}200 {2}Welcome! \| demo\.localhost/);
    expect(stdout).toMatch(/GET login link {2}302, then 200 {2}admin \| demo\.localhost/);
    expect(code).toBe(0);
    expect((await hub.ok("show @platform_demo")).stdout).toMatch(/composer\s+drupal\/recommended-project/);
  });

  test("a second run changes nothing, whatever can be had then", async () => {
    const { code, stdout } = await demo();
    expect([code, stdout]).toEqual([0, expect.stringContaining("\n0 changed\n")]);
  });

  test("says why it builds another one, and refuses one that there is not", async () => {
    const other = await TestHub.nowhere();
    try {
      const run = (...more: readonly string[]) =>
        other.provision(
          ["demo", other.root, "--check", "--port", String(other.port), "--mirror=https://updates.drupal.org/=/nowhere", ...more],
          {
            cwd: other.base,
            env,
          },
        );
      expect((await run("--drupal=9")).code).toBe(64);
      const { code, stdout, stderr } = await run("--drupal=11");
      expect(stderr + stdout).toMatch(
        /(Drupal 11 needs PHP 8\.3\.0, and this is 8\.\d+\.\d+|Composer does not offer drupal\/recommended-project \^11): a make file was built instead/,
      );
      expect(stderr + stdout).toContain("the bundled sample core");
      expect(code).toBe(0);
    } finally {
      other.remove();
    }
  });
});
