import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import { addressOf, shown } from "../make/address.js";
import { archiveKind, unpack } from "../make/archive.js";
import { DownloadCache } from "../make/cache.js";
import { hashFile } from "../make/checksum.js";
import { download } from "../make/download.js";
import { TREE_LIMITS, tameTree } from "../make/tree.js";
import type { BuildSource } from "../source.js";
import { staged } from "../staging.js";

export interface ArchiveOptions {
  /** Absolute path or http(s) URL. */
  readonly archive: string;
  /** Hex; checked before anything is unpacked. */
  readonly sha256?: string;
}

/**
 * A platform from one archive (`archive:` of a platform): tar, tar.gz, tar.bz2 or zip by its first bytes. A single
 * directory at its top is left out. Limits, and what is refused in an archive, are those of make files.
 *
 * build() rejects with DOWNLOAD_FAILED, CHECKSUM_MISMATCH, BUILD_FAILED, NAME_TAKEN or STOPPED; the destination then
 * does not exist.
 */
export function archiveSource({ archive, sha256 }: ArchiveOptions): BuildSource {
  return {
    type: "archive",
    build: (request) =>
      staged(request, `the archive ${shown(archive)}`, async (staging) => {
        const { host, cache, mirrors, offline, signal } = request;
        const file = await download(addressOf(archive, undefined, archive), sha256 === undefined ? {} : { sha256 }, {
          cache: new DownloadCache(cache),
          mirrors,
          offline,
          ...(signal ? { signal } : {}),
        });
        const kind = archiveKind(file);
        if (kind === undefined)
          throw new ProvisionError("BUILD_FAILED", `${shown(archive)} is no archive`, {
            why: ["it is neither tar, tar.gz, tar.bz2 nor zip"],
          });
        request.progress?.(`unpack ${shown(archive)}`);
        const unpacked = join(staging, "unpacked");
        await unpack(host, file, kind, unpacked, TREE_LIMITS, signal);
        const tree = await content(unpacked);
        await tameTree(tree);
        const hash = await hashFile(file, "sha256");
        return {
          tree,
          report: {
            entries: [{ name: "archive", type: kind, path: "", source: `${shown(archive)} sha256 ${hash}` }],
            warnings: sha256 === undefined ? [`${shown(archive)} was taken as it came: archive_sha256: ${hash} would hold it to that`] : [],
            resolved: { sha256: hash },
          },
        };
      }),
  };
}

/** Exactly one entry at the top, a directory: that is the content; hidden files count. */
async function content(unpacked: string): Promise<string> {
  const [first, ...others] = await readdir(unpacked, { withFileTypes: true });
  return first?.isDirectory() && others.length === 0 ? join(unpacked, first.name) : unpacked;
}
