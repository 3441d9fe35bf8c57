import { join } from "node:path";
import { resolveMembers } from "../context/references.js";
import { isThisMachine, type Server } from "../context/schema.js";
import { messageOf, ProvisionError } from "../core/errors.js";
import type { Operation, Step } from "../core/step.js";
import { haveScripts, scriptsDirectory } from "../engines/scripts.js";
import type { FpmOf } from "../services/fpm/service.js";
import { directories } from "../steps/files.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { onMember } from "./parts/cluster.js";
import { fpmsWithPools, poolProblems } from "./parts/pool.js";
import { refuseUnready } from "./parts/spoke.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Member {
  readonly server: Server;
  /** Every PHP-FPM that has pools of ours. */
  readonly fpms: readonly FpmOf[];
}

interface Inputs {
  readonly name: string;
  /** The server itself, or all of a cluster. */
  readonly members: readonly Member[];
  readonly baseline: Baseline;
}

/** Directory tree with its modes, and the proof that each service of the server works; of a cluster on all of its members. */
export const verifyServer: Operation<{ readonly name: string }, Inputs, Services> = {
  name: "verify-server",
  recovery: "automatic",

  async prepare({ name }, use) {
    const named = await use.store.need(name, "server");
    const servers = named.http_service_type === "cluster" ? await resolveMembers(use.store, use.settings, named) : [named];
    for (const server of servers) refuseOtherUser(server);
    await refuseUnreadyAmong(named, servers, use);
    const members: Member[] = [];
    let baseline: Baseline = {};
    for (const server of servers) {
      members.push({ server, fpms: await fpmsWithPools(server, use) });
      const paths = tree(server, use).map(({ path }) => path);
      baseline = { ...baseline, ...(await baselineOf(use.host(server), paths)) };
    }
    return {
      inputs: { name, members, baseline },
      locks: [
        { kind: "hub", name: "hub", mode: "shared" },
        ...[...new Set([name, ...servers.map((server) => server.name)])].map(
          (one) => ({ kind: "server", name: one, mode: "exclusive" }) as const,
        ),
      ],
    };
  },

  steps({ name, members }, use) {
    return members.flatMap((member) =>
      member.server.name === name ? stepsOf(member, use) : onMember(member.server, stepsOf(member, use)),
    );
  },

  /** What root has to do before sites can be served, and whatever else is wrong with the web server. */
  async data({ members }, _run, use): Promise<{ readonly problems: readonly string[] }> {
    const problems: string[] = [];
    for (const { server, fpms } of members) {
      if (server.http_service_type === "none" || server.http_service_type === "php") continue;
      problems.push(...(await use.http(server).problems()).map(({ message }) => message), ...(await poolProblems(server, fpms, use)));
    }
    return { problems };
  },
  lines: ({ problems }) => problems as readonly string[],

  confirm: ({ baseline }, use) => differences(use, baseline),
  state: async ({ name, members }, use) => {
    const problems: string[] = [];
    for (const { server } of members)
      if (server.http_service_type !== "none") problems.push(...(await use.http(server).problems()).map(({ message }) => message));
    return problems.length === 0 ? `${name} is in order` : problems.join("; ");
  },
};

/** What all members of a cluster lack, in one list. */
async function refuseUnreadyAmong(named: Server, servers: readonly Server[], use: Services): Promise<void> {
  const failed: { readonly name: string; readonly error: ProvisionError }[] = [];
  for (const server of servers) {
    if (isThisMachine(server.remote_host)) continue;
    try {
      await refuseUnready(server, use);
    } catch (error) {
      if (server.name === named.name || !(error instanceof ProvisionError)) throw error;
      failed.push({ name: server.name, error });
    }
  }
  const [first] = failed;
  if (first === undefined) return;
  const code = failed.find(({ error }) => error.code === "CONFIGURATION")?.error.code ?? first.error.code;
  const names = failed.map(({ name }) => name).join(", ");
  throw new ProvisionError(code, `${names} of the cluster ${named.name} cannot serve yet`, {
    why: failed.flatMap(({ name, error }) =>
      (error.code === "CONFIGURATION" ? error.why : [messageOf(error)]).map((line) => `${name}: ${line}`),
    ),
    state: "nothing was changed on any member",
    next: failed.flatMap(({ name, error }) => error.next.map((line) => (line.startsWith("provision ") ? line : `on ${name}: ${line}`))),
    cause: first.error,
  });
}

function stepsOf({ server, fpms }: Member, use: Services): readonly Step[] {
  return [
    directories(use.host(server), tree(server, use), {
      id: "directories",
      title: isThisMachine(server.remote_host) ? "Directories of the hub and the server" : "Directories of the server",
    }),
    ...(isThisMachine(server.remote_host) ? [] : [scriptsStep(server, use)]),
    ...(server.db_service_type === "none" ? [] : use.db(server).serverSteps()),
    ...(server.http_service_type === "none" ? [] : use.http(server).serverSteps()),
    ...fpms.flatMap((fpm) => use.fpm(server, fpm).serverSteps()),
  ];
}

/** As in Aegir: what other accounts need is passable (0711), the rest private. */
function tree(server: Server, use: Services) {
  const at = (path: string, mode: number) => ({ path, ownership: { mode } });
  const layout = use.layoutOf(server);
  if (!isThisMachine(server.remote_host))
    return [
      at(layout.platforms, 0o755),
      at(layout.builds, 0o755),
      at(layout.sites, 0o711),
      at(layout.config, 0o711),
      at(join(layout.config, server.name.slice(1)), 0o711),
      at(layout.state, 0o700),
    ];
  return [
    at(layout.aliases, 0o755),
    at(layout.secrets, 0o700),
    at(layout.platforms, 0o755),
    at(layout.builds, 0o755),
    at(layout.sites, 0o711),
    at(layout.config, 0o711),
    at(join(layout.config, server.name.slice(1)), 0o711),
    at(layout.backups, 0o700),
    at(layout.clients, 0o711),
  ];
}

/** The PHP by which cores are driven. An upgrade of provision brings the new ones; the old ones stay, for a run of another hub may use them. */
function scriptsStep(server: Server, use: Services): Step {
  const host = use.host(server);
  const { state } = use.layoutOf(server);
  return {
    id: "server/scripts",
    title: "Scripts that drive the cores",
    async check() {
      if (await haveScripts(host, state)) return { changes: [] };
      const path = scriptsDirectory(state);
      return { changes: [`create ${path}/`], undo: [{ do: "remove_tree", host: host.name, path }] };
    },
    async apply() {
      await use.scripts(server);
      return null;
    },
  };
}
