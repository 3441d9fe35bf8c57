import { join } from "node:path";
import type { Value } from "../context/edit.js";
import type { Site } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Operation, Step } from "../core/step.js";
import { file, gone } from "../steps/files.js";
import { type DeployInputs, deployData, deployLines, deploySteps, prepareDeploy } from "./deploy.js";
import { differences } from "./parts/baseline.js";
import { dumpPart, type Fetching, fetchSteps, refuseNoPlace } from "./parts/fetch-site.js";
import { visitorPassword } from "./parts/foreign-hub.js";
import type { Origin } from "./parts/origin.js";
import { siteState } from "./parts/preflight.js";
import { refuseUnwell } from "./parts/unpack.js";
import type { Services } from "./services.js";

export interface ImportRemoteArgs extends Omit<Fetching, "parts"> {
  /** Of this hub. */
  readonly platform: string;
  readonly dbServer?: string | undefined;
  /** The command line, for messages. */
  readonly again: string;
}

type Inputs =
  | { readonly kind: "known"; readonly name: string; readonly origin: string }
  | { readonly kind: "new"; readonly fetching: Fetching; readonly site: DeployInputs; readonly password: boolean };

/** A site of another hub, copied: what it is there is only read; here it is made as deploy makes one. */
export const importRemote: Operation<ImportRemoteArgs, Inputs, Services> = {
  name: "import-remote",
  recovery: "ask",

  async prepare({ platform, dbServer, again, ...source }, use, id) {
    const { there } = source;
    const { name } = there;
    const from = sourceWord(source);
    const saved = await use.store.read(name);
    if (saved?.context_type === "site" && saved.generation !== undefined && saved.imported_from === from)
      return {
        inputs: { kind: "known", name, origin: from },
        locks: [
          { kind: "hub", name: "hub", mode: "shared" },
          { kind: "site", name, mode: "shared" },
        ],
      };
    const parts = join(use.layout.state, "imports", id);
    const fetching: Fetching = { ...source, parts };
    const { inputs: site, locks } = await prepareDeploy(
      {
        name,
        source: from,
        platform,
        dbServer: dbServer ?? (saved === undefined ? await serverFor(there.database, use) : undefined),
        uri: there.uri,
        again,
      },
      originOf(fetching, id),
      use,
      id,
      Object.keys(there.context).filter((key) => key !== "uri" && key !== "profile"),
    );
    await refuseNoPlace(fetching, use);
    return { inputs: { kind: "new", fetching, site, password: asksVisitors(site.site) }, locks };
  },

  async preflight(inputs, use) {
    if (inputs.kind === "new") await refuseUnwell(inputs.site, use);
  },

  steps(inputs, use) {
    if (inputs.kind === "known") return [];
    const { fetching, site, password } = inputs;
    const more: readonly (readonly [string, Value])[] = [["imported_from", sourceWord(fetching)]];
    return [
      ...fetchSteps(fetching, site, use),
      ...(password ? [passwordStep(fetching, use)] : []),
      ...deploySteps(site, use, more),
      gone(use.local, [fetching.parts], { id: "fetch/remove", title: "Remove what was fetched", phase: "cleanup" }),
    ];
  },

  confirm: (inputs, use) => (inputs.kind === "known" ? Promise.resolve([]) : differences(use, inputs.site.baseline)),
  async state(inputs, use) {
    return inputs.kind === "known" ? `${inputs.name} was imported already` : siteState(inputs.site, use);
  },
  async data(inputs, _run, use) {
    if (inputs.kind === "known") return { known: true, from: inputs.origin };
    const { fetching, site } = inputs;
    return { known: false, ...(await deployData(site, use)), from: sourceWord(fetching), left: leftBehind(fetching, site) };
  },
  lines: (data) =>
    data["known"] === true
      ? [`It was imported from ${String(data["from"])} already`]
      : [...deployLines(data), ...((data["left"] ?? []) as readonly string[]).map((line) => `Left   ${line}`)],
};

/** Where a site is known to come from: the same site, whoever logs in. */
export function sourceWord({ from, hub, there }: Pick<Fetching, "from" | "hub" | "there">): string {
  return `${from.host}${from.port === undefined ? "" : `:${from.port}`}:${hub.root}/${there.name}`;
}

function originOf(fetching: Fetching, id: string): Origin {
  const { there, parts } = fetching;
  if (there.engine === null || there.core === null || there.database === null || there.problem !== null)
    throw new ProvisionError("REFUSED", `${there.name} cannot be imported: ${there.problem ?? "nobody knows what it is"}`, {
      state: "nothing was changed",
    });
  const profile = there.context["profile"];
  return {
    kind: "backup",
    word: sourceWord(fetching),
    path: parts,
    id,
    uri: there.uri,
    profile: typeof profile === "string" ? profile : null,
    database: there.database,
    own: false,
    engine: there.engine,
    core: there.core,
    root: there.data,
    url: `http://${there.uri}`,
    part: dumpPart(there),
    platform: null,
    context: there.context,
    // The database says which are enabled, once it is here.
    extensions: [],
  };
}

/** The hub's own server, when it has such databases, else the only one that has. */
async function serverFor(type: string | null, use: Services): Promise<string | undefined> {
  const servers = (await use.store.load()).contexts.flatMap((each) =>
    each.context_type === "server" && each.db_service_type === type ? [each.name] : [],
  );
  return servers.includes("@server_master") || servers.length !== 1 ? undefined : servers[0];
}

function asksVisitors({ http_basic_auth_username: name }: Site): boolean {
  return name !== undefined;
}

/** Visitors keep the password that they know. */
function passwordStep(fetching: Fetching, use: Services): Step {
  const { name } = fetching.there;
  return file(
    use.local,
    use.layout.secretsFile(name),
    async () => {
      const key = "http_basic_auth_password";
      const password = (await use.secrets.get(name, key)) ?? (await visitorPassword(use.source(fetching.from), fetching.hub, name));
      return use.secrets.changed(name, new Map(password === undefined ? [] : [[key, password]]));
    },
    { mode: 0o600 },
    { id: "fetch/password", title: "Password of visitors in secrets" },
  );
}

/** What the site is there and is not here. */
function leftBehind({ there }: Fetching, { site }: DeployInputs): readonly string[] {
  const client = there.context["client_name"];
  return [
    ...there.left,
    ...(client !== undefined && site.client_name !== client
      ? [`client_name: there is no @client_${String(client)} here; provision save ${site.name} --client_name=… once there is`]
      : []),
  ];
}
