import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { PROJECT } from "../support/project.js";

/**
 * Imports go inward only (DESIGN 7): core ← context, host ← steps ← services, engines, builds ← operations ← commands ← cli ← main,
 * and reporters import core alone. Each folder or file of src, and those it may import beside itself.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  context: ["core"],
  host: ["core"],
  steps: ["core", "context", "host"],
  services: ["core", "context", "host", "steps"],
  engines: ["core", "context", "host", "steps"],
  builds: ["core", "context", "host", "steps"],
  operations: ["core", "context", "host", "steps", "services", "engines", "builds"],
  reporters: ["core"],
  commands: ["core", "context", "host", "operations"],
  "cli.ts": ["core", "commands"],
  "main.ts": ["core", "reporters", "cli.ts"],
  start: ["core", "host"],
};

interface Import {
  /** Relative to src. */
  readonly from: string;
  readonly line: number;
  /** As written. */
  readonly specifier: string;
  /** Relative to src; undefined for a package. */
  readonly to: string | undefined;
  /** static: loaded with the file; type: gone after compiling; dynamic: loaded when that line runs. */
  readonly kind: "static" | "type" | "dynamic";
}

const SRC = join(PROJECT, "src");

/** Every import of one file: statements, re-exports, `import()` and import types. */
function importsOf(file: string, text: string): readonly Import[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true);
  const found: Import[] = [];
  const add = (node: ts.Node, literal: ts.Node | undefined, kind: Import["kind"]) => {
    if (!literal || !ts.isStringLiteralLike(literal)) throw new Error(`${file}: an import whose name is not written out`);
    const specifier = literal.text;
    const to = specifier.startsWith(".") ? relative(SRC, resolve(SRC, dirname(file), specifier)).replace(/\.js$/, ".ts") : undefined;
    found.push({ from: file, line: source.getLineAndCharacterOfPosition(node.getStart()).line + 1, specifier, to, kind });
  };
  const allTypes = (elements: readonly { readonly isTypeOnly: boolean }[] | undefined) =>
    elements !== undefined && elements.length > 0 && elements.every(({ isTypeOnly }) => isTypeOnly);
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      const { importClause: clause } = node;
      const named = clause?.namedBindings && ts.isNamedImports(clause.namedBindings) ? clause.namedBindings.elements : undefined;
      const type = clause?.isTypeOnly === true || (clause !== undefined && clause.name === undefined && allTypes(named));
      add(node, node.moduleSpecifier, type ? "type" : "static");
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
      const named = node.exportClause && ts.isNamedExports(node.exportClause) ? node.exportClause.elements : undefined;
      add(node, node.moduleSpecifier, node.isTypeOnly || allTypes(named) ? "type" : "static");
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node, node.arguments[0], "dynamic");
    else if (ts.isImportTypeNode(node)) add(node, ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, "type");
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
const imports = files.flatMap((file) => importsOf(file, readFileSync(join(SRC, file), "utf8")));

/** Folder of a path below src, or the file itself. */
const place = (path: string) => path.split("/")[0] ?? path;
const say = ({ from, line, specifier, kind }: Import) => `src/${from}:${line} imports ${specifier} (${kind})`;
const own = (all: readonly Import[]) => all.filter((one): one is Import & { to: string } => one.to !== undefined);
const packages = (all: readonly Import[]) => all.filter(({ to }) => to === undefined);

