import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Said, type Serving, TestHub, treeOf } from "../support/hub.js";

/** Path and query of a URL, and its host. */
function parts(url: string): { host: string; path: string } {
  const { hostname, pathname, search } = new URL(url);
  return { host: hostname, path: pathname + search };
}

const COUNTS = /: (\d+) ok, (\d+) changed/;

function changed({ stderr }: Said): number {
  const counts = COUNTS.exec(stderr);
  if (!counts) throw new Error(`no counts in:\n${stderr}`);
  return Number(counts[2]);
}

/** verify @server proves SQLite with a database that it makes in sites/ and takes away: only the time of that directory moves. */
const notProof = (line: string) => !line.startsWith("sites 711 ");

describe("the life of a site, from an empty directory to an empty directory", () => {
  let hub: TestHub;
  let serving: Serving | undefined;
  let installed = "";
  /** The hub as it was before the platform, and before the site. */
  let before: readonly string[];
  let beforeSite: readonly string[];

  beforeAll(async () => {
    hub = await TestHub.nowhere();
  });
  afterAll(async () => {
    await serving?.stop();
    hub.remove();
  });

  test("init makes a hub where there was nothing", async () => {
    const { stderr } = await hub.ok(["init", "--local", hub.root, "--port", String(hub.port)], { cwd: hub.base });
    expect(stderr).toContain("Write provision.yml");
    expect(readdirSync(hub.path("aliases")).sort()).toEqual(["client_admin.yml", "server_master.yml"]);
    expect(statSync(hub.path("secrets")).mode & 0o777).toBe(0o700);
    // What the first verify of a server makes is no leftover of a site.
    await hub.ok("verify @server_master");
  });

  test("save writes an alias file and nothing else", async () => {
    before = hub.tree({ times: false });
    await hub.savePlatform();
    const now = hub.tree({ times: false });
    expect(now.filter((line) => !before.includes(line)).map((line) => line.split(" ")[0])).toEqual([
      "aliases/platform_p.yml",
      "makes",
      "makes/core.make.yml",
    ]);
  });

  test("the first verify of a platform builds it from its make file", async () => {
    await hub.ok("verify @platform_p");
    expect(existsSync(join(hub.docroot, "index.php"))).toBe(true);
    expect(readdirSync(hub.path("platforms")).filter((name) => name !== ".builds")).toEqual(["p"]);
    beforeSite = hub.tree({ times: false });
  });

  test("install makes the site, prints its URL on standard output and a login link", async () => {
    await hub.saveSite("example.localhost");
    // PHP keeps nothing compiled that is younger than two seconds.
    execFileSync("find", [`${hub.docroot}/`, "-type", "f", "-exec", "touch", "-d", "1 hour ago", "{}", "+"]);
    const { stdout } = await hub.ok("install @example.localhost");
    expect(stdout).toMatch(
      new RegExp(`^URL    http://example\\.localhost:${hub.port}/\nLogin  http://example\\.localhost:${hub.port}/user/reset/1/\\S+\n$`),
    );
    installed = /^Login {2}(\S+)$/m.exec(stdout)?.[1] ?? "";
  });

  test("the core's code is kept compiled for this build, its own account's alone; what says what a site is never", () => {
    const [build = ""] = readdirSync(hub.path("platforms/.builds"));
    const cache = hub.path(`state/cache/opcache/${build}`);
    expect(statSync(cache).mode & 0o777).toBe(0o700);
    const compiled = treeOf(cache, { times: false }).map((line) => line.split(" ")[0] ?? "");
    expect(compiled.filter((path) => path.endsWith("/includes/bootstrap.inc.bin"))).toHaveLength(1);
    expect(compiled.filter((path) => /settings\.php|sites\.php/.test(path))).toEqual([]);
  });

  test("list, show and status say what there is", async () => {
    expect((await hub.ok("list")).stdout).toMatch(/^@example\.localhost +site +example\.localhost +@platform_p +enabled$/m);
    expect((await hub.ok("list sites")).stdout).not.toContain("@platform_p  platform");
    const shown = (await hub.ok("show @example.localhost")).stdout;
    expect(shown).toMatch(/^ {2}profile +minimal +\(file aliases\/example\.localhost\.yml:\d+\)$/m);
    expect(shown).toMatch(/^ {2}language +en +\(default\)$/m);
    expect((await hub.ok("status")).stdout).toMatch(/^installed +1$/m);
    const status = (await hub.ok("status @example.localhost")).stdout;
    expect(status).toMatch(/^ {2}front_page +status 200, ms \d+$/m);
    expect(status).toMatch(/^ {2}core +drupal7 7\.0-fixture$/m);
  });

  test("install leaves nothing for a verify to change", async () => {
    const all = hub.everything();
    const { stderr } = await hub.ok("verify @example.localhost");
    expect(changed({ stderr } as Said)).toBe(0);
    expect(hub.everything()).toEqual(all);
  });

  test("a platform and a server verified again change nothing, to the byte and the nanosecond", async () => {
    await hub.ok("verify @server_master @platform_p");
    const all = hub.everything().filter(notProof);
    const { stderr } = await hub.ok("verify @server_master @platform_p @example.localhost");
    expect(stderr.match(/, 0 changed/g)).toHaveLength(3);
    expect(hub.everything().filter(notProof)).toEqual(all);
  });

  test("the links that install and login print log in, over HTTP, once", async () => {
    serving = await hub.serve();
    expect((await serving.get("example.localhost", "/")).status).toBe(200);
    const loggedIn = async (link: string) => {
      const { host, path } = parts(link);
      const first = await serving?.get(host, path);
      expect(first?.status).toBe(302);
      const cookie = String(first?.headers["set-cookie"]).split(";")[0] ?? "";
      expect(cookie).toMatch(/^SESS/);
      expect((await serving?.get(host, parts(String(first?.headers["location"])).path, { cookie }))?.status).toBe(200);
      const second = await serving?.get(host, path);
      expect(second?.headers["location"] ?? "", "the link works a second time").not.toContain("/user/1");
    };
    await loggedIn(installed);
    // After it, for a link holds only until the account's next login.
    const { stdout } = await hub.ok("login @example.localhost");
    expect(stdout).toMatch(/^http\S+\n$/);
    await loggedIn(stdout.trim());
  });

  test("cron runs the site's cron, and status says when", async () => {
    expect((await hub.document("status @example.localhost")).data).toMatchObject({ last_cron: null });
    const cron = await hub.document("cron @example.localhost");
    expect(cron).toMatchObject({ ok: true, outcome: "changed" });
    expect((await hub.document("status @example.localhost")).data).toMatchObject({
      last_cron: new Date(Number(cron.data?.["last_cron"]) * 1000).toISOString(),
    });
  });

  test("disable answers 503 with Retry-After, enable serves again", async () => {
    expect(changed(await hub.ok("disable @example.localhost"))).toBe(2);
    const closed = await serving?.get("example.localhost", "/");
    expect(closed?.status).toBe(503);
    expect(closed?.headers["retry-after"]).toMatch(/^\d+$/);
    expect((await hub.ok("list sites")).stdout).toContain("disabled");
    await hub.ok("enable @example.localhost");
    expect((await serving?.get("example.localhost", "/"))?.status).toBe(200);
  });

  test("aliases answer, a wildcard too, and a redirection sends them on with 301", async () => {
    expect((await serving?.get("www.example.localhost", "/"))?.status).toBe(404);
    await hub.ok("save @example.localhost --aliases=www.example.localhost,*.wild.localhost");
    await hub.ok("verify @example.localhost");
    expect((await serving?.get("www.example.localhost", "/"))?.status).toBe(200);
    expect((await serving?.get("any.wild.localhost", "/"))?.status).toBe(200);
    await hub.ok("save @example.localhost --redirection=example.localhost");
    await hub.ok("verify @example.localhost");
    const sent = await serving?.get("www.example.localhost", "/node?page=1");
    expect(sent?.status).toBe(301);
    expect(sent?.headers["location"]).toBe(`http://example.localhost:${hub.port}/node?page=1`);
    expect((await serving?.get("example.localhost", "/"))?.status).toBe(200);
    await hub.ok("save @example.localhost --redirection=null --aliases=null");
    await hub.ok("verify @example.localhost");
    expect((await serving?.get("www.example.localhost", "/"))?.status).toBe(404);
  });

  test("a sub-directory site lives below another's name, with data of its own", async () => {
    await hub.saveSite("example.localhost/foo", "--site_name=Below");
    const { stdout } = await hub.ok("install @example.localhost.foo");
    expect(stdout).toContain(`http://example.localhost:${hub.port}/foo/`);
    const below = await serving?.get("example.localhost", "/foo/");
    expect(below?.status).toBe(200);
    expect(below?.body).toContain("Below");
    expect((await serving?.get("example.localhost", "/"))?.body).not.toContain("Below");
    expect(changed(await hub.ok("verify @example.localhost.foo"))).toBe(0);
    await hub.ok("delete @example.localhost.foo --no-backup --yes");
    expect((await serving?.get("example.localhost", "/"))?.status).toBe(200);
  });

  test("a locked platform takes no new site; an unlocked one does", async () => {
    await hub.ok("lock @platform_p");
    await hub.ok("verify @example.localhost");
    const refused = await hub.provision("save @new.localhost --context_type=site --uri=new.localhost --platform=@platform_p");
    expect([refused.code, refused.stderr]).toEqual([expect.any(Number), expect.stringContaining("@platform_p is locked")]);
    expect(refused.code).not.toBe(0);
    expect(existsSync(hub.path("aliases/new.localhost.yml"))).toBe(false);
    await hub.ok("unlock @platform_p");
  });

  test("a deleted site leaves nothing behind", async () => {
    await hub.ok("delete @example.localhost --no-backup --yes");
    expect((await serving?.get("example.localhost", "/"))?.status).toBe(404);
    // A client keeps its directory, the web server the mark of its last configuration.
    const gone = (line: string) => !/^(clients\/admin \d+\/|config\/server_master\/php\/generation .*)$/.test(line);
    expect(hub.tree({ times: false }).filter(gone)).toEqual(beforeSite.filter(gone));
  });

  test("a deleted platform leaves nothing behind", async () => {
    await serving?.stop();
    serving = undefined;
    await hub.ok("delete @platform_p --yes");
    const left = hub.tree({ times: false }).filter((line) => !before.includes(line));
    expect(left.map((line) => line.split(" ")[0]).filter((path) => !/^(makes|clients\/admin)/.test(path ?? ""))).toEqual([
      "config/server_master/php/generation",
    ]);
    expect(readdirSync(hub.path("platforms/.builds"))).toEqual([]);
    expect(readdirSync(hub.path("state/cache/opcache"))).toEqual([]);
    expect(treeOf(hub.path("sites"))).toEqual([]);
    expect(treeOf(hub.path("secrets"))).toEqual([]);
  });

  test("save --delete takes the alias file away", async () => {
    await hub.ok("save @client_acme --context_type=client --email=acme@example.com");
    await hub.ok("save @client_acme --delete");
    expect(existsSync(hub.path("aliases/client_acme.yml"))).toBe(false);
  });

  test("every operation that changed something is told by operations list, newest first", async () => {
    const { data } = await hub.document("operations list");
    const told = data?.["operations"] as readonly { id: string; command: string; outcome: string }[];
    expect(told[0]).toMatchObject({ command: "delete-context", outcome: "changed" });
    expect(told.at(-1)).toMatchObject({ command: "init" });
    expect(told.every(({ outcome }) => outcome === "changed")).toBe(true);
    const history = readFileSync(hub.path("state/history.jsonl"), "utf8").trim().split("\n");
    expect(history).toHaveLength(told.length);
  });
});

