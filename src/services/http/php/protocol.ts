import { request } from "node:http";
import type { HttpAnswer } from "../service.js";

/** Headers between front and router, and between provision and a running `serve`; the front takes them from nobody else. */
export const TOKEN = "x-provision-token";
export const MARKER = "x-provision-marker";
export const CLIENT = "x-provision-client";

/** Where a running `serve` says, to who knows its token, what PHP reads in one vhost file. */
export const MARKER_PATH = "/.well-known/provision";

/** The answer there. */
export interface Marker {
  /** Content of the generation file for which the processes that answer were started. */
  readonly generation: string;
  /** Hash of the vhost file as PHP read it; null when there is none. */
  readonly hash: string | null;
}

export interface Question {
  readonly address?: string;
  readonly port: number;
  readonly path: string;
  readonly method?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Milliseconds without anything coming. */
  readonly timeout: number;
}

/** One HTTP request on a connection of its own (Node's fetch takes no Host header); redirects are not followed. */
export function ask(question: Question): Promise<HttpAnswer> {
  const started = Date.now();
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: question.address ?? "127.0.0.1",
        port: question.port,
        path: question.path,
        method: question.method ?? "GET",
        headers: {
          ...question.headers,
          ...(question.body === undefined ? {} : { "content-length": String(Buffer.byteLength(question.body)) }),
        },
        agent: false,
        timeout: question.timeout,
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () => {
          const headers = Object.entries(answer.headers).map(([name, value]) => [
            name,
            Array.isArray(value) ? value.join("\n") : (value ?? ""),
          ]);
          resolve({
            status: answer.statusCode ?? 0,
            headers: Object.fromEntries(headers),
            body: Buffer.concat(chunks).toString("utf8"),
            ms: Date.now() - started,
          });
        });
      },
    );
    asked.on("timeout", () => asked.destroy(new Error(`nothing came for ${question.timeout} ms`)));
    asked.on("error", reject);
    asked.end(question.body);
  });
}

/** `0.0.0.0` is where one listens, not where one connects to. */
export function reachable(address: string): string {
  return address === "0.0.0.0" ? "127.0.0.1" : address === "::" ? "::1" : address;
}
