import { chmodSync, mkdirSync, rmSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { changedParts, treeHash, treeHashes } from "../../../src/builds/tree-hash.js";
import { temporaryDirectory, writeFiles } from "../../support/make-fixtures.js";

let root: string;
beforeEach(() => {
  root = writeFiles(temporaryDirectory(), {
    "index.php": "<?php",
    "modules/system/system.module": "<?php",
    "modules/user/user.module": "<?php",
    "sites/all/modules/views/views.info": "x",
    "run*": "#!/bin/sh",
    ".git/HEAD": "x",
  });
  symlinkSync("index.php", join(root, "link"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function changed(edit: () => void): Promise<readonly string[]> {
  const before = (await treeHashes(root)).parts;
  edit();
  return changedParts(before, (await treeHashes(root)).parts, (part) => part.startsWith("sites/"));
}

test("times, and what git notes for itself, change nothing", async () => {
  const before = await treeHashes(root);
  utimesSync(join(root, "index.php"), 1, 1);
  writeFileSync(join(root, ".git/index"), "y");
  chmodSync(join(root, "index.php"), 0o600);
  expect(await treeHashes(root)).toEqual(before);
});

test("the hash of the tree is the same with and without its parts, and depends on all but what is excepted", async () => {
  const { tree } = await treeHashes(root);
  expect(await treeHash(root)).toBe(tree);
  const except = (path: string) => path === "modules/user";
  const without = await treeHash(root, except);
  expect(without).not.toBe(tree);
  rmSync(join(root, "modules/user"), { recursive: true });
  expect(await treeHash(root)).toBe(without);
  expect(await treeHash(join(root, "none"))).toBeUndefined();
  expect(await treeHash(join(root, "index.php"))).toBeUndefined();
});

test("no name looks like two", async () => {
  const [one, two] = [temporaryDirectory(), temporaryDirectory()];
  try {
    mkdirSync(join(one, "a\ndirectory b"));
    for (const name of ["a", "b"]) mkdirSync(join(two, name));
    expect(await treeHash(one)).not.toBe(await treeHash(two));
  } finally {
    for (const path of [one, two]) rmSync(path, { recursive: true });
  }
});

test.each([
  ["a content", "modules/system", () => writeFileSync(join(root, "modules/system/system.module"), "other")],
  ["a new file", "modules/user", () => writeFileSync(join(root, "modules/user/new.inc"), "")],
  ["a file that is gone", "sites/all", () => unlinkSync(join(root, "sites/all/modules/views/views.info"))],
  ["a file that may be run now", "index.php", () => chmodSync(join(root, "index.php"), 0o755)],
  ["a link that leads elsewhere", "link", () => [unlinkSync(join(root, "link")), symlinkSync("run", join(root, "link"))]],
  ["an empty directory", "modules/empty", () => mkdirSync(join(root, "modules/empty"))],
])("%s is a change, and its place is named", async (_, part, edit) => {
  expect(await changed(edit)).toContain(part);
});

test("directories of sites that came later are no change", async () => {
  expect(
    await changed(() => {
      mkdirSync(join(root, "sites/example.com"));
      writeFileSync(join(root, "sites/example.com/settings.php"), "x");
      writeFileSync(join(root, "sites/sites.php"), "x");
    }),
  ).toEqual([]);
});
