import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Journal, readJournal } from "../../../src/core/journal.js";
import { OperationsDirectory } from "../../../src/core/operations.js";

let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), "provision-journal-"));
});
afterEach(() => rmSync(state, { recursive: true, force: true }));

const id = "20261123T091500-7f3a";
const open = {
  t: "open",
  format: 1,
  provision: "1",
  id,
  command: "install",
  target: "@a",
  user: "u",
  locks: [{ kind: "site", name: "@a", mode: "exclusive" }],
  inputs: {},
  steps: ["a", "b"],
} as const;

describe("a journal", () => {
  it("forgets a torn last line, and goes on after the last whole one", () => {
    const journal = new Journal(state, join(state, "reserve"));
    journal.add(open, { t: "ok", step: "a" });
    journal.close();
    appendFileSync(join(state, "journal.jsonl"), '{"at":"2026","t":"intent","step":"b","und');
    const again = new Journal(state, join(state, "reserve"));
    expect(again.records.map((record) => record.t)).toEqual(["open", "ok"]);
    again.add({ t: "intent", step: "b", title: "B", undo: [] });
    again.close();
    expect(readJournal(state).records.map((record) => record.t)).toEqual(["open", "ok", "intent"]);
  });

  it("knows what stands: done and unfinished steps, not those undone", () => {
    const journal = new Journal(state, join(state, "reserve"));
    journal.add(
      open,
      { t: "intent", step: "a", title: "A", undo: [{ do: "x", host: "local" }] },
      { t: "done", step: "a", out: 7, changes: ["a"] },
      { t: "intent", step: "b", title: "B", undo: [] },
    );
    expect([...journal.standing.keys()]).toEqual(["a", "b"]);
    expect(journal.outs().get("a")).toBe(7);
    journal.add({ t: "undoing", until: "a" }, { t: "undone", step: "b" });
    expect(journal.undoing).toBe("a");
    journal.add({ t: "undone", step: "a" });
    expect(journal.undoing).toBeUndefined();
    expect(journal.standing.size).toBe(0);
    journal.add({ t: "undoing", until: null }, { t: "undone", step: "a" });
    expect(journal.undoing).toBeNull();
    journal.close();
  });
});

describe("the operations of a hub", () => {
  it("an open operation whose process is gone is interrupted, on the contexts it had exclusively", () => {
    const operations = new OperationsDirectory(state);
    const marker = operations.begin(id);
    const journal = new Journal(operations.directory(id), operations.reserve);
    journal.add({ ...open, locks: [...open.locks, { kind: "platform", name: "@p", mode: "shared" }] });
    journal.close();
    expect(operations.read(id).state).toBe("running");
    expect(operations.interrupted(["@a"])).toEqual([]);
    marker.end();
    expect(operations.read(id).state).toBe("interrupted");
    expect(operations.interrupted(["@a"]).map((summary) => summary.id)).toEqual([id]);
    expect(operations.interrupted(["@p", "@b"])).toEqual([]);
  });

  it("one that was killed before its journal began never was", () => {
    const operations = new OperationsDirectory(state);
    operations.begin(id).end();
    expect(operations.interrupted(["@a"])).toEqual([]);
    expect(existsSync(operations.directory(id))).toBe(false);
    expect(operations.open()).toEqual([]);
  });

  it("an id may be given by its end, when only one ends so", () => {
    const operations = new OperationsDirectory(state);
    const begin = (known: string) => {
      operations.begin(known).end();
      const journal = new Journal(operations.directory(known), operations.reserve);
      journal.add(open);
      journal.close();
    };
    begin(id);
    begin("20261123T091501-0001");
    expect(operations.resolve("7f3a")).toBe(id);
    expect(() => operations.resolve("ffff")).toThrow(/no operation ffff/);
    begin("20261124T091501-0001");
    expect(() => operations.resolve("0001")).toThrow(/end of 2 operations/);
  });

  it("finishing takes the before-images and the marker away, and fills the reserve again", () => {
    const operations = new OperationsDirectory(state);
    const marker = operations.begin(id);
    const journal = new Journal(operations.directory(id), operations.reserve);
    writeFileSync(join(operations.directory(id), "before", "x"), "secret");
    journal.close();
    operations.finish(id);
    marker.end();
    expect(existsSync(join(operations.directory(id), "before"))).toBe(false);
    expect(readFileSync(operations.reserve).length).toBe(1 << 20);
  });
});
