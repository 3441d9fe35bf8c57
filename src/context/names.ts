/**
 * The grammar of names (DESIGN 3). Everything that reaches a path, a vhost, SQL or PHP has passed one of these.
 * Each predicate answers with what is wrong, or undefined.
 */

const LABEL = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const SEGMENT = /^[a-z0-9][a-z0-9._-]*$/;
const CONTEXT = /^[a-z0-9][a-z0-9._-]*$/;
const MAX_NAME = 253;
/** A directory name on every file system we know: 255 bytes, less what is put beside it while it is written. */
const MAX_CONTEXT = 200;

function hostProblem(host: string): string | undefined {
  if (host.length > MAX_NAME) return `is longer than ${MAX_NAME} characters`;
  for (const label of host.split(".")) {
    if (label === "") return "has an empty label (two dots in a row, or one at an end)";
    if (label.length > 63) return `has a label longer than 63 characters`;
    if (!LABEL.test(label))
      return "may hold lower-case letters, digits, dots and inner hyphens only (write an internationalised name in its xn-- form)";
  }
  return undefined;
}

/** A site's uri: a lower-case host name, optionally with one `/segment`. */
export function uriProblem(uri: string): string | undefined {
  if (uri.length > MAX_NAME) return `is longer than ${MAX_NAME} characters`;
  const [host = "", segment, ...more] = uri.split("/");
  if (more.length > 0) return "may have one /segment only";
  const problem = hostProblem(host);
  if (problem) return problem;
  if (segment !== undefined && (!SEGMENT.test(segment) || segment.includes("..")))
    return "has a /segment that is not letters, digits, dots, hyphens and underscores";
  if (uri === "all" || uri === "default") return "is a directory that Drupal uses itself";
  return undefined;
}

/** An alias: a host name, or `*.` and one. */
export function aliasProblem(alias: string): string | undefined {
  return hostProblem(alias.startsWith("*.") ? alias.slice(2) : alias);
}

/** A context's name without its `@`. */
export function contextNameProblem(name: string): string | undefined {
  if (name.length > MAX_CONTEXT) return `is longer than ${MAX_CONTEXT} characters`;
  if (!CONTEXT.test(name) || name.includes(".."))
    return "may hold lower-case letters, digits, dots, hyphens and underscores, and begins with a letter or digit";
  return undefined;
}

/** A path in a context: absolute, or relative to the hub and inside it. */
export function pathProblem(path: string): string | undefined {
  if (path === "") return "is empty";
  if (path.length > 4000) return "is longer than 4000 characters";
  if (/\p{Cc}/u.test(path)) return "holds a control character";
  if (/["'`$;&|<>\\*?{}#~]/.test(path)) return "holds a character that means something to a shell, a web server or PHP";
  if (path.split("/").includes("..")) return "may not hold ..";
  return undefined;
}

/** Drupal's machine names: profiles, languages, modules. */
export function machineNameProblem(name: string): string | undefined {
  return /^[a-z][a-z0-9_]*$/.test(name) && name.length <= 50
    ? undefined
    : "may hold lower-case letters, digits and underscores, and begins with a letter";
}

/** `example.com/foo` → `example.com.foo`, as in directory and file names. */
export function siteName(uri: string): string {
  return uri.replace("/", ".");
}
