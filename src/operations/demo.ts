import { access } from "node:fs/promises";
import { join } from "node:path";
import { withMirrors } from "../builds/make/address.js";
import { rewrite } from "../context/edit.js";
import { mirrorPlaces } from "../context/hub.js";
import { readText } from "../context/yaml-file.js";
import { PACKAGE_ROOT } from "../core/package-root.js";
import type { Operation } from "../core/step.js";
import { directories, file } from "../steps/files.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import type { Services } from "./services.js";

/** Where drupal.org tells which releases there are (drush make's default location). */
const RELEASES = "https://updates.drupal.org/release-history/drupal/7.x";
const SAMPLE = join(PACKAGE_ROOT, "src/demo/sample");
const PATIENCE = 5000;

const REAL_MAKE = `; The newest Drupal 7, from drupal.org or the mirror in provision.yml.
core = 7.x
api = 2
projects[drupal][type] = core
`;
const SAMPLE_MAKE = `; The sample core that comes with provision. It is not Drupal: the download servers could not be reached.
core = 7.x
api = 2
projects[drupal][type] = core
projects[drupal][download][type] = copy
projects[drupal][download][url] = "${SAMPLE}"
`;

export interface DemoArgs {
  /** The sample core, whatever can be reached. */
  readonly sample: boolean;
  /** URL prefix → directory or URL; entered into provision.yml. */
  readonly mirrors: Readonly<Record<string, string>>;
}

interface Inputs {
  readonly real: boolean;
  readonly mirrors: Readonly<Record<string, string>>;
  readonly baseline: Baseline;
}

/** The make file of the demo, chosen once by what can be reached: real Drupal 7, else the sample core. */
export const demoFiles: Operation<DemoArgs, Inputs, Services> = {
  name: "demo",
  recovery: "automatic",

  async prepare({ sample, mirrors }, use) {
    const all = { ...use.settings.mirrors, ...mirrors };
    const path = makePath(use);
    const known = await use.local.readFile(path);
    const real = known === undefined ? !sample && (await reachable(use, all)) : known !== SAMPLE_MAKE;
    return {
      inputs: { real, mirrors, baseline: await baselineOf(use.local, [path, use.layout.settings]) },
      locks: [{ kind: "hub", name: "hub", mode: "exclusive" }],
    };
  },

  steps({ real, mirrors }, use) {
    const path = makePath(use);
    const make = file(
      use.local,
      path,
      async () => (real ? REAL_MAKE : SAMPLE_MAKE),
      { mode: 0o644 },
      { id: "make", title: "Make file of the demo" },
    );
    return [
      directories(use.local, [{ path: join(path, ".."), ownership: {} }], { id: "directories", title: "Directory for make files" }),
      // What the operator made of it stays.
      { ...make, check: async (run) => ((await use.local.stat(path)) ? { changes: [] } : make.check(run)) },
      file(
        use.local,
        use.layout.settings,
        async () =>
          rewrite(
            await readText(use.layout.settings),
            "hub",
            Object.keys(mirrors).length === 0 ? new Map() : new Map([["mirrors", { ...use.settings.mirrors, ...mirrors }]]),
            use.layout.settings,
          ),
        { mode: 0o644 },
        { id: "mirrors", title: "Mirrors in provision.yml" },
      ),
    ];
  },

  confirm: ({ baseline }, use) => differences(use.local, baseline),
  data: async ({ real }) => ({ sample: !real }),
};

function makePath(use: Services): string {
  return join(use.layout.root, "makes", "demo.make");
}

/** Whether drupal.org, or a mirror of it, answers within some seconds. */
async function reachable(use: Services, mirrors: Readonly<Record<string, string>>): Promise<boolean> {
  for (const place of withMirrors(RELEASES, mirrorPlaces(use.layout, mirrors))) {
    try {
      if ("path" in place) await access(place.path);
      else if (!(await fetch(place.url, { method: "HEAD", signal: AbortSignal.timeout(PATIENCE) })).ok) continue;
      return true;
    } catch {
      // Not there, no network, too slow: the next one.
    }
  }
  return false;
}
