import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { isAlias, isMap, isScalar, LineCounter, type Node, type ParsedNode, parseDocument, visit, type YAMLMap } from "yaml";
import { isSystemError, messageOf, ProvisionError } from "../core/errors.js";
import { quoted } from "./names.js";

/** One-based, as editors count. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Where in a file: keys and list indexes from the top. */
export type YamlPath = readonly (string | number)[];

/** One thing wrong in a file. */
export interface FileProblem extends Position {
  readonly message: string;
}

/** More than anybody writes into a context, less than what hurts. */
const MAX_BYTES = 1024 * 1024;

/**
 * INVALID_FILE (exit 65). One problem is the message, `path:line:column what`; several are one line
 * each in `why`, in the order of the file.
 */
export function invalidFile(path: string, problems: readonly FileProblem[], next: readonly string[] = []): ProvisionError {
  const lines = problems
    .toSorted((a, b) => a.line - b.line || a.column - b.column)
    .map(({ line, column, message }) => `${path}:${line}:${column} ${message}`);
  const [first = path] = lines;
  return lines.length < 2
    ? new ProvisionError("INVALID_FILE", first, { next })
    : new ProvisionError("INVALID_FILE", `${path} has ${lines.length} problems`, { why: lines, next });
}

/**
 * Text of a UTF-8 file of at most 1 MiB; undefined when there is none. A byte order mark is left out.
 * Rejects with INVALID_FILE for what is no text file, PERMISSION_DENIED when it may not be read.
 */
export async function readText(path: string): Promise<string | undefined> {
  let file: number | undefined;
  try {
    // Not by promises: a hub has a thousand small files, and each trip to the thread pool takes longer than to read one. A pipe is not waited for.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = fstatSync(file);
    if (!stat.isFile()) throw new ProvisionError("INVALID_FILE", `${path} is not a file`);
    if (stat.size > MAX_BYTES) throw new ProvisionError("INVALID_FILE", `${path} has ${stat.size} bytes; at most ${MAX_BYTES} are read`);
    return decode(path, readFileSync(file));
  } catch (error) {
    if (isSystemError(error, "ENOENT") || isSystemError(error, "ENOTDIR")) return undefined;
    if (isSystemError(error, "EACCES") || isSystemError(error, "EPERM"))
      throw new ProvisionError("PERMISSION_DENIED", `cannot read ${path}: permission denied`, {
        next: ["run provision as the user that owns the hub"],
        cause: error,
      });
    if (isSystemError(error)) throw new ProvisionError("INVALID_FILE", `cannot read ${path}: ${messageOf(error)}`, { cause: error });
    throw error;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function decode(path: string, bytes: Buffer): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw invalidFile(path, [{ ...firstBadByte(bytes), message: "is not UTF-8; save the file as UTF-8" }]);
  }
  const control = /[^\P{Cc}\t\n\r]/u.exec(text);
  if (control) {
    const before = text.slice(0, control.index).split("\n");
    const position = { line: before.length, column: (before.at(-1) as string).length + 1 };
    throw invalidFile(path, [{ ...position, message: `holds the control character ${quoted(control[0])}; remove it` }]);
  }
  return text;
}

function firstBadByte(bytes: Buffer): Position {
  let start = 0;
  for (let line = 1; ; line++) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    // What was decoded with replacements is the same as the bytes up to the first bad one.
    const decoded = Buffer.from(bytes.subarray(start, end).toString("utf8"));
    if (!decoded.equals(bytes.subarray(start, end))) {
      const good = decoded.findIndex((byte, index) => byte !== bytes[start + index]);
      return { line, column: bytes.subarray(start, start + good).toString("utf8").length + 1 };
    }
    if (newline < 0) return { line, column: 1 };
    start = newline + 1;
  }
}

/** A parsed YAML file: one map, with the place of everything in it. */
export class YamlFile {
  readonly path: string;
  readonly text: string;
  /** The map; undefined for a file that holds nothing but comments. */
  readonly map: YAMLMap<ParsedNode, ParsedNode | null> | undefined;
  /** What is in the map, as plain data; no prototype. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly #lines: LineCounter;

  constructor(path: string, text: string, map: YamlFile["map"], lines: LineCounter) {
    this.path = path;
    this.text = text;
    this.map = map;
    this.#lines = lines;
    this.values = Object.fromEntries((map?.items ?? []).map((pair) => [String(pair.key), plain(pair.value)]));
  }

  /** Place of a value, or (`of: "key"`) of its key; of the nearest thing above it when it is not there. */
  position(path: YamlPath, of: "key" | "value" = "value"): Position {
    let node: Node | null | undefined = this.map;
    let offset = node?.range?.[0] ?? 0;
    for (const [depth, step] of path.entries()) {
      const last = depth === path.length - 1;
      if (isMap(node)) {
        const pair: { key: unknown; value: unknown } | undefined = node.items.find((item) => String(item.key) === String(step));
        if (!pair) break;
        const value = pair.value as Node | null;
        const key = pair.key as Node;
        offset = (last && of === "key") || isEmpty(value) ? (key.range?.[0] ?? offset) : (value?.range?.[0] ?? offset);
        node = value;
      } else {
        const item: unknown = (node as { items?: readonly unknown[] } | null | undefined)?.items?.[Number(step)];
        if (item === undefined) break;
        node = item as Node;
        offset = node.range?.[0] ?? offset;
      }
    }
    return this.at(offset);
  }

