import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { type Changes, commentsIn, rewrite, type Value } from "../../../src/context/edit.js";
import { contextOf } from "../../../src/context/validate.js";
import { parseYaml } from "../../../src/context/yaml-file.js";
import { failureOf } from "../../support/context-hub.js";

const changes = (values: Record<string, Value>): Changes => new Map(Object.entries(values));
const example = (name: string) => readFile(new URL(`../../../aliases/${name}`, import.meta.url), "utf8");

describe("rewriting keeps comments, order and spacing", () => {
  const cases: { name: string; file: string; type: "site" | "server" | "platform" | "client" | "hub"; set: Record<string, Value> }[] = [
    {
      name: "site-alias-added",
      file: "example.com.yml",
      type: "site",
      set: { aliases: ["www.example.com", "shop.example.com", "*.dev.example.com"] },
    },
    { name: "site-alias-removed", file: "example.com.yml", type: "site", set: { aliases: ["shop.example.com"] } },
    { name: "site-aliases-unset", file: "example.com.yml", type: "site", set: { aliases: undefined } },
    {
      name: "site-installed",
      file: "example.com.yml",
      type: "site",
      set: { generation: "20261123T091500-7f3a", site_enabled: false, platform: "@platform_d7b" },
    },
    {
      name: "server-changed",
      file: "server_master.yml",
      type: "server",
      set: { http_port: 80, admin_email: undefined, php: "8.2", db_service_type: "none" },
    },
    { name: "platform-php", file: "platform_d7.yml", type: "platform", set: { php: "8.10", makefile: undefined, locked: true } },
    { name: "client-limited", file: "client_acme.yml", type: "client", set: { max_sites: 3 } },
    {
      name: "hub-mirrors",
      file: "provision.yml.example",
      type: "hub",
      set: { mirrors: { "https://ftp.drupal.org/": "mirror", "https://a.b/": "/srv/m" } },
    },
  ];
  test.each(cases)("$name", async ({ name, file, type, set }) => {
    const before = await example(file);
    const after = rewrite(before, type, changes(set));
    await expect(after).toMatchFileSnapshot(`../../golden/context/${name}.yml.txt`);
    expect(rewrite(after, type, changes(set))).toBe(after);
    expect(commentsIn(after, 0, after.length).toSorted()).toEqual(commentsIn(before, 0, before.length).toSorted());
  });

  test("no change: the same bytes, however they are set", () => {
    const text = "# a\n\n\ncontext_type:   client   # b\nmax_sites:    3\r\n";
    expect(rewrite(text, "client", changes({}))).toBe(text);
    expect(rewrite(text, "client", changes({ max_sites: 3, email: undefined }))).toBe(text);
  });

  test("a bare number stays when the same text is asked for", () => {
    const text = "context_type: platform\nroot: a\nphp: 8.10\n";
    expect(rewrite(text, "platform", changes({ php: "8.10" }))).toBe(text);
    expect(rewrite(text, "platform", changes({ php: "8.1" }))).toContain('php: "8.1"\n');
  });

  const styles: [string, string, Record<string, Value>, string][] = [
    [
      "quotes",
      "context_type: site\nuri: 'a.com'\nplatform: \"@p\"\n",
      { uri: "b.com", platform: "@q" },
      "context_type: site\nuri: 'b.com'\nplatform: \"@q\"\n",
    ],
    [
      "a comment beside",
      "context_type: client\nmax_sites: 3     # three\n",
      { max_sites: 4 },
      "context_type: client\nmax_sites: 4     # three\n",
    ],
    [
      "a comment beside what goes",
      "context_type: client\nmax_sites: 3 # three\nemail: a@b.c\n",
      { max_sites: undefined },
      "context_type: client\n# three\nemail: a@b.c\n",
    ],
    ["no newline at the end", "context_type: client", { max_sites: 4 }, "context_type: client\nmax_sites: 4\n"],
    ["CRLF", "context_type: client\r\n", { max_sites: 4 }, "context_type: client\r\nmax_sites: 4\r\n"],
    [
      "an indented map",
      "  context_type: client\n  email: a@b.c\n",
      { max_sites: 4, email: undefined },
      "  context_type: client\n  max_sites: 4\n",
    ],
    [
      "a list of one line",
      'context_type: site\nuri: a.com\nplatform: "@p"\naliases: [b.com] # b\n',
      { aliases: ["*.b.com"] },
      'context_type: site\nuri: a.com\nplatform: "@p"\naliases: ["*.b.com"] # b\n',
    ],
    [
      "comments in a list",
      'context_type: site\nuri: a.com\nplatform: "@p"\naliases: # all\n  # the first\n  - b.com # b\n  - c.com # c\n\nprofile: minimal\n',
      { aliases: ["c.com", "d.com"] },
      'context_type: site\nuri: a.com\nplatform: "@p"\naliases: # all\n  # the first\n  # b\n  - c.com # c\n  - d.com\n\nprofile: minimal\n',
    ],
    [
      "a list in another order",
      'context_type: site\nuri: a.com\nplatform: "@p"\naliases:\n- b.com # b\n- c.com\n',
      { aliases: ["c.com", "b.com"] },
      'context_type: site\nuri: a.com\nplatform: "@p"\n# b\naliases: [c.com, b.com]\n',
    ],
    [
      "a folded text",
      'context_type: site\nuri: a.com\nplatform: "@p"\nsite_name: >-\n  My\n  site\nlanguage: en\n',
      { site_name: "Yours #1" },
      'context_type: site\nuri: a.com\nplatform: "@p"\nsite_name: "Yours #1"\nlanguage: en\n',
    ],
    ["JSON", '{"context_type": "client", "max_sites": 3}', { max_sites: 4 }, '{ "context_type": "client", "max_sites": 4 }\n'],
    ["a document start", "# a\n---\ncontext_type: client # b\n", { max_sites: 4 }, "# a\n---\ncontext_type: client # b\nmax_sites: 4\n"],
    ["a document end", "context_type: client # b\n...\n", { max_sites: 4 }, "context_type: client # b\nmax_sites: 4\n...\n"],
  ];
  test.each(styles)("%s", (_, before, set, after) => {
    const type = before.includes("client") ? "client" : "site";
    const got = rewrite(before, type, changes(set));
    expect(got.replace(/\{ ?(.*?) ?\}/, "{ $1 }").trimEnd()).toBe(after.trimEnd());
    expect(rewrite(got, type, changes(set))).toBe(got);
  });

  test("a file that was wrong can be put right, and a new one is in the order of the schema", () => {
    expect(rewrite("context_type: client\nmax_sites: many\n", "client", changes({ max_sites: 3 }))).toBe(
      "context_type: client\nmax_sites: 3\n",
    );
    expect(rewrite(undefined, "site", changes({ aliases: ["b.com"], platform: "@platform_d7", uri: "a.com" }))).toBe(
      'context_type: site\nuri: a.com\nplatform: "@platform_d7"\naliases: [b.com]\n',
    );
  });

  test("values that YAML would read otherwise come back as they were", () => {
    for (const site_name of [
      "no",
      "null",
      "~",
      "1e3",
      "0x1F",
      "8.10",
      "# a",
      "a: b",
      "- a",
      "'",
      '"',
      "@a",
      "*a",
      "&a",
      "!a",
      "%a",
      "|",
      ">",
      "{a}",
      "[a]",
      "é 日本",
      "a\\b",
      "true",
      "x".repeat(250),
      "<?php",
    ]) {
      const text = rewrite(undefined, "site", changes({ uri: "a.com", platform: "@p", site_name }));
      expect(contextOf(parseYaml("x", text), "@x")).toMatchObject({ site_name });
      expect(rewrite(text, "site", changes({ site_name }))).toBe(text);
    }
  });

  test("three hundred random edits lose no comment, and the same edit again changes nothing", async () => {
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return Math.floor((seed / 2147483648) * below);
    };
    const pick = <T>(from: readonly T[]): T => from[random(from.length)] as T;
    const names = ["www.example.com", "shop.example.com", "*.example.com", "a.example.com", "b.example.com"];
    const starts = [
      await example("example.com.yml"),
      'context_type: site # t\n# u\nuri: "example.com" # v\nplatform: \'@p\' # w\naliases: # x\n  # y\n  - a.example.com # z\n\n  - www.example.com\n  # last\nlanguage: en # "#no"\nsite_name: "a # b" # c\n# end\n',
      '# flow\n{ context_type: site, uri: example.com, # a\n  platform: "@p", # b\n  aliases: [ www.example.com, # c\n    a.example.com ] # d\n} # e\n# f\n',
    ];
    let text = starts[0] as string;
    for (let round = 0; round < 300; round++) {
      if (round % 20 === 0) text = starts[(round / 20) % starts.length] as string;
      const set: Record<string, Value> = { redirection: pick([undefined, "example.com"]) };
      for (let count = random(3) + 1; count > 0; count--) {
        const [key, value] = pick<[string, Value]>([
          ["aliases", names.filter(() => random(2) === 0)],
          ["aliases", undefined],
          ["aliases", names.filter(() => random(2) === 0).toReversed()],
          ["site_name", pick(["My # site", "no", "it's", undefined])],
          ["language", pick(["de", "en", undefined])],
          ["client_name", pick(["acme", undefined])],
          ["site_enabled", pick([true, false, undefined])],
          ["profile", pick(["minimal", undefined])],
          ["platform", pick(["@platform_d7", "@p"])],
          ["generation", pick(["20261123T091500-7f3a", undefined])],
        ]);
        set[key] = value;
      }
      const before = commentsIn(text, 0, text.length);
      const after = rewrite(text, "site", changes(set));
      const kept = commentsIn(after, 0, after.length);
      for (const comment of before) expect(kept, `${JSON.stringify(set)} on\n${text}\ngave\n${after}`).toContain(comment);
      expect(kept.length).toBe(before.length);
      const values = parseYaml("x", after).values;
      for (const [key, value] of Object.entries(set)) expect(values[key]).toEqual(value);
      expect(rewrite(after, "site", changes(set))).toBe(after);
      text = after;
    }
  });
});

