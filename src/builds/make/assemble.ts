import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isSystemError, ProvisionError } from "../../core/errors.js";
import type { BuildReport, BuildRequest } from "../source.js";
import { treeHash } from "../tree-hash.js";
import { shown } from "./address.js";
import type { AssembleOptions } from "./assemble-options.js";
import { DownloadCache } from "./cache.js";
import { type DownloadOptions, download } from "./download.js";
import { aboutEntry, Failures } from "./failures.js";
import { contentHash, type Fetched, fetchTree } from "./fetch-entry.js";
import { GitMirrors } from "./git.js";
import { gitVersion, isOfDrupal, isToldByTags, writeInfoFiles } from "./info-file.js";
import { mayBeRemoved, mergeInto } from "./into-directory.js";
import { entryTree, type LockedEntry, lockedOptions, lockText, type MakeLock } from "./lock.js";
import { iniText, yamlText } from "./make-text.js";
import { applyPatch, type PatchRequest, recordPatches } from "./patch.js";
import { isTruthy, phpText } from "./php-value.js";
import { archivePath, md5Of, type Piece, prepareInstall, putTogether, syncTree, tarOf } from "./place.js";
import { type Job, Resolver, type ResolveTools } from "./resolve.js";
import { type Resolution, resolvedMakeFile } from "./resolved.js";
import { Slots, stopIfAborted } from "./slots.js";
import { fetchTranslations, placeTranslations, type Translation } from "./translations.js";

interface Built {
  readonly job: Job;
  readonly fetched: Fetched;
  readonly patches: readonly { readonly request: PatchRequest; readonly file: string }[];
  readonly translations: readonly Translation[];
}

/**
 * One build: fetches and patches every entry in a directory of its own, all at once, follows make files inside projects
 * level by level, and only when all is there puts the tree together and renames it into place. Whatever fails,
 * everything else is still tried, so that all that is wrong is told at once.
 */
export class Assembly {
  readonly #request: BuildRequest;
  readonly #slots: Slots;
  readonly #staging: string;
  readonly #warnings: string[] = [];
  readonly #failures = new Failures((error) => this.#fullDisk(error));
  readonly #unfinished = new Set<string>();
  readonly #tools: ResolveTools;
  readonly #resolver: Resolver;
  #parts = 0;

  constructor(options: AssembleOptions, request: BuildRequest) {
    const { host, cache, mirrors, offline, signal, destination } = request;
    this.#request = request;
    this.#slots = new Slots(request.jobs, signal);
    const name = `.${basename(destination)}.building-${randomBytes(6).toString("hex")}`;
    this.#staging =
      request.staging ?? join(options.noCore && !options.tar && existsSync(destination) ? destination : dirname(destination), name);
    const downloads: DownloadOptions = { cache: new DownloadCache(cache), mirrors, offline, ...(signal ? { signal } : {}) };
    const shallow = options.shallowClone === true;
    this.#tools = {
      slots: this.#slots,
      downloads,
      git: new GitMirrors({ host, cache, mirrors, offline, shallow, mainFile: options.makefile, ...(signal ? { signal } : {}) }),
      failures: this.#failures,
      scratch: (kind) => join(this.#staging, `${kind}-${this.#parts++}`),
      ready: (settled) => this.#refuseTaken(settled),
      warn: (message) => void this.#warnings.push(message),
      plain: (text) => this.#withoutStaging(text),
    };
    this.#resolver = new Resolver(options, request, this.#tools);
  }

