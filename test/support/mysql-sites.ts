import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Secret } from "../../src/core/secret.js";
import { askAsSite } from "./database-client.js";
import type { DatabaseServer } from "./database-servers.js";
import { makeSite } from "./engine-site.js";
import type { SitePlace } from "./engine-update-suite.js";

/** Sites whose databases are on a MySQL or MariaDB server of the test's own. */
export function onMysql(server: () => DatabaseServer): SitePlace & { access(database: string): Parameters<typeof askAsSite>[0] } {
  const passwords = new Map<string, string>();
  const access = (database: string) => {
    const password = passwords.get(database) ?? randomBytes(12).toString("hex");
    if (!passwords.has(database)) {
      passwords.set(database, password);
      for (const statement of [
        `CREATE DATABASE ${database} CHARACTER SET utf8mb4`,
        `CREATE USER ${database}@'127.0.0.1' IDENTIFIED BY '${password}'`,
        `GRANT ALL ON ${database}.* TO ${database}@'127.0.0.1'`,
      ])
        server().sql(statement);
    }
    return {
      driver: "mysql" as const,
      host: "127.0.0.1",
      port: server().port,
      database,
      username: database,
      password: new Secret(password),
    };
  };
  return {
    access,
    async make(engine, host, hub, docroot, uri) {
      // Backdrop looks below sites/ only when this file names a site.
      await host.writeFile(join(docroot, "sites/sites.php"), engine.sitesPhp(new Map([[uri, uri]])));
      const database = `site_${randomBytes(4).toString("hex")}`;
      return { ...(await makeSite(engine, host, hub, docroot, uri, { access: access(database) })), database };
    },
    async sql(_host, site, statement) {
      return (await askAsSite(access(site.database), [statement])).map((row) => row.map((value) => value ?? ""));
    },
  };
}
