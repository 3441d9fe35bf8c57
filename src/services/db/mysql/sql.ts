/**
 * Text for MariaDB 10.5+ and MySQL 8+. What is not a word of ours goes through one of these functions; the client
 * runs with --binary-mode and every batch begins with STRICT_QUOTES, so that they hold whatever the server's sql_mode is.
 */

/** In every other mode a backslash, or a double quote, would mean something else than these functions take it for. */
export const STRICT_QUOTES = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';";

/** A name of a database, table or column. */
export function identifier(name: string): string {
  if (name === "" || name.includes("\0")) throw new Error("no name of MySQL's is empty or has a zero byte");
  return `\`${name.replaceAll("`", "``")}\``;
}

/** A string with exactly this value. */
export function literal(value: string): string {
  const escaped = value.replace(/[\\']/g, "\\$&").replaceAll("\0", "\\0").replaceAll("\u001a", "\\Z");
  return `'${escaped.replaceAll("\n", "\\n").replaceAll("\r", "\\r")}'`;
}

/** A database in GRANT and REVOKE, where `_` and `%` would match other databases too. */
export function grantPattern(database: string): string {
  return `${identifier(database.replace(/[\\_%]/g, "\\$&"))}.*`;
}

/** `'user'@'host'` */
export function account(user: string, host: string): string {
  return `${literal(user)}@${literal(host)}`;
}

/** A value in an option file, between double quotes. */
export function optionValue(value: string): string {
  const named: Readonly<Record<string, string>> = { "\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b" };
  return `"${value.replace(/[\\"\n\r\t\b]/g, (character) => named[character] as string)}"`;
}
