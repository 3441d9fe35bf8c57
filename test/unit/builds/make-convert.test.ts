import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { composerJson } from "../../../src/builds/make/composer-json.js";
import { convertNotation, lostIn } from "../../../src/builds/make/convert.js";
import { Diagnostics } from "../../../src/builds/make/diagnostic.js";
import { makeFromComposer } from "../../../src/builds/make/from-composer.js";
import { parseMakeFile } from "../../../src/builds/make/make-file.js";
import { iniText, yamlText } from "../../../src/builds/make/make-text.js";
import { encodeOrdered, type PhpArray } from "../../../src/builds/make/php-value.js";
import { readMakeFile } from "../../../src/builds/make/read.js";

const corpus = process.env["PROVISION_TEST_MAKE_CORPUS"] ?? resolve(import.meta.dirname, "../../../../shared/make-corpus");
const here = existsSync(join(corpus, "INDEX.json"));
const ordered = (text: string) => {
  const { parsed } = parseMakeFile(text, "x", new Diagnostics());
  parsed.delete("format");
  return encodeOrdered(parsed);
};

/** INI knows texts only. */
function numbersAsText(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if ("i" in value) return String(value.i);
  if ("f" in value) return value.f;
  const { a } = value as { a: [unknown, unknown][] };
  return { a: a.map(([key, inner]) => [key, numbersAsText(inner)]) };
}

describe.skipIf(!here)(
  `make-convert over the corpus${here ? "" : ` (SKIPPED: no corpus at ${corpus}; set PROVISION_TEST_MAKE_CORPUS)`}`,
  () => {
    it("every file that can be read says the same in the other notation and back, or the loss is a warning", () => {
      let same = 0;
      let warned = 0;
      let unreadable = 0;
      for (const name of readdirSync(join(corpus, "files")).sort()) {
        const text = readFileSync(join(corpus, "files", name), "utf8");
        let before: ReturnType<typeof parseMakeFile>;
        try {
          before = parseMakeFile(text, name, new Diagnostics());
        } catch {
          unreadable++;
          continue;
        }
        const to = before.format === "ini" ? "yaml" : "ini";
        const there = convertNotation(text, name, to);
        const lost = there.warnings.filter((warning) => !warning.includes("comment line"));
        if (lost.length > 0) {
          console.log(`${name}: ${lost.join("; ").slice(0, 300)}`);
          warned++;
          continue;
        }
        const back = convertNotation(there.text, name, before.format);
        expect(
          back.warnings.filter((warning) => !warning.includes("comment line")),
          name,
        ).toEqual([]);
        // What the file says with its versions as they are written.
        const written = before.format === "ini" ? ordered(text) : ordered(convertNotation(text, name, "yaml").text);
        expect(ordered(there.text), name).toEqual(before.format === "ini" ? written : numbersAsText(written));
        expect(ordered(back.text), name).toEqual(before.format === "ini" ? written : numbersAsText(written));
        same++;
      }
      console.log(`make-convert: ${same} corpus files say the same, ${warned} with a warning, ${unreadable} cannot be read`);
      expect(same).toBeGreaterThan(330);
    });
  },
);

describe("make-convert between INI and YAML", () => {
  it("values that look like numbers, words of YAML, quotes, backslashes and line ends stay what they are", () => {
    const values = [
      "3.10",
      "1e5",
      "true-ish",
      "yes",
      "2012-02-11",
      "it's",
      'say "x"',
      "a\\b\\",
      "two\nlines",
      "0755",
      "~",
      "- x",
      "#x",
      "*a",
      "",
    ];
    const yaml = `core: 7.x\napi: '2'\nprojects:\n  a:\n    lock:\n${values.map((value) => `      - ${JSON.stringify(value)}\n`).join("")}`;
    const ini = convertNotation(yaml, "a.yml", "ini");
    expect(ini.warnings).toEqual([]);
    expect(ordered(ini.text)).toEqual(ordered(yaml));
    const back = convertNotation(ini.text, "a.make", "yaml");
    expect(back.warnings).toEqual([]);
    expect(ordered(back.text)).toEqual(ordered(yaml));
  });

  it("a version that YAML readers take for a number is written as it stands", () => {
    const { text } = convertNotation("core: 7.x\napi: 2\nprojects:\n  views: 3.10\n  ctools: {version: 1.0}\n", "a.yml", "ini");
    expect(text).toBe('core = 7.x\napi = 2\n\nprojects[views] = "3.10"\n\nprojects[ctools][version] = "1.0"\n');
  });

  it("comments stay above what they stood above, and those above nothing are counted", () => {
    const { text, warnings } = convertNotation(
      "; The site\ncore = 7.x\napi = 2\n\n; Views\n; and more\nprojects[views][version] = 3.29\n; end\n",
      "a.make",
      "yaml",
    );
    expect(text).toBe("# The site\ncore: 7.x\napi: '2'\nprojects:\n  # Views\n  # and more\n  views:\n    version: '3.29'\n");
    expect(warnings).toEqual(["1 comment line is left out: it stands above no entry"]);
  });

  it.each([
    ["the text null", "core: 7.x\nprojects: {a: {lock: 'null'}}\n", 'projects[a][lock] was "null" and is read as null'],
    ["an empty map", "core: 7.x\nprojects: {drupal: {  }}\n", 'projects[drupal][version] = "" was not there before'],
    ["a bracket in a name", "core: 7.x\nprojects: {'a]b': {version: x}}\n", "projects = a list cannot be written"],
  ])("what INI cannot say is a warning: %s", (_, yaml, expected) => {
    expect(convertNotation(yaml, "a.yml", "ini").warnings.join("\n")).toContain(expected);
  });
});

