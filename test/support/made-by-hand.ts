import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

interface Hub {
  path(relative: string): string;
}

/** What an operator's own settings.php of the fake core says, with the account that it is given; `more` comes last. */
export function settingsByHand(database: string, { salt = "salt-of-the-operator", more = "" } = {}): string {
  return `<?php\n$databases['default']['default'] = ${database};\n$drupal_hash_salt = '${salt}';\n$update_free_access = FALSE;\n$conf['theme_debug'] = TRUE;\n${more}`;
}

/** The salt of a site, as the hub keeps it. */
export function saltOf(hub: Hub, name: string): string {
  return /^hash_salt: "(.*)"$/m.exec(readFileSync(hub.path(`secrets/${name}.yml`), "utf8"))?.[1] ?? "";
}

/**
 * A site that the hub installed on the fake core becomes one that was made by hand: its files, private files and SQLite database stand in its directory
 * on the platform, its settings.php is an operator's, and the hub knows nothing of it any more. `directory`: below sites/. `settings`: instead of those.
 */
export function makeByHand(
  hub: Hub,
  uri: string,
  {
    docroot = "platforms/p",
    directory = uri,
    settings,
    more,
  }: { docroot?: string; directory?: string; settings?: string; more?: string } = {},
): string {
  const generation = hub.path(join("sites", uri, readdirSync(hub.path(`sites/${uri}`))[0] ?? ""));
  const sites = hub.path(join(docroot, "sites"));
  const place = join(sites, directory);
  const salt = saltOf(hub, uri);
  unlinkSync(join(sites, uri, "files"));
  cpSync(join(generation, "files"), join(sites, uri, "files"), { recursive: true });
  cpSync(join(generation, "private"), join(sites, uri, "private"), { recursive: true });
  for (const end of ["", "-wal", "-shm"]) {
    const file = join(generation, "db", `site.sqlite${end}`);
    if (existsSync(file)) copyFileSync(file, join(sites, uri, "files", `.ht.sqlite${end}`));
  }
  rmSync(join(sites, uri, "settings.php"));
  if (directory !== uri) {
    rmSync(place, { recursive: true, force: true });
    renameSync(join(sites, uri), place);
  }
  const file = `array('driver' => 'sqlite', 'database' => 'sites/${directory}/files/.ht.sqlite', 'prefix' => '')`;
  const priv = `$conf['file_private_path'] = 'sites/${directory}/private';\n${more ?? ""}`;
  writeFileSync(join(place, "settings.php"), settings ?? settingsByHand(file, { salt, more: priv }));
  rmSync(join(sites, "sites.php"), { force: true });
  rmSync(hub.path(`sites/${uri}`), { recursive: true });
  for (const gone of [`aliases/${uri}.yml`, `secrets/${uri}.yml`, `clients/admin/${uri}`]) rmSync(hub.path(gone), { force: true });
  mkdirSync(hub.path("sites"), { recursive: true });
  return place;
}
