import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DownloadCache } from "../../src/builds/make/cache.js";
import { download } from "../../src/builds/make/download.js";
import { archive, repository, treeOf } from "../support/make-fixtures.js";
import { has, MakeRig, said } from "../support/make-rig.js";

const rig = new MakeRig();
beforeAll(() => rig.start());
afterAll(() => rig.stop());
beforeEach(() => rig.reset());

const head = "core = 7.x\napi = 2\n";
const noCore = { noCore: true, contribDestination: "." } as const;
const pwned = () => existsSync(join(rig.work, "pwned"));

describe("a hostile make file or download does no harm", () => {
  it("a repository inside an archive names a program as filter, and a patch does not run it", async () => {
    const url = rig.tarball("m", {
      HEAD: "ref: refs/heads/main\n",
      config: `[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n[filter "evil"]\n\tclean = touch ${rig.work}/pwned\n\tsmudge = touch ${rig.work}/pwned\n`,
      "objects/a": "",
      "refs/a": "",
      ".gitattributes": "* filter=evil\n",
      "v.txt": "1\n",
    });
    const patch = rig.server.serve("/a.patch", "--- a/v.txt\n+++ b/v.txt\n@@ -1 +1 @@\n-1\n+2\n");
    const built = await rig.build(
      `${head}projects[m][download][type] = get\nprojects[m][download][url] = ${url}\nprojects[m][patch][] = ${patch}\n`,
      noCore,
    );
    expect(has(built, "modules/m/PATCHES.txt")).toBe(true);
    expect(pwned()).toBe(false);
  });

  it("a .git in an archive or a copied directory does not come along", async () => {
    const url = rig.tarball("m", { ".git/config": "[core]\n\tfsmonitor = touch pwned\n", "sub/.git": "gitdir: /etc\n", a: "1" });
    repository(join(rig.work, "copy"), [{ files: { a: "1" } }]);
    const built = await rig.build(
      `${head}projects[m][download][type] = get\nprojects[m][download][url] = ${url}\nprojects[c][download][type] = copy\nprojects[c][download][url] = copy\n`,
      noCore,
    );
    expect(treeOf(built.root).filter((line) => line.includes(".git"))).toEqual([]);
  });

  it("keys that are drush's own variables have no effect", async () => {
    rig.project("m", "7.x", ["7.x-1.0"]);
    const out = join(rig.work, "elsewhere");
    const keys = ["download_location", "make_directory", "build_path", "base_contrib_destination", "path", "tmp_path"];
    const built = await rig.build(
      `${head}projects[m][version] = 1.0\n${keys.map((key) => `projects[m][${key}] = ${out}\n`).join("")}`,
      noCore,
    );
    expect(has(built, "modules/m/v.txt")).toBe(true);
    expect(existsSync(out)).toBe(false);
    for (const key of keys) expect(built.report.warnings.join("\n")).toContain(`"${key}"`);
  });

  it("an update server cannot send to a file of this machine, nor a make file ask one by another scheme", async () => {
    rig.server.serve(
      "/rh/m/7.x",
      "<project><type>project_module</type><recommended_major>1</recommended_major><releases><release><version>7.x-1.0</version><version_major>1</version_major><status>published</status><download_link>file:///etc/passwd</download_link></release></releases></project>",
    );
    expect(said(await rig.refused(`${head}projects[] = m\n`, noCore))).toMatch(
      /m: the update server sends to "file:\/\/\/etc\/passwd", which is refused/,
    );
    expect(said(await rig.refused(`${head}projects[m][location] = file:///etc\nprojects[m][version] = 1.0\n`, noCore))).toMatch(
      /location "file:\/\/\/etc" is refused/,
    );
  });

  it("a submodule of another protocol, or a command in place of a submodule's update, is not followed", async () => {
    const path = join(rig.work, "super");
    const [commit = ""] = repository(path, [{ files: { v: "1" } }]);
    const git = (...args: string[]) => execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.com", ...args], { cwd: path });
    git("update-index", "--add", "--cacheinfo", `160000,${commit},lib`);
    writeFileSync(
      join(path, ".gitmodules"),
      `[submodule "lib"]\n\tpath = lib\n\turl = ext::sh -c touch% ${rig.work}/pwned\n\tupdate = !touch ${rig.work}/pwned\n`,
    );
    git("add", ".gitmodules");
    git("commit", "-q", "-m", "x");
    const error = await rig.refused(`${head}projects[m][download][url] = ${path}\nprojects[m][download][submodule][] = init\n`, noCore);
    expect(said(error)).toContain("Unable to fetch the submodules");
    expect(pwned()).toBe(false);
  });

  it.each([
    ["a branch of a shallow clone with a command", 'projects[m][download][branch] = "x; touch pwned #"\n'],
    ["a refspec that is an option", "projects[m][download][refspec] = --upload-pack=touch\n"],
    ["a tag with a line end", 'projects[m][download][tag] = "a\nb"\n'],
    ["a wc_url that is a helper", "projects[m][download][wc_url] = ext::sh\n"],
  ])("%s", async (_, line) => {
    repository(join(rig.work, "m"), [{ files: { v: "1" } }]);
    const options = line.includes("wc_url") ? { workingCopy: true } : { shallowClone: true };
    expect(
      said(await rig.refused(`${head}projects[m][download][url] = ${join(rig.work, "m")}\n${line}`, { ...noCore, ...options })),
    ).toMatch(/is refused/);
    expect(pwned()).toBe(false);
  });

  it.each([
    ["a library's subdir", "libraries[x][subdir] = ../../..\n"],
    ["a library's destination", "libraries[x][destination] = /etc\n"],
    ["a library's directory name in .git", "libraries[x][directory_name] = .git/hooks\n"],
    ["a file name", "libraries[x][download][filename] = .git/config\n"],
  ])("%s that leads elsewhere is refused", async (_, line) => {
    const url = rig.server.serve("/x.js", "x");
    const error = await rig.refused(`${head}libraries[x][download][type] = get\nlibraries[x][download][url] = ${url}\n${line}`, noCore);
    expect(said(error)).toMatch(/is refused|Illegal path/);
  });

  it("passwords and tokens are in no error, warning, report or lock", async () => {
    const url = rig.tarball("m", { a: "1" }).replace("http://", "http://me:hunter2@");
    const text = `${head}projects[m][download][type] = get\nprojects[m][download][url] = "${url}?token=hunter3"\n`;
    rig.server.serve("/m.tar.gz?token=hunter3", archive("tar.gz", "m", { a: "1" }));
    const built = await rig.build(text, { ...noCore, withLock: true });
    expect(JSON.stringify(built.report)).not.toMatch(/hunter/);
    const error = await rig.refused(text.replace("m.tar", "none.tar"), noCore);
    expect(said(error)).toContain("404");
    expect(said(error)).not.toMatch(/hunter/);
  });
});

