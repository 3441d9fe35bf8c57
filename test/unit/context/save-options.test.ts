import { describe, expect, test } from "vitest";
import { parseSaveOptions } from "../../../src/context/save-options.js";
import type { ContextType } from "../../../src/context/schema.js";
import { failureOf } from "../../support/context-hub.js";

const parse = (line: readonly string[], name = "@example.com", existing?: ContextType) => {
  const { type, changes, warnings } = parseSaveOptions(name, line, existing);
  return { type, changes: Object.fromEntries(changes), warnings };
};

describe("save takes Aegir's options", () => {
  const right: [string, readonly string[], ContextType | undefined, Record<string, unknown>][] = [
    [
      "as Aegir's front end gives them",
      [
        "--context_type=site",
        "--uri=example.com",
        "--platform=@platform_d7",
        "--aliases=a.com,b.com",
        "--site_enabled=1",
        "--redirection=0",
      ],
      undefined,
      { uri: "example.com", platform: "@platform_d7", aliases: ["a.com", "b.com"], site_enabled: true, redirection: undefined },
    ],
    [
      "with hyphens",
      ["--context-type=site", "--db-server=@server_db", "--client-name", "acme"],
      undefined,
      { db_server: "@server_db", client_name: "acme", uri: "example.com" },
    ],
    ["null and NONE unset", ["--redirection=null", "--client_name=NONE"], "site", { redirection: undefined, client_name: undefined }],
    [
      "--unset",
      ["--unset=redirection,client-name", "--unset", "aliases"],
      "site",
      { redirection: undefined, client_name: undefined, aliases: undefined },
    ],
    ["a list in several options", ["--aliases=a.com", "--aliases", "b.com, *.c.com"], "site", { aliases: ["a.com", "b.com", "*.c.com"] }],
    ["an empty list", ["--aliases="], "site", { aliases: [] }],
    ["true and false", ["--site_enabled=FALSE"], "site", { site_enabled: false }],
    ["true and false without a value", ["--no-site-enabled"], "site", { site_enabled: false }],
    ["nothing", [], "site", {}],
    ["a redirection without the uri", ["--redirection=a.com"], "site", { redirection: "a.com" }],
  ];
  test.each(right)("%s", (_, line, existing, changes) => {
    expect(parse(line, "@example.com", existing)).toEqual({ type: "site", changes, warnings: [] });
  });

  test("the type of a new context is told by its name, and a word none stays a word", () => {
    expect(parse(["--http_port=8080", "--http_service_type=none"], "@server_web")).toMatchObject({
      type: "server",
      changes: { http_port: 8080, http_service_type: "none" },
    });
    expect(parse(["--root=/srv/d7", "--locked"], "@platform_x")).toMatchObject({ type: "platform", changes: { locked: true } });
    expect(parse([], "@client_acme").type).toBe("client");
  });

  test("a site is called as its context unless a uri is given, or its name cannot be one", () => {
    expect(parse(["--context_type=site"], "@a.com").changes).toEqual({ uri: "a.com" });
    expect(parse(["--context_type=site"], "@my_site").changes).toEqual({});
    expect(parse(["--context_type=site", "--uri=b.com"], "@a.com").changes).toEqual({ uri: "b.com" });
  });

  test("Aegir's options that say nothing here are let go with a warning", () => {
    const { changes, warnings } = parse(
      ["--site_path=/x", "--drush_aliases=", "--install_method=profile", "--make_working_copy=0", "--language=de"],
      "@a.com",
      "site",
    );
    expect(changes).toEqual({ language: "de" });
    expect(warnings).toEqual([
      "--site_path is derived from other properties (provision show prints it)",
      "--drush_aliases has no meaning here",
      "--install_method is not kept; this is how it is anyway",
      "--make_working_copy is not kept; this is how it is anyway",
    ]);
  });
});

