import { basename, dirname, join } from "node:path";
import { isThisMachine, type Server } from "../../context/schema.js";
import { ProvisionError } from "../../core/errors.js";
import type { Step } from "../../core/step.js";
import { detectCore } from "../../engines/index.js";
import { type Host, HostError } from "../../host/host.js";
import { syncTree } from "../../host/sync-tree.js";
import { gone } from "../../steps/files.js";
import type { Services } from "../services.js";
import { type Baseline, baselineOf } from "./baseline.js";
import { membersOf, onEach, onMember } from "./cluster.js";
import { type CodePlace, codePlace } from "./code-place.js";
import { type BuildInputs, currentBuild, linkTarget, restoreLink } from "./platform-code.js";
import { answersOf, answersStep, type PlatformSite, reloadSites, reloadUndo } from "./platform-sites.js";

/** Where the code of a platform stands on the machine that it runs on, beside where the hub has it; JSON. */
export interface Spoke {
  readonly place: CodePlace;
  /** What serves there now; null: nothing stands there yet. */
  readonly old: string | null;
  /** Where the next state of the code is put together. */
  readonly build: string;
  /** Served from there. */
  readonly sites: readonly PlatformSite[];
}

/** A platform as one machine has it. */
export interface PlatformPlace extends BuildInputs {
  /** Where the code runs, when that is another machine. */
  readonly spoke?: Spoke;
  /** The other members of a cluster. */
  readonly others?: readonly PlatformPlace[];
}

/**
 * Every machine that a platform is on, the first with the others in it, and what stands there of it. `name`: of the next build there; default: as the
 * hub's is called. Rejects as `spokeOf`.
 */
export async function placesOf(use: Services, all: BuildInputs, sites: readonly PlatformSite[], id: string, name?: string) {
  const places: PlatformPlace[] = [];
  let baseline: Baseline = {};
  for (const member of membersOf(all)) {
    const spoke = await spokeOf(use, member, sites, id, name);
    places.push({ ...member, ...(spoke ? { spoke } : {}) });
    if (spoke) baseline = { ...baseline, ...(await baselineOf(use.host(member.server), [spoke.place.project, spoke.build])) };
  }
  const [first, ...others] = places as [PlatformPlace, ...PlatformPlace[]];
  return { place: { ...first, ...(others.length === 0 ? {} : { others }) } satisfies PlatformPlace, baseline };
}

/**
 * On other machines. It is brought to all members of a cluster before the first of them serves it; one where a site fails takes it back on all. `ahead`:
 * whether `built` makes another code of it than the hub has now.
 */
export function broughtAndServed(
  inputs: PlatformPlace,
  use: Services,
  built: Step,
  ahead: () => Promise<boolean> = async () => !(await use.local.stat(inputs.root)),
): readonly Step[] {
  const parts = [inputs, ...(inputs.others ?? [])].map((at) => {
    const steps = at.spoke ? spokeSteps(at, at.spoke, use, built, ahead) : [];
    return at === inputs ? steps : onMember(at.webServer, steps);
  });
  return [...parts.flatMap(([brought]) => brought ?? []), ...parts.flatMap(([, ...served]) => served)];
}

/** What the hub itself serves of it; of a platform on other machines its build is only a source. */
export function servedHere(inputs: PlatformPlace & { readonly sites: readonly PlatformSite[] }) {
  const here = [inputs, ...(inputs.others ?? [])].find(({ spoke }) => spoke === undefined);
  return here ? { ...here, sites: inputs.sites } : { ...inputs, sites: [] };
}

/** The code that served there before goes when other serves. */
export function spokesCleanup(inputs: PlatformPlace, use: Services): readonly Step[] {
  return onEach<PlatformPlace>(inputs, (at) => (at.spoke ? [spokeCleanup(at, at.spoke, use)] : []));
}

/**
 * The code is built on the hub, whose build keeps no sites, and brought to the machine of its web server (never the directories of sites). Undefined for
 * a platform of the hub itself. Rejects with NAME_TAKEN when something that is not ours stands there.
 */
async function spokeOf(
  use: Services,
  { platform, server, project, build }: BuildInputs,
  sites: readonly PlatformSite[],
  id: string,
  next?: string,
): Promise<Spoke | undefined> {
  if (isThisMachine(server.remote_host)) return undefined;
  const host = use.host(server);
  const layout = use.layoutOf(server);
  const place = codePlace(platform, layout);
  const old = (await currentBuild(host, layout, place)) ?? null;
  if (old === null && (await host.stat(place.project)))
    throw new ProvisionError("NAME_TAKEN", `${host.name}:${place.project} is there already, and was not brought there by provision`, {
      state: "it was not touched",
      next: [`provision save ${platform.name} --root=…`, "move it away, and verify again"],
    });
  // By the name of the hub's build, which its record has, too.
  const ours = await currentBuild(use.local, use.layout, { project });
  const name = next ?? basename(ours ?? build);
  const free = (await host.stat(join(layout.builds, name))) === undefined;
  return { place, old, build: join(layout.builds, free ? name : `${basename(project)}-${id}`), sites };
}

