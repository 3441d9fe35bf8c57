import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Result } from "../../src/core/result.js";
import { clearTraps, setTrap, type Trap } from "../support/fake-core.js";
import { type Serving, TestHub } from "../support/hub.js";
import { tablesOf } from "../support/table-sums.js";
import { WIDE } from "../support/wide.js";

const SITE = "site.localhost";
let hub: TestHub;
let serving: Serving;
let backup: string;
const next = () => hub.path("platforms/next");

/** What makes a site anew on other code, beside a migrate that keeps its name (migrate-faults.test.ts). */
const OPERATIONS: readonly (readonly [name: string, line: () => string])[] = [
  ["clone", () => `clone @${SITE} @copy.localhost @platform_next`],
  ["deploy", () => `deploy @copy.localhost ${backup} @platform_next`],
  ["restore", () => `restore @${SITE} ${backup} --platform=@platform_next --yes`],
  ["migrate with a new name", () => `migrate @${SITE} @platform_next @copy.localhost --no-backup`],
];

beforeAll(async () => {
  hub = await TestHub.withSite(SITE);
  await hub.savePlatform("next");
  await hub.ok("verify @platform_next");
  serving = await hub.serve();
  backup = String((await hub.document(`backup @${SITE}`)).data?.["backup"]);
}, 120_000);
afterAll(async () => {
  await serving?.stop();
  hub?.remove();
});

/** All that is there but backups, which a failure leaves: files, directories, vhosts, entries of sites.php, and every row. */
function everything(): readonly string[] {
  const files = hub.tree({ times: false }).filter((line) => !/^backups|\.sqlite|\/php\/generation |traps/.test(line));
  return [...files, ...tablesOf(hub.path("sites"))];
}

/** Runs a command while a visitor comes all the time: the site that is there serves before, during and after it. */
async function visited(line: string, env: Readonly<Record<string, string>> = {}): Promise<Result> {
  const wrong: string[] = [];
  let going = true;
  const visitor = (async () => {
    for (let pages = 0; going || pages < 2; pages++) {
      const { status, body } = await serving.get(SITE, "/");
      if (status !== 200) wrong.push(`${status} ${body.slice(0, 100)}`);
      await sleep(30);
    }
  })();
  try {
    return await hub.document(line, { env });
  } finally {
    going = false;
    await visitor;
    expect(wrong).toEqual([]);
  }
}

async function takenBack(before: readonly string[], { error }: Result): Promise<void> {
  expect(error?.state).toMatch(/^as before: @/);
  expect(everything()).toEqual(before);
  expect((await hub.document(`verify @${SITE}`)).counts.changed, "the gate is open, and all as it was").toBe(0);
}

describe.each(OPERATIONS)("%s that fails is taken back whole, and nobody notices", (name, line) => {
  const LATE: readonly (readonly [traps: readonly Trap[], code: string, why: RegExp])[] = [
    [["pending-updates", "failing-update"], "UPDATEDB_FAILED", /trap_update_7003/],
    [["fatal"], "ENGINE_FAILED", /trap_no_such_function/],
    [["out-of-memory"], "ENGINE_FAILED", /memory/i],
  ];
  it.each(WIDE || name === "restore" ? LATE : LATE.slice(0, 1))("new code with %s: %s, exit 4", async (traps, code, why) => {
    const before = everything();
    for (const trap of traps) await setTrap(next(), trap);
    const failed = await visited(line());
    await clearTraps(next());
    expect([failed.exit, failed.outcome, failed.error?.code]).toEqual([4, "rolled_back", code]);
    expect([failed.error?.message, ...(failed.error?.why ?? [])].join("\n")).toMatch(why);
    await takenBack(before, failed);
  });

  it("no space left for the files: DISK_FULL, exit 4", async () => {
    const before = everything();
    const shims = join(hub.base, "shims");
    mkdirSync(shims, { recursive: true });
    for (const [program, which] of [
      ["cp", "*"],
      ["tar", "*--extract*"],
    ] as const) {
      const script = `#!/bin/sh\nPATH=\${PATH#*:}\ncase "$*" in ${which}) cat >/dev/null; echo "${program}: x: No space left on device" >&2; exit 1;; esac\nexec ${program} "$@"\n`;
      writeFileSync(join(shims, program), script);
      chmodSync(join(shims, program), 0o755);
    }
    const failed = await visited(line(), { PATH: `${shims}:${process.env["PATH"] ?? ""}` });
    rmSync(shims, { recursive: true });
    expect([failed.exit, failed.error?.code]).toEqual([4, "DISK_FULL"]);
    await takenBack(before, failed);
  });
});

describe("what cannot be made there is refused before anything is made", () => {
  /** Restore keeps backups of the site; those that are deployed may be of a core that is here no more. */
  async function refused(words: RegExp): Promise<void> {
    for (const [name, line] of OPERATIONS) {
      const before = everything();
      const answer = await hub.document(line());
      expect([answer.exit, answer.error?.code, answer.operation], name).toEqual([1, "REFUSED", undefined]);
      expect([answer.error?.message, ...(answer.error?.why ?? [])].join("\n"), name).toMatch(words);
      expect(everything(), name).toEqual(before);
    }
  }

  it("an older core", async () => {
    const file = hub.path("platforms/p/includes/bootstrap.inc");
    const text = readFileSync(file, "utf8");
    const former = backup;
    writeFileSync(file, text.replace("'7.0-fixture'", "'7.5'"));
    try {
      backup = String((await hub.document(`backup @${SITE}`)).data?.["backup"]);
      await refused(/older/);
    } finally {
      writeFileSync(file, text);
      backup = former;
    }
  });

  it("a profile that is not there", async () => {
    renameSync(join(next(), "profiles/minimal"), join(hub.base, "minimal"));
    try {
      await refused(/profile/);
    } finally {
      renameSync(join(hub.base, "minimal"), join(next(), "profiles/minimal"));
    }
  });
});
