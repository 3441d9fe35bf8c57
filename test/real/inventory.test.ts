import { cp, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scope } from "../../src/core/scope.js";
import type { Extension, SiteCode } from "../../src/engines/engine.js";
import { detectCore, engineNamed } from "../../src/engines/index.js";
import { effective, type Package } from "../../src/engines/packages.js";
import { scanPlatform } from "../../src/engines/scan.js";
import { LocalHost } from "../../src/host/local.js";
import { module8, oldInfo, oldModule, plant, updates } from "../support/code-trees.js";
import { type DatabaseServer, startServer } from "../support/database-servers.js";
import { installInput, makeSite } from "../support/engine-site.js";
import { onMysql } from "../support/mysql-sites.js";

interface RealCore {
  readonly engine: string;
  readonly variable: string;
  /** Code of every kind of place, in the site's profile `standard` and out of it. */
  readonly planted: Readonly<Record<string, string>>;
  /** By hand, from what the tree says of itself. */
  readonly known: readonly Partial<Package>[];
}

const OLD_PLACES = (core: string, top: string, version: string) => ({
  ...oldModule(`${top}/modules/contrib/alpha`, "alpha", { name: "Alpha", core, version, project: "alpha" }, updates("alpha", 7001, 7005)),
  ...oldModule(`${top}/modules/contrib/alpha/sub/deep`, "deep", { name: "Deep", core }),
  ...oldModule("sites/a.test/modules/local", "local", { name: "Local", core }),
  ...oldModule("profiles/other/modules/elsewhere", "elsewhere", { name: "Elsewhere", core }),
  ...oldModule("profiles/standard/modules/ofprofile", "ofprofile", { name: "Of the profile", core }),
  ...oldModule("profiles/standard/modules/alpha", "alpha", { name: "Alpha", core, version: "7.x-0.1" }),
  [`${top}/themes/beta/beta.info`]: oldInfo({ name: "Beta", core, version: '"7.x-2.0"' }),
  [`${top}/modules/contrib/quoted/quoted.info`]: `; a comment\nname = 'It''s'\nversion = "7.x-1.0-rc1"\ncore = 7.x\nproject = "quoted"\nfiles[] = a.inc\n`,
  [`${top}/modules/contrib/quoted/quoted.module`]: "<?php\n",
});

const CORES: readonly RealCore[] = [
  {
    engine: "drupal7",
    variable: "PROVISION_TEST_DRUPAL7",
    planted: OLD_PLACES("7.x", "sites/all", '"7.x-1.5"'),
    known: [
      { type: "module", name: "system", path: "modules/system", core: "7.x", removedUpTo: 6055 },
      { type: "module", name: "node", path: "modules/node", core: "7.x" },
      { type: "theme", name: "bartik", path: "themes/bartik", core: "7.x" },
      { type: "module", name: "alpha", path: "sites/all/modules/contrib/alpha", version: "7.x-1.5", project: "alpha", schema: 7005 },
    ],
  },
  {
    engine: "drupal",
    variable: "PROVISION_TEST_DRUPAL10",
    planted: {
      ...module8(
        "modules/contrib/alpha",
        "alpha",
        { name: "Alpha", type: "module", core_version_requirement: "^10", version: "8.x-1.5", project: "alpha" },
        updates("alpha", 8001, 8005),
      ),
      ...module8("modules/contrib/alpha/modules/deep", "deep", { name: "Deep", type: "module", core_version_requirement: "^10" }),
      ...module8("sites/a.test/modules/local", "local", { name: "Local", type: "module", core_version_requirement: "^10" }),
      ...module8("profiles/other/modules/elsewhere", "elsewhere", { name: "Elsewhere", type: "module", core_version_requirement: "^10" }),
      ...module8("themes/beta", "beta", {
        name: "Beta",
        type: "theme",
        "base theme": "false",
        core_version_requirement: "^10",
        version: "'2.0.1'",
      }),
    },
    known: [
      { type: "module", name: "system", path: "core/modules/system", removedUpTo: 8901 },
      { type: "theme", name: "olivero", path: "core/themes/olivero" },
      { type: "module", name: "alpha", path: "modules/contrib/alpha", version: "8.x-1.5", project: "alpha", schema: 8005 },
    ],
  },
  {
    engine: "backdrop",
    variable: "PROVISION_TEST_BACKDROP",
    planted: Object.fromEntries(
      Object.entries(OLD_PLACES("1.x", ".", '"1.x-1.5.0"')).map(([path, text]) => [path, text.replace("core =", "backdrop =")]),
    ),
    known: [{ type: "module", name: "system", path: "core/modules/system", core: "1.x" }],
  },
];

