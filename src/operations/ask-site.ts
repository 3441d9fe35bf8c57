import { resolveSite } from "../context/references.js";
import { ProvisionError } from "../core/errors.js";
import { takeLocks } from "../core/lock.js";
import type { Stop } from "../core/stop.js";
import type { Engine, SiteCode } from "../engines/engine.js";
import { detectCore } from "../engines/index.js";
import { HostError } from "../host/host.js";
import { siteLocks } from "./parts/locks.js";
import { generationOf } from "./parts/preflight.js";
import { type SiteInputs, siteCode, siteInputs } from "./parts/site.js";
import { interrupted } from "./run.js";
import { refuseOtherUser, type Services } from "./services.js";

export interface AskedSite extends SiteInputs {
  readonly engine: Engine;
  readonly code: SiteCode;
}

/**
 * Gives an installed site to `ask`, for what is the site's own business (login link, cron): no steps, no journal,
 * nothing to undo. The site is locked against operations that change it (shared, so that two may ask), and an
 * interrupted operation on it is refused, since nobody knows in which state it would be asked.
 */
export async function askSite<T>(
  use: Services,
  name: string,
  command: string,
  wait: number,
  stop: Stop,
  ask: (site: AskedSite) => Promise<T>,
): Promise<T> {
  const all = await resolveSite(use.store, use.settings, name, "first");
  refuseOtherUser(all.server);
  const locks = siteLocks(all).map((lock) => ({ ...lock, mode: "shared" }) as const);
  const held = await takeLocks(use.operations.locks, locks, { command, operation: "none" }, wait, stop.signal);
  use.scope.hold(held);
  use.scope.signal = stop.signal;
  use.scope.kill = stop.now;
  try {
    const [open] = use.operations.interrupted([name]);
    if (open) throw interrupted(open);
    const generation = generationOf(all.site);
    const core = await detectCore(use.host(all.server), use.rootOf(all));
    const inputs = await siteInputs(use, all, core, generation);
    return await ask({ ...inputs, engine: use.engine(core.engine), code: siteCode(inputs, use) });
  } catch (error) {
    if (!stop.reason && error instanceof HostError && error.reached === "unknown")
      throw error.with({
        state: `how far ${command} came there is not known; provision has changed nothing of ${name}`,
        next: [`provision ${command} ${name}    # once the machine is reached again`],
      });
    // A program that we ended ourselves did not fail.
    if (!stop.reason || !(error instanceof ProvisionError)) throw error;
    throw new ProvisionError("STOPPED", `${command} was stopped by ${stop.reason.label}`, { why: error.why, cause: error });
  } finally {
    use.scope.hold(undefined);
    use.scope.signal = undefined;
    held.release();
  }
}
