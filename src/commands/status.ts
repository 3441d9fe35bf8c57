import type { Json } from "../core/json.js";
import type { Action, CommandDefinition } from "./definition.js";

export const status: CommandDefinition = {
  name: "status",
  group: "hub",
  summary: "say what the hub, or each site named, is doing now",
  description:
    "Without a context: the hub, what it holds, certificates that want attention, and operations that are running or were interrupted. With sites: what core says of them, and what a visitor gets on the front page, and how long the certificate is good.",
  arguments: [{ name: "[contexts...]", description: "@site" }],
  examples: [
    { line: "provision status", says: "the hub" },
    { line: "provision status @example.com", says: "one site, asked now" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { columns, contextOfType, eachTarget, openHub, warnOfInterrupted } = await import("./hub.js");
  const { session } = invocation;
  const use = await openHub(session);
  if (invocation.arguments.length === 0) {
    const { contexts, broken } = await use.store.load();
    const count = (type: string) => contexts.filter(({ context_type }) => context_type === type).length;
    const sites = contexts.filter((context) => context.context_type === "site");
    const { certificatesOf } = await import("../operations/certificates.js");
    const { reports, unseen } = await certificatesOf(use, contexts);
    const troubled = reports.filter(({ problem }) => problem !== null);
    const { keptList } = await import("../operations/status.js");
    const open = use.operations.open().map((id) => use.operations.read(id));
    const data = {
      hub: use.layout.root,
      servers: count("server"),
      platforms: count("platform"),
      sites: sites.length,
      installed: sites.filter(({ generation }) => generation !== undefined).length,
      disabled: sites.filter(({ site_enabled }) => !site_enabled).length,
      clients: count("client"),
      kept: (await Promise.all(sites.map(({ name }) => keptList(use, name)))).reduce((sum, { length }) => sum + length, 0),
      certificates: troubled.map(({ site, problem, valid_until }) => ({ site, problem, valid_until })),
      unreadable: broken.map(({ message }) => message),
      operations: open.map(({ id, state, open: began }) => ({ id, state, command: began?.command ?? "", target: began?.target ?? null })),
    };
    const rows = Object.entries(data)
      .filter(([, value]) => !Array.isArray(value))
      .map(([key, value]) => [key, String(value)]);
    const lines = [
      ...columns(rows),
      ...broken.map(({ message }) => `✖ ${message}`),
      ...troubled.map(({ site, problem }) => `! the certificate of ${site}: ${problem} (provision certificates list)`),
      ...open.map(
        ({ id, state, open: began }) => `! ${state}: ${began?.command ?? ""} ${began?.target ?? ""} (provision operations show ${id})`,
      ),
    ];
    const { answerWithUnseen } = await import("./certificates.js");
    await answerWithUnseen(invocation, "status", data as unknown as { readonly [key: string]: Json }, unseen, lines);
    return;
  }
  const { siteStatus } = await import("../operations/status.js");
  await eachTarget(invocation, "status", async (word) => {
    const { name } = await contextOfType(use, word, ["site"], "status");
    const found = await siteStatus(use, name);
    await session.subject({ command: "status", target: name }, async (emit) => {
      warnOfInterrupted(use, [name], emit);
      emit({ type: "data", data: found });
      const rows = Object.entries(found).flatMap(([key, value]) =>
        textsOf(value).map((text, index) => [index === 0 ? `  ${key}` : "", text]),
      );
      emit({ type: "text", lines: [name, ...columns(rows)] });
    });
  });
};

/** For people: one line, or for a list a line each. */
function textsOf(value: Json): readonly string[] {
  if (Array.isArray(value)) return value.length === 0 ? ["-"] : value.flatMap(textsOf);
  if (value === null) return ["-"];
  if (typeof value !== "object") return [String(value)];
  return [
    Object.entries(value)
      .map(([key, one]) => `${key} ${textsOf(one).join(", ")}`)
      .join(", "),
  ];
}
