import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DatabaseServer, missingServer, startServer } from "../support/database-servers.js";
import { type WebHub, webHub } from "../support/web-hub.js";
import { missing } from "../support/web-servers.js";

const DATABASES = ["mysql", "pgsql", "sqlite"] as const;

/** Every web server with every database: the same site, the same commands, the same answers. */
for (const type of ["nginx", "apache"] as const) {
  const absent = missing(type) ?? missingServer("mysql") ?? missingServer("pgsql");
  describe.skipIf(absent !== undefined)(`the life of a site on ${type}${absent === undefined ? "" : ` (${absent})`}`, () => {
    let web: WebHub;
    const servers: DatabaseServer[] = [];

    beforeAll(async () => {
      web = await webHub(type);
      for (const database of ["mysql", "pgsql"] as const) {
        const server = await startServer(database);
        servers.push(server);
        await web.hub.ok([
          ...["save", `@server_${database}`, "--context_type=server", "--http_service_type=none", `--db_service_type=${database}`],
          `--master_db=${server.url}`,
        ]);
      }
    }, 120_000);
    afterAll(async () => {
      for (const server of servers) await server.remove();
      await web?.remove();
    });

    test.each(DATABASES)("with %s: installed, verified twice, disabled, enabled, deleted without a trace", async (database) => {
      const { hub, get } = web;
      const uri = `${database}.test`;
      const generation = () => readFileSync(hub.path(`config/server_master/${type}/include/generation.conf`), "utf8");
      const before = hub.tree({ times: false }).filter(isOfSites);
      await hub.saveSite(uri, ...(database === "sqlite" ? [] : [`--db_server=@server_${database}`]));
      const installed = await hub.document(`install @${uri}`);
      expect(installed).toMatchObject({ ok: true, outcome: "changed" });
      const { pathname, search } = new URL(String(installed.data?.["login"]));
      expect((await get(uri, pathname + search)).status).toBe(302);

      const [all, served] = [hub.everything().filter(isOfSites), generation()];
      for (let time = 0; time < 2; time++)
        expect(await hub.document(`verify @${uri}`)).toMatchObject({ outcome: "ok", counts: { changed: 0 } });
      expect(hub.everything().filter(isOfSites)).toEqual(all);
      expect(generation(), "nothing was reloaded").toBe(served);

      await hub.ok(`disable @${uri}`);
      expect((await get(uri, "/")).status).toBe(503);
      await hub.ok(`enable @${uri}`);
      expect((await get(uri, "/")).status).toBe(200);
      await hub.ok(`delete @${uri} --no-backup --yes`);
      expect((await get(uri, "/")).status).toBe(404);
      expect(hub.tree({ times: false }).filter(isOfSites)).toEqual(before);
    });
  });
}

/** What visitors write (sessions) is theirs; logs outlive their site, and what the first site of a client makes is for all. */
function isOfSites(line: string): boolean {
  return !/^(clients\/admin |config\/server_master\/\w+\/(include|log)\/|sites\/[^ ]*\/db\/|state )/.test(line);
}
