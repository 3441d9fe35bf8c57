import { readFileSync } from "node:fs";
import { isAbsolute, relative, resolve } from "node:path";
import { type CheckedMakeFile, checkMakeFile } from "../builds/make/check.js";
import { ProvisionError } from "../core/errors.js";
import { Scope } from "../core/scope.js";
import type { Stop } from "../core/stop.js";
import { LocalHost } from "../host/local.js";

export interface MakeVerdict {
  readonly files: readonly CheckedMakeFile[];
  /** Names of files that cannot be built; with `strict` also of those with warnings. */
  readonly refused: readonly string[];
}

/** Checks make files one after the other; `-` is standard input. Changes nothing, asks nobody. */
export async function checkMakeFiles(
  names: readonly string[],
  options: { readonly strict: boolean; readonly noCore: boolean },
  stop: Stop,
): Promise<MakeVerdict> {
  const host = new LocalHost(new Scope());
  const files: CheckedMakeFile[] = [];
  for (const name of names) {
    if (stop.signal.aborted) throw new ProvisionError("STOPPED", "make-check was stopped", { state: "nothing was changed" });
    if (/^https?:/i.test(name)) throw new ProvisionError("USAGE", `make-check asks no network: fetch ${name} first, then check the file`);
    const checked = await checkMakeFile(name === "-" ? "-" : resolve(name), name, host, {
      ...(name === "-" ? { text: readFileSync(0, "utf8") } : {}),
      noCore: options.noCore,
    });
    files.push({ ...checked, diagnostics: checked.diagnostics.map((each) => ({ ...each, file: near(each.file, name) })) });
  }
  const bad = ({ severity }: { readonly severity: string }) => severity === "error" || options.strict;
  return { files, refused: files.filter(({ diagnostics }) => diagnostics.some(bad)).map(({ file }) => file) };
}

/** An included file is called as the one that includes it: relative to the working directory, when that one was. */
function near(file: string, named: string): string {
  if (!isAbsolute(file) || isAbsolute(named)) return file;
  const short = relative(process.cwd(), file);
  return short.startsWith("../") ? file : short;
}
