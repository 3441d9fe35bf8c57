import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeFakeBackdrop } from "../support/fake-core.js";
import { TestHub } from "../support/hub.js";

const SITE = "site.localhost";
let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.withSite(SITE);
}, 120_000);
afterAll(() => hub?.remove());

describe("what stays behind", () => {
  it("a record that says of the generation which serves that it is kept takes nothing away", async () => {
    const [generation = ""] = readdirSync(hub.path(`sites/${SITE}`));
    const kept = hub.path(`state/generations/${SITE}`);
    mkdirSync(kept, { recursive: true });
    const properties = { uri: SITE, platform: "@platform_p", profile: "minimal", generation };
    const siteDirectory = join(hub.docroot, "sites", SITE);
    const past = "2020-01-01T00:00:00.000Z";
    writeFileSync(
      join(kept, `${generation}.json`),
      JSON.stringify({
        ...{ generation, command: "migrate", operation: generation, at: past, until: past, properties, name: `@${SITE}` },
        ...{ engine: "drupal7", version: "7.0", docroot: hub.docroot, directory: SITE, siteDirectory },
      }),
    );
    await hub.ok("cron-all");
    expect([existsSync(hub.path(`sites/${SITE}/${generation}/db/site.sqlite`)), existsSync(siteDirectory)]).toEqual([true, true]);
    rmSync(kept, { recursive: true });
    expect((await hub.document(`verify @${SITE}`)).counts).toMatchObject({ changed: 0 });
  });

  it("journals of ended operations go when they are old enough, their lines in the list stay; those that are open never go", async () => {
    const ids = () => readdirSync(hub.path("state/operations")).sort();
    const before = ids();
    await hub.ok("cron-all");
    expect(ids()).toEqual(before);
    const killed = await hub.provision(`backup @${SITE}`, { env: { PROVISION_TEST_KILL_AT: "12" } });
    expect(killed.signal).toBe("SIGKILL");
    const [open = ""] = readdirSync(hub.path("state/open"));
    writeFileSync(hub.path("provision.yml"), `${readFileSync(hub.path("provision.yml"), "utf8")}journals: 0\n`);
    // The id of an operation says when it began, to the second.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    // It says that the site has an interrupted operation, and ends with 3.
    await hub.provision("cron-all --dry-run");
    expect(ids()).toEqual([...before, open].sort());
    await hub.provision("cron-all");
    expect(ids()).toEqual([open]);
    const { data } = await hub.document("operations list");
    const listed = data?.["operations"] as readonly { readonly id: string; readonly state: string }[];
    expect(listed.map(({ id }) => id)).toEqual(expect.arrayContaining([...before.filter((id) => id !== open), open]));
    await hub.ok(`abort ${open}`);
  });

  it("doctor names what a killed build left, once it is a day old", async () => {
    const left = hub.path("platforms/.p.building-0123456789ab");
    mkdirSync(left);
    const findings = async () => JSON.stringify((await hub.document("doctor")).data);
    expect(await findings()).not.toContain(left);
    utimesSync(left, 1, 1);
    expect(await findings()).toContain(`rm -r ${left}`);
    rmSync(left, { recursive: true });
  });

  it("a kind of database that the core has no driver for is refused by deploy too, before anything is made", async () => {
    await makeFakeBackdrop(hub.path("platforms/bd"));
    await hub.ok("save @platform_bd --context_type=platform --root=platforms/bd");
    await hub.ok("verify @platform_bd");
    writeFileSync(hub.path("dump.sql"), "-- MariaDB dump 10.19\nCREATE TABLE `users` (uid int);\n");
    const tree = hub.tree();
    const { error, exit } = await hub.document(`deploy @bd.localhost ${hub.path("dump.sql")} @platform_bd`);
    expect([exit, error?.code, error?.message]).toEqual([1, "REFUSED", expect.stringContaining("Backdrop has no driver")]);
    expect(hub.tree()).toEqual(tree);
  });

  it("deleting a server names what root did for it", async () => {
    await hub.ok("save @server_web --context_type=server --http_service_type=nginx --http_port=18080 --db_service_type=none");
    const { data } = await hub.document("delete @server_web --yes");
    expect(String(data?.["left"])).toContain("root's line that has nginx include config/server_web");
  });
});
