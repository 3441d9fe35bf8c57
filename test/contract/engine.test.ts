import { mkdtemp, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scope } from "../../src/core/scope.js";
import { Secret } from "../../src/core/secret.js";
import { runBridge } from "../../src/engines/bridge.js";
import { drupal7 } from "../../src/engines/drupal7/index.js";
import { ENGINES } from "../../src/engines/index.js";
import { LocalHost } from "../../src/host/local.js";
import { installInput, makeSite } from "../support/engine-site.js";
import { BACKDROP, type CoreTraits, DRUPAL7, DRUPAL8, engineSuite } from "../support/engine-suite.js";
import { engineUpdateSuite } from "../support/engine-update-suite.js";
import { failure } from "../support/failure.js";
import { makeFakeBackdrop, makeFakeCore, makeFakeDrupal, type Trap, trapped } from "../support/fake-core.js";
import { type Plant, plant7, plant8, plantBackdrop } from "../support/plant.js";
import { PROJECT } from "../support/project.js";

/** The fake core of each engine; an engine without one fails here, and not silently. */
const FAKES: Readonly<Record<string, { make: (docroot: string) => Promise<unknown>; version: RegExp; traits: CoreTraits; plant: Plant }>> =
  {
    drupal7: { make: (docroot) => makeFakeCore(docroot), version: /^7\.0-fixture$/, traits: DRUPAL7, plant: plant7 },
    backdrop: { make: makeFakeBackdrop, version: /^1\.0-fixture$/, traits: BACKDROP, plant: plantBackdrop },
    drupal: { make: makeFakeDrupal, version: /^10\.0-fixture$/, traits: DRUPAL8, plant: plant8 },
  };

for (const engine of ENGINES.values()) {
  const fake = FAKES[engine.name];
  if (fake === undefined) throw new Error(`the engine ${engine.name} has no fake core`);
  const make = async (docroot: string) => {
    await fake.make(docroot);
    return docroot;
  };
  engineSuite(engine, "the fake core", make, fake.version, fake.traits);
  engineUpdateSuite(engine, "the fake core", make, fake.plant);
}

