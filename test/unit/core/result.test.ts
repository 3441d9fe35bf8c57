import { describe, expect, it } from "vitest";
import { ProvisionError } from "../../../src/core/errors.js";
import type { Event } from "../../../src/core/events.js";
import { resultOf, resultsOf } from "../../../src/core/result.js";

const subject = { command: "migrate", target: "@example.com" };
const finished = (step: string, outcome: Extract<Event, { type: "finished" }>["outcome"], changes: readonly string[] = []): Event => ({
  type: "finished",
  step,
  title: `Title of ${step}`,
  outcome,
  changes,
  ms: 1,
});

describe("the result of a command", () => {
  it("is ok with exit 0 when every step was already so", () => {
    expect(resultOf(subject, [finished("a", "ok"), { type: "ended", ms: 5 }])).toMatchObject({
      ok: true,
      exit: 0,
      outcome: "ok",
      duration_ms: 5,
      counts: { ok: 1, changed: 0 },
    });
  });

  it("is changed when one step changed something, and names the operation", () => {
    const events: Event[] = [
      { type: "opened", operation: "20261123T091500-7f3a" },
      finished("a", "ok"),
      finished("b", "changed", ["update x"]),
    ];
    expect(resultOf(subject, events)).toMatchObject({
      outcome: "changed",
      operation: "20261123T091500-7f3a",
      steps: [{ id: "a" }, { id: "b", changes: ["update x"] }],
    });
  });

  it("shows a step that was undone once, as undone", () => {
    expect(resultOf(subject, [finished("a", "changed"), finished("a", "undone")])).toMatchObject({
      counts: { changed: 0, undone: 1 },
      steps: [{ outcome: "undone" }],
    });
  });

  it("carries the failure's code, reasons, state and next commands, and its exit code", () => {
    const error = new ProvisionError("UPDATEDB_FAILED", "u1 failed", {
      why: ["SQL"],
      state: "as before",
      next: ["provision operations log 1"],
    });
    expect(resultOf(subject, [{ type: "failed", error, outcome: "rolled_back", exit: 4 }])).toMatchObject({
      ok: false,
      exit: 4,
      outcome: "rolled_back",
      error: { code: "UPDATEDB_FAILED", message: "u1 failed", why: ["SQL"], state: "as before", next: ["provision operations log 1"] },
    });
  });

  it("says that nothing was changed when the failure says nothing of the state", () => {
    const error = new ProvisionError("USAGE", "no");
    expect(resultOf(subject, [{ type: "failed", error, outcome: "failed", exit: 64 }]).error?.state).toBe("nothing was changed");
  });

  it("puts data that comes in parts together, and leaves out what there is none of", () => {
    const result = resultOf({ command: "list", target: undefined }, [
      { type: "data", data: { a: 1 } },
      { type: "data", data: { b: 2 } },
    ]);
    expect(result.data).toEqual({ a: 1, b: 2 });
    expect(Object.keys(result)).toEqual(["schema", "ok", "exit", "command", "outcome", "counts", "steps", "data", "duration_ms"]);
  });
});

describe("the results of several targets", () => {
  const of = (exit: number) => {
    const events: Event[] = exit === 0 ? [] : [{ type: "failed", error: new ProvisionError("FAILED", "x"), outcome: "failed", exit }];
    return resultOf(subject, events);
  };
  it("is exit 0 when all are done, 3 when some failed, 5 when one of them needs a person", () => {
    expect([resultsOf([of(0), of(0)]).exit, resultsOf([of(0), of(64)]).exit, resultsOf([of(1), of(5), of(0)]).exit]).toEqual([0, 3, 5]);
  });
});
