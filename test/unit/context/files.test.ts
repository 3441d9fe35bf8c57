import { chmod, mkdir, symlink } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { BASE, failureOf, hubOf, site } from "../../support/context-hub.js";

/** Each row: what it is, the file, what is said of it (after its path). */
const BROKEN: readonly (readonly [string, string | Uint8Array, string | RegExp])[] = [
  ["an empty file", "", ":1:1 is empty; for example context_type: site"],
  ["nothing but comments", "# nothing\n", ":1:1 is empty; for example context_type: site"],
  ["a list", "- a\n", ":1:1 is not a list of keys with values; for example context_type: site"],
  ["a word", "site\n", ":1:1 is not a list of keys with values; for example context_type: site"],
  ["two documents", "context_type: site\n---\nuri: a\n", ":2:1 a second YAML document begins here; a file holds one"],
  ["broken flow", "context_type: [site\n", /^:2:1 is not YAML: /],
  ["an open quote", 'context_type: "site\n', /^:2:1 is not YAML: Missing closing/],
  ["a tab", "context_type: site\naliases:\n\t- a\n", ":3:1 tabs cannot indent YAML; use spaces"],
  ["two colons", "context_type: site\nuri: a: b\n", ':2:6 a second ": " in one line; a value that holds one has to be in quotes'],
  ["a bare @", "context_type: site\nplatform: @platform_d7\n", ':2:11 @platform_d7 has to be in quotes: "@platform_d7"'],
  [
    "a bare *",
    "context_type: site\naliases: [*.a.com]\n",
    ':2:11 *.a.com is a YAML alias, which is not used here; a name that begins with * is quoted: "*.a.com"',
  ],
  ["an anchor", "context_type: &a site\n", ":1:18 &a is a YAML anchor, which is not used here; write the value out"],
  ["a tag", "context_type: !!str site\n", ':1:21 "!!str" is a YAML tag, which is not used here; write the plain value'],
  ["a foreign tag", "context_type: !php/object site\n", /^:1:\d+ "!php\/object" is a YAML tag/],
  ["a key twice", site("a.com", "uri: b.com\n"), ':4:1 "uri" was given on line 2 already; keep one of the two'],
  ["a list as key", "? [a]\n: b\n", ":1:3 a key has to be a word; for example context_type: site"],
  ["NUL", "context_type: site\nuri: a\0b\n", ':2:7 holds the control character "\\u0000"; remove it'],
  ["an escape", "context_type: \u001b[31msite\n", ':1:15 holds the control character "\\u001b"; remove it'],
  ["Latin-1", Buffer.from("context_type: site\nsite_name: M\xfcller\n", "latin1"), ":2:13 is not UTF-8; save the file as UTF-8"],
  ["UTF-16", Buffer.from("\ufeffcontext_type: site\n", "utf16le"), ":1:1 is not UTF-8; save the file as UTF-8"],
  ["more than 1 MiB", `# ${"x".repeat(1024 * 1024)}\n`, " has 1048579 bytes; at most 1048576 are read"],
  ["100,000 open brackets", `context_type: ${"[".repeat(100_000)}`, /^:1:1 is nested too deeply|is not YAML/],
  ["no type", "uri: a.com\n", ":1:1 context_type is missing; for example context_type: site"],
  [
    "an unknown type",
    "context_type: sites\n",
    ':1:15 context_type "sites" is not one of server, platform, site, client; did you mean site?',
  ],
  [
    "a type that is no word",
    "context_type: [site]\n",
    ":1:15 context_type a list is not one of server, platform, site, client; for example context_type: site",
  ],
  ["an unknown key", site("a.com", "platfrom: x\n"), ":4:1 platfrom is not a property of a site; did you mean platform?"],
  [
    "an unknown key like nothing",
    "context_type: client\nfavourite_colour: red\n",
    ":2:1 favourite_colour is not a property of a client; it has context_type, email, max_sites",
  ],
  ["__proto__", "context_type: client\n__proto__: {a: 1}\n", /^:2:1 "__proto__" is not a property of a client/],
  ["constructor", "context_type: client\nconstructor: 1\n", /^:2:1 constructor is not a property of a client/],
  ["a missing property", "context_type: platform\n", ":1:1 root is missing; for example root: platforms/d7"],
  [
    "a property without value",
    "context_type: platform\nroot:\n",
    ":2:1 root has no value; remove the line, or give it one; for example root: platforms/d7",
  ],
  ["null", "context_type: client\nemail: ~\n", /^:2:1 email has no value; remove the line/],
  [
    "text for a number",
    'context_type: client\nmax_sites: "3"\n',
    ':2:12 max_sites wants a whole number, not "3"; for example max_sites: 10',
  ],
  ["a fraction", "context_type: client\nmax_sites: 1.5\n", ":2:12 max_sites wants a whole number, not 1.5; for example max_sites: 10"],
  ["infinity", "context_type: client\nmax_sites: .inf\n", /^:2:12 max_sites wants a whole number, not Infinity/],
  ["too few", "context_type: client\nmax_sites: -1\n", ":2:12 max_sites -1 is less than 0; for example max_sites: 10"],
  ["too many", "context_type: server\nhttp_port: 70000\n", ":2:12 http_port 70000 is more than 65535; for example http_port: 8080"],
  ["yes", "context_type: platform\nroot: a\nlocked: yes\n", ':3:9 locked wants true or false, not "yes"; for example locked: true'],
  [
    "a number for text",
    site("a.com", "site_name: 2024\n"),
    ":4:12 site_name wants text, not 2024; put it in quotes; for example site_name: My site",
  ],
  [
    "a word for a list",
    site("a.com", "aliases: b.com\n"),
    ':4:10 aliases wants a list, not "b.com"; for example aliases: [www.example.com]',
  ],
  [
    "a number in a list",
    site("a.com", "aliases: [b.com, 3]\n"),
    ":4:18 aliases[2] wants text, not 3; put it in quotes; for example www.example.com",
  ],
  [
    "a word that is none of few",
    "context_type: server\nhttp_service_type: lighttpd\n",
    ':2:20 http_service_type "lighttpd" is not one of nginx, apache, php, cluster, none; for example http_service_type: nginx',
  ],
  [
    "an upper case uri",
    site("Example.com"),
    ':2:6 uri "Example.com" may hold lower-case letters, digits, dots and inner hyphens only (write an internationalised name in its xn-- form); for example uri: example.com',
  ],
  ["a hostile uri", site('"$(reboot).com"'), /^:2:6 uri "\$\(reboot\)\.com" may hold/],
  [
    "a path out of the hub",
    "context_type: platform\nroot: ../../etc\n",
    ':2:7 root "../../etc" may not hold ..; for example root: platforms/d7',
  ],
  [
    "a newline in a path",
    'context_type: platform\nroot: "a\\nb"\n',
    ':2:7 root "a\\nb" holds a control character; for example root: platforms/d7',
  ],
  [
    "an option as a machine",
    "context_type: server\nremote_host: -oProxyCommand=id\n",
    /^:2:14 remote_host "-oProxyCommand=id" is neither a host name nor an address/,
  ],
  [
    "a way to this machine",
    "context_type: server\nssh_port: 2222\n",
    /^:1:1 remote_host is missing; for example remote_host: web1\.example\.com/,
  ],
  [
    "a way to this very machine",
    "context_type: server\nremote_host: localhost\nssh_port: 2222\n",
    /^:2:14 remote_host "localhost" is this machine, for which ssh_port says nothing/,
  ],
  [
    "PHP's own server elsewhere",
    "context_type: server\nremote_host: web1\nhttp_service_type: php\n",
    /^:3:20 http_service_type "php" cannot be php on another machine/,
  ],
  ["a jump that is none", "context_type: server\nremote_host: web1\nssh_jump: a b\n", /^:3:11 ssh_jump "a b" is not user@host:port/],
  ["a relative root", "context_type: server\nremote_host: web1\naegir_root: srv\n", /^:3:13 aegir_root "srv" is not an absolute path/],
  [
    "a redirection to nowhere",
    site("a.com", "redirection: b.com\n"),
    /^:4:14 redirection "b.com" is neither the uri nor one of the aliases/,
  ],
  ["the uri as alias", site("a.com", "aliases: [a.com]\n"), ':4:11 aliases[1] "a.com" is the uri itself'],
  ["an alias twice", site("a.com", "aliases:\n  - b.com\n  - b.com\n"), ':6:5 aliases[2] "b.com" is there twice'],
];