describe("a command that has nothing to do", () => {
  let hub: TestHub;
  beforeAll(async () => {
    hub = await TestHub.withSite();
    await hub.ok("verify @server_master");
    await hub.saveSite("off.localhost");
    await hub.ok("install @off.localhost");
    await hub.ok("disable @off.localhost");
    await hub.savePlatform("locked");
    await hub.ok("verify @platform_locked");
    await hub.ok("lock @platform_locked");
  }, 120_000);
  afterAll(() => hub.remove());

  test.each([
    "init --local",
    "save @platform_p --root=platforms/p",
    "save @site.localhost --uri=site.localhost --profile=minimal",
    "save @site.localhost --redirection=null",
    "verify @server_master",
    "verify @platform_p",
    "verify @site.localhost",
    "verify @off.localhost",
    "enable @site.localhost",
    "disable @off.localhost",
    "lock @platform_locked",
    "unlock @platform_p",
  ])("%s: exit 0, 0 changed, and no file of the hub is touched", async (line) => {
    const quiet = line === "verify @server_master" ? notProof : () => true;
    const all = hub.everything().filter(quiet);
    expect(changed(await hub.ok(line))).toBe(0);
    expect(hub.everything().filter(quiet)).toEqual(all);
  });

  test.each([
    "list",
    "show @site.localhost",
    "show @platform_p",
    "status",
    "doctor",
    "operations list",
    "verify @site.localhost --dry-run",
    "delete @site.localhost --no-backup --dry-run",
    "save @site.localhost --aliases=new.localhost --dry-run",
    "disable @site.localhost --dry-run",
    "lock @platform_p --dry-run",
    "cron @site.localhost --dry-run",
  ])("%s: looks, and touches nothing", async (line) => {
    const all = hub.everything();
    const locks = readdirSync(hub.path("state/locks")).sort();
    await hub.ok(line);
    expect(hub.everything()).toEqual(all);
    expect(readdirSync(hub.path("state/locks")).sort()).toEqual(locks);
  });

  test("install --dry-run of a saved site tells its steps and makes nothing", async () => {
    await hub.saveSite("dry.localhost");
    const all = hub.everything();
    const { stderr } = await hub.ok("install @dry.localhost --dry-run");
    expect(stderr).toMatch(/would change/);
    expect(hub.everything()).toEqual(all);
    await hub.ok("save @dry.localhost --delete");
  });

  test("--dry-run --exit-code ends with 2 when something would change, and with 0 when not", async () => {
    expect((await hub.provision("disable @site.localhost --dry-run --exit-code")).code).toBe(2);
    expect((await hub.provision("enable @site.localhost --dry-run --exit-code")).code).toBe(0);
  });
});

