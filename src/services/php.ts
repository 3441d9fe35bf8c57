import type { Argv } from "../host/host.js";

/**
 * The program of a `php` property (server, platform): a version (`8.2` is Debian's `php8.2`), a path, or
 * nothing, which is the `php` in the PATH.
 */
export function phpProgram(php: string | undefined): string {
  if (php === undefined) return "php";
  return php.startsWith("/") ? php : `php${php}`;
}

/** Where the PHP-FPM of a `php` property listens, unless a context says otherwise: Debian's socket. */
export function fpmSocket(php: string | undefined): string {
  const version = php === undefined ? undefined : /(?:^|php)(\d+\.\d+)$/.exec(php)?.[1];
  return `/run/php/php${version ?? ""}-fpm.sock`;
}

/** A command as a context has it: words, no shell. */
export function argvOf(command: string): Argv {
  const [program = "", ...args] = command.split(" ").filter((word) => word !== "");
  return [program, ...args];
}
