import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type ComposerOptions, composerSource } from "../../src/builds/composer/index.js";
import type { BuildRequest } from "../../src/builds/source.js";
import { Scope } from "../../src/core/scope.js";
import { LocalHost } from "../../src/host/local.js";
import { composerProject, type FakeProject } from "../support/composer-project.js";
import { failure } from "../support/failure.js";
import { temporaryDirectory, treeOf } from "../support/make-fixtures.js";

let work: string;
beforeEach(() => {
  if (work) rmSync(work, { recursive: true, force: true });
  work = temporaryDirectory();
});
afterEach(() => vi.unstubAllEnvs());
afterAll(() => rmSync(work, { recursive: true, force: true }));

const CORE = { "index.php": "<?php // core", "includes/bootstrap.inc": "<?php\n" };

function project(options: Partial<FakeProject> = {}): string {
  return composerProject(join(work, "project"), { core: CORE, ...options });
}

function build(options: ComposerOptions, request: Partial<BuildRequest> = {}) {
  return composerSource(options).build({
    host: new LocalHost(new Scope()),
    destination: join(work, "builds/d10"),
    cache: join(work, "cache"),
    mirrors: {},
    offline: true,
    jobs: 1,
    ...request,
  });
}

/** The build fails, leaves nothing, and says why. */
async function refused(options: ComposerOptions, request: Partial<BuildRequest> = {}) {
  const error = await failure(build(options, request));
  expect(existsSync(join(work, "builds/d10")), "nothing was put in place").toBe(false);
  expect(existsSync(join(work, "builds")) ? readdirSync(join(work, "builds")) : [], "nothing is left beside it").toEqual([]);
  return { message: error.message, why: error.why.join("\n"), next: error.next.join("\n"), code: error.code };
}

function change(directory: string, edit: (json: Record<string, never>) => void): void {
  const path = join(directory, "composer.json");
  const json = JSON.parse(readFileSync(path, "utf8"));
  edit(json);
  writeFileSync(path, JSON.stringify(json));
}

