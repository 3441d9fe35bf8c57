import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Result } from "../../src/core/result.js";
import { makeFakeCore } from "../support/fake-core.js";
import { provision, TestHub } from "../support/hub.js";
import { PROJECT } from "../support/project.js";

/** All that an error says, for one `toMatch`. */
const words = ({ error }: Result) => [error?.message, ...(error?.why ?? []), error?.state, ...(error?.next ?? [])].join("\n");

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.withSite();
});
afterAll(() => hub.remove());

/** Runs a command that has to be refused, and holds it to its word that nothing was changed. */
async function refused(line: string | readonly string[], options: Parameters<TestHub["document"]>[1] = {}): Promise<Result> {
  // A page that is asked for to see how the site is lets SQLite open its directory.
  const seen = () => hub.everything().filter((entry) => !/\/db 2770 /.test(entry));
  const all = seen();
  const said = await hub.document(line, options);
  expect(said.ok, `${String(line)} was not refused`).toBe(false);
  expect(seen(), `${String(line)} changed something`).toEqual(all);
  return said;
}

/** Puts an alias file there for one action, as a careless or hostile hand would. */
async function withAliasFile<T>(name: string, text: string | Buffer, action: (path: string) => Promise<T>): Promise<T> {
  const path = hub.path(`aliases/${name}.yml`);
  const before = existsSync(path) ? readFileSync(path) : undefined;
  writeFileSync(path, text);
  try {
    return await action(path);
  } finally {
    if (before === undefined) rmSync(path, { force: true });
    else writeFileSync(path, before);
  }
}

const HOSTILE: readonly (readonly [string, string])[] = [
  ["a path upwards", "../etc"],
  ["a path upwards inside", "a/../../etc"],
  ["an absolute path", "/etc/passwd"],
  ["a newline", "a.test\nserver_name evil.test"],
  ["a carriage return", "a.test\r"],
  ["a NUL", "a.test\0"],
  ["a single quote", "a'.test"],
  ["a double quote", 'a".test'],
  ["a command substitution", "$(touch pwned).test"],
  ["backticks", "`touch pwned`.test"],
  ["a semicolon", "a.test;touch pwned"],
  ["a pipe", "a.test|touch pwned"],
  ["an ampersand", "a.test&&touch pwned"],
  ["a dollar", "$HOME.test"],
  ["braces", "{a,b}.test"],
  ["a space", "a b.test"],
  ["a leading dash", "-rf.test"],
  ["a label with a leading dash", "a.-b.test"],
  ["an empty label", "a..test"],
  ["a trailing dot", "a.test."],
  ["upper case", "A.test"],
  ["an underscore", "a_b.test"],
  ["a port", "a.test:80"],
  ["a scheme", "http://a.test"],
  ["two segments", "a.test/b/c"],
  ["an empty segment", "a.test/"],
  ["letters that are not ASCII", "bücher.test"],
  ["letters that look like others", "аpple.test"],
  ["254 characters", `${"a".repeat(60)}.${"b".repeat(60)}.${"c".repeat(60)}.${"d".repeat(60)}.${"e".repeat(10)}`],
  ["a label of 64 characters", `${"a".repeat(64)}.test`],
  ["nothing", ""],
];
// What no argument can hold, the kernel refuses before we are asked.
const TYPED = HOSTILE.filter(([, value]) => !value.includes("\0"));

