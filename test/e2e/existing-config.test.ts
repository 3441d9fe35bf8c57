import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeFakeDrupal } from "../support/fake-core.js";
import { TestHub } from "../support/hub.js";

describe("install --existing-config (a fake core of Drupal 8 and later)", () => {
  let hub: TestHub;
  let exported: string;

  beforeAll(async () => {
    hub = await TestHub.empty();
    const root = join(hub.base, "drupal");
    await makeFakeDrupal(root);
    await hub.ok(`save @platform_p --context_type=platform --root=${root}`);
    await hub.ok("verify @platform_p");
    exported = join(hub.base, "exported");
    mkdirSync(join(exported, "language"), { recursive: true });
    writeFileSync(join(exported, "system.site.yml"), "name: 'Exported'\n");
    writeFileSync(join(exported, "language/README.txt"), "kept\n");
  });
  afterAll(() => hub.remove());

  test("what is no configuration, or of another profile, is refused before anything is made", async () => {
    await hub.saveSite("a.localhost");
    const none = await hub.document(["install", "@a.localhost", `--existing-config=${exported}`]);
    expect([none.exit, none.error?.message]).toEqual([1, expect.stringContaining("no core.extension.yml")]);
    writeFileSync(
      join(exported, "core.extension.yml"),
      "module:\n  system: 0\n  user: 0\n  trap: 0\n  standard: 1000\ntheme:\n  plain: 0\nprofile: standard\n",
    );
    const other = await hub.document(["install", "@a.localhost", `--existing-config=${exported}`]);
    expect([other.exit, other.error?.next]).toEqual([1, ["provision save @a.localhost --profile=standard"]]);
  });

  test("the site has what was exported, as its own", async () => {
    await hub.ok("save @a.localhost --profile=standard");
    const { exit, outcome } = await hub.document(["install", "@a.localhost", `--existing-config=${exported}`]);
    expect([exit, outcome]).toEqual([0, "changed"]);
    const { context } = (await hub.document("show @a.localhost")).data as { context: { generation: string } };
    const sync = hub.path(`sites/a.localhost/${context.generation}/config/sync`);
    expect(readFileSync(join(sync, "language/README.txt"), "utf8")).toBe("kept\n");
    expect((await hub.document("verify @a.localhost")).counts.changed).toBe(0);
  });
});
