import { execFileSync } from "node:child_process";
import { linkSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { unpack } from "../../src/builds/make/archive.js";
import { isTame, readTar, writeTree } from "../../src/builds/make/tar.js";
import { tameTree } from "../../src/builds/make/tree.js";
import { Scope } from "../../src/core/scope.js";
import { LocalHost } from "../../src/host/local.js";
import { rawTar, temporaryDirectory, treeOf, writeFiles } from "../support/make-fixtures.js";

let work: string;
beforeEach(() => {
  work = temporaryDirectory();
});
afterEach(() => {
  rmSync(work, { recursive: true });
});

const long = `${"n".repeat(80)}/${"m".repeat(80)}/${"o".repeat(80)}`;

/** All that an ordinary archive may hold, of different ages. */
function source(): string {
  const root = join(work, "source");
  writeFiles(join(root, "top"), {
    "a.module": "a",
    "run.sh*": "#!/bin/sh\n",
    empty: "",
    "with space": "s",
    "ünïcode €": "u",
    "back\\slash": "b",
    "new\nline": "n",
    "deep/er/file": "x".repeat(1000),
    block: "y".repeat(512),
    [long]: "long",
  });
  mkdirSync(join(root, "top/nothing"));
  symlinkSync("a.module", join(root, "top/link"));
  symlinkSync(`deep/${"../".repeat(40)}a`.replaceAll("../", "./"), join(root, "top/long link"));
  linkSync(join(root, "top/a.module"), join(root, "top/z hard"));
  utimesSync(join(root, "top/a.module"), 1_000_000_000, 1_000_000_000);
  utimesSync(join(root, "top/deep"), 1_100_000_000, 1_100_000_000);
  return root;
}

const tar = (...args: string[]) => execFileSync("tar", args);
const ages = (root: string) =>
  readdirSync(root, { recursive: true, encoding: "utf8" })
    .sort()
    .map((name) => [name, lstatSync(join(root, name)).isSymbolicLink() ? 0 : Math.floor(lstatSync(join(root, name)).mtimeMs / 1000)]);

describe("a plain archive is unpacked in this process as tar(1) does it", () => {
  it.each(["ustar", "gnu", "pax", "posix"])("%s", async (format) => {
    const from = source();
    if (format === "ustar")
      for (const name of [long.split("/", 1)[0] ?? "", "long link"]) rmSync(join(from, "top", name), { recursive: true });
    const archive = join(work, "a.tar");
    tar("-c", `--format=${format}`, "-f", archive, "-C", from, "top");
    const bytes = readFileSync(archive);
    const members = readTar(bytes);
    const [ours, theirs] = [join(work, "ours"), join(work, "theirs")];
    mkdirSync(ours);
    mkdirSync(theirs);
    await writeTree(bytes, members ?? [], ours, undefined);
    tar("-x", "-f", archive, "-C", theirs, "--no-same-owner", "--no-same-permissions");
    expect(ages(ours)).toEqual(ages(theirs));
    expect(lstatSync(join(ours, "top/z hard")).ino).toBe(lstatSync(join(ours, "top/a.module")).ino);
    await tameTree(theirs);
    await tameTree(ours);
    expect(treeOf(ours)).toEqual(treeOf(theirs));
  });

  it("packed or not, of one piece or several, and at any place in memory", async () => {
    const files = { "a/b": "b".repeat(3000), "a/c*": "c" };
    writeFiles(join(work, "in"), files);
    const archive = join(work, "a.tar");
    tar("-c", "-f", archive, "-C", join(work, "in"), ".");
    const plain = readFileSync(archive);
    const packed = Buffer.concat([gzipSync(plain.subarray(0, 700)), gzipSync(plain.subarray(700))]);
    writeFileSync(join(work, "a.tar.gz"), packed);
    const host = new LocalHost(new Scope());
    const trees: string[][] = [];
    for (const [name, kind] of [
      ["a.tar", "tar"],
      ["a.tar.gz", "tar.gz"],
    ] as const) {
      expect(await unpack(host, join(work, name), kind, join(work, kind))).toBe(true);
      trees.push(treeOf(join(work, kind)));
    }
    expect(trees[0]).toEqual(trees[1]);
    expect(trees[0]).toContain("a/c 755 4a8a08f09d37b73795649038408b5f33");
    expect(readTar(Buffer.concat([Buffer.from("x"), plain]).subarray(1))).toEqual(readTar(plain));
  });

  it("leaves nothing for the taming of trees, or says that it does", async () => {
    const tree = (members: Parameters<typeof rawTar>[0]) => readTar(rawTar(members)) ?? [];
    expect(
      isTame(
        tree([
          { name: "a", mode: 0o6777 },
          { name: "d/", type: "5", mode: 0 },
        ]),
      ),
    ).toBe(true);
    expect(isTame(tree([{ name: "a" }, { name: "l", type: "2", link: "/etc/passwd" }]))).toBe(false);
    expect(isTame(tree([{ name: "a/.git/config" }]))).toBe(false);
    expect(isTame(tree([{ name: ".git", type: "5" }]))).toBe(false);
    const bytes = rawTar([
      { name: "a", mode: 0o6777, content: "1" },
      { name: "b", mode: 0o4644 },
      { name: "d/", type: "5", mode: 0 },
      { name: "d/e" },
    ]);
    const umask = process.umask(0o027);
    try {
      expect(isTame(readTar(bytes) ?? [])).toBe(false);
      process.umask(0o022);
      mkdirSync(join(work, "out"));
      await writeTree(bytes, readTar(bytes) ?? [], join(work, "out"), undefined);
      const before = treeOf(join(work, "out"));
      await tameTree(join(work, "out"));
      expect(treeOf(join(work, "out"))).toEqual(before);
    } finally {
      process.umask(umask);
    }
  });
});

describe("what is not plain in every respect is left to tar(1)", () => {
  const good = { name: "a", content: "1" };
  /** A header with its sum made right again. */
  const changed = (change: (header: Buffer) => void) => {
    const bytes = rawTar([good]);
    change(bytes);
    bytes.write("        ", 148);
    const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    return bytes;
  };
  const pax = (record: string, type = "x") => {
    const length = record.length + 4;
    return rawTar([{ name: "pax", type, content: `${length > 99 ? length : ` ${length}`.trim()} ${record}\n` }, good]);
  };

  it("an archive that is plain is not", () => {
    expect(readTar(rawTar([good]))).toHaveLength(1);
    expect(readTar(changed(() => undefined))).toHaveLength(1);
    expect(readTar(pax("comment=abcdefg", "g"))).toHaveLength(1);
    expect(readTar(pax("path=bcdefghijk"))?.[0]?.path).toBe("bcdefghijk");
  });

  it.each<[string, Buffer]>([
    ["a device", rawTar([{ name: "d", type: "3" }])],
    ["a pipe", rawTar([{ name: "d", type: "6" }])],
    ["a sparse file", rawTar([{ name: "d", type: "S" }])],
    ["a type that nobody knows", rawTar([{ name: "d", type: "Z" }])],
    ["a name twice", rawTar([good, good])],
    ["a file where a directory was", rawTar([{ name: "d/", type: "5" }, { name: "d" }])],
    ["a file through a link", rawTar([{ name: "d", type: "2", link: "/etc" }, { name: "d/passwd" }])],
    ["a file through a link that comes later", rawTar([{ name: "d/passwd" }, { name: "d", type: "2", link: "/etc" }])],
    ["a file below a file", rawTar([good, { name: "a/b" }])],
    ["a hard link to what is not there", rawTar([{ name: "h", type: "1", link: "/etc/passwd" }])],
    [
      "a hard link through a link",
      rawTar([
        { name: "l", type: "2", link: "/etc" },
        { name: "h", type: "1", link: "l/passwd" },
      ]),
    ],
    [
      "a hard link to a link",
      rawTar([
        { name: "l", type: "2", link: "/etc/passwd" },
        { name: "h", type: "1", link: "l" },
      ]),
    ],
    ["a name with an empty part", rawTar([{ name: "a//b" }])],
    ["a name with a dot for a part", rawTar([{ name: "a/./b" }])],
    ["a name that is no UTF-8", changed((header) => header.writeUInt8(0xff, 0))],
    ["a header with a wrong sum", rawTar([good]).fill("b", 0, 1)],
    ["no ustar", changed((header) => header.fill(0, 257, 265))],
    ["a size in base 256", changed((header) => header.writeUInt8(0x80, 124))],
    ["a size that is no number", changed((header) => header.write("9", 124))],
    ["a size beyond the end", changed((header) => header.write("77777777777\0", 124))],
    ["no end", rawTar([good]).subarray(0, 1024)],
    ["cut off in a file", rawTar([good]).subarray(0, 600)],
    ["a size in an extended header", pax("size=1234567890")],
    ["a sparse file by an extended header", pax("GNU.sparse.major=1")],
    ["a path for all that follows", pax("path=bcdefghijk", "g")],
    ["a key that nobody knows", pax("linkdest=abcdef")],
    ["an extended header with a wrong length", rawTar([{ name: "pax", type: "x", content: "99 path=b\n" }, good])],
    ["nothing", Buffer.alloc(0)],
  ])("%s", (_, bytes) => {
    expect(readTar(bytes)).toBeUndefined();
  });

  it("members that lead out of the archive, and more than the limits: the refusal is that of the program's list", async () => {
    const host = new LocalHost(new Scope());
    const refusals: [Buffer, RegExp][] = [
      [rawTar([{ name: "/etc/passwd" }]), /\/etc\/passwd has an absolute path/],
      [rawTar([{ name: "a/../../b" }]), /leads out of the archive/],
      [rawTar([good, { name: "b" }]), /holds more than 1 entries/],
      [rawTar([{ name: "a", content: "x".repeat(2000) }]), /unpacks to more than 0 MiB/],
    ];
    for (const [bytes, why] of refusals) {
      writeFileSync(join(work, "a.tar"), bytes);
      const into = join(work, "into");
      await expect(unpack(host, join(work, "a.tar"), "tar", into, { entries: 1, bytes: 1000 })).rejects.toThrow(why);
      expect(readdirSync(work)).toEqual(["a.tar"]);
    }
  });

  it("a stop ends it between two files", async () => {
    const bytes = rawTar(Array.from({ length: 5000 }, (_, index) => ({ name: `f${index}`, content: "x" })));
    const stop = new AbortController();
    mkdirSync(join(work, "out"));
    const written = writeTree(bytes, readTar(bytes) ?? [], join(work, "out"), stop.signal);
    stop.abort();
    await expect(written).rejects.toMatchObject({ code: "STOPPED" });
    expect(readdirSync(join(work, "out")).length).toBeLessThan(5000);
  });
});
