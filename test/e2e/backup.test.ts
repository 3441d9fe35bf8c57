import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { makeFakeCore, setTrap } from "../support/fake-core.js";
import { type FakeHub, newHub, type Said, saveSite, treeDifference } from "../support/fake-hub.js";

let base: string;
/** @a.test and @n.test installed. */
let installed: FakeHub;
let worlds = 0;

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), "provision-backup-"));
  const core = await makeFakeCore(join(base, "core"));
  installed = await newHub(join(base, "hub-000"), core);
  await installed.do("verify", "@platform_d7");
  await saveSite(installed, "a.test", "--aliases=www.a.test");
  await saveSite(installed, "n.test");
  await installed.do("install", "@a.test");
  await installed.do("install", "@n.test");
  const files = installed.path("platforms/d7/sites/a.test/files");
  mkdirSync(join(files, "css"));
  writeFileSync(join(files, "css/made.css"), "made");
  writeFileSync(join(files, "kept.txt"), "kept");
  mkdirSync(installed.path("platforms/d7/sites/a.test/modules/own"));
  writeFileSync(installed.path("platforms/d7/sites/a.test/modules/own/own.txt"), "own");
  // Modes of what stands there now are as verify leaves them.
  await installed.do("verify", "@a.test");
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

function world(): FakeHub {
  const hub = installed.copy(join(base, `hub-${String(++worlds).padStart(3, "0")}`));
  onTestFinished(() => hub.remove());
  return hub;
}

const site = (hub: FakeHub, uri = "a.test") => hub.path("platforms/d7/sites", uri);
const backupIds = (hub: FakeHub, uri = "a.test") =>
  existsSync(hub.path("backups", uri)) ? readdirSync(hub.path("backups", uri)).sort() : [];
const members = (path: string) => execFileSync("sh", ["-c", 'zstd -dc "$1" | tar -t', "sh", path], { encoding: "utf8" }).split("\n");

async function backup(hub: FakeHub, ...more: readonly string[]): Promise<{ readonly id: string; readonly path: string }> {
  const { data } = await hub.do("backup", "@a.test", ...more);
  return { id: String(data?.["backup"]), path: String(data?.["path"]) };
}

async function refused(hub: FakeHub, ...args: readonly string[]) {
  const { code, said } = await hub.run(args);
  return { code, error: said?.error, said: [said?.error?.message, ...(said?.error?.why ?? []), said?.error?.state].join("\n") };
}

/** The site serves, and there is nothing for a verify to do. */
async function whole(hub: FakeHub, name = "@a.test"): Promise<void> {
  const verified = await hub.do("verify", name);
  expect(verified.steps.filter(({ outcome }) => outcome !== "ok")).toEqual([]);
  const { data } = await hub.do("status", name);
  expect(JSON.stringify(data)).not.toMatch(/"status":5\d\d/);
}

