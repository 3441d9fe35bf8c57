import { randomBytes } from "node:crypto";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DatabaseAccess } from "../../src/context/database-access.js";
import { Layout } from "../../src/context/layout.js";
import { siteName } from "../../src/context/names.js";
import { Secret } from "../../src/core/secret.js";
import type { Engine, InstallInput, SiteCode } from "../../src/engines/engine.js";
import type { Host } from "../../src/host/host.js";

const GENERATION = "20261123T091500-7f3a";
const PASSWORD = "correct horse 'battery' \\staple";

/** Directories and settings.php of a site, on SQLite unless `access` says another database, as an operation makes them before it calls engine.install. */
export async function makeSite(
  engine: Engine,
  host: Host,
  hub: string,
  docroot: string,
  uri: string,
  more: { url?: string; generation?: string; directory?: string; codeCache?: string; access?: DatabaseAccess } = {},
): Promise<SiteCode & { readonly sitePath: string; readonly database: string }> {
  const generation = more.generation ?? GENERATION;
  const paths = new Layout(hub).generation(uri, generation);
  const directory = more.directory ?? siteName(uri);
  const sitePath = join(docroot, "sites", directory);
  for (const path of [
    paths.files,
    paths.private,
    paths.tmp,
    ...engine.configDirectories.map((name) => join(paths.config, name)),
    join(paths.database, ".."),
    sitePath,
  ])
    await mkdir(path, { recursive: true });
  await symlink(paths.files, join(sitePath, "files"));
  await writeFile(paths.gate, "");
  const text = engine.settings({
    uri,
    aliases: [],
    generation,
    paths,
    database: more.access ?? { driver: "sqlite", database: paths.database },
    hashSalt: new Secret(randomBytes(32).toString("hex")),
  });
  await writeFile(join(sitePath, "settings.php"), text, { mode: 0o644 });
  return {
    host,
    php: "php",
    docroot,
    uri,
    directory,
    url: more.url ?? `http://${uri}`,
    sitePath,
    database: paths.database,
    ...(more.codeCache === undefined ? {} : { codeCache: more.codeCache }),
  };
}

export function installInput(more: Partial<InstallInput> = {}): InstallInput {
  return {
    profile: "minimal",
    language: "en",
    siteName: "O'Neil & <Söhne>",
    siteMail: "site@example.com",
    account: { name: "admin", mail: "admin@example.com", password: new Secret(PASSWORD) },
    ...more,
  };
}
