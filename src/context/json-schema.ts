import { z } from "zod";
import { CONTEXT_TYPES, hubSchema, type Kind, schemas } from "./schema.js";

const TITLES: Readonly<Record<Kind, string>> = {
  server: "A server: aliases/server_*.yml",
  platform: "A platform: aliases/platform_*.yml",
  site: "A site: aliases/<uri>.yml",
  client: "A client: aliases/client_*.yml",
  hub: "Settings of the hub: provision.yml",
};

/**
 * JSON Schema (draft 2020-12) of each kind by file name, for editors: `schemas/site.json` and so on; `context.json` takes
 * whichever fits. They are looser than the schemas they are made from where a pattern cannot say a rule, never stricter.
 */
export function jsonSchemas(): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const kind of [...CONTEXT_TYPES, "hub"] as const) {
    const { $schema, ...schema } = z.toJSONSchema(kind === "hub" ? hubSchema : schemas[kind], {
      io: "input",
      override: ({ jsonSchema }) => {
        // Text that people write as a bare number: an editor has to take the number too.
        const written = jsonSchema as { unquoted?: true; masked?: true; type?: unknown };
        if (written.unquoted && written.type === "string") written.type = ["string", "number"];
        delete written.unquoted;
        delete written.masked;
      },
    });
    files.set(`${kind}.json`, text({ $schema, title: TITLES[kind], ...schema }));
  }
  files.set(
    "context.json",
    text({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      title: "Any context: aliases/*.yml",
      type: "object",
      required: ["context_type"],
      properties: { context_type: { enum: CONTEXT_TYPES } },
      allOf: CONTEXT_TYPES.map((type) => ({
        if: { properties: { context_type: { const: type } }, required: ["context_type"] },
        // biome-ignore lint/suspicious/noThenProperty: a word of JSON Schema; nobody awaits this
        then: { $ref: `${type}.json` },
      })),
    }),
  );
  return files;
}

function text(schema: object): string {
  return `${JSON.stringify(schema, null, 2)}\n`;
}
