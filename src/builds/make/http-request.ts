import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { connect as tlsConnect } from "node:tls";
import { ProvisionError } from "../../core/errors.js";

export interface HttpRequest {
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

/**
 * One answer of a server, its body as it was sent: `fetch` would unpack a tarball that a server calls gzip-encoded, and
 * its checksum would be wrong. Goes through a proxy when `http_proxy`, `https_proxy` or `all_proxy` names one and
 * `no_proxy` does not except the host.
 */
export async function ask(url: URL, options: HttpRequest): Promise<IncomingMessage> {
  const proxy = proxyFor(url, process.env);
  const headers = { ...options.headers, host: url.host };
  const common = { method: options.method, headers, signal: options.signal };
  if (url.protocol === "https:") {
    if (!proxy) return answer(httpsRequest(url, { ...common, agent: new Agent({ keepAlive: false }) }), options.body);
    return answer(httpsRequest(url, { ...common, agent: await tunnel(proxy, url, options.signal) }), options.body);
  }
  if (!proxy) return answer(httpRequest(url, { ...common, agent: false }), options.body);
  const through = { host: bare(proxy.hostname), port: proxy.port || 80, path: url.href, agent: false as const };
  return answer(httpRequest({ ...common, ...through, headers: { ...headers, ...proxyAuthorization(proxy) } }), options.body);
}

const UNTRUSTED = new Set([
  "CERT_HAS_EXPIRED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** The server is there, and its certificate is not believed: asking again does not help. */
export function isUntrusted(error: unknown): error is Error {
  return error instanceof Error && "code" in error && UNTRUSTED.has(String(error.code));
}

function answer(request: ClientRequest, body: string | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once("response", resolve);
    request.once("error", reject);
    request.end(body);
  });
}

async function tunnel(proxy: URL, url: URL, signal: AbortSignal): Promise<Agent> {
  const port = url.port || "443";
  const connect = httpRequest({
    host: bare(proxy.hostname),
    port: proxy.port || 80,
    method: "CONNECT",
    path: `${url.hostname}:${port}`,
    headers: { host: `${url.hostname}:${port}`, ...proxyAuthorization(proxy) },
    signal,
    agent: false,
  });
  const socket = await new Promise<import("node:net").Socket>((resolve, reject) => {
    connect.once("connect", (response, opened) => {
      if (response.statusCode === 200) resolve(opened as import("node:net").Socket);
      else {
        opened.destroy();
        reject(new ProvisionError("DOWNLOAD_FAILED", `the proxy ${proxy.host} answers ${response.statusCode ?? ""} to ${url.host}`));
      }
    });
    connect.once("error", reject);
    connect.end();
  });
  const agent = new Agent({ keepAlive: false });
  const host = bare(url.hostname);
  // An address is no server name, but the certificate is held against it all the same.
  agent.createConnection = () => tlsConnect({ socket, host, ...(isIP(host) === 0 ? { servername: host } : {}) });
  return agent;
}

function proxyAuthorization(proxy: URL): Record<string, string> {
  if (proxy.username === "") return {};
  const pair = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return { "proxy-authorization": `Basic ${Buffer.from(pair).toString("base64")}` };
}

/** As curl reads the environment: `HTTP_PROXY` in capitals is not believed (a web server could have set it). */
function proxyFor(url: URL, env: Readonly<Record<string, string | undefined>>): URL | undefined {
  const name = url.protocol === "https:" ? (env["https_proxy"] ?? env["HTTPS_PROXY"]) : env["http_proxy"];
  const value = name ?? env["all_proxy"] ?? env["ALL_PROXY"] ?? "";
  if (value === "" || excepted(bare(url.hostname), env["no_proxy"] ?? env["NO_PROXY"] ?? "")) return undefined;
  const proxy = URL.canParse(value) ? new URL(value) : URL.canParse(`http://${value}`) ? new URL(`http://${value}`) : undefined;
  if (proxy?.protocol === "http:") return proxy;
  throw new ProvisionError("CONFIGURATION", "the proxy of the environment cannot be used: it must be http://host:port");
}

function excepted(host: string, list: string): boolean {
  if (/^(?:localhost|127\.[0-9.]+|::1)$/.test(host)) return true;
  return list.split(/[\s,]+/).some((item) => {
    const name = item
      .replace(/^\*?\./, "")
      .replace(/:\d+$/, "")
      .toLowerCase();
    return item === "*" || (name !== "" && (host === name || host.endsWith(`.${name}`)));
  });
}

function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}
