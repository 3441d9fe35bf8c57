import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import { tameTree } from "../make/tree.js";
import type { BuildRequest, BuildSource } from "../source.js";
import { staged } from "../staging.js";
import { Composer, composerReport, installProject } from "./install.js";
import type { LockPolicy } from "./project.js";

export type ComposerOptions = (
  | {
      /** Absolute; holds composer.json and composer.lock. */
      readonly directory: string;
    }
  | {
      /** `vendor/package`, for create-project. */
      readonly package: string;
      readonly version: string;
    }
) & {
  readonly lock?: LockPolicy;
  /** PHP program that Composer runs with. */
  readonly php?: string;
};

/** Of the project's directory: made anew by every build, or none of a platform's business. */
const NOT_COPIED = new Set([".git", "vendor", "node_modules"]);

/**
 * A platform that Composer builds (`composer:` of a platform): a copy of a project directory, or a new project from a
 * package. Composer runs beside the destination, without a home directory's settings and without development packages;
 * credentials come from COMPOSER_AUTH, from auth.json of the project (left out of the platform) or of a COMPOSER_HOME that
 * the environment names.
 *
 * build() rejects with FILE_NOT_FOUND, INVALID_FILE, PROGRAM_MISSING, BUILD_FAILED, NAME_TAKEN or STOPPED; the destination then
 * does not exist.
 */
export function composerSource(options: ComposerOptions): BuildSource {
  const what = "directory" in options ? `the Composer project ${options.directory}` : `${options.package} ${options.version}`;
  return {
    type: "composer",
    build: (request) =>
      staged(request, what, async (staging) => {
        const project = join(staging, "project");
        if ("directory" in options) await copy(options.directory, project, request);
        else await create(options, staging, project, request);
        const installed = await installProject(project, request, {
          // A package is a beginning: what it leaves open is chosen now, and recorded.
          lock: "directory" in options ? (options.lock ?? "require") : "allow-missing",
          ...(options.php === undefined ? {} : { php: options.php }),
          where: "directory" in options ? options.directory : options.package,
        });
        // Composer makes some files 0600 (reference: make.md 7); links that lead out of the project are refused.
        await tameTree(project);
        return { tree: project, report: composerReport(installed) };
      }),
  };
}

/** Whether Composer, with the repositories of its home directory, knows such a version of a package. Without Composer it knows none. */
export async function packageOffered(request: Pick<BuildRequest, "host" | "cache">, name: string, version: string): Promise<boolean> {
  try {
    const whole: BuildRequest = { ...request, destination: request.cache, mirrors: {}, offline: false, jobs: 1 };
    return await (await Composer.of(whole, undefined, request.cache)).offers(name, version);
  } catch (error) {
    if (error instanceof ProvisionError && error.code === "PROGRAM_MISSING") return false;
    throw error;
  }
}

async function copy(from: string, to: string, { host }: BuildRequest): Promise<void> {
  if (!existsSync(join(from, "composer.json"))) {
    const looksLikePackage = /(?:^|\/)[a-z0-9_.-]+\/[a-z0-9_.-]+$/.test(from);
    throw new ProvisionError("FILE_NOT_FOUND", `${from} has no composer.json`, {
      next: looksLikePackage ? ["provision save @platform --composer_version=…    # when composer names a package"] : [],
    });
  }
  await host.mkdir(to);
  for (const name of await readdir(from)) if (!NOT_COPIED.has(name)) await host.uploadTree(join(from, name), join(to, name));
}

async function create(
  { package: name, version, php }: { readonly package: string; readonly version: string; readonly php?: string },
  staging: string,
  project: string,
  request: BuildRequest,
): Promise<void> {
  const composer = await Composer.of(request, php, project);
  request.progress?.(`composer create-project ${name} ${version}`);
  await composer.run(["create-project", "--no-install", "--no-dev", "--remove-vcs", "--", name, project, version], name, staging);
}
