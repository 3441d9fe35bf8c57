import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { hostNames, unprovableNames } from "../../context/names.js";
import type { SiteAndAll } from "../../context/references.js";
import type { Server, Site } from "../../context/schema.js";
import { messageOf, ProvisionError } from "../../core/errors.js";
import type { Json } from "../../core/json.js";
import { withInnerLock } from "../../core/lock.js";
import type { Secret } from "../../core/secret.js";
import type { Decision, Run, Step, Undo } from "../../core/step.js";
import { type Host, isAway } from "../../host/host.js";
import { checkPair } from "../../services/certificate-pair.js";
import { configName } from "../../services/http/config-name.js";
import { type Certificate, daysLeft, isDue, isNearEnd, isPair, readCertificate, uncovered } from "../../services/tls/certificate.js";
import {
  copyVersion,
  keyOfOrder,
  newKey,
  type OrderState,
  ownDirectory,
  pairOf,
  putSelfSigned,
  putVersion,
  readOrder,
  removeOrder,
  unfinished,
  type Version,
  versionName,
  versionNames,
  versionsIn,
  writeOrder,
} from "../../services/tls/store.js";
import { undoParents } from "../../steps/files.js";
import type { Services } from "../services.js";

/** What is to be done about the certificate of a site with https: JSON, decided before the steps. */
export interface CertificatePlan {
  readonly issuer: "own" | "self-signed" | "acme";
  readonly names: readonly string[];
  /** `ssl.d/<key>` of the web server; of an own certificate nothing stands there. */
  readonly directory: string;
  /** The version that is served, until an order has brought another; none: an own certificate. */
  readonly version?: string;
  /** That version does not exist yet: it is made, self-signed, when the vhost is. */
  readonly make?: string;
  /** That version stands where the site was served until now, and comes along: name of the host, and `ssl.d/<key>` there. */
  readonly bring?: { readonly host: string; readonly directory: string };
  readonly order?: {
    /** Name of the version that it becomes. */
    readonly version: string;
    /** Why there has to be another: one line. */
    readonly reason: string;
  };
  /** An order is needed, but not made before this time, for the last ones failed. */
  readonly waits?: { readonly until: string; readonly message: string };
  /** Why no authority can be asked. */
  readonly refused?: string;
}

/** A third of the lifetime is left: by a renewal every time, whatever the clock says. */
interface PlanOptions {
  readonly force?: boolean;
  /** Where the site is served until now: what it has there comes along, for the names lead there still. */
  readonly from?: Pick<SiteAndAll, "site" | "webServer">;
}

/** Where certificates of a site stand. Sub-directory sites without names of their own share that of their host. */
function placeOf(use: Services, { site, webServer }: Pick<SiteAndAll, "site" | "webServer">) {
  const [host = ""] = site.uri.split("/");
  const key = site.aliases.length === 0 ? host : site.uri;
  return { directory: use.layoutOf(webServer).certificates(webServer.name, configName(key)), names: hostNames(site) };
}

/**
 * Of a generation that goes: where its web server has its certificates, when nobody else's are there. `others`: those of the site that
 * stay. `renamed`: a context that is not to be looked at, for it goes.
 */
export async function certificatesToForget(
  use: Services,
  gone: Pick<SiteAndAll, "site" | "webServer">,
  others: readonly { readonly site: Site; readonly webServer: string }[],
  renamed?: string,
): Promise<string | undefined> {
  const { webServer } = gone;
  if (webServer.http_service_type === "none") return undefined;
  const { directory } = placeOf(use, gone);
  const { contexts } = await use.store.load();
  const serves = (platform: string) => contexts.find(({ name }) => name === platform);
  // A cluster is served by its members.
  const serving = new Set([webServer.name]);
  for (const cluster of contexts)
    if (cluster.context_type === "server" && cluster.cluster_web_servers?.includes(webServer.name)) serving.add(cluster.name);
  const needed = (site: Site) => placeOf(use, { site, webServer }).directory === directory;
  const shared = contexts.some((site) => {
    if (site.context_type !== "site" || site.name === renamed) return false;
    const platform = serves(site.platform);
    return platform?.context_type === "platform" && serving.has(platform.web_server) && needed(site);
  });
  return shared || others.some((other) => serving.has(other.webServer) && needed(other.site)) ? undefined : directory;
}

