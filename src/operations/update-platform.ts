import { advance, branchOf, commitAtOrigin, commitOf, localChanges } from "../builds/git/working-copy.js";
import { buildInputs } from "../builds/inputs.js";
import { treeHashes } from "../builds/tree-hash.js";
import { mirrorPlaces } from "../context/hub.js";
import { resolvePlatform } from "../context/references.js";
import { ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import type { Operation, Step } from "../core/step.js";
import { detectCore } from "../engines/index.js";
import { file } from "../steps/files.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { refuseDown } from "./parts/cluster.js";
import { codePlace } from "./parts/code-place.js";
import { type BuildRecord, currentBuild, platformCode, readRecord, recordFile } from "./parts/platform-code.js";
import { inventoryFile, inventoryText } from "./parts/platform-inventory.js";
import { answersOf, answersStep, type PlatformSite, reloadSites, reloadUndo, sitesOf } from "./parts/platform-sites.js";
import { broughtAndServed, type PlatformPlace, placesOf, servedHere, spokesCleanup } from "./parts/platform-spoke.js";
import { refuseConflicts } from "./parts/preflight.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Inputs extends PlatformPlace {
  readonly sites: readonly PlatformSite[];
  /** Commit and branch before. */
  readonly commit: string;
  readonly branch: string | null;
  /** What origin has now. */
  readonly target: string;
  readonly url: string;
  readonly baseline: Baseline;
}

/**
 * Brings a working copy up to date in place, by git alone. Refused when files under version control were changed, when it has commits
 * of its own, or when Composer would have to install something else: that is for whoever works in it.
 */
export const updatePlatform: Operation<{ readonly name: string }, Inputs, Services> = {
  name: "update-platform",
  recovery: "automatic",

  async prepare({ name }, use, id) {
    const all = await resolvePlatform(use.store, use.settings, name, "all");
    const { platform, server } = all;
    refuseOtherUser(server);
    await refuseConflicts(use, platform);
    await refuseDown(all, use);
    const host = use.local;
    const place = codePlace(platform, use.layout);
    const build = await currentBuild(host, use.layout, place);
    const { git } = platformCode(all, use.layout);
    if (git === undefined || platform.working_copy !== true || build === undefined || !(await host.stat(`${build}/.git`)))
      throw new ProvisionError("REFUSED", `${name} is not a working copy`, {
        why: [git === undefined ? "it does not come from a git repository" : "it was built without its .git"],
        state: "nothing was changed",
        next: [`provision verify ${name} --rebuild`],
      });
    await detectCore(host, place.root);
    const changes = await localChanges(host, build);
    if (changes.length > 0)
      throw new ProvisionError("REFUSED", `${name} has local changes that are not committed`, {
        why: changes.slice(0, 20),
        state: "nothing was changed",
        next: [`git -C ${place.project} stash    # or commit and push them`],
      });
    const target = await commitAtOrigin(host, git.git, git.ref, mirrorPlaces(use.layout, use.settings.mirrors));
    const { sites, locks } = await sitesOf(all, use);
    const places = await placesOf(use, { ...all, ...place, build, offline: false }, sites, id);
    return {
      inputs: {
        ...places.place,
        sites,
        commit: await commitOf(host, build),
        branch: (await branchOf(host, build)) ?? null,
        target,
        url: git.git,
        baseline: { ...(await baselineOf(host, [recordFile(use.layout, build), inventoryFile(use, name)])), ...places.baseline },
      },
      locks,
    };
  },

  steps(inputs, use) {
    const { platform, root, build } = inputs;
    const host = use.local;
    const { webServer, sites } = servedHere(inputs);
    const updated = checkout(inputs, use);
    return [
      updated,
      ...(inputs.commit === inputs.target ? [] : [answersStep(use, webServer, sites, updated)]),
      ...broughtAndServed(inputs, use, updated, async () => inputs.commit !== inputs.target),
      file(
        host,
        inventoryFile(use, platform.name),
        async (run) => {
          if (inputs.commit !== inputs.target) run.need(updated);
          return inventoryText(use, host, platform, await detectCore(host, root));
        },
        { mode: 0o644 },
        { id: "platform/core", title: "Record the core and the packages found" },
      ),
      file(
        host,
        recordFile(use.layout, build),
        async (run) => {
          const record = await readRecord(use, build);
          if (inputs.commit === inputs.target || record === undefined) return record && text(record);
          run.need(updated);
          const resolved = { ...record.resolved, commit: inputs.target };
          return text({
            ...record,
            inputs: await buildInputs(platformCode(inputs, use.layout), host),
            resolved,
            ...(await treeHashes(build)),
          });
        },
        { mode: 0o644 },
        { id: "platform/record", title: "Record what it is now" },
      ),
      ...spokesCleanup(inputs, use),
    ];
  },

  async confirm({ baseline, build, commit }, use) {
    const now = await commitOf(use.local, build);
    return [...(now === commit ? [] : [`${build} is at ${now}, was at ${commit}`]), ...(await differences(use, baseline))];
  },
  state: async ({ platform, build }, use) => `${platform.name} stands at commit ${(await commitOf(use.local, build)).slice(0, 12)}`,
  async data({ root, commit, target, sites }, _run, use) {
    const core = await detectCore(use.local, root);
    return { core: core as unknown as Json, root, commit: { from: commit, to: target }, sites: sites.map(({ name }) => name) };
  },
};

function text(record: BuildRecord): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}

/** What git fetches and checks out; then PHP begins anew with it. */
function checkout(inputs: Inputs, use: Services): Step {
  const { platform, build, commit, branch, target, url } = inputs;
  const host = use.local;
  const here = servedHere(inputs);
  const { webServer, sites } = here;
  return {
    id: "platform/checkout",
    title: `Bring ${platform.name} to ${target.slice(0, 12)}`,
    async check() {
      if (commit === target) return { changes: [] };
      return {
        changes: [
          `check out ${target.slice(0, 12)} (is ${commit.slice(0, 12)})`,
          ...(sites.length > 0 ? [`reload PHP of ${webServer.name}`] : []),
        ],
        undo: [...reloadUndo(use, here, sites), { do: "git_checkout", host: host.name, path: build, commit, branch }],
      };
    },
    async apply() {
      const before = await dependencies(inputs, use);
      const answers = await answersOf(use, webServer, sites);
      await advance(host, build, { url, mirrors: mirrorPlaces(use.layout, use.settings.mirrors) }, target);
      if (JSON.stringify(await dependencies(inputs, use)) !== JSON.stringify(before))
        throw new ProvisionError(
          "REFUSED",
          `between ${commit.slice(0, 12)} and ${target.slice(0, 12)} composer.json or composer.lock changed`,
          {
            why: ["a working copy is brought up to date by git alone; what Composer installs would no longer fit"],
            next: [
              `git pull and composer install in ${inputs.project}`,
              `provision save ${platform.name} --working_copy=false, then provision verify ${platform.name} --rebuild`,
            ],
          },
        );
      await detectCore(host, inputs.root);
      await reloadSites(use, here, sites);
      return answers;
    },
  };
}

async function dependencies({ build }: Inputs, use: Services): Promise<readonly (string | undefined)[]> {
  const host = use.local;
  return [await host.readFile(`${build}/composer.json`), await host.readFile(`${build}/composer.lock`)];
}
