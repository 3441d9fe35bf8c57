import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Scope } from "../../../src/core/scope.js";
import { detectCore, ENGINES, engineNamed } from "../../../src/engines/index.js";
import { LocalHost } from "../../../src/host/local.js";
import { failure } from "../../support/failure.js";
import { makeFakeBackdrop } from "../../support/fake-core.js";

const DRUPAL = fileURLToPath(new URL("../../fixtures/fake-drupal", import.meta.url));
const SAMPLE = fileURLToPath(new URL("../../../src/demo/sample", import.meta.url));

describe("detectCore", () => {
  const host = new LocalHost(new Scope());
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "provision-detect-"));
  });
  afterEach(() => rm(root, { recursive: true }));

  it("knows the bundled sample core as a Drupal 7 of version 7.0-sample", async () => {
    expect(await detectCore(host, SAMPLE)).toEqual({
      engine: "drupal7",
      version: "7.0-sample",
      docroot: SAMPLE,
      profiles: ["minimal", "standard"],
    });
  });

  it("finds a docroot below the root", async () => {
    await cp(SAMPLE, join(root, "web"), { recursive: true });
    expect((await detectCore(host, root)).docroot).toBe(join(root, "web"));
  });

  it("reads the version as Drupal 7 itself says it", async () => {
    await cp(SAMPLE, root, { recursive: true });
    await writeFile(join(root, "includes/bootstrap.inc"), "<?php\n\n/** Code. */\ndefine('VERSION', '7.103');\n");
    expect((await detectCore(host, root)).version).toBe("7.103");
  });

  it.each(["index.php", "includes/bootstrap.inc", "includes/install.core.inc", "modules/system/system.module"])(
    "calls a tree without %s half a Drupal 7, and names the file",
    async (file) => {
      await cp(SAMPLE, root, { recursive: true });
      await rm(join(root, file));
      const error = await failure(detectCore(host, root));
      expect(error.code).toBe("NOT_A_PLATFORM");
      expect(error.message).toContain("half a Drupal 7");
      expect(error.why.join()).toContain(file);
    },
  );

  it.each(["", "web", "docroot"])("finds a Drupal 8 or later at %j of its Composer project, with its profiles", async (place) => {
    await cp(DRUPAL, join(root, place), { recursive: true });
    await mkdir(join(root, place, "profiles/contrib/shop"), { recursive: true });
    await writeFile(join(root, place, "profiles/contrib/shop/shop.info.yml"), "name: Shop\n");
    await mkdir(join(root, place, "core/profiles/testing"), { recursive: true });
    await writeFile(join(root, place, "core/profiles/testing/testing.info.yml"), "name: Testing\n");
    expect(await detectCore(host, root)).toEqual({
      engine: "drupal",
      version: "10.0-fixture",
      docroot: join(root, place),
      profiles: ["broken", "minimal", "shop", "standard"],
    });
  });

  it.each([
    ["index.php", /missing: index\.php/],
    ["core/lib/Drupal/Core/DrupalKernel.php", /missing: .*DrupalKernel\.php/],
    ["core/loader.php", /missing: core\/loader\.php/],
  ])("calls a tree without %s half a Drupal, and says what to do", async (file, why) => {
    await cp(DRUPAL, join(root, "web"), { recursive: true });
    await rm(join(root, "web", file));
    const error = await failure(detectCore(host, root));
    expect(error.message).toContain("half a Drupal");
    expect(error.why.join()).toMatch(why);
    expect(error.next.join()).toContain("composer install");
  });

  it("says what it looked for, and what is there, when there is no core", async () => {
    await writeFile(join(root, "wordpress.php"), "");
    const error = await failure(detectCore(host, root));
    expect(error.code).toBe("NOT_A_PLATFORM");
    expect(error.why.join()).toMatch(/Drupal 7.*Drupal 8\+.*wordpress\.php/);
  });

  it("takes neither Drupal 6 nor Drupal 8 for Drupal 7", async () => {
    await mkdir(join(root, "includes"), { recursive: true });
    await mkdir(join(root, "modules/system"), { recursive: true });
    await writeFile(join(root, "includes/bootstrap.inc"), "<?php\ndefine('CACHE_PERMANENT', 0);\n");
    await writeFile(join(root, "modules/system/system.info"), "core = 6.x\n");
    expect((await failure(detectCore(host, root))).message).toContain("holds no core");
  });

  it("knows a Backdrop by its own constant, with the profiles of core and those beside it; half a one is refused", async () => {
    const made = join(root, "made");
    await makeFakeBackdrop(made);
    await mkdir(join(made, "profiles/acme"), { recursive: true });
    for (const type of ["info", "profile"]) await writeFile(join(made, `profiles/acme/acme.${type}`), "");
    expect(await detectCore(host, made)).toEqual({
      engine: "backdrop",
      version: "1.0-fixture",
      docroot: made,
      profiles: ["acme", "minimal", "standard"],
    });
    await rm(join(made, "core/includes/config.inc"));
    expect((await failure(detectCore(host, made))).why.join()).toContain("core/includes/config.inc");
  });

  it.each([
    [
      "of the archive",
      "/**\n * Configuration file for the Backdrop CMS multi-site feature.\n */\n// $sites['example.com'] = 'example';\n",
      0,
    ],
    [
      "with a site",
      "/**\n * Configuration file for the Backdrop CMS multi-site feature.\n */\n$sites['example.com'] = 'example';\n",
      undefined,
    ],
    ["of somebody", "// my own\n", undefined],
  ])("a sites.php %s", (_, text, size) => {
    expect(engineNamed("backdrop").readSitesPhp(`<?php\n${text}`)?.size).toBe(size);
  });

  it("says that a directory does not exist", async () => {
    expect((await failure(detectCore(host, join(root, "nowhere")))).code).toBe("FILE_NOT_FOUND");
  });

  it("knows engines by name, and an unknown name is a mistake in the configuration", async () => {
    expect(engineNamed("drupal7")).toBe(ENGINES.get("drupal7"));
    expect(() => engineNamed("joomla")).toThrow("no engine joomla");
  });
});
