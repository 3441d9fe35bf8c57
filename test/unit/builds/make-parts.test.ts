import { describe, expect, it } from "vitest";
import { addressOf, shown, withMirrors } from "../../../src/builds/make/address.js";
import { PhpFloat } from "../../../src/builds/make/php-value.js";
import { chooseRelease, isCompatible, parseReleaseHistory, releaseFor } from "../../../src/builds/make/release-history.js";
import { insideTree, unsafeName, unsafePath } from "../../../src/builds/make/safe-path.js";
import { Slots } from "../../../src/builds/make/slots.js";
import { parseXml } from "../../../src/builds/make/xml.js";

describe("addresses", () => {
  it.each([
    ["https://me:pass@example.org/a", "https://example.org/a"],
    ["https://token@example.org/a?x=1", "https://example.org/a?x=1"],
    ["https://a:p@b@example.org/a", "https://example.org/a"],
    ["https://example.org/a?access_token=abc&x=1", "https://example.org/a?access_token=***&x=1"],
    ["ssh://git:pass@example.org/a", "ssh://git@example.org/a"],
    ["git@example.org:a.git", "git@example.org:a.git"],
    ["/srv/a", "/srv/a"],
  ])("%s is shown as %s", (url, expected) => expect(shown(url)).toBe(expected));

  it("the longest mirror prefix comes first, a prefix ends at a border, and nothing leaves a mirror's directory", () => {
    const mirrors = { "https://a.org/": "/m", "https://a.org/x": "/mx", "https://b.org/": "http://c.org/b" };
    expect(withMirrors("https://a.org/x/1.gz?y=1", mirrors)).toEqual([
      { path: "/mx/1.gz" },
      { path: "/m/x/1.gz" },
      { url: "https://a.org/x/1.gz?y=1" },
    ]);
    expect(withMirrors("https://a.org/xy", mirrors)).toEqual([{ path: "/m/xy" }, { url: "https://a.org/xy" }]);
    expect(withMirrors("https://b.org/1", mirrors)).toEqual([{ url: "http://c.org/b/1" }]);
    expect(withMirrors("https://a.org/%2e%2e/%2e%2e/etc/passwd", mirrors)).toEqual([{ url: "https://a.org/%2e%2e/%2e%2e/etc/passwd" }]);
  });

  it("a path starts at the file that says it, also when that file came from the web", () => {
    const mark = { file: "/m/inc/a.make", line: 1, column: 1 };
    expect(addressOf("p/x.patch", mark, "/m/site.make")).toEqual({ path: "/m/inc/p/x.patch" });
    expect(addressOf("p/x.patch", { ...mark, file: "http://h.org/d/a.make" }, "/m/site.make")).toEqual({ url: "http://h.org/d/p/x.patch" });
    expect(addressOf("file:///srv/a%20b", mark, "/m/site.make")).toEqual({ path: "/srv/a b" });
    for (const bad of ["javascript:x", "ext::sh", "-x", "file://host/x"])
      expect(() => addressOf(bad, mark, "/m/site.make")).toThrow(/refused/);
  });
});

describe("paths out of a make file", () => {
  it.each(["../x", "a/../../x", "/x", "a/./b", "~/x", "a\0", "a\nb", ".git/hooks", "a/.GIT", "a\\b", "x".repeat(2000)])(
    "%j is refused",
    (path) => expect(unsafePath(path)).toBeDefined(),
  );
  it.each(["a", "a/b.c", "jquery.ui-1", " v ", "..a"])("%j is fine", (path) => expect(unsafePath(path)).toBeUndefined());
  it.each(["", "-x", "a/b", ".."])("the name %j is refused", (name) => expect(unsafeName(name)).toBeDefined());
  it("dots that stay inside are brought to their short form", () => {
    expect(insideTree("sites/all/../all//x")).toBe("sites/all/x");
    expect(insideTree("sites/../../x")).toBeUndefined();
  });
});

describe("release history", () => {
  const release = (version: string, major: number, more = "") =>
    `<release><version>${version}</version><version_major>${major}</version_major><status>published</status>${more}</release>`;
  const history = (...releases: string[]) =>
    parseReleaseHistory(
      `<project><type>project_module</type><releases>${releases.join("")}</releases><supported_branches>8.x-1.,2.0.</supported_branches></project>`,
      "x",
    );

  it("from Drupal 8 on takes what fits the core, under either kind of number", () => {
    const list = history(
      release("2.0.1", 2, "<core_compatibility>^10</core_compatibility>"),
      release("8.x-1.5", 1, "<core_compatibility>^8.8 || ^9</core_compatibility>"),
    );
    expect(releaseFor(list, "10.x", "", false)?.version).toBe("2.0.1");
    expect(releaseFor(list, "9.x", "", false)?.version).toBe("8.x-1.5");
    expect(releaseFor(list, "9.x", "1.5", false)?.version).toBe("8.x-1.5");
    expect(releaseFor(list, "10.x", "2.0.1", false)?.version).toBe("2.0.1");
    expect(releaseFor(list, "10.x", "1.5", false)).toBeUndefined();
  });

  it("core 7 is the newest stable 7, where drush finds nothing", () => {
    const list = history(release("7.x-dev", 7, "<version_extra>dev</version_extra>"), release("7.99", 7));
    expect(releaseFor(list, "7.x", "7", true)?.version).toBe("7.99");
    expect(chooseRelease(list, "7")).toBeUndefined();
  });

  it.each([
    ["^8.8 || ^9", 9, true],
    ["^8.8 || ^9", 10, false],
    [">=9", 10, true],
    ["<9", 9, false],
    [">=8.7 <10", 9, true],
    [undefined, 7, true],
  ])("%s fits core %i: %s", (range, major, expected) => expect(isCompatible(range, major)).toBe(expected));

  it("XML that breaks off is no release history", () => {
    expect(parseXml("<a><b>x</b>")).toBeUndefined();
    expect(parseXml("<a><!-- c --><b x='>'>1 &amp; &#50;</b><c/></a>")?.children.map(({ name, text }) => [name, text])).toEqual([
      ["b", "1 & 2"],
      ["c", ""],
    ]);
    expect(parseReleaseHistory("<html>busy", "x").error).toContain("not a release history");
  });
});

it.each([
  [1, "1"],
  [3.1, "3.1"],
  [0.00001, "1.0E-5"],
  [1e15, "1.0E+15"],
  [1.5e20, "1.5E+20"],
  [0.1 + 0.2, "0.3"],
])("PHP prints the float %d as %s", (value, expected) => expect(new PhpFloat(value).toString()).toBe(expected));

it("slots let no more run at a time than there are", async () => {
  const slots = new Slots(2);
  let running = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 8 }, () =>
      slots.run(async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 2));
        running--;
      }),
    ),
  );
  expect(most).toBe(2);
});
