import { createHash } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { ProvisionError } from "../../core/errors.js";
import { isTruthy, PhpArray, type PhpValue, phpText } from "./php-value.js";

const CHECKSUMS = ["md5", "sha1", "sha256", "sha512"] as const;
export type Checksums = Readonly<Partial<Record<(typeof CHECKSUMS)[number], string>>>;

/** Those that a download or patch names, in lower case. */
export function checksumsOf(value: PhpValue | undefined): Checksums {
  if (!(value instanceof PhpArray)) return {};
  return Object.fromEntries(
    CHECKSUMS.filter((name) => isTruthy(value.get(name))).map((name) => [name, phpText(value.get(name)).trim().toLowerCase()]),
  );
}

/** Read at once; a larger file comes in pieces. */
const SMALL = 4 * 1024 ** 2;

export async function hashFile(path: string, algorithm: string): Promise<string> {
  const hash = createHash(algorithm);
  if (statSync(path).size <= SMALL) return hash.update(readFileSync(path)).digest("hex");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** @throws ProvisionError CHECKSUM_MISMATCH naming what was expected and what came */
export async function verifyChecksums(path: string, expected: Checksums, name: string): Promise<void> {
  for (const algorithm of CHECKSUMS) {
    const wanted = expected[algorithm];
    if (wanted === undefined) continue;
    const actual = await hashFile(path, algorithm);
    if (actual !== wanted) {
      throw new ProvisionError(
        "CHECKSUM_MISMATCH",
        `Checksum ${algorithm} verification failed for ${name}. Expected ${wanted}, received ${actual}.`,
      );
    }
  }
}
