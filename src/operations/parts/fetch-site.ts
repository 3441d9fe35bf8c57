import { join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { Json } from "../../core/json.js";
import type { Run, Step } from "../../core/step.js";
import type { Host } from "../../host/host.js";
import type { SshTarget } from "../../host/ssh-settings.js";
import { fetchDatabase } from "../../services/db/source.js";
import { examine, packing, received } from "../../steps/archive.js";
import type { Services } from "../services.js";
import { type ForeignSite, foreignDatabase, type HubPlace } from "./foreign-hub.js";
import { FILES_PART, SITE_PART } from "./manifest.js";
import { refuseFullDisk } from "./preflight.js";
import { configurationIn, MAX_ENTRIES, SLACK, type Unpacking } from "./unpack.js";

/** Where a site is fetched from. JSON. */
export interface Fetching {
  readonly from: SourceTarget;
  readonly hub: HubPlace;
  readonly there: ForeignSite;
  /** Bytes of it there, as they were measured. */
  readonly bytes: { readonly files: number; readonly database: number };
  /** Directory of the parts here, absolute. */
  readonly parts: string;
}

/** How the machine is reached; what is not said comes from ~/.ssh/config. */
export type SourceTarget = Pick<SshTarget, "name" | "host" | "user" | "port" | "identity" | "hostKey" | "accept">;

const FETCHED = "fetch/directory";

/** The link may be slow; the disks are here. Rejects with DISK_FULL. */
export async function refuseNoPlace({ bytes: { files, database } }: Fetching, use: Services): Promise<void> {
  // The parts are compressed; the database comes as text, which is smaller than what the server keeps.
  await refuseFullDisk(use.local, use.layout.state, files + database + SLACK);
}

/**
 * Database, files and code of a site of another hub, as the parts of a backup; the first is one snapshot, the others come after it. On that machine only
 * programs that read are run. Nothing of it is believed: what is to be unpacked is examined as a foreign archive is.
 */
export function fetchSteps(fetching: Fetching, inputs: Unpacking, use: Services): readonly Step[] {
  const { from, hub, there, parts } = fetching;
  const source = use.source(from);
  const engine = use.engine(inputs.core.engine);
  const site = join(there.docroot, "sites", there.directory);
  const room = async () => Math.max(0, (await use.local.freeSpace(parts)) - SLACK);
  const step = (id: string, title: string, to: string, action: (to: string, run: Run) => Promise<Json>): Step => ({
    id,
    title,
    undoneBy: FETCHED,
    check: async () => ({ changes: [`write ${join(parts, to)}`] }),
    apply: (run) => action(join(parts, to), run),
  });
  const tree = async (run: Run, what: Parameters<typeof packing>[1], to: string) => {
    const { argv, options, told } = await packing(source, what);
    const written = await received(source, argv, to, { ...options, most: await room() }, use.local).catch((error: unknown) => {
      throw unreadable(error, source);
    });
    const { vanished, changed } = told();
    for (const [words, list] of [
      ["went while they were read, and did not come along", vanished],
      ["were written to while they were read", changed],
    ] as const)
      if (list.length > 0) run.warn(`${list.length} files ${words}: ${list.slice(0, 5).join(", ")}${list.length > 5 ? " …" : ""}`);
    return { ...written };
  };
  return [
    {
      id: FETCHED,
      title: `Directory for what comes from ${from.name}`,
      async check() {
        const all = join(parts, "..");
        const undo = { do: "remove_tree", host: use.local.name, path: parts };
        const above = (await use.local.stat(all)) ? [] : [{ do: "remove_directory", host: use.local.name, path: all }];
        return { changes: [`create ${parts}/`], undo: [...above, undo] };
      },
      async apply() {
        await use.local.mkdir(join(parts, ".."), { mode: 0o700 });
        await use.local.mkdir(parts, { mode: 0o700 });
        return null;
      },
    },
    step("fetch/database", `Fetch the database of ${there.name} from ${from.name}`, dumpPart(there), async (to) => {
      const setup = { layout: use.layout, server: inputs.dbServer, host: source, hub: use.local, secrets: use.secrets };
      const options = { structureOnly: engine.tables.structureOnly, most: await room() };
      return { ...(await fetchDatabase(source, await foreignDatabase(source, hub, there), to, options, setup)) };
    }),
    step("fetch/files", `Fetch the files of ${there.name}`, FILES_PART, async (to, run) => {
      const found = hub.kind === "aegir" ? await aegirMembers(source, there, engine.configDirectories) : await ourMembers(source, there);
      const exclude = engine.generatedFiles.flatMap((name) => [`files/${name}`, `files/./${name}`]);
      return tree(run, { directory: there.data, exclude, ...found }, to);
    }),
    step("fetch/code", `Fetch the own code of ${there.name}`, SITE_PART, async (to, run) => {
      const members = ((await source.list(site)) ?? []).filter((name) => !NOT_CODE.includes(name) && !name.startsWith("-"));
      return tree(run, { directory: site, members, exclude: [] }, to);
    }),
    {
      id: "fetch/examine",
      title: "Look at every member of what came",
      undoneBy: FETCHED,
      check: async () => ({ changes: ["look for paths and links that lead elsewhere"] }),
      async apply() {
        const host = use.host(inputs.server);
        const place = use.layoutOf(inputs.server).sites;
        const limits = { entries: MAX_ENTRIES, bytes: await host.freeSpace(place), links: "inside" } as const;
        let bytes = 0;
        for (const part of [FILES_PART, SITE_PART]) bytes += (await examine(use.local, join(parts, part), limits)).bytes;
        await refuseFullDisk(host, place, bytes + SLACK);
        return { bytes };
      },
    },
  ];
}

/** File name of its dump. */
export function dumpPart({ database }: Pick<ForeignSite, "database">): string {
  return database === "sqlite" ? "database.sqlite.zst" : "database.sql.zst";
}

/** What a hub writes itself, with credentials in it, and what is taken as files. */
const NOT_CODE = ["settings.php", "files", "private", "drushrc.php", "local.drushrc.php", "database.sql"];

async function ourMembers(source: Host, { data }: ForeignSite) {
  const members: string[] = [];
  for (const name of ["files", "private", "config"])
    members.push((await source.stat(join(data, name)))?.type === "link" ? `${name}/.` : name);
  return { members };
}

/** Aegir has them in the site's directory, private files below private/. */
async function aegirMembers(source: Host, { data }: ForeignSite, names: readonly string[]) {
  const renamed: { from: string; to: string }[] = [];
  const members: string[] = [];
  for (const { name, from } of await configurationIn(source, data, names)) {
    // A name that nobody guesses comes from there, too.
    if (!/^[A-Za-z0-9_./-]+$/.test(from)) continue;
    renamed.push({ from, to: `config/${name}` });
    if (!from.startsWith("files/")) members.push(from);
  }
  for (const [from, to] of [
    ["files", "files"],
    ["private/files", "private"],
  ] as const) {
    const linked = (await source.stat(join(data, from)))?.type === "link";
    members.push(linked ? `${from}/.` : from);
    if (from !== to) renamed.push({ from, to });
  }
  return { members, renamed };
}

/** What tar could not read, in words of its own. */
function unreadable(error: unknown, { name }: Host): unknown {
  if (!(error instanceof ProvisionError) || error.code !== "COMMAND_FAILED") return error;
  const denied = error.why.filter((line) => /Permission denied/.test(line));
  if (denied.length === 0) return error;
  return new ProvisionError("PERMISSION_DENIED", `${name}: not all of its files can be read by this account`, {
    why: denied,
    cause: error,
  });
}
