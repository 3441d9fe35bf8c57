import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { isSystemError, messageOf, ProvisionError } from "../../../core/errors.js";
import { type PhpChild, PhpPool } from "./children.js";
import type { OnServeEvent } from "./events.js";
import { hostName, phpOf, phpOfFile } from "./lookup.js";
import { CLIENT, MARKER, MARKER_PATH, TOKEN } from "./protocol.js";

/** How long requests under way on old processes may take after a switch. */
const DRAIN = 30_000;
/** A browser has waited long enough; generous, because somebody may stand in a debugger. */
const UPSTREAM_TIMEOUT = 600_000;
/** Requests under way when all is stopped. */
const STOP_GRACE = 3_000;

export interface FrontOptions {
  /** Directory of the vhost files. */
  readonly vhosts: string;
  readonly generation: string;
  /** Who shows it is told what is served. */
  readonly token: string;
  /** Most processes for each PHP program. */
  readonly size: number;
  /** Settings of PHP beside the usual ones, `name=value`. */
  readonly settings?: readonly string[];
  /** Given to every process of PHP. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly onEvent: OnServeEvent;
}

interface Generation {
  readonly id: string;
  readonly pools: Map<string, PhpPool>;
}

/** Not passed on, in either direction: they are about one connection. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "upgrade",
  "expect",
]);

/**
 * The HTTP server that visitors reach. It finds out which PHP a site wants, hands each request to one process of it, and
 * changes the processes for new ones without a visitor noticing. Everything else is the router's business.
 */
export class Front {
  readonly #options: FrontOptions;
  readonly #server: Server;
  readonly #retiring = new Set<Promise<void>>();
  #current: Generation;
  #reloading: Promise<void> | undefined;
  #closed = false;

