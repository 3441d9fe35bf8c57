import { Secret } from "../core/secret.js";

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

/** Names by which PHP is told a database account that is not in settings.php; Aegir's. */
export const ACCOUNT_VARIABLES = ["db_name", "db_user", "db_passwd"] as const;

/** The account by those names, percent-encoded: letters, digits and `-_.~!*'()%`. Undefined where there is none to tell. */
export function accountVariables(access: DatabaseAccess): Readonly<Record<(typeof ACCOUNT_VARIABLES)[number], Secret>> | undefined {
  if (access.driver === "sqlite") return undefined;
  const encoded = (value: string) => new Secret(encodeURIComponent(value));
  return { db_name: encoded(access.database), db_user: encoded(access.username), db_passwd: encoded(access.password.reveal()) };
}
