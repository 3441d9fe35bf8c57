import { access } from "node:fs/promises";
import { join } from "node:path";
import { packageOffered } from "../builds/composer/index.js";
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

/** Of the platform that is built from it, when Composer builds it. */
export const PROJECT = "drupal/recommended-project";
/** Where Composer asks by itself; an operator's COMPOSER_HOME may name other places. */
const REGISTRY = "https://repo.packagist.org/packages.json";

/** What can be built by Composer, newest first, and the PHP that each needs. */
const COMPOSED = [
  { drupal: "11", php: "8.3.0" },
  { drupal: "10", php: "8.1.0" },
] as const;

export const DRUPALS: readonly string[] = ["7", ...COMPOSED.map(({ drupal }) => drupal)];

export interface DemoArgs {
  /** Context of the demo's platform. */
  readonly platform: string;
  /** One of DRUPALS; undefined: the newest that can be had. */
  readonly drupal: string | undefined;
  /** The sample core, whatever can be reached. */
  readonly sample: boolean;
  /** URL prefix → directory or URL; entered into provision.yml. */
  readonly mirrors: Readonly<Record<string, string>>;
}

interface Inputs {
  /** Versions of PROJECT, when Composer builds the platform; null: a make file does. */
  readonly composer: string | null;
  /** Why it is not Composer, for somebody who expected it. */
  readonly why: string | null;
  readonly real: boolean;
  readonly mirrors: Readonly<Record<string, string>>;
  readonly baseline: Baseline;
}

/** What the demo builds, chosen once by what can be had: current Drupal by Composer, Drupal 7 or the sample core by a make file. */
export const demoFiles: Operation<DemoArgs, Inputs, Services> = {
  name: "demo",
  recovery: "automatic",

  async prepare({ platform, drupal, sample, mirrors }, use) {
    const all = { ...use.settings.mirrors, ...mirrors };
    const path = makePath(use);
    const known = await use.local.readFile(path);
    const saved = await use.store.read(platform);
    const before = saved?.context_type === "platform" ? (saved.composer_version ?? null) : null;
    // Mirrors are of what make files name.
    const make =
      sample || known !== undefined || saved !== undefined || drupal === "7" || (drupal === undefined && Object.keys(all).length > 0);
    const chosen = make ? { composer: before, why: null } : await choose(use, drupal);
    const real = chosen.composer !== null || (known === undefined ? !sample && (await reachable(use, all)) : known !== SAMPLE_MAKE);
    return {
      inputs: { ...chosen, real, mirrors, baseline: await baselineOf(use.local, [path, use.layout.settings]) },
      locks: [{ kind: "hub", name: "hub", mode: "exclusive" }],
    };
  },

  steps({ composer, real, mirrors }, use) {
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
      { ...make, check: async (run) => (composer !== null || (await use.local.stat(path)) ? { changes: [] } : make.check(run)) },
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

  confirm: ({ baseline }, use) => differences(use, baseline),
  data: async ({ composer, why, real }) => ({ sample: !real, composer, why }),
};

/** The newest Drupal, or the one that was asked for, that this PHP runs and Composer can get; else why there is none. */
async function choose(use: Services, drupal: string | undefined): Promise<Pick<Inputs, "composer" | "why">> {
  const { stdout: php } = await use.local.run(["php", "-r", "echo PHP_VERSION;"]);
  const wanted = COMPOSED.filter((each) => drupal === undefined || each.drupal === drupal);
  const suited = wanted.filter((each) => php.localeCompare(each.php, "en", { numeric: true }) >= 0);
  const [least] = wanted.slice(-1);
  if (suited.length === 0) return { composer: null, why: `Drupal ${least?.drupal} needs PHP ${least?.php}, and this is ${php}` };
  if (process.env["COMPOSER_HOME"] === undefined && !(await answers(REGISTRY)))
    return { composer: null, why: `Composer's registry could not be reached` };
  for (const { drupal: major } of suited) {
    const version = `^${major}`;
    if (await packageOffered({ host: use.local, cache: use.layout.cache }, PROJECT, version)) return { composer: version, why: null };
  }
  return { composer: null, why: `Composer does not offer ${PROJECT} ${suited.map(({ drupal: major }) => `^${major}`).join(" or ")}` };
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { method: "HEAD", signal: AbortSignal.timeout(PATIENCE) })).ok;
  } catch {
    return false;
  }
}

function makePath(use: Services): string {
  return join(use.layout.root, "makes", "demo.make");
}

/** Whether drupal.org, or a mirror of it, answers within some seconds. */
async function reachable(use: Services, mirrors: Readonly<Record<string, string>>): Promise<boolean> {
  for (const place of withMirrors(RELEASES, mirrorPlaces(use.layout, mirrors))) {
    try {
      if ("path" in place) await access(place.path);
      else if (!(await answers(place.url))) continue;
      return true;
    } catch {
      // Not there, no network, too slow: the next one.
    }
  }
  return false;
}
