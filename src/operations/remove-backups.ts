import { join } from "node:path";
import type { Operation, Step } from "../core/step.js";
import { backupsOf } from "./parts/stored-backups.js";
import type { Services } from "./services.js";

export interface RemoveBackupsArgs {
  /** Name of the site's directory below backups/. */
  readonly of: string;
  /** Ids, each with the reason why it goes. */
  readonly remove: Readonly<Record<string, string>>;
}

interface Inputs extends RemoveBackupsArgs {}

/** `backups prune` and `backups delete`: each goes whole, by a rename first, so that half of one is never taken for a backup. */
export const removeBackups: Operation<RemoveBackupsArgs, Inputs, Services> = {
  name: "remove-backups",
  recovery: "automatic",

  async prepare(args, use) {
    const named = (await backupsOf(use, args.of)).map(({ manifest }) => manifest?.site);
    const site = named.find((name) => name !== undefined) ?? `@${args.of}`;
    return {
      inputs: args,
      locks: [
        { kind: "hub", name: "hub", mode: "shared" },
        // Nobody makes, reads or restores one of them meanwhile.
        { kind: "site", name: site, mode: "exclusive" },
      ],
    };
  },

  steps: ({ of, remove }, use) => [removeStep(use, join(use.layout.backups, of), remove)],
  confirm: async () => [],
};

function removeStep(use: Services, all: string, remove: Readonly<Record<string, string>>): Step<null> {
  const places = Object.entries(remove).map(([id, why]) => ({ id, why, at: join(all, id), aside: join(all, `.${id}.removed`) }));
  return {
    id: "backups/remove",
    title: `Remove backups in ${all}`,
    phase: "finish",
    async check() {
      const changes: string[] = [];
      for (const { id, why, at, aside } of places)
        if ((await use.local.stat(at)) || (await use.local.stat(aside))) changes.push(`remove ${id} (${why})`);
      return { changes };
    },
    async apply() {
      for (const { at, aside } of places) {
        if (await use.local.stat(at)) {
          await use.local.remove(aside);
          await use.local.rename(at, aside);
        }
        await use.local.remove(aside);
      }
      await use.local.removeEmpty(all);
      return null;
    },
  };
}