/** Directory of a site's certificates, whether there are any or not. */
export function certificateDirectory(use: Services, all: Pick<SiteAndAll, "site" | "webServer">): string {
  return placeOf(use, all).directory;
}

/** Reads what certificates there are; undefined for a site without https. */
export async function certificatePlan(
  use: Services,
  all: Pick<SiteAndAll, "site" | "webServer">,
  { force = false, from }: PlanOptions = {},
): Promise<CertificatePlan | undefined> {
  const { site, webServer } = all;
  if (site.ssl === "off" || webServer.http_service_type === "none") return undefined;
  const { directory, names } = placeOf(use, all);
  if (site.ssl_certificate !== undefined) return { issuer: "own", names, directory };
  const issuer = site.ssl_issuer ?? webServer.ssl_issuer;
  const now = Date.now();
  const own = await versionsIn(use.host(webServer), directory);
  const covers = ({ certificate }: Version) => uncovered(certificate, names).length === 0;
  const elsewhere = (await versionsElsewhere(use, webServer, from)).filter(
    (one) => covers(one) && !own.some(({ name }) => name === one.name),
  );
  const versions = [...own, ...elsewhere].sort((a, b) => (a.name < b.name ? -1 : 1));
  const covering = versions.filter(covers);
  const made = versionName(new Date(now), randomBytes(4).toString("hex"));
  const plan = { issuer, names, directory };
  const serve = ({ name }: Version) =>
    from !== undefined && elsewhere.some((one) => one.name === name)
      ? { ...plan, version: name, bring: { host: use.host(from.webServer).name, directory: placeOf(use, from).directory } }
      : { ...plan, version: name };
  const selfSigned = covering.filter(({ origin, certificate }) => origin.issuer === "self-signed" && !isDue(certificate, now)).at(-1);
  if (issuer === "self-signed")
    return selfSigned === undefined || force ? { ...plan, version: made, make: reasonToMake(versions, force) } : serve(selfSigned);

  const ours = versions.filter(({ origin }) => origin.issuer === "acme" && origin.directory === webServer.acme_directory);
  const best = latest(ours.filter((version) => covering.includes(version)));
  const serving =
    best ??
    latest(versions.filter(({ origin, certificate }) => origin.issuer === "acme" && certificate.until > now)) ??
    selfSigned ??
    latest(versions);
  const served = serving === undefined ? { ...plan, version: made, make: "until there is one of the authority" } : serve(serving);
  const refused = unprovableNames(site);
  if (refused.length > 0) return { ...served, refused: `no authority proves ${refused.join(", ")} by http-01` };
  const reason = reasonToOrder(best, latest(ours), names, force, now);
  if (reason === undefined) return served;
  const state = await readOrder(use.host(webServer), directory);
  if (!force && state?.next !== undefined && isSame(state, webServer, names) && Date.parse(state.next) > now)
    return { ...served, waits: { until: state.next, message: state.message ?? "the last order failed" } };
  return { ...served, order: { version: versionName(new Date(now), randomBytes(4).toString("hex")), reason } };
}

/** Versions of the site where another web server serves it. */
async function versionsElsewhere(use: Services, webServer: Server, from: PlanOptions["from"]): Promise<readonly Version[]> {
  if (from === undefined || from.webServer.name === webServer.name || from.site.ssl === "off") return [];
  if (from.webServer.http_service_type === "none") return [];
  return versionsIn(use.host(from.webServer), placeOf(use, from).directory);
}

function latest(versions: readonly Version[]): Version | undefined {
  return versions.reduce<Version | undefined>(
    (best, one) => (best === undefined || one.certificate.until >= best.certificate.until ? one : best),
    undefined,
  );
}

function reasonToMake(versions: readonly Version[], force: boolean): string {
  return force ? "--force" : versions.length === 0 ? "there is none" : "for its names, and a time to come";
}

function reasonToOrder(
  best: Version | undefined,
  any: Version | undefined,
  names: readonly string[],
  force: boolean,
  now: number,
): string | undefined {
  if (best !== undefined) {
    if (force) return "--force";
    return isDue(best.certificate, now) ? `the present one ends ${day(best.certificate.until)}` : undefined;
  }
  return any === undefined ? "there is none" : `the present one is not for ${uncovered(any.certificate, names).join(", ")}`;
}

