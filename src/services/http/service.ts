import type { Secret } from "../../core/secret.js";
import type { Decision, Run, Step } from "../../core/step.js";
import type { Argv } from "../../host/host.js";
import type { Setting } from "../php-limits.js";

/** One site as a web server sees it; every http type makes its own text of it. Paths absolute. */
export interface Vhost {
  readonly uri: string;
  readonly aliases: readonly string[];
  /** All other names answer 301 to this one. */
  readonly redirection: string | undefined;
  /** A disabled site answers 503 with Retry-After on every path but ACME's. */
  readonly enabled: boolean;
  readonly docroot: string;
  /** Name below `sites/`. */
  readonly directory: string;
  readonly generation: string;
  /** Generation's directories: what PHP may write, and what is served of it. */
  readonly files: string;
  readonly private: string;
  /** PHP files that may be reached, relative to the docroot. */
  readonly frontControllers: readonly string[];
  readonly php: string;
  /** What a request may take, where that is not the usual. */
  readonly limits?: RequestLimits;
  /** Where PHP-FPM listens: a socket's path, or host:port. PHP's own server needs none. */
  readonly fpm: string;
  /** Of a sub-directory site: no other site has its host, so nobody else answers there. */
  readonly alone: boolean;
  readonly tls: Tls | undefined;
  readonly basicAuth: BasicAuth | undefined;
  /** Addresses and networks that may come in; empty: all. */
  readonly allow: readonly string[];
  /** Sent with every answer of the site. */
  readonly headers: Readonly<Record<string, string>>;
  /** File that the vhost includes for PHP's environment; undefined: PHP needs to be told nothing. */
  readonly environment: string | undefined;
  /** The operator's own lines, by http type. */
  readonly snippets: Readonly<Record<string, string>>;
}

export interface RequestLimits {
  /** Told to PHP with each request, in pools of several sites: all that any site says, for a process keeps what the request before set. */
  readonly settings: readonly Setting[];
  /** Bytes of the largest request body; undefined: the usual 64 MB. */
  readonly largestBody: number | undefined;
  /** Seconds that the web server waits for PHP; undefined: two minutes. */
  readonly patience: number | undefined;
}

/** How a site is reached by https. */
export interface Tls {
  /** http is sent on to https. */
  readonly required: boolean;
  /** With the intermediate certificates; PEM. */
  readonly certificate: string;
  readonly key: string;
  /** Seconds for which browsers shall remember to use https; undefined: not said. */
  readonly hsts: number | undefined;
}

export interface BasicAuth {
  /** What the browser shows. */
  readonly message: string;
  /** File of `name:hash` lines. */
  readonly file: string;
  /** Addresses and networks that need no password. */
  readonly whitelist: readonly string[];
}

/** By name in PHP's $_SERVER; values without control characters, quotes and `$`. */
export type Variables = Readonly<Record<string, Secret>>;

/** What the PHP of one site is told with each request, by a file (0600) that PHP itself cannot read. */
interface Environment {
  /** Path for a Vhost; the tag (12 hexadecimal digits) tells the former files of a site from the one to come. */
  file(uri: string, tag: string): string;
  /** The file is there. It comes before the activation of the vhost that names it. */
  write(uri: string, tag: string, variables: (run: Run) => Promise<Variables>): Step;
  /** All other files of the site are gone, with no tag all; a finish step. */
  removeFormer(uri: string, tag: string | undefined): Step;
}

/** A file of the web server's configuration; no content: it is not there. */
export interface ConfigFile {
  readonly path: string;
  readonly content: string | undefined;
  /** What it names; looked at before anything is replaced, for not every server does. */
  readonly pair?: Pick<Tls, "certificate" | "key">;
}

/** One server's part when several switch together (HttpService.activate in its parts). */
export interface Exchange {
  /** What would be done, as the check of `activate` says it; only reads. */
  decide(): Promise<Decision>;
  /** Runs `work` while nobody else changes the configuration of this server. */
  locked<T>(work: () => Promise<T>): Promise<T>;
  /** The files are tested apart from all others; rejects when they are refused, and nothing was replaced. */
  prepare(): Promise<void>;
  /** The files stand in their places, tested with all others, and are not served yet. Rejects with the old ones back in place. */
  put(run: Pick<Run, "warn">): Promise<Placed>;
}

