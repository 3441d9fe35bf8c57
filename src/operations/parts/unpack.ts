import { dirname, join } from "node:path";
import { siteName } from "../../context/names.js";
import { ProvisionError } from "../../core/errors.js";
import type { Run, Step } from "../../core/step.js";
import type { Extension } from "../../engines/engine.js";
import { effective, packageKey } from "../../engines/packages.js";
import type { Host } from "../../host/host.js";
import { syncTree } from "../../host/sync-tree.js";
import { examine, unpackTar } from "../../steps/archive.js";
import type { Services } from "../services.js";
import { type Pair, told } from "./code-moved.js";
import { emptiedWhenFull } from "./copy.js";
import { isSchemaBefore } from "./findings.js";
import { FILES_PART, MANIFEST, readManifest, SITE_PART } from "./manifest.js";
import { type Origin, unpackedParts } from "./origin.js";
import { recordedInventory, takeInventory } from "./platform-inventory.js";
import { refuseFullDisk } from "./preflight.js";
import { grouped, type SiteInputs, siteCode } from "./site.js";
import { backupIn, refuseDamaged } from "./stored-backups.js";

/** A generation that is made of a backup or of what else a site can be made of. */
export interface Unpacking extends SiteInputs {
  readonly origin: Origin;
}

/** Room beside what is unpacked: for the database, and what updates and caches write. */
export const SLACK = 64 * 1024 * 1024;
export const MAX_ENTRIES = 5_000_000;

/** All of the source is read once, before anything is made of it, and web server and database are asked. Rejects with REFUSED, DISK_FULL, SERVICE_UNAVAILABLE. */
export async function refuseUnfit(inputs: Unpacking, use: Services): Promise<void> {
  const { origin, server } = inputs;
  const host = use.host(server);
  await refuseUnwell(inputs, use);
  const free = await host.freeSpace(use.layoutOf(server).sites);
  const limits = { entries: MAX_ENTRIES, bytes: free, links: origin.own ? ("any" as const) : ("inside" as const) };
  let bytes = 0;
  if (origin.kind === "backup") {
    const stored = await backupIn(use.local, origin.path);
    if (stored) await refuseDamaged(use.local, stored);
    for (const part of [FILES_PART, SITE_PART]) bytes += (await examine(use.local, join(origin.path, part), limits)).bytes;
  } else if (origin.kind !== "dump") bytes = (await examine(use.local, origin.path, limits)).bytes * 2;
  else if (origin.files !== null) bytes = await sizeOf(origin.files, use);
  await refuseFullDisk(host, use.layoutOf(server).sites, bytes + SLACK);
}

/** Web server and database are asked whether they can be used now. Rejects with SERVICE_UNAVAILABLE and what the database's `reach` has. */
export async function refuseUnwell({ webServer, dbServer }: SiteInputs, use: Services): Promise<void> {
  const problems = (await use.http(webServer).problems()).filter(({ blocks }) => blocks).map(({ message }) => message);
  if (problems.length > 0)
    throw new ProvisionError("SERVICE_UNAVAILABLE", `the web server of ${webServer.name} is not well`, {
      why: problems,
      state: "nothing was changed",
    });
  await use.db(dbServer).reach();
}

async function sizeOf(directory: string, use: Services): Promise<number> {
  const { stdout } = await use.local.run(["du", "-s", "--block-size=1", "--apparent-size", "--", directory], { anyExit: true });
  return Number(stdout.split("\t")[0] ?? 0);
}

export function stagingOf({ paths: { root } }: SiteInputs): string {
  return join(root, ".source");
}

/** How the site and its files are named in the database, and how they are named now. */
export function pairsOf(origin: Origin, { site, directory, paths: { root }, webServer }: SiteInputs, use: Services): readonly Pair[] {
  const pairs: Pair[] = [];
  if ("root" in origin && origin.root !== root) pairs.push({ from: origin.root, to: root });
  if (origin.uri !== null && siteName(origin.uri) !== directory)
    pairs.push({ from: `sites/${siteName(origin.uri)}`, to: `sites/${directory}` });
  const url = use.http(webServer).url(site.uri, site.ssl !== "off");
  const former = new Set<string>();
  if (origin.uri !== null) for (const scheme of ["http", "https"]) former.add(`${scheme}://${origin.uri}`);
  if ("url" in origin) for (const scheme of ["http", "https"]) former.add(`${scheme}://${origin.url.split("://")[1] ?? ""}`);
  const present = new Set(["http", "https"].map((scheme) => `${scheme}://${url.split("://")[1] ?? ""}`));
  for (const from of former) if (!present.has(from)) pairs.push({ from, to: url });
  return pairs;
}

