import { cpSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { counted, drawn, EXHAUSTIVE } from "../support/kill-walk.js";
import { type Ended, inParallel, run, start } from "../support/processes.js";
import { PROJECT } from "../support/project.js";

const toy = join(PROJECT, "test/fixtures/toy.mjs");

interface Said {
  readonly points: number;
  readonly exit: number;
  readonly code?: string;
  readonly outcome?: string;
  readonly state?: string;
  readonly next?: readonly string[];
  readonly finished: readonly { readonly step: string; readonly outcome: string; readonly changes: readonly string[] }[];
  readonly events: readonly string[];
}

let base: string;
let daemon: Server;
let url: string;
let worlds = 0;

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), "provision-kill-"));
  // Serves what it last loaded, as a web server does, one world each.
  const loaded = new Map<string, string>();
  daemon = createServer((request, response) => {
    const world = new URL(request.url ?? "", "http://daemon").searchParams.get("world") ?? "";
    if (request.method === "POST") loaded.set(world, readFileSync(join(world, "vhost"), "utf8"));
    response.end(loaded.get(world) ?? "root old;");
  });
  await new Promise<void>((resolve) => daemon.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(daemon.address() as AddressInfo).port}`;
  await act("init", join(base, "origin"));
});

afterAll(() => {
  daemon.close();
  rmSync(base, { recursive: true, force: true });
});

async function act(verb: string, world: string, env: Record<string, string | undefined> = {}): Promise<Ended & { said: Said | undefined }> {
  const origin = join(base, "origin");
  if (world === origin) await run("mkdir", ["-p", world]);
  const ended = await run(process.execPath, [toy, verb, world, url], { env });
  return { ...ended, said: ended.stdout === "" ? undefined : (JSON.parse(ended.stdout) as Said) };
}

function newWorld(): string {
  const world = join(base, `w${worlds++}`);
  cpSync(join(base, "origin"), world, { recursive: true });
  return world;
}

/** Every path of the world but its state, with mode and content; the operation's id is blotted out. */
function tree(world: string): string {
  const lines: string[] = [];
  const walk = (relative: string) => {
    for (const entry of readdirSync(join(world, relative), { withFileTypes: true })) {
      const path = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (path === "state") continue;
      const full = join(world, path);
      if (entry.isSymbolicLink()) lines.push(`${path} -> ${readlinkSync(full)}`);
      else if (entry.isDirectory()) {
        lines.push(`${path}/ ${(statSync(full).mode & 0o7777).toString(8)}`);
        walk(path);
      } else lines.push(`${path} ${(statSync(full).mode & 0o7777).toString(8)} ${readFileSync(full, "utf8")}`);
    }
  };
  walk("");
  return lines
    .sort()
    .join("\n")
    .replace(/[0-9]{8}T[0-9]{6}-[0-9a-f]{4,8}/g, "ID")
    .replace('"h":"db_ID","neighbour":"n"', '"h":"db_ID"');
}

const served = async (world: string) => (await fetch(`${url}/?world=${encodeURIComponent(world)}`)).text();

/** Done, or as before; anything else is named by its tree. A backup survives a roll-back, and so does the neighbour's edit. */
async function ending(world: string): Promise<string> {
  const now = `${tree(world)}\nserved ${(await served(world)).replace(/[0-9]{8}T[0-9]{6}-[0-9a-f]{4,8}/g, "ID")}`;
  if (now === complete) return "complete";
  const without = now.replace(/^backup-1 .*\n/m, "").replace(',"neighbour":"n"', "");
  return without === before ? "back" : `NEITHER:\n${now}`;
}

let before: string;
let complete: string;
let points: number;

beforeAll(async () => {
  before = `${tree(join(base, "origin"))}\nserved root old;`;
  const world = newWorld();
  const { said } = await act("run", world, { PROVISION_TEST_KILL_AT: "0" });
  expect(said?.exit).toBe(0);
  points = said?.points ?? 0;
  complete = `${tree(world)}\nserved ${(await served(world)).replace(/[0-9]{8}T[0-9]{6}-[0-9a-f]{4,8}/g, "ID")}`;
});

function noLeftovers(world: string): readonly string[] {
  return readdirSync(join(world, "state/open"));
}

/** Kills the run, perhaps what came after it too, then lets the last verb, or the one it names, bring it to an end. */
async function walk(first: number, middle: { verb: string; at: number } | undefined, last: "resume" | "abort"): Promise<string> {
  const world = newWorld();
  const label = `run killed at ${first}${middle ? `, ${middle.verb} killed at ${middle.at}` : ""}, ${last}`;
  await act("run", world, { PROVISION_TEST_KILL_AT: String(first) });
  if (middle) await act(middle.verb, world, { PROVISION_TEST_KILL_AT: String(middle.at) });
  let { said } = await act(last, world);
  let wanted = last === "abort" ? "back" : "complete";
  if (said?.code === "COMMITTED") {
    expect(said.next?.join(" "), label).toContain("provision resume");
    ({ said } = await act("resume", world));
    wanted = "complete";
  } else if (said?.code === "UNDOING") {
    expect(said.next?.join(" "), label).toContain("provision abort");
    ({ said } = await act("abort", world));
    wanted = "back";
  }
  if (said?.exit !== 0) return `${label}: exit ${said?.exit} ${said?.code} ${said?.state}`;
  const found = await ending(world);
  // Nothing was open any more: the run had ended, or had not begun, when it was killed.
  const nothingToDo = said.events.length === 0;
  if (!(found === wanted || (nothingToDo && (found === "complete" || found === "back"))))
    return `${label}: wanted ${wanted}, found ${found}`;
  const open = noLeftovers(world);
  if (open.length > 0) return `${label}: still open: ${open.join(" ")}`;
  rmSync(world, { recursive: true, force: true });
  return "right";
}

async function allRight(of: string, walks: readonly (() => Promise<string>)[]): Promise<void> {
  const verdicts = await inParallel(drawn(walks), 3, (one) => one());
  counted(of, verdicts);
  expect(verdicts.filter((verdict) => verdict !== "right")).toEqual([]);
}

describe("kill -9, on files and a small daemon", () => {
  it("has many points to be killed at", () => {
    expect(points).toBeGreaterThan(150);
  });

  it("at every point: resume ends complete, abort ends as before or says that only resume is left", async () => {
    const every = Array.from({ length: points }, (_, index) => index + 1);
    await allRight(
      "the engine",
      every.flatMap((point) =>
        EXHAUSTIVE
          ? [() => walk(point, undefined, "resume"), () => walk(point, undefined, "abort")]
          : point % 3 === 0
            ? [() => walk(point, undefined, point % 2 === 0 ? "resume" : "abort")]
            : [],
      ),
    );
  }, 600_000);

  it("twice: what is killed while it resumes or aborts ends complete or as before", async () => {
    const doubles: (() => Promise<string>)[] = [];
    for (let point = 5; point < points; point += EXHAUSTIVE ? 3 : 37) {
      for (let again = 2; again < 40; again += EXHAUSTIVE ? 3 : 9) {
        doubles.push(() => walk(point, { verb: "resume", at: again }, "resume"));
        doubles.push(() => walk(point, { verb: "resume", at: again }, "abort"));
        doubles.push(() => walk(point, { verb: "abort", at: again }, "abort"));
      }
    }
    await allRight("the engine, twice", doubles);
  }, 600_000);
});

describe("two processes", () => {
  it("the second is refused with 75 and told who works since when; with --lock-wait it waits and then finds its world changed", async () => {
    const world = newWorld();
    const pipe = join(world, "state/hold");
    const first = start("flock", [
      join(world, "state/locks/site.toy"),
      "sh",
      "-c",
      `echo '{"pid":1,"host":"h","command":"migrate","operation":"20261123T000000-abcd","since":"now"}' >> ${join(world, "state/locks/site.toy")}; touch ${pipe}; sleep 2`,
    ]);
    while (!readdirSync(join(world, "state")).includes("hold")) await new Promise((resolve) => setTimeout(resolve, 20));
    const refused = await act("run", world);
    expect(refused.code).toBe(75);
    expect(refused.said?.code).toBe("LOCKED");
    expect(await ending(world)).toBe("back");
    const waited = await act("run", world, { TOY_WAIT: "20000" });
    expect(waited.code).toBe(0);
    await first.ended;
    expect(await ending(world)).toBe("complete");
  });
});

describe("failing and stopping", () => {
  it("a step that fails is rolled back, checked, and ends with 4; the backup stays", async () => {
    const world = newWorld();
    const { said, code } = await act("run", world, { TOY_FAIL: "1" });
    expect(code).toBe(4);
    expect(said).toMatchObject({ code: "UPDATEDB_FAILED", outcome: "rolled_back", state: "as before: serves root old;" });
    expect(await ending(world)).toBe("back");
    expect(readdirSync(world)).toContain("backup-1");
  });

  it("of two that are applied at the same time one fails: the other is ended, and both are undone", async () => {
    const world = newWorld();
    const { said, code } = await act("run", world, { TOY_FAIL_BESIDE: "1" });
    expect(code).toBe(4);
    expect(said).toMatchObject({ code: "DISK_FULL", outcome: "rolled_back" });
    const ended = said?.finished.filter(({ outcome }) => outcome === "failed").map(({ step, changes }) => [step, changes.join()]);
    expect(ended).toEqual([
      ["files", "no room"],
      ["database/load", expect.stringMatching(/sleep was ended by SIGTERM/)],
    ]);
    expect(await ending(world)).toBe("back");
  });

  it("what cannot be told once all is done is a warning, never a failure that says nothing was changed", async () => {
    const world = newWorld();
    const { said, code } = await act("run", world, { TOY_DATA_FAILS: "1" });
    expect([code, said?.code]).toEqual([0, undefined]);
    expect(said?.events).toContain("warning");
    expect(await ending(world)).toBe("complete");
  });

  it("--keep-failed leaves it for a look with exit 5, and abort puts it back", async () => {
    const world = newWorld();
    const kept = await act("run", world, { TOY_FAIL: "1", TOY_KEEP: "1" });
    expect(kept.code).toBe(5);
    expect(await served(world)).toBe("root old; blocked");
    expect((await act("abort", world)).code).toBe(0);
    expect(await ending(world)).toBe("back");
  });

  it("a journal of another version with other steps is refused by resume and undone by abort", async () => {
    const world = newWorld();
    await act("run", world, { PROVISION_TEST_KILL_AT: "60" });
    const refused = await act("resume", world, { TOY_VERSION: "2" });
    expect(refused.said).toMatchObject({ code: "PLAN_CHANGED" });
    expect((await act("abort", world, { TOY_VERSION: "2" })).code).toBe(0);
    expect(await ending(world)).toBe("back");
  });

  it("a dry run writes nothing and says what would change, also what is known later", async () => {
    const world = newWorld();
    const was = tree(world);
    const { said } = await act("dry-run", world);
    expect(tree(world)).toBe(was);
    expect(readdirSync(join(world, "state/operations"))).toEqual([]);
    expect(readdirSync(join(world, "state/locks"))).toEqual([]);
    expect(said?.finished.every(({ outcome }) => outcome === "would_change")).toBe(true);
  });
});
