import { join } from "node:path";
import { withInnerLock } from "../../../core/lock.js";
import { Secret } from "../../../core/secret.js";
import type { Run, Step } from "../../../core/step.js";
import { file, gone } from "../../../steps/files.js";
import { configName } from "../config-name.js";
import type { Variables } from "../service.js";
import { lockName, newGeneration, type Served } from "./activate.js";

const TAG = /^[0-9a-f]{12}$/;

/** `~` is no letter of a host name: nobody else's file has this name. */
export function environmentPath({ place }: Pick<Served, "place">, uri: string, tag: string): string {
  return join(place.environments, `${configName(uri)}~${tag}`);
}

/** See HttpService.environment. A file that changes in place is read by the daemon with the next activation, which sees that it has to reload. */
export function environmentStep(served: Served, uri: string, tag: string, variables: (run: Run) => Promise<Variables>): Step {
  const path = environmentPath(served, uri, tag);
  const step = file(
    served.host,
    path,
    async (run) => {
      const lines = Object.entries(await variables(run)).map(([name, value]) => served.daemon.environmentLine(name, value.reveal()));
      return new Secret(`${lines.join("\n")}\n`);
    },
    { mode: 0o600 },
    { id: "http/environment", title: `What PHP of ${uri} is told` },
  );
  return {
    ...step,
    async apply(run) {
      const there = await served.host.stat(path);
      await step.apply(run);
      if (there) await withInnerLock(served.locks, lockName(served), () => newGeneration(served));
      return null;
    },
  };
}

/** All files of the site but the one with this tag are gone; after the commit. */
export function formerEnvironments(served: Served, uri: string, tag: string | undefined): Step {
  const { host, place } = served;
  const former = async () => {
    const own = `${configName(uri)}~`;
    return ((await host.list(place.environments)) ?? [])
      .filter((name) => name.startsWith(own) && TAG.test(name.slice(own.length)) && name.slice(own.length) !== tag)
      .map((name) => join(place.environments, name));
  };
  const at = { id: "http/environment-former", title: `What PHP of ${uri} was told before`, phase: "finish" } as const;
  return {
    ...at,
    check: async (run) => gone(host, await former(), at).check(run),
    apply: async (run) => gone(host, await former(), at).apply(run),
  };
}
