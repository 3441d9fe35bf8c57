import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { isTruthy, PhpArray, phpText } from "../../src/builds/make/php-value.js";
import { type PlanEntry, planOf } from "../../src/builds/make/plan.js";
import { readMakeFile } from "../../src/builds/make/read.js";
import { treeHash } from "../../src/builds/tree-hash.js";
import { Scope } from "../../src/core/scope.js";
import { LocalHost } from "../../src/host/local.js";
import { archive, releaseHistory, repository } from "../support/make-fixtures.js";
import { MakeRig } from "../support/make-rig.js";

const corpus = process.env["PROVISION_TEST_MAKE_CORPUS"] ?? resolve(import.meta.dirname, "../../../shared/make-corpus");
const makefile = join(corpus, "files/web-arts-unimelb__platforms__base_drupal@bb057d7.make");
const here = existsSync(makefile);
const rig = new MakeRig();
beforeAll(async () => {
  await rig.start();
  rig.reset();
});
afterAll(() => rig.stop());

/** Stand-ins for everything that a make file names: releases and files on the server, repositories on disk. Out: the mirrors. */
async function mirrorOf(path: string): Promise<{ mirrors: Record<string, string>; entries: number }> {
  const { document } = await readMakeFile(path, new LocalHost(new Scope()));
  if (!document) throw new Error(`${path} cannot be built`);
  const { entries } = planOf(document);
  const mirrors: Record<string, string> = {
    "https://updates.drupal.org/": `${rig.server.url}/updates/`,
    "https://ftp.example.org/": `${rig.server.url}/ftp/`,
  };
  const serve = (address: string, body: Buffer | string) => {
    const url = new URL(address);
    mirrors[`${url.origin}/`] = `${rig.server.url}/${url.host}/`;
    rig.server.serve(`/${url.host}${url.pathname}${url.search}`, body);
  };
  for (const entry of entries) {
    if (phpText(entry.download.get("type")) === "pm") release(entry);
    else if (phpText(entry.download.get("type")) === "git") clone(entry, mirrors);
    else serve(phpText(entry.download.get("url")), archive("tar.gz", entry.name, { [`${entry.name}.js`]: entry.name }));
    for (const patch of patchesIn(entry)) serve(patch, `--- /dev/null\n+++ b/${encodeURIComponent(patch)}\n@@ -0,0 +1 @@\n+patched\n`);
  }
  return { mirrors, entries: entries.length };
}

function patchesIn(entry: PlanEntry): string[] {
  const list = entry.attributes.get("patch");
  return list instanceof PhpArray ? list.entries().map(([, patch]) => phpText(patch instanceof PhpArray ? patch.get("url") : patch)) : [];
}

function release(entry: PlanEntry): void {
  const bare = entry.version === "" ? "1.0" : entry.version;
  const version = entry.kind === "core" ? bare : `7.x-${bare}`;
  const files = Object.fromEntries(Array.from({ length: 5 }, (_, index) => [`src/${index}.inc`, `${entry.name} ${version} ${index}`]));
  rig.server.serve(
    `/ftp/${entry.name}.tar.gz`,
    archive("tar.gz", entry.name, { [`${entry.name}.info`]: `name = ${entry.name}\n`, ...files }),
  );
  const type = entry.kind === "core" ? "core" : isTruthy(entry.attributes.get("type")) ? entry.type : "module";
  rig.server.serve(
    `/updates/release-history/${entry.name}/7.x`,
    releaseHistory(type, [{ version, url: `https://ftp.example.org/${entry.name}.tar.gz` }]),
  );
}

function clone(entry: PlanEntry, mirrors: Record<string, string>): void {
  const path = join(rig.work, "git", entry.name);
  const text = (key: string) => phpText(entry.download.get(key));
  const [tag, branch] = [text("tag"), text("branch")];
  repository(path, [
    { files: { [`${entry.name}.info`]: "name = x\n" }, ...(tag === "" ? {} : { tag }), ...(branch === "" ? {} : { branch }) },
  ]);
  mirrors[text("url") || `https://git.drupalcode.org/project/${entry.name}.git`] = path;
}

it.skipIf(!here)(
  `a real make file of more than a hundred projects is the same tree twice, the second time without a network${here ? "" : ` (SKIPPED: no corpus at ${corpus})`}`,
  async () => {
    mkdirSync(join(rig.work, "git"));
    // no commit of ours can have the hash that a file names
    rig.write({ "large.make": readFileSync(makefile, "utf8").replace(/^.*\[revision\].*$/gm, "") });
    const file = join(rig.work, "large.make");
    const { mirrors, entries } = await mirrorOf(file);
    expect(entries).toBeGreaterThan(100);
    const options = { withLock: true, updateUrl: "https://updates.drupal.org/release-history" };
    const first = await rig.buildFile(file, options, { mirrors });
    expect(first.report.entries).toHaveLength(entries);
    for (const { path } of first.report.entries) expect(existsSync(join(first.root, path))).toBe(true);
    const hash = await treeHash(first.root);
    rmSync(join(rig.work, "git"), { recursive: true });
    const asked = rig.server.requests.length;
    const second = await rig.buildFile(file, options, { mirrors, offline: true });
    expect(await treeHash(second.root)).toBe(hash);
    expect(rig.server.requests.length).toBe(asked);
    expect(second.report.lock).toBe(first.report.lock);
  },
);
