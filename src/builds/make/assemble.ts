import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { didYouMean, isSystemError, messageOf, ProvisionError } from "../../core/errors.js";
import type { BuildReport, BuildRequest } from "../source.js";
import { shown } from "./address.js";
import { DownloadCache } from "./cache.js";
import { diagnosticLine, invalidMakeFile } from "./diagnostic.js";
import { type DownloadOptions, download, readStream } from "./download.js";
import { type Fetch, fetchOf, fetchTree } from "./fetch-entry.js";
import { GitMirrors, gitRequest } from "./git.js";
import { applyPatch, type PatchRequest, patchesOf, recordPatches } from "./patch.js";
import { isTruthy, type PhpArray, phpText } from "./php-value.js";
import { type Plan, type PlanEntry, type PlanOptions, type ProjectType, planOf } from "./plan.js";
import { type MakeFile, type ReadOptions, readMakeFile } from "./read.js";
import { fileOf, parseReleaseHistory, type Release, type ReleaseHistory, releaseFor } from "./release-history.js";
import { insideTree, unsafeName, unsafePath } from "./safe-path.js";
import { Slots, stopIfAborted } from "./slots.js";

export interface AssembleOptions
  extends Pick<PlanOptions, "noCore" | "contribDestination" | "projects" | "libraries">,
    Pick<ReadOptions, "text" | "includes" | "overrides"> {
  /** Absolute path, http(s) URL, or `-` with `text`. */
  readonly makefile: string;
  /** Make files inside projects are not followed. */
  readonly noRecursion?: boolean;
  readonly noPatchTxt?: boolean;
}

/** One entry with the file and core that it belongs to. */
interface Job {
  readonly entry: PlanEntry;
  readonly core: string;
  readonly mainFile: string;
  /** Relative to the platform, checked and short. */
  readonly path: string;
  readonly fetch: Fetch;
  readonly patches: readonly PatchRequest[];
  /** `7.x-3.29`, or empty. */
  readonly version: string;
}

interface Built {
  readonly job: Job;
  readonly tree: string;
  readonly source: string;
}

interface Failure {
  readonly name: string;
  readonly message: string;
  readonly why: readonly string[];
}

const HISTORY_LIMIT = 64 * 1024 ** 2;
const MAKE_FILE_LIMIT = 8 * 1024 ** 2;

/**
 * One build: reads the file, asks for releases, fetches and patches every entry in a directory of its own, all at once,
 * follows make files inside projects level by level, and only when all is there puts the tree together and renames
 * it into place. Whatever fails, everything else is still tried, so that all that is wrong is told at once.
 */
export class Assembly {
  readonly #options: AssembleOptions;
  readonly #request: BuildRequest;
  readonly #slots: Slots;
  readonly #downloads: DownloadOptions;
  readonly #git: GitMirrors;
  readonly #staging: string;
  readonly #histories = new Map<string, Promise<ReleaseHistory>>();
  readonly #warnings: string[] = [];
  readonly #failures: Failure[] = [];
  readonly #unfinished = new Set<string>();
  #parts = 0;

  constructor(options: AssembleOptions, request: BuildRequest) {
    const { host, cache, mirrors, offline, signal, destination } = request;
    this.#options = options;
    this.#request = request;
    this.#slots = new Slots(request.jobs, signal);
    this.#downloads = { cache: new DownloadCache(cache), mirrors, offline, ...(signal ? { signal } : {}) };
    this.#git = new GitMirrors({ host, cache, mirrors, offline, mainFile: options.makefile });
    this.#staging = request.staging ?? join(dirname(destination), `.${basename(destination)}.building-${randomBytes(6).toString("hex")}`);
  }

