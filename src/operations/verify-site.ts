import { resolveSite } from "../context/references.js";
import { ProvisionError } from "../core/errors.js";
import type { Operation } from "../core/step.js";
import { detectCore } from "../engines/index.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { siteLocks } from "./parts/locks.js";
import { refuseConflicts, siteState } from "./parts/preflight.js";
import {
  basicAuthSteps,
  clientLink,
  databaseOf,
  filesLink,
  generationDirectories,
  hashSalt,
  publish,
  type SiteInputs,
  settingsFile,
  siteDirectories,
  siteEntries,
  siteInputs,
  sitePaths,
} from "./parts/site.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Inputs extends SiteInputs {
  readonly baseline: Baseline;
}

/** Makes everything of an installed site as its context says: directories, modes, settings, names, vhost. A second run changes nothing. */
export const verifySite: Operation<{ readonly name: string }, Inputs, Services> = {
  name: "verify-site",
  recovery: "automatic",

  async prepare({ name }, use) {
    const all = await resolveSite(use.store, use.settings, name);
    refuseOtherUser(all.server);
    const { generation } = all.site;
    if (generation === undefined) {
      throw new ProvisionError("NOT_INSTALLED", `${name} is not installed`, {
        state: "a context without a site",
        next: [`provision install ${name}`],
      });
    }
    await refuseConflicts(use, all.site);
    const core = await detectCore(use.host(all.server), use.layout.resolve(all.platform.root));
    const inputs = await siteInputs(use, all, core, generation);
    if (!(await use.db(all.dbServer).exists(databaseOf(inputs, use, all.dbServer)))) {
      throw new ProvisionError("NOT_INSTALLED", `the database of ${name} is gone`, {
        state: `its files are in ${inputs.paths.root}`,
        next: [`provision delete ${name} --no-backup --yes    # takes away what is left`],
      });
    }
    return { inputs: { ...inputs, baseline: await baselineOf(use.host(all.server), sitePaths(inputs, use)) }, locks: siteLocks(all) };
  },

  steps(inputs, use) {
    const salt = hashSalt(inputs, use);
    return [
      generationDirectories(inputs, use),
      siteDirectories(inputs, use),
      salt,
      settingsFile(inputs, use, () => use.db(inputs.dbServer).access(databaseOf(inputs, use, inputs.dbServer)), salt),
      filesLink(inputs, use),
      siteEntries(inputs, use),
      clientLink(inputs, use),
      ...basicAuthSteps(inputs, use),
      publish(inputs, use, inputs.site.site_enabled),
    ];
  },

  confirm: ({ server, baseline }, use) => differences(use.host(server), baseline),
  state: (inputs, use) => siteState(inputs, use),
};
