import type { DatabaseAccess } from "../context/database-access.js";
import type { GenerationPaths } from "../context/layout.js";
import type { Secret } from "../core/secret.js";
import type { Host } from "../host/host.js";

/** A core found on disk. */
export interface Core {
  /** Key of the engine that drives it. */
  readonly engine: string;
  /** As the core says it: `7.103`. */
  readonly version: string;
  /** Directory that the web server serves, absolute. */
  readonly docroot: string;
  /** Install profiles found, machine names. */
  readonly profiles: readonly string[];
}

/** One site as the engine meets it: where its code runs, and as whom it is asked. */
export interface SiteCode {
  /** Host that has the code; PHP runs there. */
  readonly host: Host;
  /** PHP command line program. */
  readonly php: string;
  readonly docroot: string;
  readonly uri: string;
  /** Name below `sites/`: siteName(uri), later also `<name>~<generation>`. */
  readonly directory: string;
  /** As a visitor types it, no trailing slash: `http://example.com:8080`. */
  readonly url: string;
  /** Directory for compiled code (host/code-cache.ts), used when it is there. */
  readonly codeCache?: string;
  /** Another machine: brings the scripts of the engines there when they are not, and says where they are. */
  readonly scripts?: () => Promise<string>;
}

export interface SettingsInput {
  readonly uri: string;
  readonly aliases: readonly string[];
  readonly generation: string;
  readonly paths: GenerationPaths;
  readonly database: DatabaseAccess;
  readonly hashSalt: Secret;
  /** settings.php holds no database account (engines/cloaked-account.ts); this file has it for the command line. Undefined: it holds it. */
  readonly accountFile?: string;
  /** Paths that write also when they are only fetched (write-gate.ts). */
  readonly writePaths?: readonly string[];
  /** The site sends no mail, runs no cron by the web, and is not for search engines. */
  readonly quarantine?: boolean;
  /** Addresses and networks of proxies before the web server. */
  readonly reverseProxies?: readonly string[];
}

export interface InstallInput {
  readonly profile: string;
  /** Drupal 8+: installs what stands in the configuration directory of the settings, with its own profile, language and names. */
  readonly existingConfig?: boolean;
  readonly language: string;
  readonly siteName: string;
  readonly siteMail: string;
  readonly account: { readonly name: string; readonly mail: string; readonly password: Secret };
}

interface SiteStatus {
  readonly version: string;
  readonly installed: boolean;
  readonly profile: string | undefined;
  readonly siteName: string | undefined;
  readonly maintenance: boolean;
  /** Seconds since the epoch; 0 when it never ran. */
  readonly lastCron: number;
  readonly database: string;
}

/** What a settings.php says that provision did not write, and the database behind it. Paths are absolute, without links. */
export interface Found {
  /** Undefined: it names none. The account's password is not asked for: the site gets an account of its own. */
  readonly database:
    | {
        /** As the core calls it: mysql, pgsql, sqlite. */
        readonly driver: string;
        readonly host: string;
        readonly port: string;
        readonly socket: string;
        /** SQLite: the file. */
        readonly database: string;
        readonly username: string;
        /** Of table names; empty for none. */
        readonly prefix: string;
      }
    | undefined;
  /** Keys and targets of other connections: `default/replica`. */
  readonly others: readonly string[];
  /** Why the database does not answer. */
  readonly problem: string | undefined;
  /** By which the server of the database is known (parts/found-server.ts); undefined for SQLite. */
  readonly identity: string | undefined;
  readonly installed: boolean;
  readonly profile: string | undefined;
  readonly language: string | undefined;
  readonly siteName: string | undefined;
  readonly siteMail: string | undefined;
  readonly hashSalt: Secret;
  /** Directories that are there. */
  readonly files: string | undefined;
  readonly private: string | undefined;
  /** By the name of a directory of `configDirectories`. */
  readonly configuration: Readonly<Record<string, string>>;
  /** Backdrop: the active configuration is not in files. */
  readonly storedConfiguration: boolean;
  /** What sites/sites.php calls the directory. */
  readonly names: readonly string[];
  /** Names of settings that a settings.php of provision's would not have: `$conf['theme_debug']`. */
  readonly own: readonly string[];
}

export interface Extension {
  readonly name: string;
  readonly type: "module" | "theme" | "profile";
  /** Relative to the docroot. */
  readonly path: string;
  readonly version: string | undefined;
  readonly project: string | undefined;
  readonly enabled: boolean;
  /** Installed schema version; undefined for what has none. */
  readonly schema: number | undefined;
}