  at(offset: number): Position {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  /** What was written for a plain value: `8.10` where the number would be 8.1. */
  source(key: string): string | undefined {
    const pair = this.map?.items.find((item) => String(item.key) === key);
    return isScalar(pair?.value) && pair.value.type === "PLAIN" ? pair.value.source : undefined;
  }
}

function isEmpty(node: Node | null): boolean {
  return node === null || (isScalar(node) && node.range?.[0] === node.range?.[1]);
}

function plain(node: unknown): unknown {
  if (isScalar(node)) return node.value;
  if (isMap(node)) return Object.fromEntries(node.items.map((pair) => [String(pair.key), plain(pair.value)]));
  const items = (node as { items?: readonly unknown[] } | null)?.items;
  return items?.map(plain) ?? null;
}

/**
 * Reads text as YAML 1.2 core: one document, one map with text keys, no anchors, aliases or tags.
 * Throws INVALID_FILE with the place of what is wrong. `path` is only for messages.
 */
export function parseYaml(path: string, text: string): YamlFile {
  const lines = new LineCounter();
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const fail = (offset: number, message: string): ProvisionError => invalidFile(path, [{ ...at(offset), message }]);
  try {
    // uniqueKeys compares every key with every other, which a long file makes slow; ours knows both lines besides.
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false, version: "1.2" });
    const [error] = document.errors;
    if (error) throw fail(error.pos[0], syntax(error.code, error.message, text.slice(error.pos[0], error.pos[0] + 200)));
    const contents = document.contents as ParsedNode | null;
    if (contents === null || (isScalar(contents) && contents.value === null && contents.source === ""))
      return new YamlFile(path, text, undefined, lines);
    const problems: FileProblem[] = [];
    const problem = (offset: number, message: string) => problems.push({ ...at(offset), message });
    visit(document, {
      Node(_, node) {
        const offset = node.range?.[0] ?? 0;
        if (isAlias(node))
          problem(
            offset,
            `*${node.source} is a YAML alias, which is not used here; a name that begins with * is quoted: "*${node.source}"`,
          );
        else if ("anchor" in node && node.anchor)
          problem(offset, `&${node.anchor} is a YAML anchor, which is not used here; write the value out`);
        else if (node.tag && node.tag !== "!")
          problem(offset, `${shortTag(node.tag)} is a YAML tag, which is not used here; write the plain value`);
      },
      Map(_, map) {
        const first = new Map<string, number>();
        for (const pair of map.items) {
          const key = pair.key as ParsedNode;
          const offset = key?.range?.[0] ?? map.range?.[0] ?? 0;
          if (!isScalar(key) || typeof key.value === "object") problem(offset, "a key has to be a word; for example context_type: site");
          else {
            const before = first.get(String(key.value));
            if (before === undefined) first.set(String(key.value), offset);
            else problem(offset, `${quoted(String(key.value))} was given on line ${at(before).line} already; keep one of the two`);
          }
        }
      },
    });
    if (problems.length > 0) throw invalidFile(path, problems.slice(0, 20));
    if (!isMap(contents)) throw fail(contents.range[0], "is not a list of keys with values; for example context_type: site");
    return new YamlFile(path, text, contents as YamlFile["map"], lines);
  } catch (error) {
    if (error instanceof RangeError) throw fail(0, "is nested too deeply");
    throw error;
  }
}

function shortTag(tag: string): string {
  return quoted(tag.replace("tag:yaml.org,2002:", "!!"));
}

/** The parser's message, in words that say how to write it right. */
function syntax(code: string, message: string, source: string): string {
  const word = /^[@`][^\s,\]}#]*/.exec(source)?.[0];
  if (code === "BAD_SCALAR_START" && word !== undefined) return `${word} has to be in quotes: "${word}"`;
  if (code === "MULTIPLE_DOCS") return "a second YAML document begins here; a file holds one";
  if (code === "TAB_AS_INDENT") return "tabs cannot indent YAML; use spaces";
  if (code === "BLOCK_AS_IMPLICIT_KEY") return 'a second ": " in one line; a value that holds one has to be in quotes';
  return `is not YAML: ${message}`;
}
