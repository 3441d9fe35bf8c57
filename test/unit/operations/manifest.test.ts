import { describe, expect, test } from "vitest";
import type { ProvisionError } from "../../../src/core/errors.js";
import { type Manifest, manifestText, readManifest } from "../../../src/operations/parts/manifest.js";

const sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const manifest: Manifest = {
  schema: "provision/backup@1",
  id: "20261123T091500-7f3a",
  uri: "example.com",
  site: "@example.com",
  reason: "backup",
  description: null,
  begun: "2026-11-23T09:15:00.000Z",
  ended: "2026-11-23T09:15:02.000Z",
  provision: "0.1.0",
  full: false,
  engine: "drupal7",
  core: "7.99",
  generation: "20261101T091500-7f3a",
  profile: "standard",
  root: "/hub/sites/example.com/20261101T091500-7f3a",
  url: "http://example.com",
  database: { type: "sqlite", part: "database.sqlite.zst", structure_only: ["cache"], rows: { node: [1, 2] } },
  parts: ["database.sqlite.zst", "files.tar.zst", "site.tar.zst"].map((name) => ({ name, bytes: 1, sha256 })),
  vanished: [],
  changed: [],
  extensions: [{ name: "system", type: "module", version: "7.99", schema: 7084 }],
  extensions_unknown: null,
  context: { context_type: "site", uri: "example.com" },
  platform: { name: "@platform_d7" },
  build: null,
};

function refused(text: string): ProvisionError {
  try {
    readManifest(text, "manifest.json");
  } catch (error) {
    return error as ProvisionError;
  }
  throw new Error("it was taken");
}

describe("a manifest", () => {
  test("is read as it was written", () => {
    expect(readManifest(manifestText(manifest), "manifest.json")).toEqual(manifest);
  });

  test.each([
    ["cut off", (text: string) => text.slice(0, -20), /JSON/],
    ["another byte", (text: string) => text.replace('"core": "7.99"', '"core": "7.98"'), /its sum is another/],
    ["another sum", (text: string) => text.replace(/"sum": "./, '"sum": "x'), /its sum is another/],
    ["a part with a path", (text: string) => text.replaceAll("site.tar.zst", "../site.tar.zst"), /parts\.2\.name/],
    ["of a later version", (text: string) => text.replace("backup@1", "backup@9"), /provision\/backup@9, which this version does not know/],
    ["nothing", () => "{}", /schema/],
    ["a list", () => "[]", /schema/],
  ])("that is damaged is refused: %s", (_, damage, why) => {
    const error = refused(damage(manifestText(manifest)));
    expect([error.code, error.why.join("\n")]).toEqual(["REFUSED", expect.stringMatching(why)]);
  });
});
