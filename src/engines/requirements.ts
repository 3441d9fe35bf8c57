import { join } from "node:path";
import type { Host } from "../host/host.js";
import type { ComposerPackages } from "./composer-packages.js";
import type { Core } from "./engine.js";
import type { Requirements } from "./packages.js";
import { isBelow, lowest } from "./versions.js";

/** Where each family of cores says what it needs; all relative to the docroot. */
interface Place {
  readonly label: string;
  /** Files that name the least PHP. */
  readonly php: readonly string[];
  /** File with the list of PHP's extensions. */
  readonly extensions: string;
  /** Files, by driver, that name its least version; the first that is there counts. */
  readonly drivers: readonly ((driver: string) => string)[];
}

const PLACES: Readonly<Record<string, Place>> = {
  drupal7: {
    label: "Drupal",
    php: ["includes/bootstrap.inc"],
    extensions: "modules/system/system.install",
    drivers: [(driver) => `includes/database/${driver}/install.inc`],
  },
  drupal: {
    label: "Drupal",
    php: ["core/lib/Drupal.php", "core/includes/bootstrap.inc"],
    extensions: "core/composer.json",
    drivers: [
      (driver) => `core/modules/${driver}/src/Driver/Database/${driver}/Install/Tasks.php`,
      (driver) => `core/lib/Drupal/Core/Database/Driver/${driver}/Install/Tasks.php`,
    ],
  },
  backdrop: {
    label: "Backdrop",
    php: ["core/includes/bootstrap.inc"],
    extensions: "core/modules/system/system.install",
    drivers: [(driver) => `core/includes/database/${driver}/install.inc`],
  },
};

const DRIVERS = ["mysql", "pgsql", "sqlite"];
const PRODUCTS: Readonly<Record<string, readonly string[]>> = { mysql: ["MySQL", "MariaDB"], pgsql: ["PostgreSQL"], sqlite: ["SQLite"] };

/** Reads what a core wants of PHP and databases from its own source, and what Composer's packages want beside it. */
export async function requirementsOf(host: Host, core: Core, composer: ComposerPackages | undefined): Promise<Requirements> {
  const place = PLACES[core.engine];
  if (place === undefined) return { php: [], extensions: [], databases: {} };
  const by = `${place.label} ${core.version}`;
  const read = async (path: string) => (await host.readFile(join(core.docroot, path))) ?? "";
  const php: { readonly by: string; readonly least: string }[] = [];
  for (const path of place.php) {
    const least = /MINIMUM_PHP(?:'\s*,|\s*=)\s*'([\d.]+)'/.exec(await read(path))?.[1];
    if (least !== undefined && php.length === 0) php.push({ by, least });
  }
  const listText = await read(place.extensions);
  const extensions = (place.extensions.endsWith(".json") ? ofComposerJson(listText, by, php) : ofSystemInstall(listText)).map((name) => ({
    by,
    name,
  }));
  if (composer?.php !== undefined) php.push({ by: "what Composer installed", least: composer.php });
  const known = new Set(extensions.map(({ name }) => name));
  const more = (composer?.extensions ?? []).filter(({ name }) => !known.has(name));
  const bySort = (a: { readonly name: string }, b: { readonly name: string }) => (a.name < b.name ? -1 : 1);
  return { php, extensions: [...extensions, ...more].toSorted(bySort), databases: await databasesOf(place, read) };
}

function ofSystemInstall(text: string): readonly string[] {
  const list = /\$required_extensions\s*=\s*(?:array\(|\[)([^)\]]*)[)\]]/.exec(text)?.[1] ?? "";
  return [...list.matchAll(/'(\w+)'/g)].map(([, name = ""]) => name.toLowerCase());
}

/** Of Drupal 8 and later it may ask for a newer PHP than its own constant does. */
function ofComposerJson(text: string, by: string, php: { readonly by: string; readonly least: string }[]): readonly string[] {
  const require = /"require"\s*:\s*\{([^}]*)\}/.exec(text)?.[1] ?? "";
  const constraint = /"php"\s*:\s*"([^"]*)"/.exec(require)?.[1];
  const least = constraint === undefined ? undefined : lowest(constraint);
  if (least !== undefined && (php[0] === undefined || isBelow(php[0].least, least))) php.splice(0, 1, { by, least });
  return [...require.matchAll(/"ext-([\w-]+)"/g)].map(([, name = ""]) => name.toLowerCase());
}

async function databasesOf(place: Place, read: (path: string) => Promise<string>): Promise<Requirements["databases"]> {
  const found: Record<string, Readonly<Record<string, string>>> = {};
  for (const driver of DRIVERS)
    for (const file of place.drivers) {
      const text = await read(file(driver));
      if (text === "" || driver in found) continue;
      const general =
        /function minimumVersion\(\)[^{]*\{\s*return '([\d.]+)'/.exec(text)?.[1] ??
        /const (?!MARIADB)\w*MINIMUM_VERSION\s*=\s*'([\d.]+)'/.exec(text)?.[1];
      const mariadb = /const MARIADB_MINIMUM_VERSION\s*=\s*'([\d.]+)'/.exec(text)?.[1];
      const least = (product: string) => (product === "MariaDB" ? (mariadb ?? general) : general);
      found[driver] = Object.fromEntries((PRODUCTS[driver] ?? []).map((product) => [product, least(product) ?? "0"]));
    }
  return found;
}
