import type { Changes, Value } from "../context/edit.js";
import { saveDelete, save as saved } from "../context/save.js";
import type { Context, ContextType, Site } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Lock, Operation } from "../core/step.js";
import { gone } from "../steps/files.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { contextFile } from "./parts/contexts.js";
import type { Services } from "./services.js";

export interface SaveArgs {
  readonly name: string;
  readonly type: ContextType;
  readonly changes: Changes;
}

interface Inputs {
  readonly name: string;
  readonly type: ContextType;
  /** Pairs; null: unset. */
  readonly changes: readonly (readonly [string, Value | null])[];
  readonly baseline: Baseline;
}

/** Names and quotas are the hub's: no two contexts are saved at once. */
function locks(type: ContextType, name: string): readonly Lock[] {
  return [
    { kind: "hub", name: "hub", mode: "exclusive" },
    { kind: type, name, mode: "exclusive" },
  ];
}

/** Writes an alias file after it was checked against the whole hub. */
export const save: Operation<SaveArgs, Inputs, Services> = {
  name: "save",
  recovery: "automatic",

  async prepare({ name, type, changes }, use) {
    const { context, path } = await saved(use.hub, use.store, name, { type, changes });
    refuseMove(await use.store.read(name).catch(() => undefined), context);
    return {
      inputs: {
        name,
        type,
        changes: [...changes].map(([key, value]) => [key, value ?? null] as const),
        baseline: await baselineOf(use.local, [path]),
      },
      locks: locks(type, name),
    };
  },

  steps({ name, type, changes }, use) {
    const again = new Map(changes.map(([key, value]) => [key, value ?? undefined] as const));
    return [contextFile(use, name, type, again, { id: "context", title: `Save ${name}` })];
  },

  confirm: ({ baseline }, use) => differences(use.local, baseline),
  state: async ({ name }, use) => ((await use.store.source(name)) === undefined ? `${name} does not exist` : `${name} is as it was`),
};

/** What an installed site stands on is not changed by a word in its file: its data would stay behind. */
function refuseMove(before: Context | undefined, wanted: Context): void {
  if (before?.context_type !== "site" || wanted.context_type !== "site" || before.generation === undefined) return;
  for (const key of ["uri", "platform", "db_server", "profile", "generation"] as const satisfies readonly (keyof Site)[]) {
    if (before[key] === wanted[key]) continue;
    throw new ProvisionError("REFUSED", `${wanted.name} is installed: its ${key} cannot be changed by save`, {
      why: [`it is ${String(before[key])}; what belongs to it would stay there`],
      state: "nothing was changed",
    });
  }
}

interface DeleteInputs {
  readonly name: string;
  readonly type: ContextType;
  readonly baseline: Baseline;
}

/** `save --delete`: takes the alias file away, never what it is about. */
export const deleteContext: Operation<{ readonly name: string }, DeleteInputs, Services> = {
  name: "delete-context",
  recovery: "automatic",

  async prepare({ name }, use) {
    await saveDelete(use.hub, use.store, name);
    // A file that cannot be read can be removed all the same.
    const context = await use.store.read(name).catch(() => undefined);
    if (context?.context_type === "site" && context.generation !== undefined) {
      throw new ProvisionError("IN_USE", `${name} is installed; its database and files would be lost sight of`, {
        next: [`provision delete ${name}`],
      });
    }
    return {
      inputs: { name, type: context?.context_type ?? "server", baseline: await baselineOf(use.local, [use.layout.contextFile(name)]) },
      locks: locks(context?.context_type ?? "server", name),
    };
  },

  steps: ({ name }, use) => [
    gone(use.local, [use.layout.secretsFile(name), use.layout.contextFile(name)], {
      id: "context/remove",
      title: `Remove ${name}`,
      phase: "finish",
    }),
  ],
  confirm: ({ baseline }, use) => differences(use.local, baseline),
};