describe("hostile words on the command line: exit 64, and nothing is written", () => {
  test.each(TYPED)("a uri with %s", async (_what, uri) => {
    const said = await refused(["save", "@x.test", "--context_type=site", `--uri=${uri}`, "--platform=@platform_p"]);
    expect(said.exit, words(said)).toBe(64);
    expect(existsSync(hub.path("pwned"))).toBe(false);
  });

  test.each(TYPED.filter(([what]) => !["nothing", "a carriage return"].includes(what)))("an alias with %s", async (_what, alias) => {
    const said = await refused(["save", "@site.localhost", `--aliases=${alias}`]);
    expect(said.exit, words(said)).toBe(64);
  });

  test.each(TYPED.filter(([what]) => !["upper case", "a space"].includes(what)).map(([what, name]) => [what, `@${name}`] as const))(
    "a context name with %s",
    async (what, name) => {
      if (["an underscore", "two segments"].includes(what)) return;
      const said = await refused(["show", name]);
      expect([64, 66], words(said)).toContain(said.exit);
      if (/[^a-z0-9@._-]/.test(name)) expect(said.exit, words(said)).toBe(64);
    },
  );

  test.each([
    ["a newline", "platforms/a\nb"],
    ["quotes", "platforms/a'b"],
    ["a command substitution", "platforms/$(id)"],
    ["a semicolon", "platforms/a;b"],
    ["a way out of the hub", "../../etc"],
    ["the hub itself", "."],
    ["the hub's secrets", "secrets"],
    ["the hub's state", "state/cache"],
    ["a parent of the hub", "/"],
  ])("a platform's root with %s", async (_what, root) => {
    const said = await refused(["save", "@platform_x", "--context_type=platform", `--root=${root}`]);
    expect([64, 65], words(said)).toContain(said.exit);
  });

  test.each([
    ["profile", "standard;id"],
    ["profile", "../../x"],
    ["language", "en'"],
    ["client_name", "../x"],
    ["db_server", "@server master"],
    ["redirection", "evil.test\n"],
    ["site_name", "a\0b".replace("\0", "\u0001")],
    ["site_mail", "no-mail"],
  ])("a site's %s of %j", async (key, value) => {
    const said = await refused(["save", "@site.localhost", `--${key}=${value}`]);
    expect([64, 65], words(said)).toContain(said.exit);
    expect(said.error?.message).toContain(key);
  });

  test.each([
    ["http_port", "eighty"],
    ["http_port", "0"],
    ["http_port", "65536"],
    ["http_service_type", "lighttpd"],
    ["script_user", "root;id"],
    ["remote_host", "-oProxyCommand=id"],
    ["php", "php;id"],
  ])("a server's %s of %j", async (key, value) => {
    const said = await refused(["save", "@server_master", `--${key}=${value}`]);
    expect(said.exit, words(said)).toBe(64);
    expect(said.error?.message).toContain(key);
  });

  test("an unknown property names the one that was meant", async () => {
    const said = await refused("save @site.localhost --profle=minimal");
    expect([said.exit, words(said)]).toEqual([64, expect.stringContaining("profile")]);
  });

  test("a new context without a type is asked for one", async () => {
    const said = await refused("save @new.test --uri=new.test");
    expect([said.exit, words(said)]).toEqual([64, expect.stringContaining("context_type")]);
  });

  test("a site without a platform is told what is missing", async () => {
    const said = await refused("save @new.test --context_type=site --uri=new.test");
    expect([said.exit, words(said)]).toEqual([64, expect.stringContaining("platform")]);
  });

  test.each([
    ["verfy @site.localhost", "provision verify"],
    ["isntall @site.localhost", "provision install"],
    ["provision-verfy @site.localhost", "provision-verify"],
    ["list --jsn", "--json"],
    ["list sits", "provision list sites"],
    ["operations shw", "operations list|show|log"],
  ])("%s: did you mean %s?", async (line, meant) => {
    const { code, stderr, stdout } = await hub.provision(line);
    expect([code, stdout]).toEqual([64, ""]);
    expect(stderr).toContain(meant);
  });

  test("too many words are refused", async () => {
    expect((await hub.provision("show @site.localhost @platform_p")).code).toBe(64);
    expect((await hub.provision("list sites platforms")).code).toBe(64);
  });
});

const SITE = "context_type: site\nuri: x.test\nplatform: '@platform_p'\n";

