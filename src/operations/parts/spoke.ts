import { dirname } from "node:path";
import type { Server } from "../../context/schema.js";
import { messageOf, ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import { phpProgram } from "../../services/php.js";
import type { Services } from "../services.js";

/** Something that another machine lacks, and what to type there, as root. */
interface Lack {
  readonly what: string;
  readonly mend: string;
}

/** Programs that provision runs on a spoke, and the Debian packages that have them. */
const PROGRAMS: readonly (readonly [program: string, debian: string])[] = [
  ["flock", "util-linux"],
  ["perl", "perl-base"],
  ["rsync", "rsync"],
  ["tar", "tar"],
  ["zstd", "zstd"],
];
/** Beside those: with a web server, and by kind of database. */
const WEB: readonly (readonly [string, string])[] = [["openssl", "openssl"]];
const CLIENTS: Readonly<Record<string, readonly [string, string]>> = { pgsql: ["psql", "postgresql-client"] };

/** A site with its code takes a good part of it. */
const ROOM = 200 * 1024 * 1024;
/** Seconds that clocks may differ: sessions, locks of caches and certificates go by them. */
const CLOCK = 10;

/** Prints each of its arguments that no program has. */
const MISSING = 'for each; do command -v "$each" >/dev/null 2>&1 || printf "%s\\n" "$each"; done';

/**
 * Everything that another machine lacks before it can serve, found in one go, each with the command that mends it. Rejects with CONFIGURATION;
 * a machine that is not reached is told as it is (HOST_UNAVAILABLE). Changes nothing.
 */
export async function refuseUnready(server: Server, use: Services): Promise<void> {
  const host = use.host(server);
  const user = (await host.run(["id", "-un"], { timeout: 60_000 })).stdout.trim();
  const lacks: Lack[] = [];
  if (user !== server.script_user)
    lacks.push({
      what: `one is logged in as ${user}, not as ${server.script_user}`,
      mend: `take User out of ~/.ssh/config for ${server.remote_host}, or: provision save ${server.name} --script_user=${user}`,
    });
  const serves = server.http_service_type !== "none";
  for (const look of [
    () => groups(server, host, user),
    () => programs(server, host, serves),
    () => room(server, host, use),
    () => clock(host),
    () => (serves ? webServer(server, use) : Promise.resolve([])),
    () => database(server, use, lacks),
  ])
    lacks.push(...(await look()));
  if (lacks.length === 0) return;
  const own = [...new Set(lacks.map(({ mend }) => mend))];
  throw new ProvisionError(
    "CONFIGURATION",
    `${server.name} (${server.remote_host}) lacks ${lacks.length === 1 ? "one thing" : `${lacks.length} things`}`,
    { why: lacks.map(({ what }) => what), state: "nothing was changed", next: [...own, `provision verify ${server.name}`] },
  );
}

async function groups({ name, web_group: group }: Server, host: Host, user: string): Promise<readonly Lack[]> {
  if (group === undefined) return [];
  const { code } = await host.run(["getent", "group", group], { anyExit: true, timeout: 60_000 });
  if (code !== 0)
    return [{ what: `there is no group ${group}`, mend: `groupadd --system ${group}    # or: provision save ${name} --web_group=…` }];
  const { stdout } = await host.run(["id", "-Gn"], { timeout: 60_000 });
  if (user === "root" || stdout.trim().split(/\s+/).includes(group)) return [];
  return [{ what: `${user} is not in the group ${group}, and cannot give it files`, mend: `usermod -aG ${group} ${user}` }];
}

async function programs(server: Server, host: Host, serves: boolean): Promise<readonly Lack[]> {
  const php = phpProgram(server.php);
  const client = CLIENTS[server.db_service_type];
  const wanted = new Map([
    ...PROGRAMS,
    ...(serves ? [[php, php === "php" ? "php-cli" : php.startsWith("/") ? php : `${php}-cli`] as const, ...WEB] : []),
    ...(client ? [client] : []),
    ...(serves && reloadsBySudo(server) ? [["sudo", "sudo"] as const] : []),
  ]);
  const { stdout } = await host.run(["/bin/sh", "-c", MISSING, "sh", ...wanted.keys()], { timeout: 60_000 });
  const missing = stdout.split("\n").filter((line) => line !== "");
  const found: Lack[] = missing.map((program) => ({
    what: `${program} is missing`,
    mend: `apt-get install ${wanted.get(program) ?? program}`,
  }));
  if (serves && !missing.includes(php)) found.push(...(await phpOf(host, php)));
  return found;
}

function reloadsBySudo({ script_user, http_test_cmd, http_restart_cmd }: Server): boolean {
  return [http_test_cmd, http_restart_cmd].some((said) => (said === undefined ? script_user !== "root" : /^sudo\s/.test(said)));
}

/** What every core asks of PHP beside a driver of its database. */
const EXTENSIONS: readonly (readonly [extension: string, debian: string])[] = [
  ["gd", "gd"],
  ["xml", "xml"],
  ["mbstring", "mbstring"],
];
const OLDEST_PHP = [7, 4] as const;

async function phpOf(host: Host, php: string): Promise<readonly Lack[]> {
  const code = "echo PHP_MAJOR_VERSION, '.', PHP_MINOR_VERSION, ' ', strtolower(implode(' ', get_loaded_extensions()));";
  const { stdout } = await host.run([php, "-d", "display_errors=stderr", "-r", code], { timeout: 60_000 });
  const [version = "", ...loaded] = stdout.split(" ");
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const old = major < OLDEST_PHP[0] || (major === OLDEST_PHP[0] && minor < OLDEST_PHP[1]);
  return [
    ...(old ? [{ what: `${php} is PHP ${version}; at least ${OLDEST_PHP.join(".")} is needed`, mend: "apt-get install php-cli" }] : []),
    ...EXTENSIONS.filter(([extension]) => !loaded.includes(extension)).map(([extension, debian]) => ({
      what: `PHP ${version} has no ${extension}`,
      mend: `apt-get install php${version}-${debian}`,
    })),
  ];
}

async function room(server: Server, host: Host, use: Services): Promise<readonly Lack[]> {
  const { root } = use.layoutOf(server);
  const user = server.script_user;
  const found: Lack[] = [];
  const there = await host.stat(root);
  const make = `install -d -o ${user} -g ${user} -m 0711 ${root}`;
  if (there === undefined) {
    const above = await nearest(host, dirname(root));
    if (!(await isWritable(host, above))) found.push({ what: `${root} does not exist, and ${user} may not make it`, mend: make });
  } else if (there.type === "link" ? (await host.list(root)) === undefined : there.type !== "directory")
    found.push({ what: `${root} is a ${there.type}, not a directory`, mend: `provision save ${server.name} --aegir_root=…` });
  else if (!(await isWritable(host, root))) found.push({ what: `${user} may not write in ${root}`, mend: make });
  for (let at = dirname(root); at !== "/"; at = dirname(at)) {
    const stat = await host.stat(at);
    if (stat?.type === "directory" && (stat.mode & 0o001) === 0)
      found.push({ what: `the web server may not pass through ${at} (mode ${stat.mode.toString(8)})`, mend: `chmod o+x ${at}` });
  }
  const free = await host.freeSpace(root);
  if (free < ROOM)
    found.push({
      what: `${root} has ${Math.floor(free / 1024 ** 2)} MiB free; at least ${ROOM / 1024 ** 2} MiB are needed`,
      mend: `df -h ${await nearest(host, root)}    # and make room`,
    });
  return found;
}

async function nearest(host: Host, path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) if ((await host.stat(at)) !== undefined || at === "/") return at;
}

