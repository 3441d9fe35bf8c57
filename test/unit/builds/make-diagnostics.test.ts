import { describe, expect, it } from "vitest";
import { diagnosticLine } from "../../../src/builds/make/diagnostic.js";
import { encodePlan, planOf } from "../../../src/builds/make/plan.js";
import { readMakeFile } from "../../../src/builds/make/read.js";

const read = (text: string, files: Readonly<Record<string, string>> = {}) =>
  readMakeFile("/m/site.make", { readFile: async (path) => files[path] }, { text });

const REMARKS: readonly (readonly [string, string, string])[] = [
  [
    "a # that is no comment",
    "# views\nprojects[views][version] = 3.0\n",
    'site.make:3:1: "# views" is no comment to drush: it becomes part of the key on the next line, so that projects[views][version] is not set',
  ],
  [
    "a line without =",
    'projects[a][version] "1.10"\n\nprojects[b][version] = 1\n',
    'site.make:3:1: "projects[a][version] \\"1.10\\"" is no entry to drush',
  ],
  [
    "a comment after a value",
    "projects[a][version] = 1.0 ; stable\n",
    'site.make:3:24: there are no comments after a value: it is read as "1.0 ; stable"',
  ],
  ["a comment after quotes", 'projects[a][version] = "1.0" ; stable\n', "site.make:3:24: there are no comments after a value"],
  ["a semicolon at the end", "projects[a][download][type] = git;\n", 'the semicolon is read as part of the value: "git;"'],
  [
    "an empty value that takes the next line",
    "projects[a][version] =\nprojects[b][version] = 1\n",
    'projects[a][version] has no value on its line: drush takes "projects[b][version] = 1" from line 4',
  ],
  ["a quote that is not closed", 'projects[a][version] = "1.0\n', "the quotes are read as part of the value"],
  ["a space in a key", "projects [a] = 1\n", 'site.make:3:1: the key is read as "projects [a]", with its space'],
  ["quotes in a key", 'projects["a"][version] = 1\n', "the key is read with its quotes"],
  ["brackets that do not fit", "projects[a]] = 1\n", "site.make:3:1: drush passes over this line: projects[a]] = 1"],
  [
    "a version replaced by a subdir",
    "projects[a] = 1.0\nprojects[a][subdir] = contrib\n",
    'site.make:4:1: projects[a][subdir] replaces projects[a] = "1.0" given before, which is lost; write that one as projects[a][version]',
  ],
  [
    "all replaced by a version",
    "projects[a][subdir] = contrib\nprojects[a] = 1.0\n",
    "site.make:4:1: projects[a] replaces all that was given under it before",
  ],
  [
    "[] that hits a number",
    "projects[a][patch][1] = x\nprojects[a][patch][] = y\n",
    "`[]` takes the number of elements (1) as its key and replaces what stands there",
  ],
  [
    "the same key twice",
    "projects[a][version] = 1\nprojects[a][version] = 2\n",
    'site.make:4:1: projects[a][version] was "1"; the later value counts',
  ],
  ["an unknown key at the top", "projcts[a][version] = 1\n", 'site.make:3:1: drush passes over "projcts"; did you mean projects?'],
  [
    "a key of a download beside it",
    "libraries[a][filename] = x\n",
    'site.make:3:26: drush passes over "filename" of a; it belongs under download: download: {filename: …}',
  ],
  [
    "a key of a library by another name",
    "libraries[a][directory] = x\n",
    'site.make:3:27: drush passes over "directory" of a; did you mean directory_name?',
  ],
  [
    "an unknown key of a download",
    "projects[a][download][working_copy] = 1\n",
    'site.make:3:39: drush passes over "working_copy" in the download of a; did you mean working-copy?',
  ],
  ["an unknown key", "projects[a][verison] = 1\n", 'site.make:3:24: drush passes over "verison" of a; did you mean version?'],
  ["a branch beside download", "projects[a][branch] = 7.x-1.x\n", "it belongs under download"],
  ["defaults for nothing", "defaults[libraries][destination] = x\n", "site.make:3:1: Unknown attribute 'libraries' in defaults array"],
];

describe("remarks on INI make files say what drush reads", () => {
  it.each(REMARKS)("%s", async (_, text, expected) => {
    const made = await read(`core = 7.x\napi = 2\n${text}`);
    expect(made.diagnostics.map(diagnosticLine).join("\n")).toContain(expected);
    expect(made.ordered).not.toBeNull();
  });

  it("a file without quirks has none", async () => {
    const made = await read(
      '; site\ncore = 7.x\napi = 2\n\n; modules\nprojects[] = views\nprojects[ctools][version] = "1.10"\nprojects[ctools][patch][] = http://example.org/a?b=c\n',
    );
    expect(made.diagnostics).toEqual([]);
  });
});