/** What breaks a rule of the house, one line each. */
function violations(all: readonly Import[]): readonly string[] {
  const outward = own(all).filter(({ from, to }) => place(from) !== place(to) && !MAY_IMPORT[place(from)]?.includes(place(to)));
  // services/http/php and services/db/sqlite are two services; services/http/service.ts is the interface of one kind.
  const service = (path: string) => /^services\/([^/]+)\//.exec(path)?.[1];
  const engine = (path: string) => /^engines\/([^/]+)\//.exec(path)?.[1];
  const neighbours = own(all).filter(
    ({ from, to }) =>
      (service(from) !== undefined && service(to) !== undefined && service(from) !== service(to)) ||
      (engine(from) !== undefined && engine(to) !== undefined && engine(from) !== engine(to)),
  );
  // A command's code is loaded when it runs: its operation is not loaded for --help. A file of commands/ that is itself only loaded so may load it.
  const asked = (path: string, how: Import["kind"]) => own(imports).some(({ to, kind }) => to === path && kind === how);
  const eager = own(all).filter(
    ({ from, to, kind }) =>
      place(from) === "commands" && place(to) === "operations" && kind === "static" && (asked(from, "static") || !asked(from, "dynamic")),
  );
  const programs = packages(all).filter(({ from, specifier }) => /^(execa|ssh2)(\/|$)/.test(specifier) && place(from) !== "host");
  const children = packages(all).filter(
    ({ from, specifier }) =>
      specifier === "node:child_process" && from !== "core/lock.ts" && place(from) !== "host" && !from.startsWith("services/http/php/"),
  );
  const coreOnly = packages(all).filter(({ from, specifier }) => place(from) === "core" && !specifier.startsWith("node:"));
  const builtin = packages(all).filter(
    ({ specifier, kind }) =>
      !specifier.startsWith("node:") && /^(fs|path|os|http|net|crypto|child_process)(\/|$)/.test(specifier) && kind !== "type",
  );
  return [
    ...outward.map((one) => `outward: ${say(one)}`),
    ...neighbours.map((one) => `a neighbour: ${say(one)}`),
    ...eager.map((one) => `an operation loaded with its command: ${say(one)}`),
    ...programs.map((one) => `only host/ runs programs: ${say(one)}`),
    ...children.map((one) => `child_process: ${say(one)}`),
    ...coreOnly.map((one) => `core stands on Node alone: ${say(one)}`),
    ...builtin.map((one) => `Node's own modules are imported as node:…: ${say(one)}`),
  ];
}

describe("the house", () => {
  test("the imports were seen", () => {
    expect(files.length).toBeGreaterThan(100);
    expect(imports.length).toBeGreaterThan(200);
    expect(imports.filter(({ kind }) => kind === "dynamic").length).toBeGreaterThan(30);
    expect(imports.filter(({ kind }) => kind === "type").length).toBeGreaterThan(100);
    expect(
      own(imports)
        .filter(({ to }) => !files.includes(to))
        .map(say),
    ).toEqual([]);
  });

  test("every folder has its place", () => {
    expect([...new Set(files.map(place))].filter((name) => !(name in MAY_IMPORT))).toEqual([]);
  });

  test("imports go inward only, services and engines know no neighbour, commands load operations when run, host/ alone runs programs", () => {
    expect(violations(imports)).toEqual([]);
  });

  test("only main.ts and reporters write to the terminal, only main.ts sets the exit code", () => {
    const wrong = files
      .filter((file) => file !== "main.ts" && file !== "context/write-schemas.ts" && place(file) !== "reporters")
      .filter((file) => /\bconsole\.|(?<![.\w])process\.(stdout|exit\b|exitCode)/.test(readFileSync(join(SRC, file), "utf8")));
    expect(wrong).toEqual([]);
  });

  test.each([
    ["core/step.ts", 'import { Layout } from "../context/layout.js";', "outward"],
    ["core/step.ts", 'import type { Layout } from "../context/layout.js";', "outward"],
    ["core/step.ts", 'const x = await import("../host/local.js");', "outward"],
    ["core/step.ts", 'export { Layout } from "../context/layout.js";', "outward"],
    ["core/step.ts", 'type X = import("../host/host.js").Host;', "outward"],
    ["core/step.ts", 'import chalk from "chalk";', "core stands on Node alone"],
    ["reporters/plain.ts", 'import type { Context } from "../context/schema.js";', "outward"],
    ["services/db/sqlite/index.ts", 'import { phpHttp } from "../../http/php/index.js";', "a neighbour"],
    ["engines/drupal/index.ts", 'import { drupal7 } from "../drupal7/index.js";', "a neighbour"],
    ["commands/verify.ts", 'import { verifySite } from "../operations/verify-site.js";', "an operation loaded with its command"],
    ["operations/make.ts", 'import { execa } from "execa";', "only host/ runs programs"],
    ["operations/make.ts", 'const { Client } = await import("ssh2");', "only host/ runs programs"],
    ["core/journal.ts", 'import { spawn } from "node:child_process";', "child_process"],
    ["context/store.ts", 'import { readFile } from "fs/promises";', "Node's own modules"],
  ])("%s: %s would be seen (%s)", (file, line, rule) => {
    expect(violations(importsOf(file, line))).toEqual([expect.stringContaining(rule)]);
  });
});
