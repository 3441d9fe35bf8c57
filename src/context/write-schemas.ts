import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { jsonSchemas } from "./json-schema.js";

/** Run by `npm run build`: writes the JSON Schema files that are shipped and kept in git. */
const directory = fileURLToPath(new URL("../../schemas/", import.meta.url));
await mkdir(directory, { recursive: true });
for (const [name, content] of jsonSchemas()) await writeFile(`${directory}${name}`, content);
