import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

type Answer = Buffer | string | ((request: IncomingMessage, response: ServerResponse) => void);

/** A loopback HTTP server of what it is told; everything else is a 404. */
export class FileServer {
  readonly requests: string[] = [];
  readonly #answers = new Map<string, Answer>();
  readonly #server = createServer((request, response) => {
    this.requests.push(request.url ?? "");
    const answer = this.#answers.get(request.url ?? "");
    if (answer === undefined) response.writeHead(404).end("not here");
    else if (typeof answer === "function") answer(request, response);
    else response.writeHead(200, { "content-length": Buffer.byteLength(answer) }).end(answer);
  });

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Out: the URL of it. */
  serve(path: string, answer: Answer): string {
    this.#answers.set(path, answer);
    return this.url + path;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
