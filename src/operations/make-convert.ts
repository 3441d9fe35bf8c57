import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { composerJson } from "../builds/make/composer-json.js";
import { convertNotation, lostIn } from "../builds/make/convert.js";
import { invalidMakeFile } from "../builds/make/diagnostic.js";
import { makeFromComposer } from "../builds/make/from-composer.js";
import { diagnosticLine, readMakeFile } from "../builds/make/index.js";
import { iniText, yamlText } from "../builds/make/make-text.js";
import { ProvisionError } from "../core/errors.js";
import { Scope } from "../core/scope.js";
import { LocalHost } from "../host/local.js";

export type MakeNotation = "ini" | "yaml" | "composer";

export interface Conversion {
  readonly format: MakeNotation;
  readonly text: string;
  readonly warnings: readonly string[];
}

/** Reads one file and says it in another format; without one, in the other of INI and YAML. Writes nothing. */
export async function convertMake(name: string, wanted: MakeNotation | undefined): Promise<Conversion> {
  const file = name === "-" ? "-" : resolve(name);
  const host = new LocalHost(new Scope());
  const text = name === "-" ? readFileSync(0, "utf8") : await host.readFile(file);
  if (text === undefined) throw new ProvisionError("FILE_NOT_FOUND", `${name}: there is no such file`);
  if (/^\s*\{/.test(text)) return fromComposer(text, file, wanted ?? "yaml");
  const made = await readMakeFile(file, host, { text });
  const problems = () =>
    invalidMakeFile(
      name,
      made.diagnostics.filter(({ severity }) => severity === "error"),
    );
  if (made.format === undefined) throw problems();
  const format = wanted ?? (made.format === "ini" ? "yaml" : "ini");
  if (format !== "composer") return { format, ...convertNotation(text, name, format) };
  if (!made.document) throw problems();
  const composer = composerJson(made.document, file);
  return { format, text: composer.text, warnings: [...made.diagnostics.map(diagnosticLine), ...composer.warnings] };
}

/** Of composer.lock and composer.json both are read, when they stand side by side. */
function fromComposer(text: string, file: string, format: MakeNotation): Conversion {
  if (format === "composer")
    throw new ProvisionError("USAGE", `${file} is Composer's already`, { next: ["--format=make or --format=yml"] });
  const isLock = /"packages"\s*:/.test(text) && /"content-hash"\s*:|"packages-dev"\s*:|"_readme"\s*:/.test(text);
  const beside = join(dirname(file), isLock ? basename(file).replace(/\.lock$/, ".json") : basename(file).replace(/\.json$/, ".lock"));
  const other = file !== "-" && beside !== file && existsSync(beside) ? readFileSync(beside, "utf8") : undefined;
  const { document, warnings } = isLock ? makeFromComposer(other, text, file) : makeFromComposer(text, other, file);
  const converted = format === "ini" ? iniText(document) : yamlText(document);
  return { format, text: converted, warnings: [...warnings, ...lostIn(document, converted, format)] };
}
