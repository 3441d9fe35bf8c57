import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Layout } from "../../src/context/layout.js";
import { lockDescriptor } from "../../src/core/lock.js";
import { Scope } from "../../src/core/scope.js";
import { LocalHost } from "../../src/host/local.js";
import type { ServeEvent } from "../../src/services/http/php/events.js";
import { Front } from "../../src/services/http/php/front.js";
import { phpHttp } from "../../src/services/http/php/index.js";
import { ask } from "../../src/services/http/php/protocol.js";
import { type ServeState, servePaths } from "../../src/services/http/php/state.js";
import type { HttpService, Vhost } from "../../src/services/http/service.js";
import { type Facts, makeDocroot, makeGeneration } from "../support/docroot.js";
import { type Ended, type Started, start } from "../support/processes.js";
import { PROJECT } from "../support/project.js";
import { drive, wouldChange } from "../support/step-driver.js";

type Said =
  | ServeEvent
  | { readonly type: "error"; readonly code: string; readonly message: string; readonly why: string[]; readonly next: string[] };

interface Serving extends Started {
  readonly port: number;
  readonly said: () => Said[];
}

/** Processes of PHP's server whose router serves this hub, found by their environment. */
function phpOf(hub: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/environ`, "utf8").includes(`PROVISION_SERVE_VHOSTS=${hub}/`) &&
          !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}

async function until(true_: () => boolean | Promise<boolean>, within = 10_000): Promise<void> {
  const deadline = Date.now() + within;
  while (!(await true_())) {
    if (Date.now() > deadline) throw new Error(`not so within ${within} ms: ${true_}`);
    await sleep(20);
  }
}

describe("provision serve", () => {
  let hub: string;
  let layout: Layout;
  let service: HttpService;
  let site: Vhost;
  let started: Serving[] = [];

  beforeEach(async () => {
    hub = realpathSync(mkdtempSync(join(tmpdir(), "provision-serve-")));
    layout = new Layout(hub);
    makeDocroot(join(hub, "platforms/p"));
    site = {
      uri: "one.test",
      aliases: [],
      redirection: undefined,
      enabled: true,
      docroot: join(hub, "platforms/p"),
      directory: "one.test",
      generation: "g1",
      ...makeGeneration(layout.generation("one.test", "g1").root),
      frontControllers: ["index.php"],
      php: "php",
      fpm: "/run/php/php-fpm.sock",
      alone: false,
      tls: undefined,
      basicAuth: undefined,
      allow: [],
      headers: {},
      environment: undefined,
      snippets: {},
    };
    service = phpHttp({ layout, server: { name: "@server_master", http_port: 80, php: undefined }, host: new LocalHost(new Scope()) });
    await drive(service.serverSteps());
  });

  afterEach(async () => {
    for (const { child, ended } of started) {
      child.kill("SIGTERM");
      await ended;
    }
    started = [];
    expect(phpOf(hub)).toEqual([]);
    rmSync(hub, { recursive: true });
  });

  const activate = (vhost: Vhost) => drive([service.activate("vhost/activate", "Activate", service.siteFiles(vhost))]);

  async function startServe(port = 0): Promise<Serving> {
    const running = start(process.execPath, [join(PROJECT, "test/fixtures/serve.mjs"), hub, String(port)]);
    let output = "";
    running.child.stdout?.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    const said = () =>
      output
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Said);
    await Promise.race([until(() => said().some((event) => event.type === "listening")), running.ended]);
    const listening = said().find((event) => event.type === "listening");
    const serving = { ...running, said, port: listening?.type === "listening" ? listening.port : 0 };
    started.push(serving);
    return serving;
  }

  const get = (serving: Serving, path: string) =>
    ask({ port: serving.port, path, headers: { host: `one.test:${serving.port}` }, timeout: 20_000 });
  const facts = async (serving: Serving, path: string) => JSON.parse((await get(serving, path)).body) as Facts;

  test("switches under load without a refused, broken or misdirected request", async () => {
    // A docroot that is a link, as a platform's root is: PHP's caches must not outlive its switch.
    for (const release of ["a", "b"]) {
      makeDocroot(join(hub, `builds/${release}`));
      writeFileSync(join(hub, `builds/${release}/release.txt`), release);
    }
    symlinkSync("builds/a", join(hub, "current"));
    await activate({ ...site, docroot: join(hub, "current") });
    const serving = await startServe();
    // Before the others, so that it is under way when the first switch comes.
    const slow = facts(serving, "/?sleep=5000");
    await sleep(1500);
    const statuses: number[] = [];
    let over = false;
    const load = Array.from({ length: 6 }, async () => {
      while (!over) statuses.push((await get(serving, "/?sleep=20")).status);
    });
    await sleep(300);
    for (let turn = 0; turn < 5; turn++) {
      const release = turn % 2 === 0 ? "b" : "a";
      symlinkSync(`builds/${release}`, join(hub, "next"));
      renameSync(join(hub, "next"), join(hub, "current"));
      await activate({ ...site, docroot: join(hub, "current"), generation: `g${turn + 2}` });
      expect((await facts(serving, "/")).release).toBe(release);
    }
    expect((await slow).release).toBe("a");
    over = true;
    await Promise.all(load);
    expect(statuses.length).toBeGreaterThan(50);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(serving.said().filter((event) => event.type === "reloaded")).toHaveLength(5);
    // Old processes go once they have nothing to do.
    await until(() => phpOf(hub).length <= 4);
  });

  test("a request under way on old processes is finished, others are served by new ones meanwhile", async () => {
    await activate(site);
    const serving = await startServe();
    const before = await facts(serving, "/");
    const slow = facts(serving, "/?sleep=2000");
    await sleep(200);
    await activate({ ...site, generation: "g2" });
    expect((await facts(serving, "/")).pid).not.toBe(before.pid);
    expect((await slow).pid).toBe(before.pid);
    await until(() => !phpOf(hub).includes(before.pid));
  });

  test("a daemon that does not take over is found by the check, and fails the activation", async () => {
    // The front of serve, without what follows the generation file.
    await activate(site);
    const front = new Front({
      vhosts: servePaths(layout, "@server_master").vhosts,
      generation: "old",
      token: "t",
      size: 1,
      onEvent: () => {},
    });
    const lock = openSync(servePaths(layout, "@server_master").lock, "a");
    try {
      expect(lockDescriptor(lock, "exclusive")).toBe(true);
      const state: ServeState = {
        pid: process.pid,
        address: "127.0.0.1",
        port: await front.listen(0, "127.0.0.1"),
        started: "",
        token: "t",
      };
      writeFileSync(servePaths(layout, "@server_master").state, JSON.stringify(state));
      expect(await wouldChange([service.activate("a", "A", service.siteFiles(site))])).toEqual([
        expect.stringContaining("reload provision serve of @server_master: its PHP was started for generation old"),
      ]);
      await expect(activate(site)).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE", why: [expect.stringContaining("generation old")] });
      await front.reload(readFileSync(servePaths(layout, "@server_master").generation, "utf8").trim());
      expect(await wouldChange([service.activate("a", "A", service.siteFiles(site))])).toEqual([]);
    } finally {
      await front.close();
      closeSync(lock);
    }
  });

  test("serves several requests at once, with processes started when they are needed", async () => {
    await activate(site);
    const serving = await startServe();
    expect(phpOf(hub)).toEqual([]);
    await get(serving, "/");
    expect(phpOf(hub)).toHaveLength(1);
    const pids = await Promise.all([1, 2, 3, 4, 5, 6].map(async () => (await facts(serving, "/?sleep=300")).pid));
    expect(new Set(pids).size).toBe(4);
  });

  test("a process that takes its time to end is not met by who comes next", async () => {
    const php = join(hub, "php");
    writeFileSync(php, '#!/bin/sh\nphp "$@"\nsleep 0.3\n', { mode: 0o755 });
    await activate({ ...site, php });
    const serving = await startServe();
    expect((await get(serving, "/?die=1")).status).toBe(502);
    expect((await get(serving, "/")).status).toBe(200);
  });

  test("a process that dies is replaced; only its own request is lost", async () => {
    await activate(site);
    const serving = await startServe();
    const { pid } = await facts(serving, "/");
    expect((await get(serving, "/?die=1")).status).toBe(502);
    expect((await facts(serving, "/")).pid).not.toBe(pid);
    const crashes = () => serving.said().filter((event) => event.type === "crashed").length;
    expect(crashes()).toBe(1);
    process.kill((await facts(serving, "/")).pid, "SIGKILL");
    await until(() => crashes() === 2);
    expect((await get(serving, "/")).status).toBe(200);
  });

  test("a visitor who goes away does not take the process with him", async () => {
    await activate(site);
    const serving = await startServe();
    await expect(ask({ port: serving.port, path: "/?sleep=1000", headers: { host: "one.test" }, timeout: 100 })).rejects.toThrow();
    const pids = await Promise.all([1, 2, 3, 4, 5].map(async () => (await facts(serving, "/?sleep=100")).pid));
    expect(pids).toHaveLength(5);
    expect(serving.said().filter((event) => event.type === "crashed")).toEqual([]);
  });

  test("a PHP that is not there is named, and holds up no other site", async () => {
    await activate(site);
    const serving = await startServe();
    await get(serving, "/");
    const broken = { ...site, uri: "two.test", php: "php0.0" };
    await expect(activate(broken)).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE", why: [expect.stringContaining("php0.0")] });
    expect((await get(serving, "/")).status).toBe(200);
  }, 30_000);

  test("a taken port is an error that names the port and --port", async () => {
    const other = createServer();
    const port = await new Promise<number>((resolve) => {
      other.listen(0, "127.0.0.1", () => resolve((other.address() as { port: number }).port));
    });
    try {
      const serving = await startServe(port);
      expect((await serving.ended).code).toBe(69);
      expect(serving.said()).toEqual([
        expect.objectContaining({
          type: "error",
          code: "PORT_TAKEN",
          message: expect.stringContaining(String(port)),
          next: [expect.stringContaining("--port")],
        }),
      ]);
      expect(existsSync(join(layout.state, "serve.server_master.json"))).toBe(false);
    } finally {
      other.close();
    }
  });

  test("a second serve of the same server is refused and says who serves", async () => {
    const first = await startServe();
    const second = await startServe();
    expect((await second.ended).code).toBe(75);
    expect(second.said()[0]).toMatchObject({ type: "error", code: "LOCKED", why: [expect.stringContaining(`process ${first.child.pid}`)] });
    expect(await service.problems()).toHaveLength(1);
    expect(first.said().at(-1)?.type).toBe("listening");
  });

  test.each(["SIGTERM", "SIGINT"] as const)("%s ends all processes, also a busy one, and removes the state file", async (signal) => {
    await activate(site);
    const serving = await startServe();
    const state = join(layout.state, "serve.server_master.json");
    expect(statSync(state).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(state, "utf8"))).toMatchObject({ pid: serving.child.pid, address: "127.0.0.1", port: serving.port });
    const finishing = get(serving, "/?sleep=1000");
    const lost = get(serving, "/?sleep=60000").catch(() => "lost");
    await until(() => phpOf(hub).length === 2);
    await sleep(200);
    serving.child.kill(signal);
    const ended: Ended = await serving.ended;
    expect([ended.code, ended.stderr]).toEqual([0, ""]);
    expect((await finishing).status).toBe(200);
    expect(await lost).toBe("lost");
    expect(phpOf(hub)).toEqual([]);
    expect(existsSync(state)).toBe(false);
    expect(serving.said().at(-1)).toEqual({ type: "stopped" });
  });

  test("kill -9 leaves no process, and its state file fools nobody", async () => {
    await activate(site);
    const serving = await startServe();
    await Promise.all([1, 2, 3].map(() => get(serving, "/?sleep=200")));
    const busy = get(serving, "/?sleep=60000").catch(() => "lost");
    expect(phpOf(hub)).toHaveLength(3);
    await sleep(100);
    serving.child.kill("SIGKILL");
    await serving.ended;
    await until(() => phpOf(hub).length === 0, 2_000);
    await busy;
    expect(existsSync(join(layout.state, "serve.server_master.json"))).toBe(true);
    expect(await service.problems()).toEqual([{ message: expect.stringContaining("provision serve"), blocks: false }]);
    expect((await service.request({ uri: "one.test", path: "/" })).status).toBe(200);
    const again = await startServe();
    expect((await get(again, "/")).status).toBe(200);
  });
});
