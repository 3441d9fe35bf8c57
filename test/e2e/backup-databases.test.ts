import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DatabaseServer, missingServer, type ServerType, startServer } from "../support/database-servers.js";
import { makeFakeCore } from "../support/fake-core.js";
import { type FakeHub, newHub, saveSite, treeDifference } from "../support/fake-hub.js";

const STANDS = {
  mysql: "SELECT CONCAT(User, '@', Host) FROM mysql.user UNION SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY 1",
  pgsql: "SELECT rolname::text FROM pg_roles UNION SELECT datname::text FROM pg_database ORDER BY 1",
};

for (const type of ["mysql", "pgsql"] as const satisfies readonly ServerType[]) {
  const missing = missingServer(type);
  describe.skipIf(missing !== undefined)(`backup, restore and deploy on ${type}${missing === undefined ? "" : ` (${missing})`}`, () => {
    let base: string;
    let server: DatabaseServer;
    let hub: FakeHub;
    let backup: string;
    const site = (uri: string) => hub.path("platforms/d7/sites", uri);
    const stands = () => server.sql(STANDS[type]).map(([name = ""]) => name);
    const asBefore = (before: readonly [readonly string[], string]) => {
      expect(stands()).toEqual(before[0]);
      const tree = hub.tree();
      if (tree !== before[1]) expect.fail(treeDifference(tree, before[1]));
    };
    const now = () => [stands(), hub.tree()] as const;
    const whole = async (name: string) => expect((await hub.do("verify", name)).counts["changed"]).toBe(0);
    const value = (uri: string, key: string) =>
      /^KEY: (.*)$/m.exec(readFileSync(hub.path(`aliases/${uri}.yml`), "utf8").replaceAll(`${key}:`, "KEY:"))?.[1] as string;
    const mail = (uri: string) => server.sql("SELECT mail FROM users WHERE uid = 1", value(uri, "db_name"))[0]?.[0];

    beforeAll(async () => {
      base = mkdtempSync(join(tmpdir(), "provision-bdb-"));
      const [started, made] = await Promise.all([
        startServer(type),
        makeFakeCore(join(base, "core")).then((core) => newHub(join(base, "hub"), core)),
      ]);
      [server, hub] = [started, made];
      await hub.do("save", "@server_master", `--db_service_type=${type}`, `--master_db=${server.url}`);
      await hub.do("verify", "@platform_d7");
      await saveSite(hub, "a.test");
      await hub.do("install", "@a.test");
      writeFileSync(join(site("a.test"), "files/kept.txt"), "kept");
      server.sql("UPDATE users SET mail = 'first@example.test' WHERE uid = 1", value("a.test", "db_name"));
    }, 180_000);
    afterAll(async () => {
      await server?.remove();
      rmSync(base, { recursive: true, force: true });
    });

    test("a backup changes nothing on the server; verify --restore leaves nothing there", async () => {
      const before = stands();
      backup = String((await hub.do("backup", "@a.test")).data?.["backup"]);
      await hub.do("backups", "verify", "--all", "--restore");
      expect(stands()).toEqual(before);
      const path = hub.path("backups/a.test", backup, "database.sql.zst");
      const text = execFileSync("zstd", ["-dc", path], { encoding: "utf8" });
      expect(text).toContain("first@example.test");
    });

    test("restore loads into a database of its own and keeps the other; deploy makes one with an account of its own", async () => {
      const former = value("a.test", "db_name");
      server.sql("UPDATE users SET mail = 'second@example.test' WHERE uid = 1", former);
      await hub.do("restore", "@a.test", backup, "--yes");
      expect([mail("a.test"), value("a.test", "db_name") === former]).toEqual(["first@example.test", false]);
      expect(server.sql("SELECT mail FROM users WHERE uid = 1", former)[0]?.[0]).toBe("second@example.test");
      await whole("@a.test");
      await hub.do("deploy", "@b.test", backup);
      expect([mail("b.test"), value("b.test", "db_user") === value("a.test", "db_user")]).toEqual(["first@example.test", false]);
      expect(readFileSync(join(site("b.test"), "files/kept.txt"), "utf8")).toBe("kept");
      await whole("@b.test");
    });

    test("a database server that goes in the middle: backup and delete fail and leave all as it was, and work when it is back", async () => {
      const before = now();
      const dump = type === "mysql" ? "mariadb-dump" : "pg_dump";
      const bin = join(base, "bin");
      mkdirSync(bin, { recursive: true });
      // The real program, once the test lets it.
      writeFileSync(
        join(bin, dump),
        `#!/bin/sh\nPATH=\${PATH#*:}\ntouch ${base}/asked\nwhile [ -e ${base}/asked ]; do sleep 0.05; done\nexec ${dump} "$@"\n`,
        { mode: 0o755 },
      );
      for (const args of [
        ["backup", "@b.test"],
        ["delete", "@b.test", "--yes"],
      ]) {
        const running = hub.start(args, { env: { PATH: `${bin}:${process.env["PATH"]}` } });
        while (!existsSync(join(base, "asked"))) await sleep(20);
        await server.stop();
        rmSync(join(base, "asked"));
        const { code, said } = await running.ended;
        await server.start();
        expect(code, JSON.stringify(said?.error)).toBe(4);
        expect([said?.outcome, said?.error?.code]).toEqual(["rolled_back", "SERVICE_UNAVAILABLE"]);
        asBefore(before);
      }
      const { data } = await hub.do("delete", "@b.test", "--yes");
      expect(existsSync(hub.path("backups/b.test", String(data?.["backup"]), "manifest.json"))).toBe(true);
    });

    test.runIf(type === "mysql")(
      "a tarball as Aegir packs it becomes a site; without its credentials, with its own code and files",
      async () => {
        const tree = join(base, "aegir");
        for (const name of ["files/pictures", "private/files", "private/temp", "modules/own", "themes", "libraries"])
          mkdirSync(join(tree, name), { recursive: true });
        writeFileSync(join(tree, "files/pictures/one.txt"), "one");
        writeFileSync(join(tree, "private/files/hidden.txt"), "hidden");
        writeFileSync(join(tree, "modules/own/own.txt"), "own");
        writeFileSync(join(tree, "drushrc.php"), "<?php $options['db_passwd'] = 'old-password';\n");
        writeFileSync(
          join(tree, "settings.php"),
          "<?php\n  $databases['default']['default'] = array('driver' => \"mysql\", 'password' => \"old-password\");\n  $install_profile = \"minimal\";\n  $conf['file_public_path'] = 'sites/old.test/files';\n",
        );
        const sql = execFileSync("zstd", ["-dc", hub.path("backups/a.test", backup, "database.sql.zst")], { encoding: "utf8" });
        writeFileSync(join(tree, "database.sql"), `/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n${sql}`);
        const file = join(base, "old.test-20261123.084758.tar.gz");
        execFileSync("tar", ["-czf", file, "-C", tree, "."]);
        await hub.do("deploy", "@aegir.test", file, "@platform_d7");
        expect(readFileSync(join(site("aegir.test"), "files/pictures/one.txt"), "utf8")).toBe("one");
        expect(readFileSync(join(site("aegir.test"), "modules/own/own.txt"), "utf8")).toBe("own");
        expect(readFileSync(hub.path("sites/aegir.test", value("aegir.test", "generation"), "private/hidden.txt"), "utf8")).toBe("hidden");
        for (const name of ["drushrc.php", "database.sql"]) expect(existsSync(join(site("aegir.test"), name))).toBe(false);
        expect(readFileSync(join(site("aegir.test"), "settings.php"), "utf8")).not.toContain("old-password");
        await whole("@aegir.test");
      },
    );

    test("a dump that tries to run a program does not", async () => {
      const before = now();
      const mark = join(base, "ran");
      const head = type === "mysql" ? "-- MariaDB dump 10.19\n" : "--\n-- PostgreSQL database dump\n--\n";
      writeFileSync(join(base, "evil.sql"), `${head}SELECT 1;\n\\! touch ${mark}\nsystem touch ${mark}\n`);
      const { code } = await hub.run(["deploy", "@evil.test", join(base, "evil.sql"), "@platform_d7"]);
      expect(code).toBe(4);
      expect(existsSync(mark)).toBe(false);
      asBefore(before);
    });
  });
}
