import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { commands } from "../../src/commands/index.js";
import { provision, TestHub } from "../support/hub.js";

const count = z.number().int().min(0);
const counts = z.strictObject({ ok: count, changed: count, would_change: count, failed: count, undone: count, skipped: count });
const text = z.string().min(1);

/** The document of DESIGN 4, and nothing beside it. */
const result = z
  .strictObject({
    schema: z.literal("provision/result@1"),
    ok: z.boolean(),
    exit: z.number().int(),
    command: text,
    target: text.optional(),
    operation: z
      .string()
      .regex(/^\d{8}T\d{6}-[0-9a-f]{4,8}$/)
      .optional(),
    outcome: z.enum(["ok", "changed", "would_change", "failed", "rolled_back", "needs_attention"]),
    counts,
    steps: z.array(
      z.strictObject({
        id: text,
        title: text,
        outcome: z.enum(["ok", "changed", "would_change", "failed", "undone", "skipped"]),
        changes: z.array(z.string()),
        ms: count,
      }),
    ),
    warnings: z.array(text).optional(),
    data: z.record(z.string(), z.unknown()).optional(),
    error: z
      .strictObject({ code: z.string().regex(/^[A-Z_]+$/), message: text, why: z.array(text), state: text, next: z.array(text) })
      .optional(),
    duration_ms: count,
  })
  .refine(({ ok, error }) => ok === (error === undefined), "error exactly on failure")
  .refine(({ ok, outcome }) => ok === ["ok", "changed", "would_change"].includes(outcome), "outcome says whether it is ok")
  .refine(
    ({ steps, counts: told }) => Object.values(told).reduce((sum, one) => sum + one, 0) === steps.length,
    "counts are those of the steps",
  );

const results = z.strictObject({
  schema: z.literal("provision/results@1"),
  ok: z.boolean(),
  exit: z.number().int(),
  results: z.array(result),
});

const names = commands.map(({ name }) => name);
/** What each command needs to be understood. */
const WORDS: Readonly<Record<string, string>> = {
  make: "/nowhere.make /nowhere",
  clone: "@site.localhost @copy.localhost",
  sync: "@site.localhost @copy.localhost",
  rehearse: "@site.localhost @platform_p",
  restore: "@site.localhost 0000",
  deploy: "@copy.localhost 0000",
  operations: "list",
  backups: "list",
  resume: "0000",
  abort: "0000",
  list: "",
  "cron-all": "",
  demo: "",
  init: "",
};
const wordsOf = (name: string) => WORDS[name] ?? (name === "doctor" || name === "status" ? "" : "@site.localhost");

