import { ProvisionError } from "../../../core/errors.js";
import { phpValue, type Setting } from "../../php-limits.js";

/**
 * One word of Apache's configuration, in double quotes. Apache knows no escape for `${`, where it puts in what was defined, so a value that holds
 * it is refused with INVALID_VALUE; control characters too.
 */
export function word(value: string): string {
  refuse(value, /\p{Cc}/u, "a control character");
  refuse(value, /\$\{/, "${, which Apache takes for a variable");
  return `"${value.replace(/[\\"]/g, "\\$&")}"`;
}

/** The same for RewriteRule and RewriteCond, which read their words themselves and take a backslash as it is: there is no way to write a `"`. */
export function rewriteWord(value: string): string {
  word(value);
  refuse(value, /"/, "a quotation mark, which cannot stand in a RewriteRule");
  return `"${value}"`;
}

function refuse(value: string, pattern: RegExp, what: string): void {
  if (pattern.test(value))
    throw new ProvisionError("INVALID_VALUE", `${JSON.stringify(value)} cannot stand in Apache's configuration: it holds ${what}`);
}

/** What a RewriteRule puts in place: `$`, `%` and backslashes stand for themselves. */
export function substitution(value: string): string {
  return value.replace(/[\\$%]/g, "\\$&");
}

/** A value of Header, where `%` begins a format. */
export function headerValue(value: string): string {
  return word(value.replaceAll("%", "%%"));
}

/** Parameters that tell PHP-FPM settings, as an expression, in which `\n` ends a line: SetEnv knows no way to say that. */
export function phpSettings(settings: readonly Setting[]): readonly string[] {
  return (["PHP_VALUE", "PHP_ADMIN_VALUE"] as const).flatMap((name) => {
    const value = phpValue(settings, name === "PHP_VALUE");
    return value === undefined
      ? []
      : [
          `ProxyFCGISetEnvIf "true" ${name} "${value
            .split("\n")
            .map((line) => word(line).slice(1, -1))
            .join("\\n")}"`,
        ];
  });
}