describe("backup", () => {
  it("is a directory of its own with hashed parts; caches by structure only, generated files left out, credentials nowhere", async () => {
    const hub = world();
    const before = hub.tree();
    const { data } = await hub.do("backup", "@a.test", "--description=before the update");
    const path = String(data?.["path"]);
    expect(readdirSync(path).sort()).toEqual(["database.sqlite.zst", "files.tar.zst", "manifest.json", "site.tar.zst"]);
    expect([statSync(path).mode & 0o777, ...readdirSync(path).map((name) => statSync(join(path, name)).mode & 0o777)]).toEqual([
      0o700, 0o600, 0o600, 0o600, 0o600,
    ]);
    const manifest = JSON.parse(readFileSync(join(path, "manifest.json"), "utf8"));
    expect(manifest).toMatchObject({
      schema: "provision/backup@1",
      uri: "a.test",
      description: "before the update",
      reason: "backup",
      engine: "drupal7",
      core: "7.0-fixture",
      full: false,
      context: { aliases: ["www.a.test"], platform: "@platform_d7" },
      platform: { name: "@platform_d7", makefile: "d7.make" },
      vanished: [],
    });
    expect(manifest.build.tree).toMatch(/^[0-9a-f]/);
    expect(manifest.extensions.map(({ name }: { name: string }) => name)).toContain("system");
    expect(data?.["parts"]).toEqual(manifest.parts);
    for (const { name, sha256 } of manifest.parts)
      expect(execFileSync("sha256sum", [join(path, name)], { encoding: "utf8" }).slice(0, 64)).toBe(sha256);
    const files = members(join(path, "files.tar.zst"));
    expect(files).toContain("files/kept.txt");
    expect(files.filter((name) => name.includes("css"))).toEqual([]);
    const code = members(join(path, "site.tar.zst"));
    expect(code).toContain("modules/own/own.txt");
    expect(code.filter((name) => name.includes("settings.php"))).toEqual([]);
    const secret = /hash_salt: "(.*)"/.exec(readFileSync(hub.path("secrets/a.test.yml"), "utf8"))?.[1] as string;
    for (const name of readdirSync(path))
      expect(
        execFileSync("sh", ["-c", 'case $1 in *.zst) zstd -dc "$1";; *) cat "$1";; esac', "sh", join(path, name)]).includes(secret),
      ).toBe(false);
    // The site and all else is as it was.
    rmSync(hub.path("backups/a.test"), { recursive: true });
    if (hub.tree() !== before) expect.fail(treeDifference(hub.tree(), before));
  });

  it("--full has the rows of sessions and generated files, too", async () => {
    const hub = world();
    const [some, all] = [await backup(hub), await backup(hub, "--full")];
    const structure = ({ path }: { path: string }) => JSON.parse(readFileSync(join(path, "manifest.json"), "utf8")).database.structure_only;
    expect(structure(some)).toContain("sessions");
    expect(structure(all)).toEqual([]);
    expect(members(join(all.path, "files.tar.zst"))).toContain("files/css/made.css");
  });

  it("of several sites, some at a time; those that a selector finds and are not installed are passed over", async () => {
    const hub = world();
    await saveSite(hub, "bare.test");
    const { code, said } = await hub.run(["backup", "--all", "--jobs=2"]);
    const results = (said as unknown as { readonly results: readonly Said[] }).results;
    expect([code, results.map(({ ok }) => ok)]).toEqual([0, [true, true]]);
    expect([backupIds(hub).length, backupIds(hub, "n.test").length]).toEqual([1, 1]);
    expect((await refused(hub, "backup", "@bare.test")).error?.code).toBe("NOT_INSTALLED");
    expect((await refused(hub, "backup", "@a.test", "--description=a\nb")).code).toBe(64);
  });

  it("files that vanish while they are read are listed, and are no error", async () => {
    const hub = world();
    const files = join(site(hub), "files");
    writeFileSync(join(files, "0-long.bin"), Buffer.alloc(300_000, 1));
    writeFileSync(join(files, "zz-gone.txt"), "gone soon");
    // The real tar, which takes the last file away as soon as it has read the first record.
    const bin = hub.path("bin");
    mkdirSync(bin);
    writeFileSync(
      join(bin, "tar"),
      `#!/bin/sh\nPATH=\${PATH#*:}\ncase "$*" in *private*) exec tar --sort=name --checkpoint=1 --checkpoint-action=exec='rm -f ${files}/zz-gone.txt' "$@";; *) exec tar "$@";; esac\n`,
    );
    chmodSync(join(bin, "tar"), 0o755);
    const { code, said } = await hub.run(["backup", "@a.test"], { env: { PATH: `${bin}:${process.env["PATH"]}` } });
    expect([code, said?.data?.["vanished"]]).toEqual([0, ["files/zz-gone.txt"]]);
    expect(said?.warnings?.join("\n")).toContain("files/zz-gone.txt");
  });

  it("of a site that is broken is made all the same, and says that the site did not tell its extensions", async () => {
    const hub = world();
    await setTrap(hub.path("platforms/d7"), "fatal");
    const { data, warnings } = await hub.do("backup", "@a.test");
    const manifest = JSON.parse(readFileSync(join(String(data?.["path"]), "manifest.json"), "utf8"));
    expect([manifest.extensions, warnings?.join("\n")]).toEqual([null, expect.stringContaining("does not know which extensions")]);
  });

  it("--dry-run writes nothing", async () => {
    const hub = world();
    const before = hub.tree();
    expect((await hub.do("backup", "@a.test", "--dry-run")).counts["would_change"]).toBe(5);
    expect(hub.tree()).toBe(before);
  });

  it.each([
    ["zstd", "echo broken >&2; exit 7", /zstd ended with exit code 7/],
    ["tar", "echo part; echo 'tar: x: Cannot open: Permission denied' >&2; exit 2", /tar ended with exit code 2/],
    ["tee", "cat >/dev/null; echo 'tee: x: No space left on device' >&2; exit 1", /no space left/],
    ["openssl", "cat >/dev/null", /openssl did not say the sum/],
    ["sha256sum", "cat >/dev/null", /sha256sum did not say the sum/],
  ])("a %s that fails in the pipe fails it: exit 4, nothing stays", async (program, script, why) => {
    const hub = world();
    const before = hub.tree();
    const bin = hub.path("bin");
    mkdirSync(bin);
    writeFileSync(join(bin, program), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    // It is for machines whose openssl is none.
    if (program === "sha256sum") writeFileSync(join(bin, "openssl"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    const { code, said } = await hub.run(["backup", "@a.test"], { env: { PATH: `${bin}:${process.env["PATH"]}` } });
    rmSync(bin, { recursive: true });
    expect([code, said?.outcome, said?.error?.message]).toEqual([4, "rolled_back", expect.stringMatching(why)]);
    if (hub.tree() !== before) expect.fail(treeDifference(hub.tree(), before));
  });
});

describe("backups", () => {
  it("lists, also those of a site that was deleted, and what is damaged", async () => {
    const hub = world();
    const { id, path } = await backup(hub);
    await hub.do("delete", "@a.test", "--yes");
    const { data } = await hub.do("backups", "list", "@a.test");
    const found = data?.["backups"] as readonly { backup: string; reason: string; problem?: string }[];
    expect(found.map(({ reason }) => reason)).toEqual(["delete", "backup"]);
    writeFileSync(join(path, "manifest.json"), "{}");
    const damaged = (await hub.do("backups", "list")).data?.["backups"] as readonly { backup: string; problem?: string }[];
    expect(damaged.find(({ backup: one }) => one === id)?.problem).toContain("not the manifest");
  });

  it.each([
    ["a byte", (path: string) => flip(join(path, "files.tar.zst")), /files\.tar\.zst has another sha256/],
    ["its end", (path: string) => writeFileSync(join(path, "site.tar.zst"), "short"), /site\.tar\.zst has 5 bytes/],
    ["a part", (path: string) => rmSync(join(path, "database.sqlite.zst")), /database\.sqlite\.zst is missing/],
    [
      "the manifest",
      (path: string) =>
        writeFileSync(join(path, "manifest.json"), readFileSync(join(path, "manifest.json"), "utf8").replace("a.test", "b.test")),
      /its sum is another/,
    ],
  ])("verify ends with 6 when %s is not as it was; restore, deploy and export refuse it", async (what, damage, why) => {
    const hub = world();
    const { id, path } = await backup(hub);
    expect((await hub.do("backups", "verify", "--all")).data?.["backups"]).toEqual([
      { backup: id, site: "@a.test", damaged: false, problems: [] },
    ]);
    damage(path);
    const before = hub.tree();
    const found = await refused(hub, "backups", "verify", "@a.test");
    expect([found.code, found.error?.code, found.said]).toEqual([6, "PROBLEMS_FOUND", expect.stringMatching(why)]);
    if (what !== "a byte") return;
    for (const args of [
      ["restore", "@a.test", id, "--yes"],
      ["deploy", "@c.test", id],
      ["backups", "export", id, hub.path("x.tar")],
    ]) {
      const answer = await refused(hub, ...args);
      expect([answer.code, answer.error?.code], args.join(" ")).toEqual([1, "REFUSED"]);
    }
    if (hub.tree() !== before) expect.fail(treeDifference(hub.tree(), before));
  });

  it("verify --restore makes a site of it, starts it, counts the rows, and leaves nothing; a backup that lost rows is found", async () => {
    const hub = world();
    const { id, path } = await backup(hub);
    const before = hub.tree();
    const { data } = await hub.do("backups", "verify", "@a.test", "--restore");
    expect(data?.["backups"]).toEqual([
      { backup: id, site: "@a.test", damaged: false, problems: [], restored: { tables: expect.any(Number), front_page: 200 } },
    ]);
    if (hub.tree() !== before) expect.fail(treeDifference(hub.tree(), before));
    // Every sum is right, and rows are missing all the same.
    const dump = join(path, "database.sqlite.zst");
    const plain = join(base, "lossy.sqlite");
    execFileSync("zstd", ["-q", "-d", "-f", "-o", plain, dump]);
    execute(plain, "DELETE FROM variable WHERE name = 'site_name'");
    execFileSync("zstd", ["-q", "-f", "-o", dump, plain]);
    reseal(path);
    const lossy = await refused(hub, "backups", "verify", "@a.test", "--restore");
    expect([lossy.code, lossy.said]).toEqual([6, expect.stringMatching(/variable has \d+ rows, and had \d+/)]);
    if (hub.tree() !== before) expect.fail(treeDifference(hub.tree(), before));
    expect(hub.open).toEqual([]);
  });

  it("prune keeps what the policy says and why, never the newest; needs --yes; a dry run removes nothing", async () => {
    const hub = world();
    writeFileSync(hub.path("provision.yml"), "retention:\n  daily: 0\n  weekly: 0\n  monthly: 0\n");
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) ids.push((await backup(hub)).id);
    expect((await refused(hub, "backups", "prune", "@a.test")).code).toBe(64);
    expect((await refused(hub, "backups", "prune", "--yes")).code).toBe(64);
    const dry = await hub.do("backups", "prune", "@a.test", "--dry-run");
    expect([dry.counts["would_change"], backupIds(hub).length]).toEqual([1, 3]);
    const { data } = await hub.do("backups", "prune", "@a.test", "--yes");
    expect(data?.["keep"]).toEqual([{ backup: ids[2], why: ["the newest"] }]);
    expect(backupIds(hub)).toEqual([ids[2]]);
    expect((await hub.do("backups", "prune", "@a.test", "--yes")).counts["changed"]).toBe(0);
  });

  it("delete takes ids and nothing else, with --yes; the directory goes with the last", async () => {
    const hub = world();
    const { id } = await backup(hub);
    expect((await refused(hub, "backups", "delete", id)).code).toBe(64);
    for (const word of ["/etc/passwd", "../../state", "@a.test", "aliases"])
      expect([64, 66]).toContain((await refused(hub, "backups", "delete", word, "--yes")).code);
    await hub.do("backups", "delete", id.slice(-4), "--yes");
    expect(existsSync(hub.path("backups/a.test"))).toBe(false);
  });

  it("export makes one file, for the owner, and replaces none without --yes", async () => {
    const hub = world();
    const { id } = await backup(hub);
    const file = hub.path("x.tar");
    await hub.do("backups", "export", id, file);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(execFileSync("tar", ["-tf", file], { encoding: "utf8" }).split("\n")[0]).toBe(`${id}/manifest.json`);
    expect((await refused(hub, "backups", "export", id, file)).error?.code).toBe("NAME_TAKEN");
    await hub.do("backups", "export", id, file, "--yes");
  });
});

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 3] = (bytes[bytes.length - 3] as number) ^ 1;
  writeFileSync(path, bytes);
}

