import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { didYouMean, ProvisionError } from "../../core/errors.js";
import type { BuildRequest } from "../source.js";
import { shown } from "./address.js";
import { type AssembleOptions, withOptionsOfFile } from "./assemble-options.js";
import { diagnosticLine, invalidMakeFile } from "./diagnostic.js";
import { type DownloadOptions, download, readStream } from "./download.js";
import { aboutEntry, type Failures } from "./failures.js";
import { contentHash, type Fetch, fetchOf } from "./fetch-entry.js";
import { type GitMirrors, gitRequest } from "./git.js";
import { askedOf, inputsOf, type LockedEntry, lockKey, type MakeLock } from "./lock.js";
import { type PatchRequest, patchesOf } from "./patch.js";
import { isTruthy, PhpArray, phpText } from "./php-value.js";
import { type Plan, type PlanEntry, type PlanOptions, type ProjectType, planOf } from "./plan.js";
import { type MakeFile, type ReadOptions, readMakeFile } from "./read.js";
import { fileOf, parseReleaseHistory, type Release, type ReleaseHistory, releaseFor, securityUpdateOf } from "./release-history.js";
import { insideTree, unsafeName, unsafePath } from "./safe-path.js";
import { type Slots, stopIfAborted } from "./slots.js";
import { languagesOf } from "./translations.js";

/** One entry with the file and core that it belongs to, all about it decided and checked. */
export interface Job {
  readonly entry: PlanEntry;
  readonly core: string;
  readonly mainFile: string;
  /** Path of the project whose make file asks for it. */
  readonly of: string | undefined;
  /** Relative to the platform, checked and short. */
  readonly path: string;
  readonly fetch: Fetch;
  readonly patches: readonly PatchRequest[];
  /** `7.x-3.29`, or empty. */
  readonly version: string;
  readonly languages: readonly string[];
  readonly workingCopy: boolean;
  readonly asked: string;
  readonly locked: LockedEntry | undefined;
}

export interface ResolveTools {
  readonly slots: Slots;
  readonly downloads: DownloadOptions;
  readonly git: GitMirrors;
  readonly failures: Failures;
  /** A directory that does not exist yet. */
  readonly scratch: (kind: string) => string;
  /** The options are known: the last moment to refuse before the network is asked. */
  readonly ready: (options: AssembleOptions) => void;
  readonly warn: (message: string) => void;
  /** The place where a build is made is nobody's business. */
  readonly plain: (text: string) => string;
}

/** `newest` passes over the versions that the file names; `security` only where they are known to be insecure. */
export type Update = "newest" | "security";

const HISTORY_LIMIT = 64 * 1024 ** 2;
const MAKE_FILE_LIMIT = 8 * 1024 ** 2;

/** From make files to jobs: reads them with their includes, asks for releases, or takes all that from a lock. */
export class Resolver {
  readonly #request: BuildRequest;
  readonly #tools: ResolveTools;
  readonly #histories = new Map<string, Promise<ReleaseHistory>>();
  readonly #locked: ReadonlyMap<string, LockedEntry>;
  readonly #update: Update | undefined;
  readonly manifest = new Set<string>();
  readonly includes: { source: string; sha256?: string; commit?: string }[] = [];
  /** Of a make file behind a URL. */
  makefileHash: string | undefined;
  /** With what the make file itself sets, once it is read. */
  options: AssembleOptions;
  document = new PhpArray();
  inputs = "";
  #languages: readonly string[] = [];

  /** With `update` other versions than those that the file names. */
  constructor(options: AssembleOptions, request: BuildRequest, tools: ResolveTools, update?: Update) {
    this.options = options;
    this.#request = request;
    this.#tools = tools;
    this.#update = update;
    this.#locked = new Map((options.lock?.entries ?? []).map((entry) => [lockKey(entry.of, entry.kind, entry.name), entry]));
  }

