import { ProvisionError } from "../../../core/errors.js";
import { Secret } from "../../../core/secret.js";
import { type Argv, type Host, HostError, SECRET_FILE } from "../../../host/host.js";
import type { ServerLogin } from "../server-database.js";
import { portable } from "./dump.js";
import { mysqlFailure } from "./failure.js";
import { optionValue, STRICT_QUOTES } from "./sql.js";

/** MariaDB's programs and MySQL's have options that the other refuses. */
type Flavour = "mariadb" | "mysql";

interface Programs {
  readonly flavour: Flavour;
  readonly client: string;
  readonly dump: string;
}

/** Before 10.5 MariaDB's programs had MySQL's names alone, and some systems keep only those. */
const NAMES = [
  { client: "mariadb", dump: "mariadb-dump" },
  { client: "mysql", dump: "mysqldump" },
] as const;
const MARIADB: Programs = { flavour: "mariadb", client: "mariadb", dump: "mariadb-dump" };
const MINUTE = 60_000;

/** The client programs of one machine; SQL goes in on standard input, the password by a file that only the program can open. */
export class MysqlClient {
  readonly #host: Host;
  readonly #server: string;
  #programs: Promise<Programs> | undefined;

  constructor(host: Host, server: string) {
    this.#host = host;
    this.#server = server;
  }

  /** Runs statements; rows of those that give some. `doing` is for messages: `making the database x`. */
  async run(
    login: ServerLogin,
    statements: readonly string[],
    { doing, database, timeout = 5 * MINUTE }: { readonly doing: string; readonly database?: string; readonly timeout?: number },
  ): Promise<readonly (readonly string[])[]> {
    const ask = ({ flavour, client }: Pick<Programs, "flavour" | "client">) =>
      this.#host.run([client, ...COMMON, ...ASKING, ...(database === undefined ? [] : [database])], {
        input: new Secret(`${[STRICT_QUOTES, ...statements].join("\n")}\n`),
        secretFile: optionFile(login, flavour),
        env: ENVIRONMENT,
        anyExit: true,
        timeout,
      });
    // Nearly always it is MariaDB's: another program is looked for when that is not there.
    const known = this.#programs !== undefined;
    const { code, stdout, stderr } = known
      ? await ask(await this.#found())
      : await ask(MARIADB).then(
          (answer) => {
            // No other's is called that, so that it need not be asked who it is.
            this.#programs ??= Promise.resolve(MARIADB);
            return answer;
          },
          async (error: unknown) => {
            if (!(error instanceof HostError) || error.code !== "PROGRAM_MISSING") throw error;
            return ask(await this.#found());
          },
        );
    if (code !== 0) throw this.failure(linesOf(stderr), login, doing);
    return linesOf(stdout).map((line) => line.split("\t"));
  }

  failure(lines: readonly string[], login: ServerLogin, doing: string): ProvisionError {
    return mysqlFailure(lines, login, this.#server, doing);
  }

  /** Which programs this machine has. Rejects with PROGRAM_MISSING. */
  #found(): Promise<Programs> {
    this.#programs ??= this.#find();
    return this.#programs;
  }

  async #find(): Promise<Programs> {
    for (const { client, dump } of NAMES) {
      try {
        const { stdout } = await this.#host.run([client, "--version"], { timeout: MINUTE });
        return { flavour: /mariadb/i.test(stdout) ? "mariadb" : "mysql", client, dump };
      } catch (error) {
        if (!(error instanceof HostError) || error.code !== "PROGRAM_MISSING") throw error;
      }
    }
    throw new ProvisionError("PROGRAM_MISSING", `${this.#host.name}: neither mariadb nor mysql is installed`, {
      next: ["apt-get install mariadb-client"],
    });
  }

  /** The program that loads SQL from its standard input into a database. */
  async loading(login: ServerLogin, database: string) {
    const { flavour, client } = await this.#found();
    const argv: Argv = [client, ...COMMON, "--batch", "--binary-mode", "--max-allowed-packet=1G", database];
    return { argv, secretFile: optionFile(login, flavour), env: ENVIRONMENT };
  }

  /** The program that writes a database, but for the rows of some tables, and what that goes through. */
  async dumping(login: ServerLogin, database: string, structureOnly: readonly string[], onSnapshot?: () => void) {
    const { flavour, dump } = await this.#found();
    const own =
      flavour === "mysql"
        ? ["--set-gtid-purged=OFF", "--column-statistics=0"]
        : structureOnly.map((table) => `--ignore-table-data=${database}.${table}`);
    const argv: Argv = [dump, ...COMMON, ...DUMP, ...(onSnapshot ? ["--verbose"] : []), ...own, database];
    // MySQL's program cannot leave rows out by itself.
    const through = [portable(flavour === "mysql" ? structureOnly : [])];
    return { argv, through, secretFile: optionFile(login, flavour), env: ENVIRONMENT, ...(onSnapshot ? firstTable(onSnapshot) : {}) };
  }
}

/** What the dump programs say of a table, once they have begun the transaction in which they read all of them. */
function firstTable(found: () => void): { readonly onStderr: (text: string) => void } {
  let said: string | undefined = "";
  return {
    onStderr(text) {
      if (said === undefined) return;
      said += text;
      if (!/^-- Retrieving table structure /m.test(said)) return;
      said = undefined;
      found();
    },
  };
}

/** What root's own option files say is not for us. */
const COMMON = [`--defaults-file=${SECRET_FILE}`];
const ASKING = ["--batch", "--skip-column-names", "--raw", "--binary-mode"];
export const DUMP = [
  "--single-transaction",
  "--quick",
  "--routines",
  "--triggers",
  "--events",
  "--hex-blob",
  "--default-character-set=utf8mb4",
  "--no-tablespaces",
  "--skip-dump-date",
  "--max-allowed-packet=1G",
];
export const ENVIRONMENT = {
  MYSQL_PWD: undefined,
  MYSQL_HOST: undefined,
  MYSQL_TCP_PORT: undefined,
  MYSQL_UNIX_PORT: undefined,
  LC_ALL: "C",
} as const;

/** Text of the option file; pure. */
export function optionFile(login: ServerLogin, flavour: Flavour): Secret {
  const lines = [
    "[client]",
    `user=${optionValue(login.user)}`,
    ...(login.password ? [`password=${optionValue(login.password.reveal())}`] : []),
    ...(login.socket === undefined ? [`host=${optionValue(login.host)}`, `port=${login.port}`] : [`socket=${optionValue(login.socket)}`]),
    // A name that the server knows as its own would be tried by the socket.
    ...(login.socket === undefined && login.host !== "localhost" ? ["protocol=tcp"] : []),
    "default-character-set=utf8mb4",
    ...tlsLines(login, flavour),
    // The clients of both read this, and the dump programs, which have no such option, do not.
    "[mysql]",
    "connect-timeout=10",
  ];
  return new Secret(`${lines.join("\n")}\n`);
}

function tlsLines({ tls, tlsCa }: ServerLogin, flavour: Flavour): readonly string[] {
  if (tls === undefined) return [];
  const ca = tlsCa === undefined ? [] : [`ssl-ca=${optionValue(tlsCa)}`];
  if (flavour === "mysql") return [`ssl-mode=${tls === "verify" ? "VERIFY_IDENTITY" : "REQUIRED"}`, ...ca];
  return ["ssl", ...(tls === "verify" ? ["ssl-verify-server-cert"] : ["disable-ssl-verify-server-cert"]), ...ca];
}

function linesOf(text: string): readonly string[] {
  return text.split("\n").filter((line) => line.trim() !== "");
}
