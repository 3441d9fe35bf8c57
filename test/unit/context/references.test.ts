import { describe, expect, test } from "vitest";
import {
  checkContext,
  checkHub,
  clientOf,
  inUse,
  referencesOf,
  refusal,
  resolvePlatform,
  resolveSite,
} from "../../../src/context/references.js";
import type { Context, Site } from "../../../src/context/schema.js";
import { contextOf } from "../../../src/context/validate.js";
import { parseYaml } from "../../../src/context/yaml-file.js";
import { BASE, CLIENT, failureOf, hubOf, PLATFORM, site } from "../../support/context-hub.js";

const as = (name: string, text: string) => contextOf(parseYaml(`${name.slice(1)}.yml`, text), name);

describe("references", () => {
  test("a good hub has no conflicts, and a site comes with all it refers to", async () => {
    const hub = await hubOf({ ...BASE, "aliases/a.com.yml": site("a.com") });
    expect(checkHub(await hub.store.all(), hub)).toEqual([]);
    const found = await resolveSite(hub.store, hub.settings, "@a.com");
    expect([found.site, found.platform, found.server, found.webServer, found.dbServer, found.client].map(({ name }) => name)).toEqual([
      "@a.com",
      "@platform_d7",
      "@server_master",
      "@server_master",
      "@server_master",
      "@client_admin",
    ]);
  });

  test("using a site reads only what it refers to: another site's broken file does not matter", async () => {
    const hub = await hubOf({ ...BASE, "aliases/a.com.yml": site("a.com"), "aliases/b.com.yml": "a: [" });
    expect((await resolveSite(hub.store, hub.settings, "@a.com")).site.uri).toBe("a.com");
  });

  const wrong: [string, string, string][] = [
    [
      "a typo",
      site("a.com").replace("@platform_d7", "@platform_d8"),
      ":3:11 platform: there is no platform @platform_d8; did you mean @platform_d7?",
    ],
    [
      "a wrong type",
      site("a.com").replace("@platform_d7", "@server_master"),
      ":3:11 platform: @server_master is a server; a platform is wanted here",
    ],
    ["itself", site("a.com").replace("@platform_d7", "@a.com"), ":3:11 platform: @a.com is a site; a platform is wanted here"],
    ["a site for a server", site("a.com", 'db_server: "@a.com"\n'), ":4:12 db_server: @a.com is a site; a server is wanted here"],
    ["no such client", site("a.com", "client_name: acme\n"), ":4:14 client_name: there is no client @client_acme; there is @client_admin"],
  ];
  test.each(wrong)("%s: exit 65 with its place", async (_, text, message) => {
    const hub = await hubOf({ ...BASE, "aliases/a.com.yml": text });
    const error = await failureOf(() => resolveSite(hub.store, hub.settings, "@a.com"));
    expect(error).toMatchObject({ code: "INVALID_REFERENCE", exit: 65 });
    expect(error.message.replace(hub.root, "")).toBe(`/aliases/a.com.yml${message}`);
    expect(checkHub(await hub.store.all(), hub)).toHaveLength(1);
  });

  test("two contexts that point at each other are refused by type: there are no cycles", async () => {
    const hub = await hubOf({
      ...BASE,
      "aliases/a.com.yml": site("a.com").replace("@platform_d7", "@b.com"),
      "aliases/b.com.yml": site("b.com").replace("@platform_d7", "@a.com"),
    });
    expect(checkHub(await hub.store.all(), hub).map(({ context, what }) => `${context} ${what}`)).toEqual([
      "@a.com @b.com is a site; a platform is wanted here",
      "@b.com @a.com is a site; a platform is wanted here",
    ]);
  });

  test("a missing default is named too, and how to make it", async () => {
    const hub = await hubOf({ "aliases/platform_d7.yml": PLATFORM });
    const error = await failureOf(() => resolvePlatform(hub.store, hub.settings, "@platform_d7"));
    expect(error).toMatchObject({ code: "INVALID_REFERENCE", message: "@platform_d7 has 2 problems" });
    expect(error.why[1]).toContain(
      "web_server: there is no server @server_master; make it first: provision save @server_master --context_type=server",
    );
  });

  test("what came from the command line is exit 64 and names the option", async () => {
    const hub = await hubOf(BASE);
    const context = as("@a.com", site("a.com").replace("@platform_d7", "@platform_d8"));
    const error = await refusal(checkContext(context, await hub.store.all(), hub), hub.store, new Set(["platform"]));
    expect(error).toMatchObject({
      code: "INVALID_VALUE",
      exit: 64,
      message: "--platform: there is no platform @platform_d8; did you mean @platform_d7?",
    });
  });

  test("a client that no site can name", async () => {
    const hub = await hubOf({ ...BASE, "aliases/acme.yml": CLIENT });
    expect(checkHub(await hub.store.all(), hub)).toMatchObject([
      { context: "@acme", what: expect.stringContaining("for example @client_acme") },
    ]);
  });
});

