import type { Secret } from "../core/secret.js";

/** How a site reaches its database; what settings.php is given. */
export type DatabaseAccess =
  | { readonly driver: "sqlite"; readonly database: string }
  | {
      readonly driver: "mysql" | "pgsql";
      /** With pgsql also the directory of the server's socket. */
      readonly host: string;
      readonly port: number;
      /** mysql: path of the server's socket, instead of host and port. */
      readonly socket?: string;
      /** The connection is encrypted; `verify`: the server proves its name by a certificate of these authorities (a file). */
      readonly tls?: { readonly verify: boolean; readonly ca: string };
      readonly database: string;
      readonly username: string;
      readonly password: Secret;
    };
