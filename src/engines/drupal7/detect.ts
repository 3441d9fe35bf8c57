import { join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import type { Core } from "../engine.js";

/** Where builds put the docroot, seen from the platform's root; the root itself first. */
const DOCROOTS = ["", "web", "docroot", "html", "public"];

/** Both ways of saying it: core's own, and that of forks. */
const VERSION = /^\s*(?:define\(\s*['"]VERSION['"]\s*,\s*|const\s+VERSION\s*=\s*)['"](7\.[^'"]+)['"]/m;

/** Without these no site can be installed or served. */
const REQUIRED = [
  "index.php",
  "includes/bootstrap.inc",
  "includes/common.inc",
  "includes/install.core.inc",
  "includes/database/database.inc",
  "modules/system/system.module",
  "modules/system/system.info",
];

/** A Drupal 7 at `root` or in its docroot: `includes/bootstrap.inc` says VERSION 7.x (Drupal 6 and 8 say it elsewhere). */
export async function detect(host: Host, root: string): Promise<Core | undefined> {
  for (const place of DOCROOTS) {
    const docroot = place === "" ? root : join(root, place);
    const version = VERSION.exec((await host.readFile(join(docroot, "includes/bootstrap.inc"))) ?? "")?.[1];
    const info = version === undefined ? await host.readFile(join(docroot, "modules/system/system.info")) : undefined;
    if (version === undefined && !/^\s*core\s*=\s*"?7\.x/m.test(info ?? "")) continue;

    const found = await Promise.all(
      REQUIRED.map(async (file) => ((await host.stat(join(docroot, file)))?.type === "file" ? undefined : file)),
    );
    const missing = found.filter((file) => file !== undefined);
    if (missing.length > 0 || version === undefined) {
      throw new ProvisionError("NOT_A_PLATFORM", `${host.name}:${docroot} is half a Drupal 7`, {
        why: missing.length > 0 ? [`missing: ${missing.join(", ")}`] : ["includes/bootstrap.inc says no version"],
        next: ["Build or unpack the platform again, into an empty directory"],
      });
    }
    return { engine: "drupal7", version, docroot, profiles: await profiles(host, docroot) };
  }
  return undefined;
}

/** All that can be installed by name, hidden ones too; core looks for them in `profiles/` alone. */
async function profiles(host: Host, docroot: string): Promise<readonly string[]> {
  const names = (await host.list(join(docroot, "profiles"))) ?? [];
  const found = await Promise.all(
    names.map(async (name) => {
      const files = await Promise.all(["info", "profile"].map((type) => host.stat(join(docroot, "profiles", name, `${name}.${type}`))));
      return files.every((file) => file !== undefined) ? name : undefined;
    }),
  );
  return found.filter((name) => name !== undefined);
}
