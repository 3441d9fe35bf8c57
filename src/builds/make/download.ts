import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { isSystemError, messageOf, ProvisionError } from "../../core/errors.js";
import { type Address, shown, withMirrors } from "./address.js";
import type { CachedDownload, DownloadCache } from "./cache.js";
import { type Checksums, verifyChecksums } from "./checksum.js";
import { ask, isUntrusted } from "./http-request.js";
import { stopIfAborted } from "./slots.js";

export interface DownloadOptions {
  readonly cache: DownloadCache;
  readonly mirrors: Readonly<Record<string, string>>;
  readonly offline: boolean;
  readonly signal?: AbortSignal;
  /** Bytes; a longer answer is refused. */
  readonly limit?: number;
  /** Milliseconds without an answer, and between two pieces of it. */
  readonly patience?: { readonly answer: number; readonly idle: number };
}

/** The server has no such thing, which for some things is no fault. */
export class NotFound extends ProvisionError {}

const LIMIT = 2 * 1024 ** 3;
const ATTEMPTS = 3;
const REDIRECTS = 10;
const PATIENCE = { answer: 30_000, idle: 60_000 };

/**
 * Brings the bytes of an address to a file that must only be read, and checks them before anyone sees them.
 *
 * @throws ProvisionError DOWNLOAD_FAILED, CHECKSUM_MISMATCH, STOPPED
 */
export async function download(address: Address, checksums: Checksums, options: DownloadOptions, body?: string): Promise<string> {
  if ("path" in address) return local(address.path, checksums);
  const known = checksums.sha256 === undefined ? undefined : await options.cache.findContent(checksums.sha256);
  const path = known ?? (await remote(address.url, checksums, options, body));
  await verifyChecksums(path, checksums, shown(address.url));
  return path;
}

async function local(path: string, checksums: Checksums): Promise<string> {
  if (!isFile(path)) throw new ProvisionError("DOWNLOAD_FAILED", `Unable to download from ${path}: there is no such file`);
  await verifyChecksums(path, checksums, path);
  return path;
}

async function remote(url: string, checksums: Checksums, options: DownloadOptions, body: string | undefined): Promise<string> {
  // What was sent belongs to the question; a URL cannot hold the space.
  const key = body === undefined ? url : `POST ${url} ${body}`;
  const cached = await options.cache.find(key);
  const stated = Object.keys(checksums).length > 0;
  // Bytes that have the stated checksum cannot be out of date.
  if (cached && stated && (await matches(cached.path, checksums))) return cached.path;
  for (const source of withMirrors(url, options.mirrors)) {
    if ("path" in source) {
      if (isFile(source.path)) return source.path;
    } else if (options.offline) break;
    else return fromServer({ key, url: source.url, body }, cached, options);
  }
  if (cached) return cached.path;
  throw new NotFound(
    "DOWNLOAD_FAILED",
    `Unable to download from ${shown(url)}: it is in no mirror on disk and not in the cache, and this build is offline`,
  );
}

async function matches(path: string, checksums: Checksums): Promise<boolean> {
  try {
    await verifyChecksums(path, checksums, "");
    return true;
  } catch (error) {
    if (error instanceof ProvisionError && error.code === "CHECKSUM_MISMATCH") return false;
    throw error;
  }
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch (error) {
    if (isSystemError(error, "ENOENT") || isSystemError(error, "ENOTDIR")) return false;
    throw error;
  }
}

/** What another attempt may put right. */
class Transient extends Error {}

interface Question {
  /** What the answer is kept under. */
  readonly key: string;
  readonly url: string;
  readonly body: string | undefined;
}

async function fromServer(
  question: Question,
  cached: (CachedDownload & { path: string }) | undefined,
  options: DownloadOptions,
): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    stopIfAborted(options.signal);
    try {
      return await once(question, cached, options);
    } catch (error) {
      stopIfAborted(options.signal);
      if (!(error instanceof Transient)) throw error;
      if (attempt === ATTEMPTS)
        throw new ProvisionError(
          "DOWNLOAD_FAILED",
          `Unable to download from ${shown(question.url)}: ${error.message} (${ATTEMPTS} attempts)`,
          {
            cause: error,
          },
        );
      await pause(200 * 4 ** (attempt - 1), undefined, options.signal ? { signal: options.signal } : {}).catch(() => undefined);
    }
  }
}

