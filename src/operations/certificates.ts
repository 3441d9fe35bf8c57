import { resolveSite } from "../context/references.js";
import type { Context } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import { type CertificateReport, certificatePlan, certificateReport } from "./parts/certificate.js";
import type { Services } from "./services.js";

/** The certificates of installed sites with https, by name; sites whose contexts are wrong are left to who reports those. Asks nobody. */
export async function certificatesOf(use: Services, contexts: readonly Context[]): Promise<readonly CertificateReport[]> {
  const reports: CertificateReport[] = [];
  for (const { site, all } of await withHttps(use, contexts)) {
    const report = await certificateReport(use, all);
    if (report !== undefined) reports.push({ ...report, site });
  }
  return reports;
}

/** Names of the sites for which there is something to renew now. */
export async function dueCertificates(use: Services, contexts: readonly Context[]): Promise<ReadonlySet<string>> {
  const due = new Set<string>();
  for (const { site, all } of await withHttps(use, contexts)) {
    const plan = await certificatePlan(use, all);
    if (plan?.make !== undefined || plan?.order !== undefined) due.add(site);
  }
  return due;
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
