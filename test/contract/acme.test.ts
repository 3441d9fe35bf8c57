import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { AcmeError, orderCertificate, reachAuthority } from "../../src/services/tls/acme.js";
import { newKey } from "../../src/services/tls/store.js";
import { failure } from "../support/failure.js";
import { type Answer, FakeAuthority } from "../support/fake-authority.js";

/** What becomes of an authority's answers; that a real one is spoken to rightly is shown with Pebble (test/e2e/certificates.test.ts). */
describe("an authority on a bad day", () => {
  let base: string;
  let fake: FakeAuthority;
  const said: (readonly [string, string])[] = [];

  beforeAll(async () => {
    base = mkdtempSync(join(tmpdir(), "provision-acme-"));
    fake = await FakeAuthority.start(base);
  });
  beforeEach(() => {
    fake.answers = {};
    said.length = 0;
  });
  afterAll(async () => {
    await fake?.stop();
    rmSync(base, { recursive: true });
  });

  function order(more: { readonly url?: string; readonly signal?: AbortSignal } = {}): Promise<string> {
    const { directory, caFile } = fake;
    return orderCertificate(
      { directory, caFile, mail: "a@example.com", accountKey: newKey() },
      {
        names: ["a.test"],
        key: newKey(),
        url: more.url,
        begun: async () => {},
        answer: async (name, token) => {
          said.push([name, token]);
        },
        signal: more.signal ?? new AbortController().signal,
        progress: () => {},
      },
    );
  }

  const problem = (type: string, detail: unknown, more: object = {}) => ({ type: `urn:ietf:params:acme:error:${type}`, detail, ...more });
  const pending = (challenge: object): Readonly<Record<string, Answer>> => ({
    "new-order": { status: 201, headers: { location: fake.url("order") }, body: fake.order("pending") },
    authorization: { body: { status: "pending", identifier: { type: "dns", value: "a.test" }, challenges: [challenge] } },
  });

  test("the good answers give what the authority sent", async () => {
    fake.answers = { certificate: { body: "the certificate", headers: { "content-type": "application/pem-certificate-chain" } } };
    expect(await order()).toBe("the certificate");
  });

  test("that limits its rate: how long it wants to be left alone is known, and nobody waits for it", async () => {
    fake.answers = {
      "new-order": { status: 429, headers: { "retry-after": "7200" }, body: problem("rateLimited", "too many certificates") },
    };
    const error = await failure(order());
    expect(error).toMatchObject({ code: "CERTIFICATE_FAILED", retryAfter: 7200, why: ["too many certificates (rateLimited)"] });
    expect(error.message).toMatch(/^127\.0\.0\.1:\d+ wants to be asked less often$/);
    fake.answers = { "new-order": { status: 429, body: problem("rateLimited", "too many") } };
    expect(await failure(order())).toMatchObject({ retryAfter: 3600 });
    fake.answers = { "new-order": { status: 503, headers: { "retry-after": new Date(Date.now() + 60_000).toUTCString() } } };
    const busy = (await failure(order())) as AcmeError;
    expect([busy.code, (busy.retryAfter ?? 0) > 50]).toEqual(["SERVICE_UNAVAILABLE", true]);
  });

  test("that refuses some names: which, and without what a terminal would obey", async () => {
    const subproblems = [{ ...problem("rejectedIdentifier", "not\u001b[31m this\none"), identifier: { type: "dns", value: "a.test" } }];
    fake.answers = { "new-order": { status: 400, body: problem("compound", "x".repeat(1000), { subproblems }) } };
    const { why } = await failure(order());
    expect(why[0]).toHaveLength(400);
    expect(why[1]).toBe("a.test: not [31m this one (rejectedIdentifier)");
  });

  test.each([
    [
      "a token that is a path",
      { type: "http-01", token: "../../etc/cron.d/x", url: "x", status: "pending" },
      "the authority's token is none",
    ],
    ["an empty token", { type: "http-01", token: "", url: "x", status: "pending" }, "the authority's token is none"],
    ["no http-01", { type: "dns-01", token: "abc", url: "x", status: "pending" }, "the authority offers dns-01"],
  ])("that gives %s: refused, and nothing is written", async (_what, challenge, why) => {
    fake.answers = pending(challenge);
    const error = await failure(order());
    expect([error.code, error.why]).toEqual(["CERTIFICATE_FAILED", [why]]);
    expect(said).toEqual([]);
  });

  test("that does not believe the answer to its challenge says what it saw", async () => {
    fake.answers = {
      ...pending({ type: "http-01", token: "abc", url: fake.url("challenge"), status: "pending" }),
      challenge: { body: {} },
    };
    const looking = failure(order());
    // It has looked by the second time that it is asked.
    await expect.poll(() => fake.asked.includes("challenge")).toBe(true);
    const challenge = { type: "http-01", token: "abc", url: "x", status: "invalid", error: problem("unauthorized", "404 at 192.0.2.1") };
    fake.answers = {
      ...fake.answers,
      authorization: { body: { status: "invalid", identifier: { type: "dns", value: "a.test" }, challenges: [challenge] } },
    };
    const error = await looking;
    expect([said, error.code, error.why]).toEqual([[["a.test", "abc"]], "CERTIFICATE_FAILED", ["a.test: 404 at 192.0.2.1 (unauthorized)"]]);
    expect(error.message).toContain("http://a.test/.well-known/acme-challenge/");
  });

  test("an order that was begun and is finished by now is fetched, not made again; one that is dead or forgotten is", async () => {
    fake.answers = { certificate: { body: "again" } };
    fake.asked.length = 0;
    expect(await order({ url: fake.url("order") })).toBe("again");
    expect(fake.asked).not.toContain("new-order");
    for (const old of [{ status: 404, body: problem("malformed", "no such order") }, { body: fake.order("invalid") }]) {
      fake.answers = { certificate: { body: "new" }, old };
      fake.asked.length = 0;
      expect(await order({ url: fake.url("old") })).toBe("new");
      expect(fake.asked).toContain("new-order");
    }
    fake.answers = { old: { status: 500 } };
    expect(await failure(order({ url: fake.url("old") }))).toMatchObject({ code: "SERVICE_UNAVAILABLE" });
  });

  test.each<[string, Answer]>([
    ["a page", { body: "<html>welcome</html>", headers: { "content-type": "text/html" } }],
    ["a document of another kind", { body: { hello: "world" } }],
    ["nothing", { body: "" }],
    ["500", { status: 500, body: "oh" }],
    ["404", { status: 404, body: problem("malformed", "nothing here") }],
    ["half an answer", { how: "cut" }],
  ])("whose directory is %s: SERVICE_UNAVAILABLE, with what to look at", async (_what, answer) => {
    fake.answers = { dir: answer };
    const { directory, caFile } = fake;
    const error = await failure(reachAuthority({ directory, caFile }, new AbortController().signal));
    expect([error.code, error.exit]).toEqual(["SERVICE_UNAVAILABLE", 69]);
    expect(error.message).toContain(fake.directory);
    expect(error.next.join()).toContain("acme_directory");
    expect(error.why.join()).not.toMatch(/undefined|Cannot read/);
  });

  test("that says nothing: a stop ends the waiting at once", async () => {
    fake.answers = { "new-order": { how: "hang" } };
    fake.asked.length = 0;
    const stop = new AbortController();
    const waiting = failure(order({ signal: stop.signal }));
    await expect.poll(() => fake.asked.includes("new-order")).toBe(true);
    stop.abort();
    expect((await waiting).code).toBe("STOPPED");
  });

  test("two orders at a time do not hear each other's answers", async () => {
    fake.answers = { "new-order": { status: 400, body: problem("rejectedIdentifier", "no") } };
    const gone = { directory: "https://127.0.0.1:9/dir", caFile: undefined };
    const [refused, lost] = await Promise.all([failure(order()), failure(reachAuthority(gone, new AbortController().signal))]);
    expect(refused).toBeInstanceOf(AcmeError);
    expect([refused.code, lost.code, lost.why.join()]).toEqual([
      "CERTIFICATE_FAILED",
      "SERVICE_UNAVAILABLE",
      expect.stringContaining("ECONNREFUSED"),
    ]);
  });
});