  async run(): Promise<BuildReport> {
    const { destination, host } = this.#request;
    if (existsSync(destination)) {
      throw new ProvisionError("NAME_TAKEN", `Base path ${destination} already exists.`, {
        state: "nothing was built, and what is there was not touched",
        next: ["Move it away, or build to another path"],
      });
    }
    try {
      await host.mkdir(this.#staging);
      const built = await this.#buildAll();
      const tree = join(this.#staging, "platform");
      await this.#putTogether(built, tree);
      this.#throwFailures(built.length);
      stopIfAborted(this.#request.signal);
      if (existsSync(destination))
        throw new ProvisionError("NAME_TAKEN", `${destination} was made by someone else while this build ran`, {
          state: "what is there was not touched",
        });
      await host.rename(tree, destination);
      return {
        entries: built.map(({ job, source }) => ({
          name: job.version === "" ? job.entry.name : `${job.entry.name} ${job.version}`,
          type: job.entry.type,
          path: job.path,
          source,
        })),
        warnings: this.#warnings,
      };
    } catch (error) {
      throw this.#explained(error);
    } finally {
      await host.remove(this.#staging);
    }
  }

  async #buildAll(): Promise<Built[]> {
    const manifest = new Set<string>();
    const all: Built[] = [];
    let level = await this.#mainJobs(manifest);
    while (level.length > 0) {
      const built = await this.#buildLevel(level);
      all.push(...built);
      level = this.#failures.length > 0 || this.#options.noRecursion ? [] : await this.#nestedJobs(built, manifest);
    }
    this.#throwFailures(all.length);
    return all;
  }

  async #mainJobs(manifest: Set<string>): Promise<Job[]> {
    const { makefile, text, includes, overrides, noCore, contribDestination, projects, libraries } = this.#options;
    const made = await this.#read(makefile, {
      ...(text === undefined ? {} : { text }),
      ...(includes ? { includes } : {}),
      ...(overrides ? { overrides } : {}),
    });
    if (made.diagnostics.some(({ code }) => code === "file/missing"))
      throw new ProvisionError("FILE_NOT_FOUND", `${makefile}: there is no such make file`);
    if (!made.document) {
      throw invalidMakeFile(
        makefile,
        made.diagnostics.filter(({ severity }) => severity === "error"),
      );
    }
    return this.#jobsOf(made.document, makefile, manifest, {
      ...(noCore ? { noCore } : {}),
      ...(contribDestination === undefined ? {} : { contribDestination }),
      ...(projects ? { projects } : {}),
      ...(libraries ? { libraries } : {}),
    });
  }

  /** What the make files inside the projects of one level ask for, without what is there already: the outer file wins. */
  async #nestedJobs(built: readonly Built[], manifest: Set<string>): Promise<Job[]> {
    const jobs: Job[] = [];
    for (const { job, tree } of built) {
      const { entry } = job;
      const off =
        isTruthy(entry.attributes.get("do_recursion") ?? true) === false || phpText(entry.attributes.get("variant")) === "projects";
      if (entry.kind === "library" || entry.recurseBase === undefined || off) continue;
      const name = [`${entry.name}.make.yml`, `${entry.name}.make`, "drupal-org.make.yml", "drupal-org.make"].find((candidate) =>
        existsSync(join(tree, candidate)),
      );
      if (name === undefined) continue;
      this.#request.progress?.(`Found makefile: ${name} in ${entry.name}`);
      await this.#guarded(`${entry.name}/${name}`, async () => {
        const file = join(tree, name);
        const made = await this.#read(file, {});
        if (!made.document)
          throw invalidMakeFile(
            file,
            made.diagnostics.filter(({ severity }) => severity === "error"),
          );
        jobs.push(...(await this.#jobsOf(made.document, file, manifest, { recursed: true, contribDestination: entry.recurseBase ?? "" })));
      });
    }
    return jobs;
  }

  async #read(file: string, options: Pick<ReadOptions, "text" | "includes" | "overrides">): Promise<MakeFile> {
    const made = await readMakeFile(file, this.#request.host, {
      ...options,
      fetch: async (url) => readStream(await download({ url }, {}, this.#downloads), MAKE_FILE_LIMIT),
      checkout: async (given, mark) => {
        const directory = join(this.#staging, `include-${this.#parts++}`);
        await this.#git.export(gitRequest(given, undefined), directory, mark);
        return directory;
      },
    });
    this.#warnings.push(
      ...made.diagnostics
        .filter(({ severity }) => severity === "warning")
        .map((diagnostic) => this.#withoutStaging(diagnosticLine(diagnostic))),
    );
    return made;
  }

  async #jobsOf(document: PhpArray, mainFile: string, manifest: Set<string>, options: PlanOptions): Promise<Job[]> {
    const core = phpText(document.get("core"));
    const asked =
      planOf(document, options).entries.length > 0 ? planOf(document, options) : planOf(document, { ...options, recursed: true });
    const histories = await this.#askHistories(asked, core, manifest);
    const types = new Map(
      [...histories].flatMap(([name, history]): [string, ProjectType][] => (history.type === undefined ? [] : [[name, history.type]])),
    );
    const plan = planOf(document, { ...options, types });
    if (plan.problem && this.#failures.length === 0) {
      throw new ProvisionError("INVALID_FILE", `${mainFile}: ${plan.problem.message}`, { state: "nothing was built" });
    }
    if (plan.translations && !options.recursed) this.#warnings.push(`${mainFile}: translations are not fetched yet`);
    const jobs: Job[] = [];
    for (const entry of plan.entries) {
      const key = `${entry.kind === "library" ? "library" : "project"} ${entry.name}`;
      if (manifest.has(key)) continue;
      manifest.add(key);
      await this.#guarded(entry.name, async () => {
        const history = histories.get(entry.name);
        // its failure is in the list already
        if (isRelease(entry) && history === undefined) return;
        jobs.push(this.#job(entry, core, mainFile, history));
      });
    }
    return jobs;
  }

  /** All at once; a project without one is among the failures. */
  async #askHistories(plan: Plan, core: string, manifest: ReadonlySet<string>): Promise<ReadonlyMap<string, ReleaseHistory>> {
    const found = new Map<string, ReleaseHistory>();
    const wanted = plan.entries.filter((entry) => isRelease(entry) && !manifest.has(`project ${entry.name}`));
    await Promise.all(
      wanted.map((entry) =>
        this.#guarded(entry.name, async () => {
          const unsafe = unsafeName(entry.name);
          if (unsafe !== undefined) throw new ProvisionError("BUILD_FAILED", `its name is refused: ${unsafe}`);
          found.set(entry.name, await this.#history(entry.name, phpText(entry.download.get("status url")), core));
        }),
      ),
    );
    return found;
  }

  #history(project: string, location: string, core: string): Promise<ReleaseHistory> {
    const base = `${location.replace(/\/+$/, "")}/${encodeURIComponent(project)}`;
    const known = this.#histories.get(`${base} ${core}`);
    if (known !== undefined) return known;
    const asked = this.#slots.run(async () => {
      // From Drupal 8 on the list of all releases says which cores each fits; older servers know only one list for each core.
      const lists = Number.parseInt(core, 10) >= 8 ? ["current", core] : [core];
      let failure: unknown;
      for (const list of lists) {
        try {
          const history = parseReleaseHistory(
            await readStream(await download({ url: `${base}/${list}` }, {}, this.#downloads), HISTORY_LIMIT),
            project,
          );
          if (history.error === undefined) return history;
          failure = new ProvisionError("BUILD_FAILED", history.error);
        } catch (error) {
          stopIfAborted(this.#request.signal);
          failure ??= error;
        }
      }
      throw failure;
    });
    this.#histories.set(`${base} ${core}`, asked);
    return asked;
  }

  #job(entry: PlanEntry, core: string, mainFile: string, history: ReleaseHistory | undefined): Job {
    const path = checkedPath(entry);
    const warn = (message: string) =>
      void this.#warnings.push(
        `${entry.mark ? `${this.#withoutStaging(entry.mark.file)}:${entry.mark.line}:${entry.mark.column}: ` : ""}${entry.name}: ${message}`,
      );
    const patches = patchesOf(entry.attributes, mainFile);
    if (!history || !isRelease(entry)) return { entry, core, mainFile, path, patches, version: "", fetch: fetchOf(entry, mainFile, warn) };
    const release = releaseFor(history, core, entry.version, entry.kind === "core");
    if (!release) throw new ProvisionError("BUILD_FAILED", unknownVersion(history, entry, core));
    if (release.insecure) warn(`${release.version} is marked insecure by its maintainers`);
    if (entry.version === "" && release.extra !== undefined)
      warn(`${release.version} was taken though it is no stable release: there is none, name the version you want`);
    const variant = phpText(entry.attributes.get("variant"));
    const file = fileOf(
      release,
      entry.kind === "core"
        ? "full"
        : variant === "full" || variant === "projects"
          ? variant
          : entry.type.toLowerCase() === "profile"
            ? "profile-only"
            : undefined,
    );
    if (!file) throw new ProvisionError("BUILD_FAILED", `the update server names no file for ${release.version}`);
    const url = new URL(file.url).href;
    const fetch: Fetch = {
      kind: "file",
      address: { url },
      checksums: file.md5 === undefined ? {} : { md5: file.md5 },
      name: basename(new URL(url).pathname),
    };
    return { entry, core, mainFile, path, patches, version: release.version, fetch };
  }

  async #buildLevel(jobs: readonly Job[]): Promise<Built[]> {
    const built = await Promise.all(jobs.map((job) => this.#guarded(job.entry.name, () => this.#build(job))));
    return built.filter((each): each is Built => each !== undefined);
  }

  async #build(job: Job): Promise<Built> {
    const { host, progress, signal } = this.#request;
    const { entry } = job;
    const directory = join(this.#staging, `part-${this.#parts++}`);
    this.#unfinished.add(entry.name);
    // Patches first: a project whose patch cannot be had is not worth its download.
    const patches = await Promise.all(
      job.patches.map(async (request) => ({
        request,
        file: await this.#slots.run(() => download(request.address, request.checksums, this.#downloads)),
      })),
    );
    const { tree, source } = await this.#slots.run(async () => {
      await mkdir(directory);
      return fetchTree(job.fetch, entry, directory, { host, git: this.#git, downloads: this.#downloads, mainFile: job.mainFile });
    });
    progress?.(
      `${entry.name}${job.version === "" ? "" : ` ${job.version}`} ${job.fetch.kind === "git" ? "cloned" : "downloaded"} from ${source}.`,
    );
    if (patches.length > 0) {
      await this.#slots.run(async () => {
        for (const { request, file } of patches) {
          stopIfAborted(signal);
          await applyPatch(host, tree, file, request.name);
          progress?.(`${entry.name} patched with ${request.name}.`);
        }
        if (this.#options.noPatchTxt !== true) await recordPatches(tree, patches);
      });
    }
    this.#unfinished.delete(entry.name);
    return { job, tree, source };
  }

  /** In the order of the file, but what holds another entry's place comes before it; of two at one place the later stays. */
  async #putTogether(built: readonly Built[], platform: string): Promise<void> {
    const depth = ({ job }: Built) => (job.path === "" ? 0 : job.path.split("/").length);
    const ordered = [...built].sort((a, b) => depth(a) - depth(b));
    if (!ordered.some(({ job }) => job.path === "")) await mkdir(platform, { mode: 0o755 });
    const places = new Map<string, string>();
    for (const { job, tree } of ordered) {
      await this.#guarded(job.entry.name, async () => {
        const target = join(platform, job.path);
        const holder = places.get(job.path);
        const keep = job.entry.attributes.has("overwrite") && !isTruthy(job.entry.attributes.get("overwrite"));
        if (job.path !== "" && existsSync(target)) {
          if (keep) throw new ProvisionError("BUILD_FAILED", `Directory not empty: ${job.path}, and overwrite is off`);
          if (holder !== undefined) this.#warnings.push(`${job.entry.name} replaces ${holder} at ${job.path}`);
          await rm(target, { recursive: true, force: true });
        }
        await mkdir(dirname(target), { recursive: true, mode: 0o755 });
        await rename(tree, target);
        places.set(job.path, job.entry.name);
      });
    }
  }

  /** A failure of one entry goes into the list; only a stop and bugs end the build at once. */
  async #guarded<T>(name: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ProvisionError)
        this.#failures.push({ name, message: error.message, why: [...(await this.#fullDisk(error)), ...error.why] });
      else if (isSystemError(error))
        this.#failures.push({
          name,
          message: error.code === "ENOSPC" || error.code === "EDQUOT" ? "no space left on the disk" : messageOf(error),
          why: [],
        });
      else throw error;
      return undefined;
    }
  }

  /** tar and git say in many ways that the disk is full. */
  async #fullDisk(error: ProvisionError): Promise<string[]> {
    if (error.code !== "COMMAND_FAILED") return [];
    const free = await this.#request.host.freeSpace(this.#staging);
    return free < 1024 ** 2 ? [`no space left on the disk: ${free} bytes are free beside ${this.#request.destination}`] : [];
  }

  #throwFailures(built: number): void {
    if (this.#failures.length === 0) return;
    stopIfAborted(this.#request.signal);
    const count = this.#failures.length;
    throw new ProvisionError("BUILD_FAILED", `${shown(this.#options.makefile)}: ${count} of ${count + built} entries could not be built`, {
      why: this.#failures.map(({ name, message, why }) =>
        this.#withoutStaging(`${name}: ${message}${why.length > 0 ? ` (${why.join("; ")})` : ""}`),
      ),
      state: `nothing was put in place: ${this.#request.destination} does not exist`,
    });
  }

  #explained(error: unknown): unknown {
    if (this.#request.signal?.aborted) {
      const open = [...this.#unfinished];
      return new ProvisionError("STOPPED", `the build of ${shown(this.#options.makefile)} was stopped`, {
        why: open.length > 0 ? [`not finished: ${open.join(", ")}`] : [],
        state: `nothing was put in place: ${this.#request.destination} does not exist`,
        cause: error,
      });
    }
    if (isSystemError(error, "ENOSPC"))
      return new ProvisionError("DISK_FULL", `no space left to build ${this.#request.destination}`, {
        cause: error,
        state: "nothing was put in place",
      });
    return error;
  }

  #withoutStaging(text: string): string {
    return text.replaceAll(new RegExp(`${this.#staging.replace(/[.*+?^$()|[\]{}\\]/g, "\\$&")}/(?:part-\\d+/tree|include-\\d+)/`, "g"), "");
  }
}

