import { basename, dirname, join, relative } from "node:path";
import { buildSource } from "../builds/index.js";
import type { BuildSource } from "../builds/source.js";
import { mirrorPlaces } from "../context/hub.js";
import { type PlatformAndServers, resolvePlatform } from "../context/references.js";
import { ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import type { Operation, Run, Step } from "../core/step.js";
import type { Core } from "../engines/engine.js";
import { detectCore } from "../engines/index.js";
import { file, undoParents } from "../steps/files.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { platformLocks } from "./parts/locks.js";
import { refuseConflicts } from "./parts/preflight.js";
import { sitesPhpEntries } from "./parts/sites-php.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Inputs extends PlatformAndServers {
  /** Absolute. */
  readonly root: string;
  /** Where the code of a new build stands; root becomes a link to it. */
  readonly build: string;
  readonly baseline: Baseline;
  readonly offline: boolean;
}

export interface VerifyPlatformArgs {
  readonly name: string;
  /** Nothing from the network: caches, mirrors on disk and local files only. */
  readonly offline?: boolean;
}

const JOBS = 4;

/** Builds the platform when its root is missing, finds out what core it is, and makes its sites.php; a built platform is never built again. */
export const verifyPlatform: Operation<VerifyPlatformArgs, Inputs, Services> = {
  name: "verify-platform",
  recovery: "automatic",

  async prepare({ name, offline = false }, use, id) {
    const all = await resolvePlatform(use.store, use.settings, name);
    const { platform, server } = all;
    refuseOtherUser(server);
    await refuseConflicts(use, platform);
    const host = use.host(server);
    const root = use.layout.resolve(platform.root);
    if (!(await host.stat(root))) {
      if (platform.makefile === undefined) {
        throw new ProvisionError("FILE_NOT_FOUND", `the root of ${name} does not exist: ${root}`, {
          why: ["the context names nothing it could be built from"],
          next: [`provision save ${name} --makefile=…`, `provision save ${name} --root=…`],
        });
      }
    } else await detectCore(host, root);
    const build = join(use.layout.builds, `${basename(root)}-${id}`);
    return {
      inputs: { ...all, root, build, offline, baseline: await baselineOf(host, [root, build, inventoryFile(use, name)]) },
      locks: platformLocks(all),
    };
  },

  steps(inputs, use) {
    const { platform, server, root } = inputs;
    const host = use.host(server);
    const build = buildStep(inputs, use);
    const core = async (run: Run): Promise<Core> => {
      if (!(await host.stat(root))) run.need(build);
      return detectCore(host, root);
    };
    return [
      build,
      place(inputs, use, build),
      file(
        host,
        inventoryFile(use, platform.name),
        async (run) => `${JSON.stringify(await core(run), null, 2)}\n`,
        { mode: 0o644 },
        {
          id: "platform/core",
          title: "Record the core found",
        },
      ),
      emptySitesPhp(inputs, use, build),
    ];
  },

  confirm: ({ server, baseline }, use) => differences(use.host(server), baseline),
  async state({ platform, server, root }, use) {
    const host = use.host(server);
    if (!(await host.stat(root))) return `${platform.name} has no code yet (${root} does not exist)`;
    const core = await detectCore(host, root);
    return `${platform.name} is ${core.engine} ${core.version} at ${root}`;
  },
  async data({ server, root }, run, use) {
    const core = await detectCore(use.host(server), root);
    const built = run.out(buildReport);
    return { core: core as unknown as Json, root, ...(built === undefined ? {} : { build: built }) };
  },
};

/** Names the build step's result, for `data`. */
const buildReport = { id: "platform/build" } as Step;

/** What verify found out, for commands that need no PHP to know it. */
export function inventoryFile(use: Services, name: string): string {
  return join(use.layout.state, "platforms", `${name.slice(1)}.json`);
}

function sourceOf({ platform }: Inputs, use: Services): BuildSource {
  const { makefile } = platform;
  const source =
    makefile === undefined ? undefined : buildSource({ makefile: /^https?:/.test(makefile) ? makefile : use.layout.resolve(makefile) });
  if (!source) throw new ProvisionError("FAILED", `${platform.name} names nothing it could be built from`);
  return source;
}

/** Named after the build, so that what a kill leaves of it is found by the undo. */
function stagingOf(build: string): string {
  return join(dirname(build), `.${basename(build)}.building`);
}

/** Beside the root, under a name of its own: never half a platform where sites look for one. */
function buildStep(inputs: Inputs, use: Services): Step {
  const { platform, server, root, build } = inputs;
  const host = use.host(server);
  return {
    id: "platform/build",
    title: platform.makefile === undefined ? `Code of ${platform.name}` : `Build ${platform.name} from ${platform.makefile}`,
    async check() {
      if (await host.stat(root)) return { changes: [] };
      const trees = [build, stagingOf(build)].map((path) => ({ do: "remove_tree", host: host.name, path }));
      return { changes: [`build ${root}`], undo: [...(await undoParents(host, build)), ...trees] };
    },
    async apply(run) {
      const report = await sourceOf(inputs, use).build({
        host,
        destination: build,
        staging: stagingOf(build),
        cache: use.layout.cache,
        mirrors: mirrorPlaces(use.layout, use.settings.mirrors),
        offline: inputs.offline,
        jobs: JOBS,
        signal: run.signal,
        progress: run.progress,
      });
      for (const warning of report.warnings) run.warn(warning);
      return report as unknown as Json;
    },
  };
}

/** root is a link to the build, made by one rename; a later build can take its place the same way. */
function place({ server, root, build }: Inputs, use: Services, built: Step): Step {
  const host = use.host(server);
  const target = root.startsWith(`${use.layout.root}/`) ? relative(dirname(root), build) : build;
  return {
    id: "platform/place",
    title: `Place it at ${root}`,
    async check(run) {
      if (await host.stat(root)) return { changes: [] };
      run.need(built);
      return {
        changes: [`link ${root} to ${target}`],
        undo: [...(await undoParents(host, root)), { do: "restore_link", host: host.name, path: root, target: null }],
      };
    },
    async apply() {
      await host.mkdir(dirname(root));
      await host.symlink(target, root);
      return null;
    },
  };
}

/** Core looks at the names of sites only when sites.php is there. */
function emptySitesPhp({ server, root }: Inputs, use: Services, built: Step): Step {
  const host = use.host(server);
  const step = async () => {
    const core = await detectCore(host, root);
    return sitesPhpEntries(
      { host, engine: use.engine(core.engine), docroot: core.docroot, locks: use.operations.locks },
      async () => ({}),
      {
        id: "platform/sites.php",
        title: "sites.php",
      },
    );
  };
  return {
    id: "platform/sites.php",
    title: "sites.php",
    async check(run) {
      if (!(await host.stat(root))) run.need(built);
      return (await step()).check(run);
    },
    apply: async (run) => (await step()).apply(run),
  };
}
