import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import type { Secret } from "../../../core/secret.js";

/** Text for PostgreSQL 12+. What is not a word of ours goes through one of these functions. */

const LIMIT = 63;

/** A name of a database, role, schema or table. Longer ones would be cut without an error, and meet others. */
export function identifier(name: string): string {
  if (name === "" || name.includes("\0") || Buffer.byteLength(name) > LIMIT)
    throw new Error(`no name of PostgreSQL's is empty, has a zero byte or is longer than ${LIMIT} bytes`);
  return `"${name.replaceAll('"', '""')}"`;
}

/** A string with exactly this value, whatever standard_conforming_strings is. */
export function literal(value: string): string {
  if (value.includes("\0")) throw new Error("no text of PostgreSQL's has a zero byte");
  const quoted = value.replaceAll("'", "''");
  return quoted.includes("\\") ? `E'${quoted.replaceAll("\\", "\\\\")}'` : `'${quoted}'`;
}

/** A pattern of pg_dump's that only this table of the schema public fits. */
export function tablePattern(table: string): string {
  return `public."${table.replaceAll('"', '""')}"`;
}

/** A value in a password file, where `:` ends it. */
export function passwordFileValue(value: string): string {
  return value.replace(/[\\:]/g, "\\$&");
}

/** What the server keeps of a password (RFC 5803), so that the password itself stands in no statement and in no log of it. */
export function scramVerifier(password: Secret): string {
  const iterations = 4096;
  const salt = randomBytes(16);
  // Our passwords are ASCII, which SASLprep leaves as it is.
  const salted = pbkdf2Sync(password.reveal(), salt, iterations, 32, "sha256");
  const hmac = (text: string) => createHmac("sha256", salted).update(text).digest();
  const stored = createHash("sha256").update(hmac("Client Key")).digest("base64");
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${stored}:${hmac("Server Key").toString("base64")}`;
}
