import { mkdir } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { findHub } from "../../../src/context/find-hub.js";
import { loadHub } from "../../../src/context/hub.js";
import { failureOf, hubOf } from "../../support/context-hub.js";

const standard = "/nowhere/aegir";

describe("the hub is found", () => {
  test("by --hub, before PROVISION_HUB, before the nearest parent, before the standard place", async () => {
    const [a, b, c] = await Promise.all([hubOf(), hubOf(), hubOf()]);
    const inner = `${c.root}/platforms/d7/sites`;
    await mkdir(inner, { recursive: true });
    expect(await findHub({ hub: a.root, env: { PROVISION_HUB: b.root }, cwd: inner, standard })).toBe(a.root);
    expect(await findHub({ env: { PROVISION_HUB: b.root }, cwd: inner, standard })).toBe(b.root);
    expect(await findHub({ env: {}, cwd: inner, standard })).toBe(c.root);
    expect(await findHub({ env: { PROVISION_HUB: "" }, cwd: "/", standard: c.root })).toBe(c.root);
    expect(await findHub({ hub: "..", env: {}, cwd: `${c.root}/platforms`, standard })).toBe(c.root);
  });

  test.each([
    ["--hub", { hub: "/nowhere", env: {} }, "--hub names /nowhere, which has no provision.yml"],
    ["an empty --hub", { hub: "", env: {} }, "--hub names /, which has no provision.yml"],
    ["PROVISION_HUB", { env: { PROVISION_HUB: "/nowhere" } }, "PROVISION_HUB names /nowhere, which has no provision.yml"],
    ["nothing", { env: {} }, "there is no hub here: no provision.yml in /, above it or in /nowhere/aegir"],
  ])("or not, by %s: exit 78, naming init", async (_, where, message) => {
    const error = await failureOf(() => findHub({ ...where, cwd: "/", standard }));
    expect(error).toMatchObject({ code: "HUB_NOT_FOUND", exit: 78, message });
    expect(error.next[0]).toMatch(/^provision init /);
  });
});

describe("provision.yml", () => {
  test("may be empty", async () => {
    expect((await hubOf({ "provision.yml": "# mine\n" })).settings).toEqual({
      client: "admin",
      keep_old: 7,
      journals: 90,
      files_copy: "copy",
      mirrors: {},
      retention: { daily: 7, weekly: 4, monthly: 12 },
    });
  });

  test("says of retention what differs", async () => {
    const { settings } = await hubOf({ "provision.yml": "retention:\n  daily: 30\n  monthly: 0\n" });
    expect(settings.retention).toEqual({ daily: 30, weekly: 4, monthly: 0 });
  });

  test("holds mirrors", async () => {
    const { settings } = await hubOf({ "provision.yml": "mirrors:\n  https://a.b/c/: mirror\n  https://d.e/: https://f.g/\n" });
    expect(settings.mirrors).toEqual({ "https://a.b/c/": "mirror", "https://d.e/": "https://f.g/" });
  });

  test.each([
    ["an unknown key", "clent: a\n", ":1:1 clent is not a property of a hub; did you mean client?"],
    ["a client that is none", "client: A\n", /^:1:9 client "A" may hold/],
    [
      "a mirror that leaves the hub",
      "mirrors:\n  https://a.b/: ../x\n",
      ':2:17 mirrors["https://a.b/"] "../x" may not hold ..; for example mirror/ftp.drupal.org',
    ],
    ["a mirror of no URL", "mirrors:\n  a.b: x\n", ':2:3 mirrors["a.b"] is not the beginning of a URL'],
    [
      "a mirror twice",
      "mirrors:\n  https://a.b/: x\n  https://a.b/: y\n",
      ':3:3 "https://a.b/" was given on line 2 already; keep one of the two',
    ],
    ["retention that is no number", "retention:\n  daily: many\n", /^:2:10 retention\["daily"\] wants a whole number, not "many"/],
    ["retention below nothing", "retention:\n  daily: -1\n", /^:2:10 retention\["daily"\] -1 is less than 0/],
    ["retention of what it does not know", "retention:\n  yearly: 1\n", /retention .*does not know "yearly"/],
    ["a list", "mirrors: [a]\n", /^:1:10 mirrors wants keys with values, not a list/],
  ])("is refused with its place: %s", async (_, text, message) => {
    const { root } = await hubOf();
    const broken = hubOf({ "provision.yml": text });
    const error = await failureOf(() => broken);
    expect(error).toMatchObject({ code: "INVALID_FILE", exit: 65 });
    const rest = error.message.replace(/^.*provision\.yml/, "");
    if (typeof message === "string") expect(rest).toBe(message);
    else expect(rest).toMatch(message);
    expect(await failureOf(() => loadHub(`${root}/nothing`))).toMatchObject({ code: "HUB_NOT_FOUND" });
  });
});
