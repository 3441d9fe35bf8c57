import { ProvisionError } from "../core/errors.js";

/** One word for a POSIX shell. NUL cannot be in an argument, and a server that is sent one closes the connection: refused. */
export function quoted(word: string): string {
  if (word.includes("\0")) throw new ProvisionError("INVALID_VALUE", "a NUL byte cannot be given to a program");
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
