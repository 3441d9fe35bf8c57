import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { Host, RunOptions } from "../../host/host.js";
import { addressOf, shown, withMirrors } from "./address.js";
import { gitEnvironment } from "./git-environment.js";
import { type Exported, GitTrees } from "./git-trees.js";
import { gitDirectory, refIn } from "./local-repository.js";
import { isTruthy, type Mark, type PhpArray, phpText } from "./php-value.js";

export interface GitOptions {
  readonly host: Host;
  /** The cache of the hub; mirror clones stand in `git/` below it. */
  readonly cache: string;
  readonly mirrors: Readonly<Record<string, string>>;
  readonly offline: boolean;
  /** The make file that the build began with. */
  readonly mainFile: string;
  /** One commit instead of all history, where a server gives it, also for a repository with submodules. */
  readonly shallow?: boolean;
  readonly signal?: AbortSignal;
}

/** What comes out of a repository. */
export interface CheckedOut {
  readonly commit: string;
  /** Seconds since the epoch, of the commit; not of a working copy. */
  readonly date?: number;
  /** As `git describe --tags --long` says it, when asked; absent without a tag below the commit. */
  readonly described?: string;
  /** It is known already that tameTree() has nothing to do. */
  readonly tame?: boolean;
}

export interface CheckOutOptions {
  readonly submodules?: boolean;
  /** Keep a real clone that pulls from this URL. */
  readonly workingCopy?: string;
  /** This commit and no other, whatever the names say now. */
  readonly commit?: string;
  /** Also say how tags describe the commit. */
  readonly describe?: boolean;
}

/** What to check out; refspec before tag before revision before branch, none: the repository's HEAD. */
export interface GitRequest {
  readonly url: string;
  readonly kind: "refspec" | "tag" | "revision" | "branch" | "head";
  readonly ref: string;
}

const CLONE_TIMEOUT = 30 * 60_000;

