import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { TestHub } from "./hub.js";

/** Properties of a context, as var_export writes them. */
type Values = { readonly [key: string]: string | number | boolean | null | readonly string[] };

function exported(values: Values): string {
  const text = (value: string) => `'${value.replace(/[\\']/g, "\\$&")}'`;
  const one = (value: Values[string]) =>
    Array.isArray(value)
      ? `\n  array (\n${value.map((each, index) => `    ${index} => ${text(each)},\n`).join("")}  )`
      : typeof value === "string"
        ? text(value)
        : String(value);
  return `array (\n${Object.entries(values)
    .map(([key, value]) => `  ${text(key)} => ${one(value)},\n`)
    .join("")})`;
}

/** What `~/.drush` of Aegir 3 has of a context, as it writes it. */
export function writeAlias(root: string, name: string, values: Values): void {
  mkdirSync(join(root, ".drush"), { recursive: true });
  writeFileSync(join(root, `.drush/${name}.alias.drushrc.php`), `<?php \n$aliases['${name}'] = ${exported(values)};\n`, { mode: 0o440 });
}

/**
 * A hub of Aegir 3 at `root`, in its own places: contexts in .drush, the platform in platforms/d7, and @a.test with its settings cloaked (the account stands
 * in drushrc.php), its private files below the site. What it holds is the site `of` that `hub` has on `port` of MariaDB.
 */
export function makeAegirHub(root: string, hub: TestHub, of: string, port: number, more: Values = {}): void {
  const platform = join(root, "platforms/d7");
  const site = join(platform, "sites/a.test");
  cpSync(hub.docroot, platform, {
    recursive: true,
    dereference: true,
    filter: (path) => !path.startsWith(join(hub.docroot, "sites/")) || path === join(hub.docroot, "sites/all"),
  });
  const context = parse(readFileSync(hub.path(`aliases/${of}.yml`), "utf8")) as Record<string, string>;
  const secrets = parse(readFileSync(hub.path(`secrets/${of}.yml`), "utf8")) as Record<string, string>;
  const generation = hub.path(`sites/${of}/${context["generation"]}`);
  for (const directory of ["files/css", "private/files", "private/temp", "private/config/sync", "modules/own", "themes", "libraries"])
    mkdirSync(join(site, directory), { recursive: true });
  cpSync(join(generation, "files"), join(site, "files"), { recursive: true, verbatimSymlinks: true });
  writeFileSync(join(site, "files/picture.txt"), "public\n");
  writeFileSync(join(site, "files/css/made.css"), "body {}\n");
  writeFileSync(join(site, "private/files/secret.txt"), "private\n");
  writeFileSync(join(site, "modules/own/own.info"), "name = Own\ncore = 7.x\n");
  writeFileSync(join(site, "modules/own/own.module"), "<?php\n");
  writeFileSync(join(site, "local.settings.php"), "<?php # local settings.php\n");
  writeFileSync(
    join(site, "settings.php"),
    "<?php\n$databases['default']['default'] = array('database' => urldecode($_SERVER['db_name']));\n",
  );
  writeFileSync(
    join(site, "drushrc.php"),
    `<?php \n\n\n${Object.entries({
      db_type: "mysql",
      db_host: "127.0.0.1",
      db_port: String(port),
      db_passwd: Object.entries(secrets).find(([key]) => key.startsWith("db_password_"))?.[1] ?? "",
      db_name: context["db_name"] ?? "",
      db_user: context["db_user"] ?? "",
    })
      .map(([key, value]) => `$options['${key}'] = '${value.replace(/[\\']/g, "\\$&")}';\n`)
      .join("")}$options['installed'] = true;\n$options['packages'] = ${exported({ about: "it's; $options['db_name'] = 'other';" })};\n
# Local non-aegir-generated additions.
$_SERVER['db_name'] = $options['db_name'];
@include_once('${site}/local.drushrc.php');\n`,
    { mode: 0o440 },
  );
  writeAlias(root, "server_master", {
    ...{ context_type: "server", server: "@server_master", remote_host: "aegir.test", aegir_root: root, script_user: "aegir" },
    ...{ db_service_type: "mysql", http_service_type: "apache", master_db: `mysql://root:not-to-be-used@aegir.test:${port}` },
  });
  writeAlias(root, "platform_d7", {
    context_type: "platform",
    server: "@server_master",
    web_server: "@server_master",
    root: platform,
    makefile: "",
  });
  writeAlias(root, "a.test", {
    ...{ context_type: "site", platform: "@platform_d7", server: "@server_master", db_server: "@server_master", uri: "a.test" },
    ...{ root: platform, site_path: site, site_enabled: true, language: "en", client_name: "admin", redirection: false, cron_key: "" },
    ...{ aliases: [], drush_aliases: [], profile: "minimal", install_method: "profile", ...more },
  });
}
