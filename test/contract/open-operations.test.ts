import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeStateDirectories } from "../../src/core/engine.js";
import { OperationsDirectory } from "../../src/core/operations.js";
import { PROJECT } from "../support/project.js";

describe("operations that begin while others look", () => {
  let state: string;
  beforeEach(() => {
    state = mkdtempSync(join(tmpdir(), "provision-open-"));
    makeStateDirectories(state);
  });
  afterEach(() => rmSync(state, { recursive: true, force: true }));

  it("are never taken for ones that were killed before they began, nor refused", async () => {
    const module = JSON.stringify(join(PROJECT, "dist/core/operations.js"));
    const script = `const { OperationsDirectory } = await import(${module}); const d = new OperationsDirectory(${JSON.stringify(state)}); console.log("ready"); for (;;) d.interrupted(["@a"]);`;
    const readers = [1, 2].map(() =>
      spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] }),
    );
    try {
      await Promise.all(readers.map((reader) => new Promise((resolve) => reader.stdout.once("data", resolve))));
      const operations = new OperationsDirectory(state);
      // Each of another name, as random ones are: one that is used again may be put away by who still reads of the first.
      for (let n = 0; n < 40; n++) {
        const id = operations.newId(new Date(), n.toString(16).padStart(4, "0").padEnd(8, "f"));
        const marker = operations.begin(id);
        await new Promise((resolve) => setTimeout(resolve, 5));
        expect(existsSync(operations.directory(id)), `operation ${n}`).toBe(true);
        expect(readdirSync(join(state, "open")), `operation ${n}`).toEqual([id]);
        operations.finish(id);
        marker.end();
      }
    } finally {
      for (const reader of readers) reader.kill("SIGKILL");
    }
  });
});
