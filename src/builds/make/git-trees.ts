import { closeSync, openSync, readSync, statSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Host } from "../../host/host.js";
import { unpack } from "./archive.js";
import { DownloadCache } from "./cache.js";
import { hashFile } from "./checksum.js";
import { gitEnvironment } from "./git-environment.js";
import { TREE_LIMITS } from "./tree.js";

/** A commit whose tree was written. */
export interface Exported {
  readonly commit: string;
  /** Seconds since the epoch, of the commit. */
  readonly date: number;
  /** Nothing in it is for tameTree() to put right. */
  readonly tame: boolean;
}

type Head = Pick<Exported, "commit" | "date">;

/** A larger archive is not kept: its repository has all of it already. */
const KEPT = 32 * 1024 ** 2;
const TIMEOUT = 30 * 60_000;

/** What is kept for all must not be as one user likes it (`core.autocrlf`, filters). */
const NOBODYS = { GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1" };

/**
 * Trees of commits, as `git archive` gives them, kept in the cache of downloads by the name of the commit: a tree that was built
 * once is built again without git. What repositories say to be left out of their archives (export-ignore), or written
 * otherwise (export-subst), is as in a checkout.
 */
export class GitTrees {
  readonly #host: Host;
  readonly #root: string;
  readonly #downloads: DownloadCache;
  readonly #signal: AbortSignal | undefined;
  readonly #plain = new Map<string, Promise<string>>();

  constructor(host: Host, cache: string, signal: AbortSignal | undefined) {
    this.#host = host;
    this.#root = cache;
    this.#downloads = new DownloadCache(cache);
    this.#signal = signal;
  }

  /** `name`: a commit, an annotated tag, or what remember() was told. `undefined`, and nothing written, when it is not in the cache. */
  async kept(name: string, into: string): Promise<Exported | undefined> {
    const found = await this.#downloads.find(keyOf(name));
    const head = found && headOf(found.path);
    return found && head && this.#unpacked(found.path, head, into);
  }

  /** The tree of an object in the store `objects`; `undefined`, and nothing written, when git cannot. */
  async exported(objects: string, id: string, into: string): Promise<Exported | undefined> {
    const plain = await this.#plainRepository(id.length === 64 ? "sha256" : "sha1");
    const scratch = await this.#downloads.scratch();
    try {
      const { code } = await this.#host.run(
        ["git", "--git-dir", plain, "-c", "tar.umask=0022", "archive", "--format=tar", `--output=${scratch}`, id],
        {
          anyExit: true,
          timeout: TIMEOUT,
          env: { ...gitEnvironment(), ...NOBODYS, GIT_ALTERNATE_OBJECT_DIRECTORIES: `"${objects.replace(/["\\]/g, "\\$&")}"` },
        },
      );
      if (code !== 0) return undefined;
      const [head, { size }] = [headOf(scratch), statSync(scratch)];
      if (head === undefined) return undefined;
      if (size > KEPT) return await this.#unpacked(scratch, head, into);
      const entry = { sha256: await hashFile(scratch, "sha256"), size };
      const path = await this.#downloads.keep(keyOf(id), scratch, entry);
      if (head.commit !== id) await this.#downloads.record(keyOf(head.commit), entry);
      return await this.#unpacked(path, head, into);
    } finally {
      await rm(scratch, { force: true });
    }
  }

  /** What a name stood for, for a day when its repository cannot be asked. */
  async remember(name: string, commit: string): Promise<void> {
    const entry = this.#downloads.look(keyOf(commit));
    if (entry && entry.sha256 !== this.#downloads.look(keyOf(name))?.sha256) await this.#downloads.record(keyOf(name), entry);
  }

  async #unpacked(archive: string, head: Head, into: string): Promise<Exported> {
    const tame = await unpack(this.#host, archive, "tar", into, TREE_LIMITS, this.#signal);
    return { ...head, tame };
  }

  /** A repository without objects, whose attributes win over those in a tree. Each of its files comes by rename, so that builds at the same time agree. */
  #plainRepository(format: "sha1" | "sha256"): Promise<string> {
    const root = join(this.#root, format === "sha1" ? "archive.git" : `archive-${format}.git`);
    const known = this.#plain.get(root);
    if (known !== undefined) return known;
    const made = Promise.all(
      Object.entries({
        HEAD: "ref: refs/heads/main\n",
        config: `[core]\n\trepositoryformatversion = 1\n\tbare = true\n${format === "sha1" ? "" : `[extensions]\n\tobjectformat = ${format}\n`}`,
        "objects/.keep": "",
        "refs/.keep": "",
        "info/attributes": "* -export-ignore -export-subst\n",
      }).map(async ([name, text]) => {
        const path = join(root, name);
        if ((await readFile(path, "utf8").catch(() => undefined)) === text) return;
        await mkdir(dirname(path), { recursive: true });
        const beside = await this.#downloads.scratch();
        await writeFile(beside, text);
        await rename(beside, path);
      }),
    ).then(() => root);
    this.#plain.set(root, made);
    return made;
  }
}

function keyOf(id: string): string {
  return `git archive ${id}`;
}

/** Git begins the archive of a commit with its name, dated as the commit; `undefined` for the archive of anything else. */
function headOf(archive: string): Head | undefined {
  const file = openSync(archive, "r");
  try {
    const buffer = Buffer.alloc(1024);
    readSync(file, buffer);
    const commit = /^\d+ comment=([0-9a-f]{40}|[0-9a-f]{64})\n/.exec(buffer.toString("latin1", 512))?.[1];
    return commit === undefined ? undefined : { commit, date: Number.parseInt(buffer.toString("latin1", 136, 147), 8) };
  } finally {
    closeSync(file);
  }
}
