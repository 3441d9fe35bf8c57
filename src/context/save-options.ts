import { didYouMean, ProvisionError } from "../core/errors.js";
import type { Secret } from "../core/secret.js";
import { aegirProperty } from "./aegir.js";
import { type Changes, invalidOptions, type Value } from "./edit.js";
import { MASTER_PASSWORD, masterDbProblem, withoutPassword } from "./master-db.js";
import { contextNameProblem, quoted, uriProblem } from "./names.js";
import { CONTEXT_TYPES, type ContextType, type Property, properties } from "./schema.js";
import { check, type Problem, unknownKey } from "./validate.js";

/** What `save` was asked for. */
export interface SaveRequest {
  readonly type: ContextType;
  /** By property, undefined: unset. Without context_type. */
  readonly changes: Changes;
  /** Passwords that came with properties, by their key in secrets/: no alias file holds them. */
  readonly secrets: ReadonlyMap<string, Secret>;
  /** Aegir options that are let go, one line each. */
  readonly warnings: readonly string[];
}

/** What `save` asks `rewrite` for is given as options in the words of the schema (DESIGN 4). */
interface Token {
  readonly key: string;
  /** Undefined: the option stood alone. */
  readonly value: string | undefined;
}

/** Drush's way to take a property out, besides --unset. */
const UNSET = ["null", "NONE"];
const TRUE = ["1", "true", "yes", "on"];
const FALSE = ["0", "false", "no", "off"];

/**
 * Aegir's `provision-save @name --context_type=site --uri=…`: options to changes of a context file. Both
 * spellings (`--db_server`, `--db-server`), `--key=value` and `--key value`, lists with commas or by giving
 * the option again, `--unset=key,key`, `--no-key` for what is true or false, `null` and `NONE` unset.
 *
 * `name` with its `@`; `existing`: the type of the context when there is one. A new context says its type,
 * or has a name that does: `@server_…`, `@platform_…`, `@client_…` (Aegir takes every
 * other for a server, so that a typo makes one). A new site without `--uri` is called as its context.
 *
 * Throws USAGE for what is no option, INVALID_VALUE for hostile or wrong values (both exit 64).
 */
export function parseSaveOptions(name: string, args: readonly string[], existing?: ContextType): SaveRequest {
  const wrong = name.startsWith("@") ? contextNameProblem(name.slice(1)) : "does not begin with @";
  if (wrong)
    throw new ProvisionError("INVALID_VALUE", `${quoted(name)} is not the name of a context: it ${wrong}; for example @example.com`);
  const tokens = tokensOf(args);
  const type = typeOf(name, tokens, existing);
  const known = properties(type);
  const changes = new Map<string, Value>();
  const warnings: string[] = [];
  const problems: Problem[] = [];
  const problem = (key: string, what: string) => problems.push({ path: [key], of: "key", what, example: known.get(key)?.example });
  for (const { key, value } of tokens) {
    if (key === "context_type") continue;
    if (key === "unset") {
      for (const unset of (value ?? "").split(",").map(underscored)) {
        if (known.get(unset)?.required === false) changes.set(unset, undefined);
        else if (known.has(unset)) problem(unset, "cannot be unset: it is needed");
        else throw noOption(type, unset);
      }
      continue;
    }
    const property = known.get(key);
    if (!property) {
      const negated = key.startsWith("no_") ? known.get(key.slice(3)) : undefined;
      if (negated?.type === "boolean" && value === undefined) {
        changes.set(negated.key, false);
        continue;
      }
      const aegir = aegirProperty(key, value ?? "1");
      if (!aegir || "refused" in aegir) throw noOption(type, key, aegir?.refused);
      warnings.push(`--${key} ${aegir.ignored}`);
      continue;
    }
    const given = changes.get(key);
    if (given !== undefined && property.type !== "list") {
      problem(key, "is given twice");
      continue;
    }
    const converted = convert(property, value);
    if (converted.problem !== undefined) problem(key, converted.problem);
    else changes.set(key, Array.isArray(given) && Array.isArray(converted.value) ? [...given, ...converted.value] : converted.value);
  }
  if (type === "site" && existing === undefined && !changes.has("uri") && uriProblem(name.slice(1)) === undefined)
    changes.set("uri", name.slice(1));
  if (problems.length > 0) throw invalidOptions(problems);
  const secrets = takePassword(changes);
  refuseWrongValues(type, changes);
  return { type, changes, secrets, warnings };
}

