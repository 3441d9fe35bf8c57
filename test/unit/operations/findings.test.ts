import { describe, expect, it } from "vitest";
import type { Extension } from "../../../src/engines/engine.js";
import type { Package, PlatformInventory } from "../../../src/engines/packages.js";
import {
  compareSite,
  type Facts,
  FINDINGS,
  type Finding,
  type PlatformSide,
  type SiteSide,
} from "../../../src/operations/parts/findings.js";

/** A site and two platforms with the same code, told as plain data, so that each case changes one thing of it. */
interface Pair {
  site: { profile: string | undefined; extensions: Extension[]; missing: string[]; version: string };
  here: { -readonly [key in keyof PlatformInventory]: PlatformInventory[key] };
  there: { -readonly [key in keyof PlatformInventory]: PlatformInventory[key] };
  target: { locked: boolean; source: PlatformSide["source"] };
  facts: { -readonly [key in keyof Facts]: Facts[key] };
}

const PACKAGES: readonly Package[] = [
  { type: "module", name: "system", path: "modules/system", version: "7.99", core: "7.x", schema: 7086, removedUpTo: 6055 },
  { type: "module", name: "ctools", path: "sites/all/modules/ctools", version: "7.x-1.15", project: "ctools", core: "7.x", schema: 7001 },
  {
    type: "module",
    name: "views",
    path: "sites/all/modules/views",
    version: "7.x-3.20",
    project: "views",
    core: "7.x",
    schema: 7301,
    dependencies: ["ctools"],
  },
  {
    type: "module",
    name: "views_ui",
    path: "sites/all/modules/views",
    version: "7.x-3.20",
    project: "views",
    core: "7.x",
    dependencies: ["views"],
  },
  { type: "module", name: "help", path: "modules/help", version: "7.99", core: "7.x" },
  { type: "theme", name: "bartik", path: "themes/bartik", version: "7.99", core: "7.x" },
  { type: "profile", name: "acme", path: "profiles/acme", version: "7.x-1.0", core: "7.x" },
  { type: "library", name: "jquery", path: "sites/all/libraries/jquery", version: "3.7.1" },
];

function platform(): Pair["here"] {
  return {
    engine: "drupal7",
    version: "7.99",
    docroot: "/hub/platforms/p",
    profiles: ["acme"],
    requires: {
      php: [{ by: "Drupal 7.99", least: "5.3.3" }],
      extensions: [{ by: "Drupal 7.99", name: "gd" }],
      databases: { mysql: { MySQL: "5.0.15", MariaDB: "10.3.7" } },
    },
    patches: [],
    packages: structuredClone(PACKAGES),
  };
}

function extension(name: string, more: Partial<Extension> = {}): Extension {
  const code = PACKAGES.find((each) => each.name === name);
  return {
    name,
    type: (code?.type ?? "module") as Extension["type"],
    path: code?.path ?? `sites/all/modules/${name}`,
    version: code?.version,
    project: code?.project,
    enabled: true,
    schema: code?.type === "theme" ? undefined : (code?.schema ?? 0),
    ...more,
  };
}

function pair(): Pair {
  return {
    site: {
      profile: "acme",
      version: "7.99",
      missing: [],
      extensions: ["system", "ctools", "views", "views_ui", "bartik", "acme"].map((name) => extension(name)),
    },
    here: platform(),
    there: platform(),
    target: { locked: false, source: { kind: "makefile", name: "makes/new.make" } },
    facts: {
      php: { version: "8.2.36-1~deb12u1", extensions: ["gd", "pdo_mysql"] },
      phpNow: { version: "8.2.30", extensions: ["gd", "pdo_mysql"] },
      database: { server: "@server_master", driver: "mysql", product: "MariaDB", version: "10.11.19-MariaDB-0+deb12u1" },
      taken: [],
      overrides: [],
      outside: [],
      space: { free: 10_000_000_000, files: 1_000_000_000, database: 100_000_000 },
    },
  };
}

function compared({ site, here, there, target, facts }: Pair) {
  const { version, extensions, missing, profile } = site;
  const now: SiteSide = {
    name: "@a.test",
    directory: "a.test",
    profile,
    platform: "@platform_old",
    inventory: { version, extensions, missing },
    code: here,
  };
  return compareSite(now, { name: "@platform_new", code: there, ...target }, facts);
}

