import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { isThisMachine, type Server } from "../context/schema.js";
import { messageOf, ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import { certificateLine } from "./parts/certificate.js";
import type { Services } from "./services.js";

/** One thing that was looked at. */
export interface Finding {
  readonly check: string;
  readonly ok: boolean;
  /** Nothing is wrong, but it is worth knowing. */
  readonly note?: true;
  readonly message: string;
  /** What to type. */
  readonly fix?: string;
}

/** System programs, what they are for, and the Debian package that has them. */
const PROGRAMS: readonly { readonly program: string; readonly needed: string; readonly debian: string; readonly optional?: true }[] = [
  { program: "php", needed: "every site", debian: "php-cli" },
  { program: "flock", needed: "locks", debian: "util-linux" },
  { program: "git", needed: "make files that name repositories, and patches", debian: "git" },
  { program: "patch", needed: "make files that name patches", debian: "patch" },
  { program: "tar", needed: "make files that name archives", debian: "tar" },
  { program: "bzip2", needed: "make files that name .tar.bz2 archives", debian: "bzip2" },
  { program: "unzip", needed: "make files that name .zip archives", debian: "unzip" },
  { program: "rsync", needed: "moving and copying sites", debian: "rsync", optional: true },
  { program: "perl", needed: "exchanging two generations of a site on one platform", debian: "perl-base", optional: true },
  { program: "openssl", needed: "self-signed certificates", debian: "openssl", optional: true },
  { program: "zstd", needed: "dumps of databases", debian: "zstd", optional: true },
  {
    program: "mariadb",
    needed: "servers with db_service_type mysql (MySQL's own client does, too)",
    debian: "mariadb-client",
    optional: true,
  },
  { program: "psql", needed: "servers with db_service_type pgsql", debian: "postgresql-client", optional: true },
  { program: "svn", needed: "make files that name Subversion repositories", debian: "subversion", optional: true },
  { program: "bzr", needed: "make files that name Bazaar branches", debian: "brz", optional: true },
  { program: "composer", needed: "platforms that Composer builds", debian: "composer", optional: true },
];

/** PHP's extensions, as `php -m` names them. */
const EXTENSIONS: readonly { readonly extension: string; readonly needed: string; readonly debian: string }[] = [
  { extension: "pdo_sqlite", needed: "sites with SQLite", debian: "php-sqlite3" },
  { extension: "gd", needed: "image styles", debian: "php-gd" },
  { extension: "xml", needed: "Drupal", debian: "php-xml" },
  { extension: "mbstring", needed: "Drupal", debian: "php-mbstring" },
];

async function inPath(program: string): Promise<boolean> {
  for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
    const found = await access(join(directory, program), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (directory !== "" && found) return true;
  }
  return false;
}

export async function programFindings(use: Pick<Services, "local">): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const { program, needed, debian, optional = false } of PROGRAMS) {
    const found = await inPath(program);
    findings.push({
      check: `program ${program}`,
      ok: found || optional,
      ...(found || !optional ? {} : { note: true as const }),
      message: found ? `${program} is installed` : `${program} is missing: needed for ${needed}`,
      ...(found ? {} : { fix: `apt-get install ${debian}` }),
    });
  }
  if (findings[0]?.ok) {
    const { stdout } = await use.local.run(["php", "-m"], { anyExit: true });
    const loaded = new Set(stdout.toLowerCase().split("\n"));
    for (const { extension, needed, debian } of EXTENSIONS) {
      const found = loaded.has(extension);
      findings.push({
        check: `php ${extension}`,
        ok: found,
        message: found ? `PHP has ${extension}` : `PHP has no ${extension}: needed for ${needed}`,
        ...(found ? {} : { fix: `apt-get install ${debian}` }),
      });
    }
  }
  return findings;
}

