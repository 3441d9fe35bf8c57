import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readSitesPhp, sitesPhp } from "../../../src/engines/sites-php.js";

const NAMES = new Map([
  ["www.example.com", "example.com"],
  ["example.com", "example.com"],
  ["*.example.com", "example.com"],
  ["shop.example.com", "shop.example.com"],
  ["*.b.example.com", "shop.example.com"],
  ["8080.localhost", "local.test"],
]);

describe("sitesPhp", () => {
  const directory = mkdtempSync(join(tmpdir(), "provision-sites-php-"));
  afterAll(() => rmSync(directory, { recursive: true }));

  /** `$sites` as core gets it from the file, asked as this host. */
  function sites(names: ReadonlyMap<string, string>, host: string, env: Readonly<Record<string, string>> = {}): Record<string, string> {
    writeFileSync(join(directory, "sites.php"), sitesPhp(names));
    const script = `$_SERVER['HTTP_HOST'] = $argv[1]; $f = function () { $sites = array(); include $GLOBALS['argv'][2]; return $sites; }; echo json_encode($f() ?: new stdClass);`;
    return JSON.parse(
      execFileSync("php", ["-r", script, host, join(directory, "sites.php")], { encoding: "utf8", env: { ...process.env, ...env } }),
    ) as Record<string, string>;
  }

  it("does not depend on the order of the names", () => {
    expect(sitesPhp(new Map([...NAMES].reverse()))).toBe(sitesPhp(NAMES));
  });

  it("is read back, by entry", () => {
    expect(readSitesPhp(sitesPhp(NAMES))).toEqual(new Map([...NAMES].sort()));
    expect(readSitesPhp(sitesPhp(new Map()))).toEqual(new Map());
    const hostile = new Map([["it's.test", "a\\b'; system('id'); //"]]);
    expect(readSitesPhp(sitesPhp(hostile))).toEqual(hostile);
  });

  it.each([
    ["an operator's own file", "<?php\n$sites['example.com'] = 'example.com';\n"],
    ["the example that core ships", "<?php\n/** @file */\n"],
    ["an empty file", ""],
    ["ours with a line of an operator", sitesPhp(NAMES).replace("$sites['example.com']", "# mine\n$sites['example.com']")],
    ["ours with a computed entry", sitesPhp(NAMES).replace("= 'example.com';", "= getenv('X');")],
    ["ours with an entry out of order", sitesPhp(new Map([["b", "b"]])).replace("$sites['b']", "$sites['c'] = 'c';\n$sites['b']")],
    ["ours with something behind it", `${sitesPhp(NAMES)}$sites['x'] = 'y';\n`],
    ["ours, cut off", sitesPhp(NAMES).slice(0, -20)],
  ])("takes %s for not ours", (_, text) => {
    expect(readSitesPhp(text)).toBeUndefined();
  });

  it("gives core the exact names as they are", () => {
    expect(sites(NAMES, "example.com")).toEqual({
      "8080.localhost": "local.test",
      "example.com": "example.com",
      "shop.example.com": "shop.example.com",
      "www.example.com": "example.com",
    });
  });

  it.each([
    ["any.example.com", "example.com"],
    ["ANY.example.com:8080", "example.com"],
    ["deep.any.example.com", "example.com"],
    ["x.b.example.com", "shop.example.com"],
    ["shop.example.com", "shop.example.com"],
    ["b.example.com", "example.com"],
    ["example.com.", "example.com"],
  ])("leads %s to %s by the nearest wildcard, an exact name first", (host, expected) => {
    const name = host.toLowerCase().replace(/(:\d+|\.)$/, "");
    expect(sites(NAMES, host)[name]).toBe(expected);
  });

  it.each(["other.org", "example.org", "xexample.com", "com", ""])("leads %s nowhere", (host) => {
    expect(sites(NAMES, host)[host]).toBeUndefined();
  });

  it("a wildcard does not mean the name above it", () => {
    expect(sites(new Map([["*.example.com", "a"]]), "example.com")).toEqual({});
  });

  it("chooses another generation by the environment, for the sites that have it", () => {
    mkdirSync(join(directory, "example.com~g2"));
    const chosen = sites(NAMES, "x.example.com", { PROVISION_GENERATION: "g2" });
    expect(chosen["example.com"]).toBe("example.com~g2");
    expect(chosen["x.example.com"]).toBe("example.com~g2");
    expect(chosen["shop.example.com"]).toBe("shop.example.com");
    expect(sites(NAMES, "example.com", { PROVISION_GENERATION: "../g2" })["example.com"]).toBe("example.com");
    expect(sites(NAMES, "example.com")["example.com"]).toBe("example.com");
  });
});
