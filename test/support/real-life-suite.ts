import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask } from "../../src/services/http/ask.js";
import { type DatabaseServer, missingServer, startServer } from "./database-servers.js";
import { type TestHub, treeOf } from "./hub.js";
import { JANE, moreContent, plantContent, REAL, type RealContent, rowsOf } from "./real-content.js";
import { type WebHub, webHub } from "./web-hub.js";
import { missing } from "./web-servers.js";

type Database = "mysql" | "pgsql" | "sqlite";
type Row = readonly [engine: RealContent["engine"], database: Database];

/** Real sites on this web server: each core on each database is taken through all that can become of a site. */
export function realLives(type: "nginx" | "apache", rows: readonly Row[]): void {
  const absent = missing(type) ?? missingServer("mysql") ?? missingServer("pgsql");
  describe.skipIf(absent !== undefined)(`real sites on ${type}${absent === undefined ? "" : ` (${absent})`}`, () => {
    let web: WebHub;
    const servers: Partial<Record<Database, DatabaseServer>> = {};

    beforeAll(async () => {
      web = await webHub(type);
      for (const database of ["mysql", "pgsql"] as const) {
        if (!rows.some(([engine, own]) => own === database && treesOf(engine) !== undefined)) continue;
        const server = await startServer(database);
        servers[database] = server;
        await web.hub.ok([
          ...["save", `@server_${database}`, "--context_type=server", "--http_service_type=none", `--db_service_type=${database}`],
          `--master_db=${server.url}`,
        ]);
      }
    }, 120_000);
    afterAll(async () => {
      for (const server of Object.values(servers)) await server.remove();
      await web?.remove();
    }, 300_000);

    for (const [engine, database] of rows) {
      const trees = treesOf(engine);
      const content = REAL.find((one) => one.engine === engine) as RealContent;
      if (trees === undefined)
        it.skip(`SKIPPED: ${content.label} on ${database}: ${content.tree} and ${content.next} name no two trees`, () => {});
      else life(content, database, trees, () => ({ web, servers }));
    }
  });
}

function treesOf(engine: RealContent["engine"]): readonly [string, string] | undefined {
  const content = REAL.find((one) => one.engine === engine) as RealContent;
  const [tree, next] = [process.env[content.tree], process.env[content.next]];
  return tree && next ? [tree, next] : undefined;
}

