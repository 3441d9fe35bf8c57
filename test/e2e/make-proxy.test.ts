import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { archive, temporaryDirectory } from "../support/make-fixtures.js";
import { run } from "../support/processes.js";
import { PROJECT } from "../support/project.js";

let work: string;
let tls: Server;
let proxy: Server;
/** What the proxy was asked for, with the password that came along. */
const asked: string[] = [];
const tunnels = new Set<Duplex>();
let number = 0;

const portOf = (server: Server) => (server.address() as AddressInfo).port;
const listening = (server: Server) => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

beforeAll(async () => {
  work = temporaryDirectory();
  const subject = ["-subj", "/CN=files.example", "-addext", "subjectAltName=DNS:files.example,IP:0.0.0.0,IP:127.0.0.1"];
  const files = ["-keyout", join(work, "key.pem"), "-out", join(work, "certificate.pem")];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", ...subject, ...files], { stdio: "ignore" });
  const tarball = archive("tar.gz", "m", { v: "by TLS" });
  tls = createTlsServer(
    { key: readFileSync(join(work, "key.pem")), cert: readFileSync(join(work, "certificate.pem")) },
    (request, response) => (request.url === "/m.tar.gz" ? response.end(tarball) : response.writeHead(404).end()),
  );
  // Every host leads to the one server: nothing is looked up.
  proxy = createServer((_, response) => response.writeHead(500).end("this proxy only tunnels"));
  proxy.on("connect", (request, socket, head) => {
    const [, pair = ""] = (request.headers["proxy-authorization"] ?? "").split(" ");
    asked.push(`${request.url} ${Buffer.from(pair, "base64").toString()}`);
    if (pair === "") {
      socket.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
      return;
    }
    const there = connect(portOf(tls), "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      there.write(head);
      there.pipe(socket).pipe(there);
    });
    for (const [one, other] of [
      [there, socket],
      [socket, there],
    ] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
    tunnels.add(socket);
  });
  await Promise.all([listening(tls), listening(proxy)]);
});
afterAll(async () => {
  // A server forgets sockets that became tunnels.
  for (const tunnel of tunnels) tunnel.destroy();
  for (const server of [tls, proxy]) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  rmSync(work, { recursive: true, force: true });
});
beforeEach(() => {
  asked.length = 0;
});

async function build(url: string, env: Readonly<Record<string, string | undefined>>) {
  const name = `built${number++}`;
  const file = join(work, "site.make");
  writeFileSync(file, `core = 7.x\napi = 2\nprojects[m][download][type] = get\nprojects[m][download][url] = ${url}\n`);
  const none = Object.fromEntries(
    ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"].map((key) => [key, undefined]),
  );
  const ended = await run(
    process.execPath,
    [join(PROJECT, "bin/provision.js"), "make", file, join(work, name), "--no-core", "--no-cache"],
    {
      cwd: work,
      env: { ...none, XDG_CACHE_HOME: join(work, "cache"), NODE_EXTRA_CA_CERTS: join(work, "certificate.pem"), ...env },
    },
  );
  return { ...ended, built: existsSync(join(work, name, "sites/all/modules/m/v")) };
}

describe("a download by HTTPS", () => {
  const through = (user = "me:word@") => ({ https_proxy: `http://${user}127.0.0.1:${portOf(proxy)}` });

  it("goes through the proxy by CONNECT, with its password; the server's certificate is checked behind it", async () => {
    const ended = await build("https://files.example/m.tar.gz", through());
    expect([ended.code, ended.built], ended.stderr).toEqual([0, true]);
    expect(asked).toEqual(["files.example:443 me:word"]);
    const all = await build("https://files.example:8443/m.tar.gz", { all_proxy: through().https_proxy });
    expect([all.code, asked.at(-1)]).toEqual([0, "files.example:8443 me:word"]);
  });

  it("from a host that no_proxy names goes there itself; an address is checked against the certificate, too", async () => {
    const url = `https://0.0.0.0:${portOf(tls)}/m.tar.gz`;
    expect((await build(url, { ...through(), no_proxy: "other.example, 0.0.0.0" })).built).toBe(true);
    expect(asked).toEqual([]);
    expect((await build(url, through())).built).toBe(true);
    expect(asked).toEqual([`0.0.0.0:${portOf(tls)} me:word`]);
    // This machine is never asked through a proxy.
    expect((await build(`https://127.0.0.1:${portOf(tls)}/m.tar.gz`, through())).built).toBe(true);
    expect(asked).toHaveLength(1);
  });

  it.each([
    [
      "with a certificate of nobody's is refused at once, with the setting that helps",
      "files.example",
      { NODE_EXTRA_CA_CERTS: undefined },
      /its certificate is not believed: self-signed certificate[\s\S]*NODE_EXTRA_CA_CERTS=FILE/,
    ],
    ["with a certificate of another host is refused", "other.example", {}, /its certificate is not believed: .*other\.example/],
  ])("%s", async (_, host, env, expected) => {
    const ended = await build(`https://${host}/m.tar.gz`, { ...through(), ...env });
    expect([ended.code, ended.built]).toEqual([1, false]);
    expect(ended.stderr).toMatch(expected);
    expect(asked).toHaveLength(1);
  });

  it("that the proxy refuses says so; a proxy that is none is a wrong configuration", async () => {
    const refused = await build("https://files.example/m.tar.gz", through(""));
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/the proxy 127\.0\.0\.1:\d+ answers 407 to files\.example/)]);
    const wrong = await build("https://files.example/m.tar.gz", { https_proxy: "socks5://me:word@127.0.0.1:1" });
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining("the proxy of the environment cannot be used")]);
    expect(refused.stderr + wrong.stderr).not.toContain("word");
  });
});