describe("the words of Aegir", () => {
  let hub: TestHub;
  beforeAll(async () => {
    hub = await TestHub.empty();
    await hub.savePlatform();
  });
  afterAll(() => hub.remove());

  test("a script written for Aegir runs as it is", async () => {
    await hub.ok("provision-verify @platform_p");
    await hub.ok(
      "provision-save @old.localhost --context_type=site --uri=old.localhost --platform=@platform_p --profile=minimal --db_server=@server_master",
    );
    await hub.ok("@old.localhost provision-install");
    await hub.ok("@old.localhost provision-verify");
    expect((await hub.ok("@old.localhost provision-login-reset")).stdout).toContain("/user/reset/");
    await hub.ok("@old.localhost provision-disable");
    await hub.ok("@old.localhost provision-enable");
    await hub.ok("@platform_p provision-lock");
    await hub.ok("@platform_p provision-unlock");
    await hub.ok("@old.localhost provision-delete --no-backup --yes");
    await hub.ok("provision-save @platform_p --delete");
  });

  test.each([
    "save @client_x --context_type=client --email=x@example.com",
    "save @client_x --context-type=client --email=x@example.com",
    "@none save @client_x --context_type=client --email=x@example.com",
    "@none provision-save @client_x --context-type=client --email=x@example.com",
    "@client_x save --context_type=client --email=x@example.com",
  ])("%s says the same as any other spelling", async (line) => {
    await hub.ok(line);
    expect(readFileSync(hub.path("aliases/client_x.yml"), "utf8")).toBe("context_type: client\nemail: x@example.com\n");
    await hub.ok("save @client_x --delete");
  });

  test("options are taken before and after the command, with _ as with -", async () => {
    expect((await hub.ok("--json list")).json.ok).toBe(true);
    expect((await hub.ok("verify @server_master --dry_run")).code).toBe(0);
    expect((await hub.ok("verify --lock_wait @server_master")).code).toBe(0);
    expect((await hub.ok("list", { env: { PROVISION_FORMAT: "json" } })).json.command).toBe("list");
    expect((await hub.ok(`list --hub ${hub.root}`, { cwd: "/" })).code).toBe(0);
    expect((await hub.ok("list", { cwd: "/", env: { PROVISION_HUB: hub.root } })).code).toBe(0);
  });
});
