import { resolveSite, type SiteAndAll } from "../context/references.js";
import type { Context } from "../context/schema.js";
import { messageOf, ProvisionError } from "../core/errors.js";
import { isAway } from "../host/host.js";
import { type CertificateReport, certificatePlan, certificateReport } from "./parts/certificate.js";
import type { Services } from "./services.js";

/** A site whose certificate could not be looked at: its machine is away, nearly always. */
export interface Unseen {
  readonly site: string;
  /** Of the web server. */
  readonly server: string;
  readonly error: ProvisionError;
}

/** The certificates of installed sites with https, by name; sites whose contexts are wrong are left to who reports those. Asks no authority. */
export async function certificatesOf(
  use: Services,
  contexts: readonly Context[],
): Promise<{ readonly reports: readonly CertificateReport[]; readonly unseen: readonly Unseen[] }> {
  const reports: CertificateReport[] = [];
  const unseen = await eachWithHttps(use, contexts, async (site, all) => {
    const report = await certificateReport(use, all);
    if (report !== undefined) reports.push({ ...report, site });
  });
  return { reports, unseen };
}

/** Names of the sites for which there is something to renew now, and of those of which that is not known: who tries says why. */
export async function dueCertificates(use: Services, contexts: readonly Context[]): Promise<ReadonlySet<string>> {
  const due = new Set<string>();
  const unseen = await eachWithHttps(use, contexts, async (site, all) => {
    const plan = await certificatePlan(use, all);
    if (plan?.make !== undefined || plan?.order !== undefined) due.add(site);
  });
  for (const { site } of unseen) due.add(site);
  return due;
}

/** The others were looked at, each machine that is away is named once, with the sites that it has. */
export function unseenError(unseen: readonly Unseen[]): ProvisionError {
  const machines = new Map<string, { readonly error: ProvisionError; readonly sites: string[] }>();
  for (const { site, server, error } of unseen) {
    const known = machines.get(server);
    if (known) known.sites.push(site);
    else machines.set(server, { error, sites: [site] });
  }
  const all = [...machines.values()];
  return new ProvisionError(
    all[0]?.error.code ?? "HOST_UNAVAILABLE",
    unseen.length === 1 ? `the certificate of ${unseen[0]?.site} was not looked at` : `${unseen.length} certificates were not looked at`,
    {
      why: all.map(({ error, sites }) => `${messageOf(error)} (${sites.join(", ")})`),
      state: "nothing was changed",
      next: [...new Set(all.flatMap(({ error }) => error.next))],
    },
  );
}

/** Does it for each; answers with those for which it could not be done. A machine that is away is asked once. */
async function eachWithHttps(
  use: Services,
  contexts: readonly Context[],
  action: (site: string, all: SiteAndAll) => Promise<void>,
): Promise<readonly Unseen[]> {
  const unseen: Unseen[] = [];
  for (const { site, all } of await withHttps(use, contexts)) {
    const server = all.webServer.name;
    const before = unseen.find((one) => one.server === server);
    if (before !== undefined && isAway(before.error)) {
      unseen.push({ ...before, site });
      continue;
    }
    try {
      await action(site, all);
    } catch (error) {
      if (!(error instanceof ProvisionError)) throw error;
      unseen.push({ site, server, error });
    }
  }
  return unseen;
}

async function withHttps(use: Services, contexts: readonly Context[]) {
  const found = [];
  for (const site of contexts) {
    if (site.context_type !== "site" || site.ssl === "off" || site.generation === undefined) continue;
    try {
      found.push({ site: site.name, all: await resolveSite(use.store, use.settings, site.name, "first") });
    } catch (error) {
      if (!(error instanceof ProvisionError)) throw error;
    }
  }
  return found;
}