const composer = async (text: string) => {
  const { document } = await readMakeFile("/m/a.make", { readFile: async () => undefined }, { text });
  const converted = composerJson(document as NonNullable<typeof document>, "/m/a.make");
  return { json: JSON.parse(converted.text), warnings: converted.warnings };
};

describe("make-convert to composer.json", () => {
  it("Drupal 7: releases, branches and tags of drupal.org become requirements; places as drush make has them", async () => {
    const { json, warnings } = await composer(`core = 7.x
api = 2
projects[drupal][version] = 7.103
defaults[projects][subdir] = contrib
projects[views][version] = 3.29
projects[ctools][version] = 1.x-dev
projects[token][download][type] = git
projects[token][download][tag] = 7.x-1.9
projects[media][download][branch] = 7.x-2.x
projects[media][download][revision] = abc1234
projects[own][subdir] = custom
projects[own][download][url] = https://git.example.org/own.git
projects[own][download][tag] = v1
projects[zen][type] = theme
projects[zen][version] = 5.6
libraries[ckeditor][download][type] = get
libraries[ckeditor][download][url] = https://example.org/ckeditor_4.zip
libraries[ckeditor][directory_name] = editor
`);
    expect(json.require).toEqual({
      "composer/installers": "^1.9 || ^2.0",
      "drupal/drupal": "^7.103",
      "drupal/views": "^3.29",
      "drupal/ctools": "1.x-dev",
      "drupal/token": "^1.9",
      "drupal/media": "2.x-dev#abc1234",
      "make-project/own": "dev-make",
      "drupal/zen": "^5.6",
      "make-library/editor": "dev-make",
    });
    expect(json.repositories.slice(1)).toMatchObject([
      { package: { name: "make-project/own", type: "drupal-module", source: { type: "git", reference: "v1" } } },
      { package: { name: "make-library/editor", type: "drupal-library", dist: { type: "zip" } } },
    ]);
    expect(json.extra["installer-paths"]).toMatchObject({
      "web/": ["type:drupal-core"],
      "web/sites/all/modules/custom/{$name}": ["make-project/own"],
      "web/sites/all/modules/contrib/{$name}": ["type:drupal-module"],
      "web/sites/all/themes/contrib/{$name}": ["type:drupal-theme"],
      "web/sites/all/libraries/{$name}": ["type:drupal-library"],
      "web/profiles/{$name}": ["type:drupal-profile"],
    });
    expect(warnings).toEqual([]);
  });

  it("Drupal 10: recommended core with its scaffolding, in web/", async () => {
    const { json } = await composer(
      "core: 10.x\napi: 2\nprojects:\n  drupal: {version: 10.2.1}\n  token: {version: '1.13', subdir: contrib}\n",
    );
    expect(json.require).toMatchObject({ "drupal/core-recommended": "^10.2.1", "drupal/core-composer-scaffold": "^10.2.1" });
    expect(json.extra["installer-paths"]).toMatchObject({
      "web/core": ["type:drupal-core"],
      "web/modules/contrib/{$name}": ["type:drupal-module"],
    });
    expect(json.extra["drupal-scaffold"]).toEqual({ locations: { "web-root": "web/" } });
    expect(json.config["allow-plugins"]).toEqual({ "composer/installers": true, "drupal/core-composer-scaffold": true });
  });

  it("patches are described by their key, their issue or their file; a failing one stops Composer", async () => {
    const { json } = await composer(`core = 7.x
api = 2
projects[drupal][version] = 7.103
projects[a][version] = 1.0
projects[a][patch][1234567] = https://www.drupal.org/files/issues/fix_the_thing-1234567-8.patch
projects[a][patch][Why not] = https://example.org/x.patch
projects[a][patch][] = patches/local-fix.patch
projects[a][patch][] = https://github.com/o/r/commit/b20a0f17a9a90365479bd73b5a78288a76e5b726.patch
`);
    expect(json.extra.patches["drupal/a"]).toEqual({
      "Issue #1234567: fix the thing": "https://www.drupal.org/files/issues/fix_the_thing-1234567-8.patch",
      "Why not": "https://example.org/x.patch",
      "local fix": "patches/local-fix.patch",
      "Commit b20a0f17a9a9": "https://github.com/o/r/commit/b20a0f17a9a90365479bd73b5a78288a76e5b726.patch",
    });
    expect(json.extra["composer-exit-on-patch-failure"]).toBe(true);
  });

  it("no core, no version, no revision: a warning each", async () => {
    const { warnings } = await composer(
      "core = 7.x\napi = 2\nprojects[] = views\nprojects[x][download][url] = https://example.org/x.git\n",
    );
    expect(warnings.join("\n")).toMatch(/no core.*\nx names no tag.*\nviews names no version/);
  });
});