function day(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

/** Failures and orders are remembered for what was asked of whom. */
function isSame(state: OrderState, { acme_directory: directory }: Server, names: readonly string[]): boolean {
  return state.directory === directory && state.names.length === names.length && state.names.every((name) => names.includes(name));
}

/** The files that the vhost names; undefined for a site without https. `version`: another than the plan's. */
export function certificateFiles(
  { site, webServer, certificate: plan }: WithCertificate,
  use: Services,
  version = plan?.version,
): { readonly certificate: string; readonly key: string } | undefined {
  const { ssl, ssl_certificate: certificate, ssl_certificate_key: key } = site;
  if (ssl === "off") return undefined;
  // One's own stand where they are served.
  const layout = use.layoutOf(webServer);
  if (certificate !== undefined && key !== undefined) return { certificate: layout.resolve(certificate), key: layout.resolve(key) };
  return plan === undefined || version === undefined ? undefined : pairOf(plan.directory, version);
}

/** Rejects with CONFIGURATION where the site wants a certificate that nobody can issue. */
export function refuseUnprovable({ site, webServer, certificate: plan }: WithCertificate): void {
  if (plan?.refused === undefined) return;
  throw new ProvisionError(
    "CONFIGURATION",
    `${site.name} can have no certificate of ${new URL(webServer.acme_directory).host}: ${plan.refused}`,
    {
      why: ["http-01 proves one host name at a time, over http; wildcards and addresses have none that it could ask"],
      state: "nothing was changed",
      next: [
        `provision save ${site.name} --ssl_certificate=… --ssl_certificate_key=…    # one of your own`,
        `provision save ${site.name} --ssl_issuer=self-signed`,
        "or take that name out of aliases",
      ],
    },
  );
}

/** Rejects with CONFIGURATION where a certificate of one's own, or its key, is not on the machine that is to serve the site, or is not fit. */
export async function refuseUnfitPair(inputs: WithCertificate, use: Services): Promise<void> {
  for (const place of [inputs, ...(inputs.others ?? [])]) {
    const { site, webServer, certificate: plan } = place;
    const files = certificateFiles(place, use);
    if (plan?.issuer !== "own" || files === undefined) continue;
    try {
      await checkPair(use.host(webServer), files, "nothing was changed");
    } catch (error) {
      if (!(error instanceof ProvisionError) || error.code !== "CONFIGURATION") throw error;
      throw new ProvisionError(error.code, error.message, {
        why: [...error.why, "ssl_certificate and ssl_certificate_key are paths of the machine that serves the site"],
        state: "nothing was changed",
        next: [
          `put both there on ${webServer.remote_host}: ${files.certificate} and ${files.key}`,
          `or let there be another: provision save ${site.name} --ssl_certificate=null --ssl_certificate_key=null`,
        ],
        cause: error,
      });
    }
  }
}

export interface WithCertificate extends Pick<SiteAndAll, "site" | "webServer"> {
  readonly certificate?: CertificatePlan;
  /** The other members of a cluster, which show the same certificate. */
  readonly others?: readonly WithCertificate[];
}

/**
 * The activation of a vhost, which first brings or makes the certificate that it will name, and brings it to the other members of a cluster. Undone, what
 * was made goes.
 */
export function withCertificate(inputs: WithCertificate, use: Services, activate: Step): Step {
  const { webServer, certificate: plan, others = [] } = inputs;
  if (plan?.version === undefined) return activate;
  const { directory, version, names, make, bring } = plan;
  if (make === undefined && bring === undefined && others.length === 0) return activate;
  const host = use.host(webServer);
  const change = bring
    ? `bring the certificate for ${names.join(", ")} along from ${bring.host}`
    : `make a self-signed certificate for ${names.join(", ")} (${make})`;
  const path = join(directory, version);
  const isMissing = async (at: Host, tree: string) => (await at.stat(tree)) === undefined;
  /** Where it has to be made, and where it has to be brought to. */
  const lacking = async () => {
    const made = (make !== undefined || bring !== undefined) && (await isMissing(host, path));
    const brought: { readonly host: Host; readonly server: string; readonly directory: string }[] = [];
    for (const { webServer: server, certificate } of others) {
      const there = { host: use.host(server), server: server.name, directory: certificate?.directory ?? directory };
      if (await isMissing(there.host, join(there.directory, version))) brought.push(there);
    }
    return { made, brought };
  };
  return {
    ...activate,
    async check(run) {
      const decision = await activate.check(run);
      const { made, brought } = await lacking();
      if (!made && brought.length === 0) return decision;
      const changes = [
        ...(made ? [change] : []),
        ...brought.map(({ server }) => `${server}: bring the certificate of ${webServer.name}`),
        ...decision.changes,
      ];
      if (decision.undo === undefined && activate.phase !== undefined && activate.phase !== "undoable") return { ...decision, changes };
      const undo: Undo[] = [];
      for (const at of [...(made ? [{ host, directory }] : []), ...brought]) {
        const tree = join(at.directory, version);
        const rest = [unfinished(at.directory, version), unfinished(at.directory, `${version}-request`)];
        undo.push(
          ...(await undoParents(at.host, tree)),
          ...[tree, ...rest].map((one) => ({ do: "remove_tree", host: at.host.name, path: one })),
        );
      }
      return { ...decision, changes, undo: [...undo, ...(decision.undo ?? [])] };
    },
    async apply(run) {
      const { made, brought } = await lacking();
      if (made && bring) await copyVersion(use.reach(bring.host), bring.directory, host, directory, version);
      else if (made) await putSelfSigned(host, directory, version, names);
      for (const at of brought) await copyVersion(host, directory, at.host, at.directory, version);
      return activate.apply(run);
    },
  };
}

/** Key of the account at the authority, in the secrets of the web server. */
const ACCOUNT_KEY = "acme_account_key";

/**
 * Gets the certificate that the plan says is needed, and has it served. `soft`: a failure is a warning, and what is served stays; else
 * the operation fails. Either way it is remembered, so that the authority is left alone for a while. What the authority has issued stays on
 * disk whatever becomes of the operation: the next one finds it there.
 */
export function certificateSteps(
  inputs: WithCertificate,
  use: Services,
  soft: boolean,
  activate: (version: string) => Step,
): readonly Step[] {
  const { site, webServer, certificate: plan } = inputs;
  if (plan?.issuer !== "acme") return [];
  if (plan.waits !== undefined) return [waiting(site, plan.waits)];
  const { order } = plan;
  if (order === undefined) return [];
  const get: Step<{ readonly version: string | null }> = {
    id: "certificate/order",
    title: `Certificate for ${plan.names.join(", ")}`,
    keep: true,
    async check() {
      return { changes: [`order it of ${webServer.acme_directory} (${order.reason})`] };
    },
    async apply(run) {
      try {
        return {
          version: await withInnerLock(use.operations.locks, `certificate.${configName(plan.names[0] ?? "")}`, () =>
            got(inputs, use, plan, order, run),
          ),
        };
      } catch (error) {
        if (!soft || run.signal.aborted || !(error instanceof ProvisionError) || isAway(error)) throw error;
        run.warn(`${site.name} has no new certificate: ${told(error)}; provision certificates renew ${site.name} --force tries again`);
        return { version: null };
      }
    },
  };
  return [accountKey(webServer, use), get, servedThen(get, activate(order.version))];
}

/** Message and the first reason, in one line. */
function told(error: ProvisionError): string {
  return [error.message, ...error.why.slice(0, 2)].join(": ");
}

function waiting(site: Site, { until, message }: NonNullable<CertificatePlan["waits"]>): Step {
  return {
    id: "certificate/order",
    title: "Certificate of the authority",
    keep: true,
    async check(run) {
      run.warn(
        `${site.name} has no new certificate: ${message}; the next try is not before ${until}, provision certificates renew ${site.name} --force tries now`,
      );
      return { changes: [] };
    },
    apply: async () => null,
  };
}

function accountKey({ name }: Server, use: Services): Step {
  const known = async () => (await use.secrets.get(name, ACCOUNT_KEY)) !== undefined;
  return {
    id: "certificate/account",
    title: "Key of the account at the authority, in secrets",
    // The account lives on at the authority, and serves all sites of the server.
    keep: true,
    check: async () => ({ changes: (await known()) ? [] : ["make a key"] }),
    async apply() {
      await withInnerLock(use.operations.locks, `secrets.${name.slice(1)}`, async () => {
        if (await known()) return;
        const text = await use.secrets.changed(name, new Map([[ACCOUNT_KEY, newKey()]]));
        if (text) await use.local.writeFile(use.layout.secretsFile(name), text, { mode: 0o600 });
      });
      return null;
    },
  };
}

/** The vhost with the new certificate, when there is one. */
function servedThen(get: Step<{ readonly version: string | null }>, activate: Step): Step {
  return {
    ...activate,
    id: "certificate/activate",
    title: "The new certificate is served",
    async check(run): Promise<Decision> {
      const { version } = run.need(get);
      return version === null ? { changes: [] } : activate.check(run);
    },
  };
}

/** The name of a version that has what the plan wants: one that is there by now, or the authority's. */
async function got(
  inputs: WithCertificate,
  use: Services,
  plan: CertificatePlan,
  { version, reason }: NonNullable<CertificatePlan["order"]>,
  run: Run,
): Promise<string> {
  const { webServer } = inputs;
  const host = use.host(webServer);
  // A site that shares the certificate may have been here before; and a kill may have come after the certificate.
  const names = await versionNames(host, plan.directory);
  if (names.includes(version)) return version;
  await ownDirectory(host, plan.directory);
  const former = await readOrder(host, plan.directory);
  const known = former && isSame(former, webServer, plan.names) ? former : undefined;
  for (const token of former?.tokens ?? []) await removeAnswer(inputs, use, token);
  let state: OrderState = {
    directory: webServer.acme_directory,
    names: plan.names,
    tokens: [],
    failures: known?.failures ?? 0,
    ...(known?.url === undefined || (await isFetched(host, plan.directory, known.url)) ? {} : { url: known.url }),
  };
  const remember = async (more: Partial<OrderState>) => {
    state = { ...state, ...more };
    await writeOrder(host, plan.directory, state);
  };
  let away = false;
  try {
    const key = await keyOfOrder(host, plan.directory, state.url !== undefined);
    await remember({});
    const pem = await ordered(inputs, use, plan, key, state, remember, run);
    await refuseUseless(pem, key, plan, run, reason);
    await putVersion(host, plan.directory, version, {
      certificate: pem,
      key,
      origin: { issuer: "acme", directory: webServer.acme_directory, ...(state.url === undefined ? {} : { order: state.url }) },
    });
    await removeOrder(host, plan.directory);
    return version;
  } catch (error) {
    away = isAway(error);
    if (away || run.signal.aborted || !(error instanceof ProvisionError)) throw error;
    await failed(error, state, remember);
    throw error;
  } finally {
    // Where the machine is away the next order finds them in what was remembered.
    for (const token of away ? [] : state.tokens) await removeAnswer(inputs, use, token);
  }
}

async function isFetched(host: Host, directory: string, url: string): Promise<boolean> {
  return (await versionsIn(host, directory)).some(({ origin }) => origin.order === url);
}

async function ordered(
  inputs: WithCertificate,
  use: Services,
  plan: CertificatePlan,
  key: Secret,
  state: OrderState,
  remember: (more: Partial<OrderState>) => Promise<void>,
  run: Run,
): Promise<string> {
  const { site, webServer } = inputs;
  const { orderCertificate } = await import("../../services/tls/acme.js");
  const tokens: string[] = [];
  return orderCertificate(await authorityOf(webServer, use), {
    names: plan.names,
    key,
    url: state.url,
    begun: (url) => remember({ url }),
    async answer(name, token, text) {
      tokens.push(token);
      // First where it can be found again, then the file.
      await remember({ tokens: [...tokens] });
      await answer(inputs, use, { name, token, text });
    },
    signal: run.signal,
    progress: (message) => run.progress(`${site.name}: ${message}`),
  });
}

/** Who the server asks. Rejects with FAILED when the account's key is not there. */
async function authorityOf(webServer: Server, use: Services) {
  const accountKey = await use.secrets.get(webServer.name, ACCOUNT_KEY);
  if (!accountKey)
    throw new ProvisionError("FAILED", `${ACCOUNT_KEY} of ${webServer.name} is not in ${use.layout.secretsFile(webServer.name)}`);
  const { acme_directory: directory, acme_ca_file: caFile, admin_email: mail } = webServer;
  return { directory, caFile: caFile === undefined ? undefined : use.layout.resolve(caFile), mail, accountKey };
}

/** Writes the answer to a challenge, and looks whether the web server gives it: an authority that finds none counts that against us. */
async function answer(
  { webServer }: WithCertificate,
  use: Services,
  { name, token, text }: { readonly name: string; readonly token: string; readonly text: string },
): Promise<void> {
  const http = use.http(webServer);
  const { challenges } = http;
  if (challenges === undefined) throw new ProvisionError("CONFIGURATION", `${webServer.name} answers no challenges of http-01`);
  let got: string;
  try {
    await use.host(webServer).writeFile(join(challenges, token), text, { mode: 0o644 });
    const { status, body } = await http.request({ uri: name, path: `/.well-known/acme-challenge/${token}` });
    if (status === 200 && body.trim() === text) return;
    got = `it answers ${status}`;
  } catch (error) {
    if (!(error instanceof ProvisionError) || isAway(error)) throw error;
    got = told(error);
  }
  throw new ProvisionError("SERVICE_UNAVAILABLE", `the web server of ${webServer.name} does not answer the challenge for ${name}`, {
    why: [got],
    next: [`provision verify ${webServer.name}`],
  });
}

async function removeAnswer({ webServer }: WithCertificate, use: Services, token: string): Promise<void> {
  const { challenges } = use.http(webServer);
  if (challenges !== undefined) await use.host(webServer).remove(join(challenges, token));
}

/** What came is looked at before it is kept. Rejects with CERTIFICATE_FAILED. */
async function refuseUseless(pem: string, key: Secret, plan: CertificatePlan, run: Run, reason: string): Promise<void> {
  const wrong = (what: string, why: string) =>
    new ProvisionError("CERTIFICATE_FAILED", `what the authority sent is ${what}`, {
      why: [why],
      next: ["the same command again makes a new order"],
    });
  let certificate: Certificate;
  try {
    certificate = readCertificate(pem);
  } catch (error) {
    throw wrong("no certificate", messageOf(error));
  }
  if (!isPair(pem, key.reveal())) throw wrong("not for our key", reason);
  const missing = uncovered(certificate, plan.names);
  if (missing.length > 0) throw wrong("not for all names", `without ${missing.join(", ")}`);
  const now = Date.now();
  if (certificate.until <= now)
    throw wrong(
      "past already, by the clock of this machine",
      `it ends ${new Date(certificate.until).toISOString()}, and here it is ${new Date(now).toISOString()}`,
    );
  if (certificate.from > now + 60_000)
    run.warn(
      `the new certificate begins ${new Date(certificate.from).toISOString()}, and here it is ${new Date(now).toISOString()}: look at the clock`,
    );
}

/** A quarter of an hour, doubled with each failure, a day at most: an authority allows few failures in an hour. */
const FIRST_PAUSE = 15 * 60_000;
const LONGEST_PAUSE = 24 * 60 * 60_000;

async function failed(error: ProvisionError, state: OrderState, remember: (more: Partial<OrderState>) => Promise<void>): Promise<void> {
  const { AcmeError } = await import("../../services/tls/acme.js");
  const { url, ...rest } = state;
  const asked = error instanceof AcmeError ? (error.retryAfter ?? 0) * 1000 : 0;
  const pause = Math.max(asked, Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** rest.failures));
  // An order that is dead is not gone on with.
  const dead = error instanceof AcmeError ? error.final : error.code === "CERTIFICATE_FAILED";
  await remember({
    failures: rest.failures + 1,
    next: new Date(Date.now() + pause).toISOString(),
    message: told(error),
    ...(dead || url === undefined ? { url: undefined as never } : { url }),
  });
}