describe("save refuses with exit 64", () => {
  const wrong: [string, string, readonly string[], ContextType | undefined, string, string | RegExp][] = [
    ["a hostile name", "@../x", [], undefined, "INVALID_VALUE", /^"@\.\.\/x" is not the name of a context/],
    ["a name without @", "a.com", [], undefined, "INVALID_VALUE", /it does not begin with @; for example @example\.com$/],
    ["a name with an escape", "@a\u001b[2J", [], undefined, "INVALID_VALUE", /^"@a\\u001b\[2J"/],
    [
      "no type",
      "@a.com",
      [],
      undefined,
      "USAGE",
      "@a.com does not exist yet, so --context_type has to say what it is: server, platform, site, client",
    ],
    [
      "an unknown type",
      "@a.com",
      ["--context_type=sit"],
      undefined,
      "INVALID_VALUE",
      '--context_type "sit" is not one of server, platform, site, client; did you mean site?',
    ],
    ["another type", "@a.com", ["--context_type=server"], "site", "INVALID_VALUE", "@a.com is a site and cannot become a server"],
    ["a word", "@a.com", ["uri=a.com"], "site", "USAGE", '"uri=a.com" is not an option; properties are given as --key=value'],
    ["a typo", "@a.com", ["--langauge=de"], "site", "USAGE", "--langauge is not a property of a site; did you mean language?"],
    ["a property of another type", "@a.com", ["--http_port=80"], "site", "USAGE", /^--http_port is not a property of a site/],
    [
      "what this version lacks",
      "@server_x",
      ["--master_web_servers=@server_a"],
      undefined,
      "USAGE",
      "--master_web_servers is a property of Aegir that this version does not have yet",
    ],
    ["TLS", "@a.com", ["--ssl_enabled=1"], "site", "USAGE", /^--ssl_enabled is a property of Aegir/],
    ["no value", "@a.com", ["--uri"], "site", "INVALID_VALUE", "--uri needs a value; for example --uri=example.com"],
    ["an empty value", "@a.com", ["--uri="], "site", "INVALID_VALUE", /^--uri is empty; to take it out: --unset/],
    ["twice", "@a.com", ["--uri=a.com", "--uri=b.com"], "site", "INVALID_VALUE", /^--uri is given twice/],
    ["unsetting what is needed", "@a.com", ["--unset=uri"], "site", "INVALID_VALUE", /^--uri cannot be unset/],
    ["unsetting nothing known", "@a.com", ["--unset=uir"], "site", "USAGE", /^--uir is not a property of a site; did you mean uri\?/],
    ["null for what is needed", "@a.com", ["--uri=null"], "site", "INVALID_VALUE", /^--uri cannot be unset/],
    [
      "neither true nor false",
      "@a.com",
      ["--site_enabled=maybe"],
      "site",
      "INVALID_VALUE",
      /^--site_enabled "maybe" is neither true nor false/,
    ],
    [
      "no number",
      "@server_x",
      ["--http_port=80a"],
      undefined,
      "INVALID_VALUE",
      '--http_port "80a" is not a whole number; for example --http_port=8080',
    ],
    ["a number out of range", "@server_x", ["--http_port=0"], undefined, "INVALID_VALUE", /^--http_port 0 is less than 1/],
    [
      "no word it can be",
      "@server_x",
      ["--db_service_type=oracle"],
      undefined,
      "INVALID_VALUE",
      '--db_service_type "oracle" is not one of mysql, pgsql, sqlite, none; for example --db_service_type=sqlite',
    ],
    ["a hostile uri", "@a.com", ["--uri=$(id)"], "site", "INVALID_VALUE", /^--uri "\$\(id\)" may hold/],
    [
      "a hostile alias",
      "@a.com",
      ["--aliases=b.com,../c"],
      "site",
      "INVALID_VALUE",
      /^aliases\[2\] "\.\.\/c" may hold|^aliases\[2\] "\.\.\/c" has an empty label/,
    ],
    [
      "a hostile path",
      "@platform_x",
      ["--root=/srv/../etc"],
      undefined,
      "INVALID_VALUE",
      '--root "/srv/../etc" may not hold ..; for example --root=platforms/d7',
    ],
    ["a hostile redirection", "@a.com", ["--redirection=a\nb"], "site", "INVALID_VALUE", /^--redirection "a\\nb" may hold/],
    ["a hostile key", "@a.com", ["--a;b\u001b=c"], "site", "USAGE", /^"--a;b\\u001b" /],
    ["a key of every object", "@a.com", ["--constructor=c"], "site", "USAGE", /^--constructor is not a property/],
    ["__proto__", "@a.com", ["--__proto__=c"], "site", "USAGE", /^--__proto__ is not a property/],
    [
      "a reference without @",
      "@a.com",
      ["--platform=d7"],
      "site",
      "INVALID_VALUE",
      '--platform "d7" does not begin with @; for example --platform=@platform_d7',
    ],
  ];
  test.each(wrong)("%s", async (_, name, line, existing, code, message) => {
    const error = await failureOf(() => parseSaveOptions(name, line, existing));
    expect(error).toMatchObject({ code, exit: 64 });
    if (typeof message === "string") expect(error.message).toBe(message);
    else expect(error.message).toMatch(message);
  });

  test("several wrong values at once, a line each; a password is not repeated", async () => {
    const error = await failureOf(() => parseSaveOptions("@server_x", ["--http_port=0", "--script_user=A B"]));
    expect(error.message).toBe("2 properties are wrong");
    expect(error.why).toHaveLength(2);
    const secret = await failureOf(() => parseSaveOptions("@server_x", ["--master_db=mysql://root:secret@db/one"]));
    expect(JSON.stringify([secret.message, secret.why, secret.next])).not.toContain("secret");
    expect(secret.message).toMatch(/^--master_db names a database; /);
  });
});
