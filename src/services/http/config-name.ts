import { createHash } from "node:crypto";
import { siteName } from "../../context/names.js";

/** Longest name that is also a file name: 255 bytes, less what is put before, behind and beside it. */
const LONGEST = 200;

/**
 * `example.com` → `example.com`, `example.com/foo` → `example.com.foo`, `*.example.com` → `_.example.com` (`_` is no
 * host label, so this is nobody else's); longer ones are cut, and told apart by a hash.
 */
export function configName(name: string): string {
  const plain = siteName(name).replace(/^\*\./, "_.");
  if (plain.length <= LONGEST) return plain;
  return `${plain.slice(0, 150)}~${createHash("sha256").update(plain).digest("hex").slice(0, 16)}`;
}
