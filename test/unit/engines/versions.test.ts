import { describe, expect, it } from "vitest";
import { compareVersions, isBelow, lowest, satisfies } from "../../../src/engines/versions.js";

describe("versions of extensions and cores", () => {
  it.each([
    ["7.x-3.29", "7.x-3.9", 1],
    ["7.x-3.9", "7.x-3.29", -1],
    ["7.103", "7.99", 1],
    ["10.5.8", "10.4.9", 1],
    ["2.0.0", "8.x-1.5", 1],
    ["8.x-2.0", "2.0.0", 0],
    ["1.0.0", "1.0.0", 0],
    ["7.x-1.0-rc1", "7.x-1.0", -1],
    ["7.x-1.0-rc2", "7.x-1.0-rc1", 1],
    ["7.x-1.0-beta3", "7.x-1.0-rc1", -1],
    ["7.x-1.0-alpha10", "7.x-1.0-alpha9", 1],
    ["7.x-1.0+3-dev", "7.x-1.0", 1],
    ["7.x-1.0+3-dev", "7.x-1.1", -1],
    ["7.x-1.0+3-dev", "7.x-1.0+12-dev", -1],
    ["7.x-2.x-dev", "7.x-1.9", 1],
    ["7.x-1.x-dev", "7.x-2.0", -1],
    ["v1.2.3", "1.2.4", -1],
  ])("%s against %s: %i", (a, b, expected) => {
    expect(compareVersions(a, b)).toBe(expected);
  });

  it.each([
    ["7.x-1.x-dev", "7.x-1.9"],
    ["1.28.x-dev", "1.28.1"],
    ["master", "1.0"],
    ["7.x-1.x-dev", "7.x-1.5+2-dev"],
  ])("%s against %s cannot be told", (a, b) => {
    expect(compareVersions(a, b)).toBeUndefined();
    expect(compareVersions(b, a)).toBeUndefined();
  });

  it("the same text is the same, whatever it says", () => {
    expect(compareVersions("unknown", "unknown")).toBe(0);
    expect(compareVersions("7.x-1.x-dev", "7.x-1.x-dev")).toBe(0);
  });
});

describe("versions of PHP and databases", () => {
  it.each([
    ["8.2.36-1~deb12u1", "8.3", true],
    ["8.2.36-1~deb12u1", "8.2.0", false],
    ["10.11.19-MariaDB-0+deb12u1", "10.3.7", false],
    ["10.2.44-MariaDB", "10.3.7", true],
    ["5.3", "5.3.3", true],
    ["15.18 (Debian 15.18-0+deb12u1)", "12", false],
  ])("%s is below %s: %s", (version, least, expected) => {
    expect(isBelow(version, least)).toBe(expected);
  });
});

describe("constraints", () => {
  it.each([
    ["10.4.9", "^9.2 || ^10", true],
    ["11.0.1", "^9.2 || ^10", false],
    ["10.4.9", "^8.8|^9|^10", true],
    ["9.1.0", "^9.2", false],
    ["10.4.9", ">=8", true],
    ["10.4.9", ">= 8.1, < 10", false],
    ["10.4.9", ">=10.1 <11", true],
    ["8.7.4", "~8.7.0", true],
    ["8.8.0", "~8.7.0", false],
    ["8.9.0", "~8.7", true],
    ["9.0.0", "~8.7", false],
    ["8.6.0", "8.x", true],
    ["9.0.0", "8.x", false],
    ["10.4.9", "10.4.*", true],
    ["10.5.0", "10.4.*", false],
    ["10.4.9", "*", true],
    ["9.5.11", "8 - 9", true],
    ["10.0.0", "8 - 9", false],
    ["10.4.9", "10.4.9", true],
    ["10.4.10", "10.4.9", false],
    ["0.3.5", "^0.3", true],
    ["0.4.0", "^0.3", false],
    ["10.4.9", "^10@dev", true],
    ["10.4.9", ">10.4.9", false],
    ["10.4.10", ">10.4.9", true],
    ["10.4.9", "<=10.4.9", true],
    ["10.4.9", "^10 !=10.4.9", false],
    ["10.5.x-dev", "^10.4", true],
  ])("%s and %s: %s", (version, constraint, expected) => {
    expect(satisfies(version, constraint)).toBe(expected);
  });

  it("what cannot be read is not judged", () => {
    expect(satisfies("10.4.9", "dev-main")).toBeUndefined();
    expect(lowest("dev-main")).toBeUndefined();
  });

  it.each([
    [">=8.1.0", "8.1.0"],
    ["^7.3 || ^8.0", "7.3"],
    ["^8.1, <8.4", "8.1"],
    ["*", undefined],
    ["<8", undefined],
  ])("the oldest that %s allows: %s", (constraint, expected) => {
    expect(lowest(constraint)).toBe(expected);
  });
});