/** The password of a `master_db` goes another way than the rest of it. */
function takePassword(changes: Map<string, Value>): ReadonlyMap<string, Secret> {
  const url = changes.get("master_db");
  if (typeof url !== "string" || masterDbProblem(url) !== undefined) return new Map();
  const { url: clean, password } = withoutPassword(url);
  changes.set("master_db", clean);
  return password === undefined ? new Map() : new Map([[MASTER_PASSWORD, password]]);
}

/** Checks each value by itself; what is wrong between them is seen when the whole file is known. */
function refuseWrongValues(type: ContextType, changes: Changes): void {
  const given = Object.fromEntries([...changes].filter(([, value]) => value !== undefined));
  const { problems = [] } = check(type, { ...given, context_type: type });
  const wrong = problems.filter(({ path: [key] }) => changes.get(String(key)) !== undefined);
  const alone = wrong.filter(({ path: [key] }) => key !== "redirection" || uriProblem(String(changes.get("redirection"))) !== undefined);
  if (alone.length > 0) throw invalidOptions(alone);
}

function typeOf(name: string, tokens: readonly Token[], existing: ContextType | undefined): ContextType {
  const given = tokens.findLast(({ key }) => key === "context_type");
  if (given) {
    const type = CONTEXT_TYPES.find((known) => known === given.value);
    if (!type) {
      const meant = didYouMean(given.value ?? "", CONTEXT_TYPES);
      throw new ProvisionError(
        "INVALID_VALUE",
        `--context_type ${quoted(given.value ?? "")} is not one of ${CONTEXT_TYPES.join(", ")}${meant ? `; did you mean ${meant}?` : ""}`,
      );
    }
    if (existing && existing !== type)
      throw new ProvisionError("INVALID_VALUE", `${name} is a ${existing} and cannot become a ${type}`, {
        next: [`provision save ${name} --delete`, "or take another name"],
      });
    return type;
  }
  const type = existing ?? CONTEXT_TYPES.find((prefix) => prefix !== "site" && name.startsWith(`@${prefix}_`));
  if (!type)
    throw new ProvisionError("USAGE", `${name} does not exist yet, so --context_type has to say what it is: ${CONTEXT_TYPES.join(", ")}`, {
      next: [`provision save ${name} --context_type=site …`],
    });
  return type;
}

function tokensOf(args: readonly string[]): readonly Token[] {
  const tokens: Token[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] as string;
    if (!arg.startsWith("--") || arg === "--")
      throw new ProvisionError("USAGE", `${quoted(arg)} is not an option; properties are given as --key=value`, {
        next: ["for example --uri=example.com"],
      });
    const equals = arg.indexOf("=");
    const key = underscored(equals < 0 ? arg.slice(2) : arg.slice(2, equals));
    const following = args[index + 1];
    if (equals >= 0) tokens.push({ key, value: arg.slice(equals + 1) });
    else if (following === undefined || following.startsWith("--")) tokens.push({ key, value: undefined });
    else {
      tokens.push({ key, value: following });
      index++;
    }
  }
  return tokens;
}

function underscored(word: string): string {
  return word.replaceAll("-", "_");
}

function convert(property: Property, value: string | undefined): { value?: Value; problem?: string } {
  if (value === undefined) return property.type === "boolean" ? { value: true } : { problem: "needs a value" };
  if (UNSET.includes(value) && property.words?.includes(value) !== true)
    return property.required ? { problem: "cannot be unset: it is needed" } : { value: undefined };
  switch (property.type) {
    case "boolean": {
      const word = value.toLowerCase();
      if (TRUE.includes(word)) return { value: true };
      if (FALSE.includes(word)) return { value: false };
      return { problem: `${quoted(value)} is neither true nor false` };
    }
    case "number":
      return /^-?\d{1,15}$/.test(value) ? { value: Number(value) } : { problem: `${quoted(value)} is not a whole number` };
    case "list":
      return {
        value: value
          .split(",")
          .map((item) => item.trim())
          .filter((item) => item !== ""),
      };
    case "map":
      return { problem: "cannot be given on the command line; write it into the file" };
    default:
      // Aegir's front end sends FALSE for a site that does not redirect.
      if (property.key === "redirection" && ["", "0", "FALSE"].includes(value)) return { value: undefined };
      return value === "" ? { problem: "is empty; to take it out: --unset" } : { value };
  }
}

function noOption(type: ContextType, key: string, why?: string): ProvisionError {
  const shown = /^[a-z0-9_]{1,60}$/i.test(key) ? `--${key}` : quoted(`--${key}`);
  const all = [...properties(type).keys()].join(", ");
  return why
    ? new ProvisionError("USAGE", `${shown} ${why}`, { why: [`a ${type} has ${all}`] })
    : new ProvisionError("USAGE", `${shown} ${unknownKey(type, key)}`, { why: [`a ${type} has ${all}`] });
}
