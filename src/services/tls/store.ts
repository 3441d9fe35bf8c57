import { generateKeyPairSync } from "node:crypto";
import { dirname, join } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import { reveal, Secret } from "../../core/secret.js";
import type { Host } from "../../host/host.js";
import { type Certificate, isPair, readCertificate } from "./certificate.js";

/**
 * Certificates of one site that provision got or made, each with its key in a directory of its own: `ssl.d/<key>/<version>/`. A version
 * appears whole and is never changed, so a vhost that names it goes on being right while another is got.
 */
export interface Version {
  readonly name: string;
  readonly certificate: Certificate;
  readonly origin: Origin;
}

/** Where a version comes from. */
export interface Origin {
  readonly issuer: "self-signed" | "acme";
  /** Of an authority: its directory URL, and the URL of the order. */
  readonly directory?: string;
  readonly order?: string;
}

/** To the millisecond: the name is the order in which they were made. */
const VERSION = /^\d{8}T\d{9}-[0-9a-f]{8}$/;
/** What the version is made in, before it has its name. */
const UNFINISHED = ".unfinished";

/** The name of a version that is made now. */
export function versionName(now: Date, random: string): string {
  return `${now.toISOString().replace(/[-:.Z]/g, "")}-${random.slice(0, 8)}`;
}

/** The files that a web server reads. */
export function pairOf(directory: string, version: string): { readonly certificate: string; readonly key: string } {
  return { certificate: join(directory, version, "fullchain.pem"), key: join(directory, version, "privkey.pem") };
}

/** Where a version is made, and then renamed from. */
export function unfinished(directory: string, version: string): string {
  return join(directory, `${version}${UNFINISHED}`);
}

/** Names of versions, whole or not, the oldest first. */
export async function versionNames(host: Host, directory: string): Promise<readonly string[]> {
  return ((await host.list(directory)) ?? []).filter((name) => VERSION.test(name));
}

/** The versions whose certificate and key can be read and belong together, the oldest first. */
export async function versionsIn(host: Host, directory: string): Promise<readonly Version[]> {
  const found: Version[] = [];
  for (const name of await versionNames(host, directory)) {
    const { certificate, key } = pairOf(directory, name);
    const [pem, keyPem, about] = await Promise.all(
      [certificate, key, join(directory, name, "about.json")].map((path) => host.readFile(path)),
    );
    if (pem === undefined || keyPem === undefined || !isPair(pem, keyPem)) continue;
    found.push({ name, certificate: readCertificate(pem), origin: originIn(about) });
  }
  return found;
}

function originIn(about: string | undefined): Origin {
  try {
    return JSON.parse(about ?? "") as Origin;
  } catch {
    return { issuer: "self-signed" };
  }
}

/** Makes directories that nobody else looks into. */
export async function ownDirectory(host: Host, directory: string): Promise<void> {
  for (const path of [dirname(directory), directory]) await host.mkdir(path, { mode: 0o700 });
}

/** A version, whole or not at all. `certificate`: PEM, with the intermediate ones. */
export async function putVersion(
  host: Host,
  directory: string,
  version: string,
  { certificate, key, origin }: { readonly certificate: string; readonly key: Secret; readonly origin: Origin },
): Promise<void> {
  await ownDirectory(host, directory);
  const beside = unfinished(directory, version);
  await host.remove(beside);
  await host.mkdir(beside, { mode: 0o700 });
  await host.writeFile(join(beside, "privkey.pem"), key, { mode: 0o600 });
  await host.writeFile(join(beside, "fullchain.pem"), certificate, { mode: 0o644 });
  await host.writeFile(join(beside, "about.json"), `${JSON.stringify(origin)}\n`, { mode: 0o644 });
  await host.rename(beside, join(directory, version));
}

/** The same version on another machine, or for another web server; what is there only becomes whole. Rejects with FAILED when it is not whole where it was. */
export async function copyVersion(from: Host, fromDirectory: string, to: Host, directory: string, version: string): Promise<void> {
  const { certificate, key } = pairOf(fromDirectory, version);
  const [pem, keyPem, about] = await Promise.all(
    [certificate, key, join(fromDirectory, version, "about.json")].map((path) => from.readFile(path)),
  );
  if (pem === undefined || keyPem === undefined)
    throw new ProvisionError("FAILED", `${from.name}: the certificate in ${join(fromDirectory, version)} is not there any more`);
  await putVersion(to, directory, version, { certificate: pem, key: new Secret(keyPem), origin: originIn(about) });
}

