import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { composerProject } from "../support/composer-project.js";
import { makeFakeCore, release } from "../support/fake-core.js";
import { type Serving, TestHub } from "../support/hub.js";
import { start } from "../support/processes.js";

const GIT = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];

function builds(hub: TestHub): readonly string[] {
  return readdirSync(hub.path("platforms/.builds"));
}

function records(hub: TestHub): readonly string[] {
  return readdirSync(hub.path("state/builds"));
}

/** What is known of the build that serves now. */
function record(hub: TestHub, project: string) {
  const build = readlinkSync(hub.path(project)).split("/").at(-1);
  return JSON.parse(readFileSync(hub.path(`state/builds/${build}.json`), "utf8"));
}

describe("a platform built from a make file", () => {
  let hub: TestHub;
  beforeAll(async () => {
    hub = await TestHub.withPlatform();
  });
  afterAll(() => hub.remove());

  it("has a record of what it was made of, with nothing in it that another day would change", async () => {
    const found = record(hub, "platforms/p");
    expect(found).toMatchObject({
      schema: "provision/build@1",
      platform: "@platform_p",
      kind: "make",
      tree: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(found.inputs["text of the make file"]).toMatch(/^sha256 /);
    expect(JSON.stringify(found)).not.toMatch(/20\d\d-\d\d-\d\d|20\d{6}T/);
  });

  it("is as it was built: verify changes nothing and warns of nothing, also when it looks at every file", async () => {
    for (const line of ["verify @platform_p", "verify @platform_p --full"]) {
      const before = hub.tree();
      const said = await hub.document(line);
      expect(said).toMatchObject({ outcome: "ok", counts: { changed: 0 } });
      expect(said.warnings).toBeUndefined();
      expect(hub.tree()).toEqual(before);
    }
  });

  it("whose make file changed is left as it is, with a warning that says what to do", async () => {
    appendFileSync(hub.path("makes/core.make.yml"), "\n# changed\n");
    const before = hub.tree();
    const said = await hub.document("verify @platform_p");
    expect(said).toMatchObject({ outcome: "ok", exit: 0, counts: { changed: 0 } });
    expect(said.warnings?.join()).toMatch(
      /@platform_p was built from something else: text of the make file has changed\. It was left as it is: provision verify @platform_p --rebuild/,
    );
    expect(hub.tree()).toEqual(before);
  });

  it("whose code was changed in place is told only by --full, which names the place", async () => {
    appendFileSync(join(hub.docroot, "modules/system/system.module"), "// hacked\n");
    expect((await hub.document("verify @platform_p")).warnings?.join()).not.toMatch(/was changed since/);
    expect((await hub.document("verify @platform_p --full")).warnings?.join()).toMatch(
      /was changed since it was built, in modules\/system/,
    );
  });

  it("that was changed in place is rebuilt, and the old build is kept because of it", async () => {
    const [old = ""] = builds(hub);
    const said = await hub.document("verify @platform_p --rebuild");
    expect(said).toMatchObject({ ok: true, outcome: "changed" });
    expect(said.warnings?.join()).toMatch(/the old build is kept at .*: it was changed since it was built, in modules\/system/);
    expect(builds(hub)).toHaveLength(2);
    expect(readFileSync(hub.path(`platforms/.builds/${old}/modules/system/system.module`), "utf8")).toMatch(/hacked/);
    expect(readFileSync(join(hub.docroot, "modules/system/system.module"), "utf8")).not.toMatch(/hacked/);
    expect((await hub.document("verify @platform_p --full")).warnings).toBeUndefined();
  });

  it("is deleted with every build that was kept of it", async () => {
    await hub.ok("delete @platform_p --yes");
    expect(builds(hub)).toEqual([]);
    expect(records(hub)).toEqual([]);
    expect(existsSync(hub.docroot)).toBe(false);
  });
});

describe("a rebuild under a site", () => {
  let hub: TestHub;
  let serving: Serving;
  let core: string;
  beforeAll(async () => {
    hub = await TestHub.withSite();
    core = join(hub.base, "core");
    serving = await hub.serve();
  });
  afterAll(async () => {
    await serving.stop();
    hub.remove();
  });

  const code = async () => {
    const { status, headers } = await serving.get("site.localhost", "/");
    return `${status} ${headers["x-code"] ?? "first"}`;
  };

  it("exchanges the code while the site answers every request, and takes the old build away", async () => {
    expect(await code()).toBe("200 first");
    release(core, "two");
    writeFileSync(join(hub.docroot, "sites/site.localhost/modules/own.txt"), "the site's own");
    const [old = ""] = builds(hub);
    const answers: string[] = [];
    let over = false;
    const visitor = (async () => {
      while (!over) answers.push(await code());
    })();
    const said = await hub.document("verify @platform_p --rebuild");
    over = true;
    await visitor;
    expect(said).toMatchObject({
      ok: true,
      outcome: "changed",
      data: { sites: ["@site.localhost"], version: { from: "7.0-fixture", to: "7.0-fixture" } },
    });
    expect(new Set(answers.map((answer) => answer.slice(0, 3))), "nobody was turned away").toEqual(new Set(["200"]));
    expect(await code()).toBe("200 two");
    expect(builds(hub)).not.toContain(old);
    expect(builds(hub)).toHaveLength(1);
    expect(records(hub)).toHaveLength(1);
    expect(readFileSync(join(hub.docroot, "sites/site.localhost/modules/own.txt"), "utf8")).toBe("the site's own");
    expect((lstatSync(join(hub.docroot, "sites/site.localhost/settings.php")).mode & 0o777).toString(8)).toBe("440");
  });

  it("leaves nothing for verify to do", async () => {
    for (const target of ["@platform_p", "@site.localhost"]) {
      const said = await hub.document(`verify ${target}`);
      expect(said, target).toMatchObject({ outcome: "ok", counts: { changed: 0 } });
      expect(said.warnings, target).toBeUndefined();
    }
  });

  it("is only told by --dry-run, which builds nothing", async () => {
    const before = hub.everything();
    const said = await hub.document("verify @platform_p --rebuild --dry-run");
    expect(said.outcome).toBe("would_change");
    expect(hub.everything()).toEqual(before);
  });

  it("whose build fails leaves the old platform serving, as before", async () => {
    const before = hub.tree({ times: false });
    const hidden = `${core}.hidden`;
    cpSync(core, hidden, { recursive: true });
    rmSync(core, { recursive: true });
    const said = await hub.document("verify @platform_p --rebuild");
    cpSync(hidden, core, { recursive: true });
    expect(said).toMatchObject({
      ok: false,
      exit: 4,
      outcome: "rolled_back",
      error: { code: "BUILD_FAILED", state: expect.stringMatching(/^as before/) },
    });
    expect(await code()).toBe("200 two");
    expect(hub.tree({ times: false })).toEqual(before);
    expect(builds(hub)).toHaveLength(1);
  });

  it("under which a site does not answer is taken back, down to the PHP that runs", async () => {
    const index = join(core, "index.php");
    const good = readFileSync(index, "utf8");
    writeFileSync(index, "<?php http_response_code(500); echo 'broken release';");
    const said = await hub.document("verify @platform_p --rebuild");
    writeFileSync(index, good);
    expect(said).toMatchObject({ ok: false, exit: 4, error: { code: "PROBE_FAILED" } });
    expect(said.error?.why.join()).toMatch(/site\.localhost: GET \/ 500 \(was 200\)/);
    const journal = readFileSync(hub.path(`state/operations/${said.operation}/journal.jsonl`), "utf8")
      .trim()
      .split("\n");
    const intent = journal.map((line) => JSON.parse(line)).find(({ t, step }) => t === "intent" && step === "platform/exchange");
    // Undone from the end: PHP begins anew when the link is back, else it would go on with the code of the removed build.
    expect(intent.undo.map((undo: { do: string }) => undo.do)).toEqual(["http_reload", "restore_link"]);
    expect(await code()).toBe("200 two");
    expect(builds(hub)).toHaveLength(1);
  });

  it("into another core, or without the profile of a site, is refused", async () => {
    rmSync(`${core}.hidden`, { recursive: true, force: true });
    cpSync(core, `${core}.hidden`, { recursive: true });
    rmSync(join(core, "profiles/minimal"), { recursive: true });
    const said = await hub.document("verify @platform_p --rebuild");
    rmSync(core, { recursive: true });
    cpSync(`${core}.hidden`, core, { recursive: true });
    expect(said).toMatchObject({ ok: false, error: { message: expect.stringMatching(/lacks install profiles that sites run on/) } });
    expect(said.error?.why.join()).toMatch(/@site\.localhost runs on minimal/);
    expect(await code()).toBe("200 two");
  });

  it("keeps the old build with --keep-old, and says where", async () => {
    release(core, "three");
    const said = await hub.document("verify @platform_p --rebuild --keep-old");
    expect(said.data?.["old"]).toMatch(/platforms\/\.builds\/p-/);
    expect(existsSync(String(said.data?.["old"]))).toBe(true);
    expect(await code()).toBe("200 three");
    expect(said.warnings).toBeUndefined();
  });

  it("waits for nobody: a site that is being worked on makes it exit 75", async () => {
    const holder = start("flock", ["-F", "-x", hub.path("state/locks/site.site.localhost"), "sleep", "60"]);
    await sleep(300);
    const said = await hub.document("verify @platform_p --rebuild");
    holder.child.kill();
    await holder.ended;
    expect(said).toMatchObject({ ok: false, exit: 75, error: { code: "LOCKED" } });
  });
});

describe("a platform that cannot be rebuilt", () => {
  let hub: TestHub;
  beforeAll(async () => {
    hub = await TestHub.empty();
  });
  afterAll(() => hub.remove());

  it("because its root is a plain directory is refused, and is not touched", async () => {
    await makeFakeCore(hub.path("platforms/own"));
    await hub.ok("save @platform_own --context_type=platform --root=platforms/own --makefile=makes/x.make");
    await hub.ok("verify @platform_own");
    const before = hub.tree();
    const said = await hub.document("verify @platform_own --rebuild");
    expect(said).toMatchObject({ exit: 1, error: { code: "REFUSED", message: expect.stringMatching(/was not built by provision/) } });
    expect(hub.tree()).toEqual(before);
  });

  it("because it is not built yet, or names no source, is refused with the command that helps", async () => {
    await hub.ok("save @platform_new --context_type=platform --root=platforms/new --makefile=makes/x.make");
    expect((await hub.document("verify @platform_new --rebuild")).error?.next).toContain("provision verify @platform_new");
    await hub.ok("save @platform_own --unset=makefile");
    expect((await hub.document("verify @platform_own --rebuild")).error?.message).toMatch(/names nothing it could be built from/);
  });

  it("because it is something else, or with both of --rebuild and --update, is a wrong command line", async () => {
    expect((await hub.document("verify @server_master --rebuild")).exit).toBe(64);
    expect((await hub.document("verify @platform_own --rebuild --update")).exit).toBe(64);
    expect((await hub.document("verify @platform_own --keep-old")).exit).toBe(64);
    expect((await hub.document("verify @platform_own --update")).error?.message).toMatch(/is not a working copy/);
  });
});

describe("a Composer platform with its docroot in web/", () => {
  let hub: TestHub;
  let project: string;
  beforeAll(async () => {
    hub = await TestHub.empty();
    const core = await makeFakeCore(join(hub.base, "core"));
    const files = Object.fromEntries(
      execFileSync("find", [".", "-type", "f"], { cwd: core, encoding: "utf8" })
        .trim()
        .split("\n")
        .map((file) => [file.slice(2), readFileSync(join(core, file), "utf8")]),
    );
    project = composerProject(hub.path("projects/d10"), { core: files });
    await hub.ok("save @platform_c --context_type=platform --root=platforms/c/web --composer=projects/d10");
  });
  afterAll(() => hub.remove());

  it("is built beside its place, and the project directory is the link", async () => {
    const before = execFileSync("find", [project, "-newermt", "@0", "-printf", "%p %T@\n"], { encoding: "utf8" });
    const said = await hub.document("verify @platform_c");
    expect(said).toMatchObject({ ok: true, data: { root: hub.path("platforms/c/web"), core: { docroot: hub.path("platforms/c/web") } } });
    expect(readlinkSync(hub.path("platforms/c"))).toMatch(/^\.builds\/c-/);
    expect(existsSync(hub.path("platforms/c/vendor/autoload.php"))).toBe(true);
    expect(record(hub, "platforms/c")).toMatchObject({ kind: "composer", resolved: { "drupal/core": expect.stringMatching(/^1\.0\.0/) } });
    expect(
      execFileSync("find", [project, "-newermt", "@0", "-printf", "%p %T@\n"], { encoding: "utf8" }),
      "the project is not touched",
    ).toBe(before);
    expect((await hub.document("verify @platform_c --full")).counts.changed).toBe(0);
  });

  it("carries a site, which goes on through a rebuild", async () => {
    await hub.ok("save @c.localhost --context_type=site --platform=@platform_c --profile=minimal");
    await hub.ok("install @c.localhost");
    expect((await hub.document("verify @platform_c --full")).warnings, "a site is no change of the platform").toBeUndefined();
    release(join(project, "packages/core"), "two");
    const said = await hub.document("verify @platform_c --rebuild");
    expect(said).toMatchObject({ ok: true, data: { sites: ["@c.localhost"] } });
    const serving = await hub.serve();
    const { status, headers } = await serving.get("c.localhost", "/");
    await serving.stop();
    expect([status, headers["x-code"]]).toEqual([200, "two"]);
    expect(builds(hub)).toHaveLength(1);
  });

  it("whose composer.lock changed is told so", async () => {
    appendFileSync(join(project, "composer.lock"), "\n");
    expect((await hub.document("verify @platform_c")).warnings?.join()).toMatch(/composer\.lock has changed/);
  });

  it("found by its docroot when root is the project directory", async () => {
    await hub.ok("save @platform_e --context_type=platform --root=platforms/e --composer=projects/d10");
    expect(await hub.document("verify @platform_e")).toMatchObject({ ok: true, data: { core: { docroot: hub.path("platforms/e/web") } } });
  });

  it("a site on it is deleted whole, also when the code is broken by then", async () => {
    const sites = hub.path("platforms/e/web/sites");
    const before = readdirSync(sites);
    const core = hub.path("platforms/e/web/includes/bootstrap.inc");
    for (const broken of [false, true]) {
      await hub.ok("save @e.localhost --context_type=site --platform=@platform_e --profile=minimal");
      await hub.ok("install @e.localhost");
      expect(readdirSync(sites)).toContain("e.localhost");
      if (broken) renameSync(core, `${core}.away`);
      await hub.ok("delete @e.localhost --no-backup --yes");
      if (broken) renameSync(`${core}.away`, core);
      expect(readdirSync(sites).filter((name) => name !== "sites.php")).toEqual(before.filter((name) => name !== "sites.php"));
    }
    await hub.ok("delete @platform_e --yes");
  });

  it("with another docroot than root says is not put in place", async () => {
    await hub.ok("save @platform_h --context_type=platform --root=platforms/h/html --composer=projects/d10");
    const said = await hub.document("verify @platform_h");
    expect(said.error).toMatchObject({
      code: "BUILD_FAILED",
      message: "what was built has no docroot html",
      why: ["there is an index.php in web"],
    });
    expect(existsSync(hub.path("platforms/h"))).toBe(false);
  });

  it("is deleted with its link and build", async () => {
    await hub.ok("delete @c.localhost --no-backup --yes");
    await hub.ok("delete @platform_c --yes");
    expect(existsSync(hub.path("platforms/c"))).toBe(false);
    expect(builds(hub).filter((name) => name.startsWith("c-"))).toEqual([]);
  });
});

describe("a working copy", () => {
  let hub: TestHub;
  let repository: string;
  const git = (...args: readonly string[]) => execFileSync("git", [...GIT, ...args], { cwd: repository, encoding: "utf8" }).trim();
  const commit = (message: string) => {
    git("add", "-A");
    git("commit", "-qm", message);
    return git("rev-parse", "HEAD");
  };
  let serving: Serving;
  beforeAll(async () => {
    hub = await TestHub.empty();
    repository = await makeFakeCore(join(hub.base, "repository"));
    git("init", "-q", "-b", "main");
    commit("one");
    await hub.ok([
      "save",
      "@platform_g",
      "--context_type=platform",
      "--root=platforms/g",
      `--git=${repository}`,
      "--git_ref=main",
      "--working_copy=true",
    ]);
    await hub.ok("verify @platform_g");
    await hub.ok("save @g.localhost --context_type=site --platform=@platform_g --profile=minimal");
    await hub.ok("install @g.localhost");
    serving = await hub.serve();
  });
  afterAll(async () => {
    await serving.stop();
    hub.remove();
  });
  const code = async () => (await serving.get("g.localhost", "/")).headers["x-code"] ?? "first";

  it("that is up to date is not touched", async () => {
    const tree = () => hub.tree({ times: false }).filter((line) => !line.includes("/.git/"));
    const before = tree();
    expect(await hub.document("verify @platform_g --update")).toMatchObject({ outcome: "ok", counts: { changed: 0 } });
    expect(tree()).toEqual(before);
  });

  it("goes forward in place, and PHP begins anew with it", async () => {
    release(repository, "two");
    const target = commit("two");
    expect((await hub.document("verify @platform_g --full")).warnings?.join()).toMatch(/main is at [0-9a-f]{12} now .*--update/);
    const said = await hub.document("verify @platform_g --update");
    expect(said).toMatchObject({ ok: true, outcome: "changed", data: { commit: { to: target } } });
    expect(await code()).toBe("two");
    expect(execFileSync("git", ["-C", hub.path("platforms/g"), "branch", "--show-current"], { encoding: "utf8" }).trim()).toBe("main");
    expect(record(hub, "platforms/g").resolved.commit).toBe(target);
    const again = await hub.document("verify @platform_g --full");
    expect(again).toMatchObject({ counts: { changed: 0 } });
    expect(again.warnings).toBeUndefined();
  });

  it("under which a site does not answer goes back to the former commit", async () => {
    writeFileSync(join(repository, "index.php"), "<?php http_response_code(500);");
    commit("broken");
    const said = await hub.document("verify @platform_g --update");
    expect(said).toMatchObject({ ok: false, exit: 4, error: { code: "PROBE_FAILED" } });
    expect(await code()).toBe("two");
    git("revert", "--no-edit", "-n", "HEAD");
    commit("repaired");
  });

  it("with local changes is refused, and lists them", async () => {
    const file = hub.path("platforms/g/robots.txt");
    const text = readFileSync(file, "utf8");
    appendFileSync(file, "mine");
    const said = await hub.document("verify @platform_g --update");
    expect(said).toMatchObject({ exit: 1, error: { code: "REFUSED", message: expect.stringMatching(/local changes/) } });
    expect(said.error?.why.join()).toMatch(/M robots\.txt/);
    expect(readFileSync(file, "utf8")).toMatch(/mine$/);
    writeFileSync(file, text);
  });

  it("with commits of its own is refused, and keeps them", async () => {
    const copy = hub.path("platforms/g");
    const own = (...args: readonly string[]) => execFileSync("git", [...GIT, ...args], { cwd: copy, encoding: "utf8" }).trim();
    writeFileSync(join(copy, "own.txt"), "mine");
    own("add", "own.txt");
    own("commit", "-qm", "my own work");
    const head = own("rev-parse", "HEAD");
    const said = await hub.document("verify @platform_g --update");
    expect(said.error?.message).toMatch(/has commits that .* does not have/);
    expect(said.error?.why.join()).toMatch(/my own work/);
    expect([own("rev-parse", "HEAD"), own("branch", "--show-current"), own("status", "--porcelain", "-uno")]).toEqual([head, "main", ""]);
    own("reset", "--quiet", "--hard", "HEAD~1");
  });

  it("is not rebuilt, since that would take away what was done in it", async () => {
    expect((await hub.document("verify @platform_g --rebuild")).error).toMatchObject({
      code: "REFUSED",
      next: expect.arrayContaining(["provision verify @platform_g --update"]),
    });
  });
});
