import { describe, expect, test } from "vitest";
import { retained } from "../../../src/operations/parts/retention.js";

const at = (begun: string) => ({ id: begun, begun });
const days = (...names: readonly string[]) => names.map((name) => at(`${name}T02:00:00.000Z`));
const ids = (kept: ReadonlyMap<string, readonly string[]>) => [...kept.keys()].map((id) => id.slice(0, 10)).sort();

describe("retention", () => {
  test("the newest always stays, whatever the policy says", () => {
    const kept = retained(days("2026-01-01", "2025-01-01"), { daily: 0, weekly: 0, monthly: 0 });
    expect([...kept]).toEqual([["2026-01-01T02:00:00.000Z", ["the newest"]]]);
  });

  test("the newest of each of the last days, weeks and months that have one, and why", () => {
    const all = days("2026-11-23", "2026-11-22", "2026-11-21", "2026-11-16", "2026-11-15", "2026-10-31", "2026-10-01", "2026-09-30");
    const kept = retained(all, { daily: 2, weekly: 3, monthly: 3 });
    expect(Object.fromEntries([...kept].map(([id, why]) => [id.slice(0, 10), why]))).toEqual({
      "2026-11-23": ["the newest", "daily (2026-11-23)", "weekly (2026-W48)", "monthly (2026-11)"],
      "2026-11-22": ["daily (2026-11-22)", "weekly (2026-W47)"],
      "2026-11-15": ["weekly (2026-W46)"],
      "2026-10-31": ["monthly (2026-10)"],
      "2026-09-30": ["monthly (2026-09)"],
    });
  });

  test("of several on one day the last is the day's", () => {
    const kept = retained([at("2026-11-23T01:00:00.000Z"), at("2026-11-23T23:00:00.000Z"), at("2026-11-23T12:00:00.000Z")], {
      daily: 7,
      weekly: 0,
      monthly: 0,
    });
    expect([...kept.keys()]).toEqual(["2026-11-23T23:00:00.000Z"]);
  });

  test("a week belongs to the year that has its Thursday", () => {
    const kept = retained(days("2027-01-01", "2026-12-28", "2024-12-30", "2025-01-05"), { daily: 0, weekly: 9, monthly: 0 });
    expect([...kept.values()].flat().filter((why) => why.startsWith("weekly"))).toEqual(["weekly (2026-W53)", "weekly (2025-W01)"]);
    expect(ids(kept)).toEqual(["2025-01-05", "2027-01-01"]);
  });

  test("days without a backup do not count: a site that was not backed up for a year loses nothing", () => {
    const all = days("2025-03-05", "2025-03-04", "2025-03-03");
    expect(ids(retained(all, { daily: 7, weekly: 4, monthly: 12 }))).toHaveLength(3);
  });
});