describe("alias files written by hand: exit 65 with file, line and column", () => {
  test.each(HOSTILE.filter(([what]) => what !== "nothing"))("a uri with %s", async (_what, uri) => {
    await withAliasFile("x.test", `context_type: site\nuri: ${JSON.stringify(uri)}\nplatform: '@platform_p'\n`, async (path) => {
      const said = await refused("verify @x.test");
      expect(said.exit, words(said)).toBe(65);
      expect(words(said)).toContain(`${path}:2:`);
      expect(words(said), "an example of right").toMatch(/for example|example\.com/);
    });
  });

  test.each([
    ["an unknown key", `${SITE}profle: minimal\n`, /x\.test\.yml:4:1.*profle[\s\S]*profile/],
    ["a number where a name belongs", "context_type: site\nuri: 12\nplatform: '@platform_p'\n", /x\.test\.yml:2:6/],
    ["a list where a name belongs", `${SITE}profile: [minimal]\n`, /x\.test\.yml:4:10/],
    ["a name where a list belongs", `${SITE}aliases: {a: b}\n`, /x\.test\.yml:4:/],
    ["a key written twice", `${SITE}uri: y.test\n`, /x\.test\.yml:4:1.*uri/],
    ["broken YAML", `${SITE}aliases: [a.test\n`, /x\.test\.yml:\d+:\d+/],
    ["a tab for indentation", "context_type: site\naliases:\n\t- a.test\n", /x\.test\.yml:3:/],
    ["no type", "uri: x.test\n", /x\.test\.yml.*context_type/],
    ["a type that is none", "context_type: sight\nuri: x.test\n", /x\.test\.yml:1:15[\s\S]*site/],
    ["no uri", "context_type: site\nplatform: '@platform_p'\n", /x\.test\.yml.*uri/],
    ["a list for a document", "- a\n- b\n", /x\.test\.yml:1:1/],
    ["an empty file", "", /x\.test\.yml/],
    ["two documents", `${SITE}---\n${SITE}`, /x\.test\.yml:\d+/],
    [
      "an alias of YAML that explodes",
      "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b]\n",
      /x\.test\.yml:1:7/,
    ],
    ["a tag that makes an object", `${SITE}site_name: !!js/function 'x'\n`, /x\.test\.yml:4:/],
    ["a secret in it", `${SITE}hash_salt: abc\n`, /x\.test\.yml:4:1/],
    [
      "a reference that is not a context name",
      "context_type: site\nuri: x.test\nplatform: platform_p\n",
      /x\.test\.yml:3:11[\s\S]*@platform_d7/,
    ],
    [
      "a reference to what is not there",
      "context_type: site\nuri: x.test\nplatform: '@platform_q'\n",
      /x\.test\.yml:3:11.*@platform_q[\s\S]*@platform_p/,
    ],
    ["a reference of the wrong type", "context_type: site\nuri: x.test\nplatform: '@server_master'\n", /x\.test\.yml:3:11.*server/],
    ["a client that is not there", `${SITE}client_name: nobody\n`, /x\.test\.yml:4:14.*@client_nobody/],
    ["another site's uri", "context_type: site\nuri: site.localhost\nplatform: '@platform_p'\n", /x\.test\.yml:2:6.*@site\.localhost/],
    ["another site's uri as alias", `${SITE}aliases: [site.localhost]\n`, /x\.test\.yml:4:11.*@site\.localhost/],
  ])("%s", async (_what, text, message) => {
    await withAliasFile("x.test", text, async () => {
      const said = await refused("install @x.test");
      expect(said.exit, words(said)).toBe(65);
      expect(words(said)).toMatch(message);
    });
  });

  test("bytes that are no text", async () => {
    await withAliasFile("x.test", Buffer.from([0xff, 0xfe, 0x00, 0x41]), async () => {
      expect((await refused("install @x.test")).exit).toBe(65);
    });
  });

  test("a broken file of one context does not stop the others, and status names it", async () => {
    await withAliasFile("x.test", `${SITE}profle: 1\n`, async (path) => {
      await hub.ok("verify @site.localhost");
      const { stdout } = await hub.provision("status");
      expect(stdout).toContain(`${path}:4:1`);
    });
  });

  test("an unknown key in provision.yml", async () => {
    const path = hub.path("provision.yml");
    const before = readFileSync(path);
    try {
      writeFileSync(path, "client: admin\nmirors: {}\n");
      const said = await refused("list");
      expect(said.exit).toBe(65);
      expect(words(said)).toMatch(/provision\.yml:2:1.*mirors[\s\S]*mirrors/);
    } finally {
      writeFileSync(path, before);
    }
  });
});

