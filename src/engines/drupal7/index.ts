import { join } from "node:path";
import type { Json } from "../../core/json.js";
import { PACKAGE_ROOT } from "../../core/package-root.js";
import { type BridgeCall, runBridge } from "../bridge.js";
import { DocumentError, type Fields, fields, flag, integer, list, optionalInteger, optionalText, text, texts } from "../document.js";
import type { Answer, Engine, Extension, SiteCode } from "../engine.js";
import { detect } from "./detect.js";
import { settings } from "./settings.js";
import { readSitesPhp, sitesPhp } from "../sites-php.js";

const MINUTES = 60_000;

/** Milliseconds after which an op's PHP is ended. Cron of a site without internet waits for many connections. */
const TIMEOUT = {
  install: 30 * MINUTES,
  status: 2 * MINUTES,
  inventory: 5 * MINUTES,
  login: 2 * MINUTES,
  cron: 60 * MINUTES,
  cache: 15 * MINUTES,
  maintenance: 2 * MINUTES,
} as const;

/** Ends the sentence `Drupal 7 …` when an op fails. */
const CANNOT = {
  install: "cannot install",
  status: "does not tell the state of",
  inventory: "does not tell the extensions of",
  login: "gives no login link to",
  cron: "did not run cron of",
  cache: "did not clear the caches of",
  maintenance: "did not change the maintenance mode of",
} as const;

type Op = keyof typeof TIMEOUT;

function ask<T>(
  site: SiteCode,
  op: Op,
  more: { readonly [name: string]: Json },
  read: (result: Fields) => T,
  secrets?: BridgeCall["secrets"],
): Promise<Answer<T>> {
  return runBridge(
    {
      host: site.host,
      php: site.php,
      // What only reads writes nothing, not even there.
      codeCache: op === "status" || op === "inventory" ? undefined : site.codeCache,
      script: join(PACKAGE_ROOT, "src/engines/drupal7/bridge.php"),
      request: { op, docroot: site.docroot, lookup: `http://${site.uri}`, directory: site.directory, url: site.url, ...more },
      ...(secrets === undefined ? {} : { secrets }),
      // sites.php reads it; one inherited from whoever runs us must not choose another generation.
      env: { PROVISION_GENERATION: site.directory.split("~")[1] },
      timeout: TIMEOUT[op],
      what: `Drupal 7 ${CANNOT[op]} ${site.uri} (${site.host.name}:${site.docroot}/sites/${site.directory})`,
      failure: op === "install" ? "INSTALL_FAILED" : "ENGINE_FAILED",
    },
    read,
  );
}

/** Drupal 7, and what is shaped like it. */
export const drupal7: Engine = {
  name: "drupal7",
  label: "Drupal 7",
  detect,
  settings,
  sitesPhp,
  readSitesPhp,
  // Not install.php: a visitor must never be led to install a site.
  frontControllers: ["index.php", "cron.php", "update.php", "authorize.php", "xmlrpc.php"],

  install: (site, input) =>
    ask(
      site,
      "install",
      {
        profile: input.profile,
        language: input.language,
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
};

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
