import { readFileSync, writeFileSync } from "node:fs";
import { appendFile, cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SAMPLE = fileURLToPath(new URL("../../src/demo/sample", import.meta.url));
const OVERLAY = fileURLToPath(new URL("../fixtures/fake-core", import.meta.url));

/** Ways in which real cores were seen to fail; the fixture's own files say what each does. */
export type Trap =
  | "noise"
  | "warning"
  | "exit"
  | "exception"
  | "fatal"
  | "fatal-in-shutdown"
  | "out-of-memory"
  | "killed"
  | "slow"
  | "cron-locked"
  | "cron-exception"
  | "broken-page"
  | "waiting-in-install"
  | "out-of-memory-in-install"
  | "full-disk-in-install"
  | "fatal-in-install"
  | "exit-in-install"
  /** With waiting-in-install: takes no notice of SIGTERM. */
  | "deaf"
  | "error-in-install"
  | "password-in-error"
  | "pending-updates"
  | "failing-update"
  /** With pending-updates: one takes an hour. It touches traps/reached. */
  | "slow-update"
  /** With pending-updates: one makes a table with three rows. */
  | "rows-in-update"
  | "changed-page"
  /** Of pages only: visitors see nothing of it. */
  | "fatal-after-page"
  | "logged-error";

/** Makes the sample core with its traps at `docroot`, which must not be there. Version 7.0-fixture. */
export async function makeFakeCore(docroot: string, { traps = [] }: { traps?: readonly Trap[] } = {}): Promise<string> {
  await cp(SAMPLE, docroot, { recursive: true });
  await cp(OVERLAY, docroot, { recursive: true });
  const bootstrap = join(docroot, "includes/bootstrap.inc");
  const text = await readFile(bootstrap, "utf8");
  const fixture = text.replace("'7.0-sample'", "'7.0-fixture'");
  if (fixture === text) throw new Error("the sample core no longer says its version as 7.0-sample");
  await writeFile(bootstrap, fixture);
  await appendFile(bootstrap, "\nrequire_once DRUPAL_ROOT . '/includes/traps.inc';\n");
  for (const trap of traps) await setTrap(docroot, trap);
  return docroot;
}

const DRUPAL = fileURLToPath(new URL("../fixtures/fake-drupal", import.meta.url));

/** Makes the fake core of Drupal 8 and later at `docroot`, which must not be there. Version 10.0-fixture. */
export async function makeFakeDrupal(docroot: string): Promise<void> {
  await cp(DRUPAL, docroot, { recursive: true });
}

const BACKDROP = fileURLToPath(new URL("../fixtures/fake-backdrop", import.meta.url));

/**
 * Makes the fake core of Backdrop at `docroot`, which must not be there: the sample core below core/, under Backdrop's names,
 * with the functions in which Backdrop is different. Version 1.0-fixture.
 */
export async function makeFakeBackdrop(docroot: string): Promise<void> {
  for (const name of ["includes", "modules", "profiles", "themes", "misc", "cron.php", "update.php"])
    await cp(join(SAMPLE, name), join(docroot, "core", name), { recursive: true });
  await cp(join(SAMPLE, "index.php"), join(docroot, "index.php"));
  await mkdir(join(docroot, "sites"));
  await writeFile(join(docroot, "settings.php"), "<?php\n$database = 'mysql://user:pass@localhost/database_name';\n");
  const files = (await readdir(docroot, { recursive: true })).filter((name) => /\.(inc|module|install|info|php)$/.test(name));
  for (const name of files) {
    const path = join(docroot, name);
    const own = await readFile(join(BACKDROP, name), "utf8").catch(() => "");
    await writeFile(path, withFunctions(backdropNames(await readFile(path, "utf8")), own));
  }
  await cp(join(BACKDROP, "core/includes/config.inc"), join(docroot, "core/includes/config.inc"));
}

function backdropNames(text: string): string {
  return text
    .replace("const VERSION = '7.0-sample';", "define('BACKDROP_VERSION', '1.0-fixture');")
    .replace(/\bVERSION' => VERSION/, "VERSION' => BACKDROP_VERSION")
    .replaceAll("install_drupal", "install_backdrop")
    .replaceAll("drupal_", "backdrop_")
    .replaceAll("DRUPAL_", "BACKDROP_")
    .replace(/(['"])\/(includes|modules)\//g, "$1/core/$2/")
    .replaceAll("{variable}", "{state}")
    .replace("'variable' => array(", "'state' => array(")
    .replace(/^core = 7\.x$/m, "backdrop = 1.x");
}

/** `text` with the functions of `own` instead of those of the same names; those that it did not have are added. */
function withFunctions(text: string, own: string): string {
  const names = [...own.matchAll(/^function (\w+)\(/gm)].map(([, name = ""]) => name);
  const without = names.reduce<string>((rest, name) => rest.replace(new RegExp(`^function ${name}\\([\\s\\S]*?\\n}\\n`, "m"), ""), text);
  return without + own.replace(/^<\?php\n/, "");
}

export async function setTrap(docroot: string, trap: Trap): Promise<void> {
  await mkdir(join(docroot, "traps"), { recursive: true });
  await writeFile(join(docroot, "traps", trap), "");
}

export async function clearTraps(docroot: string): Promise<void> {
  await rm(join(docroot, "traps"), { recursive: true, force: true });
}

/** Runs `action` with the traps set, and clears them whatever happens. */
export async function trapped<T>(docroot: string, traps: readonly Trap[], action: () => Promise<T>): Promise<T> {
  for (const trap of traps) await setTrap(docroot, trap);
  try {
    return await action();
  } finally {
    await clearTraps(docroot);
  }
}

/** New code, which a visitor can tell from the old by a header. */
export function release(core: string, version: string): void {
  const index = join(core, "index.php");
  const text = readFileSync(index, "utf8").replace(/header\('X-Code: .*'\);\n/, "");
  writeFileSync(index, text.replace("<?php\n", `<?php\nheader('X-Code: ${version}');\n`));
}
