import { resolve } from "node:path";
import { ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import { shown, withMirrors } from "./address.js";
import { isTruthy, type PhpArray, phpText } from "./php-value.js";

/** A download by Subversion or Bazaar, checked; their programs are asked only when a make file needs them. */
export interface VcsRequest {
  readonly program: "svn" | "bzr";
  readonly url: string;
  readonly revision: string | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

const TIMEOUT = 30 * 60_000;

export function vcsRequest(program: "svn" | "bzr", download: PhpArray): VcsRequest {
  const text = (key: string) => (isTruthy(download.get(key)) ? phpText(download.get(key)).trim() : undefined);
  const url = text("url");
  if (url === undefined) throw new ProvisionError("BUILD_FAILED", `a download by ${program} needs a url`);
  const scheme = program === "svn" ? /^(?:https?|svn|file):\/\/(?!-)/i : /^(?:(?:https?|bzr|file):\/\/(?!-)|lp:)/i;
  if (!(scheme.test(url) || url.startsWith("/")) || /[\0-\x20\x7f]/.test(url))
    throw new ProvisionError(
      "BUILD_FAILED",
      `the repository ${JSON.stringify(shown(url))} is refused: ${program} takes http, https, ${program}, file or a path`,
    );
  const revision = text("revision");
  if (revision !== undefined && !/^(?:\d+(?:\.\d+)*|HEAD|tag:[\w.][\w.-]*|revid:[\w.@][\w.@+=-]*|\{[\dT: -]+\})$/i.test(revision))
    throw new ProvisionError("BUILD_FAILED", `the revision ${JSON.stringify(revision)} is refused: ${program} knows none like this`);
  return { program, url, revision, username: text("username"), password: text("password") };
}

/**
 * Writes the tree to a directory that does not exist yet; externals of Subversion stay out, since they lead anywhere.
 * Out: the revision.
 * @throws ProvisionError PROGRAM_MISSING, BUILD_FAILED
 */
export async function exportVcs(
  host: Host,
  request: VcsRequest,
  into: string,
  options: { readonly mirrors: Readonly<Record<string, string>>; readonly offline: boolean; readonly workingCopy: boolean },
): Promise<string> {
  const place = withMirrors(request.url, options.mirrors)[0] ?? { url: request.url };
  const url = "path" in place ? `file://${place.path}` : place.url.startsWith("/") ? `file://${resolve(place.url)}` : place.url;
  if (options.offline && !url.startsWith("file://"))
    throw new ProvisionError(
      "BUILD_FAILED",
      `Unable to export ${shown(url)}: ${request.program} keeps no cache, and this build is offline`,
    );
  return request.program === "svn"
    ? svn(host, request, url, into, options.workingCopy)
    : bzr(host, request, url, into, options.workingCopy);
}

async function svn(host: Host, request: VcsRequest, url: string, into: string, workingCopy: boolean): Promise<string> {
  const revision = request.revision === undefined ? [] : ["--revision", request.revision];
  const account = [
    ...(request.username === undefined ? [] : ["--username", request.username, "--no-auth-cache"]),
    ...(request.password === undefined ? [] : ["--password-from-stdin"]),
  ];
  const argv = ["svn", workingCopy ? "checkout" : "export", "--non-interactive", "--ignore-externals", ...revision, ...account] as const;
  // without the @ a name with an @ in it would be read as a revision
  const { stdout } = await run(host, [...argv, "--", `${url}@`, into], request.password);
  const found = /revision (\d+)\.\s*$/m.exec(stdout)?.[1];
  if (found === undefined) throw new ProvisionError("BUILD_FAILED", `Unable to export ${shown(url)}: svn names no revision`);
  return found;
}

async function bzr(host: Host, request: VcsRequest, url: string, into: string, workingCopy: boolean): Promise<string> {
  const asked = request.revision === undefined ? [] : ["--revision", request.revision];
  const { stdout } = await bazaar(host, ["revision-info", "--directory", url, ...asked]);
  // Numbers belong to a branch, tags move: only the id is the same tomorrow.
  const id = /^\S+ (\S+)\s*$/.exec(stdout)?.[1];
  if (id === undefined) throw new ProvisionError("BUILD_FAILED", `Unable to export ${shown(url)}: bzr names no revision`);
  const revision = `revid:${id}`;
  await bazaar(host, [
    workingCopy ? "branch" : "export",
    ...["--quiet", "--revision", revision, "--"],
    ...(workingCopy ? [url, into] : [into, url]),
  ]);
  return revision;
}

/** Breezy calls itself brz, and not everywhere bzr, too. */
async function bazaar(host: Host, args: readonly string[]) {
  try {
    return await run(host, ["bzr", ...args], undefined);
  } catch (error) {
    if (!(error instanceof ProvisionError) || error.code !== "PROGRAM_MISSING") throw error;
    return run(host, ["brz", ...args], undefined);
  }
}

async function run(host: Host, argv: readonly [string, ...string[]], input: string | undefined) {
  try {
    const result = await host.run(argv, {
      timeout: TIMEOUT,
      anyExit: true,
      env: { LC_ALL: "C.UTF-8" },
      ...(input === undefined ? {} : { input }),
    });
    if (result.code === 0) return result;
    const said = result.stderr.split("\n").filter((line) => line.trim() !== "");
    throw new ProvisionError("BUILD_FAILED", `Unable to export with ${argv[0]}: ${shown(said.at(-1) ?? "")}`);
  } catch (error) {
    if (error instanceof ProvisionError && error.code === "PROGRAM_MISSING") throw missing(argv[0] === "svn" ? "svn" : "bzr", error);
    throw error;
  }
}

function missing(program: VcsRequest["program"], cause?: unknown): ProvisionError {
  return new ProvisionError("PROGRAM_MISSING", `it is downloaded by ${program}, which is not installed here`, {
    why: [`apt install ${program === "svn" ? "subversion" : "brz"}`],
    cause,
  });
}
