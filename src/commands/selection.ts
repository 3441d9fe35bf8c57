import { meantContext, quoted } from "../context/names.js";
import { clientOf } from "../context/references.js";
import type { Context, ContextType, Site } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import { Gathering } from "../core/gathering.js";
import { Scope } from "../core/scope.js";
import type { Services } from "../operations/services.js";
import type { Invocation } from "./definition.js";
import { contextName, contextOfType, oneOfMany } from "./hub.js";

/** Type of targets of one command, in the order in which they depend on each other. */
const ORDER: readonly ContextType[] = ["client", "server", "platform", "site"];

/**
 * Does one thing for every context that a command line selects, in the order servers, platforms, sites, each with a
 * result of its own: names, globs (`@*.example.com`), and of the sites those on `--platform`, of `--client`, or `--all`.
 * `only` passes over sites that a selector found. `--jobs` of them at a time, each with services
 * of its own, for locks and signals belong to one operation; sites whose vhost changes meet at their web server, which is reloaded once.
 *
 * Rejects with USAGE, CONTEXT_NOT_FOUND (a selector that selects nothing is one mistyped, except on an empty hub).
 */
export async function eachSelected(
  invocation: Invocation,
  use: Services,
  command: string,
  types: readonly ContextType[],
  action: (name: string, use: Services) => Promise<void>,
  only: (site: Site) => boolean = () => true,
): Promise<void> {
  const { session, options } = invocation;
  const words = [...new Set(invocation.arguments)];
  const selector = isSelector(invocation);
  const targets = selector ? await selected(invocation, use, command, types, only) : words;
  if (targets.length === 0 && !selector) {
    throw new ProvisionError("USAGE", `${command} needs a context, a glob or a selector`, {
      next: [`provision ${command} @example.com`, `provision ${command} '@*.example.com'`, `provision ${command} --all`],
    });
  }
  const jobs = jobsOf(options["jobs"]);
  if (selector || targets.length > 1) session.severalTargets();
  if (targets.length > 1) session.atOnce(targets);
  const gathering = new Gathering(jobs);
  await Promise.all(
    targets.map((word) =>
      gathering.run(() =>
        oneOfMany(session, command, word, async () => {
          const { name } = await contextOfType(use, word, types, command);
          await action(name, targets.length === 1 ? use : use.beside(new Scope(), gathering));
        }),
      ),
    ),
  );
}

/** Names that a command line selects, as `eachSelected` finds them, without doing anything. Rejects likewise. */
export async function selectedNames(
  invocation: Invocation,
  use: Services,
  command: string,
  types: readonly ContextType[],
): Promise<readonly string[]> {
  if (isSelector(invocation)) return selected(invocation, use, command, types, () => true);
  const names: string[] = [];
  for (const word of new Set(invocation.arguments)) names.push((await contextOfType(use, word, types, command)).name);
  return names;
}

function isSelector({ arguments: words, options }: Invocation): boolean {
  return ["all", "platform", "client"].some((name) => options[name] !== undefined) || words.some(isGlob);
}

function isGlob(word: string): boolean {
  return /[*?]/.test(word);
}

/** `--jobs`, a number from 1; 1 when it is not given. */
function jobsOf(value: unknown): number {
  if (value === undefined) return 1;
  const jobs = Number(value);
  if (Number.isInteger(jobs) && jobs >= 1 && jobs <= 64) return jobs;
  throw new ProvisionError("USAGE", `--jobs=${String(value)} is not a number from 1 to 64`);
}

async function selected(
  { arguments: words, options }: Invocation,
  use: Services,
  command: string,
  types: readonly ContextType[],
  only: (site: Site) => boolean,
): Promise<readonly string[]> {
  if (options["all"] === true && words.length > 0)
    throw new ProvisionError("USAGE", "--all is every site; it goes with no names", { next: [`provision ${command} --all`] });
  const contexts = await use.store.all();
  const platform = await reference(use, "platform", options["platform"]);
  const client = await reference(use, "client", options["client"]);
  const named = words.length === 0 ? contexts.filter(isSite) : words.flatMap((word) => matching(word, contexts, types));
  const chosen = named.filter(
    (context) =>
      (platform === undefined || (isSite(context) && context.platform === platform)) &&
      (client === undefined || (isSite(context) && clientOf(context, use.settings) === client)),
  );
  if (chosen.length === 0 && contexts.some(isSite))
    throw new ProvisionError("CONTEXT_NOT_FOUND", "no context is selected", { next: ["provision list sites"] });
  const rank = ({ context_type, name }: Context) => `${ORDER.indexOf(context_type)} ${name}`;
  const meant = chosen.filter((context) => !isSite(context) || only(context));
  return [...new Set(meant.toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1)).map(({ name }) => name))];
}

/** Contexts of a glob, of the types that the command is for; or the one of a name, whatever its type. Rejects with USAGE, CONTEXT_NOT_FOUND. */
function matching(word: string, contexts: readonly Context[], types: readonly ContextType[]): readonly Context[] {
  const found = isGlob(word)
    ? contexts.filter(({ name, context_type }) => types.includes(context_type) && globPattern(word).test(name))
    : contexts.filter(({ name }) => name === contextName(word));
  if (found.length > 0) return found;
  const meant = isGlob(word)
    ? undefined
    : meantContext(
        word,
        contexts.map(({ name }) => name),
      );
  throw new ProvisionError(
    "CONTEXT_NOT_FOUND",
    isGlob(word) ? `no ${types.join(" or ")} has a name like ${quoted(word)}` : `there is no context ${word}`,
    { next: meant === undefined ? ["provision list"] : [`did you mean ${meant}?`] },
  );
}

function isSite(context: Context): context is Site {
  return context.context_type === "site";
}

/** `d7`, `platform_d7` and `@platform_d7` alike. */
export async function reference(use: Services, type: "platform" | "client" | "server", word: unknown): Promise<string | undefined> {
  if (word === undefined) return undefined;
  const given = `@${String(word).replace(/^@/, "")}`;
  const prefixed = `@${type}_${given.slice(1)}`;
  const names = await use.store.names();
  return (await use.store.need(!names.includes(given) && names.includes(prefixed) ? prefixed : contextName(given), type)).name;
}

function globPattern(glob: string): RegExp {
  const escaped = glob
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${escaped}$`);
}
