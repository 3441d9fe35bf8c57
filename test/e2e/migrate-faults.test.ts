import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Result } from "../../src/core/result.js";
import { Scope } from "../../src/core/scope.js";
import { LocalHost } from "../../src/host/local.js";
import { clearTraps, setTrap, type Trap } from "../support/fake-core.js";
import { type Serving, TestHub } from "../support/hub.js";
import { sqlite } from "../support/sqlite.js";
import { tablesOf } from "../support/table-sums.js";

const SITE = "site.localhost";
let hub: TestHub;
let serving: Serving;
const next = () => hub.path("platforms/next");

beforeAll(async () => {
  hub = await TestHub.withSite(SITE);
  await hub.savePlatform("next");
  await hub.ok("verify @platform_next");
  serving = await hub.serve();
}, 120_000);
afterAll(async () => {
  await serving?.stop();
  hub?.remove();
});

/** All that is there: files, directories, vhosts, entries of sites.php, and every row. */
function everything(): readonly string[] {
  const files = hub.tree({ times: false }).filter((line) => !/\.sqlite|\/php\/generation |traps/.test(line));
  return [...files, ...tablesOf(hub.path("sites"))];
}

/** Runs a command while a visitor comes all the time: every page has to be right before, during and after it. */
async function visited(line: string, env: Readonly<Record<string, string>> = {}): Promise<Result> {
  const wrong: string[] = [];
  let pages = 0;
  let going = true;
  const visitor = (async () => {
    while (going) {
      const { status, body } = await serving.get(SITE, "/");
      pages++;
      if (status !== 200) wrong.push(`${status} ${body.slice(0, 100)}`);
      await sleep(30);
    }
  })();
  try {
    return await hub.document(line, { env });
  } finally {
    await sleep(100);
    going = false;
    await visitor;
    expect(wrong).toEqual([]);
    expect(pages).toBeGreaterThan(2);
  }
}

describe("a migrate that fails is taken back whole, and nobody notices", () => {
  const LATE: readonly (readonly [traps: readonly Trap[], code: string, why: RegExp])[] = [
    [["pending-updates", "failing-update"], "UPDATEDB_FAILED", /trap_update_7003/],
    [["fatal"], "ENGINE_FAILED", /trap_no_such_function/],
    [["exception"], "ENGINE_FAILED", /trap_init\(\) failed/],
    [["out-of-memory"], "ENGINE_FAILED", /memory/i],
    [["exit"], "ENGINE_FAILED", /redirected|ended|exit/],
    [["killed"], "ENGINE_FAILED", /SIGKILL|killed|ended/],
    [["broken-page"], "PROBE_FAILED", /500/],
  ];
  it.each(LATE)("new code with %s: %s, exit 4 (M14, W4, W5)", async (traps, code, why) => {
    const before = everything();
    for (const trap of traps) await setTrap(next(), trap);
    try {
      const failed = await visited(`migrate @${SITE} @platform_next --no-backup`);
      expect([failed.exit, failed.outcome, failed.error?.code]).toEqual([4, "rolled_back", code]);
      expect([failed.error?.message, ...(failed.error?.why ?? [])].join("\n")).toMatch(why);
      expect(failed.error?.state).toContain(`as before: @${SITE} serves from @platform_p (GET / 200`);
    } finally {
      await clearTraps(next());
    }
    expect(everything()).toEqual(before);
    // The gate is open again.
    expect((await hub.document(`verify @${SITE}`)).counts["changed"]).toBe(0);
  });

  it("--max-write-block ends an update that takes too long: TIMED_OUT, exit 4, and the gate is open", async () => {
    const before = everything();
    for (const trap of ["pending-updates", "slow-update"] as const) await setTrap(next(), trap);
    try {
      const failed = await visited(`migrate @${SITE} @platform_next --no-backup --max-write-block=3s`);
      expect([failed.exit, failed.outcome, failed.error?.code]).toEqual([4, "rolled_back", "TIMED_OUT"]);
      expect(failed.error?.message).toContain("3 s");
      expect(failed.error?.state).toContain(`as before: @${SITE} serves from @platform_p (GET / 200`);
    } finally {
      await clearTraps(next());
    }
    expect(everything()).toEqual(before);
    expect((await hub.document(`verify @${SITE}`)).counts["changed"]).toBe(0);
  });

  it("its backup stays, and is whole (W3)", async () => {
    await setTrap(next(), "fatal");
    const failed = await hub.document(`migrate @${SITE} @platform_next`);
    await clearTraps(next());
    expect([failed.exit, failed.error?.code]).toEqual([4, "ENGINE_FAILED"]);
    const verified = await hub.document(`backups verify @${SITE}`);
    expect([verified.exit, verified.data?.["backups"]]).toEqual([0, [expect.objectContaining({ problems: [] })]]);
  });

  it.each(["cp", "rsync"])("no space left for the files (%s): DISK_FULL, exit 4", async (program) => {
    const before = everything();
    const shims = mkdtempSync(join(tmpdir(), "provision-shims-"));
    const only = program === "rsync" ? 'case "$*" in *--delete*) ;; *) exec /usr/bin/rsync "$@";; esac\n' : "";
    writeFileSync(join(shims, program), `#!/bin/sh\n${only}echo "${program}: error writing: No space left on device" >&2\nexit 1\n`);
    chmodSync(join(shims, program), 0o755);
    try {
      const failed = await visited(`migrate @${SITE} @platform_next --no-backup`, { PATH: `${shims}:${process.env["PATH"] ?? ""}` });
      expect([failed.exit, failed.error?.code]).toEqual([4, "DISK_FULL"]);
    } finally {
      rmSync(shims, { recursive: true });
    }
    expect(everything()).toEqual(before);
  });
});

