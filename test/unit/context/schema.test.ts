import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { loadHub } from "../../../src/context/hub.js";
import { jsonSchemas } from "../../../src/context/json-schema.js";
import { Layout } from "../../../src/context/layout.js";
import { checkHub } from "../../../src/context/references.js";
import { CONTEXT_TYPES, type Kind, properties } from "../../../src/context/schema.js";
import { ContextStore } from "../../../src/context/store.js";
import { check, settingsOf } from "../../../src/context/validate.js";
import { parseYaml } from "../../../src/context/yaml-file.js";
import { hubOf } from "../../support/context-hub.js";

const repository = fileURLToPath(new URL("../../../", import.meta.url));
const KINDS: readonly Kind[] = [...CONTEXT_TYPES, "hub"];
const read = (path: string) => readFile(`${repository}${path}`, "utf8");

describe("the examples in aliases/", () => {
  test("are a hub in which everything fits", async () => {
    const store = new ContextStore(new Layout(repository.replace(/\/$/, "")));
    const contexts = await store.all();
    expect(new Set(contexts.map(({ context_type }) => context_type))).toEqual(new Set(CONTEXT_TYPES));
    const { settings } = await hubOf({ "provision.yml": await read("aliases/provision.yml.example") });
    expect(checkHub(contexts, { layout: store.layout, settings })).toEqual([]);
  });

  test("provision.yml.example is right", async () => {
    expect(settingsOf(parseYaml("x", await read("aliases/provision.yml.example"))).client).toBe("admin");
  });

  test("name every property of the schemas, set or in a comment, and nothing else", async () => {
    const seen = new Map<Kind, Set<string>>();
    for (const file of await readdir(`${repository}aliases`)) {
      const text = await read(`aliases/${file}`);
      const kind = (/^context_type: (\w+)/m.exec(text)?.[1] ?? "hub") as Kind;
      const keys = [...text.matchAll(/^(?:# )?([a-z0-9_]+):(?= |$)/gm)]
        .map((match) => match[1] as string)
        .filter((key) => properties(kind).has(key));
      seen.set(kind, new Set([...(seen.get(kind) ?? []), ...keys]));
    }
    for (const kind of KINDS) expect([...(seen.get(kind) ?? [])].sort(), kind).toEqual([...properties(kind).keys()].sort());
  });

  test("are right with what stands in comments, too", async () => {
    for (const file of (await readdir(`${repository}aliases`)).filter((name) => name.endsWith(".yml"))) {
      const text = (await read(`aliases/${file}`)).replaceAll(/^# ([a-z0-9_]+: \S.*)$/gm, (line, property: string) =>
        [...CONTEXT_TYPES].some((type) => properties(type).has(property.split(":")[0] as string)) ? property : line,
      );
      const hub = await hubOf({ [`aliases/${file}`]: text });
      await expect(hub.store.read(`@${file.slice(0, -4)}`)).resolves.toBeDefined();
    }
  });
});

/** What other properties of a site say something of. */
const HTTP = { ssl_certificate: "a.pem", ssl_certificate_key: "a.key", http_basic_auth_username: "a" };

describe("the schemas", () => {
  test("every property has a description and an example that is right", () => {
    const complete: Record<string, Record<string, unknown>> = {
      server: { context_type: "server", remote_host: "web1", http_service_type: "nginx", web_group: "www-data" },
      platform: { context_type: "platform", root: "a" },
      site: { context_type: "site", uri: "example.com", platform: "@p", aliases: ["www.example.com"], ...HTTP },
      client: { context_type: "client" },
      hub: {},
    };
    for (const kind of KINDS)
      for (const { key, description, example } of properties(kind).values()) {
        expect(description, key).not.toBe("");
        const of = kind === "platform" ? /^(composer|git|archive)_/.exec(key)?.[1] : undefined;
        const source = key === "working_copy" ? "git" : of;
        const cluster = key === "cluster_web_servers" ? { http_service_type: "cluster", remote_host: "localhost" } : {};
        const around = source === undefined ? cluster : { [source]: properties(kind).get(source)?.example };
        expect(check(kind, { ...complete[kind], ...around, [key]: example }).problems, `${kind}.${key}`).toBeUndefined();
      }
  });

  test("the JSON Schema files in git are the generated ones; else: npm run build", async () => {
    expect((await readdir(`${repository}schemas`)).sort()).toEqual([...jsonSchemas().keys()].sort());
    for (const [name, text] of jsonSchemas()) expect(await read(`schemas/${name}`), name).toBe(text);
  });

  test("the JSON Schema files say nothing of this machine, and a pattern for each name and path", () => {
    for (const [name, text] of jsonSchemas()) {
      if (name === "context.json") continue;
      const { properties: fields } = JSON.parse(text) as {
        properties: Record<string, { type: unknown; pattern?: string; enum?: unknown; description?: string; default?: unknown }>;
      };
      const { script_user } = fields;
      expect(script_user?.default).toBeUndefined();
      for (const [key, { type, pattern, enum: words, description }] of Object.entries(fields)) {
        expect(description, key).toBeTruthy();
        if (type === "string" && !words && !["context_type", "site_name", "makefile", "git", "archive"].includes(key))
          expect(pattern, `${name} ${key}`).toBeTruthy();
      }
    }
  });
});

test("a hub is loaded with its layout", async () => {
  const { root } = await hubOf();
  expect((await loadHub(root)).layout.contextFile("@a")).toBe(`${root}/aliases/a.yml`);
});
