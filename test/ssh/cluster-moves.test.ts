import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask } from "../../src/services/http/ask.js";
import { type DatabaseServer, missingServer, startServer } from "../support/database-servers.js";
import { makeFakeCore } from "../support/fake-core.js";
import { treeOf } from "../support/hub.js";
import { counted, drawn, EXHAUSTIVE } from "../support/kill-walk.js";
import { missingMachines, whereSpokesAre } from "../support/namespaces.js";
import { missingSpoke, type SpokeHub, spokeHub, type TestSpoke } from "../support/spokes.js";
import { WIDE } from "../support/wide.js";

const absent = missingSpoke("nginx") ?? missingSpoke("apache") ?? missingServer("mysql");

/** A page of the site that keeps what it is given. */
const POST = `<?php
define('DRUPAL_ROOT', getcwd());
require_once DRUPAL_ROOT . '/includes/bootstrap.inc';
drupal_bootstrap(DRUPAL_BOOTSTRAP_FULL);
db_query('INSERT INTO {visits} (id) VALUES (:id)', array(':id' => (int) $_POST['id']));
echo 'kept';
`;

const MIGRATE = "migrate @c.test @platform_q --no-backup";
const ROLLBACK = "rollback @c.test --yes";

describe.skipIf(absent !== undefined)(`a site of a cluster changes its generation (${absent ?? whereSpokesAre()})`, () => {
  let rig: SpokeHub;
  let hub: SpokeHub["hub"];
  let database: DatabaseServer;
  let web1: TestSpoke;
  let web2: TestSpoke;
  const both = () => [web1, web2] as const;

  /** Of a command that succeeds. */
  const document = async (line: string) => {
    const result = await hub.document(line);
    expect(result.error, line).toBeUndefined();
    return result;
  };
  const context = (key: string) =>
    new RegExp(`^${key}: "?([^\\s"]+)`, "m").exec(readFileSync(hub.path("aliases/c.test.yml"), "utf8"))?.[1] ?? "";
  const visits = (name: string) => database.sql("SELECT id FROM visits ORDER BY id", name).map(([id]) => Number(id));
  const filesOf = (spoke: TestSpoke) => spoke.path(`sites/c.test/${context("generation")}/files`);
  const vhostOf = (spoke: TestSpoke) => readFileSync(spoke.path(`config/${spoke.name.slice(1)}/${spoke.type}/vhost.d/c.test.conf`), "utf8");
  /** Which platform each member serves the site from. */
  const serving = () => both().map((spoke) => /platforms\/([a-z]+)/.exec(vhostOf(spoke))?.[1]);
  const answers = async () => [(await web1.get("c.test", "/")).status, (await web2.get("c.test", "/")).status];
  const reloadOf = async (name: string) =>
    ((await document(`show ${name}`)).data as { context: { http_restart_cmd: string } }).context.http_restart_cmd;
  /** All that the members have of sites, but what each run and each visitor leaves. */
  const world = () => [
    ...both().flatMap((spoke) =>
      ["sites", "platforms", "clients", "config"].flatMap((tree) =>
        treeOf(spoke.path(tree), { times: false })
          // The next configuration has another mark, and logs are longer.
          .filter((line) => !/generation\.conf|\.log /.test(line))
          .map((line) => `${spoke.name} ${tree}/${line}`),
      ),
    ),
    ...database.sql("SHOW DATABASES").map(String),
    ...database.sql("SELECT User, Host FROM mysql.user ORDER BY 1, 2").map(String),
    context("generation"),
  ];
  const post = (spoke: TestSpoke, id: number) =>
    ask({
      ...(missingMachines() === undefined ? { address: spoke.address } : {}),
      port: spoke.port,
      path: "/post.php",
      method: "POST",
      headers: { host: `c.test:${spoke.port}`, "content-type": "application/x-www-form-urlencoded" },
      body: `id=${id}`,
      timeout: 60_000,
    });
  const differing = (before: readonly string[], after: readonly string[]) => [
    ...before.filter((line) => !after.includes(line)).map((line) => `gone: ${line}`),
    ...after.filter((line) => !before.includes(line)).map((line) => `new: ${line}`),
  ];
  /** Visitors of both members, who write and read until `work` is done and some more have come. */
  async function visited(first: number, work: () => Promise<void>) {
    const accepted: number[] = [];
    const refused: number[] = [];
    const wrong: string[] = [];
    let reads = 0;
    let id = first;
    let done = false;
    const under: Promise<void>[] = [];
    const visitor = async (spoke: TestSpoke) => {
      while (!done) {
        const own = id++;
        try {
          const { status, headers, body } = await post(spoke, own);
          if (status === 200 && body === "kept") accepted.push(own);
          else if (status === 503 && headers["retry-after"] !== undefined) refused.push(own);
          else wrong.push(`${spoke.name}: POST ${status} ${body.slice(0, 200)}`);
          const page = await spoke.get("c.test", "/");
          reads++;
          if (page.status !== 200 || !page.body.includes("<h1>"))
            wrong.push(`${spoke.name}: GET ${page.status} ${page.body.slice(0, 200)}`);
        } catch (error) {
          wrong.push(`${spoke.name}: ${String(error)}`);
        }
        await sleep(20);
      }
    };
    for (const spoke of both()) under.push(visitor(spoke));
    const seen = async (more: number) => {
      const wanted = accepted.length + more;
      while (accepted.length < wanted && wrong.length === 0) await sleep(20);
    };
    await seen(10);
    try {
      await work();
      await seen(10);
    } finally {
      done = true;
      await Promise.all(under);
    }
    expect(wrong).toEqual([]);
    expect(reads).toBeGreaterThan(20);
    return { accepted, refused };
  }

  beforeAll(async () => {
    [rig, database] = await Promise.all([spokeHub(["nginx", "apache"], []), startServer("mysql", { args: ["--bind-address=0.0.0.0"] })]);
    ({ hub } = rig);
    [web1, web2] = rig.spokes as readonly [TestSpoke, TestSpoke];
    database.sql("CREATE USER root@'%' IDENTIFIED BY ''; GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;");
    // As in the other test of clusters: a machine that all of them reach.
    const at =
      missingMachines() === undefined
        ? [`--master_db=mysql://root@${web1.machine.hub}:${database.port}`]
        : [
            ...[`--remote_host=${web1.address}`, `--ssh_port=${web1.sshd.port}`, `--ssh_identity=${web1.sshd.identity}`],
            ...[`--aegir_root=${web1.root}`, `--master_db=mysql://root@127.0.0.1:${database.port}`],
          ];
    await hub.ok(["save", "@db", "--context_type=server", "--db_service_type=mysql", ...at]);
    await hub.ok("save @web --context_type=server --http_service_type=cluster --cluster_web_servers=@web1,@web2");
    for (const [word, traps] of [
      ["p", []],
      ["q", ["pending-updates"]],
    ] as const) {
      const core = await makeFakeCore(join(hub.base, `core-${word}`), { traps: [...traps] });
      writeFileSync(join(core, "post.php"), POST);
      mkdirSync(hub.path("makes"), { recursive: true });
      writeFileSync(
        hub.path(`makes/${word}.make.yml`),
        `core: 7.x\napi: 2\nprojects:\n  drupal:\n    type: core\n    download:\n      type: copy\n      url: ${core}\n`,
      );
      await hub.ok([
        ...["save", `@platform_${word}`, "--context_type=platform", `--root=platforms/${word}`],
        ...[`--makefile=makes/${word}.make.yml`, "--web_server=@web"],
      ]);
      await document(`verify @platform_${word}`);
    }
    await hub.saveSite("c.test", "--db_server=@db", "--php_paths=post.php");
    await document("install @c.test");
    database.sql("CREATE TABLE visits (id INT PRIMARY KEY)", context("db_name"));
    writeFileSync(join(filesOf(web1), "first.txt"), "of the first\n");
    await document("verify @c.test");
  }, 180_000);
  afterAll(async () => {
    await rig?.remove();
    await database?.remove();
  });

  test("migrate, with visitors who write on both members: no accepted write is lost, no page fails, files of both go along", async () => {
    writeFileSync(join(filesOf(web2), "second.txt"), "of the second\n");
    const old = context("db_name");
    const generation = context("generation");
    let moved: Awaited<ReturnType<typeof document>> | undefined;
    const { accepted, refused } = await visited(1, async () => {
      const counting = { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: join(hub.base, "count") };
      moved = await hub.document(MIGRATE, { env: counting });
      expect(moved.error).toBeUndefined();
    });
    expect(serving()).toEqual(["q", "q"]);
    expect(context("db_name")).not.toBe(old);
    expect(visits(context("db_name"))).toEqual(accepted.toSorted((a, b) => a - b));
    expect(visits(old).every((id) => accepted.includes(id))).toBe(true);
    expect(refused.length).toBeGreaterThan(0);
    expect(Number(moved?.data?.["writes_blocked_ms"])).toBeGreaterThan(0);
    expect(moved?.data?.["updates"]).not.toEqual([]);
    for (const spoke of both()) {
      expect(readFileSync(join(filesOf(spoke), "first.txt"), "utf8")).toBe("of the first\n");
      // What served before is closed to writers, and kept.
      expect(existsSync(spoke.path(`sites/c.test/${generation}/gate.closed`))).toBe(true);
      expect(existsSync(spoke.path(`sites/c.test/${context("generation")}/gate.closed`))).toBe(false);
      expect(realpathSync(spoke.path("clients/admin/c.test"))).toContain("/q");
    }
    expect(readFileSync(join(filesOf(web2), "second.txt"), "utf8")).toBe("of the second\n");
    expect(JSON.stringify(moved?.warnings)).toContain("second.txt");
    rmSync(join(filesOf(web2), "second.txt"));
    expect((await document("verify @c.test")).counts.changed).toBe(0);
  }, 120_000);

  test("rollback: what was written since is in what is kept, and counted; no page fails on either", async () => {
    const left = context("db_name");
    let back: Awaited<ReturnType<typeof document>> | undefined;
    const { accepted } = await visited(1_000_000, async () => {
      back = await document(ROLLBACK);
    });
    expect(serving()).toEqual(["p", "p"]);
    const [inLeft, inServing] = [visits(left), visits(context("db_name"))];
    expect(accepted.every((id) => inLeft.includes(id) !== inServing.includes(id))).toBe(true);
    const since = back?.data?.["since"] as { readonly rows: Readonly<Record<string, number>> };
    expect(since.rows["visits"]).toBe(inLeft.length - inServing.filter((id) => id < 1_000_000).length);
    expect((await document("verify @c.test")).counts.changed).toBe(0);
  }, 120_000);

  test("kept generations go on all members when they are pruned", async () => {
    const kept = both().map((spoke) => readdirSync(spoke.path("sites/c.test")).length);
    expect(kept).toEqual([2, 2]);
    // Its time is over.
    const records = hub.path("state/generations/c.test");
    for (const name of readdirSync(records)) {
      const record = JSON.parse(readFileSync(join(records, name), "utf8"));
      writeFileSync(join(records, name), JSON.stringify({ ...record, until: "2020-01-01T00:00:00.000Z" }));
    }
    await hub.ok("backups prune @c.test --yes");
    for (const spoke of both()) {
      expect(readdirSync(spoke.path("sites/c.test"))).toEqual([context("generation")]);
      expect(existsSync(spoke.path("platforms/q/sites/c.test"))).toBe(false);
      expect(readFileSync(spoke.path("platforms/q/sites/sites.php"), "utf8")).not.toContain("c.test");
    }
  });

  test("one member does not take over the new vhost: no member has changed, and nothing is left on any", async () => {
    const before = world();
    const real = await reloadOf("@web2");
    await hub.ok("save @web2 --http_restart_cmd=false");
    const { exit, error } = await hub.document(MIGRATE);
    await hub.ok(["save", "@web2", `--http_restart_cmd=${real}`]);
    expect([exit, error?.code]).toEqual([4, "SERVICE_UNAVAILABLE"]);
    expect(error?.message).toContain("@web2");
    expect(differing(before, world())).toEqual([]);
    expect(await answers()).toEqual([200, 200]);
    expect((await document("verify @c.test")).counts.changed).toBe(0);
  }, 60_000);

  const KILLED = [MIGRATE, ROLLBACK] as const;
  test.each(EXHAUSTIVE ? KILLED : KILLED.slice(0, 1))(
    "%s, killed: abort puts every member back, resume completes every one",
    async (line) => {
      const [from, to] = line.startsWith("migrate") ? ["p", "q"] : ["q", "p"];
      const back = async () => {
        if (serving()[0] !== from) await document(from === "p" ? ROLLBACK : MIGRATE);
      };
      await back();
      // Where the journal is written: of a migrate it is known since the first one.
      const count = join(hub.base, line === MIGRATE ? "count" : "count-back");
      if (line !== MIGRATE) await hub.ok(line, { env: { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: count } });
      const { torn } = JSON.parse(readFileSync(count, "utf8")) as { readonly torn: readonly number[] };
      const walks = EXHAUSTIVE
        ? torn.flatMap((at) => (["abort", "resume"] as const).map((verb) => ({ at, verb })))
        : // What abort does on all members is seen where one goes down.
          [{ at: (torn[Math.floor(0.78 * torn.length)] as number) + 2, verb: "resume" as const }];
      const verdicts: string[] = [];
      for (const { at, verb } of drawn(walks)) {
        await back();
        const before = world();
        const { signal } = await hub.provision(line, { env: { PROVISION_TEST_KILL_AT: String(at) } });
        const [id] = readdirSync(hub.path("state/open"));
        const journal = id === undefined ? "" : readFileSync(hub.path(`state/operations/${id}/journal.jsonl`), "utf8");
        const way = journal.includes('"t":"commit"') ? "resume" : verb;
        const ended = id === undefined ? undefined : await hub.document(`${way} ${id}`);
        const wrong: string[] = [];
        if (signal !== "SIGKILL") wrong.push("it was not killed");
        if (ended?.error && journal.includes('"t":"open"')) wrong.push(`${way}: ${ended.error.message} ${ended.error.why.join()}`);
        const wanted = ended !== undefined && !ended.error && way === "resume" ? to : from;
        if (serving().join() !== `${wanted},${wanted}`) wrong.push(`served from ${serving().join(" and ")}, not ${wanted}`);
        if (wanted === from) wrong.push(...differing(before, world()));
        if ((await answers()).join() !== "200,200") wrong.push(`GET / ${(await answers()).join()}`);
        for (const spoke of both()) if (existsSync(spoke.path(`sites/c.test/${context("generation")}/gate.closed`))) wrong.push("closed");
        const { counts, error } = await hub.document("verify @c.test");
        if (error || counts.changed > 0) wrong.push(`verify: ${error?.message ?? `${counts.changed} changed`}`);
        verdicts.push(wrong.length === 0 ? "right" : `killed at ${at}, ${way}: ${wrong.join("; ")}`);
      }
      counted(line, verdicts);
      expect(verdicts.filter((verdict) => verdict !== "right")).toEqual([]);
      if (serving()[0] !== "p") await document(ROLLBACK);
    },
    7_200_000,
  );

  test("a member goes down in the middle: it is said what to type, and when it is back abort leaves all as it was", async () => {
    const before = world();
    const fifo = join(hub.base, "fifo");
    execFileSync("mkfifo", [fifo]);
    const { torn } = JSON.parse(readFileSync(join(hub.base, "count"), "utf8")) as { readonly torn: readonly number[] };
    // Of all phases a few: where directories are made, where the gates are closed, where it is served.
    for (const share of EXHAUSTIVE ? [0.1, 0.3, 0.5, 0.6, 0.7, 0.75, 0.8] : [0.6]) {
      const reached = open(fifo, "w");
      const point = (torn[Math.floor(share * torn.length)] as number) + 2;
      const running = hub.provision(`${MIGRATE} --json`, {
        env: { PROVISION_TEST_KILL_AT: String(point), PROVISION_TEST_PAUSE_BY: fifo },
      });
      const pipe = await Promise.race([reached, running.then(() => undefined)]);
      if (pipe === undefined) {
        closeSync(openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK));
        await (await reached).close();
        throw new Error(`it never came to ${point}`);
      }
      await web2.sshd.cut();
      await pipe.close();
      const { json } = await running;
      await web2.sshd.restart({});
      expect([5, 69], String(share)).toContain(json.exit);
      expect(json.error?.next.join("\n")).toContain(`provision abort ${json.operation}`);
      expect((await hub.document("verify @c.test")).error?.code).toBe("INTERRUPTED");
      await document(`abort ${json.operation}`);
      expect(differing(before, world()), String(share)).toEqual([]);
    }
    expect((await document("verify @c.test")).counts.changed).toBe(0);
  }, 600_000);

  test("a member that is down before: nothing is begun", async () => {
    const before = world();
    await web2.sshd.stop();
    const found: unknown[] = [];
    for (const line of ["migrate @c.test @platform_q", "rollback @c.test --yes", "rehearse @c.test @platform_q", "clone @c.test @d.test"]) {
      const { exit, error } = await hub.document(line);
      found.push([exit, error?.code, error?.message.includes("@web2")]);
    }
    await web2.sshd.restart({});
    expect(found).toEqual(Array(4).fill([69, "HOST_UNAVAILABLE", true]));
    expect(differing(before, world())).toEqual([]);
  });

  test(WIDE ? "clone, rehearse and deploy: sites on all members" : "clone: a copy on all members", async () => {
    await document("clone @c.test @d.test");
    for (const spoke of both()) {
      expect((await spoke.get("d.test", "/")).status).toBe(200);
      expect(readdirSync(spoke.path("platforms/p/sites/d.test/files"))).toContain("first.txt");
    }
    expect((await document("verify @d.test")).counts.changed).toBe(0);
    if (!WIDE) return;
    const before = world();
    const { data } = await document("rehearse @c.test @platform_q");
    expect(data?.["verdict"]).toBe("good");
    expect(differing(before, world())).toEqual([]);
    const { data: stored } = await document("backup @d.test");
    await document("delete @d.test --no-backup --yes");
    await document(`deploy @d.test ${String(stored?.["backup"])} @platform_q --db-server=@db`);
    for (const spoke of both()) {
      expect((await spoke.get("d.test", "/")).status).toBe(200);
      expect(readdirSync(spoke.path("platforms/q/sites/d.test/files"))).toContain("first.txt");
    }
    expect((await document("verify @d.test")).counts.changed).toBe(0);
    await document("delete @d.test --no-backup --yes");
  }, 120_000);

  test("restore of a backup on all members, in place", async () => {
    const { data } = await document("backup @c.test");
    writeFileSync(join(filesOf(web1), "later.txt"), "not in the backup\n");
    await document(`restore @c.test ${String(data?.["backup"])} --yes`);
    for (const spoke of both()) expect(readdirSync(filesOf(spoke))).toContain("first.txt");
    for (const spoke of both()) expect(readdirSync(filesOf(spoke))).not.toContain("later.txt");
    expect(await answers()).toEqual([200, 200]);
    expect((await document("verify @c.test")).counts.changed).toBe(0);
  }, 120_000);

  test("what is not done on a cluster is refused before anything is changed", async () => {
    const before = world();
    await hub.ok("save @platform_alone --context_type=platform --root=platforms/alone --web_server=@web1");
    await hub.saveSite("e.test", "--db_server=@db");
    const found: (readonly [line: string, exit: number, code: string | undefined])[] = [];
    for (const line of [
      "migrate @c.test @platform_alone",
      "rehearse @c.test @platform_alone",
      "migrate @c.test @other.test",
      "sync @c.test @e.test --yes",
      "install @c.test --force-reinstall --yes",
    ]) {
      const { exit, error } = await hub.document(line);
      found.push([line, exit, error?.code]);
    }
    expect(found).toEqual(found.map(([line]) => [line, 1, "REFUSED"]));
    expect(differing(before, world())).toEqual([]);
    await hub.ok("save @e.test --delete");
    await hub.ok("save @platform_alone --delete");
  });

  test.runIf(WIDE)(
    "storage that all members share: files are copied once, and nothing of it goes twice",
    async () => {
      rmSync(web2.path("sites"), { recursive: true });
      renameSync(web1.path("sites"), join(rig.storage, "sites"));
      for (const spoke of both()) symlinkSync(join(rig.storage, "sites"), spoke.path("sites"));
      await document("verify @c.test");
      const before = world();
      const real = await reloadOf("@web2");
      await hub.ok("save @web2 --http_restart_cmd=false");
      const failed = await hub.document(MIGRATE);
      await hub.ok(["save", "@web2", `--http_restart_cmd=${real}`]);
      expect([failed.exit, failed.error?.code]).toEqual([4, "SERVICE_UNAVAILABLE"]);
      expect(differing(before, world())).toEqual([]);
      const moved = await document(MIGRATE);
      expect(moved.steps.map(({ id }) => id).filter((id) => id.endsWith("files/copy"))).toEqual(["files/copy"]);
      expect(serving()).toEqual(["q", "q"]);
      expect(readFileSync(join(filesOf(web2), "first.txt"), "utf8")).toBe("of the first\n");
      expect((await document("verify @c.test")).counts.changed).toBe(0);
      await document(ROLLBACK);
      expect(await answers()).toEqual([200, 200]);
    },
    120_000,
  );

  test.runIf(WIDE)(
    "to another platform by way of a cluster of one",
    async () => {
      await hub.ok("save @web --cluster_web_servers=@web1");
      await document(MIGRATE);
      expect((await web1.get("c.test", "/")).status).toBe(200);
      await hub.ok("save @web --cluster_web_servers=@web1,@web2");
      await document("verify @c.test");
      expect(serving()).toEqual(["q", "q"]);
      expect(await answers()).toEqual([200, 200]);
      expect((await document("verify @c.test")).counts.changed).toBe(0);
    },
    120_000,
  );
});
