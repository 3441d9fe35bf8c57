import type { Engine } from "../engine.js";
import { bridgeOps } from "../protocol.js";
import { readSitesPhp, sitesPhp } from "../sites-php.js";
import { detect } from "./detect.js";
import { settings } from "./settings.js";

/** Drupal 8 and later. */
export const drupal: Engine = {
  name: "drupal",
  label: "Drupal 8+",
  detect,
  settings,
  sitesPhp,
  readSitesPhp,
  databases: ["mysql", "pgsql", "sqlite"],
  configDirectories: ["sync"],
  // Not core/install.php, and neither core/rebuild.php nor core/authorize.php: what they are for, provision does.
  // statistics.php counts readers; it went out of core with version 11.
  frontControllers: ["index.php", "update.php", "core/modules/statistics/statistics.php"],
  ...bridgeOps("Drupal 8+", "drupal/bridge.php", { deploys: true }),
  tables: {
    // Tags of caches count what was invalidated: without the caches they mean nothing.
    structureOnly: ["cache_*", "cachetags", "sessions", "semaphore"],
    writtenByReads: [
      "cache_*",
      "cachetags",
      "sessions",
      "semaphore",
      "flood",
      "watchdog",
      "history",
      "node_counter",
      // Columns access and login: of who is logged in, and of a one-time login.
      "users_field_data",
      // Forms that were shown, and drafts of those who edit.
      "key_value_expire",
      // Texts that a page met for the first time.
      "locales_source",
      "locales_location",
      // A page with a form of several steps makes one.
      "batch",
    ],
  },
  generatedFiles: ["css", "js", "php"],
};
