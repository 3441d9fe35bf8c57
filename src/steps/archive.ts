import { ProvisionError } from "../core/errors.js";
import type { Argv, Host, PipeOptions } from "../host/host.js";
import { HostError } from "../host/host.js";
import { type PipeBetweenOptions, pipeBetween } from "../host/pipe.js";

/** Level 1 is faster than any server dumps, and a dump of text is small by it all the same. */
const COMPRESS: Argv = ["zstd", "-q", "-1", "-T0", "-c"];

/** Programs that say the sha256 of what they read, as hexadecimal first, on each machine: coreutils' own takes five times as long as the one by openssl. */
const SUMS = new WeakMap<Host, Promise<Argv>>();

function summing(host: Host): Promise<Argv> {
  const known = SUMS.get(host) ?? sumProgram(host);
  SUMS.set(host, known);
  return known;
}

/** Looks which program that is, for what is written there soon. */
export function beforeWriting(host: Host): void {
  // Whoever writes hears of it.
  summing(host).catch(() => {});
}

async function sumProgram(host: Host): Promise<Argv> {
  try {
    if ((await host.run(["openssl", "version"], { anyExit: true, timeout: 60_000 })).code === 0)
      return ["openssl", "dgst", "-sha256", "-r"];
  } catch (error) {
    if (!(error instanceof HostError) || error.code !== "PROGRAM_MISSING") throw error;
  }
  return ["sha256sum"];
}

/** A file that was written, as it was on its way to the disk. */
export interface Written {
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/**
 * What a program writes, compressed, as the file `to` for the owner alone; its directory exists. Bytes go from program to program and are hashed
 * on their way; any program that fails fails all. It is not said to be on the disk: whoever needs that calls `synced`. `at`: the machine of the file,
 * where that is another.
 */
export async function compressed(host: Host, from: Argv, to: string, options: PipeOptions = {}, at: Host = host): Promise<Written> {
  const { through = [], ...rest } = options;
  return written(host, from, to, { ...rest, fromThrough: [...through, COMPRESS] }, at);
}

/** The same of a program on a machine that is only read: nothing but that program runs there. `most`: bytes, before they are compressed here. */
export function received(
  source: Host,
  from: Argv,
  to: string,
  { toThrough = [], ...options }: Omit<PipeBetweenOptions, "fromThrough" | "onOutput"> & { readonly most: number },
  at: Host,
): Promise<Written> {
  return written(source, from, to, { ...options, toThrough: [...toThrough, COMPRESS] }, at);
}

async function written(host: Host, from: Argv, to: string, options: PipeBetweenOptions, at: Host): Promise<Written> {
  const sum = await summing(at);
  let said = "";
  try {
    await pipeBetween(host, from, at, sum, {
      ...options,
      toThrough: [...(options.toThrough ?? []), ["tee", "--output-error=exit", "--", to]],
      onOutput: (text) => {
        said += text;
      },
    });
  } catch (error) {
    throw fullDisk(error, at, to);
  }
  await at.chmod(to, { mode: 0o600 });
  const sha256 = /^[0-9a-f]{64}/.exec(said)?.[0];
  if (sha256 === undefined) throw new ProvisionError("COMMAND_FAILED", `${at.name}: ${sum[0]} did not say the sum of ${to}`);
  return { bytes: (await at.stat(to))?.size ?? 0, sha256 };
}

/** These files and directories are on the disk, whatever happens to the machine. */
export async function synced(host: Host, paths: readonly string[]): Promise<void> {
  await host.run(["sync", "--", ...paths]);
}

/** sha256 of a file, hexadecimal; undefined when there is none. */
export async function sha256Of(host: Host, path: string): Promise<string | undefined> {
  if ((await host.stat(path))?.type !== "file") return undefined;
  const [program, ...options] = await summing(host);
  const { stdout } = await host.run([program, ...options, ...(program === "sha256sum" ? ["--zero"] : []), "--", path]);
  return stdout.slice(0, 64);
}

/** The program that writes what is in a file, decompressed; by the end of its name. */
export function decompress(path: string): Argv {
  const program = /\.(zst|gz|tgz|bz2)$/.exec(path)?.[1];
  if (program === "zst") return ["zstd", "-q", "-dc", "--", path];
  if (program === "gz" || program === "tgz") return ["gzip", "-dc", "--", path];
  return program === "bz2" ? ["bzip2", "-dc", "--", path] : ["cat", "--", path];
}

function fullDisk(error: unknown, host: Host, path: string): unknown {
  if (!(error instanceof HostError) || error.code !== "COMMAND_FAILED") return error;
  const line = error.why.find((each) => /^(tee|tar|cat|zstd): .*(No space left on device|Disk quota exceeded)/.test(each));
  return line === undefined
    ? error
    : new ProvisionError("DISK_FULL", `${host.name}: ${path}: no space left`, { why: [line], cause: error });
}

export interface Packed extends Written {
  /** Files that were there when their directory was read and gone when they were to be: no error, others go on working. */
  readonly vanished: readonly string[];
  /** Files that others wrote to meanwhile: they are as they were at some moment, or cut off. */
  readonly changed: readonly string[];
}

/**
 * A compressed tar archive of the members of a directory that are there. `exclude`: members below them that are left out, by their
 * exact names as tar gives them (`files/css`). Links are stored as links. `at`: the machine of the archive, where that is another.
 */
export async function pack(
  host: Host,
  { directory, members, exclude }: { readonly directory: string; readonly members: readonly string[]; readonly exclude: readonly string[] },
  to: string,
  at: Host = host,
): Promise<Packed> {
  const { argv, options, told } = await packing(host, { directory, members, exclude });
  return { ...(await compressed(host, argv, to, options, at)), ...told() };
}

/** What `packing` is to take. `renamed`: how the beginning of a member's name is to be in the archive. */
interface Packing {
  readonly directory: string;
  readonly members: readonly string[];
  readonly exclude: readonly string[];
  readonly renamed?: readonly { readonly from: string; readonly to: string }[];
}

/** The program that writes such an archive, uncompressed, how it is to be run, and what it said once it is over. */
export async function packing(host: Host, { directory, members, exclude, renamed = [] }: Packing) {
  const there: string[] = [];
  for (const member of members) if (await host.stat(`${directory}/${member}`)) there.push(member);
  const vanished: string[] = [];
  const changed: string[] = [];
  let rest = "";
  const argv: Argv = [
    "tar",
    "--create",
    "--numeric-owner",
    "--quoting-style=escape",
    `--directory=${directory}`,
    "--anchored",
    "--no-wildcards",
    ...exclude.map((path) => `--exclude=${path}`),
    // Where symbolic links lead is not a name in the archive.
    ...renamed.map(({ from, to }) => `--transform=flags=rSh;s,^${from.replace(/[.[\]*^$\\]/g, "\\$&")}\\(/\\|$\\),${to}\\1,`),
    ...(there.length === 0 ? ["--files-from=/dev/null"] : ["--", ...there]),
  ];
  const options = {
    env: { LC_ALL: "C", TAR_OPTIONS: undefined },
    fromExits: [1],
    onStderr: (text: string) => {
      const lines = `${rest}${text}`.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [, name = "", what] =
          /^tar: (.*): (File removed before we read it|file changed as we read it|File shrank by .*)$/.exec(line) ?? [];
        if (what !== undefined) (what.startsWith("File removed") ? vanished : changed).push(name);
      }
    },
  };
  return { argv, options, told: () => ({ vanished: few(vanished), changed: few([...new Set(changed)]) }) };
}