describe("restore", () => {
  it("puts database, files and own modules back beside what serves, backs that up first and keeps it", async () => {
    const hub = world();
    const { id } = await backup(hub);
    const database = () => hub.path("sites/a.test", currentGeneration(hub), "db/site.sqlite");
    const first = currentGeneration(hub);
    execute(database(), "UPDATE users SET mail = 'changed@example.test' WHERE uid = 1");
    writeFileSync(join(site(hub), "files/kept.txt"), "changed");
    writeFileSync(join(site(hub), "files/later.txt"), "later");
    rmSync(join(site(hub), "modules/own"), { recursive: true });
    const { data } = await hub.do("restore", "@a.test", id, "--yes");
    expect(readFileSync(join(site(hub), "files/kept.txt"), "utf8")).toBe("kept");
    expect([existsSync(join(site(hub), "files/later.txt")), existsSync(join(site(hub), "modules/own/own.txt"))]).toEqual([false, true]);
    expect(mailOf(database())).not.toBe("changed@example.test");
    await whole(hub);
    // What was there before: in a backup, and as it is, in a generation that is kept.
    expect(backupIds(hub)).toEqual([id, String(data?.["backup"])].sort());
    expect(readFileSync(hub.path("sites/a.test", first, "files/later.txt"), "utf8")).toBe("later");
    await hub.do("restore", "@a.test", String(data?.["backup"]), "--yes");
    expect(readFileSync(join(site(hub), "files/kept.txt"), "utf8")).toBe("changed");
    expect(mailOf(database())).toBe("changed@example.test");
    await whole(hub);
  });

  it("is refused without --yes, of another site's backup, and when the recorded platform is gone, naming --platform", async () => {
    const hub = world();
    const { id, path } = await backup(hub);
    expect((await refused(hub, "restore", "@a.test", id)).code).toBe(64);
    expect((await refused(hub, "restore", "@n.test", path, "--yes")).error?.next.join("\n")).toContain("provision deploy @new");
    expect((await refused(hub, "restore", "@n.test", id, "--yes")).code).toBe(66);
    expect((await refused(hub, "restore", "@a.test", "ffff", "--yes")).code).toBe(66);
  });
});