/** A new key, as every server and authority takes it: P-256, PEM. */
export function newKey(): Secret {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return new Secret(privateKey.export({ type: "pkcs8", format: "pem" }) as string);
}

/** Longest common name that X.509 allows. */
const LONGEST_COMMON_NAME = 64;
/** Longer ones are refused by some clients, also by those that were told to trust them. */
const SELF_SIGNED_DAYS = 825;

/** A certificate that nobody vouches for, for all these names, by the openssl of the host; wildcards and addresses too. */
export async function putSelfSigned(host: Host, directory: string, version: string, names: readonly string[]): Promise<void> {
  const key = newKey();
  await ownDirectory(host, directory);
  const work = unfinished(directory, `${version}-request`);
  await host.remove(work);
  await host.mkdir(work, { mode: 0o700 });
  try {
    const [keyPath, settings] = [join(work, "privkey.pem"), join(work, "openssl.cnf")];
    await host.writeFile(keyPath, key, { mode: 0o600 });
    await host.writeFile(settings, settingsFor(names));
    const { stdout } = await host.run(
      ["openssl", "req", "-new", "-x509", "-sha256", "-days", String(SELF_SIGNED_DAYS), "-key", keyPath, "-config", settings],
      { timeout: 60_000 },
    );
    await putVersion(host, directory, version, { certificate: stdout, key, origin: { issuer: "self-signed" } });
  } finally {
    await host.remove(work);
  }
}

function settingsFor(names: readonly string[]): string {
  const common = names.find((name) => name.length <= LONGEST_COMMON_NAME) ?? "provision";
  return [
    "[req]",
    "prompt = no",
    "distinguished_name = subject",
    "x509_extensions = extensions",
    "[subject]",
    `CN = ${common}`,
    "[extensions]",
    // Apache warns of a certificate that says it is an authority.
    "basicConstraints = critical,CA:FALSE",
    "keyUsage = critical,digitalSignature",
    "extendedKeyUsage = serverAuth",
    "subjectKeyIdentifier = hash",
    "subjectAltName = @names",
    "[names]",
    ...names.map((name, index) => `${isAddress(name) ? "IP" : "DNS"}.${index + 1} = ${name}`),
    "",
  ].join("\n");
}

/** The grammar of names knows IPv4 only. */
export function isAddress(name: string): boolean {
  return /^\d+\.\d+\.\d+\.\d+$/.test(name);
}

/** An order that is not finished, or failed: what is needed to go on with it, and when the next try may be. */
export interface OrderState {
  readonly directory: string;
  readonly names: readonly string[];
  /** As the authority named it. */
  readonly url?: string;
  /** Answers to challenges that were written and not yet taken away. */
  readonly tokens: readonly string[];
  /** Failures in a row. */
  readonly failures: number;
  /** ISO time before which the authority is not asked again. */
  readonly next?: string;
  /** Of the last failure. */
  readonly message?: string;
}

const orderFile = (directory: string) => join(directory, "order.json");
const orderKey = (directory: string) => join(directory, "order.key");

export async function readOrder(host: Host, directory: string): Promise<OrderState | undefined> {
  try {
    return JSON.parse((await host.readFile(orderFile(directory))) ?? "") as OrderState;
  } catch (error) {
    // What is not whole says nothing: the next order writes it anew.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export async function writeOrder(host: Host, directory: string, state: OrderState): Promise<void> {
  await host.writeFile(orderFile(directory), `${JSON.stringify(state)}\n`, { mode: 0o600 });
}

/** The key that the order's certificate will be for: the same as long as the order is not finished. */
export async function keyOfOrder(host: Host, directory: string, goesOn: boolean): Promise<Secret> {
  const present = goesOn ? await host.readFile(orderKey(directory)) : undefined;
  if (present !== undefined) return new Secret(present);
  const key = newKey();
  await host.writeFile(orderKey(directory), reveal(key), { mode: 0o600 });
  return key;
}

export async function removeOrder(host: Host, directory: string): Promise<void> {
  await host.remove(orderFile(directory));
  await host.remove(orderKey(directory));
}
