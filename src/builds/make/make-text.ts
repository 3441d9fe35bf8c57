import { type Mark, PhpArray, PhpFloat, type PhpKey, type PhpValue, phpText } from "./php-value.js";

/** Comment lines, without their sign, that belong above what stands at a mark; each is given out once. */
export type CommentsAt = (mark: Mark | undefined) => readonly string[];

const none: CommentsAt = () => [];

/** An INI make file. What INI cannot say (an empty map, the text `null`, brackets in a name) comes out as near as it can. */
export function iniText(document: PhpArray, comments: CommentsAt = none): string {
  const lines: string[] = [];
  for (const [key, value] of document.entries()) {
    const mark = document.mark(key);
    if (!(value instanceof PhpArray)) {
      lines.push(...iniComments(comments(mark)), `${key} = ${iniValue(value, false)}`);
      continue;
    }
    const nested = value.entries().some(([, inner]) => inner instanceof PhpArray);
    if (!nested) lines.push("", ...iniComments(comments(mark)), ...iniLines(String(key), value));
    else {
      const above = iniComments(comments(mark));
      value.entries().forEach(([name, inner], index) => {
        const one = new PhpArray().set(name, key === "projects" ? someVersion(inner) : inner);
        const own = iniComments(comments(value.mark(name)));
        lines.push("", ...(index === 0 ? above : []), ...own, ...iniLines(String(key), one, false));
      });
    }
  }
  return `${lines.join("\n").replace(/^\n+/, "")}\n`;
}

/** `drupal: {}` is a project of any version; there is no other way to name it here. */
function someVersion(project: PhpValue): PhpValue {
  return project instanceof PhpArray && project.size === 0 ? new PhpArray().set("version", "") : project;
}

function iniComments(comments: readonly string[]): readonly string[] {
  return comments.map((text) => `;${text}`);
}

function iniLines(path: string, value: PhpArray, mayAppend = true): string[] {
  // `[]` is the number of elements: only for texts, since each mention counts.
  const append = mayAppend && isList(value) && value.entries().every(([, inner]) => !(inner instanceof PhpArray));
  return value.entries().flatMap(([key, inner]) => {
    const own = append ? `${path}[]` : `${path}[${key}]`;
    return inner instanceof PhpArray ? iniLines(own, inner) : [`${own} = ${iniValue(inner, true)}`];
  });
}

function iniValue(value: Exclude<PhpValue, PhpArray>, quoted: boolean): string {
  if (value === null) return "NULL";
  if (typeof value === "boolean") return value ? "TRUE" : "FALSE";
  const text = phpText(value);
  const bare = text !== "" && !/[\r\n\0]|^[\s"']|\s$/.test(text);
  if (bare && (!quoted || /["\\]/.test(text))) return text;
  return `"${text.replace(/[\\"]/g, "\\$&").replaceAll("\0", "\\0")}"`;
}

function isList(value: PhpArray): boolean {
  return value.keys().every((key, index) => key === index);
}

/** A YAML make file that drush's reader, and any other, reads as what is given. */
export function yamlText(document: PhpArray, comments: CommentsAt = none): string {
  return `${yamlLines(document, "", comments).join("\n")}\n`;
}

function yamlLines(value: PhpArray, indent: string, comments: CommentsAt): string[] {
  const list = isList(value);
  return value.entries().flatMap(([key, inner]) => {
    // In INI a section and its first entry are one line: the comment is the entry's.
    const [first] = inner instanceof PhpArray ? inner.keys() : [];
    const shared = inner instanceof PhpArray && first !== undefined && inner.mark(first)?.line === value.mark(key)?.line;
    const above = (indent === "" && shared ? [] : comments(value.mark(key))).map((text) => `${indent}#${text}`);
    const head = list ? `${indent}-` : `${indent}${yamlKey(key)}:`;
    if (!(inner instanceof PhpArray)) return [...above, `${head} ${yamlScalar(inner, value.mark(key))}`];
    if (inner.size === 0) return [...above, `${head} {  }`];
    return [...above, head, ...yamlLines(inner, `${indent}  `, comments)];
  });
}

function yamlKey(key: PhpKey): string {
  return typeof key === "number" ? String(key) : yamlString(key);
}

function yamlScalar(value: Exclude<PhpValue, PhpArray>, mark: Mark | undefined): string {
  if (value === null) return "null";
  if (typeof value === "boolean") return value ? "true" : "false";
  if (typeof value === "string") return yamlString(value);
  return value instanceof PhpFloat ? floatText(value, mark) : String(value);
}

/** As it was written, for `1.0` is another number than `1`. */
function floatText(value: PhpFloat, mark: Mark | undefined): string {
  if (mark?.source !== undefined && /^[+-]?\d*\.?\d+(?:[eE][+-]?\d+)?$/.test(mark.source)) return mark.source;
  if (!Number.isFinite(value.value)) return Number.isNaN(value.value) ? ".NAN" : value.value > 0 ? ".INF" : "-.INF";
  const text = value.toString();
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

const PLAIN = /^(?:[A-Za-z_/][\w./+:?&=%@~-]*|\d+\.x(?:-[\w.]+)?)$/;
const OTHER_THAN_TEXT = /^(?:true|false|null|yes|no|on|off|y|n|inf|nan)$/i;

function yamlString(text: string): string {
  if (PLAIN.test(text) && !text.endsWith(":") && !OTHER_THAN_TEXT.test(text)) return text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what single quotes cannot hold
  if (!/[\x00-\x1f\x7f\u0085\u00a0\u2028\u2029\ufeff]/.test(text)) return `'${text.replaceAll("'", "''")}'`;
  return `"${text.replace(/[\\"]/g, "\\$&").replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are escaped here
    /[\x00-\x1f\x7f\u0085\u00a0\u2028\u2029\ufeff]/g,
    (character) => ESCAPES[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )}"`;
}

const ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0" };
