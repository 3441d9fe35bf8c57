import { readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf, ProvisionError } from "../../core/errors.js";
import type { Json } from "../../core/json.js";
import { PACKAGE_ROOT } from "../../core/package-root.js";
import type { Step, Undo } from "../../core/step.js";
import { together } from "../../core/together.js";
import { type Host, isAway } from "../../host/host.js";
import type { Counts, DatabaseOf } from "../../services/db/service.js";
import { writeDump } from "../../services/db/transfer.js";
import { beforeWriting, type Packed, pack, synced, type Written } from "../../steps/archive.js";
import type { Services } from "../services.js";
import { codePlace } from "./code-place.js";
import { databaseAmongFiles, inSiteDirectory } from "./in-place.js";
import { FILES_PART, MANIFEST, type Manifest, manifestText, SITE_PART } from "./manifest.js";
import { currentBuild, readRecord } from "./platform-code.js";
import { databaseOf, type SiteInputs, siteCode } from "./site.js";
import { toldInventory } from "./told-inventory.js";

/** What is decided of a backup before its steps. */
export interface BackupInputs {
  /** The operation's id, which is the backup's too. */
  readonly id: string;
  /** Where it stands once it is complete. */
  readonly directory: string;
  /** Where it is made: complete or absent. */
  readonly partial: string;
  readonly full: boolean;
  readonly description: string | null;
  /** Command that makes it. */
  readonly reason: string;
  readonly begun: string;
}

export interface BackupOptions {
  /** Rows of caches and sessions, and generated files, too. */
  readonly full?: boolean;
  readonly description?: string;
}

export function backupInputs(
  { layout }: Pick<Services, "layout">,
  uri: string,
  id: string,
  reason: string,
  { full = false, description }: BackupOptions = {},
): BackupInputs {
  const all = layout.siteBackups(uri);
  return {
    id,
    directory: join(all, id),
    partial: join(all, `.${id}.partial`),
    full,
    description: description ?? null,
    reason,
    begun: new Date().toISOString(),
  };
}

const PARTIAL = "backup/directory";
const DATABASE = "backup/database";

/** Parts of the site's generation that are its data; tmp/ is not, and a SQLite database is dumped. */
const MEMBERS = ["files", "private", "config"];
/** What provision writes itself, with credentials in it, and what Aegir wrote. */
const NOT_THE_SITES_OWN = ["settings.php", "files", "drushrc.php"];

/** How much smaller a database gets by being dumped without indexes and compressed, carefully. */
const DUMP_RATIO = 3;
const SLACK = 32 * 1024 * 1024;

/**
 * Rejects with DISK_FULL when the backup would not fit, with REFUSED when the site's database is not there: asked once, before anything is made.
 */
export async function refuseNoRoom(inputs: SiteInputs, use: Services): Promise<void> {
  const host = use.host(inputs.server);
  const db = use.db(inputs.dbServer);
  const database = databaseOf(inputs, use, inputs.dbServer);
  const trees = [...MEMBERS.map((name) => `${inputs.paths.root}/${name}/`), `${inputs.siteDirectory}/`];
  const [exists, size, { stdout }] = await together(
    db.exists(database),
    db.size(database),
    host.run(["du", "-s", "-c", "--block-size=1", "--apparent-size", "--", ...trees], { anyExit: true }),
  );
  if (!exists)
    throw new ProvisionError("NOT_INSTALLED", `the database of ${inputs.site.name} is gone`, {
      state: `its files are in ${inputs.paths.root}`,
      next: [`provision delete ${inputs.site.name} --no-backup --yes    # takes away what is left`],
    });
  const files = Number(stdout.trim().split("\n").at(-1)?.split("\t")[0] ?? 0);
  const need = Math.ceil(size / DUMP_RATIO) + files + SLACK;
  const free = await use.local.freeSpace(use.layout.backups);
  if (free >= need) return;
  throw new ProvisionError(
    "DISK_FULL",
    `${use.local.name}: ${use.layout.backups} has ${mebibytes(free)} MiB free; a backup of ${inputs.site.name} needs about ${mebibytes(need)} MiB`,
    {
      state: "nothing was changed",
      next: ["provision backups list", "provision backups prune --all --yes"],
    },
  );
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / 1024 ** 2);
}

