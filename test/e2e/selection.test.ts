import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Result, Results } from "../../src/core/result.js";
import { TestHub } from "../support/hub.js";

/** Sites of two clients on two platforms; c is saved, and not installed. */
describe("one command for many sites", () => {
  let hub: TestHub;
  const names = (results: readonly Result[]) => results.map(({ target }) => target);
  const all = async (line: string): Promise<Results> => (await hub.provision([...line.split(" "), "--json"])).all;

  beforeAll(async () => {
    hub = await TestHub.withPlatform();
    await hub.savePlatform("q");
    await hub.ok("save @client_acme --context_type=client");
    await hub.saveSite("a.shop.localhost");
    await hub.saveSite("b.shop.localhost", "--client_name=acme");
    await hub.ok("save @c.localhost --context_type=site --platform=@platform_q --client_name=acme --profile=minimal");
    const { results } = await all("install @a.shop.localhost @b.shop.localhost");
    // Each has its own link.
    for (const { target, data } of results) expect(`@${new URL(String(data?.["login"])).hostname}`).toBe(target);
  });
  afterAll(() => hub.remove());

  test.each([
    ["@*.shop.localhost", ["@a.shop.localhost", "@b.shop.localhost"]],
    ["@?.shop.localhost @b.shop.localhost", ["@a.shop.localhost", "@b.shop.localhost"]],
    ["--platform p", ["@a.shop.localhost", "@b.shop.localhost"]],
    ["--client acme --platform @platform_p", ["@b.shop.localhost"]],
    ["--client @client_acme @*.shop.localhost", ["@b.shop.localhost"]],
    ["@*", ["@server_master", "@platform_p", "@platform_q", "@a.shop.localhost", "@b.shop.localhost", "@c.localhost"]],
  ])("verify %s --dry-run", async (selector, expected) => {
    const said = await hub.provision(["verify", ...selector.split(" "), "--dry-run", "--json"]);
    expect([said.all.schema, names(said.all.results)]).toEqual(["provision/results@1", expected]);
  });

  test("a site that is refused does not stop the others: exit 3, and its own error", async () => {
    const { exit, results } = await all("verify --all");
    expect([exit, results.map(({ target, exit: own, error }) => [target, own, error?.code])]).toEqual([
      3,
      [
        ["@a.shop.localhost", 0, undefined],
        ["@b.shop.localhost", 0, undefined],
        ["@c.localhost", 1, "NOT_INSTALLED"],
      ],
    ]);
  });

  test("--jobs works on several at a time, and tells of each in one piece, in their order", async () => {
    // Each site's PHP waits until it has seen the other's: alone it would say so.
    const code = (name: string) => `<?php
if (PHP_SAPI === 'cli') {
  touch(__DIR__ . '/here');
  for ($n = 0; $n < 600 && !is_file(dirname(__DIR__) . '/${name}/here'); $n++) { usleep(50000); clearstatcache(); }
  file_put_contents(__DIR__ . '/saw', $n < 600 ? 'both' : 'alone');
}
`;
    const directory = (name: string) => join(hub.docroot, "sites", name);
    writeFileSync(join(directory("a.shop.localhost"), "local.settings.php"), code("b.shop.localhost"));
    writeFileSync(join(directory("b.shop.localhost"), "local.settings.php"), code("a.shop.localhost"));
    const { ok, results } = await all("cron @*.shop.localhost --jobs=2");
    expect([ok, names(results)]).toEqual([true, ["@a.shop.localhost", "@b.shop.localhost"]]);
    for (const name of ["a.shop.localhost", "b.shop.localhost"]) expect(readFileSync(join(directory(name), "saw"), "utf8")).toBe("both");

    const { stderr } = await hub.ok("disable @*.shop.localhost --jobs=2");
    const lines = stderr.split("\n").filter((line) => /^(disable @|✔)/.test(line));
    // A line of one site is followed by its own end, not by a line of the other.
    expect(lines.join("\n")).toMatch(/^(?:✔[^\n]*\n)+disable @[^\n]*\n(?:✔[^\n]*\n)+disable @[^\n]*$/);
    expect((await hub.ok("disable @*.shop.localhost --jobs=2")).stderr.match(/, 0 changed/g)).toHaveLength(2);
  });

  test("cron-all passes over sites that are disabled or not installed", async () => {
    await hub.ok("enable @b.shop.localhost");
    for (const name of ["a.shop.localhost", "b.shop.localhost"])
      writeFileSync(join(hub.docroot, "sites", name, "local.settings.php"), "<?php\n");
    const { exit, results } = await all("cron-all --jobs=3");
    expect([exit, names(results)]).toEqual([0, ["@b.shop.localhost"]]);
    expect(results[0]?.command).toBe("cron-all");
    await hub.ok("disable @b.shop.localhost");
    expect(await all("cron-all")).toMatchObject({ ok: true, exit: 0, results: [] });
  });

  test.each([
    ["verify", 64, "needs a context, a glob or a selector"],
    ["verify --all @a.shop.localhost", 64, "goes with no names"],
    ["verify --all --jobs=0", 64, "--jobs=0 is not a number from 1 to 64"],
    ["verify --all --jobs=many", 64, "--jobs=many"],
    ["disable @nosuch*", 66, "no site has a name like"],
    ["disable @a.shop.localhosd --client acme", 66, "did you mean @a.shop.localhost?"],
    ["cron --platform=r", 66, "there is no context @r"],
    ["cron --platform=@client_acme", 65, "is a client"],
    ["cron @a.shop.localhost --client=acme", 66, "no context is selected"],
  ])("%s is refused with exit %i, and nothing is done", async (line, exit, words) => {
    const before = readdirSync(hub.path("state/operations"));
    const { code, stderr } = await hub.provision(line);
    expect([code, stderr]).toEqual([exit, expect.stringContaining(words)]);
    expect(readdirSync(hub.path("state/operations"))).toEqual(before);
  });

  test("a hub without sites has nothing to do, which is no failure", async () => {
    const empty = await TestHub.empty();
    try {
      expect((await empty.provision("verify --all --json")).all).toMatchObject({ ok: true, results: [] });
      expect((await empty.provision("cron-all")).code).toBe(0);
    } finally {
      empty.remove();
    }
  });
});
