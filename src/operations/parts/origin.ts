import { basename, join, resolve } from "node:path";
import { uriProblem } from "../../context/names.js";
import { ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import { decompress } from "../../steps/archive.js";
import type { Services } from "../services.js";
import { MANIFEST, type Manifest, readManifest } from "./manifest.js";
import { backupNamed, type StoredBackup } from "./stored-backups.js";

/** Where the database and the files of a new site come from. JSON. */
export type Origin = {
  /** As it was given, for messages. */
  readonly word: string;
  /** What the site was called there; null: nobody knows. */
  readonly uri: string | null;
  readonly profile: string | null;
  /** Of the database server that wrote the dump. */
  readonly database: "mysql" | "pgsql" | "sqlite";
  /** The archive was made here, by this hub, and nobody else could write to it: links in it are the operator's own. */
  readonly own: boolean;
} & (
  | {
      readonly kind: "backup" | "export";
      /** Directory of the parts; of an export the file. */
      readonly path: string;
      readonly id: string;
      readonly engine: string;
      readonly core: string;
      readonly root: string;
      readonly url: string;
      readonly part: string;
      /** Platform and properties of the context that it was made of. */
      readonly platform: string | null;
      readonly context: { readonly [key: string]: unknown };
      readonly extensions: readonly string[];
    }
  | { readonly kind: "aegir"; readonly path: string }
  | { readonly kind: "dump"; readonly path: string; readonly files: string | null }
);

/** What an archive says of itself, looked for once in a process: a large one takes a while to be read. */
const KNOWN = new Map<string, Promise<Opened>>();

type Opened = { readonly manifest: Manifest; readonly folder: string } | { readonly settings: string; readonly dot: string };

/**
 * What is meant by a word of the command line: the id or directory of a backup, a file that `backups export` wrote, a tarball of Aegir, or a dump
 * (then `files` is a directory of files). Rejects with FILE_NOT_FOUND, REFUSED, USAGE.
 */
export async function originOf(
  use: Services,
  word: string,
  more: { readonly files?: string | undefined; readonly uri?: string | undefined },
): Promise<Origin> {
  const host = use.local;
  const path = resolve(word);
  const stat = await host.stat(path);
  if (!stat || (stat.type === "directory" && more.files === undefined)) {
    const stored = await backupNamed(use, stat ? path : word);
    return { ...ofManifest(word, stored.manifest), kind: "backup", path: stored.directory, own: isOurs(use, stored) };
  }
  if (stat.type !== "file") throw new ProvisionError("REFUSED", `${word} is a ${stat.type}; a file or the directory of a backup is wanted`);
  if (/\.(sql|sqlite|dump)(\.(gz|bz2|zst))?$/.test(path)) return ofDump(host, word, path, more);
  const key = `${path} ${stat.size} ${stat.mtime}`;
  const opening = KNOWN.get(key) ?? opened(host, path);
  KNOWN.set(key, opening);
  const found = await opening;
  if ("manifest" in found) return { ...ofManifest(word, found.manifest), kind: "export", path, own: false };
  const { settings } = found;
  const uri =
    /file_public_path'?\]\s*=\s*["']sites\/([^/"']+)\/files["']/.exec(settings)?.[1] ??
    /^(.+)-\d{8}\.\d{6}(?:_\d+)?\./.exec(basename(path))?.[1];
  const profile =
    /^\s*\$install_profile\s*=\s*["']([a-z0-9_]+)["'];/m.exec(settings)?.[1] ??
    /^\s*\$profile\s*=\s*["']([a-z0-9_]+)["'];/m.exec(settings)?.[1];
  const driver = /'driver'\s*=>\s*["']([a-z]+)["']/.exec(settings)?.[1];
  return {
    kind: "aegir",
    word,
    path,
    uri: known(more.uri ?? uri),
    profile: profile ?? null,
    database: driver === "pgsql" ? "pgsql" : "mysql",
    own: false,
  };
}

function known(uri: string | undefined): string | null {
  return uri === undefined || uriProblem(uri) !== undefined ? null : uri;
}

/** In the hub's own directory, which nobody else may enter. */
function isOurs(use: Services, { directory }: StoredBackup): boolean {
  return directory.startsWith(`${use.layout.backups}/`);
}

function ofManifest(word: string, manifest: Manifest) {
  const { database, platform } = manifest;
  const { type } = database;
  if (type !== "mysql" && type !== "pgsql" && type !== "sqlite")
    throw new ProvisionError("REFUSED", `${word} has a database of a kind that this version does not know: ${type}`);
  return {
    word,
    uri: manifest.uri,
    profile: manifest.profile,
    database: type,
    id: manifest.id,
    engine: manifest.engine,
    core: manifest.core,
    root: manifest.root,
    url: manifest.url,
    part: database.part,
    platform: typeof platform["name"] === "string" ? platform["name"] : null,
    context: manifest.context,
    extensions: (manifest.extensions ?? []).filter(({ type: kind }) => kind !== "theme").map(({ name }) => name),
  } as const;
}

async function ofDump(
  host: Host,
  word: string,
  path: string,
  { files, uri }: { readonly files?: string | undefined; readonly uri?: string | undefined },
): Promise<Origin> {
  let head = "";
  try {
    await host.pipe(decompress(path), ["head", "-c", "4096"], {
      onOutput: (text) => {
        head += text;
      },
      fromExits: [1, 2, 141],
    });
  } catch (error) {
    // Whoever writes loses its reader: what it wrote is what was wanted.
    if (!(error instanceof ProvisionError) || head === "") throw error;
  }
  const database = head.startsWith("SQLite format 3")
    ? "sqlite"
    : /PostgreSQL database dump/.test(head)
      ? "pgsql"
      : /(MariaDB|MySQL) dump|^CREATE TABLE `|^DROP TABLE IF EXISTS `/m.test(head)
        ? "mysql"
        : undefined;
  if (database === undefined)
    throw new ProvisionError("REFUSED", `${word} does not begin as a dump of MariaDB, MySQL, PostgreSQL or SQLite does`, {
      next: ["mariadb-dump, pg_dump --format=plain, or the SQLite file itself; .gz, .bz2 and .zst are taken too"],
    });
  const directory = files === undefined ? null : ((await host.realPath(resolve(files))) ?? resolve(files));
  if (directory !== null && (await host.stat(directory))?.type !== "directory")
    throw new ProvisionError("FILE_NOT_FOUND", `there is no directory ${directory} (--files)`);
  return { kind: "dump", word, path, files: directory, uri: known(uri), profile: null, database, own: false };
}

/** A manifest, or the settings.php of a site that Aegir packed; by a look at the names first. */
async function opened(host: Host, path: string): Promise<Opened> {
  const names = await topNames(host, path);
  const manifest = names.find((name) => /^[^/]+\/manifest\.json$/.test(name));
  if (manifest !== undefined)
    return { manifest: readManifest(await memberText(host, path, manifest), `${path}: ${MANIFEST}`), folder: manifest.split("/")[0] ?? "" };
  const dump = names.find((name) => /^(\.\/)?database\.sql$/.test(name));
  if (dump === undefined)
    throw new ProvisionError(
      "REFUSED",
      `${path} is neither a backup that was exported nor a tarball of Aegir: it holds no ${MANIFEST} and no database.sql`,
      {
        next: ["provision backups export ID FILE", "provision deploy @new dump.sql.gz --files DIRECTORY"],
      },
    );
  const dot = dump.slice(0, -"database.sql".length);
  const settings = names.includes(`${dot}settings.php`) ? await memberText(host, path, `${dot}settings.php`) : "";
  return { settings, dot };
}

const MAX_TEXT = 4 * 1024 * 1024;

/** Names of members that are not deep in the archive. */
async function topNames(host: Host, path: string): Promise<readonly string[]> {
  const names: string[] = [];
  let rest = "";
  try {
    await host.pipe(decompress(path), ["tar", "--list", "--absolute-names", "--quoting-style=escape", "--file=-"], {
      env: { LC_ALL: "C", TAR_OPTIONS: undefined },
      onOutput: (text) => {
        const lines = `${rest}${text}`.split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) if (line.replace(/^\.\//, "").split("/").length <= 2 && names.length < 10_000) names.push(line);
      },
    });
  } catch (error) {
    if (!(error instanceof ProvisionError) || error.code !== "COMMAND_FAILED") throw error;
    throw new ProvisionError("REFUSED", `${path} is no tar archive, or damaged`, { why: error.why, cause: error });
  }
  return names;
}

async function memberText(host: Host, path: string, member: string): Promise<string> {
  let text = "";
  await host.pipe(decompress(path), ["tar", "--extract", "--to-stdout", "--file=-", "--absolute-names", "--", member], {
    env: { LC_ALL: "C", TAR_OPTIONS: undefined },
    onOutput: (chunk) => {
      if (text.length < MAX_TEXT) text += chunk;
    },
  });
  return text;
}

/** Where the parts of an export stand once it is unpacked into `staging`. */
export function unpackedParts(origin: Extract<Origin, { kind: "backup" | "export" }>, staging: string): string {
  return origin.kind === "backup" ? origin.path : join(staging, origin.id);
}
