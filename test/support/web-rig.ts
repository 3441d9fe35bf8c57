import { chmodSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { Layout } from "../../src/context/layout.js";
import { Scope } from "../../src/core/scope.js";
import { LocalHost } from "../../src/host/local.js";
import { type HttpSetup, httpServices } from "../../src/services/http/index.js";
import type { ConfigFile, HttpAnswer, HttpRequest, HttpService, Vhost } from "../../src/services/http/service.js";
import { makeDocroot, makeGeneration } from "./docroot.js";
import { freePort } from "./php-server.js";
import { type Driven, drive } from "./step-driver.js";
import { type DaemonType, startFpm, WEB_DAEMONS, type WebServer } from "./web-servers.js";

/** The service of nginx or Apache with its real daemon, PHP-FPM and the docroot of docroot.ts; no hub and no command line. */
export interface WebRig {
  readonly root: string;
  readonly service: HttpService;
  /** The same, that gives up a reload which is not proven after two seconds. */
  readonly impatient: HttpService;
  readonly port: number;
  readonly tlsPort: number;
  /** `config/<server>/<type>`. */
  readonly config: string;
  /** The one that runs now. */
  readonly daemon: WebServer;
  vhost(uri: string, more?: Partial<Vhost>): Vhost;
  publish(site: Vhost): Promise<Driven>;
  activate(files: readonly ConfigFile[]): Promise<Driven>;
  get(uri: string, path?: string, more?: Partial<HttpRequest>): Promise<HttpAnswer>;
  startDaemon(): Promise<void>;
  remove(): Promise<void>;
}

export async function webRig(type: DaemonType): Promise<WebRig> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "provision-web-")));
  // The daemons' own users have to come through.
  chmodSync(root, 0o755);
  const layout = new Layout(root);
  const [port, tlsPort] = [await freePort(), await freePort()];
  const base = join(root, "daemons");
  const fpm = await startFpm(base);
  const docroot = join(root, "platforms/p");
  makeDocroot(docroot);
  const one: Vhost = {
    uri: "one.test",
    aliases: [],
    redirection: undefined,
    enabled: true,
    docroot,
    directory: "one.test",
    generation: "g1",
    ...makeGeneration(layout.generation("one.test", "g1").root),
    frontControllers: ["index.php", "update.php", "core/cron.php"],
    php: "php",
    fpm: fpm.listen,
    alone: false,
    tls: undefined,
    basicAuth: undefined,
    allow: [],
    headers: {},
    environment: undefined,
    snippets: {},
  };
  const server: HttpSetup["server"] = {
    ...WEB_DAEMONS[type].commands(base),
    name: "@server_master",
    script_user: userInfo().username,
    http_port: port,
    http_ssl_port: tlsPort,
    php: undefined,
    php_fpm_listen: fpm.listen,
    php_fpm_restart_cmd: fpm.command,
  };
  const make = httpServices[type] as (setup: HttpSetup) => HttpService;
  const setup = { layout, server, host: new LocalHost(new Scope()) };
  const service = make(setup);
  await drive(service.serverSteps());
  const config = layout.httpConfig("@server_master", type);
  const start = () => WEB_DAEMONS[type].start(base, `${config}.conf`, port);
  let daemon = await start();
  const activate = (files: readonly ConfigFile[]) => drive([service.activate("vhost/activate", "Activate", files)]);
  return {
    root,
    service,
    impatient: make({ ...setup, patience: 2000 }),
    port,
    tlsPort,
    config,
    get daemon() {
      return daemon;
    },
    vhost: (uri, more = {}) => ({ ...one, uri, directory: uri.replace("/", "."), ...more }),
    publish: (site) => activate(service.siteFiles(site)),
    activate,
    get: (uri, path = "/", more = {}) => service.request({ uri, path, ...more }),
    async startDaemon() {
      daemon = await start();
    },
    async remove() {
      await daemon.stop();
      await fpm.stop();
      rmSync(root, { recursive: true });
    },
  };
}