/** A list that a person reads; who loses more files than that in a minute looks elsewhere. */
function few(names: readonly string[]): readonly string[] {
  return names.length > 200 ? [...names.slice(0, 200), `and ${names.length - 200} more`] : names;
}

/** One line of `tar --list --verbose --numeric-owner --quoting-style=escape`; undefined when it is not one. */
export function memberOf(
  line: string,
): { readonly type: string; readonly size: string; readonly name: string; readonly target: string | undefined } | undefined {
  const match = /^(.)\S+ +\S+ +(\d+|\d+,\d+) +\S+ +\S+ (.*)$/.exec(line);
  if (!match) return undefined;
  const [, type = "", size = "", rest = ""] = match;
  const [name = rest, target, ...more] = type === "h" ? rest.split(" link to ") : type === "l" ? rest.split(" -> ") : [rest];
  // Where name and target cannot be told apart, neither can be trusted.
  return { type, size, name, target: more.length > 0 ? undefined : target };
}

/** What is wrong with where a member would come to stand. */
export function memberFault(name: string): string | undefined {
  if (name.startsWith("/")) return "has an absolute path";
  return name.includes("..") && name.split("/").includes("..") ? "leads out of the archive" : undefined;
}

/** Where a symbolic link leads, when that is not inside the archive: only `..` at the beginning may climb, and no higher than it stands. */
function linkFault(name: string, target: string): string | undefined {
  if (target.startsWith("/")) return `points to the absolute path ${target}`;
  const parts = target.split("/").filter((part) => part !== "" && part !== ".");
  const up = parts.findIndex((part) => part !== "..");
  const climbs = up === -1 ? parts.length : up;
  const depth = name.split("/").filter((part) => part !== "" && part !== ".").length - 1;
  return climbs > depth || parts.slice(climbs).includes("..") ? `points out of the archive: ${target}` : undefined;
}

