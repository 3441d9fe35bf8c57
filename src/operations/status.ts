import { resolveSite, type SiteAndAll } from "../context/references.js";
import type { Server } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import { detectCore } from "../engines/index.js";
import { certificateReport, reportData } from "./parts/certificate.js";
import { keptGenerations } from "./parts/kept.js";
import { siteCode, siteInputs } from "./parts/site.js";
import type { Services } from "./services.js";

/** What a site is now: by its context, its core and its front page. Locks nothing, changes nothing. */
export async function siteStatus(use: Services, name: string): Promise<{ readonly [key: string]: Json }> {
  const { cluster, ...all } = await resolveSite(use.store, use.settings, name, "all");
  const { site, webServer, server } = all;
  const said = { platform: site.platform, enabled: site.site_enabled, installed: site.generation !== undefined };
  if (site.generation === undefined) return said;
  const host = use.host(server);
  const core = await detectCore(host, use.rootOf(all));
  const inputs = await siteInputs(use, all, core, site.generation);
  const { result } = await use.engine(core.engine).status(siteCode(inputs, use));
  const answer = await use.http(webServer).request({ uri: site.redirection ?? site.uri, path: "/", tls: site.ssl === "required" });
  const certificate = await certificateReport(use, all);
  return {
    ...said,
    url: use.http(webServer).url(site.uri, site.ssl !== "off"),
    ...(certificate === undefined ? {} : { certificate: reportData(certificate) }),
    front_page: { status: answer.status, ms: answer.ms },
    ...(cluster === undefined ? {} : { members: await membersOfCluster(use, all, [webServer, ...cluster.others]) }),
    core: `${core.engine} ${result.version}`,
    profile: result.profile ?? null,
    site_name: result.siteName ?? null,
    maintenance: result.maintenance,
    last_cron: result.lastCron === 0 ? null : new Date(result.lastCron * 1000).toISOString(),
    generation: site.generation,
    kept: await keptList(use, name),
  };
}

/** What a visitor gets of each web server of a cluster; one that is not reached is told, and the others are asked all the same. */
async function membersOfCluster(use: Services, { site }: Pick<SiteAndAll, "site">, servers: readonly Server[]) {
  const request = { uri: site.redirection ?? site.uri, path: "/", tls: site.ssl === "required" };
  const asked = servers.map(async (server) => {
    try {
      const { status, ms } = await use.http(server).request(request);
      return { server: server.name, front_page: { status, ms } };
    } catch (error) {
      if (!(error instanceof ProvisionError)) throw error;
      return { server: server.name, problem: error.message };
    }
  });
  return Promise.all(asked);
}

/** What is kept of a site beside the generation that serves; what served last comes first. */
export async function keptList(use: Services, name: string) {
  const kept = await keptGenerations(use, name);
  return kept.map(({ generation, command, at, until, properties, engine, version }) => ({
    generation,
    until,
    platform: String(properties.platform),
    core: `${engine} ${version}`,
    command,
    at,
  }));
}