export interface Placed {
  /** The daemon serves them, and it is proven. */
  take(): Promise<void>;
  /** The old files stand there, and are served; also after `take`, whatever came of it. */
  back(): Promise<void>;
}

export interface HttpProblem {
  readonly message: string;
  /** Nothing can be published while it lasts; else it is only worth knowing. */
  readonly blocks: boolean;
}

/** What root has to do first. */
export interface HttpNeed {
  readonly message: string;
  /** Command, or line of sudoers. */
  readonly fix: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly ms: number;
}

export interface HttpRequest {
  readonly uri: string;
  /** Begins with `/`. */
  readonly path: string;
  readonly method?: "GET" | "HEAD" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** By https, whatever the certificate says. */
  readonly tls?: boolean;
  /** Of the site's code (host/code-cache.ts), for a server that is started for this request alone. */
  readonly codeCache?: string | undefined;
}

/**
 * One web server of a server context. One contract suite runs over every type: publish → request →
 * withdraw, against the real daemon.
 */
export interface HttpService {
  readonly type: string;
  /** Base URL of a site as a visitor types it, no trailing slash: `http://example.com:8080`. */
  url(uri: string, tls?: boolean): string;
  /** Directories and main files of the web server; part of verify @server. */
  serverSteps(): readonly Step[];
  /** Files of one site; pure. */
  siteFiles(vhost: Vhost): readonly ConfigFile[];
  /** The same paths without content: of names that are aliases no more, and of the whole site when `uri` is given. */
  noSiteFiles(aliases: readonly string[], uri?: string): readonly ConfigFile[];
  /**
   * Makes the files so and the daemon serve them, as one step (DESIGN 6): candidate, test, swap,
   * reload, prove; its undo is the same with the old files. Its check asks the daemon, not only the disk.
   */
  activate(id: string, title: string, files: readonly ConfigFile[], more?: Pick<Step, "phase">): Step;
  /** The parts of `activate`, for servers that switch together; undefined where it is never one of several. */
  exchange?(files: readonly ConfigFile[]): Exchange;
  /** Puts back what `activate` replaced; the undo kind `http_restore`, called with its own undo data (`content: null` is no content). */
  restore(files: readonly ConfigFile[]): Promise<void>;
  /**
   * PHP that begins after this call serves these sites (uris), and it is proven: for code that was exchanged under them while
   * their configuration stays. Can be repeated. `command` reloads their PHP-FPM; default: that of the server's own PHP.
   */
  reload(uris: readonly string[], command?: Argv): Promise<void>;
  /**
   * Asks for one page the way a visitor would, redirects not followed. Works also when no daemon of
   * this type is running, where that is possible (php: a loopback server of its own, ended afterwards).
   */
  request(request: HttpRequest): Promise<HttpAnswer>;
  /** Its files answer http://NAME/.well-known/acme-challenge/FILE for every name, known or not; undefined: no challenge is answered. */
  readonly challenges: string | undefined;
  /** File with name and password hash of a site's visitors. */
  passwordFile(uri: string): string;
  /** Files that a site's requests are told in; undefined where they are not kept by site. `error`: also what PHP says. */
  logs?(uri: string): { readonly access: string; readonly error: string };
  /** Undefined where PHP runs as the user that provision is, so that there is nothing to hide from it. */
  readonly environment?: Environment;
  /**
   * Says that a request will follow, to a site that uses this PHP program and this directory of compiled code: what `request`
   * has to start for it is started meanwhile. It never fails, holds nothing up, and is ended by that request or with this process.
   */
  standby?(code: { readonly php: string; readonly codeCache?: string }): void;
  /** What has to be there before verify @server writes anything: the program, rights to test and reload it. */
  needs(): Promise<readonly HttpNeed[]>;
  /** What is wrong with the daemon, for `status`, `doctor` and preflights; empty when all is well. */
  problems(): Promise<readonly HttpProblem[]>;
}