export interface UnpackLimits {
  readonly entries: number;
  /** Of all files together. */
  readonly bytes: number;
  /** inside: links may not lead out of the archive. any: what an operator had put into his own site. */
  readonly links: "inside" | "any";
}

/**
 * Looks at every member of a tar archive, whatever its compression, and refuses what would be written elsewhere than below the directory it is
 * unpacked to, what is no file, directory or link, and more than the limits: before one byte is written. Rejects with REFUSED, or
 * COMMAND_FAILED for one that cannot be read to its end.
 */
export async function examine(
  host: Host,
  archive: string,
  limits: UnpackLimits,
): Promise<{ readonly entries: number; readonly bytes: number }> {
  const found = { entries: 0, bytes: 0, fault: undefined as string | undefined };
  let rest = "";
  // A bomb is not unpacked to its end to find out that it is one.
  const room = limits.bytes + limits.entries * 1024 + (1 << 20);
  const look = (line: string) => {
    if (line === "" || found.fault !== undefined) return;
    const member = memberOf(line);
    if (!member) found.fault = `the list of its members cannot be read: ${line.slice(0, 80)}`;
    else found.fault = faultOf(member, limits, found);
  };
  try {
    await host.pipe(
      decompress(archive),
      ["tar", "--list", "--verbose", "--numeric-owner", "--quoting-style=escape", "--absolute-names", "--file=-"],
      {
        through: [["head", "-c", String(room)]],
        env: { LC_ALL: "C", TAR_OPTIONS: undefined },
        onOutput: (text) => {
          const lines = `${rest}${text}`.split("\n");
          rest = lines.pop() ?? "";
          for (const line of lines) look(line);
        },
      },
    );
    look(rest);
  } catch (error) {
    if (found.fault !== undefined) throw refused(archive, found.fault);
    if (error instanceof ProvisionError && error.code === "COMMAND_FAILED")
      throw refused(archive, `it is no tar archive, damaged, or larger than ${mebibytes(limits.bytes)} MiB`, error.why);
    throw error;
  }
  if (found.fault !== undefined) throw refused(archive, found.fault);
  return found;
}

function faultOf(
  { type, size, name, target }: NonNullable<ReturnType<typeof memberOf>>,
  limits: UnpackLimits,
  found: { entries: number; bytes: number },
): string | undefined {
  if (!"-dlhL".includes(type)) return `${name} is no file, directory or link (${type})`;
  if ("lh".includes(type) && target === undefined) return `its link ${name} has a name that cannot be told from its target`;
  const wrong = memberFault(name) ?? (type === "h" ? memberFault(target ?? "") : undefined);
  if (wrong !== undefined) return `its member ${name} ${wrong}`;
  const link = type === "l" && limits.links === "inside" ? linkFault(name, target ?? "") : undefined;
  if (link !== undefined) return `its link ${name} ${link}`;
  found.entries++;
  found.bytes += type === "-" ? Number(size) : 0;
  if (found.entries > limits.entries) return `it holds more than ${limits.entries} entries`;
  return found.bytes > limits.bytes ? `it unpacks to more than ${mebibytes(limits.bytes)} MiB` : undefined;
}

function refused(archive: string, why: string, more: readonly string[] = []): ProvisionError {
  return new ProvisionError("REFUSED", `the archive ${archive} is refused: ${why}`, { why: more, state: "nothing of it was unpacked" });
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 ** 2);
}

/**
 * Unpacks what `examine` has let pass into a directory that is there. Owners are not taken from the archive; modes are, but for those of
 * `shared` trees, which the web server's group may write to. `only`: members, without what is below `strip` names. `at`: the machine of the
 * archive, where that is another.
 */
export async function unpackTar(
  host: Host,
  archive: string,
  into: string,
  { only = [], exclude = [] }: { readonly only?: readonly string[]; readonly exclude?: readonly string[] } = {},
  at: Host = host,
): Promise<void> {
  try {
    await pipeBetween(
      at,
      decompress(archive),
      host,
      [
        "tar",
        "--extract",
        "--file=-",
        `--directory=${into}`,
        "--no-same-owner",
        "--preserve-permissions",
        "--delay-directory-restore",
        "--anchored",
        "--no-wildcards",
        ...exclude.map((path) => `--exclude=${path}`),
        ...(only.length > 0 ? ["--", ...only] : []),
      ],
      { env: { LC_ALL: "C", TAR_OPTIONS: undefined } },
    );
  } catch (error) {
    throw fullDisk(error, host, into);
  }
}