describe("make-convert from Composer", () => {
  const lock = JSON.stringify({
    "content-hash": "x",
    packages: [
      { name: "drupal/core", type: "drupal-core", version: "10.2.1" },
      { name: "drupal/core-recommended", type: "metapackage", version: "10.2.1" },
      {
        name: "drupal/token",
        type: "drupal-module",
        version: "1.13.0",
        source: { type: "git", url: "https://git.drupalcode.org/project/token.git", reference: "8.x-1.13" },
      },
      { name: "drupal/gin", type: "drupal-theme", version: "3.0.1", source: { type: "git", url: "u", reference: "3.0.1" } },
      {
        name: "drupal/own",
        type: "drupal-module",
        version: "dev-main",
        source: { type: "git", url: "https://example.org/own.git", reference: "abc" },
      },
      { name: "a/slick", type: "drupal-library", version: "1.8.1", dist: { type: "zip", url: "https://example.org/slick.zip" } },
      { name: "symfony/console", type: "library", version: "v6.4.0" },
    ],
  });

  it("composer.lock gives exact versions; packages of PHP are counted in a warning; patches come from composer.json", () => {
    const json = JSON.stringify({ extra: { patches: { "drupal/token": { "Issue #1: x": "https://example.org/1.patch" } } } });
    const { document, warnings } = makeFromComposer(json, lock, "composer.lock");
    expect(yamlText(document)).toBe(`core: 10.x
api: 2
projects:
  drupal:
    type: core
    version: '10.2.1'
  token:
    version: 8.x-1.13
    patch:
      'Issue #1: x': https://example.org/1.patch
  gin:
    type: theme
    version: '3.0.1'
  own:
    download:
      type: git
      url: https://example.org/own.git
      branch: main
      revision: abc
libraries:
  slick:
    download:
      type: file
      url: https://example.org/slick.zip
`);
    expect(warnings).toEqual(["1 package that is no part of Drupal is left out: a make file builds no vendor directory"]);
    expect(lostIn(document, iniText(document), "ini")).toEqual([]);
  });

  it("composer.json alone gives the lowest version of each requirement, with a warning", () => {
    const { document, warnings } = makeFromComposer(
      '{"require": {"drupal/drupal": "^7.103", "drupal/views": "3.29", "php": ">=8"}}',
      undefined,
      "composer.json",
    );
    expect(iniText(document)).toContain('projects[views][version] = "3.29"');
    expect(warnings).toEqual(["drupal/drupal: ^7.103 is taken as 7.103: there is no composer.lock to say which it is"]);
  });

  it.each([
    ["{", "is no JSON"],
    ["[1]", "is no JSON object"],
    ['{"require": {"symfony/console": "^6"}}', "names no Drupal core"],
  ])("%s is refused", (json, expected) => {
    expect(() => makeFromComposer(json, undefined, "composer.json")).toThrow(expected);
  });
});

describe.skipIf(!here)("make-convert of the corpus to Composer and back", () => {
  it("every file that can be built gives a composer.json with all of its projects under names that Composer takes", async () => {
    let converted = 0;
    for (const name of readdirSync(join(corpus, "files")).sort()) {
      const text = readFileSync(join(corpus, "files", name), "utf8");
      const { document } = await readMakeFile(`/m/${name}`, { readFile: async () => "core = 7.x\n" }, { text });
      if (!document) continue;
      const json = JSON.parse(composerJson(document, `/m/${name}`).text);
      for (const required of Object.keys(json.require))
        expect(required, name).toMatch(/^[a-z0-9]([_.-]?[a-z0-9]+)*\/[a-z0-9](([_.]|-{1,2})?[a-z0-9]+)*$/);
      const core = json.require["drupal/drupal"] ?? json.require["drupal/core"] ?? json.require["drupal/core-recommended"];
      if (/\d/.test(core ?? "")) {
        const again = makeFromComposer(JSON.stringify(json), undefined, name).document;
        expect(lostIn(again, yamlText(again), "yaml"), name).toEqual([]);
        const wanted = Object.keys(json.require).filter((each) => /^drupal\/(?!drupal$|core$|core-)/.test(each));
        expect((again.get("projects") as PhpArray).size, name).toBe(wanted.length + 1);
      }
      converted++;
    }
    console.log(`make-convert: ${converted} corpus files converted to Composer`);
    expect(converted).toBeGreaterThan(300);
  });
});