/** Versions that are served no more: all that are older than the one before the present. */
export function formerCertificates({ webServer, certificate: plan }: WithCertificate, use: Services): readonly Step[] {
  if (plan?.version === undefined) return [];
  const host = use.host(webServer);
  const { directory, version, order } = plan;
  const former = async () => {
    const names = await versionNames(host, directory);
    const present = order !== undefined && names.includes(order.version) ? order.version : version;
    const before = names.filter((name) => name < present);
    // The last one stays: a vhost of another site may name it still.
    return before.slice(0, -1).map((name) => join(directory, name));
  };
  return [
    {
      id: "certificate/former",
      title: "Remove certificates that were replaced",
      phase: "cleanup",
      check: async () => ({ changes: (await former()).map((path) => `remove ${path}`) }),
      async apply() {
        for (const path of await former()) await host.remove(path);
        return null;
      },
    },
  ];
}

/** What is known of the certificate of one site. */
export interface CertificateReport {
  readonly site: string;
  readonly ssl: "on" | "required";
  /** What its context asks for. */
  readonly wanted: "own" | "self-signed" | "acme";
  /** Who issued what is served; null: nothing is. */
  readonly issuer: string | null;
  readonly self_signed: boolean;
  readonly names: readonly string[];
  readonly missing: readonly string[];
  /** ISO times. */
  readonly valid_from: string | null;
  readonly valid_until: string | null;
  readonly days_left: number | null;
  /** A third of its lifetime is left, or it does not do for another reason. */
  readonly due: boolean;
  readonly next_try: string | null;
  readonly path: string | null;
  /** What a person should know; `urgent`: and do something about. */
  readonly problem: string | null;
  readonly urgent: boolean;
  readonly fix: string | null;
}

