import { describe, expect, test } from "vitest";
import { Layout } from "../../../src/context/layout.js";
import { fpmKey, placeOf, socketPath } from "../../../src/services/fpm/place.js";
import { markerText, type Pool, poolHash, poolText, readPool, topText } from "../../../src/services/fpm/pool.js";
import { poolUser, userSudoersLine } from "../../../src/services/fpm/users.js";

const place = placeOf(new Layout("/var/aegir"), "@server_master", { php: "8.2" });
const around = {
  place,
  webGroup: "www-data",
  markers: [place.markerScript, "/var/aegir/config/server_master/nginx/include/marker.php"],
  sharing: ["opcache", "apcu"] as const,
};
const user = poolUser("/var/aegir", "site", "example.com");
const member = { open: ["/var/aegir/platforms/d7", "/var/aegir/sites/example.com"], children: null, limits: {} };
const pool = (members: Pool["members"]): Pool => ({
  fpm: { php: "8.2", test: null, reload: null },
  pool: { user, uid: 30_000, gid: 30_000 },
  members,
});

describe("pool files of PHP-FPM", () => {
  test.each([
    ["site", pool({ "example.com": { ...member, children: 3, limits: { php_memory_limit: "256M", php_max_execution_time: 600 } } })],
    [
      "client",
      pool({
        "b.test": { ...member, open: ["/var/aegir/sites/b.test"], children: 12 },
        "a.test": { ...member, limits: { php_memory_limit: "1G" } },
      }),
    ],
  ])("of one %s are as reviewed, read back, and the same bytes each time", async (name, of) => {
    const text = poolText(of, around) ?? "";
    await expect(text).toMatchFileSnapshot(`../../golden/services/php-fpm-pool-${name}.txt`);
    expect(readPool(text)).toEqual({ ...of, members: Object.fromEntries(Object.entries(of.members).sort()) });
    expect(poolText(JSON.parse(JSON.stringify(of)), around)).toBe(text);
    expect(poolHash(text)).toMatch(/^[0-9a-f]{16}$/);
  });

  test("what PHP-FPM includes, and the marker, are as reviewed", async () => {
    const text = `${topText(place)}\n${markerText(place, "www-data", "www-data", "g1")}`;
    await expect(text).toMatchFileSnapshot("../../golden/services/php-fpm-top.txt");
  });

  test("a pool without members has no file; a text that is not ours is nobody's pool", () => {
    expect(poolText(pool({}), around)).toBeUndefined();
    expect(readPool("[www]\nuser = www-data\n")).toBeUndefined();
    expect(readPool("")).toBeUndefined();
  });

  test("APCu and opcache are spoken of only where they are", () => {
    expect(poolText(pool({ "example.com": member }), { ...around, sharing: [] })).not.toMatch(/opcache|apc\./);
  });

  const HOSTILE = ['a"b', "a\nuser = root", "a\\b", "$HOME", "a\rb", "a\0b", "a:b"];
  test.each(HOSTILE)("a path %j is refused", (text) => {
    expect(() => poolText(pool({ "example.com": { ...member, open: [`/srv/${text}`] } }), around)).toThrow(
      /cannot stand in PHP-FPM's configuration/,
    );
  });
  test.each(["root\nuser = x", "a b", 'a"', "A", "", "-x"])("a user or group %j is refused", (name) => {
    const of = pool({ "example.com": member });
    expect(() => poolText({ ...of, pool: { ...of.pool, user: name } }, around)).toThrow(/cannot stand/);
    expect(() => poolText(of, { ...around, webGroup: name })).toThrow(/cannot stand/);
    expect(() => markerText(place, name, "www-data", "g1")).toThrow(/cannot stand/);
  });
  test.each(["/srv/a b", "/srv/a;b", "/srv/$a", '/srv/"a', "/srv/a[b]"])("a hub at %j has no file that PHP-FPM could include", (root) => {
    expect(() => topText(placeOf(new Layout(root), "@server_master", { php: null }))).toThrow(/cannot stand/);
  });

  test("names of users are within 32 characters, of one site or client each, and like nobody else's", () => {
    const names = ["example.com", "example.com.", "example-com", "example.com/foo", `${"x".repeat(60)}.example.com`, "é.test", "*.a.test"];
    const users = names.flatMap((name) => [poolUser("/a", "site", name), poolUser("/a", "client", name), poolUser("/b", "site", name)]);
    expect(new Set(users).size).toBe(users.length);
    for (const one of users) expect(one).toMatch(/^pv[cs]-[a-z0-9-]{1,27}$/);
    expect(new Set(users.map((one) => socketPath(place, one))).size).toBe(users.length);
  });

  test("each PHP has a directory of its own", () => {
    expect([fpmKey(null), fpmKey("8.2"), fpmKey("/usr/bin/php7.4")]).toEqual(["default", "8.2", "7.4"]);
    expect(fpmKey("/opt/php/bin/php")).toMatch(/^[0-9a-f]{8}$/);
  });

  test("the line of sudoers takes the names of pools, and no other", () => {
    const line = userSudoersLine({ host: {} as never, server: "@server_master", scriptUser: "aegir", webUser: "www-data", locks: "" });
    const patterns = line.split(", ").map((one) => new RegExp((/\^.*\$$/.exec(one) ?? [""])[0]));
    const allowed = (command: string) => patterns.some((pattern) => pattern.test(command));
    expect(allowed(`--system --gid 30000 ${user}`)).toBe(true);
    expect(allowed(`--append --groups ${user} www-data`)).toBe(true);
    for (const command of [
      "--append --groups sudo aegir",
      `--append --groups ${user},sudo aegir`,
      `--force ${user} root`,
      "--force root",
      `--system --gid 30000 --root / ${user}`,
    ])
      expect([command, allowed(command)]).toEqual([command, false]);
  });
});
