import type { Secret } from "../../core/secret.js";
import type { Host } from "../../host/host.js";
import { askScript } from "./fastcgi.js";

/** One page of a site, asked of its PHP-FPM as its web server would. */
export interface FpmPage {
  /** The machine of PHP-FPM. */
  readonly host: Host;
  /** Where it listens: a socket's path, or host:port. */
  readonly listen: string;
  readonly docroot: string;
  /** As visitors type it: `example.com` or `example.com/foo`. */
  readonly uri: string;
  /** Port of the web server; of what links are made. */
  readonly port: number;
  /** Chosen in sites.php instead of the one that visitors get; undefined: there is no other at this place. */
  readonly generation: string | undefined;
  /** Below the site, with its `/`; default: the front page. */
  readonly path?: string;
  /** What the web server tells PHP of the site. */
  readonly variables: Readonly<Record<string, Secret>>;
}

const TIMEOUT = 120_000;

/**
 * GET of a page, before any web server leads anybody there: by the pool, and so by the account, that is to run the site. Rejects when nobody
 * listens there or nothing comes in two minutes.
 */
export async function fpmPage(page: FpmPage): Promise<{ status: number; headers: Record<string, string>; body: string; ms: number }> {
  const started = Date.now();
  const { path = "/" } = page;
  const [name = "", ...segments] = page.uri.split("/");
  const prefix = segments.length === 0 ? "" : `/${segments.join("/")}`;
  const docroot = (await page.host.realPath(page.docroot)) ?? page.docroot;
  const said = await askScript(
    page.host,
    page.listen,
    {
      GATEWAY_INTERFACE: "CGI/1.1",
      SERVER_PROTOCOL: "HTTP/1.1",
      SERVER_SOFTWARE: "provision",
      REQUEST_METHOD: "GET",
      REQUEST_URI: `${prefix}${path}`,
      QUERY_STRING: path.split("?").slice(1).join("?"),
      DOCUMENT_ROOT: docroot,
      DOCUMENT_URI: `${prefix}/index.php`,
      SCRIPT_NAME: `${prefix}/index.php`,
      SCRIPT_FILENAME: `${docroot}/index.php`,
      HTTP_HOST: page.port === 80 ? name : `${name}:${page.port}`,
      SERVER_NAME: name,
      SERVER_ADDR: "127.0.0.1",
      SERVER_PORT: String(page.port),
      REMOTE_ADDR: "127.0.0.1",
      REMOTE_PORT: "0",
      REDIRECT_STATUS: "200",
      ...(page.generation === undefined ? {} : { PROVISION_GENERATION: page.generation }),
      ...Object.fromEntries(Object.entries(page.variables).map(([key, secret]) => [key, secret.reveal()])),
    },
    TIMEOUT,
  );
  const headers: Record<string, string> = {};
  for (const line of said.head.split("\r\n")) {
    const at = line.indexOf(":");
    if (at > 0) headers[line.slice(0, at).toLowerCase()] = line.slice(at + 1).trim();
  }
  return { status: Number.parseInt(headers["status"] ?? "200", 10), headers, body: said.body, ms: Date.now() - started };
}
