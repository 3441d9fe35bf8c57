import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { Host, RunOptions } from "../../host/host.js";
import { addressOf, shown, withMirrors } from "./address.js";
import { isTruthy, type Mark, type PhpArray, phpText } from "./php-value.js";

export interface GitOptions {
  readonly host: Host;
  /** The cache of the hub; mirror clones stand in `git/` below it. */
  readonly cache: string;
  readonly mirrors: Readonly<Record<string, string>>;
  readonly offline: boolean;
  /** The make file that the build began with. */
  readonly mainFile: string;
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
function locate(url: string, mark: Mark | undefined, options: GitOptions): { key: string; sources: string[]; local: boolean } {
  const isPath = !/^[a-z][a-z0-9+.-]*:\/\//i.test(url) && !/^[^/:]+:/.test(url);
  if (isPath || /^file:/i.test(url)) {
    const address = addressOf(url, mark, options.mainFile);
    const path = "path" in address ? address.path : url;
    return { key: `file://${path}`, sources: [path], local: true };
  }
  const names = [url, ...MOVED.filter(([old]) => old.test(url)).map(([old, now]) => url.replace(old, now))];
  const mirrored = names.flatMap((name) =>
    withMirrors(name, options.mirrors).filter((address) => "path" in address || address.url !== name),
  );
  for (const address of mirrored) {
    if ("url" in address) return { key: url, sources: [address.url], local: false };
    const path = [address.path, `${address.path}.git`, address.path.replace(/\.git$/, "")].find((candidate) => existsSync(candidate));
    if (path !== undefined) return { key: url, sources: [path], local: true };
  }
  return { key: url, sources: [names.at(-1) ?? url], local: false };
}

/**
 * Mirror clones in the cache, each made beside and renamed, each brought up to date under a lock of its own; a tree is
 * written from one without a `.git` of its own.
 */
export class GitMirrors {
  readonly #options: GitOptions;
  readonly #ready = new Map<string, Promise<string>>();

  constructor(options: GitOptions) {
    this.#options = options;
  }

  /**
   * Writes the tree to a directory that does not exist yet.
   * Out: the commit.
   * @throws ProvisionError BUILD_FAILED, STOPPED
   */
  async export(request: GitRequest, into: string, mark: Mark | undefined, submodules = false): Promise<string> {
    const place = locate(request.url, mark, this.#options);
    const mirror = await this.#mirror(place, request);
    const commit = await this.#resolve(mirror, request, place);
    await mkdir(into, { mode: 0o755 });
    if (submodules) {
      await this.#withSubmodules(place.sources[0] as string, mirror, commit, into);
      return commit;
    }
    const index = join(mirror, `provision-index-${randomBytes(6).toString("hex")}`);
    try {
      await this.#git(["--git-dir", mirror, "--work-tree", into, "read-tree", "--reset", "-u", commit], {
        cwd: into,
        env: { GIT_INDEX_FILE: index },
      });
    } finally {
      await rm(index, { force: true });
    }
    return commit;
  }

  #mirror(place: ReturnType<typeof locate>, request: GitRequest): Promise<string> {
    const name = createHash("sha256").update(place.key).digest("hex").slice(0, 40);
    const path = join(this.#options.cache, "git", name);
    // A full commit that is there needs no fetch; anything else is fetched once a build.
    const whole = request.kind === "revision" && /^[0-9a-f]{40}$/.test(request.ref) ? request.ref : undefined;
    const known = this.#ready.get(path);
    if (known !== undefined) return known;
    const made = this.#makeMirror(path, place, whole);
    if (whole === undefined) this.#ready.set(path, made);
    return made;
  }

  async #makeMirror(path: string, place: ReturnType<typeof locate>, whole: string | undefined): Promise<string> {
    const source = place.sources[0] as string;
    const unreachable = this.#options.offline && !place.local;
    if (existsSync(path)) {
      if (unreachable || (whole !== undefined && (await this.#has(path, whole)))) return path;
      await this.#locked(
        path,
        ["--git-dir", path, "fetch", "--quiet", "--prune", "--no-auto-gc", "--end-of-options", source, "+refs/*:refs/*"],
        source,
      );
      return path;
    }
    if (unreachable)
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

  async #resolve(mirror: string, request: GitRequest, place: ReturnType<typeof locate>): Promise<string> {
    const { kind, ref } = request;
    if (kind === "refspec") return this.#fetchRefspec(mirror, ref, place);
    const names = { tag: [`refs/tags/${ref}`], branch: [`refs/heads/${ref}`, `refs/tags/${ref}`], revision: [ref], head: ["HEAD"] }[kind];
    for (const name of names) {
      const { code, stdout } = await this.#git(
        ["--git-dir", mirror, "rev-parse", "--quiet", "--verify", "--end-of-options", `${name}^{commit}`],
        { anyExit: true },
      );
      if (code === 0) return stdout.trim();
    }
    throw new ProvisionError("BUILD_FAILED", `Unable to check out ${kind} ${ref} of ${shown(request.url)}: there is no such ${kind}`);
  }