describe("a broken context file is refused with exit 65, its place and an example of right", () => {
  test.each(BROKEN)("%s", async (_, content, said) => {
    const { store, root } = await hubOf({ "aliases/x.yml": content });
    const error = await failureOf(() => store.read("@x"));
    expect(error).toMatchObject({ code: "INVALID_FILE", exit: 65 });
    expect(error.message.startsWith(`${root}/aliases/x.yml`)).toBe(true);
    const rest = error.message.slice(`${root}/aliases/x.yml`.length);
    if (typeof said === "string") expect(rest.slice(0, said.length)).toBe(said);
    else expect(rest).toMatch(said);
  });
});

test("several problems are one error, a line each in the order of the file", async () => {
  const { store, root } = await hubOf({ "aliases/x.yml": 'context_type: site\nuri: "a b"\nplatfrom: x\naliases: [B.com]\nprofile: 3\n' });
  const error = await failureOf(() => store.read("@x"));
  const text = [error.message, ...error.why].join("\n").replaceAll(root, "HUB");
  await expect(`${text}\n`).toMatchFileSnapshot("../../golden/context/several-problems.txt");
  expect(error.exit).toBe(65);
});

test("a hundred thousand keys are not slow to refuse", async () => {
  const { store } = await hubOf({
    "aliases/x.yml": Array.from({ length: 100_000 }, (_, key) => `k${key}: 1\n`)
      .join("")
      .slice(0, 1_000_000),
  });
  await expect(store.read("@x")).rejects.toMatchObject({ code: "INVALID_FILE" });
}, 30_000);

