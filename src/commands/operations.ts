import { ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import type { OperationSummary } from "../core/operations.js";
import type { Action, CommandDefinition } from "./definition.js";

export const operations: CommandDefinition = {
  name: "operations",
  group: "operations",
  summary: "list operations, show one, or print its log",
  description:
    "list: operations that changed something, newest first; those whose journals are older than `journals` of provision.yml says by their line in the history alone. show ID: its steps, what stands and what to type next. log ID: its journal, every record. An ID may be the last four digits.",
  arguments: [
    { name: "[verb]", description: "list, show or log" },
    { name: "[id]", description: "id of an operation" },
  ],
  examples: [
    { line: "provision operations list", says: "what was done here" },
    { line: "provision operations show 7f3a", says: "one of them" },
  ],
  load: async () => ({ run }),
};

const run: Action = async ({ arguments: [verb = "list", id], session }) => {
  const { columns, openHub } = await import("./hub.js");
  const use = await openHub(session);
  const subject = { command: "operations", target: id };
  if (verb === "list") {
    const found = use.operations
      .all()
      .map((known) => use.operations.read(known))
      // An id tells the second only.
      .sort((a, b) => ((a.open?.at ?? a.id) < (b.open?.at ?? b.id) ? 1 : -1));
    const data = [
      ...found.map((summary) => ({ ...brief(summary) })),
      ...use.operations
        .forgotten()
        .toReversed()
        .map(({ id: one, command, target, outcome, user, at }) => ({
          id: one,
          command,
          target,
          state: "ended",
          outcome,
          committed: outcome === "changed",
          user,
          // When it ended: its journal is gone.
          begun: at,
        })),
    ];
    await session.answer(
      subject,
      { operations: data },
      columns(data.map((one) => [one.id, one.command, one.target ?? "", one.state, one.outcome ?? "", one.begun ?? ""])),
    );
    return;
  }
  if (verb !== "show" && verb !== "log")
    throw new ProvisionError("USAGE", `operations has no ${JSON.stringify(verb)}`, { next: ["provision operations list|show|log"] });
  if (id === undefined)
    throw new ProvisionError("USAGE", `operations ${verb} needs the id of an operation`, { next: ["provision operations list"] });
  const summary = use.operations.read(use.operations.resolve(id));
  if (verb === "log") {
    const records = summary.records as unknown as readonly Json[];
    const output = use.operations.output(summary.id);
    await session.answer(subject, { records, output: output as unknown as Json }, [
      ...records.map((record) => JSON.stringify(record)),
      ...output.flatMap(({ step, text }) => ["", `Printed during ${step}:`, text.trimEnd()]),
    ]);
    return;
  }
  const steps = stepsOf(summary);
  const next = nextOf(summary);
  const lines = [
    `${summary.id}  ${summary.open?.command ?? ""} ${summary.open?.target ?? ""}  ${summary.state}${summary.outcome === undefined ? "" : `, ${summary.outcome}`}`,
    ...columns(steps.map(({ step, state, note }) => ["", step, state, note])),
    ...next.map((command) => `Next  ${command}`),
  ];
  await session.answer(subject, { ...brief(summary), steps, next }, lines);
};

function brief({ id, state, open, outcome, committed }: OperationSummary) {
  return {
    id,
    command: open?.command ?? "",
    target: open?.target ?? null,
    state,
    outcome: outcome ?? null,
    committed,
    user: open?.user ?? null,
    begun: open?.at ?? null,
  };
}

/** What is known of every planned step: not begun, already so, done, unfinished, undone. */
function stepsOf({ open, records }: OperationSummary) {
  const known = new Map<string, { state: string; note: string }>(
    (open?.steps ?? []).map((step) => [step, { state: "not begun", note: "" }]),
  );
  for (const record of records) {
    if (record.t === "ok") known.set(record.step, { state: "already so", note: "" });
    else if (record.t === "intent") known.set(record.step, { state: "unfinished", note: record.title });
    else if (record.t === "done") known.set(record.step, { state: "done", note: record.changes.join("; ") });
    else if (record.t === "undone") known.set(record.step, { state: "undone", note: "" });
    else if (record.t === "failed") known.set(record.step, { state: "failed", note: record.message });
  }
  return [...known].map(([step, { state, note }]) => ({ step, state, note }));
}

function nextOf({ id, state, committed, undoing }: OperationSummary): readonly string[] {
  if (state !== "interrupted") return [];
  if (committed) return [`provision resume ${id}`];
  return undoing ? [`provision abort ${id}`] : [`provision resume ${id}`, `provision abort ${id}`];
}
