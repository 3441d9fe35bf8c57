import { describe, expect, it } from "vitest";
import { checkMakeFile } from "../../../src/builds/make/check.js";

const check = async (text: string, name = "a.make") =>
  (await checkMakeFile(`/m/${name}`, name, { readFile: async () => undefined }, { text })).diagnostics.map(
    ({ file, line, severity, message }) => `${file}${line === undefined ? "" : `:${line}`} ${severity} ${message}`,
  );

describe("make-check of files that are hardly text", () => {
  it.each([
    ["binary", "core = 7.x\n\0\0", "a.make:2 error there is a NUL byte here"],
    ["UTF-16", "c\0o\0r\0e\0 \0=\0", "a.make:1 error this looks like UTF-16: save the file as UTF-8"],
    ["a byte order mark", "\uFEFFcore = 7.x\napi = 2\n", "a.make:1 warning a byte order mark becomes part of the first key"],
    ["broken UTF-8", "core = 7.x\napi = 2\nprojects[\uFFFD][version] = 1\n", "a.make:3 warning there are bytes here that are not UTF-8"],
    ["CR only", "core = 7.x\rapi = 2\r", "a.make warning its lines end with CR alone"],
    ["merge conflict", "core = 7.x\n<<<<<<< HEAD\napi = 2\n=======\napi = 2\n>>>>>>> x\n", "a.make:2 warning a merge conflict was left"],
    ["tab", "core: 7.x\nprojects:\n\tviews: 3\n", "a.make:3 error a tab is used for indentation"],
    ["nothing", "", "a.make error this is neither an INI nor a YAML make file"],
  ])("%s", async (_, text, expected) => {
    expect((await check(text)).join("\n")).toContain(expected);
  });

  it("a byte order mark is not also called a wrong indentation", async () => {
    expect((await check("\uFEFFcore = 7.x\napi = 2\n")).join("\n")).not.toContain("indented");
  });

  it("a hundred thousand odd lines give a few hundred remarks and a count", async () => {
    const lines = await check(`core = 7.x\napi = 2\n${"nonsense ] here\n".repeat(100_000)}`);
    expect(lines.length).toBeLessThan(600);
    expect(lines.at(-1)).toContain("99500 more remarks of the kind ini/ignored-line");
  });

  it("CR as line ends is no remark in YAML, where drush reads it", async () => {
    expect(await check("core: 7.x\rapi: 2\rprojects:\r  drupal: {version: '7.103'}\r")).toEqual([]);
  });
});

describe("make-check says what a build would refuse", () => {
  it.each([
    ["projects[a][download][type] = gti\n", 'a: its download type "gti" is unknown (did you mean git?)'],
    ["projects[a][type] = modul\n", 'a: its type "modul" is refused'],
    ["projects[../a][version] = 1\n", "../a: its name is refused"],
    ["projects[a][patch][] = ftp://x/y\n", "a: the address"],
    ["libraries[a][download][type] = cvs\n", "a: drupal.org left CVS"],
  ])("%s", async (text, expected) => {
    expect((await check(`core = 7.x\napi = 2\nprojects[drupal][version] = 7.103\n${text}`)).join("\n")).toContain(
      `a.make:4 error ${expected}`,
    );
  });

  it("a part without a core is a warning, and none with --no-core", async () => {
    const text = "core = 7.x\napi = 2\nprojects[views][version] = 3.29\n";
    expect((await check(text)).join("\n")).toContain("a.make warning No core project specified: build it with --no-core");
    const noCore = await checkMakeFile("/m/a", "a", { readFile: async () => undefined }, { text, noCore: true });
    expect(noCore.diagnostics).toEqual([]);
    expect(noCore.plan?.["entries"]).toHaveLength(1);
  });

  it("two cores are an error", async () => {
    const text = "core = 7.x\napi = 2\nprojects[drupal][version] = 7.1\nprojects[x][type] = core\nprojects[x][version] = 1\n";
    expect((await check(text)).join("\n")).toContain("a.make error More than one core project specified: drupal, x.");
  });
});