describe("--json: one document, whatever happens", () => {
  let hub: TestHub;
  beforeAll(async () => {
    hub = await TestHub.withSite();
    await hub.saveSite("new.localhost");
  });
  afterAll(() => hub.remove());

  test.each(names)("%s with an option that is not there", async (name) => {
    // save takes any option as a property, and says which it does not know.
    const { code, json, stderr } = await hub.provision(`${name} ${wordsOf(name)} --no-such-option=1 --json`);
    expect(result.parse(json)).toMatchObject({ ok: false, exit: 64, command: name });
    expect([code, stderr]).toEqual([64, ""]);
  });

  test.each(commands.filter((command) => command.arguments?.some((argument) => argument.name.startsWith("<"))).map(({ name }) => name))(
    "%s without its argument",
    async (name) => {
      const { code, json } = await hub.provision(`${name} --json`);
      expect(result.parse(json)).toMatchObject({
        ok: false,
        exit: 64,
        command: name,
        error: { code: "USAGE", message: expect.stringContaining("missing") },
      });
      expect(code).toBe(64);
    },
  );

  const needNoHub = ["init", "demo", "doctor", "make", "make-check", "make-convert", "make-lock", "make-update"];
  test.each(names.filter((name) => !needNoHub.includes(name)))("%s where there is no hub", async (name) => {
    const { code, json } = await provision(`${name} ${wordsOf(name)} --json`, { cwd: hub.base });
    expect(result.parse(json)).toMatchObject({ ok: false, exit: 78, command: name, error: { code: "HUB_NOT_FOUND" } });
    expect(code).toBe(78);
  });

  // What deploy and import are given need not be there.
  const ofContexts = commands.filter(
    ({ name, arguments: words }) => !["deploy", "import"].includes(name) && words?.some((word) => /context|server/.test(word.name)),
  );
  test.each(ofContexts.map(({ name }) => name))("%s of a context that is not there", async (name) => {
    const more: Readonly<Record<string, string>> = { save: " --delete", restore: " 0000" };
    const line = `${name} @site.localhots${more[name] ?? ""}`;
    const { code, json } = await hub.provision(`${line} --json`);
    expect(result.parse(json)).toMatchObject({
      ok: false,
      exit: 66,
      command: name,
      target: "@site.localhots",
      error: { code: "CONTEXT_NOT_FOUND" },
    });
    expect(code).toBe(66);
    expect(json.error?.message).toContain("did you mean @site.localhost?");
  });

  test.each([
    ["list", "ok"],
    ["list sites", "ok"],
    ["show @site.localhost", "ok"],
    ["status", "ok"],
    ["status @site.localhost", "ok"],
    ["save @client_x --context_type=client", "changed"],
    ["save @client_x --context_type=client", "ok"],
    ["save @client_x --delete", "changed"],
    ["verify @server_master", "changed"],
    ["verify @platform_p", "ok"],
    ["install @new.localhost --dry-run", "would_change"],
    ["install @new.localhost", "changed"],
    ["verify @new.localhost", "ok"],
    ["disable @new.localhost", "changed"],
    ["enable @new.localhost", "changed"],
    ["login @new.localhost", "ok"],
    ["cron @new.localhost", "changed"],
    ["delete @new.localhost --no-backup --yes", "changed"],
    ["lock @platform_p", "changed"],
    ["unlock @platform_p", "changed"],
    ["operations list", "ok"],
    ["doctor", "ok"],
    ["init --local", "ok"],
  ])("%s of a core that prints noise everywhere: %s", async (line, outcome) => {
    const { code, json, stderr } = await hub.trapped(["noise"], () => hub.provision(`${line} --json`));
    const document = result.parse(json);
    expect(document, JSON.stringify(document.error)).toMatchObject({ ok: true, exit: 0, outcome });
    expect([code, stderr]).toEqual([0, ""]);
  });

  test("what PHP prints during an operation is kept for operations log", async () => {
    await hub.saveSite("noisy.localhost");
    const id = (await hub.trapped(["noise"], () => hub.document("install @noisy.localhost"))).operation ?? "";
    const output = (await hub.document(`operations log ${id}`)).data?.["output"] as { step: string; text: string }[];
    const text = output.map((each) => each.text).join("");
    expect(text).toContain("noise on standard output");
    expect(text).toContain("noise on standard error");
    expect((await hub.ok(`operations log ${id}`)).stdout).toContain(`Printed during ${output[0]?.step}:`);
    await hub.ok("delete @noisy.localhost --no-backup --yes");
  });

  test("the same noise stays out of what people read, too", async () => {
    const { stdout, stderr } = await hub.trapped(["noise"], () => hub.ok("login @site.localhost"));
    expect(stdout).toMatch(/^http\S+\n$/);
    expect(stderr).not.toContain("<p>noise");
  });

  test("data is where the design says", async () => {
    expect((await hub.document("login @site.localhost")).data).toEqual({ url: expect.stringMatching(/^http/) });
    const listed = (await hub.document("list sites")).data?.["contexts"];
    expect(listed).toEqual([expect.objectContaining({ name: "@site.localhost", context_type: "site", uri: "site.localhost" })]);
    expect(Object.keys((await hub.document("show @site.localhost")).data ?? {}).sort()).toEqual(["context", "derived", "origin"]);
    expect((await hub.document("operations list")).data?.["operations"]).toBeInstanceOf(Array);
    const id = (await hub.document("disable @site.localhost")).operation ?? "";
    expect((await hub.document("enable @site.localhost")).operation).not.toBe(id);
    expect((await hub.document(`operations show ${id}`)).data).toMatchObject({
      id,
      command: "disable",
      state: "ended",
      outcome: "changed",
    });
    expect((await hub.document(`operations log ${id.slice(-4)}`)).data?.["records"]).toContainEqual(expect.objectContaining({ t: "end" }));
  });

  test("a failure that was rolled back says so, with the state of the site and what to type next", async () => {
    await hub.saveSite("broken.localhost");
    const { code, json, stderr } = await hub.trapped(["noise", "error-in-install"], () =>
      hub.provision("install @broken.localhost --json"),
    );
    expect(result.parse(json)).toMatchObject({
      ok: false,
      exit: 4,
      outcome: "rolled_back",
      target: "@broken.localhost",
      error: { code: "INSTALL_FAILED", state: expect.stringContaining("@broken.localhost is not installed") },
    });
    expect([code, stderr]).toEqual([4, ""]);
    expect(json.error?.next.length).toBeGreaterThan(0);
    expect(json.counts.undone).toBeGreaterThan(3);
    await hub.ok("save @broken.localhost --delete");
  });

  test("two targets give provision/results@1, also when all is well", async () => {
    const { code, all } = await hub.provision("verify @site.localhost @platform_p --json");
    expect(results.parse(all)).toMatchObject({ ok: true, exit: 0 });
    expect(all.results.map(({ target }) => target)).toEqual(["@site.localhost", "@platform_p"]);
    expect(code).toBe(0);
  });

  test("several targets of which one fails: exit 3, and the others are done", async () => {
    const { code, all } = await hub.provision("verify @nowhere @site.localhost not-a-name @platform_p --json");
    expect(results.parse(all)).toMatchObject({ ok: false, exit: 3 });
    expect(all.results.map(({ target, exit }) => [target, exit])).toEqual([
      ["@nowhere", 66],
      ["@site.localhost", 0],
      ["not-a-name", 64],
      ["@platform_p", 0],
    ]);
    expect(code).toBe(3);
  });

  test.each(["list", "status @site.localhost", "verify @nowhere", "verify @site.localhost @platform_p", "no-such-command"])(
    "--format=yaml of %s says the same as --json",
    async (line) => {
      const timeless = (value: unknown): unknown => JSON.parse(JSON.stringify(value).replace(/"(duration_)?ms":\d+/g, '"$1ms":0'));
      const json = await hub.provision(`${line} --json`);
      const yaml = await hub.provision(`${line} --format=yaml`);
      expect(timeless(parse(yaml.stdout))).toEqual(timeless(json.json));
      expect(yaml.code).toBe(json.code);
    },
  );

  test.each([
    ["verfy @site.localhost", "provision verify"],
    ["--hub /nowhere verfy", "provision verify"],
    ["", "provision --help"],
    ["list --format=xml", "provision --help"],
    ["list --timeout=soon", ""],
    ["list --lock-wait=soon", ""],
  ])("a command line that is not understood: provision %s --json", async (line, next) => {
    const { code, json } = await hub.provision(`${line} --json`);
    expect(result.parse(json)).toMatchObject({ ok: false, exit: 64, error: { code: "USAGE" } });
    expect(json.error?.next.join("\n")).toContain(next);
    expect(code).toBe(64);
  });

  test("a command after options with values is still the command of the document", async () => {
    const { json } = await provision(["--hub", "/nowhere", "provision-list", "--json"]);
    expect(json).toMatchObject({ command: "list", error: { code: "HUB_NOT_FOUND" } });
    expect((await provision(["--timeout", "90s", "@a.test", "uli", "--hub", "/nowhere", "--json"])).json).toMatchObject({
      command: "login",
      target: "@a.test",
    });
  });

  test("PROVISION_JSON and PROVISION_FORMAT do the same from the environment", async () => {
    expect((await hub.provision("verify @nowhere", { env: { PROVISION_JSON: "1" } })).json.exit).toBe(66);
    expect(parse((await hub.provision("verify @nowhere", { env: { PROVISION_FORMAT: "yaml" } })).stdout)).toMatchObject({ exit: 66 });
  });
});
