import { parseMasterDb } from "../../context/master-db.js";
import type { SiteAndAll } from "../../context/references.js";
import { isThisMachine, type Server } from "../../context/schema.js";
import { ProvisionError } from "../../core/errors.js";
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
  return here || there ? here && there : a.remote_host === b.remote_host && a.ssh_port === b.ssh_port;
}

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/;

/**
 * Undefined where site and database share a machine. It connects once: from which address, only the machine itself knows. Rejects with
 * CONFIGURATION for a database that can only be reached on its own machine, SERVICE_UNAVAILABLE when nobody answers.
 */
export async function wayToDatabase(
  use: Services,
  { webServer, dbServer }: Pick<SiteAndAll, "webServer" | "dbServer">,
): Promise<DatabaseWay | undefined> {
  const type = dbServer.db_service_type;
  if (type === "none" || isSameMachine(webServer, dbServer)) return undefined;
  if (type === "sqlite")
    throw new ProvisionError("CONFIGURATION", `SQLite of ${dbServer.name} is a file on its machine, and ${webServer.name} is another one`, {
      state: "nothing was changed",
      next: [`provision save ${webServer.name} --db_service_type=sqlite`, `provision save @site --db_server=${webServer.name}`],
    });
  const { host: said, port, socket } = parseMasterDb(dbServer.master_db ?? "");
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
  return { host, from: [await addressTowards(use, webServer, dbServer, host, port)] };
}

/** From its own PHP, for that is what will connect. */
const CONNECT = `$to = @stream_socket_client($argv[1], $code, $message, 10);
if ($to === false) { fwrite(STDERR, $message); exit(1); }
echo stream_socket_get_name($to, false);`;

async function addressTowards(use: Services, webServer: Server, dbServer: Server, host: string, port: number): Promise<string> {
  const url = `tcp://${host.includes(":") ? `[${host}]` : host}:${port}`;
  const argv = [phpProgram(webServer.php), "-n", "-r", CONNECT, "--", url] as const;
  const { code, stdout, stderr } = await use.host(webServer).run(argv, { anyExit: true, timeout: 60_000 });
  const address = stdout.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  if (code === 0 && address !== "") return address;
  throw new ProvisionError(
    "SERVICE_UNAVAILABLE",
    `${webServer.name} does not reach the database server of ${dbServer.name} at ${host}:${port}`,
    {
      why: [stderr.trim() || `PHP ended with ${code}`],
      state: "nothing was changed",
      next: [`let it listen on an address that ${webServer.name} reaches (bind-address, listen_addresses), and through the firewall`],
    },
  );
}