test("an alias bomb is refused before it is unfolded", async () => {
  const bomb = ["context_type: site", "a0: &a0 [x, x, x, x, x, x, x, x, x]"];
  for (let level = 1; level < 40; level++)
    bomb.push(
      `a${level}: &a${level} [${Array(9)
        .fill(`*a${level - 1}`)
        .join(", ")}]`,
    );
  const { store } = await hubOf({ "aliases/x.yml": bomb.join("\n") });
  const error = await failureOf(() => store.read("@x"));
  expect(error.code).toBe("INVALID_FILE");
  expect(error.why.length).toBeLessThanOrEqual(20);
});

test("what people write is taken: a byte order mark, CRLF, JSON, a bare PHP version, Norwegian", async () => {
  const { store } = await hubOf({
    "aliases/a.yml": "\ufeffcontext_type: client\n",
    "aliases/b.yml": "context_type: client\r\nmax_sites: 3\r\n",
    "aliases/c.yml": '{"context_type": "client", "max_sites": 3}',
    "aliases/d.yml": "context_type: platform\nroot: a\nphp: 8.10\n",
    "aliases/e.yml": site("a.com", "language: no\n"),
  });
  expect(await store.read("@a")).toEqual({ name: "@a", context_type: "client" });
  expect(await store.read("@b")).toMatchObject({ max_sites: 3 });
  expect(await store.read("@c")).toMatchObject({ max_sites: 3 });
  expect(await store.read("@d")).toMatchObject({ php: "8.10" });
  expect(await store.read("@e")).toMatchObject({ language: "no" });
});

