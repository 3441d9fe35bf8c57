import { didYouMean } from "../core/errors.js";

/**
 * The grammar of names (DESIGN 3). Everything that reaches a path, a vhost, SQL or PHP has passed one of these.
 * Each predicate answers with what is wrong, or undefined. The patterns say the same, as far as one
 * regular expression can, for editors (JSON Schema): they never refuse what the predicate takes.
 */

const LABEL = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const SEGMENT = /^[a-z0-9][a-z0-9._-]*$/;
const CONTEXT = /^[a-z0-9][a-z0-9._-]*$/;
const PATH = /^[\p{L}\p{M}\p{N} ._/@+=,-]+$/u;
const MAX_NAME = 253;
/** A directory name on every file system we know: 255 bytes, less what is put beside it while it is written. */
const MAX_CONTEXT = 200;
/** Words that drush takes in the place of a context. */
const NOT_A_CONTEXT = ["none", "self"];
/** What Drupal itself keeps in `sites/`. */
const DRUPALS_OWN = [
  "all",
  "default",
  "simpletest",
  "sites.php",
  "example.sites.php",
  "example.settings.local.php",
  "development.services.yml",
];

const HOST_PATTERN = "[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*";
export const URI_PATTERN = `^${HOST_PATTERN}(/[a-z0-9][a-z0-9._-]*)?$`;
export const ALIAS_PATTERN = `^(\\*\\.)?${HOST_PATTERN}$`;
export const CONTEXT_PATTERN = "^[a-z0-9][a-z0-9._-]*$";
export const REFERENCE_PATTERN = "^@[a-z0-9][a-z0-9._-]*$";
export const PATH_PATTERN = PATH.source;

function hostProblem(host: string): string | undefined {
  if (host.length > MAX_NAME) return `is longer than ${MAX_NAME} characters`;
  const labels = host.split(".");
  for (const label of labels) {
    if (label === "") return "has an empty label (two dots in a row, or one at an end)";
    if (label.length > 63) return `has a label longer than 63 characters`;
    if (!LABEL.test(label))
      return "may hold lower-case letters, digits, dots and inner hyphens only (write an internationalised name in its xn-- form)";
  }
  // Browsers and URL parsers read any name that ends in a number as an IPv4 address: 1.2.3 is 1.2.0.3 to them.
  if (/^(\d+|0x[0-9a-f]*)$/.test(labels.at(-1) as string) && !isIpv4(labels))
    return "ends in a number, which browsers take for an IP address";
  return undefined;
}

function isIpv4(labels: readonly string[]): boolean {
  return labels.length === 4 && labels.every((label) => /^(0|[1-9]\d{0,2})$/.test(label) && Number(label) <= 255);
}

/** A site's uri: a lower-case host name, optionally with one `/segment`. */
export function uriProblem(uri: string): string | undefined {
  if (uri.length > MAX_NAME) return `is longer than ${MAX_NAME} characters`;
  const [host = "", segment, ...more] = uri.split("/");
  if (more.length > 0) return "may have one /segment only";
  const problem = hostProblem(host);
  if (problem) return problem;
  if (segment !== undefined && (!SEGMENT.test(segment) || segment.includes("..") || segment.endsWith(".")))
    return "has a /segment that is not letters, digits, dots, hyphens and underscores";
  if (DRUPALS_OWN.includes(siteName(uri))) return "is a name that Drupal itself uses below sites/";
  return undefined;
}

/** Name of a site's directory below sites/, where that is not the one of its uri. */
export function siteDirectoryProblem(name: string): string | undefined {
  if (name !== "default" && DRUPALS_OWN.includes(name)) return "is a name that Drupal itself uses below sites/";
  if (name.length > MAX_CONTEXT) return `is longer than ${MAX_CONTEXT} characters`;
  return /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name) && !name.includes("..")
    ? undefined
    : "may hold letters, digits, dots, hyphens and underscores, and begins with a letter or digit";
}

/** An alias: a host name, or `*.` and one. */
export function aliasProblem(alias: string): string | undefined {
  return hostProblem(alias.startsWith("*.") ? alias.slice(2) : alias);
}

/** Host names by which visitors reach a site: what its certificate has to have. */
export function hostNames({ uri, aliases }: { readonly uri: string; readonly aliases: readonly string[] }): readonly string[] {
  return [...new Set([uri.split("/")[0] as string, ...aliases])];
}

