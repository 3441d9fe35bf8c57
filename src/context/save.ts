import { ProvisionError } from "../core/errors.js";
import { rewrite } from "./edit.js";
import type { Hub } from "./hub.js";
import { MASTER_PASSWORD, masterDbProblem, withoutPassword } from "./master-db.js";
import { checkContext, inUse, refusal } from "./references.js";
import { parseSaveOptions, type SaveRequest } from "./save-options.js";
import { CONTEXT_TYPES, type Context, type ContextType } from "./schema.js";
import type { ContextStore } from "./store.js";
import { contextOf } from "./validate.js";
import { parseYaml } from "./yaml-file.js";

/** A checked alias file, for a step to write. */
export interface Saved {
  readonly context: Context;
  /** Absolute path of the alias file. */
  readonly path: string;
  /** Undefined: the context is new. */
  readonly before: string | undefined;
  /** The same bytes as `before` when nothing is to do. */
  readonly text: string;
}

/** `save @name --key=value …` as changes; a password that stands in the file is taken out of it. Errors: those of parseSaveOptions. */
export async function saveRequest(store: ContextStore, name: string, args: readonly string[]): Promise<SaveRequest> {
  const { context_type: was, master_db: url } = (await store.file(name))?.values ?? {};
  const type = CONTEXT_TYPES.find((known) => known === was);
  const asked = parseSaveOptions(name, args, type);
  if (type !== "server" || typeof url !== "string" || asked.changes.has("master_db") || masterDbProblem(url) !== undefined) return asked;
  const { url: clean, password } = withoutPassword(url);
  if (password === undefined) return asked;
  return { ...asked, changes: new Map([...asked.changes, ["master_db", clean]]), secrets: new Map([[MASTER_PASSWORD, password]]) };
}

/**
 * The text that the alias file is to have, checked against the schema and against every other context. Only reads.
 * Errors: those of rewrite and refusal; INVALID_FILE also when another context cannot be read, because nobody could tell
 * whether a name is free.
 */
export async function save(
  hub: Hub,
  store: ContextStore,
  name: string,
  { type, changes }: Pick<SaveRequest, "type" | "changes">,
): Promise<Saved> {
  const path = store.layout.contextFile(name);
  const file = await store.file(name);
  const text = rewrite(file?.text, type, changes, path);
  const context = contextOf(parseYaml(path, text), name);
  const conflicts = checkContext(context, await others(store, path), hub);
  if (conflicts.length > 0) throw await refusal(conflicts, store, file ? new Set(changes.keys()) : new Set(keysOf(context)));
  return { context, path, before: file?.text, text };
}

/** `save @name --delete`: the alias file to remove, or CONTEXT_NOT_FOUND, or IN_USE while another context refers to it. Only reads. */
export async function saveDelete(hub: Hub, store: ContextStore, name: string): Promise<{ readonly path: string; readonly before: string }> {
  const before = await store.source(name);
  // A broken file can be deleted too; one that is not there is said as everywhere.
  if (before === undefined) throw await missing(store, name);
  const path = store.layout.contextFile(name);
  const refused = inUse(
    name,
    (await others(store, path)).filter((context) => context.name !== name),
    hub.settings,
  );
  if (refused) throw refused;
  return { path, before };
}

async function missing(store: ContextStore, name: string): Promise<unknown> {
  return store.need(name).then(
    () => new Error(`${name} has appeared`),
    (error: unknown) => error,
  );
}

async function others(store: ContextStore, own: string): Promise<readonly Context[]> {
  const { contexts, broken } = await store.load();
  const [first] = broken.filter(({ message }) => !message.startsWith(`${own}:`) && !message.startsWith(`${own} `));
  if (first) throw first.with({ state: "nothing was changed" });
  return contexts;
}

function keysOf(context: Context): readonly string[] {
  return Object.keys(context);
}

/** `list [servers|platforms|sites|clients]`: the type that a word names, singular too; undefined: all. Throws USAGE. */
export function listedType(word: string | undefined): ContextType | undefined {
  if (word === undefined) return undefined;
  const type = CONTEXT_TYPES.find((known) => word === known || word === `${known}s`);
  if (!type) {
    throw new ProvisionError("USAGE", `list takes ${CONTEXT_TYPES.map((known) => `${known}s`).join(", ")}, or nothing for all`, {
      next: ["provision list", "provision list sites"],
    });
  }
  return type;
}
