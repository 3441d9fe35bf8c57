import { afterEach, describe, expect, it, vi } from "vitest";
import { Scope } from "../../../src/core/scope.js";
import { watch } from "../../../src/host/ending.js";

describe("a program that is watched", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("is told to end, and ten seconds later made to", () => {
    vi.useFakeTimers();
    const sent: string[] = [];
    watch(new Scope(), (signal) => sent.push(signal), undefined).terminate();
    expect(sent).toEqual(["SIGTERM"]);
    vi.advanceTimersByTime(10_000);
    expect(sent).toEqual(["SIGTERM", "SIGKILL"]);
  });

  it("is sent nothing when it is over, whoever asks: its number may be another's; and no timer holds this process up", () => {
    vi.useFakeTimers();
    const sent: string[] = [];
    const watched = watch(new Scope(), (signal) => sent.push(signal), 1000);
    watched.done();
    watched.terminate();
    expect([sent, vi.getTimerCount()]).toEqual([[], 0]);
  });
});
