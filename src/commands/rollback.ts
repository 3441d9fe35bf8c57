import type { Action, CommandDefinition } from "./definition.js";

export const rollback: CommandDefinition = {
  name: "rollback",
  group: "site",
  summary: "go back to what served before the last migrate or restore",
  description:
    "Code, database and files of a kept generation serve again, as they were left; that takes about a second, in which pages are served and nobody can write. What was written since is counted by table and told, with accounts and passwords that go back too. What served until now is kept in its turn: a second rollback returns to it. Needs --yes.",
  arguments: [{ name: "<site>", description: "@site" }],
  options: [
    { flags: "--list", description: "what could be gone back to, and until when" },
    { flags: "--to <generation>", description: "that one of several; default: the one that served last" },
  ],
  examples: [
    { line: "provision rollback @example.com --list", says: "what is kept" },
    { line: "provision rollback @example.com --yes", says: "back" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { columns, confirmed, contextOfType, openHub, operate } = await import("./hub.js");
  const { session, options } = invocation;
  const use = await openHub(session);
  const { name } = await contextOfType(use, invocation.arguments[0] ?? "", ["site"], "rollback");
  if (options["list"] === true) {
    const { keptList } = await import("../operations/status.js");
    const kept = await keptList(use, name);
    const rows = kept.map((one) => [
      one.generation,
      one.platform,
      one.core,
      `until ${one.until.slice(0, 16)}`,
      `replaced by ${one.command}`,
    ]);
    await session.answer(
      { command: "rollback", target: name },
      { kept: kept.map((one) => ({ ...one })) },
      rows.length === 0 ? [`nothing is kept of ${name}`] : columns(rows),
    );
    return;
  }
  await confirmed(session, `Go back to what served before ${name}? What was written since stays in what is kept.`);
  const { rollback: operation } = await import("../operations/rollback.js");
  const to = options["to"];
  await operate(invocation, use, "rollback", name, operation, { name, ...(to === undefined ? {} : { generation: String(to) }) });
};
