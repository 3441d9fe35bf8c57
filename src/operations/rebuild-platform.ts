import { basename, join } from "node:path";
import { treeHashes } from "../builds/tree-hash.js";
import { resolvePlatform } from "../context/references.js";
import { ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import type { Operation, Step } from "../core/step.js";
import type { Core } from "../engines/engine.js";
import { detectCore } from "../engines/index.js";
import { file, gone } from "../steps/files.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { refuseDown } from "./parts/cluster.js";
import { codePlace, sourceName } from "./parts/code-place.js";
import {
  buildStep,
  builtReport,
  changedTree,
  currentBuild,
  linkTarget,
  readRecord,
  recordFile,
  recordStep,
  restoreLink,
} from "./parts/platform-code.js";
import { inventoryFile, inventoryText } from "./parts/platform-inventory.js";
import { answersOf, answersStep, type PlatformSite, reloadSites, reloadUndo, sitesOf } from "./parts/platform-sites.js";
import { broughtAndServed, type PlatformPlace, placesOf, servedHere, spokesCleanup } from "./parts/platform-spoke.js";
import { refuseConflicts } from "./parts/preflight.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Inputs extends PlatformPlace {
  /** Core of the build that serves now. */
  readonly core: Core;
  /** From the project to the docroot, wherever the context says it or the core was found. */
  readonly inner: string;
  readonly sites: readonly PlatformSite[];
  /** The build that serves now, and what leads to it. */
  readonly old: string;
  readonly oldTarget: string;
  /** Names below sites/ that go along. */
  readonly carried: readonly string[];
  /** Why the old build is kept; null: it is removed when all is well. */
  readonly kept: string | null;
  readonly baseline: Baseline;
}

export interface RebuildPlatformArgs {
  readonly name: string;
  readonly offline: boolean;
  /** Leave the old build where it is. */
  readonly keepOld: boolean;
}

/**
 * Builds a platform anew beside the old build, carries its sites' directories over, and exchanges the two by one rename of a link, while
 * the sites go on. A build that fails, or under which a site does not answer as before, leaves the old one serving.
 */
