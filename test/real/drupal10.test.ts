import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { composerSource } from "../../src/builds/composer/index.js";
import { Scope } from "../../src/core/scope.js";
import { LocalHost } from "../../src/host/local.js";

const project = process.env["PROVISION_TEST_DRUPAL10"] || undefined;

describe.runIf(project !== undefined)("Drupal 10 from its Composer project", () => {
  let work: string;
  beforeAll(() => {
    work = mkdtempSync(join(tmpdir(), "provision-d10-"));
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  it("is built with its core in the docroot and its lock file's versions", async () => {
    const report = await composerSource({ directory: project ?? "" }).build({
      host: new LocalHost(new Scope()),
      destination: join(work, "d10"),
      cache: join(work, "cache"),
      mirrors: {},
      offline: false,
      jobs: 1,
    });
    expect(report.entries.map(({ name }) => name.split(" ")[0])).toContain("drupal/core");
    expect(["web", "docroot", "html", ""].some((docroot) => existsSync(join(work, "d10", docroot, "core/lib/Drupal.php")))).toBe(true);
  }, 900_000);
});

describe.runIf(project === undefined)("Drupal 10 from its Composer project", () => {
  it.skip("SKIPPED: PROVISION_TEST_DRUPAL10 names no directory with composer.json and composer.lock", () => {});
});
