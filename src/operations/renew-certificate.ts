import { resolveSite } from "../context/references.js";
import { ProvisionError } from "../core/errors.js";
import type { Operation } from "../core/step.js";
import { detectCore } from "../engines/index.js";
import { type Baseline, differences } from "./parts/baseline.js";
import {
  certificateLine,
  certificatePlan,
  certificateReport,
  certificateSteps,
  formerCertificates,
  refuseUnprovable,
  reportData,
} from "./parts/certificate.js";
import { onEach } from "./parts/cluster.js";
import { siteLocks } from "./parts/locks.js";
import { generationOf } from "./parts/preflight.js";
import { publish, publishCertificate, type SiteInputs, siteBaseline, siteInputs } from "./parts/site.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Inputs extends SiteInputs {
  readonly baseline: Baseline;
}

/**
 * A new certificate for a site whose present one is due, or with `force` in any case. What fails leaves the present one in use; what the
 * authority has issued is kept, also when it could not be put into use.
 */
export const renewCertificate: Operation<{ readonly name: string; readonly force?: boolean }, Inputs, Services> = {
  name: "renew-certificate",
  recovery: "automatic",

  async prepare({ name, force = false }, use) {
    const all = await resolveSite(use.store, use.settings, name, "all");
    refuseOtherUser(all.server);
    const generation = generationOf(all.site);
    const certificate = await certificatePlan(use, all, { force });
    if (certificate === undefined || certificate.issuer === "own") {
      throw new ProvisionError("REFUSED", `${name} has no certificate that provision could renew`, {
        why: [certificate === undefined ? "it has no https (ssl: off)" : `it brings its own: ${all.site.ssl_certificate}`],
        state: "nothing was changed",
      });
    }
    refuseUnprovable({ ...all, certificate });
    if (certificate.waits !== undefined) {
      throw new ProvisionError("CERTIFICATE_FAILED", `${name} needs a new certificate, and the last order failed`, {
        why: [certificate.waits.message, `the next try is not before ${certificate.waits.until}, so that the authority is left alone`],
        state: await stateOf(use, all),
        next: [`provision certificates renew ${name} --force    # tries now`],
      });
    }
    const core = await detectCore(use.host(all.server), use.rootOf(all));
    const found = await siteInputs(use, all, core, generation);
    const others = found.others?.map((place) => ({
      ...place,
      ...(place.certificate ? { certificate: { ...certificate, directory: place.certificate.directory } } : {}),
    }));
    const inputs = { ...found, certificate, ...(others ? { others } : {}) };
    return { inputs: { ...inputs, baseline: await siteBaseline(inputs, use) }, locks: siteLocks(all) };
  },

  /** An authority that cannot be reached changes nothing. */
  async preflight({ webServer, certificate }, use) {
    if (certificate?.order === undefined) return;
    const { reachAuthority } = await import("../services/tls/acme.js");
    const { acme_directory: directory, acme_ca_file: caFile } = webServer;
    await reachAuthority(
      { directory, caFile: caFile === undefined ? undefined : use.layout.resolve(caFile) },
      use.scope.signal ?? new AbortController().signal,
    );
  },

  steps(inputs, use) {
    return [
      publish(inputs, use, inputs.site.site_enabled),
      ...certificateSteps(inputs, use, false, (version) => publishCertificate(inputs, use, version)),
      ...onEach<SiteInputs>(inputs, (at) => formerCertificates(at, use)),
    ];
  },

  async data(inputs, _run, use) {
    const report = await certificateReport(use, inputs);
    return report === undefined ? {} : { certificate: reportData(report) };
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  state: (inputs, use) => stateOf(use, inputs),
};

async function stateOf(use: Services, all: Parameters<typeof certificateReport>[1]): Promise<string> {
  const report = await certificateReport(use, all);
  return `${all.site.name} keeps what it has: ${report === undefined ? "no https" : certificateLine(report)}`;
}
