import { isUtf8 } from "node:buffer";
import { closeSync, constants, futimesSync, linkSync, mkdirSync, openSync, symlinkSync, utimesSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { Turn } from "./slots.js";

/** One member of an archive; its path is relative, without `./` before or `/` after it, and otherwise as the archive spells it. */
export interface Member {
  readonly type: "file" | "directory" | "symlink" | "hardlink";
  readonly path: string;
  /** Only whether the owner may run it counts. */
  readonly mode: number;
  /** Seconds since the epoch. */
  readonly mtime: number;
  /** Where a file's content lies in the archive. */
  readonly at: number;
  readonly size: number;
  /** Of a link. */
  readonly target: string;
}

const BLOCK = 512;
const MAGIC = Buffer.from("ustar");
const TYPES: Readonly<Record<string, Member["type"]>> = { "0": "file", "\0": "file", "1": "hardlink", "2": "symlink", "5": "directory" };

/** Of an extended header: what we read, and what says nothing about the tree. */
const READ = new Set(["path", "linkpath", "mtime"]);
const IDLE = /^(?:atime|ctime|uid|gid|uname|gname|comment|(?:SCHILY|LIBARCHIVE)\..*)$/;

/**
 * The members of a tar archive (POSIX.1-1988, pax, and GNU's long names) that lies in memory. `undefined` for one with
 * anything that is not plain in every respect: sparse files, devices, numbers in base 256, names that are no UTF-8, a member
 * twice, or below a link, broken or cut off. Such a one is for tar(1), which then also has the words for what is wrong.
 */
export function readTar(bytes: Buffer): Member[] | undefined {
  if (bytes.byteOffset % 4 !== 0) return readTar(Buffer.from(Uint8Array.from(bytes).buffer));
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / 4));
  const members: Member[] = [];
  let extended: Record<string, string> = {};
  for (let header = 0; header + BLOCK <= bytes.length; ) {
    if (bytes[header] === 0) return isEmpty(bytes, header) && isPlain(members) ? members : undefined;
    if (bytes.compare(MAGIC, 0, 5, header + 257, header + 262) !== 0 || !hasItsSum(words, bytes, header)) return undefined;
    const [mode, size, mtime] = [number(bytes, header + 100, 8), number(bytes, header + 124, 12), number(bytes, header + 136, 12)];
    if (mode === undefined || size === undefined || mtime === undefined) return undefined;
    const at = header + BLOCK;
    if (at + size > bytes.length) return undefined;
    const next = at + Math.ceil(size / BLOCK) * BLOCK;
    const flag = String.fromCharCode(bytes[header + 156] ?? 0);
    if (flag === "L" || flag === "K") {
      const name = text(bytes, at, size);
      if (name === undefined) return undefined;
      extended[flag === "L" ? "path" : "linkpath"] = name;
    } else if (flag === "x" || flag === "g") {
      const records = paxRecords(bytes.subarray(at, at + size));
      // of a global header only a comment is known to be in use (git writes the commit there)
      if (records === undefined || (flag === "g" && Object.keys(records).length > 0)) return undefined;
      Object.assign(extended, records);
    } else {
      const type = TYPES[flag];
      const name = extended["path"] ?? nameIn(bytes, header);
      const target = type === "file" || type === "directory" ? "" : (extended["linkpath"] ?? text(bytes, header + 157, 100));
      if (type === undefined || name === undefined || target === undefined) return undefined;
      if (type === "file" ? name.endsWith("/") : size > 0) return undefined;
      const seconds = extended["mtime"] === undefined ? mtime : Number(extended["mtime"]);
      if (!Number.isFinite(seconds)) return undefined;
      members.push({ type, path: plain(name), mode, mtime: seconds, at, size, target: type === "hardlink" ? plain(target) : target });
      extended = {};
    }
    header = next;
  }
  // without its end it may have been cut off
  return undefined;
}

function plain(path: string): string {
  return path.startsWith("./") || path.endsWith("/") ? path.replace(/^(?:\.\/+)+/, "").replace(/\/+$/, "") : path;
}

function isEmpty(bytes: Buffer, header: number): boolean {
  return bytes.subarray(header, header + BLOCK).every((byte) => byte === 0);
}

/** The sum of a header's bytes, its own field taken for spaces. Two bytes of every four at once: there are thousands of headers. */
function hasItsSum(words: Uint32Array, bytes: Buffer, header: number): boolean {
  let even = 0;
  let odd = 0;
  for (let at = header / 4; at < (header + BLOCK) / 4; at++) {
    const word = words[at] ?? 0;
    even += word & 0xff00ff;
    odd += (word >>> 8) & 0xff00ff;
  }
  let sum = (even & 0xffff) + (even >>> 16) + (odd & 0xffff) + (odd >>> 16);
  for (let at = header + 148; at < header + 156; at++) sum += 32 - (bytes[at] ?? 0);
  return number(bytes, header + 148, 8) === sum;
}

/** Octal digits between spaces and zero bytes. */
function number(bytes: Buffer, at: number, length: number): number | undefined {
  let value = 0;
  let done = false;
  for (let index = at; index < at + length; index++) {
    const byte = bytes[index] ?? 0;
    if (byte >= 48 && byte < 56 && !done) value = value * 8 + byte - 48;
    else if (byte === 0 || (byte === 32 && index > at)) done = true;
    else if (byte !== 32) return undefined;
  }
  return value;
}