function currentGeneration(hub: FakeHub, uri = "a.test"): string {
  return /^generation: (.*)$/m.exec(readFileSync(hub.path(`aliases/${uri}.yml`), "utf8"))?.[1] as string;
}

function mailOf(database: string): string {
  const code = "echo (new PDO('sqlite:' . $argv[1]))->query('SELECT mail FROM users WHERE uid = 1')->fetchColumn();";
  return execFileSync("php", ["-r", code, database], { encoding: "utf8" });
}

function execute(database: string, sql: string): void {
  execFileSync("php", ["-r", "(new PDO('sqlite:' . $argv[1]))->exec($argv[2]) !== false || exit(1);", database, sql]);
}

describe("deploy", () => {
  it("makes a site of a backup under another name, with credentials of its own, and paths of its own", async () => {
    const hub = world();
    const { id } = await backup(hub);
    execute(hub.path("sites/a.test", currentGeneration(hub), "db/site.sqlite"), "SELECT 1");
    const { data } = await hub.do("deploy", "@c.test", id);
    expect(data).toMatchObject({ platform: "@platform_d7", from: id });
    expect(readFileSync(join(site(hub, "c.test"), "files/kept.txt"), "utf8")).toBe("kept");
    expect(readFileSync(join(site(hub, "c.test"), "modules/own/own.txt"), "utf8")).toBe("own");
    const salt = (name: string) => /hash_salt: "(.*)"/.exec(readFileSync(hub.path(`secrets/${name}.yml`), "utf8"))?.[1];
    expect(salt("c.test")).not.toBe(salt("a.test"));
    // Names belong to the site that has them.
    expect(readFileSync(hub.path("aliases/c.test.yml"), "utf8")).not.toContain("www.a.test");
    expect(existsSync(hub.path("sites/c.test", currentGeneration(hub, "c.test"), ".source"))).toBe(false);
    await whole(hub, "@c.test");
    await whole(hub);
  });

  it("brings a site back that was deleted, with its aliases", async () => {
    const hub = world();
    const { id } = await backup(hub);
    await hub.do("delete", "@a.test", "--yes");
    await hub.do("deploy", "@a.test", id);
    expect(readFileSync(hub.path("aliases/a.test.yml"), "utf8")).toContain("www.a.test");
    expect(readFileSync(join(site(hub), "files/kept.txt"), "utf8")).toBe("kept");
    await whole(hub);
  });

  it("takes an export on another hub, and a dump with files", async () => {
    const [hub, other] = [world(), world()];
    const { id } = await backup(hub);
    const file = join(base, `${id}.tar`);
    await hub.do("backups", "export", id, file);
    await other.do("deploy", "@c.test", file, "@platform_d7");
    expect(readFileSync(join(site(other, "c.test"), "files/kept.txt"), "utf8")).toBe("kept");
    await whole(other, "@c.test");
    cpSync(hub.path("sites/a.test", currentGeneration(hub), "db/site.sqlite"), other.path("dump.sqlite"));
    await saveSite(other, "d.test");
    await other.do("deploy", "@d.test", other.path("dump.sqlite"), `--files=${join(site(hub), "files")}`, "--old-uri=a.test");
    expect(readFileSync(join(site(other, "d.test"), "files/kept.txt"), "utf8")).toBe("kept");
    await whole(other, "@d.test");
  });

  it("refuses hostile archives before anything is made", async () => {
    const hub = world();
    const { id, path } = await backup(hub);
    const before = hub.tree();
    const hostile = join(base, "hostile");
    // A well-made manifest, as anybody can write one, over an archive whose link leads to the hub's secrets.
    const evil = join(hostile, id);
    cpSync(path, evil, { recursive: true });
    const tree = join(hostile, "tree");
    mkdirSync(join(tree, "files"), { recursive: true });
    symlinkSync(hub.path("secrets"), join(tree, "files/secrets"));
    execFileSync("sh", ["-c", 'tar -c -C "$1" files | zstd -q -f -o "$2"', "sh", tree, join(evil, "files.tar.zst")]);
    reseal(evil);
    for (const [what, source] of [
      ["directory", evil],
      ["export", packed(hostile, id)],
    ] as const) {
      const answer = await refused(hub, "deploy", "@c.test", source);
      expect([answer.error?.code, answer.said], what).toEqual([
        "REFUSED",
        expect.stringMatching(/link .*secrets points to the absolute path/),
      ]);
      if (hub.tree() !== before) expect.fail(`${what}: ${treeDifference(hub.tree(), before)}`);
    }
    writeFileSync(join(base, "noise.tar.gz"), "noise");
    expect((await refused(hub, "deploy", "@c.test", join(base, "noise.tar.gz"))).error?.code).toBe("REFUSED");
    expect((await refused(hub, "deploy", "@c.test", "nothing-there")).code).toBe(66);
  });

  it("is refused onto names that are taken, a locked platform, another kind of database", async () => {
    const hub = world();
    const { id } = await backup(hub);
    expect((await refused(hub, "deploy", "@n.test", id)).error?.code).toBe("NAME_TAKEN");
    expect((await refused(hub, "deploy", "@www.a.test", id)).error?.code).toMatch(/INVALID_/);
    mkdirSync(site(hub, "c.test"));
    expect((await refused(hub, "deploy", "@c.test", id)).error?.code).toBe("NAME_TAKEN");
    rmSync(site(hub, "c.test"), { recursive: true });
    writeFileSync(hub.path("dump.sql"), "-- MariaDB dump 10.19\n");
    expect((await refused(hub, "deploy", "@c.test", hub.path("dump.sql"), "@platform_d7")).said).toContain("has a database of mysql");
    await hub.do("lock", "@platform_d7");
    expect((await refused(hub, "deploy", "@c.test", id)).error?.code).toBe("PLATFORM_LOCKED");
  });

  it("that fails late leaves nothing: neither directories nor names nor a context", async () => {
    const hub = world();
    const { id } = await backup(hub);
    const before = hub.tree();
    await setTrap(hub.path("platforms/d7"), "broken-page");
    const failed = await hub.run(["deploy", "@c.test", id]);
    rmSync(hub.path("platforms/d7/traps"), { recursive: true });
    expect([failed.code, failed.said?.outcome]).toEqual([4, "rolled_back"]);
    if (hub.tree() !== before) expect.fail(treeDifference(hub.tree(), before));
  });
});

