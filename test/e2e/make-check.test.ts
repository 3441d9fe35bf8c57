import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../support/processes.js";
import { PROJECT } from "../support/project.js";

const corpus = process.env["PROVISION_TEST_MAKE_CORPUS"] ?? resolve(import.meta.dirname, "../../../shared/make-corpus");
const here = existsSync(join(corpus, "INDEX.json"));

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "provision-make-check-"));
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

const check = (args: readonly string[], input?: string) =>
  run(process.execPath, [join(PROJECT, "bin/provision.js"), "make-check", ...args], {
    cwd: work,
    env: { PROVISION_HUB: undefined },
    ...(input === undefined ? {} : { input }),
  });
const write = (name: string, text: string) => writeFileSync(join(work, name), text);
const GOOD = "core = 7.x\napi = 2\nprojects[drupal][version] = 7.103\n";

describe("make-check", () => {
  it("a file without remarks: exit 0, nothing on standard output, without any hub", async () => {
    write("good.make", GOOD);
    const ended = await check(["good.make"]);
    expect(ended).toMatchObject({ code: 0, stdout: "", stderr: "1 file: 0 errors, 0 warnings\n" });
  });

  it("remarks are `file:line:column severity text`; warnings alone exit 0, with --strict 6", async () => {
    write("odd.make", `${GOOD}# views\nprojects[views][version] = 3.29\n`);
    const ended = await check(["odd.make"]);
    expect(ended.code).toBe(0);
    expect(ended.stdout).toMatch(/^odd\.make:4:1 warning "# views" is no comment to drush: .*\n$/);
    expect((await check(["odd.make", "--strict"])).code).toBe(6);
  });

  it("a file that cannot be built: exit 6, the reason with its place; the others are checked too", async () => {
    write("good.make", GOOD);
    write("broken.make", `${GOOD}projects[x][download][type] = gti\n`);
    const ended = await check(["broken.make", "good.make"]);
    expect(ended.code).toBe(6);
    expect(ended.stdout).toMatch(/^broken\.make:4:1 error x: its download type "gti" is unknown \(did you mean git\?\)/);
    expect(ended.stderr).toContain("2 files: 1 error, 0 warnings; broken.make cannot be built");
  });

  it("standard input is called -", async () => {
    const ended = await check(["-", "--json"], "core: 7.x\napi: 2\nprojects: {drupal: {version: 7.10}}\n");
    const { ok, data } = JSON.parse(ended.stdout);
    expect(ok).toBe(true);
    expect(data.files[0]).toMatchObject({ file: "-", format: "yaml", diagnostics: [{ file: "-", line: 3, severity: "warning" }] });
  });

  it("missing, a directory, binary: ordered null, plan null and a remark; exit 6", async () => {
    const ended = await check(["nowhere.make", ".", process.execPath, "--json"]);
    const result = JSON.parse(ended.stdout);
    expect(ended.code).toBe(6);
    expect(result).toMatchObject({ exit: 6, error: { code: "PROBLEMS_FOUND" } });
    expect(result.data.files).toMatchObject([
      { file: "nowhere.make", format: null, ordered: null, plan: null, diagnostics: [{ code: "file/missing", severity: "error" }] },
      { file: ".", ordered: null, diagnostics: [{ code: "file/unreadable", message: "this is a directory; name a make file in it" }] },
      { file: process.execPath, ordered: null, diagnostics: [{ code: "file/binary" }] },
    ]);
  });

  it("ten megabytes of noise are refused or read within the time of a test, and say little", async () => {
    write("huge.make", `${GOOD}${"x ] y\n".repeat(1_700_000)}`);
    const ended = await check(["huge.make"]);
    expect(ended.code).toBe(0);
    expect(ended.stdout.split("\n").length).toBeLessThan(600);
  });

  it("a URL is refused: nothing is fetched", async () => {
    expect((await check(["https://example.org/x.make"])).code).toBe(64);
  });

  it("no file at all is a usage error", async () => {
    expect((await check([])).code).toBe(64);
  });
});

describe.skipIf(!here)(
  `make-check over the corpus${here ? "" : ` (SKIPPED: no corpus at ${corpus}; set PROVISION_TEST_MAKE_CORPUS)`}`,
  () => {
    it("one document; `ordered` and `plan` of every file as drush has them, refused are those drush cannot read, too", async () => {
      const names = readdirSync(join(corpus, "files")).sort();
      const ended = await check([...names.map((name) => join(corpus, "files", name)), "--json"]);
      expect(ended.code).toBe(6);
      const files: { file: string; ordered: unknown; plan: unknown; diagnostics: { severity: string }[] }[] = JSON.parse(ended.stdout).data
        .files;
      let equal = 0;
      files.forEach((file, index) => {
        const expected = JSON.parse(readFileSync(join(corpus, "expected", `${names[index]}.json`), "utf8"));
        expect(file.ordered, names[index]).toEqual(expected.ordered);
        expect(file.plan, names[index]).toEqual(expected.plan ?? null);
        if (expected.ordered === null || expected.plan === undefined)
          expect(
            file.diagnostics.some(({ severity }) => severity === "error"),
            names[index],
          ).toBe(true);
        equal++;
      });
      console.log(`make-check: ${equal} of ${names.length} corpus files have drush's parse and plan`);
      expect(equal).toBe(names.length);
    });

    it.each(["AegirCoop__aegirproject.com__platform.make", "GetDKAN__dkan__drupal-org@f441aa6.make"])(
      "the exit code is right for %s",
      async (name) => {
        const bad = JSON.parse(readFileSync(join(corpus, "expected", `${name}.json`), "utf8")).ordered === null;
        expect((await check([join(corpus, "files", name)])).code).toBe(bad ? 6 : 0);
      },
    );
  },
);
