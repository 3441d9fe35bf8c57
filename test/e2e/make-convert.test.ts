import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { run } from "../support/processes.js";
import { PROJECT } from "../support/project.js";

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "provision-make-convert-"));
  writeFileSync(join(work, "a.make"), "core = 7.x\napi = 2\nprojects[drupal][version] = 7.103\n");
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

const convert = (...args: readonly string[]) =>
  run(process.execPath, [join(PROJECT, "bin/provision.js"), "make-convert", ...args], { cwd: work, env: { PROVISION_HUB: undefined } });

const YAML = "core: 7.x\napi: '2'\nprojects:\n  drupal:\n    version: '7.103'\n";

it.each(["yml", "yaml"])("make-convert --format=%s prints the file, and nothing else, on standard output", async (format) => {
  expect(await convert("a.make", `--format=${format}`)).toMatchObject({ code: 0, stdout: YAML, stderr: "" });
  expect(await convert("a.make", "--format", format)).toMatchObject({ code: 0, stdout: YAML, stderr: "" });
});

it("without --format it is the other of INI and YAML", async () => {
  expect((await convert("a.make")).stdout).toBe(YAML);
});

it("--json is one document with the text in it, beside a --format of its own", async () => {
  const ended = await convert("a.make", "--format=yml", "--json");
  expect(JSON.parse(ended.stdout)).toMatchObject({ ok: true, data: { format: "yaml", text: YAML } });
});

it("--result-file is written whole; the same again is no change; another content needs --yes; --dry-run writes nothing", async () => {
  expect((await convert("a.make", "--result-file=new.yml", "--dry-run")).stderr).toContain("would change");
  expect(existsSync(join(work, "new.yml"))).toBe(false);
  expect((await convert("a.make", "--result-file=new.yml")).stderr).toContain("✔ changed");
  expect(readFileSync(join(work, "new.yml"), "utf8")).toBe(YAML);
  expect((await convert("a.make", "--result-file=new.yml")).stderr).toMatch(/1 ok, 0 changed/);
  writeFileSync(join(work, "new.yml"), "mine");
  const refused = await convert("a.make", "--result-file=new.yml");
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("new.yml is there already, with other content");
  expect(readFileSync(join(work, "new.yml"), "utf8")).toBe("mine");
  expect((await convert("a.make", "--result-file=new.yml", "--yes")).code).toBe(0);
  expect(readFileSync(join(work, "new.yml"), "utf8")).toBe(YAML);
});

it.each([
  [["nowhere.make"], 66, "there is no such file"],
  [["a.make", "--format=json"], 64, "--format=json is not one of make, yml, composer"],
  [["."], 1, "EISDIR"],
])("%j is refused", async (args, code, expected) => {
  const ended = await convert(...args);
  expect(ended.stderr).toContain(expected);
  expect(ended.code).toBe(code);
});