/** Changes one package of a platform; undefined takes it away. */
function change(of: Pair["here"], name: string, more: Partial<Package> | undefined): void {
  of.packages = of.packages.flatMap((each) => (each.name !== name ? [each] : more === undefined ? [] : [{ ...each, ...more }]));
}
function add(of: Pair["here"], ...packages: readonly Package[]): void {
  of.packages = [...of.packages, ...packages];
}
function use(of: Pair, name: string, more: Partial<Extension>): void {
  of.site.extensions = of.site.extensions.map((each) => (each.name === name ? { ...each, ...more } : each));
}
const own = (name: string, more: Partial<Package> = {}): Package => ({
  type: "module",
  name,
  path: `sites/a.test/modules/${name}`,
  core: "7.x",
  ...more,
});

/** Every kind: what is planted, and a word that the message or the remedy has to have. */
const PLANTED: Readonly<Record<keyof typeof FINDINGS, readonly [plant: (of: Pair) => void, message: RegExp, remedy: RegExp]>> = {
  "core-family": [
    (of) => Object.assign(of.there, { engine: "drupal", version: "10.4.9" }),
    /drupal7 7\.99.*drupal 10\.4\.9/,
    /platform of the same core/,
  ],
  "core-downgrade": [
    (of) => {
      of.there.version = "7.98";
      for (const name of ["system", "help", "bartik"]) change(of.there, name, { version: "7.98" });
    },
    /7\.98.*7\.99/,
    /projects\[drupal\]\[version\] = 7\.99.*makes\/new\.make.*verify @platform_new --rebuild/,
  ],
  "profile-missing": [
    (of) => change(of.there, "acme", { name: "other", path: "profiles/other" }),
    /no install profile acme; it has other/,
    /old_short_name = acme/,
  ],
  "extension-missing": [
    (of) => change(of.there, "bartik", undefined),
    /lacks the theme bartik, which was a part of core/,
    /uninstall bartik/,
  ],
  "extension-incompatible": [
    (of) => change(of.there, "ctools", { core: "8.x" }),
    /ctools .*core 8\.x; @platform_new has 7\.99/,
    /release for this core/,
  ],
  "dependency-missing": [
    (of) => change(of.there, "views", { dependencies: ["ctools", "entity"] }),
    /views on @platform_new needs entity, which is not there/,
    /projects\[entity\]/,
  ],
  "schema-downgrade": [
    (of) => change(of.there, "views", { schema: 7300 }),
    /views has run update 7301.*ends with 7300/,
    /as new as the site's/,
  ],
  "updates-removed": [
    (of) => {
      change(of.there, "ctools", { schema: 8200, removedUpTo: 8100 });
    },
    /ctools is at 7001.*no longer has updates up to 8100/,
    /migrate first to a platform/,
  ],
  "php-too-old": [
    (of) => {
      of.there.requires = { ...of.there.requires, php: [...of.there.requires.php, { by: "what Composer installed", least: "8.3.0" }] };
    },
    /what Composer installed needs PHP 8\.3\.0.*8\.2\.36/,
    /save @platform_new --php=8\.3/,
  ],
  "php-extension-missing": [
    (of) => Object.assign(of.facts, { php: { version: "8.2.36", extensions: ["pdo_mysql"] } }),
    /Drupal 7\.99 needs PHP's gd/,
    /install it for PHP 8\.2/,
  ],
  "extension-php": [(of) => change(of.there, "views", { php: "8.3" }), /views needs PHP 8\.3/, /--php=8\.3/],
  "database-driver": [
    (of) => {
      of.there.requires = { ...of.there.requires, databases: { pgsql: { PostgreSQL: "12" } } };
    },
    /no driver for MariaDB/,
    /it has: pgsql/,
  ],
  "database-too-old": [
    (of) => {
      of.there.requires = { ...of.there.requires, databases: { mysql: { MySQL: "8.0", MariaDB: "10.11.20" } } };
    },
    /@server_master has MariaDB 10\.11\.19.*wants 10\.11\.20/,
    /--db_server=/,
  ],
  "platform-locked": [(of) => Object.assign(of.target, { locked: true }), /@platform_new is locked/, /provision unlock @platform_new/],
  "name-taken": [
    (of) => Object.assign(of.facts, { taken: ["sites/a.test on @platform_new is a site already"] }),
    /sites\/a\.test/,
    /migrate @a\.test @platform_new @new/,
  ],
  "disk-full": [
    (of) => Object.assign(of.facts, { space: { free: 50_000_000, files: 0, database: 100_000_000 } }),
    /48 MiB free.*the database 96 MiB/,
    /free some/,
  ],
  "core-newer": [
    (of) => {
      of.there.version = "7.103";
      for (const name of ["system", "help", "bartik"]) change(of.there, name, { version: "7.103" });
    },
    /core 7\.99 → 7\.103/,
    /clone @a\.test @try\.example\.com @platform_new/,
  ],
  "version-newer": [
    (of) => {
      change(of.there, "views", { version: "7.x-3.29", schema: 7302 });
      change(of.there, "views_ui", { version: "7.x-3.29" });
    },
    /views 7\.x-3\.20 → 7\.x-3\.29 \(views_ui\)/,
    /updates run during migrate/,
  ],
  "version-older": [
    (of) => change(of.there, "ctools", { version: "7.x-1.9" }),
    /ctools 7\.x-1\.15 → 7\.x-1\.9/,
    /projects\[ctools\]\[version\] = 1\.15/,
  ],
  "version-unknown": [
    (of) => change(of.there, "ctools", { version: "7.x-1.x-dev" }),
    /ctools 7\.x-1\.15 → 7\.x-1\.x-dev/,
    /with a release/,
  ],
  "schema-unknown": [
    (of) => {
      use(of, "ctools", { schema: 7002 });
    },
    /ctools has run update 7002.*does not show/,
    /as new as/,
  ],
  "updates-pending": [(of) => use(of, "views", { schema: 7300 }), /views is at 7300 of 7301/, /run them first/],
  "own-code": [
    (of) => {
      add(of.here, own("ours"));
      of.site.extensions.push(extension("ours", { path: "sites/a.test/modules/ours" }));
    },
    /own directory.*ours/,
    /core 7\.99/,
  ],
  "own-code-shadows": [
    (of) => {
      add(of.here, own("views", { version: "7.x-3.20", schema: 7301 }));
      use(of, "views", { path: "sites/a.test/modules/views" });
    },
    /its own views 7\.x-3\.20, and @platform_new has 7\.x-3\.20 in sites\/all\/modules\/views/,
    /remove sites\/a\.test\/modules\/views/,
  ],
  "extension-moved": [
    (of) => change(of.there, "ctools", { path: "sites/all/modules/contrib/ctools" }),
    /ctools \(sites\/all\/modules\/ctools → sites\/all\/modules\/contrib\/ctools\)/,
    /nothing to do/,
  ],
  "extension-twice": [
    (of) =>
      add(of.there, {
        type: "module",
        name: "ctools",
        path: "profiles/acme/modules/ctools",
        version: "7.x-1.4",
        core: "7.x",
        schema: 7001,
      }),
    /ctools 7\.x-1\.15 in sites\/all\/modules\/ctools, and 7\.x-1\.4 in profiles\/acme\/modules\/ctools/,
    /remove the other one/,
  ],
  "extension-returns": [
    (of) => {
      of.site.missing = ["lost"];
      add(of.there, { type: "module", name: "lost", path: "sites/all/modules/lost" });
    },
    /lost is enabled, and its code is gone from @platform_old/,
    /run again after migrate/,
  ],
  "disabled-installed": [(of) => of.site.extensions.push(extension("help", { enabled: false })), /not uninstalled: help/, /uninstall them/],
  "dependency-disabled": [
    (of) => change(of.there, "views", { dependencies: ["ctools", "help"] }),
    /views on @platform_new needs help, which @a\.test has not enabled/,
    /enable help/,
  ],
  "profile-renamed": [
    (of) => change(of.there, "acme", { name: "acme2", path: "profiles/acme2", oldShortName: "acme" }),
    /profile acme is called acme2/,
    /migrate/,
  ],
  "library-missing": [(of) => change(of.there, "jquery", undefined), /has the library jquery/, /jquery/],
  "patch-missing": [
    (of) => {
      change(of.here, "views", { patches: ["https://www.drupal.org/files/issues/2743165-12.patch"] });
    },
    /views is patched.*2743165-12\.patch/,
    /whether 7\.x-3\.20 has it/,
  ],
  "php-differs": [(of) => Object.assign(of.facts, { phpNow: { version: "7.4.33", extensions: [] } }), /PHP 7\.4\.33 → 8\.2\.36/, /clone/],
  "settings-override": [
    (of) => Object.assign(of.facts, { overrides: [{ path: "sites/a.test/local.settings.php", of: "site" }] }),
    /local\.settings\.php goes along/,
    /read it/,
  ],
  "files-outside": [
    (of) => Object.assign(of.facts, { outside: [{ path: "/hub/files/nas", at: "/mnt/nas" }] }),
    /\/hub\/files\/nas is at \/mnt\/nas/,
    /neither copied nor removed/,
  ],
  space: [
    (of) => Object.assign(of.facts, { space: { free: 1_000_000_000, files: 1_000_000_000, database: 100_000_000 } }),
    /954 MiB free/,
    /free some/,
  ],
};