describe("what is destroyed is asked for", () => {
  test.each([
    ["delete @site.localhost", "--yes"],
    ["delete @site.localhost --no-backup", "--yes"],
    ["delete @platform_p", "--yes"],
  ])("%s off a terminal is refused and names %s", async (line, flag) => {
    const said = await refused(line);
    expect(said).toMatchObject({ exit: 64, error: { code: "CONFIRMATION_NEEDED" } });
    expect(said.error?.next.join("\n")).toContain(flag);
    expect((await hub.provision("status @site.localhost")).stdout).toContain("status 200");
  });

  test.each([
    ["delete @platform_p --yes", "@site.localhost"],
    ["delete @server_master --yes", "@platform_p"],
    ["delete @client_admin --yes", "@site.localhost"],
    ["save @platform_p --delete", "@site.localhost"],
    ["save @site.localhost --delete", "provision delete @site.localhost"],
  ])("%s: in use by %s", async (line, user) => {
    const said = await refused(line);
    expect(said).toMatchObject({ exit: 1, error: { code: "IN_USE", state: "nothing was changed" } });
    expect(words(said)).toContain(user);
  });

  test("what an installed site stands on is not changed by save", async () => {
    for (const change of ["uri=other.localhost", "profile=standard"])
      expect((await refused(`save @site.localhost --${change}`)).exit).toBe(1);
  });
});

