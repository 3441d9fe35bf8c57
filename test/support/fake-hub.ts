import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  type Stats,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Ended, type StartOptions, start } from "./processes.js";
import { PROJECT } from "./project.js";

const PROGRAM = join(PROJECT, "bin/provision.js");
const ID = /[0-9]{8}T[0-9]{6}-[0-9a-f]{4,8}/g;

/** What the tests read of the documents that --json prints. */
export interface Said {
  readonly ok: boolean;
  readonly exit: number;
  readonly operation?: string;
  readonly outcome: string;
  readonly counts: Readonly<Record<string, number>>;
  readonly steps: readonly { readonly id: string; readonly outcome: string; readonly changes: readonly string[] }[];
  readonly warnings?: readonly string[];
  readonly data?: Readonly<Record<string, unknown>>;
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly why: readonly string[];
    readonly state: string;
    readonly next: readonly string[];
  };
}

export interface Answered extends Ended {
  /** Undefined when the process was killed before it could say anything. */
  readonly said: Said | undefined;
}

/** A hub on PHP's server and SQLite, worked on by the real command line, each command a process. */
export class FakeHub {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Started with `--json`; `ended` has the document. */
  start(args: readonly string[], options: StartOptions = {}) {
    const { child, ended } = start(process.execPath, [PROGRAM, ...args, "--json", `--hub=${this.root}`], {
      ...options,
      env: { PROVISION_HUB: undefined, PROVISION_FAKE_CORE_TRAPS: undefined, ...options.env },
    });
    return {
      child,
      ended: ended.then((end): Answered => ({ ...end, said: end.stdout === "" ? undefined : (JSON.parse(end.stdout) as Said) })),
    };
  }

  run(args: readonly string[], options: StartOptions = {}): Promise<Answered> {
    return this.start(args, options).ended;
  }

  /** Must end with 0. */
  async do(...args: readonly string[]): Promise<Said> {
    const { said, code, stderr } = await this.run(args);
    if (code !== 0 || said === undefined)
      throw new Error(`provision ${args.join(" ")}: exit ${code} ${JSON.stringify(said?.error)} ${stderr}`);
    return said;
  }

  path(...parts: readonly string[]): string {
    return join(this.root, ...parts);
  }

  /** Ids of operations that have begun and not ended. */
  get open(): readonly string[] {
    return readdirSync(this.path("state/open"));
  }

  get operations(): readonly string[] {
    return readdirSync(this.path("state/operations")).sort();
  }

  journal(
    id: string,
  ): readonly { readonly t: string; readonly step?: string; readonly outcome?: string; readonly until?: string | null }[] {
    const path = this.path("state/operations", id, "journal.jsonl");
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    return text
      .slice(0, text.lastIndexOf("\n") + 1)
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  }

  /** The same hub at another place: what it says of its own paths is changed. `root` must be as long as ours. */
  copy(root: string): FakeHub {
    if (root.length !== this.root.length) throw new Error("a copy needs a path of the same length");
    cpSync(this.root, root, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
    for (const { path, stat } of entries(root)) {
      const full = join(root, path);
      if (stat.isSymbolicLink()) {
        const target = readlinkSync(full);
        if (!target.startsWith(this.root)) continue;
        rmSync(full);
        symlinkSync(root + target.slice(this.root.length), full);
      } else if (stat.isFile() && stat.size < 1_000_000) {
        const bytes = readFileSync(full);
        if (bytes.includes(this.root)) writeFileSync(full, Buffer.from(bytes.toString("latin1").replaceAll(this.root, root), "latin1"));
      }
    }
    return new FakeHub(root);
  }

  /**
   * Every path but those of state/ (its record of platforms belongs to them), with type, mode and content. What no two
   * runs have in common is blotted out: ids, salts, the bytes of databases. The number that a web server counts its reloads by is left out, and what it logs.
   */
  tree(): string {
    return [...entries(this.root)]
      .filter(({ path }) => !path.startsWith("state/") || path.startsWith("state/platforms"))
      .filter(({ stat }) => !stat.isSocket())
      .filter(({ path }) => !/\.sqlite-(wal|shm)$|\/php\/generation$|^config\/[^/]+\/[a-z]+\/log\/./.test(path))
      .map(({ path, stat }) => {
        const full = this.path(path);
        const mode = (stat.mode & 0o7777).toString(8);
        if (stat.isSymbolicLink()) return `${path} -> ${readlinkSync(full)}`;
        if (stat.isDirectory()) return `${path}/ ${mode}`;
        return `${path} ${mode} ${content(path, full)}`;
      })
      .map((line) => line.replaceAll(this.root, "HUB").replace(ID, "ID"))
      .sort()
      .join("\n");
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

function content(path: string, full: string): string {
  // Sums, sizes and times of a backup are its own.
  if (path.endsWith(".sqlite") || path.startsWith("backups/")) return "";
  const text = readFileSync(full, "latin1");
  if (path.startsWith("config/")) return text.replace(/(x-provision-generation "?)[\w-]+/g, "$1…");
  if (path.startsWith("secrets/")) return text.replace(/: ".*"/g, ': "…"');
  if (path.endsWith("/settings.php")) return text.replace(/(drupal_hash_salt = ').*'/g, "$1…'");
  return text;
}

function* entries(root: string, below = ""): Generator<{ path: string; stat: Stats }> {
  for (const name of readdirSync(join(root, below))) {
    const path = below === "" ? name : `${below}/${name}`;
    const stat = lstatSync(join(root, path));
    yield { path, stat };
    if (stat.isDirectory()) yield* entries(root, path);
  }
}

/** A make file that takes the core at `core` as the platform's code. */
export function makeFileOf(core: string, more = ""): string {
  return `core = 7.x\napi = 2\nprojects[drupal][type] = core\nprojects[drupal][download][type] = copy\nprojects[drupal][download][url] = "${core}"\n${more}`;
}

/** A hub with `@platform_d7` (saved, not built), to be made of the core at `core`. */
export async function newHub(root: string, core: string): Promise<FakeHub> {
  mkdirSync(root, { recursive: true });
  const hub = new FakeHub(root);
  await hub.do("init", root, "--local");
  await hub.do("verify", "@server_master");
  writeFileSync(hub.path("d7.make"), makeFileOf(core));
  await hub.do("save", "@platform_d7", "--context_type=platform", "--root=platforms/d7", "--makefile=d7.make");
  return hub;
}

export async function saveSite(hub: FakeHub, uri: string, ...more: readonly string[]): Promise<void> {
  await hub.do("save", `@${uri}`, "--context_type=site", `--uri=${uri}`, "--platform=@platform_d7", "--profile=minimal", ...more);
}

/** What differs, a few lines of each side. */
export function treeDifference(found: string, wanted: string): string {
  const [a, b] = [new Set(found.split("\n")), new Set(wanted.split("\n"))];
  const short = (lines: readonly string[]) => lines.slice(0, 8).map((line) => line.slice(0, 160));
  return JSON.stringify({
    unexpected: short([...a].filter((line) => !b.has(line))),
    missing: short([...b].filter((line) => !a.has(line))),
  });
}
