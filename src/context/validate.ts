import { stringify } from "yaml";
import type { z } from "zod";
import { didYouMean } from "../core/errors.js";
import { quoted } from "./names.js";
import {
  CONTEXT_TYPES,
  type Context,
  type ContextType,
  type HubSettings,
  hubSchema,
  type Kind,
  type Property,
  properties,
  schemas,
} from "./schema.js";
import { invalidFile, type YamlFile, type YamlPath } from "./yaml-file.js";

/** One thing wrong with a set of values, wherever they come from. */
export interface Problem {
  readonly path: YamlPath;
  /** The key itself is wrong, or what is wrong is that it is not there. */
  readonly of: "key" | "value";
  /** What is wrong, without the key and without an example: `has an empty label`. */
  readonly what: string;
  /** A value that would be right. */
  readonly example?: unknown;
}

type Checked<T> = { readonly value: T; readonly problems?: never } | { readonly value?: never; readonly problems: readonly Problem[] };

/** Checks values against the schema of a kind: defaults filled in, or everything that is wrong. Pure. */
export function check(kind: "hub", values: Readonly<Record<string, unknown>>): Checked<HubSettings>;
export function check(kind: ContextType, values: Readonly<Record<string, unknown>>): Checked<Omit<Context, "name">>;
export function check(kind: Kind, values: Readonly<Record<string, unknown>>): Checked<HubSettings | Omit<Context, "name">>;
export function check(kind: Kind, values: Readonly<Record<string, unknown>>): Checked<HubSettings | Omit<Context, "name">> {
  const known = properties(kind);
  const problems: Problem[] = [];
  const taken: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) {
    if (known.has(key)) taken[key] = value;
    else problems.push({ path: [key], of: "key", what: unknownKey(kind, key) });
  }
  const parsed = (kind === "hub" ? hubSchema : schemas[kind]).safeParse(taken);
  if (!parsed.success) problems.push(...parsed.error.issues.map((issue) => problemOf(issue, known, taken)));
  return parsed.success && problems.length === 0 ? { value: parsed.data } : { problems };
}

/** What to say of a key that a kind does not have. */
export function unknownKey(kind: Kind, key: string): string {
  const known = [...properties(kind).keys()];
  const meant = didYouMean(key, known);
  return `is not a property of a ${kind}; ${meant ? `did you mean ${meant}?` : `it has ${known.join(", ")}`}`;
}

function problemOf(issue: z.core.$ZodIssue, known: ReadonlyMap<string, Property>, values: Readonly<Record<string, unknown>>): Problem {
  const path = issue.path as (string | number)[];
  const key = String(path[0]);
  const property = known.get(key);
  const value = path.reduce<unknown>((at, step) => (at as Record<string | number, unknown> | undefined)?.[step], values);
  const inside = path.length > 1;
  const example =
    inside && Array.isArray(property?.example)
      ? property.example[0]
      : inside && typeof property?.example === "object"
        ? Object.values(property.example as object)[0]
        : property?.example;
  if (value === undefined && path.length === 1) return { path, of: "key", what: "is missing", example };
  if (value === null) return { path, of: "key", what: "has no value; remove the line, or give it one", example };
  if (issue.code === "invalid_key") return { path, of: "key", what: issue.issues[0]?.message ?? "is not a key", example: undefined };
  return { path, of: "value", what: what(issue, value, property, inside), example };
}

function what(issue: z.core.$ZodIssue, value: unknown, property: Property | undefined, inside: boolean): string {
  if (issue.code === "custom") return property?.masked ? issue.message : `${shown(value)} ${issue.message}`;
  if (property?.words && !inside) return `${shown(value)} is not ${property.words.length > 1 ? "one of " : ""}${property.words.join(", ")}`;
  if (issue.code === "too_small") return `${shown(value)} is less than ${issue.minimum}`;
  if (issue.code === "too_big") return `${shown(value)} is more than ${issue.maximum}`;
  if (issue.code === "unrecognized_keys") return `does not know ${issue.keys.map(quoted).join(", ")}`;
  const wanted = inside
    ? issue.code === "invalid_type" && ["int", "number"].includes(issue.expected)
      ? "number"
      : "text"
    : property?.type;
  const wants = { text: "text", number: "a whole number", boolean: "true or false", list: "a list", map: "keys with values" }[
    wanted ?? "text"
  ];
  const hint = wanted === "text" && (typeof value === "number" || typeof value === "boolean") ? "; put it in quotes" : "";
  return `wants ${wants}, not ${shown(value)}${hint}`;
}

function shown(value: unknown): string {
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "keys with values" : String(value);
}

/** `aliases[1]`, as messages name what is inside a list or map. */
export function nameOf(path: YamlPath): string {
  return path
    .map((step, depth) => (depth === 0 ? printable(String(step)) : `[${typeof step === "number" ? step + 1 : quoted(step)}]`))
    .join("");
}

function printable(key: string): string {
  return /^[a-z][a-z0-9_]{0,39}$/.test(key) ? key : quoted(key);
}

/** One value as it would be written in a context file, on one line. */
export function yamlValue(value: unknown): string {
  return stringify(value, { lineWidth: 0, collectionStyle: "flow", flowCollectionPadding: false, doubleQuotedAsJSON: true }).trimEnd();
}

/** A problem as a line of a message: `uri "Example.com" may hold …; for example uri: example.com`. */
export function sentence({ path, what, example }: Problem): string {
  const key = String(path[0]);
  return `${nameOf(path)} ${what}${example === undefined ? "" : `; for example ${path.length === 1 ? `${key}: ` : ""}${yamlValue(example)}`}`;
}

/** What is in a file, as its schema takes it. Throws INVALID_FILE with every problem and its place. */
export function contextOf(file: YamlFile, name: string): Context {
  if (!file.map) throw invalidFile(file.path, [{ line: 1, column: 1, message: "is empty; for example context_type: site" }]);
  const type = contextType(file);
  const { value, problems } = check(type, valuesOf(file, type));
  if (!value) throw refuse(file, problems);
  return { ...value, name } as Context;
}

/** The same for provision.yml, which may be empty. */
export function settingsOf(file: YamlFile): HubSettings {
  const { value, problems } = check("hub", file.values);
  if (!value) throw refuse(file, problems);
  return value;
}

function contextType(file: YamlFile): ContextType {
  const { context_type: type } = file.values;
  const found = CONTEXT_TYPES.find((known) => known === type);
  if (found) return found;
  const example = "for example context_type: site";
  if (type === undefined) throw invalidFile(file.path, [{ ...file.position([]), message: `context_type is missing; ${example}` }]);
  const meant = typeof type === "string" ? didYouMean(type, CONTEXT_TYPES) : undefined;
  const message = `context_type ${shown(type)} is not one of ${CONTEXT_TYPES.join(", ")}; ${meant ? `did you mean ${meant}?` : example}`;
  throw invalidFile(file.path, [{ ...file.position(["context_type"]), message }]);
}

/** The values of a file; a bare number where the schema wants text that people write so is the text that was written. */
export function valuesOf(file: YamlFile, kind: Kind): Readonly<Record<string, unknown>> {
  const known = properties(kind);
  return Object.fromEntries(
    Object.entries(file.values).map(([key, value]) => [
      key,
      typeof value === "number" && known.get(key)?.unquoted ? (file.source(key) ?? value) : value,
    ]),
  );
}

function refuse(file: YamlFile, problems: readonly Problem[]) {
  return invalidFile(
    file.path,
    problems.map((problem) => ({ ...file.position(problem.path, problem.of), message: sentence(problem) })),
  );
}
