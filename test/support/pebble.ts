import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ask } from "../../src/services/http/ask.js";
import { freePort } from "./php-server.js";

/**
 * Pebble, the ACME test authority of Let's Encrypt, with a name server of its own: it looks at challenges where a real one would, at the
 * address that its name server says, by http. Nothing is taken for proven without a look.
 */
export interface Pebble {
  /** URL of the directory. */
  readonly directory: string;
  /** By which its https is believed. */
  readonly caFile: string;
  /** The certificate (PEM) that vouches for all it issues; a new one with each start. */
  root(): Promise<string>;
  /** How many requests it has had, and how many certificates it has issued. */
  requests(): number;
  issued(): number;
  /** Its name server does not know this name, or knows it again; else every name is 127.0.0.1. */
  lose(name: string): Promise<void>;
  find(name: string): Promise<void>;
  stop(): Promise<void>;
}

const PROGRAMS = ["pebble", "pebble-challtestsrv", "openssl"];

/** Why tests with it cannot run here; undefined when they can. In CI that is a failure. */
export function pebbleMissing(): string | undefined {
  const absent = PROGRAMS.filter(
    (program) => !(process.env["PATH"] ?? "").split(delimiter).some((directory) => isProgram(join(directory, program))),
  );
  if (absent.length === 0) return undefined;
  if (process.env["CI"]) throw new Error(`${absent.join(" and ")} missing: bin/test installs them`);
  return `${absent.join(" and ")} not installed`;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

class Program {
  readonly #child: ChildProcess;
  said = "";

  constructor(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    const hear = (chunk: Buffer) => {
      this.said += chunk.toString();
    };
    this.#child.stdout?.on("data", hear);
    this.#child.stderr?.on("data", hear);
  }

  async until(condition: () => Promise<unknown>): Promise<void> {
    for (let turn = 0; ; turn++) {
      try {
        await condition();
        return;
      } catch (error) {
        if (this.#child.exitCode !== null || turn > 600) throw new Error(`not ready: ${this.said}`, { cause: error });
        await sleep(50);
      }
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGTERM");
    await ended;
  }
}

/** `httpPort`: where it looks at challenges; `address`: that of every name. One nonce of ten is refused, as a busy authority would. */
export async function startPebble(
  base: string,
  { httpPort, address = "127.0.0.1" }: { readonly httpPort: number; readonly address?: string },
): Promise<Pebble> {
  const directory = join(base, `pebble-${httpPort}`);
  mkdirSync(directory, { recursive: true });
  const [port, management, dns, dnsManagement] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const path = (name: string) => join(directory, name);
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=pebble"],
      ...["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path("key.pem"), "-out", path("certificate.pem")],
    ],
    { stdio: "pipe" },
  );
  writeFileSync(
    path("config.json"),
    JSON.stringify({
      pebble: {
        listenAddress: `127.0.0.1:${port}`,
        managementListenAddress: `127.0.0.1:${management}`,
        certificate: path("certificate.pem"),
        privateKey: path("key.pem"),
        httpPort,
        tlsPort: 1,
        domainBlocklist: ["blocked.test"],
      },
    }),
  );
  const names = new Program("pebble-challtestsrv", [
    ...["-dns01", `127.0.0.1:${dns}`, "-management", `127.0.0.1:${dnsManagement}`],
    ...["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-defaultIPv4", address],
  ]);
  const tell = async (what: string, body: object) => {
    const { status } = await ask({
      port: dnsManagement,
      path: `/${what}`,
      method: "POST",
      headers: { host: "localhost" },
      body: JSON.stringify(body),
      timeout: 10_000,
    });
    if (status !== 200) throw new Error(`${what}: ${status}`);
  };
  const pebble = new Program("pebble", ["-strict", "-config", path("config.json"), "-dnsserver", `127.0.0.1:${dns}`], {
    PEBBLE_VA_NOSLEEP: "1",
    PEBBLE_WFE_NONCEREJECT: "10",
    PEBBLE_AUTHZREUSE: "0",
  });
  const ca = readFileSync(path("certificate.pem"), "utf8");
  const root = () => get(`https://127.0.0.1:${management}/roots/0`, ca);
  try {
    await names.until(() => tell("clear-a", { host: "ready.test" }));
    await pebble.until(root);
  } catch (error) {
    await Promise.all([names.stop(), pebble.stop()]);
    throw error;
  }
  return {
    directory: `https://127.0.0.1:${port}/dir`,
    caFile: path("certificate.pem"),
    root,
    requests: () => pebble.said.match(/ -> calling handler/g)?.length ?? 0,
    issued: () => pebble.said.match(/Issued certificate serial/g)?.length ?? 0,
    lose: (name) => tell("set-servfail", { host: name }),
    find: (name) => tell("clear-servfail", { host: name }),
    async stop() {
      await Promise.all([names.stop(), pebble.stop()]);
    },
  };
}

function get(url: string, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request(url, { ca, agent: false, timeout: 10_000 }, (answer) => {
      let text = "";
      answer.on("data", (chunk: Buffer) => {
        text += chunk.toString();
      });
      answer.on("error", reject);
      answer.on("end", () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(`${url}: ${answer.statusCode}`))));
    })
      .on("error", reject)
      .end();
  });
}