  async #fetchRefspec(mirror: string, refspec: string, place: ReturnType<typeof locate>): Promise<string> {
    const source = refspec.replace(/^\+/, "").split(":")[0] ?? "";
    const own = `refs/provision/${createHash("sha256").update(refspec).digest("hex").slice(0, 16)}`;
    const url = place.sources[0] as string;
    if (!this.#options.offline || place.local)
      await this.#locked(
        mirror,
        ["--git-dir", mirror, "fetch", "--quiet", "--no-auto-gc", "--end-of-options", url, `+${source}:${own}`],
        url,
      );
    const { code, stdout } = await this.#git(
      ["--git-dir", mirror, "rev-parse", "--quiet", "--verify", "--end-of-options", `${own}^{commit}`],
      { anyExit: true },
    );
    if (code !== 0) throw new ProvisionError("BUILD_FAILED", `Unable to check out refspec ${refspec} of ${shown(url)}`);
    return stdout.trim();
  }

  async #has(mirror: string, commit: string): Promise<boolean> {
    return (await this.#git(["--git-dir", mirror, "cat-file", "-e", `${commit}^{commit}`], { anyExit: true })).code === 0;
  }

  /** Submodules need a real clone; its `.git` and theirs are taken off afterwards. */
  async #withSubmodules(url: string, mirror: string, commit: string, into: string): Promise<void> {
    await this.#checked(
      ["clone", "--quiet", "--no-checkout", "--no-hardlinks", "--end-of-options", mirror, into],
      `Unable to clone ${shown(url)}.`,
    );
    await this.#git(["-C", into, "remote", "set-url", "origin", url], {});
    await this.#git(["-C", into, "checkout", "--quiet", "--detach", commit], {});
    await this.#checked(
      ["-C", into, "submodule", "--quiet", "update", "--init", "--recursive"],
      `Unable to fetch the submodules of ${shown(url)}.`,
    );
  }

  #locked(mirror: string, args: string[], source: string): Promise<void> {
    return this.#checked(args, `Unable to fetch ${shown(source)}.`, ["flock", resolve(`${mirror}.lock`)]);
  }

  async #checked(args: string[], message: string, before: readonly string[] = []): Promise<void> {
    const [program = "git", ...rest] = [...before, "git", ...args];
    const { code, stderr } = await this.#options.host.run([program, ...rest], {
      anyExit: true,
      timeout: CLONE_TIMEOUT,
      env: gitEnvironment(),
    });
    if (code === 0) return;
    throw new ProvisionError("BUILD_FAILED", `${message} ${lastLine(stderr)}`);
  }

  #git(args: string[], options: RunOptions) {
    return this.#options.host.run(["git", ...args], { timeout: CLONE_TIMEOUT, ...options, env: { ...gitEnvironment(), ...options.env } });
  }
}

/** No prompts, no other transports, and nothing of a repository that provision itself may run in (a git hook sets these). */
export function gitEnvironment(): Record<string, string | undefined> {
  return {
    GIT_ALLOW_PROTOCOL: "file:git:http:https:ssh",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "true",
    GIT_SSH_COMMAND: process.env["GIT_SSH_COMMAND"] ?? "ssh -o BatchMode=yes",
    GIT_DIR: undefined,
    GIT_WORK_TREE: undefined,
    GIT_INDEX_FILE: undefined,
    GIT_OBJECT_DIRECTORY: undefined,
    GIT_LFS_SKIP_SMUDGE: "1",
    LC_ALL: "C",
  };
}

function lastLine(stderr: string): string {
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  const fatal = lines.find((line) => /^(?:fatal|error):/.test(line)) ?? lines.at(-1) ?? "";
  return fatal.replace(/[a-z][a-z0-9+.-]*:\/\/[^\s']+/gi, (url) => shown(url));
}
