import { basename, dirname, join, relative } from "node:path";
import { commitAtOrigin } from "../../builds/git/working-copy.js";
import { buildSource, type PlatformCode } from "../../builds/index.js";
import { type Inputs as BuiltFrom, buildInputs, changedElsewhere } from "../../builds/inputs.js";
import { lockBeside } from "../../builds/make/lock.js";
import type { BuildReport } from "../../builds/source.js";
import { changedParts, type TreeHashes, treeHashes } from "../../builds/tree-hash.js";
import { mirrorPlaces } from "../../context/hub.js";
import type { Layout } from "../../context/layout.js";
import type { PlatformAndServers } from "../../context/references.js";
import { messageOf, ProvisionError } from "../../core/errors.js";
import type { Json } from "../../core/json.js";
import type { Run, Step } from "../../core/step.js";
import { detectCore } from "../../engines/index.js";
import type { Host } from "../../host/host.js";
import { phpProgram } from "../../services/php.js";
import { file } from "../../steps/files.js";
import type { Services } from "../services.js";
import { type CodePlace, DOCROOT_NAMES, sourceName } from "./code-place.js";

/** The source with its paths absolute. */
export function platformCode({ platform, webServer }: PlatformAndServers, layout: Layout): PlatformCode {
  const place = (text: string) => (/^https?:/i.test(text) ? text : layout.resolve(text));
  const php = platform.php ?? webServer.php;
  const withPhp = php === undefined ? {} : { php: phpProgram(php) };
  const { makefile, composer, composer_version, composer_lock, git, git_ref, git_path, working_copy, archive, archive_sha256 } = platform;
  const lock = composer_lock === undefined ? {} : { lock: composer_lock };
  return {
    ...(makefile === undefined ? {} : { makefile: place(makefile) }),
    ...(composer === undefined
      ? {}
      : {
          composer:
            composer_version === undefined
              ? { directory: layout.resolve(composer), ...lock, ...withPhp }
              : { package: composer, version: composer_version, ...withPhp },
        }),
    ...(git === undefined
      ? {}
      : {
          git: {
            git: git.includes(":") ? git : layout.resolve(git),
            ...(git_ref === undefined ? {} : { ref: git_ref }),
            ...(git_path === undefined ? {} : { path: git_path }),
            ...(working_copy === undefined ? {} : { workingCopy: working_copy }),
            ...(composer_lock === undefined ? {} : { composerLock: composer_lock }),
            ...withPhp,
          },
        }),
    ...(archive === undefined
      ? {}
      : { archive: { archive: place(archive), ...(archive_sha256 === undefined ? {} : { sha256: archive_sha256 }) } }),
  };
}

/** What a build was made of: one file for each build in `state/builds/`. The same build gives the same bytes: no dates. */
export interface BuildRecord {
  readonly schema: "provision/build@1";
  readonly platform: string;
  readonly kind: string;
  readonly inputs: BuiltFrom;
  readonly resolved: Readonly<Record<string, string>>;
  readonly entries: BuildReport["entries"];
  /** Hash of the whole tree as it was built, and of its parts. */
  readonly tree: string;
  readonly parts: TreeHashes;
}

export function recordFile(layout: Layout, build: string): string {
  return join(layout.state, "builds", `${basename(build)}.json`);
}

/** Of a build by its name, wherever its code stands: records are the hub's. */
export async function readRecord(use: Services, build: string): Promise<BuildRecord | undefined> {
  const text = await use.local.readFile(recordFile(use.layout, build));
  return text === undefined ? undefined : (JSON.parse(text) as BuildRecord);
}

/** The build that a platform's link leads to; undefined for a directory that provision did not build. */
export async function currentBuild(host: Host, layout: Layout, { project }: Pick<CodePlace, "project">): Promise<string | undefined> {
  if ((await host.readLink(project)) === undefined) return undefined;
  const real = await host.realPath(project);
  const builds = await host.realPath(layout.builds);
  return real !== undefined && builds !== undefined && dirname(real) === builds ? real : undefined;
}

/** Where the link to a build leads, relative inside the hub, so that a hub can be moved. */
export function linkTarget({ project }: CodePlace, build: string, layout: Layout): string {
  return project.startsWith(`${layout.root}/`) ? relative(dirname(project), build) : build;
}

/** Named after the build, so that what a kill leaves of it is found by the undo. */
function stagingOf(build: string): string {
  return join(dirname(build), `.${basename(build)}.building`);
}

export interface BuildInputs extends PlatformAndServers, CodePlace {
  /** Where the code of a new build stands; project becomes a link to it. */
  readonly build: string;
  readonly offline: boolean;
}

