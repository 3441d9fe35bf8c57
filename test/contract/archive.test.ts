import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ProvisionError } from "../../src/core/errors.js";
import { Scope } from "../../src/core/scope.js";
import { LocalHost } from "../../src/host/local.js";
import { compressed, examine, pack, sha256Of, type UnpackLimits, unpackTar } from "../../src/steps/archive.js";
import { failure } from "../support/failure.js";

const LIMITS: UnpackLimits = { entries: 1000, bytes: 1 << 20, links: "inside" };

describe("archives", () => {
  const host = new LocalHost(new Scope());
  let base: string;
  const at = (...parts: readonly string[]) => join(base, ...parts);
  const tar = (...args: readonly string[]) => execFileSync("tar", args, { stdio: "pipe" });

  beforeAll(() => {
    base = mkdtempSync(join(tmpdir(), "provision-archive-"));
    mkdirSync(at("tree/files/css"), { recursive: true });
    mkdirSync(at("tree/files/sub"));
    mkdirSync(at("tree/private"));
    writeFileSync(at("tree/files/sub/-name with\nall.txt"), "one");
    writeFileSync(at("tree/files/css/made.css"), "two");
    symlinkSync("sub", at("tree/files/link"));
  });
  afterAll(() => rmSync(base, { recursive: true, force: true }));

  test("what is packed is hashed on its way, for the owner alone, and unpacked it is the same but for what was left out", async () => {
    const packed = await pack(
      host,
      { directory: at("tree"), members: ["files", "private", "config"], exclude: ["files/css"] },
      at("a.tar.zst"),
    );
    expect(packed.sha256).toBe(await sha256Of(host, at("a.tar.zst")));
    expect([packed.bytes, packed.vanished, packed.changed]).toEqual([statSync(at("a.tar.zst")).size, [], []]);
    expect(statSync(at("a.tar.zst")).mode & 0o777).toBe(0o600);
    expect((await examine(host, at("a.tar.zst"), LIMITS)).bytes).toBe(3);
    mkdirSync(at("out"));
    await unpackTar(host, at("a.tar.zst"), at("out"));
    expect(readFileSync(at("out/files/link/-name with\nall.txt"), "utf8")).toBe("one");
    expect([existsSync(at("out/private")), existsSync(at("out/files/css"))]).toEqual([true, false]);
  });

  test("a program that fails, whichever in the pipe, fails all; a file cannot be written where there is no directory", async () => {
    for (const [from, to] of [
      [["sh", "-c", "echo half; exit 3"], at("b.zst")],
      [["echo", "all"], at("nowhere/b.zst")],
    ] as const)
      expect((await failure(compressed(host, [from[0] as string, ...from.slice(1)], to))).code).toBe("COMMAND_FAILED");
  });

  test("nothing to pack is an archive too", async () => {
    await pack(host, { directory: at("tree"), members: ["no such"], exclude: [] }, at("empty.tar.zst"));
    expect(await examine(host, at("empty.tar.zst"), LIMITS)).toMatchObject({ entries: 0, bytes: 0 });
  });

  const hostile: readonly (readonly [string, () => void, RegExp])[] = [
    ["an absolute path", () => tar("-cPf", at("x.tar"), at("tree/files/css/made.css")), /absolute path/],
    ["a path that climbs", () => tar("-cPf", at("x.tar"), "-C", at("tree/files"), "../private"), /leads out of the archive/],
    ["a link to an absolute path", () => link("/etc"), /points to the absolute path \/etc/],
    ["a link that climbs", () => link("../../etc"), /points out of the archive/],
    ["a link that climbs in its middle", () => link("files/../../../etc"), /points out of the archive/],
    ["a link whose name and target cannot be told apart", () => link("a -> ../../etc"), /cannot be told from its target/],
    ["a pipe", () => tree((path) => execFileSync("mkfifo", [join(path, "pipe")])), /no file, directory or link/],
    [
      "too many members",
      () => tree((path) => Array.from({ length: 1100 }, (_, n) => writeFileSync(join(path, `${n}`), ""))),
      /more than 1000 entries/,
    ],
    [
      "a bomb",
      () =>
        tree((path) => {
          writeFileSync(join(path, "zeros"), "");
          truncateSync(join(path, "zeros"), 200 << 20);
        }),
      /more than 1 MiB|larger than 1 MiB/,
    ],
    ["no archive at all", () => writeFileSync(at("x.tar"), "hello"), /no tar archive/],
  ];

  function tree(fill: (path: string) => unknown): void {
    const path = mkdtempSync(at("hostile-"));
    fill(path);
    tar("-cf", at("x.tar"), "-C", path, ".");
  }
  function link(target: string): void {
    tree((path) => symlinkSync(target, join(path, "link")));
  }

  test.each(hostile)("%s is refused, and nothing of it unpacked", async (_, make, why) => {
    make();
    const error = (await failure(examine(host, at("x.tar"), LIMITS))) as ProvisionError;
    expect([error.code, error.message]).toEqual(["REFUSED", expect.stringMatching(why)]);
  });

  test("a device is refused", async () => {
    if (process.getuid?.() !== 0) return;
    tree((path) => execFileSync("mknod", [join(path, "null"), "c", "1", "3"]));
    expect((await failure(examine(host, at("x.tar"), LIMITS))).message).toMatch(/no file, directory or link/);
  });

  test("an operator's own links are his, when they are asked for", async () => {
    link("/srv/shared");
    await examine(host, at("x.tar"), { ...LIMITS, links: "any" });
  });

  test("an archive that was cut off is refused", async () => {
    await pack(host, { directory: at("tree"), members: ["files"], exclude: [] }, at("cut.tar.zst"));
    truncateSync(at("cut.tar.zst"), statSync(at("cut.tar.zst")).size - 10);
    expect((await failure(examine(host, at("cut.tar.zst"), LIMITS))).code).toBe("REFUSED");
  });
});