/** Repositories that moved: the old addresses stand in thousands of make files and answer no more. */
const MOVED: readonly (readonly [RegExp, string])[] = [
  [/^git:\/\/github\.com\//i, "https://github.com/"],
  [/^(?:git|https?):\/\/git\.drupal\.org\/(project|sandbox)\//i, "https://git.drupalcode.org/$1/"],
  [/^(?:[^@/\s]+@)?git\.drupal\.org:(project|sandbox)\//i, "https://git.drupalcode.org/$1/"],
];

export function gitRequest(download: PhpArray, projectName: string | undefined): GitRequest {
  const text = (key: string) => (isTruthy(download.get(key)) ? phpText(download.get(key)) : undefined);
  const given = text("url") ?? (projectName === undefined ? undefined : `https://git.drupalcode.org/project/${projectName}.git`);
  if (given === undefined) throw new ProvisionError("BUILD_FAILED", "a git download needs a url");
  for (const [kind, ref] of [
    ["refspec", text("refspec")],
    ["tag", text("tag")],
    ["revision", text("revision") ?? text("commit")],
    ["branch", text("branch")],
  ] as const) {
    if (ref === undefined) continue;
    checkRef(kind, ref);
    return { url: checkedUrl(given), kind, ref };
  }
  return { url: checkedUrl(given), kind: "head", ref: "HEAD" };
}

function checkRef(kind: string, ref: string): void {
  // No ref may start with `-` (an option), and none can hold these (git-check-ref-format); `:` and `+` are a refspec's.
  if (ref.startsWith("-") || /[\0-\x20\x7f~^?*[\\;]|\.\.|@\{/.test(ref) || (kind !== "refspec" && ref.includes(":"))) {
    throw new ProvisionError("BUILD_FAILED", `the ${kind} ${JSON.stringify(ref)} is refused: no name in git looks like this`);
  }
}

const OUTSIDE = /^(?:https?|git|ssh|file):\/\//i;
const SCP_LIKE = /^(?:[^@/:]+@)?[^@/:]+:(?!:|\/\/)/;

/** No helper transports (`ext::sh -c …`), nothing that git or ssh could take for an option. */
function checkedUrl(url: string): string {
  const known = OUTSIDE.test(url) || SCP_LIKE.test(url) || !url.includes(":");
  const optionLike = url.startsWith("-") || /^(?:[a-z]+:\/\/)?(?:[^@/:]*@)?-/i.test(url);
  if (known && !optionLike && !/[\0-\x20\x7f]/.test(url)) return url;
  throw new ProvisionError(
    "BUILD_FAILED",
    `the repository ${JSON.stringify(shown(url))} is refused: use https, http, git, ssh, file or a path`,
  );
}

/** Where the repository is fetched from, and under what name it is kept. */
interface Place {
  readonly key: string;
  readonly source: string;
  readonly local: boolean;
}

const WHOLE = /^[0-9a-f]{40}$/;

function keyOf(place: Place): string {
  return createHash("sha256").update(place.key).digest("hex").slice(0, 40);
}

/** A ref of ours; a mirror prunes it, but nothing removes its commits. */
function own(name: string): string {
  return `refs/provision/${createHash("sha256").update(name).digest("hex").slice(0, 16)}`;
}

/** As `git init --bare` makes one, without starting git. */
async function bareRepository(path: string): Promise<void> {
  if (existsSync(join(path, "HEAD"))) return;
  await mkdir(join(path, "objects"), { recursive: true });
  await mkdir(join(path, "refs"), { recursive: true });
  await writeFile(join(path, "config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n");
  await writeFile(join(path, "HEAD"), "ref: refs/heads/main\n");
}

/** What a name means in a repository of this machine; `undefined` for what only git can tell. */
function refOf(store: string | undefined, { kind, ref }: GitRequest): string | undefined {
  if (store === undefined) return undefined;
  if (kind === "head") return refIn(store, "HEAD");
  if (kind === "tag") return refIn(store, `refs/tags/${ref}`);
  return kind === "branch" ? (refIn(store, `refs/heads/${ref}`) ?? refIn(store, `refs/tags/${ref}`)) : undefined;
}

function locate(url: string, mark: Mark | undefined, options: GitOptions): Place {
  const isPath = !/^[a-z][a-z0-9+.-]*:\/\//i.test(url) && !/^[^/:]+:/.test(url);
  if (isPath || /^file:/i.test(url)) {
    const address = addressOf(url, mark, options.mainFile);
    const path = "path" in address ? address.path : url;
    return { key: `file://${path}`, source: path, local: true };
  }
  const names = [url, ...MOVED.filter(([old]) => old.test(url)).map(([old, now]) => url.replace(old, now))];
  const mirrored = names.flatMap((name) =>
    withMirrors(name, options.mirrors).filter((address) => "path" in address || address.url !== name),
  );
  for (const address of mirrored) {
    if ("url" in address) return { key: url, source: address.url, local: false };
    const path = [address.path, `${address.path}.git`, address.path.replace(/\.git$/, "")].find((candidate) => existsSync(candidate));
    if (path !== undefined) return { key: url, source: path, local: true };
  }
  return { key: url, source: names.at(-1) ?? url, local: false };
}

/**
 * Mirror clones in the cache, each made beside and renamed, each brought up to date under a lock of its own; a tree is
 * written from one without a `.git` of its own.
 */
export class GitMirrors {
  readonly #options: GitOptions;
  readonly #trees: GitTrees;
  readonly #ready = new Map<string, Promise<string>>();

  constructor(options: GitOptions) {
    this.#options = options;
    this.#trees = new GitTrees(options.host, options.cache, options.signal);
  }

  /**
   * Writes the tree to a directory that does not exist yet.
   * @throws ProvisionError BUILD_FAILED, STOPPED
   */
  async checkOut(request: GitRequest, into: string, mark: Mark | undefined, options: CheckOutOptions = {}): Promise<CheckedOut> {
    const place = locate(request.url, mark, this.#options);
    const { submodules = false, workingCopy, describe = false } = options;
    const whole = submodules || workingCopy !== undefined;
    const found = whole || describe ? undefined : await this.#direct(place, request, options.commit, into);
    if (found) return found;
    const { mirror, commit } = await this.#commit(place, request, options);
    if (!whole) {
      const { date, tame } = await this.#export(mirror, commit, into, place);
      const described = describe ? await this.#describe(mirror, commit) : undefined;
      return { commit, date, tame, ...(described === undefined ? {} : { described }) };
    }
    await mkdir(into, { mode: 0o755 });
    if (workingCopy !== undefined) await this.#workingCopy(workingCopy, mirror, request, commit, into);
    else await this.#clone(request.url, mirror, commit, into);
    if (submodules) await this.#submodules(request.url, place.local, into);
    const { stdout } = await this.#git(["--git-dir", mirror, "show", "--no-patch", "--format=%ct", "--end-of-options", commit], {});
    const described = describe ? await this.#describe(mirror, commit) : undefined;
    return { commit, date: Number(stdout.trim()), ...(described === undefined ? {} : { described }) };
  }

  /**
   * Without a copy of the repository: a commit whose tree is in the cache, or anything in a repository of this machine.
   * `undefined` when it takes more than that.
   */
  async #direct(place: Place, request: GitRequest, locked: string | undefined, into: string): Promise<CheckedOut | undefined> {
    const store = place.local ? gitDirectory(place.source) : undefined;
    const id = locked ?? (request.kind === "revision" && WHOLE.test(request.ref) ? request.ref : refOf(store, request));
    const name = `${place.key} ${request.kind} ${request.ref}`;
    // a repository that is there has the last word on its names
    if (id === undefined) return this.#options.offline && store === undefined ? this.#trees.kept(name, into) : undefined;
    const found = (await this.#trees.kept(id, into)) ?? (store && (await this.#trees.exported(join(store, "objects"), id, into)));
    if (!found) return undefined;
    if (store !== undefined && locked === undefined) await this.#trees.remember(name, found.commit);
    return found;
  }

  async #export(mirror: string, commit: string, into: string, place: Place): Promise<Exported> {
    const made = (await this.#trees.kept(commit, into)) ?? (await this.#trees.exported(join(mirror, "objects"), commit, into));
    if (made) return made;
    throw new ProvisionError("BUILD_FAILED", `Unable to check out ${commit} of ${shown(place.source)}: git cannot read its tree`);
  }

  /** The branch that the repository's HEAD names, and the commit of `branch` or of HEAD. */
  async tip(request: GitRequest, mark: Mark | undefined): Promise<{ readonly branch?: string; readonly commit: string }> {
    const place = locate(request.url, mark, this.#options);
    const mirror = await this.#mirror(place, undefined);
    const commit = await this.#resolve(mirror, request, place);
    const { code, stdout } = await this.#git(["--git-dir", mirror, "symbolic-ref", "--quiet", "HEAD"], { anyExit: true });
    return { commit, ...(code === 0 ? { branch: stdout.trim().replace(/^refs\/heads\//, "") } : {}) };
  }

  async #commit(place: Place, request: GitRequest, options: CheckOutOptions): Promise<{ mirror: string; commit: string }> {
    const full = options.commit ?? (request.kind === "revision" && WHOLE.test(request.ref) ? request.ref : undefined);
    // History is needed for tags that describe a commit, and for whoever works in the copy; submodules are brought to a clone.
    if ((this.#options.shallow || !options.submodules) && !options.describe && options.workingCopy === undefined) {
      const mirror = join(this.#options.cache, "git", keyOf(place));
      if (full !== undefined && existsSync(mirror) && (await this.#has(mirror, full))) return { mirror, commit: full };
      const shallow = await this.#shallow(place, request, full);
      if (shallow !== undefined) return shallow;
    }
    const mirror = await this.#mirror(place, full);
    if (full === undefined) return { mirror, commit: await this.#resolve(mirror, request, place) };
    if (!(await this.#has(mirror, full)) && request.kind === "refspec") await this.#fetchRefspec(mirror, request.ref, place);
    if (!(await this.#has(mirror, full))) await this.#fetchCommit(mirror, full, place);
    return { mirror, commit: full };
  }

  async #fetchCommit(mirror: string, commit: string, place: Place): Promise<void> {
    if (!this.#options.offline || place.local) {
      const args = ["--git-dir", mirror, "fetch", "--quiet", "--no-auto-gc", "--end-of-options", place.source, `+${commit}:${own(commit)}`];
      await this.#locked(mirror, args, place.source).catch(() => undefined);
    }
    if (!(await this.#has(mirror, commit)))
      throw new ProvisionError("BUILD_FAILED", `Unable to check out revision ${commit} of ${shown(place.source)}: there is no such commit`);
  }

  /** A bare repository for single commits, apart from the mirrors, whose history is whole; `undefined` when only a mirror will do. */
  async #shallow(place: Place, request: GitRequest, full: string | undefined): Promise<{ mirror: string; commit: string } | undefined> {
    const wanted =
      full ??
      { tag: `refs/tags/${request.ref}`, branch: `refs/heads/${request.ref}`, head: "HEAD", refspec: "", revision: "" }[request.kind];
    if (wanted === "") return undefined;
    const path = join(this.#options.cache, "git", `${keyOf(place)}-shallow`);
    const ref = own(wanted);
    if (full !== undefined && existsSync(path) && (await this.#has(path, full))) return { mirror: path, commit: full };
    if (!this.#options.offline || place.local) {
      await bareRepository(path);
      // without a scheme git takes a shortcut for paths, and ignores the depth
      const source = place.source.startsWith("/") ? `file://${place.source}` : place.source;
      const args = [
        "--git-dir",
        path,
        "fetch",
        "--quiet",
        "--no-auto-gc",
        "--no-tags",
        "--depth=1",
        "--end-of-options",
        source,
        `+${wanted}:${ref}`,
      ];
      const fetched = await this.#locked(path, args, place.source).then(
        () => true,
        () => false,
      );
      if (!fetched) return undefined;
    } else if (!existsSync(path)) return undefined;
    const { code, stdout } = await this.#git(["--git-dir", path, "rev-parse", "--quiet", "--verify", `${ref}^{commit}`], { anyExit: true });
    return code === 0 ? { mirror: path, commit: stdout.trim() } : undefined;
  }

  async #describe(mirror: string, commit: string): Promise<string | undefined> {
    const { code, stdout } = await this.#git(["--git-dir", mirror, "describe", "--tags", "--long", "--end-of-options", commit], {
      anyExit: true,
    });
    return code === 0 ? stdout.trim() : undefined;
  }

  /** `commit`: when it is there, nothing has to be fetched. */
  #mirror(place: Place, commit: string | undefined): Promise<string> {
    const path = join(this.#options.cache, "git", keyOf(place));
    // Anything but a known commit is fetched once a build.
    const known = this.#ready.get(path);
    if (known !== undefined) return known;
    const made = this.#makeMirror(path, place, commit);
    if (commit === undefined) this.#ready.set(path, made);
    return made;
  }

  async #makeMirror(path: string, place: Place, whole: string | undefined): Promise<string> {
    const { source, local } = place;
    const away = this.#options.offline && !(local && existsSync(source));
    if (existsSync(path)) {
      if (away || (whole !== undefined && (await this.#has(path, whole)))) return path;
      const args = ["--git-dir", path, "fetch", "--quiet", "--prune", "--no-auto-gc", "--end-of-options", source, "+refs/*:refs/*"];
      try {
        await this.#locked(path, args, source);
        return path;
      } catch (error) {
        if (this.#options.offline) return path;
        // A fetch that was killed, or a disk that was full, may have left a mirror that git refuses; the source decides.
        if ((await this.#git(["ls-remote", "--quiet", "--end-of-options", source, "HEAD"], { anyExit: true })).code !== 0) throw error;
        await rm(path, { recursive: true, force: true });
      }
    }
    if (away)
      throw new ProvisionError("BUILD_FAILED", `Unable to clone ${shown(source)}: it is not in the cache, and this build is offline`);
    await mkdir(join(this.#options.cache, "git"), { recursive: true });
    const beside = `${path}.${randomBytes(6).toString("hex")}`;
    try {
      await this.#checked(
        ["clone", "--quiet", "--mirror", "--no-hardlinks", "--end-of-options", source, beside],
        `Unable to clone ${shown(source)}.`,
      );
      await this.#options.host.rename(beside, path).catch((error: unknown) => {
        // another build was faster
        if (!existsSync(path)) throw error;
      });
    } finally {
      await rm(beside, { recursive: true, force: true });
    }
    return path;
  }

  async #resolve(mirror: string, request: GitRequest, place: Place): Promise<string> {
    const { kind, ref } = request;
    if (kind === "refspec") return this.#fetchRefspec(mirror, ref, place);
    const names = { tag: [`refs/tags/${ref}`], branch: [`refs/heads/${ref}`, `refs/tags/${ref}`], revision: [ref], head: ["HEAD"] }[kind];
    for (const name of names) {
      const { code, stdout } = await this.#git(
        ["--git-dir", mirror, "rev-parse", "--quiet", "--verify", "--end-of-options", `${name}^{commit}`],
        { anyExit: true },
      );
      if (code === 0) return stdout.trim().split("\n").at(-1) ?? "";
    }
    throw new ProvisionError("BUILD_FAILED", `Unable to check out ${kind} ${ref} of ${shown(request.url)}: there is no such ${kind}`);
  }

  async #fetchRefspec(mirror: string, refspec: string, place: Place): Promise<string> {
    const source = refspec.replace(/^\+/, "").split(":")[0] ?? "";
    const name = own(refspec);
    const url = place.source;
    if (!this.#options.offline || place.local)
      await this.#locked(
        mirror,
        ["--git-dir", mirror, "fetch", "--quiet", "--no-auto-gc", "--end-of-options", url, `+${source}:${name}`],
        url,
      );
    const { code, stdout } = await this.#git(["--git-dir", mirror, "rev-parse", "--quiet", "--verify", `${name}^{commit}`], {
      anyExit: true,
    });
    if (code !== 0) throw new ProvisionError("BUILD_FAILED", `Unable to check out refspec ${refspec} of ${shown(url)}`);
    return stdout.trim();
  }

  async #has(mirror: string, commit: string): Promise<boolean> {
    return (await this.#git(["--git-dir", mirror, "cat-file", "-e", `${commit}^{commit}`], { anyExit: true })).code === 0;
  }

  async #clone(url: string, mirror: string, commit: string, into: string): Promise<void> {
    await this.#checked(
      ["clone", "--quiet", "--no-checkout", "--no-hardlinks", "--end-of-options", mirror, into],
      `Unable to clone ${shown(url)}.`,
    );
    // a commit of a refspec is in the mirror, but on no branch that a clone brings
    if (!(await this.#has(join(into, ".git"), commit)))
      await this.#git(["-C", into, "fetch", "--quiet", "--no-auto-gc", mirror, commit], {});
    await this.#git(["-C", into, "remote", "set-url", "origin", "--", url], {});
    await this.#git(["-C", into, "checkout", "--quiet", "--detach", commit], {});
  }

  /** A branch is checked out as one that follows its origin; anything else is a commit without a branch, as drush leaves it. */
  async #workingCopy(url: string, mirror: string, request: GitRequest, commit: string, into: string): Promise<void> {
    await this.#clone(url, mirror, commit, into);
    const { stdout } = await this.#git(["-C", into, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"], { anyExit: true });
    const branch = request.kind === "branch" ? request.ref : request.kind === "head" ? stdout.trim().replace(/^origin\//, "") : "";
    const tip =
      branch === ""
        ? ""
        : (await this.#git(["-C", into, "rev-parse", "--quiet", "--verify", `refs/remotes/origin/${branch}`], { anyExit: true })).stdout;
    // from a lock the branch may be behind
    if (tip.trim() === commit) await this.#git(["-C", into, "checkout", "--quiet", "-B", branch, "--track", `origin/${branch}`], {});
  }

  /** Only a repository of this machine may name submodules on this machine. Mirrors stand for submodules too. */
  async #submodules(url: string, local: boolean, into: string): Promise<void> {
    const instead = Object.entries(this.#options.mirrors).flatMap(([prefix, target]) => [
      "-c",
      `url.${target.replace(/^file:\/\//, "")}${prefix.endsWith("/") && !target.endsWith("/") ? "/" : ""}.insteadOf=${prefix}`,
    ]);
    const far = local || Object.values(this.#options.mirrors).some((target) => !/^https?:/.test(target));
    const protocols = this.#options.offline ? "file" : far ? "file:git:http:https:ssh" : "git:http:https:ssh";
    await this.#checked(
      [...instead, "-c", "protocol.file.allow=always", "-C", into, "submodule", "--quiet", "update", "--init", "--recursive"],
      `Unable to fetch the submodules of ${shown(url)}.`,
      [],
      { GIT_ALLOW_PROTOCOL: protocols },
    );
  }

  #locked(mirror: string, args: string[], source: string): Promise<void> {
    return this.#checked(args, `Unable to fetch ${shown(source)}.`, ["flock", resolve(`${mirror}.lock`)]);
  }

  async #checked(args: string[], message: string, before: readonly string[] = [], env: Record<string, string> = {}): Promise<void> {
    const [program = "git", ...rest] = [...before, "git", ...args];
    const { code, stderr } = await this.#options.host.run([program, ...rest], {
      anyExit: true,
      timeout: CLONE_TIMEOUT,
      env: { ...gitEnvironment(), ...env },
    });
    if (code === 0) return;
    throw new ProvisionError("BUILD_FAILED", `${message} ${lastLine(stderr)}`);
  }

  #git(args: string[], options: RunOptions) {
    return this.#options.host.run(["git", ...args], { timeout: CLONE_TIMEOUT, ...options, env: { ...gitEnvironment(), ...options.env } });
  }
}

function lastLine(stderr: string): string {
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  const fatal = lines.find((line) => /^(?:fatal|error):/.test(line)) ?? lines.at(-1) ?? "";
  return fatal.replace(/[a-z][a-z0-9+.-]*:\/\/[^\s']+/gi, (url) => shown(url));
}
