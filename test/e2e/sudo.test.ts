import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, chownSync, cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Result } from "../../src/core/result.js";
import { ask } from "../../src/services/http/ask.js";
import { makeFakeCore } from "../support/fake-core.js";
import { makeFileOf } from "../support/fake-hub.js";
import { TestHub } from "../support/hub.js";
import { run } from "../support/processes.js";
import { PROJECT } from "../support/project.js";
import { type Fpm, missing, startFpm, WEB_DAEMONS, type WebServer } from "../support/web-servers.js";

/** Users and lines of sudoers are made for real, which root alone may; in CI the tests are root's. */
const ABSENT =
  missing("nginx") ??
  (process.getuid?.() === 0 ? undefined : "only root makes Unix users") ??
  (spawnSync("/usr/sbin/visudo", ["--version"]).status === 0 || process.env["CI"] === "true" ? undefined : "sudo not installed");

describe.skipIf(ABSENT !== undefined)(
  `provision as a user with the lines of sudoers that it asks for${ABSENT === undefined ? "" : ` (${ABSENT})`}`,
  () => {
    const user = `pvtest${process.pid}`;
    const sudoers = `/etc/sudoers.d/provision-test-${process.pid}`;
    let place: TestHub;
    let root: string;
    let fpm: Fpm;
    let nginx: WebServer | undefined;

    /** One command as the user, with --json. */
    async function provision(...words: readonly string[]): Promise<Result> {
      const node = join(place.base, "node");
      const as = ["--reuid", user, "--regid", user, "--init-groups", "--reset-env"];
      const said = await run("setpriv", [...as, node, join(place.base, "code/bin/provision.js"), ...words, "--json", `--hub=${root}`], {
        cwd: place.base,
      });
      if (said.stdout === "") throw new Error(`${words.join(" ")}: ${said.code} ${said.stderr}`);
      return JSON.parse(said.stdout) as Result;
    }
    async function done(...words: readonly string[]): Promise<Result> {
      const said = await provision(...words);
      expect([words.join(" "), said.exit, said.error]).toEqual([words.join(" "), 0, undefined]);
      return said;
    }
    const answers = async () =>
      (await ask({ port: place.port, path: "/", headers: { host: `a.test:${place.port}` }, timeout: 20_000 })).status;

    beforeAll(async () => {
      place = await TestHub.nowhere();
      chmodSync(place.base, 0o755);
      root = join(place.base, "home/hub");
      execFileSync("/usr/sbin/useradd", ["--groups", "www-data", "--home-dir", join(place.base, "home"), "--create-home", user]);
      // Others than root may not be let into the place where this checkout, or its Node.js, stands.
      for (const name of ["bin", "dist", "src", "aliases", "schemas", "package.json"])
        cpSync(join(PROJECT, name), join(place.base, "code", name), { recursive: true });
      cpSync(process.execPath, join(place.base, "node"));
      await makeFakeCore(join(place.base, "core"));
      execFileSync("chmod", ["-R", "a+rX", join(place.base, "code"), join(place.base, "core")]);
      fpm = await startFpm(join(place.base, "daemons"));
    }, 120_000);

    afterAll(async () => {
      await nginx?.stop();
      await fpm?.stop();
      rmSync(sudoers, { force: true });
      spawnSync("/usr/sbin/userdel", ["--force", user]);
      place?.remove();
    });

    test("verify names them; with exactly these server and site are made, without them nothing is changed", async () => {
      const uid = Number(execFileSync("id", ["-u", user]).toString());
      mkdirSync(join(place.base, "home/makes"), { recursive: true });
      chownSync(join(place.base, "home/makes"), uid, uid);
      await done("init", "--local", root, "--port", String(place.port));
      writeFileSync(join(place.base, "home/core.make"), makeFileOf(join(place.base, "core")));
      const daemons = join(place.base, "daemons");
      const { http_test_cmd, http_restart_cmd } = WEB_DAEMONS.nginx.commands(daemons);
      await done(
        "save",
        "@server_master",
        ...["--http_service_type=nginx", "--web_group=www-data", "--php_pool=site", `--php_fpm_listen=${fpm.listen}`],
        ...[`--http_test_cmd=sudo -n ${http_test_cmd}`, `--http_restart_cmd=sudo -n ${http_restart_cmd}`],
        ...[`--php_fpm_test_cmd=sudo -n ${fpm.test}`, `--php_fpm_restart_cmd=sudo -n ${fpm.command}`],
      );

      // What verify says is to be done as root, and nothing else.
      const lines = new Set<string>();
      let problems: readonly string[] = [];
      for (let round = 0; round < 5; round++) {
        const { data } = await done("verify", "@server_master");
        problems = data?.["problems"] as readonly string[];
        for (const problem of problems) {
          const line = /in \/etc\/sudoers\.d\/provision: (.+)$/.exec(problem)?.[1];
          if (line !== undefined) lines.add(line);
        }
        if (problems.length === 0) break;
        nginx ??= await WEB_DAEMONS.nginx.start(daemons, join(root, "config/server_master/nginx.conf"), place.port);
        fpm.includes(join(root, "config/server_master/php-fpm/default.conf"));
        writeFileSync(sudoers, `${[...lines].join("\n")}\n`, { mode: 0o440 });
        execFileSync("/usr/sbin/visudo", ["-c", "-f", sudoers]);
      }
      expect(problems).toEqual([]);
      // For the web server, for PHP-FPM, and for the users of pools.
      expect(lines.size).toBe(3);
      await done("save", "@server_master", "--php_pool=shared");
      expect((await done("verify", "@server_master")).data?.["problems"]).toEqual([]);

      await done("save", "@platform_p", "--root=platforms/p", `--makefile=${join(place.base, "home/core.make")}`);
      await done("verify", "@platform_p");
      await done("save", "@a.test", "--context_type=site", "--platform=@platform_p", "--profile=minimal");
      await done("install", "@a.test");
      expect(await answers()).toBe(200);
      expect((await done("verify", "@a.test")).counts["changed"]).toBe(0);

      rmSync(sudoers);
      const refused = await provision("disable", "@a.test");
      expect([refused.exit, refused.error?.code]).toEqual([4, "PERMISSION_DENIED"]);
      expect(refused.error?.next.join("\n")).toContain("/etc/sudoers.d/provision");
      expect(await answers()).toBe(200);

      writeFileSync(sudoers, `${[...lines].join("\n")}\n`, { mode: 0o440 });
      await done("delete", "@a.test", "--no-backup", "--yes");
      expect(await answers()).toBe(404);

      // A pool of its own: the login has to be in its group, which it learns before anything is made.
      await done("save", "@server_master", "--php_pool=site");
      await done("verify", "@server_master");
      await done("save", "@a.test", "--context_type=site", "--platform=@platform_p", "--profile=minimal");
      const early = await provision("install", "@a.test");
      expect([early.exit, early.error?.code, early.error?.state]).toEqual([77, "PERMISSION_DENIED", "nothing was changed"]);
      const commands = early.error?.next.filter((line) => line.startsWith("sudo -n ")) ?? [];
      expect(commands.length).toBe(4);
      for (const command of commands) {
        const did = await run("setpriv", ["--reuid", user, "--regid", user, "--init-groups", "--reset-env", ...command.split(" ")], {
          cwd: place.base,
        });
        expect([command, did.code]).toEqual([command, 0]);
      }
      await done("install", "@a.test");
      expect(await answers()).toBe(200);
      expect((await done("verify", "@a.test")).counts["changed"]).toBe(0);
      await done("delete", "@a.test", "--no-backup", "--yes");
      const made = commands[0]?.split(" ").at(-1) as string;
      expect([made, spawnSync("getent", ["passwd", made]).status]).toEqual([made, 2]);
    }, 240_000);
  },
);