describe("what rewriting refuses", () => {
  const refused: [string, string | undefined, Record<string, Value>, string, number, string | RegExp][] = [
    [
      "a hostile value",
      undefined,
      { uri: "a.com;rm", platform: "@p" },
      "INVALID_VALUE",
      64,
      /^--uri "a\.com;rm" may hold .*; for example --uri=example\.com$/,
    ],
    ["what is missing", undefined, { uri: "a.com" }, "INVALID_VALUE", 64, "--platform is missing; for example --platform=@platform_d7"],
    [
      "an unknown property",
      undefined,
      { uri: "a.com", platform: "@p", colour: "red" },
      "INVALID_VALUE",
      64,
      /^colour is not a property of a site/,
    ],
    [
      "another type",
      "context_type: client\n",
      { uri: "a.com" },
      "INVALID_VALUE",
      64,
      "the context file is a client and cannot become a site",
    ],
    [
      "a file that is wrong elsewhere",
      'context_type: site\nuri: A\nplatform: "@p"\n',
      { language: "de" },
      "INVALID_FILE",
      65,
      /^the context file:2:6 uri "A" may/,
    ],
    ["a file that is no YAML", "a: [", { language: "de" }, "INVALID_FILE", 65, /^the context file:1:5 is not YAML/],
    [
      "an alias that redirection needs",
      'context_type: site\nuri: a.com\nplatform: "@p"\naliases: [b.com]\nredirection: b.com\n',
      { aliases: undefined },
      "INVALID_VALUE",
      64,
      /^--redirection "b\.com" is neither the uri nor one of the aliases/,
    ],
  ];
  test.each(refused)("%s", async (_, text, set, code, exit, message) => {
    const error = await failureOf(() => rewrite(text, "site", changes(set)));
    expect(error).toMatchObject({ code, exit });
    if (typeof message === "string") expect(error.message).toBe(message);
    else expect(error.message).toMatch(message);
  });
});
