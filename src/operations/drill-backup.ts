import { rewrite, type Value } from "../context/edit.js";
import { clientOf, resolvePlatform } from "../context/references.js";
import type { Site } from "../context/schema.js";
import { contextOf } from "../context/validate.js";
import { parseYaml } from "../context/yaml-file.js";
import { ProvisionError } from "../core/errors.js";
import type { Operation, Step } from "../core/step.js";
import { detectCore } from "../engines/index.js";
import { loadStep } from "../services/db/transfer.js";
import { gone } from "../steps/files.js";
import { type Baseline, differences } from "./parts/baseline.js";
import { codeMoved, refuseCore } from "./parts/code-moved.js";
import { ownDirectories, unseenPage } from "./parts/generation.js";
import type { Manifest } from "./parts/manifest.js";
import { originOf } from "./parts/origin.js";
import {
  accountForCommands,
  databaseOf,
  filesLink,
  gateFile,
  hashSalt,
  settingsFile,
  siteBaseline,
  siteCode,
  siteDirectories,
  siteEntries,
  siteInputs,
} from "./parts/site.js";
import { sitesPhpEntries } from "./parts/sites-php.js";
import { backupNamed } from "./parts/stored-backups.js";
import { allExtensions, dumpOf, filesStep, ownCodeStep, refuseUnfit, type Unpacking } from "./parts/unpack.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Inputs extends Unpacking {
  readonly rows: Manifest["database"]["rows"];
  readonly formerProfile: string;
  readonly baseline: Baseline;
}

/**
 * `backups verify --restore`: a site that nobody can reach is made of the backup, started, looked at, and taken away again, whatever comes of it. It has a name,
 * a database and directories of its own, no vhost and no context.
 */
