import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { Diagnostics } from "../../../src/builds/make/diagnostic.js";
import { normalizeProjects, validate } from "../../../src/builds/make/document.js";
import { readMerged } from "../../../src/builds/make/includes.js";
import { parseIni } from "../../../src/builds/make/ini.js";
import { parseMakeFile } from "../../../src/builds/make/make-file.js";
import { encodeOrdered } from "../../../src/builds/make/php-value.js";
import { encodePlan, planOf } from "../../../src/builds/make/plan.js";
import { readMakeFile } from "../../../src/builds/make/read.js";
import { chooseRelease, parseReleaseHistory } from "../../../src/builds/make/release-history.js";
import { parseYaml, YamlError } from "../../../src/builds/make/yaml.js";
import { ProvisionError } from "../../../src/core/errors.js";

/**
 * Real make files and what drush's own functions make of them (reference/make.md 6). The corpus is not part of the
 * repository: name it with PROVISION_TEST_MAKE_CORPUS, or have it beside the repository as shared/make-corpus.
 */
const corpus = process.env["PROVISION_TEST_MAKE_CORPUS"] ?? resolve(import.meta.dirname, "../../../../shared/make-corpus");
const here = existsSync(join(corpus, "INDEX.json"));

/** Where we read otherwise than drush, by name, each with its reason. The test fails for a name that is not needed here. */
const DIFFER: Readonly<Record<string, string>> = {
  "ini-probe const": "PHP_VERSION_ID is the version of the PHP that drush ran on; we have none",
  "yaml-probe block": "drush 8 dies of block scalars on PHP 8 (abs() of a string), a fault of old code; we read them",
};

const json = (path: string) => JSON.parse(readFileSync(path, "utf8"));
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null));
const text = { readText: async (path: string) => (existsSync(path) ? readFileSync(path, "utf8") : undefined) };
const host = { readFile: text.readText };

