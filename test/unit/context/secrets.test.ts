import { chmod, stat, writeFile } from "node:fs/promises";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { rewriteSecrets, SecretStore } from "../../../src/context/secrets.js";
import { Secret } from "../../../src/core/secret.js";
import { failureOf, hubOf } from "../../support/context-hub.js";

async function secretsOf(text: string | undefined, mode = 0o600) {
  const hub = await hubOf(text === undefined ? {} : { "secrets/a.com.yml": text });
  if (text !== undefined) {
    await chmod(hub.layout.secrets, 0o700);
    await chmod(hub.layout.secretsFile("@a.com"), mode);
  }
  return { secrets: new SecretStore(hub.layout), path: hub.layout.secretsFile("@a.com"), directory: hub.layout.secrets };
}

describe("secrets", () => {
  test("are read as secrets: nothing prints them", async () => {
    const { secrets } = await secretsOf('hash_salt: "hunter2"\n');
    const salt = await secrets.get("@a.com", "hash_salt");
    expect(salt?.reveal()).toBe("hunter2");
    expect([String(salt), JSON.stringify(salt), inspect(salt)].join()).not.toContain("hunter2");
    expect(await secrets.get("@a.com", "db_password")).toBeUndefined();
  });

  test("no file is no secret", async () => {
    const { secrets } = await secretsOf(undefined);
    expect(await secrets.get("@a.com", "hash_salt")).toBeUndefined();
    expect(await secrets.changed("@a.com", new Map([["hash_salt", undefined]]))).toBeUndefined();
  });

  test.each([0o640, 0o604, 0o644, 0o620])("a file of mode %o is refused, and how to mend it", async (mode) => {
    const { secrets, path } = await secretsOf('hash_salt: "x"\n', mode);
    const error = await failureOf(() => secrets.get("@a.com", "hash_salt"));
    expect(error).toMatchObject({ code: "PERMISSION_DENIED", exit: 77, next: [`chmod 0600 ${path}`] });
  });

  test("so is an open directory", async () => {
    const { secrets, directory } = await secretsOf('hash_salt: "x"\n');
    await chmod(directory, 0o755);
    expect(await failureOf(() => secrets.get("@a.com", "hash_salt"))).toMatchObject({
      code: "PERMISSION_DENIED",
      next: [`chmod 0700 ${directory}`],
    });
  });

  test.each([
    ["broken YAML", 'hash_salt: "hunter2\n'],
    ["a tag", "hash_salt: !hunter2 x\n"],
    ["a number", "hash_salt: 4711\n"],
    ["a list", "hash_salt: [hunter2]\n"],
    ["a bare @", "hash_salt: @hunter2\n"],
    ["an alias", "hash_salt: *hunter2\n"],
    ["a hostile key", '"hunter2 x": y\n'],
    ["two bare words", "a: `hunter2\nb: @hunter2\n"],
  ])("%s is refused with its place and without its text", async (_, text) => {
    const { secrets, path } = await secretsOf(text);
    const error = await failureOf(() => secrets.get("@a.com", "hash_salt"));
    expect(error).toMatchObject({ code: "INVALID_FILE", exit: 65 });
    expect(error.message).toMatch(new RegExp(`^${path}:\\d+:\\d+ `));
    expect(inspect(error, { depth: 9 })).not.toContain("hunter2");
    expect(inspect(error, { depth: 9 })).not.toContain("4711");
  });

  test("any text comes back as it was, and the same changes give the same bytes", async () => {
    const { secrets, path } = await secretsOf("");
    for (const value of ["", " a ", "no", "8.10", '"', "\\", "\n\r\t\0", "\u007f\u0085\u2028\ufeff", "é日", "# a", "x".repeat(5000)]) {
      const text = await secrets.changed("@a.com", new Map([["hash_salt", new Secret(value)]]));
      await writeFile(path, text?.reveal() ?? "");
      expect((await secrets.get("@a.com", "hash_salt"))?.reveal()).toBe(value);
      expect((await secrets.changed("@a.com", new Map([["hash_salt", new Secret(value)]])))?.reveal()).toBe(text?.reveal());
    }
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test("a key is added, replaced and taken out; the last one takes the file along", () => {
    const set = (text: string | undefined, values: Record<string, string | undefined>) =>
      rewriteSecrets(
        "x",
        text,
        new Map(Object.entries(values).map(([key, value]) => [key, value === undefined ? undefined : new Secret(value)])),
      )?.reveal();
    const one = set(undefined, { hash_salt: "a", db_password: "b" });
    expect(one).toBe('# Written by provision. Keep it out of version control.\nhash_salt: "a"\ndb_password: "b"\n');
    const two = set(one, { hash_salt: "c", db_password: undefined });
    expect(two).toBe('# Written by provision. Keep it out of version control.\nhash_salt: "c"\n');
    expect(set(two, { hash_salt: undefined })).toBeUndefined();
    expect(set("hash_salt: a # mine\n", { hash_salt: "a" })).toBe("hash_salt: a # mine\n");
  });
});