describe("two generations are kept on one platform", () => {
  it("the younger goes, and the older serves again, by all its names", async () => {
    const uri = "two.localhost";
    await hub.saveSite(uri, "--aliases=also.localhost");
    await hub.ok(`install @${uri}`);
    for (const to of ["next", "p", "next"]) await hub.ok(`migrate @${uri} @platform_${to} --no-backup`);
    const records = () =>
      readdirSync(hub.path(`state/generations/${uri}`)).map((name) => {
        const path = hub.path(`state/generations/${uri}/${name}`);
        return { path, ...(JSON.parse(readFileSync(path, "utf8")) as { at: string; generation: string; docroot: string; until: string }) };
      });
    const [older, younger] = records()
      .filter(({ docroot }) => docroot.endsWith("/p"))
      .sort((a, b) => (a.at < b.at ? -1 : 1));
    const { path, ...record } = younger as NonNullable<typeof younger>;
    writeFileSync(path, JSON.stringify({ ...record, until: record.at }));
    await hub.ok("cron-all");
    expect(records().map(({ generation }) => generation)).not.toContain(record.generation);
    const back = await hub.document(`rollback @${uri} --to=${older?.generation} --yes`);
    expect([back.exit, back.error]).toEqual([0, undefined]);
    for (const name of [uri, "also.localhost"]) expect((await serving.get(name, "/")).status, name).toBe(200);
    expect((await hub.document(`verify @${uri}`)).counts["changed"]).toBe(0);
    // When nothing of it is left there, its names go too.
    await hub.ok(`delete @${uri} --no-backup --yes`);
    for (const platform of ["p", "next"])
      expect(readFileSync(hub.path(`platforms/${platform}/sites/sites.php`), "utf8")).not.toContain(uri);
  });
});