  /** @throws ProvisionError FILE_NOT_FOUND, INVALID_FILE, LOCK_MISMATCH */
  async mainJobs(): Promise<Job[]> {
    const { makefile, text, includes, overrides } = this.options;
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
    this.document = made.document;
    this.options = withOptionsOfFile(this.options, made.document, this.#tools.warn);
    this.#tools.ready(this.options);
    const { workingCopy, shallowClone } = this.options;
    if (workingCopy && shallowClone) {
      throw new ProvisionError("INVALID_VALUE", "a working copy needs its history: leave out --shallow-clone or --working-copy");
    }
    const listed = made.document.get("translations");
    this.#languages = languagesOf(this.options.translations, listed instanceof PhpArray ? listed : undefined);
    const { noCore, contribDestination, projects, libraries } = this.options;
    const asked: string[] = [];
    const jobs = await this.#jobsOf(
      made.document,
      makefile,
      undefined,
      {
        ...(noCore ? { noCore } : {}),
        ...(contribDestination === undefined ? {} : { contribDestination }),
        ...(projects ? { projects } : {}),
        ...(libraries ? { libraries } : {}),
      },
      asked,
    );
    this.inputs = inputsOf(phpText(made.document.get("core")), { ...this.options, translations: this.#languages }, asked);
    if (this.options.lock) this.#compare(this.options.lock, jobs);
    return jobs;
  }

  /** What the make file inside a project asks for, without what is there already: the outer file wins. */
  async nestedJobs(parent: Job, tree: string): Promise<Job[]> {
    const { entry, path } = parent;
    const off = isTruthy(entry.attributes.get("do_recursion") ?? true) === false || phpText(entry.attributes.get("variant")) === "projects";
    if (entry.kind === "library" || entry.recurseBase === undefined || off) return [];
    const name = [`${entry.name}.make.yml`, `${entry.name}.make`, "drupal-org.make.yml", "drupal-org.make"].find((candidate) =>
      existsSync(join(tree, candidate)),
    );
    if (name === undefined) return [];
    this.#request.progress?.(`Found makefile: ${name} in ${entry.name}`);
    const about = { entry: `${entry.name}/${name}`, type: "make file", source: aboutEntry(entry, parent.fetch).source };
    const jobs = await this.#tools.failures.guarded(about, async () => {
      const file = join(tree, name);
      const made = await this.#read(file, {});
      if (!made.document)
        throw invalidMakeFile(
          file,
          made.diagnostics.filter(({ severity }) => severity === "error"),
        );
      return this.#jobsOf(made.document, file, path, { recursed: true, contribDestination: entry.recurseBase ?? "" }, []);
    });
    return jobs ?? [];
  }