describe("remarks on YAML make files", () => {
  it("versions are built as written, and the remark names what drush would have fetched", async () => {
    const made = await read(
      "core: 7.x\napi: 2\nprojects:\n  views: 3.10\n  ctools:\n    version: 1.0\n    download: {tag: 1e5, revision: 0123}\n",
    );
    const lines = made.diagnostics.map(diagnosticLine);
    for (const expected of [
      "site.make:4:10: version 3.10 is built as written; drush would have fetched 3.1",
      "site.make:6:14: version 1.0 ",
      "tag 1e5 is built as written; drush would have fetched 100000",
      "revision 0123 is built as written; drush would have fetched 83",
    ]) {
      expect(lines.join("\n")).toContain(expected);
    }
    expect(JSON.stringify(made.ordered)).toContain('["views",{"f":"3.1"}]');
    const [views, ctools] = planOf(made.document as NonNullable<typeof made.document>, { noCore: true }).entries;
    expect(views?.version).toBe("3.10");
    expect(ctools?.version).toBe("1.0");
    expect(ctools?.download.get("tag")).toBe("1e5");
    const drush = encodePlan(planOf(made.drushDocument as NonNullable<typeof made.drushDocument>, { noCore: true }));
    expect(JSON.stringify(drush)).toContain('7.x-3.1"');
  });

  it("the first of two equal keys counts, and both lines are named", async () => {
    const made = await read("core: 7.x\napi: 2\nprojects:\n  views: '3.1'\n  views: '3.2'\n");
    expect(made.diagnostics.map(diagnosticLine)).toEqual([
      "/m/site.make:5:3: views is given twice; drush takes the first, on line 4: remove one of them",
    ]);
    expect(planOf(made.document as NonNullable<typeof made.document>, { noCore: true }).entries[0]?.version).toBe("3.1");
  });

  it("an empty map is a project of any version, null and false take one out", async () => {
    const made = await read("core: 7.x\napi: 2\nprojects: {drupal: {  }, views: ~, ctools: false}\n");
    expect(planOf(made.document as NonNullable<typeof made.document>).entries.map((entry) => entry.name)).toEqual(["drupal"]);
  });

  it("block scalars are read", async () => {
    const made = await read(
      "core: 7.x\napi: 2\nprojects:\n  a:\n    lock: |\n      one\n      two\n    version: '1'\n  b:\n    lock: >-\n      one\n      two\n",
    );
    expect(JSON.stringify(made.ordered)).toContain('["lock","one\\ntwo\\n"]');
    expect(JSON.stringify(made.ordered)).toContain('["lock","one two"]');
  });

  it.each([
    ["tab", "core: 7.x\nprojects:\n  a:\n\tversion: 1\n", "/m/site.make:4:1: a tab is used for indentation"],
    ["deeper line", "core: 7.x\napi: 2\n  version: 1\n", "/m/site.make:3:3: this line is indented deeper"],
    ["merge conflict", "core: 7.x\n<<<<<<< HEAD\napi: 2\n", "/m/site.make:2:1: a merge conflict was left in the file: <<<<<<< HEAD"],
    ["open quote", "core: 7.x\napi: '2\n", "/m/site.make:2:1: a quote is not closed"],
    ["open brace", "core: 7.x\nprojects: {a: 1\n", "/m/site.make:2:1: a bracket is not closed"],
    ["list in map", "core: 7.x\n- a\n", "/m/site.make:2:1: a list item stands among the keys of a map"],
    ["nothing", "", "/m/site.make: this is neither an INI nor a YAML make file"],
  ])("cannot be read: %s", async (_, text, expected) => {
    const made = await read(text);
    expect(made.ordered).toBeNull();
    expect(made.document).toBeUndefined();
    expect(made.diagnostics.map(diagnosticLine).join("\n")).toContain(expected);
  });
});

describe("includes", () => {
  it("paths start at the file that includes; a cycle and a missing file are errors with their place", async () => {
    const made = await read("core = 7.x\napi = 2\nincludes[] = sub/a.make\n", {
      "/m/sub/a.make": "core = 7.x\nincludes[] = b.make\n",
      "/m/sub/b.make": "core = 7.x\nincludes[] = a.make\nincludes[] = c.make\n",
    });
    const lines = made.diagnostics.map(diagnosticLine);
    expect(lines).toContain(
      "/m/sub/b.make:2:14: /m/sub/a.make includes itself: /m/site.make → /m/sub/a.make → /m/sub/b.make → /m/sub/a.make",
    );
    expect(lines).toContain("/m/sub/b.make:3:14: Include file missing: c.make");
    expect(made.document).toBeUndefined();
  });

  it("what is elsewhere is left out, with a remark, when nothing may be fetched", async () => {
    const made = await read(
      "core = 7.x\napi = 2\nincludes[] = http://example.org/x.make\nincludes[g][makefile] = y.make\nincludes[g][download][url] = http://example.org/y.git\n",
    );
    expect(made.diagnostics.map(({ code, severity }) => `${severity} ${code}`)).toEqual([
      "warning include/not-read",
      "warning include/not-read",
    ]);
    expect(made.document).toBeDefined();
  });
});

describe("core", () => {
  it.each([
    ["7", "7.x", "sites/all"],
    ["7.34", "7.x", "sites/all"],
    ["8.0.1", "8.x", ""],
    ["10.2.x", "10.x", ""],
    ["6.x", "6.x", "sites/all"],
  ])("%s is the family %s", async (given, family, base) => {
    const { document } = await read(`core = ${given}\napi = 2\nprojects[] = drupal\n`);
    expect(document?.get("core")).toBe(family);
    expect(planOf(document as NonNullable<typeof document>).contribDestination).toBe(base);
  });

  it.each(["x", "7.x-dev", "seven"])("%s is refused", async (given) => {
    const made = await read(`core = ${given}\napi = 2\nprojects[] = drupal\n`);
    expect(made.diagnostics.map(diagnosticLine).join()).toContain(`site.make:1:8: The 'core' attribute ${given} has an incorrect format`);
  });
});

it.each([
  ["empty lines", "core = 7.x\napi = 2\n", "\n", "projects[] = a\n"],
  ["empty lines in YAML", "core: 7.x\napi: 2\n", "\n", "projects:\n  a: ~\n"],
  ["white space before a core", "", " \t\r\n", "core = 7.x\nprojects[] = a\n"],
])("200,000 %s take no longer than 200,000 other lines: nothing is gone through twice", async (_, before, line, after) => {
  const { document } = await read(`${before}${line.repeat(200_000)}${after}`);
  expect(document?.has("projects")).toBe(true);
});
