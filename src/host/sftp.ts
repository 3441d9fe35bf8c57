import type { Duplex } from "node:stream";

/**
 * Version 3 of the protocol with OpenSSH's extensions, as its own sftp-server speaks it on the standard input and output
 * of any program. Not ssh2's: that one can only be had as a subsystem, which is read through the login shell of the
 * account, and one that prints ends it.
 */

/** Of SSH_FXP_STATUS. */
export const SFTP_STATUS = { eof: 1, absent: 2, denied: 3, failure: 4 } as const;

/** The server said no. Nothing was lost on the way. */
export class SftpError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = "SftpError";
    this.status = status;
  }
}

export interface SftpStat {
  readonly size: number;
  readonly uid: number;
  readonly gid: number;
  /** With the bits of its type. */
  readonly mode: number;
  /** Seconds since the epoch. */
  readonly mtime: number;
}

export interface SftpSpace {
  readonly blockSize: number;
  readonly free: bigint;
  /** To those who are not root. */
  readonly available: bigint;
}

const TYPE = {
  ...{ INIT: 1, VERSION: 2, OPEN: 3, CLOSE: 4, READ: 5, WRITE: 6, LSTAT: 7, SETSTAT: 9, FSETSTAT: 10, OPENDIR: 11, READDIR: 12 },
  ...{ REMOVE: 13, MKDIR: 14, RMDIR: 15, REALPATH: 16, STAT: 17, READLINK: 19, SYMLINK: 20 },
  ...{ STATUS: 101, HANDLE: 102, DATA: 103, NAME: 104, ATTRS: 105, EXTENDED: 200, EXTENDED_REPLY: 201 },
} as const;
const ATTRIBUTE = { size: 1, owner: 2, mode: 4, times: 8, extended: 0x8000_0000 } as const;
const FLAG = { read: 1, write: 2, create: 8, exclusive: 32 } as const;
/** What every server takes in one message. */
const CHUNK = 32 * 1024;
/** Messages on their way at a time. */
const AHEAD = 32;
const LONGEST_MESSAGE = 1024 * 1024;

type Handle = Buffer;

interface Answer {
  readonly type: number;
  readonly body: Reader;
}

interface Waiting {
  answer(answer: Answer): void;
  lost(error: Error): void;
}

export class Sftp {
  readonly #stream: Duplex;
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;
  #received: Buffer = Buffer.alloc(0);
  #gone: Error | undefined;
  #version: Waiting | undefined;

