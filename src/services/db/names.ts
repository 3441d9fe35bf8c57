import { createHash } from "node:crypto";

/** MySQL gives the name of an account 32 characters, and that of a database 64; PostgreSQL gives any name 63 bytes. */
const USER_LIMIT = 32;
const DATABASE_LIMIT = 63;
const HASH = 8;
/** The end of an account that replaced another; a first one ends with a hash, which has no `r`. */
const REPLACED = /_r[0-9a-f]{7}$/;
const REPLACED_LENGTH = 9;

/**
 * Names of the database and the account of one generation of a site: what can be read of the uri, a hash of all that
 * cannot, and in the database's the operation that made the generation. Two generations never have one name, however long or alike their
 * uris are. Lower-case letters, digits and `_` only, no digit first.
 */
export function databaseNames(uri: string, generation: string): { readonly database: string; readonly user: string } {
  const operation = generation.replace(/[^A-Za-z0-9]+/g, "_").toLowerCase();
  const named = (room: number) => `${readable(uri, room)}_${hash(uri)}_${operation}`;
  let room = DATABASE_LIMIT - operation.length - HASH - 2;
  // Grants of MySQL and MariaDB name it as a pattern, in which each _ takes two characters of the same 64.
  while (room > 1 && named(room).length + (named(room).match(/_/g)?.length ?? 0) > DATABASE_LIMIT + 1) room--;
  return {
    database: named(room),
    user: `${readable(uri, USER_LIMIT - HASH - 1 - REPLACED_LENGTH)}_${hash(`${uri}\n${generation}`)}`,
  };
}

/** The account that takes the place of `user` in an operation. */
export function nextUser(user: string, operation: string): string {
  return `${firstUser(user)}_r${hash(operation).slice(0, 7)}`;
}

/** Whether an account is `user`, or replaced it, or was replaced by it. */
export function sameFamily(user: string, other: string): boolean {
  return other === user || firstUser(user) === firstUser(other);
}

/** For LIKE: what the names of that family begin with, and maybe others. */
export function familyPattern(user: string): string {
  return `${firstUser(user).replace(/[\\_%]/g, "\\$&")}%`;
}

/** The account that the generation began with. */
function firstUser(user: string): string {
  return user.replace(REPLACED, "");
}

function readable(uri: string, room: number): string {
  const words = uri.toLowerCase().replace(/[^a-z0-9]+/g, "_");
  return (/^[a-z]/.test(words) ? words : `s_${words}`).slice(0, room).replace(/_+$/, "");
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, HASH);
}
