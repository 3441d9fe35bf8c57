import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import Module from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Script } from "node:vm";
import { afterEach, describe, expect, test } from "vitest";
import { PROJECT } from "../support/project.js";

const BUNDLE = join(PROJECT, "dist/program");
const PART = "part-abcdef12.cjs";

const made: string[] = [];
afterEach(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** A bundle of two files of its own; `start` runs its main.cjs and says what that answered, and what V8 made of the compiled code. */
function bundle() {
  const directory = mkdtempSync(join(tmpdir(), "provision-start-"));
  made.push(directory);
  const compiled = join(PROJECT, "dist/start/compiled.js");
  writeFileSync(join(directory, "main.cjs"), `console.log("answer", require("./${PART}").answer());\n`);
  writeFileSync(join(directory, PART), `exports.answer = () => [6, 7].reduce((a, b) => a * b);\n`);
  const first = `import { compiledIn, keepCompiled, runCompiled } from "${compiled}";`;
  const use = `runCompiled("${directory}", (name, script) => {
    console.log(name, script.cachedDataRejected);
    process.on("exit", () => process.argv[2] === "keep" && keepCompiled(compiledIn("${directory}"), name, script));
  });`;
  writeFileSync(join(directory, "start.mjs"), `${first}\n${use}\n`);
  const start = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(directory, "start.mjs"), ...args], { encoding: "utf8" });
    return `${status} ${stdout}${stderr}`;
  };
  const kept = () => join(directory, readdirSync(directory).find((name) => name.startsWith("compiled-")) ?? "none", PART);
  return { directory, start, kept };
}

describe("compiled code of the program", () => {
  test("is kept by one start, and taken by the next", () => {
    const { start } = bundle();
    expect(start("keep")).toBe(`0 ${PART} undefined\nanswer 42\n`);
    expect(start()).toBe(`0 ${PART} false\nanswer 42\n`);
  });

  test.each([
    ["cut off", (path: string) => truncateSync(path, 100)],
    ["empty", (path: string) => truncateSync(path, 0)],
    ["of something else", (path: string) => writeFileSync(path, "no code at all".repeat(100))],
  ])("that is %s is not taken: the program starts all the same", (_what, spoil) => {
    const { start, kept } = bundle();
    start("keep");
    spoil(kept());
    expect(start()).toBe(`0 ${PART} true\nanswer 42\n`);
  });

  test("that cannot be read is not taken", () => {
    const { start, kept } = bundle();
    start("keep");
    rmSync(kept());
    mkdirSync(kept());
    expect(start()).toBe(`0 ${PART} undefined\nanswer 42\n`);
  });

  test("was kept by the build, and is of this Node and of what was built", () => {
    const kept = join(BUNDLE, `compiled-${process.version}-${process.arch}`);
    const names = readdirSync(kept);
    expect(names.filter((name) => /^(?:cli|services|install|assemble)-/.test(name))).toHaveLength(4);
    for (const name of names) {
      const text = Module.wrap(readFileSync(join(BUNDLE, name), "utf8"));
      const script = new Script(text, { cachedData: readFileSync(join(kept, name)) });
      expect([name, script.cachedDataRejected]).toEqual([name, false]);
    }
  });
});
