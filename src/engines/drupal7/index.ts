import type { Engine } from "../engine.js";
import { bridgeOps } from "../protocol.js";
import { readSitesPhp, sitesPhp } from "../sites-php.js";
import { detect } from "./detect.js";
import { settings } from "./settings.js";

/** Drupal 7, and what is shaped like it. */
export const drupal7: Engine = {
  name: "drupal7",
  label: "Drupal 7",
  detect,
  settings,
  sitesPhp,
  readSitesPhp,
  databases: ["mysql", "pgsql", "sqlite"],
  configDirectories: [],
  // Not install.php: a visitor must never be led to install a site.
  frontControllers: ["index.php", "cron.php", "update.php", "authorize.php", "xmlrpc.php"],
  ...bridgeOps("Drupal 7", "drupal7/bridge.php"),
  tables: {
    // A lock that a backup brought back would be held by nobody.
    structureOnly: ["cache", "cache_*", "sessions", "semaphore"],
    writtenByReads: [
      "cache",
      "cache_*",
      "sessions",
      "semaphore",
      "flood",
      "queue",
      "watchdog",
      "accesslog",
      "history",
      "node_counter",
      // Columns access and login: of who is logged in, and of a one-time login.
      "users",
      // Names of aggregated css and js that a page made.
      "variable",
      // Texts that a page met for the first time.
      "locales_source",
      "menu_router",
      "ctools_css_cache",
      "ctools_object_cache",
      "captcha_sessions",
      "queue",
    ],
  },
  // Both are made again for the next page that wants them; `languages`, which names no file that is looked for, is not.
  generatedFiles: ["css", "js"],
};
