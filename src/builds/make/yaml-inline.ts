import { isNumericText, type Mark, PhpArray, PhpFloat, type PhpKey, type PhpValue } from "./php-value.js";

/** Text on one line that the YAML reader of drush refuses. */
export class YamlSyntaxError extends Error {}

export type Anchors = ReadonlyMap<string, PhpValue>;

/** A value, and the text it was made of when it was not quoted. */
export interface Scalar {
  readonly value: PhpValue;
  readonly source?: string;
}

/**
 * Values on one line as the YAML reader vendored in Drush 8 (Symfony 2.8, a subset of YAML 1.1) takes them:
 * quoted, plain, `[…]` and `{…}`. Notably plain text may begin with `@`, `%` or a backtick and may hold `: `,
 * a number with leading zero is octal, `1,000` is a number, a date is a Unix time, `yes` is text.
 *
 * @throws YamlSyntaxError
 */
export function parseInline(text: string, anchors: Anchors, markInner?: InnerMark): Scalar {
  const trimmed = phpTrim(text);
  if (trimmed === "") return { value: "" };
  const reader = new InlineReader(trimmed, anchors, markInner);
  const scalar = reader.whole();
  const rest = trimmed.slice(reader.at);
  if (rest !== "" && !/^\s+#/.test(rest)) throw new YamlSyntaxError(`unexpected characters near ${JSON.stringify(rest.slice(0, 40))}`);
  return scalar;
}

/** A key before `:`, quoted or not. */
export function parseKey(text: string): string {
  const reader = new InlineReader(text, new Map());
  return reader.plainKey();
}

/** Called for each plain scalar inside `[…]` or `{…}`; gives the mark of it. */
export type InnerMark = (source: string | undefined) => Mark;

class InlineReader {
  at = 0;
  readonly #text: string;
  readonly #anchors: Anchors;
  readonly #mark: InnerMark | undefined;

  constructor(text: string, anchors: Anchors, mark?: InnerMark) {
    this.#text = text;
    this.#anchors = anchors;
    this.#mark = mark;
  }

  whole(): Scalar {
    const first = this.#text[0];
    if (first === "[") return { value: this.#sequence() };
    if (first === "{") return { value: this.#mapping() };
    if (first === '"' || first === "'") return { value: this.#quoted() };
    return evaluated(this.#plainToEnd(), this.#anchors);
  }

  plainKey(): string {
    const first = this.#text[0];
    return first === '"' || first === "'" ? this.#quoted() : phpTrim(this.#plainToEnd());
  }

  #plainToEnd(): string {
    const rest = this.#text.slice(this.at);
    this.at = this.#text.length;
    const comment = rest.search(/[ \t]+#/);
    return comment === -1 ? rest : rest.slice(0, comment);
  }

  #quoted(): string {
    const match = /^(?:"((?:[^"\\]|\\[^\n])*)"|'((?:[^']|'')*)')/.exec(this.#text.slice(this.at));
    if (!match) throw new YamlSyntaxError(`a quote is not closed: ${this.#text.slice(this.at, this.at + 60)}`);
    this.at += match[0].length;
    return match[1] === undefined ? (match[2] as string).replaceAll("''", "'") : unescapeQuoted(match[1]);
  }

  /** A scalar inside brackets: up to one of `delimiters`. */
  #delimited(delimiters: string): { text: string; quoted: boolean } {
    const first = this.#text[this.at];
    if (first === '"' || first === "'") {
      const text = this.#quoted();
      const after = /^ *(.?)/s.exec(this.#text.slice(this.at))?.[1] ?? "";
      if (after === "" || !delimiters.includes(after))
        throw new YamlSyntaxError(`unexpected characters after a quoted text: ${this.#text.slice(this.at, this.at + 40)}`);
      return { text, quoted: true };
    }
    let end = this.at + 1;
    while (end < this.#text.length && !delimiters.includes(this.#text[end] as string)) end++;
    if (end >= this.#text.length) throw new YamlSyntaxError(`a bracket is not closed: ${this.#text.slice(0, 60)}`);
    const text = this.#text.slice(this.at, end);
    this.at = end;
    return { text, quoted: false };
  }

  #sequence(): PhpArray {
    const list = new PhpArray();
    for (this.at++; this.at < this.#text.length; this.at++) {
      const character = this.#text[this.at];
      if (character === "]") {
        this.at++;
        return list;
      }
      if (character === "[" || character === "{") {
        list.set(list.size, character === "[" ? this.#sequence() : this.#mapping(), this.#mark?.(undefined));
        this.at--;
      } else if (character !== "," && character !== " ") {
        const { text, quoted } = this.#delimited(",]");
        const scalar = quoted ? { value: text } : evaluated(text, this.#anchors);
        list.set(list.size, quoted ? scalar.value : this.#embeddedMapping(scalar.value), this.#mark?.(scalar.source));
        this.at--;
      }
    }
    throw new YamlSyntaxError(`a bracket is not closed: ${this.#text.slice(0, 60)}`);
  }

  /** `[a: b]` is a list of one map. */
  #embeddedMapping(value: PhpValue): PhpValue {
    if (typeof value !== "string" || !value.includes(": ")) return value;
    try {
      return new InlineReader(`{${value}}`, this.#anchors, this.#mark).whole().value;
    } catch (error) {
      if (error instanceof YamlSyntaxError) return value;
      throw error;
    }
  }

  #mapping(): PhpArray {
    const map = new PhpArray();
    this.at++;
    while (this.at < this.#text.length) {
      const character = this.#text[this.at];
      if (character === " " || character === ",") {
        this.at++;
        continue;
      }
      if (character === "}") {
        this.at++;
        return map;
      }
      const { text: key } = this.#delimited(": ");
      if (!this.#mapValue(map, key)) break;
    }
    throw new YamlSyntaxError(`a brace is not closed: ${this.#text.slice(0, 60)}`);
  }

  #mapValue(map: PhpArray, key: PhpKey): boolean {
    for (; this.at < this.#text.length; this.at++) {
      const character = this.#text[this.at];
      if (character === ":" || character === " ") continue;
      let scalar: Scalar;
      if (character === "[") scalar = { value: this.#sequence() };
      else if (character === "{") scalar = { value: this.#mapping() };
      else {
        const { text, quoted } = this.#delimited(",}");
        scalar = quoted ? { value: text } : evaluated(text, this.#anchors);
      }
      if ((map.get(key) ?? null) === null) map.set(key, scalar.value, this.#mark?.(scalar.source));
      return true;
    }
    return false;
  }
}

function evaluated(text: string, anchors: Anchors): Scalar {
  const scalar = phpTrim(text);
  return { value: evaluate(scalar, anchors), source: scalar };
}

function evaluate(scalar: string, anchors: Anchors): PhpValue {
  if (scalar.startsWith("*")) {
    const name = scalar.slice(1).split(" #", 1)[0]?.trim() ?? "";
    const value = anchors.get(name);
    if (value === undefined) throw new YamlSyntaxError(`the reference *${name} is not defined`);
    return value;
  }
  const lower = scalar.toLowerCase();
  if (scalar === "" || scalar === "~" || lower === "null") return null;
  if (lower === "true") return true;
  if (lower === "false") return false;
  if (!/^[-+.!0-9]/.test(scalar)) return scalar;
  return tagged(scalar, anchors) ?? number(scalar, lower) ?? timestamp(scalar) ?? scalar;
}

function tagged(scalar: string, anchors: Anchors): PhpValue | undefined {
  if (scalar.startsWith("!str")) return scalar.slice(5);
  if (scalar.startsWith("! ")) return Number.parseInt(String(parseInline(scalar.slice(2), anchors).value), 10) || 0;
  if (scalar.startsWith("!!float ")) return new PhpFloat(Number.parseFloat(scalar.slice(8)) || 0);
  return undefined;
}

const LARGEST = 2n ** 63n - 1n;

function number(scalar: string, lower: string): PhpValue | undefined {
  const digits = /^(-?)([0-9]+)$/.exec(scalar);
  if (digits) {
    const [, sign = "", body = ""] = digits;
    if (body.startsWith("0")) {
      // octdec() passes over what is no octal digit
      const octal = Number.parseInt(body.replace(/[89]/g, ""), 8);
      return sign === "-" ? -octal : octal;
    }
    return BigInt(body) > LARGEST ? undefined : Number(scalar);
  }
  if (/^0x[0-9a-f]+$/i.test(scalar)) return Number.parseInt(scalar, 16);
  if (isNumericText(scalar)) return new PhpFloat(Number(scalar));
  if (lower === ".inf" || lower === ".nan") return new PhpFloat(Number.POSITIVE_INFINITY);
  if (lower === "-.inf") return new PhpFloat(Number.NEGATIVE_INFINITY);
  if (/^[-+]?[0-9,]+(?:\.[0-9]+)?$/.test(scalar)) return new PhpFloat(Number.parseFloat(scalar.replaceAll(",", "")) || 0);
  return undefined;
}

/** A date without a zone is in UTC. */
function timestamp(scalar: string): number | undefined {
  const match =
    /^(\d{4})-(\d\d?)-(\d\d?)(?:(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.\d*)?(?:[ \t]*(Z|([-+])(\d\d?)(?::?(\d\d))?))?)?$/.exec(scalar);
  if (!match) return undefined;
  const [, year, month, day, hour = "0", minute = "0", second = "0", , sign, zoneHour = "0", zoneMinute = "0"] = match;
  const zone = (Number(zoneHour) * 60 + Number(zoneMinute)) * 60 * (sign === "-" ? -1 : 1);
  return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second)) / 1000 - zone;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "0": "\0",
  a: "\x07",
  b: "\b",
  t: "\t",
  "\t": "\t",
  n: "\n",
  v: "\v",
  f: "\f",
  r: "\r",
  e: "\x1b",
  " ": " ",
  '"': '"',
  "/": "/",
  "\\": "\\",
  N: "\u0085",
  _: "\u00a0",
  L: "\u2028",
  P: "\u2029",
};

/** An unknown escape keeps its backslash: `"Foo\Var"`. */
function unescapeQuoted(text: string): string {
  return text.replace(
    /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([\s\S]))/g,
    (whole, x?: string, u?: string, long?: string, one?: string) => {
      const code = x ?? u ?? long;
      if (code === undefined) return (one !== undefined && Object.hasOwn(ESCAPES, one) ? ESCAPES[one] : undefined) ?? whole;
      const point = Number.parseInt(code, 16);
      return point > 0x10ffff ? whole : String.fromCodePoint(point);
    },
  );
}

function phpTrim(text: string): string {
  return text.replace(/^[ \t\n\r\0\v]+|[ \t\n\r\0\v]+$/g, "");
}
