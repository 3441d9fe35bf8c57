import { ProvisionError } from "../core/errors.js";
import type { Action, CommandDefinition } from "./definition.js";
import { SELECTORS } from "./selectors.js";

export const backup: CommandDefinition = {
  name: "backup",
  group: "site",
  summary: "back up a site while it serves",
  description:
    "Makes backups/<uri>/<id>/: the database in one snapshot, then the site's files, then its own modules, themes and libraries, each compressed and hashed; manifest.json is written last, and only then the directory has its name. Rows of caches and sessions and generated css and js are left out, unless --full. The site is not put into maintenance and its credentials are in no backup. Files that vanish meanwhile are listed. Refused when the disk has not enough room; what was cut short leaves nothing.",
  arguments: [{ name: "[contexts...]", description: "@site, or a glob" }],
  options: [
    ...SELECTORS,
    { flags: "--full", description: "with the rows of caches and sessions, and generated files" },
    { flags: "--description <text>", description: "kept in the manifest and shown by backups list" },
  ],
  examples: [
    { line: "provision backup @example.com", says: "prints the id of the backup" },
    { line: "provision backup --all --jobs 2 --quiet", says: "every night, from cron" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { openHub, operate } = await import("./hub.js");
  const { eachSelected } = await import("./selection.js");
  const { backup: operation } = await import("../operations/backup.js");
  const { full, description } = invocation.options;
  const told = description === undefined ? undefined : descriptionOf(String(description));
  const options = { full: full === true, ...(told === undefined ? {} : { description: told }) };
  // Of a selector those that are not installed have nothing to back up.
  const installed = (site: { readonly generation?: string | undefined }) => site.generation !== undefined;
  await eachSelected(
    invocation,
    await openHub(invocation.session),
    "backup",
    ["site"],
    async (name, use) => {
      await operate(invocation, use, "backup", name, operation, { name, ...options });
    },
    installed,
  );
};

function descriptionOf(text: string): string {
  if (text.trim() !== "" && text.length <= 255 && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text)) return text;
  throw new ProvisionError("USAGE", "--description is one line of at most 255 characters");
}