/** Those of them that http-01 cannot prove (RFC 8555 7.1.3, 8.3): it asks one name over http, so no wildcard; and it asks names. */
export function unprovableNames(site: { readonly uri: string; readonly aliases: readonly string[] }): readonly string[] {
  return hostNames(site).filter((name) => name.startsWith("*.") || isIpv4(name.split(".")));
}

/** A context's name without its `@`. */
export function contextNameProblem(name: string): string | undefined {
  if (name.length > MAX_CONTEXT) return `is longer than ${MAX_CONTEXT} characters`;
  if (!CONTEXT.test(name) || name.includes(".."))
    return "may hold lower-case letters, digits, dots, hyphens and underscores, and begins with a letter or digit";
  if (NOT_A_CONTEXT.includes(name)) return "is a word of the command line, not a name";
  return undefined;
}

/** A reference to a context: `@` and its name. */
export function referenceProblem(reference: string): string | undefined {
  return reference.startsWith("@") ? contextNameProblem(reference.slice(1)) : "does not begin with @";
}

/** A path in a context: absolute, or relative to the hub and inside it. */
export function pathProblem(path: string): string | undefined {
  if (path === "") return "is empty";
  if (path.length > 4000) return "is longer than 4000 characters";
  if (/\p{Cc}/u.test(path)) return "holds a control character";
  if (!PATH.test(path)) return "holds a character other than letters, digits, spaces and . _ - / @ + = ,";
  if (path.split("/").includes("..")) return "may not hold ..";
  if (path.split("/").some((part) => part.length > 255)) return "has a part longer than 255 characters";
  if (path.startsWith("-")) return "begins with -";
  if (path !== path.trim()) return "begins or ends with a space";
  return undefined;
}

/** Drupal's machine names: profiles, languages, modules. */
export function machineNameProblem(name: string): string | undefined {
  return /^[a-z][a-z0-9_]*$/.test(name) && name.length <= 50
    ? undefined
    : "may hold lower-case letters, digits and underscores, and begins with a letter";
}

export function emailProblem(address: string): string | undefined {
  const [user = "", host = "", ...more] = address.split("@");
  if (more.length > 0 || address.length > 254 || !/^[A-Za-z0-9._%+-]{1,64}$/.test(user) || hostProblem(host.toLowerCase()) !== undefined)
    return "is not an e-mail address";
  return undefined;
}

/** An http or https URL without anything that a shell or PHP would read as its own. */
export function urlProblem(url: string): string | undefined {
  if (url.length > 2000) return "is longer than 2000 characters";
  return /^https?:\/\/[A-Za-z0-9][^\s\p{Cc}'"`$;<>\\{}|^]*$/u.test(url) && URL.canParse(url) ? undefined : "is not an http or https URL";
}

/** The context that was meant by `name`, both with their `@`. A common `client_` does not make two names alike. */
export function meantContext(name: string, names: readonly string[]): string | undefined {
  const prefix = /^@(server|platform|client)_/.exec(name)?.[0];
  if (prefix === undefined) {
    const prefixed = ["server", "platform", "client"]
      .map((type) => `@${type}_${name.slice(1)}`)
      .find((candidate) => names.includes(candidate));
    return prefixed ?? didYouMean(name, names);
  }
  const alike = names.filter((candidate) => candidate.startsWith(prefix)).map((candidate) => candidate.slice(prefix.length));
  const meant = didYouMean(name.slice(prefix.length), alike);
  return meant === undefined
    ? didYouMean(
        name,
        names.filter((candidate) => !candidate.startsWith(prefix)),
      )
    : prefix + meant;
}

/** Where a site stands below sites/: under the name of its uri, or where it was when it was imported. */
export function siteDirectory({ uri, directory }: { readonly uri: string; readonly directory?: string | undefined }): string {
  return directory ?? siteName(uri);
}

/** `example.com/foo` → `example.com.foo`, as in directory and file names. */
export function siteName(uri: string): string {
  return uri.replace("/", ".");
}

/** A value in a message: in quotes, shortened, with nothing in it that a terminal would act on. */
export function quoted(value: string): string {
  const short = value.length > 80 ? `${value.slice(0, 77)}…` : value;
  return JSON.stringify(short).replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** `@client_acme` → `acme`, as sites and the directory below clients/ name it. */
export function clientWord(name: string): string {
  return name.replace(/^@(client_)?/, "");
}
