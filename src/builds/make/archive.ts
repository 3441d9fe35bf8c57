import { closeSync, mkdirSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { promisify } from "node:util";
import { gunzip, gunzipSync } from "node:zlib";
import { ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import { memberFault, memberOf } from "../../steps/archive.js";
import { isTame, readTar, writeTree } from "./tar.js";
import { TREE_LIMITS, type TreeLimits } from "./tree.js";

type ArchiveKind = "tar" | "tar.gz" | "tar.bz2" | "zip";

const UNPACK_TIMEOUT = 15 * 60_000;

/** Bytes of a tar archive, packed or not, that may lie in memory; a larger one is read by tar(1), twice. */
const IN_MEMORY = 32 * 1024 ** 2;
const SMALL = 1024 ** 2;

/** By the first bytes, as drush does when it cannot ask the name; `undefined` for a file that is no archive. */
export function archiveKind(path: string): ArchiveKind | undefined {
  const file = openSync(path, "r");
  try {
    const buffer = Buffer.alloc(512);
    const bytesRead = readSync(file, buffer);
    if (buffer[0] === 0x1f && buffer[1] === 0x8b) return "tar.gz";
    if (buffer.toString("latin1", 0, 3) === "BZh") return "tar.bz2";
    if (["PK\x03\x04", "PK\x05\x06"].includes(buffer.toString("latin1", 0, 4))) return "zip";
    return bytesRead === 512 && buffer.toString("latin1", 257, 262) === "ustar" ? "tar" : undefined;
  } finally {
    closeSync(file);
  }
}

/**
 * Unpacks into a directory that does not exist yet. The members are looked at first: paths that leave the directory,
 * devices, and more entries or bytes than the limits are refused before one byte is written. What comes out still
 * has to pass `tameTree`, but when this says that it is tame already.
 *
 * @throws ProvisionError BUILD_FAILED
 */
export async function unpack(
  host: Host,
  archive: string,
  kind: ArchiveKind,
  into: string,
  limits: TreeLimits = TREE_LIMITS,
  signal?: AbortSignal,
): Promise<boolean> {
  const plain = kind === "tar" || kind === "tar.gz" ? await plainArchive(archive, kind, limits) : undefined;
  if (plain) {
    mkdirSync(into, 0o755);
    await writeTree(plain.bytes, plain.members, into, signal);
    return isTame(plain.members);
  }
  if (kind === "zip") await checkZip(host, archive, limits);
  else await checkTar(host, archive, kind, limits);
  mkdirSync(into, 0o755);
  if (kind === "zip") await host.run(["unzip", "-q", "-o", "-d", into, archive], { timeout: UNPACK_TIMEOUT });
  else await unpackByTar(host, archive, kind, into);
  return false;
}

async function unpackByTar(host: Host, archive: string, kind: Exclude<ArchiveKind, "zip">, into: string): Promise<void> {
  const argv = ["tar", "-x", ...decompression(kind), "-f", archive, "-C", into] as const;
  await host.run([...argv, "--no-same-owner", "--no-same-permissions", "--delay-directory-restore"], { timeout: UNPACK_TIMEOUT });
}

/**
 * An archive of which nothing has to be refused, in memory; `undefined` for all else, and for what is large, which the
 * programs look at and tell about. Most archives of modules are plain and small: starting tar(1) twice takes longer than their files.
 */
async function plainArchive(archive: string, kind: "tar" | "tar.gz", limits: TreeLimits) {
  if (statSync(archive).size > IN_MEMORY) return undefined;
  const bytes = kind === "tar" ? readFileSync(archive) : await unzipped(readFileSync(archive));
  const members = bytes && readTar(bytes);
  if (bytes === undefined || members === undefined || members.length > limits.entries || members.some(({ path }) => memberFault(path)))
    return undefined;
  return members.reduce((sum, { size }) => sum + size, 0) > limits.bytes ? undefined : { bytes, members };
}

async function unzipped(packed: Buffer): Promise<Buffer | undefined> {
  // the last four bytes say how long it was; not to be relied on, but a good size for the pieces
  const said = packed.length < 4 ? 0 : packed.readUInt32LE(packed.length - 4);
  const options = { maxOutputLength: IN_MEMORY, chunkSize: Math.min(Math.max(said + 1, 1 << 14), 1 << 22) };
  try {
    // a small one is done before another thread would have begun
    return said < SMALL && packed.length < SMALL
      ? gunzipSync(packed, { ...options, maxOutputLength: SMALL })
      : await promisify(gunzip)(packed, options);
  } catch {
    return undefined;
  }
}

function decompression(kind: ArchiveKind): string[] {
  if (kind === "tar.gz") return ["--gzip"];
  return kind === "tar.bz2" ? ["--bzip2"] : [];
}

async function checkTar(host: Host, archive: string, kind: ArchiveKind, limits: TreeLimits): Promise<void> {
  const argv = [
    "tar",
    "-t",
    "-v",
    ...decompression(kind),
    "--numeric-owner",
    "--quoting-style=escape",
    "--force-local",
    "--absolute-names",
    "-f",
    archive,
  ] as const;
  const { stdout } = await host.run([...argv], { timeout: UNPACK_TIMEOUT, env: { LC_ALL: "C" } });
  let entries = 0;
  let bytes = 0;
  for (const line of stdout.split("\n")) {
    if (line === "") continue;
    const member = memberOf(line);
    if (!member) throw refused(`the list of its members cannot be read: ${line.slice(0, 80)}`);
    const { type, size, name, target } = member;
    if (!"-dlhL".includes(type)) throw refused(`${name} is no file, directory or link (${type})`);
    checkMember(name);
    // a hard link can only point to what the same archive brings; a symbolic one is looked at when it is there
    if (type === "h") checkMember(target ?? "..");
    entries++;
    bytes += type === "-" ? Number(size) : 0;
    checkLimits(entries, bytes, limits);
  }
}

async function checkZip(host: Host, archive: string, limits: TreeLimits): Promise<void> {
  const options = { timeout: UNPACK_TIMEOUT, anyExit: true } as const;
  const { stdout, code, stderr } = await host.run(["unzip", "-Z", "-1", archive], options);
  if (code !== 0 && code !== 1) throw refused(`it cannot be read: ${stderr.trim().split("\n")[0] ?? ""}`);
  const names = stdout.split("\n").filter((name) => name !== "");
  for (const name of names) checkMember(name);
  const totals = await host.run(["unzip", "-Z", "-t", archive], options);
  const bytes = Number(/(\d+) bytes uncompressed/.exec(totals.stdout)?.[1] ?? 0);
  checkLimits(names.length, bytes, limits);
}

function checkMember(name: string): void {
  const fault = memberFault(name);
  if (fault !== undefined) throw refused(`its member ${name} ${fault}`);
}

function checkLimits(entries: number, bytes: number, limits: TreeLimits): void {
  if (entries > limits.entries) throw refused(`it holds more than ${limits.entries} entries`);
  if (bytes > limits.bytes) throw refused(`it unpacks to more than ${Math.round(limits.bytes / 1024 ** 2)} MiB`);
}

function refused(why: string): ProvisionError {
  return new ProvisionError("BUILD_FAILED", `the archive is refused: ${why}`);
}
