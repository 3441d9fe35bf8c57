import { appendFileSync, chmodSync, mkdirSync, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { ask } from "../../src/services/http/ask.js";
import type { HttpAnswer } from "../../src/services/http/service.js";
import type { Addresses } from "./addresses.js";
import { TestHub } from "./hub.js";
import { freePort } from "./php-server.js";
import { missingSshd, type Sshd, startSshd } from "./sshd.js";
import { type Fpm, missing, startFpm, WEB_DAEMONS, type WebServer } from "./web-servers.js";

/** Another machine, as far as a hub can tell: an address with an sshd of its own, and nginx or Apache, PHP-FPM and SQLite below a root of its own. */
export interface TestSpoke {
  /** With its `@`. */
  readonly name: string;
  /** `aegir_root`. */
  readonly root: string;
  readonly sshd: Sshd;
  readonly fpm: Fpm;
  readonly type: "nginx" | "apache";
  readonly daemon: WebServer;
  readonly port: number;
  path(relative: string): string;
  get(host: string, path: string): Promise<HttpAnswer>;
}

export interface SpokeHub {
  readonly hub: TestHub;
  readonly spokes: readonly TestSpoke[];
  remove(): Promise<void>;
}

/** Why there can be no spoke here; undefined when there can. */
export function missingSpoke(type: "nginx" | "apache"): string | undefined {
  return missingSshd() ?? missing(type);
}

/**
 * A hub with spokes @web1, @web2 …, verified, each an address of loopback. `context`: what is saved of the server beside how it is
 * reached and what serves there. `addresses`: those that they have instead, of which each programs' own connections come, too.
 */
export async function spokeHub(
  types: readonly ("nginx" | "apache")[],
  context: readonly string[] = ["--db_service_type=sqlite"],
  addresses?: Addresses,
): Promise<SpokeHub> {
  const hub = await TestHub.empty();
  // The daemons' own users have to come through.
  chmodSync(hub.base, 0o755);
  const ends: (() => unknown)[] = [() => hub.remove()];
  const remove = async () => {
    for (const end of ends.toReversed()) await end();
  };
  try {
    const spokes: TestSpoke[] = [];
    for (const [index, type] of types.entries()) {
      const name = `web${index + 1}`;
      const at = addresses?.others[index];
      const address = at?.address ?? `127.0.0.${index + 2}`;
      const sshd = await startSshd({ address, ...(at ? { within: at.within } : {}) });
      ends.push(() => sshd.remove());
      appendFileSync(hub.path("known_hosts"), readFileSync(sshd.knownHosts));
      const root = join(hub.base, name);
      mkdirSync(root, { mode: 0o755 });
      const base = join(hub.base, `${name}-daemons`);
      const fpm: Fpm = await startFpm(base, at);
      ends.push(() => fpm.stop());
      const port = await freePort();
      const commands = WEB_DAEMONS[type].commands(base);
      await hub.ok([
        ...["save", `@${name}`, "--context_type=server", `--remote_host=${address}`, `--script_user=${userInfo().username}`],
        ...[`--ssh_port=${sshd.port}`, `--ssh_identity=${sshd.identity}`, `--aegir_root=${root}`, `--http_port=${port}`],
        ...[`--http_service_type=${type}`, `--php_fpm_listen=${fpm.listen}`],
        ...[`--http_test_cmd=${commands.http_test_cmd}`, `--http_restart_cmd=${commands.http_restart_cmd}`],
        ...[`--php_fpm_restart_cmd=${fpm.command}`, `--php_fpm_test_cmd=${fpm.test}`, ...context],
        ...(process.getuid?.() === 0 ? ["--web_group=www-data"] : []),
      ]);
      await hub.ok(`verify @${name}`);
      const daemon = await WEB_DAEMONS[type].start(base, join(root, `config/${name}/${type}.conf`), port, at);
      ends.push(() => daemon.stop());
      spokes.push({
        ...{ name: `@${name}`, root, sshd, fpm, type, daemon, port },
        path: (relative) => join(root, relative),
        get: (host, path) =>
          ask({ port, address: at?.address ?? "127.0.0.1", path, headers: { host: `${host}:${port}` }, timeout: 20_000 }),
      });
    }
    return { hub, spokes, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