/** Up to the first zero byte; `undefined` when it is no UTF-8. */
function text(bytes: Buffer, at: number, length: number): string | undefined {
  const zero = bytes.indexOf(0, at);
  const end = zero === -1 || zero > at + length ? at + length : zero;
  const read = bytes.toString("utf8", at, end);
  return read.includes("\ufffd") && !isUtf8(bytes.subarray(at, end)) ? undefined : read;
}

function nameIn(bytes: Buffer, header: number): string | undefined {
  const name = text(bytes, header, 100);
  // GNU's own format keeps other things where POSIX has the front of a long name
  if (bytes[header + 345] === 0 || bytes[header + 262] !== 0) return name;
  const prefix = text(bytes, header + 345, 155);
  return name === undefined || prefix === undefined ? undefined : `${prefix}/${name}`;
}

/** `<length> <key>=<value>\n`, the length counting all of it. */
function paxRecords(content: Buffer): Record<string, string> | undefined {
  const records: Record<string, string> = {};
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(32, at);
    const length = /^[1-9]\d{0,8}$/.test(content.toString("latin1", at, space)) ? Number(content.toString("latin1", at, space)) : 0;
    const end = at + length;
    if (space === -1 || length < space - at + 4 || end > content.length || content[end - 1] !== 10) return undefined;
    const record = content.subarray(space + 1, end - 1);
    const equals = record.indexOf(61);
    const key = record.toString("latin1", 0, equals);
    if (READ.has(key)) {
      const value = record.subarray(equals + 1);
      if (!isUtf8(value) || value.includes(0)) return undefined;
      records[key] = value.toString();
    } else if (!IDLE.test(key)) return undefined;
    at = end;
  }
  return records;
}

/** Absolute, or with a part that is empty or `.`. */
const ODD = /^\/|\/\/|(?:^|\/)\.(?:\/|$)/;

/** No name twice (but directories), nothing below what is no directory, hard links only to files: then no order of writing leads elsewhere. */
function isPlain(members: readonly Member[]): boolean {
  const types = new Map<string, Member["type"]>();
  for (const { path, type } of members) {
    if (ODD.test(path)) return false;
    const other = types.get(path);
    if (other !== undefined && (type !== "directory" || other !== "directory")) return false;
    types.set(path, type);
  }
  if ((types.get("") ?? "directory") !== "directory") return false;
  const above = new Set<string>();
  let last = "";
  for (const { path, type, target } of members) {
    if (type === "hardlink" && types.get(target) !== "file") return false;
    // nearly always where the one before it is
    const end = path.lastIndexOf("/");
    if (end === last.length && path.startsWith(last)) continue;
    for (let at = end; at > 0; at = path.lastIndexOf("/", at - 1)) {
      const directory = path.slice(0, at);
      if (above.has(directory)) break;
      if ((types.get(directory) ?? "directory") !== "directory") return false;
      above.add(directory);
    }
    last = path.slice(0, Math.max(end, 0));
  }
  return true;
}

/** Whether what writeTree() makes of these is as tameTree() leaves a tree, and nothing in it has to be looked at. */
export function isTame(members: readonly Member[]): boolean {
  // a umask that takes away from 0755 has to be put right
  return (process.umask() & 0o755) === 0 && members.every(({ type, path }) => type !== "symlink" && !`/${path}/`.includes("/.git/"));
}

const NEW = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;

/**
 * Writes members that were checked into an empty directory. Files get 0644, or 0755 when their owner may run them, less
 * the umask; owners are not kept.
 *
 * @throws ProvisionError STOPPED
 */
export async function writeTree(bytes: Buffer, members: readonly Member[], into: string, signal: AbortSignal | undefined): Promise<void> {
  const made = new Set([into]);
  const directory = (path: string) => {
    if (made.has(path)) return;
    directory(dirname(path));
    mkdirSync(path, 0o755);
    made.add(path);
  };
  const turn = new Turn(signal);
  for (const { type, path, mode, mtime, at, size } of members) {
    const full = path === "" ? into : `${into}/${path}`;
    if (type === "directory") directory(full);
    if (type !== "file") continue;
    directory(full.slice(0, full.lastIndexOf("/")));
    const file = openSync(full, NEW, (mode & 0o100) === 0 ? 0o644 : 0o755);
    try {
      for (let done = 0; done < size; ) done += writeSync(file, bytes, at + done, size - done);
      futimesSync(file, mtime, mtime);
    } finally {
      closeSync(file);
    }
    if (turn.over) await turn.pass();
  }
  for (const { type, path, target } of members) {
    if (type !== "symlink" && type !== "hardlink") continue;
    const full = `${into}/${path}`;
    directory(dirname(full));
    if (type === "symlink") symlinkSync(target, full);
    else linkSync(`${into}/${target}`, full);
    if (turn.over) await turn.pass();
  }
  // last, since every entry that is made changes the time of its directory
  for (const { type, path, mtime } of members) if (type === "directory") utimesSync(`${into}/${path}`, mtime, mtime);
}
