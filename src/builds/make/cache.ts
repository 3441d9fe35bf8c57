import { createHash, randomBytes } from "node:crypto";
import { readFileSync, statSync, utimesSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isSystemError } from "../../core/errors.js";
import { hashFile } from "./checksum.js";

/** What is known of the bytes that a URL gave. */
export interface CachedDownload {
  readonly sha256: string;
  readonly size: number;
  /** Validators of the answer, to ask only whether it changed. */
  readonly etag?: string;
  readonly lastModified?: string;
}

/**
 * Bytes by their hash (`sha256/ab/abcd…`) and an index from URL to hash (`url/…json`). Files come by rename from
 * `tmp/`, so that builds at the same time and killed builds never see or leave half of one; a file whose bytes
 * do not match its name is thrown away when it is asked for.
 */
export class DownloadCache {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** A path for a file under way; nobody else has it. */
  async scratch(): Promise<string> {
    await mkdir(join(this.#root, "tmp"), { recursive: true });
    return join(this.#root, "tmp", randomBytes(8).toString("hex"));
  }

  async find(url: string): Promise<(CachedDownload & { readonly path: string }) | undefined> {
    const entry = this.look(url);
    return entry === undefined ? undefined : this.#verified(entry);
  }

  /** Bytes by their sha256, wherever they came from. */
  async findContent(sha256: string): Promise<string | undefined> {
    const path = this.#content(sha256);
    const found = present(path);
    return found && (await this.#verified({ sha256, size: found.size }))?.path;
  }

  /** Takes over the file at `scratch`. */
  async keep(url: string, scratch: string, entry: CachedDownload): Promise<string> {
    const path = this.#content(entry.sha256);
    await mkdir(join(path, ".."), { recursive: true });
    await rename(scratch, path);
    await this.record(url, entry);
    return path;
  }

  /** Another name for bytes that are kept. */
  async record(url: string, entry: CachedDownload): Promise<void> {
    const index = this.#indexPath(url);
    await mkdir(join(index, ".."), { recursive: true });
    const beside = await this.scratch();
    try {
      await writeFile(beside, JSON.stringify(entry));
      await rename(beside, index);
    } finally {
      // gone by the rename, unless the disk was full
      await rm(beside, { force: true });
    }
  }

  async #verified(entry: CachedDownload): Promise<(CachedDownload & { readonly path: string }) | undefined> {
    const path = this.#content(entry.sha256);
    const found = present(path);
    if (!found) return undefined;
    if (found.size === entry.size && (await hashFile(path, "sha256")) === entry.sha256) {
      // a cleaner of old files goes by this
      try {
        utimesSync(path, new Date(), new Date());
      } catch {
        // someone else's
      }
      return { ...entry, path };
    }
    await rm(path, { force: true });
    return undefined;
  }

  /** What is known of a URL; its bytes may be gone. */
  look(url: string): CachedDownload | undefined {
    try {
      const entry = JSON.parse(readFileSync(this.#indexPath(url), "utf8")) as CachedDownload;
      return /^[0-9a-f]{64}$/.test(entry.sha256) ? entry : undefined;
    } catch {
      return undefined;
    }
  }

  #content(sha256: string): string {
    return join(this.#root, "sha256", sha256.slice(0, 2), sha256);
  }

  #indexPath(url: string): string {
    const hash = createHash("sha256").update(url).digest("hex");
    return join(this.#root, "url", hash.slice(0, 2), `${hash}.json`);
  }
}

function present(path: string) {
  try {
    return statSync(path);
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return undefined;
    throw error;
  }
}
