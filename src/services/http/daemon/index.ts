import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf, ProvisionError } from "../../../core/errors.js";
import type { Step } from "../../../core/step.js";
import { type Argv, type Host, isAway } from "../../../host/host.js";
import { directories } from "../../../steps/files.js";
import { argvOf, fpmSocket } from "../../php.js";
import { sudoersLine, sudoGrants } from "../../sudo.js";
import { ask } from "../ask.js";
import { configName } from "../config-name.js";
import type { HttpSetup } from "../index.js";
import { PHP_MARKER_PATH, portSuffix, splitUri } from "../routing.js";
import type { HttpAnswer, HttpNeed, HttpProblem, HttpRequest, HttpService } from "../service.js";
import { activateStep, exchangeParts, portOnDisk, restoreFiles, type Served, setAside } from "./activate.js";
import { findDaemon } from "./commands.js";
import type { Daemon, Facts } from "./daemon.js";
import { environmentPath, environmentStep, formerEnvironments } from "./environment.js";
import { readMarker } from "./marker.js";
import { type Place, placeOf } from "./place.js";

const REQUEST_TIMEOUT = 60_000;
const PROOF_TIMEOUT = 30_000;
const PHP_PROOF_TIMEOUT = 30_000;

/** A web server that runs by itself, is read by it what provision writes, and is reloaded by a command. */
export function daemonHttp(daemon: Daemon, { layout, locks, server, host, gathering, patience = PROOF_TIMEOUT }: HttpSetup): HttpService {
  const place = placeOf(layout, daemon.type, server);
  let found: Promise<Facts> | undefined;
  const facts = () => {
    found ??= findDaemon(host, daemon);
    return found;
  };
  const asRoot = (argv: Argv): Argv => (server.script_user === "root" ? argv : ["sudo", "-n", ...argv]);
  const { http_test_cmd: testCommand, http_restart_cmd: reloadCommand } = server;
  const served: Served = {
    host,
    daemon,
    place,
    server: server.name,
    user: server.script_user,
    patience,
    gathering,
    locks: locks ?? `${layout.state}/locks`,
    facts,
    test: async () => (testCommand === undefined ? asRoot(daemon.test((await facts()).program)) : argvOf(testCommand)),
    reload: async () => (reloadCommand === undefined ? asRoot(daemon.reload((await facts()).program)) : argvOf(reloadCommand)),
  };
  return {
    type: daemon.type,
    url: (uri, tls = false) => urlOf(place, uri, tls),
    serverSteps: () => serverSteps(served),
    siteFiles: (vhost) => daemon.siteFiles(place, vhost),
    noSiteFiles: (aliases, uri) => daemon.noSiteFiles(place, aliases, uri),
    activate: (id, title, files, more = {}) => activateStep(served, id, title, async () => files, more),
    exchange: (files) => exchangeParts(served, files),
    restore: (files) => restoreFiles(served, files),
    reload: (uris, command) => reloadPhp(served, uris, command ?? fpmCommand(server, asRoot)),
    request: (request) => requestSite(host, place, request),
    challenges: `${place.acme}/.well-known/acme-challenge`,
    passwordFile: (uri) => join(place.passwords, configName(uri)),
    logs: (uri) => {
      const log = join(place.logs, configName(uri));
      return { access: `${log}.access.log`, error: `${log}.error.log` };
    },
    environment: {
      file: (uri, tag) => environmentPath(served, uri, tag),
      write: (uri, tag, variables) => environmentStep(served, uri, tag, variables),
      removeFormer: (uri, tag) => formerEnvironments(served, uri, tag),
    },
    needs: () => needs(served, server),
    problems: () => problems(served, server),
  };
}

function urlOf(place: Place, uri: string, tls: boolean): string {
  const { host, prefix } = splitUri(uri);
  const scheme = tls ? "https" : "http";
  return `${scheme}://${host}${portSuffix(scheme, tls ? (place.tlsPort ?? 443) : place.port)}${prefix}`;
}

