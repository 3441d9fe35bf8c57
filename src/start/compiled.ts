import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import Module, { createRequire } from "node:module";
import { join } from "node:path";
import { Script } from "node:vm";

/** A name with a hash of its content: what was compiled for it cannot be out of date. */
const HASHED = /-[\w-]{8}\.cjs$/;

/** Directory with the compiled code of a bundle, a file for each of its files; another Node would not take it. */
export function compiledIn(bundle: string): string {
  return join(bundle, `compiled-${process.version}-${process.arch}`);
}

function codeOf(directory: string, name: string): Buffer | undefined {
  try {
    return readFileSync(join(directory, name));
  } catch {
    return undefined;
  }
}

/** By rename: whoever starts meanwhile reads all of it, or what was there before. */
export function keepCompiled(directory: string, name: string, script: Script): void {
  mkdirSync(directory, { recursive: true });
  const beside = join(directory, `${name}.${process.pid}`);
  writeFileSync(beside, script.createCachedData());
  renameSync(beside, join(directory, name));
}

type Wrapped = (exports: unknown, require: NodeJS.Require, module: NodeJS.Module, filename: string, directory: string) => void;

/**
 * Runs a bundle's main.cjs. Its files are loaded with what is kept compiled of them; V8 looks itself whether that is of its own version and of
 * a text of that length, and compiles anew when not. Not by Node's own loader, which looks for the real path of each. `seen` is told of each file.
 */
export function runCompiled(bundle: string, seen?: (name: string, script: Script) => void): void {
  const kept = compiledIn(bundle);
  const outside = createRequire(join(bundle, "main.cjs"));
  const loaded = new Map<string, NodeJS.Module>();
  const require = ((id: string): unknown => (id.startsWith("./") ? load(id.slice(2)) : outside(id))) as NodeJS.Require;
  const load = (name: string): unknown => {
    const known = loaded.get(name);
    if (known) return known.exports;
    const filename = join(bundle, name);
    const module = { exports: {}, filename, id: filename } as NodeJS.Module;
    loaded.set(name, module);
    const cachedData = HASHED.test(name) ? codeOf(kept, name) : undefined;
    const script = new Script(Module.wrap(readFileSync(filename, "utf8")), {
      filename,
      ...(cachedData === undefined ? {} : { cachedData }),
    });
    if (HASHED.test(name)) seen?.(name, script);
    (script.runInThisContext() as Wrapped).call(module.exports, module.exports, require, module, filename, bundle);
    return module.exports;
  };
  load("main.cjs");
}
