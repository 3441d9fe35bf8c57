import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** How the update plant_update_7003 of the planted module ends. */
export type Failing = "exception" | "type-error" | "exit" | "killed" | undefined;

/**
 * Code laid into a core to see what an engine does with it: a module `plant` (tables, updates, a class, cron) and an install
 * profile `acme` that needs it. Written with what Drupal 7, the sample core and Backdrop have in common.
 */
export interface Plant {
  /** Number of the module's first schema: 7001. */
  readonly first: number;
  /** Table of the accounts. */
  readonly accounts: string;
  /** What cron says when module and profile have moved and nothing was made anew; undefined: this core bears it. */
  readonly stale: RegExp | undefined;
  readonly pages: Pages;
  /** Where the module lies at first, relative to the docroot. */
  readonly module: string;
  /** Writes profile and module. */
  lay(docroot: string): Promise<void>;
  /** The module's code gets three updates more: one in three passes, one that may fail, a third. */
  renew(docroot: string, failing: Failing): Promise<void>;
  /** The profile becomes acme2, with the module below it; answers with the module's new place. */
  move(docroot: string): Promise<string>;
  /** Accounts 7 (user8) and 8, a session, and a stored key to sanitize. */
  people(sql: Sql): Promise<void>;
  /** Its hook_cron throws from now on. */
  breakCron(docroot: string, module: string): Promise<void>;
}

type Sql = (statement: string) => Promise<readonly (readonly string[])[]>;

/** Texts that a site keeps, as paths are rewritten in them. */
export interface Pages {
  /** Places of bodies and titles, `table.column`. */
  readonly body: string;
  readonly title: string;
  /** Characters that a title holds at most. */
  readonly room: number;
  /** Places of `extra` where a name cannot be changed. */
  readonly left: readonly { readonly where: string; readonly count: number }[];
  write(sql: Sql, name: string, title: string, body: string): Promise<unknown>;
  bodyOf(sql: Sql, name: string): Promise<string | undefined>;
  /** Rows that a rewriting does not touch: one per place of `left`, and one of a cache. */
  extra(sql: Sql): Promise<unknown>;
}

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`;

/** `quoted`: a text as the database's SQL has it. */
const pagesOfPlant = (quoted: (text: string) => string): Pages => ({
  body: "plant_page.body",
  title: "plant_page.title",
  room: 60,
  left: [
    { where: "plant_page.name", count: 1 },
    { where: "plant_keyless.body", count: 1 },
  ],
  write: (sql, name, title, body) =>
    sql(`INSERT INTO plant_page (name, title, body) VALUES (${[name, title, body].map(quoted).join(", ")})`),
  bodyOf: async (sql, name) => (await sql(`SELECT body FROM plant_page WHERE name = ${quoted(name)}`))[0]?.[0],
  async extra(sql) {
    await sql("INSERT INTO plant_page (name, title, body) VALUES ('sites/old.example/files', 't', 'nothing')");
    await sql("INSERT INTO plant_keyless (body) VALUES ('see sites/old.example/files/y.pdf')");
    await sql("INSERT INTO cache_plant (cid, data, expire) VALUES ('a', 'sites/old.example/files', 0)");
  },
});

/** Numbers of pages by name: a row of a field's table has no other. */
const number = (name: string) => 100 + [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 100_000, 7);

const PAGES8: Pages = {
  body: "node__body.body_value",
  title: "node_field_data.title",
  room: 255,
  left: [],
  async write(sql, name, title, body) {
    const id = number(name);
    const more = (await columns(sql, "node_field_data")).has("type")
      ? [", type, status, uid, created, changed, promote, sticky, default_langcode", ", 'page', 1, 1, 1, 1, 0, 0, 1"]
      : ["", ""];
    await sql(`INSERT INTO node_field_data (nid, vid, langcode, title${more[0]}) VALUES (${id}, ${id}, 'en', ${quoted(title)}${more[1]})`);
    for (const table of ["node__body", "node_revision__body"])
      await sql(
        `INSERT INTO ${table} (bundle, deleted, entity_id, revision_id, langcode, delta, body_value, body_summary, body_format) VALUES ('page', 0, ${id}, ${id}, 'en', 0, ${quoted(body)}, '', 'plain_text')`,
      );
  },
  async bodyOf(sql, name) {
    const rows = await sql(
      `SELECT body_value FROM node__body WHERE entity_id = ${number(name)} UNION SELECT body_value FROM node_revision__body WHERE entity_id = ${number(name)}`,
    );
    // The same in all revisions, or nothing.
    return rows.length === 1 ? rows[0]?.[0] : undefined;
  },
  extra: async () => {},
};

async function columns(sql: Sql, table: string): Promise<ReadonlySet<string>> {
  return new Set((await sql(`SELECT name FROM pragma_table_info('${table}')`)).map(([column]) => column ?? ""));
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
  /** Table of names and serialized values. */
  readonly stored: string;
}

function plantOf({ base, modules, info, classes, stored }: Kind): Plant {
  const place = `${modules}/plant`;
  return {
    first: base + 1,
    accounts: "users",
    // The class registry has the old place.
    stale: classes.info === "" ? undefined : /PlantThing/,
    pages: pagesOfPlant(quoted),
    module: place,

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

/** The same where the database is MySQL, which has a meaning for the backslash too. */
export const plantBackdropOnMysql: Plant = {
  ...plantBackdrop,
  pages: pagesOfPlant((text) => quoted(text.replaceAll("\\", "\\\\"))),
};

const updates8 = (failing: Failing) => updates(8000, failing);

const PAGE_TYPE =
  "langcode: en\nstatus: true\nname: Page\ntype: page\ndescription: ''\nhelp: ''\nnew_revision: true\npreview_mode: 1\ndisplay_submitted: true\n";
const BODY = `langcode: en
status: true
dependencies:
  config:
    - field.storage.node.body
    - node.type.page
  module:
    - text
