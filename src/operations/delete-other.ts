import { basename, dirname, join } from "node:path";
import { clientWord } from "../context/names.js";
import { inUse, resolvePlatform } from "../context/references.js";
import { type Context, isThisMachine, type Platform, type Server } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Operation, Step } from "../core/step.js";
import { gone, moved, symlink } from "../steps/files.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { membersOf, onMember, refuseDown } from "./parts/cluster.js";
import { codePlace } from "./parts/code-place.js";
import { allKept } from "./parts/kept.js";
import { currentBuild, readRecord, recordFile } from "./parts/platform-code.js";
import { inventoryFile } from "./parts/platform-inventory.js";
import { spokeBelongings } from "./parts/platform-spoke.js";
import type { Services } from "./services.js";

interface Inputs {
  readonly context: Context;
  /** Trees to set aside and then remove: from, to. */
  readonly trees: readonly (readonly [string, string])[];
  /** A link that goes first. */
  readonly link: string | null;
  readonly rest: readonly string[];
  /** What stands on other machines. */
  readonly there: readonly There[];
  readonly baseline: Baseline;
}

interface There {
  readonly server: Server;
  readonly link: string | null;
  readonly trees: Inputs["trees"];
}

/** Code and databases of generations that are kept are needed as long as those are. Rejects with IN_USE. */
async function refuseKept(name: string, use: Services): Promise<void> {
  for (const [site, kept] of await allKept(use)) {
    const one = kept.find(({ properties }) => properties.platform === name || (properties.db_server ?? "@server_master") === name);
    if (one === undefined) continue;
    throw new ProvisionError(
      "IN_USE",
      `${name} is needed by the generation ${one.generation} that is kept of ${site} until ${one.until.slice(0, 10)}`,
      {
        state: "nothing was changed",
        next: [`provision rollback ${site} --list`, "provision backups prune    # when its time is over"],
      },
    );
  }
}

