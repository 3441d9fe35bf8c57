import type { Engine } from "../engine.js";
import { bridgeOps } from "../protocol.js";
import { readSitesPhp, sitesPhp } from "../sites-php.js";
import { detect } from "./detect.js";
import { settings } from "./settings.js";

/** Its archive has a sites.php in which all is comment; one with a statement in it is an operator's. */
function isAsShipped(text: string): boolean {
  const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*(\/\/|#).*$/gm, "");
  return text.includes("Backdrop CMS multi-site") && code.trim() === "<?php";
}

/** Backdrop 1.x. */
export const backdrop: Engine = {
  name: "backdrop",
  label: "Backdrop",
  detect,
  settings,
  sitesPhp,
  readSitesPhp: (text) => readSitesPhp(text) ?? (isAsShipped(text) ? new Map() : undefined),
  // Its only driver; the installer refuses any other.
  databases: ["mysql"],
  configDirectories: ["active", "staging"],
  // Not core/install.php: a visitor must never be led to install a site.
  frontControllers: ["index.php", "core/cron.php", "core/update.php", "core/authorize.php"],
  ...bridgeOps("Backdrop", "backdrop/bridge.php"),
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
      "history",
      "node_counter",
      // Columns access and login: of who is logged in, and of a one-time login.
      "users",
      // Names of aggregated css and js that a page made.
      "state",
      "tempstore",
      // Texts that a page met for the first time.
      "locales_source",
      "menu_router",
      "redirect",
    ],
  },
  generatedFiles: ["css", "js"],
};
