import { resolveSite } from "../context/references.js";
import type { Operation } from "../core/step.js";
import { detectCore } from "../engines/index.js";
import { type BackupInputs, type BackupOptions, backupData, backupInputs, backupSteps, refuseNoRoom } from "./parts/backup.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { siteLocks } from "./parts/locks.js";
import { generationOf, siteState } from "./parts/preflight.js";
import { type SiteInputs, siteInputs } from "./parts/site.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Inputs extends SiteInputs {
  readonly backup: BackupInputs;
  readonly baseline: Baseline;
}

export interface BackupArgs extends BackupOptions {
  readonly name: string;
}

/** A backup of a site as it is, while it serves. One that was cut short leaves nothing behind, by itself. */
export const backup: Operation<BackupArgs, Inputs, Services> = {
  name: "backup",
  recovery: "automatic",

  async prepare({ name, ...options }, use, id) {
    const all = await resolveSite(use.store, use.settings, name, "first");
    refuseOtherUser(all.server);
    const generation = generationOf(all.site);
    const host = use.host(all.server);
    const core = await detectCore(host, use.rootOf(all));
    const made = backupInputs(use, all.site.uri, id, "backup", options);
    return {
      inputs: {
        ...(await siteInputs(use, all, core, generation)),
        backup: made,
        baseline: await baselineOf(use.local, [made.partial]),
      },
      locks: siteLocks(all),
    };
  },

  preflight: refuseNoRoom,
  steps: (inputs, use) => backupSteps(inputs, inputs.backup, use),
  confirm: ({ baseline }, use) => differences(use, baseline),
  state: (inputs, use) => siteState(inputs, use),
  data: async (inputs, run, use) => backupData(backupSteps(inputs, inputs.backup, use), run.out),
  lines: ({ backup: id, path, bytes }) => [`Backup ${String(id)}`, `In     ${String(path)} (${size(Number(bytes))})`],
};

function size(bytes: number): string {
  return bytes < 1024 ** 2 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}