export const drillBackup: Operation<{ readonly directory: string }, Inputs, Services> = {
  name: "drill-backup",
  recovery: "automatic",

  async prepare({ directory }, use, id) {
    const { manifest } = await backupNamed(use, directory);
    const origin = await originOf(use, directory, {});
    const name = `@check-${id.toLowerCase()}`;
    const path = use.layout.contextFile(name);
    const server = manifest.context["db_server"];
    const text = rewrite(
      undefined,
      "site",
      new Map<string, Value>([
        ["uri", `check-${id.toLowerCase()}.localhost`],
        ["platform", String(manifest.platform["name"])],
        ["profile", manifest.profile],
        ...(typeof server === "string" ? [["db_server", server] as const] : []),
      ]),
      path,
    );
    const site = { ...contextOf(parseYaml(path, text), name), generation: id } as Site;
    const all = {
      site,
      ...(await resolvePlatform(use.store, use.settings, site.platform)),
      dbServer: await use.store.need(site.db_server, "server"),
      client: await use.store.need(clientOf(site, use.settings), "client"),
    };
    refuseOtherUser(all.server);
    const host = use.host(all.server);
    const core = await detectCore(host, use.rootOf(all));
    const { type } = use.db(all.dbServer);
    if (type !== manifest.database.type)
      throw new ProvisionError("REFUSED", `it has a database of ${manifest.database.type}, and ${all.dbServer.name} has ${type}`);
    const running = { site: { name: manifest.id, profile: manifest.profile }, core: { engine: manifest.engine, version: manifest.core } };
    const profile = await refuseCore(running, { core, name: all.platform.name, host }, use);
    // Nobody makes a Unix user for it.
    const webServer = { ...all.webServer, php_pool: "shared" as const };
    const inputs = await siteInputs(use, { ...all, webServer, site: { ...site, profile } }, core, id);
    return {
      inputs: {
        ...inputs,
        origin,
        rows: manifest.database.rows,
        formerProfile: manifest.profile,
        baseline: await siteBaseline(inputs, use),
      },
      locks: [
        { kind: "hub", name: "hub", mode: "shared" },
        ...[all.server, all.webServer, all.dbServer].map((one) => ({ kind: "server", name: one.name, mode: "shared" }) as const),
        { kind: "platform", name: all.platform.name, mode: "shared" },
        { kind: "site", name: manifest.site, mode: "shared" },
        { kind: "site", name, mode: "exclusive" },
      ],
    };
  },

  preflight: refuseUnfit,

  steps(inputs, use) {
    const { dbServer, core, origin, formerProfile, site } = inputs;
    const engine = use.engine(core.engine);
    const db = use.db(dbServer);
    const database = databaseOf(inputs, use, dbServer);
    const salt = hashSalt(inputs, use);
    const { rows, boot } = proofs(inputs, use);
    return [
      ownDirectories(inputs, use),
      gateFile(inputs, use),
      ...db.create(database),
      siteDirectories(inputs, use),
      ownCodeStep(inputs, use),
      salt,
      settingsFile(inputs, use, () => db.access(database), salt),
      ...accountForCommands(inputs, use, () => db.access(database)),
      filesLink(inputs, use),
      siteEntries(inputs, use),
      loadStep(use.host(inputs.dbServer), db, database, dumpOf(inputs), origin.own ? undefined : "foreign", use.local),
      rows,
      filesStep(inputs, use),
      ...codeMoved(engine, siteCode(inputs, use), use, { from: formerProfile, to: site.profile }),
      allExtensions(inputs, use),
      boot,
      ...takenAway(inputs, use),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  async data(inputs, run, use) {
    const { rows, boot } = proofs(inputs, use);
    return { tables: run.out(rows)?.tables ?? null, front_page: run.out(boot)?.status ?? null };
  },
};

/** What of it is looked at. */
function proofs(inputs: Inputs, use: Services) {
  return { rows: countedStep(inputs, use), boot: bootStep(inputs, use) };
}

/** Every table is there, and has as many rows as it had while it was dumped. */
function countedStep(inputs: Inputs, use: Services): Step<{ readonly tables: number }> {
  const db = use.db(inputs.dbServer);
  const database = databaseOf(inputs, use, inputs.dbServer);
  return {
    id: "check/rows",
    title: "Tables and their rows",
    undoneBy: "database/create",
    check: async () => ({ changes: [`count the rows of ${Object.keys(inputs.rows).length} tables`] }),
    async apply() {
      const there = new Set(await db.tables(database));
      const wanted = Object.keys(inputs.rows);
      const { rows: counts } = await db.counts(
        database,
        wanted.filter((table) => there.has(table)),
      );
      const wrong = wanted.flatMap((table) => {
        const [before, after] = inputs.rows[table] ?? [0, 0];
        const found = counts[table];
        if (found === undefined) return [`there is no table ${table}`];
        return found >= Math.min(before, after) && found <= Math.max(before, after)
          ? []
          : [`${table} has ${found} rows, and had ${before === after ? before : `${before} to ${after}`}`];
      });
      if (wrong.length > 0) throw new ProvisionError("REFUSED", `${wrong.length} tables are not as they were`, { why: wrong.slice(0, 20) });
      return { tables: wanted.length };
    },
  };
}

function bootStep(inputs: Inputs, use: Services): Step<{ readonly status: number }> {
  return {
    id: "check/boot",
    title: "The site starts, and its front page answers",
    undoneBy: "database/create",
    check: async () => ({ changes: ["fetch the front page on loopback"] }),
    async apply() {
      const { status, body } = await unseenPage(inputs, use, undefined);
      if (status >= 500 || status === 404)
        throw new ProvisionError("PROBE_FAILED", `GET / answered ${status}`, {
          why: [
            body
              .replace(/<[^>]*>/g, " ")
              .replace(/\s+/g, " ")
              .trim()
              .slice(0, 300),
          ],
        });
      return { status };
    },
  };
}

/** It was right: all of it goes. */
function takenAway(inputs: Inputs, use: Services): readonly Step[] {
  const { site, core, server, dbServer, siteDirectory, directory } = inputs;
  const host = use.host(server);
  const at = { host, engine: use.engine(core.engine), docroot: core.docroot, locks: use.operations.locks };
  return [
    ...use.db(dbServer).drop(databaseOf(inputs, use, dbServer)),
    sitesPhpEntries(at, async () => ({ [directory]: null }), { id: "names/remove", title: "Its name out of sites.php", phase: "finish" }),
    gone(host, [siteDirectory, use.layoutOf(server).siteGenerations(site.uri)], {
      id: "files/remove",
      title: "Remove its directories",
      phase: "finish",
    }),
    gone(use.local, [use.layout.secretsFile(site.name)], { id: "secrets/remove", title: "Remove its secrets", phase: "finish" }),
  ];
}
