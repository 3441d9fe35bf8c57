import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { DownloadCache } from "../../src/builds/make/cache.js";
import { download } from "../../src/builds/make/download.js";
import { readLock } from "../../src/builds/make/index.js";
import { archive, md5, repository, treeOf } from "../support/make-fixtures.js";
import { has, MakeRig, type Platform, read, said } from "../support/make-rig.js";

const rig = new MakeRig();
beforeAll(() => rig.start());
afterAll(() => rig.stop());
beforeEach(() => {
  rig.reset();
  rig.project("drupal", "7.x", ["7.42"], "core", {
    "index.php": "<?php",
    "sites/default/default.settings.php": "<?php",
    "modules/system/system.info": "name = System\n",
    "profiles/standard/standard.profile": "<?php",
    "profiles/minimal/minimal.profile": "<?php",
  });
});

const head = "core = 7.x\napi = 2\n";
const git = (directory: string, ...args: string[]) => execFileSync("git", args, { cwd: directory, encoding: "utf8" }).trim();

/** The same repository as if it were on another machine: by ssh, with a shell in its place. */
function farAway(path: string): string {
  const ssh = join(rig.work, "ssh");
  writeFileSync(ssh, '#!/bin/sh\nfor command; do :; done\nexec sh -c "$command"\n', { mode: 0o755 });
  vi.stubEnv("GIT_SSH_COMMAND", ssh);
  vi.stubEnv("GIT_SSH_VARIANT", "simple");
  return `ssh://localhost${path}`;
}
afterEach(() => vi.unstubAllEnvs());

const noCore = { noCore: true, contribDestination: "." } as const;

