import { createHash } from "node:crypto";
import { z } from "zod";
import { messageOf, ProvisionError } from "../../core/errors.js";

/** Name of the file that says what a backup is; a directory without it is none. */
export const MANIFEST = "manifest.json";

export const FILES_PART = "files.tar.zst";
export const SITE_PART = "site.tar.zst";

const SHA256 = /^[0-9a-f]{64}$/;
/** No path: a name in the backup's own directory. */
const PART = /^[a-z][a-z0-9]*(\.[a-z0-9]+)+$/;

const manifestSchema = z.object({
  schema: z.literal("provision/backup@1"),
  /** The operation that made it. */
  id: z.string().regex(/^[0-9]{8}T[0-9]{6}-[0-9a-f]{4,8}$/),
  uri: z.string(),
  /** Name of the site's context, with its `@`. */
  site: z.string(),
  /** Command that made it: backup, restore, delete … */
  reason: z.string(),
  description: z.string().nullable(),
  begun: z.iso.datetime(),
  ended: z.iso.datetime(),
  provision: z.string(),
  /** Caches, sessions and generated files are in it too. */
  full: z.boolean(),
  engine: z.string(),
  /** Version of the core. */
  core: z.string(),
  generation: z.string(),
  profile: z.string(),
  /** Where the generation stood, absolute, and what visitors called the site: what may be named in the database. */
  root: z.string(),
  url: z.string(),
  database: z.object({
    /** db_service_type that wrote the dump, and that loads it. */
    type: z.string(),
    part: z.string().regex(PART),
    /** Tables whose rows are not in it. */
    structure_only: z.array(z.string()),
    /** Rows of each other table before and after the dump: what was loaded has so many, or as many as between. */
    rows: z.record(z.string(), z.tuple([z.number(), z.number()])),
  }),
  parts: z.array(z.object({ name: z.string().regex(PART), bytes: z.number(), sha256: z.string().regex(SHA256) })).min(3),
  /** Files that went while they were read, and files that were written to. */
  vanished: z.array(z.string()),
  changed: z.array(z.string()),
  /** Enabled ones; null with a reason when the site could not be asked. */
  extensions: z
    .array(z.object({ name: z.string(), type: z.string(), version: z.string().nullable(), schema: z.number().nullable() }))
    .nullable(),
  extensions_unknown: z.string().nullable(),
  /** The site's context as it was, and its platform's; neither holds a secret. */
  context: z.record(z.string(), z.unknown()),
  platform: z.record(z.string(), z.unknown()),
  /** What the platform was built of; null for code that provision did not build. */
  build: z.record(z.string(), z.unknown()).nullable(),
});

export type Manifest = Readonly<z.output<typeof manifestSchema>>;

/** Text of a manifest, with a sum of all of it at its end: one that was touched is told from one that was not. */
export function manifestText(manifest: Manifest): string {
  return `${JSON.stringify({ ...manifest, sum: sumOf(manifest) }, undefined, 2)}\n`;
}

function sumOf(manifest: object): string {
  return createHash("sha256").update(JSON.stringify(manifest)).digest("hex");
}

/** What stands in a manifest. `where`: for messages. Rejects with REFUSED when it is damaged or of another kind. */
export function readManifest(text: string, where: string): Manifest {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch (error) {
    throw damaged(where, [messageOf(error)]);
  }
  const { sum, ...rest } = (typeof said === "object" && said !== null ? said : {}) as Record<string, unknown>;
  const parsed = manifestSchema.safeParse(rest);
  if (!parsed.success) {
    const newer = typeof rest["schema"] === "string" && rest["schema"] !== "provision/backup@1";
    throw damaged(
      where,
      newer
        ? [`it is of the kind ${rest["schema"]}, which this version does not know`]
        : parsed.error.issues.slice(0, 3).map(({ path, message }) => `${path.join(".")}: ${message}`),
    );
  }
  if (sum !== sumOf(rest)) throw damaged(where, ["it was changed after it was written: its sum is another"]);
  return parsed.data;
}

function damaged(where: string, why: readonly string[]): ProvisionError {
  return new ProvisionError("REFUSED", `${where} is not the manifest of a backup that can be relied on`, { why });
}
