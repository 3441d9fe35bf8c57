import type { Diagnostics } from "./diagnostic.js";
import { type Mark, PhpArray, type PhpKey, type PhpValue, phpKey } from "./php-value.js";
import { type Anchors, parseInline, parseKey, type Scalar, YamlSyntaxError } from "./yaml-inline.js";

/** A YAML make file that drush cannot read, and where. */
export class YamlError extends Error {
  readonly mark: Mark;

  constructor(mark: Mark, message: string) {
    super(message);
    this.mark = mark;
  }
}

/**
 * Reads YAML as the reader vendored in Drush 8 does (Symfony 2.8), line by line: no tabs for indentation, no
 * values over several lines but block scalars, one document, `---` and `...` dropped; of two equal keys the
 * first with a value counts. The `yaml` package reads YAML 1.2 and differs in each of these (make.md 1.3).
 *
 * Out: null for an empty text; a scalar when the whole text is one line of plain text.
 * @throws YamlError
 */
export function parseYaml(text: string, file: string, diagnostics: Diagnostics): PhpValue {
  const lines = text
    .replace(/\r\n?/g, "\n")
    .split("\n")
    .map((content, index): Line => ({ text: content, line: index + 1, column: 1 }));
  return new BlockReader(lines, { file, diagnostics, anchors: new Map() }).read().value;
}

interface Line {
  readonly text: string;
  readonly line: number;
  /** Column in the file of the first character of `text`. */
  readonly column: number;
}

interface Shared {
  readonly file: string;
  readonly diagnostics: Diagnostics;
  readonly anchors: Map<string, PhpValue>;
}

