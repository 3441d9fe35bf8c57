import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { PROJECT } from "../support/project.js";

/** Faults of Aegir 3 that were found by running it (M) and by reading it (W): each has a test that names it. */
const FAULTS = [...Array.from({ length: 19 }, (_, index) => `M${index + 1}`), ...Array.from({ length: 10 }, (_, index) => `W${index + 1}`)];

it("every fault that Aegir 3 had is named in the title of a test", () => {
  const titles = readdirSync(join(PROJECT, "test"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".test.ts") && !path.startsWith("unit/"))
    .flatMap((path) => readFileSync(join(PROJECT, "test", path), "utf8").match(/["'`][^"`\n]*\b[MW][0-9]{1,2}\b[^"`\n]*["'`],/g) ?? []);
  expect(titles.length).toBeGreaterThan(20);
  expect(FAULTS.filter((fault) => !titles.some((title) => new RegExp(`\\b${fault}\\b`).test(title)))).toEqual([]);
});
