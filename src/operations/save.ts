import type { Changes, Value } from "../context/edit.js";
import { MASTER_PASSWORD } from "../context/master-db.js";
import { saveDelete, save as saved } from "../context/save.js";
import type { Context, ContextType, Site } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Secret } from "../core/secret.js";
import type { Lock, Operation, Step } from "../core/step.js";
import { file, gone } from "../steps/files.js";
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
  /** Keys of secrets to write; what they are is in no journal. */
  readonly secrets: readonly string[];
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
export const save: Operation<SaveArgs, Inputs, Services> = saveWith(new Map());

/** The same, with secrets that only this process knows: a journal has their names, and `resume` cannot write them. */
export function saveWith(secrets: ReadonlyMap<string, Secret>): Operation<SaveArgs, Inputs, Services> {
  return {
    name: "save",
    recovery: "automatic",

    async prepare({ name, type, changes }, use) {
      const { context, path } = await saved(use.hub, use.store, name, { type, changes });
      const before = await use.store.read(name).catch(() => undefined);
      refuseMove(before, context);
      await refuseOtherDatabases(before, context, use);
      if (context.context_type === "server" && context.password_command !== undefined && secrets.has(MASTER_PASSWORD))
        throw new ProvisionError("USAGE", `${name} has a password_command, and a password is given beside it`, {
          next: [`provision save ${name} --unset=password_command …    # or let the command alone say it`],
        });
      return {
        inputs: {
          name,
          type,
          changes: [...changes].map(([key, value]) => [key, value ?? null] as const),
          secrets: [...secrets.keys()],
          baseline: await baselineOf(use.local, [path, use.layout.secretsFile(name)]),
        },
        locks: locks(type, name),
      };
    },

    steps({ name, type, changes, secrets: keys }, use) {
      const again = new Map(changes.map(([key, value]) => [key, value ?? undefined] as const));
      return [
        ...(keys.length > 0 ? [secretsFile(name, keys, secrets, use)] : []),
        contextFile(use, name, type, again, { id: "context", title: `Save ${name}` }),
      ];
    },

    confirm: ({ baseline }, use) => differences(use, baseline),
    state: async ({ name }, use) => ((await use.store.source(name)) === undefined ? `${name} does not exist` : `${name} is as it was`),
  };
}

function secretsFile(name: string, keys: readonly string[], known: ReadonlyMap<string, Secret>, use: Services): Step {
  return file(
    use.local,
    use.layout.secretsFile(name),
    async () => {
      const missing = keys.find((key) => !known.has(key));
      if (missing !== undefined)
        throw new ProvisionError("REFUSED", `${missing} of ${name} was not kept: only the command that was given it could write it`, {
          next: ["abort this operation and give the save again"],
        });
      return use.secrets.changed(name, known);
    },
    { mode: 0o600 },
    { id: "secrets", title: `Secrets of ${name}` },
  );
}

/** Sites that are installed have their databases on the server as it is. */
async function refuseOtherDatabases(before: Context | undefined, wanted: Context, use: Services): Promise<void> {
  if (before?.context_type !== "server" || wanted.context_type !== "server") return;
  const { db_service_type: was } = before;
  if (was === "none" || wanted.db_service_type === "none" || was === wanted.db_service_type) return;
  const { contexts } = await use.store.load();
  const site = contexts.find((one) => one.context_type === "site" && one.generation !== undefined && one.db_server === wanted.name);
  if (site)
    throw new ProvisionError("REFUSED", `${wanted.name} has databases of installed sites: its db_service_type cannot be changed by save`, {
      why: [`${site.name} is installed with ${was}`],
      state: "nothing was changed",
      next: [`make another server context for ${wanted.db_service_type}, and give it to new sites as db_server`],
    });
}

/** What an installed site stands on is not changed by a word in its file: its data would stay behind. */
function refuseMove(before: Context | undefined, wanted: Context): void {
  if (before?.context_type !== "site" || wanted.context_type !== "site" || before.generation === undefined) return;
  for (const key of [
    "uri",
    "platform",
    "db_server",
    "profile",
    "generation",
    "db_name",
    "db_user",
  ] as const satisfies readonly (keyof Site)[]) {
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
  confirm: ({ baseline }, use) => differences(use, baseline),
};