/** The parts of an export, or what Aegir packed, below the new generation; of an export each is what its manifest says. */
export function unpackStep(inputs: Unpacking, use: Services): Step {
  const { origin, server } = inputs;
  const host = use.host(server);
  const staging = stagingOf(inputs);
  return {
    id: "source/unpack",
    title: `Unpack ${origin.word}`,
    undoneBy: "site/directories",
    check: async () => ({ changes: [`unpack ${origin.word} below ${inputs.paths.root}`] }),
    async apply() {
      await host.mkdir(staging, { mode: 0o700 });
      await unpackTar(host, (origin as { readonly path: string }).path, staging, {}, use.local);
      if (origin.kind !== "export") return null;
      const parts = unpackedParts(origin, staging);
      const manifest = readManifest((await host.readFile(join(parts, MANIFEST))) ?? "", `${origin.word}: ${MANIFEST}`);
      await refuseDamaged(host, { id: manifest.id, directory: parts, of: siteName(manifest.uri), manifest, bytes: 0 });
      const free = await host.freeSpace(staging);
      for (const part of [FILES_PART, SITE_PART])
        await examine(host, join(parts, part), { entries: MAX_ENTRIES, bytes: free, links: "inside" });
      return null;
    },
  };
}

/** The dump in the source. */
export function dumpOf(inputs: Unpacking): string {
  const { origin } = inputs;
  if (origin.kind === "dump") return origin.path;
  return origin.kind === "aegir" ? join(stagingOf(inputs), "database.sql") : join(unpackedParts(origin, stagingOf(inputs)), origin.part);
}

/** The machine of the dump and the parts: what this hub has stays here, what is unpacked is beside the site. */
export function heldOn({ origin, server }: Unpacking, use: Services): Host {
  return origin.kind === "backup" || origin.kind === "dump" ? use.local : use.host(server);
}

/** What provision writes itself, also when an archive brings it along. */
const OURS = ["settings.php", "files", "drushrc.php", "local.drushrc.php", "private", "database.sql"];

/** The site's own modules, themes and libraries. */
export function ownCodeStep(inputs: Unpacking, use: Services): Step {
  const { origin, server, siteDirectory } = inputs;
  const host = use.host(server);
  return {
    id: "site/own-code",
    title: "The site's own modules, themes and libraries",
    undoneBy: "site/directories",
    check: async () => ({ changes: origin.kind === "dump" ? [] : [`put what ${origin.word} has into ${siteDirectory}`] }),
    async apply() {
      const staging = stagingOf(inputs);
      if (origin.kind === "backup" || origin.kind === "export") {
        const exclude = OURS.flatMap((name) => [name, `./${name}`]);
        await unpackTar(host, join(unpackedParts(origin, staging), SITE_PART), siteDirectory, { exclude }, heldOn(inputs, use));
        return null;
      }
      for (const name of (await host.list(staging)) ?? []) {
        if (OURS.includes(name) || name.startsWith(".provision")) continue;
        const to = join(siteDirectory, name);
        if ((await host.stat(to))?.type === "directory" && (await host.stat(join(staging, name)))?.type === "directory")
          await host.remove(to);
        if (await host.stat(join(staging, name))) await host.rename(join(staging, name), to);
      }
      return null;
    },
  };
}

/** Public and private files and configuration, which the web server's group may write to. */
export function filesStep(inputs: Unpacking, use: Services): Step {
  const { origin, server, paths: to } = inputs;
  const host = use.host(server);
  return emptiedWhenFull(host, inputs, {
    id: "site/files-loaded",
    title: `Files of ${inputs.site.uri}`,
    undoneBy: "site/directories",
    check: async () => ({
      changes: origin.kind === "dump" && origin.files === null ? [] : [`put the files of ${origin.word} into ${to.files}`],
    }),
    async apply() {
      const staging = stagingOf(inputs);
      if (origin.kind === "backup" || origin.kind === "export")
        await unpackTar(host, join(unpackedParts(origin, staging), FILES_PART), to.root, {}, heldOn(inputs, use));
      else if (origin.kind === "dump") {
        if (origin.files !== null)
          if (host.name === use.local.name)
            await host.run(["cp", "-R", "--preserve=timestamps,links", "--reflink=auto", "--", `${origin.files}/.`, to.files]);
          else await syncTree(use.local, origin.files, host, to.files, { plain: true });
      } else
        for (const [from, place] of [
          // Before the files, in which it may be.
          ...(await configurationIn(host, staging, use.engine(inputs.core.engine).configDirectories)).map(
            ({ from, name }) => [from, join(to.config, name)] as const,
          ),
          ["files", to.files] as const,
          ["private/files", to.private] as const,
        ]) {
          if ((await host.stat(join(staging, from)))?.type !== "directory") continue;
          await host.remove(place);
          await host.mkdir(dirname(place));
          await host.rename(join(staging, from), place);
        }
      if (!origin.own) await shared(inputs, use);
      return null;
    },
  });
}

