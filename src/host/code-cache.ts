import { basename, join } from "node:path";
import { withInnerLock } from "../core/lock.js";
import type { Host } from "./host.js";

const EXCEPT = "except";

/** Files that say what a site is: read anew by every PHP, whatever their times say. */
const NEVER = ["/**/settings.php", "/**/*.settings.php", "/**/sites.php"];

/**
 * Makes the directory where command-line PHP keeps compiled code of one platform's build between its runs. Builds are
 * not changed in place, and PHP looks at each file's time all the same. It is executed, so it is the account's own alone.
 * Two sites that are installed at once make one directory: `locks` is where they wait for each other.
 */
export async function makeCodeCache(host: Host, directory: string, locks: string): Promise<void> {
  const except = join(directory, EXCEPT);
  if (await host.stat(except)) return;
  await withInnerLock(locks, `code-cache.${basename(directory)}`, async () => {
    await host.mkdir(directory, { mode: 0o700 });
    if (!(await host.stat(except))) await host.writeFile(except, `${NEVER.join("\n")}\n`, { mode: 0o600 });
  });
}

/** Settings of PHP, `name=value`, that make it use the directory when it is there: PHP would not start without it. */
export async function codeCacheSettings(host: Host, directory: string | undefined): Promise<readonly string[] | undefined> {
  if (directory === undefined || (await host.stat(join(directory, EXCEPT))) === undefined) return undefined;
  return [
    "opcache.enable=1",
    "opcache.enable_cli=1",
    `opcache.file_cache=${directory}`,
    "opcache.file_cache_only=1",
    "opcache.validate_timestamps=1",
    `opcache.blacklist_filename=${join(directory, EXCEPT)}`,
  ];
}
