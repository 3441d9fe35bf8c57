import { existsSync } from "node:fs";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { delimiter, dirname, join, relative, resolve } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import { shown } from "../make/address.js";
import type { BuildReport, BuildRequest } from "../source.js";
import {
  type ComposerJson,
  type ComposerLock,
  type LockPolicy,
  lockProblem,
  patchesOf,
  pluginProblems,
  projectOf,
  readJson,
} from "./project.js";

export interface InstallOptions {
  readonly lock: LockPolicy;
  /** PHP program; none: the one that Composer's own first line names. */
  readonly php?: string;
  /** The project in messages: `/srv/projects/d10`. */
  readonly where: string;
}

export interface Installed {
  readonly packages: readonly { readonly name: string; readonly version: string; readonly type: string; readonly source: string }[];
  /** Of composer.lock. */
  readonly contentHash: string;
  readonly composer: string;
  readonly warnings: readonly string[];
}

const TIMEOUT = 60 * 60_000;

/**
 * Runs `composer install --no-dev` in a directory of ours that holds a composer.json. Looked at before: that there is a lock
 * file (or the policy lets Composer choose), that the plug-ins it relies on may run. Looked at after: that every patch
 * that is named was applied, and every package is there. Composer itself ends with 0 in all these cases (reference: make.md 7).
 *
 * Rejects with BUILD_FAILED: what is wrong, Composer's last lines in `why`, credentials left out.
 */
export async function installProject(project: string, request: BuildRequest, options: InstallOptions): Promise<Installed> {
  const composer = await Composer.of(request, options.php, project);
  const json = await projectOf(project, options.where);
  const warnings: string[] = [];
  const outside = outsidePaths(json);
  if (outside.length > 0)
    throw new ProvisionError("BUILD_FAILED", `${options.where} has path repositories outside its directory: ${outside.join(", ")}`, {
      why: ["the project is copied before Composer runs, and they would not be found from there"],
      next: ["move them into the directory, or name them by their absolute path"],
    });
  const missing = lockProblem(project, json);
  if (missing !== undefined && options.lock === "require") throw lockRefused(missing, options.where);
  if (missing !== undefined) {
    await rm(join(project, "composer.lock"), { force: true });
    request.progress?.("composer update: there is no lock file, versions are chosen now");
    await composer.run(["update", "--no-install"], options.where);
    warnings.push(`${options.where}: ${missing}; versions were chosen on the day of this build`);
  }
  const lock = await lockOf(project, options.where);
  const problems = pluginProblems(json, lock);
  if (problems.refused.length > 0)
    throw new ProvisionError("BUILD_FAILED", `${options.where}: plug-ins that the project relies on would not run`, {
      why: problems.refused,
      next: problems.names.map((name) => `composer config allow-plugins.${name} true    # in ${options.where}`),
    });
  warnings.push(...problems.warnings);
  request.progress?.(`composer install: ${lock.packages.length} packages`);
  await nameAutoloader(project, json, lock);
  const output = await composer.run(["install", "--no-dev"], options.where);
  if (/lock file is not up to date/i.test(output))
    warnings.push(`${options.where}: composer.lock is older than composer.json; what the lock says was installed (composer update --lock)`);
  await refuseUnapplied(project, json, lock, output, options.where);
  await refuseOverwritten(project, json, options.where);
  // Credentials have no place in a platform, which may be its own docroot.
  await rm(join(project, "auth.json"), { force: true });
  return {
    packages: lock.packages.map(({ name, version, type = "library", source, dist }) => ({
      name,
      version,
      type,
      source:
        `${shown(dist?.url ?? source?.url ?? "")} ${(dist?.shasum || dist?.reference || source?.reference || "").slice(0, 12)}`.trim(),
    })),
    contentHash: lock["content-hash"] ?? "",
    composer: await composer.version(),
    warnings,
  };
}

/** An installed project as a build says it. */
export function composerReport({ packages, contentHash, composer, warnings }: Installed): BuildReport {
  return {
    entries: packages.map(({ name, version, type, source }) => ({ name: `${name} ${version}`, type, path: "", source })),
    warnings,
    resolved: {
      "composer content-hash": contentHash,
      "composer version": composer,
      ...Object.fromEntries(packages.map(({ name, version, source }) => [name, `${version} ${source}`.trim()])),
    },
  };
}

function lockRefused(missing: string, where: string): ProvisionError {
  return new ProvisionError("BUILD_FAILED", `${where}: ${missing}`, {
    why: ["without it Composer takes whatever versions fit today, and the next build is another platform"],
    next: [
      `composer update --no-install    # in ${where}, and commit composer.lock`,
      "provision save @platform --composer_lock=allow-missing",
    ],
  });
}

function outsidePaths(json: ComposerJson): readonly string[] {
  const repositories = Object.values(json.repositories ?? {}) as { readonly type?: string; readonly url?: string }[];
  return repositories.filter((one) => one?.type === "path" && /^\.\.(?:\/|$)/.test(one.url ?? "")).map((one) => one.url ?? "");
}