describe("the store", () => {
  test("fills in the defaults of Aegir", async () => {
    const { store } = await hubOf({ ...BASE, "aliases/example.com.yml": site("example.com") });
    expect(await store.read("@example.com")).toEqual({
      name: "@example.com",
      context_type: "site",
      uri: "example.com",
      platform: "@platform_d7",
      db_server: "@server_master",
      profile: "standard",
      language: "en",
      aliases: [],
      ssl: "off",
      http_allow: [],
      http_basic_auth_whitelist: [],
      http_headers: [],
      php_paths: [],
      write_paths: [],
      quarantine: false,
      site_enabled: true,
    });
  });

  test("absent is undefined, whatever the name", async () => {
    const { store } = await hubOf();
    for (const name of ["@x", "x", "@../provision", "@", "@a\0b", "@a/b"]) expect(await store.read(name)).toBeUndefined();
    expect(await store.names()).toEqual([]);
  });

  test("the file's name is the context's, and its uri may be another", async () => {
    const { store } = await hubOf({ "aliases/shop.yml": site("example.com") });
    expect(await store.need("@shop", "site")).toMatchObject({ name: "@shop", uri: "example.com" });
  });

  test.each([
    ["@example.con", "there is no context @example.con; did you mean @example.com?"],
    ["@d7", "there is no context @d7; did you mean @platform_d7?"],
    ["@nothing-like-it", "there is no context @nothing-like-it"],
  ])("%s that is not there: exit 66, what was meant and what there is", async (name, message) => {
    const { store } = await hubOf({ ...BASE, "aliases/example.com.yml": site("example.com") });
    const error = await failureOf(() => store.need(name));
    expect(error).toMatchObject({ code: "CONTEXT_NOT_FOUND", exit: 66, message });
    expect(error.why).toEqual(["this hub has @client_admin, @example.com, @platform_d7, @server_master"]);
  });

  test("a name that cannot be one: exit 64", async () => {
    const { store } = await hubOf();
    for (const name of ["example.com", "@../x", "@A", "@$(id)", "@none"])
      expect(await failureOf(() => store.need(name))).toMatchObject({ code: "INVALID_VALUE", exit: 64 });
  });

  test("a context of another type than wanted is said", async () => {
    const { store } = await hubOf(BASE);
    expect(await failureOf(() => store.need("@server_master", "site"))).toMatchObject({
      code: "INVALID_REFERENCE",
      exit: 65,
      message: "@server_master is a server; a site is wanted here",
    });
  });

  test("a .yaml file is pointed out", async () => {
    const { store, root } = await hubOf({ "aliases/x.yaml": "context_type: client\n" });
    const error = await failureOf(() => store.need("@x"));
    expect(error.message).toContain("x.yaml is not read");
    expect(error.next).toEqual([`mv ${root}/aliases/x.yaml ${root}/aliases/x.yml`]);
  });

  test("one bad file does not hide the others; `all` names every bad one", async () => {
    const { store } = await hubOf({
      ...BASE,
      "aliases/bad1.yml": "a: [",
      "aliases/bad2.yml": "context_type: x\n",
      "aliases/Bad3.yml": "context_type: client\n",
    });
    const { contexts, broken } = await store.load();
    expect(contexts.map(({ name }) => name)).toEqual(["@client_admin", "@platform_d7", "@server_master"]);
    expect(broken).toHaveLength(3);
    const error = await failureOf(() => store.all());
    expect(error).toMatchObject({ code: "INVALID_FILE", exit: 65, message: "3 context files cannot be read" });
    expect(error.why.join("\n")).toMatch(/Bad3\.yml[\s\S]*bad1\.yml:\d+:\d+ [\s\S]*bad2\.yml:1:15/);
  });

  test("`all` of a type", async () => {
    const { store } = await hubOf({ ...BASE, "aliases/a.com.yml": site("a.com"), "aliases/.#a.com.yml": "{", "aliases/notes.txt": "x" });
    expect((await store.all("site")).map(({ uri }) => uri)).toEqual(["a.com"]);
    expect(await store.all()).toHaveLength(4);
  });

  test("2,000 files are read", async () => {
    const files = Array.from({ length: 2000 }, (_, n) => [`aliases/s${n}.example.com.yml`, site(`s${n}.example.com`)]);
    const { store } = await hubOf({ ...BASE, ...Object.fromEntries(files) });
    expect(await store.all("site")).toHaveLength(2000);
  });

  test("a directory, a device and a dangling link in the place of a file", async () => {
    const { store, root } = await hubOf(BASE);
    await mkdir(`${root}/aliases/dir.yml`);
    await symlink("/dev/zero", `${root}/aliases/zero.yml`);
    await symlink("/nowhere", `${root}/aliases/link.yml`);
    expect(await failureOf(() => store.read("@dir"))).toMatchObject({
      code: "INVALID_FILE",
      message: `${root}/aliases/dir.yml is not a file`,
    });
    expect(await failureOf(() => store.read("@zero"))).toMatchObject({ code: "INVALID_FILE" });
    expect(await store.read("@link")).toBeUndefined();
  });

  test.skipIf(process.getuid?.() === 0)("a file that may not be read: exit 77 (root may read all)", async () => {
    const { store, root } = await hubOf(BASE);
    await chmod(`${root}/aliases/client_admin.yml`, 0);
    expect(await failureOf(() => store.read("@client_admin"))).toMatchObject({ code: "PERMISSION_DENIED", exit: 77 });
  });
});
