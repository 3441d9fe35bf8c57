import type { Layout } from "../../context/layout.js";
import type { Server } from "../../context/schema.js";
import type { Gathering } from "../../core/gathering.js";
import type { Host } from "../../host/host.js";
import type { Limits } from "../php-limits.js";
import { apache } from "./apache/index.js";
import { daemonHttp } from "./daemon/index.js";
import { nginx } from "./nginx/index.js";
import { phpHttp } from "./php/index.js";
import type { HttpService } from "./service.js";

export interface HttpSetup {
  /** Of the machine that the web server runs on. */
  readonly layout: Layout;
  /** Directory of the hub's locks; default: that of `layout`. */
  readonly locks?: string;
  readonly server: Pick<
    Server,
    | "name"
    | "script_user"
    | "http_port"
    | "http_ssl_port"
    | "http_test_cmd"
    | "http_restart_cmd"
    | "php"
    | "php_fpm_listen"
    | "php_fpm_restart_cmd"
  > &
    Partial<Pick<Server, "php_pool" | keyof Limits>>;
  /** Milliseconds within which a reload has to be proven; five hundred sites take a second or two. Default: 30 s. */
  readonly patience?: number;
  /** Other operations of the same run: their sites are activated together. */
  readonly gathering?: Gathering;
  /** The machine the web server runs on. */
  readonly host: Host;
}

/** Every `http_service_type` that serves; one line each. */
export const httpServices: Readonly<Record<string, (setup: HttpSetup) => HttpService>> = {
  php: phpHttp,
  nginx: (setup) => daemonHttp(nginx, setup),
  apache: (setup) => daemonHttp(apache, setup),
};