async function requestSite(machine: Host, place: Place, request: HttpRequest): Promise<HttpAnswer> {
  const { host, prefix } = splitUri(request.uri);
  const tls = request.tls === true;
  const port = tls ? (place.tlsPort ?? 443) : place.port;
  try {
    return await ask({
      from: machine,
      port,
      path: `${prefix}${request.path}`,
      method: request.method ?? "GET",
      headers: { host: `${host}${portSuffix(tls ? "https" : "http", port)}`, ...request.headers },
      ...(request.body === undefined ? {} : { body: request.body }),
      ...(tls ? { tls: host } : {}),
      timeout: REQUEST_TIMEOUT,
    });
  } catch (error) {
    // A machine that is away says so itself.
    if (error instanceof ProvisionError) throw error;
    throw new ProvisionError("SERVICE_UNAVAILABLE", `${urlOf(place, request.uri, tls)}${request.path} gave no answer`, {
      why: [messageOf(error)],
      cause: error,
    });
  }
}

function serverSteps(served: Served): readonly Step[] {
  const { host, daemon, place } = served;
  const at = (path: string, mode: number) => ({ path, ownership: { mode } });
  return [
    {
      id: "http/program",
      title: `Look at ${daemon.label}`,
      async check() {
        await served.facts();
        return { changes: [] };
      },
      apply: async () => null,
    },
    directories(
      host,
      [
        at(place.root, 0o711),
        at(place.before, 0o700),
        at(place.platforms, 0o711),
        at(place.vhosts, 0o711),
        at(place.subdirs, 0o711),
        at(place.after, 0o700),
        at(place.include, 0o711),
        at(place.logs, 0o750),
        at(place.passwords, 0o711),
        at(place.environments, 0o700),
        at(place.acme, 0o755),
        at(`${place.acme}/.well-known`, 0o755),
        at(`${place.acme}/.well-known/acme-challenge`, 0o755),
      ],
      { id: "http/directories", title: `Directories of ${daemon.label}` },
    ),
    ...defaultCertificate(served),
    activateStep(served, "http/server", `Configuration of ${daemon.label}`, async () => daemon.serverFiles(place, await served.facts())),
  ];
}

function defaultCertificate({ host, daemon, place }: Served): readonly Step[] {
  const pair = daemon.defaultCertificate(place);
  if (pair === undefined) return [];
  const { certificate, key } = pair;
  return [
    {
      id: "http/default-certificate",
      title: "Certificate that unknown names are shown",
      async check() {
        if ((await host.stat(certificate)) && (await host.stat(key))) return { changes: [] };
        const undo = [certificate, key].map((path) => ({ do: "restore_file", host: host.name, path, before: null }));
        return { changes: [`create ${certificate}`], undo };
      },
      async apply() {
        await host.run([
          ...(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "36500"] as const),
          ...["-subj", "/CN=default.invalid", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate],
        ]);
        await host.chmod(key, { mode: 0o600 });
        return null;
      },
    },
  ];
}

function fpmCommand(server: HttpSetup["server"], asRoot: (argv: Argv) => Argv): Argv {
  if (server.php_fpm_restart_cmd !== undefined) return argvOf(server.php_fpm_restart_cmd);
  const unit = server.php === undefined || server.php.startsWith("/") ? "php-fpm" : `php${server.php}-fpm`;
  return asRoot(["systemctl", "reload", unit]);
}

/** What PHP says of its pool. */
interface PhpMarker {
  /** Seconds since the epoch. */
  readonly started: number;
  readonly accepted: number;
}

async function readPhp(machine: Host, place: Place, uri: string): Promise<PhpMarker | undefined> {
  const { host } = splitUri(uri);
  try {
    const { status, body } = await ask({
      from: machine,
      port: place.port,
      path: PHP_MARKER_PATH,
      headers: { host: `${host}${portSuffix("http", place.port)}` },
      timeout: 10_000,
    });
    return status === 200 ? (JSON.parse(body) as PhpMarker) : undefined;
  } catch (error) {
    if (isAway(error)) throw error;
    return undefined;
  }
}

