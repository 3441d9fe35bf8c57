import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { didYouMean, ProvisionError } from "../../../src/core/errors.js";
import { reveal, Secret } from "../../../src/core/secret.js";

describe("a secret", () => {
  const secret = new Secret("hunter2");
  it.each([
    ["text", `${secret}`],
    ["JSON", JSON.stringify({ password: secret })],
    ["inspection", inspect({ password: secret })],
    ["an error", new ProvisionError("FAILED", `login with ${secret}`).message],
  ])("is *** in %s", (_where, shown) => {
    expect(shown).not.toContain("hunter2");
    expect(shown).toContain("***");
  });
  it("is itself only where it is revealed", () => {
    expect([reveal(secret), reveal("plain")]).toEqual(["hunter2", "plain"]);
  });
});

describe("did you mean", () => {
  it.each([
    ["verfy", "verify"],
    ["instal", "install"],
    ["plattforms", "platforms"],
  ])("%s: %s", (word, meant) => {
    expect(didYouMean(word, ["verify", "install", "platforms", "delete"])).toBe(meant);
  });
  it("says nothing when nothing is near", () => {
    expect(didYouMean("xyzzy", ["verify", "install"])).toBeUndefined();
  });
});

describe("an error", () => {
  it("keeps what it says of the state when more is said about it", () => {
    const error = new ProvisionError("FAILED", "x", { state: "half", why: ["a"] }).with({ state: "other", why: ["b"], next: ["c"] });
    expect([error.state, error.why, error.next, error.code, error.exit]).toEqual(["half", ["a", "b"], ["c"], "FAILED", 1]);
  });
});
