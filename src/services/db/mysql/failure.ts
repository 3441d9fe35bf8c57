import { type ErrorCode, ProvisionError } from "../../../core/errors.js";
import type { ServerLogin } from "../server-database.js";

/** Numbers of errors, which MariaDB and MySQL share and which no language of messages changes. */
const CODES: readonly { readonly numbers: readonly number[]; readonly code: ErrorCode; readonly what: string }[] = [
  { numbers: [2002, 2003, 2005, 2006, 2013, 1053, 1927], code: "SERVICE_UNAVAILABLE", what: "cannot be reached" },
  { numbers: [1040, 1203, 1226], code: "SERVICE_UNAVAILABLE", what: "has no connection left" },
  { numbers: [2026, 3159, 1835], code: "SERVICE_UNAVAILABLE", what: "and provision found no way to encrypt that both take" },
  { numbers: [1045, 1698, 1130, 1251, 2059, 2061, 3118, 3955, 4151], code: "DATABASE_LOGIN_REFUSED", what: "refuses the login" },
  { numbers: [1044, 1142, 1143, 1227, 1370, 1396, 1410, 1419, 1095], code: "DATABASE_RIGHT_MISSING", what: "refuses a right" },
  { numbers: [1290, 1836], code: "SERVICE_UNAVAILABLE", what: "is read-only" },
  { numbers: [1021, 1114], code: "DISK_FULL", what: "has no room" },
];

/** `ERROR 1045 (28000) at line 1: …`, `Got error: 2002: "…"`, `… failed: … (1142)`. */
const NUMBER = /(?:ERROR|error:?|errno:?) (\d{4,5})\b|\((\d{4})\)/;
const NO_SPACE = /No space left on device|errno: 28\b|Errcode: 28\b|error 28\b/i;

/** What the server or a client program said, as an error with a code of its own and what to do; `login` tells to whom it was said. */
export function mysqlFailure(lines: readonly string[], login: ServerLogin, server: string, doing: string): ProvisionError {
  const text = lines.join("\n");
  const [, first, second] = NUMBER.exec(text) ?? [];
  const number = Number(first ?? second);
  const known = NO_SPACE.test(text)
    ? CODES.find(({ code }) => code === "DISK_FULL")
    : CODES.find(({ numbers }) => numbers.includes(number));
  const at = login.socket ?? `${login.host}:${login.port}`;
  const who = `the database server of ${server} (${at})`;
  // What a dump program tells of its work (--verbose) is no failure.
  const why = lines
    .filter((line) => !line.startsWith("-- "))
    .map((line) => (login.password ? line.replaceAll(login.password.reveal(), "***") : line));
  if (!known) return new ProvisionError("COMMAND_FAILED", `${who}: ${doing} failed`, { why });
  return new ProvisionError(known.code, `${who} ${known.what}: ${doing}`, { why, ...advice(known.code, login, server, number) });
}

function advice(
  code: ErrorCode,
  login: ServerLogin,
  server: string,
  number: number,
): { readonly state: string; readonly next: readonly string[] } {
  const site = !login.master;
  switch (code) {
    case "SERVICE_UNAVAILABLE":
      return { state: "nothing was asked of it", next: ["start the server, or look into its log", `provision verify ${server}`] };
    case "DATABASE_LOGIN_REFUSED":
      return site
        ? { state: `${login.user} cannot log in`, next: ["provision verify @site    # gives the account its password and rights again"] }
        : {
            state: `nobody was logged in: ${login.user} is refused`,
            next: [
              `provision save ${server} --master_db=mysql://${encodeURIComponent(login.user)}:PASSWORD@…    # PASSWORD goes to secrets/`,
              `provision verify ${server}`,
            ],
          };
    case "DATABASE_RIGHT_MISSING":
      return {
        state: `${login.user} is logged in, and may not do this`,
        next:
          number === 1419
            ? ["SET GLOBAL log_bin_trust_function_creators = 1    # with a binary log, for triggers and functions"]
            : [`GRANT ALL PRIVILEGES ON *.* TO ${login.user} WITH GRANT OPTION    # or make another account the one of master_db`],
      };
    default:
      return { state: "the server is up and takes no data", next: ["make room where the server keeps its data, and try again"] };
  }
}
