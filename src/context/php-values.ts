/** A value as PHP's var_export writes it. Keys of an array are texts here, also the numbers. */
export type PhpValue = string | number | boolean | null | PhpArray;
export type PhpArray = ReadonlyMap<string, PhpValue>;

/** Arrays within arrays; what Aegir writes has a dozen levels at most. */
const MAX_DEPTH = 64;

/**
 * What a PHP file gives to the elements of one variable by a constant: `$options['db_name'] = 'site';` is `db_name`, of the variable `options`. The
 * file is only read: nothing of it is run, and statements of any other form are passed over. The last of two wins, as in PHP. Pure.
 */
export function assignedIn(text: string, variable: string): PhpArray {
  const reader = new Reader(text);
  const found = new Map<string, PhpValue>();
  while (!reader.atEnd()) {
    const assigned = reader.assignment();
    if (assigned?.variable === variable) found.set(assigned.key, assigned.value);
    else if (assigned === undefined) reader.skipStatement();
  }
  return found;
}

class NotConstant extends Error {}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  atEnd(): boolean {
    this.#blank();
    return this.#at >= this.#text.length;
  }

  /** One whole statement of that form; undefined, and nothing read, for any other. */
  assignment(): { readonly variable: string; readonly key: string; readonly value: PhpValue } | undefined {
    const from = this.#at;
    const head = this.#match(/\$([A-Za-z_][A-Za-z0-9_]*)\[(?:'([^'\\]*)'|"([^"\\$]*)")\]\s*=(?![=>])/y);
    if (head) {
      try {
        const value = this.#value(0);
        this.#blank();
        if (this.#match(/;/y)) return { variable: head[1] ?? "", key: head[2] ?? head[3] ?? "", value };
      } catch (error) {
        if (!(error instanceof NotConstant)) throw error;
      }
    }
    this.#at = from;
    return undefined;
  }

  /** To behind the next semicolon or brace that is no part of a text or comment. */
  skipStatement(): void {
    while (!this.atEnd()) {
      if (this.#match(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"/sy)) continue;
      const one = this.#text[this.#at++];
      if (one === ";" || one === "{" || one === "}") return;
    }
  }

  #value(depth: number): PhpValue {
    if (depth > MAX_DEPTH) throw new NotConstant();
    this.#blank();
    const text = this.#match(/'((?:[^'\\]|\\.)*)'/sy);
    if (text) {
      let whole = unescaped(text[1] ?? "");
      // What var_export makes of a zero byte.
      for (
        let more = this.#match(/\s*\.\s*(?:"\\0"()|'((?:[^'\\]|\\.)*)')/sy);
        more;
        more = this.#match(/\s*\.\s*(?:"\\0"()|'((?:[^'\\]|\\.)*)')/sy)
      )
        whole += more[2] === undefined ? "\0" : unescaped(more[2]);
      return whole;
    }
    const quoted = this.#match(/"([^"\\$]*)"/y);
    if (quoted) return quoted[1] ?? "";
    const number = this.#match(/-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b/y);
    if (number) return Number(number[0]);
    const word = this.#match(/(?:true|false|null)\b/iy)?.[0].toLowerCase();
    if (word !== undefined) return word === "null" ? null : word === "true";
    const open = this.#match(/array\s*\(|\[/iy)?.[0];
    if (open === undefined) throw new NotConstant();
    return this.#array(open === "[" ? /\]/y : /\)/y, depth);
  }

  #array(end: RegExp, depth: number): PhpArray {
    const found = new Map<string, PhpValue>();
    let next = 0;
    for (;;) {
      this.#blank();
      if (this.#match(end)) return found;
      const first = this.#value(depth + 1);
      this.#blank();
      if (this.#match(/=>/y)) {
        if (typeof first !== "string" && typeof first !== "number") throw new NotConstant();
        if (typeof first === "number") next = Math.max(next, first + 1);
        found.set(String(first), this.#value(depth + 1));
      } else found.set(String(next++), first);
      this.#blank();
      if (!this.#match(/,/y)) {
        if (this.#match(end)) return found;
        throw new NotConstant();
      }
    }
  }

  /** White space, comments, and where PHP begins and ends. */
  #blank(): void {
    while (this.#match(/\s+|<\?php\b|\?>|#[^\n]*|\/\/[^\n]*|\/\*.*?\*\//sy));
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return undefined;
    this.#at = pattern.lastIndex;
    return found;
  }
}

function unescaped(text: string): string {
  return text.replace(/\\([\\'])/g, "$1");
}