  constructor(options: FrontOptions) {
    this.#options = options;
    this.#current = { id: options.generation, pools: new Map() };
    this.#server = createServer({ keepAliveTimeout: 5_000, headersTimeout: 30_000, requestTimeout: UPSTREAM_TIMEOUT }, (asked, answer) => {
      this.#answer(asked, answer).catch((error) => {
        options.onEvent({ type: "problem", message: messageOf(error) });
        plain(answer, 502, "The site could not be reached.");
      });
    });
  }

  /** Starts one process of this PHP program before anybody asks. Rejects as PhpPool.acquire does. */
  warm(php: string): Promise<void> {
    return this.#pool(this.#current, php).warm();
  }

  /** Keeps this process no longer alive than its other work does. */
  unref(): void {
    this.#server.unref();
  }

  get generation(): string {
    return this.#current.id;
  }

  /** Listens; port 0 takes a free one. Resolves with the port. Errors: PORT_TAKEN, PERMISSION_DENIED, CONFIGURATION. */
  listen(port: number, address: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", (error) => reject(notListening(error, port, address)));
      this.#server.listen({ port, host: address, exclusive: true }, () => {
        this.#server.removeAllListeners("error");
        const bound = this.#server.address();
        resolve(typeof bound === "object" && bound ? bound.port : port);
      });
    });
  }

  /**
   * New processes for a new generation: started, waited for, given all requests from then on; the old ones finish what
   * they do. A PHP that does not start holds nobody else up.
   */
  async reload(generation: string): Promise<void> {
    while (this.#reloading !== undefined) await this.#reloading;
    if (this.#closed || generation === this.#current.id) return;
    this.#reloading = this.#switch(generation).finally(() => {
      this.#reloading = undefined;
    });
    await this.#reloading;
  }

  /** Takes no more requests, lets those under way finish shortly, ends all processes. */
  async close(): Promise<void> {
    this.#closed = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const timer = setTimeout(() => this.#server.closeAllConnections(), STOP_GRACE);
    await closed;
    clearTimeout(timer);
    await this.#reloading;
    for (const pool of this.#current.pools.values()) await pool.close();
    await Promise.all([...this.#oldPools].map((pool) => pool.close()));
    await Promise.all(this.#retiring);
  }

  readonly #oldPools = new Set<PhpPool>();

  async #switch(generation: string): Promise<void> {
    const started = Date.now();
    const old = this.#current;
    const next: Generation = { id: generation, pools: new Map() };
    await Promise.all(
      [...old.pools.keys()].map(async (php) => {
        const pool = this.#pool(next, php);
        await pool.warm().catch((error) => this.#options.onEvent({ type: "problem", message: messageOf(error) }));
      }),
    );
    this.#current = next;
    for (const pool of old.pools.values()) {
      this.#oldPools.add(pool);
      const retired = pool.retire(DRAIN).finally(() => {
        this.#oldPools.delete(pool);
        this.#retiring.delete(retired);
      });
      this.#retiring.add(retired);
    }
    this.#options.onEvent({ type: "reloaded", generation, ms: Date.now() - started });
  }

  #pool(generation: Generation, php: string): PhpPool {
    let pool = generation.pools.get(php);
    if (!pool) {
      const { vhosts, size, settings = [], environment = {}, onEvent } = this.#options;
      pool = new PhpPool({ php, vhosts, generation: generation.id, size, settings, environment, onEvent });
      generation.pools.set(php, pool);
    }
    return pool;
  }

  async #answer(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const started = Date.now();
    const path = asked.url ?? "/";
    answer.once("close", () => {
      this.#options.onEvent({
        type: "request",
        method: asked.method ?? "",
        host: asked.headers.host ?? "",
        path: path.split("?", 1)[0] ?? "",
        status: answer.statusCode,
        ms: Date.now() - started,
      });
    });
    if (path.startsWith(MARKER_PATH) && this.#knows(asked.headers[TOKEN])) return this.#mark(path, answer);
    const host = hostName(asked.headers.host);
    if (host === undefined || !path.startsWith("/")) return plain(answer, 400, "Bad request.");
    let php: string | undefined;
    try {
      php = await phpOf(this.#options.vhosts, host, path);
    } catch (error) {
      this.#options.onEvent({ type: "problem", message: `the configuration of ${host} cannot be read: ${messageOf(error)}` });
      return plain(answer, 500, "The configuration of this site cannot be read.");
    }
    if (php === undefined) return plain(answer, 404, "No site has this name here.");
    await this.#passOn(php, asked, answer, passedHeaders(asked));
  }

  async #mark(path: string, answer: ServerResponse): Promise<void> {
    const file = new URLSearchParams(path.split("?")[1] ?? "").get("file") ?? "";
    if (!/^[a-z0-9_~.-]+\.json$/.test(file)) return plain(answer, 400, "Bad request.");
    const php = await phpOfFile(this.#options.vhosts, file).catch(() => undefined);
    // No site, or one that was withdrawn: there is no PHP to ask.
    if (php === undefined) {
      answer.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ generation: this.#current.id, hash: null }));
      return;
    }
    await this.#passOn(php, undefined, answer, ["host", "provision", MARKER, file]);
  }

  /** Hands a request to a process; a process that is gone before it took anything is replaced by another, once. */
  async #passOn(php: string, asked: IncomingMessage | undefined, answer: ServerResponse, headers: readonly string[]): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const pool = this.#pool(this.#current, php);
      let child: PhpChild;
      try {
        child = await pool.acquire();
      } catch (error) {
        answer.setHeader("retry-after", "5");
        return plain(answer, 503, error instanceof ProvisionError ? `${error.message}.` : "PHP could not be started.");
      }
      const outcome = await this.#exchange(child, asked, answer, headers);
      if (outcome === "done") pool.release(child);
      else if (outcome === "hung") pool.discard(child);
      else await pool.releaseBroken(child);
      if (outcome !== "not taken" || attempt === 2) {
        if (outcome !== "done") plain(answer, outcome === "hung" ? 504 : 502, "PHP did not answer; see the output of provision serve.");
        return;
      }
    }
  }

  #exchange(
    child: PhpChild,
    asked: IncomingMessage | undefined,
    answer: ServerResponse,
    headers: readonly string[],
  ): Promise<"done" | "not taken" | "broken" | "hung"> {
    return new Promise((resolve) => {
      let connected = false;
      let left = false;
      const upstream = request({
        host: "127.0.0.1",
        port: child.port,
        method: asked?.method ?? "GET",
        path: asked?.url ?? "/",
        headers: [...headers, TOKEN, child.token, "connection", "close"],
        agent: false,
        timeout: UPSTREAM_TIMEOUT,
      });
      upstream.once("socket", (socket) =>
        socket.once("connect", () => {
          connected = true;
          if (asked) asked.pipe(upstream);
          else upstream.end();
        }),
      );
      upstream.once("timeout", () => {
        resolve("hung");
        upstream.destroy();
      });
      upstream.once("error", () => resolve(left ? "done" : connected ? "broken" : "not taken"));
      // A visitor who goes away while sending leaves PHP waiting for the rest.
      asked?.once("close", () => {
        left = !asked.complete;
        if (left) upstream.destroy();
      });
      upstream.once("response", (response) => {
        response.once("error", () => {
          answer.destroy();
          resolve("broken");
        });
        response.once("end", () => resolve("done"));
        try {
          answer.writeHead(response.statusCode ?? 502, response.statusMessage, answeredHeaders(response));
        } catch (error) {
          this.#options.onEvent({ type: "problem", message: `PHP sent headers that cannot be passed on: ${messageOf(error)}` });
          response.resume();
          plain(answer, 502, "The site sent a broken answer.");
          return;
        }
        // The process is busy until its answer ends, also when nobody listens any more.
        answer.once("close", () => response.resume());
        response.pipe(answer);
      });
    });
  }

  #knows(token: string | string[] | undefined): boolean {
    // Of equal length whatever was given, as the comparison wants.
    const digest = (text: string) => createHmac("sha256", "token").update(text).digest();
    return typeof token === "string" && timingSafeEqual(digest(token), digest(this.#options.token));
  }
}