/**
 * One backup of a site as it is now, while it goes on: database in one snapshot, then its files, then its own code; last, in one rename, the
 * whole of it. That step is kept by a roll-back of what comes after it; before it, nothing of the backup stays. `meanwhile`: what else is done at the
 * same time.
 */
export function backupSteps(inputs: SiteInputs, backup: BackupInputs, use: Services, meanwhile: readonly Step[] = []): readonly Step[] {
  const { site, paths, server } = inputs;
  const host = use.host(server);
  const { partial } = backup;
  const snapshot = new Snapshot();
  const dump = dumpStep(inputs, backup, use, snapshot);
  const files = packStep("backup/files", `Pack the files of ${site.uri}`, join(partial, FILES_PART), async (to) => {
    // The database may name no file that came later.
    await snapshot.taken;
    const members = await dereferenced(inputs, use);
    return pack(host, { directory: paths.root, members, exclude: excluded(inputs, backup, use) }, to, use.local);
  });
  const code = packStep("backup/site", `Pack the site's own code`, join(partial, SITE_PART), async (to) => {
    await snapshot.taken;
    const members = ((await host.list(inputs.siteDirectory)) ?? []).filter((name) => !NOT_THE_SITES_OWN.includes(name));
    return pack(host, { directory: inputs.siteDirectory, members, exclude: inSiteDirectory(inputs) }, to, use.local);
  });
  const others = meanwhile.map((step) => ({ ...step, alongside: dump.id }));
  return [partialStep(inputs, backup, use), dump, files, code, ...others, completeStep(inputs, backup, use, { dump, files, code })];
}

function partialStep({ site }: SiteInputs, { partial }: BackupInputs, use: Services): Step {
  const all = use.layout.siteBackups(site.uri);
  return {
    id: PARTIAL,
    title: `Directory for a backup of ${site.uri}`,
    async check() {
      const undo = { do: "remove_tree", host: use.local.name, path: partial };
      const made: Undo[] = [];
      for (const path of [use.layout.backups, all])
        if (!(await use.local.stat(path))) made.push({ do: "remove_directory", host: use.local.name, path });
      return { changes: [`create ${partial}/`], undo: [...made, undo] };
    },
    async apply() {
      await use.local.mkdir(use.layout.backups, { mode: 0o700 });
      await use.local.mkdir(all, { mode: 0o700 });
      await use.local.mkdir(partial, { mode: 0o700 });
      return null;
    },
  };
}

type Enabled = NonNullable<Manifest["extensions"]>;

interface Dumped extends Written {
  readonly structureOnly: readonly string[];
  readonly rows: Readonly<Record<string, readonly [number, number]>>;
  readonly extensions: Enabled | null;
  /** Why there are none. */
  readonly unknown: string | null;
}

/** The moment that a dump tells of. A resumed run that has the dump already does not wait for it. */
class Snapshot {
  /** Rejects when there will be none. */
  taken: Promise<void> = Promise.resolve();

  /** Makes the dump; `action` says when the moment has come, which it has at the latest when the dump is made. */
  async of<T>(action: (taken: () => void) => Promise<T>): Promise<T> {
    let settle = (_failure?: ProvisionError) => {};
    this.taken = new Promise((resolve, reject) => {
      settle = (failure) => (failure ? reject(failure) : resolve());
    });
    // Whoever waits hears of it.
    this.taken.catch(() => {});
    try {
      const made = await action(() => settle());
      settle();
      return made;
    } catch (error) {
      // Later than the dump, which is the cause.
      setImmediate(() => settle(new ProvisionError("STOPPED", "not begun, for the database could not be dumped")));
      throw error;
    }
  }
}