/** The hub's code is brought there and takes its place by one rename, and the sites answer. Nothing when it is the same. */
function spokeSteps(inputs: BuildInputs, spoke: Spoke, use: Services, built: Step, ahead: () => Promise<boolean>): readonly Step[] {
  const { server, webServer } = inputs;
  const { place, old, build, sites } = spoke;
  const host = use.host(server);
  const brought = bring(inputs, spoke, use, built, ahead);
  const placed: Step = {
    id: "spoke/place",
    title: `Serve it from ${host.name}:${place.project}`,
    async check(run) {
      const target = linkTarget(place, build, use.layoutOf(server));
      // What was brought, or in a dry run would be.
      if (run.out(brought) === undefined && (await brought.check(run)).changes.length === 0) return { changes: [] };
      const was = old === null ? null : ((await host.readLink(place.project)) ?? null);
      return {
        changes: [
          `link ${place.project} to ${target}${was === null ? "" : ` (is ${was})`}`,
          ...(sites.length > 0 ? [`reload PHP of ${webServer.name}`] : []),
        ],
        // Undone from the end: first the link, then PHP.
        undo: [...reloadUndo(use, inputs, sites), restoreLink(host, place.project, was)],
      };
    },
    async apply() {
      await detectCore(host, join(build, place.docroot));
      const before = await answersOf(use, webServer, sites);
      await host.mkdir(dirname(place.project));
      await host.symlink(linkTarget(place, build, use.layoutOf(server)), place.project);
      await reloadSites(use, inputs, sites);
      return before;
    },
  };
  const answers = answersStep(use, webServer, sites, placed);
  return [
    brought,
    placed,
    { ...answers, id: "spoke/answers", check: async (run) => (run.out(placed) === undefined ? { changes: [] } : answers.check(run)) },
  ];
}

/**
 * The code that served before goes when other serves. No later run would know of it: a link that is lost leaves it to `resume`, and what cannot be removed is
 * told.
 */
function spokeCleanup({ server }: BuildInputs, { place, old }: Spoke, use: Services): Step {
  const host = use.host(server);
  const step = gone(host, old === null ? [] : [old], { id: "spoke/old", title: "Remove the code that served before", phase: "finish" });
  return {
    ...step,
    async check(run) {
      const now = await currentBuild(host, use.layoutOf(server), place);
      return now === undefined || now === old ? { changes: [] } : step.check(run);
    },
    async apply(run) {
      try {
        return await step.apply(run);
      } catch (error) {
        if (!(error instanceof HostError) || error.reached !== "yes") throw error;
        run.warn(`${host.name}:${old} served before and could not be removed: ${error.message}`);
        return null;
      }
    },
  };
}

/** A copy of what serves is brought up to date beside it: sites go on meanwhile, and come along. */
function bring(
  { server, project }: BuildInputs,
  { place, old, build }: Spoke,
  use: Services,
  built: Step,
  ahead: () => Promise<boolean>,
): Step {
  const host = use.host(server);
  return {
    id: "spoke/code",
    title: `Bring the code to ${host.name}`,
    async check(run) {
      if (await ahead()) run.need(built);
      const undo = [{ do: "remove_tree", host: host.name, path: build }];
      if (old === null) return { changes: [`copy ${project} to ${host.name}:${build}`], undo };
      const { created, updated, deleted, sample } = await sync(use, host, await hubCode(use, project), old, place.docroot, true);
      const changed = created + updated + deleted;
      if (changed === 0) return { changes: [] };
      return {
        changes: [`bring ${changed} changes to ${host.name}:${build} (${sample.slice(0, 3).join(", ")}${changed > 3 ? ", …" : ""})`],
        undo,
      };
    },
    async apply() {
      await host.mkdir(dirname(build));
      if (old === null) await host.mkdir(build);
      else {
        await host.remove(build);
        await host.run(["cp", "-a", "--reflink=auto", "--", old, build], { timeout: COPY_TIMEOUT });
      }
      return { ...(await sync(use, host, await hubCode(use, project), build, place.docroot, false)) };
    },
  };
}

const COPY_TIMEOUT = 3_600_000;

async function hubCode(use: Services, project: string): Promise<string> {
  return (await use.local.realPath(project)) ?? project;
}

async function sync(use: Services, host: Host, from: string, to: string, docroot: string, dryRun: boolean) {
  const at = docroot === "" ? "/sites" : `/${docroot}/sites`;
  const sites = new Set(["sites.php"]);
  // What sites.php and sites have made; everything else in sites/ came with the code.
  const ours = (await use.local.list(join(from, at))) ?? [];
  for (const name of ours) if (await use.local.stat(join(from, at, name, "settings.php"))) sites.add(name);
  for (const name of (await host.list(join(to, at))) ?? []) if (!ours.includes(name)) sites.add(name);
  // Of a working copy git is the hub's alone: it writes there whenever somebody looks at it.
  const exclude = ["/.git", ...[...sites].map((name) => `${at}/${name.replace(/[[\]*?\\]/g, "\\$&")}`)];
  return syncTree(use.local, from, host, to, { delete: true, exclude, dryRun, timeout: COPY_TIMEOUT });
}

/** What a platform has on another machine goes with it. */
export async function spokeBelongings(
  use: Services,
  server: Server,
  place: CodePlace,
  builds: readonly string[],
): Promise<{ readonly link: string | null; readonly builds: readonly string[] }> {
  const host = use.host(server);
  const layout = use.layoutOf(server);
  const current = await currentBuild(host, layout, place);
  const found = new Set(current === undefined ? [] : [current]);
  for (const name of builds) if (await host.stat(join(layout.builds, name))) found.add(join(layout.builds, name));
  return { link: current === undefined ? null : place.project, builds: [...found].sort() };
}
