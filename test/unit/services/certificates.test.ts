import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Layout } from "../../../src/context/layout.js";
import { hostNames, unprovableNames } from "../../../src/context/names.js";
import type { Server, Site } from "../../../src/context/schema.js";
import { Scope } from "../../../src/core/scope.js";
import { LocalHost } from "../../../src/host/local.js";
import { certificatePlan, certificateReport } from "../../../src/operations/parts/certificate.js";
import type { Services } from "../../../src/operations/services.js";
import { daysLeft, isDue, isNearEnd, isPair, readCertificate, uncovered } from "../../../src/services/tls/certificate.js";
import { pairOf, putSelfSigned, putVersion, versionsIn, writeOrder } from "../../../src/services/tls/store.js";

const DAY = 86_400_000;
const host = new LocalHost(new Scope());
let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "provision-certificates-"));
});
afterAll(() => rmSync(root, { recursive: true }));

describe("how long a certificate is good", () => {
  const ninety = { from: 0, until: 90 * DAY };
  test("due when a third of its lifetime is left, or less, whatever that is", () => {
    expect([59, 60, 61, 91].map((day) => isDue(ninety, day * DAY))).toEqual([false, true, true, true]);
    expect([3, 4, 5].map((day) => isDue({ from: 0, until: 6 * DAY }, day * DAY))).toEqual([false, true, true]);
  });
  test("near its end by two weeks, or by a sixth of a short life", () => {
    expect([75, 76, 90].map((day) => isNearEnd(ninety, day * DAY))).toEqual([false, true, true]);
    expect([4, 5].map((day) => isNearEnd({ from: 0, until: 6 * DAY }, day * DAY))).toEqual([false, true]);
  });
  test("days left are whole, and below zero when it is past", () => {
    expect([0, 89.5, 90, 91].map((day) => daysLeft(ninety, day * DAY))).toEqual([90, 0, 0, -1]);
  });
});

test("host names of a site, and those that http-01 cannot prove", () => {
  const site = { uri: "a.test/shop", aliases: ["www.a.test", "*.a.test", "192.0.2.1"] };
  expect(hostNames(site)).toEqual(["a.test", "www.a.test", "*.a.test", "192.0.2.1"]);
  expect(unprovableNames(site)).toEqual(["*.a.test", "192.0.2.1"]);
});

describe("a self-signed certificate", () => {
  test("is for all names, wildcards and addresses; no authority; its key fits and is nobody else's", async () => {
    const directory = join(root, "self");
    const names = ["a.test", "*.a.test", "192.0.2.1", `${"l".repeat(63)}.${"m".repeat(63)}.test`];
    await putSelfSigned(host, directory, "20261123T091500000-00000000", names);
    const [version] = await versionsIn(host, directory);
    expect(version).toMatchObject({ origin: { issuer: "self-signed" }, certificate: { names, selfSigned: true, issuer: "a.test" } });
    const { certificate, key } = pairOf(directory, "20261123T091500000-00000000");
    expect(isPair(readFileSync(certificate, "utf8"), readFileSync(key, "utf8"))).toBe(true);
    expect([statSync(key).mode & 0o777, statSync(directory).mode & 0o777]).toEqual([0o600, 0o700]);
    expect(readdirSync(directory)).toEqual(["20261123T091500000-00000000"]);
    const text = execFileSync("openssl", ["x509", "-in", certificate, "-noout", "-text"], { encoding: "utf8" });
    expect(text).toMatch(/CA:FALSE/);
  });

  test("a thousand long aliases are no longer command line than one", async () => {
    const names = Array.from({ length: 1000 }, (_, index) => `${"a".repeat(60)}.${"b".repeat(60)}.${"c".repeat(60)}.s${index}.test`);
    await putSelfSigned(host, join(root, "many"), "20261123T091500000-00000000", names);
    const [version] = await versionsIn(host, join(root, "many"));
    expect(version && uncovered(version.certificate, names)).toEqual([]);
  });
});

