import type { Secret } from "../core/secret.js";

/** How a site reaches its database; what settings.php is given. */
export type DatabaseAccess =
  | { readonly driver: "sqlite"; readonly database: string }
  | {
      readonly driver: "mysql" | "pgsql";
      readonly host: string;
      readonly port: number;
      readonly database: string;
      readonly username: string;
      readonly password: Secret;
    };