describe("a Composer project", () => {
  it("is built as its lock file says: core in web/, modules below it, nothing of development", async () => {
    const directory = project();
    const report = await build({ directory });
    const built = join(work, "builds/d10");
    expect(readFileSync(join(built, "web/index.php"), "utf8")).toBe("<?php // core");
    expect(existsSync(join(built, "web/sites/all/modules/views/views.info"))).toBe(true);
    expect(report.entries.map(({ name }) => name)).toEqual(["composer/installers 2.99.0", "drupal/core 1.0.0", "drupal/views 1.0.0"]);
    expect(report.resolved).toMatchObject({
      "composer version": expect.stringMatching(/^2\./),
      "drupal/core": expect.stringMatching(/^1\.0\.0/),
    });
    expect(report.warnings).toEqual([]);
  });

  it("is copied and never changed, and what was installed in it is not taken over", async () => {
    const directory = project();
    mkdirSync(join(directory, "vendor/old"), { recursive: true });
    const before = treeOf(directory);
    await build({ directory });
    expect(treeOf(directory)).toEqual(before);
    expect(existsSync(join(work, "builds/d10/vendor/old"))).toBe(false);
    expect(readFileSync(join(work, "builds/d10/composer.json"), "utf8")).toBe(readFileSync(join(directory, "composer.json"), "utf8"));
  });

  it("gives the same tree twice", async () => {
    const directory = project();
    await build({ directory });
    await build({ directory }, { destination: join(work, "builds/again") });
    expect(treeOf(join(work, "builds/again"))).toEqual(treeOf(join(work, "builds/d10")));
    expect(treeOf(join(work, "builds/d10")).join()).toContain("vendor/composer/autoload_real.php");
  });

  it("may be read by the web server: files that came as 0600 are 0644", async () => {
    const directory = project();
    chmodSync(join(directory, "packages/views/views.info"), 0o600);
    await build({ directory });
    expect(statSync(join(work, "builds/d10/web/sites/all/modules/views/views.info")).mode & 0o777).toBe(0o644);
  });

  it("without composer.lock is refused, and told how to go on", async () => {
    const directory = project({ lock: false });
    const { message, next } = await refused({ directory });
    expect(message).toMatch(/there is no composer\.lock/);
    expect(next).toMatch(/composer update --no-install[\s\S]*--composer_lock=allow-missing/);
  });

  it("without composer.lock is built when that is allowed, with a warning", async () => {
    const directory = project({ lock: false });
    const report = await build({ directory, lock: "allow-missing" });
    expect(report.warnings.join("\n")).toMatch(/versions were chosen on the day of this build/);
    expect(existsSync(join(directory, "composer.lock")), "the project is not changed").toBe(false);
    expect(existsSync(join(work, "builds/d10/composer.lock"))).toBe(true);
  });

  it("is built from its lock file also when the operator's own Composer says lock: false", async () => {
    const directory = project();
    const home = join(work, "home");
    mkdirSync(home);
    writeFileSync(join(home, "config.json"), '{"config":{"lock":false}}');
    vi.stubEnv("COMPOSER_HOME", home);
    const core = join(directory, "packages/core/composer.json");
    writeFileSync(core, readFileSync(core, "utf8").replace("1.0.0", "2.0.0"));
    await build({ directory });
    const installed = JSON.parse(readFileSync(join(work, "builds/d10/vendor/composer/installed.json"), "utf8"));
    const versions = installed.packages.map((one: { name: string; version: string }) => `${one.name} ${one.version}`);
    expect(versions, "without the lock file Composer takes the 2.0.0 that is there now").toContain("drupal/core 1.0.0");
    expect(readFileSync(join(work, "builds/d10/composer.json"), "utf8")).toBe(readFileSync(join(directory, "composer.json"), "utf8"));
  });

  it("whose installers plug-in may not run is refused: modules would land in vendor/", async () => {
    const directory = project();
    change(directory, (json) => Object.assign(json, { config: { "allow-plugins": { "composer/installers": false } } }));
    const { message, why, next } = await refused({ directory });
    expect(message).toMatch(/plug-ins that the project relies on would not run/);
    expect(why).toMatch(/composer\/installers is false in allow-plugins: core, modules and themes would all land in vendor\//);
    expect(next).toMatch(/composer config allow-plugins\.composer\/installers true/);
  });

  it("whose plug-in is not listed at all is refused, since Composer would leave it out without a word", async () => {
    const directory = project({ config: { "allow-plugins": { "fake/*": true } } });
    expect((await refused({ directory })).why).toMatch(/composer\/installers is not listed in allow-plugins/);
  });

  it("is built when a pattern allows its plug-ins", async () => {
    const directory = project({ config: { "allow-plugins": { "composer/*": true } } });
    await expect(build({ directory })).resolves.toBeDefined();
  });

  it("that names patches without a plug-in for them is refused", async () => {
    const directory = project({ extra: { patches: { "drupal/views": { fix: "patches/fix.patch" } } } });
    expect((await refused({ directory })).why).toMatch(/names patches, and no package in composer\.lock applies them/);
  });

  it("whose patches were silently not applied is refused", async () => {
    const directory = project({
      require: { "cweagans/composer-patches": "*" },
      extra: { patches: { "drupal/views": { fix: "patches/fix.patch" } } },
    });
    const { message, why } = await refused({ directory });
    expect(message).toMatch(/patches were silently not applied/);
    expect(why).toMatch(/drupal\/views: patches\/fix\.patch is not in its PATCHES\.txt/);
  });

  it("that Composer cannot install fails with Composer's last lines, without credentials", async () => {
    const directory = project();
    change(directory, (json) => Object.assign(json, { require: { "drupal/core": "*", "fake/absent": "^3" } }));
    writeFileSync(join(directory, "auth.json"), '{"http-basic":{"repo.example.com":{"username":"bob","password":"hunter2secret"}}}');
    change(directory, (json) =>
      Object.assign(json, {
        scripts: { "pre-install-cmd": "echo https://bob:hunter2secret@repo.example.com/x; echo hunter2secret; exit 3" },
      }),
    );
    const { message, why } = await refused({ directory });
    expect(message).toMatch(/composer install ended with exit code \d/);
    expect(why).toMatch(/https:\/\/repo\.example\.com\/x/);
    expect(why).not.toMatch(/hunter2secret/);
  });

  it("leaves no auth.json in the platform", async () => {
    const directory = project();
    writeFileSync(join(directory, "auth.json"), '{"http-basic":{}}');
    await build({ directory });
    expect(existsSync(join(work, "builds/d10/auth.json"))).toBe(false);
    expect(existsSync(join(directory, "auth.json"))).toBe(true);
  });

  it("with path repositories outside its directory is told to bring them in", async () => {
    const directory = project();
    change(directory, (json) => Object.assign(json, { repositories: [{ type: "path", url: "../elsewhere/*" }] }));
    expect((await refused({ directory })).message).toMatch(/path repositories outside its directory: \.\.\/elsewhere/);
  });

  it("that is not there, or no JSON, says so", async () => {
    expect((await refused({ directory: join(work, "nowhere") })).code).toBe("FILE_NOT_FOUND");
    const directory = project();
    writeFileSync(join(directory, "composer.json"), "{");
    expect((await refused({ directory })).code).toBe("INVALID_FILE");
  });

  it("is built from a package by create-project, and its choice of versions is recorded", async () => {
    const directory = project({ lock: false });
    change(directory, (json) =>
      Object.assign(json, {
        version: "1.2.0",
        repositories: [{ type: "path", url: `${directory}/packages/*` }, { "packagist.org": false }],
      }),
    );
    const home = join(work, "home");
    mkdirSync(home);
    writeFileSync(
      join(home, "config.json"),
      JSON.stringify({ repositories: { here: { type: "path", url: directory }, "packagist.org": false } }),
    );
    vi.stubEnv("COMPOSER_HOME", home);
    const report = await build({ package: "fake/platform", version: "^1.0" });
    expect(existsSync(join(work, "builds/d10/web/index.php"))).toBe(true);
    expect(report.resolved).toMatchObject({ "drupal/core": expect.stringMatching(/^1\.0\.0/) });
    expect(report.warnings.join("\n")).toMatch(/fake\/platform: there is no composer\.lock/);
  });
});
