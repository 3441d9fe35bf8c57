import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeFakeCore } from "./fake-core.js";
import { type Answered, FakeHub } from "./fake-hub.js";
import { PhpServer } from "./php-server.js";
import { spokeHub, type TestSpoke } from "./spokes.js";
import { tablesOf } from "./table-sums.js";

/** Where a site is: of the hub, or the number of a spoke. */
export type Place = "hub" | 0 | 1;

/** A hub and two spokes in a state to which all three can be put back, as often as it takes. */
export interface SpokeWorld {
  readonly hub: FakeHub;
  readonly spokes: readonly [TestSpoke, TestSpoke];
  /** Keeps the present state under a name. */
  keep(name: string): void;
  /** As it was when it was kept, and served. */
  putBack(name: string): Promise<void>;
  /** All that the three are made of but what is of one run alone: files with modes and content, what is kept, rows of tables; a line each. */
  world(): string;
  /** Those that would take what visitors of a site write. */
  taking(uri: string): Promise<readonly Place[]>;
  /** What is wrong with a site that has to be in one place, and in no other; undefined: nothing. */
  wrong(context: string, place: Place): Promise<string | undefined>;
  remove(): Promise<void>;
}

/**
 * @h.test is on the hub's @platform_p, @a.test on @platform_w1 of the first spoke, with files and a backup. @platform_n1 there has newer code with
 * updates that wait; @platform_w2 is on the second spoke. The state is kept as `base`. Unless `whole`, there are neither @h.test and @platform_p nor @platform_n1.
 */
export async function spokeWorld(whole: boolean): Promise<SpokeWorld> {
  const rig = await spokeHub(["nginx", "nginx"]);
  const { hub: test } = rig;
  const hub = new FakeHub(test.root);
  const spokes = rig.spokes as readonly [TestSpoke, TestSpoke];
  const roots = [hub.root, ...spokes.map(({ root }) => root)];
  const keptIn = (name: string, root: string) => join(test.base, "kept", name, root.split("/").at(-1) as string);

  const keep = (name: string) => {
    for (const root of roots) {
      mkdirSync(keptIn(name, root), { recursive: true });
      execFileSync("cp", ["-a", `${root}/.`, keptIn(name, root)]);
    }
  };
  /** Platforms of a machine that have a directory for the site. */
  const docroots = (root: string, uri: string) =>
    readdirSync(join(root, "platforms"))
      .map((name) => join(root, "platforms", name))
      .filter((docroot) => existsSync(join(docroot, "sites", uri, "settings.php")));
  const open = (docroot: string, uri: string) => {
    const files = join(docroot, "sites", uri, "files");
    return existsSync(files) && !existsSync(join(dirname(realpathSync(files)), "gate.closed"));
  };

  try {
    const [core, newer] = [
      await makeFakeCore(join(test.base, "core")),
      await makeFakeCore(join(test.base, "newer"), { traps: ["pending-updates"] }),
    ];
    const platforms: string[] = [];
    for (const [word, code, server] of [
      ["p", core, "@server_master"],
      ["w1", core, "@web1"],
      ["n1", newer, "@web1"],
      ["w2", core, "@web2"],
    ] as const) {
      if (!whole && ["p", "n1"].includes(word)) continue;
      const file = hub.path(`${word}.make.yml`);
      writeFileSync(file, `core: 7.x\napi: 2\nprojects:\n  drupal:\n    type: core\n    download:\n      type: copy\n      url: ${code}\n`);
      await hub.do(
        "save",
        `@platform_${word}`,
        "--context_type=platform",
        `--root=platforms/${word}`,
        `--makefile=${file}`,
        `--web_server=${server}`,
      );
      platforms.push(`@platform_${word}`);
    }
    await hub.do("verify", ...platforms);
    for (const [uri, platform, db] of [
      ["h.test", "p", "@server_master"],
      ["a.test", "w1", "@web1"],
    ] as const) {
      if (!whole && platform === "p") continue;
      await hub.do(
        "save",
        `@${uri}`,
        "--context_type=site",
        `--uri=${uri}`,
        `--platform=@platform_${platform}`,
        `--db_server=${db}`,
        "--profile=minimal",
      );
      await hub.do("install", `@${uri}`);
    }
    writeFileSync(spokes[0].path("platforms/w1/sites/a.test/files/a picture.txt"), "of a dog");
    if (whole) {
      writeFileSync(hub.path("platforms/p/sites/h.test/files/a picture.txt"), "of a cat");
      await hub.do("backup", "@a.test");
      await hub.do("verify", "@h.test");
    }
    await hub.do("verify", "@a.test");
    keep("base");
  } catch (error) {
    await rig.remove();
    throw error;
  }

  return {
    hub,
    spokes,
    keep,
    async putBack(name) {
      for (const root of roots) execFileSync("rsync", ["-a", "--delete", "--modify-window=-1", `${keptIn(name, root)}/`, `${root}/`]);
      for (const spoke of spokes) spoke.reload();
      // It waits until the daemons serve what is on disk.
      await hub.do("verify", ...spokes.map(({ name }) => name));
    },
    world() {
      const records = existsSync(hub.path("state/generations"))
        ? readdirSync(hub.path("state/generations"), { recursive: true, encoding: "utf8" })
        : [];
      const lines = roots.flatMap((root) => {
        const machine = root.split("/").at(-1);
        const of = root === hub.root ? hub.tree() : new FakeHub(root).tree();
        return [...of.split("\n"), ...tablesOf(join(root, "sites"))].map((line) => `${machine} ${line}`);
      });
      return (
        [...lines, ...records.map((name) => `kept ${name}`)]
          .map((line) => line.replace(/[0-9]{8}T[0-9]{6}-[0-9a-f]{4,8}/g, "ID"))
          // No roll-back removes a backup: how many there are says nothing.
          .filter((line, at, every) => !line.startsWith("hub backups/") || every.indexOf(line) === at)
          .sort()
          .join("\n")
      );
    },
    async taking(uri) {
      const found: Place[] = docroots(hub.root, uri).some((docroot) => open(docroot, uri)) ? ["hub"] : [];
      for (const [index, spoke] of spokes.entries())
        if (docroots(spoke.root, uri).some((docroot) => open(docroot, uri)) && (await spoke.get(uri, "/")).status === 200)
          found.push(index as 0 | 1);
      return found;
    },
    async wrong(context, place) {
      const uri = context.slice(1);
      const verified = await hub.run(["verify", context]);
      if (verified.code !== 0 || verified.said?.counts["changed"] !== 0)
        return `verify: ${brief(verified)} ${JSON.stringify(verified.said?.steps.filter(({ outcome }) => outcome === "changed"))}`;
      for (const [index, spoke] of spokes.entries()) {
        const { status } = await spoke.get(uri, "/");
        if ((status === 200) !== (index === place)) return `GET / of ${uri} on ${spoke.name} answers ${status}`;
      }
      if (place !== "hub") return undefined;
      const server = await PhpServer.start(docroots(hub.root, uri)[0] ?? "");
      try {
        const { status } = await server.get(uri, "/");
        return status === 200 ? undefined : `GET / of ${uri} on the hub answers ${status}`;
      } finally {
        await server.stop();
      }
    },
    remove: rig.remove,
  };
}

/** What a command said, in one line. */
export function brief({ code, said, stderr }: Answered): string {
  const { error, outcome } = said ?? {};
  return `exit ${code} ${error?.code ?? outcome ?? ""} ${error?.message ?? stderr.slice(0, 300)} ${error?.why.join("; ") ?? ""} | ${error?.state ?? ""} | ${error?.next.join("; ") ?? ""}`;
}
