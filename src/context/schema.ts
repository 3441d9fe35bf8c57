import { isIP } from "node:net";
import { userInfo } from "node:os";
import { z } from "zod";

// Compiling a schema costs more than a few contexts save by it.
z.config({ jitless: true });

import { addressProblem, apacheSnippetProblem, headerProblem, messageProblem, nginxSnippetProblem, phpPathProblem } from "./http-values.js";
import { masterDbProblem, parseMasterDb } from "./master-db.js";
import {
  ALIAS_PATTERN,
  aliasProblem,
  CONTEXT_PATTERN,
  contextNameProblem,
  emailProblem,
  machineNameProblem,
  PATH_PATTERN,
  pathProblem,
  REFERENCE_PATTERN,
  referenceProblem,
  siteDirectoryProblem,
  URI_PATTERN,
  unprovableNames,
  uriProblem,
  urlProblem,
} from "./names.js";

/**
 * What a context file may hold: Aegir's property names and defaults (reference: Aegir's
 * Provision_Context_{server,platform,site}), flat, snake_case. The descriptions become the help of
 * `save`, the JSON Schema files in `schemas/` and the contexts reference; the examples in `aliases/` are
 * checked against them.
 *
 * Metadata of a field: `examples` (one of them is in each message), `pattern` for editors, and
 * `unquoted` for text that people write as a bare number (`php: 8.2`) and that is taken as written.
 */

interface Words {
  readonly example: string;
  readonly pattern?: string;
  readonly unquoted?: true;
  /** No message repeats the value: it may hold a password. */
  readonly masked?: true;
}

function text(problem: (value: string) => string | undefined, { example, ...words }: Words) {
  return z
    .string()
    .superRefine((value, check) => {
      const wrong = problem(value);
      if (wrong) check.addIssue({ code: "custom", message: wrong });
    })
    .meta({ examples: [example], ...words });
}

const matches = (pattern: RegExp, wrong: string) => (value: string) => (pattern.test(value) ? undefined : wrong);

const line = (example: string) =>
  text(
    (value) =>
      value.trim() === ""
        ? "is empty"
        : /[\p{Cc}\p{Zl}\p{Zp}]/u.test(value)
          ? "holds a control character"
          : value.length > 255
            ? "is longer than 255 characters"
            : undefined,
    { example },
  );
const reference = (example: string) => text(referenceProblem, { example, pattern: REFERENCE_PATTERN });
const uri = () => text(uriProblem, { example: "example.com", pattern: URI_PATTERN });
const path = (example: string) => text(pathProblem, { example, pattern: PATH_PATTERN });
const USER = /^[a-z_][a-z0-9_-]{0,31}$/;
const user = (example: string) => text(matches(USER, "is not the name of a Unix user or group"), { example, pattern: USER.source });
const email = () => text(emailProblem, { example: "webmaster@example.com", pattern: "^[^@\\s]+@[^@\\s]+$" });
const port = (example: number) =>
  z
    .int()
    .min(1)
    .max(65535)
    .meta({ examples: [example] });
const flag = (example: boolean) => z.boolean().meta({ examples: [example] });
const PHP_VERSION = /^\d{1,2}\.\d{1,2}$/;
const php = () =>
  text(
    (value) =>
      PHP_VERSION.test(value) ? undefined : value.startsWith("/") ? pathProblem(value) : "is neither a version nor an absolute path",
    {
      example: "8.2",
      pattern: "^([0-9]{1,2}\\.[0-9]{1,2}|/.*)$",
      unquoted: true,
    },
  );

/** Words for a program and its arguments; nothing in it is for a shell. */
const COMMAND = /^[A-Za-z0-9/][A-Za-z0-9 _./@:=+,-]*$/;
const command = (example: string) =>
  text(matches(COMMAND, "holds a character other than letters, digits, spaces and _ . / @ : = + , -"), {
    example,
    pattern: COMMAND.source,
  });
const FPM_TCP = /^(?:localhost|\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}$/;
const fpmListen = () =>
  text(
    (value) =>
      FPM_TCP.test(value) ? undefined : value.startsWith("/") ? pathProblem(value) : "is neither the path of a socket nor host:port",
    {
      example: "/run/php/php8.2-fpm.sock",
      pattern: "^(/.*|[a-z0-9.]+:[0-9]{1,5})$",
    },
  );

const addresses = () =>
  z
    .array(text(addressProblem, { example: "192.0.2.0/24", pattern: "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$" }))
    .meta({ examples: [["192.0.2.0/24"]] })
    .default([]);

/** Bytes as PHP writes them. */
const PHP_SIZE = /^[1-9]\d{0,4}[KMG]$/;
const phpSize = (example: string) =>
  text(matches(PHP_SIZE, "is not a size as PHP knows it: digits and K, M or G"), { example, pattern: PHP_SIZE.source });
const count = (example: number, min: number, max: number) =>
  z
    .int()
    .min(min)
    .max(max)
    .meta({ examples: [example] });

