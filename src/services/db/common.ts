import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { isThisMachine } from "../../context/schema.js";
import { ProvisionError } from "../../core/errors.js";
import { phpProgram } from "../php.js";
import type { DbSetup } from "./index.js";

/** Sites would only find out when they are installed. A machine of databases alone needs no PHP. Rejects with SERVICE_UNAVAILABLE, naming the Debian package. */
export async function requirePhpDriver({ host, server }: DbSetup, extension: string, debian: string): Promise<void> {
  if (server.http_service_type === "none" && !isThisMachine(server.remote_host ?? "localhost")) return;
  const php = phpProgram(server.php);
  const code = `echo PHP_MAJOR_VERSION, '.', PHP_MINOR_VERSION, ' ', (int) extension_loaded('${extension}');`;
  const { stdout } = await host.run([php, "-d", "display_errors=stderr", "-d", "log_errors=0", "-r", code], { timeout: 60_000 });
  const [version, loaded] = stdout.split(" ");
  if (loaded === "1") return;
  throw new ProvisionError(
    "SERVICE_UNAVAILABLE",
    `${host.name}: ${php} (PHP ${version}) has no ${extension}, so sites cannot use their databases`,
    {
      next: [`apt-get install php${version}-${debian}`],
    },
  );
}

/** Database and account of a proof: the same for a server of a hub each time, so that the next one takes away what a killed one left. */
export function proofNames({ secrets: { layout }, server }: DbSetup): { readonly database: string; readonly user: string } {
  const hash = createHash("sha256").update(`${layout.root}\n${server.name}`).digest("hex").slice(0, 8);
  return { database: `provision_proof_${hash}`, user: `provision_proof_${hash}` };
}

const LOOKS = 3;
const BETWEEN = 300;
const PATIENCE = 30_000;

/**
 * Waits until nobody is logged in at several looks in a row: a request that has read the old settings.php logs in a moment later.
 * Rejects with IN_USE after half a minute.
 */
export async function untilNobody(sessions: () => Promise<readonly unknown[]>, signal: AbortSignal, server: string): Promise<void> {
  const deadline = Date.now() + PATIENCE;
  for (let quiet = 0; quiet < LOOKS; ) {
    const { length } = await sessions();
    quiet = length === 0 ? quiet + 1 : 0;
    if (length > 0 && Date.now() > deadline)
      throw new ProvisionError("IN_USE", `${length} connections to the database server of ${server} still use a former account`, {
        next: ["provision verify @site    # when they are gone"],
      });
    if (quiet < LOOKS) await sleep(BETWEEN, undefined, { signal });
  }
}
