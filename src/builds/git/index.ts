import { existsSync } from "node:fs";
import { lstat, readdir, realpath, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { isSystemError, ProvisionError } from "../../core/errors.js";
import { composerReport, installProject } from "../composer/install.js";
import { shown } from "../make/address.js";
import { GitMirrors, gitRequest } from "../make/git.js";
import { lockBeside, makeSource } from "../make/index.js";
import { PhpArray } from "../make/php-value.js";
import { TREE_LIMITS, tameTree } from "../make/tree.js";
import type { BuildReport, BuildRequest, BuildSource } from "../source.js";
import { staged } from "../staging.js";
import { cloneWorkingCopy } from "./working-copy.js";

export interface GitSourceOptions {
  /** URL, `host:path`, or absolute path. */
  readonly git: string;
  /** Branch, tag or commit; none: the repository's HEAD. */
  readonly ref?: string;
  /** Directory in the repository that is the platform. */
  readonly path?: string;
  /** Keep `.git`, with origin as the url says, to be updated in place. */
  readonly workingCopy?: boolean;
  /** How a composer.json in it is installed. */
  readonly composerLock?: "require" | "allow-missing";
  /** PHP program that Composer runs with. */
  readonly php?: string;
}

/** Looked for in this order, at the top of a repository that holds no core of its own. */
const MAKE_FILES = ["platform.make.yml", "platform.make", "build.make.yml", "build.make"];

/** Where a core's index.php would be. */
const DOCROOTS = ["", "web", "docroot", "html", "public"];

/**
 * A platform from a git repository (`git:` of a platform): the tree of one commit, submodules with it, no `.git` left
 * unless it is a working copy. Then, as Aegir 3 did, a composer.json at its top is installed, and after that a make file
 * is built when there is no core yet: the repository's own files lie over what the make file brings.
 *
 * build() rejects with BUILD_FAILED, NAME_TAKEN or STOPPED, and what Composer and make builds reject with; the destination
 * then does not exist.
 */
export function gitSource(options: GitSourceOptions): BuildSource {
  return {
    type: "git",
    build: (request) => staged(request, `the repository ${shown(options.git)}`, (staging) => build(options, request, staging)),
  };
}

async function build(options: GitSourceOptions, request: BuildRequest, staging: string) {
  const { git, ref, path, workingCopy = false } = options;
  const checkout = join(staging, "checkout");
  request.progress?.(`clone ${shown(git)}`);
  const commit = workingCopy ? await cloneWorkingCopy(git, ref, checkout, request) : await exportTree(git, ref, checkout, request);
  let tree = path === undefined ? checkout : await inside(checkout, path, git);
  await tameTree(tree, TREE_LIMITS, workingCopy);
  const reports: BuildReport[] = [
    {
      entries: [
        { name: "repository", type: "git", path: "", source: `${shown(git)}${ref === undefined ? "" : ` ${ref}`} ${commit.slice(0, 12)}` },
      ],
      warnings: [],
      resolved: { commit },
    },
  ];
  if (existsSync(join(tree, "composer.json"))) {
    const installed = await installProject(tree, request, {
      lock: options.composerLock ?? "require",
      ...(options.php === undefined ? {} : { php: options.php }),
      where: `composer.json of ${shown(git)}`,
    });
    await tameTree(tree, TREE_LIMITS, workingCopy);
    reports.push(composerReport(installed));
  }
  const makefile = holdsCore(tree) ? undefined : MAKE_FILES.find((name) => existsSync(join(tree, name)));
  if (makefile !== undefined) {
    if (workingCopy)
      throw new ProvisionError("BUILD_FAILED", `${shown(git)} is built by its ${makefile}, which cannot be a working copy`, {
        next: ["unset working_copy of the platform"],
      });
    const made = join(staging, "made");
    const locked = await lockBeside(join(tree, makefile), request.host);
    const report = await makeSource({ makefile: join(tree, makefile), ...(locked === undefined ? {} : { lock: locked.lock }) }).build({
      ...request,
      destination: made,
      staging: join(staging, "making"),
    });
    const warnings: string[] = [];
    await layOver(tree, made, "", warnings);
    reports.push({ ...report, warnings: [...report.warnings.map((line) => line.replaceAll(`${tree}/`, "")), ...warnings] });
    tree = made;
  }
  return { tree, report: joined(reports) };
}

async function exportTree(git: string, ref: string | undefined, into: string, request: BuildRequest): Promise<string> {
  const { host, cache, mirrors, offline } = request;
  const mirrorClones = new GitMirrors({ host, cache, mirrors, offline, mainFile: git });
  const download = new PhpArray().set("url", git);
  if (ref !== undefined) download.set("revision", ref);
  const wanted = gitRequest(download, undefined);
  const { commit } = await mirrorClones.checkOut(wanted, into, undefined);
  if (!existsSync(join(into, ".gitmodules"))) return commit;
  await rm(into, { recursive: true });
  return (await mirrorClones.checkOut(wanted, into, undefined, { submodules: true })).commit;
}

/** `path` of a checkout, also when links lead there, but never out of it. */
async function inside(checkout: string, path: string, git: string): Promise<string> {
  const real = await realpath(join(checkout, path)).catch((error: unknown) => {
    if (isSystemError(error)) return undefined;
    throw error;
  });
  if (real?.startsWith(`${await realpath(checkout)}/`) && (await lstat(real)).isDirectory()) return real;
  const names = (await readdir(checkout)).filter((name) => name !== ".git").slice(0, 8);
  throw new ProvisionError("BUILD_FAILED", `${shown(git)} has no directory ${path}`, { why: [`at its top there is: ${names.join(", ")}`] });
}

function holdsCore(tree: string): boolean {
  return DOCROOTS.some((docroot) => existsSync(join(tree, docroot, "index.php")));
}

/** Moves what is in `from` into `to`; directories are joined, and a file of `from` wins. */
async function layOver(from: string, to: string, path: string, warnings: string[]): Promise<void> {
  for (const child of await readdir(join(from, path), { withFileTypes: true })) {
    const name = join(path, child.name);
    const there = await lstat(join(to, name)).catch(() => undefined);
    if (child.isDirectory() && there?.isDirectory()) {
      await layOver(from, to, name, warnings);
      continue;
    }
    if (there) {
      warnings.push(`${name} of the repository replaces what the make file brings`);
      await rm(join(to, name), { recursive: true, force: true });
    }
    await rename(join(from, name), join(to, name));
  }
}

function joined(reports: readonly BuildReport[]): BuildReport {
  return {
    entries: reports.flatMap((report) => report.entries),
    warnings: reports.flatMap((report) => report.warnings),
    resolved: Object.assign({}, ...reports.map((report) => report.resolved ?? {})),
  };
}