describe("Drupal 7 engine and a core that misbehaves (fake core)", () => {
  const host = new LocalHost(new Scope());
  let hub: string;
  let docroot: string;
  let site: Awaited<ReturnType<typeof makeSite>>;
  let count = 0;

  const freshSite = () => makeSite(drupal7, host, hub, docroot, `site${++count}.example.com`);

  beforeAll(async () => {
    hub = await mkdtemp(join(tmpdir(), "provision-traps-"));
    docroot = await makeFakeCore(join(hub, "platform"));
    site = await freshSite();
    await drupal7.install(site, installInput());
  });
  afterAll(() => host.remove(hub));

  it("answers as ever when PHP prints on standard output and standard error", async () => {
    await trapped(docroot, ["noise"], async () => {
      const noisy = await freshSite();
      expect((await drupal7.install(noisy, installInput())).result).toMatchObject({ profile: "minimal" });
      expect((await drupal7.status(noisy)).result.installed).toBe(true);
      expect((await drupal7.inventory(noisy)).result.missing).toEqual([]);
      expect((await drupal7.login(noisy, 1)).result.url).toContain("/user/reset/1/");
      expect((await drupal7.cron(noisy)).result.lastCron).toBeGreaterThan(0);
      expect((await drupal7.cacheClear(noisy)).result).toEqual({});
      expect((await drupal7.maintenance(noisy, false)).result).toEqual({ maintenance: false });
    });
  });

  it.each<[Trap, RegExp]>([
    ["exit", /ended PHP before the work was done/],
    ["exception", /trap_init\(\) failed/],
    ["fatal", /undefined function trap_no_such_function/],
    ["out-of-memory", /Allowed memory size/],
    ["killed", /SIGKILL/],
    ["fatal-in-shutdown", /exit code 255 after it had reported success|undefined function/],
  ])("takes it as a failure when the core meets: %s", async (trap, why) => {
    const error = await trapped(docroot, [trap], () => failure(drupal7.cacheClear(site)));
    expect(error.code).toBe("ENGINE_FAILED");
    expect(error.why.join("\n")).toMatch(why);
    expect(error.message).toContain("did not clear the caches of site1.example.com");
  });

  it("collects warnings although the core has put its own handlers in place", async () => {
    const { warnings } = await trapped(docroot, ["warning"], () => drupal7.cacheClear(site));
    expect(warnings.join("\n")).toMatch(/^a warning while caches are cleared \(.*trap\.module:\d+\)$/);
  });

  it("tells what the core printed before it ended PHP", async () => {
    const error = await trapped(docroot, ["exit"], () => failure(drupal7.cron(site)));
    expect(error.why.join("\n")).toContain("You are being redirected.");
  });

  it("says after a kill that nobody knows how far PHP came", async () => {
    const error = await trapped(docroot, ["killed"], () => failure(drupal7.cron(site)));
    expect(error.state).toBe("how far PHP came is not known");
  });

  it("ends PHP when its time is over", async () => {
    const started = Date.now();
    const error = await trapped(docroot, ["slow"], () =>
      failure(
        runBridge(
          {
            host,
            php: "php",
            script: join(PROJECT, "src/engines/drupal7/bridge.php"),
            request: { op: "cron", docroot, lookup: `http://${site.uri}`, directory: site.directory, url: site.url },
            timeout: 1000,
            what: "cron",
            failure: "ENGINE_FAILED",
          },
          () => ({}),
        ),
      ),
    );
    expect(error.code).toBe("TIMED_OUT");
    expect(Date.now() - started).toBeLessThan(15_000);
  });

  it("ends PHP when the operation is stopped", async () => {
    const stop = new AbortController();
    const scope = new Scope();
    scope.signal = stop.signal;
    const timer = setTimeout(() => stop.abort(), 500);
    const error = await trapped(docroot, ["slow"], () => failure(drupal7.cron({ ...site, host: new LocalHost(scope) })));
    clearTimeout(timer);
    expect(error.why.join("\n")).toContain("SIGTERM");
  });

  it("says so when another cron run is under way", async () => {
    const error = await trapped(docroot, ["cron-locked"], () => failure(drupal7.cron(site)));
    expect(error.code).toBe("ENGINE_FAILED");
    expect(error.why[0]).toContain("another run holds its lock");
  });

  it("passes on what failed within cron", async () => {
    const { warnings } = await trapped(docroot, ["cron-exception"], () => drupal7.cron(site));
    expect(warnings.join("\n")).toContain("trap_cron() failed");
  });

  it.each<[Trap, RegExp]>([
    ["fatal-in-install", /undefined function trap_no_such_function/],
    ["exit-in-install", /ended PHP before the work was done/],
    ["error-in-install", /Exception: Database gone & nothing to do about it/],
  ])("takes an installation that ends with %s for failed, and refuses to go on with it", async (trap, why) => {
    const broken = await freshSite();
    const error = await trapped(docroot, [trap], () => failure(drupal7.install(broken, installInput())));
    expect(error.code).toBe("INSTALL_FAILED");
    expect(error.why.join("\n")).toMatch(why);
    expect((await drupal7.status(broken)).result.installed).toBe(false);
    expect((await failure(drupal7.install(broken, installInput()))).why[0]).toContain("not empty");
  });

  it("takes a password out of the core's own error text", async () => {
    const broken = await freshSite();
    const password = new Secret("s3cret-of-account-1");
    const input = installInput({ account: { name: "admin", mail: "admin@example.com", password } });
    const error = await trapped(docroot, ["password-in-error"], () => failure(drupal7.install(broken, input)));
    expect(error.why[0]).toContain("could not save ***");
    expect(JSON.stringify(error.why)).not.toContain("s3cret-of-account-1");
  });

  it("gives the core's words when a profile needs a module that is not there", async () => {
    const broken = await freshSite();
    const error = await failure(drupal7.install(broken, installInput({ profile: "broken" })));
    expect(error.why[0]).toContain("Required modules not found: no_such_module");
  });

  it("the installer leaves directory and settings.php without write bits, as Drupal's does", async () => {
    expect((await stat(site.sitePath)).mode & 0o777).toBe(0o555);
    expect((await stat(join(site.sitePath, "settings.php"))).mode & 0o777).toBe(0o444);
  });
});