describe("a world that is not ready", () => {
  test("installing what is installed: refused, and the site serves", async () => {
    const said = await refused("install @site.localhost");
    expect(said).toMatchObject({ exit: 1, error: { code: "ALREADY_INSTALLED", state: expect.stringContaining("GET / 200") } });
  });

  test.each(["verify", "login", "cron", "enable", "disable"])(
    "%s of a site that is not installed says how to install it",
    async (command) => {
      await withAliasFile("x.test", SITE, async () => {
        const said = await refused(`${command} @x.test`);
        expect(said).toMatchObject({ exit: 1, error: { code: "NOT_INSTALLED", next: ["provision install @x.test"] } });
      });
    },
  );

  test.each([
    ["verify @client_admin", "verify"],
    ["install @platform_p", "install"],
    ["login @server_master", "login"],
    ["lock @site.localhost", "lock"],
    ["serve @site.localhost", "serve"],
  ])("%s: the wrong type of context", async (line) => {
    const said = await refused(line);
    expect([64, 65], words(said)).toContain(said.exit);
    expect(words(said)).toMatch(/is a (client|platform|server|site)/);
  });

  test("a profile that the platform has not is refused, and those it has are named", async () => {
    await withAliasFile("x.test", `${SITE}profile: comerce\n`, async () => {
      const said = await refused("install @x.test");
      expect(said).toMatchObject({ exit: 1, error: { code: "REFUSED", why: [expect.stringContaining("minimal, standard")] } });
    });
  });

  test("php that is nowhere in PATH: the program and its package are named", async () => {
    const bin = join(hub.base, "bin-without-php");
    mkdirSync(bin, { recursive: true });
    for (const name of ["node", "flock", "getent", "setpriv", "df", "cp"]) {
      const path = ["/usr/bin", "/bin", "/usr/local/bin"].map((at) => join(at, name)).find((at) => existsSync(at));
      if (path && !existsSync(join(bin, name))) symlinkSync(path, join(bin, name));
    }
    const doctor = await hub.document("doctor", { env: { PATH: bin } });
    expect(doctor).toMatchObject({ exit: 6 });
    expect(words(doctor)).toMatch(/php[\s\S]*php-cli/);
    await withAliasFile("x.test", `${SITE}profile: minimal\n`, async () => {
      const said = await refused("install @x.test", { env: { PATH: bin } });
      expect([69, 78], words(said)).toContain(said.exit);
      expect(words(said)).toContain("php");
    });
  });

  test("php: /nonexistent is named, with the context that says it", async () => {
    await withAliasFile("x.test", `${SITE}profile: minimal\n`, () =>
      withAliasFile("platform_p", `${readFileSync(hub.path("aliases/platform_p.yml"), "utf8")}php: /nonexistent/php\n`, async () => {
        const said = await hub.document("install @x.test");
        expect([1, 4, 69, 78], words(said)).toContain(said.exit);
        expect(words(said)).toContain("/nonexistent/php");
        expect(existsSync(join(hub.docroot, "sites/x.test"))).toBe(false);
        expect(existsSync(hub.path("sites/x.test"))).toBe(false);
        expect(existsSync(hub.path("secrets/x.test.yml"))).toBe(false);
      }),
    );
  });

  test("a platform's root without a core is not taken for a platform", async () => {
    mkdirSync(hub.path("platforms/half/sites/all"), { recursive: true });
    try {
      await withAliasFile("platform_half", "context_type: platform\nroot: platforms/half\nmakefile: makes/core.make.yml\n", async () => {
        const said = await refused("verify @platform_half");
        expect(said).toMatchObject({ exit: 1, error: { code: "NOT_A_PLATFORM" } });
        expect(words(said)).toContain("platforms/half");
      });
    } finally {
      rmSync(hub.path("platforms/half"), { recursive: true });
    }
  });

  test("a root that is not there and that nothing can build", async () => {
    await withAliasFile("platform_gone", "context_type: platform\nroot: platforms/gone\n", async () => {
      const said = await refused("verify @platform_gone");
      expect(said).toMatchObject({
        exit: 66,
        error: { code: "FILE_NOT_FOUND", next: [expect.stringContaining("--makefile"), expect.any(String)] },
      });
    });
  });

  test("a make file that is not there, or cannot be built, leaves nothing half done", async () => {
    await withAliasFile("platform_gone", "context_type: platform\nroot: platforms/gone\nmakefile: makes/gone.make\n", async () => {
      const said = await hub.document("verify @platform_gone");
      expect(said.ok).toBe(false);
      expect(words(said)).toContain("makes/gone.make");
      expect(existsSync(hub.path("platforms/gone"))).toBe(false);
    });
    writeFileSync(
      hub.path("makes/bad.make"),
      "core = 7.x\napi = 2\nprojects[drupal][type] = core\nprojects[drupal][download][type] = copy\nprojects[drupal][download][url] = /nonexistent/tree\n",
    );
    await withAliasFile("platform_gone", "context_type: platform\nroot: platforms/gone\nmakefile: makes/bad.make\n", async () => {
      const builds = hub.tree().filter((line) => line.startsWith("platforms/.builds/"));
      const said = await hub.document("verify @platform_gone");
      expect([1, 4], words(said)).toContain(said.exit);
      expect(words(said)).toContain("/nonexistent/tree");
      expect(existsSync(hub.path("platforms/gone"))).toBe(false);
      expect(hub.tree().filter((line) => line.startsWith("platforms/.builds/"))).toEqual(builds);
    });
  });

  test("an operator's own sites.php is never overwritten", async () => {
    const tree = join(hub.base, "own-platform");
    await makeFakeCore(tree);
    writeFileSync(join(tree, "sites/sites.php"), "<?php\n$sites['mine.test'] = 'default';\n");
    await withAliasFile("platform_own", `context_type: platform\nroot: ${tree}\n`, async () => {
      const said = await hub.document("verify @platform_own");
      expect(said.ok).toBe(false);
      expect(words(said)).toMatch(/sites\.php was not written by provision[\s\S]*rename the file/);
      expect(readFileSync(join(tree, "sites/sites.php"), "utf8")).toContain("mine.test");
    });
    rmSync(hub.path("state/platforms/platform_own.json"), { force: true });
  });

  test("a site's directory that is there already is left alone", async () => {
    mkdirSync(join(hub.docroot, "sites/x.test"));
    writeFileSync(join(hub.docroot, "sites/x.test/settings.php"), "<?php // somebody's\n");
    try {
      await withAliasFile("x.test", `${SITE}profile: minimal\n`, async () => {
        expect(await refused("install @x.test")).toMatchObject({ exit: 1, error: { code: "NAME_TAKEN" } });
      });
    } finally {
      rmSync(join(hub.docroot, "sites/x.test"), { recursive: true });
    }
  });

  test("files of a site that was lost sight of are kept beside those of a new one", async () => {
    const lost = hub.path("sites/x.test/20200101T000000-aaaa/files");
    mkdirSync(lost, { recursive: true });
    writeFileSync(join(lost, "photo.jpg"), "precious");
    await withAliasFile("x.test", `${SITE}profile: minimal\n`, async () => {
      const said = await hub.trapped(["error-in-install"], () => hub.document("install @x.test"));
      expect(said.exit, words(said)).toBe(4);
      expect(readFileSync(join(lost, "photo.jpg"), "utf8")).toBe("precious");
    });
    rmSync(hub.path("sites/x.test"), { recursive: true });
  });

  test("a port that is taken: serve names it, and --port", async () => {
    const other = createServer();
    const port = await new Promise<number>((resolve) =>
      other.listen(0, "127.0.0.1", () => resolve((other.address() as { port: number }).port)),
    );
    try {
      const said = await hub.document(`serve --port ${port}`);
      expect(said).toMatchObject({ exit: 69, error: { code: "PORT_TAKEN", message: expect.stringContaining(String(port)) } });
      expect(words(said)).toContain("--port");
    } finally {
      other.close();
    }
  });

  test("a hub that is not there names provision init", async () => {
    expect(words((await provision("list --json", { cwd: hub.base })).json)).toContain("provision init");
    expect(words((await provision(`list --json --hub ${hub.base}`)).json)).toContain(`provision init ${hub.base}`);
  });

  test("the database of an installed site that is gone is no reason to make an empty one", async () => {
    await hub.saveSite("lost.localhost");
    await hub.ok("install @lost.localhost");
    rmSync(hub.path("sites/lost.localhost"), { recursive: true });
    const said = await refused("verify @lost.localhost");
    expect(said).toMatchObject({
      exit: 1,
      error: { code: "NOT_INSTALLED", message: expect.stringContaining("database of @lost.localhost is gone") },
    });
    await hub.ok("delete @lost.localhost --no-backup --yes");
    expect(existsSync(hub.path("aliases/lost.localhost.yml"))).toBe(false);
    expect(existsSync(join(hub.docroot, "sites/lost.localhost"))).toBe(false);
  });
});

