import { basename, dirname, join } from "node:path";
import { resolvePlatform } from "../context/references.js";
import { isThisMachine } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import type { Operation, Run, Step } from "../core/step.js";
import type { Core } from "../engines/engine.js";
import { detectCore } from "../engines/index.js";
import { file } from "../steps/files.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { membersOf, onEach, refuseDown } from "./parts/cluster.js";
import { codePlace, sourceName } from "./parts/code-place.js";
import { platformLocks } from "./parts/locks.js";
import { buildStep, builtReport, driftStep, linkTarget, recordFile, recordStep, restoreLink } from "./parts/platform-code.js";
import { inventoryFile, inventoryText } from "./parts/platform-inventory.js";
import { sitesOf } from "./parts/platform-sites.js";
import { broughtAndServed, type PlatformPlace, placesOf, spokesCleanup } from "./parts/platform-spoke.js";
import { refuseConflicts } from "./parts/preflight.js";
import { sitesPhpEntries } from "./parts/sites-php.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Inputs extends PlatformPlace {
  readonly full: boolean;
  readonly baseline: Baseline;
}

export interface VerifyPlatformArgs {
  readonly name: string;
  /** Nothing from the network: caches, mirrors on disk and local files only. */
  readonly offline?: boolean;
  /** Look at every file and at the repository, too, when comparing with what was built. */
  readonly full?: boolean;
}

/** Builds the platform when its root is missing, finds out what core it is, and makes its sites.php; a built platform is never built again. */
export const verifyPlatform: Operation<VerifyPlatformArgs, Inputs, Services> = {
  name: "verify-platform",
  recovery: "automatic",

  async prepare({ name, offline = false, full = false }, use, id) {
    const all = await resolvePlatform(use.store, use.settings, name, "all");
    const { platform, server } = all;
    refuseOtherUser(server);
    await refuseConflicts(use, platform);
    await refuseDown(all, use);
    const host = use.local;
    const place = codePlace(platform, use.layout);
    const { root, project } = place;
    if (!(await host.stat(root))) {
      if (sourceName(platform) === undefined) {
        throw new ProvisionError("FILE_NOT_FOUND", `the root of ${name} does not exist: ${root}`, {
          why: ["the context names nothing it could be built from"],
          next: [`provision save ${name} --makefile=…    # or --composer, --git, --archive`, `provision save ${name} --root=…`],
        });
      }
      if (await host.stat(project))
        throw new ProvisionError("NAME_TAKEN", `${project} is there, but has no ${place.docroot} that ${name} could stand in`, {
          state: "it was not touched",
          next: [`provision save ${name} --root=…`, `move ${project} away, and verify again`],
        });
    } else await detectCore(host, root);
    const build = join(use.layout.builds, `${basename(project)}-${id}`);
    const paths = [project, build, recordFile(use.layout, build), inventoryFile(use, name)];
    const { sites, locks } = membersOf(all).every((member) => isThisMachine(member.server.remote_host))
      ? { sites: [], locks: platformLocks(all) }
      : await sitesOf(all, use);
    const places = await placesOf(use, { ...all, ...place, build, offline }, sites, id);
    return { inputs: { ...places.place, full, baseline: { ...(await baselineOf(host, paths)), ...places.baseline } }, locks };
  },

  steps(inputs, use) {
    const { platform, root } = inputs;
    const host = use.local;
    const build = buildStep(inputs, use, async () => !(await host.stat(root)));
    const core = async (run: Run): Promise<Core> => {
      if (!(await host.stat(root))) run.need(build);
      return detectCore(host, root);
    };
    return [
      build,
      recordStep(inputs, use, build),
      place(inputs, use, build),
      file(
        host,
        inventoryFile(use, platform.name),
        async (run) => inventoryText(use, host, platform, await core(run)),
        { mode: 0o644 },
        {
          id: "platform/core",
          title: "Record the core and the packages found",
        },
      ),
      ...broughtAndServed(inputs, use, build),
      ...onEach<PlatformPlace>(inputs, (at) => [emptySitesPhp(at, use, build)]),
      driftStep(inputs, use, inputs.full),
      ...spokesCleanup(inputs, use),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  async state({ platform, root }, use) {
    const host = use.local;
    if (!(await host.stat(root))) return `${platform.name} has no code yet (${root} does not exist)`;
    const core = await detectCore(host, root);
    return `${platform.name} is ${core.engine} ${core.version} at ${root}`;
  },
  async data({ root }, run, use) {
    const core = await detectCore(use.local, root);
    const built = builtReport(run.out(buildOut));
    return { core: core as unknown as Json, root, ...(built === undefined ? {} : { build: built as unknown as Json }) };
  },
};

/** Names the build step's result, for `data`. */
const buildOut = { id: "platform/build" } as Step;

/** project is a link to the build, made by one rename; a later build can take its place the same way. */
function place(inputs: Inputs, use: Services, built: Step): Step {
  const { root, project, build } = inputs;
  const host = use.local;
  const target = linkTarget(inputs, build, use.layout);
  return {
    id: "platform/place",
    title: `Place it at ${project}`,
    async check(run) {
      if (await host.stat(root)) return { changes: [] };
      run.need(built);
      return { changes: [`link ${project} to ${target}`], undo: [restoreLink(host, project, null)] };
    },
    async apply() {
      await host.mkdir(dirname(project));
      await host.symlink(target, project);
      return null;
    },
  };
}

/** Core looks at the names of sites only when sites.php is there. */
function emptySitesPhp({ server, root: onHub, spoke }: PlatformPlace, use: Services, built: Step): Step {
  const host = use.host(server);
  const root = spoke?.place.root ?? onHub;
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