/**
 * Where a tarball of Aegir has configuration in files, by the name that its core calls it: in Aegir's own place, beside the site, or where core's installer
 * hides it among the files, under a name that nobody guesses.
 */
export async function configurationIn(
  host: Host,
  staging: string,
  names: readonly string[],
): Promise<readonly { readonly name: string; readonly from: string }[]> {
  const hidden = ((await host.list(join(staging, "files"))) ?? []).filter((name) => name.startsWith("config_")).toSorted();
  const found: { name: string; from: string }[] = [];
  for (const name of names) {
    const places = ["private/config", "config", ...hidden.map((one) => `files/${one}`)].map((place) => `${place}/${name}`);
    for (const from of places) {
      // Aegir makes its own place, and leaves it empty.
      if (((await host.list(join(staging, from))) ?? []).filter((one) => one !== ".htaccess").length === 0) continue;
      found.push({ name, from });
      break;
    }
  }
  return found;
}

/** Whoever owned them elsewhere: here they belong to us and, by the group, to the web server. */
async function shared(inputs: Unpacking, use: Services): Promise<void> {
  const host = use.host(inputs.server);
  const { files, private: hidden, configSync } = inputs.paths;
  // Not every core has configuration in files.
  const trees = [files, hidden, ...((await host.stat(configSync)) ? [configSync] : [])];
  const { gid } = grouped(inputs, 0);
  if (gid !== undefined) await host.run(["chgrp", "-R", "--no-dereference", String(gid), "--", ...trees]);
  await host.run(["chmod", "-R", "u+rwX,g+rwX,o-rwx,ug-s", "--", ...trees]);
  await host.run(["find", ...trees, "-type", "d", "-exec", "chmod", "g+s", "{}", "+"]);
}

/**
 * Every extension that was enabled is in the code of the platform, none of it older than the database; what was missing before already is told.
 */
export function allExtensions(inputs: Unpacking, use: Services): Step {
  const { origin, platform, core } = inputs;
  const code = siteCode(inputs, use);
  return {
    id: "engine/extensions",
    title: "Extensions of the site are in the platform",
    undoneBy: "database/create",
    check: async () => ({ changes: ["look for every enabled extension"] }),
    async apply(run: Run) {
      const { missing, extensions } = told(run, await use.engine(core.engine).inventory(code));
      await refuseNewerDatabase(inputs, extensions, use);
      const wanted = "extensions" in origin ? missing.filter((name) => origin.extensions.includes(name)) : [];
      if (wanted.length > 0)
        throw new ProvisionError(
          "REFUSED",
          `${platform.name} lacks ${wanted.length} enabled ${wanted.length === 1 ? "extension" : "extensions"} of ${origin.word}: ${wanted.slice(0, 10).join(", ")}`,
          {
            next: ["add them to the platform", "or choose a platform that has them"],
          },
        );
      for (const name of missing) run.warn(`${name} is enabled in the database and not on the disk`);
      return { missing };
    },
  };
}

/** A database that has run updates which the code does not have cannot be used by it. Rejects with REFUSED. */
async function refuseNewerDatabase(inputs: Unpacking, extensions: readonly Extension[], use: Services): Promise<void> {
  const { platform, core, directory, origin, site } = inputs;
  const code = (await recordedInventory(use, platform.name)) ?? (await takeInventory(use, use.host(inputs.server), platform, core));
  const { packages } = effective(code, { profile: site.profile, directory });
  const newer = extensions.flatMap((extension) => {
    const known = packages.get(packageKey(extension));
    // Its own code came along with it.
    if (!extension.enabled || extension.schema === undefined || known?.schema === undefined || known.path !== extension.path) return [];
    return isSchemaBefore(core.engine, known.schema, extension.schema)
      ? [`${extension.name} has run update ${extension.schema}; the code on ${platform.name} ends with ${known.schema}`]
      : [];
  });
  if (newer.length > 0)
    throw new ProvisionError("REFUSED", `the code of ${platform.name} is older than the database of ${origin.word}`, {
      why: newer.slice(0, 10),
      next: ["bring the platform up to date", "or choose another one"],
    });
}
