import { resolveSite } from "../context/references.js";
import type { Operation } from "../core/step.js";
import { detectCore } from "../engines/index.js";
import { type Baseline, differences } from "./parts/baseline.js";
import { refuseDown } from "./parts/cluster.js";
import { contextFile } from "./parts/contexts.js";
import { siteLocks } from "./parts/locks.js";
import { generationOf, siteState } from "./parts/preflight.js";
import { publish, type SiteInputs, siteBaseline, siteInputs } from "./parts/site.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Inputs extends SiteInputs {
  readonly baseline: Baseline;
}

/** `enable` and `disable`: what visitors get, and the context that says so. */
export function setEnabled(enabled: boolean): Operation<{ readonly name: string }, Inputs, Services> {
  return {
    name: enabled ? "enable" : "disable",
    recovery: "automatic",

    async prepare({ name }, use) {
      const all = await resolveSite(use.store, use.settings, name, "all");
      refuseOtherUser(all.server);
      await refuseDown(all, use);
      const generation = generationOf(all.site);
      const core = await detectCore(use.host(all.server), use.rootOf(all));
      const inputs = await siteInputs(use, all, core, generation);
      return { inputs: { ...inputs, baseline: await siteBaseline(inputs, use) }, locks: siteLocks(all) };
    },

    steps(inputs, use) {
      return [
        publish(inputs, use, enabled),
        contextFile(use, inputs.site.name, "site", new Map([["site_enabled", enabled ? undefined : false]]), {
          id: "context",
          title: `Save ${inputs.site.name}`,
          phase: "finish",
        }),
      ];
    },

    confirm: ({ baseline }, use) => differences(use, baseline),
    state: (inputs, use) => siteState(inputs, use),
  };
}