async function once(
  question: Question,
  cached: (CachedDownload & { path: string }) | undefined,
  options: DownloadOptions,
): Promise<string> {
  const { key, url } = question;
  const patience = options.patience ?? PATIENCE;
  const watchdog = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, watchdog.signal]) : watchdog.signal;
  let timer = setTimeout(() => watchdog.abort(), patience.answer);
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => watchdog.abort(), patience.idle);
  };
  const scratch = await options.cache.scratch();
  try {
    const response = await request(question, cached, signal);
    const status = response.statusCode ?? 0;
    if (status !== 200) response.destroy();
    if (status === 304 && cached) return cached.path;
    if (status >= 500 || status === 429) throw new Transient(`the server answers ${status}`);
    if (status !== 200) {
      const message = `Unable to download from ${shown(url)}: the server answers ${status} ${response.statusMessage ?? ""}`.trimEnd();
      throw status === 404 || status === 410 ? new NotFound("DOWNLOAD_FAILED", message) : new ProvisionError("DOWNLOAD_FAILED", message);
    }
    const entry = await save(response, scratch, options.limit ?? LIMIT, shown(url), alive);
    return await options.cache.keep(key, scratch, entry);
  } catch (error) {
    if (error instanceof ProvisionError || error instanceof Transient) throw error;
    if (isSystemError(error, "ENOSPC") || isSystemError(error, "EDQUOT"))
      throw new ProvisionError("DISK_FULL", `Unable to download from ${shown(url)}: no space left in the cache`, { cause: error });
    if (isUntrusted(error))
      throw new ProvisionError(
        "DOWNLOAD_FAILED",
        `Unable to download from ${shown(url)}: its certificate is not believed: ${error.message}`,
        {
          why: ["a certificate authority of your own is named by NODE_EXTRA_CA_CERTS=FILE in the environment"],
          cause: error,
        },
      );
    if (watchdog.signal.aborted) throw new Transient("the server does not answer, or stopped sending");
    throw new Transient(rootCause(error));
  } finally {
    clearTimeout(timer);
    await rm(scratch, { force: true });
  }
}

/** Follows redirects: only to http and https, and credentials and what is sent only to the same server. */
async function request(question: Question, cached: CachedDownload | undefined, signal: AbortSignal): Promise<IncomingMessage> {
  let url = new URL(question.url);
  let { body } = question;
  const credentials =
    url.username === ""
      ? undefined
      : Buffer.from(`${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`).toString("base64");
  const { origin } = url;
  for (let hop = 0; hop <= REDIRECTS; hop++) {
    url.username = "";
    url.password = "";
    const response = await ask(url, {
      method: body === undefined ? "GET" : "POST",
      signal,
      headers: {
        "accept-encoding": "identity",
        "user-agent": "provision",
        ...(body === undefined
          ? {}
          : { "content-type": "application/x-www-form-urlencoded", "content-length": String(Buffer.byteLength(body)) }),
        ...(credentials !== undefined && url.origin === origin ? { authorization: `Basic ${credentials}` } : {}),
        ...(cached?.etag === undefined ? {} : { "if-none-match": cached.etag }),
        ...(cached?.lastModified === undefined ? {} : { "if-modified-since": cached.lastModified }),
      },
      ...(body === undefined ? {} : { body }),
    });
    const status = response.statusCode ?? 0;
    const { location } = response.headers;
    if (status < 301 || status > 308 || status === 304 || location === undefined) return response;
    response.destroy();
    const next = URL.canParse(location, url.href) ? new URL(location, url) : undefined;
    if (next?.protocol !== "http:" && next?.protocol !== "https:") {
      throw new ProvisionError(
        "DOWNLOAD_FAILED",
        `Unable to download from ${shown(question.url)}: it redirects to ${next?.protocol ?? "nowhere"}, which is not followed`,
      );
    }
    if (status <= 303 || next.origin !== origin) body = undefined;
    url = next;
  }
  throw new ProvisionError("DOWNLOAD_FAILED", `Unable to download from ${shown(question.url)}: more than ${REDIRECTS} redirects`);
}

async function save(response: IncomingMessage, scratch: string, limit: number, name: string, alive: () => void): Promise<CachedDownload> {
  const hash = createHash("sha256");
  let size = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      alive();
      size += chunk.length;
      hash.update(chunk);
      if (size > limit)
        done(
          new ProvisionError("DOWNLOAD_FAILED", `Unable to download from ${name}: it is larger than ${Math.round(limit / 1024 ** 2)} MiB`),
        );
      else done(null, chunk);
    },
  });
  await pipeline(response, counter, createWriteStream(scratch, { mode: 0o644 }));
  const stated = response.headers["content-length"];
  if (stated !== undefined && Number(stated) !== size) throw new Transient(`only ${size} of ${stated} bytes came`);
  const { etag, "last-modified": lastModified } = response.headers;
  return {
    sha256: hash.digest("hex"),
    size,
    ...(etag === undefined ? {} : { etag }),
    ...(lastModified === undefined ? {} : { lastModified }),
  };
}

/** What happened (ECONNREFUSED, other side closed) may lie one or two causes deep. */
function rootCause(error: unknown): string {
  let cause = error;
  while (cause instanceof Error && cause.cause !== undefined) cause = cause.cause;
  if (cause instanceof AggregateError && cause.errors.length > 0) return messageOf(cause.errors[0]);
  return messageOf(cause);
}

/** Only for small texts: release histories and make files. */
export async function readStream(path: string, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of createReadStream(path)) {
    size += (chunk as Buffer).length;
    if (size > limit) throw new ProvisionError("DOWNLOAD_FAILED", `${path} is larger than ${limit} bytes`);
    chunks.push(chunk as Buffer);
  }
  const all = Buffer.concat(chunks);
  // A server may pack texts though it was asked not to.
  const plain = all[0] === 0x1f && all[1] === 0x8b ? await promisify(gunzip)(all, { maxOutputLength: limit }) : all;
  return plain.toString("utf8");
}
