import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scope } from "../../src/core/scope.js";
import { engineNamed } from "../../src/engines/index.js";
import { LocalHost } from "../../src/host/local.js";
import { type DatabaseServer, missingServer, startServer } from "../support/database-servers.js";
import { installInput } from "../support/engine-site.js";
import { TestHub, treeOf } from "../support/hub.js";

const URI = "by-hand.localhost";
const PASSWORD = "geheim'es Wort";
const php = (text: string) => text.replaceAll("\\", "\\\\").replaceAll("'", "\\'");

interface Kind {
  readonly engine: "drupal7" | "drupal" | "backdrop";
  readonly tree: string | undefined;
  readonly profile: string;
  /** Text of a settings.php as an operator writes it. */
  settings(account: string): string;
}

const account = (port: number) =>
  `array('driver' => 'mysql', 'host' => '127.0.0.1', 'port' => '${port}', 'database' => 'byhand', 'username' => 'byhand', 'password' => '${php(PASSWORD)}', 'prefix' => '')`;

const KINDS: Readonly<Record<string, Kind>> = {
  "Drupal 7": {
    engine: "drupal7",
    tree: process.env["PROVISION_TEST_DRUPAL7"],
    profile: "standard",
    // Computed, as operators do it; without a salt, so that core makes one of the account.
    settings: (databases) =>
      `<?php\n$where = __DIR__;\n$databases['default']['default'] = ${databases};\n$drupal_hash_salt = '';\n$conf['file_private_path'] = "$where/private";\n`,
  },
  "Drupal 10": {
    engine: "drupal",
    tree: process.env["PROVISION_TEST_DRUPAL10"],
    profile: "minimal",
    settings: (databases) =>
      `<?php\n$databases['default']['default'] = ${databases} + array('namespace' => 'Drupal\\\\mysql\\\\Driver\\\\Database\\\\mysql', 'autoload' => 'core/modules/mysql/src/Driver/Database/mysql/');\n$settings['hash_salt'] = 'a salt of the operator';\n$settings['config_sync_directory'] = "$site_path/sync";\n$settings['file_private_path'] = "$site_path/private";\n$config['system.logging']['error_level'] = 'verbose';\n`,
  },
  Backdrop: {
    engine: "backdrop",
    tree: process.env["PROVISION_TEST_BACKDROP"],
    profile: "minimal",
    settings: (databases) =>
      `<?php\n$databases['default']['default'] = ${databases};\n$config_directories['active'] = 'files/config_0a1b/active';\n$config_directories['staging'] = 'files/config_0a1b/staging';\n$settings['hash_salt'] = 'a salt of the operator';\n$settings['backdrop_drupal_compatibility'] = TRUE;\n`,
  },
};

const missing = missingServer("mysql");
describe.each(Object.entries(KINDS))("a site of %s that was made by hand on MariaDB", (name, { engine, tree, profile, settings }) => {
  if (!tree || missing !== undefined) {
    it.skip(`SKIPPED: ${missing ?? `no tree of ${name} is named`}`, () => {});
    return;
  }
  let hub: TestHub;
  let server: DatabaseServer;
  let docroot: string;

  beforeAll(async () => {
    [hub, server] = await Promise.all([TestHub.empty(), startServer("mysql")]);
    const root = join(hub.base, "platform");
    cpSync(tree, root, { recursive: true, verbatimSymlinks: true });
    await hub.ok([
      "save",
      "@server_db",
      "--context_type=server",
      "--http_service_type=none",
      "--db_service_type=mysql",
      `--master_db=${server.url}`,
    ]);
    await hub.ok(["save", "@platform_x", "--context_type=platform", `--root=${root}`]);
    docroot = engine === "drupal" ? join(root, "web") : root;
    const site = join(docroot, "sites", URI);
    for (const directory of ["files/config_0a1b/active", "files/config_0a1b/staging", "private", "sync"])
      mkdirSync(join(site, directory), { recursive: true });
    writeFileSync(join(docroot, "sites/sites.php"), `<?php\n$sites['${URI}'] = '${URI}';\n$sites['www.${URI}'] = '${URI}';\n`);
    for (const statement of [
      "CREATE DATABASE byhand CHARACTER SET utf8mb4",
      `CREATE USER byhand@'%' IDENTIFIED BY '${php(PASSWORD)}'`,
      "GRANT ALL ON byhand.* TO byhand@'%'",
    ])
      server.sql(statement);
    writeFileSync(join(site, "settings.php"), settings(account(server.port)));
    const code = { host: new LocalHost(new Scope()), php: "php", docroot, uri: URI, directory: URI, url: `http://${URI}` };
    await engineNamed(engine).install(code, installInput({ profile }));
    writeFileSync(join(site, "files/picture.txt"), "of a cat");
  }, 300_000);
  afterAll(async () => {
    await server?.remove();
    hub?.remove();
  });

  it("is imported where it stands, verified, backed up, moved into its generation by a restore, and deleted; the operator's account stays", async () => {
    const before = treeOf(join(docroot, "sites"));
    const imported = await hub.document(`import @${URI}`);
    expect(imported.error).toBeUndefined();
    expect(imported.data).toMatchObject({ platform: "@platform_x", db_server: "@server_db", database: "byhand", former_account: "byhand" });
    expect(JSON.stringify(imported)).not.toContain("geheim");
    expect(treeOf(join(docroot, "sites"))).toEqual(before);
    const context = readFileSync(hub.path(`aliases/${URI}.yml`), "utf8");
    expect(context).toContain(`profile: ${profile}`);
    expect(context).toContain(`www.${URI}`);
    // As the warning of import says.
    expect(imported.warnings?.join("\n")).toContain("sites.php was not written by provision");
    rmSync(join(docroot, "sites/sites.php"));
    expect((await hub.document(`verify @${URI}`)).error).toBeUndefined();
    expect((await hub.document(`verify @${URI}`)).counts).toMatchObject({ changed: 0 });
    const serving = await hub.serve();
    try {
      const get = async (path: string) => (await serving.get(URI, path)).status;
      expect([await get("/user/login"), await get(`/sites/${URI}/files/picture.txt`)]).toEqual([200, 200]);
      const { data, error } = await hub.document(`backup @${URI}`);
      expect(error).toBeUndefined();
      expect((await hub.document(`restore @${URI} ${String(data?.["backup"])} --yes`)).error).toBeUndefined();
      expect([await get("/user/login"), await get(`/sites/${URI}/files/picture.txt`)]).toEqual([200, 200]);
      const link = new URL(String((await hub.document(`login @${URI}`)).data?.["url"]));
      expect((await serving.get(URI, link.pathname + link.search)).status).toBe(302);
      expect((await hub.document(`rollback @${URI} --yes`)).error).toBeUndefined();
      expect([await get("/user/login"), await get(`/sites/${URI}/files/picture.txt`)]).toEqual([200, 200]);
    } finally {
      await serving.stop();
    }
    await hub.ok(`delete @${URI} --yes`);
    expect(server.sql("SHOW DATABASES LIKE 'b%'")).toEqual([]);
    expect(server.sql("SELECT DISTINCT User FROM mysql.user WHERE User LIKE 'by%'")).toEqual([["byhand"]]);
    expect(readdirSync(hub.path(`backups/${URI}`)).length).toBeGreaterThan(1);
  }, 300_000);
});