async function isWritable(host: Host, path: string): Promise<boolean> {
  return (await host.run(["test", "-w", path, "-a", "-x", path], { anyExit: true, timeout: 60_000 })).code === 0;
}

async function clock(host: Host): Promise<readonly Lack[]> {
  const before = Date.now() / 1000;
  const there = Number((await host.run(["date", "+%s"], { timeout: 60_000 })).stdout);
  const after = Date.now() / 1000;
  const off = there < before - 1 ? before - there : there > after + 1 ? there - after : 0;
  if (off <= CLOCK) return [];
  return [
    {
      what: `its clock is ${Math.round(off)} s ${there < before ? "behind" : "ahead of"} that of the hub`,
      mend: "timedatectl set-ntp true",
    },
  ];
}

async function webServer(server: Server, use: Services): Promise<readonly Lack[]> {
  return (await use.http(server).needs()).map(({ message, fix }) => ({ what: message, mend: fix }));
}

async function database(server: Server, use: Services, lacks: readonly Lack[]): Promise<readonly Lack[]> {
  const type = server.db_service_type;
  if (type === "none") return [];
  try {
    await use.db(server).reach();
    return [];
  } catch (error) {
    if (!(error instanceof ProvisionError) || error.code === "HOST_UNAVAILABLE") throw error;
    // A program that is missing was told.
    if (error.code === "PROGRAM_MISSING" && lacks.length > 0) return [];
    return [
      {
        what: [messageOf(error), ...error.why.slice(0, 1)].join(": "),
        mend: error.next[0] ?? `provision save ${server.name} --master_db=…`,
      },
    ];
  }
}
