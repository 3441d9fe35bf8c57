import { type ChildProcess, spawn } from "node:child_process";
import { type IncomingHttpHeaders, request } from "node:http";
import { createServer } from "node:net";

export interface PageAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** PHP's own web server on a free loopback port, without a router: what is no file goes to the docroot's index.php. */
export class PhpServer {
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(port: number, child: ChildProcess) {
    this.port = port;
    this.#child = child;
  }

  static async start(docroot: string): Promise<PhpServer> {
    const port = await freePort();
    const child = spawn("php", ["-d", "opcache.enable=0", "-S", `127.0.0.1:${port}`, "-t", docroot], { cwd: docroot, stdio: "ignore" });
    const server = new PhpServer(port, child);
    for (let attempt = 0; ; attempt++) {
      try {
        await server.get("ready.invalid", "/robots.txt");
        return server;
      } catch (error) {
        if (attempt === 100 || child.exitCode !== null) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** `host` without a port. */
  get(host: string, path: string, headers: Readonly<Record<string, string>> = {}): Promise<PageAnswer> {
    return new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port: this.port, path, headers: { Host: `${host}:${this.port}`, ...headers }, agent: false };
      request(options, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString("utf8") }),
        );
        response.on("error", reject);
      })
        .on("error", reject)
        .end();
    });
  }

  /** The path of a URL of this server. */
  static path(url: string): string {
    const { pathname, search } = new URL(url);
    return pathname + search;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGTERM");
    await ended;
  }
}

/** Below the ports that Linux gives to outgoing connections; a part of its own for each of vitest's workers. */
const PORTS = { first: 12_000, each: 4000, workers: 5 };
const part = PORTS.first + PORTS.each * (Number(process.env["VITEST_POOL_ID"] ?? 0) % PORTS.workers);
let nextPort = Math.floor(Math.random() * PORTS.each);

/** A port of 127.0.0.1 that nothing listens on; the same one is not given twice. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = part + (nextPort++ % PORTS.each);
    const server = createServer();
    const free = await new Promise((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

/** `name=value` of the session cookie that an answer sets. */
export function sessionCookie(answer: PageAnswer): string | undefined {
  return answer.headers["set-cookie"]?.find((cookie) => /^S?SESS/.test(cookie))?.split(";")[0];
}