/** Sizes and sums as they are now, and the sum of all of it: what somebody who wants to be believed would do. */
function reseal(directory: string): void {
  const path = join(directory, "manifest.json");
  const { sum: _, ...manifest } = JSON.parse(readFileSync(path, "utf8"));
  for (const part of manifest.parts) {
    part.bytes = statSync(join(directory, part.name)).size;
    part.sha256 = execFileSync("sha256sum", [join(directory, part.name)], { encoding: "utf8" }).slice(0, 64);
  }
  const sum = execFileSync("sha256sum", { input: JSON.stringify(manifest), encoding: "utf8" }).slice(0, 64);
  writeFileSync(path, JSON.stringify({ ...manifest, sum }, undefined, 2));
}

function packed(directory: string, id: string): string {
  const file = join(directory, "export.tar");
  execFileSync("tar", [
    "-cf",
    file,
    "-C",
    directory,
    `${id}/manifest.json`,
    `${id}/database.sqlite.zst`,
    `${id}/files.tar.zst`,
    `${id}/site.tar.zst`,
  ]);
  return file;
}

describe("delete and install --force-reinstall", () => {
  it("take a backup first; the site can be deployed from it", async () => {
    const hub = world();
    expect((await refused(hub, "install", "@a.test", "--force-reinstall")).code).toBe(64);
    const first = currentGeneration(hub);
    const { data } = await hub.do("install", "@a.test", "--force-reinstall", "--yes");
    expect(backupIds(hub)).toEqual([data?.["backup"]]);
    expect(existsSync(join(site(hub), "files/kept.txt"))).toBe(false);
    expect(existsSync(hub.path("sites/a.test", first))).toBe(false);
    await whole(hub);
    const deleted = await hub.do("delete", "@a.test", "--yes");
    expect(backupIds(hub)).toEqual([data?.["backup"], deleted.data?.["backup"]].sort());
    await hub.do("deploy", "@a.test", String(data?.["backup"]));
    expect(readFileSync(join(site(hub), "files/kept.txt"), "utf8")).toBe("kept");
  });

  it("a forced installation that fails leaves the site as it was, and the backup", async () => {
    const hub = world();
    await setTrap(hub.path("platforms/d7"), "error-in-install");
    const before = hub.tree();
    const failed = await hub.run(["install", "@a.test", "--force-reinstall", "--yes"]);
    expect(failed.code).toBe(4);
    expect(backupIds(hub)).toHaveLength(1);
    rmSync(hub.path("backups/a.test"), { recursive: true });
    if (hub.tree() !== before) expect.fail(treeDifference(hub.tree(), before));
  });
});
