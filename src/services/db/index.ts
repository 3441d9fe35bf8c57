import type { Layout } from "../../context/layout.js";
import type { Server } from "../../context/schema.js";
import type { Host } from "../../host/host.js";
import type { DbService } from "./service.js";
import { sqlite } from "./sqlite/index.js";

export interface DbSetup {
  readonly layout: Layout;
  readonly server: Pick<Server, "name" | "php" | "web_group">;
  /** The machine the database is on. */
  readonly host: Host;
}

/** Every `db_service_type` that stores; one line each. */
export const dbServices: Readonly<Record<string, (setup: DbSetup) => DbService>> = {
  sqlite,
};