/** Headers of the visitor for the router: as they came, less what is about the connection and what only the front may say. */
function passedHeaders(asked: IncomingMessage): readonly string[] {
  const passed: string[] = [];
  const named = new Set(
    (asked.headers.connection ?? "")
      .toLowerCase()
      .split(",")
      .map((name) => name.trim()),
  );
  for (let at = 0; at + 1 < asked.rawHeaders.length; at += 2) {
    const name = (asked.rawHeaders[at] as string).toLowerCase();
    // PHP makes _ of -, so that X_Provision_Token would be taken for X-Provision-Token.
    if (HOP_BY_HOP.has(name) || named.has(name) || name === "x-forwarded-for" || name.replaceAll("_", "-").startsWith("x-provision-"))
      continue;
    passed.push(name, asked.rawHeaders[at + 1] as string);
  }
  const client = (asked.socket.remoteAddress ?? "").replace(/^::ffff:/, "");
  const before = asked.headers["x-forwarded-for"];
  passed.push("x-forwarded-for", before === undefined ? client : `${before}, ${client}`, CLIENT, client);
  return passed;
}

function answeredHeaders(response: IncomingMessage): string[] {
  const passed: string[] = [];
  for (let at = 0; at + 1 < response.rawHeaders.length; at += 2) {
    const name = response.rawHeaders[at] as string;
    // PHP's server repeats the Host header of the request.
    if (HOP_BY_HOP.has(name.toLowerCase()) || ["host", "transfer-encoding"].includes(name.toLowerCase())) continue;
    passed.push(name, response.rawHeaders[at + 1] as string);
  }
  return passed;
}

function plain(answer: ServerResponse, status: number, text: string): void {
  if (answer.headersSent) {
    answer.destroy();
    return;
  }
  answer.writeHead(status, {
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  answer.end(`${text}\n`);
}

function notListening(error: Error, port: number, address: string): ProvisionError {
  if (isSystemError(error, "EADDRINUSE")) {
    return new ProvisionError("PORT_TAKEN", `port ${port} of ${address} is taken by another program`, {
      state: "no site is served by this command",
      next: [`provision serve --port ${port < 65535 ? port + 1 : port - 1}    # any free port`],
      cause: error,
    });
  }
  if (isSystemError(error, "EACCES")) {
    return new ProvisionError("PERMISSION_DENIED", `this user may not listen on port ${port}`, {
      next: ["provision serve --port 8080    # ports from 1024 on are everybody's"],
      cause: error,
    });
  }
  return new ProvisionError("CONFIGURATION", `cannot listen on ${address}, port ${port}: ${error.message}`, {
    next: ["provision serve --address 127.0.0.1"],
    cause: error,
  });
}
