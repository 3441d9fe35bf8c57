import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type DatabaseServer, missingServer, startServer } from "../support/database-servers.js";
import { type Serving, TestHub, treeOf } from "../support/hub.js";
import { makeByHand, saltOf, settingsByHand } from "../support/made-by-hand.js";

let hub: TestHub;
let serving: Serving;

const A = "a.localhost";
const context = (name: string) => parse(readFileSync(hub.path(`aliases/${name}.yml`), "utf8")) as Record<string, unknown>;
const generationOf = (name: string) => hub.path(`sites/${String(context(name)["uri"])}/${String(context(name)["generation"])}`);
const place = (name: string) => join(hub.docroot, "sites", name);
const get = async (host: string, path: string) => (await serving.get(host, path)).status;

beforeAll(async () => {
  hub = await TestHub.withSite(A);
  const [generation = ""] = readdirSync(hub.path(`sites/${A}`));
  writeFileSync(hub.path(`sites/${A}/${generation}/files/picture.txt`), "of a cat");
  writeFileSync(hub.path(`sites/${A}/${generation}/private/letter.txt`), "to nobody");
  makeByHand(hub, A);
  serving = await hub.serve();
}, 120_000);
afterAll(async () => {
  await serving?.stop();
  hub?.remove();
});

describe("import of a site that was made by hand (SQLite, fake core)", () => {
  it("changes nothing on the platform, knows its salt, profile and files; a dry run changes nothing at all", async () => {
    // SQLite itself touches the directory of a database that is read.
    const still = () => [treeOf(hub.docroot, { times: false }), hub.tree({ times: false })];
    const [platform, all] = still();
    const dry = await hub.document(`import @${A} --dry-run`);
    expect(dry.error).toBeUndefined();
    expect([dry.exit, dry.outcome]).toEqual([0, "would_change"]);
    expect(still()[1]).toEqual(all);
    const salt = /hash_salt = '(.*)'/.exec(readFileSync(join(place(A), "settings.php"), "utf8"))?.[1];
    const done = await hub.document(`import @${A} @platform_p`);
    expect(done).toMatchObject({
      exit: 0,
      outcome: "changed",
      data: { known: false, directory: A, own_settings: ["$conf['theme_debug']"] },
    });
    expect(still()[0]).toEqual(platform);
    expect(context(A)).toMatchObject({ uri: A, platform: "@platform_p", profile: "minimal" });
    expect(saltOf(hub, A)).toBe(salt);
    expect(readlinkSync(join(generationOf(A), "files"))).toBe(join(place(A), "files"));
    expect(readlinkSync(join(generationOf(A), "private"))).toBe(join(place(A), "private"));
    expect(await hub.document(`import @${A}`)).toMatchObject({ exit: 0, outcome: "ok", data: { known: true } });
  });

  it("a backup is made of it before and after it was taken over", async () => {
    expect((await hub.document(`backup @${A}`)).error).toBeUndefined();
  });

  it("verify takes it over and keeps its settings.php; the second changes nothing, and its files and links go on", async () => {
    const before = readFileSync(join(place(A), "settings.php"), "utf8");
    expect((await hub.document(`verify @${A}`)).error).toBeUndefined();
    expect(readFileSync(join(generationOf(A), "settings.before.php"), "utf8")).toBe(before);
    expect(lstatSync(join(place(A), "files")).isDirectory()).toBe(true);
    const all = hub.everything();
    expect((await hub.document(`verify @${A}`)).counts).toMatchObject({ changed: 0 });
    expect(hub.everything()).toEqual(all);
    expect([await get(A, "/"), await get(A, `/sites/${A}/files/picture.txt`)]).toEqual([200, 200]);
    const link = new URL((await hub.ok(`login @${A}`)).stdout.trim());
    expect(await get(A, link.pathname + link.search)).toBe(302);
    await hub.ok(`backup @${A}`);
  });

  it("a copy of it has the files and not the database's file, and none of its own settings", async () => {
    await hub.ok(`clone @${A} @copy.localhost --sanitize`);
    const files = join(generationOf("copy.localhost"), "files");
    expect(readFileSync(join(files, "picture.txt"), "utf8")).toBe("of a cat");
    expect(readdirSync(files).filter((name) => name.includes("sqlite"))).toEqual([]);
    expect(existsSync(join(place("copy.localhost"), "private"))).toBe(false);
    expect((await hub.document("verify @copy.localhost")).counts).toMatchObject({ changed: 0 });
    await hub.ok("delete @copy.localhost --no-backup --yes");
  });

  it("a restore takes its data into the generation and rollback returns to it", async () => {
    const { data } = await hub.document(`backup @${A}`);
    const was = generationOf(A);
    writeFileSync(join(place(A), "files/later.txt"), "later");
    expect((await hub.document(`restore @${A} ${String(data?.["backup"])} --yes`)).error).toBeUndefined();
    expect([await get(A, "/"), await get(A, `/sites/${A}/files/picture.txt`), await get(A, `/sites/${A}/files/later.txt`)]).toEqual([
      200, 200, 404,
    ]);
    expect(lstatSync(join(was, "files")).isDirectory()).toBe(true);
    expect(lstatSync(join(was, "files/later.txt")).isFile()).toBe(true);
    await hub.ok(`rollback @${A} --yes`);
    expect([await get(A, "/"), await get(A, `/sites/${A}/files/later.txt`)]).toEqual([200, 200]);
    expect((await hub.document(`verify @${A}`)).counts).toMatchObject({ changed: 0 });
  });

  it("delete takes a backup and leaves nothing but that", async () => {
    await hub.ok(`delete @${A} --yes`);
    expect(existsSync(place(A))).toBe(false);
    expect(existsSync(hub.path(`sites/${A}`)) && readdirSync(hub.path(`sites/${A}`))).toBe(false);
    expect(existsSync(hub.path(`aliases/${A}.yml`))).toBe(false);
    expect(readdirSync(hub.path(`backups/${A}`)).length).toBeGreaterThan(2);
  });
});