id: node.page.body
field_name: body
entity_type: node
bundle: page
label: Body
description: ''
required: false
translatable: true
default_value: {  }
default_value_callback: ''
settings:
  display_summary: true
  required_summary: false
field_type: text_with_summary
`;

const profile8 = (name: string) =>
  `name: ${name}\ntype: profile\ncore_version_requirement: '>=8'\nversion: '1.0'\ninstall:\n  - node\n  - field\n  - text\n  - filter\n  - plant\n`;

/** The same for Drupal 8 and later; pages are of core's own type. */
export const plant8: Plant = {
  first: 8001,
  accounts: "users_field_data",
  stale: undefined,
  pages: PAGES8,
  module: "modules/plant",

  async lay(docroot) {
    const module = join(docroot, this.module);
    const profile = join(docroot, "profiles/acme");
    await mkdir(module, { recursive: true });
    await mkdir(join(profile, "config/install"), { recursive: true });
    await writeFile(
      join(module, "plant.info.yml"),
      "name: Plant\ntype: module\ncore_version_requirement: '>=8'\nversion: '1.0'\nproject: plant\n",
    );
    await writeFile(
      join(module, "plant.module"),
      `<?php
function plant_cron() {
  if (is_file(__DIR__ . '/cron-throws')) {
    throw new Exception('the planted cron failed');
  }
}
`,
    );
    await writeFile(
      join(module, "plant.install"),
      "<?php\n/**\n * What the installation has already.\n */\nfunction plant_update_8001() {\n}\n",
    );
    await writeFile(join(profile, "acme.info.yml"), profile8("Acme"));
    await writeFile(join(profile, "acme.profile"), "<?php\n");
    await writeFile(join(profile, "config/install/node.type.page.yml"), PAGE_TYPE);
    await writeFile(join(profile, "config/install/field.field.node.page.body.yml"), BODY);
  },

  renew: (docroot, failing) =>
    writeFile(join(docroot, plant8.module, "plant.install"), `<?php\nfunction plant_update_8001() {\n}\n${updates8(failing)}`),

  async move(docroot) {
    const profile = join(docroot, "profiles/acme2");
    await rename(join(docroot, "profiles/acme"), profile);
    await rename(join(profile, "acme.profile"), join(profile, "acme2.profile"));
    await writeFile(join(profile, "acme2.info.yml"), `${profile8("Acme 2")}old_short_name: acme\n`);
    await writeFile(join(profile, "acme2.install"), "<?php\nfunction acme2_update_8001() {\n}\n");
    await mkdir(join(profile, "modules"));
    await rename(join(docroot, this.module), join(profile, "modules/plant"));
    await rm(join(profile, "acme.info.yml"));
    return "profiles/acme2/modules/plant";
  },

  async people(sql) {
    for (const [uid, name] of [
      [7, "user8"],
      [8, "Jane Doe"],
    ] as const) {
      await sql(
        `INSERT INTO users_field_data (uid, langcode, name, pass, mail, init, status, login, created, access, default_langcode) VALUES (${uid}, 'en', '${name}', 'secret', 'j${uid}@example.com', 'j${uid}@example.com', 1, 0, 1, 0, 1)`,
      );
    }
    // Core makes it when somebody first logs in.
    await sql(
      "CREATE TABLE IF NOT EXISTS sessions (uid INT NOT NULL, sid VARCHAR(128) NOT NULL PRIMARY KEY, hostname VARCHAR(128) NOT NULL DEFAULT '', timestamp INT NOT NULL DEFAULT 0, session BLOB)",
    );
    await sql("INSERT INTO sessions (uid, sid) VALUES (7, 's')");
    await sql(`INSERT INTO key_value (collection, name, value) VALUES ('state', 'plant_api_key', 's:3:"key";')`);
    await sql(
      `INSERT INTO config (collection, name, data) VALUES ('', 'plant.shop', 'a:2:{s:4:"name";s:1:"x";s:10:"api_secret";s:3:"key";}')`,
    );
  },

  breakCron: (docroot, module) => writeFile(join(docroot, module, "cron-throws"), ""),
};
