import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { buildSource } from "../../src/builds/index.js";
import { unpack } from "../../src/builds/make/archive.js";
import type { MakeOptions } from "../../src/builds/make/index.js";
import type { BuildReport, BuildRequest } from "../../src/builds/source.js";
import { ProvisionError } from "../../src/core/errors.js";
import { Scope } from "../../src/core/scope.js";
import { LocalHost } from "../../src/host/local.js";
import { FileServer } from "../support/file-server.js";
import { archive, md5, rawTar, releaseHistory, repository, temporaryDirectory, treeOf, writeFiles } from "../support/make-fixtures.js";

const root = process.getuid?.() === 0;
let server: FileServer;
let work: string;
let number = 0;

beforeAll(async () => {
  server = await new FileServer().start();
});
afterAll(async () => {
  await server.stop();
});
beforeEach(() => {
  if (work) rmSync(work, { recursive: true, force: true });
  work = temporaryDirectory();
  number = 0;
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

const core = () =>
  archive("tar.gz", "drupal-7.99", {
    "index.php": "<?php // core",
    "includes/bootstrap.inc": "1\n2\n3\n",
    "scripts/run.sh*": "#!/bin/sh",
    "sites/default/default.settings.php": "<?php",
  });

/** The head that every file here begins with: a small core by plain download. */
function withCore(rest: string): string {
  const url = server.serve("/drupal-7.99.tar.gz", core());
  return `core = 7.x\napi = 2\nprojects[drupal][type] = core\nprojects[drupal][download][type] = get\nprojects[drupal][download][url] = ${url}\n${rest}`;
}

interface Outcome {
  readonly root: string;
  readonly report: BuildReport;
}

async function build(
  text: string,
  options: Partial<MakeOptions> = {},
  request: Partial<BuildRequest> = {},
  name = "site.make",
): Promise<Outcome> {
  writeFileSync(join(work, name), text);
  return buildFile(join(work, name), options, request);
}

async function buildFile(makefile: string, options: Partial<MakeOptions> = {}, request: Partial<BuildRequest> = {}): Promise<Outcome> {
  const destination = join(work, `platform${number++}`);
  const source = buildSource({ makefile, make: options });
  if (!source) throw new Error("no source");
  const report = await source.build({
    host: new LocalHost(new Scope()),
    destination,
    cache: join(work, "cache"),
    mirrors: {},
    offline: false,
    jobs: 4,
    ...request,
  });
  return { root: request.destination ?? destination, report };
}

/** The build fails, leaves nothing, and says why. */
async function refused(text: string, options: Partial<MakeOptions> = {}, request: Partial<BuildRequest> = {}): Promise<ProvisionError> {
  const before = number;
  const error = await build(text, options, request).then(
    () => undefined,
    (failure: unknown) => failure,
  );
  expect(error).toBeInstanceOf(ProvisionError);
  nothingLeft(before);
  return error as ProvisionError;
}

function nothingLeft(at = number - 1) {
  expect(existsSync(join(work, `platform${at}`))).toBe(false);
  expect(readdirSync(work).filter((name) => name.includes(".building-"))).toEqual([]);
}

const read = (platform: Outcome, path: string) => readFileSync(join(platform.root, path), "utf8");
const said = (error: ProvisionError) => [error.message, ...error.why].join("\n");

describe("a platform from a make file", () => {
  it("has core at its root and projects and libraries where drush puts them", async () => {
    const views = server.serve("/views.tar.bz2", archive("tar.bz2", "views", { "views.module": "<?php" }));
    const zen = server.serve("/zen.zip", archive("zip", "zen", { "zen.info": "name = Zen" }));
    const library = server.serve("/jq.js?v=1", "jquery();");
    const plain = server.serve("/plain.tar", archive("tar", "", { a: "1", "b/c": "2" }));
    const built = await build(
      withCore(`
projects[views][subdir] = contrib
projects[views][download][type] = file
projects[views][download][url] = ${views}
projects[zen][type] = theme
projects[zen][directory_name] = zenith
projects[zen][download][type] = get
projects[zen][download][url] = ${zen}
libraries[jquery][download][type] = file
libraries[jquery][download][url] = ${library}
libraries[jquery][download][filename] = jquery.js
libraries[plain][destination] = modules/contrib/views/lib
libraries[plain][download][type] = file
libraries[plain][download][url] = ${plain}
`),
    );
    expect(treeOf(built.root).map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual([
      "/ 755",
      "includes/ 755",
      "includes/bootstrap.inc 644",
      "index.php 644",
      "scripts/ 755",
      "scripts/run.sh 755",
      "sites/ 755",
      "sites/all/ 755",
      "sites/all/libraries/ 755",
      "sites/all/libraries/jquery/ 755",
      "sites/all/libraries/jquery/jquery.js 644",
      "sites/all/modules/ 755",
      "sites/all/modules/contrib/ 755",
      "sites/all/modules/contrib/views/ 755",
      "sites/all/modules/contrib/views/lib/ 755",
      "sites/all/modules/contrib/views/lib/plain/ 755",
      "sites/all/modules/contrib/views/lib/plain/a 644",
      "sites/all/modules/contrib/views/lib/plain/b/ 755",
      "sites/all/modules/contrib/views/lib/plain/b/c 644",
      "sites/all/modules/contrib/views/views.module 644",
      "sites/all/themes/ 755",
      "sites/all/themes/zenith/ 755",
      "sites/all/themes/zenith/zen.info 644",
      "sites/default/ 755",
      "sites/default/default.settings.php 644",
    ]);
    expect(built.report.entries.map((entry) => `${entry.name} ${entry.type} ${entry.path}`)).toContain(
      "views module sites/all/modules/contrib/views",
    );
  });

  it("is the same tree when built twice, the second time offline from the cache", async () => {
    const repo = join(work, "repo");
    repository(repo, [{ files: { "a.module": "1" }, tag: "7.x-1.0" }]);
    const text = withCore(`projects[a][download][url] = ${repo}\nprojects[a][download][tag] = 7.x-1.0\n`);
    const first = await build(text);
    rmSync(repo, { recursive: true });
    mkdirSync(repo);
    const asked = server.requests.length;
    const second = await build(text, {}, { offline: true });
    expect(treeOf(second.root)).toEqual(treeOf(first.root));
    expect(server.requests.length).toBe(asked);
  });

  it("takes versions from release history: exact, newest stable, development, bare major", async () => {
    const tar = (name: string) => archive("tar.gz", "m", { "v.txt": name });
    const release = (name: string, version: string, extra?: string) => {
      const body = tar(version);
      return { version, url: server.serve(`/files/${name}-${version}.tar.gz`, body), md5: md5(body), ...(extra ? { extra } : {}) };
    };
    const drupal = core();
    server.serve(
      "/rh/drupal/7.x",
      releaseHistory("core", [
        { version: "7.x-dev", url: "http://127.0.0.1:1/x", extra: "dev" },
        { version: "7.99", url: server.serve("/files/drupal-7.99.tar.gz", drupal), md5: md5(drupal) },
      ]),
    );
    for (const name of ["exact", "newest", "dev", "major"]) {
      server.serve(
        `/rh/${name}/7.x`,
        releaseHistory("module", [
          release(name, "7.x-3.x-dev", "dev"),
          release(name, "7.x-3.10"),
          release(name, "7.x-3.1"),
          release(name, "7.x-2.16"),
        ]),
      );
    }
    server.serve("/rh/bootstrap/7.x", releaseHistory("theme", [release("bootstrap", "7.x-3.0")]));
    const text = `core: 7.x\napi: 2\ndefaults:\n  projects:\n    location: ${server.url}/rh\nprojects:\n  drupal: {version: ~}\n  exact: {version: 3.10}\n  newest: {version: ~}\n  dev: {version: 3.x}\n  major: {version: '2'}\n  bootstrap: {version: ~}\n`;
    const built = await build(text);
    const v = (path: string) => read(built, `sites/all/${path}/v.txt`);
    expect([v("modules/exact"), v("modules/newest"), v("modules/dev"), v("modules/major"), v("themes/bootstrap")]).toEqual([
      "7.x-3.10",
      "7.x-3.10",
      "7.x-3.x-dev",
      "7.x-2.16",
      "7.x-3.0",
    ]);
    expect(read(built, "index.php")).toContain("core");
    expect(built.report.warnings.join("\n")).toMatch(/site\.make:8:\d+: version 3\.10 is built as written; drush would have fetched 3\.1/);
    const error = await refused(text.replace("version: '2'", "version: '9.9'"));
    expect(said(error)).toContain("major: Could not locate major version 7.x-9.9.");
  });

  it("checks out git by tag, branch, revision, refspec and HEAD, without .git and with modes", async () => {
    const repo = join(work, "repo.git");
    const [first, , third] = repository(repo, [
      { files: { v: "one", "run*": "x" }, tag: "1.0" },
      { files: { v: "two" } },
      { files: { v: "three" }, branch: "7.x-2.x/feature" },
    ]);
    const by = { tag: "1.0", branch: "7.x-2.x/feature", revision: first?.slice(0, 9), refspec: "refs/heads/main", commit: third };
    const lines = Object.entries(by).map(
      ([key, ref]) => `projects[by_${key}][download][url] = file://${repo}\nprojects[by_${key}][download][${key}] = ${ref}\n`,
    );
    const built = await build(withCore(`${lines.join("")}libraries[head][download][url] = ${repo}\n`));
    const v = (path: string) => read(built, `sites/all/${path}/v`);
    expect(Object.keys(by).map((key) => v(`modules/by_${key}`))).toEqual(
      ["one", "three", "one", "three", "three"].map((value, index) => (index === 3 ? "two" : value)),
    );
    expect(v("libraries/head")).toBe("three");
    expect(treeOf(built.root).filter((line) => line.includes(".git"))).toEqual([]);
    expect(treeOf(join(built.root, "sites/all/modules/by_tag")).join("\n")).toMatch(/run 755/);
    expect(built.report.warnings.join("\n")).toContain("its download has no type, git is taken");
  });

  it("applies patches in order, local ones relative to the file that says it, and records them as drush does", async () => {
    const url = server.serve("/m.tar.gz", archive("tar.gz", "m", { "m.txt": "a\nb\nc\n" }));
    const remote = server.serve("/fix.patch", "--- a/m.txt\n+++ b/m.txt\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
    writeFiles(work, {
      "patches/zero.patch": "--- m.txt\n+++ m.txt\n@@ -1,3 +1,3 @@\n a\n-B\n+BB\n c\n",
      "inc/p/own.patch": "--- a/m.txt\n+++ b/m.txt\n@@ -1,3 +1,4 @@\n a\n b\n c\n+d\n",
      "inc/inc.make": "projects[m][patch][9] = p/own.patch\n",
    });
    const text = withCore(
      `includes[] = inc/inc.make\nprojects[m][download][type] = file\nprojects[m][download][url] = ${url}\nprojects[m][patch][0] = ${remote}\nprojects[m][patch][x] = patches/zero.patch\n`,
    );
    const built = await build(text);
    expect(read(built, "sites/all/modules/m/m.txt")).toBe("a\nBB\nc\nd\n");
    // keys of an include come first in drush's merge, and so do its patches
    expect(read(built, "sites/all/modules/m/PATCHES.txt")).toBe(
      `The following patches have been applied to this project:\n- own.patch\n- ${remote}\n- zero.patch\n\nThis file was automatically generated by Drush Make (http://drupal.org/project/drush).\n`,
    );
    expect(readdirSync(join(built.root, "sites/all/modules/m"))).toEqual(["PATCHES.txt", "m.txt", "own.patch", "zero.patch"]);
    const without = await build(text, { noPatchTxt: true });
    expect(readdirSync(join(without.root, "sites/all/modules/m"))).toEqual(["m.txt"]);
  });

  it("takes a patch as one text, and as a map with its checksum", async () => {
    const url = server.serve("/m.tar.gz", archive("tar.gz", "m", { "m.txt": "a\n" }));
    const diff = "--- a/m.txt\n+++ b/m.txt\n@@ -1 +1 @@\n-a\n+b\n";
    const patch = server.serve("/one.patch", diff);
    const project = `projects[m][download][type] = file\nprojects[m][download][url] = ${url}\n`;
    expect(read(await build(withCore(`${project}projects[m][patch] = ${patch}\n`)), "sites/all/modules/m/m.txt")).toBe("b\n");
    const map = `${project}projects[m][patch][0][url] = ${patch}\nprojects[m][patch][0][md5] = `;
    expect(read(await build(withCore(`${map}${md5(diff)}\n`)), "sites/all/modules/m/m.txt")).toBe("b\n");
    expect(said(await refused(withCore(`${map}${md5("other")}\n`)))).toContain(`m: Checksum md5 verification failed for ${patch}`);
  });

  it("follows the make file inside a profile; what the outer file names stays with it", async () => {
    const tar = (name: string) => server.serve(`/${name}.tar.gz`, archive("tar.gz", name, { "v.txt": name }));
    const inner = `core = 7.x\napi = 2\nprojects[drupal][version] = 7.1\nprojects[both][download][type] = file\nprojects[both][download][url] = ${tar("inner_both")}\nprojects[own][subdir] = contrib\nprojects[own][download][type] = file\nprojects[own][download][url] = ${tar("own")}\nprojects[own][patch][] = own.patch\nlibraries[lib][download][type] = file\nlibraries[lib][download][url] = ${tar("lib")}\n`;
    const profile = server.serve(
      "/panopoly.tar.gz",
      archive("tar.gz", "panopoly", {
        "panopoly.profile": "<?php",
        "panopoly.make": inner,
        "own.patch": "--- a/v.txt\n+++ b/v.txt\n@@ -1 +1 @@\n-own\n\\ No newline at end of file\n+patched\n",
      }),
    );
    const text = withCore(
      `projects[panopoly][type] = profile\nprojects[panopoly][directory_name] = pp\nprojects[panopoly][download][type] = file\nprojects[panopoly][download][url] = ${profile}\nprojects[both][download][type] = file\nprojects[both][download][url] = ${tar("outer_both")}\n`,
    );
    const built = await build(text);
    expect(read(built, "sites/all/modules/both/v.txt")).toBe("outer_both");
    expect(read(built, "profiles/pp/modules/contrib/own/v.txt")).toBe("patched\n");
    expect(read(built, "profiles/pp/libraries/lib/v.txt")).toBe("lib");
    expect(existsSync(join(built.root, "profiles/pp/modules/both"))).toBe(false);
    const alone = await build(text, { noRecursion: true });
    expect(existsSync(join(alone.root, "profiles/pp/modules"))).toBe(false);
  });

  it("serves every address from a mirror on disk, git and release history too", async () => {
    const mirror = join(work, "mirror");
    const views = archive("tar.gz", "views", { "views.module": "v" });
    writeFiles(mirror, {
      "release-history/views/7.x": releaseHistory("module", [
        { version: "7.x-3.29", url: "https://ftp.example.org/files/views-7.x-3.29.tar.gz", md5: md5(views) },
      ]),
    });
    mkdirSync(join(mirror, "files"));
    writeFileSync(join(mirror, "files/views-7.x-3.29.tar.gz"), views);
    repository(join(mirror, "git/token.git"), [{ files: { v: "token" }, tag: "7.x-1.0" }]);
    const mirrors = {
      "https://updates.drupal.org/": mirror,
      "https://ftp.example.org/files": `file://${mirror}/files`,
      "https://git.drupalcode.org/project/": join(mirror, "git"),
    };
    const text =
      "core = 7.x\napi = 2\nprojects[] = views\nprojects[token][download][type] = git\nprojects[token][download][tag] = 7.x-1.0\nprojects[old][download][url] = git://git.drupal.org/project/token.git\n";
    const built = await build(text, { noCore: true, contribDestination: "." }, { mirrors, offline: true });
    expect([read(built, "modules/views/views.module"), read(built, "modules/token/v"), read(built, "modules/old/v")]).toEqual([
      "v",
      "token",
      "token",
    ]);
  });

  it("copies a local directory and takes a subtree, relative to the make file", async () => {
    writeFiles(work, { "lib/mine/mine.module": "m", "lib/mine/bin/x*": "x" });
    const zip = server.serve("/deep.zip", archive("zip", "", { "__MACOSX/x": "no", "deep/src/y.js": "y" }));
    const built = await build(
      withCore(
        `projects[mine][download][type] = local\nprojects[mine][download][source] = ./lib/mine\nlibraries[deep][download][type] = get\nlibraries[deep][download][url] = ${zip}\nlibraries[deep][download][subtree] = deep/src\n`,
      ),
    );
    expect(treeOf(join(built.root, "sites/all/modules/mine")).join("\n")).toMatch(/bin\/x 755/);
    expect(readdirSync(join(built.root, "sites/all/libraries/deep"))).toEqual(["y.js"]);
  });

  it("takes only the projects and libraries that are asked for", async () => {
    const url = server.serve("/m.tar.gz", archive("tar.gz", "m", { a: "1" }));
    const text = withCore(
      ["x", "y"]
        .map(
          (name) =>
            `projects[${name}][download][type] = file\nprojects[${name}][download][url] = ${url}\nlibraries[l${name}][download][type] = file\nlibraries[l${name}][download][url] = ${url}\n`,
        )
        .join(""),
    );
    const some = await build(text, { noCore: true, projects: ["x"], libraries: ["ly"] });
    expect(some.report.entries.map(({ path }) => path)).toEqual(["sites/all/modules/x", "sites/all/libraries/ly"]);
    expect(said(await refused(text, { noCore: true, projects: ["none"] }))).toContain("All projects and libraries have been excluded");
  });

  it("asks again only whether a download changed, and follows redirects", async () => {
    let answers = 0;
    const body = archive("tar.gz", "m", { a: "1" });
    server.serve("/real.tar.gz", (request, response) => {
      answers++;
      if (request.headers["if-none-match"] === '"1"') response.writeHead(304).end();
      else response.writeHead(200, { etag: '"1"', "content-length": body.length }).end(body);
    });
    const url = server.serve("/moved.tar.gz", (_, response) => response.writeHead(302, { location: "/real.tar.gz" }).end());
    const text = withCore(`projects[m][download][type] = file\nprojects[m][download][url] = ${url}\n`);
    await build(text);
    expect(read(await build(text), "sites/all/modules/m/a")).toBe("1");
    expect(answers).toBe(2);
  });

  it("tries again after a server error or a connection that breaks", async () => {
    let answers = 0;
    const body = archive("tar.gz", "m", { a: "1" });
    const url = server.serve("/shaky.tar.gz", (_, response) => {
      answers++;
      if (answers === 1) response.writeHead(503).end();
      else if (answers === 2) response.socket?.destroy();
      else response.writeHead(200).end(body);
    });
    await build(withCore(`projects[m][download][type] = file\nprojects[m][download][url] = ${url}\n`));
    expect(answers).toBe(3);
  });

  it("is built by two at once from one cache", async () => {
    const repo = join(work, "repo");
    repository(repo, [{ files: { v: "1" } }]);
    const url = server.serve("/two.tar.gz", archive("tar.gz", "m", { a: "1" }));
    const text = withCore(
      `projects[g][download][url] = ${repo}\nprojects[h][download][url] = ${repo}\nprojects[h][download][refspec] = HEAD\nprojects[m][download][type] = file\nprojects[m][download][url] = ${url}\n`,
    );
    const both = await Promise.all([build(text, {}, {}, "one.make"), build(text, {}, {}, "two.make"), build(text, {}, {}, "three.make")]);
    expect(new Set(both.map((built) => treeOf(built.root).join("\n"))).size).toBe(1);
    expect(readdirSync(join(work, "cache/tmp"))).toEqual([]);
    expect(readdirSync(join(work, "cache/git")).filter((name) => !/^[0-9a-f]{40}(\.lock)?$/.test(name))).toEqual([]);
  });
});

/** name, what follows core in the file, and what must be said; each leaves nothing in place. */
const m = (url: string, more = "") => `projects[m][download][type] = file\nprojects[m][download][url] = ${url}\n${more}`;
const git = (url: string, more = "") => `projects[m][download][type] = git\nprojects[m][download][url] = "${url}"\n${more}`;
const good = () => server.serve("/good.tar.gz", archive("tar.gz", "m", { "m.txt": "1\n2\n3\n4\n5\n6\n7\n8\n9\n" }));
const repo = () => {
  const path = join(work, "some.git");
  repository(path, [{ files: { v: "1" } }]);
  return path;
};
const tar = (...members: Parameters<typeof rawTar>[0][number][]) => server.serve("/raw.tar", rawTar(members));

const FAULTS: readonly (readonly [string, () => string, RegExp])[] = [
  [
    "one download of many is a 404",
    () => m(`${server.url}/nothing.tar.gz`, `projects[n][download][type] = file\nprojects[n][download][url] = ${good()}\n`),
    /1 of 3 entries[\s\S]*m: Unable to download from http\S+\/nothing\.tar\.gz: the server answers 404/,
  ],
  [
    "a body that is cut off",
    () =>
      m(
        server.serve("/cut.tar.gz", (_, response) => {
          response.writeHead(200, { "content-length": 1000 }).write("short");
          setTimeout(() => response.socket?.destroy(), 20);
        }),
      ),
    /m: Unable to download from \S+cut\.tar\.gz: .*\(3 attempts\)/,
  ],
  [
    "a wrong checksum",
    () => m(good(), "projects[m][download][sha256] = 00ff\n"),
    /m: Checksum sha256 verification failed for \S+good\.tar\.gz\. Expected 00ff, received [0-9a-f]{64}/,
  ],
  [
    "a redirect off http",
    () => m(server.serve("/off", (_, response) => void response.writeHead(302, { location: "file:///etc/passwd" }).end())),
    /redirects to file:, which is not followed/,
  ],
  [
    "no server",
    () => m("http://user:secret@127.0.0.1:1/x.tar.gz"),
    /m: Unable to download from http:\/\/127\.0\.0\.1:1\/x\.tar\.gz: .*(?:ECONNREFUSED|bad port)/,
  ],
  [
    "a second hunk that does not fit",
    () =>
      m(
        good(),
        `projects[m][patch][] = ${server.serve("/hunk.patch", "--- a/m.txt\n+++ b/m.txt\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n@@ -7,3 +7,3 @@\n 7\n-eight\n+VIII\n 9\n")}\n`,
      ),
    /m: Unable to patch with http\S+hunk\.patch\. \(git apply -p1: error: patch failed: m\.txt:7; (?!.*-p0)/,
  ],
  [
    "a patch of files that are not there",
    () => m(good(), `projects[m][patch][] = ${server.serve("/other.patch", "--- a/no.txt\n+++ b/no.txt\n@@ -1 +1 @@\n-one\n+1\n")}\n`),
    /no\.txt: No such file or directory; the files that it changes are not there: it is for another version, or for another directory\)/,
  ],
  [
    "a patch already applied",
    () =>
      m(good(), `projects[m][patch][] = ${server.serve("/done.patch", "--- a/m.txt\n+++ b/m.txt\n@@ -1,3 +1,3 @@\n-one\n+1\n 2\n 3\n")}\n`),
    /already applied/,
  ],
  [
    "an ed script as a patch",
    () => m(good(), `projects[m][patch][] = ${server.serve("/ed.patch", "0a\n!touch /tmp/provision-pwned\n.\n")}\n`),
    /neither a unified nor a context diff/,
  ],
  [
    "a patch that leaves the project",
    () => m(good(), `projects[m][patch][] = ${server.serve("/out.patch", "--- a/../../x\n+++ b/../../x\n@@ -0,0 +1 @@\n+x\n")}\n`),
    /Unable to patch/,
  ],
  [
    "a patch that is missing",
    () => m(good(), "projects[m][patch][] = patches/none.patch\n"),
    /m: Unable to download from \S+\/patches\/none\.patch: there is no such file/,
  ],
  [
    "a branch that is missing",
    () => git(repo(), "projects[m][download][branch] = nope\n"),
    /m: Unable to check out branch nope of \S+some\.git: there is no such branch/,
  ],
  ["a repository that is missing", () => git("/nowhere/x.git"), /m: Unable to clone \/nowhere\/x\.git\. fatal: /],
  [
    "a branch that is an option",
    () => git(repo(), "projects[m][download][branch] = --upload-pack=touch\n"),
    /the branch "--upload-pack=touch" is refused/,
  ],
  ["a branch with a command", () => git(repo(), 'projects[m][download][branch] = "x; touch y"\n'), /the branch "x; touch y" is refused/],
  ["a revision that is an option", () => git(repo(), "projects[m][download][revision] = -u\n"), /the revision "-u" is refused/],
  [
    "a helper transport",
    () => git("ext::sh -c touch% /tmp/provision-pwned"),
    /the repository "ext::sh -c touch% \/tmp\/provision-pwned" is refused/,
  ],
  ["a repository that is an option", () => git("--upload-pack=x"), /refused/],
  ["an ssh host that is an option", () => git("ssh://-oProxyCommand=x/y"), /refused/],
  [
    "another scheme",
    () => m("ftp://example.com/x.tar.gz"),
    /the address "ftp:\/\/example\.com\/x\.tar\.gz" is refused: ftp: is not fetched/,
  ],
  [
    "a project name that leaves the tree",
    () => `projects[../../../x][download][type] = file\nprojects[../../../x][download][url] = ${good()}\n`,
    /its name is refused/,
  ],
  [
    "a library name that leaves the tree",
    () => `libraries[../x][download][type] = file\nlibraries[../x][download][url] = ${good()}\n`,
    /\.\.\/x: its name is refused: it holds \. or \.\./,
  ],
  [
    "a library destination that leaves the tree",
    () => `libraries[x][destination] = ../../../y\nlibraries[x][download][type] = file\nlibraries[x][download][url] = ${good()}\n`,
    /its place "sites\/all\/\.\.\/\.\.\/\.\.\/y\/x" is refused/,
  ],
  [
    "a profile destination that is absolute",
    () => m(good(), "projects[m][type] = profile\nprojects[m][destination] = /etc\n"),
    /its place "\/etc\/m" is refused/,
  ],
  [
    "a subdir that leaves the tree",
    () => m(good(), "projects[m][subdir] = ../../x\n"),
    /site\.make:\d+:\d+: Illegal path \.\.\/\.\.\/x for 'subdir' attribute in project m\./,
  ],
  [
    "a file name that leaves the project",
    () => m(good(), "projects[m][download][filename] = ../../x\n"),
    /its filename "\.\.\/\.\.\/x" is refused/,
  ],
  ["a subtree that leaves the archive", () => m(good(), "projects[m][download][subtree] = ../x\n"), /its subtree "\.\.\/x" is refused/],
  [
    "a subtree that is not there",
    () => m(good(), "projects[m][download][subtree] = src\n"),
    /there is no subtree src in what was fetched; at its top there is: m/,
  ],
  [
    "an archive with ../",
    () => m(tar({ name: "m/a" }, { name: "m/../../evil", content: "x" })),
    /its member m\/\.\.\/\.\.\/evil leads out of the archive/,
  ],
  ["an archive with an absolute path", () => m(tar({ name: "/etc/evil", content: "x" })), /its member \/etc\/evil has an absolute path/],
  [
    "an archive with an absolute link",
    () => m(tar({ name: "m/", type: "5", mode: 0o755 }, { name: "m/l", type: "2", link: "/etc/passwd" })),
    /the link l points to the absolute path \/etc\/passwd/,
  ],
  [
    "an archive with a link that leaves",
    () => m(tar({ name: "m/", type: "5", mode: 0o755 }, { name: "m/l", type: "2", link: "../../x" })),
    /the link l points out of its tree/,
  ],
  ["an archive with a device", () => m(tar({ name: "m/null", type: "3" })), /m\/null is no file, directory or link/],
  ["an archive with a pipe", () => m(tar({ name: "m/fifo", type: "6" })), /m\/fifo is no file, directory or link/],
  [
    "a page instead of an archive, for a subtree",
    () => m(server.serve("/page", "<html>login</html>"), "projects[m][download][subtree] = x\n"),
    /it is no archive \(it begins with "<html>login/,
  ],
  ["CVS", () => "projects[m][download][type] = cvs\nprojects[m][download][module] = x\n", /m: drupal\.org left CVS in 2011/],
  ["a mistyped download type", () => "projects[m][download][type] = git;\n", /its download type "git;" is unknown \(did you mean git\?\)/],
  ["a mistyped project type", () => m(good(), "projects[m][type] = modules\n"), /Non-existent project type; did you mean module\?/],
  ["an include that is missing", () => "includes[] = none.make\n", /site\.make:\d+:\d+: Include file missing: none\.make/],
  ["an include of itself", () => "includes[] = site.make\n", /includes itself/],
  ["a wrong api", () => "api = 3\n", /site\.make:\d+:\d+: api 3 is not supported/],
];

describe("a build that fails leaves nothing and says why", () => {
  it.each(FAULTS)("%s", async (_, rest, expected) => {
    const error = await refused(withCore(rest()));
    expect(said(error)).toMatch(expected);
    expect(said(error)).not.toContain("secret");
    expect(["BUILD_FAILED", "INVALID_FILE"]).toContain(error.code);
    expect(existsSync("/tmp/provision-pwned")).toBe(false);
  });

  it("tells all that is wrong at once, each entry by name", async () => {
    const error = await refused(
      withCore(
        `${m(`${server.url}/no.tar.gz`)}libraries[l][download][type] = git\nlibraries[l][download][url] = /nowhere\nprojects[v][version] = 1.0\nprojects[v][location] = ${server.url}/rh-none\n`,
      ),
    );
    expect(error.why.map((line) => line.split(":")[0]).sort()).toEqual(["l", "m", "v"]);
    expect(error.state).toContain("does not exist");
  });

  it("no make file, broken YAML with its place, no core", async () => {
    const missing = await buildFile(join(work, "none.make")).catch((error: unknown) => error);
    expect((missing as ProvisionError).code).toBe("FILE_NOT_FOUND");
    const yaml = await refused("core: 7.x\napi: 2\nprojects:\n  views:\n\t  version: 1\n");
    expect(yaml.code).toBe("INVALID_FILE");
    expect(said(yaml)).toMatch(/site\.make:5:1: a tab is used for indentation/);
    expect(said(await refused("core: 7.x\nprojects:\n<<<<<<< HEAD\n  views: 1\n"))).toMatch(/site\.make:3:1: a merge conflict was left/);
    expect(said(await refused(`core = 7.x\napi = 2\n${m(good())}`))).toContain("No core project specified.");
  });

  it("a destination that exists is not touched", async () => {
    const there = join(work, "there");
    writeFiles(there, { mine: "1" });
    const error = await build(withCore(""), {}, { destination: there }).catch((failure: unknown) => failure);
    expect((error as ProvisionError).code).toBe("NAME_TAKEN");
    expect(readdirSync(there)).toEqual(["mine"]);
  });

  it("stopped in the middle: nothing is left, and the entry is named", async () => {
    const stop = new AbortController();
    const url = server.serve("/slow.tar.gz", (_, response) => {
      response.writeHead(200, { "content-length": 1_000_000 }).write("x".repeat(1000));
      stop.abort();
    });
    const error = await refused(withCore(m(url)), {}, { signal: stop.signal });
    expect(error.code).toBe("STOPPED");
    expect(error.why.join()).toContain("m");
    expect(readdirSync(join(work, "cache/tmp"))).toEqual([]);
  });

  it("a cache whose file was damaged fetches it again", async () => {
    const url = good();
    await build(withCore(m(url)));
    const files = execFileSync("find", [join(work, "cache/sha256"), "-type", "f"], { encoding: "utf8" })
      .trim()
      .split("\n");
    for (const file of files) writeFileSync(file, "damaged");
    expect(read(await build(withCore(m(url))), "sites/all/modules/m/m.txt")).toContain("1\n2");
  });

  it.skipIf(!root)(`a full disk${root ? "" : " (SKIPPED: needs root to mount a small tmpfs)"}`, async () => {
    const small = join(work, "small");
    mkdirSync(small);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", small]);
    try {
      const url = server.serve("/big.tar.gz", archive("tar.gz", "m", { big: "x".repeat(3_000_000) }));
      const error = await build(withCore(m(url)), {}, { destination: join(small, "platform") }).catch((failure: unknown) => failure);
      expect(said(error as ProvisionError)).toMatch(/m: .*no space left on the disk/);
      expect(readdirSync(small)).toEqual([]);
      const random = server.serve("/random.tar.gz", randomBytes(3_000_000));
      const cache = await build(withCore(m(random)), {}, { cache: join(small, "cache") }).catch((failure: unknown) => failure);
      expect(said(cache as ProvisionError)).toMatch(/m: .*no space left in the cache/);
      expect(readdirSync(join(small, "cache/tmp"))).toEqual([]);
    } finally {
      execFileSync("umount", [small]);
    }
  });

  it.each(["tar.gz", "zip"] as const)(
    "a %s that holds or unpacks to more than the limits is refused before a byte is written",
    async (kind) => {
      const file = join(work, `bomb.${kind}`);
      writeFileSync(file, archive(kind, "", { a: "0".repeat(100_000), b: "1", c: "2" }));
      const host = new LocalHost(new Scope());
      const into = join(work, "bomb");
      await expect(unpack(host, file, kind, into, { entries: 10, bytes: 50_000 })).rejects.toThrow(/unpacks to more than/);
      await expect(unpack(host, file, kind, into, { entries: 2, bytes: 1e9 })).rejects.toThrow(/holds more than 2 entries/);
      expect(existsSync(into)).toBe(false);
      await unpack(host, file, kind, into, { entries: 3, bytes: 1e9 });
      expect(readdirSync(into)).toEqual(["a", "b", "c"]);
    },
  );

  it("setuid, group and world write bits do not come through", async () => {
    const built = await build(
      withCore(
        m(
          tar(
            { name: "m/", type: "5", mode: 0o2777 },
            { name: "m/s", content: "x", mode: 0o6777 },
            { name: "m/r", content: "x", mode: 0o400 },
          ),
        ),
      ),
    );
    expect(treeOf(join(built.root, "sites/all/modules/m")).map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual([
      "/ 755",
      "r 644",
      "s 755",
    ]);
  });
});

describe("a platform whose directory is there", () => {
  it("is taken as it is, or copied; a missing one is refused", async () => {
    writeFiles(join(work, "there"), { "index.php": "1" });
    const request = { host: new LocalHost(new Scope()), destination: join(work, "copy"), cache: "", mirrors: {}, offline: true, jobs: 1 };
    await buildSource({ directory: join(work, "there") })?.build(request);
    expect(existsSync(request.destination)).toBe(false);
    await buildSource({ directory: join(work, "there"), copy: true })?.build(request);
    expect(readdirSync(request.destination)).toEqual(["index.php"]);
    await expect(buildSource({ directory: join(work, "none") })?.build(request)).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    await expect(buildSource({ directory: join(work, "there/index.php") })?.build(request)).rejects.toMatchObject({
      code: "INVALID_VALUE",
    });
    expect(buildSource({})).toBeUndefined();
  });
});
