import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { BuildRequest } from "../source.js";
import { shown } from "./address.js";
import type { AssembleOptions } from "./assemble-options.js";
import { DownloadCache } from "./cache.js";
import { aboutEntry, Failures } from "./failures.js";
import { GitMirrors, gitRequest } from "./git.js";
import { isTruthy, PhpArray, type PhpKey, phpText } from "./php-value.js";
import type { PlanEntry } from "./plan.js";
import { isRelease, type Job, Resolver, type Update } from "./resolve.js";
import { Slots } from "./slots.js";

/** What one entry of a make file stands for now. */
export interface Resolution {
  readonly entry: PlanEntry;
  readonly core: string;
  /** Full version of a release, or empty. */
  readonly version: string;
  /** Branch and commit of a repository for which the file names neither tag nor revision. */
  readonly git?: { readonly branch?: string; readonly commit: string };
}

/**
 * A make file that names everything by version or commit, as `drush make-lock` writes one: defaults worked in, empty values
 * left out, core first. A tag stays a tag (drush adds the branch of HEAD to it).
 */
export function resolvedMakeFile(document: PhpArray, resolutions: readonly Resolution[]): PhpArray {
  const resolved = new PhpArray().set("core", document.get("core") ?? "").set("api", 2);
  const sorted = [...resolutions].sort((a, b) => Number(b.entry.kind === "core") - Number(a.entry.kind === "core"));
  for (const [section, libraries] of [
    ["projects", false],
    ["libraries", true],
  ] as const) {
    const entries = new PhpArray();
    for (const each of sorted.filter(({ entry }) => (entry.kind === "library") === libraries))
      entries.set(each.entry.name, resolvedEntry(each));
    if (entries.size > 0) resolved.set(section, entries);
  }
  const translations = document.get("translations");
  if (translations instanceof PhpArray && translations.size > 0) resolved.set("translations", translations.copy());
  return resolved;
}

const INTERNAL: ReadonlySet<PhpKey> = new Set(["name", "version"]);

function resolvedEntry({ entry, core, version, git }: Resolution): PhpArray {
  const out = new PhpArray();
  const bare = entry.kind !== "core" && version.startsWith(`${core}-`) ? version.slice(core.length + 1) : version;
  const named = bare === "" ? entry.version : bare;
  if (named !== "") out.set("version", named);
  if (entry.kind === "core") out.set("type", "core");
  else if (isRelease(entry) && !["module", "library"].includes(entry.type.toLowerCase())) out.set("type", entry.type);
  for (const [key, value] of entry.attributes.entries()) {
    if (!INTERNAL.has(key) && !out.has(key) && (isTruthy(value) || value === false))
      out.set(key, value instanceof PhpArray ? value.copy() : value);
  }
  const download = out.get("download");
  if (download instanceof PhpArray && phpText(entry.download.get("type")) !== "") {
    download.set("type", phpText(entry.download.get("type")));
    if (git?.branch !== undefined && !download.has("branch")) download.set("branch", git.branch);
    if (git) download.set("revision", git.commit);
  }
  return out;
}

/**
 * Asks release servers and repositories what a make file stands for now, without building it. `update` takes other
 * releases, within the file's core, than the versions it names (`make-update`).
 *
 * @throws ProvisionError FILE_NOT_FOUND, INVALID_FILE, BUILD_FAILED with every entry that cannot be resolved
 */
export async function resolveMakeFile(
  options: AssembleOptions,
  request: Omit<BuildRequest, "destination"> & { readonly staging: string },
  update?: Update,
): Promise<{ readonly document: PhpArray; readonly warnings: readonly string[]; readonly entries: number }> {
  const { host, cache, mirrors, offline, signal, staging } = request;
  const failures = new Failures(async () => []);
  const warnings: string[] = [];
  const git = new GitMirrors({ host, cache, mirrors, offline, mainFile: options.makefile });
  const slots = new Slots(request.jobs, signal);
  const resolver = new Resolver(
    options,
    { ...request, destination: staging },
    {
      slots,
      downloads: { cache: new DownloadCache(cache), mirrors, offline, ...(signal ? { signal } : {}) },
      git,
      failures,
      scratch: (kind) => join(staging, `${kind}-${randomBytes(6).toString("hex")}`),
      ready: () => undefined,
      warn: (message) => void warnings.push(message),
      plain: (text) => text,
    },
    update,
  );
  await host.mkdir(staging);
  try {
    const jobs = await resolver.mainJobs();
    const resolutions = await Promise.all(
      jobs.map((job) =>
        failures.guarded(aboutEntry(job.entry, job.fetch), () => slots.run(() => resolution(job, update ? undefined : git))),
      ),
    );
    if (failures.any)
      throw new ProvisionError("BUILD_FAILED", `${shown(options.makefile)}: ${failures.list.length} entries cannot be resolved`, {
        failures: failures.rows((text) => text),
        state: "nothing was written",
      });
    return {
      document: resolvedMakeFile(
        resolver.document,
        resolutions.filter((each) => each !== undefined),
      ),
      warnings,
      entries: jobs.length,
    };
  } finally {
    await host.remove(staging);
  }
}

async function resolution({ entry, core, version, fetch }: Job, git: GitMirrors | undefined): Promise<Resolution> {
  if (fetch.kind !== "git" || !git) return { entry, core, version };
  const request = gitRequest(fetch.download, entry.kind === "library" ? undefined : entry.name);
  if (request.kind !== "head" && request.kind !== "branch") return { entry, core, version };
  return { entry, core, version, git: await git.tip(request, fetch.download.mark("url") ?? entry.mark) };
}