export const rebuildPlatform: Operation<RebuildPlatformArgs, Inputs, Services> = {
  name: "rebuild-platform",
  recovery: "automatic",

  async prepare({ name, offline, keepOld }, use, id) {
    const all = await resolvePlatform(use.store, use.settings, name, "all");
    const { platform, server } = all;
    refuseOtherUser(server);
    await refuseConflicts(use, platform);
    await refuseDown(all, use);
    const host = use.local;
    const place = codePlace(platform, use.layout);
    const { root, project } = place;
    const old = await oldBuild(name, sourceName(platform), place, use);
    if (platform.working_copy === true)
      throw new ProvisionError("REFUSED", `${name} is a working copy: a rebuild would take away what was done in it`, {
        next: [`provision verify ${name} --update`, `provision save ${name} --working_copy=false    # when nothing in it is to be kept`],
      });
    const core = await detectCore(host, root);
    const { sites, locks } = await sitesOf(all, use);
    const inner = core.docroot === project ? "" : core.docroot.slice(project.length + 1);
    const record = await readRecord(use, old);
    const changed = record === undefined ? undefined : changedTree(record, (await treeHashes(old)).parts, place.docroot);
    const kept =
      changed === undefined
        ? "there is no record of how it was built"
        : changed.length > 0
          ? `it was changed since it was built, in ${changed.slice(0, 8).join(", ")}`
          : keepOld
            ? KEEP_OLD
            : null;
    const build = join(use.layout.builds, `${basename(project)}-${id}`);
    const brought = new Set(Object.keys(record?.parts ?? {}));
    const carried = ((await host.list(join(core.docroot, "sites"))) ?? []).filter(
      (entry) => entry === "sites.php" || sites.some(({ directory }) => directory === entry) || !brought.has(join(inner, "sites", entry)),
    );
    const places = await placesOf(use, { ...all, ...place, build, offline }, sites, id, basename(build));
    for (const { server: on, spoke } of [places.place, ...(places.place.others ?? [])])
      await refuseOwnFiles(use.host(on), spoke ? join(spoke.place.project, inner) : core.docroot, sites);
    const paths = [project, build, recordFile(use.layout, build), inventoryFile(use, name), old, recordFile(use.layout, old)];
    return {
      inputs: {
        ...places.place,
        core,
        inner,
        sites,
        old,
        oldTarget: (await host.readLink(project)) ?? "",
        carried,
        kept,
        baseline: { ...(await baselineOf(host, paths)), ...places.baseline },
      },
      locks,
    };
  },

  steps(inputs, use) {
    const { platform, root, old, kept } = inputs;
    const host = use.local;
    const { webServer, sites } = servedHere(inputs);
    const built = servedOn(buildStep(inputs, use, async () => true));
    const carried = carrySites(inputs, use, built);
    const exchanged = exchange(inputs, use, carried);
    return [
      built,
      recordStep(inputs, use, built),
      carried,
      exchanged,
      answersStep(use, webServer, sites, exchanged),
      ...broughtAndServed(inputs, use, exchanged, async () => true),
      file(
        host,
        inventoryFile(use, platform.name),
        async (run) => {
          run.need(exchanged);
          return inventoryText(use, host, platform, await detectCore(host, root));
        },
        { mode: 0o644 },
        { id: "platform/core", title: "Record the core and the packages found" },
      ),
      ...(kept === KEEP_OLD ? [] : spokesCleanup(inputs, use)),
      removeOld(
        inputs,
        gone(host, kept === null ? [old, recordFile(use.layout, old), use.layout.codeCache(basename(old))] : [], {
          id: "platform/old",
          title: "Remove the old build",
          phase: "cleanup",
        }),
      ),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  async state({ platform, root, project }, use) {
    const host = use.local;
    const core = await detectCore(host, root);
    return `${platform.name} is ${core.engine} ${core.version}, served from ${basename((await host.realPath(project)) ?? project)}`;
  },
  async data({ root, build, old, kept, core, sites }, run, use) {
    const now = await detectCore(use.local, root);
    const report = builtReport(run.out({ id: "platform/build" } as Step));
    return {
      core: now as unknown as Json,
      root,
      build: { path: build, ...report } as unknown as Json,
      version: { from: core.version, to: now.version },
      sites: sites.map(({ name }) => name),
      ...(kept === null ? {} : { old }),
    };
  },
};

const KEEP_OLD = "--keep-old";

/** The build that serves now. Rejects with REFUSED for code that provision did not build, or has nothing to build from. */
async function oldBuild(
  name: string,
  source: string | undefined,
  { root, project }: ReturnType<typeof codePlace>,
  use: Services,
): Promise<string> {
  const old = await currentBuild(use.local, use.layout, { project });
  if (old !== undefined && source !== undefined) return old;
  if (!(await use.local.stat(root)))
    throw new ProvisionError("REFUSED", `${name} is not built yet`, { next: [`provision verify ${name}`] });
  throw new ProvisionError(
    "REFUSED",
    source === undefined
      ? `${name} names nothing it could be built from`
      : `${project} was not built by provision: it is no link to a build`,
    {
      why: ["a rebuild exchanges one build for another by renaming a link, and would have to take a directory away that is not ours"],
      state: "nothing was changed",
      next:
        source === undefined
          ? [`provision save ${name} --makefile=…`]
          : [`save a new platform with this source and another root, and move its sites there`],
    },
  );
}

/** What a site writes must not stand in the code: it would be copied, and what comes in between be lost. */
async function refuseOwnFiles(host: Services["local"], docroot: string, sites: readonly PlatformSite[]): Promise<void> {
  for (const { name, directory } of sites)
    for (const own of ["files", "private"]) {
      const path = join(docroot, "sites", directory, own);
      if ((await host.stat(path))?.type === "directory")
        throw new ProvisionError("REFUSED", `${name} keeps its ${own} inside the platform (${path})`, {
          why: ["while the code is exchanged, uploads would be lost"],
          state: "nothing was changed",
        });
    }
}

/** A build that fails says what is not there; what counts here is what serves on, and that is said when all is put back. */
function servedOn(step: Step): Step {
  return {
    ...step,
    async apply(run) {
      try {
        return await step.apply(run);
      } catch (error) {
        // A link that was lost keeps its own words, by which it is known.
        if (!(error instanceof ProvisionError) || "reached" in error) throw error;
        const { reasons: why, failures, next } = error;
        throw new ProvisionError(error.code, error.message, { why, failures, next, cause: error });
      }
    },
  };
}

/** Directories of sites, sites.php and whatever else the old build did not bring; they stay in the old one, too. */
function carrySites({ build, inner, core, carried, sites, platform }: Inputs, use: Services, built: Step): Step {
  const host = use.local;
  const from = join(core.docroot, "sites");
  const to = join(build, inner, "sites");
  return {
    id: "platform/sites",
    title: "Carry the sites over",
    undoneBy: "platform/build",
    async check(run) {
      run.need(built);
      return { changes: carried.map((name) => `copy sites/${name}`) };
    },
    async apply() {
      const fresh = await detectCore(host, join(build, inner)).catch((error: unknown) => {
        if (!(error instanceof ProvisionError)) throw error;
        throw error.with({ why: [`the core of ${platform.name} was found at ${inner === "" ? "the top" : inner} of the old build`] });
      });
      if (fresh.engine !== core.engine)
        throw new ProvisionError(
          "REFUSED",
          `what was built is ${fresh.engine} ${fresh.version}; ${platform.name} is ${core.engine} ${core.version}`,
          {
            why: ["sites come from one core to another by migrate, not by a rebuild below them"],
          },
        );
      const homeless = sites.filter(({ profile }) => core.profiles.includes(profile) && !fresh.profiles.includes(profile));
      if (homeless.length > 0)
        throw new ProvisionError("REFUSED", "what was built lacks install profiles that sites run on", {
          why: homeless.map(({ name, profile }) => `${name} runs on ${profile}`),
        });
      await host.mkdir(to);
      for (const name of carried) {
        const there = await host.stat(join(to, name));
        if (there && sites.some(({ directory }) => directory === name))
          throw new ProvisionError("REFUSED", `what was built brings its own sites/${name}, which belongs to a site`);
        if (there && name !== "sites.php") continue;
        await host.remove(join(to, name));
        await host.uploadTree(join(from, name), join(to, name));
      }
      return null;
    },
  };
}

/** The link leads to the new build, and PHP begins anew with it: one step, so that its undo ends with the old code running. */
function exchange(inputs: Inputs, use: Services, carried: Step): Step {
  const { project, build, oldTarget } = inputs;
  const host = use.local;
  const here = servedHere(inputs);
  const { webServer, sites } = here;
  const target = linkTarget(inputs, build, use.layout);
  return {
    id: "platform/exchange",
    title: `Exchange the build at ${project}`,
    async check(run) {
      if (inputs.carried.length > 0) run.need(carried);
      else run.need({ id: "platform/build", title: "the build" } as Step);
      return {
        changes: [`point ${project} to ${target} (is ${oldTarget})`, ...(sites.length > 0 ? [`reload PHP of ${webServer.name}`] : [])],
        // Undone from the end: first the link, then PHP.
        undo: [...reloadUndo(use, here, sites), restoreLink(host, project, oldTarget)],
      };
    },
    async apply() {
      const before = await answersOf(use, webServer, sites);
      await host.symlink(target, project);
      await reloadSites(use, here, sites);
      return before;
    },
  };
}

/** Says why an old build stays. */
function removeOld({ old, kept }: Inputs, step: Step): Step {
  return {
    ...step,
    title: kept === null ? step.title : "Keep the old build",
    async check(run) {
      if (kept !== null && kept !== KEEP_OLD) run.warn(`the old build is kept at ${old}: ${kept}`);
      return step.check(run);
    },
  };
}
