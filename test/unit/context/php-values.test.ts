import { describe, expect, test } from "vitest";
import { assignedIn } from "../../../src/context/php-values.js";

const of = (text: string, variable = "options") => Object.fromEntries(assignedIn(`<?php\n${text}`, variable));

describe("constants that a PHP file assigns", () => {
  test("as var_export writes them", () => {
    expect(
      of(
        "$options['a'] = 'it\\'s \\\\ here';\n$options['b'] = array (\n  'x' => \n  array (\n    0 => 'one',\n    1 => true,\n  ),\n  'y' => NULL,\n);\n$options['c'] = -1.5;",
      ),
    ).toEqual({
      a: "it's \\ here",
      b: new Map<string, unknown>([
        [
          "x",
          new Map<string, unknown>([
            ["0", "one"],
            ["1", true],
          ]),
        ],
        ["y", null],
      ]),
      c: -1.5,
    });
    expect(of("$options['zero'] = 'a' . \"\\0\" . 'b';")).toEqual({ zero: "a\0b" });
    expect(of("$aliases['site.test'] = ['uri' => 'site.test'];", "aliases")).toEqual({ "site.test": new Map([["uri", "site.test"]]) });
  });

  test("the last of two wins; other statements, other variables and comments are passed over", () => {
    expect(
      of(
        "# $options['no'] = 1;\n// $options['no'] = 2;\n/* $options['no'] = 3; */\n$other['no'] = 4;\n$options['a'] = 1;\n$options['a'] = 2;\n$_SERVER['db'] = $options['a'];\n@include_once('/x/local.php');\nif ($x == 'no;') { $options['b'] = 3; }",
      ),
    ).toEqual({ a: 2, b: 3 });
  });

  test("what is in a text is no statement", () => {
    expect(of("$options['a'] = 'x; $options[\\'no\\'] = 1;';\n$x = \"; $options['no'] = 2;\";")).toEqual({ a: "x; $options['no'] = 1;" });
  });

  test("what is computed, cut off, or has no end of levels is no constant", () => {
    for (const value of [
      "getenv('x')",
      "'a' . $b",
      "array('a' => f())",
      "'open",
      "array(",
      "1 + 1",
      '"a$b"',
      `${"array(".repeat(200)}1${")".repeat(200)}`,
    ])
      expect(of(`$options['a'] = ${value};`), value).toEqual({});
  });
});