/** Programs, directories, contexts, services and unfinished operations of a hub. Changes nothing. */
export async function hubFindings(use: Services): Promise<readonly Finding[]> {
  const findings: Finding[] = [...(await programFindings(use))];
  const { layout, local } = use;
  for (const path of [layout.aliases, layout.secrets, layout.platforms, layout.sites, layout.state]) {
    const writable = await access(path, constants.W_OK).then(
      () => true,
      () => false,
    );
    findings.push({
      check: `directory ${path}`,
      ok: writable,
      message: writable ? `${path} is writable` : `${path} is missing or not writable`,
      ...(writable ? {} : { fix: `provision init ${layout.root}` }),
    });
  }
  const secrets = await local.stat(layout.secrets);
  if (secrets) {
    const tight = (secrets.mode & 0o077) === 0;
    findings.push({
      check: "secrets",
      ok: tight,
      message: tight ? "secrets/ is closed to others" : "others can look into secrets/",
      ...(tight ? {} : { fix: `chmod 0700 ${layout.secrets}` }),
    });
  }
  const { contexts, broken } = await use.store.load();
  for (const error of broken) findings.push({ check: "contexts", ok: false, message: [error.message, ...error.why].join("; ") });
  const { checkHub } = await import("../context/references.js");
  for (const { context, path, what } of checkHub(contexts, use.hub)) {
    findings.push({ check: "contexts", ok: false, message: `${context} ${path.join(".")}: ${what}` });
  }
  if (broken.length === 0) findings.push({ check: "contexts", ok: true, message: `${contexts.length} contexts can be read` });
  const away = new Set<string>();
  for (const server of contexts) {
    if (server.context_type !== "server") continue;
    try {
      await refuseUnreached(use, server);
      findings.push(...(await serverFindings(use, server)));
    } catch (error) {
      if (!(error instanceof ProvisionError)) throw error;
      away.add(server.name);
      findings.push({
        check: `machine of ${server.name}`,
        ok: false,
        message: [messageOf(error), ...whyOf(error)].join("; "),
        ...fixOf(error),
      });
    }
  }
  const { certificatesOf } = await import("./certificates.js");
  const { reports, unseen } = await certificatesOf(use, contexts);
  // Of a machine that is away that is what is told.
  for (const { site, server, error } of unseen)
    if (!away.has(server))
      findings.push({
        check: `certificate of ${site}`,
        ok: false,
        message: `the certificate of ${site}: ${messageOf(error)}`,
        ...fixOf(error),
      });
  for (const report of reports) {
    const { site, problem, urgent, fix } = report;
    findings.push({
      check: `certificate of ${site}`,
      ok: !urgent,
      ...(problem !== null && !urgent ? { note: true as const } : {}),
      message:
        problem === null ? `the certificate of ${site} is well: ${certificateLine(report)}` : `the certificate of ${site}: ${problem}`,
      ...(fix === null ? {} : { fix }),
    });
  }
  findings.push(...(await leftBuilds(use)));
  for (const id of use.operations.open()) {
    const summary = use.operations.read(id);
    if (summary.state !== "interrupted") continue;
    findings.push({
      check: "operations",
      ok: false,
      message: `${summary.open?.command ?? "an operation"} ${summary.open?.target ?? ""} was interrupted`,
      fix: `provision operations show ${id}`,
    });
  }
  return findings;
}

const DAY = 86_400_000;

/** Directories in which a build was put together that was killed: nobody else takes those of another name away. A build of today may be under way. */
async function leftBuilds({ layout, local }: Services): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  for (const directory of [layout.platforms, layout.builds])
    for (const name of (await local.list(directory)) ?? []) {
      const path = `${directory}/${name}`;
      const age = Date.now() - ((await local.stat(path))?.mtime ?? Date.now());
      if (!/^\..+\.building-/.test(name) || age < DAY) continue;
      found.push({ check: "builds", ok: false, message: `${path} was left by a build that was killed`, fix: `rm -r ${path}` });
    }
  return found;
}

/** What serves on a machine that is reached. Rejects when it is lost meanwhile. */
async function serverFindings(use: Services, server: Server): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  // Of a cluster its members are looked at.
  if (server.http_service_type !== "none" && server.http_service_type !== "cluster") {
    const problems = await use.http(server).problems();
    findings.push(
      ...problems.map(({ message, blocks }) => ({
        check: `http of ${server.name}`,
        ok: !blocks,
        ...(blocks ? {} : { note: true as const }),
        message,
      })),
    );
    const { fpmsWithPools, poolProblems } = await import("./parts/pool.js");
    for (const message of await poolProblems(server, await fpmsWithPools(server, use), use))
      findings.push({ check: `PHP-FPM of ${server.name}`, ok: false, message });
    if (problems.length === 0) findings.push({ check: `http of ${server.name}`, ok: true, message: `${server.http_service_type} is well` });
  }
  if (server.db_service_type !== "none") {
    const problem = await use
      .db(server)
      .reach()
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    findings.push({
      check: `db of ${server.name}`,
      ok: problem === undefined,
      message: problem === undefined ? `${server.db_service_type} can be used` : [messageOf(problem), ...whyOf(problem)].join("; "),
      ...fixOf(problem),
    });
  }
  return findings;
}

/** Rejects when it is another machine that is not reached. */
async function refuseUnreached(use: Services, server: Server): Promise<void> {
  if (!isThisMachine(server.remote_host)) await use.host(server).run(["true"], { timeout: 60_000 });
}

function whyOf(error: unknown): readonly string[] {
  return error instanceof ProvisionError ? error.why.slice(0, 1) : [];
}

function fixOf(error: unknown): { readonly fix?: string } {
  const [fix] = error instanceof ProvisionError ? error.next : [];
  return fix === undefined ? {} : { fix };
}

export function findingsData(findings: readonly Finding[]): Json {
  return findings as unknown as Json;
}
