import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Scope } from "../../../src/core/scope.js";
import { LocalHost } from "../../../src/host/local.js";
import { configurationIn } from "../../../src/operations/parts/unpack.js";

let base: string;
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "provision-configuration-"));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

const tree = (name: string, ...files: readonly string[]) => {
  for (const file of files) {
    mkdirSync(join(base, name, dirname(file)), { recursive: true });
    writeFileSync(join(base, name, file), "");
  }
  return join(base, name);
};

it.each([
  ["Aegir's own place", ["private/config/sync/system.site.yml"], ["sync"], [{ name: "sync", from: "private/config/sync" }]],
  [
    "among the files, where an installer hides it, when Aegir's own is empty",
    ["private/config/sync/.htaccess", "files/config_aB3/sync/system.site.yml"],
    ["sync"],
    [{ name: "sync", from: "files/config_aB3/sync" }],
  ],
  [
    "Backdrop's two",
    ["files/config_0f/active/system.core.json", "files/config_0f/staging/x.json"],
    ["active", "staging"],
    [
      { name: "active", from: "files/config_0f/active" },
      { name: "staging", from: "files/config_0f/staging" },
    ],
  ],
  ["none for Drupal 7", ["files/config_0f/active/system.core.json"], [], []],
] as const)("configuration in a tarball of Aegir: %s", async (name, files, names, wanted) => {
  expect(await configurationIn(new LocalHost(new Scope()), tree(name, ...files), names)).toEqual(wanted);
});