/** Deletes a platform, server or client that nothing refers to, with what provision made for it. */
export const deleteOther: Operation<{ readonly name: string }, Inputs, Services> = {
  name: "delete-other",
  recovery: "ask",

  async prepare({ name }, use, id) {
    const context = await use.store.need(name);
    if (context.context_type === "site") throw new ProvisionError("FAILED", `${name} is a site`);
    const { contexts } = await use.store.load();
    const used = inUse(name, contexts, use.settings);
    if (used) throw used;
    await refuseKept(name, use);
    const { trees, link, rest, there } = await belongings(context, use, id);
    const paths = [...trees.map(([from]) => from), ...(link === null ? [] : [link]), use.layout.contextFile(name)];
    return {
      inputs: { context, trees, link, rest, there, baseline: await baselineOf(use.local, paths) },
      locks: [
        { kind: "hub", name: "hub", mode: "exclusive" },
        { kind: context.context_type, name, mode: "exclusive" },
      ],
    };
  },

  steps({ context, trees, link, rest, there }, use) {
    const [first, ...others] = there;
    /** Of the machines of a cluster each. */
    const onAll = (part: (at: There) => readonly Step[]) => [
      ...(first ? part(first) : []),
      ...others.flatMap((at) => onMember(at.server, part(at))),
    ];
    return [
      ...onAll(({ server, link: away, trees: builds }) => {
        const host = use.host(server);
        return [
          ...(away === null ? [] : [symlink(host, away, undefined, { id: "spoke/link", title: `Remove the link ${host.name}:${away}` })]),
          ...builds.map(([from, to], index) =>
            moved(host, from, to, { id: `spoke/aside/${index}`, title: `Set ${host.name}:${from} aside` }),
          ),
        ];
      }),
      ...(link === null ? [] : [symlink(use.local, link, undefined, { id: "link", title: `Remove the link ${link}` })]),
      ...trees.map(([from, to], index) => moved(use.local, from, to, { id: `aside/${index}`, title: `Set ${from} aside` })),
      gone(use.local, [...trees.map(([, to]) => to), ...rest], { id: "remove", title: "Remove what provision made", phase: "finish" }),
      ...onAll(({ server, trees: builds }) => [
        gone(
          use.host(server),
          builds.map(([, to]) => to),
          { id: "spoke/remove", title: `Remove what provision made on ${server.name}`, phase: "finish" },
        ),
      ]),
      gone(use.local, [use.layout.secretsFile(context.name), use.layout.contextFile(context.name)], {
        id: "context/remove",
        title: `Remove ${context.name}`,
        phase: "finish",
      }),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  data: async ({ context }) => ({ left: [...rootsLines(context)] }),
  lines: ({ left }) => ((left ?? []) as readonly string[]).map((line) => `Left  ${line}`),
};

/** What root did for a server is root's to take back: provision could only ask for it. */
function rootsLines(context: Context): readonly string[] {
  if (context.context_type !== "server" || (context.http_service_type !== "nginx" && context.http_service_type !== "apache")) return [];
  const config = `config/${context.name.slice(1)}`;
  return [
    `root's line that has ${context.http_service_type} include ${config}, and that of PHP-FPM where it has pools there: take them out, or the next reload fails or serves nothing`,
    `the sudoers lines that \`verify ${context.name}\` printed`,
  ];
}

/** What provision made for a context, and may therefore take away. Code it did not build stays where it is. */
async function belongings(context: Context, use: Services, id: string): Promise<Pick<Inputs, "trees" | "link" | "rest" | "there">> {
  const aside = (path: string) => join(dirname(path), `.${path.slice(path.lastIndexOf("/") + 1)}.deleted-${id}`);
  switch (context.context_type) {
    case "platform": {
      const { project } = codePlace(context, use.layout);
      const current = await currentBuild(use.local, use.layout, { project });
      const { builds, records } = await buildsOf(context.name, use);
      const ours = [...new Set([...(current === undefined ? [] : [current]), ...builds])].sort();
      return {
        trees: ours.map((build) => [build, aside(build)] as const),
        link: current === undefined ? null : project,
        rest: [inventoryFile(use, context.name), ...records],
        there: await codeElsewhere(context, ours, use, aside),
      };
    }
    case "server": {
      if (context.http_service_type === "cluster") return { trees: [], link: null, rest: [], there: [] };
      const config = join(use.layoutOf(context).config, context.name.slice(1));
      if (!isThisMachine(context.remote_host))
        return { trees: [], link: null, rest: [], there: [{ server: context, link: null, trees: [[config, aside(config)]] }] };
      return { trees: [[config, aside(config)]], link: null, rest: [], there: [] };
    }
    default:
      return { trees: [], link: null, rest: [join(use.layout.clients, clientWord(context.name))], there: [] };
  }
}

async function codeElsewhere(
  platform: Platform,
  builds: readonly string[],
  use: Services,
  aside: (path: string) => string,
): Promise<Inputs["there"]> {
  const all = await resolvePlatform(use.store, use.settings, platform.name, "all");
  await refuseDown(all, use);
  const there: There[] = [];
  for (const { server } of membersOf(all)) {
    if (isThisMachine(server.remote_host)) continue;
    const place = codePlace(platform, use.layoutOf(server));
    const found = await spokeBelongings(
      use,
      server,
      place,
      builds.map((build) => basename(build)),
    );
    there.push({ server, link: found.link, trees: found.builds.map((build) => [build, aside(build)] as const) });
  }
  return there;
}

/** Every build that was made for a platform and is still there (`--keep-old`), by its record. */
async function buildsOf(name: string, use: Services): Promise<{ readonly builds: readonly string[]; readonly records: readonly string[] }> {
  const builds: string[] = [];
  const records: string[] = [];
  const root = await use.local.realPath(use.layout.builds);
  for (const file of (await use.local.list(join(use.layout.state, "builds"))) ?? []) {
    const build = join(root ?? use.layout.builds, file.replace(/\.json$/, ""));
    const record = await readRecord(use, build);
    if (record?.platform !== name) continue;
    records.push(recordFile(use.layout, build), use.layout.codeCache(basename(build)));
    if (await use.local.stat(build)) builds.push(build);
  }
  return { builds, records };
}