describe("what cannot be moved is refused before anything is made", () => {
  async function refused(line: string, code: string, words: RegExp): Promise<void> {
    const before = everything();
    const answer = await hub.document(line);
    expect([answer.exit, answer.error?.code], line).toEqual([code === "PLATFORM_LOCKED" ? 1 : answer.exit, code]);
    expect(answer.exit).toBeGreaterThan(0);
    expect(answer.operation, "something was begun").toBeUndefined();
    expect([answer.error?.message, ...(answer.error?.why ?? [])].join("\n")).toMatch(words);
    expect(everything()).toEqual(before);
  }

  it("a directory of its name on the platform (W9)", async () => {
    mkdirSync(join(next(), "sites", SITE));
    writeFileSync(join(next(), "sites", SITE, "mine.txt"), "");
    try {
      await refused(`migrate @${SITE} @platform_next`, "NAME_TAKEN", /is there already/);
    } finally {
      rmSync(join(next(), "sites", SITE), { recursive: true });
    }
  });

  it("a name that is another site's, of a clone too (M6)", async () => {
    await hub.saveSite("other.localhost");
    await hub.ok("install @other.localhost");
    for (const line of [
      `clone @${SITE} @other.localhost`,
      `clone @${SITE} @other.localhost @platform_next`,
      `migrate @${SITE} @other.localhost`,
    ])
      await refused(line, "NAME_TAKEN", /installed site/);
    await hub.ok("delete @other.localhost --no-backup --yes");
    await refused(`clone @${SITE} @${SITE}`, "USAGE", /another name/);
  });

  it("a locked platform", async () => {
    await hub.ok("lock @platform_next");
    try {
      const { data } = await hub.document(`backup @${SITE}`);
      for (const line of [
        `migrate @${SITE} @platform_next`,
        `clone @${SITE} @c.localhost @platform_next`,
        `deploy @c.localhost ${String(data?.["backup"])} @platform_next`,
        `restore @${SITE} ${String(data?.["backup"])} --platform=@platform_next --yes`,
      ])
        await refused(line, "PLATFORM_LOCKED", /^@platform_next is locked and takes no new sites$/);
    } finally {
      await hub.ok("unlock @platform_next");
    }
  });

  it("an older core (M4)", async () => {
    const file = hub.path("platforms/p/includes/bootstrap.inc");
    const text = readFileSync(file, "utf8");
    writeFileSync(file, text.replace("'7.0-fixture'", "'7.5'"));
    try {
      await refused(`migrate @${SITE} @platform_next`, "REFUSED", /older/);
    } finally {
      writeFileSync(file, text);
    }
  });

  it("a module of the same version whose updates the platform's code does not have", async () => {
    const file = hub.path("platforms/p/modules/system/system.install");
    const text = readFileSync(file, "utf8");
    const generation = /^generation: (\S+)$/m.exec(readFileSync(hub.path(`aliases/${SITE}.yml`), "utf8"))?.[1] ?? "";
    const said = (sql: string) => sqlite(new LocalHost(new Scope()), hub.path(`sites/${SITE}/${generation}/db/site.sqlite`), sql);
    const [[schema = ""] = []] = await said("SELECT schema_version FROM system WHERE name = 'system'");
    writeFileSync(file, `${text}\nfunction system_update_7998() {\n}\n`);
    await said("UPDATE system SET schema_version = 7998 WHERE name = 'system'");
    try {
      await refused(`migrate @${SITE} @platform_next`, "REFUSED", /system has run update 7998; the code on @platform_next ends with \d+/);
    } finally {
      writeFileSync(file, text);
      await said(`UPDATE system SET schema_version = ${schema} WHERE name = 'system'`);
    }
  });

  it("a profile that is not there (M12, W7); one that names it by old_short_name is taken", async () => {
    const [was, is] = [join(next(), "profiles/minimal"), join(next(), "profiles/leaner")];
    renameSync(was, is);
    for (const end of ["info", "profile"]) renameSync(join(is, `minimal.${end}`), join(is, `leaner.${end}`));
    const profile = readFileSync(join(is, "leaner.profile"), "utf8");
    writeFileSync(join(is, "leaner.profile"), profile.replaceAll("minimal_", "leaner_"));
    await refused(`migrate @${SITE} @platform_next`, "REFUSED", /profile/);
    const info = readFileSync(join(is, "leaner.info"), "utf8");
    writeFileSync(join(is, "leaner.info"), `${info}old_short_name = minimal\n`);
    const moved = await visited(`migrate @${SITE} @platform_next --no-backup`);
    expect(moved.error).toBeUndefined();
    expect(readFileSync(hub.path(`aliases/${SITE}.yml`), "utf8")).toContain("profile: leaner");
    expect((await hub.document(`status @${SITE}`)).data).toMatchObject({ profile: "leaner", platform: "@platform_next" });
    expect((await hub.document(`verify @${SITE}`)).counts["changed"]).toBe(0);
    const back = await visited(`rollback @${SITE} --yes`);
    expect(back.error).toBeUndefined();
    expect((await hub.document(`status @${SITE}`)).data).toMatchObject({ profile: "minimal", platform: "@platform_p" });
  });

  it("nothing to do: the same platform, name and server (W1)", async () => {
    const before = everything();
    for (const line of [
      `migrate @${SITE}`,
      `migrate @${SITE} @platform_p`,
      `migrate @${SITE} @platform_p @${SITE}`,
      `migrate @${SITE} --db_server=@server_master`,
    ]) {
      const answer = await hub.document(line);
      expect([answer.exit, answer.outcome], line).toEqual([0, "ok"]);
    }
    expect(everything()).toEqual(before);
  });

  it("a platform, a server or a rollback that what is kept does not allow", async () => {
    expect((await hub.document("delete @platform_next --yes")).error?.code).toBe("IN_USE");
    expect((await hub.document("delete @platform_next --yes")).error?.next.join()).toContain("backups prune");
    expect((await hub.document(`rollback @${SITE}`)).error?.code).toBe("CONFIRMATION_NEEDED");
  });
});

describe("what is kept goes when its time is over", () => {
  it("cron-all and backups prune take it away, and nothing else; delete takes it with the site", async () => {
    const kept = () => hub.document(`rollback @${SITE} --list`).then(({ data }) => data?.["kept"]) as Promise<readonly unknown[]>;
    if ((await kept()).length === 0) {
      await hub.ok(`migrate @${SITE} @platform_next --no-backup`);
      await hub.ok(`rollback @${SITE} --yes`);
    }
    expect((await kept()).length).toBe(1);
    expect((await hub.document("status")).data).toMatchObject({ kept: 1 });
    await hub.ok("cron-all");
    expect((await kept()).length).toBe(1);
    writeFileSync(hub.path("provision.yml"), "keep_old: 0\n");
    await hub.ok(`rollback @${SITE} --yes`);
    await hub.ok(`rollback @${SITE} --yes`);
    const before = everything();
    await hub.ok("cron-all");
    expect(await kept()).toEqual([]);
    const after = new Set(everything());
    const gone = before.filter((line) => !after.has(line));
    expect(gone.length).toBeGreaterThan(5);
    expect(gone.filter((line) => !/^(sites\/|platforms\/\.builds\/next-[^/]*\/sites\/|state\/generations\/|table )/.test(line))).toEqual(
      [],
    );
    expect((await serving.get(SITE, "/")).status).toBe(200);
    await hub.ok("delete @platform_next --yes");
  });
});
