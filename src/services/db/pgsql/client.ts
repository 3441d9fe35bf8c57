import { Secret } from "../../../core/secret.js";
import { type Argv, type Host, SECRET_FILE } from "../../../host/host.js";
import type { ServerLogin } from "../server-database.js";
import { pgsqlFailure } from "./failure.js";
import { passwordFileValue } from "./sql.js";

const MINUTE = 60_000;

/** The client programs of one machine; SQL goes in on standard input, the password by a file that only the program can open. */
export class PgsqlClient {
  readonly #host: Host;
  readonly #server: string;

  constructor(host: Host, server: string) {
    this.#host = host;
    this.#server = server;
  }

  /** Runs statements in one database, each by itself; rows of those that give some. `doing` is for messages. */
  async run(
    login: ServerLogin,
    statements: readonly string[],
    { doing, database, timeout = 5 * MINUTE }: { readonly doing: string; readonly database: string; readonly timeout?: number },
  ): Promise<readonly (readonly string[])[]> {
    const argv: Argv = [
      "psql",
      ...QUIET,
      "--no-align",
      "--tuples-only",
      "--field-separator=\t",
      ...where(login),
      "--dbname",
      conninfo(database),
    ];
    const { code, stdout, stderr } = await this.#host.run(argv, {
      input: new Secret(`SET client_min_messages = warning;\n${statements.join("\n")}\n`),
      ...asSecret(login),
      env: environment(login),
      anyExit: true,
      timeout,
    });
    if (code !== 0) throw this.failure(linesOf(stderr), login, doing);
    return linesOf(stdout).map((line) => line.split("\t"));
  }

  failure(lines: readonly string[], login: ServerLogin, doing: string) {
    return pgsqlFailure(lines, login, this.#server, doing);
  }

  /** The program that loads SQL from its standard input into a database, all or nothing. */
  loading(login: ServerLogin, database: string) {
    const argv: Argv = ["psql", ...QUIET, "--single-transaction", "--output=/dev/null", ...where(login), "--dbname", conninfo(database)];
    return { argv, ...asSecret(login), env: environment(login) };
  }

  dumping(login: ServerLogin, database: string, more: readonly string[]) {
    const argv: Argv = [...DUMP, ...more, ...where(login), "--dbname", conninfo(database)];
    return { argv, ...asSecret(login), env: environment(login) };
  }
}

export const DUMP: Argv = ["pg_dump", "--no-owner", "--no-acl", "--no-password", "--encoding=UTF8"];

/** No start-up file, no prompt, the first error ends it, and each comes with its SQLSTATE. */
export const QUIET = [
  "--no-psqlrc",
  "--quiet",
  "--no-password",
  "--set=ON_ERROR_STOP=1",
  "--set=VERBOSITY=verbose",
  "--set=SHOW_CONTEXT=never",
];

export function where({ host, port, user, socket }: ServerLogin): readonly string[] {
  return ["--host", socket ?? host, "--port", String(port), "--username", user];
}

/** A name with `=` in it, or one that begins as a URL, would be read as much more than a name. */
export function conninfo(database: string): string {
  return `dbname='${database.replace(/[\\']/g, "\\$&")}'`;
}

function asSecret({ password }: ServerLogin): { readonly secretFile?: Secret } {
  return password ? { secretFile: new Secret(`*:*:*:*:${passwordFileValue(password.reveal())}\n`) } : {};
}

function environment(login: ServerLogin): Readonly<Record<string, string | undefined>> {
  return { ...connection(login), PGPASSWORD: undefined, PGPASSFILE: SECRET_FILE };
}

/** Nothing of how the programs reach the server comes from elsewhere. */
export function connection({ tls, tlsCa }: Pick<ServerLogin, "tls" | "tlsCa">): Readonly<Record<string, string | undefined>> {
  const without = ["PGSERVICE", "PGSERVICEFILE", "PGHOST", "PGHOSTADDR", "PGDATABASE", "PGOPTIONS", "PGSSLCERT", "PGSSLKEY"];
  return {
    ...Object.fromEntries(without.map((name) => [name, undefined])),
    PGCONNECT_TIMEOUT: "10",
    PGAPPNAME: "provision",
    PGCLIENTENCODING: "UTF8",
    PGSSLMODE: tls === "verify" ? "verify-full" : tls === "on" ? "require" : undefined,
    PGSSLROOTCERT: tls === "verify" ? tlsCa : undefined,
    LC_ALL: "C",
  };
}

function linesOf(text: string): readonly string[] {
  return text.split("\n").filter((line) => line.trim() !== "");
}