/** What a site knows of its extensions. */
export interface Inventory {
  readonly version: string;
  readonly extensions: readonly Extension[];
  /** Enabled in the database, absent on disk. */
  readonly missing: readonly string[];
}

/** One update of an extension that waits for the database: a numbered one, or a post update. */
export interface Update {
  readonly extension: string;
  /** Name of the function: `user_update_7019`. */
  readonly name: string;
  /** What its author says of it, on one line. */
  readonly description: string | undefined;
}

/** What a deployment does after the updates, in this order, each in a process of its own; Drupal 8+ only (elsewhere REFUSED). */
interface UpdateOptions {
  /** Makes the site's configuration that of its configuration directory; caches are made anew after it. */
  readonly configImport?: boolean;
  /** Runs `hook_deploy_NAME()`, as Drush's deploy does, and remembers them where Drush does. */
  readonly deployHooks?: boolean;
}

/** What becomes of the private parts of a copy. `%uid` stands for the number of an account. */
export interface SanitizeRules {
  /** For every account: `user%uid@example.invalid`. */
  readonly mail: string;
  /** For every account but the first, which keeps its name: `user%uid`. */
  readonly name: string;
  /** Names of stored values (variables, state, configuration; keys within them too) that are emptied; `*` stands for any characters. */
  readonly values: readonly string[];
  /** Tables that are emptied beside those of sessions and logs; those that are not there are passed over. */
  readonly emptied: readonly string[];
}

/** What `clone --sanitize` does when nobody says otherwise. */
export const SANITIZE: SanitizeRules = {
  mail: "user%uid@example.invalid",
  name: "user%uid",
  values: [
    "*api_key*",
    "*apikey*",
    "*secret*",
    "*password*",
    "*passwd*",
    "*access_key*",
    "*private_key*",
    "*_token",
    "*license_key*",
    "smtp_*",
  ],
  emptied: [],
};

/** One line of the log that the site itself keeps. */
export interface LogEntry {
  readonly type: string;
  /** As syslog counts: 0 is an emergency, 3 an error, 4 a warning, 7 for debugging. */
  readonly severity: number;
  /** As a person reads it, without markup. */
  readonly message: string;
}

/** Where values stood, and how many: `variable file_public_path`, `field_data_body.body_value`. */
export interface Place {
  readonly where: string;
  readonly count: number;
}

/** What the engine's PHP said beside its answer. */
export interface Answer<T> {
  readonly result: T;
  readonly warnings: readonly string[];
}

/**
 * How one core family is driven from outside: a PHP script per engine, run on the host that has the
 * code, JSON on stdin, one document on descriptor 3. Success is exit 0 and a document and ok: true
 * (reference: engine.md). Nothing here changes files of the platform.
 *
 * Errors: ENGINE_FAILED (INSTALL_FAILED in install) with the core's own message in `why`, also when PHP was killed or
 * left no document; TIMED_OUT; WRONG_SITE when the core resolved another site directory than the one asked for;
 * NOT_INSTALLED; ALREADY_INSTALLED; PROGRAM_MISSING; UPDATEDB_FAILED in update.
 */
export interface Engine {
  readonly name: string;
  /** What a person calls it: `Drupal 7`. */
  readonly label: string;
  /**
   * Looks at files only; undefined when this engine does not drive what stands at `root`. Rejects with NOT_A_PLATFORM
   * when it would, but files are missing.
   */
  detect(host: Host, root: string): Promise<Core | undefined>;
  /** Text of settings.php; the same input gives the same bytes. */
  settings(input: SettingsInput): string;
  /**
   * Text of sites/sites.php: `names` maps a host name (the site's own, its aliases, `*.` and a name) to a directory
   * below sites/; a sub-directory site's key is its siteName. Same input, same bytes.
   */
  sitesPhp(names: ReadonlyMap<string, string>): string;
  /** Reads what sitesPhp wrote, or what says nothing in the core's own archive; undefined for any other file. */
  readSitesPhp(text: string): ReadonlyMap<string, string> | undefined;
  /** PHP files a visitor may reach, relative to the docroot: index.php, update.php … */
  readonly frontControllers: readonly string[];
  /** Kinds of database that the core has a driver for. */
  readonly databases: readonly DatabaseAccess["driver"][];
  /** Directories that the site writes its configuration to, below `config/` of its generation. */
  readonly configDirectories: readonly string[];