/** Certificates with dates of the test's own choice, signed by one authority. */
class Authority {
  readonly #work: string;
  constructor(work: string) {
    this.#work = work;
    mkdirSync(work);
    this.#openssl(
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      "ca.key",
      "-out",
      "ca.pem",
      "-days",
      "2",
      "-subj",
      "/CN=an authority",
    );
    writeFileSync(
      join(work, "ca.conf"),
      "[ca]\ndefault_ca = one\n[one]\ndatabase = index.txt\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\npolicy = any\nunique_subject = no\n[any]\ncommonName = optional\n",
    );
    writeFileSync(join(work, "index.txt"), "");
    writeFileSync(join(work, "serial"), "01");
  }

  #openssl(...args: readonly string[]): void {
    execFileSync("openssl", args, { stdio: "pipe", cwd: this.#work });
  }

  /** PEM of certificate and key; days from now. */
  issue(names: readonly string[], began: number, ends: number): { readonly certificate: string; readonly key: string } {
    const stamp = (days: number) => `${new Date(Date.now() + days * DAY).toISOString().slice(0, 19).replace(/[-:T]/g, "")}Z`;
    writeFileSync(join(this.#work, "names.conf"), `[names]\nsubjectAltName = ${names.map((name) => `DNS:${name}`).join(",")}\n`);
    this.#openssl(
      ...[
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "one.key",
        "-subj",
        "/CN=one",
        "-out",
        "one.csr",
      ],
    );
    this.#openssl(
      ...["ca", "-batch", "-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", "one.csr", "-notext"],
      ...["-startdate", stamp(began), "-enddate", stamp(ends), "-extfile", "names.conf", "-extensions", "names", "-out", "one.pem"],
    );
    const read = (name: string) => readFileSync(join(this.#work, name), "utf8");
    return { certificate: read("one.pem"), key: read("one.key") };
  }
}

describe("what is to be done about a site's certificate", () => {
  const DIRECTORY = "https://ca.test/dir";
  let authority: Authority;
  let hub: string;
  let turn = 0;
  beforeAll(() => {
    authority = new Authority(join(root, "authority"));
  });
  beforeEach(() => {
    hub = join(root, `hub-${turn++}`);
  });

  const plan = (site: Partial<Site> = {}, server: Partial<Server> = {}, options = {}) => certificatePlan(use(), all(site, server), options);
  const use = () => ({ layout: new Layout(hub), layoutOf: () => new Layout(hub), host: () => host }) as unknown as Services;
  const all = (site: Partial<Site>, server: Partial<Server>) => ({
    site: { name: "@a.test", uri: "a.test", aliases: [], ssl: "on", ...site } as unknown as Site,
    webServer: {
      name: "@server_master",
      http_service_type: "nginx",
      ssl_issuer: "acme",
      acme_directory: DIRECTORY,
      ...server,
    } as unknown as Server,
  });
  const directory = () => join(hub, "config/server_master/ssl.d/a.test");
  /** A version as an order has left it. */
  async function had(
    names: readonly string[],
    began: number,
    ends: number,
    { issuer = "acme" as "acme" | "self-signed", from = DIRECTORY, time = "091500000" } = {},
  ): Promise<string> {
    const version = `20261123T${time}-0000000${turn % 10}`;
    const { certificate, key } = authority.issue(names, began, ends);
    const { Secret } = await import("../../../src/core/secret.js");
    await putVersion(host, directory(), version, {
      certificate,
      key: new Secret(key),
      origin: issuer === "acme" ? { issuer, directory: from } : { issuer },
    });
    return version;
  }

  test("without https: nothing", async () => {
    expect(await plan({ ssl: "off" })).toBeUndefined();
  });

  test("none yet: one is ordered, and until it comes a self-signed one is made", async () => {
    expect(await plan()).toMatchObject({ issuer: "acme", make: "until there is one of the authority", order: { reason: "there is none" } });
    expect(await plan({}, { ssl_issuer: "self-signed" })).toMatchObject({ issuer: "self-signed", make: "there is none" });
    expect((await plan({}, { ssl_issuer: "self-signed" }))?.order).toBeUndefined();
    expect(existsSync(hub)).toBe(false);
  });

  test("the site's own word goes before the server's, and its own files before both", async () => {
    expect(await plan({ ssl_issuer: "self-signed" })).toMatchObject({ issuer: "self-signed" });
    const own = { ssl_issuer: "acme" as const, ssl_certificate: "a.pem", ssl_certificate_key: "a.key" };
    expect(await plan(own)).toEqual({ issuer: "own", names: ["a.test"], directory: directory() });
  });

  test("a good one is served, and nothing is done", async () => {
    const version = await had(["a.test", "www.a.test"], -1, 89);
    expect(await plan({ aliases: [] })).toEqual({ issuer: "acme", names: ["a.test"], directory: directory(), version });
  });

  test("due, or not for all names: it is served on, while another is ordered", async () => {
    const version = await had(["a.test"], -61, 29);
    expect(await plan()).toMatchObject({ version, order: { reason: expect.stringMatching(/^the present one ends 20/) } });
    await had(["a.test"], -1, 89, { time: "091600000" });
    const key = join(hub, "config/server_master/ssl.d/a.test");
    const more = await certificatePlan(use(), all({ aliases: ["new.test"] }, {}));
    expect(more).toMatchObject({ directory: key, order: { reason: "the present one is not for new.test" } });
    expect(more?.make).toBeUndefined();
  });

  test("of another authority, a test server's say: ordered anew, and the old one serves until then", async () => {
    const version = await had(["a.test"], -1, 89, { from: "https://staging.test/dir" });
    expect(await plan()).toMatchObject({ version, order: { reason: "there is none" } });
  });

  test("past, and nothing better there: it goes on being served", async () => {
    const version = await had(["a.test"], -91, -1);
    expect(await plan()).toMatchObject({ version, order: expect.anything() });
    expect((await plan())?.make).toBeUndefined();
  });

  test("a version whose key does not fit, or that is not whole, is as if it were not there", async () => {
    const version = await had(["a.test"], -1, 89);
    const other = authority.issue(["a.test"], -1, 89);
    writeFileSync(pairOf(directory(), version).key, other.key);
    expect(await plan()).toMatchObject({ order: { reason: "there is none" } });
    rmSync(pairOf(directory(), version).key);
    expect(await plan()).toMatchObject({ order: { reason: "there is none" } });
  });

  test("after a failure nobody is asked before its time; another set of names, another authority or --force does not wait", async () => {
    mkdirSync(directory(), { recursive: true });
    const next = new Date(Date.now() + DAY).toISOString();
    await writeOrder(host, directory(), { directory: DIRECTORY, names: ["a.test"], tokens: [], failures: 3, next, message: "no" });
    expect(await plan()).toMatchObject({ waits: { until: next, message: "no" } });
    expect((await plan())?.order).toBeUndefined();
    for (const asked of [plan({ aliases: [] }, { acme_directory: "https://other.test/dir" }), plan({}, {}, { force: true })])
      expect(await asked).toMatchObject({ order: expect.anything() });
    await writeOrder(host, directory(), {
      directory: DIRECTORY,
      names: ["a.test"],
      tokens: [],
      failures: 3,
      next: new Date(0).toISOString(),
    });
    expect(await plan()).toMatchObject({ order: expect.anything() });
    writeFileSync(join(directory(), "order.json"), '{"directory": "htt');
    expect(await plan()).toMatchObject({ order: expect.anything() });
  });

  test("sub-directory sites without names of their own share the certificate of their host; with aliases they have their own", async () => {
    expect(await plan({ uri: "a.test/shop" })).toMatchObject({ names: ["a.test"], directory: directory() });
    const version = await had(["a.test", "www.a.test"], -1, 89);
    expect(await plan({ uri: "a.test/shop" })).toMatchObject({ version });
    expect(await plan({ uri: "a.test/shop", aliases: ["shop.test"] })).toMatchObject({
      names: ["a.test", "shop.test"],
      directory: join(hub, "config/server_master/ssl.d/a.test.shop"),
    });
  });

  test("wildcards and addresses are refused, and served self-signed", async () => {
    expect(await plan({ aliases: ["*.a.test"] })).toMatchObject({
      refused: "no authority proves *.a.test by http-01",
      make: expect.any(String),
    });
    expect(await plan({ uri: "192.0.2.1" })).toMatchObject({ refused: expect.stringContaining("192.0.2.1") });
  });

  test("what people are told: a problem when it ends soon, is past or is not what was asked for", async () => {
    const report = (site: Partial<Site> = {}) => certificateReport(use(), all(site, {}));
    expect(await report()).toMatchObject({ urgent: true, problem: "there is none yet", due: true, days_left: null, issuer: null });
    await had(["a.test"], -60.5, 29.5);
    expect(await report()).toMatchObject({ urgent: false, problem: null, due: true, days_left: 29, issuer: "an authority" });
    expect(await report({ aliases: ["b.test"] })).toMatchObject({ urgent: true, problem: "it is not for b.test", missing: ["b.test"] });
    const own = authority.issue(["*.a.test"], -80, 10);
    mkdirSync(hub, { recursive: true });
    for (const [name, text] of Object.entries(own)) writeFileSync(join(hub, name), text);
    const files = { ssl_certificate: join(hub, "certificate"), ssl_certificate_key: join(hub, "key") };
    expect(await report({ uri: "www.a.test", ...files })).toMatchObject({
      wanted: "own",
      urgent: true,
      problem: expect.stringMatching(/^it ends .* in 9 days$/),
    });
    expect(await report({ ...files })).toMatchObject({ problem: "it is not for a.test" });
    writeFileSync(join(hub, "certificate"), "no certificate");
    expect(await report({ ...files })).toMatchObject({ urgent: true, valid_until: null });
    rmSync(join(hub, "certificate"));
    expect(await report({ ...files })).toMatchObject({ urgent: true, problem: `there is no ${join(hub, "certificate")}` });
  });
});

test("a text that is none of ours: readCertificate throws, isPair says no", () => {
  expect(() => readCertificate("x")).toThrow();
  expect(isPair("x", "y")).toBe(false);
});