describe("two at once", () => {
  test("the second install of a site ends with 75 and names the first; with --lock-wait it waits", async () => {
    await hub.saveSite("race.localhost");
    await hub.trapped(["waiting-in-install"], async () => {
      const first = hub.start("install @race.localhost");
      try {
        const marker = join(hub.docroot, "traps/reached");
        for (let turn = 0; !existsSync(marker) && turn < 200; turn++) await sleep(50);
        const second = await hub.document("install @race.localhost");
        expect(second).toMatchObject({ exit: 75, error: { code: "LOCKED", why: [expect.stringContaining("install")] } });
        const waited = hub.start("install @race.localhost --lock-wait=60s --json");
        rmSync(join(hub.docroot, "traps/waiting-in-install"));
        expect((await first.ended).code).toBe(0);
        expect((await waited.said).json).toMatchObject({ exit: 1, error: { code: "ALREADY_INSTALLED" } });
      } finally {
        first.child.kill("SIGTERM");
        await first.ended;
      }
    });
    await hub.ok("delete @race.localhost --no-backup --yes");
  });
});

describe.skipIf(process.getuid?.() !== 0)("without the rights", () => {
  const NOBODY = 65534;
  const asNobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];

  test("a hub that cannot be written: exit 77, the path, and no stack", async () => {
    const { run } = await import("../support/processes.js");
    const other = await TestHub.empty();
    try {
      await other.ok("save @server_master --script_user=nobody");
      const open = (path: string, mode: number) => {
        chmodSync(path, mode);
        chownSync(path, NOBODY, NOBODY);
      };
      open(other.base, 0o755);
      chmodSync(other.path("aliases"), 0o555);
      const { code, stdout, stderr } = await run(
        "setpriv",
        [...asNobody, process.execPath, join(PROJECT, "bin/provision.js"), "save", "@client_x", "--context_type=client", "--json"],
        { cwd: other.root, env: { HOME: other.base } },
      );
      // The repository itself may be out of reach of that account: nothing can be said then.
      if (stderr.includes("Cannot find module") || stderr.includes("EACCES: permission denied, open")) return;
      expect([code, stdout], stderr).toEqual([77, expect.stringContaining("PERMISSION_DENIED")]);
      expect(JSON.parse(stdout).error.message).toContain(other.root);
    } finally {
      other.remove();
    }
  });

  test("another account than script_user is refused with the sudo line", async () => {
    const other = await TestHub.empty();
    try {
      await other.ok("save @server_master --script_user=aegir");
      const said = await other.document("verify @server_master");
      expect(said).toMatchObject({ exit: 77, error: { code: "PERMISSION_DENIED" } });
      expect(words(said)).toContain("sudo -u aegir provision");
    } finally {
      other.remove();
    }
  });
});
