/**
 * What PHP holds after drush has read a make file: its arrays keep the order of insertion even for
 * integer keys (JavaScript objects do not), tell `1` from `1.0`, and take any name (`__proto__`) as a key.
 */
export type PhpKey = string | number;
export type PhpValue = string | number | boolean | null | PhpFloat | PhpArray;

/** Where a value was written, and its own text there when reading changed it (`3.10` is read as 3.1). */
export interface Mark {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
  readonly source?: string;
}

export class PhpFloat {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }

  /** As `echo` prints it at PHP's default precision of 14 digits: `1.0` is "1". */
  toString(): string {
    if (Number.isNaN(this.value)) return "NAN";
    if (!Number.isFinite(this.value)) return this.value > 0 ? "INF" : "-INF";
    if (Object.is(this.value, -0)) return "-0";
    const [digits = "", exponent = "0"] = this.value.toExponential(13).split("e");
    const power = Number(exponent);
    if (power < -4 || power >= 14) {
      const mantissa = trimZeros(digits);
      return `${mantissa.includes(".") ? mantissa : `${mantissa}.0`}E${power < 0 ? "" : "+"}${power}`;
    }
    return trimZeros(this.value.toFixed(Math.max(0, 13 - power)));
  }
}

function trimZeros(digits: string): string {
  return digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
}

/** An ordered PHP array. A mark belongs to a key, so that it is found again after merging. */
export class PhpArray {
  readonly #values = new Map<PhpKey, PhpValue>();
  readonly #marks = new Map<PhpKey, Mark>();

  get size(): number {
    return this.#values.size;
  }

  get(key: PhpKey): PhpValue | undefined {
    return this.#values.get(phpKey(key));
  }

  has(key: PhpKey): boolean {
    return this.#values.has(phpKey(key));
  }

  set(key: PhpKey, value: PhpValue, mark?: Mark): this {
    const own = phpKey(key);
    this.#values.set(own, value);
    if (mark) this.#marks.set(own, mark);
    else this.#marks.delete(own);
    return this;
  }

  delete(key: PhpKey): void {
    this.#values.delete(phpKey(key));
    this.#marks.delete(phpKey(key));
  }

  mark(key: PhpKey): Mark | undefined {
    return this.#marks.get(phpKey(key));
  }

  keys(): PhpKey[] {
    return [...this.#values.keys()];
  }

  entries(): [PhpKey, PhpValue][] {
    return [...this.#values];
  }

  /** With arrays inside copied too. */
  copy(): PhpArray {
    const copied = new PhpArray();
    for (const [key, value] of this.#values) copied.set(key, value instanceof PhpArray ? value.copy() : value, this.#marks.get(key));
    return copied;
  }
}

/** PHP turns a key that is a decimal integer (`7`, `-1`; not `07`, not `1.5`) into an integer. */
export function phpKey(key: PhpKey): PhpKey {
  return typeof key === "string" && /^(?:0|-?[1-9][0-9]{0,14})$/.test(key) ? Number(key) : key;
}

/** PHP's `(string)`; an array is "Array" and no use to anyone. */
export function phpText(value: PhpValue | undefined): string {
  if (value === undefined || value === null || value === false) return "";
  if (value === true) return "1";
  return value instanceof PhpArray ? "Array" : String(value);
}

/** PHP's `!empty()`. */
export function isTruthy(value: PhpValue | undefined): boolean {
  if (value === undefined || value === null || value === false || value === "" || value === "0" || value === 0) return false;
  if (value instanceof PhpFloat) return value.value !== 0;
  return !(value instanceof PhpArray) || value.size > 0;
}

/** PHP 8's `is_numeric()`. */
export function isNumeric(value: PhpValue | undefined): boolean {
  if (typeof value === "number" || value instanceof PhpFloat) return true;
  return typeof value === "string" && isNumericText(value);
}

export function isNumericText(text: string): boolean {
  return /^[ \t\n\v\f\r]*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?[ \t\n\v\f\r]*$/.test(text);
}

/** PHP's `array_replace_recursive(base, over)`: keys of `base` first, values of `over` win, arrays on both sides are merged key by key. */
export function replaceRecursive(base: PhpArray, over: PhpArray): PhpArray {
  const merged = base.copy();
  for (const [key, value] of over.entries()) {
    const below = merged.get(key);
    if (value instanceof PhpArray && below instanceof PhpArray)
      merged.set(key, replaceRecursive(below, value), over.mark(key) ?? merged.mark(key));
    else merged.set(key, value instanceof PhpArray ? value.copy() : value, over.mark(key));
  }
  return merged;
}

export type Ordered =
  | string
  | boolean
  | null
  | { readonly i: number }
  | { readonly f: string }
  | { readonly a: readonly (readonly [PhpKey, Ordered])[] };

/** The order-safe JSON of `make-check`: arrays `{"a":[[key, value], …]}`, integers `{"i":n}`, floats `{"f":"as PHP prints it"}`. */
export function encodeOrdered(value: PhpValue): Ordered {
  if (typeof value === "number") return { i: value };
  if (value instanceof PhpFloat) return { f: value.toString() };
  if (value instanceof PhpArray) return { a: value.entries().map(([key, inner]) => [key, encodeOrdered(inner)] as const) };
  return value;
}