describe("where it stands elsewhere", () => {
  it("a site in sites/default is asked for its name, and is itself under it until it is renamed", async () => {
    await hub.saveSite("shop.localhost");
    await hub.ok("install @shop.localhost");
    makeByHand(hub, "shop.localhost", { directory: "default" });
    const unnamed = await hub.document("import @default @platform_p");
    expect([unnamed.exit, unnamed.error?.code]).toEqual([64, "INVALID_VALUE"]);
    expect(unnamed.error?.next[0]).toContain("--directory=default");
    await hub.ok("import @shop.localhost @platform_p --directory=default");
    expect(context("shop.localhost")).toMatchObject({ directory: "default", uri: "shop.localhost" });
    await hub.ok("verify @shop.localhost");
    expect((await hub.document("verify @shop.localhost")).counts).toMatchObject({ changed: 0 });
    expect(await get("shop.localhost", "/")).toBe(200);
    expect((await hub.document("import @other.localhost @platform_p --directory=default")).error?.code).toBe("NAME_TAKEN");
    await hub.ok("migrate @shop.localhost @store.localhost");
    expect(context("store.localhost")["directory"]).toBeUndefined();
    expect([await get("store.localhost", "/"), await get("shop.localhost", "/")]).toEqual([200, 404]);
    expect((await hub.document("verify @store.localhost")).counts).toMatchObject({ changed: 0 });
    expect(lstatSync(join(place("store.localhost"), "files")).isSymbolicLink()).toBe(true);
    await hub.ok("delete @store.localhost --no-backup --yes");
  });

  it("all sites of a platform, each with a result; what is known is ok, and what cannot be taken over does not stop the others", async () => {
    for (const uri of ["one.localhost", "two.localhost"]) {
      await hub.saveSite(uri);
      await hub.ok(`install @${uri}`);
    }
    makeByHand(hub, "two.localhost");
    await hub.ok("verify @one.localhost");
    mkdirSync(place("three.localhost"));
    writeFileSync(join(place("three.localhost"), "settings.php"), "<?php\n$databases = array(;\n");
    const { results, exit } = (await hub.provision("import @platform_p --json")).all;
    expect(exit).toBe(3);
    expect(results.map(({ target, outcome, error }) => [target, outcome, error?.code])).toEqual([
      ["@one.localhost", "ok", undefined],
      ["@three.localhost", "failed", "INVALID_FILE"],
      ["@two.localhost", "changed", undefined],
    ]);
    rmSync(place("three.localhost"), { recursive: true });
    await hub.ok("verify @two.localhost");
    expect(await get("two.localhost", "/")).toBe(200);
  });
});

