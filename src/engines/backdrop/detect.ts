import { join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import type { Core } from "../engine.js";

/** Where builds put the docroot, seen from the platform's root; the root itself first. */
const DOCROOTS = ["", "web", "docroot", "html", "public"];

const VERSION = /^\s*define\(\s*['"]BACKDROP_VERSION['"]\s*,\s*['"](1\.[^'"]+)['"]/m;

/** Without these no site can be installed or served. */
const REQUIRED = [
  "index.php",
  "core/includes/bootstrap.inc",
  "core/includes/common.inc",
  "core/includes/config.inc",
  "core/includes/install.core.inc",
  "core/includes/database/database.inc",
  "core/modules/system/system.module",
  "core/modules/system/system.info",
];

/** A Backdrop 1.x at `root` or in its docroot: `core/includes/bootstrap.inc` says BACKDROP_VERSION (Drupal 8 has no such file). */
export async function detect(host: Host, root: string): Promise<Core | undefined> {
  for (const place of DOCROOTS) {
    const docroot = place === "" ? root : join(root, place);
    const version = VERSION.exec((await host.readFile(join(docroot, "core/includes/bootstrap.inc"))) ?? "")?.[1];
    const info = version === undefined ? await host.readFile(join(docroot, "core/modules/system/system.info")) : undefined;
    if (version === undefined && !/^\s*backdrop\s*=\s*"?1\.x/m.test(info ?? "")) continue;

    const found = await Promise.all(
      REQUIRED.map(async (file) => ((await host.stat(join(docroot, file)))?.type === "file" ? undefined : file)),
    );
    const missing = found.filter((file) => file !== undefined);
    if (missing.length > 0 || version === undefined) {
      throw new ProvisionError("NOT_A_PLATFORM", `${host.name}:${docroot} is half a Backdrop`, {
        why: missing.length > 0 ? [`missing: ${missing.join(", ")}`] : ["core/includes/bootstrap.inc says no version"],
        next: ["Build or unpack the platform again, into an empty directory"],
      });
    }
    return { engine: "backdrop", version, docroot, profiles: await profiles(host, docroot) };
  }
  return undefined;
}

/** All that can be installed by name, hidden ones too (minimal is); core's own, and those beside core. */
async function profiles(host: Host, docroot: string): Promise<readonly string[]> {
  const found = await Promise.all(
    ["core/profiles", "profiles"].map(async (place) => {
      const names = (await host.list(join(docroot, place))) ?? [];
      const there = await Promise.all(
        names.map(async (name) => {
          const files = await Promise.all(["info", "profile"].map((type) => host.stat(join(docroot, place, name, `${name}.${type}`))));
          return files.every((file) => file !== undefined) ? name : undefined;
        }),
      );
      return there.filter((name) => name !== undefined);
    }),
  );
  return [...new Set(found.flat())].sort();
}
