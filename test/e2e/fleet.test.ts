import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Result } from "../../src/core/result.js";
import { type WebHub, webHub } from "../support/web-hub.js";
import { missing } from "../support/web-servers.js";

const SITES = ["a", "b", "c"].map((name) => `${name}.fleet.test`);

for (const type of ["nginx", "apache"] as const) {
  const absent = missing(type);
  describe.skipIf(absent !== undefined)(
    `sites of one run are activated together on ${type}${absent === undefined ? "" : ` (${absent})`}`,
    () => {
      let web: WebHub;

      beforeAll(async () => {
        web = await webHub(type);
        for (const uri of SITES) {
          await web.hub.saveSite(uri);
          await web.hub.ok(`install @${uri}`);
        }
        countReloads();
      }, 180_000);
      afterAll(() => web?.remove());

      /** The command that reloads the server writes a line, too. */
      function countReloads() {
        const server = web.hub.path("aliases/server_master.yml");
        const text = readFileSync(server, "utf8");
        const command = /^http_restart_cmd: (.*)$/m.exec(text)?.[1] ?? "";
        mkdirSync(web.hub.path("bin"));
        const program = web.hub.path("bin/reload");
        writeFileSync(program, `#!/bin/sh\necho >> ${web.hub.path("reloads")}\nexec ${command.replace(/^["']|["']$/g, "")}\n`);
        chmodSync(program, 0o755);
        writeFileSync(server, text.replace(/^http_restart_cmd: .*$/m, `http_restart_cmd: ${program}`));
      }
      const reloads = () => (existsSync(web.hub.path("reloads")) ? readFileSync(web.hub.path("reloads"), "utf8").length : 0);
      async function saveAll(...options: string[]) {
        for (const uri of SITES) await web.hub.ok(["save", `@${uri}`, ...options]);
      }
      async function all(args: string): Promise<{ exit: number; results: Result[] }> {
        return JSON.parse((await web.hub.provision(`${args} --json`)).stdout);
      }

      test("one reload for all of them, with one job and with several", async () => {
        for (const [value, jobs] of [
          ["one", ""],
          ["two", " --jobs=3"],
        ]) {
          await saveAll(`--http_headers=X-Fleet: ${value}`);
          const before = reloads();
          const { exit, results } = await all(`verify @*.fleet.test${jobs}`);
          expect([exit, results.map(({ target, outcome }) => [target, outcome])]).toEqual([0, SITES.map((uri) => [`@${uri}`, "changed"])]);
          expect(reloads() - before).toBe(1);
          for (const uri of SITES) expect((await web.get(uri, "/")).headers["x-fleet"]).toBe(value);
        }
        const before = reloads();
        const { results } = await all("verify --all --jobs=2");
        expect([results.map(({ counts }) => counts.changed), reloads() - before]).toEqual([SITES.map(() => 0), 0]);
      });

      test("a site whose own lines are refused fails alone; the others have theirs by one reload", async () => {
        await saveAll("--http_headers=X-Fleet: three");
        const bad = "@b.fleet.test";
        await web.hub.ok(["save", bad, `--${type}_snippet=no_such_directive 1;`]);
        const before = reloads();
        const { exit, results } = await all("verify @*.fleet.test");
        expect(exit).toBe(3);
        expect(results.filter(({ ok }) => !ok).map(({ target, exit: code, error }) => [target, code, error?.code])).toEqual([
          [bad, 4, "CONFIGURATION"],
        ]);
        expect(reloads() - before).toBe(1);
        for (const uri of SITES) expect((await web.get(uri, "/")).headers["x-fleet"]).toBe(`@${uri}` === bad ? "two" : "three");
        expect((await web.hub.document("operations list")).data?.["operations"]).not.toContainEqual(
          expect.objectContaining({ outcome: null }),
        );
        await web.hub.ok(["save", bad, "--unset", `${type}_snippet`]);
        expect((await web.hub.document(`verify ${bad}`)).outcome).toBe("changed");
      });

      test("a reload that fails puts all of them back, and each says so", async () => {
        await saveAll("--http_headers=X-Fleet: four");
        const program = web.hub.path("bin/reload");
        const text = readFileSync(program, "utf8");
        writeFileSync(program, "#!/bin/sh\necho no >&2\nexit 1\n");
        const { exit, results } = await all("verify @*.fleet.test");
        writeFileSync(program, text);
        expect([exit, results.map(({ error }) => error?.code)]).toEqual([3, SITES.map(() => "SERVICE_UNAVAILABLE")]);
        for (const uri of SITES) expect((await web.get(uri, "/")).headers["x-fleet"]).toBe("three");
        expect((await all("verify @*.fleet.test")).exit).toBe(0);
      });
    },
  );
}
