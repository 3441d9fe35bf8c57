import { isAbsolute, join } from "node:path";
import { siteName } from "./names.js";

/**
 * Every derived path of a hub (DESIGN 2), pure. `root` is the hub's directory, absolute.
 */
export class Layout {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** A path from a context: absolute, or relative to the hub. */
  resolve(path: string): string {
    return isAbsolute(path) ? path : join(this.root, path);
  }

  get settings(): string {
    return join(this.root, "provision.yml");
  }
  get aliases(): string {
    return join(this.root, "aliases");
  }
  get secrets(): string {
    return join(this.root, "secrets");
  }
  get platforms(): string {
    return join(this.root, "platforms");
  }
  get builds(): string {
    return join(this.root, "platforms", ".builds");
  }
  get sites(): string {
    return join(this.root, "sites");
  }
  get config(): string {
    return join(this.root, "config");
  }
  get backups(): string {
    return join(this.root, "backups");
  }
  get clients(): string {
    return join(this.root, "clients");
  }
  get state(): string {
    return join(this.root, "state");
  }
  get cache(): string {
    return join(this.root, "state", "cache");
  }

  /** Compiled PHP of a build of a platform, by the build's name. */
  codeCache(build: string): string {
    return join(this.cache, "opcache", build);
  }

  /** `name` with its `@`. */
  contextFile(name: string): string {
    return join(this.aliases, `${name.slice(1)}.yml`);
  }
  secretsFile(name: string): string {
    return join(this.secrets, `${name.slice(1)}.yml`);
  }

  /** A path as people read it: relative to the hub when it is inside. */
  relative(path: string): string {
    return path.startsWith(`${this.root}/`) ? path.slice(this.root.length + 1) : path;
  }

  /** Where one kind of web server keeps its configuration: `config/<server>/<type>`. */
  httpConfig(server: string, type: string): string {
    return join(this.config, server.slice(1), type);
  }

  /** Certificates that provision gets or makes, of one site of a server; `key` is the site's name as a file name. */
  certificates(server: string, key: string): string {
    return join(this.config, server.slice(1), "ssl.d", key);
  }

  /** What belongs to one generation of a site, not to the code. */
  generation(uri: string, generation: string): GenerationPaths {
    const root = join(this.sites, siteName(uri), generation);
    return {
      root,
      files: join(root, "files"),
      private: join(root, "private"),
      tmp: join(root, "tmp"),
      config: join(root, "config"),
      configSync: join(root, "config", "sync"),
      database: join(root, "db", "site.sqlite"),
      account: join(root, "account.settings.php"),
      gate: join(root, "gate"),
      gateClosed: join(root, "gate.closed"),
    };
  }

  /** All generations of a site. */
  siteGenerations(uri: string): string {
    return join(this.sites, siteName(uri));
  }

  /** What is known of a site's generations that no longer serve: one file each. `name` with its `@`. */
  keptGenerations(name: string): string {
    return join(this.state, "generations", name.slice(1));
  }

  /** All backups of a site. */
  siteBackups(uri: string): string {
    return join(this.backups, siteName(uri));
  }

  clientSite(client: string, uri: string): string {
    return join(this.clients, client, siteName(uri));
  }
}

export interface GenerationPaths {
  readonly root: string;
  readonly files: string;
  readonly private: string;
  readonly tmp: string;
  /** Holds the directories that the core writes its configuration to; which ones, its engine says. */
  readonly config: string;
  readonly configSync: string;
  /** With SQLite only; its directory is writable too, for the journal beside it. */
  readonly database: string;
  /** The database account for the command line, where settings.php does not hold it. */
  readonly account: string;
  /** What writers hold a lock on. */
  readonly gate: string;
  /** There while nobody may write. */
  readonly gateClosed: string;
}
