import type { Server } from "../../context/schema.js";
import { ProvisionError } from "../../core/errors.js";
import type { Found } from "../../engines/engine.js";
import type { Services } from "../services.js";
import { databaseOf, type SiteInputs } from "./site.js";

/** As in engines/found.php: the same words for the same server, whoever asks and whatever way it is reached. */
const IDENTITY: Readonly<Record<string, string>> = {
  mysql: "SELECT CONCAT_WS('/', @@hostname, @@port, @@datadir, @@server_id)",
  // One that may ask for less than a superuser is told these; two servers never have started in the same microsecond on one port.
  pgsql:
    "SELECT CONCAT_WS('/', current_setting('port'), to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS'), (SELECT oid FROM pg_database WHERE datname = current_database()))",
};

type Of = Pick<SiteInputs, "site" | "generation" | "paths" | "pool">;

/**
 * The server context that has a database which was found. Servers are known by what they say of themselves, so that `localhost`, a socket and an
 * address are one. `only`: the one that was named. Rejects with INVALID_REFERENCE, saying what to save.
 */
export async function serverOf(found: Found, of: Of, only: string | undefined, use: Services): Promise<Server> {
  const { database, identity } = found;
  if (database === undefined) throw new Error("no database was found");
  const { contexts } = await use.store.load();
  const servers = contexts.filter(
    (context): context is Server =>
      context.context_type === "server" && context.db_service_type === database.driver && (only === undefined || context.name === only),
  );
  const silent: string[] = [];
  for (const server of servers) {
    if (database.driver === "sqlite") return server;
    try {
      const db = use.db(server);
      const names = { ...of, site: { ...of.site, db_name: database.database, db_user: database.username } };
      const one = databaseOf(names, use, server);
      if ((await db.exists(one)) && (await db.select(one, IDENTITY[database.driver] ?? ""))[0]?.[0] === identity) return server;
    } catch (error) {
      if (!(error instanceof ProvisionError)) throw error;
      silent.push(`${server.name} cannot be asked: ${error.message}`);
    }
  }
  const { driver, port } = database;
  // PHP's driver of PostgreSQL takes the directory of the socket as a host.
  const [host, socket] = database.host.startsWith("/") ? ["", database.host] : [database.host, database.socket];
  const address = host === "" ? "localhost" : host;
  const where = driver === "sqlite" ? "" : `${address}${port === "" ? "" : `:${port}`}${socket === "" ? "" : `?socket=${socket}`}`;
  throw new ProvisionError(
    "INVALID_REFERENCE",
    only === undefined
      ? `no server of this hub has the database ${database.database}${where === "" ? "" : ` (${driver} on ${where})`}`
      : `${only} is not the server of the database ${database.database}${where === "" ? "" : ` (${driver} on ${where})`}`,
    {
      why: [
        ...servers
          .map(({ name }) => name)
          .map((name) => `${name} is another server, or does not have it`)
          .slice(0, 5),
        ...silent,
      ],
      state: "nothing was changed",
      next: [
        `provision save @server_db --context_type=server --remote_host=${address} --http_service_type=none --db_service_type=${driver}${
          driver === "sqlite" ? "" : ` --master_db=${driver}://ACCOUNT@${where}`
        }`,
        "then the same command again",
      ],
    },
  );
}
