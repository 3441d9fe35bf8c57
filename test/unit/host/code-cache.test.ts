import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { Scope } from "../../../src/core/scope.js";
import { makeCodeCache } from "../../../src/host/code-cache.js";
import { LocalHost } from "../../../src/host/local.js";

it("several sites installed at once make one directory of compiled code", async () => {
  const base = mkdtempSync(join(tmpdir(), "provision-code-cache-"));
  onTestFinished(() => rmSync(base, { recursive: true, force: true }));
  const directory = join(base, "compiled");
  const host = new LocalHost(new Scope());
  await Promise.all(Array.from({ length: 5 }, () => makeCodeCache(host, directory, join(base, "locks"))));
  expect(existsSync(join(directory, "except"))).toBe(true);
  expect(readdirSync(directory)).toEqual(["except"]);
});