const JOBS = 4;

interface Built {
  readonly report: BuildReport;
  readonly record: BuildRecord;
}

/** Beside the root, on the hub, under a name of its own: never half a platform where sites look for one. `needed` says whether there is something to build. */
export function buildStep(inputs: BuildInputs, use: Services, needed: () => Promise<boolean>): Step {
  const { platform, root, build, docroot } = inputs;
  const host = use.local;
  const name = sourceName(platform);
  return {
    id: "platform/build",
    title: name === undefined ? `Code of ${platform.name}` : `Build ${platform.name} from ${name}`,
    async check() {
      if (!(await needed())) return { changes: [] };
      const locked = await lockOf(platformCode(inputs, use.layout), host);
      const exactly = locked === undefined ? "" : `, exactly what ${use.layout.relative(locked.path)} names`;
      return {
        changes: [`build ${root}${exactly}`],
        undo: [build, stagingOf(build)].map((path) => ({ do: "remove_tree", host: host.name, path })),
      };
    },
    async apply(run) {
      const code = platformCode(inputs, use.layout);
      const locked = await lockOf(code, host);
      const source = buildSource(locked === undefined ? code : { ...code, make: { lock: locked.lock } });
      if (!source) throw new ProvisionError("FAILED", `${platform.name} names nothing it could be built from`);
      // Before the build: what changes while it runs is told by the next verify.
      const from = await buildInputs(code, host);
      const report = await source.build({
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
      await refuseWithoutDocroot(host, build, docroot, platform.name);
      await detectCore(host, join(build, docroot));
      const record: BuildRecord = {
        schema: "provision/build@1",
        platform: platform.name,
        kind: source.type,
        inputs: from,
        resolved: report.resolved ?? {},
        entries: report.entries,
        ...(await treeHashes(build)),
      };
      return { report, record } satisfies Built as unknown as Json;
    },
  };
}

/** What Composer users expect: with a lock beside its make file a platform is what the lock says, or is not built. */
function lockOf({ makefile }: PlatformCode, host: Host) {
  return makefile === undefined ? undefined : lockBeside(makefile, host);
}

async function refuseWithoutDocroot(host: Host, build: string, docroot: string, name: string): Promise<void> {
  if (docroot === "" || (await host.stat(join(build, docroot, "index.php")))) return;
  const found: string[] = [];
  for (const candidate of ["", ...DOCROOT_NAMES])
    if (await host.stat(join(build, candidate, "index.php"))) found.push(candidate === "" ? "its top" : candidate);
  throw new ProvisionError("BUILD_FAILED", `what was built has no docroot ${docroot}`, {
    why: [found.length > 0 ? `there is an index.php in ${found.join(" and ")}` : "there is no index.php in it"],
    next: [`provision save ${name} --root=…`],
  });
}

/** Writes what the build was made of; asked for when the build is there. */
export function recordStep({ build }: BuildInputs, use: Services, built: Step): Step {
  const host = use.local;
  const path = recordFile(use.layout, build);
  const step = file(
    host,
    path,
    async (run) => `${JSON.stringify((run.need(built) as unknown as Built).record, null, 2)}\n`,
    { mode: 0o644 },
    {
      id: "platform/record",
      title: "Record what it was built from",
    },
  );
  return {
    ...step,
    async check(run) {
      // Nothing was built: the record of what stands there is right, or there is none.
      return run.out(built) === undefined && !(await buildAhead(run, built)) ? { changes: [] } : step.check(run);
    },
    async apply(run) {
      await host.mkdir(dirname(path));
      return step.apply(run);
    },
  };
}

/** In a dry run nothing has a result: only the step itself knows whether it would do something. */
async function buildAhead(run: Run, built: Step): Promise<boolean> {
  return (await built.check(run)).changes.length > 0;
}

/** The result of the build step, for `data`. */
export function builtReport(out: Json | undefined): BuildReport | undefined {
  return (out as unknown as Built | undefined)?.report;
}

/** Links project to the build, by one rename. */
export function restoreLink(host: Host, project: string, target: string | null) {
  return { do: "restore_link", host: host.name, path: project, target } as const;
}

/** What a platform is no longer as it was built, one line each; empty when all is as recorded. */
interface Drift {
  /** Sources that say something else now. */
  readonly inputs: readonly string[];
  /** Parts of the tree that were changed in place; only looked for when asked. */
  readonly tree: readonly string[];
  /** What could not be found out. */
  readonly unknown: readonly string[];
}

/** Compares record, sources and (with `full`) the tree and the repository. Changes nothing. */
async function driftOf(inputs: BuildInputs, use: Services, full: boolean): Promise<Drift> {
  const { platform, docroot } = inputs;
  const host = use.local;
  const build = await currentBuild(host, use.layout, inputs);
  const record = build === undefined ? undefined : await readRecord(use, build);
  if (build === undefined || record === undefined) {
    const said = full ? [`there is no record of how ${platform.name} was built`] : [];
    return { inputs: [], tree: [], unknown: said };
  }
  const code = platformCode(inputs, use.layout);
  if (sourceName(platform) === undefined) return { inputs: ["the context names no source any more"], tree: [], unknown: [] };
  const now = await buildInputs(code, host);
  const changed = differing(record.inputs, now);
  const unknown: string[] = [];
  if (full && code.git !== undefined && record.inputs["git"] === now["git"] && record.resolved["commit"] !== undefined && !inputs.offline) {
    try {
      const commit = await commitAtOrigin(host, code.git.git, code.git.ref, mirrorPlaces(use.layout, use.settings.mirrors));
      if (!sameCommit(commit, record.resolved["commit"], code.git.ref))
        changed.push(`${code.git.ref ?? "HEAD"} is at ${commit.slice(0, 12)} now (was ${record.resolved["commit"].slice(0, 12)})`);
    } catch (error) {
      if (!(error instanceof ProvisionError)) throw error;
      unknown.push(`whether the repository has moved: ${messageOf(error)}`);
    }
  }
  if (full && code.makefile !== undefined && record.inputs["makefile"] === now["makefile"] && !inputs.offline) {
    const tools = { host, cache: use.layout.cache, mirrors: mirrorPlaces(use.layout, use.settings.mirrors) };
    const elsewhere = await changedElsewhere(record.resolved, tools);
    changed.push(...elsewhere.changed);
    unknown.push(...elsewhere.unknown);
  }
  const tree = full && platform.working_copy !== true ? changedTree(record, (await treeHashes(build)).parts, docroot) : [];
  return { inputs: changed, tree, unknown };
}

/** A short commit is a ref that names itself. */
function sameCommit(now: string, was: string, ref: string | undefined): boolean {
  return now === was || (ref !== undefined && /^[0-9a-f]{7,40}$/.test(ref) && was.startsWith(ref));
}

/** Parts of a build that are not as they were recorded; what belongs to sites left out. */
export function changedTree(record: BuildRecord, now: TreeHashes, docroot: string): readonly string[] {
  const places = new Set([docroot, "", ...DOCROOT_NAMES].map((place) => (place === "" ? "sites/" : `${place}/sites/`)));
  return changedParts(record.parts, now, (part) => [...places].some((place) => part.startsWith(place)));
}

function differing(was: BuiltFrom, now: BuiltFrom): string[] {
  return [...new Set([...Object.keys(was), ...Object.keys(now)])]
    .filter((key) => was[key] !== now[key])
    .map((key) => {
      const [before, after] = [was[key], now[key]];
      if (before?.startsWith("sha256 ") && after?.startsWith("sha256 ")) return `${key} has changed`;
      const short = (value: string | undefined) => (value?.startsWith("sha256 ") ? "there" : (value ?? "absent"));
      return `${key} is ${short(after)} (was ${short(before)})`;
    });
}

/** Says what differs and what to type; changes nothing. */
export function driftStep(inputs: BuildInputs, use: Services, full: boolean): Step {
  const { platform, root } = inputs;
  const host = use.local;
  return {
    id: "platform/sources",
    title: full ? "Compare it with its sources and its record" : "Compare it with its sources",
    async check(run) {
      if (!(await host.stat(root))) return { changes: [] };
      const { inputs: changed, tree, unknown } = await driftOf(inputs, use, full);
      const command = `provision verify ${platform.name} --${platform.working_copy === true ? "update" : "rebuild"}`;
      if (changed.length > 0)
        run.warn(`${platform.name} was built from something else: ${changed.join("; ")}. It was left as it is: ${command}`);
      if (tree.length > 0)
        run.warn(
          `the code of ${platform.name} was changed since it was built, in ${listed(tree)}. It was left as it is: ${command} builds it anew, and keeps what is there beside it`,
        );
      for (const line of unknown) run.warn(`not known: ${line}`);
      return { changes: [] };
    },
    apply: async () => null,
  };
}

function listed(parts: readonly string[]): string {
  return parts.length > 8 ? `${parts.slice(0, 8).join(", ")} and ${parts.length - 8} more` : parts.join(", ");
}