describe.skipIf(!here)(`make corpus${here ? "" : ` (SKIPPED: no corpus at ${corpus}; set PROVISION_TEST_MAKE_CORPUS)`}`, () => {
  const differing: string[] = [];
  const compare = (name: string, checks: readonly (readonly [string, unknown, unknown])[]) => {
    const wrong = checks.filter(([, actual, expected]) => JSON.stringify(plain(actual)) !== JSON.stringify(expected ?? null));
    if (wrong.length > 0) differing.push(name);
    if (Object.hasOwn(DIFFER, name)) return;
    for (const [what, actual, expected] of wrong) expect(plain(actual), `${name}: ${what}`).toEqual(expected ?? null);
    expect(
      wrong.map(([what]) => what),
      `${name}: order of keys`,
    ).toEqual([]);
  };

  const names = here ? readdirSync(join(corpus, "files")).sort() : [];

  it.each(names)("file %s is read, validated and planned as drush does", async (name) => {
    const expected = json(join(corpus, "expected", `${name}.json`));
    const file = join(corpus, "files", name);
    // includes are a matter of the cases below
    const alone = await readMakeFile(file, host);
    const own = ownDocument(readFileSync(file, "utf8"), file);
    const plan = own.validated && planOf(own.validated);
    compare(name, [
      ["parse error", alone.ordered === null, expected.parseError !== null],
      ["format", alone.format, expected.format],
      ["ordered", alone.ordered, expected.ordered],
      ["validated", own.parsed ? (own.validated ? encodeOrdered(own.validated) : false) : undefined, expected.validated],
      ["plan", plan && encodePlan(plan), expected.plan],
      [
        "plan without core",
        plan?.problem?.code === "MAKE_NO_CORE" && own.validated ? encodePlan(planOf(own.validated, { noCore: true })) : undefined,
        expected.planNoCore,
      ],
    ]);
  });

  it("INI probes", () => {
    for (const { name, input, result } of json(join(corpus, "_ini-probes.json"))) {
      const parsed = parseIni(input, "probe", new Diagnostics());
      compare(`ini-probe ${name}`, [["ordered", parsed && encodeOrdered(parsed), result]]);
    }
  });

  it("YAML probes", () => {
    for (const { name, input, result } of json(join(corpus, "_yaml-probes.json"))) {
      compare(`yaml-probe ${name}`, [["ordered", yamlProbe(input), typeof result?.error === "string" ? "refused" : result]]);
    }
  });

  const cases = here
    ? readdirSync(join(corpus, "includes")).flatMap((directory) =>
        readdirSync(join(corpus, "includes", directory))
          .filter((file) => file.startsWith("expected"))
          .map((file) => ({ name: `${directory} ${file}`, directory: join(corpus, "includes", directory), file })),
      )
    : [];

  it.each(cases)("includes $name", async ({ name, directory, file }) => {
    const expected = json(join(directory, file));
    const main = find(directory, expected.main);
    const list = (value: string | undefined) => (value === undefined ? [] : value.split(","));
    const options = { includes: list(expected.options.includes), overrides: list(expected.options.overrides) };
    const { merged } = await readMerged({ file: main, text: readFileSync(main, "utf8") }, text, new Diagnostics(), options);
    const before = encodeOrdered(merged);
    const validated = validate(merged, main, new Diagnostics(), "drush");
    compare(name, [
      ["merged", before, expected.merged],
      ["validated", validated ? encodeOrdered(validated) : false, expected.validated],
      ["plan", validated && encodePlan(planOf(validated)), expected.plan],
    ]);
  });

  it("release history: every request gets the release that drush takes", () => {
    const expected = json(join(corpus, "release-history", "expected.json"));
    for (const [name, fixture] of Object.entries<{ valid: boolean; type?: string; select?: Record<string, string | false> }>(expected)) {
      const history = parseReleaseHistory(readFileSync(join(corpus, "release-history", `${name}.xml`), "utf8"), name);
      compare(`release-history ${name}`, [
        ["valid", history.error === undefined, fixture.valid],
        ["type", history.type, fixture.type],
        ...Object.entries(fixture.select ?? {}).map(([request, release]) => {
          const chosen = chooseRelease(history, request === "(none)" ? undefined : request);
          return [request, chosen?.version ?? false, release] as const;
        }),
      ]);
    }
  });

  it("the list of differences is no longer than needed", () => {
    expect(Object.keys(DIFFER).sort()).toEqual([...new Set(differing)].sort());
  });

  it("the largest file is parsed and planned in well under 50 ms", async () => {
    const largest = names
      .map((name) => join(corpus, "files", name))
      .reduce((a, b) => (readFileSync(a).length >= readFileSync(b).length ? a : b));
    const once = async () => {
      const started = performance.now();
      const { document } = await readMakeFile(largest, host);
      if (document) planOf(document);
      return performance.now() - started;
    };
    const times = [await once(), await once(), await once()];
    expect(Math.min(...times)).toBeLessThan(50);
  });
});

function ownDocument(source: string, file: string) {
  try {
    const { parsed } = parseMakeFile(source, file, new Diagnostics());
    parsed.delete("includes");
    parsed.delete("overrides");
    normalizeProjects(parsed);
    return { parsed, validated: validate(parsed, file, new Diagnostics(), "drush") };
  } catch (error) {
    if (error instanceof ProvisionError) return { parsed: undefined, validated: undefined };
    throw error;
  }
}

function yamlProbe(input: string): unknown {
  try {
    return encodeOrdered(parseYaml(input, "probe", new Diagnostics()));
  } catch (error) {
    if (error instanceof YamlError) return "refused";
    throw error;
  }
}

/** The cases keep the directories of their repositories. */
function find(directory: string, name: string): string {
  const found = readdirSync(directory, { recursive: true, encoding: "utf8" }).find((path) => path === name || path.endsWith(`/${name}`));
  return join(directory, found ?? name);
}
