import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";

/** A finished entry, still in a directory of its own. */
export interface Piece {
  readonly name: string;
  /** Relative to the platform; empty for core. */
  readonly path: string;
  readonly tree: string;
  /** `overwrite = FALSE`: it may not take another's place. */
  readonly keepOther: boolean;
}

/**
 * Moves the pieces into one tree: in the order of the file, but what holds another's place comes before it; of two at
 * one place the later stays. `each` runs one piece and may swallow its failure.
 */
export async function putTogether(
  pieces: readonly Piece[],
  platform: string,
  each: (piece: Piece, work: () => Promise<void>) => Promise<void>,
  warn: (message: string) => void,
): Promise<void> {
  const depth = ({ path }: Piece) => (path === "" ? 0 : path.split("/").length);
  const ordered = [...pieces].sort((a, b) => depth(a) - depth(b));
  if (!ordered.some(({ path }) => path === "")) await mkdir(platform, { mode: 0o755 });
  const places = new Map<string, string>();
  for (const piece of ordered) {
    const { name, path, tree, keepOther } = piece;
    await each(piece, async () => {
      const target = join(platform, path);
      const holder = places.get(path);
      if (path !== "" && existsSync(target)) {
        if (keepOther) throw new ProvisionError("BUILD_FAILED", `Directory not empty: ${path}, and overwrite is off`);
        if (holder !== undefined) warn(`${name} replaces ${holder} at ${path}`);
        await rm(target, { recursive: true, force: true });
      }
      await mkdir(dirname(target), { recursive: true, mode: 0o755 });
      await rename(tree, target);
      places.set(path, name);
    });
  }
}

/** For core's own web installer: settings.php and files that the group of the web server may write (drush: everyone). */
export async function prepareInstall(platform: string): Promise<void> {
  const site = join(platform, "sites/default");
  const template = join(site, "default.settings.php");
  if (!existsSync(template)) return;
  const settings = join(site, "settings.php");
  if (!existsSync(settings)) await copyFile(template, settings);
  await chmod(settings, 0o664);
  await mkdir(join(site, "files"), { recursive: true });
  await chmod(join(site, "files"), 0o2775);
}

export function archivePath(destination: string): string {
  return /\.(?:tar\.gz|tgz)$/.test(destination) ? destination : `${destination}.tar.gz`;
}

/** One archive with one directory at its top, named as the archive; the same tree gives the same bytes. */
export async function tarOf(host: Host, tree: string, destination: string, staging: string): Promise<string> {
  const path = archivePath(destination);
  const top = basename(path).replace(/\.(?:tar\.gz|tgz)$/, "");
  await mkdir(join(staging, "tar"));
  await rename(tree, join(staging, "tar", top));
  const made = join(staging, "made.tar.gz");
  const argv = ["tar", "--create", "--use-compress-program=gzip -n", "--sort=name", "--mtime=@0", "--owner=0", "--group=0"] as const;
  await host.run([...argv, "--numeric-owner", "--format=gnu", "--force-local", "-f", made, "-C", join(staging, "tar"), "--", top], {
    timeout: 30 * 60_000,
  });
  await rename(made, path);
  return path;
}

/** Drush's hash of a build: md5 over the sorted lines of `cksum` of every file. */
export async function md5Of(host: Host, tree: string): Promise<string> {
  const { createHash } = await import("node:crypto");
  const files: string[] = [];
  const visit = async (path: string): Promise<void> => {
    for (const child of await readdir(join(tree, path), { withFileTypes: true })) {
      const name = path === "" ? child.name : `${path}/${child.name}`;
      if (child.isDirectory()) await visit(name);
      else if (child.isFile()) files.push(name);
    }
  };
  await visit("");
  const lines: string[] = [];
  for (let at = 0; at < files.length; at += 500) {
    const { stdout } = await host.run(["cksum", "--", ...files.slice(at, at + 500)], { cwd: tree, env: { LC_ALL: "C" } });
    lines.push(...stdout.split("\n").filter((line) => line !== ""));
  }
  return createHash("md5").update(lines.sort().join("\n")).digest("hex");
}

/** The tree and what is above it in the file system reach the disk before it gets its name. */
export async function syncTree(host: Host, tree: string): Promise<void> {
  await host.run(["sync", "--file-system", tree], { anyExit: true, timeout: 5 * 60_000 });
}