function isRelease(entry: PlanEntry): boolean {
  return phpText(entry.download.get("type")) === "pm" && entry.download.has("status url");
}

function checkedPath(entry: PlanEntry): string {
  const refused = (what: string, why: string) => new ProvisionError("BUILD_FAILED", `its ${what} is refused: ${why}`);
  const badName = entry.kind === "library" ? unsafePath(entry.name) : unsafeName(entry.name);
  if (badName !== undefined) throw refused("name", badName);
  if (entry.unknownType) {
    const near = didYouMean(entry.type, ["core", "module", "profile", "theme", "library"]);
    throw refused(`type ${JSON.stringify(entry.type)}`, `Non-existent project type${near === undefined ? "" : `; did you mean ${near}?`}`);
  }
  if (entry.type.toLowerCase() === "translation") throw refused("type", "translations as projects are not built yet");
  if (entry.kind === "core") return "";
  const path = entry.path.startsWith("/") ? undefined : insideTree(entry.path);
  if (path === undefined || path === "") throw refused(`place ${JSON.stringify(entry.path)}`, "it is not inside the platform");
  const bad = unsafePath(path);
  if (bad !== undefined) throw refused(`place ${JSON.stringify(entry.path)}`, bad);
  return path;
}

function unknownVersion(history: ReleaseHistory, entry: PlanEntry, core: string): string {
  const known = history.releases.map((release: Release) => release.version);
  if (entry.version === "")
    return known.length === 0
      ? `no release of it for ${core} is published`
      : `There are no stable releases for project ${entry.name}: name a version, there are ${known.slice(0, 5).join(", ")}`;
  const full = entry.kind === "core" || entry.version.startsWith(`${core}-`) ? entry.version : `${core}-${entry.version}`;
  const near = didYouMean(full, known);
  return `Could not locate ${entry.name} version ${full}.${near === undefined ? "" : ` Did you mean ${near}?`} ${known.length} are published${known.length > 0 ? `, the newest is ${known[0]}` : ""}`;
}
