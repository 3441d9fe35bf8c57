/**
 * A PHP single-quoted string literal with exactly this value. Between single quotes PHP gives a meaning to the
 * backslash and the quote only: `$`, `<?`, `?>` and line ends stand for themselves.
 */
export function phpString(value: string): string {
  return `'${value.replace(/[\\']/g, "\\$&")}'`;
}

/** The value of a literal that `phpString` wrote (quotes included); undefined for anything else. */
export function phpStringValue(literal: string): string | undefined {
  const inner = /^'((?:[^'\\]|\\[\\'])*)'$/s.exec(literal)?.[1];
  return inner?.replace(/\\([\\'])/g, "$1");
}