  get #options(): AssembleOptions {
    return this.#resolver.options;
  }

  async run(): Promise<BuildReport> {
    const { destination, host } = this.#request;
    try {
      await mkdir(this.#staging, { recursive: true, mode: 0o755 });
      const jobs = await this.#resolver.mainJobs();
      const merge = existsSync(destination) && !this.#options.tar;
      const built = await this.#buildAll(jobs);
      const tree = join(this.#staging, "platform");
      await this.#putTogether(built, tree);
      this.#throwFailures(built.length);
      if (this.#options.prepareInstall) await prepareInstall(tree);
      const bundled = await this.#bundle(built, tree);
      const lock = this.#options.withLock || this.#options.lock ? await this.#lockOf(built, tree) : undefined;
      if (lock && this.#options.lock) this.#verifyLock(lock, this.#options.lock);
      const md5 = this.#options.md5 ? await md5Of(host, tree) : undefined;
      stopIfAborted(this.#request.signal);
      const put = await this.#publish(tree, built, merge);
      // What is moved into a directory that was there are entries; this is none.
      const beside = merge && bundled !== undefined ? join(destination, bundled.path) : undefined;
      const rewrite = beside !== undefined && (await host.readFile(beside)) !== bundled?.text;
      if (beside !== undefined && rewrite) {
        await host.mkdir(dirname(beside));
        await host.writeFile(beside, bundled?.text ?? "");
      }
      return {
        entries: built.map(({ job, fetched }) => ({
          name: job.version === "" ? job.entry.name : `${job.entry.name} ${job.version}`,
          type: job.entry.type,
          path: job.path,
          source: fetched.source,
        })),
        warnings: this.#warnings,
        resolved: this.#elsewhere(),
        ...(put.path === undefined ? {} : { path: put.path }),
        ...(put.unchanged && !rewrite ? { unchanged: true } : {}),
        ...(md5 === undefined ? {} : { md5 }),
        ...(lock && this.#options.withLock ? { lock: await lockText(lock) } : {}),
      };
    } catch (error) {
      throw this.#explained(error);
    } finally {
      // Unless it holds what stood in the destination and could not be put back; the next build tries again.
      if (mayBeRemoved(this.#staging)) await host.remove(this.#staging);
    }
  }

  async #publish(tree: string, built: readonly Built[], merge: boolean): Promise<Pick<BuildReport, "path" | "unchanged">> {
    const { destination, host } = this.#request;
    await syncTree(host, tree);
    if (this.#options.tar) return { path: await tarOf(host, tree, destination, this.#staging) };
    if (merge) {
      const paths = built.map(({ job }) => job.path);
      const changed = await mergeInto(host, this.#staging, destination, paths, this.#options.overwrite === true);
      return changed.length === 0 ? { unchanged: true } : {};
    }
    if (existsSync(destination))
      throw new ProvisionError("NAME_TAKEN", `${destination} was made by someone else while this build ran`, {
        state: "what is there was not touched",
      });
    await host.rename(tree, destination);
    return {};
  }

  /** The make file as it was resolved goes into the build (`--bundle-lockfile`), INI or YAML by its name. */
  async #bundle(built: readonly Built[], tree: string): Promise<{ readonly path: string; readonly text: string } | undefined> {
    const { bundleLockfile: path } = this.#options;
    if (path === undefined) return undefined;
    const target = join(tree, path);
    if (existsSync(target)) throw new ProvisionError("NAME_TAKEN", `--bundle-lockfile: something that was built stands at ${path}`);
    const own = built.filter(({ job }) => job.of === undefined);
    const resolutions = own.map(({ job: { entry, core, version }, fetched: { git } }): Resolution => {
      if (git?.request.kind !== "head" && git?.request.kind !== "branch") return { entry, core, version };
      const branch = git.request.kind === "branch" ? { branch: git.request.ref } : {};
      return { entry, core, version, git: { commit: git.found.commit, ...branch } };
    });
    const document = resolvedMakeFile(this.#resolver.document, resolutions);
    // A web server may hand it out: no credentials.
    const text = (path.endsWith(".make") ? iniText(document) : yamlText(document)).replace(/[a-z][a-z0-9+.-]*:\/\/[^\s'"]+/gi, shown);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await writeFile(target, text, { mode: 0o644 });
    return { path, text };
  }

  /** Only without a core may there be something already. */
  #refuseTaken(options: AssembleOptions): void {
    const destination = options.tar ? archivePath(this.#request.destination) : this.#request.destination;
    if (!existsSync(destination) || (options.noCore && !options.tar)) return;
    throw new ProvisionError("NAME_TAKEN", `Base path ${destination} already exists.`, {
      state: "nothing was built, and what is there was not touched",
      next: ["Move it away, or build to another path"],
    });
  }

  async #buildAll(first: readonly Job[]): Promise<Built[]> {
    const all: Built[] = [];
    let level = first;
    while (level.length > 0) {
      const built = await Promise.all(level.map((job) => this.#failures.guarded(aboutEntry(job.entry, job.fetch), () => this.#build(job))));
      const whole = built.filter((each): each is Built => each !== undefined);
      all.push(...whole);
      const stop = this.#options.noRecursion || (this.#failures.any && !this.#options.forceComplete);
      const next: Job[] = [];
      // one after the other: who is first among siblings must not depend on speed
      for (const { job, fetched } of stop ? [] : whole) next.push(...(await this.#resolver.nestedJobs(job, fetched.tree)));
      level = next;
    }
    this.#throwFailures(all.length);
    return all;
  }

  async #build(job: Job): Promise<Built> {
    const { host, progress } = this.#request;
    const { entry, languages } = job;
    const directory = this.#tools.scratch("part");
    this.#unfinished.add(entry.name);
    // Patches first: a project whose patch cannot be had is not worth its download.
    const patches = await this.#patchesOf(job);
    const info = this.#writesInfo(job);
    const fetched = await this.#slots.run(async () => {
      mkdirSync(directory);
      const order = {
        fetch: job.fetch,
        entry,
        workingCopy: job.workingCopy,
        describe: info && isToldByTags(entry, job.core),
        ...(job.locked ? { locked: job.locked.source } : {}),
      };
      const withLock = this.#options.withLock === true || this.#options.lock !== undefined;
      return fetchTree(order, directory, { host, git: this.#tools.git, downloads: this.#tools.downloads, withLock });
    });
    progress?.(
      `${entry.name}${job.version === "" ? "" : ` ${job.version}`} ${job.fetch.kind === "git" ? "cloned" : "downloaded"} from ${fetched.source}.`,
    );
    if (isTruthy(entry.attributes.get("lock")) && entry.kind !== "core")
      await writeFile(join(fetched.tree, ".drush-lock-update"), phpText(entry.attributes.get("lock")));
    const applied = patches.length === 0 ? [] : await this.#slots.run(() => this.#patch(job, fetched.tree, patches));
    const translations = languages.length === 0 ? [] : await this.#slots.run(() => this.#translate(job, fetched));
    if (info && fetched.git) {
      const { request, found } = fetched.git;
      await writeInfoFiles(fetched.tree, {
        version: gitVersion(entry, job.core, request, found),
        project: entry.name,
        date: found.date ?? 0,
      });
    }
    this.#unfinished.delete(entry.name);
    return { job, fetched, patches: applied, translations };
  }

  /** A working copy would be dirty from its first day: it stays as it was committed. */
  #writesInfo({ entry, fetch, workingCopy }: Job): boolean {
    if (fetch.kind !== "git" || entry.kind === "library" || workingCopy || this.#options.noGitInfoFile) return false;
    return this.#options.forceGitInfoFile === true || isOfDrupal(entry.download);
  }

  async #patchesOf(job: Job) {
    const fetched = await Promise.all(
      job.patches.map(async (request) => {
        const get = () => this.#slots.run(() => download(request.address, request.checksums, this.#tools.downloads));
        try {
          return { request, file: await get() };
        } catch (error) {
          this.#force(job, error);
          return undefined;
        }
      }),
    );
    return fetched.filter((each) => each !== undefined);
  }

  async #patch(job: Job, tree: string, patches: Built["patches"]): Promise<Built["patches"]> {
    const { host, progress, signal } = this.#request;
    const applied: Built["patches"][number][] = [];
    for (const patch of patches) {
      stopIfAborted(signal);
      try {
        await applyPatch(host, tree, patch.file, patch.request.name);
        applied.push(patch);
        progress?.(`${job.entry.name} patched with ${patch.request.name}.`);
      } catch (error) {
        this.#force(job, error);
      }
    }
    if (this.#options.noPatchTxt !== true) await recordPatches(tree, applied);
    return applied;
  }

  /** A project without one of its patches is still the project, to whoever asked for `forceComplete`. */
  #force(job: Job, error: unknown): void {
    stopIfAborted(this.#request.signal);
    if (!this.#options.forceComplete || !(error instanceof ProvisionError)) throw error;
    this.#warnings.push(`${error.code}: ${job.entry.name}: ${error.message} -- build forced`);
  }

  async #translate(job: Job, fetched: Fetched): Promise<readonly Translation[]> {
    const { entry, core, languages, locked } = job;
    const { downloads } = this.#tools;
    const version = job.version === "" && fetched.git ? gitVersion(entry, core, fetched.git.request, fetched.git.found) : job.version;
    const missing = (names: readonly string[]) =>
      void this.#warnings.push(`Unable to download translations for ${entry.name}: ${names.join(", ")}`);
    const found = locked
      ? await Promise.all(
          (locked.translations ?? []).map(async ({ language, url, sha256 }) => ({
            language,
            url,
            file: await download({ url }, { sha256 }, downloads),
          })),
        )
      : await fetchTranslations(entry, core, version, languages, downloads, missing);
    await placeTranslations(fetched.tree, entry.kind === "core", found);
    return found;
  }

  #putTogether(built: readonly Built[], platform: string): Promise<void> {
    const pieces = built.map(({ job: { entry, path }, fetched }) => ({
      name: entry.name,
      path,
      tree: fetched.tree,
      keepOther: entry.attributes.has("overwrite") && !isTruthy(entry.attributes.get("overwrite")),
    }));
    const each = async (piece: Piece, work: () => Promise<void>) => {
      const job = built.find(({ fetched }) => fetched.tree === piece.tree)?.job;
      await this.#failures.guarded(job ? aboutEntry(job.entry, job.fetch) : { entry: piece.name, type: "", source: piece.path }, work);
    };
    return putTogether(pieces, platform, each, (message) => void this.#warnings.push(message));
  }

  /** What the make file took from elsewhere to know what it asks for. */
  #elsewhere(): Record<string, string> {
    const { options, includes, makefileHash } = this.#resolver;
    const read = includes.map(({ source, sha256, commit }) => [`include ${source}`, sha256 ? `sha256 ${sha256}` : `commit ${commit}`]);
    return {
      ...(makefileHash === undefined ? {} : { [`make file ${shown(options.makefile)}`]: `sha256 ${makefileHash}` }),
      ...Object.fromEntries(read),
    };
  }

  async #lockOf(built: readonly Built[], tree: string): Promise<MakeLock> {
    const paths = built.map(({ job }) => job.path);
    const entries = await Promise.all(built.map((each) => this.#lockedEntry(each, tree, paths)));
    const { options, includes, inputs } = this.#resolver;
    return {
      lock: 1,
      makefile: /^https?:/.test(options.makefile) ? shown(options.makefile) : basename(options.makefile),
      inputs,
      options: lockedOptions(options),
      ...(includes.length > 0 ? { includes } : {}),
      entries,
      tree: (await treeHash(tree)) ?? "",
    };
  }

  async #lockedEntry({ job, fetched, patches, translations }: Built, tree: string, paths: readonly string[]): Promise<LockedEntry> {
    const { entry, path, of, version, asked } = job;
    if (!fetched.locked) throw new Error(`${entry.name} was fetched without a source for the lock`);
    const hashed = await Promise.all(patches.map(async ({ request, file }) => ({ name: request.name, sha256: await contentHash(file) })));
    const words = await Promise.all(
      translations.map(async ({ language, url, file }) => ({ language, url: shown(url), sha256: await contentHash(file) })),
    );
    return {
      name: entry.name,
      kind: entry.kind,
      type: entry.type,
      path,
      ...(of === undefined ? {} : { of }),
      ...(version === "" ? {} : { version }),
      asked,
      source: fetched.locked,
      ...(hashed.length > 0 ? { patches: hashed } : {}),
      ...(words.length > 0 ? { translations: words } : {}),
      tree: (await entryTree(tree, path, paths)) ?? "",
    };
  }

  /** Everything came as the lock says; if the tree is another all the same, a program here works otherwise than there. */
  #verifyLock(made: MakeLock, lock: MakeLock): void {
    if (made.tree === lock.tree) return;
    const differing = made.entries.filter(({ path, tree }) => lock.entries.find((entry) => entry.path === path)?.tree !== tree);
    throw new ProvisionError("LOCK_MISMATCH", `${shown(this.#options.makefile)}: the tree is not the one that the lock names`, {
      why: differing.map(({ name }) => `${name}: it came out otherwise`),
    });
  }

  /** tar and git say in many ways that the disk is full. */
  async #fullDisk(error: ProvisionError): Promise<string[]> {
    if (error.code !== "COMMAND_FAILED") return [];
    const free = await this.#request.host.freeSpace(this.#staging);
    return free < 1024 ** 2 ? [`no space left on the disk: ${free} bytes are free beside ${this.#request.destination}`] : [];
  }

  #throwFailures(built: number): void {
    if (!this.#failures.any) return;
    stopIfAborted(this.#request.signal);
    const rows = this.#failures.rows((text) => this.#withoutStaging(text));
    if (this.#options.forceComplete && built > 0 && !this.#options.lock) {
      this.#failures.list.length = 0;
      for (const { entry, reason } of rows) this.#warnings.push(`${entry}: ${reason} -- build forced`);
      return;
    }
    throw new ProvisionError(
      "BUILD_FAILED",
      `${shown(this.#options.makefile)}: ${rows.length} of ${rows.length + built} entries could not be built`,
      {
        failures: rows,
        state: this.#untouched(),
      },
    );
  }

  #untouched(): string {
    const { destination } = this.#request;
    return existsSync(destination)
      ? `nothing was put in place: ${destination} is as it was`
      : `nothing was put in place: ${destination} does not exist`;
  }

  #explained(error: unknown): unknown {
    if (this.#request.signal?.aborted) {
      const open = [...this.#unfinished];
      return new ProvisionError("STOPPED", `the build of ${shown(this.#options.makefile)} was stopped`, {
        why: open.length > 0 ? [`not finished: ${open.join(", ")}`] : [],
        state: this.#untouched(),
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
