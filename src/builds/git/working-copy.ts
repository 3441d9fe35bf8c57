import { existsSync } from "node:fs";
import { join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import { shown, withMirrors } from "../make/address.js";
import { gitEnvironment } from "../make/git-environment.js";
import type { BuildRequest } from "../source.js";

/**
 * A clone that people and `verify --update` work in: complete, with its history, a branch checked out as a branch.
 * Out: the commit.
 *
 * Rejects with BUILD_FAILED.
 */
export async function cloneWorkingCopy(url: string, ref: string | undefined, into: string, request: BuildRequest): Promise<string> {
  const { host, offline } = request;
  const source = sourceOf(url, request.mirrors);
  if (offline && /^[a-z+]+:\/\/|^[^/]+:/i.test(source) && !/^file:/i.test(source))
    throw new ProvisionError(
      "BUILD_FAILED",
      `Unable to clone ${shown(url)}: a working copy is cloned from the repository itself, and this build is offline`,
    );
  await git(
    host,
    ["clone", "--quiet", "--no-hardlinks", "--no-checkout", "--end-of-options", source, into],
    `Unable to clone ${shown(url)}.`,
  );
  await git(host, ["-C", into, "remote", "set-url", "origin", url]);
  if (ref === undefined) await git(host, ["-C", into, "checkout", "--quiet"], `Unable to check out ${shown(url)}.`);
  else await git(host, ["-C", into, "checkout", "--quiet", ref, "--"], `Unable to check out ${ref} of ${shown(url)}.`);
  await submodules(host, into);
  return commitOf(host, into);
}

function sourceOf(url: string, mirrors: BuildRequest["mirrors"]): string {
  for (const address of withMirrors(url, mirrors)) {
    if ("url" in address) return address.url;
    if (existsSync(address.path)) return address.path;
  }
  return url;
}

async function submodules(host: Host, copy: string): Promise<void> {
  if (!existsSync(join(copy, ".gitmodules"))) return;
  await git(host, ["-C", copy, "submodule", "--quiet", "update", "--init", "--recursive"], "Unable to fetch the submodules.");
}

/** The commit that a working copy stands on. */
export async function commitOf(host: Host, copy: string): Promise<string> {
  return (await git(host, ["-C", copy, "rev-parse", "--verify", "HEAD^{commit}"])).trim();
}

/** The branch that a working copy is on; undefined when it is on none. */
export async function branchOf(host: Host, copy: string): Promise<string | undefined> {
  const branch = (await git(host, ["-C", copy, "branch", "--show-current"])).trim();
  return branch === "" ? undefined : branch;
}

/** Files under version control that were changed and not committed, as `git status --short` says them. What git does not know is not looked at. */
export async function localChanges(host: Host, copy: string): Promise<readonly string[]> {
  const status = await git(host, ["-C", copy, "status", "--porcelain", "--untracked-files=no"]);
  return status.split("\n").filter((line) => line !== "");
}

/** The commit that a ref names at origin now, without fetching it. Rejects with DOWNLOAD_FAILED. */
export async function commitAtOrigin(host: Host, url: string, ref: string | undefined, mirrors: BuildRequest["mirrors"]): Promise<string> {
  if (ref !== undefined && /^[0-9a-f]{40}$/.test(ref)) return ref;
  const name = ref ?? "HEAD";
  const { code, stdout, stderr } = await host.run(["git", "ls-remote", "--quiet", "--end-of-options", sourceOf(url, mirrors)], {
    anyExit: true,
    timeout: 120_000,
    env: gitEnvironment(),
  });
  if (code !== 0) throw new ProvisionError("DOWNLOAD_FAILED", `${shown(url)} gave no answer`, { why: [lastLine(stderr)] });
  const refs = new Map(stdout.split("\n").map((line) => line.split("\t").reverse() as [string, string]));
  // An annotated tag is listed twice; ^{} is the commit that it names.
  const commit = [`refs/tags/${name}^{}`, `refs/tags/${name}`, `refs/heads/${name}`, name]
    .map((key) => refs.get(key))
    .find((found) => found);
  if (commit !== undefined) return commit;
  throw new ProvisionError("DOWNLOAD_FAILED", `${shown(url)} has no branch or tag ${name}`);
}

/**
 * Fetches, and checks out a commit in place: a branch that is checked out goes forward to it, else HEAD is detached there.
 *
 * Rejects with REFUSED when the branch holds commits that origin does not, BUILD_FAILED when git refuses.
 */
export async function advance(
  host: Host,
  copy: string,
  source: { url: string; mirrors: BuildRequest["mirrors"] },
  commit: string,
): Promise<void> {
  const from = sourceOf(source.url, source.mirrors);
  await git(
    host,
    [
      "-C",
      copy,
      "fetch",
      "--quiet",
      "--no-auto-gc",
      "--end-of-options",
      from,
      "+refs/heads/*:refs/remotes/origin/*",
      "+refs/tags/*:refs/tags/*",
    ],
    `Unable to fetch ${shown(source.url)}.`,
  );
  const own = (await git(host, ["-C", copy, "log", "--oneline", "HEAD", "--not", commit, "--remotes=origin", "--"])).trim();
  if (own !== "")
    throw new ProvisionError("REFUSED", `${copy} has commits that ${shown(source.url)} does not have`, {
      why: own.split("\n").slice(0, 10),
    });
  if ((await branchOf(host, copy)) !== undefined && (await isAncestor(host, copy, commit)))
    await git(host, ["-C", copy, "merge", "--quiet", "--ff-only", commit], `Unable to go forward to ${commit.slice(0, 12)}.`);
  else await git(host, ["-C", copy, "checkout", "--quiet", "--detach", commit], `Unable to check out ${commit.slice(0, 12)}.`);
  await submodules(host, copy);
}

async function isAncestor(host: Host, copy: string, commit: string): Promise<boolean> {
  const { code } = await host.run(["git", "-C", copy, "merge-base", "--is-ancestor", "HEAD", commit], {
    anyExit: true,
    env: gitEnvironment(),
  });
  return code === 0;
}

/** Back to where `advance` began; leaves files that git does not know alone. */
export async function goBack(host: Host, copy: string, commit: string, branch: string | undefined): Promise<void> {
  const lock = join(copy, ".git", "index.lock");
  // A git that was killed leaves it, and every later one refuses to work.
  if (existsSync(lock)) await host.remove(lock);
  await git(host, ["-C", copy, "reset", "--quiet", "--hard", "HEAD"]);
  await git(host, ["-C", copy, "checkout", "--quiet", ...(branch === undefined ? ["--detach", commit] : ["-B", branch, commit])]);
  await submodules(host, copy);
}

async function git(host: Host, args: readonly string[], message?: string): Promise<string> {
  const { code, stdout, stderr } = await host.run(["git", ...args], { anyExit: true, timeout: 30 * 60_000, env: gitEnvironment() });
  if (code === 0) return stdout;
  throw new ProvisionError(
    "BUILD_FAILED",
    `${message ?? `git ${args.find((arg) => /^[a-z]/.test(arg)) ?? ""} failed.`} ${lastLine(stderr)}`.trim(),
  );
}

function lastLine(stderr: string): string {
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  const fatal = lines.find((line) => /^(?:fatal|error):/.test(line)) ?? lines.at(-1) ?? "";
  return fatal.replace(/[a-z][a-z0-9+.-]*:\/\/[^\s']+/gi, (url) => shown(url));
}
