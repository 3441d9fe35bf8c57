import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Result } from "../../src/core/result.js";
import { makeFakeCore, makeFakeDrupal, release } from "../support/fake-core.js";
import { treeOf } from "../support/hub.js";
import { whereSpokesAre } from "../support/namespaces.js";
import { missingSpoke, type SpokeHub, spokeHub, type TestSpoke } from "../support/spokes.js";

const absent = missingSpoke("nginx");
const GIT = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];

describe.skipIf(absent !== undefined)(`new code, archives and configuration on another machine (${absent ?? whereSpokesAre()})`, () => {
  let rig: SpokeHub;
  let hub: SpokeHub["hub"];
  let web1: TestSpoke;
  let repository: string;

  /** Of a command that succeeds. */
  const document = async (line: string | readonly string[]) => {
    const result = await hub.document(line);
    expect([line, result.exit, result.error]).toEqual([line, 0, undefined]);
    return result;
  };
  const changesOf = ({ steps }: Result) => steps.filter(({ outcome }) => outcome === "changed").flatMap(({ changes }) => changes);
  const git = (...args: readonly string[]) => execFileSync("git", [...GIT, ...args], { cwd: repository, encoding: "utf8" }).trim();
  const commit = (message: string) => {
    git("add", "-A");
    git("commit", "-qm", message);
    return git("rev-parse", "HEAD");
  };
  const code = async () => {
    const { status, headers } = await web1.get("a.test", "/");
    return `${status} ${headers["x-code"] ?? "one"}`;
  };
  const link = (root: string) => realpathSync(join(root, "platforms/g"));
  const builds = () => [hub.root, web1.root].map((root) => readdirSync(join(root, "platforms/.builds")).length);
  const filesOf = (uri: string) => web1.path(`platforms/g/sites/${uri}/files`);
  /** All that sites have there and here. */
  const ofSites = () => [
    ...["sites", "platforms/g/sites", "config/web1/nginx/vhost.d"].map((path) => treeOf(web1.path(path), { times: false })),
    ...["aliases", "secrets"].map((path) => treeOf(hub.path(path), { times: false })),
  ];

  beforeAll(async () => {
    rig = await spokeHub(["nginx"]);
    ({ hub } = rig);
    web1 = rig.spokes[0] as TestSpoke;
    repository = await makeFakeCore(join(hub.base, "repository"));
    git("init", "-q", "-b", "main");
    commit("one");
    await hub.ok([
      ...["save", "@platform_g", "--context_type=platform", "--root=platforms/g", "--web_server=@web1"],
      ...[`--git=${repository}`, "--git_ref=main", "--working_copy=true"],
    ]);
    await hub.ok("verify @platform_g");
    await hub.ok("save @a.test --context_type=site --platform=@platform_g --profile=minimal --db_server=@web1");
    await hub.ok("install @a.test");
    writeFileSync(join(filesOf("a.test"), "kept.txt"), "kept\n");
    await hub.ok("verify @a.test");
  }, 120_000);
  afterAll(() => rig?.remove());

  test("a working copy goes forward on the hub and there; one that is up to date is not touched", async () => {
    // Who looks at it by git writes its index.
    const tree = () => [hub.root, web1.root].map((root) => treeOf(link(root)).filter((line) => !/^\.git[ /]/.test(line)));
    const before = tree();
    expect((await document("verify @platform_g --update")).counts.changed).toBe(0);
    expect(tree()).toEqual(before);
    release(repository, "two");
    const target = commit("two");
    expect((await document("verify @platform_g --update --dry-run")).outcome).toBe("would_change");
    expect(tree()).toEqual(before);
    expect((await document("verify @platform_g --update")).data).toMatchObject({ commit: { to: target }, sites: ["@a.test"] });
    expect([await code(), builds()]).toEqual(["200 two", [1, 1]]);
    expect((await document("verify @platform_g")).counts.changed).toBe(0);
  });

  test("new code below which a site does not answer is taken back, there and on the hub", async () => {
    const before = [link(hub.root), link(web1.root), git("-C", hub.path("platforms/g"), "rev-parse", "HEAD"), builds()];
    const good = readFileSync(join(repository, "index.php"), "utf8");
    writeFileSync(join(repository, "index.php"), "<?php\nhttp_response_code(500);\n");
    commit("broken");
    const updated = await hub.document("verify @platform_g --update");
    await hub.ok("save @platform_g --working_copy=false");
    const rebuilt = await hub.document("verify @platform_g --rebuild");
    for (const failed of [updated, rebuilt])
      expect([failed.exit, failed.outcome, failed.error?.code, failed.error?.why]).toEqual([
        4,
        "rolled_back",
        "PROBE_FAILED",
        ["a.test: GET / 500 (was 200)"],
      ]);
    expect([await code(), link(hub.root), link(web1.root), git("-C", hub.path("platforms/g"), "rev-parse", "HEAD"), builds()]).toEqual([
      "200 two",
      ...before,
    ]);
    writeFileSync(join(repository, "index.php"), good);
  });

  test("a rebuild is exchanged there while its sites go on, and the old build goes; what was asked to stay stays", async () => {
    release(repository, "three");
    commit("three");
    const before = link(web1.root);
    const dry = await document("verify @platform_g --rebuild --dry-run");
    expect([dry.outcome, link(web1.root)]).toEqual(["would_change", before]);
    expect((await document("verify @platform_g --rebuild")).data).toMatchObject({ sites: ["@a.test"] });
    expect([await code(), builds(), link(web1.root).split("/").at(-1)]).toEqual(["200 three", [1, 1], link(hub.root).split("/").at(-1)]);
    expect(readFileSync(join(filesOf("a.test"), "kept.txt"), "utf8")).toBe("kept\n");
    for (const line of ["verify @platform_g", "verify @a.test"]) expect(changesOf(await document(line))).toEqual([]);
    release(repository, "four");
    commit("four");
    await document("verify @platform_g --rebuild --keep-old");
    expect([await code(), builds()]).toEqual(["200 four", [2, 2]]);
  });

  test("a drill of a backup is done there, and leaves nothing", async () => {
    const { data } = await document("backup @a.test");
    const before = ofSites();
    await document(`backups verify ${String(data?.["backup"])} --restore`);
    expect(ofSites()).toEqual(before);
  });

  test("an export, and a dump with files, become sites there", async () => {
    const { data } = await document("backup @a.test");
    const file = join(hub.base, "a.tar");
    await document(`backups export ${String(data?.["backup"])} ${file}`);
    await document(`deploy @e.test ${file} @platform_g --db-server=@web1`);
    const files = join(hub.base, "of-dump");
    mkdirSync(join(files, "sub"), { recursive: true });
    writeFileSync(join(files, "sub/kept.txt"), "of the dump\n");
    const dump = join(String(data?.["path"]), "database.sqlite.zst");
    await document(`deploy @d.test ${dump} @platform_g --db-server=@web1 --files=${files} --old-uri=a.test`);
    expect(readFileSync(join(filesOf("e.test"), "kept.txt"), "utf8")).toBe("kept\n");
    expect(readFileSync(join(filesOf("d.test"), "sub/kept.txt"), "utf8")).toBe("of the dump\n");
    for (const uri of ["e.test", "d.test"]) {
      expect((await web1.get(uri, "/")).status, uri).toBe(200);
      expect((await document(`verify @${uri}`)).counts.changed, uri).toBe(0);
      await hub.ok(`delete @${uri} --no-backup --yes`);
    }
  });

  test("install --existing-config takes its configuration along", async () => {
    const exported = join(hub.base, "exported");
    mkdirSync(join(exported, "language"), { recursive: true });
    writeFileSync(
      join(exported, "core.extension.yml"),
      "module:\n  system: 0\n  user: 0\n  trap: 0\n  standard: 1000\ntheme:\n  plain: 0\nprofile: standard\n",
    );
    writeFileSync(join(exported, "language/README.txt"), "kept\n");
    const root = join(hub.base, "drupal");
    await makeFakeDrupal(root);
    await hub.ok(`save @platform_d --context_type=platform --root=platforms/d --archive=${root}.tar --web_server=@web1`);
    execFileSync("tar", ["-C", hub.base, "-cf", `${root}.tar`, "drupal"]);
    await document("verify @platform_d");
    await hub.ok("save @c.test --context_type=site --platform=@platform_d --profile=standard --db_server=@web1");
    await document(["install", "@c.test", `--existing-config=${exported}`]);
    const { context } = (await document("show @c.test")).data as { context: { generation: string } };
    const sync = web1.path(`sites/c.test/${context.generation}/config/sync`);
    expect(readFileSync(join(sync, "language/README.txt"), "utf8")).toBe("kept\n");
    expect((await document("verify @c.test")).counts.changed).toBe(0);
    await hub.ok("delete @c.test --no-backup --yes");
    expect(existsSync(web1.path("sites/c.test"))).toBe(false);
  });
});
