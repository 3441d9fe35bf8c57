import { join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import type { Core } from "../engine.js";

/** Where Composer projects put the docroot, seen from the platform's root; the root itself first, as an archive of core has it. */
const DOCROOTS = ["", "web", "docroot", "html", "public"];

const VERSION = /^\s*const\s+VERSION\s*=\s*['"]([^'"]+)['"]/m;

/** Without these no site can be installed or served. */
const REQUIRED = [
  "index.php",
  "autoload.php",
  "core/includes/install.core.inc",
  "core/lib/Drupal/Core/DrupalKernel.php",
  "core/modules/system/system.info.yml",
];

/** A Drupal 8 or later at `root` or in its docroot: `core/lib/Drupal.php` says its VERSION. */
export async function detect(host: Host, root: string): Promise<Core | undefined> {
  for (const place of DOCROOTS) {
    const docroot = place === "" ? root : join(root, place);
    const text = await host.readFile(join(docroot, "core/lib/Drupal.php"));
    if (text === undefined) continue;
    const version = VERSION.exec(text)?.[1];
    const found = await Promise.all(
      REQUIRED.map(async (file) => ((await host.stat(join(docroot, file)))?.type === "file" ? undefined : file)),
    );
    const missing = [...found.filter((file) => file !== undefined), ...(await missingVendor(host, docroot))];
    if (missing.length > 0 || version === undefined) {
      throw new ProvisionError("NOT_A_PLATFORM", `${host.name}:${docroot} is half a Drupal`, {
        why: missing.length > 0 ? [`missing: ${missing.join(", ")}`] : ["core/lib/Drupal.php says no version"],
        next: [
          "composer install    # in the project, when vendor/ is what is missing",
          "build the platform again, into an empty directory",
        ],
      });
    }
    return { engine: "drupal", version, docroot, profiles: await profiles(host, docroot) };
  }
  return undefined;
}

/** The class loader that autoload.php leads to: Composer makes it, and a copy without `vendor/` has none. */
async function missingVendor(host: Host, docroot: string): Promise<readonly string[]> {
  const loader = /__DIR__\s*\.\s*['"]([^'"]+)['"]/.exec((await host.readFile(join(docroot, "autoload.php"))) ?? "")?.[1];
  if (loader === undefined || (await host.stat(join(docroot, loader))) !== undefined) return [];
  return [loader.replace(/^\//, "")];
}

/** All that can be installed by name. Core looks below `core/profiles/` and, at any depth, `profiles/`: composer/installers uses one more level. */
async function profiles(host: Host, docroot: string): Promise<readonly string[]> {
  const names = new Set<string>();
  const look = async (directory: string, deeper: boolean): Promise<void> => {
    for (const name of (await host.list(directory)) ?? []) {
      // Core's own tests install these; a site cannot.
      if (name.startsWith("testing")) continue;
      const path = join(directory, name);
      if ((await host.stat(join(path, `${name}.info.yml`))) !== undefined) names.add(name);
      else if (deeper && (await host.stat(path))?.type === "directory") await look(path, false);
    }
  };
  await look(join(docroot, "core/profiles"), false);
  await look(join(docroot, "profiles"), true);
  return [...names].sort();
}