/** Looks at what is served now; undefined for a site without https. Asks nobody. */
export async function certificateReport(
  use: Services,
  all: Pick<SiteAndAll, "site" | "webServer">,
): Promise<CertificateReport | undefined> {
  const plan = await certificatePlan(use, all);
  const { site, webServer } = all;
  if (plan === undefined || site.ssl === "off") return undefined;
  const host = use.host(webServer);
  const files = plan.make === undefined ? certificateFiles({ ...all, certificate: plan }, use) : undefined;
  const pem = files && (await host.readFile(files.certificate));
  let certificate: Certificate | undefined;
  let unreadable: string | undefined;
  try {
    certificate = pem === undefined ? undefined : readCertificate(pem);
  } catch (error) {
    unreadable = messageOf(error);
  }
  const now = Date.now();
  const { problem, urgent } = problemWith(plan, certificate, unreadable ?? (files ? `there is no ${files.certificate}` : undefined), now);
  return {
    site: site.name,
    ssl: site.ssl,
    wanted: plan.issuer,
    issuer: certificate?.issuer ?? null,
    self_signed: certificate?.selfSigned ?? false,
    names: certificate?.names ?? [],
    missing: certificate === undefined ? plan.names : uncovered(certificate, plan.names),
    valid_from: certificate === undefined ? null : new Date(certificate.from).toISOString(),
    valid_until: certificate === undefined ? null : new Date(certificate.until).toISOString(),
    days_left: certificate === undefined ? null : daysLeft(certificate, now),
    due: plan.make !== undefined || plan.order !== undefined || plan.waits !== undefined,
    next_try: plan.waits?.until ?? null,
    path: files?.certificate ?? null,
    problem: problem ?? null,
    urgent,
    fix:
      problem === undefined
        ? null
        : plan.refused !== undefined
          ? `provision verify ${site.name}`
          : plan.issuer === "own"
            ? `renew ${site.ssl_certificate}, then reload the web server`
            : plan.issuer === "acme" && (plan.order !== undefined || plan.waits !== undefined)
              ? `provision certificates renew ${site.name} --force`
              : `provision verify ${site.name}`,
  };
}

