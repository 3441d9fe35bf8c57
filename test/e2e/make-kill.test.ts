import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { treeHash } from "../../src/builds/tree-hash.js";
import { repository } from "../support/make-fixtures.js";
import { MakeRig } from "../support/make-rig.js";
import { start } from "../support/processes.js";

const provision = resolve(import.meta.dirname, "../../bin/provision.js");
const rig = new MakeRig();
beforeAll(async () => {
  await rig.start();
  rig.reset();
});
afterAll(() => rig.stop());

/** The same moments in every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

it("a build killed with SIGKILL at 20 moments leaves the target absent or whole, and a cache that the next build can use", async () => {
  const lines = ["core = 7.x", "api = 2"];
  for (const name of ["a", "b", "c"]) {
    const url = rig.tarball(
      name,
      Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`d${index % 7}/f${index}`, `${name}${index}`])),
    );
    const path = join(rig.work, `git/${name}`);
    repository(path, [{ files: { v: name, "x/y": name } }, { files: { v: `${name}2` } }]);
    lines.push(
      `projects[${name}][download][type] = get`,
      `projects[${name}][download][url] = ${url}`,
      `projects[g${name}][download][url] = ${path}`,
    );
  }
  rig.write({ "site.make": `${lines.join("\n")}\n` });
  const makefile = join(rig.work, "site.make");
  const build = (to: string, cache: string) =>
    start(process.execPath, [provision, "make", makefile, to, "--no-core"], {
      cwd: rig.work,
      env: { XDG_CACHE_HOME: join(rig.work, cache) },
    });
  const begun = performance.now();
  const whole = await build(join(rig.work, "whole"), "cache-whole").ended;
  let took = performance.now() - begun;
  expect(whole.stderr + whole.stdout).not.toMatch(/✖/);
  const expected = await treeHash(join(rig.work, "whole"));
  expect(expected).toBeDefined();
  const random = seeded(4);
  let killed = 0;
  for (let round = 0; round < 20; round++) {
    const to = join(rig.work, `killed${round}`);
    // every fifth round begins with an empty cache
    const cache = `cache${Math.floor(round / 5)}`;
    const start = performance.now();
    const { child, ended } = build(to, cache);
    let lasted = Number.POSITIVE_INFINITY;
    child.once("exit", () => {
      lasted = performance.now() - start;
    });
    await pause(took * (0.15 + 0.85 * random()));
    child.kill("SIGKILL");
    if ((await ended).signal === "SIGKILL") killed++;
    // It was done before: the next moments are earlier, however busy the machine is.
    else took = lasted;
    if (existsSync(to)) expect(await treeHash(to)).toBe(expected);
    if (round % 5 < 4) continue;
    const after = join(rig.work, `after${round}`);
    expect((await build(after, cache).ended).code).toBe(0);
    expect(await treeHash(after)).toBe(expected);
  }
  expect(killed).toBeGreaterThan(5);
  expect(readdirSync(rig.work).filter((name) => name.startsWith("after"))).toHaveLength(4);
}, 180_000);