/** PHP-FPM starts its pools anew; each site's own PHP says that it was. */
async function reloadPhp(served: Served, uris: readonly string[], command: Argv): Promise<void> {
  const { host, place } = served;
  const before = new Map<string, PhpMarker>();
  for (const uri of uris) {
    const marker = await readPhp(host, place, uri);
    // A disabled site does not run PHP, and what does not answer will be found by who asks for its pages.
    if (marker) before.set(uri, marker);
  }
  // Pools tell their age in whole seconds.
  const newest = Math.max(0, ...[...before.values()].map(({ started }) => started));
  while (Math.floor(Date.now() / 1000) <= newest) await sleep(50);
  await host.run(command, { timeout: PHP_PROOF_TIMEOUT });
  const deadline = Date.now() + PHP_PROOF_TIMEOUT;
  for (const [uri, { started }] of before) {
    for (;;) {
      const now = await readPhp(host, place, uri);
      if (now && now.started !== started) break;
      if (Date.now() >= deadline)
        throw new ProvisionError("SERVICE_UNAVAILABLE", `PHP of ${uri} was not started anew by ${command.join(" ")}`, {
          why: [now ? `it runs since ${new Date(now.started * 1000).toISOString()}` : "it does not answer"],
        });
      await sleep(50);
    }
  }
}

async function needs(served: Served, server: HttpSetup["server"]): Promise<readonly HttpNeed[]> {
  const { host, daemon } = served;
  try {
    await served.facts();
  } catch (error) {
    if (!(error instanceof ProvisionError) || error.code !== "PROGRAM_MISSING") throw error;
    return [{ message: `${daemon.label} is not installed`, fix: `apt-get install ${daemon.package}` }];
  }
  const found: HttpNeed[] = [];
  const commands = [await served.test(), await served.reload()];
  if (!(await sudoGrants(host, commands)))
    found.push({
      message: `${server.script_user} may not test and reload ${daemon.label}`,
      fix: `in /etc/sudoers.d/provision: ${sudoersLine(server.script_user, commands)}`,
    });
  const fpm = server.php_fpm_listen ?? fpmSocket(server.php);
  if (server.php_pool === "shared" && fpm.startsWith("/") && !(await host.stat(fpm)))
    found.push({
      message: `PHP-FPM does not listen at ${fpm}`,
      fix: `apt-get install php-fpm    # or: provision save ${server.name} --php_fpm_listen=…`,
    });
  return found;
}

async function problems(served: Served, server: HttpSetup["server"]): Promise<readonly HttpProblem[]> {
  const { host, daemon, place } = served;
  const found: HttpProblem[] = [];
  const blocks = (message: string) => found.push({ message, blocks: true });
  try {
    await served.facts();
  } catch (error) {
    return [{ message: messageOf(error), blocks: true }];
  }
  if (!(await host.stat(place.top))) {
    blocks(`${daemon.label} has no configuration yet: provision verify ${server.name}`);
    return found;
  }
  const port = await portOnDisk(served);
  if (port !== place.port)
    blocks(`http_port is ${place.port}, and ${daemon.label} was configured for ${port}: provision verify ${server.name}`);
  const { state } = await readMarker(host, port);
  if (state === "down")
    blocks(
      `${daemon.label} of ${server.name} does not answer on port ${port}: start it; it has to read ${place.top}: ${daemon.include(place)}`,
    );
  if (state === "foreign") blocks(`what answers on port ${port} does not read ${place.top}: ${daemon.include(place)}`);
  const commands = [await served.test(), await served.reload()];
  if (!(await sudoGrants(host, commands))) {
    const line = sudoersLine(server.script_user, commands);
    blocks(`${server.script_user} may not test and reload ${daemon.label}; in /etc/sudoers.d/provision: ${line}`);
  }
  const fpm = server.php_fpm_listen ?? fpmSocket(server.php);
  if (fpm.startsWith("/") && !(await host.stat(fpm)))
    found.push({ message: `PHP-FPM does not listen at ${fpm}: apt-get install php-fpm, or say php_fpm_listen`, blocks: false });
  for (const name of await setAside(served))
    found.push({ message: `${name} answers 503, for its configuration did not pass: provision verify @${name}`, blocks: false });
  return found;
}
