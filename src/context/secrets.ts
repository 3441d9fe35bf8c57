import { stat } from "node:fs/promises";
import { isSystemError, ProvisionError } from "../core/errors.js";
import { Secret } from "../core/secret.js";
import type { Layout } from "./layout.js";
import { invalidFile, parseYaml, readText, type YamlFile } from "./yaml-file.js";

const KEY = /^[a-z][a-z0-9_]*$/;
const HEADER = "# Written by provision. Keep it out of version control.\n";

/** What is known of a context and must not be: one 0600 file per context below the hub's secrets/ (0700). Read here, written by steps. */
export class SecretStore {
  readonly layout: Layout;

  constructor(layout: Layout) {
    this.layout = layout;
  }

  /**
   * One secret of a context (`name` with its `@`); undefined when there is none. Rejects with PERMISSION_DENIED
   * when others could read the file, INVALID_FILE when it is not a map of text. No message holds a value.
   */
  async get(name: string, key: string): Promise<Secret | undefined> {
    return (await this.all(name)).get(key);
  }

  /** All secrets of a context, by key; empty when it has no file. Errors as `get`. */
  async all(name: string): Promise<ReadonlyMap<string, Secret>> {
    const text = await this.#text(name);
    return text === undefined ? new Map() : secretsIn(this.layout.secretsFile(name), text);
  }

  /**
   * Text of the file with `changes` made (undefined takes a key out), for a step to write with mode 0600;
   * undefined when nothing is left and the file goes. The same changes give the same bytes. Writes nothing.
   */
  async changed(name: string, changes: ReadonlyMap<string, Secret | undefined>): Promise<Secret | undefined> {
    return rewriteSecrets(this.layout.secretsFile(name), await this.#text(name), changes);
  }

  async #text(name: string): Promise<string | undefined> {
    const path = this.layout.secretsFile(name);
    for (const [place, mode] of [
      [this.layout.secrets, "0700"],
      [path, "0600"],
    ] as const)
      if (!(await isOurs(place, mode))) return undefined;
    return readText(path);
  }
}

/** The pure part of `changed`. `path` is for messages only. */
export function rewriteSecrets(
  path: string,
  text: string | undefined,
  changes: ReadonlyMap<string, Secret | undefined>,
): Secret | undefined {
  const before = text === undefined ? new Map<string, Secret>() : secretsIn(path, text);
  const after = new Map(before);
  for (const [key, secret] of changes) {
    if (!KEY.test(key)) throw new Error(`${key} cannot be the key of a secret`);
    if (secret === undefined) after.delete(key);
    else after.set(key, secret);
  }
  if (after.size === 0) return undefined;
  const same = before.size === after.size && [...after].every(([key, secret]) => before.get(key)?.reveal() === secret.reveal());
  if (same && text !== undefined) return new Secret(text);
  const lines = [...after].map(([key, secret]) => `${key}: ${doubleQuoted(secret.reveal())}\n`);
  return new Secret(HEADER + lines.join(""));
}

/** JSON's string is YAML's; what YAML files may not hold raw is escaped too. */
function doubleQuoted(value: string): string {
  return JSON.stringify(value).replaceAll(
    /[\u007F-\u009F\u2028\u2029\uFEFF]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

export function secretsIn(path: string, text: string): Map<string, Secret> {
  const file = parse(path, text);
  const secrets = new Map<string, Secret>();
  for (const [key, value] of Object.entries(file.values)) {
    if (!KEY.test(key))
      throw invalidFile(path, [{ ...file.position([key], "key"), message: "has a key that is not lower-case letters, digits and _" }]);
    if (typeof value !== "string") throw invalidFile(path, [{ ...file.position([key]), message: `${key} is not text; put it in quotes` }]);
    secrets.set(key, new Secret(value));
  }
  return secrets;
}

/** The parser's words may hold what stands in the file, so only the place is taken over. */
function parse(path: string, text: string): YamlFile {
  try {
    return parseYaml(path, text);
  } catch (error) {
    if (!(error instanceof ProvisionError)) throw error;
    const place = /:(\d+):(\d+) /.exec(error.message.slice(path.length)) ?? /:(\d+):(\d+) /.exec(error.why[0]?.slice(path.length) ?? "");
    throw invalidFile(path, [
      { line: Number(place?.[1] ?? 1), column: Number(place?.[2] ?? 1), message: 'is not YAML; for example db_password: "…"' },
    ]);
  }
}

/** False when there is nothing; PERMISSION_DENIED when others than the owner have any access. */
async function isOurs(path: string, mode: string): Promise<boolean> {
  try {
    const found = await stat(path);
    if ((found.mode & 0o077) === 0) return true;
    throw new ProvisionError(
      "PERMISSION_DENIED",
      `${path} holds secrets and other users have access to it (mode ${(found.mode & 0o7777).toString(8).padStart(4, "0")})`,
      {
        next: [`chmod ${mode} ${path}`],
      },
    );
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return false;
    if (isSystemError(error, "EACCES"))
      throw new ProvisionError("PERMISSION_DENIED", `cannot read ${path}: permission denied`, {
        next: ["run provision as the user that owns the hub"],
        cause: error,
      });
    throw error;
  }
}