/** What PHP may take for a request; of a site, and of a server as the default of its sites. */
const phpLimits = (of: string) => ({
  php_memory_limit: phpSize("256M").optional().describe(`Most memory of a PHP request${of}.`),
  php_max_execution_time: count(120, 1, 86_400)
    .optional()
    .describe(`Seconds a PHP request may compute${of}; code of the site may ask for more.`),
  php_upload_max_filesize: phpSize("32M").optional().describe(`Largest file that visitors may upload${of}.`),
  php_post_max_size: phpSize("40M").optional().describe(`Largest request body that PHP takes${of}.`),
  php_max_input_vars: count(5000, 100, 1_000_000).optional().describe(`Most fields of a form${of}.`),
});

/** Bytes of a size of PHP's. */
export function phpBytes(size: string): number {
  return Number.parseInt(size, 10) * { K: 1024, M: 1024 ** 2, G: 1024 ** 3 }[size.slice(-1) as "K" | "M" | "G"];
}

/** An upload is part of a request's body. */
function uploadProblem(limits: {
  php_upload_max_filesize?: string | undefined;
  php_post_max_size?: string | undefined;
}): string | undefined {
  const { php_upload_max_filesize: file, php_post_max_size: post } = limits;
  if (file === undefined || post === undefined || !PHP_SIZE.test(file) || !PHP_SIZE.test(post)) return undefined;
  return phpBytes(file) > phpBytes(post) ? `is more than php_post_max_size (${post}), which holds it` : undefined;
}

/** The user that runs provision; a container may run as a number that has no name. */
function currentUser(): string {
  try {
    return userInfo().username;
  } catch {
    const { USER } = process.env;
    return USER ?? `uid_${process.getuid?.() ?? 0}`;
  }
}

/** Properties that mean nothing on this machine. */
const REMOTE_ONLY = ["aegir_root", "ssh_port", "ssh_identity", "ssh_jump", "ssh_host_key", "ssh_keepalive"] as const;
const HOST_KEY = /^SHA256:[A-Za-z0-9+/]{43}$/;

/** Whether the name is that of the machine that the hub is on. No other is guessed to be: names and addresses change. */
export function isThisMachine(host: string): boolean {
  return host === "localhost" || host === "127.0.0.1" || host === "::1";
}

const MACHINE = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/;

function machineProblem(value: string): string | undefined {
  return isIP(value) !== 0 || MACHINE.test(value) ? undefined : "is neither a host name nor an address";
}

function jumpProblem(value: string): string | undefined {
  for (const hop of value.split(",")) {
    const found = /^(?:[a-z_][a-z0-9_-]{0,31}@)?(\[[0-9a-fA-F:]+\]|[^@:[\]]+)(?::(\d{1,5}))?$/.exec(hop);
    const host = found?.[1]?.replace(/^\[|\]$/g, "") ?? "";
    if (machineProblem(host) !== undefined || Number(found?.[2] ?? 22) > 65_535)
      return "is not user@host:port, or several of them with commas";
  }
  return undefined;
}

/** Why a cluster cannot be of these servers; `alone`: it has no machine and no database of its own. */
function clusterProblem(type: string, named: readonly string[] | undefined, alone: boolean): string | undefined {
  const members = named ?? [];
  if (type !== "cluster") return members.length === 0 ? undefined : `is ${type}, and cluster_web_servers is for cluster`;
  if (members.length === 0) return "is cluster, which needs cluster_web_servers; for example @server_web1,@server_web2";
  if (new Set(members).size < members.length) return "is cluster, and cluster_web_servers names a server twice";
  return alone
    ? undefined
    : "is cluster, which has no machine and no database of its own: remote_host and db_service_type belong to its members";
}

