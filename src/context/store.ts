import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isSystemError, ProvisionError } from "../core/errors.js";
import type { Layout } from "./layout.js";
import { contextNameProblem, meantContext, quoted } from "./names.js";
import type { Context, ContextOf, ContextType } from "./schema.js";
import { contextOf } from "./validate.js";
import { parseYaml, readText, type YamlFile } from "./yaml-file.js";

/** Open files at a time. */
const PARALLEL = 32;
const SUFFIX = ".yml";

/** What could be read of a hub, and what could not. */
export interface Loaded {
  readonly contexts: readonly Context[];
  /** INVALID_FILE or PERMISSION_DENIED, one for each file that could not be taken. */
  readonly broken: readonly ProvisionError[];
}

/** What was parsed of alias files, by their paths: a fleet has a store for each of its operations, and each looks at all contexts. */
const PARSED = new Map<string, { readonly text: string; readonly context: Context }>();

/** The alias files of a hub, read each time they are asked for, so that what an editor changes is seen; parsed once for each text. */
export class ContextStore {
  readonly layout: Layout;

  constructor(layout: Layout) {
    this.layout = layout;
  }

  /** One context, defaults filled in; undefined when there is no such file. `name` with its `@`. Rejects with INVALID_FILE. */
  async read(name: string): Promise<Context | undefined> {
    const text = await this.source(name);
    if (text === undefined) return undefined;
    const path = this.layout.contextFile(name);
    const known = PARSED.get(path);
    if (known?.text === text) return known.context;
    const context = contextOf(parseYaml(path, text), name);
    PARSED.set(path, { text, context });
    return context;
  }

  /** Text of the alias file as it stands. */
  async source(name: string): Promise<string | undefined> {
    return isName(name) ? await readText(this.layout.contextFile(name)) : undefined;
  }

  /**
   * One context that has to be there, of the type that is wanted. Rejects with CONTEXT_NOT_FOUND (did you
   * mean, what there is), INVALID_REFERENCE for another type, INVALID_VALUE for what cannot be a name.
   */
  async need<T extends ContextType = ContextType>(name: string, type?: T): Promise<ContextOf<T>> {
    if (!isName(name)) throw notAName(name);
    const context = await this.read(name);
    if (!context) throw await this.#missing(name, type);
    if (type !== undefined && context.context_type !== type)
      throw new ProvisionError("INVALID_REFERENCE", `${name} is a ${context.context_type}; a ${type} is wanted here`, {
        next: [`provision list ${type}s`],
      });
    return context as ContextOf<T>;
  }

  /** Names of all contexts, with their `@`, sorted; nothing is read. Files that begin with a dot or end otherwise are not contexts. */
  async names(): Promise<readonly string[]> {
    return (await this.#files()).filter((file) => file.endsWith(SUFFIX)).map((file) => `@${file.slice(0, -SUFFIX.length)}`);
  }

  /** Every context that can be read, and an error for each that cannot: one bad file does not stop the others. */
  async load(): Promise<Loaded> {
    const names = await this.names();
    const contexts = new Map<string, Context>();
    const broken: ProvisionError[] = [];
    const waiting = names[Symbol.iterator]();
    const work = async () => {
      for (const name of waiting) {
        try {
          if (!isName(name)) throw misnamed(this.layout.contextFile(name), name);
          const context = await this.read(name);
          if (context) contexts.set(name, context);
        } catch (error) {
          if (!(error instanceof ProvisionError)) throw error;
          broken.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
    return {
      contexts: names.flatMap((name) => contexts.get(name) ?? []),
      broken: broken.toSorted((a, b) => (a.message < b.message ? -1 : 1)),
    };
  }

  /** Every context, or those of one type, by name. Rejects with INVALID_FILE when any file is broken, naming all of them. */
  async all<T extends ContextType = ContextType>(type?: T): Promise<readonly ContextOf<T>[]> {
    const { contexts, broken } = await this.load();
    const [first] = broken;
    if (first) {
      if (broken.length === 1) throw first;
      throw new ProvisionError(first.code, `${broken.length} context files cannot be read`, {
        why: broken.flatMap(({ message, why }) => (why.length > 0 ? why : [message])),
      });
    }
    return contexts.filter((context) => type === undefined || context.context_type === type) as unknown as readonly ContextOf<T>[];
  }

  /** The alias file with the place of everything in it, whether its values are right or not. Rejects with INVALID_FILE when it is not YAML. */
  async file(name: string): Promise<YamlFile | undefined> {
    const text = await this.source(name);
    return text === undefined ? undefined : parseYaml(this.layout.contextFile(name), text);
  }

  async #files(): Promise<readonly string[]> {
    try {
      return (await readdir(this.layout.aliases)).filter((file) => !file.startsWith(".")).sort();
    } catch (error) {
      if (isSystemError(error, "ENOENT")) return [];
      if (isSystemError(error, "EACCES"))
        throw new ProvisionError("PERMISSION_DENIED", `cannot list ${this.layout.aliases}: permission denied`, {
          next: ["run provision as the user that owns the hub"],
          cause: error,
        });
      throw error;
    }
  }

  async #missing(name: string, type: ContextType | undefined): Promise<ProvisionError> {
    const files = await this.#files();
    const otherwise = files.find((file) => file === `${name.slice(1)}.yaml`);
    if (otherwise) {
      const path = join(this.layout.aliases, otherwise);
      return new ProvisionError("CONTEXT_NOT_FOUND", `there is no context ${name}; ${path} is not read`, {
        next: [`mv ${path} ${this.layout.contextFile(name)}`],
      });
    }
    const names = files.filter((file) => file.endsWith(SUFFIX)).map((file) => `@${file.slice(0, -SUFFIX.length)}`);
    return missing(name, names, type);
  }
}

/** CONTEXT_NOT_FOUND, with the name that was meant and what there is. */
function missing(name: string, names: readonly string[], type: ContextType | undefined): ProvisionError {
  const meant = meantContext(name, names);
  const known = names.length > 10 ? `${names.slice(0, 10).join(", ")} and ${names.length - 10} more` : names.join(", ");
  return new ProvisionError("CONTEXT_NOT_FOUND", `there is no context ${name}${meant ? `; did you mean ${meant}?` : ""}`, {
    why: [names.length > 0 ? `this hub has ${known}` : "this hub has no contexts yet"],
    next: meant
      ? [`provision show ${meant}`]
      : [`provision list${type ? ` ${type}s` : ""}`, `provision save ${name} --context_type=${type ?? "site"} …`],
  });
}

function isName(name: string): boolean {
  return name.startsWith("@") && contextNameProblem(name.slice(1)) === undefined;
}

/** INVALID_VALUE for what was typed where a context's name belongs. */
function notAName(name: string): ProvisionError {
  const wrong = name.startsWith("@") ? contextNameProblem(name.slice(1)) : "does not begin with @";
  return new ProvisionError("INVALID_VALUE", `${quoted(name)} is not the name of a context: it ${wrong}; for example @example.com`);
}

function misnamed(path: string, name: string): ProvisionError {
  return new ProvisionError(
    "INVALID_FILE",
    `${quoted(path)} cannot be a context: its name ${contextNameProblem(name.slice(1))}; for example example.com.yml`,
  );
}