describe("what can go wrong in the middle", () => {
  it("a server that hangs, before or within its answer, is given up", async () => {
    const options = {
      cache: new DownloadCache(join(rig.work, "cache")),
      mirrors: {},
      offline: false,
      patience: { answer: 150, idle: 150 },
    };
    const silent = rig.server.serve("/silent", () => undefined);
    const half = rig.server.serve("/half", (_, response) => void response.writeHead(200, { "content-length": 1000 }).write("x"));
    for (const url of [silent, half])
      await expect(download({ url }, {}, options)).rejects.toThrow(/the server does not answer, or stopped sending \(3 attempts\)/);
    expect(readdirSync(join(rig.work, "cache/tmp"))).toEqual([]);
  });

  it.each(["git", "tar"])("stopped while %s runs: the program ends too, and nothing is left", async (program) => {
    const bin = join(rig.work, "bin");
    mkdirSync(bin);
    const started = join(rig.work, "started");
    writeFileSync(join(bin, program), `#!/bin/sh\necho $$ > ${started}\nexec sleep 60\n`, { mode: 0o755 });
    repository(join(rig.work, "m"), [{ files: { v: "1" } }]);
    // packed by bzip2: what is plain and small is unpacked without a program
    const url = rig.tarball("n", { a: "1" }, "tar.bz2");
    const text =
      program === "git"
        ? `${head}projects[m][download][url] = ${join(rig.work, "m")}\n`
        : `${head}projects[n][download][type] = get\nprojects[n][download][url] = ${url}\n`;
    const path = process.env["PATH"];
    const stop = new AbortController();
    const timer = setInterval(() => existsSync(started) && stop.abort(), 20);
    try {
      process.env["PATH"] = `${bin}:${path}`;
      const begun = Date.now();
      const error = await rig.refused(text, noCore, { signal: stop.signal });
      expect(error.code).toBe("STOPPED");
      expect(Date.now() - begun).toBeLessThan(15_000);
    } finally {
      clearInterval(timer);
      process.env["PATH"] = path;
    }
  });
});
