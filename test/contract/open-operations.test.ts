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

  it("and are of this process are known to live without any program being asked: a fleet has a hundred of them", () => {
    const operations = new OperationsDirectory(state);
    const begun = [0, 1].map((n) => operations.begin(operations.newId(new Date(), `${n}`.repeat(8))));
    const path = process.env["PATH"];
    try {
      process.env["PATH"] = state;
      expect(new OperationsDirectory(state).interrupted(["@a"])).toEqual([]);
      // Who is no more of this process is asked for by flock, which is not to be found.
      begun[0]?.end();
      expect(() => operations.interrupted(["@a"])).toThrow("flock");
    } finally {
      process.env["PATH"] = path;
      begun[1]?.end();
    }
  });

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