const all = (found: { blockers: readonly Finding[]; warnings: readonly Finding[] }) => [...found.blockers, ...found.warnings];

describe("what stands against moving a site to a platform", () => {
  it("a clean pair finds nothing", () => {
    const found = compared(pair());
    expect(all(found)).toEqual([]);
    expect(found.packages.map(({ name, state }) => `${name} ${state}`)).toEqual(
      ["system", "ctools", "views", "views_ui", "bartik", "acme"].map((name) => `${name} same`),
    );
    expect(found.profile).toBe("acme");
  });

  it("there are more than twenty-five kinds", () => {
    expect(Object.keys(FINDINGS).length).toBeGreaterThanOrEqual(25);
  });

  it.each(Object.entries(PLANTED))("%s: planted alone it is found alone, with what to do", (kind, [plant, message, remedy]) => {
    const planted = pair();
    plant(planted);
    const found = compared(planted);
    const severity = FINDINGS[kind as keyof typeof FINDINGS][0];
    // These bring others along by their nature.
    const alone = all(found).filter((each) => !COMPANIONS[kind]?.includes(each.kind));
    expect(alone.map((each) => each.kind)).toEqual([kind]);
    expect(found[severity === "blocker" ? "blockers" : "warnings"].map((each) => each.kind)).toContain(kind);
    expect(alone[0]?.message).toMatch(message);
    expect(alone[0]?.remedy).toMatch(remedy);
  });
});

