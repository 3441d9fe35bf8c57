import { dirname } from "node:path";
import { checkContext, refusal, type SiteAndAll } from "../../context/references.js";
import type { Context, Platform, Site } from "../../context/schema.js";
import { ProvisionError } from "../../core/errors.js";
import type { Engine } from "../../engines/engine.js";
import type { Host } from "../../host/host.js";
import type { Services } from "../services.js";

/** What the hub (its `contexts`; all that it has) has against this context: names used twice, a quota, a missing reference. Rejects with INVALID_REFERENCE. */
export async function refuseConflicts(use: Services, context: Context, among?: readonly Context[]): Promise<void> {
  const contexts = among ?? (await use.store.load()).contexts;
  const conflicts = checkContext(context, contexts, use.hub);
  if (conflicts.length > 0) throw await refusal(conflicts, use.store);
}

/** Rejects with REFUSED when the core has no driver for the kind of database that the server has. */
export function refuseForeignDatabase(engine: Engine, { site, dbServer }: Pick<SiteAndAll, "site" | "dbServer">): void {
  const type = dbServer.db_service_type;
  if (engine.databases.some((driver) => driver === type)) return;
  const [first = "mysql"] = engine.databases;
  throw new ProvisionError("REFUSED", `${engine.label} has no driver for the database of ${dbServer.name} (db_service_type: ${type})`, {
    why: [`it can use: ${engine.databases.join(", ")}`],
    state: `nothing was made for ${site.name}`,
    next: [
      `provision save @server_db --remote_host=localhost --db_service_type=${first} --master_db=${first}://…`,
      `provision save ${site.name} --db_server=@server_db`,
    ],
  });
}

/** What a visitor gets now, in one line. */
export async function siteState({ site, webServer }: Pick<SiteAndAll, "site" | "webServer">, use: Services): Promise<string> {
  const saved: Site | undefined = (await use.store.read(site.name)) as Site | undefined;
  if (!saved) return `${site.name} does not exist`;
  if (saved.generation === undefined) return `${site.name} is not installed; its context is kept`;
  const answer = await use.http(webServer).request({ uri: saved.uri, path: "/", tls: saved.ssl === "required" });
  return `${site.name} serves from ${saved.platform}${saved.site_enabled ? "" : ", disabled"} (GET / ${answer.status} in ${answer.ms} ms)`;
}

const MEGABYTE = 1024 * 1024;

/** Rejects with DISK_FULL when less than `need` bytes are free where the path is. */
export async function refuseFullDisk(host: Host, path: string, need: number): Promise<void> {
  const free = await host.freeSpace(path);
  if (free >= need) return;
  throw new ProvisionError(
    "DISK_FULL",
    `${host.name}: ${path} has ${Math.floor(free / MEGABYTE)} MiB free; this needs ${Math.ceil(need / MEGABYTE)} MiB`,
    {
      state: "nothing was changed",
      next: [`df -h ${dirname(path)}    # ${host.name === "local" ? "make" : `on ${host.name}: make`} room`],
    },
  );
}

/** A directory below sites/ that a new site is to have. Rejects with NAME_TAKEN. */
export async function refuseTaken(host: Host, siteDirectory: string): Promise<void> {
  if (!(await host.stat(siteDirectory))) return;
  throw new ProvisionError("NAME_TAKEN", `${host.name}:${siteDirectory} is there already`, {
    why: ["it may hold a site that provision does not know; it is not touched"],
    state: "nothing was changed",
    next: ["move it away, or choose another name"],
  });
}

/** Rejects with SERVICE_UNAVAILABLE when the site's web server could not take it. */
export async function refuseUnwell({ webServer }: Pick<SiteAndAll, "webServer">, use: Services): Promise<void> {
  const problems = (await use.http(webServer).problems()).filter(({ blocks }) => blocks).map(({ message }) => message);
  if (problems.length > 0)
    throw new ProvisionError("SERVICE_UNAVAILABLE", `the web server of ${webServer.name} is not well`, {
      why: problems,
      state: "nothing was changed",
    });
}

/** A locked platform takes no new sites. Rejects with PLATFORM_LOCKED. */
export function refuseLocked({ name, locked }: Platform): void {
  if (locked)
    throw new ProvisionError("PLATFORM_LOCKED", `${name} is locked and takes no new sites`, {
      state: "nothing was changed",
      next: [`provision unlock ${name}`],
    });
}

/** The generation that a site serves from. `next`: how there will be one. Rejects with NOT_INSTALLED. */
export function generationOf({ name, generation }: Site, next = `provision install ${name}`): string {
  if (generation !== undefined) return generation;
  throw new ProvisionError("NOT_INSTALLED", `${name} is not installed`, {
    state: "nothing was changed: it has a context alone",
    next: [next],
  });
}
