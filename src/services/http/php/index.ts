import { join } from "node:path";
import type { Layout } from "../../../context/layout.js";
import type { Server } from "../../../context/schema.js";
import { messageOf, ProvisionError } from "../../../core/errors.js";
import type { Step } from "../../../core/step.js";
import { codeCacheSettings } from "../../../host/code-cache.js";
import type { Host } from "../../../host/host.js";
import { directories } from "../../../steps/files.js";
import { phpProgram } from "../../php.js";
import type { HttpAnswer, HttpProblem, HttpRequest, HttpService } from "../service.js";
import { activateStep, reloadFiles, restoreFiles, type Served } from "./activate.js";
import type { Front } from "./front.js";
import { ask, reachable } from "./protocol.js";
import { readGeneration, runningServe, servePaths } from "./state.js";
import { noSiteFiles, siteFiles } from "./vhost-files.js";

const REQUEST_TIMEOUT = 60_000;
/** Router and front need no more than this. */
const OLDEST_PHP = "7.0";

/** What the service needs of a server context. */
export type PhpServer = Pick<Server, "name" | "http_port" | "php">;

/** PHP's own web server, run by `provision serve`: for laptops, demos and CI; needs nothing installed or root. */
export function phpHttp({
  layout,
  server,
  host,
}: {
  readonly layout: Layout;
  readonly server: PhpServer;
  readonly host: Host;
}): HttpService {
  const paths = servePaths(layout, server.name);
  const served: Served = { host, paths, server: server.name };
  const php = phpProgram(server.php);
  let look: Promise<void> | undefined;
  const looked = () => {
    look ??= lookAtPhp(host, php);
    return look;
  };
  let standby: Promise<Loopback> | undefined;
  const loopback = async (codeCache?: string) => {
    const waiting = standby;
    standby = undefined;
    return (await waiting) ?? startLoopback(served, codeCache);
  };
  return {
    type: "php",
    url: (uri) => urlOf(uri, server.http_port),
    serverSteps: () => [
      phpStep(php, looked),
      directories(
        host,
        [paths.config, paths.vhosts].map((path) => ({ path, ownership: { mode: 0o755 } })),
        { id: "http/directories", title: "Make the directories of PHP's web server" },
      ),
    ],
    siteFiles: (vhost) => siteFiles(paths.vhosts, vhost),
    noSiteFiles: (aliases, uri) => noSiteFiles(paths.vhosts, uri === undefined ? aliases : [uri, ...aliases]),
    activate: (id, title, files, more = {}) => activateStep(served, id, title, files, more),
    restore: (files) => restoreFiles(served, files),
    reload: (uris) =>
      reloadFiles(
        served,
        noSiteFiles(paths.vhosts, uris).map(({ path }) => path),
      ),
    needs: async () => [],
    request: (request) => requestSite(served, server, request, loopback),
    standby: (code) => {
      standby ??= startLoopback(served, code.codeCache).then((started) => {
        started.front.unref();
        // Whoever asks will hear what is wrong.
        started.front.warm(code.php).catch(() => {});
        return started;
      });
      standby.catch(() => {
        standby = undefined;
      });
    },
    // PHP's own server asks nobody for a password.
    challenges: undefined,
    passwordFile: (uri) => join(paths.config, "passwords.d", uri),
    problems: () => problems(served, server, looked),
  };
}

function urlOf(uri: string, port: number): string {
  const [host = "", segment] = uri.split("/");
  return `http://${host}${port === 80 ? "" : `:${port}`}${segment === undefined ? "" : `/${segment}`}`;
}

async function requestSite(
  served: Served,
  server: PhpServer,
  request: HttpRequest,
  loopback: (codeCache?: string) => Promise<Loopback>,
): Promise<HttpAnswer> {
  const [name = "", segment] = request.uri.split("/");
  const question = (port: number) => ({
    path: `${segment === undefined ? "" : `/${segment}`}${request.path}`,
    method: request.method ?? "GET",
    headers: { host: `${name}${port === 80 ? "" : `:${port}`}`, ...request.headers },
    ...(request.body === undefined ? {} : { body: request.body }),
    timeout: REQUEST_TIMEOUT,
  });
  try {
    const running = await runningServe(served.host, served.paths);
    if (running) return await ask({ ...question(running.port), address: reachable(running.address), port: running.port });
    const { front, port } = await loopback(request.codeCache);
    try {
      return await ask({ ...question(server.http_port), port });
    } finally {
      await front.close();
    }
  } catch (error) {
    if (error instanceof ProvisionError) throw error;
    throw new ProvisionError("SERVICE_UNAVAILABLE", `${urlOf(request.uri, server.http_port)}${request.path} gave no answer`, {
      why: [messageOf(error)],
      cause: error,
    });
  }
}

interface Loopback {
  readonly front: Front;
  readonly port: number;
}

/** The same front and router as `serve`, on a free port; to be closed by whoever uses it. */
async function startLoopback({ host, paths }: Served, codeCache?: string): Promise<Loopback> {
  const [{ Front }, { randomBytes }] = await Promise.all([import("./front.js"), import("node:crypto")]);
  const front = new Front({
    vhosts: paths.vhosts,
    generation: await readGeneration(host, paths),
    token: randomBytes(24).toString("hex"),
    size: 2,
    // Optimising what runs once takes twice the time of the page itself.
    settings: (await codeCacheSettings(host, codeCache)) ?? ["opcache.enable=0"],
    onEvent: () => {},
  });
  return { front, port: await front.listen(0, "127.0.0.1") };
}

async function problems(served: Served, server: PhpServer, looked: () => Promise<void>): Promise<readonly HttpProblem[]> {
  const found: HttpProblem[] = [];
  try {
    await looked();
  } catch (error) {
    found.push({ message: messageOf(error), blocks: true });
  }
  const running = await runningServe(served.host, served.paths);
  if (!running) {
    found.push({ message: `no sites of ${server.name} are served now: start provision serve --port ${server.http_port}`, blocks: false });
  } else if (running.port !== server.http_port) {
    found.push({
      message: `provision serve of ${server.name} listens on port ${running.port}, but links are made for http_port ${server.http_port}`,
      blocks: false,
    });
  }
  return found;
}

function phpStep(php: string, looked: () => Promise<void>): Step {
  return {
    id: "http/php",
    title: `Look at ${php}`,
    async check() {
      await looked();
      return { changes: [] };
    },
    apply: async () => null,
  };
}

async function lookAtPhp(host: Host, php: string): Promise<void> {
  const { stdout } = await host.run([php, "-n", "-r", "echo PHP_VERSION;"], { timeout: 30_000 });
  const [major = 0, minor = 0] = stdout.split(".").map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_PHP.split(".").map(Number);
  if (!(major > oldestMajor || (major === oldestMajor && minor >= oldestMinor))) {
    throw new ProvisionError("CONFIGURATION", `${host.name}: ${php} is PHP ${stdout}; provision serve needs ${OLDEST_PHP} or later`);
  }
}
