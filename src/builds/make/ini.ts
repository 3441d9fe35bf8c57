import type { Diagnostics } from "./diagnostic.js";
import { PhpArray, PhpFloat, type PhpKey, type PhpValue } from "./php-value.js";
import { TextPosition } from "./text-position.js";

/**
 * Drush reads INI make files with one regular expression over the whole text, not line by line
 * (`ParserIni`): a key runs to the next `=` outside brackets, over line ends; a value that is empty on its
 * line takes the next one. `scan` finds the same matches in linear time; `make.md` 1.2 has the table.
 *
 * Out: `undefined` when nothing at all matches (drush: NULL).
 */
export function parseIni(text: string, file: string, diagnostics: Diagnostics): PhpArray | undefined {
  const position = new TextPosition(file, text);
  const assignments = scan(text);
  reportIgnoredLines(text, assignments, position, diagnostics);
  if (assignments.length === 0) return undefined;
  const root = new PhpArray();
  for (const assignment of assignments) {
    reportQuirks(assignment, text, position, diagnostics);
    assign(root, assignment, position, diagnostics);
  }
  return root;
}

interface Assignment {
  readonly start: number;
  readonly end: number;
  readonly key: string;
  readonly keyAt: number;
  readonly value: string;
  readonly valueAt: number;
  readonly quoted: boolean;
}

interface Value {
  readonly value: string;
  readonly valueAt: number;
  readonly quoted: boolean;
  readonly end: number;
}

/** PCRE's `\s` without /u; JavaScript's own takes U+00A0 and more. */
function isSpace(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code === 32 || (code >= 9 && code <= 13);
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && isSpace(text, at)) at++;
  return at;
}

function scan(text: string): Assignment[] {
  const found: Assignment[] = [];
  let lineStart = 0;
  while (lineStart < text.length) {
    const key = scanKey(text, lineStart);
    const value = key.equals === undefined ? undefined : scanValue(text, key.equals + 1);
    if (key.equals !== undefined && value) {
      let from = skipSpace(text, lineStart);
      let to = key.equals;
      while (to > from && isSpace(text, to - 1)) to--;
      // Only white space before `=`: the expression gives back its last character as the key.
      if (from >= key.equals) {
        from = key.equals - 1;
        to = key.equals;
      }
      if (from >= lineStart) {
        found.push({ start: lineStart, key: text.slice(from, to), keyAt: from, ...value });
        lineStart = nextLine(text, value.end);
        continue;
      }
    }
    // Every later start before the stop fails at the same place, unless it lies inside a bracket that spans lines.
    lineStart = nextLine(text, key.equals === undefined && !key.bracketSpansLines ? key.stop : lineStart);
  }
  return found;
}

function nextLine(text: string, from: number): number {
  const newline = text.indexOf("\n", from);
  return newline === -1 ? text.length : newline + 1;
}

/** From the start of a line to the `=` that ends the key; `[…]` is one piece of a key and may hold `=`, `;` and line ends. */
function scanKey(text: string, from: number): { equals?: number; stop: number; bracketSpansLines: boolean } {
  let bracketSpansLines = false;
  let at = from;
  while (at < text.length) {
    const character = text[at];
    if (character === "=") return { equals: at, stop: at, bracketSpansLines };
    if (character === ";" || character === "]") return { stop: at, bracketSpansLines };
    if (character === "[") {
      let close = at + 1;
      while (close < text.length && text[close] !== "]" && text[close] !== "[") close++;
      if (text[close] !== "]") return { stop: at, bracketSpansLines };
      bracketSpansLines ||= text.slice(at, close).includes("\n");
      at = close;
    }
    at++;
  }
  return { stop: text.length, bracketSpansLines };
}

function scanValue(text: string, afterEquals: number): Value | undefined {
  for (let at = skipSpace(text, afterEquals); at >= afterEquals; at--) {
    const quote = text[at];
    const quoted = quote === '"' || quote === "'" ? scanQuoted(text, at, quote) : undefined;
    const value = quoted ?? scanUnquoted(text, at);
    if (value) return value;
  }
  return undefined;
}

/** A quote after a backslash may be content or end: the farthest end that is followed by nothing but white space counts. */
function scanQuoted(text: string, open: number, quote: string): Value | undefined {
  const ends: number[] = [];
  for (let at = text.indexOf(quote, open + 1); at !== -1; at = text.indexOf(quote, at + 1)) {
    ends.push(at);
    if (text[at - 1] !== "\\") break;
  }
  for (const close of ends.reverse()) {
    const end = endOfLine(text, close + 1);
    if (end !== undefined) return { value: stripSlashes(text.slice(open + 1, close)), valueAt: open, quoted: true, end };
  }
  return undefined;
}

function scanUnquoted(text: string, from: number): Value | undefined {
  let last = from;
  for (let at = from; at < text.length && text[at] !== "\n" && text[at] !== "\r"; at++) if (!isSpace(text, at)) last = at + 1;
  const end = endOfLine(text, last);
  return end === undefined ? undefined : { value: text.slice(from, last), valueAt: from, quoted: false, end };
}

/** Where `\s*$` ends: before the last line end of the white space here; `undefined` when something else follows on the line. */
function endOfLine(text: string, from: number): number | undefined {
  const after = skipSpace(text, from);
  if (after === text.length) return after;
  const newline = text.lastIndexOf("\n", after - 1);
  return newline >= from ? newline : undefined;
}

/** PHP's `stripslashes()`. */
function stripSlashes(text: string): string {
  return text.replace(/\\([\s\S]?)/g, (_, character: string) => (character === "0" ? "\0" : character));
}

