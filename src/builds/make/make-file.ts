import { Diagnostics, invalidMakeFile } from "./diagnostic.js";
import { parseIni } from "./ini.js";
import { isTruthy, type Mark, PhpArray } from "./php-value.js";
import { parseYaml, YamlError } from "./yaml.js";

export type MakeFormat = "ini" | "yaml";

/** One make file as drush reads it, before includes; the last key of `parsed` is `format`. */
export interface ParsedMakeFile {
  readonly format: MakeFormat;
  readonly parsed: PhpArray;
}

/**
 * Reads the text of one make file. Drush chooses the format by content, never by name: a line `core:` anywhere is
 * YAML, else a line `core =` is INI, else YAML and then INI are tried.
 *
 * @throws ProvisionError INVALID_FILE with file:line:column
 */
export function parseMakeFile(text: string, file: string, diagnostics: Diagnostics): ParsedMakeFile {
  if (CORE_IN_YAML.test(text)) return { format: "yaml", parsed: withFormat(yaml(text, file, diagnostics), "yaml", file, diagnostics) };
  if (CORE_IN_INI.test(text)) return { format: "ini", parsed: withFormat(parseIni(text, file, diagnostics), "ini", file, diagnostics) };
  return parseWithoutCore(text, file, diagnostics);
}

// PHP's `\s` and `^` know ASCII white space and \n only. What drush's expressions take before `core` may hold line ends; then
// a later line begins so too, and without them a run of empty lines is not gone through from each of its lines.
const CORE_IN_YAML = /(?<![^\n])[ \t\v\f\r]*core:/;
const CORE_IN_INI = /(?<![^\n])[ \t\v\f\r]*core[ \t\n\v\f\r]*=/;

function parseWithoutCore(text: string, file: string, diagnostics: Diagnostics): ParsedMakeFile {
  // What is said of the attempt counts only when it is the reading that is taken.
  const attempt = new Diagnostics();
  let failure: unknown;
  try {
    const value = yaml(text, file, attempt);
    if (value instanceof PhpArray && isTruthy(value)) {
      diagnostics.add(attempt);
      return { format: "yaml", parsed: withFormat(value, "yaml", file, diagnostics) };
    }
  } catch (error) {
    failure = error;
  }
  const value = parseIni(text, file, diagnostics);
  if (value) return { format: "ini", parsed: withFormat(value, "ini", file, diagnostics) };
  if (failure !== undefined) {
    diagnostics.add(attempt);
    throw failure;
  }
  diagnostics.error(
    "file/unknown-format",
    file,
    "this is neither an INI nor a YAML make file; it needs a line `core = 7.x` or `core: 7.x`",
  );
  throw invalidMakeFile(file, diagnostics.errors);
}

function yaml(text: string, file: string, diagnostics: Diagnostics) {
  try {
    return parseYaml(text, file, diagnostics);
  } catch (error) {
    if (!(error instanceof YamlError)) throw error;
    throw syntaxError(error.mark, error.message, diagnostics);
  }
}

function syntaxError(mark: Mark, message: string, diagnostics: Diagnostics) {
  diagnostics.error("yaml/syntax", mark, message);
  return invalidMakeFile(mark.file, diagnostics.errors);
}

function withFormat(value: unknown, format: MakeFormat, file: string, diagnostics: Diagnostics): PhpArray {
  if (!(value instanceof PhpArray)) {
    diagnostics.error("file/empty", file, "there is nothing in this make file");
    throw invalidMakeFile(file, diagnostics.errors);
  }
  return value.set("format", format);
}
