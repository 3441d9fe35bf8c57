import { isScalar, isSeq, Lexer, type Pair, type ParsedNode, parseDocument, type Scalar } from "yaml";
import { ProvisionError } from "../core/errors.js";
import { type Kind, properties } from "./schema.js";
import { check, contextOf, type Problem, sentence, settingsOf, valuesOf, yamlValue } from "./validate.js";
import { parseYaml, type YamlFile } from "./yaml-file.js";

/** A value of a context file; undefined takes the property out. */
export type Value = string | number | boolean | readonly string[] | Readonly<Record<string, string>> | undefined;
export type Changes = ReadonlyMap<string, Value>;

type Entry = Pair<ParsedNode, ParsedNode | null>;

/** A stretch of text and what comes in its place. */
interface Splice {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

/**
 * Text of a context file (or provision.yml) with `changes` made. Every comment stays, even that of a
 * property taken out; so do order, quotes and spacing of whatever is not changed. New properties come last, in the
 * order of the schema. No change, or the same changes again: the same bytes. `text` undefined: a new file.
 * `path` is for messages only.
 *
 * Throws INVALID_VALUE (exit 64) when a changed property is wrong, INVALID_FILE (65) when the rest of the file is.
 */
export function rewrite(text: string | undefined, kind: Kind, changes: Changes, path = "the context file"): string {
  const file = parseYaml(path, text ?? "");
  const { context_type: type } = file.values;
  if (kind !== "hub" && type !== undefined && type !== kind)
    throw new ProvisionError("INVALID_VALUE", `${path} is a ${String(type)} and cannot become a ${kind}`, {
      next: ["delete it first (provision save @name --delete), or take another name"],
    });
  const before = valuesOf(file, kind);
  const order = [...properties(kind).keys()];
  const wanted: [string, Value][] = [...changes, ...(kind === "hub" ? [] : [["context_type", kind] as [string, Value]])];
  const different = wanted
    .filter(([key, value]) => (value === undefined ? Object.hasOwn(before, key) : !equal(before[key], value)))
    .sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  const values = { ...before };
  for (const [key, value] of different) {
    if (value === undefined) delete values[key];
    else values[key] = value;
  }
  validate(kind, values, new Map(wanted), file);
  if (different.length === 0 && text !== undefined) return text;

  const edited = spliced(file, different);
  // What was spliced has to say what was meant, with every comment; a file in a style not foreseen is set anew instead.
  return says(edited, kind, values, file.text) ? edited : setAnew(file, different);
}

/** Throws when `values` would not be a valid file: what was asked for by its option, what was there before by its place. */
function validate(kind: Kind, values: Readonly<Record<string, unknown>>, changes: Changes, file: YamlFile): void {
  const { problems = [] } = check(kind, values);
  const asked = problems.filter(({ path: [key] }) => changes.has(String(key)) || !Object.hasOwn(file.values, String(key)));
  if (asked.length > 0) throw invalidOptions(asked);
  if (problems.length === 0) return;
  if (kind === "hub") settingsOf(file);
  else contextOf(file, "");
  // The file was right before: a change made something else wrong (a redirection to an alias that goes).
  throw invalidOptions(problems);
}

/** INVALID_VALUE (exit 64): one problem is the message, several are one line each. */
export function invalidOptions(problems: readonly Problem[]): ProvisionError {
  const lines = problems.map((problem) => option(problem));
  const [first = ""] = lines;
  return lines.length === 1
    ? new ProvisionError("INVALID_VALUE", first)
    : new ProvisionError("INVALID_VALUE", `${lines.length} properties are wrong`, { why: lines });
}

function option(problem: Problem): string {
  const { path, what, example } = problem;
  const key = String(path[0]);
  if (path.length > 1 || typeof example === "object" || example === undefined) return sentence(problem);
  const written = String(example);
  return `--${key} ${what}; for example --${key}=${/\s/.test(written) ? `'${written}'` : written}`;
}

function spliced(file: YamlFile, changes: readonly (readonly [string, Value])[]): string {
  const { text, map } = file;
  const eol = text.includes("\r\n") ? "\r\n" : "\n";
  const splices: Splice[] = [];
  const added: string[] = [];
  const entries = new Map((map?.items ?? []).map((entry) => [String(entry.key), entry as Entry]));
  const [first] = entries.values();
  const indent = first ? text.slice(lineStart(text, startOf(first)), startOf(first)) : "";
  for (const [key, value] of changes) {
    const entry = entries.get(key);
    if (!entry) {
      if (value !== undefined) added.push(`${indent}${key}: ${written(value)}${eol}`);
    } else if (value === undefined) splices.push(removed(text, entry, indent, eol));
    else splices.push(...changed(text, entry, key, value, indent, eol));
  }
  let edited = text;
  for (const { from, to, text: instead } of splices.toSorted((a, b) => b.from - a.from))
    edited = edited.slice(0, from) + instead + edited.slice(to);
  if (added.length > 0 && edited !== "" && !edited.endsWith("\n")) edited += eol;
  return edited + added.join("");
}

function changed(
  text: string,
  entry: Entry,
  key: string,
  value: Exclude<Value, undefined>,
  indent: string,
  eol: string,
): readonly Splice[] {
  const { value: node } = entry;
  const [from, to] = node?.range ?? [0, 0];
  if (isScalar(node) && from < to && !text.slice(from, to).includes("\n") && typeof value !== "object")
    return [{ from, to, text: inTheStyleOf(node, value) }];
  if (isSeq(node) && !node.flow && Array.isArray(value)) {
    const items = inPlace(text, node.items as ParsedNode[], value as readonly string[], eol);
    if (items) return items;
  }
  const start = startOf(entry);
  const end = endOf(text, entry);
  return [{ from: start, to: end, text: `${own(commentsIn(text, start, end), indent, eol)}${key}: ${written(value)}` }];
}

/** A property taken out: its lines go, the comments in them and beside them stay as lines of their own. */
function removed(text: string, entry: Entry, indent: string, eol: string): Splice {
  const from = lineStart(text, startOf(entry));
  const to = lineEnd(text, endOf(text, entry));
  return {
    from,
    to,
    text: commentsIn(text, from, to)
      .map((comment) => `${indent}${comment}${eol}`)
      .join(""),
  };
}

/** Items of a block list taken out and added, when those that stay keep their order; undefined when they do not. */
function inPlace(text: string, nodes: readonly ParsedNode[], wanted: readonly string[], eol: string): readonly Splice[] | undefined {
  const [firstNode] = nodes;
  const last = nodes.at(-1);
  if (!firstNode || !last || !nodes.every((node) => isScalar(node) && !text.slice(...span(node)).includes("\n"))) return undefined;
  const had = nodes.map((node) => (node as Scalar).value);
  const staying = had.filter((item) => wanted.includes(item as string));
  const added = wanted.slice(staying.length);
  if (staying.length === 0 || !equal([...staying, ...added], wanted)) return undefined;
  const dash = text.slice(lineStart(text, firstNode.range[0]), firstNode.range[0]);
  if (!/^\s*- +$/.test(dash)) return undefined;
  const gone = nodes.filter((node) => !wanted.includes((node as Scalar).value as string));
  const splices: Splice[] = gone.map((node) => {
    const from = lineStart(text, node.range[0]);
    const to = lineEnd(text, node.range[1]);
    const indent = /^\s*/.exec(dash)?.[0] ?? "";
    return {
      from,
      to,
      text: commentsIn(text, from, to)
        .map((comment) => `${indent}${comment}${eol}`)
        .join(""),
    };
  });
  if (added.length > 0) {
    const stays = nodes.findLast((node) => !gone.includes(node)) as ParsedNode;
    const at = lineEnd(text, stays.range[1]);
    const newline = text.slice(0, at).endsWith("\n") ? "" : eol;
    splices.push({ from: at, to: at, text: newline + added.map((item) => `${dash}${yamlValue(item)}${eol}`).join("") });
  }
  return splices;
}

/** The file as the YAML library writes it; comments that it would lose go to the top. */
function setAnew(file: YamlFile, changes: readonly (readonly [string, Value])[]): string {
  const document = parseDocument(file.text, { uniqueKeys: false });
  for (const [key, value] of changes) {
    if (value === undefined) document.delete(key);
    else document.set(key, value);
  }
  const text = document.toString({ lineWidth: 0, flowCollectionPadding: false });
  const kept = commentsIn(text, 0, text.length);
  const lost = commentsIn(file.text, 0, file.text.length).filter(
    (comment) => !kept.some((other) => other.includes(comment.replace(/^#\s*/, ""))),
  );
  return own(lost, "", "\n") + text;
}

function says(edited: string, kind: Kind, values: Readonly<Record<string, unknown>>, before: string): boolean {
  try {
    const file = parseYaml("", edited);
    const kept = commentsIn(edited, 0, edited.length);
    return equal(valuesOf(file, kind), values) && equal(commentsIn(before, 0, before.length).toSorted(), kept.toSorted());
  } catch (error) {
    if (error instanceof ProvisionError) return false;
    throw error;
  }
}

/** Comments whose text begins in a stretch, from their `#` to the end of the line. Pure; found by the YAML lexer, so a `#` in quotes is none. */
export function commentsIn(text: string, from: number, to: number): readonly string[] {
  const found: string[] = [];
  let offset = text.startsWith("\uFEFF") ? 1 : 0;
  let scalar = false;
  for (const token of new Lexer().lex(text.slice(offset))) {
    if (token === "\u0002" || token === "\u0018" || token === "\uFEFF") continue;
    if (token === "\u001F") {
      scalar = true;
      continue;
    }
    if (!scalar && token.startsWith("#") && offset >= from && offset < to) found.push(token.trimEnd());
    scalar = false;
    offset += token.length;
  }
  return found;
}

function own(comments: readonly string[], indent: string, eol: string): string {
  return comments.map((comment) => `${comment}${eol}${indent}`).join("");
}

function inTheStyleOf(node: Scalar, value: string | number | boolean): string {
  if (typeof value !== "string") return written(value);
  if (node.type === "QUOTE_DOUBLE") return JSON.stringify(value);
  if (node.type === "QUOTE_SINGLE" && !/[\n\p{Cc}]/u.test(value)) return `'${value.replaceAll("'", "''")}'`;
  return written(value);
}

function written(value: Exclude<Value, undefined>): string {
  return yamlValue(value);
}

function span(node: ParsedNode): [number, number] {
  return [node.range[0], node.range[1]];
}

function startOf(entry: Entry): number {
  return entry.key.range[0];
}

/** Where a property ends, before a comment beside it. */
function endOf(text: string, entry: Entry): number {
  const { key, value } = entry;
  const end = value && value.range[1] > key.range[1] ? value.range[1] : text.indexOf(":", key.range[1]) + 1;
  return text.slice(0, end).trimEnd().length;
}

function lineStart(text: string, offset: number): number {
  return text.lastIndexOf("\n", offset - 1) + 1;
}

function lineEnd(text: string, offset: number): number {
  const newline = text.indexOf("\n", offset);
  return newline < 0 ? text.length : newline + 1;
}

function equal(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [Object.entries(a), Object.entries(b)];
  return (
    left.length === right.length && left.every(([key, value]) => Object.hasOwn(b, key) && equal(value, (b as Record<string, unknown>)[key]))
  );
}
