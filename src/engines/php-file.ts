import { fileURLToPath } from "node:url";

/**
 * Absolute path of a PHP file that is shipped in `src/`, given relative to it. This module is `src/engines/php-file.ts`
 * or, compiled, `dist/engines/php-file.js`: the package's root is two up from either.
 */
export function phpFile(path: string): string {
  return fileURLToPath(new URL(`../../src/${path}`, import.meta.url));
}
