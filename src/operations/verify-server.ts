import { join } from "node:path";
import type { Server } from "../context/schema.js";
import type { Operation } from "../core/step.js";
import type { FpmOf } from "../services/fpm/service.js";
import { directories } from "../steps/files.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { fpmsWithPools, poolProblems } from "./parts/pool.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Inputs {
  readonly server: Server;
  /** Every PHP-FPM that has pools of ours. */
  readonly fpms: readonly FpmOf[];
  readonly baseline: Baseline;
}

/** Directory tree with its modes, and the proof that each service of the server works. */
export const verifyServer: Operation<{ readonly name: string }, Inputs, Services> = {
  name: "verify-server",
  recovery: "automatic",

  async prepare({ name }, use) {
    const server = await use.store.need(name, "server");
    refuseOtherUser(server);
    return {
      inputs: {
        server,
        fpms: await fpmsWithPools(server, use),
        baseline: await baselineOf(
          use.host(server),
          tree(server, use).map(({ path }) => path),
        ),
      },
      locks: [
        { kind: "hub", name: "hub", mode: "shared" },
        { kind: "server", name, mode: "exclusive" },
      ],
    };
  },

  steps({ server, fpms }, use) {
    return [
      directories(use.host(server), tree(server, use), { id: "directories", title: "Directories of the hub and the server" }),
      ...(server.db_service_type === "none" ? [] : use.db(server).serverSteps()),
      ...(server.http_service_type === "none" ? [] : use.http(server).serverSteps()),
      ...fpms.flatMap((fpm) => use.fpm(server, fpm).serverSteps()),
    ];
  },

  /** What root has to do before sites can be served, and whatever else is wrong with the web server. */
  async data({ server, fpms }, _run, use): Promise<{ readonly problems: readonly string[] }> {
    if (server.http_service_type === "none" || server.http_service_type === "php") return { problems: [] };
    const web = (await use.http(server).problems()).map(({ message }) => message);
    return { problems: [...web, ...(await poolProblems(server, fpms, use))] };
  },
  lines: ({ problems }) => problems as readonly string[],

  confirm: ({ baseline }, use) => differences(use, baseline),
  state: async ({ server }, use) => {
    const problems = server.http_service_type === "none" ? [] : await use.http(server).problems();
    return problems.length === 0 ? `${server.name} is in order` : problems.map(({ message }) => message).join("; ");
  },
};

/** As in Aegir: what other accounts need is passable (0711), the rest private. */
function tree(server: Server, { layout }: Services) {
  const at = (path: string, mode: number) => ({ path, ownership: { mode } });
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
