import { siteName } from "../context/names.js";
import { ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import type { DamagedBackup, StoredBackup } from "../operations/parts/stored-backups.js";
import type { Services } from "../operations/services.js";
import type { Action, CommandDefinition, Invocation } from "./definition.js";

export const backups: CommandDefinition = {
  name: "backups",
  group: "backups",
  summary: "list, verify, prune, delete or export backups",
  description:
    "list: backups of all sites, also of those that were deleted, newest first. verify: size and sha256 of every part; --restore also restores each into a scratch database and directory, boots the site, fetches its front page, compares the rows of its tables, and takes all of it away again; exit 6 when a backup is not as it was. prune: removes what the retention of provision.yml does not keep, and says why each of the others stays; the newest of a site always does; generations that migrate and restore kept go when their time (keep_old) is over. delete: the backups named. export: one tar file of a backup, which `deploy` takes. A backup is named by its id or the end of it, a site by @name, also after it was deleted.",
  arguments: [
    { name: "[verb]", description: "list, verify, prune, delete or export" },
    { name: "[names...]", description: "@site, or ids of backups; export: an id and a file" },
  ],
  options: [
    { flags: "--all", description: "verify, prune: of every site" },
    { flags: "--restore", description: "verify: restore into a scratch database and directory, and look" },
  ],
  examples: [
    { line: "provision backups list @example.com", says: "what there is" },
    { line: "provision backups verify --all", says: "every hash" },
    { line: "provision backups prune --all --dry-run", says: "what would go, and why the others stay" },
    { line: "provision backups export 7f3a example.tar", says: "one file, for provision deploy" },
  ],
  load: async () => ({ run }),
};

const VERBS = ["list", "verify", "prune", "delete", "export"] as const;

const run: Action = async (invocation) => {
  const { openHub } = await import("./hub.js");
  const words = invocation.arguments;
  const verb = VERBS.find((each) => each === (words[0] ?? "list"));
  if (!verb)
    throw new ProvisionError("USAGE", `backups has no ${JSON.stringify(words[0])}`, { next: [`provision backups ${VERBS.join("|")}`] });
  const use = await openHub(invocation.session);
  const names = words.slice(1);
  if (verb === "list") return list(invocation, use, names);
  if (verb === "verify") return verify(invocation, use, names);
  if (verb === "prune") return prune(invocation, use, names);
  return verb === "delete" ? remove(invocation, use, names) : exported(invocation, use, names);
};

/** What a list says of a backup. */
function brief(one: StoredBackup | DamagedBackup): { readonly [key: string]: Json } {
  const { id, of, directory, manifest } = one;
  if (manifest === undefined)
    return { backup: id, site: null, directory: of, path: directory, problem: [one.problem.message, ...one.problem.why].join(": ") };
  return {
    backup: id,
    site: manifest.site,
    uri: manifest.uri,
    path: directory,
    begun: manifest.begun,
    reason: manifest.reason,
    description: manifest.description,
    full: manifest.full,
    core: `${manifest.engine} ${manifest.core}`,
    database: manifest.database.type,
    bytes: one.bytes,
  };
}

async function list({ session }: Invocation, use: Services, names: readonly string[]): Promise<void> {
  const { columns } = await import("./hub.js");
  const found = (await directories(use, names, true)).map(async (of) => (await stored()).backupsOf(use, of));
  const all = (await Promise.all(found)).flat();
  const rows = all.map((one) => {
    if (one.manifest === undefined) return [one.id, one.of, "damaged", "", "", one.problem.message];
    const { manifest } = one;
    return [one.id, manifest.site, size(one.bytes), `${manifest.engine} ${manifest.core}`, manifest.reason, manifest.description ?? ""];
  });
  await session.answer(
    { command: "backups", target: names.length === 1 ? names[0] : undefined },
    { backups: all.map(brief) },
    columns(rows),
  );
}

async function stored() {
  return import("../operations/parts/stored-backups.js");
}

/** Directories below backups/ of the sites that are named; of all when none is and that may be meant. */
async function directories(use: Services, names: readonly string[], all: boolean): Promise<readonly string[]> {
  const { contextName } = await import("./hub.js");
  const { directoryOf, sitesWithBackups } = await stored();
  if (names.length > 0) return Promise.all([...new Set(names)].map((name) => directoryOf(use, contextName(name))));
  if (all) return sitesWithBackups(use);
  throw new ProvisionError("USAGE", "a site or --all is needed", {
    next: ["provision backups list", "provision backups prune @example.com"],
  });
}

/** Backups by id, all of sites by name, all with --all. */
async function meant({ options }: Invocation, use: Services, names: readonly string[]): Promise<readonly (StoredBackup | DamagedBackup)[]> {
  const { backupNamed, backupsOf } = await stored();
  const ids = names.filter((name) => !name.startsWith("@"));
  const sites = names.filter((name) => name.startsWith("@"));
  if (names.length === 0 && options["all"] !== true)
    throw new ProvisionError("USAGE", "a backup, a site or --all is needed", {
      next: ["provision backups list", "provision backups verify --all"],
    });
  const found: (StoredBackup | DamagedBackup)[] = [];
  for (const of of names.length === 0 || sites.length > 0 ? await directories(use, sites, true) : [])
    found.push(...(await backupsOf(use, of)));
  for (const id of ids) found.push(await backupNamed(use, id));
  return found;
}

async function verify(invocation: Invocation, use: Services, names: readonly string[]): Promise<void> {
  const { session, options } = invocation;
  const { partProblems } = await stored();
  const found = await meant(invocation, use, names);
  await session.subject({ command: "backups", target: names.length === 1 ? names[0] : undefined }, async (emit) => {
    const begun = Date.now();
    const checked: { backup: string; site: string; damaged: boolean; problems: readonly string[]; restored?: Proof }[] = [];
    for (const one of found) {
      if (session.stop.reason)
        throw new ProvisionError("STOPPED", `stopped by ${session.stop.reason.label}, ${checked.length} of ${found.length} verified`);
      const parts = one.manifest === undefined ? [one.problem.message, ...one.problem.why] : await partProblems(use.local, one);
      const { problems = parts, restored } =
        parts.length === 0 && options["restore"] === true ? await drilled(invocation, use, one.directory) : {};
      checked.push({
        backup: one.id,
        site: one.manifest?.site ?? one.of,
        damaged: parts.length > 0,
        problems,
        ...(restored === undefined ? {} : { restored }),
      });
    }
    const bad = checked.filter(({ problems }) => problems.length > 0);
    emit({ type: "data", data: { backups: checked.map((one) => ({ ...one })) } });
    emit({
      type: "text",
      lines: checked.map(({ backup, site, damaged, problems, restored }) => {
        const verdict = damaged ? "DAMAGED" : problems.length > 0 ? "FAILED " : "ok     ";
        const proof = restored === undefined ? "" : `  restored: ${restored.tables} tables with their rows, GET / ${restored.front_page}`;
        return `${verdict}  ${backup}  ${site}${proof}`;
      }),
    });
    if (bad.length > 0) {
      const error = new ProvisionError("PROBLEMS_FOUND", `${bad.length} of ${checked.length} backups cannot be relied on`, {
        why: bad.flatMap(({ backup, problems }) => problems.map((problem) => `${backup}: ${problem}`)),
        state: "nothing was changed",
        // What could not be restored may be as it was: a machine may be away, a platform gone.
        next: bad.map(({ backup, damaged }) =>
          damaged ? `provision backups delete ${backup} --yes` : `provision backups verify ${backup} --restore    # once that is mended`,
        ),
      });
      emit({ type: "failed", error, outcome: "failed", exit: error.exit });
    }
    emit({ type: "ended", ms: Date.now() - begun });
  });
}

/** How many tables had their rows, and what the front page answered. */
type Proof = { readonly tables: number; readonly front_page: number };

interface Drill {
  /** What went wrong when a site was made of it; empty: nothing. */
  readonly problems: readonly string[];
  readonly restored?: Proof;
}

async function drilled({ session }: Invocation, use: Services, directory: string): Promise<Drill> {
  const { drillBackup } = await import("../operations/drill-backup.js");
  const { run: perform } = await import("../operations/run.js");
  const { stop, version, common } = session;
  const problems: string[] = [];
  let seen: { readonly [key: string]: Json } = {};
  await perform(
    drillBackup,
    { directory },
    {
      use,
      stop,
      version,
      target: undefined,
      dryRun: common.dryRun,
      keepFailed: false,
      lockWait: common.lockWait,
      emit: (event) => {
        if (event.type === "failed") problems.push(`it cannot be restored: ${event.error.message}`, ...event.error.why);
        if (event.type === "data") seen = event.data;
      },
    },
  );
  const { tables, front_page } = seen;
  return {
    problems,
    ...(typeof tables === "number" && typeof front_page === "number" ? { restored: { tables, front_page } } : {}),
  };
}

async function prune(invocation: Invocation, use: Services, names: readonly string[]): Promise<void> {
  const { confirmed, operate } = await import("./hub.js");
  const { backupsOf } = await stored();
  const { retained } = await import("../operations/parts/retention.js");
  const { removeBackups } = await import("../operations/remove-backups.js");
  const { session } = invocation;
  const sites = await directories(use, names, invocation.options["all"] === true);
  await confirmed(
    session,
    `Remove the backups of ${sites.length === 1 ? sites[0] : `${sites.length} sites`} that retention does not keep?`,
  );
  const { duePruned, pruneDue } = await import("./prune-generations.js");
  const generations = await duePruned(use, invocation.options["all"] === true ? undefined : names);
  if (sites.length + generations.length > 1) session.severalTargets();
  for (const of of sites) {
    const all = (await backupsOf(use, of)).flatMap((one) =>
      one.manifest === undefined ? [] : [{ id: one.id, begun: one.manifest.begun }],
    );
    const kept = retained(all, use.settings.retention);
    const remove = Object.fromEntries(all.filter(({ id }) => !kept.has(id)).map(({ id, begun }) => [id, `of ${begun.slice(0, 10)}`]));
    await operate(invocation, use, "backups", `@${of}`, removeBackups, { of, remove }, async (emit) => {
      emit({ type: "data", data: { keep: [...kept].map(([id, why]) => ({ backup: id, why })), remove: Object.keys(remove) } });
      emit({ type: "text", lines: [...kept].map(([id, why]) => `keep ${id}  ${why.join(", ")}`) });
    });
  }
  await pruneDue(invocation, use, generations);
}

async function remove(invocation: Invocation, use: Services, names: readonly string[]): Promise<void> {
  const { confirmed, operate } = await import("./hub.js");
  const { backupNamed } = await stored();
  const { removeBackups } = await import("../operations/remove-backups.js");
  const words = names.flatMap((name) => name.split(",")).filter((word) => word !== "");
  if (words.length === 0)
    throw new ProvisionError("USAGE", "backups delete needs the id of a backup", { next: ["provision backups list"] });
  const bad = words.find((word) => /[/@]/.test(word));
  if (bad !== undefined)
    throw new ProvisionError("USAGE", `${JSON.stringify(bad)} is not the id of a backup`, { next: ["provision backups list"] });
  const found = [];
  for (const word of words) found.push(await backupNamed(use, word));
  await confirmed(invocation.session, `Remove ${found.length === 1 ? `the backup ${found[0]?.id}` : `${found.length} backups`}?`);
  const sites = [...new Set(found.map(({ of }) => of))];
  if (sites.length > 1) invocation.session.severalTargets();
  for (const of of sites) {
    const ids = found.filter((one) => one.of === of).map(({ id }) => id);
    await operate(invocation, use, "backups", `@${of}`, removeBackups, {
      of,
      remove: Object.fromEntries(ids.map((id) => [id, "as asked"])),
    });
  }
}

async function exported({ session }: Invocation, use: Services, [word, file, ...more]: readonly string[]): Promise<void> {
  if (word === undefined || more.length > 0)
    throw new ProvisionError("USAGE", "backups export takes the id of a backup and a file", {
      next: ["provision backups export 7f3a example.tar"],
    });
  const { backupNamed } = await stored();
  const { exportBackup } = await import("../operations/export-backup.js");
  const one = await backupNamed(use, word);
  const path = file ?? `${siteName(one.manifest.uri)}-${one.id}.tar`;
  await session.subject({ command: "backups", target: word }, (emit) =>
    exportBackup(use, { backup: one, path, dryRun: session.common.dryRun, replace: session.common.yes }, emit),
  );
}

function size(bytes: number): string {
  return bytes < 1024 ** 2 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}
