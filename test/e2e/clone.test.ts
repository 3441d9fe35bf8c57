import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Serving, TestHub } from "../support/hub.js";
import { tablesOf } from "../support/table-sums.js";

const SITE = "site.localhost";
let hub: TestHub;
let serving: Serving;

beforeAll(async () => {
  hub = await TestHub.withSite(SITE);
  const [generation = ""] = readdirSync(hub.path(`sites/${SITE}`));
  writeFileSync(hub.path(`sites/${SITE}/${generation}/files/picture.txt`), "of a cat");
  writeFileSync(hub.path(`sites/${SITE}/${generation}/private/letter.txt`), "to nobody");
  serving = await hub.serve();
}, 120_000);
afterAll(async () => {
  await serving?.stop();
  hub?.remove();
});

const secret = (name: string, key: string) =>
  new RegExp(`^${key}: "(.*)"$`, "m").exec(readFileSync(hub.path(`secrets/${name}.yml`), "utf8"))?.[1];
const mine = () => [
  ...tablesOf(hub.path(`sites/${SITE}`)),
  ...hub.tree({ times: false }).filter((line) => line.includes(SITE) && !/\.sqlite/.test(line)),
];

describe("clone", () => {
  it("makes a site of its own, and only reads the one it is made of", async () => {
    const before = mine();
    const { data } = await hub.document(`clone @${SITE} @copy.localhost`);
    expect(data?.["url"]).toBe(`http://copy.localhost:${hub.port}`);
    expect(mine()).toEqual(before);
    const [generation = ""] = readdirSync(hub.path("sites/copy.localhost"));
    expect(readFileSync(hub.path(`sites/copy.localhost/${generation}/files/picture.txt`), "utf8")).toBe("of a cat");
    expect(readFileSync(hub.path(`sites/copy.localhost/${generation}/private/letter.txt`), "utf8")).toBe("to nobody");
    expect((await serving.get("copy.localhost", "/")).status).toBe(200);
    expect((await hub.document("verify @copy.localhost")).counts["changed"]).toBe(0);
    expect(secret("copy.localhost", "hash_salt")).not.toBe(secret(SITE, "hash_salt"));
    // Its link opens it, and not the site that it is a copy of.
    const link = new URL(String(data?.["login"]));
    expect((await serving.get(SITE, link.pathname)).status).toBe(403);
    expect((await serving.get("copy.localhost", link.pathname)).status).toBe(302);
    // Keys of cron are words of one site alone.
    const keys = [SITE, "copy.localhost"].map((name) => tablesOf(hub.path(`sites/${name}`)).find((line) => line.includes(" variable ")));
    expect(keys[0]?.split(" ").at(-1)).not.toBe(keys[1]?.split(" ").at(-1));
  });

  it("in quarantine: no cron by the web or by cron-all, no search engine; verify keeps it so", async () => {
    await hub.ok(`clone @${SITE} @quiet.localhost --quarantine --sanitize`);
    expect(readFileSync(hub.path("aliases/quiet.localhost.yml"), "utf8")).toContain("quarantine: true");
    expect((await hub.document("verify @quiet.localhost")).counts["changed"]).toBe(0);
    const page = await serving.get("quiet.localhost", "/");
    expect([page.status, page.headers["x-robots-tag"]]).toEqual([200, "noindex, nofollow"]);
    expect((await serving.get("quiet.localhost", "/cron.php")).status).toBe(403);
    const { results } = (await hub.ok("cron-all --json")).all;
    expect(results.map(({ target }) => target)).not.toContain("@quiet.localhost");
    expect(results.map(({ target }) => target)).toContain(`@${SITE}`);
    const [generation = ""] = readdirSync(hub.path("sites/quiet.localhost"));
    const bytes = readFileSync(hub.path(join("sites/quiet.localhost", generation, "db/site.sqlite")), "latin1");
    expect(bytes).toContain("user1@example.invalid");
  });

  it("by rules of its own; what cannot be a rule is refused with its place", async () => {
    writeFileSync(hub.path("rules.yml"), "mail: nobody%uid@test.invalid\n");
    await hub.ok(`clone @${SITE} @ruled.localhost --sanitize-rules=${hub.path("rules.yml")}`);
    const [generation = ""] = readdirSync(hub.path("sites/ruled.localhost"));
    const bytes = readFileSync(hub.path(join("sites/ruled.localhost", generation, "db/site.sqlite")), "latin1");
    expect(bytes).toContain("nobody1@test.invalid");
    writeFileSync(hub.path("rules.yml"), "mail: nobody@test.invalid\nfoo: 1\n");
    const { error, exit } = await hub.document(`clone @${SITE} @bad.localhost --sanitize-rules=${hub.path("rules.yml")}`);
    expect([exit, error?.message]).toEqual([65, expect.stringContaining("rules.yml:1:1")]);
  });

  it("a dry run changes nothing, and says what would be done", async () => {
    const before = hub.tree();
    const said = await hub.document(`clone @${SITE} @dry.localhost --dry-run`);
    expect([said.exit, said.outcome]).toEqual([0, "would_change"]);
    const moved = await hub.document(`migrate @${SITE} @new.localhost --dry-run`);
    expect([moved.exit, moved.outcome]).toEqual([0, "would_change"]);
    expect(hub.tree()).toEqual(before);
  });
});
