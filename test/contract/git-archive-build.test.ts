import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { buildSource, type PlatformCode } from "../../src/builds/index.js";
import { makeSource } from "../../src/builds/make/index.js";
import type { BuildRequest } from "../../src/builds/source.js";
import { Scope } from "../../src/core/scope.js";
import { LocalHost } from "../../src/host/local.js";
import { composerProject } from "../support/composer-project.js";
import { failure } from "../support/failure.js";
import { FileServer } from "../support/file-server.js";
import { archive, type Files, rawTar, repository, temporaryDirectory } from "../support/make-fixtures.js";

let server: FileServer;
let work: string;
beforeAll(async () => {
  server = await new FileServer().start();
});
afterAll(async () => {
  await server.stop();
});
beforeEach(() => {
  if (work) rmSync(work, { recursive: true, force: true });
  work = temporaryDirectory();
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

const CORE: Files = { "index.php": "<?php // core", "includes/bootstrap.inc": "<?php\n", "scripts/run.sh*": "#!/bin/sh" };
const built = () => join(work, "builds/p");
const read = (path: string) => readFileSync(join(built(), path), "utf8");
const sha256 = (content: Buffer) => createHash("sha256").update(content).digest("hex");

async function build(code: PlatformCode, request: Partial<BuildRequest> = {}) {
  const source = buildSource(code);
  if (!source) throw new Error("no source");
  return source.build({
    host: new LocalHost(new Scope()),
    destination: built(),
    cache: join(work, "cache"),
    mirrors: {},
    offline: false,
    jobs: 2,
    ...request,
  });
}

async function refused(code: PlatformCode, request: Partial<BuildRequest> = {}): Promise<string> {
  const error = await failure(build(code, request));
  expect(existsSync(built()), "nothing was put in place").toBe(false);
  expect(existsSync(join(work, "builds")) ? readdirSync(join(work, "builds")) : [], "nothing is left beside it").toEqual([]);
  return [error.code, error.message, ...error.why, error.state ?? ""].join("\n");
}

describe("an archive", () => {
  it.each(["tar.gz", "tar.bz2", "tar", "zip"] as const)("%s is unpacked, without the directory at its top", async (kind) => {
    const content = archive(kind, "drupal-7.99", CORE);
    const report = await build({ archive: { archive: server.serve(`/a.${kind}`, content) } });
    expect(read("index.php")).toBe("<?php // core");
    expect(report.resolved).toEqual({ sha256: sha256(content) });
    expect(report.warnings.join()).toMatch(/archive_sha256: [0-9a-f]{64} would hold it to that/);
  });

  it("without a directory at its top is taken as it is, and a path will do", async () => {
    writeFileSync(join(work, "a.tar"), archive("tar", "", CORE));
    await build({ archive: { archive: join(work, "a.tar"), sha256: sha256(readFileSync(join(work, "a.tar"))) } });
    expect(readdirSync(built()).sort()).toEqual(["includes", "index.php", "scripts"]);
  });

  it("with another checksum is refused before it is unpacked", async () => {
    const url = server.serve("/wrong.tar", archive("tar", "d", CORE));
    expect(await refused({ archive: { archive: url, sha256: "0".repeat(64) } })).toMatch(
      /CHECKSUM_MISMATCH[\s\S]*nothing was put in place/,
    );
  });

  it("comes from the cache when the network is away, and from a mirror on disk", async () => {
    const content = archive("tar.gz", "d", CORE);
    const url = server.serve("/cached.tar.gz", content);
    await build({ archive: { archive: url, sha256: sha256(content) } });
    await build({ archive: { archive: url, sha256: sha256(content) } }, { offline: true, destination: join(work, "builds/again") });
    mkdirSync(join(work, "mirror"));
    writeFileSync(join(work, "mirror/x.tar.gz"), content);
    await build(
      { archive: { archive: "https://files.example.com/x.tar.gz" } },
      { offline: true, mirrors: { "https://files.example.com/": join(work, "mirror") }, destination: join(work, "builds/mirrored") },
    );
    expect(readdirSync(join(work, "builds")).sort()).toEqual(["again", "mirrored", "p"]);
  });

  it.each([
    ["a member that leads out", rawTar([{ name: "../evil", content: "x" }]), /leads out of the archive/],
    ["a device", rawTar([{ name: "dev", type: "3" }]), /is no file, directory or link/],
    ["a link to elsewhere", rawTar([{ name: "d/l", type: "2", link: "/etc/passwd" }, { name: "d/f" }]), /absolute path/],
    ["no archive at all", Buffer.from("<html>404</html>"), /is no archive/],
  ])("with %s is refused", async (_, content, expected) => {
    expect(await refused({ archive: { archive: server.serve("/bad", content) } })).toMatch(expected);
  });

  it("that is not there is refused", async () => {
    expect(await refused({ archive: { archive: `${server.url}/absent.tar` } })).toMatch(/DOWNLOAD_FAILED[\s\S]*404/);
    expect(await refused({ archive: { archive: join(work, "absent.tar") } })).toMatch(/there is no such file/);
  });
});

describe("a git repository", () => {
  const url = () => join(work, "repository");
  const two = () =>
    repository(url(), [
      { files: { ...CORE, version: "one" }, tag: "1.0" },
      { files: { version: "two" } },
      { files: { version: "feature" }, branch: "feature" },
    ]);

  it.each([
    ["its HEAD", undefined, "feature"],
    ["a branch", "main", "two"],
    ["a tag", "1.0", "one"],
  ])("is built at %s, without .git, and the commit is recorded", async (_, ref, version) => {
    const commits = two();
    const report = await build({ git: { git: url(), ...(ref === undefined ? {} : { ref }) } });
    expect(read("version")).toBe(version);
    expect(existsSync(join(built(), ".git"))).toBe(false);
    expect(report.resolved).toEqual({ commit: commits[["one", "two", "feature"].indexOf(version)] });
  });

  it("is built at a commit, the second time without the repository", async () => {
    const [first = ""] = two();
    await build({ git: { git: url(), ref: first } });
    rmSync(url(), { recursive: true });
    await build({ git: { git: url(), ref: first } }, { destination: join(work, "builds/again"), offline: true });
    expect(readFileSync(join(work, "builds/again/version"), "utf8")).toBe("one");
  });

  it("without such a ref, or not there, is refused", async () => {
    two();
    expect(await refused({ git: { git: url(), ref: "nope" } })).toMatch(/BUILD_FAILED[\s\S]*there is no such revision/);
    expect(await refused({ git: { git: join(work, "absent") } })).toMatch(/Unable to clone/);
    expect(await refused({ git: { git: url(), ref: "nope", workingCopy: true } })).toMatch(/Unable to check out nope/);
  });

  it("brings its submodules along", async () => {
    repository(join(work, "module"), [{ files: { "views.info": "name = Views" } }]);
    repository(url(), [{ files: CORE }]);
    execFileSync("git", ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", join(work, "module"), "modules/views"], {
      cwd: url(),
    });
    execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "module"], { cwd: url() });
    await build({ git: { git: url() } });
    expect(read("modules/views/views.info")).toBe("name = Views");
    expect(existsSync(join(built(), "modules/views/.git"))).toBe(false);
  });

  it("may hold the platform in a directory, but not out of it", async () => {
    repository(url(), [{ files: { "drupal/index.php": "<?php // inner", "README.md": "x" } }]);
    symlinkSync("/etc", join(url(), "etc"));
    execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.com", "add", "-A"], { cwd: url() });
    execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "link"], { cwd: url() });
    await build({ git: { git: url(), path: "drupal" } });
    expect(readdirSync(built())).toEqual(["index.php"]);
    rmSync(built(), { recursive: true });
    expect(await refused({ git: { git: url(), path: "web" } })).toMatch(/has no directory web[\s\S]*README\.md, drupal/);
    expect(await refused({ git: { git: url(), path: "etc" } })).toMatch(/has no directory etc/);
    expect(await refused({ git: { git: url() } })).toMatch(/link etc points to the absolute path/);
  });

  it("with a composer.json in it is installed by Composer", async () => {
    composerProject(url(), { core: CORE });
    writeFileSync(join(url(), ".gitignore"), "vendor\n");
    repository(url(), [{ files: {} as Files }].slice(1));
    execFileSync("git", ["add", "-A"], { cwd: url() });
    execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "c"], { cwd: url() });
    const report = await build({ git: { git: url() } });
    expect(read("web/index.php")).toBe("<?php // core");
    expect(Object.keys(report.resolved ?? {})).toEqual(expect.arrayContaining(["commit", "composer content-hash", "drupal/core"]));
  });

  it("with a make file and no core is built by it, its own files over what the make file brings", async () => {
    const core = server.serve("/core.tar.gz", archive("tar.gz", "d", { ...CORE, "robots.txt": "core's" }));
    repository(url(), [
      {
        files: {
          "build.make": `core = 7.x\napi = 2\nprojects[drupal][type] = core\nprojects[drupal][download][type] = get\nprojects[drupal][download][url] = ${core}\n`,
          "sites/all/modules/custom/own/own.info": "name = Own",
          "robots.txt": "ours",
        },
      },
    ]);
    const report = await build({ git: { git: url() } });
    expect(read("index.php")).toBe("<?php // core");
    expect(read("sites/all/modules/custom/own/own.info")).toBe("name = Own");
    expect(read("robots.txt")).toBe("ours");
    expect(report.warnings).toContain("robots.txt of the repository replaces what the make file brings");
    expect(report.entries.map(({ type }) => type)).toEqual(["git", "core"]);
  });

  it("with a make file and its lock is exactly what that names, or is refused", async () => {
    const core = server.serve("/core.tar.gz", archive("tar.gz", "d", CORE));
    const text = `core = 7.x\napi = 2\nprojects[drupal][type] = core\nprojects[drupal][download][type] = get\nprojects[drupal][download][url] = ${core}\n`;
    writeFileSync(join(work, "build.make"), text);
    const request = { host: new LocalHost(new Scope()), cache: join(work, "other"), mirrors: {}, offline: false, jobs: 1 };
    const { lock = "" } = await makeSource({ makefile: join(work, "build.make"), withLock: true }).build({
      ...request,
      destination: join(work, "first"),
    });
    repository(url(), [{ files: { "build.make": text, "build.make.lock": lock } }]);
    await build({ git: { git: url() } });
    expect(read("index.php")).toBe(CORE["index.php"]);
    rmSync(built(), { recursive: true });
    rmSync(join(work, "cache"), { recursive: true });
    server.serve("/core.tar.gz", archive("tar.gz", "d", { ...CORE, "index.php": "<?php // of today" }));
    expect(await refused({ git: { git: url() } })).toMatch(/drupal: Checksum sha256 verification failed/);
    repository(url(), [{ files: { "build.make": `${text}projects[more][version] = 1.0\n` } }]);
    expect(await refused({ git: { git: url() } })).toMatch(/LOCK_MISMATCH[\s\S]*more: it is in the make file, and not in the lock/);
  });

  it("as a working copy keeps .git, its branch and the address that was given", async () => {
    two();
    await build({ git: { git: url(), ref: "main", workingCopy: true } });
    const git = (...args: string[]) => execFileSync("git", args, { cwd: built(), encoding: "utf8" }).trim();
    expect(git("remote", "get-url", "origin")).toBe(url());
    expect(git("branch", "--show-current")).toBe("main");
    expect(git("status", "--porcelain")).toBe("");
    expect(read("version")).toBe("two");
  });

  it("that is stopped in the middle leaves nothing", async () => {
    two();
    expect(await refused({ git: { git: url() } }, { signal: AbortSignal.abort() })).toMatch(/STOPPED/);
  });
});
