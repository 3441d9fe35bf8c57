import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeAegirHub, writeAlias } from "../support/aegir-hub.js";
import { type DatabaseServer, missingServer, startServer } from "../support/database-servers.js";
import { TestHub, treeOf } from "../support/hub.js";
import { EXHAUSTIVE } from "../support/kill-walk.js";
import { missingSshd, type Sshd, startSshd } from "../support/sshd.js";
import { tablesOf } from "../support/table-sums.js";

/** A way to sshd that breaks once so many bytes came back, until it is mended. */
async function breakingLink(to: number, after: number) {
  let left = after;
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(to, "127.0.0.1");
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one);
      one.on("error", () => undefined);
      one.on("close", () => other.destroy());
    }
    near.pipe(far);
    far.on("data", (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) near.destroy();
      else near.write(chunk);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    mend: () => {
      left = Number.POSITIVE_INFINITY;
    },
    end: () => {
      for (const socket of open) socket.destroy();
      server.close();
    },
  };
}

const absent = missingSshd() ?? missingServer("mysql");

interface Listed {
  readonly kind: string;
  readonly sites: readonly {
    readonly name: string;
    readonly problem: string | null;
    readonly bytes: { database: number; files: number } | null;
  }[];
}

describe.skipIf(absent !== undefined)(`import from another hub over SSH${absent === undefined ? "" : ` (${absent})`}`, () => {
  let server: DatabaseServer;
  let sshd: Sshd;
  /** The hub that is only read: @s.test in SQLite, @m.test in MariaDB. */
  let source: TestHub;
  let hub: TestHub;
  let aegir: string;
  let from: readonly string[];

  const importing = (...more: readonly string[]) => ["import", ...from, ...more];
  const ours = (...more: readonly string[]) => importing("--hub-path", source.root, ...more);
  const theirs = (...more: readonly string[]) => importing("--hub-path", aegir, ...more);
  /** Everything that the machine has that is read: to the nanosecond, and every row. */
  const there = () => [
    ...treeOf(source.root),
    ...treeOf(aegir),
    ...treeOf(join(sshd.base, "home")),
    ...databases().flatMap((name) => sums(name)),
  ];
  const databases = () =>
    server
      .sql("SELECT DISTINCT TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_SCHEMA LIKE 'm\\_test%'")
      .map(([name = ""]) => name);
  const sums = (database: string) =>
    server
      .sql(
        `SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = '${database}' AND TABLE_NAME NOT LIKE 'cache%' ORDER BY 1`,
      )
      .map(([table = ""]) =>
        server
          .sql(`CHECKSUM TABLE \`${database}\`.\`${table}\``)
          .flat()
          .join(" ")
          .slice(database.length + 1),
      );
  const accounts = () =>
    server
      .sql("SELECT CONCAT(User, '@', Host) FROM mysql.user UNION SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY 1")
      .flat();
  const saidOf = (site: string, key: string) =>
    new RegExp(`^${key}: "?([^"\n]*)"?$`, "m").exec(readFileSync(hub.path(`aliases/${site}.yml`), "utf8"))?.[1];
  const contextOf = (site: string) => readFileSync(hub.path(`aliases/${site}.yml`), "utf8").replace(/\[ (.*) \]/g, "[$1]");
  const filesOf = (site: string) => realpathSync(join(hub.docroot, `sites/${site}/files`));
  /** What stands here, but for times and for the number of what PHP's server was told last. */
  const standing = () => hub.tree({ times: false }).filter((line) => !line.startsWith("config/server_master/php/generation "));
  const gone = async (site: string) => hub.ok(`delete @${site} --no-backup --yes`);

  beforeAll(async () => {
    [server, sshd, source, hub] = await Promise.all([startServer("mysql"), startSshd(), TestHub.withPlatform(), TestHub.withPlatform()]);
    aegir = realpathSync(mkdtempSync(join(tmpdir(), "provision-aegir-")));
    writeFileSync(hub.path("known_hosts"), readFileSync(sshd.knownHosts));
    from = ["--from", `127.0.0.1:${sshd.port}`, "--ssh-identity", sshd.identity];
    for (const each of [source, hub])
      await each.ok([
        "save",
        "@server_db",
        "--context_type=server",
        "--http_service_type=none",
        "--db_service_type=mysql",
        `--master_db=${server.url}`,
      ]);
    await source.ok("save @client_acme --context_type=client");
    await hub.ok("save @client_acme --context_type=client");
    await source.saveSite(
      "s.test",
      "--aliases=www.s.test",
      "--client_name=acme",
      "--site_mail=people@s.test",
      "--nginx_snippet=location / { root /; }",
    );
    await source.saveSite("m.test", "--db_server=@server_db");
    await source.saveSite("new.test");
    await source.ok("install @s.test");
    await source.ok("install @m.test");
    for (const name of ["s.test", "m.test"]) {
      const files = realpathSync(join(source.docroot, `sites/${name}/files`));
      writeFileSync(join(files, "kept é.txt"), `of ${name}\n`);
      symlinkSync("kept é.txt", join(files, "link.txt"));
      mkdirSync(join(source.docroot, `sites/${name}/modules/own`), { recursive: true });
      writeFileSync(join(source.docroot, `sites/${name}/modules/own/own.info`), "name = Own\ncore = 7.x\n");
      writeFileSync(join(source.docroot, `sites/${name}/modules/own/own.module`), "<?php\n");
    }
    makeAegirHub(aegir, source, "m.test", server.port, {
      ...{ aliases: ["www.a.test", "Not A Name"], redirection: "www.a.test", client_name: "acme", site_enabled: false, ssl_enabled: 2 },
      ...{ http_basic_auth_username: "preview", http_basic_auth_password: "it's \\ secret", cdn: "on" },
    });
  }, 180_000);
  afterAll(async () => {
    await server?.remove();
    await sshd?.remove();
    source?.remove();
    hub?.remove();
    if (aegir !== undefined) rmSync(aegir, { recursive: true, force: true });
  });

  test("lists what is there, and what stands against it; nothing is changed on either side", async () => {
    const before = [there(), hub.everything()];
    const { exit, data } = await hub.document(ours());
    expect(exit).toBe(0);
    const { kind, sites } = data as unknown as Listed;
    expect(kind).toBe("provision");
    expect(sites).toMatchObject([
      {
        name: "@m.test",
        engine: "drupal7",
        core: "7.0-fixture",
        platform: "@platform_p",
        database: "mysql",
        state: "enabled",
        problem: null,
      },
      { name: "@new.test", state: "not installed", problem: "it is not installed", bytes: null },
      { name: "@s.test", database: "sqlite", state: "enabled", problem: null },
    ]);
    for (const { name, bytes } of sites.filter((site) => site.problem === null)) {
      expect(bytes?.database, name).toBeGreaterThan(20_000);
      expect(bytes?.files, name).toBeGreaterThan(10);
    }
    const lines = (await hub.ok(theirs("--list", "@a.test"))).stdout;
    expect(lines).toMatch(/^@a\.test +drupal7 7\.0-fixture +@platform_d7 +mysql +\d+\.\d MiB +disabled\n$/);
    expect([there(), hub.everything()]).toEqual(before);
  });

  test("a site in SQLite: on the platform that fits, with its names and its client; the second time it is known", async () => {
    const before = there();
    const rehearsed = await hub.document(ours("@s.test", "--dry-run"));
    expect([rehearsed.outcome, rehearsed.error]).toEqual(["would_change", undefined]);
    const { outcome, error, data } = await hub.document(ours("@s.test"));
    expect([outcome, error]).toEqual(["changed", undefined]);
    const left = [
      "nginx_snippet: lines for the web server are not taken over unread; provision save --nginx_snippet=… once you have read them",
    ];
    expect(data).toMatchObject({ known: false, platform: "@platform_p", left, from: `127.0.0.1:${sshd.port}:${source.root}/@s.test` });
    expect(readFileSync(join(filesOf("s.test"), "link.txt"), "utf8")).toBe("of s.test\n");
    expect(existsSync(join(hub.docroot, "sites/s.test/modules/own/own.info"))).toBe(true);
    const context = contextOf("s.test");
    for (const part of ["aliases: [www.s.test]", "client_name: acme", "site_mail: people@s.test", "imported_from: 127.0.0.1:"])
      expect(context).toContain(part);
    expect((await hub.document("verify @s.test")).counts.changed).toBe(0);
    expect(existsSync(hub.path("state/imports"))).toBe(true);
    expect(readdirSync(hub.path("state/imports"))).toEqual([]);
    const stands = hub.tree();
    const again = await hub.document(ours("@s.test"));
    expect([again.outcome, again.counts.changed, again.data?.["known"]]).toEqual(["ok", 0, true]);
    expect(hub.tree()).toEqual(stands);
    expect(there()).toEqual(before);
    // This looks into the databases themselves.
    const users = (of: TestHub) =>
      tablesOf(of.path("sites/s.test"))
        .filter((line) => / (users|role|node) /.test(line))
        .map((line) => line.replace(/^table \S+ /, ""));
    expect(users(hub)).toEqual(users(source));
  });

  test("a site in MariaDB: to the server that has such databases, with an account of its own", async () => {
    const before = there();
    const { outcome, error } = await hub.document(ours("@m.test", "--platform", "p"));
    expect([outcome, error]).toEqual(["changed", undefined]);
    const [theirDatabase = "", ourDatabase = ""] = [
      databases().find((name) => name !== saidOf("m.test", "db_name")),
      saidOf("m.test", "db_name"),
    ];
    expect(saidOf("m.test", "db_server")).toBe("@server_db");
    const steady = (of: string) => sums(of).filter((line) => /^(users|role|node|url_alias) /.test(line));
    expect(steady(ourDatabase).length).toBeGreaterThan(0);
    expect(steady(ourDatabase)).toEqual(steady(theirDatabase));
    expect(readFileSync(join(filesOf("m.test"), "kept é.txt"), "utf8")).toBe("of m.test\n");
    expect((await hub.document("verify @m.test")).counts.changed).toBe(0);
    await gone("m.test");
    expect(there()).toEqual(before);
  });

  test.skipIf(missingServer("pgsql") !== undefined)(
    "sites in PostgreSQL, of a hub of ours and of Aegir: dumped there by their own account, whose password nothing tells",
    async () => {
      const postgres = await startServer("pgsql");
      try {
        for (const each of [source, hub])
          await each.ok([
            ...["save", "@server_pg", "--context_type=server", "--http_service_type=none", "--db_service_type=pgsql"],
            `--master_db=${postgres.url}`,
          ]);
        await source.saveSite("p.test", "--db_server=@server_pg");
        await source.ok("install @p.test");
        const said = (key: string) =>
          new RegExp(`^${key}: (\\S+)$`, "m").exec(readFileSync(source.path("aliases/p.test.yml"), "utf8"))?.[1] ?? "";
        const password = /^db_password_\w+: "(.*)"$/m.exec(readFileSync(source.path("secrets/p.test.yml"), "utf8"))?.[1] ?? "";
        postgres.sql(
          `CREATE TABLE cache_kept (cid TEXT); INSERT INTO cache_kept VALUES ('only there'); ALTER TABLE cache_kept OWNER TO ${said("db_name")};
          CREATE TABLE kept (word TEXT); INSERT INTO kept VALUES (E'it''s \\\\ all'); ALTER TABLE kept OWNER TO ${said("db_name")};`,
          said("db_name"),
        );
        const drushrc = join(aegir, "platforms/d7/sites/a.test/drushrc.php");
        const asMysql = readFileSync(drushrc, "utf8");
        const values = {
          db_type: "pgsql",
          db_port: String(postgres.port),
          db_passwd: password,
          db_name: said("db_name"),
          db_user: said("db_user"),
        };
        const asPgsql = Object.entries(values).reduce(
          (text, [key, value]) => text.replace(new RegExp(`(options\\['${key}'\\] = ').*(';)`), `$1${value}$2`),
          asMysql,
        );
        rmSync(drushrc);
        writeFileSync(drushrc, asPgsql, { mode: 0o440 });
        const before = there();
        for (const [words, site] of [
          [ours("@p.test", "--platform", "p"), "p.test"],
          [theirs("@a.test", "--platform", "p"), "a.test"],
        ] as const) {
          const { stdout, stderr, json } = await hub.provision([...words, "--json", "-vv"]);
          expect([json.outcome, json.error], site).toEqual(["changed", undefined]);
          expect(stdout + stderr).not.toContain(password);
          const ourDatabase = saidOf(site, "db_name") ?? "";
          expect(saidOf(site, "db_server")).toBe("@server_pg");
          expect(postgres.sql("SELECT word FROM kept", ourDatabase)).toEqual([["it's \\ all"]]);
          expect(postgres.sql("SELECT cid FROM cache_kept", ourDatabase)).toEqual([]);
          expect(postgres.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'", ourDatabase)).toEqual([
            [ourDatabase],
          ]);
          if (site === "p.test") expect((await hub.document("verify @p.test")).counts.changed).toBe(0);
          await gone(site);
        }
        expect(there()).toEqual(before);
        rmSync(drushrc);
        writeFileSync(drushrc, asPgsql.replace(password, "another"), { mode: 0o440 });
        const denied = await hub.document(theirs("@a.test", "--platform", "p"));
        expect(denied.error).toMatchObject({ code: "DATABASE_LOGIN_REFUSED", state: "nothing was changed" });
        rmSync(drushrc);
        writeFileSync(drushrc, asMysql, { mode: 0o440 });
        await source.ok("delete @p.test --no-backup --yes");
        for (const each of [source, hub]) await each.ok("save @server_pg --delete");
      } finally {
        await postgres.remove();
      }
    },
    120_000,
  );

  test("a site of Aegir 3, whose account stands in drushrc.php: what it was there it is here, and what it cannot be is told", async () => {
    const before = there();
    const refused = await hub.document(ours("--aegir", "@a.test"));
    expect([refused.exit, refused.error?.code]).toEqual([78, "HUB_NOT_FOUND"]);
    const { outcome, error, data } = await hub.document(theirs("@a.test"));
    expect([outcome, error]).toEqual(["changed", undefined]);
    expect(data?.["left"]).toEqual([
      "ssl_enabled: provision save --ssl=required once its name leads here",
      'cdn: "on" is not taken over',
      'aliases: "Not A Name" is nothing that it can be here',
    ]);
    const context = contextOf("a.test");
    for (const part of [
      "aliases: [www.a.test]",
      "redirection: www.a.test",
      "client_name: acme",
      "site_enabled: false",
      "http_basic_auth_username: preview",
    ])
      expect(context).toContain(part);
    expect(readFileSync(hub.path("secrets/a.test.yml"), "utf8")).toContain("it's \\\\ secret");
    const files = filesOf("a.test");
    expect(readdirSync(files).filter((name) => !name.startsWith("."))).toEqual(
      expect.arrayContaining(["kept é.txt", "link.txt", "picture.txt"]),
    );
    expect(existsSync(join(files, "css/made.css"))).toBe(false);
    expect(readFileSync(join(files, "../private/secret.txt"), "utf8")).toBe("private\n");
    expect(existsSync(join(hub.docroot, "sites/a.test/modules/own/own.info"))).toBe(true);
    expect(readFileSync(join(hub.docroot, "sites/a.test/settings.php"), "utf8")).not.toContain("$_SERVER['db_name']");
    await hub.ok("enable @a.test");
    expect((await hub.document("verify @a.test")).counts.changed).toBe(0);
    expect((await hub.document(theirs("@a.test"))).outcome).toBe("ok");
    await gone("a.test");
    expect(there()).toEqual(before);
  });

  test("what stands in the way is said with what to do, and nothing is changed", async () => {
    const before = [there(), hub.tree(), accounts()];
    const cases: readonly (readonly [words: readonly string[], exit: number, code: string, said: string])[] = [
      [ours("@none.test"), 66, "CONTEXT_NOT_FOUND", "there is: @m.test, @new.test, @s.test"],
      [ours("@new.test"), 1, "NOT_INSTALLED", "it is not installed"],
      [importing("--hub-path", source.base), 78, "HUB_NOT_FOUND", "--hub-path DIRECTORY"],
      [ours("@m.test", "--platform", "@platform_none"), 66, "CONTEXT_NOT_FOUND", "provision list"],
      [ours("@m.test", "--platform", "p", "--db-server", "server_master"), 1, "REFUSED", "@server_master has sqlite"],
      [ours("--all", "@m.test"), 64, "USAGE", "--all"],
      [["import", "@m.test", "--list"], 64, "USAGE", "--list goes with --from"],
      [["import", "--from", "-oProxyCommand=x"], 64, "USAGE", "is not a machine"],
    ];
    for (const [words, exit, code, said] of cases) {
      const result = await hub.document(words);
      expect([result.exit, result.error?.code], words.join(" ")).toEqual([exit, code]);
      expect(JSON.stringify(result.error), words.join(" ")).toContain(said);
    }
    expect([there(), hub.tree(), accounts()]).toEqual(before);
  });

  test("an account that may not read what it has to is told so", async (context) => {
    if (process.getuid?.() === 0) context.skip("root reads everything");
    chmodSync(source.path("secrets/m.test.yml"), 0);
    const { exit, error } = await hub.document(ours("@m.test", "--platform", "p"));
    chmodSync(source.path("secrets/m.test.yml"), 0o600);
    expect([exit, error?.code]).toEqual([77, "PERMISSION_DENIED"]);
  });

  test("a name that is taken here, and a platform that lacks what the site's has", async () => {
    await hub.saveSite("m.test", "--db_server=@server_db");
    await hub.ok("install @m.test");
    const taken = await hub.document(ours("@m.test"));
    expect([taken.exit, taken.error?.code, taken.error?.why]).toEqual([1, "NAME_TAKEN", ["it was not imported"]]);
    await gone("m.test");
    await hub.ok("save @m.test --delete").catch(() => undefined);
    const module = join(source.docroot, "sites/all/modules/more");
    mkdirSync(module, { recursive: true });
    writeFileSync(join(module, "more.info"), "name = More\ncore = 7.x\nversion = 7.x-1.2\n");
    writeFileSync(join(module, "more.module"), "<?php\n");
    await source.ok("verify @platform_p");
    const { exit, error } = await hub.document(ours("@m.test"));
    expect([exit, error?.code]).toEqual([66, "CONTEXT_NOT_FOUND"]);
    expect(error?.why.join()).toContain("@platform_p lacks module more 7.x-1.2");
    expect(error?.next.join()).toContain(`provision import --from 127.0.0.1:${sshd.port} --hub-path ${source.root} @m.test --platform`);
  });

  test("a hub that wishes us ill: names that lead elsewhere are only told, links out of the site are refused and all is taken back", async () => {
    const site = join(aegir, "platforms/d7/sites/a.test");
    const place = { context_type: "site", platform: "@platform_d7", root: join(aegir, "platforms/d7"), profile: "minimal" };
    writeAlias(aegir, "evil", { ...place, uri: "../../etc\nserver_name x;" });
    writeAlias(aegir, "root.test", { ...place, uri: "root.test", root: "/tmp/$(id)'" });
    const { sites } = (await hub.document(theirs())).data as unknown as Listed;
    expect(sites.map(({ name, problem }) => [name, problem])).toEqual([
      ["@a.test", null],
      ["@evil", expect.stringContaining("its uri")],
      ["@root.test", expect.stringContaining("its root")],
    ]);
    for (const name of ["evil", "root.test"]) rmSync(join(aegir, `.drush/${name}.alias.drushrc.php`));
    const before = [hub.tree({ times: false }), accounts()];
    symlinkSync("/etc/passwd", join(site, "files/passwd"));
    const { exit, error } = await hub.document(theirs("@a.test", "--platform", "p"));
    rmSync(join(site, "files/passwd"));
    expect([exit, error?.code]).toEqual([4, "REFUSED"]);
    expect(error?.message).toContain("points to the absolute path /etc/passwd");
    expect([hub.tree({ times: false }), accounts()]).toEqual(before);
  });

  test("killed at any point: abort takes all back, resume ends it; on the other side nothing was done", async () => {
    const before = [standing(), accounts(), there()];
    const words = theirs("@a.test", "--platform", "p");
    const counting = join(hub.base, "count");
    await hub.ok(words, { env: { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: counting } });
    const complete = standing().length;
    const { points } = JSON.parse(readFileSync(counting, "utf8")) as { points: number };
    await gone("a.test");
    const rest = before[0] as readonly string[];
    const walks = [
      [0.3, "resume"],
      [0.7, "abort"],
      [0.1, "abort"],
      [0.5, "resume"],
      [0.9, "resume"],
    ] as const;
    for (const [share, verb] of EXHAUSTIVE ? walks : walks.slice(0, 2)) {
      const { signal, stdout, stderr } = await hub.provision(words, {
        env: { PROVISION_TEST_KILL_AT: String(Math.floor(points * share)) },
      });
      expect(signal, `${share}: ${stdout}${stderr}`).toBe("SIGKILL");
      const [open] = readdirSync(hub.path("state/open"));
      if (open === undefined) continue;
      const ended = await hub.document(`${verb} ${open}`);
      expect(ended.error, `${verb} at ${share}`).toBeUndefined();
      expect(readdirSync(hub.path("state/open"))).toEqual([]);
      if (existsSync(hub.path("state/imports"))) expect(readdirSync(hub.path("state/imports"))).toEqual([]);
      if (existsSync(hub.path("aliases/a.test.yml"))) {
        expect(standing().length).toBe(complete);
        expect((await hub.document("verify @a.test")).counts.changed).toBe(0);
        await gone("a.test");
      } else expect(verb).toBe("abort");
      expect(standing().filter((line) => !rest.includes(line))).toEqual([]);
      expect(accounts()).toEqual(before[1]);
    }
    expect(there()).toEqual(before[2]);
  });

  test("a link that is lost in the middle of a tree: nothing of it is undone, and resume ends it when the link is back", async () => {
    writeFileSync(join(aegir, "platforms/d7/sites/a.test/files/large.bin"), randomBytes(3_000_000));
    const before = [accounts(), there()];
    const link = await breakingLink(sshd.port, 2_000_000);
    const lost = await hub.document([
      ...["import", "--from", `127.0.0.1:${link.port}`, "--ssh-identity", sshd.identity, "--ssh-host-key", sshd.hostKey],
      ...["--hub-path", aegir, "@a.test", "--platform", "p"],
    ]);
    expect([lost.exit, lost.error?.code]).toEqual([69, "HOST_UNAVAILABLE"]);
    const [open = ""] = readdirSync(hub.path("state/open"));
    link.mend();
    const ended = await hub.document(`resume ${open}`);
    link.end();
    expect(ended.error).toBeUndefined();
    for (const place of ["state/open", "state/imports"]) expect(readdirSync(hub.path(place))).toEqual([]);
    expect(statSync(join(filesOf("a.test"), "large.bin")).size).toBe(3_000_000);
    await gone("a.test");
    expect([accounts(), there()]).toEqual(before);
  }, 120_000);

  test("an unknown key is refused with its fingerprint and how it is accepted; a machine that is not reached is said", async () => {
    const known = readFileSync(hub.path("known_hosts"));
    rmSync(hub.path("known_hosts"));
    const { exit, error } = await hub.document(ours());
    expect([exit, error?.code]).toEqual([78, "HOST_KEY_UNKNOWN"]);
    expect(error?.next.join("\n")).toContain(`provision import --from 127.0.0.1:${sshd.port} --ssh-host-key=${sshd.hostKey}`);
    expect((await hub.document(ours("--ssh-host-key", sshd.hostKey))).exit).toBe(0);
    writeFileSync(hub.path("known_hosts"), known);
    await sshd.stop();
    const lost = await hub.document(ours());
    expect([lost.exit, lost.error?.code]).toEqual([69, "HOST_UNAVAILABLE"]);
  });
});
