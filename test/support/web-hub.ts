import { chmodSync } from "node:fs";
import { join } from "node:path";
import { ask } from "../../src/services/http/ask.js";
import type { HttpAnswer } from "../../src/services/http/service.js";
import { TestHub } from "./hub.js";
import { type Fpm, startFpm, WEB_DAEMONS, type WebServer } from "./web-servers.js";

/** A hub whose sites are served by a real nginx or Apache, and PHP-FPM. */
export interface WebHub {
  readonly hub: TestHub;
  readonly type: "nginx" | "apache";
  readonly fpm: Fpm;
  readonly daemon: WebServer;
  /** Another one, after the first was stopped or killed. */
  startAgain(): Promise<WebServer>;
  get(host: string, path: string, headers?: Readonly<Record<string, string>>): Promise<HttpAnswer>;
  /** Everything ends and goes. */
  remove(): Promise<void>;
}

/** With @platform_p built from the core at this path, or from the fake core. */
export async function webHub(type: "nginx" | "apache", core?: string): Promise<WebHub> {
  const hub = await TestHub.nowhere();
  // The daemons' own users have to come through.
  chmodSync(hub.base, 0o755);
  const base = join(hub.base, "daemons");
  const fpm = await startFpm(base);
  try {
    await hub.ok(["init", "--local", hub.root, "--port", String(hub.port)], { cwd: hub.base });
    const commands = WEB_DAEMONS[type].commands(base);
    await hub.ok([
      ...["save", "@server_master", `--http_service_type=${type}`, `--php_fpm_listen=${fpm.listen}`],
      ...[
        `--http_test_cmd=${commands.http_test_cmd}`,
        `--http_restart_cmd=${commands.http_restart_cmd}`,
        `--php_fpm_restart_cmd=${fpm.command}`,
        `--php_fpm_test_cmd=${fpm.test}`,
      ],
      ...(process.getuid?.() === 0 ? ["--web_group=www-data"] : []),
    ]);
    await hub.ok("verify @server_master");
    const top = hub.path(`config/server_master/${type}.conf`);
    let daemon = await WEB_DAEMONS[type].start(base, top, hub.port);
    await hub.savePlatform("p", core);
    await hub.ok("verify @platform_p");
    return {
      hub,
      type,
      fpm,
      get daemon() {
        return daemon;
      },
      async startAgain() {
        daemon = await WEB_DAEMONS[type].start(base, top, hub.port);
        return daemon;
      },
      get: (host, path, headers = {}) =>
        ask({ port: hub.port, path, headers: { host: `${host}:${hub.port}`, ...headers }, timeout: 20_000 }),
      async remove() {
        await daemon.stop();
        await fpm.stop();
        hub.remove();
      },
    };
  } catch (error) {
    await fpm.stop();
    hub.remove();
    throw error;
  }
}
