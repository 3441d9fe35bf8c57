import type { Layout } from "../../context/layout.js";
import type { Server } from "../../context/schema.js";
import type { SecretStore } from "../../context/secrets.js";
import type { Host } from "../../host/host.js";
import { mysql } from "./mysql/index.js";
import { pgsql } from "./pgsql/index.js";
import type { DbService } from "./service.js";
import { sqlite } from "./sqlite/index.js";

export interface DbSetup {
  readonly layout: Layout;
  readonly server: Pick<Server, "name" | "php" | "web_group" | "master_db" | "password_command" | "db_grant_all_hosts"> &
    Partial<Pick<Server, "remote_host" | "http_service_type">>;
  /** The machine whose client programs reach the database. */
  readonly host: Host;
  /** The machine that has the hub's files. */
  readonly hub: Host;
  readonly secrets: SecretStore;
}

/** Every `db_service_type` that stores; one line each. */
export const dbServices: Readonly<Record<string, (setup: DbSetup) => DbService>> = {
  mysql,
  pgsql,
  sqlite,
};
