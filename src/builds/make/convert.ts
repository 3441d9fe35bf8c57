import { Diagnostics, diagnosticLine } from "./diagnostic.js";
import { bySourceText } from "./document.js";
import { type MakeFormat, parseMakeFile } from "./make-file.js";
import { type CommentsAt, iniText, yamlText } from "./make-text.js";
import { type Mark, PhpArray, PhpFloat, type PhpKey, type PhpValue, phpText } from "./php-value.js";

export interface Converted {
  readonly text: string;
  /** What was lost, and where; empty when the new file reads as the old one. */
  readonly warnings: readonly string[];
}

/**
 * The same make file in the other notation: what the file itself says, its includes and defaults left as they are. Comments
 * stay above what they stood above. Versions are written as they stand in the file (`3.10`, which drush's YAML reader takes for
 * 3.1). The outcome is read again and compared: every difference is a warning.
 *
 * @throws ProvisionError INVALID_FILE when the text cannot be read
 */
export function convertNotation(text: string, file: string, to: MakeFormat): Converted {
  const { format, parsed } = parseMakeFile(text, file, new Diagnostics());
  const document = asWritten(parsed);
  const comments = new Comments(text, format);
  const converted = to === "ini" ? iniText(document, comments.at) : yamlText(document, comments.at);
  return { text: converted, warnings: [...lostIn(document, converted, to), ...comments.left()] };
}

/** A copy without the note of its format, every number that names something outside as its source text. */
function asWritten(parsed: PhpArray): PhpArray {
  const document = bySourceText(parsed, new Diagnostics());
  document.delete("format");
  const projects = document.get("projects");
  if (projects instanceof PhpArray) {
    for (const [name, value] of projects.entries()) {
      const mark = projects.mark(name);
      const isNumber = typeof value === "number" || value instanceof PhpFloat;
      if (isNumber && mark?.source !== undefined) projects.set(name, mark.source, mark);
    }
  }
  return document;
}

/** What reads differently in the new text, one line each. */
export function lostIn(document: PhpArray, text: string, format: MakeFormat): string[] {
  const diagnostics = new Diagnostics();
  try {
    const again = parseMakeFile(text, "the converted file", diagnostics);
    if (again.format !== format) return [`the converted file is taken for ${again.format.toUpperCase()}: look at it before you use it`];
    again.parsed.delete("format");
    return differences(document, again.parsed, [], format === "ini");
  } catch {
    return diagnostics.errors.map((diagnostic) => `the converted file cannot be read: ${diagnosticLine(diagnostic)}`);
  }
}

function differences(before: PhpArray, after: PhpArray, path: readonly PhpKey[], numbersAreText: boolean): string[] {
  const found = before.entries().flatMap(([key, value]): string[] => {
    const at = [...path, key];
    const other = after.get(key);
    if (value instanceof PhpArray && other instanceof PhpArray) return differences(value, other, at, numbersAreText);
    if (other === undefined) return [`${named(at)} = ${said(value)} cannot be written in this format and is left out`];
    const same = value instanceof PhpArray ? false : other instanceof PhpArray ? false : sameScalar(value, other, numbersAreText);
    return same ? [] : [`${named(at)} was ${said(value)} and is read as ${said(other)}`];
  });
  const more = after.keys().filter((key) => !before.has(key));
  const moved = found.length === 0 && more.length === 0 && before.keys().some((key, index) => after.keys()[index] !== key);
  return [
    ...found,
    ...more.map((key) => `${named([...path, key])} = ${said(after.get(key) ?? null)} was not there before`),
    ...(moved ? [`the order under ${named(path)} is another`] : []),
  ];
}

function sameScalar(value: PhpValue, other: PhpValue, numbersAreText: boolean): boolean {
  if (value instanceof PhpFloat && other instanceof PhpFloat) return Object.is(value.value, other.value);
  if (typeof value === typeof other && !(value instanceof PhpFloat)) return value === other;
  const isNumber = typeof value === "number" || value instanceof PhpFloat;
  return numbersAreText && isNumber && other === phpText(value);
}

function named([first, ...rest]: readonly PhpKey[]): string {
  return first === undefined ? "the file" : `${first}${rest.map((key) => `[${key}]`).join("")}`;
}

function said(value: PhpValue): string {
  if (value instanceof PhpArray) return value.size === 0 ? "an empty list" : "a list";
  return typeof value === "string" ? JSON.stringify(value) : value === null ? "null" : String(value);
}

/** Comment lines of a make file, by the line that they stand above. */
class Comments {
  readonly #lines: readonly string[];
  readonly #sign: RegExp;
  readonly #open = new Set<number>();

  constructor(text: string, format: MakeFormat) {
    this.#lines = text.split(/\r?\n/);
    this.#sign = format === "ini" ? /^[ \t]*;(.*)$/ : /^[ \t]*#(.*)$/;
    this.#lines.forEach((line, index) => {
      if (this.#sign.test(line)) this.#open.add(index);
    });
  }

  readonly at: CommentsAt = (mark: Mark | undefined) => {
    const found: string[] = [];
    if (mark === undefined) return found;
    for (let index = mark.line - 2; index >= 0; index--) {
      const comment = this.#sign.exec(this.#lines[index] ?? "")?.[1];
      if (comment === undefined && (this.#lines[index] ?? "").trim() !== "") break;
      if (comment !== undefined && this.#open.delete(index)) found.unshift(comment.trimEnd());
    }
    return found;
  };

  left(): string[] {
    const count = this.#open.size;
    return count === 0
      ? []
      : [`${count} comment line${count === 1 ? " is" : "s are"} left out: ${count === 1 ? "it stands" : "they stand"} above no entry`];
  }
}