/** What a kind cannot be without. */
const COMPANIONS: Readonly<Record<string, readonly string[]>> = {
  "own-code-shadows": ["own-code"],
};

describe("what is no finding", () => {
  const none = (plant: (of: Pair) => void) => {
    const planted = pair();
    plant(planted);
    return all(compared(planted)).map(({ kind }) => kind);
  };

  it("extensions that the site does not use", () => {
    expect(none((of) => change(of.there, "help", undefined))).toEqual([]);
    expect(none((of) => add(of.there, { type: "module", name: "more", path: "sites/all/modules/more", core: "8.x", php: "9.0" }))).toEqual(
      [],
    );
  });

  it("other profiles with the same extension inside, and other sites' own code", () => {
    expect(
      none((of) => add(of.there, { type: "module", name: "ctools", path: "profiles/other/modules/ctools", version: "7.x-1.1" })),
    ).toEqual([]);
    expect(
      none((of) => add(of.there, { type: "module", name: "ctools", path: "sites/b.test/modules/ctools", version: "7.x-1.1" })),
    ).toEqual([]);
  });

  it("a patch that has another address, or belongs to what the site does not use", () => {
    expect(
      none((of) => {
        change(of.here, "views", { patches: ["https://www.drupal.org/files/a.patch"] });
        change(of.there, "views", { patches: ["patches/a.patch"] });
        change(of.here, "help", { patches: ["b.patch"] });
      }),
    ).toEqual([]);
  });

  it("a dependency that was not met before either", () => {
    expect(
      none((of) => {
        for (const side of [of.here, of.there]) change(side, "views", { dependencies: ["ctools", "gone"] });
      }),
    ).toEqual([]);
  });

  it("updates that Backdrop has taken away, or kept, of Drupal 7: they come before its own", () => {
    const ofUpdates = (schema: number, there: Partial<Package>) =>
      none((of) => {
        for (const side of [of.here, of.there]) {
          Object.assign(side, { engine: "backdrop", version: "1.27.1" });
          change(side, "system", { removedUpTo: 7000 });
        }
        use(of, "views", { schema });
        change(of.here, "views", { schema });
        change(of.there, "views", there);
      }).filter((kind) => /^(schema|updates)-/.test(kind));
    expect(ofUpdates(1003, { schema: 1003, removedUpTo: 7101 })).toEqual([]);
    expect(ofUpdates(7101, { schema: 1003 })).toEqual([]);
    expect(ofUpdates(1003, { schema: 7101 })).toEqual(["schema-downgrade"]);
    expect(ofUpdates(7100, { schema: 1003, removedUpTo: 7101 })).toEqual(["updates-removed"]);
  });

  it("what could not be asked", () => {
    expect(none((of) => Object.assign(of.facts, { php: undefined, phpNow: undefined, database: undefined, space: undefined }))).toEqual([]);
  });

  it("extensions under a profile that is renamed with its directory", () => {
    const kinds = none((of) => {
      const inside = (profile: string): Package => ({
        type: "module",
        name: "acme_core",
        path: `profiles/${profile}/modules/acme_core`,
        schema: 7001,
      });
      add(of.here, inside("acme"));
      add(of.there, inside("acme2"));
      change(of.there, "acme", { name: "acme2", path: "profiles/acme2", oldShortName: "acme" });
      of.site.extensions.push(extension("acme_core", { path: "profiles/acme/modules/acme_core", schema: 7001 }));
    });
    expect(kinds).toEqual(["extension-moved", "profile-renamed"]);
  });
});