for (const { engine: name, variable, planted, known } of CORES) {
  const tree = process.env[variable] || undefined;
  const engine = engineNamed(name);
  if (tree === undefined) {
    describe(`inventory of a real ${engine.label}`, () => {
      it.skip(`SKIPPED: ${variable} names no tree`, () => {});
    });
    continue;
  }
  describe(`inventory of the real ${engine.label} in ${tree}`, () => {
    const host = new LocalHost(new Scope());
    let hub: string;
    let site: SiteCode;
    let server: DatabaseServer | undefined;
    // As an operation finds it: from the platform's root.
    const core = () => detectCore(host, join(hub, "platform"));

    beforeAll(async () => {
      hub = await mkdtemp(join(tmpdir(), "provision-inventory-"));
      await cp(tree, join(hub, "platform"), { recursive: true, verbatimSymlinks: true });
      const { docroot } = await core();
      plant(docroot, planted);
      if (!engine.databases.includes("sqlite")) server = await startServer("mysql");
      const place = server;
      site = place
        ? await onMysql(() => place).make(engine, host, hub, docroot, "a.test")
        : await makeSite(engine, host, hub, docroot, "a.test");
      // As a platform's verify does: Drupal 8 and later knows of several sites only by it.
      await host.writeFile(join(docroot, "sites/sites.php"), engine.sitesPhp(new Map([["a.test", "a.test"]])));
      await engine.install(site, installInput({ profile: "standard" }));
    }, 300_000);
    afterAll(async () => {
      await server?.remove();
      await host.remove(hub);
    });

    it("by scanning is what a site's own core says of it", async () => {
      const { result } = await engine.inventory(site);
      const scanned = await scanPlatform(host, await core());
      const { packages } = effective(scanned, { profile: "standard", directory: "a.test" });
      const line = ({ type, name: own, path, version, project }: Pick<Extension, "type" | "name" | "path" | "version" | "project">) =>
        `${type} ${own} ${path} ${version} ${project}`;
      // Backdrop says of its own tests what its constant VERSION, which is Drupal's, says.
      const ofCore = result.extensions.map((each) => line(each).replace(" 7.0-dev ", ` ${result.version} `)).toSorted();
      const ofScan = [...packages.values()].flatMap((each) =>
        each.type === "library" ? [] : [line({ ...each, type: each.type, version: each.version, project: each.project })],
      );
      expect(ofScan.toSorted()).toEqual(ofCore);
      expect(ofScan.length).toBeGreaterThan(40);
      expect(scanned.packages).toEqual(expect.arrayContaining(known.map((each) => expect.objectContaining(each))));
    });

    it("by scanning has the updates that the core has run when it installed them", async () => {
      const { result } = await engine.inventory(site);
      const { packages } = effective(await scanPlatform(host, await core()), {
        profile: "standard",
        directory: "a.test",
      });
      const first = name === "drupal" ? 8000 : 0;
      const installed = result.extensions.filter(({ enabled, schema, type }) => enabled && schema !== undefined && type === "module");
      expect(installed.length).toBeGreaterThan(10);
      const differing = installed.flatMap(({ name: own, schema }) => {
        const ofScan = packages.get(`module ${own}`)?.schema ?? first;
        return ofScan === schema ? [] : [`${own}: the database says ${schema}, the code ${ofScan}`];
      });
      expect(differing).toEqual([]);
    });

    it("names what core and Composer need, and this machine has it", async () => {
      const { requires } = await scanPlatform(host, await core());
      expect(requires.php[0]?.least).toMatch(/^\d+\.\d+/);
      expect(requires.extensions.map((each) => each.name)).toEqual(expect.arrayContaining(["gd", "pdo", "simplexml", "xml"]));
      expect(Object.keys(requires.databases)).toContain("mysql");
    });
  });
}
