import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { writeGate } from "../../src/engines/write-gate.js";
import { freePort } from "../support/php-server.js";

/** A page that is what a core is to the gate: settings first, then work that can be seen and that takes as long as it is told. */
const PAGE = `<?php
include __DIR__ . '/settings.php';
// A core may read them again.
include __DIR__ . '/settings.php';
if (isset($_GET['slow'])) { touch(__DIR__ . '/begun'); usleep(1000 * (int) $_GET['slow']); touch(__DIR__ . '/done'); }
echo 'served', isset($conf['cron_safe_threshold']) ? ' without cron' : '', "\\n";
`;

describe("the write gate", () => {
  let base: string;
  let port: number;
  let server: ChildProcess;
  const path = (name: string) => join(base, name);

  beforeAll(async () => {
    base = mkdtempSync(join(tmpdir(), "provision-gate-"));
    mkdirSync(path("core"));
    for (const page of ["index.php", "cron.php", "update.php", "router.php"]) writeFileSync(path(page), PAGE);
    // What a front controller is given for every other path.
    writeFileSync(
      path("router.php"),
      `<?php $_SERVER['SCRIPT_NAME'] = preg_match('~^/(sub/)?((?:index|cron|update)\\.php)~', $_SERVER['REQUEST_URI'], $m) ? "/$m[1]$m[2]" : (strncmp($_SERVER['REQUEST_URI'], '/sub/', 5) ? '/index.php' : '/sub/index.php'); require __DIR__ . '/index.php';`,
    );
    writeFileSync(
      path("settings.php"),
      `<?php\n${writeGate({ gate: path("gate"), closed: path("gate.closed"), writePaths: ["shop/buy/*", "it's~odd"] })}`,
    );
    port = await freePort();
    server = spawn("php", ["-d", "opcache.enable=0", "-S", `127.0.0.1:${port}`, "-t", base, path("router.php")], {
      stdio: "ignore",
      env: { ...process.env, PROVISION_OPERATION: "1", PHP_CLI_SERVER_WORKERS: "4" },
      detached: true,
    });
    for (let turn = 0; ; turn++) {
      try {
        await ask("GET", "/");
        return;
      } catch (error) {
        if (turn === 200) throw error;
        await sleep(50);
      }
    }
  });
  afterAll(() => {
    // The workers of PHP's server outlive it: the group ends.
    if (server?.pid !== undefined) process.kill(-server.pid, "SIGKILL");
    rmSync(base, { recursive: true, force: true });
  });
  beforeEach(() => {
    for (const name of ["gate.closed", "begun", "done"]) rmSync(path(name), { force: true });
    writeFileSync(path("gate"), "");
  });

  function ask(method: string, url: string): Promise<{ status: number; headers: Record<string, unknown>; body: string }> {
    return new Promise((resolve, reject) => {
      request({ host: "127.0.0.1", port, path: url, method, agent: false }, (response) => {
        let body = "";
        response.on("data", (chunk: Buffer) => {
          body += chunk.toString();
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      })
        .on("error", reject)
        .end();
    });
  }
  const cli = (env: Readonly<Record<string, string>> = {}) => {
    const { PROVISION_OPERATION: _, ...clean } = process.env;
    return spawnSync("php", [path("index.php")], { encoding: "utf8", env: { ...clean, ...env } });
  };
  const close = () => writeFileSync(path("gate.closed"), "");
  const drained = () => spawnSync("flock", ["-x", "-w", "20", path("gate"), "true"]).status === 0;

  const WRITES = [
    ["POST", "/"],
    ["PUT", "/node/1"],
    ["DELETE", "/node/1"],
    ["PROPFIND", "/"],
    ["POST", "/sub/"],
    ["GET", "/cron.php?cron_key=x"],
    ["HEAD", "/cron.php"],
    ["GET", "/sub/cron.php"],
    ["GET", "/update.php"],
    ["GET", "/update.php/selection"],
    ["GET", "/cron/some-key"],
    ["GET", "/CRON/some-key"],
    ["GET", "/index.php/cron/some-key"],
    ["GET", "/sub/cron/some-key"],
    ["GET", "/%63ron/some-key"],
    ["GET", "/?q=cron/some-key"],
    ["GET", "/admin/reports/status/run-cron"],
    ["GET", "/de/admin/reports/status/run-cron"],
    ["GET", "/?q=admin/reports/status/run-cron"],
    ["GET", "/system/run-cron"],
    ["GET", "/shop/buy/7"],
    ["GET", "/it's~odd"],
  ] as const;
  const READS = [
    ["GET", "/"],
    ["HEAD", "/"],
    ["OPTIONS", "/"],
    ["GET", "/node/1"],
    ["GET", "/blog/cron/tips"],
    ["GET", "/cron"],
    ["GET", "/shop/buy"],
    ["GET", "/sub/node/1"],
    ["GET", "/?q=node/1"],
  ] as const;

  it.each(WRITES)(
    "open: %s %s is served; closed: 503 with Retry-After, whatever the environment of a web server says",
    async (method, url) => {
      expect((await ask(method, url)).status).toBe(200);
      close();
      const { status, headers } = await ask(method, url);
      expect([status, headers["retry-after"], headers["cache-control"]]).toEqual([503, "5", "no-store"]);
      rmSync(path("gate.closed"));
      expect((await ask(method, url)).status).toBe(200);
    },
  );

  it.each(READS)("closed: %s %s is served, and runs no cron in passing", async (method, url) => {
    close();
    const { status, body } = await ask(method, url);
    expect(status).toBe(200);
    if (method === "GET") expect(body).toBe("served without cron\n");
  });

  it("open: pages run cron in passing as ever", async () => {
    expect((await ask("GET", "/")).body).toBe("served\n");
  });

  it("on the command line everybody writes but provision itself", () => {
    expect(cli().stdout).toBe("served\n");
    close();
    const { status, stdout, stderr } = cli();
    expect([status, stdout, stderr]).toEqual([75, "", expect.stringContaining("takes no changes now")]);
    expect(cli({ PROVISION_OPERATION: "1" }).stdout).toBe("served\n");
  });

  it("a gate that cannot be opened is closed to writers", async () => {
    rmSync(path("gate"));
    expect((await ask("POST", "/")).status).toBe(503);
    expect((await ask("GET", "/")).body).toBe("served\n");
    expect(cli().status).toBe(75);
  });

  it("a writer that is under way when it closes comes to its end, and the drain waits for it, for no reader, and for nobody after", async () => {
    const writing = ask("POST", "/?slow=1500");
    while (!existsSync(path("begun"))) await sleep(10);
    close();
    const refused = await Promise.all(Array.from({ length: 3 }, () => ask("POST", "/")));
    expect(refused.map(({ status }) => status)).toEqual([503, 503, 503]);
    expect(existsSync(path("done"))).toBe(false);
    expect(drained()).toBe(true);
    expect(existsSync(path("done"))).toBe(true);
    expect((await writing).status).toBe(200);
    rmSync(path("begun"));
    const reading = ask("GET", "/?slow=3000");
    while (!existsSync(path("begun"))) await sleep(10);
    rmSync(path("done"));
    expect(drained()).toBe(true);
    expect(existsSync(path("done")), "a reader held the drain up").toBe(false);
    expect((await reading).status).toBe(200);
  });

  it("is the same bytes for the same input", () => {
    const input = { gate: "/g", closed: "/c", writePaths: ["a/*"] };
    expect(writeGate(input)).toBe(writeGate(input));
    expect(readFileSync(path("settings.php"), "utf8")).not.toContain("\r");
  });
});
