import { isThisMachine } from "../../context/schema.js";
import { ProvisionError } from "../../core/errors.js";
import type { LogEntry } from "../../engines/engine.js";
import { onLoopback } from "../../services/http/loopback.js";
import { splitUri } from "../../services/http/routing.js";
import type { HttpAnswer } from "../../services/http/service.js";
import type { Services } from "../services.js";
import { pageByFpm } from "./generation.js";
import { type Names, pathsOn, withoutChanging } from "./page-text.js";
import { type SiteInputs, siteCode, vhostOf } from "./site.js";

/** A page that gave no answer has the status 0, and says why. */
export type Get = (path: string) => Promise<HttpAnswer>;

/** Gives `action` a way to fetch pages of a site as visitors get them: by its web server, with the password that it asks for; of a disabled site by PHP alone. */
export async function visiting<T>(inputs: SiteInputs, use: Services, action: (get: Get) => Promise<T>): Promise<T> {
  const { site, webServer } = inputs;
  if (!site.site_enabled && !isThisMachine(inputs.server.remote_host))
    return action(answered((path) => pageByFpm(inputs, use, undefined, path)));
  if (!site.site_enabled)
    return onLoopback({ vhost: vhostOf(inputs, use, true), generation: undefined, port: webServer.http_port }, (get) =>
      action(answered(get)),
    );
  const http = use.http(webServer);
  const name = site.http_basic_auth_username ?? (site.quarantine ? "preview" : undefined);
  const password = name === undefined ? undefined : await use.secrets.get(site.name, "http_basic_auth_password");
  const headers = password ? { authorization: `Basic ${Buffer.from(`${name}:${password.reveal()}`).toString("base64")}` } : {};
  const uri = site.redirection ?? site.uri;
  return action(answered((path) => http.request({ uri, path, tls: site.ssl === "required", headers })));
}

function answered(get: Get): Get {
  return async (path) => {
    try {
      return await get(path);
    } catch (error) {
      if (!(error instanceof ProvisionError) || error.code !== "SERVICE_UNAVAILABLE") throw error;
      return { status: 0, headers: { "content-type": "text/plain" }, body: error.message, ms: 0 };
    }
  };
}

/** Most pages that are looked for when nobody names any. */
const LINKS = 12;
const OF_SITEMAP = 8;

/** The front page, the login form, what the front page links to and what a sitemap names first. */
export async function usualPaths({ site }: SiteInputs, get: Get): Promise<readonly string[]> {
  const hosts = hostsOf(site);
  const { prefix } = splitUri(site.uri);
  const front = await get("/");
  const links = front.status === 200 ? pathsOn(front.body, hosts, prefix) : [];
  const sitemap = await get("/sitemap.xml");
  const named = sitemap.status === 200 ? pathsOn(sitemap.body, hosts, prefix) : [];
  return [...new Set(["/", "/user/login", ...links.slice(0, LINKS), ...named.slice(0, OF_SITEMAP)])];
}

/** Host names that a site answers by. */
export function hostsOf({ uri, aliases, redirection }: SiteInputs["site"]): readonly string[] {
  return [...new Set([uri, ...aliases, ...(redirection === undefined ? [] : [redirection])].map((name) => splitUri(name).host))];
}

/**
 * What sites call themselves, for texts that are held against those of another one. A copy still says the names of what it is made of, too: its title may be
 * one of them.
 */
export function namesIn(...sites: readonly SiteInputs[]): Names {
  const pairs = sites.flatMap(({ site, paths, directory, core, generation, webServer }) => {
    const hosts = [...new Set([site.uri, ...hostsOf(site)])].flatMap((name) => [
      ...[webServer.http_port, webServer.http_ssl_port].flatMap((port) => (port === undefined ? [] : [`${name}:${port}`])),
      name,
    ]);
    return [
      [paths.root, "DATA"],
      [core.docroot, "CODE"],
      [`sites/${directory}/`, "sites/SITE/"],
      [generation, "GENERATION"],
      ...hosts.flatMap((name) => [`https://${name}`, `http://${name}`].map((url) => [url, "URL"] as const)),
      ...hosts.map((name) => [name, "SITE"] as const),
    ] as const;
  });
  return [...new Map(pairs)].toSorted(([a], [b]) => b.length - a.length);
}

/** Logs of a site up to now: what comes later is told by `newInLog`. JSON. */
export type LogMark = {
  /** Number of the newest entry; 0: there is none, or no such log. */
  readonly last: number;
  /** Bytes of the web server's error log of the site. */
  readonly bytes: number;
};

/** An entry, and where it stands: in the site's own log, or in that of PHP and the web server. */
export type LogLine = { readonly from: "site" | "php" } & { readonly [K in keyof LogEntry]: LogEntry[K] };

export async function logMark(inputs: SiteInputs, use: Services): Promise<LogMark & { readonly entries: readonly LogEntry[] }> {
  const log = (await use.engine(inputs.core.engine).log(siteCode(inputs, use), 0)).result;
  return {
    last: log?.last ?? 0,
    bytes: await errorBytes(inputs, use),
    entries: log?.entries ?? [],
  };
}

/** What was logged since, oldest first: entries of the site's log from warnings on, and what PHP told the web server. */
export async function newInLog(inputs: SiteInputs, use: Services, mark: LogMark): Promise<readonly LogLine[]> {
  const log = (await use.engine(inputs.core.engine).log(siteCode(inputs, use), mark.last)).result;
  const own = (log?.entries ?? [])
    .filter(({ severity, type }) => severity <= WARNING || type === "php")
    .map((entry) => ({ ...entry, from: "site" as const }));
  return [...own.toReversed(), ...(await phpLines(inputs, use, mark.bytes))];
}

/** An entry as it is recognised on another site: without what is never twice the same. */
export function sameEntry({ type, message }: Pick<LogEntry, "type" | "message">, names: Names): string {
  return `${type}: ${withoutChanging(message, names).replace(/\bline \d+|:\d+\b/g, "line N")}`;
}

export const ERROR = 3;
const WARNING = 4;

async function errorBytes({ webServer, site }: SiteInputs, use: Services): Promise<number> {
  const path = use.http(webServer).logs?.(site.uri).error;
  return path === undefined ? 0 : ((await use.host(webServer).stat(path))?.size ?? 0);
}

/** PHP's words in nginx's and Apache's error logs, several of them in one line. */
const PHP_MESSAGE =
  /(?:PHP message: )?PHP (Fatal error|Parse error|Recoverable fatal error|Warning|Notice|Deprecated):\s+(.*?)(?=(?:; )?PHP message: |"? while reading|'(?:, referer|$)|$)/g;
const SEVERITY: Readonly<Record<string, number>> = { Warning: WARNING, Notice: 5, Deprecated: 6 };

async function phpLines({ webServer, site }: SiteInputs, use: Services, from: number): Promise<readonly LogLine[]> {
  const path = use.http(webServer).logs?.(site.uri).error;
  if (path === undefined) return [];
  const { code, stdout } = await use.host(webServer).run(["tail", "-c", `+${from + 1}`, "--", path], { anyExit: true, timeout: 60_000 });
  // A log that was never begun, or that only root may read.
  if (code !== 0) return [];
  const lines = stdout.slice(0, 1_000_000).split("\n");
  return lines.flatMap((line) =>
    [...line.matchAll(PHP_MESSAGE)]
      .filter(([, kind]) => kind !== "Deprecated")
      .map(([, kind = "", message = ""]) => ({
        from: "php" as const,
        type: kind,
        severity: SEVERITY[kind] ?? 2,
        message: message.trim().slice(0, 500),
      })),
  );
}
