import type { Json } from "../core/json.js";
import type { Unseen } from "../operations/certificates.js";
import type { CommandDefinition, Invocation } from "./definition.js";
import { SELECTORS } from "./selectors.js";

export const certificates: CommandDefinition = {
  name: "certificates",
  group: "site",
  summary: "list the certificates of sites, or renew those that are due",
  description:
    "list: who issued the certificate of each installed site with https, for which names, and how long it is good. renew: a new one for each site whose own has a third of its lifetime left, or does not do for its names; without a site for all of them. What cannot be renewed keeps what it has, and the authority is left alone for a while: from a quarter of an hour, doubled each time, to a day. --force does not wait for anything. Certificates that a site brings itself (ssl_certificate) are listed, and never renewed. cron-all does the same.",
  arguments: [
    { name: "[verb]", description: "list or renew" },
    { name: "[contexts...]", description: "@site, or a glob" },
  ],
  options: [...SELECTORS, { flags: "--force", description: "renew: also what is not due, and what failed a moment ago" }],
  examples: [
    { line: "provision certificates list", says: "all sites with https" },
    { line: "provision certificates renew", says: "what is due" },
    { line: "provision certificates renew @example.com --force", says: "this one, now" },
  ],
  load: async () => ({ run }),
};

const VERBS = ["list", "renew"];

async function run(given: Invocation): Promise<void> {
  const { ProvisionError } = await import("../core/errors.js");
  const { openHub } = await import("./hub.js");
  // `provision @site certificates renew` has the site first.
  const verb = given.arguments.find((word) => !word.startsWith("@")) ?? "list";
  if (!VERBS.includes(verb))
    throw new ProvisionError("USAGE", `certificates has no ${JSON.stringify(verb)}`, { next: ["provision certificates list|renew"] });
  const at = given.arguments.indexOf(verb);
  const invocation = { ...given, arguments: given.arguments.filter((_, index) => index !== at) };
  const named = invocation.arguments.length > 0 || ["all", "platform", "client"].some((name) => invocation.options[name] !== undefined);
  const use = await openHub(invocation.session);
  if (verb === "list") return list(invocation, use, named);
  const force = invocation.options["force"] === true;
  if (force && !named) {
    throw new ProvisionError("USAGE", "certificates renew --force needs to know of which sites", {
      next: ["provision certificates renew @example.com --force", "provision certificates renew --all --force"],
    });
  }
  return renew(invocation, use, { named, force });
}

type Use = Awaited<ReturnType<typeof import("./hub.js")["openHub"]>>;

async function list(invocation: Invocation, use: Use, named: boolean): Promise<void> {
  const { columns } = await import("./hub.js");
  const { selectedNames } = await import("./selection.js");
  const { certificatesOf } = await import("../operations/certificates.js");
  const wanted = named ? new Set(await selectedNames(invocation, use, "certificates", ["site"])) : undefined;
  const contexts = await use.store.all();
  const { reports, unseen } = await certificatesOf(
    use,
    contexts.filter(({ name }) => wanted?.has(name) !== false),
  );
  const rows = [
    ...reports.map((report) => [
      report.site,
      report.self_signed ? "self-signed" : (report.issuer ?? "none"),
      report.valid_until === null ? "" : `until ${report.valid_until.slice(0, 10)}`,
      report.days_left === null ? "" : `${report.days_left} days`,
      report.problem ?? report.names.join(" "),
    ]),
    ...unseen.map(({ site, server }) => [site, "?", "", "", `${server} was not asked`]),
  ].toSorted(([a = ""], [b = ""]) => (a < b ? -1 : 1));
  await answerWithUnseen(invocation, "certificates", { certificates: reports as unknown as Json }, unseen, [
    ...(rows.length === 0 ? ["no installed site has https"] : columns(rows)),
  ]);
}

/** An answer about several sites; those of which nothing could be said make it one that failed in part. */
export async function answerWithUnseen(
  { session }: Invocation,
  command: string,
  data: { readonly [key: string]: Json },
  unseen: readonly Unseen[],
  lines: readonly string[],
): Promise<void> {
  const { unseenError } = await import("../operations/certificates.js");
  const { EXIT } = await import("../core/errors.js");
  const begun = Date.now();
  await session.subject({ command, target: undefined }, async (emit) => {
    emit({
      type: "data",
      data: { ...data, ...(unseen.length === 0 ? {} : { unseen: unseen.map(({ site, server }) => ({ site, server })) }) },
    });
    emit({ type: "text", lines });
    if (unseen.length > 0) emit({ type: "failed", error: unseenError(unseen), outcome: "failed", exit: EXIT.SOME_FAILED });
    emit({ type: "ended", ms: Date.now() - begun });
  });
}

async function renew(
  invocation: Invocation,
  use: Use,
  { named, force }: { readonly named: boolean; readonly force: boolean },
): Promise<void> {
  const { eachSelected } = await import("./selection.js");
  const selecting = named ? invocation : { ...invocation, options: { ...invocation.options, all: true } };
  // A selector means those of its sites that have something to renew; a name means that site.
  await eachSelected(
    selecting,
    use,
    "certificates",
    ["site"],
    (name, own) => renewOne(invocation, own, name, force),
    ({ ssl, ssl_certificate, generation }) => ssl !== "off" && ssl_certificate === undefined && generation !== undefined,
  );
}

async function renewOne(invocation: Invocation, use: Use, name: string, force: boolean): Promise<void> {
  const { operate } = await import("./hub.js");
  const { renewCertificate } = await import("../operations/renew-certificate.js");
  await operate(invocation, use, "certificates", name, renewCertificate, { name, force });
}

/** Renews what is due among the sites that a command line selects; says nothing of the others. For `cron-all`. */
export async function renewDue(invocation: Invocation, use: Use): Promise<void> {
  const { eachSelected } = await import("./selection.js");
  const { dueCertificates } = await import("../operations/certificates.js");
  const due = await dueCertificates(use, await use.store.all());
  await eachSelected(
    invocation,
    use,
    "certificates",
    ["site"],
    (name, own) => renewOne(invocation, own, name, false),
    ({ name }) => due.has(name),
  );
}