function dumpStep(inputs: SiteInputs, { partial, full }: BackupInputs, use: Services, snapshot: Snapshot): Step<Json> {
  const { site, core, dbServer } = inputs;
  const db = use.db(dbServer);
  const database = databaseOf(inputs, use, dbServer);
  return {
    id: DATABASE,
    title: `Dump the database of ${site.uri}`,
    undoneBy: PARTIAL,
    check: async () => ({ changes: [`write ${join(partial, `${db.dumpName}.zst`)}`] }),
    apply: () => snapshot.of(apply),
  };

  async function apply(taken: () => void): Promise<Json> {
    const asked = enabledExtensions(inputs, use);
    beforeWriting(use.local);
    try {
      const tables = await db.tables(database);
      const structureOnly = full ? [] : tables.filter((table) => matches(table, use.engine(core.engine).tables.structureOnly));
      const counted = tables.filter((table) => !structureOnly.includes(table));
      const before = await db.counts(database, counted);
      const to = join(partial, `${db.dumpName}.zst`);
      const options = { structureOnly, onSnapshot: taken };
      const written = await writeDump(use.host(dbServer), db, database, to, options, use.local);
      const after = await rowsAfter(inputs, use, database, before);
      const rows = Object.fromEntries(
        counted.map((table) => [table, [before.rows[table] ?? 0, after.rows[table] ?? before.rows[table] ?? 0] as const]),
      );
      return { ...written, structureOnly, rows, ...(await asked) } satisfies Dumped as unknown as Json;
    } finally {
      // Its PHP would go on, and hold the operation's locks.
      await asked;
    }
  }
}

/** A table that was dropped meanwhile is in the dump all the same. */
async function rowsAfter({ dbServer }: SiteInputs, use: Services, database: DatabaseOf, before: Counts) {
  const db = use.db(dbServer);
  const there = new Set(await db.tables(database));
  return db.counts(
    database,
    Object.keys(before.rows).filter((table) => there.has(table)),
    before,
  );
}

function matches(table: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => (pattern.endsWith("*") ? table.startsWith(pattern.slice(0, -1)) : table === pattern));
}

/** What the site says is enabled. A site that is broken is backed up too: then it says why it does not tell. */
async function enabledExtensions(inputs: SiteInputs, use: Services): Promise<Pick<Dumped, "extensions" | "unknown">> {
  try {
    const known = toldInventory(inputs);
    const { extensions: all } = known ?? (await use.engine(inputs.core.engine).inventory(siteCode(inputs, use))).result;
    const extensions = all
      .filter(({ enabled }) => enabled)
      .map(({ name, type, version, schema }) => ({ name, type, version: version ?? null, schema: schema ?? null }));
    return { extensions, unknown: null };
  } catch (error) {
    if (!(error instanceof ProvisionError) || isAway(error)) throw error;
    return { extensions: null, unknown: [messageOf(error), ...error.why].slice(0, 2).join(": ") };
  }
}

/** A site that was taken over may have its files where they were, behind a link. */
async function dereferenced({ paths, server }: SiteInputs, use: Services): Promise<readonly string[]> {
  const host = use.host(server);
  const members: string[] = [];
  for (const name of MEMBERS) {
    const inside = (await host.list(join(paths.root, name))) ?? [];
    // Configuration may be a directory of links.
    const behind = name === "config" ? await Promise.all(inside.map((one) => behindLink(host, paths.root, `${name}/${one}`))) : [];
    if (behind.some((one) => one.endsWith("/."))) members.push(...behind);
    else members.push(await behindLink(host, paths.root, name));
  }
  return members;
}

async function behindLink(host: Host, root: string, name: string): Promise<string> {
  return (await host.stat(join(root, name)))?.type === "link" ? `${name}/.` : name;
}

function excluded(inputs: SiteInputs, { full }: BackupInputs, use: Services): readonly string[] {
  const generated = full ? [] : use.engine(inputs.core.engine).generatedFiles;
  return [...generated, ...databaseAmongFiles(inputs)].flatMap((name) => [`files/${name}`, `files/./${name}`]);
}

function packStep(id: string, title: string, to: string, action: (to: string) => Promise<Packed>): Step<Json> {
  return {
    id,
    title,
    undoneBy: PARTIAL,
    alongside: DATABASE,
    check: async () => ({ changes: [`write ${to}`] }),
    apply: async () => ({ ...(await action(to)) }),
  };
}

interface Steps {
  readonly dump: Step<Json>;
  readonly files: Step<Json>;
  readonly code: Step<Json>;
}

