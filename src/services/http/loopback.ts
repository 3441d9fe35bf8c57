import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { messageOf, ProvisionError } from "../../core/errors.js";
import { codeCacheSettings } from "../../host/code-cache.js";
import type { Host } from "../../host/host.js";
import { ask } from "./ask.js";
import { portSuffix, splitUri } from "./routing.js";
import type { HttpAnswer, Vhost } from "./service.js";

const TIMEOUT = 120_000;

export interface LoopbackSite {
  readonly vhost: Vhost;
  /** Chosen in sites.php instead of the one that visitors get; undefined: there is no other at this place. */
  readonly generation: string | undefined;
  /** Of the web server that will serve it: what links are made of. */
  readonly port: number;
  /** Directory for compiled code of this machine (host/code-cache.ts), used when it is there. */
  readonly codeCache?: { readonly host: Host; readonly directory: string } | undefined;
  /** Ends a request that takes too long. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A site as PHP shows it to this machine alone, before any web server knows of it: PHP's own server on a free port of loopback with this
 * site and no other, whichever web server will serve it. `action` is given a way to fetch pages (paths begin with `/`); all of it is gone when it ends.
 *
 * Rejects with SERVICE_UNAVAILABLE when PHP does not start or gives no answer, PROGRAM_MISSING.
 */
export async function onLoopback<T>(site: LoopbackSite, action: (get: (path: string) => Promise<HttpAnswer>) => Promise<T>): Promise<T> {
  const [{ Front }, { siteFiles }] = await Promise.all([import("./php/front.js"), import("./php/vhost-files.js")]);
  const { vhost, generation, codeCache } = site;
  const compiled = codeCache && (await codeCacheSettings(codeCache.host, codeCache.directory));
  const directory = mkdtempSync(join(tmpdir(), "provision-loopback-"));
  const heard: string[] = [];
  const front = new Front({
    vhosts: directory,
    generation: "loopback",
    token: randomBytes(24).toString("hex"),
    size: 1,
    settings: compiled ?? ["opcache.enable=0"],
    ...(generation === undefined ? {} : { environment: { PROVISION_GENERATION: generation } }),
    onEvent: (event) => {
      if (event.type === "output") heard.push(event.line);
      if (event.type === "problem") heard.push(event.message);
    },
  });
  try {
    // By http and under its own name: where a visitor would be sent instead is not what is asked here.
    const plain: Vhost = { ...vhost, enabled: true, redirection: undefined, tls: undefined, basicAuth: undefined };
    for (const { path, content = "" } of siteFiles(directory, plain)) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content);
    }
    const port = await front.listen(0, "127.0.0.1");
    const { host, prefix } = splitUri(vhost.uri);
    return await action(async (path) => {
      try {
        return await ask({
          port,
          path: `${prefix}${path}`,
          headers: { host: `${host}${portSuffix("http", site.port)}` },
          timeout: TIMEOUT,
          ...(site.signal === undefined ? {} : { signal: site.signal }),
        });
      } catch (error) {
        throw new ProvisionError("SERVICE_UNAVAILABLE", `${vhost.uri}${path} gave no answer on loopback`, {
          why: [messageOf(error), ...heard.slice(-3)],
          cause: error,
        });
      }
    });
  } finally {
    await front.close();
    rmSync(directory, { recursive: true, force: true });
  }
}