describe("what cannot be taken over is refused, and nothing is changed", () => {
  const sqlite = (more: string) => `array('driver' => 'sqlite', 'database' => 'sites/bad.localhost/files/.ht.sqlite'${more})`;
  const cases: readonly [what: string, settings: string | undefined, exit: number, code: string, why: RegExp][] = [
    ["no settings.php", undefined, 66, "FILE_NOT_FOUND", /there is no site in sites\/bad\.localhost/],
    ["a syntax error", "<?php\n$databases = [;\n", 65, "INVALID_FILE", /settings\.php:2/],
    ["settings that end PHP", "<?php\nexit(0);\n", 1, "ENGINE_FAILED", /ended PHP/],
    ["no database", "<?php\n$databases = array();\n", 1, "REFUSED", /names no database/],
    ["a file that is not there", settingsByHand(sqlite("")), 69, "SERVICE_UNAVAILABLE", /there is no file/],
    [
      "a database server that is down",
      settingsByHand(
        "array('driver' => 'mysql', 'host' => '127.0.0.1', 'port' => 1, 'database' => 'd', 'username' => 'u', 'password' => 'geheim')",
      ),
      69,
      "SERVICE_UNAVAILABLE",
      /cannot be reached/,
    ],
    [
      "a kind of database that nobody here has",
      settingsByHand("array('driver' => 'sqlsrv', 'database' => 'd', 'username' => 'u', 'password' => 'p')"),
      1,
      "REFUSED",
      /of a kind that provision does not have: "sqlsrv"/,
    ],
  ];
  it.each(cases)("%s", async (_what, settings, exit, code, why) => {
    mkdirSync(place("bad.localhost"), { recursive: true });
    if (settings !== undefined) writeFileSync(join(place("bad.localhost"), "settings.php"), settings);
    const all = hub.tree();
    const said = await hub.document("import @bad.localhost @platform_p");
    rmSync(place("bad.localhost"), { recursive: true });
    expect([said.exit, said.error?.code]).toEqual([exit, code]);
    expect([said.error?.message, ...(said.error?.why ?? [])].join("\n")).toMatch(why);
    expect(JSON.stringify(said)).not.toContain("geheim");
    mkdirSync(place("bad.localhost"));
    if (settings !== undefined) writeFileSync(join(place("bad.localhost"), "settings.php"), settings);
    const still = (lines: readonly string[]) =>
      lines.filter((line) => !/bad\.localhost|sites [0-9]+ /.test(line) && !/^platforms\/\.builds\/[^/]+\/sites /.test(line));
    expect(still(hub.tree())).toEqual(still(all));
    rmSync(place("bad.localhost"), { recursive: true });
  });

  it("an empty database, a link, a name that is taken, a platform that is not there", async () => {
    mkdirSync(join(place("bad.localhost"), "files"), { recursive: true });
    writeFileSync(join(place("bad.localhost"), "settings.php"), settingsByHand(sqlite("")));
    writeFileSync(join(place("bad.localhost"), "files/.ht.sqlite"), "");
    expect((await hub.document("import @bad.localhost @platform_p")).error?.code).toBe("NOT_INSTALLED");
    symlinkSync("bad.localhost", place("link.localhost"));
    expect((await hub.document("import @link.localhost @platform_p")).error?.message).toContain("is a link to bad.localhost");
    rmSync(place("link.localhost"));
    const taken = await hub.document("import @new.localhost @platform_p --directory=one.localhost");
    expect(taken.error).toMatchObject({ code: "NAME_TAKEN", message: expect.stringContaining("is @one.localhost already") });
    expect((await hub.document("import @bad.localhost @platform_q")).exit).toBe(66);
    expect((await hub.document("import @server_master")).error?.code).toBe("NAME_TAKEN");
    if (process.getuid?.() !== 0) {
      chmodSync(join(place("bad.localhost"), "settings.php"), 0o000);
      expect((await hub.document("import @bad.localhost @platform_p")).error?.code).toBe("ENGINE_FAILED");
    }
    rmSync(place("bad.localhost"), { recursive: true });
  });
});