  /**
   * settings.php exists and names an empty database (SQLite: its directory exists). `login` is the first account's one-time
   * link, as `login` gives it, where the installer's own process can tell it.
   */
  install(site: SiteCode, input: InstallInput): Promise<Answer<{ readonly profile: string; readonly login: string | undefined }>>;
  /** Answers for a site that is not installed too (`installed: false`). */
  status(site: SiteCode): Promise<Answer<SiteStatus>>;
  /**
   * Of a site that provision did not make: its settings.php is run as the core runs it. INVALID_FILE when that does not run; a database that does not
   * answer is told, and no error.
   */
  found(site: SiteCode): Promise<Answer<Found>>;
  inventory(site: SiteCode): Promise<Answer<Inventory>>;
  /** One-time login link of an account, by its id (1 is the first). */
  login(site: SiteCode, uid: number): Promise<Answer<{ readonly url: string }>>;
  cron(site: SiteCode): Promise<Answer<{ readonly lastCron: number }>>;
  cacheClear(site: SiteCode): Promise<Answer<Record<string, never>>>;
  maintenance(site: SiteCode, on: boolean): Promise<Answer<{ readonly maintenance: boolean }>>;

  /** What `update` would run now, in its order; post updates too. The core brings its list of files up to date for it. */
  pendingUpdates(site: SiteCode): Promise<Answer<{ readonly updates: readonly Update[] }>>;
  /**
   * Runs all of them, stops at the first that fails, and clears caches at the end. UPDATEDB_FAILED names extension and
   * function in its message, why it failed and what ran before it in `why`; the schema stays at the last good number, so
   * that the next run goes on from there. Maintenance mode is the caller's. Nothing pending: nothing is done. `ran` has
   * deploy hooks, too; `imported` names what of the configuration changed.
   */
  update(
    site: SiteCode,
    options?: UpdateOptions,
  ): Promise<Answer<{ readonly ran: readonly Update[]; readonly imported: readonly string[] }>>;
  /**
   * After code has moved: list of files, class registry or container and all caches made anew, before updates and
   * without any module's code that these could need. Bears moved modules; one that is gone is a warning.
   */
  rebuild(site: SiteCode): Promise<Answer<Record<string, never>>>;
  /**
   * The install profile `from` became `to` (which names it by old_short_name); before rebuild and anything else that
   * starts the site. Its schema version stays. Idempotent.
   */
  renameProfile(site: SiteCode, profile: { readonly from: string; readonly to: string }): Promise<Answer<{ readonly renamed: boolean }>>;
  /**
   * Values that name files or pages by `from` (`sites/old.example/files`, `http://old.example`, `//old.example`) say `to`
   * afterwards. `from` is found as a whole only, never as the beginning of a longer name or host; all pairs in one pass,
   * so that they may swap. Serialized values are changed as what they hold, never as text. All or nothing.
   *
   * `left`: values that still say `from`, because a change was not safe (objects, keys of rows, no room). `fresh`: the site is another one than its caches
   * tell of, on code that has not moved; they are emptied before it starts, which takes the place of a rebuild. `newKeys`: as renewKeys, when all else is
   * done.
   */
  rewritePaths(
    site: SiteCode,
    rewrite: {
      readonly pairs: readonly { readonly from: string; readonly to: string }[];
      readonly fresh?: boolean;
      readonly newKeys?: boolean;
    },
  ): Promise<Answer<{ readonly changed: readonly Place[]; readonly left: readonly Place[] }>>;
  /**
   * For a copy: mails, names of accounts and passwords replaced (no password fits afterwards), sessions and logs emptied,
   * stored values emptied by name. Runs no code of modules, which could call out with the keys they still find.
   * Idempotent: a second run counts 0.
   */
  sanitize(site: SiteCode, rules: SanitizeRules): Promise<Answer<{ readonly accounts: number; readonly values: number }>>;
  /**
   * What the site wrote into its log (Drupal's dblog) after the entry with that number, newest first, a thousand at most; `last`: number of the
   * newest of all. Undefined when it keeps no log in its database. Runs no code of modules.
   */
  log(site: SiteCode, after: number): Promise<Answer<{ readonly last: number; readonly entries: readonly LogEntry[] } | undefined>>;
  /** For a copy: private key and key of cron are others than those of the site it was made of. */
  renewKeys(site: SiteCode): Promise<Answer<Record<string, never>>>;
  /** Table names, without prefix; `*` at the end stands for any characters. */
  readonly tables: {
    /** A backup takes their structure only. */
    readonly structureOnly: readonly string[];
    /** What reads (GET) may write: not counted as late writes. */
    readonly writtenByReads: readonly string[];
  };
  /** Below the site's files directory, made by the core itself, left out of backups: css, js, php … */
  readonly generatedFiles: readonly string[];
}