/**
 * Composer 2.5 gives the autoloader's class a random name, and two builds of one lock differ; later ones name it by the
 * lock, which is done here for all. A name that is there is kept.
 */
async function nameAutoloader(project: string, json: ComposerJson, lock: ComposerLock): Promise<void> {
  const path = join(project, json.config?.["vendor-dir"] ?? "vendor", "autoload.php");
  const hash = lock["content-hash"] ?? "";
  if (json.config?.["autoloader-suffix"] !== undefined || !/^[0-9a-f]{8,64}$/.test(hash) || existsSync(path)) return;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `<?php\nreturn ComposerAutoloaderInit${hash}::getLoader();\n`);
}

async function lockOf(project: string, where: string): Promise<ComposerLock> {
  const lock = await readJson<ComposerLock>(join(project, "composer.lock"));
  if (lock !== undefined && Array.isArray(lock.packages)) return lock;
  throw new ProvisionError("BUILD_FAILED", `${where}: composer.lock ${lock === undefined ? "was not written" : "lists no packages"}`);
}

/** A patch that does not apply is skipped by the patches plug-in, which only says so; and without the plug-in none is. */
async function refuseUnapplied(project: string, json: ComposerJson, lock: ComposerLock, output: string, where: string): Promise<void> {
  const failed = output.split("\n").filter((line) => /could not apply patch|cannot apply patch|no available patcher was able/i.test(line));
  if (failed.length > 0)
    throw new ProvisionError("BUILD_FAILED", `${where}: patches could not be applied`, {
      why: failed.map((line) => line.trim()).slice(0, 10),
    });
  const plugin = lock.packages.find(({ name }) => name === "cweagans/composer-patches");
  // Its second version ends with an error by itself, and writes no PATCHES.txt.
  if (plugin === undefined || !/^v?1\./.test(plugin.version)) return;
  const wanted = await patchesOf(project, json);
  const places = await installPaths(project, json);
  const unapplied: string[] = [];
  for (const [name, urls] of wanted) {
    const place = places.get(name);
    if (place === undefined) continue;
    const applied = await readFile(join(place, "PATCHES.txt"), "utf8").catch(() => "");
    unapplied.push(...urls.filter((url) => !applied.includes(url)).map((url) => `${name}: ${shown(url)} is not in its PATCHES.txt`));
  }
  if (unapplied.length > 0)
    throw new ProvisionError("BUILD_FAILED", `${where}: patches were silently not applied`, { why: unapplied.slice(0, 20) });
}

/** Composer empties the directory that it installs a package into, and whatever it had put inside it before is gone without a word. */
async function refuseOverwritten(project: string, json: ComposerJson, where: string): Promise<void> {
  const places = [...(await installPaths(project, json))];
  const gone = places.filter(([, path]) => !existsSync(path));
  if (gone.length === 0) return;
  const why = gone.map(([name, path]) => {
    const above = places.find(([other, place]) => other !== name && path.startsWith(`${place}/`))?.[0];
    const over = above === undefined ? "" : `: ${above} was installed over it`;
    return `${name} is not at ${relative(project, path)}${over}`;
  });
  throw new ProvisionError("BUILD_FAILED", `${where}: packages that Composer installed are not there`, {
    why: why.slice(0, 20),
    next: ["let a package that lies inside another require it: Composer then installs it later"],
  });
}

async function installPaths(project: string, json: ComposerJson): Promise<ReadonlyMap<string, string>> {
  const directory = join(project, json.config?.["vendor-dir"] ?? "vendor", "composer");
  const installed = await readJson<{ readonly packages?: readonly { readonly name: string; readonly "install-path"?: string | null }[] }>(
    join(directory, "installed.json"),
  );
  return new Map((installed?.packages ?? []).flatMap(({ name, "install-path": path }) => (path ? [[name, resolve(directory, path)]] : [])));
}

/** The Composer program, in surroundings of its own: no home directory's settings, credentials only from where the operator put them. */
export class Composer {
  readonly #request: BuildRequest;
  readonly #program: readonly [string, ...string[]];
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #project: string;
  readonly #home: string;

