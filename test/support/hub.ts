import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Result, Results } from "../../src/core/result.js";
import { ask } from "../../src/services/http/php/protocol.js";
import type { HttpAnswer } from "../../src/services/http/service.js";
import { makeFakeCore, type Trap, trapped } from "./fake-core.js";
import { freePort } from "./php-server.js";
import { type Ended, type Started, type StartOptions, start } from "./processes.js";
import { PROJECT } from "./project.js";

const PROVISION = join(PROJECT, "bin/provision.js");

/** What one command line said. `json` and `all` read standard output as the one document it has to be. */
export interface Said extends Ended {
  readonly json: Result;
  readonly all: Results;
}

function said(ended: Ended, words: string): Said {
  const parse = () => {
    try {
      return JSON.parse(ended.stdout);
    } catch {
      throw new Error(`${words}: standard output is not one JSON document:\n${ended.stdout}\n${ended.stderr}`);
    }
  };
  return {
    ...ended,
    get json(): Result {
      return parse();
    },
    get all(): Results {
      return parse();
    },
  };
}

/** Starts `bin/provision.js` as a process. `line` is split at spaces; an array is taken as it is. Nothing of our own environment reaches it. */
function startProvision(line: string | readonly string[], options: StartOptions = {}): Started & { readonly said: Promise<Said> } {
  if (!existsSync(join(PROJECT, "dist/program/main.cjs")))
    throw new Error("dist/program/main.cjs is missing: npm run build (bin/test does it) comes first");
  const words = typeof line === "string" ? line.split(" ").filter((word) => word !== "") : line;
  const clean = Object.keys(process.env).filter(
    (name) => name.startsWith("PROVISION_") || ["NO_COLOR", "FORCE_COLOR", "CI"].includes(name),
  );
  const env = { ...Object.fromEntries(clean.map((name) => [name, undefined])), ...options.env };
  const started = start(process.execPath, [PROVISION, ...words], { ...options, env });
  return { ...started, said: started.ended.then((ended) => said(ended, words.join(" "))) };
}

export function provision(line: string | readonly string[], options: StartOptions = {}): Promise<Said> {
  return startProvision(line, options).said;
}

/** Every path below a directory with type, mode, time of its last change and content; one line each. */
export function treeOf(root: string, { times = true, except = [] as readonly string[] } = {}): readonly string[] {
  const lines: string[] = [];
  const walk = (relative: string) => {
    for (const name of readdirSync(join(root, relative)).sort()) {
      const path = relative === "" ? name : `${relative}/${name}`;
      if (except.includes(path)) continue;
      const full = join(root, path);
      const stat = lstatSync(full, { bigint: true });
      const head = `${path} ${(Number(stat.mode) & 0o7777).toString(8)}${times ? ` ${stat.mtimeNs}` : ""}`;
      if (stat.isSymbolicLink()) lines.push(`${path} -> ${readlinkSync(full)}${times ? ` ${stat.mtimeNs}` : ""}`);
      else if (stat.isDirectory()) {
        lines.push(`${head}/`);
        walk(path);
      } else lines.push(`${head} ${createHash("sha256").update(readFileSync(full)).digest("hex").slice(0, 16)}`);
    }
  };
  walk("");
  return lines;
}

export interface Serving extends Started {
  /** Asks for a path by host name, as a browser would. */
  get(host: string, path: string, headers?: Readonly<Record<string, string>>): Promise<HttpAnswer>;
  stop(): Promise<Ended>;
}

/**
 * A hub of its own in a temporary directory, as `init --local` makes it, with a platform that is built by a make file
 * from the fake core. `remove` at the end.
 */
export class TestHub {
  /** Everything of this hub is below it. */
  readonly base: string;
  readonly root: string;
  readonly port: number;

  private constructor(base: string, port: number) {
    this.base = base;
    this.root = join(base, "hub");
    this.port = port;
  }

  /** Only a directory, no hub yet. */
  static async nowhere(): Promise<TestHub> {
    return new TestHub(realpathSync(mkdtempSync(join(tmpdir(), "provision-e2e-"))), await freePort());
  }

  /** `init --local`. */
  static async empty(): Promise<TestHub> {
    const hub = await TestHub.nowhere();
    await hub.ok(["init", "--local", hub.root, "--port", String(hub.port)], { cwd: hub.base });
    return hub;
  }

