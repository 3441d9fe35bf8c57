import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { PROJECT } from "../support/project.js";
import { withParts } from "../support/readme.js";

const path = join(PROJECT, "README.md");

it("the README's tables of commands, exit codes and contexts are those of the code (UPDATE_README=1 writes them)", () => {
  const readme = readFileSync(path, "utf8");
  if (process.env["UPDATE_README"] === "1") writeFileSync(path, withParts(readme));
  else expect(readme).toBe(withParts(readme));
});