  private constructor(request: BuildRequest, program: readonly [string, ...string[]], project: string) {
    const { COMPOSER_HOME, COMPOSER_MEMORY_LIMIT = "-1" } = process.env;
    this.#request = request;
    this.#program = program;
    this.#project = project;
    this.#home = COMPOSER_HOME ?? join(request.cache, "composer", "home");
    this.#env = {
      COMPOSER_HOME: this.#home,
      COMPOSER_CACHE_DIR: join(request.cache, "composer", "cache"),
      COMPOSER_MEMORY_LIMIT,
      COMPOSER_NO_INTERACTION: "1",
      // A link to a path repository would lead out of the platform.
      COMPOSER_MIRROR_PATH_REPOS: "1",
      COMPOSER_EXIT_ON_PATCH_FAILURE: "1",
      COMPOSER_DISABLE_NETWORK: request.offline ? "1" : undefined,
      // As root without a terminal Composer lets no plug-in run, and says so in a line among many.
      COMPOSER_ALLOW_SUPERUSER: process.getuid?.() === 0 ? "1" : undefined,
      COMPOSER: undefined,
      COMPOSER_VENDOR_DIR: undefined,
      COMPOSER_BIN_DIR: undefined,
      COMPOSER_NO_DEV: undefined,
      GIT_DIR: undefined,
      GIT_WORK_TREE: undefined,
      GIT_INDEX_FILE: undefined,
      GIT_TERMINAL_PROMPT: "0",
    };
  }

  static async of(request: BuildRequest, php: string | undefined, project: string): Promise<Composer> {
    const found = await programInPath("composer");
    if (found === undefined)
      throw new ProvisionError("PROGRAM_MISSING", "the program composer (Debian package composer) is not installed", {
        next: ["provision doctor    # names the package that has it"],
      });
    const composer = new Composer(request, php === undefined ? [found] : [php, found], project);
    await request.host.mkdir(composer.#home, {});
    return composer;
  }

  async version(): Promise<string> {
    const { stdout } = await this.#request.host.run([...this.#program, "--version", "--no-ansi"] as [string, ...string[]], {
      env: this.#env,
      timeout: 60_000,
    });
    return /Composer(?: version)? (\S+)/.exec(stdout)?.[1] ?? stdout.trim();
  }

  /** Whether its repositories have such a version of a package. */
  async offers(name: string, version: string): Promise<boolean> {
    const argv = [...this.#program, "show", "--no-interaction", "--no-ansi", "--available", "--", name, version] as [string, ...string[]];
    return (await this.#request.host.run(argv, { cwd: "/", env: this.#env, anyExit: true, timeout: 60_000 })).code === 0;
  }

  /** Out: everything it said. Rejects with BUILD_FAILED and its last lines. */
  async run(args: readonly string[], where: string, cwd = this.#project): Promise<string> {
    const restore = await this.#withLockFile();
    try {
      const [command = "", ...rest] = args;
      const argv = [...this.#program, command, "--no-interaction", "--no-progress", "--no-ansi", ...rest] as [string, ...string[]];
      const { code, stdout, stderr } = await this.#request.host.run(argv, { cwd, env: this.#env, anyExit: true, timeout: TIMEOUT });
      if (code === 0) return `${stdout}\n${stderr}`;
      const lines = (await this.#withoutCredentials(`${stdout}\n${stderr}`))
        .split("\n")
        .map((line) => line.replaceAll(`${this.#project}/`, "").trimEnd())
        .filter((line) => line.trim() !== "" && !/^(?:install|update|create-project) \[/.test(line));
      throw new ProvisionError("BUILD_FAILED", `${where}: composer ${args[0]} ended with exit code ${code}`, { why: lines.slice(-12) });
    } finally {
      await restore();
    }
  }

  /** An operator's global `lock: false` would leave the lock file unread; the project says otherwise while Composer runs. */
  async #withLockFile(): Promise<() => Promise<void>> {
    const home = await readJson<ComposerJson>(join(this.#home, "config.json")).catch(() => undefined);
    const path = join(this.#project, "composer.json");
    if (home?.config?.lock !== false || !existsSync(path)) return async () => {};
    const text = await readFile(path, "utf8");
    const json = JSON.parse(text) as ComposerJson;
    await writeFile(path, JSON.stringify({ ...json, config: { lock: true, ...json.config } }, null, 4));
    return () => writeFile(path, text);
  }

  async #withoutCredentials(text: string): Promise<string> {
    const { COMPOSER_AUTH = "" } = process.env;
    const files = [join(this.#home, "auth.json"), join(this.#project, "auth.json")];
    const known = [COMPOSER_AUTH, ...(await Promise.all(files.map((file) => readFile(file, "utf8").catch(() => ""))))].flatMap(secretsIn);
    const bare = known.reduce((said, secret) => said.replaceAll(secret, "***"), text);
    return bare.replace(/[a-z][a-z0-9+.-]*:\/\/[^\s'"]+/gi, (url) => shown(url));
  }
}

/** Every text in an auth.json that is no host name: tokens and passwords. */
function secretsIn(text: string): readonly string[] {
  const found: string[] = [];
  const visit = (value: unknown): void => {
    if (typeof value === "string") found.push(value);
    else if (typeof value === "object" && value !== null) for (const inner of Object.values(value)) visit(inner);
  };
  try {
    visit(JSON.parse(text === "" ? "{}" : text));
  } catch {
    return [];
  }
  return found.filter((secret) => secret.length > 3);
}

async function programInPath(name: string): Promise<string | undefined> {
  const { PATH = "" } = process.env;
  for (const directory of PATH.split(delimiter)) {
    const path = join(directory, name);
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() && (found.mode & 0o111) !== 0) return path;
  }
  return undefined;
}
