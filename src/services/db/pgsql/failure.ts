import { type ErrorCode, ProvisionError } from "../../../core/errors.js";
import type { ServerLogin } from "../server-database.js";

/** SQLSTATEs, which no language of messages changes. */
const STATES: readonly { readonly state: RegExp; readonly code: ErrorCode; readonly what: string }[] = [
  { state: /^(42501|0LP01)$/, code: "DATABASE_RIGHT_MISSING", what: "refuses a right" },
  { state: /^(53100|53200)$/, code: "DISK_FULL", what: "has no room" },
  { state: /^(53300|57P0[1-5]|08\w{3}|25006)$/, code: "SERVICE_UNAVAILABLE", what: "takes no work now" },
  { state: /^28\w{3}$/, code: "DATABASE_LOGIN_REFUSED", what: "refuses the login" },
];

/** What is said before anybody is logged in has no SQLSTATE; the client's words are English under LC_ALL=C, the server's nearly always. */
const WORDS: readonly { readonly words: RegExp; readonly code: ErrorCode; readonly what: string }[] = [
  { words: /server version mismatch/, code: "CONFIGURATION", what: "is newer than the client programs" },
  { words: /database ".*" does not exist/, code: "COMMAND_FAILED", what: "has no such database" },
  { words: /No space left on device/, code: "DISK_FULL", what: "has no room" },
  {
    words: /too many (clients|connections)|starting up|shutting down|recovery mode/,
    code: "SERVICE_UNAVAILABLE",
    what: "takes no connection now",
  },
  // It says how the connection would have been encrypted, too.
  { words: /pg_hba\.conf/, code: "DATABASE_LOGIN_REFUSED", what: "refuses the login" },
  { words: /(SSL|TLS|certificate|encryption)/, code: "SERVICE_UNAVAILABLE", what: "and provision found no way to encrypt that both take" },
  {
    words: /authentication failed|no password supplied|role ".*" does not exist|is not permitted to log in|permission denied for database/,
    code: "DATABASE_LOGIN_REFUSED",
    what: "refuses the login",
  },
  {
    words: /could not connect|connection to server|could not translate host name|server closed the connection/,
    code: "SERVICE_UNAVAILABLE",
    what: "cannot be reached",
  },
];

/** What the server or a client program said, as an error with a code of its own and what to do; `login` tells to whom it was said. */
export function pgsqlFailure(lines: readonly string[], login: ServerLogin, server: string, doing: string): ProvisionError {
  const why = withoutStatements(lines).map((line) => (login.password ? line.replaceAll(login.password.reveal(), "***") : line));
  const text = why.join("\n");
  const state = /(?:ERROR|FATAL|PANIC): {2}([0-9A-Z]{5}):/.exec(text)?.[1];
  const known = (state && STATES.find((one) => one.state.test(state))) || (!state && WORDS.find(({ words }) => words.test(text)));
  const who = `the database server of ${server} (${login.socket ?? login.host}:${login.port})`;
  if (!known) return new ProvisionError("COMMAND_FAILED", `${who}: ${doing} failed`, { why });
  return new ProvisionError(known.code, `${who} ${known.what}: ${doing}`, { why, ...advice(known.code, login, server) });
}

/** The server repeats the statement that it does not understand, and a password may stand in it. */
function withoutStatements(lines: readonly string[]): readonly string[] {
  return lines.filter(
    (line, index) => !/^(psql:\S* )?(LINE \d+:|LOCATION:|STATEMENT:|QUERY:)/.test(line) && !/^\s*\^\s*$/.test(lines[index] ?? ""),
  );
}

function advice(code: ErrorCode, login: ServerLogin, server: string): { readonly state: string; readonly next: readonly string[] } {
  switch (code) {
    case "SERVICE_UNAVAILABLE":
      return { state: "nothing was asked of it", next: ["start the server, or look into its log", `provision verify ${server}`] };
    case "DATABASE_LOGIN_REFUSED":
      return login.master
        ? {
            state: `nobody was logged in: ${login.user} is refused`,
            next: [
              `provision save ${server} --master_db=pgsql://${encodeURIComponent(login.user)}:PASSWORD@…    # PASSWORD goes to secrets/`,
              "look into pg_hba.conf: it has to take passwords (scram-sha-256) on this way",
              `provision verify ${server}`,
            ],
          }
        : {
            state: `${login.user} cannot log in`,
            next: [
              "provision verify @site    # gives the account its password and rights again",
              "look into pg_hba.conf: it has to take passwords (scram-sha-256) for all accounts on this way",
            ],
          };
    case "DATABASE_RIGHT_MISSING":
      return {
        state: `${login.user} is logged in, and may not do this`,
        next: [`ALTER ROLE ${login.user} CREATEDB CREATEROLE    # or make another account the one of master_db`],
      };
    case "CONFIGURATION":
      return { state: "nothing was dumped", next: ["apt-get install postgresql-client of the server's version"] };
    default:
      return { state: "the server is up and takes no data", next: ["make room where the server keeps its data, and try again"] };
  }
}