function problemWith(
  plan: CertificatePlan,
  certificate: Certificate | undefined,
  absent: string | undefined,
  now: number,
): { readonly problem?: string; readonly urgent: boolean } {
  const urgent = (problem: string) => ({ problem, urgent: true });
  if (certificate === undefined) return urgent(absent ?? "there is none yet");
  if (plan.refused !== undefined) return urgent(plan.refused);
  const missing = uncovered(certificate, plan.names);
  const failure = plan.waits === undefined ? "" : ` (${plan.waits.message})`;
  if (certificate.until <= now) return urgent(`it is past since ${day(certificate.until)}${failure}`);
  if (plan.issuer === "acme" && certificate.selfSigned) return urgent(`it is self-signed; the authority has issued none${failure}`);
  // A wildcard of one's own does for the names below it.
  const uncoveredNames =
    plan.issuer === "own" ? missing.filter((name) => !certificate.names.includes(name.replace(/^[^.]+/, "*"))) : missing;
  if (uncoveredNames.length > 0) return urgent(`it is not for ${uncoveredNames.join(", ")}${failure}`);
  if (isNearEnd(certificate, now)) return urgent(`it ends ${day(certificate.until)}, in ${daysLeft(certificate, now)} days${failure}`);
  if (plan.waits !== undefined)
    return { problem: `it ends ${day(certificate.until)}, and the last renewal failed${failure}`, urgent: false };
  return { urgent: false };
}

/** One line for people. */
export function certificateLine(report: CertificateReport): string {
  const until =
    report.valid_until === null
      ? "no certificate"
      : `${report.self_signed ? "self-signed" : report.issuer}, until ${report.valid_until.slice(0, 10)} (${report.days_left} days)`;
  return report.problem === null ? until : `${until}: ${report.problem}`;
}

export function reportData(report: CertificateReport): { readonly [key: string]: Json } {
  return report as unknown as { readonly [key: string]: Json };
}
