import { readFileSync, writeFileSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import { type Hub, loadHub } from "../context/hub.js";
import { Layout } from "../context/layout.js";
import { type HubSettings, isThisMachine, type Platform, type Server } from "../context/schema.js";
import { SecretStore } from "../context/secrets.js";
import { ContextStore } from "../context/store.js";
import { contextOf } from "../context/validate.js";
import { parseYaml } from "../context/yaml-file.js";
import { ProvisionError } from "../core/errors.js";
import type { Gathering } from "../core/gathering.js";
import { OperationsDirectory } from "../core/operations.js";
import type { Scope } from "../core/scope.js";
import type { Before, UndoKinds, World } from "../core/step.js";
import type { Engine } from "../engines/engine.js";
import { engineNamed } from "../engines/index.js";
import { bringScripts } from "../engines/scripts.js";
import type { Host } from "../host/host.js";
import { LocalHost } from "../host/local.js";
import { SshHost } from "../host/ssh.js";
import { SshConnections } from "../host/ssh-connection.js";
import type { SshTarget } from "../host/ssh-settings.js";
import { dbServices } from "../services/db/index.js";
import type { DbService } from "../services/db/service.js";
import { fpmService } from "../services/fpm/index.js";
import type { FpmOf, FpmService, PoolEdit } from "../services/fpm/service.js";
import { removeUser, userSetupOf } from "../services/fpm/users.js";
import { httpServices } from "../services/http/index.js";
import type { HttpService } from "../services/http/service.js";
import { groupAccessUndo } from "../steps/group-access.js";
import { generationUndo } from "./parts/generation.js";
import { sitesPhpUndo } from "./parts/sites-php.js";
import { workingCopyUndo } from "./parts/working-copy.js";
import { databaseUndoKinds, fileUndoKinds } from "./undo.js";

/** What operations work with: the hub's contexts, its hosts and services, made anew in each process. */
export class Services {
  readonly hub: Hub;
  readonly store: ContextStore;
  readonly secrets: SecretStore;
  readonly operations: OperationsDirectory;
  readonly scope: Scope;
  /** The hub itself. */
  readonly local: Host;

  readonly #gathering: Gathering | undefined;
  readonly #connections: SshConnections;
  readonly #hosts = new Map<string, Host>();
  readonly #scripts = new Map<string, Promise<string>>();
  readonly #http = new Map<string, HttpService>();
  readonly #db = new Map<string, DbService>();
  readonly #fpm = new Map<string, FpmService>();

  constructor(hub: Hub, scope: Scope, gathering?: Gathering, connections = new SshConnections()) {
    this.hub = hub;
    this.scope = scope;
    this.#gathering = gathering;
    if (gathering) scope.aside = (waited) => gathering.aside(waited);
    this.store = new ContextStore(hub.layout);
    this.secrets = new SecretStore(hub.layout);
    this.operations = new OperationsDirectory(hub.layout.state);
    this.#connections = connections;
    this.local = new LocalHost(scope);
  }

  static async of(root: string, scope: Scope): Promise<Services> {
    return new Services(await loadHub(root), scope);
  }

  /** The same hub for another operation, with locks and signals of its own; `gathering`: where it meets those that run at the same time. */
  beside(scope: Scope, gathering?: Gathering): Services {
    return new Services(this.hub, scope, gathering, this.#connections);
  }

  get layout(): Layout {
    return this.hub.layout;
  }
  get settings(): HubSettings {
    return this.hub.settings;
  }

  /**
   * The machine of a server context: this one, or another with one connection for all of this run, whose name is that of the first of its
   * contexts that was asked for.
   */
  host(server: Server): Host {
    if (isThisMachine(server.remote_host)) return this.local;
    const { remote_host, ssh_port, ssh_jump, script_user } = server;
    return remembered(this.#hosts, [remote_host, ssh_port, ssh_jump, script_user], () => this.#reachOver(server));
  }

  #reachOver({ name, remote_host, script_user, ssh_port, ssh_identity, ssh_jump, ssh_host_key, ssh_keepalive }: Server): Host {
    const target: SshTarget = {
      name,
      host: remote_host,
      user: script_user,
      ...(ssh_port === undefined ? {} : { port: ssh_port }),
      ...(ssh_identity === undefined ? {} : { identity: this.layout.resolve(ssh_identity) }),
      ...(ssh_jump === undefined ? {} : { jump: ssh_jump }),
      ...(ssh_host_key === undefined ? {} : { hostKey: ssh_host_key }),
      ...(ssh_keepalive === undefined ? {} : { keepalive: ssh_keepalive }),
      knownHosts: [join(this.layout.root, "known_hosts")],
      hub: `${hostname()}:${this.layout.root}`,
    };
    return new SshHost(this.scope, target, this.#connections);
  }

  /** A machine that is no server of this hub and is only read. No lock is taken there. */
  source(target: Omit<SshTarget, "knownHosts" | "hub">): Host {
    const whole = { ...target, knownHosts: [join(this.layout.root, "known_hosts")], hub: `${hostname()}:${this.layout.root}` };
    return remembered(this.#hosts, [whole], () => new SshHost(this.scope.reading(), whole, this.#connections));
  }

  /** A host by its name, which is that of its server context (`local`: this machine), as journals have it. */
  reach(name: string): Host {
    if (name === this.local.name) return this.local;
    const path = this.layout.contextFile(name);
    let text: string;
    try {
      text = readFileSync(path, "utf8");
    } catch (error) {
      throw new ProvisionError("HOST_UNAVAILABLE", `the journal names a host ${name} that this hub does not know`, { cause: error });
    }
    const context = contextOf(parseYaml(path, text), name);
    if (context.context_type === "server") return this.host(context);
    throw new ProvisionError("HOST_UNAVAILABLE", `the journal names a host ${name}, which is a ${context.context_type}`);
  }

  /**
   * Paths on the machine of a server: of platforms, sites' generations and configuration of the web server. Locks, state, secrets, contexts,
   * records of builds, backups and links of clients are the hub's (`layout`).
   */
  layoutOf(server: Server): Layout {
    if (isThisMachine(server.remote_host)) return this.layout;
    return server.aegir_root === undefined ? this.layout : new Layout(server.aegir_root);
  }

  /** Directory of the engines' PHP scripts on another machine; they are brought there when they are not. */
  scripts(server: Server): Promise<string> {
    const known = this.#scripts.get(server.name) ?? bringScripts(this.host(server), this.layoutOf(server).state);
    this.#scripts.set(server.name, known);
    return known;
  }

  /** Drupal root of a platform where it runs, absolute. */
  rootOf({ platform, server }: { readonly platform: Platform; readonly server: Server }): string {
    return this.layoutOf(server).resolve(platform.root);
  }

  /** One service object per server and process: what it has found out (which PHP, which extensions) it need not ask again. */
  http(server: Server): HttpService {
    return remembered(this.#http, server, () => this.#makeHttp(server));
  }

  fpm(server: Server, of: FpmOf): FpmService {
    return remembered(this.#fpm, [server, of], () =>
      fpmService({ layout: this.layoutOf(server), locks: this.operations.locks, server, of, host: this.host(server) }),
    );
  }

  /** PHP that begins now serves these sites; `of`: their PHP-FPM, else the server's own. */
  async reloadPhp(server: Server, of: FpmOf | undefined, uris: readonly string[]): Promise<void> {
    await this.http(server).reload(uris, of && (await this.fpm(server, of).commands()).reload);
  }

  db(server: Server): DbService {
    return remembered(this.#db, server, () => this.#makeDb(server));
  }

  #makeHttp(server: Server): HttpService {
    const make = httpServices[server.http_service_type];
    if (!make) throw noService(server, "http_service_type", "web server", Object.keys(httpServices));
    const gathering = this.#gathering;
    return make({
      layout: this.layoutOf(server),
      locks: this.operations.locks,
      server,
      host: this.host(server),
      ...(gathering === undefined ? {} : { gathering }),
    });
  }

  #makeDb(server: Server): DbService {
    const make = dbServices[server.db_service_type];
    if (!make) throw noService(server, "db_service_type", "database", Object.keys(dbServices));
    return make({ layout: this.layoutOf(server), server, host: this.host(server), hub: this.local, secrets: this.secrets });
  }

  engine(name: string): Engine {
    return engineNamed(name);
  }

  /** How the step engine reaches the world: copies before-images, puts effects back. */
  get world(): World {
    const hosts = (name: string): Host => this.reach(name);
    const undo: UndoKinds = {
      ...fileUndoKinds({ host: hosts }),
      ...databaseUndoKinds(async (server) => this.db(await this.store.need(server, "server"))),
      ...workingCopyUndo({ host: hosts }),
      ...generationUndo({ host: hosts }),
      ...groupAccessUndo({ host: hosts }),
      ...sitesPhpUndo({ host: hosts, engine: engineNamed, locks: this.operations.locks }),
      http_restore: async (undone) => {
        const server = await this.store.need(String(undone["server"]), "server");
        await this.http(server).restore(undone["files"] as never);
      },
      /** PHP that began with code that was taken back. */
      http_reload: async (undone) => {
        const server = await this.store.need(String(undone["server"]), "server");
        await this.reloadPhp(server, undone["fpm"] as FpmOf | undefined, undone["uris"] as readonly string[]);
      },
      /** Places of sites in their pools. */
      fpm_restore: async (undone) => {
        const server = await this.store.need(String(undone["server"]), "server");
        // The journal knows null, not undefined.
        const edits = (undone["edits"] as unknown as readonly PoolEdit[]).map(({ member, ...edit }) => ({
          ...edit,
          member: member ?? undefined,
        }));
        await this.fpm(server, undone["fpm"] as unknown as FpmOf).restore(edits);
      },
      /** A temporary copy, whatever state it is in, and what was being done to it. */
      rehearsal_remove: async (undone) => {
        const { removeRehearsal } = await import("./parts/rehearsal.js");
        await removeRehearsal(this, String(undone["operation"]), String(undone["site"]));
      },
      /** A user that was made for a pool. */
      unix_user_remove: async (undone) => {
        const server = await this.store.need(String(undone["server"]), "server");
        await removeUser(userSetupOf(server, this.host(server), this.operations.locks), String(undone["user"]));
      },
    };
    return {
      undo,
      async copyBefore(before: Before, to: string) {
        const bytes = await hosts(before.host).readBytes(before.path);
        if (bytes === undefined) return false;
        // On the disk before the intent that names it.
        writeFileSync(to, bytes, { mode: 0o600, flush: true });
        return true;
      },
    };
  }
}

function remembered<T>(known: Map<string, T>, by: unknown, make: () => T): T {
  // By everything the context says: a server that was saved anew is another.
  const key = JSON.stringify(by);
  const found = known.get(key) ?? make();
  known.set(key, found);
  return found;
}

function noService(server: Server, key: string, what: string, known: readonly string[]): ProvisionError {
  return new ProvisionError("CONFIGURATION", `${server.name} offers no ${what} (${key}: none)`, {
    next: known.map((type) => `provision save ${server.name} --${key}=${type}`),
  });
}

/** On this machine provision works as the server's script_user (on others it logs in as that): everything it makes belongs to that account. Rejects with PERMISSION_DENIED. */
export function refuseOtherUser(server: Server): void {
  if (!isThisMachine(server.remote_host)) return;
  const { username } = userInfo();
  if (username === server.script_user) return;
  throw new ProvisionError("PERMISSION_DENIED", `${server.name} is worked on as ${server.script_user}, and this is ${username}`, {
    next: [`sudo -u ${server.script_user} provision …`, `provision save ${server.name} --script_user=${username}`],
  });
}
