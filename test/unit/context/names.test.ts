import { describe, expect, test } from "vitest";
import {
  ALIAS_PATTERN,
  aliasProblem,
  CONTEXT_PATTERN,
  contextNameProblem,
  emailProblem,
  machineNameProblem,
  PATH_PATTERN,
  pathProblem,
  quoted,
  REFERENCE_PATTERN,
  referenceProblem,
  siteName,
  URI_PATTERN,
  uriProblem,
  urlProblem,
} from "../../../src/context/names.js";

/** Never right, wherever a name or a path is asked for. */
const HOSTILE = [
  "",
  "../etc",
  "a/../b",
  "a\0b",
  "a\nb",
  "a\rb",
  "a\tb",
  "a'b",
  'a"b',
  "$(id)",
  "`id`",
  "a;b",
  "a|b",
  "a&b",
  "a>b",
  "a\\b",
  "a{b}",
  "a?b",
  "-rf",
  "a\u202eb",
  "x".repeat(5000),
];
const NOT_NAMES = [...HOSTILE, "a b", "A", "Example.com", "müller.de", "пример.рф", "a:b", "a%b", "a#b", "~a", "[::1]", "::1", "a@b"];

const grammars: {
  name: string;
  problem: (value: string) => string | undefined;
  pattern?: string;
  right: readonly string[];
  wrong: readonly string[];
}[] = [
  {
    name: "uri",
    problem: uriProblem,
    pattern: URI_PATTERN,
    right: [
      "example.com",
      "localhost",
      "a.b",
      "xn--mller-kva.de",
      "1and1.com",
      "127.0.0.1",
      "example.com/shop",
      "example.com/a.b_c-d",
      `${"a".repeat(63)}.com`,
      `${"a.".repeat(126)}b`,
    ],
    wrong: [
      ...NOT_NAMES,
      "example.com.",
      ".example.com",
      "a..b",
      "-a.com",
      "a-.com",
      "a_b.com",
      "example.com:8080",
      "http://example.com",
      "example.com/",
      "/example.com",
      "example.com/a/b",
      "example.com/..",
      "example.com/a..b",
      "example.com/.git",
      "example.com/A",
      "example.com/a.",
      "*.example.com",
      `${"a".repeat(64)}.com`,
      `${"a.".repeat(126)}bc`,
      "1.2.3",
      "256.1.1.1",
      "01.2.3.4",
      "foo.0x7f",
      "0",
      "all",
      "default",
      "sites.php",
      "sites/php",
    ],
  },
  {
    name: "alias",
    problem: aliasProblem,
    pattern: ALIAS_PATTERN,
    right: ["www.example.com", "*.example.com", "203.0.113.7"],
    wrong: [...NOT_NAMES, "*", "*.", "**.example.com", "a.*.com", "*example.com", "www.example.com/shop", "example.com."],
  },
  {
    name: "context name",
    problem: contextNameProblem,
    pattern: CONTEXT_PATTERN,
    right: ["server_master", "example.com", "platform_d7-2026", "0a", "x".repeat(200)],
    wrong: [...NOT_NAMES, ".a", "_a", "a..b", "a/b", "@a", "none", "self", "x".repeat(201)],
  },
  {
    name: "reference",
    problem: referenceProblem,
    pattern: REFERENCE_PATTERN,
    right: ["@server_master", "@example.com"],
    wrong: [...NOT_NAMES, ...NOT_NAMES.map((name) => `@${name}`), "server_master", "@@a", "@none", "@self"],
  },
  {
    name: "path",
    problem: pathProblem,
    pattern: PATH_PATTERN,
    right: ["platforms/d7", "/srv/www/d7", "makes/d 7.make", "/srv/größe", "/srv/сайт", "a@b+c=d,e"],
    wrong: [...HOSTILE, "a:b", "a%b", "a#b", "~/a", "a*", "(a)", "..", "/a/..", " a", "a ", `/${"x".repeat(256)}`],
  },
  {
    name: "machine name",
    problem: machineNameProblem,
    right: ["standard", "a_1"],
    wrong: [...NOT_NAMES, "1a", "_a", "a-b", "a.b", "x".repeat(51)],
  },
  {
    name: "e-mail address",
    problem: emailProblem,
    right: ["a@example.com", "a.b+c@Example.com", "root@localhost"],
    wrong: [...HOSTILE, "a", "a@", "@b.c", "a@b@c", "a b@c.de", "a@b..c", "a@-b.c", `${"a".repeat(65)}@b.c`, "a@b.c\nBcc: x@y.z"],
  },
  {
    name: "url",
    problem: urlProblem,
    right: ["https://example.com/a.make", "http://localhost:8080/x?y=1"],
    wrong: [
      ...HOSTILE,
      "ftp://a/b",
      "file:///etc/passwd",
      "https://",
      "https:// a",
      "https://a/$(id)",
      "https://a/\u0001",
      "javascript:alert(1)",
    ],
  },
];

describe.each(grammars)("$name", ({ problem, pattern, right, wrong }) => {
  test.each(right)("%j is right", (value) => {
    expect(problem(value)).toBeUndefined();
  });
  test.each([...new Set(wrong)].map((value) => [value.length > 60 ? `${value.slice(0, 20)}… (${value.length})` : value, value]))(
    "%j is refused, with a reason",
    (_, value) => {
      expect(problem(value as string)).toMatch(/^(is|has|may|holds|does|begins|ends) /);
    },
  );
  if (pattern !== undefined)
    test("its pattern takes everything that is right", () => {
      for (const value of right) expect(value).toMatch(new RegExp(pattern, "u"));
    });
});

test("a /segment is part of the directory name", () => {
  expect(siteName("example.com/foo")).toBe("example.com.foo");
  expect(siteName("example.com")).toBe("example.com");
});

test("a value in a message does nothing to a terminal and is not long", () => {
  expect(quoted("a\u001b[31m\u202e\u2028b\n")).toBe('"a\\u001b[31m\\u202e\\u2028b\\n"');
  expect(quoted("x".repeat(10_000)).length).toBeLessThan(90);
});
