import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export type Files = Readonly<Record<string, string>>;

export function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), "provision-make-"));
}

/** Writes files below a directory; a name that ends with `*` is made executable. */
export function writeFiles(directory: string, files: Files): string {
  for (const [name, content] of Object.entries(files)) {
    const path = join(directory, name.replace(/\*$/, ""));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    if (name.endsWith("*")) chmodSync(path, 0o755);
  }
  return directory;
}

/** An archive made by the real program, with one directory `top` at its top (none when empty). */
export function archive(kind: "tar.gz" | "tar.bz2" | "tar" | "zip", top: string, files: Files): Buffer {
  const directory = temporaryDirectory();
  try {
    writeFiles(join(directory, "in", top), files);
    const out = join(directory, `out.${kind}`);
    const names = readdirSync(join(directory, "in"));
    if (kind === "zip") execFileSync("python3", ["-m", "zipfile", "-c", out, ...names], { cwd: join(directory, "in") });
    else
      execFileSync("tar", ["-c", ...(kind === "tar.gz" ? ["-z"] : kind === "tar.bz2" ? ["-j"] : []), "-f", out, ...names], {
        cwd: join(directory, "in"),
      });
    return readFileSync(out);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const GIT = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];

/** A repository whose commits are the given trees; each may be tagged or begin a branch. Out: the commits. */
export function repository(path: string, commits: readonly { files: Files; tag?: string; branch?: string }[]): string[] {
  mkdirSync(path, { recursive: true });
  const git = (...args: string[]) =>
    execFileSync("git", [...GIT, ...args], {
      cwd: path,
      encoding: "utf8",
      env: { ...process.env, GIT_AUTHOR_DATE: "2020-01-01T00:00:00Z", GIT_COMMITTER_DATE: "2020-01-01T00:00:00Z" },
    }).trim();
  git("init", "-q", "-b", "main");
  return commits.map(({ files, tag, branch }) => {
    if (branch) git("checkout", "-q", "-b", branch);
    writeFiles(path, files);
    git("add", "-A");
    git("commit", "-q", "-m", "c");
    if (tag) git("tag", tag);
    return git("rev-parse", "HEAD");
  });
}

export function md5(content: Buffer | string): string {
  return createHash("md5").update(content).digest("hex");
}

export interface FixtureRelease {
  readonly version: string;
  readonly url: string;
  readonly md5?: string;
  readonly extra?: string;
  /** `Insecure`, `Security update`, … */
  readonly term?: string;
}

/** What an update server says of a project; releases newest first. */
export function releaseHistory(type: string, releases: readonly FixtureRelease[]): string {
  const major = (version: string) => /(?:^\d+\.x-)?(\d+)/.exec(version)?.[1] ?? "1";
  const list = releases.map(
    ({ version, url, md5: hash, extra, term }) =>
      `<release><version>${version}</version><version_major>${major(version)}</version_major>${extra ? `<version_extra>${extra}</version_extra>` : ""}<status>published</status><download_link>${url}</download_link>${hash ? `<mdhash>${hash}</mdhash>` : ""}${term ? `<terms><term><name>Release type</name><value>${term}</value></term></terms>` : ""}</release>`,
  );
  return `<?xml version="1.0"?><project><type>project_${type}</type><recommended_major>${major(releases[0]?.version ?? "")}</recommended_major><releases>${list.join("")}</releases></project>`;
}

/** Every path below a directory with its mode and content, sorted: two trees are the same when these are. */
export function treeOf(root: string): string[] {
  const visit = (path: string, name: string): string[] => {
    const stat = lstatSync(path);
    const mode = (stat.mode & 0o7777).toString(8);
    if (stat.isSymbolicLink()) return [`${name} -> ${readlinkSync(path)}`];
    if (stat.isDirectory())
      return [
        `${name}/ ${mode}`,
        ...readdirSync(path)
          .sort()
          .flatMap((child) => visit(join(path, child), name === "" ? child : `${name}/${child}`)),
      ];
    return [`${name} ${mode} ${md5(readFileSync(path))}`];
  };
  return visit(root, "");
}

/** A hand-made tar for what tar itself would not write: members by raw name, type and mode. */
export function rawTar(members: readonly { name: string; type?: string; link?: string; content?: string; mode?: number }[]): Buffer {
  const blocks = members.flatMap(({ name, type = "0", link = "", content = "", mode = 0o644 }) => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write(`${mode.toString(8).padStart(7, "0")}\0`, 100);
    header.write("0000000\0".repeat(2), 108);
    header.write(`${Buffer.byteLength(content).toString(8).padStart(11, "0")}\0`, 124);
    header.write("00000000000\0", 136);
    header.write("        ", 148);
    header.write(type, 156);
    header.write(link, 157);
    header.write("ustar\x0000", 257);
    header.write("0000000\0".repeat(2), 329);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    const body = Buffer.alloc(Math.ceil(Buffer.byteLength(content) / 512) * 512);
    body.write(content);
    return [header, body];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}
