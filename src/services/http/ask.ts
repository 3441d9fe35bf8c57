import { request } from "node:http";
import { request as requestTls } from "node:https";
import { connect as connectTls } from "node:tls";
import type { Host } from "../../host/host.js";
import type { HttpAnswer } from "./service.js";

export interface Question {
  /** From where it is asked; without it from this machine. */
  readonly from?: Pick<Host, "dial">;
  readonly address?: string;
  readonly port: number;
  readonly path: string;
  readonly method?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Milliseconds without anything coming. */
  readonly timeout: number;
  /** By https, naming this host; the certificate is not judged. */
  readonly tls?: string;
  readonly signal?: AbortSignal;
}

/** One HTTP request on a connection of its own (Node's fetch takes no Host header); redirects are not followed. Rejects with a HostError when `from` is lost meanwhile. */
export async function ask(question: Question): Promise<HttpAnswer> {
  const started = Date.now();
  const { from, address, port } = question;
  const dialled = from && (await from.dial(address === undefined ? { port } : { port, address }));
  return new Promise((resolve, reject) => {
    const { tls } = question;
    // What broke the connection says more than that it broke.
    const fail = (error: Error) => reject(dialled?.errored ?? error);
    const send = tls === undefined ? request : requestTls;
    const asked = send(
      {
        ...(tls === undefined ? {} : { servername: tls, rejectUnauthorized: false }),
        host: question.address ?? "127.0.0.1",
        port: question.port,
        path: question.path,
        method: question.method ?? "GET",
        headers: {
          ...question.headers,
          ...(question.body === undefined ? {} : { "content-length": String(Buffer.byteLength(question.body)) }),
        },
        ...(dialled === undefined
          ? { agent: false as const }
          : {
              createConnection: () =>
                tls === undefined ? dialled : connectTls({ socket: dialled, servername: tls, rejectUnauthorized: false }),
            }),
        timeout: question.timeout,
        ...(question.signal === undefined ? {} : { signal: question.signal }),
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("error", fail);
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
    asked.on("error", fail);
    asked.end(question.body);
  });
}

/** `0.0.0.0` is where one listens, not where one connects to. */
export function reachable(address: string): string {
  return address === "0.0.0.0" ? "127.0.0.1" : address === "::" ? "::1" : address;
}