/** What a site goes through, seen as its visitors see it. */
function life(
  content: RealContent,
  database: Database,
  trees: readonly [string, string],
  use: () => { readonly web: WebHub; readonly servers: Partial<Record<Database, DatabaseServer>> },
): void {
  const word = `${content.engine}-${database}`;
  const [URI, COPY, RENAMED] = [`${word}.test`, `copy.${word}.test`, `renamed.${word}.test`];
  const [OLD, NEXT] = [`@platform_${content.engine}_old`, `@platform_${content.engine}_next`];

  describe(`${content.label} on ${database}`, () => {
    let web: WebHub;
    let hub: TestHub;
    let server: DatabaseServer | undefined;
    let docroots: readonly [old: string, next: string];
    let node: string;
    let before: readonly string[];

    beforeAll(async () => {
      const using = use();
      web = using.web;
      hub = web.hub;
      server = using.servers[database];
      const places = ["old", "next"].map((which) => join(hub.base, `${content.engine}-${which}`)) as [string, string];
      docroots = [join(places[0], content.docroot), join(places[1], content.docroot)];
      for (const [index, context] of [OLD, NEXT].entries()) {
        const place = places[index] as string;
        if (readdirSync(hub.path("aliases")).includes(`${context.slice(1)}.yml`)) continue;
        // Half of the files of Drupal are its own tests.
        execFileSync("rsync", ["-a", "--exclude=tests/", "--exclude=/packages", `${trees[index]}/`, `${place}/`]);
        await hub.ok(["save", context, "--context_type=platform", `--root=${place}`]);
        await hub.ok(`verify ${context}`);
      }
      before = stands();
      await hub.ok([
        ...["save", `@${URI}`, "--context_type=site", `--uri=${URI}`, `--platform=${OLD}`, "--profile=standard"],
        ...(database === "sqlite" ? [] : [`--db_server=@server_${database}`]),
      ]);
      await hub.ok(`install @${URI}`);
      node = plantContent(content, docroots[0], URI);
      // Modes of what was put there are as verify leaves them.
      await hub.ok(`verify @${URI}`);
    }, 300_000);

    /** All that is there of sites: databases, accounts, files of the hub, and what stands below sites/ of the platforms. */
    function stands(): readonly string[] {
      const databases = server?.sql(
        server.type === "mysql"
          ? "SELECT CONCAT(User, '@', Host) FROM mysql.user UNION SELECT SCHEMA_NAME FROM information_schema.SCHEMATA UNION SELECT CONCAT(Db, ' of ', User) FROM mysql.db"
          : "SELECT rolname FROM pg_roles UNION SELECT datname FROM pg_database",
      );
      return [
        ...(databases ?? []).map(([name]) => `database ${name}`).sort(),
        ...hub
          .tree({ times: false })
          .filter(
            (line) => !/^(backups|clients\/admin |config\/server_master\/\w+\/(include|log)\/|state |state\/generations )/.test(line),
          ),
        ...docroots.flatMap((docroot) => treeOf(join(docroot, "sites"), { times: false, except: ["sites.php"] })),
        // Backdrop comes with a file of its own, which is ours from the first site on.
        ...docroots.flatMap((docroot) => [...readFileSync(join(docroot, "sites/sites.php"), "utf8").matchAll(/[\w.-]+\.test/g)].join(" ")),
      ];
    }

    const asked = (uri: string, path: string, more: { readonly cookie?: string; readonly form?: Readonly<Record<string, string>> } = {}) =>
      ask({
        port: hub.port,
        path,
        ...(more.form === undefined ? {} : { method: "POST", body: new URLSearchParams(more.form).toString() }),
        headers: {
          host: `${uri}:${hub.port}`,
          ...(more.cookie === undefined ? {} : { cookie: more.cookie }),
          ...(more.form === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" }),
        },
        timeout: 60_000,
      });

    /** As somebody who comes by with a browser sees it. */
    async function looksRight(uri: string): Promise<void> {
      const front = await asked(uri, "/");
      expect([front.status, front.body.includes("A cat")], `GET / of ${uri}`).toEqual([200, true]);
      const page = await asked(uri, node);
      expect([page.status, page.body.includes("Purrs.")], `GET ${node} of ${uri}`).toEqual([200, true]);
      // Picture in a style that is made when it is first asked for, style sheets, and the file that the text names.
      const own = [...page.body.matchAll(/(?:src|href)="([^"]*\/files\/[^"]*)"/g)].map(([, url = ""]) => url.replaceAll("&amp;", "&"));
      expect(own.some((url) => url.includes("cat.png")) && own.some((url) => url.includes("/notes/cat.txt")), own.join(" ")).toBe(true);
      for (const url of own) {
        const { pathname, search } = new URL(url, `http://${uri}`);
        expect(pathname).toContain(`/sites/${uri}/files/`);
        expect((await asked(uri, pathname + search)).status, `GET ${pathname} of ${uri}`).toBe(200);
      }
      expect((await asked(uri, `/sites/${uri}/files/cat.png`)).headers["content-type"]).toBe("image/png");
      expect((await asked(uri, "/admin")).status, "nobody administers").toBe(403);
      const jane = await loggedIn(uri);
      expect([(await asked(uri, "/admin", { cookie: jane })).status, (await asked(uri, `${node}/edit`, { cookie: jane })).status]).toEqual([
        403, 403,
      ]);
      const link = new URL((await hub.ok(`login @${uri}`)).stdout.trim());
      const first = await asked(uri, link.pathname + link.search);
      const admin = cookieOf(first.headers["set-cookie"]);
      expect([first.status, (await asked(uri, "/admin", { cookie: admin })).status], `the link of ${uri}`).toEqual([302, 200]);
    }

    /** By name and password, which a clone, a migrate and a restore leave as they are. */
    async function loggedIn(uri: string): Promise<string> {
      const form = await asked(uri, "/user/login");
      const id = /name="form_build_id" value="([^"]+)"/.exec(form.body)?.[1] ?? "";
      const answer = await asked(uri, "/user/login", {
        form: { name: JANE.name, pass: JANE.password, form_build_id: id, form_id: content.loginForm, op: "Log in" },
      });
      expect([302, 303], `jane logs in to ${uri}: ${answer.body.slice(0, 300)}`).toContain(answer.status);
      return cookieOf(answer.headers["set-cookie"]);
    }

    /** But for directories that visitors made by looking: Drupal 7 takes the group's bit away from them, and the first verify puts it back. */
    async function nothingToVerify(uri: string): Promise<void> {
      const changed = async () => (await hub.document(`verify @${uri}`)).steps.filter(({ outcome }) => outcome !== "ok");
      const first = await changed();
      expect(
        first.filter(({ id }) => id !== "site/access"),
        `verify @${uri}`,
      ).toEqual([]);
      if (first.length > 0) expect(await changed(), `the second verify @${uri}`).toEqual([]);
    }

    async function done(line: string) {
      const result = await hub.document(line);
      expect(result.error, line).toBeUndefined();
      return result;
    }

    it("installed: pages, pictures, log-in and permissions; a verify changes nothing", async () => {
      await looksRight(URI);
      await nothingToVerify(URI);
    }, 300_000);

    it("clone to the later core: the same content by a name of its own, with updates; deleted, and nothing of it is left", async () => {
      const was = stands();
      const rows = rowsOf(content, docroots[0], URI);
      await done(`clone @${URI} @${COPY} ${NEXT}`);
      await looksRight(COPY);
      await nothingToVerify(COPY);
      expect(made(rowsOf(content, docroots[1], COPY))).toEqual(made(rows));
      await done(`delete @${COPY} --no-backup --yes`);
      expect((await asked(COPY, "/")).status).toBe(404);
      expect(difference(stands().filter(lasting), was.filter(lasting))).toEqual([]);
      expect(rowsOf(content, docroots[0], URI)).toEqual(rows);
    }, 300_000);

    it("backup, its drill, and restore: what was written since is gone, all else is there", async () => {
      const rows = rowsOf(content, docroots[0], URI);
      const { data } = await done(`backup @${URI}`);
      await done(`backups verify @${URI} --restore`);
      const later = moreContent(content, docroots[0], URI, "A dog");
      await done(`restore @${URI} ${String(data?.["backup"])} --yes`);
      expect((await asked(URI, later)).status).toBe(404);
      await looksRight(URI);
      await nothingToVerify(URI);
      expect(rowsOf(content, docroots[0], URI)).toEqual(rows);
    }, 300_000);

    it("migrate to the later core, back, and there again: updates ran, and each side has what was written to it", async () => {
      const rows = rowsOf(content, docroots[0], URI);
      const { data } = await done(`migrate @${URI} ${NEXT} --no-backup`);
      if (content.updates) expect(data?.["updates"]).toContainEqual(expect.any(String));
      await looksRight(URI);
      await nothingToVerify(URI);
      expect(made(rowsOf(content, docroots[1], URI))).toEqual(made(rows));
      const later = moreContent(content, docroots[1], URI, "A dog");
      expect((await asked(URI, later)).status).toBe(200);
      const back = await done(`rollback @${URI} --yes`);
      expect(back.data?.["since"]).toMatchObject({ rows: { node: 1 } });
      expect((await asked(URI, later)).status).toBe(404);
      await looksRight(URI);
      await nothingToVerify(URI);
      expect(rowsOf(content, docroots[0], URI)).toEqual(rows);
      await done(`rollback @${URI} --yes`);
      expect((await asked(URI, later)).body).toContain("A dog");
      await looksRight(URI);
      await nothingToVerify(URI);
    }, 300_000);

    it("renamed: pages name their files by the new name, the old addresses of files go on working, the old host is unknown", async () => {
      const rows = rowsOf(content, docroots[1], URI);
      await done(`migrate @${URI} @${RENAMED}`);
      await looksRight(RENAMED);
      await nothingToVerify(RENAMED);
      for (const path of ["cat.png", "notes/cat.txt"]) expect((await asked(RENAMED, `/sites/${URI}/files/${path}`)).status, path).toBe(200);
      expect((await asked(URI, "/")).status).toBe(404);
      expect(rowsOf(content, docroots[1], RENAMED)).toEqual(rows);
    }, 300_000);

    it("deleted: neither database nor account, directory, vhost nor name is left, of what was kept either", async () => {
      await done(`delete @${RENAMED} --yes`);
      for (const uri of [RENAMED, URI]) expect((await asked(uri, "/")).status).toBe(404);
      expect(difference(stands(), before)).toEqual([]);
    }, 300_000);
  });
}

function cookieOf(header: string | undefined): string {
  return (header ?? "")
    .split("\n")
    .map((line) => line.split(";")[0] as string)
    .filter((pair) => /^S?SESS/.test(pair) && !pair.endsWith("=deleted"))
    .at(-1) as string;
}

/** What people made, whatever the core: updates make tables and settings of their own. */
function made(rows: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(rows).filter(([table]) => /^(node|users|file_|role$|field_data|node__|user__|comment)/.test(table)),
  );
}

/** Lines that only one has. */
function difference(found: readonly string[], wanted: readonly string[]): readonly string[] {
  const [a, b] = [new Set(found), new Set(wanted)];
  return [
    ...found.filter((line) => !b.has(line)).map((line) => `+ ${line}`),
    ...wanted.filter((line) => !a.has(line)).map((line) => `- ${line}`),
  ];
}

/** Not what visitors make by looking: css, styles, sessions. */
function lasting(line: string): boolean {
  return !/^sites\/[^ ]*\/(files\/(css|js|styles|php|languages)|db|tmp)/.test(line);
}