  async #read(file: string, options: Pick<ReadOptions, "text" | "includes" | "overrides">): Promise<MakeFile> {
    const { downloads, git, scratch, warn, plain } = this.#tools;
    const made = await readMakeFile(file, this.#request.host, {
      ...options,
      fetch: async (url) => {
        const known = this.options.lock?.includes?.find(({ source }) => source === shown(url))?.sha256;
        const path = await download({ url }, known === undefined ? {} : { sha256: known }, downloads);
        const sha256 = await contentHash(path);
        if (url === this.options.makefile) this.makefileHash = sha256;
        else this.includes.push({ source: shown(url), sha256 });
        return readStream(path, MAKE_FILE_LIMIT);
      },
      checkout: async (given, mark) => {
        const directory = scratch("include");
        const request = gitRequest(given, undefined);
        const source = `${shown(request.url)} ${request.ref}`;
        const known = this.options.lock?.includes?.find((include) => include.source === source)?.commit;
        const { commit } = await git.checkOut(request, directory, mark, known === undefined ? {} : { commit: known });
        this.includes.push({ source, commit });
        return directory;
      },
    });
    for (const diagnostic of made.diagnostics) if (diagnostic.severity === "warning") warn(plain(diagnosticLine(diagnostic)));
    return made;
  }

  async #jobsOf(document: PhpArray, mainFile: string, of: string | undefined, given: PlanOptions, asked: string[]): Promise<Job[]> {
    const { failures, plain } = this.#tools;
    const core = phpText(document.get("core"));
    const options = this.options.updateUrl === undefined ? given : { ...given, location: this.options.updateUrl };
    const first =
      planOf(document, options).entries.length > 0 ? planOf(document, options) : planOf(document, { ...options, recursed: true });
    const histories = this.options.lock ? new Map<string, ReleaseHistory>() : await this.#askHistories(first, core);
    const plan = planOf(document, { ...options, types: this.#types(histories, of) });
    if (plan.problem && !failures.any) {
      throw new ProvisionError("INVALID_FILE", `${plain(mainFile)}: ${plan.problem.message}`, { state: "nothing was built" });
    }
    const jobs: Job[] = [];
    for (const entry of plan.entries) {
      const key = lockKey(undefined, entry.kind, entry.name);
      if (this.manifest.has(key)) continue;
      this.manifest.add(key);
      asked.push(askedOf(entry));
      await failures.guarded(aboutEntry(entry), async () => {
        const locked = this.#locked.get(lockKey(of, entry.kind, entry.name));
        if (this.options.lock && !locked) {
          // of the make file itself all such are told together
          if (of === undefined) jobs.push({ ...this.#bare(entry, core, mainFile, of), locked });
          else throw new ProvisionError("LOCK_MISMATCH", `the make file of ${of} asks for it, and the lock does not know it`);
          return;
        }
        const history = histories.get(entry.name);
        // its failure is in the list already
        if (isRelease(entry) && history === undefined && !locked) return;
        jobs.push(this.#job(entry, core, mainFile, of, history, locked));
      });
    }
    return jobs;
  }

  #types(histories: ReadonlyMap<string, ReleaseHistory>, of: string | undefined): ReadonlyMap<string, ProjectType> {
    const asked = [...histories].flatMap(([name, { type }]): [string, ProjectType][] => (type === undefined ? [] : [[name, type]]));
    const locked = [...this.#locked.values()].filter((entry) => entry.kind !== "library" && entry.of === of);
    return new Map([...asked, ...locked.map(({ name, type }): [string, ProjectType] => [name, type.toLowerCase() as ProjectType])]);
  }

  /** All entries on which make file and lock disagree, by name. */
  #compare(lock: MakeLock, jobs: readonly Job[]): void {
    const differences = jobs.flatMap((job) => {
      if (!job.locked) return [`${job.entry.name}: it is in the make file, and not in the lock`];
      return job.locked.asked === job.asked ? [] : [`${job.entry.name}: what the make file says of it was changed`];
    });
    const names = new Set(jobs.map((job) => lockKey(undefined, job.entry.kind, job.entry.name)));
    const gone = lock.entries.filter(({ of, kind, name }) => of === undefined && !names.has(lockKey(undefined, kind, name)));
    const reasons = [...differences, ...gone.map(({ name }) => `${name}: it is in the lock, and no longer in the make file`)];
    if (reasons.length === 0 && this.inputs !== lock.inputs && !this.#tools.failures.any)
      reasons.push(`the options are not those of the lock (${JSON.stringify(lock.options)})`);
    if (reasons.length === 0) return;
    throw new ProvisionError("LOCK_MISMATCH", `${shown(this.options.makefile)} and its lock disagree`, {
      why: reasons,
      state: "nothing was built",
      next: [`provision make ${shown(this.options.makefile)} --no-build --lock    # writes a lock of what it says now`],
    });
  }

  /** All at once; a project without one is among the failures. */
  async #askHistories(plan: Plan, core: string): Promise<ReadonlyMap<string, ReleaseHistory>> {
    const found = new Map<string, ReleaseHistory>();
    const wanted = plan.entries.filter((entry) => isRelease(entry) && !this.manifest.has(lockKey(undefined, entry.kind, entry.name)));
    await Promise.all(
      wanted.map((entry) =>
        this.#tools.failures.guarded(aboutEntry(entry), async () => {
          const unsafe = unsafeName(entry.name);
          if (unsafe !== undefined) throw new ProvisionError("BUILD_FAILED", `its name is refused: ${unsafe}`);
          found.set(entry.name, await this.#history(entry.name, phpText(entry.download.get("status url")), core));
        }),
      ),
    );
    return found;
  }

  #history(project: string, location: string, core: string): Promise<ReleaseHistory> {
    if (!/^https?:\/\//i.test(location))
      throw new ProvisionError(
        "BUILD_FAILED",
        `its location ${JSON.stringify(shown(location))} is refused: a release server is asked by http or https`,
      );
    const base = `${location.replace(/\/+$/, "")}/${encodeURIComponent(project)}`;
    const known = this.#histories.get(`${base} ${core}`);
    if (known !== undefined) return known;
    const asked = this.#tools.slots.run(async () => {
      // From Drupal 8 on the list of all releases says which cores each fits; older servers know only one list for each core.
      const lists = Number.parseInt(core, 10) >= 8 ? ["current", core] : [core];
      let failure: unknown;
      for (const list of lists) {
        try {
          const history = parseReleaseHistory(
            await readStream(await download({ url: `${base}/${list}` }, {}, this.#tools.downloads), HISTORY_LIMIT),
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

  /** A job that is never built. */
  #bare(entry: PlanEntry, core: string, mainFile: string, of: string | undefined): Omit<Job, "locked"> {
    const fetch: Fetch = { kind: "copy", path: "" };
    return {
      entry,
      core,
      mainFile,
      of,
      path: "",
      patches: [],
      version: "",
      languages: [],
      workingCopy: false,
      asked: askedOf(entry),
      fetch,
    };
  }

  #job(
    entry: PlanEntry,
    core: string,
    mainFile: string,
    of: string | undefined,
    history: ReleaseHistory | undefined,
    locked: LockedEntry | undefined,
  ): Job {
    const { warn, plain } = this.#tools;
    const { mark, attributes } = entry;
    const tell = (message: string) => warn(`${mark ? `${plain(mark.file)}:${mark.line}:${mark.column}: ` : ""}${entry.name}: ${message}`);
    const checks = (request: PatchRequest, at: number) => ({
      ...request,
      checksums: this.#checksums(request.checksums, locked?.patches?.[at]?.sha256),
    });
    const own = attributes.get("options");
    const keeps =
      (own instanceof PhpArray && isTruthy(own.get("working-copy"))) ||
      isTruthy(attributes.get("working-copy")) ||
      isTruthy(entry.download.get("working-copy"));
    const languages = attributes.get("translations");
    const job = {
      entry,
      core,
      mainFile,
      of,
      path: checkedPath(entry),
      patches: patchesOf(attributes, mainFile).map(checks),
      languages: languagesOf(this.#languages, languages instanceof PhpArray ? languages : undefined),
      workingCopy: keeps || this.options.workingCopy === true,
      asked: askedOf(entry),
      locked,
    };
    if (!isRelease(entry)) {
      const fetch = fetchOf(entry, mainFile, tell);
      const sha256 = locked?.source.type === "file" ? locked.source.sha256 : undefined;
      return {
        ...job,
        version: "",
        fetch: fetch.kind === "file" ? { ...fetch, checksums: this.#checksums(fetch.checksums, sha256) } : fetch,
      };
    }
    if (locked?.source.type === "file") {
      const { url, sha256 } = locked.source;
      return {
        ...job,
        version: locked.version ?? "",
        fetch: { kind: "file", address: { url }, checksums: { sha256 }, name: basename(url) },
      };
    }
    if (!history) throw new ProvisionError("LOCK_MISMATCH", "it is a release, and the lock names no download of it");
    const release = this.#release(entry, core, history);
    if (release.insecure) tell(`${release.version} is marked insecure by its maintainers`);
    if (entry.version === "" && release.extra !== undefined)
      tell(`${release.version} was taken though it is no stable release: there is none, name the version you want`);
    const file = fileOf(release, variantOf(entry));
    if (!file) throw new ProvisionError("BUILD_FAILED", `the update server names no file for ${release.version}`);
    if (!URL.canParse(file.url) || !/^https?:\/\//i.test(file.url))
      throw new ProvisionError(
        "BUILD_FAILED",
        `the update server sends to ${JSON.stringify(shown(file.url))}, which is refused: it is neither http nor https`,
      );
    const url = new URL(file.url).href;
    const checksums = this.#checksums(file.md5 === undefined ? {} : { md5: file.md5 }, undefined);
    return {
      ...job,
      version: release.version,
      fetch: { kind: "file", address: { url }, checksums, name: basename(new URL(url).pathname) },
    };
  }

  #checksums(given: PatchRequest["checksums"], locked: string | undefined): PatchRequest["checksums"] {
    return { ...(this.options.ignoreChecksums ? {} : given), ...(locked === undefined ? {} : { sha256: locked }) };
  }

  #release(entry: PlanEntry, core: string, history: ReleaseHistory): Release {
    const release = releaseFor(history, core, this.#update === "newest" ? "" : entry.version, entry.kind === "core");
    if (release) return (this.#update === "security" ? securityUpdateOf(history, release) : undefined) ?? release;
    throw new ProvisionError("BUILD_FAILED", unknownVersion(history, entry, core));
  }
}

export function isRelease(entry: PlanEntry): boolean {
  return phpText(entry.download.get("type")) === "pm" && entry.download.has("status url");
}

function variantOf(entry: PlanEntry): "full" | "projects" | "profile-only" | undefined {
  if (entry.kind === "core") return "full";
  const variant = phpText(entry.attributes.get("variant"));
  if (variant === "full" || variant === "projects") return variant;
  return entry.type.toLowerCase() === "profile" ? "profile-only" : undefined;
}

/** Where an entry goes, relative to the platform and short. Rejects with BUILD_FAILED for a name, type or place that is refused. */
export function checkedPath(entry: PlanEntry): string {
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