const missing = missingServer("mysql");
describe.skipIf(missing !== undefined)(`on MariaDB${missing === undefined ? "" : ` (${missing})`}`, () => {
  let server: DatabaseServer;
  let database: string;
  beforeAll(async () => {
    server = await startServer("mysql");
    await hub.ok([
      "save",
      "@server_db",
      "--context_type=server",
      "--http_service_type=none",
      "--db_service_type=mysql",
      `--master_db=${server.url}`,
    ]);
    await hub.saveSite("m.localhost", "--db_server=@server_db");
    await hub.ok("install @m.localhost");
    database = String(context("m.localhost")["db_name"]);
    server.sql(`CREATE USER operator@'%' IDENTIFIED BY 'geheim'`);
    server.sql(`GRANT ALL ON ${database}.* TO operator@'%'`);
    const account = `'database' => '${database}', 'username' => 'operator', 'password' => 'geheim'`;
    const prefixed = `array('driver' => 'mysql', 'host' => '127.0.0.1', 'port' => '${server.port}', ${account}, 'prefix' => getenv('PREFIX') ?: '')`;
    // As Aegir has it: with each request, from the web server; for the command line from drushrc.php.
    const cloaked = `array('driver' => $_SERVER['db_type'], 'host' => $_SERVER['db_host'], 'port' => $_SERVER['db_port'], 'database' => rawurldecode($_SERVER['db_name']), 'username' => $_SERVER['db_user'], 'password' => $_SERVER['db_passwd'], 'prefix' => getenv('PREFIX') ?: '')`;
    const where = makeByHand(hub, "m.localhost", { settings: settingsByHand(prefixed) });
    writeFileSync(join(where, "by-aegir.php"), settingsByHand(cloaked));
    writeFileSync(
      join(where, "drushrc.php"),
      `<?php\n$options['db_type'] = 'mysql';\n$_SERVER['db_type'] = $options['db_type'];\n$_SERVER['db_host'] = '127.0.0.1';\n$_SERVER['db_port'] = '${server.port}';\n$_SERVER['db_name'] = '${database}';\n$_SERVER['db_user'] = 'operator';\n$_SERVER['db_passwd'] = 'geheim';\n`,
    );
    for (const user of server.sql("SELECT User FROM mysql.user WHERE User LIKE 'm_localhost%'"))
      server.sql(`DROP USER IF EXISTS '${user[0]}'@'localhost', '${user[0]}'@'127.0.0.1'`);
  }, 120_000);
  afterAll(async () => server?.remove());

  const accounts = () =>
    server
      .sql("SELECT DISTINCT User FROM mysql.user WHERE User = 'operator' OR User LIKE 'm\\_localhost%' ORDER BY 1")
      .map(([user]) => user);

  const tables = () => server.sql(`SHOW TABLES IN \`${database}\``).map(([table = ""]) => table);
  const renamed = (to: (table: string) => string) =>
    server.sql(
      `RENAME TABLE ${tables()
        .map((table) => `\`${table}\` TO \`${to(table)}\``)
        .join(", ")}`,
      database,
    );

  it("a prefix is refused, and what is to be typed instead makes a site of those tables alone; so is a database that others are in, too", async () => {
    server.sql("CREATE TABLE d7_users LIKE users; CREATE TABLE d7_sessions LIKE sessions; CREATE TABLE d7_system LIKE system", database);
    const shared = await hub.document("import @m.localhost @platform_p");
    expect([shared.exit, shared.error?.code]).toEqual([1, "REFUSED"]);
    expect(shared.error?.why.join()).toContain("their prefixes are d7_");
    server.sql("DROP TABLE d7_users, d7_sessions, d7_system", database);
    renamed((table) => `it_s_${table}`);
    server.sql("CREATE TABLE itxs_other (word TEXT); INSERT INTO itxs_other VALUES ('of somebody else')", database);
    const prefixed = await hub.document("import @m.localhost @platform_p", { env: { PREFIX: "it_s_" } });
    expect([prefixed.exit, prefixed.error?.code]).toEqual([1, "REFUSED"]);
    const [dump = "", deploy = ""] = prefixed.error?.next ?? [];
    writeFileSync(hub.path(".my.cnf"), `[client]\nsocket=${join(server.base, "socket")}\nuser=root\n`);
    execFileSync("sh", ["-c", dump], { cwd: hub.root, env: { ...process.env, HOME: hub.root }, stdio: "pipe" });
    const text = readFileSync(hub.path("site.sql"), "utf8");
    expect(text).toContain("INSERT INTO `users`");
    expect(text).not.toContain("of somebody else");
    const words = deploy.replace(/ +#.*/, "").replace("@m.localhost", "@w.localhost").split(" ").slice(1);
    const more = ["--platform", "p", "--db-server", "server_db", "--old-uri", "m.localhost"];
    expect(
      (await hub.document([...words.map((word) => (word === "site.sql" ? hub.path("site.sql") : word)), ...more])).error,
    ).toBeUndefined();
    expect(await get("w.localhost", "/")).toBe(200);
    await hub.ok("delete @w.localhost --no-backup --yes");
    for (const name of [".my.cnf", "site.sql"]) rmSync(hub.path(name));
    server.sql("DROP TABLE itxs_other", database);
    renamed((table) => table.slice("it_s_".length));
  });

  it("a server that the hub does not have is named with the command that saves it", async () => {
    const other = await startServer("mysql");
    await hub.ok(["save", "@server_db", `--master_db=${other.url}`]);
    const unknown = await hub.document("import @m.localhost @platform_p");
    expect([unknown.exit, unknown.error?.code]).toEqual([65, "INVALID_REFERENCE"]);
    expect(unknown.error?.next[0]).toContain(`--master_db=mysql://ACCOUNT@127.0.0.1:${server.port}`);
    await other.remove();
    await hub.ok(["save", "@server_db", `--master_db=${server.url}`]);
    expect(accounts()).toEqual(["operator"]);
  });

  it("by hand or cloaked as Aegir does it: an account of the site's own, and the operator's stays, also when the site is deleted", async () => {
    const settings = join(place("m.localhost"), "settings.php");
    const byAegir = readFileSync(join(place("m.localhost"), "by-aegir.php"), "utf8");
    rmSync(join(place("m.localhost"), "by-aegir.php"));
    rmSync(settings);
    writeFileSync(settings, byAegir);
    const done = await hub.document("import @m.localhost @platform_p");
    expect(done).toMatchObject({ exit: 0, data: { db_server: "@server_db", former_account: "operator" } });
    expect(accounts()).toEqual([expect.stringMatching(/^m_localhost_/), "operator"]);
    expect(JSON.stringify(done)).not.toContain("geheim");
    await hub.ok("verify @m.localhost");
    expect((await hub.document("verify @m.localhost")).counts).toMatchObject({ changed: 0 });
    expect(await get("m.localhost", "/")).toBe(200);
    expect(readFileSync(settings, "utf8")).not.toContain("geheim");
    await hub.ok("delete @m.localhost --yes");
    expect(accounts()).toEqual(["operator"]);
    expect(server.sql(`SHOW DATABASES LIKE '${database}'`)).toEqual([]);
  });
});