/** The constants make files can be expected to hold; drush takes any constant PHP defines, quoted or not. */
const CONSTANTS: ReadonlyMap<string, PhpValue> = new Map<string, PhpValue>([
  ["INF", new PhpFloat(Number.POSITIVE_INFINITY)],
  ["NAN", new PhpFloat(Number.NaN)],
  ["M_PI", new PhpFloat(Math.PI)],
  ["E_ALL", 32767],
]);

function constant(value: string): PhpValue | undefined {
  const lower = value.toLowerCase();
  if (lower === "true") return true;
  if (lower === "false") return false;
  return lower === "null" ? null : CONSTANTS.get(value);
}

function keyParts(key: string): string[] {
  return key.replace(/\]+$/, "").split(/\]?\[/);
}

function assign(root: PhpArray, assignment: Assignment, position: TextPosition, diagnostics: Diagnostics): void {
  const constantValue = constant(assignment.value);
  const value = constantValue === undefined ? assignment.value : constantValue;
  const mark = position.at(assignment.valueAt, typeof value === "string" ? undefined : assignment.value);
  const keyMark = position.at(assignment.keyAt);
  let parent = root;
  const parts = keyParts(assignment.key);
  parts.forEach((part, depth) => {
    // `[]` is the number of elements, not the highest index plus one
    const key: PhpKey = part === "" ? parent.size : part;
    const there = parent.get(key);
    if (part === "" && there !== undefined) {
      diagnostics.warn(
        "ini/append-overwrites",
        keyMark,
        `\`[]\` takes the number of elements (${key}) as its key and replaces what stands there; number the entries yourself`,
      );
    }
    if (depth < parts.length - 1) {
      if (there instanceof PhpArray) {
        parent = there;
        return;
      }
      if (there !== undefined && there !== null && there !== "") {
        diagnostics.warn(
          "ini/value-lost",
          keyMark,
          `${assignment.key} replaces ${given(parts.slice(0, depth + 1))} = ${quote(there)} given before, which is lost; write that one as ${given(parts.slice(0, depth + 1))}[version]`,
        );
      }
      const inner = new PhpArray();
      parent.set(key, inner, keyMark);
      parent = inner;
    } else {
      if (there instanceof PhpArray)
        diagnostics.warn("ini/value-lost", keyMark, `${assignment.key} replaces all that was given under it before`);
      else if (there !== undefined && part !== "" && there !== value)
        diagnostics.warn("ini/duplicate-key", keyMark, `${assignment.key} was ${quote(there)}; the later value counts`);
      parent.set(key, value, mark);
    }
  });
}

function given([first = "", ...rest]: readonly string[]): string {
  return `${first}${rest.map((part) => `[${part}]`).join("")}`;
}

function quote(value: PhpValue | string): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

function reportQuirks(assignment: Assignment, text: string, position: TextPosition, diagnostics: Diagnostics): void {
  const { key, value } = assignment;
  const at = position.at(assignment.keyAt);
  const first = key.split("\n", 1)[0]?.trim() ?? "";
  if (key.includes("\n")) {
    const comment = first.startsWith("#") || first.startsWith("//");
    diagnostics.warn(
      "ini/swallowed-line",
      at,
      `${quote(first)} is no ${comment ? "comment" : "entry"} to drush: it becomes part of the key on the next line, so that ${key.slice(key.lastIndexOf("\n") + 1).trim()} is not set; ${comment ? "start a comment with `;`" : "give it a value, or start it with `;`"}`,
    );
  } else if (/[ \t]/.test(key)) diagnostics.warn("ini/space-in-key", at, `the key is read as ${quote(key)}, with its space; take it out`);
  else if (/["']/.test(key)) diagnostics.warn("ini/quote-in-key", at, `the key is read with its quotes: ${key}`);
  const valueAt = position.at(assignment.valueAt);
  if (valueAt.line > position.at(text.indexOf("=", assignment.keyAt + key.length)).line) {
    diagnostics.warn(
      "ini/value-on-next-line",
      at,
      `${key} has no value on its line: drush takes ${quote(value)} from line ${valueAt.line}; write \`${key} = ""\` for an empty one`,
    );
  } else if (!assignment.quoted) {
    if (/^(["']).*\1\s*;/.test(value) || /\s;/.test(value))
      diagnostics.warn("ini/inline-comment", valueAt, `there are no comments after a value: it is read as ${quote(value)}`);
    else if (value.endsWith(";"))
      diagnostics.warn("ini/trailing-semicolon", valueAt, `the semicolon is read as part of the value: ${quote(value)}`);
    else if (/^["']/.test(value)) diagnostics.warn("ini/open-quote", valueAt, `the quotes are read as part of the value: ${value}`);
  }
}

/** Lines that no entry holds and that do not start with `;`: drush passes over them without a word. */
function reportIgnoredLines(text: string, assignments: readonly Assignment[], position: TextPosition, diagnostics: Diagnostics): void {
  let next = 0;
  for (let start = 0; start < text.length; start = nextLine(text, start)) {
    while (next < assignments.length && (assignments[next] as Assignment).end < start) next++;
    const holder = assignments[next];
    if (holder && holder.start <= start && start <= holder.end) continue;
    const line = text.slice(start, nextLine(text, start)).trim();
    if (line !== "" && !line.startsWith(";"))
      diagnostics.warn("ini/ignored-line", position.at(start), `drush passes over this line: ${line.slice(0, 80)}`);
  }
}
