import { appendFile, cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
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
  | "failing-update";

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
