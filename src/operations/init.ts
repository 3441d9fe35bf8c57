import { mkdirSync } from "node:fs";
import { userInfo } from "node:os";
import { rewrite } from "../context/edit.js";
import { Layout } from "../context/layout.js";
import { hubSchema } from "../context/schema.js";
import { makeStateDirectories } from "../core/engine.js";
import type { Scope } from "../core/scope.js";
import type { Operation, Step } from "../core/step.js";
import { directories, file } from "../steps/files.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import { Services } from "./services.js";

export interface InitArgs {
  /** PHP's own server and SQLite: nothing to install, no root. */
  readonly local: boolean;
  /** Port of PHP's own server. */
  readonly port: number;
}

interface Inputs {
  readonly server: readonly (readonly [string, string | number])[];
  readonly baseline: Baseline;
}

const SETTINGS = `# Settings of this hub. Keys: client (of sites that name none), mirrors (URL prefix: directory or URL, for builds).
`;

/** Services on a directory that need not be a hub yet; its state directory is made, for the journal. */
export function futureHub(root: string, scope: Scope): Services {
  const layout = new Layout(root);
  mkdirSync(layout.state, { recursive: true, mode: 0o755 });
  makeStateDirectories(layout.state);
  return new Services({ layout, settings: hubSchema.parse({}) }, scope);
}

/** Makes a hub: provision.yml, directories, @server_master and @client_admin. What is there already is kept as it is. */
export const init: Operation<InitArgs, Inputs, Services> = {
  name: "init",
  recovery: "automatic",

  async prepare({ local, port }, use) {
    const script_user = userInfo().username;
    const server: readonly (readonly [string, string | number])[] = [
      ["remote_host", "localhost"],
      ["script_user", script_user],
      ["http_service_type", local ? "php" : "none"],
      ...(local ? [["http_port", port] as const] : []),
      ["db_service_type", local ? "sqlite" : "none"],
    ];
    const { layout } = use;
    const paths = [layout.settings, layout.contextFile("@server_master"), layout.contextFile("@client_admin")];
    return { inputs: { server, baseline: await baselineOf(use.local, paths) }, locks: [{ kind: "hub", name: "hub", mode: "exclusive" }] };
  },

  steps({ server }, use) {
    const { layout, local } = use;
    const at = (path: string, mode: number) => ({ path, ownership: { mode } });
    return [
      directories(local, [at(layout.aliases, 0o755), at(layout.secrets, 0o700), at(layout.platforms, 0o755), at(layout.sites, 0o711)], {
        id: "directories",
        title: "Directories of the hub",
      }),
      once(use, layout.settings, () => SETTINGS, "settings", "provision.yml"),
      once(
        use,
        layout.contextFile("@server_master"),
        (path) => rewrite(undefined, "server", new Map(server), path),
        "server",
        "@server_master",
      ),
      once(use, layout.contextFile("@client_admin"), (path) => rewrite(undefined, "client", new Map(), path), "client", "@client_admin"),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  state: async (_inputs, { layout }) => `${layout.root} is as it was`,
  data: async (_inputs, _run, { layout }) => ({ hub: layout.root }),
};

/** The file is there; what the operator made of it stays. */
function once(use: Services, path: string, text: (path: string) => string, id: string, title: string): Step {
  const step = file(use.local, path, async () => text(path), { mode: 0o644 }, { id, title: `Write ${title}` });
  return {
    ...step,
    async check(run) {
      return (await use.local.stat(path)) ? { changes: [] } : step.check(run);
    },
  };
}
