import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { EXHAUSTIVE } from "../support/kill-walk.js";
import { archive, temporaryDirectory, treeOf, writeFiles } from "../support/make-fixtures.js";
import { type Ended, inParallel, run } from "../support/processes.js";
import { PROJECT } from "../support/project.js";

let base: string;
let before: string;
let complete: string;
let points = 0;

const make = (file: string, into: string, env: Record<string, string> = {}): Promise<Ended> =>
  run(process.execPath, [join(PROJECT, "bin/provision.js"), "make", join(base, file), into, "--no-core"], {
    cwd: base,
    env: { XDG_CACHE_HOME: join(base, "cache"), ...env },
  });
/** A build that was killed before it moved anything leaves its own directory, which harms nobody. */
const tree = (directory: string) =>
  treeOf(directory)
    .filter((line) => !line.startsWith(".there.building-"))
    .join("\n");
const copied = (name: string) => {
  const into = join(base, name, "there");
  cpSync(join(base, "origin"), into, { recursive: true, preserveTimestamps: true });
  return into;
};

beforeAll(async () => {
  base = temporaryDirectory();
  const entry = (name: string, version: number) =>
    `projects[${name}][download][type] = get\nprojects[${name}][download][url] = ${name}${version}.tar.gz\n`;
  for (const [name, version] of [
    ["a", 1],
    ["b", 1],
    ["a", 2],
    ["b", 2],
    ["c", 2],
  ] as const)
    writeFileSync(join(base, `${name}${version}.tar.gz`), archive("tar.gz", name, { v: `${name}${version}`, "sub/x": "x" }));
  const head = "core = 7.x\napi = 2\n";
  writeFileSync(join(base, "one.make"), head + entry("a", 1) + entry("b", 1));
  writeFileSync(join(base, "two.make"), head + entry("a", 2) + entry("b", 2) + entry("c", 2));
  writeFileSync(join(base, "broken.make"), head + entry("gone", 1));
  writeFiles(join(base, "origin"), { "index.php": "mine", "sites/all/modules/own/v": "mine" });
  expect((await make("one.make", join(base, "origin"))).code).toBe(0);
  before = tree(join(base, "origin"));
  const whole = copied("whole");
  const count = join(base, "count");
  expect((await make("two.make", whole, { PROVISION_TEST_KILL_AT: "0", PROVISION_TEST_KILL_COUNT: count })).code).toBe(0);
  complete = tree(whole);
  ({ points } = JSON.parse(readFileSync(count, "utf8")));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** Out: whether something had to be put back or finished; throws when what comes out is neither old nor new. */
async function walk(point: number): Promise<"nothing" | "put back" | "finished"> {
  const into = copied(`k${point}`);
  const killed = await make("two.make", into, { PROVISION_TEST_KILL_AT: String(point) });
  expect(killed.signal, `point ${point}`).toBe("SIGKILL");
  const moves = readdirSync(into).some((name) => existsSync(join(into, name, "moves.json")));
  // Also when the next build fails, what the killed one had moved is not left beside.
  const next = await make("broken.make", into);
  expect(next.code).toBe(1);
  const now = tree(into);
  expect([before, complete], `point ${point}: neither old nor new`).toContain(now);
  expect(next.stderr.includes("an earlier build was killed while it put things into"), `point ${point}`).toBe(moves);
  expect(readdirSync(into).filter((name) => existsSync(join(into, name, "former")) && existsSync(join(into, name, "moves.json")))).toEqual(
    [],
  );
  const again = await make("two.make", into);
  expect([again.code, tree(into)], `point ${point}`).toEqual([0, complete]);
  return !moves ? "nothing" : now === before ? "put back" : "finished";
}

it("a build into a directory that is there, killed between two places, is put back or finished by the next run, which says so", async () => {
  const all = Array.from({ length: points }, (_, index) => index + 1);
  // The moves are the last points: 2 for each of two places that were there, 1 for the new one, and what is written around them.
  const chosen = EXHAUSTIVE ? all : all.slice(-11);
  const ends = await inParallel(chosen, 2, walk);
  expect(new Set(ends)).toEqual(new Set(["nothing", "put back", "finished"]));
  expect(ends.filter((end) => end === "put back").length).toBeGreaterThanOrEqual(5);
}, 240_000);

it("--dry-run says what it would put back; what was changed after the kill is not thrown away", async () => {
  const dry = copied("dry");
  let point = points;
  // the last point at which only some places were in place
  for (let found = false; !found; point--) {
    rmSync(dry, { recursive: true });
    copied("dry");
    await make("two.make", dry, { PROVISION_TEST_KILL_AT: String(point) });
    found = readFileSync(join(dry, "sites/all/modules/a/v"), "utf8") === "a2" && !existsSync(join(dry, "sites/all/modules/c"));
  }
  const looked = tree(dry);
  const said = await run(process.execPath, [
    join(PROJECT, "bin/provision.js"),
    "make",
    join(base, "one.make"),
    dry,
    "--no-core",
    "--dry-run",
  ]);
  expect(said.stderr).toMatch(/sites\/all\/modules\/a, \S+, \S+ would be put back as before it/);
  expect(tree(dry)).toBe(looked);
  writeFileSync(join(dry, "sites/all/modules/a/v"), "edited");
  const refused = await make("one.make", dry);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("was changed since a build that was killed put it there")]);
  expect(readFileSync(join(dry, "sites/all/modules/a/v"), "utf8")).toBe("edited");
}, 120_000);