describe("a project by git", () => {
  const info = { "m.info": "name = M\nversion = VERSION\ncore = 7.x\n", "sub/n.info.yml": "name: N\nversion: VERSION\n" };

  it("gets version, project and the commit's date in its .info files, in place of what they said", async () => {
    const path = join(rig.work, "git/m.git");
    const commits = repository(path, [
      { files: info, tag: "7.x-1.2" },
      { files: { a: "1" }, branch: "7.x-1.x" },
    ]);
    const mirrors = { "https://git.drupalcode.org/project/": join(rig.work, "git") };
    const project = (name: string, lines: string) =>
      `projects[${name}][download][type] = git\nprojects[${name}][download][url] = https://git.drupalcode.org/project/m.git\n${lines}`;
    const text = `${head}${project("tagged", "projects[tagged][download][tag] = 7.x-1.2\n")}${project("branch", "projects[branch][download][branch] = 7.x-1.x\n")}${project("sha", `projects[sha][download][revision] = ${commits[0]?.slice(0, 7)}\n`)}${project("said", `projects[said][version] = 1.9\nprojects[said][download][revision] = ${commits[0]}\n`)}`;
    const built = await rig.build(text, noCore, { mirrors });
    const version = (name: string) => /^version = "(.*)"$/m.exec(read(built, `modules/${name}/m.info`))?.[1];
    expect([version("tagged"), version("branch"), version("sha"), version("said")]).toEqual([
      "7.x-1.2",
      "7.x-1.2+1-dev",
      commits[0]?.slice(0, 7),
      "7.x-1.9",
    ]);
    expect(read(built, "modules/tagged/m.info")).toBe(
      'name = M\ncore = 7.x\n\n; Information added by drush on 2020-01-01\nversion = "7.x-1.2"\nproject = "tagged"\ndatestamp = "1577836800"\n',
    );
    expect(read(built, "modules/tagged/sub/n.info.yml")).toBe(
      "name: N\n\n# Information added by drush on 2020-01-01\nversion: '7.x-1.2'\nproject: 'tagged'\ndatestamp: 1577836800\n",
    );
    const plain = await rig.build(text, { ...noCore, noGitInfoFile: true }, { mirrors });
    expect(read(plain, "modules/tagged/m.info")).toBe(info["m.info"]);
  });

  it("from elsewhere keeps its .info files, unless they are asked for; nothing in a make file can break out of its line", async () => {
    const path = join(rig.work, "m");
    repository(path, [{ files: info, tag: '7.x-1.0"x' }]);
    const text = `${head}projects[m][version] = '1.0"\nevil = "1'\nprojects[m][download][url] = ${path}\n`;
    expect(read(await rig.build(text, noCore), "modules/m/m.info")).toBe(info["m.info"]);
    const forced = read(await rig.build(text, { ...noCore, forceGitInfoFile: true }), "modules/m/m.info");
    expect(forced).toContain('\nversion = "7.x-1.0evil1"\n');
  });

  it("as a working copy is a clone that follows its origin; only where the make file or the option says so", async () => {
    const path = join(rig.work, "m");
    repository(path, [
      { files: info, tag: "1.0" },
      { files: { a: "1" }, branch: "7.x-1.x" },
    ]);
    const text = `${head}projects[keep][download][url] = ${path}\nprojects[keep][download][branch] = 7.x-1.x\nprojects[keep][options][working-copy] = TRUE\nprojects[drop][download][url] = ${path}\nprojects[drop][download][tag] = 1.0\n`;
    const built = await rig.build(text, noCore);
    const keep = join(built.root, "modules/keep");
    expect([
      git(keep, "rev-parse", "--abbrev-ref", "HEAD"),
      git(keep, "status", "--porcelain"),
      git(keep, "remote", "get-url", "origin"),
    ]).toEqual(["7.x-1.x", "", path]);
    expect(git(keep, "rev-parse", "--abbrev-ref", "@{upstream}")).toBe("origin/7.x-1.x");
    expect(has(built, "modules/drop/.git")).toBe(false);
    const all = await rig.build(text, { ...noCore, workingCopy: true });
    expect(git(join(all.root, "modules/drop"), "describe", "--tags")).toBe("1.0");
    // a working copy does not live on the cache
    rmSync(join(rig.work, "cache"), { recursive: true });
    expect(git(join(all.root, "modules/drop"), "log", "--format=%s", "-1")).toBe("c");
    expect(said(await rig.refused(text, { ...noCore, workingCopy: true, shallowClone: true }))).toContain(
      "a working copy needs its history",
    );
  });

  it("far away is brought shallow by tag, branch, commit and HEAD, and whole where that cannot be", async () => {
    const path = join(rig.work, "m");
    const commits = repository(path, [{ files: { v: "1" }, tag: "1.0" }, { files: { v: "2" } }, { files: { v: "3" }, branch: "dev" }]);
    const by = { tag: "1.0", branch: "dev", revision: commits[1], refspec: "refs/heads/dev" };
    const far = farAway(path);
    const text = `${head}${Object.entries(by)
      .map(([key, ref]) => `projects[${key}][download][url] = ${far}\nprojects[${key}][download][${key}] = ${ref}\n`)
      .join(
        "",
      )}projects[head][download][url] = ${far}\nprojects[short][download][url] = ${far}\nprojects[short][download][revision] = ${commits[1]?.slice(0, 8)}\n`;
    const built = await rig.build(text, noCore);
    expect(["tag", "branch", "revision", "refspec", "head", "short"].map((name) => read(built, `modules/${name}/v`))).toEqual([
      "1",
      "3",
      "2",
      "3",
      "3",
      "2",
    ]);
    const store = readdirSync(join(rig.work, "cache/git")).find((name) => name.endsWith("-shallow")) ?? "";
    // Each commit without its parents; that of `revision` is there unless the whole repository, which `short` wants, came before it.
    expect(git(join(rig.work, "cache/git", store), "rev-list", "--all", "--parents")).toMatch(/^[0-9a-f]{40}(\n[0-9a-f]{40}){1,2}$/);
    const offline = await rig.build(text, noCore, { offline: true });
    expect(treeOf(offline.root)).toEqual(treeOf(built.root));
  });

  it("of this machine is not copied: its refs are read where they are, loose, packed, annotated or on a branch that is one with a slash", async () => {
    const path = join(rig.work, "m");
    const commits = repository(path, [{ files: { v: "1" }, tag: "1.0" }, { files: { v: "2" }, branch: "fix/a" }, { files: { v: "3" } }]);
    git(path, "-c", "user.name=t", "-c", "user.email=t@example.com", "tag", "-a", "-m", "t", "2.0", commits[1] ?? "");
    git(path, "pack-refs", "--all");
    git(path, "tag", "3.0");
    git(path, "branch", "--force", "main", commits[1] ?? "");
    const by: [string, string, string][] = [
      ["tag", "1.0", "1"],
      ["tag", "2.0", "2"],
      ["tag", "3.0", "3"],
      ["branch", "fix/a", "3"],
      ["branch", "main", "2"],
      ["branch", "1.0", "1"],
      ["revision", commits[1] ?? "", "2"],
    ];
    const text = `${head}${by
      .map(([key, ref], at) => `projects[p${at}][download][url] = ${path}\nprojects[p${at}][download][${key}] = ${ref}\n`)
      .join("")}projects[h][download][url] = ${path}\n`;
    const built = await rig.build(text, { ...noCore, withLock: true });
    expect(by.map((_, at) => read(built, `modules/p${at}/v`))).toEqual(by.map(([, , v]) => v));
    expect(read(built, "modules/h/v")).toBe("3");
    expect(built.report.lock).toContain(`commit: ${commits[1]}`);
    expect(existsSync(join(rig.work, "cache/git"))).toBe(false);
    // a ref that moved is seen, whatever is in the cache
    git(path, "branch", "--force", "main", commits[0] ?? "");
    expect(read(await rig.build(text, noCore), "modules/p4/v")).toBe("1");
  });

  it("is the tree of a checkout: what its archives leave out or fill in is as it was committed", async () => {
    const path = join(rig.work, "m");
    const long = `${"d".repeat(90)}/${"e".repeat(90)}/f`;
    const files = {
      ".gitattributes": "left export-ignore\nfilled export-subst\n",
      left: "here",
      filled: "$Format:%H$",
      "run*": "x",
      [long]: "1",
    };
    repository(path, [{ files, tag: "1.0" }]);
    git(path, "update-index", "--add", "--cacheinfo", `160000,${git(path, "rev-parse", "HEAD")},sub`);
    git(path, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "a submodule that nobody asks for");
    writeFileSync(join(rig.work, ".gitconfig"), "[core]\n\tautocrlf = true\n[tar]\n\tumask = 0777\n");
    vi.stubEnv("HOME", rig.work);
    for (const url of [path, farAway(path)]) {
      const built = await rig.build(`${head}projects[m][download][url] = ${url}\nprojects[m][download][type] = git\n`, noCore);
      expect([read(built, "modules/m/left"), read(built, "modules/m/filled"), read(built, `modules/m/${long}`)]).toEqual([
        "here",
        "$Format:%H$",
        "1",
      ]);
      expect(statSync(join(built.root, "modules/m/run")).mode & 0o777).toBe(0o755);
      expect(read(built, "modules/m/.gitattributes")).not.toContain("\r");
      expect(readdirSync(join(built.root, "modules/m/sub"))).toEqual([]);
    }
  });

  it("may name its objects by SHA-256", async () => {
    const path = join(rig.work, "m");
    mkdirSync(path);
    git(path, "init", "-q", "--object-format=sha256", "-b", "main");
    repository(path, [{ files: { v: "1" }, tag: "1.0" }, { files: { v: "2" } }]);
    git(path, "pack-refs", "--all");
    const text = `${head}projects[t][download][url] = ${path}\nprojects[t][download][tag] = 1.0\nprojects[h][download][url] = ${path}\n`;
    for (const offline of [false, true]) {
      const built = await rig.build(text, noCore, { offline });
      expect([read(built, "modules/t/v"), read(built, "modules/h/v")]).toEqual(["1", "2"]);
    }
  });

  it("is built again when its tree in the cache was damaged", async () => {
    const path = join(rig.work, "m");
    repository(path, [{ files: { v: "1" } }]);
    const text = `${head}projects[m][download][url] = ${path}\n`;
    await rig.build(text, noCore);
    const all = readdirSync(join(rig.work, "cache/sha256"), { recursive: true, encoding: "utf8" });
    const kept = all.filter((name) => /[0-9a-f]{64}$/.test(name)).map((name) => join(rig.work, "cache/sha256", name));
    expect(kept).toHaveLength(1);
    for (const damage of [
      (file: string) => truncateSync(file, 700),
      (file: string) => writeFileSync(file, readFileSync(file).fill("2", 1536, 1537)),
      (file: string) => rmSync(file),
      () => rmSync(join(rig.work, "cache/archive.git/HEAD")),
    ]) {
      for (const file of kept) damage(file);
      expect(read(await rig.build(text, noCore), "modules/m/v")).toBe("1");
    }
  });

  it("comes with its submodules, without any .git, also through a mirror", async () => {
    repository(join(rig.work, "mirror/sub.git"), [{ files: { s: "sub" } }]);
    const path = join(rig.work, "mirror/super.git");
    repository(path, [{ files: { v: "super" } }]);
    git(path, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", join(rig.work, "mirror/sub.git"), "lib");
    git(path, "config", "-f", ".gitmodules", "submodule.lib.url", "https://example.org/code/sub.git");
    git(path, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-a", "-m", "sub");
    const mirrors = { "https://example.org/code/": join(rig.work, "mirror") };
    const text = `${head}projects[m][download][url] = https://example.org/code/super.git\nprojects[m][download][submodule][] = init\n`;
    const built = await rig.build(text, noCore, { mirrors });
    expect(read(built, "modules/m/lib/s")).toBe("sub");
    expect(treeOf(built.root).filter((line) => /\.git[ /]/.test(line))).toEqual([]);
  });

  it("is built again when the mirror in the cache was damaged", async () => {
    const path = join(rig.work, "m");
    repository(path, [{ files: { v: "1" } }]);
    const text = `${head}projects[m][download][url] = ${farAway(path)}\nprojects[m][download][type] = git\nprojects[m][download][refspec] = HEAD\n`;
    await rig.build(text, noCore);
    const [mirror = ""] = readdirSync(join(rig.work, "cache/git")).filter((name) => !name.includes("."));
    rmSync(join(rig.work, "cache/git", mirror, "objects"), { recursive: true });
    expect(read(await rig.build(text, noCore), "modules/m/v")).toBe("1");
  });
});

/** bin/test installs them: where it ran, one that is missing is a failure. */
function missing(program: string): boolean {
  return process.env["CI"] === undefined && spawnSync(program, ["--version"]).error !== undefined;
}
const [noSvn, noBzr] = [missing("svn"), missing("brz")];

describe("other downloads", () => {
  it.skipIf(noSvn)(`Subversion: newest, a revision, and as a working copy${noSvn ? " (SKIPPED: svn is not installed)" : ""}`, async () => {
    const repository = join(rig.work, "svn");
    execFileSync("svnadmin", ["create", repository]);
    const work = join(rig.work, "checkout");
    const url = `file://${repository}`;
    execFileSync("svn", ["-q", "checkout", url, work]);
    for (const value of ["one", "two"]) {
      writeFileSync(join(work, "v"), value);
      execFileSync("svn", ["-q", "add", "--force", "v"], { cwd: work });
      execFileSync("svn", ["-q", "commit", "-m", value], { cwd: work });
    }
    const library = (name: string, more = "") =>
      `libraries[${name}][download][type] = svn\nlibraries[${name}][download][url] = ${url}\n${more}`;
    const text = `${head}${library("newest")}${library("first", "libraries[first][download][revision] = 1\n")}`;
    const built = await rig.build(text, { ...noCore, withLock: true });
    expect([read(built, "libraries/newest/v"), read(built, "libraries/first/v")]).toEqual(["two", "one"]);
    expect(built.report.lock).toContain('revision: "2"');
    expect(has(built, "libraries/newest/.svn")).toBe(false);
    expect(has(await rig.build(text, { ...noCore, workingCopy: true }), "libraries/newest/.svn")).toBe(true);
    expect(said(await rig.refused(`${head}${library("x", "libraries[x][download][revision] = --config-dir=x\n")}`, noCore))).toContain(
      "the revision",
    );
    expect(said(await rig.refused(`${head}${library("x").replace(url, "svn+evil://x")}`, noCore))).toContain("is refused");
  });

  it.skipIf(noBzr)(
    `Bazaar: core at a revision, newest, a tag, a lock, and as a working copy${noBzr ? " (SKIPPED: brz is not installed)" : ""}`,
    async () => {
      const branch = join(rig.work, "branch");
      const bazaar = (...args: string[]) =>
        execFileSync("brz", args, {
          cwd: branch,
          env: { ...process.env, BRZ_HOME: rig.work, BRZ_EMAIL: "t <t@example.com>", BRZ_LOG: "/dev/null" },
        });
      mkdirSync(branch);
      bazaar("init", "--quiet");
      const commit = (value: string) => {
        rig.write({ "branch/v": value, "branch/index.php": "<?php" });
        bazaar("add", "--quiet");
        bazaar("commit", "--quiet", "--message", value);
      };
      for (const value of ["one", "two", "three"]) commit(value);
      bazaar("tag", "--quiet", "--revision", "2", "second");
      const by = (section: string, more = "") => `${section}[download][type] = bzr\n${section}[download][url] = ${branch}\n${more}`;
      const text = `${head}projects[core][type] = core\n${by("projects[core]", "projects[core][download][revision] = 1\n")}${by("libraries[newest]")}${by("libraries[tagged]", "libraries[tagged][download][revision] = tag:second\n")}`;
      const built = await rig.build(text, { withLock: true });
      const values = (platform: Platform) =>
        ["v", "sites/all/libraries/newest/v", "sites/all/libraries/tagged/v"].map((path) => read(platform, path));
      expect(values(built)).toEqual(["one", "three", "two"]);
      expect(has(built, ".bzr") || has(built, "sites/all/libraries/newest/.bzr")).toBe(false);
      const lock = await readLock(built.report.lock ?? "", "site.lock");
      commit("four");
      bazaar("tag", "--quiet", "--force", "--revision", "4", "second");
      expect(values(await rig.build(text))).toEqual(["one", "four", "four"]);
      expect(values(await rig.build(text, { lock }))).toEqual(["one", "three", "two"]);
      const copy = await rig.build(head + by("libraries[newest]"), { ...noCore, workingCopy: true });
      expect(has(copy, "libraries/newest/.bzr/branch")).toBe(true);
      const refused = async (more: string) => said(await rig.refused(`${head}${by("libraries[x]", more)}`, noCore));
      expect(await refused("libraries[x][download][revision] = 99\n")).toMatch(/x: Unable to export with bzr: .*99/);
      expect(await refused("libraries[x][download][revision] = -Ox\n")).toContain('the revision "-Ox" is refused');
      expect(await refused("libraries[x][download][url] = ext::sh\n")).toContain("is refused: bzr takes http, https, bzr, file or a path");
    },
  );

  it("a program that is not installed is named, with its package", async () => {
    const path = process.env["PATH"];
    const bin = join(rig.work, "bin");
    mkdirSync(bin);
    for (const program of ["tar", "gzip", "git", "sync", "df", "rm"])
      execFileSync("ln", ["-s", execFileSync("which", [program], { encoding: "utf8" }).trim(), join(bin, program)]);
    try {
      process.env["PATH"] = bin;
      const error = await rig.refused(`${head}libraries[b][download][type] = bzr\nlibraries[b][download][url] = lp:mv\n`, noCore);
      expect(said(error)).toMatch(/b: it is downloaded by bzr, which is not installed here \(apt install brz/);
    } finally {
      process.env["PATH"] = path;
    }
  });

  it.each(["cvs", "hg"])("%s is refused in clear words", async (type) => {
    expect(said(await rig.refused(`${head}projects[m][download][type] = ${type}\n`, noCore))).toMatch(
      /m: (?:drupal\.org left CVS|Mercurial is not supported)/,
    );
  });

  it("a post sends its data, and its answer is kept apart from others", async () => {
    const bodies: string[] = [];
    const url = rig.server.serve("/generator", (request, response) => {
      let body = "";
      request.on("data", (chunk) => (body += chunk));
      request.on("end", () => {
        bodies.push(body);
        response.end(`made of ${body}`);
      });
    });
    const library = (name: string, more: string) =>
      `libraries[${name}][download][url] = ${url}\n${more}libraries[${name}][download][filename] = f.js\n`;
    const text = `${head}${library("a", 'libraries[a][download][type] = post\nlibraries[a][download][post_data] = "x=1&y=2"\n')}${library("b", 'libraries[b][download][type] = get\nlibraries[b][download][request_type] = post\nlibraries[b][download][data] = "x=3"\n')}`;
    const built = await rig.build(text, noCore);
    expect([read(built, "libraries/a/f.js"), read(built, "libraries/b/f.js")]).toEqual(["made of x=1&y=2", "made of x=3"]);
    expect(bodies.sort()).toEqual(["x=1&y=2", "x=3"]);
    expect(read(await rig.build(text, noCore, { offline: true }), "libraries/a/f.js")).toBe("made of x=1&y=2");
  });

  it("a tarball that the server calls gzip-encoded is kept as it was sent; a packed release history is read", async () => {
    const body = archive("tar.gz", "m", { v: "1" });
    const url = rig.server.serve("/m.tar.gz", (_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(body));
    rig.project("n", "7.x", ["7.x-1.0"]);
    const history = await (await fetch(`${rig.location}/n/7.x`)).text();
    rig.server.serve("/rh/n/7.x", (_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(history)));
    const text = `${head}projects[] = n\nprojects[m][download][type] = get\nprojects[m][download][url] = ${url}\nprojects[m][download][md5] = ${md5(body)}\n`;
    const built = await rig.build(text, noCore);
    expect([read(built, "modules/m/v"), read(built, "modules/n/v.txt")]).toEqual(["1", "n 7.x-1.0\n"]);
  });

  it("goes through the proxy of the environment, with its password, but not for hosts that no_proxy names", async () => {
    const seen: string[] = [];
    const proxy = createServer((request, response) => {
      seen.push(`${request.url} ${request.headers["proxy-authorization"] ?? ""}`);
      response.end("by proxy");
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const before = process.env["http_proxy"];
    try {
      process.env["http_proxy"] = `http://me:word@127.0.0.1:${(proxy.address() as AddressInfo).port}`;
      const options = { cache: new DownloadCache(join(rig.work, "cache")), mirrors: {}, offline: false };
      expect(readFileSync(await download({ url: "http://far.example.org/x?y=1" }, {}, options), "utf8")).toBe("by proxy");
      expect(seen).toEqual([`http://far.example.org/x?y=1 Basic ${Buffer.from("me:word").toString("base64")}`]);
      expect(readFileSync(await download({ url: rig.server.serve("/direct", "direct") }, {}, options), "utf8")).toBe("direct");
    } finally {
      if (before === undefined) delete process.env["http_proxy"];
      else process.env["http_proxy"] = before;
      await new Promise((resolve) => proxy.close(resolve));
    }
  });

  it("includes come from git and from a URL, and a make file from a URL finds what lies beside it", async () => {
    repository(join(rig.work, "includes"), [
      { files: { "inc/a.make": "projects[] = a\nincludes[] = b.make\n", "inc/b.make": "projects[] = b\n" }, tag: "v1" },
    ]);
    for (const name of ["a", "b", "c"]) rig.project(name, "7.x", ["7.x-1.0"]);
    rig.server.serve("/d/c.make", "projects[c][patch][] = c.patch\n");
    rig.server.serve("/d/c.patch", "--- a/v.txt\n+++ b/v.txt\n@@ -1 +1 @@\n-c 7.x-1.0\n+patched\n");
    const url = rig.server.serve(
      "/d/site.make",
      `${head}includes[] = c.make\nincludes[x][makefile] = inc/a.make\nincludes[x][download][url] = ${join(rig.work, "includes")}\nincludes[x][download][tag] = v1\n`,
    );
    const built = await rig.buildFile(url, noCore);
    expect(["a", "b", "c"].map((name) => read(built, `modules/${name}/v.txt`))).toEqual(["a 7.x-1.0\n", "b 7.x-1.0\n", "patched\n"]);
  });
});

describe("translations", () => {
  const l10n = () => {
    rig.server.serve(
      "/l10n.xml",
      `<l10n_server><update_url>${rig.server.url}/po/%core/%project/%project-%release.%language.po</update_url></l10n_server>`,
    );
    for (const path of ["token/token-7.x-1.0.es", "token/token-7.x-1.0.pt-br", "drupal/drupal-7.42.es"])
      rig.server.serve(`/po/7.x/${path}.po`, `msgid ${path}`);
    return `defaults[projects][l10n_url] = ${rig.server.url}/l10n.xml\n`;
  };

  it("lie beside the code of a project, and for core in its profiles and its system module", async () => {
    rig.project("token", "7.x", ["7.x-1.0"]);
    const built = await rig.build(`${head}${l10n()}translations[] = es\nprojects[] = drupal\nprojects[] = token\n`, {
      translations: ["pt-br"],
    });
    expect(read(built, "sites/all/modules/token/translations/es.po")).toBe("msgid token/token-7.x-1.0.es");
    expect(has(built, "sites/all/modules/token/translations/pt-br.po")).toBe(true);
    for (const place of ["profiles/standard", "profiles/minimal", "modules/system"])
      expect(readdirSync(join(built.root, place, "translations"))).toEqual(["es.po"]);
    expect(built.report.warnings).toContain("Unable to download translations for drupal: pt-br");
  });

  it("a broken description of the server is a failure, and a language that would be a path is refused", async () => {
    rig.project("token", "7.x", ["7.x-1.0"]);
    const text = `${head}projects[token][l10n_url] = ${rig.server.serve("/broken.xml", "<html>")}\n`;
    expect(said(await rig.refused(text, { ...noCore, translations: ["es"] }))).toContain("describes no translation server");
    const evil = await rig.refused(text, { ...noCore, translations: ["../../x"] });
    expect(said(evil)).toContain('the language "../../x" is refused');
  });
});

describe("options of a build", () => {
  const broken = () =>
    `projects[m][download][type] = get\nprojects[m][download][url] = ${rig.tarball("m", { "m.txt": "1\n" })}\nprojects[m][download][md5] = 00\n`;

  it("ignore-checksums passes over the make file's and the release server's", async () => {
    rig.project("n", "7.x", ["7.x-1.0"]);
    rig.server.serve("/files/n-7.x-1.0.tar.gz", archive("tar.gz", "n", { v: "other" }));
    const text = `${head}projects[] = n\n${broken()}`;
    expect(said(await rig.refused(text, noCore))).toMatch(/Checksum md5[\s\S]*Checksum md5/);
    const built = await rig.build(text, { ...noCore, ignoreChecksums: true });
    expect([read(built, "modules/n/v"), has(built, "modules/m/m.txt")]).toEqual(["other", true]);
  });

  it("force-complete leaves out what fails, keeps a project whose patch fails, and warns of each", async () => {
    const url = rig.tarball("p", { "p.txt": "1\n" });
    const text = `${head}${broken()}projects[p][download][type] = get\nprojects[p][download][url] = ${url}\nprojects[p][patch][] = ${rig.server.url}/none.patch\n`;
    const built = await rig.build(text, { ...noCore, forceComplete: true });
    expect([has(built, "modules/m"), has(built, "modules/p/p.txt")]).toEqual([false, true]);
    expect(built.report.warnings.filter((line) => line.endsWith("-- build forced"))).toHaveLength(2);
  });

  it("prepare-install makes settings.php and files that the web server's group may write, and nobody else", async () => {
    const built = await rig.build(`${head}projects[] = drupal\n`, { prepareInstall: true });
    const mode = (path: string) => (statSync(join(built.root, path)).mode & 0o7777).toString(8);
    expect([mode("sites/default/settings.php"), mode("sites/default/files")]).toEqual(["664", "2775"]);
  });

  it("tar gives one archive, the same bytes each time, with one directory of its name", async () => {
    const text = `${head}projects[] = drupal\n`;
    mkdirSync(join(rig.work, "a"));
    mkdirSync(join(rig.work, "b"));
    const first = await rig.build(text, { tar: true, md5: true }, { destination: join(rig.work, "a/site") });
    const second = await rig.build(text, { tar: true, md5: true }, { destination: join(rig.work, "b/site") });
    expect(first.root).toBe(join(rig.work, "a/site.tar.gz"));
    expect(readFileSync(first.root).equals(readFileSync(second.root))).toBe(true);
    expect(execFileSync("tar", ["-tzf", first.root], { encoding: "utf8" }).split("\n")).toContain("site/index.php");
    expect(first.report.md5).toMatch(/^[0-9a-f]{32}$/);
    expect(first.report.md5).toBe(second.report.md5);
    expect((await rig.refused(text, { tar: true }, { destination: join(rig.work, "a/site") })).code).toBe("NAME_TAKEN");
  });

  it("a make file may set what is harmless; anything else it sets is named and not followed", async () => {
    rig.project("m", "7.x", ["7.x-1.0"]);
    const options =
      "options[no-core] = TRUE\noptions[contrib-destination] = .\noptions[ignore-checksums] = TRUE\noptions[shell] = /bin/sh\n";
    const built = await rig.build(`${head}${options}projects[] = m\n`);
    expect(has(built, "modules/m/v.txt")).toBe(true);
    expect(built.report.warnings.join("\n")).toMatch(
      /option ignore-checksums of the make file is not followed: a make file may not set it/,
    );
    expect(said(await rig.refused(`${head}${options}${broken()}`))).toContain("Checksum md5");
    const none = await rig.build(`${head}options[contrib-destination] = .\nprojects[] = m\n`, { noCore: true, allowOverride: ["none"] });
    expect(has(none, "sites/all/modules/m/v.txt")).toBe(true);
  });
});

describe("a build without core into a directory that is there", () => {
  const text = (...names: string[]) =>
    `${head}${names.map((name) => `projects[${name}][subdir] = contrib\nprojects[${name}][location] = ${rig.location}\n`).join("")}`;
  beforeEach(() => {
    rig.project("m", "7.x", ["7.x-1.1", "7.x-1.0"]);
    rig.project("n", "7.x", ["7.x-1.0"]);
    rig.write({ "there/sites/all/modules/contrib/cck_signup/a": "mine", "there/index.php": "mine" });
  });
  const into = () => ({ destination: join(rig.work, "there") });

  it("replaces what it put there before as a whole, and leaves everything beside it", async () => {
    const first = await rig.build(text("m", "n").replace("[subdir]", "[version] = 1.0\nprojects[m][subdir]"), { noCore: true }, into());
    expect(read(first, "sites/all/modules/contrib/m/v.txt")).toBe("m 7.x-1.0\n");
    const second = await rig.build(text("m"), { noCore: true }, into());
    expect(read(second, "sites/all/modules/contrib/m/v.txt")).toBe("m 7.x-1.1\n");
    expect(read(second, "sites/all/modules/contrib/cck_signup/a")).toBe("mine");
    expect(read(second, "sites/all/modules/contrib/n/v.txt")).toBe("n 7.x-1.0\n");
    expect(readdirSync(second.root).sort()).toEqual([".provision-make.json", "index.php", "sites"]);
  });

  it("that holds all of it already is left as it is; what changed is all that is moved", async () => {
    const first = await rig.build(text("m", "n"), { noCore: true }, into());
    expect(first.report.unchanged).toBeUndefined();
    const stamps = () => ["m", "n"].map((name) => statSync(join(rig.work, "there/sites/all/modules/contrib", name)).ino);
    const before = stamps();
    expect((await rig.build(text("m", "n"), { noCore: true }, into())).report.unchanged).toBe(true);
    expect(stamps()).toEqual(before);
    rig.project("m", "7.x", ["7.x-1.2"]);
    expect((await rig.build(text("m", "n"), { noCore: true }, into())).report.unchanged).toBeUndefined();
    expect([stamps()[0] === before[0], stamps()[1] === before[1]]).toEqual([false, true]);
  });

  it("and in it a working copy: it stays when nothing changed, and is not replaced by what did", async () => {
    const path = join(rig.work, "repo");
    repository(path, [{ files: { v: "1" } }]);
    const make = `${head}projects[w][download][url] = ${path}\n`;
    const options = { noCore: true, workingCopy: true };
    await rig.build(make, options, into());
    const own = join(rig.work, "there/sites/all/modules/w");
    git(own, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "--allow-empty", "-m", "mine");
    const mine = git(own, "rev-parse", "HEAD");
    expect((await rig.build(make, options, into())).report.unchanged).toBe(true);
    expect(git(own, "rev-parse", "HEAD")).toBe(mine);
    repository(path, [{ files: { v: "2" } }]);
    expect(said(await rig.refused(make, options, into()))).toMatch(
      /modules\/w: it is a working copy, and what was committed in it would be lost/,
    );
    expect(git(own, "rev-parse", "HEAD")).toBe(mine);
  });

  it("touches nothing where someone else's files stand or its own were changed, unless overwrite is asked for", async () => {
    rig.write({ "there/sites/all/modules/contrib/n/mine": "1" });
    await rig.build(text("m"), { noCore: true }, into());
    writeFileSync(join(rig.work, "there/sites/all/modules/contrib/m/v.txt"), "edited");
    const error = await rig.refused(text("m", "n"), { noCore: true }, into());
    expect(error.code).toBe("NAME_TAKEN");
    expect(said(error)).toMatch(/contrib\/m: it was changed since[\s\S]*contrib\/n: it was not put there by provision/);
    expect(readFileSync(join(rig.work, "there/sites/all/modules/contrib/m/v.txt"), "utf8")).toBe("edited");
    const over = await rig.build(text("m", "n"), { noCore: true, overwrite: true }, into());
    expect([read(over, "sites/all/modules/contrib/m/v.txt"), existsSync(join(over.root, "sites/all/modules/contrib/n/mine"))]).toEqual([
      "m 7.x-1.1\n",
      false,
    ]);
    expect(read(over, "sites/all/modules/contrib/cck_signup/a")).toBe("mine");
  });
});