const KEY = /^("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^ '"[{].*?) *:(?:\s+(.+?))?\s*$/u;
const COMPACT_KEY = /^(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^ '"{[].*?) *:(?:\s+.+)?$/u;
const ANCHOR = /^&([^ ]+) *(.*)/u;
const ITEM = /^-(?:(\s+)(.+?))?\s*$/u;
const BLOCK_SCALAR = /^([|>])(\+|-|\d+|[+-]\d+|\d+[+-])?(?: +#.*)?$/;
const BLOCK_SCALAR_HEADER = /[|>](?:\+|-|\d+|[+-]\d+|\d+[+-])?(?: +#.*)?$/;

class BlockReader {
  readonly #lines: readonly Line[];
  readonly #shared: Shared;
  #at = -1;

  constructor(lines: readonly Line[], shared: Shared) {
    this.#lines = withoutMarkers(lines);
    this.#shared = shared;
  }

  read(): Scalar {
    const data = new PhpArray();
    let kind: "list" | "map" | undefined;
    while (this.#next()) {
      if (this.#isEmpty()) continue;
      const { text } = this.#line;
      if (text.startsWith("\t")) throw this.#error("a tab is used for indentation; use spaces");
      const item = ITEM.exec(text);
      if (item) {
        if (kind === "map") throw this.#error("a list item stands among the keys of a map");
        kind = "list";
        this.#listItem(data, item[1] ?? "", item[2] ?? "");
        continue;
      }
      const pair = KEY.exec(text);
      const keyText = pair?.[1] ?? "";
      if (pair && (!keyText.includes(" #") || /^["']/.test(keyText))) {
        if (kind === "list") throw this.#error("a key stands among the items of a list");
        kind = "map";
        this.#pair(data, keyText, pair[2] ?? "", keyText.length);
        continue;
      }
      const whole = this.#singleLine();
      if (whole) return whole;
      throw this.#error(unreadable(text));
    }
    return { value: data.size === 0 ? null : data };
  }

  #listItem(data: PhpArray, space: string, value: string): void {
    const mark = this.#mark(1 + space.length);
    const anchor = ANCHOR.exec(value);
    const content = anchor ? (anchor[2] ?? "") : value;
    let scalar: Scalar;
    if (content === "" || content.startsWith("#")) scalar = this.#embedded(undefined, true);
    else if (space !== "" && !anchor && COMPACT_KEY.test(content)) {
      // `- name: x` with further keys below it
      const own: Line = { text: content, line: this.#line.line, column: this.#line.column + 1 + space.length };
      const below = this.#nextIsDeeper() ? (this.#block(this.#indent() + space.length + 1) ?? []) : [];
      scalar = new BlockReader([own, ...below], this.#shared).read();
    } else scalar = this.#value(content, mark);
    data.set(data.size, scalar.value, this.#sourced(mark, scalar));
    if (anchor?.[1]) this.#shared.anchors.set(anchor[1], scalar.value);
  }

  #pair(data: PhpArray, keyText: string, value: string, keyLength: number): void {
    const keyMark = this.#mark(0);
    const key = this.#inLine(() => phpKey(parseKey(keyText)));
    const anchor = ANCHOR.exec(value);
    const content = anchor ? (anchor[2] ?? "") : value;
    if (key === "<<") {
      this.#merge(data, content);
      return;
    }
    let scalar: Scalar;
    if (content === "" || content.startsWith("#")) {
      scalar = this.#nextIsDeeper() || this.#nextIsListItemHere() ? this.#embedded(undefined, false) : { value: null };
      this.#set(data, key, scalar, keyMark, keyMark);
    } else {
      const at = this.#line.text.indexOf(content, keyLength);
      const mark = this.#mark(at === -1 ? keyLength : at);
      scalar = this.#value(content, mark);
      this.#set(data, key, scalar, mark, keyMark);
    }
    if (anchor?.[1]) this.#shared.anchors.set(anchor[1], scalar.value);
  }

  #set(data: PhpArray, key: PhpKey, scalar: Scalar, mark: Mark, keyMark: Mark): void {
    const first = data.get(key);
    if (first !== undefined && first !== null) {
      this.#shared.diagnostics.warn(
        "yaml/duplicate-key",
        keyMark,
        `${key} is given twice; drush takes the first, on line ${data.mark(key)?.line ?? "?"}: remove one of them`,
      );
      return;
    }
    data.set(key, scalar.value, this.#sourced(mark, scalar));
  }

  /** `<<: *base` or `<<: [*a, *b]`: what is there already stays. */
  #merge(data: PhpArray, content: string): void {
    const value =
      content === "" || content.startsWith("#") ? this.#embedded(undefined, false).value : this.#value(content, this.#mark(0)).value;
    if (!(value instanceof PhpArray)) throw this.#error("`<<` needs a map, or a list of maps");
    const maps = content.startsWith("[") ? value.entries().map(([, inner]) => inner) : [value];
    for (const map of maps) {
      if (!(map instanceof PhpArray)) throw this.#error("`<<` needs a map, or a list of maps");
      for (const [key, inner] of map.entries()) if (!data.has(key)) data.set(key, inner, map.mark(key));
    }
  }

  #value(content: string, mark: Mark): Scalar {
    if (content.startsWith("*")) {
      const hash = content.indexOf("#");
      const name = (hash === -1 ? content.slice(1) : content.slice(1, hash - 1)).trim();
      const value = this.#shared.anchors.get(name);
      if (value === undefined) throw this.#error(`the reference *${name} is not defined`);
      return { value };
    }
    const block = BLOCK_SCALAR.exec(content);
    if (block) return { value: this.#blockScalar(block[1] ?? "|", block[2] ?? "") };
    return this.#inLine(() =>
      parseInline(content, this.#shared.anchors as Anchors, (source) => (source === undefined ? mark : { ...mark, source })),
    );
  }

  #embedded(indentation: number | undefined, inList: boolean): Scalar {
    const lines = this.#block(indentation, inList);
    return lines === undefined ? { value: null } : new BlockReader(lines, this.#shared).read();
  }

  /** The lines below, deeper than this one (or a list at the same depth), with their indentation taken off. */
  #block(indentation?: number, inList = false): Line[] | undefined {
    const before = this.#indent();
    let scalars = this.#isBlockScalarHeader() ? [before] : [];
    if (!this.#next()) return undefined;
    const wanted = indentation ?? this.#indent();
    if (indentation === undefined && !this.#isEmpty() && wanted === 0 && !this.#isListItem()) throw this.#error("wrong indentation");
    if (this.#indent() < wanted) {
      this.#at--;
      return undefined;
    }
    const cut = (): Line => ({ text: this.#line.text.slice(wanted), line: this.#line.line, column: this.#line.column + wanted });
    const lines = [cut()];
    if (inList && before === wanted && lines[0]?.text.startsWith("-")) {
      this.#at--;
      return undefined;
    }
    const listHere = this.#isListItem();
    if (scalars.length === 0 && this.#isBlockScalarHeader()) scalars.push(this.#indent());
    let previous = this.#indent();
    while (this.#next()) {
      const indent = this.#indent();
      if (indent < previous && this.#line.text.trim() !== "") scalars = scalars.filter((own) => own < indent);
      if (scalars.length === 0 && !this.#isComment() && this.#isBlockScalarHeader()) scalars.push(indent);
      previous = indent;
      if (listHere && !this.#isEmpty() && !this.#isListItem() && wanted === indent) {
        this.#at--;
        break;
      }
      if (this.#isBlank()) lines.push(cut());
      else if (scalars.length === 0 && this.#isComment()) continue;
      else if (indent >= wanted) lines.push(cut());
      else if (indent === 0) {
        this.#at--;
        break;
      } else throw this.#error("wrong indentation: less than the lines above it, and not that of any of them");
    }
    return lines;
  }

  /** Drush 8 dies of these on PHP 8; we read what YAML says. */
  #blockScalar(style: string, modifiers: string): string {
    const explicit = Number(/\d+/.exec(modifiers)?.[0] ?? 0);
    const lines: string[] = [];
    let indent = explicit;
    while (this.#next()) {
      const { text } = this.#line;
      if (text.trim() !== "") {
        if (indent === 0) indent = this.#indent();
        if (indent === 0 || this.#indent() < indent) {
          this.#at--;
          break;
        }
      }
      lines.push(text.slice(indent));
    }
    const body = style === "|" ? lines.join("\n") : lines.join("\n").replace(/([^\n ])\n(?=[^\n ])/g, "$1 ");
    if (modifiers.includes("+")) return `${body}\n`;
    const bare = body.replace(/\n+$/, "");
    return modifiers.includes("-") || bare === "" ? bare : `${bare}\n`;
  }

  /** The whole text is one line that is neither a pair nor an item. */
  #singleLine(): Scalar | undefined {
    const [first, ...rest] = this.#lines;
    if (this.#at !== 0 || !first || rest.some((line) => line.text.trim() !== "")) return undefined;
    return this.#inLine(() => parseInline(first.text, this.#shared.anchors as Anchors));
  }

  #inLine<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw error instanceof YamlSyntaxError ? this.#error(error.message) : error;
    }
  }

  get #line(): Line {
    return this.#lines[Math.max(0, this.#at)] ?? { text: "", line: 1, column: 1 };
  }

  #next(): boolean {
    if (this.#at >= this.#lines.length - 1) return false;
    this.#at++;
    return true;
  }

  #indent(): number {
    return this.#line.text.length - this.#line.text.replace(/^ +/, "").length;
  }

  #isBlank(): boolean {
    return /^ *$/.test(this.#line.text);
  }

  #isComment(): boolean {
    return /^ *#/.test(this.#line.text);
  }

  #isEmpty(): boolean {
    return this.#isBlank() || this.#isComment();
  }

  #isListItem(): boolean {
    return this.#line.text.trimEnd() === "-" || this.#line.text.startsWith("- ");
  }

  #isBlockScalarHeader(): boolean {
    return BLOCK_SCALAR_HEADER.test(this.#line.text);
  }

  /** Both leave the reader on the line before the next one with content, as the block is read from there. */
  #nextIsDeeper(): boolean {
    const indent = this.#indent();
    return this.#peek(() => this.#indent() > indent);
  }

  #nextIsListItemHere(): boolean {
    const indent = this.#indent();
    const from = this.#at;
    const found = this.#peek(() => this.#indent() === indent && this.#isListItem());
    if (!found) this.#at = from;
    return found;
  }

  #peek(looksRight: () => boolean): boolean {
    const from = this.#at;
    while (this.#next()) {
      if (this.#isEmpty()) continue;
      const found = looksRight();
      this.#at = found ? this.#at - 1 : from;
      return found;
    }
    this.#at = from;
    return false;
  }

  #mark(offset: number): Mark {
    const { line, column } = this.#line;
    return { file: this.#shared.file, line, column: column + offset };
  }

  #sourced(mark: Mark, { value, source }: Scalar): Mark {
    return source === undefined || source === value ? mark : { ...mark, source };
  }

  #error(message: string): YamlError {
    return new YamlError(this.#mark(this.#indent()), message);
  }
}

function unreadable(text: string): string {
  if (/^\s*(<{7}|={7}|>{7})/.test(text)) return `a merge conflict was left in the file: ${text.trim().slice(0, 60)}`;
  if (/^\s/.test(text)) return `this line is indented deeper than what stands above it: ${text.trim().slice(0, 60)}`;
  return `neither a key with \`:\` nor a list item: ${text.trim().slice(0, 60)}`;
}

/** `%YAML`, comments and `---` at the start, `...` at the end. */
function withoutMarkers(lines: readonly Line[]): readonly Line[] {
  let start = 0;
  while (start < lines.length && /^(?:%YAML[: ][\d.]+|\s*#.*)/u.test((lines[start] as Line).text)) start++;
  let end = lines.length;
  if (/^---(?: |$)/.test(lines[start]?.text ?? "")) {
    start++;
    const last = lines.findLastIndex((line) => line.text.trim() !== "");
    if (last >= start && /^\.\.\.\s*$/.test((lines[last] as Line).text)) end = last;
  }
  return lines.slice(start, end);
}
