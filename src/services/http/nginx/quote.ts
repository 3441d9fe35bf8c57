import { ProvisionError } from "../../../core/errors.js";
import { phpValue, type Setting } from "../../php-limits.js";

/**
 * One word of nginx's configuration, in double quotes. nginx knows no escape for `$`, so a value that holds one is refused, unless it
 * is a regular expression, in which nginx looks for no variables. Rejects with INVALID_VALUE, also for control characters.
 */
export function word(value: string): string {
  if (value.includes("$")) throw unsayable(value, "a $, which nginx takes for a variable");
  return regex(value);
}

/** A regular expression as one word. */
export function regex(value: string): string {
  if (/\p{Cc}/u.test(value)) throw unsayable(value, "a control character");
  return `"${value.replace(/[\\"]/g, "\\$&")}"`;
}

function unsayable(value: string, what: string): ProvisionError {
  return new ProvisionError("INVALID_VALUE", `${JSON.stringify(value)} cannot stand in nginx's configuration: it holds ${what}`);
}

/** Parameters that tell PHP-FPM settings. nginx reads `\n` in a word as the end of a line. */
export function phpSettings(settings: readonly Setting[]): readonly string[] {
  return (["PHP_VALUE", "PHP_ADMIN_VALUE"] as const).flatMap((name) => {
    const value = phpValue(settings, name === "PHP_VALUE");
    return value === undefined
      ? []
      : [
          `fastcgi_param ${name} "${value
            .split("\n")
            .map((line) => word(line).slice(1, -1))
            .join("\\n")}";`,
        ];
  });
}
