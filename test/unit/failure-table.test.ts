import { describe, expect, it } from "vitest";
import { ProvisionError } from "../../src/core/errors.js";
import { resultOf } from "../../src/core/result.js";
import { errorLines } from "../../src/reporters/text.js";

const failures = [
  {
    entry: "jquery",
    type: "library",
    source: "https://code.example/jquery.zip",
    reason: "Unable to download from https://code.example/jquery.zip: the server answers 404 Not Found",
  },
  {
    entry: "views",
    type: "module",
    source: "https://git.example/views.git",
    reason: "Unable to check out from https://git.example/views.git/x: tag 9.9",
  },
];
const error = new ProvisionError("BUILD_FAILED", "site.make: 2 of 7 entries could not be built", {
  failures,
  why: ["and more"],
  state: "nothing was put in place",
});
const subject = { command: "make", target: "site.make" };
const lines = (width?: number) => errorLines(subject, error, [], { color: false, verbosity: 0, ...(width === undefined ? {} : { width }) });

describe("several failures in one piece of work", () => {
  it("are one aligned table, off a terminal one line for each however long", () => {
    expect(lines()).toEqual([
      "✖ make site.make: site.make: 2 of 7 entries could not be built",
      "  Why   entry   type     source                           reason",
      "        jquery  library  https://code.example/jquery.zip  Unable to download: the server answers 404 Not Found",
      "        views   module   https://git.example/views.git    Unable to check out from https://git.example/views.git/x: tag 9.9",
      "        and more",
      "  Now   nothing was put in place",
    ]);
  });

  it("in a terminal the reason is broken inside its column", () => {
    expect(lines(92).slice(1, 6)).toEqual([
      "  Why   entry   type     source                           reason",
      "        jquery  library  https://code.example/jquery.zip  Unable to download: the server",
      "                                                          answers 404 Not Found",
      "        views   module   https://git.example/views.git    Unable to check out from",
      "                                                          https://git.example/views.git/x:",
    ]);
  });

  it("and in a narrow one stands below the others; no line is wider than the terminal", () => {
    const narrow = lines(60);
    expect(narrow.slice(1, 6)).toEqual([
      "  Why   entry   type     source",
      "            reason",
      "        jquery  library  https://code.example/jquery.zip",
      "            Unable to download: the server answers 404 Not",
      "            Found",
    ]);
    expect(Math.max(...narrow.slice(1).map((line) => line.length))).toBeLessThanOrEqual(60);
  });

  it("are objects in the document, beside a line for each in `why`; and are kept when more is said", () => {
    const more = error.with({ why: ["the roll-back stopped"], failures: [{ entry: "x", type: "", source: "", reason: "y" }] });
    const result = resultOf(subject, [{ type: "failed", error: more, outcome: "failed", exit: 1 }]);
    expect(result.error?.failures).toEqual([...failures, { entry: "x", type: "", source: "", reason: "y" }]);
    expect(result.error?.why).toEqual([
      ...failures.map(({ entry, reason }) => `${entry}: ${reason}`),
      "x: y",
      "and more",
      "the roll-back stopped",
    ]);
    expect(
      resultOf(subject, [{ type: "failed", error: new ProvisionError("FAILED", "x"), outcome: "failed", exit: 1 }]).error,
    ).not.toHaveProperty("failures");
  });
});