/** The manifest, the disk, the name: from here on it is a backup, whatever becomes of the operation. */
function completeStep(inputs: SiteInputs, backup: BackupInputs, use: Services, steps: Steps): Step {
  const { partial, directory } = backup;
  return {
    id: "backup/complete",
    title: `Complete the backup ${backup.id}`,
    keep: true,
    check: async () => ({
      changes: [`create ${directory}/`],
      undo: [{ do: "rename_back", host: use.local.name, from: partial, to: directory }],
    }),
    async apply(run) {
      const dump = run.need(steps.dump) as unknown as Dumped;
      const files = run.need(steps.files) as unknown as Packed;
      const code = run.need(steps.code) as unknown as Packed;
      const manifest = await manifestOf(inputs, backup, use, { dump, files, code });
      const names = manifest.parts.map(({ name }) => join(partial, name));
      await use.local.writeFile(join(partial, MANIFEST), manifestText(manifest), { mode: 0o600 });
      await synced(use.local, [...names, partial]);
      await use.local.rename(partial, directory);
      if (manifest.extensions === null)
        run.warn(`the backup is complete, but does not know which extensions are enabled: ${manifest.extensions_unknown}`);
      for (const [what, list] of [
        ["went while they were read, and are not in the backup", manifest.vanished],
        ["were written to while they were read", manifest.changed],
      ] as const)
        if (list.length > 0) run.warn(`${list.length} files ${what}: ${list.slice(0, 5).join(", ")}${list.length > 5 ? " …" : ""}`);
      return {
        backup: backup.id,
        path: directory,
        bytes: manifest.parts.reduce((sum, { bytes }) => sum + bytes, 0),
        parts: manifest.parts,
        vanished: manifest.vanished,
      };
    },
  };
}

/** What the last step of a backup says of it: `data` of the command. */
export function backupData(steps: readonly Step[], out: (of: Step) => Json | undefined): { readonly [key: string]: Json } {
  const complete = steps.find(({ id }) => id === "backup/complete");
  return ((complete && out(complete)) ?? {}) as { readonly [key: string]: Json };
}

async function manifestOf(
  inputs: SiteInputs,
  backup: BackupInputs,
  use: Services,
  { dump, files, code }: { readonly dump: Dumped; readonly files: Packed; readonly code: Packed },
): Promise<Manifest> {
  const { site, platform, core, generation, server, dbServer } = inputs;
  const db = use.db(dbServer);
  const host = use.host(server);
  const build = await currentBuild(host, use.layoutOf(server), codePlace(platform, use.layoutOf(server)));
  const record = build === undefined ? undefined : await readRecord(use, build);
  const part = `${db.dumpName}.zst`;
  return {
    schema: "provision/backup@1",
    id: backup.id,
    uri: site.uri,
    site: site.name,
    reason: backup.reason,
    description: backup.description,
    begun: backup.begun,
    ended: new Date().toISOString(),
    provision: version(),
    full: backup.full,
    engine: core.engine,
    core: core.version,
    generation,
    profile: site.profile,
    root: inputs.paths.root,
    url: use.http(inputs.webServer).url(site.uri, site.ssl !== "off"),
    database: {
      type: db.type,
      part,
      structure_only: [...dump.structureOnly],
      rows: Object.fromEntries(Object.entries(dump.rows).map(([table, [before, after]]) => [table, [before, after]])),
    },
    parts: [
      { name: part, bytes: dump.bytes, sha256: dump.sha256 },
      { name: FILES_PART, bytes: files.bytes, sha256: files.sha256 },
      { name: SITE_PART, bytes: code.bytes, sha256: code.sha256 },
    ],
    vanished: [...files.vanished, ...code.vanished],
    changed: [...files.changed, ...code.changed],
    extensions: dump.extensions,
    extensions_unknown: dump.unknown,
    context: { ...(await use.store.file(site.name))?.values },
    platform: { name: platform.name, ...(await use.store.file(platform.name))?.values },
    build: record === undefined ? null : { ...record },
  };
}

function version(): string {
  return (JSON.parse(readFileSync(join(PACKAGE_ROOT, "package.json"), "utf8")) as { version: string }).version;
}
