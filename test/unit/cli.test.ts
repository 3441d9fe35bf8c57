import { describe, expect, it } from "vitest";
import { mannerOf, ordered } from "../../src/cli.js";
import { commands } from "../../src/commands/index.js";

const line = (words: string) => ordered(words.split(" "), commands).join(" ");

describe("the order of a command line", () => {
  it.each([
    ["@example.com verify", "verify @example.com"],
    ["@example.com provision-verify -v", "provision-verify @example.com -v"],
    ["verify @example.com", "verify @example.com"],
    ["--json @example.com verify --dry-run", "--json verify @example.com --dry-run"],
    ["@none provision-save @a --context_type=site", "provision-save @a --context_type=site"],
    ["verify @a --dry_run", "verify @a --dry-run"],
    ["verify @a --lock-wait", "verify @a --lock-wait=5m"],
    ["verify --lock-wait @a", "verify --lock-wait=5m @a"],
    ["verify --lock_wait=1m @a", "verify --lock-wait=1m @a"],
    ["save @a --db_server=@s --lock_wait=1m", "save @a --db_server=@s --lock-wait=1m"],
    ["verify -- @a verify", "verify -- @a verify"],
    ["@a", "@a"],
    ["nonsense @a", "nonsense @a"],
  ])("%s is read as %s", (given, read) => {
    expect(line(given)).toBe(read);
  });
});

describe("how the outcome is told", () => {
  it.each([
    [["list", "--json"], {}, { format: "json" }],
    [["list", "--format=yaml"], {}, { format: "yaml" }],
    [["list", "--format", "json"], {}, { format: "json" }],
    [["list"], { PROVISION_JSON: "1" }, { format: "json" }],
    [["list"], { PROVISION_FORMAT: "yaml" }, { format: "yaml" }],
    [["--nonsense", "--json"], {}, { format: "json" }],
    [["list"], {}, { format: "table", verbosity: 0, color: true }],
    [["list", "-q"], {}, { verbosity: -1 }],
    [["list", "-vv"], {}, { verbosity: 2 }],
    [["list", "-v", "-v"], {}, { verbosity: 2 }],
    [["list", "--debug"], {}, { verbosity: 2 }],
    [["list"], { NO_COLOR: "1" }, { color: false }],
    [["list", "--no-color"], {}, { color: false }],
    [["list"], { TERM: "dumb" }, { color: false }],
  ])("%j with %j", (argv, env, expected) => {
    expect(mannerOf(argv, env)).toMatchObject(expected);
  });
});