const serverSchema = z
  .strictObject({
    context_type: z.literal("server").describe("What this file describes."),
    remote_host: text(machineProblem, { example: "web1.example.com", pattern: "^[A-Za-z0-9][A-Za-z0-9._:-]{0,252}$" })
      .default("localhost")
      .describe(
        "Host name or address of the machine. localhost, 127.0.0.1 and ::1 are this one; any other is reached over SSH as script_user.",
      ),
    aegir_root: text((value) => (value.startsWith("/") ? pathProblem(value) : "is not an absolute path"), {
      example: "/var/aegir",
      pattern: "^/.*[^/]$",
    })
      .optional()
      .describe("Directory on another machine below which platforms, sites and configuration stand. Default: the path of the hub."),
    ssh_port: port(22).optional().describe("Port of its SSH server. Default: what ~/.ssh/config says, or 22."),
    ssh_identity: path("/var/aegir/.ssh/id_ed25519")
      .optional()
      .describe("Private key for it, absolute or relative to the hub. Default: what ~/.ssh/config says, and the agent."),
    ssh_jump: text(jumpProblem, { example: "aegir@jump.example.com:22", pattern: "^[A-Za-z0-9][A-Za-z0-9._:@\\[\\],-]*$" })
      .optional()
      .describe("Machine through which it is reached, as ProxyJump of ssh has it."),
    ssh_host_key: text(matches(HOST_KEY, "is not a fingerprint as `ssh-keygen -l` shows it: SHA256: and 43 characters"), {
      example: "SHA256:uNiVztksCsDhcc0u9e8BrwXBRLtIXKq1yVVvhhfkzBE",
      pattern: HOST_KEY.source,
    })
      .optional()
      .describe("Fingerprint of its host key, which it then has to show. Default: what known_hosts of the hub or of the user says."),
    ssh_keepalive: count(15, 1, 3600)
      .optional()
      .describe(
        "Seconds after which a machine that says nothing is asked whether it is still there; its connection is given up after three questions without an answer. Default: what ~/.ssh/config says (ServerAliveInterval), or 15.",
      ),
    script_user: user("aegir")
      .default(currentUser)
      // The default is a fact of the machine: it has no place in a JSON Schema that is the same everywhere.
      .meta({ description: "User that provision runs as; owns platforms and sites. Default: the current user.", default: undefined }),
    web_group: user("www-data")
      .optional()
      .describe("Group of the web server; site files are writable through it. Default: the group of script_user."),
    web_user: user("www-data")
      .optional()
      .describe("User of the web server; with php_pool client or site it is let into the group of each pool. Default: named as web_group."),
    admin_email: email().optional().describe("Address for mail about the server; default site mail."),
    http_service_type: z
      .enum(["nginx", "apache", "php", "cluster", "none"])
      .meta({ examples: ["nginx"] })
      .default("none")
      .describe(
        "Web server. php: PHP's own server, started by `provision serve`; needs nothing installed or root. cluster: the servers in cluster_web_servers together.",
      ),
    cluster_web_servers: z
      .array(reference("@server_web1"))
      .meta({ examples: [["@server_web1", "@server_web2"]] })
      .optional()
      .describe(
        "cluster: servers with nginx or Apache that all serve the same platforms and sites. On the first of them run installations, updates, cron and backups.",
      ),
    http_port: port(8080).default(80).describe("Port of the web server."),
    http_ssl_port: port(443).optional().describe("Port for https; without it the server has none."),
    ssl_issuer: z
      .enum(["self-signed", "acme"])
      .meta({ examples: ["acme"] })
      .default("self-signed")
      .describe(
        "Who issues the certificates of sites that bring none: self-signed (nobody vouches for them), or acme: the authority at acme_directory, whose terms you agree to by this.",
      ),
    acme_directory: text((value) => urlProblem(value) ?? (/^https:/i.test(value) ? undefined : "is not an https URL"), {
      example: "https://acme-v02.api.letsencrypt.org/directory",
      pattern: "^https://[^\\s]+$",
    })
      .default("https://acme-v02.api.letsencrypt.org/directory")
      .describe("Directory URL of the certificate authority that acme asks (RFC 8555, http-01). Default: Let's Encrypt."),
    acme_ca_file: path("/etc/ssl/acme-test-ca.pem")
      .optional()
      .describe("Certificates (PEM) by which that authority's own https is believed. Default: those that Node.js knows."),
    http_test_cmd: command("sudo -n /usr/sbin/nginx -t")
      .optional()
      .describe(
        "Tests the configuration of nginx or Apache: words, no shell. Default: the usual one, with sudo when script_user is not root.",
      ),
    http_restart_cmd: command("sudo -n /usr/sbin/nginx -s reload")
      .optional()
      .describe("Has nginx or Apache take over its configuration, as http_test_cmd."),
    db_service_type: z
      .enum(["mysql", "pgsql", "sqlite", "none"])
      .meta({ examples: ["sqlite"] })
      .default("none")
      .describe("Database. mysql: MariaDB 10.5+ or MySQL 8+. pgsql: PostgreSQL 12+. sqlite: one file per site, needs no server."),
    master_db: text(
      (value) =>
        masterDbProblem(value) ??
        (parseMasterDb(value).password === undefined
          ? undefined
          : "holds a password, which an alias file must not; `provision save` of this server, without any option, moves it to secrets/"),
      { example: "mysql://root@127.0.0.1:3306", pattern: "^(mysql|mariadb|pgsql|postgres|postgresql)://[^\\s]+$", masked: true },
    )
      .optional()
      .describe(
        "Where the database server is, and the account that makes databases and accounts: mysql://root@127.0.0.1:3306, mysql://root@localhost?socket=/run/mysqld/mysqld.sock, pgsql://postgres@127.0.0.1:5432; with ?tls=on or ?tls=verify&tls_ca=/path encrypted. A password in it is moved to secrets/ by save.",
      ),
    password_command: command("pass show mariadb")
      .optional()
      .describe(
        "Prints the password of the account in master_db as its first line: words, no shell. Run by provision on the hub in each run that needs it, for at most 30 seconds; goes before a password in secrets/.",
      ),
    db_grant_all_hosts: flag(true)
      .default(false)
      .describe("mysql: accounts of sites may log in from any host, not only from those that need it."),
    reverse_proxies: addresses().describe(
      "Addresses and networks of proxies in front of the web server, whose word on the visitor's address sites believe (Drupal 7: addresses only). Default: none.",
    ),
    php: php().optional().describe("PHP for platforms that name none: a version or the path of its command line program."),
    php_fpm_listen: fpmListen()
      .optional()
      .describe("Where PHP-FPM listens, for nginx and Apache: a socket or host:port. Default: Debian's socket for the PHP that is used."),
    php_fpm_restart_cmd: command("sudo -n systemctl reload php8.2-fpm")
      .optional()
      .describe("Has PHP-FPM start its processes anew, as http_test_cmd. Default: systemctl reload."),
    php_fpm_test_cmd: command("sudo -n /usr/sbin/php-fpm8.2 -t")
      .optional()
      .describe("Tests the whole configuration of PHP-FPM, as http_test_cmd. Default: php-fpm -t of the PHP that is used."),
    php_pool: z
      .enum(["shared", "client", "site"])
      .meta({ examples: ["site"] })
      .default("shared")
      .describe(
        "Whose PHP runs together on nginx and Apache. shared: all sites in the pool that php_fpm_listen names. client, site: a pool for each client or site, with a Unix user of its own.",
      ),
    ...phpLimits(" of sites that say nothing else"),
  })
  .superRefine(
    ({ db_service_type, master_db, php_pool, web_group, http_service_type, remote_host, cluster_web_servers, ...limits }, check) => {
      const here = isThisMachine(remote_host);
      const cluster = clusterProblem(http_service_type, cluster_web_servers, here && db_service_type === "none");
      if (cluster) check.addIssue({ code: "custom", path: ["http_service_type"], message: cluster });
      for (const key of REMOTE_ONLY)
        if (here && limits[key] !== undefined)
          // Of the other property, as below.
          check.addIssue({
            code: "custom",
            path: ["remote_host"],
            message: `is this machine, for which ${key} says nothing`,
          });
      if (!here && http_service_type === "php")
        check.addIssue({
          code: "custom",
          path: ["http_service_type"],
          message: "cannot be php on another machine: PHP's own server is started here, by `provision serve`",
        });
      const upload = uploadProblem(limits);
      if (upload) check.addIssue({ code: "custom", path: ["php_upload_max_filesize"], message: upload });
      // Of the other property, as for master_db: `save` looks at the options by themselves first.
      if (php_pool !== "shared" && http_service_type !== "nginx" && http_service_type !== "apache")
        check.addIssue({
          code: "custom",
          path: ["http_service_type"],
          message: `runs no PHP-FPM, which php_pool ${php_pool} is for; for example nginx`,
        });
      else if (php_pool !== "shared" && web_group === undefined)
        check.addIssue({
          code: "custom",
          path: ["web_group"],
          message: `is needed with php_pool ${php_pool}: only the web server may open the sockets; for example www-data`,
        });
      if (db_service_type !== "mysql" && db_service_type !== "pgsql") return;
      const wrong =
        master_db === undefined
          ? `is needed with db_service_type ${db_service_type}`
          : masterDbProblem(master_db) === undefined && parseMasterDb(master_db).driver !== db_service_type
            ? `does not fit db_service_type ${db_service_type}`
            : undefined;
      const url = db_service_type === "mysql" ? "mysql://root@127.0.0.1:3306" : "pgsql://postgres@127.0.0.1:5432";
      if (wrong) check.addIssue({ code: "custom", path: ["master_db"], message: `${wrong}; for example ${url}` });
    },
  );