  /** With @platform_p, built at platforms/p. */
  static async withPlatform(): Promise<TestHub> {
    const hub = await TestHub.empty();
    await hub.savePlatform();
    await hub.ok("verify @platform_p");
    return hub;
  }

  /** With @site.localhost installed on @platform_p. */
  static async withSite(uri = "site.localhost"): Promise<TestHub> {
    const hub = await TestHub.withPlatform();
    await hub.saveSite(uri);
    await hub.ok(`install @${uri}`);
    return hub;
  }

  /** One command in this hub. */
  provision(line: string | readonly string[], options: StartOptions = {}): Promise<Said> {
    return this.start(line, options).said;
  }

  start(line: string | readonly string[], options: StartOptions = {}) {
    // The mark is inherited by every program it starts: by it a test finds what was left running.
    const env = { PROVISION_TEST_HUB: this.root, ...options.env };
    return startProvision(line, { cwd: existsSync(this.root) ? this.root : this.base, ...options, env });
  }

  /** One command that has to succeed. */
  async ok(line: string | readonly string[], options: StartOptions = {}): Promise<Said> {
    const result = await this.provision(line, options);
    if (result.code !== 0)
      throw new Error(`${String(line)} ended with ${result.code ?? result.signal}\n${result.stdout}\n${result.stderr}`);
    return result;
  }

  /** The result document of one command with --json, whatever its exit code. */
  async document(line: string | readonly string[], options: StartOptions = {}): Promise<Result> {
    const words = typeof line === "string" ? line.split(" ") : line;
    return (await this.provision([...words, "--json"], options)).json;
  }

  /** Saves a platform whose make file copies the fake core. */
  async savePlatform(word = "p", core = join(this.base, "core")): Promise<void> {
    if (!existsSync(core)) await makeFakeCore(core);
    mkdirSync(join(this.root, "makes"), { recursive: true });
    writeFileSync(
      join(this.root, "makes/core.make.yml"),
      `core: 7.x\napi: 2\nprojects:\n  drupal:\n    type: core\n    download:\n      type: copy\n      url: ${core}\n`,
    );
    await this.ok(`save @platform_${word} --context_type=platform --root=platforms/${word} --makefile=makes/core.make.yml`);
  }

  async saveSite(uri: string, ...more: readonly string[]): Promise<void> {
    await this.ok([
      "save",
      `@${uri.replace("/", ".")}`,
      "--context_type=site",
      `--uri=${uri}`,
      "--platform=@platform_p",
      "--profile=minimal",
      ...more,
    ]);
  }

  /** Docroot of @platform_p. */
  get docroot(): string {
    return join(this.root, "platforms/p");
  }

  path(relative: string): string {
    return join(this.root, relative);
  }

  /** Runs `action` while @platform_p's core has these traps. */
  trapped<T>(traps: readonly Trap[], action: () => Promise<T>): Promise<T> {
    return trapped(this.docroot, traps, action);
  }

  /** The hub without what every run may touch: lock files, and what only tells of past operations. */
  tree(options: { readonly times?: boolean } = {}): readonly string[] {
    const except = ["state/locks", "state/operations", "state/history.jsonl", "state/open", "state/reserve", "state/cache/opcache"];
    // A directory's time moves with what is in it: state/ itself says nothing; state/serve.* is of whoever serves.
    return treeOf(this.root, { ...options, except }).filter((line) => !line.startsWith("state ") && !line.startsWith("state/serve."));
  }

  /** All of the hub but lock files: what a command that does nothing must leave as it is, to the nanosecond. */
  everything(): readonly string[] {
    return treeOf(this.root, { except: ["state/locks"] });
  }

  /** `serve` in the background, once it answers. */
  async serve(): Promise<Serving> {
    const started = this.start("serve");
    let stderr = "";
    started.child.stderr?.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    for (let turn = 0; !stderr.includes("serving on"); turn++) {
      if (started.child.exitCode !== null || turn > 200) throw new Error(`serve does not come up: ${stderr}`);
      await sleep(50);
    }
    return {
      ...started,
      get: (host, path, headers = {}) =>
        ask({ port: this.port, path, headers: { host: `${host}:${this.port}`, ...headers }, timeout: 20_000 }),
      stop: async () => {
        started.child.kill("SIGTERM");
        return started.ended;
      },
    };
  }

  /** Everything of it goes, also directories without a write bit. */
  remove(): void {
    rmSync(this.base, { recursive: true, force: true });
  }
}