describe("a name belongs to one site", () => {
  const taken: [string, string, string, string][] = [
    ["the same uri", "a.com", "", "a.com is the uri of @one already"],
    ["a uri that is an alias", "www.a.com", "", "www.a.com is the alias of @one already"],
    ["an alias that is a uri", "b.com", "aliases: [a.com]\n", "a.com is the uri of @one already"],
    ["an alias that is an alias", "b.com", 'aliases: ["*.a.com"]\n', "*.a.com is the alias of @one already"],
    ["a directory name", "a.com.foo", "", "a.com.foo has the same directory name as the alias a.com.foo of @one"],
    ["a directory name of a sub-directory site", "c.com/foo", "", "c.com/foo has the same directory name as the alias c.com.foo of @one"],
  ];
  test.each(taken)("%s", async (name, uri, more, what) => {
    const hub = await hubOf({ ...BASE, "aliases/one.yml": site("a.com", 'aliases: [www.a.com, "*.a.com", c.com.foo, a.com.foo]\n') });
    const conflicts = checkContext(as("@two", site(uri, more)), await hub.store.all(), hub);
    expect(conflicts.map(({ what }) => what)).toEqual([name === "a directory name" ? "a.com.foo is the alias of @one already" : what]);
    const known = [...(await hub.store.all()), as("@two", site(uri, more))];
    expect(checkHub(known, hub).map(({ context }) => context)).toEqual(["@one", "@two"]);
  });

  test("a name below another's wildcard is free, and a site does not collide with itself", async () => {
    const hub = await hubOf({ ...BASE, "aliases/one.yml": site("a.com", 'aliases: ["*.a.com"]\n') });
    expect(checkContext(as("@two", site("b.a.com")), await hub.store.all(), hub)).toEqual([]);
    expect(checkContext(as("@one", site("a.com", 'aliases: ["*.a.com"]\n')), await hub.store.all(), hub)).toEqual([]);
  });
});

describe("the root of a platform is its own", () => {
  test.each([
    [".", "holds the hub itself"],
    ["/", "holds the hub itself"],
    ["secrets", "is in secrets/ of the hub"],
    ["state/cache/x", "is in state/ of the hub"],
    ["platforms", "is where provision keeps platforms of any name"],
    ["platforms/.builds/x", "is where provision keeps platforms of any name"],
    ["platforms//d7/", "is the root of @platform_d7"],
    ["platforms/./d7", "is the root of @platform_d7"],
    ["platforms/d7/web", "is inside the root of @platform_d7"],
    ["/srv", "holds the root of @platform_d8"],
  ])("%s", async (root, what) => {
    const hub = await hubOf({ ...BASE, "aliases/platform_d8.yml": "context_type: platform\nroot: /srv/d8\n" });
    const conflicts = checkContext(as("@platform_x", `context_type: platform\nroot: ${root}\n`), await hub.store.all(), hub);
    expect(conflicts).toMatchObject([{ path: ["root"], what: expect.stringContaining(what) }]);
  });

  test("one that is beside the others is fine", async () => {
    const hub = await hubOf(BASE);
    for (const root of ["platforms/d70", "web", "/srv/d7"])
      expect(checkContext(as("@platform_x", `context_type: platform\nroot: ${root}\n`), await hub.store.all(), hub)).toEqual([]);
  });
});

