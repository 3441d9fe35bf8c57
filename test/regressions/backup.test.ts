import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { makeFakeCore } from "../support/fake-core.js";
import { type FakeHub, newHub, saveSite, treeDifference } from "../support/fake-hub.js";
import { run } from "../support/processes.js";

/** Faults of Aegir 3 in backup, restore, deploy and delete, by the numbers under which they were found; each must not be ours. */
let base: string;
let installed: FakeHub;
let worlds = 0;

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), "provision-regressions-"));
  installed = await newHub(join(base, "hub-000"), await makeFakeCore(join(base, "core")));
  await installed.do("verify", "@platform_d7");
  await saveSite(installed, "a.test", "--aliases=www.a.test");
  await installed.do("install", "@a.test");
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

function world(): FakeHub {
  const hub = installed.copy(join(base, `hub-${String(++worlds).padStart(3, "0")}`));
  onTestFinished(() => hub.remove());
  return hub;
}

const backup = async (hub: FakeHub) => String((await hub.do("backup", "@a.test")).data?.["backup"]);
const without = (tree: string) =>
  tree
    .split("\n")
    .filter((line) => !line.startsWith("backups/"))
    .join("\n");

describe("Aegir's faults", () => {
  it("M5, W3: a restore that fails leaves the site enabled and as it was, and the backup that was just made", async () => {
    const hub = world();
    const id = await backup(hub);
    const before = hub.tree();
    const database = hub.path("backups/a.test", id, "database.sqlite.zst");
    const plain = join(base, "emptied.sqlite");
    execFileSync("zstd", ["-q", "-d", "-f", "-o", plain, database]);
    execFileSync("php", ["-r", "(new PDO('sqlite:' . $argv[1]))->exec('DROP TABLE variable; DROP TABLE system');", plain]);
    const copy = join(base, "emptied", id);
    cpSync(hub.path("backups/a.test", id), copy, { recursive: true });
    execFileSync("zstd", ["-q", "-f", "-o", join(copy, "database.sqlite.zst"), plain]);
    const { sum: _, ...manifest } = JSON.parse(readFileSync(join(copy, "manifest.json"), "utf8"));
    for (const part of manifest.parts) {
      part.sha256 = execFileSync("sha256sum", [join(copy, part.name)], { encoding: "utf8" }).slice(0, 64);
      part.bytes = readFileSync(join(copy, part.name)).length;
    }
    const sum = execFileSync("sha256sum", { input: JSON.stringify(manifest), encoding: "utf8" }).slice(0, 64);
    writeFileSync(join(copy, "manifest.json"), JSON.stringify({ ...manifest, sum }));
    const { code, said } = await hub.run(["restore", "@a.test", copy, "--yes"]);
    expect([code, said?.outcome]).toEqual([4, "rolled_back"]);
    expect(said?.error?.state).toMatch(/serves from @platform_d7 \(GET \/ 200/);
    if (without(hub.tree()) !== without(before)) expect.fail(treeDifference(without(hub.tree()), without(before)));
    expect(readdirSync(hub.path("backups/a.test"))).toHaveLength(2);
    await hub.do("backups", "verify", "--all");
  });

  it("M10, W23: what a kill left of a backup stands in no later one's way", async () => {
    const hub = world();
    for (const at of ["25", "45"]) {
      const { signal } = await hub.run(["backup", "@a.test"], { env: { PROVISION_TEST_KILL_AT: at } });
      expect(signal).toBe("SIGKILL");
    }
    const id = await backup(hub);
    expect(readdirSync(hub.path("backups/a.test"))).toEqual([id]);
  });

  it("M11: of two backups at once one is made and the other told that it is locked; with --lock-wait both are made", async () => {
    const hub = world();
    const both = await Promise.all([1, 2].map(() => hub.run(["backup", "@a.test"])));
    const codes = both.map(({ code }) => code).sort();
    expect([
      [0, 0],
      [0, 75],
    ]).toContainEqual(codes);
    const made = codes.filter((code) => code === 0).length;
    await Promise.all([1, 2].map(() => hub.do("backup", "@a.test", "--lock-wait")));
    expect(readdirSync(hub.path("backups/a.test"))).toHaveLength(made + 2);
    await hub.do("backups", "verify", "--all");
  });

  it.skipIf(process.getuid?.() !== 0)(
    "M15: a disk that is full, before or in the middle: said, and nothing of the backup stays",
    async () => {
      const hub = world();
      mkdirSync(hub.path("backups"), { recursive: true });
      expect((await run("mount", ["-t", "tmpfs", "-o", "size=34m,mode=0700", "tmpfs", hub.path("backups")])).code).toBe(0);
      try {
        const files = hub.path("platforms/d7/sites/a.test/files");
        writeFileSync(join(files, "big.bin"), execFileSync("head", ["-c", String(8 << 20), "/dev/urandom"], { maxBuffer: 1 << 26 }));
        const refused = await hub.run(["backup", "@a.test"]);
        expect([refused.code, refused.said?.error?.code, refused.said?.error?.state]).toEqual([1, "DISK_FULL", "nothing was changed"]);
        rmSync(join(files, "big.bin"));
        // The guard lets it pass, and then somebody else takes the room.
        writeFileSync(join(files, "some.bin"), execFileSync("head", ["-c", String(1 << 20), "/dev/urandom"], { maxBuffer: 1 << 26 }));
        const bin = hub.path("bin");
        mkdirSync(bin);
        writeFileSync(
          join(bin, "tar"),
          `#!/bin/sh\nPATH=\${PATH#*:}\nhead -c 64m /dev/zero > ${hub.path("backups/other")} 2>/dev/null\nexec tar "$@"\n`,
          { mode: 0o755 },
        );
        const full = await hub.run(["backup", "@a.test"], { env: { PATH: `${bin}:${process.env["PATH"]}` } });
        rmSync(hub.path("backups/other"));
        expect([full.code, full.said?.error?.code]).toEqual([4, "DISK_FULL"]);
        expect(readdirSync(hub.path("backups"))).toEqual([]);
        await backup(hub);
      } finally {
        await run("umount", [hub.path("backups")]);
      }
    },
  );

  it("W6: a backup knows platform, profile, aliases and extensions, and comes back with them", async () => {
    const hub = world();
    const id = await backup(hub);
    const manifest = JSON.parse(readFileSync(hub.path("backups/a.test", id, "manifest.json"), "utf8"));
    expect(manifest).toMatchObject({ profile: "minimal", platform: { name: "@platform_d7" }, context: { aliases: ["www.a.test"] } });
    expect(manifest.extensions.length).toBeGreaterThan(0);
    await hub.do("delete", "@a.test", "--yes");
    await hub.do("deploy", "@a.test", id);
    expect(readFileSync(hub.path("aliases/a.test.yml"), "utf8")).toMatch(/www\.a\.test/);
  });

  it("W8: settings.php is not touched by a backup, and is in none", async () => {
    const hub = world();
    const before = hub.tree();
    const id = await backup(hub);
    const names = execFileSync("sh", ["-c", 'zstd -dc "$1" | tar -t', "sh", hub.path("backups/a.test", id, "site.tar.zst")], {
      encoding: "utf8",
    });
    expect(names).not.toContain("settings.php");
    expect(without(hub.tree())).toBe(without(before));
  });

  it("W9, M6: nothing is deployed over a site that is there, and a forced installation takes a backup first", async () => {
    const hub = world();
    const id = await backup(hub);
    const before = hub.tree();
    const { said } = await hub.run(["deploy", "@a.test", id]);
    expect(said?.error?.code).toBe("NAME_TAKEN");
    expect(hub.tree()).toBe(before);
    await hub.do("install", "@a.test", "--force-reinstall", "--yes");
    expect(readdirSync(hub.path("backups/a.test"))).toHaveLength(2);
  });

  it("W10: a site whose final backup fails is not deleted; only backups can be deleted as such", async () => {
    const hub = world();
    const id = await backup(hub);
    const before = hub.tree();
    const bin = hub.path("bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "zstd"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    const failed = await hub.run(["delete", "@a.test", "--yes"], { env: { PATH: `${bin}:${process.env["PATH"]}` } });
    rmSync(bin, { recursive: true });
    expect([failed.code, failed.said?.outcome]).toEqual([4, "rolled_back"]);
    expect(hub.tree()).toBe(before);
    for (const word of [hub.path("provision.yml"), `a.test/${id}`, "provision.yml"])
      expect([64, 66]).toContain((await hub.run(["backups", "delete", word, "--yes"])).code);
    expect([existsSync(hub.path("provision.yml")), hub.tree() === before]).toEqual([true, true]);
  });
});
