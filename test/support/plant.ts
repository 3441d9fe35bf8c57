import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** How the update plant_update_7003 of the planted module ends. */
export type Failing = "exception" | "type-error" | "exit" | "killed" | undefined;

/**
 * Code laid into a core to see what an engine does with it: a module `plant` (tables, updates, a class, cron) and an install
 * profile `acme` that needs it. Written with what Drupal 7, the sample core and Backdrop have in common.
 */
export interface Plant {
  /** Where the module lies at first, relative to the docroot. */
  readonly module: string;
  /** Writes profile and module; the module's schema is 7001. */
  lay(docroot: string): Promise<void>;
  /** The module's code becomes one of schema 7004: 7002 in three passes, 7003 that may fail, 7004. */
  renew(docroot: string, failing: Failing): Promise<void>;
  /** The profile becomes acme2, with the module below it; answers with the module's new place. */
  move(docroot: string): Promise<string>;
  /** Accounts 7 (user8) and 8, a session, and a stored key to sanitize. */
  people(sql: (statement: string) => Promise<unknown>): Promise<void>;
  /** Its hook_cron throws from now on. */
  breakCron(docroot: string, module: string): Promise<void>;
}

async function columns(sql: (statement: string) => Promise<unknown>, table: string): Promise<ReadonlySet<string>> {
  return new Set(
    ((await sql(`SELECT name FROM pragma_table_info('${table}')`)) as readonly (readonly string[])[]).map(([column]) => column ?? ""),
  );
}

const FAILURE: Readonly<Record<Exclude<Failing, undefined>, string>> = {
  exception: "throw new Exception('the planted update failed');",
  "type-error": "strlen(array());",
  exit: "echo 'You are being redirected.'; exit(0);",
  killed: "posix_kill(getmypid(), 9);",
};

const text = "array('type' => 'text', 'size' => 'big', 'not null' => TRUE)";
const name = "array('type' => 'varchar', 'length' => 60, 'not null' => TRUE)";

const install = (updates: string) => `<?php
function plant_schema() {
  return array(
    'plant_page' => array('fields' => array('name' => ${name}, 'title' => ${name}, 'body' => ${text}), 'primary key' => array('name')),
    'plant_keyless' => array('fields' => array('body' => ${text})),
    'cache_plant' => array('fields' => array('cid' => ${name}, 'data' => ${text}, 'expire' => array('type' => 'int', 'not null' => TRUE)), 'primary key' => array('cid')),
  );
}
/**
 * What the installation has already.
 */
function plant_update_7001() {
}
${updates}`;

const updates = (failing: Failing) => `
/**
 * Goes through all pages
 * a few at a time.
 *
 * Not a part of the description.
 */
function plant_update_7002(&$sandbox) {
  $sandbox['pass'] = isset($sandbox['pass']) ? $sandbox['pass'] + 1 : 1;
  variable_set('plant_passes', $sandbox['pass']);
  $sandbox['#finished'] = $sandbox['pass'] / 3;
  return "pass $sandbox[pass]";
}
/** Implements hook_update_N(): the one that can fail. */
function plant_update_7003() {
  ${failing === undefined ? "" : FAILURE[failing]}
}
function plant_update_7004() {
}
`;

export const plant7: Plant = {
  module: "sites/all/modules/plant",

  async lay(docroot) {
    const module = join(docroot, this.module);
    const profile = join(docroot, "profiles/acme");
    await mkdir(module, { recursive: true });
    await mkdir(profile, { recursive: true });
    await writeFile(join(module, "plant.info"), "name = Plant\ncore = 7.x\nversion = 7.x-1.0\nproject = plant\nfiles[] = thing.inc\n");
    await writeFile(join(module, "thing.inc"), "<?php\nclass PlantThing {\n}\n");
    await writeFile(
      join(module, "plant.module"),
      `<?php
function plant_init() {
  new PlantThing();
}
function plant_cron() {
  if (is_file(__DIR__ . '/cron-throws')) {
    throw new Exception('the planted cron failed');
  }
}
`,
    );
    await writeFile(join(module, "plant.install"), install(""));
    await writeFile(join(profile, "acme.info"), "name = Acme\ncore = 7.x\nversion = 7.x-1.0\ndependencies[] = plant\n");
    await writeFile(join(profile, "acme.profile"), "<?php\n");
  },

  renew: (docroot, failing) => writeFile(join(docroot, plant7.module, "plant.install"), install(updates(failing))),

  async move(docroot) {
    const profile = join(docroot, "profiles/acme2");
    await rename(join(docroot, "profiles/acme"), profile);
    await rename(join(profile, "acme.profile"), join(profile, "acme2.profile"));
    await writeFile(
      join(profile, "acme2.info"),
      "name = Acme 2\ncore = 7.x\nversion = 7.x-2.0\nold_short_name = acme\ndependencies[] = plant\n",
    );
    await writeFile(join(profile, "acme2.install"), "<?php\nfunction acme2_update_7001() {\n}\n");
    await mkdir(join(profile, "modules"));
    await rename(join(docroot, this.module), join(profile, "modules/plant"));
    await rm(join(profile, "acme.info"));
    return "profiles/acme2/modules/plant";
  },

  async people(sql) {
    const extra = (await columns(sql, "users")).has("signature")
      ? { into: ", signature, created", values: ", '', 1" }
      : { into: "", values: "" };
    for (const [uid, name] of [
      [7, "user8"],
      [8, "Jane Doe"],
    ] as const) {
      await sql(
        `INSERT INTO users (uid, name, pass, mail, init, status, login${extra.into}) VALUES (${uid}, '${name}', 'secret', 'j${uid}@example.com', 'j${uid}@example.com', 1, 0${extra.values})`,
      );
    }
    const session = (await columns(sql, "sessions")).has("ssid")
      ? ["sid, ssid, uid, hostname, timestamp", "'s', 't', 7, '', 1"]
      : ["sid, uid, created", "'s', 7, 1"];
    await sql(`INSERT INTO sessions (${session[0]}) VALUES (${session[1]})`);
    await sql(
      `INSERT INTO variable (name, value) VALUES ('plant_api_key', 's:3:"key";'), ('plant_shop', 'a:2:{s:4:"name";s:1:"x";s:10:"api_secret";s:3:"key";}')`,
    );
  },

  breakCron: (docroot, module) => writeFile(join(docroot, module, "cron-throws"), ""),
};