describe("locks and quotas", () => {
  const LOCKED = { ...BASE, "aliases/platform_d7.yml": `${PLATFORM}locked: true\n` };

  test("a locked platform takes no new site, and keeps those it has", async () => {
    const hub = await hubOf({ ...LOCKED, "aliases/a.com.yml": site("a.com") });
    const all = await hub.store.all();
    expect(checkContext(as("@b.com", site("b.com")), all, hub)).toMatchObject([
      { path: ["platform"], what: expect.stringContaining("is locked and takes no new sites") },
    ]);
    expect(checkContext(as("@a.com", site("a.com", "language: de\n")), all, hub)).toEqual([]);
    expect(checkContext(as("@a.com", site("a.com")), all, hub, "install")).toHaveLength(1);
    expect(checkHub(all, hub)).toEqual([]);
  });

  test("a client has no more sites than max_sites", async () => {
    const hub = await hubOf({
      ...BASE,
      "aliases/client_acme.yml": "context_type: client\nmax_sites: 1\n",
      "aliases/a.com.yml": site("a.com", "client_name: acme\n"),
    });
    const all = await hub.store.all();
    expect(checkContext(as("@b.com", site("b.com", "client_name: acme\n")), all, hub)).toMatchObject([
      { path: ["client_name"], what: "@client_acme has 1 of at most 1 sites (max_sites)" },
    ]);
    expect(checkContext(as("@a.com", site("a.com", "client_name: acme\nlanguage: de\n")), all, hub)).toEqual([]);
    expect(checkContext(as("@a.com", site("a.com", "client_name: acme\n")), all, hub, "install")).toEqual([]);
    const crowded = [...all, as("@b.com", site("b.com", "client_name: acme\n"))];
    expect(checkHub(crowded, hub)).toMatchObject([{ context: "@client_acme", what: "is 1, but the client has 2 sites" }]);
  });
});

describe("deleting", () => {
  test("is refused while another context refers to it, by name or by default", async () => {
    const hub = await hubOf({ ...BASE, "aliases/a.com.yml": site("a.com") });
    const all = await hub.store.all();
    const refused = (name: string) => inUse(name, all, hub.settings)?.message;
    expect(refused("@server_master")).toBe("@server_master is in use by @a.com, @platform_d7");
    expect(refused("@platform_d7")).toBe("@platform_d7 is in use by @a.com");
    expect(refused("@client_admin")).toBe("@client_admin is in use by @a.com");
    expect(refused("@a.com")).toBeUndefined();
    expect(inUse("@server_master", all, hub.settings)).toMatchObject({ code: "IN_USE", exit: 1 });
    expect(inUse("@client_admin", [], hub.settings)?.message).toContain("client: in provision.yml");
  });

  test("the client of a site is its own, else the hub's", async () => {
    const hub = await hubOf({ "provision.yml": "client: house\n" });
    expect(clientOf(as("@a.com", site("a.com")) as Site, hub.settings)).toBe("@client_house");
    expect(clientOf(as("@a.com", site("a.com", "client_name: acme\n")) as Site, hub.settings)).toBe("@client_acme");
    expect(referencesOf(as("@client_x", CLIENT) as Context, hub.settings)).toEqual([]);
  });
});

test("five thousand sites are checked", async () => {
  const hub = await hubOf(BASE);
  const all = [...(await hub.store.all())];
  for (let n = 0; n < 5000; n++) all.push({ ...(as("@s", site("s.com")) as Site), name: `@s${n}.com`, uri: `s${n}.com` });
  expect(checkHub(all, hub)).toEqual([]);
});
