import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import type { Hub } from "../../../src/context/hub.js";
import { listedType, save as saveChecked, saveDelete, saveRequest } from "../../../src/context/save.js";
import type { ContextStore } from "../../../src/context/store.js";
import { BASE, failureOf, hubOf, site } from "../../support/context-hub.js";

async function save(hub: Hub, store: ContextStore, name: string, args: readonly string[]) {
  const request = await saveRequest(store, name, args);
  return { ...(await saveChecked(hub, store, name, request)), warnings: request.warnings };
}

describe("save", () => {
  test("gives the text of a new context, and writes nothing", async () => {
    const hub = await hubOf(BASE);
    const saved = await save(hub, hub.store, "@a.com", [
      "--context_type=site",
      "--platform=@platform_d7",
      "--aliases=www.a.com",
      "--drush_aliases=",
    ]);
    expect(saved).toMatchObject({
      path: `${hub.root}/aliases/a.com.yml`,
      before: undefined,
      warnings: ["--drush_aliases has no meaning here"],
    });
    expect(saved.text).toBe('context_type: site\nuri: a.com\nplatform: "@platform_d7"\naliases: [www.a.com]\n');
    expect(saved.context).toMatchObject({ name: "@a.com", profile: "standard" });
    expect(await hub.store.read("@a.com")).toBeUndefined();
  });

  test("the same again has nothing to do", async () => {
    const hub = await hubOf({ ...BASE, "aliases/a.com.yml": site("a.com", "# mine\nlanguage: de\n") });
    const { before, text } = await save(hub, hub.store, "@a.com", ["--language=de", "--platform=@platform_d7"]);
    expect(text).toBe(before);
  });

  test.each([
    [
      "a platform that is not there",
      "@b.com",
      ["--context_type=site", "--platform=@platform_d8"],
      64,
      "--platform: there is no platform @platform_d8; did you mean @platform_d7?",
    ],
    [
      "a uri of another",
      "@b.com",
      ["--context_type=site", "--uri=a.com", "--platform=@platform_d7"],
      64,
      "--uri: a.com is the uri of @a.com already",
    ],
    ["a platform with the root of another", "@platform_x", ["--root=platforms/d7"], 64, /^--root: .* is the root of @platform_d7/],
    ["a name that leaves the hub", "@../../etc/passwd", ["--context_type=client"], 64, /is not the name of a context/],
    ["a new context with nothing", "@b.com", ["--context_type=site"], 64, "--platform is missing; for example --platform=@platform_d7"],
    ["a client that is none", "@acme", ["--context_type=client"], 64, /^--context_type: client is in @acme, which no site can name/],
  ])("refuses %s", async (_, name, args, exit, message) => {
    const hub = await hubOf({ ...BASE, "aliases/a.com.yml": site("a.com") });
    const error = await failureOf(() => save(hub, hub.store, name, args));
    expect(error.exit).toBe(exit);
    if (typeof message === "string") expect(error.message).toBe(message);
    else expect(error.message).toMatch(message);
  });

  test("what was wrong in the file before is exit 65 and has its place", async () => {
    const hub = await hubOf({ ...BASE, "aliases/a.com.yml": site("a.com").replace("d7", "d8") });
    expect(await failureOf(() => save(hub, hub.store, "@a.com", ["--language=de"]))).toMatchObject({
      exit: 65,
      message: `${hub.root}/aliases/a.com.yml:3:11 platform: there is no platform @platform_d8; did you mean @platform_d7?`,
    });
  });

  test("puts a wrong file right, and is refused while another cannot be read", async () => {
    const hub = await hubOf({ ...BASE, "aliases/a.com.yml": site("A.com") });
    expect((await save(hub, hub.store, "@a.com", ["--uri=a.com"])).context).toMatchObject({ uri: "a.com" });
    expect(await failureOf(() => save(hub, hub.store, "@client_x", []))).toMatchObject({
      code: "INVALID_FILE",
      state: "nothing was changed",
    });
  });

  test("--delete: what is in use stays, what is not or is broken may go", async () => {
    const hub = await hubOf({ ...BASE, "aliases/a.com.yml": site("a.com") });
    expect(await failureOf(() => saveDelete(hub, hub.store, "@platform_d7"))).toMatchObject({
      code: "IN_USE",
      exit: 1,
      message: "@platform_d7 is in use by @a.com",
    });
    expect(await saveDelete(hub, hub.store, "@a.com")).toEqual({
      path: `${hub.root}/aliases/a.com.yml`,
      before: await readFile(`${hub.root}/aliases/a.com.yml`, "utf8"),
    });
    expect(await failureOf(() => saveDelete(hub, hub.store, "@b.com"))).toMatchObject({ code: "CONTEXT_NOT_FOUND", exit: 66 });
    const broken = await hubOf({ ...BASE, "aliases/a.com.yml": "a: [" });
    expect((await saveDelete(broken, broken.store, "@a.com")).before).toBe("a: [");
  });
});

test("list takes a type, in the plural or not", async () => {
  expect([undefined, "sites", "site", "clients"].map(listedType)).toEqual([undefined, "site", "site", "client"]);
  expect(await failureOf(() => listedType("sties"))).toMatchObject({ code: "USAGE", exit: 64 });
});
