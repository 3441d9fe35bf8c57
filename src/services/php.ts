/**
 * The program of a `php` property (server, platform): a version (`8.2` is Debian's `php8.2`), a path, or
 * nothing, which is the `php` in the PATH.
 */
export function phpProgram(php: string | undefined): string {
  if (php === undefined) return "php";
  return php.startsWith("/") ? php : `php${php}`;
}
