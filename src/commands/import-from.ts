import { resolve } from "node:path";
import { quoted } from "../context/names.js";
import { ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import type { Host } from "../host/host.js";
import { importRemote, sourceWord } from "../operations/import-remote.js";
import type { SourceTarget } from "../operations/parts/fetch-site.js";
import { fittingPlatform } from "../operations/parts/fitting-platform.js";
import { type ForeignSite, foreignHub, foreignSites, type HubPlace, measured, reasonOf } from "../operations/parts/foreign-hub.js";
import type { Services } from "../operations/services.js";
import type { Invocation } from "./definition.js";
import { columns, contextName, oneOfMany, openHub, operate } from "./hub.js";
import { reference } from "./selection.js";

const PLACE = /^(?:([A-Za-z_][A-Za-z0-9._-]{0,63})@)?([A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?$/;
const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}$/;

/** `provision import --from`: lists the sites of a hub on another machine, or copies some of them. */
export async function importFrom(invocation: Invocation): Promise<void> {
  const { options, session } = invocation;
  const text = (key: string) => (options[key] === undefined ? undefined : String(options[key]));
  const words = [...new Set(invocation.arguments)].map(contextName);
  const all = options["all"] === true;
  for (const key of ["uri", "directory"])
    if (options[key] !== undefined)
      throw new ProvisionError("USAGE", `--${key} does not go with --from: a site is imported under its own name`);
  if (all && words.length > 0) throw new ProvisionError("USAGE", "--all is every site; name some of them, or say --all");
  const path = text("hubPath");
  if (path !== undefined && !path.startsWith("/")) throw new ProvisionError("USAGE", `--hub-path=${quoted(path)} is not absolute`);
  const from = targetOf(text("from") ?? "", text("sshIdentity"), text("sshHostKey"));
  const use = await openHub(session);
  const platform = await reference(use, "platform", options["platform"]);
  const dbServer = await reference(use, "server", options["dbServer"]);
  const host = use.source(from);
  const hub = await foreignHub(host, {
    ...(path === undefined ? {} : { path: path.replace(/(.)\/+$/, "$1") }),
    ...(options["aegir"] === true ? { kind: "aegir" as const } : {}),
  });
  const sites = await foreignSites(host, hub);
  if (options["list"] === true || (words.length === 0 && !all)) {
    await listed(invocation, host, hub, from, words.length === 0 ? sites : words.map((word) => siteNamed(word, sites, host, hub)));
    return;
  }
  if (all || words.length > 1) session.severalTargets();
  for (const name of all ? sites.filter(({ state }) => state !== "not installed").map((site) => site.name) : words) {
    const one = async () => {
      const there = siteNamed(name, sites, host, hub);
      const again = `provision import --from ${from.name}${path === undefined ? "" : ` --hub-path ${path}`} ${name}`;
      const args = await argsOf({ host, hub, from, there, again }, platform, use);
      await operate(invocation, use, "import", name, importRemote, { ...args, dbServer });
    };
    if (all || words.length > 1) await oneOfMany(session, "import", name, one);
    else await one();
  }
}

/** A machine as the command line says it: all else is what OpenSSH would do. Rejects with USAGE. */
function targetOf(place: string, identity: string | undefined, hostKey: string | undefined): SourceTarget {
  const [, user, host = "", port] = PLACE.exec(place) ?? [];
  if (host === "" || Number(port ?? 22) > 65_535 || Number(port ?? 22) === 0)
    throw new ProvisionError("USAGE", `--from=${quoted(place)} is not a machine`, {
      next: ["provision import --from aegir@old.example.com", "provision import --from aegir@old.example.com:2222"],
    });
  if (hostKey !== undefined && !FINGERPRINT.test(hostKey))
    throw new ProvisionError("USAGE", `--ssh-host-key=${quoted(hostKey)} is not a fingerprint as ssh-keygen -l prints it: SHA256:…`);
  return {
    name: place,
    host: host.replace(/^\[|\]$/g, ""),
    user,
    ...(port === undefined ? {} : { port: Number(port) }),
    ...(identity === undefined ? {} : { identity: resolve(identity) }),
    ...(hostKey === undefined ? {} : { hostKey }),
    accept: `provision import --from ${place} --ssh-host-key=`,
  };
}

function siteNamed(name: string, sites: readonly ForeignSite[], host: Host, hub: HubPlace): ForeignSite {
  const found = sites.find((site) => site.name === name || `@${site.uri}` === name);
  if (found) return found;
  throw new ProvisionError("CONTEXT_NOT_FOUND", `${host.name}: there is no site ${name} in ${hub.root}`, {
    why:
      sites.length === 0
        ? []
        : [
            `there is: ${sites
              .slice(0, 10)
              .map((site) => site.name)
              .join(", ")}${sites.length > 10 ? " …" : ""}`,
          ],
    state: "nothing was changed",
    next: [`provision import --from ${host.name} --list`],
  });
}

/** Sizes and platform, which are asked for once: what was imported already needs neither. */
async function argsOf(
  {
    host,
    hub,
    from,
    there,
    again,
  }: { readonly host: Host; readonly hub: HubPlace; readonly from: SourceTarget; readonly there: ForeignSite; readonly again: string },
  asked: string | undefined,
  use: Services,
) {
  const saved = await use.store.read(there.name);
  const known = saved?.context_type === "site" && saved.generation !== undefined;
  if (known) {
    if (saved.imported_from !== sourceWord({ from, hub, there }))
      throw new ProvisionError("NAME_TAKEN", `${there.name} is an installed site already`, {
        why: [saved.imported_from === undefined ? "it was not imported" : `it was imported from ${saved.imported_from}`],
        state: "nothing was changed",
        next: [`provision migrate ${there.name} ${saved.platform} @other.example.com    # gives the site that is here another name`],
      });
    return { from, hub, there, again, platform: saved.platform, bytes: { files: 0, database: 0 } };
  }
  if (there.problem !== null)
    throw new ProvisionError(
      there.state === "not installed" ? "NOT_INSTALLED" : "REFUSED",
      `${host.name}: ${there.name} cannot be imported: ${there.problem}`,
      {
        state: "nothing was changed",
      },
    );
  const platform =
    asked ?? (saved?.context_type === "site" ? saved.platform : undefined) ?? (await fittingPlatform(use, host, hub, there, again));
  return { from, hub, there, again, platform, bytes: await measured(host, hub, there) };
}

async function listed(invocation: Invocation, host: Host, hub: HubPlace, from: SourceTarget, sites: readonly ForeignSite[]): Promise<void> {
  const all = await Promise.all(
    sites.map(async (site) => {
      const size = site.problem ?? (await measured(host, hub, site).catch((error: unknown) => reasonOf(error)));
      const [bytes, problem] = typeof size === "string" ? [null, size] : [size, null];
      const { name, uri, platform, engine, core, database, state } = site;
      return { name, uri, platform, engine, core, database, state, bytes, problem } satisfies Json;
    }),
  );
  const rows = all.map(({ name, engine, core, platform, database, state, bytes, problem }) => [
    ...[name, engine === null ? "?" : `${engine} ${core}`, platform === "" ? "?" : platform, database ?? "?"],
    ...[bytes === null ? "?" : mebibytes(bytes.files + bytes.database), problem === null ? state : `${state}; ${problem}`],
  ]);
  await invocation.session.answer(
    { command: "import", target: undefined },
    { from: from.name, kind: hub.kind, hub: hub.root, sites: all },
    rows.length === 0 ? [`${hub.root} has no sites`] : columns(rows),
  );
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}
