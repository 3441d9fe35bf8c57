import { isIP } from "node:net";
import { parseMasterDb } from "../../context/master-db.js";
import type { SiteAndAll } from "../../context/references.js";
import { isThisMachine, type Server } from "../../context/schema.js";
import { ProvisionError } from "../../core/errors.js";
import type { DatabaseNames } from "../../services/db/service.js";
import { phpProgram } from "../../services/php.js";
import type { Services } from "../services.js";

/** How sites of one machine reach a database server on another. JSON. */
export interface DatabaseWay {
  /** Name or address by which the web server's machine finds it; undefined: it is on the same machine. */
  readonly host?: string;
  /** Addresses from which it sees them come; of a cluster those of all members. */
  readonly from: readonly string[];
}

/** Two contexts may describe one machine: a web server and a database server. */
export function isSameMachine(a: Server, b: Server): boolean {
  const [here, there] = [isThisMachine(a.remote_host), isThisMachine(b.remote_host)];
  return here || there ? here && there : a.remote_host === b.remote_host && a.ssh_port === b.ssh_port && a.ssh_jump === b.ssh_jump;
}

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/;

/**
 * Undefined where site and database share a machine. It connects once, as nobody: from which address, only the two machines know. `names`: of the
 * database and account that the site has or will have. Rejects with CONFIGURATION for a database that can only be reached on its own machine,
 * SERVICE_UNAVAILABLE when nobody answers or PHP lacks the driver, DATABASE_LOGIN_REFUSED where pg_hba.conf has no line for that machine.
 */
export async function wayToDatabase(
  use: Services,
  { webServer, dbServer }: Pick<SiteAndAll, "webServer" | "dbServer">,
  names: DatabaseNames,
): Promise<DatabaseWay | undefined> {
  const type = dbServer.db_service_type;
  if (type === "none" || isSameMachine(webServer, dbServer)) return undefined;
  if (type === "sqlite")
    throw new ProvisionError("CONFIGURATION", `SQLite of ${dbServer.name} is a file on its machine, and ${webServer.name} is another one`, {
      state: "nothing was changed",
      next: [`provision save ${webServer.name} --db_service_type=sqlite`, `provision save @site --db_server=${webServer.name}`],
    });
  const { host: said, port, socket, tls } = parseMasterDb(dbServer.master_db ?? "");
  const own = socket !== undefined || said.startsWith("/") || LOOPBACK.test(said);
  if (own && isThisMachine(dbServer.remote_host))
    throw new ProvisionError("CONFIGURATION", `${webServer.name} cannot reach the database server of ${dbServer.name}`, {
      why: [`master_db says ${socket ?? said}, which is a place of this machine alone`],
      state: "nothing was changed",
      next: [
        `provision save ${dbServer.name} --master_db=${type}://USER@NAME-OF-THIS-MACHINE:${port}    # and let the database server listen there`,
      ],
    });
  const host = own ? dbServer.remote_host : said;
  return { host, from: await addressesTowards(use, webServer, dbServer, { host, port, tls: tls !== undefined, names }) };
}

/**
 * From the site's own PHP, for that is what will connect: where it comes from, and how it is let in. UDP tells the own address and sends nothing; a
 * connection that is closed without a word would be counted against this machine (max_connect_errors).
 */
const CONNECT = `[, $type, $host, $port, $user, $database, $tls] = $argv;
$told = ['php' => PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION, 'driver' => extension_loaded("pdo_$type"), 'address' => '', 'error' => ''];
$way = @stream_socket_client('udp://' . (strpos($host, ':') === false ? $host : "[$host]") . ":$port", $code, $message, 10);
if ($way !== false) $told['address'] = (string) stream_socket_get_name($way, false);
if ($told['driver']) {
  if ($tls !== '') putenv('PGSSLMODE=require');
  $options = [PDO::ATTR_TIMEOUT => 10, PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION];
  if ($tls !== '' && $type === 'mysql') $options += [PDO::MYSQL_ATTR_SSL_CA => '/dev/null', PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => false];
  try { new PDO("$type:host=$host;port=$port" . ($type === 'pgsql' ? ";dbname=$database" : ''), $user, '', $options); }
  catch (PDOException $error) { $told['error'] = $error->getMessage(); }
}
echo json_encode($told, JSON_INVALID_UTF8_SUBSTITUTE);`;

interface Told {
  readonly php: string;
  readonly driver: boolean;
  readonly address: string;
  readonly error: string;
}

/** Nobody's account: a wrong password of the site's own may be counted against it. */
const NOBODY = "provision_nobody";

async function addressesTowards(
  use: Services,
  webServer: Server,
  dbServer: Server,
  { host, port, tls, names }: { readonly host: string; readonly port: number; readonly tls: boolean; readonly names: DatabaseNames },
): Promise<readonly string[]> {
  const type = dbServer.db_service_type;
  // Lines of pg_hba.conf may be for some accounts and databases only; they are read before it is known whether there are such.
  const [user, database] = type === "pgsql" ? [names["user"] ?? NOBODY, names["database"] ?? "postgres"] : [NOBODY, ""];
  const argv = [
    phpProgram(webServer.php),
    ...QUIET,
    "-r",
    CONNECT,
    "--",
    type,
    host,
    String(port),
    user,
    database,
    tls ? "tls" : "",
  ] as const;
  const { stdout } = await use.host(webServer).run(argv, { timeout: 60_000 });
  const told = JSON.parse(stdout) as Told;
  const between = `${webServer.name} → ${dbServer.name} (${host}:${port})`;
  if (!told.driver)
    throw new ProvisionError(
      "SERVICE_UNAVAILABLE",
      `${webServer.name}: PHP ${told.php} has no pdo_${type}, so sites there cannot use the database server of ${dbServer.name}`,
      { state: "nothing was changed", next: [`apt-get install php${told.php}-${type}    # on ${webServer.remote_host}`] },
    );
  const why = [told.error.replace(/\s+/g, " ").trim()];
  const own = told.address.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  if (/pg_hba\.conf/.test(told.error))
    throw new ProvisionError("DATABASE_LOGIN_REFUSED", `${between}: the database server lets nobody in from there`, {
      why,
      state: "nothing was changed",
      next: [`in its pg_hba.conf: host all all ${own}/${own.includes(":") ? 128 : 32} scram-sha-256    # then reload it`],
    });
  if (
    told.address === "" ||
    /\[(?:2002|2003|2005|1129|1040)\]|could not translate|[Cc]onnection (?:refused|timed out)|timeout expired|No route to host|unreachable/.test(
      told.error,
    )
  )
    throw new ProvisionError(
      "SERVICE_UNAVAILABLE",
      `${webServer.name} does not reach the database server of ${dbServer.name} at ${host}:${port}`,
      {
        why,
        state: "nothing was changed",
        next: [`let it listen on an address that ${webServer.name} reaches (bind-address, listen_addresses), and through the firewall`],
      },
    );
  // On the way an address may have become another, which only the server sees: `Access denied for user 'x'@'192.0.2.7'`.
  const seen = /@'([^']+)'|Host '([^']+)' is /.exec(told.error);
  const asSeen = seen?.[1] ?? seen?.[2];
  if (asSeen === undefined || asSeen === own) return [own];
  return isIP(asSeen) ? [asSeen] : [own, asSeen];
}

const QUIET = ["-d", "display_errors=stderr", "-d", "log_errors=0"] as const;
