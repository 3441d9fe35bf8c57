import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PACKAGE_ROOT } from "../core/package-root.js";
import { jsonSchemas } from "./json-schema.js";

/** Run by `npm run build`: writes the JSON Schema files that are shipped and kept in git. */
const directory = join(PACKAGE_ROOT, "schemas");
await mkdir(directory, { recursive: true });
for (const [name, content] of jsonSchemas()) await writeFile(join(directory, name), content);