const without = missingServer("pgsql");
describe.skipIf(without !== undefined)(`on PostgreSQL${without === undefined ? "" : ` (${without})`}`, () => {
  let server: DatabaseServer;
  let master: string;
  const roles = () =>
    server
      .sql("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' AND rolname NOT IN ('postgres', 'maker') ORDER BY 1")
      .map(([role]) => role);
  const owners = () => server.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'", "shop").flat();
  const importing = () => hub.document("import @g.localhost @platform_p");

  beforeAll(async () => {
    server = await startServer("pgsql");
    await hub.ok([
      "save",
      "@server_pg",
      "--context_type=server",
      "--http_service_type=none",
      "--db_service_type=pgsql",
      `--master_db=${server.url}`,
    ]);
    await hub.saveSite("g.localhost", "--db_server=@server_pg");
    await hub.ok("install @g.localhost");
    const { db_name, db_user } = context("g.localhost");
    const [database, user] = [String(db_name), String(db_user)];
    // As an operator makes them: both of one name, and the account logs in.
    server.sql(`CREATE ROLE shop LOGIN PASSWORD 'geheim'; ALTER DATABASE ${database} RENAME TO shop; ALTER DATABASE shop OWNER TO shop;`);
    server.sql(`REASSIGN OWNED BY ${database} TO shop; DROP OWNED BY ${database}; DROP OWNED BY ${user};`, "shop");
    server.sql(`DROP ROLE ${user}; DROP ROLE ${database}; GRANT ALL ON DATABASE shop TO PUBLIC`);
    const account = "'database' => 'shop', 'username' => 'shop', 'password' => 'geheim'";
    // The hub knows the same server by its address.
    makeByHand(hub, "g.localhost", {
      settings: settingsByHand(`array('driver' => 'pgsql', 'host' => 'localhost', 'port' => '${server.port}', ${account})`),
    });
    // One that is no superuser, as at those who offer databases.
    server.sql("CREATE ROLE maker LOGIN CREATEDB CREATEROLE PASSWORD 'maker'");
    master = `pgsql://maker:maker@127.0.0.1:${server.port}`;
  }, 120_000);
  afterAll(async () => server?.remove());

  it("tables of several roles, of one that may do everything or in other schemas are refused, each with a way round", async () => {
    const before = roles();
    server.sql("CREATE TABLE second (a int)", "shop");
    const several = await importing();
    expect([several.exit, several.error?.code, several.error?.message]).toEqual([1, "REFUSED", expect.stringContaining("postgres, shop")]);
    server.sql(
      "DROP TABLE second; CREATE SCHEMA more AUTHORIZATION shop; CREATE TABLE more.second (a int); ALTER TABLE more.second OWNER TO shop",
      "shop",
    );
    expect((await importing()).error?.message).toContain("other schemas than public: more");
    server.sql("DROP SCHEMA more CASCADE; ALTER ROLE shop CREATEROLE", "shop");
    const mighty = await importing();
    expect([mighty.error?.code, mighty.error?.next[0]]).toEqual(["REFUSED", "pg_dump --no-owner shop > site.sql"]);
    server.sql("ALTER ROLE shop NOCREATEROLE");
    server.sql("CREATE TABLE a_users (); CREATE TABLE a_sessions (); CREATE TABLE a_key_value ()", "shop");
    expect((await importing()).error?.why.join()).toContain("their prefixes are a_");
    server.sql("DROP TABLE a_users, a_sessions, a_key_value", "shop");
    expect(roles()).toEqual(before);
  });

  it("an account of master_db that is no superuser is told which right it lacks", async () => {
    await hub.ok(["save", "@server_pg", `--master_db=${master}`]);
    const lacks = await importing();
    expect([lacks.exit, lacks.error?.code]).toEqual([1, "REFUSED"]);
    const [grant = ""] = lacks.error?.next ?? [];
    expect(grant).toMatch(/^GRANT shop TO maker WITH ADMIN OPTION /);
    expect(roles()).toEqual(["shop"]);
    server.sql(grant.replace(/ +#.*/, ";"));
  });

  it("an account of the site's own becomes the operator's, whose database and account stay as they are; delete leaves the account", async () => {
    const done = await importing();
    expect(done.error).toBeUndefined();
    expect(done).toMatchObject({ data: { db_server: "@server_pg", database: "shop", former_account: "shop" } });
    expect(JSON.stringify(done)).not.toContain("geheim");
    expect([owners(), roles()]).toEqual([["shop"], [expect.stringMatching(/^g_localhost_/), "shop"]]);
    expect(await get("g.localhost", "/")).toBe(200);
    await hub.ok("verify @g.localhost");
    expect((await hub.document("verify @g.localhost")).counts).toMatchObject({ changed: 0 });
    expect(await get("g.localhost", "/")).toBe(200);
    expect(readFileSync(join(place("g.localhost"), "settings.php"), "utf8")).not.toContain("geheim");
    // What the site makes anew is the operator's, too.
    expect(owners()).toEqual(["shop"]);
    await hub.ok("verify @g.localhost --rotate-password");
    expect(roles()).toEqual([expect.stringMatching(/^g_localhost_.*_r[0-9a-f]{7}$/), "shop"]);
    await hub.ok("migrate @g.localhost @h.localhost");
    const { data } = await hub.document("backup @h.localhost");
    expect((await hub.document(`restore @h.localhost ${String(data?.["backup"])} --yes`)).error).toBeUndefined();
    expect(await get("h.localhost", "/")).toBe(200);
    await hub.ok("rollback @h.localhost --yes");
    expect([await get("h.localhost", "/"), context("h.localhost")["db_name"]]).toEqual([200, "shop"]);
    await hub.ok("delete @h.localhost --yes");
    expect(roles()).toEqual(["shop"]);
    expect(server.sql("SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')")).toEqual([]);
  });
});
