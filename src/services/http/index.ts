import type { Layout } from "../../context/layout.js";
import type { Server } from "../../context/schema.js";
import type { Host } from "../../host/host.js";
import { phpHttp } from "./php/index.js";
import type { HttpService } from "./service.js";

export interface HttpSetup {
  readonly layout: Layout;
  readonly server: Pick<Server, "name" | "http_port" | "php">;
  /** The machine the web server runs on. */
  readonly host: Host;
}

/** Every `http_service_type` that serves; one line each. */
export const httpServices: Readonly<Record<string, (setup: HttpSetup) => HttpService>> = {
  php: phpHttp,
};
