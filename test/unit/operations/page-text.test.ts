import { describe, expect, it } from "vitest";
import { changedSince } from "../../../src/operations/parts/fingerprint.js";
import { pageDifferences, pageText, pathsOn } from "../../../src/operations/parts/page-text.js";

const LIVE = [
  ["http://example.com:8080", "URL"],
  ["example.com", "SITE"],
] as const;
const COPY = [["http://rehearse-7f3a.example.com:8080", "URL"], ["rehearse-7f3a.example.com", "SITE"], ...LIVE] as const;

const html = (body: string, title = "Home | example.com", status = 200, headers: Readonly<Record<string, string>> = {}) => ({
  status,
  headers: { "content-type": "text/html; charset=utf-8", ...headers },
  body: `<html><head><title>${title}</title><style>a{}</style></head><body>${body}</body></html>`,
});
const compared = (one: ReturnType<typeof html>, other: ReturnType<typeof html>, again = one) =>
  pageDifferences(pageText(one, LIVE), pageText(again, LIVE), pageText(other, COPY));

describe("pages of two sites", () => {
  it.each([
    ["host names", "<p>Welcome to example.com</p>", "<p>Welcome to rehearse-7f3a.example.com</p>"],
    ["URLs", "<p>See http://example.com:8080/a</p>", "<p>See http://rehearse-7f3a.example.com:8080/a</p>"],
    ["times", "<p>Mon, 11/23/2026 - 19:51, 3 sec ago</p>", "<p>Mon, 11/24/2026 - 20:00, 12 sec ago</p>"],
    ["dates in words", "<p>23 November 2026 and Nov 23, 2026</p>", "<p>1 December 2026 and Dec 1, 2026</p>"],
    ["tokens", "<p>form-Zx81jQmR0aPqL_2vWs</p>", "<p>form-A1b2C3d4E5f6G7h8i9</p>"],
    ["asset query strings", "<p>style.css?t1x9</p>", "<p>style.css?t2a0</p>"],
    ["scripts, styles and comments", "<p>a<script>var x=1</script></p>", "<p>a<script>var x=2</script><!-- later --></p>"],
    ["hidden fields", '<form><input type="hidden" value="1">go</form>', '<form><input type="hidden" value="2">go</form>'],
  ])("are the same but for %s", (_what, one, other) => {
    expect(compared(html(one), html(other))).toEqual([]);
  });

  it("differ in status, title, target and text, and say how", () => {
    expect(compared(html("a"), html("a", "x", 500))).toEqual(["200 became 500"]);
    expect(compared(html("a"), html("a", "Another"))).toEqual(['the title "Home | SITE" became "Another"']);
    expect(compared(html("", "x", 302, { location: "/a" }), html("", "x", 302, { location: "/b" }))).toEqual([
      "it sends to /b, and did to /a",
    ]);
    expect(compared(html("<p>one <b>big</b> cat</p><p>two</p>"), html("<p>two</p><p>three</p>"))).toEqual([
      'gone: "one big cat"',
      'new: "three"',
    ]);
    expect(compared(html("<p>Warning</p>"), html(""))).toEqual(['gone: "Warning"']);
  });

  it("what differs between two visits of one page does not count, and what is beside it does", () => {
    const [one, again] = [html("<p>dog of the day</p><p>stays</p>"), html("<p>cat of the day</p><p>stays</p>")];
    expect(compared(one, html("<p>cow of the day</p><p>stays</p>"), again)).toEqual([]);
    expect(compared(one, html("<p>cow of the day</p>"), again)).toEqual(['gone: "stays"']);
    expect(compared(one, html("<p>cow of the day</p><p>stays</p><p>worse</p>"), again)).toEqual(['new: "cow of the day", "worse"']);
  });

  it("links lead to pages of the site, each once, and to nothing that changes something", () => {
    const body = `<a href="/">home</a><a class="x" href='/node/1#top'>1</a><a href="http://example.com:8080/about">a</a><a href="https://other.org/x">o</a>
      <a href="/user/logout">bye</a><a href="/node/1">again</a><a href="/files/a.pdf">pdf</a><a href="mailto:a@b">m</a><a href="/list?page=1">2</a>
      <url><loc>http://example.com/from-sitemap</loc></url>`;
    expect(pathsOn(body, ["example.com"], "")).toEqual(["/", "/node/1", "/about", "/from-sitemap"]);
    expect(pathsOn('<a href="/foo/a">a</a><a href="/foobar">b</a><a href="/foo">c</a>', ["example.com"], "/foo")).toEqual(["/a", "/"]);
  });
});

describe("what has changed since a rehearsal", () => {
  it("is named with what it was and is; contents of trees only by name", () => {
    const before = { "core of @p": "7.99", "files of @q": "a", "module views of the site": "7.x-3.28" };
    expect(changedSince(before, { "core of @p": "7.99", "files of @q": "b", "PHP of @q": "8.2" })).toEqual([
      "PHP of @q: was not there → 8.2",
      "files of @q: changed",
      "module views of the site: 7.x-3.28 → is gone",
    ]);
    expect(changedSince(before, before)).toEqual([]);
  });
});
