import { join } from "node:path";
import { ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import { Secret } from "../core/secret.js";
import { type BridgeCall, runBridge } from "./bridge.js";
import { DocumentError, type Fields, fields, flag, integer, list, optionalInteger, optionalText, text, texts } from "./document.js";
import type { Answer, Engine, Extension, Found, LogEntry, Place, SiteCode, Update } from "./engine.js";
import { SCRIPTS } from "./scripts.js";

const MINUTES = 60_000;

/** Milliseconds after which an op's PHP is ended. Cron of a site without internet waits for many connections. */
const TIMEOUT = {
  install: 30 * MINUTES,
  status: 2 * MINUTES,
  found: 2 * MINUTES,
  inventory: 5 * MINUTES,
  login: 2 * MINUTES,
  cron: 60 * MINUTES,
  cache: 15 * MINUTES,
  maintenance: 2 * MINUTES,
  updates: 10 * MINUTES,
  // Of a large site one update may go through every node.
  update: 12 * 60 * MINUTES,
  config_import: 60 * MINUTES,
  deploy: 12 * 60 * MINUTES,
  rebuild: 15 * MINUTES,
  rename_profile: 5 * MINUTES,
  rewrite_paths: 120 * MINUTES,
  sanitize: 60 * MINUTES,
  renew_keys: 2 * MINUTES,
  log: 2 * MINUTES,
} as const;

/** Ends the sentence `Drupal 7 …` when an op fails. */
const CANNOT = {
  install: "cannot install",
  status: "does not tell the state of",
  found: "does not tell what it finds of",
  inventory: "does not tell the extensions of",
  login: "gives no login link to",
  cron: "did not run cron of",
  cache: "did not clear the caches of",
  maintenance: "did not change the maintenance mode of",
  updates: "does not tell the pending updates of",
  update: "did not update the database of",
  config_import: "did not import the configuration of",
  deploy: "did not run the deploy hooks of",
  rebuild: "did not find its code anew for",
  rename_profile: "did not rename the install profile of",
  rewrite_paths: "did not rewrite the paths of",
  sanitize: "did not sanitize",
  renew_keys: "did not renew the keys of",
  log: "does not tell the log of",
} as const;

type Op = keyof typeof TIMEOUT;

/** What reads writes nothing, not even compiled code. */
const READS: readonly Op[] = ["status", "found", "inventory", "log"];

const FAILURE: Partial<Record<Op, BridgeCall["failure"]>> = {
  install: "INSTALL_FAILED",
  update: "UPDATEDB_FAILED",
  deploy: "UPDATEDB_FAILED",
};

type Ops = Pick<
  Engine,
  | "install"
  | "status"
  | "found"
  | "inventory"
  | "login"
  | "cron"
  | "cacheClear"
  | "maintenance"
  | "pendingUpdates"
  | "update"
  | "rebuild"
  | "renameProfile"
  | "rewritePaths"
  | "sanitize"
  | "renewKeys"
  | "log"
>;

/**
 * The ops of an engine: what its bridge script is asked, and what it must answer. One protocol for all engines; bridge.php
 * says how a script is run, and each script's header what it needs of a request.
 *
 * `label`: the engine's, for messages. `script`: below src/engines/. `deploys`: knows deploy hooks and import of configuration.
 */
export function bridgeOps(label: string, script: string, { deploys = false }: { readonly deploys?: boolean } = {}): Ops {
  const ask = async <T>(
    site: SiteCode,
    op: Op,
    more: { readonly [name: string]: Json },
    read: (result: Fields) => T,
    secrets?: BridgeCall["secrets"],
  ): Promise<Answer<T>> =>
    runBridge(
      {
        host: site.host,
        php: site.php,
        codeCache: READS.includes(op) ? undefined : site.codeCache,
        script: join(site.scripts === undefined ? SCRIPTS : await site.scripts(), script),
        request: { op, docroot: site.docroot, lookup: `http://${site.uri}`, directory: site.directory, url: site.url, ...more },
        ...(secrets === undefined ? {} : { secrets }),
        // sites.php reads it; one inherited from whoever runs us must not choose another generation.
        env: { PROVISION_GENERATION: site.directory.split("~")[1] },
        timeout: TIMEOUT[op],
        what: `${label} ${CANNOT[op]} ${site.uri} (${site.host.name}:${site.docroot}/sites/${site.directory})`,
        failure: FAILURE[op] ?? "ENGINE_FAILED",
      },
      read,
    );

  return {
    install: (site, input) =>
      ask(
        site,
        "install",
        {
          profile: input.profile,
          language: input.language,
          existing_config: input.existingConfig === true,
          site_name: input.siteName,
          site_mail: input.siteMail,
          account_name: input.account.name,
          account_mail: input.account.mail,
        },
        (result) => ({ profile: text(result, "profile"), login: optionalText(result, "login") }),
        { account_password: input.account.password },
      ),

    status: (site) =>
      ask(site, "status", {}, (result) => ({
        version: text(result, "version"),
        installed: flag(result, "installed"),
        profile: optionalText(result, "profile"),
        siteName: optionalText(result, "site_name"),
        maintenance: flag(result, "maintenance"),
        lastCron: integer(result, "last_cron"),
        database: text(result, "database"),
      })),

    found: (site) => ask(site, "found", {}, found),

    inventory: (site) =>
      ask(site, "inventory", {}, (result) => ({
        version: text(result, "version"),
        extensions: list(result, "extensions").map(extension),
        missing: texts(result, "missing"),
      })),

    login: (site, uid) => ask(site, "login", { uid }, (result) => ({ url: text(result, "url") })),
    cron: (site) => ask(site, "cron", {}, (result) => ({ lastCron: integer(result, "last_cron") })),
    cacheClear: (site) => ask(site, "cache", {}, () => ({})),
    maintenance: (site, on) => ask(site, "maintenance", { on }, (result) => ({ maintenance: flag(result, "maintenance") })),
    pendingUpdates: (site) => ask(site, "updates", {}, (result) => ({ updates: list(result, "updates").map(update) })),
    async update(site, { configImport = false, deployHooks = false } = {}) {
      if ((configImport || deployHooks) && !deploys)
        throw new ProvisionError("REFUSED", `${label} knows neither deploy hooks nor an import of configuration`);
      const ran = (result: Fields) => list(result, "ran").map(update);
      const updates = await ask(site, "update", {}, ran);
      // Each in a process of its own: what one has loaded, the next may have changed.
      const imports = configImport ? await ask(site, "config_import", {}, (result) => texts(result, "imported")) : undefined;
      const deployed = deployHooks ? await ask(site, "deploy", {}, ran) : undefined;
      return {
        result: { ran: [...updates.result, ...(deployed?.result ?? [])], imported: imports?.result ?? [] },
        warnings: [...updates.warnings, ...(imports?.warnings ?? []), ...(deployed?.warnings ?? [])],
      };
    },
    rebuild: (site) => ask(site, "rebuild", {}, () => ({})),
    renameProfile: (site, { from, to }) => ask(site, "rename_profile", { from, to }, (result) => ({ renamed: flag(result, "renamed") })),
    rewritePaths: (site, { pairs, fresh = false, newKeys = false }) =>
      ask(site, "rewrite_paths", { pairs: pairs.map(({ from, to }) => ({ from, to })), fresh, new_keys: newKeys }, (result) => ({
        changed: list(result, "changed").map(place),
        left: list(result, "left").map(place),
      })),
    sanitize: (site, { mail, name, values, emptied }) =>
      ask(site, "sanitize", { mail, name, values: [...values], emptied: [...emptied] }, (result) => ({
        accounts: integer(result, "accounts"),
        values: integer(result, "values"),
      })),
    renewKeys: (site) => ask(site, "renew_keys", {}, () => ({})),
    log: (site, after) =>
      ask(site, "log", { after }, (result) =>
        flag(result, "kept") ? { last: integer(result, "last"), entries: list(result, "entries").map(logEntry) } : undefined,
      ),
  };
}

function found(result: Fields): Found {
  const { database } = result;
  const configuration = fields(result["configuration"], "configuration");
  return {
    database: database === null ? undefined : foundDatabase(fields(database, "database")),
    others: texts(result, "others"),
    problem: optionalText(result, "problem"),
    identity: optionalText(result, "identity"),
    installed: flag(result, "installed"),
    profile: optionalText(result, "profile"),
    language: optionalText(result, "language"),
    siteName: optionalText(result, "site_name"),
    siteMail: optionalText(result, "site_mail"),
    hashSalt: new Secret(text(result, "hash_salt")),
    files: optionalText(result, "files"),
    private: optionalText(result, "private"),
    configuration: Object.fromEntries(Object.keys(configuration).map((name) => [name, text(configuration, name)])),
    storedConfiguration: flag(result, "stored_configuration"),
    names: texts(result, "names"),
    own: texts(result, "own"),
  };
}

function foundDatabase(of: Fields): NonNullable<Found["database"]> {
  return {
    driver: text(of, "driver"),
    host: text(of, "host"),
    port: text(of, "port"),
    socket: text(of, "socket"),
    database: text(of, "database"),
    username: text(of, "username"),
    prefix: text(of, "prefix"),
  };
}

function extension(value: unknown): Extension {
  const of = fields(value, "an extension");
  const type = text(of, "type");
  if (type !== "module" && type !== "theme" && type !== "profile") throw new DocumentError(`there is no extension type ${type}`);
  return {
    name: text(of, "name"),
    type,
    path: text(of, "path"),
    version: optionalText(of, "version"),
    project: optionalText(of, "project"),
    enabled: flag(of, "enabled"),
    schema: optionalInteger(of, "schema"),
  };
}

function update(value: unknown): Update {
  const of = fields(value, "an update");
  return { extension: text(of, "extension"), name: text(of, "name"), description: optionalText(of, "description") };
}

function logEntry(value: unknown): LogEntry {
  const of = fields(value, "an entry of the log");
  return { type: text(of, "type"), severity: integer(of, "severity"), message: text(of, "message") };
}

function place(value: unknown): Place {
  const of = fields(value, "a place");
  return { where: text(of, "where"), count: integer(of, "count") };
}