  private constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on("data", (chunk: Buffer) => this.#hear(chunk));
    stream.once("close", () => this.#lost(new Error("the sftp server is gone")));
    stream.once("error", (error: Error) => this.#lost(error));
  }

  /** `stream` is connected to an sftp server that was not spoken to yet. Rejects when it goes away, or is none. */
  static async over(stream: Duplex): Promise<Sftp> {
    const sftp = new Sftp(stream);
    await new Promise<void>((resolve, reject) => {
      sftp.#version = { answer: () => resolve(), lost: reject };
      stream.write(new Writer(TYPE.INIT).number(3).message());
    });
    return sftp;
  }

  async readFile(path: string): Promise<Buffer> {
    const handle = await this.#open(path, FLAG.read);
    try {
      const parts: Buffer[] = [];
      for (let at = 0; ; ) {
        // Of a small file the first answer is all, and a second says that it ends.
        const width = at === 0 ? 2 : AHEAD;
        const asked = Array.from({ length: width }, (_, index) => this.#read(handle, at + index * CHUNK, CHUNK));
        let whole = true;
        for (const part of await Promise.all(asked)) {
          if (part === undefined) return Buffer.concat(parts);
          // After a short answer the others are not the next bytes.
          if (!whole) break;
          parts.push(part);
          at += part.length;
          whole = part.length === CHUNK;
        }
      }
    } finally {
      await this.#close(handle);
    }
  }

  /** A new file, mode 0600 until `finish` has made it what it shall be; on the disk when this resolves. */
  async createFile(path: string, content: Buffer, attributes: { mode: number; owner?: { uid: number; gid: number } }): Promise<void> {
    const handle = await this.#open(path, FLAG.write | FLAG.create | FLAG.exclusive, 0o600);
    try {
      for (let at = 0; at < content.length; ) {
        const sent: Promise<unknown>[] = [];
        for (; sent.length < AHEAD && at < content.length; at += CHUNK) {
          const part = content.subarray(at, at + CHUNK);
          sent.push(this.#done(new Writer(TYPE.WRITE).bytes(handle).long(at).bytes(part)));
        }
        // All answers, so that none is left without a listener.
        const answers = await Promise.allSettled(sent);
        for (const answer of answers) if (answer.status === "rejected") throw answer.reason;
      }
      if (attributes.owner) await this.#done(new Writer(TYPE.FSETSTAT).bytes(handle).owner(attributes.owner));
      // After chown, which clears setuid and setgid.
      await this.#done(new Writer(TYPE.FSETSTAT).bytes(handle).mode(attributes.mode));
      await this.#done(new Writer(TYPE.EXTENDED).text("fsync@openssh.com").bytes(handle));
    } finally {
      await this.#close(handle);
    }
  }

  /** What was renamed in it stays renamed after a power cut. */
  async syncDirectory(path: string): Promise<void> {
    const handle = await this.#open(path, FLAG.read);
    try {
      await this.#done(new Writer(TYPE.EXTENDED).text("fsync@openssh.com").bytes(handle));
    } finally {
      await this.#close(handle);
    }
  }

  /** Of the entry itself; a link is not followed. */
  async lstat(path: string): Promise<SftpStat> {
    return (await this.#ask(new Writer(TYPE.LSTAT).text(path), TYPE.ATTRS)).attributes();
  }

  async stat(path: string): Promise<SftpStat> {
    return (await this.#ask(new Writer(TYPE.STAT).text(path), TYPE.ATTRS)).attributes();
  }

  async chmod(path: string, mode: number): Promise<void> {
    await this.#done(new Writer(TYPE.SETSTAT).text(path).mode(mode));
  }

  async chown(path: string, owner: { uid: number; gid: number }): Promise<void> {
    await this.#done(new Writer(TYPE.SETSTAT).text(path).owner(owner));
  }

  /** Names, as the server has them. */
  async list(path: string): Promise<readonly string[]> {
    const handle = (await this.#ask(new Writer(TYPE.OPENDIR).text(path), TYPE.HANDLE)).bytes();
    try {
      const names: string[] = [];
      for (;;) {
        const more = await this.#unlessEnd(this.#ask(new Writer(TYPE.READDIR).bytes(handle), TYPE.NAME));
        if (more === undefined) return names.filter((name) => name !== "." && name !== "..");
        names.push(...more.names());
      }
    } finally {
      await this.#close(handle);
    }
  }

  async realPath(path: string): Promise<string> {
    return (await this.#ask(new Writer(TYPE.REALPATH).text(path), TYPE.NAME)).names()[0] as string;
  }

  async readLink(path: string): Promise<string> {
    return (await this.#ask(new Writer(TYPE.READLINK).text(path), TYPE.NAME)).names()[0] as string;
  }

  /** OpenSSH has the two the other way round than the protocol says. */
  async symlink(target: string, path: string): Promise<void> {
    await this.#done(new Writer(TYPE.SYMLINK).text(target).text(path));
  }

  async remove(path: string): Promise<void> {
    await this.#done(new Writer(TYPE.REMOVE).text(path));
  }

  async makeDirectory(path: string, mode: number): Promise<void> {
    await this.#done(new Writer(TYPE.MKDIR).text(path).mode(mode));
  }

  async removeDirectory(path: string): Promise<void> {
    await this.#done(new Writer(TYPE.RMDIR).text(path));
  }

  /** rename(2): what stands at `to` is replaced. */
  async rename(from: string, to: string): Promise<void> {
    await this.#done(new Writer(TYPE.EXTENDED).text("posix-rename@openssh.com").text(from).text(to));
  }

  async space(path: string): Promise<SftpSpace> {
    const body = await this.#ask(new Writer(TYPE.EXTENDED).text("statvfs@openssh.com").text(path), TYPE.EXTENDED_REPLY);
    body.long();
    const blockSize = Number(body.long());
    body.long();
    return { blockSize, free: body.long(), available: body.long() };
  }

  async #open(path: string, flags: number, mode?: number): Promise<Handle> {
    const asked = new Writer(TYPE.OPEN).text(path).number(flags);
    return (await this.#ask(mode === undefined ? asked.number(0) : asked.mode(mode), TYPE.HANDLE)).bytes();
  }

  async #read(handle: Handle, at: number, length: number): Promise<Buffer | undefined> {
    const body = await this.#unlessEnd(this.#ask(new Writer(TYPE.READ).bytes(handle).long(at).number(length), TYPE.DATA));
    return body?.bytes();
  }

  async #close(handle: Handle): Promise<void> {
    await this.#done(new Writer(TYPE.CLOSE).bytes(handle));
  }

  async #unlessEnd(asked: Promise<Reader>): Promise<Reader | undefined> {
    try {
      return await asked;
    } catch (error) {
      if (error instanceof SftpError && error.status === SFTP_STATUS.eof) return undefined;
      throw error;
    }
  }

  async #done(message: Writer): Promise<void> {
    await this.#ask(message, TYPE.STATUS);
  }

  async #ask(message: Writer, expected: number): Promise<Reader> {
    if (this.#gone) throw this.#gone;
    const id = this.#next++ % 2 ** 32;
    const { type, body } = await new Promise<Answer>((resolve, reject) => {
      this.#waiting.set(id, { answer: resolve, lost: reject });
      this.#stream.write(message.message(id));
    });
    if (type === TYPE.STATUS) {
      const status = body.number();
      if (status === 0 && expected === TYPE.STATUS) return body;
      throw new SftpError(status, body.text() || `status ${status}`);
    }
    if (type !== expected) throw new Error(`the sftp server answered with ${type} instead of ${expected}`);
    return body;
  }

  #hear(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= 5) {
      const length = this.#received.readUInt32BE(0);
      if (length > LONGEST_MESSAGE || length < 1) return void this.#stream.destroy(new Error("what answers is no sftp server"));
      if (this.#received.length < 4 + length) return;
      const type = this.#received.readUInt8(4);
      const message = this.#received.subarray(5, 4 + length);
      this.#received = this.#received.subarray(4 + length);
      if (type === TYPE.VERSION) {
        this.#version?.answer({ type, body: new Reader(message) });
        this.#version = undefined;
        continue;
      }
      const body = new Reader(message);
      const id = body.number();
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      waiting?.answer({ type, body });
    }
  }

  #lost(error: Error): void {
    this.#gone ??= error;
    this.#version?.lost(this.#gone);
    for (const waiting of this.#waiting.values()) waiting.lost(this.#gone);
    this.#waiting.clear();
  }
}

/** A message in the making. */
class Writer {
  readonly #type: number;
  readonly #parts: Buffer[] = [];

  constructor(type: number) {
    this.#type = type;
  }

  number(value: number): this {
    const buffer = Buffer.alloc(4);
    buffer.writeUInt32BE(value);
    this.#parts.push(buffer);
    return this;
  }

  long(value: number): this {
    const buffer = Buffer.alloc(8);
    buffer.writeBigUInt64BE(BigInt(value));
    this.#parts.push(buffer);
    return this;
  }

  bytes(value: Buffer): this {
    this.number(value.length);
    this.#parts.push(value);
    return this;
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value));
  }

  mode(mode: number): this {
    return this.number(ATTRIBUTE.mode).number(mode);
  }

  owner({ uid, gid }: { uid: number; gid: number }): this {
    return this.number(ATTRIBUTE.owner).number(uid).number(gid);
  }

  /** With its length; the first message of all has no number. */
  message(id?: number): Buffer {
    const head = Buffer.alloc(id === undefined ? 5 : 9);
    const body = Buffer.concat(this.#parts);
    head.writeUInt32BE(head.length - 4 + body.length, 0);
    head.writeUInt8(this.#type, 4);
    if (id !== undefined) head.writeUInt32BE(id, 5);
    return Buffer.concat([head, body]);
  }
}

class Reader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  number(): number {
    this.#at += 4;
    return this.#buffer.readUInt32BE(this.#at - 4);
  }

  long(): bigint {
    this.#at += 8;
    return this.#buffer.readBigUInt64BE(this.#at - 8);
  }

  bytes(): Buffer {
    const length = this.number();
    this.#at += length;
    return Buffer.from(this.#buffer.subarray(this.#at - length, this.#at));
  }

  text(): string {
    return this.bytes().toString();
  }

  attributes(): SftpStat {
    const flags = this.number();
    const size = flags & ATTRIBUTE.size ? Number(this.long()) : 0;
    const [uid, gid] = flags & ATTRIBUTE.owner ? [this.number(), this.number()] : [0, 0];
    const mode = flags & ATTRIBUTE.mode ? this.number() : 0;
    const [, mtime] = flags & ATTRIBUTE.times ? [this.number(), this.number()] : [0, 0];
    // Pairs of names and values.
    if (flags & ATTRIBUTE.extended) for (let left = 2 * this.number(); left > 0; left--) this.bytes();
    return { size, uid, gid, mode, mtime };
  }

  names(): readonly string[] {
    return Array.from({ length: this.number() }, () => {
      const name = this.text();
      this.bytes();
      this.attributes();
      return name;
    });
  }
}
