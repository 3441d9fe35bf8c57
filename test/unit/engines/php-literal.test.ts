import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { phpString, phpStringValue } from "../../../src/engines/php-literal.js";

const VALUES: readonly (readonly [string, string])[] = [
  ["nothing", ""],
  ["plain text", "example.com"],
  ["a quote", "O'Neil"],
  ["an attempt to leave the literal", "'; system('id'); //"],
  ["a backslash at the end", "C:\\"],
  ["backslashes before a quote", "a\\\\'b\\'"],
  ["an escape that means nothing here", "\\n \\x41 \\$a"],
  ["a variable", "$databases {$conf} $" + "{x}"],
  ["tags", "<?php echo 1; ?> <? ?>"],
  ["line ends", "a\nb\r\nc"],
  ["a comment's end", "*/ /* # //"],
  ["a NUL byte", "a\0b"],
  ["letters of the world", "Söhne 日本 🦆"],
];

describe("phpString", () => {
  it.each(VALUES)("PHP reads back %s", (_, value) => {
    const printed = execFileSync("php", ["-d", "display_errors=stderr"], { input: `<?php echo ${phpString(value)};`, encoding: "utf8" });
    expect(printed).toBe(value);
  });

  it.each(VALUES)("phpStringValue reads back %s", (_, value) => {
    expect(phpStringValue(phpString(value))).toBe(value);
  });

  it.each(["", "x", "'", "'a", "'a'b'", "'a\\'", '"a"', "'a'.'b'"])("phpStringValue refuses %s", (literal) => {
    expect(phpStringValue(literal)).toBeUndefined();
  });
});
