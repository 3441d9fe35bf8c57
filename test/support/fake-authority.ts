import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

/** One answer; `hang`: none at all, `cut`: the connection is ended in the middle of it. */
export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly how?: "hang" | "cut";
}

/**
 * An ACME authority that believes everything and answers what a test wants it to, for what a real one does on its worst days. It proves what we
 * make of its answers, and nothing about ACME.
 */
export class FakeAuthority {
  readonly directory: string;
  /** By which its https is believed. */
  readonly caFile: string;
  /** Instead of the good answer, by the last part of the path: `dir`, `new-order`, `order`, `authorization`, `certificate` … */
  answers: Readonly<Record<string, Answer>> = {};
  /** Last parts of the paths that were asked for. */
  readonly asked: string[] = [];
  readonly #server: Server;

  private constructor(server: Server, caFile: string) {
    this.#server = server;
    this.caFile = caFile;
    this.directory = `https://127.0.0.1:${(server.address() as AddressInfo).port}/dir`;
  }

  static async start(base: string): Promise<FakeAuthority> {
    const [key, certificate] = [join(base, "fake-authority.key"), join(base, "fake-authority.pem")];
    execFileSync(
      "openssl",
      [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=fake"],
        ...["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
      ],
      { stdio: "pipe" },
    );
    const server = createServer({ key: readFileSync(key), cert: readFileSync(certificate) });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const fake = new FakeAuthority(server, certificate);
    server.on("request", (request, response) => {
      request.resume();
      const what = (request.url ?? "").split("/").at(-1) ?? "";
      fake.asked.push(what);
      const { status, headers, body, how } = fake.answers[what] ?? fake.#good(what);
      if (how === "hang") return;
      response.writeHead(status ?? 200, { "content-type": "application/json", "replay-nonce": `nonce${fake.asked.length}`, ...headers });
      if (how === "cut") {
        response.write('{"sta');
        setImmediate(() => response.destroy());
        return;
      }
      response.end(typeof body === "string" ? body : JSON.stringify(body ?? {}));
    });
    return fake;
  }

  url(what: string): string {
    return this.directory.replace(/dir$/, what);
  }

  /** The order as it stands: what is asked first is pending, and ready when all is proven. */
  order(status: string): object {
    return {
      status,
      identifiers: [{ type: "dns", value: "a.test" }],
      authorizations: [this.url("authorization")],
      finalize: this.url("finalize"),
      ...(status === "valid" ? { certificate: this.url("certificate") } : {}),
    };
  }

  #good(what: string): Answer {
    switch (what) {
      case "dir":
        return { body: { newNonce: this.url("nonce"), newAccount: this.url("account"), newOrder: this.url("new-order"), meta: {} } };
      case "account":
        return { status: 201, headers: { location: this.url("account-1") }, body: { status: "valid" } };
      case "new-order":
        return { status: 201, headers: { location: this.url("order") }, body: this.order("ready") };
      case "order":
      case "finalize":
        return { body: this.order("valid") };
      default:
        return {};
    }
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
