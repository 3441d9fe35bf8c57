import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import Module, { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
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
 * From here on Node loads the files of a bundle with what is kept compiled of them. V8 looks itself whether code is of its own version and
 * of a text of that length, and compiles anew when not. `seen` is told of each file that is loaded.
 */
export function useCompiled(bundle: string, seen?: (name: string, script: Script) => void): void {
  const kept = compiledIn(bundle);
  const { extensions } = createRequire(join(bundle, "main.cjs"));
  const plain = extensions[".js"] as (module: NodeJS.Module, filename: string) => void;
  extensions[".cjs"] = (module: NodeJS.Module, filename: string) => {
    const name = basename(filename);
    if (dirname(filename) !== bundle || !HASHED.test(name)) {
      plain(module, filename);
      return;
    }
    const cachedData = codeOf(kept, name);
    const text = Module.wrap(readFileSync(filename, "utf8"));
    const script = new Script(text, { filename, ...(cachedData === undefined ? {} : { cachedData }) });
    seen?.(name, script);
    const require = ((id: string) => module.require(id)) as NodeJS.Require;
    (script.runInThisContext() as Wrapped).call(module.exports, module.exports, require, module, filename, bundle);
  };
}