describe("Drupal 8 and later", () => {
  const d10 = (): Pair => {
    const of = pair();
    for (const side of [of.here, of.there]) {
      Object.assign(side, { engine: "drupal", version: "10.4.9" });
      side.packages = [
        { type: "module", name: "system", path: "core/modules/system", version: "10.4.9", schema: 10400, removedUpTo: 8901 },
        {
          type: "module",
          name: "token",
          path: "modules/contrib/token",
          version: "8.x-1.15",
          project: "token",
          core: "^9.2 || ^10 || ^11",
          composer: { name: "drupal/token", version: "1.15.0" },
        },
        { type: "profile", name: "minimal", path: "core/profiles/minimal", version: "10.4.9" },
      ];
    }
    of.site = {
      profile: "minimal",
      version: "10.4.9",
      missing: [],
      extensions: [
        {
          name: "system",
          type: "module",
          path: "core/modules/system",
          version: "10.4.9",
          project: undefined,
          enabled: true,
          schema: 10400,
        },
        {
          name: "token",
          type: "module",
          path: "modules/contrib/token",
          version: "8.x-1.15",
          project: "token",
          enabled: true,
          schema: 8000,
        },
        {
          name: "minimal",
          type: "profile",
          path: "core/profiles/minimal",
          version: "10.4.9",
          project: undefined,
          enabled: true,
          schema: 8000,
        },
      ],
    };
    of.target.source = { kind: "composer", name: "projects/d11" };
    return of;
  };
  const kinds = (of: Pair) => all(compared(of)).map(({ kind }) => kind);

  it("a clean pair finds nothing: without updates of its own an extension is at 8000", () => {
    expect(kinds(d10())).toEqual([]);
  });

  it("the constraint on core is Composer's", () => {
    const of = d10();
    Object.assign(of.there, { version: "11.1.0" });
    change(of.there, "token", { core: "^9.2 || ^10" });
    for (const name of ["system", "minimal"]) change(of.there, name, { version: "11.1.0" });
    expect(kinds(of)).toEqual(["extension-incompatible", "core-newer"]);
  });

  it("a missing extension is asked of Composer", () => {
    const of = d10();
    change(of.there, "token", undefined);
    const { blockers } = compared(of);
    expect(blockers.map(({ kind }) => kind)).toEqual(["extension-missing"]);
    expect(blockers[0]?.remedy).toMatch(
      /^composer require drupal\/token:1\.15 in projects\/d11, then provision verify @platform_new --rebuild/,
    );
  });

  it("a site whose profile was uninstalled needs none", () => {
    const of = d10();
    of.site.profile = undefined;
    of.site.extensions = of.site.extensions.filter(({ type }) => type !== "profile");
    change(of.there, "minimal", undefined);
    expect(kinds(of)).toEqual([]);
  });

  it("an extension that was a part of core, and is a project of its own now", () => {
    const of = d10();
    add(of.here, { type: "module", name: "forum", path: "core/modules/forum", version: "10.4.9" });
    of.site.extensions.push({
      name: "forum",
      type: "module",
      path: "core/modules/forum",
      version: "10.4.9",
      project: undefined,
      enabled: true,
      schema: 8000,
    });
    const { blockers } = compared(of);
    expect(blockers[0]?.message).toContain("which was a part of core");
    expect(blockers[0]?.remedy).toContain("composer require drupal/forum in");
  });
});
