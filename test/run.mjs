// Runs the suites named (default: all but bench) and ends with one line: N passed, N failed[, N skipped].
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const named = process.argv.slice(2);
const suites = named.length === 0 ? ["unit", "golden", "contract", "e2e", "regressions", "ssh", "real"] : named;
const bin = (name) => join("node_modules", ".bin", name);
let passed = 0;
let failed = 0;
let skipped = 0;

function check(title, program, args) {
  console.log(`== ${title}`);
  const { status } = spawnSync(program, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (status === 0) passed++;
  else {
    failed++;
    console.log(`FAILED: ${title}`);
  }
}

if (named.length === 0) {
  check("types", bin("tsc"), ["-p", "tsconfig.json"]);
  check("Biome", bin("biome"), ["check", "--error-on-warnings", "."]);
  check("knip", bin("knip"), []);
}

const tests = suites.filter((suite) => suite !== "bench");
if (tests.length > 0) {
  const report = join(tmpdir(), `provision-test-${process.pid}.json`);
  const { status } = spawnSync(
    bin("vitest"),
    [
      "run",
      "--config",
      "test/vitest.config.ts",
      "--root",
      ".",
      "--reporter=verbose",
      "--reporter=json",
      `--outputFile.json=${report}`,
      ...tests.map((suite) => `test/${suite}/`),
    ],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  let read = false;
  try {
    const result = JSON.parse(readFileSync(report, "utf8"));
    passed += result.numPassedTests;
    failed += result.numFailedTests;
    skipped += result.numPendingTests + (result.numTodoTests ?? 0);
    // A file that cannot be loaded has no test that failed.
    failed += result.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length;
    read = true;
  } catch {
    console.log("vitest left no report");
  }
  rmSync(report, { force: true });
  if (status !== 0 && (failed === 0 || !read)) failed++;
}
if (suites.includes("bench")) check("bench", process.execPath, ["test/bench/run.mjs"]);

console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
