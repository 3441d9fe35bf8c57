import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** How the update plant_update_N003 of the planted module ends. */
export type Failing = "exception" | "type-error" | "exit" | "killed" | undefined;

type Sql = (statement: string) => Promise<unknown>;

/**
 * Code laid into a core to see what an engine does with it: a module `plant` (tables, updates, a class, cron) and an install
 * profile `acme` that needs it. Written with what Drupal 7, the sample core and Backdrop have in common.
 */
export interface Plant {
  /** Where the module lies at first, relative to the docroot. */
  readonly module: string;
  /** Numbers of its updates begin here. */
  readonly base: number;
  /** The core keeps a list of classes and their files, and dies on one whose file has moved. */
  readonly registry: boolean;
  /** Writes profile and module; the module's schema is base + 1. */
  lay(docroot: string): Promise<void>;
  /** The module's code becomes one of schema base + 4: 2 in three passes, 3 that may fail, 4. */
  renew(docroot: string, failing: Failing): Promise<void>;
  /** The profile becomes acme2, with the module below it; answers with the module's new place. */
  move(docroot: string): Promise<string>;
  /** Accounts 7 (user8) and 8, a session, and two stored keys to sanitize. */
  people(sql: Sql): Promise<void>;
  /** Its hook_cron throws from now on. */
  breakCron(docroot: string, module: string): Promise<void>;
}

const FAILURE: Readonly<Record<Exclude<Failing, undefined>, string>> = {
  exception: "throw new Exception('the planted update failed');",
  "type-error": "strlen(array());",
  exit: "echo 'You are being redirected.'; exit(0);",
  killed: "posix_kill(getmypid(), 9);",
};

const text = "array('type' => 'text', 'size' => 'big', 'not null' => TRUE)";
const name = "array('type' => 'varchar', 'length' => 60, 'not null' => TRUE)";

const install = (base: number, updates: string) => `<?php
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
function plant_update_${base + 1}() {
}
${updates}`;

const updates = (base: number, failing: Failing) => `
/**
 * Goes through all pages
 * a few at a time.
 *
 * Not a part of the description.
 */
function plant_update_${base + 2}(&$sandbox) {
  $sandbox['pass'] = isset($sandbox['pass']) ? $sandbox['pass'] + 1 : 1;
  $sandbox['#finished'] = $sandbox['pass'] / 3;
  return "pass $sandbox[pass]";
}
/** Implements hook_update_N(): the one that can fail. */
function plant_update_${base + 3}() {
  ${failing === undefined ? "" : FAILURE[failing]}
}
function plant_update_${base + 4}() {
}
`;

/** What cores of procedures differ in: `info` of an extension of a type, where modules lie, and how a module names its classes. */
interface Kind {
  readonly base: number;
  readonly modules: string;
  info(type: "module" | "profile"): string;
  readonly classes: { readonly info: string; readonly code: string };
  readonly stored: string;
}

function plantOf({ base, modules, info, classes, stored }: Kind): Plant {
  const place = `${modules}/plant`;
  return {
    module: place,
    base,
    registry: classes.info !== "",

    async lay(docroot) {
      const module = join(docroot, place);
      const profile = join(docroot, "profiles/acme");
      await mkdir(module, { recursive: true });
      await mkdir(profile, { recursive: true });
      await writeFile(join(module, "plant.info"), `name = Plant\n${info("module")}version = 1.0\nproject = plant\n${classes.info}`);
      await writeFile(join(module, "thing.inc"), "<?php\nclass PlantThing {\n}\n");
      await writeFile(
        join(module, "plant.module"),
        `<?php
function plant_init() {
  new PlantThing();
}
${classes.code}
function plant_cron() {
  if (is_file(__DIR__ . '/cron-throws')) {
    throw new Exception('the planted cron failed');
  }
}
`,
      );
      await writeFile(join(module, "plant.install"), install(base, ""));
      await writeFile(join(profile, "acme.info"), `name = Acme\n${info("profile")}version = 1.0\ndependencies[] = plant\n`);
      await writeFile(join(profile, "acme.profile"), "<?php\n");
    },

    renew: (docroot, failing) => writeFile(join(docroot, place, "plant.install"), install(base, updates(base, failing))),

    async move(docroot) {
      const profile = join(docroot, "profiles/acme2");
      await rename(join(docroot, "profiles/acme"), profile);
      await rename(join(profile, "acme.profile"), join(profile, "acme2.profile"));
      await rm(join(profile, "acme.info"));
      await writeFile(
        join(profile, "acme2.info"),
        `name = Acme 2\n${info("profile")}version = 2.0\nold_short_name = acme\ndependencies[] = plant\n`,
      );
      await writeFile(join(profile, "acme2.install"), `<?php\nfunction acme2_update_${base + 1}() {\n}\n`);
      await mkdir(join(profile, "modules"));
      await rename(join(docroot, place), join(profile, "modules/plant"));
      return "profiles/acme2/modules/plant";
    },

    async people(sql) {
      for (const [uid, name] of [
        [7, "user8"],
        [8, "Jane Doe"],
      ] as const) {
        await either(
          sql,
          `INSERT INTO users (uid, name, pass, mail, init, status, login, signature, created) VALUES (${uid}, '${name}', 'secret', 'j${uid}@example.com', 'j${uid}@example.com', 1, 0, '', 1)`,
          `INSERT INTO users (uid, name, pass, mail, init, status, login) VALUES (${uid}, '${name}', 'secret', 'j${uid}@example.com', 'j${uid}@example.com', 1, 0)`,
        );
      }
      await either(
        sql,
        "INSERT INTO sessions (sid, ssid, uid, hostname, timestamp) VALUES ('s', 't', 7, '', 1)",
        "INSERT INTO sessions (sid, uid, created) VALUES ('s', 7, 1)",
      );
      await sql(
        `INSERT INTO ${stored} (name, value) VALUES ('plant_api_key', 's:3:"key";'), ('plant_shop', 'a:2:{s:4:"name";s:1:"x";s:10:"api_secret";s:3:"key";}')`,
      );
    },

    breakCron: (docroot, module) => writeFile(join(docroot, module, "cron-throws"), ""),
  };
}

/** Of a real core, or else of the sample core, whose tables have fewer columns. */
async function either(sql: Sql, real: string, sample: string): Promise<void> {
  await sql(real).catch(() => sql(sample));
}

export const plant7 = plantOf({
  base: 7000,
  modules: "sites/all/modules",
  info: () => "core = 7.x\n",
  classes: { info: "files[] = thing.inc\n", code: "" },
  stored: "variable",
});

export const plantBackdrop = plantOf({
  base: 1000,
  modules: "modules",
  info: (type) => `backdrop = 1.x\ntype = ${type}\n`,
  classes: { info: "", code: "function plant_autoload_info() {\n  return array('PlantThing' => 'thing.inc');\n}" },
  stored: "state",
});
