import { Secret } from "../core/secret.js";

/** Database servers that are reached by an address and an account; `db_service_type` names one. */
type DbDriver = "mysql" | "pgsql";

/** How provision reaches a database server, as its context says it in `master_db`. */
export interface MasterDb {
  readonly driver: DbDriver;
  /** An account that may make databases and accounts. */
  readonly user: string;
  /** Only while it is on its way to secrets/: no alias file keeps one. */
  readonly password: Secret | undefined;
  readonly host: string;
  readonly port: number;
  /** mysql: path of the socket; pgsql: directory of the sockets. Instead of host and port. */
  readonly socket: string | undefined;
  /** pgsql: database that the account connects to. */
  readonly database: string | undefined;
  /** on: encrypted; verify: and the server proves its name by a certificate; undefined: as the client programs do it. */
  readonly tls: "on" | "verify" | undefined;
  /** File with the certificates of the authorities, absolute. */
  readonly tlsCa: string | undefined;
}

/** Key of the password of a server's `master_db` in its secrets. */
export const MASTER_PASSWORD = "master_db_password";

const DRIVERS: Readonly<Record<string, DbDriver>> = {
  "mysql:": "mysql",
  "mariadb:": "mysql",
  "pgsql:": "pgsql",
  "postgres:": "pgsql",
  "postgresql:": "pgsql",
};
const PORTS: Readonly<Record<DbDriver, number>> = { mysql: 3306, pgsql: 5432 };
const OPTIONS = ["socket", "tls", "tls_ca"];
const HOST = /^(?:[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_])?|\[[0-9a-f:.]+\])$/i;

/** What is wrong with a `master_db`, as the end of a sentence that never holds the value; undefined: nothing. */
export function masterDbProblem(value: string): string | undefined {
  const read = parse(value);
  return typeof read === "string" ? read : undefined;
}

/** The parts of a `master_db` that has no problem. */
export function parseMasterDb(value: string): MasterDb {
  const read = parse(value);
  if (typeof read === "string") throw new Error(`master_db ${read}`);
  return read;
}

/** A `master_db` as an alias file may hold it, and the password that was in it. */
export function withoutPassword(value: string): { readonly url: string; readonly password: Secret | undefined } {
  const { password } = parseMasterDb(value);
  if (password === undefined) return { url: value, password };
  const url = new URL(value);
  url.password = "";
  return { url: url.href, password };
}

function parse(value: string): MasterDb | string {
  // URL would take spaces and line ends out without a word.
  if (/[\s\p{Cc}]/u.test(value)) return "holds white space or a control character; write it as %20, %0A …";
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    return "is not a URL; in user and password : / ? # @ and % are written as %3A %2F %3F %23 %40 %25";
  }
  const driver = DRIVERS[url.protocol];
  if (driver === undefined) return "begins neither with mysql:// nor with pgsql://";
  if (!/^[a-z]+:\/\//i.test(value)) return "has no // after its first word";
  if (!HOST.test(url.hostname)) return "names no host; in user and password : / ? # @ and % are written as %3A %2F %3F %23 %40 %25";
  if (url.hash !== "") return "has a #, which a password writes as %23";
  const [user, password] = [decoded(url.username), decoded(url.password)];
  if (user === undefined || password === undefined) return "has a % that is not followed by two hexadecimal digits; write it as %25";
  if (user === "") return "names no account";
  if (/\p{Cc}/u.test(user) || /[\0\r\n]/.test(password)) return "has a control character in user or password";
  const names = [...url.searchParams.keys()];
  const unknown = names.find((name) => !OPTIONS.includes(name));
  if (unknown !== undefined || new Set(names).size !== names.length) return `takes only ${OPTIONS.join(", ")} after the ?, each once`;
  const [socket, tls, tlsCa] = OPTIONS.map((name) => url.searchParams.get(name) ?? undefined);
  for (const path of [socket, tlsCa])
    if (path !== undefined && (!/^\/[^\p{Cc};]+$/u.test(path) || path.includes("/../")))
      return "has a socket or tls_ca that is not an absolute path";
  if (tls !== undefined && tls !== "on" && tls !== "verify") return "has a tls that is neither on nor verify";
  if (tlsCa !== undefined && tls === undefined) return "has a tls_ca and no tls";
  if (socket !== undefined && tls !== undefined) return "asks for tls on a socket, where nothing passes a network";
  const path = decoded(url.pathname.slice(1));
  if (path === undefined || /[/\p{Cc}]/u.test(path) || (path !== "" && driver === "mysql"))
    return driver === "mysql" ? "names a database; the account is for all of them" : "names no database that can be";
  return {
    driver,
    user,
    password: password === "" ? undefined : new Secret(password),
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? PORTS[driver] : Number(url.port),
    socket,
    database: path === "" ? undefined : path,
    tls,
    tlsCa,
  };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