const place = (example: string) => text((value) => (/^[a-z]+:\/\//i.test(value) ? urlProblem(value) : pathProblem(value)), { example });

const GIT_REF = /^(?![-/.])(?!.*(?:\.\.|@\{|\/\/|\.lock$|[/.]$))[^\s\p{Cc}~^:?*[\\;]{1,200}$/u;
const COMPOSER_VERSION = /^[0-9A-Za-z^~<>=!|*.,@ _/#+-]{1,100}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/** Properties that say where the code of a platform comes from: at most one of them. */
const BUILD_SOURCES = ["makefile", "composer", "git", "archive"] as const;

/** Properties that mean nothing without another one. */
const BELONGS_TO = {
  composer_version: "composer",
  git_ref: "git",
  git_path: "git",
  working_copy: "git",
  archive_sha256: "archive",
} as const;

const platformSchema = z
  .strictObject({
    context_type: z.literal("platform").describe("What this file describes."),
    root: path("platforms/d7").describe(
      "Drupal root, relative to the hub or absolute. For a build with its docroot in a subdirectory it may name that: platforms/d10/web.",
    ),
    makefile: place("makes/d7.make")
      .optional()
      .describe(
        "Make file (path or URL) that builds the platform when root is missing; with its lock beside it (FILE.lock) exactly what that names. Without a source root must exist.",
      ),
    composer: path("projects/d10")
      .optional()
      .describe(
        "Directory with composer.json and composer.lock (copied, never changed); with composer_version a package for `composer create-project`.",
      ),
    composer_version: text(
      (value) => (value.startsWith("-") || !COMPOSER_VERSION.test(value) ? "is not a version that Composer knows" : undefined),
      { example: "^10.3", pattern: COMPOSER_VERSION.source, unquoted: true },
    )
      .optional()
      .describe("Makes composer the name of a package, and says which version of it."),
    composer_lock: z
      .enum(["require", "allow-missing"])
      .meta({ examples: ["allow-missing"] })
      .optional()
      .describe("allow-missing: a directory or repository without composer.lock is built with whatever versions fit on that day."),
    git: text((value) => gitProblem(value), { example: "https://git.example.com/platform.git" })
      .optional()
      .describe("Git repository (URL or path); a composer.json or make file in it is built too."),
    git_ref: text(matches(GIT_REF, "is not the name of a branch, tag or commit"), {
      example: "main",
      pattern: "^[^-/.\\s][^\\s~^:?*;]*$",
      unquoted: true,
    })
      .optional()
      .describe("Branch, tag or commit. Default: the repository's own."),
    git_path: path("drupal").optional().describe("Directory in the repository that is the platform. Default: all of it."),
    working_copy: flag(true)
      .optional()
      .describe("Keeps .git in the platform; `provision verify --update` then brings it up to date in place."),
    archive: place("archives/d7.tar.gz").optional().describe("Archive (path or URL; tar, tar.gz, tar.bz2 or zip) that holds the platform."),
    archive_sha256: text(matches(SHA256, "is not a sha256 in lower case"), {
      example: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
      pattern: SHA256.source,
    })
      .optional()
      .describe("What the archive must hash to."),
    server: reference("@server_master").default("@server_master").describe("Server that holds the code."),
    web_server: reference("@server_master").default("@server_master").describe("Server that serves the platform's sites."),
    php: php().optional().describe("PHP of this platform: a version or the path of its command line program."),
    php_fpm_listen: fpmListen()
      .optional()
      .describe("Where the PHP-FPM of this platform listens: a socket or host:port. Default: the server's, or Debian's socket for php."),
    php_fpm_restart_cmd: command("sudo -n systemctl reload php7.4-fpm")
      .optional()
      .describe("Has the PHP-FPM of this platform start its processes anew. Default: the server's; with php of its own systemctl reload."),
    php_fpm_test_cmd: command("sudo -n /usr/sbin/php-fpm7.4 -t")
      .optional()
      .describe("Tests the configuration of the PHP-FPM of this platform. Default: the server's; with php of its own its php-fpm -t."),
    locked: flag(true).default(false).describe("A locked platform takes no new sites (`provision lock`)."),
  })
  .superRefine((platform, check) => {
    const [first, second] = BUILD_SOURCES.filter((key) => platform[key] !== undefined);
    if (second !== undefined)
      check.addIssue({
        code: "custom",
        path: [second],
        message: `stands beside ${first}; a platform has one source: remove one of the two`,
      });
    for (const [key, of] of Object.entries(BELONGS_TO) as [keyof typeof BELONGS_TO, (typeof BUILD_SOURCES)[number]][]) {
      if (platform[key] !== undefined && platform[key] !== false && platform[of] === undefined)
        check.addIssue({ code: "custom", path: [key], message: `says something of ${of}, which this platform does not have` });
    }
    if (platform.composer_lock !== undefined && platform.composer === undefined && platform.git === undefined)
      check.addIssue({ code: "custom", path: ["composer_lock"], message: "says something of composer, which this platform does not have" });
    if (platform.composer !== undefined && platform.composer_version !== undefined && !PACKAGE.test(platform.composer))
      check.addIssue({
        code: "custom",
        path: ["composer"],
        message: "is not the name of a package, which composer_version wants: vendor/package",
      });
    if (platform.working_copy === true && platform.git_path !== undefined)
      check.addIssue({
        code: "custom",
        path: ["git_path"],
        message: "cannot be cut out of a working_copy; let root name the directory instead",
      });
  });

const PACKAGE = /^[a-z0-9]([_.-]?[a-z0-9]+)*\/[a-z0-9](([_.]|-{1,2})?[a-z0-9]+)*$/;

/** No helper transports (`ext::sh -c …`), nothing that git or ssh could take for an option, and no password in a file that is committed. */
function gitProblem(value: string): string | undefined {
  if (/[\s\p{Cc}]/u.test(value)) return "holds white space";
  if (/^(?:https?|git|ssh|file):\/\//i.test(value)) {
    if (/^[a-z]+:\/\/(?:[^@/]*@)?-/i.test(value)) return "begins its host name with -";
    return /^[a-z]+:\/\/[^@/:]*:[^@/]*@/i.test(value) ? "holds a password; let git's credential helper or an ssh key say it" : undefined;
  }
  if (value.includes("::")) return "is not a repository that is fetched: use https, ssh, git, file or a path";
  if (/^(?:[a-zA-Z0-9_.-]+@)?[a-zA-Z0-9][a-zA-Z0-9.-]*:[^:]/.test(value)) return undefined;
  return value.includes(":") ? "is not a repository that is fetched: use https, ssh, git, file or a path" : pathProblem(value);
}

const LANGUAGE = /^[a-z]{2,8}(-[a-z0-9]{1,8})*$/;
const DATABASE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_$-]{0,63}$/;
const databaseName = (example: string) =>
  text(matches(DATABASE_NAME, "is not a name of letters, digits and _"), { example, pattern: DATABASE_NAME.source });
/** Machine, port, directory of the hub, name of the site. */
const SOURCE = /^[A-Za-z0-9[][A-Za-z0-9.:[\]_-]{0,300}:\/[A-Za-z0-9._/@ +=,-]{0,4000}@[a-z0-9][a-z0-9._-]*$/;
const GENERATION = /^[0-9]{8}T[0-9]{6}-[0-9a-f]{4,8}$/;

const WRITE_PATH = /^[A-Za-z0-9*_][A-Za-z0-9*._/-]{0,199}$/;
/** In the order in which each is missed without the other. */
const KEY_AND_CERTIFICATE: readonly string[] = ["ssl_certificate_key", "ssl_certificate"];

const siteSchema = z
  .strictObject({
    context_type: z.literal("site").describe("What this file describes."),
    uri: uri().describe("Host name of the site, optionally with one /segment."),
    platform: reference("@platform_d7").describe("Platform that the site runs on."),
    db_server: reference("@server_master").default("@server_master").describe("Server that holds the database."),
    client_name: text(contextNameProblem, { example: "acme", pattern: CONTEXT_PATTERN })
      .optional()
      .describe("Client that the site belongs to: acme is @client_acme. Default: the hub's."),
    profile: text(machineNameProblem, { example: "standard", pattern: "^[a-z][a-z0-9_]*$" })
      .default("standard")
      .describe("Install profile."),
    language: text(matches(LANGUAGE, "is not a language code"), { example: "en", pattern: LANGUAGE.source })
      .default("en")
      .describe("Language of the installation."),
    site_name: line("My site").optional().describe("Name of the site when it is installed. Default: the uri."),
    site_mail: email()
      .optional()
      .describe("Mail address of the site and of its first account. Default: the server's admin_email, or webmaster@ the host."),
    aliases: z
      .array(text(aliasProblem, { example: "www.example.com", pattern: ALIAS_PATTERN }))
      .meta({ examples: [["www.example.com"]] })
      .default([])
      .describe("Other host names of the site; *.example.com takes all below."),
    redirection: uri().optional().describe("Name that all others are redirected to: the uri or one of the aliases."),
    ssl: z
      .enum(["off", "on", "required"])
      .meta({ examples: ["required"] })
      .default("off")
      .describe("https beside http, or instead of it (required: http is sent on to https)."),
    ssl_issuer: z
      .enum(["self-signed", "acme"])
      .meta({ examples: ["acme"] })
      .optional()
      .describe("Who issues its certificate, when it is not ssl_certificate: self-signed or acme. Default: the server's ssl_issuer."),
    ssl_certificate: path("/etc/ssl/example.com/fullchain.pem")
      .optional()
      .describe("Certificate with its intermediate ones, PEM, relative to the hub or absolute: one of your own, instead of ssl_issuer."),
    ssl_certificate_key: path("/etc/ssl/example.com/privkey.pem").optional().describe("Key of ssl_certificate, PEM, without a password."),
    ssl_hsts: z
      .int()
      .min(0)
      .max(63_072_000)
      .meta({ examples: [31_536_000] })
      .optional()
      .describe("Seconds for which browsers shall remember to use https. Default: not said."),
    http_allow: addresses().describe("Addresses and networks that nginx and Apache let in, and nobody else. Default: everybody."),
    http_basic_auth_username: text(matches(/^[A-Za-z0-9._@-]{1,64}$/, "is not a user name: letters, digits and . _ @ -"), {
      example: "preview",
      pattern: "^[A-Za-z0-9._@-]{1,64}$",
    })
      .optional()
      .describe(
        "nginx and Apache ask visitors for this name and a password, which stands in secrets/ (http_basic_auth_password); one is made when there is none.",
      ),
    http_basic_auth_message: text(messageProblem, { example: "Preview", pattern: "^[A-Za-z0-9 ._,:!()-]{1,100}$" })
      .optional()
      .describe("What browsers show when they ask. Default: the uri."),
    http_basic_auth_whitelist: addresses().describe("Addresses and networks that are not asked for name and password."),
    http_headers: z
      .array(text(headerProblem, { example: "X-Robots-Tag: noindex", pattern: "^[A-Za-z0-9-]+: .+$" }))
      .meta({ examples: [["X-Robots-Tag: noindex"]] })
      .default([])
      .describe("Headers sent with every answer of nginx and Apache."),
    php_paths: z
      .array(text(phpPathProblem, { example: "sites/all/modules/civicrm/extern/rest.php", pattern: "^[A-Za-z0-9_./-]+\\.php$" }))
      .meta({ examples: [["sites/all/modules/civicrm/extern/rest.php"]] })
      .default([])
      .describe("Further PHP files that visitors may reach, relative to the docroot; all but Drupal's own are refused."),
    ...phpLimits(""),
    php_max_children: count(8, 1, 1000)
      .optional()
      .describe("Most PHP processes at once, with php_pool site or client (the largest of a client's sites counts). Default: 5."),
    write_paths: z
      .array(
        text(matches(WRITE_PATH, "is not a path of a site: letters, digits and . _ - / *, not with / first"), {
          example: "shop/buy/*",
          pattern: WRITE_PATH.source,
        }),
      )
      .meta({ examples: [["shop/buy/*"]] })
      .default([])
      .describe(
        "Pages that write also when they are only fetched; they wait, as forms do, while the site is moved. * stands for anything.",
      ),
    quarantine: flag(true)
      .default(false)
      .describe(
        "The site sends no mail, its cron does not run, search engines are turned away, nginx and Apache ask for a password (`clone --quarantine`).",
      ),
    nginx_snippet: text(nginxSnippetProblem, { example: "location = /ping { return 200; }", pattern: "^[^\\u0000\\u000b-\\u001f]*$" })
      .optional()
      .describe("Lines of your own for the site's vhost of nginx."),
    apache_snippet: text(apacheSnippetProblem, { example: "RewriteRule ^/ping$ - [R=204,L]", pattern: "^[^\\u0000\\u000b-\\u001f]*$" })
      .optional()
      .describe("Lines of your own for the site's vhost of Apache."),
    site_enabled: flag(false).default(true).describe("A disabled site answers 503 (`provision disable`)."),
    generation: text(matches(GENERATION, "is not an operation id"), { example: "20261123T091500-7f3a", pattern: GENERATION.source })
      .optional()
      .describe("Generation the site serves from; written by install. Without it the site is not installed."),
    directory: text(siteDirectoryProblem, { example: "default", pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$" })
      .optional()
      .describe("Its directory below the platform's sites/; written by import for a site that stands elsewhere. Default: as the uri says."),
    imported_from: text(matches(SOURCE, "is not what import --from writes"), {
      example: "old.example.com:/var/aegir/@example.com",
      pattern: SOURCE.source,
    })
      .optional()
      .describe("The machine, the hub and the site there that it was copied from; written by `import --from`."),
    db_name: databaseName("example_com_a379a6f6_20261123t091500_7f3a")
      .optional()
      .describe("Its database on db_server, where that has names; written by install."),
    db_user: databaseName("example_com_f27d8931")
      .optional()
      .describe("The account of its database; written by install and by `verify --rotate-password`."),
  })
  .superRefine(({ uri, aliases, redirection, ssl, ssl_issuer, ssl_certificate, ssl_certificate_key, ...site }, check) => {
    const basicAuth = site.http_basic_auth_username !== undefined;
    const upload = uploadProblem(site);
    if (upload) check.addIssue({ code: "custom", path: ["php_upload_max_filesize"], message: upload });
    if (!basicAuth && site.http_basic_auth_whitelist.length > 0)
      check.addIssue({
        code: "custom",
        path: ["http_basic_auth_whitelist"],
        message: "says something of http_basic_auth_username, which is not there",
      });
    if (!basicAuth && site.http_basic_auth_message !== undefined)
      check.addIssue({
        code: "custom",
        path: ["http_basic_auth_message"],
        message: "says something of http_basic_auth_username, which is not there",
      });
    if (site.http_allow.length > 0 && site.http_basic_auth_whitelist.length > 0)
      check.addIssue({
        code: "custom",
        path: ["http_basic_auth_whitelist"],
        message: "cannot stand beside http_allow, whose visitors are all asked",
      });
    if ((ssl_certificate === undefined) !== (ssl_certificate_key === undefined)) {
      const [there, missing] = ssl_certificate === undefined ? KEY_AND_CERTIFICATE : KEY_AND_CERTIFICATE.toReversed();
      check.addIssue({ code: "custom", path: [there as string], message: `needs ${missing}` });
    }
    const unprovable = ssl !== "off" && ssl_issuer === "acme" && ssl_certificate === undefined ? unprovableNames({ uri, aliases }) : [];
    for (const name of unprovable)
      check.addIssue({ code: "custom", path: ["ssl_issuer"], message: `cannot be acme: no authority proves ${name} by http-01` });
    const seen = new Set([uri]);
    for (const [index, alias] of aliases.entries()) {
      if (seen.has(alias))
        check.addIssue({ code: "custom", path: ["aliases", index], message: alias === uri ? "is the uri itself" : "is there twice" });
      seen.add(alias);
    }
    if (redirection !== undefined && !seen.has(redirection))
      check.addIssue({
        code: "custom",
        path: ["redirection"],
        message: "is neither the uri nor one of the aliases, so nobody would answer there",
      });
  });

const clientSchema = z.strictObject({
  context_type: z.literal("client").describe("What this file describes."),
  email: email().optional().describe("Address of the client."),
  max_sites: z
    .int()
    .min(0)
    .meta({ examples: [10] })
    .optional()
    .describe("Most sites this client may have. Default: no limit."),
});

const periods = (example: number) =>
  z
    .int()
    .min(0)
    .max(10_000)
    .meta({ examples: [example] })
    .default(example);

export const hubSchema = z.strictObject({
  client: text(contextNameProblem, { example: "admin", pattern: CONTEXT_PATTERN })
    .default("admin")
    .describe("Client of sites that name none: admin is @client_admin."),
  keep_old: z
    .int()
    .min(0)
    .max(3650)
    .meta({ examples: [7] })
    .default(7)
    .describe("Days for which migrate and restore keep what served before, so that `provision rollback` can return to it."),
  files_copy: z
    .enum(["copy", "link"])
    .default("copy")
    .describe(
      "How migrate brings a site's files into the next generation. copy: by sharing blocks where the file system can, else byte by byte. link: by hard links, at once and without room; a file that PHP then changes in its place is changed in the generation that is kept, too.",
    ),
  mirrors: z
    .record(
      text((value) => (/^[a-z][a-z0-9+.-]*:\/\/\S+$/.test(value) && !/\p{Cc}/u.test(value) ? undefined : "is not the beginning of a URL"), {
        example: "https://ftp.drupal.org/",
      }),
      text((value) => (/^[a-z]+:\/\//i.test(value) ? urlProblem(value) : pathProblem(value)), { example: "mirror/ftp.drupal.org" }),
    )
    .meta({ examples: [{ "https://ftp.drupal.org/": "mirror/ftp.drupal.org" }] })
    .default({})
    .describe("URL prefix → local directory (absolute or relative to the hub) or other URL, for builds."),
  journals: z
    .int()
    .min(0)
    .max(36_500)
    .meta({ examples: [90] })
    .default(90)
    .describe(
      "Days for which the journals of ended operations are kept, with what their programs printed; then `cron-all` takes them away. `operations list` still names them.",
    ),
  retention: z
    .strictObject({ daily: periods(7), weekly: periods(4), monthly: periods(12) })
    .meta({ examples: [{ daily: 7, weekly: 4, monthly: 12 }] })
    .default({ daily: 7, weekly: 4, monthly: 12 })
    .describe(
      "How many days, weeks and months that have a backup keep their newest one when `backups prune` runs; the newest of a site always stays.",
    ),
});

export const schemas = { server: serverSchema, platform: platformSchema, site: siteSchema, client: clientSchema } as const;

export type ContextType = keyof typeof schemas;
export const CONTEXT_TYPES = Object.keys(schemas) as readonly ContextType[];

interface Named {
  /** With its `@`. */
  readonly name: string;
}
export type Server = Readonly<z.output<typeof serverSchema>> & Named;
export type Platform = Readonly<z.output<typeof platformSchema>> & Named;
export type Site = Readonly<z.output<typeof siteSchema>> & Named;
export type Client = Readonly<z.output<typeof clientSchema>> & Named;
export type Context = Server | Platform | Site | Client;
export type ContextOf<T extends ContextType> = Extract<Context, { readonly context_type: T }>;
export type HubSettings = Readonly<z.output<typeof hubSchema>>;

/** What a schema can be asked for: the four context types and provision.yml. */
export type Kind = ContextType | "hub";

/** One property of a kind as `save`, help and messages need to know it. */
export interface Property {
  readonly key: string;
  readonly type: "text" | "number" | "boolean" | "list" | "map";
  /** The words it can be, when there are few. */
  readonly words: readonly string[] | undefined;
  /** Neither optional nor with a default. */
  readonly required: boolean;
  /** A value that is right. */
  readonly example: unknown;
  readonly description: string;
  /** A bare number in YAML is taken as the text that was written. */
  readonly unquoted: boolean;
  /** No message repeats the value. */
  readonly masked: boolean;
}

const PROPERTY_TYPES: Readonly<Record<string, Property["type"]>> = {
  number: "number",
  boolean: "boolean",
  array: "list",
  record: "map",
  object: "map",
};

function property(key: string, schema: z.core.$ZodType): Property {
  let inner = schema;
  let optional = false;
  let description = "";
  for (;;) {
    description ||= z.globalRegistry.get(inner)?.description ?? "";
    const { def } = inner._zod as { def: z.core.$ZodTypeDef & { innerType?: z.core.$ZodType } };
    if ((def.type !== "optional" && def.type !== "default") || !def.innerType) break;
    optional = true;
    inner = def.innerType;
  }
  const meta = z.globalRegistry.get(inner) as { examples?: readonly unknown[]; unquoted?: true; masked?: true } | undefined;
  const words = inner instanceof z.ZodEnum || inner instanceof z.ZodLiteral ? [...inner._zod.values].map(String) : undefined;
  return {
    key,
    type: PROPERTY_TYPES[inner._zod.def.type] ?? "text",
    words,
    required: !optional,
    example: meta?.examples?.[0] ?? words?.[0],
    description,
    unquoted: meta?.unquoted === true,
    masked: meta?.masked === true,
  };
}

function propertiesOf(schema: z.ZodObject): ReadonlyMap<string, Property> {
  return new Map(Object.entries(schema.shape).map(([key, field]) => [key, property(key, field)]));
}

const known = new Map<Kind, ReadonlyMap<string, Property>>();

/** Properties of a kind in the order of the schema, which is the order in which new files are written. */
export function properties(kind: Kind): ReadonlyMap<string, Property> {
  let found = known.get(kind);
  if (!found) {
    found = propertiesOf(kind === "hub" ? hubSchema : schemas[kind]);
    known.set(kind, found);
  }
  return found;
}
